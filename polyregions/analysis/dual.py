"""The dual graph: faces as nodes, inner edges as arcs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from polyregions.network import IntArray
from polyregions.partition import Partition


def dual_graph(part: Partition) -> tuple[csr_array, IntArray]:
    """Join every two faces that share an edge.

    A matrix entry holds no more than that two faces are neighbours. What else there is to say of
    it belongs to the edge between them, whose number comes beside it: a number in the matrix
    itself would be a weight to most functions of scipy, and edge 0 would be no edge.

    Parameters
    ----------
    part : Partition

    Returns
    -------
    graph : (F, F) scipy.sparse.csr_array of bool
        Symmetric, nothing on the diagonal, indices of every row increasing.
    edge : (nnz,) int32
        The edge that each entry of ``graph.data`` and ``graph.indices`` stands for. Read-only.

    Raises
    ------
    ValueError
        If two faces share two edges, which convex faces cannot.

    Examples
    --------
    Steps from the face at one corner to the face at the other, and the shortest way along edges
    that are weighted by their lengths:

    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> from scipy.sparse.csgraph import dijkstra
    >>> import polyregions as pr
    >>> from polyregions.analysis.dual import dual_graph
    >>> part = pr.partition([([[1, 0], [1, 0], [0, 1]], [0, -1, 0]), ([[1, 1, 1]], [0])], (-2, 2))
    >>> graph, edge = dual_graph(part)
    >>> start, end = part.locate([[-2, -2], [2, 2]])
    >>> dijkstra(graph, indices=start, unweighted=True)[end]
    np.float64(3.0)
    >>> ends = part.vertex_xy[part.edge_vertices[edge]]
    >>> length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    >>> weighted = csr_array((length, graph.indices, graph.indptr), shape=graph.shape)
    >>> dijkstra(weighted, indices=start)[end]
    np.float64(5.0)
    """
    inner = np.flatnonzero(part.is_inner & ~part.edge_is_seam).astype(np.int32)
    left, right = part.edge_faces[inner].T
    rows, columns = np.concatenate([left, right]), np.concatenate([right, left])
    shape = (part.n_faces, part.n_faces)
    numbered = coo_array((np.tile(inner, 2), (rows, columns)), shape=shape).tocsr()
    if numbered.nnz != len(rows):
        raise ValueError("two faces share more than one edge; `certificate` says what is wrong")
    edge: IntArray = numbered.data
    edge.flags.writeable = False
    data = np.ones(len(edge), dtype=np.bool_)
    return csr_array((data, numbered.indices, numbered.indptr), shape=shape), edge


def to_networkx(part: Partition, *, patterns: bool = False) -> Any:
    """Build the dual graph with attributes, for networkx.

    Needs networkx (``pip install "polyregions[graph]"``). Takes about ten microseconds per face.

    Parameters
    ----------
    part : Partition
    patterns : bool
        Whether nodes get the attribute `pattern`, too.

    Returns
    -------
    networkx.Graph
        Node f is face f, with the attributes `area` (float) and, on request, `pattern` (a tuple
        of the pieces of all units). Edges have the attributes `edge` (its number in the
        partition), `unit` (the lowest that switches across it) and `length` (float).

    Raises
    ------
    ImportError
        If networkx is not installed.

    Examples
    --------
    >>> import polyregions as pr
    >>> part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])])
    >>> graph = part.to_networkx(patterns=True)
    >>> graph.nodes[0]
    {'area': 1.0, 'pattern': (0, 0)}
    >>> sorted(data["unit"] for _, _, data in graph.edges(data=True))
    [0, 0, 1, 1]
    """
    try:
        networkx = import_module("networkx")
    except ImportError as error:
        raise ImportError(
            "to_networkx needs networkx, which is not installed: pip install 'polyregions[graph]'"
        ) from error
    graph = networkx.Graph()
    areas = part.areas.tolist()
    if patterns:
        rows = map(tuple, part.face_pattern.tolist())
        graph.add_nodes_from(
            (f, {"area": area, "pattern": row})
            for f, (area, row) in enumerate(zip(areas, rows, strict=True))
        )
    else:
        graph.add_nodes_from((f, {"area": area}) for f, area in enumerate(areas))
    inner = np.flatnonzero(part.is_inner & ~part.edge_is_seam)
    start, end = part.vertex_xy[part.edge_vertices[inner]].transpose(1, 0, 2)
    length = np.hypot(*(end - start).T)
    columns = (*part.edge_faces[inner].T, inner, part.edge_unit[inner], length)
    graph.add_edges_from(
        (left, right, {"edge": e, "unit": unit, "length": d})
        for left, right, e, unit, d in zip(*(c.tolist() for c in columns), strict=True)
    )
    return graph
