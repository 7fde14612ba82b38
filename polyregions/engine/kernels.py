"""Compiled kernels: arrays in, arrays out, each over a range of faces, edges or children.

They hold no lock, so ranges run in several threads. What is written for one item does not depend
on the range it is in, and so neither does any result on the number of threads.

No kernel decides what it cannot prove. A sign or an order that rounding errors leave open is
marked, and `polyregions.engine.subdivision` decides it in integers before the next kernel runs.

What may take long on one face looks now and then at `stop`, whose one entry is set when the user
has interrupted the work; then the results are not used.

Half-edge ``2 e + s`` is edge e seen by the face on its left (s = 0) or right (s = 1).
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# mypy: disable-error-code="assignment"

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numba import njit

from polyregions.float64 import HUGE, LARGEST, LEAST, TINY, U

# For measuring what the bounds cost, and for nothing else: without them nothing is proven. Such
# kernels are cached only where NUMBA_CACHE_DIR says so, or others would take them for proven ones.
PROVEN = "POLYREGIONS_UNPROVEN" not in os.environ
CACHED = PROVEN or "NUMBA_CACHE_DIR" in os.environ
CHUNK = 512  # siblings whose maps are computed from each other; results depend on it

# What is known of a line of a layer on a face.
ZERO, ABOVE, BELOW, CROSSING, OPEN = 0, 1, 2, 3, 4
UNDECIDED = 2  # a sign that only exact arithmetic can tell


def kernel(function: Any) -> Any:
    """Compile for one thread."""
    return njit(cache=CACHED, nogil=True, error_model="numpy")(function)


@kernel
def value(a, b, c, eab, ec, x, y, dx, dy, ix, iy):
    """A line's function at a vertex, and a bound on the error.

    `eab` bounds the error of ``|a| X + |b| Y``, where X = 1 / ix and Y = 1 / iy are the largest
    coordinates of the domain, `ec` that of c, and dx, dy those of the vertex.
    """
    z = a * x + b * y + c
    if not PROVEN:
        return z, 0.0
    ax, ay = abs(x), abs(y)
    # Underflow is made good before anything multiplies it: a, b and eab may be huge.
    rho = max((ax + dx) * ix, (ay + dy) * iy) + LEAST
    rounding = 8 * U * (abs(a) * ax + abs(b) * ay + abs(c))
    bound = (abs(a) * dx + abs(b) * dy + rounding + ec + rho * eab) * (1 + 16 * U) + TINY
    return z, bound


@kernel
def sign(a, b, c, eab, ec, x, y, dx, dy, ix, iy):
    """-1, 0 or 1 if proven, else UNDECIDED."""
    z, bound = value(a, b, c, eab, ec, x, y, dx, dy, ix, iy)
    if bound < HUGE:
        if z > bound:
            return 1
        if z < -bound:
            return -1
        # Zero is certain only where every product is zero whatever was rounded.
        if c == 0.0 and ec == 0.0:
            no_x = (x == 0.0 and dx == 0.0) or (a == 0.0 and eab == 0.0)
            no_y = (y == 0.0 and dy == 0.0) or (b == 0.0 and eab == 0.0)
            if no_x and no_y:
                return 0
    return UNDECIDED


@kernel
def parameter(z, dz, w, dw):
    """Where a line meets a segment with values z and w at its ends: t in [0, 1], and its error.

    The true values have strictly opposite signs. With P = |z*|, Q = |w*| and computed values z, w
    off by at most d, ``|t - t*| <= d / |z - w|``.
    """
    d = abs(z - w)
    if not 0.0 < d < HUGE:
        return 0.5, 1.0
    t = min(max(z / (z - w), 0.0), 1.0)
    if not PROVEN:
        return t, 0.0
    e = max(dz, dw) / d * (1 + 8 * U) + 8 * U
    return t, e if e < 1.0 else 1.0


@kernel
def between(p, q, dp, dq, t, dt):
    """One coordinate of the point at `t` between two vertices, and a bound on its error."""
    length = q - p
    if length == 0.0 and dp == 0.0 and dq == 0.0:
        return p, 0.0
    x = p + t * length
    if not PROVEN:
        return x, 0.0
    bound = max(dp, dq) + dt * (abs(length) + dp + dq) + 4 * U * (abs(x) + abs(length))
    return x, bound * (1 + 16 * U) + TINY


@kernel
def start_of(ev, half_edge):
    return ev[half_edge >> 1, half_edge & 1]


@kernel
def copy(source, target):
    """The same as ``target[:] = source``, for whose error message numba compiles for seconds."""
    for i in range(len(source)):
        target[i] = source[i]


# -- maps ------------------------------------------------------------------------------------


@kernel
def add_columns(target, v0, c0, v1, c1, v2, c2, v3, c3):
    for j in range(target.shape[0]):
        target[j] += v0 * c0[j] + v1 * c1[j] + v2 * c2[j] + v3 * c3[j]


@kernel
def add_sizes(target, v0, c0, v1, c1, v2, c2, v3, c3):
    for j in range(target.shape[0]):
        target[j] += v0 * abs(c0[j]) + v1 * abs(c1[j]) + v2 * abs(c2[j]) + v3 * abs(c3[j])


@kernel
def add_column(target, v, column):
    for j in range(target.shape[0]):
        target[j] += v * column[j]


@kernel
def next_maps(
    begin_item, end_item, item_parent, item_child, prev_face, prev_group, prev_map, prev_eab,
    prev_ec, face_group, child_start, child_ref, pieces, slopes, intercepts, entry_start,
    entry_line, member_start, member_unit, n_flips, budget, size_x, size_y, is_separate,
    transposed, transposed_error, bias, bias_error, has_error, out_face, out_group, out, eab, ec,
):  # fmt: skip
    """Affine maps before the next activation, with error bounds, for some items of children.

    An item is a run of children of one parent. Maps and bounds before begin with those of face
    `prev_face` and of group `prev_group`, those behind with `out_face` and `out_group`. The map
    of the parent's first child is a full product; every further child's is that of a sibling,
    changed by the units in which the two differ. With

        E = bound on the error of a value of the parent anywhere in the domain,
        S = bound on the size of such a value,
        m = largest slope of a unit among the children,

    every child's map is off by at most ``sum |W| m (E + kappa S)``, where kappa covers the
    roundings of the product and of all changes on the way (Higham 2002, section 3.1). Bounds are
    kept in `eab` for a x + b y and in `ec` for c where c is zero, so that networks without biases
    know that it is; else `ec` holds the bound for all three together and `eab` is zero, unless
    bounds are to be separate.
    """
    m = transposed.shape[0]
    n = transposed.shape[1]
    n_pieces = slopes.shape[1]
    tiny = TINY * (1.0 + size_x + size_y)
    values = np.empty((3, m))
    errors = np.empty((4, m))
    root = np.empty((3, n))
    bound = np.empty((4, n))
    active = np.empty(m + 3, dtype=np.int64)
    flipped = np.empty(m, dtype=np.int64)
    path = np.zeros(CHUNK, dtype=np.int64)
    bias_is_some = bias.any() or bias_error.any()
    for item in range(begin_item, end_item):
        g = item_parent[item]
        first = child_start[g]
        group = face_group[g] - prev_group
        here = g - prev_face
        there = g - out_group
        kappa = (m + 24 + 10 * (n_flips[g] + budget[g])) * U * (1 + 1e-6)
        for i in range(m):
            piece = pieces[first, i]
            s = slopes[i, piece]
            errors[0, i] = abs(s)
            errors[1, i] = abs(intercepts[i, piece])
        for e in range(entry_start[g], entry_start[g + 1]):
            line = entry_line[e]
            for at in range(member_start[line], member_start[line + 1]):
                i = member_unit[at]
                for piece in range(n_pieces):
                    errors[0, i] = max(errors[0, i], abs(slopes[i, piece]))
                    errors[1, i] = max(errors[1, i], abs(intercepts[i, piece]))
        n_active = 0
        for i in range(m):
            piece = pieces[first, i]
            s, t = slopes[i, piece], intercepts[i, piece]
            steep, shift = errors[0, i], errors[1, i]
            if steep == 0.0 and shift == 0.0:
                continue  # off on all children
            active[n_active] = i
            n_active += 1
            a, b, c = prev_map[here, 0, i], prev_map[here, 1, i], prev_map[here, 2, i]
            flat = s == 0.0  # also where a, b or c overflowed
            values[0, i] = 0.0 if flat else s * a
            values[1, i] = 0.0 if flat else s * b
            values[2, i] = t if flat else s * c + t
            if steep == 0.0:
                errors[0, i] = 0.0
                errors[1, i] = kappa * shift
                errors[2, i] = 0.0
                errors[3, i] = shift
            else:
                size_ab = abs(a) * size_x + abs(b) * size_y
                e_ab, e_c = prev_eab[group, i], prev_ec[group, i]
                errors[0, i] = steep * (e_ab * (1 + 1e-6) + kappa * size_ab)
                errors[1, i] = steep * (e_c * (1 + 1e-6) + kappa * abs(c)) + kappa * shift
                errors[2, i] = steep * (size_ab + e_ab)
                errors[3, i] = steep * (abs(c) + e_c) + shift
                # Products of these numbers may have lost all they had to underflow, also before
                # a steep slope was one of them.
                lost = tiny + steep * (8 * LEAST)
                if a != 0.0 or b != 0.0 or e_ab > 0.0:
                    errors[0, i] += lost
                    errors[2, i] += lost
                if c != 0.0 or e_c > 0.0 or shift > 0.0:
                    errors[1, i] += lost
                    errors[3, i] += lost
        # One bound for a x + b y + c, unless c is known to be zero.
        merged = bias_is_some and not is_separate
        if not is_separate:
            for at in range(n_active):
                i = active[at]
                merged = merged or errors[1, i] != 0.0 or values[2, i] != 0.0
        if merged:
            for at in range(n_active):
                i = active[at]
                errors[1, i] += errors[0, i]
                errors[0, i] = 0.0
                if has_error:
                    errors[3, i] += errors[2, i]
                    errors[2, i] = 0.0
        root[:] = 0.0
        bound[:] = 0.0
        at = 0
        if n < 8:
            for j in range(n):
                r0 = r1 = r2 = e0 = e1 = 0.0
                for at in range(n_active):
                    i = active[at]
                    w = transposed[i, j]
                    r0 += values[0, i] * w
                    r1 += values[1, i] * w
                    r2 += values[2, i] * w
                    e0 += errors[0, i] * abs(w)
                    e1 += errors[1, i] * abs(w)
                root[0, j], root[1, j], root[2, j] = r0, r1, r2
                bound[0, j], bound[1, j] = e0, e1
            at = n_active
        while at + 4 <= n_active:
            i0, i1, i2, i3 = active[at], active[at + 1], active[at + 2], active[at + 3]
            c0, c1, c2, c3 = transposed[i0], transposed[i1], transposed[i2], transposed[i3]
            for r in range(3):
                v = values[r]
                if v[i0] != 0.0 or v[i1] != 0.0 or v[i2] != 0.0 or v[i3] != 0.0:
                    add_columns(root[r], v[i0], c0, v[i1], c1, v[i2], c2, v[i3], c3)
            for r in range(2):
                v = errors[r]
                if PROVEN and (v[i0] != 0.0 or v[i1] != 0.0 or v[i2] != 0.0 or v[i3] != 0.0):
                    add_sizes(bound[r], v[i0], c0, v[i1], c1, v[i2], c2, v[i3], c3)
            at += 4
        while at < n_active:
            i = active[at]
            for r in range(3):
                add_column(root[r], values[r, i], transposed[i])
            for r in range(2):
                add_sizes(
                    bound[r], errors[r, i], transposed[i], 0.0, transposed[i], 0.0, transposed[i],
                    0.0, transposed[i],
                )  # fmt: skip
            at += 1
        if has_error:
            for at in range(n_active):
                i = active[at]
                add_column(bound[2], errors[2, i], transposed_error[i])
                add_column(bound[3], errors[3, i], transposed_error[i])
        for j in range(n):
            root[2, j] += bias[j]
            if not PROVEN:
                ec[there, j] = 0.0
                continue
            ab = bound[0, j] + bound[2, j]
            c = bound[1, j] + bound[3, j]
            # What underflowed to zero is not zero; what is zero term by term is, and then the
            # bias alone is left, which nothing rounds.
            some_ab = ab > 0.0
            some_c = c > 0.0
            if not (some_c and (some_ab or merged)):
                for at in range(n_active):
                    i = active[at]
                    if transposed[i, j] != 0.0 or (has_error and transposed_error[i, j] != 0.0):
                        some_ab = some_ab or errors[0, i] != 0.0 or values[0, i] != 0.0
                        some_ab = some_ab or values[1, i] != 0.0
                        some_c = some_c or errors[1, i] != 0.0 or values[2, i] != 0.0
            if merged:
                some_c = some_c or some_ab
                some_ab = False
            if some_ab:
                ab = ab * (1 + 1e-9) + tiny
            if some_c:
                c = (c + kappa * abs(bias[j])) * (1 + 1e-9) + tiny
            c += bias_error[j] * (1 + 1e-9)
            if ab != 0.0:  # zeros are there already; untouched memory costs nothing
                eab[there, j] = ab if ab < HUGE else np.inf
            ec[there, j] = c if c < HUGE else np.inf

        begin = item_child[item]
        for child in range(begin, item_child[item + 1]):
            source = np.int64(-1)
            if child > begin:
                source = child_ref[child] if child_ref[child] >= begin else child - 1
            other = source if source >= 0 else first
            n_flipped = 0
            for i in range(m):
                if pieces[child, i] != pieces[other, i]:
                    flipped[n_flipped] = i
                    n_flipped += 1
            length = 0
            if source >= 0:
                length = path[source - begin] + n_flipped
                if length > budget[g]:
                    source = -1
                    other = first
                    length = 0
                    n_flipped = 0
                    for i in range(m):
                        if pieces[child, i] != pieces[first, i]:
                            flipped[n_flipped] = i
                            n_flipped += 1
            path[child - begin] = length
            target = out[child - out_face]
            for axis in range(3):
                copy(root[axis] if source < 0 else out[source - out_face, axis], target[axis])
            for at in range(n_flipped):
                i = flipped[at]
                new, old = pieces[child, i], pieces[other, i]
                slope = slopes[i, new] - slopes[i, old]
                for axis in range(3):
                    change = slope * prev_map[here, axis, i]
                    if axis == 2:
                        change += intercepts[i, new] - intercepts[i, old]
                    if change != 0.0:
                        add_column(target[axis], change, transposed[i])


# -- signs -----------------------------------------------------------------------------------


@kernel
def extremes(a, b, c, x, y, low, high):
    for j in range(a.shape[0]):
        z = a[j] * x + b[j] * y + c[j]
        low[j] = z if z < low[j] else low[j]
        high[j] = z if z > high[j] else high[j]


@kernel
def bounds_of_face(a, b, c, eab, ec, fx, fy, rho, bound):
    for j in range(a.shape[0]):
        bound[j] = (abs(a[j]) * fx + abs(b[j]) * fy + 8 * U * abs(c[j]) + ec[j] + rho * eab[j]) * (
            1 + 16 * U
        ) + TINY


@kernel
def settle(low, high, bound, status):
    """Mark lines as ABOVE or BELOW where that is certain, else as ZERO; count the latter."""
    n_open = 0
    for j in range(low.shape[0]):
        usable = bound[j] < HUGE
        known = (usable & (low[j] > bound[j])) + 2 * (usable & (high[j] < -bound[j]))
        status[j] = known
        n_open += known == 0
    return n_open


@kernel
def extremes_of_two(a, b, c, x, y, u, v, low, high):
    for j in range(a.shape[0]):
        z = a[j] * x + b[j] * y + c[j]
        w = a[j] * u + b[j] * v + c[j]
        least = z if z < w else w
        most = z if z > w else w
        low[j] = least if least < low[j] else low[j]
        high[j] = most if most > high[j] else high[j]


@kernel
def classify(
    begin, end, first_face, first_group, maps, eab, ec, face_group, line_unit, line_breakpoint,
    face_start, half_edges, ev, vx, vy, dx, dy, ix, iy, status, n_cutting,
):  # fmt: skip
    """Whether each line of a layer is zero, above, below or crossing on each of the faces.

    Returns
    -------
    The number of lines that cross or may cross, over all faces, and the number of their signs.
    """
    n_lines = line_unit.shape[0]
    n = maps.shape[2]
    plain = n_lines == n and not line_breakpoint.any()  # then line j is unit j at 0
    low = np.empty(n)
    high = np.empty(n)
    bound = np.empty(n)
    n_entries = n_signs = 0
    for f in range(begin, end):
        here = f - first_face
        group = face_group[f] - first_group
        a, b, c = maps[here, 0], maps[here, 1], maps[here, 2]
        eab_f, ec_f = eab[group], ec[group]
        low[:] = np.inf
        high[:] = -np.inf
        fx = fy = rho = 0.0
        waiting = np.int64(-1)
        for s in range(face_start[f], face_start[f + 1]):
            v = start_of(ev, half_edges[s])
            ax, ay = abs(vx[v]), abs(vy[v])
            fx = max(fx, dx[v] + 8 * U * ax + LEAST)
            fy = max(fy, dy[v] + 8 * U * ay + LEAST)
            rho = max(rho, (ax + dx[v]) * ix + LEAST, (ay + dy[v]) * iy + LEAST)
            if waiting >= 0:
                w = waiting
                extremes_of_two(a, b, c, vx[w], vy[w], vx[v], vy[v], low, high)
                waiting = np.int64(-1)
            else:
                waiting = v
        if waiting >= 0:
            extremes(a, b, c, vx[waiting], vy[waiting], low, high)
        if PROVEN:
            bounds_of_face(a, b, c, eab_f, ec_f, fx, fy, rho, bound)
        else:
            bound[:] = 0.0
        cutting = 0
        if plain and settle(low, high, bound, status[f]) == 0:
            n_cutting[f] = 0
            continue
        for line in range(n_lines):
            j = line_unit[line]
            t = line_breakpoint[line]
            if plain:
                if status[f, line] != ZERO:
                    continue
            else:
                # A little more than the bound, as the breakpoint's subtraction rounds.
                far = bound[j] * (1 + 1e-12) + 8 * U * abs(t)
                if far < HUGE:
                    if low[j] - t > far:
                        status[f, line] = ABOVE
                        continue
                    if high[j] - t < -far:
                        status[f, line] = BELOW
                        continue
            offset = c[j] - t
            above = False
            below = False
            undecided = False
            for s in range(face_start[f], face_start[f + 1]):
                v = start_of(ev, half_edges[s])
                found = sign(
                    a[j], b[j], offset, eab_f[j], ec_f[j], vx[v], vy[v], dx[v], dy[v], ix, iy
                )
                above = above or found == 1
                below = below or found == -1
                undecided = undecided or found == UNDECIDED
            if undecided:
                status[f, line] = OPEN
                cutting += 1
            elif above and below:
                status[f, line] = CROSSING
                cutting += 1
            elif above:
                status[f, line] = ABOVE
            elif below:
                status[f, line] = BELOW
            else:
                status[f, line] = ZERO
        n_cutting[f] = cutting
        n_entries += cutting
        n_signs += cutting * (face_start[f + 1] - face_start[f])
    return n_entries, n_signs


@kernel
def fill_entries(
    begin, end, first_face, first_group, maps, eab, ec, face_group, line_unit, line_breakpoint,
    face_start, half_edges, ev, vx, vy, dx, dy, ix, iy, status, n_cutting, entry_line, entry_face,
    rows, signs,
):  # fmt: skip
    """The lines that cut each face, their functions, and their signs at the face's corners."""
    at = 0
    sign_at = 0
    for f in range(begin, end):
        if n_cutting[f] == 0:
            continue
        here = f - first_face
        group = face_group[f] - first_group
        for line in range(status.shape[1]):
            if status[f, line] < CROSSING:
                continue
            j = line_unit[line]
            entry_line[at] = line
            entry_face[at] = f
            rows[at, 0] = maps[here, 0, j]
            rows[at, 1] = maps[here, 1, j]
            rows[at, 2] = maps[here, 2, j] - line_breakpoint[line]
            rows[at, 3] = eab[group, j]
            rows[at, 4] = ec[group, j]
            for s in range(face_start[f], face_start[f + 1]):
                v = start_of(ev, half_edges[s])
                signs[sign_at] = sign(
                    rows[at, 0], rows[at, 1], rows[at, 2], rows[at, 3], rows[at, 4],
                    vx[v], vy[v], dx[v], dy[v], ix, iy,
                )  # fmt: skip
                sign_at += 1
            at += 1


