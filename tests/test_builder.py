"""Networks built operation by operation, against torch's operations and plain NumPy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import polyregions as pr
from polyregions.lower.builder import Builder, Signal
from polyregions.network import Affine, Convolution, Gather, Maximum, Scale, Sum, relu

RNG = np.random.default_rng(0)


def built(shape, build_it, *, n=5):
    """The lowered values at integer points, and the points in the input's shape."""
    build = Builder(int(np.prod(shape)))
    out = build_it(build, build.input(shape))
    network = build.finish(*(out if isinstance(out, tuple) else (out,)))
    x = RNG.integers(-8, 9, (n, *shape)).astype(float)
    return network, network(x.reshape(n, -1)), x


def assert_same(shape, build_it, expected, *, atol=0.0):
    """Integer points and weights: all sums are exact, in any order."""
    network, y, x = built(shape, build_it)
    want = np.stack([np.asarray(expected(torch.from_numpy(p))) for p in x])
    np.testing.assert_allclose(y, want.reshape(len(x), -1), rtol=0, atol=atol)
    return network


def whole(*shape):
    return RNG.integers(-4, 5, shape).astype(float)


def kinds(network):
    return [type(step) for step in network.steps]


def test_gathers_in_a_row_are_one_and_the_identity_is_none():
    def turned(build, x):
        y = build.gather(x, x.places.T)
        y = build.gather(y, np.pad(y.places, 1, constant_values=-1), fill=7.0)
        return build.gather(y, y.places[:, ::-1])

    network = assert_same(
        (2, 3), turned, lambda x: np.pad(x.numpy().T, 1, constant_values=7.0)[:, ::-1]
    )
    assert kinds(network) == [Gather]

    def there_and_back(build, x):
        return build.gather(build.gather(x, x.places.T), np.arange(6).reshape(3, 2).T)

    network = assert_same((2, 3), there_and_back, lambda x: x)
    assert network.steps == ()


def test_gather_from_several_values():
    def joined(build, x):
        a, b = build.scale(x, 2.0), build.gather(x, [2, -1, 0], fill=[0, 5, 0])
        c = build.gather([a, b, x], [0, 3, 4, 5, 8, -1], fill=-1.0)
        return build.gather([c, a], [2, 1, 6, 5, 0])

    def expected(x):
        c = [2 * x[0], x[2], 5, x[0], x[2], -1]
        return [c[2], c[1], 2 * x[0], c[5], c[0]]

    network = assert_same((3,), joined, expected)
    assert kinds(network) == [Scale, Gather]
    assert network.sources == ((0,), (0, 1))


def test_sums_and_differences_are_broadcast():
    network = assert_same(
        (3, 1),
        lambda build, x: build.add([x, build.reshape(x, (1, 3)), x], [1, -2, 1]),
        lambda x: 2 * x - 2 * x.T,
    )
    assert [k for k in kinds(network) if k is not Gather] == [Sum]
    assert_same((4,), lambda build, x: build.add([x, x], [1, -1]), lambda x: 0 * x)


def test_scales_are_broadcast_and_left_out():
    factor, term = whole(2, 1), whole(3)
    network = assert_same(
        (3,), lambda build, x: build.scale(x, factor, term), lambda x: factor * x.numpy() + term
    )
    assert kinds(network) == [Gather, Scale]
    assert built((3,), lambda build, x: build.scale(x))[0].steps == ()


def test_linear_is_not_unrolled():
    weight, bias = whole(4, 3), whole(4)
    for shape, kind in [((3,), [Affine]), ((2, 5, 3), [Gather, Convolution, Gather])]:
        network = assert_same(
            shape,
            lambda build, x: build.linear(x, weight, bias),
            lambda x: F.linear(x, torch.from_numpy(weight), torch.from_numpy(bias)),
        )
        assert kinds(network) == kind
    with pytest.raises(ValueError, match="chain"):
        built((4,), lambda build, x: build.linear(x, weight))


