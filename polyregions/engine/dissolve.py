"""Taking edges out of a complex, and merging the faces on both sides.

Three passes over half-edges in compiled code: which vertices stay, how many sides each new face
has, and what they are. An edge that lost the vertices between its parts is one edge again.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polyregions.engine.complex import INDEX, Complex, indices, offsets
from polyregions.engine.crew import Crew
from polyregions.engine.kernels import kernel, start_of
from polyregions.network import IntArray

_FACES = 4096  # a thread takes so many at a time


@dataclass
class Dissolved:
    """A complex with fewer edges, and where everything went.

    Attributes
    ----------
    complex : Complex
    face : (F,) int32
        The new face that each old one is part of.
    vertex : (V,) int32
        The new number of each old vertex; -1 if it is none any more.
    edge : (E,) int32
        The new edge that each old one is part of; -1 for those taken out.
    """

    complex: Complex
    face: IntArray
    vertex: IntArray
    edge: IntArray


def dissolve(
    old: Complex,
    removed: np.ndarray[Any, np.dtype[np.bool_]],
    crew: Crew,
    *,
    face: IntArray | None = None,
) -> Dissolved:
    """Take edges out of a complex, merge faces, and drop vertices on straight edges.

    Parameters
    ----------
    old : Complex
    removed : (E,) bool
        Edges to take out. Each has a face on both sides, and faces merged across them must be
        convex together: then a vertex that is left with two edges lies on a straight one. On the
        border it is dropped if both edges are parts of one line (`edge_line`), or it is a corner.
    crew : Crew
        Threads. The result does not depend on how many there are.
    face : (F,) int32, optional
        Numbers for the new faces, equal for those that are merged. Unless given, new faces are
        numbered in the order of their lowest old faces.

    Returns
    -------
    Dissolved
        New vertices and edges come in the order of the old ones, an edge in that of the lowest
        that it is made of, from which it has its direction and its line.
    """
    if face is None:
        face = merged(old.n_faces, old.ef[removed])
    n_faces = int(face.max()) + 1
    keeps = np.empty(old.n_vertices, dtype=np.bool_)
    kept_vertices(old.ev, old.ef, old.edge_line, removed, keeps)
    vertex = _numbers(keeps)
    follow = indices(2 * old.n_edges)
    crew.call(old.n_faces, _FACES, _fill_follow, old.face_start, old.half_edges, follow)
    first = np.full(n_faces, -1, dtype=INDEX)
    _first_half_edges(old.face_start, old.half_edges, old.ev, removed, keeps, face, first)
    n_sides = indices(n_faces)
    leads = np.zeros(old.n_edges, dtype=np.bool_)
    around = (follow, first, old.ev, removed, keeps)
    crew.call(n_faces, _FACES, _count_sides, *around, n_sides, leads)
    number, edge = _numbers(leads), np.full(old.n_edges, -1, dtype=INDEX)
    face_start = offsets(n_sides)
    n_edges = int(leads.sum())
    vx, vy, dx, dy = (values[keeps] for values in old.vertices)
    new = Complex(
        vx,
        vy,
        dx,
        dy,
        ev=indices(n_edges, 2),
        ef=np.full((n_edges, 2), -1, dtype=INDEX),
        edge_line=old.edge_line[leads],
        face_start=face_start,
        half_edges=indices(int(face_start[-1])),
    )
    crew.call(
        n_faces, _FACES, _fill_sides, *around, vertex, number, new.face_start, new.half_edges,
        new.ev, new.ef, edge,
    )  # fmt: skip
    return Dissolved(new, face, vertex, edge)


def merged(n: int, pairs: IntArray) -> IntArray:
    """(n,) int32: which set each of n items is in, if the items of each pair are in one.

    Sets are numbered in the order of their lowest items.
    """
    root = np.arange(n, dtype=INDEX)
    _unite(root, np.ascontiguousarray(pairs))
    return _numbers(root == np.arange(n))[root]


def _numbers(chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> IntArray:
    """Numbers of the chosen items in order; -1 for others."""
    number = np.cumsum(chosen, dtype=INDEX) - INDEX(1)
    return np.where(chosen, number, INDEX(-1))


@kernel
def _unite(root, pairs):
    """Let `root` become the lowest item of each one's set."""
    for i in range(len(pairs)):
        a, b = pairs[i, 0], pairs[i, 1]
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        if a < b:
            root[b] = a
        else:
            root[a] = b
    for i in range(len(root)):
        root[i] = root[root[i]]  # that of a lower item is its root already


