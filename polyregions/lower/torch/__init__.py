"""Lower a torch model: read a plain Sequential directly, capture everything else."""

from __future__ import annotations

from math import prod

import torch

from polyregions.errors import LoweringError
from polyregions.lower.agreement import check
from polyregions.lower.torch.capture import capture
from polyregions.lower.torch.modules import read_modules
from polyregions.network import Network
from polyregions.rounding import probes
from polyregions.torch_forward import Convention, Model, TorchForward

__all__ = ["lower_torch"]


def lower_torch(model: Model, shape: tuple[int, ...] | None = None) -> Network:
    """Lower a torch module or exported program; see `polyregions.lower`."""
    network = read_modules(model) if isinstance(model, torch.nn.Module) else None
    if network is None or (shape is not None and network.n_inputs != prod(shape)):
        network, call = capture(model, shape)
    else:
        weight = next(model.parameters())
        call = Convention(weight.dtype, weight.device, (network.n_inputs,))
    _check(network, TorchForward(model, call))
    return network


def _check(network: Network, forward: TorchForward) -> None:
    """Compare the lowered network with the model's own forward on random points.

    The points have sizes from 1e-2 to 1e2.
    """
    points = forward.representable(probes(network.n_inputs))
    values, precision = forward.values_and_precision(points)
    if values.shape != (len(points), network.n_outputs):
        raise LoweringError(
            f"the model returns {values.shape[1]} values, the lowered network {network.n_outputs}"
        )
    check(
        network,
        points,
        values,
        precision,
        whom="the model's own forward",
        by="by the model",
        advice="Is the model's forward random, or does it depend on more than its input?",
    )
