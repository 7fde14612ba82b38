"""One layer: signs at corners, crossings on edges, chords in faces, and the next complex.

Every pass runs over ranges of faces or edges in several threads; between the passes, what float64
left open is decided in integers (see `polyregions.engine.deciding`). With all signs and orders
known the rest is bookkeeping on integers. A layer that is done in a moment, and has nothing left
open, goes through the same passes in one compiled call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from polyregions.engine import kernels
from polyregions.engine.complex import INDEX, Complex, indices, longer, offsets
from polyregions.engine.deciding import (
    Entries,
    Items,
    SignArray,
    Stretches,
    decide_orders,
    decide_signs,
    round_exactly,
    sharpen,
)
from polyregions.engine.exactly import Provenance
from polyregions.engine.layers import Layer
from polyregions.engine.maps import Level, Split
from polyregions.engine.segments import Elementwise
from polyregions.engine.watch import Watch
from polyregions.network import ByteArray, FloatArray, IntArray

# Floats that the maps of one block of faces may take: about the size of a cache.
_BLOCK = 1 << 16
# Blocks whose parents' maps are worked out together, where those are not kept.
_BLOCKS_AT_ONCE = 64
_FACES, _EDGES = 2048, 4096  # a thread takes so many at a time
_FACES_OF_PROGRAM = 16  # a program's steps go through so many at a time, or more
_MANY = 200  # lines with more crossings than are found in a moment, if all are in one face
_MOMENT = 1 << 18  # pairs of lines that may cross, or coefficients, that take no longer


def is_short(old: Complex, layer: Layer) -> bool:
    """Whether a layer is done in a moment, so that calls of kernels would take most of it."""
    is_small = old.n_faces <= _FACES and layer.n_lines <= _MANY and layer.is_dense
    return is_small and old.n_faces * max(layer.n_lines**2, layer.width) <= _MOMENT


def split_at_once(
    old: Complex, level: Level, number: int, made: Provenance, watch: Watch
) -> tuple[Complex, Split] | None:
    """Subdivide every face by the lines of a layer; None where float64 leaves anything open."""
    layer, maps = level.layer, level.all_maps()
    done = kernels.split_at_once(
        maps.columns, maps.eab, maps.ec, level.group, layer.line_value, layer.line_breakpoint,
        layer.member_offsets, layer.member_unit, layer.member_sign, old.face_start, old.half_edges,
        old.ev, old.ef, old.edge_line, *old.vertices, made.vertex_lines, *level.window.inverse,
        layer.width, made.n_lines, watch.crew.stop,
    )  # fmt: skip
    if done is None:
        return None
    n_decisions, *arrays, entry_face, vertex_lines = done
    new, parts = Complex(*arrays[:9]), Split(*arrays[9:])
    watch.tally.float64 += n_decisions
    made.vertex_lines = vertex_lines
    made.add_cuts(number, entry_face, parts.entry_line)
    made.parents.append(parts.parent)
    made.pieces.append(parts.pieces)
    sharpen(new.vertices, old.n_vertices, level.window, made, watch.run)
    return new, parts


@dataclass
class Classified:
    """The entries of a layer, and what is known of each of its lines on each face."""

    entries: Entries
    status: ByteArray  # (F, L), codes of the kernels


def classify(old: Complex, level: Level, watch: Watch) -> Classified:
    """Work out the maps before a layer, block by block, and the signs of its lines."""
    layer = level.layer
    status = np.empty((old.n_faces, layer.n_lines), dtype=np.uint8)
    n_cutting = np.zeros(old.n_faces, dtype=INDEX)
    found: dict[int, tuple[IntArray, IntArray, FloatArray, SignArray]] = {}
    geometry = (old.face_start, old.half_edges, old.ev, *old.vertices, *level.window.inverse)
    per_face = max(1, level.n_faces // level.n_items)
    block = max(1, _BLOCK // max(1, 3 * layer.width * per_face))
    if not layer.is_dense:
        block = max(block, _FACES_OF_PROGRAM)

    def work(begin: int, end: int) -> None:
        prev = None if level.is_given else level.parent_maps(begin, end)
        for first in range(begin, end, block):
            last = min(first + block, end)
            maps = level.maps(0, 1) if prev is None else level.work_out(first, last, prev)
            lines = (
                int(level.item_child[first]), int(level.item_child[last]), maps.first_face,
                maps.first_group, maps.columns, maps.eab, maps.ec, level.group, layer.line_value,
                layer.line_breakpoint,
            )  # fmt: skip
            if not layer.n_lines:
                continue
            n, n_signs = kernels.classify(*lines, *geometry, status, n_cutting)
            out = indices(n), indices(n), np.empty((n, 5)), np.empty(n_signs, dtype=np.int8)
            kernels.fill_entries(*lines, *geometry, status, n_cutting, *out)
            found[first] = out

    at_once = block
    if not level.parents_are_kept:
        # No more than leaves some ranges for each thread.
        most = level.n_items // (8 * watch.crew.threads)
        at_once = max(block, min(block * _BLOCKS_AT_ONCE, most))
    watch.run(level.n_items, work, at_once)
    parts = [found[first] for first in sorted(found)]
    found.clear()
    if not parts:
        parts = [(indices(0), indices(0), np.empty((0, 5)), np.empty(0, dtype=np.int8))]
    line, face, rows, signs = (
        np.concatenate(p) if len(p) > 1 else p[0] for p in zip(*parts, strict=True)
    )
    corners = np.diff(old.face_start)
    entries = Entries(offsets(n_cutting), line, face, rows, offsets(n_cutting * corners), signs)
    watch.tally.float64 += layer.n_lines * len(old.half_edges)
    return Classified(entries, status)


def settle_signs(
    old: Complex, level: Level, number: int, known: Classified, made: Provenance, watch: Watch
) -> Entries:
    """Decide what signs are open, and drop the lines that turn out not to cut."""
    entries = known.entries
    if not (entries.signs == kernels.UNDECIDED).any():
        return entries
    keep = decide_signs(old, number, level.original, made, watch.tally, entries, known.status)
    corners = np.diff(old.face_start)
    width = np.repeat(keep, corners[entries.face])
    face = entries.face[keep]
    n_cutting = np.bincount(face, minlength=old.n_faces)
    known.entries = Entries(
        offsets(n_cutting),
        entries.line[keep],
        face,
        entries.rows[keep],
        offsets(n_cutting * corners),
        entries.signs[width],
    )
    return known.entries


@dataclass
class Crossings:
    """Where lines cross edges, and the vertices there."""

    items: Items
    group_start: IntArray  # (E + 1,) new vertices on each edge
    vertices: tuple[FloatArray, ...]  # old and new ones
    first_line: int


def cross_edges(
    old: Complex, level: Level, number: int, entries: Entries, made: Provenance, watch: Watch
) -> Crossings:
    """Find the new vertices on all edges, once for both faces of each."""
    per_edge = partial(watch.call, old.n_edges, _EDGES)
    per_face = partial(watch.call, old.n_faces, _FACES)
    first_line = made.add_cuts(number, *level.original(entries.face, entries.line))
    side = indices(2 * old.n_edges)
    per_face(kernels.side_numbers, old.face_start, old.half_edges, side)
    count = indices(old.n_edges)
    signs = (old.face_start, entries.start, entries.sign_start, entries.signs)
    per_edge(kernels.count_on_edges, old.ef, side, *signs, count)
    items = Items.empty(offsets(count))
    per_edge(
        kernels.fill_edges, old.ef, old.ev, side, *signs, entries.rows, *old.vertices,
        *level.window.inverse, items.start, items.item, items.t, items.tau, items.is_open,
    )  # fmt: skip
    watch.tally.float64 += len(items.t)

    left = old.ef[:, 0]
    stretches = Stretches(
        made,
        number,
        old.ev[:, 0],
        old.ev[:, 1],
        line=lambda e, i: level.original(left[e], entries.line[entries.start[left[e]] + i]),
        own=lambda e: made.cut(int(old.edge_line[e])),
    )
    decide_orders(items, stretches, watch.tally)
    n_groups = indices(old.n_edges)
    per_edge(kernels.number_groups, items.start, items.tied, items.group, n_groups)
    group_start = offsets(n_groups)
    n_new = int(group_start[-1])
    vertices = tuple(longer(v, n_new) for v in old.vertices)
    made.vertex_lines = longer(made.vertex_lines, n_new)
    concurrent = np.zeros(old.n_vertices + n_new, dtype=np.bool_)
    per_edge(
        kernels.edge_vertices, old.ev, old.ef, old.edge_line, entries.start, items.start,
        items.item, items.group, items.t, items.tau, group_start, first_line, *old.vertices,
        old.n_vertices, *vertices, made.vertex_lines, concurrent,
    )  # fmt: skip
    round_exactly(vertices, concurrent, made)
    return Crossings(items, group_start, vertices, first_line)


@dataclass
class Chords:
    """How lines run through faces: from place to place on the boundary, and across each other.

    Arrays with one row for each entry hold in their first rows the chords of a face; lines that
    run along the same chord share it.
    """

    place: IntArray  # of each corner
    n_boundary: IntArray  # places of each face
    n_chords: IntArray  # of each face
    of_entry: IntArray
    ends: tuple[IntArray, IntArray]
    end_vertices: tuple[IntArray, IntArray]
    entry: IntArray  # the first entry that runs along a chord
    crossings: Items
    n_groups: IntArray  # crossing points on each chord


@dataclass
class Inside:
    """How many vertices, edges, children and sides of children each face gets."""

    vertices: IntArray
    segments: IntArray
    children: IntArray
    sides: IntArray


def find_chords(
    old: Complex,
    level: Level,
    number: int,
    entries: Entries,
    edges: Crossings,
    made: Provenance,
    watch: Watch,
) -> tuple[Chords, Inside]:
    """Pair where lines enter and leave faces, and find where they cross inside."""
    n, n_faces = len(entries.line), old.n_faces
    per_face = partial(watch.call, n_faces, _FACES, is_long=n > _MANY)
    place = indices(len(old.half_edges))
    n_boundary, n_chords = indices(2, n_faces)
    of_entry, a, b, va, vb, entry, n_crossings = indices(7, n)
    items = edges.items
    per_face(
        kernels.find_chords, old.face_start, old.half_edges, old.ev, old.ef, entries.start,
        entries.line, entries.sign_start, entries.signs, items.start, items.item, items.group,
        edges.group_start, old.n_vertices, place, n_boundary, of_entry, a, b, va, vb, entry,
        n_chords, n_crossings, watch.crew.stop,
    )  # fmt: skip
    total = int(n_crossings.sum(dtype=np.int64))
    watch.check_memory(total * 48, "crossings of lines inside faces")
    crossings = Items.empty(offsets(n_crossings))
    per_face(
        kernels.fill_chords, entries.start, n_chords, a, b, va, vb, entry, entries.rows,
        *edges.vertices, *level.window.inverse, crossings.start, crossings.item, crossings.t,
        crossings.tau, crossings.is_open, watch.crew.stop,
    )  # fmt: skip
    watch.tally.float64 += total

    def line(chord: Any, item: Any) -> tuple[Any, Any]:
        return level.original(entries.face[chord], entries.line[entry[item]])

    stretches = Stretches(
        made, number, va, vb, line, own=lambda i: made.row(number, *map(int, line(i, i)))
    )
    decide_orders(crossings, stretches, watch.tally)
    n_groups, new_of_chord = indices(2, n)
    watch.call(
        n, _EDGES, kernels.number_groups, crossings.start, crossings.tied, crossings.group, n_groups
    )
    inside = Inside(*indices(4, n_faces))
    per_face(
        kernels.count_inside, entries.start, old.face_start, n_chords, n_boundary, crossings.start,
        crossings.item, crossings.group, n_groups, new_of_chord, inside.vertices, inside.segments,
        inside.children, inside.sides,
    )  # fmt: skip
    chords = Chords(
        place, n_boundary, n_chords, of_entry, (a, b), (va, vb), entry, crossings, n_groups
    )
    return chords, inside


def cut_faces(
    old: Complex,
    level: Level,
    known: Classified,
    entries: Entries,
    edges: Crossings,
    chords: Chords,
    inside: Inside,
    made: Provenance,
    watch: Watch,
) -> tuple[Complex, Split]:
    """Cut edges at their new vertices, and faces along their chords."""
    layer, n_faces = level.layer, old.n_faces
    inner_start, segment_start = offsets(inside.vertices), offsets(inside.segments)
    child_start, side_start = offsets(inside.children), offsets(inside.sides)
    n_on_edges = int(edges.group_start[-1])
    n_edges = old.n_edges + n_on_edges + int(segment_start[-1])
    n_inner, n_children = int(inner_start[-1]), int(child_start[-1])
    vertices = tuple(longer(v, n_inner) for v in edges.vertices)
    edges.vertices = vertices  # lets go of the shorter ones
    made.vertex_lines = longer(made.vertex_lines, n_inner)
    concurrent = np.zeros(len(vertices[0]), dtype=np.bool_)
    vx, vy, dx, dy = vertices
    new = Complex(
        vx,
        vy,
        dx,
        dy,
        ev=indices(n_edges, 2),
        ef=indices(n_edges, 2),
        edge_line=indices(n_edges),
        face_start=indices(n_children + 1),
        half_edges=indices(int(side_start[-1])),
    )
    new.face_start[-1] = side_start[-1]
    split = Split(
        child_start=child_start,
        child_ref=indices(n_children),
        parent=indices(n_children),
        pieces=np.empty((n_children, layer.width), dtype=np.uint8),
        entry_start=entries.start,
        entry_line=entries.line,
        n_flips=indices(n_faces),
    )
    watch.call(
        old.n_edges, _EDGES, kernels.split_edges, old.ev, old.ef, old.edge_line, edges.group_start,
        old.n_vertices, new.ev, new.ef, new.edge_line,
    )  # fmt: skip
    crossings = chords.crossings
    is_long = len(entries.line) > _MANY
    watch.call(
        n_faces, _FACES, kernels.split_faces, old.face_start, old.half_edges, old.ef,
        entries.start, entries.line, chords.of_entry, entries.sign_start, entries.signs,
        chords.place, chords.n_boundary, *chords.ends, *chords.end_vertices, chords.entry,
        chords.n_chords, crossings.start, crossings.item, crossings.group, chords.n_groups,
        crossings.t, crossings.tau, edges.group_start, old.n_vertices, n_on_edges, old.n_edges,
        inner_start, segment_start, child_start, side_start, edges.first_line, known.status,
        layer.member_offsets, layer.member_unit, layer.member_sign, *vertices, made.vertex_lines,
        concurrent, new.ev, new.ef, new.edge_line, new.face_start, new.half_edges, split.parent,
        split.child_ref, split.pieces, split.n_flips, watch.crew.stop,
        is_long=is_long,
    )  # fmt: skip
    round_exactly(vertices, concurrent, made)
    sharpen(vertices, old.n_vertices, level.window, made, watch.run)
    return new, split


def build(
    old: Complex,
    level: Level,
    known: Classified,
    entries: Entries,
    edges: Crossings,
    chords: Chords,
    inside: Inside,
    made: Provenance,
    watch: Watch,
) -> tuple[Complex, Split]:
    """`cut_faces` for a layer of units that are functions of one value each."""
    new, split = cut_faces(old, level, known, entries, edges, chords, inside, made, watch)
    assert isinstance(level.layer.switching, Elementwise)
    made.parents.append(split.parent)
    made.pieces.append(level.layer.switching.unit_pieces(split.pieces))
    return new, split
