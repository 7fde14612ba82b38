"""The benchmark: its networks, what it measures, and its tables. No test depends on a time."""

from __future__ import annotations

import doctest
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from networks import stack, torch_layers

import polyregions as pr

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = REPOSITORY / "scripts"
sys.path.insert(0, str(SCRIPTS))
try:
    import bench
    import bench_tables
    import measure
    import scaling
    import workloads
finally:
    sys.path.remove(str(SCRIPTS))

ONCE = measure.Settings(repetitions=1, budget=60.0, threads=1)


# -- networks ----------------------------------------------------------------------------------


def digest(layers: workloads.Layers) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for pair in layers for a in pair)).hexdigest()


def test_networks_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib, workloads\n"
        "for each in workloads.WORKLOADS:\n"
        "    if each.net:\n"
        "        data = b''.join(a.tobytes() for pair in each.net.make() for a in pair)\n"
        "        print(each.name, hashlib.sha256(data).hexdigest())\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
    ).stdout
    there = dict(line.split() for line in printed.splitlines())
    here = {each.name: digest(each.net.make()) for each in workloads.WORKLOADS if each.net}
    assert there == here
    assert len(set(here.values())) > 15


def test_workloads_have_different_names() -> None:
    names = [each.name for each in (*workloads.WORKLOADS, *workloads.SCALING)]
    assert len(set(names)) == len(names)
    assert {each.kind for each in workloads.WORKLOADS} == bench.KINDS.keys()
    assert str(workloads.find("64x4").net) == "2-64-64-64-64-1, ±10"


@pytest.mark.parametrize("bias", [True, False])
def test_default_initialisation(bias: bool) -> None:
    ours = workloads.default(7, 5, bias=bias).make()
    for (weight, vector), (expected, zero) in zip(
        ours, torch_layers([2, 7, 5, 1], bias=bias), strict=True
    ):
        assert np.array_equal(weight, expected)
        assert np.array_equal(vector, zero)


def test_four_bit_weights_have_sixteen_levels() -> None:
    widths = [2, 32, 32, 1]
    for pair, exact in zip(
        workloads.four_bit_layers(widths), workloads.default_layers(widths), strict=True
    ):
        values = np.concatenate([a.ravel() for a in pair])
        before = np.concatenate([a.ravel() for a in exact])
        step = np.abs(values[values != 0]).min()
        while not (values / step == np.round(values / step)).all():
            step /= 2
        assert np.frexp(step)[0] == 0.5  # a power of two
        assert (values / step).min() >= -8
        assert (values / step).max() <= 7
        assert np.abs(values - before).max() <= step / 2


def test_doubled_units_leave_the_function() -> None:
    widths = [2, 5, 4, 1]
    doubled = stack(workloads.doubled_layers(widths))
    single = stack(workloads.default_layers(widths))
    assert doubled.n_units == 2 * single.n_units
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert np.allclose(doubled(x), single(x), rtol=1e-13, atol=1e-13)
    counts = [len(pr.partition(net, (-9, 9), engine="rational")) for net in (doubled, single)]
    assert counts[0] == counts[1] > 10


def test_concurrent_lines_miss_the_point_by_a_hair() -> None:
    (weight, bias), _ = workloads.concurrent_layers(60)
    assert np.abs(weight @ [1 / 3, 1 / 3] + bias).max() < 1e-15
    assert np.allclose(np.hypot(*weight.T), 1)


def test_the_folded_network_is_as_described() -> None:
    layers = workloads.FOLDED.make()
    widths = [len(bias) for _, bias in layers]
    assert workloads.FOLDED.shape.split()[1] == "-".join(map(str, [2, *widths]))
    x = np.random.default_rng(1).uniform(-1, 1, (4000, 2))
    for number, (weight, bias) in enumerate(layers):
        for values in (weight, bias):
            assert np.array_equal(values * 2**20, np.round(values * 2**20))
        z = x @ weight.T + bias
        active = (z > 0).mean(axis=0)
        if number < 5:
            # Of three units the first never bends; the others cut the square near its thirds.
            assert (active[::3] == 1).all()
            assert ((active[1::3] > 0.5) & (active[1::3] < 1)).all()
            assert ((active[2::3] > 0) & (active[2::3] < 0.5)).all()
        elif 5 < number < 8:
            assert np.abs(active - 0.5).max() < 0.05
        x = np.maximum(z, 0)


