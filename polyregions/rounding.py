"""How far a forward pass in floating point can be from the exact network.

Rigorous running error bounds after Higham, *Accuracy and Stability of Numerical Algorithms* (2nd
ed., 2002), section 3.1: with unit roundoff u, a sum of n products computed in any order and with
or without fused operations is off by at most ``gamma(n) = n u / (1 - n u)`` times the sum of the
products' absolute values; each operation that underflows adds no more than the smallest normal
number. The bounds are themselves evaluated in float64, whose roundoff is added to u throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np

from polyregions.float64 import U
from polyregions.network import (
    Activation,
    AffineStep,
    ByteArray,
    FloatArray,
    Maximum,
    Network,
    Step,
    joined_pairs,
    parted,
)

_Values: TypeAlias = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Precision:
    """What floating-point arithmetic a forward pass was done in.

    Attributes
    ----------
    name : str
        Such as ``"float32"``.
    unit_roundoff : float
        Half the distance from 1 to the next number.
    tiny, largest : float
        Smallest positive normal number, largest finite one.
    """

    name: str
    unit_roundoff: float
    tiny: float
    largest: float

    def gamma(self, n: int) -> float:
        """The factor ``n u / (1 - n u)``, with float64's roundoff added; inf where it has none."""
        nu = n * (self.unit_roundoff + U)
        return nu / (1 - nu) if nu < 1 else np.inf


FLOAT64 = Precision("float64", U, 2.0**-1022, float(np.finfo(np.float64).max))


@dataclass(frozen=True)
class ForwardBound:
    """Bounds on the rounding error of a forward pass at N points.

    Attributes
    ----------
    preactivations : (N, H) float64
        Largest possible distance of a computed pre-activation from the exact one.
    values : (N, M) float64
        The same for the outputs; inf where the arithmetic can overflow.
    """

    preactivations: FloatArray
    values: FloatArray


@cache
def probes(n_inputs: int) -> FloatArray:
    """(17, n_inputs) random points of sizes from 1e-2 to 1e2, to compare forward passes at."""
    rng = np.random.default_rng(0)
    return np.logspace(-2, 2, 17)[:, None] * rng.standard_normal((17, n_inputs))


def forward_bound(network: Network, points: FloatArray, precision: Precision) -> ForwardBound:
    """Bound the error of the model's own forward, and of float64's, at exactly given points.

    Parameters
    ----------
    network : Network
    points : (N, n_inputs) float64
        Points that `precision` represents exactly.
    precision : Precision
        Arithmetic of the model's own forward.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows has no bound
        return _forward_bound(network, points, precision)


def _forward_bound(network: Network, points: FloatArray, precision: Precision) -> ForwardBound:
    at_units = [np.empty((len(points), 0))]

    def advance(step: Step, given: _Values) -> _Values:
        x, error = given
        # Both the float64 value x and the model's own are within `error` of the exact value.
        size = np.abs(x) + 2 * error
        if isinstance(step, AffineStep):
            error = _affine_error(step, size, error, precision)
        elif isinstance(step, Activation):
            at_units.append(error)
            steepest, offset = _steepest_pieces(step, x, error)
            error = (
                steepest * error + precision.gamma(4) * (steepest * size + offset) + precision.tiny
            )
        else:
            # The largest of several values is off by no more than the one that is off most.
            error = step.candidates(error).max(axis=-1)
            at_units.append(2 * error)  # of the distance between the two largest
        x = step(x)
        return x, np.where(np.abs(x) + 2 * error < precision.largest, error, np.inf)

    _, error = network.propagate((points, np.zeros_like(points)), joined_pairs, advance)
    return ForwardBound(np.concatenate(at_units, axis=1), error)


def _affine_error(
    step: AffineStep, size: FloatArray, error: FloatArray, precision: Precision
) -> FloatArray:
    if not step.n_roundings:
        return step.magnitude(error)
    n, constant = step.n_roundings, step.constant_magnitude
    gamma = precision.gamma(n)
    # One product for |A| error + gamma (|A| size + |c|).
    error = step.magnitude(error + gamma * size) + (gamma * constant + n * precision.tiny)
    # A product may overflow on the way to a sum that would not. Mostly a glance shows that none
    # can.
    most = step.magnitude(size.max(axis=0, initial=0.0)) + constant
    if not (most < precision.largest / 2).all():
        total = step.magnitude(size) + constant
        error = np.where(total < precision.largest, error, np.inf)
    return error


def _steepest_pieces(
    layer: Activation, z: FloatArray, error: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Largest |slope| and |intercept| of the pieces that a unit may be on, (N, n) each.

    Both the exact pre-activation and the model's own lie within 2 errors of `z`. Where no
    breakpoint does, they are on one piece: a unit that is surely inactive passes no error on.
    """
    piece = layer.piece(z)
    certain = np.ones(z.shape, dtype=np.bool_)
    for t in layer.breakpoints.T:
        certain &= np.abs(z - t) > 2 * error
    slope = layer.select(np.abs(layer.slopes), piece)
    intercept = layer.select(np.abs(layer.intercepts), piece)
    return (
        np.where(certain, slope, np.abs(layer.slopes).max(axis=1)),
        np.where(certain, intercept, np.abs(layer.intercepts).max(axis=1)),
    )


