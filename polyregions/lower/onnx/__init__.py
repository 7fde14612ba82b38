"""Lower an ONNX model: one small handler for each operator."""

from __future__ import annotations

from typing import Any

from polyregions.lower.agreement import check
from polyregions.network import Network
from polyregions.rounding import probes

__all__ = ["lower_onnx"]


def lower_onnx(model: Any) -> Network:
    """Lower an ``onnx.ModelProto``, or the file of one; see `polyregions.lower`."""
    from polyregions.onnx_forward import OnnxForward

    forward = OnnxForward(model)
    _check(forward)
    return forward.network


def _check(forward: Any) -> None:
    """Compare the lowered network with the model in a runtime of the format, at random points.

    The points have sizes from 1e-2 to 1e2.
    """
    network: Network = forward.network
    points = forward.representable(probes(network.n_inputs))
    values = forward.values(points)
    check(
        network,
        points,
        values,
        forward.precision,
        whom=f"the model in {forward.runtime}",
        by="there",
        advice="Please report it",
    )
