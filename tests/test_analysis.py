"""Grids, extents, arrangements and bent lines of finished partitions."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
import shapely
from networks import random_layers, stack, tangents, torch_layers
from scipy.optimize import linprog

import polyregions as pr
from polyregions import exact, network
from polyregions.analysis.arrangement import first_layer_arrangement
from polyregions.analysis.extent import extent, inner_vertices
from polyregions.analysis.grid import (
    first_resolution,
    inscribed_square,
    locate_grid,
    sure_resolution,
)
from polyregions.analysis.lines import bent_lines

KINDS = ["normal", "single", "integer", "ternary", "zero_bias"]


def partition_of(kind, seed=0, widths=(2, 6, 5, 1), domain=(-2, 2), activation="relu"):
    return pr.partition(stack(random_layers(widths, seed, kind), activation), domain=domain)


# -- grids -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["relu", "hardtanh"])
def test_locate_grid_is_locate(kind, activation):
    """Integer and bias-free nets have edges and vertices right on the grid's points."""
    part = partition_of(kind, activation=activation)
    x = np.linspace(-2, 2, 81)
    y = np.sort(np.concatenate([np.linspace(-2.5, 2.5, 41), np.unique(part.vertex_xy[:, 1])]))
    y = np.unique(y)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(
        locate_grid(part, x, y), part.locate(points).reshape(len(y), len(x))
    )


def test_locate_grid_on_a_polygon():
    triangle = shapely.Polygon([(0, 0), (3, 1), (1, 3)])
    part = partition_of("normal", domain=triangle)
    x = np.linspace(-1, 4, 101)
    face_at = locate_grid(part, x, x)
    points = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(face_at.ravel(), part.locate(points))
    assert (face_at < 0).any()
    assert (face_at >= 0).any()


def test_locate_grid_wants_increasing_coordinates():
    part = partition_of("normal")
    with pytest.raises(ValueError, match="x must be one-dimensional and increasing"):
        locate_grid(part, [1.0, 0.0], [0.0])
    with pytest.raises(ValueError, match="y must be"):
        locate_grid(part, [0.0], [[0.0]])
    with pytest.raises(ValueError, match="y must be"):
        locate_grid(part, [0.0, 1.0], [0.0, np.nan])
    assert locate_grid(part, [], [0.0]).shape == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_inscribed_squares_fit_and_are_largest(kind):
    part = partition_of(kind, seed=1)
    for f in range(part.n_faces):
        square = inscribed_square(part, f)
        polygon = part.exact_polygon(f)
        for dx in (-1, 1):
            for dy in (-1, 1):
                corner = _triple(square.x + dx * square.side / 2, square.y + dy * square.side / 2)
                assert all(
                    exact.orientation(polygon[i - 1], p, corner) >= 0 for i, p in enumerate(polygon)
                )
        assert float(square.side) == pytest.approx(_largest_side(part, f), rel=1e-6)


def _triple(x: Fraction, y: Fraction):
    w = x.denominator * y.denominator
    return x.numerator * y.denominator, y.numerator * x.denominator, w


def _largest_side(part, f):
    """The side of the largest square from a linear program in float64, the face scaled to fit."""
    corners = part.vertex_xy[part.face(f)]
    size = np.ptp(corners, axis=0).max()
    a = (corners - corners.mean(axis=0)) / size
    d = np.roll(a, -1, axis=0) - a
    normal = np.stack([d[:, 1], -d[:, 0]], axis=1)  # outwards
    conditions = np.column_stack([normal, np.abs(normal).sum(axis=1)])
    result = linprog([0, 0, -1], conditions, (normal * a).sum(axis=1), bounds=[(None, None)] * 3)
    assert result.success
    return 2 * result.x[2] * size


def test_from_the_sure_resolution_on_every_grid_hits():
    part = partition_of("normal", seed=3, widths=(2, 12, 1), domain=(-2, -1, 3, 2))
    faces = [f for f in range(part.n_faces) if sure_resolution(part, f) < 400]
    assert len(faces) > 5
    for f in faces:
        sure = sure_resolution(part, f)
        for n in (sure, sure + 1, sure + 2, 2 * sure, 3 * sure + 1):
            x, y = np.linspace(-2, 3, n), np.linspace(-1, 2, n)
            assert f in locate_grid(part, x, y)


