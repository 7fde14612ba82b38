"""Lower an ONNX model: one small handler for each operator."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from polyregions.errors import LoweringError
from polyregions.network import FloatArray, Network
from polyregions.rounding import forward_bound

__all__ = ["lower_onnx"]


def lower_onnx(model: Any) -> Network:
    """Lower an ``onnx.ModelProto``, or the file of one; see `polyregions.lower`."""
    from polyregions.onnx_forward import OnnxForward

    forward = OnnxForward(model)
    _check(forward)
    return forward.network


def _check(forward: Any) -> None:
    """Compare the lowered network with the model in a runtime of the format, at random points.

    The points have sizes from 1e-2 to 1e2. They may differ by what rounding in the model's own
    arithmetic can explain, bounded rigorously, and not by more.
    """
    network: Network = forward.network
    points = forward.representable(_directions(network.n_inputs))
    values = forward.values(points)
    bound = forward_bound(network, points, forward.precision).values
    with np.errstate(over="ignore", invalid="ignore"):
        lowered = network(points)
        wrong = ~(np.abs(lowered - values) <= bound) & np.isfinite(bound)
    if wrong.any():
        i, m = np.argwhere(wrong)[0]
        raise LoweringError(
            f"the lowered network disagrees with the model in {forward.runtime}: at "
            f"{points[i].tolist()} output {m} is {values[i, m]!r} there and {lowered[i, m]!r} by "
            f"the lowered network, while rounding in {forward.precision.name} explains a "
            f"difference of {bound[i, m]:.3g} at most. Please report it"
        )


@cache
def _directions(n_inputs: int) -> FloatArray:
    rng = np.random.default_rng(0)
    return np.logspace(-2, 2, 16)[:, None] * rng.standard_normal((16, n_inputs))
