"""Compiled float64 filters: turns and areas of polygons from rounded corners, with proven bounds.

What is measured is the polygon of the exact corners; what is known are rounded ones and bounds on
their errors. Let the corners v of a polygon be off by d, with |d_x| <= e_x and |d_y| <= e_y. Twice
its area, the sum of the cross products of consecutive corners, is then off by ::

    sum over i of  d_i x (v_{i+1} - v_{i-1})  +  sum over i of  d_i x d_{i+1}

exactly, which the same sums of absolute values bound. The roundings come on top: with u = 2**-53,
a difference of two corners has a relative error of u, a product of two differences of no more than
3 u, the difference of two products adds u, and the sum over k corners (k - 1) u, all of it
relative to the sum of the absolute values of the products (Higham, *Accuracy and Stability of
Numerical Algorithms*, 2002, sections 3.1 and 4.2). So ``(k + 8) u`` times that sum is enough. The
last factor, 1 + 1e-9, covers the roundings of the bound itself, for up to a million corners.

All coordinates are multiplied by powers of two, `sx` and `sy`, that bring the domain to about the
size of 1, so that nothing overflows. What may underflow, then or later, is far below `TINY`.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# mypy: disable-error-code="assignment"

from __future__ import annotations

from math import frexp
from typing import Any

import numpy as np
from numba import njit

from polyregions.float64 import TINY, U

_SLACK = 1 + 1e-9


def kernel(function: Any) -> Any:
    """Compile for one thread."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


@kernel
def twice_area(begin, end, corners, xy, error, sx, sy):
    """Twice the signed area of the polygon ``corners[begin:end]``, scaled, and a bound."""
    first = corners[begin]
    x0, y0 = xy[first, 0] * sx, xy[first, 1] * sy
    before, here = corners[end - 1], first
    px, py = xy[before, 0] * sx, xy[before, 1] * sy
    qx, qy = x0, y0
    ex, ey = error[here, 0] * sx + TINY, error[here, 1] * sy + TINY
    value = size = spread = 0.0
    for i in range(begin, end):
        ahead = corners[i + 1] if i + 1 < end else first
        rx, ry = xy[ahead, 0] * sx, xy[ahead, 1] * sy
        fx, fy = error[ahead, 0] * sx + TINY, error[ahead, 1] * sy + TINY
        spread += ex * abs(ry - py) + ey * abs(rx - px) + ex * fy + ey * fx
        left, right = (qx - x0) * (ry - y0), (qy - y0) * (rx - x0)
        value += left - right
        size += abs(left) + abs(right)
        px, py, qx, qy, ex, ey = qx, qy, rx, ry, fx, fy
    return value, (spread + (end - begin + 8) * U * size) * _SLACK + TINY


@kernel
def twice_triangle(ax, ay, bx, by, cx, cy, eax, eay, ebx, eby, ecx, ecy):
    """Twice the signed area of the triangle a, b, c, scaled already, and a bound."""
    ux, uy, vx, vy = bx - ax, by - ay, cx - ax, cy - ay
    wx, wy = cx - bx, cy - by
    left, right = ux * vy, uy * vx
    spread = (
        eax * abs(wy) + eay * abs(wx) + ebx * abs(vy) + eby * abs(vx) + ecx * abs(uy)
        + ecy * abs(ux) + eax * eby + eay * ebx + ebx * ecy + eby * ecx + ecx * eay + ecy * eax
    )  # fmt: skip
    return left - right, (spread + 11 * U * (abs(left) + abs(right))) * _SLACK + TINY


@kernel
def fill_areas(offsets, corners, xy, error, sx, sy, area, area_error):
    """The scaled area of every face, and a bound on its error."""
    for f in range(len(area)):
        value, bound = twice_area(offsets[f], offsets[f + 1], corners, xy, error, sx, sy)
        area[f], area_error[f] = value / 2, bound / 2


