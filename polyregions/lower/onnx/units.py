"""Continuous piecewise-linear functions of one variable."""

from __future__ import annotations

import numpy as np

from polyregions import network
from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.lower.onnx.call import Call, Live
from polyregions.lower.onnx.registry import handles


@handles("Relu")
def _relu(call: Call) -> Live:
    x = call.live(0, "its value")
    return call.result(call.build.activation(network.relu, x.signal, name=call.where))


@handles("Abs")
def _absolute(call: Call) -> Live:
    x = call.live(0, "its value")
    return call.result(call.build.activation(network.absolute, x.signal, name=call.where))


@handles("LeakyRelu")
def _leaky_relu(call: Call) -> Live:
    x, slope = call.live(0, "its value"), float(call.attribute("alpha", np.float32(0.01)))
    return call.result(call.build.activation(network.leaky_relu, x.signal, slope, name=call.where))


@handles("PRelu")
def _prelu(call: Call) -> Live:
    x = call.live(0, "its value")
    slopes = call.numbers(call.constant(1, "its slopes"), "the slope")
    try:
        slopes = np.broadcast_to(slopes, x.shape).ravel()
    except ValueError:
        raise FormatError(
            f"{call.where} has slopes of shape {slopes.shape} for values of shape {x.shape}"
        ) from None
    y = call.build.activation(
        lambda n, name: network.prelu(slopes, name), x.signal, name=call.where
    )
    return call.result(y)


@handles("Clip")
def _clip(call: Call) -> Live:
    x = call.live(0, "its value")
    if call.opset < 11:
        low, high = call.attribute("min"), call.attribute("max")
    else:
        low, high = (
            call.constant(i, what).item() if call.has(i) else None
            for i, what in ((1, "its lower bound"), (2, "its upper bound"))
        )
    # What is no less than the largest number that there is bounds nothing.
    largest = float(np.finfo(x.dtype).max)
    low = -np.inf if low is None or low <= -largest else float(low)
    high = np.inf if high is None or high >= largest else float(high)
    return call.result(call.build.activation(network.clamp, x.signal, low, high, name=call.where))


@handles("HardSigmoid")
def _hard_sigmoid(call: Call) -> Live:
    x = call.live(0, "its value")
    alpha = float(call.attribute("alpha", np.float32(0.2)))
    beta = float(call.attribute("beta", np.float32(0.5)))
    # Two steps, since the breakpoint -beta / alpha may be no float64.
    y = call.build.scale(x.signal, alpha, beta, name=call.where)
    return call.result(call.build.activation(network.clamp, y, 0.0, 1.0, name=call.where))


@handles("ThresholdedRelu")
def _thresholded_relu(call: Call) -> Live:
    x, alpha = call.live(0, "its value"), float(call.attribute("alpha", 1.0))
    if alpha != 0:
        raise UnsupportedLayerError(
            f"{call.where} is not continuous: it jumps from 0 to {alpha} at {alpha}, so regions "
            "would not meet. What works instead: alpha = 0, or Relu"
        )
    return call.result(call.build.activation(network.relu, x.signal, name=call.where))


@handles("Shrink")
def _shrink(call: Call) -> Live:
    x = call.live(0, "its value")
    limit, bias = float(call.attribute("lambd", 0.5)), float(call.attribute("bias", 0.0))
    if limit != bias or limit < 0:
        raise UnsupportedLayerError(
            f"{call.where} is not continuous: it jumps at {limit}, so regions would not meet. What "
            f"works instead: bias = lambd, a soft shrink; here lambd is {limit} and bias {bias}"
        )
    if limit == 0:
        return x
    pieces = [-limit, limit], [1.0, 0.0, 1.0], [limit, 0.0, -limit]
    y = call.build.activation(network.piecewise_linear, x.signal, *pieces, name=call.where)
    return call.result(y)
