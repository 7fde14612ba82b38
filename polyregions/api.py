"""The main calls: a model in, its partition or its counts out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from polyregions import engines
from polyregions.counting import Counts
from polyregions.domain import Domain, as_domain
from polyregions.errors import CertificateError
from polyregions.limits import as_flag, as_limit
from polyregions.lower import lower
from polyregions.network import Network
from polyregions.progress import ProgressLike, reporter
from polyregions.slice import Slice

if TYPE_CHECKING:
    from polyregions.partition import Partition


class _Default:
    """What `domain` is unless given: the frame of the slice if it has one, else (-1, 1)."""

    def __repr__(self) -> str:
        return "(-1, 1)"


_DEFAULT = _Default()


def partition(
    model: Any,
    domain: Any = _DEFAULT,
    *,
    slice: Slice | None = None,
    engine: str = "auto",
    max_regions: int | None = None,
    max_memory: int | None = None,
    threads: int | None = None,
    check: bool = False,
    progress: ProgressLike = None,
) -> Partition:
    """Compute every linear region of a network on a 2-D domain, exactly.

    Parameters
    ----------
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        A piecewise-linear network, with two inputs or a slice: a torch module or program, an ONNX
        model or the path of one, what `load_model` makes of a file, a perceptron of
        scikit-learn, or pairs of weight and bias; see `lower` for what is taken.
    domain : (lo, hi), (xmin, ymin, xmax, ymax), shapely polygon or None
        A square, a box, or any valid shapely.Polygon or MultiPolygon. Its float64 coordinates are
        taken as exact. Regions that are not convex, as the domain is not, are cut into convex
        faces (see `Partition.edge_is_seam`). None is the whole plane. Unless given it is the
        square (-1, 1), or the frame of a slice that has one.
    slice : Slice, optional
        The plane of the input space that the domain lies in. For a torch module, its points
        should have the shape of the module's input.
    engine : {"auto", "rational", "exact"}
        ``"rational"`` is the reference, which works in integers throughout. ``"exact"`` is
        compiled: it decides by float64 arithmetic with proven error bounds and in integers where
        those do not suffice. It finds the same complex, numbered in another order; its
        coordinates and maps are not the nearest float64 numbers but have bounded errors.
        ``"auto"`` is ``"exact"``.
    max_regions : int, optional
        Stop with a `LimitError` once there are more regions than this. Unless told, that is
        100,000 for the rational engine and 10,000,000 for the compiled one.
    max_memory : int, optional
        Stop with a `LimitError` before the compiled engine's arrays take more bytes than this.
        Unless told, that is half of the memory that is free when it starts. The rational engine
        does not keep account of its memory.
    threads : int, optional
        How many threads may work; unless told, one for each core that the process may use. The
        result is the same, byte for byte. The rational engine works in one.
    check : bool
        Whether to check the result in full before it is returned, as `Partition.certificate`
        does. That may take as long as the rest.
    progress : bool or callable, optional
        Whether to show a bar on standard error when it takes longer than a second; unless told,
        in interactive sessions only. A callable gets `polyregions.Progress` events and stops the
        work by raising an exception. See `polyregions.progress.reporter`. The rational engine
        reports nothing.

    Returns
    -------
    Partition

    Raises
    ------
    UnsupportedLayerError
        If an operation of the model is not piecewise linear, or not known.
    ValueError
        If the network has neither two inputs nor as many as the slice, the domain is empty,
        reversed or not valid, the engine is unknown, a limit is less than 1, or the engine
        cannot keep to `max_memory`.
    TypeError
        If an argument is of the wrong type, such as a limit that is no integer.
    LimitError
        If there are more than `max_regions` regions or `max_memory` is reached.
    OverflowError
        If a coordinate or a coefficient of an affine map is too large for float64.
    CertificateError
        If `check` found something wrong: a defect of polyregions.
    Interrupted
        A ``KeyboardInterrupt`` that says how far the work had got.

    Notes
    -----
    The time grows with the number of regions and with the widths of the layers. The compiled
    engine is made for millions of regions, the rational one for some thousand; the very first
    call on a machine compiles the former, which takes about half a minute.

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
    name = engines.engine_of(engine)
    as_flag(check, "check")
    limits = _limits(max_regions, max_memory, threads)
    report = reporter(progress)
    polygon = domain_of(domain, slice)
    whole, network = _of_the_plane(model, slice)
    part = engines.subdivide(name, network, polygon, **limits, progress=report)
    if slice is not None:
        part = replace(part, slice=slice, network=whole)
    if check and not part.certificate.ok:
        raise CertificateError(
            f"the partition by engine {name!r} fails its own check, which is a defect of "
            f"polyregions: {'; '.join(part.certificate.failures)}",
            part.certificate.failures,
        )
    return part


