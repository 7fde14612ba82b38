"""The NNet text format: what is read, what is refused, and the networks of ACAS Xu."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import networks
import numpy as np
import pytest

import polyregions as pr
from polyregions import cli
from polyregions.formats import nnet
from polyregions.forward import forward_of
from polyregions.io import load_model, load_network
from polyregions.network import Affine, Network, Scale

REAL = (
    "ACASXU_run2a_1_1_batch_2000.nnet",
    "ACASXU_run2a_2_9_batch_2000.nnet",
    "HCAS_rect_v6_pra0_tau00_25HU_3000.nnet",
)
ACAS = REAL[0]

# (x - mean) / range makes (u, v) = ((x - 1) / 4, (y + 2) / 10); the layers bend where u, v and
# u - v are 0, and give relu(u) + 2 relu(v) - relu(u - v) + 1/2.
SMALL = """\
// A comment
// another
2,2,1,3,
2,3,1,
0,
-10.0,-20.0,
10.0,20.0,
1.0,-2.0,7.5,
4.0,10.0,8.0,
1.0,0.0,
0.0,1.0,
1.0,-1.0,
0.0,
0.0,
0.0,
1.0,2.0,-1.0,
0.5,
"""


@pytest.fixture
def write(tmp_path: Path):
    def to_file(text: str | bytes, name: str = "net.nnet") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return to_file


def with_line(number: int, text: str | None, source: str = SMALL) -> str:
    """The file with one of its lines, from 1, put in another's place or left out."""
    lines = source.splitlines()
    lines[number - 1 : number] = [] if text is None else [text]
    return "\n".join(lines) + "\n"


