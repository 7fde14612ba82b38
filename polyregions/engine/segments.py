"""A network cut into segments: the affine steps between two activation layers.

What goes from one segment to the next is a *state*: the values behind the activation layer, and
those values that later steps still take (the skip connection of a residual block). The state
before a layer has one more purpose: the units switch where some of its values cross a number. A
unit that takes the largest of several values switches where two of them are equal, so there the
state holds their differences too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from polyregions.network import (
    Activation,
    AffineStep,
    ByteArray,
    FloatArray,
    Gather,
    IntArray,
    Maximum,
    Network,
    Sum,
    Units,
)

BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Segment:
    """Affine steps from one state to the next.

    Attributes
    ----------
    blocks : list of int
        Widths of the values that the state before is made of. Value i is block i, and then
        come the values of the steps, in order.
    steps : list of (AffineStep, tuple of int)
        Each with the numbers of the values that it takes, one after the other.
    outputs : list of int
        Numbers of the values that the state behind is made of.
    widths : list of int
        Of all values.
    """

    blocks: list[int]
    steps: list[tuple[AffineStep, tuple[int, ...]]] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    widths: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.widths = list(self.blocks)

    def add(self, step: AffineStep, *sources: int) -> int:
        """Append a step; returns the number of its value."""
        self.steps.append((step, sources))
        self.widths.append(step.n_outputs)
        return len(self.widths) - 1

    @property
    def n_inputs(self) -> int:
        return sum(self.blocks)

    @property
    def n_outputs(self) -> int:
        return sum(self.widths[value] for value in self.outputs)

    def taken_from(self, values: Sequence[int]) -> IntArray:
        """Which value of the state before each of some joined values is; -1 if it is none."""
        starts = np.cumsum([0, *self.blocks])
        found = [np.arange(starts[v], starts[v + 1]) for v in range(len(self.blocks))]
        for step, sources in self.steps:
            taken = np.full(step.n_outputs, -1)
            if isinstance(step, Gather):
                some = step.index >= 0
                taken[some] = np.concatenate([found[v] for v in sources])[step.index[some]]
            found.append(taken)
        return np.concatenate([found[v] for v in values])

    @property
    def chain(self) -> tuple[AffineStep, ...] | None:
        """The steps, if each takes the value of the one before and no other."""
        in_a_row = [*((i,) for i in range(len(self.steps)))] == [s for _, s in self.steps]
        if len(self.blocks) != 1 or not in_a_row or self.outputs != [len(self.steps)]:
            return None
        return tuple(step for step, _ in self.steps)


class Switching(ABC):
    """What an activation layer does to the state before it.

    Attributes
    ----------
    slopes, intercepts : (n, K + 1) float64
        For each value of the state, what it becomes on each piece: ``slope * z + intercept``.
    line_value : (L,) int64
    line_breakpoint : (L,) float64
        Lines are the zero sets of ``state[line_value] - line_breakpoint``.
    line_unit : (L,) int64
        The unit that switches there.
    n_units : int
    name : str
    """

    slopes: FloatArray
    intercepts: FloatArray
    line_value: IntArray
    line_breakpoint: FloatArray
    line_unit: IntArray
    n_units: int
    name: str

    # Whether faces on both sides of a line may have the same pieces.
    has_false_lines = False

    @abstractmethod
    def state_pieces(self, pieces: ByteArray) -> ByteArray:
        """(F, n) pieces of all values of the state from those of units, (F, n_units)."""

    @abstractmethod
    def units_of(self, values: BoolArray) -> BoolArray:
        """(F, n_units) the units that some of the values of the state behind belong to, (F, n)."""

    @abstractmethod
    def line_sides(
        self, pieces: ByteArray, value: IntArray, breakpoint_: FloatArray
    ) -> np.ndarray[Any, np.dtype[np.int8]]:
        """(F, L) what pieces of units, (F, n_units), say of L lines.

        1 if the value is above the breakpoint, -1 if it is not, 0 if it may be either.
        """


class Elementwise(Switching):
    """Units that are functions of one value each; the rest of the state is carried on."""

    def __init__(self, activation: Activation, n_carried: int) -> None:
        self.n_units, self.name = activation.n_inputs, activation.name
        k = activation.slopes.shape[1]
        self.slopes = np.concatenate([activation.slopes, np.ones((n_carried, k))])
        self.intercepts = np.concatenate([activation.intercepts, np.zeros((n_carried, k))])
        unit, number = np.nonzero(np.isfinite(activation.breakpoints))
        self.line_value = self.line_unit = unit.astype(np.int64)
        self.line_breakpoint = np.ascontiguousarray(activation.breakpoints[unit, number])
        self._breakpoints = activation.breakpoints

    @cached_property
    def reach(self) -> IntArray:
        """(n_units, K + 1, 2) between which values the units are on each of their pieces.

        Values are told by even numbers in their order. One is added to a lower end that is not
        reached inside any face, and subtracted from such an upper end.
        """
        n, k = self._breakpoints.shape
        tables = [t[:n] for t in (self.slopes, self.intercepts)]
        distinct, which = np.unique(
            np.column_stack([*tables, self._breakpoints]), axis=0, return_inverse=True
        )
        ends: list[list[tuple[Fraction | float, int]]] = []
        for row in distinct.tolist():
            breakpoints = [-np.inf, *row[2 * k + 2 :], np.inf]
            for slope, intercept, bounds in zip(
                row[: k + 1], row[k + 1 : 2 * k + 2], pairwise(breakpoints), strict=True
            ):
                low, high = (_value(slope, intercept, z) for z in bounds)
                # A value is above the lower breakpoint, and may be the upper one on a face.
                ends.append([(low, slope > 0), (high, 0)] if slope >= 0 else [(high, 0), (low, -1)])
        order = {end: 2 * i for i, end in enumerate(sorted({e for pair in ends for e, _ in pair}))}
        table = np.array([[order[end] + odd for end, odd in pair] for pair in ends], dtype=np.int64)
        return table.reshape(-1, k + 1, 2)[which.ravel()]

    def unit_pieces(self, pieces: ByteArray) -> ByteArray:
        """(F, n_units) pieces of units from how many of its lines each value is above, (F, n)."""
        if pieces.shape[1] == self.n_units:
            return pieces
        return np.ascontiguousarray(pieces[:, : self.n_units])

    def state_pieces(self, pieces: ByteArray) -> ByteArray:
        n_carried = len(self.slopes) - self.n_units
        return np.pad(pieces, ((0, 0), (0, n_carried))) if n_carried else pieces

    def units_of(self, values: BoolArray) -> BoolArray:
        return values[:, : self.n_units]

    def line_sides(
        self, pieces: ByteArray, value: IntArray, breakpoint_: FloatArray
    ) -> np.ndarray[Any, np.dtype[np.int8]]:
        below = (self._breakpoints[value] < breakpoint_[:, None]).sum(axis=1)
        return np.where(pieces[:, value] > below, 1, -1).astype(np.int8)


def _value(slope: float, intercept: float, z: float) -> Fraction | float:
    if slope == 0:
        return Fraction(intercept)
    if np.isinf(z):
        return z if slope > 0 else -z
    return Fraction(slope) * Fraction(z) + Fraction(intercept)


class Selection(Switching):
    """Units that take the largest of several values.

    The state holds the members of all units, one after the other, then for each unit the
    differences of every two of its members, and then what is carried on. Behind the layer only
    the largest member of each unit is left of the members, so that their sum is the unit's value,
    and nothing of the differences.

    Attributes
    ----------
    n_members : int
        Of all units.
    n_members_of, first_pair_of : (n_units,) int64
        How many members each unit has, and the number of its first pair. Its pairs are in the
        order of their first members, and then of their second.
    place_of_member : (n_members,) int64
        The place of each member in its unit.
    taken_from : (n_members,) int64
        The value of the state behind the layer before that each member is; -1 if it is none.
    """

    has_false_lines = True

    def __init__(self, maximum: Maximum, n_carried: int) -> None:
        members = maximum.members
        self.n_units, self._most = members.shape
        self.name = maximum.name
        self._is_member = members >= 0
        self._number = (
            np.where(self._is_member, np.cumsum(self._is_member).reshape(-1, self._most), 0) - 1
        )
        self.n_members_of = self._is_member.sum(axis=1)
        self.n_members = int(self.n_members_of.sum())
        n_pairs_of = self.n_members_of * (self.n_members_of - 1) // 2
        self.first_pair_of = np.cumsum(n_pairs_of) - n_pairs_of
        self.place_of_member = np.nonzero(self._is_member)[1]
        first, second = np.triu_indices(self._most, k=1)
        unit, pair = np.nonzero(self._is_member[:, second])
        self._unit, self._first, self._second = unit, first[pair], second[pair]
        n_pairs = len(unit)
        member, difference, carried = (0.0, 1.0), (0.0, 0.0), (1.0, 1.0)
        counts = [self.n_members, n_pairs, n_carried]
        self.slopes = np.repeat([member, difference, carried], counts, axis=0)
        self.intercepts = np.zeros_like(self.slopes)
        self.line_value = self.n_members + np.arange(n_pairs)
        self.line_breakpoint = np.zeros(n_pairs)
        self.line_unit = unit.astype(np.int64)

    def before(self, segment: Segment, values: tuple[int, ...], members: IntArray) -> list[int]:
        """Make the part of the state that belongs to the units."""
        width = sum(segment.widths[v] for v in values)
        place = members[self._is_member]
        self.taken_from = segment.taken_from(values)[place]
        state = [segment.add(Gather(place, width, "members"), *values)]
        if len(self._unit):
            pairs = members[self._unit, self._second], members[self._unit, self._first]
            ends = (segment.add(Gather(index, width, "members"), *values) for index in pairs)
            state.append(segment.add(Sum(np.array([1.0, -1.0]), len(self._unit)), *ends))
        return state

    def behind(self, segment: Segment, members: int) -> int:
        """Add up the members of each unit."""
        index = np.ascontiguousarray(self._number.T).ravel()
        blocks = segment.add(Gather(index, self.n_members, "members"), members)
        return segment.add(Sum(np.ones(self._most), self.n_units), blocks)

    def state_pieces(self, pieces: ByteArray) -> ByteArray:
        state = np.zeros((len(pieces), len(self.slopes)), dtype=np.uint8)
        chosen = self._number[np.arange(self.n_units), pieces]
        np.put_along_axis(state, chosen, 1, axis=1)
        return state

    def units_of(self, values: BoolArray) -> BoolArray:
        # Behind the layer nothing takes a difference, and a unit's value takes all its members.
        first = np.cumsum(self.n_members_of) - self.n_members_of
        return values[:, first]

    def line_sides(
        self, pieces: ByteArray, value: IntArray, breakpoint_: FloatArray
    ) -> np.ndarray[Any, np.dtype[np.int8]]:
        pair = value - self.n_members
        chosen = pieces[:, self._unit[pair]]
        wins, loses = chosen == self._second[pair], chosen == self._first[pair]
        return wins.astype(np.int8) - loses.astype(np.int8)


def cut(network: Network) -> tuple[list[Segment], list[Switching]]:
    """The segments of a network, one more than there are activation layers."""
    assert network.sources is not None
    widths = [network.n_inputs, *(step.n_outputs for step in network.steps)]
    last_use = {v: i for i, sources in enumerate(network.sources) for v in sources}
    segment = Segment([network.n_inputs])
    where = {0: 0}  # numbers in the segment of the network's values
    segments: list[Segment] = []
    switchings: list[Switching] = []
    for i, (step, sources) in enumerate(zip(network.steps, network.sources, strict=True)):
        local = tuple(where[v] for v in sources)
        if not isinstance(step, Units):
            where[i + 1] = segment.add(step, *local)
            continue
        carried = [v for v in where if last_use.get(v, -1) > i]
        n_carried = sum(widths[v] for v in carried)
        switching: Switching
        if isinstance(step, Activation):
            switching = Elementwise(step, n_carried)
            state, blocks = list(local), [step.n_inputs]
        else:
            switching = selection = Selection(step, n_carried)
            state = selection.before(segment, local, step.members)
            blocks = [selection.n_members]
            if len(selection.line_value):
                blocks.append(len(selection.line_value))
        segment.outputs = [*state, *(where[v] for v in carried)]
        segments.append(segment)
        switchings.append(switching)
        segment = Segment([*blocks, *(widths[v] for v in carried)])
        where = {v: len(blocks) + k for k, v in enumerate(carried)}
        where[i + 1] = 0
        if isinstance(switching, Selection):
            where[i + 1] = switching.behind(segment, 0)
    segment.outputs = [where[len(network.steps)]]
    segments.append(segment)
    return segments, switchings
