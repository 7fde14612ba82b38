"""The compiled engine's error bounds against exact values, with inputs chosen to break them."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest
from networks import pencil, random_layers, stack
from test_engine import assert_agrees, soak

import polyregions as pr
from polyregions import exact
from polyregions.domain import as_domain
from polyregions.engine import kernels, subdivide
from polyregions.engine.layers import compile_layers
from polyregions.float64 import LEAST, U
from polyregions.network import Activation, Affine, Scale, leaky_relu, relu
from polyregions.reference import subdivide as subdivide_rational

UNIT = as_domain((-1, 1))

if numba.config.DISABLE_JIT:  # NumPy warns where compiled kernels are silent
    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


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
    for _ in range(1500):
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


def test_value_and_sign_for_all_magnitudes() -> None:
    # The truth is as far from what is known of it as is claimed, in a random direction, and
    # nearly zero.
    rng = np.random.default_rng(2)
    n_decided = 0
    for _ in range(2500):
        reach = 2.0 ** rng.integers(-300, 300, 2)
        x, y = (rng.uniform(-1, 1, 2) * reach * 2.0 ** -rng.integers(0, 3, 2)).tolist()
        a, b = (rng.normal(size=2) * 2.0 ** rng.integers(-700, 700) / reach).tolist()
        c = -(a * x + b * y) * float(rng.choice([1.0, 1 + 2.0**-50, 1 + 2.0**-20, 3.0]))
        size = abs(a * x) + abs(b * y) + abs(c)
        dx, dy = (np.abs([x, y]) * 10.0 ** rng.uniform(-20, -6, 2)).tolist()
        eab, ec = (size * 10.0 ** rng.uniform(-20, -6, 2) * (rng.random(2) < 0.7)).tolist()
        u, v, w, s, t, share = map(Fraction, rng.choice([-1.0, 0.3, 1.0], 6).tolist())
        share = abs(share)
        reach_x, reach_y = map(Fraction, reach.tolist())
        true_row = (
            Fraction(a) + u * share * Fraction(eab) / reach_x,
            Fraction(b) + v * (1 - share) * Fraction(eab) / reach_y,
            Fraction(c) + w * Fraction(ec),
        )
        true_x = min(max(Fraction(x) + s * Fraction(dx), -reach_x), reach_x)
        true_y = min(max(Fraction(y) + t * Fraction(dy), -reach_y), reach_y)
        truth = exact_value(true_row, true_x, true_y)
        # As the engine does, with the inverse a hair too large.
        inverse = (1 / reach * (1 + 1e-12)).tolist()
        args = (a, b, c, eab, ec, x, y, dx, dy, *inverse)
        z, bound = kernels.value(*args)
        assert abs(Fraction(z) - truth) <= Fraction(bound)
        found = kernels.sign(*args)
        assert found in (kernels.UNDECIDED, (truth > 0) - (truth < 0))
        n_decided += found != kernels.UNDECIDED
    assert 500 < n_decided < 2000


def test_bounds_for_all_corners_of_a_face_cover_each_of_them() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        scale = 10.0 ** rng.integers(-320, 300)
        slope = 10.0 ** min(-np.log10(scale) + rng.integers(-3, 4), 300)
        corners = rng.uniform(-1, 1, (4, 2)) * scale
        a, b = rng.normal(size=(2, 6)) * slope
        c = -(a * corners[0, 0] + b * corners[0, 1])
        far = np.abs(corners) * 8 * U + LEAST
        bound = np.empty(6)
        none = np.zeros(6)
        kernels.bounds_of_face(a, b, c, none, none, *far.max(axis=0).tolist(), 1.0, bound)
        low, high = np.full(6, np.inf), np.full(6, -np.inf)
        for x, y in corners.tolist():
            kernels.extremes(a, b, c, x, y, low, high)
        for j in range(6):
            row = (a[j], b[j], c[j])
            truths = [exact_value(row, Fraction(x), Fraction(y)) for x, y in corners.tolist()]
            assert abs(Fraction(low[j]) - min(truths)) <= Fraction(bound[j])
            assert abs(Fraction(high[j]) - max(truths)) <= Fraction(bound[j])


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_never_certain(bad: float) -> None:
    row = (1.0, 1.0, 100.0, 0.0, 0.0)
    at = (0.5, 0.5, 0.0, 0.0)
    for i in range(5):
        if not (i > 2 and bad < 0):  # bounds are not negative
            args = [*row[:i], bad, *row[i + 1 :], *at, 1.0, 1.0]
            assert kernels.sign(*args) == kernels.UNDECIDED
            # Nor where it meets a zero.
            args[5:9] = 0.0, 0.0, 0.0, 0.0
            assert i in (0, 1, 3) or kernels.sign(*args) == kernels.UNDECIDED
    for i in range(4):
        if not (i > 1 and bad < 0):
            args = [*row, *at[:i], bad, *at[i + 1 :], 1.0, 1.0]
            assert kernels.sign(*args) == kernels.UNDECIDED
    for z, dz, w, dw in (
        (bad, 0.1, -1.0, 0.1),
        (1.0, abs(bad), -1.0, 0.1),
        (1e300, 0.0, -1e308, 0),
    ):
        t, bound = kernels.parameter(z, dz, w, dw)
        assert 0 <= t <= 1 <= bound
    bound = np.array([abs(bad)])
    status = np.zeros(1, dtype=np.uint8)
    assert kernels.settle(np.array([1.0]), np.array([2.0]), bound, status) == 1
    assert status[0] == kernels.ZERO


# -- crossings -------------------------------------------------------------------------------


def test_parameter_for_all_magnitudes() -> None:
    rng = np.random.default_rng(4)
    for _ in range(2500):
        scale = 2.0 ** rng.integers(-1060, 950)
        z, w = (rng.uniform(0, 1, 2) * scale * 2.0 ** -rng.integers(0, 60, 2)).tolist()
        dz, dw = (scale * 2.0 ** -rng.integers(1, 70, 2).astype(float) + 5e-324).tolist()
        # Values with the right signs, as far off as is claimed; the computed ones may have any.
        true_z = max(Fraction(z) + rng.choice([-1, 1]).item() * Fraction(dz), Fraction(dz) / 10**9)
        true_w = -max(Fraction(w) + rng.choice([-1, 1]).item() * Fraction(dw), Fraction(dw) / 10**9)
        flip = rng.random() < 0.5
        args = (-z, dz, w, dw) if flip else (z, dz, -w, dw)
        t, bound = kernels.parameter(*args)
        assert 0 <= t <= 1
        assert abs(Fraction(t) - true_z / (true_z - true_w)) <= Fraction(bound)
        # The computed value at one end may have the wrong sign.
        true_z = Fraction(rng.uniform(0.01, 1)) * max(Fraction(dz) - Fraction(z), Fraction(z))
        if true_z and abs(true_z + Fraction(z)) <= Fraction(dz):
            t, bound = kernels.parameter(-z, dz, -w, dw)
            assert abs(Fraction(t) - true_z / (true_z - true_w)) <= Fraction(bound)


def test_between_for_all_magnitudes() -> None:
    rng = np.random.default_rng(5)
    for _ in range(2500):
        scale = 2.0 ** rng.integers(-1074, 950)
        p, q = (rng.normal(size=2) * scale).tolist()
        if rng.random() < 0.3:
            q = float(np.nextafter(p, rng.choice([-np.inf, p, np.inf])))
        dp, dq = (abs(p) * 2.0 ** -rng.integers(1, 70, 2).astype(float)).tolist()
        t = float(rng.choice([0.0, 1.0, 2.0**-1074, 2.0**-60, rng.random()]))
        dt = float(rng.choice([0.0, 2.0**-53, 2.0**-20, 1.0]))
        signs = rng.choice([-1, 0, 1], 3).tolist()
        true_p = Fraction(p) + signs[0] * Fraction(dp)
        true_q = Fraction(q) + signs[1] * Fraction(dq)
        true_t = min(max(Fraction(t) + signs[2] * Fraction(dt), Fraction(0)), Fraction(1))
        x, bound = kernels.between(p, q, dp, dq, t, dt)
        assert abs(Fraction(x) - (true_p + true_t * (true_q - true_p))) <= Fraction(bound)


def test_an_order_is_certain_only_where_no_intervals_meet() -> None:
    rng = np.random.default_rng(6)
    n_certain = 0
    for n in [2] * 600 + [3, 9, 30] * 60:
        t = rng.random(n)
        t[0] = rng.choice([0.0, 1.0])
        t[-1] = np.clip(t[0] + rng.integers(-8, 9) * 2.0**-53, 0, 1)
        tau = rng.integers(0, 5, n) * 2.0**-53
        item = np.arange(n)
        args = item.copy(), t.copy(), tau.copy()
        is_open = kernels.sort_items(0, n, *args)
        order = args[0]
        assert sorted(order) == list(range(n))
        assert (args[1] == t[order]).all()
        assert (args[2] == tau[order]).all()
        low = [Fraction(t[i]) - Fraction(tau[i]) for i in order]
        high = [Fraction(t[i]) + Fraction(tau[i]) for i in order]
        if not is_open:
            n_certain += 1
            assert all(h < m for h, m in zip(high, low[1:], strict=False))
    assert n_certain > 30


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
        for computed, error, truths in (
            (layer.weight, layer.weight_error, weight),
            (layer.bias, layer.bias_error, bias),
        ):
            for v, e, truth in zip(computed.flat, error.flat, truths.flat, strict=True):
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
    for seed in range(120):
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


# -- maps ------------------------------------------------------------------------------------


def integers(array: np.ndarray) -> tuple[np.ndarray, int]:
    """Integers and the power of two to divide them by."""
    ratios = [v.as_integer_ratio() for v in np.asarray(array, float).ravel().tolist()]
    one = max(d for _, d in ratios)
    whole = np.array([n * (one // d) for n, d in ratios], dtype=object)
    return whole.reshape(np.shape(array)), one


def exact_map(net: pr.Network, pattern: np.ndarray) -> tuple[np.ndarray, int]:
    """The affine map of a region, (M, 3) integers and what to divide them by."""
    values, one = np.array([[1, 0, 0], [0, 1, 0]], dtype=object), 1
    offset = 0
    for step in net.steps:
        if isinstance(step, Activation):
            piece = pattern[offset : offset + step.n_inputs]
            offset += step.n_inputs
            table = np.stack([step.select(step.slopes, piece), step.select(step.intercepts, piece)])
            (slope, shift), d = integers(table)
            values = values * slope[:, None]
        else:
            weight, shift = (
                (step.weight, step.bias)
                if isinstance(step, Affine)
                else (np.diag(step.scale), step.shift)
            )
            table, d = integers(np.column_stack([weight, shift]))
            values, shift = table[:, :-1] @ values, table[:, -1]
        values[:, 2] += shift * one
        one *= d
    return values, one


def excess(net: pr.Network, domain: object = (-1, 1)) -> np.ndarray:
    """Assert all bounds of all maps before all activations; error / bound for those of outputs.

    A network cut off behind an affine step has its pre-activations for outputs.
    """
    ends = [i for i, step in enumerate(net.steps) if isinstance(step, Activation)]
    shares = []
    for end in [*(i for i in ends if i), len(net.steps)]:
        cut = pr.Network(net.steps[:end], 2)
        part = pr.partition(cut, domain, engine="exact")
        shares = []
        for f in range(part.n_faces):
            truths, one = exact_map(cut, part.face_pattern[f])
            found = np.column_stack([part.face_weight[f], part.face_bias[f]])
            error = np.column_stack([part.face_weight_error[f], part.face_bias_error[f]])
            for v, e, truth in zip(found.flat, error.flat, truths.flat, strict=True):
                n, d = v.as_integer_ratio()
                off = Fraction(abs(n * one - truth * d), d * one)
                assert off <= Fraction(e)
                shares.append(float(off / Fraction(e)))
    return np.array(shares)


def batch_normed(widths: tuple[int, ...], seed: int) -> pr.Network:
    """Two or three affine steps before every activation."""
    rng = np.random.default_rng(seed)
    steps: list = []
    for weight, bias in random_layers(widths, seed):
        if steps:
            steps.append(relu(steps[-1].n_outputs))
        n = len(bias)
        steps += [Affine(weight, bias), Scale(rng.normal(size=n), rng.normal(size=n))]
        if n % 2:
            steps.append(Affine(rng.normal(size=(n, n)), np.zeros(n)))
    return pr.Network(tuple(steps), 2)


def scaled(net: pr.Network, *exponents: int) -> pr.Network:
    """Weights times powers of two, and biases with them, so that values are scaled as a whole."""
    steps: list = []
    total = 0
    left = list(exponents)
    for step in net.steps:
        if isinstance(step, Affine):
            by = left.pop(0)
            total += by
            with np.errstate(over="ignore"):
                weight, bias = np.ldexp(step.weight, by), np.ldexp(step.bias, total)
            steps.append(Affine(weight, bias))
        else:
            steps.append(step)
    return pr.Network(tuple(steps), 2)


def tall_first_layer() -> pr.Network:
    """Hundreds of siblings in one face, in runs that are computed from each other."""
    layers = [*random_layers((2, 36), 1), *random_layers((36, 5, 1), 2)]
    return stack(layers)


NETWORKS = {
    "wide": lambda: stack(random_layers((2, 14, 12, 10, 4), 1)),
    "float32": lambda: stack(random_layers((2, 12, 12, 8, 3), 2, "single")),
    "deep": lambda: stack(random_layers((2, *[6] * 8, 2), 3)),
    "many siblings": tall_first_layer,
    "leaky": lambda: stack(random_layers((2, 10, 10, 3), 4), "leaky"),
    "abs": lambda: stack(random_layers((2, 10, 10, 3), 5), "abs"),
    "prelu": lambda: stack(random_layers((2, 10, 10, 3), 6), "prelu"),
    "clamp": lambda: stack(random_layers((2, 10, 10, 3), 7), "hardtanh"),
    "no biases": lambda: stack(random_layers((2, 12, 12, 8, 3), 8, "zero_bias")),
    "batch norm": lambda: batch_normed((2, 9, 9, 6, 2), 9),
    "integer": lambda: stack(random_layers((2, 8, 8, 3), 10, "integer")),
    "large": lambda: scaled(stack(random_layers((2, 9, 9, 2), 11)), 500, 400, 90),
    "small": lambda: scaled(stack(random_layers((2, 9, 9, 2), 12)), -500, -400, -90),
    "up and down": lambda: scaled(stack(random_layers((2, 9, 9, 9, 2), 13)), 900, -900, -900, 900),
    "subnormal": lambda: scaled(stack(random_layers((2, 7, 7, 2), 14, "integer")), -1074, 1000, 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_before_every_activation_are_within_their_bounds(name: str) -> None:
    shares = excess(NETWORKS[name](), (-2, 2))
    if name in ("wide", "float32", "deep", "many siblings", "leaky", "no biases", "large"):
        # Bounds assume the worst of every rounding in every layer; they are a few thousand
        # times the largest error, but no more.
        assert shares.max() > 1e-5
        assert np.median(shares) > 1e-6


def test_maps_that_overflowed_may_equal_any_other() -> None:
    # On x > 0 the first unit goes by way of 2**1320 to what the second one is on x < 0.
    net = network(
        [[1, 0], [-1, 0], [1, 3]], relu(3), np.eye(3), relu(3),
        np.diag([2.0**660, -(2.0**660), 1.0]),
        np.diag([2.0**660, 2.0**-340, 2.0**350]), [[2.0**-1000, 1.0, 1.0]],
    )  # fmt: skip
    part = assert_agrees(net)
    assert part.n_faces == 4
    assert len(set(part.face_affine_piece.tolist())) == 2


# -- vertices of thin cells ------------------------------------------------------------------


def sliver() -> pr.Network:
    """Two pairs of lines, each pair one float64 number apart, and lines through all of that."""
    bias = 1e-3
    rng = np.random.default_rng(0)
    first = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, -1.0], [2.0, -1.0], [0.3, 0.4]])
    offset = np.array([-bias, -np.nextafter(bias, 1), bias, np.nextafter(bias, 0), 0.2])
    at = np.linalg.solve(first[[0, 2]], -offset[[0, 2]])
    second = rng.normal(size=(6, 5))
    values = np.maximum(first @ at + offset, 0)
    return stack([(first, offset), (second, -(second @ values)), (np.ones((1, 6)), [0.0])])


@pytest.mark.parametrize(
    ("net", "domain", "smallest"),
    [
        (sliver(), (-1, 1), 1e-37),
        (stack(pencil(16, 1 / 3, exact=False)), (0, 1), 1e-33),
        (stack(random_layers((2, 12, 12, 1), 1)), (-1, 1), 1e-3),
    ],
    ids=["sliver", "pencil", "ordinary"],
)
def test_vertices_of_thin_cells_are_within_their_bounds(
    net: pr.Network, domain: object, smallest: float
) -> None:
    part = assert_agrees(net, domain)
    areas = [exact.area(part.exact_polygon(f)) for f in range(part.n_faces)]
    assert 0 < min(areas) < smallest
    shares = []
    for xy, error, (x, y, w) in zip(
        part.vertex_xy.tolist(), part.vertex_error.tolist(), part.vertex_exact, strict=True
    ):
        for v, e, truth in zip(xy, error, (Fraction(x, w), Fraction(y, w)), strict=True):
            off = abs(Fraction(v) - truth)
            assert off <= Fraction(e)
            if e:
                shares.append(float(off / Fraction(e)))
    assert np.median(shares) > 1e-5


# -- powers of two ---------------------------------------------------------------------------


EXPONENTS = [
    (-1074, 0, 0), (-1074, -900, 0), (-1074, 1000, 1000), (-1074, 1000, 60), (1000, -1000, 1000),
    (1000, 0, 0), (1000, 21, 0), (1000, 21, -1000), (600, 600, 0), (-600, -600, 0),
    (-1000, -1000, -1074), (500, -1074, 500), (0, 0, 1020), (0, 0, -1074), (-600, 1020, -600),
]  # fmt: skip


@pytest.mark.parametrize("exponents", EXPONENTS)
def test_powers_of_two_change_nothing_unless_float64_ends(exponents: tuple[int, ...]) -> None:
    layers = random_layers((2, 6, 5, 2), 3, "integer")
    without = [(weight, 0.0 * bias) for weight, bias in layers]
    compared = 0
    for net in (stack(layers), stack(without)):
        plain = subdivide_rational(net, UNIT, max_regions=10**4)
        try:
            changed = scaled(net, *exponents)
        except ValueError:  # a weight or bias is infinite, so there is no such network
            continue
        part, reference = (
            soak.outcome(engine, changed, UNIT, 10**4) for engine in (subdivide, subdivide_rational)
        )
        if reference == "OverflowError":
            assert part == reference
            # It is the outputs that are too large: powers of two alone are no reason.
            assert sum(exponents) > 1000
            continue
        assert soak.differences(part, reference) == []
        back = scaled(changed, *(-e for e in exponents))
        if all(
            np.array_equal(a.bias, b.bias)
            for a, b in zip(net.steps[::2], back.steps[::2], strict=True)
        ):  # else biases were rounded to zero, and it is another network
            compared += 1
            assert sorted(part.vertex_exact) == sorted(plain.vertex_exact)
            assert {r.tobytes() for r in part.face_pattern} == {
                r.tobytes() for r in plain.face_pattern
            }
    assert compared or sum(exponents) > 1000


@pytest.mark.parametrize("exponent", [-1060, -1000, -600, 600, 1010])
def test_domains_scaled_by_powers_of_two_scale_vertices(exponent: int) -> None:
    layers = random_layers((2, 6, 5, 2), 4, "integer")
    moved = [(weight, np.ldexp(bias, exponent)) for weight, bias in layers]
    reach = 2.0**exponent
    part = assert_agrees(stack(moved), (-reach, reach))
    plain = subdivide_rational(stack(layers), UNIT, max_regions=10**4)
    by = Fraction(2) ** exponent
    expected = {(x * by, y * by) for x, y in map(plain.exact_vertex, range(plain.n_vertices))}
    assert {part.exact_vertex(v) for v in range(part.n_vertices)} == expected


# -- kernels without proofs ------------------------------------------------------------------


@pytest.mark.parametrize(("place", "cached"), [(None, False), ("apart", True)])
def test_kernels_without_bounds_are_not_cached_among_those_with_them(
    place: str | None, cached: bool, tmp_path: Path
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment["POLYREGIONS_UNPROVEN"] = "1"
    if place:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / place)
    code = (
        "from polyregions.engine.kernels import parameter\n"
        "print(parameter(1.0, 0.5, -1.0, 0.5), parameter.stats.cache_path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    bounds, _, folder = done.stdout.strip().rpartition(" ")
    assert bounds == "(0.5, 0.0)"
    assert folder.startswith(str(tmp_path)) if cached else folder == "None"
