"""Lines and vertices in double-double arithmetic, with bounds, for many at a time.

The same as `polyregions.engine.exactly`, from the same records, to about 30 digits instead of all.
It settles most of what float64 leaves open and is no tie, and gives coordinates with errors of a
few units in the last place. Layers that are no matrices are left to integers: their lines come with
infinite bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from polyregions.engine import double_double
from polyregions.engine.crew import Crew
from polyregions.engine.double_double import FLOOR, UU
from polyregions.engine.kernels import UNDECIDED
from polyregions.network import FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.engine.exactly import Provenance
    from polyregions.exact import Triple

Run: TypeAlias = Callable[[int, Callable[[int, int], None], int], None]
SignArray: TypeAlias = np.ndarray[Any, np.dtype[np.int8]]

_ALONE: Run = Crew(1).run
# Lines or vertices that are worked out at once.
_BLOCK = 1 << 14


@dataclass(frozen=True)
class Doubled:
    """Rows (a, b, c) of lines or points (x, y, w), each number a sum of two float64.

    Attributes
    ----------
    high, low, error : (n, 3) float64
        Both parts, and bounds on the distance of their sum from the exact number; those of one
        row or point are all to be multiplied by one positive number.
    """

    high: FloatArray
    low: FloatArray
    error: FloatArray

    @staticmethod
    def empty(n: int) -> Doubled:
        return Doubled(*np.full((3, n, 3), np.nan))

    def __getitem__(self, which: Any) -> Doubled:
        return Doubled(self.high[which], self.low[which], self.error[which])

    def __setitem__(self, which: Any, value: Doubled) -> None:
        for mine, theirs in zip(self.parts, value.parts, strict=True):
            mine[which] = theirs

    @property
    def parts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.high, self.low, self.error


def rows(made: Provenance, level: int, face: IntArray, line: IntArray) -> Doubled:
    """The functions of lines of layer `level` on faces before it.

    Parameters
    ----------
    made : Provenance
    level : int
    face, line : (n,) int
    """
    if not all(layer.is_dense for layer in made.layers[: level + 1]):
        return Doubled.empty(len(face))
    blocks = [
        _rows(made, level, face[i : i + _BLOCK], line[i : i + _BLOCK])
        for i in range(0, max(len(face), 1), _BLOCK)
    ]
    return Doubled(*map(np.concatenate, zip(*(block.parts for block in blocks), strict=True)))


def _rows(made: Provenance, level: int, face: IntArray, line: IntArray) -> Doubled:
    layer = made.layers[level]
    n, roundings = len(face), 3 * layer.weight.shape[1] + 16
    high, low, size = np.empty((3, n, layer.weight.shape[1]))
    c = np.empty((n, 3))
    with np.errstate(all="ignore"):
        double_double.begin_rows(
            layer.line_value[line], layer.line_breakpoint[line], *layer.doubled, high, low, size, c
        )
        for k in range(level, 0, -1):
            face, pieces = made.behind(k, face)
            layer = made.layers[k - 1]
            assert layer.switching is not None
            n_before = layer.weight.shape[1]
            before = np.empty((3, n, n_before))
            double_double.lead_back(
                layer.switching.state_pieces(pieces), layer.slopes, layer.intercepts,
                *layer.doubled, high, low, size, c, *before,
            )  # fmt: skip
            high, low, size = before
            # Of every path: a slope, a weight, and the sums over the units, twice for c.
            roundings += 6 * layer.width + 32
        row = np.concatenate([high, c[:, :1]], axis=1)
        row_low = np.concatenate([low, c[:, 1:2]], axis=1)
        error = 2 * UU * roundings * np.concatenate([size, c[:, 2:]], axis=1)
        return _scaled(row, row_low, error)


def _scaled(high: FloatArray, low: FloatArray, error: FloatArray) -> Doubled:
    """Rows times powers of two, with largest numbers about one."""
    _, exponent = np.frexp(np.abs(high).max(axis=1, initial=0.0))
    high, low, error = (np.ldexp(part, -exponent[:, None]) for part in (high, low, error))
    # What the scaling makes so small that it is rounded is below this.
    return Doubled(high, low, error + FLOOR * UU)


def cuts(made: Provenance, number: IntArray) -> Doubled:
    """The lines of cuts, or of sides of the domain and seams."""
    found = Doubled.empty(len(number))
    level = np.searchsorted(made.line_start, number, side="right") - 1
    is_side = number < made.n_sides
    if is_side.any():
        sides, which = np.unique(number[is_side], return_inverse=True)
        found[is_side] = _from_integers([made.cut(int(side)) for side in sides])[which]
    for k in np.unique(level[~is_side]).tolist():
        mine = np.flatnonzero(~is_side & (level == k))
        at = number[mine] - made.line_start[k]
        found[mine] = rows(made, k, made.line_face[k][at], made.line_number[k][at])
    return found


def _from_integers(triples: Sequence[Triple]) -> Doubled:
    found = Doubled.empty(len(triples))
    for k, triple in enumerate(triples):
        bits = max(abs(int(v)) for v in triple).bit_length()
        scale = 1 << max(bits, 1)
        for i, v in enumerate(map(int, triple)):
            high, low = double_double.nearest(Fraction(v, scale))
            found.high[k, i], found.low[k, i] = high, low
            found.error[k, i] = 2 * UU * abs(high) + FLOOR * UU
    return found


def vertices(made: Provenance, number: IntArray, run: Run = _ALONE) -> Doubled:
    """Vertices as homogeneous points, with w > 0; NaN where that is not proven.

    `run` calls a function for ranges that cover all, maybe in several threads, as `Crew.run` does.
    """
    found = Doubled.empty(len(number))

    def work(begin: int, end: int) -> None:
        lines, which = np.unique(made.vertex_lines[number[begin:end]], return_inverse=True)
        pairs = cuts(made, lines)[which.reshape(-1, 2)]
        with np.errstate(all="ignore"):
            double_double.meet(*pairs.parts, *(part[begin:end] for part in found.parts))

    run(len(number), work, _BLOCK)
    return found


def coordinates(
    made: Provenance, number: IntArray, run: Run = _ALONE
) -> tuple[FloatArray, FloatArray]:
    """Coordinates of vertices, (n, 2) float64, and bounds on their errors."""
    xy, error = np.empty((2, len(number), 2))
    with np.errstate(all="ignore"):
        double_double.coordinates(*vertices(made, number, run).parts, xy, error)
    return xy, error


def signs(
    made: Provenance, level: int, face: IntArray, line: IntArray, vertex: IntArray
) -> SignArray:
    """Signs of the functions of lines of layer `level` at vertices; UNDECIDED where unproven."""
    sign = np.full(len(face), UNDECIDED, dtype=np.int8)
    if len(face):
        points, which = np.unique(vertex, return_inverse=True)
        at = vertices(made, points)[which]
        with np.errstate(all="ignore"):
            double_double.fill_signs(
                *rows(made, level, face, line).parts, *at.parts, sign, UNDECIDED
            )
    return sign


def parameters(
    made: Provenance, level: int, face: IntArray, line: IntArray, start: IntArray, end: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Where lines cross segments from vertex `start` (t = 0) to vertex `end` (t = 1).

    Returns
    -------
    high, low : (n,) float64
        t is their sum.
    error : (n,) float64
        A bound on the error of the sum; infinite or NaN where nothing is known.
    """
    points, which = np.unique(np.stack([start, end]), return_inverse=True)
    at = vertices(made, points)
    p, q = (at[w] for w in which.reshape(2, -1))
    found = np.empty((3, len(face)))
    with np.errstate(all="ignore"):
        double_double.fill_parameters(
            *rows(made, level, face, line).parts, *p.parts, *q.parts, *found
        )
    high, low, error = found
    return high, low, error
