"""Every kind of step, and networks of them, against dense matrices, torch and fractions."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import torch
from networks import random_layers, stack
from oracle import evaluate, matrix_of

from polyregions.network import (
    Activation,
    Affine,
    AffineStep,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Step,
    Sum,
    absolute,
    clamp,
    exact_float64,
    joined,
    leaky_relu,
    parted,
    piecewise_linear,
    prelu,
    relu,
)

RNG = np.random.default_rng(0)

# Convolutions over 0 to 3 axes: input's shape, channels in and out, groups, kernel, stride,
# dilation, zeros before and after each axis (negative crops).
CONVOLUTIONS: dict[str, tuple] = {
    "no axis": ((), 3, 2, 1, (), (), (), ()),
    "plain": ((7,), 2, 3, 1, (3,), (1,), (1,), ((0, 0),)),
    "same": ((6,), 1, 2, 1, (3,), (1,), (1,), ((1, 1),)),
    "stride": ((9,), 2, 2, 1, (3,), (2,), (1,), ((0, 1),)),
    "stride beyond kernel": ((9,), 1, 2, 1, (2,), (4,), (1,), ((0, 0),)),
    "dilation": ((9,), 2, 1, 1, (3,), (1,), (3,), ((2, 0),)),
    "groups": ((5,), 4, 6, 2, (2,), (1,), (1,), ((0, 0),)),
    "depthwise": ((5,), 3, 3, 3, (3,), (1,), (1,), ((1, 1),)),
    "cropped": ((9,), 2, 2, 1, (3,), (1,), (1,), ((-2, -1),)),
    "cropped and padded": ((6,), 1, 2, 1, (3,), (2,), (2,), ((-1, 4),)),
    "all padding": ((1,), 1, 1, 1, (2,), (1,), (1,), ((5, 5),)),
    "kernel as long as the input": ((4,), 2, 3, 1, (4,), (1,), (1,), ((0, 0),)),
    "picture": ((5, 6), 2, 3, 1, (3, 2), (1, 1), (1, 1), ((1, 1), (0, 0))),
    "all at once": ((7, 6), 4, 4, 2, (3, 2), (2, 3), (2, 1), ((2, -1), (0, 3))),
    "one by one": ((3, 4), 3, 5, 1, (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))),
    "volume": ((4, 3, 5), 2, 2, 1, (2, 3, 2), (1, 2, 2), (2, 1, 1), ((1, 0), (1, 1), (-1, 1))),
}  # fmt: skip


def convolution(name: str, rng: np.random.Generator, integer: bool = False) -> Convolution:
    shape, into, out, groups, kernel, stride, dilation, padding = CONVOLUTIONS[name]
    draw = (lambda *n: rng.integers(-4, 5, n).astype(float)) if integer else rng.normal
    weight = draw(out, into // groups, *kernel) if integer else draw(size=(out, into // groups,
                                                                          *kernel))  # fmt: skip
    bias = draw(out) if integer else draw(size=out)
    return Convolution(weight, bias, shape, stride, padding, dilation, groups)


def torch_convolution(step: Convolution, x: np.ndarray) -> np.ndarray:
    """torch's own, in float64; (N, n_inputs) to (N, n_outputs), with the bias."""
    shape = (len(x), step.n_channels, *step.shape)
    # torch pads the last axis first.
    around = [n for pair in reversed(step.padding) for n in pair]
    padded = torch.nn.functional.pad(torch.tensor(x).reshape(shape), around)
    conv = getattr(torch.nn.functional, f"conv{len(step.shape)}d")
    made = conv(
        padded, torch.tensor(step.weight), torch.tensor(step.bias), stride=step.stride,
        dilation=step.dilation, groups=step.groups,
    )  # fmt: skip
    return made.reshape(len(x), -1).numpy()


def a_gather() -> Gather:
    return Gather(np.array([3, -1, 0, 3, 1, -1]), 4, fill=np.array([0, 2.5, 0, 0, 0, 0]))


