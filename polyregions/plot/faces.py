"""The partition itself: coloured faces and weighted edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm, to_rgb
from matplotlib.legend import Legend
from matplotlib.offsetbox import AnchoredOffsetbox
from numpy.typing import ArrayLike

from polyregions.colors import SizeScale, slope_colors, slope_sizes
from polyregions.network import FloatArray, IntArray
from polyregions.plot import canvas, chart, keys
from polyregions.plot.artists import Faces
from polyregions.plot.bands import cut_into_bands, vertex_values
from polyregions.plot.canvas import ColorMap
from polyregions.proportions import drawn_alike

if TYPE_CHECKING:
    from polyregions.partition import Partition

COLORS = ("slope", "value", "layer", "area", "count")
LINES = ("layer", "jump", "crease")


@dataclass(frozen=True)
class PartitionArtists:
    """What `partition` has drawn.

    Attributes
    ----------
    ax : Axes
    faces : PolyCollection or None
        One polygon for each face; for ``color="value"`` one for each colour on each face.
    seams : LineCollection or None
        Lines below the faces that keep the page from shining through between two of them, unless
        rasterised.
    lines : LineCollection or None
        The edges.
    color_key : AnchoredOffsetbox, Colorbar, Legend or None
        What explains the colours.
    line_key : Legend or None
        What explains the lines.
    marks : tuple of artists
        The data points of a slice, and their names.
    """

    ax: Axes
    faces: PolyCollection | None
    seams: LineCollection | None
    lines: LineCollection | None
    color_key: AnchoredOffsetbox | Colorbar | Legend | None
    line_key: Legend | None
    marks: tuple[Artist, ...] = ()


def partition(
    part: Partition,
    ax: Axes | None = None,
    *,
    color: str | ArrayLike | None = "slope",
    lines: str | None = "layer",
    output: int = 0,
    cmap: ColorMap | None = None,
    linewidth: float | None = None,
    key: bool | None = None,
    rasterized: bool | None = None,
) -> PartitionArtists:
    """Draw the faces and edges of a partition.

    Parameters
    ----------
    part : Partition
    ax : matplotlib Axes, optional
        Where to draw; a new figure unless given. Its limits become the domain's bounds; of
        the whole plane, a square around all finite vertices is drawn, in which unbounded faces
        run out of the frame.
    color : str, (F,) array_like of float, or None
        What the colour of a face says:

        - ``"slope"``: hue is the direction in which the output grows, depth of colour how fast
          (see `polyregions.colors`); grey is flat.
        - ``"value"``: the output, exactly: each face is cut along its level sets.
        - ``"layer"``: the activation layer of its newest edge, the last that cut it out.
        - ``"area"``: its area, on a logarithmic scale; of unbounded faces, what is drawn of it.
        - ``"count"``: how many units are active on it (not on their first piece).
        - one number for each face.
        - None: nothing.
    lines : {"layer", "jump", "crease"} or None
        Which edges to draw, and how heavily:

        - ``"layer"``: all, those of earlier layers heavier.
        - ``"jump"``: heavier the more the gradient jumps across them, none where it does not.
        - ``"crease"``: those across which the affine map changes, all alike.
    output : int
        The output whose slope, value or jump is meant.
    cmap : str or Colormap, optional
        For every `color` but ``"slope"``.
    linewidth : float, optional
        Width of the lines in points, before weighting; else it follows from the number of faces
        and the size of the axes.
    key : bool, optional
        Whether to explain colours and lines beside the axes; unless told, where these are the
        only ones in their figure, since the key would lie over a neighbour.
    rasterized : bool, optional
        Whether to draw faces and edges as pixels, at the resolution of the figure, also in vector
        formats (PDF, SVG); unless told, where there are more than 1,000 faces to a square inch
        of the axes, or more than 100,000 altogether.

    Returns
    -------
    PartitionArtists

    Raises
    ------
    ValueError
        If an option is unknown, the network has no such output, or an array of numbers has the
        wrong shape or is not finite.

    Notes
    -----
    As pixels, the time hardly depends on the number of faces: each pixel has the mean colour of
    all that lies on it, and no face is an object of its own. In vector formats, as polygons and
    lines, a face takes about 400 bytes.

    Examples
    --------
    >>> import polyregions as pr
    >>> part = pr.partition([([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])])
    >>> artists = pr.plot.partition(part, color="area", lines="crease")
    >>> len(artists.faces.get_paths()), len(artists.lines.get_paths())
    (4, 4)
    """
    whole = canvas.check_part(part)
    numbers = _check(whole, color, lines, cmap, linewidth)
    part = whole._shown
    output = canvas.check_output(part, output)
    ax = canvas.new_axes(ax, part.domain)
    canvas.frame(ax, part.domain, part.slice)
    if key is None:
        key = len(ax.figure.axes) == 1
    pixels = canvas.as_pixels(ax, part, rasterized)

    color_key: AnchoredOffsetbox | Colorbar | Legend | None = None
    faces: PolyCollection | None = None
    seams: LineCollection | None = None
    if numbers is not None:
        norm = canvas.spread_norm(numbers)
        faces, seams = canvas.draw_faces(
            ax, part, values=numbers, cmap=cmap or canvas.BRIGHT, norm=norm, rasterized=pixels
        )
        color_key = keys.colorbar(ax, faces, "") if key else None
    elif color == "slope":
        gradient = part.face_weight * drawn_alike(part.domain.bounds)
        scale = SizeScale.of(slope_sizes(gradient, output=output))
        colors = slope_colors(gradient, output=output, scale=scale)
        faces, seams = canvas.draw_faces(ax, part, colors=colors, rasterized=pixels)
        color_key = (
            keys.slope_wheel(ax, scale, domain=part.domain, names=chart.wheel_names(part.slice))
            if key
            else None
        )
    elif color == "value":
        faces = draw_values(ax, part, output, cmap or canvas.BRIGHT, rasterized=pixels)
        color_key = keys.colorbar(ax, faces, "output") if key else None
    elif color == "layer":
        faces, seams, color_key = _by_layer(ax, part, cmap, key, pixels)
    elif color == "area":
        is_cut = bool(whole.face_is_unbounded.any())
        faces, seams, color_key = _by_area(ax, part, cmap, key, pixels, is_cut)
    elif color == "count":
        faces, seams, color_key = _by_count(ax, part, cmap, key, pixels)

    width = canvas.base_width(ax, part) if linewidth is None else linewidth
    drawn = _draw_lines(ax, part, lines, output, width, pixels)
    canvas.draw_outline(ax, part.domain)
    layers = sorted(set(part.edge_layer[part.edge_unit >= 0].tolist()))
    line_key = None
    if key and lines == "layer" and len(layers) > 1:
        strokes = [_stroke(part, n, width) for n in layers]
        line_key = keys.line_legend(ax, layers, *zip(*strokes, strict=True))
    marks = chart.draw_marks(ax, part.domain, part.slice, canvas.page_size(ax, part.domain)[0])
    return PartitionArtists(ax, faces, seams, drawn, color_key, line_key, marks)


def draw_values(
    ax: Axes, part: Partition, output: int, cmap: ColorMap, *, rasterized: bool
) -> PolyCollection:
    """Fill the faces with the exact values of one output: every colour of the map is one band."""
    colors = canvas.colormap(cmap)
    values = vertex_values(part, output)
    norm = canvas.spread_norm(values)
    assert norm.vmin is not None
    assert norm.vmax is not None
    # (v - vmin) / (vmax - vmin) without overflow, and exactly 0 and 1 at the ends
    position = (values - norm.vmin) / (norm.vmax - norm.vmin) * colors.N
    xy, offsets, band = cut_into_bands(part, position, colors.N)
    # Neighbouring bands differ by one colour of the map, so strokes that overlap do not show.
    faces = Faces(xy, offsets, np.arange(len(xy)), edgecolors="face", linewidths=1.0, zorder=1)
    middle = norm.vmin + (band + 0.5) / colors.N * (norm.vmax - norm.vmin)
    faces.set(array=middle, cmap=colors, norm=norm)
    canvas.add(ax, faces, part, rasterized=rasterized)
    return faces


def newest_layer(part: Partition) -> IntArray:
    """The last activation layer with an edge on each face's region, (F,) int64; -1 if none has."""
    layer = np.full(part.n_faces, -1, dtype=np.int64)
    edges = np.flatnonzero(part.edge_unit >= 0)
    for faces in part.edge_faces[edges].T:
        np.maximum.at(layer, faces, part.edge_layer[edges])
    if part.domain.is_convex:
        return layer
    region = part.face_activation_region
    newest = np.full(int(region.max()) + 1, -1, dtype=np.int64)
    np.maximum.at(newest, region, layer)
    return newest[region]


