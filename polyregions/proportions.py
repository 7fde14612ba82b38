"""Proportions of pictures: true to scale, unless that would leave no more than a line."""

from __future__ import annotations

import numpy as np

from polyregions.network import FloatArray

# Sides that differ by more than this factor are drawn alike.
_LONGEST = 10.0


def drawn_alike(bounds: tuple[float, float, float, float]) -> FloatArray:
    """Lengths along x and y that a picture of these bounds draws equally long.

    Pictures are true to scale: the lengths are 1 and 1. But where one side is more than ten times
    as long as the other, the coordinates are of different kinds, such as feet and radians, and no
    scale is true. Then the picture is a square.

    Parameters
    ----------
    bounds : (xmin, ymin, xmax, ymax)

    Returns
    -------
    (2,) float64
        The longer is 1. As factors of a gradient they give the slope that is seen: that for a step
        along the longer side, and for an equally long step on the page along the other.

    Examples
    --------
    >>> from polyregions.proportions import drawn_alike
    >>> drawn_alike((0, 0, 4, 1)), drawn_alike((0, -1, 1000, 1))
    (array([1., 1.]), array([1.   , 0.002]))
    """
    xmin, ymin, xmax, ymax = bounds
    sides = np.array([xmax - xmin, ymax - ymin])
    if sides.max() <= _LONGEST * sides.min():
        return np.ones(2)
    return np.asarray(sides / sides.max())
