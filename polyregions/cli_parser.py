"""The arguments of the command line, and its help."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from polyregions.cli_polygon import PolygonFile
from polyregions.cli_slice import parse_fix, parse_slice
from polyregions.limits import DEFAULT_MAX_REGIONS, ENGINES, parse_bytes

Command: TypeAlias = Callable[[argparse.Namespace], int]

# The options that say how to compute a partition, by their names in Python.
COMPUTING = ("domain", "engine", "max_regions", "max_memory", "threads", "progress")
# Those that say which plane of the input space is meant.
SLICING = ("slice", "fix")

_MODELS = """\
models:
  net.pt2            a program saved by torch.export.save
  net.onnx           an ONNX model
  net.npz            weights and biases: weight_0, bias_0, weight_1 ... or W0, b0 ... or
                     0.weight, 0.bias ...; weights are (out, in), a missing bias is zero
  net.nnet           the NNet text format, with its normalisation
  net.pt, net.pth    the state dict of a stack of linear layers
  net.py:make        your own code, which is run: a model (an nn.Module, an estimator of
                     scikit-learn ...), or what to call for one
Opening a file of the other kinds never runs code from it. Arrays and state dicts do not say what
is between the layers; --activation does.
"""
_SAVED = "A partition saved by `polyregions export` can be given in place of a model.\n"

EXAMPLES = {
    "": """\
examples:
  polyregions count net.pt2 --domain -10 10
  polyregions plot net.py:make_model -o regions.png
  polyregions verify net.npz --activation leaky_relu:0.1
  polyregions export net.pt2 -o regions.npz
  polyregions demo
`polyregions COMMAND --help` says more of each.
""",
    "count": """\
examples:
  polyregions count net.pt2 --domain -10 10
  polyregions count net.pth --domain 0 -1 2 1 --activation abs
  polyregions count net.py:make_model --linear --json | jq .counts.linear_regions
  polyregions count net.npz --slice axes:0,1 --fix 2=0.5 --fix 3=-1
  polyregions count net.pt2 --domain -10 10 --max-regions 100000000 --max-memory 4G
  polyregions count regions.npz --certificate
""",
    "plot": """\
examples:
  polyregions plot net.pt2 --domain -10 10 -o regions.png
  polyregions plot net.npz -o creases.pdf --color value --lines crease
  polyregions plot regions.npz -o areas.svg --color area --lines none
  polyregions plot net.pt2 --polygon coast.geojson -o coast.png
  polyregions plot mnist.pt2 --slice data:three_digits.npy -o digits.png
""",
    "verify": """\
examples:
  polyregions verify net.pt2 --domain -10 10
  polyregions verify net.pt2 --resolution 1000 --json
  polyregions verify net.pt2 --partition regions.npz
The exit status is 1 if anything disagrees.
""",
    "export": """\
examples:
  polyregions export net.pt2 --domain -10 10 -o regions.npz
  polyregions export regions.npz -o regions.geojson
  polyregions export net.npz -o regions.svg
""",
    "line": """\
examples:
  polyregions line net.npz --from 0,0,0,0,0 --to 1,1,1,1,1
  polyregions line mnist.pt2 --from three.npy --to eight.npy -o way.png
  polyregions line net.pt2 --from -1,0 --to 1,0 --verify
  polyregions line net.pt2 --from -1,0 --to 1,0 --json | jq .breakpoints
With --verify the exit status is 1 if anything disagrees.
""",
    "demo": """\
examples:
  polyregions demo
  polyregions demo --out figures --seed 3
  polyregions demo --quick --seed random
