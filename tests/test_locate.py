"""Point location, against all faces one by one in fractions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from invariants import checked, cross
from networks import folding, pencil, random_layers, stack, tangents, torch_layers
from shapely import Polygon, box

import polyregions as pr
from polyregions import exact, location
from polyregions.location import Locator, side_signs


@pytest.fixture(autouse=True, params=["walking", "comparing"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test of this module, once with each way to look points up."""
    few = 0 if request.param == "walking" else 1 << 62
    monkeypatch.setattr(location, "_FEW_PAIRS", few)
    return request.param


CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]


def faces_at(part: pr.Partition, points: np.ndarray) -> list[list[int]]:
    """All faces whose closed polygon holds a point, for every point, exactly."""
    polygons = [[part.exact_vertex(v) for v in part.face(f)] for f in range(part.n_faces)]
    found = []
    for x, y in np.asarray(points, dtype=float).tolist():
        if not np.isfinite([x, y]).all():
            found.append([])
            continue
        p = (Fraction(x), Fraction(y))
        found.append(
            [
                f
                for f, ring in enumerate(polygons)
                if all(cross(a, b, p) >= 0 for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
            ]
        )
    return found


def lowest_at(part: pr.Partition, points: np.ndarray) -> list[int]:
    return [min(faces, default=-1) for faces in faces_at(part, points)]


def assert_located(part: pr.Partition, points: np.ndarray) -> None:
    """A point belongs to the lowest of the faces it touches, and to none outside."""
    expected = lowest_at(part, points)
    got = part.locate(points)
    assert got.dtype == np.int64
    assert got.shape == (len(points),)
    assert got.tolist() == expected


def telling_points(part: pr.Partition, seed: int = 0, n: int = 60) -> np.ndarray:
    """Vertices, middles of edges and centroids as float64, and their close neighbours."""
    a, b = part.vertex_xy[part.edge_vertices].transpose(1, 0, 2)
    pool = np.concatenate([part.vertex_xy, a / 2 + b / 2, part.centroids])
    rng = np.random.default_rng(seed)
    pool = pool[rng.permutation(len(pool))[:n]]
    toward = np.where(rng.random(pool.shape) < 0.5, -np.inf, np.inf)
    near = np.nextafter(pool, toward)
    near = np.where(rng.random(pool.shape) < 0.7, near, pool)
    return np.concatenate([pool, near, np.nextafter(near, toward)])


def test_interior_points_lie_in_their_face() -> None:
    part = checked(torch_layers([2, 5, 5, 5, 5, 1]), (-10, 10))
    # Rounded centroids of faces that are not slivers are inside: checked, not assumed.
    holds = [f in faces for f, faces in enumerate(faces_at(part, part.centroids))]
    assert all(holds)
    assert part.locate(part.centroids).tolist() == list(range(len(part)))


def test_points_on_edges_and_vertices_belong_to_the_lowest_face() -> None:
    part = checked(CROSS, (-1, 1))
    points = np.array([[x, y] for x in (-1, -0.5, 0, 0.5, 1) for y in (-1, -0.5, 0, 0.5, 1)])
    touching = faces_at(part, points)
    assert sorted({len(faces) for faces in touching}) == [1, 2, 4]
    assert part.locate(points).tolist() == [min(faces) for faces in touching]
    # The answer does not depend on what else is asked, nor on the order.
    order = np.random.default_rng(0).permutation(len(points))
    assert (part.locate(points[order]) == part.locate(points)[order]).all()
    assert [part.locate(point[None])[0] for point in points] == part.locate(points).tolist()


@pytest.mark.parametrize("kind", ["normal", "integer", "four_bit", "ternary"])
@pytest.mark.parametrize("activation", ["relu", "abs", "hardtanh"])
def test_close_to_vertices_and_edges(kind: str, activation: str) -> None:
    network = stack(random_layers([2, 5, 4, 1], 3, kind), activation)
    part = checked(network, (-2, 2))
    assert_located(part, telling_points(part))


def test_exact_vertices_and_edges_of_a_dyadic_partition() -> None:
    # All vertices are multiples of 1/4, so they and the middles of edges are float64 numbers.
    layers = [([[1, 0], [0, 1], [1, 1], [1, -1], [4, 0]], [0, 0, 0, 0, -1]), ([[1] * 5], [0])]
    part = checked(layers, (-1, 1))
    for v in range(part.n_vertices):
        assert tuple(map(Fraction, part.vertex_xy[v].tolist())) == part.exact_vertex(v)
    middles = part.vertex_xy[part.edge_vertices].mean(axis=1)
    points = np.concatenate([part.vertex_xy, middles])
    assert_located(part, points)
    # The faces around a point really are several, or these points would tell nothing.
    assert min(len(faces) for faces in faces_at(part, middles[part.is_inner])) == 2
    located = part.locate(middles)
    assert all(f in pair for f, pair in zip(located, part.edge_faces, strict=True))


def test_triangle_domain() -> None:
    part = checked(CROSS, Polygon([(-1, -1), (2, -0.7), (0.3, 3)]))
    assert_located(part, telling_points(part))
    grid = np.stack(np.meshgrid(np.linspace(-1.5, 2.5, 15), np.linspace(-2, 4, 15)), axis=-1)
    located = part.locate(grid.reshape(-1, 2))
    assert -1 in located
    assert_located(part, grid.reshape(-1, 2))


def test_outside_nan_infinite_and_huge() -> None:
    part = pr.partition(CROSS, (-1, 1))
    big = np.finfo(float).max
    outside = [
        [np.nextafter(1, 2), 0],
        [0, np.nextafter(-1, -2)],
        [2, 2],
        [np.nan, 0],
        [0, np.nan],
        [np.nan, np.nan],
        [np.inf, 0],
        [-np.inf, np.inf],
        [np.inf, np.nan],
        [big, big],
        [-big, big],
        [0, -big],
        [1e300, 1e-300],
    ]
    assert (part.locate(outside) == -1).all()
    assert np.isnan(part(outside)).all()
    assert part(outside).shape == (len(outside), 1)
    # Good points beside bad ones are still found.
    mixed = part.locate([[np.nan, 0], [0.5, 0.5], [np.inf, 0], [-0.5, -0.5]])
    assert mixed[0] == mixed[2] == -1
    assert part.face_pattern[mixed[[1, 3]]].tolist() == [[1, 1], [0, 0]]


def test_forms_of_points() -> None:
    part = pr.partition(CROSS, (-1, 1))
    expected = part.locate(np.array([[1.0, 1.0], [-1.0, 0.0]]))
    for points in (
        [[1, 1], [-1, 0]],
        [(1, 1), (-1, 0)],
        ((1, 1), (-1, 0)),
        np.array([[1, 1], [-1, 0]]),
        np.array([[1, 1], [-1, 0]], dtype=np.float32),
        np.array([[1, -1], [1, 0]]).T,
        np.array([[1, 9, 1], [-1, 9, 0]])[:, ::2],
    ):
        assert part.locate(points).tolist() == expected.tolist()
    empty = np.zeros((0, 2))
    assert part.locate(empty).shape == (0,)
    assert part.locate(empty).dtype == np.int64
    assert part(empty).shape == (0, 1)
    for bad in ([0.0, 0.0, 0.0], [[0.0, 0.0, 0.0]], [[0.0]], 1.0, np.zeros((2, 2, 3)), []):
        for method in (part.locate, part):
            with pytest.raises(ValueError, match=r"points must have shape \(\.\.\., 2\)"):
                method(bad)


def test_one_point_and_grids_of_points() -> None:
    part = pr.partition(CROSS, (-1, 1))
    one = part.locate([0.25, 0.5])
    assert one.shape == ()
    assert part.face_pattern[one].tolist() == [1, 1]
    assert part([0.25, 0.5]).tolist() == [0.75]
    assert part([2.0, 0.5]).shape == (1,)
    assert np.isnan(part([2.0, 0.5])).all()
    grid = np.random.default_rng(0).uniform(-1.1, 1.1, (3, 4, 5, 2))
    assert part.locate(grid).shape == (3, 4, 5)
    assert part.locate(grid).ravel().tolist() == part.locate(grid.reshape(-1, 2)).tolist()
    assert part(grid).shape == (3, 4, 5, 1)
    np.testing.assert_array_equal(part(grid).reshape(-1, 1), part(grid.reshape(-1, 2)))


def test_slivers_around_a_missed_point() -> None:
    part = checked(pencil(12, 1 / 3, exact=False), (0, 1))
    assert part.areas.min() < 1e-30
    third = 1 / 3
    near = third + np.spacing(third) * np.arange(-3, 4)
    points = np.stack(np.meshgrid(near, near), axis=-1).reshape(-1, 2)
    assert_located(part, points)
    assert len(set(part.locate(points).tolist())) > 10


def test_sliver_that_holds_float_points() -> None:
    # The lines x = 0, y = 0 and x + y = 1e-19 leave a triangle of area 5e-39 at the origin,
    # where float64 numbers lie close enough to find room in it.
    tiny = 1e-19
    part = checked([([[1, 0], [0, 1], [1, 1]], [0, 0, -tiny]), ([[1, 1, 1]], [0])], (-1, 1))
    sliver = int(np.argmin(part.areas))
    assert 0 < part.areas[sliver] < 1e-38
    assert part.face_pattern[sliver].tolist() == [1, 1, 0]
    inside = [[2e-20, 3e-20], [1e-300, 1e-300], [5e-324, 5e-324], [4.9e-20, 5e-20]]
    assert (part.locate(inside) == sliver).all()
    beside = [[5.1e-20, 5e-20], [-1e-300, 1e-300], [2e-20, -5e-324], [1e-19, 1e-30]]
    assert sliver not in part.locate(beside)
    corners = [[0, 0], [tiny, 0], [0, tiny], [tiny / 2, tiny / 2]]
    assert_located(part, np.array(inside + beside + corners))
    assert part(inside).ravel().tolist() == pytest.approx([x + y for x, y in inside], rel=1e-15)


@pytest.mark.parametrize("exponent", [-1060, -1000, -545, -540, -537, -530, -300, 300, 500, 511])
def test_products_that_underflow_or_overflow(exponent: int) -> None:
    """The predicate multiplies two coordinates, which float64 may not be able to hold."""
    scale = 2.0**exponent
    weight = np.array([[1.0, 3.0], [-2.0, 1.0], [1.0, 1.0], [3.0, -1.0], [5.0, 3.0]])
    bias = np.array([0.25, 0.5, -0.75, 0.125, -1.0]) * scale
    part = pr.partition([(weight, bias), (np.ones((1, 5)), [0])], (-scale, scale))
    a, b = part.vertex_xy[part.edge_vertices].transpose(1, 0, 2)
    rng = np.random.default_rng(0)
    pool = np.concatenate([part.vertex_xy, a / 2 + b / 2, (2 * rng.random((20, 2)) - 1) * scale])
    near = np.nextafter(pool, np.where(rng.random(pool.shape) < 0.5, -np.inf, np.inf))
    assert_located(part, np.concatenate([pool, near]))


@pytest.mark.parametrize(
    "domain",
    [
        (-1, -1, 1, 1),
        (1e6, 0, 1e6 + 1, 1e-3),
        (0, 1e6, 1e-3, 1e6 + 1),
        (-1e-9, 1e9, 1e-9, 1e9 + 1e-3),
        (1e15, -1e-9, 1e15 + 8, 1e-9),
        (3, 3, 3 + 2.0**-40, 3 + 2.0**-40),
        (0, 0, 1e200, 1e-200),
    ],
)
def test_points_within_an_ulp_of_edges(domain: tuple[float, ...]) -> None:
    """The float64 numbers on both sides of where an edge is, in domains far off or flat."""
    xmin, ymin, xmax, ymax = domain
    rng = np.random.default_rng(1)
    through = np.array([xmin, ymin]) + rng.random((5, 2)) * np.array([xmax - xmin, ymax - ymin])
    weight = rng.normal(size=(5, 2)) / np.array([xmax - xmin, ymax - ymin])
    part = pr.partition([(weight, -(weight * through).sum(axis=1)), (np.ones((1, 5)), [0])], domain)
    assert len(part) > 3
    points = []
    for e in np.flatnonzero(part.is_inner):
        (ax, ay), (bx, by) = (part.exact_vertex(v) for v in part.edge_vertices[e])
        for t in rng.random(6):
            x = float(ax + Fraction(t) * (bx - ax))
            if ax == bx:
                continue
            y = float(ay + (Fraction(x) - ax) / (bx - ax) * (by - ay))
            points += [(x, y), (x, np.nextafter(y, np.inf)), (x, np.nextafter(y, -np.inf))]
    assert_located(part, np.array(points))
    assert len(set(part.locate(points).tolist())) > 3


def test_more_points_than_are_looked_up_at_once() -> None:
    part = pr.partition(CROSS, (-1, 1))
    points = np.random.default_rng(0).uniform(-1.1, 1.1, (140_000, 2))
    located = part.locate(points)
    outside = (np.abs(points) > 1).any(axis=1)
    assert (located[outside] == -1).all()
    assert (part.face_pattern[located[~outside]] == (points[~outside] > 0)).all()


def test_the_largest_domain() -> None:
    part = pr.partition(CROSS, (-1e308, 1e308))
    points = np.array(
        [[1e307, 1], [-1e308, -1e308], [1e308, 1e308], [5e-324, -5e-324], [-1.1e308, 0], [0, 1e308]]
    )
    assert_located(part, points)


def test_many_points_agree_with_the_forward_pass() -> None:
    network = stack(folding(1))
    part = checked(network, (-1, 1))
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 101)] * 2), axis=-1).reshape(-1, 2)
    located = part.locate(grid)
    assert (located >= 0).all()
    # Multiples of 1/50 are not dyadic; near the lines float64 pre-activations may have either
    # sign, so look only at points where every one is clearly not zero.
    x, clear, pattern = grid, np.ones(len(grid), bool), []
    for step in network.steps:
        if step in network.activations:
            clear &= (np.abs(x) > 1e-9).all(axis=1)
            pattern.append(step.piece(x))
        x = step(x)
    assert clear.sum() > 8000
    assert (part.face_pattern[located] == np.concatenate(pattern, axis=1))[clear].all()
    assert part(grid) == pytest.approx(x, abs=1e-9)


