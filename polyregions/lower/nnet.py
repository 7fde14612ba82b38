"""Lower what a ``.nnet`` file describes."""

from __future__ import annotations

import numpy as np

from polyregions.formats.nnet import NNet
from polyregions.lower.arrays import lower_arrays
from polyregions.lower.scaling import standardise
from polyregions.network import Network, Scale, Step


def lower_nnet(model: NNet) -> Network:
    """Lower the format's formula, ``layers((x - mean) / range) * range + mean``.

    Inputs are not clipped to the header's bounds, which would add units that bend outside of
    them only; a note says so.
    """
    steps, notes = standardise(model.means[:-1], model.ranges[:-1], "the input normalisation")
    steps += lower_arrays(list(zip(model.weights, model.biases, strict=True))).steps
    mean, factor = model.means[-1], model.ranges[-1]
    if mean != 0 or factor != 1:
        steps.append(_rescaled(steps[-1].n_outputs, factor, mean))
    if np.isfinite(model.input_min).any() or np.isfinite(model.input_max).any():
        notes.append(
            "inputs are not clipped to the bounds of the header, where the network was trained; "
            "outside of them the format's own evaluation stays at the value on the border"
        )
    if model.flag.strip(" ,").isdecimal() and int(model.flag.strip(" ,")):
        notes.append(
            f"the flag {model.flag.strip(' ,')}, which the format no longer uses, is ignored; old "
            "readers take it for a network that is to be mirrored"
        )
    return Network(tuple(steps), model.n_inputs, tuple(notes))


def _rescaled(n: int, factor: float, mean: float) -> Step:
    return Scale(np.full(n, factor), np.full(n, mean), "the output normalisation")
