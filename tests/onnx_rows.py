"""Small ONNX models, one or several for every operator that is read or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LATEST = 26


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return np.abs(random(*shape)) + np.float32(0.5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


X = "x"  # the input, among operands


@dataclass
class Row:
    """One operator in a model of its own.

    `operands` are the input (once or more), a multiple of it ("2x"), constants, or None.
    """

    op: str
    shape: Sequence[int | str | None]
    operands: Sequence[Any] = (X,)
    opset: int = 17
    attributes: dict[str, Any] = field(default_factory=dict)
    n_outputs: int = 1
    dtype: str = "float32"

    def __str__(self) -> str:
        told = ",".join(f"{k}={v}" for k, v in self.attributes.items())
        text = f"{self.op}-{self.opset}-{'x'.join(map(str, self.shape))}-{told}"
        return text.replace(" ", "")[:90]


def row(op: str, shape: Sequence[Any], *operands: Any, opset: int = 17, n_outputs: int = 1,
        dtype: str = "float32", **attributes: Any) -> Row:  # fmt: skip
    return Row(op, shape, operands or (X,), opset, attributes, n_outputs, dtype)


def model_of(row: Row) -> Any:
    """The model of a row."""
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(row.dtype))
    nodes, constants, names = [], [], []
    for i, operand in enumerate(row.operands):
        if operand is None:
            names.append("")
        elif isinstance(operand, str) and operand == X:
            names.append("x")
        elif isinstance(operand, str):  # another value that depends on the input
            factor = np.array(float(operand.removesuffix("x")), dtype=row.dtype)
            constants.append(numpy_helper.from_array(factor, f"factor{i}"))
            nodes.append(helper.make_node("Mul", ["x", f"factor{i}"], [f"multiple{i}"]))
            names.append(f"multiple{i}")
        else:
            if operand.dtype.kind == "f":
                operand = operand.astype(row.dtype)
            constants.append(numpy_helper.from_array(operand, f"c{i}"))
            names.append(f"c{i}")
    outputs = [f"y{i}" for i in range(row.n_outputs)]
    nodes.append(helper.make_node(row.op, names, outputs, name="it", **row.attributes))
    graph = helper.make_graph(
        nodes,
        "row",
        [helper.make_tensor_value_info("x", kind, row.shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        constants,
    )
    return made(graph, row.opset)


def made(graph: Any, opset: int = 17) -> Any:
    """A model of a graph, such as onnxruntime takes."""
    from onnx import helper

    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4 if opset < 13 else 10
    )


def _affine() -> list[Row]:
    return [
        row("Gemm", ["N", 3], X, random(3, 4), random(4), opset=7),
        row("Gemm", [1, 3], X, random(4, 3), random(1, 4), opset=9, transB=1, alpha=0.3, beta=0.7),
        row("Gemm", [1, 3], X, random(3, 4), opset=11),
        row("Gemm", [2, 3], X, random(3, 4), random(2, 4), opset=13, alpha=0.3, beta=0.7),
        row("Gemm", [3, 2], X, random(3, 4), random(2, 1), transA=1),
        row("Gemm", [3, 2], random(4, 3), X, random(4, 1), alpha=0.3),
        row("Gemm", [2, 3], random(4, 2), X, scalar(1.5), opset=LATEST, beta=2.0),
        row("Gemm", [3, 3], X, random(3, 3), "2x", beta=0.7, alpha=-1.5),
        row("Gemm", ["N", 3], X, random(3, 4), random(4), alpha=0.3, dtype="float64"),
        row("MatMul", ["N", 3], X, random(3, 4), opset=7),
        row("MatMul", [3], X, random(3, 4)),
        row("MatMul", [3], random(4, 3), X),
        row("MatMul", [3], random(3), X),
        row("MatMul", [3], X, random(5, 3, 2)),
        row("MatMul", [3, 2], random(3), X),
        row("MatMul", [1, 5, 3], X, random(3, 4)),
        row("MatMul", [1, 5, 3], X, random(3)),
        row("MatMul", [1, 3, 5], random(4, 3), X),
        row("MatMul", [2, 3, 5], random(4, 3), X, opset=9),
        row("MatMul", [2, 5, 3], X, random(2, 3, 4), opset=13),
        row("MatMul", [2, 3, 5], random(2, 4, 3), X),
        row("MatMul", [1, 3, 5], random(2, 4, 3), X),
        row("MatMul", [5, 3], X, random(2, 1, 3, 4)),
        row("MatMul", [2, 3], X, random(3, 4), opset=LATEST, dtype="float64"),
        row("Add", [1, 3], X, random(3), opset=7),
        row("Add", [1, 3], random(4, 1), X),
        row("Add", [2, 3], X, "2x", opset=13),
        row("Add", [2, 3], X, X, opset=LATEST),
        row("Sub", [2, 3], X, random(3), opset=7),
        row("Sub", [2, 3], random(2, 1), X),
        row("Sub", [2, 3], X, "3x"),
        row("Mul", [2, 3], X, random(2, 3), opset=7),
        row("Mul", [3], random(2, 3), X),
        row("Div", [2, 3], X, positive(3), opset=7),
        row("Div", [2, 3], X, scalar(4.0)),
        row("Neg", [2, 3]),
        row("Sum", [2, 3], X, "2x", random(3), random(2, 1), opset=8),
        row("Sum", [2, 3], X),
        row("Mean", [2, 3], X, "2x", random(3), opset=8),
        row("Mean", [2, 3], X, "2x"),
        row("Pow", [2, 3], X, scalar(1.0)),
        row("BatchNormalization", ["N", 3], X, positive(3), random(3), random(3), positive(3),
            opset=7),
        row("BatchNormalization", [1, 2, 3, 4], X, positive(2), random(2), random(2), positive(2),
            opset=9, epsilon=0.01, momentum=0.5),
        row("BatchNormalization", [1, 2, 4], X, positive(2), random(2), random(2), positive(2),
            opset=15, training_mode=0),
        row("BatchNormalization", ["N", 3], X, positive(3), random(3), random(3), positive(3),
            opset=LATEST),
        row("Conv", [1, 2, 7], X, random(3, 2, 3), random(3), opset=7, pads=[1, 2], strides=[2]),
        row("Conv", ["N", 2, 7, 6], X, random(4, 2, 3, 2), random(4), opset=11, strides=[2, 1],
            dilations=[1, 2], pads=[1, 0, 2, 1], kernel_shape=[3, 2]),
        row("Conv", [1, 4, 6, 6], X, random(6, 2, 3, 3), group=2, auto_pad="SAME_UPPER",
            strides=[2, 2]),
        row("Conv", [1, 1, 5, 6], X, random(1, 1, 2, 2), auto_pad="SAME_LOWER"),
        row("Conv", [1, 2, 5, 6], X, random(3, 2, 2, 3), auto_pad="VALID", opset=LATEST),
        row("Conv", [1, 1, 4, 5, 3], X, random(2, 1, 2, 2, 2), random(2)),
        row("Conv", [3, 2, 5, 4], X, random(3, 2, 2, 2), random(3)),
        row("Conv", ["N", 2, 4, 3], X, random(5, 2, 4, 3), random(5)),  # as a dense layer
        row("ConvTranspose", [1, 2, 4], X, random(2, 3, 3), random(3), strides=[2]),
        row("ConvTranspose", [1, 4, 3, 4], X, random(4, 3, 3, 2), random(6), group=2,
            strides=[2, 3], pads=[1, 0, 1, 1], output_padding=[1, 2], dilations=[1, 2]),
        row("ConvTranspose", [1, 1, 3, 4], X, random(1, 2, 3, 3), strides=[2, 2],
            output_shape=[6, 8], opset=11),
        row("ConvTranspose", [1, 1, 3, 4], X, random(1, 2, 3, 3), strides=[2, 2],
            auto_pad="SAME_UPPER"),
        row("ConvTranspose", [1, 1, 3, 4], X, random(1, 2, 3, 3), strides=[2, 2],
            auto_pad="SAME_LOWER", opset=LATEST),
        row("AveragePool", [1, 2, 7], X, kernel_shape=[3], strides=[2], opset=7),
        row("AveragePool", [1, 2, 7, 6], X, kernel_shape=[3, 2], pads=[1, 0, 1, 1]),
        row("AveragePool", [1, 2, 7, 6], X, kernel_shape=[3, 2], pads=[1, 0, 1, 1],
            count_include_pad=1, strides=[2, 2]),
        row("AveragePool", [1, 1, 7, 6], X, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
            opset=19),
        row("AveragePool", [1, 1, 6, 6], X, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
            pads=[1, 1, 1, 1], opset=LATEST),
        row("AveragePool", [1, 1, 6, 6], X, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
            pads=[1, 1, 1, 1], opset=LATEST, count_include_pad=1),
        row("AveragePool", [1, 1, 7, 6], X, kernel_shape=[2, 2], dilations=[2, 1], opset=19),
        row("AveragePool", [1, 1, 5, 5], X, kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
        row("AveragePool", [2, 3, 4, 4], X, kernel_shape=[2, 2], strides=[2, 2]),
        row("GlobalAveragePool", [1, 3, 4, 5], opset=7),
        row("ReduceSum", [2, 3, 4], axes=[1], opset=7),
        row("ReduceSum", [2, 3, 4], X, ints(-1, 0), opset=13, keepdims=0),
        row("ReduceSum", [2, 3, 4], X, opset=13),
        row("ReduceSum", [2, 3], X, ints(), opset=13, noop_with_empty_axes=1),
        row("ReduceMean", [2, 3, 4], axes=[1, 2], opset=11),
        row("ReduceMean", [1, 3, 4], axes=[-1], opset=13, keepdims=0),
        row("ReduceMean", [1, 3, 4], X, ints(2), opset=18),
    ]  # fmt: skip


def _bent() -> list[Row]:
    return [
        row("Relu", ["N", 3], opset=7),
        row("Relu", [3], opset=LATEST, dtype="float64"),
        row("LeakyRelu", [2, 3], opset=7),
        row("LeakyRelu", [2, 3], alpha=0.3),
        row("PRelu", [2, 3], X, floats(0.1), opset=7),
        row("PRelu", [1, 3, 2, 2], X, random(3, 1, 1), opset=9),
        row("PRelu", [2, 3], X, random(2, 3), opset=16),
        row("Abs", [2, 3]),
        row("Clip", [2, 3], opset=7, min=-0.5, max=1.0),
        row("Clip", [2, 3], opset=7, max=1.0),
        row("Clip", [2, 3], X, scalar(-0.5), scalar(1.0), opset=11),
        row("Clip", [2, 3], X, None, scalar(1.0), opset=12),
        row("Clip", [2, 3], X, scalar(0.0), opset=LATEST),
        row("Clip", [2, 3], X, opset=13),
        row("Clip", [2, 3], X, scalar(-0.5), scalar(np.finfo(np.float32).max)),
        row("HardSigmoid", [2, 3]),
        row("HardSigmoid", [2, 3], alpha=0.3, beta=0.4),
        row("ThresholdedRelu", [2, 3], alpha=0.0, opset=10),
        row("Shrink", [2, 3], lambd=0.4, bias=0.4),
        row("Shrink", [2, 3], lambd=0.0, bias=0.0),
        row("Max", [2, 3], X, "-1x", opset=7),
        row("Max", [2, 3], X, scalar(0.3), opset=8),
        row("Max", [2, 3], X, random(3), random(2, 1), opset=13),
        row("Max", [2, 3], X, "-1x", "0.5x", random(3)),
        row("Max", [2, 3], X),
        row("Max", [3], X, random(2, 1)),
        row("Min", [2, 3], X, "-1x"),
        row("Min", [2, 3], X, scalar(0.3), opset=8),
        row("Min", [2, 3], random(3), X, opset=12),
        row("Min", [2, 3], X, "-1x", random(3)),
        row("MaxPool", [1, 2, 7], kernel_shape=[3], strides=[2], opset=7),
        row("MaxPool", [1, 2, 7, 6], kernel_shape=[3, 2], pads=[1, 0, 1, 1], strides=[2, 2]),
        row("MaxPool", [1, 1, 7, 6], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, opset=10),
        row("MaxPool", [1, 1, 6, 6], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1,
            pads=[1, 1, 1, 1]),
        row("MaxPool", [1, 1, 7, 6], kernel_shape=[2, 2], dilations=[2, 1], opset=12),
        row("MaxPool", [1, 1, 5, 5], kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER"),
        row("MaxPool", [1, 1, 5, 5], kernel_shape=[2, 2], auto_pad="SAME_LOWER", opset=LATEST),
        row("MaxPool", ["N", 3, 4, 4], kernel_shape=[2, 2], strides=[2, 2], dtype="float64"),
        row("GlobalMaxPool", [1, 3, 4, 5], opset=7),
        row("ReduceMax", [2, 3, 4], axes=[1], opset=11),
        row("ReduceMax", [2, 3, 4], X, ints(0, 2), opset=18, keepdims=0),
        row("ReduceMin", [2, 3, 4], axes=[1, 2], opset=13),
        row("ReduceMin", [2, 3, 4], X, ints(1), opset=20),
        row("ReduceL1", [2, 3, 4], axes=[1], opset=13),
        row("ReduceL1", [2, 3, 4], X, ints(2), opset=18),
    ]  # fmt: skip


def _moved() -> list[Row]:
    return [
        row("Identity", [2, 3]),
        row("Dropout", ["N", 3], opset=7, ratio=0.4),
        row("Dropout", ["N", 3], X, scalar(0.4), opset=12),
        row("Dropout", ["N", 3], X, scalar(0.4), np.array(False), opset=13),
        row("Cast", [2, 3], to=1),
        row("Reshape", [1, 2, 6], X, ints(0, -1, 3), opset=7),
        row("Reshape", ["N", 6], X, ints(-1, 3), opset=14),
        row("Reshape", [2, 6], X, ints(3, 4), opset=LATEST, allowzero=1),
        row("Flatten", [1, 2, 3, 4]),
        row("Flatten", [2, 3, 4], axis=0, opset=7),
        row("Flatten", [2, 3, 4], axis=-1, opset=13),
        row("Squeeze", [1, 3, 1, 2], axes=[2], opset=11),
        row("Squeeze", [1, 3, 1, 2], X, ints(0, -2), opset=13),
        row("Squeeze", [1, 3, 1]),
        row("Unsqueeze", [2, 3], axes=[0, 3], opset=11),
        row("Unsqueeze", [2, 3], X, ints(-1), opset=LATEST),
        row("Transpose", [2, 3, 4]),
        row("Transpose", [1, 2, 3, 4], perm=[0, 3, 1, 2]),
        row("Concat", [2, 3], X, "2x", random(2, 2), axis=1, opset=7),
        row("Concat", [2, 3], random(1, 3), X, axis=-2, opset=13),
        row("Split", [2, 6], axis=1, split=[2, 4], n_outputs=2, opset=7),
        row("Split", [2, 6], axis=-1, n_outputs=3, opset=11),
        row("Split", [2, 6], X, ints(1, 5), axis=1, n_outputs=2, opset=13),
        row("Split", [2, 7], axis=1, num_outputs=3, n_outputs=3, opset=18),
        row("Slice", [4, 6], starts=[1, -4], ends=[3, 1000], opset=7),
        row("Slice", [4, 6], starts=[-2], ends=[-1], axes=[1], opset=9),
        row("Slice", [4, 6], X, ints(1, -1), ints(9, -9), ints(0, 1), ints(2, -2), opset=10),
        row("Slice", [4, 6], X, ints(1), ints(3), opset=13),
        row("Slice", [4, 6], X, ints(5), ints(-(2**31)), ints(-1), ints(-1), opset=13),
        row("Slice", [4, 6], X, ints(4, 0), ints(0, -1), ints(1, 0), ints(-3, 1)),
        row("Gather", [4, 6], X, ints(2, 0, -1, 2), axis=1),
        row("Gather", [4, 6], X, np.array(1), opset=7),
        row("Gather", [4, 6], X, np.array([[0, 1], [2, 3]]), axis=-1, opset=13),
        row("GatherElements", [2, 3], X, np.array([[2, 0], [-1, 1]]), axis=1, opset=11),
        row("GatherND", [2, 3, 2], X, np.array([[0, 2], [1, -1]]), opset=13),
        row("Pad", [2, 3], pads=[1, 0, 0, 2], value=0.5, opset=7),
        row("Pad", [2, 4], pads=[0, -1, 1, 2], opset=7),
        row("Pad", [1, 4], X, ints(0, 2, 0, 1), mode="reflect", opset=11),
        row("Pad", [2, 3], X, ints(1, 0, 0, 2), scalar(0.5), opset=13),
        row("Pad", [2, 3], X, ints(1, 2), None, ints(-1), mode="edge", opset=18),
        row("Pad", [2, 3], X, ints(1, 2), scalar(2.0), ints(1), opset=18),
        row("Pad", [2, 3], X, ints(0, 2, 0, 1), mode="wrap", opset=19),
        row("Expand", [2, 1], X, ints(3, 1, 4)),
        row("Tile", [2, 3], X, ints(2, 3)),
        row("Where", [2, 3], np.array([True, False, True]), X, random(2, 1), opset=9),
        row("Where", [2, 3], np.array([[True], [False]]), X, "2x", opset=16),
        row("Trilu", [3, 4], upper=0),
        row("Trilu", [3, 4], X, np.array(1), opset=14),
        row("DepthToSpace", [1, 8, 2, 3], blocksize=2, opset=7),
        row("DepthToSpace", [1, 8, 2, 3], blocksize=2, mode="CRD", opset=13),
        row("SpaceToDepth", [1, 2, 4, 6], blocksize=2),
        row("Upsample", [1, 2, 3, 4], scales=[1.0, 1.0, 2.0, 3.0], opset=7),
        row("Upsample", [1, 2, 3, 4], X, floats(1, 1, 2, 3), mode="nearest", opset=9),
        row("Resize", [1, 2, 3, 4], X, floats(1, 1, 2, 3), opset=10),
        row("Resize", [1, 2, 3, 4], X, None, floats(1, 1, 2, 3), opset=13),
        row("Resize", [1, 2, 3, 4], X, None, None, ints(1, 2, 9, 8), opset=13,
            coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        row("Resize", [1, 1, 3, 4], X, None, floats(3, 2), opset=18, axes=[2, 3],
            nearest_mode="round_prefer_ceil"),
        row("Resize", [1, 1, 3, 4], X, None, floats(1, 1, 3, 2), opset=19, nearest_mode="ceil",
            coordinate_transformation_mode="align_corners"),
        row("Resize", [1, 1, 3, 4], X, floats(), floats(1, 1, 3, 4), opset=11,
            coordinate_transformation_mode="pytorch_half_pixel"),
        row("Resize", [1, 2, 4, 6], X, None, floats(1, 1, 1.5, 0.5), opset=13,
            coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        row("Resize", [1, 2, 6, 6], X, None, None, ints(1, 2, 9, 5), opset=18,
            coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        row("Resize", [1, 2, 6, 6], X, None, None, ints(1, 2, 8, 11), opset=13,
            coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor"),
        row("Resize", [1, 2, 5, 6], X, None, None, ints(1, 2, 7, 4), opset=13,
            coordinate_transformation_mode="align_corners", nearest_mode="ceil"),
        row("Resize", [1, 1, 4, 4], X, None, floats(1, 1, 0.6, 1.4), opset=19, nearest_mode="floor",
            coordinate_transformation_mode="half_pixel_symmetric"),
    ]  # fmt: skip


ROWS = [*_affine(), *_bent(), *_moved()]
