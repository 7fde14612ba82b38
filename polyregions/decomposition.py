"""Cutting polygons into convex ones along diagonals, exactly.

A polygon of any kind, with holes or in several parts, is given by its sides, each with the inside
on its left. Three steps, all decided by the signs of exact determinants:

1. a sweep from left to right cuts it into trapezoids, and every trapezoid whose two vertices do not
   share a side gets the diagonal between them. That leaves *mountains*, polygons between one edge
   and a chain that goes steadily from its one end to its other (Fournier and Montuno 1984;
   Chazelle and Incerpi 1984);
2. mountains are cut into triangles, by a stack;
3. diagonals are taken out again, the longest first, as long as all faces stay convex (Hertel and
   Mehlhorn 1983), which leaves at most four times as many faces as are needed.

The sweep also finds out whether sides cross or overlap, or the inside is not on their left.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cmp_to_key
from itertools import pairwise
from typing import Any, TypeAlias

from polyregions.exact import Triple, orientation, to_fractions

Pair: TypeAlias = tuple[int, int]


class CrossingError(ValueError):
    """Sides cross or overlap, or the inside is not on the left of all of them."""

    def __init__(self, point: Triple) -> None:
        self.x, self.y = map(float, to_fractions(point))
        super().__init__(f"sides cross or overlap near ({self.x:g}, {self.y:g})")


def convex_faces(points: Sequence[Triple], sides: Iterable[Pair]) -> list[list[int]]:
    """Cut a polygon into strictly convex faces, along diagonals between its vertices.

    Parameters
    ----------
    points : sequence of triples of int
        Distinct points, as in `polyregions.exact`.
    sides : iterable of pairs of int
        The sides of the polygon by the points they start and end at, with the inside on the left.
        A point in the middle of a side counts as one that it goes through. Sides on one line may
        follow each other; then a diagonal starts where they meet.

    Returns
    -------
    list of lists of int
        The points of each face, counter-clockwise from its least one by x, then y. The faces are
        in an order that depends on nothing but the points and sides as sets.

    Raises
    ------
    CrossingError
        If the sides are not those of a polygon.

    Notes
    -----
    The time grows with n log n for n sides.

    Examples
    --------
    >>> from polyregions.decomposition import convex_faces
    >>> corners = [(0, 0, 1), (2, 0, 1), (2, 1, 1), (1, 1, 1), (1, 2, 1), (0, 2, 1)]  # an L
    >>> convex_faces(corners, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)])
    [[0, 3, 4, 5], [0, 1, 2, 3]]
    """
    order = sorted(range(len(points)), key=lambda i: to_fractions(points[i]))
    rank = {i: r for r, i in enumerate(order)}
    ordered = [points[i] for i in order]
    split, diagonals = _sweep(ordered, [(rank[a], rank[b]) for a, b in sides])
    faces = _without_needless(ordered, _triangles(ordered, split, diagonals), split)
    return [[order[v] for v in face] for face in faces]


@dataclass(eq=False)
class _Edge:
    """A side in the sweep, from its left end to its right one."""

    low: int
    high: int
    has_inside_above: bool
    left: int = -1  # vertex at which the trapezoid above begins


def _sweep(points: Sequence[Triple], sides: Iterable[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Sides, split where a point lies on them, and the diagonals of trapezoids.

    Points are in order by x, then y: seen so, no side is vertical, as if the plane were sheared a
    little. Edges that the sweep line meets are kept from bottom to top.
    """
    starting: list[list[_Edge]] = [[] for _ in points]
    for a, b in sides:
        starting[min(a, b)].append(_Edge(min(a, b), max(a, b), has_inside_above=a < b))
    split: list[Pair] = []
    diagonals: list[Pair] = []
    met: list[_Edge] = []
    for v, point in enumerate(points):

        def turn(edge: _Edge, point: Triple = point) -> int:
            # Negative below the edge, so that it increases from top to bottom.
            return -orientation(points[edge.low], points[edge.high], point)

        begin = bisect_left(met, 0, key=turn)
        end = bisect_right(met, 0, key=turn)
        ending, new = met[begin:end], starting[v]
        for edge in ending:
            if edge.high != v:
                new.append(_Edge(v, edge.high, edge.has_inside_above))
                edge.high = v
            split.append((edge.low, v) if edge.has_inside_above else (v, edge.low))
        # Trapezoids that end here: between the edges that do, and beside them.
        for lower, upper in pairwise(met[max(begin - 1, 0) : end + 1]):
            if lower.has_inside_above:
                left = lower.left
                if (left, v) not in ((lower.low, lower.high), (upper.low, upper.high)):
                    diagonals.append((left, v))
        new.sort(key=_by_angle(points, v, lambda edge: edge.high))
        met[begin:end] = new
        around = met[max(begin - 1, 0) : begin + len(new) + 1]
        for edge in around[:-1]:
            edge.left = v
        _check_around(points, v, around, met)
    return split, diagonals