AFFINE_STEPS: dict[str, Callable[[], AffineStep]] = {
    "affine": lambda: Affine(RNG.normal(size=(3, 4)), RNG.normal(size=3)),
    "affine with zeros": lambda: Affine(np.array([[0.0, 2, 0], [0, 0, 0]]), np.zeros(2)),
    "affine of nothing": lambda: Affine(np.zeros((2, 0)), np.array([1.0, -2])),
    "affine to nothing": lambda: Affine(np.zeros((0, 3)), np.zeros(0)),
    "scale": lambda: Scale(np.array([2.0, -0.5, 0]), np.array([1.0, 0, 3])),
    "gather": a_gather,
    "gather of a permutation": lambda: Gather(np.array([2, 0, 1]), 3),
    "gather of nothing": lambda: Gather(np.array([-1, -1]), 3, fill=np.array([1.0, 2])),
    "sum": lambda: Sum(np.array([1.0, -1, 0, 0.3]), 3),
    "sum of one": lambda: Sum(np.array([-2.0]), 2),
    **{f"conv: {k}": lambda k=k: convolution(k, RNG) for k in CONVOLUTIONS},
}

steps = pytest.mark.parametrize("name", AFFINE_STEPS)


def assert_near(found: np.ndarray, expected: np.ndarray, size: np.ndarray, n: int) -> None:
    """Equal up to n roundings of terms whose absolute values add up to `size`."""
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= 4 * (n + 2) * 2.0**-53 * size + 1e-300).all()


# -- affine steps ------------------------------------------------------------------------------


@steps
@pytest.mark.parametrize("batch", [(), (1,), (5,), (0,), (2, 3), (2, 0, 3)])
def test_products_are_those_of_the_dense_matrix(name: str, batch: tuple[int, ...]) -> None:
    step = AFFINE_STEPS[name]()
    weight, bias = matrix_of(step)
    assert weight.shape == (step.n_outputs, step.n_inputs)
    assert step.constant.tolist() == bias.tolist()
    x, g = RNG.normal(size=(*batch, step.n_inputs)), RNG.normal(size=(*batch, step.n_outputs))
    n = step.n_inputs + step.n_outputs
    size, back = np.abs(weight), np.abs(g) @ np.abs(weight)
    forward = np.abs(x) @ size.T
    assert_near(step.apply(x), x @ weight.T, forward, n)
    assert_near(step(x), x @ weight.T + bias, forward + np.abs(bias), n)
    assert_near(step.magnitude(np.abs(x)), forward, forward, n)
    assert_near(step.adjoint(g), g @ weight, back, n)
    assert_near(step.adjoint_magnitude(np.abs(g)), back, back, n)
    for sign in (1, -1):
        part = np.maximum(sign * weight, 0.0)
        assert_near(step.part(np.abs(x), sign), np.abs(x) @ part.T, forward, n)


@steps
def test_each_item_of_a_batch_is_as_it_is_alone(name: str) -> None:
    # The engine relies on it: its results do not depend on how faces are put into blocks.
    step = AFFINE_STEPS[name]()
    x = RNG.normal(size=(40, 3, step.n_inputs))
    for method in (step.apply, step.magnitude):
        whole = method(x)
        for piece in (slice(0, 1), slice(3, 4), slice(5, 22)):
            assert method(x[piece]).tobytes() == whole[piece].tobytes()


@steps
def test_inputs_are_not_changed(name: str) -> None:
    step = AFFINE_STEPS[name]()
    x, g = RNG.normal(size=(2, step.n_inputs)), RNG.normal(size=(2, step.n_outputs))
    kept = x.copy(), g.copy()
    for made in (step.apply(x), step.magnitude(x), step.part(x, 1), step(x)):
        made += 1.0
    for made in (step.adjoint(g), step.adjoint_magnitude(g)):
        made += 1.0
    assert np.array_equal(x, kept[0])
    assert np.array_equal(g, kept[1])


