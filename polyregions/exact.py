"""Exact points, lines and measures in homogeneous integers.

A point is a triple ``(X, Y, W)`` of integers with ``W > 0``, without common factor, that stands
for ``(X / W, Y / W)``; so equal points are equal triples. A line is a triple ``(a, b, c)`` that
stands for the zero set of ``a x + b y + c``. No rounding happens here but in the functions whose
names say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from fractions import Fraction
from math import gcd, lcm
from typing import TypeAlias

import numpy as np
from flint import fmpq, fmpz
from numpy.typing import NDArray

from polyregions.float64 import LEAST

Triple: TypeAlias = tuple[int, int, int]


def point(x: float, y: float) -> Triple:
    """The point with the given float coordinates, exactly."""
    (xn, xd), (yn, yd) = x.as_integer_ratio(), y.as_integer_ratio()
    w = lcm(xd, yd)
    return xn * (w // xd), yn * (w // yd), w


def cross(p: Triple, q: Triple) -> Triple:
    """The line through two points, or the (unnormalised) meeting point of two lines."""
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


def dot(line: Triple, p: Triple) -> int:
    """Has the sign of the line's affine function at the point."""
    return line[0] * p[0] + line[1] * p[1] + line[2] * p[2]


def meet(line: Triple, other: Triple) -> Triple:
    """The point in which two lines that are not parallel meet."""
    x, y, w = cross(line, other)
    common = gcd(x, y, w) if w > 0 else -gcd(x, y, w)
    return x // common, y // common, w // common


def orientation(p: Triple, q: Triple, r: Triple) -> int:
    """Positive, zero or negative as p, q, r turn left, lie on a line, or turn right."""
    return dot(cross(p, q), r)


def rounded(numerator: int, denominator: int) -> float:
    """The float64 nearest to a quotient.

    Raises
    ------
    OverflowError
        If it is too large for float64.
    """
    try:
        return numerator / denominator  # true division of Python integers rounds correctly
    except OverflowError:
        digits = len(str(abs(numerator) // denominator)) - 1
        raise OverflowError(
            f"a coordinate or a coefficient of an affine map is about 1e{digits}, too large for "
            "float64; scale the weights or the domain down"
        ) from None


def integers(*arrays: NDArray[np.float64]) -> tuple[list[list[int]], int]:
    """The arrays, flat, as integers times 2**exponent, and that exponent, one for all."""
    parts = []
    lowest = None
    for array in arrays:
        mantissa, exponent = np.frexp(array.ravel())
        whole = np.ldexp(mantissa, 53).astype(np.int64)
        parts.append((whole, exponent.astype(np.int64) - 53))
        used = parts[-1][1][whole != 0]
        if len(used) and (lowest is None or used.min() < lowest):
            lowest = int(used.min())
    least = lowest or 0
    return [
        [m << max(e - least, 0) for m, e in zip(whole.tolist(), exponent.tolist(), strict=True)]
        for whole, exponent in parts
    ], least


def rounding_error(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the nearest float64 numbers can be from what was rounded: half their spacing."""
    half: NDArray[np.float64] = np.maximum(np.spacing(np.abs(values)) / 2, LEAST)
    return half


def text(value: Fraction) -> str:
    """Three digits of a fraction of any size, also beyond the range of float64."""
    if not value or 1e-300 < abs(value) < 1e300:
        return f"{float(value):.3g}"
    with localcontext(prec=20, Emax=MAX_EMAX, Emin=MIN_EMIN):
        return f"{Decimal(value.numerator) / value.denominator:.2e}"


def to_fractions(p: Triple) -> tuple[Fraction, Fraction]:
    """The coordinates of a point."""
    return Fraction(p[0], p[2]), Fraction(p[1], p[2])


def area(polygon: Sequence[Triple]) -> Fraction:
    """Signed area of a polygon, positive if its points go counter-clockwise."""
    twice = sum(_crosses(polygon), fmpq(0))
    return Fraction(int(twice.p), 2 * int(twice.q))


def centroid(polygon: Sequence[Triple]) -> tuple[Fraction, Fraction]:
    """Centre of mass of a polygon with non-zero area."""
    xs = [fmpq(x, w) for x, _, w in polygon]
    ys = [fmpq(y, w) for _, y, w in polygon]
    parts = _crosses(polygon)
    three = 3 * sum(parts, fmpq(0))
    x = sum((c * (xs[i] + xs[i - 1]) for i, c in enumerate(parts)), fmpq(0)) / three
    y = sum((c * (ys[i] + ys[i - 1]) for i, c in enumerate(parts)), fmpq(0)) / three
    return Fraction(int(x.p), int(x.q)), Fraction(int(y.p), int(y.q))


def _crosses(polygon: Sequence[Triple]) -> list[fmpq]:
    """``x[i-1] y[i] - x[i] y[i-1]`` for every side that ends in point i."""
    return [
        fmpq(p[0] * q[1] - q[0] * p[1], p[2] * q[2])
        for p, q in zip([polygon[-1], *polygon[:-1]], polygon, strict=True)
    ]


def swept(p: Triple, q: Triple) -> Fraction:
    """Signed area of the triangle from the origin to p to q."""
    return area(((0, 0, 1), p, q))


def total(values: Iterable[Fraction]) -> Fraction:
    """Sum of many fractions with unlike denominators, pair by pair in a balanced tree.

    The denominator of the sum is about as long as all of theirs together, so adding one value
    after the other would take time quadratic in their number.
    """
    level = [(fmpz(v.numerator), fmpz(v.denominator)) for v in values] or [(fmpz(0), fmpz(1))]
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [(a * d + b * c, c * d) for (a, c), (b, d) in pairs] + odd
    whole = fmpq(*level[0])
    return Fraction(int(whole.p), int(whole.q))