""",
}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line that begins like all errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"polyregions: error: {message} (see {self.prog} --help)\n")


def build(commands: Mapping[str, Command], version: str) -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Parameters
    ----------
    commands : dict of str to callable
        What to run for each command; put into the parsed arguments as ``run``.
    version : str
    """
    parser = _Parser(
        prog="polyregions",
        usage="polyregions COMMAND ...",
        description="The exact linear regions of a ReLU network on a 2-D domain, without sampling.",
        epilog=EXAMPLES[""],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"polyregions {version}")
    parser.set_defaults(run=lambda args: _no_command(parser), parser=parser)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", prog="polyregions")
    saved = _MODELS + _SAVED + "\n"

    count = _command(subparsers, commands, "count", "count the regions", saved)
    _add_model(count)
    count.add_argument(
        "--linear",
        action="store_true",
        help="count linear regions and affine pieces as well, which takes longer",
    )
    count.add_argument(
        "--certificate", action="store_true", help="check the result in exact arithmetic, and say"
    )
    _add_json(count)

    plot = _command(subparsers, commands, "plot", "draw the regions", saved)
    _add_model(plot)
    _add_out(plot, "picture to write; its ending says how: .png, .svg or .pdf")
    plot.add_argument(
        "--color",
        default="slope",
        choices=("slope", "value", "layer", "area", "count", "none"),
        help="what the colour of a region says (default: slope)",
    )
    plot.add_argument(
        "--lines",
        default="layer",
        choices=("layer", "jump", "crease", "none"),
        help="which edges to draw, and what their weight says (default: layer)",
    )
    plot.add_argument(
        "--component", type=int, default=0, metavar="N", help="which output is meant (default: 0)"
    )
    _add_size(plot, "width and height")

    verify = _command(
        subparsers, commands, "verify", "check the regions by sampling", _MODELS + "\n"
    )
    _add_model(verify)
    verify.add_argument(
        "--resolution", type=int, default=500, metavar="N", help="grid points a side (default: 500)"
    )
    verify.add_argument(
        "--partition", metavar="FILE", help="a saved partition to check, instead of computing one"
    )
    _add_json(verify)

    export = _command(subparsers, commands, "export", "write the regions to a file", saved)
    _add_model(export)
    _add_out(export, "file to write; its ending says how: .npz, .geojson or .svg")
    _add_json(export)

    line = _command(
        subparsers, commands, "line", "cut the line between two inputs into pieces", _MODELS + "\n"
    )
    _add_line(line)

    demo = _command(subparsers, commands, "demo", "solve two exercise sheets exactly", "")
    demo.add_argument(
        "-o", "--out", default="out", metavar="DIR", help="folder for the figures (default: out)"
    )
    demo.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="seed of the networks, or 'random'"
    )
    demo.add_argument("--quick", action="store_true", help="coarser sampling and smaller figures")
    _add_traceback(demo)
    return parser


def _no_command(parser: argparse.ArgumentParser) -> int:
    parser.print_help(sys.stderr)
    return 2


