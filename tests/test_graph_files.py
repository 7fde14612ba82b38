"""Files of networks with branches, convolutions and maxima, and what else is made of partitions."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from math import prod
from pathlib import Path

import numba
import numpy as np
import pytest
import shapely
from damaged_files import assert_refused
from networks import random_layers, stack
from test_engine import arrays_of
from test_graph_networks import DOMAIN, KINDS, WEIGHTS, Net, built

import polyregions as pr
from polyregions.engine.exactly import ExactVertices
from polyregions.formats import arrays, provenance
from polyregions.network import (
    Activation,
    Affine,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Step,
    Sum,
    relu,
)

if numba.config.DISABLE_JIT:  # NumPy warns where compiled kernels are silent
    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def all_steps(seed: int, *, n_inputs: int = 2) -> Network:
    """Every kind of step, and values that are taken more than once."""
    net = Net(seed)
    net.widths = [n_inputs]
    picture = net.add(Scale(net.draw(9), net.draw(9), "normal"), net.affine(9, 0))
    x = net.relu(net.conv(2, picture, (3, 3), 2, stride=(1, 1)))
    low = net.max([[0, 1, 2, 3], [4, 5, 6, -1]], x)
    padded = net.add(Gather(np.array([1, 0, -1]), 2, "pad", np.array([0, 0, 0.5])), low)
    net.affine(2, net.sum(padded, net.affine(3, x), signs=[1, -1]), 0)
    return Network(tuple(net.steps), n_inputs, sources=tuple(net.sources))


def conv_pool(seed: int) -> tuple[Network, pr.Slice]:
    """A convolution, a max-pool and a layer of 16 inputs, on the plane of three pictures."""
    net = Net(seed)
    net.widths = [16]
    x = net.relu(net.conv(2, 0, (4, 4), 3, padding=((1, 1), (1, 1))))
    place = np.arange(32).reshape(2, 4, 4)
    windows = [
        place[c, i : i + 2, j : j + 2].ravel() for c in (0, 1) for i in (0, 2) for j in (0, 2)
    ]
    net.affine(3, net.max(windows, x))
    plane = pr.Slice.from_data(*np.random.default_rng(seed).normal(size=(3, 1, 4, 4)))
    return Network(tuple(net.steps), 16, sources=tuple(net.sources)), plane


# Chains of nothing but affine steps and activations.
PLAIN = {"activation behind activation"}


def assert_same_network(one: Network, other: Network) -> None:
    assert one.sources == other.sources
    assert one.n_inputs == other.n_inputs
    assert [type(step) for step in one.steps] == [type(step) for step in other.steps]
    for mine, theirs in zip(one.steps, other.steps, strict=True):
        for name in mine.__dataclass_fields__:
            a, b = getattr(mine, name), getattr(theirs, name)
            if isinstance(a, np.ndarray):
                assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()), name
                assert not b.flags.writeable, name
            else:
                assert (a, type(a)) == (b, type(b)), name


# -- round trip --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_partitions_come_back(name: str, tmp_path: Path) -> None:
    for seed, weights in enumerate(WEIGHTS):
        network = built(name, seed, weights)
        part = pr.partition(network, DOMAIN, engine="exact")
        part.save(tmp_path / "a.npz")
        with np.load(tmp_path / "a.npz") as contents:
            assert contents["schema_version"] == (2 if name in PLAIN else 4)
        loaded = pr.load(tmp_path / "a.npz")
        assert arrays_of(loaded) == arrays_of(part)
        assert isinstance(loaded.vertex_exact, ExactVertices)
        assert tuple(loaded.vertex_exact) == tuple(part.vertex_exact)
        reference = pr.partition(network, DOMAIN, engine="rational")
        assert set(loaded.vertex_exact) == set(reference.vertex_exact)
        assert loaded.certificate.ok, str(loaded.certificate)
        assert loaded.count() == reference.count()
        assert_same_network(network, loaded.vertex_exact.provenance.network)
        loaded.save(tmp_path / "b.npz")
        assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("engine", ["exact", "rational"])
@pytest.mark.parametrize("what", ["all steps", "convolution and pool"])
def test_slices_come_back(what: str, engine: str, tmp_path: Path) -> None:
    if what == "all steps":
        network = all_steps(1, n_inputs=5)
        plane = pr.Slice(*np.random.default_rng(0).normal(size=(3, 5)))
    else:
        network, plane = conv_pool(2)
    part = pr.partition(network, (-2, 2), slice=plane, engine=engine)
    assert len(part) > 30
    part.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz")
    assert arrays_of(loaded) == arrays_of(part)
    assert tuple(loaded.vertex_exact) == tuple(part.vertex_exact)
    assert loaded.certificate.ok
    assert loaded.network is not None
    assert_same_network(network, loaded.network)
    for f in range(0, len(part), 7):
        np.testing.assert_array_equal(loaded.jacobian(f), part.jacobian(f))
    assert pr.verify(loaded, network, resolution=15).ok
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("name", ["residual blocks", "maxout", "windows that overlap"])
def test_partitions_of_the_plane_come_back(name: str, tmp_path: Path) -> None:
    part = pr.partition(built(name, 0, "normal"), None)
    part.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz")
    assert arrays_of(loaded) == arrays_of(part)
    assert tuple(loaded.vertex_exact) == tuple(part.vertex_exact)
    assert loaded.certificate.ok


@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (3, 1, 2)])
def test_convolutions_over_any_number_of_axes_come_back(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    rng = np.random.default_rng(len(shape))
    axes, n = len(shape), prod(shape)
    conv = Convolution(
        rng.normal(size=(4, 1, *[1] * axes)), rng.normal(size=4), shape, (2,) * axes,
        ((1, 0),) * axes, (3,) * axes, 2, "c",
    )  # fmt: skip
    first = Affine(rng.normal(size=(2 * n, 2)), rng.normal(size=2 * n))
    network = Network((first, conv, relu(conv.n_outputs)), 2)
    part = pr.partition(network, (-2, 2))
    part.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz").vertex_exact
    assert isinstance(loaded, ExactVertices)
    assert_same_network(network, loaded.provenance.network)
    assert tuple(loaded) == tuple(part.vertex_exact)


def test_files_of_plain_networks_are_as_before(tmp_path: Path) -> None:
    """What was written before there were other steps has these names, in this order."""
    part = pr.partition(stack(random_layers((2, 3, 1), 0)), (-1, 1))
    part.save(tmp_path / "a.npz")
    names = arrays.names(tmp_path / "a.npz")
    assert names is not None
    after = names[names.index("step_kind") :]
    assert after == [
        "step_kind", "step_name", "step_0_weight", "step_0_bias", "step_1_breakpoints",
        "step_1_slopes", "step_1_intercepts", "step_2_weight", "step_2_bias", "vertex_lines",
        "layer_face_start", "layer_face_offsets", "cut_face", "cut_line", "cut_offsets",
    ]  # fmt: skip
    assert arrays.read(tmp_path / "a.npz")["schema_version"] == 2
    plane = pr.Slice.axes(0, 1, at=[0.0, 0.0])
    pr.partition(stack(random_layers((2, 3, 1), 0)), (-1, 1), slice=plane).save(tmp_path / "b.npz")
    assert arrays.read(tmp_path / "b.npz")["schema_version"] == 3


def values_at(row: Affine, x: Fraction, y: Fraction) -> list[Fraction]:
    return [
        Fraction(a) * x + Fraction(b) * y + Fraction(c)
        for (a, b), c in zip(row.weight.tolist(), row.bias.tolist(), strict=True)
    ]


def test_lines_of_maxima_are_numbered_by_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    members = np.array([[4, 0, 2, 6], [1, 5, -1, -1], [3, 2, 1, -1]])
    pairs = [p for row in members for p in combinations([m for m in row.tolist() if m >= 0], 2)]
    first = Affine(rng.normal(size=(7, 2)), rng.normal(size=7))
    network = Network((first, Maximum(members, 7), Sum(np.ones(1), 3)), 2)
    part = pr.partition(network, (-3, 3))
    part.save(tmp_path / "a.npz")
    contents = arrays.read(tmp_path / "a.npz")
    assert contents["cut_line"].max() < len(pairs) == 10
    seen = set()
    for v, lines in enumerate(contents["vertex_lines"].tolist()):
        z = values_at(first, *part.exact_vertex(v))
        for number in (contents["cut_line"][k - 4] for k in lines if k >= 4):
            a, b = pairs[number]
            assert z[a] == z[b]
            seen.add(int(number))
    assert len(seen) > 4


def test_lines_are_numbered_by_units_where_values_are_carried(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    first = Affine(rng.normal(size=(4, 2)), rng.normal(size=4))
    bends = Activation(
        np.tile([-0.5, 0.5], (4, 1)), np.tile([0.0, 1.0, 0.0], (4, 1)),
        np.tile([-0.5, 0.0, 0.5], (4, 1)),
    )  # fmt: skip
    last = Affine(rng.normal(size=(1, 10)), np.zeros(1))
    network = Network((first, bends, last), 2, sources=((0,), (1,), (2, 0, 1)))
    part = pr.partition(network, (-3, 3))
    part.save(tmp_path / "a.npz")
    contents = arrays.read(tmp_path / "a.npz")
    seen = set()
    for v, lines in enumerate(contents["vertex_lines"].tolist()):
        z = values_at(first, *part.exact_vertex(v))
        for number in (int(contents["cut_line"][k - 4]) for k in lines if k >= 4):
            unit, side = divmod(number, 2)
            assert z[unit] == (Fraction(-1, 2), Fraction(1, 2))[side]
            seen.add(number)
    assert len(seen) > 5


# -- damaged files -----------------------------------------------------------------------------


def changed(array: np.ndarray, at: object, value: object) -> np.ndarray:
    array = np.array(array)
    array[at] = value
    return array


KINDS_OF_STEPS = "affine scale convolution activation maximum gather affine sum affine"


def _damages(contents: dict[str, np.ndarray]) -> dict[str, tuple[dict, str]]:
    """Every way in which a file may contradict itself, and what is said of it."""
    assert str(contents["step_kind"]) == KINDS_OF_STEPS
    taken, begins = contents["step_sources"], contents["step_source_offsets"]
    assert taken.tolist() == [0, 1, 2, 3, 4, 5, 4, 6, 7, 8, 0]
    weight, bias = contents["step_2_weight"], contents["step_2_bias"]
    assert weight.shape == (2, 1, 2, 2)
    members, index = contents["step_4_members"], contents["step_5_index"]
    faces, lines = contents["cut_face"], contents["cut_line"]
    start, offsets = contents["layer_face_start"], contents["layer_face_offsets"]
    of_maximum = int(contents["cut_offsets"][1])
    i8 = np.int64
    return {
        "older version": ({"schema_version": i8(3)}, "of schema 3, but holds what is new"),
        "no sources": ({"step_sources": None}, "lacks step_sources"),
        "no offsets": ({"step_source_offsets": None}, "lacks step_source_offsets"),
        "neither": ({"step_sources": None, "step_source_offsets": None}, "shapes do not chain"),
        "long sources": ({"step_sources": taken.astype(i8)}, "must be int32"),
        "sources in a table": ({"step_sources": taken[:, None]}, "must have 1 axes"),
        "value of the step itself": ({"step_sources": changed(taken, 3, 4)}, "cannot take values"),
        "value of a later step": ({"step_sources": changed(taken, 1, 6)}, "cannot take values"),
        "two in a circle": ({"step_sources": changed(taken, [4, 5], [6, 5])}, "cannot take values"),
        "negative value": ({"step_sources": changed(taken, 9, -1)}, "cannot take values"),
        "value beyond the last": ({"step_sources": changed(taken, 10, 10)}, "cannot take values"),
        "huge value": ({"step_sources": changed(taken, 10, 2**31 - 1)}, "cannot take values"),
        "value of another width": ({"step_sources": changed(taken, 6, 6)}, "do not chain"),
        "one value is idle": ({"step_sources": changed(taken, [7, 8], [7, 7])}, "no step takes"),
        "one value too many": (
            {"step_sources": np.append(taken, taken[-1:]),
             "step_source_offsets": changed(begins, -1, 12)},
            "do not chain",
        ),
        "no source": ({"step_source_offsets": changed(begins, 1, 0)}, "cannot take values"),
        "offsets fall": ({"step_source_offsets": changed(begins, 4, 9)}, "does not increase"),
        "offsets begin late": ({"step_source_offsets": changed(begins, 0, 1)}, "does not fit"),
        "offsets end late": ({"step_source_offsets": changed(begins, -1, 12)}, "does not fit"),
        "offsets too few": ({"step_source_offsets": begins[1:]}, "does not fit"),
        "no kernel": ({"step_2_weight": None}, "lacks step_2_weight"),
        "single kernel": ({"step_2_weight": weight.astype(np.float32)}, "step_2_weight"),
        "kernel over one axis": ({"step_2_weight": weight[..., 0]}, "over 2 axes needs"),
        "kernel of no axes": ({"step_2_weight": weight[0, 0, 0, 0]}, "over 2 axes needs"),
        "empty kernel": ({"step_2_weight": weight[:, :, :0]}, "cannot cut"),
        "nan kernel": ({"step_2_weight": weight * np.nan}, "NaN or infinite"),
        "kernel too long": ({"step_2_weight": np.ones((2, 1, 4, 4))}, "does not fit"),
        "short bias": ({"step_2_bias": bias[:1]}, "a bias"),
        "shape of one axis": ({"step_2_shape": np.array([9])}, "over 1 axes needs"),
        "another shape": ({"step_2_shape": np.array([3, 4])}, "shapes do not chain"),
        "negative shape": (
            {"step_2_shape": np.array([-3, -3]), "step_2_padding": np.full((2, 2), 4)},
            "negative length",
        ),
        "shape of floats": ({"step_2_shape": np.array([3.0, 3.0])}, "step_2_shape is not"),
        "huge shape": ({"step_2_shape": np.array([2**62, 2**62])}, "shapes do not chain"),
        "no stride": ({"step_2_stride": np.array([1, 0])}, "below 1"),
        "one stride": ({"step_2_stride": np.array([1])}, "for each axis"),
        "negative dilation": ({"step_2_dilation": np.array([-1, 1])}, "below 1"),
        "dilation too far": ({"step_2_dilation": np.array([1, 2**62])}, "does not fit"),
        "flat padding": ({"step_2_padding": np.zeros(4, i8)}, "step_2_padding is not"),
        "padding of one side": ({"step_2_padding": np.zeros((2, 1), i8)}, "two numbers"),
        "padding of one axis": ({"step_2_padding": np.zeros((1, 2), i8)}, "for each axis"),
        "cropped away": ({"step_2_padding": np.full((2, 2), -1)}, "does not fit"),
        "padded": ({"step_2_padding": np.ones((2, 2), i8)}, "shapes do not chain"),
        "no groups": ({"step_2_groups": i8(0)}, "below 1"),
        "groups that do not divide": ({"step_2_groups": i8(3)}, "into 3 runs"),
        "groups that want more": ({"step_2_groups": i8(2)}, "shapes do not chain"),
        "list of groups": ({"step_2_groups": np.array([1])}, "step_2_groups is not"),
        "member twice": ({"step_4_members": changed(members, (0, 1), 0)}, "one twice"),
        "no member": ({"step_4_members": changed(members, 1, -1)}, "no member"),
        "members behind a gap": ({"step_4_members": members[:, ::-1]}, "-1 before others"),
        "member out of range": ({"step_4_members": changed(members, (0, 0), 8)}, "outside"),
        "negative member": ({"step_4_members": changed(members, (0, 3), -2)}, "outside"),
        "members in a row": ({"step_4_members": members[0]}, "step_4_members is not"),
        "members are floats": ({"step_4_members": members * 1.0}, "step_4_members is not"),
        "units without places": ({"step_4_members": members[:, :0]}, r"must be \(n, K\)"),
        "too many members": (
            {"step_4_members": np.pad(members, ((0, 0), (0, 253)), constant_values=-1)},
            "257 values.*256 pieces at most",
        ),
        "a unit less": ({"step_4_members": members[:1]}, "outside its 1 values|do not chain"),
        "fewer pieces": (
            {"step_4_members": np.column_stack([members[:, :1], -np.ones((2, 3), i8)])},
            "a piece that its network has not",
        ),
        "wide maximum": ({"step_4_width": i8(9)}, "do not chain"),
        "negative maximum": ({"step_4_width": i8(-8)}, "outside"),
        "width is a float": ({"step_4_width": np.float64(8)}, "step_4_width is not"),
        "index out of range": ({"step_5_index": changed(index, 0, 2)}, "outside"),
        "index below -1": ({"step_5_index": changed(index, 0, -2)}, "outside"),
        "index in four bytes": ({"step_5_index": index.astype(np.int32)}, "step_5_index is not"),
        "fill beside an index": ({"step_5_fill": np.ones(3)}, "0 where an index is given"),
        "short fill": ({"step_5_fill": np.zeros(2)}, "fill of pad must be"),
        "infinite fill": ({"step_5_fill": np.array([0, 0, np.inf])}, "NaN or infinite"),
        "wide gather": ({"step_5_width": i8(2**62)}, "do not chain"),
        "no coefficient": ({"step_7_coefficients": np.zeros(0)}, "one coefficient"),
        "one coefficient": ({"step_7_coefficients": np.ones(1)}, "do not chain"),
        "nan coefficient": ({"step_7_coefficients": np.full(2, np.nan)}, "NaN or infinite"),
        "negative sum": ({"step_7_width": i8(-3)}, "do not chain"),
        "cut by no pair": ({"cut_line": changed(lines, -1, 9)}, "does not exist|order of"),
        "cut by a negative pair": ({"cut_line": changed(lines, of_maximum, -1)}, "does not exist"),
        "cut of no face": ({"cut_face": changed(faces, -1, int(offsets[2] - offsets[1]))},
                           "does not exist"),
        "merged face begins elsewhere": ({"layer_face_start": changed(start, -1, start[-1] + 1)},
                                         "face_pattern|how faces"),
        "another network": ({"step_2_bias": bias + 1e-3}, "farther from the exact vertex"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "a.npz"
    part = pr.partition(all_steps(2), (-2, 2))
    assert len(part) > 30
    part.save(path)
    return path


def _contents_without_a_partition() -> dict[str, np.ndarray]:
    contents = provenance.encode_network(all_steps(2))
    one = dict.fromkeys(provenance.ARRAYS, np.zeros(9, np.int32))
    return contents | one | {"cut_offsets": np.zeros(3, np.int32)}


@pytest.mark.parametrize("name", _damages(_contents_without_a_partition()))
def test_contradictions_are_refused(name: str, saved: Path, tmp_path: Path) -> None:
    changes, message = _damages(arrays.read(saved))[name]
    assert_refused(saved, changes, message, tmp_path)


def test_sources_of_a_plain_network_are_refused(tmp_path: Path) -> None:
    pr.partition(stack(random_layers((2, 3, 1), 0)), (-1, 1)).save(tmp_path / "a.npz")
    contents = arrays.read(tmp_path / "a.npz")
    contents["step_sources"] = np.arange(3, dtype=np.int32)
    contents["step_source_offsets"] = np.arange(4, dtype=np.int32)
    contents["schema_version"] = np.array(4)
    arrays.write(tmp_path / "b.npz", contents)
    with pytest.raises(pr.FormatError, match="step_sources goes with networks that are not plain"):
        pr.load(tmp_path / "b.npz")


def test_random_changes_are_refused_or_do_no_harm(saved: Path, tmp_path: Path) -> None:
    """Whatever integers a file holds, loading it ends in a partition or a FormatError."""
    rng = np.random.default_rng(0)
    original = arrays.read(saved)
    steps = [n for n in original if n.startswith("step_") and original[n].dtype.kind == "i"]
    names = [*provenance.ARRAYS, *steps]
    refused = 0
    for _ in range(200):
        contents = {k: v.copy() for k, v in original.items()}
        array = contents[rng.choice(names)]
        at = tuple(rng.integers(0, n) for n in array.shape)
        array[at] = rng.choice([-1, 0, 1, 2, array[at] + 1, array[at] - 1, 60, 2**31 - 1])
        arrays.write(tmp_path / "b.npz", contents)
        try:
            part = pr.load(tmp_path / "b.npz")
        except pr.FormatError:
            refused += 1
        else:
            assert len(part.vertex_exact) == part.n_vertices
    assert refused > 100


# -- too much ----------------------------------------------------------------------------------


def _large() -> Iterator[tuple[str, list[Step], list[tuple[int, ...]], str]]:
    """Networks of few numbers that would need any amount of memory."""
    one = np.ones((1, 1, 1))
    everything = Affine(np.zeros((0, 10**11)), np.zeros(0))
    pad = Convolution(one, np.ones(1), (2,), (1,), ((0, 10**13),), (1,))
    crop = Convolution(one, np.ones(1), (10**13 + 2,), (1,), ((0, -(10**13)),), (1,))
    yield "padding", [pad, crop], [(0,), (1,)], "convolves by"
    grow = [
        Convolution(np.ones((1000, 1, 1)), np.ones(1000), (2,), (1,), ((0, 0),), (1,)),
        Convolution(np.ones((1000, 1, 1)), np.ones(1000), (2000,), (1,), ((0, 0),), (1,)),
        Convolution(np.ones((1000, 1, 1)), np.ones(1000), (2000000,), (1,), ((0, 0),), (1,)),
        Convolution(one, np.ones(1), (2 * 10**9,), (1,), ((0, -(2 * 10**9 - 2)),), (1,)),
    ]
    yield "channels", [*grow], [(0,), (1,), (2,), (3,)], "convolves by|its network has"
    products = [
        Convolution(np.ones((1, 1, 12000)), np.ones(1), (2,), (1,), ((24000, 0),), (1,)),
        Convolution(np.ones((1, 1, 12000)), np.ones(1), (12003,), (1,), ((11999, 0),), (1,)),
        Convolution(one, np.ones(1), (12003,), (1,), ((0, -12001),), (1,)),
    ]
    yield "products", [*products], [(0,), (1,), (2,)], "convolves by"
    yield "no rows", [everything, Affine(np.ones((2, 2)), np.ones(2))], [(0,), (1, 0)], "chain"
    wide = Gather(np.resize([0, 1], 10**5), 2)
    sums = Sum(np.ones(10**4), 10**5)
    back = Gather(np.array([0, 1]), 10**5)
    yield "joined", [wide, sums, back], [(0,), (1,) * 10**4, (2,)], "its network has"
    members = np.tile(np.arange(256), (3000, 1))
    copies = Gather(np.resize([0, 1], 256), 2)
    some = Gather(np.array([0, 1]), 3000)
    yield "pairs", [copies, Maximum(members, 256), some], [(0,), (1,), (2,)], "its network has"
    steps = np.arange(100.0)[None]
    hat = Activation(steps, np.zeros((1, 101)), np.zeros((1, 101)))
    first = Gather(np.array([0]), 2)
    many = Gather(np.resize([0, 1], 10**6), 2)
    end = Gather(np.array([0, 1]), 10**6 + 1)
    yield "carried", [many, first, hat, end], [(0,), (0,), (2,), (1, 3)], "its network has"


@pytest.mark.parametrize(("what", "steps", "sources", "message"), [*_large()])
def test_memory_is_bounded(
    what: str,
    steps: list[Step],
    sources: list[tuple[int, ...]],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file is refused before anything of the size that it speaks of is allocated."""
    part = pr.partition(Network((Affine(np.eye(2), np.zeros(2)), relu(2)), 2), (-1, 1))
    part.save(tmp_path / "a.npz")
    plain = [Affine(np.eye(2), np.zeros(2)), relu(2)]
    sources = [*sources, (len(steps),), (len(steps) + 1,)]

    class Hostile:
        """As a network, without the checks that `Network` makes."""

        is_chain = False

        def __init__(self) -> None:
            self.steps, self.sources = (*steps, *plain), tuple(sources)

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "_excess", lambda network: None)
        contents = arrays.read(tmp_path / "a.npz")
        for name in [n for n in contents if n.startswith("step_")]:
            del contents[name]
        contents |= provenance.encode_network(Hostile())  # type: ignore[arg-type]
        contents["schema_version"] = np.array(4)
        arrays.write(tmp_path / "b.npz", contents)
    size = sum(array.nbytes for array in contents.values())
    tracemalloc.start()
    try:
        with pytest.raises(pr.FormatError, match=message):
            pr.load(tmp_path / "b.npz")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 * size + 10**6


