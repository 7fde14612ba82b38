"""A network along a segment, walked in fractions from one breakpoint to the next.

Nothing is cut here. Just behind a parameter s every unit is on one piece, and every value is an
affine function of s and has one gradient. The nearest place at which a unit leaves its piece is
the next breakpoint. Shares no code with the package but that which lists the rows of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from polyregions.network import Activation, Affine, Maximum, Network

Form = np.ndarray  # of Fractions: a constant, the factor of s, and the gradient by all inputs


@dataclass(frozen=True)
class Piece:
    start: Fraction | None
    end: Fraction | None
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
    start = fractions(np.ravel(a))
    return _walk(network, start, fractions(np.ravel(b)) - start, Fraction(1), gradient=gradient)


def walk_whole(network: Network, a: np.ndarray, b: np.ndarray) -> list[Piece]:
    """The pieces of the whole line, whose ends are None: there and back from a."""
    start = fractions(np.ravel(a))
    way = fractions(np.ravel(b)) - start
    there = list(_walk(network, start, way, None))
    back = [
        Piece(
            None if p.end is None else -p.end, -p.start, p.pattern, list(map(_mirrored, p.outputs))
        )
        for p in _walk(network, start, -way, None)
    ][::-1]
    if back[-1].pattern == there[0].pattern:  # a itself is no breakpoint
        middle = replace(there[0], start=back[-1].start)
        return [*back[:-1], middle, *there[1:]]
    return [*back, *there]


def _mirrored(form: Form) -> Form:
    form = form.copy()
    form[1] = -form[1]
    return form


def _walk(
    network: Network, start: np.ndarray, way: np.ndarray, stop: Fraction | None, *,
    gradient: bool = True,
) -> Iterator[Piece]:  # fmt: skip
    n = len(start) if gradient else 0
    first = [
        np.array([p, q, *(Fraction(int(i == j)) for j in range(n))], dtype=object)
        for i, (p, q) in enumerate(zip(start, way, strict=True))
    ]
    table = rows_of(network)
    s, begin = Fraction(0), Fraction(0)
    pattern, outputs, end = germ(network, table, first, s)
    while end is not None and (stop is None or end < stop):
        s = end
        after, outputs_after, end = germ(network, table, first, s)
        if after != pattern:  # else a value only touched a breakpoint
            yield Piece(begin, s, pattern, outputs)
            begin, pattern, outputs = s, after, outputs_after
    yield Piece(begin, stop, pattern, outputs)
