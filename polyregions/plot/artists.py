"""Collections of very many faces or lines, drawn as polygons and strokes or as pixels.

Matplotlib makes one Python object for each polygon and has its renderer fill one after the other.
For a hundred thousand faces of a thousandth of a square millimetre that takes long, and in vector
formats makes files that viewers choke on. The collections here keep plain arrays. Rasterised, they
turn all of them into one image (see `polyregions.raster`) at the resolution that they are drawn
at; otherwise, and for everything else that matplotlib may ask, they make the objects after all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from matplotlib.artist import allow_rasterization
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import Collection, LineCollection, PolyCollection
from matplotlib.path import Path
from matplotlib.transforms import Bbox, BboxBase, Transform
from numpy.typing import NDArray

from polyregions.ink import ink_share
from polyregions.network import ByteArray, FloatArray, IntArray

Image: TypeAlias = NDArray[np.float32]


class Faces(PolyCollection):
    """Polygons that tile a domain.

    Parameters
    ----------
    xy : (V, 2) float64
        Corners.
    offsets : (F + 1,) int
    cycle : (S,) int
        Polygon f has the corners ``xy[cycle[offsets[f]:offsets[f + 1]]]``, counter-clockwise.
    ends, sides : (E, 2) int, optional
        The points at both ends of every edge, and the polygons on its left and right, -1 for
        none. Unless given, every polygon has edges of its own.
    **options
        Those of a PolyCollection.
    """

    def __init__(
        self,
        xy: FloatArray,
        offsets: IntArray,
        cycle: IntArray,
        *,
        ends: IntArray | None = None,
        sides: IntArray | None = None,
        **options: Any,
    ) -> None:
        super().__init__([], **options)
        self._points, self._starts, self._cycle = xy, offsets, cycle
        self._ends, self._sides = ends, sides
        self._is_made = False
        self._pixels: _Pixels | None = None

    def set_verts(self, verts: Any, closed: bool = True) -> None:
        """Take other polygons."""
        super().set_verts(verts, closed)
        self._is_made, self._points = True, np.empty((0, 2))

    def get_paths(self) -> list[Path]:
        """One closed path for each polygon; made when first asked for."""
        if not self._is_made:
            super().set_verts(np.split(self._points[self._cycle], self._starts[1:-1]))
            self._is_made = True
        return list(super().get_paths())

    def get_datalim(self, transData: Transform) -> Bbox:
        """The extent of all corners."""
        if not len(self._points):
            return super().get_datalim(transData)
        return _extent((self.get_transform() - transData).transform(self._points))

    @allow_rasterization  # type: ignore[untyped-decorator]
    def draw(self, renderer: RendererBase) -> None:
        """Draw the polygons, or the image of all of them if rasterised."""
        xy = self.get_transform().transform(self._points)
        if not _is_image(self, xy):
            super().draw(renderer)
        elif self.get_visible():
            self.update_scalarmappable()
            self._pixels = _draw_image(self, renderer, xy, self._pixels, self._image)

    def _image(self, xy: FloatArray, window: _Window) -> Image:
        from polyregions import raster

        ends, sides = self._ends, self._sides
        if ends is None or sides is None:
            offsets = self._starts
            following = np.roll(self._cycle, -1)
            following[offsets[1:] - 1] = self._cycle[offsets[:-1]]
            ends = np.stack([self._cycle, following], axis=1)
            owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            sides = np.stack([owner, np.full(len(owner), -1)], axis=1)
        colors = _rows(self.get_facecolor(), len(self._starts) - 1)
        colors[:, :3] *= colors[:, 3:]
        return raster.fill(xy - window.corner, ends, sides, colors, window.shape)


class Lines(LineCollection):
    """Straight lines.

    Parameters
    ----------
    segments : (N, 2, 2) float64
        Both ends of each.
    widths : (N,) float64
        In points.
    most_ink : float
        In an image, lines fade where they would cover more than this share of the page.
    **options
        Those of a LineCollection.
    """

    def __init__(
        self, segments: FloatArray, widths: FloatArray, *, most_ink: float = 1.0, **options: Any
    ) -> None:
        super().__init__([], **options)
        self._ends = segments
        self._most_ink = most_ink
        # Matplotlib works through line styles one by one when it is given widths.
        self._widths: FloatArray | None = widths
        self._is_made = False
        self._pixels: _Pixels | None = None

    def set_segments(self, segments: Any) -> None:
        """Take other lines."""
        super().set_segments(segments)
        self._is_made, self._ends = True, np.empty((0, 2, 2))

    def get_segments(self) -> list[FloatArray]:
        """Both ends of each line, (2, 2) float64."""
        return super().get_segments() if self._is_made else list(self._ends.copy())

    def set_linewidth(self, lw: Any) -> None:
        """Set one width for all lines, or one for each, in points."""
        self._widths = None
        super().set_linewidth(lw)

    def get_linewidth(self) -> Any:
        """Widths in points."""
        return super().get_linewidth() if self._widths is None else self._widths

    def get_paths(self) -> list[Path]:
        """One path for each line; made when first asked for."""
        if not self._is_made:
            super().set_segments(list(self._ends))
            self._is_made = True
        return list(super().get_paths())

    def get_datalim(self, transData: Transform) -> Bbox:
        """The extent of all end points."""
        if not len(self._ends):
            return super().get_datalim(transData)
        xy = self._ends.reshape(-1, 2)
        return _extent((self.get_transform() - transData).transform(xy))

    @allow_rasterization  # type: ignore[untyped-decorator]
    def draw(self, renderer: RendererBase) -> None:
        """Draw the strokes, or the image of all of them if rasterised."""
        xy = self.get_transform().transform(self._ends.reshape(-1, 2))
        if not _is_image(self, xy):
            if self._widths is not None:
                self.set_linewidth(self._widths)
            super().draw(renderer)
        elif self.get_visible():
            self.update_scalarmappable()
            self._pixels = _draw_image(self, renderer, xy, self._pixels, self._image)

    def _image(self, xy: FloatArray, window: _Window) -> Image:
        from polyregions import raster

        n = len(self._ends)
        points = np.reshape(np.asarray(self.get_linewidth(), dtype=np.float64), (-1, 1))
        widths = _rows(points, n)[:, 0] * window.point
        colors = _rows(self.get_edgecolor(), n)
        segments = (xy - window.corner).reshape(-1, 2, 2)
        if np.ptp(colors[:, :3], axis=0).any():
            colors[:, :3] *= colors[:, 3:]
            image = raster.stroke(segments, widths, colors, window.shape)
        else:
            ink = raster.stroke(segments, widths, colors[:, 3:], window.shape)
            image = ink * np.append(colors[0, :3], 1.0).astype(np.float32)
        if self._most_ink < 1.0:
            image *= ink_share(image[..., 3], self._most_ink, points, window.point)[..., None]
        # Where lines lie on each other there cannot be more ink than covers the page.
        image /= np.maximum(image[..., 3:], 1.0)
        return image


class _Window(NamedTuple):
    """A part of the page: its lower left pixel, rows and columns, and a point in pixels."""

    corner: tuple[int, int]
    shape: tuple[int, int]
    point: float


class _Pixels(NamedTuple):
    """What was drawn last, and what it depended on besides the artist's own properties."""

    window: _Window
    matrix: bytes
    image: ByteArray


