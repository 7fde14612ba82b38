"""What changes if something about the networks is changed: bias, activation, shape, seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from polyregions.analysis.extent import extent
from polyregions.analysis.grid import locate_grid
from polyregions.api import partition
from polyregions.float64 import U
from polyregions.lower import lower
from polyregions.network import IntArray, Network
from polyregions.partition import Partition, RegionCount
from polyregions.worksheet.answers import (
    HALF_WIDTHS,
    RESOLUTION,
    SheetAnswer,
    count_beyond,
)
from polyregions.worksheet.networks import (
    Deep,
    Shallow,
    SheetModel,
    output_bias,
    seeded,
    weights,
    without_output_bias,
)

BUILDERS: dict[str, Callable[..., SheetModel]] = {"shallow": Shallow, "deep": Deep}

# Unit roundoff of float64.


def same_complex(part: Partition, other: Partition) -> bool:
    """Whether two partitions have the same vertices, edges, faces and patterns, exactly."""
    names = ("edge_vertices", "edge_faces", "edge_unit", "face_offsets", "face_vertices")
    return (
        part.vertex_exact == other.vertex_exact
        and all(np.array_equal(getattr(part, n), getattr(other, n)) for n in names)
        and np.array_equal(part.face_pattern, other.face_pattern)
    )


@dataclass(frozen=True, eq=False)
class BiasAnswer:
    """What the output bias does.

    Attributes
    ----------
    bias : float
        The output bias of the model.
    part, without : Partition
        With it and with zero in its place.
    same_complex : bool
        Whether vertices, edges, faces and patterns are the same, exactly.
    same_slopes : bool
        Whether every region has the same gradient.
    shifted_by_bias : bool
        Whether every region's map is shifted by the bias, to within the error bounds of the two
        numbers that are compared.
    """

    bias: float
    part: Partition
    without: Partition
    same_complex: bool
    same_slopes: bool
    shifted_by_bias: bool


def answer_bias(model: SheetModel, part: Partition) -> BiasAnswer:
    """Take the output bias away and compare; `part` is the partition with it."""
    bias = output_bias(model)
    without = partition(without_output_bias(model), domain=part.domain)
    shift = part.face_bias - without.face_bias
    # Both coefficients are off by no more than they say, and their difference was rounded once.
    rounding = part.face_bias_error + without.face_bias_error + 2 * U * np.abs(shift)
    return BiasAnswer(
        bias=bias,
        part=part,
        without=without,
        same_complex=same_complex(part, without),
        same_slopes=np.array_equal(part.face_weight, without.face_weight),
        shifted_by_bias=bool(np.all(np.abs(shift - bias) <= rounding)),
    )


@dataclass(frozen=True, eq=False)
class AbsAnswer:
    """What the absolute value does in the place of ReLU, with the same weights.

    Attributes
    ----------
    relu, absolute : Partition
    same_complex : bool
        Whether both have the same vertices, edges, faces and patterns.
    """

    relu: Partition
    absolute: Partition
    same_complex: bool


def answer_abs(name: str, seed: int, part: Partition) -> AbsAnswer:
    """Build the same network with abs; `part` is the partition with ReLU."""
    model = seeded(partial(BUILDERS[name], activation=torch.abs), seed)
    absolute = partition(model, domain=part.domain)
    return AbsAnswer(part, absolute, same_complex(part, absolute))


@dataclass(frozen=True, eq=False)
class Contestant:
    """One shape of network over several seeds.

    Attributes
    ----------
    widths : tuple of int
    n_parameters : int
    half_width : float
        The range counted on.
    counts : list of RegionCount
        One for each seed.
    """

    widths: tuple[int, ...]
    n_parameters: int
    half_width: float
    counts: list[RegionCount]

    @property
    def name(self) -> str:
        """Such as 2-20-1."""
        return "-".join(map(str, self.widths))

    @property
    def n_units(self) -> int:
        """Number of hidden units."""
        return sum(self.widths[1:-1])

    @property
    def regions(self) -> IntArray:
        """Activation regions for each seed."""
        return np.array([c.activation_regions for c in self.counts])


CONTEST = (
    ((2, 20, 1), (2, 4, 4, 4, 4, 1)),
    ((2, 28, 1), (2, 5, 5, 5, 5, 1)),
)
"""Shallow and deep networks with a like number of parameters: 81 and 77, 113 and 111."""


def contest(seeds: Iterable[int], *, half_width: float = HALF_WIDTHS[0]) -> list[Contestant]:
    """Count the regions of shallow and deep networks of like size, for several seeds."""
    seeds = list(seeds)
    return [_contestant(widths, seeds, half_width) for pair in CONTEST for widths in pair]


def _contestant(widths: tuple[int, ...], seeds: Sequence[int], half_width: float) -> Contestant:
    pairs = pairwise(widths)
    counts = [
        partition(weights(widths, seed), domain=(-half_width, half_width)).count() for seed in seeds
    ]
    return Contestant(widths, sum((m + 1) * n for m, n in pairs), half_width, counts)


@dataclass(frozen=True)
class SeedRow:
    """The main answers about one network for one seed.

    Attributes
    ----------
    name : str
    seed : int
    near, far : RegionCount
        On the smallest and on the largest range.
    n_hit : int
        How many activation regions the grid hits on the smallest range.
    half_width : Fraction
        Of the smallest centred square that holds every vertex in the largest range.
    n_beyond : int
        How many more vertices there are in the square with half-width `BEYOND`.
    """

    name: str
    seed: int
    near: RegionCount
    far: RegionCount
    n_hit: int
    half_width: Fraction
    n_beyond: int

    def holds(self, half_width: float) -> bool:
        """Whether the square of that half-width holds every vertex, as far as was looked."""
        return self.half_width <= Fraction(half_width) and self.n_beyond == 0


def seed_row(
    name: str, seed: int, widths: Sequence[int], *, resolution: int = RESOLUTION
) -> SeedRow:
    """Answer for the network with the given widths and seed."""
    network = lower(weights(widths, seed))
    near, far = (_centred(network, r) for r in (HALF_WIDTHS[0], HALF_WIDTHS[-1]))
    x = np.linspace(-HALF_WIDTHS[0], HALF_WIDTHS[0], resolution)
    face_at = locate_grid(near, x, x)
    return SeedRow(
        name=name,
        seed=seed,
        near=near.count(),
        far=far.count(),
        n_hit=len(np.unique(face_at)),
        half_width=extent(far).half_width,
        n_beyond=count_beyond(network, HALF_WIDTHS[-1]),
    )


def _centred(network: Network, half_width: float) -> Partition:
    return partition(network, domain=(-half_width, half_width))


def seed_table(
    sheets: Iterable[SheetAnswer], seeds: Iterable[int], *, resolution: int = RESOLUTION
) -> list[SeedRow]:
    """Rows for each network and each seed."""
    seeds = list(seeds)
    shapes = [(s.name, [2, *(layer.n_outputs for layer in s.parameters.layers)]) for s in sheets]
    return [
        seed_row(name, seed, widths, resolution=resolution)
        for name, widths in shapes
        for seed in seeds
    ]
