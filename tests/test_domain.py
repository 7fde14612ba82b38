"""Every form of a domain, and what is wrong with the others."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from invariants import checked
from networks import random_layers, stack
from oracle import assert_same
from shapely import (
    GeometryCollection,
    LinearRing,
    LineString,
    MultiPolygon,
    Point,
    Polygon,
    affinity,
    box,
)

import polyregions as pr

CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]
SQUARE = [[-1, -1], [1, -1], [1, 1], [-1, 1]]


def corners_of(domain: object) -> set[tuple[float, float]]:
    part = checked(CROSS, domain)
    return {tuple(corner) for corner in part.domain.xy.tolist()}


@pytest.mark.parametrize(
    "domain",
    [
        (-1, 1),
        [-1, 1],
        (-1.0, 1),
        (np.float32(-1), np.int8(1)),
        np.array([-1, 1]),
        np.array([-1, 1], dtype=np.float16),
        np.array([-1, 9, 1], dtype=np.int8)[::2],
        (-1, -1, 1, 1),
        [-1.0, -1.0, 1.0, 1.0],
        np.array([-1, -1, 1, 1], dtype=np.float32),
        box(-1, -1, 1, 1),
        Polygon(SQUARE),
        Polygon(SQUARE[::-1]),
        Polygon([*SQUARE, SQUARE[0]]),
        Polygon([[*corner, 7.0] for corner in SQUARE]),
        MultiPolygon([Polygon(SQUARE)]),
        pr.partition(CROSS, (-1, 1)).domain,
    ],
    ids=str,
)
def test_forms_of_the_same_square(domain: object) -> None:
    part = checked(CROSS, domain)
    assert corners_of(domain) == {(-1, -1), (1, -1), (1, 1), (-1, 1)}
    assert part.domain.is_box
    assert part.domain.bounds == (-1, -1, 1, 1)
    assert part.domain.exact_area == 4
    assert repr(part.domain) == "[-1, 1] x [-1, 1]"
    assert part.count() == (4, 4, 4)


def test_default_domain() -> None:
    assert pr.partition(CROSS).domain.bounds == (-1, -1, 1, 1)


def test_box_has_x_first() -> None:
    part = checked(CROSS, (1, -2, 4, 3))
    assert corners_of((1, -2, 4, 3)) == {(1, -2), (4, -2), (4, 3), (1, 3)}
    assert part.domain.exact_area == sum(part.areas) == 15
    assert "[1, 4] x [-2, 3]" in repr(part)


def test_corners_count_only_where_the_border_turns() -> None:
    straight = Polygon([(0, 0), (0.5, 0), (0.75, 0), (1, 0), (1, 1), (0, 1), (0, 0.25)])
    starts_on_a_side = Polygon([(0.5, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
    repeated = Polygon([(0, 0), (0, 0), (1, 0), (1, 0), (1, 1), (0, 1), (0, 1)])
    ends_twice = Polygon([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 0)])
    for polygon in (straight, starts_on_a_side, repeated, ends_twice, straight.reverse()):
        part = checked(CROSS, polygon)
        assert len(part.domain.xy) == 4
        assert part.n_vertices == 4
        assert corners_of(polygon) == {(0, 0), (1, 0), (1, 1), (0, 1)}


def test_convexity_is_exact() -> None:
    """A corner one float64 spacing inside the hull is a dent, one outside is not."""
    dent, bulge = np.nextafter(1, 0), np.nextafter(1, 2)
    part = checked(CROSS, Polygon([(0, 0), (1, 0), (1, 1), (0.5, dent), (0, 1)]))
    assert not part.domain.is_convex
    assert part.domain.exact_area == 1 - (1 - Fraction(float(dent))) / 2
    part = checked(CROSS, Polygon([(0, 0), (1, 0), (1, 1), (0.5, bulge), (0, 1)]))
    assert len(part.domain.xy) == 5
    # As float64 numbers 0.3 * 0.3 < 0.1 * 0.9, so the second of these corners is a dent.
    assert Fraction(0.3) ** 2 < Fraction(0.1) * Fraction(0.9)
    assert not checked(CROSS, Polygon([(0, 0), (0.3, 0.1), (0.9, 0.3), (0, 1)])).domain.is_convex
    part = checked(CROSS, Polygon([(0, 0), (0.1, 0.1), (0.3, 0.3), (0, 1)]))
    assert len(part.domain.xy) == 3


@pytest.mark.parametrize(
    "polygon",
    [
        Polygon([(0, 0), (3, 1), (-1, 2)]),
        Polygon([(3, 1), (0, 0), (-1, 2)]),
        Polygon([(0, -1), (1, 0), (0, 1), (-1, 0)]),
        Point(0.1, 0.2).buffer(2, quad_segs=4),
        affinity.rotate(box(-2, -0.5, 2, 0.5), 33),
        Polygon([(-1, -1), (1, -1 + 1e-12), (1, -1 + 2e-12)]),
        Polygon([(0, 0), (1, 1e-300), (1, 2e-300)]),
    ],
    ids=["triangle", "clockwise", "diamond", "round", "turned box", "sliver", "thinner"],
)
def test_polygons_against_the_oracle(polygon: Polygon) -> None:
    network = stack(random_layers([2, 5, 4, 1], 9))
    part = checked(network, polygon)
    assert_same(part, network, polygon)
    assert part.domain.exact_area > 0


def test_negative_zero_is_zero() -> None:
    part = checked(CROSS, (-0.0, 1.0))
    assert not np.signbit(part.domain.xy).any()
    assert not np.signbit(part.vertex_xy).any()


def test_the_domain_is_copied() -> None:
    bounds = np.array([-1.0, 1.0])
    part = pr.partition(CROSS, bounds)
    bounds[:] = 5
    assert part.domain.bounds == (-1, -1, 1, 1)
    with pytest.raises(ValueError, match="read-only"):
        part.domain.xy[0] = 7
    with pytest.raises(AttributeError):
        part.domain.xy = None


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ((1, -1), "reversed"),
        ((0, 0, -1, 1), "reversed"),
        ((0, 1, 1, -1), "reversed"),
        ((1, 1), "no area"),
        ((0, 0, 1, 0), "no area"),
        ((2, 0, 2, 1), "no area"),
        ((-0.0, 0.0), "no area"),
        ((float("nan"), 1), "NaN or infinite"),
        ((0, float("nan")), "NaN or infinite"),
        ((-np.inf, np.inf), "NaN or infinite"),
        ((0, 0, np.inf, 1), "NaN or infinite"),
        ((0, 2**53 + 1), "no float64"),
        (Polygon(), "empty"),
        (Polygon([(0, 0), (1, 1), (2, 2)]), "without area"),
        (Polygon([(0, 0), (0, 0), (0, 0)]), "without area"),
        (Polygon([(0, 0), (1, 1), (0, 0)]), "without area"),
        (Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "Self-intersection"),
        (Polygon([(0, 0), (2, 2), (2, 0), (0, 1)]), "not a valid polygon: Self-intersection"),
        (
            Polygon([(0, 0), (4, 0), (0, 4)], [[(1, 1), (1, 9), (1.5, 1)]]),
            "not a valid polygon: Self-intersection",
        ),
        (
            Polygon([(0, 0), (4, 0), (0, 4)], [[(5, 5), (5, 9), (5.5, 5)]]),
            "not a valid polygon: Hole lies outside shell",
        ),
        (
            MultiPolygon([box(0, 0, 2, 2), box(1, 1, 3, 3)]),
            "not a valid polygon: Self-intersection",
        ),
        (MultiPolygon([box(0, 0, 1, 1), box(1, 0, 2, 1)]), "not a valid polygon"),
        (MultiPolygon(), "empty"),
        # Rings that only turn left, or go straight on, and still are no convex polygon.
        (Polygon([(0, 0), (2, 0), (1, 0), (1, 1), (0, 1)]), "not a valid polygon"),
        (Polygon([(0, 0), (1, 0), (1, 2), (1, 1), (0, 1)]), "not a valid polygon"),
        (Polygon(SQUARE * 2), "not a valid polygon"),
        (
            Polygon([(np.cos(t), np.sin(t)) for t in 4 * np.pi * np.arange(5) / 5]),
            "not a valid polygon",
        ),
    ],
    ids=str,
)
def test_bad_values(domain: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        pr.partition(CROSS, domain)
    assert "domain" in str(error.value)


@pytest.mark.parametrize(
    "domain",
    [
        1.0,
        "ab",
        ("0", "1"),
        (),
        (1,),
        (1, 2, 3),
        (1, 2, 3, 4, 5),
        ((-1, 1), (-2, 2)),
        ((-1, 1), 3),
        {-1, 1},
        (False, True),
        (0, 1j),
        (Fraction(1, 3), 1),
        np.zeros((4, 2)),
        LineString([(0, 0), (1, 1)]),
        LinearRing([(0, 0), (1, 0), (0, 1)]),
        Point(0, 0),
        GeometryCollection([box(0, 0, 1, 1)]),
    ],
    ids=str,
)
def test_bad_types(domain: object) -> None:
    with pytest.raises(TypeError, match="domain must be"):
        pr.partition(CROSS, domain)


def test_invalid_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="make_valid"):
        pr.partition(CROSS, Polygon([(0, 0), (2, 2), (2, 0), (0, 1)]))


def test_a_domain_of_corners_is_convex() -> None:
    with pytest.raises(ValueError, match=r"not convex.*shapely\.Polygon"):
        pr.Domain(np.array([(0, 0), (1, 0), (0.1, 0.1), (0, 1)]))


@pytest.mark.parametrize(
    "xy",
    [
        [(0, 0), (0, 1), (1, 0)],  # clockwise
        [(0, 0), (1, 0), (0.1, 0.1), (0, 1)],  # not convex
        [(0, 0), (1, 0), (2, 0), (0, 1)],  # straight in a corner
        [(0, 0), (1, 1)],
        [(0, 0), (1, float("nan")), (0, 1)],
    ],
)
def test_domain_made_by_hand_is_refused_or_right(xy: list) -> None:
    """`Domain` is public: one that is no convex counter-clockwise ring must not get through."""
    try:
        part = pr.partition(CROSS, pr.Domain(np.array(xy, dtype=float)))
    except ValueError as error:
        assert "domain" in str(error)  # noqa: PT017 (a right answer is fine as well)
    else:
        assert part.certificate.ok
        assert (part.areas > 0).all()
