"""The bent line of every unit: where it switches, over all faces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from polyregions import exact
from polyregions.network import IntArray
from polyregions.partition import Partition


class BentLine(NamedTuple):
    """Where one unit switches.

    Attributes
    ----------
    unit : int
    edges : int64 array
        The edges across which the unit changes its piece, increasing.
    n_components : int
        The number of connected components that they make: 1 for a line that bends but does not
        break up, 0 if the unit does not switch in the domain.
    n_bends : int
        The number of vertices in which two of the edges meet at an angle. Where the line of a
        unit that takes a maximum forks, more than two meet, which is no bend.
    """

    unit: int
    edges: IntArray
    n_components: int
    n_bends: int


def bent_lines(part: Partition) -> list[BentLine]:
    """Collect the edges of every unit, and count how often its line bends and breaks up.

    Returns
    -------
    list of BentLine
        One for each unit, in order.

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.analysis.lines import bent_lines
    >>> layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [-1]), ([[1]], [0])]
    >>> part = pr.partition(layers, domain=(-2, 2))  # the last unit: max(x, 0) + max(y, 0) > 1
    >>> [line.n_bends for line in bent_lines(part)]
    [0, 0, 2]
    """
    inner = np.flatnonzero(part.is_inner)
    left, right = part.edge_faces[inner].T
    switches = part.face_pattern[left] != part.face_pattern[right]
    return [_bent_line(part, u, inner[switches[:, u]]) for u in range(part.n_units)]


def _bent_line(part: Partition, unit: int, edges: IntArray) -> BentLine:
    if len(edges) == 0:
        return BentLine(unit, edges, 0, 0)
    vertices, ends = np.unique(part.edge_vertices[edges], return_inverse=True)
    ends = ends.reshape(-1, 2)
    shape = (len(vertices), len(vertices))
    graph = coo_array((np.ones(len(ends), dtype=np.int8), tuple(ends.T)), shape=shape)
    n_components, _ = connected_components(graph, directed=False)
    neighbours: list[list[int]] = [[] for _ in vertices]
    for a, b in ends.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    points = [part.vertex_exact[v] for v in vertices.tolist()]
    n_bends = sum(
        len(near) == 2 and exact.orientation(points[near[0]], points[v], points[near[1]]) != 0
        for v, near in enumerate(neighbours)
    )
    return BentLine(unit, edges, int(n_components), n_bends)