def test_the_first_resolution_is_the_first():
    part = partition_of("normal", seed=3, widths=(2, 12, 1), domain=(-2, -1, 3, 2))
    limit = 60
    seen: dict[int, int] = {}
    for n in range(2, limit + 1):
        x, y = np.linspace(-2, 3, n), np.linspace(-1, 2, n)
        for f in np.unique(locate_grid(part, x, y)).tolist():
            seen.setdefault(f, n)
    for f in range(part.n_faces):
        assert first_resolution(part, f, limit=limit) == seen.get(f)
        assert first_resolution(part, f) <= sure_resolution(part, f)
    assert max(seen.values()) > 10  # some are hard to hit
    assert first_resolution(part, -1) == first_resolution(part, part.n_faces - 1)
    with pytest.raises(IndexError):
        first_resolution(part, part.n_faces)


def test_the_first_resolution_counts_points_on_edges_as_locate_does():
    part = pr.partition([([[1, 0]], [0]), ([[1]], [0])], domain=(-1, 1))  # cut along x = 0
    corners = [part.locate([[-1, -1]])[0], part.locate([[1, 1]])[0]]
    assert [first_resolution(part, int(f)) for f in corners] == [2, 2]
    # A strip between x = 0 and x = 2**-7, of which one side belongs to another face.
    thin = pr.partition([([[1, 0], [1, 0]], [0, -(2.0**-7)]), ([[1, 1]], [0])], domain=(-1, 1))
    f = int(thin.locate([[2.0**-8, 0.0]])[0])
    expected = next(
        n
        for n in range(2, 10_000)
        if f in thin.locate(np.stack([np.linspace(-1, 1, n), np.zeros(n)], axis=1))
    )
    assert first_resolution(thin, f) == expected


def test_looking_for_the_first_resolution_ends():
    """Every second grid has a line of points on the border of this face, which is a hair wide."""
    layers = [([[1, 0], [1, 0]], [0, -(2.0**-40)]), ([[1, 1]], [0])]
    part = pr.partition(layers, domain=(-1, 1))
    f = int(part.locate([[2.0**-41, 0.0]])[0])
    if part.locate([[0.0, 0.0]])[0] == f:  # then the grid with n = 3 hits it
        assert first_resolution(part, f) == 3
    else:
        assert first_resolution(part, f) is None
    assert sure_resolution(part, f) == 2**41 + 1


# -- extent ------------------------------------------------------------------------------------


def test_extent_of_a_crossing():
    part = pr.partition([([[1, 1], [2, -1]], [-1, 0]), ([[1, 1]], [0])], domain=(-9, 9))
    found = extent(part)
    assert found.half_width == Fraction(2, 3)
    assert part.exact_vertex(found.vertex) == (Fraction(1, 3), Fraction(2, 3))
    assert inner_vertices(part).tolist() == [found.vertex]


