"""The command line: every command parses, makes one call of the public API and prints.

Exit status: 0 if all went well, 1 if a check failed, 2 for wrong usage or anything that the API
refuses, 130 if interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polyregions as pr
from polyregions import cli_line, cli_parser, cli_slice, compilation, progress
from polyregions.cli_polygon import PolygonFile, read_polygon

if TYPE_CHECKING:
    from fractions import Fraction

    from matplotlib.figure import Figure


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments behind the program's name; those of the process unless given.

    Returns
    -------
    int
        The exit status.

    Examples
    --------
    >>> from polyregions.cli import main
    >>> main(["--version"])
    polyregions 0.1.0
    0
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    show_traceback = "--traceback" in arguments
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone; keep Python from writing the rest when it ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        print(f"polyregions: {_one_line(stop)}", file=sys.stderr)
        return 130
    except MemoryError:
        if show_traceback:
            raise
        print("polyregions: error: not enough memory for that", file=sys.stderr)
        return 2
    except (pr.PolyregionsError, ValueError, TypeError, OSError, ArithmeticError) as error:
        if show_traceback:
            raise
        print(f"polyregions: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return status


def _run(arguments: list[str]) -> int:
    parser = cli_parser.build(COMMANDS, pr.__version__)
    try:
        args = cli_parser.parse(parser, arguments)
    except SystemExit as stop:  # help, version or wrong usage
        return stop.code if isinstance(stop.code, int) else 2
    status: int = args.run(args)
    return status


# -- commands ----------------------------------------------------------------------------------


def _count(args: argparse.Namespace) -> int:
    if not (args.linear or args.certificate or _is_saved(args.model)):
        return _count_only(args)
    part = _partition(args)
    certificate = part.certificate if args.certificate else None
    if args.json:
        _print_json(_facts(args, part) | ({"certificate": _checks(part)} if certificate else {}))
    else:
        print(part)
        if isinstance(part.domain, pr.Plane):
            size = float(part.bounding_square())
            print(f"  lines meet up to {size:.6g} away from the origin, by the larger coordinate")
        if not part.face_is_unbounded.all():
            smallest, _ = _smallest_and_largest(part)
            x, y = _face(part, smallest)["centroid"]
            print(f"  the smallest face is number {smallest}, around ({x:.6g}, {y:.6g})")
        if part.n_units:
            from polyregions.engines import faces_by_layer

            counts = ", ".join(f"{n:,}" for n in faces_by_layer(part))
            what = "faces" if part.domain.is_convex else "regions"
            print(f"  {what} after each layer: {counts}")
        if certificate:
            print(certificate)
    return 0 if certificate is None or certificate.ok else 1


def _count_only(args: argparse.Namespace) -> int:
    """Count what can be counted without the vertices, edges and maps."""
    from polyregions.api import domain_of

    network, plane = _network(args)
    options = _options(args)
    given = {name: options.pop(name) for name in ("domain",) if name in options}
    domain = domain_of(**given, slice=plane)
    with _compilation_is_said(args):
        counts = pr.count_regions(network, domain, slice=plane, **options)
    widths = [layer.n_outputs for layer in network.activations]
    if args.json:
        _print_json(
            {
                "polyregions": pr.__version__,
                "model": args.model,
                "domain": _domain_facts(domain),
                **_slice_facts(plane),
                "counts": {
                    "activation_regions": counts.activation_regions,
                    "linear_regions": None,
                    "affine_pieces": None,
                },
                "units": network.n_units,
                "outputs": network.n_outputs,
                "layers": _layer_facts(widths, counts.by_layer),
            }
        )
    else:
        shape = f" ({'-'.join(map(str, widths))})" if widths else ""
        units, layers = _number(network.n_units, "unit"), _number(len(widths), "layer")
        on = "" if plane is None else f" on {plane}"
        print(f"Regions of {domain}{on} by {units} in {layers}{shape}")
        print(f"  {counts}")
    return 0


def _plot(args: argparse.Namespace) -> int:
    out = _out(args.out, (".png", ".svg", ".pdf"))
    part = _partition(args)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(args.size, args.size), layout="constrained")
    pr.plot.partition(
        part,
        ax=figure.subplots(),
        color=None if args.color == "none" else args.color,
        lines=None if args.lines == "none" else args.lines,
        output=args.component,
    )
    _save(figure, out, args.dpi)
    print(f"{out}: {part.n_faces:,} faces")
    return 0


def _save(figure: Figure, out: Path, dpi: float) -> None:
    from matplotlib import rc_context

    # Neither dates nor random names in the file: equal pictures are equal bytes.
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with rc_context({"svg.hashsalt": "polyregions"}):
        figure.savefig(
            out,
            dpi=dpi,
            bbox_inches="tight",  # no empty margins, whatever the shape of the domain
            metadata=dates.get(out.suffix.lower()),
        )


def _verify(args: argparse.Namespace) -> int:
    model = _model(args)
    if args.partition is None:
        planes = _planes(args)
        network = pr.lower(model, shape=planes.shape)
        with _compilation_is_said(args):
            part = pr.partition(network, slice=planes.of(network.n_inputs), **_options(args))
    else:
        options = (*cli_parser.COMPUTING, *cli_parser.SLICING)
        _refuse_options(args, *options, because="with --partition")
        part = pr.load(args.partition)
    report = pr.verify(part, model, resolution=args.resolution)
    if args.json:
        missed = zip(report.missed_faces.tolist(), report.missed_areas.tolist(), strict=True)
        facts = {"model": args.model, **_report_facts(report)}
        _print_json(facts | {"missed": [{"face": f, "area": area} for f, area in missed]})
    else:
        print(report)
    return 0 if report.ok else 1


def _export(args: argparse.Namespace) -> int:
    out = _out(args.out, (".npz", ".geojson", ".svg"))
    part = _partition(args)
    if out.suffix.lower() == ".npz":
        part.save(out)
    elif out.suffix.lower() == ".svg":
        part.to_svg(out)
    else:
        out.write_text(json.dumps(part.to_geojson(), allow_nan=False), encoding="utf-8")
    size = out.stat().st_size
    if args.json:
        _print_json(_facts(args, part) | {"out": str(out), "bytes": size})
    else:
        print(f"{out}: {part.n_faces:,} faces, {size:,} bytes")
    return 0


def _line(args: argparse.Namespace) -> int:
    if args.out is None:
        _refuse_options(args, "component", because="without --out")
    out = _out(args.out, (".png", ".svg", ".pdf")) if args.out else None
    a, b = (cli_line.read_point(text) for text in (args.start, args.end))
    # What is checked is the model itself, not only what it is lowered to.
    model = _model(args) if args.verify else _lowered(args, a.shape)
    options = _options(args)
    with _compilation_is_said(args):
        part = pr.partition_line(model, a, b, whole=args.whole, **options)
    report = pr.verify(part, model) if args.verify else None
    facts = cli_line.facts(part, args.model)
    if out is not None:
        _draw_line(out, part, args)
        facts["out"] = str(out)
    if args.json:
        _print_json(facts | ({"verification": _report_facts(report)} if report else {}))
    else:
        print(cli_line.text(part))
        if report:
            print(report)
        if out is not None:
            print(f"{out}: {_number(part.n_pieces, 'piece')}")
    return 0 if report is None or report.ok else 1


def _draw_line(out: Path, part: pr.LinePartition, args: argparse.Namespace) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(args.size, 0.56 * args.size), layout="constrained")
    pr.plot.line(part, figure.subplots(), output=args.component)
    _save(figure, out, args.dpi)


def _demo(args: argparse.Namespace) -> int:
    from polyregions import worksheet

    worksheet.run(out=args.out, seed=args.seed, quick=args.quick)
    return 0


# -- models and partitions ---------------------------------------------------------------------


def _partition(args: argparse.Namespace) -> pr.Partition:
    """The partition that the arguments describe, computed or loaded."""
    if _is_saved(args.model):
        options = (*cli_parser.COMPUTING, *cli_parser.SLICING, "activation", "transpose")
        _refuse_options(args, *options, because="to a saved partition")
        return pr.load(args.model)
    network, plane = _network(args)
    with _compilation_is_said(args):
        return pr.partition(network, slice=plane, **_options(args))


def _is_saved(path: str) -> bool:
    """Whether a file is a saved partition."""
    from polyregions.io import is_partition

    return is_partition(path)


def _network(args: argparse.Namespace) -> tuple[pr.Network, pr.Slice | None]:
    """The model that the arguments name, lowered, and the plane they describe."""
    from polyregions.io import load_network

    planes = _planes(args)
    network = load_network(args.model, **_reading(args), shape=planes.shape)
    return network, planes.of(network.n_inputs)


def _lowered(args: argparse.Namespace, shape: tuple[int, ...]) -> pr.Network:
    from polyregions.io import load_network

    return load_network(args.model, **_reading(args), shape=shape)


def _planes(args: argparse.Namespace) -> cli_slice.Planes:
    return cli_slice.Planes(args.slice, args.fix)


def _model(args: argparse.Namespace) -> Any:
    return pr.load_model(args.model, **_reading(args))


def _reading(args: argparse.Namespace) -> dict[str, Any]:
    """How a file of weights is to be read."""
    if Path(args.model).suffix.lower() in (".pt2", ".nnet", ".onnx") or ".py:" in args.model:
        because = "to this kind of model, which says so itself"
        _refuse_options(args, "activation", "transpose", because=because)
    return {"activation": args.activation or "relu", "transpose": args.transpose}


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of the options of `polyregions.partition`."""
    if isinstance(getattr(args, "domain", None), PolygonFile):
        args.domain = read_polygon(args.domain.path)
    given = {name: getattr(args, name, None) for name in cli_parser.COMPUTING}
    if given["progress"] is None:
        given["progress"] = sys.stderr is not None and sys.stderr.isatty()
    return {name: value for name, value in given.items() if value is not None}


