"""The coefficients of a batch norm with fixed statistics."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np

from polyregions.network import FloatArray, Scale


def batch_norm(
    weight: FloatArray,
    bias: FloatArray,
    mean: FloatArray,
    variance: FloatArray,
    eps: float,
    name: str,
) -> Scale:
    """The affine map of a batch norm, each coefficient rounded once.

    ``scale = weight / sqrt(variance + eps)`` and ``shift = bias - mean * scale``, where the shift
    is made from the scale before its rounding.

    Parameters
    ----------
    weight, bias, mean, variance : (n,) float64
    eps : float
    name : str
        For messages.

    Raises
    ------
    ValueError
        If a variance and `eps` do not add up to a positive number.
    """
    n = len(mean)
    scale, shift, magnitude = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        total = Fraction(variance[i]) + Fraction(eps)
        if total <= 0:
            raise ValueError(f"{name} has variance + eps = {float(total)} in channel {i}")
        factor = Fraction(weight[i]) / _root(total)
        moved = Fraction(mean[i]) * factor
        scale[i] = factor
        shift[i] = Fraction(bias[i]) - moved
        magnitude[i] = abs(bias[i]) + abs(float(moved))
    return Scale(scale, shift, name, magnitude)


def _root(value: Fraction) -> Fraction:
    """The square root with at least 200 correct bits, and exact where it is rational."""
    n, d = value.numerator, value.denominator
    if isqrt(n) ** 2 == n and isqrt(d) ** 2 == d:
        return Fraction(isqrt(n), isqrt(d))
    shift = max(0, 201 + (d.bit_length() - n.bit_length() + 1) // 2)
    return Fraction(isqrt((n << 2 * shift) // d), 1 << shift)