# -- edges -----------------------------------------------------------------------------------


@kernel
def side_numbers(begin_face, end_face, face_start, half_edges, side):
    """The place of every half-edge in the cycle of its face."""
    for f in range(begin_face, end_face):
        for s in range(face_start[f], face_start[f + 1]):
            side[half_edges[s]] = s - face_start[f]


@kernel
def count_on_edges(
    begin_edge, end_edge, ef, side, face_start, entry_start, sign_start, signs, count
):
    """How many lines cross each edge between its ends."""
    for e in range(begin_edge, end_edge):
        f = ef[e, 0]
        count[e] = 0
        m = entry_start[f + 1] - entry_start[f]
        if m == 0:
            continue
        k = face_start[f + 1] - face_start[f]
        s = side[2 * e]
        t = s + 1 if s + 1 < k else 0
        base = sign_start[f]
        n = 0
        for i in range(m):
            if signs[base + i * k + s] * signs[base + i * k + t] < 0:
                n += 1
        count[e] = n


@kernel
def sort_items(begin, end, item, t, tau):
    """Sort by t, and tell whether errors leave the order open."""
    n = end - begin
    if n <= 24:
        for i in range(begin + 1, end):
            j = i
            key, tj, ej = item[i], t[i], tau[i]
            while j > begin and t[j - 1] > tj:
                item[j], t[j], tau[j] = item[j - 1], t[j - 1], tau[j - 1]
                j -= 1
            item[j], t[j], tau[j] = key, tj, ej
    else:
        order = np.argsort(t[begin:end], kind="mergesort")
        copy(item[begin:end][order], item[begin:end])
        copy(tau[begin:end][order], tau[begin:end])
        copy(t[begin:end][order], t[begin:end])
    is_open = False
    for i in range(begin + 1, end):
        # The gap is exact or rounded by half a unit; 4 U is ample, as t is at most 1.
        if not (t[i] - t[i - 1] > tau[i] + tau[i - 1] + 4 * U):
            is_open = True
    return is_open


