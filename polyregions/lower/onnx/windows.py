"""Operators that go over windows of a picture: pools, and the padding of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.lower.builder import Pairs
from polyregions.lower.onnx.call import Call, Live
from polyregions.lower.onnx.registry import handles


def same_padding(
    call: Call,
    lengths: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Pairs:
    """How much padding stands before and after each axis, by `pads` or `auto_pad`."""
    n_axes = len(lengths)
    mode = call.attribute("auto_pad", "NOTSET")
    pads = call.ints("pads", (0,) * (2 * n_axes))
    if not len(kernel) == len(stride) == len(dilation) == n_axes:
        raise FormatError(f"{call.where} has not one stride and dilation for each axis")
    if min((*stride, *dilation)) < 1:
        raise FormatError(f"{call.where} has a stride or dilation below 1")
    if mode == "NOTSET":
        if len(pads) != 2 * n_axes or min(pads, default=0) < 0:
            raise FormatError(f"{call.where} has pads {pads} for {n_axes} axes")
        return list(zip(pads[:n_axes], pads[n_axes:], strict=True))
    if mode == "VALID":
        return [(0, 0)] * n_axes
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise FormatError(f"{call.where} has auto_pad {mode!r}, which is not known")
    pairs = []
    for n, k, s, d in zip(lengths, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return pairs


@handles("MaxPool", "AveragePool")
def _pool(call: Call) -> Live:
    x = call.live(0, "its values")
    if any(call.node.outputs[1:]):
        raise UnsupportedLayerError(f"{call.where} gives indices as well: they jump")
    if x.ndim < 3:
        raise FormatError(f"{call.where} takes values of shape {x.shape}; it needs 3 axes or more")
    n_axes = x.ndim - 2
    kernel = call.ints("kernel_shape", ())
    stride = call.ints("strides", (1,) * n_axes)
    dilation = call.ints("dilations", (1,) * n_axes)
    padding = same_padding(call, x.shape[2:], kernel, stride, dilation)
    ceil_mode = bool(call.attribute("ceil_mode", 0))
    build = call.build
    channels = build.reshape(x.signal, (prod(x.shape[:2]), *x.shape[2:]))
    if call.node.op == "MaxPool":
        y = build.maximum_pool(
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            name=call.where,
        )
    else:
        y = build.average_pool(
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            count_padding=bool(call.attribute("count_include_pad", 0)),
            name=call.where,
        )
    return call.result(build.reshape(y, (*x.shape[:2], *y.shape[1:])))


@handles("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(call: Call) -> Live:
    x = call.live(0, "its values")
    if x.ndim < 3:
        raise FormatError(f"{call.where} takes values of shape {x.shape}; it needs 3 axes or more")
    reduce = call.build.mean if call.node.op == "GlobalAveragePool" else call.build.largest
    y = reduce(x.signal, range(2, x.ndim), keep_axes=True, name=call.where)
    return call.result(y)