def formula(path: Path, points: np.ndarray) -> np.ndarray:
    """The format's own evaluation inside the bounds, written down anew; values (N, M)."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("//")]
    rows = [[float(v) for v in line.split(",") if v.strip()] for line in lines]
    widths = [int(v) for v in rows[1]]
    means, ranges = np.array(rows[5]), np.array(rows[6])
    x = (points - means[:-1]) / ranges[:-1]
    rest = rows[7:]
    for i, width in enumerate(widths[1:]):
        weight, bias, rest = rest[:width], rest[width : 2 * width], rest[2 * width :]
        x = np.maximum(x, 0) if i else x
        x = x @ np.array(weight).T + np.array(bias)[:, 0]
    assert not rest
    return x * ranges[-1] + means[-1]


def by_hand(points: np.ndarray) -> np.ndarray:
    """What SMALL means."""
    u, v = (points[:, 0] - 1) / 4, (points[:, 1] + 2) / 10
    inner = np.maximum(u, 0) + 2 * np.maximum(v, 0) - np.maximum(u - v, 0) + 0.5
    return (inner * 8 + 7.5)[:, None]


def in_the_box(model: nnet.NNet, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(model.input_min, model.input_max, (n, model.n_inputs))


# -- what is read ------------------------------------------------------------------------------


def test_a_small_file(write) -> None:
    path = write(SMALL)
    model = load_model(path)
    network = pr.lower(model)
    assert repr(model) == "<NNet 2-3-1>"
    assert repr(network) == "<Network 2-3-1, 3 units>"
    x = in_the_box(model, 1000)
    np.testing.assert_allclose(network(x), by_hand(x), rtol=0, atol=1e-13)
    np.testing.assert_allclose(formula(path, x), by_hand(x), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(load_network(path)(x), network(x))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).ranges, [4, 10, 8])


@pytest.mark.parametrize("name", REAL)
def test_real_networks_agree_with_the_formula(name: str) -> None:
    path = networks.real_network(name)
    model = load_model(path)
    x = in_the_box(model, 10_000)
    expected = formula(path, x)
    np.testing.assert_allclose(pr.lower(model)(x), expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(forward_of(model).values(x), expected, rtol=0, atol=1e-11)


def test_acas_agrees_with_its_onnx_version() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = load_model(networks.real_network(ACAS))
    session = onnxruntime.InferenceSession(
        networks.real_network("ACASXU_run2a_1_1_nnet_f64.onnx"),
        providers=["CPUExecutionProvider"],
    )
    [given] = session.get_inputs()
    x = in_the_box(model, 1000)
    # That file holds the layers alone, for one normalised point at a time.
    z = (x - model.means[:-1]) / model.ranges[:-1]
    inner = np.concatenate([session.run(None, {given.name: row[None]})[0] for row in z])
    expected = inner * model.ranges[-1] + model.means[-1]
    np.testing.assert_allclose(pr.lower(model)(x), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace(",\n", "\n"),
        lambda text: text.replace(",\n", ", \n").replace(",", " , "),
        lambda text: text.replace(",10.0", ",+1.0E+01").replace("0.5", "5e-1"),
        lambda text: text.replace("4.0,10.0", "// in between\n\n  // again\n4,10"),
        lambda text: "\ufeff" + text.replace("another", "größer"),
        lambda text: text.replace("2,2,1,3,", "2"),
        lambda text: text.replace("2,2,1,3,", "2, 2, 1, 99,"),  # a width nobody reads
        lambda text: text.replace("\n0,\n", "\nThis line is extraneous\n", 1),
    ],
)
def test_what_files_in_use_look_like(change, write) -> None:
    network = load_network(write(change(SMALL)))
    x = np.random.default_rng(0).uniform(-10, 10, (100, 2))
    np.testing.assert_array_equal(network(x), load_network(write(SMALL, "same.nnet"))(x))


@pytest.mark.parametrize(
    ("means", "ranges", "same_as"),
    [
        ("0", "0", ("0,0,0", "1,1,1")),
        ("0,", "0.0", ("0,0,0", "1,1,1")),
        ("0,0,0,", "0,0,0,", ("0,0,0", "1,1,1")),
        ("0,0,", "1,1,", ("0,0,0", "1,1,1")),
        ("1,-2,", "4,10,", ("1,-2,0", "4,10,1")),
        ("1,-2,0", "4,10,0", ("1,-2,0", "4,10,1")),
        ("1,0,7.5", "4,0,8", ("1,0,7.5", "4,1,8")),
        ("0", "4,10,8", ("0,0,0", "4,10,8")),
    ],
)
def test_zeroed_and_missing_normalisation(means: str, ranges: str, same_as, write) -> None:
    def network(means: str, ranges: str) -> Network:
        return load_network(write(with_line(9, ranges, with_line(8, means)), "a.nnet"))

    x = np.random.default_rng(0).uniform(-10, 10, (100, 2))
    np.testing.assert_array_equal(network(means, ranges)(x), network(*same_as)(x))


def test_a_header_of_zeros_normalises_nothing(write) -> None:
    text = "3\n1, 2, 2, 1\n0\n0\n0\n0\n0\n1\n1\n1.5\n1.5\n2, 2\n2, 2\n2.5\n2.5\n-3, -3\n3.5\n"
    model = load_model(write(text))
    network = pr.lower(model)
    assert np.isinf(model.input_min).all()
    assert np.isinf(model.input_max).all()
    assert network.notes == ()
    x = np.array([[-5.0], [-1.5], [0.0], [2.0]])
    first = np.maximum(x + 1.5, 0)
    second = np.maximum(4 * first + 2.5, 0)
    np.testing.assert_array_equal(network(x), 3.5 - 6 * second)


def test_only_reciprocals_are_rounded(write) -> None:
    network = load_network(write(with_line(8, "0.1,-2.0,0.3", with_line(9, "3.0,10.0,0.7"))))
    shift, factor, *_, last = network.steps
    assert isinstance(shift, Scale)
    assert isinstance(factor, Scale)
    assert isinstance(last, Scale)
    np.testing.assert_array_equal(shift.scale, [1, 1])
    np.testing.assert_array_equal(shift.shift, [-0.1, 2])
    np.testing.assert_array_equal(factor.shift, [0, 0])
    np.testing.assert_array_equal([last.scale, last.shift], [[0.7], [0.3]])
    for got, divisor in zip(factor.scale, (3, 10), strict=True):
        off = abs(Fraction(float(got)) - Fraction(1, divisor))
        assert 0 < off <= Fraction(math.ulp(got)) / 2
    assert any("reciprocals of the divisors are rounded" in note for note in network.notes)
    exact = load_network(write(with_line(9, "4.0,0.125,0.7")))
    assert not any("rounded" in note for note in exact.notes)


def test_notes(write) -> None:
    clipped, *rest = load_network(write(with_line(9, "4,8,1"))).notes
    assert "not clipped" in clipped
    assert not rest
    free = with_line(6, "-inf,-inf", with_line(7, "inf,inf", with_line(9, "4,8,1")))
    assert load_network(write(free)).notes == ()
    [_, flag] = load_network(write(with_line(5, "1,", with_line(9, "4,8,1")))).notes
    assert "mirrored" in flag


# -- what is refused ---------------------------------------------------------------------------

LARGE = 10**8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends behind line 0, where the number of layers"),
        ("// only a comment\n", "ends behind line 0"),
        ("Neural Network File Format\n" + SMALL, "line 1 .* number of layers .* 'Neural Network"),
        (with_line(3, "0,2,1,3"), "line 3 .* as positive integers; it holds '0'"),
        (with_line(3, "2.0,2,1,3"), "line 3 .* it holds '2.0'"),
        (with_line(3, "2,2,1,3,1"), "line 3 .* 1 to 4 values; it holds 5"),
        (with_line(3, "3,2,1,3"), "line 4 .* 4 values; it holds 3"),
        (with_line(3, "2,5,1,3"), "line 4 .* speaks of 2 inputs, the line before it of 5"),
        (with_line(3, "2,2,5,3"), "line 4 .* speaks of 1 outputs, the line before it of 5"),
        (with_line(4, "2,-3,1"), "line 4 .* it holds '-3'"),
        (with_line(4, "2,٣,1"), "line 4 .* as positive integers"),
        (with_line(6, "-10"), "line 6 .* smallest value of each input, 2 values, or 0 .*holds 1"),
        (with_line(7, "10,nan"), "line 7 .* largest value .*it holds 'nan'"),
        (with_line(8, "1,2,3,4"), "line 8 .* 3 or 2 values, or 0 for none; it holds 4"),
        (with_line(9, "4,ten,8"), "line 9 .* as finite numbers; it holds 'ten'"),
        (with_line(9, "4,0,8"), "line 9 .* range, or one of 0, for input 2, whose mean is -2"),
        (with_line(9, "4,10,0"), "line 9 .* for the outputs, whose mean is 7.5"),
        (with_line(9, "4,10"), "line 9 .* for the outputs, whose mean is 7.5"),
        (with_line(9, "0"), "line 9 .* for input 1, whose mean is 1"),
        (with_line(9, "4,1e999,8"), "line 9 .* as finite numbers; it holds '1e999'"),
        (with_line(10, "1.0"), "line 10 .* row 1 of the weight of layer 1 of 2, 2 values; .* 1"),
        (with_line(10, "1.0,,"), "line 10 .* it holds ''"),
        (with_line(10, "1.0,1_0"), "line 10 .* it holds '1_0'"),
        (with_line(10, "1.0,0x1"), "line 10 .* it holds '0x1'"),
        (with_line(10, "1.0,inf"), "line 10 .* it holds 'inf'"),
        (with_line(10, "1.0 2.0"), "line 10 .* 2 values; it holds 1"),
        (with_line(10, "1.0," + "9" * 5000 + "x"), r"line 10 .* it holds '9{40} \.\.\.'"),
        (with_line(10, None), "line 12 .* row 3 of the weight of layer 1 of 2, 2 values; .* 1"),
        (with_line(13, None), "line 15 .* entry 3 of the bias of layer 1 of 2, 1 value; .* 3"),
        (with_line(17, None), "ends behind line 16, where entry 1 of the bias of layer 2 of 2"),
        (SMALL + "1.0,\n", "line 18 .* left over behind the last bias: '1.0,'"),
        (with_line(4, f"2,{LARGE},1"), r"line 4 .* more weights than the \d+ bytes"),
        (with_line(3, f"{LARGE}"), f"line 4 .* {LARGE + 1} values; it holds 3"),
        (with_line(3, "9" * 5000), "line 3 .* as positive integers"),
        (b"\x00\xff" * 100, "line 1 .* as positive integers"),
        (SMALL.replace("\n", ""), "ends behind line 0"),
    ],
)  # fmt: skip
def test_broken_files(text: str | bytes, message: str, write) -> None:
    with pytest.raises(pr.FormatError, match=message) as caught:
        load_model(write(text))
    assert "net.nnet" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_every_cut_of_a_file_is_refused(write) -> None:
    text = SMALL.removesuffix("0.5,\n")
    for end in range(len(text)):
        with pytest.raises(pr.FormatError):
            load_model(write(text[:end]))


def test_large_files_are_refused(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nnet, "MAX_BYTES", 50)
    with pytest.raises(pr.FormatError, match="more than 50 bytes"):
        load_model(write(SMALL))


def test_a_range_whose_reciprocal_overflows(write) -> None:
    with pytest.raises(ValueError, match=r"input normalisation divides by .*which overflows"):
        load_network(write(with_line(9, "4,1e-310,8")))


def test_a_path_is_no_model(write) -> None:
    with pytest.raises(TypeError, match=r"got str; polyregions\.load_model opens"):
        pr.lower(str(write(SMALL)))


# -- what is made of them ----------------------------------------------------------------------


def test_partition_and_verify(write) -> None:
    model = load_model(write(SMALL))
    part = pr.partition(model, domain=(-9, -12, 11, 8))
    # Three lines through the point of the means, in a box around it.
    assert len(part) == 6
    assert (1.0, -2.0) in map(tuple, part.vertex_xy.tolist())
    report = pr.verify(part, model, resolution=50)
    assert report.ok, report
    assert report.check("jacobians").n > 2000
    x = np.random.default_rng(0).uniform((-9, -12), (11, 8), (100, 2))
    np.testing.assert_allclose(part(x), by_hand(x), rtol=0, atol=1e-13)
    other = nnet.read(write(with_line(9, "4,10.0001,8"), "other.nnet"))
    assert not pr.verify(part, other, resolution=50).ok


def test_command_line(write, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(SMALL))
    domain = ["--domain", "-9", "-12", "11", "8", "--no-progress"]
    assert cli.main(["count", path, *domain]) == 0
    assert "  6 activation regions" in capsys.readouterr().out
    assert cli.main(["verify", path, *domain, "--resolution", "20"]) == 0
    assert cli.main(["count", path, "--activation", "abs"]) == 2
    assert "--activation does not apply to this kind of model" in capsys.readouterr().err
    assert cli.main(["count", str(write(with_line(9, "x"), "bad.nnet"))]) == 2
    assert "error: line 9 of" in capsys.readouterr().err


def test_reading_needs_no_torch(write) -> None:
    path = write(SMALL)
    code = (
        "import sys; from polyregions.io import load_network; "
        f"load_network({str(path)!r}); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- ACAS Xu -----------------------------------------------------------------------------------

WHOLE = (0.0, -math.pi, math.hypot(10_000, 6_000), math.pi)


def acas_slice(intruder_speed: float, name: str = ACAS) -> Network:
    """Range and angle, the intruder heading the other way, own speed 150."""
    network = load_network(networks.real_network(name))
    weight = np.zeros((5, 2))
    weight[0, 0] = weight[1, 1] = 1
    plane = Affine(weight, [0, 0, -math.pi, 150, intruder_speed], "the plane")
    return Network((plane, *network.steps), 2, network.notes)


def test_the_plane_of_acas_is_in_its_box() -> None:
    model = load_model(networks.real_network(ACAS))
    assert model.input_min[1] < -math.pi < math.pi < model.input_max[1]
    assert model.input_min[2] < -math.pi
    assert WHOLE[2] < model.input_max[0]


@pytest.mark.parametrize("speed", [150.0, 500.0])
def test_acas_whole(speed: float) -> None:
    network = acas_slice(speed)
    part = pr.partition(network, domain=WHOLE)
    assert 10_000 < len(part) < 100_000
    assert part.certificate.ok, part.certificate
    decisions = part.certificate.decisions
    assert decisions["integer"] < 1e-3 * sum(decisions.values())
    x = np.random.default_rng(1).uniform(WHOLE[:2], WHOLE[2:], (10_000, 2))
    raw = np.column_stack([x, np.tile([-math.pi, 150, speed], (len(x), 1))])
    expected = formula(networks.real_network(ACAS), raw)
    np.testing.assert_allclose(part(x), expected, rtol=0, atol=1e-10)


def test_acas_in_detail() -> None:
    network = acas_slice(150.0)
    corner = (1000.0, -0.5, 2000.0, 0.5)
    part = pr.partition(network, domain=corner)
    report = pr.verify(part, network, resolution=40)
    assert report.ok, report
    small = (1500.0, -0.1, 1700.0, 0.1)
    a, b = (pr.partition(network, small, engine=e) for e in ("exact", "rational"))
    assert 20 < len(a) == len(b)
    assert set(map(bytes, a.face_pattern)) == set(map(bytes, b.face_pattern))
    assert a.count() == b.count()
    assert (a.n_vertices, a.n_edges) == (b.n_vertices, b.n_edges)