@kernel
def fill_edges(
    begin_edge, end_edge, ef, ev, side, face_start, entry_start, sign_start, signs, rows, vx, vy,
    dx, dy, ix, iy, item_start, item, t, tau, is_open,
):  # fmt: skip
    """The lines that cross each edge, in order from its first end."""
    for e in range(begin_edge, end_edge):
        is_open[e] = False
        at = item_start[e]
        end = item_start[e + 1]
        if at == end:
            continue
        f = ef[e, 0]
        k = face_start[f + 1] - face_start[f]
        p, q = ev[e, 0], ev[e, 1]
        s = side[2 * e]
        w = s + 1 if s + 1 < k else 0
        base = sign_start[f]
        first = entry_start[f]
        for i in range(entry_start[f + 1] - first):
            if signs[base + i * k + s] * signs[base + i * k + w] < 0:
                r = rows[first + i]
                zp, ep = value(r[0], r[1], r[2], r[3], r[4], vx[p], vy[p], dx[p], dy[p], ix, iy)
                zq, eq = value(r[0], r[1], r[2], r[3], r[4], vx[q], vy[q], dx[q], dy[q], ix, iy)
                item[at] = i
                t[at], tau[at] = parameter(zp, ep, zq, eq)
                at += 1
        if end - item_start[e] > 1:
            is_open[e] = sort_items(item_start[e], end, item, t, tau)


