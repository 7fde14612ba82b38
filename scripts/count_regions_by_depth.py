#!/usr/bin/env python3
"""Count the regions of random ReLU networks: the same units in one layer, two layers, three, ...

For every budget of hidden units, every depth and every seed, one network with two inputs, one
output and PyTorch's default initialisation is made and its regions on the domain are counted
exactly. Each layer gets budget // depth units; the first budget % depth layers get one more.

The result is a table beside what theory says, a CSV file with a row for every network, and a plot.
A row is safely on disk before the next network is begun. So the script can be stopped at any
moment: the same command goes on where it stopped, and a command with more budgets, depths or
seeds adds to what is there.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import signal
import statistics
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice, pairwise
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO

import polyregions as pr
from polyregions.cli_parser import join_domain
from polyregions.domain import as_domain

EXAMPLES = """\
examples:
  %(prog)s
  %(prog)s --budgets 30 --max-depth 5 --seeds 100 --csv thirty.csv --plot thirty.png
  %(prog)s --domain -1 1 --csv unit_square.csv --plot unit_square.svg --jobs 2

exit status: 0 done, 2 bad arguments or files, 130 stopped (Ctrl-C or kill), finished networks kept
"""


PLOT_SUFFIXES = (".png", ".svg", ".pdf")


class CsvError(Exception):
    """The CSV file cannot be continued."""


@dataclass(frozen=True)
class Settings:
    """What a count depends on besides the network's shape and seed."""

    box: tuple[float, float, float, float]
    max_regions: int
    torch: str  # another version may draw other weights from the same seed

    def columns(self) -> dict[str, float | int | str]:
        names = ("xmin", "ymin", "xmax", "ymax")
        box = dict(zip(names, self.box, strict=True))
        return {**box, "max_regions": self.max_regions, "torch": self.torch}


@dataclass(frozen=True)
class Net:
    """One random network."""

    budget: int
    depth: int
    seed: int

    @property
    def widths(self) -> list[int]:
        """Units of each hidden layer."""
        width, extra = divmod(self.budget, self.depth)
        return [width + 1] * extra + [width] * (self.depth - extra)


@dataclass(frozen=True)
class Result:
    """What came out for a network; no counts if it has more than `max_regions` regions."""

    net: Net
    counts: pr.RegionCount | None
    seconds: float


# -- counting ----------------------------------------------------------------------------------


def random_layers(net: Net) -> list[tuple[Any, Any]]:
    """Weights and biases of the network: linear layers made in order after seeding."""
    import torch

    with torch.random.fork_rng(devices=[]):  # leaves the caller's random numbers as they were
        torch.manual_seed(net.seed)
        layers = [torch.nn.Linear(n, m) for n, m in pairwise([2, *net.widths, 1])]
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers]


def count(net: Net, settings: Settings) -> Result:
    """Count the regions of one network."""
    start = perf_counter()
    layers = random_layers(net)
    counts = None
    try:
        counts = pr.partition(layers, settings.box, max_regions=settings.max_regions).count()
    except pr.LimitError:
        pass
    except Exception as error:
        error.add_note(f"while counting the regions of {net} on {settings}")
        raise
    return Result(net, counts, round(perf_counter() - start, 4))


