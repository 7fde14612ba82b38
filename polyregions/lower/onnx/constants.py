"""What does not depend on the input: constants, and operators on them, in their own arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.formats.onnx import Array, dtype_of, is_float
from polyregions.lower.onnx.call import Call, Live, Value
from polyregions.lower.onnx.registry import handles

Work = Callable[[Call, list[Any]], Any]


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a / b
    if not b.all():
        raise ValueError("it divides by zero")
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))  # towards zero


def _modulo(call: Call, values: list[Array]) -> Array:
    a, b = values
    return np.fmod(a, b) if call.attribute("fmod", 0) else np.mod(a, b)


def _reduced(function: Callable[..., Any], since: int) -> Work:
    def work(call: Call, values: list[Array]) -> Array:
        axes = call.listed("axes", 1, since)
        if not axes and call.attribute("noop_with_empty_axes", 0):
            return values[0]
        keep = bool(call.attribute("keepdims", 1))
        found = function(values[0], axis=tuple(axes) if axes else None, keepdims=keep)
        return np.asarray(found, dtype=values[0].dtype)

    return work


def _range(call: Call, values: list[Array]) -> Array:
    start, limit, step = (value.item() for value in values)
    call.room((max(int(np.ceil((limit - start) / step)), 0),))
    return np.arange(start, limit, step, dtype=values[0].dtype)


def _clip(call: Call, values: list[Any]) -> Array:
    if call.opset < 11:
        low, high = call.attribute("min", -np.inf), call.attribute("max", np.inf)
    else:
        low, high = (v if v is not None else None for v in [*values[1:], None, None][:2])
    x: Array = values[0]
    x = x if low is None else np.maximum(x, np.asarray(low, x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high, x.dtype))


def _plain(function: Callable[..., Any]) -> Work:
    return lambda call, values: function(*values)


def _fold(function: Callable[..., Any]) -> Work:
    def work(call: Call, values: list[Array]) -> Array:
        total = values[0]
        for value in values[1:]:
            total = function(total, value)
        return total

    return work


def _mean(call: Call, values: list[Array]) -> Array:
    return _fold(np.add)(call, values) / np.asarray(len(values), values[0].dtype)


# Work on arrays, in the arithmetic of their own kind of numbers as the model's runtime does it.
WORK: dict[str, Work] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Ceil": _plain(np.ceil),
    "Clip": _clip,
    "Div": _plain(_divide),
    "Equal": _plain(np.equal),
    "Exp": _plain(np.exp),
    "Floor": _plain(np.floor),
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Log": _plain(np.log),
    "MatMul": _plain(np.matmul),
    "Max": _fold(np.maximum),
    "Mean": _mean,
    "Min": _fold(np.minimum),
    "Mod": _modulo,
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "NonZero": _plain(lambda x: np.stack(np.nonzero(np.atleast_1d(x))).astype(np.int64)),
    "Not": _plain(np.logical_not),
    "Or": _plain(np.logical_or),
    "Pow": _plain(lambda a, b: np.power(a, b.astype(a.dtype))),
    "Range": _range,
    "Reciprocal": _plain(np.reciprocal),
    "ReduceMax": _reduced(np.max, 18),
    "ReduceMean": _reduced(np.mean, 18),
    "ReduceMin": _reduced(np.min, 18),
    "ReduceProd": _reduced(np.prod, 18),
    "ReduceSum": _reduced(np.sum, 13),
    "Relu": _plain(lambda x: np.maximum(x, np.zeros((), x.dtype))),
    "Round": _plain(np.rint),
    "Sign": _plain(np.sign),
    "Sqrt": _plain(np.sqrt),
    "Sub": _plain(np.subtract),
    "Sum": _fold(np.add),
    "Xor": _plain(np.logical_xor),
}

# Of these each number of the result is one of the operands', up to its sign.
_WITHOUT_ROUNDING = (
    "Abs", "Ceil", "Clip", "Floor", "Max", "Min", "Neg", "ReduceMax", "ReduceMin", "Relu", "Round",
    "Sign",
)  # fmt: skip


def work_out(call: Call) -> Array | None:
    """What an operator gives for constants; None if it is not one that is worked out."""
    work = WORK.get(call.node.op)
    if work is None:
        return None
    values: list[Any] = list(call.operands)
    if not values or values[0] is None:
        raise FormatError(f"{call.where} lacks an operand")
    if call.node.op == "MatMul":
        call.room((*values[0].shape[:-1], *values[1].shape[-1:]))
    elif not call.node.op.startswith("Reduce") and call.node.op != "Range":
        call.room(np.broadcast_shapes(*(v.shape for v in values if v is not None)))
    with np.errstate(all="ignore"):  # what comes of it is checked where it is used
        result = np.asarray(work(call, values))
    if result.dtype.kind == "f" and call.node.op not in _WITHOUT_ROUNDING:
        call.build.notes.append(
            f"{call.where}: worked out of constants, in {result.dtype} as the model does"
        )
    return result


@handles("Constant")
def _constant(call: Call) -> Array:
    kinds = {
        "value": None,
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    for name, dtype in kinds.items():
        value = call.attribute(name)
        if value is not None:
            return np.asarray(value, dtype)
    found = ", ".join(call.node.attributes) or "nothing"
    raise UnsupportedLayerError(f"{call.where} holds {found}, which is no dense tensor of numbers")


@handles("ConstantOfShape")
def _constant_of_shape(call: Call) -> Array:
    shape = call.room(call.integers(0, "its shape"))
    value = np.asarray(call.attribute("value", np.zeros(1, np.float32)))
    if value.size != 1:
        raise FormatError(f"{call.where} has a value of shape {value.shape}")
    return np.full(shape, value.item(), value.dtype)


@handles("Shape")
def _shape(call: Call) -> Array:
    shape = call.operand(0).shape
    begin, end = call.attribute("start", 0), call.attribute("end")
    return np.array(shape[begin:end], dtype=np.int64)


@handles("Size")
def _size(call: Call) -> Array:
    return np.array(np.prod(call.operand(0).shape, dtype=np.int64))


@handles("Cast", "CastLike", at_the_end=True)
def _cast(call: Call) -> Value:
    """Numbers of another kind.

    A value that depends on the input stays as it is: like all arithmetic of the model, its
    rounding to a narrower kind is no part of the network that is meant.
    """
    value = call.operand(0)
    if call.node.op == "CastLike":
        dtype = call.operand(1).dtype.name
    else:
        dtype = dtype_of(int(call.attribute("to", 0)), f"the result of {call.where}")
    if not isinstance(value, Live):
        if dtype == "bfloat16":
            raise UnsupportedLayerError(f"{call.where} rounds a constant to bfloat16: not read")
        with np.errstate(all="ignore"):
            cast = value.astype(dtype)
        if value.dtype.kind == dtype[0] == "f" and not np.array_equal(cast, value):
            call.build.notes.append(f"{call.where}: constants are rounded to {dtype}")
        return cast
    if value.dropped:  # whatever an arg max gives
        return value
    if not is_float(dtype):
        raise UnsupportedLayerError(
            f"{call.where} makes {dtype} of a value that depends on the input: it jumps, so "
            "regions would not meet. Leave it out"
        )
    call.dtypes.add(dtype)
    return Live(value.signal, np.dtype("float32" if dtype == "bfloat16" else dtype))
