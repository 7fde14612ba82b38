"""ONNX models: every operator against onnxruntime, what is refused, and networks of others."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from onnx_rows import LATEST, ROWS, Row, floats, ints, made, model_of, random, row, scalar

import polyregions as pr
from polyregions import cli
from polyregions.forward import forward_of
from polyregions.io import load_model, load_network
from polyregions.lower.onnx.constants import WORK
from polyregions.lower.onnx.reading import HANDLERS
from polyregions.lower.onnx.refused import (
    BRANCHING,
    CURVED,
    JUMPING,
    MULTIPLYING,
    NORMALISING,
    RANDOM,
)
from polyregions.network import Affine, Convolution, Gather, Maximum, Network
from polyregions.rounding import FLOAT64, Precision, forward_bound

onnx = pytest.importorskip("onnx", reason="ONNX models are read with the extra polyregions[onnx]")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT32 = Precision("float32", 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max))
FLOAT16 = Precision("float16", 2.0**-11, 2.0**-14, 65504.0)
PRECISIONS = {"float16": FLOAT16, "float32": FLOAT32, "float64": FLOAT64}


def run(model: Any, points: np.ndarray, *shapes: tuple[int, ...], dtype: str = "float32"):
    """(N, M) what onnxruntime gives at points, one by one, all outputs joined."""
    runtime = pytest.importorskip("onnxruntime", reason="what onnxruntime gives is the oracle")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    values = []
    for point in points.astype(dtype):
        parts = zip(session.get_inputs(), np.split(point, cuts), shapes, strict=True)
        outputs = session.run(None, {i.name: part.reshape(shape) for i, part, shape in parts})
        values.append(np.concatenate([np.ravel(y) for y in outputs]))
    return np.array(values, dtype=np.float64)


def assert_agrees(network: Network, model: Any, *shapes: tuple[int, ...], dtype: str = "float32"):
    """The network gives at random points what onnxruntime does, but for rounding."""
    n = sum(int(np.prod(shape)) for shape in shapes)
    assert network.n_inputs == n
    points = np.random.default_rng(1).normal(size=(25, n)).astype(dtype).astype(np.float64)
    expected = run(model, points, *shapes, dtype=dtype)
    bound = forward_bound(network, points, PRECISIONS[dtype]).values
    found = network(points)
    assert found.shape == expected.shape
    assert np.isfinite(bound).all()
    assert (bound <= 1e-2 * (1 + np.abs(expected).max())).all()  # else nothing is compared
    assert (np.abs(found - expected) <= bound).all()


def graph_model(
    nodes: list[Any],
    shape: list[Any],
    constants: dict[str, np.ndarray] | None = None,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> Any:
    """A model of nodes with one input x."""
    names = [node.name for node in nodes]
    for each in nodes:
        if names.count(each.name) > 1:  # onnxruntime wants names that differ, or none
            each.name = ""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return made(graph, opset)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node with operands named in one string."""
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"a {op}", **attributes)


# Operators.


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_operators_agree_with_onnxruntime(case: Row):
    shape = tuple(1 if isinstance(n, str) else int(n) for n in case.shape)
    model = model_of(case)
    assert_agrees(pr.lower(model), model, shape, dtype=case.dtype)


