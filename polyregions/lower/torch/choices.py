"""Comparisons, and choices between values by them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import torch

from polyregions.lower.builder import Signal
from polyregions.lower.choices import Jumps, NotExact, choice
from polyregions.lower.torch.arithmetic import combined
from polyregions.lower.torch.moves import move
from polyregions.lower.torch.traced import Call, Condition, Traced, aligned, handles
from polyregions.lower.torch.units import activate
from polyregions.network import Activation, FloatArray, Scale

_FLIPPED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}


@handles("gt", "ge", "lt", "le", "greater", "less", "greater_equal", "less_equal")
def _compare(call: Call, a: Any, b: Any) -> Condition:
    kind = {"greater": "gt", "less": "lt", "greater_equal": "ge", "less_equal": "le"}.get(
        call.name, call.name
    )
    if isinstance(a, Traced) and isinstance(b, Traced):
        return Condition(combined(call, a, b, -1.0), np.zeros(()), kind in ("gt", "ge"))
    if not isinstance(a, Traced):
        a, b, kind = b, a, _FLIPPED[kind]
    (_, threshold), _like = aligned(call, a, b)
    assert not isinstance(threshold, Signal)
    if np.broadcast_shapes(a.signal.shape, threshold.shape) != a.signal.shape:
        raise call.refused("compares entries with several numbers each: not supported")
    return Condition(a, threshold, kind in ("gt", "ge"))


@handles("logical_not", "bitwise_not")
def _not(call: Call, condition: Any) -> Condition:
    if not isinstance(condition, Condition):
        raise call.refused("is of a form that is not supported: it negates numbers")
    return Condition(condition.value, condition.threshold, not condition.is_above)


@handles("masked_fill")
def _masked_fill(call: Call, x: Any, mask: Any, value: Any) -> Any:
    return _where(call, mask, value, x)


@handles("where")
def _where(call: Call, condition: Any, a: Any = None, b: Any = None) -> Any:
    if a is None or b is None:
        raise call.refused("gives places, which jump: regions would not meet")
    if not isinstance(condition, Condition):
        values = [v if isinstance(v, Traced) else torch.as_tensor(v).to(call.dtype) for v in (a, b)]
        return move(call, torch.where, condition, *values)
    above, below = (a, b) if condition.is_above else (b, a)
    bent = _bent(call, condition, above, below)
    return _chosen(call, condition, above, below) if bent is None else bent


def _chosen(call: Call, condition: Condition, above: Any, below: Any) -> Traced:
    """A choice between values that meet where it changes."""
    signals, like = aligned(call, condition.value, above, below)
    compared, *branches = signals
    assert isinstance(compared, Signal)
    threshold = np.broadcast_to(condition.threshold, compared.shape)
    try:
        return like.of(choice(call.build, compared, threshold, *branches, name=call.where))
    except Jumps as reason:
        raise call.refused(
            f"is a choice that jumps in general, so regions would not meet: {reason}. What works "
            "instead: torch.maximum, torch.minimum, torch.relu or torch.clamp"
        ) from None
    except NotExact:
        raise _not_exact(call) from None


def _bent(call: Call, condition: Condition, above: Any, below: Any) -> Traced | None:
    """A choice at a threshold between scaled and shifted copies of one value; None if it is not."""
    signals, like = aligned(call, condition.value, above, below)
    shape = condition.value.signal.shape
    if any(isinstance(s, Signal) and s.shape != shape for s in signals) or any(
        np.broadcast_shapes(s.shape, shape) != shape for s in signals
    ):
        return None
    histories = [call.build.scaled_from(s) for s in signals if isinstance(s, Signal)]
    shared = next((v for v in histories[0] if all(v in h for h in histories)), None)
    if shared is None:
        return None
    compared, *branches = (
        _composed(call.build.scaled_from(s)[shared], s.size)
        if isinstance(s, Signal)
        else _constant(np.broadcast_to(s, shape).ravel())
        for s in signals
    )
    threshold = _fractions(np.broadcast_to(condition.threshold, shape).ravel())
    if not all(compared[0]):
        raise call.refused("compares a constant, times 0, with a number: not supported")
    # In terms of the compared value itself if that is possible, as the forward has it.
    behind = [_behind(branch, compared) for branch in branches]
    if all(_is_exact(values) for branch in behind for values in branch):
        base, branches, rising = condition.value.signal, behind, [True] * len(threshold)
    else:
        base = Signal(shared, shape)
        threshold = [(t - c) / s for t, s, c in zip(threshold, *compared, strict=True)]
        rising = [s > 0 for s in compared[0]]
    if not all(map(_is_exact, (threshold, *branches[0], *branches[1]))):
        raise _not_exact(call)
    at = np.array(threshold, dtype=np.float64)
    lines = [np.array(branch, dtype=np.float64) for branch in branches]
    turned = ~np.array(rising)
    right, left = np.where(turned, lines[1], lines[0]), np.where(turned, lines[0], lines[1])
    return activate(call, like.of(base), lambda width, name: _pieces(at, left, right, name))


_Line: TypeAlias = tuple[list[Fraction], list[Fraction]]


def _fractions(values: FloatArray) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]


def _constant(values: FloatArray) -> _Line:
    return [Fraction(0)] * len(values), _fractions(values)


def _composed(scales: list[Scale], n: int) -> _Line:
    """The slope and intercept for each entry of several scales in a row."""
    slope, intercept = [Fraction(1)] * n, [Fraction(0)] * n
    for step in scales:
        factors, shifts = _fractions(step.scale), _fractions(step.shift)
        slope = [a * b for a, b in zip(factors, slope, strict=True)]
        intercept = [a * b + c for a, b, c in zip(factors, intercept, shifts, strict=True)]
    return slope, intercept


def _behind(line: _Line, first: _Line) -> _Line:
    """A line in terms of what the line `first` gives."""
    slope = [a / s for a, s in zip(line[0], first[0], strict=True)]
    intercept = [b - a * t for a, b, t in zip(slope, line[1], first[1], strict=True)]
    return slope, intercept


def _is_exact(values: list[Fraction]) -> bool:
    return all(Fraction(float(v)) == v for v in values)


def _pieces(at: FloatArray, left: FloatArray, right: FloatArray, name: str) -> Activation:
    """Units of two pieces, also where these are equal, from slopes and intercepts on both sides."""
    slopes, intercepts = (np.stack([a, b], axis=1) for a, b in zip(left, right, strict=True))
    table = np.concatenate([at[:, None], slopes, intercepts], axis=1)
    if len(table) and (table == table[0]).all():
        at, slopes, intercepts = (
            np.broadcast_to(a[:1], a.shape) for a in (at[:, None], slopes, intercepts)
        )
        return Activation(at, slopes, intercepts, name)
    return Activation(at[:, None], slopes, intercepts, name)


def _not_exact(call: Call) -> Exception:
    return call.refused(
        "chooses by a threshold or between lines whose coefficients are no float64 numbers, so "
        "they would not meet exactly. What works instead: compare the value itself with a number"
    )
