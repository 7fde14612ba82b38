"""Read a plain `nn.Sequential` of known layers without capturing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from polyregions import network
from polyregions.errors import UnsupportedLayerError
from polyregions.lower.torch import tensors
from polyregions.lower.torch.traced import is_number
from polyregions.network import Affine, Network, Step

Handler: TypeAlias = Callable[[Any, int, str], Step | None]
_HANDLERS: dict[type[nn.Module], Handler] = {}


def _handles(*kinds: type[nn.Module]) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(kinds, handler))
        return handler

    return register


def read_modules(model: nn.Module) -> Network | None:
    """Lower a Sequential (or a single layer) whose layers are all known and without hooks.

    Returns None for anything else, a subclass of a known layer included, since its forward may
    differ.
    """
    layers = list(_flatten(model, ""))
    if not layers or type(layers[0][1]) is not nn.Linear:
        return None
    notes = []
    if type(layers[-1][1]) in _LAST and not _is_hooked(layers[-1][1]):
        path, layer = layers.pop()
        notes.append(left_out(_named(path, layer)))
    if any(type(layer) not in _HANDLERS or _is_hooked(layer) for _, layer in layers):
        return None
    width = n_inputs = layers[0][1].in_features
    steps: list[Step] = []
    for path, layer in layers:
        step = _HANDLERS[type(layer)](layer, width, _named(path, layer))
        if step is not None:
            steps.append(step)
            width = step.n_outputs
        if isinstance(step, network.Scale):
            notes.append(f"{step.name}: scale and shift are rounded to float64")
    return Network(tuple(steps), n_inputs, tuple(notes))


# Curved layers that may stand at the end, and are left out there.
_LAST = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid)


def _named(path: str, layer: nn.Module) -> str:
    return f"layer {path!r} ({type(layer).__name__})" if path else type(layer).__name__


def left_out(where: str, place: str = "") -> str:
    """The note on a last step that is left out; `place` is "largest" or "least" if it gives one."""
    if place:
        return (
            f"{where}: left out as the last step: the values are those that go into it, and what "
            f"it gives is the place of the {place} of them"
        )
    return (
        f"{where}: left out as the last step, which moves no region: the values are those that "
        "go into it"
    )


def _flatten(module: nn.Module, path: str) -> Iterator[tuple[str, Any]]:
    if type(module) is nn.Sequential and not _is_hooked(module):
        # Not named_children(), which leaves out a layer that is used a second time.
        for name, child in module._modules.items():
            yield from _flatten(child, f"{path}.{name}" if path else name)
    else:
        yield path, module


def _is_hooked(module: nn.Module) -> bool:
    """Whether calling the module does more than its forward, or its forward was replaced."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks) or "forward" in vars(module)


@_handles(nn.Linear)
def _linear(layer: nn.Linear, width: int, name: str) -> Step:
    weight = tensors.read(layer.weight, f"the weight of {name}")
    bias = (
        np.zeros(layer.out_features)
        if layer.bias is None
        else tensors.read(layer.bias, f"the bias of {name}")
    )
    return Affine(weight, bias, name)


@_handles(nn.ReLU)
def _relu(layer: nn.ReLU, width: int, name: str) -> Step:
    return network.relu(width, name)


@_handles(nn.LeakyReLU)
def _leaky_relu(layer: nn.LeakyReLU, width: int, name: str) -> Step:
    return network.leaky_relu(width, number(layer.negative_slope, name), name)


@_handles(nn.PReLU)
def _prelu(layer: nn.PReLU, width: int, name: str) -> Step:
    slopes = tensors.read(layer.weight, f"the slopes of {name}")
    if len(slopes) not in (1, width):
        raise ValueError(f"{name} has {len(slopes)} slopes for {width} units")
    return network.prelu(np.broadcast_to(slopes, (width,)), name)


@_handles(nn.ReLU6, nn.Hardtanh)
def _hardtanh(layer: nn.Hardtanh, width: int, name: str) -> Step:
    return network.clamp(width, number(layer.min_val, name), number(layer.max_val, name), name)


@_handles(nn.Identity, nn.Flatten)
def _nothing(layer: nn.Module, width: int, name: str) -> None:
    if isinstance(layer, nn.Flatten) and layer.start_dim != 1:
        raise ValueError(f"{name} mixes different inputs: its start_dim must be 1")


@_handles(nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Dropout1d)
def _dropout(layer: nn.Dropout, width: int, name: str) -> None:
    if layer.training and layer.p > 0:
        raise in_train_mode(name, "drops values at random")


@_handles(nn.BatchNorm1d)
def _batch_norm(layer: nn.BatchNorm1d, width: int, name: str) -> Step:
    if layer.running_mean is None or layer.running_var is None:
        raise without_statistics(name)
    if layer.training:
        raise in_train_mode(name, "normalises by the batch it sees")
    return tensors.batch_norm(
        layer.weight, layer.bias, layer.running_mean, layer.running_var, layer.eps, name
    )


def in_train_mode(name: str, what: str) -> ValueError:
    """The error for a layer that is no function of one input alone while training."""
    return ValueError(
        f"{name} is in train mode, where it {what}, so the network is no function of its input; "
        "call model.eval() first"
    )


def without_statistics(name: str) -> ValueError:
    """The error for a batch norm that is no function of one input alone in any mode."""
    return ValueError(
        f"{name} keeps no running statistics (track_running_stats=False), so it normalises by the "
        "batch it sees, in eval mode too, and the network is no function of its input; train it "
        "with track_running_stats=True"
    )


def number(value: Any, name: str) -> float:
    """A slope or bound, which may have been given as a tensor.

    Raises
    ------
    UnsupportedLayerError
        If it is neither a number nor a tensor of one element.
    """
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return float(tensors.read(value.double(), f"a bound or slope of {name}").item())
    if not is_number(value):
        raise UnsupportedLayerError(f"{name} has a bound or slope that is no plain number")
    return float(value)
