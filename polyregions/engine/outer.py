"""How large a box shows the whole plane: one beyond which nothing changes.

Seen from a box ``[-w, w]^2``, the vertices on its border move along their lines as w grows. The
subdivision of the plane is that of the box, with these vertices at infinity, if for all larger w
every line keeps, at every vertex on the border of every face there, the sign that it has on the
face. That sign is linear in w and right for the box, so it is the sign of a line's gradient in the
direction in which the vertex moves that decides (`docs/exactness.md` has the proof). Only faces at
the border matter, so a ring around the origin is subdivided instead of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpz_mat

from polyregions.domain import Plane, Ring
from polyregions.engine import complex as complexes
from polyregions.engine import seams
from polyregions.engine.complex import Complex
from polyregions.engine.exactly import Provenance
from polyregions.engine.layers import Layer
from polyregions.engine.maps import Level, Maps, Split, Window
from polyregions.engine.rounds import split_by_maxima
from polyregions.engine.splitting import (
    build,
    classify,
    cross_edges,
    find_chords,
    settle_signs,
)
from polyregions.engine.watch import Watch
from polyregions.float64 import HUGE, TINY, U
from polyregions.network import FloatArray, IntArray, Network

# A ring is so many times as wide as what it surrounds: errors of coordinates grow by as much. A
# box no wider than that needs no rings. Wider rings leave more to integers, narrower ones are more.
_RING = 2.0**8
_LARGEST = 2.0**960
# What rows that float64 can hardly tell from parallel ones say of where they meet is not believed.
_FAR = 2.0**40
_NEIGHBOURS = 8

_MAPS = 1 << 26  # bytes of maps that are looked at together


def fit(network: Network, layers: list[Layer], asked: Plane, watch: Watch) -> Plane:
    """A box that shows the whole plane, and the rings to start with.

    Parameters
    ----------
    network : Network
    layers : list of Layer
        The network's.
    asked : Plane
        Its half-width is the least.
    watch : Watch

    Raises
    ------
    OverflowError
        If lines meet so far out that float64 cannot hold it.
    """
    middle, guess = _guess(layers[0])
    half_width = max(asked.half_width, guess)
    counts = watch.counts
    while True:
        watch.counts = []
        reach = _reach(network, layers, half_width, middle, watch)
        if reach <= 0:
            break
        if not reach < _LARGEST:
            raise OverflowError(
                f"the plane has structure about {reach:.3g} away from the origin, too far for "
                "float64 coordinates; take a bounded domain, or scale the weights"
            )
        half_width = max(2 * half_width, _power_above(reach))
    watch.counts = counts
    rings = []
    while half_width > _RING * middle:
        rings.append(middle)
        middle *= _RING
    return Plane(half_width, rings)


def window(plane: Plane) -> Window:
    """What error bounds of maps refer to: the middle, from where they grow with the distance."""
    width = max((*plane.rings, plane.half_width)[0], TINY)
    return Window(width, width, is_separate=True)


def _power_above(value: float) -> float:
    """The least power of two that is larger."""
    return float(2.0 ** np.frexp(value)[1])


def _guess(layer: Layer) -> tuple[float, float]:
    """Powers of two: where the first layer's lines are, and how far out they meet.

    Nothing depends on these but the time it takes.
    """
    maps = Level.first(layer, Window(1.0, 1.0, is_separate=True), 1).maps(0, 1)
    rows = maps.columns[0].T[layer.line_value]
    rows[:, 2] -= layer.line_breakpoint
    with np.errstate(all="ignore"):
        a, b, c = (rows / np.hypot(rows[:, 0], rows[:, 1])[:, None]).T
        usable = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
        a, b, c = a[usable], b[usable], c[usable]
        distance = np.abs(c)[c != 0]
        if not len(distance):
            return 1.0, 2.0
        order = np.argsort(np.arctan2(b, a) % np.pi)
        reach = [distance.max()]
        for lag in range(1, min(_NEIGHBOURS, len(a) - 1) + 1):
            i, j = order, np.roll(order, lag)
            meet = np.abs([b[i] * c[j] - b[j] * c[i], a[i] * c[j] - a[j] * c[i]])
            far = meet.max(axis=0) / np.abs(a[i] * b[j] - a[j] * b[i])
            reach.append(far[far < _FAR * distance.max()].max(initial=0.0))
        middle = _power_above(min(4 * float(np.median(distance)), _LARGEST))
        return middle, max(2 * middle, _power_above(min(2 * float(max(reach)), _LARGEST)))


# -- one ring --------------------------------------------------------------------------------


@dataclass
class _Border:
    """Vertices on the outer border of a ring, and where they go as it grows.

    Attributes
    ----------
    half_width : float
    cut : (V,) int64
        The line that makes each vertex of the border; -1 for its corners, -2 for all others.
    way : (V, 2) float64
        The direction in which the vertex moves, times a positive number.
    error : (V, 2) float64
        Bounds on its error.
    slope : (V,) int64
        What is known to be the one slope on the face that was cut, or that of the line; see
        `_slopes_behind`.
    reach : float
        How far out something changes, as far as is known; 0 for nothing.
    """

    half_width: float
    cut: IntArray
    way: FloatArray
    error: FloatArray
    slope: IntArray
    reach: float = 0.0

    def changes_at(self, distance: float) -> None:
        """Something changes that far out."""
        self.reach = max(self.reach, distance, self.half_width)


_CORNERS = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
# For the box's sides, bottom, right, top and left: the axis that is constant, and where.
_AXIS = np.array([1, 0, 1, 0])
_SIGN = np.array([-1.0, 1.0, 1.0, -1.0])


def _reach(
    network: Network, layers: list[Layer], half_width: float, middle: float, watch: Watch
) -> float:
    """How far beyond a box something changes, roughly; 0 if nothing does, which is certain."""
    ring = Ring(half_width, half_width / 2)
    complex_, vertex_lines = complexes.start(ring)
    made = Provenance(network, layers, ring, vertex_lines)
    level = Level.first(layers[0], Window(middle, middle, is_separate=True), complex_.n_faces)
    slope = np.full(complex_.n_faces, 0 if _is_flat(made) else -1, dtype=np.int64)
    # The corners come first, then those of the box inside.
    border = _Border(
        half_width,
        cut=np.repeat([-1, -2], 4),
        way=np.array(_CORNERS * 2, dtype=np.float64),
        error=np.zeros((8, 2)),
        slope=np.full(8, -1),
    )
    for number, layer in enumerate(layers[:-1]):
        name = layer.switching.name if layer.switching else ""
        watch.layer, watch.layer_name, watch.n_faces = number, name, complex_.n_faces
        with watch.stage("border"):
            if layer.has_false_lines:
                new, split, rows = split_by_maxima(complex_, level, number, made, watch)
            else:
                known = classify(complex_, level, watch)
                entries = settle_signs(complex_, level, number, known, made, watch)
                edges = cross_edges(complex_, level, number, entries, made, watch)
                chords, inside = find_chords(complex_, level, number, entries, edges, made, watch)
                hidden = seams.most_hidden(complex_, edges.group_start, made)
                watch.check_faces(int(inside.children.sum(dtype=np.int64)) - hidden)
                new, split = build(
                    complex_, level, known, entries, edges, chords, inside, made, watch
                )
                rows = entries.rows
            _add_vertices(border, new, rows, level, slope, number, made)
            _check_layer(border, new, level, split, slope, number, made)
            slope = _slopes_behind(slope, split, layer, number)
        complex_ = new
        if number + 2 < len(layers):
            level = Level.behind(level, split, layers[number + 1], room=_MAPS)
    return border.reach


def _add_vertices(
    border: _Border,
    new: Complex,
    cut_rows: FloatArray,
    level: Level,
    slope: IntArray,
    number: int,
    made: Provenance,
) -> None:
    """Find the new vertices on the border, whether they stay on their sides, and are alone."""
    n_old = len(border.cut)
    side = made.vertex_lines[n_old:, 0]
    fresh = n_old + np.flatnonzero(side < 4)
    n = new.n_vertices
    grown = [np.full(n, -2), *np.zeros((2, n, 2)), np.full(n, -1)]
    olds = (border.cut, border.way, border.error, border.slope)
    for array, old in zip(grown, olds, strict=True):
        array[:n_old] = old
    border.cut, border.way, border.error, border.slope = grown
    inner = np.flatnonzero(new.edge_line >= 4)
    ends = new.ev[inner]
    line_at = np.full(n, -1)
    line_at[ends] = new.edge_line[inner, None]
    side, cut = side[fresh - n_old], line_at[fresh]
    border.cut[fresh] = cut
    at = cut - made.first_cut(number)
    face, line = made.line_face[number][at], made.line_number[number][at]
    own = _own_slope(number, face, level.layer.line_value[line])
    border.slope[fresh] = np.where(slope[face] >= 0, slope[face], own)
    rows = cut_rows[at]
    axis, sign = _AXIS[side], _SIGN[side]
    # Along the line a x + b y + c = 0, so (b, -a) or (-b, a), whichever leads out.
    way = rows[:, [1, 0]] * (1.0, -1.0)
    with np.errstate(all="ignore"):
        error = rows[:, 3, None] / (level.window.y, level.window.x) * (1 + 1e-9) + TINY
        at = np.arange(len(fresh))
        way *= (np.sign(way[at, axis]) * sign)[:, None]
        ahead, aside = np.abs(way[at, axis]), np.abs(way[at, 1 - axis])
        is_plain = ahead - aside > error.sum(axis=1) * (1 + 1e-9) + 4 * U * (ahead + aside)
    for i in np.flatnonzero(~is_plain).tolist():
        a, b, _ = made.cut(int(cut[i]))
        steep = (Fraction(-a, b) if axis[i] == 0 else Fraction(-b, a)) * int(sign[i])
        way[i, axis[i]], way[i, 1 - axis[i]] = sign[i], _as_float(steep)
        error[i] = 2 * U * np.abs(way[i]) + TINY
        if abs(steep) > 1:
            v = int(fresh[i])
            aside_now = abs(float((new.vx, new.vy)[1 - axis[i]][v]))
            gap = max(border.half_width - aside_now, 0.0)
            border.changes_at(border.half_width + gap / _as_float(abs(steep) - 1))
    border.way[fresh], border.error[fresh] = way, error
    # Lines that meet in the border part beyond it, and so do lines and a corner's seam.
    if (np.bincount(ends.ravel(), minlength=new.n_vertices)[border.cut >= -1] > 1).any():
        border.changes_at(border.half_width)


def _check_layer(
    border: _Border,
    new: Complex,
    level: Level,
    split: Split,
    slope: IntArray,
    number: int,
    made: Provenance,
) -> None:
    """Whether a layer's lines keep their signs where faces behind the layer go out."""
    layer = level.layer
    if not layer.n_lines:
        return
    outer = np.flatnonzero(new.edge_line < 4)
    face = np.repeat(new.ef[outer, 0], 2)
    vertex = new.ev[outer].ravel()
    parent = split.parent[face]
    order = np.argsort(parent, kind="stable")
    face, vertex, parent = face[order], vertex[order], parent[order]
    at_once = max(1, _MAPS // (24 * max(1, layer.width)))
    for begin in range(0, level.n_faces, at_once):
        end = min(begin + at_once, level.n_faces)
        some = slice(*np.searchsorted(parent, [begin, end]))
        f, v, p = face[some], vertex[some], parent[some]
        if len(f):
            maps = level.maps(begin, end)
            assert layer.switching is not None
            side = layer.switching.line_sides(
                made.pieces[number][f], layer.line_value, layer.line_breakpoint
            )
            _check_faces(border, new, level, maps, side, v, p, slope[p], number, made)


def _check_faces(
    border: _Border,
    new: Complex,
    level: Level,
    maps: Maps,
    side: np.ndarray[Any, np.dtype[np.int8]],
    vertex: IntArray,
    parent: IntArray,
    slope: IntArray,
    number: int,
    made: Provenance,
) -> None:
    """The same for some pairs of a vertex and the parent of a face."""
    layer, window = level.layer, level.window
    rows = maps.columns[parent - maps.first_face][:, :, layer.line_value]
    bound = maps.eab[level.group[parent] - maps.first_group][:, layer.line_value]
    wx, wy = border.way[vertex, 0, None], border.way[vertex, 1, None]
    dx, dy = border.error[vertex, 0, None], border.error[vertex, 1, None]
    a, b = rows[:, 0], rows[:, 1]
    with np.errstate(all="ignore"):
        rate = a * wx + b * wy
        sizes = np.abs(a * wx) + np.abs(b * wy)
        error = np.abs(a) * dx + np.abs(b) * dy + 8 * U * sizes
        for w, d, size in ((wx, dx, window.x), (wy, dy, window.y)):
            error += (bound / size + TINY) * (np.abs(w) + d)
        error = error * (1 + 1e-9) + TINY
        is_certain = (error < HUGE) & (np.abs(rate) > error)
        # A gradient that is zero, as that of a unit whose inputs are all off.
        is_certain |= (a == 0) & (b == 0) & (bound == 0)
    is_wrong = is_certain & np.where(side > 0, rate < 0, (rate > 0) & (side < 0))
    if is_wrong.any():
        i, line = np.nonzero(is_wrong)
        x, y = new.vx[vertex[i]], new.vy[vertex[i]]
        with np.errstate(all="ignore"):
            here = maps.columns[parent[i] - maps.first_face, :, layer.line_value[line]]
            z = here[:, 0] * x + here[:, 1] * y + here[:, 2] - layer.line_breakpoint[line]
            ahead = np.abs(border.way[vertex[i]]).max(axis=1)
            far = np.abs(z / rate[i, line]) * ahead
        border.changes_at(border.half_width + float(far.max()))
    # Nothing changes along a line, of what has the line's slope.
    is_certain[(slope >= 0) & (slope == border.slope[vertex])] = True
    mine = border.cut[vertex]
    first_line, n = made.first_cut(number), len(made.line_number[number])
    i = np.flatnonzero((mine >= first_line) & (mine < first_line + n))
    is_certain[i, made.line_number[number][mine[i] - first_line]] = True
    is_open = ~is_certain & (side != 0)
    _check_exactly(border, is_open, side, vertex, parent, level, number, made)


def _check_exactly(
    border: _Border,
    is_open: np.ndarray[Any, np.dtype[np.bool_]],
    side: np.ndarray[Any, np.dtype[np.int8]],
    vertex: IntArray,
    parent: IntArray,
    level: Level,
    number: int,
    made: Provenance,
) -> None:
    """The same in integers, for what is open."""
    layer = level.layer
    known: dict[tuple[int, int], tuple[list[list[int]], int, int]] = {}
    for i in np.flatnonzero(is_open.any(axis=1)).tolist():
        f, v = int(parent[i]), int(vertex[i])
        if (f, v) not in known:
            if known and next(iter(known))[0] != f:
                known.clear()  # pairs come in the order of their parents
            x, y, w = made.vertex(v)
            way = _exact_way(border, v, made)
            columns = fmpz_mat([[way[0], x], [way[1], y], [0, w]])
            products = (made.affine_map(number, f) * columns).tolist()
            ahead = max(abs(way[0]), abs(way[1]))
            known[f, v] = [[int(n) for n in row] for row in products], w, ahead
        table, w, ahead = known[f, v]
        scale = table[-1][1]  # times w
        for line in np.flatnonzero(is_open[i]).tolist():
            rate, z = table[int(layer.line_value[line])]
            if rate * int(side[i, line]) < 0:
                t = Fraction(float(layer.line_breakpoint[line]))
                far = abs((Fraction(z, scale) - t) * Fraction(scale * ahead, w * rate))
                border.changes_at(border.half_width + _as_float(far))


def _exact_way(border: _Border, v: int, made: Provenance) -> tuple[int, int]:
    """The direction in which a vertex on the border moves."""
    if border.cut[v] < 0:
        return _CORNERS[v]
    a, b, _ = made.cut(int(border.cut[v]))
    side = int(made.vertex_lines[v, 0])
    return (b, -a) if (b, -a)[_AXIS[side]] * int(_SIGN[side]) > 0 else (-b, a)


def _is_flat(made: Provenance) -> bool:
    """Whether all values before the first layer have gradients that are parallel."""
    rows = made.affine_map(0, 0).tolist()[:-1]
    first = next((row for row in rows if row[0] or row[1]), [0, 0])
    return all(first[0] * row[1] == first[1] * row[0] for row in rows)


def _own_slope(number: int, face: IntArray, unit: IntArray) -> IntArray:
    """A number for the slope of a unit of a layer on a face before it, and its multiples."""
    return ((number + 1) << 51) + (face.astype(np.int64) << 20) + unit


def _slopes_behind(slope: IntArray, split: Split, layer: Layer, number: int) -> IntArray:
    """For each face behind a layer the slope of which all values are multiples; -1 if unknown.

    Where one unit alone is passed on, all values behind it have its slope. This proves at once
    that lines are parallel, which would take integers else; it is common in narrow, deep networks.
    """
    passes = layer.slopes[np.arange(layer.width), split.pieces] != 0
    own = _own_slope(number, split.parent, passes.argmax(axis=1))
    fresh = np.where(passes.sum(axis=1) == 1, own, -1)
    known = slope[split.parent]
    return np.where(known >= 0, known, fresh)


def _as_float(value: Fraction) -> float:
    return float(value) if value < _LARGEST else np.inf
