"""Sums, differences, and products with constants, entry by entry or along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyregions.lower.builder import Signal
from polyregions.lower.torch.traced import Call, Traced, aligned, constant, handles, is_number
from polyregions.network import FloatArray


@handles("add", "sub", "subtract", "rsub")
def plus(call: Call, a: Any, b: Any, alpha: Any = 1) -> Traced:
    """``a + alpha b``, ``a - alpha b`` or ``b - alpha a``, as the name of the call says."""
    if call.name == "rsub":
        a, b = b, a
    factor = number(call, alpha) * (1.0 if call.name == "add" else -1.0)
    return combined(call, a, b, factor)


def combined(call: Call, a: Any, b: Any, factor: float) -> Traced:
    """``a + factor b``."""
    (x, y), like = aligned(call, a, b)
    if isinstance(x, Signal) and isinstance(y, Signal):
        return like.of(call.build.add([x, y], [1.0, factor], name=call.where))
    if isinstance(x, Signal):
        assert not isinstance(y, Signal)
        return like.of(call.build.scale(x, 1.0, _times(call, factor, y), name=call.where))
    assert isinstance(y, Signal)
    return like.of(call.build.scale(y, factor, x, name=call.where))


def _times(call: Call, factor: float, term: FloatArray) -> FloatArray:
    mantissa, _ = np.frexp(factor)
    if abs(mantissa) != 0.5 and np.any(term):
        call.build.notes.append(f"{call.where}: a product of constants is rounded to float64")
    return factor * term


def number(call: Call, value: Any) -> float:
    """A plain number, also as a tensor of one element."""
    if not is_number(value):
        array = constant(call, value)
        if array.size != 1:
            raise call.refused("has an argument that is no plain number")
        return float(array.item())
    return float(value)


@handles("neg", "negative")
def _neg(call: Call, x: Traced) -> Traced:
    return x.of(call.build.scale(x.signal, -1.0, name=call.where))


@handles("mul", "multiply")
def _mul(call: Call, a: Any, b: Any) -> Traced:
    if isinstance(a, Traced) and isinstance(b, Traced):
        raise product_of_values(call)
    x, factor = (a, b) if isinstance(a, Traced) else (b, a)
    (signal, array), like = aligned(call, x, factor)
    assert isinstance(signal, Signal)
    assert not isinstance(array, Signal)
    return like.of(call.build.scale(signal, array, name=call.where))


def product_of_values(call: Call) -> Exception:
    """The error for a product of what depends on the input with what does."""
    return call.refused(
        "is a product or quotient of values that all depend on the input; that is not piecewise "
        "linear, so there are no linear regions. What works instead: a sum, a maximum, or a "
        "constant factor"
    )


@handles("div", "divide", "true_divide")
def _div(call: Call, a: Any, b: Any, *, rounding_mode: str | None = None) -> Traced:
    if isinstance(b, Traced):
        raise product_of_values(call)
    if rounding_mode is not None:
        raise call.refused(
            f"rounds its quotient (rounding_mode={rounding_mode!r}), which is not continuous: "
            "regions would not meet. What works instead: a division without rounding"
        )
    (signal, divisor), like = aligned(call, a, b)
    assert isinstance(signal, Signal)
    assert not isinstance(divisor, Signal)
    if not np.all(divisor):
        raise ValueError(f"{call.where} divides by zero")
    if np.any(np.abs(np.frexp(divisor)[0]) != 0.5):
        call.build.notes.append(
            f"{call.where}: the reciprocal of the divisor is rounded to float64"
        )
    return like.of(call.build.scale(signal, 1.0 / divisor, name=call.where))


@handles("addcmul")
def _addcmul(call: Call, x: Any, a: Any, b: Any, *, value: Any = 1) -> Traced:
    if isinstance(a, Traced) and isinstance(b, Traced):
        raise product_of_values(call)
    if not isinstance(a, Traced) and not isinstance(b, Traced):
        if not isinstance(x, Traced):
            raise call.refused("has an argument that is no constant")
        return combined(call, x, a * b, number(call, value))
    return combined(call, x, _mul(call, a, b), number(call, value))


@handles("lerp")
def _lerp(call: Call, a: Any, b: Any, weight: Any) -> Traced:
    if isinstance(weight, Traced):
        raise product_of_values(call)
    if isinstance(a, Traced) and isinstance(b, Traced):
        return combined(call, a, _mul(call, combined(call, b, a, -1.0), weight), 1.0)
    far = combined(call, b, a, -1.0)
    return combined(call, a, _mul(call, far, weight), 1.0)


@handles("sum", "mean")
def _reduce(call: Call, x: Traced, dim: Any = None, keepdim: bool = False, **kw: Any) -> Traced:
    axes = call.free_axes(x, dim)
    reduce = call.build.sum if call.name == "sum" else call.build.mean
    return reduced(x, reduce(x.signal, axes, keep_axes=keepdim, name=call.where), axes, keepdim)


def reduced(x: Traced, signal: Signal, axes: list[int], keepdim: bool) -> Traced:
    """What comes out of a reduction along axes of the value for one input."""
    axis = x.axis
    if axis is not None and not keepdim:
        axis -= sum(a < axis for a in axes)
    return Traced(signal, axis, x.batch, x.last)


@handles("cumsum")
def _cumsum(call: Call, x: Traced, dim: int, **kw: Any) -> Traced:
    (axis,) = call.free_axes(x, dim)
    build, places = call.build, np.moveaxis(x.signal.places, axis, -1)
    total = build.linear(build.gather(x.signal, places), np.tri(places.shape[-1]), name=call.where)
    return x.of(build.gather(total, np.moveaxis(total.places, -1, axis)))