def test_every_operator_that_is_read_has_a_row():
    alone = {"Constant", "ConstantOfShape", "Shape", "Size", "CastLike"}
    alone |= {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not"}  # see the choices below
    last = {"Sigmoid", "Softmax", "LogSoftmax", "ArgMax", "ArgMin"}
    assert set(HANDLERS) - {case.op for case in ROWS} == alone | last


SOFT_SHRINK = [
    node("Greater", "x l", "above"), node("Less", "x m", "below"), node("Sub", "x l", "p"),
    node("Add", "x l", "q"), node("Where", "below q zero", "inner"),
    node("Where", "above p inner", "y"),
]  # fmt: skip
# As exporters write them, with the numbers of units.
CHOICES = {
    "soft shrink": (SOFT_SHRINK, 12),
    "leaky": ([node("LessOrEqual", "x zero", "c"), node("Mul", "x l", "s"),
               node("Where", "c s x", "y")], 6),
    "threshold": ([node("GreaterOrEqual", "l x", "c"), node("Not", "c", "d"),
                   node("Identity", "d", "e"), node("Where", "e x l", "y")], 6),
    "larger": ([node("Neg", "x", "n"), node("Sub", "n l", "v"), node("Greater", "x v", "c"),
                node("Where", "c x v", "y")], 6),
    "of a column": ([node("Slice", "x first second axis", "z"), node("Less", "z l", "c"),
                     node("Sub", "x z", "v"), node("Sub", "x l", "w"),
                     node("Where", "c w v", "y")], 6),
}  # fmt: skip
CHOSEN = {
    "l": floats(0.3), "m": floats(-0.3), "zero": floats(0), "first": ints(0), "second": ints(1),
    "axis": ints(1),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_continuous_choices_agree_with_onnxruntime(name):
    nodes, n_units = CHOICES[name]
    model = graph_model(nodes, [1, 6], CHOSEN)
    network = pr.lower(model)
    assert network.n_units == n_units
    assert_agrees(network, model, (1, 6))
    points = np.random.default_rng(0).normal(size=(3, 1, 6))
    part = pr.partition(model, (-2, 2), slice=pr.Slice(*points))
    assert len(part) > 1
    assert pr.verify(part, model, resolution=20).ok


@pytest.mark.parametrize(
    ("nodes", "match"),
    [
        ([node("Greater", "x l", "c"), node("Where", "c x zero", "y")], "jumps at 0.3"),
        ([node("Greater", "x l", "c"), node("Neg", "x", "n"), node("Where", "c x n", "y")],
         r"Where 'a Where' \(node 3 of 3\) is not continuous"),
        ([node("Less", "x l", "c"), node("Cast", "c", "y", to=1)], "a comparison as a value"),
        ([node("Less", "x l", "y")], "the output 'y' uses a comparison as a value"),
        ([node("Less", "x l", "c"), node("And", "c c", "y")], "And.* a comparison as a value"),
        ([node("Not", "x", "c"), node("Where", "c x l", "y")], "no comparison"),
    ],
)  # fmt: skip
def test_choices_that_jump_are_refused(nodes, match):
    with pytest.raises(pr.UnsupportedLayerError, match=match):
        pr.lower(graph_model(nodes, [1, 6], CHOSEN))


def test_kernels_stay_kernels():
    steps = pr.lower(model_of(row("Conv", ["N", 2, 9, 9], "x", random(4, 2, 3, 3)))).steps
    assert [type(step) for step in steps] == [Convolution]
    steps = pr.lower(model_of(row("GlobalMaxPool", [1, 3, 2, 2]))).steps
    assert [type(step) for step in steps] == [Maximum]
    steps = pr.lower(model_of(row("Transpose", [1, 2, 3]))).steps
    assert [type(step) for step in steps] == [Gather]
    assert pr.lower(model_of(row("Reshape", [1, 6], "x", ints(2, 3)))).steps == ()


def test_a_product_and_a_sum_are_one_step():
    nodes = [node("MatMul", "x w", "p"), node("Add", "b p", "y")]
    weight, bias = random(2, 3), random(3)
    network = pr.lower(graph_model(nodes, ["N", 2], {"w": weight, "b": bias}))
    (step,) = network.steps
    assert isinstance(step, Affine)
    np.testing.assert_array_equal(step.weight, weight.T.astype(np.float64))
    np.testing.assert_array_equal(step.bias, bias.astype(np.float64))
    # Where the product itself is wanted as well, both are there.
    nodes.append(node("Concat", "p y", "z", axis=1))
    model = graph_model(nodes, ["N", 2], {"w": weight, "b": bias}, ("z",))
    assert_agrees(pr.lower(model), model, (1, 2))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_weights_are_read_exactly(dtype):
    weight = random(3, 2).astype(dtype)
    case = Row("Gemm", ["N", 2], ("x", weight), 13, {"transB": 1}, dtype=dtype)
    network = pr.lower(model_of(case))
    np.testing.assert_array_equal(network.steps[0].weight, weight.astype(np.float64))


@pytest.mark.parametrize("is_raw", [True, False])
def test_bfloat16_weights_are_read_exactly(is_raw):
    bits = np.array([0x3F81, 0xBFC0], dtype=np.uint16)  # 1 + 2**-7, -1.5
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [2, 1], bits.tobytes(), raw=True)
    if not is_raw:
        tensor.ClearField("raw_data")
        tensor.int32_data.extend(bits.tolist())
    nodes = [node("Cast", "w", "single", to=TensorProto.FLOAT), node("MatMul", "x single", "y")]
    model = graph_model(nodes, ["N", 2])
    model.graph.initializer.append(tensor)
    network = pr.lower(model)
    np.testing.assert_array_equal(network.steps[0].weight, [[1.0078125, -1.5]])


def test_what_is_rounded_is_noted():
    notes = pr.lower(model_of(row("Div", [2, 3], "x", floats(4, 3, 2)))).notes
    assert len(notes) == 1
    assert "reciprocal of the divisor" in notes[0]
    assert "Div 'it' (node 1 of 1)" in notes[0]
    assert pr.lower(model_of(row("Div", [2, 3], "x", floats(4, -1, 0.5)))).notes == ()
    nodes = [node("Mul", "w w", "square"), node("MatMul", "x square", "y")]
    (note,) = pr.lower(graph_model(nodes, ["N", 2], {"w": random(2, 2)})).notes
    assert "worked out of constants, in float32" in note


@pytest.mark.parametrize("op", sorted(WORK))
def test_constants_are_worked_out_as_onnxruntime_does(op):
    a, b = random(2, 3, seed=1), np.abs(random(2, 3, seed=2)) + np.float32(0.5)
    constants: dict[str, np.ndarray] = {"a": a, "b": b}
    one = {"Abs", "Ceil", "Exp", "Floor", "Neg", "Reciprocal", "Relu", "Round", "Sign"}
    attributes: dict[str, Any] = {}
    if op in one:
        inputs = "a"
    elif op in ("Log", "Sqrt"):
        inputs = "b"
    elif op in ("And", "Or", "Xor", "Not"):
        constants = {"a": a > 0, "b": b > 1}
        inputs = "a" if op == "Not" else "a b"
    elif op == "NonZero":
        constants, inputs = {"a": ints(0, 3, 0, -1)}, "a"
    elif op == "Range":
        constants = {"a": np.array(1), "b": np.array(11), "c": np.array(3)}
        inputs = "a b c"
    elif op == "MatMul":
        constants["b"] = b.T.copy()
        inputs = "a b"
    elif op == "Pow":
        constants, inputs = {"a": b, "b": scalar(3.0)}, "a b"
    elif op == "Mod":
        constants, inputs = {"a": ints(7, -7, 8), "b": ints(3, 3, -3)}, "a b"
    elif op == "Clip":
        constants |= {"low": scalar(-0.2), "high": scalar(0.3)}
        inputs = "a low high"
    elif op == "ReduceSum":
        constants["axes"] = ints(1)
        inputs, attributes = "a axes", {"keepdims": 0}
    elif op.startswith("Reduce"):
        inputs, attributes = "a", {"axes": [0]}
    else:
        inputs = "a b"
    nodes = [
        node(op, inputs, "folded", **attributes),
        node("Cast", "folded", "number", to=TensorProto.FLOAT),
        node("ReduceSum", "x", "total", keepdims=0),
        node("Mul", "total zero", "nothing"),
        node("Add", "nothing number", "y"),
    ]
    model = graph_model(nodes, [2], {**constants, "zero": scalar(0.0)})
    points = np.ones((1, 2))
    np.testing.assert_allclose(pr.lower(model)(points), run(model, points, (2,)), rtol=1e-6)


def test_integers_are_divided_towards_zero():
    nodes = [
        node("Div", "a b", "quotient"),
        node("Cast", "quotient", "number", to=TensorProto.FLOAT),
        node("Add", "x number", "y"),
    ]
    model = graph_model(nodes, [4], {"a": ints(7, -7, 7, -7), "b": ints(2, 2, -2, -2)})
    np.testing.assert_array_equal(pr.lower(model)(np.zeros((1, 4))), [[3, -3, -3, 3]])
    assert_agrees(pr.lower(model), model, (4,))


def test_shapes_are_worked_out():
    """``x.view(x.size(0), -1)`` with a free batch, as torch writes it."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Constant", "", "zero", value=numpy_helper.from_array(np.array(0))),
        node("Gather", "shape zero", "n"),
        node("Constant", "", "axis", value_ints=[0]),
        node("Unsqueeze", "n axis", "row"),
        node("Constant", "", "rest", value_int=-1),
        node("Unsqueeze", "rest axis", "rest_row"),
        node("Concat", "row rest_row", "new", axis=0),
        node("Reshape", "x new", "flat"),
        node("Constant", "", "half", value_float=0.5),
        node("Constant", "", "halves", value_floats=[0.5, 0.25, 2.0, 1.0, 1.0, 1.0]),
        node("Mul", "flat half", "scaled"),
        node("Mul", "scaled halves", "weighed"),
        node("Size", "weighed", "size"),
        node("CastLike", "size half", "float_size"),
        node("Add", "weighed float_size", "raised"),
        node("Shape", "raised", "two", start=1),
        node("ConstantOfShape", "two", "ones", value=helper.make_tensor("v", 1, [1], [1.0])),
        node("Sub", "raised ones", "y"),
    ]
    model = graph_model(nodes, ["N", 2, 3])
    assert_agrees(pr.lower(model), model, (1, 2, 3))


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, LATEST])
def test_numbers_of_another_kind(opset):
    """float64 in, float32 inside, as exporters write for a double input."""
    nodes = [
        node("Cast", "x", "single", to=TensorProto.FLOAT),
        node("Gemm", "single w b", "z"),
        node("Relu", "z", "h"),
        node("Cast", "h", "y", to=TensorProto.DOUBLE),
    ]
    constants = {"w": random(2, 5), "b": random(5)}
    model = graph_model(nodes, ["N", 2], constants, opset=opset, kind=TensorProto.DOUBLE)
    forward = forward_of(model)
    points = forward.representable(np.random.default_rng(0).normal(size=(20, 2)))
    np.testing.assert_array_equal(points, points.astype(np.float32))
    network = pr.lower(model)
    bound = forward_bound(network, points, FLOAT32).values
    assert (np.abs(network(points) - run(model, points, (1, 2), dtype="float64")) <= bound).all()


# Whole models.


def test_several_inputs_and_outputs_are_joined_in_order():
    nodes = [
        node("Gemm", "a w", "h"),
        node("Add", "h b", "sum"),
        node("Relu", "sum", "first"),
        node("Flatten", "b", "second"),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["N", 3]),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, ["N", 2]),
        ],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("first", "second")],
        [numpy_helper.from_array(random(3, 2), "w")],
    )
    model = made(graph)
    network = pr.lower(model)
    assert (network.n_inputs, network.n_outputs) == (5, 4)
    assert any(
        "inputs are joined in this order: 'a' (1, 3), 'b' (1, 2)" in n for n in network.notes
    )
    assert any("outputs are joined" in n for n in network.notes)
    assert_agrees(network, model, (1, 3), (1, 2))


def test_constants_may_be_listed_among_the_inputs():
    model = model_of(row("Gemm", ["N", 2], "x", random(2, 3), random(3)))
    for tensor in model.graph.initializer:
        value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.insert(0, value)
    assert pr.lower(model).n_inputs == 2


def test_a_constant_output():
    nodes = [node("Relu", "x", "y"), node("Identity", "c", "z")]
    model = graph_model(nodes, [2], {"c": random(3)}, ("y", "z"))
    network = pr.lower(model)
    np.testing.assert_array_equal(network([[1.0, -1.0]])[0, 2:], random(3).astype(np.float64))


def test_what_no_output_needs_may_be_anything():
    nodes = [node("Tanh", "x", "t"), node("Relu", "x", "y")]
    assert pr.lower(graph_model(nodes, [2])).n_units == 2


def test_functions_of_the_model_are_put_in_line():
    twice = helper.make_function(
        "own", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Twice", ["x"], ["y"], domain="own")],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(
        graph,
        functions=[twice],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        ir_version=10,
    )
    np.testing.assert_array_equal(pr.lower(model)([[1.5, -2.0]]), [[3.0, -4.0]])


def keras_dense(n_layers: int = 3, width: int = 6) -> Any:
    """A stack of Dense layers as tf2onnx writes one."""
    nodes, constants, last = [], {}, "x"
    for i in range(n_layers):
        name = f"sequential/dense_{i}"
        n, m = (2 if i == 0 else width), (1 if i == n_layers - 1 else width)
        constants |= {f"{name}/kernel": random(n, m, seed=i), f"{name}/bias": random(m, seed=i)}
        nodes += [
            node("MatMul", f"{last} {name}/kernel", f"{name}/MatMul:0"),
            node("Add", f"{name}/MatMul:0 {name}/bias", f"{name}/BiasAdd:0"),
        ]
        last = f"{name}/BiasAdd:0"
        if i < n_layers - 1:
            nodes.append(node("Relu", last, f"{name}/Relu:0"))
            last = f"{name}/Relu:0"
    nodes.append(node("Identity", last, "y"))
    return graph_model(nodes, ["unk__6", 2], constants)


def test_a_stack_of_dense_layers_of_keras():
    model = keras_dense()
    network = pr.lower(model)
    assert [type(step).__name__ for step in network.steps] == [
        "Affine", "Activation", "Affine", "Activation", "Affine",
    ]  # fmt: skip
    assert_agrees(network, model, (1, 2))


def test_a_picture_of_keras():
    """NHWC: transposes around the convolution and the pool, a squeeze and reshapes."""
    nodes = [
        node("Transpose", "x", "nchw", perm=[0, 3, 1, 2]),
        node("Conv", "nchw kernel bias", "conv", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Relu", "conv", "relu"),
        node("MaxPool", "relu", "pool", kernel_shape=[2, 2], strides=[2, 2]),
        node("Transpose", "pool", "nhwc", perm=[0, 2, 3, 1]),
        node("Reshape", "nhwc flat", "row"),
        node("MatMul", "row dense", "product"),
        node("Add", "product dense_bias", "sum"),
        node("Unsqueeze", "sum one", "longer"),
        node("Squeeze", "longer one", "shorter"),
        node("Softmax", "shorter", "y"),
    ]
    constants = {
        "kernel": random(3, 2, 3, 3),
        "bias": random(3),
        "flat": ints(-1, 12),
        "dense": random(12, 4),
        "dense_bias": random(4),
        "one": ints(1),
    }
    model = graph_model(nodes, ["N", 8, 7, 2], constants)
    network = pr.lower(model)
    logits = graph_model(nodes[:-1], ["N", 8, 7, 2], constants, ("shorter",))
    assert_agrees(network, logits, (1, 8, 7, 2))
    values = network(np.random.default_rng(0).normal(size=(50, 112)))
    assert len(set(values.argmax(axis=1))) > 1
    assert any("Softmax 'a Softmax' (node 11 of 11): left out" in n for n in network.notes)


def test_a_layer_on_the_last_axis_only():
    """Dense on a sequence, as Keras writes it: a product on the last of three axes."""
    nodes = [node("MatMul", "x w", "p"), node("Add", "p b", "s"), node("Relu", "s", "y")]
    model = graph_model(nodes, ["N", 4, 3], {"w": random(3, 5), "b": random(5)})
    assert_agrees(pr.lower(model), model, (1, 4, 3))


# The end of a model.


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_the_end_of_a_model_is_left_out(op, opset):
    nodes = [
        node("Gemm", "x w b", "logits"),
        node(op, "logits", "p", **({} if op == "Sigmoid" else {"axis": 1})),
        node("Identity", "p", "y"),
    ]
    constants = {"w": random(2, 3), "b": random(3)}
    model = graph_model(nodes, ["N", 2], constants, opset=opset)
    network = pr.lower(model)
    assert_agrees(network, graph_model(nodes[:1], ["N", 2], constants, ("logits",)), (1, 2))
    (note,) = network.notes
    assert note.startswith(f"{op} 'a {op}' (node 2 of 3): left out at the end of the model")
    points = np.random.default_rng(0).normal(size=(40, 2))
    given, logits = run(model, points, (1, 2)), network(points.astype(np.float32))
    if op == "Sigmoid":
        np.testing.assert_array_equal(given > 0.5, logits > 0)
    else:
        np.testing.assert_array_equal(given.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
def test_an_arg_max_at_the_end_is_left_out(op):
    nodes = [
        node("Gemm", "x w", "scores"),
        node(op, "scores", "place", axis=1, keepdims=0),
        node("Cast", "place", "y", to=TensorProto.FLOAT),
    ]
    model = graph_model(nodes, ["N", 2], {"w": random(2, 5)})
    network = pr.lower(model)
    assert network.n_outputs == 5
    points = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    chosen = getattr(network(points), op.lower())(axis=1)
    np.testing.assert_array_equal(chosen, run(model, points, (1, 2))[:, 0])
    assert len(set(chosen)) > 1


def test_an_arg_max_beside_other_outputs_is_refused():
    nodes = [node("Gemm", "x w", "y"), node("ArgMax", "y", "place", axis=1)]
    model = graph_model(nodes, ["N", 2], {"w": random(2, 5)}, ("y", "place"))
    with pytest.raises(pr.UnsupportedLayerError, match="'place' is a place, by ArgMax"):
        pr.lower(model)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_a_softmax_of_one_value_is_a_constant(op):
    model = graph_model([node("Gemm", "x w", "z"), node(op, "z", "y")], ["N", 2],
                        {"w": random(2, 1)})  # fmt: skip
    assert_agrees(pr.lower(model), model, (1, 2))


@pytest.mark.parametrize("op", ["Sigmoid", "Softmax", "LogSoftmax", "ArgMax"])
def test_the_same_before_something_else_is_refused(op):
    attributes = {"axis": 1} if op == "ArgMax" else {}
    model = graph_model([node(op, "x", "p", **attributes), node("Relu", "p", "y")], ["N", 2])
    with pytest.raises(pr.UnsupportedLayerError) as caught:
        pr.lower(model)
    message = str(caught.value)
    assert f"{op} 'a {op}' (node 1 of 2)" in message
    assert "before Relu 'a Relu' (node 2 of 2)" in message
    assert "What works instead" in message


# What is refused.


@pytest.mark.parametrize("op", sorted({*CURVED, *NORMALISING, *MULTIPLYING, *JUMPING}))
def test_what_is_not_piecewise_linear_is_refused_with_a_way_out(op):
    assert op in {schema.name for schema in onnx.defs.get_all_schemas()}
    model = graph_model([node("Relu", "x", "h"), node(op, "h c", "y")], ["N", 2], {"c": random(2)})
    with pytest.raises(pr.UnsupportedLayerError) as caught:
        pr.lower(model)
    message = str(caught.value)
    assert message.startswith(f"{op} 'a {op}' (node 2 of 2) is not")
    assert re.search("no linear regions|regions would not meet", message)
    assert "What works instead: " in message


@pytest.mark.parametrize("op", [*RANDOM, *BRANCHING, "Einsum", "NonMaxSuppression"])
def test_what_is_not_read_is_refused_by_name(op):
    with pytest.raises(pr.UnsupportedLayerError, match=rf"{op} 'a {op}' \(node 1 of 1\)"):
        pr.lower(graph_model([node(op, "x", "y")], ["N", 2]))


REFUSED = [
    (row("Mul", [2, 2], "x", "2x"), "both depend on the input"),
    (row("MatMul", [2, 2], "x", "2x"), "both depend on the input"),
    (row("Gemm", [2, 2], "x", "2x"), "both depend on the input"),
    (row("Div", [2, 2], scalar(1.0), "x"), "divides by a value that depends"),
    (row("Div", [2, 2], "x", scalar(0.0)), "divides by zero"),
    (row("Pow", [2, 2], "x", scalar(2.0)), "graph is curved unless the exponent is 1"),
    (row("ThresholdedRelu", [2, 2], alpha=0.5), r"jumps from 0 to 0.5 at 0.5.*Relu"),
    (row("Shrink", [2, 2], lambd=0.5), "it jumps at 0.5.*soft shrink"),
    (row("Cast", [2, 2], to=7), "int64 of a value that depends on the input: it jumps"),
    (row("Where", [2, 2], "x", "x", "2x"), "neither a constant nor a comparison"),
    (row("Clip", [2, 2], "x", "2x"), "lower bound from a value that depends"),
    (row("PRelu", [2, 2], "x", "2x"), "slopes from a value that depends"),
    (row("Conv", [1, 2, 4, 4], "x", "x"), "kernel from a value that depends"),
    (row("Gather", [2, 3], random(2, 3), "x"), "indices from a value that depends"),
    (row("Resize", [1, 1, 2, 2], "x", None, floats(1, 1, -1.5, 2)), "be positive"),
    (row("Resize", [1, 1, 2, 3], "x", None, floats(1, 1, 1, 7 / 3), nearest_mode="ceil",
         coordinate_transformation_mode="asymmetric"), "how the runtime rounds"),
    (row("Resize", [1, 1, 2, 2], "x", None, floats(1, 1, 2, 2), mode="linear"), "interpolates"),
    (row("Dropout", [2, 2], "x", scalar(0.5), np.array(True)), "training mode"),
    (row("Dropout", [2, 2], "x", n_outputs=2), "gives its mask"),
    (row("MaxPool", [1, 1, 4, 4], n_outputs=2, kernel_shape=[2, 2]), "gives indices"),
    (row("BatchNormalization", [2, 2], "x", *[random(2)] * 4, training_mode=1), "training mode"),
    (row("GatherND", [2, 2], "x", ints(1), batch_dims=0, opset=13) , None),
    (row("Relu", [2, 2], own=1), "attributes that are not read: own"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "match"), REFUSED, ids=lambda v: str(v)[:40])
def test_forms_that_are_refused(case: Row, match: str | None):
    if match is None:
        pr.lower(model_of(case))
        return
    with pytest.raises((pr.UnsupportedLayerError, pr.FormatError), match=match) as caught:
        pr.lower(model_of(case))
    assert f"{case.op} 'it'" in str(caught.value)


UNSOUND = [
    row("Gemm", [2, 3], "x", random(4, 5)),
    row("MatMul", [2, 3], "x", random(4, 5)),
    row("Add", [2, 3], "x", random(4)),
    row("Reshape", [2, 3], "x", ints(5, -1)),
    row("Reshape", [2, 3], "x", ints(0, 0, 0)),
    row("Reshape", [2, 3], "x", floats(6)),
    row("Transpose", [2, 3], perm=[0, 0]),
    row("Concat", [2, 3], "x", random(3, 2), axis=0),
    row("Split", [2, 5], axis=1, n_outputs=2, opset=13),
    row("Slice", [2, 3], "x", ints(0), ints(1, 2)),
    row("Gather", [2, 3], "x", ints(3), axis=1),
    row("Squeeze", [2, 3], "x", ints(0)),
    row("Flatten", [2, 3], axis=4),
    row("Conv", [1, 2, 4, 4], "x", random(3, 3, 2, 2)),
    row("Conv", [1, 2, 4, 4], "x", random(3, 2, 5, 5)),
    row("Conv", [1, 2, 4, 4], "x", random(3, 2, 2, 2), strides=[0, 1]),
    row("Conv", [1, 2, 4, 4], "x", random(3, 2, 2, 2), pads=[1]),
    row("BatchNormalization", [1, 2], "x", *[random(3)] * 4),
    row("BatchNormalization", [1, 2], "x", *[random(2)] * 3, floats(-1, -1)),
    row("MaxPool", [1, 1, 4, 4], kernel_shape=[2]),
    row("MaxPool", [1, 1, 4, 4]),
    row("Expand", [2, 3], "x", ints(4, 5)),
    row("Tile", [2, 3], "x", ints(2)),
    row("Pad", [2, 3], "x", ints(1)),
    row("Mul", [2, 3], "x", floats(np.nan)),
    row("Mul", [2, 3], "x", floats(np.inf, 1, 1)),
    row("Relu", [2, 3], None),
    row("PRelu", [2], "x", random(2, 2)),
    row("Max", [1], "x", random(2), random(3)),
    row("Where", [2], np.array([True] * 3), "x", "x"),
    row("Constant", [2], value_string="w"),
]


@pytest.mark.parametrize("case", UNSOUND, ids=str)
def test_unsound_nodes_are_named(case: Row):
    with pytest.raises((pr.FormatError, pr.UnsupportedLayerError), match=f"{case.op} 'it'"):
        pr.lower(model_of(case))


HUGE = [
    row("Expand", [2, 1], "x", ints(1 << 20, 2, 1 << 20)),
    row("Tile", [2, 2], "x", ints(1 << 20, 1 << 20)),
    row("Pad", [2, 2], "x", ints(0, 0, 1 << 20, 1 << 20)),
    row("Resize", [1, 1, 2, 2], "x", None, floats(1, 1, 1 << 20, 1 << 20)),
    row("Upsample", [1, 1, 2, 2], scales=[1.0, 1.0, 1048576.0, 1048576.0], opset=7),
    row("Add", [1 << 14, 1], "x", random(1, 1 << 14)),
    row("MatMul", [1 << 14, 1], "x", random(1, 1 << 14)),
]


@pytest.mark.parametrize("case", HUGE, ids=lambda case: case.op)
def test_sizes_that_a_file_claims_are_bounded(case: Row):
    with pytest.raises(pr.FormatError, match=f"{case.op} 'it'.*at most"):
        pr.lower(model_of(case))


@pytest.mark.parametrize("op", ["ConstantOfShape", "Range", "Mul"])
def test_sizes_of_constants_are_bounded(op):
    constants = {
        "ConstantOfShape": {"a": ints(1 << 20, 1 << 20)},
        "Range": {"a": np.array(0), "b": np.array(1 << 40), "c": np.array(1)},
        "Mul": {"a": random(1 << 14, 1), "b": random(1, 1 << 14)},
    }[op]
    nodes = [node(op, " ".join(constants), "big"), node("Add", "x big", "y")]
    with pytest.raises(pr.FormatError, match=f"{op} 'a {op}'.*at most"):
        pr.lower(graph_model(nodes, [1], constants))


def test_a_maximum_of_too_many_values():
    with pytest.raises(pr.UnsupportedLayerError, match=r"GlobalMaxPool .it. .*289 values"):
        pr.lower(model_of(row("GlobalMaxPool", [1, 1, 17, 17])))


# Files.


@pytest.fixture
def saved(tmp_path: Path):
    def save(model: Any, name: str = "net.onnx") -> Path:
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return save


def gemm() -> Any:
    return model_of(row("Gemm", ["N", 2], "x", random(2, 3), random(3)))


def test_a_file_is_a_model(saved):
    path = saved(keras_dense())
    x = [[0.25, -0.5]]
    expected = pr.lower(keras_dense())(x)
    for network in (
        pr.lower(str(path)),
        pr.lower(path),
        load_network(path),
        pr.lower(load_model(path)),
    ):
        np.testing.assert_array_equal(network(x), expected)
    assert type(load_model(path)).__name__ == "ModelProto"


@pytest.mark.parametrize("cut", [0, 1, 10, 100])
def test_damaged_files(saved, cut):
    path = saved(keras_dense())
    path.write_bytes(path.read_bytes()[:cut] if cut else b"")
    with pytest.raises(pr.FormatError, match=r"net\.onnx is no ONNX model"):
        pr.lower(path)
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(pr.FormatError, match="no ONNX model, or is damaged"):
        load_model(path)


def test_a_file_cut_or_changed_anywhere_is_read_or_refused(saved):
    data = keras_dense(2, 3).SerializeToString()
    path = saved(keras_dense(2, 3))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        changed = bytearray(data)
        for at in rng.integers(len(data), size=3):
            changed[at] = rng.integers(256)
        path.write_bytes(bytes(changed[: rng.integers(len(data) // 2, len(data) + 1)]))
        try:
            pr.lower(path)
        except pr.PolyregionsError:
            refused += 1
    assert refused > 100


def test_a_missing_file():
    with pytest.raises(FileNotFoundError):
        pr.lower("no such file.onnx")


def external(folder: Path, location: str = "weights.bin", **told: int) -> Path:
    """A model that keeps its weight, 2 x 3, in another file."""
    model = gemm()
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    facts = {"location": location, "offset": 4, "length": len(data), **told}
    for key, value in facts.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, str(value)
    (folder / "weights.bin").write_bytes(b"\0" * 4 + data)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_another_file(tmp_path):
    network = pr.lower(external(tmp_path))
    np.testing.assert_array_equal(network.steps[0].weight, random(2, 3).T.astype(np.float64))
    # A model in memory does not say where its folder is.
    with pytest.raises(pr.FormatError, match="keeps its numbers in another file"):
        pr.lower(onnx.load(external(tmp_path), load_external_data=False))


def test_weights_outside_the_folder_are_not_read(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    external(tmp_path)  # puts a file there
    absolute = str(tmp_path / "weights.bin")
    for location in ("../weights.bin", absolute, "inner/../../weights.bin", "", "absent.bin", "."):
        with pytest.raises(pr.FormatError, match="only files in the model's own folder"):
            pr.lower(external(inner, location))
    (inner / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(pr.FormatError, match="only files in the model's own folder"):
        pr.lower(external(inner, "link.bin"))


@pytest.mark.parametrize(
    "told", [{"length": 20}, {"offset": -4}, {"offset": 8}, {"length": 1 << 40}]
)
def test_weights_of_another_length_are_not_read(tmp_path, told):
    with pytest.raises(pr.FormatError, match="has 6 numbers of 4 bytes, but is said to be"):
        pr.lower(external(tmp_path, **told))


def test_tensors_that_lie_about_themselves():
    for change in (
        lambda tensor: tensor.dims.append(7),
        lambda tensor: tensor.dims.__setitem__(0, -2),
        lambda tensor: tensor.dims.__setitem__(0, 1 << 40),
        lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-4]),
        lambda tensor: setattr(tensor, "data_type", TensorProto.STRING),
        lambda tensor: setattr(tensor, "data_type", 77),
    ):
        model = gemm()
        change(model.graph.initializer[0])
        with pytest.raises(pr.FormatError, match="the constant 'c1'"):
            pr.lower(model)


def test_models_that_are_not_sound():
    model = gemm()
    model.graph.node[0].input[1] = "absent"
    with pytest.raises(pr.FormatError, match="takes 'absent', which nothing before it gives"):
        pr.lower(model)
    model = gemm()
    model.graph.node.append(model.graph.node[0])
    with pytest.raises(pr.FormatError, match="gives 'y0', which there is already"):
        pr.lower(model)
    model = gemm()
    model.graph.output[0].name = "absent"
    with pytest.raises(pr.FormatError, match="output 'absent' is given by no node"):
        pr.lower(model)
    model = gemm()
    del model.graph.input[:]
    with pytest.raises(pr.FormatError, match="no inputs"):
        pr.lower(model)
    model = gemm()
    model.graph.node[0].domain = "com.example"
    with pytest.raises(pr.UnsupportedLayerError, match=r"of the operator set 'com\.example'"):
        pr.lower(model)


@pytest.mark.parametrize("opset", [6, LATEST + 1])
def test_operator_sets_that_are_not_read(opset):
    model = gemm()
    model.opset_import[0].version = opset
    with pytest.raises(pr.FormatError, match=f"of operator set {opset}; read are 7 to {LATEST}"):
        pr.lower(model)


@pytest.mark.parametrize(
    ("shape", "kind", "match"),
    [
        (["N", "width"], TensorProto.FLOAT, "that of axis 1 must be known"),
        (["N"], TensorProto.FLOAT, "that of axis 0 must be known"),
        (None, TensorProto.FLOAT, "does not say its shape"),
        (["N", 2], TensorProto.INT64, "must be of floating-point numbers"),
        ([1, 1 << 30, 1 << 30], TensorProto.FLOAT, "claims the shape"),
    ],
)
def test_inputs_that_are_not_taken(shape, kind, match):
    model = gemm()
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, shape))
    with pytest.raises((pr.UnsupportedLayerError, pr.FormatError), match=match):
        pr.lower(model)


def test_sparse_constants_are_refused():
    model = gemm()
    tensor = model.graph.initializer.pop()
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(helper.make_tensor(tensor.name, TensorProto.FLOAT, [1], [1.0]))
    with pytest.raises(pr.UnsupportedLayerError, match="'c2' is a sparse tensor"):
        pr.lower(model)


def test_without_the_package_the_extra_is_named(monkeypatch, saved):
    path = saved(gemm())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(pr.MissingPackageError, match=r"pip install 'polyregions\[onnx\]'"):
        pr.lower(path)
    assert cli.main(["count", str(path)]) == 2


def test_nothing_of_onnx_is_imported_before_it_is_needed():
    code = (
        "import sys, polyregions as pr; pr.lower([([[1.0, 2.0]], [0.0])]); "
        "assert not {'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The model's own forward.


def small(opset: int = 17, shape: tuple[Any, ...] = ("N", 2)) -> Any:
    """Two inputs, a residual sum, a clip, a maximum and a leaky ReLU."""
    nodes = [
        node("Gemm", "x w0 b0", "z"),
        node("Relu", "z", "h"),
        node("Gemm", "h w1 b1", "u"),
        node("Add", "u h", "v"),
        node("HardSigmoid", "v", "s"),
        node("Min", "s v", "m"),
        node("LeakyRelu", "m", "l"),
        node("Gemm", "l w2 b2", "scores"),
        node("Softmax", "scores", "y", axis=1),
    ]
    constants = {
        "w0": random(2, 4), "b0": random(4), "w1": random(4, 4), "b1": random(4, seed=1),
        "w2": random(4, 3), "b2": random(3),
    }  # fmt: skip
    return graph_model(nodes, list(shape), constants, opset=opset)


@pytest.mark.parametrize("shape", [("N", 2), (1, 2)])
def test_patterns_are_those_that_the_runtime_shows(shape):
    pytest.importorskip("onnxruntime", reason="it is the runtime")
    model = small(shape=shape)
    network, forward = pr.lower(model), forward_of(model)
    points = forward.representable(np.random.default_rng(0).normal(size=(3000, 2)))
    sample, of_network = forward.sample(points), forward_of(network).sample(points)
    assert sample.precision.name == "float32"
    assert sample.jacobian is None
    assert "onnxruntime, which computes no derivatives" in sample.limitation
    bound = forward_bound(network, points, sample.precision)
    off = np.abs(sample.preactivation - of_network.preactivation)
    assert (off <= bound.preactivations).all()
    assert off.max() > 0  # float32 numbers, not those of the network
    near = np.abs(of_network.preactivation) <= bound.preactivations
    same = sample.pattern == of_network.pattern
    assert (same | near | (np.abs(of_network.preactivation - 1) <= bound.preactivations)).all()
    assert same.mean() > 0.99
    # Points one by one are what a batch gives, but for rounding.
    alone = np.concatenate([forward.values(p[None]) for p in points[:50]])
    np.testing.assert_allclose(alone, forward.values(points)[:50], rtol=1e-4, atol=1e-5)


def test_a_model_whose_points_depend_on_each_other_is_called_point_by_point():
    nodes = [
        node("ReduceMax", "x", "largest", axes=[0], keepdims=1),
        node("Sub", "x largest", "less"),
        node("Add", "less x", "y"),
    ]
    model = graph_model(nodes, ["N", 2])
    points = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    np.testing.assert_array_equal(forward_of(model).values(points), points)
    np.testing.assert_array_equal(pr.lower(model)(points), points)


def test_without_onnxruntime_the_reference_of_the_format_is_called(monkeypatch):
    model = small()
    expected = pr.lower(model)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    forward = forward_of(model)
    assert forward.runtime == "onnx.reference"
    points = forward.representable(np.random.default_rng(0).normal(size=(40, 2)))
    bound = forward_bound(expected, points, FLOAT32)
    sample = forward.sample(points)
    assert (np.abs(sample.values - expected(points)) <= bound.values).all()
    assert pr.lower(model).n_units == expected.n_units


def test_numbers_that_onnxruntime_has_no_kernel_for():
    """Convolutions of float64 are computed by the reference of the format."""
    case = row("Conv", ["N", 1, 3, 3], "x", random(2, 1, 2, 2), dtype="float64")
    model = model_of(case)
    network, forward = pr.lower(model), forward_of(model)
    points = np.random.default_rng(0).normal(size=(30, 9))
    bound = forward_bound(network, points, FLOAT64).values
    assert (np.abs(forward.values(points) - network(points)) <= bound).all()


def test_a_wrong_network_would_be_noticed(monkeypatch):
    from polyregions.lower.onnx import registry

    def wrong(call: Any) -> Any:
        return call.operand(0)

    monkeypatch.setitem(registry.HANDLERS, "Relu", wrong)
    with pytest.raises(pr.LoweringError, match="disagrees with the model in onnx"):
        pr.lower(model_of(row("Relu", [2])))


# Partitions.


def test_partitions_pass_verify():
    model = small()
    part = pr.partition(model, domain=(-2, 2))
    assert len(part) > 10
    report = pr.verify(part, model, resolution=60)
    assert report.ok, report
    assert report.precision == "float32"
    assert report.check("patterns").n > 3000
    other = small()
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(random(2, 4, seed=5), "w0"))
    assert not pr.verify(part, other, resolution=60).ok


def test_from_the_shell(saved, capsys):
    path = saved(keras_dense())
    assert cli.main(["count", str(path)]) == 0
    capsys.readouterr()
    assert cli.main(["verify", str(path), "--resolution", "40"]) == 0
    assert "float32" in capsys.readouterr().out
    assert cli.main(["count", str(path), "--activation", "abs"]) == 2
    assert "says so itself" in capsys.readouterr().err


# Networks of others.

# Shape of the input, numbers, units, and points: fewer where bounding their errors takes long.
REAL = {
    "ACASXU_run2a_1_1_nnet_f64.onnx": ((1, 5), "float64", 300, 10_000),
    "polar_TORA_ReLU_controller_f64.onnx": ((1, 4), "float64", 301, 10_000),
    "sherlock_sine_net_10_30.onnx": ((2,), "float32", 300, 10_000),
    "sherlock_sine_net_50_10.onnx": ((2,), "float32", 500, 10_000),
    "linear2-3_bn1-linear3-1.onnx": ((1, 2), "float32", 0, 10_000),
    "mnist5x20_leaky_relu.onnx": ((1, 1, 28, 28), "float32", 120, 10_000),
    "cnn_max_mninst3.onnx": ((1, 28, 28, 1), "float32", 1634, 1_000),
    "resnet_2b.onnx": ((1, 3, 32, 32), "float32", 6244, 200),
}
# For a check at as many points as one likes.
N_POINTS = int(os.environ.get("POLYREGIONS_POINTS", "0"))


@pytest.mark.parametrize("name", REAL)
def test_real_networks_agree_with_onnxruntime(name):
    pytest.importorskip("onnxruntime", reason="it is the oracle")
    shape, dtype, n_units, n_points = REAL[name]
    n_points = N_POINTS or n_points
    path = networks.real_network(name)
    network, forward = pr.lower(path), forward_of(path)
    n = int(np.prod(shape))
    assert (network.n_inputs, network.n_units) == (n, n_units)
    rng = np.random.default_rng(0)
    if n < 10:
        points = rng.uniform(-1, 1, (n_points, n))
    else:  # a plane through three smooth pictures, and a little beyond
        corners = rng.uniform(0, 1, (3, n))
        points = rng.uniform(-0.5, 1.5, (n_points, 3)) @ corners
    points = forward.representable(points)
    for begin in range(0, len(points), 1000):
        some = points[begin : begin + 1000]
        bound = forward_bound(network, some, PRECISIONS[dtype]).values
        assert np.isfinite(bound).all()
        assert (np.abs(network(some) - forward.values(some)) <= bound).all()
    few = points[:20]  # one by one, by onnxruntime alone
    bound = forward_bound(network, few, PRECISIONS[dtype]).values
    assert (np.abs(network(few) - run(path, few, shape, dtype=dtype)) <= bound).all()


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("polar_TORA_ReLU_controller_f64.onnx", 0.5),
        ("mnist5x20_leaky_relu.onnx", 1.0),
        ("cnn_max_mninst3.onnx", 0.01),
    ],
)
def test_slices_of_real_networks_pass_verify(name, width):
    path = networks.real_network(name)
    n = int(np.prod(REAL[name][0]))
    corners = np.random.default_rng(0).uniform(0, 1, (3, n)).astype(np.float32).astype(float)
    plane = pr.Slice.through(*corners)
    part = pr.partition(path, domain=(0, 0, width, width), slice=plane)
    assert len(part) > 5
    report = pr.verify(part, path, resolution=30)
    assert report.ok, report


def test_one_network_in_two_formats():
    """The layers of the NNet file and of the ONNX file are the same numbers."""
    path = networks.real_network("ACASXU_run2a_1_1_nnet_f64.onnx")
    text = networks.real_network("ACASXU_run2a_1_1_batch_2000.nnet").read_text().splitlines()
    lines = [line for line in text if not line.startswith("//")][7:]
    numbers = [float(v) for line in lines for v in line.split(",") if v.strip()]
    flat = [
        np.concatenate([step.weight.ravel(), step.bias])
        for step in pr.lower(path).steps
        if isinstance(step, Affine)
    ]
    np.testing.assert_array_equal(np.concatenate(flat), numbers)


# The documentation.


PAGE = Path(__file__).parents[1] / "docs" / "howto" / "onnx.md"


def test_the_page_shows_what_happens(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the page calls it")
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(r"```pycon\n(.*?)```", PAGE.read_text(), flags=re.S)
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, PAGE.name, 0)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_table_lists_every_operator():
    table = PAGE.read_text().split("## Operators")[1]
    listed = set(re.findall(r"`([A-Z][A-Za-z0-9]+)`", table))
    refused = {*CURVED, *NORMALISING, *MULTIPLYING, *JUMPING, *RANDOM, *BRANCHING}
    assert set(HANDLERS) | refused <= listed
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    assert {name for name in listed if name in known} == set(HANDLERS) | refused | set(WORK)
