"""Log-sum-exp, soft(arg)max and softplus: smooth functions with a piecewise-linear limit.

`logsumexp`, `softmax` and `softplus` tend to max, to the one-hot arg max and to ReLU as their
sharpness ``lam`` grows; ``lam=inf`` is the limit itself. `soften` puts a softplus in the place of
every ReLU of a network and bounds how far the output can move.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from polyregions.lower import lower
from polyregions.network import Activation, FloatArray, Maximum, Network, Step, joined, joined_pairs

__all__ = ["SoftNetwork", "logsumexp", "onehot_argmax", "soften", "softmax", "softplus"]

Axis: TypeAlias = int | Sequence[int] | None
_Pair: TypeAlias = tuple[FloatArray, FloatArray]


def logsumexp(sigma: ArrayLike, lam: float, axis: Axis = -1) -> Any:
    r"""Smooth maximum, ``log(sum(exp(lam * sigma))) / lam``.

    It lies between ``max(sigma)`` and ``max(sigma) + log(n) / lam``, where n is the number of
    values; these bounds hold for the float64 results too. No intermediate value overflows.

    Parameters
    ----------
    sigma : array_like of float
    lam : float
        Sharpness, positive; ``inf`` gives the maximum.
    axis : int, tuple of int or None
        What is summed over; None means everything.

    Returns
    -------
    float64 array
        The shape of `sigma` without `axis`; a scalar if nothing is left of it. ``inf`` where a
        value is ``inf``; ``-inf`` where all are, or where there is none; NaN where one is.

    Raises
    ------
    ValueError
        If `lam` is not positive.

    Examples
    --------
    >>> from polyregions import smooth
    >>> smooth.logsumexp([[1, 2, 3], [11, 12, 13], [10, 20, 30]], lam=1)
    array([ 3.40760596, 13.40760596, 30.0000454 ])
    >>> smooth.logsumexp([-1e4, 1e4], lam=100)
    np.float64(10000.0)
    """
    rows, kept, _ = _rows(sigma, axis)
    lam = _sharpness(lam)
    n = rows.shape[-1]
    if n == 0:
        return np.full(kept, -np.inf)[()]
    top, share = _shares(rows, lam)
    # The largest terms are taken out of the sum, so that a small rest is not lost beside them.
    is_top = rows == top
    ties = np.maximum(is_top.sum(axis=-1), 1)  # none is equal to a NaN
    rest = np.where(is_top, 0.0, share).sum(axis=-1)
    # Rounding could take the logarithm past log(n).
    excess = np.minimum(np.log(ties) + np.log1p(rest / ties), np.log(n))
    return (top[..., 0] + excess / lam).reshape(kept)[()]


def softmax(sigma: ArrayLike, lam: float, axis: Axis = -1) -> FloatArray:
    """Smooth arg max, ``exp(lam * sigma) / sum(exp(lam * sigma))``.

    The gradient of `logsumexp`. No intermediate value overflows.

    Parameters
    ----------
    sigma : array_like of float
    lam : float
        Sharpness, positive; ``inf`` gives the limit: the largest values share 1 equally and all
        others get 0, as `onehot_argmax` with ``ties="share"``.
    axis : int, tuple of int or None
        Over what the result sums to 1; None means over everything.

    Returns
    -------
    float64 array
        The shape of `sigma`. Equal values get equal shares, infinite ones too: one ``inf`` takes
        all, two take one half each, and a row of nothing but ``-inf`` is uniform. A NaN makes all
        NaN that are summed with it.

    Raises
    ------
    ValueError
        If `lam` is not positive.

    Examples
    --------
    >>> from polyregions import smooth
    >>> smooth.softmax([[1, 2, 3], [11, 12, 13], [10, 20, 30]], lam=1).round(3)
    array([[0.09 , 0.245, 0.665],
           [0.09 , 0.245, 0.665],
           [0.   , 0.   , 1.   ]])
    """
    rows, _, restore = _rows(sigma, axis)
    lam = _sharpness(lam)
    if rows.size == 0:
        return restore(rows)
    _, share = _shares(rows, lam)
    return restore(share / share.sum(axis=-1, keepdims=True))


def onehot_argmax(
    sigma: ArrayLike, axis: Axis = -1, *, ties: Literal["first", "share"] = "first"
) -> FloatArray:
    """One where the largest value is, zero elsewhere.

    Parameters
    ----------
    sigma : array_like of float
    axis : int, tuple of int or None
        Over what the largest value is sought; None means over everything.
    ties : {"first", "share"}
        Which of several equal largest values gets the 1. ``"first"`` gives it to the first of
        them, as `numpy.argmax` does, so that the result is one-hot. ``"share"`` divides it
        equally, which is the limit of `softmax` as its sharpness grows; the two differ on ties
        alone.

    Returns
    -------
    float64 array
        The shape of `sigma`. A NaN makes all NaN that are compared with it.

    Examples
    --------
    >>> from polyregions import smooth
    >>> smooth.onehot_argmax([[1, 3, 2], [5, 5, 4]])
    array([[0., 1., 0.],
           [1., 0., 0.]])
    >>> smooth.onehot_argmax([5, 5, 4], ties="share")
    array([0.5, 0.5, 0. ])
    """
    if ties not in ("first", "share"):
        raise ValueError(f'ties must be "first" or "share", got {ties!r}')
    if ties == "share":
        return softmax(sigma, np.inf, axis)
    rows, _, restore = _rows(sigma, axis)
    if rows.size == 0:
        return restore(rows)
    onehot = np.zeros(rows.shape)
    np.put_along_axis(onehot, rows.argmax(axis=-1)[..., None], 1.0, axis=-1)
    onehot[np.isnan(rows).any(axis=-1)] = np.nan
    return restore(onehot)


def softplus(z: ArrayLike, lam: float) -> Any:
    """Smooth ReLU, ``log(1 + exp(lam * z)) / lam``.

    It lies between ``max(z, 0)`` and ``max(z, 0) + log(2) / lam``; furthest above ReLU at 0.

    Parameters
    ----------
    z : array_like of float
    lam : float
        Sharpness, positive; ``inf`` gives ReLU.

    Returns
    -------
    float64 array
        The shape of `z`.

    Raises
    ------
    ValueError
        If `lam` is not positive.

    Examples
    --------
    >>> from polyregions import smooth
    >>> smooth.softplus([-1e4, 0, 1e4], lam=1)
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+04])
    """
    z = _real(z, "z")
    return np.maximum(z, 0.0) + _above_relu(z, _sharpness(lam))


@dataclass(frozen=True, eq=False)
class SoftNetwork:
    """A network whose activations have rounded kinks; made by `soften`.

    Attributes
    ----------
    network : Network
        The piecewise-linear network that it tends to as `lam` grows.
    lam : float
        Sharpness.
    """

    network: Network
    lam: float

    def __call__(self, points: ArrayLike) -> FloatArray:
        """Values, (N, M) float64, at `points`, (N, 2)."""
        return self.network.propagate(self.network.points(points), joined, self._value)

    def _value(self, step: Step, x: FloatArray) -> FloatArray:
        match step:
            case Activation():
                return _soft_activation(step, x, self.lam)[0]
            case Maximum():
                return np.asarray(logsumexp(step.candidates(x), self.lam))
        return step(x)

    def gradient(self, points: ArrayLike) -> FloatArray:
        """Gradients of the outputs, (N, M, 2) float64, at `points`, (N, 2)."""
        x = self.network.points(points)
        # The derivatives of all values by input i at point p are rows[i, p].
        rows: FloatArray = np.repeat(np.eye(self.network.n_inputs)[:, None, :], len(x), axis=1)

        def advance(step: Step, given: _Pair) -> _Pair:
            x, rows = given
            match step:
                case Activation():
                    value, slope = _soft_activation(step, x, self.lam)
                    return value, rows * slope
                case Maximum():
                    shares = softmax(step.candidates(x), self.lam)
                    return self._value(step, x), (rows[..., step.members] * shares).sum(axis=-1)
            return step(x), step.apply(rows)

        _, rows = self.network.propagate((x, rows), joined_pairs, advance)
        return np.ascontiguousarray(np.moveaxis(rows, 0, -1))

    def error_bound(self) -> FloatArray:
        """Bound the distance from the exact network, over the whole plane.

        Returns
        -------
        (M,) float64
            For every output, a bound on ``|soft(x) - exact(x)|`` that holds at every x, in real
            arithmetic. It is in proportion to ``1 / lam``. The rounding of a float64 evaluation
            of either network comes on top, as for any forward pass.

        Notes
        -----
        Let the current values of the soft network be off from the exact ones by something in
        ``[-below, above]``, layer by layer; at the input both are 0.

        * Behind an affine step with matrix ``A = P - N`` (positive and negative parts) they are
          off by at most ``P above + N below`` upwards and ``P below + N above`` downwards.
        * The largest of K values, softened, grows by something in ``[0, log(K) / lam]``; it is off
          by no more than the values that it is taken of.
        * An activation with slopes ``s_0, ..., s_K`` and breakpoints ``t_k`` is
          ``s_0 z + c_0 + sum_k d_k relu(z - t_k)``, ``d_k = s_{k+1} - s_k``. Softened, each
          relu grows by something in ``[0, log(2) / lam]``, so the sum moves up by at most
          ``log(2) / lam`` times the positive ``d_k`` and down by as much times the negative ones.
          To this comes what the activation makes of the error it is given: a mean slope, between
          the least and the greatest ``s_k``, times that error.

        The bound is attained by a single ReLU, at its kink. The more layers, the more pessimistic
        it is, as the errors of all units are taken to be largest at one point.

        Its own rounding is covered, short of underflow: every term of its sums is non-negative,
        and the result is enlarged by more than their rounding errors can amount to.
        """
        operations = 0

        def advance(step: Step, given: _Pair) -> _Pair:
            nonlocal operations
            above, below = given
            match step:
                case Activation():
                    least, most = step.slopes.min(axis=1), step.slopes.max(axis=1)
                    _, bend = _bends(step)
                    kink = np.log(2.0) / self.lam
                    operations += 6 + bend.shape[1]
                    return (
                        _furthest(least, most, below, above)
                        + kink * np.maximum(bend, 0.0).sum(axis=1),
                        _furthest(-most, -least, below, above)
                        + kink * np.maximum(-bend, 0.0).sum(axis=1),
                    )
                case Maximum():
                    operations += 3
                    n_members = (step.members >= 0).sum(axis=1)
                    return (
                        step.candidates(above).max(axis=-1) + np.log(n_members) / self.lam,
                        step.candidates(below).max(axis=-1),
                    )
            operations += 2 * max(step.n_roundings, 2)
            return (
                step.part(above, 1) + step.part(below, -1),
                step.part(below, 1) + step.part(above, -1),
            )

        nothing = np.zeros(self.network.n_inputs)
        above, below = self.network.propagate((nothing, nothing), joined_pairs, advance)
        # Sums of non-negative terms: each operation adds at most a factor 1 + 2**-53.
        return np.maximum(above, below) * (1.0 + 2.0**-52 * operations)

    def __repr__(self) -> str:
        return f"<SoftNetwork of {self.network!r}, lam={self.lam:g}>"


def soften(model: Any, lam: float) -> SoftNetwork:
    """Replace every ReLU of a network by ``softplus(z) = log(1 + exp(lam * z)) / lam``.

    Any other piecewise-linear activation is a sum of a straight line and of multiples of ReLUs,
    one for each breakpoint, and each of these is replaced. The largest of several values becomes
    their `logsumexp`.

    Parameters
    ----------
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        As for `polyregions.lower`.
    lam : float
        Sharpness, positive; ``inf`` changes nothing.

    Returns
    -------
    SoftNetwork
        Gives values, gradients and a bound on the distance from the exact network.

    Raises
    ------
    ValueError
        If `lam` is not positive.

    Examples
    --------
    >>> from polyregions import smooth
    >>> soft = smooth.soften([([[1.0, 0.0]], [0.0]), ([[1.0]], [0.0])], lam=10)  # max(x, 0)
    >>> soft([[0.0, 0.0], [1.0, 0.0]])
    array([[0.06931472],
           [1.00000454]])
    >>> soft.error_bound().round(8)
    array([0.06931472])
    """
    return SoftNetwork(lower(model), _sharpness(lam))


# -- the parts ---------------------------------------------------------------------------------


def _sharpness(lam: float) -> float:
    if isinstance(lam, bool) or np.ndim(lam) != 0:
        raise TypeError(f"lam must be a number, got {lam!r}")
    value = float(lam)
    if not value > 0:
        raise ValueError(f"lam must be positive, got {lam!r}")
    return value


def _real(values: ArrayLike, name: str) -> FloatArray:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got an array of dtype {array.dtype}")
    return array.astype(np.float64)


@dataclass(frozen=True)
class _Restore:
    """Puts rows made by `_rows` back into the shape they came from."""

    front_shape: tuple[int, ...]
    axes: tuple[int, ...]

    def __call__(self, rows: FloatArray) -> FloatArray:
        front = rows.reshape(self.front_shape)
        last = range(front.ndim - len(self.axes), front.ndim)
        return np.ascontiguousarray(np.moveaxis(front, tuple(last), self.axes))


def _rows(sigma: ArrayLike, axis: Axis) -> tuple[FloatArray, tuple[int, ...], _Restore]:
    """Bring the axes worked over to the end and make one of them.

    Returns the rows, the shape that is left when they are summed over, and the way back.
    """
    array = _real(sigma, "sigma")
    if axis is None:
        axes = tuple(range(array.ndim))
    else:
        wanted = (axis,) if np.ndim(axis) == 0 else tuple(axis)  # type: ignore[arg-type]
        axes = tuple(sorted(_axis(a, array.ndim) for a in wanted))
        if len(set(axes)) != len(axes):
            raise ValueError(f"axis names an axis twice: {axis!r}")
    front = np.moveaxis(array, axes, range(array.ndim - len(axes), array.ndim))
    kept = front.shape[: array.ndim - len(axes)]
    n = int(np.prod(front.shape[len(kept) :], dtype=np.int64))
    return front.reshape(*kept, n), kept, _Restore(front.shape, axes)


def _axis(axis: Any, ndim: int) -> int:
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(index, ndim)
    return index % ndim


def _shares(rows: FloatArray, lam: float) -> tuple[FloatArray, FloatArray]:
    """The maximum of every row, (..., 1), and ``exp(lam * (rows - maximum))``."""
    top = rows.max(axis=-1, keepdims=True)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        gap = rows - top
        # A difference of finite numbers that is too large for float64 need not be after lam.
        overflow = np.isinf(gap) & np.isfinite(rows) & np.isfinite(top)
        halved = lam * (rows / 2 - top / 2) * 2
        exponent = np.where(overflow, halved, lam * gap)
        # The maximum is at distance 0 from itself, infinite or not, whatever lam is.
        share = np.where(rows == top, 1.0, np.exp(exponent))
    return top, share


def _above_relu(z: FloatArray, lam: float) -> FloatArray:
    """``softplus(z) - relu(z)``, in ``[0, log(2) / lam]``."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        decay = np.where(z == 0.0, 1.0, np.exp(-lam * np.abs(z)))
        above: FloatArray = np.log1p(decay) / lam
    return above


