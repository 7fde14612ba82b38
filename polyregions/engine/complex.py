"""The subdivision between two layers, as half-edge arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polyregions.domain import Domain
from polyregions.network import FloatArray, IntArray

# Indices take four bytes: half of what a large complex needs.
INDEX = np.int32
_MOST = int(np.iinfo(INDEX).max) // 4  # half-edges count twice, and some to spare


class TooManyError(Exception):
    """More items than an index can count."""


@dataclass
class Complex:
    """Vertices, edges and faces; half-edge ``2 e + s`` is edge e as the face on its side s has it.

    Attributes
    ----------
    vx, vy, dx, dy : (V,) float64
        Coordinates, and bounds on their errors.
    ev : (E, 2) int32
        End points of edges.
    ef : (E, 2) int32
        Faces to the left and to the right; -1 outside, never on the left.
    edge_line : (E,) int32
        The cut or side of the domain that each edge is part of.
    face_start : (F + 1,) int32
    half_edges : int32
        Half-edges of all faces, counter-clockwise.
    """

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
    def n_edges(self) -> int:
        return len(self.ev)

    @property
    def n_vertices(self) -> int:
        return len(self.vx)

    @property
    def vertices(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        return self.vx, self.vy, self.dx, self.dy

    def hand_over(self, *names: str) -> list[Any]:
        """Some of the arrays, which are no longer part of the complex."""
        return [self.__dict__.pop(name) for name in names]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in vars(self).values())


def start(domain: Domain) -> tuple[Complex, IntArray]:
    """The domain itself as one face, and the two sides that meet in each vertex."""
    xy = domain.xy
    k = len(xy)
    corner = np.arange(k, dtype=INDEX)
    complex_ = Complex(
        vx=xy[:, 0].copy(),
        vy=xy[:, 1].copy(),
        dx=np.zeros(k),
        dy=np.zeros(k),
        ev=np.stack([corner, np.roll(corner, -1)], axis=1),
        ef=np.stack([np.zeros(k, dtype=INDEX), np.full(k, -1, dtype=INDEX)], axis=1),
        edge_line=corner,
        face_start=np.array([0, k], dtype=INDEX),
        half_edges=2 * corner,
    )
    return complex_, np.stack([np.roll(corner, 1), corner], axis=1)


def part_of(whole: Complex, begin: int, end: int) -> tuple[Complex, IntArray]:
    """Faces `begin` to `end` of a complex, by themselves, and the vertices they have.

    An edge whose left face is not among them is turned round.
    """
    sides = slice(int(whole.face_start[begin]), int(whole.face_start[end]))
    half_edges = whole.half_edges[sides]
    edges, edge = _distinct(half_edges >> 1, whole.n_edges)
    faces = whole.ef[edges] - INDEX(begin)
    outside = (faces < 0) | (faces >= end - begin)
    faces[outside] = -1
    turned = faces[:, 0] < 0
    ev = whole.ev[edges]
    for pair in (faces, ev):
        pair[turned] = pair[turned, ::-1]
    vertices, ends = _distinct(ev, whole.n_vertices)
    vx, vy, dx, dy = (values[vertices] for values in whole.vertices)
    return (
        Complex(
            vx,
            vy,
            dx,
            dy,
            ev=ends,
            ef=faces,
            edge_line=whole.edge_line[edges],
            face_start=whole.face_start[begin : end + 1] - whole.face_start[begin],
            half_edges=2 * edge + ((half_edges & 1) ^ turned[edge]),
        ),
        vertices,
    )


def _distinct(values: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """The distinct ones of some indices below `n`, in order, and the place of each among them."""
    if n > 64 * values.size:
        distinct, place = np.unique(values, return_inverse=True)
        return distinct, place.reshape(values.shape).astype(INDEX)
    seen = np.zeros(n, dtype=np.bool_)
    seen[values] = True
    number = np.cumsum(seen, dtype=INDEX) - INDEX(1)
    return np.flatnonzero(seen), number[values]


def offsets(counts: IntArray) -> IntArray:
    """Where each of some lists begins, one after the other, and where the last one ends."""
    if counts.sum(dtype=np.int64) > _MOST:
        raise TooManyError
    sums = indices(len(counts) + 1)
    sums[0] = 0
    counts.cumsum(dtype=INDEX, out=sums[1:])
    return sums


def longer(values: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """A copy with room for `n` more items behind the old ones."""
    copy = np.empty((len(values) + n, *values.shape[1:]), dtype=values.dtype)
    copy[: len(values)] = values
    return copy


def indices(*shape: Any) -> IntArray:
    """An empty array of indices."""
    return np.empty(shape, dtype=INDEX)