def test_extent_without_inner_vertices():
    part = pr.partition([([[1, 0]], [0]), ([[1]], [0])], domain=(-1, 1))
    assert extent(part) == (0, -1)
    assert len(inner_vertices(part)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_extent_is_that_of_a_smaller_domain(kind):
    """All vertices are inside of it, and one is on it."""
    part = partition_of(kind, seed=2, domain=(-50, 50))
    half_width, vertex = extent(part)
    border = set(part.edge_vertices[~part.is_inner].ravel().tolist())
    inner = set(range(part.n_vertices)) - border
    assert vertex in inner
    sizes = {v: max(map(abs, part.exact_vertex(v))) for v in inner}
    assert max(sizes.values()) == half_width == sizes[vertex]


# -- arrangements ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_lines_in_general_position(n):
    lines = first_layer_arrangement(pr.lower(tangents(n)))
    assert lines.n_regions == 1 + n + comb(n, 2)
    # The tangents j and k of the parabola meet in (j + k, j k).
    assert set(lines.crossings) == {(j + k, j * k, 1) for j in range(1, n + 1) for k in range(1, j)}
    assert lines.half_width == (max(2 * n - 1, n * (n - 1)) if n > 1 else 0)


@pytest.mark.parametrize(
    ("weight", "bias", "regions"),
    [
        ([[1, 0], [0, 1], [1, 1]], [0, 0, 0], 6),  # through one point
        ([[1, 0], [1, 0], [2, 0]], [0, -1, 0], 3),  # parallel, and one of them twice
        ([[1, 2], [-1, -2]], [3, -3], 2),  # opposite
        ([[0, 0], [1, 1]], [1, 0], 2),  # dead
        ([[0, 0]], [1], 1),
    ],
)
def test_degenerate_arrangements(weight, bias, regions):
    net = pr.lower([(weight, bias), ([[1] * len(bias)], [0])])
    lines = first_layer_arrangement(net)
    assert lines.n_regions == regions
    part = pr.partition(net, domain=(-10, 10))
    assert 1 + lines.lines_in(10) + lines.crossings_in(10) == part.n_faces == regions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half_width", [0.5, 2.0, 30.0])
def test_regions_in_a_range_are_one_and_lines_and_crossings(kind, half_width):
    for activation in ("relu", "hardtanh"):
        for seed in range(3):
            net = stack(random_layers((2, 9, 1), seed, kind), activation)
            lines = first_layer_arrangement(net)
            part = pr.partition(net, domain=(-half_width, half_width))
            inside = lines.lines_in(half_width) + lines.crossings_in(half_width)
            assert 1 + inside == part.n_faces


def test_arrangements_need_a_first_layer_on_the_plane():
    for layers in ([(np.ones((1, 2)), [0.0])], random_layers((3, 4, 1), 0)):
        with pytest.raises(ValueError, match="does not begin"):
            first_layer_arrangement(pr.lower(layers))
    with pytest.raises(ValueError, match="does not begin"):
        first_layer_arrangement(pr.Network((), 2))
    # Units that are beside the affine step, not behind it.
    steps = (network.Affine(np.ones((2, 2)), np.zeros(2)), network.relu(2))
    both = network.Sum(np.ones(2), 2)
    beside = pr.Network((*steps, both), 2, sources=((0,), (0,), (1, 2)))
    with pytest.raises(ValueError, match="does not begin"):
        first_layer_arrangement(beside)
    # What comes later does not matter.
    behind = pr.Network((*steps, both), 2, sources=((0,), (1,), (0, 2)))
    assert first_layer_arrangement(behind).n_regions == 2


# -- bent lines --------------------------------------------------------------------------------


def test_a_fork_is_no_bend():
    # The largest of x, y and -x - y, a star of three rays, and a bent line of the first two.
    planes = network.Affine([[1, 0], [0, 1], [-1, -1]], np.zeros(3))
    largest = network.Maximum([[0, 1, 2], [0, 1, -1]], 3)
    part = pr.partition(pr.Network((planes, largest), 2), (-1, 1))
    star, line = bent_lines(part)
    assert (len(star.edges), star.n_components, star.n_bends) == (3, 1, 0)
    assert (len(line.edges), line.n_components, line.n_bends) == (2, 1, 0)


def test_a_bent_line():
    layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [-1]), ([[1]], [0])]
    part = pr.partition(layers, domain=(-2, 2))
    first, second, third = bent_lines(part)
    assert (first.n_bends, second.n_bends) == (0, 0)
    assert third.n_bends == 2  # at the corners (0, 1) and (1, 0)
    assert [line.n_components for line in (first, second, third)] == [1, 1, 1]
    assert third.unit == 2
    np.testing.assert_array_equal(third.edges, np.flatnonzero(part.edge_unit == 2))


def test_a_line_in_parts():
    """A tent over [-1, 1], cut at half its height: two separate lines."""
    layers = [([[1, 0]] * 3, [1, 0, -1]), ([[1, -2, 1]], [-0.5]), ([[1]], [0])]
    part = pr.partition(layers, domain=(-2, 2))
    cut = bent_lines(part)[3]
    assert (cut.n_components, cut.n_bends, len(cut.edges)) == (2, 0, 2)


def test_a_unit_that_never_switches_has_no_line():
    part = pr.partition([([[1, 0], [1, 0]], [0, 5]), ([[1, 1]], [0])], domain=(-1, 1))
    assert [line.n_components for line in bent_lines(part)] == [1, 0]
    assert len(bent_lines(part)[1].edges) == 0


def test_lines_of_the_first_layer_do_not_bend():
    part = pr.partition(torch_layers((2, 8, 8, 1)), domain=(-5, 5))
    lines = bent_lines(part)
    assert sum(line.n_bends for line in lines[:8]) == 0
    assert sum(line.n_bends for line in lines[8:]) > 0
    # A shared edge is one of each of its units.
    n_switches = sum(len(part.edge_units(e)) for e in range(part.n_edges))
    assert sum(len(line.edges) for line in lines) == n_switches
