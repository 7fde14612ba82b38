"""What the walk through a captured program passes around, and the table of its operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from polyregions.errors import UnsupportedLayerError
from polyregions.lower.builder import Builder, Signal
from polyregions.lower.torch import tensors
from polyregions.network import FloatArray

Handler: TypeAlias = Callable[..., Any]

# By the operation's name in torch.ops.aten, without overload.
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register what lowers some operations.

    A handler gets the `Call`, then the operation's own arguments, in which what depends on the
    input is a `Traced`.
    """

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


@dataclass(frozen=True)
class LastStep:
    """A function without linear regions that was left out, and may be only at the very end.

    Attributes
    ----------
    name, where : str
        The operation, and where it stands.
    of_each : bool
        Whether it works on each entry alone, so that entries may still be moved about.
    is_place : bool
        Whether it gives places of entries, which have another shape than what is kept.
    """

    name: str
    where: str
    of_each: bool
    is_place: bool = False


@dataclass(frozen=True)
class Traced:
    """A tensor that depends on the input.

    Attributes
    ----------
    signal : Signal
        Its value for one input, without the axis of the batch.
    axis : int or None
        Which of the tensor's axes that is; None if inputs come one at a time.
    batch : int
        Its length.
    last : LastStep, optional
        What was left out on the way here.
    """

    signal: Signal
    axis: int | None = None
    batch: int = 1
    last: LastStep | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's own, with the batch."""
        if self.axis is None:
            return self.signal.shape
        before, after = self.signal.shape[: self.axis], self.signal.shape[self.axis :]
        return (*before, self.batch, *after)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def of(self, signal: Signal) -> Traced:
        """Another value with the batch at the same place."""
        return replace(self, signal=signal)


@dataclass(frozen=True)
class Condition:
    """A comparison of a value with a constant: true above it, or else below it."""

    value: Traced
    threshold: FloatArray
    is_above: bool


@dataclass(frozen=True)
class Unavailable:
    """A result that has no piecewise-linear form, and is refused where it is used."""

    where: str
    why: str


@dataclass(frozen=True)
class Call:
    """One operation of the program.

    Attributes
    ----------
    build : Builder
    where : str
        Where it stands, for messages.
    name : str
        Its name in the table.
    dtype : torch.dtype
        Of its result.
    device : torch.device
        Of the model.
    """

    build: Builder
    where: str
    name: str
    dtype: torch.dtype
    device: torch.device

    def refused(self, why: str) -> UnsupportedLayerError:
        """The error for a form of an operation that cannot be lowered."""
        return UnsupportedLayerError(f"{self.where} {why}")

    def mixes_batch(self) -> UnsupportedLayerError:
        """The error for what is no function of one input alone."""
        return self.refused(
            "moves or mixes the axis of the batch, so the inputs of a batch cannot be told apart; "
            "keep the batch an axis of its own"
        )

    def rounded(self, value: float) -> float:
        """A number as the operation has it: torch rounds it to the tensor's dtype."""
        if not self.dtype.is_floating_point:
            return float(value)
        return torch.tensor(value, dtype=torch.float64).to(self.dtype).double().item()

    def free_axes(self, x: Traced, dims: int | Sequence[int] | None) -> list[int]:
        """Axes of a value for one input, from those of the tensor; None or [] are all."""
        ndim = max(x.ndim, 1)
        given = [dims] if isinstance(dims, int) else list(dims or range(x.ndim))
        axes = {dim % ndim for dim in given}
        if x.axis in axes:
            raise self.mixes_batch()
        if not x.shape:
            return []
        return sorted(a - (x.axis is not None and a > x.axis) for a in axes)


def is_number(value: Any) -> bool:
    """Whether it is a plain number."""
    return isinstance(value, int | float) and not isinstance(value, bool | torch.SymBool)


def constant(
    call: Call, value: Any, *, finite: bool = True, what: str = "a constant"
) -> FloatArray:
    """A constant operand in float64, exactly."""
    if is_number(value) or isinstance(value, bool):
        return np.asarray(float(value))
    if not isinstance(value, torch.Tensor):
        raise call.refused("has an argument that is no constant")
    return tensors.read(value, f"{what} of {call.where}", finite=finite)


def aligned(
    call: Call, *operands: Any, finite: bool = True
) -> tuple[list[Signal | FloatArray], Traced]:
    """Operands of an operation on entries, as they are for one input.

    Returns
    -------
    operands : list
        Signals, and arrays for the constants; they broadcast against each other.
    like : Traced
        Says where the batch's axis stands in the result (`Traced.of`).
    """
    traced = [x for x in operands if isinstance(x, Traced)]
    first = traced[0]
    arrays = [x if isinstance(x, Traced) else constant(call, x, finite=finite) for x in operands]
    ndim = max(a.ndim for a in arrays)
    if first.axis is None:
        return [a.signal if isinstance(a, Traced) else a for a in arrays], first
    # Counted from the right, as broadcasting does.
    place = first.ndim - first.axis
    found: list[Signal | FloatArray] = []
    for a in arrays:
        if isinstance(a, Traced):
            if a.axis is None or a.ndim - a.axis != place:
                raise call.mixes_batch()
            found.append(a.signal)
        elif a.ndim >= place:
            found.append(of_one(call, a, a.ndim - place))
        else:
            found.append(a)
    return found, replace(first, axis=ndim - place)


def of_one(call: Call, array: FloatArray, axis: int) -> FloatArray:
    """A constant without the axis of the batch, along which it must not change."""
    one = np.asarray(np.take(array, 0, axis))
    if (array != np.expand_dims(one, axis)).any():
        raise call.refused("adds or multiplies along the axis of the batch")
    return one
