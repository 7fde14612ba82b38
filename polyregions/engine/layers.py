"""A network cut into layers: one affine map with error bounds, then one activation.

Where a network is a chain of linear layers and batch norms, the affine steps between two
activations are made one matrix, whose product is known only up to rounding; the error of every
entry is bounded and carried along, and the exact product is kept in integers beside it. Any other
network (with convolutions, with branches) has its steps applied one after the other, to the maps
of every face; see `polyregions.engine.program`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from flint import fmpz_mat

from polyregions.engine.double_double import nearest
from polyregions.engine.program import IntegerSegment
from polyregions.engine.segments import Segment, Switching, cut
from polyregions.float64 import LEAST, TINY, U
from polyregions.network import Affine, AffineStep, FloatArray, IntArray, Network, Scale

# Weights of networks whose layers are remembered, at most, all together.
_REMEMBERED = 1 << 18


@dataclass(frozen=True, eq=False)
class Layer:
    """Affine steps rolled into one, and the activation behind them.

    Attributes
    ----------
    segment : Segment
        The exact map, step by step.
    switching : Switching or None
        None behind the last affine map, whose values are the outputs.
    is_dense : bool
        Whether the map is one matrix.
    weight : (n, m) float64
    bias : (n,) float64
        The matrix; empty if there is none.
    weight_error, bias_error : the same shapes
        Bounds on the distance of `weight` and `bias` from the exact product of the steps.
    line_value : (L,) int64
    line_breakpoint : (L,) float64
        The zero sets of ``value - breakpoint``, one for each class of lines that are multiples of
        each other.
    line_unit : (L,) int64
        The first unit that switches there.
    member_offsets : (L + 1,) int64
    member_unit : int64
    member_sign : int8
        Line l switches the values ``member_unit[member_offsets[l]:member_offsets[l + 1]]``, each
        where the sign of the line's function is the member's sign.
    """

    segment: Segment
    switching: Switching | None
    is_dense: bool
    weight: FloatArray
    bias: FloatArray
    weight_error: FloatArray
    bias_error: FloatArray
    line_value: IntArray
    line_breakpoint: FloatArray
    line_unit: IntArray
    member_offsets: IntArray
    member_unit: IntArray
    member_sign: np.ndarray[tuple[int], np.dtype[np.int8]]

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what follows from them can be had again, and some cannot be pickled."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @property
    def width(self) -> int:
        """n, the number of values before the activation, or of outputs."""
        return self.segment.n_outputs

    @property
    def n_units(self) -> int:
        """The number of units; none behind the last affine map."""
        return self.switching.n_units if self.switching else 0

    @property
    def has_false_lines(self) -> bool:
        """Whether lines cut faces also where no unit switches."""
        return self.switching is not None and self.switching.has_false_lines

    @property
    def n_lines(self) -> int:
        """L."""
        return len(self.line_value)

    @cached_property
    def is_exact(self) -> bool:
        """Whether `weight` and `bias` are the exact product."""
        return not (self.weight_error.any() or self.bias_error.any())

    @cached_property
    def takes(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """(n, m) where the exact weights may be other than zero."""
        return (self.weight != 0) | (self.weight_error != 0)

    @cached_property
    def transposed(self) -> FloatArray:
        """(m, n) `weight` with one row for each input."""
        return np.array(self.weight.T, order="C")

    @cached_property
    def transposed_error(self) -> FloatArray:
        """(m, n) `weight_error` with one row for each input."""
        return np.array(self.weight_error.T, order="C")

    @cached_property
    def matrix(self) -> fmpz_mat:
        """The exact map on homogeneous values, ``[[weight, bias], [0, 1]]``, in integers."""
        product = None
        for step in self.segment.chain or ():
            matrix = _integer_matrix(step)
            product = matrix if product is None else matrix * product
        if product is None:
            n = self.width + 1
            product = fmpz_mat([[int(i == j) for j in range(n)] for i in range(n)])
        return product

    @cached_property
    def doubled(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """The exact matrix to about 32 digits: weights and biases, and what to add to each."""
        if self.is_exact:
            return self.weight, np.zeros_like(self.weight), self.bias, np.zeros_like(self.bias)
        *rows, (*_, scale) = self.matrix.tolist()
        pairs = [[nearest(Fraction(int(v), int(scale))) for v in row] for row in rows]
        high, low = np.moveaxis(np.array(pairs), -1, 0)
        parts = high[:, :-1], low[:, :-1], high[:, -1], low[:, -1]
        weight, weight_low, bias, bias_low = map(np.ascontiguousarray, parts)
        return weight, weight_low, bias, bias_low

    @cached_property
    def integers(self) -> IntegerSegment:
        """The exact map, where it is no matrix."""
        return IntegerSegment(self.segment)

    @cached_property
    def slopes(self) -> FloatArray:
        """(n, K + 1), contiguous."""
        return self._table("slopes")

    @cached_property
    def intercepts(self) -> FloatArray:
        """(n, K + 1), contiguous."""
        return self._table("intercepts")

    def _table(self, name: str) -> FloatArray:
        if self.switching is None:
            return np.zeros((self.width, 1))
        return np.array(getattr(self.switching, name), order="C")

    @cached_property
    def integer_pieces(self) -> tuple[int, list[list[int]], list[list[int]]]:
        """``one``, slopes and intercepts times ``one``, a power of two that makes integers."""
        ratios = [
            [[v.as_integer_ratio() for v in row] for row in table.tolist()]
            for table in (self.slopes, self.intercepts)
        ]
        one = max((d for t in ratios for row in t for _, d in row), default=1)
        slopes, intercepts = ([[n * (one // d) for n, d in row] for row in t] for t in ratios)
        return one, slopes, intercepts


def compile_layers(network: Network) -> list[Layer]:
    """Cut a network into layers. The last one has no activation.

    Those of a small network are remembered for as long as it lives: it may be partitioned on many
    domains, each in less time than this takes.
    """
    known = _layers_of.get(network)
    if known is not None:
        return list(known)
    segments, switchings = cut(network)
    layers: list[Layer] = []
    for segment, switching in zip(segments, [*switchings, None], strict=True):
        # Matrices as long as that goes: what comes behind a layer that is none is none either.
        go_on = not layers or (layers[-1].is_dense and not layers[-1].has_false_lines)
        steps = _dense_steps(segment) if go_on else None
        layers.append(_layer(segment, switching, steps))
    if layers[-1].is_dense and sum(layer.weight.size for layer in layers) <= _REMEMBERED:
        _layers_of[network] = tuple(layers)
    return layers


_layers_of: WeakKeyDictionary[Network, tuple[Layer, ...]] = WeakKeyDictionary()


def _dense_steps(segment: Segment) -> tuple[AffineStep, ...] | None:
    steps = segment.chain
    if steps is None or not all(isinstance(step, Affine | Scale) for step in steps):
        return None
    return steps


def _layer(
    segment: Segment, switching: Switching | None, steps: tuple[AffineStep, ...] | None
) -> Layer:
    if steps is None:
        weight = weight_error = np.empty((0, 0))
        bias = bias_error = np.empty(0)
    else:
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            weight, bias, weight_error, bias_error = _product(steps, segment.n_inputs)
    values, units = (np.empty(0, dtype=np.int64),) * 2
    breakpoints = np.empty(0)
    if switching is not None:
        values, breakpoints = switching.line_value, switching.line_breakpoint
        units = switching.line_unit
    exact = steps is not None and not (weight_error.any() or bias_error.any())
    classes = _classes(weight, bias, values, breakpoints) if exact and len(values) else None
    members, offsets, sign = values, np.arange(len(values) + 1), np.ones(len(values), dtype=np.int8)
    if classes is not None:
        leader, sign = classes
        is_leader = leader == offsets[:-1]
        number = (np.cumsum(is_leader) - 1)[leader]
        order = np.argsort(number, kind="stable")
        offsets = np.append(0, np.cumsum(np.bincount(number)))
        members, sign = values[order], sign[order]
        values, breakpoints, units = values[is_leader], breakpoints[is_leader], units[is_leader]
    return Layer(
        segment=segment,
        switching=switching,
        is_dense=steps is not None,
        weight=weight,
        bias=bias,
        weight_error=weight_error,
        bias_error=bias_error,
        line_value=values,
        line_breakpoint=breakpoints,
        line_unit=units,
        member_offsets=offsets,
        member_unit=members,
        member_sign=sign,
    )


def _product(
    steps: tuple[AffineStep, ...], width: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Weight, bias, and bounds on their errors, of some affine steps in a row."""
    if not steps:
        return np.eye(width), np.zeros(width), np.zeros((width, width)), np.zeros(width)
    weight, bias = _matrix(steps[0])
    weight_error, bias_error = np.zeros_like(weight), np.zeros_like(bias)
    for step in steps[1:]:
        w, b = _matrix(step)
        size = np.abs(w)
        gamma = 2 * (len(bias) + 4) * U
        # What underflows loses at most LEAST; what is known to be zero loses nothing. All
        # products of one sum together lose no more than TINY.
        some, some_bias = (
            ((v != 0) | (e != 0)).astype(float)
            for v, e in ((weight, weight_error), (bias, bias_error))
        )
        lost, lost_bias = (TINY * ((w != 0).astype(float) @ v) for v in (some, some_bias))
        weight_error = size @ (weight_error + gamma * np.abs(weight) + LEAST * some)
        bias_error = size @ (bias_error + gamma * np.abs(bias) + LEAST * some_bias)
        weight_error = weight_error * (1 + gamma) + lost
        bias_error = (bias_error + gamma * np.abs(b)) * (1 + gamma) + lost_bias
        weight, bias = w @ weight, w @ bias + b
    # Copies: kernels are compiled anew for arrays that are read-only or not contiguous.
    return np.array(weight, order="C"), np.array(bias), weight_error, bias_error


