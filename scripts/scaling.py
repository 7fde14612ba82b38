#!/usr/bin/env python3
"""Draw time and memory against the number of regions, from a hundred to ten million.

One network, made to have many regions evenly spread, is partitioned on squares of growing size;
`scripts/workloads.py` says how it is made. Whole partitions, `count_regions` and forward passes at
one point of each region are measured as `scripts/bench.py` does, in the same format, and drawn on
logarithmic scales.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import bench
import bench_tables
from workloads import SCALES, SCALING

os.environ.setdefault("MPLBACKEND", "Agg")

EXAMPLES = """\
examples:
  %(prog)s
  %(prog)s --most 1e6 --repetitions 3
  %(prog)s --only-draw --figure /tmp/scaling.png
"""

IMAGES = bench.REPOSITORY / "docs" / "images"
INK, BLUE, ORANGE, GREY = "#1a1a2e", "#0072b2", "#d55e00", "#6b6b76"
TIMES = {
    10.0 ** (3 * k + i): f"{10**i} {unit}"
    for k, unit in ((-2, "µs"), (-1, "ms"), (0, "s"))
    for i in range(3)
}
SIZES = {
    10.0 ** (3 * k + i): f"{10**i} {unit}" for k, unit in ((2, "MB"), (3, "GB")) for i in range(3)
}
SMALLEST = 1e6  # bytes below which it is chance what a process needs

Series = dict[str, list[float]]


def series(report: bench.Result) -> dict[str, Series]:
    """What is drawn: regions, median, least and largest seconds, and bytes, by curve."""
    found: dict[str, Series] = {}

    def add(curve: str, entry: Any, seconds: Sequence[float], memory: float | None) -> None:
        row = (entry["regions"], median(seconds), min(seconds), max(seconds), memory)
        names = ("regions", "seconds", "least", "most", "memory")
        columns = found.setdefault(curve, {name: [] for name in names})
        for name, value in zip(names, row, strict=True):
            columns[name].append(value)

    for entry in report["results"].values():
        if entry["status"] != "ok":
            continue
        memory = entry["memory"]["net"]
        if entry["kind"] == "partition":
            add("partition", entry, entry["seconds"], memory)
            if (whole := bench_tables.one_pass(entry)) is not None:  # else it takes much memory
                add("forward", entry, whole, None)
        else:
            add("count", entry, entry["seconds"], memory)
    return found


CURVES: dict[str, tuple[str, dict[str, Any]]] = {
    "partition": ("whole partition", {"color": BLUE, "marker": "o"}),
    "count": ("count_regions", {"color": ORANGE, "marker": "s"}),
    "forward": ("forward pass, one point\nof each region", {"color": GREY, "linestyle": "--"}),
}


def draw(report: bench.Result, path: Path) -> None:
    """Draw time on the left, and memory on the right."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"font.size": 10.0, "svg.fonttype": "path", "svg.hashsalt": "polyregions"}
    with rc_context({**style, "axes.edgecolor": GREY, "axes.linewidth": 0.8}):
        figure = Figure(figsize=(9.6, 4.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        found = series(report)
        for curve, (label, look) in CURVES.items():
            if curve not in found:
                continue
            values = found[curve]
            x = values["regions"]
            left.plot(x, values["seconds"], label=label, markersize=4.5, linewidth=1.6, **look)
            left.fill_between(
                x, values["least"], values["most"], color=look["color"], alpha=0.16, linewidth=0
            )
            if curve != "forward":
                pairs = [(n, m) for n, m in zip(x, values["memory"], strict=True) if m >= SMALLEST]
                right.plot(*zip(*pairs, strict=True), markersize=4.5, linewidth=1.6, **look)
        for ax, title, guides in (
            (left, "time", {1e-7: "0.1 µs", 1e-6: "1 µs", 1e-5: "10 µs"}),
            (right, "peak memory", {1e2: "0.1 kB", 1e3: "1 kB", 1e4: "10 kB"}),
        ):
            ax.set(xscale="log", yscale="log", xlabel="regions")
            ax.set_title(title, loc="left", color=INK, fontsize=11)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(which="both", color=GREY)
            ax.minorticks_off()
            ax.set_xlim(left.get_xlim())
            _guides(ax, guides)
        _name_values(left, TIMES)
        _name_values(right, SIZES)
        left.legend(frameon=False, loc="upper left", handlelength=2.4, labelcolor=INK)
        machine, versions = report["machine"], report["versions"]
        figure.supxlabel(
            f"{report['settings']['threads']} threads on {machine['processor']}, "
            f"polyregions {versions['polyregions']}; medians, and bands from fastest to slowest; "
            "thin lines: so much for each region",
            fontsize=8.5,
            color=GREY,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=metadata)


def _guides(ax: Any, guides: dict[float, str]) -> None:
    """Thin lines along which every region costs the same, named where they leave the frame."""
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    for cost, label in guides.items():
        ax.plot([x0, x1], [cost * x0, cost * x1], color=GREY, linewidth=0.6, alpha=0.45, zorder=0)
        at_top = cost * x1 > y1
        x, y = (y1 / cost, y1) if at_top else (x1, cost * x1)
        if x > x0 and y > y0:
            ax.annotate(
                label,
                (x, y),
                xytext=(0, 3) if at_top else (4, 0),
                textcoords="offset points",
                ha="center" if at_top else "left",
                va="bottom" if at_top else "center",
                fontsize=8,
                color=GREY,
            )
    ax.set(xlim=(x0, x1), ylim=(y0, y1))


def _name_values(ax: Any, names: dict[float, str]) -> None:
    """Name the values on the axis that are within its limits."""
    low, high = ax.get_ylim()
    shown = {value: name for value, name in names.items() if low <= value <= high}
    ax.set_yticks(list(shown), labels=list(shown.values()))
    ax.set_ylim(low, high)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--most", type=float, default=1e7, metavar="N", help="regions, about (1e7)")
    add("--threads", type=bench.positive, default=2, metavar="N", help="(2)")
    add("--repetitions", type=bench.positive, default=5, metavar="N", help="of every timing (5)")
    add("--limit", type=float, default=1200, metavar="S", help="seconds for a process (1200)")
    help_out = "where the measurements go (docs/images/scaling.json)"
    help_figure = "where the figure goes (docs/images/scaling.svg)"
    add("--out", type=Path, default=IMAGES / "scaling.json", metavar="FILE", help=help_out)
    add("--figure", type=Path, default=IMAGES / "scaling.svg", metavar="FILE", help=help_figure)
    add("--only-draw", action="store_true", help="measure nothing: draw what --out holds")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    try:
        if args.only_draw:
            draw(bench.read(args.out), args.figure)
            return 0
        most = sum(regions <= 1.01 * args.most for regions in SCALES)
        chosen = SCALING[: 2 * most]
        with tempfile.TemporaryDirectory() as folder:
            run = bench.Runner(args.threads, args.repetitions, False, args.limit, Path(folder))
            report = bench.new_report(run)
            args.out.parent.mkdir(parents=True, exist_ok=True)
            for _ in bench.measure_all(run, chosen, report, bench.note):
                text = json.dumps(report, indent=1, ensure_ascii=False)
                args.out.write_text(text + "\n", encoding="utf-8")
        draw(report, args.figure)
        bench.note(f"measurements: {args.out}; figure: {args.figure}")
    except (ValueError, OSError) as error:
        bench.note(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    return int(
        any(found["status"] in ("failed", "timeout") for found in report["results"].values())
    )


if __name__ == "__main__":
    sys.exit(main())
