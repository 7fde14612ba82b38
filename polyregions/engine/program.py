"""Segments applied to the affine maps of faces, with error bounds, and exactly.

Convolutions are applied as convolutions and gathers as gathers. Float64 results come with running
error bounds (Higham 2002, section 3.1); exact ones are integers times a power of two, and only
those values are worked out that a wanted one depends on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyregions.engine import bounding
from polyregions.engine.kernels import PROVEN
from polyregions.engine.segments import Segment
from polyregions.exact import Triple
from polyregions.float64 import U
from polyregions.network import AffineStep, FloatArray, IntArray
from polyregions.network import joined as _joined
from polyregions.network.affine import Rows

# Products of numbers at least so large, one of them from `bounding.widen`, do not vanish.
_NO_UNDERFLOW = 2.0**-60


@dataclass
class Bounded:
    """Affine functions ``a x + b y + c`` of faces, and bounds on their errors.

    Attributes
    ----------
    columns : (F, 3, n) float64
        a, b and c.
    errors : (F, 2, n) float64
        Bounds on the errors of ``|a| X + |b| Y``, with X and Y the largest coordinates, and of c.
        Where a bound is zero, the exact coefficients are zero, or they are `columns`.
    """

    columns: FloatArray
    errors: FloatArray


class Bounds:
    """Takes maps through steps, in a domain of coordinates up to X and Y."""

    def __init__(self, x: float, y: float) -> None:
        self._size = x, y

    def step(self, step: AffineStep, given: Bounded) -> Bounded:
        """What an affine step makes of some maps."""
        columns = step.apply(given.columns)
        if not step.n_roundings:
            columns[:, 2] += step.constant  # to zeros
            return Bounded(columns, step.magnitude(given.errors))
        if not PROVEN:
            columns[:, 2] += step.constant
            return Bounded(columns, np.zeros((len(columns), 2, step.n_outputs)))
        gamma = (step.n_roundings + 8) * U * (1 + 1e-6)
        wide = np.empty((len(columns), 2, step.n_inputs))
        bounding.widen(given.columns, given.errors, gamma, *self._size, wide)
        found = is_some = step.magnitude(wide)
        if step.smallest_entry < _NO_UNDERFLOW:
            is_some = step.magnitude((wide > 0).astype(np.float64))
        bounding.settle(found, is_some, step.constant, gamma, *self._size, columns)
        return Bounded(columns, found)

    def segment(self, segment: Segment, given: Bounded) -> Bounded:
        """What a segment makes of the maps of a state."""
        ends = np.cumsum(segment.blocks)[:-1]
        values = [
            Bounded(c, e)
            for c, e in zip(
                np.split(given.columns, ends, axis=-1),
                np.split(given.errors, ends, axis=-1),
                strict=True,
            )
        ]
        for step, sources in segment.steps:
            values.append(self.step(step, _join([values[v] for v in sources])))
        return _join([values[v] for v in segment.outputs])


def _join(parts: Sequence[Bounded]) -> Bounded:
    if len(parts) == 1:
        return parts[0]
    return Bounded(_joined([p.columns for p in parts]), _joined([p.errors for p in parts]))


@dataclass
class Plan:
    """What some values of the state behind a segment are made of.

    Attributes
    ----------
    wanted : list of int
        Those values.
    state : list of int
        Values of the state before.
    rows : dict of int to (R,) int64 and Rows
        For each step that takes part, which of its values do, and their rows.
    """

    wanted: list[int]
    state: list[int]
    rows: dict[int, tuple[IntArray, Rows]]


class IntegerSegment:
    """A segment in integers: values are to be divided by `one` times what divides the state."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        scale = [1] * len(segment.blocks)
        self._one = []
        for step, sources in segment.steps:
            self._one.append(_denominator(step))
            scale.append(self._one[-1] * max(scale[v] for v in sources))
        self._scale = scale
        self.one = max((scale[v] for v in segment.outputs), default=1)

    def plan(self, wanted: Sequence[int]) -> Plan:
        """What some values of the state behind depend on."""
        segment = self._segment
        n_blocks = len(segment.blocks)
        needed: list[set[int]] = [set() for _ in segment.widths]
        self._spread(wanted, segment.outputs, needed)
        rows = {}
        for k in reversed(range(len(segment.steps))):
            step, sources = segment.steps[k]
            outputs = np.array(sorted(needed[n_blocks + k]), dtype=np.int64)
            if len(outputs):
                rows[k] = outputs, step.rows(outputs)
                self._spread(rows[k][1].columns.tolist(), sources, needed)
        starts = np.cumsum([0, *segment.blocks]).tolist()
        state = [starts[b] + i for b in range(n_blocks) for i in sorted(needed[b])]
        return Plan(list(wanted), state, rows)

    def rows(self, plan: Plan, state: Mapping[int, Triple], one: int) -> dict[int, Triple]:
        """Some values of the state behind, as affine functions in homogeneous integers.

        Parameters
        ----------
        plan : Plan
        state : mapping of int to triple
            Values of the state before, at least those of the plan, which are to be divided by
            `one`.
        """
        segment = self._segment
        starts = np.cumsum([0, *segment.blocks]).tolist()
        values: list[dict[int, Triple]] = [{} for _ in segment.blocks]
        for at in plan.state:
            b = bisect_right(starts, at) - 1
            values[b][at - starts[b]] = state[at]
        for k, (step, sources) in enumerate(segment.steps):
            values.append({})
            if k not in plan.rows:
                continue
            outputs, sparse = plan.rows[k]
            most = max(self._scale[v] for v in sources)
            taken = self._gathered(set(sparse.columns.tolist()), sources, values, most)
            unit = self._one[k]
            offsets, columns = sparse.offsets.tolist(), sparse.columns.tolist()
            weights = [_times(w, unit) for w in sparse.values.tolist()]
            constants = step.constant[outputs].tolist()
            for at, i in enumerate(outputs.tolist()):
                a, b, c = 0, 0, _times(constants[at], unit) * most * one
                for e in range(offsets[at], offsets[at + 1]):
                    p, q, r = taken[columns[e]]
                    a, b, c = a + weights[e] * p, b + weights[e] * q, c + weights[e] * r
                values[-1][i] = (a, b, c)
        return self._gathered(set(plan.wanted), segment.outputs, values, self.one)

    def _spread(
        self, wanted: Sequence[int], sources: Sequence[int], needed: list[set[int]]
    ) -> None:
        """Note which values some joined sources must have."""
        for v, i in self._places(wanted, sources):
            needed[v].add(i)

    def _gathered(
        self,
        wanted: set[int],
        sources: Sequence[int],
        values: list[dict[int, Triple]],
        scale: int,
    ) -> dict[int, Triple]:
        order = sorted(wanted)
        found = {}
        for at, (v, i) in zip(order, self._places(order, sources), strict=True):
            factor = scale // self._scale[v]
            a, b, c = values[v][i]
            found[at] = (a * factor, b * factor, c * factor)
        return found

    def _places(self, wanted: Sequence[int], sources: Sequence[int]) -> list[tuple[int, int]]:
        """The source and the place in it of some of joined values."""
        starts = np.cumsum([0, *(self._segment.widths[v] for v in sources)])
        at = np.array(wanted, dtype=np.int64)
        which = np.searchsorted(starts, at, side="right") - 1
        # Sources without values begin where the next one does, and are never found.
        place = at - starts[which]
        return [(sources[w], i) for w, i in zip(which.tolist(), place.tolist(), strict=True)]


def _times(value: float, one: int) -> int:
    n, d = value.as_integer_ratio()
    return n * (one // d)


def _denominator(step: AffineStep) -> int:
    """The least power of two that makes integers of all coefficients of a step."""
    bits = 0
    for table in (step.entries, step.constant):
        mantissa, exponent = np.frexp(np.ravel(table))
        whole = (mantissa * 2.0**53).astype(np.int64)
        some = whole != 0
        lowest = whole[some] & -whole[some]  # its only bit is the last one that is set
        last = exponent[some] - 53 + np.frexp(lowest.astype(np.float64))[1] - 1
        bits = max(bits, -int(last.min(initial=0)))
    return 1 << bits