@kernel
def number_groups(begin_list, end_list, item_start, tied, group, n_groups):
    """Number the places along each edge or chord; tied items share one."""
    for e in range(begin_list, end_list):
        g = -1
        for i in range(item_start[e], item_start[e + 1]):
            if not tied[i]:
                g += 1
            group[i] = g
        n_groups[e] = g + 1


@kernel
def edge_vertices(
    begin_edge, end_edge, ev, ef, edge_line, entry_start, item_start, item, group, t, tau,
    group_start, first_line, vx, vy, dx, dy, n_old, nx, ny, ndx, ndy, lines, concurrent,
):  # fmt: skip
    """Coordinates and provenance of the new vertices on all edges.

    `concurrent` marks vertices to be rounded from exact ones: where three lines meet, and where
    the difference of two coordinates overflows.
    """
    for e in range(begin_edge, end_edge):
        i = item_start[e]
        end = item_start[e + 1]
        p, q = ev[e, 0], ev[e, 1]
        while i < end:
            best = i
            g = group[i]
            begin = i
            while i < end and group[i] == g:
                if tau[i] < tau[best]:
                    best = i
                i += 1
            v = n_old + group_start[e] + g
            x, ex = between(vx[p], vx[q], dx[p], dx[q], t[best], tau[best])
            y, ey = between(vy[p], vy[q], dy[p], dy[q], t[best], tau[best])
            nx[v], ny[v], ndx[v], ndy[v] = x, y, ex, ey
            concurrent[v] = i - begin > 1 or not (ex < HUGE and ey < HUGE)
            lines[v, 0] = edge_line[e]
            lines[v, 1] = first_line + entry_start[ef[e, 0]] + item[best]


# -- chords ----------------------------------------------------------------------------------


@kernel
def find_entry(entry_line, begin, end, line):
    while begin < end:
        middle = (begin + end) // 2
        if entry_line[middle] < line:
            begin = middle + 1
        else:
            end = middle
    return begin


@kernel
def find_chords(
    begin_face, end_face, face_start, half_edges, ev, ef, entry_start, entry_line, sign_start,
    signs, item_start, item, group, group_start, n_old, corner_place, n_boundary, entry_chord,
    chord_a, chord_b, chord_va, chord_vb, chord_entry, n_chords, n_crossings, stop,
):  # fmt: skip
    """Where on the boundary each line enters and leaves each face.

    Places count the corners and new vertices of the boundary, counter-clockwise. Lines that
    enter and leave in the same two places are one chord. Two chords cross if their ends take
    turns along the boundary.
    """
    for f in range(begin_face, end_face):
        first = entry_start[f]
        m = entry_start[f + 1] - first
        fs = face_start[f]
        k = face_start[f + 1] - fs
        n_chords[f] = 0
        if m == 0:
            n_boundary[f] = k
            continue
        low = np.full(m, -1, dtype=np.int64)
        high = np.full(m, -1, dtype=np.int64)
        low_vertex = np.empty(m, dtype=np.int64)
        high_vertex = np.empty(m, dtype=np.int64)
        place = 0
        for s in range(k):
            corner_place[fs + s] = place
            h = half_edges[fs + s]
            e = h >> 1
            corner = start_of(ev, h)
            for i in range(m):
                if signs[sign_start[f] + i * k + s] == 0:
                    if low[i] < 0:
                        low[i], low_vertex[i] = place, corner
                    else:
                        high[i], high_vertex[i] = place, corner
            n_items = item_start[e + 1] - item_start[e]
            n_groups = group_start[e + 1] - group_start[e]
            left_first = entry_start[ef[e, 0]]
            for at in range(n_items):
                if h & 1:
                    index = item_start[e + 1] - 1 - at
                    line = entry_line[left_first + item[index]]
                    i = find_entry(entry_line, first, first + m, line) - first
                    p = place + n_groups - group[index]
                else:
                    index = item_start[e] + at
                    i = item[index]
                    p = place + 1 + group[index]
                v = n_old + group_start[e] + group[index]
                if low[i] < 0:
                    low[i], low_vertex[i] = p, v
                else:
                    high[i], high_vertex[i] = p, v
            place += 1 + n_groups
        n_boundary[f] = place
        order = np.arange(m)
        if m > 1:
            key = low * place + high
            if m <= 24:
                for i in range(1, m):
                    j = i
                    o = order[i]
                    while j > 0 and key[order[j - 1]] > key[o]:
                        order[j] = order[j - 1]
                        j -= 1
                    order[j] = o
            else:
                order = np.argsort(key, kind="mergesort")
        chord = first - 1
        for at in range(m):
            i = order[at]
            if at == 0 or low[i] != chord_a[chord] or high[i] != chord_b[chord]:
                chord += 1
                chord_a[chord], chord_b[chord] = low[i], high[i]
                chord_va[chord], chord_vb[chord] = low_vertex[i], high_vertex[i]
                chord_entry[chord] = first + i
                n_crossings[chord] = 0
            entry_chord[first + i] = chord
        n_chords[f] = chord + 1 - first
        for spare in range(chord + 1, first + m):
            n_crossings[spare] = 0
        for i in range(first, chord + 1):
            if stop[0]:
                return
            for j in range(i + 1, chord + 1):
                if chord_a[j] >= chord_b[i]:
                    break
                if chord_a[i] < chord_a[j] and chord_b[i] < chord_b[j]:
                    n_crossings[i] += 1
                    n_crossings[j] += 1


@kernel
def fill_chords(
    begin_face, end_face, entry_start, n_chords, chord_a, chord_b, chord_va, chord_vb, chord_entry,
    rows, vx, vy, dx, dy, ix, iy, cross_start, other, t, tau, is_open, stop,
):  # fmt: skip
    """The chords that cross each chord, in order from its first end."""
    for f in range(begin_face, end_face):
        first = entry_start[f]
        last = first + n_chords[f]
        for i in range(first, entry_start[f + 1]):
            is_open[i] = False
        for i in range(first, last):
            if stop[0]:
                return
            at = cross_start[i]
            end = cross_start[i + 1]
            if at == end:
                continue
            p, q = chord_va[i], chord_vb[i]
            for j in range(first, last):
                if j < i:
                    crosses = chord_a[j] < chord_a[i] < chord_b[j] < chord_b[i]
                else:
                    crosses = chord_a[i] < chord_a[j] < chord_b[i] < chord_b[j]
                if crosses:
                    r = rows[chord_entry[j]]
                    zp, ep = value(r[0], r[1], r[2], r[3], r[4], vx[p], vy[p], dx[p], dy[p], ix, iy)
                    zq, eq = value(r[0], r[1], r[2], r[3], r[4], vx[q], vy[q], dx[q], dy[q], ix, iy)
                    other[at] = j
                    t[at], tau[at] = parameter(zp, ep, zq, eq)
                    at += 1
            if end - cross_start[i] > 1:
                is_open[i] = sort_items(cross_start[i], end, other, t, tau)


