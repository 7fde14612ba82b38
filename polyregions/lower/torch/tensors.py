"""Exact reading of tensors, also of those of a batch norm."""

from __future__ import annotations

import numpy as np
import torch

from polyregions.lower.batch_norm import batch_norm as exact_batch_norm
from polyregions.network import FloatArray, Scale


def read(tensor: torch.Tensor, name: str, *, finite: bool = True) -> FloatArray:
    """A tensor of numbers as a float64 array, exactly.

    Raises
    ------
    TypeError
        If it holds complex numbers.
    ValueError
        If it holds none at all (on the meta device), NaN, infinite values unless `finite` is
        False, or integers that no float64 equals.
    """
    if tensor.is_meta:
        raise ValueError(f"{name} is on the meta device, where tensors hold no numbers")
    if tensor.is_complex():
        raise TypeError(f"{name} must be a tensor of real numbers, got {tensor.dtype}")
    plain = tensor.detach().cpu()
    array: FloatArray = plain.to(torch.float64).numpy()
    if not (np.isfinite(array).all() if finite else not np.isnan(array).any()):
        raise ValueError(f"{name} holds NaN or infinite values; every coefficient must be finite")
    if not tensor.is_floating_point() and (np.abs(array) >= 2.0**53).any():
        raise ValueError(f"{name} holds integers above 2**53, which float64 may round")
    return array


def batch_norm(
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    mean: torch.Tensor,
    variance: torch.Tensor,
    eps: float,
    name: str,
) -> Scale:
    """The affine map of a batch norm with fixed statistics; see `polyregions.lower.batch_norm`."""
    means, variances = read(mean, f"the mean of {name}"), read(variance, f"the variance of {name}")
    n = len(means)
    weights = np.ones(n) if weight is None else read(weight, f"the weight of {name}")
    biases = np.zeros(n) if bias is None else read(bias, f"the bias of {name}")
    return exact_batch_norm(weights, biases, means, variances, eps, name)
