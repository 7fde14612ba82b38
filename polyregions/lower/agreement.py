"""Holding a lowered network against its model's own forward."""

from __future__ import annotations

import numpy as np

from polyregions.errors import LoweringError
from polyregions.network import FloatArray, Network
from polyregions.rounding import Precision, forward_bound


def check(
    network: Network,
    points: FloatArray,
    values: FloatArray,
    precision: Precision,
    *,
    whom: str,
    by: str,
    advice: str,
) -> None:
    """Compare a lowered network with what the model's own forward gives at some points.

    They may differ by what rounding in the model's arithmetic can explain, bounded rigorously, and
    not by more.

    Parameters
    ----------
    network : Network
    points : (N, n_inputs) float64
        That `precision` represents exactly.
    values : (N, M) float64
        Of the model's own forward.
    precision : Precision
        Of its arithmetic.
    whom, by, advice : str
        For the message: what the network disagrees with, whose the values are, what to do.

    Raises
    ------
    LoweringError
        If they differ by more.
    """
    bound = forward_bound(network, points, precision).values
    with np.errstate(over="ignore", invalid="ignore"):
        lowered = network(points)
        wrong = ~(np.abs(lowered - values) <= bound) & np.isfinite(bound)
    if wrong.any():
        i, m = np.argwhere(wrong)[0]
        raise LoweringError(
            f"the lowered network disagrees with {whom}: at {points[i].tolist()} output {m} is "
            f"{values[i, m]!r} {by} and {lowered[i, m]!r} by the lowered network, while rounding "
            f"in {precision.name} explains a difference of {bound[i, m]:.3g} at most. {advice}"
        )
