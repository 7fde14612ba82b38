"""What lies at infinity in a partition of the whole plane.

Such a partition is held in a box so large that nothing changes beyond it. Vertices on the box's
border stand for points at infinity: those in which a line leaves, and the box's four corners. Going
out, lines keep the order in which they cross the border, so everything beyond the box follows from
that order, and so does what any other box shows that holds all finite vertices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from polyregions import exact, location
from polyregions.domain import Domain
from polyregions.exact import Triple
from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.partition import Partition

# What pictures show beyond the outermost vertices, as a share of their distance from the middle.
_MARGIN = 0.25
_CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


class Ray(NamedTuple):
    """A part of a face's border that goes to infinity.

    Attributes
    ----------
    point : (2,) float64
        Where the ray starts; of a whole line, the point next to the origin. Rounded.
    direction : (2,) float64
        Where it goes; its larger coordinate is 1 or -1, the other is rounded. A whole line has
        the face on its left, seen in this direction.
    is_line : bool
        Whether it goes to infinity in the opposite direction, too.
    """

    point: FloatArray
    direction: FloatArray
    is_line: bool


class Outside:
    """The border of the box, and what follows from it.

    Parameters
    ----------
    part : Partition
        Of the whole plane.
    """

    def __init__(self, part: Partition) -> None:
        self.part = part
        border = np.flatnonzero(~part.is_inner)
        ends, faces = part.edge_vertices[border].tolist(), part.edge_faces[border, 0].tolist()
        after = {a: (b, f) for (a, b), f in zip(ends, faces, strict=True)}
        corners = [self._corner(sorted(after), k) for k in range(4)]
        cycle, at = [corners[0]], after[corners[0]][0]
        while at != corners[0]:
            cycle.append(at)
            at = after[at][0]
        # Vertices of the border, counter-clockwise from the lower left corner, and the faces that
        # each one's following stretch of the border belongs to.
        self.cycle = cycle
        self.face = [after[v][1] for v in cycle]
        self.corners = corners
        # The other ends of the edges that lead to the border.
        self.inner_end: dict[int, int] = {}
        on_border = set(cycle)
        inner = part.edge_vertices[part.is_inner]
        leads = np.isin(inner, cycle)
        for a, b in inner[leads.any(axis=1)].tolist():
            for v, u in ((a, b), (b, a)):
                if v in on_border:
                    self.inner_end[v] = u

    def _corner(self, candidates: list[int], k: int) -> int:
        part = self.part
        wanted = part.domain.xy[k]
        vertices = np.array(candidates)
        off = np.abs(part.vertex_xy[vertices] - wanted)
        near = vertices[(off <= part.vertex_error[vertices] * 2).all(axis=1)].tolist()
        triple = exact.point(*wanted.tolist())
        return next(v for v in near if part.vertex_exact[v] == triple)

    # -- directions ----------------------------------------------------------------------------

    @cached_property
    def ends(self) -> dict[int, tuple[Triple, Triple]]:
        """For each vertex in which a line leaves, that point and the other end of its edge."""
        exactly = self.part.vertex_exact
        return {v: (exactly[v], exactly[u]) for v, u in self.inner_end.items()}

    def way(self, v: int) -> tuple[int, int]:
        """The exact direction, times a positive number, in which a line leaves."""
        p, q = self.ends[v]
        return p[0] * q[2] - q[0] * p[2], p[1] * q[2] - q[1] * p[2]

    @cached_property
    def directions(self) -> FloatArray:
        """(V, 2) directions of the vertices at infinity; zero for others."""
        directions = np.zeros((self.part.n_vertices, 2))
        directions[self.corners] = _CORNERS
        for v in self.inner_end:
            way = self.way(v)
            size = max(map(abs, way))
            directions[v] = [w / size for w in way]  # of integers: rounded once
        return directions

    def rays(self, f: int) -> list[Ray]:
        """What goes to infinity of the border of a face, counter-clockwise."""
        part = self.part
        cycle = part.face(f).tolist()
        infinite = part.vertex_is_infinite
        found = []
        for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            if infinite[a] and infinite[b]:
                if self.inner_end.get(a) == b:
                    found.append(Ray(self._next_to_origin(a), self.directions[b].copy(), True))
            elif infinite[a] or infinite[b]:
                start, end = (b, a) if infinite[a] else (a, b)
                found.append(Ray(part.vertex_xy[start].copy(), self.directions[end].copy(), False))
        return found

    def _next_to_origin(self, v: int) -> FloatArray:
        return np.array([exact.rounded(*c.as_integer_ratio()) for c in _foot(*self.ends[v])])

    # -- points outside ------------------------------------------------------------------------

    def locate(self, points: FloatArray) -> IntArray:
        """The lowest face of each of some finite points, (N, 2), beyond the box."""
        found = np.empty(len(points), dtype=np.int64)
        places = [self.cycle.index(v) for v in self.corners]
        size = np.abs(points).max(axis=1)
        for k in range(4):
            (x, y), following = _CORNERS[k], _CORNERS[(k + 1) % 4]
            is_corner = (points[:, 0] == x * size) & (points[:, 1] == y * size)
            found[is_corner] = min(self.face[places[k]], self.face[places[k] - 1])
            axis = 0 if x == following[0] else 1
            on_side = (points[:, axis] == (x, y)[axis] * size) & (
                np.abs(points[:, 1 - axis]) < size
            )
            end = places[k + 1] if k < 3 else len(self.cycle)
            leaving = self.cycle[places[k] + 1 : end]
            faces = np.array(self.face[places[k] : end])
            found[on_side] = self._between(points[on_side], leaving, faces)
        return found

    def _between(self, points: FloatArray, leaving: list[int], faces: IntArray) -> IntArray:
        """The faces of points between lines that leave through one side, in their order."""
        low = np.zeros(len(points), dtype=np.int64)  # so many lines are certainly before a point
        high = np.full(len(points), len(leaving))
        is_on = np.zeros(len(points), dtype=np.bool_)
        while (is_open := np.flatnonzero((low < high) & ~is_on)).size:
            middle = (low[is_open] + high[is_open]) // 2
            sign = self._signs(np.array(leaving)[middle], points[is_open])
            low[is_open] = np.where(sign > 0, middle + 1, low[is_open])
            high[is_open] = np.where(sign < 0, middle, high[is_open])
            is_on[is_open[sign == 0]] = True
            low[is_open[sign == 0]] = middle[sign == 0]
        across = faces[np.minimum(low + 1, len(faces) - 1)]
        return np.where(is_on, np.minimum(faces[low], across), faces[low])

    def _signs(self, leaving: IntArray, points: FloatArray) -> IntArray:
        """Whether points are on the left (1), on the right (-1) of lines that leave, or on them."""
        part = self.part
        inner = np.array([self.inner_end[v] for v in leaving.tolist()])
        table = np.concatenate([part.vertex_xy, part.vertex_error], axis=1)
        with np.errstate(all="ignore"):
            sign = location.side_signs(table[inner], table[leaving], points)
        for i in np.flatnonzero(sign == 0).tolist():
            p, q = self.ends[int(leaving[i])]
            turn = exact.orientation(q, p, exact.point(*points[i].tolist()))
            sign[i] = (turn > 0) - (turn < 0)
        return sign

    # -- pictures ------------------------------------------------------------------------------

    def shown(self) -> Partition:
        """What a box around all finite vertices shows, as a partition of that box."""
        part = self.part
        centre, half = self._frame()
        low, high = (tuple(Fraction(float(c + s * half)) for c in centre) for s in (-1, 1))
        exits = [v for v in self.cycle if v in self.inner_end]
        places = [self._leaves_through(v, low, high) for v in exits]
        n_fixed, fixed = part.n_vertices, ~part.vertex_is_infinite

        # Exits and corners in their order along the border, from the lower left corner.
        at_exit = dict(zip(places, exits, strict=True))
        box = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        new_corner = {
            (k, Fraction(0)): n_fixed + k for k in range(4) if (k, Fraction(0)) not in at_exit
        }
        new_at = at_exit | new_corner
        border = [new_at[place] for place in sorted(new_at)]
        first = next((i for i, v in enumerate(border) if v < n_fixed), 0)
        border = border[first:] + border[:first]

        # Every stretch between two exits, with the corners in it, belongs to one face.
        stretch: dict[int, list[int]] = {}
        border_faces = []
        owner = dict(zip(self.cycle, self.face, strict=True))
        mine: list[int] = []
        face = self.face[0]
        for v in border:
            if v < n_fixed:
                mine, face = stretch.setdefault(v, []), owner[v]
            else:
                mine.append(v)
            border_faces.append(face)
        whole = [v for v in border if v >= n_fixed] if not exits else []

        exact_new = {v: _triple(*box[v - n_fixed]) for v in new_corner.values()}
        exact_new |= {v: _triple(*_at(place, low, high)) for place, v in at_exit.items()}
        used = np.append(fixed, np.zeros(4, dtype=np.bool_))
        used[border] = True
        number = np.cumsum(used) - 1
        xy = np.concatenate([part.vertex_xy, np.zeros((4, 2))])
        error = np.concatenate([part.vertex_error, np.zeros((4, 2))])
        for v, (x, y, w) in exact_new.items():
            xy[v] = exact.rounded(x, w), exact.rounded(y, w)
        moved = list(exact_new)
        error[moved] = exact.rounding_error(xy[moved])

        cycles = []
        for f in range(part.n_faces):
            cycle = part.face(f)
            if part.face_is_unbounded[f]:
                cycles.append(number[self._outline(cycle.tolist(), owner, f, stretch, whole)])
            else:
                cycles.append(number[cycle])
        inner = part.is_inner
        ends = np.array([border, border[1:] + border[:1]]).T
        n_inner, n_border = int(inner.sum()), len(border)
        edge_faces = np.full((n_inner + n_border, 2), -1, dtype=np.int32)
        edge_faces[:n_inner] = part.edge_faces[inner]
        edge_faces[n_inner:, 0] = border_faces
        return replace(
            part,
            domain=Domain(np.array([[float(x), float(y)] for x, y in box])),
            vertex_xy=xy[used],
            vertex_error=error[used],
            vertex_exact=Moved(
                part.vertex_exact,
                np.flatnonzero(used),
                {int(number[v]): triple for v, triple in exact_new.items()},
            ),
            edge_vertices=number[np.concatenate([part.edge_vertices[inner], ends])],
            edge_faces=edge_faces,
            edge_unit=np.append(part.edge_unit[inner], np.full(n_border, -1, dtype=np.int32)),
            face_offsets=np.cumsum([0, *map(len, cycles)]),
            face_vertices=np.concatenate(cycles),
        )  # fmt: skip

    def _outline(
        self,
        cycle: list[int],
        owner: dict[int, int],
        f: int,
        stretch: dict[int, list[int]],
        whole: list[int],
    ) -> list[int]:
        """The corners of an unbounded face, those of the box at infinity replaced by new ones."""
        outline = list(whole)
        for v in cycle:
            if v in self.inner_end:
                outline.append(v)
                # The border goes on from here along this face, or came to here along it.
                if owner[v] == f:
                    outline += stretch[v]
            elif v not in owner:
                outline.append(v)
        return outline

    def _frame(self) -> tuple[FloatArray, float]:
        """The middle and the half-width of a square around all that is not at infinity."""
        part = self.part
        near = [part.vertex_xy[~part.vertex_is_infinite]]
        infinite = part.vertex_is_infinite
        lines = [v for v, u in self.inner_end.items() if infinite[u]]
        near += [self._next_to_origin(v)[None] for v in lines]
        points = np.concatenate(near)
        if not len(points):
            return np.zeros(2), 1.0
        low, high = points.min(axis=0), points.max(axis=0)
        centre = low / 2 + high / 2
        half = float((high / 2 - low / 2).max()) * (1 + _MARGIN)
        size = float(np.abs(points).max())
        if half <= size * 2.0**-20:  # a point, or as good as one
            half = size * _MARGIN or 1.0
        return centre, half

    def _leaves_through(
        self, v: int, low: tuple[Fraction, ...], high: tuple[Fraction, ...]
    ) -> tuple[int, Fraction]:
        """Where a line leaves a box that holds its last vertex: side and place along it."""
        way = self.way(v)
        p, q = self.ends[v]
        is_line = bool(self.part.vertex_is_infinite[self.inner_end[v]])
        start = _foot(p, q) if is_line else exact.to_fractions(q)
        far = [
            ((high if d > 0 else low)[axis] - start[axis]) / d if d else None
            for axis, d in enumerate(way)
        ]
        x_far, y_far = far
        if y_far is None or (x_far is not None and x_far <= y_far):
            assert x_far is not None
            y = start[1] + x_far * way[1]
            if x_far == y_far:  # through a corner
                return _CORNERS.index((1 if way[0] > 0 else -1, 1 if way[1] > 0 else -1)), Fraction(
                    0
                )
            return (1, y - low[1]) if way[0] > 0 else (3, high[1] - y)
        x = start[0] + y_far * way[0]
        return (0, x - low[0]) if way[1] < 0 else (2, high[0] - x)


def _at(
    place: tuple[int, Fraction], low: tuple[Fraction, ...], high: tuple[Fraction, ...]
) -> tuple[Fraction, Fraction]:
    """The point at a place on the border of a box."""
    side, along = place
    return (
        (low[0] + along, low[1]),
        (high[0], low[1] + along),
        (high[0] - along, high[1]),
        (low[0], high[1] - along),
    )[side]


def _foot(p: Triple, q: Triple) -> tuple[Fraction, Fraction]:
    """The point next to the origin of the line through two points."""
    a, b, c = exact.cross(p, q)
    square = a * a + b * b
    return Fraction(-a * c, square), Fraction(-b * c, square)


def _triple(x: Fraction, y: Fraction) -> Triple:
    return exact.meet((x.denominator, 0, -x.numerator), (0, y.denominator, -y.numerator))


class Moved(Sequence[Triple]):
    """Some of the exact vertices of a partition, and others in place of some.

    Parameters
    ----------
    exactly : sequence of triples
    chosen : (V,) int64
        Which of them.
    moved : dict
        By their new numbers, those that are others.
    """

    def __init__(
        self, exactly: Sequence[Triple], chosen: IntArray, moved: dict[int, Triple]
    ) -> None:
        self._exactly, self._chosen, self._moved = exactly, chosen, moved

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, i: int) -> Triple: ...
    @overload
    def __getitem__(self, i: slice) -> tuple[Triple, ...]: ...
    def __getitem__(self, i: int | slice) -> Triple | tuple[Triple, ...]:
        if isinstance(i, slice):
            return tuple(self[v] for v in range(len(self))[i])
        v = range(len(self))[i]
        return self._moved[v] if v in self._moved else self._exactly[int(self._chosen[v])]

    def __iter__(self) -> Iterator[Triple]:
        return (self[v] for v in range(len(self)))
