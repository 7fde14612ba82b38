"""The networks that are measured, and the list of workloads of `scripts/bench.py`.

Every network follows from its description alone. Those in PyTorch's default initialisation are
linear layers made in order after ``torch.manual_seed(0)``; all others are made by NumPy, with
weights rounded to short binary fractions, so that they are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Layers = list[tuple[FloatArray, FloatArray]]  # weight (out, in) and bias (out,) of each layer

# -- networks ----------------------------------------------------------------------------------


def default_layers(widths: Sequence[int], *, bias: bool = True) -> Layers:
    """Linear layers in PyTorch's default initialisation, made in order after seed 0.

    Parameters
    ----------
    widths : sequence of int
        Inputs, units of every hidden layer, outputs.
    bias : bool
        Without, the biases are zero, and the weights are those of layers without biases.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modules = [torch.nn.Linear(n, m, bias=bias) for n, m in pairwise(widths)]
    return [
        (
            m.weight.detach().double().numpy().copy(),
            m.bias.detach().double().numpy().copy() if bias else np.zeros(m.out_features),
        )
        for m in modules
    ]


def four_bit_layers(widths: Sequence[int]) -> Layers:
    """`default_layers` rounded to sixteen levels: -8 to 7 times a power of two for each layer.

    The power is the smallest for which no weight or bias is cut off.
    """

    def rounded(values: FloatArray, step: float) -> FloatArray:
        return np.clip(np.round(values / step), -8, 7) * step

    layers = []
    for weight, bias in default_layers(widths):
        largest = max(np.abs(weight).max(), np.abs(bias).max())
        step = 2.0 ** np.ceil(np.log2(largest / 7.5))
        layers.append((rounded(weight, step), rounded(bias, step)))
    return layers


def doubled_layers(widths: Sequence[int]) -> Layers:
    """`default_layers` with every unit there twice; the function is the same.

    What reads a unit reads both copies, with half the weight.
    """
    layers = default_layers(widths)
    doubled = []
    for number, (weight, bias) in enumerate(layers):
        if number > 0:
            weight = np.repeat(weight / 2, 2, axis=1)
        if number + 1 < len(layers):
            weight, bias = np.repeat(weight, 2, axis=0), np.repeat(bias, 2)
        doubled.append((weight, bias))
    return doubled


def concurrent_layers(n_lines: int) -> Layers:
    """One hidden layer of lines through nearly one point, in directions evenly spaced.

    They are meant to meet in (1/3, 1/3) and miss it by about 1e-17, each by the rounding of its
    own bias.
    """
    angle = np.pi * (np.arange(n_lines) + 0.5) / n_lines
    weight = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return [(weight, -(weight.sum(axis=1) / 3)), (np.ones((1, n_lines)), np.zeros(1))]


def deep_layers(depth: int, width: int) -> Layers:
    """Many layers, in which every unit is active on half of [-1, 1]**2.

    Weights are normal, with a variance that keeps the size of values; biases are minus the medians
    at 4096 points. All numbers are multiples of 2**-20.
    """
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4096, 2))
    layers: Layers = []
    for n, m in pairwise([2, *[width] * depth]):
        weight = _short(rng.normal(size=(m, n)) * np.sqrt(2 / n))
        z = x @ weight.T
        bias = -_short(np.median(z, axis=0))
        layers.append((weight, bias))
        x = np.maximum(z + bias, 0)
    layers.append((_short(rng.normal(size=(1, width))), np.zeros(1)))
    return layers


