"""Activation patterns, row by row."""

from __future__ import annotations

import numpy as np

from polyregions.network import ByteArray, IntArray


def first_difference(table: ByteArray, a: IntArray, b: IntArray) -> IntArray:
    """The first column in which rows a[i] and b[i] of a table differ; its width if in none."""
    width = table.shape[1]
    first = np.full(len(a), width, dtype=np.int64)
    rows = max(1, (1 << 22) // max(width, 1))  # a few megabytes at a time
    for i in range(0, len(a) if width else 0, rows):
        differs = table[a[i : i + rows]] != table[b[i : i + rows]]
        at = differs.argmax(axis=1)
        first[i : i + rows] = np.where(differs[np.arange(len(at)), at], at, width)
    return first