# -- the stages one by one -----------------------------------------------------------------------


class Counted(Sequence):
    """Exact vertices that count how often they are asked for."""

    def __init__(self, vertices: Sequence) -> None:
        self.vertices = vertices
        self.asked = 0

    def __len__(self) -> int:
        return len(self.vertices)

    def __getitem__(self, i):
        self.asked += 1
        return self.vertices[i]


def blurred(part: pr.Partition, size: float, seed: int = 0) -> tuple[Locator, Counted]:
    """A locator that knows the vertices only up to about `size`, each of them up to another."""
    rng = np.random.default_rng(seed)
    # Some errors are zero, where the coordinate can stay as exact as it is.
    error = size * rng.random(part.vertex_xy.shape) ** 3 * (rng.random(part.vertex_xy.shape) < 0.8)
    xy = part.vertex_xy + rng.uniform(-1, 1, error.shape) * error
    error = error * (1 + 1e-9) + part.vertex_error + 4 * np.abs(np.spacing(xy)) * (error > 0)
    for near, bound, (x, y, w) in zip(xy, error, part.vertex_exact, strict=True):
        for c, e, exactly in zip(near, bound, (Fraction(x, w), Fraction(y, w)), strict=True):
            assert abs(Fraction(float(c)) - exactly) <= Fraction(float(e))
    vertices = Counted(part.vertex_exact)
    arrays = part.face_offsets, part.face_vertices, part.domain.xy
    return Locator(xy, error, vertices, *arrays), vertices


