"""Exact point location in a planar complex of convex faces.

Three stages, each for what the one before leaves open:

1. a walk from face to face for each point, with signs in float64 where those are certain;
2. from where that ended, further steps with exact signs, for points that are on an edge or a
   vertex, or as near to one as rounding errors;
3. comparison with every face whose bounding box holds the point.

A few points on a few faces go through the third stage alone, which needs no compiled code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import gcd
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyregions import cycles, exact
from polyregions.exact import Triple
from polyregions.float64 import TINY, U
from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from shapely import STRtree

    from polyregions.walking import Walker

BoolArray: TypeAlias = NDArray[np.bool_]
ObjectArray: TypeAlias = NDArray[np.object_]

# Unit roundoff of float64, and a number below which products may have lost bits to underflow.
# Coordinates between these powers of two are computed with as they are.
_ORDINARY = 400
# Pairs of points and faces up to which all are compared, without compiled code.
_FEW_PAIRS = 1 << 17
# Pairs of points and boxes compared at once, and up to which no tree is made for them.
_PAIRS_AT_ONCE = 1 << 20
_PAIRS_WITHOUT_TREE = 1 << 22
_POINTS_AT_ONCE = 1 << 10
# Points settled by exact signs at once.
_UNSETTLED_AT_ONCE = 1 << 17
# Steps with exact signs that points on edges and vertices may take.
_FEW_STEPS = 8
# Instead of a face, where a walk with exact signs ends.
_BEYOND, _LOST = -1, -2


class Locator:
    """Finds the face that holds a point.

    Parameters
    ----------
    vertex_xy, vertex_error : (V, 2) float64
        Coordinates of the vertices, and bounds on their errors.
    vertex_exact : sequence of V integer triples
        Asked only for the ends of sides on which float64 leaves a sign open.
    face_offsets : (F + 1,) int32
    face_vertices : int32
        The vertices of all faces, which are convex and counter-clockwise.
    corners : (K, 2) float64
        The exact corners of the domain, counter-clockwise if it is convex.
    ring_offsets : (R + 1,) int32, optional
        Where the corners of each ring of the domain begin, if it is not convex.
    """

    def __init__(
        self,
        vertex_xy: FloatArray,
        vertex_error: FloatArray,
        vertex_exact: Sequence[Triple],
        face_offsets: IntArray,
        face_vertices: IntArray,
        corners: FloatArray,
        *,
        ring_offsets: IntArray | None = None,
    ) -> None:
        self._ring_offsets = ring_offsets
        self._exact = vertex_exact
        self._xy, self._error = vertex_xy, vertex_error
        self._offsets, self._start = face_offsets, face_vertices
        # Rows of x, y and bounds on their errors, in a scale in which products do neither
        # overflow nor underflow. What is lost to that in scaling is far below TINY.
        _, exponent = np.frexp(np.abs(corners).max(axis=0))
        self._scaling = np.where(np.abs(exponent) > _ORDINARY, -exponent, 0)
        self._table = np.concatenate([self._scaled(vertex_xy), self._scaled(vertex_error)], axis=1)
        self._corners = np.concatenate([self._scaled(corners), np.zeros_like(corners)], axis=1)

    def _scaled(self, xy: FloatArray) -> FloatArray:
        if not self._scaling.any():
            return xy
        with np.errstate(over="ignore", under="ignore"):
            return np.ldexp(xy, self._scaling)

    def locate(self, points: FloatArray) -> IntArray:
        """Lowest face holding each of `points`, (N, 2); -1 where none does."""
        points = np.ascontiguousarray(points)
        if len(points) * (len(self._offsets) - 1) <= _FEW_PAIRS:
            found = np.full(len(points), -1, dtype=np.int64)
            finite = np.flatnonzero(np.isfinite(points).all(axis=1))
            found[finite] = self._compare(points[finite])
            return found
        found = self._walker.walk(self._scaled(points))
        unsettled = np.flatnonzero(found < -1)
        for begin in range(0, len(unsettled), _UNSETTLED_AT_ONCE):
            some = unsettled[begin : begin + _UNSETTLED_AT_ONCE]
            found[some] = self._settle(points[some], -2 - found[some])
        return found

    @cached_property
    def _walker(self) -> Walker:
        from polyregions.walking import Walker

        return Walker(self._table, self._corners, self._offsets, self._start, self._ring_offsets)

    # -- exact steps ---------------------------------------------------------------------------

    def _settle(self, points: FloatArray, face: IntArray) -> IntArray:
        """Find some points by exact signs, each from a face that is near."""
        points, copies = _distinct(points)
        nearest = np.empty(len(points), dtype=np.int64)
        nearest[copies] = face
        found, nearest = self._exact_walk(points, nearest, _FEW_STEPS)
        # Where many vertices are closer to each other than their errors, what float64 offers as
        # near may be far. Then walk to a few points first, and from each to those around it.
        lost = np.flatnonzero(found == _LOST)
        lost = lost[self._walker.order(self._scaled(points[lost]))]
        most = max(64, len(self._offsets) // 8)
        reached = np.zeros(len(lost), dtype=np.bool_)
        for stride in (4096, 256, 16, 1):
            here = np.arange(0, len(lost), stride)
            here = here[~reached[here]]
            before = here // (16 * stride) * (16 * stride)
            guide = found[lost[before]]
            start = np.where(reached[before] & (guide >= 0), guide, nearest[lost[here]])
            found[lost[here]], _ = self._exact_walk(points[lost[here]], start, most)
            reached[here] = True
        left = np.flatnonzero(found < 0)
        found[left] = self._compare(points[left])
        return found[copies]

    def _exact_walk(
        self, points: FloatArray, face: IntArray, most: int
    ) -> tuple[IntArray, IntArray]:
        """Walk on with exact signs, from a face for each point.

        A point with no side of a convex face on its right is in the closed face. If it is on one
        side, the face across holds it too, and no other; if it is on two, it is a vertex.

        Returns
        -------
        found : (N,) int64
            The lowest face of each point; _BEYOND if the walk left the complex, _LOST if it did
            not end within `most` steps.
        face : (N,) int64
            Where each walk ended.
        """
        found = np.full(len(points), _LOST, dtype=np.int64)
        last = face.copy()
        at = np.arange(len(points))
        for step in range(most):
            if not len(at):
                break
            side, begin = self._sides(face)
            row = np.repeat(np.arange(len(face)), np.diff(begin, append=len(side)))
            sign = self._signs(side, begin, row, points[at])
            crossed = np.minimum.reduceat(sign, begin) < 0
            is_on = (sign == 0) & ~crossed[row]
            on = np.flatnonzero(is_on)
            n_on = np.add.reduceat(is_on.astype(np.int64), begin)
            inside = ~crossed & (n_on == 0)
            found[at[inside]] = face[inside]
            one = on[n_on[row[on]] == 1]
            here, across = face[row[one]], self._across(side[one])
            found[at[row[one]]] = np.where(across < 0, here, np.minimum(here, across))
            two = on[n_on[row[on]] == 2].reshape(-1, 2)
            vertex = self._common_vertex(side[two])
            lowest = np.where(vertex < 0, _BEYOND, self._lowest_face[vertex])
            found[at[row[two[:, 0]]]] = lowest
            found[at[~crossed & (n_on > 2)]] = _BEYOND  # faces are not convex; compare them all

            # Of the sides on the wrong hand, now this one and now that, against going in circles.
            wrong = np.flatnonzero(sign < 0)
            which, first, count = np.unique(row[wrong], return_index=True, return_counts=True)
            across = self._across(side[wrong[first + step % count]])
            found[at[which[across < 0]]] = _BEYOND
            at, face = at[which[across >= 0]], across[across >= 0]
            last[at] = face
        return found, last

    def _signs(
        self, side: IntArray, begin: IntArray, row: IntArray, points: FloatArray
    ) -> IntArray:
        """Exact signs of points with respect to all sides of a face each.

        Where one of a face's sides is certainly on the wrong hand, the others may stay open (0).
        """
        start, end = self._end_vertices(side)
        sign = side_signs(self._table[start], self._table[end], self._scaled(points)[row])
        wrong = np.minimum.reduceat(sign, begin) < 0
        is_open = np.flatnonzero((sign == 0) & ~wrong[row])
        sign[is_open] = self._exact_signs(side[is_open], points[row[is_open]])
        return sign

    def _across(self, side: IntArray) -> IntArray:
        """The face across a side; -1 where there is none."""
        twin = self._walker.twin[side]
        face: IntArray = np.where(twin < 0, -1, self._walker.side_face[twin]).astype(np.int64)
        return face

    def _common_vertex(self, pairs: IntArray) -> IntArray:
        """The vertex in which two sides of one face, in order, meet; -1 where they do not."""
        (_, first_end), (second, second_end) = (self._end_vertices(s) for s in pairs.T)
        first = self._start[pairs[:, 0]]
        vertex: IntArray = np.where(
            first_end == second, second, np.where(second_end == first, first, -1)
        )
        return vertex

    @cached_property
    def _lowest_face(self) -> IntArray:
        """The lowest face at each vertex."""
        face = np.repeat(np.arange(len(self._offsets) - 1), np.diff(self._offsets))
        lowest = np.full(len(self._xy), -1, dtype=np.int64)
        lowest[self._start[::-1]] = face[::-1]  # of several, the last one stays
        return lowest

    # -- all faces -----------------------------------------------------------------------------

    def _compare(self, points: FloatArray) -> IntArray:
        """Lowest of all faces that hold each of some finite points; -1 where none does.

        The true corners of a face lie in the boxes that their error bounds make, and a point of
        the face in the box around those.
        """
        nowhere = len(self._offsets)  # larger than every index, for the minimum below
        found = np.full(len(points), nowhere, dtype=np.int64)
        for which, face in self._candidates(points):
            side, begin = self._sides(face)
            row = np.repeat(np.arange(len(face)), np.diff(begin, append=len(side)))
            sign = self._signs(side, begin, row, points[which])
            holds = np.minimum.reduceat(sign, begin) >= 0
            np.minimum.at(found, which[holds], face[holds])
        found[found == nowhere] = -1
        return found

    def _candidates(self, points: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
        """Pairs of a point and a face whose box holds it, some at a time."""
        low, high = self._boxes
        n_faces = len(low)
        if "_tree" in vars(self) or len(points) * n_faces > _PAIRS_WITHOUT_TREE:
            from shapely import points as point_objects

            for begin in range(0, len(points), _POINTS_AT_ONCE):
                chunk = point_objects(points[begin : begin + _POINTS_AT_ONCE])
                which, face = self._tree.query(chunk, predicate=None)
                for pair in range(0, len(which), _PAIRS_AT_ONCE):
                    some = slice(pair, pair + _PAIRS_AT_ONCE)
                    yield begin + which[some], face[some]
            return
        step = max(1, _PAIRS_AT_ONCE // n_faces)
        for begin in range(0, len(points), step):
            x, y = points[begin : begin + step, None].transpose(2, 0, 1)
            inside = (low[:, 0] <= x) & (x <= high[:, 0]) & (low[:, 1] <= y) & (y <= high[:, 1])
            which, face = np.nonzero(inside)
            if len(which):
                yield begin + which, face

    @cached_property
    def _boxes(self) -> tuple[FloatArray, FloatArray]:
        """Boxes around the faces, rounded outward."""
        largest = np.finfo(np.float64).max
        with np.errstate(over="ignore"):
            low = np.nextafter(self._xy - self._error, -np.inf)[self._start]
            high = np.nextafter(self._xy + self._error, np.inf)[self._start]
        low = np.minimum.reduceat(low, self._offsets[:-1], axis=0)
        high = np.maximum.reduceat(high, self._offsets[:-1], axis=0)
        return np.maximum(low, -largest), np.minimum(high, largest)

    @cached_property
    def _tree(self) -> STRtree:
        import shapely

        low, high = self._boxes
        return shapely.STRtree(shapely.box(*low.T, *high.T))

    # -- sides and their signs -----------------------------------------------------------------

    def _sides(self, face: IntArray) -> tuple[IntArray, IntArray]:
        """The sides of some faces, and where those of each begin."""
        size = self._offsets[face + 1] - self._offsets[face]
        begin = np.cumsum(size) - size
        side = np.arange(size.sum()) - np.repeat(begin - self._offsets[face], size)
        return side, begin

    @cached_property
    def _end(self) -> IntArray:
        """The vertex in which each side ends."""
        return cycles.sides(self._offsets, self._start)[1]

    def _end_vertices(self, side: IntArray) -> tuple[IntArray, IntArray]:
        return self._start[side], self._end[side]

    def _exact_signs(self, side: IntArray, points: FloatArray) -> IntArray:
        """Signs of finite points with respect to sides, in integers."""
        used, row = np.unique(side, return_inverse=True)
        lines = np.empty((len(used), 3), dtype=object)
        for i, (start, end) in enumerate(zip(*self._end_vertices(used), strict=True)):
            line = exact.cross(self._exact[int(start)], self._exact[int(end)])
            common = gcd(*line)
            lines[i] = [v // common for v in line]
        x, y, w = _integers(points)
        z = lines[row, 0] * x + lines[row, 1] * y + lines[row, 2] * w
        sign: IntArray = (z > 0).astype(np.int64) - (z < 0).astype(np.int64)
        return sign


def side_signs(a: FloatArray, b: FloatArray, p: FloatArray) -> IntArray:
    """Certain signs of the orientation of (a, b, p); 0 where float64 cannot tell.

    Parameters
    ----------
    a, b : (N, 4) float64
        Computed points with bounds on the errors of their coordinates.
    p : (N, 2) float64
        Exact points.

    Notes
    -----
    Wanted is the sign of ``D_x E_y - D_y E_x`` with D = A - p, E = B - p, where A and B are the
    true points. Let d and e be the differences computed from a and b, u the unit roundoff and
    r = error bound of a + u |d|; then ``|d - D| <= r`` in each coordinate, and s likewise bounds
    the errors of e. Hence the first product is off by at most

        |d_x| s_y + r_x |e_y| + r_x s_y,

    which is the same with the error bounds of a and b in place of r and s, times 1 + 2u, plus
    ``(2u + u^2) |d_x e_y|``. The second is treated alike. Rounding the products and their
    difference adds less than 2u + u^2 times the sum of the products' sizes, so 8u times it covers
    all that is not an input's error. The last factor is for the roundings of the bound itself,
    the last term for underflow.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        d, e = a[:, :2] - p, b[:, :2] - p
        first, second = d[:, 0] * e[:, 1], d[:, 1] * e[:, 0]
        d, e = np.abs(d), np.abs(e)
        moved = (
            d[:, 0] * b[:, 3]
            + a[:, 2] * (e[:, 1] + b[:, 3])
            + d[:, 1] * b[:, 2]
            + a[:, 3] * (e[:, 0] + b[:, 2])
        )
        products = np.abs(first) + np.abs(second)
        bound = (moved + 8 * U * products) * (1 + 32 * U) + TINY
        value = first - second
        return (value > bound).astype(np.int64) - (value < -bound).astype(np.int64)


def _distinct(points: FloatArray) -> tuple[FloatArray, IntArray]:
    """Different points among `points`, and for each of `points` the index of its like."""
    order = np.lexsort(points.T)
    is_new = np.ones(len(points), dtype=np.bool_)
    is_new[1:] = (points[order[1:]] != points[order[:-1]]).any(axis=1)
    copies = np.empty(len(points), dtype=np.int64)
    copies[order] = np.cumsum(is_new) - 1
    return points[order[is_new]], copies


def _integers(points: FloatArray) -> tuple[ObjectArray, ObjectArray, ObjectArray]:
    """Integers X, Y and W > 0 with ``(X / W, Y / W)`` equal to finite points, as Python's own."""
    fraction, exponent = np.frexp(points)
    digits: Any = (fraction * 2.0**53).astype(np.int64).astype(object)
    power = exponent.astype(np.int64) - 53
    shift = np.maximum(-power.min(axis=1), 0)
    xy = digits << (power + shift[:, None]).astype(object)
    one: Any = np.ones(len(points), dtype=np.int64).astype(object)
    return xy[:, 0], xy[:, 1], one << shift.astype(object)