@kernel
def count_inside(
    begin_face, end_face, entry_start, face_start, n_chords, n_boundary, cross_start, other, group,
    n_groups, new_of_chord, n_inner, n_segments, n_children, n_sides,
):  # fmt: skip
    """How many vertices, edges, children and sides of children each face gets."""
    for f in range(begin_face, end_face):
        first = entry_start[f]
        vertices = 0
        segments = 0
        for i in range(first, first + n_chords[f]):
            segments += n_groups[i] + 1
            new = 0
            at = cross_start[i]
            end = cross_start[i + 1]
            while at < end:
                g = group[at]
                lowest = True
                while at < end and group[at] == g:
                    if other[at] < i:
                        lowest = False
                    at += 1
                if lowest:
                    new += 1
            new_of_chord[i] = new
            vertices += new
        n_inner[f] = vertices
        n_segments[f] = segments
        n_children[f] = 1 + segments - vertices
        n_sides[f] = n_boundary[f] + 2 * segments


# -- the next complex ------------------------------------------------------------------------


@kernel
def split_edges(
    begin_edge, end_edge, ev, ef, edge_line, group_start, n_old, new_ev, new_ef, new_line
):
    """Cut each edge at its new vertices. Their faces are entered later, where there are any."""
    for e in range(begin_edge, end_edge):
        begin = group_start[e]
        n = group_start[e + 1] - begin
        for r in range(n + 1):
            at = e + begin + r
            new_ev[at, 0] = ev[e, 0] if r == 0 else n_old + begin + r - 1
            new_ev[at, 1] = ev[e, 1] if r == n else n_old + begin + r
            new_ef[at, 0] = new_ef[at, 1] = -1
            new_line[at] = edge_line[e]


@kernel
def crossing_group(cross_start, other, group, chord, wanted):
    """The place along `chord` at which `wanted` crosses it."""
    for at in range(cross_start[chord], cross_start[chord + 1]):
        if other[at] == wanted:
            return group[at]
    return -1


@kernel
def mark_above(status, row):
    for j in range(row.shape[0]):
        row[j] = status[j] == ABOVE


@kernel
def split_faces(
    begin_face, end_face, face_start, half_edges, ef, entry_start, entry_line, entry_chord,
    sign_start, signs, corner_place, n_boundary, chord_a, chord_b, chord_va, chord_vb, chord_entry,
    n_chords, cross_start, other, group, n_groups, t, tau, group_start, n_old, n_edge_vertices,
    n_old_edges, inner_start, segment_start, child_start, side_start, first_line, status,
    member_start, member_unit, member_sign, vx, vy, dx, dy, lines, concurrent, new_ev, new_ef,
    new_line, new_face_start, new_half_edges, new_parent, child_ref, pieces, n_flips, stop,
):  # fmt: skip
    """Cut each face along its chords.

    Around a face its half-edges follow each other by the rule "turn left as far as you can". At
    a vertex inside, the rays of the chords lie in the order of their ends on the boundary; so the
    rule needs no arithmetic.
    """
    # Whether line j is unit j, and no other, the right way round.
    plain = status.shape[1] == pieces.shape[1] == len(member_unit)
    for at in range(len(member_unit)):
        plain = plain and member_unit[at] == at and member_sign[at] > 0
    for f in range(begin_face, end_face):
        fs = face_start[f]
        k = face_start[f + 1] - fs
        first = entry_start[f]
        m = entry_start[f + 1] - first
        mc = n_chords[f]
        child0 = child_start[f]
        row0 = pieces[child0]
        # Pieces of the first child, as if every chord's lines were below.
        if plain:
            mark_above(status[f], row0)
        else:
            row0[:] = 0
            for line in range(status.shape[1]):
                known = status[f, line]
                if known in (ABOVE, BELOW):
                    for at in range(member_start[line], member_start[line + 1]):
                        if (member_sign[at] > 0) == (known == ABOVE):
                            row0[member_unit[at]] += 1
        n_flips[f] = 0
        if mc == 0:
            at = side_start[f]
            new_face_start[child0] = at
            new_parent[child0] = f
            child_ref[child0] = child0
            for s in range(k):
                h = half_edges[fs + s]
                e = h >> 1
                code = 2 * (e + group_start[e]) + (h & 1)
                new_half_edges[at + s] = code
                new_ef[code >> 1, code & 1] = child0
            continue
        nb = np.int64(n_boundary[f])
        # Signs of each chord's own line on its two sides, and flips for the bounds.
        right_sign = np.empty(m, dtype=np.int8)  # on the arc of the boundary from A to B
        for i in range(m):
            chord = entry_chord[first + i]
            for s in range(k):
                if chord_a[chord] < corner_place[fs + s] < chord_b[chord]:
                    right_sign[i] = signs[sign_start[f] + i * k + s]
                    break
            line = entry_line[first + i]
            n_flips[f] += member_start[line + 1] - member_start[line]
            # The first child holds the boundary between places 0 and 1.
            here = right_sign[i] if chord_a[chord] == 0 else -right_sign[i]
            for at in range(member_start[line], member_start[line + 1]):
                if member_sign[at] * here > 0:
                    row0[member_unit[at]] += 1
        entries_of = np.zeros(mc + 1, dtype=np.int64)
        for i in range(m):
            entries_of[entry_chord[first + i] - first + 1] += 1
        for i in range(mc):
            entries_of[i + 1] += entries_of[i]
        chord_entries = np.empty(m, dtype=np.int64)
        fill = entries_of.copy()
        for i in range(m):
            chord = entry_chord[first + i] - first
            chord_entries[fill[chord]] = i
            fill[chord] += 1

        # Boundary half-edges by place; vertices are not needed there.
        boundary_code = np.empty(nb, dtype=np.int64)
        p = 0
        for s in range(k):
            h = half_edges[fs + s]
            e = h >> 1
            n_new = group_start[e + 1] - group_start[e]
            base = e + group_start[e]
            for r in range(n_new + 1):
                boundary_code[p] = 2 * (base + n_new - r) + 1 if h & 1 else 2 * (base + r)
                p += 1

        # Chord ends by place.
        ends_start = np.zeros(nb + 1, dtype=np.int64)
        for i in range(first, first + mc):
            ends_start[chord_a[i] + 1] += 1
            ends_start[chord_b[i] + 1] += 1
        for p in range(nb):
            ends_start[p + 1] += ends_start[p]
        ends = np.empty(2 * mc, dtype=np.int64)
        fill = ends_start.copy()
        for i in range(first, first + mc):
            ends[fill[chord_a[i]]] = i
            fill[chord_a[i]] += 1
            ends[fill[chord_b[i]]] = i
            fill[chord_b[i]] += 1

        # Segments of the chords, and vertices inside.
        segment_of = np.empty(mc + 1, dtype=np.int64)
        segment_of[0] = 0
        for i in range(mc):
            segment_of[i + 1] = segment_of[i] + n_groups[first + i] + 1
        n_seg = segment_of[mc]
        vertex_of = np.empty(n_seg, dtype=np.int64)  # the vertex at the end of a segment
        partner = np.full(n_seg, -1, dtype=np.int64)  # an item of the group at its end
        v = n_old + n_edge_vertices + inner_start[f]
        for i in range(first, first + mc):
            if stop[0]:
                return
            at = cross_start[i]
            end = cross_start[i + 1]
            while at < end:
                begin = at
                g = group[at]
                best = at
                lowest = other[at]
                while at < end and group[at] == g:
                    if tau[at] < tau[best]:
                        best = at
                    lowest = min(lowest, other[at])
                    at += 1
                seg = segment_of[i - first] + g
                partner[seg] = begin
                if lowest > i:
                    a, b = chord_va[i], chord_vb[i]
                    x, ex = between(vx[a], vx[b], dx[a], dx[b], t[best], tau[best])
                    y, ey = between(vy[a], vy[b], dy[a], dy[b], t[best], tau[best])
                    vx[v], vy[v], dx[v], dy[v] = x, y, ex, ey
                    concurrent[v] = at - begin > 1 or not (ex < HUGE and ey < HUGE)
                    lines[v, 0] = first_line + chord_entry[i]
                    lines[v, 1] = first_line + chord_entry[other[best]]
                    vertex_of[seg] = v
                    v += 1
                else:
                    there = crossing_group(cross_start, other, group, lowest, i)
                    vertex_of[seg] = vertex_of[segment_of[lowest - first] + there]
            vertex_of[segment_of[i - first + 1] - 1] = chord_vb[i]
        for i in range(first, first + mc):
            for s in range(segment_of[i - first], segment_of[i - first + 1]):
                e = n_old_edges + n_edge_vertices + segment_start[f] + s
                at_start = s == segment_of[i - first]
                new_ev[e, 0] = chord_va[i] if at_start else vertex_of[s - 1]
                new_ev[e, 1] = vertex_of[s]
                new_line[e] = first_line + chord_entry[i]

        # What follows each half-edge: boundary ones first, then two for each segment.
        n_half = nb + 2 * n_seg
        follow = np.empty(n_half, dtype=np.int64)
        chord_of = np.empty(n_seg, dtype=np.int64)
        for p in range(nb):
            q = p + 1 if p + 1 < nb else 0
            follow[p] = turn_at_boundary(
                q, nb, nb, ends_start, ends, chord_a, chord_b, segment_of, first
            )
        for i in range(first, first + mc):
            if stop[0]:
                return
            s0 = segment_of[i - first]
            s1 = segment_of[i - first + 1]
            for s in range(s0, s1):
                chord_of[s] = i
                if s + 1 == s1:
                    offset = chord_a[i] - chord_b[i] + nb
                    follow[nb + 2 * s] = turn_at_boundary(
                        np.int64(chord_b[i]), offset, nb, ends_start, ends, chord_a, chord_b,
                        segment_of, first,
                    )  # fmt: skip
                else:
                    follow[nb + 2 * s] = turn_inside(
                        i, chord_a[i], s - s0, partner[s], nb, cross_start, other, group, chord_a,
                        chord_b, segment_of, first,
                    )  # fmt: skip
                if s == s0:
                    offset = chord_b[i] - chord_a[i]
                    follow[nb + 2 * s + 1] = turn_at_boundary(
                        np.int64(chord_a[i]), offset, nb, ends_start, ends, chord_a, chord_b,
                        segment_of, first,
                    )  # fmt: skip
                else:
                    follow[nb + 2 * s + 1] = turn_inside(
                        i, chord_b[i], s - s0 - 1, partner[s - 1], nb, cross_start, other, group,
                        chord_a, chord_b, segment_of, first,
                    )  # fmt: skip

        # Children: cycles of half-edges, found from neighbour to neighbour in depth.
        child_of = np.full(n_half, -1, dtype=np.int64)
        n_children = child_start[f + 1] - child0
        cursor = np.empty(n_children, dtype=np.int64)
        last = np.empty(n_children, dtype=np.int64)
        stack = np.empty(n_children, dtype=np.int64)
        at = side_start[f]
        found = 0
        depth = 0
        start = np.int64(0)
        crossed = np.int64(-1)
        while True:
            if stop[0]:
                return
            if start >= 0:
                # A new child, whose cycle goes through half-edge `start`.
                child = child0 + found
                new_face_start[child] = at
                new_parent[child] = f
                h = start
                while True:
                    child_of[h] = found
                    if h < nb:
                        code = boundary_code[h]
                    else:
                        e = n_old_edges + n_edge_vertices + segment_start[f]
                        code = 2 * e + h - nb
                    new_half_edges[at] = code
                    new_ef[code >> 1, code & 1] = child
                    at += 1
                    h = follow[h]
                    if h == start:
                        break
                cursor[found] = start
                last[found] = start
                if crossed < 0:
                    child_ref[child] = child
                else:
                    source = child0 + stack[depth - 1]
                    child_ref[child] = source
                    target = pieces[child]
                    copy(pieces[source], target)
                    # Across a chord: from its right to its left along A -> B, or back.
                    segment = (crossed - nb) >> 1
                    chord = chord_of[segment] - first
                    to_left = (crossed - nb) & 1 == 0
                    for w in range(entries_of[chord], entries_of[chord + 1]):
                        i = chord_entries[w]
                        here = -right_sign[i] if to_left else right_sign[i]
                        line = entry_line[first + i]
                        for x in range(member_start[line], member_start[line + 1]):
                            if member_sign[x] * here > 0:
                                target[member_unit[x]] += 1
                            else:
                                target[member_unit[x]] -= 1
                stack[depth] = found
                depth += 1
                found += 1
                start = np.int64(-1)
            # Go on from the child on top of the stack.
            top = stack[depth - 1]
            h = cursor[top]
            while h >= 0:
                ahead = follow[h]
                cursor[top] = ahead if ahead != last[top] else np.int64(-1)
                if h >= nb:
                    twin = nb + ((h - nb) ^ 1)
                    if child_of[twin] < 0:
                        start = twin
                        crossed = twin
                        break
                h = cursor[top]
            if start < 0:
                depth -= 1
                if depth == 0:
                    break


