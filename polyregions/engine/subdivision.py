"""The layer loop: maps and signs, edges, chords, and the next complex.

Each layer goes through the kernels of `polyregions.engine.kernels` in three passes. Between them
the decisions that float64 could not prove are made in integers:

1. faces: the sign of every line at every corner;
2. edges: the order of the lines that cross an edge, once for both its faces;
3. chords: the order of the chords that cross a chord inside a face.

With these known the rest is bookkeeping on integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from flint import fmpq

from polyregions.domain import Domain
from polyregions.engine import kernels
from polyregions.engine.crew import Crew
from polyregions.engine.exactly import ExactVertices, Provenance
from polyregions.engine.layers import Layer, compile_layers
from polyregions.errors import LimitError
from polyregions.exact import Triple, dot, rounded
from polyregions.network import ByteArray, FloatArray, IntArray, Network
from polyregions.partition import Partition

# Floats that the maps of one block of faces may take: about the size of a cache.
_BLOCK = 1 << 16
_LONGEST_PATH = 128


@dataclass
class Complex:
    """The subdivision between two layers, as half-edge arrays."""

    vx: FloatArray
    vy: FloatArray
    dx: FloatArray
    dy: FloatArray
    ev: IntArray
    ef: IntArray
    edge_line: IntArray
    face_start: IntArray
    half_edges: IntArray

    @property
    def n_faces(self) -> int:
        return len(self.face_start) - 1

    @property
    def vertices(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        return self.vx, self.vy, self.dx, self.dy


@dataclass
class Maps:
    """The affine maps before a layer's activation: columns a, b, c of ``a x + b y + c``.

    Faces with the same parent have the same error bounds.
    """

    columns: FloatArray  # (F, 3, n)
    eab: FloatArray  # (G, n)
    ec: FloatArray  # (G, n)
    group: IntArray  # (F,)


@dataclass
class Split:
    """What a layer did to the faces before it, for the maps behind it."""

    child_start: IntArray
    child_ref: IntArray
    parent: IntArray
    pieces: ByteArray
    entry_start: IntArray
    entry_line: IntArray
    n_flips: IntArray


@dataclass
class Signs:
    """What is known of each line on each face: one of the codes of the kernels."""

    status: ByteArray  # (F, L)
    n_cutting: IntArray  # (F,) lines that cross or may cross

    @staticmethod
    def empty(n_faces: int, layer: Layer) -> Signs:
        status = np.empty((n_faces, layer.n_lines), dtype=np.uint8)
        return Signs(status, np.zeros(n_faces, dtype=np.int64))


@dataclass
class Tally:
    """How many decisions each arithmetic made."""

    float64: int = 0
    integer: int = 0


@dataclass
class Window:
    """The domain's largest coordinates, which error bounds of maps refer to."""

    x: float
    y: float
    inverse: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        # A hair larger, so that it stays a bound after rounding.
        self.inverse = (1 / self.x * (1 + 1e-12), 1 / self.y * (1 + 1e-12))


def subdivide(
    network: Network, domain: Domain, *, max_regions: int, threads: int | None = None
) -> Partition:
    """Subdivide `domain` into the faces on which every unit of `network` keeps its piece.

    Raises
    ------
    LimitError
        If there are more than `max_regions` faces.
    OverflowError
        If a coordinate or a coefficient of a map is too large for float64.
    """
    with Crew(threads) as crew:
        return _subdivide(network, domain, max_regions, crew)


def _subdivide(network: Network, domain: Domain, max_regions: int, crew: Crew) -> Partition:
    layers = compile_layers(network)
    high = np.abs(domain.xy).max(axis=0)
    # Any bounds will do that are not too small; these can be inverted.
    window = Window(max(float(high[0]), kernels.TINY), max(float(high[1]), kernels.TINY))
    made = Provenance(layers, domain)
    tally = Tally()
    complex_, made.vertex_lines = _start(domain)
    maps = _first_maps(layers[0], window)
    known = Signs.empty(1, layers[0])
    _classify(0, 1, complex_, maps, layers[0], window, known)
    counts: list[int] = []
    for level, layer in enumerate(layers[:-1]):

        def check(n_faces: int, level: int = level, name: str = _name(layer)) -> None:
            if n_faces > max_regions:
                raise LimitError(
                    f"more than max_regions={max_regions} regions: activation layer {level} "
                    f"({name}) makes {n_faces}; faces after the layers before it: {counts}. "
                    "Raise max_regions, or take a smaller domain",
                    counts=tuple(counts),
                    layer=level,
                )

        complex_, split = _split_layer(
            complex_, maps, layer, level, window, known, made, tally, crew, check
        )
        counts.append(complex_.n_faces)
        maps, known = _next_maps(complex_, maps, split, layer, layers[level + 1], window, crew)
    return _finish(complex_, maps, network, domain, window, made, tally, crew)


