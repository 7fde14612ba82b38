"""Which places along the axes of a picture the windows of a pooling layer cover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyregions.network import IntArray


def pooled_length(
    n: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int, ceil_mode: bool
) -> int:
    """How many windows an axis of `n` places has.

    With `ceil_mode` the last one may reach over the end, but none begins in the padding there.
    """
    before, after = padding
    free = n + before + after - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return free // stride + 1
    out = -(-free // stride) + 1
    return out - ((out - 1) * stride >= n + before)


def regular(
    n: int, kernel: int, stride: int, before: int, dilation: int, n_windows: int
) -> IntArray:
    """(n_windows, kernel) places along an axis; they may be less than 0 or beyond `n`."""
    begin = np.arange(n_windows)[:, None] * stride - before
    return begin + np.arange(kernel) * dilation


def adaptive(n: int, n_windows: int) -> IntArray:
    """(n_windows, K) places of windows of nearly one length that cover an axis; -1 for none."""
    at = np.arange(n_windows)
    begin, end = at * n // n_windows, -(-(at + 1) * n // n_windows)
    place = begin[:, None] + np.arange((end - begin).max(initial=1))
    return np.where(place < end[:, None], place, -1)


def combined(axes: Sequence[IntArray], lengths: Sequence[int]) -> IntArray:
    """Windows over several axes from those along each.

    Returns
    -------
    (prod(n_windows), prod(kernel)) int64
        Places in C order; -1 for those outside.
    """
    place = np.zeros((1, 1), dtype=np.int64)
    for axis, n in zip(axes, lengths, strict=True):
        inside = (axis >= 0) & (axis < n)
        shape = len(place) * len(axis), place.shape[1] * axis.shape[1]
        at = place[:, None, :, None] * n + axis[None, :, None, :]
        at = np.where((place[:, None, :, None] >= 0) & inside[None, :, None, :], at, -1)
        place = at.reshape(shape)
    return place


def counted(axes: Sequence[IntArray], spans: Sequence[tuple[int, int]]) -> IntArray:
    """(prod(n_windows),) how many places of each window lie in ``begin <= place < end``."""
    count = np.ones(1, dtype=np.int64)
    for axis, (begin, end) in zip(axes, spans, strict=True):
        inside = ((axis >= begin) & (axis < end)).sum(axis=1)
        count = (count[:, None] * inside).ravel()
    return count


def first_members(places: IntArray) -> IntArray:
    """Rows of places with every -1 at the end, without columns that hold nothing else."""
    order = np.argsort(places < 0, axis=-1, kind="stable")
    sorted_places = np.take_along_axis(places, order, axis=-1)
    most = int((places >= 0).sum(axis=-1).max(initial=0))
    return sorted_places[..., : max(most, 1)]
