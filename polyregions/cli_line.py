"""Segments as the command line spells and prints them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyregions.line import LinePartition
    from polyregions.network import FloatArray

# Outputs up to this many are described one by one.
_MOST_OUTPUTS = 10


def read_point(text: str) -> FloatArray:
    """Read what follows ``--from`` or ``--to``: numbers, or the name of a file.

    Raises
    ------
    ValueError
        If it is neither.
    FormatError, OSError
        If the file cannot be read.
    """
    if Path(text).suffix.lower() == ".npy":
        from polyregions.formats import arrays

        return arrays.read_one(text)
    import numpy as np

    try:
        return np.array([float(number) for number in text.split(",")])
    except ValueError:
        raise ValueError(
            f"a point must be numbers with commas between them, as in 0,-1.5,2, or the name of an "
            f".npy file, got {text!r}"
        ) from None


def text(part: LinePartition) -> str:
    """What is printed of a partition."""
    lines = [str(part)]
    found = part.extremes()
    values = zip(
        part([0.0, 1.0]).T, found.least, found.least_s, found.greatest, found.greatest_s,
        part.total_variation, strict=True,
    )  # fmt: skip
    for m, ((start, end), least, at_least, greatest, at_greatest, variation) in enumerate(values):
        if m == _MOST_OUTPUTS:
            lines.append(f"  and {part.n_outputs - m:,} more outputs, which --json lists")
            break
        lines.append(
            f"  output {m}: {start:.6g} at s = 0, {end:.6g} at s = 1, least {least:.6g} at s = "
            f"{at_least:.6g}, greatest {greatest:.6g} at s = {at_greatest:.6g}, "
            f"total variation {variation:.6g}"
        )
    return "\n".join(lines)


def facts(part: LinePartition, model: str) -> dict[str, Any]:
    """What is printed of a partition as JSON."""
    from polyregions import __version__

    extremes = part.extremes()
    return {
        "polyregions": __version__,
        "model": model,
        "inputs": part.segment.n_inputs,
        "shape": part.segment.shape,
        "length": part.length,
        "whole": part.is_whole,
        "engine": part.strips.engine,
        "counts": part.count()._asdict(),
        "units": part.n_units,
        "outputs": part.n_outputs,
        "breakpoints": part.breakpoints.tolist(),
        "breakpoint_error": part.breakpoint_error.tolist(),
        "breakpoint_units": [part.breakpoint_units(i).tolist() for i in range(part.n_pieces - 1)],
        "values": part.bound_values.tolist(),
        "slopes": part.piece_slope.tolist(),
        "extremes": {name: array.tolist() for name, array in extremes._asdict().items()},
        "total_variation": part.total_variation.tolist(),
    }
