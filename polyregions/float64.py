"""The numbers of float64 arithmetic that error bounds are made of; see docs/exactness.md."""

from __future__ import annotations

U = 2.0**-53  # the unit roundoff: a rounding is off by no more than this share
LEAST = 2.0**-1074  # the smallest positive number; an underflow loses at most half of it
NORMAL = 2.0**-1022  # the smallest normal number
TINY = 1e-300  # more than all underflows of one result lose
HUGE = 1e290  # a bound that is not smaller proves nothing
LARGEST = 2.0**1023 * (2 - 2.0**-52)
