"""What the figures of a plane have in common: axes, face and line collections, line widths."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from polyregions.ink import ink_share
from polyregions.network import FloatArray, IntArray
from polyregions.plot import chart
from polyregions.plot.artists import Faces, Lines
from polyregions.proportions import drawn_alike

if TYPE_CHECKING:
    from matplotlib.artist import Artist

    from polyregions.domain import Domain
    from polyregions.partition import Partition
    from polyregions.slice import Slice

ColorMap: TypeAlias = str | Colormap

INK = "#1a1a2e"
NEUTRAL = "#ebebeb"

# Colour maps without their darkest colours, on which dark lines cannot be seen. The second is
# quieter: what most faces have (the last layer, a large area) is pale.
BRIGHT = ListedColormap(colormaps["viridis"](np.linspace(0.25, 1.0, 256)), name="bright")
QUIET = ListedColormap(colormaps["YlGnBu_r"](np.linspace(0.25, 0.97, 256)), name="quiet")

# Faces are drawn as pixels where there are more to a square inch than this (their mean side is
# then 0.8 mm), or more altogether, for vector formats take about 400 bytes for each.
_MOST_PER_SQUARE_INCH = 1_000
_MOST_FACES = 100_000

# Lines may cover this share of the page. For vector formats the share is found on a grid with so
# many cells along the longer side of the domain.
_MOST_INK = 0.22
_DENSITY_CELLS = 256

# In points: wide enough to cover every pixel that an edge touches at 72 dots per inch, and so at
# every higher resolution.
_SEAM_WIDTH = 2.0

# Width of a digit, as a share of the size of the letters.
_DIGIT = 0.62

# What is shown around a domain that is not convex, as a share of its longer side.
_MARGIN = 0.02


def check_part(part: Any) -> Partition:
    """Refuse what is no partition of a plane."""
    from polyregions.partition import Partition

    if isinstance(part, Partition):
        return part
    kind = type(part).__name__
    what = "plot.line draws that" if kind == "LinePartition" else "make it by polyregions.partition"
    raise TypeError(f"part must be a Partition, got {kind}; {what}")


def check_output(part: Partition, output: int) -> int:
    """Refuse an output that the partitioned network does not have."""
    return check_index(output, part.n_outputs)


def check_index(output: Any, n_outputs: int) -> int:
    """Return `output` as an int, or raise ValueError if it is none of ``range(n_outputs)``."""
    if isinstance(output, int | np.integer) and 0 <= output < n_outputs:
        return int(output)
    plural = "output" if n_outputs == 1 else "outputs"
    raise ValueError(
        f"output must be an index from 0 to {n_outputs - 1} "
        f"(the network has {n_outputs} {plural}), got {output!r}"
    )


def new_axes(ax: Axes | None, domain: Domain) -> Axes:
    """The given axes, or those of a new figure whose shape suits the domain."""
    if ax is not None:
        return ax
    width, height = panel_size(domain, 3.9)
    # what labels need, and a key beside the axes
    size = (max(width + 2.4, 3.6), max(height + 0.9, 2.5))
    _, made = plt.subplots(figsize=size, layout="compressed")
    return made


def panel_size(domain: Domain, side: float) -> tuple[float, float]:
    """Width and height, in inches, of a picture of the domain as large as a square of `side`."""
    stretch = np.clip(_height(domain) ** -0.5, 1 / 1.6, 1.6)
    return side * float(stretch), side / float(stretch)


def frame(ax: Axes, domain: Domain, plane: Slice | None = None) -> None:
    """Make the axes show exactly the domain, and name its coordinates.

    It is undistorted unless its sides are of very different lengths (see `proportions`).
    A domain that is not convex gets a margin, for its border is not that of the axes.
    """
    xmin, ymin, xmax, ymax = domain.bounds
    if not domain.is_convex:
        margin = _MARGIN * max(xmax - xmin, ymax - ymin)
        xmin, ymin, xmax, ymax = xmin - margin, ymin - margin, xmax + margin, ymax + margin
    ax.set_xlim(xmin, xmax)
    ax.set_ylim(ymin, ymax)
    ax.set_aspect(aspect(domain.bounds))
    across, up = chart.axis_names(plane)
    ax.set_xlabel(across)
    ax.set_ylabel(up)
    _part_numbers(ax, domain)


def _part_numbers(ax: Axes, domain: Domain) -> None:
    """Take fewer numbers along x where matplotlib's own would run into each other."""
    width = page_size(ax, domain)[0]
    size = FontProperties(size=rcParams["xtick.labelsize"]).get_size_in_points()
    low, high = ax.get_xlim()
    for most in range(9, 2, -1):
        locator = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])
        ticks = [t for t in locator.tick_values(low, high) if low <= t <= high]
        labels = ax.xaxis.get_major_formatter().format_ticks(ticks)
        longest = max((len(label) for label in labels), default=0)
        if len(ticks) * (_DIGIT * longest + 0.8) * size <= width:
            break
    if most < 9:
        ax.xaxis.set_major_locator(locator)