CASES = {
    "random": (random_layers([2, 5, 4, 1], 3), (-2, 2)),
    "integer": (random_layers([2, 6, 4, 1], 1, "integer"), (-2, 2)),
    "no biases": (random_layers([2, 5, 4, 1], 2, "zero_bias"), (-2, 2)),
    "folding": (folding(1), (-1, 1)),
    "near pencil": (pencil(8, 1 / 3, exact=False), (0, 1)),
    "pencil": (pencil(8, 0.25, exact=True), (0, 1)),
    "tangents": (tangents(30), (-40, 40)),
    "polygon": (random_layers([2, 5, 4, 1], 5), box(-1, -1, 1, 1).buffer(0.7, quad_segs=9)),
}


@pytest.mark.parametrize("size", [1e-13, 1e-4, 0.03, 1.0, 100.0])
@pytest.mark.parametrize("case", CASES)
def test_uncertain_coordinates_change_nothing(case: str, size: float) -> None:
    part = pr.partition(*CASES[case])
    locator, _ = blurred(part, size)
    xmin, ymin, xmax, ymax = part.domain.bounds
    x, y = np.linspace(xmin, xmax, 9), np.linspace(ymin, ymax, 9)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    points = np.concatenate([telling_points(part, n=25), grid, 1.25 * grid[::4], grid[:5]])
    assert locator.locate(points).tolist() == lowest_at(part, points)