@steps
def test_rows_are_those_of_the_dense_matrix(name: str) -> None:
    step = AFFINE_STEPS[name]()
    weight, _ = matrix_of(step)
    everything = np.arange(step.n_outputs)
    chosen = RNG.permutation(everything)[: (step.n_outputs + 1) // 2]
    for outputs in (everything, chosen, everything[:0], np.repeat(everything[:1], 2)):
        rows = step.rows(outputs)
        assert rows.offsets[0] == 0
        assert rows.offsets[-1] == len(rows.columns) == len(rows.values)
        assert len(rows.offsets) == len(outputs) + 1
        assert (rows.values != 0).all()
        dense = np.zeros((len(outputs), step.n_inputs))
        for r in range(len(outputs)):
            entries = slice(rows.offsets[r], rows.offsets[r + 1])
            np.add.at(dense[r], rows.columns[entries], rows.values[entries])
        assert np.array_equal(dense, weight[outputs])


@steps
def test_entries_and_magnitudes_say_what_the_matrix_is_made_of(name: str) -> None:
    step = AFFINE_STEPS[name]()
    weight, bias = matrix_of(step)
    assert set(weight.ravel().tolist()) <= {0.0, *step.entries.ravel().tolist()}
    assert (step.constant_magnitude >= np.abs(bias)).all()


def exact_products(step: AffineStep, x: np.ndarray) -> tuple[list[Fraction], list[Fraction]]:
    """The exact values of a step at x, and the sums of the absolute values of their terms."""
    weight, bias = matrix_of(step)
    values, sizes = [], []
    for row, c in zip(weight.tolist(), bias.tolist(), strict=True):
        terms = [Fraction(w) * Fraction(v) for w, v in zip(row, x.tolist(), strict=True)]
        terms.append(Fraction(c))
        values.append(sum(terms, Fraction(0)))
        sizes.append(sum(map(abs, terms), Fraction(0)))
    return values, sizes


@steps
def test_values_are_off_by_no_more_than_the_stated_roundings(name: str) -> None:
    step = AFFINE_STEPS[name]()
    n = step.n_roundings
    gamma = Fraction(n, 2**53 - n)
    for scale in (1.0, 1e8):
        x = RNG.normal(size=step.n_inputs) * scale ** RNG.uniform(-1, 1, step.n_inputs)
        for v, exact, size in zip(step(x), *exact_products(step, x), strict=True):
            assert abs(Fraction(v) - exact) <= gamma * size


def test_stated_roundings_are_needed_where_sums_go_the_worst_way() -> None:
    # A term that is added first goes through all additions; each loses half a unit here.
    for step in (
        Affine(np.ones((1, 9)), np.zeros(1)),
        Sum(np.ones(9), 1),
        Convolution(np.ones((1, 3, 3)), np.zeros(1), (3,), (1,), ((0, 0),), (1,)),
    ):
        assert step.n_roundings >= 9


# -- convolutions ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [k for k, case in CONVOLUTIONS.items() if case[0]])
def test_convolutions_are_those_of_torch(name: str) -> None:
    step = convolution(name, np.random.default_rng(1))
    x = RNG.normal(size=(4, step.n_inputs))
    size = step.magnitude(np.abs(x)) + np.abs(step.constant)
    assert_near(step(x), torch_convolution(step, x), size, step.n_roundings)
    with torch.enable_grad():
        flat = torch.tensor(x, requires_grad=True)
        shape = (4, step.n_channels, *step.shape)
        around = [n for pair in reversed(step.padding) for n in pair]
        made = getattr(torch.nn.functional, f"conv{len(step.shape)}d")(
            torch.nn.functional.pad(flat.reshape(shape), around), torch.tensor(step.weight),
            stride=step.stride, dilation=step.dilation, groups=step.groups,
        )  # fmt: skip
        assert tuple(made.shape[2:]) == step.out_shape
        g = RNG.normal(size=(4, step.n_outputs))
        made.reshape(4, -1).backward(torch.tensor(g))
    back = step.adjoint_magnitude(np.abs(g))
    assert_near(step.adjoint(g), flat.grad.numpy(), back, step.n_outputs)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_of_integers_are_exact(name: str) -> None:
    # By the definition, position by position, in integers.
    step = convolution(name, np.random.default_rng(2), integer=True)
    x = np.random.default_rng(3).integers(-9, 10, (step.n_channels, *step.shape))
    out, per_group = len(step.weight), len(step.weight) // step.groups
    expected = np.zeros((out, *step.out_shape), dtype=object)
    for channel, *at in product(range(out), *map(range, step.out_shape)):
        total = int(step.bias[channel])
        for c, *tap in product(*map(range, step.weight.shape[1:])):
            source = channel // per_group * step.weight.shape[1] + c
            where = [
                i * s + k * d - before
                for i, s, k, d, (before, _) in zip(
                    at, step.stride, tap, step.dilation, step.padding, strict=True
                )
            ]
            if all(0 <= i < n for i, n in zip(where, step.shape, strict=True)):
                total += int(step.weight[(channel, c, *tap)]) * int(x[(source, *where)])
        expected[(channel, *at)] = total
    assert step(x.ravel().astype(float)).tolist() == expected.ravel().tolist()


def test_convolutions_of_an_empty_axis_are_their_bias() -> None:
    step = Convolution(np.ones((2, 1, 2)), np.array([1.0, -3.0]), (0,), (1,), ((2, 1),), (1,))
    assert step.n_inputs == 0
    assert step(np.zeros((3, 0))).tolist() == [[1, 1, -3, -3]] * 3
    assert step.adjoint(np.ones((3, 4))).shape == (3, 0)


def test_convolutions_are_not_unrolled() -> None:
    # As a matrix it would take 8 terabytes.
    step = Convolution(np.ones((1, 1, 3)), np.zeros(1), (10**6,), (1,), ((1, 1),), (1,))
    assert step(np.ones(10**6))[:3].tolist() == [2, 3, 3]
    rows = step.rows(np.array([0, 999_999]))
    assert rows.columns.tolist() == [0, 1, 999_998, 999_999]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.zeros((2, 3))}, r"needs a weight \(out, in, \*kernel\)"),
        ({"bias": np.zeros(3)}, "needs a weight .* and a bias"),
        ({"weight": np.full((2, 1, 3), np.nan)}, "the weight of .* NaN"),
        ({"bias": np.array([np.inf, 0])}, "the bias of .* infinite"),
        ({"stride": (1, 1)}, "a stride, padding and dilation for each axis"),
        ({"padding": ()}, "for each axis"),
        ({"dilation": ()}, "for each axis"),
        ({"stride": (0,)}, "below 1"),
        ({"dilation": (0,)}, "below 1"),
        ({"groups": 0}, "below 1"),
        ({"groups": 3}, "cannot cut 2 outputs into 3 runs"),
        ({"weight": np.zeros((2, 0, 3))}, "cannot cut"),
        ({"shape": (2,)}, "does not fit"),
        ({"padding": ((-2, -1),)}, "does not fit"),
        ({"dilation": (3,)}, "does not fit"),
    ],
)
def test_bad_convolutions_are_refused(changes: dict, message: str) -> None:
    good = {
        "weight": np.zeros((2, 1, 3)), "bias": np.zeros(2), "shape": (5,), "stride": (1,),
        "padding": ((0, 0),), "dilation": (1,), "groups": 1, "name": "conv 1",
    }  # fmt: skip
    assert Convolution(**good).n_outputs == 6
    with pytest.raises(ValueError, match=message) as caught:
        Convolution(**(good | changes))
    assert "conv 1" in str(caught.value)