def _compilation_is_said(args: argparse.Namespace) -> AbstractContextManager[object]:
    """Say on standard error that kernels are compiled, also where there is no bar that does."""
    if args.progress is False or _options(args)["progress"]:
        return nullcontext()
    return compilation.watched(lambda: progress.say(compilation.MESSAGE))


def _refuse_options(args: argparse.Namespace, *names: str, because: str) -> None:
    for name in names:
        value = getattr(args, name)
        if value is not None and value is not False:
            raise ValueError(f"--{name.replace('_', '-')} does not apply {because}")


def _out(path: Path, suffixes: tuple[str, ...]) -> Path:
    """Refuse a file that cannot be written before anything is computed."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"the name of {path} must end in {', '.join(suffixes)}, to say the format")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to")
    return path


# -- what is printed ---------------------------------------------------------------------------


def _facts(args: argparse.Namespace, part: pr.Partition) -> dict[str, Any]:
    from polyregions.engines import faces_by_layer

    counts = faces_by_layer(part)
    units = part.unit_layer.tolist()
    widths = [units.count(layer) for layer in range(len(counts))]
    extremes: dict[str, Any] = {"smallest_face": None, "largest_face": None}
    if not part.face_is_unbounded.all():
        extremes = {
            name: _face(part, f)
            for name, f in zip(extremes, _smallest_and_largest(part), strict=True)
        }
    unbounded: dict[str, Any] = {}
    if isinstance(part.domain, pr.Plane):
        unbounded["unbounded_faces"] = int(part.face_is_unbounded.sum())
        unbounded["bounding_square"] = _as_float(part.bounding_square())
    return {
        "polyregions": pr.__version__,
        "model": args.model,
        "domain": _domain_facts(part.domain),
        **_slice_facts(part.slice),
        "engine": part.engine,
        "counts": part.count()._asdict(),
        "vertices": part.n_vertices,
        "edges": part.n_edges,
        "faces": part.n_faces,
        **unbounded,
        "units": part.n_units,
        "outputs": part.n_outputs,
        "layers": _layer_facts(widths, counts),
        **extremes,
    }


def _domain_facts(domain: pr.Domain) -> dict[str, Any]:
    if isinstance(domain, pr.Plane):
        return {"plane": True, "bounds": None}
    facts: dict[str, Any] = {"bounds": domain.bounds}
    if not domain.is_convex:
        return facts | {"rings": [ring.tolist() for ring in domain.outline]}
    return facts if domain.is_box else facts | {"corners": domain.xy.tolist()}


def _slice_facts(plane: pr.Slice | None) -> dict[str, Any]:
    if plane is None:
        return {}
    marks = zip(plane.mark_labels, plane.mark_xy.tolist(), strict=True)
    facts = {
        "inputs": plane.n_inputs,
        "shape": plane.shape,
        "coordinates": plane.axis_labels,
        "marks": [{"label": label, "at": at} for label, at in marks],
    }
    return {"slice": facts}


def _layer_facts(widths: Sequence[int], counts: Sequence[int]) -> list[dict[str, int]]:
    return [{"units": n, "faces": faces} for n, faces in zip(widths, counts, strict=True)]


def _smallest_and_largest(part: pr.Partition) -> tuple[int, int]:
    """Of the bounded faces, of which there must be one."""
    try:
        areas = part.areas
    except OverflowError:  # too large for float64
        bounded = (~part.face_is_unbounded).nonzero()[0].tolist()
        all_exact = {_exact_area(part, f): f for f in reversed(bounded)}
        return all_exact[min(all_exact)], all_exact[max(all_exact)]
    bounded = areas[~part.face_is_unbounded]
    # Rounding keeps the order, but may make areas equal.
    smallest, largest = (areas == extreme for extreme in (bounded.min(), bounded.max()))
    return (
        min(smallest.nonzero()[0].tolist(), key=lambda f: _exact_area(part, f)),
        max(largest.nonzero()[0].tolist(), key=lambda f: _exact_area(part, f)),
    )


def _exact_area(part: pr.Partition, f: int) -> Fraction:
    from polyregions import exact

    return exact.area(part.exact_polygon(f))


def _face(part: pr.Partition, f: int) -> dict[str, Any]:
    from polyregions import exact

    return {
        "index": f,
        "area": _as_float(_exact_area(part, f)),
        "centroid": tuple(map(float, exact.centroid(part.exact_polygon(f)))),
    }


def _checks(part: pr.Partition) -> dict[str, Any]:
    certificate = part.certificate
    return {
        "ok": certificate.ok,
        "decisions": dict(certificate.decisions),
        "checks": certificate.checks,
    }


def _report_facts(report: pr.Verification) -> dict[str, Any]:
    names = ("ok", "resolution", "precision", "n_samples", "n_straddling", "n_hit")
    facts = {name: getattr(report, name) for name in names}
    return facts | {"checks": [asdict(check) for check in report.checks]}


def _as_float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _print_json(value: Any) -> None:
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """JSON has no infinities and no NaN; null stands for them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    words = "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    return " ".join(str(error).split()) or words


COMMANDS: Mapping[str, cli_parser.Command] = {
    "count": _count,
    "plot": _plot,
    "verify": _verify,
    "export": _export,
    "line": _line,
    "demo": _demo,
}
