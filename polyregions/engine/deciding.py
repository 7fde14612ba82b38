"""What float64 leaves open, decided between the kernels.

In double-double arithmetic, many at a time, where that suffices; in integers, one by one, where it
does not. Only integers can prove a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np

from polyregions.engine import closely, kernels
from polyregions.engine.complex import Complex, indices
from polyregions.engine.exactly import Provenance
from polyregions.engine.maps import Window
from polyregions.exact import Triple, dot, meet, rounded
from polyregions.float64 import TINY, U
from polyregions.network import ByteArray, FloatArray, IntArray

_BITS = 128
# Bounds on coordinates that are a larger share of the domain's are loose.
LOOSE = 2.0**-20

# Faces and lines as a layer counts them, for those of one of its rounds.
Original: TypeAlias = Callable[[IntArray, IntArray], tuple[IntArray, IntArray]]
BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
SignArray: TypeAlias = np.ndarray[Any, np.dtype[np.int8]]


@dataclass
class Tally:
    """How many decisions each arithmetic made."""

    float64: int = 0
    double_double: int = 0
    integer: int = 0

    def settle(self, *, double_double: int = 0, integer: int = 0) -> None:
        """Count decisions, at first taken for float64's, as made in other arithmetics."""
        self.double_double += double_double
        self.integer += integer
        self.float64 -= double_double + integer


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
    level: int,
    original: Original,
    made: Provenance,
    tally: Tally,
    entries: Entries,
    status: ByteArray,
) -> BoolArray:
    """Find open signs, and tell which entries do cut their faces."""
    keep = np.ones(len(entries.line), dtype=np.bool_)
    doubtful = np.flatnonzero(status[entries.face, entries.line] == kernels.OPEN)
    face, line = entries.face[doubtful], entries.line[doubtful]
    corners = old.face_start[face + 1] - old.face_start[face]
    # All signs of doubtful entries, one entry after the other.
    owner = np.repeat(np.arange(len(doubtful)), corners)
    first = np.append(0, np.cumsum(corners[:-1]))
    corner = np.arange(len(owner)) - first[owner]
    at = (entries.sign_start[face] + (doubtful - entries.start[face]) * corners)[owner] + corner
    is_open = entries.signs[at] == kernels.UNDECIDED
    owner_of_open, place = owner[is_open], at[is_open]
    half = old.half_edges[old.face_start[face[owner_of_open]] + corner[is_open]]
    vertex = old.ev[half >> 1, half & 1]
    faces, lines = original(face, line)
    entries.signs[place] = closely.signs(
        made, level, faces[owner_of_open], lines[owner_of_open], vertex
    )
    ties = np.flatnonzero(entries.signs[place] == kernels.UNDECIDED)
    for i in ties.tolist():
        k = owner_of_open[i]
        z = dot(made.row(level, int(faces[k]), int(lines[k])), made.vertex(int(vertex[i])))
        entries.signs[place[i]] = (z > 0) - (z < 0)
    tally.settle(double_double=len(place) - len(ties), integer=len(ties))
    if len(doubtful):
        above = np.maximum.reduceat(entries.signs[at], first) > 0
        below = np.minimum.reduceat(entries.signs[at], first) < 0
        cuts = above & below
        keep[doubtful] = cuts
        kinds = [kernels.CROSSING, kernels.ABOVE, kernels.BELOW]
        status[face, line] = np.select([cuts, above, below], kinds, kernels.ZERO)
    return keep


@dataclass
class Stretches:
    """Stretches of lines between two vertices, on which items are.

    Attributes
    ----------
    made : Provenance
    level : int
        The layer that the items' lines belong to.
    start, end : (lists,) int
        The vertices at both ends.
    line : callable
        Faces and lines of the layer, for numbers of stretches and, on each, an item.
    own : callable
        The line of a stretch, in integers.
    """

    made: Provenance
    level: int
    start: IntArray
    end: IntArray
    line: Callable[[IntArray, IntArray], tuple[IntArray, IntArray]]
    own: Callable[[int], Triple]


