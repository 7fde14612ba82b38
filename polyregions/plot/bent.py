"""The faces of a partition with more points on their sides, for drawings that bend these."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.partition import Partition

# A side as long as the domain gets so many parts.
_PARTS = 120


class Finer(NamedTuple):
    """Faces and edges whose edges are cut into parts.

    Attributes
    ----------
    xy : (P, 2) float64
        The vertices, then the points added.
    offsets, cycle : int arrays
        The faces, as `Partition.face_offsets` and `Partition.face_vertices`.
    ends, sides : (Q, 2) int
        The parts' ends and the faces beside them.
    """

    xy: FloatArray
    offsets: IntArray
    cycle: IntArray
    ends: IntArray
    sides: IntArray


def finer(part: Partition) -> Finer:
    """Cut long edges evenly, so that they can be drawn as curves.

    Lengths are measured by the domain: a side as long as it is wide, or high, counts as 1.
    """
    xy, (a, b) = part.vertex_xy, part.edge_vertices.T
    xmin, ymin, xmax, ymax = part.domain.bounds
    step = xy[b] - xy[a]
    length = (np.abs(step) / [xmax - xmin, ymax - ymin]).max(axis=1)
    n_parts = np.maximum(np.ceil(_PARTS * length), 1).astype(np.int64)
    n_added = n_parts - 1
    # The k-th point added to edge e is number first[e] + k.
    first = len(xy) + np.cumsum(n_added) - n_added
    owner = np.repeat(np.arange(len(a)), n_added)
    k = _counted(n_added)
    added = xy[a[owner]] + step[owner] * ((k + 1) / n_parts[owner])[:, None]

    part_edge = np.repeat(np.arange(len(a)), n_parts)
    j = _counted(n_parts)
    tail = np.where(j == 0, a[part_edge], first[part_edge] + j - 1)
    head = np.where(j == n_added[part_edge], b[part_edge], first[part_edge] + j)

    # Every side of a face is an edge, forwards or backwards.
    start = part.face_vertices
    end = np.roll(start, -1)
    last = part.face_offsets[1:] - 1
    end[last] = start[part.face_offsets[:-1]]
    n = len(xy)
    keys = np.minimum(a, b) * n + np.maximum(a, b)
    order = np.argsort(keys)
    wanted = np.minimum(start, end) * n + np.maximum(start, end)
    edge = order[np.searchsorted(keys, wanted, sorter=order)]
    corner = np.repeat(np.arange(len(start)), n_parts[edge])
    j, e = _counted(n_parts[edge]), edge[corner]
    along = np.where(start[corner] == a[e], j - 1, n_added[e] - j)
    cycle = np.where(j == 0, start[corner], first[e] + along)
    offsets = np.concatenate([[0], np.cumsum(n_parts[edge])])[part.face_offsets]
    return Finer(
        np.concatenate([xy, added]),
        offsets,
        cycle,
        np.stack([tail, head], axis=1),
        part.edge_faces[part_edge],
    )


def _counted(lengths: IntArray) -> IntArray:
    """0, 1, ... for each of several lengths, one after the other."""
    total = np.cumsum(lengths)
    return np.arange(total[-1] if len(total) else 0) - np.repeat(total - lengths, lengths)
