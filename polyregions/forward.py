"""A model's own forward pass at many points: values, Jacobians and activation patterns.

This is what a partition is checked against. It shares no code with the engines, nor, for a torch
model, with lowering.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from polyregions.formats.nnet import NNet
from polyregions.models import kind_of
from polyregions.network import (
    Activation,
    AffineStep,
    ByteArray,
    FloatArray,
    Network,
    Step,
    joined,
)
from polyregions.rounding import FLOAT64, Precision
from polyregions.slice import Slice


@dataclass(frozen=True)
class Sample:
    """What a forward pass says at N points.

    Attributes
    ----------
    values : (N, M) float64
    jacobian : (N, M, n_inputs) float64 or None
        None if it was not asked for, or if the model's forward has no derivative to offer;
        `limitation` says why.
    preactivation : (N, H) float64
        Computed pre-activations of all units, in order; for a unit that takes the largest of
        several values, how far that is from the next.
    pattern : (N, H) uint8
        The piece of every unit, from its computed pre-activation.
    precision : Precision
        The coarsest arithmetic that the forward used.
    limitation : str
        What the forward does, or cannot do, where there is no Jacobian.
    unseen : str
        What the forward does where its units cannot be told from without; then `preactivation`
        and `pattern` have no columns.
    """

    values: FloatArray
    jacobian: FloatArray | None
    preactivation: FloatArray
    pattern: ByteArray
    precision: Precision
    limitation: str = ""
    unseen: str = ""


_Values: TypeAlias = tuple[FloatArray, FloatArray]


class Forward(Protocol):
    """A model that can be called at points, which are its inputs in the order of C."""

    def representable(self, points: FloatArray) -> FloatArray:
        """The points rounded to the numbers that the model takes as its input."""

    def values(self, points: FloatArray) -> FloatArray:
        """Values, (N, M) float64, at points (N, n_inputs) float64."""

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        """Values, patterns and, if wanted, Jacobians at representable points."""


def forward_of(
    model: Any,
    slice: Slice | None = None,
    network: Network | None = None,
    *,
    shape: tuple[int, ...] | None = None,
) -> Forward:
    """The model's own forward, for every kind of model that `polyregions.lower` takes.

    Parameters
    ----------
    model
    slice : Slice, optional
        The plane that points are of; then they are (N, 2).
    network : Network, optional
        What the model was lowered to, of all its inputs; it says which units there are.
    shape : tuple of int, optional
        The shape of an input, without a slice; see `polyregions.lower`.
    """
    if slice is not None:
        return SlicedForward(forward_of(model, network=network, shape=slice.shape), slice)
    kind = kind_of(model)
    if kind == "network":
        return NetworkForward(model)
    if kind == "arrays":
        return ArrayForward(model)
    if kind == "nnet":
        return NNetForward(model)
    if kind == "sklearn":
        from polyregions.sklearn_forward import SklearnForward

        return SklearnForward(model)
    if kind == "onnx":
        from polyregions.onnx_forward import OnnxForward

        return OnnxForward(model)
    from polyregions.torch_forward import TorchForward

    return TorchForward(model, shape=shape, network=network)


class ChartForward(ABC):
    """A model that is called at points given by coordinates in a part of its input space.

    The points are computed in float64 and rounded to what the model takes. So the model is the
    network that was restricted to that part, whose first step is done in the model's own arithmetic
    or better, and the bounds of `polyregions.rounding` for that network hold.
    """

    def __init__(self, forward: Forward) -> None:
        self._forward = forward

    @abstractmethod
    def _place(self, points: FloatArray) -> FloatArray:
        """The inputs of the model, N of them of any shape, at coordinates (N, 2)."""

    @abstractmethod
    def _derivative(self, jacobian: FloatArray) -> FloatArray:
        """By the coordinates, (N, M, 2), from that by the inputs, (N, M, n_inputs)."""

    def _inputs(self, points: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", invalid="ignore"):
            return self._place(points).reshape(len(points), -1)

    def representable(self, points: FloatArray) -> FloatArray:
        return points

    def values(self, points: FloatArray) -> FloatArray:
        return self._forward.values(self._inputs(points))

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        sample = self._forward.sample(self._inputs(points), with_jacobian=with_jacobian)
        if sample.jacobian is None:
            return sample
        return replace(sample, jacobian=self._derivative(sample.jacobian))


class SlicedForward(ChartForward):
    """A model that is called at points of a plane in its input space."""

    def __init__(self, forward: Forward, slice: Slice) -> None:
        super().__init__(forward)
        self._slice = slice
        self._directions = slice.as_step().weight

    def _place(self, points: FloatArray) -> FloatArray:
        return self._slice(points)

    def _derivative(self, jacobian: FloatArray) -> FloatArray:
        return jacobian @ self._directions


class ArrayForward:
    """A list of (weight, bias) arrays with ReLU between them, evaluated in float64."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self._layers = [
            (np.asarray(w, dtype=np.float64), 0.0 if b is None else np.asarray(b, dtype=np.float64))
            for w, b in layers
        ]

    def representable(self, points: FloatArray) -> FloatArray:
        return points

    def values(self, points: FloatArray) -> FloatArray:
        x = points
        for i, (weight, bias) in enumerate(self._layers):
            x = np.maximum(x, 0.0) if i else x
            x = x @ weight.T + bias
        return x

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        x = points
        jacobian = np.broadcast_to(np.eye(points.shape[1]), (len(points), *[points.shape[1]] * 2))
        before = [np.empty((len(points), 0))]
        for i, (weight, bias) in enumerate(self._layers):
            if i:
                before.append(x)
                active = x > 0
                x = np.where(active, x, 0.0)
                if with_jacobian:
                    jacobian = np.where(active[:, :, None], jacobian, 0.0)
            x = x @ weight.T + bias
            if with_jacobian:
                jacobian = weight @ jacobian
        z = np.concatenate(before, axis=1)
        return Sample(x, jacobian if with_jacobian else None, z, (z > 0).astype(np.uint8), FLOAT64)