def test_products_for_each_of_several_groups():
    weight = whole(2, 4, 3)
    assert_same(
        (2, 3, 5),
        lambda build, x: build.contract(x, weight),
        lambda x: torch.from_numpy(weight) @ x,
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(groups):
    weight, bias = whole(6, 4 // groups, 3, 2), whole(6)
    options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": groups}
    pairs = {**options, "padding": [(1, 1), (2, 2)]}
    w, b = torch.from_numpy(weight), torch.from_numpy(bias)
    network = assert_same(
        (4, 5, 6),
        lambda build, x: build.convolution(x, weight, bias, **pairs),
        lambda x: F.conv2d(x, w, b, **options),
    )
    assert kinds(network) == [Convolution]


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions(groups):
    weight, bias = whole(4, 3, 3, 2), whole(3 * groups)
    options = {
        "stride": (2, 3),
        "padding": (1, 0),
        "output_padding": (1, 2),
        "dilation": (2, 1),
        "groups": groups,
    }
    w, b = torch.from_numpy(weight), torch.from_numpy(bias)
    assert_same(
        (4, 3, 4),
        lambda build, x: build.transposed_convolution(
            x, weight, bias, **{**options, "padding": [(1, 1), (0, 0)]}
        ),
        lambda x: F.conv_transpose2d(x[None], w, b, **options)[0],
    )


POOLS = [
    {"kernel_size": (2, 3)},
    {"kernel_size": (3, 3), "stride": (2, 1), "padding": (1, 1)},
    {"kernel_size": (3, 2), "stride": (2, 2), "padding": (1, 0), "ceil_mode": True},
    {"kernel_size": (3, 3), "stride": (4, 3), "padding": (0, 1), "ceil_mode": True},
]


def of_builder(options):
    options = dict(options)
    padding = [(p, p) for p in options.pop("padding", (0, 0))]
    return options.pop("kernel_size"), {**options, "padding": padding}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("counted", [{}, {"count": False}, {"divisor_override": 3}])
def test_average_pools(pool, counted):
    kernel, options = of_builder(pool)
    given, wanted = {}, {}
    if "count" in counted:
        given, wanted = {"count_padding": False}, {"count_include_pad": False}
    if "divisor_override" in counted:
        given, wanted = {"divisor": 3}, counted
    assert_same(
        (2, 7, 6),
        lambda build, x: build.average_pool(x, kernel, **options, **given),
        lambda x: F.avg_pool2d(x, **pool, **wanted),
        atol=1e-14,
    )


@pytest.mark.parametrize("pool", [*POOLS, {"kernel_size": (2, 2), "dilation": (3, 2)}])
def test_max_pools(pool):
    kernel, options = of_builder(pool)
    network = assert_same(
        (2, 7, 6),
        lambda build, x: build.maximum_pool(x, kernel, **options),
        lambda x: F.max_pool2d(x, **pool),
    )
    assert kinds(network) == [Maximum]


@pytest.mark.parametrize("out", [(3, 2), (4, 5), (1, 1), (6, 6), (8, 7)])
def test_adaptive_pools(out):
    assert_same(
        (2, 6, 6),
        lambda build, x: build.adaptive_average_pool(x, out),
        lambda x: F.adaptive_avg_pool2d(x, out),
        atol=1e-14,
    )
    assert_same(
        (2, 6, 6),
        lambda build, x: build.adaptive_maximum_pool(x, out),
        lambda x: F.adaptive_max_pool2d(x, out),
    )


def test_only_reciprocals_that_are_rounded_are_noted():
    for kernel, n_notes in (2, 0), (3, 1):
        network, _, _ = built(
            (1, 6), lambda build, x, k=kernel: build.average_pool(x, (k,), name="pool")
        )
        assert len(network.notes) == n_notes
        assert all(note.startswith("pool") for note in network.notes)


@pytest.mark.parametrize("axes", [(0,), (1, -1), (0, 1, 2)])
@pytest.mark.parametrize("keep", [False, True])
def test_reductions(axes, keep):
    shape = (2, 3, 4)
    assert_same(
        shape, lambda build, x: build.sum(x, axes, keep_axes=keep), lambda x: x.sum(axes, keep)
    )
    assert_same(
        shape,
        lambda build, x: build.mean(x, axes, keep_axes=keep),
        lambda x: x.mean(axes, keep),
        atol=1e-14,
    )
    network = assert_same(
        shape, lambda build, x: build.largest(x, axes, keep_axes=keep), lambda x: x.amax(axes, keep)
    )
    assert kinds(network) == [Maximum]


def test_maxima_of_several_values():
    network = assert_same(
        (3, 1),
        lambda build, x: build.elementwise_maximum([x, build.constant([1.0, -2.0])]),
        lambda x: torch.maximum(x, torch.tensor([1.0, -2.0])),
    )
    assert network.n_units == 6
    with pytest.raises(pr.UnsupportedLayerError, match=r"largest of 300 .* two steps"):
        built((300,), lambda build, x: build.largest(x, (0,)))


def test_several_outputs_and_steps_that_nothing_needs():
    def two(build, x):
        h = build.activation(relu, build.linear(x, np.eye(2), np.ones(2)))
        build.linear(h, np.ones((7, 2)))
        return h, x, build.scale(h, 2.0)

    network = assert_same((2,), two, lambda x: torch.cat([F.relu(x + 1), x, 2 * F.relu(x + 1)]))
    assert len(network.steps) == 4
    assert [len(network.steps[-1].index), network.n_outputs] == [6, 6]


def test_a_network_that_forgets_its_input():
    network = assert_same((2,), lambda build, x: build.constant([3.0, 4.0]), lambda x: [3.0, 4.0])
    assert network.n_inputs == 2


def test_shapes_that_do_not_fit():
    build = Builder(6)
    x = build.input((2, 3))
    assert x == Signal(0, (2, 3))
    for wrong in (
        lambda: build.input((4,)),
        lambda: build.reshape(x, (5,)),
        lambda: build.step(relu(4), x),
        lambda: build.expand(x, (2, 4)),
        lambda: build.convolution(x, np.ones((1, 3, 1))),
        lambda: build.finish(),
    ):
        with pytest.raises(ValueError, match=r"chain|fill|broadcast|no outputs"):
            wrong()
