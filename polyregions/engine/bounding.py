"""Compiled kernels for maps of many faces at once, where layers are no matrices.

Rows 0, 1 and 2 of `columns` (F, 3, n) are a, b and c of affine functions; rows 0 and 1 of `errors`
(F, 2, n) bound the errors of ``|a| X + |b| Y`` and of c, as `polyregions.engine.program` says.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from polyregions.engine.kernels import PROVEN, kernel
from polyregions.float64 import HUGE, LEAST, TINY, U


@kernel
def bounded(error):
    """An error bound, or inf where it is too large to be worth anything, or NaN."""
    return error if error < HUGE else np.inf


@kernel
def switch(
    parent, first_face, group, first_group, prev_columns, prev_eab, prev_ec, together, pieces,
    slopes, intercepts, size_x, size_y, columns, errors,
):  # fmt: skip
    """What an activation layer makes of the maps of some faces' parents.

    `together` says that `prev_ec` may hold a bound for a, b and c together, as where maps were
    made by matrices.
    """
    lost = TINY * (1.0 + size_x + size_y)
    gamma = 8 * U * (1 + 1e-6)
    for f in range(len(parent)):
        p = parent[f] - first_face
        g = group[parent[f]] - first_group
        for i in range(pieces.shape[1]):
            slope, intercept = slopes[i, pieces[f, i]], intercepts[i, pieces[f, i]]
            if slope == 0.0:  # also where a, b or c overflowed
                columns[f, 0, i], columns[f, 1, i], columns[f, 2, i] = 0.0, 0.0, intercept
                errors[f, 0, i], errors[f, 1, i] = 0.0, 0.0
                continue
            a, b, c = prev_columns[p, 0, i], prev_columns[p, 1, i], prev_columns[p, 2, i]
            e_ab, e_c = prev_eab[g, i], prev_ec[g, i]
            if together:
                e_ab += e_c * (1 + 1e-6)
            columns[f, 0, i] = slope * a
            columns[f, 1, i] = slope * b
            columns[f, 2, i] = slope * c + intercept
            if not PROVEN:
                errors[f, 0, i], errors[f, 1, i] = 0.0, 0.0
            elif slope == 1.0 and intercept == 0.0:  # nothing rounds
                errors[f, 0, i], errors[f, 1, i] = e_ab, e_c
            else:
                steep = abs(slope)
                some_ab = a != 0.0 or b != 0.0 or e_ab > 0.0
                some_c = c != 0.0 or e_c > 0.0
                size = abs(a) * size_x + abs(b) * size_y
                new_ab = steep * (e_ab * (1 + 1e-6) + gamma * size + 8 * LEAST)
                new_c = steep * (e_c * (1 + 1e-6) + gamma * abs(c) + 8 * LEAST)
                new_c += gamma * abs(intercept)
                errors[f, 0, i] = bounded(new_ab * (1 + 1e-6) + lost) if some_ab else 0.0
                errors[f, 1, i] = bounded(new_c * (1 + 1e-6) + lost) if some_c else 0.0


@kernel
def widen(columns, errors, gamma, size_x, size_y, out):
    """(F, 2, n) what an affine step's absolute coefficients are to be applied to.

    That is the errors, the roundings of products, and a little for what may underflow, unless
    there is nothing that could: it is zero only for functions that are known to be.
    """
    lost = TINY * (1.0 + size_x + size_y)
    for f in range(columns.shape[0]):
        for i in range(columns.shape[2]):
            a, b, c = columns[f, 0, i], columns[f, 1, i], columns[f, 2, i]
            e_ab, e_c = errors[f, 0, i], errors[f, 1, i]
            size = abs(a) * size_x + abs(b) * size_y
            some_ab = a != 0.0 or b != 0.0 or e_ab > 0.0
            some_c = c != 0.0 or e_c > 0.0
            out[f, 0, i] = e_ab * (1 + 1e-6) + gamma * size + lost if some_ab else 0.0
            out[f, 1, i] = e_c * (1 + 1e-6) + gamma * abs(c) + lost if some_c else 0.0


@kernel
def settle(found, is_some, constant, gamma, size_x, size_y, columns):
    """Add the constants of an affine step, and turn what `widen` led to into error bounds.

    `is_some` says where there was something at all to be lost; it may be `found` itself, if its
    zeros are zeros without underflow.
    """
    lost = TINY * (1.0 + size_x + size_y)
    for f in range(columns.shape[0]):
        for i in range(columns.shape[2]):
            columns[f, 2, i] += constant[i]
            e_ab, e_c = found[f, 0, i], found[f, 1, i] + gamma * abs(constant[i])
            # Nothing of nothing is exact, and then nothing rounds the constant either. It may have
            # been zero times what overflowed, which is NaN.
            some_ab, some_c = is_some[f, 0, i] != 0.0, is_some[f, 1, i] != 0.0
            if not some_ab:
                columns[f, 0, i] = columns[f, 1, i] = 0.0
            if not some_c:
                columns[f, 2, i] = constant[i]
            found[f, 0, i] = bounded(e_ab * (1 + 1e-6) + lost) if some_ab else 0.0
            found[f, 1, i] = bounded(e_c * (1 + 1e-6) + lost) if some_c else 0.0
