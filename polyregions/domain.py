"""The flat polygon that is partitioned."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from polyregions.network import FloatArray, IntArray, exact_float64


@dataclass(frozen=True, eq=False)
class Domain:
    """A convex polygon with float64 corners.

    A ring that runs clockwise is turned round, and corners that are none (repeated, or on a
    straight line) are left out.

    Attributes
    ----------
    xy : (K, 2) float64
        Corners, counter-clockwise, strictly convex (no three on a line). Read-only.

    Raises
    ------
    ValueError
        If the ring is not finite, has no area or is not convex. `PolygonDomain` need not be convex.
    """

    xy: FloatArray

    # Whether faces are cut nowhere but along units' lines.
    is_convex = True

    def __post_init__(self) -> None:
        ring = exact_float64(self.xy, "domain")
        if ring.ndim != 2 or ring.shape[1] != 2:
            raise ValueError(f"domain must have corners of shape (K, 2), got {ring.shape}")
        # + 0.0 turns -0.0 into 0.0, so that equal domains have equal bytes.
        xy = np.array(_convex_ring(ring.tolist()), dtype=np.float64) + 0.0
        xy.flags.writeable = False
        object.__setattr__(self, "xy", xy)

    def __reduce__(self) -> tuple[type[Domain], tuple[FloatArray]]:
        return Domain, (self.xy,)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """``(xmin, ymin, xmax, ymax)``."""
        low, high = self.xy.min(axis=0), self.xy.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def is_box(self) -> bool:
        """Whether the domain is a rectangle with sides along the axes."""
        xmin, ymin, xmax, ymax = self.bounds
        corners = {(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)}
        return len(self.xy) == 4 and {(float(x), float(y)) for x, y in self.xy} == corners

    @cached_property
    def tiling(self) -> Tiling:
        """The convex faces that engines start from: here the polygon itself."""
        corner = np.arange(len(self.xy), dtype=np.int32)
        return Tiling.of(self.xy, [corner.tolist()])

    @property
    def ring_offsets(self) -> IntArray:
        """(R + 1,) int32: ring r has the corners ``xy[ring_offsets[r]:ring_offsets[r + 1]]``.

        Rings have the domain on their left: outer ones run counter-clockwise, holes clockwise.
        """
        return np.array([0, len(self.xy)], dtype=np.int32)

    @property
    def outline(self) -> list[FloatArray]:
        """The corners of each ring, one after the other."""
        return np.split(self.xy, self.ring_offsets[1:-1])

    @property
    def exact_area(self) -> Fraction:
        """The area, exactly."""
        twice = (_shoelace([(x, y) for x, y in ring.tolist()]) for ring in self.outline)
        return sum(twice, Fraction(0)) / 2

    @cached_property
    def euler_characteristic(self) -> int:
        """V - E + F of every subdivision: 1 without holes, one less for each, and so on.

        Of several polygons it is the sum. Where they touch in a point, they share a vertex, so it
        is one less there.
        """
        tiling = self.tiling
        return len(tiling.xy) - len(tiling.edge_vertices) + tiling.n_faces

    @cached_property
    def n_components(self) -> int:
        """How many connected parts the inside of the domain has."""
        return 1

    def __repr__(self) -> str:
        if self.is_box:
            xmin, ymin, xmax, ymax = (f"{v:g}" for v in self.bounds)
            return f"[{xmin}, {xmax}] x [{ymin}, {ymax}]"
        return f"convex polygon with {len(self.xy)} corners"


class Plane(Domain):
    """The whole plane.

    Engines work in a box that is so large that nothing changes beyond it: there all vertices on
    its border move straight on as it grows (`docs/exactness.md` has the proof). They choose it.

    Parameters
    ----------
    half_width : float
        A power of two. The box is ``[-half_width, half_width]^2``; asked for, the least that
        will do.
    rings : sequence of float
        Half-widths of boxes within it, powers of two, increasing. Engines start from the
        innermost one and from the rings around it, each cut into four along the diagonals, so
        that coordinates near the origin are not interpolated between far ends.

    Attributes
    ----------
    xy : (4, 2) float64
        Corners of the box, counter-clockwise. Read-only.
    rings : tuple of float

    Raises
    ------
    ValueError
        If a half-width is no power of two, or they do not increase.

    Examples
    --------
    >>> import polyregions as pr
    >>> lines = [([[1, 0], [0, 1], [1, 1]], [0, 0, -1]), ([[1, 1, 1]], [0])]
    >>> part = pr.partition(lines, domain=None)  # three lines
    >>> part.domain
    the whole plane
    >>> len(part), int(part.face_is_unbounded.sum())
    (7, 6)
    """

    rings: tuple[float, ...]

    def __init__(self, half_width: float = 2.0**-960, rings: Sequence[float] = ()) -> None:
        widths = [*map(float, rings), float(half_width)]
        for width in widths:
            if not (0 < width < np.inf and np.frexp(width)[0] == 0.5):
                raise ValueError(f"half-widths of a Plane are powers of two, got {width!r}")
        if any(b <= a for a, b in pairwise(widths)):
            raise ValueError(f"half-widths of a Plane must increase, got {widths}")
        object.__setattr__(self, "rings", tuple(widths[:-1]))
        super().__init__(_square(widths[-1]))

    def __reduce__(self) -> tuple[Any, ...]:
        return Plane, (self.half_width, self.rings)

    @property
    def half_width(self) -> float:
        """Half of the box's width; vertices at infinity are held on its border."""
        return float(self.xy[2, 0])

    @cached_property
    def tiling(self) -> Tiling:
        """The innermost box, and four trapezoids for each ring around it."""
        boxes = [self.half_width, *reversed(self.rings)]
        return _ring_tiling(boxes, with_centre=True)

    def __repr__(self) -> str:
        return "the whole plane"


