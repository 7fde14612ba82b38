"""A network along a segment, walked in fractions from one breakpoint to the next.

Nothing is cut here. Just behind a parameter s every unit is on one piece, and every value is an
affine function of s and has one gradient. The nearest place at which a unit leaves its piece is
the next breakpoint. Shares no code with the package but that which lists the rows of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from polyregions.network import Activation, Affine, Maximum, Network

Form = np.ndarray  # of Fractions: a constant, the factor of s, and the gradient by all inputs


@dataclass(frozen=True)
class Piece:
    start: Fraction
    end: Fraction
    pattern: tuple[int, ...]
    outputs: list[Form]


def fractions(values: np.ndarray) -> np.ndarray:
    flat = [Fraction(v) for v in np.asarray(values, dtype=np.float64).ravel().tolist()]
    made = np.empty(len(flat), dtype=object)
    made[:] = flat
    return made.reshape(np.shape(values))


def rows_of(network: Network) -> list:
    """For each affine step the (input, weight) of every output, and the constants."""
    table = []
    for step in network.steps:
        if isinstance(step, Activation | Maximum):
            table.append(None)
            continue
        if isinstance(step, Affine):
            rows = [
                [(j, Fraction(w)) for j, w in enumerate(row) if w] for row in step.weight.tolist()
            ]
        else:
            found = step.rows(np.arange(step.n_outputs))
            entries = [
                (j, Fraction(v))
                for j, v in zip(found.columns.tolist(), found.values.tolist(), strict=True)
            ]
            rows = [entries[i:j] for i, j in pairwise(found.offsets.tolist())]
        table.append((rows, fractions(step.constant)))
    return table


def leaves(form: Form, other: Fraction, s: Fraction) -> Fraction | None:
    """Where behind s an affine function is `other`, if it goes there."""
    if not form[1]:
        return None
    at = (other - form[0]) / form[1]
    return at if at > s else None


def germ(network: Network, table: list, first: list[Form], s: Fraction) -> tuple:
    """Just behind s: the pattern, the outputs, and the nearest place where a unit leaves."""
    values = [first]
    pattern: list[int] = []
    ends: list[Fraction] = []
    for step, rows, sources in zip(network.steps, table, network.sources, strict=True):
        given = [form for value in sources for form in values[value]]
        made: list[Form] = []
        if isinstance(step, Activation):
            tables = step.breakpoints.tolist(), step.slopes.tolist(), step.intercepts.tolist()
            for form, ts, slopes, intercepts in zip(given, *tables, strict=True):
                thresholds = [Fraction(t) for t in ts if t != np.inf]
                z = form[0] + form[1] * s
                piece = sum((z, form[1]) > (t, 0) for t in thresholds)
                pattern.append(piece)
                ends += [e for t in thresholds if (e := leaves(form, t, s)) is not None]
                bent = form * Fraction(slopes[piece])
                bent[0] += Fraction(intercepts[piece])
                made.append(bent)
        elif isinstance(step, Maximum):
            for members in step.members.tolist():
                forms = [given[m] for m in members if m >= 0]
                keys = [(f[0] + f[1] * s, f[1]) for f in forms]
                piece = keys.index(max(keys))
                pattern.append(piece)
                for form in forms:
                    end = leaves(form - forms[piece], Fraction(0), s)
                    ends += [] if end is None else [end]
                made.append(forms[piece])
        else:
            entries, constants = rows
            for row, constant in zip(entries, constants, strict=True):
                total = 0 * given[0]
                for j, weight in row:
                    total = total + given[j] * weight
                total[0] += constant
                made.append(total)
        values.append(made)
    return tuple(pattern), values[-1], min(ends, default=None)


def walk(
    network: Network, a: np.ndarray, b: np.ndarray, *, gradient: bool = True
) -> Iterator[Piece]:
    """The pieces from a to b, in order."""
    start, way = fractions(np.ravel(a)), fractions(np.ravel(b)) - fractions(np.ravel(a))
    n = len(start) if gradient else 0
    first = [
        np.array([p, q, *(Fraction(int(i == j)) for j in range(n))], dtype=object)
        for i, (p, q) in enumerate(zip(start, way, strict=True))
    ]
    table = rows_of(network)
    s, begin = Fraction(0), Fraction(0)
    pattern, outputs, end = germ(network, table, first, s)
    while end is not None and end < 1:
        s = end
        after, outputs_after, end = germ(network, table, first, s)
        if after != pattern:  # else a value only touched a breakpoint
            yield Piece(begin, s, pattern, outputs)
            begin, pattern, outputs = s, after, outputs_after
    yield Piece(begin, Fraction(1), pattern, outputs)
