"""How each operation of an exported program extends the chain of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch

from polyregions import network
from polyregions.errors import UnsupportedLayerError
from polyregions.lower.torch import tensors
from polyregions.lower.torch.modules import in_train_mode, is_number, without_statistics
from polyregions.network import Affine, FloatArray, Network, Scale, Step


@dataclass(frozen=True)
class Signal:
    """The value behind the first `position` steps, in the given shape (without the batch)."""

    position: int
    shape: tuple[int, ...]


class Skipped:
    """A value that lowering does not need, such as a batch size."""


@dataclass
class Chain:
    """The steps so far."""

    n_inputs: int
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def signal(self, shape: tuple[int, ...]) -> Signal:
        """The end of the chain, in some shape."""
        return Signal(len(self.steps), shape)

    def append(self, step: Step, shape: tuple[int, ...] | None) -> Signal:
        """Put a step at the end."""
        self.steps.append(step)
        return self.signal((step.n_outputs,) if shape is None else shape)

    def check_current(self, signals: list[Signal], where: str, *, multiplies: bool = False) -> None:
        """Refuse a value that other steps have left behind, and two values at once."""
        if multiplies and len(signals) > 1:
            raise UnsupportedLayerError(
                f"{where} is a product or quotient of values that all depend on the input; that "
                "is not piecewise linear, so there are no linear regions"
            )
        if any(s.position != len(self.steps) for s in signals) or len(signals) > 1:
            raise UnsupportedLayerError(
                f"{where} joins or reuses branches of the network (a residual connection, say). "
                "That is piecewise linear, but only layers one after the other are supported yet"
            )

    def network(self) -> Network:
        return Network(tuple(self.steps), self.n_inputs, tuple(self.notes))


Shape: TypeAlias = tuple[int, ...]
Handler: TypeAlias = Callable[..., Any]
HANDLERS: dict[str, Handler] = {}


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


# Every handler gets the chain, where the operation stands, the shape of its result for one
# input, and the operation's own arguments; it returns the new end of the chain.


@_handles("linear")
def _linear(
    chain: Chain, where: str, shape: Shape, x: Any, weight: Any, bias: torch.Tensor | None = None
) -> Signal:
    if not isinstance(x, Signal) or isinstance(weight, Signal):
        raise _needs_constant(where)
    return _apply(chain, where, shape, x, tensors.read(weight, f"the weight of {where}"), bias)


@_handles("addmm")
def _addmm(
    chain: Chain,
    where: str,
    shape: Shape,
    bias: Any,
    x: Any,
    weight: Any,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Signal:
    if not isinstance(x, Signal) or beta != 1 or alpha != 1:
        raise _needs_constant(where)
    matrix = tensors.read(weight, f"the weight of {where}").T
    return _apply(chain, where, shape, x, matrix, bias)


@_handles("matmul", "mm", "mv")
def _matmul(chain: Chain, where: str, shape: Shape, a: Any, b: Any) -> Signal:
    if isinstance(a, Signal):
        weight = tensors.read(b, f"the matrix of {where}")
        return _apply(chain, where, shape, a, np.atleast_2d(weight.T), None)
    if b.shape != () and len(b.shape) == 1 and isinstance(a, torch.Tensor) and a.ndim == 2:
        return _apply(chain, where, shape, b, tensors.read(a, f"the matrix of {where}"), None)
    raise _needs_constant(where)


def _apply(
    chain: Chain,
    where: str,
    shape: Shape,
    x: Signal,
    weight: FloatArray,
    bias: torch.Tensor | None,
) -> Signal:
    """Apply a matrix to the last axis of a value."""
    width = weight.shape[0]
    offset = np.zeros(width) if bias is None else _per_value(bias, (width,), where)
    if weight.ndim != 2 or not x.shape or weight.shape[1] != x.shape[-1]:
        raise UnsupportedLayerError(f"{where} has operands of shapes that are not supported")
    copies = prod(x.shape[:-1])
    if copies > 1:
        weight = np.kron(np.eye(copies), weight).astype(np.float64)
        offset = np.tile(offset, copies)
    return chain.append(Affine(weight, offset, where), shape)


def _needs_constant(where: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{where} is of a form that is not supported: one of its operands must be a constant (a "
        "product of two values that depend on the input would not be piecewise linear, a sum of "
        "two branches is not supported yet)"
    )


@_handles("add")
def _add(chain: Chain, where: str, shape: Shape, a: Any, b: Any, *, alpha: float = 1) -> Signal:
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    if alpha != 1:
        raise UnsupportedLayerError(f"{where} has alpha={alpha}; only 1 is supported")
    return _scale(chain, where, shape, x, 1.0, constant)


@_handles("sub", "rsub")
def _sub(chain: Chain, where: str, shape: Shape, a: Any, b: Any, *, alpha: float = 1) -> Signal:
    if alpha != 1:
        raise UnsupportedLayerError(f"{where} has alpha={alpha}; only 1 is supported")
    if "rsub" in where.split(" ")[0]:
        a, b = b, a
    if isinstance(a, Signal):
        return _scale(chain, where, shape, a, 1.0, -b)
    return _scale(chain, where, shape, b, -1.0, a)


@_handles("neg")
def _neg(chain: Chain, where: str, shape: Shape, x: Signal) -> Signal:
    return _scale(chain, where, shape, x, -1.0, 0.0)


@_handles("mul")
def _mul(chain: Chain, where: str, shape: Shape, a: Any, b: Any) -> Signal:
    x, constant = (a, b) if isinstance(a, Signal) else (b, a)
    return _scale(chain, where, shape, x, constant, 0.0)


@_handles("div")
def _div(
    chain: Chain, where: str, shape: Shape, x: Any, b: Any, *, rounding_mode: str | None = None
) -> Signal:
    if not isinstance(x, Signal) or rounding_mode is not None:
        raise _needs_constant(where)
    divisor = _per_value(b, x.shape, where)
    if not divisor.all():
        raise ValueError(f"{where} divides by zero")
    factor = 1.0 / divisor
    if np.any(np.frexp(divisor)[0] != np.copysign(0.5, divisor)):
        chain.notes.append(f"{where}: the reciprocal of the divisor is rounded to float64")
    return chain.append(Scale(factor, np.zeros_like(factor), where), _same(x, shape, where))


def _scale(chain: Chain, where: str, shape: Shape, x: Signal, factor: Any, term: Any) -> Signal:
    """Multiply by a constant and add one, value by value."""
    step = Scale(_per_value(factor, x.shape, where), _per_value(term, x.shape, where), where)
    return chain.append(step, _same(x, shape, where))


def _same(x: Signal, shape: Shape, where: str) -> Shape:
    if prod(shape) != prod(x.shape):
        raise UnsupportedLayerError(f"{where} repeats values along an axis; that is not supported")
    return shape


def _per_value(constant: Any, shape: Shape, where: str) -> FloatArray:
    """A constant, broadcast against a value of the given shape, one number for each entry."""
    if isinstance(constant, Signal):
        raise _needs_constant(where)
    if is_number(constant):
        return np.full(prod(shape), float(constant))
    if not isinstance(constant, torch.Tensor):
        raise UnsupportedLayerError(f"{where} has an argument that is no constant")
    array = tensors.read(constant.to(torch.float64), f"the constant of {where}")
    if array.ndim > len(shape):  # a leading axis of length 1 stands for the batch
        if array.shape[0] != 1:
            raise UnsupportedLayerError(f"{where} adds or multiplies along the axis of the batch")
        array = array[0]
    return np.ascontiguousarray(np.broadcast_to(array, shape)).ravel()


def _activation(
    make: Callable[..., Step],
) -> Callable[..., Signal]:
    """The handler of an activation that `make` builds from a width, numbers and a name."""

    def handler(chain: Chain, where: str, shape: Shape, x: Signal, *args: Any, **kw: Any) -> Signal:
        if not all(a is None or is_number(a) for a in (*args, *kw.values())):
            raise UnsupportedLayerError(f"{where} has a bound or slope that is no plain number")
        return chain.append(make(prod(x.shape), *args, **kw, name=where), shape)

    return handler


def _clamp(
    width: int, min: float | None = None, max: float | None = None, *, name: str
) -> network.Activation:
    low = -np.inf if min is None else float(min)
    return network.clamp(width, low, np.inf if max is None else float(max), name)


HANDLERS["relu"] = _activation(network.relu)
HANDLERS["abs"] = HANDLERS["absolute"] = _activation(network.absolute)
HANDLERS["clamp"] = HANDLERS["clip"] = _activation(_clamp)
HANDLERS["clamp_min"] = _activation(_clamp)
HANDLERS["clamp_max"] = _activation(lambda width, max, name: _clamp(width, None, max, name=name))
HANDLERS["relu6"] = _activation(lambda width, name: _clamp(width, 0, 6, name=name))
HANDLERS["hardtanh"] = _activation(
    lambda width, min_val=-1, max_val=1, name="": _clamp(width, min_val, max_val, name=name)
)
HANDLERS["leaky_relu"] = _activation(
    lambda width, negative_slope=0.01, name="": network.leaky_relu(width, negative_slope, name)
)


@_handles("prelu")
def _prelu(chain: Chain, where: str, shape: Shape, x: Signal, weight: torch.Tensor) -> Signal:
    slopes = tensors.read(weight, f"the slopes of {where}").ravel()
    per_unit = _per_channel(slopes, x.shape, where)
    return chain.append(network.prelu(per_unit, where), shape)


def _per_channel(values: FloatArray, shape: Shape, where: str) -> FloatArray:
    """One number for each channel (the first axis), repeated along the others."""
    width = prod(shape)
    if len(values) not in (1, shape[0] if shape else 1):
        raise ValueError(f"{where} has {len(values)} channels for values of shape {shape}")
    return np.repeat(values, width // len(values))


@_handles("batch_norm")
def _batch_norm(
    chain: Chain,
    where: str,
    shape: Shape,
    x: Signal,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    mean: torch.Tensor | None,
    variance: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = False,
) -> Signal:
    if mean is None or variance is None:
        raise without_statistics(where)
    if training:
        raise in_train_mode(where, "normalises by the batch it sees")
    step = tensors.batch_norm(weight, bias, mean, variance, eps, where)
    assert step.shift_magnitude is not None
    per_unit = (
        _per_channel(values, x.shape, where)
        for values in (step.scale, step.shift, step.shift_magnitude)
    )
    scale, shift, magnitude = per_unit
    chain.notes.append(f"{where}: scale and shift are rounded to float64")
    return chain.append(Scale(scale, shift, where, magnitude), shape)


@_handles("_native_batch_norm_legit_no_training")
def _decomposed_batch_norm(
    chain: Chain, where: str, shape: Shape, x: Signal, *args: Any
) -> tuple[Signal, Skipped, Skipped]:
    weight, bias, mean, variance, momentum, eps = args
    end = _batch_norm(chain, where, shape, x, weight, bias, mean, variance, False, momentum, eps)
    return end, Skipped(), Skipped()


@_handles("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def _dropout(chain: Chain, where: str, shape: Shape, x: Signal, p: float, train: bool) -> Signal:
    if train and p > 0:
        raise in_train_mode(where, "drops values at random")
    return chain.signal(shape)


@_handles(
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "contiguous",
    "clone", "alias", "detach", "to", "_to_copy", "type_as", "lift_fresh_copy", "identity",
)  # fmt: skip
def _reshape(chain: Chain, where: str, shape: Shape, x: Signal, *args: Any, **kw: Any) -> Signal:
    """Operations that keep all values in their order."""
    return chain.signal(_same(x, shape, where))


@_handles("sym_size", "_assert_tensor_metadata", "_assert_scalar")
def _skip(chain: Chain, where: str, shape: Shape | None, *args: Any, **kw: Any) -> Skipped:
    return Skipped()
