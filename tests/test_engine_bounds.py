"""The compiled engine's error bounds against exact values, with inputs chosen to break them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from polyregions.engine import kernels

U = Fraction(1, 2**53)


def exact_value(row: tuple, x: Fraction, y: Fraction) -> Fraction:
    a, b, c = map(Fraction, row)
    return a * x + b * y + c


# -- values at vertices ----------------------------------------------------------------------


def test_value_where_coordinates_are_subnormal_and_slopes_huge() -> None:
    # Relative bounds of such coordinates underflow themselves, and then meet a huge factor.
    rng = np.random.default_rng(0)
    for _ in range(3000):
        x, y = (rng.uniform(-4, 4, 2) * 10.0 ** rng.integers(-322, -305)).tolist()
        a, b = (rng.normal(size=2) * 10.0 ** rng.integers(295, 306)).tolist()
        c = -(a * x + b * y)
        truth = exact_value((a, b, c), Fraction(x), Fraction(y))
        args = (a, b, c, 0.0, 0.0, x, y, 0.0, 0.0, 1e300, 1e300)
        z, bound = kernels.value(*args)
        assert abs(Fraction(z) - truth) <= Fraction(bound)
        assert kernels.sign(*args) in (kernels.UNDECIDED, (truth > 0) - (truth < 0))


def test_value_where_a_vertex_is_much_nearer_to_the_origin_than_the_domain_reaches() -> None:
    # |x| / X underflows, while what it multiplies is huge.
    rng = np.random.default_rng(1)
    reach = 1e308
    for _ in range(1000):
        x, y = (rng.uniform(-4, 4, 2) * 10.0 ** rng.integers(-40, 0, 2)).tolist()
        a, b = (rng.normal(size=2) * 1e-20).tolist()
        off = abs(a) * 1e-10
        eab = off * reach * (1 + 1e-9)
        truth = exact_value((a, b, 0.0), Fraction(x), Fraction(y))
        truth += Fraction(off) * Fraction(x) * int(rng.choice([-1, 1]))
        z, bound = kernels.value(a, b, 0.0, eab, 0.0, x, y, 0.0, 0.0, 1 / reach, 1 / reach)
        assert abs(Fraction(z) - truth) <= Fraction(bound)
