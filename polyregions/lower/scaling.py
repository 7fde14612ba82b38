"""Lower the normalisation of inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from polyregions.network import Scale, Step, exact_float64


def standardise(means: ArrayLike, divisors: ArrayLike, name: str) -> tuple[list[Step], list[str]]:
    """Lower ``(x - mean) / divisor``.

    The difference and the quotient are separate steps, so that nothing but the reciprocals of
    the divisors is ever rounded, and not even those where they are powers of two.

    Parameters
    ----------
    means, divisors : (n,) array_like
    name : str
        For messages.

    Returns
    -------
    steps : list of Scale
        Those that do anything.
    notes : list of str
        What was rounded.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or the reciprocal of a divisor is.
    """
    mean = exact_float64(means, f"the means of {name}")
    divisor = exact_float64(divisors, f"the divisors of {name}")
    with np.errstate(over="ignore", divide="ignore"):
        factor = 1.0 / divisor
    if not np.isfinite(factor).all():
        raise ValueError(f"{name} divides by {divisor[~np.isfinite(factor)][0]!r}, which overflows")
    steps: list[Step] = []
    notes: list[str] = []
    if mean.any():
        steps.append(Scale(np.ones(len(mean)), -mean, name))
    if (divisor != 1).any():
        steps.append(Scale(factor, np.zeros(len(factor)), name))
        if (np.abs(np.frexp(divisor)[0]) != 0.5).any():  # else powers of two
            notes.append(f"{name}: the reciprocals of the divisors are rounded to float64")
    return steps, notes