@kernel
def kept_vertices(ev, ef, edge_line, removed, keeps):
    """Whether each vertex is left with three edges, or is a corner of the border."""
    n = np.zeros(len(keeps), dtype=np.int32)
    border_line = np.full(len(keeps), -1, dtype=np.int64)
    keeps[:] = False
    for e in range(len(ev)):
        if removed[e]:
            continue
        for end in range(2):
            v = ev[e, end]
            n[v] += 1
            if ef[e, 1] < 0:
                if border_line[v] >= 0 and border_line[v] != edge_line[e]:
                    keeps[v] = True
                border_line[v] = edge_line[e]
    for v in range(len(keeps)):
        if n[v] > 2:
            keeps[v] = True


@kernel
def _fill_follow(begin_face, end_face, face_start, half_edges, follow):
    """The half-edge that comes after each one around its face."""
    for f in range(begin_face, end_face):
        last = half_edges[face_start[f + 1] - 1]
        for i in range(face_start[f], face_start[f + 1]):
            follow[last] = half_edges[i]
            last = half_edges[i]


@kernel
def _first_half_edges(face_start, half_edges, ev, removed, keeps, face, first):
    """For each new face the first half-edge that is left and starts in a vertex that is."""
    for f in range(len(face_start) - 1):
        if first[face[f]] >= 0:
            continue
        for i in range(face_start[f], face_start[f + 1]):
            h = half_edges[i]
            if not removed[h >> 1] and keeps[start_of(ev, h)]:
                first[face[f]] = h
                break


@kernel
def _next(follow, removed, h):
    """The half-edge after h around a new face."""
    h = follow[h]
    while removed[h >> 1]:
        h = follow[h ^ 1]
    return h


@kernel
def _count_sides(begin_face, end_face, follow, first, ev, removed, keeps, n_sides, leads):
    """The number of sides of each new face; marks the lowest part of each side."""
    for f in range(begin_face, end_face):
        h = first[f]
        n = 0
        while True:
            lowest = h >> 1
            h = _next(follow, removed, h)
            while not keeps[start_of(ev, h)]:
                lowest = min(lowest, h >> 1)
                h = _next(follow, removed, h)
            leads[lowest] = True
            n += 1
            if h == first[f]:
                break
        n_sides[f] = n


@kernel
def _fill_sides(
    begin_face, end_face, follow, first, ev, removed, keeps, vertex, number, face_start,
    half_edges, new_ev, new_ef, edge,
):  # fmt: skip
    """The sides of each new face, and those edges that have it on their left."""
    for f in range(begin_face, end_face):
        at = face_start[f]
        h = first[f]
        while True:
            begin = h
            lowest = h
            h = _next(follow, removed, h)
            while not keeps[start_of(ev, h)]:
                if h >> 1 < lowest >> 1:
                    lowest = h
                h = _next(follow, removed, h)
            e, side = number[lowest >> 1], lowest & 1
            half_edges[at] = 2 * e + side
            at += 1
            new_ef[e, side] = f
            if side == 0:
                new_ev[e, 0] = vertex[start_of(ev, begin)]
                new_ev[e, 1] = vertex[start_of(ev, h)]
                part = begin
                while part != h:
                    edge[part >> 1] = e
                    part = _next(follow, removed, part)
            if h == first[f]:
                break
