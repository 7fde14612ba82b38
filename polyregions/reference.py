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

A unit that takes the largest of several values cuts a face into the parts on which one of them is
the largest; of values that are equal on the whole face the first counts.

A domain that is not convex starts as several convex faces. In the end what they make of one region
is joined, and cut into convex faces between its own corners where it is not convex.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from flint import fmpz, fmpz_mat

from polyregions.decomposition import convex_faces
from polyregions.domain import Domain, Plane
from polyregions.errors import LimitError
from polyregions.exact import (
    Triple,
    cross,
    dot,
    meet,
    orientation,
    point,
    rounded,
    rounding_error,
)
from polyregions.network import Activation, Affine, AffineStep, Maximum, Network, Step
from polyregions.partition import Partition

# Half-widths of the boxes that stand for the plane: the first, by which each next one is larger.
_FIRST_BOX, _LAST_BOX = 2.0**32, 2.0**960


@dataclass(frozen=True)
class Values:
    """Some values of the network as affine functions on a face.

    Value i at the point ``p = (X, Y, W)`` is ``(matrix[i] . p) / (scale W)``. All faces have the
    same scale, a power of two.
    """

    matrix: fmpz_mat
    scale: int

    @staticmethod
    def join(parts: Sequence[Values]) -> Values:
        """Several values as one."""
        if len(parts) == 1:
            return parts[0]
        scale = max(part.scale for part in parts)
        rows = [row for part in parts for row in (part.matrix * (scale // part.scale)).tolist()]
        return Values(_matrix(rows), scale)


# The inputs, as functions of themselves.
_INPUTS = Values(fmpz_mat([[1, 0, 0], [0, 1, 0]]), 1)


@dataclass(frozen=True)
class Face:
    """A convex polygon, counter-clockwise, on which the network so far is one affine map.

    `values` holds those values of the network, by their numbers, that steps to come take.
    """

    polygon: tuple[Triple, ...]
    pattern: bytes
    values: dict[int, Values]

    def behind(self, number: int, made: Values, needed: set[int]) -> Face:
        """The same face with one more value, and without those that are no longer needed."""
        kept = {i: values for i, values in self.values.items() if i in needed}
        return replace(self, values=kept | {number: made})


def subdivide(network: Network, domain: Domain, *, max_regions: int) -> Partition:
    """Subdivide `domain` into the faces on which every unit of `network` keeps its piece.

    Raises
    ------
    LimitError
        If there are more than `max_regions` faces.
    OverflowError
        If a coordinate or a coefficient of a map is too large for float64.
    """
    tally = Tally()
    if not isinstance(domain, Plane):
        faces = _faces(network, domain, max_regions, tally)
        if not domain.is_convex:
            faces = _joined(faces)
        return _assemble(faces, network, domain, tally)
    # A box that is large enough for the whole plane. Integers do not mind how large.
    half_width = max(domain.half_width, _FIRST_BOX)
    steps = [_in_integers(step) for step in network.steps]
    while True:
        domain = Plane(half_width)
        faces = _faces(network, domain, max_regions, tally)
        if all(_is_steady(face, network, steps, int(half_width)) for face in faces):
            return _assemble(faces, network, domain, tally)
        half_width *= _FIRST_BOX
        if half_width > _LAST_BOX:
            raise OverflowError(
                f"the plane has structure farther than {_LAST_BOX:.3g} away from the origin, too "
                "far for float64 coordinates; take a bounded domain, or scale the weights"
            )


def _faces(network: Network, domain: Domain, max_regions: int, tally: Tally) -> list[Face]:
    assert network.sources is not None
    if domain.is_convex:
        starts = [tuple(point(x, y) for x, y in domain.xy.tolist())]
    else:
        points = [point(x, y) for x, y in domain.tiling.xy.tolist()]
        ends = pairwise(domain.tiling.face_offsets.tolist())
        numbers = domain.tiling.face_vertices.tolist()
        starts = [tuple(points[v] for v in numbers[i:j]) for i, j in ends]
    faces = [Face(corners, b"", {0: _INPUTS}) for corners in starts]
    counts: list[int] = []
    for i, (step, sources) in enumerate(zip(network.steps, network.sources, strict=True)):
        needed = {value for taken in network.sources[i + 1 :] for value in taken}
        layer = _in_integers(step)
        if isinstance(layer, IntegerAffine):
            faces = [
                f.behind(i + 1, layer(Values.join([f.values[v] for v in sources])), needed)
                for f in faces
            ]
            continue
        try:
            # Each region is convex but for the domain, so has one face in each that it starts with.
            room = max_regions * len(starts)
            cut_up = _subdivide_layer(faces, layer, sources, room, tally)
            faces = [face.behind(i + 1, made, needed) for face, made in cut_up]
            n_faces = len(faces) if domain.is_convex else len(_regions(faces))
            if n_faces > max_regions:
                raise _NoRoomError("after all of its faces")
        except _NoRoomError as error:
            before = ", ".join(map(str, counts)) or "none"
            raise LimitError(
                f"more than max_regions={max_regions} regions: reached in activation layer "
                f"{len(counts)} ({step.name}), {error}; faces after the layers before it: "
                f"{before}. Raise max_regions, or take a smaller domain",
                counts=tuple(counts),
                layer=len(counts),
            ) from None
        counts.append(n_faces)
    return faces


def _regions(faces: Sequence[Face]) -> list[list[Face]]:
    """Faces by the regions they are parts of: those with one pattern that share a side."""
    owner = {(f.pattern, side): i for i, f in enumerate(faces) for side in _sides(f.polygon)}
    region = [-1] * len(faces)
    regions: list[list[Face]] = []
    for first in range(len(faces)):
        if region[first] >= 0:
            continue
        region[first] = len(regions)
        found = [first]
        for i in found:  # grows
            for p, q in _sides(faces[i].polygon):
                j = owner.get((faces[i].pattern, (q, p)), i)
                if region[j] < 0:
                    region[j] = region[first]
                    found.append(j)
        regions.append([faces[i] for i in found])
    return regions


def _sides(polygon: Sequence[Triple]) -> list[tuple[Triple, Triple]]:
    return list(pairwise([*polygon, polygon[0]]))


def _joined(faces: Sequence[Face]) -> list[Face]:
    """Regions as few convex faces each, without what was there only where the domain was cut."""
    regions = _regions(faces)
    outlines = []
    for region in regions:
        sides = {side for face in region for side in _sides(face.polygon)}
        outlines.append([(p, q) for p, q in sorted(sides) if (q, p) not in sides])
    # A vertex is none where every region that it is on the outline of goes straight on.
    corners: set[Triple] = set()
    for outline in outlines:
        after = dict(outline)
        n_sides = Counter(p for p, _ in outline)
        corners |= {q for p, q in outline if n_sides[q] > 1 or orientation(p, q, after[q])}
    joined = []
    for region, outline in zip(regions, outlines, strict=True):
        after = dict(outline)
        whole = []
        for p, q in outline:
            if p in corners:
                while q not in corners:
                    q = after[q]
                whole.append((p, q))
        points = sorted({p for p, _ in whole})
        number = {p: i for i, p in enumerate(points)}
        for face in convex_faces(points, [(number[p], number[q]) for p, q in whole]):
            joined.append(replace(region[0], polygon=tuple(points[v] for v in face)))
    return joined


def _in_integers(step: Step) -> IntegerAffine | IntegerActivation | IntegerMaximum:
    if isinstance(step, AffineStep):
        return IntegerAffine.of(step)
    return IntegerActivation.of(step) if isinstance(step, Activation) else IntegerMaximum.of(step)


def _is_steady(
    face: Face,
    network: Network,
    steps: Sequence[IntegerAffine | IntegerActivation | IntegerMaximum],
    size: int,
) -> bool:
    """Whether a face of a box stays what it is, however large the box becomes.

    As the box grows, the face's corners on its border move along their lines. The face stays as
    long as every unit stays on its piece at these corners, and none of them comes to a corner of
    the box. All this is linear in the size of the box.
    """
    assert network.sources is not None
    ways = _ways_out(face.polygon, size)
    if ways is None:
        return False
    values, n_before = {0: _INPUTS}, 0
    for i, (layer, sources) in enumerate(zip(steps, network.sources, strict=True)):
        given = Values.join([values[v] for v in sources])
        if isinstance(layer, IntegerAffine):
            values[i + 1] = layer(given)
            continue
        pieces = face.pattern[n_before : n_before + layer.n_units]
        n_before += layer.n_units
        holds = layer.what_holds(given, pieces)
        if any(a * dx + b * dy < 0 for a, b, _ in holds for dx, dy in ways):
            return False
        values[i + 1] = layer.behind(given, pieces)
    return True


def _ways_out(polygon: Sequence[Triple], size: int) -> list[tuple[int, int]] | None:
    """The directions in which corners on the border of a box move; None if they leave its sides.

    ::

         -----x-------x------   Two lines that meet in the border part beyond it. Then some face
          <- | face  | ->      has no side on the border, or one that a line ends which leads
                               to another side in the end.
    """
    sides = [
        {(axis, sign) for axis in (0, 1) for sign in (-1, 1) if p[axis] == sign * size * p[2]}
        for p in polygon
    ]
    ways = []
    for i, (p, mine) in enumerate(zip(polygon, sides, strict=True)):
        for j in (i - 1, (i + 1) % len(polygon)):
            if mine and not mine & sides[j]:
                q = polygon[j]
                way = p[0] * q[2] - q[0] * p[2], p[1] * q[2] - q[1] * p[2]
                ahead = [sign * way[axis] for axis, sign in mine]
                if min(ahead) < max(map(abs, way)):
                    return None
                ways.append(way)
        if len(mine) == 2:
            dx, dy = (sign for _, sign in sorted(mine))
            ways.append((dx, dy))
        elif mine and not any(mine & sides[j] for j in (i - 1, (i + 1) % len(polygon))):
            return None
    return ways


@dataclass
class Tally:
    """How many signs were decided, for the certificate."""

    signs: int = 0


def _subdivide_layer(
    faces: Sequence[Face],
    layer: IntegerActivation | IntegerMaximum,
    sources: Sequence[int],
    max_regions: int,
    tally: Tally,
) -> Iterator[tuple[Face, Values]]:
    """Cut every face; gives the parts, and the values behind the layer on them."""
    n_children = 0
    for done, face in enumerate(faces):
        given = Values.join([face.values[v] for v in sources])
        try:
            parts = layer.split(face.polygon, given, tally, room=max_regions - n_children)
        except _NoRoomError:
            raise _NoRoomError(f"after {done} of its {len(faces)} faces") from None
        n_children += len(parts)
        for polygon, pieces, made in parts:
            yield Face(polygon, face.pattern + pieces, face.values), made


class _NoRoomError(Exception):
    """A face has more children than there is room for."""


Part: TypeAlias = tuple[tuple[Triple, ...], bytes, Values]


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

    def split(
        self, polygon: tuple[Triple, ...], given: Values, tally: Tally, *, room: int
    ) -> list[Part]:
        """Cut one face by the zero lines of the layer; its parts, their pieces and values."""
        rows, scale = given.matrix.tolist(), given.scale
        # value > n / d, times the positive d and scale
        lines = [
            [d * a, d * b, d * c - n * scale]
            for (a, b, c), n, d in ((rows[unit], n, d) for unit, n, d in self.thresholds)
        ]

        # A line whose function does not change sign on the face's vertices does not cut it.
        above = [False] * len(lines)
        cutting: list[int] = []
        if lines:
            tally.signs += len(lines) * len(polygon)
            vertices = fmpz_mat(polygon).transpose()
            for i, signs in enumerate((fmpz_mat(lines) * vertices).tolist()):
                above[i] = max(signs) > 0
                if above[i] and min(signs) < 0:
                    cutting.append(i)

        parts = [(polygon, above)]
        for i in cutting:
            if len(parts) > room:
                raise _NoRoomError
            line = (int(lines[i][0]), int(lines[i][1]), int(lines[i][2]))
            parts = [
                (piece, [*sides[:i], is_above, *sides[i + 1 :]])
                for parent, sides in parts
                for piece, is_above in zip(cut(parent, line, tally), (False, True), strict=True)
                if piece
            ]
        if len(parts) > room:
            raise _NoRoomError

        behind = [
            [(a * x, a * y, a * c + b * scale) for a, b in pieces_of_unit]
            for (x, y, c), pieces_of_unit in zip(rows, self.pieces, strict=True)
        ]
        found = []
        for piece, sides in parts:
            pattern = bytearray(self.n_units)
            for (unit, _, _), is_above in zip(self.thresholds, sides, strict=True):
                pattern[unit] += is_above
            values = [choices[k] for choices, k in zip(behind, pattern, strict=True)]
            found.append((piece, bytes(pattern), Values(_matrix(values), self.one * scale)))
        return found

    def what_holds(self, given: Values, pattern: bytes) -> Iterator[Triple]:
        """Functions that are not negative where units have the given pieces."""
        seen = [0] * self.n_units  # breakpoints of each unit, which come in increasing order
        for unit, n, d in self.thresholds:
            sign = 1 if pattern[unit] > seen[unit] else -1
            seen[unit] += 1
            a, b, c = (int(given.matrix[unit, j]) for j in range(3))
            yield sign * d * a, sign * d * b, sign * (d * c - n * given.scale)

    def behind(self, given: Values, pattern: bytes) -> Values:
        """Values behind the layer where units have the given pieces."""
        chosen = [pieces[k] for pieces, k in zip(self.pieces, pattern, strict=True)]
        rows = zip(given.matrix.tolist(), chosen, strict=True)
        values = [(a * x, a * y, a * c + b * given.scale) for (x, y, c), (a, b) in rows]
        return Values(_matrix(values), self.one * given.scale)


@dataclass(frozen=True)
class IntegerMaximum:
    """A layer of units that take the largest of several values."""

    members: list[list[int]]

    @property
    def n_units(self) -> int:
        return len(self.members)

    def what_holds(self, given: Values, pattern: bytes) -> Iterator[Triple]:
        """Functions that are not negative where units have the given pieces."""
        rows = [(int(a), int(b), int(c)) for a, b, c in given.matrix.tolist()]
        for members, k in zip(self.members, pattern, strict=True):
            a, b, c = rows[members[k]]
            for p, q, r in (rows[m] for m in members):
                yield a - p, b - q, c - r

    def behind(self, given: Values, pattern: bytes) -> Values:
        """Values behind the layer where units have the given pieces."""
        rows = given.matrix.tolist()
        chosen = [rows[members[k]] for members, k in zip(self.members, pattern, strict=True)]
        return Values(_matrix(chosen), given.scale)

    @staticmethod
    def of(layer: Maximum) -> IntegerMaximum:
        return IntegerMaximum([[m for m in row if m >= 0] for row in layer.members.tolist()])

    def split(
        self, polygon: tuple[Triple, ...], given: Values, tally: Tally, *, room: int
    ) -> list[Part]:
        """Cut one face into the parts on which each unit takes one value."""
        rows = [(int(a), int(b), int(c)) for a, b, c in given.matrix.tolist()]
        parts: list[tuple[tuple[Triple, ...], bytes]] = [(polygon, b"")]
        for members in self.members:
            functions = [rows[m] for m in members]
            # A value that is equal to one before it on the whole face is never the first.
            first = [k for k, f in enumerate(functions) if f not in functions[:k]]
            parts = [
                (part, pattern + bytes([k]))
                for parent, pattern in parts
                for k in first
                if (part := _where_largest(parent, k, first, functions, tally))
            ]
            if len(parts) > room:
                raise _NoRoomError
        found = []
        for part, pattern in parts:
            chosen = [rows[members[k]] for members, k in zip(self.members, pattern, strict=True)]
            found.append((part, pattern, Values(_matrix(chosen), given.scale)))
        return found


def _where_largest(
    polygon: tuple[Triple, ...],
    k: int,
    among: Sequence[int],
    functions: Sequence[Triple],
    tally: Tally,
) -> tuple[Triple, ...]:
    """The part of a convex polygon on which function k is the largest; empty without area."""
    a, b, c = functions[k]
    for other in among:
        if other != k and polygon:
            p, q, r = functions[other]
            _, polygon = cut(polygon, (a - p, b - q, c - r), tally)
    return polygon


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


@dataclass(frozen=True)
class IntegerAffine:
    """An affine step in integers: both `matrix` or `rows` and `constant` are times `one`."""

    matrix: fmpz_mat | None
    rows: list[list[tuple[int, int]]]
    constant: list[int]
    one: int

    @staticmethod
    def of(step: AffineStep) -> IntegerAffine:
        if isinstance(step, Affine):
            table = [[1.0], step.bias.tolist(), *step.weight.tolist()]
            [one], constant, *rows = _integers(table)
            return IntegerAffine(_matrix(rows, step.n_inputs), [], constant, one)
        sparse = step.rows(np.arange(step.n_outputs))
        [one], constant, values = _integers([[1.0], step.constant.tolist(), sparse.values.tolist()])
        entries = list(zip(sparse.columns.tolist(), values, strict=True))
        bounds = sparse.offsets.tolist()
        return IntegerAffine(None, [entries[i:j] for i, j in pairwise(bounds)], constant, one)

    def __call__(self, given: Values) -> Values:
        if self.matrix is not None:
            rows = (self.matrix * given.matrix).tolist()
        else:
            taken = given.matrix.tolist()
            rows = [
                [sum((weight * taken[i][k] for i, weight in row), fmpz(0)) for k in range(3)]
                for row in self.rows
            ]
        moved = [
            (a, b, c + constant * given.scale)
            for (a, b, c), constant in zip(rows, self.constant, strict=True)
        ]
        return Values(_matrix(moved), self.one * given.scale)


def _matrix(rows: Sequence[Sequence[Any]], n_columns: int = 3) -> fmpz_mat:
    """A matrix of some rows, also of none."""
    return fmpz_mat(rows) if rows else fmpz_mat(0, n_columns)


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
    if switches.size:
        edge_unit[inner] = np.where(switches.any(axis=1), switches.argmax(axis=1), -1)

    maps = []
    pieces: dict[tuple[int, ...], int] = {}
    face_affine_piece = []
    for face in faces:
        outputs = face.values[len(network.steps)]
        # All faces have the same scale: equal maps are equal integers.
        entries = tuple(int(v) for v in outputs.matrix.entries())
        face_affine_piece.append(pieces.setdefault(entries, len(pieces)))
        maps.append([rounded(v, outputs.scale) for v in entries])
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
