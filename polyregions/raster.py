"""Pixels from polygons, by area and not by samples: each pixel is the mean of what lies on it.

The usual way of filling one smooth polygon after the other lets the ground shine through where two
of them meet inside a pixel, and takes a thousand operations for a face of a thousandth of a pixel.
Here all faces are filled at once. An edge with the colour L on its left and R on its right changes
the picture by R - L wherever one comes to, going right from the edge::

        row  |      | /    |      |     `+ d` is what the pixel under the edge gets of it, the area
             |      |/ +d  | +1   |     right of the edge, and all pixels beyond get the whole. So
             |      /      |      |     an edge is two numbers in a row, of which running sums make
             |     /|      |      |     the picture. Inside a face, edges of colour L - L change
                                        nothing: there are no seams.

Pixel (row i, column j) is the square ``[j, j + 1] x [i, i + 1]``; y runs upwards.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# mypy: disable-error-code="assignment"

from __future__ import annotations

from math import floor, hypot
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from polyregions.network import FloatArray, IntArray

# Bytes of running sums at a time; an image of many pixels is made stripe by stripe.
_STRIPE = 1 << 25
# In pixels. What lies beyond is moved here, where it is as far from being seen.
_FAR = 1e12


def _kernel(function: Any) -> Any:
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def fill(
    xy: FloatArray,
    ends: IntArray,
    sides: IntArray,
    colors: FloatArray,
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Fill the faces of a subdivision.

    Parameters
    ----------
    xy : (V, 2) float64
        Points in pixels; they may lie outside the image.
    ends : (E, 2) int
        The points from which and to which each edge goes.
    sides : (E, 2) int
        The rows of `colors` on the left and on the right of each edge; -1 for nothing.
    colors : (P, C) float64
        Values of C channels for each face.
    shape : (rows, columns)

    Returns
    -------
    (rows, columns, C) float32
        In each pixel the integral of the channels over it. A last channel of ones gives the share
        of the pixel that is covered.

    Raises
    ------
    ValueError
        If a point is NaN or infinite.
    """
    xy = _within_reach(xy)
    table = np.vstack([colors, np.zeros((1, colors.shape[1]))])
    image = np.empty((*shape, colors.shape[1]), dtype=np.float32)
    for low, high in _stripes(shape, colors.shape[1]):
        sums = np.zeros((high - low, shape[1] + 1, colors.shape[1]))
        _fill(sums, low, xy, ends, sides, table)
        np.cumsum(sums, axis=1, out=sums)
        image[low:high] = sums[:, :-1]
    return image


