#!/usr/bin/env python3
"""Measure one part of one workload in this process: what `scripts/bench.py` runs as its children.

    python scripts/measure.py 64x4 time --threads 2 --out result.json

The result is written as JSON; all times are in seconds, all sizes of memory in bytes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import numpy as np
import workloads
from workloads import FloatArray, Layers, Net, Workload

Result = dict[str, Any]
Action = Callable[[], Any]

NO_LIMIT = 10**9  # regions
SMALL_CALL = 0.05  # seconds for which calls of next to no length are repeated
ONE_PASS = "torch, whole"
LARGEST_LAYER = 2**30  # bytes of one layer's values at all points, in a pass that is not blocked


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    repetitions : int
        How often each thing is timed.
    budget : float
        Seconds after which three repetitions are enough.
    threads : int
    file : Path or None
        A network's weights, to be written or read.
    """

    repetitions: int
    budget: float
    threads: int
    file: Path | None = None


def repeat(
    settings: Settings, *actions: Action, look: Callable[[Any], None] | None = None
) -> list[list[float]]:
    """Time all actions in turn, again and again; the times of each.

    What an action returns may be looked at by `look`. It is freed before the next one begins;
    neither is on any action's time.
    """
    seconds: list[list[float]] = [[] for _ in actions]
    begin = perf_counter()
    for number in range(settings.repetitions):
        if number >= 3 and perf_counter() - begin > settings.budget:
            break
        for action, times in zip(actions, seconds, strict=True):
            gc.collect()
            start = perf_counter()
            kept = action()
            times.append(perf_counter() - start)
            if look:
                look(kept)
            del kept
    return seconds


def repeat_small(settings: Settings, actions: Mapping[str, Action]) -> dict[str, list[float]]:
    """Time calls of microseconds: the mean of as many as take a while, several times."""
    loops = {}
    for name, action in actions.items():
        action()
        start, n = perf_counter(), 0
        while n < 3 or perf_counter() - start < SMALL_CALL:
            action()
            n += 1
        loops[name] = n
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(settings.repetitions):
        for name, action in actions.items():
            start = perf_counter()
            for _ in range(loops[name]):
                action()
            seconds[name].append((perf_counter() - start) / loops[name])
    return seconds


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- memory ------------------------------------------------------------------------------------