def results(nets: Sequence[Net], settings: Settings, jobs: int) -> Generator[Result, None, None]:
    """Count the networks, in this process or in `jobs` others, and yield what gets finished."""
    if jobs == 1:
        for net in nets:
            yield count(net, settings)
        return
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

    before = set(multiprocessing.active_children())
    # Fresh processes: a fork of one that has run torch may hang.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
    try:
        waiting = iter(nets)
        with handling(signal.SIGINT, signal.SIG_IGN):  # what the new processes inherit
            running = {executor.submit(count, net, settings) for net in islice(waiting, 2 * jobs)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {
                executor.submit(count, net, settings) for net in islice(waiting, len(finished))
            }
            for future in finished:
                yield future.result()
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in set(multiprocessing.active_children()) - before:
            worker.terminate()
        raise
    finally:
        executor.shutdown()


@contextmanager
def handling(signum: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal in another way for a while."""
    before = signal.signal(signum, handler)
    try:
        yield
    finally:
        signal.signal(signum, before)


def _start_worker() -> None:
    """Make this process end with its parent, even if that is killed outright."""
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


# -- the CSV file ------------------------------------------------------------------------------


def columns(result: Result, settings: Settings) -> dict[str, Any]:
    """A row of the file by column."""
    net, counts = result.net, result.counts
    return {
        "budget": net.budget,
        "depth": net.depth,
        "width_per_layer": net.budget // net.depth,
        "widths": "-".join(map(str, net.widths)),
        "seed": net.seed,
        "status": "counted" if counts else "limit",
        **(counts._asdict() if counts else dict.fromkeys(pr.RegionCount._fields)),
        "seconds": result.seconds,
        **settings.columns(),
    }


COLUMNS = list(columns(Result(Net(1, 1, 0), None, 0.0), Settings((0.0,) * 4, 1, "")))


def to_line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def from_line(line: bytes) -> tuple[Result, Settings]:
    """Read a row back; ValueError if this script cannot have written it."""
    values = next(csv.reader([line.decode()], strict=True))
    row = dict(zip(COLUMNS, values, strict=True))
    net = Net(int(row["budget"]), int(row["depth"]), int(row["seed"]))
    counts = None
    if row["status"] == "counted":
        counts = pr.RegionCount(*(int(row[name]) for name in pr.RegionCount._fields))
    result = Result(net, counts, float(row["seconds"]))
    xmin, ymin, xmax, ymax = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    settings = Settings((xmin, ymin, xmax, ymax), int(row["max_regions"]), row["torch"])
    if to_line(columns(result, settings).values()) != line:
        raise ValueError("its columns contradict each other")
    return result, settings


def append(file: BinaryIO, line: bytes) -> None:
    """Add a line, which is on disk when this returns."""
    file.write(line)
    file.flush()
    os.fsync(file.fileno())


def load(path: Path, settings: Settings) -> dict[Net, Result]:
    """Read the finished networks, and cut off the line that an interruption tore, if any.

    Raises
    ------
    CsvError
        If the file is no file of this script, is damaged, or was made with other settings.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    lines = data.splitlines(keepends=True)
    torn = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
    header = to_line(COLUMNS)
    if (lines and lines[0] != header) or (not lines and not header.startswith(torn)):
        raise CsvError(f"{path} is not a CSV file of this script; give another --csv")
    done: dict[Net, Result] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            result, made_with = from_line(line)
        except (ValueError, ZeroDivisionError, csv.Error, StopIteration) as error:
            raise CsvError(
                f"line {number} of {path} is damaged ({error}); remove it, and its network will "
                "be counted again"
            ) from None
        if made_with != settings:
            there, here = made_with.columns(), settings.columns()
            differences = (
                f"{k} was {there[k]}, now {here[k]}" for k in here if there[k] != here[k]
            )
            raise CsvError(
                f"{path} was made with other parameters: {'; '.join(differences)}. "
                "Give the parameters it was made with, or another --csv"
            )
        done[result.net] = result
    if torn:
        note(f"{path}: dropped an unfinished last line")
        os.truncate(path, len(data) - len(torn))
    return done


# -- the table ---------------------------------------------------------------------------------

TABLE_COLUMNS = ["depth", "widths", "nets", "mean", "sd", "min", "max", "linear"]
BOUND_COLUMNS = ["lower (Montúfar)", "upper (Serra)", "upper (Montúfar)"]
LEGEND = """\
mean, sd, min, max: number of activation regions of the networks; linear: mean number of linear
regions. lower: some network of these widths has as many; upper: none has more (whole plane).
Montúfar et al. 2014, Serra et al. 2018, Montúfar 2017, Zaslavsky 1975, Hanin & Rolnick 2019."""


def table(found: Sequence[Result], settings: Settings) -> str:
    """Statistics of the counts for every budget and depth, beside the bounds."""
    blocks: dict[int, list[list[str]]] = defaultdict(list)
    for (budget, depth), rows in by_shape(found).items():
        widths = rows[0].net.widths
        counts = [row.counts for row in rows if row.counts]
        lower = pr.bounds.montufar_lower(2, widths) if min(widths) >= 2 else None
        upper = (pr.bounds.serra_upper(2, widths), pr.bounds.montufar_upper(2, widths))
        blocks[budget].append(
            [
                *(str(depth), "-".join(map(str, widths)), str(len(rows))),
                *statistics_of(counts, len(rows) - len(counts), settings.max_regions),
                *map(short, (lower, *upper)),
            ]
        )
    text = [_block(budget, lines, settings) for budget, lines in blocks.items()]
    n_limited = sum(result.counts is None for result in found)
    if n_limited:
        text.append(
            f"{n_limited} of the networks have more than max_regions = {settings.max_regions:,} "
            "regions and were given up: ≥ and > say what is known of them."
        )
    return "\n\n".join([*text, LEGEND])


def by_shape(found: Iterable[Result]) -> dict[tuple[int, int], list[Result]]:
    """Results grouped by budget and depth, in order."""
    groups: dict[tuple[int, int], list[Result]] = defaultdict(list)
    for result in found:
        groups[result.net.budget, result.net.depth].append(result)
    return dict(sorted(groups.items()))


def statistics_of(
    counts: Sequence[pr.RegionCount], n_limited: int, max_regions: int
) -> tuple[str, str, str, str, str]:
    """Mean, sd, min and max of the activation regions, and mean of the linear regions.

    `n_limited` networks more are only known to have more than `max_regions` activation regions.
    """
    activation = [count.activation_regions for count in counts]
    beyond = f"> {max_regions:,}"
    least = f"{min(activation):,}" if counts else beyond
    if n_limited:
        total = sum(activation) + n_limited * (max_regions + 1)
        return f"≥ {total / (len(counts) + n_limited):,.1f}", "–", least, beyond, "–"
    sd = f"{statistics.stdev(activation):,.1f}" if len(counts) > 1 else "–"
    linear = statistics.mean(count.linear_regions for count in counts)
    return (
        f"{statistics.mean(activation):,.1f}",
        sd,
        least,
        f"{max(activation):,}",
        f"{linear:,.1f}",
    )


def _block(budget: int, lines: list[list[str]], settings: Settings) -> str:
    typical = pr.bounds.hanin_rolnick_typical(2, [budget])
    rows = [TABLE_COLUMNS + BOUND_COLUMNS, *lines]
    size = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        [
            f"{budget} units on {as_domain(settings.box)}",
            f"one layer has at most {short(pr.bounds.zaslavsky(2, budget))} (Zaslavsky); random "
            f"networks typically N²/2 = {typical:,.1f} (Hanin & Rolnick)",
            *("  ".join(text.rjust(n) for text, n in zip(row, size, strict=True)) for row in rows),
        ]
    )


def short(number: int | None) -> str:
    """A count in few characters."""
    if number is None:
        return "–"
    return f"{number:,}" if number < 10**7 else f"{Decimal(number):.2e}"


# -- the plot ----------------------------------------------------------------------------------

# The curves, from the highest down, with colours of Okabe & Ito.
CURVES: dict[str, dict[str, Any]] = {
    "no network has more (Serra et al. 2018)": {"color": "#d55e00", "linestyle": "--"},
    "some network has as many (Montúfar et al. 2014)": {"color": "#0072b2", "linestyle": "-."},
    "one layer has no more (Zaslavsky 1975)": {"color": "#000000", "linestyle": ":"},
    "typical: N²/2 (Hanin & Rolnick 2019)": {"color": "#009e73", "linestyle": (0, (7, 2))},
}
OF_ONE_LAYER = list(CURVES)[2:]


def draw(found: Sequence[Result], settings: Settings, path: Path) -> None:
    """Plot the counts of every budget, beside all bounds and close up, and write the figure.

    Above, a logarithmic scale holds all the bounds; below, a linear one shows the networks.
    """
    from matplotlib.figure import Figure

    rows = plot_table(found)
    drawn = {(row["budget"], row["depth"]) for row in rows}
    for budget, depth in sorted(by_shape(found).keys() - drawn):
        note(f"not in the plot: {budget} units at depth {depth}, some beyond --max-regions")
    budgets = sorted({budget for budget, _ in drawn})
    if not budgets:
        note("no plot: there are networks of every shape beyond --max-regions")
        return
    figure = Figure(figsize=(1.2 + 3.4 * len(budgets), 7.4), layout="constrained")
    axes = figure.subplots(2, len(budgets), squeeze=False, sharex=True)
    for budget, (above, below) in zip(budgets, axes.T, strict=True):
        of_budget = [row for row in rows if row["budget"] == budget]
        bounds = curves([result for result in found if result.net.budget == budget])
        close = {name: bounds[name] for name in OF_ONE_LAYER}
        for ax, shown in ((above, bounds), (below, close)):
            mean, *lines = pr.plot.regions_by_depth(of_budget, ax, bounds=shown)
            mean.set_label("random networks: mean, and band from fewest to most")
            for name, line in zip(shown, lines, strict=True):
                line.set(label=name, **CURVES[name])
            if ax is above:
                handles = [*lines, mean]
            ax.get_legend().remove()
            ax.set(xlabel="", ylabel="")
        highest = max(row["activation_regions"] for row in of_budget)
        below.set(yscale="linear", ylim=(0, 1.08 * max(highest, *close[OF_ONE_LAYER[0]][1])))
        above.set_title(f"{budget} units")
        below.set_xlabel("hidden layers")
    axes[0, 0].set_ylabel("activation regions")
    axes[1, 0].set_ylabel("activation regions, close up")
    figure.suptitle(f"Random ReLU networks on {as_domain(settings.box)}")
    n_columns = 1 if len(budgets) < 3 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=n_columns, frameon=False)
    figure.savefig(path, dpi=150)
    note(f"plot: {path}")


