"""Builders of the networks that the tests partition."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from polyregions.network import (
    Activation,
    Affine,
    Network,
    Step,
    absolute,
    clamp,
    leaky_relu,
    prelu,
    relu,
)

Layers = list[tuple[np.ndarray, np.ndarray]]
MakeActivation = Callable[[int], Activation]


def mixed_prelu(width: int) -> Activation:
    """A PReLU whose units take turns: plain ReLU, leaky, straight, folding, reflecting."""
    return prelu(np.resize([0.0, 0.25, 1.0, -1.0, -0.5], width))


ACTIVATIONS: dict[str, MakeActivation] = {
    "relu": relu,
    "leaky": lambda width: leaky_relu(width, 0.01),
    "prelu": mixed_prelu,
    "abs": absolute,
    "relu6": lambda width: clamp(width, 0.0, 6.0),
    "hardtanh": lambda width: clamp(width, -1.0, 1.0),
    "floor": lambda width: clamp(width, low=-0.5),
    "ceiling": lambda width: clamp(width, high=0.5),
}


def stack(layers: Sequence[tuple], activation: str | MakeActivation = "relu") -> Network:
    """A network of affine layers with one kind of activation between every two."""
    make = ACTIVATIONS[activation] if isinstance(activation, str) else activation
    steps: list[Step] = []
    for weight, bias in layers:
        if steps:
            steps.append(make(steps[-1].n_outputs))
        steps.append(Affine(np.asarray(weight, float), np.asarray(bias, float)))
    return Network(tuple(steps), steps[0].n_inputs)


def random_layers(widths: Sequence[int], seed: int, kind: str = "normal") -> Layers:
    """Random weights and biases.

    Kinds: "normal" (full float64), "single" (float32), "integer" (-3 to 3), "ternary" (-1 to 1),
    "four_bit" (sixteen levels times a float32 scale), "zero_bias" (float64, no biases).
    """
    rng = np.random.default_rng([seed, *widths])

    def draw(*shape: int) -> np.ndarray:
        if kind == "integer":
            return rng.integers(-3, 4, shape).astype(float)
        if kind == "ternary":
            return rng.integers(-1, 2, shape).astype(float)
        if kind == "four_bit":
            return rng.integers(-8, 8, shape) * float(np.float32(0.07))
        values = rng.normal(size=shape)
        return values.astype(np.float32).astype(float) if kind == "single" else values

    layers = []
    for n_in, n_out in pairwise(widths):
        weight, bias = draw(n_out, n_in), draw(n_out)
        if kind in ("normal", "single", "zero_bias"):
            weight = weight / (np.sqrt(n_in) if kind != "single" else 1.0)
        layers.append((weight, bias * 0.0 if kind == "zero_bias" else bias))
    return layers


def torch_modules(widths: Sequence[int], seed: int = 0, bias: bool = True) -> list:
    """`torch.nn.Linear` layers in default initialisation, built in order after one seed."""
    import torch

    torch.manual_seed(seed)
    return [torch.nn.Linear(n_in, n_out, bias=bias) for n_in, n_out in pairwise(widths)]


def arrays_of(modules: list) -> Layers:
    """The float32 parameters of `torch.nn.Linear` layers, as float64 arrays."""
    return [
        (
            m.weight.detach().double().numpy().copy(),
            np.zeros(m.out_features) if m.bias is None else m.bias.detach().double().numpy().copy(),
        )
        for m in modules
    ]


def torch_layers(widths: Sequence[int], seed: int = 0, bias: bool = True) -> Layers:
    """Weights and biases of `torch_modules`."""
    return arrays_of(torch_modules(widths, seed, bias))


def trained_layers(widths: Sequence[int], seed: int = 0, steps: int = 60) -> Layers:
    """A network fitted for a few Adam steps to a function with a ring-shaped bump."""
    import torch

    modules = torch_modules(widths, seed)
    parts: list = []
    for module in modules:
        parts += [module, torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts[:-1])
    x = 2 * torch.rand(256, widths[0]) - 1
    y = torch.exp(-20 * (x.norm(dim=1, keepdim=True) - 0.5) ** 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
    return arrays_of(modules)


def tangents(n: int) -> Layers:
    """One hidden layer whose n lines touch the parabola ``4 y = x**2``.

    Lines j and k meet in (j + k, j k) and no three in one point, since a point lies on at most
    two tangents of a parabola.
    """
    k = np.arange(1.0, n + 1)
    weight = np.stack([k, -np.ones(n)], axis=1)
    return [(weight, -(k**2)), (np.ones((1, n)), np.zeros(1))]


def pencil(n: int, at: float, *, exact: bool) -> Layers:
    """One hidden layer of n lines meant to meet in the point (at, at).

    With ``exact``, weights are small integers and `at` must be a short dyadic number, so the
    biases are exact and the lines do meet. Otherwise weights are cosines and sines, every bias is
    rounded, and the lines miss each other by about 1e-17.
    """
    if exact:
        p = np.arange(n)
        weight = np.stack([2 * p + 1.0, 2.0 * n - 2 * p], axis=1)
        weight[1::2, 1] *= -1
        bias = -(weight @ np.array([at, at]))
    else:
        angle = np.pi * (np.arange(n) + 0.5) / n
        weight = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        bias = -(weight[:, 0] * at + weight[:, 1] * at)
    return [(weight, bias), (np.ones((1, n)), np.zeros(1))]


def sawtooth(depth: int) -> Layers:
    """Layers that fold [0, 1] `depth` times; the output zigzags `depth` times as a function of x.

    A hidden layer turns s into max(s, 0) and max(s - 1/2, 0), of which the next makes the tent
    ``2 max(s, 0) - 4 max(s - 1/2, 0)``.
    """
    bias = np.array([0.0, -0.5])
    layers = [(np.array([[1.0, 0.0], [1.0, 0.0]]), bias)]
    layers += [(np.array([[2.0, -4.0], [2.0, -4.0]]), bias)] * (depth - 1)
    return [*layers, (np.array([[2.0, -4.0]]), np.zeros(1))]


FOLDING_LINES = ((1.0, 3.0, -2.0), (-3.0, -2.0, 3.0), (-2.0, 4.0, -2.0), (-5.0, 0.0, 4.0))


def folding(n_middle: int, output: Sequence[float] = (1.0, 10.0, 100.0, 1000.0)) -> Layers:
    """Layers that fold [-1, 1]**2 onto [0, 1]**2 again and again, then draw four lines there."""
    first = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    middle = np.array([[2.0, 2, 0, 0], [-2, -2, 0, 0], [0, 0, 2, 2], [0, 0, -2, -2]])
    last = np.array([[a, a, b, b] for a, b, _ in FOLDING_LINES])
    return [
        (first, np.zeros(4)),
        *[(middle, np.array([-1.0, 1, -1, 1]))] * n_middle,
        (last, np.array([c for _, _, c in FOLDING_LINES])),
        (np.array([output]), np.zeros(1)),
    ]


def real_network(name: str) -> Path:
    """A file of a real network, trained by others; skips the test where there is none.

    They lie in the folder that the environment variable POLYREGIONS_DATA names, or else in
    ``../shared/data`` beside the checkout.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("POLYREGIONS_DATA") or beside)
    path = folder / name
    if not path.is_file():
        pytest.skip(f"there is no {name} in {folder}; POLYREGIONS_DATA says where to look")
    return path
