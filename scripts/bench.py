#!/usr/bin/env python3
"""Measure polyregions: time and memory of partitions, against forward passes and a rival.

Each workload runs in processes of its own, bound to as many cores as there are threads, with
kernels compiled beforehand. A network is described before it is timed. The yardstick is one
ordinary float64 forward pass at one point of each region, in the same process, in turn with the
partition: the PyTorch module called once. The fastest of NumPy's and PyTorch's passes in blocks of
a few sizes is measured too.

The result is a JSON file, and, with --render, the tables of a page of the documentation between
the lines "<!-- results -->" and "<!-- end of results -->".
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import bench_tables
from workloads import SCALING, WORKLOADS, Workload

Result = dict[str, Any]

SCHEMA = 1
REPOSITORY = Path(__file__).resolve().parent.parent
MEASURE = Path(__file__).resolve().with_name("measure.py")
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
ROUNDS = 3  # of processes with and without error bounds, in turn

EPILOG = """\
examples:
  %(prog)s
  %(prog)s 256x3 64x4 --repetitions 9
  %(prog)s --quick 50x3 import
  %(prog)s --relucent-python /tmp/relucent/bin/python --render docs/benchmarks.md
  %(prog)s --only-render --render docs/benchmarks.md

The JSON file holds "schema" (1), "settings", "machine", "versions", "commit" and "results", an
object with an entry for each workload: "kind", "what", "net", "measured" (when), "status" ("ok",
"unavailable", "failed" or "timeout", the last three with a "reason"), and what the kind measures.
Times are in seconds, sizes of memory in bytes, lists of times hold every repetition.
  partition  regions, vertices, edges, units, decisions; first (the first call in a process, with
             kernels compiled but not loaded), seconds, stages (of the median), forward (times of
             forward passes by library and block size), memory (before, peak, net)
  count      regions, by_layer, seconds, memory
  call       as partition, with "calls": times of "lower arrays", "lower module", "subdivide" and
             "from module" (both at once)
  pair       hard and ordinary, each with regions, decisions and seconds
  bounds     regions, unproven_regions (as many if no sign was wrong); proven and unproven: a
             list of times for each round
  rival      ours and theirs, each with regions and seconds, theirs with complete and first
  command    regions, seconds of whole processes by kind of file
  import     seconds of whole processes by what they import
  compile    seconds of one whole process, from no compiled kernels

exit status: 0 done, 1 a workload failed, 2 bad arguments, 130 stopped
"""


class Failed(Exception):
    """A process did not do what it should."""


@dataclass
class Runner:
    """Starts the processes that measure.

    Attributes
    ----------
    threads, repetitions : int
    quick : bool
        Shrink all networks' domains.
    limit : float
        Seconds that a process may take.
    folder : Path
        For files that are not kept.
    relucent : str or None
        A Python interpreter that can import relucent.
    relucent_limit : float
        Seconds that relucent may take.
    """

    threads: int
    repetitions: int
    quick: bool
    limit: float
    folder: Path
    relucent: str | None = None
    relucent_limit: float = 300.0

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a process: all libraries with the same number of threads."""
        libraries = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
        threads = {f"{name}_NUM_THREADS": str(self.threads) for name in libraries}
        # An installed package has its byte code compiled.
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        # What is measured is the package beside this script, installed or not.
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        return {**inherited, **threads, "PYTHONPATH": path, **more}

    def run(
        self, command: Sequence[str], *, limit: float | None = None, **environment: str
    ) -> tuple[float, str]:
        """Run a process; the seconds that it took, and what it printed.

        Raises
        ------
        Failed
            If it exits with an error.
        TimeoutError
            If it takes too long. Its own processes are stopped, too.
        """
        limit = limit or self.limit
        start = perf_counter()
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment(**environment),
            start_new_session=True,
        ) as process:
            try:
                printed, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"no result after {limit:g} s") from None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            raise Failed(f"a process ended with status {process.returncode}")
        return perf_counter() - start, printed

    def python(self, *arguments: str, **environment: str) -> float:
        """Run Python; the seconds that the whole process took."""
        return self.run([sys.executable, *arguments], **environment)[0]

    def measure(
        self,
        name: str,
        part: str,
        *,
        python: str | None = None,
        limit: float | None = None,
        file: Path | None = None,
        **environment: str,
    ) -> Result:
        """Measure one part of a workload in a process of its own."""
        out = self.folder / "result.json"
        command = [
            python or sys.executable, str(MEASURE), name, part,
            "--threads", str(self.threads), "--repetitions", str(self.repetitions),
            "--out", str(out),
        ]  # fmt: skip
        command += ["--quick"] * self.quick
        command += ["--file", str(file)] if file else []
        self.run(command, limit=limit, **environment)
        result: Result = json.loads(out.read_text(encoding="utf-8"))
        out.unlink()
        return result