def _status(key: str) -> int | None:
    """A size from Linux's account of this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith(f"{key}:")]
    return int(found[0][1]) * 1024 if found else None


def memory_now() -> int:
    """Memory in use. Where the system does not tell, the most that was."""
    return _status("VmRSS") or memory_peak()


def memory_peak() -> int:
    """The most memory that was in use.

    `getrusage` tells it, but on Linux a new process can inherit its parent's peak there.
    """
    peak = _status("VmHWM")
    if peak is None:
        peak = getrusage(RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
    return peak


@dataclass
class Processor:
    """What processors were busy with during some actions: their own work, and the kernel's.

    Attributes
    ----------
    user, system : list of float
        Seconds of all threads together, action by action. Of the kernel's time most goes to
        provide memory that the process had not had yet.
    """

    user: list[float] = field(default_factory=list)
    system: list[float] = field(default_factory=list)

    def watch(self, action: Action) -> Action:
        """The action, with an eye on the processors."""

        def watched() -> Any:
            before = getrusage(RUSAGE_SELF)
            result = action()
            after = getrusage(RUSAGE_SELF)
            self.user.append(after.ru_utime - before.ru_utime)
            self.system.append(after.ru_stime - before.ru_stime)
            return result

        return watched


def seconds_to_provide(n_bytes: int) -> float:
    """Time of the kernel for memory that is written to for the first time."""
    before = getrusage(RUSAGE_SELF)
    np.ones(n_bytes // 8)
    return getrusage(RUSAGE_SELF).ru_stime - before.ru_stime


def memory_of(action: Action) -> Result:
    """The memory that an action needs on top of what was in use before it."""
    gc.collect()
    before = memory_now()
    kept = action()
    peak = memory_peak()
    del kept
    return {"before": before, "peak": peak, "net": peak - before}


# -- what is measured --------------------------------------------------------------------------


def partition_of(net: Net, model: Any, settings: Settings) -> Any:
    import polyregions as pr

    return pr.partition(model, net.domain, **_options(settings))


def count_of(net: Net, model: Any, settings: Settings) -> Any:
    import polyregions as pr

    return pr.count_regions(model, net.domain, **_options(settings))


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "engine": "exact",
        "max_regions": NO_LIMIT,
        "threads": settings.threads,
        "progress": False,
    }


def describe(part: Any) -> Result:
    """What a partition consists of, and which arithmetic decided how much."""
    return {
        "regions": len(part),
        "vertices": part.n_vertices,
        "edges": part.n_edges,
        "units": part.n_units,
        "decisions": dict(part.decisions),
    }


def in_words(found: Result) -> str:
    by_float64 = share(found["decisions"])
    return (
        f"{found['regions']:,} faces, {found['vertices']:,} vertices, {found['edges']:,} edges; "
        f"{found['units']} units; {sum(found['decisions'].values()):,} decisions, "
        f"{by_float64:.4%} by float64"
    )


def share(decisions: Mapping[str, int]) -> float:
    """The part of the decisions that float64 settled."""
    return decisions.get("float64", 0) / max(1, sum(decisions.values()))


def time_partition(workload: Workload, settings: Settings) -> Result:
    """A partition against one forward pass at one point of each region, in turn."""
    import polyregions as pr

    assert workload.net
    net, layers = workload.net, workload.net.make()
    network = pr.lower(layers)
    start = perf_counter()
    part = partition_of(net, network, settings)
    first = perf_counter() - start
    found = describe(part)
    say(f"  {in_words(found)}; first call {first:.2f} s")
    points = inner_points(part)
    del part
    passes = forward_passes(layers, points)
    stages: list[Mapping[str, float]] = []
    processor = Processor()

    def look(result: Any) -> None:
        if isinstance(result, pr.Partition):
            stages.append(result.seconds)

    subdivide = processor.watch(lambda: partition_of(net, network, settings))
    seconds, *forward = repeat(settings, subdivide, *passes.values(), look=look)
    typical = sorted(range(len(seconds)), key=seconds.__getitem__)[len(seconds) // 2]
    return {
        **found,
        "first": first,
        "seconds": seconds,
        "processor": {"user": processor.user, "system": processor.system},
        "stages": dict(stages[typical]),
        "forward": dict(zip(passes, forward, strict=True)),
    }


def inner_points(part: Any) -> FloatArray:
    """(F, 2): the mean of the corners of every face."""
    corners = part.vertex_xy[part.face_vertices]
    sizes = np.diff(part.face_offsets)
    return np.add.reduceat(corners, part.face_offsets[:-1], axis=0) / sizes[:, None]


def forward_passes(layers: Layers, points: FloatArray) -> dict[str, Action]:
    """The module called once on all points, if its layers' values fit in memory, and more.

    That is NumPy's and PyTorch's forward pass, each in the fastest of a few sizes of blocks.
    """
    import torch

    widest = max(len(bias) for _, bias in layers)
    whole = len(points) * widest * 8 <= LARGEST_LAYER
    sizes = {"whole": len(points)} if whole else {}
    sizes |= {f"{n:,} points at a time": n for n in (16384, 4096, 1024) if n < len(points)}
    module = torch_module(layers).double()
    tensor = torch.from_numpy(points)
    passes = {ONE_PASS: lambda: torch_pass(module, tensor, len(points))} if whole else {}
    for library, run in (
        ("numpy", lambda n: numpy_pass(layers, points, n)),
        ("torch", lambda n: torch_pass(module, tensor, n)),
    ):
        trial = {}
        for name, size in sizes.items():
            once = Settings(repetitions=1, budget=0.0, threads=0)
            times = [repeat(once, lambda run=run, n=size: run(n))[0][0]]
            if times[0] < 1:  # the first may be slower than others
                times += [repeat(once, lambda run=run, n=size: run(n))[0][0] for _ in range(2)]
            trial[name] = min(times)
        best = min(trial, key=trial.__getitem__)
        passes[f"{library}, {best}"] = lambda run=run, n=sizes[best]: run(n)
    return passes


def numpy_pass(layers: Layers, points: FloatArray, size: int) -> FloatArray:
    """The network's values, `size` points at a time."""
    values = np.empty((len(points), len(layers[-1][1])))
    for begin in range(0, len(points), size):
        x = points[begin : begin + size]
        for weight, bias in layers[:-1]:
            x = x @ weight.T
            x += bias
            np.maximum(x, 0, out=x)
        weight, bias = layers[-1]
        values[begin : begin + size] = x @ weight.T + bias
    return values


