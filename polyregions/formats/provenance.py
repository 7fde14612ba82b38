"""What made the vertices of a compiled partition, as arrays.

The exact vertices of a wide network are integers of hundreds of digits, a hundred thousand of
which take hours to work out. A file holds instead what they follow from: the network, step by
step, and the two lines that meet in each vertex. A line is a side of the domain, or a *cut*, the
line of one unit in one face as it was before the unit's layer.

The lines of a layer are numbered unit by unit: those of an activation by its breakpoints, those of
a maximum by the pairs of its members, (0, 1), (0, 2), ..., (1, 2), .... A pair of members may cut a
face where neither of them is the largest; such a cut need not be an edge, but lines that meet in a
vertex may be of that kind.

A chain of affine steps, scales and activations is *plain*. For any other network a file also says
which values each step takes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from polyregions.domain import Domain
from polyregions.errors import FormatError, LimitError
from polyregions.exact import Triple
from polyregions.formats.arrays import Arrays
from polyregions.network import (
    Activation,
    Affine,
    ByteArray,
    Convolution,
    FloatArray,
    Gather,
    IntArray,
    Maximum,
    Network,
    Scale,
    Step,
    Sum,
    Units,
)
from polyregions.patterns import first_difference

if TYPE_CHECKING:
    from polyregions.engine.exactly import ExactVertices, Provenance
    from polyregions.engine.layers import Layer
    from polyregions.partition import Partition

# Besides the arrays of the network's steps, which are named step_<number>_<array>. L counts the
# activation layers, G the faces before each of them, all together, and C the cuts.
ARRAYS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "vertex_lines": ("<i4", ("V", 2)),
    "layer_face_start": ("<i4", ("G",)),
    "layer_face_offsets": ("<i4", ("L + 1",)),
    "cut_face": ("<i4", ("C",)),
    "cut_line": ("<i4", ("C",)),
    "cut_offsets": ("<i4", ("L + 1",)),
}
TEXTS = ("step_kind", "step_name")
# Of networks that are not plain: the values that all steps take, and where those of each begin.
SOURCES: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "step_sources": ("<i4", ("Z",)),
    "step_source_offsets": ("<i4", ("T",)),
}

# Of each kind of step the arrays: dtype and number of axes, None where any number will do.
_STEPS: dict[str, tuple[Callable[..., Step], dict[str, tuple[str, int | None]]]] = {
    "affine": (Affine, {"weight": ("<f8", 2), "bias": ("<f8", 1)}),
    "scale": (Scale, {"scale": ("<f8", 1), "shift": ("<f8", 1), "shift_magnitude": ("<f8", 1)}),
    "activation": (
        Activation,
        {"breakpoints": ("<f8", 2), "slopes": ("<f8", 2), "intercepts": ("<f8", 2)},
    ),
    "gather": (Gather, {"index": ("<i8", 1), "width": ("<i8", 0), "fill": ("<f8", 1)}),
    "sum": (Sum, {"coefficients": ("<f8", 1), "width": ("<i8", 0)}),
    "convolution": (
        Convolution,
        {
            "weight": ("<f8", None),
            "bias": ("<f8", 1),
            "shape": ("<i8", 1),
            "stride": ("<i8", 1),
            "padding": ("<i8", 2),
            "dilation": ("<i8", 1),
            "groups": ("<i8", 0),
        },
    ),
    "maximum": (Maximum, {"members": ("<i8", 2), "width": ("<i8", 0)}),
}
_PLAIN = (Affine, Scale, Activation)

# The engine makes one matrix of affine steps and scales in a row. So many entries may it have, and
# those that it is the product of.
_LARGEST_MATRIX = 1 << 28

# Small arrays can describe steps of any width. So many values may come before and behind all steps
# together, including what the engine makes of them, and so many products may a convolution be of:
# both are some gigabytes while an exact vertex is worked out.
_MOST_VALUES, _MOST_PRODUCTS = 1 << 26, 1 << 27

# So many vertices are worked out when a file is read, spread over all of them.
_N_CHECKED = 6


def of(part: Partition) -> Provenance | None:
    """What made the vertices of `part`, if its exact vertices are worked out from that."""
    # Without the module there is no such object, and it need not be imported to find out.
    module = sys.modules.get("polyregions.engine.exactly")
    vertices = part.vertex_exact
    if module is None or not isinstance(vertices, module.ExactVertices):
        return None
    made = vertices.provenance
    pattern = made.face_pattern
    # Somebody may have put together a partition from parts of others.
    fits = (
        pattern is not None
        and _is_of_the_slice(made, part)
        and made.domain.xy.tobytes() == part.domain.xy.tobytes()
        and np.array_equal(made.domain.tiling.edge_vertices, part.domain.tiling.edge_vertices)
        and (pattern is part.face_pattern or np.array_equal(pattern, part.face_pattern))
    )
    return made if fits else None


def _is_of_the_slice(made: Provenance, part: Partition) -> bool:
    """Whether the network that was partitioned is that of the partition on its slice, if any."""
    if part.slice is None or part.network is None:
        return True
    networks = made.network, part.slice.restrict(part.network)
    ours, theirs = map(encode_network, networks)
    return ours.keys() == theirs.keys() and all(
        np.array_equal(ours[name], theirs[name]) for name in ours
    )


# -- writing -----------------------------------------------------------------------------------


def encode(made: Provenance) -> Arrays:
    """Arrays from which `decode` makes the same exact vertices."""
    contents = encode_network(made.network)
    lines = [_line_number(layer)[n] for layer, n in _by_layer(made)]
    arrays = {
        "vertex_lines": made.vertex_lines,
        "layer_face_start": _joined(made.face_start),
        "layer_face_offsets": _offsets(made.face_start),
        "cut_face": _joined(made.line_face),
        "cut_line": _joined(lines),
        "cut_offsets": _offsets(lines),
    }
    for name, (dtype, _) in ARRAYS.items():
        contents[name] = np.asarray(arrays[name], dtype=dtype)
    return contents


def encode_network(network: Network) -> Arrays:
    """Arrays from which `decode_network` makes the same network.

    Raises
    ------
    LimitError
        If the network is so large that `decode_network` would refuse it.
    """
    if problem := _excess(network):
        raise LimitError(
            f"the partition cannot be saved with its exact vertices or its slice: {problem}"
        )
    steps = network.steps
    contents: Arrays = {
        "step_kind": np.array(" ".join(_kind(step) for step in steps), dtype="<U"),
        "step_name": np.array([step.name for step in steps], dtype="<U"),
    }
    for i, step in enumerate(steps):
        for name, (dtype, _) in _STEPS[_kind(step)][1].items():
            array = np.asarray(getattr(step, name), dtype=dtype)
            # The padding of no axis at all has lost its second axis.
            contents[f"step_{i}_{name}"] = array.reshape(-1, 2) if name == "padding" else array
    if not _is_plain(network):
        assert network.sources is not None
        taken = [np.array(sources, dtype=np.int32) for sources in network.sources]
        contents |= {"step_sources": _joined(taken), "step_source_offsets": _offsets(taken)}
    return contents


def _kind(step: Step) -> str:
    return next(kind for kind, (cls, _) in _STEPS.items() if type(step) is cls)


def _is_plain(network: Network) -> bool:
    return network.is_chain and all(isinstance(step, _PLAIN) for step in network.steps)


def _by_layer(made: Provenance) -> list[tuple[Layer, IntArray]]:
    return list(zip(made.layers, made.line_number, strict=False))


def _line_number(layer: Layer) -> IntArray:
    """The place of every line of the engine's layer among all that its units can have.

    The engine leaves out lines that are multiples of others. Which these are is its own affair
    and must not matter for a file.
    """
    assert layer.switching is not None
    value, breakpoint_ = layer.switching.line_value, layer.switching.line_breakpoint
    if layer.n_lines == len(value):
        return np.arange(len(value), dtype=np.int32)  # none is left out
    all_pairs = zip(value.tolist(), breakpoint_.tolist(), strict=True)
    number = {pair: i for i, pair in enumerate(all_pairs)}
    pairs = zip(layer.line_value.tolist(), layer.line_breakpoint.tolist(), strict=True)
    return np.array([number[pair] for pair in pairs], dtype=np.int32)


def _joined(arrays: Sequence[IntArray]) -> IntArray:
    return np.concatenate([np.empty(0, dtype=np.int32), *arrays])


def _offsets(arrays: Sequence[IntArray]) -> IntArray:
    return np.cumsum([0, *map(len, arrays)], dtype=np.int32)


def has_sources(contents: Arrays) -> bool:
    """Whether a file is of a network that is not plain."""
    return not contents.keys().isdisjoint(SOURCES)


def step_arrays(contents: Arrays) -> set[str]:
    """Names of the arrays that the steps named in a file should have."""
    return {
        f"step_{i}_{name}"
        for i, kind in enumerate(_kinds(contents))
        for name in _STEPS.get(kind, (None, {}))[1]
    }


# -- reading -----------------------------------------------------------------------------------


def decode(contents: Arrays, domain: Domain, network: Network) -> ExactVertices:
    """Make the exact vertices from what `encode` wrote, and from the arrays of the partition.

    Takes its arrays out of `contents`. What can be checked cheaply is: shapes and ranges, the
    order of faces and cuts, that faces which were one before a layer share the pieces of all
    layers before it, that a vertex is a corner of a face in which its lines are, and a few
    vertices exactly.

    Raises
    ------
    FormatError
        If anything contradicts another.
    """
    arrays = {name: contents.pop(name) for name in ARRAYS}
    depth = len(network.activations)
    starts = _split("layer_face", arrays["layer_face_start"], arrays["layer_face_offsets"], depth)
    faces = _split("cut", arrays["cut_face"], arrays["cut_offsets"], depth)
    lines = _split("cut", arrays["cut_line"], arrays["cut_offsets"], depth)
    _check_faces(starts, contents["face_pattern"], network, domain.n_components)
    layers = _layers(network)
    for face, line, start, layer in zip(faces, lines, starts, layers[:-1], strict=True):
        _check_cuts(face, line, len(start), layer.n_lines)
    n_lines = len(domain.tiling.edge_vertices)
    _check_lines(arrays["vertex_lines"], n_lines, starts, faces, contents)

    from polyregions.engine.exactly import ExactVertices, Provenance

    made = Provenance(
        network,
        layers,
        domain,
        arrays["vertex_lines"],
        faces,
        lines,
        starts,
        contents["face_pattern"],
    )
    vertices = ExactVertices(made)
    _check_some(vertices, contents["vertex_xy"], contents["vertex_error"])
    return vertices


def _kinds(contents: Arrays) -> list[str]:
    text = contents.get("step_kind", np.empty(0))
    try:
        if text.shape == () and text.dtype.kind == "U":
            return str(text).split()
    except ValueError:  # not Unicode
        pass
    raise FormatError("step_kind is not a text, or missing")


def decode_network(contents: Arrays) -> Network:
    """Take what `encode_network` wrote out of the `contents` of a partition's file.

    Raises
    ------
    FormatError
        If it is no network with 2 inputs and the partition's units and outputs.
    """
    network = _network(contents)
    _check_network(network, contents)
    return network


def _network(contents: Arrays) -> Network:
    kinds = _kinds(contents)
    del contents["step_kind"]
    names = contents.pop("step_name")
    if names.shape != (len(kinds),) or names.dtype.kind != "U":
        raise FormatError("step_name does not name every step")
    says_sources = has_sources(contents)
    sources = _sources(contents, len(kinds)) if says_sources else None
    try:
        steps = [
            _step(contents, i, kind, str(name))
            for i, (kind, name) in enumerate(zip(kinds, names.tolist(), strict=True))
        ]
        network = Network(tuple(steps), 2, sources=sources)
    except (ValueError, TypeError) as error:
        raise FormatError(f"its network makes no sense: {error}") from error
    if _is_plain(network) == says_sources:
        raise FormatError("step_sources goes with networks that are not plain, and with no others")
    if problem := _excess(network):
        raise FormatError(problem)
    return network


def _sources(contents: Arrays, n_steps: int) -> tuple[tuple[int, ...], ...]:
    taken, offsets = contents.pop("step_sources"), contents.pop("step_source_offsets")
    parts = _split("step_source", taken, offsets, n_steps)
    return tuple(tuple(part.tolist()) for part in parts)


def _step(contents: Arrays, i: int, kind: str, name: str) -> Step:
    if kind not in _STEPS:
        raise FormatError(f"step {i} is of the unknown kind {kind!r}")
    make, schema = _STEPS[kind]
    arguments: dict[str, Any] = {}
    for what, (dtype, n_axes) in schema.items():
        array = contents.pop(f"step_{i}_{what}", None)
        if (
            array is None
            or array.dtype != np.dtype(dtype)
            or (n_axes is not None and array.ndim != n_axes)
        ):
            axes = "any number of" if n_axes is None else n_axes
            raise FormatError(
                f"step_{i}_{what} is not an array of {axes} axes of {np.dtype(dtype)}"
            )
        # A single integer is a number for the constructors.
        arguments[what] = int(array) if n_axes == 0 else array
    if make is Activation:
        if (arguments["breakpoints"] == -np.inf).any():
            raise FormatError(f"step_{i}_breakpoints holds -inf")
        if all(_is_one_row(array) for array in arguments.values()):
            arguments = {k: np.broadcast_to(a[0], a.shape) for k, a in arguments.items()}
    elif make is Convolution:
        _check_axes(arguments, i)
    return make(**arguments, name=name)


def _check_axes(arguments: dict[str, Any], i: int) -> None:
    """Make tuples of what is said of the axes of a convolution."""
    if arguments["padding"].shape[1] != 2:
        raise FormatError(f"step_{i}_padding has not two numbers for each axis")
    if (arguments["shape"] < 0).any():
        raise FormatError(f"step_{i}_shape holds a negative length")
    for what in ("shape", "stride", "dilation"):
        arguments[what] = tuple(arguments[what].tolist())
    arguments["padding"] = tuple(map(tuple, arguments["padding"].tolist()))


def _excess(network: Network) -> str | None:
    """What is too large of a network to be worked with, in words, if anything is."""
    for i, step in enumerate(network.steps):
        if isinstance(step, Convolution):
            n_products = step.n_outputs * prod(step.weight.shape[1:])
            if n_products > _MOST_PRODUCTS:
                return f"step {i} convolves by {n_products:,} products, above {_MOST_PRODUCTS:,}"
    # The arrays of a plain network are as large as all its values.
    n_values = 0 if _is_plain(network) else _n_values(network)
    if n_values > _MOST_VALUES:
        return f"its network has {n_values:,} values, above {_MOST_VALUES:,}"
    n_entries = _n_entries(network)
    if n_entries > _LARGEST_MATRIX:
        return f"its network makes a matrix of {n_entries:,} entries, above {_LARGEST_MATRIX:,}"
    return None


def _n_entries(network: Network) -> int:
    """The size of the largest matrix that the engine makes of steps which are none."""
    from polyregions.engine.segments import cut

    segments, switchings = cut(network)
    largest = 0
    for segment, switching in zip(segments, [*switchings, None], strict=True):
        steps, n = segment.chain, segment.n_inputs
        if steps is None or not all(isinstance(step, Affine | Scale) for step in steps):
            break  # this layer is none, and none behind it is
        sizes = [step.n_outputs * n for step in steps[1:]] if steps else [n * n]
        sizes += [step.n_outputs**2 for step in steps if isinstance(step, Scale)]
        largest = max([largest, *sizes])
        if switching is not None and switching.has_false_lines:
            break
    return largest


def _n_values(network: Network) -> int:
    """How many values the steps take and give, with what the engine holds at activation layers."""
    assert network.sources is not None
    widths = [network.n_inputs, *(step.n_outputs for step in network.steps)]
    last_use = {v: i for i, sources in enumerate(network.sources) for v in sources}
    total = 0
    carried = {0: widths[0]}
    for i, step in enumerate(network.steps):
        total += step.n_inputs + step.n_outputs
        carried = {v: n for v, n in carried.items() if last_use.get(v, -1) > i}
        if isinstance(step, Activation):
            total += (step.n_inputs + sum(carried.values())) * step.slopes.shape[1]
        elif isinstance(step, Maximum):
            n, k = step.members.shape
            total += (n * k * (k + 1) // 2 + sum(carried.values())) * 2
        carried[i + 1] = widths[i + 1]
    return total


def _is_one_row(table: FloatArray) -> bool:
    """Whether all rows are the same numbers, the sign of zero included."""
    bits = table.view(np.uint64)
    return len(table) > 0 and bool((bits == bits[:1]).all())


def _check_network(network: Network, contents: Arrays) -> None:
    if not np.array_equal(network.unit_layer, contents["unit_layer"]):
        raise FormatError("its network has not the units of unit_layer")
    if network.n_outputs != contents["face_bias"].shape[1]:
        raise FormatError("its network has not the outputs of face_bias")
    n_pieces = np.concatenate(
        [np.empty(0, dtype=np.int64)] + [_n_pieces(layer) for layer in network.activations]
    )
    if (contents["face_pattern"].max(axis=0) >= n_pieces).any():
        raise FormatError("face_pattern names a piece that its network has not")


def _n_pieces(layer: Units) -> IntArray:
    if isinstance(layer, Activation):
        return 1 + np.isfinite(layer.breakpoints).sum(axis=1)
    return (layer.members >= 0).sum(axis=1)


def _split(name: str, joined: IntArray, offsets: IntArray, n: int) -> list[IntArray]:
    if len(offsets) != n + 1 or offsets[0] != 0 or offsets[-1] != len(joined):
        raise FormatError(f"{name}_offsets does not fit the layers of its network")
    if (np.diff(offsets) < 0).any():
        raise FormatError(f"{name}_offsets does not increase")
    return np.split(joined, offsets[1:-1]) if n else []


def _check_faces(
    starts: list[IntArray], pattern: ByteArray, network: Network, n_components: int
) -> None:
    n_faces = len(pattern)
    for level, start in enumerate(starts):
        if (
            len(start) == 0
            or start[0] != 0
            or start[-1] >= n_faces
            or (np.diff(start) <= 0).any()
            or (level == 0 and len(start) != n_components)
            or (level > 0 and not np.isin(starts[level - 1], start).all())
        ):
            raise FormatError("layer_face_start does not say how faces were cut up")
    # Neighbours in the order of faces that were one before a layer differ first in that layer.
    layer = np.append(network.unit_layer, len(starts))
    face = np.arange(n_faces)
    first = layer[first_difference(pattern, face[:-1], face[1:])]
    for level, start in enumerate(starts):
        is_one = np.ones(n_faces, dtype=np.bool_)
        is_one[start] = False
        if (first[is_one[1:]] < level).any():
            raise FormatError("layer_face_start does not go with face_pattern")


def _check_cuts(face: IntArray, line: IntArray, n_faces: int, n_lines: int) -> None:
    if len(face) and (
        face.min() < 0 or face.max() >= n_faces or line.min() < 0 or line.max() >= n_lines
    ):
        raise FormatError("a cut is of a face or a line that does not exist")
    if (np.diff(face.astype(np.int64) * n_lines + line) <= 0).any():
        raise FormatError("cuts are not in the order of their faces and lines")


def _check_lines(
    vertex_lines: IntArray,
    n_sides: int,
    starts: list[IntArray],
    faces: list[IntArray],
    contents: Arrays,
) -> None:
    """Whether every vertex is a corner of a face that both its lines run through."""
    n_lines = n_sides + sum(map(len, faces))
    low, high = np.sort(vertex_lines, axis=1).T.astype(np.int64)
    if (low < 0).any() or (high >= n_lines).any() or (low == high).any():
        raise FormatError("vertex_lines holds a line that does not exist, or one line twice")
    pairs = np.sort(low * n_lines + high)
    if (pairs[1:] == pairs[:-1]).any():
        raise FormatError("two vertices are where the same lines meet")
    # The final faces from `begin` to `end` are those inside the face that a line cuts.
    n_faces = len(contents["face_pattern"])
    begin = np.concatenate([np.zeros(n_sides, np.int64), *map(np.take, starts, faces)])
    end = np.concatenate(
        [np.full(n_sides, n_faces)]
        + [np.append(start[1:], n_faces)[face] for start, face in zip(starts, faces, strict=True)]
    )
    offsets, corner = contents["face_offsets"], contents["face_vertices"]
    owner = np.repeat(np.arange(n_faces), np.diff(offsets))
    for line in vertex_lines.T:
        inside = (begin[line[corner]] <= owner) & (owner < end[line[corner]])
        if (np.bincount(corner[inside], minlength=len(vertex_lines)) == 0).any():
            raise FormatError("a vertex is on a line that does not come near it")


def _layers(network: Network) -> list[Layer]:
    from polyregions.engine.layers import compile_layers

    layers = []
    for layer in compile_layers(network):
        if layer.switching is not None:
            lines = layer.switching
            layer = replace(
                layer,
                line_value=lines.line_value,
                line_breakpoint=lines.line_breakpoint,
                line_unit=lines.line_unit,
                member_offsets=np.arange(len(lines.line_value) + 1),
                member_unit=lines.line_value,
                member_sign=np.ones(len(lines.line_value), dtype=np.int8),
            )
        layers.append(layer)
    return layers


def _check_some(vertices: ExactVertices, xy: FloatArray, error: FloatArray) -> None:
    """Whether a few vertices are where they are said to be."""
    for v in sorted(set(np.linspace(0, len(vertices) - 1, _N_CHECKED).astype(int).tolist())):
        try:
            triple = vertices[v]
        except ZeroDivisionError:  # one line twice
            triple = 0, 0, 0
        if triple[2] == 0:
            raise FormatError(f"the lines of vertex {v} do not meet")
        if not is_within(triple, xy[v].tolist(), error[v].tolist()):
            raise FormatError(
                f"vertex_xy[{v}] is farther from the exact vertex {v} than vertex_error says"
            )


def is_within(exact: Triple, xy: list[float], bounds: list[float]) -> bool:
    """Whether a rounded point is as near to the exact one as it is said to be."""
    x, y, w = exact
    return all(
        abs(Fraction(rounded) - Fraction(n, w)) <= Fraction(bound)
        for rounded, n, bound in zip(xy, (x, y), bounds, strict=True)
    )
