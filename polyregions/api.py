"""The main call: a model in, its partition out."""

from __future__ import annotations

from typing import Any

from polyregions.domain import as_domain
from polyregions.lower import lower
from polyregions.partition import Partition

ENGINES = ("auto", "rational", "exact")


def partition(
    model: Any,
    domain: Any = (-1, 1),
    *,
    engine: str = "auto",
    max_regions: int = 100_000,
) -> Partition:
    """Compute every linear region of a network on a 2-D domain, exactly.

    Parameters
    ----------
    model : torch.nn.Module, torch.export.ExportedProgram, list of (weight, bias) or Network
        A piecewise-linear network with two inputs; see `lower` for what is taken.
    domain : (lo, hi), (xmin, ymin, xmax, ymax) or shapely.Polygon
        A square, a box or a convex polygon. Its float64 coordinates are taken as exact.
    engine : {"auto", "rational", "exact"}
        ``"rational"`` is the reference, which works in integers throughout. ``"exact"`` is
        compiled: it decides by float64 arithmetic with proven error bounds and in integers where
        those do not suffice. It finds the same complex; its coordinates and maps are not the
        nearest float64 numbers but have bounded errors. ``"auto"`` is at present always
        ``"rational"``.
    max_regions : int
        Stop with a `LimitError` once there are more regions than this.

    Returns
    -------
    Partition

    Raises
    ------
    UnsupportedLayerError
        If an operation of the model is not piecewise linear, or not known.
    ValueError
        If the network has not two inputs, the domain is empty, reversed or not convex, or the
        engine is unknown.
    LimitError
        If there are more than `max_regions` regions.
    OverflowError
        If a coordinate or a coefficient of an affine map is too large for float64.

    Notes
    -----
    The rational engine's time grows with the number of regions times the size of the largest
    layer's weight matrix; some thousand regions of a network of width 50 take about a second.

    Examples
    --------
    Two lines that cross cut a square into four:

    >>> import polyregions as pr
    >>> part = pr.partition([([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])], domain=(-1, 1))
    >>> len(part)
    4
    >>> part([[0.5, 0.25]])
    array([[1.]])
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {engine!r}")
    if max_regions < 1:
        raise ValueError(f"max_regions must be at least 1, got {max_regions}")
    polygon = as_domain(domain)
    network = lower(model)
    if network.n_inputs != 2:
        raise ValueError(
            f"the network has {network.n_inputs} inputs, but a partition is of a plane: it needs "
            "a 2-D slice of the input space, which is not available yet. For now, make a "
            "2-input model of the slice, for example with a first nn.Linear(2, "
            f"{network.n_inputs}) that maps the plane into the input space"
        )
    if engine == "exact":
        from polyregions import engine as compiled

        return compiled.subdivide(network, polygon, max_regions=max_regions)
    from polyregions import reference

    return reference.subdivide(network, polygon, max_regions=max_regions)
