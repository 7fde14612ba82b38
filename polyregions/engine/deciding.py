"""What float64 leaves open, decided in integers between the kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from polyregions.engine import kernels
from polyregions.engine.complex import Complex, indices
from polyregions.engine.exactly import Provenance
from polyregions.exact import Triple, dot, meet, rounded
from polyregions.network import ByteArray, FloatArray, IntArray

_BITS = 128

BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
SignArray: TypeAlias = np.ndarray[Any, np.dtype[np.int8]]


@dataclass
class Tally:
    """How many decisions each arithmetic made."""

    float64: int = 0
    integer: int = 0

    def settle(self, n: int) -> None:
        """Count `n` decisions, at first taken for float64's, as made in integers."""
        self.integer += n
        self.float64 -= n


@dataclass
class Entries:
    """The lines of a layer that cut each face.

    Attributes
    ----------
    start : (F + 1,) int32
        Entries of face f are ``start[f]`` to ``start[f + 1]``, in the order of lines.
    line, face : (entries,) int32
    rows : (entries, 5) float64
        a, b, c of the line's function, and the bounds of ab and c.
    sign_start : (F + 1,) int32
    signs : int8
        Signs at the corners of the face, entry by entry.
    """

    start: IntArray
    line: IntArray
    face: IntArray
    rows: FloatArray
    sign_start: IntArray
    signs: SignArray


@dataclass
class Items:
    """Lines along edges, or chords along chords, sorted by their parameter t.

    Attributes
    ----------
    start : (lists + 1,) int32
    item : int32
        What crosses: the number of an entry of the edge's left face, or a chord.
    t, tau : float64
        Where, and a bound on the error.
    tied : bool
        Whether an item crosses at the same point as the one before it.
    group : int32
        The number of the point along the edge or chord.
    is_open : (lists,) bool
        Whether errors leave the order open.
    """

    start: IntArray
    item: IntArray
    t: FloatArray
    tau: FloatArray
    tied: BoolArray
    group: IntArray
    is_open: BoolArray

    @staticmethod
    def empty(start: IntArray) -> Items:
        n = int(start[-1])
        return Items(
            start=start,
            item=indices(n),
            t=np.empty(n),
            tau=np.empty(n),
            tied=np.zeros(n, dtype=np.bool_),
            group=indices(n),
            is_open=np.zeros(len(start) - 1, dtype=np.bool_),
        )


def decide_signs(
    old: Complex,
    row_of: Callable[[int, int], Triple],
    made: Provenance,
    tally: Tally,
    entries: Entries,
    status: ByteArray,
) -> BoolArray:
    """Find open signs, and tell which entries do cut their faces.

    `row_of` gives the exact function of a line on a face.
    """
    keep = np.ones(len(entries.line), dtype=np.bool_)
    is_open = np.flatnonzero(status[entries.face, entries.line] == kernels.OPEN)
    for i in is_open.tolist():
        f, line = int(entries.face[i]), int(entries.line[i])
        begin, end = old.face_start[f : f + 2].tolist()
        at = int(entries.sign_start[f]) + (i - int(entries.start[f])) * (end - begin)
        mine = entries.signs[at : at + end - begin]
        open_sides = np.flatnonzero(mine == kernels.UNDECIDED).tolist()
        row = row_of(f, line)
        for s in open_sides:
            h = int(old.half_edges[begin + s])
            z = dot(row, made.vertex(int(old.ev[h >> 1, h & 1])))
            mine[s] = (z > 0) - (z < 0)
        tally.settle(len(open_sides))
        above, below = bool((mine > 0).any()), bool((mine < 0).any())
        if above and below:
            status[f, line] = kernels.CROSSING
        else:
            keep[i] = False
            status[f, line] = kernels.ABOVE if above else kernels.BELOW if below else kernels.ZERO
    return keep


@dataclass
class Segment:
    """A stretch of a line between two vertices, in integers."""

    line: Triple
    ends: tuple[Triple, Triple]
    row: Callable[[int], Triple]  # the line of an item


def decide_orders(items: Items, segment: Callable[[int], Segment], tally: Tally) -> None:
    """Sort where intervals of t overlap, and mark what is equal."""
    for e in np.flatnonzero(items.is_open).tolist():
        begin, end = items.start[e : e + 2].tolist()
        t, tau = items.t[begin:end], items.tau[begin:end] + 8 * kernels.U
        # By their lower ends, intervals fall into runs: a new one starts beyond all before it.
        by_lower_end = np.argsort(t - tau, kind="stable")
        for values in (items.item, items.t, items.tau):
            values[begin:end] = values[begin:end][by_lower_end]
        t, tau = items.t[begin:end], items.tau[begin:end] + 8 * kernels.U
        reach = np.maximum.accumulate(t + tau)
        fresh = np.concatenate([[True], t[1:] - tau[1:] > reach[:-1]])
        firsts = [*np.flatnonzero(fresh).tolist(), end - begin]
        here = segment(e)
        for i, j in pairwise(firsts):
            if j - i > 1:
                _decide_run(items, slice(begin + i, begin + j), here)
                tally.settle(j - i)


def _decide_run(items: Items, run: slice, segment: Segment) -> None:
    """Sort the items of a run, and give them the exact parameters, rounded once."""
    p, q = segment.ends
    rows = [segment.row(i) for i in items.item[run].tolist()]
    # Lines through one point are what is most often left open.
    common = meet(segment.line, rows[0])
    if all(dot(row, common) == 0 for row in rows[1:]):
        items.t[run] = _Parameter(rows[0], p, q).rounded
        items.tied[run] = [False, *[True] * (len(rows) - 1)]
    else:
        keys = [_Parameter(row, p, q) for row in rows]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        items.item[run] = items.item[run][order]
        items.t[run] = [keys[i].rounded for i in order]
        items.tied[run] = [False, *(keys[i] == keys[j] for i, j in pairwise(order))]
    items.tau[run] = 2 * kernels.U


class _Parameter:
    """Where a line meets a segment: an exact fraction, which its first bits order mostly."""

    __slots__ = ("denominator", "first_bits", "numerator")

    def __init__(self, row: Triple, p: Triple, q: Triple) -> None:
        zp, zq = dot(row, p) * q[2], dot(row, q) * p[2]
        if zp < 0:
            zp, zq = -zp, -zq
        self.numerator, self.denominator = zp, zp - zq
        self.first_bits = (zp << _BITS) // (zp - zq)

    def __lt__(self, other: _Parameter) -> bool:
        if self.first_bits != other.first_bits:
            return self.first_bits < other.first_bits
        return self.numerator * other.denominator < other.numerator * self.denominator

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Parameter)
            and self.first_bits == other.first_bits
            and self.numerator * other.denominator == other.numerator * self.denominator
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def rounded(self) -> float:
        """The nearest float64."""
        return self.numerator / self.denominator


def round_exactly(vertices: Sequence[FloatArray], which: BoolArray, made: Provenance) -> None:
    """Give some vertices the nearest float64 coordinates, with no error where those are exact.

    Vertices in which three lines meet have been found in integers, and lines of later layers are
    likely to meet there again: at the origin, in a network without biases.
    """
    for v in np.flatnonzero(which).tolist():
        *coordinates, w = made.vertex(v)
        for axis, numerator in enumerate(coordinates):
            value = rounded(numerator, w)
            n, d = value.as_integer_ratio()
            vertices[axis][v] = value
            vertices[axis + 2][v] = (
                0.0 if n * w == numerator * d else 2 * kernels.U * abs(value) + kernels.TINY
            )
