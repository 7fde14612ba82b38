"""Saved partitions of the compiled engine: their exact vertices are worked out from a file."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from damaged_files import assert_refused
from networks import ACTIVATIONS, pencil, random_layers, stack

import polyregions as pr
from polyregions import network
from polyregions.engine.exactly import ExactVertices, Provenance
from polyregions.formats import arrays, provenance
from polyregions.network import Affine, Sum, relu


def scaled(seed: int) -> pr.Network:
    """Affine steps, scales and activations, two of a kind in a row among them."""
    rng = np.random.default_rng(seed)
    steps = (
        network.Scale(np.array([0.5, 2.0]), np.array([0.1, -0.25]), "normalise \u00e9", np.ones(2)),
        network.Affine(rng.normal(size=(5, 2)), rng.normal(size=5), "first"),
        network.Affine(rng.normal(size=(4, 5)), rng.normal(size=4)),
        network.relu(4, ""),
        network.Scale(rng.normal(size=4), rng.normal(size=4)),
        network.prelu(np.array([0.25, 1.0, -1.0, 0.0])),
        network.clamp(4, -0.5, 0.5, "a name with blanks"),
        network.Affine(rng.normal(size=(2, 4)), rng.normal(size=2), "last"),
    )
    return pr.Network(steps, 2)


def doubled(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """A net in which the engine knows lines to be multiples of each other."""
    (w, b), *rest = random_layers((2, 4, 3, 1), seed)
    w, b = np.concatenate([w, -2 * w]), np.concatenate([b, -2 * b])
    return [(w, b), (np.tile(rest[0][0], 2), rest[0][1]), *rest[1:]]


NETWORKS: dict[str, Callable[[int], object]] = {
    **{
        kind: lambda seed, kind=kind: stack(random_layers((2, 5, 5, 2), seed), kind)
        for kind in ACTIVATIONS
    },
    "integer": lambda seed: random_layers((2, 6, 6, 1), seed, "integer"),
    "no biases": lambda seed: random_layers((2, 6, 6, 1), seed, "zero_bias"),
    "near concurrent": lambda seed: pencil(9 + seed, 1 / 3, exact=False),
    "steps of all kinds": scaled,
    "doubled": doubled,
    "no units": lambda seed: random_layers((2, 2), seed),
    "ends in an activation": lambda seed: pr.Network(stack(random_layers((2, 4, 4), seed)).steps
                                                     + (network.absolute(4),), 2),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_vertices_come_back(name: str, tmp_path: Path) -> None:
    for seed in range(3):
        part = pr.partition(NETWORKS[name](seed), (-1, -1, 2, 1.5), engine="exact")
        path = tmp_path / "a.npz"
        part.save(path)
        assert {"vertex_lines", "cut_face"} <= set(arrays.names(path) or [])
        loaded = pr.load(path)
        assert isinstance(loaded.vertex_exact, ExactVertices)
        assert tuple(loaded.vertex_exact) == tuple(part.vertex_exact)
        # Not only by the same route: the rational engine has the same points.
        reference = pr.partition(NETWORKS[name](seed), (-1, -1, 2, 1.5), engine="rational")
        assert set(loaded.vertex_exact) == set(reference.vertex_exact)
        loaded.save(tmp_path / "b.npz")
        assert (tmp_path / "b.npz").read_bytes() == path.read_bytes()
        old, new = (provenance.encode(p.vertex_exact.provenance) for p in (part, loaded))
        assert old.keys() == new.keys()
        assert all(old[k].tobytes() == new[k].tobytes() for k in old)


def test_a_file_says_nothing_of_which_lines_the_engine_leaves_out(tmp_path: Path) -> None:
    part = pr.partition(doubled(0), (-1, 1), engine="exact")
    layer = part.vertex_exact.provenance.layers[0]
    assert layer.n_lines == 4 < layer.width == 8
    part.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz").vertex_exact.provenance
    assert loaded.layers[0].n_lines == 8
    assert [loaded.row(0, 0, line) for line in range(4)] == [
        part.vertex_exact.provenance.row(0, 0, line) for line in range(4)
    ]


def test_partitions_put_together_by_hand_keep_their_integers(tmp_path: Path) -> None:
    part = pr.partition(random_layers((2, 5, 5, 1), 0), (-1, 1), engine="exact")
    other = pr.partition(random_layers((2, 5, 5, 1), 0), (-1, 1), engine="exact")
    # An equal pattern will do, a different one not.
    same = dataclasses.replace(part, face_pattern=other.face_pattern.copy())
    assert provenance.of(same) is not None
    last = part.face_pattern.copy()
    last[:, -1] += 1
    changed = dataclasses.replace(part, face_pattern=last)
    assert provenance.of(changed) is None
    changed.save(tmp_path / "a.npz")
    assert tuple(pr.load(tmp_path / "a.npz").vertex_exact) == tuple(part.vertex_exact)
    as_tuple = dataclasses.replace(part, vertex_exact=part.vertex_exact[:])
    assert provenance.of(as_tuple) is None
    as_tuple.save(tmp_path / "b.npz")
    loaded = pr.load(tmp_path / "b.npz")
    assert loaded.vertex_exact == tuple(part.vertex_exact)
    assert loaded.certificate.ok


def test_hardly_any_vertex_is_worked_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = pr.partition(random_layers((2, 24, 24, 24, 1), 0), (-1, 1), engine="exact")
    asked: list[int] = []
    vertex = Provenance.vertex

    def counted(self: Provenance, v: int) -> object:
        asked.append(v)
        return vertex(self, v)

    monkeypatch.setattr(Provenance, "vertex", counted)
    part.save(tmp_path / "a.npz")
    assert asked == []
    pr.load(tmp_path / "a.npz")
    assert 0 < len(asked) < 10


# -- damaged files -----------------------------------------------------------------------------


def changed(array: np.ndarray, at: object, value: object) -> np.ndarray:
    array = np.array(array)
    array[at] = value
    return array


def _damages(contents: dict[str, np.ndarray]) -> dict[str, tuple[dict, str]]:
    """Every way in which a file may contradict itself, and what is said of it."""
    lines, face, line = (contents[n] for n in ("vertex_lines", "cut_face", "cut_line"))
    start, offsets = contents["layer_face_start"], contents["layer_face_offsets"]
    cuts = contents["cut_offsets"]
    weight, bias = contents["step_0_weight"], contents["step_0_bias"]
    breakpoints, slopes = contents["step_1_breakpoints"], contents["step_1_slopes"]
    kinds = str(contents["step_kind"])
    n_lines = 4 + len(face)
    assert kinds == "affine activation affine activation affine"
    second = slice(int(offsets[1]), int(offsets[2]))  # the faces before the second layer
    a, b = next(np.flatnonzero(face == f) for f in face[cuts[1] :] if (face == f).sum() > 1)[-2:]
    used = lines[:, 0] >= 4
    far = int(np.flatnonzero(used & (lines[:, 1] >= 4))[-1])
    return {
        "no steps": ({"step_kind": None}, "step_kind"),
        "steps are a number": ({"step_kind": np.int64(1)}, "step_kind is not a text"),
        "unknown step": ({"step_kind": "affine activation magic activation affine"}, "step_2"),
        "one step less": ({"step_kind": "affine activation affine activation"}, "step_4_bias"),
        "one step more": ({"step_kind": kinds + " affine"}, "lacks step_5_bias"),
        "names short": ({"step_name": contents["step_name"][1:]}, "step_name"),
        "names are numbers": ({"step_name": np.arange(5)}, "step_name"),
        "one name": ({"step_name": np.array("affine")}, "step_name"),
        "no weight": ({"step_0_weight": None}, "lacks step_0_weight"),
        "single weight": ({"step_0_weight": weight.astype(np.float32)}, "step_0_weight"),
        "flat weight": ({"step_0_weight": weight.ravel()}, "step_0_weight"),
        "nan weight": ({"step_0_weight": changed(weight, 0, np.nan)}, "NaN or infinite"),
        "infinite bias": ({"step_0_bias": changed(bias, 0, np.inf)}, "NaN or infinite"),
        "short bias": ({"step_0_bias": bias[1:]}, "must have shape"),
        "three inputs": ({"step_0_weight": np.ones((8, 3))}, "shapes do not chain"),
        "other width": (
            {"step_0_weight": weight[1:], "step_0_bias": bias[1:]},
            "shapes do not chain",
        ),
        "jump": ({"step_1_slopes": slopes[:, ::-1] + 1, "step_1_breakpoints": breakpoints + 1},
                 "not continuous"),
        "nan breakpoint": ({"step_1_breakpoints": breakpoints * np.nan}, "breakpoints"),
        "-inf breakpoint": ({"step_1_breakpoints": breakpoints - np.inf}, "holds -inf"),
        "no breakpoint": ({"step_1_breakpoints": breakpoints + np.inf}, "a piece that its network"),
        "units of another": (
            {f"step_1_{k}": contents[f"step_3_{k}"] for k in provenance._STEPS["activation"][1]}
            | {"step_0_weight": weight[:6], "step_0_bias": bias[:6],
               "step_2_weight": contents["step_2_weight"][:, :6]},
            "not the units of unit_layer",
        ),
        "outputs of another": (
            {"step_4_weight": np.ones((2, 6)), "step_4_bias": np.ones(2)},
            "not the outputs",
        ),
        "lines in space": ({"vertex_lines": np.column_stack([lines, lines[:, 0]])}, "does not go"),
        "long lines": ({"vertex_lines": lines.astype(np.int64)}, "must be int32"),
        "line out of range": ({"vertex_lines": changed(lines, (0, 0), n_lines)}, "not exist"),
        "negative line": ({"vertex_lines": changed(lines, (0, 0), -1)}, "not exist"),
        "one line twice": ({"vertex_lines": changed(lines, (far, 0), lines[far, 1])}, "twice"),
        "same lines": ({"vertex_lines": changed(lines, far, lines[far - 1][::-1])}, "same lines"),
        "lines of another vertex": (
            {"vertex_lines": lines[::-1]}, "does not come near|farther from the exact vertex"
        ),
        "line of another face": (
            {"vertex_lines": changed(lines, (0, 0), n_lines - 1)}, "does not come near"
        ),
        "cut of no face": ({"cut_face": changed(face, -1, 10**6)}, "does not exist"),
        "cut of a negative face": ({"cut_face": changed(face, 0, -1)}, "does not exist"),
        "cut by no line": ({"cut_line": changed(line, -1, 6)}, "does not exist"),
        "cut by a negative line": ({"cut_line": changed(line, 0, -1)}, "does not exist"),
        "cuts out of order": ({"cut_line": changed(line, [a, b], line[[b, a]])}, "order"),
        "one cut twice": ({"cut_line": changed(line, b, line[a])}, "order"),
        "cut offsets fall": ({"cut_offsets": changed(cuts, 1, cuts[2] + 1)}, "cut_offsets"),
        "cut offsets end late": ({"cut_offsets": changed(cuts, 2, cuts[2] + 1)}, "cut_offsets"),
        "cut offsets begin late": ({"cut_offsets": changed(cuts, 0, 1)}, "cut_offsets"),
        "a layer less": (
            {"cut_offsets": cuts[[0, 2]], "layer_face_offsets": offsets[[0, 2]]}, "fit the layers"
        ),
        "offsets of different lengths": ({"cut_offsets": cuts[:-1]}, "does not go with"),
        "face offsets fall": (
            {"layer_face_offsets": changed(offsets, 1, offsets[2] + 1)}, "layer_face_offsets"
        ),
        "two faces at first": (
            {"layer_face_start": np.insert(start, 1, 5).astype(np.int32),
             "layer_face_offsets": offsets + np.array([0, 1, 1], np.int32)},
            "how faces were cut up",
        ),
        "no face at first": (
            {"layer_face_start": start[1:], "layer_face_offsets": changed(offsets - 1, 0, 0)},
            "how faces were cut up",
        ),
        "first face begins late": ({"layer_face_start": changed(start, 0, 1)}, "how faces"),
        "faces out of order": (
            {"layer_face_start": changed(start, second, start[second][::-1])}, "how faces"
        ),
        "face beyond the last": ({"layer_face_start": changed(start, -1, 10**6)}, "how faces"),
        "face begins elsewhere": (
            {"layer_face_start": changed(start, -1, start[-1] + 1)}, "face_pattern"
        ),
        "another network": (
            {"step_0_bias": bias + 1e-3}, "farther from the exact vertex"
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    layers = random_layers((2, 8, 6, 1), seed=5)
    path = tmp_path_factory.mktemp("saved") / "a.npz"
    pr.partition(layers, (-1, 1), engine="exact").save(path)
    return path


def _names() -> list[str]:
    part = pr.partition(random_layers((2, 8, 6, 1), seed=5), (-1, 1), engine="exact")
    contents = provenance.encode(part.vertex_exact.provenance)
    return list(_damages(contents))


@pytest.mark.parametrize("name", _names())
def test_contradictions_are_refused(name: str, saved: Path, tmp_path: Path) -> None:
    changes, message = _damages(arrays.read(saved))[name]
    assert_refused(saved, changes, message, tmp_path)


def test_random_changes_are_refused_or_do_no_harm(saved: Path, tmp_path: Path) -> None:
    """Whatever integers a file holds, loading it ends in a partition or a FormatError."""
    rng = np.random.default_rng(0)
    original = arrays.read(saved)
    names = sorted(provenance.ARRAYS)
    refused = 0
    for _ in range(150):
        contents = {k: v.copy() for k, v in original.items()}
        array = contents[rng.choice(names)]
        at = tuple(rng.integers(0, n) for n in array.shape)
        array[at] = rng.choice(
            [-1, 0, 1, array[at] + 1, array[at] - 1, rng.integers(0, 60), 2**31 - 1]
        )
        arrays.write(tmp_path / "b.npz", contents)
        try:
            pr.load(tmp_path / "b.npz")
        except pr.FormatError:
            refused += 1
    assert refused > 80


def test_lines_that_do_not_meet_are_refused(saved: Path, tmp_path: Path) -> None:
    # All units of the first layer have one direction, so that lines of it are parallel.
    contents = arrays.read(saved)
    contents["step_0_weight"] = np.ones((8, 2))
    arrays.write(tmp_path / "b.npz", contents)
    with pytest.raises(pr.FormatError, match=r"do not meet|farther from"):
        pr.load(tmp_path / "b.npz")


def test_parallel_lines_are_refused(tmp_path: Path) -> None:
    pr.partition([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), [0])], (-1, 1)).save(
        tmp_path / "a.npz"
    )
    contents = arrays.read(tmp_path / "a.npz")
    contents["step_0_weight"] = np.array([[1.0, 0.0], [1.0, 0.0]])
    contents["step_0_bias"] = np.array([0.0, 0.25])
    arrays.write(tmp_path / "b.npz", contents)
    with pytest.raises(pr.FormatError, match="do not meet"):
        pr.load(tmp_path / "b.npz")


def test_too_wide_a_scale_is_refused(saved: Path, tmp_path: Path) -> None:
    # It would become a square matrix of a terabyte.
    n = 400_000
    contents = arrays.read(saved)
    wide = {
        "step_kind": np.array("affine scale " + " ".join(["affine activation"] * 2) + " affine"),
        "step_name": np.array([""] * 7),
        "step_0_weight": np.zeros((n, 2)),
        "step_0_bias": np.zeros(n),
        **{f"step_1_{k}": np.zeros(n) for k in ("scale", "shift", "shift_magnitude")},
        "step_2_weight": np.zeros((8, n)),
        "step_2_bias": np.zeros(8),
    }
    for name in list(contents):
        if name.startswith("step_") and name[5:6].isdigit() and int(name[5]) > 0:
            wide[f"step_{int(name[5]) + 2}{name[6:]}"] = contents.pop(name)
    arrays.write(tmp_path / "b.npz", contents | wide)
    with pytest.raises(pr.FormatError, match="makes a matrix of 160,000,000,000 entries"):
        pr.load(tmp_path / "b.npz")


DEPTH = 600  # layers; Python allows 1000 calls inside each other


def deep_residual() -> tuple[pr.Network, Fraction]:
    """Units that all take the sum of two values, and add to one what they take from the other."""
    steps: list = [Affine(np.eye(2), np.zeros(2))]
    sources: list[tuple[int, ...]] = [(0,)]
    x = 1
    for layer in range(DEPTH):
        bias = 8.0 if layer + 1 < DEPTH else -1 / 3
        steps += [
            Affine(np.ones((1, 2)), np.array([bias])), relu(1),
            Affine(np.array([[0.25], [-0.25]]), np.zeros(2)), Sum(np.ones(2), 2),
        ]  # fmt: skip
        n = len(steps)
        sources += [(x,), (n - 3,), (n - 2,), (x, n - 1)]
        x = n
    return pr.Network(tuple(steps), 2, sources=tuple(sources)), Fraction(1 / 3)


def deep_chain() -> tuple[pr.Network, Fraction]:
    """Units one after the other, of which the last one switches."""
    steps: list = [Affine(np.ones((1, 2)), np.array([8.0])), relu(1)]
    for layer in range(DEPTH - 2):
        weight, bias = ((0.5, 4.0), (2.0, -8.0))[layer % 2]  # towards 8, and back
        steps += [Affine(np.array([[weight]]), np.array([bias])), relu(1)]
    steps += [Affine(np.array([[-1.0]]), np.array([8.3])), relu(1)]
    return pr.Network(tuple(steps), 2), Fraction(8.3) - 8


@pytest.mark.parametrize("build", [deep_residual, deep_chain])
def test_networks_may_be_deeper_than_calls(build: Callable) -> None:
    network, total = build()
    part = pr.partition(network, (-1, 1))
    ends = {(Fraction(1), total - 1), (total - 1, Fraction(1))}
    corners = {(Fraction(i), Fraction(j)) for i in (-1, 1) for j in (-1, 1)}
    for mine in (part, pickle.loads(pickle.dumps(part))):  # with what was worked out, and without
        assert mine.n_faces == 2
        assert {mine.exact_vertex(v) for v in range(mine.n_vertices)} == ends | corners
