"""Areas and centroids of all faces, in float64 where that is good enough.

Where it is not, from corners in double-double arithmetic, and exactly where those do not do either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from polyregions import exact, filters
from polyregions.engine import closely
from polyregions.engine.crew import Crew
from polyregions.engine.exactly import ExactVertices
from polyregions.exact import Triple
from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.partition import Partition

# An area whose bound is worse than this share of it is worked out anew, from closer corners or
# exactly. Of the faces of ordinary networks some thousandth are, of those of deep ones many.
RELATIVE_ERROR = 1e-3


def areas(part: Partition) -> tuple[FloatArray, FloatArray]:
    """Measure all faces.

    The rational engine's areas are worked out exactly and rounded once. Others are computed from
    the rounded corners, with a bound from the errors of the corners and from rounding (see
    `polyregions.filters`); those of which this proves less than `RELATIVE_ERROR` are worked out
    exactly as well.

    Returns
    -------
    areas : (F,) float64
    area_error : (F,) float64
        Bounds on the distance of each area from the exact one. None is more than `RELATIVE_ERROR`
        times the area, unless the area is so small that float64 has no more digits for it.

    Raises
    ------
    OverflowError
        If an area is too large for float64.
    """
    if part.engine == "rational":
        area = np.array([exact.rounded(*a.as_integer_ratio()) for a in part._exact_areas])
        return area, exact.rounding_error(area)
    scaled, bound, exponent = filtered_areas(part)
    with np.errstate(over="ignore", under="ignore"):
        area = np.ldexp(scaled, exponent)
        error = np.ldexp(bound, exponent) + 2.0**-1074  # for the bits that ldexp may lose
    for f in np.flatnonzero(~(bound <= RELATIVE_ERROR * scaled)).tolist():
        area[f] = exact.rounded(*exact.area(part.exact_polygon(f)).as_integer_ratio())
        error[f] = exact.rounding_error(area[f])
    if not np.isfinite(area).all():
        raise OverflowError(
            f"the area of face {int(np.argmin(np.isfinite(area)))} is too large for float64"
        )
    return area, error


def filtered_areas(part: Partition) -> tuple[FloatArray, FloatArray, int]:
    """Areas from the rounded corners, and bounds; both times a power of two.

    Where a bound is more than `RELATIVE_ERROR` of the area, from corners that are computed anew,
    closer to the exact ones.

    Returns
    -------
    areas, bounds : (F,) float64
        They do not overflow, whatever the domain.
    exponent : int
        Of the power of two to multiply both by.
    """
    sx, sy, ex, ey = filters.scales(part.domain.xy)
    area, bound = np.empty((2, part.n_faces))
    with np.errstate(all="ignore"):
        filters.fill_areas(
            part.face_offsets, part.face_vertices, part.vertex_xy, part.vertex_error, sx, sy,
            area, bound,
        )  # fmt: skip
        loose = np.flatnonzero(~(bound <= RELATIVE_ERROR * area))
        again = closer(part, loose)
        if again is not None:
            found = np.empty((2, len(loose)))
            filters.fill_areas(again.offsets, again.corners, again.xy, again.error, sx, sy, *found)
            area[loose], bound[loose] = found
    return area, bound, -(ex + ey)


@dataclass(frozen=True)
class Closer:
    """Some faces with corners that are computed anew, in double-double arithmetic.

    Attributes
    ----------
    at : (C,) int
        Where the faces' corners are in `Partition.face_vertices`.
    offsets, corners : (faces + 1,), (C,) int32
        As `Partition.face_offsets` and `Partition.face_vertices`.
    xy, error : (V, 2) float64
        Coordinates that belong to `corners`, and bounds on their errors.
    """

    at: IntArray
    offsets: IntArray
    corners: IntArray
    xy: FloatArray
    error: FloatArray


def closer(part: Partition, faces: IntArray) -> Closer | None:
    """Some faces with corners closer to the exact ones.

    None if there are no faces, or if the partition does not say how its vertices were made.
    """
    if not isinstance(part.vertex_exact, ExactVertices) or not len(faces):
        return None
    begin = part.face_offsets[faces].astype(np.int64)
    offsets = np.append(0, np.cumsum(part.face_offsets[faces + 1] - begin))
    at = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], np.diff(offsets))
    vertices, corners = np.unique(part.face_vertices[at], return_inverse=True)
    with Crew() as crew:
        xy, error = closely.coordinates(part.vertex_exact.provenance, vertices, crew.run)
    known = part.vertex_error[vertices]
    keep = ~(error < known)
    xy[keep], error[keep] = part.vertex_xy[vertices][keep], known[keep]
    return Closer(at, offsets.astype(np.int32), corners.astype(np.int32), xy, error)


def smallest_and_largest(part: Partition) -> tuple[str, str]:
    """The areas of the smallest and the largest face as texts of three digits, all of them right.

    Works for areas of any size, also beyond the range of float64. Unbounded faces are left out;
    if there are no others, both are "none".
    """
    bounded = np.flatnonzero(~part.face_is_unbounded)
    if not len(bounded):
        return "none", "none"
    area, bound, exponent = filtered_areas(part._shown)
    area, bound, power = area[bounded], bound[bounded], Fraction(2) ** exponent

    def exactly(i: int) -> Fraction:
        return exact.area(part.exact_polygon(int(bounded[i]))) / power

    return (
        _least(area, bound, exactly, power),
        _least(-area, bound, lambda f: -exactly(f), -power),
    )


def _least(
    values: FloatArray, bound: FloatArray, exactly: Callable[[int], Fraction], unit: Fraction
) -> str:
    """Three digits of the least value, times `unit`; those that matter become exact one by one."""
    with np.errstate(invalid="ignore"):
        certain = bound < np.inf
        low = np.where(certain, np.nextafter(values - bound, -np.inf), -np.inf)
        high = np.where(certain, np.nextafter(values + bound, np.inf), np.inf)
    known: dict[int, Fraction] = {}
    while True:
        ends = float(low.min()), float(high.min())
        if np.isfinite(ends).all():
            digits = {exact.text(Fraction(end) * unit) for end in ends}
            if len(digits) == 1:
                return digits.pop()
        near = np.flatnonzero(low <= ends[1]).tolist()
        f = min((f for f in near if f not in known), key=lambda f: low[f], default=None)
        if f is None:
            return exact.text(min(known[f] for f in near) * unit)
        value = known[f] = exactly(f)
        low[f], high[f] = np.nextafter(float(value), -np.inf), np.nextafter(float(value), np.inf)


def centroids(part: Partition) -> FloatArray:
    """Find the centre of mass of every face, (F, 2) float64.

    The rational engine's are worked out exactly and rounded once; others are computed from the
    rounded corners. Those that are then not certainly inside their face are worked out exactly,
    too; where such a point still is not in the closed face, one of the float64 points next to it
    or of the face's rounded corners that is takes its place, if there is any.
    """
    sx, sy, _, _ = filters.scales(part.domain.xy)
    corners = part.face_offsets, part.face_vertices, part.vertex_xy
    centroid = np.empty((part.n_faces, 2))
    inside = np.empty(part.n_faces, dtype=np.bool_)
    with np.errstate(all="ignore"):
        if part.engine == "rational":
            for f in range(part.n_faces):
                centroid[f] = [float(v) for v in exact.centroid(part.exact_polygon(f))]
        else:
            filters.fill_centroids(*corners, sx, sy, centroid)
        filters.surely_inside(*corners, part.vertex_error, sx, sy, centroid, inside)
    for f in np.flatnonzero(~inside).tolist():
        centroid[f] = _point_inside(part, f)
    return centroid


def _point_inside(part: Partition, f: int) -> tuple[float, float]:
    """The rounded exact centroid of face `f`, or a float64 point nearby that is in the face."""
    polygon = part.exact_polygon(f)
    if exact.area(polygon) == 0:  # no face of an engine's
        x, y = part.vertex_xy[part.face(f)].mean(axis=0).tolist()
        return x, y
    centre = exact.centroid(polygon)
    x, y = map(float, centre)
    around = [
        (float(a), float(b))
        for a, b in product(
            *([np.nextafter(v, -np.inf), v, np.nextafter(v, np.inf)] for v in (x, y))
        )
    ]
    candidates = [*around, *map(tuple, part.vertex_xy[part.face(f)].tolist())]

    def distance(point: tuple[float, float]) -> Fraction:
        return (Fraction(point[0]) - centre[0]) ** 2 + (Fraction(point[1]) - centre[1]) ** 2

    for point in [(x, y), *sorted(candidates, key=distance)]:
        if np.isfinite(point).all() and _holds(polygon, exact.point(*point)):
            return point
    return x, y


def _holds(polygon: list[Triple], point: Triple) -> bool:
    """Whether a convex polygon, closed, holds a point."""
    return all(
        exact.orientation(polygon[i - 1], corner, point) >= 0 for i, corner in enumerate(polygon)
    )
