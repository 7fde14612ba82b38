"""Activations and maxima: what has pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from polyregions import network
from polyregions.errors import UnsupportedLayerError
from polyregions.lower.builder import Signal
from polyregions.lower.torch.arithmetic import number, reduced
from polyregions.lower.torch.modules import in_train_mode
from polyregions.lower.torch.products import each
from polyregions.lower.torch.refusals import PLACES
from polyregions.lower.torch.traced import (
    Call,
    LastStep,
    Traced,
    Unavailable,
    aligned,
    constant,
    handles,
    is_number,
)
from polyregions.network import Activation, FloatArray


def activate(call: Call, x: Traced, make: Callable[..., Activation], *args: Any) -> Traced:
    """Units of one variable, one for each entry; a jump is refused."""
    try:
        return x.of(call.build.activation(make, x.signal, *args, name=call.where))
    except ValueError as error:
        if "not continuous" not in str(error):
            raise
        raise UnsupportedLayerError(
            f"{error}, so regions would not meet. What works instead: a continuous "
            "piecewise-linear function such as nn.ReLU or nn.Hardtanh"
        ) from None


@handles("relu")
def _relu(call: Call, x: Traced) -> Traced:
    return activate(call, x, network.relu)


@handles("abs", "absolute")
def _abs(call: Call, x: Traced) -> Traced:
    return activate(call, x, network.absolute)


@handles("leaky_relu")
def _leaky_relu(call: Call, x: Traced, negative_slope: Any = 0.01) -> Traced:
    return activate(call, x, network.leaky_relu, number(call, negative_slope))


@handles("rrelu", "rrelu_with_noise")
def _rrelu(call: Call, x: Traced, *args: Any, **kw: Any) -> Traced:
    rest = args[1:] if call.name == "rrelu_with_noise" else args
    lower, upper, training = (*rest, *(0.125, 1 / 3, False)[len(rest) :])[:3]
    if kw.get("training", training):
        raise in_train_mode(call.where, "draws its slopes at random")
    lower, upper = number(call, kw.get("lower", lower)), number(call, kw.get("upper", upper))
    return activate(call, x, network.leaky_relu, (lower + upper) / 2)


@handles("prelu", "_prelu_kernel")
def _prelu(call: Call, x: Traced, weight: Any) -> Traced:
    slopes = constant(call, weight)
    if call.name == "prelu" and slopes.size > 1:  # one for each channel
        slopes = slopes.reshape(-1, *[1] * (x.ndim - 2))
    if slopes.ndim > x.ndim - (x.axis is not None):
        slopes = slopes.reshape(slopes.shape[slopes.ndim - x.ndim + (x.axis is not None) :])
    each_slope = np.broadcast_to(slopes, x.signal.shape).ravel()
    return activate(call, x, lambda width, name: network.prelu(each_slope, name))


@handles("relu6")
def _relu6(call: Call, x: Traced) -> Traced:
    return activate(call, x, network.clamp, 0.0, 6.0)


@handles("hardtanh")
def _hardtanh(call: Call, x: Traced, min_val: Any = -1, max_val: Any = 1) -> Traced:
    return activate(call, x, network.clamp, number(call, min_val), number(call, max_val))


@handles("clamp", "clip")
def _clamp(call: Call, x: Traced, min: Any = None, max: Any = None) -> Traced:
    low, high = (-np.inf if min is None else min), (np.inf if max is None else max)
    return clamped(call, x, low, high)


@handles("clamp_min", "clamp_max")
def _clamp_one(call: Call, x: Traced, bound: Any = None, **kw: Any) -> Traced:
    (bound,) = kw.values() if kw else (bound,)
    return _clamp(call, x, bound) if call.name == "clamp_min" else _clamp(call, x, None, bound)


def clamped(call: Call, x: Any, low: Any, high: Any) -> Traced:
    """``min(max(x, low), high)``: units of one variable, or maxima where a bound depends too."""
    if isinstance(low, Traced) or isinstance(high, Traced) or not isinstance(x, Traced):
        x = x if _is_free(low) else extreme(call, [x, low], 1.0)
        return x if _is_free(high) else extreme(call, [x, high], -1.0)
    if is_number(low) and is_number(high):
        return activate(call, x, network.clamp, float(low), float(high))
    (signal, low, high), like = aligned(call, x, low, high, finite=False)
    assert isinstance(signal, Signal)
    assert not isinstance(low, Signal)
    assert not isinstance(high, Signal)
    shape = np.broadcast_shapes(signal.shape, low.shape, high.shape)
    wide = like.of(call.build.expand(signal, shape, name=call.where))
    least, most = (np.broadcast_to(bound, shape).ravel() for bound in (low, high))
    return activate(call, wide, lambda width, name: _bounded(least, most, name))


def _is_free(bound: Any) -> bool:
    return is_number(bound) and bool(np.isinf(bound))


def _bounded(low: FloatArray, high: FloatArray, name: str) -> Activation:
    """Clamps with bounds of their own."""
    if (low == np.inf).any() or (high == -np.inf).any():
        raise ValueError(f"{name} needs bounds that are numbers")
    n = len(low)
    t, s, c = np.full((n, 2), np.inf), np.zeros((n, 3)), np.zeros((n, 3))
    flat, from_low = low >= high, np.isfinite(low)
    both = from_low & ~flat
    only_high = ~from_low & ~flat
    c[flat] = high[flat, None]
    t[both, 0], t[both, 1] = low[both], high[both]
    s[both, 1] = 1
    c[both, 0] = low[both]
    c[both, 2] = np.where(np.isfinite(high[both]), high[both], 0.0)
    t[only_high, 0] = high[only_high]
    s[only_high, 0] = 1
    c[only_high, 1] = np.where(np.isfinite(high[only_high]), high[only_high], 0.0)
    if np.isinf(t[:, 1]).all():
        t, s, c = t[:, :1], s[:, :2], c[:, :2]
    return Activation(t, s, c, name)


@handles("hardsigmoid")
def _hardsigmoid(call: Call, x: Traced) -> Traced:
    clipped = activate(call, x, network.clamp, -3.0, 3.0)
    call.build.notes.append(f"{call.where}: its slope of 1/6 is rounded to float64")
    return x.of(call.build.scale(clipped.signal, 1 / 6, 0.5, name=call.where))


@handles("softshrink")
def _softshrink(call: Call, x: Traced, lambd: Any = 0.5) -> Traced:
    width = number(call, lambd)
    if width == 0:
        return x
    return activate(
        call,
        x,
        lambda n, name: network.piecewise_linear(
            n, [-width, width], [1.0, 0.0, 1.0], [width, 0.0, -width], name
        ),
    )


@handles("threshold")
def _threshold(call: Call, x: Traced, threshold: Any, value: Any) -> Traced:
    at, below = number(call, threshold), number(call, value)
    return activate(
        call,
        x,
        lambda n, name: network.piecewise_linear(n, [at], [0.0, 1.0], [below, 0.0], name),
    )


# Of most and least ------------------------------------------------------------------------------


def extreme(call: Call, operands: list[Any], sign: float) -> Traced:
    """The largest of values entry by entry, or the smallest if `sign` is -1."""
    build = call.build
    traced = [x for x in operands if isinstance(x, Traced)]
    if len(traced) == 1:
        (bound,) = (x for x in operands if not isinstance(x, Traced))
        bound = constant(call, bound, finite=False)
        low, high = (bound, np.inf) if sign > 0 else (-np.inf, bound)
        return clamped(
            call,
            traced[0],
            *(v if isinstance(v, float) else torch.from_numpy(np.array(v)) for v in (low, high)),
        )
    signals, like = aligned(call, *operands)
    turned = [build.scale(s, sign, name=call.where) for s in signals if isinstance(s, Signal)]
    largest = build.elementwise_maximum(turned, name=call.where)
    return like.of(build.scale(largest, sign, name=call.where))


@handles("maximum", "fmax")
def _maximum(call: Call, a: Any, b: Any) -> Traced:
    return extreme(call, [a, b], 1.0)


@handles("minimum", "fmin")
def _minimum(call: Call, a: Any, b: Any) -> Traced:
    return extreme(call, [a, b], -1.0)


@handles("amax", "amin")
def _amax(call: Call, x: Traced, dim: Any = None, keepdim: bool = False) -> Traced:
    return _along(call, x, call.free_axes(x, dim), keepdim, 1.0 if call.name == "amax" else -1.0)


@handles("max", "min")
def _max(call: Call, x: Any, *args: Any, **kw: Any) -> Any:
    sign = 1.0 if call.name == "max" else -1.0
    other = kw.get("other", args[0] if args else None)
    if other is not None and not isinstance(other, int):
        return extreme(call, [x, other], sign)
    dim = kw.get("dim", other)
    if dim is None:
        return _along(call, x, call.free_axes(x, None), False, sign)
    keepdim = kw.get("keepdim", args[1] if len(args) > 1 else False)
    return _along(call, x, call.free_axes(x, dim), keepdim, sign), indices(call)


def _along(call: Call, x: Traced, axes: list[int], keepdim: bool, sign: float) -> Traced:
    build = call.build
    turned = build.scale(x.signal, sign, name=call.where)
    largest = build.largest(turned, axes, keep_axes=keepdim, name=call.where)
    return reduced(x, build.scale(largest, sign, name=call.where), axes, keepdim)


def indices(call: Call) -> Unavailable:
    """The places of maxima, which jump."""
    return Unavailable(
        call.where,
        "gives places of maxima, which jump, and the forward uses them: regions would not meet. "
        "What works instead: the maxima themselves, or leaving the places out at the end",
    )


# Pools ------------------------------------------------------------------------------------------


def _pictures(call: Call, x: Traced, n_axes: int) -> Signal:
    """The value for one input as (channels, *lengths), whatever stands in front."""
    if x.axis is not None and x.axis >= x.ndim - n_axes:
        raise call.mixes_batch()
    shape = x.signal.shape
    before = len(shape) - n_axes
    return call.build.reshape(x.signal, (prod(shape[:before]), *shape[before:]))


def _pooled(call: Call, x: Traced, out: Signal) -> Traced:
    lengths = out.shape[1:]
    before = x.signal.shape[: len(x.signal.shape) - len(lengths)]
    return x.of(call.build.reshape(out, (*before, *lengths)))


def _n_axes(call: Call) -> int:
    return int(call.name.split("pool")[1][0])


@handles(
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d_with_indices",
)  # fmt: skip
def _max_pool(
    call: Call,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    n = _n_axes(call)
    out = call.build.maximum_pool(
        _pictures(call, x, n),
        each(kernel_size, n),
        stride=each(stride, n),
        padding=[(p, p) for p in each(padding, n)],
        dilation=each(dilation, n),
        ceil_mode=ceil_mode,
        name=call.where,
    )
    pooled = _pooled(call, x, out)
    return (pooled, indices(call)) if call.name.endswith("indices") else pooled


@handles("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max_pool(call: Call, x: Traced, output_size: Any) -> Any:
    n = _n_axes(call)
    pictures = _pictures(call, x, n)
    out = call.build.adaptive_maximum_pool(pictures, each(output_size, n), name=call.where)
    return _pooled(call, x, out), indices(call)


@handles("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _average_pool(
    call: Call,
    x: Traced,
    kernel_size: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Traced:
    n = _n_axes(call)
    out = call.build.average_pool(
        _pictures(call, x, n),
        each(kernel_size, n),
        stride=each(stride, n),
        padding=[(p, p) for p in each(padding, n)],
        ceil_mode=ceil_mode,
        count_padding=count_include_pad,
        divisor=divisor_override,
        name=call.where,
    )
    return _pooled(call, x, out)


@handles(
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
)  # fmt: skip
def _adaptive_average_pool(call: Call, x: Traced, output_size: Any) -> Traced:
    n = _n_axes(call)
    pictures = _pictures(call, x, n)
    out = call.build.adaptive_average_pool(pictures, each(output_size, n), name=call.where)
    return _pooled(call, x, out)


# Last steps -------------------------------------------------------------------------------------


@handles(
    "softmax",
    "_softmax",
    "log_softmax",
    "_log_softmax",
    "sigmoid",
    "log_sigmoid",
    "special_expit",
)
def _last(call: Call, x: Traced, *args: Any, **kw: Any) -> Traced:
    """Left out, for now: what comes after it is refused."""
    of_each = "softmax" not in call.name
    return replace(x, last=LastStep(call.name, call.where, of_each))


@handles(*PLACES)
def _place(call: Call, x: Traced, dim: int | None = None, keepdim: bool = False) -> Traced:
    """Left out as well: the network gives the values that are compared."""
    if prod([x.signal.shape[axis] for axis in call.free_axes(x, dim)]) == 1:
        raise call.refused(
            "is the place of one value among itself alone, which is always 0; tell by dim= the "
            "axis of the values to compare"
        )
    return replace(x, last=LastStep(call.name, call.where, of_each=False, is_place=True))
