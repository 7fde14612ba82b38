"""Flat 2-D charts in the input space of a network.

A slice holds float64 numbers and is the plane ``origin + s u + t v`` of these, exactly. Where a
constructor has to round (differences, unit vectors), the slice holds what came out, and that is
the plane that is partitioned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from math import ceil, floor, frexp, inf, isqrt, nextafter
from operator import index, mul
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from polyregions.exact import integers, rounded
from polyregions.network import Affine, FloatArray, Network, exact_float64

Bounds: TypeAlias = tuple[float, float, float, float]

# Bits that a square root has beyond those of a float64.
_MORE_BITS = 160


@dataclass(frozen=True, eq=False)
class Slice:
    """The plane of all inputs ``origin + s * u + t * v``, with the coordinates (s, t).

    The numbers it is made of are taken as exact; `u` and `v` need neither be orthogonal nor of
    length 1. Inputs may have any shape; where they are numbered, it is in the order of C (the last
    index runs fastest).

    Attributes
    ----------
    origin, u, v : float64 arrays of the input's shape
        Made from anything that holds real numbers which float64 represents: lists, numpy arrays
        and torch tensors of any dtype.
    axis_labels : tuple of two str
        What to call the coordinates.
    mark_xy : (K, 2) float64
        Coordinates of data points to be shown in figures.
    mark_labels : tuple of K str
        What to call them.
    mark_error : (K,) float64
        Bounds on the distances, in input space, of the data points from the points of the plane
        that have these coordinates. They are zero where nothing was rounded.
    frame : (xmin, ymin, xmax, ymax) or None
        The domain that `polyregions.partition` takes unless told.

    Raises
    ------
    TypeError
        If something does not hold real numbers.
    ValueError
        If a number is NaN, infinite or no float64, the shapes differ, there are fewer than two
        inputs, or `u` and `v` are dependent (decided exactly).

    Examples
    --------
    >>> import polyregions as pr
    >>> plane = pr.Slice(origin=[0, 0, 1], u=[1, 0, 0], v=[1, 1, 0])
    >>> plane
    <Slice of 3 inputs, in s and t>
    >>> plane.point(0.5, 2.0)
    array([2.5, 2. , 1. ])
    >>> layers = [([[1, 0, 1], [0, 1, -1]], [0, 0]), ([[1, 1]], [0])]
    >>> len(pr.partition(layers, (-3, 3), slice=plane))
    4
    """

    origin: FloatArray
    u: FloatArray
    v: FloatArray
    axis_labels: tuple[str, str] = field(default=("s", "t"), kw_only=True)
    mark_xy: FloatArray = field(default_factory=lambda: np.empty((0, 2)), kw_only=True)
    mark_labels: tuple[str, ...] = field(default=(), kw_only=True)
    mark_error: FloatArray = field(default_factory=lambda: np.empty(0), kw_only=True)
    frame: Bounds | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        shape = None
        for name in ("origin", "u", "v"):
            array = numbers(getattr(self, name), f"{name} of the slice")
            if shape is not None and array.shape != shape:
                raise ValueError(
                    f"origin, u and v of a slice must have one shape, that of the input; got "
                    f"{shape} for origin and {array.shape} for {name}"
                )
            shape = array.shape
            object.__setattr__(self, name, array)
        if self.origin.size < 2:
            raise ValueError(
                f"a slice is a plane in a space of two or more inputs, got {self.origin.size}"
            )
        (u, v), _ = integers(self.u, self.v)
        if not _are_independent(u, v):
            raise ValueError(
                "u and v of a slice are dependent, so they span a line or a point and no plane; "
                "give two directions of which none is a multiple of the other"
            )
        self._check_names()

    def _check_names(self) -> None:
        xy = exact_float64(self.mark_xy, "mark_xy of the slice")
        error = exact_float64(self.mark_error, "mark_error of the slice")
        labels = tuple(map(str, self.mark_labels))
        if xy.shape != (len(labels), 2) or error.shape != (len(labels),):
            raise ValueError(
                f"a slice needs one mark_xy (K, 2), mark_label and mark_error (K,) for each of its "
                f"marks, got {xy.shape}, {len(labels)} and {error.shape}"
            )
        s, t = _labels(self.axis_labels, 2, "axis_labels")
        object.__setattr__(self, "mark_xy", xy)
        object.__setattr__(self, "mark_error", error)
        object.__setattr__(self, "mark_labels", labels)
        object.__setattr__(self, "frame", _bounds(self.frame))
        object.__setattr__(self, "axis_labels", (s, t))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by the constructor, so that copies are checked and read-only too."""
        return _made_again, ({item.name: getattr(self, item.name) for item in fields(self)},)

    # -- other ways to say which ---------------------------------------------------------------

    @classmethod
    def through(
        cls,
        p0: ArrayLike,
        p1: ArrayLike,
        p2: ArrayLike,
        *,
        labels: Sequence[Any] | None = ("p0", "p1", "p2"),
    ) -> Slice:
        """The plane through three points, which get the coordinates (0, 0), (1, 0) and (0, 1).

        Parameters
        ----------
        p0, p1, p2 : array_like
            Inputs, all of one shape.
        labels : three names or None
            Shown beside the points in figures; None leaves the points out.

        Returns
        -------
        Slice
            With ``origin = p0``, and the differences ``p1 - p0`` and ``p2 - p0``, each entry
            rounded to the nearest float64. `mark_error` says how far that leaves the plane from
            the points; zero where the differences are float64 numbers, as they are for most
            points of float32 or of integers.

        Raises
        ------
        TypeError, ValueError
            As for `Slice`, and if the points are on one line.

        Examples
        --------
        >>> import polyregions as pr
        >>> pr.Slice.through([1, 0, 0], [0, 1, 0], [0, 0, 1]).point(0.25, 0.5)
        array([0.25, 0.25, 0.5 ])
        """
        points = _three_points((p0, p1, p2), ("p0", "p1", "p2"))
        names = _labels(labels, 3)
        with np.errstate(over="ignore"):
            u, v = points[1] - points[0], points[2] - points[0]
        if not (np.isfinite(u).all() and np.isfinite(v).all()):
            raise ValueError("the points are so far apart that float64 cannot hold the distance")
        xy = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])[: len(names)]
        error = _distances(points[0], u, v, xy, points[: len(names)])
        return cls(points[0], u, v, mark_xy=xy, mark_labels=names, mark_error=error)

    @classmethod
    def axes(
        cls,
        i: int | tuple[int, ...],
        j: int | tuple[int, ...],
        *,
        at: ArrayLike,
        labels: Sequence[Any] | None = None,
    ) -> Slice:
        """The plane of two inputs, with the others fixed; coordinates are the two themselves.

        Parameters
        ----------
        i, j : int or tuple of int
            Which two inputs: flat numbers, or full indices into inputs of several axes.
        at : array_like
            The values of all other inputs. Those of `i` and `j` are not used.
        labels : two names, optional
            For the axes of figures; ``x0`` and ``x1`` and so on unless given.

        Returns
        -------
        Slice
            Exact: nothing is rounded.

        Raises
        ------
        TypeError, ValueError
            As for `Slice`, and if `i` and `j` are equal or there is no such input.

        Examples
        --------
        >>> import polyregions as pr
        >>> plane = pr.Slice.axes(0, 2, at=[0.0, 0.5, 0.0, -1.0])
        >>> plane
        <Slice of 4 inputs, in x0 and x2>
        >>> plane.point(7, 8)
        array([ 7. ,  0.5,  8. , -1. ])
        """
        origin = numbers(at, "at").copy()
        first, second = (_place(k, origin.shape, name) for k, name in ((i, "i"), (j, "j")))
        if first == second:
            raise ValueError(f"i and j must be two different inputs, got {i!r} and {j!r}")
        u, v = np.zeros((2, *origin.shape))
        u.flat[first] = v.flat[second] = 1.0
        origin.flat[first] = origin.flat[second] = 0.0
        names = _labels(labels, 2) or (_name(i, first), _name(j, second))
        return cls(origin, u, v, axis_labels=(names[0], names[1]))

    @classmethod
    def from_data(
        cls,
        a: ArrayLike,
        b: ArrayLike,
        c: ArrayLike,
        *,
        labels: Sequence[Any] | None = ("a", "b", "c"),
        margin: float = 0.25,
    ) -> Slice:
        """The plane of three data points, as they lie: distances are those of input space.

        The point `a` is at (0, 0), `b` is to its right at ``(|b - a|, 0)``, `c` is above. The
        frame is a square around the three, which `polyregions.partition` takes for its domain
        unless told.

        Parameters
        ----------
        a, b, c : array_like
            Inputs, all of one shape.
        labels : three names or None
            Shown beside the points in figures; None leaves the points out.
        margin : float
            What the frame leaves free on all sides, as a share of the extent of the points.

        Returns
        -------
        Slice
            With ``origin = a``, exactly. The two unit vectors along ``b - a`` and, at a right
            angle to it, towards `c` are worked out exactly and each entry of them is rounded to
            the nearest float64, as are the coordinates `mark_xy` of the points. So lengths are
            true to a few parts in 1e16. `mark_error` bounds how far the points are from the
            places in the plane that they are shown at. The frame is rounded outwards, to short
            numbers.

        Raises
        ------
        TypeError, ValueError
            As for `Slice`, and if the points are on one line or `margin` is no positive number.

        Examples
        --------
        >>> import polyregions as pr
        >>> plane = pr.Slice.from_data([0, 0, 1], [3, 4, 1], [0, 0, 3], labels=["p", "q", "r"])
        >>> plane.mark_xy
        array([[0., 0.],
               [5., 0.],
               [0., 2.]])
        >>> plane.frame
        (-1.25, -2.75, 6.25, 4.75)
        """
        points = _three_points((a, b, c), ("a", "b", "c"))
        names = _labels(labels, 3)
        if not (isinstance(margin, int | float) and 0 < margin < inf):
            raise ValueError(f"margin must be a positive number, got {margin!r}")
        (a_, b_, c_), exponent = integers(*points)
        d1, d2 = ([q - p for p, q in zip(a_, other, strict=True)] for other in (b_, c_))
        aa, ab, bb = _dot(d1, d1), _dot(d1, d2), _dot(d2, d2)
        # Across d1, in the plane; |d1|^2 |across|^2 is the square of the parallelogram's area.
        across = [aa * q - ab * p for p, q in zip(d1, d2, strict=True)]
        u, v = (_unit(w).reshape(points[0].shape) for w in (d1, across))
        sign = -1 if ab < 0 else 1
        x1 = _root(aa, 1, exponent)
        x2 = sign * _root(ab * ab, aa, exponent)
        y2 = _root(aa * bb - ab * ab, aa, exponent)
        xy = np.array([[0.0, 0.0], [x1, 0.0], [x2, y2]])
        return cls(
            points[0],
            u,
            v,
            mark_xy=xy[: len(names)],
            mark_labels=names,
            mark_error=_distances(points[0], u, v, xy[: len(names)], points[: len(names)]),
            frame=_frame(xy, margin),
        )

    # -- points --------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input."""
        return self.origin.shape

    @property
    def n_inputs(self) -> int:
        """How many numbers an input has."""
        return self.origin.size

    def point(self, s: float, t: float) -> FloatArray:
        """The input, of shape `shape`, with the coordinates (s, t); rounded as by `__call__`."""
        return self([s, t])

    def __call__(self, points: ArrayLike) -> FloatArray:
        """The inputs, ``(..., *shape)`` float64, with the coordinates `points`, (..., 2).

        Computed in float64, so an entry is off by no more than
        ``4 * 2**-53 * (|origin| + |s u| + |t v|)``.
        """
        xy = np.asarray(points, dtype=np.float64)
        if xy.ndim == 0 or xy.shape[-1] != 2:
            raise ValueError(f"points of a slice must have shape (..., 2), got {xy.shape}")
        s, t = (xy[..., k].reshape(*xy.shape[:-1], *[1] * self.origin.ndim) for k in (0, 1))
        return np.asarray(self.origin + s * self.u + t * self.v)

    def coordinates(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The coordinates of the nearest point of the plane, and the distance from it.

        Parameters
        ----------
        x : ``(..., *shape)`` array_like
            Inputs.

        Returns
        -------
        coordinates : (..., 2) float64
            Those of the least squares solution, worked out exactly and rounded to nearest.
        distance : (...) float64
            The Euclidean distance in input space, rounded likewise. Zero exactly if `x` is in
            the plane.

        Raises
        ------
        TypeError, ValueError
            If `x` does not hold finite real numbers, or is of another shape.

        Notes
        -----
        Takes a few milliseconds for each thousand numbers.

        Examples
        --------
        >>> import polyregions as pr
        >>> plane = pr.Slice([0, 0, 1], [1, 0, 0], [1, 1, 0])
        >>> plane.coordinates([2.5, 2.0, 4.0])
        (array([0.5, 2. ]), array(3.))
        """
        array = numbers(x, "x")
        n_axes = array.ndim - self.origin.ndim
        if n_axes < 0 or array.shape[n_axes:] != self.shape:
            raise ValueError(
                f"x must have the shape of the slice's inputs, (..., "
                f"{', '.join(map(str, self.shape))}), got {array.shape}"
            )
        before = array.shape[:n_axes]
        rows = [
            _nearest(self.origin, self.u, self.v, row) for row in array.reshape(-1, self.n_inputs)
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        return table[:, :2].reshape(*before, 2), table[:, 2].reshape(before)

    # -- networks ------------------------------------------------------------------------------

    def as_step(self) -> Affine:
        """The chart as a step of a network, from 2 values to `n_inputs`; exact."""
        return Affine(
            np.stack([self.u.ravel(), self.v.ravel()], axis=1), self.origin.ravel(), "the slice"
        )

    def restrict(self, network: Network) -> Network:
        """The network on the plane: one with 2 inputs, with the chart as its first step.

        Parameters
        ----------
        network : Network
            With `n_inputs` inputs.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If the network has another number of inputs.

        Examples
        --------
        >>> import polyregions as pr
        >>> network = pr.lower([([[1, 0, 1], [0, 1, -1]], [0, 0]), ([[1, 1]], [0])])
        >>> pr.Slice.axes(0, 1, at=[0, 0, 0.5]).restrict(network)
        <Network 2-2-1, 2 units>
        """
        if network.n_inputs != self.n_inputs:
            raise ValueError(
                f"the slice is of {self._inputs()}, but the network has {network.n_inputs}; make "
                f"the slice from points of {network.n_inputs} numbers"
            )
        return network.behind(self.as_step())

    def _inputs(self) -> str:
        shape = f" ({' x '.join(map(str, self.shape))})" if self.origin.ndim != 1 else ""
        return f"{self.n_inputs} inputs{shape}"

    def __repr__(self) -> str:
        s, t = self.axis_labels
        marks = f", with {', '.join(self.mark_labels)}" if self.mark_labels else ""
        return f"<Slice of {self._inputs()}, in {s} and {t}{marks}>"

    def __str__(self) -> str:
        return f"a slice of {self._inputs()} in {' and '.join(self.axis_labels)}"


def _made_again(values: dict[str, Any]) -> Slice:
    return Slice(**values)


# -- reading arguments -------------------------------------------------------------------------


def numbers(value: Any, name: str) -> FloatArray:
    """A read-only float64 array of exactly these numbers, whatever holds them."""
    try:
        raw = np.asarray(_without_tensors(value))
    except ValueError as error:
        raise ValueError(f"{name} is no array of numbers: {error}") from None
    # + 0.0 turns -0.0 into 0.0, so that equal planes have equal bytes.
    array: FloatArray = exact_float64(raw, name) + 0.0
    array = np.array(array, ndmin=1)
    array.flags.writeable = False
    return array


def _without_tensors(value: Any) -> Any:
    torch = sys.modules.get("torch")  # without it nobody can have made a tensor
    if torch is None:
        return value
    if isinstance(value, list | tuple):
        return [_without_tensors(item) for item in value]
    if not isinstance(value, torch.Tensor):
        return value
    value = value.detach().cpu()
    return (value.double() if value.is_floating_point() else value).numpy()


def _three_points(points: Sequence[Any], names: Sequence[str]) -> list[FloatArray]:
    """Points of one shape that are not on one line."""
    arrays = [numbers(point, name) for point, name in zip(points, names, strict=True)]
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(f"{n}: {a.shape}" for n, a in zip(names, arrays, strict=True))
        raise ValueError(f"the three points of a slice must have one shape, got {shapes}")
    (p, q, r), _ = integers(*arrays)
    ends = ([y - x for x, y in zip(p, other, strict=True)] for other in (q, r))
    if not _are_independent(*ends):
        raise ValueError(
            f"the points {', '.join(names)} are on one line (or equal), so many planes go through "
            "them; take three points that make a triangle"
        )
    return arrays


def _place(k: Any, shape: tuple[int, ...], name: str) -> int:
    """The flat number of an input."""
    try:
        if isinstance(k, tuple):
            at = tuple(map(index, k))
            if len(at) != len(shape):
                raise ValueError(
                    f"{name} must be a number or an index of {len(shape)} numbers into inputs of "
                    f"shape {shape}, got {k!r}"
                )
            wrapped = [range(n)[i] for i, n in zip(at, shape, strict=True)]
            return int(np.ravel_multi_index(wrapped, shape))
        return range(int(np.prod(shape)))[index(k)]
    except TypeError:
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {k!r}") from None
    except IndexError:
        raise ValueError(
            f"{name} must be one of the inputs, of shape {shape}; there is no {k!r}"
        ) from None


def _name(k: Any, flat: int) -> str:
    return f"x[{', '.join(map(str, k))}]" if isinstance(k, tuple) else f"x{flat}"


def _bounds(frame: Sequence[float] | None) -> Bounds | None:
    if frame is None:
        return None
    problem = f"frame of the slice must be (xmin, ymin, xmax, ymax), got {frame!r}"
    try:
        xmin, ymin, xmax, ymax = map(float, frame)
    except (TypeError, ValueError):
        raise ValueError(problem) from None
    if not (-inf < xmin < xmax < inf and -inf < ymin < ymax < inf):
        raise ValueError(problem)
    return xmin, ymin, xmax, ymax


def _labels(labels: Sequence[Any] | None, n: int, what: str = "labels") -> tuple[str, ...]:
    if labels is None:
        return ()
    several = isinstance(labels, Iterable) and not isinstance(labels, str)
    names = tuple(map(str, labels)) if several else ()
    if len(names) != n:
        raise ValueError(f"{what} must be {n} names, got {labels!r}")
    return names


# -- exact arithmetic --------------------------------------------------------------------------


def _dot(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(map(mul, a, b))


def _are_independent(u: Sequence[int], v: Sequence[int]) -> bool:
    """Whether two integer vectors span a plane."""
    at = next((k for k, x in enumerate(u) if x), None)
    return at is not None and any(u[at] * y != v[at] * x for x, y in zip(u, v, strict=True))


def _root(numerator: int, denominator: int, exponent: int) -> float:
    """The float64 nearest to ``sqrt(numerator / denominator) * 2**exponent``.

    To nearest but for a chance of about 2**-100; the root is cut off far behind float64's digits.
    """
    product = numerator * denominator
    shift = max(0, _MORE_BITS - product.bit_length() // 2)
    root, divisor = isqrt(product << 2 * shift), denominator << shift
    return rounded(root << max(exponent, 0), divisor << max(-exponent, 0))


def _unit(w: Sequence[int]) -> FloatArray:
    """The direction of an integer vector, of length 1, each entry rounded to nearest."""
    square = _dot(w, w)
    shift = max(0, _MORE_BITS - square.bit_length() // 2)
    length = isqrt(square << 2 * shift)
    return np.array([rounded(x << shift, length) for x in w])


def _nearest(
    origin: FloatArray, u: FloatArray, v: FloatArray, x: FloatArray
) -> tuple[float, float, float]:
    """Least squares coordinates of a point, and its distance from the plane."""
    (o, a, b, p), exponent = integers(origin, u, v, x)
    d = [q - r for q, r in zip(p, o, strict=True)]
    aa, ab, bb, ad, bd = _dot(a, a), _dot(a, b), _dot(b, b), _dot(a, d), _dot(b, d)
    gram = aa * bb - ab * ab
    s, t = ad * bb - bd * ab, bd * aa - ad * ab
    rest = _dot(d, d) * gram - s * ad - t * bd
    return rounded(s, gram), rounded(t, gram), _root(rest, gram, exponent)


def _distances(
    origin: FloatArray, u: FloatArray, v: FloatArray, xy: FloatArray, points: Sequence[FloatArray]
) -> FloatArray:
    """Bounds on the distances of points from those of the plane with coordinates `xy`."""
    bounds = []
    for (s, t), point in zip(xy.tolist(), points, strict=True):
        (o, a, b, p), exponent = integers(origin, u, v, point)
        (sn, sd), (tn, td) = s.as_integer_ratio(), t.as_integer_ratio()
        off = [
            (z - w) * sd * td - sn * td * x - tn * sd * y
            for w, x, y, z in zip(o, a, b, p, strict=True)
        ]
        square = _dot(off, off)
        distance = _root(square, (sd * td) ** 2, exponent)
        bounds.append(nextafter(distance, inf) if square else 0.0)
    return np.array(bounds, dtype=np.float64)


def _frame(xy: FloatArray, margin: float) -> Bounds:
    """A square around points, with a margin, of multiples of a power of two."""
    low, high = ([Fraction(v) for v in f(xy, axis=0).tolist()] for f in (np.min, np.max))
    extent = max(h - w for h, w in zip(high, low, strict=True))
    half = extent / 2 + extent * Fraction(margin)
    unit = Fraction(2) ** (frexp(float(half))[1] - 8)
    middle = [(h + w) / 2 for h, w in zip(high, low, strict=True)]
    xmin, ymin = (float(floor((m - half) / unit) * unit) for m in middle)
    xmax, ymax = (float(ceil((m + half) / unit) * unit) for m in middle)
    return xmin, ymin, xmax, ymax