def plot_table(rows: Iterable[Result]) -> list[dict[str, int]]:
    """The rows as `polyregions.plot.regions_by_depth` takes them.

    A depth at which a network hit the limit is left out: the mean of the others would be too low.
    """
    return [
        {
            "depth": depth,
            "width_per_layer": budget // depth,
            "budget": budget,
            "seed": row.net.seed,
            "activation_regions": row.counts.activation_regions,
            "linear_regions": row.counts.linear_regions,
        }
        for (budget, depth), group in by_shape(rows).items()
        if all(row.counts for row in group)
        for row in group
        if row.counts
    ]


def curves(rows: Iterable[Result]) -> dict[str, tuple[list[int], list[float]]]:
    """What theory says of each depth: name -> (depths, values)."""
    widths = {depth: group[0].net.widths for (_, depth), group in by_shape(rows).items()}
    wide = {depth: n for depth, n in widths.items() if min(n) >= 2}
    one_layer = pr.bounds.zaslavsky(2, sum(widths[min(widths)]))
    values: Sequence[dict[int, float]] = (
        {d: pr.bounds.serra_upper(2, n) for d, n in widths.items()},
        {d: pr.bounds.montufar_lower(2, n) for d, n in wide.items()},
        dict.fromkeys(widths, one_layer),
        {d: pr.bounds.hanin_rolnick_typical(2, n) for d, n in widths.items()},
    )
    return {
        name: (list(of_depth), [float(min(value, 10**300)) for value in of_depth.values()])
        for name, of_depth in zip(CURVES, values, strict=True)
    }


