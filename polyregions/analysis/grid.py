"""What a regular grid of sample points sees of a partition."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import ceil
from typing import NamedTuple, TypeAlias

import numpy as np
from flint import fmpz_mat
from numpy.typing import ArrayLike, NDArray

from polyregions.exact import Triple, cross
from polyregions.float64 import U
from polyregions.network import FloatArray, IntArray
from polyregions.partition import Partition

BoolArray: TypeAlias = NDArray[np.bool_]

# Unit roundoff of float64.

# When to give up looking for a grid that hits a face: the number of points compared with it, where
# a point that float64 cannot decide on counts as many, as it takes that long.
_MAX_WORK = 10_000_000
_UNDECIDED_WORK = 200


def locate_grid(part: Partition, x: ArrayLike, y: ArrayLike) -> IntArray:
    """Find the face of every point of a grid.

    The same as ``part.locate`` at ``(x[i], y[j])``, exact and with the same choice on edges.

    Parameters
    ----------
    part : Partition
    x : (m,) array_like of float
        Increasing.
    y : (n,) array_like of float
        Increasing.

    Returns
    -------
    (n, m) int64
        The face at ``(x[i], y[j])`` in row j and column i; -1 outside the domain.

    Raises
    ------
    ValueError
        If `x` or `y` is not increasing.

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.analysis.grid import locate_grid
    >>> part = pr.partition([([[1, 1]], [0]), ([[1]], [0])], domain=(-1, 1))  # max(x + y, 0)
    >>> locate_grid(part, [-0.5, 0.25, 0.75], [-0.5, 0.5])
    array([[0, 0, 1],
           [0, 1, 1]])
    """
    xs, ys = _increasing(x, "x"), _increasing(y, "y")
    return part.locate(np.stack(np.meshgrid(xs, ys), axis=-1))


def _increasing(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.all(array[1:] > array[:-1]):
        raise ValueError(f"{name} must be one-dimensional and increasing")
    return array


def _compare(
    corners: FloatArray, error: float, x: FloatArray, y: FloatArray
) -> tuple[BoolArray, BoolArray]:
    """Which points of a block are certainly inside a convex face, and which certainly outside.

    With the side from a to b, the sign of ``(b_x - a_x)(p_y - a_y) - (b_y - a_y)(p_x - a_x)`` is
    wanted. All coordinates are at most M in size, and those of the corners off by at most
    e = `error`. So the differences of corners are off by at most 2e and those with p by e, and
    all are at most 2M; the products by 6eM + 2e^2, and their difference by 12eM + 4e^2. Computing
    it rounds by less than 46 uM^2. The factors below are more than enough.
    """
    size = max(np.abs(corners).max(), np.abs(x).max(), np.abs(y).max()) + error
    bound = 64 * U * size**2 + 16 * error * size
    least = np.full((len(y), len(x)), np.inf)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        across = (b[0] - a[0]) * (y - a[1])
        along = (b[1] - a[1]) * (x - a[0])
        np.minimum(least, across[:, None] - along[None, :], out=least)
    return least > bound, least < -bound


class Square(NamedTuple):
    """A square with sides along the axes, exactly.

    Attributes
    ----------
    x, y : Fraction
        Its centre.
    side : Fraction
        The length of its side.
    """

    x: Fraction
    y: Fraction
    side: Fraction


def inscribed_square(part: Partition, f: int) -> Square:
    """Find a largest square with sides along the axes in face `f`, exactly.

    A grid whose spacing is not larger than its side has a point in the face, wherever the grid
    begins; see `sure_resolution`.

    Returns
    -------
    Square

    Notes
    -----
    The square of half side s around p lies to the left of the side with the function
    ``L(p) = a x + b y + c >= 0`` where ``L(p) >= (|a| + |b|) s``. The largest s is attained where
    three such conditions hold with equality, so all threes are tried: a face with k vertices
    takes time in proportion to k^4, which is little, as faces have four vertices on average.

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.analysis.grid import inscribed_square
    >>> part = pr.partition([([[1, 1]], [0]), ([[1]], [0])], domain=(-1, 1))  # two triangles
    >>> inscribed_square(part, 0)
    Square(x=Fraction(-1, 2), y=Fraction(-1, 2), side=Fraction(1, 1))
    """
    polygon = part.exact_polygon(f)
    sides = [_condition(cross(polygon[i - 1], p)) for i, p in enumerate(polygon)]
    best: Square | None = None
    for three in combinations(sides, 3):
        found = _solve(three)
        if found is None:
            continue
        x, y, s, w = found
        if (best is None or Fraction(2 * s, w) > best.side) and all(
            a * x + b * y + n * s + c * w >= 0 for a, b, n, c in sides
        ):
            best = Square(Fraction(x, w), Fraction(y, w), Fraction(2 * s, w))
    assert best is not None  # the conditions bound s, so some three of them attain the largest
    return best


def _condition(line: Triple) -> tuple[int, int, int, int]:
    """Coefficients of x, y, s and 1 in ``L(p) - (|a| + |b|) s``, which must not be negative."""
    a, b, c = line
    return a, b, -(abs(a) + abs(b)), c


def _solve(
    equations: tuple[tuple[int, int, int, int], ...],
) -> tuple[int, int, int, int] | None:
    """Where three conditions hold with equality, as (x, y, s, w) with w > 0; None if nowhere."""
    columns = list(zip(*equations, strict=True))
    w = int(fmpz_mat(columns[:3]).det())
    if w == 0:
        return None
    # Cramer's rule for the right-hand side -c.
    x, y, s = (
        -int(fmpz_mat([columns[3] if i == k else columns[i] for i in range(3)]).det())
        for k in range(3)
    )
    return (x, y, s, w) if w > 0 else (-x, -y, -s, -w)


def sure_resolution(part: Partition, f: int) -> int:
    """Give a resolution from which on every grid over the domain has a point in face `f`.

    A grid of resolution n has n points along each side of the domain's bounding box, corners
    included. Its spacing along the longer side is then not larger than the side of the largest
    square in the face. Some coarser grids may hit the face too, by luck: see `first_resolution`.
    """
    xmin, ymin, xmax, ymax = (Fraction(v) for v in part.domain.bounds)
    return ceil(max(xmax - xmin, ymax - ymin) / inscribed_square(part, f).side) + 1


def first_resolution(part: Partition, f: int, *, limit: int = 10_000_000) -> int | None:
    """Find the coarsest grid over the domain that has a point in face `f`.

    Parameters
    ----------
    part : Partition
    f : int
    limit : int
        The largest resolution tried; a million take about 0.1 s.

    Returns
    -------
    int or None
        The least n >= 2 for which a point ``(x[i], y[j])`` of
        ``x = numpy.linspace(xmin, xmax, n)``, ``y = numpy.linspace(ymin, ymax, n)`` lies in the
        face (if on its border: is counted to it by `Partition.locate`). A finer grid may miss the
        face again. None if there is none up to `limit`, or if looking further would take longer
        than some seconds, as it may for a face that is long and extremely thin.
    """
    f = range(part.n_faces)[f]
    xmin, ymin, xmax, ymax = part.domain.bounds
    corners = part.vertex_xy[part.face(f)]
    error = float(part.vertex_error[part.face(f)].max())
    (left, bottom), (right, top) = corners.min(axis=0) - error, corners.max(axis=0) + error
    chunk = 1 << 12
    begin = 2
    work = 0
    while begin <= limit:
        n = np.arange(begin, min(begin + chunk, limit + 1))
        first_x, last_x = _columns(n, xmin, xmax, left, right)
        first_y, last_y = _columns(n, ymin, ymax, bottom, top)
        for k in np.flatnonzero((first_x <= last_x) & (first_y <= last_y)):
            resolution = int(n[k])
            x = _grid_points(xmin, xmax, resolution, int(first_x[k]), int(last_x[k]))
            y = _grid_points(ymin, ymax, resolution, int(first_y[k]), int(last_y[k]))
            work += len(x) * len(y)
            if work > _MAX_WORK:
                return None
            inside, outside = _compare(corners, error, x, y)
            if inside.any():
                return resolution
            row, column = np.nonzero(~outside)
            work += _UNDECIDED_WORK * len(row)
            if len(row) and np.any(part.locate(np.stack([x[column], y[row]], axis=1)) == f):
                return resolution
        begin += len(n)
        chunk = min(2 * chunk, 1 << 18)
    return None


def _columns(
    n: IntArray, start: float, stop: float, low: float, high: float
) -> tuple[IntArray, IntArray]:
    """First and last index of ``linspace(start, stop, n)`` in [low, high], or a little around it.

    The quotient below is off by less than 8u times its largest value; grid points that near to
    the box are let in, and located exactly by the caller.
    """
    step = (stop - start) / (n - 1)
    slack = 8 * U * n * max(abs(start), abs(stop)) / (stop - start) + 8 * U * n
    first = np.ceil((low - start) / step - slack).astype(np.int64)
    last = np.floor((high - start) / step + slack).astype(np.int64)
    return np.maximum(first, 0), np.minimum(last, n - 1)


def _grid_points(start: float, stop: float, n: int, first: int, last: int) -> FloatArray:
    """``numpy.linspace(start, stop, n)[first : last + 1]`` without making the rest."""
    points = np.arange(first, last + 1, dtype=np.float64) * ((stop - start) / (n - 1)) + start
    if last == n - 1:
        points[-1] = stop
    return points
