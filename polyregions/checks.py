"""Compiled checks of a partition's arrays, each in one pass and without large copies.

None of them decides by a tolerance: what is reported as wrong is certainly wrong.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls
# mypy: disable-error-code="assignment"

from __future__ import annotations

import numpy as np

from polyregions.filters import kernel, twice_area
from polyregions.float64 import TINY, U

# What `self_check` found.
FINE, NOT_MATCHED, BORDER_OPEN, NOT_FINITE, NOT_POSITIVE, NOT_COVERED = range(6)

_K1 = np.uint64(0x9E3779B97F4A7C15)
_K2 = np.uint64(0xC2B2AE3D27D4EB4F)
_K3 = np.uint64(0x165667B19E3779F9)
_K4 = np.uint64(0xD6E8FEB86659FD93)
_32 = np.uint64(32)


@kernel
def mix(x):
    """Spread the bits of a 64-bit number."""
    x ^= x >> _32
    x *= _K4
    x ^= x >> _32
    x *= _K4
    return x ^ (x >> _32)


@kernel
def side_hash(start, end, face):
    return mix(np.uint64(start) * _K1 + np.uint64(end) * _K2 + np.uint64(face) * _K3)


@kernel
def are_indices_valid(
    n_vertices, n_units, edge_vertices, edge_faces, edge_unit, offsets, corners, pieces
):
    """Whether no index points out of an array and every face has three corners or more."""
    n_faces = len(offsets) - 1
    if offsets[0] != 0 or offsets[n_faces] != len(corners):
        return False
    for f in range(n_faces):
        if offsets[f + 1] - offsets[f] < 3 or not 0 <= pieces[f] < n_faces:
            return False
    for v in corners:
        if not 0 <= v < n_vertices:
            return False
    for e in range(len(edge_unit)):
        a, b = edge_vertices[e, 0], edge_vertices[e, 1]
        left, right = edge_faces[e, 0], edge_faces[e, 1]
        if not (0 <= a < n_vertices and 0 <= b < n_vertices and a != b):
            return False
        if not (0 <= left < n_faces and -1 <= right < n_faces and left != right):
            return False
        if not -1 <= edge_unit[e] < n_units:
            return False
    return True


@kernel
def self_check(
    edge_vertices, edge_faces, offsets, corners, xy, error, domain_xy, ring_offsets, is_convex,
    sx, sy, sums
):  # fmt: skip
    """Hold sides against edges, walk the border, and measure; indices must be valid.

    The border of a domain that is not convex may be several cycles that touch. Of such a one as
    many edges must leave each vertex as enter it.

    The sides of the faces and those that the edges speak of are compared as multisets, by sums
    of 64-bit hashes. `sums` gets twice the total area, scaled, and a bound on its error, which
    tell where the areas certainly do not add up to the domain's.
    """
    # The sum of the areas with the rounding errors of all additions added up beside it (Neumaier
    # 1974). That sum has an error of no more than n**2 u**2 times the sum of the absolute values.
    total = lost = spread = size = 0.0
    positive = True
    of_faces = np.uint64(0)
    n_faces = len(offsets) - 1
    for f in range(n_faces):
        begin, end = offsets[f], offsets[f + 1]
        value, bound = twice_area(begin, end, corners, xy, error, sx, sy)
        positive = positive and not value + bound <= 0.0
        spread += bound
        size += abs(value)
        old = total
        total = old + value
        part = total - old
        lost += (old - (total - part)) + (value - part)
        before = corners[end - 1]
        for i in range(begin, end):
            of_faces += side_hash(before, corners[i], f)
            before = corners[i]
    nu = (n_faces + 2) * U
    sums[0] = total + lost
    sums[1] = spread * (1 + 2 * nu) + 2 * nu * nu * size + 2 * U * abs(sums[0]) + TINY

    of_edges = np.uint64(0)
    n_border = 0
    first = -1
    after = np.full(len(xy), -1, dtype=np.int32)
    for e in range(len(edge_faces)):
        a, b = edge_vertices[e, 0], edge_vertices[e, 1]
        of_edges += side_hash(a, b, edge_faces[e, 0])
        if edge_faces[e, 1] >= 0:
            of_edges += side_hash(b, a, edge_faces[e, 1])
        else:
            n_border += 1
            first = a
            after[a] = b
    if of_faces != of_edges:
        return NOT_MATCHED
    if is_convex:
        length = 0
        v = first
        while v >= 0 and length <= n_border:
            v = after[v]
            length += 1
            if v == first:
                break
        if v < 0 or length != n_border:
            return BORDER_OPEN
    else:
        surplus = np.zeros(len(xy), dtype=np.int32)
        for e in range(len(edge_faces)):
            if edge_faces[e, 1] < 0:
                surplus[edge_vertices[e, 0]] += 1
                surplus[edge_vertices[e, 1]] -= 1
        for v in range(len(xy)):
            if surplus[v] != 0:
                return BORDER_OPEN
    if not (abs(sums[0]) < np.inf and sums[1] < np.inf):
        return NOT_FINITE
    if not positive:
        return NOT_POSITIVE
    k = len(domain_xy)
    whole = bound = 0.0
    for r in range(len(ring_offsets) - 1):
        value, error_of_ring = twice_area(
            ring_offsets[r], ring_offsets[r + 1], np.arange(k, dtype=np.int32), domain_xy,
            np.zeros((k, 2)), sx, sy
        )  # fmt: skip
        whole += value
        bound = (bound + error_of_ring + 2 * U * abs(whole)) * (1 + 4 * U) if r else error_of_ring
    off = abs(sums[0] - whole) * (1 - 2 * U)
    return NOT_COVERED if off > (sums[1] + bound) * (1 + 4 * U) else FINE


@kernel
def are_labels_lowest(edge_faces, edge_unit, pattern, has_seams):
    """Whether `edge_unit` is the lowest unit that switches, and -1 on the border and on seams."""
    for e in range(len(edge_unit)):
        left, right = edge_faces[e, 0], edge_faces[e, 1]
        unit = edge_unit[e]
        if right < 0:
            if unit != -1:
                return False
            continue
        if unit < 0 and has_seams:
            unit = pattern.shape[1]
        elif unit < 0 or pattern[left, unit] == pattern[right, unit]:
            return False
        differs = np.uint8(0)
        for u in range(unit):
            differs |= pattern[left, u] ^ pattern[right, u]
        if differs != 0:
            return False
    return True


@kernel
def fill_hashes(pattern, hashes):
    """A 64-bit hash of every row."""
    for f in range(len(pattern)):
        h = np.uint64(0)
        word = np.uint64(0)
        for u in range(pattern.shape[1]):
            word = (word << np.uint64(8)) | np.uint64(pattern[f, u])
            if u & 7 == 7:
                h = mix(h * _K1 + word)
                word = np.uint64(0)
        hashes[f] = mix(h * _K1 + word)


@kernel
def is_continuous(edge_vertices, edge_faces, xy, error, weight, bias, weight_error, bias_error):
    """Whether the maps on both sides of every edge may be equal at both of its ends.

    The difference of two affine maps at a vertex is computed with fewer than 8 roundings of each
    term. Where a bound overflows, nothing is certain.
    """
    for e in range(len(edge_faces)):
        f, g = edge_faces[e, 0], edge_faces[e, 1]
        if g < 0:
            continue
        for end in range(2):
            v = edge_vertices[e, end]
            x, y = xy[v, 0], xy[v, 1]
            for m in range(bias.shape[1]):
                a, b = weight[f, m, 0] - weight[g, m, 0], weight[f, m, 1] - weight[g, m, 1]
                c = bias[f, m] - bias[g, m]
                size = abs(a * x) + abs(b * y) + abs(c)
                known = (
                    (weight_error[f, m, 0] + weight_error[g, m, 0]) * (abs(x) + error[v, 0])
                    + (weight_error[f, m, 1] + weight_error[g, m, 1]) * (abs(y) + error[v, 1])
                    + (bias_error[f, m] + bias_error[g, m])
                    + abs(a) * error[v, 0]
                    + abs(b) * error[v, 1]
                )
                if abs(a * x + b * y + c) > (known + 8 * U * size) * (1 + 16 * U) + TINY:
                    return False
    return True


@kernel
def do_pieces_overlap(piece, values, errors):
    """Whether all faces with one number may have one map: their intervals have a common point."""
    n = int(piece.max()) + 1
    low = np.full((n, values.shape[1]), -np.inf)
    high = np.full((n, values.shape[1]), np.inf)
    for f in range(len(piece)):
        p = piece[f]
        for j in range(values.shape[1]):
            # Twice the error is enough for the rounding of this sum too, if there is an error.
            v, e = values[f, j], errors[f, j]
            slack = 2 * U * (abs(v) + e) if e > 0.0 else 0.0
            low[p, j] = max(low[p, j], v - e - slack)
            high[p, j] = min(high[p, j], v + e + slack)
    for p in range(n):
        for j in range(values.shape[1]):
            if low[p, j] > high[p, j]:
                return False
    return True
