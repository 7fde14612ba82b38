"""Networks on a straight path: the pieces of a segment on which every unit keeps its piece.

A network on a segment is one of two inputs of which the second changes nothing, so the planar
engines cut the unit square into upright strips. The feet of the lines between them are the
breakpoints, in exact order::

    t=1 +----+--+---------+-----+
        | 0  |1 |    2    |  3  |      pieces
    t=0 +----+--+---------+-----+
        0   breakpoints         1 = s

For the whole line they cut the whole plane, of which the same is seen in a box around all that is
finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from polyregions import engines, exact
from polyregions.domain import Domain, Plane, as_domain
from polyregions.exact import Triple
from polyregions.float64 import NORMAL, U
from polyregions.limits import as_flag, as_index, as_limit
from polyregions.lower import lower
from polyregions.network import ByteArray, FloatArray, IntArray, Network
from polyregions.partition import Partition
from polyregions.patterns import first_difference
from polyregions.progress import ProgressLike, reporter
from polyregions.segment import Segment, inputs_text

if TYPE_CHECKING:
    from polyregions.jacobian import Jacobian

# Where bounds leave more than this share of a length open, its ends are worked out exactly.
_RELATIVE_ERROR = 1e-3

_Array = TypeVar("_Array", bound=np.ndarray[Any, Any])


class PieceCount(NamedTuple):
    """How many pieces a line has, in each sense; see `RegionCount`.

    Attributes
    ----------
    activation_pieces : int
        Intervals with one activation pattern.
    linear_pieces : int
        Intervals on which all outputs are affine: merged where no output bends, which is decided
        exactly.
    affine_maps : int
        Distinct affine maps, on intervals next to each other or not.
    """

    activation_pieces: int
    linear_pieces: int
    affine_maps: int


class Extremes(NamedTuple):
    """The least and greatest values of the outputs along a line.

    Attributes
    ----------
    least, greatest : (M,) float64
    least_s, greatest_s : (M,) float64
        The parameters of breakpoints, or ends, with these values; the first ones.
    error : (M,) float64
        Bounds on the distance of either value from the exact one.
    """

    least: FloatArray
    least_s: FloatArray
    greatest: FloatArray
    greatest_s: FloatArray
    error: FloatArray


@dataclass(frozen=True, eq=False)
class LinePartition:
    """A segment between two inputs, cut into the pieces on which a network is affine.

    The parameter s runs from 0 at `a` to 1 at `b`; on the whole line through them, from -inf to
    inf, so that the first and the last piece are unbounded. P counts pieces, so that there are
    P - 1 breakpoints between them; H and M count units and outputs. All arrays are read-only.

    Attributes
    ----------
    segment : Segment
        The two inputs.
    network : Network
        The whole network, of all inputs.
    strips : Partition
        The partition of the unit square, or of the whole plane, that all else is read off: the
        network on the line, with s for the first coordinate and a second one on which nothing
        depends. Its
        `certificate`, `decisions` and `seconds` are those of this partition.

    Examples
    --------
    >>> import polyregions as pr
    >>> layers = [([[1, 1, 0], [0, 1, 1]], [0, -1]), ([[1, -2]], [0])]
    >>> part = pr.partition_line(layers, [-1, 0, 0], [1, 2, 3])
    >>> part
    <LinePartition of 3 inputs: 3 pieces, 2 units in 1 layer (2)>
    >>> part.breakpoints, part.piece_slope[:, 0]
    (array([0.2 , 0.25]), array([  0., -10.,  -6.]))
    >>> part.exact_breakpoint(0)
    Fraction(1, 5)
    """

    segment: Segment
    network: Network
    strips: Partition

    # -- sizes ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.n_pieces

    @property
    def n_pieces(self) -> int:
        """P, the number of activation pieces."""
        return self.strips.n_faces

    @property
    def n_units(self) -> int:
        """H."""
        return self.strips.n_units

    @property
    def n_outputs(self) -> int:
        """M."""
        return self.strips.n_outputs

    @property
    def a(self) -> FloatArray:
        """The input where s is 0."""
        return self.segment.a

    @property
    def b(self) -> FloatArray:
        """The input where s is 1."""
        return self.segment.b

    @property
    def length(self) -> float:
        """The distance from `a` to `b` in input space."""
        return self.segment.length

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole line through `a` and `b`."""
        return isinstance(self.strips.domain, Plane)

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last parameter: 0 and 1, or -inf and inf."""
        return (-np.inf, np.inf) if self.is_whole else (0.0, 1.0)

    # -- breakpoints ---------------------------------------------------------------------------

    @property
    def _box(self) -> Partition:
        """The strips in a box, which of the plane is one around all lines."""
        return self.strips._shown

    @cached_property
    def _order(self) -> tuple[IntArray, IntArray]:
        """The faces of the strips by s, and the feet of the lines between them."""
        return _along_the_bottom(self._box)

    @property
    def piece_face(self) -> IntArray:
        """(P,) int64: the face of `strips` that each piece is the foot of."""
        return self._order[0]

    def exact_breakpoint(self, i: int) -> Fraction:
        """The exact parameter of breakpoint `i`."""
        return Fraction(*self._ratio(as_index(i, self.n_pieces - 1, "breakpoint")))

    def _ratio(self, i: int) -> tuple[int, int]:
        x, _, w = self._box.vertex_exact[int(self._order[1][i])]
        return x, w

    @cached_property
    def _rounded(self) -> tuple[FloatArray, FloatArray]:
        """Parameters of the breakpoints, and bounds on their errors.

        Those between which a bound leaves the distance open are rounded from the exact ones. Hence
        they never decrease: what is certainly less before rounding is not more after it.
        """
        foot = self._order[1]
        s, error = self._box.vertex_xy[foot, 0].copy(), self._box.vertex_error[foot, 0].copy()
        gap = np.diff(s, prepend=self.ends[0], append=self.ends[1])
        doubt = np.append(error, 0.0) + np.insert(error, 0, 0.0)
        is_open = ~(doubt <= _RELATIVE_ERROR * gap)
        for i in np.flatnonzero(is_open[:-1] | is_open[1:]).tolist():
            s[i] = exact.rounded(*self._ratio(i))
            error[i] = exact.rounding_error(s[i])
        return _read_only(s), _read_only(error)

    @property
    def breakpoints(self) -> FloatArray:
        """(P - 1,) float64: the parameters at which units switch, strictly between the ends.

        Their order is exact. They are rounded, so that two that are very close may be equal here;
        `exact_breakpoint` gives fractions.
        """
        return self._rounded[0]

    @property
    def breakpoint_error(self) -> FloatArray:
        """(P - 1,) float64: bounds on the distance of each breakpoint from the exact one."""
        return self._rounded[1]

    @cached_property
    def bounds(self) -> FloatArray:
        """(P + 1,) float64: an end, the breakpoints, an end; piece i is between i and i + 1."""
        first, last = self.ends
        return _read_only(np.concatenate([[first], self.breakpoints, [last]]))

    @cached_property
    def _bound_error(self) -> FloatArray:
        return np.concatenate([[0.0], self.breakpoint_error, [0.0]])

    @cached_property
    def points(self) -> FloatArray:
        """``(P - 1, *shape)`` float64: the inputs at the breakpoints, rounded."""
        return _read_only(self.segment(self.breakpoints))

    @cached_property
    def breakpoint_unit(self) -> IntArray:
        """(P - 1,) int64: the unit that switches, the lowest if several do."""
        face = self.piece_face
        return _read_only(first_difference(self.strips.face_pattern, face[:-1], face[1:]))

    def breakpoint_units(self, i: int) -> IntArray:
        """All units that switch at breakpoint `i`, in increasing order."""
        i = as_index(i, self.n_pieces - 1, "breakpoint")
        before, after = self.strips.face_pattern[self.piece_face[i : i + 2]]
        switches: IntArray = np.flatnonzero(before != after)
        return switches

    @cached_property
    def breakpoint_layer(self) -> IntArray:
        """(P - 1,) int32: the activation layer of `breakpoint_unit`, from 0."""
        return _read_only(self.strips.unit_layer[self.breakpoint_unit])

    @cached_property
    def is_bend(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(P - 1,) bool: whether an output bends at a breakpoint, exactly decided."""
        return _read_only(self.piece_map[1:] != self.piece_map[:-1])

    # -- pieces --------------------------------------------------------------------------------

    @cached_property
    def lengths(self) -> FloatArray:
        """(P,) float64: how much of the parameter each piece takes; on a segment all add up to 1.

        Each is right to a thousandth at least, and most to many more digits.
        """
        lengths = np.diff(self.bounds)
        error = self._bound_error
        for i in np.flatnonzero(~(error[1:] + error[:-1] <= _RELATIVE_ERROR * lengths)).tolist():
            low = self.exact_breakpoint(i - 1) if i else Fraction(0)
            high = self.exact_breakpoint(i) if i + 1 < self.n_pieces else Fraction(1)
            lengths[i] = exact.rounded(*(high - low).as_integer_ratio())
        return _read_only(lengths)

    @cached_property
    def piece_pattern(self) -> ByteArray:
        """(P, H) uint8: the activation pattern of every piece; see `Partition`.

        A unit that is zero on a whole piece counts as inactive.
        """
        return _read_only(self.strips.face_pattern[self.piece_face])

    @cached_property
    def piece_slope(self) -> FloatArray:
        """(P, M) float64: the derivative of every output by s; f(s) = slope s + offset."""
        return _read_only(self.strips.face_weight[self.piece_face, :, 0])

    @cached_property
    def piece_offset(self) -> FloatArray:
        """(P, M) float64: what each output would be at s = 0 if the piece went on."""
        return _read_only(self.strips.face_bias[self.piece_face])

    @cached_property
    def piece_slope_error(self) -> FloatArray:
        """(P, M) float64: bounds on the distance of each slope from the exact one."""
        return _read_only(self.strips.face_weight_error[self.piece_face, :, 0])

    @cached_property
    def piece_offset_error(self) -> FloatArray:
        """(P, M) float64: bounds on the distance of each offset from the exact one."""
        return _read_only(self.strips.face_bias_error[self.piece_face])

    @cached_property
    def piece_map(self) -> IntArray:
        """(P,) int32: number of the exact affine map: equal exactly where the maps are equal."""
        return _read_only(self.strips.face_affine_piece[self.piece_face])

    def count(self) -> PieceCount:
        """Count pieces in each sense.

        Examples
        --------
        >>> import polyregions as pr
        >>> layers = [([[1], [1]], [0, -1]), ([[1, 0]], [0])]  # the second unit is unused
        >>> pr.partition_line(layers, -1, 2).count()
        PieceCount(activation_pieces=3, linear_pieces=2, affine_maps=2)
        """
        linear = 1 + int(np.count_nonzero(self.is_bend))
        return PieceCount(self.n_pieces, linear, len(np.unique(self.piece_map)))

    # -- the function --------------------------------------------------------------------------

    def locate(self, s: ArrayLike) -> IntArray:
        """Find the piece of each parameter.

        Exact: the parameters are read as float64 numbers and compared with the exact breakpoints.

        Parameters
        ----------
        s : (...) array_like of float

        Returns
        -------
        (...) int64
            Index of the piece; -1 outside of a segment's [0, 1], for infinities and for NaN. A
            breakpoint belongs to the piece before it.

        Examples
        --------
        >>> import polyregions as pr
        >>> part = pr.partition_line([([[1]], [0]), ([[1]], [0])], -1, 1)  # max(x, 0)
        >>> part.locate([0, 0.25, 0.5, 0.75, 2])
        array([ 0,  0,  0,  1, -1])
        """
        at = np.asarray(s, dtype=np.float64)
        flat = at.ravel()
        # Breakpoints are between these, which increase along with them.
        low = np.minimum.accumulate((self.breakpoints - self.breakpoint_error)[::-1])[::-1]
        high = np.maximum.accumulate(self.breakpoints + self.breakpoint_error)
        low, high = np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
        first, last = (np.searchsorted(ends, flat) for ends in (high, low))
        inside = np.isfinite(flat) & (flat >= self.ends[0]) & (flat <= self.ends[1])
        for i in np.flatnonzero((first < last) & inside).tolist():
            first[i] = self._bisect(flat[i], int(first[i]), int(last[i]))
        return np.where(inside, first, -1).astype(np.int64).reshape(at.shape)

    def _bisect(self, s: float, first: int, last: int) -> int:
        """How many breakpoints are less than s, from `first` to `last` of them."""
        n, d = float(s).as_integer_ratio()
        while first < last:
            middle = (first + last) // 2
            x, w = self._ratio(middle)
            if x * d < n * w:
                first = middle + 1
            else:
                last = middle
        return first

    def __call__(self, s: ArrayLike) -> FloatArray:
        """Values of the network, (..., M) float64, at parameters; NaN where `locate` gives -1."""
        at = np.asarray(s, dtype=np.float64)
        piece = self.locate(at)
        values = self.piece_slope[piece] * at[..., None] + self.piece_offset[piece]
        values[piece < 0] = np.nan
        return values

    @cached_property
    def _values(self) -> tuple[FloatArray, FloatArray]:
        """Values at all bounds, (P + 1, M), and bounds on their errors."""
        s, s_error = self.bounds[:, None], self._bound_error[:, None]
        before = np.maximum(np.arange(self.n_pieces + 1) - 1, 0)
        after = np.minimum(np.arange(self.n_pieces + 1), self.n_pieces - 1)
        sides = [self._extended(piece, s, s_error) for piece in (before, after)]
        # Both pieces have the same value there; take what is known better.
        (left, left_error), (right, right_error) = sides
        is_left = left_error <= right_error
        values, errors = np.where(is_left, left, right), np.minimum(left_error, right_error)
        if self.is_whole:
            for end, sign in ((0, -self._outer_signs[0]), (-1, self._outer_signs[1])):
                is_flat = sign == 0
                values[end] = np.where(is_flat, self.piece_offset[end], np.copysign(np.inf, sign))
                errors[end] = np.where(is_flat, self.piece_offset_error[end], 0.0)
        return _read_only(values), _read_only(errors)

    @cached_property
    def _outer_signs(self) -> tuple[IntArray, IntArray]:
        """Exact signs, (M,) each, of the slopes of the first and the last piece."""
        from polyregions.jacobian import Jacobian

        by_s = Jacobian(self.segment.restrict(self.network))
        first, last = (by_s.signs(self.piece_pattern[i])[:, 0] for i in (0, -1))
        return first, last

    def _extended(
        self, piece: IntArray, s: FloatArray, s_error: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        s = np.where(np.isfinite(s), s, 0.0)  # infinite ends are seen to by the caller
        slope, offset = self.piece_slope[piece], self.piece_offset[piece]
        slope_error, offset_error = self.piece_slope_error[piece], self.piece_offset_error[piece]
        error = slope_error * np.abs(s) + offset_error + (np.abs(slope) + slope_error) * s_error
        # A product and a sum for the value, and those of the bound itself.
        error = (error + 4 * U * (np.abs(slope * s) + np.abs(offset))) * (1 + 16 * U) + NORMAL
        return slope * s + offset, error

    @property
    def bound_values(self) -> FloatArray:
        """(P + 1, M) float64: the values of the outputs at all `bounds`."""
        return self._values[0]

    @property
    def breakpoint_value(self) -> FloatArray:
        """(P - 1, M) float64: the values of the outputs at the breakpoints."""
        return self._values[0][1:-1]

    @property
    def breakpoint_value_error(self) -> FloatArray:
        """(P - 1, M) float64: bounds on the distance of each of these from the exact value."""
        return self._values[1][1:-1]

    def extremes(self) -> Extremes:
        """The least and greatest value of every output, which are at breakpoints or ends.

        On a whole line an output that grows for ever has infinity for its greatest value, at
        infinity.

        Examples
        --------
        >>> import polyregions as pr
        >>> hat = [([[1], [1], [1]], [0, -1, -2]), ([[1, -2, 1]], [0])]  # up to 1 and down again
        >>> found = pr.partition_line(hat, -1, 4).extremes()
        >>> found.greatest, found.greatest_s
        (array([1.]), array([0.4]))
        """
        values, errors = self._values
        low, high = values.argmin(axis=0), values.argmax(axis=0)
        output = np.arange(self.n_outputs)
        return Extremes(
            values[low, output],
            self.bounds[low],
            values[high, output],
            self.bounds[high],
            errors.max(axis=0),
        )

    @cached_property
    def _variation(self) -> tuple[FloatArray, FloatArray]:
        rise, length = np.abs(self.piece_slope), np.diff(self.bounds)
        slope_error = self.piece_slope_error
        is_endless = np.zeros(self.n_outputs, dtype=np.bool_)
        if self.is_whole:
            is_endless = (self._outer_signs[0] != 0) | (self._outer_signs[1] != 0)
            rise, slope_error, length = rise.copy(), slope_error.copy(), length.copy()
            # Where the outer pieces are flat, they add nothing; else nothing else matters.
            rise[[0, -1]], slope_error[[0, -1]], length[[0, -1]] = 0.0, 0.0, 0.0
        total = length @ rise
        # A breakpoint that is off moves length from one piece to the next.
        bend = np.abs(np.diff(rise, axis=0)) + slope_error[1:] + slope_error[:-1]
        error = length @ slope_error + self.breakpoint_error @ bend
        error = (error + (self.n_pieces + 4) * U * total) * (1 + (self.n_pieces + 8) * U)
        error += self.n_pieces * NORMAL
        total, error = np.where(is_endless, np.inf, total), np.where(is_endless, 0.0, error)
        return _read_only(total), _read_only(error)

    @property
    def total_variation(self) -> FloatArray:
        """(M,) float64: how far every output goes up and down in all, from end to end.

        Examples
        --------
        >>> import polyregions as pr
        >>> hat = [([[1], [1], [1]], [0, -1, -2]), ([[1, -2, 1]], [0])]  # up to 1 and down again
        >>> pr.partition_line(hat, -1, 4).total_variation
        array([2.])
        """
        return self._variation[0]

    @property
    def total_variation_error(self) -> FloatArray:
        """(M,) float64: bounds on the distance of each total variation from the exact one."""
        return self._variation[1]

    def jacobian(self, i: int) -> FloatArray:
        """The derivative of all outputs by all inputs on piece `i`.

        Returns
        -------
        (M, n_inputs) float64
            Worked out exactly and rounded once; inputs are numbered in the order of C. See
            `Partition.jacobian`, also for its cost.
        """
        return self._jacobian(self.piece_pattern[as_index(i, self.n_pieces, "piece")])

    @cached_property
    def _jacobian(self) -> Jacobian:
        from polyregions.jacobian import Jacobian

        return Jacobian(self.network)

    # -- texts ---------------------------------------------------------------------------------

    def __repr__(self) -> str:
        pieces = f"{self.n_pieces:,} {'piece' if self.n_pieces == 1 else 'pieces'}"
        inputs = inputs_text(self.segment.shape)
        whole = "whole line, " if self.is_whole else ""
        return f"<LinePartition of {inputs}: {whole}{pieces}, {self.strips._layers()}>"

    def __str__(self) -> str:
        count = self.count()
        numbers = zip(count, ("activation piece", "linear piece", "affine map"), strict=True)
        place = self.segment.line_text() if self.is_whole else str(self.segment)
        lines = [
            f"Partition of {place} by {self.strips._layers()}",
            *(f"  {n:,} {name}{'' if n == 1 else 's'}" for n, name in numbers),
        ]
        if self.is_whole and len(self.breakpoints):
            first, last = self.breakpoints[[0, -1]]
            lines.append(f"  breakpoints from s = {first:.6g} to {last:.6g}")
        if not self.is_whole:
            shortest, longest = self.lengths.min(), self.lengths.max()
            lines.append(
                f"  the shortest takes {shortest:.3g} of the segment, the longest {longest:.3g}"
            )
        return "\n".join(lines)


def partition_line(
    model: Any,
    a: ArrayLike,
    b: ArrayLike,
    *,
    whole: bool = False,
    engine: str = "auto",
    max_regions: int | None = None,
    max_memory: int | None = None,
    threads: int | None = None,
    progress: ProgressLike = None,
) -> LinePartition:
    """Compute every linear piece of a network on the segment between two inputs, exactly.

    Parameters
    ----------
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        A piecewise-linear network of any number of inputs, in any form that `lower` takes.
    a, b : array_like
        Two inputs, of one shape: lists, numpy arrays or torch tensors, and plain numbers for a
        network with one input. For a torch module, that should be the shape of the module's
        input. They are taken as exact, and so is the segment between them.
    whole : bool
        Whether to take the whole line through `a` and `b` instead.
    engine, max_regions, max_memory, threads, progress
        As for `partition`.

    Returns
    -------
    LinePartition

    Raises
    ------
    UnsupportedLayerError
        If an operation of the model is not piecewise linear, or not known.
    ValueError
        If `a` and `b` are equal, differ in shape, hold NaN, or are not of as many numbers as the
        network has inputs; if the engine is unknown or a limit is less than 1.
    TypeError
        If an argument is of the wrong type.
    LimitError
        If there are more than `max_regions` pieces or `max_memory` is reached.
    OverflowError
        If a breakpoint or a coefficient is too large for float64.
    Interrupted
        A ``KeyboardInterrupt`` that says how far the work had got.

    Notes
    -----
    The time grows with the number of pieces and the sizes of the layers: a few milliseconds for
    hundreds of pieces of a network with 784 inputs. The very first call on a machine compiles the
    engine, which takes about half a minute.

    Sotoudeh and Thakur (2019, 2021) compute such pieces in floating point; here the breakpoints,
    their order and what switches there are exact.

    Examples
    --------
    >>> import polyregions as pr
    >>> layers = [([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [-1]), ([[1]], [0])]
    >>> part = pr.partition_line(layers, [-1, 0], [3, 0])  # max(2 max(x, 0) - 1, 0)
    >>> part.breakpoints
    array([0.25 , 0.375])
    >>> part([0.25, 0.5, 1.0]).ravel()
    array([0., 1., 5.])
    >>> pr.partition_line(layers, [0, 0], [0, 1], whole=True).breakpoints  # max(|s| - 1, 0)
    array([-1.,  0.,  1.])
    """
    name = engines.engine_of(engine)
    limits = {
        "max_regions": as_limit(max_regions, "max_regions"),
        "max_memory": as_limit(max_memory, "max_memory"),
        "threads": as_limit(threads, "threads"),
    }
    report = reporter(progress)
    as_flag(whole, "whole")
    segment = Segment(a, b)  # type: ignore[arg-type]
    network = lower(model, shape=segment.shape)
    domain = as_domain(None if whole else (0, 0, 1, 1))
    strips = engines.subdivide(name, segment.restrict(network), domain, **limits, progress=report)
    return LinePartition(segment, network, strips)


def _along_the_bottom(strips: Partition) -> tuple[IntArray, IntArray]:
    """The faces of upright strips of a box, from left to right, and the vertices between them.

    The border goes counter-clockwise, each edge with its face on the left; so the edges of the
    bottom follow each other from its left corner to its right one.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    border = np.flatnonzero(~strips.is_inner)
    start, end = strips.edge_vertices[border].T
    n = strips.n_vertices
    following = csr_array((np.ones(len(border), dtype=np.int8), (start, end)), shape=(n, n))
    left, right = (_corner(strips, start, k) for k in (0, 1))
    around = breadth_first_order(following, left, return_predecessors=False)
    bottom = around[: int(np.flatnonzero(around == right)[0])]
    face_behind = np.empty(n, dtype=np.int64)
    face_behind[start] = strips.edge_faces[border, 0]
    return _read_only(face_behind[bottom]), _read_only(bottom[1:])


def _corner(part: Partition, candidates: IntArray, k: int) -> int:
    """The vertex, one of some, in which the domain has its corner k."""
    domain: Domain = part.domain
    off = np.abs(part.vertex_xy[candidates] - domain.xy[k])
    near = candidates[(off <= 2 * part.vertex_error[candidates]).all(axis=1)].tolist()
    triple: Triple = exact.point(*domain.xy[k].tolist())
    exactly: Sequence[Triple] = part.vertex_exact
    return next(v for v in near if exactly[v] == triple)


def _read_only(array: _Array) -> _Array:
    array.flags.writeable = False
    return array
