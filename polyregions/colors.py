"""Colours of slopes: hue for the direction of a gradient, depth of colour for its size.

The colours lie on a cone in OKLab (Ottosson 2020), a space in which equal distances look about
equally different. Its tip is a light grey, the colour of a flat face; its base is a circle, the
colours of the steepest faces in all directions. The cone is a little rounded, so that gentle
slopes already have a hue. The base is tilted: greens are lighter than reds and purples. So
directions stay apart for readers who do not see red against green: what is left to them, blue
against yellow and light against dark, still goes round a full ellipse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from polyregions.network import FloatArray

# The cone: lightness at the tip and in the middle of the base, the base's radius and tilt, and how
# its radius grows from the tip. With this radius and tilt all colours just stay within sRGB.
_FLAT_LIGHTNESS = 0.94
_STEEP_LIGHTNESS = 0.70
_RADIUS = 0.138
_TILT = np.radians(40.0)
_ROUNDING = 0.75
# Place on the circle of the direction (1, 0): vermilion. (0, 1) is then yellow green, (-1, 0) sky
# blue and (0, -1) purple.
_EAST = np.radians(40.0)

_LAB_TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@dataclass(frozen=True)
class SizeScale:
    """A smooth, increasing map from sizes in [0, inf) to strengths in [0, 1).

    ``strength = size**exponent / (size**exponent + middle**exponent)``. It never cuts off: one
    steep face does not flatten the rest, and different sizes keep different strengths.

    Attributes
    ----------
    middle : float
        The size whose strength is 1/2.
    exponent : float
        How fast the strength grows there.
    """

    middle: float = 1.0
    exponent: float = 1.0

    @staticmethod
    def of(sizes: ArrayLike) -> SizeScale:
        """Fit to `sizes`: the middle 80 % of those that are not zero get most of the range.

        Sizes that all lie close to each other are not pulled apart over the whole range: what
        gets it spans at least a factor of four.
        """
        size = np.asarray(sizes, dtype=np.float64).ravel()
        logs = np.log(size[size > 0])
        if not len(logs):
            return SizeScale()
        middle = np.median(logs)
        # Of the few sizes of a small partition, outliers must not get in by interpolation.
        low = np.quantile(logs, 0.1, method="higher")
        high = np.quantile(logs, 0.9, method="lower")
        # The strengths at both ends are 0.1 and 0.9 if the middle is half-way between them.
        exponent = 2 * np.log(9.0) / max(high - low, np.log(4.0))
        return SizeScale(float(np.exp(middle)), float(exponent))

    def __call__(self, sizes: ArrayLike) -> FloatArray:
        """Strengths of `sizes`, of the same shape."""
        size = np.asarray(sizes, dtype=np.float64)
        with np.errstate(divide="ignore"):  # the logarithm of zero is -inf, its strength 0
            power = self.exponent * (np.log(size) - np.log(self.middle))
        return 1.0 / (1.0 + np.exp(-np.clip(power, -700.0, 700.0))) * (size > 0)

    def size(self, strength: float) -> float:
        """The size that has a given strength in (0, 1)."""
        return float(self.middle * (strength / (1.0 - strength)) ** (1.0 / self.exponent))


def slope_sizes(gradient: ArrayLike, *, output: int = 0) -> FloatArray:
    """Euclidean norms, (F,) float64, of the gradients of one output; see `slope_colors`."""
    return np.hypot(*_one_output(gradient, output).T)


def slope_colors(
    gradient: ArrayLike, *, output: int = 0, scale: SizeScale | None = None
) -> FloatArray:
    """Colours of gradients.

    Parameters
    ----------
    gradient : (F, M, 2) array_like of float
        Gradient of each of M outputs on each of F faces.
    output : int
        Which output.
    scale : SizeScale, optional
        Turns the gradient's size into depth of colour; fitted to the gradients unless given. Give
        one to colour several partitions alike.

    Returns
    -------
    (F, 3) float64
        Red, green and blue (sRGB) in [0, 1]. A gradient of zero is light grey.

    Raises
    ------
    ValueError
        If the shape is wrong, a gradient is NaN or infinite, or there is no such output.

    Examples
    --------
    >>> from polyregions.colors import hex_colors, slope_colors
    >>> hex_colors(slope_colors([[[0.0, 0.0]], [[1.0, 0.0]], [[-1.0, 0.0]]]))
    ['#ebebeb', '#deaa90', '#9fdbf6']
    """
    chosen = _one_output(gradient, output)
    size = np.hypot(*chosen.T)
    scale = SizeScale.of(size) if scale is None else scale
    return wheel(np.arctan2(chosen[:, 1], chosen[:, 0]), scale(size))


def wheel(angle: ArrayLike, strength: ArrayLike) -> FloatArray:
    """Colours, (..., 3) in [0, 1], of directions (radians) and strengths in [0, 1]."""
    turn = np.asarray(angle, dtype=np.float64) + _EAST
    strength = np.asarray(strength, dtype=np.float64)
    radius = _RADIUS * strength**_ROUNDING
    lightness = _FLAT_LIGHTNESS + (_STEEP_LIGHTNESS - _FLAT_LIGHTNESS) * strength
    green_red = radius * np.cos(turn)
    lab = [lightness - np.sin(_TILT) * green_red, np.cos(_TILT) * green_red, radius * np.sin(turn)]
    return oklab_to_srgb(np.stack(np.broadcast_arrays(*lab), axis=-1))


def oklab_to_srgb(lab: ArrayLike) -> FloatArray:
    """OKLab, (..., 3), to sRGB in [0, 1]; what sRGB cannot show is clipped."""
    lms = np.asarray(lab, dtype=np.float64) @ _LAB_TO_LMS.T
    linear = np.clip((lms * lms * lms) @ _LMS_TO_RGB.T, 0.0, 1.0)
    bright = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, bright)


def hex_colors(rgb: ArrayLike) -> list[str]:
    """``#rrggbb`` for each row of an (F, 3) array of colours in [0, 1]."""
    levels = np.rint(255 * np.asarray(rgb, dtype=np.float64)).astype(np.uint8)
    return ["#" + row.tobytes().hex() for row in levels]


def _one_output(gradient: ArrayLike, output: int) -> FloatArray:
    array = np.asarray(gradient, dtype=np.float64)
    if array.ndim != 3 or array.shape[2] != 2:
        raise ValueError(f"gradient must have shape (F, M, 2), got {array.shape}")
    if not 0 <= output < array.shape[1]:
        raise ValueError(
            f"output must be an index from 0 to {array.shape[1] - 1} "
            f"(the network has {array.shape[1]} outputs), got {output!r}"
        )
    chosen = array[:, output]
    if not np.isfinite(chosen).all():
        raise ValueError("gradient holds NaN or infinite values")
    return chosen