def test_too_large_a_network_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = pr.partition(all_steps(2), (-2, 2))
    (tmp_path / "a.npz").write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "_MOST_VALUES", 100)
        with pytest.raises(pr.LimitError, match=r"cannot be saved .* has \d+ values, above 100"):
            part.save(tmp_path / "a.npz")
        assert (tmp_path / "a.npz").read_bytes() == b"old"
    part.save(tmp_path / "a.npz")
    monkeypatch.setattr(provenance, "_MOST_PRODUCTS", 10)
    with pytest.raises(pr.FormatError, match=r"step 2 convolves by 32 products, above 10"):
        pr.load(tmp_path / "a.npz")


def test_wide_scales_of_other_networks_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only before the first layer with another kind of step is a scale written as a matrix.
    monkeypatch.setattr(provenance, "_LARGEST_MATRIX", 50)
    part = pr.partition(all_steps(2), (-2, 2))  # with a scale of 9 values
    part.save(tmp_path / "a.npz")
    assert tuple(pr.load(tmp_path / "a.npz").vertex_exact) == tuple(part.vertex_exact)
    rng = np.random.default_rng(0)
    first, last = Affine(rng.normal(size=(9, 2)), np.zeros(9)), Affine(np.ones((1, 9)), [0])
    narrow, wide = Affine(np.ones((1, 9)), [0]), Affine(np.ones((9, 1)), np.zeros(9))
    for steps in (
        (Scale(np.ones(9), np.zeros(9)), relu(9)),  # a diagonal
        (relu(9), relu(9)),  # nothing between them: an identity
        (relu(9), narrow, wide, relu(9)),  # a product
    ):
        for tail in (last, Gather(np.array([0]), 9)):
            part = pr.partition(Network((first, *steps, tail), 2), (-1, 1))
            with pytest.raises(pr.LimitError, match="makes a matrix of 81 entries, above 50"):
                part.save(tmp_path / "b.npz")
    part = pr.partition(Network((first, narrow, wide, relu(9), last), 2), (-1, 1))
    part.save(tmp_path / "b.npz")  # a product of 9 by 2


