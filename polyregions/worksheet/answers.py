"""The answers about one network: what the sheets ask, found exactly."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from time import perf_counter

import numpy as np
from torch import nn

from polyregions.analysis.arrangement import Arrangement, first_layer_arrangement
from polyregions.analysis.extent import Extent, extent, inner_vertices
from polyregions.analysis.grid import (
    first_resolution,
    inscribed_square,
    locate_grid,
    sure_resolution,
)
from polyregions.analysis.lines import BentLine, bent_lines
from polyregions.api import partition
from polyregions.lower import lower
from polyregions.network import Activation, Affine, FloatArray, IntArray, Network
from polyregions.partition import Partition, RegionCount
from polyregions.verify import Verification, verify
from polyregions.worksheet.networks import SheetModel
from polyregions.worksheet.sampling import RandomPixels, Sample, random_pixels, sample

HALF_WIDTHS = (10.0, 50.0, 100.0, 5000.0)
"""The four ranges of the sheets: squares from minus to plus each of these."""

BEYOND = 1e9
"""How far it is checked whether anything more happens outside of the largest range."""

CLAIMS = (3.0, 50.0)
"""Half-widths of squares that the sheets say, or invite to think, hold every intersection."""

RESOLUTION = 500
"""Grid points along each axis on the sheets."""


@dataclass(frozen=True)
class LayerParameters:
    """Number of weights and biases of one affine layer."""

    n_inputs: int
    n_outputs: int

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.n_inputs * self.n_outputs

    @property
    def biases(self) -> int:
        """Number of biases."""
        return self.n_outputs

    @property
    def total(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases


@dataclass(frozen=True)
class ParameterCount:
    """Where a network's parameters are.

    Attributes
    ----------
    layers : tuple of LayerParameters
        From the lowered network, hence from what the forward pass uses.
    registered : int
        How many of them ``model.parameters()`` knows.
    """

    layers: tuple[LayerParameters, ...]
    registered: int

    @property
    def total(self) -> int:
        """All weights and biases."""
        return sum(layer.total for layer in self.layers)


def count_parameters(model: nn.Module, network: Network) -> ParameterCount:
    """Count a model's parameters in its lowered network, and those that torch has registered.

    Raises
    ------
    ValueError
        If the network is no plain stack of affine layers and activations.
    """
    if not network.is_chain or not all(isinstance(s, Affine | Activation) for s in network.steps):
        raise ValueError(
            f"{network!r} is no stack of linear layers and activations, which the sheets are about"
        )
    layers = [step for step in network.steps if isinstance(step, Affine)]
    return ParameterCount(
        tuple(LayerParameters(layer.n_inputs, layer.n_outputs) for layer in layers),
        sum(p.numel() for p in model.parameters()),
    )


@dataclass(frozen=True, eq=False)
class RangeAnswer:
    """One network on one of the ranges.

    Attributes
    ----------
    half_width : float
    part : Partition
    seconds : float
        How long the exact partition took, the lowering apart.
    sample : Sample
        What the sheets look at.
    face_at : (n, n) int64
        The region of every grid point.
    smallest : int
        The region with the least area.
    smallest_sure : int
        From this resolution on, every grid has a point in it.
    smallest_first : int or None
        The coarsest grid that has one, by luck; None if that is a grid of more points than were
        tried.
    all_sure : int
        From this resolution on, every grid has a point in each region.
    """

    half_width: float
    part: Partition
    seconds: float
    sample: Sample
    face_at: IntArray
    smallest: int
    smallest_sure: int
    smallest_first: int | None
    all_sure: int

    @cached_property
    def count(self) -> RegionCount:
        """The three counts of regions."""
        return self.part.count()

    @cached_property
    def missed(self) -> IntArray:
        """The regions that no grid point lies in."""
        return np.setdiff1d(np.arange(self.part.n_faces), self.face_at)

    @property
    def n_hit(self) -> int:
        """How many regions the grid hits."""
        return self.part.n_faces - len(self.missed)

    @property
    def smallest_area(self) -> float:
        """The least area."""
        return float(self.part.areas[self.smallest])

    @property
    def spacing(self) -> float:
        """The distance of neighbouring grid points."""
        return 2 * self.half_width / (len(self.sample.x) - 1)


def answer_range(
    model: nn.Module, network: Network, half_width: float, resolution: int
) -> RangeAnswer:
    """Partition, sample and compare one range."""
    start = perf_counter()
    part = partition(network, domain=(-half_width, half_width))
    seconds = perf_counter() - start
    seen = sample(model, half_width, resolution)
    smallest = int(part.areas.argmin())
    narrowest = min(range(part.n_faces), key=lambda f: inscribed_square(part, f).side)
    return RangeAnswer(
        half_width=half_width,
        part=part,
        seconds=seconds,
        sample=seen,
        face_at=locate_grid(part, seen.x, seen.x),
        smallest=smallest,
        smallest_sure=sure_resolution(part, smallest),
        smallest_first=first_resolution(part, smallest),
        all_sure=sure_resolution(part, narrowest),
    )


@dataclass(frozen=True, eq=False)
class Zoom:
    """How far out one must zoom to see the whole structure.

    Attributes
    ----------
    part : Partition
        On the largest range.
    extent : Extent
        The smallest centred square in it that holds every vertex not on its border.
    reach : (K,) float64
        For each such vertex the half-width of the centred square it lies on, increasing.
    n_beyond : int
        How many more vertices there are in the square with half-width `BEYOND`.
    arrangement : Arrangement or None
        The lines of a network with one hidden layer, on the whole plane.
    """

    part: Partition
    extent: Extent
    reach: FloatArray
    n_beyond: int
    arrangement: Arrangement | None

    @property
    def n_vertices(self) -> int:
        """How many vertices there are in the largest range, those on its border left out."""
        return len(self.reach)

    def n_outside(self, half_width: float) -> int:
        """How many of these vertices lie outside the centred square of that half-width."""
        limit = Fraction(half_width)
        vertices = inner_vertices(self.part).tolist()
        return sum(max(abs(x), abs(y)) > limit for x, y in map(self.part.exact_vertex, vertices))

    def holds(self, half_width: float) -> bool:
        """Whether the square of that half-width holds every vertex, as far as was looked."""
        return self.extent.half_width <= Fraction(half_width) and self.n_beyond == 0


def answer_zoom(network: Network, part: Partition) -> Zoom:
    """Answer for a network from its partition on the largest range."""
    inner = inner_vertices(part)
    return Zoom(
        part=part,
        extent=extent(part),
        reach=np.sort(np.abs(part.vertex_xy[inner]).max(axis=1)),
        n_beyond=count_beyond(network, part.domain.bounds[2]),
        arrangement=first_layer_arrangement(network) if len(network.activations) == 1 else None,
    )


def count_beyond(network: Network, half_width: float) -> int:
    """How many vertices there are within `BEYOND` that are not inside of the square."""
    part = partition(network, domain=(-BEYOND, BEYOND))
    limit = Fraction(half_width)
    vertices = map(part.exact_vertex, inner_vertices(part).tolist())
    return sum(max(abs(x), abs(y)) >= limit for x, y in vertices)


@dataclass(frozen=True, eq=False)
class SheetAnswer:
    """All answers about one network.

    Attributes
    ----------
    name : str
        "shallow" or "deep".
    model : Shallow or Deep
    network : Network
        The lowered model.
    lowering_seconds : float
        How long lowering it took.
    parameters : ParameterCount
    ranges : tuple of RangeAnswer
    zoom : Zoom
    lines : list of BentLine
        The line of each unit, in the largest range.
    random : RandomPixels
        On the smallest range.
    verification : Verification
        The check of the partition on the smallest range against sampling.
    """

    name: str
    model: SheetModel
    network: Network
    lowering_seconds: float
    parameters: ParameterCount
    ranges: tuple[RangeAnswer, ...]
    zoom: Zoom
    lines: list[BentLine]
    random: RandomPixels
    verification: Verification

    @property
    def widths(self) -> str:
        """Such as 2-20-1."""
        layers = self.parameters.layers
        return "-".join(map(str, [layers[0].n_inputs, *(layer.n_outputs for layer in layers)]))


def answer_sheet(name: str, model: SheetModel, *, resolution: int = RESOLUTION) -> SheetAnswer:
    """Answer everything about one network."""
    start = perf_counter()
    network = lower(model)
    lowering_seconds = perf_counter() - start
    ranges = tuple(answer_range(model, network, r, resolution) for r in HALF_WIDTHS)
    first, last = ranges[0].part, ranges[-1].part
    return SheetAnswer(
        name=name,
        model=model,
        network=network,
        lowering_seconds=lowering_seconds,
        parameters=count_parameters(model, network),
        ranges=ranges,
        zoom=answer_zoom(network, last),
        lines=bent_lines(last),
        random=random_pixels(model, first, resolution),
        verification=verify(first, model, resolution=resolution),
    )