def _matrix(step: AffineStep) -> tuple[FloatArray, FloatArray]:
    if isinstance(step, Affine):
        return step.weight, step.bias
    assert isinstance(step, Scale)
    return np.diag(step.scale), step.shift


def _integer_matrix(step: AffineStep) -> fmpz_mat:
    weight, bias = _matrix(step)
    table = np.column_stack([weight, bias]).tolist() + [[0.0] * weight.shape[1] + [1.0]]
    ratios = [[v.as_integer_ratio() for v in row] for row in table]
    scale = max(d for row in ratios for _, d in row)
    return fmpz_mat([[n * (scale // d) for n, d in row] for row in ratios])


def _classes(
    weight: FloatArray, bias: FloatArray, units: IntArray, breakpoints: FloatArray
) -> tuple[IntArray, np.ndarray[tuple[int], np.dtype[np.int8]]] | None:
    """For every line, the first line of which it is plus or minus a power of two, and the sign.

    None if each is surely such a multiple of itself only. Only a short cut: lines that are equal
    for other reasons are found out face by face.
    """
    offset = bias[units] - breakpoints
    known = (breakpoints == 0) | ((bias[units] == 0) & np.isfinite(offset))
    rows = np.column_stack([weight[units], offset])
    size = np.abs(rows).max(axis=1)
    # Such multiples have largest coefficients with the same bits.
    if len(set(np.frexp(size)[0].tolist())) == len(size):
        return None
    leader = np.arange(len(units), dtype=np.int64)
    sign = np.ones(len(units), dtype=np.int8)
    known &= (size > 2.0**-900) & (size < 2.0**900)
    rows, size = rows[known], size[known]
    smallest = np.where(rows == 0, np.inf, np.abs(rows)).min(axis=1)
    among = smallest > 2.0**-900 * size  # or scaling by a power of two might round
    known[known] = among
    rows = rows[among]
    if not len(rows):
        return leader, sign
    _, exponent = np.frexp(np.abs(rows).max(axis=1))
    rows = np.ldexp(rows, -exponent[:, None]) + 0.0
    first = rows[np.arange(len(rows)), (rows != 0).argmax(axis=1)]
    direction = np.where(first < 0, -1, 1)
    rows = rows * direction[:, None] + 0.0
    at = np.flatnonzero(known)
    seen: dict[bytes, tuple[int, int]] = {}
    for i, row, d in zip(at.tolist(), rows, direction.tolist(), strict=True):
        j, other = seen.setdefault(row.tobytes(), (i, d))
        leader[i] = j
        sign[i] = d * other
    return leader, sign
