"""The SVG picture of a partition."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from shapely import Polygon

import polyregions as pr
from polyregions.colors import hex_colors, slope_colors
from polyregions.formats import png, svg

NS = {"svg": "http://www.w3.org/2000/svg"}
CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]


def random_net(*widths: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        (rng.normal(size=(n_out, n_in)) / n_in**0.5, 0.3 * rng.normal(size=n_out))
        for n_in, n_out in pairwise(widths)
    ]


def corners(path: ET.Element) -> np.ndarray:
    """The corners of a closed path of one absolute point and relative steps."""
    match = re.fullmatch(r"M(-?\d+) (-?\d+)l([-\d ]+)z", path.get("d", ""))
    assert match, path.get("d")
    numbers = [int(n) for n in re.findall(r"-?\d+", match[3])]
    steps = np.array([[int(match[1]), int(match[2])], *np.reshape(numbers, (-1, 2)).tolist()])
    return np.cumsum(steps, axis=0)


def segments(path: ET.Element) -> np.ndarray:
    """The end points, (n, 2, 2), of a path of separate segments."""
    data = path.get("d", "")
    pieces = re.findall(r"M(-?\d+) (-?\d+)l(-?\d+) ?(-?\d+)", data)
    assert len(pieces) == data.count("M")
    x, y, dx, dy = np.array(pieces, dtype=int).T
    return np.stack([np.stack([x, y], 1), np.stack([x + dx, y + dy], 1)], 1)


def groups(text: str) -> tuple[ET.Element, list[ET.Element], list[ET.Element]]:
    """The root, the faces and the lines of a document."""
    root = ET.fromstring(text)
    faces, lines = root.findall("svg:g", NS)
    return root, list(faces), list(lines)


def drawn_xy(part: pr.Partition, points: np.ndarray, width: int) -> np.ndarray:
    """Points of the domain on the page, y downwards, in hundredths of a pixel."""
    xmin, ymin, xmax, ymax = part.domain.bounds
    scale = 100 * width / (xmax - xmin)
    height = 100 * round(width * (ymax - ymin) / (xmax - xmin))
    return np.stack([(points[:, 0] - xmin) * scale, height - (points[:, 1] - ymin) * scale], 1)


@pytest.mark.parametrize("half", [1e-9, 1.0, 5000.0])
@pytest.mark.parametrize("width", [37, 480])
def test_every_face_is_one_path_with_its_own_corners(half: float, width: int) -> None:
    layers = random_net(2, 6, 6, 1)
    layers[0] = (layers[0][0], layers[0][1] * half)
    part = pr.partition(layers, (-half, half))
    root, faces, _ = groups(svg.document(part, width=width))
    assert (root.get("width"), root.get("height")) == (str(width), str(width))
    assert root.get("viewBox") == f"0 0 {100 * width} {100 * width}"
    assert len(faces) == part.n_faces > 10
    for f, path in enumerate(faces):
        expected = drawn_xy(part, part.vertex_xy[part.face(f)], width)
        np.testing.assert_allclose(corners(path), expected, atol=0.51)


def test_faces_have_the_colours_of_their_slopes() -> None:
    part = pr.partition(random_net(2, 5, 4, 1), (-2, 2))
    _, faces, _ = groups(svg.document(part))
    expected = hex_colors(slope_colors(part.face_weight))
    assert [path.get("fill") for path in faces] == expected
    # Stroked in the same colour, or the page shines through between neighbours.
    assert [path.get("stroke") for path in faces] == expected
    assert len(set(expected)) > 5


def test_lines_are_the_creases_and_the_border() -> None:
    # The second unit reaches no output: its edges are no creases.
    part = pr.partition([([[1, 0], [0, 1]], [0.25, 0.5]), ([[1, 0]], [0])], (-1, 1))
    _, _, (creases, border) = groups(svg.document(part, width=100))
    found = {frozenset(map(tuple, s)) for s in segments(creases).tolist()}
    x = 3750  # x = -1/4
    assert found == {frozenset({(x, 0), (x, 7500)}), frozenset({(x, 7500), (x, 10000)})}
    assert segments(border).min() == 0
    assert segments(border).max() == 10000
    length = np.abs(np.diff(segments(border), axis=1)).sum()
    assert length == 4 * 10000


def test_one_face_has_no_creases() -> None:
    part = pr.partition([([[1, 2]], [0])], (0, 1))
    _, faces, lines = groups(svg.document(part))
    assert len(faces) == 1
    assert len(lines) == 1


def test_height_follows_the_domain() -> None:
    wide = ET.fromstring(svg.document(pr.partition(CROSS, (-2, -1, 2, 1)), width=400))
    tall = ET.fromstring(svg.document(pr.partition(CROSS, (-1, -2, 1, 2)), width=400))
    assert (wide.get("height"), tall.get("height")) == ("200", "800")


def test_coordinates_of_different_kinds_make_a_square() -> None:
    part = pr.partition([([[1, 0]], [0]), ([[1]], [0])], (-1000, -1, 1000, 1))
    assert 'width="480" height="480"' in svg.document(part)


def test_a_polygon_domain() -> None:
    triangle = Polygon([(0, 0), (4, 0), (0, 3)])
    part = pr.partition([([[1, 0]], [-1]), ([[1]], [0])], triangle)
    _, faces, (_, border) = groups(svg.document(part, width=400))
    assert len(faces) == part.n_faces == 2
    assert {(0, 30000), (40000, 30000), (0, 0)} <= set(map(tuple, segments(border)[:, 0].tolist()))


def test_neighbours_meet_in_the_same_points() -> None:
    part = pr.partition(random_net(2, 8, 8, 1), (-3, 3))
    _, faces, _ = groups(svg.document(part, width=60))
    at: dict[int, set[tuple[int, int]]] = {}
    for f, path in enumerate(faces):
        for v, xy in zip(part.face(f).tolist(), corners(path).tolist(), strict=True):
            at.setdefault(v, set()).add(tuple(xy))
    assert len(at) == part.n_vertices
    assert all(len(places) == 1 for places in at.values())


def test_it_is_accessible_and_cannot_clash_in_a_page() -> None:
    part = pr.partition(CROSS)
    text = svg.document(part)
    root = ET.fromstring(text)
    title, desc = root.find("svg:title", NS), root.find("svg:desc", NS)
    assert root.get("role") == "img"
    assert title is not None
    assert desc is not None
    assert title.text == root.get("aria-label") == "4 regions of a network on [-1, 1] x [-1, 1]"
    assert desc.text
    assert "slope" in desc.text
    assert not any("id" in element.attrib for element in root.iter())
    assert not [e for e in root.iter() if e.tag.split("}")[1] in ("style", "script", "defs")]
    page = ET.fromstring(f"<div>{part._repr_html_()}{part._repr_html_()}</div>")
    assert len(page.findall(".//svg:svg", NS)) == 2


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_no_slope_is_too_small_or_too_large_for_a_colour(scale: float) -> None:
    part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[scale, 3 * scale]], [0])])
    text = svg.document(part)
    assert not re.search(r"nan|inf", text, re.IGNORECASE)
    _, faces, _ = groups(text)
    assert len({path.get("fill") for path in faces}) == 4


@pytest.mark.parametrize("width", [0, -5, 2.5, True])
def test_width_must_be_a_positive_whole_number(width: object) -> None:
    with pytest.raises(ValueError, match="width must be a positive whole number"):
        pr.partition(CROSS).to_svg(width=width)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="width must be a positive whole number"):
        svg.picture(pr.partition(CROSS), width=width)  # type: ignore[arg-type]


# -- pictures that are never long ------------------------------------------------------------------


def decoded(text: str) -> tuple[ET.Element, np.ndarray]:
    """The element, and the pixels of its PNG data as an independent reader sees them."""
    element = ET.fromstring(text)
    kind, data = element.get("src", "").split(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        image.load()
        assert image.format == "PNG"
        return element, np.asarray(image)


def test_few_faces_are_an_svg_document() -> None:
    part = pr.partition(random_net(2, 6, 6, 1))
    assert svg.picture(part, width=200) == svg.document(part, width=200)


@pytest.fixture(scope="module")
def large() -> pr.Partition:
    part = pr.partition(random_net(2, 64, 64, 64, 1), (-4, -4, 4, 2), engine="exact")
    assert len(part) > 10_000
    return part


def test_many_faces_are_pixels_of_bounded_size(large: pr.Partition) -> None:
    text = svg.picture(large, width=200)
    assert len(text) < 200_000
    assert text == svg.picture(large, width=200)
    element, image = decoded(text)
    assert element.tag == "img"
    assert (element.get("width"), element.get("height")) == ("200", "150")
    assert "regions of a network" in element.get("alt", "")
    assert image.shape[1] >= 200
    assert image.shape[0] == round(image.shape[1] * 3 / 4)
    assert image.shape[2] == 4
    assert (image[..., 3] == 255).all()
    assert image[[0, -1], :, :3].mean() < image[5:-5, :, :3].mean() - 40  # the border


def test_pixels_have_the_colours_of_the_faces(
    large: pr.Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(svg, "_MOST_INK", 1e-6)  # no creases
    monkeypatch.setattr(svg, "_SCALES", (1.0,))
    rows, columns = 30, 40
    _, image = decoded(svg.picture(large, width=columns))
    rgb = 255 * slope_colors(large.face_weight)
    n = 24  # samples to each side of a pixel
    at = (np.arange(n) + 0.5) / n
    for i, j in [(3, 4), (11, 30), (20, 20), (27, 8)]:
        x, y = np.meshgrid(-4 + 8 * (j + at) / columns, 2 - 6 * (i + at) / rows)
        face = large.locate(np.stack([x.ravel(), y.ravel()], axis=1))
        assert np.abs(image[i, j, :3] - rgb[face].mean(axis=0)).max() < 6


def test_pixels_outside_a_polygon_are_clear() -> None:
    triangle = Polygon([(0, 0), (8, 0), (0, 8)])
    part = pr.partition(random_net(2, 64, 64, 64, 1), triangle, engine="exact")
    assert len(part) > 1_500
    _, image = decoded(svg.picture(part, width=100))
    n = len(image)
    i, j = np.indices(image.shape[:2])
    assert (image[i > j + 3 * n / 100][:, 3] == 255).all()
    assert (image[i < j - 3 * n / 100][:, 3] == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (13, 17)])
@pytest.mark.parametrize("kind", ["noise", "ramp", "flat"])
def test_png_is_read_back_by_others(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(0)
    i, j = np.indices(shape)
    pixels = {
        "noise": rng.integers(0, 256, (*shape, 4)),
        "ramp": np.stack([19 * i, 23 * j, 7 * i + 11 * j, 255 - i], axis=-1) % 256,
        "flat": np.full((*shape, 4), 200),
    }[kind].astype(np.uint8)
    with Image.open(io.BytesIO(png.encode(pixels))) as image:
        assert image.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_pictures_need_no_matplotlib() -> None:
    script = """
import sys
import polyregions as pr
from polyregions.formats import png, svg
part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])])
svg._MOST_PATHS = 0
assert svg.picture(part).startswith("<img")
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