def _command(
    subparsers: Any, commands: Mapping[str, Command], name: str, text: str, kinds: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        usage=f"polyregions {name} [options]" + (" MODEL" if kinds else ""),
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=kinds + EXAMPLES[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=commands[name], parser=parser)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model file, see below")
    domain = parser.add_mutually_exclusive_group()
    domain.add_argument(
        "--domain",
        type=_domain,
        metavar="LO HI",
        help="the square to partition, or XMIN YMIN XMAX YMAX for a box, or `plane` for the whole "
        "plane (default: -1 1, or with --slice data:FILE.npy a square around the points)",
    )
    domain.add_argument(
        "--polygon",
        type=PolygonFile,
        dest="domain",
        metavar="FILE.geojson",
        help="the polygon to partition in place of a square: GeoJSON with one Polygon or "
        "MultiPolygon, of any shape and with holes",
    )
    parser.add_argument(
        "--slice",
        type=parse_slice,
        metavar="PLANE",
        help="which plane, if the model has more than two inputs: axes:I,J for inputs I and J "
        "(counted from 0), all others being 0 or as --fix says; through:FILE.npy for the plane "
        "through three points, an array of shape (3, ...), which get the coordinates (0, 0), "
        "(1, 0) and (0, 1); data:FILE.npy for the same plane without distortion",
    )
    parser.add_argument(
        "--fix",
        type=parse_fix,
        action="append",
        metavar="I=VALUE",
        help="hold input I at a value; give it once for each. Without --slice, the two inputs "
        "that are not fixed are the plane",
    )
    _add_computing(parser)
    _add_traceback(parser)


def _add_line(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a model file, see below")
    for option, name in (("--from", "start"), ("--to", "end")):
        parser.add_argument(
            option,
            dest=name,
            required=True,
            metavar="POINT",
            help="where the segment starts"
            if name == "start"
            else "where it ends; either is the "
            "numbers of an input, as in 0,-1.5,2, or an .npy file that holds one",
        )
    parser.add_argument(
        "--whole", action="store_true", help="take the whole line through the two points"
    )
    _add_out(parser, "picture to write; its ending says how: .png, .svg or .pdf", required=False)
    parser.add_argument(
        "--component", type=int, metavar="N", help="which output to draw (default: all)"
    )
    _add_size(parser, "width of the picture")
    parser.add_argument(
        "--verify", action="store_true", help="check the pieces by sampling the model, and say"
    )
    _add_json(parser)
    _add_computing(parser)
    _add_traceback(parser)


def _add_size(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--dpi", type=_positive, default=200.0, help="pixels per inch (default: 200)"
    )
    parser.add_argument(
        "--size",
        type=_positive,
        default=7.0,
        metavar="INCHES",
        help=f"{what} (default: 7)",
    )


def _add_computing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=ENGINES, help="how to compute it (default: auto)")
    parser.add_argument(
        "--max-regions",
        type=int,
        metavar="N",
        help="stop beyond so many (default: {rational:,} with the rational engine; with the exact "
        "one {exact:,}, and no limit where regions are only counted)".format(**DEFAULT_MAX_REGIONS),
    )
    parser.add_argument(
        "--max-memory",
        type=_memory,
        metavar="SIZE",
        help="stop beyond so much, such as 500M or 4G (default: half of what is free)",
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads that compute (default: one for each core)"
    )
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show how far it is, or do not (default: show it on a terminal)",
    )
    parser.add_argument(
        "--activation",
        metavar="NAME",
        help="relu (default), leaky_relu[:SLOPE], abs, relu6, hardtanh[:LOW:HIGH] or identity",
    )
    parser.add_argument("--transpose", action="store_true", help="weights are stored as (in, out)")


def _add_out(parser: argparse.ArgumentParser, text: str, *, required: bool = True) -> None:
    parser.add_argument("-o", "--out", type=Path, required=required, metavar="FILE", help=text)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def _add_traceback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--traceback", action="store_true", help="on an error, show where it was raised"
    )


def join_domain(arguments: list[str]) -> list[str]:
    """Make one argument of ``--domain``, ``--from`` or ``--to`` and the numbers behind it.

    argparse would take -1e3 or -1,2 for an option, and could not tell how many numbers there are.
    """
    joined: list[str] = []
    rest = arguments[::-1]
    while rest:
        argument = rest.pop()
        if argument == "--domain":
            numbers = [rest.pop()] if rest and rest[-1] == "plane" else []
            while rest and _is_number(rest[-1]):
                numbers.append(rest.pop())
            argument = f"--domain={','.join(numbers)}"
        elif argument in ("--from", "--to") and rest and all(map(_is_number, rest[-1].split(","))):
            argument = f"{argument}={rest.pop()}"
        joined.append(argument)
    return joined


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse a command line; what a command does not know is its error, not the program's."""
    args, unknown = parser.parse_known_args(join_domain(arguments))
    if unknown:
        shown = [
            given.replace("=", " ").replace(",", " ") if given.startswith("--domain=") else given
            for given in unknown
        ]
        args.parser.error(f"unrecognized arguments: {' '.join(shown)}")
    return args


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _domain(text: str) -> Any:
    if text == "plane":
        from polyregions.domain import Plane

        return Plane()
    numbers = text.split(",") if text else []
    if len(numbers) not in (2, 4) or not all(map(_is_number, numbers)):
        raise argparse.ArgumentTypeError("takes LO HI or XMIN YMIN XMAX YMAX, or plane")
    return tuple(map(float, numbers))


def _memory(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _positive(text: str) -> float:
    value = float(text) if _is_number(text) else math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}")
    return value


def _seed(text: str) -> int | None:
    try:
        return None if text == "random" else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer or 'random', got {text!r}") from None
