"""A partition as an ``.npz`` file: a schema name, a version, and its arrays.

Vertices are stored twice: rounded, as anyone can read them with `numpy.load`, and exactly, as the
bytes of the integers of their triples (two's complement, least significant byte first, as few
bytes as hold the number and its sign) one after the other, with offsets. Nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from math import gcd
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from polyregions.domain import Domain
from polyregions.errors import FormatError
from polyregions.exact import Triple
from polyregions.formats import arrays
from polyregions.formats.arrays import Arrays
from polyregions.network import ByteArray, FloatArray, IntArray

if TYPE_CHECKING:
    from polyregions.partition import Partition

SCHEMA = "polyregions.partition"
VERSION = 2

# What a file holds besides the schema, its version and the engine: dtype and shape of each array.
# A letter is a length that all arrays agree on.
_ARRAYS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "domain_xy": ("<f8", ("K", 2)),
    "vertex_xy": ("<f8", ("V", 2)),
    "vertex_bytes": ("|u1", ("B",)),
    "vertex_offsets": ("<i8", ("3V + 1",)),
    "vertex_error": ("<f8", ("V", 2)),
    "edge_vertices": ("<i4", ("E", 2)),
    "edge_faces": ("<i4", ("E", 2)),
    "edge_unit": ("<i4", ("E",)),
    "face_offsets": ("<i4", ("F + 1",)),
    "face_vertices": ("<i4", ("S",)),
    "face_pattern": ("|u1", ("F", "H")),
    "face_weight": ("<f8", ("F", "M", 2)),
    "face_bias": ("<f8", ("F", "M")),
    "face_weight_error": ("<f8", ("F", "M", 2)),
    "face_bias_error": ("<f8", ("F", "M")),
    "face_affine_piece": ("<i4", ("F",)),
    "unit_layer": ("<i4", ("H",)),
    "decision_count": ("<i8", ("D",)),
}
_TEXTS = ("schema", "engine", "decision_arithmetic")
_NAMES = {*_ARRAYS, *_TEXTS, "schema_version"}


def write(path: str | PathLike[str], part: Partition) -> None:
    """Write a partition to exactly `path`; equal partitions make equal bytes.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    data, offsets = _encode(part.vertex_exact)
    values: dict[str, Any] = {
        "domain_xy": part.domain.xy,
        "vertex_bytes": data,
        "vertex_offsets": offsets,
        "decision_count": list(part.decisions.values()),
    }
    contents: Arrays = {
        "schema": np.array(SCHEMA, dtype="<U"),
        "schema_version": np.array(VERSION, dtype="<i8"),
        "engine": np.array(part.engine, dtype="<U"),
        "decision_arithmetic": np.array(" ".join(part.decisions), dtype="<U"),
    }
    for name, (dtype, _) in _ARRAYS.items():
        contents[name] = np.asarray(values.get(name, getattr(part, name, None)), dtype=dtype)
    arrays.write(path, contents)


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a file that `write` made, and check that it is one complex without contradictions.

    The checks cover what is needed for every method of a partition to make sense: types, shapes,
    indices, finite numbers, exact vertices that round to the rounded ones, faces and edges that
    name each other. What the values should be (convex faces, their areas) is for
    `Partition.certificate` to say.

    Returns
    -------
    dict
        The arguments of `Partition`.

    Raises
    ------
    FormatError
        If the file is damaged, foreign or of a newer schema.
    OSError
        If the file cannot be read.
    """
    contents = arrays.read(path)
    where = fspath(path)
    _check_schema(contents, where)
    try:
        return _partition_arguments(contents)
    except FormatError as error:
        raise FormatError(f"{where} is damaged: {error}") from error


def is_partition(path: str | PathLike[str]) -> bool:
    """Whether a file says that it is a partition; looks at the names of its arrays only."""
    return "schema" in (arrays.names(path) or [])


def _check_schema(contents: Arrays, where: str) -> None:
    if "schema" not in contents:
        held = ", ".join(map(repr, list(contents)[:4])) or "nothing"
        raise FormatError(
            f"{where} is not a saved partition: it names no schema and holds {held}. "
            "Arrays of weights and biases are a model; give them to polyregions.partition"
        )
    if _text(contents, "schema") != SCHEMA:
        raise FormatError(f"{where} is of the schema {_text(contents, 'schema')!r}, not {SCHEMA!r}")
    version = contents.get("schema_version", np.empty(0))
    if version.shape != () or version.dtype.kind not in "iu" or version < 1:
        raise FormatError(f"{where} is damaged: schema_version is not a positive integer")
    if version > VERSION:
        raise FormatError(
            f"{where} was written by a newer polyregions (schema {version}), this one reads up to "
            f"{VERSION}; upgrade"
        )


def _text(contents: Arrays, name: str) -> str:
    array = contents[name]
    if array.shape != () or array.dtype.kind != "U":
        raise FormatError(f"{name} is not a text")
    try:
        return str(array)
    except ValueError as error:  # not Unicode
        raise FormatError(f"{name} is not a text") from error


def _partition_arguments(contents: Arrays) -> dict[str, Any]:
    _check_arrays(contents)
    domain = _domain(contents.pop("domain_xy"))
    vertex_exact = _decode(contents.pop("vertex_bytes"), contents.pop("vertex_offsets"))
    _check_vertices(contents["vertex_xy"], contents["vertex_error"], vertex_exact)
    _check_faces(contents)
    _check_edges(contents)
    arguments: dict[str, Any] = {name: contents[name] for name in _ARRAYS if name in contents}
    count = arguments.pop("decision_count").tolist()
    arithmetic = _text(contents, "decision_arithmetic").split()
    if min(count, default=0) < 0 or len(set(arithmetic)) != len(count):
        raise FormatError("decision_count does not count the decisions of each arithmetic")
    return {
        **arguments,
        "domain": domain,
        "vertex_exact": vertex_exact,
        "engine": _text(contents, "engine"),
        "decisions": dict(zip(arithmetic, count, strict=True)),
    }


def _check_arrays(contents: Arrays) -> None:
    """Names, dtypes and shapes, and that numbers are finite."""
    if missing := sorted(_NAMES - contents.keys()):
        raise FormatError(f"it lacks {', '.join(missing)}")
    if unknown := sorted(contents.keys() - _NAMES):
        raise FormatError(f"it holds {', '.join(map(repr, unknown))}, which is not of its schema")
    length: dict[str | int, int] = {}
    for name, (dtype, shape) in _ARRAYS.items():
        array = contents[name]
        if array.dtype != np.dtype(dtype):
            raise FormatError(f"{name} must be {np.dtype(dtype)}, it is {array.dtype}")
        if array.ndim != len(shape):
            raise FormatError(f"{name} must have {len(shape)} axes, it has {array.ndim}")
        for axis, size in zip(shape, array.shape, strict=True):
            if size != (axis if isinstance(axis, int) else length.setdefault(axis, size)):
                raise FormatError(
                    f"{name} has shape {array.shape}, which does not go with "
                    + ", ".join(f"{axis} = {n}" for axis, n in length.items())
                )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FormatError(f"{name} holds NaN or infinite values")
    if length["3V + 1"] != 3 * length["V"] + 1 or length["F + 1"] != length["F"] + 1:
        raise FormatError("vertex_offsets or face_offsets has the wrong length")
    if length["F"] == 0 or length["M"] == 0:
        raise FormatError("it holds no face, or no output")


def _domain(xy: FloatArray) -> Domain:
    try:
        domain = Domain(xy)
    except ValueError as error:
        raise FormatError(f"domain_xy is no domain: {error}") from error
    if not np.array_equal(domain.xy, xy):  # it turns clockwise rings and drops idle corners
        raise FormatError("domain_xy is not strictly convex and counter-clockwise")
    return domain


def _encode(triples: Sequence[Triple]) -> tuple[ByteArray, IntArray]:
    numbers = [n.to_bytes(_n_bytes(n), "little", signed=True) for triple in triples for n in triple]
    data = np.frombuffer(b"".join(numbers), dtype=np.uint8)
    return data, np.cumsum([0, *map(len, numbers)], dtype=np.int64)


def _n_bytes(n: int) -> int:
    """Number of bytes for an integer and its sign."""
    return n.bit_length() // 8 + 1


def _decode(data: ByteArray, offsets: IntArray) -> tuple[Triple, ...]:
    if offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) < 1).any():
        raise FormatError("vertex_offsets does not fit vertex_bytes")
    raw = data.tobytes()
    numbers = [
        int.from_bytes(raw[begin:end], "little", signed=True)
        for begin, end in pairwise(offsets.tolist())
    ]
    if any(_n_bytes(n) != size for n, size in zip(numbers, np.diff(offsets), strict=True)):
        raise FormatError("vertex_bytes holds a number with idle bytes")
    return tuple(_triples(numbers))


def _triples(numbers: list[int]) -> Iterator[Triple]:
    for x, y, w in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        if w <= 0 or gcd(x, y, w) != 1:
            raise FormatError("an exact vertex is not in lowest terms")
        yield x, y, w


def _check_vertices(xy: FloatArray, error: FloatArray, triples: tuple[Triple, ...]) -> None:
    if (error < 0).any():
        raise FormatError("vertex_error holds a negative bound")
    for v, ((x, y, w), row, bounds) in enumerate(
        zip(triples, xy.tolist(), error.tolist(), strict=True)
    ):
        for coordinate, bound, n in zip(row, bounds, (x, y), strict=True):
            if abs(Fraction(coordinate) - Fraction(n, w)) > Fraction(bound):
                raise FormatError(
                    f"vertex_xy[{v}] is farther from the exact vertex {v} than vertex_error says"
                )
    if len(set(triples)) != len(triples):
        raise FormatError("two vertices are equal")


def _check_faces(contents: Arrays) -> None:
    n_vertices, n_faces = len(contents["vertex_xy"]), len(contents["face_bias"])
    offsets, corners = contents["face_offsets"], contents["face_vertices"]
    if offsets[0] != 0 or offsets[-1] != len(corners) or (np.diff(offsets) < 3).any():
        raise FormatError("face_offsets does not fit face_vertices")
    _check_range("face_vertices", corners, 0, n_vertices)
    if len(np.unique(corners)) != n_vertices:
        raise FormatError("a vertex belongs to no face")

    layer = contents["unit_layer"]
    steps = np.diff(layer, prepend=0)
    if (layer[:1] != 0).any() or not np.isin(steps, (0, 1)).all():
        raise FormatError("unit_layer does not count layers from 0")

    piece = contents["face_affine_piece"]
    _check_range("face_affine_piece", piece, 0, n_faces)
    numbers, first, which = np.unique(piece, return_index=True, return_inverse=True)
    if numbers[-1] != len(numbers) - 1:
        raise FormatError("face_affine_piece leaves out a number")
    same = first[which]  # the first face that is said to have the same map
    for name in ("face_weight", "face_bias"):
        if not np.array_equal(contents[name], contents[name][same]):
            raise FormatError(f"face_affine_piece does not go with {name}")


def _check_edges(contents: Arrays) -> None:
    ends, faces, unit = contents["edge_vertices"], contents["edge_faces"], contents["edge_unit"]
    n_vertices, n_faces = len(contents["vertex_xy"]), len(contents["face_bias"])
    pattern = contents["face_pattern"]
    _check_range("edge_vertices", ends, 0, n_vertices)
    _check_range("edge_faces", faces, -1, n_faces)
    _check_range("edge_unit", unit, -1, pattern.shape[1])
    inner = faces[:, 1] >= 0
    if (faces[:, 0] < 0).any():
        raise FormatError("an edge has no face on its left")

    # Every side (a, b) of a face is an edge from a to b on its left, or from b to a on its right.
    offsets, start = contents["face_offsets"], contents["face_vertices"]
    end = np.roll(start, -1)
    end[offsets[1:] - 1] = start[offsets[:-1]]
    owner = np.repeat(np.arange(n_faces), np.diff(offsets))
    sides = np.stack([start, end, owner])
    left = np.stack([ends[:, 0], ends[:, 1], faces[:, 0]])
    right = np.stack([ends[inner, 1], ends[inner, 0], faces[inner, 1]])
    if not np.array_equal(_sorted_columns(sides), _sorted_columns(np.hstack([left, right]))):
        raise FormatError("edges and faces do not fit together")

    switches = pattern[faces[inner, 0]] != pattern[faces[inner, 1]]
    lowest = switches.argmax(axis=1) if switches.size else np.empty(0, dtype=np.int64)
    if (
        not switches.any(axis=1).all()
        or not np.array_equal(unit[inner], lowest)
        or (unit[~inner] != -1).any()
    ):
        raise FormatError("edge_unit does not go with face_pattern")


def _sorted_columns(columns: IntArray) -> NDArray[Any]:
    return columns[:, np.lexsort(columns)]


def _check_range(name: str, index: IntArray, low: int, high: int) -> None:
    if index.size and (index.min() < low or index.max() >= high):
        raise FormatError(f"{name} holds an index out of range")
