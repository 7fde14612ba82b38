"""Operators that multiply by a constant matrix or kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.formats.onnx import Array
from polyregions.lower.batch_norm import batch_norm
from polyregions.lower.builder import Pairs, Signal
from polyregions.lower.onnx.call import Call, Live, Value
from polyregions.lower.onnx.registry import handles
from polyregions.lower.onnx.windows import same_padding
from polyregions.network import FloatArray


def two_factors(call: Call) -> UnsupportedLayerError:
    """The error for a product of two values that depend on the input."""
    return UnsupportedLayerError(
        f"{call.where} multiplies two values that both depend on the input; that is not piecewise "
        "linear, so there are no linear regions. One of them must be a constant"
    )


@handles("Gemm")
def _gemm(call: Call) -> Live:
    a, b = call.operand(0), call.operand(1)
    if a.ndim != 2 or b.ndim != 2:
        raise FormatError(f"{call.where} has factors of shapes {a.shape} and {b.shape}")
    if call.attribute("transA", 0):
        (a,) = call.rearranged([a], np.transpose)
    if call.attribute("transB", 0):
        (b,) = call.rearranged([b], np.transpose)
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    c = call.operand(2) if call.has(2) and beta else None
    if isinstance(a, Live) and isinstance(b, Live):
        raise two_factors(call)
    width = b.shape[-1]
    bias, term = None, np.zeros(0)
    if c is not None and not isinstance(c, Live):
        term = _times(call, call.numbers(c, "the bias"), beta)
        if isinstance(a, Live) and (term.ndim < 2 or term.shape[0] == 1):
            bias = np.broadcast_to(term.ravel(), (width,))
    constants = [call.numbers(v, "a factor") for v in (a, b) if not isinstance(v, Live)]
    if len(constants) == 2:
        raise UnsupportedLayerError(f"{call.where} multiplies two constants; work that out before")
    exact = alpha == 1.0 or _is_single(constants[0])
    y = _product(call, a, b, alpha if exact else 1.0, bias if exact else None)
    shape = y.shape
    if not exact:
        y = call.build.scale(y, alpha, 0.0 if bias is None else bias, name=call.where)
    if c is None or bias is not None:
        return call.result(y)
    if isinstance(c, Live):
        y = call.build.add([y, c.signal], [1.0, beta], name=call.where)
    else:
        y = call.build.scale(y, 1.0, term, name=call.where)
    if y.shape != shape:
        raise FormatError(f"{call.where} adds a value of shape {c.shape} to one of {shape}")
    return call.result(y)


def _is_single(values: FloatArray) -> bool:
    """Whether the product of any of the values with a float32 is exact in float64."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return bool((single == values).all())


def _times(call: Call, values: FloatArray, factor: float) -> FloatArray:
    if factor != 1.0 and not _is_single(values):
        call.build.notes.append(f"{call.where}: the bias times {factor} is rounded to float64")
    return values * factor


@handles("MatMul")
def _matmul(call: Call) -> Live:
    return call.result(_product(call, call.operand(0), call.operand(1)))


def _product(
    call: Call, a: Value, b: Value, factor: float = 1.0, bias: FloatArray | None = None
) -> Signal:
    """``factor * a @ b + bias`` by numpy's rules, where either is a constant."""
    if isinstance(a, Live) and isinstance(b, Live):
        raise two_factors(call)
    row, column = a.ndim == 1, b.ndim == 1
    left = (1, *a.shape) if row else a.shape
    right = (*b.shape, 1) if column else b.shape
    if min(len(left), len(right)) < 2 or left[-1] != right[-2]:
        raise FormatError(f"{call.where} has factors of shapes {a.shape} and {b.shape}")
    batch = call.room(np.broadcast_shapes(left[:-2], right[:-2]))
    call.room((*batch, left[-2], right[-1]))
    if isinstance(a, Live):
        assert not isinstance(b, Live)
        matrix = factor * call.numbers(b, "a factor").reshape(right)
        y = _from_right(call, call.build.reshape(a.signal, left), matrix, batch, bias)
    else:
        assert isinstance(b, Live)
        matrix = factor * call.numbers(a, "a factor").reshape(left)
        y = _from_left(call, matrix, call.build.reshape(b.signal, right), batch)
    shape = (*batch, *(() if row else (left[-2],)), *(() if column else (right[-1],)))
    return call.build.reshape(y, shape)


def _from_right(
    call: Call, x: Signal, matrix: FloatArray, batch: Sequence[int], bias: FloatArray | None
) -> Signal:
    """x (..., m, k) times a matrix (..., k, n)."""
    build = call.build
    k, n = matrix.shape[-2:]
    if matrix.size == k * n:
        return build.linear(x, matrix.reshape(k, n).T, bias, name=call.where)
    m = x.shape[-2]
    groups = prod(batch)
    call.room((groups, n, k))
    weight = np.broadcast_to(matrix.swapaxes(-1, -2), (*batch, n, k)).reshape(groups, n, k)
    x = build.expand(x, (*batch, m, k), name=call.where)
    columns = x.places.reshape(groups, m, k).swapaxes(1, 2)
    y = build.contract(build.gather(x, columns, name=call.where), weight, name=call.where)
    return build.gather(y, y.places.swapaxes(1, 2), name=call.where)