# -- other steps that may be refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Gather(np.array([0, 3]), 3, "pick"), ValueError, "pick points outside its 3"),
        (lambda: Gather(np.array([0, -2]), 3, "pick"), ValueError, "pick points outside"),
        (lambda: Gather(np.array([[0]]), 3, "pick"), ValueError, "pick must be"),
        (lambda: Gather(np.array([0.0]), 3, "pick"), TypeError, "pick must be of integers"),
        (lambda: Gather(np.array([True]), 3, "pick"), TypeError, "pick must be of integers"),
        (lambda: Gather(np.array([0]), 3, "pick", np.ones(1)), ValueError, "the fill of pick"),
        (lambda: Gather(np.array([-1]), 3, "pick", np.ones(2)), ValueError, "the fill of pick"),
        (lambda: Gather(np.array([-1]), 3, "pick", np.full(1, np.nan)), ValueError, "NaN"),
        (lambda: Sum(np.zeros(0), 3, "plus"), ValueError, "plus needs one coefficient"),
        (lambda: Sum(np.ones((1, 2)), 3, "plus"), ValueError, "plus needs one coefficient"),
        (lambda: Sum(np.array([np.inf]), 3, "plus"), ValueError, "coefficients of plus"),
        (lambda: Scale(np.ones((1, 2)), np.ones((1, 2)), "norm"), ValueError, "norm must both"),
        (lambda: Scale(np.ones(2), np.ones(3), "norm"), ValueError, "norm must both"),
        (lambda: Scale(np.ones(1), np.ones(1), "norm", np.array([np.nan])), ValueError, "norm"),
        (lambda: Affine(np.ones(2), np.ones(2), "dense"), ValueError, "dense must be"),
        (lambda: Affine(np.ones((2, 2)), np.ones(3), "dense"), ValueError, "bias of dense"),
        (lambda: Maximum(np.array([[0, 3]]), 3, "most"), ValueError, "most points outside"),
        (lambda: Maximum(np.array([0, 1]), 3, "most"), ValueError, "members of most"),
        (lambda: Maximum(np.zeros((2, 0), int), 3, "most"), ValueError, "members of most"),
        (lambda: Maximum(np.array([[-1, -1]]), 3, "most"), ValueError, "most has no member"),
        (lambda: Maximum(np.array([[-1, 1]]), 3, "most"), ValueError, "-1 before others"),
        (lambda: Maximum(np.array([[0, -1, 1]]), 3, "most"), ValueError, "-1 before others"),
        (lambda: Maximum(np.array([[1, 0, 1]]), 3, "most"), ValueError, "one twice"),
        (lambda: Maximum(np.array([[0.0]]), 3, "most"), TypeError, "most must be of integers"),
        (lambda: Maximum(np.arange(257)[None], 300, "most"), ValueError, "257 values"),
    ],
)
def test_bad_steps_are_refused(make: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_numbers_that_would_be_rounded_are_refused() -> None:
    with pytest.raises(ValueError, match="no float64 equals"):
        exact_float64([2**53 + 1], "the weight")
    with pytest.raises(ValueError, match="the coefficients of sum"):
        Sum(np.array([2**53 + 1]), 1)
    with pytest.raises(TypeError, match="real numbers"):
        Affine(np.array([["a"]]), np.zeros(1))


# -- maxima ------------------------------------------------------------------------------------


def test_the_first_of_equal_members_counts() -> None:
    step = Maximum(np.array([[0, 1, 2], [2, 0, -1], [1, -1, -1]]), 3)
    z = np.array([[1.0, 1, 1], [0, 5, 5], [-0.0, 0.0, -1], [-7, -8, -9]])
    assert step(z).tolist() == [[1, 1, 1], [5, 5, 5], [0, 0, 0], [-7, -7, -8]]
    assert step.piece(z).tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert step.piece(z).dtype == np.uint8
    assert step.chosen(step.piece(z)).tolist() == [[0, 2, 1], [1, 2, 1], [0, 0, 1], [0, 0, 1]]
    inf = np.inf
    assert step.margin(z).tolist() == [[0, 0, inf], [0, 5, inf], [0, 1, inf], [1, 2, inf]]


def test_maxima_of_random_values_are_pythons_own() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        n, width = int(rng.integers(1, 6)), int(rng.integers(1, 7))
        members = np.full((n, width), -1)
        for row in members:
            k = int(rng.integers(1, width + 1))
            row[:k] = rng.permutation(width)[:k]
        step = Maximum(members, width)
        z = rng.integers(-2, 3, (2, 3, width)).astype(float)
        for at in np.ndindex(2, 3):
            for h, row in enumerate(members.tolist()):
                values = [z[at][m] for m in row if m >= 0]
                ordered = sorted(values, reverse=True)
                margin = ordered[0] - ordered[1] if len(values) > 1 else np.inf
                assert step(z)[at][h] == max(values)
                assert step.piece(z)[at][h] == values.index(max(values))
                assert step.margin(z)[at][h] == margin


def test_maxima_with_one_member_and_with_256() -> None:
    one = Maximum(np.array([[2], [0]]), 3)
    assert one(np.array([1.0, 2, 3])).tolist() == [3, 1]
    assert one.margin(np.zeros((4, 3))).tolist() == [[np.inf] * 2] * 4
    many = Maximum(np.arange(256)[None, ::-1], 256)
    assert many.piece(-np.arange(256.0)).tolist() == [255]


# -- copies ------------------------------------------------------------------------------------


def shared_rows() -> Activation:
    """Rows held once, with a breakpoint at which nothing changes and one that is none."""
    rows = ([0.0, 1.0, np.inf], [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0])
    return Activation(*(np.broadcast_to(row, (4, len(row))) for row in rows))


EVERY_STEP: dict[str, Callable[[], Step]] = AFFINE_STEPS | {
    "relu": lambda: relu(3, "one"),
    "relu of nothing": lambda: relu(0),
    "leaky": lambda: leaky_relu(2, 0.1),
    "clamp": lambda: clamp(2, -1, 1),
    "abs": lambda: absolute(1),
    "identity": lambda: piecewise_linear(2, [], [2.0], [1.0]),
    "prelu": lambda: prelu(np.array([0.0, 1, -1])),
    "shared rows": shared_rows,
    "max": lambda: Maximum(np.array([[0, 1], [2, -1]]), 3, "most"),
}


@pytest.mark.parametrize("name", EVERY_STEP)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda s: pickle.loads(
    pickle.dumps(s))], ids=["copy", "deepcopy", "pickle"])  # fmt: skip
