"""Domains that are not convex: polygons with dents, holes, or in several parts."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from polyregions import exact
from polyregions.decomposition import CrossingError, convex_faces
from polyregions.domain import Domain, Tiling, _shoelace
from polyregions.network import FloatArray, IntArray, exact_float64

Corner: TypeAlias = tuple[float, float]


class PolygonDomain(Domain):
    """A polygon that need not be convex, perhaps with holes, or several of them.

    Parameters
    ----------
    xy : (K, 2) array_like of float
        The corners of all rings, one after the other, with the domain on the left: outer rings
        counter-clockwise, holes clockwise. Corners that are none are left out; where another ring
        touches a side, there is one more.
    ring_offsets : (R + 1,) array_like of int
        Ring r has the corners ``xy[ring_offsets[r]:ring_offsets[r + 1]]``.
    faces : sequence of sequences of int, optional
        Strictly convex faces that fill the domain, by its distinct corners in the order of `xy`,
        for engines to start from; unless given they are found.

    Attributes
    ----------
    xy : (K, 2) float64
    ring_offsets : (R + 1,) int32

    Raises
    ------
    ValueError
        If coordinates are not finite, or rings cross, overlap or have the domain on their right.

    Examples
    --------
    >>> import polyregions as pr
    >>> from shapely import box
    >>> part = pr.partition([([[1, 1]], [0]), ([[1]], [0])], box(-2, -2, 2, 2) - box(-1, -1, 1, 1))
    >>> part.domain
    polygon with 8 corners and a hole
    >>> part.domain.exact_area, part.count().activation_regions
    (Fraction(12, 1), 2)
    """

    is_convex = False
    _ring_offsets: IntArray
    _faces: list[list[int]]

    def __init__(
        self, xy: Any, ring_offsets: Any, *, faces: Sequence[Sequence[int]] | None = None
    ) -> None:
        corners = exact_float64(xy, "domain")
        offsets = np.asarray(ring_offsets)
        if corners.ndim != 2 or corners.shape[1] != 2:
            raise ValueError(f"domain must have corners of shape (K, 2), got {corners.shape}")
        if (
            offsets.ndim != 1
            or offsets.dtype.kind not in "iu"
            or len(offsets) < 2
            or offsets[0] != 0
            or offsets[-1] != len(corners)
            or (np.diff(offsets) < 1).any()
        ):
            raise ValueError(
                f"ring_offsets must increase from 0 to {len(corners)}, the number of corners"
            )
        rings = [
            [(x + 0.0, y + 0.0) for x, y in ring.tolist()]
            for ring in np.split(corners, offsets[1:-1])
        ]
        rings, distinct, found = _decomposed(rings) if faces is None else _as_told(rings, faces)
        table = np.array([corner for ring in rings for corner in ring])
        table.flags.writeable = False
        begin = np.cumsum([0, *map(len, rings)], dtype=np.int32)
        begin.flags.writeable = False
        object.__setattr__(self, "xy", table)
        object.__setattr__(self, "_ring_offsets", begin)
        object.__setattr__(self, "_faces", found)
        object.__setattr__(self, "tiling", Tiling.of(np.array(distinct), found))

    @staticmethod
    def of(geometry: Any) -> PolygonDomain:
        """Read a shapely.Polygon or MultiPolygon.

        Raises
        ------
        ValueError
            If it is empty or not valid, for the reason that shapely gives.
        """
        import shapely

        polygons = [p for p in getattr(geometry, "geoms", [geometry]) if not p.is_empty]
        if not polygons:
            raise ValueError("domain is an empty polygon")
        rings: list[FloatArray] = []
        for polygon in polygons:
            for is_hole, ring in enumerate([[polygon.exterior], polygon.interiors]):
                for line in ring:
                    xy = exact_float64(np.asarray(line.coords)[:, :2], "domain")
                    clockwise = _shoelace([(x, y) for x, y in xy.tolist()]) < 0
                    rings.append(xy if clockwise == bool(is_hole) else xy[::-1])
        if not shapely.is_valid(geometry):
            raise ValueError(
                f"domain is not a valid polygon: {shapely.is_valid_reason(geometry)}; "
                "shapely.make_valid may repair it"
            )
        offsets = np.cumsum([0, *map(len, rings)])
        return PolygonDomain(np.concatenate(rings), offsets)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.xy, self._ring_offsets, self._faces)

    @property
    def ring_offsets(self) -> IntArray:
        """(R + 1,) int32: where the corners of each ring begin in `xy`, and where the last end."""
        return self._ring_offsets

    @property
    def is_box(self) -> bool:
        """Never."""
        return False

    @cached_property
    def n_components(self) -> int:
        """How many connected parts the inside of the domain has."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = self.tiling.n_faces
        left, right = self.tiling.edge_faces[self.tiling.edge_faces[:, 1] >= 0].T
        graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(n, n))
        return int(connected_components(graph, directed=False)[0])

    @cached_property
    def n_holes(self) -> int:
        """How many rings are holes."""
        return sum(_shoelace([(x, y) for x, y in ring.tolist()]) < 0 for ring in self.outline)

    def __repr__(self) -> str:
        n_polygons, n_holes = len(self.ring_offsets) - 1 - self.n_holes, self.n_holes
        what = "polygon" if n_polygons == 1 else f"{n_polygons} polygons"
        holes = {0: "", 1: " and a hole"}.get(n_holes, f" and {n_holes} holes")
        return f"{what} with {len(self.xy)} corners{holes}"


