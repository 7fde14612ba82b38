"""Weights and biases by name: which arrays of a file make which layers, in which order.

What is said here of arrays holds for numpy's and torch's alike; only the array's shape, its number
of axes and its transpose are used. So reading arrays of numpy does not import torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from os import PathLike, fspath
from typing import Any, TypeAlias

from polyregions import network
from polyregions.errors import FormatError
from polyregions.formats import arrays
from polyregions.lower.arrays import lower_arrays
from polyregions.network import Activation, FloatArray, Network, exact_float64

Array: TypeAlias = Any  # of numpy or torch
Arrays: TypeAlias = Mapping[str, Array]
Layers: TypeAlias = dict[str, dict[str, Array]]

# A name, with the most numbers that may follow it.
ACTIVATIONS: Mapping[str, int] = {
    "relu": 0,
    "leaky_relu": 1,
    "abs": 0,
    "relu6": 0,
    "hardtanh": 2,
    "identity": 0,
}

KEY_SCHEMES = (
    "weight_0 and bias_0 (also weight0, W0 and b0, W_0 and b_0), or 0.weight and 0.bias "
    "(also fc1.weight, layers.2.bias, dense/W, dense/b)"
)
_NAME_FIRST = re.compile(r"(?P<name>weights?|W|w|bias|biases|B|b)[._]?(?P<layer>\d+)")
_NAME_LAST = re.compile(r"(?P<layer>.+)[._/](?P<name>weights?|kernel|W|w|A|bias|biases|B|b)")
_BIASES = {"bias", "biases", "B", "b"}
# An empty array whose name says what stands between layers, as in 0001.relu._
_MARKER = re.compile(r"(?P<place>\d+)\.(?P<name>\w+)\._")


def parse_activation(activation: str) -> tuple[str, list[float]]:
    """Read an activation such as ``"relu"``, ``"leaky_relu:0.2"`` or ``"hardtanh:-2:2"``.

    Returns
    -------
    name, numbers : str, list of float
        No numbers for the defaults.

    Raises
    ------
    ValueError
        If it is none of those of `ACTIVATIONS`, or its numbers make no sense.
    """
    name, *texts = activation.lower().split(":")
    name = name.replace("-", "_")
    if name not in ACTIVATIONS:
        raise ValueError(
            f"activation must be one of {', '.join(ACTIVATIONS)} (with numbers as in "
            f"leaky_relu:0.2 or hardtanh:-2:2), got {activation!r}"
        )
    most = ACTIVATIONS[name]
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        raise ValueError(f"activation {activation!r} has an argument that is no number") from None
    if len(numbers) not in (0, most):
        raise ValueError(f"activation {name} takes {most} numbers, got {len(numbers)}")
    if name == "hardtanh" and numbers and not numbers[0] < numbers[1]:
        raise ValueError(f"activation {activation!r} has its bounds reversed")
    return name, numbers


def read_network(
    path: str | PathLike[str], *, activation: str = "relu", transpose: bool = False
) -> Network:
    """Read an ``.npz`` of weights and biases as a network; see `polyregions.io.load_model`."""
    name, numbers = parse_activation(activation)
    found = read_layers(path)
    weights, biases = chained(found, transpose, fspath(path))

    def make(width: int, where: str) -> Activation:
        if name == "leaky_relu":
            return network.leaky_relu(width, numbers[0] if numbers else 0.01, where)
        if name == "abs":
            return network.absolute(width, where)
        if name == "relu6":
            return network.clamp(width, 0.0, 6.0, where)
        if name == "hardtanh":
            low, high = numbers or (-1.0, 1.0)
            return network.clamp(width, low, high, where)
        if name == "identity":
            return network.piecewise_linear(width, [], [1.0], [0.0], where)
        return network.relu(width, where)

    return lower_arrays(list(zip(weights, biases, strict=True)), make)


def read_layers(path: str | PathLike[str]) -> Layers:
    """The arrays of an ``.npz`` file by layer, in the order of the layers' numbers."""
    where = fspath(path)
    found = {k: _native(v, k, where) for k, v in arrays.read(path).items()}
    markers = {k: m for k, v in found.items() if not v.size and (m := _MARKER.fullmatch(k))}
    layers = by_layer({k: v for k, v in found.items() if k not in markers}, where)
    if markers:
        _check_markers([(int(m["place"]), m["name"]) for m in markers.values()], layers, where)
    if len({without_numbers(layer) for layer in layers}) == 1:
        layers = {layer: layers[layer] for layer in sorted(layers, key=numbers_of)}
    return layers


