"""Compiled kernels in double-double arithmetic: numbers that are sums of two float64.

A sum takes `add`, with a relative error of at most ``3 u**2 + 13 u**3``, a product `multiply`, with
at most ``7 u**2`` (Joldes, Muller and Popescu 2017, algorithms 6 and 10), where nothing underflows
or overflows. What overflows gives NaN, which proves nothing. docs/exactness.md derives the bounds.

Both rest on operations that are not fused: kernels are compiled without ``fastmath``.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from fractions import Fraction

import numpy as np

from polyregions.engine.kernels import kernel
from polyregions.float64 import TINY, U

UU = U * U
# Of Dekker's splitting of 53 bits into 26 and 26 and a sign.
_SPLIT = 2.0**27 + 1
# Sizes are at least this: with it the bounds cover what underflow loses.
FLOOR = 2.0**-900


def nearest(value: Fraction) -> tuple[float, float]:
    """A fraction as a double-double; NaN if it is too large for float64."""
    try:
        high = float(value)
    except OverflowError:
        return np.nan, np.nan
    return high, float(value - Fraction(high))


@kernel
def two_sum(a, b):
    """The rounded sum, and its error exactly (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@kernel
def fast_two_sum(a, b):
    """The same for ``|a| >= |b|`` (Dekker)."""
    s = a + b
    return s, b - (s - a)


@kernel
def two_product(a, b):
    """The rounded product, and its error exactly unless it underflows (Dekker)."""
    p = a * b
    t = _SPLIT * a
    ah = t - (t - a)
    al = a - ah
    t = _SPLIT * b
    bh = t - (t - b)
    bl = b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


@kernel
def add(ah, al, bh, bl):
    """The sum of two double-doubles."""
    sh, sl = two_sum(ah, bh)
    th, tl = two_sum(al, bl)
    vh, vl = fast_two_sum(sh, sl + th)
    return fast_two_sum(vh, tl + vl)


@kernel
def multiply(ah, al, bh, bl):
    """The product of two double-doubles."""
    ph, pl = two_product(ah, bh)
    return fast_two_sum(ph, pl + (ah * bl + al * bh))


@kernel
def divide(ah, al, bh, bl):
    """The quotient of two double-doubles, to within ``16 u**2`` of its size."""
    q = ah / bh
    ph, pl = multiply(q, 0.0, bh, bl)
    rh, _ = add(ah, al, -ph, -pl)
    return fast_two_sum(q, rh / bh)


# -- lines -------------------------------------------------------------------------------------


@kernel
def begin_rows(value, breakpoint_, wh, wl, bh, bl, gh, gl, size, c):
    """Set each row to the one of an affine map that gives a value less its breakpoint."""
    for r in range(len(value)):
        i = value[r]
        for j in range(wh.shape[1]):
            gh[r, j], gl[r, j], size[r, j] = wh[i, j], wl[i, j], abs(wh[i, j]) + FLOOR
        c[r, 0], c[r, 1] = add(bh[i], bl[i], -breakpoint_[r], 0.0)
        c[r, 2] = abs(bh[i]) + abs(breakpoint_[r]) + FLOOR


@kernel
def lead_back(pieces, slopes, intercepts, wh, wl, bh, bl, gh, gl, size, c, hh, hl, into):
    """Lead rows from the state behind an activation layer back to what its affine map takes.

    ``(gh, gl)`` becomes ``(hh, hl)``, and c takes up what is constant. Sizes do what the rows do,
    with absolute values of everything.
    """
    m = wh.shape[1]
    for r in range(len(gh)):
        for j in range(m):
            hh[r, j] = hl[r, j] = 0.0
            into[r, j] = FLOOR
        for i in range(gh.shape[1]):
            k = pieces[r, i]
            slope, intercept = slopes[i, k], intercepts[i, k]
            if intercept != 0.0:
                ph, pl = multiply(gh[r, i], gl[r, i], intercept, 0.0)
                c[r, 0], c[r, 1] = add(c[r, 0], c[r, 1], ph, pl)
                c[r, 2] += size[r, i] * abs(intercept)
            if slope == 0.0:
                continue
            sh, sl = multiply(gh[r, i], gl[r, i], slope, 0.0)
            much = size[r, i] * abs(slope) + FLOOR
            ph, pl = multiply(sh, sl, bh[i], bl[i])
            c[r, 0], c[r, 1] = add(c[r, 0], c[r, 1], ph, pl)
            c[r, 2] += much * (abs(bh[i]) + FLOOR)
            for j in range(m):
                ph, pl = multiply(sh, sl, wh[i, j], wl[i, j])
                hh[r, j], hl[r, j] = add(hh[r, j], hl[r, j], ph, pl)
                into[r, j] += much * (abs(wh[i, j]) + FLOOR)


# -- points ------------------------------------------------------------------------------------


@kernel
def _cross_out(h, low, e, k, i, j):
    """``h[0, i] h[1, j] - h[0, j] h[1, i]`` of two rows, and a bound on its error."""
    ph, pl = multiply(h[k, 0, i], low[k, 0, i], h[k, 1, j], low[k, 1, j])
    qh, ql = multiply(h[k, 0, j], low[k, 0, j], h[k, 1, i], low[k, 1, i])
    size = abs(ph) + abs(qh)
    bound = (
        (abs(h[k, 0, i]) + e[k, 0, i]) * e[k, 1, j] + e[k, 0, i] * abs(h[k, 1, j])
        + (abs(h[k, 0, j]) + e[k, 0, j]) * e[k, 1, i] + e[k, 0, j] * abs(h[k, 1, i])
    )  # fmt: skip
    sh, sl = add(ph, pl, -qh, -ql)
    return sh, sl, (bound + 16 * UU * size) * (1 + 64 * U) + TINY


@kernel
def meet(h, low, e, ph, pl, pe):
    """Where pairs of lines meet, (n, 3) homogeneous with w > 0; NaN where its sign is open."""
    for k in range(len(h)):
        wh, wl, we = _cross_out(h, low, e, k, 0, 1)
        turn = 1.0 if wh > we else -1.0 if wh < -we else np.nan
        xh, xl, xe = _cross_out(h, low, e, k, 1, 2)
        yh, yl, ye = _cross_out(h, low, e, k, 2, 0)
        ph[k, 0], pl[k, 0], pe[k, 0] = turn * xh, turn * xl, xe
        ph[k, 1], pl[k, 1], pe[k, 1] = turn * yh, turn * yl, ye
        ph[k, 2], pl[k, 2], pe[k, 2] = turn * wh, turn * wl, we


@kernel
def coordinates(ph, pl, pe, xy, error):
    """Float64 coordinates of homogeneous points, and bounds on their errors."""
    for k in range(len(ph)):
        wh, wl, we = ph[k, 2], pl[k, 2], pe[k, 2]
        least = wh * (1 - 4 * U) - we
        for axis in range(2):
            qh, ql = divide(ph[k, axis], pl[k, axis], wh, wl)
            bound = (pe[k, axis] + abs(qh) * we) / least + abs(ql) + 32 * UU * abs(qh)
            known = least > 0.0 and abs(qh) < np.inf
            xy[k, axis] = qh
            error[k, axis] = bound * (1 + 64 * U) + TINY if known else np.inf


@kernel
def _at(rh, rl, re, ph, pl, pe, k, s, t):
    """The function of row k of ``r`` at a point, k of ``p``, and a bound on the error."""
    zh, zl, size, bound = 0.0, 0.0, 0.0, 0.0
    for i in range(3):
        a, e = abs(rh[k, i]), re[k, i]
        b, d = abs(ph[k, i]), pe[k, i]
        qh, ql = multiply(rh[k, i], rl[k, i], ph[k, i], pl[k, i])
        zh, zl = add(zh, zl, qh, ql)
        size += abs(qh)
        bound += (a + e) * d + e * b
    return zh, zl, (bound + 32 * UU * size) * (1 + 64 * U) + TINY


@kernel
def fill_signs(rh, rl, re, ph, pl, pe, sign, undecided):
    """The signs of lines' functions at points, as far as they are proven."""
    for k in range(len(sign)):
        z, _, bound = _at(rh, rl, re, ph, pl, pe, k, 0, 0)
        sign[k] = 1 if z > bound else -1 if z < -bound else undecided


@kernel
def fill_parameters(rh, rl, re, ph, pl, pe, qh, ql, qe, th, tl, te):
    """Where lines cross segments from p (t = 0) to q (t = 1), and bounds on the errors of t."""
    for k in range(len(th)):
        ah, al, ae = _at(rh, rl, re, ph, pl, pe, k, 0, 0)
        bh, bl, be = _at(rh, rl, re, qh, ql, qe, k, 0, 0)
        # Both times the other point's w, so that points are weighed alike.
        mh, ml = multiply(ah, al, qh[k, 2], ql[k, 2])
        nh, nl = multiply(bh, bl, ph[k, 2], pl[k, 2])
        me = (abs(ah) + ae) * qe[k, 2] + ae * abs(qh[k, 2]) + 8 * UU * abs(mh) + TINY
        ne = (abs(bh) + be) * pe[k, 2] + be * abs(ph[k, 2]) + 8 * UU * abs(nh) + TINY
        dh, dl = add(mh, ml, -nh, -nl)
        de = me + ne + 8 * UU * abs(dh)
        th[k], tl[k] = divide(mh, ml, dh, dl)
        least = abs(dh) * (1 - 4 * U) - de
        bound = (me + abs(th[k]) * de) / least + 32 * UU * abs(th[k])
        te[k] = bound * (1 + 64 * U) + TINY if least > 0.0 and abs(th[k]) < np.inf else np.inf