def _step(z: FloatArray, lam: float) -> FloatArray:
    """The derivative of softplus, ``1 / (1 + exp(-lam * z))``: one half at a kink."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        decay = np.where(z == 0.0, 1.0, np.exp(-lam * np.abs(z)))
    return np.where(z >= 0.0, 1.0, decay) / (1.0 + decay)


def _bends(layer: Activation) -> tuple[FloatArray, FloatArray]:
    """Breakpoints and the jump of the slope there, both (n, K); no jump at an infinite one."""
    finite = np.isfinite(layer.breakpoints)
    bend = np.where(finite, np.diff(layer.slopes, axis=1), 0.0)
    return np.where(finite, layer.breakpoints, 0.0), bend


def _soft_activation(layer: Activation, z: FloatArray, lam: float) -> tuple[FloatArray, FloatArray]:
    """Value and slope of a softened layer at pre-activations, all (N, n)."""
    breakpoints, bend = _bends(layer)
    value = layer(z)
    slope = np.broadcast_to(layer.slopes[:, 0], z.shape)
    for t, d in zip(breakpoints.T, bend.T, strict=True):
        value = value + d * _above_relu(z - t, lam)
        slope = slope + d * _step(z - t, lam)
    return value, slope


def _furthest(
    least: FloatArray, most: FloatArray, below: FloatArray, above: FloatArray
) -> FloatArray:
    """The greatest product of a slope in [least, most] and an error in [-below, above]."""
    return np.maximum(np.maximum(most * above, -least * below), 0.0)
