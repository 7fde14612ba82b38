"""The layer loop of the compiled engine: whole complexes, or counts only.

A complex goes through the layers breadth first: the result needs all of it anyway. Counts need
none of it, so there blocks of faces go on depth first, each by itself, and are forgotten.
"""

from __future__ import annotations

import numpy as np

from polyregions.domain import Domain, Plane
from polyregions.engine import complex as complexes
from polyregions.engine import outer, seams
from polyregions.engine.complex import Complex, TooManyError
from polyregions.engine.crew import Crew
from polyregions.engine.exactly import Provenance
from polyregions.engine.layers import Layer, compile_layers
from polyregions.engine.maps import Level, Split, Window
from polyregions.engine.result import finish
from polyregions.engine.rounds import split_by_maxima
from polyregions.engine.splitting import (
    build,
    classify,
    cross_edges,
    find_chords,
    is_short,
    settle_signs,
    split_at_once,
)
from polyregions.engine.watch import ALL_PASSES, Watch
from polyregions.float64 import TINY
from polyregions.network import Network
from polyregions.partition import Partition
from polyregions.progress import Reporter

# Bytes of affine maps that are kept at most, of all layers together.
_MAPS_ROOM = 1 << 30
# Faces that go on together where only counts are wanted.
_BLOCK_OF_FACES = 1 << 14
_BLOCK_OF_MAPS = 1 << 26  # bytes


def subdivide(
    network: Network,
    domain: Domain,
    *,
    max_regions: int,
    max_memory: int | None = None,
    threads: int | None = None,
    progress: Reporter | None = None,
) -> Partition:
    """Subdivide `domain` into the faces on which every unit of `network` keeps its piece.

    Parameters
    ----------
    network : Network
    domain : Domain
    max_regions : int
    max_memory : int or None
        Bytes; None for half of what is free.
    threads : int or None
        None for one on each core that this process may use.
    progress : Reporter or None

    Raises
    ------
    LimitError
        If there are more than `max_regions` faces, or they need more than `max_memory`.
    OverflowError
        If a coordinate or a coefficient of a map is too large for float64.
    """
    with Crew(threads) as crew:
        watch = _watch(crew, network, max_regions, max_memory, progress)
        try:
            return _subdivide(network, domain, watch)
        except TooManyError:
            raise watch.too_many() from None


def count(
    network: Network,
    domain: Domain,
    *,
    max_regions: int,
    max_memory: int | None = None,
    threads: int | None = None,
    progress: Reporter | None = None,
) -> tuple[int, ...]:
    """Count the faces after each activation layer, without keeping them.

    The parameters and errors are those of `subdivide`.
    """
    with Crew(threads) as crew:
        watch = _watch(crew, network, max_regions, max_memory, progress)
        watch.counts = [0] * watch.n_layers
        watch.share = 0.0
        try:
            return _count(network, domain, watch)
        except TooManyError:
            raise watch.too_many() from None


def _watch(
    crew: Crew,
    network: Network,
    max_regions: int,
    max_memory: int | None,
    progress: Reporter | None,
) -> Watch:
    return Watch(crew, progress or Reporter(), max_regions, max_memory, len(network.activations))


def _subdivide(network: Network, domain: Domain, watch: Watch) -> Partition:
    layers = compile_layers(network)
    if isinstance(domain, Plane):
        domain = outer.fit(network, layers, domain, watch)
    complex_, level, made = _go_through(network, layers, domain, watch)
    if domain.tiling.n_faces == 1:
        return finish(complex_, level, network, domain, made, watch)
    with watch.stage("seams"):
        complex_, made, faces = seams.dissolve_seams(complex_, made, watch)
    return finish(complex_, level, network, domain, made, watch, faces)


def _go_through(
    network: Network, layers: list[Layer], domain: Domain, watch: Watch
) -> tuple[Complex, Level, Provenance]:
    """Subdivide the faces that a domain starts with by all layers."""
    complex_, vertex_lines = complexes.start(domain)
    made = Provenance(network, layers, domain, vertex_lines)
    level = Level.first(layers[0], _window(domain), complex_.n_faces)
    held = level.nbytes
    for number, layer in enumerate(layers[:-1]):
        watch.layer, watch.layer_name, watch.n_faces = number, _name(layer), complex_.n_faces
        complex_, split = _split(complex_, level, number, made, watch)
        n_faces = _n_faces(complex_, made)
        watch.check_faces(n_faces)
        watch.counts.append(n_faces)
        watch.report(1.0)
        is_last = number + 2 == len(layers)
        room = 1 << 62 if is_last else _MAPS_ROOM - held
        level = Level.behind(level, split, layers[number + 1], room=room)
        del split  # the level holds it as long as it is needed
        held += level.nbytes
        watch.held = complex_.nbytes + made.nbytes + held
    return complex_, level, made


