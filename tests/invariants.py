"""What every partition must satisfy, checked in fractions from its exact vertices alone."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from itertools import pairwise

import numpy as np
from oracle import assert_close, is_nearest

import polyregions as pr

SMALL = 400  # faces up to which the costly checks are made

Point = tuple[Fraction, Fraction]


def checked(model: object, domain: object = (-1, 1), **options: object) -> pr.Partition:
    """Partition, and check every invariant of the result."""
    return check(pr.partition(model, domain, **options))


def check(part: pr.Partition, *, maxima: Collection[int] = ()) -> pr.Partition:
    """Assert every structural invariant of a partition and return it.

    Units of the layers `maxima` take the largest of several values.
    """
    points = [part.exact_vertex(i) for i in range(part.n_vertices)]
    _check_arrays(part)
    _check_vertices(part, points)
    _check_incidences(part)
    _check_border(part, points)
    _check_faces(part, points)
    _check_labels(part, maxima)
    _check_counts(part)
    _check_certificate(part)
    return part


def cross(p: Point, q: Point, r: Point) -> Fraction:
    """Positive if p, q, r turn left."""
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


def area(corners: list[Point]) -> Fraction:
    pairs = zip(corners, corners[1:] + corners[:1], strict=True)
    return sum((p[0] * q[1] - q[0] * p[1] for p, q in pairs), Fraction(0)) / 2


def centroid(corners: list[Point]) -> Point:
    """Mean of the triangles of a fan, weighted by their areas."""
    apex = corners[0]
    total = x = y = Fraction(0)
    for p, q in pairwise(corners[1:]):
        weight = cross(apex, p, q)
        total += weight
        x += weight * (apex[0] + p[0] + q[0])
        y += weight * (apex[1] + p[1] + q[1])
    return x / (3 * total), y / (3 * total)


def domain_rings(part: pr.Partition) -> list[list[Point]]:
    rings = (ring.tolist() for ring in part.domain.outline)
    return [[(Fraction(x), Fraction(y)) for x, y in ring] for ring in rings]


def domain_area(part: pr.Partition) -> Fraction:
    return sum(map(area, domain_rings(part)), Fraction(0))


def _check_arrays(part: pr.Partition) -> None:
    v, e, f, h, m = part.n_vertices, part.n_edges, part.n_faces, part.n_units, part.n_outputs
    assert f == len(part) >= 1
    layout = {
        "vertex_xy": ((v, 2), np.float64),
        "vertex_error": ((v, 2), np.float64),
        "edge_vertices": ((e, 2), np.int32),
        "edge_faces": ((e, 2), np.int32),
        "edge_unit": ((e,), np.int32),
        "edge_layer": ((e,), np.int32),
        "is_crease": ((e,), np.bool_),
        "is_inner": ((e,), np.bool_),
        "face_offsets": ((f + 1,), np.int32),
        "face_vertices": ((int(part.face_offsets[-1]),), np.int32),
        "face_pattern": ((f, h), np.uint8),
        "face_weight": ((f, m, 2), np.float64),
        "face_bias": ((f, m), np.float64),
        "face_weight_error": ((f, m, 2), np.float64),
        "face_bias_error": ((f, m), np.float64),
        "face_affine_piece": ((f,), np.int32),
        "face_linear_region": ((f,), np.int32),
        "unit_layer": ((h,), np.int32),
    }
    if f <= SMALL:
        layout |= dict.fromkeys(("areas", "area_error"), ((f,), np.float64))
        layout |= {"centroids": ((f, 2), np.float64)}
    for name, (shape, dtype) in layout.items():
        array = getattr(part, name)
        assert array.shape == shape, name
        assert array.dtype == dtype, name
        assert array.flags.c_contiguous, name
        assert not array.flags.writeable, name
        assert getattr(part, name) is array, f"{name} is made anew on each use"
    for name in ("vertex_xy", "face_weight", "face_bias"):
        assert np.isfinite(getattr(part, name)).all(), name
    for name in ("vertex_error", "face_weight_error", "face_bias_error"):
        assert (getattr(part, name) >= 0).all(), name
        assert np.isfinite(getattr(part, name)).all(), name
    assert part.face_offsets[0] == 0
    assert (np.diff(part.face_offsets) >= 3).all()
    assert (np.diff(part.unit_layer) >= 0).all()
    assert not part.domain.xy.flags.writeable


def _check_vertices(part: pr.Partition, points: list[Point]) -> None:
    assert len(set(points)) == part.n_vertices, "two vertices are one point"
    for (x, y), (dx, dy), (px, py) in zip(
        part.vertex_xy.tolist(), part.vertex_error.tolist(), points, strict=True
    ):
        assert_close(part, x, dx, px, "vertex")
        assert_close(part, y, dy, py, "vertex")
    everyone = set(range(part.n_vertices))
    assert set(part.edge_vertices.ravel().tolist()) == everyone, "a vertex without an edge"
    assert set(part.face_vertices.tolist()) == everyone, "a vertex without a face"
    for (x, y, w), point in zip(part.vertex_exact, points, strict=True):
        assert w > 0
        assert (Fraction(x, w), Fraction(y, w)) == point
    if part.n_faces <= SMALL // 4:  # no vertex lies inside an edge
        for a, b in part.edge_vertices.tolist():
            (ax, ay), (bx, by) = points[a], points[b]
            for i, (x, y) in enumerate(points):
                inside_box = min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by)
                if inside_box and i not in (a, b):
                    assert cross(points[a], points[b], points[i]) != 0, "a vertex inside an edge"


def _check_incidences(part: pr.Partition) -> None:
    expected = 1 if part.domain.is_convex else part.domain.euler_characteristic
    assert part.n_vertices - part.n_edges + part.n_faces == expected
    left_of: dict[tuple[int, int], int] = {}
    for f in range(part.n_faces):
        cycle = part.face(f).tolist()
        assert cycle == part.face_vertices[part.face_offsets[f] : part.face_offsets[f + 1]].tolist()
        assert len(set(cycle)) == len(cycle)
        for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True):
            assert (a, b) not in left_of, "two faces on one side of an edge"
            left_of[a, b] = f
    n_sides = 0
    for (a, b), (left, right) in zip(
        part.edge_vertices.tolist(), part.edge_faces.tolist(), strict=True
    ):
        assert left_of[a, b] == left
        assert left_of.get((b, a), -1) == right
        assert left != right
        n_sides += 1 + (right >= 0)
    assert n_sides == len(left_of), "a side of a face is no edge, or an edge is listed twice"
    assert (part.is_inner == (part.edge_faces[:, 1] >= 0)).all()


def _check_border(part: pr.Partition, points: list[Point]) -> None:
    """Border edges run once along the domain's rings, from corner to corner of every side."""
    border = part.edge_vertices[~part.is_inner].tolist()
    after: dict[int, list[int]] = {}
    for a, b in border:
        after.setdefault(a, []).append(b)
    if part.domain.is_convex:
        assert len(after) == len(border), "the border branches"
    number = {point: v for v, point in enumerate(points)}
    for ring in domain_rings(part):
        for start, end in zip(ring, ring[1:] + ring[:1], strict=True):
            direction = end[0] - start[0], end[1] - start[1]

            def along(p: Point, start: Point = start, direction: Point = direction) -> Fraction:
                return (p[0] - start[0]) * direction[0] + (p[1] - start[1]) * direction[1]

            assert start in number, "a corner without a vertex"
            v = number[start]
            while points[v] != end:
                # Forward along the side, and not beyond its end.
                found = [
                    w
                    for w in after[v]
                    if cross(start, end, points[w]) == 0 and along(points[w]) > along(points[v])
                ]
                assert len(found) == 1, "a border edge off the border"
                (ahead,) = found
                assert along(points[ahead]) <= along(end)
                after[v].remove(ahead)
                v = ahead
    assert not any(after.values()), "border edges that are not on the outline"