def active_units(part: Partition) -> IntArray:
    """How many units are not on their first piece on each face, (F,) int64."""
    return np.count_nonzero(part.face_pattern, axis=1).astype(np.int64)


def gradient_jump(part: Partition, output: int) -> FloatArray:
    """By how much, (E,) float64, the slope seen differs between the sides; 0 on the border."""
    jump = np.zeros(part.n_edges)
    left, right = part.edge_faces[part.is_inner].T
    difference = part.face_weight[left, output] - part.face_weight[right, output]
    jump[part.is_inner] = np.hypot(*(difference * drawn_alike(part.domain.bounds)).T)
    return jump


def _by_layer(
    ax: Axes, part: Partition, cmap: ColorMap | None, key: bool, rasterized: bool
) -> tuple[PolyCollection, LineCollection | None, Legend | None]:
    layer = newest_layer(part)
    n_layers = int(part.unit_layer.max(initial=-1)) + 1
    colors = canvas.colormap(cmap or canvas.QUIET)(np.linspace(0, 1, max(n_layers, 1)))
    table = np.vstack([[*to_rgb(canvas.NEUTRAL), 1.0], colors])
    faces, seams = canvas.draw_faces(
        ax,
        part,
        values=layer.astype(np.float64),
        cmap=ListedColormap(table),
        norm=BoundaryNorm(np.arange(len(table) + 1) - 1.5, len(table)),
        rasterized=rasterized,
    )
    if not key:
        return faces, seams, None
    present = sorted(set(layer.tolist()))
    return faces, seams, keys.face_legend(ax, present, [table[n + 1] for n in present])


