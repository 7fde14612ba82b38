"""The script that counts regions by depth: its numbers, and that no interruption loses any."""

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import polyregions as pr

torch = pytest.importorskip("torch")
pytest.importorskip("tqdm")

SCRIPT = Path(__file__).parents[1] / "scripts" / "count_regions_by_depth.py"
TINY = ["--budgets", "5", "7", "--max-depth", "2", "--seeds", "2", "--domain", "-3", "3"]
N_TINY = 8


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[SCRIPT.stem]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "counts.csv"


def run(script, path, *arguments):
    """Run main() without a plot, on tiny networks unless told."""
    return script.main([*(arguments or TINY), "--no-plot", "--csv", str(path)])


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def without_time(path):
    """The rows in order, without the one column that differs from run to run."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in read(path)]
    return sorted(rows, key=lambda row: [int(row[k]) for k in ("budget", "depth", "seed")])


def count_directly(widths, seed, domain):
    """The counts of one network, made without the script."""
    torch.manual_seed(seed)
    layers = []
    for n, m in pairwise([2, *widths, 1]):
        linear = torch.nn.Linear(n, m)
        layers.append((linear.weight.detach().numpy(), linear.bias.detach().numpy()))
    return pr.partition(layers, domain).count()


def interrupt_after(monkeypatch, script, n):
    """Make the count of network n + 1 raise what Ctrl-C raises."""
    count, calls = script.count, []

    def count_or_stop(net, settings):
        calls.append(net)
        if len(calls) > n:
            raise KeyboardInterrupt
        return count(net, settings)

    monkeypatch.setattr(script, "count", count_or_stop)
    return calls


# -- the numbers -------------------------------------------------------------------------------


def test_rows_hold_what_partition_counts(script, path):
    assert run(script, path) == 0
    rows = read(path)
    assert len(rows) == N_TINY
    widths_of = {("5", "1"): [5], ("5", "2"): [3, 2], ("7", "1"): [7], ("7", "2"): [4, 3]}
    assert {(row["budget"], row["depth"], row["seed"]) for row in rows} == {
        (*shape, seed) for shape in widths_of for seed in "01"
    }
    for row in rows:
        widths = widths_of[row["budget"], row["depth"]]
        assert row["widths"] == "-".join(map(str, widths))
        assert row["width_per_layer"] == str(min(widths))
        assert row["status"] == "counted"
        counts = count_directly(widths, int(row["seed"]), (-3, 3))
        assert tuple(int(row[name]) for name in counts._fields) == counts
        assert float(row["xmin"]) == float(row["ymin"]) == -3
        assert float(row["xmax"]) == float(row["ymax"]) == 3


def test_known_counts(script, path):
    arguments = ["--budgets", "20", "--max-depth", "4", "--seeds", "1", "--domain", "-10", "10"]
    assert run(script, path, *arguments) == 0
    rows = {row["depth"]: row for row in read(path)}
    assert rows["1"]["widths"] == "20"
    assert rows["1"]["activation_regions"] == "197"
    assert rows["4"]["widths"] == "5-5-5-5"
    assert (rows["4"]["activation_regions"], rows["4"]["linear_regions"]) == ("81", "77")


def test_box_domain(script, path):
    arguments = ["--budgets", "6", "--max-depth", "1", "--seeds", "1"]
    assert run(script, path, *arguments, "--domain", "-2", "0", "1.5", "4") == 0
    [row] = read(path)
    counts = count_directly([6], 0, (-2, 0, 1.5, 4))
    assert int(row["activation_regions"]) == counts.activation_regions
    assert [row[k] for k in ("xmin", "ymin", "xmax", "ymax")] == ["-2.0", "0.0", "1.5", "4.0"]


@pytest.mark.parametrize("budget", [1, 2, 7, 12, 100])
def test_units_are_spread_evenly_with_the_rest_in_front(script, budget):
    for depth in range(1, min(budget, 9) + 1):
        widths = script.Net(budget, depth, 0).widths
        assert len(widths) == depth
        assert sum(widths) == budget
        assert widths == sorted(widths, reverse=True)
        assert widths[0] - widths[-1] <= 1


def test_table_shows_statistics_beside_bounds(script, path, capsys):
    arguments = ["--budgets", "7", "--max-depth", "2", "--seeds", "3", "--domain", "-3", "3"]
    assert run(script, path, *arguments) == 0
    out = capsys.readouterr().out
    assert "7 units on [-3, 3] x [-3, 3]" in out
    assert "at most 29 (Zaslavsky)" in out
    assert "N²/2 = 24.5" in out
    for depth, widths in [(1, [7]), (2, [4, 3])]:
        counts = [count_directly(widths, seed, (-3, 3)) for seed in range(3)]
        activation = [count.activation_regions for count in counts]
        mean_linear = np.mean([count.linear_regions for count in counts])
        bounds = [
            pr.bounds.montufar_lower(2, widths),
            pr.bounds.serra_upper(2, widths),
            pr.bounds.montufar_upper(2, widths),
        ]
        expected = [depth, "-".join(map(str, widths)), 3, f"{np.mean(activation):.1f}"]
        expected += [f"{np.std(activation, ddof=1):.1f}", min(activation), max(activation)]
        expected += [f"{mean_linear:.1f}", *bounds]
        assert [str(cell) for cell in expected] in [line.split() for line in out.splitlines()]


def test_networks_beyond_the_limit_are_recorded(script, path, capsys):
    arguments = ["--budgets", "7", "--max-depth", "2", "--seeds", "3", "--domain", "-3", "3"]
    widths = {1: [7], 2: [4, 3]}
    direct = {(d, s): count_directly(widths[d], s, (-3, 3))[0] for d in (1, 2) for s in range(3)}
    limit = sorted(direct.values())[2]
    assert run(script, path, *arguments, "--max-regions", str(limit)) == 0
    rows = read(path)
    assert len(rows) == 6
    n_limited = 0
    for row in rows:
        n_regions = direct[int(row["depth"]), int(row["seed"])]
        if n_regions > limit:
            n_limited += 1
            assert row["status"] == "limit"
            assert row["activation_regions"] == row["linear_regions"] == row["affine_pieces"] == ""
        else:
            assert (row["status"], row["activation_regions"]) == ("counted", str(n_regions))
    assert 0 < n_limited < 6
    out = capsys.readouterr().out
    assert f"{n_limited} of the networks have more than max_regions = {limit}" in out
    assert f"> {limit}" in out
    # resumed, the row with empty counts is read as what it is
    assert run(script, path, *arguments, "--max-regions", str(limit)) == 0
    assert capsys.readouterr().out == out
    assert len(read(path)) == 6


def test_statistics_say_no_more_than_is_known(script):
    counts = [pr.RegionCount(10, 8, 8), pr.RegionCount(20, 9, 9)]
    assert script.statistics_of(counts, 0, 99) == ("15.0", "7.1", "10", "20", "8.5")
    assert script.statistics_of(counts[:1], 0, 99) == ("10.0", "–", "10", "10", "8.0")
    assert script.statistics_of(counts, 1, 99) == ("≥ 43.3", "–", "10", "> 99", "–")
    assert script.statistics_of([], 2, 99) == ("≥ 100.0", "–", "> 99", "> 99", "–")


def test_bounds_too_large_for_a_float_are_still_shown(script):
    assert script.short(10**400) == "1.00e+400"
    rows = [script.Result(script.Net(30_000, 300, 0), pr.RegionCount(1, 1, 1), 0.0)]
    [depths], [value] = script.curves(rows)["no network has more (Serra et al. 2018)"]
    assert depths == 300
    assert np.isfinite(value)


def test_callers_random_numbers_are_left_alone(script, path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert run(script, path) == 0
    assert torch.equal(before, torch.get_rng_state())


# -- stopping and going on ---------------------------------------------------------------------


@pytest.mark.parametrize("n_finished", [0, 1, 5])
def test_interrupted_run_goes_on_where_it_stopped(
    script, path, tmp_path, monkeypatch, capsys, n_finished
):
    with monkeypatch.context() as patched:
        interrupt_after(patched, script, n_finished)
        assert run(script, path) == 130
    assert len(read(path)) == n_finished
    err = capsys.readouterr().err
    assert f"stopped: {n_finished} of {N_TINY} networks are in {path}" in err
    kept = path.read_bytes()

    with monkeypatch.context() as patched:
        calls = interrupt_after(patched, script, N_TINY)
        assert run(script, path) == 0
    assert len(calls) == N_TINY - n_finished
    assert path.read_bytes().startswith(kept)

    whole = tmp_path / "whole.csv"
    assert run(script, whole) == 0
    assert without_time(path) == without_time(whole)


def test_every_finished_network_is_on_disk_before_the_next(script, path, monkeypatch):
    count, seen = script.count, []

    def count_and_look(net, settings):
        seen.append(len(read(path)))
        return count(net, settings)

    monkeypatch.setattr(script, "count", count_and_look)
    assert run(script, path) == 0
    assert seen == list(range(N_TINY))


def test_finished_run_counts_nothing_again(script, path, monkeypatch, capsys):
    assert run(script, path) == 0
    first, data = capsys.readouterr(), path.read_bytes()
    monkeypatch.setattr(script, "count", None)
    assert run(script, path) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "8 of 8 networks are there" in again.err
    assert path.read_bytes() == data


def test_more_seeds_and_budgets_add_to_the_file(script, path, monkeypatch, capsys):
    assert run(script, path) == 0
    more = ["--budgets", "5", "6", "--max-depth", "3", "--seeds", "3", "--domain", "-3", "3"]
    calls = interrupt_after(monkeypatch, script, 100)
    capsys.readouterr()
    assert run(script, path, *more) == 0
    assert len(calls) == 2 * 3 * 3 - 4  # all but budget 5 with depths 1, 2 and seeds 0, 1
    assert len(read(path)) == N_TINY + len(calls)
    assert "7 units" not in capsys.readouterr().out  # the table is of what was asked for


def test_torn_last_line_is_dropped(script, path, capsys):
    assert run(script, path) == 0
    data, rows = path.read_bytes(), without_time(path)
    header = data.index(b"\n") + 1
    last = data.rindex(b"\n", 0, -1) + 1
    cuts = [1, header - 1, header + 1, *range(last + 1, len(data), 5), len(data) - 1]
    for cut in cuts:
        path.write_bytes(data[:cut])
        capsys.readouterr()
        assert run(script, path) == 0
        assert "dropped an unfinished last line" in capsys.readouterr().err
        assert path.read_bytes().startswith(data[: data.rfind(b"\n", 0, cut) + 1])
        assert without_time(path) == rows


@pytest.mark.parametrize(
    ("arguments", "difference"),
    [
        (["--domain", "-3", "4"], "xmax was 3.0, now 4.0; ymax was 3.0, now 4.0"),
        (["--domain", "-3", "-3", "3", "3.000001"], "ymax was 3.0, now 3.000001"),
        (["--max-regions", "50"], "max_regions was 100000, now 50"),
    ],
)
def test_other_parameters_are_refused(script, path, capsys, arguments, difference):
    assert run(script, path) == 0
    path.write_bytes(path.read_bytes() + b"7,2,3")  # torn, and still left alone
    data = path.read_bytes()
    assert run(script, path, *TINY, *arguments) == 2
    err = capsys.readouterr().err
    assert f"{path} was made with other parameters: {difference}. Give" in err
    assert path.read_bytes() == data


def test_other_torch_is_refused(script, path, monkeypatch, capsys):
    assert run(script, path) == 0
    monkeypatch.setattr(script, "torch_version", lambda: "99.0")
    assert run(script, path) == 2
    assert ", now 99.0" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"hello", b"\n", b"\xff\xfe\n", b"\0"])
def test_foreign_file_is_refused(script, path, capsys, data):
    path.write_bytes(data)
    assert run(script, path) == 2
    assert "is not a CSV file of this script" in capsys.readouterr().err
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"counted", b"conuted"),
        (b"5,1,5,5,0", b"5,1,4,5,0"),  # does not follow from 5 units in 1 layer
        (b"5,1,5,5,0", b"5,0,5,5,0"),
        (b"5,1,5,5,0", b"5,1,5,5"),
        (b",-3.0,", b",\0\0\0\0,"),
        (b",-3.0,", b',"-3.0,'),
        (b"5,1,5,5,0,", b"\xff,1,5,5,0,"),
    ],
)
def test_damaged_row_is_refused(script, path, capsys, old, new):
    assert run(script, path) == 0
    data = path.read_bytes().replace(old, new, 1)
    assert data != path.read_bytes()
    path.write_bytes(data)
    assert run(script, path) == 2
    assert f"line 2 of {path} is damaged" in capsys.readouterr().err
    assert path.read_bytes() == data


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("how", "status"), [("SIGTERM", 130), ("SIGINT", 130), ("SIGKILL", -signal.SIGKILL)]
)
def test_a_real_signal_stops_all_processes_and_keeps_rows(script, path, how, status):
    # Too many networks to finish, and small ones, so that some are finished soon.
    many = ["--budgets", "16", "--max-depth", "2", "--seeds", "100000", "--domain", "-3", "3"]
    command = [sys.executable, SCRIPT, *many, "--no-plot", "--csv", path, "--jobs", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 100
            while not (path.exists() and path.read_bytes().count(b"\n") > 4):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(getattr(signal, how))
            # Ends only when no process is left that holds the pipe, the workers among them.
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == status
    assert "Traceback" not in err
    assert ("stopped:" in err) == (status == 130)

    n_rows = path.read_bytes().count(b"\n") - 1
    few = ["--budgets", "16", "--max-depth", "2", "--seeds", "3", "--domain", "-3", "3"]
    assert run(script, path, *few) == 0
    rows = read(path)
    assert 4 <= n_rows <= len(rows) <= n_rows + 6
    for row in rows[:4]:
        widths = [int(width) for width in row["widths"].split("-")]
        counts = count_directly(widths, int(row["seed"]), (-3, 3))
        assert int(row["activation_regions"]) == counts.activation_regions


# -- the plot ----------------------------------------------------------------------------------


def test_plot_is_written(script, path, tmp_path):
    for name in ("plot.png", "plot.svg"):
        figure = tmp_path / name
        assert script.main([*TINY, "--csv", str(path), "--plot", str(figure)]) == 0
        assert figure.stat().st_size > 5000


def test_plot_without_anything_to_plot_is_not_written(script, path, tmp_path, capsys):
    figure = tmp_path / "plot.png"
    arguments = [*TINY, "--max-regions", "1", "--csv", str(path), "--plot", str(figure)]
    assert script.main(arguments) == 0
    err = capsys.readouterr().err
    assert "not in the plot: 7 units at depth 2, some beyond --max-regions" in err
    assert "no plot" in err
    assert not figure.exists()


def test_plot_leaves_out_depths_that_hit_the_limit(script):
    def result(depth, seed, counts):
        return script.Result(script.Net(6, depth, seed), counts, 0.0)

    counts = pr.RegionCount(9, 8, 7)
    rows = [result(1, 0, counts), result(1, 1, None), result(2, 0, counts), result(2, 1, counts)]
    assert script.plot_table(rows) == [
        {
            "depth": 2,
            "width_per_layer": 3,
            "budget": 6,
            "seed": seed,
            "activation_regions": 9,
            "linear_regions": 8,
        }
        for seed in (0, 1)
    ]


def test_curves_are_the_bounds_of_each_depth(script):
    rows = [script.Result(script.Net(7, d, 0), pr.RegionCount(1, 1, 1), 0.0) for d in (1, 3, 4)]
    curves = script.curves(rows)
    shapes = [[7], [3, 2, 2], [2, 2, 2, 1]]
    serra = [pr.bounds.serra_upper(2, widths) for widths in shapes]
    # the theorem of Montúfar et al. is about layers of two units or more
    lower = [pr.bounds.montufar_lower(2, widths) for widths in shapes[:2]]
    assert curves == {
        "no network has more (Serra et al. 2018)": ([1, 3, 4], serra),
        "some network has as many (Montúfar et al. 2014)": ([1, 3], lower),
        "one layer has no more (Zaslavsky 1975)": ([1, 3, 4], [29, 29, 29]),
        "typical: N²/2 (Hanin & Rolnick 2019)": ([1, 3, 4], [24.5, 24.5, 24.5]),
    }


# -- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budgets", "3", "--max-depth", "4"], "3 units cannot fill 4 layers"),
        (["--domain", "1", "-1"], "--domain: domain (lo, hi) has its bounds reversed"),
        (["--domain", "1", "2", "3"], "--domain: domain must be (lo, hi)"),
        (["--domain", "0", "nan"], "--domain: domain holds NaN"),
        (["--seeds", "0"], "must be at least 1, got 0"),
        (["--jobs", "two"], "invalid positive value: 'two'"),
        (["--csv", "/no/such/folder/x.csv"], "there is no folder /no/such/folder"),
        (["--plot", "plot.doc"], "--plot must end in .png, .svg, .pdf"),
    ],
)
def test_bad_arguments(script, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        script.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_has_examples(script, capsys):
    with pytest.raises(SystemExit) as stop:
        script.main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert "--budgets 30 --max-depth 5" in out


def test_csv_that_cannot_be_written(script, tmp_path, capsys):
    assert run(script, tmp_path) == 2
    assert f"error: [Errno 21] Is a directory: '{tmp_path}'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-1e3", "1e3"], ["-1e3", "-.5", "1e3", "2.5e-1"]])
def test_domains_that_look_like_options(script, words):
    args, _, settings = script.parse(["--domain", *words, "--budgets", "4", "--max-depth", "1"])
    numbers = tuple(map(float, words))
    assert args.domain == numbers
    assert settings.box == (numbers if len(numbers) == 4 else (-1e3, -1e3, 1e3, 1e3))