def _check_markers(markers: list[tuple[int, str]], layers: Layers, where: str) -> None:
    """Whether the steps that a file names are a ReLU between every two layers.

    A step that makes a single output plain, without an axis, may follow the last one.
    """
    steps = [(numbers_of(layer)[:1], "") for layer in layers]
    steps += [([place], name) for place, name in markers]
    named = [name for _, name in sorted(steps)]
    if named[-1] == "squeeze_last":
        named.pop()
    if named != ["", *["relu", ""] * (len(layers) - 1)]:
        told = ", ".join(name or "a layer" for name in named)
        raise FormatError(
            f"{where} is not a stack of linear layers with a ReLU between every two: its steps are "
            f"{told}. For any other model, {SAVE_PROGRAM}"
        )


def _native(array: Any, name: str, where: str) -> FloatArray:
    """In a dtype that torch knows too."""
    if array.dtype.kind not in "biuf":
        raise FormatError(f"{where}: the array {name!r} holds {array.dtype}, not numbers")
    native = array.astype(array.dtype.newbyteorder("="))
    if native.dtype.name not in ("float16", "float32", "float64"):
        try:
            native = exact_float64(native, f"the array {name!r}").copy()
        except ValueError as error:
            raise FormatError(f"{where}: {error}") from error
    numbers: FloatArray = native
    return numbers


SAVE_PROGRAM = (
    "save the model as a program: "
    "torch.export.save(torch.export.export(model.eval(), (torch.zeros(1, 2),)), 'model.pt2')"
)


def by_layer(tensors: Arrays, where: str) -> Layers:
    """Weight and bias of every layer, in the order of the file."""
    matches = {key: _NAME_FIRST.fullmatch(key) for key in tensors}
    if not any(matches.values()):
        matches = {key: _NAME_LAST.fullmatch(key) for key in tensors}
    layers: Layers = {}
    for key, match in matches.items():
        if match is None:
            raise FormatError(
                f"{where} is not a plain stack of linear layers: {key!r} is neither the weight nor "
                f"the bias of one. Names may be {KEY_SCHEMES}. For any other model, {SAVE_PROGRAM}"
            )
        kind = "bias" if match["name"] in _BIASES else "weight"
        layer = layers.setdefault(match["layer"], {})
        if kind in layer:
            raise FormatError(f"{where} holds two arrays for the {kind} of layer {match['layer']}")
        layer[kind] = tensors[key]
        axes = 1 if kind == "bias" else 2
        if tensors[key].ndim != axes:
            raise FormatError(
                f"{where} is not a plain stack of linear layers: {key!r} has shape "
                f"{tuple(tensors[key].shape)}, and a {kind} has {axes} "
                f"{'axis' if axes == 1 else 'axes'} (a convolution's weight has more, that of a "
                f"batch norm or PReLU has fewer). For any other model, {SAVE_PROGRAM}"
            )
    if not layers:
        raise FormatError(f"{where} holds no weights")
    for name, layer in layers.items():
        if "weight" not in layer:
            raise FormatError(f"{where} holds a bias but no weight of layer {name}")
    return layers


def chained(
    layers: Mapping[str, Arrays], transpose: bool, where: str
) -> tuple[list[Array], list[Array | None]]:
    """Weights, as (out, in), and biases of layers whose shapes must go together."""
    weights = [layer["weight"].T if transpose else layer["weight"] for layer in layers.values()]
    biases = [layer.get("bias") for layer in layers.values()]
    if problem := _mismatch(list(layers), weights, biases):
        hint = ""
        if not _mismatch(list(layers), [w.T for w in weights], biases):
            stored = "(out, in)" if transpose else "(in, out)"
            hint = (
                f". The weights seem to be stored as {stored}: "
                + ("leave out" if transpose else "pass")
                + " transpose=True (--transpose on the command line)"
            )
        raise FormatError(f"{where}: shapes do not chain: {problem}{hint}")
    return weights, biases


def _mismatch(names: list[str], weights: list[Array], biases: list[Array | None]) -> str:
    """The first two shapes that do not go together, in words."""
    for name, weight, bias in zip(names, weights, biases, strict=True):
        if bias is not None and bias.shape != weight.shape[:1]:
            return (
                f"layer {name} has a weight of shape (out, in) = {tuple(weight.shape)} and a bias "
                f"of shape {tuple(bias.shape)}"
            )
    for (before, first), (after, second) in pairwise(zip(names, weights, strict=True)):
        if first.shape[0] != second.shape[1]:
            return (
                f"layer {before} gives {first.shape[0]} values and layer {after} takes "
                f"{second.shape[1]}"
            )
    return ""


def without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def numbers_of(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]