@pytest.mark.parametrize("way", ["walking"], indirect=True)
def test_exact_steps_arrive_from_anywhere(way: str) -> None:
    part = pr.partition(pencil(12, 1 / 3, exact=False), (0, 1))
    third = 1 / 3
    near = third + np.spacing(third) * np.arange(-3, 4)
    points = np.stack(np.meshgrid(near, near), axis=-1).reshape(-1, 2)
    points = np.concatenate([points, telling_points(part, n=30), [[0, 0], [1, 1], [1, 0.5]]])
    points = points[((points >= 0) & (points <= 1)).all(axis=1)]
    expected = lowest_at(part, points)
    locator, _ = blurred(part, 1e-3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        start = rng.integers(len(part), size=len(points))
        assert locator._settle(points, start).tolist() == expected
        # Without a limit each of them gets there; lines do not send a walk in circles.
        assert locator._exact_walk(points, start, 10 * len(part))[0].tolist() == expected
        ended, face = locator._exact_walk(points, start, 1)
        there = ended >= 0
        assert ended[there].tolist() == np.array(expected)[there].tolist()
        assert (face[~there] >= 0).all()


def test_exact_vertices_are_asked_for_only_where_float64_is_not_certain() -> None:
    part = pr.partition(torch_layers((2, 40, 40, 1)), (-3, 3), engine="exact")
    assert len(part) > 1000
    locator, vertices = blurred(part, 0.0)
    points = np.random.default_rng(0).uniform(-3, 3, (5_000, 2))
    found = locator.locate(points)
    assert vertices.asked == 0
    # Vertices themselves are as uncertain as points can be.
    assert locator.locate(part.vertex_xy[:50]).tolist() == lowest_at(part, part.vertex_xy[:50])
    assert vertices.asked > 0
    # The units are where the forward pass says, unless it is not sure itself.
    x = points
    for i, (weight, bias) in enumerate(torch_layers((2, 40, 40, 1))[:-1]):
        z = x @ weight.T + bias
        pattern = part.face_pattern[found, 40 * i : 40 * i + 40]
        clear = np.abs(z) > 1e-9
        assert clear.mean() > 0.999
        assert ((z > 0) == pattern)[clear].all()
        x = np.maximum(z, 0)


@pytest.mark.parametrize("way", ["walking"], indirect=True)
def test_the_ways_agree_on_many_points(way: str) -> None:
    part = pr.partition(torch_layers((2, 24, 24, 1)), (-4, 4), engine="exact")
    rng = np.random.default_rng(0)
    outside = rng.uniform(-5, 5, (20_000, 2))
    clustered = part.vertex_xy[0] + 1e-9 * rng.normal(size=(20_000, 2))
    equal = np.repeat(rng.uniform(-4, 4, (3, 2)), 20_000, axis=0)
    inside = part.centroids[rng.permutation(len(part))]
    for points in (outside, clustered, equal, inside, np.sort(outside, axis=0)):
        walked = part.locate(points)
        some = rng.permutation(len(points))[:500]
        assert walked[some].tolist() == part._locator._compare(points[some]).tolist()
        assert walked[::-1].tolist() == part.locate(points[::-1]).tolist()


def true_sign(a: tuple, b: tuple, p: tuple) -> int:
    turn = cross(a, b, p)
    return (turn > 0) - (turn < 0)


@pytest.mark.parametrize("error", [0.0, 1e-16, 1e-9, 1e-2])
def test_certain_signs_hold_wherever_the_true_points_are(error: float) -> None:
    rng = np.random.default_rng(0)
    n = 400
    a, b = rng.normal(size=(2, n, 2))
    # Points on the line up to some rounding errors, or to about the errors of a and b.
    t = rng.uniform(-0.5, 1.5, (n, 1))
    away = rng.normal(size=(n, 2)) * rng.choice([0, 1e-16, 1e-15, 3 * error], (n, 1))
    p = a + t * (b - a) + away
    bounds = error * rng.random((2, n, 2))
    sign = side_signs(np.hstack([a, bounds[0]]), np.hstack([b, bounds[1]]), p)
    share = np.count_nonzero(sign) / n
    assert 0.05 < share < 0.95
    fractions = [[tuple(map(Fraction, row)) for row in array.tolist()] for array in (a, b, p)]
    moves = [[tuple(map(Fraction, row)) for row in array.tolist()] for array in bounds]
    for i in np.flatnonzero(sign):
        point_a, point_b, point = (array[i] for array in fractions)
        for corner in range(16):  # the sign is that of a function linear in each coordinate
            da, db = (
                tuple(m if corner >> (2 * k + j) & 1 else -m for j, m in enumerate(moves[k][i]))
                for k in (0, 1)
            )
            moved = [(q[0] + d[0], q[1] + d[1]) for q, d in ((point_a, da), (point_b, db))]
            assert true_sign(*moved, point) == sign[i]


@pytest.mark.parametrize("way", ["walking"], indirect=True)
def test_compiled_signs_are_those_of_arrays(way: str) -> None:
    from polyregions.walking import orientation

    rng = np.random.default_rng(1)
    n = 3000
    table = np.hstack([rng.normal(size=(2 * n, 2)), 1e-3 * rng.random((2 * n, 2)) ** 8])
    t = rng.uniform(-0.5, 1.5, (n, 1))
    p = table[:n, :2] + t * (table[n:, :2] - table[:n, :2]) + 1e-7 * rng.normal(size=(n, 2))
    expected = side_signs(table[:n], table[n:], p)
    got = [orientation(table, i, n + i, *p[i]) for i in range(n)]
    assert got == expected.tolist()
    assert set(got) == {-1, 0, 1}


@pytest.mark.parametrize("way", ["walking"], indirect=True)
def test_runs_without_compilation(way: str) -> None:
    script = (
        "import numpy as np, polyregions as pr\n"
        "from polyregions import location\n"
        "location._FEW_PAIRS = 0\n"
        "part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])], (-1, 1))\n"
        "x = np.linspace(-1.25, 1.25, 21)\n"
        "p = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)\n"
        "assert (part.locate(p) == part._locator._compare(p)).all()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_points_become_the_same_integers() -> None:
    points = np.array([[0.1, -3.0], [0.0, 5e-324], [-1e308, 1e-308], [2.0**60, 0.75]])
    for (x, y), X, Y, W in zip(points.tolist(), *location._integers(points), strict=True):
        assert W > 0
        assert (Fraction(X, W), Fraction(Y, W)) == (Fraction(x), Fraction(y))
        assert exact.to_fractions((X, Y, W)) == (Fraction(x), Fraction(y))