# -- the command line --------------------------------------------------------------------------


def note(message: str) -> None:
    print(message, file=sys.stderr)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def numbers(text: str) -> tuple[float, ...]:
    """The numbers that `join_domain` put together."""
    return tuple(float(number) for number in text.split(",") if number)


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[Net], Settings]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    help_budgets = "hidden units of a network, all layers together (24 48 96)"
    help_depth = "spread them over 1, 2, ..., D layers (6)"
    help_seeds = "networks of each shape, with seeds 0, 1, ..., K - 1 (10)"
    help_domain = "LO HI for a square, or XMIN YMIN XMAX YMAX (-10 10)"
    help_limit = "give up networks with more activation regions, and say so (100000)"
    help_csv = "where the counts go, and are looked for at the start (regions_by_depth.csv)"
    help_plot = "where the plot goes: .png, .svg or .pdf (regions_by_depth.png)"
    help_jobs = "processes that count at the same time (1)"
    add("--budgets", type=positive, nargs="+", default=[24, 48, 96], metavar="N", help=help_budgets)
    add("--max-depth", type=positive, default=6, metavar="D", help=help_depth)
    add("--seeds", type=positive, default=10, metavar="K", help=help_seeds)
    add("--domain", type=numbers, default=(-10.0, 10.0), metavar="LO HI", help=help_domain)
    add("--max-regions", type=positive, default=100_000, metavar="M", help=help_limit)
    add("--csv", type=Path, default="regions_by_depth.csv", metavar="FILE", help=help_csv)
    add("--plot", type=Path, default="regions_by_depth.png", metavar="FILE", help=help_plot)
    add("--no-plot", action="store_true", help="count, and print the table only")
    add("--jobs", type=positive, default=1, metavar="J", help=help_jobs)
    args = parser.parse_args(join_domain(sys.argv[1:] if argv is None else list(argv)))

    if too_small := [budget for budget in args.budgets if budget < args.max_depth]:
        parser.error(
            f"a budget of {too_small[0]} units cannot fill {args.max_depth} layers; "
            "lower --max-depth or raise --budgets"
        )
    try:
        box = as_domain(args.domain).bounds
    except (TypeError, ValueError) as error:
        parser.error(f"--domain: {error}")
    for path in [args.csv, *([] if args.no_plot else [args.plot])]:
        if not path.absolute().parent.is_dir():
            parser.error(f"there is no folder {path.parent} to write {path.name} to")
    if not args.no_plot and args.plot.suffix not in PLOT_SUFFIXES:
        parser.error(f"--plot must end in {', '.join(PLOT_SUFFIXES)}, got {args.plot.name}")
    nets = [
        Net(budget, depth, seed)
        for seed in range(args.seeds)  # outermost, so that every shape is there early
        for budget in sorted(set(args.budgets))
        for depth in range(1, args.max_depth + 1)
    ]
    return args, nets, Settings(box, args.max_regions, torch_version())