def _check_faces(part: pr.Partition, points: list[Point]) -> None:
    small = part.n_faces <= SMALL
    total = Fraction(0)
    for f in range(part.n_faces):
        corners = [points[v] for v in part.face(f).tolist()]
        n = len(corners)
        for i in range(n):
            assert cross(corners[i - 2], corners[i - 1], corners[i]) > 0, f"face {f} not convex"
        # Only left turns, and once around: in (x, y) order it rises once and falls once.
        rising = [corners[i - 1] < corners[i] for i in range(n)]
        assert sum(rising[i - 1] != rising[i] for i in range(n)) == 2
        if small:
            exact = area(corners)
            total += exact
            assert exact > 0
            _check_measures(part, f, corners, exact)
    # For large complexes the same follows: every inner edge counts once in each direction, so
    # the areas telescope to that of the outline.
    if small:
        assert total == domain_area(part) == part.domain.exact_area


def _check_measures(part: pr.Partition, f: int, corners: list[Point], exact: Fraction) -> None:
    if part.face_is_unbounded[f]:
        assert part.areas[f] == np.inf
        assert part.area_error[f] == 0
        shown = part._shown
        corners = [shown.exact_vertex(v) for v in shown.face(f).tolist()]
    else:
        bound = float(part.area_error[f])
        assert_close(part, float(part.areas[f]), bound, exact, f"area of face {f}")
        assert part.areas[f] >= 0
        assert Fraction(bound) <= max(exact / 500, Fraction(5, 10**324))
    nearest = centroid(corners)
    x, y = part.centroids[f].tolist()
    if not holds(corners, (Fraction(x), Fraction(y))):
        # No float64 number near the centroid is in the face; so this is the nearest one.
        assert all(map(is_nearest, (x, y), nearest))
    elif part.engine == "rational" and holds(corners, tuple(Fraction(float(v)) for v in nearest)):
        assert all(map(is_nearest, (x, y), nearest))


