"""Figures: what is drawn, in which colours, and how it comes out in pixels."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import shapely
from matplotlib import colormaps
from matplotlib.collections import Collection, LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from mpl_toolkits.mplot3d import proj3d
from shapely import Polygon

import polyregions as pr
from polyregions import colors
from polyregions.plot import bands, canvas, faces, keys

CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]
HEXAGON = Polygon([(-2, -1), (0.3, -2), (2.1, -0.9), (2, 1.2), (-0.4, 1.9), (-1.7, 1.1)])


def random_net(*widths: int, scale: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.normal(size=(n_out, n_in)) / n_in**0.5, scale * 0.3 * rng.normal(size=n_out))
        for n_in, n_out in pairwise(widths)
    ]


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def part() -> pr.Partition:
    """Three hidden layers, two outputs."""
    return pr.partition(random_net(2, 8, 6, 6, 2), (-2, 2))


@pytest.fixture(scope="module")
def large() -> pr.Partition:
    """More than 15,000 faces: a thousand to a square inch."""
    part = pr.partition(random_net(2, 68, 68, 68, 1), (-4, 4), engine="exact")
    assert part.n_faces > 15_000
    return part


def pixels(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def bare_axes(background: str = "white", dpi: int = 100, side: float = 3.0) -> plt.Axes:
    """Axes that fill a whole figure."""
    figure = plt.figure(figsize=(side, side), dpi=dpi, facecolor=background)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    return ax


def pixel_centers(part: pr.Partition, n: int) -> np.ndarray:
    """Points of the domain under the pixels of `bare_axes`, (n, n, 2), from the top left."""
    xmin, ymin, xmax, ymax = part.domain.bounds
    at = (np.arange(n) + 0.5) / n
    x, y = np.meshgrid(xmin + at * (xmax - xmin), ymax - at * (ymax - ymin))
    return np.stack([x, y], axis=-1)


def collections(ax: plt.Axes) -> list[Collection]:
    return [c for c in ax.get_children() if isinstance(c, Collection)]


# --- colours --------------------------------------------------------------------------------------


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB to OKLab by Ottosson's forward matrices, which the package does not hold."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_lms = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(linear @ np.transpose(to_lms)) @ np.transpose(to_lab)


def as_seen_without(cone: str, rgb: np.ndarray) -> np.ndarray:
    """Colours as dichromats see them (Machado, Oliveira & Fernandes 2009, severity 1)."""
    matrix = {
        "red": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "green": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    }[cone]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(matrix), 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def test_zero_gradient_is_neutral() -> None:
    [color] = colors.slope_colors(np.zeros((1, 1, 2)))
    assert np.ptp(color) < 1e-3
    assert 0.85 < color[0] < 0.95


def test_all_colours_are_in_range_and_none_is_clipped() -> None:
    angle, strength = np.meshgrid(np.linspace(0, 2 * np.pi, 181), np.linspace(0, 1, 41))
    rgb = colors.wheel(angle, strength)
    assert rgb.min() > 0.0
    assert rgb.max() < 1.0


def test_directions_are_evenly_spaced() -> None:
    lab = oklab(colors.wheel(np.radians(np.arange(0, 360, 5)), 1.0))
    step = np.linalg.norm(lab - np.roll(lab, 1, axis=0), axis=1)
    assert step.max() / step.min() < 1.01
    assert step.min() > 0.01


@pytest.mark.parametrize("cone", ["red", "green"])
def test_dichromats_tell_directions_apart(cone: str) -> None:
    rgb = as_seen_without(cone, colors.wheel(np.radians(np.arange(0, 360, 30)), 0.8))
    lab = oklab(rgb)
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    # 0.02 is the difference that is just noticed (Ottosson 2020).
    assert distance.min() > 0.03
    opposite = np.linalg.norm(lab - np.roll(lab, 6, axis=0), axis=1)
    assert opposite.min() > 0.1


def test_stronger_is_further_from_neutral() -> None:
    neutral = oklab(colors.wheel(0.0, 0.0))
    for angle in np.linspace(0, 6, 7):
        away = np.linalg.norm(oklab(colors.wheel(angle, np.linspace(0, 1, 21))) - neutral, axis=1)
        assert (np.diff(away) > 0.004).all()


def test_one_steep_face_does_not_flatten_the_rest() -> None:
    gradient = np.array([[[0.1, 0]], [[0.2, 0]], [[0.3, 0]], [[0.4, 0]], [[1e9, 0]]])
    lab = oklab(colors.slope_colors(gradient))
    assert np.linalg.norm(np.diff(lab, axis=0), axis=1).min() > 0.02


def test_close_sizes_are_not_pulled_apart() -> None:
    gradient = np.array([[[1.0, 0]], [[1.0 + 1e-9, 0]], [[1.0 - 1e-9, 0]]])
    assert np.ptp(colors.slope_colors(gradient), axis=0).max() < 1e-6


def test_the_scale_is_strictly_increasing_and_has_an_inverse() -> None:
    sizes = np.geomspace(1e-3, 1e3, 200)
    scale = colors.SizeScale.of(sizes)
    strength = scale(np.concatenate([[0.0], sizes]))
    assert strength[0] == 0.0
    assert (np.diff(strength) > 0).all()
    assert [scale.size(t) for t in strength[1::50]] == pytest.approx(sizes[::50])
    assert scale.size(0.5) == pytest.approx(1.0)  # the middle of all logarithms
    assert colors.SizeScale.of(np.zeros(3))([0.0, 0.0]).tolist() == [0.0, 0.0]
    assert colors.SizeScale.of([])([0.0]).tolist() == [0.0]


def test_each_output_has_its_own_slopes() -> None:
    gradient = np.array([[[1.0, 0], [0, 2.0]], [[0, 1.0], [0, 2.0]]])
    first, second = (colors.slope_colors(gradient, output=m) for m in (0, 1))
    assert np.abs(first[0] - first[1]).max() > 0.1
    assert second[0].tolist() == second[1].tolist()


@pytest.mark.parametrize(
    ("gradient", "output", "message"),
    [
        (np.zeros((3, 2)), 0, r"shape \(F, M, 2\)"),
        (np.zeros((3, 2, 2)), 2, "output must be an index from 0 to 1"),
        (np.zeros((3, 2, 2)), -1, "output must be an index from 0 to 1"),
        (np.full((3, 1, 2), np.nan), 0, "NaN or infinite"),
    ],
)
def test_colours_refuse(gradient: np.ndarray, output: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        colors.slope_colors(gradient, output=output)


# --- the partition --------------------------------------------------------------------------------


FEET_AND_RADIANS = (0, -1, 2000, 1)


def test_coordinates_of_different_kinds_are_drawn_alike() -> None:
    # f = relu(x / 1000 + y): both ends of either side differ by 2
    part = pr.partition([([[0.0009765625, 1]], [0]), ([[1]], [0])], FEET_AND_RADIANS)
    drawn = pr.plot.partition(part)
    drawn.ax.figure.canvas.draw()
    box = drawn.ax.get_window_extent()
    assert box.width == pytest.approx(box.height)
    steep = int(part.locate([1500, 0.5]))
    expected = colors.slope_colors([[[0.9765625, 1]]])  # the only slope has a strength of 1/2
    np.testing.assert_allclose(drawn.faces.get_facecolor()[steep, :3], expected[0])
    lines = [text.get_text() for text in drawn.color_key.findobj(matplotlib.text.Text)]
    assert "times a side" in lines
    assert pr.plot.surface(part).axes.get_box_aspect()[:2] == pytest.approx(
        pr.plot.surface(pr.partition(CROSS)).axes.get_box_aspect()[:2]
    )


def test_long_domains_of_one_kind_are_true_to_scale() -> None:
    drawn = pr.plot.partition(pr.partition(CROSS, (-4, 0, 4, 1)))
    drawn.ax.figure.canvas.draw()
    box = drawn.ax.get_window_extent()
    assert box.width == pytest.approx(8 * box.height)


def test_numbers_along_the_axis_do_not_run_into_each_other() -> None:
    drawn = pr.plot.partition(pr.partition(CROSS, (-3700, -2300, 580, 1980)))
    figure = drawn.ax.figure
    figure.canvas.draw()
    low, high = drawn.ax.get_xlim()
    boxes = [
        label.get_window_extent()
        for at, label in zip(drawn.ax.get_xticks(), drawn.ax.get_xticklabels(), strict=True)
        if low <= at <= high
    ]
    assert len(boxes) >= 3
    assert all(a.x1 + 2 < b.x0 for a, b in pairwise(boxes))


def test_many_layers_make_rows_of_one_length() -> None:
    _, ax = plt.subplots()
    key = keys.line_legend(ax, range(6), [1.0] * 6, [1.0] * 6)
    ax.figure.canvas.draw()
    places = [text.get_window_extent() for text in key.get_texts()]
    assert sorted(Counter(round(place.y0) for place in places).values()) == [3, 3]


@pytest.mark.parametrize("x", [0.0, 1.6, 3.2, 4.0])
def test_names_of_data_points_stay_inside(x: float) -> None:
    points = [[0, 0, 0], [4, 0, 0], [x, 3, 1]]
    plane = pr.Slice.from_data(*points, labels=["a", "b", "a name that is long"])
    part = pr.partition([([[1, 0, 0]], [0]), ([[1]], [0])], slice=plane)
    drawn = pr.plot.partition(part)
    drawn.ax.figure.canvas.draw()
    box = drawn.ax.get_window_extent()
    for name in drawn.marks[1:]:
        extent = name.get_window_extent()
        assert box.x0 <= extent.x0
        assert extent.x1 <= box.x1


@pytest.mark.parametrize("lines", ["layer", "jump", "crease", None])
@pytest.mark.parametrize("color", ["slope", "value", "layer", "area", "count", None])
def test_few_artists_whatever_is_drawn(
    part: pr.Partition, color: str | None, lines: str | None
) -> None:
    drawn = pr.plot.partition(part, color=color, lines=lines)
    assert drawn.ax.get_xlim() == drawn.ax.get_ylim() == (-2, 2)
    assert drawn.ax.get_aspect() == 1
    assert len(collections(drawn.ax)) <= 3
    assert not drawn.ax.patches
    assert not drawn.ax.lines
    n_lines = {
        "layer": part.is_inner.sum(),
        "jump": (faces.gradient_jump(part, 0) > 0).sum(),
        "crease": part.is_crease.sum(),
    }
    if lines is None:
        assert drawn.lines is None
    else:
        assert isinstance(drawn.lines, LineCollection)
        assert len(drawn.lines.get_segments()) == n_lines[lines]
    drawn.ax.figure.canvas.draw()
    if color is None:
        assert drawn.faces is None
    else:
        assert isinstance(drawn.faces, PolyCollection)
        n_paths = len(drawn.faces.get_paths())
        assert n_paths > part.n_faces if color == "value" else n_paths == part.n_faces
        rgba = drawn.faces.get_facecolor()
        assert len(rgba) == n_paths
        assert np.isfinite(rgba).all()
        assert (rgba >= 0).all()
        assert (rgba[:, 3] == 1).all()
        assert drawn.color_key is not None


def test_slope_colours_are_those_of_the_faces(part: pr.Partition) -> None:
    for output in range(part.n_outputs):
        drawn = pr.plot.partition(part, output=output)
        assert drawn.faces is not None
        expected = colors.slope_colors(part.face_weight, output=output)
        np.testing.assert_allclose(drawn.faces.get_facecolor()[:, :3], expected)


def test_the_key_has_the_colours_of_the_faces() -> None:
    # Sixteen directions: a bias-free layer of eight lines through the origin.
    angle = np.pi * np.arange(8) / 8
    layers = [(np.stack([np.cos(angle), np.sin(angle)], 1), np.zeros(8)), (np.ones((1, 8)), [0])]
    part = pr.partition(layers, (-1, 1))
    figure = plt.figure(figsize=(6, 4), dpi=200)
    drawn = pr.plot.partition(part, figure.add_axes((0, 0.05, 0.66, 0.9)), lines=None)
    assert drawn.color_key is not None
    image = pixels(figure)
    scale = colors.SizeScale.of(colors.slope_sizes(part.face_weight))
    box = drawn.color_key.get_child().get_children()[0].get_window_extent()
    radius = box.width / 2
    for direction in np.radians([0, 90, 180, 270, 45]):
        strength = 0.6  # between two of the rings
        x = (box.x0 + box.x1) / 2 + strength * radius * np.cos(direction)
        y = (box.y0 + box.y1) / 2 + strength * radius * np.sin(direction)
        found = image[len(image) - 1 - int(y), int(x)]
        slope = scale.size(strength) * np.array([[[np.cos(direction), np.sin(direction)]]])
        expected = 255 * colors.slope_colors(slope, scale=scale)[0]
        assert np.abs(found - expected).max() < 8


def test_layer_is_the_newest_edge() -> None:
    # Layer 0 cuts at x = 0, layer 1 only the right half, at x = 1/2.
    layers = [([[1, 0]], [0]), ([[1]], [-0.5]), ([[1]], [0])]
    part = pr.partition(layers, (-1, 1))
    by_x = np.argsort(part.centroids[:, 0])
    assert faces.newest_layer(part)[by_x].tolist() == [0, 1, 1]
    assert faces.newest_layer(pr.partition([([[1, 0]], [0])])).tolist() == [-1]
    drawn = pr.plot.partition(part, color="layer")
    entries = [t.get_text() for t in drawn.color_key.get_texts()]
    assert entries == ["layer 0", "layer 1"]
    assert [t.get_text() for t in drawn.line_key.get_texts()] == entries


def test_count_is_the_number_of_active_units() -> None:
    part = pr.partition(CROSS, (-1, 1))
    expected = (part.centroids > 0).sum(axis=1)
    assert faces.active_units(part).tolist() == expected.tolist()
    drawn = pr.plot.partition(part, color="count")
    assert drawn.faces.get_array().tolist() == expected.tolist()
    assert len(np.unique(drawn.faces.to_rgba(expected), axis=0)) == 3


def test_lines_of_earlier_layers_are_heavier(part: pr.Partition) -> None:
    drawn = pr.plot.partition(part, lines="layer")
    by_layer: dict[int, set[float]] = {}
    segments = {tuple(map(tuple, s.tolist())): i for i, s in enumerate(drawn.lines.get_segments())}
    widths = drawn.lines.get_linewidth()
    for e in np.flatnonzero(part.is_inner):
        i = segments[tuple(map(tuple, part.vertex_xy[part.edge_vertices[e]].tolist()))]
        by_layer.setdefault(int(part.edge_layer[e]), set()).add(float(widths[i]))
    assert sorted(by_layer) == [0, 1, 2]
    (first,), (second,), (third,) = (by_layer[n] for n in range(3))
    assert first > second > third > 0


def test_jump_is_the_change_of_the_gradient() -> None:
    # f = max(x, 0) + 2 max(y, 0): the gradient jumps by 1 at x = 0 and by 2 at y = 0.
    part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[1, 2]], [0])], (-1, 1))
    vertical = part.vertex_xy[part.edge_vertices][:, :, 0].tolist()
    jump = faces.gradient_jump(part, 0)
    for inner, x, found in zip(part.is_inner, vertical, jump, strict=True):
        assert found == (0.0 if not inner else 1.0 if x == [0.0, 0.0] else 2.0)
    drawn = pr.plot.partition(part, lines="jump")
    widths = drawn.lines.get_linewidth()
    assert len(widths) == 4
    assert widths[0] == widths[1] < widths[2] == widths[3]


def test_numbers_of_ones_own(part: pr.Partition) -> None:
    numbers = np.arange(part.n_faces)
    drawn = pr.plot.partition(part, color=numbers, cmap="magma")
    assert drawn.faces.get_array().tolist() == numbers.tolist()
    assert drawn.faces.get_clim() == (0, part.n_faces - 1)
    assert drawn.faces.get_cmap() == colormaps["magma"]


def test_given_axes_are_used_and_nothing_else_is_made(part: pr.Partition) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert pr.plot.partition(part, left, key=False).ax is left
    assert pr.plot.output(part, right, key=False).axes is right
    assert len(figure.axes) == 2
    assert not plt.get_fignums()


def test_keys_stay_inside_the_figure(part: pr.Partition) -> None:
    for color in ("slope", "value", "layer", "area", "count"):
        drawn = pr.plot.partition(part, color=color)
        figure = drawn.ax.figure
        figure.canvas.draw()
        key = getattr(drawn.color_key, "ax", drawn.color_key)
        for artist in (drawn.ax.xaxis, drawn.ax.yaxis, key, drawn.line_key):
            box = artist.get_tightbbox(figure.canvas.get_renderer())
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= figure.bbox.width
            assert box.y1 <= figure.bbox.height


@pytest.mark.parametrize("color", ["slope", "value", "layer", "area", "count", None])
@pytest.mark.parametrize("lines", ["layer", "jump", "crease"])
def test_one_face(color: str | None, lines: str) -> None:
    drawn = pr.plot.partition(pr.partition([([[1, 2]], [0])], (0, 1)), color=color, lines=lines)
    drawn.ax.figure.canvas.draw()
    assert not drawn.lines.get_segments()


@pytest.mark.parametrize("color", ["slope", "value", "layer", "area", "count"])
@pytest.mark.parametrize("half", [1e-150, 1e-9, 5000.0, 1e150])
def test_tiny_and_huge_domains(color: str, half: float) -> None:
    part = pr.partition(random_net(2, 5, 5, 1, scale=half), (-half, half))
    assert part.n_faces > 8
    for rasterized in (False, True):
        drawn = pr.plot.partition(part, color=color, rasterized=rasterized)
        drawn.ax.figure.canvas.draw()
        assert drawn.ax.get_xlim() == (-half, half)


def test_areas_are_shares_where_float64_has_none() -> None:
    def drawn(half: float) -> tuple[np.ndarray, str]:
        part = pr.partition(random_net(2, 5, 5, 1, scale=half), (-half, half))
        artists = pr.plot.partition(part, color="area")
        return np.asarray(artists.faces.get_array()), artists.color_key.ax.get_ylabel()

    ordinary, label = drawn(1.0)
    assert label == "area"
    share, label = drawn(2.0**-600)
    assert label == "area as a share of the axes"
    np.testing.assert_allclose(share, ordinary / 4, rtol=1e-12)


@pytest.mark.parametrize("color", ["slope", "value", "layer", "area", "count"])
def test_cells_too_small_for_float64(color: str) -> None:
    # Twelve lines meant to meet in (1/3, 1/3), whose biases are rounded.
    angle = np.pi * (np.arange(12) + 0.5) / 12
    weight = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    part = pr.partition([(weight, -weight.sum(axis=1) / 3), (np.ones((1, 12)), [0])], (0, 1))
    assert part.areas.min() < 1e-30
    pr.plot.partition(part, color=color, lines="jump").ax.figure.canvas.draw()


def test_a_flat_function() -> None:
    part = pr.partition([([[1, 0]], [0]), ([[0]], [7])])
    for color in ("slope", "value", "area", "count"):
        drawn = pr.plot.partition(part, color=color, lines="jump")
        drawn.ax.figure.canvas.draw()
        assert np.isfinite(drawn.faces.get_facecolor()).all()
        assert not drawn.lines.get_segments()


def test_nothing_is_drawn_outside_a_polygon() -> None:
    part = pr.partition(random_net(2, 8, 1), HEXAGON)
    for color in ("slope", "value"):
        ax = bare_axes()
        pr.plot.partition(part, ax, color=color, key=False, linewidth=6)
        image = pixels(ax.figure)
        xmin, ymin, xmax, ymax = part.domain.bounds
        # equal aspect leaves a strip free; find the axes on the page
        box = ax.get_window_extent()
        rows, columns = np.indices(image.shape[:2])
        x = xmin + (columns + 0.5 - box.x0) / box.width * (xmax - xmin)
        y = ymin + (len(image) - rows - 0.5 - box.y0) / box.height * (ymax - ymin)
        pixel = (xmax - xmin) / box.width
        inside = part.locate(np.stack([x.ravel(), y.ravel()], 1)).reshape(x.shape) >= 0
        near = HEXAGON.boundary.buffer(2 * pixel)
        on_border = shapely.contains_xy(near, x, y)
        assert (image[~inside & ~on_border] == 255).all()
        assert (image[inside & ~on_border] < 255).any(axis=-1).all()


def uniform_render(part: pr.Partition, background: str, *, seams: bool = True) -> np.ndarray:
    """All faces in one colour, without lines."""
    ax = bare_axes(background)
    drawn = pr.plot.partition(part, ax, color=np.zeros(part.n_faces), lines=None, key=False)
    if not seams:
        drawn.seams.remove()
    return pixels(ax.figure)[1:-1, 1:-1]


def test_no_seams_between_neighbours(part: pr.Partition) -> None:
    for background in ("white", "black"):
        image = uniform_render(part, background)
        assert np.ptp(image.reshape(-1, 3), axis=0).max() == 0
    # the check does see seams where there are some
    assert np.ptp(uniform_render(part, "white", seams=False).reshape(-1, 3), axis=0).max() > 40


def test_two_colours_mix_only_with_each_other() -> None:
    # one slanting line; every pixel must be red, blue or a mixture of both
    part = pr.partition([([[1, 0.37]], [0.1]), ([[1]], [0])], (-1, 1))
    two = matplotlib.colors.ListedColormap(["red", "blue"])
    ax = bare_axes("white")
    pr.plot.partition(part, ax, color=[0, 1], cmap=two, lines=None, key=False)
    image = pixels(ax.figure)[1:-1, 1:-1]
    assert image[..., 1].max() <= 1
    assert np.abs(image[..., 0] + image[..., 2] - 255).max() <= 2
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


@pytest.mark.parametrize("background", ["white", "black"])
def test_no_seams_between_bands(part: pr.Partition, background: str) -> None:
    grey = matplotlib.colors.ListedColormap(np.full((256, 3), 0.5))
    ax = bare_axes(background)
    pr.plot.partition(part, ax, color="value", cmap=grey, lines=None, key=False)
    image = pixels(ax.figure)[1:-1, 1:-1]
    assert np.abs(image - 127.5).max() < 4


@pytest.mark.parametrize("options", [{}, {"color": "value"}, {"lines": "crease"}])
def test_pixels_show_what_polygons_show(part: pr.Partition, options: dict) -> None:
    def drawn(rasterized: bool) -> np.ndarray:
        ax = bare_axes(dpi=100)
        artists = pr.plot.partition(part, ax, key=False, rasterized=rasterized, **options)
        assert artists.faces is not None
        assert artists.faces.get_rasterized() == artists.lines.get_rasterized() == rasterized
        return pixels(ax.figure)[1:-1, 1:-1]

    difference = np.abs(drawn(True) - drawn(False))
    # They differ along edges, where polygons are antialiased in steps and round off their ends.
    assert np.median(difference) <= 1
    assert difference.mean() < 3


@pytest.mark.parametrize("background", ["white", "black"])
@pytest.mark.parametrize("color", ["value", "number"])
def test_pixels_have_no_seams(part: pr.Partition, color: str, background: str) -> None:
    grey = matplotlib.colors.ListedColormap(np.full((256, 3), 102 / 255))
    ax = bare_axes(background)
    by = "value" if color == "value" else np.arange(part.n_faces)
    drawn = pr.plot.partition(part, ax, color=by, cmap=grey, lines=None, key=False, rasterized=True)
    assert drawn.seams is None
    assert np.unique(pixels(ax.figure)[1:-1, 1:-1]).tolist() == [102]


def test_pixels_are_the_mean_of_the_faces(large: pr.Partition) -> None:
    n = 30  # as many faces to a pixel as there are pixels in a row
    ax = bare_axes(dpi=n // 3)
    pr.plot.partition(large, ax, lines=None, key=False, rasterized=True)
    image = pixels(ax.figure)
    rgb = 255 * colors.slope_colors(large.face_weight)
    i, j = np.indices((n, n))
    at = np.stack([i, j], axis=-1)[::7, ::7].reshape(-1, 2)
    half = 8 / n
    for row, column in at.tolist():
        x, y = -4 + column * half, 4 - (row + 1) * half
        box = shapely.box(x, y, x + half, y + half)
        near = np.flatnonzero(shapely.intersects(large.polygons, box))
        share = shapely.area(shapely.intersection(large.polygons[near], box))
        mean = (share / share.sum()) @ rgb[near]
        assert np.abs(image[row, column] - mean).max() < 1.01


def test_pixels_keep_to_the_axes_and_follow_them(part: pr.Partition) -> None:
    figure = plt.figure(figsize=(4, 3), dpi=50)
    ax = figure.add_axes((0.25, 0.25, 0.5, 0.5))
    ax.set_axis_off()
    red = matplotlib.colors.ListedColormap(["red"])
    pr.plot.partition(
        part, ax, color=np.ones(part.n_faces), cmap=red, lines=None, key=False, rasterized=True
    )
    for limits in ((-2, 2), (0, 1), (-1, 7)):
        ax.set(xlim=limits, ylim=limits)
        is_red = (pixels(figure) == [255, 0, 0]).all(axis=-1)
        side = 75 if limits != (-1, 7) else 75 * 3 / 8
        assert np.count_nonzero(is_red) == pytest.approx(side**2, rel=0.08)
        rows, columns = np.nonzero(is_red)
        assert columns.min() >= 62
        assert columns.max() <= 138
        assert rows.min() >= 37
        assert rows.max() <= 113


def test_pixels_of_a_polygon_end_at_its_border() -> None:
    part = pr.partition(random_net(2, 8, 1), HEXAGON)
    for color in ("slope", "value"):
        both = []
        for rasterized in (True, False):
            ax = bare_axes()
            pr.plot.partition(part, ax, color=color, key=False, rasterized=rasterized)
            both.append(pixels(ax.figure))
        assert ((both[0] == 255).all(axis=-1) == (both[1] == 255).all(axis=-1)).mean() > 0.995


def test_artists_drawn_as_pixels_can_be_changed(part: pr.Partition) -> None:
    ax = bare_axes()
    drawn = pr.plot.partition(part, ax, key=False, rasterized=True)
    assert drawn.faces is not None
    assert drawn.lines is not None
    before = pixels(ax.figure)
    np.testing.assert_array_equal(pixels(ax.figure), before)  # what has been kept
    drawn.lines.set_linewidth(5)
    heavy = pixels(ax.figure)
    assert heavy.mean() < before.mean() - 10
    drawn.lines.set_visible(False)
    drawn.faces.set_facecolor("red")
    assert (pixels(ax.figure)[1:-1, 1:-1] == [255, 0, 0]).all()
    drawn.faces.set_alpha(0.4)
    assert np.abs(pixels(ax.figure)[1:-1, 1:-1] - [255, 153, 153]).max() <= 1
    square = [[(-1, -1), (1, -1), (1, 1), (-1, 1)]]
    drawn.faces.set_verts(square)
    assert len(drawn.faces.get_paths()) == 1
    outside = pixels(ax.figure)[:70]
    assert (outside == 255).all()
    drawn.lines.set_visible(True)
    drawn.lines.set(color=["red", "lime"], linewidth=2)
    mixed = pixels(ax.figure).reshape(-1, 3)
    assert {(255, 0, 0), (0, 255, 0)} <= set(map(tuple, mixed.tolist()))
    drawn.lines.set_segments([[(-2, 0), (2, 0)]])
    assert len(drawn.lines.get_segments()) == 1
    assert pixels(ax.figure).mean() > mixed.mean()


def test_many_faces_become_pixels_in_vector_files(
    part: pr.Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(dpi: int = 20, **options: object) -> bytes:
        drawn = pr.plot.partition(part, **options)
        assert drawn.faces is not None
        file = io.BytesIO()
        drawn.ax.figure.savefig(file, format="svg", dpi=dpi)
        return file.getvalue()

    assert written().count(b"<path") > part.n_faces
    assert written(rasterized=True).count(b"<path") < part.n_faces
    # at the resolution that was asked for
    assert len(written(rasterized=True, dpi=200)) > 5 * len(written(rasterized=True))
    monkeypatch.setattr(canvas, "_MOST_PER_SQUARE_INCH", part.n_faces / 30)
    assert written().count(b"<path") < part.n_faces
    assert written(rasterized=False).count(b"<path") > part.n_faces
    small = plt.figure(figsize=(3, 3)).add_axes((0, 0, 1, 1))
    large = plt.figure(figsize=(9, 9)).add_axes((0, 0, 1, 1))
    assert pr.plot.partition(part, small).faces.get_rasterized()
    assert not pr.plot.partition(part, large).faces.get_rasterized()
    monkeypatch.setattr(canvas, "_MOST_FACES", part.n_faces - 1)
    assert pr.plot.partition(part, large).faces.get_rasterized()


def test_more_than_ten_thousand_faces(large: pr.Partition) -> None:
    drawn = pr.plot.partition(large)
    assert drawn.faces.get_rasterized()
    assert len(collections(drawn.ax)) == 2
    drawn.ax.figure.canvas.draw()
    assert len(drawn.faces.get_facecolor()) == large.n_faces
    few = pr.plot.partition(pr.partition(CROSS))
    assert max(drawn.lines.get_linewidth()) < min(few.lines.get_linewidth())
    assert drawn.lines.get_colors()[:, 3].max() < few.lines.get_colors()[:, 3].min()
    exact = pr.plot.output(large, key=False)
    assert exact.get_rasterized()
    exact.axes.figure.canvas.draw()
    assert len(exact.get_paths()) >= large.n_faces


def red_under_lines(part: pr.Partition, *, rasterized: bool) -> tuple[np.ndarray, np.ndarray]:
    """How red the page is around the middle of the domain, and the opacity of the lines."""
    ax = bare_axes()
    red = matplotlib.colors.ListedColormap(["red"])
    options = {"cmap": red, "key": False, "rasterized": rasterized, "linewidth": 1}
    drawn = pr.plot.partition(part, ax, color=np.ones(part.n_faces), **options)
    assert drawn.lines is not None
    return pixels(ax.figure)[130:170, 130:170, 0] / 255, drawn.lines.get_colors()[:, 3]


def test_lines_through_one_point_do_not_hide_it_in_pixels() -> None:
    angle = np.pi * (np.arange(60) + 0.5) / 60
    weight = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    part = pr.partition([(weight, np.zeros(60)), (np.ones((1, 60)), [0])], (-1, 1))
    red, opacity = red_under_lines(part, rasterized=True)
    assert red.mean() > 0.6
    assert np.ptp(opacity) == 0.0
    red, _ = red_under_lines(part, rasterized=False)
    assert red.mean() < 0.4  # strokes have one opacity each


def test_crowds_of_lines_do_not_hide_the_faces() -> None:
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(60, 2)), rng.normal(size=60)), (np.ones((1, 60)), [0])]
    part = pr.partition(layers, (-10, 10), engine="exact")  # most lines meet around the middle
    for rasterized in (False, True):
        red, _ = red_under_lines(part, rasterized=rasterized)
        assert red.mean() > 0.6
    _, opacity = red_under_lines(part, rasterized=False)
    middle = np.abs(part.vertex_xy[part.edge_vertices[part.is_inner]].mean(axis=1)).max(axis=1)
    assert np.median(opacity[middle < 1]) < 0.3
    assert np.median(opacity[middle > 8]) > 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color": "slopes"}, "'slope', 'value', 'layer', 'area', 'count', an array"),
        ({"lines": "jumps"}, "'layer', 'jump', 'crease' or None"),
        ({"output": 2}, "output must be an index from 0 to 1 .*2 outputs"),
        ({"output": -1}, "output must be an index"),
        ({"output": 0.5}, "output must be an index"),
        ({"color": [1.0, 2.0]}, "one number for each of the"),
        ({"cmap": "prism"}, "takes no cmap"),
        ({"color": "area", "cmap": "no such map"}, "no such map"),
        ({"linewidth": -1.0}, "linewidth must be"),
        ({"linewidth": np.nan}, "linewidth must be"),
    ],
)
def test_partition_refuses(part: pr.Partition, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.plot.partition(part, **options)
    assert not plt.get_fignums()


def test_numbers_must_be_finite_numbers(part: pr.Partition) -> None:
    for bad in (np.full(part.n_faces, np.nan), np.full(part.n_faces, "a")):
        with pytest.raises(ValueError, match="array to colour by"):
            pr.plot.partition(part, color=bad)


# --- bands ----------------------------------------------------------------------------------------


def area(polygon: np.ndarray) -> float:
    x, y = (polygon - polygon[0]).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def cut(part: pr.Partition, position: np.ndarray, n: int) -> tuple[list[np.ndarray], np.ndarray]:
    xy, offsets, band = bands.cut_into_bands(part, position, n)
    assert offsets[0] == 0
    assert offsets[-1] == len(xy)
    return np.split(xy, offsets[1:-1]), band


@pytest.mark.parametrize("n_bands", [1, 2, 7, 256])
def test_bands_tile_every_face_and_keep_to_their_levels(part: pr.Partition, n_bands: int) -> None:
    values = bands.vertex_values(part, 1)
    np.testing.assert_allclose(values, part(part.vertex_xy)[:, 1], rtol=1e-9, atol=1e-12)
    position = (values - values.min()) / np.ptp(values) * n_bands
    polygons, band = cut(part, position, n_bands)
    assert set(band.tolist()) <= set(range(n_bands))
    covered = np.zeros(part.n_faces)
    for polygon, k in zip(polygons, band, strict=True):
        assert area(polygon) > -1e-15
        inside = part.locate(polygon.mean(axis=0)[None])
        covered[inside] += area(polygon)
        at = (part(polygon)[:, 1] - values.min()) / np.ptp(values) * n_bands
        assert (at > k - 1e-6).all()
        assert (at < k + 1 + 1e-6).all()
    np.testing.assert_allclose(covered, part.areas, rtol=1e-6, atol=1e-12)


def test_corners_exactly_on_a_level() -> None:
    # f = max(x, 0) on [-1, 1]: levels at x = 0, 1/4, 1/2, 3/4, 1
    part = pr.partition([([[1, 0]], [0]), ([[1]], [0])], (-1, 1))
    polygons, band = cut(part, 4 * bands.vertex_values(part, 0), 4)
    widths = sorted((int(k), float(np.ptp(p[:, 0]))) for p, k in zip(polygons, band, strict=True))
    assert widths == [(0, 0.25), (0, 1.0), (1, 0.25), (2, 0.25), (3, 0.25)]
    # f = max(x, 0) + max(x - 1/2, 0) on [0, 1]: a crease lies on the level 1/2
    part = pr.partition([([[1, 0], [1, 0]], [0, -0.5]), ([[1, 1]], [0])], (0, 1))
    polygons, band = cut(part, 2 * bands.vertex_values(part, 0), 3)
    pieces = sorted(
        (int(k), float(p[:, 0].min()), area(p)) for p, k in zip(polygons, band, strict=True)
    )
    assert pieces == [(0, 0.0, 0.5), (1, 0.5, 0.25), (2, 0.75, 0.25)]


# --- output ---------------------------------------------------------------------------------------


def test_exact_output_has_the_colours_of_the_function(part: pr.Partition) -> None:
    n = 300
    ax = bare_axes(dpi=n // 3)
    artist = pr.plot.output(part, ax, output=1, cmap="viridis", key=False)
    assert isinstance(artist, PolyCollection)
    image = pixels(ax.figure)
    points = pixel_centers(part, n)
    values = part(points.reshape(-1, 2))[:, 1]
    assert artist.get_clim() == pytest.approx((values.min(), values.max()), rel=0.02)
    expected = 255 * colormaps["viridis"](artist.norm(values))[:, :3].reshape(n, n, 3)
    assert np.abs(image - expected).mean() < 1.0
    assert np.quantile(np.abs(image - expected).max(axis=-1), 0.99) < 8


@pytest.mark.parametrize("kind", ["partition", "arrays", "network"])
def test_sampled_output_is_the_models_own(kind: str) -> None:
    layers = random_net(2, 5, 3)
    drawn = {
        "partition": lambda: pr.plot.output(
            pr.partition(layers, (-1, 0, 2, 4)), exact=False, resolution=21, output=2
        ),
        "arrays": lambda: pr.plot.output(layers, domain=(-1, 0, 2, 4), resolution=21, output=2),
        "network": lambda: pr.plot.output(
            pr.lower(layers), domain=(-1, 0, 2, 4), resolution=21, output=2
        ),
    }[kind]()
    assert isinstance(drawn, AxesImage)
    x, y = np.meshgrid(np.linspace(-1, 2, 21), np.linspace(0, 4, 21))
    expected = pr.lower(layers)(np.stack([x.ravel(), y.ravel()], 1))[:, 2].reshape(21, 21)
    np.testing.assert_allclose(drawn.get_array(), expected, atol=1e-12)
    assert drawn.axes.get_xlim() == (-1, 2)
    assert drawn.axes.get_ylim() == (0, 4)
    # samples in the middle of their pixels, the first and last on the border
    assert drawn.get_extent() == pytest.approx([-1 - 0.075, 2 + 0.075, -0.1, 4.1])


def test_samples_are_drawn_where_they_were_taken() -> None:
    n = 100
    part = pr.partition(random_net(2, 5, 1), (-2, 2))
    ax = bare_axes(dpi=n // 2, side=2.0)
    artist = pr.plot.output(part, ax, exact=False, resolution=4 * n, cmap="viridis", key=False)
    values = part(pixel_centers(part, n).reshape(-1, 2))[:, 0]
    expected = 255 * colormaps["viridis"](artist.norm(values))[:, :3].reshape(n, n, 3)
    assert np.abs(pixels(ax.figure) - expected).max() < 12


def test_sampled_torch_output() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    drawn = pr.plot.output(model, domain=(0, 1), resolution=5)
    x, y = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    points = torch.tensor(np.stack([x.ravel(), y.ravel()], 1), dtype=torch.float32)
    with torch.no_grad():
        np.testing.assert_allclose(drawn.get_array().ravel(), model(points).numpy().ravel())


def test_samples_outside_a_polygon_are_masked() -> None:
    part = pr.partition(CROSS, Polygon([(0, 0), (1, 0), (0, 1)]))
    drawn = pr.plot.output(part, exact=False, resolution=9)
    x, y = np.meshgrid(np.arange(9), np.arange(9))
    assert (np.ma.getmaskarray(drawn.get_array()) == (x + y > 8)).all()
    drawn.axes.figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": True}, "only a partition can be drawn exactly"),
        ({"resolution": 1}, "resolution must be a whole number from 2"),
        ({"resolution": 10.5}, "resolution must be a whole number from 2"),
        ({"output": 1}, "output must be an index from 0 to 0"),
        ({"cmap": "no such map"}, "no such map"),
        ({"domain": (1, -1)}, "reversed"),
    ],
)
def test_output_refuses(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.plot.output(CROSS, **options)
    assert not plt.get_fignums()


def test_output_of_a_partition_refuses_another_domain(part: pr.Partition) -> None:
    with pytest.raises(ValueError, match="own domain"):
        pr.plot.output(part, domain=(0, 1))
    with pytest.raises(TypeError, match="model must be"):
        pr.plot.output("model.pt")


# --- gradients ------------------------------------------------------------------------------------


def test_both_gradients_agree_away_from_edges(part: pr.Partition) -> None:
    n = 201
    artists = pr.plot.gradient_comparison(part, resolution=n, output=1)
    at = np.linspace(-2, 2, n)
    x, y = np.meshgrid(at, at)
    here, right, left, above, below = (
        part.locate(np.stack([(x + dx).ravel(), (y + dy).ravel()], 1)).reshape(n, n)
        for dx, dy in ((0, 0), (0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02))
    )
    whole = (here == right) & (here == left) & (here == above) & (here == below)
    assert whole.sum() > n * n / 4
    for i in range(2):
        image, polygons = artists[i]
        assert isinstance(image, AxesImage)
        assert isinstance(polygons, PolyCollection)
        exact = part.face_weight[:, 1, i]
        assert polygons.get_array().tolist() == exact.tolist()
        differences = np.asarray(image.get_array())
        np.testing.assert_allclose(differences[whole], exact[here[whole]], atol=1e-10)
        assert image.norm is polygons.norm
        assert image.get_cmap() == polygons.get_cmap() == colormaps["prism"]
    artists[0, 0].figure.canvas.draw()


def test_gradient_comparison_draws_few_artists(part: pr.Partition) -> None:
    figure = Figure()
    axes = figure.subplots(2, 2)
    artists = pr.plot.gradient_comparison(part, axes=axes, resolution=20, key=False)
    assert len(figure.axes) == 4
    for ax, artist in zip(axes.ravel(), artists.ravel(), strict=True):
        assert artist.axes is ax
        assert ax.get_xlim() == ax.get_ylim() == (-2, 2)
    assert [len(collections(ax)) for ax in axes.ravel()] == [0, 3, 0, 3]
    assert not plt.get_fignums()


def test_gradient_comparison_samples_the_model_it_is_given() -> None:
    part = pr.partition(CROSS, (0, 1))
    other = [([[3, 0]], [0])]  # 3 x, whose derivatives are 3 and 0
    artists = pr.plot.gradient_comparison(part, other, resolution=5)
    np.testing.assert_allclose(artists[0, 0].get_array(), 3.0)
    np.testing.assert_allclose(artists[1, 0].get_array(), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": [1, 2]}, "axes must be a 2 x 2 array"),
        ({"resolution": 0}, "resolution must be"),
        ({"output": 5}, "output must be an index"),
        ({"cmap": "no such map"}, "no such map"),
    ],
)
def test_gradient_comparison_refuses(part: pr.Partition, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.plot.gradient_comparison(part, **options)


# --- surface --------------------------------------------------------------------------------------


def test_surface_has_one_facet_for_each_face(part: pr.Partition) -> None:
    facets = pr.plot.surface(part, output=1)
    ax = facets.axes
    values = part(part.vertex_xy)[:, 1]
    assert ax.get_xlim() == ax.get_ylim() == (-2, 2)
    assert ax.get_zlim() == pytest.approx((values.min(), values.max()))
    assert len(collections(ax)) == 1
    ax.figure.canvas.draw()
    assert len(facets.get_paths()) == part.n_faces
    rgba = facets.get_facecolor()
    assert rgba.shape == (part.n_faces, 4)
    expected = colors.slope_colors(part.face_weight, output=1)
    assert sorted(map(tuple, np.round(rgba[:, :3], 9))) == sorted(map(tuple, np.round(expected, 9)))


def test_surface_stays_inside_its_axes() -> None:
    # A flat square in one colour: its corners must be seen, and its area is that of a rhombus.
    part = pr.partition([([[0, 0]], [3])])
    for size in ((6.4, 5.2), (4, 4), (8, 4)):
        facets = pr.plot.surface(
            part, plt.figure(figsize=size).add_subplot(projection="3d"), key=False, linewidth=0
        )
        ax = facets.axes
        pixels(ax.figure)
        corners = np.column_stack([part.vertex_xy, np.full(part.n_vertices, 3.0)])
        on_page = np.column_stack(proj3d.proj_transform(*corners.T, ax.get_proj())[:2])
        low, high = ax.bbox.min, ax.bbox.max
        at = ax.transData.transform(on_page)
        assert (at > low).all()
        assert (at < high).all()


def test_many_facets_are_pixels_in_vector_files(part: pr.Partition, large: pr.Partition) -> None:
    def written(**options: object) -> int:
        facets = pr.plot.surface(part, **options)
        file = io.BytesIO()
        facets.figure.savefig(file, format="svg", dpi=20)
        return file.getvalue().count(b"<path")

    assert written() > part.n_faces
    assert written(rasterized=True) < written() - part.n_faces / 2
    assert pr.plot.surface(large).get_rasterized()
    assert not pr.plot.surface(large, rasterized=False).get_rasterized()


def test_surface_can_be_flat_and_have_one_facet() -> None:
    part = pr.partition([([[0, 0]], [3])])
    ax = pr.plot.surface(part).axes
    assert ax.get_zlim() == (1.5, 4.5)
    ax.figure.canvas.draw()


def test_surface_refuses(part: pr.Partition) -> None:
    with pytest.raises(ValueError, match="axes"):
        pr.plot.surface(part, Figure().subplots())
    with pytest.raises(ValueError, match="output must be an index"):
        pr.plot.surface(part, output=2)
    with pytest.raises(ValueError, match="height"):
        pr.plot.surface(part, height=0.0)


# --- regions by depth -----------------------------------------------------------------------------


ROWS = [
    {"depth": d, "width_per_layer": n // d, "budget": n, "seed": s, "activation_regions": count}
    for d, n, s, count in [
        (2, 12, 0, 30),
        (1, 12, 0, 60),
        (1, 12, 1, 64),
        (1, 12, 2, 71),
        (2, 12, 1, 50),
        (1, 24, 0, 250),
        (3, 24, 0, 150),
    ]
]


def test_means_and_spread_of_every_budget() -> None:
    lines = pr.plot.regions_by_depth(ROWS)
    assert [line.get_label() for line in lines] == ["12 units", "24 units"]
    assert lines[0].get_xdata().tolist() == [1, 2]
    assert lines[0].get_ydata().tolist() == [65, 40]
    assert lines[1].get_xdata().tolist() == [1, 3]
    assert lines[1].get_ydata().tolist() == [250, 150]
    ax = lines[0].axes
    assert ax.get_yscale() == "log"
    corners = {tuple(p) for p in collections(ax)[0].get_paths()[0].vertices.tolist()}
    assert corners == {(1, 60), (1, 71), (2, 30), (2, 50)}
    ax.figure.canvas.draw()


def test_columns_do_as_well_as_rows() -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    by_rows, by_columns = pr.plot.regions_by_depth(ROWS), pr.plot.regions_by_depth(columns)
    for a, b in zip(by_rows, by_columns, strict=True):
        assert a.get_xydata().tolist() == b.get_xydata().tolist()


def test_bounds_stand_beside_the_counts() -> None:
    ax = Figure().subplots()
    lines = pr.plot.regions_by_depth(
        ROWS,
        ax,
        bounds={"all": ([1, 2], [80, 90]), "each": {12: ([1], [79]), 24: ([1, 3], [301, 400])}},
    )
    assert [line.get_label() for line in lines[2:]] == ["all", "each, 12 units", "each, 24 units"]
    assert list(lines[4].get_ydata()) == [301, 400]
    assert lines[3].get_color() == pytest.approx(lines[0].get_color())
    assert lines[4].get_color() == pytest.approx(lines[1].get_color())
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert entries == ["12 units", "24 units", "all", "each"]


def test_another_count() -> None:
    rows = [{**row, "linear_regions": row["activation_regions"] - 1} for row in ROWS]
    lines = pr.plot.regions_by_depth(rows, count="linear_regions")
    assert lines[0].get_ydata().tolist() == [64, 39]
    assert lines[0].axes.get_ylabel() == "linear regions"


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ([], {}, "empty"),
        ({"depth": [], "budget": [], "activation_regions": []}, {}, "empty"),
        ([{"depth": 1}], {}, "budget, activation_regions is missing"),
        ([ROWS[0], {"depth": 1, "budget": 2}], {}, "activation_regions is missing"),
        ({"depth": [1], "budget": [1, 2], "activation_regions": [3]}, {}, "one length"),
        ([{**ROWS[0], "activation_regions": 0}], {}, "activation_regions must be positive"),
        ([{**ROWS[0], "depth": np.nan}], {}, "depth must be positive"),
        (ROWS, {"count": "regions"}, "'activation_regions', 'linear_regions'"),
        (ROWS, {"count": "linear_regions"}, "linear_regions is missing"),
        (ROWS, {"bounds": {"b": ([1, 2], [3])}}, "bound 'b' has 2 depths but 1 values"),
    ],
)
def test_regions_by_depth_refuses(table: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.plot.regions_by_depth(table, **options)
    assert not plt.get_fignums()


# --- imports --------------------------------------------------------------------------------------


def test_matplotlib_and_torch_are_loaded_when_needed() -> None:
    script = """
