"""One operation with its operands, as the handlers see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.formats.onnx import MOST_NUMBERS, Array
from polyregions.lower.builder import Builder, Signal
from polyregions.lower.onnx.graph import Node
from polyregions.network import FloatArray


@dataclass(frozen=True)
class Live:
    """A value that depends on the input.

    Attributes
    ----------
    signal : Signal
        Its shape is that of the model's value for one input, the axis of the batch included.
    dtype : numpy dtype
        Of the model's own value.
    dropped : str
        The function that has been left out to get this value, which then must be at the end of
        the model; empty if there is none.
    """

    signal: Signal
    dtype: np.dtype[Any]
    dropped: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.signal.shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return self.signal.size


@dataclass(frozen=True)
class Comparison(Live):
    """Whether a value, `signal`, is above a constant, or below it: what a choice is made by."""

    threshold: FloatArray = field(default_factory=lambda: np.zeros(()))
    is_above: bool = True


Value: TypeAlias = Live | Array

# Attributes that change nothing here: of training, of what is not nearest-neighbour resizing, of
# the order of indices that are refused, of casts to numbers of 8 bits.
WITHOUT_EFFECT = {
    "antialias", "cubic_coeff_a", "exclude_outside", "extrapolation_value", "momentum", "ratio",
    "round_mode", "saturate", "seed", "storage_order",
}  # fmt: skip


@dataclass
class Call:
    """An operation being read.

    Attributes
    ----------
    node : Node
    opset : int
    operands : list of Live, array or None
        None where an operand is left out.
    build : Builder
    dtypes : set of str
        Kinds of numbers that values depending on the input have, which handlers add to.
    """

    node: Node
    opset: int
    operands: list[Value | None]
    build: Builder
    dtypes: set[str]
    _seen: set[str] = field(default_factory=set)

    @property
    def where(self) -> str:
        return self.node.where

    # What an operation is given.

    def attribute(self, name: str, usual: Any = None) -> Any:
        """An attribute, or what it is unless told."""
        self._seen.add(name)
        return self.node.attributes.get(name, usual)

    def ints(self, name: str, usual: Sequence[int]) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        values = self.attribute(name)
        if values is None:
            return tuple(usual)
        if not isinstance(values, list) or not all(isinstance(v, int) for v in values):
            raise FormatError(f"{name} of {self.where} must be a list of integers, got {values!r}")
        return tuple(values)

    def has(self, i: int) -> bool:
        """Whether operand i is there."""
        return i < len(self.operands) and self.operands[i] is not None

    def operand(self, i: int) -> Value:
        """Operand i, which must be there."""
        if not self.has(i):
            raise FormatError(f"{self.where} lacks its operand {i + 1}")
        value = self.operands[i]
        assert value is not None
        return value

    def live(self, i: int, what: str) -> Live:
        """Operand i, which depends on the input."""
        value = self.operand(i)
        if not isinstance(value, Live):
            raise UnsupportedLayerError(f"{self.where} has a constant for {what}: not supported")
        return value

    def constant(self, i: int, what: str) -> Array:
        """Operand i, which does not depend on the input."""
        value = self.operand(i)
        if isinstance(value, Live):
            raise UnsupportedLayerError(
                f"{self.where} takes {what} from a value that depends on the network's input; it "
                "must be a constant"
            )
        return value

    def integers(self, i: int, what: str) -> tuple[int, ...]:
        """Operand i, constant integers in a row."""
        array = self.constant(i, what)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise FormatError(
                f"{what} of {self.where} must be integers in a row, got {array.dtype} of shape "
                f"{array.shape}"
            )
        return tuple(int(n) for n in np.atleast_1d(array))

    def listed(self, name: str, i: int, since: int) -> tuple[int, ...] | None:
        """Integers that are an attribute in old operator sets and operand i since a newer one."""
        if self.opset < since:
            found = self.attribute(name)
            return None if found is None else self.ints(name, ())
        return self.integers(i, f"the {name}") if self.has(i) else None

    def axis(self, number: int, ndim: int) -> int:
        """An axis that may be counted from the end."""
        if not -ndim <= number < max(ndim, 1):
            raise FormatError(f"{self.where} has an axis {number} for values of {ndim} axes")
        return number % ndim if ndim else 0

    def check_attributes(self) -> None:
        """Refuse attributes that nobody has asked for, since they might change the result."""
        unread = set(self.node.attributes) - self._seen - WITHOUT_EFFECT
        if unread:
            raise UnsupportedLayerError(
                f"{self.where} has attributes that are not read: {', '.join(sorted(unread))}"
            )

    @property
    def all_live(self) -> list[Live]:
        return [value for value in self.operands if isinstance(value, Live)]

    # What it gives.

    def result(self, signal: Signal, *dtype_of: Value) -> Live:
        """A value that depends on the input, of the kind of numbers that some operands have."""
        dtypes = [v.dtype for v in dtype_of or self.all_live if v.dtype.kind == "f"]
        return Live(signal, dtypes[0])

    def room(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Refuse a shape that is no shape, or more than can be meant."""
        if any(n < 0 for n in shape) or prod(shape) > MOST_NUMBERS:
            raise FormatError(
                f"{self.where} makes a value of shape {tuple(shape)}; at most {MOST_NUMBERS:,} "
                "numbers are taken"
            )
        return tuple(shape)

    def signal(self, value: Value, what: str = "an operand") -> Signal:
        """A value as a signal, whether it depends on the input or not."""
        if isinstance(value, Live):
            return value.signal
        return self.build.constant(self.numbers(value, what), name=self.where)

    def numbers(self, array: Array, what: str) -> FloatArray:
        """Floating-point constants, exactly."""
        if array.dtype.kind != "f":
            raise FormatError(f"{what} of {self.where} must be floating-point, got {array.dtype}")
        if not np.isfinite(array).all():
            raise FormatError(f"{what} of {self.where} holds NaN or infinite values")
        return np.asarray(array, dtype=np.float64)

    def rearranged(
        self, values: Sequence[Value], move: Callable[..., Array | Sequence[Array]]
    ) -> list[Value]:
        """What becomes of values by something that only moves, repeats and leaves out entries.

        Parameters
        ----------
        values
            Of one kind of numbers.
        move : callable
            Makes one array or several of arrays of the values' shapes. Entries that it adds must
            be 0, which stands for the number 0.
        """
        if not any(isinstance(value, Live) for value in values):
            made = move(*values)
            return list(made) if isinstance(made, list | tuple) else [np.asarray(made)]
        signals = [v.signal for v in values if isinstance(v, Live)]
        constants = [
            self.numbers(v, "a constant").ravel() for v in values if not isinstance(v, Live)
        ]
        n_live = sum(s.size for s in signals)
        numbers = np.concatenate([np.zeros(1), *constants])
        # Entries are numbered from 1, those of live values first.
        places, begin, end = [], 1, n_live + 1
        for value in values:
            n = prod(value.shape)
            if isinstance(value, Live):
                first, begin = begin, begin + n
            else:
                first, end = end, end + n
            places.append(np.arange(first, first + n).reshape(value.shape))
        made = move(*places)
        results: list[Value] = []
        dropped = next((v.dropped for v in self.all_live if v.dropped), "")
        for codes in made if isinstance(made, list | tuple) else [np.asarray(made)]:
            is_live = (codes > 0) & (codes <= n_live)
            known = numbers[np.where(is_live, 0, np.maximum(codes - n_live, 0))]
            if not is_live.any():
                results.append(known.astype(self.all_live[0].dtype))
                continue
            index = np.where(is_live, codes - 1, -1)
            signal = self.build.gather(signals, index, fill=known, name=self.where)
            results.append(Live(signal, self.all_live[0].dtype, dropped))
        return results