# -- the kinds of workloads --------------------------------------------------------------------


def partition(run: Runner, workload: Workload) -> Result:
    found = run.measure(workload.name, "time")
    return found | run.measure(workload.name, "memory")


def count(run: Runner, workload: Workload) -> Result:
    return run.measure(workload.name, "count")


def call(run: Runner, workload: Workload) -> Result:
    return run.measure(workload.name, "call")


def pair(run: Runner, workload: Workload) -> Result:
    return run.measure(workload.name, "pair")


def bounds(run: Runner, workload: Workload) -> Result:
    """Processes with and without error bounds, in turn: no process can have both kernels."""
    cache = run.folder / "unproven"
    switches = {"POLYREGIONS_UNPROVEN": "1", "NUMBA_CACHE_DIR": str(cache)}
    compiled = run.measure(workload.name, "bounds", **switches)
    if compiled["status"] != "ok":
        return compiled
    proven, unproven = [], []
    for _ in range(1 if run.quick else ROUNDS):
        found = run.measure(workload.name, "bounds")
        proven.append(found["seconds"])
        without = run.measure(workload.name, "bounds", **switches)
        unproven.append(without["seconds"])
    return {
        "status": "ok",
        "regions": found["regions"],
        "unproven_regions": without["regions"],
        "proven": proven,
        "unproven": unproven,
    }


def rival(run: Runner, workload: Workload) -> Result:
    if run.relucent is None:
        return {"status": "unavailable", "reason": "no interpreter with relucent was given"}
    file = run.folder / f"{workload.name}.npz"
    ours = run.measure(workload.name, "ours", file=file)
    try:
        theirs = run.measure(
            workload.name, "relucent", python=run.relucent, limit=run.relucent_limit, file=file
        )
    except TimeoutError as error:
        theirs = {"status": "timeout", "reason": str(error)}
    except Failed as error:
        theirs = {"status": "failed", "reason": str(error)}
    return {"status": "ok", "ours": ours, "theirs": theirs}


def command(run: Runner, workload: Workload) -> Result:
    arguments, regions = count_command(run, workload)
    seconds = [run.python(*arguments) for _ in range(run.repetitions)]
    return {"status": "ok", "regions": regions, "seconds": {".npz": seconds}}


def count_command(run: Runner, workload: Workload) -> tuple[list[str], int]:
    """The arguments that count a saved network's regions, and what they print."""
    file = run.folder / f"{workload.name}.npz"
    run.measure(workload.name, "save", file=file)
    assert workload.net
    low, high = map(str, workload.net.domain)
    arguments = ["-m", "polyregions", "count", str(file), "--domain", low, high]
    arguments += ["--engine", "exact", "--json"]
    _, printed = run.run([sys.executable, *arguments])
    return arguments, json.loads(printed)["counts"]["activation_regions"]


def imports(run: Runner, workload: Workload) -> Result:
    codes = {"nothing": "pass", "numpy": "import numpy", "polyregions": "import polyregions"}
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    for number in range(2 * run.repetitions + 1):
        for name, code in codes.items():
            taken = run.python("-c", code)
            if number:  # the first may write byte code
                seconds[name].append(taken)
    return {"status": "ok", "seconds": seconds}


def compiling(run: Runner, workload: Workload) -> Result:
    arguments, regions = count_command(run, workload)
    with tempfile.TemporaryDirectory(dir=run.folder) as cache:
        seconds = run.python(*arguments, NUMBA_CACHE_DIR=cache)
    return {"status": "ok", "regions": regions, "seconds": [seconds]}


KINDS: dict[str, Callable[[Runner, Workload], Result]] = {
    "partition": partition,
    "count": count,
    "call": call,
    "pair": pair,
    "bounds": bounds,
    "rival": rival,
    "command": command,
    "import": imports,
    "compile": compiling,
}


def measure_all(
    run: Runner, chosen: Iterable[Workload], report: Result, note: Callable[[str], None]
) -> Iterator[Result]:
    """Measure workloads one after the other; the report after each."""
    chosen = list(chosen)
    for number, workload in enumerate(chosen, start=1):
        note(f"{number}/{len(chosen)} {workload.name}: {workload.what}")
        start = perf_counter()
        try:
            found = KINDS[workload.kind](run, workload)
        except (Failed, TimeoutError) as error:
            status = "timeout" if isinstance(error, TimeoutError) else "failed"
            found = {"status": status, "reason": str(error)}
        net = (workload.quick() if run.quick else workload).net
        report["results"][workload.name] = {
            "kind": workload.kind,
            "what": workload.what,
            "net": str(net) if net else None,
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            **found,
        }
        # In the order of the list, whatever was measured first.
        report["results"] = {
            each.name: report["results"][each.name]
            for each in (*WORKLOADS, *SCALING)
            if each.name in report["results"]
        }
        for line in bench_tables.summary(workload.kind, found):
            note(f"  {line}")
        note(f"  done after {perf_counter() - start:.1f} s")
        yield report


