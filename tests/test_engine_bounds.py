"""The compiled engine's error bounds against exact values, with inputs chosen to break them."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from networks import random_layers, stack
from test_engine import assert_agrees

import polyregions as pr
from polyregions.engine import kernels
from polyregions.engine.layers import compile_layers
from polyregions.network import Activation, Affine, leaky_relu, relu

U = Fraction(1, 2**53)


def network(*steps: object) -> pr.Network:
    """A network of activations and of weights, or pairs of weights and biases."""
    made = []
    for step in steps:
        if isinstance(step, Activation):
            made.append(step)
        else:
            weight, bias = step if isinstance(step, tuple) else (step, np.zeros(len(step)))
            made.append(Affine(np.asarray(weight, float), np.asarray(bias, float)))
    return pr.Network(tuple(made), made[0].n_inputs)


def exact_value(row: tuple, x: Fraction, y: Fraction) -> Fraction:
    a, b, c = map(Fraction, row)
    return a * x + b * y + c


# -- values at vertices ----------------------------------------------------------------------


def test_value_where_coordinates_are_subnormal_and_slopes_huge() -> None:
    # Relative bounds of such coordinates underflow themselves, and then meet a huge factor.
    rng = np.random.default_rng(0)
    for _ in range(3000):
        x, y = (rng.uniform(-4, 4, 2) * 10.0 ** rng.integers(-322, -305)).tolist()
        a, b = (rng.normal(size=2) * 10.0 ** rng.integers(295, 306)).tolist()
        c = -(a * x + b * y)
        truth = exact_value((a, b, c), Fraction(x), Fraction(y))
        args = (a, b, c, 0.0, 0.0, x, y, 0.0, 0.0, 1e300, 1e300)
        z, bound = kernels.value(*args)
        assert abs(Fraction(z) - truth) <= Fraction(bound)
        assert kernels.sign(*args) in (kernels.UNDECIDED, (truth > 0) - (truth < 0))


def test_value_where_a_vertex_is_much_nearer_to_the_origin_than_the_domain_reaches() -> None:
    # |x| / X underflows, while what it multiplies is huge.
    rng = np.random.default_rng(1)
    reach = 1e308
    for _ in range(1000):
        x, y = (rng.uniform(-4, 4, 2) * 10.0 ** rng.integers(-40, 0, 2)).tolist()
        a, b = (rng.normal(size=2) * 1e-20).tolist()
        off = abs(a) * 1e-10
        eab = off * reach * (1 + 1e-9)
        truth = exact_value((a, b, 0.0), Fraction(x), Fraction(y))
        truth += Fraction(off) * Fraction(x) * int(rng.choice([-1, 1]))
        z, bound = kernels.value(a, b, 0.0, eab, 0.0, x, y, 0.0, 0.0, 1 / reach, 1 / reach)
        assert abs(Fraction(z) - truth) <= Fraction(bound)


# -- maps where something underflows ---------------------------------------------------------


def test_maps_where_a_steep_slope_lifts_what_underflowed() -> None:
    # A relative bound of 1e-16 of 1e-312 is zero in float64, and the slope would make much of it.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        w, b = rng.normal(size=(3, 2)) * 1e-312, rng.normal(size=3) * 1e-312
        assert_agrees(
            network(
                (w, b), leaky_relu(3, 2.0**660), rng.normal(size=(4, 3)) * 1e90, relu(4),
                rng.normal(size=(1, 4)),
            )
        )  # fmt: skip


def test_maps_where_slopes_underflow_and_coordinates_are_huge() -> None:
    # The slope 1e-130 * 1e-200 underflows; times the coordinate 1e200 it should not.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        w = rng.normal(size=(4, 1)) * 1e130
        b = 4.0 * w[:, 0] * 1e-130 + rng.normal(size=4)
        assert_agrees(
            network(
                (rng.normal(size=(1, 2)) * 1e-200, [-4.0]), leaky_relu(1, 1e-130), (w, b), relu(4),
                rng.normal(size=(1, 4)),
            ),
            (-1e200, 1e200),
        )  # fmt: skip


def test_a_weight_that_underflowed_is_not_zero() -> None:
    # 1e-200 * 1e-200 is zero in float64, and so is its error bound times the 1e-30 it meets.
    small = [[1e-200, 0.0], [0.0, 1.0]]
    part = assert_agrees(network([[1e-30, 0], [0, 1]], relu(2), small, small, relu(2), [[1, 1]]))
    assert part.face_pattern[:, 2].any()


# -- vertices --------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [1e150, 1e296, 1.7e308])
def test_domains_as_large_as_float64_can_hold(reach: float) -> None:
    # From 9e307 on, the domain is wider than the largest float64.
    for seed in range(5):
        layers = [(w, b * (reach * 2.0**-900)) for w, b in random_layers((2, 5, 4, 1), seed)]
        layers[0] = layers[0][0] * 2.0**-900, layers[0][1]
        part = assert_agrees(stack(layers), (-reach, reach))
        assert part.n_faces > 1
        assert np.isfinite(part.vertex_xy).all()
        assert (part.vertex_error <= 1e-9 * reach).all()


# -- several affine steps in a row -----------------------------------------------------------


def exact_product(steps: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of some affine steps in a row, in fractions."""
    fractions = np.vectorize(Fraction, otypes=[object])
    weight, bias = fractions(steps[0].weight), fractions(steps[0].bias)
    for step in steps[1:]:
        weight, bias = (
            fractions(step.weight) @ weight,
            fractions(step.weight) @ bias + fractions(step.bias),
        )
    return weight, bias


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_products_of_affine_steps_are_within_their_bounds(depth: int) -> None:
    rng = np.random.default_rng(depth)
    n_finite = 0
    for _ in range(60):
        widths = [2, *rng.integers(1, 9, depth).tolist()]
        steps = tuple(
            Affine(
                rng.normal(size=(n, m)) * 10.0 ** rng.integers(-600 // depth, 600 // depth, (n, 1))
                * (rng.random((n, m)) < 0.8),
                rng.normal(size=n) * 10.0 ** rng.integers(-310, 200) * (rng.random() < 0.7),
            )
            for m, n in pairwise(widths)
        )  # fmt: skip
        layer = compile_layers(pr.Network(steps, 2))[0]
        weight, bias = exact_product(steps)
        for computed, error, exact in (
            (layer.weight, layer.weight_error, weight),
            (layer.bias, layer.bias_error, bias),
        ):
            for v, e, truth in zip(computed.flat, error.flat, exact.flat, strict=True):
                if np.isfinite(v) and np.isfinite(e):  # else nothing is claimed
                    n_finite += 1
                    assert abs(Fraction(v) - truth) <= Fraction(e)
    assert n_finite > 400


def test_products_of_subnormal_and_huge_weights_are_within_their_bounds() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        small = Affine(rng.normal(size=(6, 2)) * 1e-312, rng.normal(size=6) * 1e-312)
        large = Affine(rng.normal(size=(3, 6)) * 1e305, np.zeros(3))
        layer = compile_layers(pr.Network((small, large), 2))[0]
        weight, bias = exact_product((small, large))
        error = np.abs(np.vectorize(Fraction)(layer.weight) - weight)
        assert (error <= np.vectorize(Fraction)(layer.weight_error)).all()
        error = np.abs(np.vectorize(Fraction)(layer.bias) - bias)
        assert (error <= np.vectorize(Fraction)(layer.bias_error)).all()


def test_a_product_of_three_steps_that_underflowed_is_not_zero() -> None:
    small = Affine(np.full((1, 1), 1e-200), np.zeros(1))
    steps = (Affine(np.array([[1.0, 2.0]]), np.zeros(1)), small, small, small, relu(1))
    assert assert_agrees(pr.Network(steps, 2)).n_faces == 2


def test_constants_known_up_to_rounding_are_not_taken_for_multiples_of_each_other() -> None:
    # Both units are constant, with values that differ by no more than their rounding errors.
    for seed in range(300):
        rng = np.random.default_rng(seed)
        bias = rng.normal(size=3)
        bias[2] = np.nextafter(bias[0], 9.0)
        row = rng.normal(size=3)
        weight = np.stack([row, row[::-1]])
        away = rng.integers(-1, 2, 2) * np.spacing(np.abs(weight @ bias))
        steps = (np.zeros((3, 2)), bias), (weight, away - weight @ bias)
        assert_agrees(network(*steps, relu(2), [[1, 1]]))


def test_lines_that_differ_in_their_smallest_coefficients_are_different() -> None:
    large, small = 2.0**800, 2.0**-800
    rows = [[large, small], [large, -small], [large, small / 2], [2 * large, 2 * small]]
    part = assert_agrees(network(rows, relu(4), [[1, 1, 1, 1]]))
    assert part.n_faces == 6


def test_bounds_of_maps_are_finite_where_the_domain_is_tiny_and_biases_are_huge() -> None:
    # One bound for a x + b y + c is of no use for a here: it is divided by the largest |x|.
    part = assert_agrees(network(([[1, 2]], [1e30]), relu(1), ([[1]], [1e30])), (-1e-300, 1e-300))
    assert part.face_weight.tolist() == [[[1.0, 2.0]]]
    assert (part.face_weight_error < 1e-15).all()
