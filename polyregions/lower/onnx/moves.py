"""Operators that only move, repeat, leave out and pad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.formats.onnx import Array
from polyregions.lower.onnx.call import Call, Value
from polyregions.lower.onnx.registry import handles


def _one(call: Call, move: Callable[[Array], Array]) -> Value:
    return call.rearranged([call.operand(0)], move)[0]


@handles("Identity", at_the_end=True)
def _identity(call: Call) -> Value:
    return call.operand(0)


@handles("Dropout", at_the_end=True)
def _dropout(call: Call) -> Value:
    if call.has(2) and call.constant(2, "its mode").any():
        raise UnsupportedLayerError(
            f"{call.where} is in training mode, where it drops values at random; export the model "
            "in eval mode"
        )
    if any(call.node.outputs[1:]):
        raise UnsupportedLayerError(f"{call.where} gives its mask as well, which is not supported")
    return call.operand(0)


@handles("Reshape", at_the_end=True)
def _reshape(call: Call) -> Value:
    x, wanted = call.operand(0), call.integers(1, "its shape")
    shape = list(wanted)
    if not call.attribute("allowzero", 0):
        if any(n == 0 and i >= x.ndim for i, n in enumerate(shape)):
            raise FormatError(f"{call.where} keeps an axis that there is not: shape {wanted}")
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return _one(call, lambda a: a.reshape(shape))


@handles("Flatten", at_the_end=True)
def _flatten(call: Call) -> Value:
    x, axis = call.operand(0), int(call.attribute("axis", 1))
    if not -x.ndim <= axis <= x.ndim:
        raise FormatError(f"{call.where} has an axis {axis} for values of {x.ndim} axes")
    axis += x.ndim if axis < 0 else 0
    return _one(call, lambda a: a.reshape(prod(a.shape[:axis]), prod(a.shape[axis:])))


@handles("Squeeze", at_the_end=True)
def _squeeze(call: Call) -> Value:
    x, axes = call.operand(0), call.listed("axes", 1, 13)
    chosen = None if axes is None else tuple(call.axis(a, x.ndim) for a in axes)
    return _one(call, lambda a: np.squeeze(a, chosen))


@handles("Unsqueeze", at_the_end=True)
def _unsqueeze(call: Call) -> Value:
    axes = call.listed("axes", 1, 13) or ()
    ndim = call.operand(0).ndim + len(axes)
    chosen = tuple(call.axis(a, ndim) for a in axes)
    return _one(call, lambda a: np.expand_dims(a, chosen))


@handles("Transpose", at_the_end=True)
def _transpose(call: Call) -> Value:
    axes = call.ints("perm", range(call.operand(0).ndim)[::-1])
    return _one(call, lambda a: np.transpose(a, axes))


@handles("Concat")
def _concatenate(call: Call) -> Value:
    values = [call.operand(i) for i in range(len(call.operands))]
    axis = call.axis(int(call.attribute("axis", 1)), values[0].ndim)
    return call.rearranged(values, lambda *a: np.concatenate(a, axis))[0]


@handles("Split")
def _split(call: Call) -> list[Value]:
    x = call.operand(0)
    axis = call.axis(int(call.attribute("axis", 0)), x.ndim)
    n, parts = x.shape[axis], len(call.node.outputs)
    lengths = call.listed("split", 1, 13)
    if lengths is None:
        parts = int(call.attribute("num_outputs", parts))
        each = -(-n // parts)
        lengths = (*(each,) * (parts - 1), n - each * (parts - 1))
        if call.opset < 18 and n % parts:
            raise FormatError(f"{call.where} cannot split {n} entries into {parts} equal parts")
    if min(lengths) < 0 or sum(lengths) != n or len(lengths) < len(call.node.outputs):
        raise FormatError(f"{call.where} cannot split {n} entries into {lengths}")
    cuts = np.cumsum(lengths)[:-1].tolist()
    return call.rearranged([x], lambda a: np.split(a, cuts, axis))


@handles("Slice")
def _slice(call: Call) -> Value:
    x = call.operand(0)
    if call.opset < 10:
        begins, ends = call.ints("starts", ()), call.ints("ends", ())
        axes, steps = call.ints("axes", range(len(begins))), (1,) * len(begins)
    else:
        begins, ends = call.integers(1, "its starts"), call.integers(2, "its ends")
        axes = call.integers(3, "its axes") if call.has(3) else tuple(range(len(begins)))
        steps = call.integers(4, "its steps") if call.has(4) else (1,) * len(begins)
    if not len(begins) == len(ends) == len(axes) == len(steps):
        raise FormatError(f"{call.where} has not as many starts, ends, axes and steps")
    chosen = [slice(None)] * x.ndim
    for begin, end, axis, step in zip(begins, ends, axes, steps, strict=True):
        axis = call.axis(axis, x.ndim)
        n = x.shape[axis]
        # To Python an end of -1 counts from the end; here what is still negative is before all.
        begin, end = (i + n if i < 0 else i for i in (begin, end))
        if step > 0:
            chosen[axis] = slice(min(max(begin, 0), n), min(max(end, 0), n), step)
        else:
            last = min(max(end, -1), n - 1)
            chosen[axis] = slice(min(max(begin, 0), n - 1), None if last < 0 else last, step)
    return _one(call, lambda a: a[tuple(chosen)])


def _indices(call: Call, n: int) -> Array:
    index = call.constant(1, "its indices")
    if index.dtype.kind not in "iu":
        raise FormatError(f"{call.where} has indices of {index.dtype}")
    if index.size and not -n <= index.min() <= index.max() < n:
        raise FormatError(f"{call.where} has an index outside an axis of {n}")
    return index


@handles("Gather")
def _gather(call: Call) -> Value:
    x = call.operand(0)
    axis = call.axis(int(call.attribute("axis", 0)), x.ndim)
    index = _indices(call, x.shape[axis])
    call.room((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))
    return _one(call, lambda a: np.take(a, index, axis))


@handles("GatherElements")
def _gather_elements(call: Call) -> Value:
    x = call.operand(0)
    axis = call.axis(int(call.attribute("axis", 0)), x.ndim)
    index = _indices(call, x.shape[axis]).astype(np.int64)
    if index.ndim != x.ndim:
        raise FormatError(f"{call.where} has indices of {index.ndim} axes for {x.ndim}")
    places: list[Array] = list(np.indices(index.shape, sparse=True))
    places[axis] = index
    return _one(call, lambda a: a[tuple(places)])


@handles("GatherND")
def _gather_nd(call: Call) -> Value:
    x, index = call.operand(0), call.constant(1, "its indices")
    if call.attribute("batch_dims", 0):
        raise UnsupportedLayerError(f"{call.where} has batch_dims, which is not supported")
    if index.dtype.kind not in "iu" or not index.ndim or index.shape[-1] > x.ndim:
        raise FormatError(f"{call.where} has indices of {index.dtype} and shape {index.shape}")
    call.room((*index.shape[:-1], *x.shape[index.shape[-1] :]))
    return _one(call, lambda a: a[tuple(np.moveaxis(index, -1, 0))])


@handles("Expand")
def _expand(call: Call) -> Value:
    shape = np.broadcast_shapes(call.operand(0).shape, call.integers(1, "its shape"))
    call.room(shape)
    return _one(call, lambda a: np.broadcast_to(a, shape))


@handles("Tile")
def _tile(call: Call) -> Value:
    x, repeats = call.operand(0), call.integers(1, "its repeats")
    if len(repeats) != x.ndim:
        raise FormatError(f"{call.where} has {len(repeats)} repeats for {x.ndim} axes")
    call.room([n * r for n, r in zip(x.shape, repeats, strict=True)])
    return _one(call, lambda a: np.tile(a, repeats))


_PADDING = {"constant": None, "reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@handles("Pad")
def _pad(call: Call) -> Value:
    x, mode = call.operand(0), call.attribute("mode", "constant")
    if call.opset < 11:
        pads, fill = call.ints("pads", ()), np.array(call.attribute("value", 0.0))
    else:
        pads = call.integers(1, "its pads")
        fill = call.constant(2, "its fill") if call.has(2) else np.array(0.0)
    axes: Sequence[int] = range(x.ndim)
    if call.has(3):
        axes = [call.axis(a, x.ndim) for a in call.integers(3, "its axes")]
    if len(pads) != 2 * len(axes) or mode not in _PADDING or fill.size != 1:
        raise FormatError(f"{call.where} has pads {pads}, mode {mode!r} and fill {fill.tolist()}")
    around = [[0, 0] for _ in x.shape]
    for i, axis in enumerate(axes):
        around[axis] = [pads[i], pads[i + len(axes)]]
    call.room([n + sum(map(abs, pair)) for n, pair in zip(x.shape, around, strict=True)])
    crop = tuple(
        slice(max(-before, 0), n - max(-after, 0))
        for n, (before, after) in zip(x.shape, around, strict=True)
    )
    wide = [[max(before, 0), max(after, 0)] for before, after in around]
    if mode != "constant":
        return _one(call, lambda a: np.pad(a[crop], wide, mode=mode))
    # The number that is put in is one more entry, behind all others.
    constant = np.full((), fill.item(), x.dtype)
    moved = call.rearranged(
        [x, constant], lambda a, c: np.pad(a[crop], wide, constant_values=c.item())
    )
    return moved[0]


@handles("Trilu")
def _triangle(call: Call) -> Value:
    k = int(call.constant(1, "its diagonal").item()) if call.has(1) else 0
    cut = np.triu if call.attribute("upper", 1) else np.tril
    return _one(call, lambda a: cut(a, k))


@handles("DepthToSpace")
def _depth_to_space(call: Call) -> Value:
    n, c, h, w = _picture(call)
    b = int(call.attribute("blocksize", 1))
    if b < 1 or c % (b * b):
        raise FormatError(f"{call.where} cannot cut {c} channels into blocks of {b}")
    if call.attribute("mode", "DCR") == "DCR":
        cut, order = (n, b, b, c // b**2, h, w), (0, 3, 4, 1, 5, 2)
    else:
        cut, order = (n, c // b**2, b, b, h, w), (0, 1, 4, 2, 5, 3)
    shape = n, c // b**2, h * b, w * b
    return _one(call, lambda a: a.reshape(cut).transpose(order).reshape(shape))


@handles("SpaceToDepth")
def _space_to_depth(call: Call) -> Value:
    n, c, h, w = _picture(call)
    b = int(call.attribute("blocksize", 1))
    if b < 1 or h % b or w % b:
        raise FormatError(f"{call.where} cannot cut {h} x {w} into blocks of {b}")
    cut, shape = (n, c, h // b, b, w // b, b), (n, c * b * b, h // b, w // b)
    return _one(call, lambda a: a.reshape(cut).transpose(0, 3, 5, 1, 2, 4).reshape(shape))


def _picture(call: Call) -> tuple[int, int, int, int]:
    shape = call.operand(0).shape
    if len(shape) != 4:
        raise FormatError(f"{call.where} takes values of shape {shape}; it needs 4 axes")
    n, c, h, w = shape
    return n, c, h, w


@handles("Resize", "Upsample")
def _resize(call: Call) -> Value:
    x = call.operand(0)
    mode = call.attribute("mode", "nearest")
    if mode != "nearest":
        raise UnsupportedLayerError(
            f"{call.where} interpolates ({mode}); only nearest neighbours are read"
        )
    policy = call.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise UnsupportedLayerError(f"{call.where} has keep_aspect_ratio_policy {policy!r}")
    stretched = _stretched(call, x)
    call.room([length for length, _ in stretched])
    is_old = call.node.op == "Upsample" or call.opset < 11
    transform = (
        "asymmetric" if is_old else call.attribute("coordinate_transformation_mode", "half_pixel")
    )
    rounding = "floor" if is_old else call.attribute("nearest_mode", "round_prefer_floor")
    index = [
        np.array(
            [_nearest(call, i, n, length, f, transform, rounding) for i in range(length)], np.int64
        )
        for n, (length, f) in zip(x.shape, stretched, strict=True)
    ]
    return _one(call, lambda a: a[np.ix_(*index)])


def _stretched(call: Call, x: Value) -> list[tuple[int, Fraction]]:
    """The length that each axis gets, and by how much it is stretched."""
    axes = call.ints("axes", range(x.ndim))
    sizes: tuple[int, ...] | None = None
    wanted: Any = None
    if call.node.op == "Upsample" and call.opset < 9:
        wanted = call.attribute("scales")
    elif call.node.op == "Upsample" or call.opset < 11:
        wanted = call.constant(1, "its scales").tolist()
    elif call.has(2) and call.constant(2, "its scales").size:
        wanted = call.constant(2, "its scales").tolist()
    else:
        sizes = wanted = call.integers(3, "its sizes")
    if not isinstance(wanted, list | tuple) or len(wanted) != len(axes):
        raise FormatError(f"{call.where} has scales or sizes {wanted} for {len(axes)} axes")
    found = [(n, Fraction(1)) for n in x.shape]
    for axis, factor in zip(axes, wanted, strict=True):
        place = call.axis(axis, x.ndim)
        n = x.shape[place]
        if not 0 < factor < float("inf"):
            raise FormatError(f"{call.where} has scales or sizes {wanted}, which must be positive")
        stretch = Fraction(factor) if sizes is None else Fraction(int(factor), n)
        length = (n * stretch).__floor__()
        if sizes is None and int(np.float32(n) * np.float32(factor)) != length:
            raise _unclear(call, n, stretch)
        found[place] = (length, stretch)
    return found


def _nearest(
    call: Call, i: int, n: int, length: int, factor: Fraction, transform: str, rounding: str
) -> int:
    """Which of `n` entries stands at place i of `length`."""
    exact = _chosen(call, _place(call, i, n, length, factor, transform), n, rounding)
    if factor.denominator == 1:
        return exact
    # A runtime works this out in float32, which may fall on the other side of a change.
    scale = np.float32(float(factor))
    half, one = np.float32(0.5), np.float32(i)
    near = one / scale if transform == "asymmetric" else (one + half) / scale - half
    if transform != "align_corners" and _chosen(call, Fraction(float(near)), n, rounding) != exact:
        raise _unclear(call, n, factor)
    return exact


def _unclear(call: Call, n: int, factor: Fraction) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{call.where} stretches an axis of length {n} by {float(factor)}, where the nearest entry "
        "depends on how the runtime rounds. What works instead: sizes or whole factors"
    )


def _place(call: Call, i: int, n: int, length: int, factor: Fraction, transform: str) -> Fraction:
    """Where place i of `length` lies among `n` entries."""
    if transform == "asymmetric":
        return i / factor
    if transform in ("half_pixel", "half_pixel_symmetric"):
        middle = Fraction(0)
        if transform == "half_pixel_symmetric":
            adjustment = length / (n * factor)
            middle = Fraction(n, 2) * (1 - adjustment)
        return middle + (i + Fraction(1, 2)) / factor - Fraction(1, 2)
    if transform == "pytorch_half_pixel":
        return (i + Fraction(1, 2)) / factor - Fraction(1, 2) if length > 1 else Fraction(0)
    if transform == "align_corners":
        return Fraction(i * (n - 1), length - 1) if length > 1 else Fraction(0)
    raise UnsupportedLayerError(
        f"{call.where} has the coordinate_transformation_mode {transform!r}: not supported"
    )


def _chosen(call: Call, at: Fraction, n: int, rounding: str) -> int:
    """The entry nearest to a place, as `rounding` says."""
    down, up = at.__floor__(), at.__ceil__()
    chosen = {
        "floor": down,
        "ceil": up,
        "round_prefer_floor": (at - Fraction(1, 2)).__ceil__(),
        "round_prefer_ceil": (at + Fraction(1, 2)).__floor__(),
    }
    if rounding not in chosen:
        raise FormatError(f"{call.where} has the nearest_mode {rounding!r}, which is not known")
    return min(max(chosen[rounding], 0), n - 1)
