"""Compiled kernels of point location: which faces are next to each other, and walks among them.

Imported when first needed, as it loads numba. Side i of the complex goes from the i-th of all
faces' vertices to the next one of the same face, counter-clockwise.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit

from polyregions.engine.crew import Crew
from polyregions.float64 import TINY, U
from polyregions.network import FloatArray, IntArray

# Walks longer than this choose their way at random.
_PATIENCE = 48
# Faces with more sides than this are searched by bisection.
_MANY_SIDES = 24
# Points that a thread walks to at a time.
_GRAIN = 1 << 15


def kernel(function: Any) -> Any:
    """Compile for one thread."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def frozen(array: Any) -> Any:
    """A read-only view: kernels would be compiled anew for arrays that may be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


@kernel
def orientation(table, a, b, px, py):
    """1, -1 where a point is certainly on the left, right of the line from vertex a to b; else 0.

    The rows of `table` are x, y and their error bounds. See `polyregions.location.side_signs`,
    which is the same for arrays, for the proof.
    """
    dx, dy = table[a, 0] - px, table[a, 1] - py
    ex, ey = table[b, 0] - px, table[b, 1] - py
    p, q = dx * ey, dy * ex
    dx, dy, ex, ey = abs(dx), abs(dy), abs(ex), abs(ey)
    moved = (
        dx * table[b, 3]
        + table[a, 2] * (ey + table[b, 3])
        + dy * table[b, 2]
        + table[a, 3] * (ex + table[b, 2])
    )
    bound = (moved + 8.0 * U * (abs(p) + abs(q))) * (1.0 + 32.0 * U) + TINY
    if p - q > bound:
        return 1
    if p - q < -bound:
        return -1
    return 0


@kernel
def fill_sides_out(face_vertices, out_start, out):
    """The sides that leave each vertex, in the places that `out_start` leaves for them."""
    at = out_start[:-1].copy()
    for i in range(len(face_vertices)):
        v = face_vertices[i]
        out[at[v]] = i
        at[v] += 1


@kernel
def match_sides(begin, end, face_offsets, face_vertices, side_face, out_start, out, twin):
    """The side that runs back along each side, -1 if there is none.

    It is looked for at the end that fewer sides meet in. In a planar complex these numbers add up
    to no more than six times the number of edges, however many sides meet in one vertex.
    """
    for i in range(begin, end):
        f = side_face[i]
        first, last = face_offsets[f], face_offsets[f + 1] - 1
        a = face_vertices[i]
        b = face_vertices[first if i == last else i + 1]
        found = -1
        if out_start[b + 1] - out_start[b] <= out_start[a + 1] - out_start[a]:
            for k in range(out_start[b], out_start[b + 1]):
                j = out[k]
                g = side_face[j]
                after = face_offsets[g] if j == face_offsets[g + 1] - 1 else j + 1
                if face_vertices[after] == a:
                    found = j
                    break
        else:
            for k in range(out_start[a], out_start[a + 1]):
                j = out[k]
                g = side_face[j]
                before = face_offsets[g + 1] - 1 if j == face_offsets[g] else j - 1
                if face_vertices[before] == b:
                    found = before
                    break
        twin[i] = found


@kernel
def extent(points, low, high):
    """The box of the points in a box, as (2, 2): low and high; empty where there are none."""
    box = np.empty((2, 2))
    box[0], box[1] = np.inf, -np.inf
    for i in range(len(points)):
        x, y = points[i, 0], points[i, 1]
        if low[0] <= x <= high[0] and low[1] <= y <= high[1]:
            box[0, 0], box[1, 0] = min(box[0, 0], x), max(box[1, 0], x)
            box[0, 1], box[1, 1] = min(box[0, 1], y), max(box[1, 1], y)
    return box


@kernel
def number_cells(begin, end, points, low, high, start, scale, n, cell):
    """Cells of an n by n grid, numbered there and back again; n * n for points out of the box."""
    for i in range(begin, end):
        x, y = points[i, 0], points[i, 1]
        if low[0] <= x <= high[0] and low[1] <= y <= high[1]:
            column = min(int((x - start[0]) * scale[0]), n - 1)
            row = min(int((y - start[1]) * scale[1]), n - 1)
            cell[i] = row * n + (n - 1 - column if row & 1 else column)
        else:
            cell[i] = n * n


@kernel
def sort_by_cell(cell, n_cells, order):
    """Indices of the items in order of their cells, less those in cell `n_cells`; how many."""
    at = np.zeros(n_cells + 2, dtype=np.int64)
    for i in range(len(cell)):
        at[cell[i] + 1] += 1
    for k in range(n_cells + 1):
        at[k + 1] += at[k]
    n = at[n_cells]
    for i in range(len(cell)):
        k = cell[i]
        if k < n_cells:
            order[at[k]] = i
            at[k] += 1
    return n


@kernel
def outside_corners(corners, px, py):
    """Whether a point is certainly outside the convex polygon with the given exact corners."""
    n = len(corners)
    for i in range(n):  # noqa: SIM110 (numba knows no generators)
        if orientation(corners, i, 0 if i == n - 1 else i + 1, px, py) < 0:
            return True
    return False


@kernel
def bisect(table, face_vertices, first, last, px, py):
    """Find, in a face with many sides, the only one that may have a point on its right.

    Seen from the first corner the others are in order, so the point is in one of the wedges
    between them, and the side across it decides. Returns the side and the sign of the point, or
    some side and 0 where the wedge is not certain.
    """
    apex = face_vertices[first]
    low, high = first + 1, last
    side = orientation(table, apex, face_vertices[low], px, py)
    if side <= 0:
        return first, side
    side = orientation(table, apex, face_vertices[high], px, py)
    if side >= 0:
        return last, -side
    while high - low > 1:
        middle = (low + high) // 2
        side = orientation(table, apex, face_vertices[middle], px, py)
        if side == 0:
            return low, 0
        if side > 0:
            low = middle
        else:
            high = middle
    return low, orientation(table, face_vertices[low], face_vertices[high], px, py)


@kernel
def side_of_rings(ends, px, py):
    """1, -1 where a point is certainly inside, outside of a polygon with holes; else 0.

    The rows of `ends` are both ends of a side, exactly: x, y, 0, 0 and once more. A ray from the
    point to the right crosses the sides that have their one end above it and their other end not,
    if the point is not beyond them.
    """
    crossings = 0
    for i in range(0, len(ends), 2):
        ax, ay, bx, by = ends[i, 0], ends[i, 1], ends[i + 1, 0], ends[i + 1, 1]
        if py < min(ay, by) or py > max(ay, by) or px > max(ax, bx):
            continue
        if px >= min(ax, bx):
            sign = orientation(ends, i, i + 1, px, py)
            if sign == 0:
                return 0
            if (sign > 0) != (by > ay):
                continue
        crossings += (ay > py) != (by > py)
    return 1 if crossings & 1 else -1


@kernel
def is_outside(corners, ends, px, py):
    """Whether a point is certainly outside the rings with the sides `ends`, or the corners."""
    if len(ends):
        return side_of_rings(ends, px, py) < 0
    return outside_corners(corners, px, py)


@kernel
def seed_near(seeds, low, scale, px, py, i):
    """The i-th face, or one after it, of those in the 25 cells around a point; and its number.

    First comes that in the point's own cell, then the others row by row. -1 if there is none.
    """
    n = len(seeds)
    while n and i < 25:
        column = min(max(int((px - low[0]) * scale[0]), 0), n - 1)
        row = min(max(int((py - low[1]) * scale[1]), 0), n - 1)
        at = 12 if i == 0 else i - 1 if i <= 12 else i
        y, x = row + at // 5 - 2, column + at % 5 - 2
        if 0 <= x < n and 0 <= y < n and seeds[y, x] >= 0:
            return seeds[y, x], i
        i += 1
    return -1, i


@kernel
def walk(
    begin, end, order, points, table, corners, face_offsets, face_vertices, side_face, twin, ends,
    seeds, low, scale, found
):  # fmt: skip
    """Walk to some points in order, each from where the one before was found.

    A point that is certainly on the right of a side of the face is sought across that side, but
    never back across the side just come through. `found` becomes the face that certainly holds
    the point inside, -1 if it is certainly outside the domain, and -2 - f where the walk ended at
    face f with nothing certain. The domain has the given `corners` if it is convex, else the sides
    `ends`. Then a walk that leaves it, to a point that is not certainly outside, begins again at a
    face that is near the point: `seeds` has one for each cell of a grid, or -1.

    Such walks can go in circles where lines bend; random turns lead out of them.
    """
    n_faces = len(face_offsets) - 1
    most = n_faces + 1000
    f = 0
    random = begin & 0xFFFF
    # Points are far apart in memory; fetched by a loop of their own they are waited for at once.
    place = np.empty((end - begin, 2))
    for k in range(begin, end):
        place[k - begin, 0] = points[order[k], 0]
        place[k - begin, 1] = points[order[k], 1]
    for k in range(begin, end):
        px, py = place[k - begin, 0], place[k - begin, 1]
        entry = -1
        answer = -2
        steps = 0
        tried = 0
        while answer == -2:
            first, last = face_offsets[f], face_offsets[f + 1] - 1
            n = last - first + 1
            across = -1
            certain = True
            scan = True
            if n > _MANY_SIDES and steps < _PATIENCE:
                side, sign = bisect(table, face_vertices, first, last, px, py)
                scan = sign == 0
                if sign < 0:
                    across = side
            if scan:
                s = first if entry < 0 else entry
                if steps >= _PATIENCE:
                    random = (random * 1103515245 + 12345) & 0x7FFFFFFF
                    s = first + (random >> 8) % n
                for _ in range(n):
                    after = first if s == last else s + 1
                    if s != entry:
                        sign = orientation(table, face_vertices[s], face_vertices[after], px, py)
                        if sign < 0:
                            across = s
                            break
                        certain = certain and sign > 0
                    s = after
            steps += 1
            if across < 0:
                answer = f if certain else -2 - f
                break
            entry = twin[across]
            if entry < 0:
                if is_outside(corners, ends, px, py):
                    answer = -1
                    break
                seed, tried = seed_near(seeds, low, scale, px, py, tried)
                if seed < 0:
                    answer = -2 - f
                    break
                f = seed
                tried += 1
                continue
            f = side_face[entry]
            if steps > most:
                answer = -2 - f
                break
        found[order[k]] = answer


def in_ranges(n: int, kernel: Callable[..., None], *arguments: Any) -> None:
    """``kernel(begin, end, *arguments)`` for ranges that cover 0..n, in several threads."""
    with Crew() as crew:
        crew.run(n, lambda begin, end: kernel(begin, end, *arguments), _GRAIN)


class Walker:
    """Neighbours of the faces, and walks among them.

    Parameters
    ----------
    table : (V, 4) float64
        x, y and bounds on their errors, of every vertex.
    corners : (K, 4) float64
        The same of the corners of the polygon that faces fill.
    face_offsets : (F + 1,) int32
    face_vertices : int32
    ring_offsets : (R + 1,) int32 or None
        Where the corners of each ring of that polygon begin, if it is not convex.
    """

    def __init__(
        self,
        table: FloatArray,
        corners: FloatArray,
        face_offsets: IntArray,
        face_vertices: IntArray,
        ring_offsets: IntArray | None = None,
    ) -> None:
        table, corners, face_offsets, face_vertices = map(
            frozen, (table, corners, face_offsets, face_vertices)
        )
        n_sides = len(face_vertices)
        sizes = np.diff(face_offsets)
        side_face = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        out_start = np.zeros(len(table) + 1, dtype=np.int32)
        np.cumsum(np.bincount(face_vertices, minlength=len(table)), out=out_start[1:])
        out = np.empty(n_sides, dtype=np.int32)
        fill_sides_out(face_vertices, out_start, out)
        self.twin = np.empty(n_sides, dtype=np.int32)
        in_ranges(
            n_sides, match_sides, face_offsets, face_vertices, side_face, out_start, out, self.twin
        )
        self.side_face = side_face
        self._complex = table, corners, face_offsets, face_vertices, side_face, self.twin
        # Scaled or not, rounding is monotone: whatever is out of this box is outside.
        self._low, self._high = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
        self._is_convex = ring_offsets is None
        no_ends = frozen(np.empty((0, 4)))
        self._ends = no_ends if ring_offsets is None else ring_ends(corners, ring_offsets)

    @cached_property
    def _seeds(self) -> tuple[IntArray, FloatArray]:
        """A face near each cell of a square grid, -1 for none, and the cells' inverse sizes.

        No cells for a convex domain, in which no walk goes wrong.
        """
        if self._is_convex:
            return frozen(np.empty((0, 0), dtype=np.int32)), frozen(np.ones(2))
        table, _, offsets, corners, *_ = self._complex
        n = min(int((len(offsets) - 1) ** 0.5) + 1, 1024)
        size = np.maximum(self._high - self._low, 0.0)
        scale = np.where(size > TINY, n / np.maximum(size, TINY), 0.0)
        # The middle of the first three corners is in a convex face, but for rounding.
        first = offsets[:-1, None] + np.arange(3)
        middle = table[corners[first], :2].mean(axis=1)
        column, row = np.clip((middle - self._low) * scale, 0, n - 1).astype(np.int64).T
        seeds = np.full((n, n), -1, dtype=np.int32)
        seeds[row, column] = np.arange(len(middle), dtype=np.int32)
        return frozen(seeds), frozen(scale)

    def order(self, points: FloatArray) -> IntArray:
        """Indices of the points of `points`, (N, 2), that are in the domain's box, by place."""
        n = len(points)
        order = np.empty(n, dtype=np.int64)
        cell = np.empty(n, dtype=np.int32)
        width = min(int((n / 3) ** 0.5) + 1, 2048)
        points = frozen(points)
        start, stop = extent(points, self._low, self._high)
        # Cells only make walks short; points too close for them may all be in one.
        size = np.maximum(stop - start, 0.0)
        scale = np.where(size > TINY, width / np.maximum(size, TINY), 0.0)
        in_ranges(n, number_cells, points, self._low, self._high, start, scale, width, cell)
        return order[: sort_by_cell(cell, width * width, order)]

    def walk(self, points: FloatArray) -> IntArray:
        """Walk to `points`, (N, 2); see the kernel for what comes back."""
        found = np.full(len(points), -1, dtype=np.int64)
        order = self.order(points)
        seeds, scale = self._seeds
        around = self._ends, seeds, frozen(self._low), scale
        in_ranges(len(order), walk, order, frozen(points), *self._complex, *around, found)
        return found


def ring_ends(corners: FloatArray, ring_offsets: IntArray) -> FloatArray:
    """(2 K, 4) float64: both ends of every side, for `side_of_rings`, from corners (K, 4)."""
    rings = np.split(corners, ring_offsets[1:-1])
    following = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    ends: FloatArray = frozen(np.stack([corners, following], axis=1).reshape(-1, 4))
    return ends


@kernel
def fill_sides_of_rings(begin, end, ends, points, side):
    """`side_of_rings` of some points."""
    for i in range(begin, end):
        side[i] = side_of_rings(ends, points[i, 0], points[i, 1])
