"""Saved partitions: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import shapely
from networks import folding, pencil, random_layers, sawtooth, torch_layers

import polyregions as pr
from polyregions import exact, network
from polyregions.formats import arrays, geojson, npz

TRIANGLE = shapely.Polygon([(0, 0), (1, 0.1), (0.3, 1)])
CASES = {
    "one face": (([([[1.0, 2.0], [3.0, 4.0]], [0.5, -1.0])]), (-1, 1)),
    "ordinary": (torch_layers((2, 5, 5, 5, 5, 1)), (-10, 10)),
    "triangle": (random_layers((2, 6, 6, 3), seed=1), TRIANGLE),
    "concurrent lines": (pencil(12, 1 / 3, exact=False), (-1, 1)),
    "folding": (folding(2), (0, 1)),
    "sawtooth": (sawtooth(3), (0, 1)),
    "several pieces": (
        pr.Network((network.clamp(2, -0.5, 0.5), network.Affine([[1, 1]], [0])), 2),
        (-1, 1),
    ),
    "huge and tiny": (random_layers((2, 4, 4, 1), seed=2), (-1e150, 1e150)),
}


@pytest.fixture(params=["rational", "exact"])
def part(request: pytest.FixtureRequest) -> pr.Partition:
    return pr.partition(random_layers((2, 6, 5, 2), seed=0), (-1, 1), engine=request.param)


def rewritten(path: Path, **changes: object) -> Path:
    """A copy of a saved partition with some of its arrays replaced, or removed by None."""
    contents = arrays.read(path) | {k: v for k, v in changes.items() if v is not None}
    copy = path.with_name("changed.npz")
    arrays.write(
        copy,
        {k: np.asarray(v) for k, v in contents.items() if changes.get(k, v) is not None},
    )
    return copy


class Bomb:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.marker,))


def test_the_bomb_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


# -- round trip --------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["rational", "exact"])
@pytest.mark.parametrize("name", CASES)
def test_round_trip(name: str, engine: str, tmp_path: Path) -> None:
    model, domain = CASES[name]
    part = pr.partition(model, domain, engine=engine)
    part.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz")
    for item in dataclasses.fields(part):
        old, new = getattr(part, item.name), getattr(loaded, item.name)
        if isinstance(old, np.ndarray):
            assert new.tobytes() == old.tobytes(), item.name
            assert (new.dtype, new.shape) == (old.dtype, old.shape), item.name
            assert not new.flags.writeable, item.name
            assert new.flags.c_contiguous, item.name
        elif item.name == "vertex_exact":
            assert type(new) is type(old)
            assert list(new) == list(old)
        elif item.name not in ("domain", "seconds"):
            assert new == old, item.name
    assert loaded.domain.xy.tobytes() == part.domain.xy.tobytes()
    assert not loaded.domain.xy.flags.writeable
    assert loaded.certificate == part.certificate
    if engine == "rational":
        assert loaded.certificate.ok
    assert loaded.count() == part.count()
    points = np.random.default_rng(0).uniform(*np.reshape(part.domain.bounds, (2, 2)), (50, 2))
    np.testing.assert_array_equal(loaded.locate(points), part.locate(points))
    np.testing.assert_array_equal(loaded(points), part(points))


@pytest.mark.parametrize("engine", ["rational", "exact"])
def test_bytes_are_reproducible(engine: str, tmp_path: Path) -> None:
    part = pr.partition(random_layers((2, 6, 5, 2), seed=0), (-1, 1), engine=engine)
    part.save(tmp_path / "a.npz")
    pr.load(tmp_path / "a.npz").save(tmp_path / "b.npz")
    again = pr.partition(random_layers((2, 6, 5, 2), seed=0), (-1, 1), engine=engine)
    assert again.exact_vertex(3) == part.exact_vertex(3)  # what has been worked out is not saved
    again.save(tmp_path / "c.npz")
    first, second, third = ((tmp_path / f"{n}.npz").read_bytes() for n in "abc")
    assert first == second == third


@pytest.mark.parametrize("name", ["result", "result.npz", "result.partition", ".hidden"])
def test_written_to_exactly_the_path_given(name: str, part: pr.Partition, tmp_path: Path) -> None:
    part.save(str(tmp_path / name))
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert len(pr.load(tmp_path / name)) == len(part)


def test_numpy_reads_the_file_without_pickle(part: pr.Partition, tmp_path: Path) -> None:
    part.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as contents:
        assert str(contents["schema"]) == "polyregions.partition"
        assert contents["schema_version"] == 2  # what those without a slice have
        np.testing.assert_array_equal(contents["face_weight"], part.face_weight)
        pattern = np.unpackbits(contents["face_pattern_bits"][0], axis=1, count=part.n_units)
        np.testing.assert_array_equal(pattern, part.face_pattern)


@pytest.mark.parametrize("shape", [(1, 0), (3, 1), (5, 8), (7, 9), (1000, 30)])
@pytest.mark.parametrize("highest", [0, 1, 2, 3, 255])
def test_patterns_are_packed(
    shape: tuple[int, int], highest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = np.random.default_rng(0).integers(0, highest + 1, shape, dtype=np.uint8)
    pattern[0, -1:] = highest
    bits = npz._pack(pattern)
    assert len(bits) == max(1, highest.bit_length() if shape[1] else 1)
    np.testing.assert_array_equal(npz._unpack(bits, shape[1]), pattern)
    monkeypatch.setattr(npz, "_blocks", lambda n, _: [slice(i, i + 2) for i in range(0, n, 2)])
    np.testing.assert_array_equal(npz._pack(pattern), bits)
    np.testing.assert_array_equal(npz._unpack(bits, shape[1]), pattern)


@pytest.mark.parametrize(
    "n", [0, 1, -1, 127, 128, -127, -128, -129, 255, 256, 2**63, -(2**63), 3**500, -(3**500)]
)
def test_integers_of_any_size_keep_their_value(n: int) -> None:
    w = 7**400  # no factor in common
    assert npz._decode(*npz._encode(((n, 1, w),))) == ((n, 1, w),)


def test_failing_to_write_leaves_the_old_file(part: pr.Partition, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    broken = dataclasses.replace(part, vertex_exact=((1.5, 0, 1),) * part.n_vertices)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        broken.save(path)
    assert path.read_bytes() == b"old"


# -- bad files ---------------------------------------------------------------------------------


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pr.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04" + b"\0" * 50, b"\x80\x04N."])
def test_not_a_zip(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(pr.FormatError, match=r"a\.npz is not an \.npz file, or is cut short"):
        pr.load(tmp_path / "a.npz")


def test_cut_short_anywhere(part: pr.Partition, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    part.save(path)
    data = path.read_bytes()
    for length in np.linspace(0, len(data) - 1, 60).astype(int):
        path.write_bytes(data[:length])
        with pytest.raises(pr.FormatError):
            pr.load(path)


def test_no_flipped_bit_goes_unseen_or_crashes(part: pr.Partition, tmp_path: Path) -> None:
    """A damaged file is refused, or is the same partition (a bit that zip does not use)."""
    path = tmp_path / "a.npz"
    part.save(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.integers(0, 8 * len(data), 300):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            loaded = pr.load(path)
        except pr.FormatError:
            refused += 1
        else:
            assert tuple(loaded.vertex_exact) == tuple(part.vertex_exact)
            np.testing.assert_array_equal(loaded.face_weight, part.face_weight)
    assert refused > 200  # the rest hit dates and the like


def test_foreign_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", W0=np.ones((3, 2)), b0=np.zeros(3))
    with pytest.raises(pr.FormatError, match=r"names no schema and holds 'W0', 'b0'.*model"):
        pr.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", schema="somebody.else")
    with pytest.raises(pr.FormatError, match=r"schema 'somebody.else'"):
        pr.load(tmp_path / "b.npz")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(pr.FormatError, match=r"'readme.txt' is no array"):
        pr.load(tmp_path / "c.npz")


def test_newer_schema(part: pr.Partition, tmp_path: Path) -> None:
    part.save(tmp_path / "a.npz")
    newer = rewritten(tmp_path / "a.npz", schema_version=np.int64(7), vertex_w=np.zeros(3))
    with pytest.raises(
        pr.FormatError,
        match=r"written by a newer polyregions \(schema 7\), this one reads up to 5; upgrade",
    ):
        pr.load(newer)


@pytest.mark.parametrize("version", [0, -3, 1.0, [1], "1"])
def test_senseless_schema_version(version: object, part: pr.Partition, tmp_path: Path) -> None:
    part.save(tmp_path / "a.npz")
    with pytest.raises(pr.FormatError, match="schema_version is not a positive integer"):
        pr.load(rewritten(tmp_path / "a.npz", schema_version=version))


def test_pickled_objects_are_never_opened(part: pr.Partition, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    part.save(tmp_path / "a.npz")
    contents = dict(np.load(tmp_path / "a.npz"))
    for name in contents:
        hostile = np.empty((), dtype=object)
        hostile[()] = Bomb(marker)
        np.savez(tmp_path / "b.npz", allow_pickle=True, **contents | {name: hostile})
        with pytest.raises(pr.FormatError, match=r"pickled Python objects, which could run code"):
            pr.load(tmp_path / "b.npz")
    # A bare pickle under the name of an array, and as the whole file.
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("schema.npy", pickle.dumps(Bomb(marker)))
    (tmp_path / "d.npz").write_bytes(pickle.dumps(Bomb(marker)))
    for name in ("c.npz", "d.npz"):
        with pytest.raises(pr.FormatError):
            pr.load(tmp_path / name)
    assert not marker.exists()


def header(shape: tuple, descr: str) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ((1 << 62,), "<f8"),
        ((1 << 40, 1 << 40), "|u1"),
        ((-4,), "<f8"),
        ((3,), "<U0"),
        ((5,), "|V8"),
    ],
)
def test_declared_sizes_are_not_believed(shape: tuple, descr: str, tmp_path: Path) -> None:
    """Nothing is allocated for a header that its data cannot fill."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("schema.npy", header(shape, descr) + b"\0" * 40)
    with pytest.raises(pr.FormatError):
        pr.load(tmp_path / "a.npz")


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.npy", b"\0" * (2 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 10_000
    with pytest.raises(pr.FormatError, match="claims to unpack to more than"):
        pr.load(tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_odd_archives(tmp_path: Path) -> None:
    array = header((), "<i8") + b"\0" * 8
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("schema.npy", array)
        archive.writestr("schema.npy", array)
    with pytest.raises(pr.FormatError, match="holds 'schema' twice"):
        pr.load(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("../../../schema.npy", array)
    with pytest.raises(pr.FormatError, match="names no schema"):
        pr.load(tmp_path / "b.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def changed(values: np.ndarray, index: object, value: object) -> np.ndarray:
    copy = np.array(values)
    copy[index] = value
    return copy


def _damages(part: pr.Partition) -> dict[str, tuple[dict, str]]:
    """One contradiction each, with what must be said about it."""
    data, offsets = npz._encode(part.vertex_exact)
    doubled = [(2 * x, 2 * y, 2 * w) for x, y, w in part.vertex_exact]
    negated = [(-x, -y, -w) for x, y, w in part.vertex_exact]
    x, y, w = part.vertex_exact[3]
    moved = [*part.vertex_exact[:3], exact.point(x / w, y / w + 1e-9), *part.vertex_exact[4:]]
    equal = list(part.vertex_exact)
    equal[1] = equal[0]
    padded = np.concatenate([data, [0]]).astype(np.uint8)
    v, f, h = part.n_vertices, part.n_faces, part.n_units
    inner = int(np.flatnonzero(part.is_inner)[0])
    border = int(np.flatnonzero(~part.is_inner)[0])
    ends = part.edge_vertices
    same_map = np.zeros(f, dtype=np.int32)
    bits = npz._pack(part.face_pattern)

    def encoded(triples: list) -> dict:
        new_data, new_offsets = npz._encode(tuple(triples))
        return {"vertex_bytes": new_data, "vertex_offsets": new_offsets}

    return {
        "missing array": ({"edge_unit": None}, "lacks edge_unit"),
        "unknown array": ({"colour": np.zeros(3)}, "'colour', which is not of its schema"),
        "float indices": ({"edge_unit": part.edge_unit.astype(float)}, "must be int32"),
        "short indices": ({"edge_unit": part.edge_unit.astype(np.int64)}, "must be int32"),
        "float32": ({"face_bias": part.face_bias.astype(np.float32)}, "must be float64"),
        "other byte order": ({"face_bias": part.face_bias.astype(">f8")}, "must be float64"),
        "complex": ({"face_bias": part.face_bias.astype(complex)}, "dtype complex128"),
        "one axis less": ({"face_bias": part.face_bias[:, 0]}, "must have 2 axes"),
        "faces disagree": ({"face_bias": part.face_bias[1:]}, "does not go with"),
        "points in space": ({"vertex_xy": np.ones((v, 3))}, "does not go with"),
        "short offsets": ({"face_offsets": part.face_offsets[:-1]}, "wrong length"),
        "no faces": (
            {
                name: getattr(part, name)[:0]
                for name in part.__dataclass_fields__
                if name.startswith("face_")
                and name not in ("face_offsets", "face_vertices", "face_pattern")
            }
            | {"face_offsets": np.zeros(1, dtype=np.int32), "face_pattern_bits": bits[:, :0]},
            "holds no face",
        ),
        "nan vertex": ({"vertex_xy": changed(part.vertex_xy, 0, np.nan)}, "NaN or infinite"),
        "infinite map": ({"face_weight": changed(part.face_weight, 0, np.inf)}, "NaN or infinite"),
        "moved rounded vertex": (
            {"vertex_xy": changed(part.vertex_xy, (3, 0), part.vertex_xy[3, 0] + 1e-15)},
            r"vertex_xy\[3\] is farther from the exact vertex 3",
        ),
        "moved exact vertex": (encoded(moved), "is farther from the exact vertex"),
        "vertex not in lowest terms": (encoded(doubled), "lowest terms"),
        "negative denominator": (encoded(negated), "lowest terms"),
        "equal vertices": (
            encoded(equal) | {"vertex_xy": changed(part.vertex_xy, 1, part.vertex_xy[0])},
            "two vertices are equal",
        ),
        "vertex too large": (encoded([(10**400, 0, 1), *part.vertex_exact[1:]]), "is farther"),
        "idle byte": (
            {"vertex_bytes": padded, "vertex_offsets": changed(offsets, -1, len(padded))},
            "idle bytes",
        ),
        "offsets fall": ({"vertex_offsets": changed(offsets, 2, 0)}, "vertex_offsets does not fit"),
        "offsets end late": ({"vertex_offsets": changed(offsets, -1, 10**9)}, "does not fit"),
        "domain turned": ({"domain_xy": part.domain.xy[::-1]}, "strictly convex and counter"),
        "domain with idle corner": (
            {"domain_xy": np.insert(part.domain.xy, 1, [0, -1], axis=0)},
            "strictly convex",
        ),
        "domain not convex": (
            {"domain_xy": np.array([[-1.0, -1], [1, -1], [0, 0], [1, 1], [-1, 1]])},
            "not convex",
        ),
        "domain of two corners": ({"domain_xy": part.domain.xy[:2]}, "no domain"),
        "corner out of range": (
            {"face_vertices": changed(part.face_vertices, 0, v)},
            "face_vertices holds an index out of range",
        ),
        "edge end out of range": (
            {"edge_vertices": changed(part.edge_vertices, 0, -1)},
            "edge_vertices holds an index out of range",
        ),
        "edge face out of range": (
            {"edge_faces": changed(part.edge_faces, 0, f)},
            "edge_faces holds an index out of range",
        ),
        "no left face": (
            {"edge_faces": changed(part.edge_faces, (inner, 0), -1)},
            "no face on its left",
        ),
        "unit out of range": ({"edge_unit": changed(part.edge_unit, inner, h)}, "out of range"),
        "faces of an edge swapped": (
            {"edge_faces": changed(part.edge_faces, inner, part.edge_faces[inner, ::-1])},
            "edges and faces do not fit",
        ),
        "edge turned": (
            {"edge_vertices": changed(ends, border, ends[border, ::-1])},
            "edges and faces do not fit",
        ),
        "face turned": (
            {"face_vertices": changed(part.face_vertices, slice(0, 3), part.face_vertices[2::-1])},
            "edges and faces do not fit",
        ),
        "other unit": (
            {"edge_unit": changed(part.edge_unit, inner, (part.edge_unit[inner] + 1) % h)},
            "edge_unit does not go with face_pattern",
        ),
        "unit on the border": ({"edge_unit": changed(part.edge_unit, border, 0)}, "edge_unit"),
        "flipped pattern bit": (
            {"face_pattern_bits": changed(bits, (0, 0, 0), bits[0, 0, 0] ^ 128)},
            "edge_unit does not go with face_pattern",
        ),
        "a unit that does not exist": (
            {"face_pattern_bits": changed(bits, (0, -1, -1), bits[0, -1, -1] | 1)},
            "units that do not exist",
        ),
        "bytes without units": (
            {"face_pattern_bits": np.pad(bits, [(0, 0), (0, 0), (0, 1)])},
            "has not the shape",
        ),
        "no plane": ({"face_pattern_bits": bits[:0]}, "has not the shape"),
        "nine planes": ({"face_pattern_bits": np.repeat(bits, 9, axis=0)}, "has not the shape"),
        "idle plane": (
            {"face_pattern_bits": np.concatenate([bits, 0 * bits])},
            "idle plane",
        ),
        "two corners": (
            {"face_offsets": changed(part.face_offsets, 1, 2)},
            "face_offsets does not fit",
        ),
        "layers from 1": ({"unit_layer": part.unit_layer + 1}, "unit_layer"),
        "layers backwards": ({"unit_layer": part.unit_layer[::-1]}, "unit_layer"),
        "piece out of range": ({"face_affine_piece": same_map - 1}, "out of range"),
        "different maps called equal": ({"face_affine_piece": same_map}, "face_affine_piece"),
        "negative bounds": ({"face_bias_error": -part.face_bias_error}, "a negative bound"),
        "negative vertex bounds": ({"vertex_error": -part.vertex_error}, "a negative bound"),
        "piece numbers with gaps": (
            {"face_affine_piece": changed(part.face_affine_piece, -1, f - 1)},
            "face_affine_piece",
        ),
        "negative decisions": ({"decision_count": np.array([-1])}, "decision_count"),
        "engine is a number": ({"engine": np.int64(3)}, "engine is not a text"),
    }


@pytest.mark.parametrize(
    "name", _damages(pr.partition(random_layers((2, 3, 2), seed=0), engine="rational"))
)
def test_contradictions_are_refused(name: str, tmp_path: Path) -> None:
    layers = [
        ([[1.0, 0.25], [0.5, -1.0], [1.0, 1.0]], [0.1, 0.2, -0.3]),
        ([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], [-0.125, -0.25]),
        ([[1.0, 0.0], [-2.0, 0.0]], [0.0, 1.0]),  # one unit is unused, so that faces share maps
    ]
    part = pr.partition(layers, (-1, 1), engine="rational")
    assert 1 < part.count().affine_pieces < len(part)
    changes, message = _damages(part)[name]
    part.save(tmp_path / "a.npz")
    pr.load(rewritten(tmp_path / "a.npz"))  # unchanged, it is fine
    with pytest.raises(pr.FormatError, match=message) as caught:
        pr.load(rewritten(tmp_path / "a.npz", **changes))
    assert "changed.npz" in str(caught.value)


# -- GeoJSON -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["one face", "ordinary", "triangle", "several pieces"])
def test_geojson(name: str) -> None:
    model, domain = CASES[name]
    part = pr.partition(model, domain)
    collection = json.loads(json.dumps(part.to_geojson(), allow_nan=False))
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == len(part)
    for f, feature in enumerate(collection["features"]):
        assert feature["type"] == "Feature"
        assert feature["id"] == f
        geometry, properties = feature["geometry"], feature["properties"]
        [ring] = geometry["coordinates"]
        assert geometry["type"] == "Polygon"
        assert ring[0] == ring[-1]
        assert len(ring) >= 4
        assert ring[:-1] == part.vertex_xy[part.face(f)].tolist()
        assert shapely.LinearRing(ring).is_ccw
        shape = shapely.geometry.shape(geometry)
        assert shape.area == pytest.approx(properties["area"])
        assert set(properties) == {
            "face", "area", "pattern", "weight", "bias", "linear_region", "affine_piece",
        }  # fmt: skip
        assert properties["face"] == f
        assert list(map(int, properties["pattern"])) == part.face_pattern[f].tolist()
        assert properties["weight"] == part.face_weight[f].tolist()
        assert properties["bias"] == part.face_bias[f].tolist()
        assert properties["linear_region"] == part.face_linear_region[f]
        assert properties["affine_piece"] == part.face_affine_piece[f]
    xmin, ymin, xmax, ymax = collection["bbox"]
    assert (xmin, ymin, xmax, ymax) == part.domain.bounds


def test_geojson_is_read_back_by_others(part: pr.Partition) -> None:
    text = json.dumps(part.to_geojson())
    shapes = shapely.from_geojson(text)
    assert shapely.get_num_geometries(shapes) == len(part)
    assert shapes.area == pytest.approx(4.0)


def test_pattern_texts() -> None:
    def texts(*patterns: list[int]) -> list[str]:
        return geojson.pattern_texts(np.array(patterns, dtype=np.uint8))

    assert texts([0, 1, 2, 9], [9, 0, 0, 0]) == ["0129", "9000"]
    assert texts([0, 10, 2], [1, 2, 3], [255, 0, 0]) == ["0,10,2", "123", "255,0,0"]
    assert texts([], []) == ["", ""]
