"""Comparisons, and choices between values by them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from polyregions.errors import UnsupportedLayerError
from polyregions.lower.choices import Jumps, NotExact, choice
from polyregions.lower.onnx.call import Call, Comparison, Live, Value
from polyregions.lower.onnx.registry import handles

# Operators that take a comparison, other than its being refused.
TAKE_COMPARISONS = ("Identity", "Not", "Where")


@handles("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def _compare(call: Call) -> Comparison:
    a, b = call.operand(0), call.operand(1)
    is_above = call.node.op.startswith("Greater")
    build, shape = call.build, call.room(np.broadcast_shapes(a.shape, b.shape))
    threshold = np.zeros(())
    if isinstance(a, Live) and isinstance(b, Live):
        signal = build.add([a.signal, b.signal], [1.0, -1.0], name=call.where)
    elif isinstance(a, Live):
        signal, threshold = a.signal, call.numbers(call.constant(1, "a bound"), "the bound")
    else:
        signal, threshold = call.live(1, "both values").signal, call.numbers(a, "the bound")
        is_above = not is_above
    signal = build.expand(signal, shape, name=call.where)
    return Comparison(signal, np.dtype(bool), "", threshold, is_above)


@handles("Not")
def _not(call: Call) -> Comparison:
    value = call.operand(0)
    if not isinstance(value, Comparison):
        raise UnsupportedLayerError(f"{call.where} negates something that is no comparison")
    return replace(value, is_above=not value.is_above)


@handles("Where")
def _where(call: Call) -> Value:
    condition, a, b = call.operand(0), call.operand(1), call.operand(2)
    call.room(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    if isinstance(condition, Comparison):
        return _chosen(call, condition, *((a, b) if condition.is_above else (b, a)))
    if isinstance(condition, Live) or condition.dtype.kind != "b":
        raise UnsupportedLayerError(
            f"{call.where} chooses by something that is neither a constant nor a comparison. What "
            "works instead: Max, Min, Relu or Clip"
        )
    return call.rearranged([a, b], lambda p, q: np.where(condition, p, q))[0]


def _chosen(call: Call, condition: Comparison, above: Value, below: Value) -> Live:
    """A choice between values that meet where it changes."""
    branches = [_branch(call, above), _branch(call, below)]
    threshold = condition.threshold
    try:
        y = choice(call.build, condition.signal, threshold, *branches, name=call.where)
    except Jumps as reason:
        raise UnsupportedLayerError(
            f"{call.where} is not continuous as far as can be seen, so regions would not meet: "
            f"{reason}. What works instead: Max, Min, Relu or Clip"
        ) from None
    except NotExact:
        raise UnsupportedLayerError(
            f"{call.where} chooses between lines whose coefficients are no float64 numbers, so "
            "they would not meet exactly. What works instead: Max, Min, Relu or Clip"
        ) from None
    return call.result(y, above, below)


def _branch(call: Call, value: Value) -> Any:
    return value.signal if isinstance(value, Live) else call.numbers(value, "a value")


def as_a_value(where: str) -> UnsupportedLayerError:
    """The error for a comparison that is used as a number."""
    return UnsupportedLayerError(
        f"{where} uses a comparison as a value, which is not continuous, so regions would not "
        "meet. What works instead: Where, between values that meet, or Max, Min or Relu"
    )
