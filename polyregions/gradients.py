"""Derivatives of a network by all its inputs for many activation patterns at once, in float64.

`polyregions.jacobian` works out one of them exactly; `polyregions.rounding.jacobian_bound` bounds
the errors of these.
"""

from __future__ import annotations

import numpy as np

from polyregions.network import Activation, AffineStep, ByteArray, FloatArray, Network, Step, parted
from polyregions.rounding import to_chosen


def jacobians(network: Network, pattern: ByteArray) -> FloatArray:
    """Backpropagate the outputs of a network, for given activation patterns.

    Parameters
    ----------
    network : Network
    pattern : (F, H) uint8
        The pieces whose slopes the derivatives are made of.

    Returns
    -------
    (F, M, n_inputs) float64
        Infinite or NaN where float64 overflows.

    Examples
    --------
    >>> import numpy as np
    >>> import polyregions as pr
    >>> from polyregions.gradients import jacobians
    >>> network = pr.lower([([[1, 2], [3, 4]], [0, 0]), ([[1, 10]], [0])])
    >>> jacobians(network, np.array([[1, 0], [1, 1]], dtype=np.uint8))
    array([[[ 1.,  2.]],
    <BLANKLINE>
           [[31., 42.]]])
    """
    m, end = network.n_outputs, network.n_units

    def retreat(step: Step, given: FloatArray) -> FloatArray:
        nonlocal end
        if isinstance(step, AffineStep):
            return step.adjoint(given)
        begin = end - step.n_outputs
        piece = pattern[:, begin:end]
        end = begin
        if isinstance(step, Activation):
            return given * step.select(step.slopes, piece)[:, None, :]
        return to_chosen(step, piece, given)

    outputs = np.broadcast_to(np.eye(m), (len(pattern), m, m))
    with np.errstate(over="ignore", invalid="ignore"):
        found = network.backpropagate(outputs, parted, np.add, retreat)
    if found is None:  # the output does not depend on the input
        return np.zeros((len(pattern), m, network.n_inputs))
    return np.array(found)
