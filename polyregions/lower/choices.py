"""Choices between two values by a comparison: taken if they are continuous.

A choice ``above if c > t else below`` is continuous if the two values agree where ``c = t``. That
is decided exactly: entries are written as sums of numbers times entries of earlier values, which
shows whether the difference of the two is a multiple of ``c - t``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from hashlib import blake2b
from typing import Any, cast

import numpy as np

from polyregions.lower.builder import Builder, Signal
from polyregions.network import Activation, FloatArray, Gather, Scale, Sum

# A place of a value.
_Entry = tuple[int, int]


@dataclass(frozen=True)
class Form:
    """A number plus a sum of entries of values, each times a number other than 0."""

    term: Fraction
    parts: dict[_Entry, Fraction]

    def plus(self, other: Form, factor: Fraction) -> Form:
        """``self + factor * other``."""
        parts = dict(self.parts)
        for entry, coefficient in other.parts.items():
            total = parts.get(entry, Fraction(0)) + factor * coefficient
            if total:
                parts[entry] = total
            else:
                parts.pop(entry, None)
        return Form(self.term + factor * other.term, parts)

    def multiple_of(self, other: Form) -> tuple[Fraction, Fraction] | None:
        """The numbers a and b for which this is ``a * other + b``, if there are any.

        `other` must have parts.
        """
        entry, coefficient = next(iter(other.parts.items()))
        factor = self.parts.get(entry, Fraction(0)) / coefficient
        rest = self.plus(other, -factor)
        return None if rest.parts else (factor, rest.term)


_ZERO = Form(Fraction(0), {})


class Forms:
    """What the values of a builder are made of.

    Forms go back through sums, scales and moves to entries of values that anything else gives. Two
    values that are made by equal steps from equal values are one.
    """

    def __init__(self, build: Builder) -> None:
        self._build = build
        self._found: dict[int, list[Form]] = {}
        self._number = [0]
        self._first: dict[Any, int] = {}

    def of(self, x: Signal | FloatArray) -> list[Form]:
        """The form of each entry, in C order."""
        if not isinstance(x, Signal):
            return [Form(Fraction(float(v)), {}) for v in x.ravel()]
        return self._forms(self._same(x.value))

    def _same(self, value: int) -> int:
        """The first of the values that are equal to one."""
        for v in range(len(self._number), value + 1):
            step, sources = self._build.made(v)
            names = (f.name for f in fields(cast(Any, step)) if f.name != "name")
            content = [_digest(getattr(step, name)) for name in names]
            key = (type(step), *content, *(self._number[s] for s in sources))
            self._number.append(self._first.setdefault(key, v))
        return self._number[value]

    def _forms(self, value: int) -> list[Form]:
        if value in self._found:
            return self._found[value]
        found: list[Form]
        step, sources = self._build.made(value) if value else (None, ())
        behind = (
            [form for s in sources for form in self._forms(self._same(s))]
            if isinstance(step, Gather | Scale | Sum)
            else []
        )
        if isinstance(step, Gather):
            found = [
                behind[i] if i >= 0 else Form(Fraction(float(c)), {})
                for i, c in zip(step.index.tolist(), step.fill.tolist(), strict=True)
            ]
        elif isinstance(step, Scale):
            found = [
                Form(Fraction(shift), {}).plus(form, Fraction(factor))
                for form, factor, shift in zip(
                    behind, step.scale.tolist(), step.shift.tolist(), strict=True
                )
            ]
        elif isinstance(step, Sum):
            n = step.n_outputs
            found = [_ZERO] * n
            for k, factor in enumerate(step.coefficients.tolist()):
                found = [
                    form.plus(behind[k * n + i], Fraction(factor)) for i, form in enumerate(found)
                ]
        else:
            width = self._build.n_inputs if step is None else step.n_outputs
            found = [Form(Fraction(0), {(value, i): Fraction(1)}) for i in range(width)]
        self._found[value] = found
        return found

    def on_one_side(self, form: Form, compared: Form, side: int) -> Form | None:
        """What a form is where `compared` is positive (side 1) or negative (side -1).

        Units that are functions of `compared` alone are replaced with their piece there, if it is
        one piece; None if it is not.
        """
        replaced = Form(form.term, {})
        for (value, place), coefficient in form.parts.items():
            part = Form(Fraction(0), {(value, place): Fraction(1)})
            step, sources = self._build.made(value) if value else (None, ())
            if isinstance(step, Activation):
                before = self._forms(self._same(sources[0]))[place]
                line = before.multiple_of(compared)
                if line is not None:
                    piece = _piece(step, place, line[0] * side, line[1])
                    if piece is None:
                        return None
                    slope, intercept = (
                        Fraction(float(table[place, piece]))
                        for table in (step.slopes, step.intercepts)
                    )
                    part = Form(intercept, {}).plus(before, slope)
            replaced = replaced.plus(part, coefficient)
        return replaced


def _piece(step: Activation, unit: int, direction: Fraction, start: Fraction) -> int | None:
    """The piece of a unit at all of ``start + direction * r``, r > 0, if it is one."""
    finite = [Fraction(float(t)) for t in step.breakpoints[unit] if np.isfinite(t)]
    if direction > 0:
        return None if any(t > start for t in finite) else len(finite)
    if direction < 0:
        return None if any(t < start for t in finite) else 0
    return sum(t < start for t in finite)


def _digest(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value)
        return value.shape, value.dtype.str, blake2b(data.tobytes()).digest()
    return value


class Jumps(Exception):
    """A choice that is not continuous, or cannot be seen to be."""


class NotExact(Exception):
    """A choice whose coefficients are no float64 numbers."""


def choice(
    build: Builder,
    compared: Signal,
    threshold: FloatArray,
    above: Signal | FloatArray,
    below: Signal | FloatArray,
    *,
    name: str = "where",
) -> Signal:
    """``above`` where ``compared > threshold``, else ``below``, entry by entry.

    Parameters
    ----------
    compared, threshold, above, below
        Shapes are broadcast against each other.

    Raises
    ------
    Jumps
        If the two values are not seen to agree where the compared one is at the threshold.
    NotExact
        If a number that is needed is no float64.
    """
    operands = (compared, threshold, above, below)
    shape = np.broadcast_shapes(*(x.shape for x in operands))
    compared = build.expand(compared, shape, name=name)
    at = np.broadcast_to(threshold, shape).ravel()
    above, below = (
        build.expand(x, shape, name=name) if isinstance(x, Signal) else np.broadcast_to(x, shape)
        for x in (above, below)
    )
    forms = Forms(build)
    z, t, high, low = (forms.of(x) for x in (compared, at, above, below))
    if not all(form.parts for form in z):
        raise Jumps("it compares a constant with a constant")
    lines = [[v.multiple_of(c) for v, c in zip(side, z, strict=True)] for side in (low, high)]
    if all(line is not None for side in lines for line in side):
        return _bent(build, compared, at, lines, name)
    distance = [c.plus(s, Fraction(-1)) for c, s in zip(z, t, strict=True)]
    jump = [p.plus(q, Fraction(-1)) for p, q in zip(high, low, strict=True)]
    # The value on one side, and how the other differs from it beyond the threshold: by
    # ``factor * (c - t)`` above, and by ``-factor * (c - t)``, which is no less, below.
    for side, base in ((1, below), (-1, above)):
        factors = [
            _factor(forms.on_one_side(d, c, side), c) for d, c in zip(jump, distance, strict=True)
        ]
        if all(f is not None for f in factors):
            added = _beyond(build, compared, at, side, [f for f in factors if f is not None], name)
            start = base if isinstance(base, Signal) else build.constant(base, name=name)
            return build.add([start, added], name=name)
    raise Jumps("the two values are not seen to meet where it changes from one to the other")


def _factor(jump: Form | None, distance: Form) -> Fraction | None:
    """The number that the distance from the threshold is multiplied with, if that is all."""
    line = None if jump is None else jump.multiple_of(distance)
    return None if line is None or line[1] else line[0]


def _bent(build: Builder, z: Signal, at: FloatArray, lines: Sequence[Any], name: str) -> Signal:
    """Units of two pieces, also where these are equal: lines in terms of the compared value."""
    for t, left, right in zip(at.tolist(), *lines, strict=True):
        if (left[0] - right[0]) * Fraction(t) + left[1] - right[1]:
            raise Jumps(f"it jumps at {t}")
    slopes, intercepts = (
        np.stack([_floats([line[k] for line in side]) for side in lines], axis=1) for k in (0, 1)
    )
    return _units(build, z, at, slopes, intercepts, name)


def _beyond(
    build: Builder, z: Signal, at: FloatArray, side: int, factors: list[Fraction], name: str
) -> Signal:
    """Multiples of how far the compared value is beyond the threshold on one side, else 0."""
    slopes, intercepts = np.zeros((2, len(at), 2))
    k = 1 if side > 0 else 0
    slopes[:, k], intercepts[:, k] = side, -side * at
    unit = _units(build, z, at, slopes, intercepts, name)
    return build.scale(unit, _floats(factors).reshape(z.shape), name=name)


def _units(
    build: Builder,
    z: Signal,
    at: FloatArray,
    slopes: FloatArray,
    intercepts: FloatArray,
    name: str,
) -> Signal:
    def make(n: int, name: str) -> Activation:
        return Activation(at[:, None], slopes, intercepts, name)

    return build.activation(make, z, name=name)


def _floats(values: list[Fraction]) -> FloatArray:
    floats = [float(v) for v in values]
    if any(Fraction(f) != v for f, v in zip(floats, values, strict=True)):
        raise NotExact
    return np.array(floats, dtype=np.float64)
