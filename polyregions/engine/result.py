"""From the last complex to the partition: patterns, labels, affine maps and their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyregions.domain import Domain
from polyregions.engine import kernels
from polyregions.engine.complex import INDEX, Complex
from polyregions.engine.deciding import sharpen
from polyregions.engine.exactly import ExactVertices, Provenance
from polyregions.engine.maps import Level, Maps, Window
from polyregions.engine.pieces import affine_pieces
from polyregions.engine.watch import Watch
from polyregions.exact import rounded
from polyregions.float64 import TINY, U
from polyregions.network import ByteArray, FloatArray, IntArray, Network
from polyregions.partition import Partition
from polyregions.patterns import first_difference

_FACES = 2048
_ITEMS = 1 << 16
_BLOCK = 1 << 19  # bytes of patterns that a thread makes at a time: they fit a cache


def finish(
    complex_: Complex,
    level: Level,
    network: Network,
    domain: Domain,
    made: Provenance,
    watch: Watch,
    faces: IntArray | None = None,
) -> Partition:
    """The partition that belongs to the last complex. `level` has the maps of the outputs.

    Both are of no use afterwards: the result is so large that what it is made from goes piece by
    piece, as soon as it has been used. If faces have been merged since the maps were made, `faces`
    are some that were merged to each.
    """
    with watch.stage("maps"):
        maps, group = output_maps(level, watch), level.group
        level.let_go()
        if faces is not None:
            maps = Maps(0, 0, maps.columns[faces], maps.eab, maps.ec)
            group = group[faces]
    with watch.stage("coordinates"):
        sharpen(complex_.vertices, 0, level.window, made, watch.run)
    with watch.stage("labels"):
        pattern = _patterns(complex_.n_faces, network.n_units, made, watch)
        made.finish(pattern)
        edge_unit = _edge_units(complex_, pattern, made, watch)
        (face_vertices,) = complex_.hand_over("half_edges")
        watch.call(len(face_vertices), _ITEMS, kernels.cycle_vertices, face_vertices, complex_.ev)
        vertex_xy = _pairs(watch, *complex_.hand_over("vx", "vy"))
        vertex_error = _pairs(watch, *complex_.hand_over("dx", "dy"))
    with watch.stage("affine pieces"):
        face_affine_piece = affine_pieces(maps, group, pattern, level.window, made, watch)
        weight, bias, weight_error, bias_error = _coefficients(
            maps, group, level.window, made, watch
        )
    return Partition(
        domain=domain,
        vertex_xy=_frozen(vertex_xy),
        vertex_error=_frozen(vertex_error),
        vertex_exact=ExactVertices(made),
        edge_vertices=_frozen(complex_.ev),
        edge_faces=_frozen(complex_.ef),
        edge_unit=_frozen(edge_unit),
        face_offsets=_frozen(complex_.face_start),
        face_vertices=_frozen(face_vertices),
        face_pattern=_frozen(pattern),
        face_weight=_frozen(weight),
        face_bias=_frozen(bias),
        face_weight_error=_frozen(weight_error),
        face_bias_error=_frozen(bias_error),
        face_affine_piece=_frozen(face_affine_piece),
        unit_layer=network.unit_layer,
        engine="exact",
        decisions={
            "float64": watch.tally.float64,
            "double-double": watch.tally.double_double,
            "integer": watch.tally.integer,
        },
        seconds=watch.seconds,
    )


def output_maps(level: Level, watch: Watch) -> Maps:
    """The maps of the outputs on all faces."""
    if level.is_given:
        return level.maps(0, 1)

    def work(begin: int, end: int) -> None:
        level.work_out(begin, end, level.parent_maps(begin, end))

    watch.run(level.n_items, work, _FACES)
    return level.maps(0, level.n_faces)


def _patterns(n_faces: int, n_units: int, made: Provenance, watch: Watch) -> ByteArray:
    pattern = np.empty((n_faces, n_units), dtype=np.uint8)

    def work(begin: int, end: int) -> None:
        ancestor = np.arange(begin, end, dtype=INDEX)
        offset = n_units
        for parents, pieces in zip(reversed(made.parents), reversed(made.pieces), strict=True):
            offset -= pieces.shape[1]
            kernels.gather_patterns(offset, pieces, ancestor, pattern[begin:end])
            ancestor = parents[ancestor]

    watch.run(n_faces, work, max(1, _BLOCK // max(1, n_units)))
    return pattern


def _pairs(watch: Watch, x: FloatArray, y: FloatArray) -> FloatArray:
    pairs = np.empty((len(x), 2))

    def work(begin: int, end: int) -> None:
        pairs[begin:end, 0] = x[begin:end]
        pairs[begin:end, 1] = y[begin:end]

    watch.run(len(x), work, _ITEMS)
    return pairs


def _edge_units(complex_: Complex, pattern: ByteArray, made: Provenance, watch: Watch) -> IntArray:
    """The lowest unit that switches across each edge; -1 if none does.

    Units are in the order of their lines, so the line that made an edge is that of the lowest
    unit that switches there, or of one whose line is a multiple of it and which comes after.
    Lines on which their own unit need not switch tell nothing.
    """
    cut_unit = [np.full(made.n_sides, -1, dtype=INDEX)]
    offset = 0
    for layer, number in zip(made.layers, made.line_number, strict=False):
        cut_unit.append((offset + layer.line_unit[number]).astype(INDEX))
        offset += layer.n_units
    unit_of = np.concatenate(cut_unit)
    (edge_unit,) = complex_.hand_over("edge_line")

    def work(begin: int, end: int) -> None:
        edge_unit[begin:end] = unit_of[edge_unit[begin:end]]

    watch.run(len(edge_unit), work, _ITEMS)
    if any(layer.has_false_lines for layer in made.layers):
        is_doubtful = np.repeat(
            [layer.has_false_lines for layer in made.layers],
            [layer.n_units for layer in made.layers],
        )
        edges = np.flatnonzero(edge_unit >= 0)
        edges = edges[is_doubtful[edge_unit[edges]]]
        edge_unit[edges] = first_difference(pattern, *complex_.ef[edges].T)
    # Seams that were left, for a unit switches there, or for a face must be convex.
    seams = np.flatnonzero((edge_unit < 0) & (complex_.ef[:, 1] >= 0))
    unit = first_difference(pattern, *complex_.ef[seams].T)
    edge_unit[seams] = np.where(unit < pattern.shape[1], unit, -1)
    return edge_unit


def _coefficients(
    maps: Maps, group: IntArray, window: Window, made: Provenance, watch: Watch
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Weights and biases, and bounds on their errors."""
    columns = maps.columns
    n_faces, _, n_outputs = columns.shape
    weight, weight_error = np.empty((2, n_faces, n_outputs, 2))
    bias, bias_error = np.empty((2, n_faces, n_outputs))
    bad = np.empty(n_faces, dtype=np.bool_)
    watch.call(
        n_faces, _FACES, kernels.coefficients, columns, maps.eab, maps.ec, group, window.x,
        window.y, weight, bias, weight_error, bias_error, bad,
    )  # fmt: skip
    # Where float64 overflowed on the way, the coefficients themselves may still fit.
    for f in np.flatnonzero(bad).tolist():
        *rows, scale = made.affine_map(len(made.layers) - 1, f).tolist()
        for i, row in enumerate(rows):
            exact = [rounded(int(v), int(scale[2])) for v in row]
            error = np.abs(exact) * (2 * U) + TINY
            weight[f, i], bias[f, i] = exact[:2], exact[2]
            weight_error[f, i], bias_error[f, i] = error[:2], error[2]
    return weight, bias, weight_error, bias_error


def _frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # A partition copies what it is not alone to hold, unless it is read-only.
    array.flags.writeable = False
    return array
