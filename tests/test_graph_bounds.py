"""Error bounds where steps are applied to the maps of faces, against exact values."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numba
import numpy as np
import pytest
from oracle import evaluate, inner_point, matrix_of, trace
from test_engine import soak
from test_graph_networks import KINDS, Net, built

from polyregions.domain import Domain, as_domain
from polyregions.engine import bounding, subdivide, subdivision
from polyregions.engine import complex as complexes
from polyregions.engine.complex import Complex
from polyregions.engine.crew import Crew
from polyregions.engine.exactly import Provenance
from polyregions.engine.layers import compile_layers
from polyregions.engine.maps import Level
from polyregions.engine.program import Bounded, Bounds, IntegerSegment, _denominator, _times
from polyregions.engine.rounds import advance, draw, number_of_pair
from polyregions.engine.segments import Elementwise, Selection, cut
from polyregions.float64 import TINY, U
from polyregions.network import (
    Activation,
    Affine,
    AffineStep,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Sum,
    clamp,
    piecewise_linear,
    prelu,
    relu,
)
from polyregions.progress import Reporter

if numba.config.DISABLE_JIT:  # NumPy warns where compiled kernels are silent
    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

fractions = np.vectorize(Fraction, otypes=[object])


# -- one step, one activation layer ------------------------------------------------------------


def magnitudes(rng: np.random.Generator, shape: tuple[int, ...], most: int) -> np.ndarray:
    """Numbers of all sizes up to ``2**most``, some of them zero."""
    values = np.ldexp(rng.normal(size=shape), rng.integers(-1080, most, shape))
    return values * (rng.random(shape) < 0.8)


def random_step(rng: np.random.Generator, number: int) -> AffineStep:
    size = int(rng.choice([0, 300, 900]))

    def draw(*shape: int) -> np.ndarray:
        """Coefficients of one size, or of all."""
        if rng.random() < 0.4:
            return magnitudes(rng, shape, size)
        values = np.ldexp(rng.normal(size=shape), int(rng.integers(-1070, size + 1)))
        return values * (rng.random(shape) < 0.8)

    m = 6
    match number % 5:
        case 0:
            return Affine(draw(4, m), draw(4))
        case 1:
            return Scale(draw(m), draw(m))
        case 2:
            return Sum(draw(3), 2)
        case 3:
            index = rng.integers(-1, m, 5)
            return Gather(index, m, fill=np.where(index < 0, draw(5), 0.0))
    return Convolution(draw(2, 2, 2), draw(2), (3,), (1,), ((1, 1),), (2,))


def random_maps(rng: np.random.Generator, reach: tuple[Fraction, Fraction]) -> tuple:
    """Maps of 6 values that are off by as much as is said, and the exact ones, (3, 6)."""
    if rng.random() < 0.5:
        columns = magnitudes(rng, (1, 3, 6), int(rng.choice([0, 300, 900])))
    else:
        # All of one size, often so small that a relative error of it underflows.
        exponent = rng.choice([rng.integers(-1074, -1015), rng.integers(-1070, 900)])
        columns = np.ldexp(rng.normal(size=(1, 3, 6)), int(exponent))
    columns *= rng.random((1, 3, 6)) < 0.8
    errors = np.zeros((1, 2, 6))
    truths = fractions(columns[0])
    for i in range(6):
        if rng.random() < 0.4:
            continue
        size = float(np.abs(columns[0, :, i]).max())
        for row in range(2):
            error = size * 2.0 ** -float(rng.integers(0, 60))
            if rng.random() < 0.2:
                error = 2.0**-1074 * float(rng.integers(0, 9))
            errors[0, row, i] = error if np.isfinite(error) else 0.0
        share = Fraction(int(rng.integers(0, 5)), 4)
        signs = rng.choice([-1, 1], 3).tolist()
        ab, c = map(Fraction, errors[0, :, i].tolist())
        truths[0, i] += signs[0] * share * ab / reach[0]
        truths[1, i] += signs[1] * (1 - share) * ab / reach[1]
        truths[2, i] += signs[2] * c
    return Bounded(columns, errors), truths


def n_held(found: Bounded, truths: np.ndarray, reach: tuple[Fraction, Fraction]) -> int:
    """Assert all bounds of one face; how many of them claim something."""
    claimed = 0
    (columns,), (errors,) = found.columns, found.errors
    assert not np.isnan(errors).any()
    for i, ((a, b, c), (ab, e), (p, q, r)) in enumerate(
        zip(columns.T.tolist(), errors.T.tolist(), truths.T.tolist(), strict=True)
    ):
        if np.isfinite([a, b, ab]).all():
            off = abs(Fraction(a) - p) * reach[0] + abs(Fraction(b) - q) * reach[1]
            assert off <= Fraction(ab), f"a or b of value {i}"
            claimed += 1
        if np.isfinite([c, e]).all():
            assert abs(Fraction(c) - r) <= Fraction(e), f"c of value {i}"
            claimed += 1
        # A bound of zero is a proof of what is there.
        assert ab > 0 or np.isfinite([a, b]).all()
        assert e > 0 or np.isfinite(c)
    return claimed


def random_window(rng: np.random.Generator) -> tuple[Bounds, tuple[Fraction, Fraction]]:
    x, y = np.ldexp(1.0 + rng.random(2), rng.choice([-900, -40, 0, 0, 0, 40, 900], 2)).tolist()
    return Bounds(x, y), (Fraction(x), Fraction(y))


def test_steps_keep_to_their_bounds_for_all_magnitudes() -> None:
    claimed = 0
    for seed in range(1000):
        rng = np.random.default_rng([seed, 0])
        bounds, reach = random_window(rng)
        step = random_step(rng, seed)
        given, truths = random_maps(rng, reach)
        with np.errstate(all="ignore"):
            found = bounds.step(step, given)
        weight, bias = matrix_of(step)
        expected = truths @ fractions(weight).T
        expected[2] += fractions(bias)
        claimed += n_held(found, expected, reach)
    assert claimed > 4000


def switched(
    switching: Elementwise, pieces: np.ndarray, given: Bounded, reach: tuple[Fraction, Fraction]
) -> Bounded:
    """What an activation layer makes of the maps of one face."""
    found = Bounded(np.empty_like(given.columns), np.empty_like(given.errors))
    only = np.zeros(1, dtype=np.int32)
    tables = (np.ascontiguousarray(t) for t in (switching.slopes, switching.intercepts))
    bounding.switch(
        only, 0, only, 0, given.columns, np.ascontiguousarray(given.errors[:, 0]),
        np.ascontiguousarray(given.errors[:, 1]), False, pieces, *tables, *map(float, reach),
        found.columns, found.errors,
    )  # fmt: skip
    return found


def test_activations_keep_to_their_bounds_for_all_magnitudes() -> None:
    claimed = 0
    for seed in range(750):
        rng = np.random.default_rng([seed, 1])
        _, reach = random_window(rng)
        steep = np.ldexp(rng.normal(size=(4, 2)), rng.integers(-300, 900, (4, 2)))
        t = float(np.ldexp(rng.choice([-1, 1]), rng.integers(-1000, 1000)))
        kinds = [
            relu(4),
            clamp(4, *np.sort(np.ldexp(rng.normal(size=2), rng.integers(-1000, 1000, 2)))),
            # Continuous at zero, so without intercepts.
            Activation(np.zeros((4, 1)), steep, np.zeros((4, 2))),
            prelu(rng.choice([0.0, 1.0, -1.0, 2.0**-600], 4)),
            # Both pieces are shifted: 3 z + 5 t and z + 7 t meet at t.
            piecewise_linear(4, [t], [3, 1], [5 * t, 7 * t]),
        ]
        layer = kinds[seed % 5]
        switching = Elementwise(layer, n_carried=2)
        given, truths = random_maps(rng, reach)
        pieces = np.zeros((1, 6), dtype=np.uint8)
        n_pieces = 1 + np.isfinite(layer.breakpoints).sum(axis=1)
        pieces[0, :4] = rng.integers(0, n_pieces)
        with np.errstate(all="ignore"):
            found = switched(switching, pieces, given, reach)
        value = np.arange(6)
        expected = truths * fractions(switching.slopes[value, pieces[0]])
        expected[2] += fractions(switching.intercepts[value, pieces[0]])
        claimed += n_held(found, expected, reach)
        # What is carried on stays as exact as it was.
        assert np.array_equal(found.columns[..., 4:], given.columns[..., 4:])
        carried = given.errors[..., 4:]
        assert np.array_equal(found.errors[..., 4:], np.where(carried < 1e290, carried, np.inf))
    assert claimed > 3000


def test_zero_times_what_overflowed_is_zero() -> None:
    columns, errors = np.zeros((1, 3, 2)), np.zeros((1, 2, 2))
    columns[0, :, 0], errors[0, :, 0] = np.inf, np.inf
    with np.errstate(all="ignore"):
        for step in (
            Affine(np.array([[0.0, 1.0]]), np.array([5.0])),
            Sum(np.array([0.0, 1.0]), 1),
            Scale(np.array([0.0, 3.0]), np.array([5.0, 5.0])),
            Affine(np.array([[0.0, 1.0], [0.0, 2.0**-90]]), np.array([5.0, -3.0])),
        ):
            found = Bounds(1.0, 1.0).step(step, Bounded(columns, errors))
            # Either that is known, or nothing.
            is_known = found.errors[0] == 0
            assert (is_known | np.isinf(found.errors[0])).all()
            assert not found.columns[0, :2, is_known[0]].any()
            assert np.array_equal(found.columns[0, 2, is_known[1]], step.constant[is_known[1]])
        assert is_known.all()
        # But not where it has a weight.
        found = Bounds(1.0, 1.0).step(Sum(np.ones(2), 1), Bounded(columns, errors))
        assert np.isinf(found.errors).all()


def test_bounds_are_not_much_larger_than_what_rounding_can_do() -> None:
    rng = np.random.default_rng(0)
    step = Convolution(rng.normal(size=(2, 2, 3)), np.zeros(2), (5,), (1,), ((1, 1),), (1,))
    columns = rng.normal(size=(1, 3, 10))
    found = Bounds(1.0, 1.0).step(step, Bounded(columns, np.zeros((1, 2, 10))))
    size = step.magnitude(np.abs(columns).sum(axis=1))
    assert (found.errors.sum(axis=1) <= 2 * (step.n_roundings + 8) * U * size + 4 * TINY).all()


# -- all levels of whole networks --------------------------------------------------------------


def levels(network: Network, domain: Domain) -> Iterator[tuple[Complex, Level, Provenance]]:
    """The complexes before every activation layer and before the outputs, as the engine goes."""
    layers = compile_layers(network)
    with Crew(1) as crew:
        watch = subdivision._watch(crew, network, 10**5, None, Reporter())
        complex_, lines = complexes.start(domain)
        made = Provenance(network, layers, domain, lines)
        level = Level.first(layers[0], subdivision._window(domain), 1)
        yield complex_, level, made
        for number, layer in enumerate(layers[1:]):
            complex_, split = subdivision._split(complex_, level, number, made, watch)
            level = Level.behind(level, split, layer, room=1 << 40)
            yield complex_, level, made


def state(network: Network, number: int, values: list) -> np.ndarray:
    """(3, n) exact maps of the state before an activation layer, or of the outputs.

    From the meaning of a state: what the layer takes, or the members of all its units and the
    differences of every two; and all values that are taken by a step behind the layer.
    """
    ends = [i for i, s in enumerate(network.steps) if isinstance(s, Activation | Maximum)]
    if number == len(ends):
        return np.array(values[-1], dtype=object).reshape(-1, 3).T
    end = ends[number]
    step = network.steps[end]
    taken = [form for v in network.sources[end] for form in values[v]]
    forms: list = []
    if isinstance(step, Activation):
        forms += taken
    else:
        rows = [[m for m in row if m >= 0] for row in step.members.tolist()]
        forms += [taken[m] for row in rows for m in row]
        forms += [
            tuple(p - q for p, q in zip(taken[row[j]], taken[row[i]], strict=True))
            for row in rows
            for i in range(len(row))
            for j in range(i + 1, len(row))
        ]
    for v in range(end + 1):
        if any(v in sources for sources in network.sources[end + 1 :]):
            forms += values[v]
    return np.array(forms, dtype=object).reshape(-1, 3).T


def assert_levels(network: Network, domain: Domain) -> tuple[int, list[float]]:
    """Assert all bounds before all layers, and the integers; how many, and error / bound."""
    x, y = (Fraction(max(v, TINY)) for v in np.abs(domain.xy).max(axis=0).tolist())
    claimed, shares = 0, []
    for number, (complex_, level, made) in enumerate(levels(network, domain)):
        found = level.maps(0, level.n_faces)
        if not level.is_given and level.kept is None:
            raise AssertionError("maps are not kept")
        if not level.is_given:
            level.work_out(0, level.n_items, level.parent_maps(0, level.n_items))
        for f in range(complex_.n_faces):
            corners = [
                made.vertex(int(complex_.ev[h >> 1, h & 1]))
                for h in complex_.half_edges[complex_.face_start[f] : complex_.face_start[f + 1]]
            ]
            k = len(corners)
            inside = tuple(sum(Fraction(p[i], p[2]) for p in corners) / k for i in (0, 1))
            here = trace(network, inside)
            n = len(network.steps) + 1
            truths = state(network, number, [here.value(v) for v in range(n)])
            one = Bounded(
                found.columns[f : f + 1],
                np.stack([found.eab[level.group[f]], found.ec[level.group[f]]])[None],
            )
            assert one.columns.shape[2] == truths.shape[1]
            claimed += n_held(one, truths, (x, y))
            *rows, (_, _, scale) = made.affine_map(number, f).tolist()
            assert [[Fraction(int(v), int(scale)) for v in row] for row in rows] == [
                list(map(Fraction, form)) for form in truths.T
            ]
            for c, e, truth in zip(one.columns[0, 2], one.errors[0, 1], truths[2], strict=True):
                if 0 < e < np.inf:
                    shares.append(float(abs(Fraction(c) - truth) / Fraction(e)))
    return claimed, shares


@pytest.mark.parametrize(
    "name", [name for name in KINDS if not compile_layers(built(name, 0, "normal"))[-1].is_dense]
)
def test_states_before_every_layer_are_within_their_bounds(name: str) -> None:
    for seed, weights in ((30, "normal"), (31, "quantised"), (32, "zero_bias")):
        claimed, shares = assert_levels(built(name, seed, weights), as_domain((-1.5, 1)))
        assert claimed
        if weights == "normal" and len(shares) > 200:
            assert max(shares) > 1e-4, "bounds are far too large"


EXTREME = ("awkward", "scaled", "wild", "huge", "tiny")


def test_states_of_random_networks_of_extreme_scales_are_within_their_bounds() -> None:
    claimed = n_layers = 0
    for number in range(-1, -361, -1):
        kinds, weights = soak.soak_graphs.KINDS, soak.soak_graphs.WEIGHTS
        if weights[(-1 - number) // len(kinds) % len(weights)] not in EXTREME:
            continue
        _, network, domain = soak.random_case(number)
        if compile_layers(network)[-1].is_dense:
            continue
        if len(network.activations) > 3 or network.n_units > 14:
            continue
        claimed += assert_levels(network, domain)[0]
        n_layers += len(network.activations)
    assert claimed > 4000
    assert n_layers > 100


# -- integers ----------------------------------------------------------------------------------


def test_integer_segments_of_joins_are_exact() -> None:
    # Values over different powers of two are joined, also with the state and with nothing.
    net = Net(1)
    x = net.add(Scale(np.array([2.0**-70, 3.0]), np.array([0.0, 2.0**-900])), 0)
    y = net.add(Affine(np.array([[0.1, 0.0, 2.0**500]]), np.array([2.0**-1074])), x, net.add(
        Gather(np.array([1]), 2), 0))  # fmt: skip
    nothing = net.add(Gather(np.zeros(0, dtype=int), 2), 0)
    z = net.add(Sum(np.array([1.0, -0.3, 5.0]), 2), x, 0, 0)
    net.add(Gather(np.array([4, 0, -1, 2, 3, 1]), 7, fill=np.array([0, 0, 2.0**-1000, 0, 0, 0])),
            y, nothing, z, 0, x)  # fmt: skip
    network = net.network()
    (segment,), _ = cut(network)
    integers = IntegerSegment(segment)
    state_scale = 3 * 2**11
    given = {0: (5, -7, 11), 1: (2, 3, -13)}
    plan = integers.plan(range(6))
    rows = integers.rows(plan, {i: given[i] for i in plan.state}, state_scale)
    scale = integers.one * state_scale
    inputs = [[Fraction(v, state_scale) for v in given[i]] for i in (0, 1)]
    # Affine in the state: evaluate at its three columns.
    origin = evaluate(network, (Fraction(0), Fraction(0)))
    for axis in range(3):
        at = evaluate(network, (inputs[0][axis], inputs[1][axis]))
        for i in range(6):
            expected = at[i] if axis == 2 else at[i] - origin[i]
            assert Fraction(rows[i][axis], scale) == expected


def test_integer_segments_work_out_only_what_is_needed() -> None:
    net = Net(2)
    x = net.conv(1, net.add(Gather(np.arange(2).repeat(50), 2), 0), (100,), 3)
    net.conv(1, x, (98,), 3)
    (segment,), _ = cut(net.network())
    integers = IntegerSegment(segment)
    for at, expected in ((0, [0]), (47, [0, 1]), (95, [1])):
        plan = integers.plan([at])
        assert plan.state == expected
        assert set(integers.rows(plan, dict.fromkeys(expected, (1, 2, 3)), 1)) == {at}


@pytest.mark.parametrize("exponent", [-1074, -1022, -600, -53, -1, 0, 1, 52, 971])
def test_denominators_are_the_least_that_make_integers(exponent: int) -> None:
    for mantissa in (1.0, 3.0, -5.0, 2.0**52 + 1, -(2.0**53 - 1)):
        value = float(np.ldexp(mantissa, exponent))
        if (
            not np.isfinite(value)
            or Fraction(value) != Fraction(mantissa) * Fraction(2) ** exponent
        ):
            continue
        for step in (
            Affine(np.array([[0.0, value]]), np.zeros(1)),
            Affine(np.array([[0.0]]), np.array([value])),
            Sum(np.array([value, 1.0]), 1),
        ):
            one = _denominator(step)
            assert one == Fraction(value).denominator
            assert Fraction(_times(value, one), one) == Fraction(value)


# -- maxima ------------------------------------------------------------------------------------


def test_the_largest_follows_from_differences_of_pairs() -> None:
    members = np.array([[0, 1, 2, 3], [3, 1, -1, -1], [2, -1, -1, -1], [1, 2, 0, -1]])
    maximum = Maximum(members, 4)
    selection = Selection(maximum, n_carried=1)
    network = Network((maximum, Gather(np.array([0, 4]), 8)), 4, sources=((0,), (1, 0)))
    (segment, _), _ = cut(network)
    rng = np.random.default_rng(3)
    for _ in range(300):
        values = rng.integers(-1, 2, 4).astype(float)
        before = Bounds(1.0, 1.0).segment(
            segment, Bounded(np.tile(values, (1, 3, 1)), np.zeros((1, 2, 4)))
        ).columns[0, 2]  # fmt: skip
        assert before[:10].tolist() == [values[m] for row in members for m in row if m >= 0]
        found = selection.place_of_member.astype(np.uint8)[None]
        for games in draw(selection.n_members_of):
            best, unit = found.astype(int)[0], games.unit
            i, j = best[games.left], best[games.right]
            pair = number_of_pair(selection.first_pair_of[unit], selection.n_members_of[unit], i, j)
            above = (before[selection.line_value][pair] > 0).astype(np.uint8)[None]
            same = np.zeros(1, dtype=np.int32)
            after = np.empty((1, len(games.next_left)), dtype=np.uint8)
            advance(
                0, 1, same, above, found, games.next_left, games.next_right, games.next_game, after
            )
            found = after
        assert found[0].tolist() == maximum.piece(values).tolist()
        # Behind the layer, the sum of what is left of each unit's members is its value.
        chosen = selection.state_pieces(found)[0, :10]
        sums = np.add.reduceat(before[:10] * chosen, [0, 4, 6, 7])
        assert sums.tolist() == maximum(values).tolist()


def test_edges_between_pieces_of_a_maximum_are_straight_and_whole() -> None:
    # Lines of pairs that are nowhere the largest cut edges, vertices and faces on the way.
    rng = np.random.default_rng(4)
    steps = (Affine(rng.normal(size=(9, 2)), rng.normal(size=9)), Maximum(np.arange(9)[None], 9))
    part = subdivide(Network(steps, 2), as_domain((-30, 30)), max_regions=10**4)
    assert 4 < part.n_faces <= 9
    for f in range(part.n_faces):
        neighbours = [
            int(g)
            for e in np.flatnonzero((part.edge_faces == f).any(axis=1))
            for g in part.edge_faces[e]
            if g != f and g >= 0
        ]
        assert len(set(neighbours)) == len(neighbours), "an edge is in two parts"
        here = trace(Network(steps, 2), inner_point(part, f))
        assert here.pattern == part.face_pattern[f].tobytes()