@kernel
def turn_at_boundary(place, limit, nb, ends_start, ends, chord_a, chord_b, segment_of, first):
    """The half-edge out of a boundary place that is next clockwise from offset `limit`.

    Offsets count places counter-clockwise from `place` to the other end of a chord. The boundary
    edge ahead has offset 1, and there is no chord to a neighbouring place, or it splits nothing.
    """
    best = 1
    result = place
    for at in range(ends_start[place], ends_start[place + 1]):
        i = ends[at]
        forward = chord_a[i] == place
        offset = (chord_b[i] if forward else chord_a[i]) - place
        if offset < 0:
            offset += nb
        if best < offset < limit:
            best = offset
            if forward:
                result = nb + 2 * segment_of[i - first]
            else:
                result = nb + 2 * (segment_of[i - first + 1] - 1) + 1
    return result


@kernel
def turn_inside(
    chord, back, g, item, nb, cross_start, other, group, chord_a, chord_b, segment_of, first
):
    """The half-edge out of a vertex inside that is next clockwise from the end `back` of a chord.

    `g` is the vertex's place along the chord, `item` the first of the chord's items there.
    """
    # The chord's own other end is a candidate, too: the largest offset wins.
    ahead = chord_b[chord] if back == chord_a[chord] else chord_a[chord]
    best = ahead - back
    if best < 0:
        best += nb
    s = segment_of[chord - first] + g
    result = nb + 2 * (s + 1) if back == chord_a[chord] else nb + 2 * s + 1
    at = item
    while at < cross_start[chord + 1] and group[at] == g:
        j = other[at]
        for end in range(2):
            offset = (chord_b[j] if end else chord_a[j]) - back
            if offset < 0:
                offset += nb
            if offset > best:
                best = offset
                s = segment_of[j - first] + crossing_group(cross_start, other, group, j, chord)
                result = nb + 2 * (s + 1) if end else nb + 2 * s + 1
        at += 1
    return result


# -- a layer at once -------------------------------------------------------------------------


@kernel
def lengthened(values, n):
    """A copy with room for `n` more values."""
    longer = np.empty(len(values) + n)
    copy(values, longer)
    return longer


@kernel
def lengthened_pairs(pairs, n):
    """The same for rows of two indices."""
    longer = np.empty((len(pairs) + n, 2), dtype=np.int32)
    for i in range(len(pairs)):
        longer[i, 0], longer[i, 1] = pairs[i, 0], pairs[i, 1]
    return longer


@kernel
def running_sums(counts):
    """Where each of some short lists begins, one after the other, and where the last one ends."""
    sums = np.empty(len(counts) + 1, dtype=np.int32)
    sums[0] = 0
    for i in range(len(counts)):
        sums[i + 1] = sums[i] + counts[i]
    return sums