def _is_image(collection: Collection, xy: FloatArray) -> bool:
    """Whether to draw an image: if rasterised, and nothing is asked for that it cannot do."""
    return bool(
        collection.get_rasterized()
        and len(xy)
        and not collection.get_path_effects()
        and not collection.get_hatch()
        and np.isfinite(xy).all()
    )


def _window(collection: Collection, renderer: RendererBase, xy: FloatArray) -> _Window | None:
    """The part of the page that points `xy` spread over and that can be seen."""
    figure = collection.get_figure(root=True)
    assert figure is not None
    boxes: list[BboxBase] = [_extent(xy), figure.bbox]
    clip_box = collection.get_clip_box() if collection.get_clip_on() else None
    if clip_box is not None:
        boxes.append(clip_box)
    low = np.floor(np.max([box.min for box in boxes], axis=0) - 1).astype(np.int64)
    high = np.ceil(np.min([box.max for box in boxes], axis=0) + 1).astype(np.int64)
    if (low >= high).any():
        return None
    (left, bottom), (columns, rows) = low.tolist(), (high - low).tolist()
    point = float(np.asarray(renderer.points_to_pixels(1.0)))
    return _Window((left, bottom), (rows, columns), point)


def _draw_image(
    collection: Collection,
    renderer: RendererBase,
    xy: FloatArray,
    last: _Pixels | None,
    make: Callable[[FloatArray, _Window], Image],
) -> _Pixels | None:
    """Draw the image that `make` gives, or the last one again if nothing has changed.

    Layouts draw figures twice, and some windows every time that something moves over them.
    """
    window = _window(collection, renderer, xy)
    if window is None:
        return None
    transform = collection.get_transform()
    matrix = transform.get_affine().get_matrix().tobytes() if transform.is_affine else b""
    if collection.stale or last is None or not matrix or last[:2] != (window, matrix):
        image = make(xy, window)
        image[..., :3] /= np.maximum(image[..., 3:], 1e-6)  # it was multiplied by the opacity
        pixels = np.rint(255 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
        last = _Pixels(window, matrix, pixels)
    gc = renderer.new_gc()
    collection._set_gc_clip(gc)  # type: ignore[attr-defined]
    renderer.draw_image(gc, *window.corner, last.image)
    gc.restore()
    collection.stale = False
    return last


def _extent(xy: FloatArray) -> Bbox:
    return Bbox([xy.min(axis=0), xy.max(axis=0)])


def _rows(table: Any, n: int) -> FloatArray:
    """The first `n` rows of a table that is repeated as often as needed; zeros if it has none."""
    rows = np.asarray(table, dtype=np.float64)
    if not len(rows):
        return np.zeros((n, 4))
    return np.asarray(rows[np.arange(n) % len(rows)])
