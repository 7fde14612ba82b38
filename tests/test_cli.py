"""The command line: what it prints, writes and returns, and how it fails."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

import polyregions as pr
from polyregions import cli_parser, compilation
from polyregions.cli import COMMANDS, main
from polyregions.progress import reporter


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    linear = [nn.Linear(a, b) for a, b in [(2, 5), (5, 5), (5, 5), (5, 5), (5, 1)]]
    return nn.Sequential(*[m for layer in linear for m in (layer, nn.ReLU())][:-1])


@pytest.fixture
def net() -> str:
    """The deep network of the worksheet, 2-5-5-5-5-1, as a state dict."""
    torch.save(deep().state_dict(), "net.pt")
    return "net.pt"


@pytest.fixture
def part(net: str) -> str:
    pr.partition(deep(), (-10, 10)).save("part.npz")
    return "part.npz"


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(list(argv))
    out, err = capsys.readouterr()
    return status, out, err


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The message of a command that must fail in the one way in which commands fail."""
    status, out, err = run(capsys, *argv)
    assert status == 2
    assert out == ""
    assert err.startswith("polyregions: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, "one line"
    assert "Traceback" not in err
    return err


# -- count -------------------------------------------------------------------------------------


def faces_after_each_layer() -> list[int]:
    """Counted by partitions of the layers so far."""
    layers = list(deep())
    return [len(pr.partition(nn.Sequential(*layers[: 2 * n]), (-10, 10))) for n in (1, 2, 3, 4)]


def test_count(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "count", net, "--domain", "-10", "10")
    assert (status, err) == (0, "")
    by_layer = ", ".join(map(str, faces_after_each_layer()))
    assert out == (
        "Regions of [-10, 10] x [-10, 10] by 20 units in 4 layers (5-5-5-5)\n"
        f"  81 activation regions\n  after each layer: {by_layer}\n"
    )


def test_count_makes_no_partition(
    net: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(pr, "partition")
    monkeypatch.setitem(pr._HOMES, "partition", "nowhere")
    assert run(capsys, "count", net, "--domain", "-10", "10")[0] == 0
    with pytest.raises(ModuleNotFoundError):
        main(["count", net, "--domain", "-10", "10", "--linear"])


def test_count_linear_regions(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "count", net, "--domain", "-10", "10", "--linear")
    assert (status, err) == (0, "")
    assert "Partition of [-10, 10] x [-10, 10] by 20 units in 4 layers (5-5-5-5)" in out
    for line in ("81 activation regions", "77 linear regions", "101 vertices, 181 edges, 81 faces"):
        assert line in out
    assert "yes" not in out  # no certificate unless asked for
    assert f"faces after each layer: {', '.join(map(str, faces_after_each_layer()))}\n" in out


def test_count_only_as_json(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "count", net, "--domain", "-10", "10", "--json")
    assert status == 0
    assert json.loads(out) == {
        "polyregions": pr.__version__,
        "model": net,
        "domain": {"bounds": [-10, -10, 10, 10]},
        "counts": {"activation_regions": 81, "linear_regions": None, "affine_pieces": None},
        "units": 20,
        "outputs": 1,
        "layers": [{"units": 5, "faces": n} for n in faces_after_each_layer()],
    }


def test_count_json(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "count", net, "--domain", "-10", "10", "--json", "--certificate")
    assert status == 0
    facts = json.loads(out)
    part = pr.partition(deep(), (-10, 10))
    assert facts["counts"] == part.count()._asdict()
    assert facts["counts"]["activation_regions"] == 81
    assert facts["counts"]["linear_regions"] == 77
    assert facts["vertices"] - facts["edges"] + facts["faces"] == 1
    assert facts["domain"] == {"bounds": [-10, -10, 10, 10]}
    assert [layer["units"] for layer in facts["layers"]] == [5, 5, 5, 5]
    assert facts["layers"][-1]["faces"] == 81
    smallest, largest = facts["smallest_face"], facts["largest_face"]
    assert smallest["index"] == part.areas.argmin()
    error = part.area_error[smallest["index"]]
    assert smallest["area"] == pytest.approx(part.areas.min(), abs=error, rel=0)
    assert smallest["centroid"] == pytest.approx(part.centroids[smallest["index"]].tolist())
    assert largest["area"] == pytest.approx(part.areas.max(), rel=1e-9)
    assert facts["certificate"]["ok"] is True
    assert all(facts["certificate"]["checks"].values())
    assert facts["certificate"]["decisions"]["float64"] > 0
    assert facts["polyregions"] == pr.__version__


def test_count_certificate(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "count", part, "--certificate")
    assert status == 0
    assert str(pr.load(part).certificate) in out


def test_count_certificate_that_fails(
    part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged partition that a careful loader would still take: a domain that is too large."""
    loaded = pr.load(part)
    larger = dataclasses.replace(loaded, domain=pr.partition(deep(), (-11, 11)).domain)
    monkeypatch.setattr(pr, "load", lambda path: larger)
    status, out, _ = run(capsys, "count", part, "--certificate")
    assert status == 1
    assert "NO " in out
    status, out, _ = run(capsys, "count", part, "--certificate", "--json")
    assert status == 1
    assert json.loads(out)["certificate"]["ok"] is False


def test_count_of_an_affine_model(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("flat.npz", W0=np.ones((1, 2)))
    status, out, _ = run(capsys, "count", "flat.npz")
    assert status == 0
    assert "1 activation regions" in out or "1 activation region" in out
    assert "faces after each layer" not in out
    status, out, _ = run(capsys, "count", "flat.npz", "--json")
    assert json.loads(out)["layers"] == []


def test_areas_beyond_float64_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("net.npz", W0=np.eye(2), W1=np.ones((1, 2)))
    status, out, _ = run(
        capsys, *["count", "net.npz", "--json", "--linear", "--domain", "-1e200", "1e200"]
    )
    assert status == 0
    assert json.loads(out)["largest_face"]["area"] is None


@pytest.mark.parametrize(
    ("words", "bounds"),
    [
        (["--domain", "-10", "10"], [-10, -10, 10, 10]),
        (["--domain", "-1e1", "+1E1"], [-10, -10, 10, 10]),
        (["--domain", "-.5", "1."], [-0.5, -0.5, 1, 1]),
        (["--domain=-3,4"], [-3, -3, 4, 4]),
        (["--domain", "-3", "-2", "-1", "2.5"], [-3, -2, -1, 2.5]),
        ([], [-1, -1, 1, 1]),
    ],
)
def test_domains(
    words: list[str], bounds: list[float], net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for argv in (["count", net, *words, "--json"], ["count", *words, "--json", net]):
        status, out, _ = run(capsys, *argv)
        assert status == 0
        assert json.loads(out)["domain"]["bounds"] == bounds


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--domain"], "takes LO HI or XMIN YMIN XMAX YMAX"),
        (["--domain", "1"], "takes LO HI or XMIN YMIN XMAX YMAX"),
        (["--domain", "1", "2", "3"], "takes LO HI or XMIN YMIN XMAX YMAX"),
        (["--domain", "1", "2", "3", "4", "5"], "takes LO HI or XMIN YMIN XMAX YMAX"),
        (["--domain=a,b"], "takes LO HI or XMIN YMIN XMAX YMAX"),
        (["--domain", "1", "-1"], "bounds reversed"),
        (["--domain", "1", "1"], "no area"),
        (["--domain", "0", "inf"], "infinite"),
        (["--domain", "nan", "1"], "NaN"),
    ],
)
def test_bad_domains(
    words: list[str], message: str, net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(capsys, "count", net, *words)


# -- options for models ------------------------------------------------------------------------


def test_activation_and_transpose(capsys: pytest.CaptureFixture[str]) -> None:
    first, last = [[1.0, 1.0], [1.0, -1.0]], [[1.0], [3.0]]
    np.savez("net.npz", W0=np.array(first), W1=np.array(last))
    assert "--transpose" in fails(capsys, "count", "net.npz")
    for activation in ("relu", "abs", "leaky_relu:0.5", "hardtanh:-1:0.5", "identity"):
        status, out, _ = run(
            capsys, "count", "net.npz", "--transpose", "--activation", activation, "--json"
        )
        faces = {"hardtanh:-1:0.5": None, "identity": 1}.get(activation, 4)
        assert status == 0
        assert faces in (None, json.loads(out)["counts"]["activation_regions"])
    assert "must be one of relu" in fails(capsys, "count", "net.npz", "--activation", "tanh")


def test_max_regions(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "count", net, "--domain", "-10", "10", "--max-regions", "20")
    assert "max_regions=20" in message
    assert "max_regions must be at least 1" in fails(capsys, "count", net, "--max-regions", "0")
    status, _, _ = run(capsys, "count", net, "--domain", "-10", "10", "--max-regions", "81")
    assert status == 0


def test_engine(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "count", net, "--engine", "rational", "--linear", "--json")
    assert status == 0
    assert json.loads(out)["engine"] == "rational"
    assert "invalid choice: 'fast'" in fails(capsys, "count", net, "--engine", "fast")


@pytest.mark.parametrize(
    "words",
    [
        ["--domain", "0", "1"],
        ["--engine", "auto"],
        ["--max-regions", "0"],
        ["--max-memory", "4G"],
        ["--threads", "2"],
        ["--progress"],
        ["--activation", "relu"],
        ["--transpose"],
    ],
)
def test_options_that_do_not_apply(
    words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    message = fails(capsys, "count", part, *words)
    assert f"{words[0]} does not apply to a saved partition" in message


@pytest.mark.parametrize("model", ["net.pt2", "net.py:make"])
def test_activation_of_a_program_is_its_own(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "count", model, "--activation", "abs")
    assert "--activation does not apply to this kind of model" in message


def test_own_code(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.py").write_text(
        "def make():\n    return [([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), ([[1.0, 1.0]], None)]\n"
        "def broken():\n    raise ZeroDivisionError('line 1\\nline 2')\n"
    )
    status, out, _ = run(capsys, "count", "model.py:make", "--json")
    assert status == 0
    assert json.loads(out)["counts"]["activation_regions"] == 4
    assert "broken() raised ZeroDivisionError: line 1 line 2" in fails(
        capsys, "count", "model.py:broken"
    )


def test_count_of_maxima(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.py").write_text(
        "import numpy as np\nfrom polyregions.network import Affine, Maximum, Network\n"
        "cut = Affine([[1, 0], [0, 1], [1, 1]], [0, 0, -0.5])\n"
        "net = Network((cut, Maximum([[0, 1], [0, 2]], 3)), 2)\n"
    )
    status, out, _ = run(capsys, "count", "model.py:net")
    assert status == 0
    assert "by 2 units in 1 layer (2)" in out
    status, out, _ = run(capsys, "count", "model.py:net", "--json")
    assert json.loads(out)["layers"] == [{"units": 2, "faces": 4}]  # x = y and y = 1/2 cross
    status, out, _ = run(capsys, "count", "model.py:net", "--json", "--linear")
    assert json.loads(out)["layers"] == [{"units": 2, "faces": 4}]


def test_program(capsys: pytest.CaptureFixture[str]) -> None:
    program = torch.export.export(deep().eval(), (torch.zeros(1, 2),))
    torch.export.save(program, "net.pt2")
    status, out, _ = run(capsys, "verify", "net.pt2", "--domain", "-10", "10", "--resolution", "50")
    assert status == 0
    assert "Verification passed" in out


# -- plot --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words", "magic"),
    [
        ("a.png", [], b"\x89PNG"),
        ("a.pdf", ["--color", "value", "--lines", "crease"], b"%PDF"),
        ("a.svg", ["--color", "none", "--lines", "jump"], b"<?xml"),
        ("A.PNG", ["--color", "area", "--lines", "none", "--dpi", "50", "--size", "3"], b"\x89PNG"),
        ("b.png", ["--color", "layer"], b"\x89PNG"),
        ("c.png", ["--color", "count", "--component", "0"], b"\x89PNG"),
    ],
)
def test_plot(
    name: str, words: list[str], magic: bytes, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for attempt in ("", "again-"):
        status, out, err = run(capsys, "plot", part, "-o", attempt + name, *words)
        assert (status, out, err) == (0, f"{attempt}{name}: 81 faces\n", "")
    data = Path(name).read_bytes()
    assert data.startswith(magic)
    assert data == Path("again-" + name).read_bytes(), "equal pictures are equal bytes"


def test_plot_of_a_model(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, _ = run(capsys, "plot", net, "--domain", "-10", "-5", "10", "5", "--out", "a.png")
    assert status == 0
    assert Path("a.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "a.jpg"], "a.jpg must end in .png, .svg, .pdf"),
        (["-o", "nowhere/a.png"], "there is no folder nowhere"),
        ([], "required: -o/--out"),
        (["-o", "a.png", "--color", "red"], "invalid choice: 'red'"),
        (["-o", "a.png", "--component", "3"], "output"),
        (["-o", "a.png", "--dpi", "0"], "must be a positive number"),
        (["-o", "a.png", "--size", "inf"], "must be a positive number"),
        (["-o", "a.png", "--size", "x"], "must be a positive number, got 'x'"),
    ],
)
def test_bad_plots(
    words: list[str], message: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in fails(capsys, "plot", part, *words)
    assert not Path("a.png").exists()


# -- verify ------------------------------------------------------------------------------------


def test_verify(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--domain", "-10", "10", "--resolution", "60"]
    status, out, _ = run(capsys, "verify", net, *words)
    part = pr.partition(deep(), (-10, 10))
    report = pr.verify(part, deep(), resolution=60)
    assert status == 0
    assert out == f"{report}\n"
    status, out, _ = run(capsys, "verify", net, *words, "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["ok"] is True
    assert facts["resolution"] == 60
    assert facts["precision"] == "float32"
    assert [check["name"] for check in facts["checks"]] == [c.name for c in report.checks]
    assert all(check["n_wrong"] == 0 for check in facts["checks"])
    assert [m["face"] for m in facts["missed"]] == report.missed_faces.tolist()
    assert facts["n_hit"] + len(facts["missed"]) == 81


def test_verify_a_saved_partition(net: str, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--partition", part, "--resolution", "50"]
    status, out, _ = run(capsys, "verify", net, *words)
    assert status == 0
    assert "Verification passed" in out
    message = fails(capsys, "verify", net, *words, "--domain", "-1", "1")
    assert "--domain does not apply with --partition" in message


@pytest.mark.parametrize("json_words", [[], ["--json"]])
def test_verify_fails(
    json_words: list[str], net: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model's partition: the same shape, other weights."""
    torch.manual_seed(1)
    other = {name: torch.randn_like(value) for name, value in deep().state_dict().items()}
    torch.save(other, "other.pt")
    words = ["verify", "other.pt", "--partition", part, "--resolution", "50", *json_words]
    status, out, _ = run(capsys, *words)
    assert status == 1
    if json_words:
        assert json.loads(out)["ok"] is False
    else:
        assert "FAILED" in out


def test_verify_needs_a_model(part: str, net: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a saved partition, not a model" in fails(capsys, "verify", part)
    assert "resolution must be at least 3" in fails(capsys, "verify", net, "--resolution", "2")


# -- export ------------------------------------------------------------------------------------


def test_export(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "export", net, "--domain", "-10", "10", "-o", "a.npz")
    assert status == 0
    assert out == f"a.npz: 81 faces, {Path('a.npz').stat().st_size:,} bytes\n"
    part = pr.load("a.npz")
    assert part.count() == (81, 77, 77)
    status, out, _ = run(capsys, "export", "a.npz", "-o", "a.geojson", "--json")
    assert status == 0
    facts = json.loads(out)
    assert facts["out"] == "a.geojson"
    assert facts["bytes"] == Path("a.geojson").stat().st_size
    assert facts["counts"]["activation_regions"] == 81
    assert json.loads(Path("a.geojson").read_text()) == part.to_geojson()
    status, _, _ = run(capsys, "export", "a.npz", "-o", "a.svg")
    assert status == 0
    assert ElementTree.parse("a.svg").getroot().tag.endswith("svg")
    status, _, _ = run(capsys, "export", "a.npz", "-o", "b.npz")
    assert status == 0
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()


@pytest.mark.parametrize("out", ["a", "a.png", "a.json", "npz"])
def test_export_to_an_unknown_format(
    out: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "must end in .npz, .geojson, .svg" in fails(capsys, "export", part, "-o", out)


def test_export_where_nothing_can_be_written(part: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.npz").mkdir()
    assert "a.npz: Is a directory" in fails(capsys, "export", part, "-o", "a.npz")


# -- demo --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"out": "out", "seed": 0, "quick": False}),
        (["--out", "x", "--seed", "7"], {"out": "x", "seed": 7, "quick": False}),
        (["-o", "x", "--seed", "random", "--quick"], {"out": "x", "seed": None, "quick": True}),
    ],
)
def test_demo_passes_its_options_on(
    words: list[str],
    expected: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from polyregions import worksheet

    calls = []
    monkeypatch.setattr(worksheet, "run", lambda **options: calls.append(options))
    assert run(capsys, "demo", *words)[0] == 0
    assert calls == [expected]


def test_demo_with_a_bad_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "must be an integer or 'random', got 'many'" in fails(capsys, "demo", "--seed", "many")


# -- help, errors and the rest -----------------------------------------------------------------


def test_too_little_memory_is_one_line(
    net: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify(*args: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 74.5 GiB")

    monkeypatch.setattr(pr, "verify", verify)
    assert "not enough memory" in fails(capsys, "verify", net)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: polyregions {command} ")
    assert f"\nexamples:\n  polyregions {command}" in out
    assert all(len(line) <= 100 for line in out.splitlines())
    if command != "demo":
        assert "your own code, which is run" in out


def test_examples_of_the_help_parse() -> None:
    """Every example names options that exist."""
    parser = cli_parser.build(COMMANDS, pr.__version__)
    lines = [line for text in cli_parser.EXAMPLES.values() for line in text.splitlines()]
    examples = [line.split("|")[0].split() for line in lines if line.startswith("  polyregions ")]
    assert len(examples) > 15
    for _, *argv in examples:
        args = parser.parse_args(cli_parser.join_domain(argv))
        assert callable(args.run)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(f"    {command} " in out for command in COMMANDS)
    assert run(capsys, "--version") == (0, f"polyregions {pr.__version__}\n", "")
    status, out, err = run(capsys)
    assert (status, out) == (2, "")
    assert err.startswith("usage: polyregions")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["count"], "required: MODEL (see polyregions count --help)"),
        (["count", "net.pt", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["count", "net.pt", "--cert"], "arguments: --cert (see polyregions count --help)"),
        (
            ["line", "net.pt", "--from", "0,0", "--to", "1,1", "--domain", "0", "1"],
            ": --domain 0 1",
        ),
        (["--certain"], "unrecognized arguments: --certain (see polyregions --help)"),
        (["count", "net.pt", "--fix", "1=nan"], "takes INPUT=VALUE, as in 2=0.5, got '1=nan'"),
        (["count", "missing.pt2"], "missing.pt2: No such file or directory"),
        (["count", "missing.npz"], "missing.npz: No such file or directory"),
        (["count", "missing.py:make"], "no file missing.py"),
        (["count", "."], "is no kind of model that is known"),
        (["count", "net.h5"], "is no kind of model that is known"),
        (["count", "damaged.npz"], "damaged.npz is not an .npz file"),
        (["count", "damaged.pt"], "damaged.pt is no state dict"),
        (["count", "damaged.pt2"], "damaged.pt2 is not a .pt2 program"),
        (["count", "three.npz"], "2-D slice"),
        (["count", "nan.npz"], "NaN or infinite"),
    ],
)
def test_errors_are_one_line(
    argv: list[str], message: str, net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("npz", "pt", "pt2"):
        Path(f"damaged.{suffix}").write_text("hello")
    np.savez("three.npz", W0=np.ones((3, 3)), W1=np.ones((1, 3)))
    np.savez("nan.npz", W0=np.full((3, 2), np.nan), W1=np.ones((1, 3)))
    assert message in fails(capsys, *argv)


def test_curved_layers(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(1, 2),)), "net.pt2")
    message = fails(capsys, "count", "net.pt2")
    assert "tanh" in message
    assert "nn.Hardtanh" in message


def test_traceback_on_demand() -> None:
    with pytest.raises(FileNotFoundError):
        main(["count", "missing.pt2", "--traceback"])


@pytest.mark.parametrize(
    ("stop", "line"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (pr.Interrupted("interrupted in layer 2 of 3", counts=(9,), layer=1),) * 2,
    ],
)
def test_interrupted(
    stop: BaseException,
    line: object,
    net: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise stop

    monkeypatch.setattr(pr, "count_regions", interrupt)
    assert run(capsys, "count", net) == (130, "", f"polyregions: {line}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"progress": False}),  # standard error is no terminal here
        (["--progress"], {"progress": True}),
        (["--no-progress"], {"progress": False}),
        (["--threads", "3"], {"progress": False, "threads": 3}),
        (["--max-memory", "1.5G"], {"progress": False, "max_memory": 3 << 29}),
        (["--max-regions", "7"], {"progress": False, "max_regions": 7}),
    ],
)
def test_what_computing_is_told(
    words: list[str],
    expected: dict,
    net: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = []

    def remember(network: pr.Network, domain: pr.Domain, **options: object) -> pr.Counts:
        given.append(options)
        return pr.Counts((1, 1, 1, 1))

    monkeypatch.setattr(pr, "count_regions", remember)
    assert run(capsys, "count", net, *words)[0] == 0
    assert given == [{"slice": None, **expected}]


def test_bar_on_a_terminal(
    net: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def remember(network: pr.Network, domain: pr.Domain, **options: object) -> pr.Counts:
        given.append(options["progress"])
        return pr.Counts((1, 1, 1, 1))

    monkeypatch.setattr(pr, "count_regions", remember)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for words in ([], ["--no-progress"], ["--progress"]):
        assert run(capsys, "count", net, *words)[0] == 0
    assert given == [True, False, True]


@pytest.mark.parametrize("size", ["", "4X", "-1G", "0", "nan", "inf", "4 gigabytes"])
def test_bad_amounts_of_memory(size: str, net: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "count", net, f"--max-memory={size}")
    assert "is no amount of memory" in message


@pytest.mark.parametrize(("words", "lines"), [([], 1), (["--no-progress"], 0), (["--progress"], 1)])
def test_compilation_is_said_once(
    words: list[str],
    lines: int,
    net: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Said wherever standard error goes, but for --no-progress."""

    def compile_two_kernels(*args: object, progress: bool, **options: object) -> pr.Counts:
        with reporter(progress):
            for _ in range(2):
                for watch in compilation._watches:
                    watch.begin()
                    watch.end()
        return pr.Counts((1, 1, 1, 1))

    monkeypatch.setattr(pr, "count_regions", compile_two_kernels)
    status, _, err = run(capsys, "count", net, *words)
    assert status == 0
    assert err == f"{compilation.MESSAGE}\n" * lines


def polyregions(*argv: str, **options: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "polyregions", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_as_a_process(part: str) -> None:
    done = polyregions("count", part, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["faces"] == 81
    done = polyregions("count", "missing.npz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "polyregions: error: missing.npz: No such file or directory\n"


@pytest.mark.parametrize(
    ("argv", "statuses"),
    # argparse itself swallows the error of an unbuffered write.
    [(["count", "part.npz"], {141}), (["--help"], {141, 0})],
)
def test_closed_pipe(argv: list[str], statuses: set[int], part: str) -> None:
    """Whoever reads may stop reading; that is no error to report."""
    command = [sys.executable, "-m", "polyregions", *argv]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() in statuses


@pytest.mark.parametrize(
    "argv", [["--help"], ["count", "--help"], ["count", "part.npz"], ["count", "arrays.npz"]]
)
def test_what_is_not_needed_is_not_imported(argv: list[str], part: str) -> None:
    np.savez("arrays.npz", W0=np.eye(2), W1=np.ones((1, 2)))
    code = (
        "import sys; from polyregions.cli import main; status = main(sys.argv[1:]);"
        "heavy = {'torch', 'matplotlib', 'sympy'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
