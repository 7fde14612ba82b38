"""Integrated gradients: what each input adds to the output, along the segment from a baseline.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks" (ICML 2017), define the
attribution of input i as ``(x_i - x'_i)`` times the mean of the output's derivative by input i on
the way from x' to x. They take that mean of a few hundred samples. But the derivative of a
piecewise-linear network is constant on every piece of the way, so its mean is a sum over the
pieces, each weighted with its length.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from polyregions.float64 import NORMAL
from polyregions.gradients import jacobians
from polyregions.limits import as_flag
from polyregions.line import LinePartition, partition_line
from polyregions.lower import lower
from polyregions.network import FloatArray, Gather, Network
from polyregions.rounding import FLOAT64, jacobian_bound
from polyregions.slice import numbers

# Numbers of one kind that are worked on at once: about 16 MB.
_NUMBERS_AT_ONCE = 1 << 21


@overload
def integrated_gradients(
    model: Any,
    x: ArrayLike,
    baseline: ArrayLike,
    *,
    target: int | None = ...,
    with_error: Literal[False] = ...,
) -> FloatArray: ...
@overload
def integrated_gradients(
    model: Any,
    x: ArrayLike,
    baseline: ArrayLike,
    *,
    target: int | None = ...,
    with_error: Literal[True],
) -> tuple[FloatArray, FloatArray]: ...
def integrated_gradients(
    model: Any,
    x: ArrayLike,
    baseline: ArrayLike,
    *,
    target: int | None = None,
    with_error: bool = False,
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """What each input adds to the outputs on the way from a baseline: integrated gradients.

    The integral of the definition is not sampled: it is the sum over all pieces of the segment.

    Parameters
    ----------
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        As for `partition_line`.
    x, baseline : array_like
        Two inputs of one shape, which should be that of the model's input. Often the baseline
        is all zeros.
    target : int, optional
        Which output; all of them unless given.
    with_error : bool
        Whether to return bounds on the errors, too.

    Returns
    -------
    attributions : ``(M, *shape)`` float64, or ``(*shape)`` with a target
        They add up to the difference of the output at `x` and at `baseline` (completeness), to
        rounding.
    error : float64 of the same shape
        With ``with_error=True``: bounds on the distance of each from the exact attribution of the
        lowered network. The errors themselves are mostly many thousand times less.

    Raises
    ------
    UnsupportedLayerError, ValueError, TypeError, LimitError, OverflowError
        As `partition_line` does, and if there is no such output. Equal inputs are no error:
        nothing is added between them.

    Notes
    -----
    One backward pass for each piece, in float64. To limit the work, or for several targets, make
    the partition first, with ``a=baseline`` and ``b=x``, and call `along` with that.

    Where a unit is zero along the whole segment or a part of it, it counts as inactive there. The
    definition leaves open which derivative is meant; completeness holds with each.

    References
    ----------
    Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep Networks", equation 1. The
    sum over pieces is that of Sotoudeh and Thakur (2019), "Computing Linear Restrictions of Neural
    Networks".

    Examples
    --------
    >>> import polyregions as pr
    >>> layers = [([[1, 1, 0]], [-1]), ([[1]], [0])]  # max(x0 + x1 - 1, 0)
    >>> pr.integrated_gradients(layers, x=[1, 3, 5], baseline=[0, 0, 0])
    array([[0.75, 2.25, 0.  ]])
    """
    as_flag(with_error, "with_error")
    start, end = numbers(baseline, "baseline"), numbers(x, "x")
    if start.shape != end.shape:
        raise ValueError(
            f"x and baseline must have one shape, that of the input; got {end.shape} and "
            f"{start.shape}"
        )
    network = lower(model, shape=end.shape)
    if end.size != network.n_inputs:
        raise ValueError(
            f"x and baseline have {end.size} numbers each, but the network has "
            f"{network.n_inputs} inputs; make them of {network.n_inputs} numbers"
        )
    _only(network, target)  # refuses what is no output before anything is computed
    if (start == end).all():
        rows = () if target is not None else (network.n_outputs,)
        found = np.zeros((*rows, *end.shape))
        return (found, np.zeros_like(found)) if with_error else found
    part = partition_line(network, start, end)
    return along(part, target=target, with_error=True) if with_error else along(part, target=target)


@overload
def along(
    part: LinePartition, *, target: int | None = ..., with_error: Literal[False] = ...
) -> FloatArray: ...
@overload
def along(
    part: LinePartition, *, target: int | None = ..., with_error: Literal[True]
) -> tuple[FloatArray, FloatArray]: ...
def along(
    part: LinePartition, *, target: int | None = None, with_error: bool = False
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """Integrated gradients along a segment that has been partitioned, from `a` to `b`.

    Parameters
    ----------
    part : LinePartition
    target, with_error
        As for `integrated_gradients`.

    Returns
    -------
    attributions, error
        As `integrated_gradients` does.

    Raises
    ------
    ValueError, TypeError
        If there is no such output, or `part` is of a whole line.
    OverflowError
        If a derivative is too large for float64.

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.attribution import along
    >>> part = pr.partition_line([([[1, 1, 0]], [-1]), ([[1]], [0])], a=[0, 0, 0], b=[1, 3, 5])
    >>> along(part, target=0)
    array([0.75, 2.25, 0.  ])
    """
    as_flag(with_error, "with_error")
    if part.is_whole:
        raise ValueError(
            "integrated gradients are along a segment, not a whole line; make the partition "
            "without whole=True"
        )
    network = _only(part.network, target)
    mean, error = _mean_jacobian(network, part)
    shape = part.segment.shape
    rows = () if target is not None else (network.n_outputs,)
    with np.errstate(over="ignore", invalid="ignore"):
        way = (part.b - part.a).ravel()
        found = (way * mean).reshape(*rows, *shape)
        # One rounding each of the difference and the product, and those of the bound itself.
        error = np.abs(way) * (error + FLOAT64.gamma(4) * np.abs(mean))
        error = (error * (1 + FLOAT64.gamma(4)) + NORMAL).reshape(*rows, *shape)
    if not np.isfinite(found).all():
        raise OverflowError(
            "an attribution is too large for float64; scale the weights or the inputs down"
        )
    return (found, np.where(np.isnan(error), np.inf, error)) if with_error else found


def _mean_jacobian(network: Network, part: LinePartition) -> tuple[FloatArray, FloatArray]:
    """The mean of the derivative along a segment, (M, n_inputs), and a bound on its error.

    A breakpoint that is off by e moves so much length from one piece to the next, and with it e
    times the difference of their derivatives.
    """
    lengths, s_error = np.diff(part.bounds), part.breakpoint_error
    m, n = network.n_outputs, network.n_inputs
    width = max([n, *(step.n_outputs for step in network.steps)])
    at_once = max(1, _NUMBERS_AT_ONCE // (m * width))
    total, size, error = np.zeros((3, m, n))
    with np.errstate(over="ignore", invalid="ignore"):
        last: tuple[FloatArray, FloatArray] | None = None
        for begin in range(0, part.n_pieces, at_once):
            pattern = part.piece_pattern[begin : begin + at_once]
            length = lengths[begin : begin + at_once]
            rows = jacobians(network, pattern)
            bound = jacobian_bound(network, pattern, FLOAT64)
            total += np.tensordot(length, rows, 1)
            size += np.tensordot(length, np.abs(rows), 1)
            error += np.tensordot(length, bound, 1)
            before = begin
            if last is not None:
                rows, bound = (np.concatenate(p) for p in zip(last, (rows, bound), strict=True))
                before -= 1
            jump = np.abs(np.diff(rows, axis=0)) + bound[1:] + bound[:-1]
            error += np.tensordot(s_error[before : before + len(jump)], jump, 1)
            last = rows[-1:], bound[-1:]
        n_roundings = part.n_pieces + 8
        error += FLOAT64.gamma(n_roundings) * (size + error) + n_roundings * NORMAL
    return total, error


def _only(network: Network, target: int | None) -> Network:
    """The network of one output."""
    if target is None:
        return network
    m = network.n_outputs
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise TypeError(f"target must be the index of an output, an integer, got {target!r}")
    if not 0 <= target < m:
        raise ValueError(
            f"target must be an index from 0 to {m - 1} (the network has {m} "
            f"{'output' if m == 1 else 'outputs'}), got {target!r}"
        )
    assert network.sources is not None
    chosen = Gather(np.array([target]), m, "the target")
    sources = (*network.sources, (len(network.steps),))
    return Network((*network.steps, chosen), network.n_inputs, network.notes, sources)