def test_regions_of_the_folded_network_grow_with_the_area() -> None:
    net = workloads.FOLDED
    counts = [
        len(pr.partition(net.make(), (-r, r), engine="exact")) for r in (0.005, 0.005 * 10**0.5)
    ]
    assert counts[1] / counts[0] == pytest.approx(10, rel=0.2)


# -- what is measured --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> workloads.Workload:
    net = workloads.default(6, 5)
    return workloads.Workload("small", "partition", "a small network", net, (6, 5))


def test_points_lie_in_their_faces(small: workloads.Workload) -> None:
    part = pr.partition(small.net.make(), small.net.domain)
    assert np.array_equal(part.locate(measure.inner_points(part)), np.arange(len(part)))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_forward_passes_give_the_network_s_values(size: int, small: workloads.Workload) -> None:
    import torch

    layers = small.net.make()
    x = np.random.default_rng(2).normal(size=(100, 2))
    expected = stack(layers)(x)
    assert np.allclose(measure.numpy_pass(layers, x, size), expected, rtol=1e-13, atol=1e-13)
    module = measure.torch_module(layers).double()
    found = measure.torch_pass(module, torch.from_numpy(x), size).numpy()
    assert found.dtype == np.float64
    assert np.allclose(found, expected, rtol=1e-13, atol=1e-13)