@kernel
def fill_turns(offsets, corners, xy, error, sx, sy, turn):
    """How every face turns at every corner: 1 surely left, -1 surely right, 0 not certain."""
    for f in range(len(offsets) - 1):
        begin, end = offsets[f], offsets[f + 1]
        a, b = corners[end - 2], corners[end - 1]
        ax, ay, bx, by = xy[a, 0] * sx, xy[a, 1] * sy, xy[b, 0] * sx, xy[b, 1] * sy
        eax, eay = error[a, 0] * sx + TINY, error[a, 1] * sy + TINY
        ebx, eby = error[b, 0] * sx + TINY, error[b, 1] * sy + TINY
        for i in range(begin, end):
            c = corners[i]
            cx, cy = xy[c, 0] * sx, xy[c, 1] * sy
            ecx, ecy = error[c, 0] * sx + TINY, error[c, 1] * sy + TINY
            value, bound = twice_triangle(ax, ay, bx, by, cx, cy, eax, eay, ebx, eby, ecx, ecy)
            at = i - 1 if i > begin else end - 1
            turn[at] = 1 if value > bound else -1 if value < -bound else 0
            ax, ay, eax, eay = bx, by, ebx, eby
            bx, by, ebx, eby = cx, cy, ecx, ecy


@kernel
def fill_centroids(offsets, corners, xy, sx, sy, centroid):
    """The centre of mass of every face of rounded corners, as nearly as float64 tells.

    Weights that rounding made negative count as zero. So the result is a mean of corners, up to
    a few roundings, however thin the face is.
    """
    for f in range(len(centroid)):
        begin, end = offsets[f], offsets[f + 1]
        first = corners[begin]
        x0, y0 = xy[first, 0] * sx, xy[first, 1] * sy
        total = x = y = 0.0
        mean_x = mean_y = 0.0
        qx, qy = 0.0, 0.0
        for i in range(begin + 1, end):
            v = corners[i]
            rx, ry = xy[v, 0] * sx - x0, xy[v, 1] * sy - y0
            weight = max(qx * ry - qy * rx, 0.0)
            total += weight
            x += weight * (qx + rx)
            y += weight * (qy + ry)
            mean_x += rx
            mean_y += ry
            qx, qy = rx, ry
        if total > TINY:
            x, y = x / (3 * total), y / (3 * total)
        else:
            x, y = mean_x / (end - begin), mean_y / (end - begin)
        centroid[f, 0], centroid[f, 1] = (x0 + x) / sx, (y0 + y) / sy


@kernel
def surely_inside(offsets, corners, xy, error, sx, sy, point, inside):
    """Whether a point given exactly, one for each face, is certainly inside the face."""
    for f in range(len(point)):
        begin, end = offsets[f], offsets[f + 1]
        x, y = point[f, 0] * sx, point[f, 1] * sy
        a = corners[end - 1]
        ax, ay = xy[a, 0] * sx, xy[a, 1] * sy
        eax, eay = error[a, 0] * sx + TINY, error[a, 1] * sy + TINY
        certain = True
        for i in range(begin, end):
            b = corners[i]
            bx, by = xy[b, 0] * sx, xy[b, 1] * sy
            ebx, eby = error[b, 0] * sx + TINY, error[b, 1] * sy + TINY
            value, bound = twice_triangle(ax, ay, bx, by, x, y, eax, eay, ebx, eby, TINY, TINY)
            certain = certain and value > bound
            ax, ay, eax, eay = bx, by, ebx, eby
        inside[f] = certain


def scales(xy: np.ndarray[Any, Any]) -> tuple[float, float, int, int]:
    """Powers of two by which to multiply coordinates up to those of `xy`, and their exponents."""
    # Further out the factor or its inverse would be no float64, and nothing overflows anyway.
    ex, ey = (-min(max(frexp(v)[1], -1000), 1000) for v in np.abs(xy).max(axis=0).tolist())
    return 2.0**ex, 2.0**ey, ex, ey