def stroke(
    segments: FloatArray, widths: FloatArray, strengths: FloatArray, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Add up straight lines.

    Parameters
    ----------
    segments : (N, 2, 2) float64
        Both ends of each line, in pixels.
    widths : (N,) float64
        In pixels, of any size: a line of width 0.1 covers a tenth of what it runs through.
    strengths : (N, C) float64
        Values of C channels for each line.
    shape : (rows, columns)

    Returns
    -------
    (rows, columns, C) float32
        In each pixel the sum over all lines of strength times the share of the pixel covered.

    Raises
    ------
    ValueError
        If a point is NaN or infinite.
    """
    segments = _within_reach(segments)
    image = np.empty((*shape, strengths.shape[1]), dtype=np.float32)
    for low, high in _stripes(shape, strengths.shape[1]):
        sums = np.zeros((high - low, shape[1] + 1, strengths.shape[1]))
        _stroke(sums, low, segments, widths, strengths)
        np.cumsum(sums, axis=1, out=sums)
        image[low:high] = sums[:, :-1]
    return image


def _within_reach(xy: FloatArray) -> FloatArray:
    """Points as the kernels take them: finite, and not so far out that differences overflow."""
    if not np.isfinite(xy).all():
        raise ValueError("a point to draw is NaN or infinite")
    return np.ascontiguousarray(np.clip(xy, -_FAR, _FAR), dtype=np.float64)


def _stripes(shape: tuple[int, int], n_channels: int) -> list[tuple[int, int]]:
    rows, columns = shape
    height = max(1, _STRIPE // (8 * n_channels * (columns + 1)))
    return [(low, min(low + height, rows)) for low in range(0, rows, height)]


@_kernel
def _fill(sums, first_row, xy, ends, sides, table):
    change = np.empty(table.shape[1])
    for e in range(len(ends)):
        left, right = sides[e, 0], sides[e, 1]
        is_change = False
        for k in range(len(change)):
            change[k] = table[right, k] - table[left, k]  # -1 is the last row, which is zero
            is_change |= change[k] != 0.0
        if is_change:
            p, q = ends[e, 0], ends[e, 1]
            _edge(
                sums, change, xy[p, 0], xy[p, 1] - first_row, xy[q, 0], xy[q, 1] - first_row
            )  # fmt: skip


@_kernel
def _stroke(sums, first_row, segments, widths, strengths):
    change = np.empty(strengths.shape[1])
    rows = sums.shape[0]
    for s in range(len(segments)):
        x0, y0 = segments[s, 0, 0], segments[s, 0, 1] - first_row
        x1, y1 = segments[s, 1, 0], segments[s, 1, 1] - first_row
        half = widths[s] / 2
        if max(y0, y1) + half <= 0.0 or min(y0, y1) - half >= rows:
            continue
        length = hypot(x1 - x0, y1 - y0)
        if not length > 0.0:
            continue
        u, v = -(y1 - y0) / length * half, (x1 - x0) / length * half
        for k in range(len(change)):
            change[k] = -strengths[s, k]  # the line is on the left, nothing on the right
        _edge(sums, change, x0 - u, y0 - v, x1 - u, y1 - v)
        _edge(sums, change, x1 - u, y1 - v, x1 + u, y1 + v)
        _edge(sums, change, x1 + u, y1 + v, x0 + u, y0 + v)
        _edge(sums, change, x0 + u, y0 + v, x0 - u, y0 - v)


@_kernel
def _edge(sums, change, x0, y0, x1, y1):
    """Add one edge; `change` is right minus left as seen along it."""
    rows, columns = sums.shape[0], sums.shape[1] - 1
    if y0 == y1:
        return
    direction = 1.0
    if y0 > y1:
        x0, y0, x1, y1 = x1, y1, x0, y0
        direction = -1.0
    if y1 <= 0.0 or y0 >= rows:
        return
    slope = (x1 - x0) / (y1 - y0)
    low, high = min(x0, x1), max(x0, x1)
    if low >= columns:
        return
    begin, end = max(y0, 0.0), min(y1, float(rows))
    row = int(begin)
    at = begin
    x = x0 if begin == y0 else min(max(x0 + (begin - y0) * slope, low), high)
    while at < end:
        following = min(row + 1.0, end)
        # Clamped, or an edge that is nearly level could leave its own extent by rounding.
        x_next = x1 if following == y1 else min(max(x0 + (following - y0) * slope, low), high)
        _row(sums, row, change, direction * (following - at), min(x, x_next), max(x, x_next))
        at, x = following, x_next
        row += 1


@_kernel
def _row(sums, row, change, height, left, right):
    """A piece of an edge inside one row of pixels, from x = left to x = right."""
    columns = sums.shape[1] - 1
    if right - left < 1e-9:  # no wider than rounding errors
        left = right
    if left >= columns:
        return
    if right <= 0.0:
        for k in range(len(change)):
            sums[row, 0, k] += height * change[k]
        return
    rate = height / max(right - left, 1e-9)
    if left < 0.0:
        for k in range(len(change)):
            sums[row, 0, k] += -left * rate * change[k]
        height -= -left * rate
        left = 0.0
    first = floor(left)
    if right <= first + 1.0:
        _cell(sums, row, first, change, height, (left + right) / 2 - first)
        return
    for column in range(first, min(columns, floor(right) + 1)):
        a, b = max(left, float(column)), min(right, column + 1.0)
        if b > a:
            _cell(sums, row, column, change, rate * (b - a), (a + b) / 2 - column)


@_kernel
def _cell(sums, row, column, change, height, offset):
    """A piece of an edge inside one pixel, its middle `offset` from the left side."""
    for k in range(len(change)):
        whole = height * change[k]
        beyond = whole * offset
        sums[row, column, k] += whole - beyond
        sums[row, column + 1, k] += beyond