def folded_layers(n_folds: int, widths: Sequence[int], seed: int) -> Layers:
    """A network with many regions for its size, about evenly spread over [-1, 1]**2.

    Each of the first `n_folds` layers turns the square by a random angle and folds both
    coordinates in three, at random places near the thirds, with three units for each. So the
    random layers behind them see the square many times over, and cut every copy. Biases are set
    layer by layer from what 4096 points of the square become: each random unit is active on half
    of them, and those of the first random layer on fractions from 10 to 90 %.

    Parameters
    ----------
    n_folds : int
    widths : sequence of int
        Units of the random layers behind the folds.
    seed : int

    Returns
    -------
    list of (weight, bias)
        With ``n_folds + len(widths) + 1`` layers, two inputs and one output. All numbers are
        multiples of 2**-20, which hides how a machine's libraries round sums.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (4096, 2))
    # The coordinates are these combinations of what the layer before gives.
    read, shift = np.eye(2), np.zeros(2)
    zigzag = np.kron(np.eye(2), [1.0, -2.0, 2.0])
    layers: Layers = []

    def append(weight: FloatArray, bias: FloatArray) -> None:
        nonlocal x
        layers.append((weight, bias))
        x = np.maximum(x @ weight.T + bias, 0)

    for _ in range(n_folds):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        # No point of the turned square is beyond sqrt(2): a unit that bends at -2 never does.
        kinks = np.sqrt(2) / 3 * np.array([-1.0, 1.0]) + rng.uniform(-0.2, 0.2, (2, 2))
        kinks = np.insert(kinks, 0, -2.0, axis=1)
        append(
            _short(np.repeat(turn @ read, 3, axis=0)),
            _short(np.repeat(turn @ shift, 3) - kinks.ravel()),
        )
        folded = x @ zigzag.T
        low, high = folded.min(axis=0), folded.max(axis=0)
        read = zigzag * (2 / (high - low))[:, None]
        shift = -(low + high) / (high - low)
    for number, width in enumerate(widths):
        weight = rng.normal(size=(width, 2 if number == 0 else x.shape[1]))
        level = rng.uniform(0.1, 0.9, width) if number == 0 else np.full(width, 0.5)
        if number == 0:
            weight = weight @ read
        weight = _short(weight / (x @ weight.T).std(axis=0)[:, None])
        z = x @ weight.T
        append(weight, -_short([np.quantile(z[:, i], q) for i, q in enumerate(level)]))
    layers.append((_short(rng.normal(size=(1, x.shape[1]))), np.zeros(1)))
    return layers


def _short(values: Any) -> FloatArray:
    return np.round(np.asarray(values) * 2.0**20) / 2.0**20


# -- networks on domains -----------------------------------------------------------------------


@dataclass(frozen=True)
class Net:
    """A network on a square around the origin.

    Attributes
    ----------
    shape : str
        Its layers in words, as in ``2-20-1``.
    half_width : float
        Of the domain.
    make : callable
        Gives the layers.
    """

    shape: str
    half_width: float
    make: Callable[[], Layers]

    @property
    def domain(self) -> tuple[float, float]:
        return -self.half_width, self.half_width

    def __str__(self) -> str:
        return f"{self.shape}, ±{self.half_width:.3g}"


def default(*hidden: int, half_width: float = 10.0, bias: bool = True) -> Net:
    """A network in default initialisation."""
    widths = [2, *hidden, 1]
    shape = "-".join(map(str, widths)) + ("" if bias else " without biases")
    return Net(shape, half_width, partial(default_layers, widths, bias=bias))


# The number of regions on [-1, 1]**2 is 9,698,314, and 91,461 on a square a tenth as wide.
FOLDED = Net("folded 2-6-6-6-6-6-24-24-24-1", 1.0, partial(folded_layers, 5, (24, 24, 24), 4))


# -- workloads ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workload:
    """Something that is measured.

    Attributes
    ----------
    name : str
        What it is called on the command line and in the JSON file.
    kind : str
        How it is measured: ``partition``, ``count``, ``call``, ``pair``, ``bounds``, ``rival``,
        ``command``, ``import`` or ``compile``.
    what : str
        One line for the reader.
    net : Net or None
    partner : tuple of int
        For a pair, the hidden widths of the ordinary network that `net` is compared with.
    """

    name: str
    kind: str
    what: str
    net: Net | None = None
    partner: tuple[int, ...] = ()

    def quick(self) -> Workload:
        """The same on a domain so small that it takes next to no time."""
        if self.net is None or self.kind not in ("partition", "count", "bounds"):
            return self
        return replace(self, net=replace(self.net, half_width=self.net.half_width / 20))


def _partition(name: str, net: Net) -> Workload:
    return Workload(name, "partition", f"the whole complex of {net}", net)


def _call(name: str, net: Net) -> Workload:
    return Workload(name, "call", f"one call with {net}", net)


def _hard(name: str, net: Net, *partner: int) -> Workload:
    what = f"{net}, beside an ordinary network with as many regions"
    return Workload(f"hard-{name}", "pair", what, net, partner)


def _rival(name: str, net: Net) -> Workload:
    return Workload(f"relucent-{name}", "rival", f"relucent on {net}", net)


_SMALL = replace(FOLDED, half_width=0.1)
_WIDE = default(256, 256, 256, half_width=1.0)
_DEEP = default(64, 64, 64, 64)

WORKLOADS = (
    _partition("256x3", _WIDE),
    _partition("128x4", default(128, 128, 128, 128)),
    _partition("64x4", _DEEP),
    _partition("512x2", default(512, 512)),
    _partition("200x2", default(200, 200)),
    _partition("100x3", default(100, 100, 100, half_width=1.0)),
    _partition("50x3", default(50, 50, 50, half_width=1.0)),
    _partition("folded", FOLDED),
    _partition("folded-part", _SMALL),
    Workload("folded-count", "count", f"count_regions of {FOLDED}", FOLDED),
    Workload("folded-part-count", "count", f"count_regions of {_SMALL}", _SMALL),
    _call("20x1", default(20)),
    _call("5x4", default(5, 5, 5, 5)),
    _hard(
        "bias-free", default(64, 64, 64, half_width=1.0, bias=False), 64, 64, 64
    ),
    _hard(
        "four-bit",
        Net("four-bit 2-32-32-32-1", 1.0, partial(four_bit_layers, [2, 32, 32, 32, 1])),
        32, 32, 32,
    ),
    _hard(
        "doubled",
        Net("doubled 2-64-64-64-1", 1.0, partial(doubled_layers, [2, 64, 64, 64, 1])),
        128, 128, 128,
    ),
    _hard("concurrent", Net("60 lines near one point", 1.0, partial(concurrent_layers, 60)), 60),
    _hard(
        "deep", Net("12 layers of 16 units, each active on half the square", 1.0,
        partial(deep_layers, 12, 16)), 512, 512,
    ),
    Workload("bounds-256x3", "bounds", f"what the proofs cost on {_WIDE}", _WIDE),
    Workload("bounds-64x4", "bounds", f"what the proofs cost on {_DEEP}", _DEEP),
    Workload("command", "command", "`polyregions count` of a saved 2-20-1", default(20)),
    Workload("import", "import", "`import polyregions`"),
    Workload("compile", "compile", "the first partition on a machine", default(20)),
    _rival("20x1", default(20)),
    _rival("5x4", default(5, 5, 5, 5)),
    _rival("10x2", default(10, 10)),
    _rival("50x3", default(50, 50, 50, half_width=1.0)),
    _rival("bias-free", default(8, 8, bias=False)),
)  # fmt: skip

# Numbers of regions, roughly: what `scripts/scaling.py` draws.
SCALES = tuple(round(10 ** (number / 2)) for number in range(4, 15))


def scaled(regions: int) -> Net:
    """`FOLDED` on a square with about so many regions."""
    return replace(FOLDED, half_width=(regions / 10**7) ** 0.5)


SCALING = tuple(
    Workload(f"scaling-{kind}-{regions}", kind, f"{kind} of {scaled(regions)}", scaled(regions))
    for regions in SCALES
    for kind in ("partition", "count")
)


def find(name: str) -> Workload:
    """The workload called `name`.

    Raises
    ------
    KeyError
        If there is none.
    """
    return {workload.name: workload for workload in (*WORKLOADS, *SCALING)}[name]
