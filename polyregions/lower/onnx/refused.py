"""Operators that are not read, and why."""

from __future__ import annotations

from math import prod

import numpy as np

from polyregions.errors import UnsupportedLayerError
from polyregions.lower.onnx.call import Call, Live, Value
from polyregions.lower.onnx.registry import HANDLERS, handles

# What bends without a corner, and the nearest operator that has corners only.
CURVED = {
    "Acos": "Clip",
    "Acosh": "Relu",
    "Asin": "Clip",
    "Asinh": "Relu",
    "Atan": "Clip",
    "Atanh": "Clip",
    "Celu": "LeakyRelu",
    "Cos": "Abs",
    "Cosh": "Abs",
    "Elu": "LeakyRelu",
    "Erf": "Clip",
    "Exp": "Relu",
    "Gelu": "Relu",
    "HardSwish": "Relu, or HardSigmoid",
    "Log": "Relu",
    "Mish": "Relu",
    "Reciprocal": "a product with a constant",
    "Selu": "LeakyRelu",
    "Sin": "Clip",
    "Sinh": "Relu",
    "Softplus": "Relu, its limit (see polyregions.smooth)",
    "Softsign": "Clip",
    "Sqrt": "Relu",
    "Swish": "Relu",
    "SwiGLU": "Relu",
    "Tan": "Clip",
    "Tanh": "Clip from -1 to 1",
    "ReduceL2": "ReduceL1",
    "ReduceLogSum": "ReduceSum",
    "ReduceLogSumExp": "ReduceMax, its limit (see polyregions.smooth)",
    "ReduceProd": "ReduceSum",
    "ReduceSumSquare": "ReduceL1",
    "LpPool": "MaxPool or AveragePool",
    "GlobalLpPool": "GlobalMaxPool or GlobalAveragePool",
    "CumProd": "a sum",
    "Det": "a sum",
    "GridSample": "Resize to nearest neighbours",
}

# What divides by something made of its own input.
NORMALISING = {
    "GroupNormalization": "BatchNormalization",
    "InstanceNormalization": "BatchNormalization",
    "LayerNormalization": "BatchNormalization",
    "LpNormalization": "BatchNormalization",
    "LRN": "BatchNormalization",
    "MeanVarianceNormalization": "BatchNormalization",
    "RMSNormalization": "BatchNormalization",
}

# What multiplies values that depend on the input with each other.
MULTIPLYING = {
    "Attention": "Gemm and Relu",
    "LinearAttention": "Gemm and Relu",
    "DeformConv": "Conv",
    "GRU": "Gemm and Relu",
    "LSTM": "Gemm and Relu",
    "RNN": "its steps written out with Gemm and Relu",
}

# What jumps from one value to another.
JUMPING = {
    "Ceil": "leave it out",
    "DynamicQuantizeLinear": "the model before quantisation",
    "Equal": "Max, Min or Relu",
    "Floor": "leave it out",
    "Hardmax": "the scores before it, as outputs",
    "Mod": "leave it out",
    "QuantizeLinear": "the model before quantisation",
    "Round": "leave it out",
    "Sign": "Clip",
    "TopK": "ReduceMax, or Max",
}

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
          "RandomUniformLike")  # fmt: skip

BRANCHING = ("If", "Loop", "Scan", "SequenceMap")


def refusal(call: Call) -> UnsupportedLayerError:
    """The error for an operator that has no handler."""
    op, where = call.node.op, call.where
    if op in CURVED:
        return UnsupportedLayerError(
            f"{where} is not piecewise linear: its graph is curved, so there are no linear "
            f"regions. What works instead: {CURVED[op]}"
        )
    if op in NORMALISING:
        return UnsupportedLayerError(
            f"{where} is not piecewise linear: it divides by what it makes of its own input, so "
            f"there are no linear regions. What works instead: {NORMALISING[op]}"
        )
    if op in MULTIPLYING:
        return UnsupportedLayerError(
            f"{where} is not piecewise linear: it multiplies values that depend on the input with "
            f"each other or bends them, so there are no linear regions. What works instead: "
            f"{MULTIPLYING[op]}"
        )
    if op in JUMPING:
        return UnsupportedLayerError(
            f"{where} is not continuous, so regions would not meet. What works instead: "
            f"{JUMPING[op]}"
        )
    if op in RANDOM:
        return UnsupportedLayerError(
            f"{where} gives random numbers, so the model is no function of its input; leave it out"
        )
    if op in BRANCHING:
        return UnsupportedLayerError(
            f"{where} chooses or repeats a part of the model; write that part out, as most "
            "exporters do when they trace a model"
        )
    return UnsupportedLayerError(f"{where} is not read. Read are {', '.join(sorted(HANDLERS))}")


# What may stand at the end of a model, and is left out there.

_LAST = {
    "Sigmoid": (
        "the graph of a sigmoid is curved", "HardSigmoid or Clip", "is above 1/2 where that is "
        "above 0",
    ),
    "Softmax": (
        "the graph of a softmax is curved", "ReduceMax, its limit (see polyregions.smooth)",
        "is largest where that is",
    ),
    "LogSoftmax": (
        "the graph of a log-softmax is curved", "ReduceMax, its limit (see polyregions.smooth)",
        "is largest where that is",
    ),
    "ArgMax": ("an arg max jumps", "ReduceMax", "is the place of the largest of that"),
    "ArgMin": ("an arg min jumps", "ReduceMin", "is the place of the least of that"),
}  # fmt: skip


@handles("Sigmoid", "Softmax", "LogSoftmax", "ArgMax", "ArgMin")
def _last(call: Call) -> Value:
    """Leave it out, and remember that nothing but moves may follow."""
    x = call.live(0, "its value")
    for name in ("keepdims", "select_last_index"):
        call.attribute(name)
    axis = call.axis(int(call.attribute("axis", 1 if call.opset < 13 else -1)), x.ndim)
    if call.node.op in ("Softmax", "LogSoftmax"):
        shares = x.shape[axis : axis + 1] if call.opset >= 13 else x.shape[axis:]
        if prod(shares) == 1:  # one value alone has the whole of it
            return np.full(x.shape, float(call.node.op == "Softmax"), x.dtype)
    _, _, relation = _LAST[call.node.op]
    call.build.notes.append(
        f"{call.where}: left out at the end of the model. The network gives what it takes; what "
        f"it gives {relation}"
    )
    return Live(x.signal, x.dtype, call.where)


def not_last(where: str, follower: str) -> UnsupportedLayerError:
    """The error for something that is left out at the end only, and does not stand there."""
    reason, instead, _ = _LAST[where.split(" ")[0]]
    return UnsupportedLayerError(
        f"{where} is not piecewise linear where it stands, before {follower}: {reason}, so there "
        f"are no linear regions. Only at the end of a model is it left out. What works instead: "
        f"{instead}"
    )
