"""The main calls: their arguments, counts, limits and interruption; and what an import loads."""

from __future__ import annotations

import ast
import inspect
import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import polyregions as pr
from polyregions import engines, limits, reference
from polyregions.network import Convolution, Gather, Maximum, Network
from polyregions.progress import Progress, Reporter

CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]


def folds(n: int) -> list:
    """n layers that fold the square [0, 1]^2 in half along both axes: 4**n regions.

    A tent map 2 min(x, 1 - x) of each coordinate is 2 relu(x) - 4 relu(x - 1/2).
    """
    unfold = np.array([[2.0, -4.0, 0.0, 0.0], [0.0, 0.0, 2.0, -4.0]])
    split, shift = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), [0, -0.5, 0, -0.5]
    return [(split, shift), *[(split @ unfold, shift)] * (n - 1), (np.ones((1, 2)) @ unfold, [0.0])]


# -- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", limits.ENGINES)
def test_count_of_folds(engine: str) -> None:
    counts = pr.count_regions(folds(4), (0, 1), engine=engine)
    assert counts == pr.Counts((4, 16, 64, 256))
    assert counts.activation_regions == 256
    assert counts.linear_regions is None
    assert counts.affine_pieces is None


@pytest.mark.parametrize("engine", limits.ENGINES)
def test_count_of_linear_regions(engine: str) -> None:
    """The sum of two sawtooth waves of 2**n teeth: each cell's slopes are (+-2**n, +-2**n).

    No two cells that share an edge have the same slopes, and no two that have the same slopes
    have the same offset but those on a common antidiagonal (or diagonal) of teeth: cell (i, j),
    with i and j even, has the offset -2**n (i + j) / 2**n, and so on. Of each of the four kinds
    there are n/2 x n/2 cells for n = 2**n teeth sides, and n - 1 different sums or differences.
    """
    counts = pr.count_regions(folds(3), (0, 1), engine=engine, linear=True)
    assert counts == pr.Counts((4, 16, 64), linear_regions=64, affine_pieces=4 * (2 * 4 - 1))


@pytest.mark.parametrize("seed", range(6))
def test_faces_by_layer(seed: int) -> None:
    """Against the partitions of the network's first layers, also where lines meet in one point."""
    rng = np.random.default_rng(seed)
    widths = [2, *rng.integers(1, 5, 3), 1]
    layers = [
        (rng.integers(-2, 3, (m, n)), rng.integers(-1, 2, m) if seed % 2 else np.zeros(m))
        for n, m in pairwise(widths)
    ]
    part = pr.partition(layers, (-3, 3))
    expected = [len(pr.partition(layers[: n + 1], (-3, 3))) for n in (1, 2, 3)]
    assert engines.faces_by_layer(part) == tuple(expected)
    assert pr.count_regions(layers, (-3, 3), engine="exact").by_layer == tuple(expected)


def test_count_of_an_affine_network() -> None:
    counts = pr.count_regions([([[1, 2]], [3])])
    assert counts == pr.Counts(())
    assert counts.activation_regions == 1
    assert str(counts) == "1 activation region"


def test_counts_in_words() -> None:
    assert str(pr.Counts((57, 1812))) == "1,812 activation regions\n  after each layer: 57, 1,812"
    assert str(pr.Counts((1,), 1, 1)).endswith("\n  1 linear region\n  1 affine piece")
    assert repr(pr.Counts((4,), 2)) == "Counts(by_layer=(4,), linear_regions=2, affine_pieces=None)"


def test_small_networks_are_counted_without_numba() -> None:
    """In a process of its own: here numba may be imported already."""
    code = (
        "import sys; import polyregions as pr\n"
        "assert pr.count_regions([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]).by_layer == (4,)\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_short_way_gives_up_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_SOON", 63)
    monkeypatch.setattr(engines, "_has_numba", lambda: False)
    assert pr.count_regions(folds(3), (0, 1)).by_layer == (4, 16, 64)
    with pytest.raises(pr.LimitError) as error:
        pr.count_regions(folds(3), (0, 1), max_regions=20)
    assert (error.value.counts, error.value.layer) == ((4, 16, 64), 2)  # counted so far


