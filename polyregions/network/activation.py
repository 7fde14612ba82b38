"""Continuous piecewise-linear functions of one variable for every unit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from polyregions.network.values import ByteArray, FloatArray, Frozen, as_float64, exact_float64


@dataclass(frozen=True, eq=False)
class Activation(Frozen):
    """A continuous piecewise-linear function of one variable for every unit.

    Unit ``h`` with pre-activation ``z`` is on piece ``k``, the number of its breakpoints that are
    strictly less than ``z``, and gives ``slopes[h, k] * z + intercepts[h, k]``. So a ReLU is on
    piece 1 (active) where ``z > 0`` and on piece 0 where ``z <= 0``.

    Attributes
    ----------
    breakpoints : (n, K) float64
        Increasing along each row; ``+inf`` fills the row of a unit with fewer than K.
    slopes, intercepts : (n, K + 1) float64
    name : str

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the shapes do not fit together, a value is no float64, breakpoints do not increase, or
        pieces do not meet.
    """

    breakpoints: FloatArray
    slopes: FloatArray
    intercepts: FloatArray
    name: str = "activation"

    def __post_init__(self) -> None:
        for kind in ("breakpoints", "slopes", "intercepts"):
            values = _rows(getattr(self, kind), f"the {kind} of {self.name}")
            object.__setattr__(self, kind, values)
        n, k = self.breakpoints.shape
        if self.slopes.shape != (n, k + 1) or self.intercepts.shape != (n, k + 1):
            raise ValueError(
                f"{self.name}: breakpoints (n, K) need slopes and intercepts (n, K + 1), got "
                f"{self.breakpoints.shape}, {self.slopes.shape} and {self.intercepts.shape}"
            )
        if not (np.isfinite(self.slopes).all() and np.isfinite(self.intercepts).all()):
            raise ValueError(f"{self.name} has a slope or bound that is NaN or infinite")
        for h in range(min(n, 1) if self._is_shared else n):
            _check_row(self.breakpoints[h], self.slopes[h], self.intercepts[h], self.name)

    @property
    def _is_shared(self) -> bool:
        """Whether all units have one row of pieces, which then is held only once."""
        return all(a.strides[0] == 0 for a in (self.breakpoints, self.slopes, self.intercepts))

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._is_shared or not self.n_inputs:
            return super().__reduce__()
        rows = self.breakpoints[0], self.slopes[0], self.intercepts[0]
        return _shared, (self.n_inputs, *rows, self.name)

    @property
    def n_inputs(self) -> int:
        return int(self.breakpoints.shape[0])

    n_outputs = n_inputs

    def piece(self, z: FloatArray) -> ByteArray:
        """Piece of every unit, (..., n) uint8, at pre-activations `z` of shape (..., n)."""
        piece = np.zeros(z.shape, dtype=np.uint8)
        for t in self.breakpoints.T:
            piece += z > t
        return piece

    def select(self, table: FloatArray, piece: ByteArray) -> FloatArray:
        """Rows of `table` (`slopes` or `intercepts`) at `piece`, both (..., n)."""
        # One pass for each piece is many times faster than looking up every entry.
        chosen = np.broadcast_to(table[:, 0], piece.shape).copy()
        for k in range(1, table.shape[1]):
            np.copyto(chosen, table[:, k], where=piece == k)
        return chosen

    def __call__(self, z: FloatArray) -> FloatArray:
        piece = self.piece(z)
        return self.select(self.slopes, piece) * z + self.select(self.intercepts, piece)


def _rows(values: ArrayLike, name: str) -> FloatArray:
    """One row for each unit, as a read-only float64 copy; a row that all share is held once."""
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"{name} must have one row for each unit, got shape {array.shape}")
    if len(array) and array.strides[0] == 0:
        return np.broadcast_to(as_float64(array[:1], name), array.shape)
    return as_float64(array, name)


def _check_row(
    breakpoints: FloatArray, slopes: FloatArray, intercepts: FloatArray, name: str
) -> None:
    """Refuse breakpoints out of order and pieces that do not meet, in exact arithmetic."""
    for k, t in enumerate(breakpoints):
        if np.isnan(t) or t == -np.inf or (k and np.isfinite(t) and not breakpoints[k - 1] < t):
            raise ValueError(f"{name}: breakpoints must increase, got {breakpoints.tolist()}")
        if np.isinf(t):
            continue
        left, right = (
            Fraction(slopes[j]) * Fraction(t) + Fraction(intercepts[j]) for j in (k, k + 1)
        )
        if left != right:
            raise ValueError(f"{name} is not continuous: it jumps at {t}")


def piecewise_linear(
    width: int,
    breakpoints: ArrayLike,
    slopes: ArrayLike,
    intercepts: ArrayLike,
    name: str = "activation",
) -> Activation:
    """Make the activation of `width` units that all share one row of pieces.

    Breakpoints at which nothing changes are left out, so that no unit switches where its
    function is one straight line.

    Parameters
    ----------
    width : int
        Number of units.
    breakpoints : (K,) array_like
        Increasing.
    slopes, intercepts : (K + 1,) array_like
        Piece k is ``slopes[k] * z + intercepts[k]``.
    name : str
        For messages.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If breakpoints do not increase, or pieces do not meet.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import piecewise_linear
    >>> hat = piecewise_linear(1, [0, 1, 2], [0, 1, -1, 0], [0, 0, 2, 0])
    >>> hat(np.array([[0.5], [1.5], [3.0]])).ravel()
    array([0.5, 0.5, 0. ])
    """
    t, s, c = (np.asarray(v, dtype=np.float64).ravel() for v in (breakpoints, slopes, intercepts))
    if not len(t) + 1 == len(s) == len(c):
        raise ValueError(
            f"{name}: K breakpoints need K + 1 slopes and intercepts, got {len(t)}, {len(s)} and "
            f"{len(c)}"
        )
    bends = (s[1:] != s[:-1]) | (c[1:] != c[:-1])
    keep = np.concatenate([[True], bends])
    return _shared(width, t[bends], s[keep], c[keep], name)


def _shared(width: int, t: FloatArray, s: FloatArray, c: FloatArray, name: str) -> Activation:
    """The activation of units that all have the given pieces, which are held once."""
    t, s, c = (np.broadcast_to(row, (width, len(row))) for row in (t, s, c))
    return Activation(t, s, c, name)


def relu(width: int, name: str = "ReLU") -> Activation:
    """``max(z, 0)``.

    Parameters
    ----------
    width : int
        Number of units.
    name : str
        For messages.

    Returns
    -------
    Activation

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import relu
    >>> relu(3)(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return piecewise_linear(width, [0.0], [0.0, 1.0], [0.0, 0.0], name)


def leaky_relu(width: int, slope: float, name: str = "LeakyReLU") -> Activation:
    """``z`` where ``z > 0``, else ``slope * z``.

    Parameters
    ----------
    width : int
        Number of units.
    slope : float
        Below zero; of any sign.
    name : str
        For messages.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If the slope is NaN or infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import leaky_relu
    >>> leaky_relu(2, 0.5)(np.array([-1.0, 2.0]))
    array([-0.5,  2. ])
    """
    return piecewise_linear(width, [0.0], [slope, 1.0], [0.0, 0.0], name)


def prelu(slopes: ArrayLike, name: str = "PReLU") -> Activation:
    """``z`` where ``z > 0``, else ``slopes[h] * z``, with one slope for each unit.

    A unit whose slope is 1 is a straight line and never switches.

    Parameters
    ----------
    slopes : (n,) array_like
        Below zero; of any sign.
    name : str
        For messages.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If a slope is NaN, infinite or no float64.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import prelu
    >>> prelu([0.5, 1.0])(np.array([-1.0, -1.0]))
    array([-0.5, -1. ])
    """
    slope = exact_float64(slopes, f"the slopes of {name}")
    if slope.ndim != 1:
        raise ValueError(f"the slopes of {name} must have shape (n,), got {slope.shape}")
    n = len(slope)
    breakpoints = np.where(slope == 1.0, np.inf, 0.0)[:, None]
    both = np.stack([slope, np.ones(n)], axis=1)
    return Activation(breakpoints, both, np.zeros((n, 2)), name)


def absolute(width: int, name: str = "abs") -> Activation:
    """``|z|``.

    Parameters
    ----------
    width : int
        Number of units.
    name : str
        For messages.

    Returns
    -------
    Activation

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import absolute
    >>> absolute(2)(np.array([-1.0, 2.0]))
    array([1., 2.])
    """
    return piecewise_linear(width, [0.0], [-1.0, 1.0], [0.0, 0.0], name)


def clamp(
    width: int, low: float = -np.inf, high: float = np.inf, name: str = "clamp"
) -> Activation:
    """``min(max(z, low), high)``; as in PyTorch it is `high` everywhere if ``low >= high``.

    Parameters
    ----------
    width : int
        Number of units.
    low, high : float
        The bounds; ``-inf`` and ``inf`` for none.
    name : str
        For messages.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If a bound is NaN, or infinite the wrong way.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.network import clamp
    >>> clamp(3, 0, 6)(np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """
    if np.isnan(low) or np.isnan(high) or low == np.inf or high == -np.inf:
        raise ValueError(f"{name} needs bounds that are numbers, got [{low}, {high}]")
    if low >= high:
        return piecewise_linear(width, [], [0.0], [high], name)
    breakpoints, slopes, intercepts = [], [1.0], [0.0]
    if np.isfinite(low):
        breakpoints, slopes, intercepts = [low], [0.0, 1.0], [low, 0.0]
    if np.isfinite(high):
        breakpoints, slopes, intercepts = [*breakpoints, high], [*slopes, 0.0], [*intercepts, high]
    return piecewise_linear(width, breakpoints, slopes, intercepts, name)
