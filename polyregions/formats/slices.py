"""A slice as arrays of a file.

The chart itself is the first step of the network, which the file holds step by step (see
`polyregions.formats.provenance`). Here is the rest: the shape of the input, names and marks.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from polyregions.errors import FormatError
from polyregions.formats.arrays import Arrays
from polyregions.network import Affine, Network
from polyregions.slice import Slice

if TYPE_CHECKING:
    from polyregions.partition import Partition

# A counts the axes of an input, Q the marks; W is 4, or 0 where there is no frame.
ARRAYS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "slice_shape": ("<i8", ("A",)),
    "slice_frame": ("<f8", ("W",)),
    "slice_mark_xy": ("<f8", ("Q", 2)),
    "slice_mark_error": ("<f8", ("Q",)),
}
TEXTS = ("slice_axis_labels", "slice_mark_labels", "network_notes")


def encode(part: Partition) -> Arrays:
    """Arrays from which `decode` makes the same slice and network, given the network's steps."""
    plane, network = part.slice, part.network
    assert plane is not None
    assert network is not None
    values: dict[str, Any] = {
        "slice_shape": plane.shape,
        "slice_frame": plane.frame or (),
        "slice_mark_xy": plane.mark_xy,
        "slice_mark_error": plane.mark_error,
    }
    contents = {name: np.asarray(values[name], dtype=dtype) for name, (dtype, _) in ARRAYS.items()}
    texts = (plane.axis_labels, plane.mark_labels, network.notes)
    return contents | {
        name: np.array(text, dtype="<U") for name, text in zip(TEXTS, texts, strict=True)
    }


def is_in(contents: Arrays) -> bool:
    """Whether a file is of a partition with a slice."""
    return "slice_shape" in contents


def decode(contents: Arrays, network: Network) -> dict[str, Any]:
    """Take what `encode` wrote out of `contents`.

    Parameters
    ----------
    contents : dict
        Whose arrays have the dtypes and shapes of `ARRAYS`.
    network : Network
        The one that was partitioned, whose first step is the chart.

    Returns
    -------
    dict
        The arguments `slice` and `network` of a partition.

    Raises
    ------
    FormatError
        If the arrays make no slice.
    """
    arrays = {name: contents.pop(name) for name in ARRAYS}
    axis_labels, mark_labels, notes = (_texts(contents, name) for name in TEXTS)
    chart = network.steps[0] if network.steps else None
    shape = tuple(arrays["slice_shape"].tolist())
    if not isinstance(chart, Affine) or min(shape, default=0) < 1 or prod(shape) != len(chart.bias):
        raise FormatError("slice_shape does not fit the first step of its network")
    if len(arrays["slice_frame"]) not in (0, 4) or len(axis_labels) != 2:
        raise FormatError("slice_frame or slice_axis_labels has the wrong length")
    try:
        plane = Slice(
            chart.bias.reshape(shape),
            *(column.reshape(shape) for column in chart.weight.T),
            axis_labels=(axis_labels[0], axis_labels[1]),
            mark_xy=arrays["slice_mark_xy"],
            mark_labels=mark_labels,
            mark_error=arrays["slice_mark_error"],
            frame=tuple(arrays["slice_frame"].tolist()) or None,
        )
    except ValueError as error:
        raise FormatError(f"it holds no slice: {error}") from error
    return {"slice": plane, "network": _behind(chart, network, notes)}


def _behind(chart: Affine, network: Network, notes: tuple[str, ...]) -> Network:
    """The steps behind the chart."""
    assert network.sources is not None
    sources = tuple(tuple(value - 1 for value in taken) for taken in network.sources[1:])
    if any(min(taken) < 0 for taken in sources):
        raise FormatError("a step of its network looks past the slice")
    return Network(network.steps[1:], chart.n_outputs, notes, sources)


def _texts(contents: Arrays, name: str) -> tuple[str, ...]:
    array = contents.pop(name)
    if array.ndim != 1 or array.dtype.kind != "U":
        raise FormatError(f"{name} does not hold texts")
    try:
        return tuple(map(str, array.tolist()))
    except ValueError as error:  # not Unicode
        raise FormatError(f"{name} does not hold texts") from error