def test_convolutions_and_maxima_are_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have few numbers, but plain integers would take minutes for them."""

    def subdivide(*args: object, **options: object) -> None:
        raise AssertionError("in plain integers")

    monkeypatch.setattr(engines, "_has_numba", lambda: False)
    monkeypatch.setattr(reference, "subdivide", subdivide)
    rng = np.random.default_rng(0)
    picture = Gather(np.resize([0, 1], 900), 2)
    small = Gather(np.arange(3), 900)
    blur = Convolution(np.ones((1, 1, 3, 3)), [0], (30, 30), (1, 1), ((1, 1), (1, 1)), (1, 1))
    pool = Maximum(rng.permuted(np.tile(np.arange(40), (3, 1)), axis=1), 900)
    for step in (blur, pool):
        tail = (small,) if step is blur else ()
        assert pr.count_regions(Network((picture, step, *tail), 2)).activation_regions >= 1
    with pytest.raises(AssertionError, match="in plain integers"):
        pr.count_regions(CROSS)


# -- arguments -----------------------------------------------------------------------------------

CALLS = [pr.partition, pr.count_regions]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["max_regions", "max_memory", "threads"])
def test_limits_are_positive_integers(call: object, name: str) -> None:
    for bad in (2.5, 4.0, True, "4", [4], np.float64(4), np.True_):
        with pytest.raises(TypeError, match=rf"{name} must be an integer, got .* a "):
            call(CROSS, **{name: bad})
    for bad in (0, -1, np.int64(0)):
        with pytest.raises(ValueError, match=rf"{name} must be at least 1, got"):
            call(CROSS, **{name: bad})


@pytest.mark.parametrize("call", CALLS)
def test_numpy_integers_are_taken(call: object) -> None:
    for number in (4, np.int64(4), np.uint8(4), np.array(4)):
        call(CROSS, max_regions=number, threads=number)
    with pytest.raises(pr.LimitError):
        call(CROSS, max_regions=np.int32(3))
    call(CROSS, max_regions=None, max_memory=None, threads=None)


@pytest.mark.parametrize("bad", [1, 0, None, "yes", np.True_])
def test_flags_are_flags(bad: object) -> None:
    with pytest.raises(TypeError, match="check must be True or False"):
        pr.partition(CROSS, check=bad)
    with pytest.raises(TypeError, match="linear must be True or False"):
        pr.count_regions(CROSS, linear=bad)


@pytest.mark.parametrize("call", CALLS)
def test_other_arguments(call: object) -> None:
    with pytest.raises(ValueError, match="engine must be one of"):
        call(CROSS, engine="fast")
    with pytest.raises(TypeError, match="progress must be"):
        call(CROSS, progress="yes")
    with pytest.raises(ValueError, match="3 inputs"):
        call([(np.ones((2, 3)), None)])
    with pytest.raises(TypeError, match="positional"):
        call(CROSS, (-1, 1), "rational")


def test_the_rational_engine_keeps_to_no_memory() -> None:
    with pytest.raises(ValueError, match="engine 'rational' cannot keep to max_memory"):
        pr.partition(CROSS, engine="rational", max_memory=1 << 30)


def test_defaults_of_the_two_calls_agree() -> None:
    of_partition, of_count = (inspect.signature(call).parameters for call in CALLS)
    for name in of_partition.keys() & of_count.keys():
        assert of_partition[name] == of_count[name]


def test_memory_that_is_free() -> None:
    if not hasattr(os, "sysconf"):
        pytest.skip("the system says nothing")
    assert 0 < limits.default_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_memory_that_is_left_to_a_container(tmp_path: Path) -> None:
    assert limits._free_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("250000\n")
    assert limits._free_in_group(tmp_path) == 750_000
    (tmp_path / "memory.max").write_text("max\n")
    assert limits._free_in_group(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "n"),
    [("1", 1), ("500M", 500 << 20), ("4g", 4 << 30), ("1.5 GiB", 3 << 29), ("2KB", 2048)],
)
def test_amounts_of_memory(text: str, n: int) -> None:
    assert limits.parse_bytes(text) == n


# -- check, progress, interruption -----------------------------------------------------------------


def test_check(monkeypatch: pytest.MonkeyPatch) -> None:
    part = pr.partition(CROSS, check=True)
    assert len(part) == 4
    larger = pr.partition(CROSS, (-2, 2))
    object.__setattr__(larger, "domain", part.domain)
    monkeypatch.setattr(engines, "subdivide", lambda *args, **options: larger)
    with pytest.raises(pr.CertificateError, match="defect of polyregions") as error:
        pr.partition(CROSS, check=True)
    assert error.value.failures == larger.certificate.failures != ()
    assert pr.partition(CROSS) is larger


def interrupting(report: Reporter | None) -> object:
    def subdivide(*args: object, **options: object) -> None:
        if report is not None:
            report.update(Progress(1, 3, "fc2", 60, 100, n_faces=812, counts=(57,)))
        raise KeyboardInterrupt

    return subdivide


@pytest.mark.parametrize("call", CALLS)
def test_interrupted_without_a_report(call: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyregions.reference.subdivide", interrupting(None))
    with pytest.raises(pr.Interrupted, match=r"^interrupted$") as stop:
        call(CROSS, engine="rational")
    assert (stop.value.counts, stop.value.layer) == ((), 0)


@pytest.mark.parametrize("call", CALLS)
def test_interrupted_later(call: object, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Reporter()
    monkeypatch.setattr("polyregions.reference.subdivide", interrupting(report))
    with pytest.raises(KeyboardInterrupt) as stop:
        call(CROSS, engine="rational", progress=report)
    assert isinstance(stop.value, pr.Interrupted)
    assert not isinstance(stop.value, Exception)
    assert (stop.value.counts, stop.value.layer) == ((57,), 1)
    assert str(stop.value) == (
        "interrupted in layer 2 of 3 (fc2), 60% done, 812 faces so far; "
        "faces after the layers before it: 57"
    )


def test_interrupted_while_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Reporter()

    def count(*args: object, **options: object) -> None:
        report.update(Progress(0, 2, "", 6, 100, n_faces=812, counts=(57, 812), stage="counting"))
        raise KeyboardInterrupt

    monkeypatch.setattr("polyregions.engine.subdivision.count", count)
    with pytest.raises(pr.Interrupted) as stop:
        pr.count_regions(CROSS, engine="exact", progress=report)
    assert stop.value.counts == (57, 812)
    assert str(stop.value) == (
        "interrupted in counting, 6% done, 812 faces so far; counted, layer by layer: 57, 812"
    )


@pytest.mark.parametrize("kind", [pr.Interrupted, pr.LimitError])
def test_errors_with_counts_can_be_pickled(kind: type) -> None:
    error = pickle.loads(pickle.dumps(kind("too long", counts=(1, 2), layer=2)))
    assert (str(error), error.counts, error.layer) == ("too long", (1, 2), 2)


# -- what an import loads --------------------------------------------------------------------------


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_import_loads_nothing() -> None:
    run(
        "import sys; before = set(sys.modules); import polyregions\n"
        "heavy = {'numpy', 'flint', 'numba', 'scipy', 'shapely', 'torch', 'matplotlib', 'tqdm'}\n"
        "assert not heavy & set(sys.modules) - before, heavy & set(sys.modules)\n"
        "assert polyregions.__version__"
    )


def test_names_for_type_checkers_are_the_names_there_are() -> None:
    """What is imported under TYPE_CHECKING, and what `__getattr__` finds, is the same."""
    tree = ast.parse(Path(pr.__file__).read_text())
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    homes, modules = {}, set()
    for statement in block.body:
        for name in statement.names:
            assert name.asname == name.name, "exported"
            if statement.module == "polyregions":
                modules.add(name.name)
            else:
                homes[name.name] = statement.module.removeprefix("polyregions.")
    assert homes == pr._HOMES
    assert modules == set(pr._MODULES)
    assert {*homes, *modules} <= set(dir(pr))
    for name in dir(pr):
        getattr(pr, name)


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="module 'polyregions' has no attribute 'nonsense'"):
        pr.nonsense  # noqa: B018
    with pytest.raises(ImportError):
        from polyregions import nonsense  # noqa: F401


@pytest.mark.parametrize("name", ["partition", "verify", "lower"])
def test_functions_are_not_hidden_by_modules_of_their_names(name: str) -> None:
    """Whichever is imported first."""
    for first in (f"polyregions.{name}", "polyregions"):
        run(
            f"import {first}, polyregions, types, sys\n"
            f"assert isinstance(polyregions.{name}, types.FunctionType)\n"
            f"import polyregions.{name}\n"
            f"assert isinstance(polyregions.{name}, types.FunctionType)\n"
            f"from polyregions import {name}\n"
            f"assert isinstance({name}, types.FunctionType)\n"
            f"assert isinstance(sys.modules['polyregions.{name}'], types.ModuleType)"
        )


# -- kinds of models ---------------------------------------------------------------------------


def abs_of_difference(kind: str, folder: Path) -> object:
    """|x0 - x1| and x1, as a model of some kind."""
    rows, out = [[1.0, -1.0], [-1.0, 1.0], [0.0, 1.0], [0.0, -1.0]], [[1.0, 1, 0, 0], [0, 0, 1, -1]]
    layers = [(rows, [0.0] * 4), (out, [0.0] * 2)]
    if kind == "arrays":
        return layers
    if kind == "network":
        return pr.lower(layers)
    if kind == "nnet":
        numbers = [[2, 2, 2, 4], [2, 4, 2], [0], [-9, -9], [9, 9], [0] * 3, [1] * 3]
        numbers += [*rows, *[[0]] * 4, *out, *[[0]] * 2]
        path = folder / "net.nnet"
        path.write_text("".join(",".join(map(str, row)) + ",\n" for row in numbers))
        return pr.load_model(path)
    if kind == "onnx":
        onnx = pytest.importorskip("onnx")
        helper, arrays = onnx.helper, [np.float32(a).T for a in (rows, out)]
        one, two = (onnx.numpy_helper.from_array(a, n) for a, n in zip(arrays, "ab", strict=True))
        nodes = [("MatMul", "x a", "z"), ("Relu", "z", "h"), ("MatMul", "h b", "y")]
        graph = helper.make_graph(
            [helper.make_node(op, ins.split(), [to]) for op, ins, to in nodes],
            "net",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2])],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 2])],
            [one, two],
        )
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), folder / "net.onnx")
        return folder / "net.onnx"
    if kind == "estimator":
        neural = pytest.importorskip("sklearn.neural_network")
        model = neural.MLPRegressor(hidden_layer_sizes=(4,)).partial_fit(
            np.zeros((1, 2)), np.zeros((1, 2))
        )
        model.coefs_ = [np.array(rows).T, np.array(out).T]
        model.intercepts_ = [np.zeros(4), np.zeros(2)]
        return model
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    with torch.no_grad():
        for layer, (weight, bias) in zip(model[::2], layers, strict=True):
            layer.weight.copy_(torch.tensor(weight))
            layer.bias.copy_(torch.tensor(bias))
    return model


@pytest.mark.parametrize("kind", ["torch", "arrays", "network", "nnet", "onnx", "estimator"])
def test_every_call_takes_every_kind_of_model(kind: str, tmp_path: Path) -> None:
    model = abs_of_difference(kind, tmp_path)
    assert len(pr.partition(model)) == pr.count_regions(model).activation_regions == 4
    assert pr.verify(pr.partition(model), model, resolution=10).ok
    line = pr.partition_line(model, [-1, 0], [1, 0])
    assert line.breakpoints.tolist() == [0.5]
    assert pr.verify(line, model, resolution=10).ok
    added = pr.integrated_gradients(model, [3, 1], [0, 0])
    np.testing.assert_allclose(added, [[3, -1], [0, 1]], atol=1e-12)
    chosen = pr.partition(pr.with_decision(model), (0, 4))
    # |x0 - x1| is larger than x1 where x1 < x0 / 2
    assert chosen.face_decision[chosen.locate([[3, 1], [3, 2], [1, 3]])].tolist() == [0, 1, 1]
    np.testing.assert_allclose(pr.smooth.soften(model, np.inf)([[3, 1]]), [[2, 1]], atol=1e-12)