def torch_version() -> str:
    """PyTorch's version without the build."""
    from importlib.metadata import version

    return version("torch").partition("+")[0]


def main(argv: Sequence[str] | None = None) -> int:
    args, nets, settings = parse(argv)
    from tqdm import tqdm

    done: dict[Net, Result] = {}
    try:
        # A plain `kill` stops like Ctrl-C, so that the counting processes end as well.
        with handling(signal.SIGTERM, signal.default_int_handler):
            done = load(args.csv, settings)
            todo = [net for net in nets if net not in done]
            if len(todo) < len(nets):
                note(f"{args.csv}: {len(nets) - len(todo)} of {len(nets)} networks are there")
            with (
                open(args.csv, "ab") as file,
                closing(results(todo, settings, args.jobs)) as stream,
                tqdm(
                    total=len(nets), initial=len(nets) - len(todo), unit="net", disable=None
                ) as bar,
            ):
                if file.tell() == 0:
                    append(file, to_line(COLUMNS))
                for result in stream:
                    append(file, to_line(columns(result, settings).values()))
                    done[result.net] = result
                    bar.update()
            found = [done[net] for net in nets]
            print(table(found, settings))
            note(f"counts: {args.csv}")
            if not args.no_plot:
                draw(found, settings, args.plot)
    except (CsvError, OSError) as error:
        note(f"error: {error}")
        return 2
    except BrokenExecutor:
        note(f"error: a counting process died (out of memory?); {args.csv} keeps what was finished")
        return 2
    except KeyboardInterrupt:
        finished = sum(net in done for net in nets)
        note(
            f"stopped: {finished} of {len(nets)} networks are in {args.csv}; "
            "the same command goes on from there"
        )
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