def aspect(bounds: tuple[float, float, float, float]) -> float:
    """How long a step along y is on the page, as a share of an equal step along x."""
    across, up = drawn_alike(bounds)
    return float(across / up)


def as_pixels(ax: Axes, part: Partition, rasterized: bool | None) -> bool:
    """Whether to draw `part` into the axes as pixels, unless told: by the size of its faces."""
    if rasterized is not None:
        return bool(rasterized)
    per_square_inch = (72.0 / _mean_side(ax, part)) ** 2
    return part.n_faces > _MOST_FACES or per_square_inch > _MOST_PER_SQUARE_INCH


def draw_faces(
    ax: Axes,
    part: Partition,
    *,
    colors: FloatArray | None = None,
    values: FloatArray | None = None,
    cmap: ColorMap | None = None,
    norm: Normalize | None = None,
    rasterized: bool,
) -> tuple[Faces, LineCollection | None]:
    """Fill the faces, with `colors` (F, 3) or with `values` (F,) sent through `norm` and `cmap`.

    Returns the faces and, below them, the seams: lines along the edges in the mean colour of
    both sides. Where two antialiased polygons meet, each covers only a part of a pixel, and what
    lies below shines through. With the seams below, that is the colour it should be; the fill
    itself stays where it is, unlike with polygons that are stroked to overlap each other. Pixels
    need none.
    """
    faces = Faces(
        part.vertex_xy,
        part.face_offsets,
        part.face_vertices,
        ends=part.edge_vertices,
        sides=part.edge_faces,
        linewidths=0,
        edgecolors="none",
        zorder=1,
    )
    if values is not None:
        faces.set(array=values, cmap=cmap, norm=norm)
        rgb = np.asarray(faces.to_rgba(values))[:, :3]
    else:
        assert colors is not None
        rgb = colors
        faces.set(facecolor=colors)
    seams = None
    if not rasterized:
        left, right = part.edge_faces[part.is_inner].T
        seams = Lines(
            part.vertex_xy[part.edge_vertices[part.is_inner]],
            np.full(len(left), _SEAM_WIDTH),
            colors=(rgb[left] + rgb[right]) / 2,
            capstyle="projecting",
            zorder=0.9,
        )
        add(ax, seams, part, rasterized=False)
    add(ax, faces, part, rasterized=rasterized)
    return faces, seams


def draw_edges(
    ax: Axes,
    part: Partition,
    edges: IntArray,
    *,
    widths: Any,
    alphas: Any = 1.0,
    rasterized: bool,
) -> LineCollection:
    """Draw edges, given by index, in ink; `widths` and `alphas` are for all or one for each.

    Where edges are so many that they would cover the faces, all there become fainter.
    """
    n = len(edges)
    segments = part.vertex_xy[part.edge_vertices[edges]]
    widths, alphas = (np.broadcast_to(np.asarray(a, np.float64), (n,)) for a in (widths, alphas))
    colors = np.tile([*to_rgb(INK), 1.0], (n, 1))
    colors[:, 3] = alphas if rasterized else alphas * _room(ax, part, segments, widths, alphas)
    lines = Lines(segments, widths, most_ink=_MOST_INK, colors=colors, capstyle="round", zorder=2)
    add(ax, lines, part, rasterized=rasterized)
    return lines


def _room(
    ax: Axes, part: Partition, segments: FloatArray, widths: FloatArray, alphas: FloatArray
) -> FloatArray:
    """How much of its ink each line can have, (N,) in [0, 1], lest all together hide the faces.

    In pixels that is found at every place; a line of a vector format fades as a whole, as much
    as the lines around its middle need.
    """
    n = len(segments)
    if not n:
        return np.ones(0)
    low = part.domain.xy.min(axis=0)
    size = np.ptp(part.domain.xy, axis=0)
    alike = drawn_alike(part.domain.bounds)
    cell = float((size / alike).max()) / _DENSITY_CELLS * alike
    columns, rows = np.maximum(np.ceil(size / cell), 1).astype(np.int64).tolist()

    def cells(xy: FloatArray) -> IntArray:
        i, j = np.clip((xy - low) / cell, 0, [columns - 1, rows - 1]).astype(np.int64).T
        at: IntArray = j * columns + i
        return at

    # Every line is taken as a few points, each with its share of the area that is inked.
    length = np.hypot(*((segments[:, 1] - segments[:, 0]) / cell).T)
    count = np.ceil(length).astype(np.int64) + 1
    line = np.repeat(np.arange(n), count)
    step = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
    share = ((step + 0.5) / count[line])[:, None]
    points = segments[line, 0] + share * (segments[line, 1] - segments[line, 0])
    cell_points = max(page_size(ax, part.domain)) / _DENSITY_CELLS
    share_of_cell = widths * alphas / cell_points * length / count
    ink = np.bincount(cells(points), share_of_cell[line], minlength=rows * columns)
    share = ink_share(ink.reshape(rows, columns), _MOST_INK, widths, 1 / cell_points)
    return np.asarray(share.ravel()[cells(segments.mean(axis=1))], dtype=np.float64)