def _check_around(
    points: Sequence[Triple], v: int, around: Sequence[_Edge], met: Sequence[_Edge]
) -> None:
    """That edges beside each other around a new vertex do not cross, and have insides in turn."""
    if met and not (met[0].has_inside_above and not met[-1].has_inside_above):
        raise CrossingError(points[v])
    for lower, upper in pairwise(around):
        if lower.has_inside_above == upper.has_inside_above:
            raise CrossingError(points[v])
        if lower.low == upper.low:
            ends = points[lower.low], points[lower.high], points[upper.high]
            if orientation(*ends) <= 0:
                raise CrossingError(points[v])
        if lower.high < upper.high:
            if orientation(points[upper.low], points[upper.high], points[lower.high]) > 0:
                raise CrossingError(points[v])
        elif orientation(points[lower.low], points[lower.high], points[upper.high]) < 0:
            raise CrossingError(points[v])


def _by_angle(points: Sequence[Triple], v: int, end: Callable[[Any], int]) -> Callable[[Any], Any]:
    """A key to sort edges from v counter-clockwise that lie within half a turn."""

    def compare(e: Any, f: Any) -> int:
        return -orientation(points[v], points[end(e)], points[end(f)])

    return cmp_to_key(compare)


def _triangles(
    points: Sequence[Triple], sides: Sequence[Pair], diagonals: Sequence[Pair]
) -> list[tuple[int, int, int]]:
    """Cut what the diagonals leave into triangles."""
    around = _neighbours(points, [*sides, *diagonals])
    place = [{u: i for i, u in enumerate(near)} for near in around]
    todo = dict.fromkeys([*sides, *diagonals, *((b, a) for a, b in diagonals)])
    triangles = []
    while todo:
        (a, b), _ = todo.popitem()
        cycle = [a]
        while b != cycle[0]:
            cycle.append(b)
            a, b = b, around[b][place[b][a] - 1]
            del todo[a, b]
        triangles += _mountain(points, cycle)
    return triangles


def _neighbours(points: Sequence[Triple], edges: Iterable[Pair]) -> list[list[int]]:
    """The other ends of all edges at each point, counter-clockwise."""
    above: list[list[int]] = [[] for _ in points]
    below: list[list[int]] = [[] for _ in points]
    for a, b in edges:
        above[min(a, b)].append(max(a, b))
        below[max(a, b)].append(min(a, b))
    for v in range(len(points)):
        by_angle = _by_angle(points, v, int)
        above[v].sort(key=by_angle)
        below[v].sort(key=by_angle)
    return [a + b for a, b in zip(above, below, strict=True)]


def _mountain(points: Sequence[Triple], cycle: list[int]) -> list[tuple[int, int, int]]:
    """Triangles of a polygon with one edge from its least to its greatest point.

    ::

              x---x             Going along the chain, every point that sticks out is cut off, and
            /      \\  x         then perhaps the one before it. What is left in the end is the
           /        \\/ \\        edge.
          x--------------x
    """
    start = cycle.index(min(cycle))
    cycle = cycle[start:] + cycle[:start]
    is_above = cycle[1] == max(cycle)
    chain = [cycle[0], *reversed(cycle[1:])] if is_above else cycle
    triangles = []
    stack: list[int] = []
    for v in chain:
        while len(stack) > 1:
            turn = orientation(points[stack[-2]], points[stack[-1]], points[v])
            if turn * (-1 if is_above else 1) <= 0:
                break
            corner = stack.pop()
            triangle = (stack[-1], v, corner) if is_above else (stack[-1], corner, v)
            triangles.append(triangle)
        stack.append(v)
    assert len(stack) == 2, "a polygon that is no mountain"
    return triangles


def _without_needless(
    points: Sequence[Triple], triangles: Sequence[tuple[int, int, int]], sides: Sequence[Pair]
) -> list[list[int]]:
    """Join triangles as long as they are convex together."""
    after: dict[Pair, Pair] = {}
    for a, b, c in triangles:
        after |= {(a, b): (b, c), (b, c): (c, a), (c, a): (a, b)}
    before = {there: here for here, there in after.items()}
    outside = set(sides)
    inner = [(a, b) for a, b in after if a < b and (a, b) not in outside and (b, a) not in outside]
    for a, b in sorted(inner, key=lambda edge: _length(points, edge), reverse=True):
        # The edges before and behind it, around the faces on both sides.
        p, q = before[a, b], after[a, b]
        r, s = before[b, a], after[b, a]
        if (
            orientation(points[p[0]], points[a], points[s[1]]) > 0
            and orientation(points[r[0]], points[b], points[q[1]]) > 0
        ):
            after[p], before[s] = s, p
            after[r], before[q] = q, r
            for edge in ((a, b), (b, a)):
                del after[edge], before[edge]
    faces: list[list[int]] = []
    todo = dict.fromkeys(sorted(after))
    while todo:
        first = edge = next(iter(todo))
        face = []
        while True:
            del todo[edge]
            face.append(edge[0])
            edge = after[edge]
            if edge == first:
                break
        faces.append(face)
    return faces


def _length(points: Sequence[Triple], edge: Pair) -> tuple[Fraction, Pair]:
    """The squared length, and the edge for those of one length."""
    (ax, ay), (bx, by) = (to_fractions(points[v]) for v in edge)
    return (ax - bx) ** 2 + (ay - by) ** 2, edge
