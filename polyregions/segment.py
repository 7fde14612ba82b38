"""Straight paths in the input space of a network, from one point to another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polyregions.exact import integers, rounded
from polyregions.network import Affine, FloatArray, Network
from polyregions.slice import numbers


@dataclass(frozen=True, eq=False)
class Segment:
    """All inputs ``(1 - s) a + s b``, with the parameter s from 0 to 1.

    The two points are taken as exact, and so is what lies between: it is no multiple of a rounded
    difference.

    Attributes
    ----------
    a, b : float64 arrays of one shape, that of the input
        Made from anything that holds real numbers which float64 represents: numbers, lists, numpy
        arrays and torch tensors of any dtype.

    Raises
    ------
    TypeError
        If something does not hold real numbers.
    ValueError
        If a number is NaN, infinite or no float64, or the points differ in shape or are equal.
    """

    a: FloatArray
    b: FloatArray

    def __post_init__(self) -> None:
        a, b = numbers(self.a, "a"), numbers(self.b, "b")
        if a.shape != b.shape:
            raise ValueError(
                f"a and b must have one shape, that of the input; got {a.shape} and {b.shape}"
            )
        if (a == b).all():
            raise ValueError("a and b are equal, so there is no line between them")
        object.__setattr__(self, "a", a)
        object.__setattr__(self, "b", b)

    def __reduce__(self) -> tuple[Any, ...]:
        return Segment, (self.a, self.b)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an input."""
        return self.a.shape

    @property
    def n_inputs(self) -> int:
        """How many numbers an input has."""
        return self.a.size

    @property
    def length(self) -> float:
        """The distance from `a` to `b`, to a few parts in 1e16."""
        (a, b), exponent = integers(self.a, self.b)
        square = sum((q - p) ** 2 for p, q in zip(a, b, strict=True))
        shift = max(0, 64 - square.bit_length() // 2)
        root, power = math.isqrt(square << 2 * shift), exponent - shift
        return rounded(root << max(power, 0), 1 << max(-power, 0))

    def __call__(self, s: ArrayLike) -> FloatArray:
        """The inputs, ``(..., *shape)``, with the parameters `s`, (...); computed in float64.

        Parameters beyond 0 and 1 are those of the whole line.
        """
        at = np.asarray(s, dtype=np.float64)
        at = at.reshape(*at.shape, *[1] * self.a.ndim)
        return np.asarray((1.0 - at) * self.a + at * self.b)

    def restrict(self, network: Network) -> Network:
        """The network on the segment, as one of two inputs: s and one on which nothing depends.

        Its first two steps are ``(s, t) -> (s, 1 - s)`` and ``(p, q) -> p b + q a``, whose
        coefficients are float64 numbers. So nothing is rounded.

        Raises
        ------
        ValueError
            If the network has another number of inputs.
        """
        if network.n_inputs != self.n_inputs:
            raise ValueError(
                f"a and b have {self.n_inputs} numbers each, but the network has "
                f"{network.n_inputs} inputs; make them of {network.n_inputs} numbers"
            )
        ends = np.stack([self.b.ravel(), self.a.ravel()], axis=1)
        path = Affine(ends, np.zeros(self.n_inputs), "the segment")
        shares = Affine(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([0.0, 1.0]), "the parameter")
        return network.behind(path).behind(shares)

    def line_text(self) -> str:
        """What to call the whole line through the two points."""
        return f"the line through two points of {inputs_text(self.shape)}"

    def __str__(self) -> str:
        return f"a segment between two points of {inputs_text(self.shape)}"


def inputs_text(shape: tuple[int, ...]) -> str:
    """What to call inputs of a shape."""
    size = math.prod(shape)
    within = f" ({' x '.join(map(str, shape))})" if len(shape) != 1 else ""
    return f"{size:,} {'input' if size == 1 else 'inputs'}{within}"
