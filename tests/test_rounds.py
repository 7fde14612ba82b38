"""Layers of maxima: who plays, what is known before, and what is left for integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from test_engine import assert_agrees

from polyregions.engine.rounds import draw
from polyregions.engine.segments import Elementwise, Segment
from polyregions.network import (
    Activation,
    Affine,
    Gather,
    Maximum,
    Network,
    Scale,
    absolute,
    clamp,
    leaky_relu,
    prelu,
    relu,
)


@pytest.mark.parametrize("counts", [[1], [2], [3, 1, 2], [9, 4, 5, 1, 8], [256]])
def test_every_member_plays_until_it_loses(counts: list[int]) -> None:
    rng = np.random.default_rng(len(counts))
    rounds = draw(np.array(counts))
    assert len(rounds) == (max(counts) - 1).bit_length()
    assert sum(len(games.unit) for games in rounds) == sum(counts) - len(counts)
    for _ in range(20):
        values = rng.integers(0, 4, sum(counts))
        left = list(range(len(values)))  # who is still in
        for games in rounds:
            wins = [
                values[left[j]] > values[left[i]]
                for i, j in zip(games.left, games.right, strict=True)
            ]
            left = [
                left[j if game >= 0 and wins[game] else i]
                for i, j, game in zip(
                    games.next_left, games.next_right, games.next_game, strict=True
                )
            ]
        starts = np.cumsum([0, *counts])
        first_largest = [a + int(values[a:b].argmax()) for a, b in pairwise(starts.tolist())]
        assert left == first_largest


ACTIVATIONS = {
    "relu": relu(2),
    "leaky": leaky_relu(2, 0.25),
    "falling": leaky_relu(2, -0.5),
    "abs": absolute(2),
    "clamps": clamp(2, -1.0, 0.25),
    "prelu": prelu(np.array([0.0, 0.25, 1.0, -1.0])),
    "zigzag": Activation(
        np.array([[-1.0, 0.0, np.inf], [0.5, 1.0, 2.0]]),
        np.array([[1.0, -1.0, 1.0, 1.0], [0.0, 2.0, 0.0, -1.0]]),
        np.array([[2.0, 0.0, 0.0, 0.0], [0.0, -1.0, 1.0, 3.0]]),
    ),
}


# How many pairs of pieces say it, for each of the four pairs of units. Relu: on and off, off and
# on, off and off. A clamp: all but those that may be equal, and both in the middle.
DECIDED = {"relu": 4 * 3, "leaky": 4 * 2, "clamps": 4 * 7, "falling": 0, "abs": 0}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_pieces_say_between_which_values_units_are(name: str) -> None:
    activation = ACTIVATIONS[name]
    reach = Elementwise(activation, 3).reach
    slopes, intercepts = activation.slopes, activation.intercepts
    values: dict[tuple[int, int], list[Fraction]] = {}
    for unit in range(len(slopes)):
        ends = [-8.0, *activation.breakpoints[unit].tolist(), 8.0]
        for piece, (low, high) in enumerate(pairwise(ends)):
            if np.isfinite(low) and low < 8:
                high = min(high, 8.0)
                # What a unit can be inside a face: its upper breakpoint, if it is constant.
                z = [Fraction(low) + Fraction(high - low) * i / 64 for i in range(1, 65)]
                s, r = Fraction(slopes[unit, piece]), Fraction(intercepts[unit, piece])
                values[unit, piece] = [s * v + r for v in z]
    decided = 0
    for (i, x), these in values.items():
        for (j, y), those in values.items():
            (low, high), (other_low, other_high) = reach[i, x].tolist(), reach[j, y].tolist()
            is_above = high < other_low
            is_not_above = (other_high + 1) >> 1 <= low >> 1
            assert not is_above or max(these) < min(those)
            assert not is_not_above or max(those) <= min(these)
            assert not (is_above and is_not_above)
            decided += is_above or is_not_above
    assert decided == DECIDED.get(name, decided)
    assert decided or name in DECIDED


def test_values_are_followed_back_through_gathers_only() -> None:
    segment = Segment([3, 2])
    moved = segment.add(Gather(np.array([4, -1, 0, 0]), 5), 0, 1)
    scaled = segment.add(Scale(np.ones(3), np.zeros(3)), 0)
    again = segment.add(Gather(np.array([0, 1, 3, 5]), 7), moved, scaled)
    assert segment.taken_from([again, 1]).tolist() == [4, -1, 0, -1, 3, 4]


def pooled(seed: int, first: Activation) -> Network:
    rng = np.random.default_rng(seed)
    n = first.n_inputs
    members = rng.permutation(n).reshape(-1, 4)
    return Network(
        (
            Affine(rng.normal(size=(n, 2)), rng.normal(size=n) / 2),
            first,
            Maximum(members, n),
            Affine(rng.normal(size=(2, len(members))), rng.normal(size=2)),
        ),
        2,
    )


def test_a_pool_behind_relu_is_left_to_integers_only_where_lines_of_its_window_cross() -> None:
    # Next to a unit that is off, the largest is known without its line, which runs along the face's
    # side. Two units of a window are off together in one point; there they are equal, too.
    part = assert_agrees(pooled(0, relu(24)))
    assert part.n_faces > 100
    assert part.decisions["integer"] <= 6 * 6 < part.decisions["float64"] / 100


@pytest.mark.parametrize(
    "activation", [clamp(12, 0.0, 0.5), leaky_relu(12, 0.25), leaky_relu(12, -1.0), absolute(12)]
)
def test_a_pool_behind_any_activation_agrees_with_the_reference(activation: Activation) -> None:
    assert assert_agrees(pooled(1, activation)).n_faces > 30


def test_the_largest_of_many_needs_no_integers() -> None:
    # All lines of pairs together would meet three by three, in 84 points.
    rng = np.random.default_rng(2)
    maximum = Network(
        (Affine(rng.normal(size=(9, 2)), rng.normal(size=9)), Maximum(np.arange(9)[None], 9)), 2
    )
    assert assert_agrees(maximum, (-30, 30)).decisions["integer"] == 0