import sys
import polyregions as pr
part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])])
part.to_svg()
assert "matplotlib" not in sys.modules
import matplotlib
matplotlib.use("Agg")
pr.plot.partition(part)
pr.plot.output(part)
pr.plot.gradient_comparison(part, [([[1, 1]], [0])], resolution=3)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_only_partitions_are_drawn(part: pr.Partition) -> None:
    line = pr.partition_line(CROSS, [-1, -1], [1, 1])
    draws = (pr.plot.partition, pr.plot.decisions, pr.plot.surface, pr.plot.gradient_comparison)
    for draw in draws:
        with pytest.raises(TypeError, match=r"a Partition, got list; make it by .*partition"):
            draw(CROSS)
        with pytest.raises(TypeError, match=r"got LinePartition; plot.line draws that"):
            draw(line)
    with pytest.raises(TypeError, match=r"got Partition; make it by polyregions.partition_line"):
        pr.plot.line(part)
    assert not plt.get_fignums()


def test_areas_of_unbounded_faces_are_those_drawn() -> None:
    drawn = pr.plot.partition(pr.partition(CROSS, None), color="area")
    assert drawn.color_key.ax.get_ylabel() == "area in the picture"
    drawn = pr.plot.partition(pr.partition(CROSS), color="area")
    assert drawn.color_key.ax.get_ylabel() == "area"
