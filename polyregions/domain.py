"""The flat polygon that is partitioned."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from polyregions.network import FloatArray, exact_float64


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
        If the ring is not finite, has no area or is not convex.
    """

    xy: FloatArray

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

    @property
    def exact_area(self) -> Fraction:
        """The area, exactly."""
        return _shoelace([(x, y) for x, y in self.xy.tolist()]) / 2

    def __repr__(self) -> str:
        if self.is_box:
            xmin, ymin, xmax, ymax = (f"{v:g}" for v in self.bounds)
            return f"[{xmin}, {xmax}] x [{ymin}, {ymax}]"
        return f"convex polygon with {len(self.xy)} corners"


def as_domain(domain: Any) -> Domain:
    """Read a domain in any of its forms.

    Parameters
    ----------
    domain : (lo, hi), (xmin, ymin, xmax, ymax), shapely.Polygon or Domain
        A square ``[lo, hi]^2``, a box, or a convex polygon without holes.

    Raises
    ------
    ValueError
        If the domain is empty, has no area, is reversed, not finite or not convex.
    TypeError
        If it is none of these forms.
    """
    if isinstance(domain, Domain):
        return domain
    if hasattr(domain, "geom_type"):
        return _from_shapely(domain)
    try:
        numbers = np.asarray(domain)
    except ValueError:
        numbers = np.empty(0, dtype=object)
    if numbers.shape not in ((2,), (4,)) or numbers.dtype.kind not in "iuf":
        raise TypeError(
            "domain must be (lo, hi), (xmin, ymin, xmax, ymax) or a convex shapely.Polygon, "
            f"got {domain!r}"
        )
    values = exact_float64(numbers, "domain").tolist()
    xmin, ymin, xmax, ymax = values if len(values) == 4 else (values[0], values[0], *values[1:] * 2)
    form = "(lo, hi)" if len(values) == 2 else "(xmin, ymin, xmax, ymax)"
    if xmin > xmax or ymin > ymax:
        raise ValueError(f"domain {form} has its bounds reversed: {domain!r}")
    if xmin == xmax or ymin == ymax:
        raise ValueError(f"domain {form} has no area: {domain!r}")
    return Domain(np.array([(xmin, ymin), (xmax, ymin), (xmax, ymax), (xmin, ymax)]))


def _from_shapely(polygon: Any) -> Domain:
    if polygon.geom_type != "Polygon":
        raise TypeError(f"domain must be a single shapely.Polygon, got a {polygon.geom_type}")
    if polygon.is_empty:
        raise ValueError("domain is an empty polygon")
    if len(polygon.interiors):
        raise ValueError("domain has holes; only convex polygons can be partitioned for now")
    return Domain(np.asarray(polygon.exterior.coords)[:, :2])


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
    if area == 0:
        raise ValueError("domain is a polygon without area")
    if area < 0:
        corners.reverse()
    following = corners[1:] + corners[:1]
    turns = [
        _turn(corners[i - 1], corner, after)
        for i, (corner, after) in enumerate(zip(corners, following, strict=True))
    ]
    if min(turns) < 0 or _winds_twice(corners):
        raise ValueError(
            "domain is not convex; only convex polygons can be partitioned for now "
            "(partition its convex hull, or convex parts of it one by one)"
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
