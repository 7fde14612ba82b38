"""Turn a model into a `Network`: one module for each kind of model."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

from polyregions.lower.arrays import lower_arrays
from polyregions.models import kind_of
from polyregions.network import Network

__all__ = ["lower"]


def lower(model: Any, *, input_shape: Sequence[int] | None = None) -> Network:
    """Lower a model once, for many calls.

    Parameters
    ----------
    model : torch.nn.Module, torch.export.ExportedProgram, list of (weight, bias) or Network
        A plain ``nn.Sequential`` of known layers is read directly; any other module is captured
        by `torch.export`, whatever its ``forward`` looks like. A list of pairs of arrays,
        weight (out, in) and bias (out,), is a network with a ReLU between every two of them.
        A `Network` is returned as it is.
    input_shape : sequence of int, optional
        Shape of one input, such as ``(1, 28, 28)`` for pictures, without the axis of a batch.
        The network takes its entries in C order. Unless told, it is the model's own attribute
        ``input_shape``, or what its first `nn.Linear` takes, or 2 numbers; a program or a list of
        arrays says it itself.

    Returns
    -------
    Network
        The coefficients are the model's own, read exactly. What had to be rounded to float64
        (the factor of a batch norm) is listed in `Network.notes`.

    Raises
    ------
    UnsupportedLayerError
        If an operation of the model is not piecewise linear, or not known.
    ValueError
        If weights are NaN or infinite, shapes do not chain, a dropout or batch norm is in train
        mode, or the model takes no input of `input_shape`, or of any that could be guessed.
    LoweringError
        If the result differs from the model's own forward by more than rounding can explain.

    Examples
    --------
    >>> import polyregions as pr
    >>> pr.lower([([[1.0, 2.0], [0.5, -1.0]], [0.0, 1.0]), ([[1.0, 1.0]], [0.0])])
    <Network 2-2-1, 2 units>
    """
    kind = kind_of(model)
    shape = None if input_shape is None else tuple(map(operator.index, input_shape))
    if kind == "torch":
        from polyregions.lower.torch import lower_torch

        return lower_torch(model, shape)
    network: Network = model if kind == "network" else lower_arrays(model)
    if shape is not None and prod(shape) != network.n_inputs:
        raise ValueError(
            f"input_shape {shape} has {prod(shape)} entries, but the model takes "
            f"{network.n_inputs} inputs"
        )
    return network
