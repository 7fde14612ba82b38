"""Lists of arrays that are no network: the message names the layer and what is wrong."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

import polyregions as pr
from polyregions.network import (
    Activation,
    Affine,
    Network,
    Scale,
    clamp,
    leaky_relu,
    piecewise_linear,
    prelu,
    relu,
)

FIRST = ([[1, 0], [0, 1]], [0, 0])
LAST = ([[1, 1]], [0])


@pytest.mark.parametrize("call", [pr.partition, pr.lower])
@pytest.mark.parametrize(
    ("layers", "messages"),
    [
        ([], ["at least one"]),
        ([([[1, np.nan], [0, 1]], [0, 0]), LAST], ["layer 0", "weight", "NaN"]),
        ([([[1, 0], [0, -np.inf]], [0, 0]), LAST], ["layer 0", "weight", "infinite"]),
        ([FIRST, ([[1, 1]], [np.inf])], ["layer 1", "bias", "infinite"]),
        ([FIRST, ([[1, 1, 1]], [0])], ["do not chain", "layer 1", "3", "2"]),
        ([FIRST, LAST, ([[1, 1]], [0])], ["do not chain", "layer 2", "2", "1"]),
        ([([1, 2], [0, 0]), LAST], ["layer 0", "(out, in)", "(2,)"]),
        ([(np.ones((2, 2, 2)), [0, 0]), LAST], ["layer 0", "(out, in)", "(2, 2, 2)"]),
        ([(3.0, None)], ["layer 0", "(out, in)", "()"]),
        ([FIRST, ([[1, 1]], [0, 0])], ["layer 1", "bias", "(1,)", "(2,)"]),
        ([([[1, 0], [0, 1]], [[0], [0]]), LAST], ["layer 0", "bias", "(2, 1)"]),
        ([([[2**53 + 1, 0]], [0])], ["layer 0", "no float64"]),
        ([(np.array([[1, 2]], np.longdouble) / 3, [0])], ["layer 0", "no float64"]),
        ([([[1, 2], [3]], [0, 0]), LAST], ["layer 0"]),
    ],
)
def test_bad_values(call: object, layers: list, messages: list[str]) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 (every part of it is checked below)
        call(layers)
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize("call", [pr.partition, pr.lower])
@pytest.mark.parametrize(
    ("layers", "messages"),
    [
        (None, ["model must be", "NoneType"]),
        (3, ["model must be", "int"]),
        ("weights.npz", ["model must be", "str"]),
        (b"abc", ["model must be", "bytes"]),
        (np.ones((2, 2)), ["model must be", "ndarray"]),
        ({"weight": 1}, ["model must be", "dict"]),
        (lambda x: x, ["model must be", "function"]),
        ([np.ones((2, 2)), np.ones(2)], ["layer 0", "pair", "ndarray"]),
        ([FIRST, [[1, 2], [3, 4], [5, 6]]], ["layer 1", "pair"]),
        ([FIRST, None], ["layer 1", "pair", "NoneType"]),
        ([FIRST, ([[1, 1]],)], ["layer 1", "pair"]),
        ([([[1, 2j]], [0])], ["layer 0", "real numbers", "complex"]),
        ([([["1", "2"]], [0])], ["layer 0", "real numbers"]),
        ([([[1, Fraction(1, 3)]], [0])], ["layer 0", "real numbers", "object"]),
        ([FIRST, ([[1, 1]], ["x"])], ["layer 1", "bias", "real numbers"]),
    ],
)
def test_bad_types(call: object, layers: object, messages: list[str]) -> None:
    with pytest.raises(TypeError) as error:
        call(layers)
    for message in messages:
        assert message in str(error.value)


@pytest.mark.parametrize("n_inputs", [1, 3, 784])
def test_wrong_number_of_inputs(n_inputs: int) -> None:
    layers = [(np.ones((2, n_inputs)), [0, 0]), LAST]
    assert pr.lower(layers).n_inputs == n_inputs  # lowering takes any
    with pytest.raises(ValueError, match="slice") as error:
        pr.partition(layers)
    assert f"{n_inputs} input" in str(error.value)


def test_unknown_engine() -> None:
    with pytest.raises(ValueError, match=r"engine must be one of .*, got 'fast'"):
        pr.partition([FIRST, LAST], engine="fast")


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_one(limit: int) -> None:
    with pytest.raises(ValueError, match="max_regions must be at least 1"):
        pr.partition([FIRST, LAST], max_regions=limit)


def test_options_are_keywords() -> None:
    with pytest.raises(TypeError):
        pr.partition([FIRST, LAST], (-1, 1), "rational")


def test_nothing_is_computed_before_the_arguments_are_checked() -> None:
    """A bad domain is reported even where the network would take for ever."""
    wide = [(np.random.default_rng(0).normal(size=(3000, 2)), np.zeros(3000))]
    with pytest.raises(ValueError, match="reversed"):
        pr.partition(wide, (1, -1))


def test_numbers_are_read_exactly() -> None:
    """float16, float32, integers, booleans and no bias are all taken as they are."""
    for dtype in (np.float16, np.float32, np.float64, np.longdouble, np.int8, np.uint64, np.bool_):
        weight = np.array([[1, 0], [1, 1]], dtype=dtype)
        network = pr.lower([(weight, None), (np.ones((1, 2), dtype=dtype), np.zeros(1))])
        assert network.steps[0].weight.tolist() == [[1, 0], [1, 1]]
        assert network.steps[0].bias.tolist() == [0, 0]
        assert len(pr.partition(network)) == 4
    third = np.float32(1 / 3)
    network = pr.lower([([[third, 0]], np.array([third], dtype=np.float32))])
    assert Fraction(network.steps[0].weight[0, 0]) == Fraction(float(third))


def test_lists_and_tuples_and_layouts() -> None:
    weight = np.array([[1.0, 2.0], [3.0, -1.0]])
    plain = pr.lower([(weight, [0, 1]), LAST])
    for other in (
        ((weight.tolist(), (0, 1)), LAST),
        [[np.asfortranarray(weight), np.array([0, 1])], list(LAST)],
        ((np.repeat(weight, 2, axis=1)[:, ::2], np.array([0, 5, 1])[::2]), LAST),
    ):
        network = pr.lower(other)
        for a, b in zip(network.steps[::2], plain.steps[::2], strict=True):
            assert a.weight.tolist() == b.weight.tolist()
            assert a.bias.tolist() == b.bias.tolist()
            assert a.weight.flags.c_contiguous
            assert not a.weight.flags.writeable


# --- networks put together by hand ----------------------------------------------------------------


def test_steps_that_do_not_chain() -> None:
    with pytest.raises(ValueError, match="do not chain"):
        Network((Affine(np.eye(2), [0, 0]), relu(3)), 2)
    with pytest.raises(ValueError, match="do not chain"):
        Network((Affine(np.eye(2), [0, 0]), Scale([1.0], [0.0])), 2)
    with pytest.raises(ValueError, match="do not chain"):
        Network((relu(3),), 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: clamp(2, np.nan, 1), "bounds"),
        (lambda: clamp(2, 0, np.nan), "bounds"),
        (lambda: clamp(2, np.inf, 1), "bounds"),
        (lambda: clamp(2, 0, -np.inf), "bounds"),
        (lambda: leaky_relu(2, np.nan), "NaN or infinite"),
        (lambda: leaky_relu(2, np.inf), "NaN or infinite"),
        (lambda: prelu([1.0, np.nan]), "NaN or infinite"),
        (lambda: Scale([1.0, np.nan], [0.0, 0.0]), "NaN or infinite"),
        (lambda: Scale([1.0], [0.0, 0.0]), "shape"),
        (
            lambda: Activation(np.zeros((1, 1)), np.ones((1, 2)), np.array([[0.0, 1.0]])),
            "not continuous",
        ),
        (
            lambda: Activation(np.array([[1.0, 0.0]]), np.ones((1, 3)), np.zeros((1, 3))),
            "increase",
        ),
        (
            lambda: Activation(np.array([[0.0, 0.0]]), np.ones((1, 3)), np.zeros((1, 3))),
            "increase",
        ),
        (lambda: Activation(np.array([[np.nan]]), np.ones((1, 2)), np.zeros((1, 2))), "increase"),
        (lambda: Activation(np.zeros((2, 1)), np.ones((2, 1)), np.zeros((2, 2))), "need slopes"),
    ],
)
def test_bad_steps(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_continuity_is_exact() -> None:
    """Slope 0.1 up to 3, then 0.3 constant: 3 * 0.1 is not 0.3, so this jumps by 3e-17."""
    with pytest.raises(ValueError, match="not continuous"):
        Activation(np.array([[3.0]]), np.array([[0.1, 0.0]]), np.array([[0.0, 0.3]]))


def test_minus_infinity_is_no_breakpoint() -> None:
    """Only +inf fills a row: a unit on piece 0 everywhere must have fewer breakpoints."""
    with pytest.raises(ValueError, match="must increase"):
        Activation([[-np.inf]], [[1.0, 1.0]], [[0.0, 0.0]])
    assert Activation([[np.inf]], [[1.0, 2.0]], [[0.0, 0.0]])(np.array([3.0])).tolist() == [3.0]


def test_networks_without_outputs() -> None:
    with pytest.raises(ValueError, match="layer 1 has no outputs"):
        pr.lower([(np.ones((2, 2)), None), (np.ones((0, 2)), None)])
    with pytest.raises(ValueError, match="the network has no outputs"):
        Network((), 0)
    # A hidden layer without units leaves a constant function.
    constant = [(np.ones((0, 2)), None), (np.ones((1, 0)), [3.0])]
    assert pr.lower(constant)([[1.0, 2.0]]).tolist() == [[3.0]]


def test_activations_keep_their_own_arrays() -> None:
    arrays = [np.array([[0.0], [1.0]]), np.array([[0.0, 1.0], [1.0, 1.0]]), np.zeros((2, 2))]
    layer = Activation(*arrays)
    for array in arrays:
        array[:] = 7.0  # still the caller's to change
    assert layer.breakpoints.tolist() == [[0.0], [1.0]]
    assert layer.slopes.tolist() == [[0.0, 1.0], [1.0, 1.0]]
    for array in (layer.breakpoints, layer.slopes, layer.intercepts):
        assert not array.flags.writeable
        assert array.dtype == np.float64


def test_activations_read_numbers_exactly() -> None:
    for dtype in (int, np.float16, np.float32, np.longdouble, bool):
        layer = Activation(*(np.array(a, dtype) for a in ([[0]], [[0, 1]], [[0, 0]])))
        assert layer.slopes.dtype == np.float64
        assert layer(np.array([-1.0, 2.0])[:, None]).ravel().tolist() == [0.0, 2.0]
    assert Activation([[0]], [[0, 1]], [[0, 0]]).slopes.tolist() == [[0.0, 1.0]]
    with pytest.raises(TypeError, match="real numbers"):
        Activation([["0"]], [[0, 1]], [[0, 0]])
    with pytest.raises(ValueError, match="no float64"):
        Activation([[0]], [[2**53 + 1, 1]], [[0, 0]])
    with pytest.raises(ValueError, match="one row for each unit"):
        Activation([0], [[0, 1]], [[0, 0]])
    with pytest.raises(ValueError, match="K breakpoints need"):
        piecewise_linear(3, [0.0], [0.0, 1.0, 2.0], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"must have shape \(n,\)"):
        prelu([[0.1, 0.2]])


@pytest.mark.parametrize("again", [lambda n: pickle.loads(pickle.dumps(n)), copy.deepcopy])
def test_copies_of_networks_are_read_only(again: Callable[[Network], Network]) -> None:
    network = Network(
        (
            Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), [0.5, 0.25], "first"),
            Scale([2.0, 1.0], [1.0, 0.0], "norm", np.array([5.0, 6.0])),
            prelu([0.5, 1.0], "own"),
            relu(2, "shared"),
            clamp(2, -1, 1),
        ),
        2,
        ("rounded",),
    )
    other = again(network)
    assert (other.n_inputs, other.notes, repr(other)) == (2, ("rounded",), repr(network))
    for step, copied in zip(network.steps, other.steps, strict=True):
        assert copied.name == step.name
        for name, array in vars(step).items():
            if isinstance(array, np.ndarray):
                assert getattr(copied, name).tobytes() == array.tobytes()
                assert getattr(copied, name).strides == array.strides
                assert not getattr(copied, name).flags.writeable
    x = np.random.default_rng(0).normal(size=(20, 2))
    np.testing.assert_array_equal(other(x), network(x))


def test_a_shared_row_is_pickled_once() -> None:
    assert len(pickle.dumps(relu(100_000))) < 2000
