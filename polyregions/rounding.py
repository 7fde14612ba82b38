"""How far a forward pass in floating point can be from the exact network.

Rigorous running error bounds after Higham, *Accuracy and Stability of Numerical Algorithms* (2nd
ed., 2002), section 3.1: with unit roundoff u, a sum of n products computed in any order and with
or without fused operations is off by at most ``gamma(n) = n u / (1 - n u)`` times the sum of the
products' absolute values; each operation that underflows adds no more than the smallest normal
number. The bounds are themselves evaluated in float64, whose roundoff is added to u throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyregions.network import Activation, Affine, ByteArray, FloatArray, Network

_U64 = 2.0**-53


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
        nu = n * (self.unit_roundoff + _U64)
        return nu / (1 - nu) if nu < 1 else np.inf


FLOAT64 = Precision("float64", _U64, 2.0**-1022, float(np.finfo(np.float64).max))


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
    x = points
    error = np.zeros_like(points)
    at_units = []
    for step in network.steps:
        # Both the float64 value x and the model's own are within `error` of the exact value.
        size = np.abs(x) + 2 * error
        if isinstance(step, Affine):
            weight = np.abs(step.weight).T
            n = step.n_inputs + 2
            bias = np.abs(step.bias)
            gamma = precision.gamma(n)
            # One product for |W| error + gamma (|W| size + |b|).
            before = size
            error = (error + gamma * size) @ weight + (gamma * bias + n * precision.tiny)
            # A product may overflow on the way to a sum that would not. Mostly a glance shows
            # that none can.
            most = before.max(axis=0, initial=0.0) @ weight + bias
            if not (most < precision.largest / 2).all():
                total = before @ weight + bias
                error = np.where(total < precision.largest, error, np.inf)
        elif isinstance(step, Activation):
            at_units.append(error)
            steepest, offset = _steepest_pieces(step, x, error)
            error = (
                steepest * error + precision.gamma(4) * (steepest * size + offset) + precision.tiny
            )
        else:
            assert step.shift_magnitude is not None
            scale = np.abs(step.scale)
            # A batch norm takes a root, divides, and subtracts a mean: some ten roundings.
            error = (
                scale * error
                + precision.gamma(16) * (scale * size + step.shift_magnitude)
                + 4 * precision.tiny
            )
        x = step(x)
        error = np.where(np.abs(x) + 2 * error < precision.largest, error, np.inf)
    none = np.empty((len(points), 0))
    return ForwardBound(np.concatenate([none, *at_units], axis=1), error)


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
    error = np.zeros_like(size)
    end = network.n_units
    for step in reversed(network.steps):
        if isinstance(step, Affine):
            factor: FloatArray = np.abs(step.weight)
            grown, n = size @ factor, step.n_outputs
            error = error @ factor
        else:
            if isinstance(step, Activation):
                begin = end - step.n_inputs
                factor = np.abs(step.select(step.slopes, pattern[:, begin:end]))[:, None, :]
                end, n = begin, 4
            else:
                factor, n = np.abs(step.scale), 16
            grown = size * factor
            error = error * factor
        error = error + precision.gamma(n + 2) * (grown + error) + (n + 2) * precision.tiny
        error = np.where(grown + error < precision.largest, error, np.inf)
        size = grown
    return np.where(np.isnan(error), np.inf, error)