def _from_left(call: Call, matrix: FloatArray, x: Signal, batch: Sequence[int]) -> Signal:
    """A matrix (..., m, k) times x (..., k, n)."""
    build = call.build
    m, k = matrix.shape[-2:]
    n = x.shape[-1]
    if matrix.size == m * k:  # one matrix for all columns
        columns = np.moveaxis(x.places.reshape(-1, k, n), 1, 0).reshape(1, k, -1)
        y = build.contract(
            build.gather(x, columns, name=call.where), matrix.reshape(1, m, k), name=call.where
        )
        places = np.moveaxis(y.places.reshape(m, -1, n), 0, 1)
        return build.gather(y, places, name=call.where)
    groups = prod(batch)
    call.room((groups, m, k))
    weight = np.broadcast_to(matrix, (*batch, m, k)).reshape(groups, m, k)
    x = build.expand(x, (*batch, k, n), name=call.where)
    return build.contract(build.reshape(x, (groups, k, n)), weight, name=call.where)


def _kernel(call: Call, x: Live) -> FloatArray:
    """The kernel of a convolution, which fits the axes of what it takes."""
    if x.ndim < 3:
        raise FormatError(f"{call.where} takes values of shape {x.shape}; it needs 3 axes or more")
    weight = call.numbers(call.constant(1, "its kernel"), "the kernel")
    shape = call.ints("kernel_shape", weight.shape[2:])
    if weight.ndim != x.ndim or tuple(shape) != weight.shape[2:]:
        raise FormatError(
            f"{call.where} has a kernel of shape {weight.shape} and kernel_shape {shape} for "
            f"values of shape {x.shape}"
        )
    return weight


def _bias(call: Call) -> Array | None:
    return call.numbers(call.constant(2, "its bias"), "the bias") if call.has(2) else None


def _each(call: Call, x: Live, convolve: Any) -> Live:
    """What a convolution makes of every picture of a batch."""
    build = call.build
    if x.shape[0] == 1:
        made = convolve(build.reshape(x.signal, x.shape[1:]))
        return call.result(build.reshape(made, (1, *made.shape)))
    parts = [
        convolve(build.gather(x.signal, places, name=call.where)) for places in x.signal.places
    ]
    whole = build.gather(
        parts, np.arange(sum(p.size for p in parts)).reshape(-1, *parts[0].shape), name=call.where
    )
    return call.result(whole)


@handles("Conv")
def _convolution(call: Call) -> Live:
    x = call.live(0, "its values")
    weight, bias = _kernel(call, x), _bias(call)
    n_axes = x.ndim - 2
    stride = call.ints("strides", (1,) * n_axes)
    dilation = call.ints("dilations", (1,) * n_axes)
    padding = same_padding(call, x.shape[2:], weight.shape[2:], stride, dilation)
    return _each(
        call,
        x,
        lambda picture: call.build.convolution(
            picture,
            weight,
            bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=int(call.attribute("group", 1)),
            name=call.where,
        ),
    )


@handles("ConvTranspose")
def _transposed_convolution(call: Call) -> Live:
    x = call.live(0, "its values")
    weight, bias = _kernel(call, x), _bias(call)
    n_axes = x.ndim - 2
    stride = call.ints("strides", (1,) * n_axes)
    dilation = call.ints("dilations", (1,) * n_axes)
    longer = call.ints("output_padding", (0,) * n_axes)
    padding: Pairs = same_padding(call, x.shape[2:], weight.shape[2:], stride, dilation)
    mode = call.attribute("auto_pad", "NOTSET")
    lengths = call.attribute("output_shape")
    if lengths is None and mode in ("SAME_UPPER", "SAME_LOWER"):
        lengths = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    if lengths is not None:
        padding = []
        for n, k, s, d, more, out in zip(
            x.shape[2:], weight.shape[2:], stride, dilation, longer, lengths[-n_axes:], strict=True
        ):
            total = max(s * (n - 1) + more + d * (k - 1) + 1 - out, 0)
            small, large = total // 2, total - total // 2
            padding.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return _each(
        call,
        x,
        lambda picture: call.build.transposed_convolution(
            picture,
            weight,
            bias,
            stride=stride,
            padding=padding,
            output_padding=longer,
            dilation=dilation,
            groups=int(call.attribute("group", 1)),
            name=call.where,
        ),
    )


@handles("BatchNormalization")
def _batch_normalization(call: Call) -> Live:
    if call.attribute("training_mode", 0):
        raise UnsupportedLayerError(
            f"{call.where} is in training mode, where it normalises by the batch it sees; export "
            "the model in eval mode"
        )
    if any(call.node.outputs[1:]):
        raise UnsupportedLayerError(
            f"{call.where} gives statistics of the batch as well, as in training; export the model "
            "in eval mode"
        )
    x = call.live(0, "its values")
    weight, bias, mean, variance = (
        call.numbers(call.constant(i, what), what)
        for i, what in enumerate(("the scale", "the bias", "the mean", "the variance"), 1)
    )
    spatial = call.attribute("spatial", 1) if call.opset < 9 else 1
    shape = x.shape[1:2] if spatial else x.shape[1:]
    if x.ndim < 2 or any(v.shape != shape for v in (weight, bias, mean, variance)):
        raise FormatError(
            f"{call.where} has constants of shape {weight.shape} for values of shape {x.shape}"
        )
    found = batch_norm(
        weight.ravel(),
        bias.ravel(),
        mean.ravel(),
        variance.ravel(),
        float(call.attribute("epsilon", 1e-5)),
        call.where,
    )
    along = (*shape, *(1,) * (x.ndim - 1 - len(shape)))
    assert found.shift_magnitude is not None
    y = call.build.scale(
        x.signal,
        found.scale.reshape(along),
        found.shift.reshape(along),
        term_magnitude=found.shift_magnitude.reshape(along),
        name=call.where,
    )
    call.build.notes.append(f"{call.where}: scale and shift are rounded to float64")
    return call.result(y)
