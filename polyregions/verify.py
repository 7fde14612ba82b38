"""The check of a partition against sampling the model itself.

The model's own forward and autograd are called on a grid, and `numpy.gradient` is taken of its
values; no code is shared with the engines. What the samples say is compared with what the
partition says there. Differences are judged by rigorous bounds on the rounding errors of both
sides, worked out for each sample (see `polyregions.rounding`); nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyregions.domain import Domain
from polyregions.float64 import NORMAL, U
from polyregions.forward import Forward, Sample, forward_of
from polyregions.limits import as_integer
from polyregions.line import LinePartition
from polyregions.lower import lower
from polyregions.network import (
    Activation,
    AffineStep,
    ByteArray,
    FloatArray,
    IntArray,
    Network,
    Step,
    Units,
    joined,
)
from polyregions.partition import Partition
from polyregions.rounding import ForwardBound, forward_bound, jacobian_bound

BoolArray: TypeAlias = NDArray[np.bool_]

# Samples taken at once, and how many numbers of one kind they may have: about 16 MB.
_POINTS_AT_ONCE = 1 << 15
_NUMBERS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Check:
    """One comparison, made at many places.

    Attributes
    ----------
    name : str
    n : int
        Number of comparisons.
    n_wrong : int
        How many differ by more than rounding can explain.
    n_rounding : int
        How many differ, but by no more than that.
    largest_error : float
        Largest difference seen, where it is a number.
    largest_share : float
        Largest difference as a share of its own bound; a check fails above 1.
    example : str
        The first failure, in words.
    """

    name: str
    n: int
    n_wrong: int
    n_rounding: int = 0
    largest_error: float = 0.0
    largest_share: float = 0.0
    example: str = ""

    def __str__(self) -> str:
        verdict = "agree" if self.n else "not compared"
        if self.n_wrong:
            verdict = f"{self.n_wrong:,} WRONG"
        extra = []
        if self.n_rounding:
            extra.append(f"{self.n_rounding:,} differ within rounding")
        if self.largest_share:
            extra.append(
                f"largest error {self.largest_error:.2g}, {self.largest_share:.0%} of its bound"
            )
        if self.example:
            extra.append(self.example)
        return f"{self.name:<22}{self.n:>10,}  {verdict}" + "".join(f"; {e}" for e in extra)


@dataclass(frozen=True)
class Verification:
    """What the samples said about a partition.

    Attributes
    ----------
    ok : bool
        Whether nothing disagrees beyond rounding.
    resolution : int
        Grid points along each axis that were asked for.
    precision : str
        The arithmetic of the model's own forward, such as ``"float32"``.
    checks : tuple of Check
        Every comparison made: ``coverage``, ``patterns``, ``values``, ``jacobians``,
        ``finite differences``, ``interior points``, ``edges`` and ``complex``.
    n_samples : int
        Grid points inside the domain.
    n_straddling : int
        Finite-difference stencils that do not lie in one face, which say nothing.
    n_hit : int
        Faces that hold a grid point.
    missed_faces : (K,) int64
        The faces that the grid never hit, by index.
    missed_areas : (K,) float64
        Their areas.
    """

    ok: bool
    resolution: int
    precision: str
    checks: tuple[Check, ...]
    n_samples: int
    n_straddling: int
    n_hit: int
    missed_faces: IntArray = field(repr=False)
    missed_areas: FloatArray = field(repr=False)

    def check(self, name: str) -> Check:
        """The check of the given name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(f"no check {name!r}; there are {[c.name for c in self.checks]}")

    def __str__(self) -> str:
        n = len(self.missed_faces)
        largest = f", the largest of area {self.missed_areas.max():.3g}" if n else ""
        return "\n".join(
            [
                f"Verification {'passed' if self.ok else 'FAILED'}: "
                f"{self.resolution} x {self.resolution} grid, {self.n_samples:,} samples of the "
                f"model's own forward in {self.precision}",
                *(f"  {check}" for check in self.checks),
                f"  {self.n_straddling:,} finite-difference stencils straddle an edge",
                f"  the grid hits {self.n_hit:,} faces and misses {n:,}{largest}",
            ]
        )