def _name(layer: Layer) -> str:
    return layer.activation.name if layer.activation else "the outputs"


def _start(domain: Domain) -> tuple[Complex, IntArray]:
    xy = domain.xy
    k = len(xy)
    corner = np.arange(k)
    zero = np.zeros(k)
    complex_ = Complex(
        vx=xy[:, 0].copy(),
        vy=xy[:, 1].copy(),
        dx=zero,
        dy=zero.copy(),
        ev=np.stack([corner, np.roll(corner, -1)], axis=1),
        ef=np.stack([np.zeros(k, dtype=np.int64), np.full(k, -1)], axis=1),
        edge_line=corner,
        face_start=np.array([0, k]),
        half_edges=2 * corner,
    )
    return complex_, np.stack([np.roll(corner, 1), corner], axis=1)


# -- maps ------------------------------------------------------------------------------------


def _first_maps(layer: Layer, window: Window) -> Maps:
    columns = np.stack([layer.weight[:, 0], layer.weight[:, 1], layer.bias])[None]
    error = layer.weight_error
    with np.errstate(over="ignore", invalid="ignore"):
        eab = (error[:, 0] * window.x + error[:, 1] * window.y) * (1 + 1e-9)
    eab += kernels.TINY * (error > 0).any(axis=1)
    ec = layer.bias_error * (1 + 1e-9)
    eab, ec = (np.where(e < kernels.HUGE, e, np.inf)[None] for e in (eab, ec))
    return Maps(np.ascontiguousarray(columns), eab, ec, np.zeros(1, dtype=np.int64))


