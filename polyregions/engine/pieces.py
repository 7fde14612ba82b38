"""Which faces have the same affine map, decided exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from polyregions.engine import kernels
from polyregions.network import ByteArray, FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.engine.exactly import Provenance
    from polyregions.engine.layers import Layer
    from polyregions.engine.maps import Maps, Window
    from polyregions.engine.watch import Watch

# Maps are first told apart by their values at one point, in so large a share of the window: far
# from where maps are likely to meet, on axes, diagonals and in corners.
_POINT = 0.6180339887498949, 0.4142135623730951
_BUCKET = 1 << 14  # faces that are sorted together: so many fit a cache
_SAMPLE = 32  # faces looked at for each bucket, to make them about equal
_FACES, _CHUNK, _RUNS = 2048, 1 << 16, 256
_VALUES = 1 << 20  # of one step that are followed back together

BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


def affine_pieces(
    maps: Maps, group: IntArray, pattern: ByteArray, window: Window, made: Provenance, watch: Watch
) -> IntArray:
    """(F,) int32: number of every face's affine map, in the order of their first faces.

    Maps whose intervals of the value at a point, or of some coefficient, do not overlap differ,
    and faces on which all units that reach the outputs are on the same pieces have the same map.
    What is left is compared in integers.
    """
    piece = np.arange(len(maps.columns), dtype=np.int32)  # the first face with the same map
    crowd, run_start = _overlapping(_intervals(maps, group, window, watch), watch)
    if not len(crowd):
        return piece
    label = np.empty(len(crowd), dtype=np.int32)
    watch.call(
        len(run_start) - 1, _RUNS, kernels.split_runs, run_start, crowd, maps.columns, maps.eab,
        maps.ec, group, window.x, window.y, label,
    )  # fmt: skip
    crowd, label = crowd[label >= 0], label[label >= 0]
    if not len(crowd):
        return piece
    by_face = np.argsort(crowd)
    crowd, label = crowd[by_face], label[by_face]
    # Runs of which every map is exact consist of equal numbers: intervals without width.
    is_exact = (maps.eab[group[crowd]] == 0).all(axis=1) & (maps.ec[group[crowd]] == 0).all(axis=1)
    is_vague = np.zeros(label.max() + 1, dtype=np.bool_)
    is_vague[label[~is_exact]] = True
    vague = is_vague[label]
    first = np.empty(len(is_vague), dtype=np.int32)
    first[label[::-1]] = crowd[::-1]
    piece[crowd[~vague]] = first[label[~vague]]
    if vague.any():
        _compare(piece, crowd[vague], label[vague], is_exact[vague], maps.columns, pattern, made)
    kernels.number_by_first(piece)
    return piece


def _intervals(maps: Maps, group: IntArray, window: Window, watch: Watch) -> FloatArray:
    """(F, 2): between which numbers every map's value at one point lies."""
    columns = maps.columns
    n_faces, _, n_outputs = columns.shape
    # Outputs count differently, so that two that change places are not taken for the same.
    share = 0.5 + np.arange(n_outputs) * _POINT[0] % 1 / 2
    ends = np.empty((n_faces, 2))
    watch.call(
        n_faces, _FACES, kernels.pin_down, columns, maps.eab, maps.ec, group,
        window.x * _POINT[0], window.y * _POINT[1], share, ends,
    )  # fmt: skip
    return ends


def _overlapping(ends: FloatArray, watch: Watch) -> tuple[IntArray, IntArray]:
    """Runs of faces whose intervals overlap, or are linked by others that do.

    Returns (n,) faces run by run, without those that overlap no other, and (runs + 1,) where runs
    start. Faces are sorted bucket by bucket; a run may go on through many buckets.
    """
    start, order = _buckets(ends, watch)
    n_buckets = len(start) - 1
    lowest, highest = np.full((2, n_buckets), np.inf)
    highest *= -1

    def sort(begin: int, end: int) -> None:
        for k in range(begin, end):
            mine = order[start[k] : start[k + 1]]
            if len(mine):
                here = ends[mine]
                by_lower_end = np.argsort(here[:, 0])
                mine[:] = mine[by_lower_end]
                lowest[k], highest[k] = here[by_lower_end[0], 0], here[:, 1].max()

    watch.run(n_buckets, sort, 1)
    reach_before = np.concatenate([[-np.inf], np.maximum.accumulate(highest)[:-1]])
    low_behind = np.concatenate([np.minimum.accumulate(lowest[:0:-1])[::-1], [np.inf]])
    n_left = np.empty(n_buckets, dtype=np.int64)
    watch.call(
        n_buckets, 1, kernels.find_runs, start, order, ends, reach_before, low_behind, n_left
    )
    crowd = np.concatenate([order[s : s + n] for s, n in zip(start[:-1], n_left, strict=True)])
    begins = np.flatnonzero(crowd < 0)
    crowd[begins] = ~crowd[begins]
    return crowd, np.append(begins, len(crowd))


