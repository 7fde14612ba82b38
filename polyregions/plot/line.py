"""The values of a network along a segment, with its breakpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from polyregions.network import FloatArray
from polyregions.plot import canvas
from polyregions.plot.keys import add_beside

if TYPE_CHECKING:
    from polyregions.line import LinePartition

# Outputs up to this many are told apart by colour and named.
_MOST_NAMED = 10
# Breakpoints closer than this, in points, are not marked by dots on the curves.
_ROOM_FOR_DOTS = 3.0
# The strip below the curves that shows all breakpoints, as a share of the axes' height.
_STRIP = 0.07
# What is shown of a whole line beyond its breakpoints, as a share of what is between them.
_MARGIN = 0.15


@dataclass(frozen=True)
class LineArtists:
    """What `line` has drawn.

    Attributes
    ----------
    ax : Axes
    curves : list of Line2D
        One for each output that was asked for.
    dots : Line2D or None
        Marks on the curves at the breakpoints at which an output bends; None where there is no
        room for them.
    breakpoints : list of LineCollection
        Short upright lines at the foot of the axes, for each activation layer that has any.
    output_key, layer_key : Legend or None
        What explains the curves, and the breakpoints.
    """

    ax: Axes
    curves: list[Line2D]
    dots: Line2D | None
    breakpoints: list[LineCollection]
    output_key: Legend | None
    layer_key: Legend | None


def line(
    part: LinePartition,
    ax: Axes | None = None,
    *,
    output: int | Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    key: bool = True,
) -> LineArtists:
    """Draw the values of a network along a segment, exactly, and its breakpoints.

    Parameters
    ----------
    part : LinePartition
    ax : matplotlib Axes, optional
        Where to draw; a new figure unless given.
    output : int or sequence of int, optional
        Which outputs; all of them unless given.
    names : sequence of str, optional
        What to call the outputs that are drawn.
    key : bool
        Whether to explain, beside the axes, the curves of several outputs and the layers of the
        breakpoints.

    Returns
    -------
    LineArtists

    Raises
    ------
    ValueError
        If there is no such output, or there are not as many names as outputs.

    Notes
    -----
    Every curve has a corner at each breakpoint and nothing else, so it is the graph itself. Below
    it each breakpoint is a short line, which is higher the earlier the layer of its unit is. Of a
    whole line the part with all breakpoints is shown.

    Examples
    --------
    >>> import polyregions as pr
    >>> layers = [([[1, 1], [1, -1]], [0, 1]), ([[1, -1], [0.5, 0]], [0, 0])]
    >>> artists = pr.plot.line(pr.partition_line(layers, [-1, -1], [1, 0.5]))
    >>> artists.curves[0].get_xdata().round(3).tolist()
    [0.0, 0.571, 1.0]
    """
    from polyregions.line import LinePartition

    if not isinstance(part, LinePartition):
        raise TypeError(
            f"part must be a LinePartition, got {type(part).__name__}; make it by "
            "polyregions.partition_line"
        )
    outputs = _outputs(part, output)
    if names is not None and len(names) != len(outputs):
        raise ValueError(f"names must be {len(outputs)}, one for each output, got {list(names)!r}")
    if ax is None:
        _, ax = plt.subplots(figsize=(6.8, 3.8), layout="constrained")
    s, values = _graph(part, outputs)
    colors = _colors(len(outputs))
    is_crowd = len(outputs) > _MOST_NAMED
    curves = []
    for k, m in enumerate(outputs):
        name = f"output {m}" if names is None else str(names[k])
        [curve] = ax.plot(
            s,
            values[:, k],
            color=colors[k],
            linewidth=0.9 if is_crowd else 1.8,
            label=name.replace("$", r"\$"),
            zorder=3,
        )
        curves.append(curve)
    _frame(ax, s, values)
    dots = None if is_crowd else _dots(ax, part, values)
    marks = _breakpoints(ax, part)
    is_named = names is not None or 1 < len(outputs) <= _MOST_NAMED
    output_key = layer_key = None
    if key and is_named:
        output_key = _key(ax, curves, "upper left", 1.0)
        add_beside(ax, output_key)
    if key and len(marks) > 1:
        layer_key = _key(ax, marks, "lower left", 0.0)
    ax.set_xlabel("$s$")
    if len(outputs) == 1:
        ax.set_ylabel(str(curves[0].get_label()))
    return LineArtists(ax, curves, dots, marks, output_key, layer_key)


def _outputs(part: LinePartition, output: int | Sequence[int] | None) -> list[int]:
    if output is None:
        return list(range(part.n_outputs))
    chosen = [output] if isinstance(output, int | np.integer) else list(output)
    if not chosen:
        raise ValueError("output must be an index or several, got none")
    return [canvas.check_index(m, part.n_outputs) for m in chosen]


def _colors(n: int) -> FloatArray:
    if n <= _MOST_NAMED:
        return np.asarray(colormaps["tab10"](np.arange(n)))
    return np.asarray(colormaps["viridis"](np.linspace(0.0, 0.9, n)))


def _graph(part: LinePartition, outputs: list[int]) -> tuple[FloatArray, FloatArray]:
    """Parameters of all corners of the curves, and of their ends, and the values there."""
    s = part.bounds.copy()
    if part.is_whole:
        inner = part.breakpoints if len(part.breakpoints) else np.array([0.0, 1.0])
        low, high = float(inner[0]), float(inner[-1])
        margin = _MARGIN * (high - low) or max(abs(low), 1.0) / 2
        s[0], s[-1] = low - margin, high + margin
    values = part.bound_values[:, outputs].copy()
    values[[0, -1]] = part(s[[0, -1]])[:, outputs]
    return s, values


def _frame(ax: Axes, s: FloatArray, values: FloatArray) -> None:
    """Leave room below the curves for the breakpoints."""
    norm = canvas.spread_norm(values)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
    height = high - low
    ax.set_xlim(s[0], s[-1])
    ax.set_ylim(low - (0.06 + 1.6 * _STRIP) * height, high + 0.06 * height)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(axis="y", color="0.92", linewidth=0.8, zorder=0)
    ax.set_axisbelow(True)


def _dots(ax: Axes, part: LinePartition, values: FloatArray) -> Line2D | None:
    """Mark the bends where they are far enough apart for it."""
    bends = np.flatnonzero(part.is_bend)
    width = ax.get_window_extent().width * 72.0 / ax.figure.dpi
    if not len(bends) or width / len(bends) < 2 * _ROOM_FOR_DOTS:
        return None
    at = np.repeat(part.breakpoints[bends][:, None], values.shape[1], axis=1)
    [dots] = ax.plot(
        at.ravel(),
        values[bends + 1].ravel(),
        linestyle="none",
        marker="o",
        markersize=3.2,
        markerfacecolor="white",
        markeredgecolor=canvas.INK,
        markeredgewidth=0.8,
        zorder=4,
    )
    return dots


def _breakpoints(ax: Axes, part: LinePartition) -> list[LineCollection]:
    """One short line for each breakpoint, those of earlier layers higher and darker."""
    layers = np.unique(part.breakpoint_layer)
    n_layers = int(part.strips.unit_layer[-1]) + 1 if part.n_units else 0
    shades = canvas.QUIET(np.linspace(0.0, 0.55, max(n_layers, 2)))
    marks = []
    for layer in layers.tolist():
        s = part.breakpoints[part.breakpoint_layer == layer]
        height = _STRIP * (1.0 - 0.5 * layer / max(n_layers - 1, 1))
        ends = np.stack([np.stack([s, np.zeros(len(s))], -1), np.stack([s, s * 0 + height], -1)], 1)
        mark = LineCollection(
            list(ends),
            colors=[shades[layer]],
            linewidths=1.0 if part.n_pieces < 300 else 0.5,
            transform=ax.get_xaxis_transform(),
            label=f"layer {layer}",
            zorder=2.9 - 0.1 * layer / max(n_layers, 1),
        )
        ax.add_collection(mark, autolim=False)
        marks.append(mark)
    return marks


def _key(
    ax: Axes, handles: Sequence[Artist], loc: Literal["upper left", "lower left"], height: float
) -> Legend:
    return ax.legend(
        handles=handles,
        loc=loc,
        bbox_to_anchor=(1.01, height),
        borderaxespad=0.0,
        frameon=False,
        fontsize="small",
        handlelength=1.4,
    )
