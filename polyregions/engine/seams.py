"""Seams between the faces that a domain starts with: what they hide, and how they go.

Faces on both sides of a seam with one activation pattern are one region. A seam stays only where
the line of a unit happens to run along it. Where the domain is not convex, neither are some of the
regions at its border; these are cut anew, along diagonals between their own corners.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from polyregions.engine.complex import INDEX, Complex
from polyregions.engine.dissolve import dissolve, merged
from polyregions.engine.exactly import Provenance
from polyregions.engine.recutting import recut
from polyregions.engine.watch import Watch
from polyregions.network import IntArray


def n_regions(complex_: Complex, made: Provenance) -> int:
    """The number of faces there would be without seams.

    The parts of a convex face make a disc: its vertices inside less the edges inside plus the
    faces make 1.
    """
    edges, pairs, layer = _seams(complex_, made)
    gone = edges[layer == len(made.parents)]
    if not made.domain.is_convex:
        return int(merged(complex_.n_faces, pairs[layer == len(made.parents)]).max()) + 1
    is_inside = np.ones(len(made.domain.tiling.xy), dtype=np.bool_)
    is_left = np.ones(complex_.n_edges, dtype=np.bool_)
    is_left[gone] = False
    ends = complex_.ev[is_left]
    is_inside[ends[ends < len(is_inside)]] = False
    return int(complex_.n_faces - len(gone) + is_inside.sum())


def most_hidden(old: Complex, group_start: IntArray, made: Provenance) -> int:
    """How many faces more than without seams there are at most, once edges are split."""
    is_seam = (old.edge_line < made.n_sides) & (old.ef[:, 1] >= 0)
    return int((np.diff(group_start)[is_seam] + 1).sum())


def dissolve_seams(
    complex_: Complex, made: Provenance, watch: Watch
) -> tuple[Complex, Provenance, IntArray]:
    """Take out all seams that no unit's line runs along.

    Returns
    -------
    Complex
        All faces are strictly convex. Edges between two faces of one region, which is not, are
        parts of no line (`edge_line` is that of a side of the domain).
    Provenance
        What made it, with merged faces before all layers.
    (F,) int32
        For each face one of those that were merged to it.
    """
    edges, pairs, layer = _seams(complex_, made)
    pairs = pairs.copy()
    # From the last layer back: the faces on both sides of each seam, before each layer.
    before = [pairs]
    for parents in reversed(made.parents):
        before.insert(0, parents[before[0]])
    n_start = made.domain.tiling.n_faces
    number = merged(n_start, before[0])
    chosen = np.unique(number, return_index=True)[1].astype(INDEX)
    numbers, all_parents, all_pieces = [number], [], []
    for level, (parents, pieces) in enumerate(zip(made.parents, made.pieces, strict=True)):
        same = merged(len(parents), before[level + 1][layer > level])
        # Sets by their merged parents, then by their lowest faces.
        lowest = np.unique(same, return_index=True)[1]
        order = np.argsort(number[parents[lowest]], kind="stable")
        chosen = lowest[order].astype(INDEX)
        rank = np.empty(len(order), dtype=INDEX)
        rank[order] = np.arange(len(order), dtype=INDEX)
        all_parents.append(number[parents[chosen]])
        all_pieces.append(pieces[chosen])
        number = rank[same]
        numbers.append(number)
    removed = np.zeros(complex_.n_edges, dtype=np.bool_)
    removed[edges[layer == len(made.parents)]] = True
    if not made.domain.is_convex:
        complex_, removed, number, copies = recut(complex_, removed, number, made)
        chosen = np.repeat(chosen, copies)
        if all_parents:
            all_parents[-1] = np.repeat(all_parents[-1], copies)
            all_pieces[-1] = np.repeat(all_pieces[-1], copies, axis=0)
    done = dissolve(complex_, removed, watch.crew, face=number)
    # Faces that are one now may have been cut by one line each.
    cut = np.arange(made.n_sides, dtype=INDEX)
    line_face: list[IntArray] = []
    line_number: list[IntArray] = []
    for before_layer, face, line in zip(numbers, made.line_face, made.line_number, strict=False):
        n_lines = int(line.max(initial=0)) + 1
        keys, place = np.unique(before_layer[face] * np.int64(n_lines) + line, return_inverse=True)
        first = made.n_sides + sum(map(len, line_face))
        cut = np.append(cut, first + place).astype(INDEX)
        line_face.append((keys // n_lines).astype(INDEX))
        line_number.append((keys % n_lines).astype(INDEX))
    done.complex.edge_line = cut[done.complex.edge_line]
    made = replace(
        made,
        vertex_lines=cut[made.vertex_lines[done.vertex >= 0]],
        line_face=line_face,
        line_number=line_number,
        parents=all_parents,
        pieces=all_pieces,
    )
    return done.complex, made, chosen


def _seams(complex_: Complex, made: Provenance) -> tuple[IntArray, IntArray, IntArray]:
    """Edges on seams, the faces on both sides, and the first layer that tells these apart.

    That is the number of layers if none does.
    """
    edges = np.flatnonzero((complex_.edge_line < made.n_sides) & (complex_.ef[:, 1] >= 0))
    pairs = complex_.ef[edges]
    layer = np.full(len(edges), len(made.parents), dtype=INDEX)
    at = pairs
    for level in reversed(range(len(made.parents))):
        pieces = made.pieces[level]
        layer[(pieces[at[:, 0]] != pieces[at[:, 1]]).any(axis=1)] = level
        at = made.parents[level][at]
    return edges, pairs, layer
