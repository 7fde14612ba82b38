"""Lines and vertices in integers, worked out when a decision needs them.

A vertex is where two lines meet, and a line is a side of the domain, a seam in it, or the zero
line of one unit on one face. A face knows its parent in the layer before and the pieces of that
layer's units, so that its exact affine map can be had at any time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import accumulate
from math import gcd
from typing import Any, overload

import numpy as np
from flint import fmpz_mat

from polyregions.domain import Domain
from polyregions.engine.complex import INDEX
from polyregions.engine.layers import Layer
from polyregions.engine.program import Plan
from polyregions.exact import Triple, cross, meet, point
from polyregions.network import ByteArray, IntArray, Network

_KEPT_MAPS = 4096


@dataclass
class Provenance:
    """What made every face, line and vertex.

    Attributes
    ----------
    network : Network
    layers : list of Layer
    domain : Domain
    vertex_lines : (V, 2) int32
        Two cuts or sides that meet in each vertex.
    line_face, line_number : list of int32 arrays
        For each activation layer, the face before it and the line of the layer that each cut of
        a face is made by. Cuts are numbered through all layers, from K, the number of the
        domain's sides and seams.
    face_start : list of (F_l,) int32
        For each activation layer, the first final face inside each face before the layer. Final
        faces inside one face follow each other.
    face_pattern : (F, H) uint8 or None
        The patterns of the final faces, once they are known.
    parents : list of (F_l,) int32
        Until then: for the faces behind each activation layer, their parents before it.
    pieces : list of (F_l, n_l) uint8
        Until then: for the faces behind each activation layer, the pieces of its units.
    """

    network: Network
    layers: list[Layer]
    domain: Domain
    vertex_lines: IntArray
    line_face: list[IntArray] = field(default_factory=list)
    line_number: list[IntArray] = field(default_factory=list)
    face_start: list[IntArray] = field(default_factory=list)
    face_pattern: ByteArray | None = None
    parents: list[IntArray] = field(default_factory=list)
    pieces: list[ByteArray] = field(default_factory=list)

    def __post_init__(self) -> None:
        tiling = self.domain.tiling
        ends = [point(x, y) for x, y in tiling.xy.tolist()]
        self._sides = [
            _primitive(cross(ends[p], ends[q])) for p, q in tiling.edge_vertices.tolist()
        ]
        self._first_unit = [0, *accumulate(layer.n_units for layer in self.layers)]
        # The first cut of each layer, and the number of all lines so far.
        self.line_start = list(accumulate(map(len, self.line_face), initial=self.n_sides))
        self._rows: dict[tuple[int, int, int], Triple] = {}
        self._vertices: dict[int, Triple] = {}
        self._maps: OrderedDict[tuple[int, int], fmpz_mat] = OrderedDict()
        self._values: OrderedDict[tuple[int, int], dict[int, Triple]] = OrderedDict()
        self._scales: list[int] = []

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone, without what has been worked out."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def n_sides(self) -> int:
        """K, seams between the faces that the domain starts with included."""
        return len(self._sides)

    @property
    def n_lines(self) -> int:
        """Sides and cuts so far."""
        return self.line_start[-1]

    @property
    def nbytes(self) -> int:
        lists = (self.line_face, self.line_number, self.face_start, self.parents, self.pieces)
        return self.vertex_lines.nbytes + sum(a.nbytes for arrays in lists for a in arrays)

    def add_cuts(self, level: int, face: IntArray, line: IntArray) -> int:
        """Record more cuts, of the last layer or the next; returns the number of the first."""
        first = self.n_lines
        if level == len(self.line_face):
            self.line_face.append(face)
            self.line_number.append(line)
            self.line_start.append(first + len(face))
        else:
            self.line_face[level] = np.concatenate([self.line_face[level], face])
            self.line_number[level] = np.concatenate([self.line_number[level], line])
            self.line_start[-1] = first + len(face)
        return first

    def sort_cuts(self, level: int, edge_line: IntArray) -> tuple[IntArray, IntArray]:
        """Put the cuts of the last layer in the order of their faces and lines, each once.

        Cuts that no edge is part of, and no vertex is on, are forgotten.

        Returns
        -------
        (E,) int32
            The cuts or sides that edges are part of, which were `edge_line`, by their new numbers.
        (cuts,) int64
            For every cut that is left one that it was before, counted from the layer's first.
        """
        first = self.first_cut(level)
        face, line = self.line_face[level], self.line_number[level]
        is_used = np.zeros(self.n_lines, dtype=np.bool_)
        is_used[edge_line] = True
        is_used[self.vertex_lines] = True
        used = np.flatnonzero(is_used[first:])
        key = face[used] * np.int64(max(1, self.layers[level].n_lines)) + line[used]
        _, chosen, place = np.unique(key, return_index=True, return_inverse=True)
        kept = used[chosen]
        number = np.arange(self.n_lines, dtype=INDEX)
        number[first + used] = first + place
        self.line_face[level], self.line_number[level] = face[kept], line[kept]
        self.line_start[-1] = first + len(kept)
        self.vertex_lines = number[self.vertex_lines]
        return number[edge_line], kept

    def renumber_vertices(self, number: IntArray) -> None:
        """Give vertices new numbers, in the same order, and forget those that have -1."""
        self.vertex_lines = self.vertex_lines[number >= 0]
        self._vertices = {
            int(number[v]): triple for v, triple in self._vertices.items() if number[v] >= 0
        }

    def first_cut(self, level: int) -> int:
        """The number of a layer's first cut."""
        first: int = self.line_start[level]
        return first

    def finish(self, face_pattern: ByteArray) -> None:
        """Keep the patterns of the final faces in place of the history of all faces."""
        start = np.arange(len(face_pattern), dtype=np.int32)
        for parent in reversed(self.parents):
            is_first = np.ones(len(parent), dtype=np.bool_)
            np.not_equal(parent[1:], parent[:-1], out=is_first[1:])
            start = start[is_first]
            self.face_start.insert(0, start)
        self.face_pattern = face_pattern
        self.parents, self.pieces = [], []

    def part_of(self, begin: int, end: int, vertices: IntArray) -> Provenance:
        """The same for the last layer's faces `begin` to `end` alone, and some vertices."""
        return Provenance(
            self.network,
            self.layers,
            self.domain,
            self.vertex_lines[vertices],
            list(self.line_face),
            list(self.line_number),
            parents=[*self.parents[:-1], self.parents[-1][begin:end]],
            pieces=[*self.pieces[:-1], self.pieces[-1][begin:end]],
        )

    def row(self, level: int, face: int, line: int) -> Triple:
        """The function of a line of layer `level` on a face before it, times a positive number."""
        key = (level, face, line)
        row = self._rows.get(key)
        if row is None:
            layer = self.layers[level]
            value = int(layer.line_value[line])
            n, d = float(layer.line_breakpoint[line]).as_integer_ratio()
            values, scale = self._value(level, face, value)
            row = _primitive([d * v - n * s for v, s in zip(values, scale, strict=True)])
            self._rows[key] = row
        return row

    def cut(self, number: int) -> Triple:
        """The line of a cut, or of a side of the domain or a seam."""
        if number < self.n_sides:
            return self._sides[number]
        level = bisect_right(self.line_start, number) - 1
        at = number - self.line_start[level]
        return self.row(level, int(self.line_face[level][at]), int(self.line_number[level][at]))

    def vertex(self, v: int) -> Triple:
        """Vertex `v`, without common factor."""
        found = self._vertices.get(v)
        if found is None:
            first, second = self.vertex_lines[v].tolist()
            found = self._vertices[v] = meet(self.cut(first), self.cut(second))
        return found

    def affine_map(self, level: int, face: int) -> fmpz_mat:
        """All values of layer `level`'s affine map on a face before its activation.

        One row of three integers for each value, and a last row ``(0, 0, s)``; all are to be
        divided by ``s > 0``. Maps of one level share ``s``.
        """
        layer = self.layers[level]
        if not layer.is_dense:
            rows = self._rows_of(level, face, range(layer.width))
            scale = self._scale(level)
            return fmpz_mat([*(rows[i] for i in range(layer.width)), (0, 0, scale)])
        return layer.matrix * self._activated(level, face)

    def _value(self, level: int, face: int, value: int) -> tuple[Sequence[int], Sequence[int]]:
        if not self.layers[level].is_dense:
            return self._rows_of(level, face, [value])[value], (0, 0, self._scale(level))
        matrix = self.layers[level].matrix
        n = matrix.ncols()
        rows = fmpz_mat([[matrix[i, j] for j in range(n)] for i in (value, matrix.nrows() - 1)])
        values, scale = (rows * self._activated(level, face)).tolist()
        return [int(v) for v in values], [int(v) for v in scale]

    def _rows_of(self, level: int, face: int, wanted: Sequence[int]) -> dict[int, Triple]:
        """At least some values before layer `level`, times its scale, where it is no matrix."""
        # Back to what is known, or to the first layers; then forth again. Not by recursion: a
        # network may have more layers than Python allows calls inside each other.
        way: list[_Stretch] = []
        while True:
            here = self._known_values(level, face)
            missing = [i for i in wanted if i not in here]
            if way:
                way[-1].before = here
            if not missing:
                break
            stretch = _Stretch(level, face, here, self.layers[level].integers.plan(missing))
            way.append(stretch)
            if level == 0 or self.layers[level - 1].is_dense:
                break
            switching = self.layers[level - 1].switching
            assert switching is not None
            parent, unit_pieces = self._parent(level, face)
            stretch.pieces = switching.state_pieces(unit_pieces[None])[0]
            _, slopes, _ = self.layers[level - 1].integer_pieces
            wanted = [i for i in stretch.plan.state if slopes[i][stretch.pieces[i]]]
            level, face = level - 1, parent
        for stretch in reversed(way):
            state, layer = self._state(stretch), self.layers[stretch.level]
            scale = self._scale_behind(stretch.level)
            here = stretch.here
            here.update(layer.integers.rows(stretch.plan, state, scale))
        return here

    def _known_values(self, level: int, face: int) -> dict[int, Triple]:
        """What is known of the values before a layer that is no matrix."""
        key = (level, face)
        found = self._values.setdefault(key, {})
        self._values.move_to_end(key)
        if len(self._values) > _KEPT_MAPS:
            self._values.popitem(last=False)
        return found

    def _state(self, stretch: _Stretch) -> dict[int, Triple]:
        """The values of the state behind a layer that the next one's are worked out from."""
        level, wanted = stretch.level, stretch.plan.state
        if level == 0:
            return {i: ((1, 0, 0), (0, 1, 0))[i] for i in wanted}
        layer = self.layers[level - 1]
        if layer.is_dense:
            matrix = self._activated(level, stretch.face)
            return {i: (int(matrix[i, 0]), int(matrix[i, 1]), int(matrix[i, 2])) for i in wanted}
        _, slopes, intercepts = layer.integer_pieces
        scale, found = self._scale(level - 1), {}
        for i in wanted:
            piece = stretch.pieces[i]
            slope, shift = slopes[i][piece], intercepts[i][piece] * scale
            a, b, c = stretch.before[i] if slope else (0, 0, 0)
            found[i] = (slope * a, slope * b, slope * c + shift)
        return found

    def _scale(self, level: int) -> int:
        """What values before layer `level` are to be divided by."""
        for k in range(len(self._scales), level + 1):
            layer = self.layers[k]
            if layer.is_dense:
                last = layer.matrix.nrows() - 1
                one = int(layer.matrix[last, layer.matrix.ncols() - 1])
            else:
                one = layer.integers.one
            self._scales.append(self._scale_behind(k) * one)
        return self._scales[level]

    def _scale_behind(self, level: int) -> int:
        """What values of the state behind layer ``level - 1`` are to be divided by."""
        if level == 0:
            return 1
        return self._scale(level - 1) * self.layers[level - 1].integer_pieces[0]

    def _activated(self, level: int, face: int) -> fmpz_mat:
        """Values behind activation layer ``level - 1`` on a face behind it."""
        way: list[tuple[int, int, ByteArray]] = []
        found = None
        while level and found is None:
            found = self._maps.get((level, face))
            if found is None:
                parent, pieces = self._parent(level, face)
                way.append((level, face, pieces))
                level, face = level - 1, parent
            else:
                self._maps.move_to_end((level, face))
        if found is None:
            found = fmpz_mat([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
        for number, at, pieces in reversed(way):
            layer = self.layers[number - 1]
            before = (layer.matrix * found).tolist()
            one, slopes, intercepts = layer.integer_pieces
            scale = before[-1]
            rows = [
                [slopes[u][k] * v + intercepts[u][k] * s for v, s in zip(row, scale, strict=True)]
                for u, (row, k) in enumerate(zip(before[:-1], pieces.tolist(), strict=True))
            ]
            found = self._maps[number, at] = fmpz_mat([*rows, [one * s for s in scale]])
            if len(self._maps) > _KEPT_MAPS:
                self._maps.popitem(last=False)
        return found

    def behind(self, level: int, face: Any) -> tuple[Any, ByteArray]:
        """The parents before layer ``level - 1`` of faces, and their pieces of that layer."""
        if self.face_pattern is None:
            return self.parents[level - 1][face], self.pieces[level - 1][face]
        final = self.face_start[level][face] if level < len(self.face_start) else face
        parent = np.searchsorted(self.face_start[level - 1], final, side="right") - 1
        first, last = self._first_unit[level - 1 : level + 1]
        return parent, self.face_pattern[final, first:last]

    def _parent(self, level: int, face: int) -> tuple[int, ByteArray]:
        parent, pieces = self.behind(level, face)
        return int(parent), pieces


@dataclass
class _Stretch:
    """Values before a layer on a face that are to be worked out, and what from."""

    level: int
    face: int
    here: dict[int, Triple]  # what is known
    plan: Plan
    pieces: ByteArray = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    before: dict[int, Triple] = field(default_factory=dict)  # known before the layer before


class ExactVertices(Sequence[Triple]):
    """The exact vertices of a partition, each worked out when first asked for."""

    def __init__(self, provenance: Provenance) -> None:
        self.provenance = provenance

    def __len__(self) -> int:
        return len(self.provenance.vertex_lines)

    @overload
    def __getitem__(self, i: int) -> Triple: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Triple, ...]: ...
    def __getitem__(self, i: int | slice) -> Triple | tuple[Triple, ...]:
        if isinstance(i, slice):
            return tuple(self.provenance.vertex(v) for v in range(len(self))[i])
        return self.provenance.vertex(range(len(self))[i])

    def __eq__(self, other: object) -> bool:
        """Whether another sequence holds the same triples."""
        if not isinstance(other, Sequence) or len(other) != len(self):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[Triple]:
        return map(self.provenance.vertex, range(len(self)))


def _primitive(row: Sequence[int]) -> Triple:
    a, b, c = row
    common = gcd(a, b, c) or 1
    return a // common, b // common, c // common