def _by_count(
    ax: Axes, part: Partition, cmap: ColorMap | None, key: bool, rasterized: bool
) -> tuple[PolyCollection, LineCollection | None, Colorbar | None]:
    count = active_units(part)
    low, high = int(count.min()), int(count.max())
    base = canvas.colormap(cmap or canvas.BRIGHT)
    steps = ListedColormap(base(np.linspace(0, 1, high - low + 1)))
    norm = BoundaryNorm(np.arange(low, high + 2) - 0.5, steps.N)
    faces, seams = canvas.draw_faces(
        ax, part, values=count.astype(np.float64), cmap=steps, norm=norm, rasterized=rasterized
    )
    bar = keys.colorbar(ax, faces, "active units", whole=(low, high)) if key else None
    return faces, seams, bar


def _draw_lines(
    ax: Axes, part: Partition, lines: str | None, output: int, width: float, rasterized: bool
) -> LineCollection | None:
    if lines is None:
        return None
    opacity = canvas.fading(width)
    if lines == "crease":
        edges = np.flatnonzero(part.is_crease)
        return canvas.draw_edges(
            ax, part, edges, widths=width, alphas=opacity, rasterized=rasterized
        )
    if lines == "jump":
        jump = gradient_jump(part, output)
        strength = SizeScale.of(jump)(jump)
        edges = np.flatnonzero(jump > 0)
        edges = edges[np.argsort(strength[edges], kind="stable")]
        weight = 0.2 + 1.8 * strength[edges]
        alphas = np.minimum(1.0, opacity * weight)
        return canvas.draw_edges(
            ax, part, edges, widths=width * weight, alphas=alphas, rasterized=rasterized
        )
    edges = np.flatnonzero(part.edge_unit >= 0)
    # Heavy lines last, so that they run on where finer ones cross them.
    edges = edges[np.argsort(-part.edge_layer[edges], kind="stable")]
    n_layers = int(part.unit_layer.max(initial=-1)) + 1
    strokes = np.array([_stroke(part, n, width) for n in range(n_layers)]).reshape(-1, 2)
    widths, alphas = strokes[part.edge_layer[edges]].T
    return canvas.draw_edges(ax, part, edges, widths=widths, alphas=alphas, rasterized=rasterized)


