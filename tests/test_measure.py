"""Areas, centroids, polygons, counts and the dual graph, held against exact values."""

from __future__ import annotations

import builtins
import dataclasses
import sys
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from invariants import area, centroid, components, holds
from networks import pencil, random_layers, sawtooth, tangents, torch_layers
from oracle import is_nearest
from scipy.sparse import csgraph, csr_array
from shapely import Polygon

import polyregions as pr
from polyregions import cycles, exact, measure
from polyregions.filters import twice_triangle

CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]
ENGINES = ("rational", "exact")
NETS = {
    "ordinary": (torch_layers((2, 16, 16, 16, 1)), (-4, 4)),
    "no biases": (random_layers((2, 10, 10, 1), 2, "zero_bias"), (-1, 1)),
    "tangents": (tangents(14), (-30, 300)),
    "pencil": (pencil(9, 0.125, exact=True), (-1, 1)),
    "near pencil": (pencil(9, 0.1, exact=False), (-1, 1)),
    "sawtooth": (sawtooth(5), (0, 1)),
    "tiny": (random_layers((2, 6, 6, 1), 3, "zero_bias"), (-1e-155, 2e-155)),
    "huge": (random_layers((2, 6, 6, 1), 3, "zero_bias"), (-1e150, 2e150)),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=sorted(NETS))
def part(request: pytest.FixtureRequest, engine: str) -> pr.Partition:
    layers, domain = NETS[request.param]
    return pr.partition(layers, domain, engine=engine)


def corners_of(part: pr.Partition, f: int) -> list[tuple[Fraction, Fraction]]:
    return [part.exact_vertex(int(v)) for v in part.face(f)]


# --- areas ----------------------------------------------------------------------------------------


def test_areas_are_within_their_bounds(part: pr.Partition) -> None:
    assert part.areas.shape == part.area_error.shape == (len(part),)
    assert (part.areas > 0).all()
    for f, (value, bound) in enumerate(
        zip(part.areas.tolist(), part.area_error.tolist(), strict=True)
    ):
        true = area(corners_of(part, f))
        assert abs(Fraction(value) - true) <= Fraction(bound)
        assert bound <= measure.RELATIVE_ERROR * value + 1e-323


def test_bounds_of_the_filter_hold_alone(part: pr.Partition) -> None:
    values, bounds, exponent = measure.filtered_areas(part)
    unit = Fraction(2) ** exponent
    for f, (value, bound) in enumerate(zip(values.tolist(), bounds.tolist(), strict=True)):
        assert abs(Fraction(value) * unit - area(corners_of(part, f))) <= Fraction(bound) * unit


def test_slivers_have_areas_of_full_precision() -> None:
    part = pr.partition(pencil(12, 0.1, exact=False), (-1, 1), engine="exact")
    scaled, bound, _ = measure.filtered_areas(part)
    vague = np.flatnonzero(bound > measure.RELATIVE_ERROR * scaled)
    assert len(vague) > 10
    assert part.areas.min() < 1e-30
    for f in vague.tolist():
        true = area(corners_of(part, f))
        assert abs(Fraction(float(part.areas[f])) - true) <= true / 2**52
        assert part.area_error[f] <= part.areas[f] * 2.0**-52


def test_bounds_hold_for_corners_as_wrong_as_is_claimed() -> None:
    """Any polygon whose corners are within the bounds has an area within the bound."""
    from polyregions.filters import twice_area

    rng = np.random.default_rng(0)
    for _ in range(300):
        k = int(rng.integers(3, 9))
        angle = np.sort(rng.uniform(0, 2 * np.pi, k))
        shape = rng.normal(size=2) * 10.0 ** rng.integers(-12, 1, 2)
        xy = np.stack([np.cos(angle), np.sin(angle)], axis=1) * shape + rng.uniform(-1, 1, 2)
        error = 10.0 ** rng.integers(-20, -6, (k, 2))
        moves = rng.choice([-1.0, 0.5, 1.0], (k, 2)) * error
        true = [
            (Fraction(x) + Fraction(dx), Fraction(y) + Fraction(dy))
            for (x, y), (dx, dy) in zip(xy.tolist(), moves.tolist(), strict=True)
        ]
        value, bound = twice_area(0, k, np.arange(k, dtype=np.int32), xy, error, 1.0, 1.0)
        assert abs(Fraction(value) - 2 * area(true)) <= Fraction(bound)
        (ax, ay), (bx, by), (cx, cy) = xy[:3].tolist()
        value, bound = twice_triangle(ax, ay, bx, by, cx, cy, *error[:3].ravel().tolist())
        assert abs(Fraction(value) - 2 * area(true[:3])) <= Fraction(bound)


def test_only_few_faces_of_an_ordinary_network_are_measured_exactly() -> None:
    part = pr.partition(torch_layers((2, 64, 64, 64, 1)), (-10, 10), engine="exact")
    scaled, bound, _ = measure.filtered_areas(part)
    assert len(part) > 10_000
    assert (bound > measure.RELATIVE_ERROR * scaled).sum() <= len(part) / 1000