def decide_orders(items: Items, stretches: Stretches, tally: Tally) -> None:
    """Sort where intervals of t overlap, and mark what is equal."""
    owners: list[int] = []
    runs: list[tuple[int, int]] = []
    for e in np.flatnonzero(items.is_open).tolist():
        begin, end = items.start[e : e + 2].tolist()
        t, tau = items.t[begin:end], items.tau[begin:end] + 8 * U
        # By their lower ends, intervals fall into runs: a new one starts beyond all before it.
        by_lower_end = np.argsort(t - tau, kind="stable")
        for values in (items.item, items.t, items.tau):
            values[begin:end] = values[begin:end][by_lower_end]
        t, tau = items.t[begin:end], items.tau[begin:end] + 8 * U
        reach = np.maximum.accumulate(t + tau)
        fresh = np.concatenate([[True], t[1:] - tau[1:] > reach[:-1]])
        firsts = [*np.flatnonzero(fresh).tolist(), end - begin]
        long = [(begin + i, begin + j) for i, j in pairwise(firsts) if j - i > 1]
        runs += long
        owners += [e] * len(long)
    if not runs:
        return
    lengths = [end - begin for begin, end in runs]
    owner = np.repeat(owners, lengths)
    face, line = stretches.line(
        owner, items.item[np.concatenate([np.arange(*run) for run in runs])]
    )
    t, low, error = closely.parameters(
        stretches.made,
        stretches.level,
        face,
        line,
        stretches.start[owner],
        stretches.end[owner],
    )
    firsts = [0, *accumulate(lengths)]
    for e, run, (i, j) in zip(owners, runs, pairwise(firsts), strict=True):
        order = _order(t[i:j], low[i:j], error[i:j])
        if order is None:
            _decide_run(items, slice(*run), face[i:j], line[i:j], stretches, e)
            tally.settle(integer=j - i)
            continue
        here = slice(*run)
        items.item[here] = items.item[here][order]
        items.t[here] = t[i:j][order]
        items.tau[here] = 2 * U
        tally.settle(double_double=j - i)


def _order(t: FloatArray, low: FloatArray, error: FloatArray) -> IntArray | None:
    """The order of parameters ``t + low``, or None where their errors leave it open."""
    if not (error < U / 4).all():
        return None
    order = np.lexsort((low, t))
    t, low, error = t[order], low[order], error[order]
    # The rounded difference of t is off by no more than u of it, that of low by less than u**2.
    gap = (t[1:] - t[:-1]) + (low[1:] - low[:-1])
    least = (error[1:] + error[:-1]) * (1 + 8 * U) + 4 * U**2
    return order if (gap * (1 - 8 * U) > least).all() else None


def _decide_run(
    items: Items, run: slice, face: IntArray, line: IntArray, stretches: Stretches, e: int
) -> None:
    """Sort the items of a run, and give them the exact parameters, rounded once."""
    made, level = stretches.made, stretches.level
    p, q = made.vertex(int(stretches.start[e])), made.vertex(int(stretches.end[e]))
    rows = [made.row(level, *at) for at in zip(face.tolist(), line.tolist(), strict=True)]
    # Lines through one point are what is most often left open.
    common = meet(stretches.own(e), rows[0])
    if all(dot(row, common) == 0 for row in rows[1:]):
        items.t[run] = _Parameter(rows[0], p, q).rounded
        items.tied[run] = [False, *[True] * (len(rows) - 1)]
    else:
        keys = [_Parameter(row, p, q) for row in rows]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        items.item[run] = items.item[run][order]
        items.t[run] = [keys[i].rounded for i in order]
        items.tied[run] = [False, *(keys[i] == keys[j] for i, j in pairwise(order))]
    items.tau[run] = 2 * U


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
            vertices[axis + 2][v] = 0.0 if n * w == numerator * d else 2 * U * abs(value) + TINY


def sharpen(
    vertices: Sequence[FloatArray],
    first: int,
    window: Window,
    made: Provenance,
    run: closely.Run,
) -> None:
    """Work out anew, from vertex `first` on, where coordinates have loose bounds.

    So no vertex hands on to later ones what near-parallel lines have cost it. For `run` see
    `closely.vertices`.
    """
    x, y, dx, dy = (part[first:] for part in vertices)
    if dx.max(initial=0.0) <= LOOSE * window.x and dy.max(initial=0.0) <= LOOSE * window.y:
        return
    loose = dx > LOOSE * np.maximum(np.abs(x), window.x)
    loose |= dy > LOOSE * np.maximum(np.abs(y), window.y)
    (which,) = np.nonzero(loose)
    if len(which):
        xy, error = closely.coordinates(made, first + which, run)
        for axis, (value, bound) in enumerate(((x, dx), (y, dy))):
            better = error[:, axis] < bound[which]
            value[which[better]] = xy[better, axis]
            bound[which[better]] = error[better, axis]