def verify(part: Partition | LinePartition, model: Any, *, resolution: int = 500) -> Verification:
    """Check a partition against the model itself, by sampling.

    The model's own forward and autograd are evaluated on a grid over the domain. At every sample
    the activation pattern, the values and the Jacobian must be those of the face that the
    partition locates there, and `numpy.gradient` of the values must be the face's gradient
    wherever the whole stencil lies in one face. One point inside each face (also of those that
    the grid misses) and every vertex are checked as well: there the units that made the edges that
    end in it must be at their breakpoints. Last, the partition's own certificate must hold.

    Parameters
    ----------
    part : Partition or LinePartition
        On a line the grid is one of parameters, and the report a
        `polyregions.verify_line.LineVerification`.
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        The model that the partition was made of, in any form that `lower` takes. With a slice it
        is called at points of the plane, in its own input's shape.
    resolution : int
        Number of grid points along each axis.

    Returns
    -------
    Verification
        Its `ok` is true only if nothing disagrees beyond the rounding of the model's own dtype.

    Raises
    ------
    ValueError
        If the model has other units or outputs than the partition, or other inputs than its
        slice, or resolution is below 3.
    TypeError
        If resolution is no integer.

    Notes
    -----
    Samples are taken and compared some at a time, so that memory does not grow with their number
    but for the values on the grid. Time is mostly that of the bounds, which take a few forward
    passes in float64 each.

    A model that works in place on what its derivative needs, or uses operations that have none,
    is checked without its Jacobian, and one whose units cannot be told from without is checked
    without its patterns; the report says so.

    Examples
    --------
    >>> import polyregions as pr
    >>> layers = [([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])]
    >>> pr.verify(pr.partition(layers), layers, resolution=50).ok
    True
    """
    resolution = as_integer(resolution, "resolution", least=3)
    if isinstance(part, LinePartition):
        from polyregions.verify_line import verify_line

        return verify_line(part, model, resolution)
    if not isinstance(part, Partition):
        raise TypeError(
            "part must be a Partition or LinePartition, as polyregions.partition and "
            f"partition_line make, got {type(part).__name__}; the model is the second argument"
        )
    whole = lower(model, shape=None if part.slice is None else part.slice.shape)
    network = whole if part.slice is None else part.slice.restrict(whole)
    return Verifier(part, network, forward_of(model, part.slice, whole), resolution).run()