class Ring(Domain):
    """A box without a smaller one inside, as four trapezoids to start from; for engines.

    Parameters
    ----------
    half_width, inner : float
        Of the two boxes around the origin.
    """

    _inner: float

    def __init__(self, half_width: float, inner: float) -> None:
        super().__init__(_square(half_width))
        object.__setattr__(self, "_inner", inner)

    @cached_property
    def tiling(self) -> Tiling:
        """Four trapezoids."""
        return _ring_tiling([float(self.xy[2, 0]), self._inner], with_centre=False)


def _ring_tiling(half_widths: Sequence[float], *, with_centre: bool) -> Tiling:
    """Rings between boxes, from the outermost one, and perhaps the box in their middle."""
    last = 4 * (len(half_widths) - 1)
    faces = [
        [n + i, n + j, n + j + 4, n + i + 4]
        for n in range(0, last, 4)
        for i, j in pairwise([0, 1, 2, 3, 0])
    ]
    if with_centre:
        faces.append([last + i for i in range(4)])
    return Tiling.of(np.concatenate([_square(w) for w in half_widths]), faces[::-1])


@dataclass(frozen=True, eq=False)
class Tiling:
    """Convex faces that share vertices and edges and fill a domain.

    Attributes
    ----------
    xy : (V, 2) float64
        Vertices; the first K are the corners of the domain.
    face_offsets : (F + 1,) int32
    face_vertices : int32
        The vertices of all faces, each counter-clockwise.
    edge_vertices : (E, 2) int32
        The first K edges are the sides of the domain, each from its corner to the next one. The
        others are seams, which an engine takes away again in the end.
    edge_faces : (E, 2) int32
        The faces on the left and right of each edge; -1 outside, never on the left.
    """

    xy: FloatArray
    face_offsets: IntArray
    face_vertices: IntArray
    edge_vertices: IntArray
    edge_faces: IntArray

    @staticmethod
    def of(xy: FloatArray, faces: Sequence[Sequence[int]]) -> Tiling:
        """Find the edges of faces."""
        left: dict[tuple[int, int], int] = {}
        for f, face in enumerate(faces):
            left.update(dict.fromkeys(pairwise([*face, face[0]]), f))
        sides = sorted((a, b) for a, b in left if (b, a) not in left)
        edges = sides + [(a, b) for a, b in left if a < b and (b, a) in left]
        right = [left.get((b, a), -1) for a, b in edges]
        return Tiling(
            xy=xy,
            face_offsets=np.cumsum([0, *map(len, faces)], dtype=np.int32),
            face_vertices=np.array([v for face in faces for v in face], dtype=np.int32),
            edge_vertices=np.array(edges, dtype=np.int32),
            edge_faces=np.array([[left[e] for e in edges], right], dtype=np.int32).T,
        )

    @property
    def n_faces(self) -> int:
        """F."""
        return len(self.face_offsets) - 1

    @property
    def n_sides(self) -> int:
        """K."""
        return int((self.edge_faces[:, 1] < 0).sum())


