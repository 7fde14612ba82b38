"""Keys that explain colours and lines: a colour wheel, colour bars, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.image import BboxImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea
from matplotlib.patches import Circle, Patch
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, ScaledTranslation, TransformedBbox

from polyregions.colors import SizeScale, wheel
from polyregions.network import FloatArray
from polyregions.plot.canvas import INK
from polyregions.proportions import drawn_alike

if TYPE_CHECKING:
    from polyregions.domain import Domain

_RINGS = (0.25, 0.5, 0.75)
_RADIUS = 34.0  # of the wheel, in points
_MOST_COLUMNS = 5  # of a legend of layers
_PIXELS = 288  # of its image, which is then sharp up to 300 dots per inch


def slope_wheel(
    ax: Axes,
    scale: SizeScale,
    *,
    domain: Domain,
    at: tuple[float, float] = (1.02, 1.0),
    names: tuple[str, str] = ("$x_1$", "$x_2$"),
) -> AnchoredOffsetbox:
    """Put a wheel of all slopes beside the axes: the direction is the hue, the radius the size.

    `at` is where its upper left corner goes, in axes coordinates; `names` are the coordinates'.
    Where the picture of the domain is not true to scale, slopes are those for a step as long as
    one of its sides.
    """
    lines, side = ["slope on rings"], 1.0
    if drawn_alike(domain.bounds).min() < 1.0:
        xmin, ymin, xmax, ymax = domain.bounds
        lines, side = ["slope on rings,", "times a side"], max(xmax - xmin, ymax - ymin)
    lines += [f"{side * scale.size(r):.2g}" for r in _RINGS]
    middle, below = 42.0, 4.0 + 11.5 * len(lines)
    box = DrawingArea(2 * middle + 14, below + 2 * _RADIUS + 16)
    center = (middle, below + _RADIUS)
    corners = Bbox.from_bounds(center[0] - _RADIUS, below, 2 * _RADIUS, 2 * _RADIUS)
    image = BboxImage(TransformedBbox(corners, box.get_transform()), interpolation="bilinear")
    image.set_data(_wheel_image())
    box.add_artist(image)
    for ring in _RINGS:
        box.add_artist(Circle(center, ring * _RADIUS, fill=False, ec=INK, lw=0.4, alpha=0.6))
    x, y = center
    box.add_artist(_text(x + _RADIUS + 3, y, names[0], "left", "center"))
    box.add_artist(_text(x, y + _RADIUS + 3, names[1], "center", "bottom"))
    for i, line in enumerate(lines):
        box.add_artist(_text(x, below - 4 - 11.5 * i, line, "center", "top"))
    key = AnchoredOffsetbox(
        "upper left",
        child=box,
        pad=0.0,
        borderpad=0.0,
        frameon=False,
        bbox_to_anchor=at,
        bbox_transform=ax.transAxes,
    )
    add_beside(ax, key)
    return key


def _text(
    x: float,
    y: float,
    text: str,
    ha: Literal["left", "center"],
    va: Literal["top", "center", "bottom"],
) -> Text:
    return Text(x, y, text, ha=ha, va=va, fontsize="small", color=INK)


def _wheel_image() -> FloatArray:
    """The wheel on a transparent ground, (n, n, 4), its rim smooth."""
    y, x = np.mgrid[1 : -1 : _PIXELS * 1j, -1 : 1 : _PIXELS * 1j]
    radius = np.hypot(x, y)
    image = np.empty((_PIXELS, _PIXELS, 4))
    image[..., :3] = wheel(np.arctan2(y, x), np.minimum(radius, 1.0))
    image[..., 3] = np.clip((1.0 - radius) * _PIXELS / 2, 0.0, 1.0)
    return image


def add_beside(ax: Axes, artist: AnchoredOffsetbox | Legend) -> None:
    ax.add_artist(artist)
    # What is clipped to the axes is taken to need no room outside them by layouts.
    artist.set_clip_on(False)


def colorbar(
    ax: Axes,
    mappable: ScalarMappable,
    label: str,
    *,
    whole: tuple[int, int] | None = None,
    extend: str = "neither",
) -> Colorbar:
    """Put a colour bar beside the axes; `whole` is the range of values that are whole numbers."""
    bar = ax.figure.colorbar(mappable, ax=ax, label=label, shrink=0.9, pad=0.02, extend=extend)
    if whole is not None:
        bar.minorticks_off()
        ticks = MaxNLocator(nbins=10, integer=True).tick_values(*whole)
        bar.set_ticks([int(t) for t in ticks if whole[0] <= t <= whole[1]])
    return bar


def face_legend(ax: Axes, layers: Sequence[int], colors: Sequence[Any]) -> Legend:
    """A legend with one entry for each layer that faces are coloured by."""
    handles = [
        Patch(facecolor=color, edgecolor=INK, linewidth=0.5, label=_layer_name(n))
        for n, color in zip(layers, colors, strict=True)
    ]
    legend = Legend(
        ax,
        handles,
        [str(h.get_label()) for h in handles],
        title="newest edge",
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        frameon=False,
        fontsize="small",
        title_fontproperties={"size": "small"},
    )
    add_beside(ax, legend)
    return legend


def line_legend(
    ax: Axes, layers: Sequence[int], widths: Sequence[float], alphas: Sequence[float]
) -> Legend:
    """A legend below the axes with one line for each layer."""
    # Hairlines are drawn in proportion, but wide enough to be told apart.
    scale = max(1.0, 1.5 / max(widths))
    handles = [
        Line2D([], [], color=INK, alpha=alpha, linewidth=scale * width, label=_layer_name(n))
        for n, width, alpha in zip(layers, widths, alphas, strict=True)
    ]
    # Rows of about the same length.
    columns = -(-len(layers) // -(-len(layers) // _MOST_COLUMNS))
    legend = Legend(
        ax,
        handles,
        [str(h.get_label()) for h in handles],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        # below the labels of the axis, whatever its length
        bbox_transform=ax.transAxes + ScaledTranslation(0, -0.5, ax.figure.dpi_scale_trans),
        borderaxespad=0.0,
        ncols=columns,
        handlelength=1.5,
        columnspacing=1.2,
        frameon=False,
        fontsize="small",
    )
    add_beside(ax, legend)
    return legend


def _layer_name(layer: int) -> str:
    return f"layer {layer}" if layer >= 0 else "none"
