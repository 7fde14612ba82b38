"""The reference engine: the subdivision in plain exact arithmetic.

Slow, short and meant to be believed. Everything is an integer: weights are float64 numbers, so
with a power of two taken out they are integers, and points are homogeneous integer triples (see
`polyregions.exact`). No rounding and no tolerance occur before the finished complex is turned
into float64 arrays.

Layer by layer, every face (a convex polygon on which the network so far is one affine map) is cut
by the zero line of each of the layer's pre-activations. Faces are cut one by one, each without
looking at its neighbours. That the pieces fit together corner to corner is a fact about
continuous functions: on an edge, both faces see the same values of every pre-activation, hence
the same zeros. Equal points are equal triples, so a dictionary finds the shared vertices.

What zero means:

* a line through a vertex splits there and makes no new vertex;
* a line along an edge splits nothing;
* a pre-activation that is zero on a whole face splits nothing there, and the unit is inactive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import fmpz_mat

from polyregions.domain import Domain
from polyregions.errors import LimitError
from polyregions.exact import Triple, cross, dot, meet, point, rounded, rounding_error
from polyregions.network import Activation, Affine, Network, Scale
from polyregions.partition import Partition


@dataclass(frozen=True)
class Face:
    """A convex polygon, counter-clockwise, on which the network so far is one affine map.

    `values` is an integer matrix with three columns and one row for each current value of the
    network, and a last row ``(0, 0, s)`` with ``s > 0``: value i at the point ``p = (X, Y, W)``
    is ``(values[i] . p) / (values[-1] . p)``.
    """

    polygon: tuple[Triple, ...]
    pattern: bytes
    values: fmpz_mat


def subdivide(network: Network, domain: Domain, *, max_regions: int) -> Partition:
    """Subdivide `domain` into the faces on which every unit of `network` keeps its piece.

    Raises
    ------
    LimitError
        If there are more than `max_regions` faces.
    OverflowError
        If a coordinate or a coefficient of a map is too large for float64.
    """
    identity = fmpz_mat([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    corners = tuple(point(x, y) for x, y in domain.xy.tolist())
    faces = [Face(corners, b"", identity)]
    counts: list[int] = []
    tally = Tally()
    for step in network.steps:
        if isinstance(step, Activation):
            faces = _subdivide_layer(faces, step, max_regions, tuple(counts), tally)
            counts.append(len(faces))
        else:
            matrix = _affine_matrix(step)
            faces = [Face(f.polygon, f.pattern, matrix * f.values) for f in faces]
    return _assemble(faces, network, domain, tally)


@dataclass
class Tally:
    """How many signs were decided, for the certificate."""

    signs: int = 0


def _subdivide_layer(
    faces: Sequence[Face],
    layer: Activation,
    max_regions: int,
    counts: tuple[int, ...],
    tally: Tally,
) -> list[Face]:
    children: list[Face] = []
    integers = IntegerActivation.of(layer)
    for done, face in enumerate(faces):
        try:
            children += split(face, integers, tally, room=max_regions - len(children))
        except _NoRoomError:
            before = f"faces after the layers before it: {', '.join(map(str, counts)) or 'none'}"
            raise LimitError(
                f"more than max_regions={max_regions} regions: reached in activation layer "
                f"{len(counts)} ({layer.name}), after {done} of its {len(faces)} faces; {before}. "
                "Raise max_regions, or take a smaller domain",
                counts=counts,
                layer=len(counts),
            ) from None
    return children


class _NoRoomError(Exception):
    """A face has more children than there is room for."""


@dataclass(frozen=True)
class IntegerActivation:
    """An activation layer in integers.

    Attributes
    ----------
    n_units : int
    thresholds : list of (unit, n, d)
        Unit `unit` has a breakpoint at ``n / d``.
    one : int
        What slopes and intercepts are multiplied by; a power of two.
    pieces : list of one list of (slope, intercept) for each unit
    """

    n_units: int
    thresholds: list[tuple[int, int, int]]
    one: int
    pieces: list[list[tuple[int, int]]]

    @staticmethod
    def of(layer: Activation) -> IntegerActivation:
        n = layer.n_inputs
        table = [[1.0], *layer.slopes.tolist(), *layer.intercepts.tolist()]
        [one], *rows = _integers(table)
        thresholds = [
            (unit, *t.as_integer_ratio())
            for unit, breakpoints in enumerate(layer.breakpoints.tolist())
            for t in breakpoints
            if t != np.inf  # fills the row of a unit with fewer breakpoints than others
        ]
        pieces = [list(zip(a, b, strict=True)) for a, b in zip(rows[:n], rows[n:], strict=True)]
        return IntegerActivation(n, thresholds, one, pieces)


def split(face: Face, layer: IntegerActivation, tally: Tally, *, room: int) -> list[Face]:
    """Cut one face by the zero lines of a layer, and pass on the values behind the layer."""
    rows = face.values.tolist()
    scale = rows[-1]
    # value > n / d, times the positive d and scale
    lines = [
        [d * v - n * s for v, s in zip(rows[unit], scale, strict=True)]
        for unit, n, d in layer.thresholds
    ]

    # A line whose function does not change sign on the face's vertices does not cut it.
    above = [False] * len(lines)
    cutting: list[int] = []
    if lines:
        tally.signs += len(lines) * len(face.polygon)
        vertices = fmpz_mat(face.polygon).transpose()
        for i, signs in enumerate((fmpz_mat(lines) * vertices).tolist()):
            above[i] = max(signs) > 0
            if above[i] and min(signs) < 0:
                cutting.append(i)

    pieces = [(face.polygon, above)]
    for i in cutting:
        if len(pieces) > room:
            break
        line = (int(lines[i][0]), int(lines[i][1]), int(lines[i][2]))
        pieces = [
            (polygon, [*sides[:i], is_above, *sides[i + 1 :]])
            for parent, sides in pieces
            for polygon, is_above in zip(cut(parent, line, tally), (False, True), strict=True)
            if polygon
        ]
    if len(pieces) > room:
        raise _NoRoomError

    behind = [
        [[a * v + b * s for v, s in zip(row, scale, strict=True)] for a, b in pieces_of_unit]
        for row, pieces_of_unit in zip(rows[:-1], layer.pieces, strict=True)
    ]
    last = [layer.one * s for s in scale]
    children = []
    for polygon, sides in pieces:
        pattern = bytearray(layer.n_units)
        for (unit, _, _), is_above in zip(layer.thresholds, sides, strict=True):
            pattern[unit] += is_above
        values = [choices[k] for choices, k in zip(behind, pattern, strict=True)]
        children.append(Face(polygon, face.pattern + pattern, fmpz_mat([*values, last])))
    return children


def cut(
    polygon: Sequence[Triple], line: Triple, tally: Tally
) -> tuple[tuple[Triple, ...], tuple[Triple, ...]]:
    """The parts of a convex polygon with ``line <= 0`` and ``line >= 0``; empty without area.

    ::

              line = 0
        +--------x-------+        Corners on the line go to both parts. Where the line passes
        |  <= 0  |  >= 0 |        between two corners, both parts get the crossing, x.
        +--------x-------+
    """
    signs = [dot(line, p) for p in polygon]
    tally.signs += len(signs)
    if max(signs) <= 0:
        return tuple(polygon), ()
    if min(signs) >= 0:
        return (), tuple(polygon)
    below: list[Triple] = []
    above: list[Triple] = []
    for i, (p, s) in enumerate(zip(polygon, signs, strict=True)):
        before = signs[i - 1]
        if (before < 0 < s) or (s < 0 < before):
            crossing = meet(line, cross(polygon[i - 1], p))
            below.append(crossing)
            above.append(crossing)
        if s <= 0:
            below.append(p)
        if s >= 0:
            above.append(p)
    return tuple(below), tuple(above)


def _affine_matrix(step: Affine | Scale) -> fmpz_mat:
    """The step on homogeneous values, ``[[weight, bias], [0, 1]]``, times a power of two."""
    if isinstance(step, Affine):
        rows = np.column_stack([step.weight, step.bias]).tolist()
    else:
        rows = np.column_stack([np.diag(step.scale), step.shift]).tolist()
    return fmpz_mat(_integers([*rows, [0.0] * step.n_inputs + [1.0]]))


def _integers(table: list[list[float]]) -> list[list[int]]:
    """The floats of a table times the least power of two that makes integers of them all."""
    ratios = [[v.as_integer_ratio() for v in row] for row in table]
    scale = max(d for row in ratios for _, d in row)
    return [[n * (scale // d) for n, d in row] for row in ratios]


def _assemble(faces: Sequence[Face], network: Network, domain: Domain, tally: Tally) -> Partition:
    """Find the shared vertices and edges, and round to float64."""
    vertex_index: dict[Triple, int] = {}
    cycles = [
        [vertex_index.setdefault(p, len(vertex_index)) for p in face.polygon] for face in faces
    ]
    vertices = list(vertex_index)

    # Each side (a, b) of a face is an edge with the face on its left; a neighbour has (b, a).
    edge_index: dict[tuple[int, int], int] = {}
    edge_faces: list[list[int]] = []
    for f, cycle in enumerate(cycles):
        for i, b in enumerate(cycle):
            a = cycle[i - 1]
            if (b, a) in edge_index:
                edge_faces[edge_index[b, a]][1] = f
            else:
                edge_index[a, b] = len(edge_faces)
                edge_faces.append([f, -1])
    patterns = np.frombuffer(b"".join(f.pattern for f in faces), dtype=np.uint8)
    patterns = patterns.reshape(len(faces), network.n_units)

    # Across an edge the unit that made it changes its piece, and so may units made equal to it.
    edges = np.array(edge_faces, dtype=np.int32)
    inner = edges[:, 1] >= 0
    edge_unit = np.full(len(edges), -1, dtype=np.int32)
    switches = patterns[edges[inner, 0]] != patterns[edges[inner, 1]]
    edge_unit[inner] = switches.argmax(axis=1) if switches.size else -1

    maps = []
    pieces: dict[tuple[int, ...], int] = {}
    face_affine_piece = []
    for face in faces:
        entries = tuple(int(v) for v in face.values.entries())
        # Two faces have the same steps behind them, hence the same scale: equal maps are equal
        # integers.
        face_affine_piece.append(pieces.setdefault(entries, len(pieces)))
        maps.append([rounded(v, entries[-1]) for v in entries[:-3]])
    table = np.array(maps, dtype=np.float64).reshape(len(faces), network.n_outputs, 3)

    xy = np.array([[rounded(x, w), rounded(y, w)] for x, y, w in vertices])
    return Partition(
        domain=domain,
        vertex_xy=xy,
        vertex_error=rounding_error(xy),
        vertex_exact=tuple(vertices),
        edge_vertices=np.array(list(edge_index), dtype=np.int32),
        edge_faces=edges,
        edge_unit=edge_unit,
        face_offsets=np.cumsum([0, *map(len, cycles)], dtype=np.int32),
        face_vertices=np.array([v for cycle in cycles for v in cycle], dtype=np.int32),
        face_pattern=patterns,
        face_weight=table[:, :, :2],
        face_bias=table[:, :, 2],
        face_weight_error=rounding_error(table[:, :, :2]),
        face_bias_error=rounding_error(table[:, :, 2]),
        face_affine_piece=np.array(face_affine_piece, dtype=np.int32),
        unit_layer=network.unit_layer,
        engine="rational",
        decisions={"integer": tally.signs},
    )