# -- copies and exports ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pooled() -> pr.Partition:
    network, plane = conv_pool(2)
    return pr.partition(network, (-2, 2), slice=plane)


def test_copies(pooled: pr.Partition) -> None:
    for twin in (copy.copy(pooled), copy.deepcopy(pooled), pickle.loads(pickle.dumps(pooled))):
        assert arrays_of(twin) == arrays_of(pooled)
        assert tuple(twin.vertex_exact) == tuple(pooled.vertex_exact)
        np.testing.assert_array_equal(twin.jacobian(3), pooled.jacobian(3))
        assert twin.network is not None
        assert pooled.network is not None
        assert_same_network(twin.network, pooled.network)


def test_geojson(pooled: pr.Partition) -> None:
    text = json.dumps(pooled.to_geojson(), allow_nan=False)
    shapes = shapely.from_geojson(text)
    assert shapely.get_num_geometries(shapes) == len(pooled)
    assert shapes.area == pytest.approx(16.0)
    patterns = [f["properties"]["pattern"] for f in json.loads(text)["features"]]
    assert [list(map(int, p)) for p in patterns] == pooled.face_pattern.tolist()
    assert pooled.face_pattern[:, 32:].max() == 3  # of four members


def test_svg_has_a_path_for_each_colour_and_layer(pooled: pr.Partition) -> None:
    assert pooled.to_svg().count("<path") > 10
    assert "svg" in pooled._repr_html_()