def test_copies_of_steps_are_the_same(name: str, duplicate: Callable) -> None:
    step = EVERY_STEP[name]()
    other = duplicate(step)
    assert type(other) is type(step)
    for field in type(step).__dataclass_fields__:
        mine, theirs = getattr(step, field), getattr(other, field)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)
            assert not theirs.flags.writeable
        else:
            assert mine == theirs


@pytest.mark.parametrize("name", EVERY_STEP)
def test_steps_keep_their_own_copies(name: str) -> None:
    step = EVERY_STEP[name]()
    for field in type(step).__dataclass_fields__:
        value = getattr(step, field)
        assert not isinstance(value, np.ndarray) or not value.flags.writeable, field


def test_steps_do_not_follow_the_arrays_that_they_were_made_of() -> None:
    weight, index, members = np.ones((1, 2)), np.array([0, 1]), np.array([[0, 1]])
    made = Affine(weight, np.zeros(1)), Gather(index, 2), Maximum(members, 2)
    weight[:], index[:], members[:] = 7, 1, [[1, 0]]
    x = np.array([3.0, 4.0])
    assert [step(x).tolist() for step in made] == [[7], [3, 4], [4]]
    assert made[2].piece(x).tolist() == [1]


def test_copies_of_networks_are_the_same() -> None:
    network = Network(
        (relu(2), Sum(np.array([1.0, 2.0]), 2)), 2, ("a note",), sources=((0,), (0, 1))
    )
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert (other.n_inputs, other.notes, other.sources) == (2, ("a note",), ((0,), (0, 1)))
        assert other([[-1.0, 2.0]]).tolist() == network([[-1.0, 2.0]]).tolist() == [[-1, 6]]


