"""How far a partition reaches."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from polyregions.network import IntArray
from polyregions.partition import Partition


def inner_vertices(part: Partition) -> IntArray:
    """Find the vertices that are not on the border of the domain.

    Returns
    -------
    int64 array
        Their indices, increasing.
    """
    is_inner = np.ones(part.n_vertices, dtype=bool)
    is_inner[part.edge_vertices[~part.is_inner]] = False
    return np.flatnonzero(is_inner)


class Extent(NamedTuple):
    """The smallest square around the origin that holds every inner vertex.

    Attributes
    ----------
    half_width : Fraction
        Exact half-width of the square; 0 if there is no inner vertex.
    vertex : int
        A vertex on its border; -1 if there is no inner vertex.
    """

    half_width: Fraction
    vertex: int


def extent(part: Partition) -> Extent:
    """Find the smallest centred square that holds every vertex not on the domain's border.

    All that lies outside of it, within the domain, are lines that run on without meeting. Of a
    partition of the whole plane, these are all vertices (`Partition.bounding_square`).

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.analysis.extent import extent
    >>> part = pr.partition([([[1, 1], [2, -1]], [-1, 0]), ([[1, 1]], [0])], domain=(-9, 9))
    >>> extent(part).half_width  # the two lines meet in (1/3, 2/3)
    Fraction(2, 3)
    """
    inner = inner_vertices(part)
    if not len(inner):
        return Extent(Fraction(0), -1)
    xy, error = np.abs(part.vertex_xy[inner]), part.vertex_error[inner]
    with np.errstate(over="ignore"):
        low = np.nextafter(xy - error, -np.inf).max(axis=1)
        high = np.nextafter(xy + error, np.inf).max(axis=1)
    # Only those that may be the farthest are worked out.
    reach = [
        (Fraction(max(abs(x), abs(y)), w), v)
        for v in inner[high >= low.max()].tolist()
        for x, y, w in [part.vertex_exact[v]]
    ]
    half_width, vertex = max(reach, key=lambda r: (r[0], -r[1]))
    return Extent(half_width, vertex)
