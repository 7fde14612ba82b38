"""The exact shape of colour bands: each face cut along the level sets of its affine map.

A colour map has a finite number of colours, so the picture of a function has as many bands, the
sets where the function lies between two levels. On a face the levels are straight lines, and a
band is a convex polygon::

        +-------\\-----\\----+      The corners of a band, in order, are the corners of the face
        |  k-1   \\  k  \\ k+1|      and the level crossings on its sides whose level lies in the
        +---------\\-----\\--+      band; a crossing belongs to the bands on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from polyregions import cycles
from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.partition import Partition


def vertex_values(part: Partition, output: int) -> FloatArray:
    """One output at every vertex, (V,) float64."""
    # Any face at a vertex will do, for the function is continuous; take the last one listed.
    face = np.repeat(np.arange(part.n_faces), np.diff(part.face_offsets))
    at = np.empty(part.n_vertices, dtype=np.int64)
    at[part.face_vertices] = face
    weight, bias = part.face_weight[at, output], part.face_bias[at, output]
    values: FloatArray = np.einsum("vi,vi->v", weight, part.vertex_xy) + bias
    return values


def cut_into_bands(
    part: Partition, position: FloatArray, n_bands: int
) -> tuple[FloatArray, IntArray, IntArray]:
    """Cut every face into bands.

    Parameters
    ----------
    part : Partition
    position : (V,) float64
        An affine function of the value at every vertex that maps band k to [k, k + 1].
    n_bands : int

    Returns
    -------
    xy : (S, 2) float64
        Corners of all pieces, each in order.
    offsets : (P + 1,) int64
        Piece p has the corners ``xy[offsets[p]:offsets[p + 1]]``.
    band : (P,) int64
        The band of each piece, from 0 to ``n_bands - 1``.
    """
    start, end, face = cycles.sides(part.face_offsets, part.face_vertices)

    side, level, xy = _crossings(part.vertex_xy, start, end, position)
    # Corners come first on their side, crossings follow in the order in which they are met.
    rank = np.where(position[end] > position[start], 1, -1)[side] * level
    corner = np.arange(len(start))
    at_corner = np.clip(np.floor(position[start]).astype(np.int64), 0, n_bands - 1)
    # A corner exactly on a level belongs to the band below as well.
    on_level = np.flatnonzero((position[start] == at_corner) & (at_corner > 0))

    band = np.concatenate([at_corner, at_corner[on_level] - 1, level - 1, level])
    on_side = np.concatenate([corner, on_level, side, side])
    before_all = np.iinfo(np.int64).min
    order = np.concatenate([np.full(len(corner) + len(on_level), before_all), rank, rank])
    points = np.concatenate(
        [part.vertex_xy[start], part.vertex_xy[start[on_level]], xy, xy], axis=0
    )

    key = np.lexsort((order, on_side, band, face[on_side]))
    piece_face, piece_band = face[on_side][key], band[key]
    new = (np.diff(piece_face) != 0) | (np.diff(piece_band) != 0)
    first = np.concatenate([[0], np.flatnonzero(new) + 1])
    size = np.diff(np.append(first, len(key)))
    whole = size >= 3  # a band that touches a face in a corner or a side has no area there
    offsets = np.concatenate([[0], np.cumsum(size[whole])])
    return points[key[np.repeat(whole, size)]], offsets, piece_band[first][whole]


def _crossings(
    vertex_xy: FloatArray, start: IntArray, end: IntArray, position: FloatArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Where whole numbers lie strictly between the positions of the two ends of a side."""
    # Both faces at an edge must compute the same point, so always from the lower vertex.
    a, b = np.minimum(start, end), np.maximum(start, end)
    low, high = np.minimum(position[a], position[b]), np.maximum(position[a], position[b])
    first = np.floor(low).astype(np.int64) + 1
    count = np.maximum(np.ceil(high).astype(np.int64) - first, 0)
    side = np.repeat(np.arange(len(start)), count)
    level = np.arange(len(side)) - np.repeat(np.cumsum(count) - count - first, count)
    a, b = a[side], b[side]
    share = (level - position[a]) / (position[b] - position[a])
    xy = vertex_xy[a] + share[:, None] * (vertex_xy[b] - vertex_xy[a])
    return side, level, xy
