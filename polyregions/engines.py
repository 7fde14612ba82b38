"""The engines by name, and how each is called."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from polyregions import compilation
from polyregions.domain import Domain
from polyregions.errors import Interrupted, LimitError
from polyregions.limits import DEFAULT_MAX_REGIONS, ENGINES
from polyregions.network import Affine, Convolution, IntArray, Maximum, Network, Step
from polyregions.progress import ProgressLike, Reporter, reporter

if TYPE_CHECKING:
    from polyregions.partition import Partition

# What "auto" stands for.
_AUTO = "exact"

# The rational engine needs about a tenth of a second for so many regions of so small a network.
_SOON, _FEW = 1000, 4096

_UNLIMITED = 1 << 62

Counts: TypeAlias = tuple[int, ...]


def engine_of(name: str) -> str:
    """The engine that a name stands for.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(map(repr, ENGINES))}, got {name!r}")
    return _AUTO if name == "auto" else name


def subdivide(
    engine: str,
    network: Network,
    domain: Domain,
    *,
    max_regions: int | None,
    max_memory: int | None,
    threads: int | None,
    progress: ProgressLike,
) -> Partition:
    """Have an engine make a partition, and check it quickly; see `polyregions.partition`."""
    limit = max_regions or DEFAULT_MAX_REGIONS[engine]
    compilation.listen()
    with reporter(progress) as report, _Interruptible(report):
        if engine == "rational":
            from polyregions import reference

            _refuse_memory_limit(max_memory)
            part = reference.subdivide(network, domain, max_regions=limit)
        else:
            from polyregions.engine import subdivision

            part = subdivision.subdivide(
                network,
                domain,
                max_regions=limit,
                max_memory=max_memory,
                threads=threads,
                progress=report,
            )
        from polyregions import certificate

        begin = perf_counter()
        certificate.quick(part)
        seconds = {**part.seconds, "self-check": perf_counter() - begin}
    return replace(part, seconds=seconds)


def count(
    engine: str,
    network: Network,
    domain: Domain,
    *,
    max_regions: int | None,
    max_memory: int | None,
    threads: int | None,
    progress: ProgressLike,
) -> Counts:
    """Number of faces after each activation layer; see `polyregions.count_regions`.

    Here `engine` may be ``"auto"``. Then a network that plain integers are done with sooner than
    numba could be imported is counted in those, which only a process that counts once notices.
    """
    if engine == "auto" and not _has_numba() and _n_coefficients(network) <= _FEW:
        from polyregions import reference

        few = min(_SOON, max_regions or _SOON)
        with suppress(LimitError):
            return faces_by_layer(reference.subdivide(network, domain, max_regions=few))
    engine = engine_of(engine)
    if engine == "rational":
        options = {"max_regions": max_regions, "max_memory": max_memory, "threads": threads}
        return faces_by_layer(subdivide(engine, network, domain, **options, progress=progress))
    from polyregions.engine import subdivision

    compilation.listen()
    with reporter(progress) as report, _Interruptible(report):
        return subdivision.count(
            network,
            domain,
            max_regions=max_regions or _UNLIMITED,
            max_memory=max_memory,
            threads=threads,
            progress=report,
        )


def _has_numba() -> bool:
    return "numba" in sys.modules


def _n_coefficients(network: Network) -> int:
    return sum(_n_products(step) for step in network.steps)


def _n_products(step: Step) -> int:
    """Of how many products one value of everything that a step gives is made, at most."""
    if isinstance(step, Affine):
        return step.n_inputs * step.n_outputs
    if isinstance(step, Convolution):
        return step.n_outputs * prod(step.weight.shape[1:])
    # Two coefficients for the difference of every two members.
    return step.members.size * (step.members.shape[1] - 1) if isinstance(step, Maximum) else 0


def faces_by_layer(part: Partition) -> Counts:
    """Number of faces after each activation layer of a partition.

    The faces after a layer are those of the graph of all edges that this layer or one before it
    made, and the border. On a convex domain its lines end on each other, so it is connected, and by
    Euler's formula it has ``1 - V + E`` inner faces. A vertex on a straight line counts once as V
    and once as E. On other domains the graph has C components and ``C - V + E`` inner faces, but
    for those that are holes; these are the same for all layers. Seams do not count.
    """
    n_layers = int(part.unit_layer[-1]) + 1 if part.n_units else 0
    layer = np.where(part.edge_is_seam, n_layers, part.edge_layer)
    first = np.full(part.n_vertices, n_layers)
    np.minimum.at(first, part.edge_vertices, layer[:, None])
    # The border, -1, comes before all layers; vertices and edges of later layers drop out.
    vertices, edges = (
        np.bincount(made + 1, minlength=n_layers + 1).cumsum()[: n_layers + 1]
        for made in (first, layer)
    )
    components = np.ones(n_layers + 1, dtype=np.int64)
    if not part.domain.is_convex:
        components = np.array(
            [_n_components(part.edge_vertices[layer < n]) for n in range(n_layers + 1)]
        )
    faces = components - vertices + edges
    counts: list[int] = (faces - faces[0] + part.domain.n_components)[1:].tolist()
    return tuple(counts)


def _n_components(pairs: IntArray) -> int:
    """How many components the graph of some edges has, without isolated nodes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, ends = np.unique(pairs, return_inverse=True)
    left, right = ends.reshape(-1, 2).T
    shape = (len(nodes), len(nodes))
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=shape)
    return int(connected_components(graph, directed=False)[0])


def _refuse_memory_limit(max_memory: int | None) -> None:
    if max_memory is not None:
        raise ValueError(
            "engine 'rational' cannot keep to max_memory; limit its result by max_regions"
        )


class _Interruptible:
    """Turns Ctrl-C into an `Interrupted` that says how far the work got."""

    def __init__(self, report: Reporter) -> None:
        self._report = report

    def __enter__(self) -> None:
        self._report.last = None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        last = self._report.last
        if not isinstance(error, KeyboardInterrupt) or isinstance(error, Interrupted):
            return
        if last is None:
            raise Interrupted("interrupted") from error  # by an engine that reports nothing
        # Counting goes depth first, so that no layer is finished before the end.
        is_counting = last.stage == "counting"
        what = "counted, layer by layer" if is_counting else "faces after the layers before it"
        counts = ", ".join(f"{n:,}" for n in last.counts) or "none"
        raise Interrupted(
            f"interrupted in {last}; {what}: {counts}",
            counts=last.counts,
            layer=last.layer,
        ) from error