class Verifier:
    """One check of a partition against a forward; see `verify`.

    Parameters
    ----------
    part : Partition
    network : Network
        Of two inputs, as `part` is of.
    forward : Forward
        Of the same.
    resolution : int

    Raises
    ------
    ValueError
        If the network has other units or outputs than the partition.
    """

    def __init__(
        self, part: Partition, network: Network, forward: Forward, resolution: int
    ) -> None:
        if network.n_inputs != 2:
            raise ValueError(
                f"the model has {network.n_inputs} inputs, but the partition is of a network of "
                "two and has no slice; was it made of another model?"
            )
        if network.n_units != part.n_units or network.n_outputs != part.n_outputs:
            chooses = (part.n_units, part.n_outputs) == (network.n_units + 1, 1)
            also = ", such as pr.with_decision(model), which is then what to give here"
            raise ValueError(
                f"the model has {network.n_units} units and {network.n_outputs} outputs, the "
                f"partition {part.n_units} and {part.n_outputs}; was it made of another model"
                f"{also if chooses else '?'}"
            )
        # Of the whole plane, what a box around all finite vertices shows: a part of every face.
        self.part, self.whole = part._shown, part
        self.network = network
        self.forward = forward
        self.resolution = resolution
        self.breakpoints = _breakpoints(network)
        # A sample has this many numbers, or its bounds do on the way.
        width = max([network.n_inputs, *(step.n_outputs for step in network.steps)])
        numbers = network.n_units + network.n_outputs * (width + 2)
        self._at_once = max(1, min(_POINTS_AT_ONCE, _NUMBERS_AT_ONCE // numbers))

    def run(self) -> Verification:
        part = self.part
        x, y = self._axes()
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        face = part.locate(grid)
        inside = _inside(part.domain, grid) | (face >= 0)
        located = np.flatnonzero(face >= 0)

        values, errors = np.full((2, len(grid), part.n_outputs), np.nan)
        checks: dict[str, list[Check]] = {"patterns": [], "values": [], "jacobians": []}
        # By faces, so that what is worked out for each serves all its points at once.
        by_face = located[np.argsort(face[located], kind="stable")]
        precision = None
        for some in self._chunks(len(by_face)):
            chosen = by_face[some]
            points, at = grid[chosen], face[chosen]
            sample = self._sample(points, with_jacobian=True)
            bound = forward_bound(self.network, points, sample.precision)
            checks["patterns"].append(self._patterns("patterns", at, points, sample, bound))
            checks["values"].append(self._values("values", at, points, sample, bound))
            checks["jacobians"].append(self._jacobians(at, points, sample))
            values[chosen], errors[chosen] = sample.values, bound.values
            precision = sample.precision
        assert precision is not None  # there is one chunk at least, even if it is empty

        hit = np.unique(face[located])
        missed = np.setdiff1d(np.arange(part.n_faces), hit)
        differences, straddling = self._finite_differences(x, y, face, values, errors)
        all_checks = [
            _count("coverage", face[inside] < 0, lambda i: f"no face at {grid[inside][i]}"),
            *map(_merge, checks.values()),
            differences,
            self._interior_points(),
            self._edges(),
            self._complex(),
        ]
        report = Verification(
            ok=not any(check.n_wrong for check in all_checks),
            resolution=self.resolution,
            precision=precision.name,
            checks=tuple(all_checks),
            n_samples=len(located),
            n_straddling=straddling,
            n_hit=len(hit),
            missed_faces=missed,
            missed_areas=part.areas[missed],
        )
        said_something = report.check("values").n or not report.n_samples
        return replace(report, ok=report.ok and bool(said_something))

    def _chunks(self, n: int) -> Iterator[slice]:
        """Ranges that cover 0..n, at least one, with as many samples as are taken at once."""
        for begin in range(0, max(n, 1), self._at_once):
            yield slice(begin, min(begin + self._at_once, n))

    def _axes(self) -> tuple[FloatArray, FloatArray]:
        """Grid coordinates that the model's dtype represents exactly."""
        xmin, ymin, xmax, ymax = self.part.domain.bounds
        steps = np.linspace(0.0, 1.0, self.resolution)
        lines = np.stack([xmin + (xmax - xmin) * steps, ymin + (ymax - ymin) * steps], axis=1)
        lines[-1] = xmax, ymax
        lines = self.forward.representable(lines)
        return np.unique(lines[:, 0]), np.unique(lines[:, 1])

    def _sample(self, points: FloatArray, *, with_jacobian: bool = False) -> Sample:
        if not len(points):  # take the shapes of a sample of one
            one = self._sample(
                self.forward.representable(self.part.domain.xy[:1]), with_jacobian=with_jacobian
            )
            return replace(
                one,
                values=one.values[:0],
                jacobian=None if one.jacobian is None else one.jacobian[:0],
                preactivation=one.preactivation[:0],
                pattern=one.pattern[:0],
            )
        sample = self.forward.sample(points, with_jacobian=with_jacobian)
        if not sample.unseen and sample.pattern.shape[1] != self.part.n_units:
            raise ValueError(
                f"the model's forward shows {sample.pattern.shape[1]} units, the partition has "
                f"{self.part.n_units}; was it made of another model?"
            )
        return sample

    def _patterns(
        self, name: str, at: IntArray, points: FloatArray, sample: Sample, bound: ForwardBound
    ) -> Check:
        """Patterns must agree except where a pre-activation is within rounding of switching."""
        if sample.unseen:
            return _nothing(name, sample.unseen)
        expected = self.part.face_pattern[at]
        differs = sample.pattern != expected
        row, unit = np.nonzero(differs)
        distance = self._distance(
            sample.preactivation[row, unit], unit, sample.pattern[row, unit], expected[row, unit]
        )
        limit = bound.preactivations[row, unit]
        wrong = ~(distance <= limit) & np.isfinite(limit)
        rows = np.unique(row[wrong])
        example = ""
        if len(rows):
            i = row[wrong][0]
            example = (
                f"unit {unit[wrong][0]} at {points[i].tolist()} is on piece "
                f"{sample.pattern[i, unit[wrong][0]]}, face {at[i]} says "
                f"{expected[i, unit[wrong][0]]}"
            )
        n_rounding = len(np.setdiff1d(row, rows))
        return Check(name, len(at), len(rows), n_rounding, example=example)

    def _distance(
        self, z: FloatArray, unit: IntArray, piece: ByteArray, expected: ByteArray
    ) -> FloatArray:
        """How far pre-activations would have to move to be on the expected piece."""
        breakpoints = self.breakpoints[unit]
        row = np.arange(len(unit))
        upward = expected > piece
        # To go up to piece k, z must pass breakpoint k - 1; to go down to it, breakpoint k.
        k = np.where(upward, expected.astype(np.int64) - 1, expected)
        valid = k < breakpoints.shape[1]
        t = np.where(valid, breakpoints[row, np.minimum(k, breakpoints.shape[1] - 1)], np.inf)
        return np.abs(z - t)

    def _values(
        self, name: str, at: IntArray, points: FloatArray, sample: Sample, bound: ForwardBound
    ) -> Check:
        weight, bias = self.part.face_weight[at], self.part.face_bias[at]
        value = np.einsum("nmi,ni->nm", weight, points) + bias
        size = np.einsum("nmi,ni->nm", np.abs(weight), np.abs(points)) + np.abs(bias)
        weight_error, bias_error = self.part.face_weight_error[at], self.part.face_bias_error[at]
        off = np.einsum("nmi,ni->nm", weight_error, np.abs(points)) + bias_error
        # Two products and two sums are off by 4u in all, and `off` itself by as much.
        limit = bound.values + off * (1 + 8 * U) + 8 * U * size + 4 * NORMAL
        return _compare(name, sample.values, value, limit, _at(points))

    def _jacobians(self, at: IntArray, points: FloatArray, sample: Sample) -> Check:
        """Autograd's Jacobian must be the face's, where the model is on the face's pattern."""
        if sample.jacobian is None:
            return _nothing("jacobians", sample.limitation)
        if sample.unseen:
            return _nothing("jacobians", sample.unseen)
        same = (sample.pattern == self.part.face_pattern[at]).all(axis=1) & ~self._on_a_bend(sample)
        if len(same) and not same.any():
            return _nothing("jacobians", "is on a bend, where it has several, at all samples")
        faces, index = np.unique(at[same], return_inverse=True)
        limit = jacobian_bound(self.network, self.part.face_pattern[faces], sample.precision)
        exact = self.part.face_weight[faces]
        limit = limit + self.part.face_weight_error[faces]
        where = _at(points[same])
        return _compare("jacobians", sample.jacobian[same], exact[index], limit[index], where)

    def _on_a_bend(self, sample: Sample) -> BoolArray:
        """Samples with a unit exactly on a breakpoint, where autograd takes a side of its own."""
        on_one = np.zeros(len(sample.values), dtype=bool)
        for t in self.breakpoints.T:
            finite = np.isfinite(t)
            gap = np.abs(sample.preactivation[:, finite] - t[finite])
            # The model compares with the breakpoint rounded to its own dtype.
            near = gap <= 2 * sample.precision.unit_roundoff * np.abs(t[finite])
            on_one |= near.any(axis=1)
        return on_one

    def _finite_differences(
        self, x: FloatArray, y: FloatArray, face: IntArray, values: FloatArray, errors: FloatArray
    ) -> tuple[Check, int]:
        """`numpy.gradient` of the values must be the face's gradient inside a face."""
        shape = (len(y), len(x))
        if max(shape) < 2:
            return Check("finite differences", 0, 0, example="the grid is a single point"), 0
        faces = face.reshape(shape)
        checks: list[Check] = []
        straddling = 0
        # The difference quotient itself is computed in float64 from three values.
        errors = errors + (8 * U * np.abs(values) + NORMAL)
        values, errors = (a.reshape(*shape, -1) for a in (values, errors))
        for axis, (along, component) in enumerate([(y, 1), (x, 0)]):
            if len(along) < 2:
                continue
            with np.errstate(over="ignore", invalid="ignore"):  # what overflowed has no bound
                difference = np.gradient(values, along, axis=axis)
                limit = _stencil_error(errors, along, axis)
            before = np.concatenate([np.take(faces, [0], axis), _cut(faces, axis, end=-1)], axis)
            after = np.concatenate([_cut(faces, axis, begin=1), np.take(faces, [-1], axis)], axis)
            whole = (before == faces) & (after == faces) & (faces >= 0)
            straddling += int(np.count_nonzero((faces >= 0) & ~whole))
            exact = self.part.face_weight[faces[whole], :, component]
            off = self.part.face_weight_error[faces[whole], :, component] + 8 * U * np.abs(exact)
            i, j = np.nonzero(whole)
            where = _at(np.stack([x[j], y[i]], axis=1))
            checks.append(
                _compare("finite differences", difference[whole], exact, limit[whole] + off, where)
            )
        return _merge(checks), straddling

    def _interior_points(self) -> Check:
        """One sample in each face, where the model's dtype has a number in it."""
        part = self.part
        points = self.forward.representable(part.centroids)
        at = part.locate(points)
        inside = np.flatnonzero(at == np.arange(part.n_faces))
        checks = []
        for some in self._chunks(len(inside)):
            faces = inside[some]
            sample = self._sample(points[faces])
            bound = forward_bound(self.network, points[faces], sample.precision)
            arguments = faces, points[faces], sample, bound
            checks.append(self._patterns("interior points", *arguments))
            checks.append(self._values("interior points", *arguments))
        return replace(_merge(checks), n=len(inside))

    def _edges(self) -> Check:
        """At both ends of an edge the unit that made it must be at a breakpoint."""
        part = self.part
        edges = np.flatnonzero(part.edge_unit >= 0)
        left, right = part.edge_faces[edges].T
        unit = part.edge_unit[edges]
        piece = np.minimum(part.face_pattern[left, unit], part.face_pattern[right, unit])
        k = np.minimum(piece, self.breakpoints.shape[1] - 1)
        breakpoint = self.breakpoints[unit, k]
        steepest = _steepest_units(self.network)
        # Ends of edges by their vertices, each of which is sampled once.
        vertex = part.edge_vertices[edges].T.ravel()
        ends = np.argsort(vertex, kind="stable")
        used, first = np.unique(vertex[ends], return_index=True)
        first = np.append(first, len(ends))
        checks = []
        for some in self._chunks(len(used)):
            exact = part.vertex_xy[used[some]]
            points = self.forward.representable(exact)
            sample = self._sample(points)
            if sample.unseen:
                return _nothing("edges", sample.unseen)
            bound = forward_bound(self.network, points, sample.precision).preactivations
            # The sample is near the vertex; a unit moves by its slope times the distance.
            moved = np.abs(points - exact) + part.vertex_error[used[some]]
            here = ends[first[some.start] : first[some.stop]]
            row = np.repeat(np.arange(len(points)), np.diff(first[some.start : some.stop + 1]))
            e = here % max(len(edges), 1)
            shift = (moved[row] * steepest[unit[e]]).sum(axis=1) * (1 + 8 * U)
            checks.append(
                _compare(
                    "edges",
                    sample.preactivation[row, unit[e]],
                    breakpoint[e],
                    bound[row, unit[e]] + shift + NORMAL,
                    _of_unit(edges[e], unit[e]),
                )
            )
        return _merge(checks)

    def _complex(self) -> Check:
        """The faces must fit together, fill the domain and carry the labels of their edges."""
        certificate = self.whole.certificate
        failures = list(certificate.failures)
        if not np.array_equal(self.part.unit_layer, self.network.unit_layer):
            failures.append("not so: units are numbered by the layers of the model")
        n = len(certificate.checks) + 1
        return Check("complex", n, len(failures), example="; ".join(failures))


def _nothing(name: str, limitation: str) -> Check:
    """A comparison that the model's forward does not allow."""
    return Check(name, 0, 0, example=f"the model's forward {limitation}")


def _at(points: FloatArray) -> Callable[[int], str]:
    return lambda i: f"at {points[i].tolist()}"


def _of_unit(edges: IntArray, unit: IntArray) -> Callable[[int], str]:
    return lambda i: f"edge {edges[i]} of unit {unit[i]}"


def _inside(domain: Domain, points: FloatArray) -> BoolArray:
    """Points that are certainly in the closed domain."""
    xmin, ymin, xmax, ymax = domain.bounds
    x, y = points.T
    if domain.is_box:
        return (xmin <= x) & (x <= xmax) & (ymin <= y) & (y <= ymax)
    if not domain.is_convex:
        from polyregions.walking import fill_sides_of_rings, frozen, in_ranges, ring_ends

        side = np.empty(len(points), dtype=np.int8)
        ends = ring_ends(np.pad(domain.xy, ((0, 0), (0, 2))), domain.ring_offsets)
        in_ranges(len(points), fill_sides_of_rings, ends, frozen(points), side)
        return side > 0
    inside = np.ones(len(points), dtype=bool)
    corners = domain.xy
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        left = (b[0] - a[0]) * (y - a[1])
        right = (b[1] - a[1]) * (x - a[0])
        inside &= left - right > 8 * U * (np.abs(left) + np.abs(right)) + NORMAL
    return inside


def _breakpoints(network: Network) -> FloatArray:
    """(H, K) breakpoints of all units, filled with inf."""
    layers = network.activations
    width = max((_n_pieces(layer) - 1 for layer in layers), default=0)
    table = np.full((network.n_units, max(width, 1)), np.inf)
    begin = 0
    for layer in layers:
        end, k = begin + layer.n_outputs, _n_pieces(layer) - 1
        # A unit that takes the largest of several values switches where the next is as large.
        table[begin:end, :k] = layer.breakpoints if isinstance(layer, Activation) else 0.0
        begin = end
    return table


def _n_pieces(layer: Units) -> int:
    table = layer.slopes if isinstance(layer, Activation) else layer.members
    return int(table.shape[1])


def _steepest_units(network: Network) -> FloatArray:
    """(H, n_inputs) bound on the absolute slope of every pre-activation, anywhere."""
    slopes = [np.empty((network.n_inputs, 0))]

    def advance(step: Step, slope: FloatArray) -> FloatArray:
        """Slopes by each input, (n_inputs, n)."""
        if isinstance(step, AffineStep):
            return step.magnitude(slope)
        if isinstance(step, Activation):
            slopes.append(slope)
            return slope * np.abs(step.slopes).max(axis=1)
        slope = step.candidates(slope).max(axis=-1)
        slopes.append(2 * slope)  # of the distance between two values
        return slope

    network.propagate(np.eye(network.n_inputs), joined, advance)
    return np.concatenate(slopes, axis=1).T


def _cut(array: IntArray, axis: int, begin: int | None = None, end: int | None = None) -> IntArray:
    index: list[slice] = [slice(None)] * array.ndim
    index[axis] = slice(begin, end)
    return array[tuple(index)]


def _stencil_error(errors: FloatArray, along: FloatArray, axis: int) -> FloatArray:
    """Error of `numpy.gradient`, given the errors of the values it is taken of.

    Inside, for unequal spacings h to the left and k to the right, the weights of the three values
    are -k / (h (h + k)), (k - h) / (h k) and h / (k (h + k)); at the ends +-1 / h.
    """
    e = np.moveaxis(errors, axis, 0)
    h = np.diff(along).reshape(-1, *[1] * (e.ndim - 1))
    limit = np.empty_like(e)
    limit[0] = (e[0] + e[1]) / h[0]
    limit[-1] = (e[-2] + e[-1]) / h[-1]
    left, right = h[:-1], h[1:]
    limit[1:-1] = (
        right / (left * (left + right)) * e[:-2]
        + np.abs(right - left) / (left * right) * e[1:-1]
        + left / (right * (left + right)) * e[2:]
    )
    # numpy takes equal spacings for (f[i+1] - f[i-1]) / 2h, whose weights differ by roundoff.
    return np.moveaxis(limit, 0, axis) * (1 + 16 * U)


def _count(name: str, wrong: BoolArray, describe: Callable[[int], str]) -> Check:
    n_wrong = int(np.count_nonzero(wrong))
    example = describe(int(np.argmax(wrong))) if n_wrong else ""
    return Check(name, len(wrong), n_wrong, example=example)


def _compare(
    name: str,
    got: FloatArray,
    expected: FloatArray,
    limit: FloatArray,
    describe: Callable[[int], str],
) -> Check:
    """Compare arrays row by row; where the limit is infinite nothing can be said."""
    rows = len(got)
    if not rows:
        return Check(name, 0, 0)
    got, expected, limit = (a.reshape(rows, -1) for a in (got, expected, limit))
    known = np.isfinite(limit)
    with np.errstate(invalid="ignore"):
        error = np.abs(got - expected)
        wrong = known & ~(error <= limit)
        share = np.where(known & (error > 0), error / np.where(limit > 0, limit, NORMAL), 0.0)
    bad = wrong.any(axis=1)
    example = ""
    if bad.any():
        i = int(np.argmax(bad))
        m = int(np.argmax(wrong[i]))
        example = (
            f"{describe(i)} the model gives {got[i, m]:.17g}, the partition "
            f"{expected[i, m]:.17g}; rounding explains {limit[i, m]:.3g}"
        )
    return Check(
        name,
        int(np.count_nonzero(known.any(axis=1))),
        int(np.count_nonzero(bad)),
        0,
        float(np.nanmax(np.where(known, error, 0.0), initial=0.0)),
        float(np.nanmax(share, initial=0.0)),
        example,
    )


def _merge(checks: Sequence[Check]) -> Check:
    n = sum(c.n for c in checks)
    return Check(
        checks[0].name,
        n,
        sum(c.n_wrong for c in checks),
        sum(c.n_rounding for c in checks),
        max(c.largest_error for c in checks),
        max(c.largest_share for c in checks),
        next((c.example for c in checks if c.example and (c.n or not n)), ""),
    )
