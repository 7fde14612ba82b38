"""The tables of `scripts/bench.py`: a report in, Markdown out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import floor, log10
from statistics import median
from typing import Any

Result = Mapping[str, Any]

# -- numbers in words --------------------------------------------------------------------------


def digits(value: float) -> str:
    """A number with two digits that count, or three from 100 on, and no exponent.

    >>> digits(1234.5), digits(0.01234), digits(0.999), digits(0)
    ('1,230', '0.012', '1.0', '0')
    """
    if value == 0:
        return "0"
    value = float(f"{value:.1e}" if value < 99.5 else f"{value:.2e}")
    return f"{value:,.{max(0, 1 - floor(log10(value)))}f}"


def unit_of(value: float) -> tuple[float, str]:
    """The unit in which a time reads well, and its name."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if value >= unit:
            return unit, name
    return 1e-6, "µs"


def in_unit(value: float) -> str:
    """A time.

    >>> in_unit(0.0123), in_unit(2.5e-4), in_unit(75.3)
    ('12 ms', '250 µs', '75 s')
    """
    unit, name = unit_of(value)
    return f"{digits(value / unit)} {name}"


def spread(values: Sequence[float]) -> str:
    """The median of times, and their range.

    >>> spread([0.011, 0.012, 0.02])
    '12 ms (11–20)'
    """
    unit, name = unit_of(median(values))
    low, middle, high = (digits(f(values) / unit) for f in (min, median, max))
    return f"{middle} {name}" + (f" ({low}–{high})" if len(values) > 1 else "")


def ratio(values: Sequence[float]) -> str:
    """The median of ratios, and their range.

    >>> ratio([0.5, 0.611, 0.7])
    '0.61 (0.50–0.70)'
    """
    low, middle, high = (digits(f(values)) for f in (min, median, max))
    return middle + (f" ({low}–{high})" if len(values) > 1 else "")


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Repetition by repetition: what was measured at about the same moment is compared."""
    return [a / b for a, b in zip(above, below, strict=True)]


def size(n_bytes: float) -> str:
    """Memory.

    >>> size(3_456_000), size(2.5e9)
    ('3.5 MB', '2.5 GB')
    """
    unit, name = (1e9, "GB") if n_bytes >= 1e9 else (1e6, "MB")
    return f"{digits(n_bytes / unit)} {name}"


def settled(decisions: Mapping[str, int]) -> str:
    """How many decisions float64 settled.

    >>> settled({"float64": 100, "integer": 0}), settled({"float64": 99990, "integer": 10})
    ('all', 'all but 10, 99.990 %')
    """
    total = sum(decisions.values())
    left = total - decisions.get("float64", 0)
    if not left:
        return "all"
    # Rounded down: only all is 100 %.
    return f"all but {left:,}, {floor(1e5 * (total - left) / total) / 1e3:.3f} %"


def one_pass(found: Result) -> list[float] | None:
    """The module called once on all points, if that was possible."""
    times: list[float] | None = found["forward"].get("torch, whole")
    return times


def fastest_pass(found: Result) -> tuple[str, list[float]]:
    """The fastest forward pass of all libraries and sizes of blocks."""
    name = min(found["forward"], key=lambda name: median(found["forward"][name]))
    return name, found["forward"][name]


def per_region(found: Result) -> float:
    """Seconds for a region."""
    return float(median(found["seconds"])) / found["regions"]


# -- one line ----------------------------------------------------------------------------------


def summary(kind: str, found: Result) -> Iterator[str]:
    """What a workload came to."""
    if found["status"] != "ok":
        yield f"{found['status']}: {found['reason']}"
    elif kind in ("partition", "count"):
        text = f"{spread(found['seconds'])}; {size(found['memory']['net'])}"
        if kind == "partition":
            name, forward = fastest_pass(found)
            if (whole := one_pass(found)) is not None:
                text += f"; {ratio(quotients(found['seconds'], whole))} forward passes"
            text += f"; {ratio(quotients(found['seconds'], forward))} of the fastest ({name})"
        yield text
    elif kind == "call":
        yield "; ".join(f"{name} {spread(times)}" for name, times in found["calls"].items())
    elif kind == "pair":
        yield f"{ratio(pair_ratios(found))} times an ordinary network's time per region"
    elif kind == "bounds":
        yield f"{ratio(bound_ratios(found))} times as long as without error bounds"
    elif kind == "rival":
        theirs = found["theirs"]
        yield outcome(found)
        if theirs["status"] == "ok":
            yield f"{spread(theirs['seconds'])} against {spread(found['ours']['seconds'])}"
    elif kind in ("import", "command"):
        yield "; ".join(f"{name} {spread(times)}" for name, times in found["seconds"].items())
    elif kind == "compile":
        yield spread(found["seconds"])


def pair_ratios(found: Result) -> list[float]:
    """A hard network's time per region over that of an ordinary one."""
    hard, plain = found["hard"], found["ordinary"]
    scale = plain["regions"] / hard["regions"]
    return [scale * q for q in quotients(hard["seconds"], plain["seconds"])]


