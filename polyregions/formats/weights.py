"""Weights and biases in a file as a plain stack of linear layers with an activation between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike, fspath

import torch
from torch import nn

from polyregions.errors import FormatError
from polyregions.formats.layers import (
    SAVE_PROGRAM,
    Arrays,
    by_layer,
    chained,
    numbers_of,
    parse_activation,
    read_layers,
    without_numbers,
)

_MODULES: Mapping[str, Callable[..., nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    # Slope -1 below zero: torch's module for |z|, which has no name of its own.
    "abs": lambda: nn.LeakyReLU(-1.0),
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "identity": nn.Identity,
}


def activation_module(activation: str) -> Callable[[], nn.Module]:
    """What makes the module of an activation; see `parse_activation` for its names."""
    name, numbers = parse_activation(activation)
    return lambda: _MODULES[name](*numbers)


def read_npz(
    path: str | PathLike[str], *, activation: str = "relu", transpose: bool = False
) -> nn.Sequential:
    """Read arrays of weights and biases; see `polyregions.io.load_model` for their names."""
    make = activation_module(activation)
    layers = {
        layer: {kind: torch.from_numpy(array) for kind, array in found.items()}
        for layer, found in read_layers(path).items()
    }
    return _stack(layers, make, transpose, fspath(path))


def read_state_dict(
    path: str | PathLike[str], *, activation: str = "relu", transpose: bool = False
) -> nn.Sequential:
    """Read the state dict of a plain stack of linear layers; see `polyregions.io.load_model`."""
    make = activation_module(activation)
    where = fspath(path)
    with open(path, "rb") as file:
        try:
            contents = torch.load(file, weights_only=True, map_location="cpu")
        except Exception as error:  # whatever a hostile or damaged pickle provokes
            raise FormatError(
                f"{where} is no state dict, or is damaged. A whole pickled module could run code "
                "when opened, so it is not opened; save torch.save(model.state_dict(), path), or "
                f"{SAVE_PROGRAM}"
            ) from error
    if not isinstance(contents, Mapping):
        raise FormatError(
            f"{where} holds a {type(contents).__name__}, not a state dict; "
            "save torch.save(model.state_dict(), path)"
        )
    for key, value in contents.items():
        if not isinstance(value, torch.Tensor) or not isinstance(key, str):
            hint = ""
            if isinstance(value, Mapping):
                hint = f"; if the weights are under {key!r}, save that entry by itself"
            raise FormatError(
                f"{where} is not a plain state dict: its entry {key!r} is a "
                f"{type(value).__name__}, not a tensor{hint}"
            )
        if value.layout != torch.strided or not value.is_floating_point():
            raise FormatError(
                f"{where}: {key!r} is a tensor of {value.dtype} and {value.layout}; linear layers "
                f"have floating-point numbers only. For any other model, {SAVE_PROGRAM}"
            )
    layers = by_layer(contents, where)
    names = list(layers)
    if len(set(map(without_numbers, names))) == 1 and names != sorted(names, key=numbers_of):
        raise FormatError(
            f"{where} holds the layers in the order {', '.join(names)}, which is not that of their "
            f"numbers, so the order of the calls is unknown; {SAVE_PROGRAM}"
        )
    return _stack(layers, make, transpose, where)


def _stack(
    layers: Mapping[str, Arrays], make: Callable[[], nn.Module], transpose: bool, where: str
) -> nn.Sequential:
    weights, biases = chained(layers, transpose, where)
    tensors = [t for t in (*weights, *biases) if t is not None]
    dtype = tensors[0].dtype
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)  # every number is kept
    modules: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        if modules:
            modules.append(make())
        modules.append(_linear(weight.to(dtype), None if bias is None else bias.to(dtype)))
    return nn.Sequential(*modules).eval()


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    # Made without numbers, so that no random ones are drawn from the caller's generator.
    out_features, in_features = weight.shape
    layer = nn.Linear(in_features, out_features, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.contiguous())
    if bias is not None:
        layer.bias = nn.Parameter(bias.contiguous())
    return layer
