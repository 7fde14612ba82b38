"""Cutting regions that are not convex anew, for the parts that seams leave are arbitrary.

A region is what the plane's region with its pattern, which is convex, has in common with the
domain. So it can be other than convex only where a corner of the domain is, and a hole has such
corners. Its old parts give way to new ones, between diagonals from corner to corner of its own;
the vertices in which units' lines cross old seams are then left with two edges, on one line.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyregions import exact, filters
from polyregions.decomposition import convex_faces
from polyregions.engine.complex import INDEX, Complex, indices, offsets
from polyregions.engine.dissolve import kept_vertices
from polyregions.engine.exactly import Provenance
from polyregions.float64 import TINY
from polyregions.network import IntArray

BoolArray: TypeAlias = NDArray[np.bool_]


def recut(
    old: Complex, removed: BoolArray, region: IntArray, made: Provenance
) -> tuple[Complex, BoolArray, IntArray, IntArray]:
    """Replace the parts of all regions that are not convex.

    Parameters
    ----------
    old : Complex
    removed : (E,) bool
        Edges that are about to be taken out, for they are within regions.
    region : (F,) int32
        The region that each face is a part of.
    made : Provenance

    Returns
    -------
    Complex
        The same vertices; other faces and edges in these regions.
    (E',) bool
        Its edges that are to be taken out; new ones are not.
    (F',) int32
        Numbers of the faces that are then left, equal for those that are to be merged. They are
        in the order of their regions.
    (R,) int32
        How many of these faces each region has.
    """
    follow = np.full(2 * old.n_edges, -1, dtype=INDEX)
    begin, end = old.face_start[:-1], old.face_start[1:]
    follow[old.half_edges[:-1]] = old.half_edges[1:]
    follow[old.half_edges[end - 1]] = old.half_edges[begin]
    copies = np.ones(int(region.max()) + 1, dtype=INDEX)
    dented = _dented_regions(old, removed, region, follow, made)
    if not dented:
        return old, removed, region, copies
    keeps = np.empty(old.n_vertices, dtype=np.bool_)
    kept_vertices(old.ev, old.ef, old.edge_line, removed, keeps)
    is_dented = np.zeros(len(copies), dtype=np.bool_)
    is_dented[dented] = True
    faces = np.flatnonzero(is_dented[region])
    faces = faces[np.argsort(region[faces], kind="stable")]
    parts = _Parts(old, removed, follow, keeps)
    for r, members in zip(*_grouped(region[faces], faces), strict=True):
        copies[r] = parts.add(members, made)
    return _assembled(old, removed, region, is_dented, copies, parts)


def _grouped(keys: IntArray, values: IntArray) -> tuple[list[int], list[list[int]]]:
    """Distinct keys, which come in order, and the values of each."""
    distinct, first = np.unique(keys, return_index=True)
    return distinct.tolist(), [group.tolist() for group in np.split(values, first[1:])]


def _dented_regions(
    old: Complex, removed: BoolArray, region: IntArray, follow: IntArray, made: Provenance
) -> list[int]:
    """Regions with a corner of half a turn or more, in order.

    Such a corner is one of the domain, and the end of a seam that is to go.
    """
    before = np.empty_like(follow)
    before[follow[follow >= 0]] = np.flatnonzero(follow >= 0)
    n_corners = len(made.domain.tiling.xy)  # they have kept their numbers
    edges = np.flatnonzero((old.ev < n_corners).any(axis=1) & ~removed)
    halves = np.concatenate([2 * edges, 2 * edges + 1])
    start = old.ev[halves >> 1, halves & 1]
    found = set()
    for h, v in zip(halves.tolist(), start.tolist(), strict=True):
        face = int(old.ef[h >> 1, h & 1])
        if v >= n_corners or face < 0:
            continue
        # Around v, counter-clockwise, to the next edge that stays.
        last = int(before[h])
        if not removed[last >> 1]:
            continue
        while removed[last >> 1]:
            last = int(before[last ^ 1])
        ends = int(old.ev[last >> 1, last & 1]), v, int(old.ev[h >> 1, 1 - (h & 1)])
        if not _turns_left(old, made, *ends):
            found.add(int(region[face]))
    return sorted(found)


def _turns_left(old: Complex, made: Provenance, a: int, b: int, c: int) -> bool:
    """Whether three vertices turn left, strictly; from their coordinates if those suffice."""
    sx, sy, _, _ = filters.scales(made.domain.xy)
    xs, ys, errors = [], [], []
    for v in (a, b, c):
        xs.append(float(old.vx[v]) * sx)
        ys.append(float(old.vy[v]) * sy)
        errors += [
            float(old.dx[v]) * sx + TINY,
            float(old.dy[v]) * sy + TINY,
        ]
    corners = [xy for pair in zip(xs, ys, strict=True) for xy in pair]
    value, bound = filters.twice_triangle(*corners, *errors)
    if abs(value) > bound:
        return bool(value > 0)
    return exact.orientation(made.vertex(a), made.vertex(b), made.vertex(c)) > 0


@dataclass
class _Parts:
    """New faces: their half-edges, numbered as before, diagonals after all old edges."""

    old: Complex
    removed: BoolArray
    follow: IntArray
    keeps: BoolArray
    cycles: list[list[int]] = field(default_factory=list)
    diagonals: list[tuple[int, int]] = field(default_factory=list)

    def add(self, faces: list[int], made: Provenance) -> int:
        """Cut a region that some faces make; returns the number of its parts."""
        sides: dict[tuple[int, int], list[int]] = {}
        for f in faces:
            begin, end = self.old.face_start[f : f + 2].tolist()
            for h in self.old.half_edges[begin:end].tolist():
                if not self.removed[h >> 1] and self.keeps[self._start(h)]:
                    chain = [h]
                    while not self.keeps[v := self._start(h := self._next(h))]:
                        chain.append(h)
                    sides[self._start(chain[0]), v] = chain
        vertices = sorted({v for side in sides for v in side})
        number = {v: i for i, v in enumerate(vertices)}
        points = [made.vertex(v) for v in vertices]
        found = convex_faces(points, [(number[a], number[b]) for a, b in sides])
        for face in found:
            cycle: list[int] = []
            for a, b in pairwise([*(vertices[i] for i in face), vertices[face[0]]]):
                if (a, b) not in sides:
                    e = self.old.n_edges + len(self.diagonals)
                    self.diagonals.append((a, b))
                    sides[a, b], sides[b, a] = [2 * e], [2 * e + 1]
                cycle += sides[a, b]
            self.cycles.append(cycle)
        return len(found)

    def _start(self, h: int) -> int:
        return int(self.old.ev[h >> 1, h & 1])

    def _next(self, h: int) -> int:
        """The half-edge after h around a region."""
        h = int(self.follow[h])
        while self.removed[h >> 1]:
            h = int(self.follow[h ^ 1])
        return h


def _assembled(
    old: Complex,
    removed: BoolArray,
    region: IntArray,
    is_dented: BoolArray,
    copies: IntArray,
    parts: _Parts,
) -> tuple[Complex, BoolArray, IntArray, IntArray]:
    """The complex with new faces after the old ones that stay."""
    stays = ~is_dented[region]
    goes = removed & ~stays[old.ef[:, 0]]
    n_old, n_new = int(stays.sum()), len(parts.cycles)
    face = np.where(stays, np.cumsum(stays) - 1, -1).astype(INDEX)
    edge = np.cumsum(np.append(~goes, np.ones(len(parts.diagonals), dtype=np.bool_))) - 1
    ev = np.concatenate([old.ev[~goes], np.array(parts.diagonals, dtype=INDEX).reshape(-1, 2)])
    outside = old.ef < 0
    ef = np.where(outside, -1, face[old.ef])[~goes]
    ef = np.concatenate([ef, np.full((len(parts.diagonals), 2), -1)]).astype(INDEX)
    sizes = np.diff(old.face_start)
    new_sizes = np.array([len(cycle) for cycle in parts.cycles], dtype=INDEX)
    new_halves = np.array([h for cycle in parts.cycles for h in cycle], dtype=INDEX)
    halves = np.concatenate([old.half_edges[np.repeat(stays, sizes)], new_halves])
    ef[edge[new_halves >> 1], new_halves & 1] = np.repeat(
        np.arange(n_old, n_old + n_new, dtype=INDEX), new_sizes
    )
    half_edges = indices(len(halves))
    half_edges[:] = 2 * edge[halves >> 1] + (halves & 1)
    new = replace(
        old,
        ev=np.ascontiguousarray(ev),
        ef=np.ascontiguousarray(ef),
        edge_line=np.append(old.edge_line[~goes], np.zeros(len(parts.diagonals), dtype=INDEX)),
        face_start=offsets(np.append(sizes[stays], new_sizes).astype(INDEX)),
        half_edges=half_edges,
    )
    first = np.cumsum(copies) - copies
    of_parts = np.concatenate(
        [np.arange(first[r], first[r] + copies[r]) for r in np.flatnonzero(is_dented).tolist()]
    )
    number = np.append(first[region[stays]], of_parts).astype(INDEX)
    removed = np.append(removed[~goes], np.zeros(len(parts.diagonals), dtype=np.bool_))
    return new, removed, number, copies