def _buckets(ends: FloatArray, watch: Watch) -> tuple[IntArray, IntArray]:
    """Faces in buckets by the lower ends of their intervals: where buckets start, and the faces."""
    n_faces = len(ends)
    n_buckets = 1 << (n_faces // _BUCKET).bit_length()
    if n_buckets == 1:
        return np.array([0, n_faces]), np.arange(n_faces, dtype=np.int32)
    sample = np.sort(ends[:: max(1, n_faces // (_SAMPLE * n_buckets)), 0])
    borders = sample[np.arange(1, n_buckets) * len(sample) // n_buckets]
    n_chunks = -(-n_faces // _CHUNK)
    bucket = np.empty(n_faces, dtype=np.int32)
    count = np.zeros((n_chunks, n_buckets), dtype=np.int64)
    watch.call(n_faces, _CHUNK, kernels.count_buckets, ends, borders, _CHUNK, bucket, count)
    # Bucket by bucket, and in each chunk by chunk.
    place = np.cumsum(count.T).reshape(n_buckets, n_chunks).T - count
    start = np.append(place[0], n_faces)
    order = np.empty(n_faces, dtype=np.int32)
    watch.call(n_faces, _CHUNK, kernels.fill_buckets, _CHUNK, bucket, place, order)
    return start, order


def _compare(
    piece: IntArray,
    crowd: IntArray,
    label: IntArray,
    is_exact: np.ndarray[tuple[int], np.dtype[np.bool_]],
    columns: FloatArray,
    pattern: ByteArray,
    made: Provenance,
) -> None:
    """Find the first face with the same map among those of one label, for a crowd in order."""
    what_counts = _what_counts(pattern[crowd], made.layers)
    leader: dict[tuple[int, bytes], int] = {}
    for f, mine, row in zip(crowd.tolist(), label.tolist(), what_counts, strict=True):
        piece[f] = leader.setdefault((mine, row.tobytes()), f)
    is_leader = piece[crowd] == crowd
    # A leader with nobody left to be compared with keeps its map for itself.
    rivals = np.bincount(label[is_leader])
    compared = is_leader & (rivals[label] > 1)
    seen: dict[tuple[int, tuple[int, ...]], int] = {}
    named: dict[tuple[int, bytes], int] = {}  # exact maps by their floats, + 0.0 to unsign zeros
    level = len(made.layers) - 1
    for f, mine, exactly in zip(
        crowd[compared].tolist(), label[compared].tolist(), is_exact[compared].tolist(), strict=True
    ):
        key = (mine, (columns[f] + 0.0).tobytes())
        if exactly and key in named:
            piece[f] = named[key]
            continue
        entries = tuple(int(v) for v in made.affine_map(level, f).entries())
        piece[f] = seen.setdefault((mine, entries), f)
        if exactly:
            named[key] = int(piece[f])
    piece[crowd] = piece[piece[crowd]]


def _what_counts(pattern: ByteArray, layers: Sequence[Layer]) -> ByteArray:
    """Patterns with 0 for the units that do not reach an output, and pieces plus one for others.

    From the outputs back: a unit counts if a unit that takes it with some weight counts and is
    not on a flat piece, beyond which nothing passes.
    """
    counted = np.zeros_like(pattern)
    widest = max(max(layer.segment.widths, default=0) for layer in layers)
    most = max(1, _VALUES // max(1, widest))
    for begin in range(0, len(pattern), most):
        some = slice(begin, begin + most)
        _count_units(pattern[some], layers, counted[some])
    return counted


def _count_units(pattern: ByteArray, layers: Sequence[Layer], counted: ByteArray) -> None:
    """Fill in `_what_counts` for some faces."""
    passes = np.ones((len(pattern), layers[-1].width), dtype=np.bool_)
    end = pattern.shape[1]
    for behind, layer in zip(reversed(layers[1:]), reversed(layers[:-1]), strict=True):
        needed = _taken(behind, passes)
        switching = layer.switching
        assert switching is not None
        begin = end - layer.n_units
        pieces = pattern[:, begin:end]
        counts = switching.units_of(needed)
        counted[:, begin:end] = np.where(counts, pieces + 1, 0)
        slopes = layer.slopes[np.arange(layer.width), switching.state_pieces(pieces)]
        passes = needed & (slopes != 0)
        end = begin


def _taken(layer: Layer, wanted: BoolArray) -> BoolArray:
    """(F, m) which values of the state before a segment some wanted ones behind it depend on."""
    if layer.is_dense:
        taken: BoolArray = wanted.astype(np.float32) @ layer.takes.astype(np.float32) > 0
        return taken
    segment = layer.segment
    needed = [np.zeros((len(wanted), width), dtype=np.bool_) for width in segment.widths]
    _spread(wanted, segment.outputs, needed)
    n_blocks = len(segment.blocks)
    with np.errstate(over="ignore"):  # what overflows is not zero
        for k in reversed(range(len(segment.steps))):
            step, sources = segment.steps[k]
            some = needed[n_blocks + k]
            if some.any():
                # Sums of what is not negative, and not zero if a term is not.
                _spread(step.adjoint_magnitude(some.astype(np.float64)) > 0, sources, needed)
    return np.concatenate([np.empty((len(wanted), 0), dtype=np.bool_), *needed[:n_blocks]], axis=1)


def _spread(wanted: BoolArray, sources: Sequence[int], needed: list[BoolArray]) -> None:
    """Note which of some joined values are wanted."""
    ends = np.cumsum([needed[v].shape[1] for v in sources])[:-1]
    for v, part in zip(sources, np.split(wanted, ends, axis=1), strict=True):
        needed[v] |= part