def torch_module(layers: Layers) -> Any:
    """The network in PyTorch, in float32."""
    import torch

    parts: list[Any] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def torch_pass(module: Any, points: Any, size: int) -> Any:
    """The network's values, `size` points at a time."""
    import torch

    with torch.inference_mode():
        return torch.cat([module(x) for x in points.split(size)])


def warm(settings: Settings) -> None:
    """Load all kernels, so that what comes next does not."""
    from polyregions import lower

    net = Net("2-3-3-1", 1.0, list)
    rng = np.random.default_rng(0)
    network = lower([(rng.normal(size=(m, n)), np.ones(m)) for n, m in ((2, 3), (3, 3), (3, 1))])
    partition_of(net, network, settings)


def memory_of_partition(workload: Workload, settings: Settings) -> Result:
    """The memory of one partition, with nothing else in the process."""
    import polyregions as pr

    assert workload.net
    net, network = workload.net, pr.lower(workload.net.make())
    warm(settings)
    return {"memory": memory_of(lambda: partition_of(net, network, settings))}


def time_count(workload: Workload, settings: Settings) -> Result:
    """Counting regions: time and memory."""
    import polyregions as pr

    assert workload.net
    net, network = workload.net, pr.lower(workload.net.make())
    warm(settings)
    found: list[Any] = []
    memory = memory_of(lambda: found.append(count_of(net, network, settings)))
    counts = found[0]
    say(f"  {counts.activation_regions:,} regions")
    (seconds,) = repeat(settings, lambda: count_of(net, network, settings))
    return {
        "regions": counts.activation_regions,
        "by_layer": list(counts.by_layer),
        "seconds": seconds,
        "memory": memory,
    }


def time_call(workload: Workload, settings: Settings) -> Result:
    """A small network: reading the model, and subdividing, apart and together."""
    import polyregions as pr

    assert workload.net
    net, layers = workload.net, workload.net.make()
    network, module = pr.lower(layers), torch_module(layers)
    start = perf_counter()
    part = partition_of(net, network, settings)
    first = perf_counter() - start
    found = describe(part)
    say(f"  {in_words(found)}; first call {first:.2f} s")
    seconds = repeat_small(
        settings,
        {
            "lower arrays": lambda: pr.lower(layers),
            "lower module": lambda: pr.lower(module),
            "subdivide": lambda: partition_of(net, network, settings),
            "from module": lambda: partition_of(net, module, settings),
        },
    )
    return {**found, "first": first, "calls": seconds}


def time_pair(workload: Workload, settings: Settings) -> Result:
    """A hard network, in turn with an ordinary one that has as many regions."""
    import polyregions as pr

    assert workload.net
    net, network = workload.net, pr.lower(workload.net.make())
    hard = describe(partition_of(net, network, settings))
    say(f"  {in_words(hard)}")
    partner = ordinary(workload.partner, hard["regions"], settings)
    other = pr.lower(partner.make())
    plain = describe(partition_of(partner, other, settings))
    say(f"  beside {partner}: {in_words(plain)}")
    hard["seconds"], plain["seconds"] = repeat(
        settings,
        lambda: partition_of(net, network, settings),
        lambda: partition_of(partner, other, settings),
    )
    return {"hard": hard, "ordinary": {"net": str(partner), **plain}}


def ordinary(hidden: Sequence[int], regions: int, settings: Settings) -> Net:
    """A network in default initialisation on a domain where it has about that many regions.

    Raises
    ------
    ValueError
        If no square around the origin is within 20 %.
    """
    import polyregions as pr

    network = pr.lower(workloads.default(*hidden).make())
    low, high = -4.0, 4.0  # powers of ten
    for _ in range(40):
        power = (low + high) / 2
        net = workloads.default(*hidden, half_width=10.0**power)
        found = len(partition_of(net, network, settings))
        if abs(found / regions - 1) < 0.02:
            return net
        low, high = (power, high) if found < regions else (low, power)
    if abs(found / regions - 1) > 0.2:
        raise ValueError(f"{net.shape} has {found} regions where {regions} are wanted")
    return net


