"""The straight lines of a network's first hidden layer, on the whole plane."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from math import gcd, lcm

from polyregions.exact import Triple, cross, dot, meet
from polyregions.network import Activation, Affine, Network


@dataclass(frozen=True)
class Arrangement:
    """Distinct straight lines in the plane, exactly.

    Attributes
    ----------
    lines : tuple of (a, b, c)
        Integers without common factor; a line is the zero set of ``a x + b y + c``.
    """

    lines: tuple[Triple, ...]

    @cached_property
    def crossings(self) -> dict[Triple, int]:
        """Where lines meet: each point, and the number of lines through it."""
        through: defaultdict[Triple, set[int]] = defaultdict(set)
        for (i, first), (j, second) in combinations(enumerate(self.lines), 2):
            if cross(first, second)[2] != 0:
                through[meet(first, second)] |= {i, j}
        return {p: len(lines) for p, lines in through.items()}

    @property
    def n_regions(self) -> int:
        """How many regions the lines cut the whole plane into.

        Each line adds one, and each point one less than the number of lines through it: with n
        lines in general position that is ``1 + n + n (n - 1) / 2``.
        """
        return 1 + len(self.lines) + sum(k - 1 for k in self.crossings.values())

    @property
    def half_width(self) -> Fraction:
        """Half-width of the smallest centred square that holds every crossing."""
        reach = (Fraction(max(abs(x), abs(y)), w) for x, y, w in self.crossings)
        return max(reach, default=Fraction(0))

    def lines_in(self, half_width: float) -> int:
        """How many lines meet the inside of the centred square of that half-width."""
        n, d = float(half_width).as_integer_ratio()
        corners = [(sx * n, sy * n, d) for sx in (-1, 1) for sy in (-1, 1)]
        signs = [[dot(line, p) for p in corners] for line in self.lines]
        return sum(min(s) < 0 < max(s) for s in signs)

    def crossings_in(self, half_width: float) -> int:
        """How many regions the crossings inside that square add: one each, where two lines meet."""
        n, d = float(half_width).as_integer_ratio()
        return sum(
            k - 1 for (x, y, w), k in self.crossings.items() if max(abs(x), abs(y)) * d < n * w
        )


def first_layer_arrangement(network: Network) -> Arrangement:
    """The lines on which the units of a network's first hidden layer switch.

    Parameters
    ----------
    network : Network
        It takes two inputs and begins with an affine step and an activation.

    Raises
    ------
    ValueError
        If it does not.

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.analysis.arrangement import first_layer_arrangement
    >>> net = pr.lower([([[1, 0], [0, 1], [1, 1]], [0, 0, -1]), ([[1, 1, 1]], [0])])
    >>> first_layer_arrangement(net).n_regions
    7
    """
    affine, activation = (*network.steps[:2], None, None)[:2]
    assert network.sources is not None
    if (
        network.n_inputs != 2
        or network.sources[:2] != ((0,), (1,))
        or not isinstance(affine, Affine)
        or not isinstance(activation, Activation)
    ):
        raise ValueError(f"{network!r} does not begin with an affine step of 2 inputs and units")
    lines: dict[Triple, None] = {}
    for (a, b), c, breakpoints in zip(
        affine.weight.tolist(), affine.bias.tolist(), activation.breakpoints, strict=True
    ):
        for t in breakpoints[breakpoints < float("inf")].tolist():
            if (a, b) != (0.0, 0.0):
                lines[_line(Fraction(a), Fraction(b), Fraction(c) - Fraction(t))] = None
    return Arrangement(tuple(lines))


def _line(a: Fraction, b: Fraction, c: Fraction) -> Triple:
    """The line in integers: equal lines are equal triples."""
    scale = lcm(a.denominator, b.denominator, c.denominator)
    x, y, w = int(a * scale), int(b * scale), int(c * scale)
    common = gcd(x, y, w)
    if (x, y) < (0, 0):
        common = -common
    return x // common, y // common, w // common