def jacobian_bound(network: Network, pattern: ByteArray, precision: Precision) -> FloatArray:
    """Bound the error of a Jacobian from backpropagation, for given activation patterns.

    Parameters
    ----------
    network : Network
    pattern : (F, H) uint8
        Activation patterns: the pieces whose slopes the Jacobian is made of.
    precision : Precision

    Returns
    -------
    (F, M, n_inputs) float64
    """
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows has no bound
        return _jacobian_bound(network, pattern, precision)


def _jacobian_bound(network: Network, pattern: ByteArray, precision: Precision) -> FloatArray:
    # Row by row the adjoint G of the outputs goes back through the steps, each of which is one
    # product G W or G diag(slope); `size` holds the same products of absolute values.
    m = network.n_outputs
    size = np.broadcast_to(np.eye(m), (len(pattern), m, m))
    end = network.n_units

    def retreat(step: Step, given: _Values) -> _Values:
        nonlocal end
        size, error = given
        if isinstance(step, AffineStep):
            # Sums go over the outputs that take an input: no more than those there are.
            n = step.n_outputs + step.n_roundings
            size, error = step.adjoint_magnitude(size), step.adjoint_magnitude(error)
        else:
            begin = end - step.n_outputs
            piece = pattern[:, begin:end]
            end, n = begin, 4
            if isinstance(step, Activation):
                factor = np.abs(step.select(step.slopes, piece))[:, None, :]
                size, error = size * factor, error * factor
            else:
                n = step.n_outputs
                size, error = to_chosen(step, piece, size), to_chosen(step, piece, error)
        return size, rounded(size, error, n)

    def rounded(size: FloatArray, error: FloatArray, n: int) -> FloatArray:
        error = error + precision.gamma(n + 2) * (size + error) + (n + 2) * precision.tiny
        return np.where(size + error < precision.largest, error, np.inf)

    def add(a: _Values, b: _Values) -> _Values:
        size = a[0] + b[0]
        return size, rounded(size, a[1] + b[1], 1)

    def split(whole: _Values, widths: Sequence[int]) -> Sequence[_Values]:
        sizes, errors = (parted(part, widths) for part in whole)
        return list(zip(sizes, errors, strict=True))

    found = network.backpropagate((size, np.zeros_like(size)), split, add, retreat)
    if found is None:  # the output does not depend on the input
        return np.zeros((len(pattern), m, network.n_inputs))
    return np.where(np.isnan(found[1]), np.inf, found[1])


def to_chosen(step: Maximum, piece: ByteArray, g: FloatArray) -> FloatArray:
    """What goes back to the values that a step takes, for `g` (F, M, n) of those that it gives."""
    chosen = np.broadcast_to(step.chosen(piece)[:, None, :], g.shape)
    back = np.zeros((*g.shape[:-1], step.n_inputs))
    faces, outputs, _ = np.ogrid[: g.shape[0], : g.shape[1], :1]
    np.add.at(back, (faces, outputs, chosen), g)
    return back