@kernel
def split_at_once(
    maps, eab, ec, face_group, line_unit, line_breakpoint, member_start, member_unit, member_sign,
    face_start, half_edges, ev, ef, edge_line, vx, vy, dx, dy, vertex_lines, ix, iy, n_units,
    first_line, stop,
):  # fmt: skip
    """All passes of a layer that is done in a moment, if float64 decides everything.

    The passes are those of `polyregions.engine.splitting`, in the same order; to call the kernels
    one by one would take longer than they do.

    Returns
    -------
    None where something is left open, else what the layer made, and the number of decisions.
    """
    n_faces, n_edges, n_old = len(face_start) - 1, len(ev), len(vx)
    n_lines = len(line_unit)
    zero = np.int64(0)  # kernels are compiled anew for a literal
    status = np.empty((n_faces, n_lines), dtype=np.uint8)
    n_cutting = np.zeros(n_faces, dtype=np.int32)
    n, n_signs = classify(
        zero, n_faces, zero, zero, maps, eab, ec, face_group, line_unit, line_breakpoint,
        face_start, half_edges, ev, vx, vy, dx, dy, ix, iy, status, n_cutting,
    )  # fmt: skip
    entry_line, entry_face = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    rows, signs = np.empty((n, 5)), np.empty(n_signs, dtype=np.int8)
    fill_entries(
        zero, n_faces, zero, zero, maps, eab, ec, face_group, line_unit, line_breakpoint,
        face_start, half_edges, ev, vx, vy, dx, dy, ix, iy, status, n_cutting, entry_line,
        entry_face, rows, signs,
    )  # fmt: skip
    if (signs == UNDECIDED).any():
        return None
    entry_start = running_sums(n_cutting)
    sign_start = running_sums(n_cutting * (face_start[1:] - face_start[:-1]))

    side = np.empty(2 * n_edges, dtype=np.int32)
    side_numbers(zero, n_faces, face_start, half_edges, side)
    count = np.empty(n_edges, dtype=np.int32)
    count_on_edges(zero, n_edges, ef, side, face_start, entry_start, sign_start, signs, count)
    item_start = running_sums(count)
    n_on_edges = np.int64(item_start[-1])
    item, group = np.empty(n_on_edges, dtype=np.int32), np.empty(n_on_edges, dtype=np.int32)
    t, tau = np.empty(n_on_edges), np.empty(n_on_edges)
    is_open = np.empty(n_edges, dtype=np.bool_)
    fill_edges(
        zero, n_edges, ef, ev, side, face_start, entry_start, sign_start, signs, rows, vx, vy, dx,
        dy, ix, iy, item_start, item, t, tau, is_open,
    )  # fmt: skip
    if is_open.any():
        return None
    number_groups(zero, n_edges, item_start, np.zeros(n_on_edges, dtype=np.bool_), group, count)
    nx, ny = lengthened(vx, n_on_edges), lengthened(vy, n_on_edges)
    ndx, ndy = lengthened(dx, n_on_edges), lengthened(dy, n_on_edges)
    lines = lengthened_pairs(vertex_lines, n_on_edges)
    concurrent = np.zeros(len(nx), dtype=np.bool_)
    edge_vertices(
        zero, n_edges, ev, ef, edge_line, entry_start, item_start, item, group, t, tau, item_start,
        first_line, vx, vy, dx, dy, n_old, nx, ny, ndx, ndy, lines, concurrent,
    )  # fmt: skip
    if concurrent.any():
        return None

    place = np.empty(len(half_edges), dtype=np.int32)
    n_boundary, n_chords = np.empty(n_faces, dtype=np.int32), np.empty(n_faces, dtype=np.int32)
    of_entry, entry = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    a, b = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    va, vb = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int32)
    n_crossings = np.empty(n, dtype=np.int32)
    find_chords(
        zero, n_faces, face_start, half_edges, ev, ef, entry_start, entry_line, sign_start, signs,
        item_start, item, group, item_start, n_old, place, n_boundary, of_entry, a, b, va, vb,
        entry, n_chords, n_crossings, stop,
    )  # fmt: skip
    cross_start = running_sums(n_crossings)
    n_crossed = np.int64(cross_start[-1])
    other, place_on = np.empty(n_crossed, dtype=np.int32), np.empty(n_crossed, dtype=np.int32)
    t, tau = np.empty(n_crossed), np.empty(n_crossed)
    is_open = np.empty(n, dtype=np.bool_)
    fill_chords(
        zero, n_faces, entry_start, n_chords, a, b, va, vb, entry, rows, nx, ny, ndx, ndy, ix, iy,
        cross_start, other, t, tau, is_open, stop,
    )  # fmt: skip
    if is_open.any():
        return None
    number_groups(zero, n, cross_start, np.zeros(n_crossed, dtype=np.bool_), place_on, n_crossings)
    n_inner, n_segments = np.empty(n_faces, dtype=np.int32), np.empty(n_faces, dtype=np.int32)
    n_children, n_sides = np.empty(n_faces, dtype=np.int32), np.empty(n_faces, dtype=np.int32)
    count_inside(
        zero, n_faces, entry_start, face_start, n_chords, n_boundary, cross_start, other, place_on,
        n_crossings, np.empty(n, dtype=np.int32), n_inner, n_segments, n_children, n_sides,
    )  # fmt: skip

    inner_start, segment_start = running_sums(n_inner), running_sums(n_segments)
    child_start, side_start = running_sums(n_children), running_sums(n_sides)
    n_new = np.int64(inner_start[-1])
    nx, ny = lengthened(nx, n_new), lengthened(ny, n_new)
    ndx, ndy = lengthened(ndx, n_new), lengthened(ndy, n_new)
    lines = lengthened_pairs(lines, n_new)
    concurrent = np.zeros(len(nx), dtype=np.bool_)
    n_new = n_edges + n_on_edges + np.int64(segment_start[-1])
    new_ev, new_line = np.empty((n_new, 2), dtype=np.int32), np.empty(n_new, dtype=np.int32)
    new_ef = np.empty((n_new, 2), dtype=np.int32)
    split_edges(zero, n_edges, ev, ef, edge_line, item_start, n_old, new_ev, new_ef, new_line)
    n_new = np.int64(child_start[-1])
    new_face_start = np.empty(n_new + 1, dtype=np.int32)
    new_face_start[n_new] = side_start[-1]
    new_half_edges = np.empty(side_start[-1], dtype=np.int32)
    parent, child_ref = np.empty(n_new, dtype=np.int32), np.empty(n_new, dtype=np.int32)
    pieces = np.empty((n_new, n_units), dtype=np.uint8)
    n_flips = np.empty(n_faces, dtype=np.int32)
    split_faces(
        zero, n_faces, face_start, half_edges, ef, entry_start, entry_line, of_entry, sign_start,
        signs, place, n_boundary, a, b, va, vb, entry, n_chords, cross_start, other, place_on,
        n_crossings, t, tau, item_start, n_old, n_on_edges, n_edges, inner_start, segment_start,
        child_start, side_start, first_line, status, member_start, member_unit, member_sign, nx,
        ny, ndx, ndy, lines, concurrent, new_ev, new_ef, new_line, new_face_start, new_half_edges,
        parent, child_ref, pieces, n_flips, stop,
    )  # fmt: skip
    if concurrent.any():
        return None
    n_decisions = n_lines * len(half_edges) + n_on_edges + n_crossed
    return (
        n_decisions, nx, ny, ndx, ndy, new_ev, new_ef, new_line, new_face_start, new_half_edges,
        child_start, child_ref, parent, pieces, entry_start, entry_line, n_flips, entry_face, lines,
    )  # fmt: skip


# -- the result ------------------------------------------------------------------------------