def draw_creases(ax: Axes, part: Partition, *, rasterized: bool) -> LineCollection:
    """Draw the creases, all alike, as fine as their number asks for."""
    width = base_width(ax, part)
    creases = np.flatnonzero(part.is_crease)
    return draw_edges(ax, part, creases, widths=width, alphas=fading(width), rasterized=rasterized)


def draw_outline(ax: Axes, domain: Domain) -> None:
    """Draw the border of a domain that is not the axes' own frame."""
    if not domain.is_box:
        patch = _outline(domain, fill=False, edgecolor=INK, linewidth=0.8, zorder=3)
        ax.add_patch(patch)


def _outline(domain: Domain, **options: Any) -> Patch:
    """The border of a domain, as a patch."""
    if domain.is_convex:
        return Polygon(domain.xy, closed=True, **options)
    # Holes run the other way round, so that they are holes to whoever fills the path.
    rings = [Path(np.append(ring, ring[:1], axis=0), closed=True) for ring in domain.outline]
    return PathPatch(Path.make_compound_path(*rings), **options)


def add(ax: Axes, collection: Collection, part: Partition, *, rasterized: bool) -> None:
    """Put a collection into the axes, cut off at the domain."""
    collection.set_rasterized(rasterized)
    ax.add_collection(collection, autolim=False)
    clip(collection, ax, part.domain)


def clip(artist: Artist, ax: Axes, domain: Domain) -> None:
    """Cut an artist off at the border of a domain that is no box (a box is what the axes show)."""
    if not domain.is_box:
        artist.set_clip_path(_outline(domain, transform=ax.transData))


def base_width(ax: Axes, part: Partition) -> float:
    """Line width in points that suits the number of faces in the axes.

    It is a twentieth of the side of a square as large as the average face, between bounds.
    """
    return float(np.clip(0.05 * _mean_side(ax, part), 0.15, 0.9))


def _mean_side(ax: Axes, part: Partition) -> float:
    """The side, in points on the page, of a square as large as the average face."""
    width, height = page_size(ax, part.domain)
    xmin, ymin, xmax, ymax = map(Fraction, part.domain.bounds)
    share = float(part.domain.exact_area / ((xmax - xmin) * (ymax - ymin)))
    return float((width * height * share / part.n_faces) ** 0.5)


def page_size(ax: Axes, domain: Domain) -> tuple[float, float]:
    """Width and height of the domain in points on the page."""
    box = ax.get_window_extent()
    ratio = _height(domain)
    width = min(box.width, box.height / ratio) * 72.0 / ax.figure.dpi
    return width, width * ratio


def _height(domain: Domain) -> float:
    """Height of a picture of the domain, as a share of its width."""
    xmin, ymin, xmax, ymax = domain.bounds
    return (ymax - ymin) / (xmax - xmin) * aspect(domain.bounds)


def fading(width: float) -> float:
    """Opacity of lines: full for a few strong lines, less for many fine ones."""
    return float(np.clip(0.45 + width, 0.5, 1.0))


def spread_norm(values: FloatArray) -> Normalize:
    """A linear norm over the range of finite `values`, which may be one point."""
    low, high = (float(f(values)) for f in (np.nanmin, np.nanmax))
    if low == high:
        margin = max(abs(low), 1.0) / 2
        low, high = low - margin, high + margin
    return Normalize(low, high)


def colormap(cmap: ColorMap) -> Colormap:
    """A colour map, itself or by its name."""
    if isinstance(cmap, Colormap):
        return cmap
    if cmap not in colormaps:
        raise ValueError(
            f"cmap must be a matplotlib Colormap or the name of one, such as 'viridis' or "
            f"'cividis' (list(matplotlib.colormaps) has all names), got {cmap!r}"
        )
    return colormaps[cmap]


def check_option(name: str, value: Any, options: Sequence[str], also: str = "") -> None:
    """Refuse a keyword that is none of `options`."""
    if not isinstance(value, str) or value not in options:
        listed = ", ".join(map(repr, options))
        raise ValueError(f"{name} must be one of {listed}{also}, got {value!r}")