def _stroke(part: Partition, layer: int, width: float) -> tuple[float, float]:
    """Width and opacity of the lines of a layer: thrice as wide in the first as in the last."""
    last = int(part.unit_layer.max(initial=0))
    weight = 3.0 ** (0.5 - layer / last) if last else 1.0
    return width * weight, min(1.0, canvas.fading(width) * weight**0.5)


def _check(
    part: Partition,
    color: str | ArrayLike | None,
    lines: str | None,
    cmap: ColorMap | None,
    linewidth: float | None,
) -> FloatArray | None:
    """Check the options; return the numbers to colour by, if `color` is an array."""
    if lines is not None:
        canvas.check_option("lines", lines, LINES, " or None")
    if linewidth is not None and not 0 <= linewidth < np.inf:
        raise ValueError(f"linewidth must be a number of points from 0 up, got {linewidth!r}")
    if cmap is not None:
        if isinstance(color, str) and color == "slope":
            raise ValueError('color="slope" has colours of its own and takes no cmap')
        canvas.colormap(cmap)
    if color is None:
        return None
    if isinstance(color, str):
        canvas.check_option("color", color, COLORS, f", an array of {part.n_faces} numbers or None")
        return None
    numbers = np.asarray(color)
    if numbers.shape != (part.n_faces,) or numbers.dtype.kind not in "biuf":
        raise ValueError(
            f"an array to colour by must hold one number for each of the {part.n_faces} faces, "
            f"got shape {numbers.shape} and dtype {numbers.dtype}"
        )
    if not np.isfinite(numbers).all():
        raise ValueError("the array to colour by holds NaN or infinite values")
    return numbers.astype(np.float64)


def _by_area(
    ax: Axes, part: Partition, cmap: ColorMap | None, key: bool, rasterized: bool, is_cut: bool
) -> tuple[PolyCollection, LineCollection | None, Colorbar | None]:
    shown, label = _areas(part)
    if is_cut:
        label = label.replace("area", "area in the picture", 1)
    if not part.domain.is_convex:
        region = part.face_activation_region
        shown = np.bincount(region, shown).astype(np.float64)[region]
    # The smallest faces spread over many powers of ten but cannot be seen: those that together
    # cover no more than 1/200 of the domain share the lowest colour.
    areas = np.sort(shown)
    covered = np.cumsum(areas)
    low = float(areas[np.searchsorted(covered, covered[-1] / 200)])
    high = float(areas[-1])
    if low == high:
        low, high = low / 2, high * 2
    faces, seams = canvas.draw_faces(
        ax,
        part,
        # An area below the smallest float64 is rounded to 0, which has no logarithm.
        values=np.maximum(shown, low),
        cmap=cmap or canvas.QUIET,
        norm=LogNorm(low, high),
        rasterized=rasterized,
    )
    extend = "min" if areas[0] < low else "neither"
    return faces, seams, keys.colorbar(ax, faces, label, extend=extend) if key else None


def _areas(part: Partition) -> tuple[FloatArray, str]:
    """Areas to colour by, and what to call them.

    Those of tiny domains underflow, or are too small for the scale of a colour bar, and those of
    huge ones overflow. There the areas are given as shares of the domain's bounds.
    """
    xmin, ymin, xmax, ymax = part.domain.bounds
    size = np.array([xmax - xmin, ymax - ymin])
    if -250 < np.log10(size).sum() < 300:
        return part.areas, "area"
    first = np.repeat(part.face_vertices[part.face_offsets[:-1]], np.diff(part.face_offsets))
    following = np.roll(part.face_vertices, -1)
    following[part.face_offsets[1:] - 1] = part.face_vertices[part.face_offsets[:-1]]
    xy = part.vertex_xy
    a, b = (xy[part.face_vertices] - xy[first]) / size, (xy[following] - xy[first]) / size
    twice = np.add.reduceat(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], part.face_offsets[:-1])
    return np.maximum(twice / 2, 0.0), "area as a share of the axes"