def as_domain(domain: Any) -> Domain:
    """Read a domain in any of its forms.

    Parameters
    ----------
    domain : (lo, hi), (xmin, ymin, xmax, ymax), shapely polygon, Domain or None
        A square ``[lo, hi]^2``, a box, or a valid shapely.Polygon or MultiPolygon; None for the
        whole plane.

    Raises
    ------
    ValueError
        If the domain is empty, has no area, is reversed, not finite or not valid.
    TypeError
        If it is none of these forms.
    """
    if isinstance(domain, Domain):
        return domain
    if domain is None:
        return Plane()
    if hasattr(domain, "geom_type"):
        return _from_shapely(domain)
    try:
        numbers = np.asarray(domain)
    except ValueError:
        numbers = np.empty(0, dtype=object)
    if numbers.shape not in ((2,), (4,)) or numbers.dtype.kind not in "iuf":
        raise TypeError(
            "domain must be (lo, hi), (xmin, ymin, xmax, ymax), a shapely.Polygon or MultiPolygon, "
            f"or None for the whole plane, got {domain!r}"
        )
    values = exact_float64(numbers, "domain").tolist()
    xmin, ymin, xmax, ymax = values if len(values) == 4 else (values[0], values[0], *values[1:] * 2)
    form = "(lo, hi)" if len(values) == 2 else "(xmin, ymin, xmax, ymax)"
    if xmin > xmax or ymin > ymax:
        raise ValueError(f"domain {form} has its bounds reversed: {domain!r}")
    if xmin == xmax or ymin == ymax:
        raise ValueError(f"domain {form} has no area: {domain!r}")
    return Domain(np.array([(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)]))


def _square(half_width: float) -> FloatArray:
    w = half_width
    return np.array([(-w, -w), (w, -w), (w, w), (-w, w)])


def _from_shapely(geometry: Any) -> Domain:
    if geometry.geom_type not in ("Polygon", "MultiPolygon"):
        raise TypeError(
            f"domain must be a shapely.Polygon or MultiPolygon, got a {geometry.geom_type}"
        )
    if geometry.is_empty:
        raise ValueError("domain is an empty polygon")
    polygons = getattr(geometry, "geoms", [geometry])
    if len(polygons) == 1 and not len(polygons[0].interiors):
        with suppress(_NotConvexError):
            return Domain(np.asarray(polygons[0].exterior.coords)[:, :2])
    from polyregions.polygon import PolygonDomain

    return PolygonDomain.of(geometry)


class _NotConvexError(ValueError):
    """A ring is not convex."""


def _convex_ring(ring: list[list[float]]) -> list[tuple[float, float]]:
    """The corners of a convex ring, counter-clockwise, without those that are none."""
    corners: list[tuple[float, float]] = []
    for x, y in ring:
        if not corners or corners[-1] != (x, y):
            corners.append((x, y))
    if len(corners) > 1 and corners[0] == corners[-1]:
        corners.pop()
    if _is_plain_box(corners):
        return corners
    area = _shoelace(corners)
    if area < 0:
        corners.reverse()
    following = corners[1:] + corners[:1]
    turns = [
        _turn(corners[i - 1], corner, after)
        for i, (corner, after) in enumerate(zip(corners, following, strict=True))
    ]
    if not any(turns):
        raise ValueError("domain is a polygon without area")
    if area == 0 or min(turns) < 0 or _winds_twice(corners):
        raise _NotConvexError(
            "domain is not convex, as a Domain is; give a shapely.Polygon in its place"
        )
    return [corner for corner, turn in zip(corners, turns, strict=True) if turn > 0]


def _is_plain_box(corners: list[tuple[float, float]]) -> bool:
    """Whether these are lower left, lower right, upper right, upper left of a box."""
    if len(corners) != 4:
        return False
    (xmin, ymin), _, (xmax, ymax), _ = corners
    box = [(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)]
    return xmin < xmax and ymin < ymax and corners == box


def _shoelace(corners: list[tuple[float, float]]) -> Fraction:
    """Twice the signed area of a ring."""
    exact = [(Fraction(x), Fraction(y)) for x, y in corners]
    pairs = zip(exact, exact[1:] + exact[:1], strict=True)
    return sum(((a * d - b * c) for (a, b), (c, d) in pairs), Fraction(0))


def _turn(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> Fraction:
    """Twice the signed area of the triangle p, q, r."""
    (px, py), (qx, qy), (rx, ry) = ((Fraction(x), Fraction(y)) for x, y in (p, q, r))
    return (qx - px) * (ry - py) - (qy - py) * (rx - px)


def _winds_twice(corners: list[tuple[float, float]]) -> bool:
    """Whether a ring that only turns left goes round more than once (a pentagram)."""
    # A convex ring has one run of rising and one run of falling corners, in (x, y) order.
    rising = [corners[i - 1] < corners[i] for i in range(len(corners))]
    return sum(rising[i - 1] != rising[i] for i in range(len(rising))) != 2