class NNetForward:
    """What an ``.nnet`` file describes, by the format's own formula, in float64."""

    def __init__(self, model: NNet) -> None:
        self._model = model
        self._layers = ArrayForward(list(zip(model.weights, model.biases, strict=True)))

    def representable(self, points: FloatArray) -> FloatArray:
        return points

    def values(self, points: FloatArray) -> FloatArray:
        return self._restored(self._layers.values(self._normalised(points)))

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        inner = self._layers.sample(self._normalised(points), with_jacobian=with_jacobian)
        jacobian = inner.jacobian
        if jacobian is not None:
            jacobian = jacobian * self._model.ranges[-1] / self._model.ranges[:-1]
        return replace(inner, values=self._restored(inner.values), jacobian=jacobian)

    def _normalised(self, points: FloatArray) -> FloatArray:
        return (points - self._model.means[:-1]) / self._model.ranges[:-1]

    def _restored(self, values: FloatArray) -> FloatArray:
        return values * self._model.ranges[-1] + self._model.means[-1]


class NetworkForward:
    """A lowered network, evaluated in float64."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def representable(self, points: FloatArray) -> FloatArray:
        return points

    def values(self, points: FloatArray) -> FloatArray:
        return self._network(points)

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        before = [np.empty((len(points), 0))]
        pieces = [np.empty((len(points), 0), dtype=np.uint8)]
        n_inputs = points.shape[1]
        # Row i, of point p, holds the derivatives of all values by input i.
        rows = np.broadcast_to(np.eye(n_inputs), (len(points), n_inputs, n_inputs))

        def advance(step: Step, given: _Values) -> _Values:
            x, rows = given
            if isinstance(step, AffineStep):
                return step(x), step.apply(rows) if with_jacobian else rows
            piece = step.piece(x)
            pieces.append(piece)
            if isinstance(step, Activation):
                before.append(x)
                if with_jacobian:
                    rows = step.select(step.slopes, piece)[:, None, :] * rows
            else:
                before.append(step.margin(x))
                if with_jacobian:
                    rows = np.take_along_axis(rows, step.chosen(piece)[:, None, :], axis=2)
            return step(x), rows

        def join(taken: Sequence[_Values]) -> _Values:
            return joined([x for x, _ in taken]), (
                joined([rows for _, rows in taken]) if with_jacobian else rows
            )

        x, rows = self._network.propagate((points, rows), join, advance)
        z, pattern = np.concatenate(before, axis=1), np.concatenate(pieces, axis=1)
        jacobian = np.swapaxes(rows, 1, 2) if with_jacobian else None
        return Sample(x, jacobian, z, pattern, FLOAT64)