def _n_faces(complex_: Complex, made: Provenance) -> int:
    """The number of faces, those counted as one that are on both sides of a seam."""
    is_one = made.domain.tiling.n_faces == 1
    return complex_.n_faces if is_one else seams.n_regions(complex_, made)


def _split(
    old: Complex, level: Level, number: int, made: Provenance, watch: Watch
) -> tuple[Complex, Split]:
    """Subdivide every face by the lines of a layer."""
    if is_short(old, level.layer):
        with watch.stage(ALL_PASSES):
            done = split_at_once(old, level, number, made, watch)
        if done:
            return done
    if level.layer.has_false_lines:
        return split_by_maxima(old, level, number, made, watch, watch.stage)[:2]
    with watch.stage("maps and signs"):
        known = classify(old, level, watch)
        entries = settle_signs(old, level, number, known, made, watch)
    with watch.stage("edges"):
        edges = cross_edges(old, level, number, entries, made, watch)
    with watch.stage("chords"):
        chords, inside = find_chords(old, level, number, entries, edges, made, watch)
    n_children = int(inside.children.sum(dtype=np.int64))
    is_one = made.domain.tiling.n_faces == 1
    hidden = 0 if is_one else seams.most_hidden(old, edges.group_start, made)
    watch.check_faces(n_children - hidden)
    sides = int(inside.sides.sum(dtype=np.int64))
    watch.check_memory(n_children * level.layer.width + 20 * sides, f"{n_children} faces")
    with watch.stage("faces"):
        return build(old, level, known, entries, edges, chords, inside, made, watch)


def _count(network: Network, domain: Domain, watch: Watch) -> tuple[int, ...]:
    layers = compile_layers(network)
    n_layers = watch.n_layers

    def go_on(old: Complex, level: Level, number: int, made: Provenance, share: float) -> None:
        """Count the faces inside those of a block, which are so large a share of all."""
        watch.layer, watch.layer_name = number, _name(layers[number])
        watch.report(0.0)
        is_last = number + 1 == n_layers
        if level.layer.has_false_lines:
            new, split, _ = split_by_maxima(old, level, number, made, watch)
            n_children = new.n_faces
        else:
            known = classify(old, level, watch)
            entries = settle_signs(old, level, number, known, made, watch)
            edges = cross_edges(old, level, number, entries, made, watch)
            chords, inside = find_chords(old, level, number, entries, edges, made, watch)
            n_children = int(inside.children.sum(dtype=np.int64))
            if not is_last:
                new, split = build(old, level, known, entries, edges, chords, inside, made, watch)
            del known, entries, edges, chords, inside
        watch.counts[number] += n_children
        watch.check_faces(watch.counts[number])
        if is_last:
            watch.share = min(1.0, (watch.share or 0.0) + share)
            watch.report(1.0)
            return
        following = Level.behind(level, split, layers[number + 1], room=0)
        most = _BLOCK_OF_MAPS // max(1, 24 * layers[number + 1].width)
        size = max(1, min(_BLOCK_OF_FACES, most))
        for begin in range(0, new.n_faces, size):
            end = min(begin + size, new.n_faces)
            block, vertices = complexes.part_of(new, begin, end)
            go_on(
                block,
                following.part_of(begin, end),
                number + 1,
                made.part_of(begin, end, vertices),
                share * (end - begin) / new.n_faces,
            )

    if n_layers and (isinstance(domain, Plane) or domain.tiling.n_faces > 1):
        # What seams hide is told from whole layers. So is what lies at infinity.
        watch.counts, watch.share = [], None
        if isinstance(domain, Plane):
            domain = outer.fit(network, layers, domain, watch)
        _go_through(network, layers, domain, watch)
    elif n_layers:
        complex_, vertex_lines = complexes.start(domain)
        level = Level.first(layers[0], _window(domain), complex_.n_faces)
        go_on(complex_, level, 0, Provenance(network, layers, domain, vertex_lines), 1.0)
    return tuple(watch.counts)


def _window(domain: Domain) -> Window:
    if isinstance(domain, Plane):
        return outer.window(domain)
    # Any bounds will do that are not too small; these can be inverted.
    high = np.abs(domain.xy).max(axis=0)
    return Window(max(float(high[0]), TINY), max(float(high[1]), TINY))


def _name(layer: Layer) -> str:
    return layer.switching.name if layer.switching else "the outputs"