# -- networks ----------------------------------------------------------------------------------


def test_a_network_is_a_chain_unless_told() -> None:
    network = stack(random_layers((3, 4, 2), 0))
    assert network.sources == ((0,), (1,), (2,))
    assert network.is_chain
    assert Network(network.steps, 3, sources=((0,), (1,), (2,))).is_chain
    assert Network((), 2).is_chain
    twice = Network((Affine(np.ones((1, 4)), np.zeros(1)),), 2, sources=((0, 0),))
    assert not twice.is_chain
    assert twice([[1.0, 2.0]]).tolist() == [[6]]
    skipped = Network((relu(2), Sum(np.ones(2), 2)), 2, sources=((0,), (0, 1)))
    assert not skipped.is_chain


@pytest.mark.parametrize(
    ("made", "sources", "message"),
    [
        ((relu(2),), (), "1 steps but 0 lists"),
        ((relu(2),), ((0,), (0,)), "1 steps but 2 lists"),
        ((relu(2),), ((),), "step 0, which cannot take values"),
        ((relu(2),), ((1,),), "step 0, which cannot take values"),
        ((relu(2),), ((-1,),), "cannot take values"),
        ((relu(2), relu(2)), ((0,), (2,)), "step 1, which cannot take values"),
        ((relu(2), relu(2)), ((0,), (0,)), "step 0, but no step takes"),
        ((relu(2), relu(2)), ((0,), (0, 1)), "takes 2 values, .* gives 4"),
        ((relu(3),), ((0,),), "takes 3 values, .* gives 2"),
        ((relu(3),), None, "takes 3 values, .* gives 2"),
        ((Affine(np.zeros((0, 2)), np.zeros(0), "last"),), None, "last has no outputs"),
    ],
)
def test_bad_networks_are_refused(made: tuple, sources: tuple | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network(made, 2, sources=sources)


def test_the_input_need_not_be_taken() -> None:
    network = Network((Gather(np.array([-1]), 2, fill=np.array([3.0])),), 2)
    assert network([[0.0, 1.0]]).tolist() == [[3.0]]


def residual() -> Network:
    """Two residual blocks, an input that goes all the way, and a maximum over three values."""
    rng = np.random.default_rng(5)

    def dense(n: int, m: int) -> Affine:
        return Affine(rng.normal(size=(n, m)), rng.normal(size=n))

    made: tuple[Step, ...] = (
        dense(3, 2), relu(3), dense(3, 3), Sum(np.array([1.0, -0.5]), 3), leaky_relu(3, 0.25),
        Gather(np.array([2, 0, -1, 0]), 5, fill=np.array([0, 0, 0.5, 0])),
        Maximum(np.array([[0, 1, 2], [3, 4, -1], [5, -1, -1]]), 6), dense(2, 6),
    )  # fmt: skip
    return Network(made, 2, sources=((0,), (1,), (2,), (1, 3), (4,), (5, 0), (6, 0), (7, 5)))


def torch_value(network: Network, x: torch.Tensor) -> torch.Tensor:
    """A torch copy of a network, step by step."""
    values = [x]
    for step, sources in zip(network.steps, network.sources, strict=True):
        taken = torch.cat([values[v] for v in sources], dim=-1)
        if isinstance(step, Activation):
            piece = torch.zeros_like(taken, dtype=torch.int64)
            for t in torch.tensor(step.breakpoints).T:
                piece += taken > t
            unit = torch.arange(step.n_inputs)
            slopes, shifts = torch.tensor(step.slopes), torch.tensor(step.intercepts)
            values.append(slopes[unit, piece] * taken + shifts[unit, piece])
        elif isinstance(step, Maximum):
            rows = [[m for m in row if m >= 0] for row in step.members.tolist()]
            values.append(torch.stack([taken[..., m].max(dim=-1).values for m in rows], dim=-1))
        else:
            weight, bias = matrix_of(step)
            values.append(taken @ torch.tensor(weight).T + torch.tensor(bias))
    return values[-1]


def gradients(network: Network, x: np.ndarray) -> np.ndarray:
    """(N, M, n_inputs) by `backpropagate`, with the pieces that `propagate` came across."""
    pieces: dict[int, np.ndarray] = {}

    def advance(step: Step, z: np.ndarray) -> np.ndarray:
        if isinstance(step, Activation | Maximum):
            pieces[id(step)] = step.piece(z)
        return step(z)

    assert np.array_equal(network.propagate(x, joined, advance), network(x))

    def retreat(step: Step, g: np.ndarray) -> np.ndarray:
        if isinstance(step, AffineStep):
            return step.adjoint(g)
        piece = pieces[id(step)]
        if isinstance(step, Activation):
            return g * step.select(step.slopes, piece)[:, None, :]
        back = np.zeros((*g.shape[:2], step.n_inputs))
        for p, chosen in enumerate(step.chosen(piece)):
            for h, m in enumerate(chosen):
                back[p, :, m] += g[p, :, h]
        return back

    m = network.n_outputs
    last = np.broadcast_to(np.eye(m), (len(x), m, m))
    found = network.backpropagate(last, parted, lambda a, b: a + b, retreat)
    assert found is not None
    return found


def test_values_and_gradients_are_those_of_torch() -> None:
    network = residual()
    assert network.n_units == 9
    assert network.unit_layer.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    x = np.random.default_rng(6).normal(size=(50, 2))
    with torch.enable_grad():
        copied = torch.tensor(x, requires_grad=True)
        values = torch_value(network, copied)
        expected = [torch.autograd.grad(v.sum(), copied, retain_graph=True)[0] for v in values.T]
    assert np.allclose(network(x), values.detach().numpy(), rtol=1e-12, atol=1e-12)
    assert np.allclose(gradients(network, x), torch.stack(expected, 1), rtol=1e-12, atol=1e-12)


def test_values_are_the_exact_ones_rounded() -> None:
    network = residual()
    for x, y in np.random.default_rng(7).normal(size=(20, 2)).tolist():
        exact = evaluate(network, (Fraction(x), Fraction(y)))
        found = network([[x, y]])[0]
        assert np.allclose(found, [float(v) for v in exact], rtol=1e-12, atol=1e-12)


def test_nothing_goes_back_to_an_input_that_is_not_taken() -> None:
    network = Network((Gather(np.array([-1]), 2, fill=np.array([3.0])),), 2)
    unused = Network(
        (Gather(np.array([-1]), 2, fill=np.array([3.0])), relu(1)), 2, sources=((0,), (1,))
    )
    for net in (network, unused):
        x = np.zeros((1, 2))
        assert gradients(net, x).tolist() == [[[0, 0]]]


def test_values_are_forgotten_after_their_last_use() -> None:
    class Held:
        alive = 0
        most = 0

        def __init__(self) -> None:
            Held.alive += 1
            Held.most = max(Held.most, Held.alive)

        def __del__(self) -> None:
            Held.alive -= 1

    network = stack(random_layers((2, *[3] * 20, 1), 0))
    network.propagate(Held(), lambda taken: taken[0], lambda step, held: Held())
    assert Held.most <= 3


def test_behind_puts_one_more_step_in_front() -> None:
    network = residual()
    first = Affine(np.random.default_rng(8).normal(size=(2, 4)), np.array([0.5, -1.0]), "slice")
    longer = network.behind(first)
    assert longer.n_inputs == 4
    assert longer.steps == (first, *network.steps)
    assert longer.sources == ((0,), (1,), (2,), (3,), (2, 4), (5,), (6, 1), (7, 1), (8, 6))
    x = np.random.default_rng(9).normal(size=(10, 4))
    assert np.array_equal(longer(x), network(first(x)))
    with pytest.raises(ValueError, match="slice gives 2 values, but the network takes 3"):
        stack(random_layers((3, 1), 0)).behind(first)


def test_parts_put_together_are_the_whole() -> None:
    whole = RNG.normal(size=(2, 3, 7))
    widths: Sequence[int] = [3, 0, 4]
    parts = parted(whole, widths)
    assert [p.shape[-1] for p in parts] == widths
    assert np.array_equal(joined(parts), whole)