def test_areas_too_large_for_float64(engine: str) -> None:
    part = pr.partition(CROSS, (-1e200, 1e200), engine=engine)
    with pytest.raises(OverflowError, match="too large for float64"):
        _ = part.areas
    assert "smallest face 1.00e+400, largest 1.00e+400" in str(part).replace("E", "e")


def test_a_face_that_was_damaged_has_the_area_that_it_has() -> None:
    part = pr.partition(CROSS, engine="exact")
    backwards = part.face_vertices.copy()
    backwards[: part.face_offsets[1]] = part.face(0)[::-1]
    assert dataclasses.replace(part, face_vertices=backwards).areas.tolist() == [-1, 1, 1, 1]


# --- smallest and largest -------------------------------------------------------------------------


def test_smallest_and_largest_are_right_to_the_digits_shown(part: pr.Partition) -> None:
    true = [area(corners_of(part, f)) for f in range(len(part))]
    assert measure.smallest_and_largest(part) == (exact.text(min(true)), exact.text(max(true)))


def test_a_tie_at_a_rounding_boundary_is_decided_exactly() -> None:
    # Eight strips of area 1/8 = 0.125 and 32 of 0.03125, which is half way between two texts.
    for depth in (3, 5):
        for engine in ENGINES:
            part = pr.partition(sawtooth(depth), (0, 1), engine=engine)
            # Errors as the engine might have, so that float64 cannot tell.
            rough = dataclasses.replace(part, vertex_error=part.vertex_error + 1e-12)
            text = f"{0.5**depth:.3g}"
            assert measure.smallest_and_largest(rough) == (text, text)


# --- centroids ------------------------------------------------------------------------------------


def test_centroids_are_in_their_faces(part: pr.Partition) -> None:
    for f, (x, y) in enumerate(part.centroids.tolist()):
        corners = corners_of(part, f)
        if not holds(corners, (Fraction(x), Fraction(y))):
            # Slivers around the point of a near pencil are smaller than what float64 resolves.
            assert part.areas[f] < 1e-30
            assert all(map(is_nearest, (x, y), centroid(corners)))


def test_centroids_are_near_the_exact_ones(part: pr.Partition) -> None:
    """Two polygons P and Q have centroids no farther apart than ``2 d |P - Q| / |P|``.

    Here d is the diameter of both together and |P - Q| the area in which they differ: that
    which the sides sweep when the corners move. Rounding counts like a change of the area.
    """
    for f, point in enumerate(part.centroids.tolist()):
        corners = corners_of(part, f)
        exactly = centroid(corners)
        errors = [tuple(map(Fraction, e)) for e in part.vertex_error[part.face(f)].tolist()]
        extent = [max(c[i] for c in corners) - min(c[i] for c in corners) for i in (0, 1)]
        swept = Fraction(0)
        for i, (dx, dy) in enumerate(errors):
            ex, ey = (abs(corners[i][j] - corners[i - 1][j]) for j in (0, 1))
            dx, dy = max(dx, errors[i - 1][0]), max(dy, errors[i - 1][1])
            swept += dx * (ey + 2 * dy) + dy * (ex + 2 * dx)
        rounding = Fraction(len(corners) + 8, 2**52) * extent[0] * extent[1] * len(corners)
        share = min(Fraction(1), 2 * (swept + rounding) / area(corners))
        if share == 1 and part.engine == "exact":
            continue  # anywhere in the face
        if part.engine == "rational":
            share = Fraction(0)
        for i in (0, 1):
            # One spacing for where rounding led out of the face, some more for other roundings.
            near = 16 * np.spacing(max(abs(float(c[i])) for c in corners))
            assert abs(Fraction(point[i]) - exactly[i]) <= share * max(extent) + Fraction(near)


def test_a_face_thinner_than_float64_has_the_rounded_centroid(engine: str) -> None:
    # A strip from x = 1 to 1 + 2**-53 and a bit: no float64 number is inside, but 1 is on its side.
    layers = [([[1, 0], [2.0**53 - 1, 0]], [-1, -(2.0**53)]), ([[1, 1]], [0])]
    part = pr.partition(layers, (0.5, 2), engine=engine)
    f = int(np.argmin(part.areas))
    assert 0 < part.areas[f] < 1e-15
    assert holds(corners_of(part, f), tuple(map(Fraction, part.centroids[f].tolist())))


def test_a_centroid_that_rounds_out_of_its_face_is_moved_into_it() -> None:
    # From x = 1 + 2**-54 to 1 + 2**-52: the centroid rounds to 1, outside; the right corner is a
    # float64 number.
    one = 2**54
    triples = ((one + 1, 0, one), (2 * one + 8, one, 2 * one), (one + 1, one, one))
    shape = Polygon([(1, 0), (1.5, 0.5), (1, 1)])
    part = dataclasses.replace(
        pr.partition([([[1, 2]], [3])], shape, engine="rational"),
        vertex_exact=triples,
        vertex_xy=np.array([[1, 0], [1 + 2.0**-52, 0.5], [1, 1]]),
        vertex_error=np.full((3, 2), 2.0**-53),
    )
    for engine in ENGINES:
        found = dataclasses.replace(part, engine=engine).centroids
        assert found.tolist() == [[1 + 2.0**-52, 0.5]]