def new_report(run: Runner) -> Result:
    """All of a report but the results."""
    # The first process compiles what is not compiled, and so no other does.
    run.measure("folded-part", "memory")
    found = run.measure("-", "environment")
    return {
        "schema": SCHEMA,
        "commit": commit(),
        "settings": {
            "threads": run.threads,
            "repetitions": run.repetitions,
            "quick": run.quick,
        },
        "machine": found["machine"],
        "versions": found["versions"],
        "results": {},
    }


def commit() -> str | None:
    """What is checked out, with a plus sign if the package was changed since."""
    git = ["git", "-C", str(REPOSITORY)]
    try:
        found = subprocess.run(
            [*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "polyregions"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip() + ("+" if changes.stdout.strip() else "")


def kept(path: Path, report: Result) -> dict[str, Result]:
    """The results of an earlier run of the same code on the same machine."""
    if not path.exists():
        return {}
    earlier = read(path)
    comparable = ("commit", "settings", "versions")
    if any(earlier[key] != report[key] for key in comparable):
        raise ValueError(f"{path} was measured by another version or with other settings")
    results: dict[str, Result] = earlier["results"]
    return results


def read(path: Path) -> Result:
    """Read a report.

    Raises
    ------
    ValueError
        If the file holds no report of this schema.
    """
    report = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no report of schema {SCHEMA}")
    return report


def render(report: Mapping[str, Any], page: Path) -> None:
    """Write the tables into a page, between its two marks.

    Raises
    ------
    ValueError
        If the page does not have both marks, in order.
    """
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    tables = bench_tables.tables(report)
    text, n = pattern.subn(lambda found: f"{found[1]}\n{tables}\n\n{found[2]}", text)
    if n != 1:
        raise ValueError(f"{page} must have the lines {BEGIN} and {END} once")
    page.write_text(text, encoding="utf-8")


# -- the command line --------------------------------------------------------------------------


def note(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[Workload]]:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    add("workloads", nargs="*", metavar="NAME", help="workloads to measure (all)")
    add("--list", action="store_true", help="print the workloads, and measure nothing")
    add("--threads", type=positive, default=min(2, cores or 1), metavar="N", help="(2)")
    add("--repetitions", type=positive, default=7, metavar="N", help="of every timing (7)")
    add("--quick", action="store_true", help="shrink all domains and repeat less: to try it out")
    add("--limit", type=float, default=1200, metavar="S", help="seconds for a process (1200)")
    add("--out", type=Path, default=Path("out/bench.json"), metavar="FILE", help="(out/bench.json)")
    add("--keep", action="store_true", help="keep what --out holds of other workloads")
    add("--render", type=Path, metavar="PAGE", help="write the tables into this page")
    add("--only-render", action="store_true", help="measure nothing: take the results from --out")
    add("--relucent-python", metavar="PATH", help="a Python interpreter that has relucent")
    add("--relucent-limit", type=float, default=300, metavar="S", help="seconds for it (300)")
    args = parser.parse_args(argv)
    if args.only_render and not args.render:
        parser.error("--only-render needs --render")
    if args.threads > (cores or 1):
        parser.error(f"--threads is {args.threads}, but there are {cores} cores")
    by_name = {workload.name: workload for workload in WORKLOADS}
    if unknown := [name for name in args.workloads if name not in by_name]:
        parser.error(f"no workload is called {', '.join(unknown)}; --list prints the names")
    return args, [by_name[name] for name in args.workloads or by_name]


def main(argv: Sequence[str] | None = None) -> int:
    args, chosen = parse(argv)
    if args.list:
        for workload in chosen:
            print(f"{workload.name:<20} {workload.what}")
        return 0
    try:
        if args.only_render:
            render(read(args.out), args.render)
            return 0
        with tempfile.TemporaryDirectory() as folder:
            run = Runner(
                threads=args.threads,
                repetitions=min(args.repetitions, 2) if args.quick else args.repetitions,
                quick=args.quick,
                limit=args.limit,
                folder=Path(folder),
                relucent=args.relucent_python,
                relucent_limit=args.relucent_limit,
            )
            report = new_report(run)
            report["results"] |= kept(args.out, report) if args.keep else {}
            args.out.parent.mkdir(parents=True, exist_ok=True)
            for _ in measure_all(run, chosen, report, note):
                text = json.dumps(report, indent=1, ensure_ascii=False)
                args.out.write_text(text + "\n", encoding="utf-8")
        note(f"results: {args.out}")
        if args.render:
            render(report, args.render)
            note(f"tables: {args.render}")
    except (ValueError, OSError) as error:
        note(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    failed = [
        name
        for name, found in report["results"].items()
        if found["status"] in ("failed", "timeout")
    ]
    if failed:
        note(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
