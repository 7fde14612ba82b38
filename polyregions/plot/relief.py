"""The graph of the function as a surface in space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from mpl_toolkits.mplot3d.axes3d import Axes3D

from polyregions.colors import SizeScale, slope_colors, slope_sizes
from polyregions.network import FloatArray
from polyregions.plot import canvas, chart, keys
from polyregions.plot.bands import vertex_values
from polyregions.proportions import drawn_alike

if TYPE_CHECKING:
    from polyregions.partition import Partition


def surface(
    part: Partition,
    ax: Any = None,
    *,
    output: int = 0,
    height: float = 0.6,
    linewidth: float | None = None,
    key: bool | None = None,
    rasterized: bool | None = None,
) -> Poly3DCollection:
    """Draw the graph of an output in 3-D: each face is one flat facet, coloured by its slope.

    Parameters
    ----------
    part : Partition
    ax : matplotlib Axes3D, optional
        Where to draw; a new figure unless given.
    output : int
        Which output.
    height : float
        Height of the graph, as a share of the longer side of the domain on the page.
    linewidth : float, optional
        Width of the facets' edges in points; else it follows from their number.
    key : bool, optional
        Whether to explain the colours in the upper left corner of the axes; unless told, where
        these are the only ones in their figure.
    rasterized : bool, optional
        Whether to store the facets as pixels in vector formats (PDF, SVG), at the resolution of
        the figure; unless told, where there are very many, as for `partition`.

    Returns
    -------
    Poly3DCollection

    Raises
    ------
    ValueError
        If there is no such output, the axes are not 3-D, or `height` is not positive.

    Notes
    -----
    Matplotlib draws facets from back to front by their mean distance. Where a large facet passes
    close to a small one behind it, that order can be wrong for a few pixels.

    Examples
    --------
    >>> import polyregions as pr
    >>> part = pr.partition([([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])])
    >>> len(pr.plot.surface(part).get_facecolor())
    4
    """
    part = canvas.check_part(part)._shown
    output = canvas.check_output(part, output)
    if not 0 < height < np.inf:
        raise ValueError(f"height must be a positive number, got {height!r}")
    if ax is None:
        figure = plt.figure(figsize=(6.4, 5.2), layout="constrained")
        ax = figure.add_subplot(projection="3d", proj_type="ortho")
    elif not isinstance(ax, Axes3D):
        raise ValueError('ax must be 3-D axes, made with projection="3d"')

    values = vertex_values(part, output)
    alike = drawn_alike(part.domain.bounds)
    gradient = part.face_weight * alike
    scale = SizeScale.of(slope_sizes(gradient, output=output))
    colors = slope_colors(gradient, output=output, scale=scale)
    width = canvas.base_width(ax, part) if linewidth is None else linewidth
    facets = Poly3DCollection(
        _padded(part, np.column_stack([part.vertex_xy, values])),
        facecolors=colors,
        # A darker shade of the facet's own colour shows the edge and closes the seam.
        edgecolors=0.55 * colors,
        linewidths=width,
    )
    facets.set_rasterized(canvas.as_pixels(ax, part, rasterized))
    ax.add_collection3d(facets)
    xmin, ymin, xmax, ymax = part.domain.bounds
    norm = canvas.spread_norm(values)
    across, up = chart.axis_names(part.slice)
    ax.set(xlim=(xmin, xmax), ylim=(ymin, ymax), zlim=(norm.vmin, norm.vmax))
    ax.set(xlabel=across, ylabel=up, zlabel="output")
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_major_locator(MaxNLocator(5))
    sides = np.array([xmax - xmin, ymax - ymin]) / alike
    # A little smaller than the axes, which would cut off its corners.
    ax.set_box_aspect((*sides / sides.max(), height), zoom=0.92)
    ax.tick_params(axis="z", pad=6.0)
    ax.zaxis.labelpad = 12.0  # past the longest numbers
    if key or (key is None and len(ax.figure.axes) == 1):
        names = chart.wheel_names(part.slice)
        keys.slope_wheel(ax, scale, at=(-0.1, 1.0), domain=part.domain, names=names)
    return facets


def _padded(part: Partition, corners: FloatArray) -> Any:
    """Corners of all facets as one masked array, (F, K, 3), K being the largest number of them.

    Given a list of facets, matplotlib makes such an array itself and leaves what is masked
    uninitialised, which may overflow when it is projected.
    """
    size = np.diff(part.face_offsets)
    place = np.arange(size.max())
    missing = place >= size[:, None]
    at = part.face_offsets[:-1, None] + np.where(missing, 0, place)
    faces = corners[part.face_vertices[at]]
    return np.ma.MaskedArray(faces, np.broadcast_to(missing[:, :, None], faces.shape))
