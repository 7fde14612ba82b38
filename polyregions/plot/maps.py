"""Images of the output and of its gradient: exact, sampled, and one beside the other."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.image import AxesImage

from polyregions.api import domain_of
from polyregions.domain import Domain
from polyregions.forward import forward_of
from polyregions.network import FloatArray
from polyregions.partition import Partition
from polyregions.plot import canvas, chart, keys
from polyregions.plot.canvas import ColorMap
from polyregions.plot.faces import draw_values
from polyregions.slice import Slice


def output(
    part_or_model: Any,
    ax: Axes | None = None,
    *,
    domain: Any = None,
    slice: Slice | None = None,
    resolution: int = 500,
    output: int = 0,
    cmap: ColorMap = "nipy_spectral",
    exact: bool | None = None,
    key: bool = True,
    rasterized: bool | None = None,
) -> PolyCollection | AxesImage:
    """Draw the values of an output.

    Parameters
    ----------
    part_or_model : Partition or model
        A partition, or anything that `polyregions.partition` takes.
    ax : matplotlib Axes, optional
        Where to draw; a new figure unless given.
    domain : optional
        Where to sample a model, in any of the forms that `polyregions.partition` takes;
        ``(-1, 1)``, or the frame of the slice, unless given. A partition has its own.
    slice : Slice, optional
        The plane in which to sample a model with more than two inputs. A partition has its own.
    resolution : int
        Points along each side of the grid, if sampled.
    output : int
        Which output.
    cmap : str or Colormap
    exact : bool, optional
        True draws a partition exactly: every colour of the map fills the set on which the
        function lies between two levels, bounded by straight lines. False samples a grid of
        `resolution` x `resolution` points, with the model's own forward if it is a model.
        Unless given, a partition is drawn exactly and a model sampled.
    key : bool
        Whether to put a colour bar beside the axes.
    rasterized : bool, optional
        Whether to draw a partition as pixels, also in vector formats; see `partition`.

    Returns
    -------
    PolyCollection or AxesImage
        Exact or sampled.

    Raises
    ------
    ValueError
        If there is no such output or colour map, `resolution` is below 2, a model is to be drawn
        exactly, or a domain or slice is given with a partition.

    Examples
    --------
    >>> import polyregions as pr
    >>> layers = [([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])]
    >>> pr.plot.output(layers, domain=(-2, 2), resolution=50).get_array().shape
    (50, 50)
    >>> pr.plot.output(pr.partition(layers)).get_clim()  # the exact range
    (0.0, 2.0)
    """
    _check_resolution(resolution)
    colors = canvas.colormap(cmap)
    if isinstance(part_or_model, Partition):
        if domain is not None or slice is not None:
            raise ValueError(
                "a partition is drawn on its own domain; leave `domain` and `slice` out"
            )
        part_or_model = part_or_model._shown
        slice = part_or_model.slice
        output = canvas.check_output(part_or_model, output)
        area = part_or_model.domain
    else:
        if exact:
            raise ValueError("only a partition can be drawn exactly; call polyregions.partition")
        area = domain_of(slice=slice) if domain is None else domain_of(domain, slice)

    artist: PolyCollection | AxesImage
    if isinstance(part_or_model, Partition) and exact is not False:
        ax = canvas.new_axes(ax, area)
        pixels = canvas.as_pixels(ax, part_or_model, rasterized)
        artist = draw_values(ax, part_or_model, output, colors, rasterized=pixels)
    else:
        values = sample(part_or_model, area, resolution, output, slice)
        ax = canvas.new_axes(ax, area)
        artist = draw_image(ax, area, values, cmap=colors)
    canvas.frame(ax, area, slice)
    canvas.draw_outline(ax, area)
    chart.draw_marks(ax, area, slice, canvas.page_size(ax, area)[0])
    if key:
        keys.colorbar(ax, artist, "output")
    return artist


def gradient_comparison(
    part: Partition,
    model: Any = None,
    axes: Any = None,
    *,
    resolution: int = 500,
    output: int = 0,
    cmap: ColorMap = "prism",
    key: bool = True,
    rasterized: bool | None = None,
) -> np.ndarray[Any, np.dtype[np.object_]]:
    """Draw finite differences of a sampled image beside the exact gradient.

    On the left is `numpy.gradient` of the output sampled on a grid, divided by the distance of
    the grid's points; on the right is the gradient of the partition, one colour for each face,
    with the creases as lines. The upper row is the derivative by x1, the lower by x2. Both
    pictures of a row share their colours, which run over the range of the exact derivative.

    Parameters
    ----------
    part : Partition
    model : optional
        What to sample: the model's own forward. The partition's function unless given.
    axes : (2, 2) array of matplotlib Axes, optional
        Where to draw; a new figure unless given.
    resolution : int
        Points along each side of the grid.
    output : int
        Which output.
    cmap : str or Colormap
        ``prism`` runs through its colours many times, which tells apart slopes that are close,
        and may show two that are not in one colour.
    key : bool
        Whether to put a colour bar beside each row.
    rasterized : bool, optional
        Whether to draw the faces as pixels, also in vector formats; see `partition`.

    Returns
    -------
    (2, 2) array of artists
        An AxesImage on the left of each row, a PolyCollection on the right.

    Raises
    ------
    ValueError
        If there is no such output or colour map, `resolution` is below 2, or `axes` are not
        2 x 2.

    Examples
    --------
    >>> import polyregions as pr
    >>> part = pr.partition([([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])])
    >>> artists = pr.plot.gradient_comparison(part, resolution=50)
    >>> sorted(artists[0, 1].get_array().tolist())  # d/dx1 on each face
    [0.0, 1.0, 1.0, 2.0]
    """
    _check_resolution(resolution)
    part = canvas.check_part(part)._shown
    output = canvas.check_output(part, output)
    colors = canvas.colormap(cmap)
    xmin, ymin, xmax, ymax = part.domain.bounds
    values = sample(part if model is None else model, part.domain, resolution, output, part.slice)
    spacing = (ymax - ymin) / (resolution - 1), (xmax - xmin) / (resolution - 1)
    differences = np.gradient(values, *spacing)[::-1]  # the rows of the image run along x2

    grid = _four_axes(axes, part.domain)
    artists = np.empty((2, 2), dtype=object)
    for i, (left, right) in enumerate(grid):
        slopes = part.face_weight[:, output, i]
        norm = canvas.spread_norm(slopes)
        artists[i, 0] = draw_image(left, part.domain, differences[i], cmap=colors, norm=norm)
        pixels = canvas.as_pixels(right, part, rasterized)
        artists[i, 1], _ = canvas.draw_faces(
            right, part, values=slopes, cmap=colors, norm=norm, rasterized=pixels
        )
        for ax in (left, right):
            canvas.frame(ax, part.domain, part.slice)
            canvas.draw_outline(ax, part.domain)
            if axes is None:
                ax.label_outer()
        canvas.draw_creases(right, part, rasterized=pixels)
        if key:
            bar = left.figure.colorbar(artists[i, 1], ax=[left, right], pad=0.02)
            bar.ax.set_title(chart.derivative(part.slice, i), fontsize="medium")
    grid[0, 0].set_title(f"np.gradient, {resolution} x {resolution} points", fontsize="medium")
    plural = "region" if part.n_faces == 1 else "regions"
    grid[0, 1].set_title(f"exact, {part.n_faces:,} {plural}", fontsize="medium")
    return artists


def sample(
    part_or_model: Any,
    domain: Domain,
    resolution: int,
    output: int,
    plane: Slice | None = None,
) -> FloatArray:
    """Values, (resolution, resolution), on a grid over the bounds of the domain, rows along x1.

    The first and last points of each row lie on the border. NaN outside a partition's domain.
    """
    xmin, ymin, xmax, ymax = domain.bounds
    x = np.linspace(xmin, xmax, resolution)
    y = np.linspace(ymin, ymax, resolution)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    if isinstance(part_or_model, Partition):
        values = part_or_model(points)
    else:
        values = forward_of(part_or_model, plane).values(points)
    output = canvas.check_index(output, values.shape[1])
    return values[:, output].reshape(resolution, resolution)


def draw_image(
    ax: Axes, domain: Domain, values: FloatArray, *, cmap: ColorMap, norm: Any = None
) -> AxesImage:
    """Draw a sampled image; every pixel has its sample in the middle."""
    xmin, ymin, xmax, ymax = domain.bounds
    rows, columns = values.shape
    dx, dy = (xmax - xmin) / (columns - 1) / 2, (ymax - ymin) / (rows - 1) / 2
    image = ax.imshow(
        values,
        cmap=canvas.colormap(cmap),
        norm=norm,
        extent=(xmin - dx, xmax + dx, ymin - dy, ymax + dy),
        origin="lower",
        interpolation="nearest",
    )
    canvas.clip(image, ax, domain)
    return image


def _four_axes(axes: Any, domain: Domain) -> np.ndarray[Any, np.dtype[np.object_]]:
    if axes is None:
        width, height = canvas.panel_size(domain, 3.6)
        size = (2 * width + 1.8, 2 * height + 1.0)
        _, axes = plt.subplots(2, 2, figsize=size, layout="compressed", sharex=True, sharey=True)
    grid = np.asarray(axes, dtype=object)
    if grid.shape != (2, 2):
        raise ValueError(f"axes must be a 2 x 2 array of matplotlib Axes, got shape {grid.shape}")
    return grid


def _check_resolution(resolution: int) -> None:
    if not isinstance(resolution, int | np.integer) or resolution < 2:
        raise ValueError(f"resolution must be a whole number from 2 up, got {resolution!r}")
