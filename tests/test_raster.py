"""Pixels hold the mean of what lies on them: compared with polygons cut out by shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

import polyregions as pr
from polyregions import raster

SHAPE = (7, 9)  # rows, columns


def pixel_boxes(shape: tuple[int, int]) -> np.ndarray:
    j, i = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    return shapely.box(j, i, j + 1, i + 1)


def fill_polygons(polygons: list[np.ndarray], colors: np.ndarray, shape=SHAPE) -> np.ndarray:
    """Fill polygons that each have edges of their own."""
    xy = np.concatenate(polygons).astype(float)
    sizes = [len(p) for p in polygons]
    first = np.cumsum(sizes) - sizes
    ends = [(a + i, a + (i + 1) % n) for a, n in zip(first, sizes, strict=True) for i in range(n)]
    sides = [(f, -1) for f, n in enumerate(sizes) for _ in range(n)]
    return raster.fill(xy, np.array(ends), np.array(sides), np.asarray(colors, float), shape)


def expected_fill(polygons: list[np.ndarray], colors: np.ndarray, shape=SHAPE) -> np.ndarray:
    boxes = pixel_boxes(shape)
    parts = [shapely.area(shapely.intersection(boxes, shapely.Polygon(p))) for p in polygons]
    return sum(a[..., None] * c for a, c in zip(parts, np.asarray(colors, float), strict=True))


POLYGONS = {
    "pixel": [(2, 3), (3, 3), (3, 4), (2, 4)],
    "box off the grid": [(1.25, 0.5), (6.75, 0.5), (6.75, 5.125), (1.25, 5.125)],
    "inside one pixel": [(4.1, 2.2), (4.9, 2.3), (4.5, 2.9)],
    "triangle": [(0.3, 0.2), (8.7, 2.9), (2.1, 6.6)],
    "sliver": [(0.1, 0.1), (8.9, 6.9), (8.9, 6.9001)],
    "larger than the page": [(-20, -30), (40, -10), (25, 50), (-15, 30)],
    "beyond the left": [(-5, 1.5), (1.5, 3), (-5, 4.5)],
    "beyond the right": [(8.5, 1.5), (14, 0.3), (13, 6)],
    "above": [(2, 8), (4, 8), (3, 12)],
    "left of the page": [(-4, 1), (-1, 2), (-3, 5)],
    "right of the page": [(9, 1), (12, 2), (10, 5)],
    "corners on the grid": [(0, 0), (9, 0), (9, 7), (0, 7)],
    "diamond on the grid": [(4, 1), (6, 3), (4, 5), (2, 3)],
}


@pytest.mark.parametrize("name", POLYGONS)
def test_a_pixel_is_covered_by_its_share_of_a_polygon(name: str) -> None:
    polygon = np.array(POLYGONS[name], float)
    found = fill_polygons([polygon], [[1.0, 0.25]])
    np.testing.assert_allclose(found, expected_fill([polygon], [[1.0, 0.25]]), atol=2e-6)


def test_random_triangles_add_up() -> None:
    rng = np.random.default_rng(0)
    triangles = []
    for _ in range(60):
        p = rng.uniform(-4, 12, (3, 2))
        a, b, c = p
        left = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) > 0
        triangles.append(p if left else p[::-1])
    colors = rng.uniform(0, 1, (60, 3))
    found = fill_polygons(triangles, colors)
    np.testing.assert_allclose(found, expected_fill(triangles, colors), atol=2e-5)


def test_faces_of_a_partition_have_no_seams() -> None:
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(30, 2)), rng.normal(size=30)), (np.ones((1, 30)), [0])]
    part = pr.partition(layers, (-1, 1), engine="exact")
    xy = (part.vertex_xy + 1) / 2 * [50, 40]
    ends, sides = part.edge_vertices, part.edge_faces
    # one colour for all: every pixel has exactly that
    image = raster.fill(xy, ends, sides, np.full((len(part), 1), 0.7), (40, 50))
    assert np.unique(image).tolist() == [np.float32(0.7)]
    # colours of their own: the mean of all pixels is that of the faces
    colors = rng.uniform(0, 1, (len(part), 1))
    image = raster.fill(xy, ends, sides, colors, (40, 50))
    assert image.mean() == pytest.approx(part.areas @ colors[:, 0] / 4, rel=1e-6)
    boxes = pixel_boxes((40, 50))[::7, ::7].ravel()
    cells = np.array([shapely.Polygon(xy[part.face(f)]) for f in range(len(part))])
    shares = shapely.area(shapely.intersection(boxes[:, None], cells[None]))
    np.testing.assert_allclose(image[::7, ::7, 0].ravel(), (shares @ colors)[:, 0], atol=1e-6)


LINES = {
    "hairline": ([(0.5, 0.7), (8.2, 6.1)], 0.01),
    "broad": ([(1.5, 1.5), (7.5, 4.0)], 2.0),
    "level": ([(1.0, 3.5), (8.0, 3.5)], 1.0),
    "upright": ([(4.25, 6.5), (4.25, 0.5)], 0.5),
    "across the page": ([(-30, -20), (40, 33)], 1.25),
    "short": ([(3.3, 3.3), (3.3001, 3.3)], 0.2),
    "outside": ([(-3, -3), (-1, 9)], 0.5),
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_covers_its_length_times_its_width(name: str) -> None:
    ends, width = LINES[name]
    (x0, y0), (x1, y1) = ends
    found = raster.stroke(np.array([ends], float), np.array([width]), np.array([[0.5]]), SHAPE)
    normal = np.array([y0 - y1, x1 - x0]) / np.hypot(x1 - x0, y1 - y0) * width / 2
    rectangle = np.array([ends[0] - normal, ends[1] - normal, ends[1] + normal, ends[0] + normal])
    np.testing.assert_allclose(found, expected_fill([rectangle], [[0.5]]), atol=2e-6)


def test_lines_on_each_other_add_up_and_a_point_is_none() -> None:
    line = [[1.0, 1.0], [6.0, 5.0]]
    segments = np.array([line, line, [[2.0, 2.0], [2.0, 2.0]]])
    one = raster.stroke(segments[:1], np.ones(1), np.array([[0.25, 1.0]]), SHAPE)
    all_three = raster.stroke(segments, np.ones(3), np.tile([0.25, 1.0], (3, 1)), SHAPE)
    np.testing.assert_allclose(all_three, 2 * one, rtol=1e-6, atol=1e-7)


def test_stripes_make_the_same_image(monkeypatch: pytest.MonkeyPatch) -> None:
    polygons = [np.array(POLYGONS[name], float) for name in ("triangle", "larger than the page")]
    segments = np.array([LINES["broad"][0], LINES["upright"][0]], float)
    whole = fill_polygons(polygons, [[0.5], [0.25]])
    lines = raster.stroke(segments, np.ones(2), np.ones((2, 1)), SHAPE)
    for size in (1, 8 * 2 * (SHAPE[1] + 1)):
        monkeypatch.setattr(raster, "_STRIPE", size)
        np.testing.assert_allclose(
            fill_polygons(polygons, [[0.5], [0.25]]), whole, rtol=0, atol=1e-6
        )
        again = raster.stroke(segments, np.ones(2), np.ones((2, 1)), SHAPE)
        np.testing.assert_allclose(again, lines, rtol=0, atol=1e-6)


def test_far_away_is_out_of_sight_and_nan_is_refused() -> None:
    far = np.array([(-1e300, -1e300), (1e300, -1e300), (1e300, 1e300), (-1e300, 1e300)])
    np.testing.assert_allclose(fill_polygons([far], [[1.0]]), 1.0, atol=1e-3)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            fill_polygons([np.array([(0, 0), (1, 0), (bad, 1)])], [[1.0]])
        with pytest.raises(ValueError, match="NaN or infinite"):
            raster.stroke(np.array([[[0, 0], [bad, 1]]]), np.ones(1), np.ones((1, 1)), SHAPE)
