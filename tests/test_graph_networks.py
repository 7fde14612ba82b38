"""Networks with branches, convolutions and maxima: both engines, oracles, and closed forms."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from invariants import check
from oracle import Line, Point, assert_same, domain_walls, half_plane, sides
from test_engine import arrays_of, assert_agrees, soak

import polyregions as pr
from polyregions.domain import as_domain
from polyregions.engine import dissolve as dissolving
from polyregions.engine import maps, result, rounds, splitting, subdivide, subdivision
from polyregions.engines import faces_by_layer
from polyregions.network import (
    Affine,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Step,
    Sum,
    absolute,
    clamp,
    leaky_relu,
    piecewise_linear,
    relu,
)
from polyregions.reference import subdivide as subdivide_rational

if numba.config.DISABLE_JIT:  # NumPy warns where compiled kernels are silent
    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


class Net:
    """Steps one after the other; what `add` returns is the number of a value, 0 is the input."""

    def __init__(self, seed: int = 0, weights: str = "normal") -> None:
        self.rng = np.random.default_rng(seed)
        self.weights = weights
        self.steps: list[Step] = []
        self.sources: list[tuple[int, ...]] = []
        self.widths = [2]

    def add(self, step: Step, *sources: int) -> int:
        self.steps.append(step)
        self.sources.append(sources)
        self.widths.append(step.n_outputs)
        return len(self.steps)

    def draw(self, *shape: int) -> np.ndarray:
        if self.weights == "integer":
            return self.rng.integers(-3, 4, shape).astype(float)
        if self.weights == "ternary":
            return self.rng.integers(-1, 2, shape).astype(float)
        if self.weights == "quantised":
            return self.rng.integers(-8, 8, shape) * float(np.float32(0.07))
        return self.rng.normal(size=shape)

    def bias(self, n: int) -> np.ndarray:
        return np.zeros(n) if self.weights == "zero_bias" else self.draw(n)

    def affine(self, n: int, *sources: int) -> int:
        m = sum(self.widths[v] for v in sources)
        return self.add(Affine(self.draw(n, m), self.bias(n)), *sources)

    def relu(self, *sources: int) -> int:
        return self.add(relu(sum(self.widths[v] for v in sources)), *sources)

    def max(self, members: Any, *sources: int) -> int:
        return self.add(Maximum(np.array(members), sum(self.widths[v] for v in sources)), *sources)

    def sum(self, *sources: int, signs: Any = None) -> int:
        signs = np.ones(len(sources)) if signs is None else np.array(signs, float)
        return self.add(Sum(signs, self.widths[sources[0]]), *sources)

    def conv(self, n: int, source: int, shape: tuple[int, ...], kernel: int, **how: Any) -> int:
        axes = len(shape)
        into = self.widths[source] // int(np.prod(shape)) // how.get("groups", 1)
        weight = self.draw(n, into, *[kernel] * axes)
        step = Convolution(
            weight, self.bias(n), shape,
            tuple(how.get("stride", (1,) * axes)), tuple(how.get("padding", ((0, 0),) * axes)),
            tuple(how.get("dilation", (1,) * axes)), how.get("groups", 1),
        )  # fmt: skip
        return self.add(step, source)

    def network(self) -> Network:
        return Network(tuple(self.steps), 2, sources=tuple(self.sources))


def maxima(network: Network) -> list[int]:
    """The numbers of the layers that are maxima."""
    return [i for i, step in enumerate(network.activations) if isinstance(step, Maximum)]


# -- networks of every kind --------------------------------------------------------------------

KINDS: dict[str, Callable[[Net], object]] = {}


def kind(build: Callable[[Net], object]) -> Callable[[Net], object]:
    KINDS[build.__name__.replace("_", " ")] = build
    return build


@kind
def residual_blocks(net: Net) -> None:
    x = net.affine(3, 0)
    for _ in range(2):
        x = net.relu(net.sum(x, net.affine(3, net.relu(net.affine(3, x)))))
    net.affine(2, x)


@kind
def concatenated(net: Net) -> None:
    values = [0]
    for _ in range(3):
        values.append(net.relu(net.affine(3, *values)))
    net.affine(2, *reversed(values))


@kind
def branches_of_different_depths(net: Net) -> None:
    trunk = net.relu(net.affine(4, 0))
    deep = net.affine(2, net.relu(net.affine(3, net.relu(net.affine(3, trunk)))))
    shallow = net.affine(2, net.relu(net.affine(2, trunk)))
    net.relu(net.sum(shallow, deep, net.affine(2, trunk), signs=[1, -1, 0.5]))


@kind
def branches_of_different_scales(net: Net) -> None:
    # Values that are joined are integers over different powers of two.
    fine = net.add(Scale(np.array([0.1, 1 / 3]), np.array([2.0**-40, 0.0])), net.affine(2, 0))
    coarse = net.add(Gather(np.array([1, -1]), 2, fill=np.array([0, 2.0**-60])), 0)
    x = net.relu(fine, coarse)
    y = net.add(clamp(2, -0.1, 0.7), net.affine(2, x, 0))
    net.max([[0, 2], [3, 1]], y, coarse)


@kind
def input_skips_everything(net: Net) -> None:
    x = net.relu(net.affine(4, 0))
    net.affine(2, 0, net.relu(net.affine(3, x, 0)), 0)


@kind
def maxout(net: Net) -> None:
    x = net.max(np.arange(9).reshape(3, 3), net.affine(9, 0))
    net.affine(1, net.max(np.arange(6).reshape(2, 3), net.affine(6, x)))


@kind
def maxout_of_equal_members(net: Net) -> None:
    # Units 3 to 5 are 0 to 2 again, so that some members are equal everywhere, in any order.
    x = net.affine(3, 0)
    twice = net.add(Gather(np.array([0, 1, 2, 0, 1, 2]), 3), x)
    net.max([[0, 3, 1], [4, 1, 5], [5, 2, 3], [3, 0, -1]], twice)


@kind
def windows_that_overlap(net: Net) -> None:
    x = net.affine(6, 0)
    net.max([[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]], net.relu(x))


@kind
def pool_of_a_pool(net: Net) -> None:
    x = net.max([[0, 1], [1, 2], [2, 3], [3, 4]], net.affine(5, 0))
    net.max([[0, 1, 2], [3, 2, 1]], x)


@kind
def smallest_by_negation(net: Net) -> None:
    x = net.affine(5, 0)
    minus = net.add(Scale(-np.ones(5), np.zeros(5)), x)
    low = net.max([[0, 1, 2], [2, 3, 4]], minus)
    high = net.max([[0, 1, 2], [4, 3, 2]], x)
    net.sum(high, net.add(Scale(-np.ones(2), np.zeros(2)), low), signs=[1, -1])


@kind
def median_of_three(net: Net) -> None:
    # The sum without the largest and the smallest.
    x = net.affine(3, 0)
    high = net.max([[0, 1, 2]], x)
    low = net.max([[0, 1, 2]], net.add(Scale(-np.ones(3), np.zeros(3)), x))
    total = net.add(Affine(np.ones((1, 3)), np.zeros(1)), x)
    net.sum(total, high, low, signs=[1, -1, 1])


@kind
def convolution_of_a_signal(net: Net) -> None:
    x = net.relu(net.conv(2, net.affine(6, 0), (6,), 3, padding=((1, 0),), stride=(2,)))
    net.affine(2, net.max([[0, 1, 2], [3, 4, 5]], x))


@kind
def convolution_in_groups(net: Net) -> None:
    x = net.relu(net.conv(2, net.affine(8, 0), (4,), 2, groups=2, dilation=(2,)))
    net.affine(2, x)


@kind
def convolution_of_a_picture(net: Net) -> None:
    picture = net.affine(9, 0)
    x = net.relu(net.conv(1, picture, (3, 3), 2, padding=((1, 0), (0, 1))))
    windows = [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]
    net.affine(2, net.relu(net.affine(2, net.max(windows, x))))


@kind
def residual_convolution(net: Net) -> None:
    x = net.relu(net.affine(5, 0))
    y = net.relu(net.conv(2, x, (5,), 3, padding=((1, 1),)))
    net.affine(2, net.relu(net.sum(x, net.conv(1, y, (5,), 3, padding=((1, 1),)))))


@kind
def doubled_units(net: Net) -> None:
    x = net.affine(3, 0)
    y = net.relu(net.add(Affine(np.array([[1.0, 0, 0], [2, 0, 0], [-3, 0, 0], [0, 1, 0], [0, 0, 1],
                                          [0, -0.5, 0]]), np.zeros(6)), x))  # fmt: skip
    net.max([[0, 1, 2], [3, 4, 5]], net.affine(6, y, x))


@kind
def dead_units(net: Net) -> None:
    x = net.add(clamp(4, 0, 0.5), net.affine(4, 0))
    none = net.add(Affine(np.zeros((2, 4)), np.array([0.0, -1.0])), x)
    net.max([[0, 1, 2], [2, 1, 0], [3, 2, -1]], net.relu(none), net.affine(2, x))


@kind
def leaky_and_clamped(net: Net) -> None:
    x = net.add(leaky_relu(3, 0.1), net.affine(3, 0))
    y = net.add(clamp(3, -0.5, 1.0), net.affine(3, x))
    z = net.add(absolute(3), net.sum(x, y, signs=[1, -1]))
    net.affine(1, z, y)


@kind
def activation_behind_activation(net: Net) -> None:
    x = net.add(clamp(3, -1, 1), net.add(absolute(3), net.affine(3, 0)))
    net.relu(net.add(leaky_relu(3, -0.5), x))


@kind
def maximum_behind_maximum(net: Net) -> None:
    x = net.max([[0, 1], [1, 2], [3, 0]], net.affine(4, 0))
    net.max([[0, 1, 2]], x)


@kind
def maximum_of_activations(net: Net) -> None:
    x = net.relu(net.affine(4, 0))
    net.add(absolute(2), net.max([[0, 1], [2, 3]], x))


@kind
def maximum_on_the_input(net: Net) -> None:
    net.max([[0, 1], [1, 0], [1, -1]], 0)


@kind
def maximum_with_one_member(net: Net) -> None:
    net.affine(2, net.max([[2], [0], [2]], net.relu(net.affine(3, 0))))


@kind
def gather_comes_last(net: Net) -> None:
    x = net.relu(net.affine(3, 0))
    net.add(Gather(np.array([2, -1, 2, 4]), 5, fill=np.array([0, 0.25, 0, 0])), x, 0)


@kind
def outputs_are_joined(net: Net) -> None:
    x = net.relu(net.affine(3, 0))
    net.relu(x, 0, net.affine(2, x))


@kind
def one_value_taken_twice(net: Net) -> None:
    x = net.relu(net.affine(3, 0))
    net.affine(2, net.relu(net.sum(x, x, signs=[1, -1])), net.sum(x, x))


@kind
def no_units(net: Net) -> None:
    x = net.affine(3, 0)
    net.sum(x, net.conv(1, x, (3,), 3, padding=((1, 1),)), signs=[0.1, 1])


@kind
def no_steps_but_a_gather(net: Net) -> None:
    net.add(Gather(np.array([1, 1, -1]), 2), 0)


def built(name: str, seed: int, weights: str) -> Network:
    net = Net(seed, weights)
    KINDS[name](net)
    return net.network()


DOMAIN = (-2.0, -1.5, 2.0, 2.5)
WEIGHTS = ("normal", "integer", "ternary", "quantised", "zero_bias")


@pytest.mark.parametrize("name", KINDS)
def test_both_engines_give_one_complex(name: str) -> None:
    domain = as_domain(DOMAIN)
    most = 0
    for seed, weights in enumerate(WEIGHTS):
        network = built(name, seed, weights)
        part = assert_agrees(network, DOMAIN)
        assert subdivision.count(network, domain, max_regions=10**5) == faces_by_layer(part)
        assert part.certificate.ok, str(part.certificate)
        most = max(most, part.n_faces)
    assert most > 1 or not network.n_units


@pytest.mark.parametrize("name", KINDS)
def test_the_oracle_gives_the_same_complex(name: str) -> None:
    for seed, weights in ((10, "normal"), (11, "ternary")):
        network = built(name, seed, weights)
        part = subdivide(network, as_domain((-1, 1)), max_regions=10**5)
        check(part, maxima=maxima(network))
        assert_same(part, network, (-1, 1))


@pytest.mark.parametrize("name", KINDS)
def test_partitions_are_verified(name: str) -> None:
    for seed, weights in ((20, "normal"), (21, "quantised")):
        network = built(name, seed, weights)
        part = pr.partition(network, DOMAIN, engine="exact")
        report = pr.verify(part, network, resolution=12)
        assert report.ok, str(report)


@pytest.mark.parametrize("block", range(6))
def test_random_networks_of_all_kinds_agree(block: int) -> None:
    regions = 0
    for number in range(-1 - 20 * block, -21 - 20 * block, -1):
        _, network, domain = soak.random_case(number)
        mine, theirs = (
            soak.outcome(engine, network, domain, 400) for engine in (subdivide, subdivide_rational)
        )
        if isinstance(theirs, str):
            assert mine == theirs
            continue
        assert soak.differences(mine, theirs) == [], f"network {number}"
        counts = subdivision.count(network, domain, max_regions=400)
        assert counts == faces_by_layer(theirs), f"network {number}"
        assert mine.certificate.ok, f"network {number}"
        regions += theirs.n_faces
    assert regions > 100


def test_public_calls_take_any_network() -> None:
    network = built("residual convolution", 3, "normal")
    parts = [pr.partition(network, DOMAIN, engine=engine) for engine in ("exact", "rational")]
    assert soak.differences(*parts) == []
    counted = pr.count_regions(network, DOMAIN, linear=True)
    assert counted.by_layer == faces_by_layer(parts[1])
    assert (counted.linear_regions, counted.affine_pieces) == tuple(parts[1].count())[1:]
    points = np.random.default_rng(0).uniform(*np.array(DOMAIN).reshape(2, 2), (200, 2))
    assert np.allclose(parts[0](points), network(points), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["convolution of a picture", "windows that overlap"])
def test_partitions_come_out_of_a_pickle(name: str) -> None:
    part = subdivide(built(name, 4, "normal"), as_domain(DOMAIN), max_regions=10**5)
    other = pickle.loads(pickle.dumps(part))
    assert arrays_of(other) == arrays_of(part)
    assert tuple(other.vertex_exact) == tuple(part.vertex_exact)


# -- closed forms ------------------------------------------------------------------------------


def envelope(points: np.ndarray) -> Network:
    """The largest of planes that touch ``x**2 + y**2`` above points: on the cell of the nearest.

    ``2 p.x - |p|**2`` is the largest where ``|x - p|**2`` is the least.
    """
    planes = Affine(2 * points, -(points**2).sum(axis=1))
    return Network((planes, Maximum(np.arange(len(points))[None], len(points))), 2)


def cells(points: np.ndarray, domain: object) -> dict[int, set[Point]]:
    """The corners of the cells of nearest points, by intersection of half-planes."""
    border = domain_walls(as_domain(domain))
    found = {}
    for i, (x, y) in enumerate(points.tolist()):
        walls: set[Line] = set(border)
        for j, (u, v) in enumerate(points.tolist()):
            if i != j:
                c = Fraction(u) ** 2 + Fraction(v) ** 2 - Fraction(x) ** 2 - Fraction(y) ** 2
                a, b = 2 * (Fraction(x) - Fraction(u)), 2 * (Fraction(y) - Fraction(v))
                walls.add(half_plane(a, b, c))
        corners = {p for _, *ends in sides(sorted(walls)) for p in ends}
        if corners:
            found[i] = corners
    return found


@pytest.mark.parametrize("seed", range(4))
def test_cells_of_nearest_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # On a grid, so that the planes are exact; a coarse one makes more than three cells meet.
    points = rng.integers(-3, 4, (9, 2)) if seed % 2 else rng.integers(-999, 999, (9, 2)) / 256
    points = np.unique(points.astype(float), axis=0)
    domain = (-2.0, 2.0)
    part = assert_agrees(envelope(points), domain)
    expected = cells(points, domain)
    assert len(expected) > 3
    found = {
        int(part.face_pattern[f, 0]): {part.exact_vertex(int(v)) for v in part.face(f)}
        for f in range(part.n_faces)
    }
    assert found == expected
    # Every edge is a crease: two planes that meet in a line are different.
    assert part.is_crease[part.is_inner].all()
    assert part.count() == (len(expected),) * 3


@pytest.mark.parametrize("n", [2, 3, 5])
def test_cells_of_a_square_grid(n: int) -> None:
    # n**2 squares; in every inner corner four of them meet, and many more lines of pairs.
    axis = np.arange(n) * 1.0
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    part = assert_agrees(envelope(points), (-1.0, float(n)))
    assert part.n_faces == n * n
    assert part.n_edges == 2 * n * (n - 1) + 4 * n
    assert part.n_vertices == (n + 1) ** 2
    halves = {Fraction(2 * k + 1, 2) for k in range(n - 1)} | {Fraction(-1), Fraction(n)}
    assert {c for v in range(part.n_vertices) for c in part.exact_vertex(v)} == halves


@pytest.mark.parametrize("k", [2, 3, 4, 12])
def test_sectors_around_one_point(k: int) -> None:
    # Gradients on a parabola: each is a corner of their convex hull, so each is the largest in
    # the sector between the normals of two of its sides, and all sectors meet in the origin.
    i = np.arange(k)
    rows = Affine(np.stack([i, i**2], axis=1).astype(float), np.zeros(k))
    part = assert_agrees(Network((rows, Maximum(i[None, ::-1], k)), 2), (-1, -1.5, 1, 1.5))
    assert part.n_faces == k
    n_inner = k if k > 2 else 1
    assert part.is_inner.sum() == n_inner
    # The ends of the edges, four corners and the origin, which is none if only one line is there.
    assert part.n_vertices == (k + 4 + 1 if k > 2 else 6)
    origin = [v for v in range(part.n_vertices) if part.exact_vertex(v) == (0, 0)]
    assert len(origin) == (k > 2)


def test_planes_that_are_never_the_largest_leave_no_trace() -> None:
    # The mean of two planes is between them; on their common line all three are equal.
    rows = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    network = Network((Affine(rows, np.array([0, 0, 0, -1.0])), Maximum(np.arange(4)[None], 4)), 2)
    part = assert_agrees(network)
    assert part.n_faces == 2
    assert sorted(part.face_pattern.ravel().tolist()) == [0, 2]
    assert (part.n_vertices, part.n_edges) == (6, 7)


def test_a_maximum_of_equal_planes_has_one_piece() -> None:
    rows = np.array([[1.0, 2.0]] * 3)
    network = Network((Affine(rows, np.zeros(3)), Maximum(np.array([[2, 0, 1]]), 3)), 2)
    part = assert_agrees(network)
    assert part.face_pattern.tolist() == [[0]]


def test_relu_and_maximum_with_zero_are_one_complex_with_other_labels() -> None:
    rng = np.random.default_rng(1)
    w, b, v, c = rng.normal(size=(5, 2)), rng.normal(size=5), rng.normal(size=(4, 5)), np.zeros(4)
    out = Affine(rng.normal(size=(1, 4)), np.zeros(1))
    plain = Network((Affine(w, b), relu(5), Affine(v, c), relu(4), out), 2)

    def largest(n: int) -> list[Step]:
        pad = Gather(np.arange(n + 1) % (n + 1) - (np.arange(n + 1) == n) * (n + 1), n)
        return [pad, Maximum(np.array([[n, i] for i in range(n)]), n + 1)]

    steps = (Affine(w, b), *largest(5), Affine(v, c), *largest(4), out)
    one, two = assert_agrees(plain, DOMAIN), assert_agrees(Network(steps, 2), DOMAIN)
    assert sorted(one.vertex_exact) == sorted(two.vertex_exact)
    assert soak.differences(two, dataclasses.replace(one)) == []


def test_largest_minus_smallest_of_coordinates() -> None:
    # max(x, y) - min(x, y) = |x - y|: two cells, from two units that switch on one line.
    net = Net()
    high = net.max([[0, 1]], 0)
    low = net.max([[0, 1]], net.add(Scale(-np.ones(2), np.zeros(2)), 0))
    net.sum(high, low)
    part = assert_agrees(net.network())
    assert part.n_faces == 2
    assert part.edge_units(int(np.flatnonzero(part.is_inner)[0])).tolist() == [0, 1]
    maps = np.column_stack([part.face_weight[:, 0], part.face_bias])
    assert sorted(maps.tolist()) == [[-1, 1, 0], [1, -1, 0]]


def test_a_residual_block_that_cancels_is_one_linear_region() -> None:
    # x - relu(x) + relu(-x) = 0: two faces for each unit, and one affine map.
    net = Net()
    x = net.affine(2, 0)
    minus = net.add(Scale(-np.ones(2), np.zeros(2)), x)
    net.sum(x, net.relu(x), net.relu(minus), signs=[1, -1, 1])
    part = assert_agrees(net.network(), (-9, 9))
    assert part.count() == (4, 1, 1)
    assert not part.is_crease.any()


def test_a_convolution_over_a_sawtooth_of_positions() -> None:
    # Differences of neighbours of k (k - 1) x / 2 are k x: all units switch on x = 0.
    slopes = np.array([[k * (k - 1) / 2, 0.0] for k in range(5)])
    kernel = Convolution(np.array([[[-1.0, 1.0]]]), np.zeros(1), (5,), (1,), ((0, 0),), (1,))
    network = Network((Affine(slopes, np.zeros(5)), kernel, relu(4)), 2)
    part = assert_agrees(network)
    assert part.n_faces == 2
    assert part.edge_units(int(np.flatnonzero(part.is_inner)[0])).tolist() == [1, 2, 3]


# -- sizes, threads and blocks -----------------------------------------------------------------


def scaled(network: Network, exponent: int) -> Network:
    """Weights and biases of every dense step that takes the input, times a power of two."""
    steps = [
        Affine(np.ldexp(step.weight, exponent), np.ldexp(step.bias, exponent))
        if isinstance(step, Affine) and sources == (0,)
        else step
        for step, sources in zip(network.steps, network.sources, strict=True)
    ]
    return Network(tuple(steps), 2, sources=network.sources)


@pytest.mark.parametrize("exponent", [-1060, -1000, -500, 500, 980])
@pytest.mark.parametrize("name", ["pool of a pool", "windows that overlap", "maxout"])
def test_scaling_by_powers_of_two_changes_nothing(name: str, exponent: int) -> None:
    network = built(name, 6, "integer")
    if name == "maxout":  # the later biases would have to be scaled, too
        network = built(name, 6, "zero_bias")
        network = Network(
            tuple(
                Affine(np.round(step.weight * 4), step.bias) if isinstance(step, Affine) else step
                for step in network.steps
            ),
            2,
        )
    changed = scaled(network, exponent)
    part = assert_agrees(changed, DOMAIN)
    plain = subdivide_rational(network, as_domain(DOMAIN), max_regions=10**5)
    assert plain.n_faces > 3
    assert sorted(part.vertex_exact) == sorted(plain.vertex_exact)
    assert {r.tobytes() for r in part.face_pattern} == {r.tobytes() for r in plain.face_pattern}


def wide(weights: str) -> Network:
    """Hundreds of faces behind branches, a convolution and overlapping windows."""
    net = Net(0, weights)
    x = net.relu(net.affine(16, 0))
    y = net.relu(net.conv(2, x, (16,), 3, padding=((1, 1),), stride=(2,)))
    pooled = net.max([[i, i + 1, i + 2] for i in range(0, 14, 2)], y)
    z = net.relu(net.affine(8, pooled, 0))
    net.affine(3, net.relu(net.affine(6, z, pooled)), x)
    return net.network()


def test_threads_do_not_change_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (splitting, "_FACES"), (splitting, "_EDGES"), (dissolving, "_FACES"), (result, "_FACES"),
        (rounds, "_FACES"), (rounds, "_EDGES"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, 40)  # so that there is work for all
    network, domain = wide("normal"), as_domain((-2, 2))
    first, *others = (
        arrays_of(subdivide(network, domain, max_regions=10**6, threads=n)) for n in (1, 2, 3)
    )
    assert len(first) >= 14
    assert len(first["face_offsets"]) > 4 * 800
    for other in others:
        assert other == first


@pytest.mark.parametrize("weights", ["normal", "zero_bias", "quantised"])
def test_blocks_do_not_change_a_byte(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, domain = wide(weights), as_domain((-1.5, 1))
    part = subdivide(network, domain, max_regions=10**6)
    counts = subdivision.count(network, domain, max_regions=10**6)
    monkeypatch.setattr(splitting, "_BLOCK", 1)
    monkeypatch.setattr(splitting, "_BLOCKS_AT_ONCE", 3)
    monkeypatch.setattr(splitting, "_FACES", 7)
    monkeypatch.setattr(splitting, "_EDGES", 11)
    monkeypatch.setattr(rounds, "_FACES", 6)
    monkeypatch.setattr(rounds, "_EDGES", 9)
    monkeypatch.setattr(splitting, "_FACES_OF_PROGRAM", 5)
    monkeypatch.setattr(maps, "_BLOCK", 100)
    monkeypatch.setattr(subdivision, "_MAPS_ROOM", 0)
    monkeypatch.setattr(subdivision, "_BLOCK_OF_FACES", 30)
    again = subdivide(network, domain, max_regions=10**6)
    assert part.n_faces > 80
    assert arrays_of(again) == arrays_of(part)
    assert subdivision.count(network, domain, max_regions=10**6) == counts == faces_by_layer(part)


def test_ordinary_networks_need_few_integers() -> None:
    part = subdivide(wide("normal"), as_domain((-2, 2)), max_regions=10**6)
    decisions = part.certificate.decisions
    assert decisions["float64"] > 50_000
    # Windows that overlap have pairs in common, whose lines are ties.
    assert decisions["integer"] < decisions["float64"] / 1000


def test_limits_hold_behind_maxima() -> None:
    # Lines of values that lose later make more faces than are left: only those count.
    rng = np.random.default_rng(0)
    network = Network((Affine(rng.normal(size=(12, 2)), rng.normal(size=12)),
                       Maximum(np.arange(12)[None], 12)), 2)  # fmt: skip
    domain = as_domain((-50, 50))
    part = subdivide(network, domain, max_regions=12)
    assert 3 < part.n_faces <= 12
    for run in (subdivide, subdivision.count, subdivide_rational):
        with pytest.raises(pr.LimitError, match="more than max_regions"):
            run(network, domain, max_regions=part.n_faces - 1)


def test_layers_without_values() -> None:
    nothing = Gather(np.zeros(0, dtype=int), 2)
    made = Affine(np.zeros((1, 0)), np.array([3.0]))
    for steps in (
        (nothing, relu(0), relu(0), made),
        (Maximum(np.zeros((0, 2), dtype=int), 2), made),
        (nothing, Maximum(np.zeros((0, 1), dtype=int), 0), relu(0), made),
    ):
        part = assert_agrees(Network(steps, 2))
        assert part.n_faces == 1
        assert part.face_bias.tolist() == [[3.0]]


def test_units_that_take_overflowed_values_with_no_weight() -> None:
    # The first value is 2**1200 x on its way, which no step behind takes with a weight.
    net = Net()
    x = net.add(Affine(np.array([[2.0**600, 0], [1, 1], [0, 1]]), np.zeros(3)), 0)
    y = net.add(Sum(np.array([2.0**600]), 3), x)
    y = net.add(Gather(np.array([0, 4, 5]), 6), y, x)
    z = net.relu(net.add(Affine(np.array([[0.0, 1, 0], [0, 0, 1], [0, 1, -3]]), np.zeros(3)), y))
    net.add(Affine(np.array([[1.0, 1, 1]]), np.zeros(1)), z)
    part = assert_agrees(net.network())
    assert part.n_faces == 6


def test_zero_times_what_overflowed_is_not_any_number() -> None:
    # The first output is 6 far to the right, 0 far to the left, and 1/2 between, where it is made
    # of a zero times 2**1200 (x + 3); the second tells these parts from those between them.
    b = 2.0**600
    hats = piecewise_linear(
        1, [-0.3125, -0.28125, -0.25, 0.25, 0.59375, 0.9375], [0, 1, -1, 0, 1, -1, 0],
        [0, 0.3125, -0.25, 0, -0.25, 0.9375, 0],
    )  # fmt: skip
    net = Net()
    x = net.add(Affine(np.array([[1.0, 0], [-1, 0], [b, 0]]), np.array([-0.25, -0.25, 3 * b])), 0)
    ends = net.relu(net.add(Gather(np.array([0, 1]), 3), x))
    large = net.add(Sum(np.array([b]), 1), net.add(Gather(np.array([2]), 3), x))
    # A coefficient so small that products with it may vanish.
    weight = np.array([[0, 8, -8], [0, 2.0**-70, 0]])
    y = net.add(Affine(weight, np.array([0.5, 0])), large, ends)
    y = net.add(clamp(1, 0, 6), net.add(Gather(np.array([0]), 2), y))
    z = net.add(hats, net.add(Gather(np.array([0]), 2), 0))
    net.add(Gather(np.array([0, 1]), 2), y, z)
    part = assert_agrees(net.network())
    assert part.count() == (7, 7, 7)
