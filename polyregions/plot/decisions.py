"""Decision regions: which output a network chooses where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.legend import Legend
from matplotlib.patches import Patch

from polyregions.network import FloatArray, IntArray
from polyregions.plot import canvas, chart
from polyregions.plot.artists import Faces, Lines
from polyregions.plot.bent import Finer, finer
from polyregions.plot.keys import add_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from polyregions.partition import Partition

# Colours of up to ten outputs that are told apart; more than that repeat.
_COLORS = [to_rgb(color) for color in colormaps["Set2"].colors + colormaps["Set3"].colors[-3:]]  # type: ignore[attr-defined]


@dataclass(frozen=True)
class DecisionArtists:
    """What `decisions` drew.

    Attributes
    ----------
    ax : matplotlib Axes
    faces : PolyCollection
    boundaries : LineCollection
        Edges between faces with different decisions.
    edges : LineCollection or None
        All others.
    key : Legend or None
    """

    ax: Axes
    faces: PolyCollection
    boundaries: LineCollection
    edges: LineCollection | None
    key: Legend | None


def decisions(
    part: Partition,
    ax: Axes | None = None,
    *,
    labels: Sequence[str] | None = None,
    edges: bool = False,
    transform: Callable[[FloatArray], FloatArray] | None = None,
    key: bool | None = None,
    rasterized: bool | None = None,
) -> DecisionArtists:
    """Draw the decision regions of a partition of `polyregions.with_decision`.

    Parameters
    ----------
    part : Partition
    ax : matplotlib Axes, optional
        Where to draw; a new figure unless given.
    labels : sequence of str, optional
        Names of the outputs; else their numbers.
    edges : bool
        Whether to draw the other edges too, faintly.
    transform : callable, optional
        Where to draw points, (N, 2) float64 for (N, 2): polar coordinates as what they mean, for
        example. Long edges are drawn as curves: through points of theirs, up to 120 of them.
    key : bool, optional
        Whether to explain the colours; unless told, where the axes are the only ones.
    rasterized : bool, optional
        As for `partition`.

    Returns
    -------
    DecisionArtists

    Raises
    ------
    ValueError
        If the partition is not of a network that chooses among outputs, or there are fewer
        labels than outputs that are chosen.

    Examples
    --------
    >>> import polyregions as pr
    >>> scores = pr.lower([([[1, 0], [0, 1], [-1, -1]], [0, 0, 0])])
    >>> artists = pr.plot.decisions(pr.partition(pr.with_decision(scores)), labels="abc")
    >>> len(artists.boundaries.get_paths())
    3
    """
    part = canvas.check_part(part)._shown
    decision = part.face_decision
    chosen = sorted(set(decision.tolist()))
    if labels is not None and len(labels) <= chosen[-1]:
        raise ValueError(
            f"labels must name every output that is chosen, up to {chosen[-1]}; got {len(labels)}"
        )
    ax = canvas.new_axes(ax, part.domain)
    drawing = finer(part) if transform is not None else _as_it_is(part)
    if transform is None:
        canvas.frame(ax, part.domain, part.slice)
    else:
        xy = np.asarray(transform(drawing.xy.copy()), dtype=np.float64)
        if xy.shape != drawing.xy.shape or not np.isfinite(xy).all():
            raise ValueError("transform must give one finite point for each point")
        drawing = drawing._replace(xy=xy)
        low, high = xy.min(axis=0), xy.max(axis=0)
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_aspect(canvas.aspect((*low, *high)))
    if key is None:
        key = len(ax.figure.axes) == 1
    pixels = canvas.as_pixels(ax, part, rasterized)
    colors = np.array([_COLORS[d % len(_COLORS)] for d in range(256)])
    # Strokes of a face's own colour close the gaps between antialiased neighbours.
    faces = Faces(
        drawing.xy,
        drawing.offsets,
        drawing.cycle,
        ends=drawing.ends,
        sides=drawing.sides,
        edgecolors="face",
        linewidths=0.4,
        facecolor=colors[decision],
        zorder=1,
    )
    canvas.add(ax, faces, part, rasterized=pixels)
    inner = np.flatnonzero((drawing.sides >= 0).all(axis=1))
    left, right = drawing.sides[inner].T
    differs = decision[left] != decision[right]
    width = canvas.base_width(ax, part)
    drawn = None
    if edges:
        drawn = _lines(drawing, inner[~differs], width, 0.35)
        canvas.add(ax, drawn, part, rasterized=pixels)
    boundaries = _lines(drawing, inner[differs], max(width, 0.8), 1.0)
    canvas.add(ax, boundaries, part, rasterized=False)
    if transform is None:
        canvas.draw_outline(ax, part.domain)
        chart.draw_marks(ax, part.domain, part.slice, canvas.page_size(ax, part.domain)[0])
    legend = _legend(ax, chosen, labels, colors) if key else None
    return DecisionArtists(ax, faces, boundaries, drawn, legend)


def _as_it_is(part: Partition) -> Finer:
    return Finer(
        part.vertex_xy,
        part.face_offsets,
        part.face_vertices,
        part.edge_vertices,
        part.edge_faces,
    )


def _lines(drawing: Finer, edges: IntArray, width: float, alpha: float) -> Lines:
    segments = drawing.xy[drawing.ends[edges]]
    widths = np.full(len(edges), width)
    color = (*to_rgb(canvas.INK), alpha)
    return Lines(segments, widths, colors=[color], capstyle="round", zorder=2)


def _legend(
    ax: Axes, chosen: Sequence[int], labels: Sequence[str] | None, colors: FloatArray
) -> Legend:
    names = [f"output {d}" if labels is None else labels[d] for d in chosen]
    handles = [
        Patch(facecolor=colors[d], edgecolor=canvas.INK, linewidth=0.5, label=name)
        for d, name in zip(chosen, names, strict=True)
    ]
    legend = Legend(
        ax,
        handles,
        names,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize="small",
    )
    add_beside(ax, legend)
    return legend
