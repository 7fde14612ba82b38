"""Domains that are not convex: dents, holes, several polygons, and where they touch."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import shapely
from invariants import Point, area, check, checked, components, cross
from networks import random_layers
from shapely import MultiPolygon, Polygon, box
from test_engine import load_soak

import polyregions as pr
from polyregions import cli, exact
from polyregions.certificate import certify
from polyregions.decomposition import CrossingError, convex_faces
from polyregions.polygon import PolygonDomain

SOAK = load_soak()
ENGINES = ("rational", "exact")

L = box(-1, -1, 1, 1) - box(0, 0, 1, 1)
ANNULUS = box(-2, -2, 2, 2) - box(-1, -1, 1, 1)
COMB = shapely.union_all(
    [box(-1, -1, 1.25, -0.75), *(box(x, -0.75, x + 0.25, 1) for x in (-1, -0.5, 0, 0.5, 1))]
)
# Every corner of a square but those at the rim touches another square.
CHECKERS = MultiPolygon(
    [box(i, j, i + 1, j + 1) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0]
)

DOMAINS = {
    "an L": L,
    "a dent": Polygon([(-1, -1), (1, -1), (1, 1), (0.25, -0.5), (-1, 1)]),
    "a star": Polygon(
        [(0, 4), (1, 1), (4, 0), (1, -1), (0, -4), (-1, -1), (-4, 0), (-1, 1)],
    ),
    "a comb": COMB,
    "a spiral": Polygon(
        [(-2, -2), (2, -2), (2, 2), (-1, 2), (-1, 0), (0, 0), (0, 1), (1, 1), (1, -1), (-2, -1)]
    ),
    "an annulus": ANNULUS,
    "two lakes": Polygon(
        [(-2, -1), (2, -1), (2, 1), (-2, 1)],
        [[(-1.5, -0.5), (-0.5, -0.5), (-0.5, 0.5), (-1.5, 0.5)], [(1, 0), (0, 0.5), (0, -0.5)]],
    ),
    "an island in a lake": shapely.union_all(
        [ANNULUS, Polygon([(-0.5, -0.5), (0.75, 0), (0, 0.5)])]
    ),
    "a lake that touches the shore": Polygon(
        [(-1, -1), (1, -1), (1, 1), (-1, 1)], [[(0, -1), (0.5, 0), (0, 0.5), (-0.25, 0)]]
    ),
    "lakes that touch": Polygon(
        [(-2, -2), (2, -2), (2, 2), (-2, 2)],
        [[(0, 0), (1, 0), (1, 1), (0, 1)], [(0, 0), (-1, 0), (-1, -1), (0, -1)]],
    ),
    "a lake with its corner on a side of another": Polygon(
        [(-2, -2), (2, -2), (2, 2), (-2, 2)],
        [[(0, -1), (1, -1), (1, 1), (0, 1)], [(0, 0.25), (-1, 0.5), (-1, -0.5)]],
    ),
    "apart": MultiPolygon([box(-1, -1, -0.25, 1), Polygon([(0, 0), (1, -1), (1, 1)])]),
    "touching squares": CHECKERS,
    "a corner on a side": MultiPolygon(
        [box(-1, -1, 0, 1), Polygon([(0, 0.25), (1, -0.5), (1, 0.75)])]
    ),
    "a peninsula to the opposite shore": Polygon(
        [(-2, -2), (2, -2), (2, 2), (-2, 2)],
        [
            [(0, 1), (-1, 1), (-1, -1), (-0.25, -1)],
            [(0, 1), (0.25, -1), (1, -1), (1, 1)],
        ],
    ),
}  # fmt: skip


def net(rows: list, biases: list) -> list:
    return [(rows, biases), (np.ones((1, len(rows))).tolist(), [0])]


# Lines through reflex corners, along sides and along diagonals; units that die; nothing at all.
NETS = {
    "one line": net([[1, 2]], [0.25]),
    "the axes": net([[1, 0], [0, 1]], [0, 0]),
    "along sides": net([[1, 0], [0, 1], [1, 0], [0, 1]], [1, 1, -1, 0.5]),
    "diagonals": net([[1, -1], [1, 1], [2, -2], [1, 2]], [0, 0, 0, -0.5]),
    "dead units": net([[0, 0], [0, 0]], [1, -1]),
    "no unit": [([[1, 2]], [3])],
    "two layers": [
        ([[1, 0], [0, 1], [1, -1]], [0, 0.5, 0]),
        ([[1, 1, -1], [-1, 1, 1]], [-0.25, 0]),
        ([[1, 1]], [0]),
    ],
    "random": random_layers([2, 5, 1], 3, "normal"),
    "deep": random_layers([2, 4, 4, 1], 8, "normal"),
    "small integers": random_layers([2, 4, 3, 1], 5, "integer"),
}


def rings_of(geometry: object) -> list[list[Point]]:
    polygons = getattr(geometry, "geoms", [geometry])
    lines = [line for p in polygons for line in (p.exterior, *p.interiors)]
    return [[(Fraction(x), Fraction(y)) for x, y in list(line.coords)[:-1]] for line in lines]


def place(rings: list[list[Point]], p: Point) -> int:
    """1 inside, 0 on the border, -1 outside: by a ray to the right, in fractions."""
    crossings = 0
    for ring in rings:
        for a, b in zip(ring, ring[1:] + ring[:1], strict=True):
            turn = cross(a, b, p)
            if turn == 0 and all(min(a[i], b[i]) <= p[i] <= max(a[i], b[i]) for i in (0, 1)):
                return 0
            if (a[1] > p[1]) != (b[1] > p[1]) and (turn > 0) == (b[1] > a[1]):
                crossings += 1
    return 1 if crossings % 2 else -1


def regions_by_clipping(layers: list, geometry: object) -> Counter:
    """Patterns and exact areas of all regions, by partitioning a box that holds the domain.

    Units whose lines are the domain's sides join the first layer, and are used by nothing. Then
    every face of the box is inside or outside, and those inside are joined to regions.
    """
    rings = rings_of(geometry)
    sides = [s for ring in rings for s in zip(ring, ring[1:] + ring[:1], strict=True)]
    # All their coordinates are small binary fractions, so that nothing is rounded.
    rows = [[float(b[1] - a[1]), float(a[0] - b[0])] for a, b in sides]
    biases = [float(a[1] * b[0] - a[0] * b[1]) for a, b in sides]
    (weight, bias), *tail = layers
    first = np.concatenate([np.reshape(weight, (-1, 2)), rows]), np.concatenate([bias, biases])
    if tail:
        (after, bias_after), *tail = tail
        after = np.pad(np.asarray(after, dtype=float), ((0, 0), (0, len(rows))))
        widened = [first, (after, bias_after), *tail]
        used = len(np.asarray(weight))
    else:
        after = np.pad(np.eye(len(weight)), ((0, 0), (0, len(rows))))
        # Without an activation after them the outputs would be units.
        widened = [(np.array(rows), np.array(biases)), (np.zeros((1, len(rows))), [0])]
        used = 0
    xmin, ymin, xmax, ymax = geometry.bounds
    part = pr.partition(widened, (xmin, ymin, xmax, ymax), engine="rational")
    keep = [u for u in range(part.n_units) if not used <= u < used + len(rows)]
    pattern = [row.tobytes() for row in part.face_pattern[:, keep]]
    polygons = [list(map(exact.to_fractions, part.exact_polygon(f))) for f in range(len(part))]
    inside = [
        place(rings, (sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p))) > 0
        for p in polygons
    ]
    joined = [
        (f, g)
        for f, g in part.edge_faces.tolist()
        if g >= 0 and inside[f] and inside[g] and pattern[f] == pattern[g]
    ]
    total: dict[int, tuple[bytes, Fraction]] = {}
    for f, root in enumerate(components(len(part), joined)):
        if inside[f]:
            before = total.get(root, (pattern[f], Fraction(0)))
            total[root] = pattern[f], before[1] + area(polygons[f])
    return Counter(total.values())


def regions_of(part: pr.Partition) -> Counter:
    total: dict[int, tuple[bytes, Fraction]] = {}
    for f, region in enumerate(part.face_activation_region.tolist()):
        pattern = part.face_pattern[f].tobytes()
        before = total.get(region, (pattern, Fraction(0)))
        total[region] = pattern, before[1] + exact.area(part.exact_polygon(f))
    return Counter(total.values())


def hull_of(points: list[Point]) -> list[Point]:
    hull = []
    for ordered in (sorted(points), sorted(points, reverse=True)):
        chain: list[Point] = []
        for p in ordered:
            while len(chain) > 1 and cross(chain[-2], chain[-1], p) <= 0:
                chain.pop()
            chain.append(p)
        hull += chain[:-1]
    return hull


# --- against clipping -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", DOMAINS)
def test_regions_are_those_of_a_box_clipped(shape: str) -> None:
    domain = DOMAINS[shape]
    assert domain.is_valid
    for name, layers in NETS.items():
        parts = [checked(layers, domain, engine=engine) for engine in ENGINES]
        expected = regions_by_clipping(layers, domain)
        assert not SOAK.differences(parts[1], parts[0]), name
        assert regions_of(parts[0]) == expected, name
        for part in parts:
            assert part.count().activation_regions == expected.total(), name
            assert_cut_where_not_convex(part)
        # Every engine counts the same, and as many after a layer as without those behind it.
        counts = {pr.count_regions(layers, domain, engine=engine) for engine in ENGINES}
        (found,) = counts
        assert found.activation_regions == expected.total(), name
        for n in range(1, len(layers)):
            units = len(layers[n - 1][0])
            shorter = [*layers[:n], (np.ones((1, units)).tolist(), [0])]
            assert found.by_layer[n - 1] == regions_by_clipping(shorter, domain).total(), name


def assert_cut_where_not_convex(part: pr.Partition) -> None:
    """A region is several faces only where it is not strictly convex, with a corner of the domain.

    All corners of its faces are then on its own outline.
    """
    of_domain = {tuple(map(Fraction, corner)) for corner in part.domain.xy.tolist()}
    for region in range(int(part.face_activation_region.max()) + 1):
        faces = np.flatnonzero(part.face_activation_region == region).tolist()
        polygons = [list(map(exact.to_fractions, part.exact_polygon(f))) for f in faces]
        corners = {p for polygon in polygons for p in polygon}
        hull = hull_of(list(corners))
        is_convex = sum(map(area, polygons)) == area(hull)
        assert (len(faces) == 1) == (is_convex and corners == set(hull))
        assert len(faces) == 1 or not of_domain.isdisjoint(corners)
        if is_convex:
            assert corners - set(hull) <= of_domain


def test_random_patchworks() -> None:
    """Unions of cells of a grid touch in all ways, and lines run along their sides."""
    rng = np.random.default_rng(4)
    for seed in range(25):
        cells = np.argwhere(rng.random((4, 4)) < 0.55) - 2
        domain = shapely.union_all([box(i, j, i + 1, j + 1) for i, j in cells.tolist()])
        layers = random_layers([2, 3, 2, 1], seed, ("integer", "normal")[seed % 2])
        parts = [pr.partition(layers, domain, engine=engine) for engine in ENGINES]
        assert not SOAK.differences(parts[1], parts[0])
        assert regions_of(parts[1]) == regions_by_clipping(layers, domain)
        assert all(certify(part, full=True).ok for part in parts)


# --- counts that theory gives ---------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_known_counts(engine: str) -> None:
    def count(layers: list, domain: object) -> tuple[int, ...]:
        return pr.partition(layers, domain, engine=engine).count()

    across = net([[0, 1]], [0])
    assert count(across, COMB) == (6, 6, 2)  # five teeth and the rest
    assert count(across, ANNULUS) == (2, 2, 2)
    assert count(net([[0, 1]], [1.5]), ANNULUS) == (2, 2, 2)  # beside the hole
    assert count(net([[0, 1], [1, 0]], [0, 0]), ANNULUS) == (4, 4, 4)
    # |x| + |y| is one map on each quarter; two lines that meet in the hole.
    assert count(net([[0, 1]], [5]), CHECKERS) == (8, 8, 1)
    # Each diagonal of the board runs along it, through four squares of one colour or none.
    assert count(net([[1, -1]], [0]), CHECKERS) == (12, 12, 2)
    assert count(net([[1, 1]], [0]), CHECKERS) == (8, 8, 2)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("an L", 1),
        ("a comb", 1),
        ("an annulus", 0),
        ("two lakes", -1),
        ("an island in a lake", 1),
        ("apart", 2),
        # One less for each point in which they touch, of 8 squares that share 9 inner corners.
        ("touching squares", 8 - 9),
        ("a corner on a side", 2 - 1),
        # A lake that touches the shore is a hole no more, but its corner is a vertex twice.
        ("a lake that touches the shore", 1 - 1),
    ],
)
def test_euler_characteristic(shape: str, expected: int) -> None:
    part = pr.partition(NETS["deep"], DOMAINS[shape])
    assert part.domain.euler_characteristic == expected
    assert part.n_vertices - part.n_edges + part.n_faces == expected


def test_no_unit_and_several_polygons() -> None:
    counts = pr.count_regions([([[1, 2]], [3])], DOMAINS["apart"])
    assert counts.by_layer == ()
    assert counts.activation_regions == 2
    assert pr.count_regions([([[1, 2]], [3])], DOMAINS["apart"], linear=True).linear_regions == 2


def test_closed_linear_regions_join_where_polygons_touch() -> None:
    part = pr.partition([([[1, 2]], [3])], CHECKERS)
    assert part.count() == (8, 8, 1)
    assert part.count(through_vertices=True) == (8, 1, 1)


def test_limits_count_regions() -> None:
    for engine in ENGINES:
        assert len(pr.partition(net([[0, 1]], [0]), COMB, engine=engine, max_regions=6)) > 6
        with pytest.raises(pr.LimitError, match="max_regions=5"):
            pr.partition(net([[0, 1]], [0]), COMB, engine=engine, max_regions=5)


# --- the decomposition ----------------------------------------------------------------------------


def decomposed(geometry: object) -> list[list[Point]]:
    number: dict[Point, int] = {}
    sides = []
    for polygon in getattr(geometry, "geoms", [geometry]):
        for ring in rings_of(shapely.geometry.polygon.orient(polygon)):
            ids = [number.setdefault(p, len(number)) for p in ring]
            sides += list(zip(ids, ids[1:] + ids[:1], strict=True))
    corners = list(number)
    points = [exact.point(float(x), float(y)) for x, y in corners]
    faces = convex_faces(points, sides)
    # The same whatever the order.
    back = list(range(len(points)))[::-1]
    turned = convex_faces(points[::-1], [(back[a], back[b]) for a, b in sides[::-1]])
    assert [[back[v] for v in face] for face in turned] == faces
    return [[corners[v] for v in face] for face in faces]


def test_decomposition() -> None:
    rng = np.random.default_rng(0)
    shapes = list(DOMAINS.values())
    for _ in range(60):
        boxes = [
            shapely.affinity.rotate(box(x, y, x + w, y + h), angle)
            for x, y, w, h, angle in rng.random((6, 5)) * [4, 4, 2, 2, 90]
        ]
        shapes.append(shapely.union_all(boxes[:4]) - shapely.union_all(boxes[4:]))
    for shape in shapes:
        faces = decomposed(shape)
        for face in faces:
            n = len(face)
            assert all(cross(face[i - 2], face[i - 1], face[i]) > 0 for i in range(n))
        rings = [
            area(ring)
            for polygon in getattr(shape, "geoms", [shape])
            for ring in rings_of(shapely.geometry.polygon.orient(polygon))
        ]
        assert sum(map(area, faces)) == sum(rings)
        sides = Counter(
            frozenset(side)
            for face in faces
            for side in zip(face, face[1:] + face[:1], strict=True)
        )
        assert max(sides.values()) <= 2


def test_few_faces() -> None:
    """Hertel and Mehlhorn: no more than four times as many as needed; convex ones stay whole."""
    assert len(decomposed(L)) == 2
    assert len(decomposed(ANNULUS)) == 4
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    assert len(decomposed(Polygon(np.round(np.c_[np.cos(angle), np.sin(angle)], 6)))) == 1
    assert len(decomposed(COMB)) <= 4 * 6


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(0, 0), (0, 1), (1, 0)],
        [(0, 0), (4, 0), (4, 4), (3, -1), (0, 4)],
        [(0, 0), (2, 0), (2, 1), (1, 0), (0, 1)][::-1],
        [(0, 0), (3, 0), (3, 2), (1, 0), (2, 0), (0, 2)],
    ],
)
def test_crossing_sides_are_found(ring: list) -> None:
    points = [exact.point(float(x), float(y)) for x, y in ring]
    n = len(ring)
    with pytest.raises(CrossingError, match="near"):
        convex_faces(points, [(i, (i + 1) % n) for i in range(n)])


# --- points ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", DOMAINS)
def test_locate(shape: str) -> None:
    domain = DOMAINS[shape]
    rings = rings_of(domain)
    part = pr.partition(NETS["small integers"], domain)
    rng = np.random.default_rng(0)
    xmin, ymin, xmax, ymax = domain.bounds
    grid = np.stack(np.meshgrid(np.linspace(xmin, xmax, 9), np.linspace(ymin, ymax, 9)), -1)
    random = rng.uniform([xmin - 0.1, ymin - 0.1], [xmax + 0.1, ymax + 0.1], (60, 2))
    points = np.concatenate([grid.reshape(-1, 2), random, part.domain.xy])
    polygons = [list(map(exact.to_fractions, part.exact_polygon(f))) for f in range(len(part))]
    for point, found in zip(points.tolist(), part.locate(points).tolist(), strict=True):
        p = Fraction(point[0]), Fraction(point[1])
        holding = [
            f
            for f, face in enumerate(polygons)
            if all(cross(face[i - 1], face[i], p) >= 0 for i in range(len(face)))
        ]
        assert found == min(holding, default=-1)
        assert (found >= 0) == (place(rings, p) >= 0)


@pytest.mark.parametrize("shape", ["a comb", "a spiral", "touching squares", "an island in a lake"])
def test_walks_around_dents_and_holes(shape: str) -> None:
    part = pr.partition(random_layers([2, 30, 30, 1], 1), DOMAINS[shape])
    xmin, ymin, xmax, ymax = part.domain.bounds
    x, y = np.linspace(xmin - 0.1, xmax + 0.1, 161), np.linspace(ymin, ymax, 129)
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    assert len(points) * len(part) > 1 << 20  # so that walks are taken
    found = part.locate(points)
    some = np.arange(0, len(points), 7)
    assert found[some].tolist() == part._locator._compare(points[some]).tolist()
    # Almost all are found by walks, those outside too.
    walked = part._locator._walker.walk(points)
    on_border = shapely.intersects_xy(shapely.boundary(DOMAINS[shape]), *points.T)
    assert (walked[~on_border] >= -1).mean() > 0.98
    inside = shapely.intersects_xy(DOMAINS[shape], *points.T)
    assert ((found >= 0) == inside).all()
    values = part(points)
    assert np.isnan(values[found < 0]).all()
    assert np.isfinite(values[found >= 0]).all()


# --- everything else ------------------------------------------------------------------------------


def assert_equal(part: pr.Partition, other: pr.Partition) -> None:
    for name, values in vars(other).items():
        if isinstance(values, np.ndarray) and name in pr.Partition.__dataclass_fields__:
            assert getattr(part, name).tobytes() == values.tobytes(), name


@pytest.mark.parametrize("shape", DOMAINS)
@pytest.mark.parametrize("engine", ENGINES)
def test_files(shape: str, engine: str, tmp_path: Path) -> None:
    part = pr.partition(NETS["deep"], DOMAINS[shape], engine=engine)
    part.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz")
    assert loaded.domain.xy.tobytes() == part.domain.xy.tobytes()
    assert loaded.domain.ring_offsets.tolist() == part.domain.ring_offsets.tolist()
    assert_equal(loaded, part)
    assert list(loaded.vertex_exact) == list(part.vertex_exact)
    assert loaded.certificate.ok
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    copy = pickle.loads(pickle.dumps(part))
    assert_equal(copy, part)
    assert copy.domain.euler_characteristic == part.domain.euler_characteristic


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain_ring_offsets": np.array([0, 6, 5], dtype="<i4")}, "ring_offsets"),
        ({"domain_face_offsets": np.array([0, 4], dtype="<i4")}, "domain_face_offsets"),
        ({"domain_face_vertices": np.arange(8, dtype="<i4")}, "no domain"),
        ({"domain_face_vertices": np.zeros(8, dtype="<i4")}, "no domain"),
        ({"edge_unit": None}, "edge_unit"),
    ],
)
def test_damaged_files(changes: dict, message: str, tmp_path: Path) -> None:
    part = pr.partition(NETS["one line"], L)
    path = tmp_path / "a.npz"
    part.save(path)
    with np.load(path) as file:
        contents = dict(file)
    if "edge_unit" in changes:
        unit = contents["edge_unit"].copy()
        unit[part.edge_unit >= 0] = -1  # a seam where a unit switches
        changes = {"edge_unit": unit}
    np.savez(path, **(contents | changes))
    with pytest.raises(pr.FormatError, match=message):
        pr.load(path)


def test_a_network_on_a_slice(tmp_path: Path) -> None:
    layers = random_layers([4, 6, 5, 2], 2)
    plane = pr.Slice.axes(0, 2, at=[0.5, 0.25, -0.5, 1])
    part = check(pr.partition(layers, L, slice=plane))
    part.save(tmp_path / "a.npz")
    assert pr.load(tmp_path / "a.npz").slice.n_inputs == 4
    assert part.jacobian(0).shape == (2, 4)


@pytest.mark.parametrize("shape", ["an L", "touching squares", "an island in a lake"])
def test_verify(shape: str) -> None:
    layers = random_layers([2, 8, 6, 1], 7)
    report = pr.verify(pr.partition(layers, DOMAINS[shape]), layers, resolution=60)
    assert report.ok
    assert report.check("edges").n > 0


def test_seams_are_no_neighbours_and_not_drawn() -> None:
    part = pr.partition(net([[0, 1]], [0.5]), ANNULUS)
    n_seams = int(part.edge_is_seam.sum())
    assert n_seams > 0
    graph = part.dual_graph()
    assert graph.nnz == 2 * int((part.edge_unit >= 0).sum())
    assert part.to_networkx().number_of_edges() == graph.nnz // 2
    from matplotlib.figure import Figure

    drawn = pr.plot.partition(part, ax=Figure().subplots(), lines="layer", color="area")
    assert len(drawn.lines.get_segments()) == int((part.edge_unit >= 0).sum())
    # Parts of one region have one colour.
    values = drawn.faces.get_array()
    assert len({(r, v) for r, v in zip(part.face_activation_region, values, strict=True)}) == 2
    assert float(values.max()) == max(
        float(sum(part.areas[part.face_activation_region == r])) for r in (0, 1)
    )


def test_pictures_and_geojson() -> None:
    part = pr.partition(NETS["deep"], ANNULUS)
    text = part.to_svg()
    n_regions = part.count().activation_regions
    assert f"{n_regions} regions of a network on polygon with 8 corners and a hole" in text
    assert text.count("<path") == len(part) + 2
    found = part.to_geojson()
    json.dumps(found)
    polygons = [shapely.geometry.shape(f["geometry"]) for f in found["features"]]
    assert shapely.union_all(polygons).symmetric_difference(ANNULUS).area < 1e-12
    regions = [f["properties"]["activation_region"] for f in found["features"]]
    assert regions == part.face_activation_region.tolist()
    convex = pr.partition(NETS["deep"]).to_geojson()
    assert "activation_region" not in convex["features"][0]["properties"]
    for color in ("slope", "value", "layer", "area", "count"):
        from matplotlib.figure import Figure

        figure = Figure()
        pr.plot.partition(part, ax=figure.subplots(), color=color)
        figure.canvas.draw()


def test_the_certificate_notices() -> None:
    from dataclasses import replace

    part = pr.partition(NETS["deep"], L, engine="rational")
    assert part.certificate.ok
    (seam,) = np.flatnonzero(part.edge_is_seam)[:1]
    unit = part.edge_unit.copy()
    unit[seam] = 0
    assert not replace(part, edge_unit=unit).certificate.labels_consistent
    other = pr.partition(NETS["deep"], DOMAINS["a dent"], engine="rational").domain
    wrong = replace(part, domain=other).certificate
    assert not wrong.border_closed
    hole = pr.partition(NETS["deep"], ANNULUS).domain
    assert "V - E + F is 0 (it is 1)" in str(replace(part, domain=hole).certificate)


def test_threads_do_not_matter() -> None:
    layers = random_layers([2, 40, 30, 1], 5)
    one, two = (pr.partition(layers, COMB, threads=n) for n in (1, 2))
    for name in ("vertex_xy", "edge_vertices", "edge_faces", "edge_unit", "face_vertices"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.certificate.ok


def test_a_long_coast() -> None:
    """Some thousand corners, of which half are dents."""
    rng = np.random.default_rng(1)
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    coast = Polygon(((1 + 0.05 * rng.random(2000)) * np.array([np.cos(angle), np.sin(angle)])).T)
    part = pr.partition(random_layers([2, 16, 1], 3), coast)
    assert part.certificate.ok
    whole = pr.partition(random_layers([2, 16, 1], 3), (-2, 2))
    assert part.count().affine_pieces <= whole.count().affine_pieces
    assert part.domain.exact_area == sum(
        (exact.area(part.exact_polygon(f)) for f in range(len(part))), Fraction(0)
    )


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xy", "offsets", "message"),
    [
        ([(0, 0), (0, 1), (1, 0)], [0, 3], "on their left"),  # clockwise
        ([(0, 0), (1, 1), (1, 0), (0, 1)], [0, 4], "cross or overlap"),
        ([(0, 0), (1, 1), (2, 2)], [0, 3], "without area"),
        ([(0, 0), (1, 0), (0, 1)], [0, 2], "ring_offsets"),
        ([(0, 0), (1, 0), (0, np.inf)], [0, 3], "infinite"),
        ([0, 1, 2], [0, 3], "shape"),
        # The same ring twice.
        ([(0, 0), (1, 0), (0, 1)] * 2, [0, 3, 6], "cross or overlap"),
    ],
)
def test_rings_that_are_no_domain(xy: list, offsets: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PolygonDomain(np.array(xy, dtype=float), offsets)


def test_corners_are_kept_only_where_rings_turn_or_touch() -> None:
    domain = PolygonDomain.of(
        Polygon([(-1, -1), (0, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1), (-1, 1)])
    )
    assert len(domain.xy) == 6
    touched = pr.partition(NETS["one line"], DOMAINS["a corner on a side"]).domain
    assert (0.0, 0.25) in {tuple(p) for p in touched.outline[0].tolist()}
    again = PolygonDomain(touched.xy, touched.ring_offsets)
    assert again.xy.tobytes() == touched.xy.tobytes()
    assert repr(touched) == "2 polygons with 8 corners"
    assert repr(domain) == "polygon with 6 corners"


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "net.npz"
    np.savez(path, W0=[[0.0, 1.0]], b0=[0.0], W1=[[1.0]], b1=[0.0])
    return str(path)


def geojson(path: Path, found: object) -> str:
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return str(path)


def test_polygons_on_the_command_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    geometry = shapely.geometry.mapping(COMB)
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    collection = {"type": "FeatureCollection", "features": [feature]}
    for n, found in enumerate((geometry, feature, collection)):
        path = geojson(tmp_path / f"{n}.geojson", found)
        assert cli.main(["count", model, "--polygon", path, "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert facts["counts"]["activation_regions"] == 6
        assert len(facts["domain"]["rings"]) == 1
    assert cli.main(["count", model, "--polygon", path, "--certificate"]) == 0
    out = capsys.readouterr().out
    assert "6 activation regions" in out
    assert "regions after each layer: 6" in out
    assert cli.main(["verify", model, "--polygon", path, "--resolution", "50"]) == 0
    for name in ("a.npz", "a.geojson", "a.svg"):
        assert cli.main(["export", model, "--polygon", path, "-o", str(tmp_path / name)]) == 0
    assert cli.main(["plot", str(tmp_path / "a.npz"), "-o", str(tmp_path / "a.png")]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("{", "is not JSON"),
        ([1, 2], "is no GeoJSON"),
        ({"type": "Point", "coordinates": [0, 0]}, "is a Point; it must be GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, "holds 0 features"),
        ({"type": "Feature", "geometry": None}, "is no GeoJSON"),
        ({"type": "Polygon"}, "coordinates"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [0, 1]]]}, "coordinates"),
        ({"type": "Polygon", "coordinates": []}, "empty"),
        (
            {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 1], [0, 0]]]},
            "Self-intersection",
        ),
    ],
)
def test_bad_polygons_on_the_command_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], found: object, message: str
) -> None:
    path = geojson(tmp_path / "a.geojson", found)
    assert cli.main(["count", model, "--polygon", path]) == 2
    error = capsys.readouterr().err
    assert error.startswith("polyregions: error: ")
    assert "a.geojson" in error
    assert message in error


def test_one_domain_on_the_command_line(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = geojson(tmp_path / "a.geojson", shapely.geometry.mapping(L))
    assert cli.main(["count", model, "--polygon", path, "--domain", "-1", "1"]) == 2
    assert "not allowed with" in capsys.readouterr().err
    assert cli.main(["count", model, "--polygon", str(tmp_path / "missing.geojson")]) == 2
    assert "No such file" in capsys.readouterr().err
