"""A partition as a picture for web pages: an SVG document, or pixels where that would be long.

Both stand alone and can be put several times into one page: they have no style sheet, no script
and no ids, so nothing in them can clash with anything around.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from polyregions.colors import hex_colors, slope_colors
from polyregions.ink import ink_share
from polyregions.network import ByteArray, FloatArray, IntArray
from polyregions.proportions import drawn_alike

if TYPE_CHECKING:
    from polyregions.partition import Partition

# Coordinates are whole hundredths of a pixel: short to write, and equal for all faces at a
# vertex, so that enlarging the picture does not tear it.
_PER_PIXEL = 100

_CREASE_COLOR = "#1a1a2e"
_CREASE_RGB = np.array([0x1A, 0x1A, 0x2E], dtype=np.float32) / 255

# A picture of more faces than this is made of pixels: more than asked for, which fine screens
# show, if that does not make it too long. Creases may cover a share of it, and colours have so
# many shades.
_MOST_PATHS = 1_500
_SCALES = (2.0, 1.5, 1.25, 1.0, 0.7, 0.5)
_MOST_BYTES = 190_000
_MOST_INK = 0.22
_SHADES = 63


def document(part: Partition, *, width: int = 480) -> str:
    """Draw the faces, coloured by the slope of the first output, with the creases as lines.

    Parameters
    ----------
    part : Partition
    width : int
        Width in pixels; the height follows from the domain. Of the whole plane, a square around
        all finite vertices is drawn.

    Returns
    -------
    str
        A complete SVG document. Each face is one ``<path>``, in the order of the faces; all
        creases together are one more, the border of the domain another. That takes about 110
        bytes for each face: 11 MB for 100,000.

    Raises
    ------
    ValueError
        If `width` is not a positive whole number.

    Examples
    --------
    >>> import polyregions as pr
    >>> from polyregions.formats import svg
    >>> part = pr.partition([([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])])
    >>> svg.document(part).count("<path")
    6
    """
    part = part._shown
    width, height = _size(part, width)
    grid = _on_grid(part, width, height)
    line = _line_width(part.n_faces, min(width, height))
    box = f"0 0 {width * _PER_PIXEL} {height * _PER_PIXEL}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="{box}" role="img" aria-label="{escape(_title(part))}">',
            f"<title>{escape(_title(part))}</title>",
            f"<desc>{escape(_description(part))}</desc>",
            *_faces(part, grid),
            *_lines(part, grid, line),
            "</svg>\n",
        ]
    )


def picture(part: Partition, *, width: int = 480) -> str:
    """The same picture as a piece of HTML that is never long.

    Up to 1,500 faces it is the SVG document. More would be smaller than five pixels on a page of
    usual size; they are drawn as pixels, as an ``<img>`` that holds its PNG data.

    Parameters
    ----------
    part : Partition
    width : int
        Width in pixels. Pictures of about 200 x 200 pixels take less than 200 kB.

    Raises
    ------
    ValueError
        If `width` is not a positive whole number.
    """
    part = part._shown
    width, height = _size(part, width)
    if part.n_faces <= _MOST_PATHS:
        return document(part, width=width)
    from base64 import b64encode

    from polyregions.formats import png

    for scale in _SCALES:
        data = b64encode(png.encode(_pixels(part, width, height, scale))).decode("ascii")
        if len(data) <= _MOST_BYTES:
            break
    return (
        f'<img width="{width}" height="{height}" alt="{escape(_title(part))}" '
        f'title="{escape(_description(part))}" src="data:image/png;base64,{data}"/>'
    )


def _pixels(part: Partition, width: int, height: int, scale: float) -> ByteArray:
    """Faces, creases and border, (rows, columns, 4) uint8 from the top."""
    from polyregions import raster

    shape = (round(height * scale), round(width * scale))
    xy: FloatArray = _on_grid(part, width, height) / np.array([width, height]) * shape[::-1]
    xy /= _PER_PIXEL
    # y runs downwards here, so that left and right change places.
    sides = part.edge_faces[:, ::-1]
    colors = np.column_stack([_colors(part), np.ones(part.n_faces)])
    image = raster.fill(xy, part.edge_vertices, sides, colors, shape)
    image[..., :3] /= np.maximum(image[..., 3:], 1e-6)

    line = _line_width(part.n_faces, min(width, height)) / _PER_PIXEL * scale
    for edges, line_width, most in (
        (part.is_crease, line, _MOST_INK),
        (~part.is_inner, scale, 1.0),
    ):
        segments = xy[part.edge_vertices[edges]]
        widths = np.full(len(segments), line_width)
        ink = raster.stroke(segments, widths, np.ones((len(segments), 1)), shape)[..., 0]
        if most < 1.0:
            ink *= ink_share(ink, most, line_width / scale, scale)
        ink = np.minimum(ink, 1.0)[..., None]
        image[..., :3] += ink * (_CREASE_RGB - image[..., :3])
        image[..., 3:] = np.maximum(image[..., 3:], ink)
    # Fewer shades than a screen has are hard to tell, and compress to half the size.
    image[..., :3] = np.rint(image[..., :3] * _SHADES) / _SHADES
    return np.rint(255 * np.clip(image, 0.0, 1.0)).astype(np.uint8)


def _size(part: Partition, width: object) -> tuple[int, int]:
    if isinstance(width, bool) or not isinstance(width, int | np.integer) or width < 1:
        raise ValueError(f"width must be a positive whole number of pixels, got {width!r}")
    xmin, ymin, xmax, ymax = part.domain.bounds
    across, up = drawn_alike(part.domain.bounds)
    return int(width), max(1, round(width * ((ymax - ymin) / up) / ((xmax - xmin) / across)))


def _on_grid(part: Partition, width: int, height: int) -> IntArray:
    """Vertices in hundredths of a pixel, from the top left corner with y downwards."""
    xmin, ymin, xmax, ymax = part.domain.bounds
    share: FloatArray = (part.vertex_xy - [xmin, ymin]) / [xmax - xmin, ymax - ymin]
    share[:, 1] = 1.0 - share[:, 1]
    return np.rint(share * [width * _PER_PIXEL, height * _PER_PIXEL]).astype(np.int64)


def _colors(part: Partition) -> FloatArray:
    return slope_colors(part.face_weight * drawn_alike(part.domain.bounds))


def _line_width(n_faces: int, side: float) -> int:
    """Width of a crease: about a thirtieth of a face, but never wider than a pixel."""
    return max(12, min(_PER_PIXEL, round(_PER_PIXEL * side / n_faces**0.5 / 30)))


def _title(part: Partition) -> str:
    n = int(part.face_activation_region.max()) + 1
    return f"{n} {'region' if n == 1 else 'regions'} of a network on {part.domain}"


def _description(part: Partition) -> str:
    output = "" if part.n_outputs == 1 else f" (of the first of {part.n_outputs} outputs)"
    return (
        f"Every polygon is one activation region. Its hue is the direction of the slope{output}, "
        "its depth of colour the size; grey is flat. "
        "Dark lines are creases, where the slope changes."
    )


def _faces(part: Partition, grid: IntArray) -> list[str]:
    # Every face is also stroked in its own colour: without that, the antialiased rims of two
    # neighbours let the page shine through between them.
    colors = hex_colors(_colors(part))
    # Path data: the first corner, then steps from corner to corner.
    cycle, offsets = part.face_vertices, part.face_offsets
    data = grid[cycle]
    data[1:] -= grid[cycle[:-1]]
    data[offsets[:-1]] = grid[cycle[offsets[:-1]]]
    numbers = data.ravel().tolist()
    path = {
        n: '<path d="M%d %dl' + " ".join(["%d %d"] * (n - 1)) + 'z" fill="%s" stroke="%s"/>'
        for n in set(np.diff(offsets).tolist())
    }
    lines = [
        path[(j - i) // 2] % (*numbers[i:j], color, color)
        for (i, j), color in zip(pairwise((2 * offsets).tolist()), colors, strict=True)
    ]
    # A minus sign parts two numbers as well as a blank does.
    text = "\n".join(lines).replace(" -", "-")
    return [f'<g stroke-width="{_PER_PIXEL * 3 // 4}" stroke-linejoin="round">', text, "</g>"]


def _lines(part: Partition, grid: IntArray, width: int) -> list[str]:
    lines = [f'<g fill="none" stroke="{_CREASE_COLOR}" stroke-linecap="round">']
    if part.is_crease.any():
        data = _segments(part, grid, part.is_crease)
        lines.append(f'<path d="{data}" stroke-width="{width}"/>')
    data = _segments(part, grid, ~part.is_inner)
    lines.append(f'<path d="{data}" stroke-width="{_PER_PIXEL}"/>')
    return [*lines, "</g>"]


def _segments(part: Partition, grid: IntArray, edges: Any) -> str:
    """Path data of separate segments."""
    ends = grid[part.edge_vertices[edges]]
    ends[:, 1] -= ends[:, 0]
    rows = ends.reshape(-1, 4).tolist()
    return "".join([f"M{a} {b}l{c} {d}" for a, b, c, d in rows]).replace(" -", "-")