def _restored(xy: FloatArray, offsets: IntArray, faces: list[list[int]]) -> PolygonDomain:
    return PolygonDomain(xy, offsets, faces=faces)


def _turning(ring: list[Corner]) -> list[Corner]:
    """The corners of a ring, without repeated points and those on straight lines."""
    corners: list[Corner] = []
    for corner in ring:
        if not corners or corners[-1] != corner:
            corners.append(corner)
    while len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    points = [exact.point(*corner) for corner in corners]
    return [
        corner
        for i, corner in enumerate(corners)
        if exact.orientation(points[i - 1], points[i], points[(i + 1) % len(points)])
    ]


def _numbered(rings: Sequence[Sequence[Corner]]) -> tuple[list[Corner], list[list[int]]]:
    """The distinct corners, and the rings by their numbers."""
    number: dict[Corner, int] = {}
    numbered = [[number.setdefault(c, len(number)) for c in ring] for ring in rings]
    return list(number), numbered


def _decomposed(
    rings: list[list[Corner]],
) -> tuple[list[list[Corner]], list[Corner], list[list[int]]]:
    """The rings with corners where they turn or touch, their distinct corners, and convex faces."""
    rings = [_turning(ring) for ring in rings]
    if any(len(ring) < 3 for ring in rings):
        raise ValueError("domain has a ring without area")
    corners, numbered = _numbered(rings)
    points = [exact.point(*corner) for corner in corners]
    sides = [side for ring in numbered for side in pairwise([*ring, ring[0]])]
    try:
        faces = convex_faces(points, sides)
    except CrossingError as error:
        raise ValueError(
            "domain has rings that cross or overlap, or that do not have it on their left, near "
            f"({error.x!r}, {error.y!r})"
        ) from None
    kept = {side for face in faces for side in pairwise([*face, face[0]])}
    if kept.issuperset(sides):
        return rings, corners, faces
    # Some sides have a corner of another ring in their middle.
    touched = [
        [c for side in pairwise([*ring, ring[0]]) for c in _along(side, kept, points)]
        for ring in numbered
    ]
    rings = [[corners[c] for c in ring] for ring in touched]
    distinct, again = _numbered(rings)
    number = {
        old: new
        for before, after in zip(touched, again, strict=True)
        for old, new in zip(before, after, strict=True)
    }
    return rings, distinct, [[number[v] for v in face] for face in faces]


def _along(
    side: tuple[int, int], kept: set[tuple[int, int]], points: Sequence[exact.Triple]
) -> list[int]:
    """The corners along a side, without its end."""
    a, b = side
    if side in kept:
        return [a]
    (ax, ay), (bx, by) = (exact.to_fractions(points[v]) for v in side)

    def share(v: int) -> Fraction:
        x, y = exact.to_fractions(points[v])
        return (x - ax) * (bx - ax) + (y - ay) * (by - ay)

    middle = [
        v
        for v, p in enumerate(points)
        if exact.orientation(points[a], points[b], p) == 0 and 0 < share(v) < share(b)
    ]
    return [a, *sorted(middle, key=share)]


def _as_told(
    rings: list[list[Corner]], faces: Sequence[Sequence[int]]
) -> tuple[list[list[Corner]], list[Corner], list[list[int]]]:
    """Check faces that a file has: their sides are those of the rings, and they are convex."""
    corners, numbered = _numbered(rings)
    points = [exact.point(*corner) for corner in corners]
    found = [list(map(int, face)) for face in faces]
    sides: set[tuple[int, int]] = set()
    for face in found:
        if len(face) < 3 or not all(0 <= v < len(corners) for v in face):
            raise ValueError("a face of the domain points at no corners")
        ends = [*face, *face[:2]]
        for a, b, c in zip(ends, ends[1:], ends[2:], strict=False):
            if exact.orientation(points[a], points[b], points[c]) <= 0 or (a, b) in sides:
                raise ValueError("faces of the domain are not convex, or overlap")
            sides.add((a, b))
    outer = {(a, b) for a, b in sides if (b, a) not in sides}
    if outer != {side for ring in numbered for side in pairwise([*ring, ring[0]])}:
        raise ValueError("faces of the domain do not fill it")
    return rings, corners, found
