"""Sums, differences, multiples, means and maxima."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyregions import network
from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.lower.builder import Signal
from polyregions.lower.onnx.call import Call, Live
from polyregions.lower.onnx.products import two_factors
from polyregions.lower.onnx.registry import handles
from polyregions.network import Activation, FloatArray


def _constants(call: Call) -> list[FloatArray]:
    return [call.numbers(v, "a constant") for v in _all(call) if not isinstance(v, Live)]


def _all(call: Call) -> list[Live | FloatArray]:
    """All operands, whose shapes must broadcast to one that is not too much."""
    values = [call.operand(i) for i in range(len(call.operands))]
    call.room(np.broadcast_shapes(*(v.shape for v in values)))
    return values


def _pair(call: Call) -> tuple[Live | FloatArray, Live | FloatArray]:
    if len(call.operands) != 2:
        raise FormatError(f"{call.where} has {len(call.operands)} operands, not two")
    a, b = _all(call)
    return a, b


def _plus(call: Call, signals: Sequence[Signal], constants: Sequence[FloatArray]) -> Signal:
    """Everything added up: no two constants before, which might round."""
    total = signals[0]
    if len(signals) > 1:
        total = call.build.add(signals, name=call.where)
    for constant in constants:
        total = call.build.plus(total, constant, name=call.where)
    return total


@handles("Add", "Sum")
def _add(call: Call) -> Live:
    values = _all(call)
    signals = [v.signal for v in values if isinstance(v, Live)]
    return call.result(_plus(call, signals, _constants(call)))


@handles("Mean")
def _mean(call: Call) -> Live:
    n = len(_all(call))
    total = _plus(call, [v.signal for v in call.all_live], _constants(call))
    if n & (n - 1):
        call.build.notes.append(f"{call.where}: the reciprocal of {n} is rounded to float64")
    return call.result(call.build.scale(total, 1.0 / n, name=call.where))


@handles("Sub")
def _subtract(call: Call) -> Live:
    a, b = _pair(call)
    build = call.build
    if isinstance(a, Live) and isinstance(b, Live):
        return call.result(build.add([a.signal, b.signal], [1.0, -1.0], name=call.where))
    if isinstance(a, Live):
        return call.result(build.plus(a.signal, -_constants(call)[0], name=call.where))
    assert isinstance(b, Live)
    return call.result(build.scale(b.signal, -1.0, _constants(call)[0], name=call.where))


@handles("Neg")
def _negate(call: Call) -> Live:
    return call.result(call.build.scale(call.live(0, "its value").signal, -1.0, name=call.where))


@handles("Mul")
def _multiply(call: Call) -> Live:
    a, b = _pair(call)
    if isinstance(a, Live) and isinstance(b, Live):
        raise two_factors(call)
    x = call.all_live[0]
    return call.result(call.build.scale(x.signal, _constants(call)[0], name=call.where))


@handles("Div")
def _divide(call: Call) -> Live:
    a, b = _pair(call)
    if isinstance(b, Live):
        raise UnsupportedLayerError(
            f"{call.where} divides by a value that depends on the input; that is not piecewise "
            "linear, so there are no linear regions. Divide by a constant"
        )
    assert isinstance(a, Live)
    divisor = _constants(call)[0]
    if not divisor.all():
        raise FormatError(f"{call.where} divides by zero")
    if (np.abs(np.frexp(divisor)[0]) != 0.5).any():
        call.build.notes.append(
            f"{call.where}: the reciprocal of the divisor is rounded to float64"
        )
    return call.result(call.build.scale(a.signal, 1.0 / divisor, name=call.where))


@handles("Pow")
def _power(call: Call) -> Live:
    a, b = _pair(call)
    if isinstance(b, Live) or not isinstance(a, Live) or (np.asarray(b) != 1).any():
        raise UnsupportedLayerError(
            f"{call.where} is not piecewise linear: its graph is curved unless the exponent is "
            "1, so there are no linear regions. What works instead: Abs, or Relu"
        )
    shape = np.broadcast_shapes(a.shape, b.shape)
    return call.result(call.build.expand(a.signal, shape, name=call.where))


@handles("Max", "Min")
def _largest(call: Call) -> Live:
    values = _all(call)
    is_max = call.node.op == "Max"
    signals = [v.signal for v in values if isinstance(v, Live)]
    constants = _constants(call)
    bound = None
    if constants:
        bound = (np.maximum if is_max else np.minimum).reduce(np.broadcast_arrays(*constants))
    build = call.build
    if len(signals) == 1:
        shape = np.broadcast_shapes(*(v.shape for v in values))
        x = build.expand(signals[0], shape, name=call.where)
        if bound is None:
            return call.result(x)
        return call.result(_bounded(call, x, np.broadcast_to(bound, shape).ravel(), is_max))
    if not is_max:
        signals = [build.scale(s, -1.0, name=call.where) for s in signals]
    if bound is not None:
        signals.append(build.constant(bound if is_max else -bound, name=call.where))
    y = build.elementwise_maximum(signals, name=call.where)
    return call.result(y if is_max else build.scale(y, -1.0, name=call.where))


def _bounded(call: Call, x: Signal, bound: FloatArray, is_max: bool) -> Signal:
    """One value and a constant: a unit that bends at the constant."""
    if len(bound) and (bound == bound[0]).all():
        limits = (bound[0], np.inf) if is_max else (-np.inf, bound[0])
        return call.build.activation(network.clamp, x, *limits, name=call.where)

    def make(width: int, name: str) -> Activation:
        slopes = np.broadcast_to([0.0, 1.0] if is_max else [1.0, 0.0], (width, 2))
        flat = np.zeros(width)
        intercepts = [bound, flat] if is_max else [flat, bound]
        return Activation(bound[:, None], slopes, np.stack(intercepts, axis=1), name)

    return call.build.activation(make, x, name=call.where)


@handles("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1")
def _reduce(call: Call) -> Live:
    x = call.live(0, "its value")
    op = call.node.op
    told = call.listed("axes", 1, 13 if op == "ReduceSum" else 18)
    if call.attribute("noop_with_empty_axes", 0) and not told:
        return x if op != "ReduceL1" else _absolute(call, x)
    axes = [call.axis(a, x.ndim) for a in told or range(x.ndim)]
    keep = bool(call.attribute("keepdims", 1))
    build = call.build
    if op == "ReduceMean":
        return call.result(build.mean(x.signal, axes, keep_axes=keep, name=call.where))
    if op == "ReduceMax":
        return call.result(build.largest(x.signal, axes, keep_axes=keep, name=call.where))
    if op == "ReduceMin":
        negative = build.scale(x.signal, -1.0, name=call.where)
        y = build.largest(negative, axes, keep_axes=keep, name=call.where)
        return call.result(build.scale(y, -1.0, name=call.where))
    if op == "ReduceL1":
        x = _absolute(call, x)
    return call.result(build.sum(x.signal, axes, keep_axes=keep, name=call.where))


def _absolute(call: Call, x: Live) -> Live:
    return call.result(call.build.activation(network.absolute, x.signal, name=call.where))