def time_bounds(workload: Workload, settings: Settings) -> Result:
    """A partition by kernels with or without error bounds, as the environment says."""
    import polyregions as pr
    from polyregions.engine import kernels

    wanted = "POLYREGIONS_UNPROVEN" in os.environ
    if kernels.PROVEN is wanted:
        raise RuntimeError("the error bounds are not switched as they should be")
    assert workload.net
    net, network = workload.net, pr.lower(workload.net.make())
    found = describe(partition_of(net, network, settings))
    (seconds,) = repeat(settings, lambda: partition_of(net, network, settings))
    return {"regions": found["regions"], "seconds": seconds}


def save(workload: Workload, settings: Settings) -> Result:
    """Write the network's weights to a file that `polyregions.load_model` reads."""
    assert workload.net
    assert settings.file
    arrays = {}
    for number, (weight, bias) in enumerate(workload.net.make()):
        arrays |= {f"W{number}": weight, f"b{number}": bias}
    np.savez(settings.file, **arrays)
    return {}


def time_ours(workload: Workload, settings: Settings) -> Result:
    """What a rival is compared with."""
    import polyregions as pr

    assert workload.net
    net, network = workload.net, pr.lower(workload.net.make())
    found = describe(partition_of(net, network, settings))
    (seconds,) = repeat(settings, lambda: partition_of(net, network, settings))
    save(workload, settings)
    return {"regions": found["regions"], "seconds": seconds}


def time_relucent(workload: Workload, settings: Settings) -> Result:
    """Relucent's search for all regions that meet the domain.

    It takes what costs it least: no certificate at its end, no geometry, and a start away from the
    origin, where all lines of a network without biases meet.
    """
    import relucent
    import torch

    assert workload.net
    assert settings.file
    relucent.update_settings(VERBOSE=0)
    with np.load(settings.file) as file:
        n = len(file.files) // 2
        module = torch_module([(file[f"W{i}"], file[f"b{i}"]) for i in range(n)])
    start = workload.net.half_width * torch.tensor([0.3141, 0.2718])

    def explore() -> Any:
        found = relucent.Complex(module)
        result = found.bfs(
            start,
            cube_radius=workload.net.half_width,
            cube_mode="intersect",
            nworkers=settings.threads,
            verify=False,
            verbose=0,
        )
        return found, bool(result.complete)

    begin = perf_counter()
    found, complete = explore()
    first = perf_counter() - begin
    result: Result = {
        "version": relucent.__version__,
        "regions": len(found),
        "complete": complete,
        "first": first,
        "seconds": [first],
    }
    if first < settings.budget:
        (result["seconds"],) = repeat(settings, explore)
    return result


# -- the machine -------------------------------------------------------------------------------


def environment(workload: Workload | None, settings: Settings) -> Result:
    """The machine, and the versions of what runs on it."""
    import polyregions

    names = ("numpy", "numba", "llvmlite", "torch", "python-flint", "scipy", "shapely")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory": memory,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "load": os.getloadavg()[0],
            "seconds_for_a_gigabyte": seconds_to_provide(10**9),
        },
        "versions": {
            "polyregions": polyregions.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in names},
        },
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


PARTS: dict[str, Callable[..., Result]] = {
    "environment": environment,
    "time": time_partition,
    "memory": memory_of_partition,
    "count": time_count,
    "call": time_call,
    "pair": time_pair,
    "bounds": time_bounds,
    "save": save,
    "ours": time_ours,
    "relucent": time_relucent,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workload", help="its name, or - for none")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    settings = Settings(args.repetitions, args.budget, args.threads, args.file)
    if hasattr(os, "sched_setaffinity"):  # whatever does not ask how many threads to use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    workload = None if args.workload == "-" else workloads.find(args.workload)
    if workload and args.quick:
        workload = workload.quick()
    result: Result
    try:
        result = {"status": "ok", **PARTS[args.part](workload, settings)}
    except Exception as error:
        if args.part != "relucent":
            raise
        # A rival that stops with an error is a result, not a fault of the measurement.
        result = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    args.out.write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