def bound_ratios(found: Result) -> list[float]:
    """Time with error bounds over time without, round by round."""
    return [median(a) / median(b) for a, b in zip(found["proven"], found["unproven"], strict=True)]


def outcome(found: Result) -> str:
    """How a rival fared."""
    ours, theirs = found["ours"], found["theirs"]
    if theirs["status"] == "timeout":
        return theirs["reason"]
    if theirs["status"] != "ok":
        return f"stops with {theirs['reason'].partition(':')[0]}"
    count = f"finds {theirs['regions']:,} of {ours['regions']:,} regions"
    if theirs["regions"] == ours["regions"]:
        count = f"finds all {ours['regions']:,} regions"
    return count if theirs["complete"] else f"{count}, and says that it is not complete"


# -- tables ------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its first column on the left."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
    return "\n".join(lines)


def tables(report: Result) -> str:
    """All that a report shows."""
    done = {name: found for name, found in report["results"].items() if found["status"] == "ok"}
    parts = [conditions(report)]
    for title, make in (
        ("Partitions and forward passes", partitions),
        ("Ten million regions", folded),
        ("Small networks", calls),
        ("Networks that are hard", pairs),
        ("What the proofs cost", proofs),
        ("Whole processes", processes),
        ("Relucent", rivals),
    ):
        text = make(done)
        if text:
            parts.append(f"## {title}\n\n{text}")
    missing = [
        f"- {found['what']}: {found['reason']}"
        for found in report["results"].values()
        if found["status"] != "ok"
    ]
    if missing:
        parts.append("## Not measured\n\n" + "\n".join(missing))
    return "\n\n".join(parts)


def conditions(report: Result) -> str:
    """The machine and the versions."""
    machine, versions, settings = (report[key] for key in ("machine", "versions", "settings"))
    found = report["results"].values()
    days = sorted({entry["measured"][:10] for entry in found})
    when = f" on {days[0]}" if len(days) == 1 else f" from {days[0]} to {days[-1]}" if days else ""
    names = {"python": "Python", "numpy": "NumPy", "numba": "Numba", "torch": "PyTorch"}
    libraries = ", ".join(f"{name} {versions[key]}" for key, name in names.items())
    commit = f" at commit {report['commit']}" if report["commit"] else ""
    quick = " **All domains were shrunk: this was a trial.**" if settings["quick"] else ""
    return (
        f"Measured{when} with {settings['threads']} threads on {machine['processor']} with "
        f"{machine['cores']} cores and {size(machine['memory'])} of memory, "
        f"{machine['system']}, with a load average of {machine['load']:.1f} beforehand, where the "
        f"kernel takes {digits(machine['seconds_for_a_gigabyte'])} s to provide a GB of memory; "
        f"{libraries}; polyregions {versions['polyregions']}{commit}. "
        f"Times are medians of {settings['repetitions']} repetitions (of 3 or more where one "
        f"takes long), ranges in brackets.{quick}"
    )


def _of_kind(done: Mapping[str, Result], *kinds: str) -> dict[str, Result]:
    return {name: found for name, found in done.items() if found["kind"] in kinds}


def partitions(done: Mapping[str, Result]) -> str:
    rows = []
    for found in _of_kind(done, "partition").values():
        name, forward = fastest_pass(found)
        whole = one_pass(found)
        rows.append(
            (
                found["net"],
                f"{found['regions']:,}",
                settled(found["decisions"]),
                spread(found["seconds"]),
                "–" if whole is None else in_unit(median(whole)),
                "–" if whole is None else ratio(quotients(found["seconds"], whole)),
                f"{in_unit(median(forward))}, {name}",
                ratio(quotients(found["seconds"], forward)),
                in_unit(found["first"]),
                size(found["memory"]["net"]),
            )
        )
    if not rows:
        return ""
    before = [found["memory"]["before"] for found in _of_kind(done, "partition").values()]
    head = (
        "network, domain", "regions", "settled by float64", "partition", "forward pass", "ratio",
        "fastest pass in blocks", "ratio", "first call", "peak memory",
    )  # fmt: skip
    return (
        f"{table(head, rows)}\n\nPeak memory is on top of the interpreter, the libraries and the "
        f"kernels, which take {size(min(before))} to {size(max(before))}."
    )


