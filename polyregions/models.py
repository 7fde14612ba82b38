"""What kinds of models there are, told without importing torch, scikit-learn or onnx."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from polyregions.formats.nnet import NNet
from polyregions.network import Network

Kind: TypeAlias = Literal["torch", "network", "arrays", "nnet", "onnx", "sklearn"]

FROM_KERAS = "make an ONNX file of it, by model.export('model.onnx', format='onnx') or tf2onnx"


def kind_of(model: Any) -> Kind:
    """Tell the kinds of models apart.

    They are torch modules and programs, lists of (weight, bias), what `polyregions.load_model`
    makes of an ``.nnet`` file, an ``onnx.ModelProto`` or the path of an ``.onnx`` file, estimators
    of scikit-learn (all of them; lowering says which it takes) and `Network`.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(model, Network):
        return "network"
    if isinstance(model, NNet):
        return "nnet"
    if is_torch_model(model):
        return "torch"
    if is_sklearn_model(model):
        return "sklearn"
    if is_onnx_model(model):
        return "onnx"
    if isinstance(model, Sequence) and not isinstance(model, str | bytes):
        return "arrays"
    hint = ""
    if isinstance(model, str | PathLike):
        hint = "; polyregions.load_model opens a file that holds a model"
    elif type(model).__module__.partition(".")[0] in ("keras", "tensorflow", "tf_keras"):
        hint = f" of Keras; {FROM_KERAS}, and pass that file"
    raise TypeError(
        "model must be a torch.nn.Module, a torch.export.ExportedProgram, a list of "
        "(weight, bias) arrays, an onnx.ModelProto, the path of an .onnx file, an estimator of "
        "scikit-learn, an NNet or a polyregions.Network, got "
        f"{type(model).__qualname__}{hint}"
    )


def is_torch_model(model: Any) -> bool:
    """Whether `model` is a torch module or an exported program, without importing torch."""
    torch = sys.modules.get("torch")
    if torch is None:  # then nobody can have made such an object
        return False
    if isinstance(model, torch.nn.Module):
        return True
    export = sys.modules.get("torch.export")
    return export is not None and isinstance(model, export.ExportedProgram)


def is_sklearn_model(model: Any) -> bool:
    """Whether `model` is an estimator of scikit-learn, without importing scikit-learn."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(model, base.BaseEstimator)


def is_onnx_model(model: Any) -> bool:
    """Whether `model` is an ONNX model or the path of one, without importing onnx."""
    if isinstance(model, str | PathLike):
        return str(fspath(model)).lower().endswith(".onnx")
    onnx = sys.modules.get("onnx")
    return onnx is not None and isinstance(model, onnx.ModelProto)
