"""A partition as an ``.npz`` file: a schema name, a version, and its arrays.

Vertices are stored twice: rounded, as anyone can read them with `numpy.load`, and exactly. For
partitions of the compiled engine that is what made them, see `polyregions.formats.provenance`.
For all others it is the bytes of the integers of their triples (two's complement, least
significant byte first, as few bytes as hold the number and its sign) one after the other, with
offsets.

A file has the lowest version of the schema that knows all it holds, so that older readers open
what they can:

- 2: a partition without a slice, by a network that is a chain of affine steps, scales and
  activations, if it has its network at all;
- 3: one with a slice; it has the network's steps and what `polyregions.formats.slices` says;
- 4: one with any other network, or of the whole plane;
- 5: one of a domain that is not convex; it has the offsets of the domain's rings, and the convex
  faces that an engine starts with.

Activation patterns take one bit for each unit of a face, or more where units have more than two
pieces: plane p of `face_pattern_bits` holds bit p of every piece, eight units to a byte. With
ReLUs ``numpy.unpackbits(face_pattern_bits[0], axis=1, count=len(unit_layer))`` is `face_pattern`.
Nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import gcd
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from polyregions import cycles
from polyregions.domain import Domain, Plane
from polyregions.errors import FormatError
from polyregions.exact import Triple
from polyregions.formats import arrays, provenance, slices
from polyregions.formats.arrays import Arrays
from polyregions.network import ByteArray, FloatArray, IntArray
from polyregions.patterns import first_difference

if TYPE_CHECKING:
    from polyregions.partition import Partition

SCHEMA = "polyregions.partition"
VERSION = 5

# What a file holds besides the schema, its version and the engine: dtype and shape of each array.
# A letter is a length that all arrays agree on.
_ARRAYS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "domain_xy": ("<f8", ("K", 2)),
    "vertex_xy": ("<f8", ("V", 2)),
    "vertex_error": ("<f8", ("V", 2)),
    "edge_vertices": ("<i4", ("E", 2)),
    "edge_faces": ("<i4", ("E", 2)),
    "edge_unit": ("<i4", ("E",)),
    "face_offsets": ("<i4", ("F + 1",)),
    "face_vertices": ("<i4", ("S",)),
    "face_pattern_bits": ("|u1", ("P", "F", "Y")),
    "face_weight": ("<f8", ("F", "M", 2)),
    "face_bias": ("<f8", ("F", "M")),
    "face_weight_error": ("<f8", ("F", "M", 2)),
    "face_bias_error": ("<f8", ("F", "M")),
    "face_affine_piece": ("<i4", ("F",)),
    "unit_layer": ("<i4", ("H",)),
    "decision_count": ("<i8", ("D",)),
}
_TEXTS = ("schema", "engine", "decision_arithmetic")
# For the whole plane, too: half-widths of the boxes in which the engine started.
_PLANE: dict[str, tuple[str, tuple[str | int, ...]]] = {"plane_rings": ("<f8", ("R",))}
# For domains that are not convex: their rings, and convex faces between their distinct corners, by
# which the lines that vertices are on are numbered.
_POLYGON: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "domain_ring_offsets": ("<i4", ("Q + 1",)),
    "domain_face_offsets": ("<i4", ("J + 1",)),
    "domain_face_vertices": ("<i4", ("Z",)),
}
# The exact vertices, unless there is their provenance.
_INTEGERS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "vertex_bytes": ("|u1", ("B",)),
    "vertex_offsets": ("<i8", ("3V + 1",)),
}


def write(path: str | PathLike[str], part: Partition) -> None:
    """Write a partition to exactly `path`; equal partitions make equal bytes.

    Raises
    ------
    LimitError
        If the network is so large that its exact vertices could not be worked out again.
    OSError
        If the file cannot be written.
    """
    values: dict[str, Any] = {
        "domain_xy": part.domain.xy,
        "face_pattern_bits": _pack(part.face_pattern),
        "decision_count": list(part.decisions.values()),
    }
    contents: Arrays = {
        "schema": np.array(SCHEMA, dtype="<U"),
        "schema_version": np.array(0, dtype="<i8"),  # set when the rest is known
        "engine": np.array(part.engine, dtype="<U"),
        "decision_arithmetic": np.array(" ".join(part.decisions), dtype="<U"),
    }
    for name, (dtype, _) in _ARRAYS.items():
        contents[name] = np.asarray(values.get(name, getattr(part, name, None)), dtype=dtype)
    if isinstance(part.domain, Plane):
        contents["plane_rings"] = np.array(part.domain.rings, dtype="<f8")
    if not part.domain.is_convex:
        tiling = part.domain.tiling
        contents["domain_ring_offsets"] = part.domain.ring_offsets.astype("<i4")
        contents["domain_face_offsets"] = tiling.face_offsets.astype("<i4")
        contents["domain_face_vertices"] = tiling.face_vertices.astype("<i4")
    made = provenance.of(part)
    if made is None:
        data, offsets = _encode(part.vertex_exact)
        contents |= {"vertex_bytes": data, "vertex_offsets": offsets}
    else:
        contents |= provenance.encode(made)
    if part.slice is not None:
        assert part.network is not None
        network = part.slice.restrict(part.network)
        contents |= provenance.encode_network(network) | slices.encode(part)
    contents["schema_version"] = np.array(max(2, _lowest_version(contents)), dtype="<i8")
    arrays.write(path, contents)


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a file that `write` made, and check that it is one complex without contradictions.

    The checks cover what is needed for every method of a partition to make sense: types, shapes,
    indices, finite numbers, faces and edges that name each other, exact vertices as near to the
    rounded ones as is said. Of those that have to be worked out only a few are. What the values
    should be (convex faces, their areas) is for `Partition.certificate` to say.

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


def _lowest_version(contents: Arrays) -> int:
    """The first version that knows what a file holds."""
    if "domain_ring_offsets" in contents:
        return 5
    if provenance.has_sources(contents) or "plane_rings" in contents:
        return 4
    return 3 if slices.is_in(contents) else 1


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
    if version < _lowest_version(contents):
        raise FormatError(
            f"{where} is damaged: it says that it is of schema {version}, but holds what is new in "
            f"schema {_lowest_version(contents)}"
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
    if "domain_ring_offsets" in contents:
        domain = _polygon(contents.pop("domain_xy"), *(contents.pop(name) for name in _POLYGON))
    else:
        domain = _domain(contents.pop("domain_xy"), contents.pop("plane_rings", None))
    if (contents["vertex_error"] < 0).any():
        raise FormatError("vertex_error holds a negative bound")
    bits = contents.pop("face_pattern_bits")
    contents["face_pattern"] = _unpack(bits, len(contents["unit_layer"]))
    _check_faces(contents)
    _check_edges(contents, has_seams=not domain.is_convex)
    network = provenance.decode_network(contents) if "step_kind" in contents else None
    plane: dict[str, Any] = {}
    if slices.is_in(contents):
        assert network is not None  # the names of all arrays were checked
        plane = slices.decode(contents, network)
    vertex_exact: Sequence[Triple]
    if "vertex_bytes" in contents:
        vertex_exact = _decode(contents.pop("vertex_bytes"), contents.pop("vertex_offsets"))
        _check_vertices(contents["vertex_xy"], contents["vertex_error"], vertex_exact)
    else:
        assert network is not None
        vertex_exact = provenance.decode(contents, domain, network)
    arithmetic = _text(contents, "decision_arithmetic").split()
    engine = _text(contents, "engine")
    count = contents.pop("decision_count").tolist()
    for name in (*_TEXTS, "schema_version"):
        del contents[name]
    if min(count, default=0) < 0 or len(set(arithmetic)) != len(count):
        raise FormatError("decision_count does not count the decisions of each arithmetic")
    return {
        **contents,
        **plane,
        "domain": domain,
        "vertex_exact": vertex_exact,
        "engine": engine,
        "decisions": dict(zip(arithmetic, count, strict=True)),
    }


def _check_arrays(contents: Arrays) -> None:
    """Names, dtypes and shapes, and that numbers are finite."""
    schema = _ARRAYS | (_PLANE if "plane_rings" in contents else {})
    schema |= _POLYGON if "domain_ring_offsets" in contents else {}
    schema |= _INTEGERS if "vertex_bytes" in contents else provenance.ARRAYS
    texts: tuple[str, ...] = _TEXTS
    if is_sliced := slices.is_in(contents):
        schema = schema | slices.ARRAYS
        texts = (*texts, *slices.TEXTS)
    names = {*schema, *texts, "schema_version"}
    if is_sliced or "vertex_bytes" not in contents:
        names |= {*provenance.TEXTS, *provenance.step_arrays(contents)}
        if provenance.has_sources(contents):
            schema = schema | provenance.SOURCES
            names |= provenance.SOURCES.keys()
    if missing := sorted(names - contents.keys()):
        raise FormatError(f"it lacks {', '.join(missing)}")
    if unknown := sorted(contents.keys() - names):
        raise FormatError(f"it holds {', '.join(map(repr, unknown))}, which is not of its schema")
    length: dict[str | int, int] = {}
    for name, (dtype, shape) in schema.items():
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
    triples = 3 * length["V"] + 1
    if length.get("3V + 1", triples) != triples or length["F + 1"] != length["F"] + 1:
        raise FormatError("vertex_offsets or face_offsets has the wrong length")
    if length["F"] == 0 or length["M"] == 0:
        raise FormatError("it holds no face, or no output")


def _domain(xy: FloatArray, rings: FloatArray | None) -> Domain:
    try:
        domain = Domain(xy) if rings is None else Plane(float(xy.max()), rings.tolist())
    except ValueError as error:
        raise FormatError(f"domain_xy is no domain: {error}") from error
    if not np.array_equal(domain.xy, xy):  # it turns clockwise rings and drops idle corners
        raise FormatError("domain_xy is not strictly convex and counter-clockwise")
    return domain


def _polygon(
    xy: FloatArray, ring_offsets: IntArray, face_offsets: IntArray, face_vertices: IntArray
) -> Domain:
    from polyregions.polygon import PolygonDomain

    ends = face_offsets.tolist()
    if (
        len(ends) < 2
        or ends[0] != 0
        or ends[-1] != len(face_vertices)
        or any(b <= a for a, b in pairwise(ends))
    ):
        raise FormatError("domain_face_offsets does not fit domain_face_vertices")
    faces = [face_vertices[a:b].tolist() for a, b in pairwise(ends)]
    try:
        return PolygonDomain(xy, ring_offsets, faces=faces)
    except ValueError as error:
        raise FormatError(f"domain_xy is no domain: {error}") from error


def _pack(pattern: ByteArray) -> ByteArray:
    """Bits of all pieces, (P, F, Y) uint8, P being as many as the highest piece needs."""
    n_faces, n_units = pattern.shape
    n_planes = max(1, int(pattern.max(initial=0)).bit_length())
    bits = np.empty((n_planes, n_faces, (n_units + 7) // 8), dtype=np.uint8)
    for rows in _blocks(n_faces, n_units):
        for p in range(n_planes):
            bits[p, rows] = np.packbits(pattern[rows] >> p & 1, axis=1)
    return bits


def _unpack(bits: ByteArray, n_units: int) -> ByteArray:
    n_planes, n_faces, n_bytes = bits.shape
    if not 1 <= n_planes <= 8 or n_bytes != (n_units + 7) // 8:
        raise FormatError(f"face_pattern_bits has not the shape for {n_units} units")
    pattern = np.zeros((n_faces, n_units), dtype=np.uint8)
    for rows in _blocks(n_faces, n_units):
        for p in range(n_planes):
            pattern[rows] |= np.unpackbits(bits[p, rows], axis=1, count=n_units) << p
    if n_units % 8 and (bits[:, :, -1] & (0xFF >> n_units % 8)).any():
        raise FormatError("face_pattern_bits has bits of units that do not exist")
    if n_planes > 1 and not bits[-1].any():
        raise FormatError("face_pattern_bits has an idle plane")
    pattern.flags.writeable = False
    return pattern


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    """Rows of a table, some megabytes at a time."""
    step = max(1, (1 << 22) // max(width, 1))
    for begin in range(0, n_rows, step):
        yield slice(begin, begin + step)


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
    for v, (triple, row, bounds) in enumerate(
        zip(triples, xy.tolist(), error.tolist(), strict=True)
    ):
        if not provenance.is_within(triple, row, bounds):
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
    if (np.bincount(corners, minlength=n_vertices) == 0).any():
        raise FormatError("a vertex belongs to no face")

    layer = contents["unit_layer"]
    steps = np.diff(layer, prepend=0)
    if (layer[:1] != 0).any() or not np.isin(steps, (0, 1)).all():
        raise FormatError("unit_layer does not count layers from 0")

    piece = contents["face_affine_piece"]
    _check_range("face_affine_piece", piece, 0, n_faces)
    if (np.bincount(piece) == 0).any():
        raise FormatError("face_affine_piece leaves out a number")
    same = np.empty(n_faces, dtype=np.int64)
    same[piece[::-1]] = np.arange(n_faces)[::-1]
    same = same[piece]  # the first face that is said to have the same map
    for name in ("face_weight", "face_bias"):
        value, error = contents[name], contents[f"{name}_error"]
        if (error < 0).any():
            raise FormatError(f"{name}_error holds a negative bound")
        # Both are within their bounds of one exact map. The factor is for this arithmetic itself.
        with np.errstate(over="ignore", invalid="ignore"):
            apart = np.abs(value - value[same]) * (1 - 2.0**-50)
            if not (apart <= error + error[same]).all():
                raise FormatError(f"face_affine_piece does not go with {name}")


def _check_edges(contents: Arrays, *, has_seams: bool) -> None:
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
    start, end, owner = cycles.sides(contents["face_offsets"], contents["face_vertices"])
    sides = _sorted_sides(n_vertices, start, end, owner)
    begins = np.concatenate([ends[:, 0], ends[inner, 1]])
    ends_at = np.concatenate([ends[:, 1], ends[inner, 0]])
    beside = np.concatenate([faces[:, 0], faces[inner, 1]])
    on_edges = _sorted_sides(n_vertices, begins, ends_at, beside)
    if not all(map(np.array_equal, sides, on_edges)) or (np.diff(sides[0]) == 0).any():
        raise FormatError("edges and faces do not fit together")

    lowest = first_difference(pattern, *faces[inner].T)
    if has_seams:
        lowest[lowest == pattern.shape[1]] = -1
    if not np.array_equal(unit[inner], lowest) or (unit[~inner] != -1).any():
        raise FormatError("edge_unit does not go with face_pattern")


def _sorted_sides(
    n_vertices: int, start: IntArray, end: IntArray, face: IntArray
) -> tuple[IntArray, IntArray]:
    """Sides in the order of their two ends: a number for both, and their faces."""
    key = start.astype(np.int64) * n_vertices + end
    order = np.argsort(key)
    return key[order], face[order]


def _check_range(name: str, index: IntArray, low: int, high: int) -> None:
    if index.size and (index.min() < low or index.max() >= high):
        raise FormatError(f"{name} holds an index out of range")
