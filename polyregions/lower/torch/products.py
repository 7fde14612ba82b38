"""Products with constant matrices and kernels."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch

from polyregions.lower.builder import Signal
from polyregions.lower.torch import tensors
from polyregions.lower.torch.arithmetic import combined, number, product_of_values
from polyregions.lower.torch.modules import in_train_mode, without_statistics
from polyregions.lower.torch.traced import (
    Call,
    Traced,
    aligned,
    constant,
    handles,
    of_one,
)
from polyregions.network import FloatArray

Labels: TypeAlias = list[int]


@handles("linear")
def _linear(call: Call, x: Any, weight: Any, bias: Any = None) -> Traced:
    n = _ndim(x)
    rows = list(range(n))
    labels = [n, n - 1] if _ndim(weight) == 2 else [n - 1]
    out = [*rows[:-1], *labels[:-1]]
    return contract(call, x, rows, weight, labels, out, bias)


@handles("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger")
def _matmul(call: Call, a: Any, b: Any) -> Traced:
    n, m = _ndim(a), _ndim(b)
    if call.name in ("outer", "ger"):
        return contract(call, a, [0], b, [1], [0, 1])
    if call.name == "inner":
        left, right = [*range(n - 1), 99], [*range(n, n + m - 1), 99]
        return contract(call, a, left, b, right, [*left[:-1], *right[:-1]])
    return contract(call, a, *_matmul_labels(n, m, b))


def _matmul_labels(n: int, m: int, b: Any) -> tuple[Labels, Any, Labels, Labels]:
    """Numbers for the axes of both factors and the product; axes of several matrices in front."""
    leads = max(n, m, 2) - 2
    row, inner, column = leads, leads + 1, leads + 2
    left = [inner] if n == 1 else [*range(leads - (n - 2), leads), row, inner]
    right = [inner] if m == 1 else [*range(leads - (m - 2), leads), inner, column]
    out = [*range(leads), *([row] if n > 1 else []), *([column] if m > 1 else [])]
    return left, b, right, out


@handles("addmm", "addmv", "baddbmm", "addr")
def _added_product(
    call: Call, bias: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1
) -> Traced:
    beta, alpha = number(call, beta), number(call, alpha)
    if not isinstance(a, Traced) and not isinstance(b, Traced):
        product = torch.outer(a, b) if call.name == "addr" else a @ b
        return combined(call, times(call, bias, beta), product, alpha)
    labels = ([0], b, [1], [0, 1]) if call.name == "addr" else _matmul_labels(_ndim(a), _ndim(b), b)
    if beta == alpha == 1:
        return contract(call, a, *labels, bias)
    product = times(call, contract(call, a, *labels), alpha)
    return product if beta == 0 else combined(call, product, bias, beta)


def times(call: Call, x: Any, factor: float) -> Any:
    """``factor * x`` of a constant or a value."""
    if not isinstance(x, Traced):
        return x * factor
    return x.of(call.build.scale(x.signal, factor, name=call.where))


@handles("einsum")
def _einsum(call: Call, equation: str, operands: Sequence[Any], **kw: Any) -> Traced:
    inputs, _, out = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if "." in equation or len(operands) != len(terms) or len(operands) > 2:
        raise call.refused(
            "is of a form that is not supported: an einsum needs one or two operands and no "
            "ellipsis. What works instead: torch.matmul, step by step"
        )
    if "->" not in equation:
        out = "".join(sorted(c for c in set(inputs) if inputs.count(c) == 1 and c != ","))
    labels = [[ord(c) for c in term] for term in terms]
    result = [ord(c) for c in out]
    if len(operands) == 1:
        return contract(call, operands[0], labels[0], torch.ones(()), [], result)
    return contract(call, operands[0], labels[0], operands[1], labels[1], result)


@handles("tensordot")
def _tensordot(call: Call, a: Any, b: Any, dims_a: Sequence[int], dims_b: Sequence[int]) -> Traced:
    left = list(range(_ndim(a)))
    right = list(range(len(left), len(left) + _ndim(b)))
    inner = [d % len(left) for d in dims_a]
    for d, e in zip(inner, dims_b, strict=True):
        right[e] = left[d]
    gone = {left[d] for d in inner}
    return contract(call, a, left, b, right, [x for x in (*left, *right) if x not in gone])


def _ndim(x: Any) -> int:
    return int(x.ndim)


def contract(
    call: Call, a: Any, left: Labels, b: Any, right: Labels, out: Labels, bias: Any = None
) -> Traced:
    """Sum over products of entries, as `numpy.einsum` does, and add a bias.

    Parameters
    ----------
    a, b : Traced or Tensor
        One of them depends on the input.
    left, right, out : list of int
        A number for each axis of `a`, `b` and the result.
    """
    if isinstance(a, Traced) and isinstance(b, Traced):
        raise product_of_values(call)
    # Numbers that numpy.einsum takes.
    number = {label: i for i, label in enumerate(dict.fromkeys([*left, *right]))}
    left, right, out = ([number[label] for label in part] for part in (left, right, out))
    if isinstance(b, Traced):
        a, left, b, right = b, right, a, left
    if not isinstance(a, Traced):  # then the bias depends on the input, and nothing else
        raise call.refused("has operands that depend on the input where it must not: not supported")
    weight = constant(call, b, what="the weight") if isinstance(b, torch.Tensor) else None
    if weight is None:
        raise call.refused("has an operand that is no constant")
    signal, axis = a.signal, None
    if a.axis is not None:
        batch = left.pop(a.axis)
        if batch in left or batch not in out:
            raise call.mixes_batch()
        if batch in right:
            weight = of_one(call, weight, right.index(batch))
            right.remove(batch)
        axis = out.index(batch)
        out.remove(batch)
    product, is_biased = _contract(call, signal, left, weight, right, out, bias)
    result = Traced(product, axis, a.batch)
    return result if bias is None or is_biased else combined(call, result, bias, 1.0)


def _contract(
    call: Call,
    x: Signal,
    left: Labels,
    weight: FloatArray,
    right: Labels,
    out: Labels,
    bias: Any,
) -> tuple[Signal, bool]:
    """The product for one input, and whether the bias was added."""
    places = x.places
    lengths: dict[int, int] = {}
    for label, n in (*zip(left, places.shape, strict=True), *zip(right, weight.shape, strict=True)):
        lengths[label] = max(n, lengths.get(label, 1))
    # An axis of length 1 that is repeated is no axis of that factor.
    places, left = _without_ones(places, left, lengths)
    weight, right = _without_ones(weight, right, lengths)
    places = _ordered(places, left, list(dict.fromkeys(left)))
    left = list(dict.fromkeys(left))
    alone = [label for label in right if label not in left and label not in out]
    if alone:
        raise call.refused(
            "is of a form that is not supported: it sums the constant factor alone. What works "
            "instead: sum that first"
        )
    shared = [label for label in left if label in right and label in out]
    inner = [label for label in left if label not in out]
    columns = [label for label in left if label in out and label not in right]
    rows = [label for label in dict.fromkeys(right) if label in out and label not in left]
    summed = [label for label in inner if label not in right]
    if summed:  # only the other factor has no such axis: it is 1 all along it
        right = [*right, *summed]
        weight = np.broadcast_to(
            weight.reshape(*weight.shape, *[1] * len(summed)),
            (*weight.shape, *(lengths[label] for label in summed)),
        )
    sizes = [prod(lengths[label] for label in part) for part in (shared, rows, inner, columns)]
    g, m, k, p = sizes
    blocks = _ordered(places, left, [*shared, *inner, *columns]).reshape(g, k, p)
    matrix = _ordered(weight, right, [*shared, *rows, *inner]).reshape(g, m, k)
    build = call.build
    inside = None
    if bias is not None and not isinstance(bias, Traced) and g == 1 and out[-1:] == rows:
        inside = _bias_of_rows(call, bias, m)
    taken = build.gather(x, blocks, name=call.where)
    product = build.contract(taken, matrix, inside, name=call.where)
    labels = [*shared, *rows, *columns]
    ordered = product.places.reshape([lengths[label] for label in labels])
    ordered = _ordered(ordered, labels, out)
    return build.gather(product, ordered, name=call.where), inside is not None


def _ordered(array: Any, labels: Labels, out: Labels) -> Any:
    """The array with its axes in another order; axes of one number become their diagonal."""
    return np.einsum(array, labels, out)


def _without_ones(array: Any, labels: Labels, lengths: dict[int, int]) -> tuple[Any, Labels]:
    kept = [i for i, label in enumerate(labels) if array.shape[i] == lengths[label]]
    array = array.reshape([array.shape[i] for i in kept])
    return array, [labels[i] for i in kept]


def _bias_of_rows(call: Call, bias: Any, n: int) -> FloatArray | None:
    """A bias that is one number for each row of the matrix, or None."""
    array = constant(call, bias, what="the bias")
    if any(length != 1 for length in array.shape[:-1]):
        return None
    return np.broadcast_to(array.reshape(array.shape[-1:]), (n,))


@handles("conv1d", "conv2d", "conv3d")
def _conv(
    call: Call,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Traced:
    kernel, n = _kernel(call, x, weight), _ndim(weight) - 2
    dilation = each(dilation, n)
    if isinstance(padding, str):
        total = [
            d * (k - 1) if padding == "same" else 0
            for d, k in zip(dilation, kernel.shape[2:], strict=True)
        ]
        pairs = [(t // 2, t - t // 2) for t in total]
    else:
        pairs = [(p, p) for p in each(padding, n)]
    return _convolve(call, x, kernel, bias, each(stride, n), pairs, dilation, groups)


def _convolve(
    call: Call,
    x: Traced,
    kernel: FloatArray,
    bias: Any,
    stride: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int,
) -> Traced:
    build = call.build
    signal, several = _channels_first(call, x, kernel.ndim - 2)
    if several > 1:  # pictures in a row, as an axis that the kernel does not reach along
        kernel, stride = kernel[:, :, None], [1, *stride]
        pairs, dilation = [(0, 0), *pairs], [1, *dilation]
    out = build.convolution(
        signal,
        kernel,
        None if bias is None else constant(call, bias, what="the bias"),
        stride=stride,
        padding=pairs,
        dilation=dilation,
        groups=groups,
        name=call.where,
    )
    return _channels_back(call, x, out, several)


def _channels_first(call: Call, x: Traced, n_axes: int) -> tuple[Signal, int]:
    """The value for one input as (channels, *lengths), or (channels, several, *lengths)."""
    build, signal = call.build, x.signal
    if x.axis not in (None, 0) or (x.axis == 0 and x.ndim != n_axes + 2):
        raise call.mixes_batch()
    if len(signal.shape) == n_axes + 1:
        return signal, 1
    several = signal.shape[0]
    if several == 1:
        return build.reshape(signal, signal.shape[1:]), 1
    return build.gather(signal, np.moveaxis(signal.places, 0, 1), name=call.where), several


def _channels_back(call: Call, x: Traced, out: Signal, several: int) -> Traced:
    if several > 1:
        return x.of(call.build.gather(out, np.moveaxis(out.places, 1, 0), name=call.where))
    if x.axis is None and len(x.signal.shape) > len(out.shape):
        return x.of(call.build.reshape(out, (1, *out.shape)))
    return x.of(out)


@handles("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _transposed(
    call: Call,
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Traced:
    kernel, n = _kernel(call, x, weight), _ndim(weight) - 2
    signal, several = _channels_first(call, x, n)
    if several > 1:
        raise call.refused("is of a form that is not supported: several pictures for one input")
    out = call.build.transposed_convolution(
        signal,
        kernel,
        None if bias is None else constant(call, bias, what="the bias"),
        stride=each(stride, n),
        padding=[(p, p) for p in each(padding, n)],
        output_padding=each(output_padding, n),
        dilation=each(dilation, n),
        groups=groups,
        name=call.where,
    )
    return _channels_back(call, x, out, several)


@handles("convolution")
def _convolution(
    call: Call,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> Traced:
    if transposed:
        options = stride, padding, output_padding, groups, dilation
        return _transposed(call, x, weight, bias, *options)
    return _conv(call, x, weight, bias, stride, padding, dilation, groups)


def _kernel(call: Call, x: Any, weight: Any) -> FloatArray:
    if isinstance(x, Traced) and isinstance(weight, Traced):
        raise product_of_values(call)
    if not isinstance(x, Traced):
        raise call.refused("convolves with a kernel that depends on the input: not supported")
    return constant(call, weight, what="the weight")


def each(value: Any, n: int) -> list[int]:
    """One number for each axis."""
    values = [value] if isinstance(value, int) else list(value)
    return values * n if len(values) == 1 else values


@handles("batch_norm")
def _batch_norm(
    call: Call,
    x: Traced,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Traced:
    if mean is None or variance is None:
        raise without_statistics(call.where)
    if training:
        raise in_train_mode(call.where, "normalises by the batch it sees")
    step = tensors.batch_norm(weight, bias, mean, variance, eps, call.where)
    assert step.shift_magnitude is not None
    shape = [-1, *[1] * (x.ndim - 2)]
    factor, term, magnitude = (
        values.reshape(shape) for values in (step.scale, step.shift, step.shift_magnitude)
    )
    (signal, *_), like = aligned(call, x)
    assert isinstance(signal, Signal)
    if x.axis not in (None, 0):
        raise call.mixes_batch()
    call.build.notes.append(f"{call.where}: scale and shift are rounded to float64")
    return like.of(
        call.build.scale(signal, factor, term, term_magnitude=magnitude, name=call.where)
    )


@handles("_native_batch_norm_legit_no_training")
def _decomposed_batch_norm(
    call: Call, x: Traced, weight: Any, bias: Any, mean: Any, variance: Any, momentum: Any, eps: Any
) -> Any:
    end = _batch_norm(call, x, weight, bias, mean, variance, False, momentum, eps)
    return end, None, None


@handles("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "native_dropout")
def _dropout(call: Call, x: Traced, p: float, train: bool) -> Any:
    if train and p > 0:
        raise in_train_mode(call.where, "drops values at random")
    return (x, None) if call.name == "native_dropout" else x