def test_a_partition_is_described_and_timed(
    small: workloads.Workload, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure.time_partition(small, replace(ONCE, repetitions=3))
    reference = pr.partition(small.net.make(), small.net.domain, engine="rational")
    assert found["regions"] == len(reference)
    assert found["vertices"] - found["edges"] + found["regions"] == 1
    assert found["units"] == 11
    assert len(found["seconds"]) == 3
    assert {name.split(", ")[0] for name in found["forward"]} == {"numpy", "torch"}
    assert measure.ONE_PASS in found["forward"]
    assert all(len(times) == 3 for times in found["forward"].values())
    assert found["stages"]
    assert f"{len(reference):,} faces" in capsys.readouterr().err
    assert json.loads(json.dumps(found)) == found


def test_memory_is_what_an_action_adds() -> None:
    n = 50_000_000
    found = measure.memory_of(lambda: np.ones(n, dtype=np.uint8))
    # The peak may be an older one; then there is no telling.
    assert found["net"] == found["peak"] - found["before"]
    assert found["net"] >= 0.9 * n
    assert found["before"] > 10_000_000


def test_small_calls_are_timed_many_at_a_time() -> None:
    calls = []
    settings = replace(ONCE, repetitions=3)
    found = measure.repeat_small(settings, {"nothing": lambda: calls.append(1)})
    assert len(found["nothing"]) == 3
    assert len(calls) > 1000


def test_no_more_repetitions_than_the_budget_allows() -> None:
    settings = measure.Settings(repetitions=9, budget=0.0, threads=1)
    assert len(measure.repeat(settings, lambda: time.sleep(0.001))[0]) == 3


def test_results_are_looked_at_and_freed_before_the_next() -> None:
    alive: set[int] = set()

    class Thing:
        def __init__(self) -> None:
            assert not alive
            alive.add(id(self))

        def __del__(self) -> None:
            alive.discard(id(self))

    seen: list[str] = []
    measure.repeat(
        replace(ONCE, repetitions=3), Thing, look=lambda kept: seen.append(type(kept).__name__)
    )
    assert seen == ["Thing"] * 3
    assert not alive


def test_a_hard_network_has_an_ordinary_partner(small: workloads.Workload) -> None:
    net = workloads.Net("four-bit", 5.0, lambda: workloads.four_bit_layers([2, 6, 5, 1]))
    found = measure.time_pair(replace(small, net=net), ONCE)
    reference = pr.partition(net.make(), net.domain, engine="rational")
    assert found["hard"]["regions"] == len(reference)
    assert found["ordinary"]["regions"] == pytest.approx(len(reference), rel=0.2)
    shape, _, half_width = found["ordinary"]["net"].partition(", ±")
    assert shape == "2-6-5-1"
    assert float(half_width) > 0


def test_no_partner_with_too_many_regions() -> None:
    with pytest.raises(ValueError, match="where 1000 are wanted"):
        measure.ordinary((3,), 1000, ONCE)  # three lines make seven regions at most


def test_counting(small: workloads.Workload) -> None:
    found = measure.time_count(small, ONCE)
    part = pr.partition(small.net.make(), small.net.domain, engine="rational")
    assert found["regions"] == found["by_layer"][-1] == len(part)
    assert len(found["by_layer"]) == 2
    assert len(found["seconds"]) == 1
    assert found["memory"]["net"] >= 0


def test_kernels_without_bounds_are_not_taken_for_others(
    small: workloads.Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measure.time_bounds(small, ONCE)
    assert len(found["seconds"]) == 1
    monkeypatch.setenv("POLYREGIONS_UNPROVEN", "1")  # after the kernels were imported
    with pytest.raises(RuntimeError, match="error bounds"):
        measure.time_bounds(small, ONCE)


# -- the script as a whole ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report and the page of a run in trial mode."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n")
    subprocess.run(
        [
            sys.executable, SCRIPTS / "bench.py", "--quick", "--repetitions", "1", "--threads", "1",
            "--out", folder / "bench.json", "--render", folder / "page.md",
            "20x1", "folded-part", "import", "relucent-20x1",
        ],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "7"},
    )  # fmt: skip
    return folder


def test_a_trial_run_writes_what_its_help_says(made: Path) -> None:
    report = bench.read(made / "bench.json")
    assert report["schema"] == 1
    assert report["settings"] == {"threads": 1, "repetitions": 1, "quick": True}
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["memory"] > 1e8
    assert report["versions"]["numpy"] == np.__version__
    results = report["results"]
    assert list(results) == ["folded-part", "20x1", "import", "relucent-20x1"]
    call, folded = results["20x1"], results["folded-part"]
    assert call["regions"] == 197  # as the README says
    assert set(call["calls"]) == {"lower arrays", "lower module", "subdivide", "from module"}
    assert folded["net"].endswith("±0.005")
    assert folded["vertices"] - folded["edges"] + folded["regions"] == 1
    assert folded["memory"]["peak"] > folded["memory"]["before"] > 1e7
    assert set(results["import"]["seconds"]) == {"nothing", "numpy", "polyregions"}
    assert results["relucent-20x1"]["status"] == "unavailable"


def test_a_trial_run_fills_the_page(made: Path) -> None:
    page = (made / "page.md").read_text()
    assert page.startswith(f"before\n{bench.BEGIN}\n\nMeasured on ")
    assert page.endswith(f"\n\n{bench.END}\nafter\n")
    assert "\nold\n" not in page
    assert "this was a trial" in page
    assert re.search(r"^\| 2-20-1, ±10 \| 197 \|", page, re.MULTILINE)
    assert "\n- relucent on 2-20-1, ±10: no interpreter with relucent was given\n" in page


def test_results_of_the_same_code_can_be_kept(made: Path) -> None:
    report = bench.read(made / "bench.json")
    assert bench.kept(made / "bench.json", report) == report["results"]
    assert bench.kept(made / "none.json", report) == {}
    other = report | {"settings": report["settings"] | {"threads": 2}}
    with pytest.raises(ValueError, match="other settings"):
        bench.kept(made / "bench.json", other)


def test_only_rendering(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{bench.BEGIN}\n{bench.END}\n")
    options = ["--only-render", "--out", str(made / "bench.json"), "--render", str(page)]
    assert bench.main(options) == 0
    once = page.read_text()
    assert bench.main(options) == 0
    assert page.read_text() == once
    page.write_text("no marks")
    assert bench.main(options) == 2
    assert "must have the lines" in capsys.readouterr().err
    (tmp_path / "other.json").write_text('{"schema": 2}')
    assert bench.main(["--only-render", "--out", str(tmp_path / "other.json"), *options[3:]]) == 2
    assert "no report of schema 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["64x3"], "no workload is called 64x3"),
        (["--only-render"], "needs --render"),
        (["--threads", "100000"], "cores"),
        (["--repetitions", "0"], "at least 1"),
    ],
)
def test_bad_arguments(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        bench.main(options)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_listing(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [each.name for each in workloads.WORKLOADS]


# -- processes ---------------------------------------------------------------------------------


@pytest.fixture
def runner(tmp_path: Path) -> bench.Runner:
    return bench.Runner(threads=1, repetitions=1, quick=True, limit=60.0, folder=tmp_path)


def test_processes_have_as_many_threads_as_told(runner: bench.Runner) -> None:
    runner.threads = 3
    code = "import os; print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['MORE'])"
    assert runner.run([sys.executable, "-c", code], MORE="x")[1] == "3 x\n"


def test_a_process_that_fails_is_no_result(
    runner: bench.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(bench.Failed, match="status 3"):
        runner.python("-c", "raise SystemExit(3)")

    def fail(run: bench.Runner, workload: workloads.Workload) -> bench.Result:
        raise bench.Failed("it broke")

    monkeypatch.setitem(bench.KINDS, "import", fail)
    report: bench.Result = {"results": {}}
    notes: list[str] = []
    for _ in bench.measure_all(runner, [workloads.find("import")], report, notes.append):
        pass
    assert report["results"]["import"]["status"] == "failed"
    assert "  failed: it broke" in notes


def test_what_takes_too_long_is_stopped_with_its_own_processes(
    runner: bench.Runner, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(file)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(TimeoutError, match="no result after 5 s"):
        runner.run([sys.executable, "-c", code], limit=5.0)
    pid = int(file.read_text())
    for _ in range(100):
        if not is_running(pid):
            return
        time.sleep(0.05)
    raise AssertionError("the process's own process goes on")


def is_running(pid: int) -> bool:
    """Whether a process is there, and not only its entry in the table."""
    status = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_rounds_with_and_without_proofs_take_turns(
    runner: bench.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.quick = False
    turns: list[str] = []

    def measured(name: str, part: str, **environment: str) -> bench.Result:
        unproven = environment.get("POLYREGIONS_UNPROVEN") == "1"
        # Kernels without proofs must never be taken for the others.
        assert ("NUMBA_CACHE_DIR" in environment) == unproven
        turns.append("unproven" if unproven else "proven")
        found = {"regions": 10 - unproven, "seconds": [float(len(turns))]}
        return {"status": "ok", **found}

    monkeypatch.setattr(runner, "measure", measured)
    found = bench.bounds(runner, workloads.find("bounds-64x4"))
    assert turns == ["unproven", *["proven", "unproven"] * 3]
    assert found["proven"] == [[2.0], [4.0], [6.0]]
    assert found["unproven"] == [[3.0], [5.0], [7.0]]
    assert (found["regions"], found["unproven_regions"]) == (10, 9)


def test_a_rival_s_failure_is_a_result(
    runner: bench.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = workloads.find("relucent-bias-free")
    runner.relucent, runner.relucent_limit = "elsewhere", 1.5

    def measured(name: str, part: str, **options: Any) -> bench.Result:
        if part == "ours":
            assert options["file"].name == "relucent-bias-free.npz"
            return {"status": "ok", "regions": 30, "seconds": [0.001]}
        assert (options["python"], options["limit"]) == ("elsewhere", 1.5)
        raise TimeoutError("no result after 1.5 s")

    monkeypatch.setattr(runner, "measure", measured)
    found = bench.rival(runner, workload)
    assert found["status"] == "ok"
    assert found["theirs"] == {"status": "timeout", "reason": "no result after 1.5 s"}


# -- tables ------------------------------------------------------------------------------------


def entry(kind: str, net: str | None = None, **more: Any) -> dict[str, Any]:
    fixed = {"kind": kind, "what": f"a {kind}", "net": net, "measured": "2025-01-02T03:04:05"}
    return {**fixed, "status": "ok", **more}


def memory(net: float) -> dict[str, float]:
    return {"before": 2e8, "peak": 2e8 + net, "net": net}


REPORT: dict[str, Any] = {
    "schema": 1,
    "commit": "0123456789",
    "settings": {"threads": 2, "repetitions": 3, "quick": False},
    "machine": {
        "processor": "A processor", "cores": 4, "memory": 16e9, "system": "Linux", "load": 0.21,
        "seconds_for_a_gigabyte": 1.25,
    },
    "versions": {
        "polyregions": "1.2", "python": "3.12", "numpy": "2.1", "numba": "0.6", "torch": "2.9",
    },
    "results": {
        "64x4": entry(
            "partition", "2-64-1, ±10", regions=1000,
            decisions={"float64": 999_999, "integer": 1},
            seconds=[0.03, 0.02, 0.048], first=1.26, memory=memory(3.2e7),
            # PyTorch has the best single pass, NumPy the better median.
            forward={"numpy, whole": [0.04, 0.04, 0.04], "torch, whole": [0.01, 0.05, 0.06]},
        ),
        "folded": entry(
            "partition", "folded 2-6-1, ±1", regions=9_000_000,
            decisions={"float64": 10, "integer": 0},
            seconds=[18.0], first=20.0, memory=memory(3e9), forward={"numpy, whole": [9.0]},
            processor={"user": [18.0], "system": [9.0]},
        ),
        "folded-part": entry(
            "partition", "folded 2-6-1, ±0.1", regions=90_000,
            decisions={"float64": 10, "integer": 0},
            seconds=[0.36], first=1.0, memory=memory(3e7), forward={"numpy, whole": [0.1]},
            processor={"user": [0.12], "system": [0.03]},
        ),
        "folded-count": entry(
            "count", "folded 2-6-1, ±1", regions=9_000_000, by_layer=[5, 9_000_000],
            seconds=[4.5], memory=memory(2.5e8),
        ),
        "20x1": entry(
            "call", "2-20-1, ±10", regions=197,
            calls={
                "lower arrays": [5e-5], "lower module": [7e-4],
                "subdivide": [3e-4, 2e-4, 4e-4], "from module": [1e-3],
            },
        ),
        "hard-doubled": entry(
            "pair", "doubled, ±1",
            hard={
                "regions": 200, "decisions": {"float64": 60, "integer": 40},
                "seconds": [0.4, 0.4, 0.4],
            },
            ordinary={
                "net": "2-8-1, ±0.5", "regions": 100, "decisions": {"float64": 9, "integer": 0},
                "seconds": [0.1, 0.2, 0.05],
            },
        ),
        "bounds-64x4": entry(
            "bounds", "2-64-1, ±10", regions=1000, proven=[[0.3, 0.2, 0.4], [0.3]],
            unproven=[[0.1], [0.15]],
        ),
        "command": entry("command", "2-20-1, ±10", regions=197, seconds={".npz": [0.8]}),
        "import": entry(
            "import", seconds={"nothing": [0.01], "numpy": [0.06], "polyregions": [0.09]}
        ),
        "compile": entry("compile", "2-20-1, ±10", regions=197, seconds=[25.0]),
        "relucent-20x1": entry(
            "rival", "2-20-1, ±10", ours={"regions": 197, "seconds": [0.001]},
            theirs={
                "status": "ok", "version": "1.0.0", "regions": 197, "complete": True,
                "seconds": [1.5, 1.6, 1.4],
            },
        ),
        "relucent-5x4": entry(
            "rival", "2-5-1, ±10", ours={"regions": 81, "seconds": [0.001]},
            theirs={
                "status": "ok", "version": "1.0.0", "regions": 80, "complete": False,
                "seconds": [2.0],
            },
        ),
        "relucent-50x3": entry(
            "rival", "2-50-1, ±1", ours={"regions": 81, "seconds": [0.001]},
            theirs={"status": "timeout", "reason": "no result after 300 s"},
        ),
        "relucent-bias-free": entry(
            "rival", "2-8-1, ±1", ours={"regions": 81, "seconds": [0.001]},
            theirs={"status": "failed", "reason": "SomeError: with | a bar"},
        ),
        "folded-part-count": {
            **entry("count"), "status": "unavailable", "reason": "there is none",
        },
    },
}  # fmt: skip


def rows(section: str) -> list[list[str]]:
    """The rows of one section's table."""
    text = bench_tables.tables(REPORT).partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_conditions_are_stated() -> None:
    assert bench_tables.tables(REPORT).startswith(
        "Measured on 2025-01-02 with 2 threads on A processor with 4 cores and 16 GB of memory, "
        "Linux, with a load average of 0.2 beforehand, where the kernel takes 1.2 s to provide a "
        "GB of memory; Python 3.12, NumPy 2.1, Numba 0.6, "
        "PyTorch 2.9; polyregions 1.2 at commit 0123456789. Times are medians of 3 repetitions"
    )
    assert "trial" not in bench_tables.tables(REPORT)


def test_partitions_are_compared_with_one_forward_pass_and_the_fastest() -> None:
    assert rows("Partitions and forward passes")[0] == [
        "2-64-1, ±10", "1,000", "all but 1, 99.999 %", "30 ms (20–48)", "50 ms", "0.80 (0.40–3.0)",
        "40 ms, numpy, whole", "0.75 (0.50–1.2)", "1.3 s", "32 MB",
    ]  # fmt: skip


def test_cost_of_a_region_at_ten_million_and_at_a_hundred_thousand() -> None:
    assert rows("Ten million regions") == [
        ["partition, ±1", "9,000,000", "18 s", "2.0 µs", "3.0 GB"],
        ["partition, ±0.1", "90,000", "360 ms", "4.0 µs", "30 MB"],
        ["`count_regions`, ±1", "9,000,000", "4.5 s", "0.50 µs", "250 MB"],
    ]
    assert (
        "With 100 times as many regions of the same network, each takes 0.50 times as long. The "
        "processors' own work is 1.5 times as much for each; with the kernel's, which is 9.0 s and "
        "goes to provide memory, 1.8 times." in bench_tables.tables(REPORT)
    )


def test_small_networks_have_lowering_apart() -> None:
    assert rows("Small networks") == [
        ["2-20-1, ±10", "197", "300 µs (200–400)", "50 µs", "700 µs", "1.0 ms"]
    ]


def test_hard_networks_are_compared_region_by_region() -> None:
    assert rows("Networks that are hard") == [
        [
            "doubled, ±1", "200", "all but 40, 60.000 %", "400 ms (400–400)", "2-8-1, ±0.5", "100",
            "100 ms (50–200)", "2.0 (1.0–4.0)",
        ]
    ]  # fmt: skip


def test_cost_of_proofs_is_that_of_each_round() -> None:
    assert rows("What the proofs cost") == [
        ["2-64-1, ±10", "1,000", "300 ms (300–300)", "125 ms (100–150)", "2.5 (2.0–3.0)"]
    ]


def test_whole_processes_are_set_against_an_empty_one() -> None:
    assert rows("Whole processes") == [
        ["`python -c pass`", "10 ms"],
        ['`python -c "import numpy"`', "60 ms: 50 ms more"],
        ['`python -c "import polyregions"`', "90 ms: 80 ms more"],
        ["`polyregions count` of 2-20-1 in an `.npz` file", "800 ms"],
        ["the same for the first time, compiling all kernels", "25 s"],
    ]


def test_rivals_are_checked_before_they_are_timed() -> None:
    assert rows("Relucent") == [
        ["2-20-1, ±10", "1.0 ms", "finds all 197 regions", "1.5 s (1.4–1.6)", "1,500"],
        [
            "2-5-1, ±10", "1.0 ms", "finds 80 of 81 regions, and says that it is not complete",
            "2.0 s", "2,000",
        ],
        ["2-50-1, ±1", "1.0 ms", "no result after 300 s", "–", "–"],
        ["2-8-1, ±1", "1.0 ms", "stops with SomeError", "–", "–"],
    ]  # fmt: skip


def test_what_is_missing_is_said() -> None:
    assert bench_tables.tables(REPORT).endswith("## Not measured\n\n- a count: there is none")
    empty = bench_tables.tables({**REPORT, "results": {}})
    assert "##" not in empty
    for name, found in REPORT["results"].items():
        assert list(bench_tables.summary(found["kind"], found)), name


def test_numbers_in_words() -> None:
    assert doctest.testmod(bench_tables) == (0, 6)
    assert [bench_tables.digits(x) for x in (99.4, 99.6, 9.96, 1e-5)] == [
        "99", "100", "10", "0.000010",
    ]  # fmt: skip


def test_the_page_in_the_documentation_has_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    text = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    bench.render(REPORT, page)
    assert "doubled, ±1" in page.read_text(encoding="utf-8")
    assert (
        page.read_text(encoding="utf-8").partition(bench.BEGIN)[0] == text.partition(bench.BEGIN)[0]
    )


# -- the figure --------------------------------------------------------------------------------


@pytest.fixture
def growing() -> dict[str, Any]:
    results = {}
    for n in (100, 10_000, 1_000_000):
        seconds = [1e-6 * n, 2e-6 * n, 4e-6 * n]
        shared = {"regions": n, "seconds": seconds, "memory": memory(1000.0 * n)}
        forward = {"numpy, whole": [3e-6 * n] * 3, "torch, whole": [1e-6 * n] * 3}
        results[f"scaling-partition-{n}"] = entry("partition", forward=forward, **shared)
        results[f"scaling-count-{n}"] = entry("count", **shared)
    results["scaling-count-100"] |= {"status": "unavailable", "reason": "there is none"}
    return {**REPORT, "results": results}


def test_curves_are_medians_and_ranges(growing: dict[str, Any]) -> None:
    found = scaling.series(growing)
    assert found["partition"]["regions"] == [100, 10_000, 1_000_000]
    assert found["partition"]["seconds"] == pytest.approx([2e-4, 0.02, 2])
    assert found["partition"]["most"] == pytest.approx([4e-4, 0.04, 4])
    assert found["forward"]["seconds"] == pytest.approx([1e-4, 0.01, 1])
    assert found["count"]["regions"] == [10_000, 1_000_000]
    assert found["count"]["memory"] == pytest.approx([1e7, 1e9])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_figure(growing: dict[str, Any], tmp_path: Path, suffix: str) -> None:
    report, figure = tmp_path / "scaling.json", tmp_path / f"scaling{suffix}"
    report.write_text(json.dumps(growing))
    options = ["--only-draw", "--out", str(report), "--figure", str(figure)]
    assert scaling.main(options) == 0
    first = figure.read_bytes()
    assert len(first) > 5000
    assert scaling.main(options) == 0
    assert figure.read_bytes() == first


def test_scales_go_from_a_hundred_to_ten_million() -> None:
    assert workloads.SCALES[0] == 100
    assert workloads.SCALES[-1] == 10**7
    kinds = SimpleNamespace(partition=0, count=0)
    for each in workloads.SCALING:
        setattr(kinds, each.kind, getattr(kinds, each.kind) + 1)
    assert kinds.partition == kinds.count == len(workloads.SCALES)
    assert workloads.SCALING[-1].net == workloads.FOLDED