def holds(corners: list[Point], point: Point) -> bool:
    """Whether a convex polygon, closed, holds a point."""
    return all(cross(corners[i - 1], corners[i], point) >= 0 for i in range(len(corners)))


def _check_labels(part: pr.Partition, maxima: Collection[int]) -> None:
    pattern = part.face_pattern
    if part.domain.is_convex:
        assert len({row.tobytes() for row in pattern}) == part.n_faces, "two faces have one pattern"
        assert not part.edge_is_seam.any()
        assert part.face_activation_region.tolist() == list(range(part.n_faces))
    layer = part.unit_layer
    has_breakpoints = ~np.isin(layer, list(maxima))
    for e, (left, right) in enumerate(part.edge_faces.tolist()):
        switching = np.flatnonzero(pattern[left] != pattern[right]) if right >= 0 else []
        assert part.edge_units(e).tolist() == list(switching)
        assert part.edge_is_seam[e] == (right >= 0 and not len(switching))
        if not len(switching):
            assert part.edge_unit[e] == part.edge_layer[e] == -1
        else:
            assert part.edge_unit[e] == switching[0]
            assert part.edge_layer[e] == layer[switching[0]]
            # One breakpoint of a unit is crossed at a time.
            step = np.abs(pattern[left].astype(int) - pattern[right].astype(int))
            assert step[has_breakpoints].max(initial=0) <= 1


def components(n: int, pairs: list[tuple[int, int]]) -> list[int]:
    """A representative of every node's component."""
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        parent[root(a)] = root(b)
    return [root(i) for i in range(n)]


def _check_counts(part: pr.Partition) -> None:
    piece = part.face_affine_piece
    assert sorted(set(piece.tolist())) == list(range(piece.max() + 1))
    inner = part.edge_faces[part.is_inner]
    changes = piece[inner[:, 0]] != piece[inner[:, 1]]
    assert (part.is_crease[part.is_inner] == changes).all()
    assert not part.is_crease[~part.is_inner].any()
    through_edges = [tuple(pair) for pair in inner[~changes].tolist()]
    expected = components(part.n_faces, through_edges)
    regions = part.face_linear_region.tolist()
    assert sorted(set(regions)) == list(range(max(regions) + 1))
    assert len(set(zip(expected, regions, strict=True))) == len(set(expected)) == len(set(regions))
    rows = np.concatenate([part.face_weight, part.face_bias[:, :, None]], axis=2)
    errors = np.concatenate([part.face_weight_error, part.face_bias_error[:, :, None]], axis=2)
    for number in range(piece.max() + 1):
        same, error = rows[piece == number], errors[piece == number]
        if part.engine == "rational":
            # Equal maps are equal rows, since both are the nearest float64 numbers.
            assert (same == same[0]).all()
        else:
            # The exact map is within the bounds of all; 1e-9 for the rounding of this line.
            low, high = (same - error).max(axis=0), (same + error).min(axis=0)
            assert (low <= high + 1e-9 * error.max(axis=0)).all()
    count = part.count()
    seams = [tuple(pair) for pair in part.edge_faces[part.edge_is_seam].tolist()]
    merged = components(part.n_faces, seams)
    n_regions = len(set(merged))
    assert len(set(zip(merged, part.face_activation_region.tolist(), strict=True))) == n_regions
    assert sorted(set(part.face_activation_region.tolist())) == list(range(n_regions))
    assert count == (n_regions, len(set(expected)), int(piece.max()) + 1)
    assert count.activation_regions == n_regions
    assert count.linear_regions == len(set(expected))
    assert count.affine_pieces == int(piece.max()) + 1
    around: dict[tuple[int, int], int] = {}
    through_vertices = []
    for f in range(part.n_faces):
        for v in part.face(f).tolist():
            first = around.setdefault((v, int(piece[f])), f)
            through_vertices.append((first, f))
    merged = components(part.n_faces, through_vertices)
    closed = part.count(through_vertices=True)
    assert closed == (n_regions, len(set(merged)), int(piece.max()) + 1)
    assert closed.linear_regions <= count.linear_regions <= count.activation_regions
    assert count.affine_pieces <= closed.linear_regions


def _check_certificate(part: pr.Partition) -> None:
    certificate = part.certificate
    assert certificate.ok is True
    assert certificate.engine == part.engine
    assert certificate.euler_characteristic == part.domain.euler_characteristic
    assert certificate.border_closed
    assert certificate.faces_convex
    assert certificate.patterns_distinct
    assert certificate.domain_area == domain_area(part)
    off = abs(certificate.faces_area - certificate.domain_area)
    assert off <= certificate.faces_area_error <= certificate.domain_area / 1000
    if part.engine == "rational":
        assert certificate.faces_area_error == 0
    assert all(number >= 0 for number in certificate.decisions.values())