# --- polygons -------------------------------------------------------------------------------------


def test_one_polygon_does_not_make_all(monkeypatch: pytest.MonkeyPatch) -> None:
    part = pr.partition(torch_layers((2, 8, 1)), (-4, 4))
    ring = np.array(part.polygon(3).exterior.coords)
    assert (ring[:-1] == part.vertex_xy[part.face(3)]).all()
    assert "polygons" not in vars(part)
    assert part.polygon(-1).equals_exact(part.polygons[-1], 0)
    with pytest.raises(IndexError):
        part.polygon(len(part))


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_linear_regions_by_brute_force(engine: str, seed: int) -> None:
    layers = random_layers((2, 6, 3, 1), seed, "ternary")
    part = pr.partition(layers, (-4, 4), engine=engine)
    piece = part.face_affine_piece.tolist()
    corners = [set(part.face(f).tolist()) for f in range(len(part))]
    for through_vertices, shared in ((False, 2), (True, 1)):
        pairs = [
            (f, g)
            for f, g in combinations(range(len(part)), 2)
            if piece[f] == piece[g] and len(corners[f] & corners[g]) >= shared
        ]
        expected = len(set(components(len(part), pairs)))
        count = part.count(through_vertices=through_vertices)
        assert count == (len(part), expected, len(set(piece)))


# --- sides ----------------------------------------------------------------------------------------


def test_sides_go_round_every_face(part: pr.Partition) -> None:
    start, end, face = cycles.sides(part.face_offsets, part.face_vertices)
    rows = []
    for f in range(len(part)):
        cycle = part.face(f).tolist()
        rows += [(a, b, f) for a, b in zip(cycle, cycle[1:] + cycle[:1], strict=True)]
    assert list(zip(start.tolist(), end.tolist(), face.tolist(), strict=True)) == rows
    assert start is part.face_vertices
    assert end.dtype == face.dtype == np.int32


# --- the dual graph -------------------------------------------------------------------------------


def test_dual_graph(part: pr.Partition) -> None:
    graph, edge = part.dual_graph(edges=True)
    assert isinstance(graph, csr_array)
    assert graph.shape == (len(part), len(part))
    assert graph.dtype == np.bool_
    assert graph.data.all()
    assert graph.has_sorted_indices
    assert graph.nnz == len(edge) == 2 * part.is_inner.sum()
    entries = {
        (f, int(g)): int(edge[k])
        for f in range(len(part))
        for k in range(graph.indptr[f], graph.indptr[f + 1])
        for g in [graph.indices[k]]
    }
    expected = {}
    for e in np.flatnonzero(part.is_inner).tolist():
        f, g = part.edge_faces[e].tolist()
        expected[f, g] = expected[g, f] = e
    assert entries == expected
    assert csgraph.connected_components(graph)[0] == 1
    alone = part.dual_graph()
    assert (alone != graph).nnz == 0


def test_dual_graph_of_one_face() -> None:
    graph, edge = pr.partition([([[1, 2]], [3])]).dual_graph(edges=True)
    assert graph.shape == (1, 1)
    assert graph.nnz == len(edge) == 0


def test_dual_graph_of_faces_with_two_edges_between_them() -> None:
    part = pr.partition(CROSS)
    twice = dataclasses.replace(part, edge_faces=np.array([[0, 1]] * part.n_edges))
    with pytest.raises(ValueError, match="more than one edge"):
        twice.dual_graph()


def test_networkx_graph(engine: str) -> None:
    networkx = pytest.importorskip("networkx")
    part = pr.partition(torch_layers((2, 8, 8, 1)), (-5, 5), engine=engine)
    graph = part.to_networkx()
    assert networkx.is_connected(graph)
    assert networkx.check_planarity(graph)[0]
    assert sorted(graph) == list(range(len(part)))
    assert graph.number_of_edges() == part.is_inner.sum()
    assert [graph.nodes[f] for f in range(len(part))] == [{"area": a} for a in part.areas.tolist()]
    for f, g, data in graph.edges(data=True):
        e = data.pop("edge")
        assert {f, g} == set(part.edge_faces[e].tolist())
        a, b = part.vertex_xy[part.edge_vertices[e]]
        assert data == {
            "unit": part.edge_unit[e],
            "length": pytest.approx(float(np.hypot(*(b - a))), rel=1e-12),
        }
        assert all(type(value) in (int, float) for value in data.values())
    patterns = part.to_networkx(patterns=True).nodes(data="pattern")
    assert [patterns[f] for f in range(len(part))] == [*map(tuple, part.face_pattern.tolist())]


def test_networkx_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **options: object) -> object:
        if name.partition(".")[0] == "networkx":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **options)

    part = pr.partition(CROSS)
    monkeypatch.setitem(sys.modules, "networkx", None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"polyregions\[graph\]"):
        part.to_networkx()