@kernel
def gather_patterns(offset, pieces, ancestor, pattern):
    """Copy a layer's pieces into the patterns of final faces."""
    for f in range(len(ancestor)):
        copy(pieces[ancestor[f]], pattern[f, offset:])


@kernel
def cycle_vertices(begin_side, end_side, sides, ev):
    """The vertices of all faces, in place of their half-edges."""
    for i in range(begin_side, end_side):
        sides[i] = start_of(ev, sides[i])


@kernel
def pin_down(begin_face, end_face, columns, eab, ec, group, x, y, share, ends):
    """An interval for the value of each face's map at one point, outputs summed with weights.

    The point is in the domain's window, and no weight is above one; so the bounds of a map are
    bounds here, too.
    """
    m = columns.shape[2]
    for f in range(begin_face, end_face):
        g = group[f]
        centre = size = error = 0.0
        for i in range(m):
            a, b, c = columns[f, 0, i] * x, columns[f, 1, i] * y, columns[f, 2, i]
            centre += share[i] * (a + b + c)
            size += share[i] * (abs(a) + abs(b) + abs(c))
            error += share[i] * (eab[g, i] + ec[g, i])
        radius = error * (1 + 1e-6) + size * (2 * U * (m + 16)) + TINY * (m + 1)
        if not np.isfinite(size + radius):  # it may be any number
            centre, radius = 0.0, np.inf
        # Finite, so that what is below all of them can be said: minus infinity.
        ends[f, 0] = max(centre - radius, -LARGEST)
        ends[f, 1] = min(centre + radius, LARGEST)


@kernel
def bucket_of(low, borders):
    """How many of the sorted `borders`, a power of two less one, are no more than `low`."""
    k = 0
    half = (borders.shape[0] + 1) >> 1
    while half:
        k += half * (borders[k + half - 1] <= low)
        half >>= 1
    return k


@kernel
def count_buckets(begin_face, end_face, ends, borders, chunk, bucket, count):
    """The bucket of each face by its interval's lower end, and how many a chunk has in each."""
    mine = count[begin_face // chunk]
    for f in range(begin_face, end_face):
        k = bucket_of(ends[f, 0], borders)
        bucket[f] = k
        mine[k] += 1


@kernel
def fill_buckets(begin_face, end_face, chunk, bucket, place, order):
    """Lay the faces of a chunk into their buckets, from the chunk's own place in each."""
    mine = place[begin_face // chunk]
    for f in range(begin_face, end_face):
        k = bucket[f]
        order[mine[k]] = f
        mine[k] += 1


@kernel
def find_runs(begin_bucket, end_bucket, start, order, ends, reach_before, low_behind, n_left):
    """Keep those sorted faces of each bucket whose intervals overlap another's.

    They move to the front of their bucket, ``~f`` in place of f where a run begins: beyond all
    intervals before it, the highest end of those in buckets before being `reach_before`. The
    lowest interval in buckets behind begins at `low_behind`.
    """
    for k in range(begin_bucket, end_bucket):
        reach = reach_before[k]
        at = start[k]
        for p in range(start[k], start[k + 1]):
            f = order[p]
            begins = ends[f, 0] > reach
            reach = max(reach, ends[f, 1])
            ahead = ends[order[p + 1], 0] if p + 1 < start[k + 1] else low_behind[k]
            if not (begins and ahead > reach):
                order[at] = ~f if begins else f
                at += 1
        n_left[k] = at - start[k]


@kernel
def interval(columns, eab, ec, group, size_x, size_y, axis, i, f):
    """The interval of one coefficient of a face's map; without width if it is exact."""
    centre = columns[f, axis, i]
    g = group[f]
    bound = ec[g, i]
    if axis == 0:
        bound = (eab[g, i] + bound) / size_x  # ec may hold the bound for all three
    elif axis == 1:
        bound = (eab[g, i] + bound) / size_y
    radius = 0.0
    if bound != 0.0:
        radius = bound * (1 + 1e-9) + abs(centre) * 2.0**-50
    if not np.isfinite(centre + radius):
        return -np.inf, np.inf
    return centre - radius, centre + radius


@kernel
def split_runs(
    begin_run, end_run, run_start, faces, columns, eab, ec, group, size_x, size_y, label
):
    """Split runs of faces by each coefficient of their maps in turn.

    A run holds faces not told apart yet. Sorted by the lower ends of their intervals they fall
    into runs again. `faces` is sorted in place; `label` gets the place at which each face's run
    begins in the end, or -1 for a face alone.
    """
    longest = 0
    for r in range(begin_run, end_run):
        longest = max(longest, run_start[r + 1] - run_start[r])
    low, high = np.empty(longest), np.empty(longest)
    for r in range(begin_run, end_run):
        begin, end = run_start[r], run_start[r + 1]
        label[begin:end] = begin
        n_together = end - begin
        for axis in range(3):
            for i in range(columns.shape[2]):
                at = begin
                while at < end and n_together:
                    first = at
                    at += 1
                    if label[first] < 0:
                        continue
                    while at < end and label[at] == first:
                        at += 1
                    for k in range(at - first):
                        low[k], high[k] = interval(
                            columns, eab, ec, group, size_x, size_y, axis, i, faces[first + k]
                        )
                    sort_intervals(faces[first:at], low, high)
                    n_together -= mark_runs(first, at, low, high, label)


@kernel
def sort_intervals(faces, low, high):
    """Sort faces and their intervals, as many as there are faces, by lower ends."""
    n = len(faces)
    if n > 24:
        order = np.argsort(low[:n])
        faces[:], low[:n], high[:n] = faces[order], low[:n][order], high[:n][order]
        return
    for i in range(1, n):
        f, begin, end = faces[i], low[i], high[i]
        j = i
        while j > 0 and low[j - 1] > begin:
            faces[j], low[j], high[j] = faces[j - 1], low[j - 1], high[j - 1]
            j -= 1
        faces[j], low[j], high[j] = f, begin, end


@kernel
def mark_runs(begin, end, low, high, label):
    """Label sorted intervals by where their runs begin; tell how many are alone, labelled -1."""
    n_alone = 0
    reach = high[0]
    first = begin
    for at in range(begin, end + 1):
        if at == end or low[at - begin] > reach:
            if at - first == 1:
                label[first] = -1
                n_alone += 1
            first = at
        if at < end:
            reach = max(reach, high[at - begin])
            label[at] = first
    return n_alone


@kernel
def number_by_first(piece):
    """Number faces in the order in which their maps come first.

    `piece` gives for each face the first face with its map, and gets the numbers.
    """
    n = 0
    for f in range(len(piece)):
        if piece[f] == f:
            piece[f] = n
            n += 1
        else:
            piece[f] = piece[piece[f]]


@kernel
def coefficients(
    begin_face, end_face, columns, eab, ec, group, size_x, size_y, weight, bias, weight_error,
    bias_error, is_bad,
):  # fmt: skip
    """Weights and biases from maps, and bounds on their errors; `is_bad` where one overflowed."""
    for f in range(begin_face, end_face):
        is_bad[f] = False
        for i in range(columns.shape[2]):
            c = ec[group[f], i]
            both = eab[group[f], i] + c  # c may hold the bound for all three coefficients
            ex = both / size_x * (1 + 1e-9) + TINY
            ey = both / size_y * (1 + 1e-9) + TINY
            ez = c * (1 + 1e-9) + TINY
            weight[f, i, 0], weight[f, i, 1] = columns[f, 0, i], columns[f, 1, i]
            bias[f, i] = columns[f, 2, i]
            weight_error[f, i, 0], weight_error[f, i, 1], bias_error[f, i] = ex, ey, ez
            largest = ex + ey + ez + abs(weight[f, i, 0]) + abs(weight[f, i, 1]) + abs(bias[f, i])
            if not np.isfinite(largest):
                is_bad[f] = True
