"""Which faces have the same affine map, decided exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from polyregions.engine import kernels
from polyregions.network import ByteArray, IntArray

if TYPE_CHECKING:
    from polyregions.engine.exactly import Provenance
    from polyregions.engine.layers import Layer
    from polyregions.engine.maps import Maps, Window


@np.errstate(over="ignore", invalid="ignore")
def affine_pieces(
    maps: Maps, group: IntArray, pattern: ByteArray, window: Window, made: Provenance
) -> IntArray:
    """(F,) int32: number of every face's affine map, in the order of their first faces.

    Maps whose intervals of some coefficient do not overlap differ, and faces on which all units
    that reach the outputs are on the same pieces have the same map. What is left is compared in
    integers.
    """
    columns = maps.columns
    n_faces, _, n_outputs = columns.shape
    label = np.zeros(n_faces, dtype=np.int64)
    both = maps.eab + maps.ec  # ec may hold the bound for all three coefficients
    bounds = [both / window.x, both / window.y, maps.ec]
    # Faces not alone under their label, run by run.
    crowd = np.arange(n_faces)
    begins, others = np.zeros((2, n_faces // 2 + 2), dtype=np.int64)
    begins[1] = n_faces
    n_runs, n_labels = int(n_faces > 1), 1
    for axis in range(3):
        for i in range(n_outputs):
            if n_runs:
                n_runs, n_labels = kernels.split_runs(
                    crowd, begins, n_runs, columns[:, axis, i], bounds[axis][:, i], group,
                    n_labels, label, others,
                )  # fmt: skip
                begins, others = others, begins
    crowd = crowd[: begins[n_runs]] if n_runs else crowd[:0]
    is_exact = (both == 0).all(axis=1)[group]
    fresh_label = n_labels
    if len(crowd):
        # Runs of which every map is exact consist of equal numbers: intervals without width.
        vague = np.zeros(fresh_label, dtype=np.bool_)
        vague[label[crowd[~is_exact[crowd]]]] = True
        crowd = crowd[vague[label[crowd]]]
    crowd = np.sort(crowd)
    what_counts = _what_counts(pattern[crowd], made.layers) if len(crowd) else pattern[:0]
    same: dict[tuple[int, bytes], int] = {}
    for f, row in zip(crowd.tolist(), what_counts, strict=True):
        key = (int(label[f]), row.tobytes())
        if key in same:
            label[f] = -1 - same[key]  # as that face, once it has its number
        else:
            same[key] = f
    seen: dict[tuple[int, tuple[int, ...]], int] = {}
    named: dict[tuple[int, bytes], int] = {}  # exact maps by their floats, + 0.0 to unsign zeros
    level = len(made.layers) - 1
    leaders = crowd[label[crowd] >= 0]
    # A leader with nobody left to be compared with keeps its label.
    rivals = np.bincount(label[leaders], minlength=1)
    for f in leaders[rivals[label[leaders]] > 1].tolist():
        mine = int(label[f])
        key = (mine, (columns[f] + 0.0).tobytes())
        if is_exact[f] and key in named:
            label[f] = named[key]
            continue
        entries = tuple(int(v) for v in made.affine_map(level, f).entries())
        label[f] = seen.setdefault((mine, entries), fresh_label + len(seen))
        if is_exact[f]:
            named[key] = int(label[f])
    followers = np.flatnonzero(label < 0)
    label[followers] = label[-1 - label[followers]]
    number = np.full(fresh_label + len(seen), -1, dtype=np.int32)
    return kernels.number_by_first(label, number)


def _what_counts(pattern: ByteArray, layers: Sequence[Layer]) -> ByteArray:
    """Patterns with 0 for the units that do not reach an output, and pieces plus one for others.

    From the outputs back: a unit counts if a unit that takes it with some weight counts and is
    not on a flat piece, beyond which nothing passes.
    """
    if not all(layer.is_dense for layer in layers):
        return pattern  # all of it, for all that is known
    counted = np.zeros_like(pattern)
    takes = np.asarray(layers[-1].takes.any(axis=0))
    needed = np.broadcast_to(takes, (len(pattern), takes.size))
    end = pattern.shape[1]
    for layer in reversed(layers[:-1]):
        begin = end - layer.width
        piece = pattern[:, begin:end]
        counted[:, begin:end] = np.where(needed, piece + 1, 0)
        passes = needed & (layer.slopes[np.arange(layer.width), piece] != 0)
        needed = passes.astype(np.float32) @ layer.takes.astype(np.float32) > 0
        end = begin
    return counted