def count_regions(
    model: Any,
    domain: Any = _DEFAULT,
    *,
    slice: Slice | None = None,
    linear: bool = False,
    engine: str = "auto",
    max_regions: int | None = None,
    max_memory: int | None = None,
    threads: int | None = None,
    progress: ProgressLike = None,
) -> Counts:
    """Count the regions of a network on a 2-D domain, exactly, and keep nothing else.

    Parameters
    ----------
    model, domain, slice
        As for `partition`.
    linear : bool
        Whether to count linear regions and affine pieces as well. That needs the whole
        partition.
    engine, max_regions, max_memory, threads, progress
        As for `partition`. Every engine finds the same numbers. The compiled engine forgets
        regions once it has counted them, so unless told it counts any number of them.

    Returns
    -------
    Counts
        The activation regions after each layer, and the other counts if `linear`.

    Raises
    ------
    UnsupportedLayerError, ValueError, TypeError, LimitError, OverflowError, Interrupted
        As `partition` does.

    Examples
    --------
    >>> import polyregions as pr
    >>> counts = pr.count_regions([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [-1]), ([[1]], [0])])
    >>> counts.by_layer, counts.activation_regions
    ((4, 5), 5)
    """
    name = engines.engine_of(engine)
    as_flag(linear, "linear")
    limits = _limits(max_regions, max_memory, threads)
    report = reporter(progress)
    polygon = domain_of(domain, slice)
    _, network = _of_the_plane(model, slice)
    if not linear:
        by_layer = engines.count(engine, network, polygon, **limits, progress=report)
        return Counts(by_layer, n_components=polygon.n_components)
    part = engines.subdivide(name, network, polygon, **limits, progress=report)
    found = part.count()
    return Counts(
        engines.faces_by_layer(part),
        found.linear_regions,
        found.affine_pieces,
        n_components=polygon.n_components,
    )


def _limits(max_regions: Any, max_memory: Any, threads: Any) -> dict[str, int | None]:
    return {
        "max_regions": as_limit(max_regions, "max_regions"),
        "max_memory": as_limit(max_memory, "max_memory"),
        "threads": as_limit(threads, "threads"),
    }


def domain_of(domain: Any = _DEFAULT, slice: Slice | None = None) -> Domain:
    """The domain that is meant by the arguments of `partition`."""
    if slice is not None and not isinstance(slice, Slice):
        raise TypeError(
            "slice must be a polyregions.Slice, such as pr.Slice.axes(0, 1, at=point) or "
            f"pr.Slice.through(p0, p1, p2), got {slice!r}"
        )
    if not isinstance(domain, _Default):
        return as_domain(domain)
    return as_domain((-1, 1) if slice is None or slice.frame is None else slice.frame)


def _of_the_plane(model: Any, slice: Slice | None) -> tuple[Network, Network]:
    """The whole network, and the one that is partitioned, which has two inputs."""
    if slice is not None:
        whole = lower(model, shape=slice.shape)
        return whole, slice.restrict(whole)
    network = lower(model)
    if network.n_inputs != 2:
        raise ValueError(
            f"the network has {network.n_inputs} inputs, but a partition is of a plane: say which "
            "2-D slice of the input space is meant, by slice=, for example "
            f"slice=pr.Slice.axes(0, 1, at=point) with a point of {network.n_inputs} numbers "
            "(--slice axes:0,1 on the command line)"
            if network.n_inputs > 2
            else "the network has 1 input, but a partition is of a plane, and a line has no 2-D "
            "slice; give the network a second input, which its first layer need not use"
        )
    return network, network
