"""Where which output of a network is the largest or the least: its decision regions."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyregions.lower import lower
from polyregions.network import ByteArray, Maximum, Network, Scale
from polyregions.partition import Partition


def with_decision(
    model: Any, *, least: bool = False, shape: tuple[int, ...] | None = None
) -> Network:
    """A network with one more unit, which takes the largest of its outputs.

    The piece of that unit is the network's decision, so a partition of the result has the
    boundaries between decisions among its edges, exactly.

    Parameters
    ----------
    model : torch.nn.Module, ExportedProgram, ONNX, NNet, estimator, list of arrays or Network
        As for `polyregions.lower`, with 2 to 256 outputs.
    least : bool
        Whether the least output is the one chosen, as for networks whose outputs are costs.
    shape : tuple of int, optional
        The shape of one input of a torch module, as for `polyregions.lower`.

    Returns
    -------
    Network
        With one output: the largest of the model's, or the largest of their negatives.

    Raises
    ------
    ValueError
        If the model has fewer than 2 outputs, or more than 256.

    See Also
    --------
    polyregions.Partition.face_decision : the output that is chosen on each face.
    polyregions.plot.decisions : a picture of them.

    Examples
    --------
    >>> import polyregions as pr
    >>> scores = pr.lower([([[1, 0], [0, 1], [-1, -1]], [0, 0, 0])])  # three outputs, no unit
    >>> part = pr.partition(pr.with_decision(scores))
    >>> sorted(part.face_decision.tolist())
    [0, 1, 2]
    """
    network = lower(model, shape=shape)
    n = network.n_outputs
    if n < 2:
        raise ValueError(f"a decision is between two outputs or more; {network!r} has {n}")
    steps, sources = list(network.steps), list(network.sources or ())
    if least:
        steps.append(Scale(-np.ones(n), np.zeros(n), "the outputs' negatives"))
        sources.append((len(sources),))
    steps.append(Maximum(np.arange(n)[None], n, "the decision"))
    sources.append((len(sources),))
    return Network(tuple(steps), network.n_inputs, network.notes, tuple(sources))


def face_decision(part: Partition) -> ByteArray:
    """The output that is chosen on each face of a partition; see `Partition.face_decision`."""
    layer = part.unit_layer
    if not len(layer) or (layer == layer[-1]).sum() != 1:
        raise ValueError(
            "the partition's last layer is not one unit that chooses among outputs; make the "
            "partition of pr.with_decision(model)"
        )
    return part.face_pattern[:, -1]
