"""Convolutions, held as their kernel and applied as convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from polyregions.network.affine import AffineStep, Rows
from polyregions.network.values import FloatArray, IntArray, exact_float64


@dataclass(frozen=True, eq=False)
class Convolution(AffineStep):
    """A convolution (cross-correlation) of channels over any number of axes, padded with zeros.

    Values are in C order of (channel, *position).

    Attributes
    ----------
    weight : (C_out, C_in // groups, *kernel) float64
    bias : (C_out,) float64
    shape : tuple of int
        Lengths of the input's axes, without channels.
    stride, dilation : tuple of int
        For each axis.
    padding : tuple of (before, after)
        Number of zeros put before and after each axis; negative crops.
    groups : int
        Channels are cut into so many runs, each of which goes to its own run of outputs.
    name : str
    """

    weight: FloatArray
    bias: FloatArray
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1
    name: str = "convolution"

    def __post_init__(self) -> None:
        weight = exact_float64(self.weight, f"the weight of {self.name}")
        bias = exact_float64(self.bias, f"the bias of {self.name}")
        n_axes = len(self.shape)
        if weight.ndim != n_axes + 2 or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{self.name} over {n_axes} axes needs a weight (out, in, *kernel) and a bias "
                f"(out,), got shapes {weight.shape} and {bias.shape}"
            )
        if not len(self.stride) == len(self.padding) == len(self.dilation) == n_axes:
            raise ValueError(f"{self.name} needs a stride, padding and dilation for each axis")
        if min((*self.stride, *self.dilation, self.groups), default=1) < 1:
            raise ValueError(f"{self.name} has a stride, dilation or number of groups below 1")
        if not prod(weight.shape) or len(bias) % self.groups:
            raise ValueError(f"{self.name} cannot cut {len(bias)} outputs into {self.groups} runs")
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)
        if min(self.out_shape, default=1) < 1:
            raise ValueError(f"the kernel of {self.name} does not fit in axes of {self.shape}")

    @cached_property
    def out_shape(self) -> tuple[int, ...]:
        """Lengths of the output's axes, without channels."""
        return tuple(
            (n + before + after - d * (k - 1) - 1) // s + 1
            for n, k, s, d, (before, after) in zip(
                self.shape, self.weight.shape[2:], self.stride, self.dilation, self.padding,
                strict=True,
            )
        )  # fmt: skip

    @property
    def n_channels(self) -> int:
        """C_in."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def n_inputs(self) -> int:
        return self.n_channels * prod(self.shape)

    @property
    def n_outputs(self) -> int:
        return len(self.bias) * prod(self.out_shape)

    @cached_property
    def constant(self) -> FloatArray:
        return exact_float64(np.repeat(self.bias, prod(self.out_shape)), "the bias")

    @property
    def entries(self) -> FloatArray:
        return self.weight

    @property
    def n_roundings(self) -> int:
        return prod(self.weight.shape[1:]) + 2

    @cached_property
    def _by_tap(self) -> FloatArray:
        """(taps, groups, C_out // groups, C_in // groups) weights."""
        g, out = self.groups, len(self.bias) // self.groups
        taps = self.weight.reshape(g, out, self.weight.shape[1], -1)
        return np.ascontiguousarray(np.moveaxis(taps, -1, 0))

    def _taps(self) -> Iterator[tuple[int, Any, Any]]:
        """For each tap of the kernel, where the outputs are that take something by it, and what."""
        axes: list[list[tuple[slice, slice]]] = []
        for n, m, k, s, d, (before, _) in zip(
            self.shape, self.out_shape, self.weight.shape[2:], self.stride, self.dilation,
            self.padding, strict=True,
        ):  # fmt: skip
            spans = []
            for tap in range(k):
                shift = tap * d - before  # output i takes input i s + shift
                first = max(0, -(shift // s))
                end = min(m, (n - 1 - shift) // s + 1)
                at = first * s + shift
                spans.append((slice(first, end), slice(at, at + (end - first - 1) * s + 1, s)))
            axes.append(spans)
        for number, chosen in enumerate(product(*axes)):
            if all(outputs.start < outputs.stop for outputs, _ in chosen):
                yield number, (..., *(o for o, _ in chosen)), (..., *(i for _, i in chosen))

    def apply(self, x: FloatArray) -> FloatArray:
        return self._forward(x, self._by_tap)

    def magnitude(self, x: FloatArray) -> FloatArray:
        return self._forward(x, np.abs(self._by_tap))

    def part(self, x: FloatArray, sign: int) -> FloatArray:
        return self._forward(x, np.maximum(sign * self._by_tap, 0.0))

    def _forward(self, x: FloatArray, weight: FloatArray) -> FloatArray:
        _, g, out, into = weight.shape
        source = x.reshape(prod(x.shape[:-1]), g, into, *self.shape)
        total = np.zeros((len(source), g, out, *self.out_shape))
        for tap, outputs, inputs in self._taps():
            taken = source[inputs]
            flat = taken.reshape(*taken.shape[:3], prod(taken.shape[3:]))
            total[outputs] += (weight[tap] @ flat).reshape(len(source), g, out, *taken.shape[3:])
        return total.reshape(*x.shape[:-1], self.n_outputs)

    def adjoint(self, g: FloatArray) -> FloatArray:
        return self._backward(g, self._by_tap)

    def adjoint_magnitude(self, g: FloatArray) -> FloatArray:
        return self._backward(g, np.abs(self._by_tap))

    def _backward(self, gradient: FloatArray, weight: FloatArray) -> FloatArray:
        _, g, out, into = weight.shape
        source = gradient.reshape(prod(gradient.shape[:-1]), g, out, *self.out_shape)
        total = np.zeros((len(source), g, into, *self.shape))
        for tap, outputs, inputs in self._taps():
            taken = source[outputs]
            flat = taken.reshape(*taken.shape[:3], prod(taken.shape[3:]))
            total[inputs] += (np.swapaxes(weight[tap], -1, -2) @ flat).reshape(
                len(source), g, into, *taken.shape[3:]
            )
        return total.reshape(*gradient.shape[:-1], self.n_inputs)

    def rows(self, outputs: IntArray) -> Rows:
        n_axes, kernel = len(self.shape), self.weight.shape[2:]
        channel, *position = np.unravel_index(outputs, (len(self.bias), *self.out_shape))
        run = channel // (len(self.bias) // self.groups)
        into = self.weight.shape[1]
        taken_channel = run[:, None] * into + np.arange(into)
        columns = taken_channel.reshape(len(outputs), into, *[1] * n_axes)
        inside = np.ones(columns.shape, dtype=np.bool_)
        for axis, at in enumerate(position):
            k = kernel[axis]
            shift = np.arange(k) * self.dilation[axis] - self.padding[axis][0]
            where = at[:, None] * self.stride[axis] + shift
            where = where.reshape(len(outputs), 1, *(k if a == axis else 1 for a in range(n_axes)))
            inside = inside & (where >= 0) & (where < self.shape[axis])
            columns = columns * self.shape[axis] + where
        values = self.weight[channel]
        some = np.broadcast_to(inside, values.shape) & (values != 0)
        counts = some.sum(axis=tuple(range(1, some.ndim)))
        columns = np.broadcast_to(columns, values.shape)[some]
        return Rows(np.concatenate([[0], np.cumsum(counts)]), columns, values[some])
