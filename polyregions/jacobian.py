"""The derivative of a network by all its inputs, on one face: exact, and rounded once.

The outputs' adjoints go back through the steps, in integers, with the slopes that the face's
activation pattern names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from flint import fmpz_mat

from polyregions.exact import integers, rounded
from polyregions.network import (
    Affine,
    AffineStep,
    ByteArray,
    FloatArray,
    IntArray,
    Maximum,
    Network,
    Step,
)


@dataclass(frozen=True)
class _Adjoint:
    """Derivatives of all outputs by some values, ``matrix * 2**exponent``."""

    matrix: fmpz_mat
    exponent: int


class Jacobian:
    """Derivatives of a network, by activation pattern.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        # Weights in integers, each worked out when first needed.
        self._dense = cache(_dense)
        self._sparse = cache(_sparse)

    def __call__(self, pattern: ByteArray) -> FloatArray:
        """The Jacobian, (M, n_inputs), for the pieces `pattern`, (H,), of all units.

        Raises
        ------
        OverflowError
            If an entry is too large for float64.
        """
        shape = self._network.n_outputs, self._network.n_inputs
        back = self._exactly(pattern)
        if back is None:  # nothing looks at the input
            return np.zeros(shape)
        up, down = max(back.exponent, 0), max(-back.exponent, 0)
        values = [rounded(int(v) << up, 1 << down) for v in back.matrix.entries()]
        return np.array(values, dtype=np.float64).reshape(shape)

    def signs(self, pattern: ByteArray) -> IntArray:
        """The exact signs of all entries, (M, n_inputs), also of those that float64 has as zero."""
        shape = self._network.n_outputs, self._network.n_inputs
        back = self._exactly(pattern)
        if back is None:
            return np.zeros(shape, dtype=np.int64)
        return np.array([(v > 0) - (v < 0) for v in back.matrix.entries()]).reshape(shape)

    def _exactly(self, pattern: ByteArray) -> _Adjoint | None:
        network = self._network
        m, end = network.n_outputs, network.n_units

        def retreat(step: Step, given: _Adjoint) -> _Adjoint:
            nonlocal end
            if isinstance(step, AffineStep):
                return self._affine(step, given)
            pieces = pattern[end - step.n_outputs : end]
            end -= step.n_outputs
            if isinstance(step, Maximum):
                return _moved(given, step.chosen(pieces).tolist(), step.n_inputs)
            [slopes], shift = integers(step.select(step.slopes, pieces))
            return _Adjoint(_scaled(given.matrix, slopes), given.exponent + shift)

        identity = fmpz_mat(m, m, [int(i == j) for i in range(m) for j in range(m)])
        return network.backpropagate(_Adjoint(identity, 0), _split, _add, retreat)

    def _affine(self, step: AffineStep, given: _Adjoint) -> _Adjoint:
        if isinstance(step, Affine):
            matrix, shift = self._dense(step)
            return _Adjoint(given.matrix * matrix, given.exponent + shift)
        rows, shift = self._sparse(step)
        m = given.matrix.nrows()
        total = [[0] * step.n_inputs for _ in range(m)]
        entries = list(map(int, given.matrix.entries()))
        for i in range(m):
            row = total[i]
            for g, taken in zip(entries[i * len(rows) : (i + 1) * len(rows)], rows, strict=True):
                if g:  # most units behind it are not active
                    for column, weight in taken:
                        row[column] += g * weight
        flat = [entry for row in total for entry in row]
        return _Adjoint(fmpz_mat(m, step.n_inputs, flat), given.exponent + shift)


def _dense(step: Affine) -> tuple[fmpz_mat, int]:
    [flat], exponent = integers(step.weight)
    return fmpz_mat(step.n_outputs, step.n_inputs, flat), exponent


def _sparse(step: AffineStep) -> tuple[list[list[tuple[int, int]]], int]:
    """(input, weight) of everything that each output takes."""
    rows = step.rows(np.arange(step.n_outputs))
    [values], exponent = integers(rows.values)
    entries = list(zip(rows.columns.tolist(), values, strict=True))
    bounds = rows.offsets.tolist()
    return [entries[i:j] for i, j in pairwise(bounds)], exponent


def _scaled(matrix: fmpz_mat, factors: Sequence[int]) -> fmpz_mat:
    """Every column times a factor."""
    m, n = matrix.nrows(), matrix.ncols()
    entries = matrix.entries()
    return fmpz_mat(m, n, [entries[i * n + j] * factors[j] for i in range(m) for j in range(n)])


def _moved(given: _Adjoint, places: Sequence[int], width: int) -> _Adjoint:
    """Every column at its place among `width`; those at one place are added up."""
    m, n = given.matrix.nrows(), given.matrix.ncols()
    entries = list(map(int, given.matrix.entries()))
    total = [0] * (m * width)
    for i in range(m):
        for j, place in enumerate(places):
            total[i * width + place] += entries[i * n + j]
    return _Adjoint(fmpz_mat(m, width, total), given.exponent)


def _split(given: _Adjoint, widths: Sequence[int]) -> list[_Adjoint]:
    """The adjoints of values that were joined."""
    m, n = given.matrix.nrows(), given.matrix.ncols()
    entries = given.matrix.entries()
    ends = np.cumsum([0, *widths]).tolist()
    parts = []
    for begin, end in pairwise(ends):
        part = [entries[i * n + j] for i in range(m) for j in range(begin, end)]
        parts.append(_Adjoint(fmpz_mat(m, end - begin, part), given.exponent))
    return parts


def _add(one: _Adjoint, other: _Adjoint) -> _Adjoint:
    least = min(one.exponent, other.exponent)
    matrices = (a.matrix * (1 << (a.exponent - least)) for a in (one, other))
    return _Adjoint(sum(matrices, fmpz_mat(one.matrix.nrows(), one.matrix.ncols())), least)