def _next_maps(
    complex_: Complex,
    before: Maps,
    split: Split,
    layer: Layer,
    following: Layer,
    window: Window,
    crew: Crew,
) -> tuple[Maps, Signs]:
    n = following.width
    """Maps before the next activation, and the signs of its lines."""
    n_groups = len(split.child_start) - 1
    columns = np.empty((complex_.n_faces, 3, n))
    eab, ec = np.zeros((n_groups, n)), np.empty((n_groups, n))
    children = np.diff(split.child_start)
    budget = np.minimum(_LONGEST_PATH, 4 * children)
    item_parent, item_child = _items(split.child_start, children)
    maps = Maps(columns, eab, ec, split.parent)
    arguments = (
        item_parent, item_child, before.columns, before.eab, before.ec, before.group,
        split.child_start, split.child_ref, split.pieces, layer.slopes, layer.intercepts,
        split.entry_start, split.entry_line, layer.member_offsets, layer.member_unit,
        split.n_flips, budget, window.x, window.y, following.transposed,
        following.transposed_error, following.bias, following.bias_error, not following.is_exact,
        columns, eab, ec,
    )  # fmt: skip
    signs = Signs.empty(complex_.n_faces, following)

    def work(begin: int, end: int) -> None:
        kernels.next_maps(begin, end, *arguments)
        if following.n_lines:
            _classify(
                int(item_child[begin]),
                int(item_child[end]),
                complex_,
                maps,
                following,
                window,
                signs,
            )

    # As many items at a time as have maps that fit a cache.
    crew.run(
        len(item_parent),
        work,
        max(1, _BLOCK // (3 * n) * len(item_parent) // max(1, complex_.n_faces)),
    )
    return maps, signs


def _items(child_start: IntArray, children: IntArray) -> tuple[IntArray, IntArray]:
    """Runs of at most CHUNK children of one parent: their parents and first children."""
    runs = (children + kernels.CHUNK - 1) // kernels.CHUNK
    parent = np.repeat(np.arange(len(children)), runs)
    number = np.arange(len(parent)) - (np.cumsum(runs) - runs)[parent]
    return parent, np.append(child_start[parent] + number * kernels.CHUNK, child_start[-1])


def _classify(
    begin: int, end: int, complex_: Complex, maps: Maps, layer: Layer, window: Window, signs: Signs
) -> None:
    kernels.classify(
        begin, end, maps.columns, maps.eab, maps.ec, maps.group, layer.line_unit,
        layer.line_breakpoint, complex_.face_start, complex_.half_edges, complex_.ev,
        *complex_.vertices, *window.inverse, signs.status, signs.n_cutting,
    )  # fmt: skip


# -- one layer -------------------------------------------------------------------------------


def _split_layer(
    old: Complex,
    maps: Maps,
    layer: Layer,
    level: int,
    window: Window,
    known: Signs,
    made: Provenance,
    tally: Tally,
    crew: Crew,
    check: Callable[[int], None],
) -> tuple[Complex, Split]:
    """Subdivide every face by a layer's lines. `check` may object to the number of children."""
    n_faces = old.n_faces
    status, n_cutting = known.status, known.n_cutting
    n_edges = len(old.ev)
    per_face = partial(crew.call, n_faces, 2048)
    per_edge = partial(crew.call, n_edges, 4096)
    corners = np.diff(old.face_start)
    tally.float64 += layer.n_lines * len(old.half_edges)
    entry_start = _offsets(n_cutting)
    n_entries = int(entry_start[-1])
    sign_start = _offsets(n_cutting * corners)
    entry_line = np.empty(n_entries, dtype=np.int64)
    entry_face = np.empty(n_entries, dtype=np.int64)
    rows = np.empty((n_entries, 5))
    signs = np.empty(int(sign_start[-1]), dtype=np.int8)
    per_face(
        kernels.fill_entries, maps.columns, maps.eab, maps.ec, maps.group, layer.line_unit,
        layer.line_breakpoint, old.face_start, old.half_edges, old.ev, *old.vertices,
        *window.inverse, status, entry_start, sign_start, entry_line, entry_face,
        rows, signs,
    )  # fmt: skip
    if (signs == kernels.UNDECIDED).any():
        keep = _decide_signs(
            old, level, made, tally, entry_start, sign_start, entry_line, entry_face, signs, status
        )
        width = np.repeat(keep, corners[entry_face])
        entry_line, entry_face, rows = entry_line[keep], entry_face[keep], rows[keep]
        signs = signs[width]
        n_cutting = np.bincount(entry_face, minlength=n_faces)
        entry_start, sign_start = _offsets(n_cutting), _offsets(n_cutting * corners)
        n_entries = len(entry_line)

    first_line = made.n_sides + sum(map(len, made.line_face))
    made.line_start.append(first_line)
    made.line_face.append(entry_face)
    made.line_number.append(entry_line)

    # Edges.
    side = np.empty(2 * n_edges, dtype=np.int64)
    per_face(kernels.side_numbers, old.face_start, old.half_edges, side)
    count = np.empty(n_edges, dtype=np.int64)
    per_edge(
        kernels.count_on_edges, old.ef, side, old.face_start, entry_start, sign_start, signs, count
    )  # fmt: skip
    item_start = _offsets(count)
    items = _Items.empty(int(item_start[-1]), n_edges)
    per_edge(
        kernels.fill_edges, old.ef, old.ev, side, old.face_start, entry_start, sign_start, signs,
        rows, *old.vertices, *window.inverse, item_start, items.item, items.t, items.tau,
        items.is_open,
    )  # fmt: skip
    tally.float64 += len(items.t)

    def on_edge(e: int) -> tuple[Triple, Triple, Callable[[int], Triple]]:
        p, q = old.ev[e].tolist()
        f = int(old.ef[e, 0])
        return (
            made.vertex(p),
            made.vertex(q),
            lambda i: made.row(level, f, int(entry_line[entry_start[f] + i])),
        )

    _decide_orders(items, item_start, on_edge, tally)
    n_edge_groups = np.empty(n_edges, dtype=np.int64)
    per_edge(kernels.number_groups, item_start, items.tied, items.group, n_edge_groups)
    group_start = _offsets(n_edge_groups)
    n_old = len(old.vx)
    n_on_edges = int(group_start[-1])

    grown = [np.concatenate([v, np.empty(n_on_edges)]) for v in old.vertices]
    made.vertex_lines = np.concatenate(
        [made.vertex_lines, np.empty((n_on_edges, 2), dtype=np.int64)]
    )
    concurrent = np.zeros(n_old + n_on_edges, dtype=np.bool_)
    per_edge(
        kernels.edge_vertices, old.ev, old.ef, old.edge_line, entry_start, item_start, items.item,
        items.group, items.t, items.tau, group_start, first_line, *old.vertices, n_old, *grown,
        made.vertex_lines, concurrent,
    )  # fmt: skip

    _round_exactly(grown, concurrent, made)

    # Chords.
    corner_place = np.empty(len(old.half_edges), dtype=np.int64)
    n_boundary, n_chords = np.empty((2, n_faces), dtype=np.int64)
    entry_chord, chord_a, chord_b, chord_va, chord_vb, chord_entry, n_crossings = np.empty(
        (7, n_entries), dtype=np.int64
    )
    per_face(
        kernels.find_chords, old.face_start, old.half_edges, old.ev, old.ef, entry_start,
        entry_line, sign_start, signs, item_start, items.item, items.group, group_start, n_old,
        corner_place, n_boundary, entry_chord, chord_a, chord_b, chord_va, chord_vb, chord_entry,
        n_chords, n_crossings,
    )  # fmt: skip
    cross_start = _offsets(n_crossings)
    crosses = _Items.empty(int(cross_start[-1]), n_entries)
    per_face(
        kernels.fill_chords, entry_start, n_chords, chord_a, chord_b, chord_va, chord_vb,
        chord_entry, rows, *grown, *window.inverse, cross_start, crosses.item, crosses.t,
        crosses.tau, crosses.is_open,
    )  # fmt: skip
    tally.float64 += len(crosses.t)

    def on_chord(chord: int) -> tuple[Triple, Triple, Callable[[int], Triple]]:
        f = int(entry_face[chord])
        return (
            made.vertex(int(chord_va[chord])),
            made.vertex(int(chord_vb[chord])),
            lambda j: made.row(level, f, int(entry_line[chord_entry[j]])),
        )

    _decide_orders(crosses, cross_start, on_chord, tally)
    n_groups = np.empty(n_entries, dtype=np.int64)
    crew.call(
        n_entries, 4096, kernels.number_groups, cross_start, crosses.tied, crosses.group, n_groups
    )
    new_of_chord = np.empty(n_entries, dtype=np.int64)
    n_inner, n_segments, n_children, n_sides = np.empty((4, n_faces), dtype=np.int64)
    per_face(
        kernels.count_inside, entry_start, old.face_start, n_chords, n_boundary, cross_start,
        crosses.item, crosses.group, n_groups, new_of_chord, n_inner, n_segments, n_children,
        n_sides,
    )  # fmt: skip

    # The next complex.
    inner_start, segment_start = _offsets(n_inner), _offsets(n_segments)
    child_start, side_start = _offsets(n_children), _offsets(n_sides)
    n_new_edges = n_edges + n_on_edges + int(segment_start[-1])
    n_new_faces = int(child_start[-1])
    check(n_new_faces)
    n_new_inner = int(inner_start[-1])
    vertices = [np.concatenate([v, np.empty(n_new_inner)]) for v in grown]
    made.vertex_lines = np.concatenate(
        [made.vertex_lines, np.empty((n_new_inner, 2), dtype=np.int64)]
    )
    concurrent = np.zeros(len(vertices[0]), dtype=np.bool_)
    vx, vy, dx, dy = vertices
    new = Complex(
        vx,
        vy,
        dx,
        dy,
        ev=np.empty((n_new_edges, 2), dtype=np.int64),
        ef=np.full((n_new_edges, 2), -1, dtype=np.int64),
        edge_line=np.empty(n_new_edges, dtype=np.int64),
        face_start=np.empty(n_new_faces + 1, dtype=np.int64),
        half_edges=np.empty(int(side_start[-1]), dtype=np.int64),
    )
    new.face_start[-1] = side_start[-1]
    split = Split(
        child_start=child_start,
        child_ref=np.empty(n_new_faces, dtype=np.int64),
        parent=np.empty(n_new_faces, dtype=np.int64),
        pieces=np.empty((n_new_faces, layer.width), dtype=np.uint8),
        entry_start=entry_start,
        entry_line=entry_line,
        n_flips=np.empty(n_faces, dtype=np.int64),
    )
    per_edge(
        kernels.split_edges,
        old.ev,
        old.ef,
        old.edge_line,
        group_start,
        n_old,
        new.ev,
        new.edge_line,
    )
    per_face(
        kernels.split_faces, old.face_start, old.half_edges, old.ef, entry_start, entry_line,
        entry_chord, sign_start, signs, corner_place, n_boundary, chord_a, chord_b, chord_va,
        chord_vb, chord_entry, n_chords, cross_start, crosses.item, crosses.group, n_groups,
        crosses.t, crosses.tau, group_start, n_old, n_on_edges, n_edges, inner_start, segment_start,
        child_start, side_start, first_line, status, layer.member_offsets, layer.member_unit,
        layer.member_sign, *vertices, made.vertex_lines, concurrent, new.ev, new.ef, new.edge_line,
        new.face_start, new.half_edges, split.parent, split.child_ref, split.pieces, split.n_flips,
    )  # fmt: skip
    made.parents.append(split.parent)
    made.pieces.append(split.pieces)
    _round_exactly(vertices, concurrent, made)
    return new, split


def _round_exactly(
    vertices: Sequence[FloatArray],
    which: np.ndarray[Any, np.dtype[np.bool_]],
    made: Provenance,
) -> None:
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


@dataclass
class _Items:
    """Lines along edges, or chords along chords, sorted by their parameter t."""

    item: IntArray
    t: FloatArray
    tau: FloatArray
    tied: np.ndarray[Any, np.dtype[np.bool_]]
    group: IntArray
    is_open: np.ndarray[Any, np.dtype[np.bool_]]

    @staticmethod
    def empty(n: int, n_lists: int) -> _Items:
        return _Items(
            item=np.empty(n, dtype=np.int64),
            t=np.empty(n),
            tau=np.empty(n),
            tied=np.zeros(n, dtype=np.bool_),
            group=np.empty(n, dtype=np.int64),
            is_open=np.zeros(n_lists, dtype=np.bool_),
        )


def _decide_signs(
    old: Complex,
    level: int,
    made: Provenance,
    tally: Tally,
    entry_start: IntArray,
    sign_start: IntArray,
    entry_line: IntArray,
    entry_face: IntArray,
    signs: np.ndarray[Any, np.dtype[np.int8]],
    status: ByteArray,
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Find open signs in integers, and tell which entries do cross their faces."""
    keep = np.ones(len(entry_line), dtype=np.bool_)
    is_open = np.flatnonzero(status[entry_face, entry_line] == kernels.OPEN)
    for i in is_open.tolist():
        f, line = int(entry_face[i]), int(entry_line[i])
        begin, end = old.face_start[f : f + 2].tolist()
        at = int(sign_start[f]) + (i - int(entry_start[f])) * (end - begin)
        row = None
        for s in range(begin, end):
            if signs[at + s - begin] == kernels.UNDECIDED:
                h = int(old.half_edges[s])
                if row is None:
                    row = made.row(level, f, line)
                z = dot(row, made.vertex(int(old.ev[h >> 1, h & 1])))
                signs[at + s - begin] = (z > 0) - (z < 0)
                tally.integer += 1
                tally.float64 -= 1
        mine = signs[at : at + end - begin]
        above, below = bool((mine > 0).any()), bool((mine < 0).any())
        if above and below:
            status[f, line] = kernels.CROSSING
        else:
            keep[i] = False
            status[f, line] = kernels.ABOVE if above else kernels.BELOW if below else kernels.ZERO
    return keep


def _decide_orders(
    items: _Items,
    start: IntArray,
    segment: Callable[[int], tuple[Triple, Triple, Callable[[int], Triple]]],
    tally: Tally,
) -> None:
    """Sort in integers where intervals of t overlap, and mark what is equal."""
    for e in np.flatnonzero(items.is_open).tolist():
        begin, end = start[e : e + 2].tolist()
        t, tau = items.t[begin:end], items.tau[begin:end] + 8 * kernels.U
        # By their lower ends, intervals fall into runs: a new one starts beyond all before it.
        by_lower_end = np.argsort(t - tau, kind="stable")
        for values in (items.item, items.t, items.tau):
            values[begin:end] = values[begin:end][by_lower_end]
        t, tau = items.t[begin:end], items.tau[begin:end] + 8 * kernels.U
        reach = np.maximum.accumulate(t + tau)
        fresh = np.concatenate([[True], t[1:] - tau[1:] > reach[:-1]])
        firsts = [*np.flatnonzero(fresh).tolist(), end - begin]
        p, q, row = segment(e)
        for i, j in pairwise(firsts):
            if j - i == 1:
                continue
            keys = []
            for at in range(begin + i, begin + j):
                line = row(int(items.item[at]))
                zp, zq = dot(line, p) * q[2], -dot(line, q) * p[2]
                keys.append((fmpq(zp, zp + zq), at))
            keys.sort(key=lambda pair: pair[0])
            order = [at for _, at in keys]
            run = slice(begin + i, begin + j)
            items.item[run] = items.item[order]
            # The exact parameter, rounded once.
            exact = [rounded(int(key.p), int(key.q)) for key, _ in keys]
            items.t[run] = exact
            items.tau[run] = 2 * kernels.U
            items.tied[run] = [
                False,
                *(keys[w][0] == keys[w - 1][0] for w in range(1, len(keys))),
            ]
            tally.integer += j - i
            tally.float64 -= j - i


# -- the result ------------------------------------------------------------------------------


def _finish(
    complex_: Complex,
    maps: Maps,
    network: Network,
    domain: Domain,
    window: Window,
    made: Provenance,
    tally: Tally,
    crew: Crew,
) -> Partition:
    n_faces = complex_.n_faces
    pattern = np.empty((n_faces, network.n_units), dtype=np.uint8)
    ancestor = np.arange(n_faces)
    offset = network.n_units
    for parents, pieces in zip(reversed(made.parents), reversed(made.pieces), strict=True):
        offset -= pieces.shape[1]
        crew.call(n_faces, 2048, kernels.gather_patterns, offset, pieces, ancestor, pattern)
        ancestor = parents[ancestor]

    # Units are in the order of their lines, so the line that made an edge is that of the lowest
    # unit that switches there, or of one whose line is a multiple of it and which comes after.
    cut_unit = [np.full(made.n_sides, -1)]
    offset = 0
    for layer, number in zip(made.layers, made.line_number, strict=False):
        cut_unit.append(offset + layer.line_unit[number])
        offset += layer.width
    edge_unit = np.concatenate(cut_unit)[complex_.edge_line]
    face_vertices = np.empty(len(complex_.half_edges), dtype=np.int64)
    crew.call(
        len(face_vertices),
        1 << 16,
        kernels.cycle_vertices,
        complex_.half_edges,
        complex_.ev,
        face_vertices,
    )
    xy = np.stack([complex_.vx, complex_.vy], axis=1)
    columns = maps.columns
    # Where float64 overflowed on the way, the coefficients themselves may still fit.
    bad = ~(
        np.isfinite(columns).all(axis=(1, 2))
        & np.isfinite(maps.eab + maps.ec)[maps.group].all(axis=1)
    )
    with np.errstate(over="ignore", invalid="ignore"):
        both = maps.eab + maps.ec
        error = np.stack([both / window.x, both / window.y, maps.ec], axis=2)[maps.group]
        map_error = error * (1 + 1e-9) + kernels.TINY
    for f in np.flatnonzero(bad).tolist():
        *rows, scale = made.affine_map(len(made.layers) - 1, f).tolist()
        for i, row in enumerate(rows):
            exact = [rounded(int(v), int(scale[2])) for v in row]
            columns[f, :, i] = exact
            map_error[f, i] = np.abs(exact) * (2 * kernels.U) + kernels.TINY
    from polyregions.engine.pieces import affine_pieces

    face_affine_piece = affine_pieces(columns, maps, window, made)
    return Partition(
        domain=domain,
        vertex_xy=xy,
        vertex_error=np.stack([complex_.dx, complex_.dy], axis=1),
        vertex_exact=ExactVertices(made),
        edge_vertices=complex_.ev,
        edge_faces=complex_.ef,
        edge_unit=edge_unit,
        face_offsets=complex_.face_start,
        face_vertices=face_vertices,
        face_pattern=pattern,
        face_weight=columns[:, :2].transpose(0, 2, 1),
        face_bias=columns[:, 2],
        face_weight_error=map_error[:, :, :2],
        face_bias_error=map_error[:, :, 2],
        face_affine_piece=face_affine_piece,
        unit_layer=network.unit_layer,
        engine="exact",
        decisions={"float64": tally.float64, "integer": tally.integer},
    )


def _offsets(counts: IntArray) -> IntArray:
    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