def folded(done: Mapping[str, Result]) -> str:
    names = {
        "folded": "partition", "folded-part": "partition",
        "folded-count": "`count_regions`", "folded-part-count": "`count_regions`",
    }  # fmt: skip
    rows = [
        (
            f"{what}, {done[name]['net'].rpartition(', ')[2]}",
            f"{done[name]['regions']:,}",
            spread(done[name]["seconds"]),
            f"{digits(1e6 * per_region(done[name]))} µs",
            size(done[name]["memory"]["net"]),
        )
        for name, what in names.items()
        if name in done
    ]
    if not rows:
        return ""
    head = ("what, domain", "regions", "time", "time for each region", "peak memory")
    parts = [table(head, rows)]
    if {"folded", "folded-part"} <= done.keys():
        large, small = done["folded"], done["folded-part"]
        user, both = (
            [
                sum(median(found["processor"][k]) for k in kinds) / found["regions"]
                for found in (large, small)
            ]
            for kinds in (("user",), ("user", "system"))
        )
        parts.append(
            f"With {digits(large['regions'] / small['regions'])} times as many regions of the same "
            f"network, each takes {digits(per_region(large) / per_region(small))} times as long. "
            f"The processors' own work is {digits(user[0] / user[1])} times as much for each; with "
            f"the kernel's, which is {digits(median(large['processor']['system']))} s and goes to "
            f"provide memory, {digits(both[0] / both[1])} times."
        )
    return "\n\n".join(parts)


def calls(done: Mapping[str, Result]) -> str:
    rows = [
        (
            found["net"],
            f"{found['regions']:,}",
            *(
                spread(found["calls"][name])
                for name in ("subdivide", "lower arrays", "lower module", "from module")
            ),
        )
        for found in _of_kind(done, "call").values()
    ]
    head = (
        "network, domain", "regions", "partition of a lowered network", "lowering of arrays",
        "lowering of an `nn.Sequential`", "partition of an `nn.Sequential`",
    )  # fmt: skip
    return table(head, rows) if rows else ""


def pairs(done: Mapping[str, Result]) -> str:
    rows = [
        (
            found["net"],
            f"{found['hard']['regions']:,}",
            settled(found["hard"]["decisions"]),
            spread(found["hard"]["seconds"]),
            found["ordinary"]["net"],
            f"{found['ordinary']['regions']:,}",
            spread(found["ordinary"]["seconds"]),
            ratio(pair_ratios(found)),
        )
        for found in _of_kind(done, "pair").values()
    ]
    head = (
        "network, domain", "regions", "settled by float64", "time", "ordinary network", "regions",
        "time", "ratio for each region",
    )  # fmt: skip
    return table(head, rows) if rows else ""


def proofs(done: Mapping[str, Result]) -> str:
    rows = [
        (
            found["net"],
            f"{found['regions']:,}",
            spread([median(times) for times in found["proven"]]),
            spread([median(times) for times in found["unproven"]]),
            ratio(bound_ratios(found)),
        )
        for found in _of_kind(done, "bounds").values()
    ]
    head = ("network, domain", "regions", "with proofs", "without", "ratio")
    return table(head, rows) if rows else ""


def processes(done: Mapping[str, Result]) -> str:
    rows = []
    if "import" in done:
        seconds = done["import"]["seconds"]
        bare = median(seconds["nothing"])
        rows.append(("`python -c pass`", spread(seconds["nothing"])))
        for name in ("numpy", "polyregions"):
            more = in_unit(max(0.0, median(seconds[name]) - bare))
            rows.append((f'`python -c "import {name}"`', f"{spread(seconds[name])}: {more} more"))
    if "command" in done:
        for ending, times in done["command"]["seconds"].items():
            what = f"`polyregions count` of 2-20-1 in an `{ending}` file"
            rows.append((what, spread(times)))
    if "compile" in done:
        rows.append(
            (
                "the same for the first time, compiling all kernels",
                spread(done["compile"]["seconds"]),
            )
        )
    return table(("process", "time"), rows) if rows else ""


def rivals(done: Mapping[str, Result]) -> str:
    rows = []
    versions = set()
    for found in _of_kind(done, "rival").values():
        ours, theirs = found["ours"], found["theirs"]
        times = ("–", "–")
        if theirs["status"] == "ok":
            versions.add(theirs["version"])
            factor = digits(median(theirs["seconds"]) / median(ours["seconds"]))
            times = (spread(theirs["seconds"]), factor)
        rows.append((found["net"], spread(ours["seconds"]), outcome(found), *times))
    head = (
        "network, domain",
        "polyregions",
        f"relucent {', '.join(versions)}",
        "its time",
        "factor",
    )
    return table(head, rows) if rows else ""
