"""Turn a model into a `Network`: one module for each kind of model."""

from __future__ import annotations

from operator import index
from typing import Any

from polyregions.lower.arrays import lower_arrays
from polyregions.models import kind_of
from polyregions.network import Network

__all__ = ["lower"]


def lower(model: Any, *, shape: tuple[int, ...] | None = None) -> Network:
    """Lower a model once, for many calls.

    Parameters
    ----------
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        A plain ``nn.Sequential`` of known layers is read directly; any other module is captured
        by `torch.export`, whatever its ``forward`` looks like. A list of pairs of arrays,
        weight (out, in) and bias (out,), is a network with a ReLU between every two of them.
        An ONNX model is an ``onnx.ModelProto`` or the path of an ``.onnx`` file; it is taken as
        what it makes of one input, in a batch of one if it has an axis for batches.
        An estimator is a fitted ``MLPRegressor`` or ``MLPClassifier`` of scikit-learn, or a
        ``Pipeline`` that ends in one and scales its inputs before. An ``NNet`` is what
        `load_model` makes of an ``.nnet`` file. A `Network` is returned as it is.
    shape : tuple of int, optional
        The shape of one input of a torch module, without the axis of a batch, such as
        ``(1, 28, 28)`` for pictures. The network takes its entries in C order. Unless told, it is
        the module's own attribute ``input_shape``, or what its first `nn.Linear` takes, or 2
        numbers; everything else says it itself.

    Returns
    -------
    Network
        The coefficients are the model's own, read exactly. What had to be rounded to float64
        (the factor of a batch norm) or was left out (a softmax at the end) is listed in
        `Network.notes`.

    Raises
    ------
    UnsupportedLayerError
        If an operation of the model is not piecewise linear, or not known.
    ValueError
        If weights are NaN or infinite, shapes do not chain, a dropout or batch norm is in train
        mode, an estimator is not fitted, or the model takes no input of `shape`, or of any that
        could be guessed.
    LoweringError
        If the result differs from the model's own forward by more than rounding can explain.

    Examples
    --------
    >>> import polyregions as pr
    >>> pr.lower([([[1.0, 2.0], [0.5, -1.0]], [0.0, 1.0]), ([[1.0, 1.0]], [0.0])])
    <Network 2-2-1, 2 units>
    """
    if shape is not None:
        shape = _as_shape(shape)
    kind = kind_of(model)
    if kind == "network":
        network: Network = model
        return network
    if kind == "arrays":
        return lower_arrays(model)
    if kind == "nnet":
        from polyregions.lower.nnet import lower_nnet

        return lower_nnet(model)
    if kind == "sklearn":
        from polyregions.lower.sklearn import lower_sklearn

        return lower_sklearn(model)
    if kind == "onnx":
        from polyregions.lower.onnx import lower_onnx

        return lower_onnx(model)
    from polyregions.lower.torch import lower_torch

    return lower_torch(model, shape)


def _as_shape(shape: Any) -> tuple[int, ...]:
    try:
        return tuple(map(index, shape))
    except TypeError:
        raise TypeError(
            f"shape must be a tuple of integers, such as (1, 28, 28), got {shape!r}"
        ) from None
