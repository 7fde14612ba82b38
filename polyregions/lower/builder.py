"""Build a network step by step from operations on values with shapes.

What reads a model (torch, ONNX, a text format) tells a `Builder` what it finds, operation by
operation. Nothing here knows any of them. No coefficient is rounded, but for the reciprocals of
counts (of average pools and means), which `Builder.notes` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from polyregions.errors import UnsupportedLayerError
from polyregions.lower.windows import (
    adaptive,
    combined,
    counted,
    first_members,
    pooled_length,
    regular,
)
from polyregions.network import (
    Activation,
    Affine,
    Convolution,
    FloatArray,
    Gather,
    IntArray,
    Maximum,
    Network,
    Scale,
    Step,
    Sum,
    exact_float64,
)

Pairs: TypeAlias = Sequence[tuple[int, int]]
Lengths: TypeAlias = Sequence[int]

# The piece of a unit is a byte.
MOST_PIECES = 256


@dataclass(frozen=True)
class Signal:
    """A value of the network being built, in some shape.

    Attributes
    ----------
    value : int
        0 is the input, i + 1 what step i gives.
    shape : tuple of int
        Without the axis of a batch; entries are in C order.
    """

    value: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def places(self) -> IntArray:
        """The number of each entry, in the signal's shape: what `Builder.gather` takes."""
        return np.arange(self.size).reshape(self.shape)


class Builder:
    """Takes down the steps of a network.

    Parameters
    ----------
    n_inputs : int

    Attributes
    ----------
    notes : list of str
        What had to be rounded.
    kept : dict of int to int
        After `finish`: which values the network has, and their numbers there.

    Examples
    --------
    >>> import numpy as np
    >>> from polyregions.lower.builder import Builder
    >>> from polyregions.network import relu
    >>> build = Builder(2)
    >>> x = build.input((2,))
    >>> h = build.activation(relu, build.linear(x, np.eye(2), None))
    >>> build.finish(build.add([x, h]))(np.array([[1.0, -2.0]]))
    array([[ 2., -2.]])
    """

    def __init__(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.notes: list[str] = []
        self.kept: dict[int, int] = {}
        self._steps: list[Step] = []
        self._sources: list[tuple[int, ...]] = []

    def input(self, shape: Lengths) -> Signal:
        """The input, in some shape."""
        return self._shaped(0, self.n_inputs, shape)

    def step(self, step: Step, *signals: Signal, shape: Lengths | None = None) -> Signal:
        """Add a step that takes some values, one after the other.

        Parameters
        ----------
        shape : sequence of int, optional
            Of the result; unless told, it has one axis.
        """
        width = sum(s.size for s in signals)
        if step.n_inputs != width:
            raise ValueError(
                f"shapes do not chain: {step.name} takes {step.n_inputs} values, but what comes "
                f"before it gives {width}"
            )
        self._steps.append(step)
        self._sources.append(tuple(s.value for s in signals))
        n = step.n_outputs
        return self._shaped(len(self._steps), n, (n,) if shape is None else shape)

    def _shaped(self, value: int, n: int, shape: Lengths) -> Signal:
        if prod(shape) != n:
            raise ValueError(f"{n} values do not fill the shape {tuple(shape)}")
        return Signal(value, tuple(map(int, shape)))

    def reshape(self, x: Signal, shape: Lengths) -> Signal:
        """The same entries in another shape."""
        return self._shaped(x.value, x.size, shape)

    def gather(
        self,
        signals: Signal | Sequence[Signal],
        index: ArrayLike,
        *,
        fill: ArrayLike = 0.0,
        name: str = "gather",
    ) -> Signal:
        """Pick entries of some values: reorder, repeat, leave out, pad.

        Parameters
        ----------
        signals
            The entries of all of them are numbered through.
        index : array of int, of any shape
            Which entry stands where; -1 for a constant. Its shape is that of the result.
        fill : array_like
            The constants; broadcast against `index`, and of no meaning where that is not -1.
        """
        taken = [signals] if isinstance(signals, Signal) else list(signals)
        index = np.asarray(index)
        places, constants = index.ravel(), np.broadcast_to(fill, index.shape).ravel()
        values, position, known = self._origin(taken)
        inside = places >= 0
        source = np.where(inside, values[places], -1)
        constants = np.where(inside, known[places], constants)
        position = position[places]
        used = np.unique(source[source >= 0]).tolist() or [taken[0].value]
        begin = dict(zip(used, np.cumsum([0, *map(self._width, used[:-1])]), strict=True))
        flat = np.full(len(places), -1)
        for value in used:
            flat[source == value] = position[source == value] + begin[value]
        width = sum(map(self._width, used))
        if len(used) == 1 and len(flat) == width and (flat == np.arange(width)).all():
            return self._shaped(used[0], width, index.shape)
        constants = np.where(flat < 0, constants, 0.0)
        step = Gather(flat, width, name, constants)
        return self.step(step, *(Signal(v, (self._width(v),)) for v in used), shape=index.shape)

    def _width(self, value: int) -> int:
        return self._steps[value - 1].n_outputs if value else self.n_inputs

    def _origin(self, signals: Sequence[Signal]) -> tuple[IntArray, IntArray, FloatArray]:
        """For each entry, the value and the place that it comes from, or -1 and its constant."""
        parts = []
        for signal in signals:
            value, n = signal.value, signal.size
            step = self._steps[value - 1] if value else None
            if not isinstance(step, Gather):
                parts.append((np.full(n, value), np.arange(n), np.zeros(n)))
                continue
            sources = self._sources[value - 1]
            widths = [self._width(v) for v in sources]
            of_value = np.repeat(sources, widths)
            within = np.concatenate([np.arange(w) for w in widths])
            taken = step.index >= 0
            origin = np.where(taken, of_value[step.index], -1)
            parts.append((origin, np.where(taken, within[step.index], -1), step.fill))
        values, places, fill = (np.concatenate(part) for part in zip(*parts, strict=True))
        return values, places, fill

    def constant(self, values: ArrayLike, *, name: str = "constant") -> Signal:
        """A value that does not depend on the input, in the shape of an array."""
        array = exact_float64(values, name)
        nothing = np.full(array.shape, -1)
        return self.gather(self.input((self.n_inputs,)), nothing, fill=array, name=name)

    def expand(self, x: Signal, shape: Lengths, *, name: str = "expand") -> Signal:
        """Repeat entries along axes, by the rules of broadcasting."""
        try:
            index = np.broadcast_to(x.places, tuple(shape))
        except ValueError:
            raise ValueError(f"{name}: {x.shape} does not broadcast to {tuple(shape)}") from None
        return self.gather(x, index, name=name)

    def add(
        self,
        signals: Sequence[Signal],
        coefficients: ArrayLike | None = None,
        *,
        name: str = "sum",
    ) -> Signal:
        """Add up values, each times a number (1 unless told); shapes are broadcast."""
        factors = np.ones(len(signals)) if coefficients is None else coefficients
        shape = np.broadcast_shapes(*(s.shape for s in signals))
        terms = [self.expand(s, shape, name=name) for s in signals]
        return self.step(Sum(np.asarray(factors), prod(shape), name), *terms, shape=shape)

    def scale(
        self,
        x: Signal,
        factor: ArrayLike = 1.0,
        term: ArrayLike = 0.0,
        *,
        term_magnitude: ArrayLike | None = None,
        name: str = "scale",
    ) -> Signal:
        """``factor * x + term``, entry by entry; shapes are broadcast, that of `x` as well.

        Parameters
        ----------
        term_magnitude : array_like, optional
            What the absolute values add up to of which `term` was made; see `Scale`.
        """
        factor, term = (exact_float64(v, f"a constant of {name}") for v in (factor, term))
        shape = np.broadcast_shapes(x.shape, factor.shape, term.shape)
        x = self.expand(x, shape, name=name)
        if (factor == 1).all() and (term == 0).all():
            return x
        magnitude = None if term_magnitude is None else _filled(term_magnitude, shape)
        step = Scale(_filled(factor, shape), _filled(term, shape), name, magnitude)
        return self.step(step, x, shape=shape)

    def plus(self, x: Signal, term: ArrayLike, *, name: str = "sum") -> Signal:
        """``x + term``, entry by entry; shapes are broadcast, that of `x` as well.

        After a product without a bias it makes one step of both, since that is how some formats
        write a layer with a bias.
        """
        term = exact_float64(term, f"a constant of {name}")
        shape = np.broadcast_shapes(x.shape, term.shape)
        step = self._steps[x.value - 1] if x.value else None
        if shape != x.shape or not isinstance(step, Affine) or step.bias.any():
            return self.scale(x, 1.0, term, name=name)
        sources = (Signal(v, (self._width(v),)) for v in self._sources[x.value - 1])
        return self.step(Affine(step.weight, _filled(term, shape), name), *sources, shape=shape)

    def linear(
        self, x: Signal, weight: ArrayLike, bias: ArrayLike | None = None, *, name: str = "linear"
    ) -> Signal:
        """A matrix (out, in) on the last axis, and a bias (out,)."""
        weight = np.asarray(weight)
        if weight.ndim != 2 or not x.shape or x.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"shapes do not chain: {name} has a weight of shape {weight.shape}, but what "
                f"comes before it has shape {x.shape}"
            )
        out, width = weight.shape
        rows = x.places.reshape(1, -1, width).swapaxes(1, 2)
        y = self.contract(self.gather(x, rows), weight[None], bias, name=name)
        places = y.places.reshape(out, -1).T
        return self.gather(y, places.reshape(*x.shape[:-1], out))

    def contract(
        self, x: Signal, weight: ArrayLike, bias: ArrayLike | None = None, *, name: str = "product"
    ) -> Signal:
        """Products of matrices with constant left factors: (G, M, K) by (G, K, P) to (G, M, P).

        Parameters
        ----------
        x : Signal
            Of shape (G, K, P).
        weight : (G, M, K) array_like
        bias : array_like, optional
            With G * M numbers.
        """
        weight = exact_float64(weight, f"the weight of {name}")
        groups, out, width = weight.shape
        n_columns = x.shape[2]
        bias = np.zeros(groups * out) if bias is None else np.ravel(np.asarray(bias))
        step: Step
        if groups == n_columns == 1:
            step = Affine(weight[0], bias, name)
        else:
            kernel = weight.reshape(groups * out, width, 1)
            step = Convolution(kernel, bias, (n_columns,), (1,), ((0, 0),), (1,), groups, name)
        return self.step(step, x, shape=(groups, out, n_columns))

    def convolution(
        self,
        x: Signal,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: Lengths | None = None,
        padding: Pairs | None = None,
        dilation: Lengths | None = None,
        groups: int = 1,
        name: str = "convolution",
    ) -> Signal:
        """A convolution of `x`, (C_in, *lengths), padded with zeros.

        Parameters
        ----------
        weight : (C_out, C_in // groups, *kernel) array_like
        bias : (C_out,) array_like, optional
        stride, dilation : sequence of int, optional
            For each axis; 1 unless told.
        padding : sequence of (before, after), optional
            For each axis; 0 unless told.
        """
        weight = exact_float64(weight, f"the weight of {name}")
        channels, *lengths = x.shape
        n_axes = len(lengths)
        if weight.ndim != n_axes + 2 or weight.shape[1] * groups != channels:
            raise ValueError(
                f"shapes do not chain: {name} has a weight of shape {weight.shape} and {groups} "
                f"groups, but what comes before it has shape {x.shape}"
            )
        step = Convolution(
            weight,
            np.zeros(len(weight)) if bias is None else np.asarray(bias),
            tuple(lengths),
            tuple(stride or (1,) * n_axes),
            tuple((before, after) for before, after in padding or ((0, 0),) * n_axes),
            tuple(dilation or (1,) * n_axes),
            groups,
            name,
        )
        return self.step(step, x, shape=(len(weight), *step.out_shape))

    def transposed_convolution(
        self,
        x: Signal,
        weight: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: Lengths | None = None,
        padding: Pairs | None = None,
        output_padding: Lengths | None = None,
        dilation: Lengths | None = None,
        groups: int = 1,
        name: str = "transposed convolution",
    ) -> Signal:
        """The adjoint of a convolution: of `x`, spread out by the stride, with the turned kernel.

        Parameters
        ----------
        weight : (C_in, C_out // groups, *kernel) array_like
        bias, stride, padding, dilation
            As for `convolution`, of which this is the adjoint.
        output_padding : sequence of int, optional
            How much longer each axis of the result gets at its end.
        """
        weight = exact_float64(weight, f"the weight of {name}")
        channels, *lengths = x.shape
        axes = range(len(lengths))
        kernel = weight.shape[2:]
        stride, dilation, longer = (
            tuple(given or (usual,) * len(lengths))
            for given, usual in ((stride, 1), (dilation, 1), (output_padding, 0))
        )
        padding = padding or ((0, 0),) * len(lengths)
        spread = [(n - 1) * s + 1 for n, s in zip(lengths, stride, strict=True)]
        index = np.full((channels, *spread), -1)
        index[(slice(None), *(slice(None, None, s) for s in stride))] = x.places
        reach = [dilation[i] * (kernel[i] - 1) for i in axes]
        around = [(reach[i] - padding[i][0], reach[i] - padding[i][1] + longer[i]) for i in axes]
        out = weight.shape[1]
        turned = weight.reshape(groups, -1, out, *kernel).swapaxes(1, 2)
        turned = np.flip(turned, tuple(range(3, turned.ndim)))
        return self.convolution(
            self.gather(x, index, name=name),
            turned.reshape(groups * out, -1, *kernel),
            bias,
            padding=around,
            dilation=dilation,
            groups=groups,
            name=name,
        )

    def average_pool(
        self,
        x: Signal,
        kernel: Lengths,
        *,
        stride: Lengths | None = None,
        padding: Pairs | None = None,
        dilation: Lengths | None = None,
        ceil_mode: bool = False,
        count_padding: bool = True,
        divisor: int | None = None,
        name: str = "average pool",
    ) -> Signal:
        """Means over windows of `x`, (C, *lengths): exact sums, then rounded reciprocals.

        Parameters
        ----------
        kernel, stride, dilation : sequence of int
            For each axis; the stride is that of the kernel unless told.
        padding : sequence of (before, after), optional
            For each axis.
        ceil_mode : bool
            Whether a last window may reach over the end.
        count_padding : bool
            Whether padding counts as entries that are 0.
        divisor : int, optional
            Divide by this, whatever the count.
        """
        lengths, axes, chosen = self._windows(x, kernel, stride, padding, dilation, ceil_mode)
        stride, pads, dilation = chosen
        channels = x.shape[0]
        after = [
            (len(axis) - 1) * s + d * (k - 1) + 1 - n - before
            for axis, n, k, s, d, (before, _) in zip(
                axes, lengths, kernel, stride, dilation, pads, strict=True
            )
        ]
        total = self.convolution(
            x,
            np.ones((channels, 1, *kernel)),
            stride=stride,
            padding=[(before, end) for (before, _), end in zip(pads, after, strict=True)],
            dilation=dilation,
            groups=channels,
            name=name,
        )
        spans = [
            (-before, n + end) if count_padding else (0, n)
            for n, (before, end) in zip(lengths, pads, strict=True)
        ]
        count = counted(axes, spans)
        count = count if divisor is None else np.full_like(count, divisor)
        return self._divided(total, count, name)

    def adaptive_average_pool(
        self, x: Signal, out: Lengths, *, name: str = "adaptive average pool"
    ) -> Signal:
        """Means over `out` windows along each axis of `x`, (C, *lengths), that cover it evenly."""
        channels, *lengths = x.shape
        if all(n % m == 0 for n, m in zip(lengths, out, strict=True)):
            kernel = [n // m for n, m in zip(lengths, out, strict=True)]
            return self.average_pool(x, kernel, name=name)
        axes = [adaptive(n, m) for n, m in zip(lengths, out, strict=True)]
        places = combined(axes, lengths).T
        n = prod(lengths)
        index = np.where(
            places[:, None] >= 0, places[:, None] + n * np.arange(channels)[:, None], -1
        )
        blocks = self.gather(x, index, name=name)
        total = self.step(
            Sum(np.ones(len(places)), channels * places.shape[1], name),
            blocks,
            shape=(channels, *out),
        )
        return self._divided(total, (places >= 0).sum(axis=0), name)

    def _divided(self, total: Signal, count: IntArray, name: str) -> Signal:
        """Divide every channel by one number for each place."""
        if not count.all():
            raise ValueError(f"{name} has a window without any entry, whose mean is 0 / 0")
        if (count & (count - 1)).any():
            self.notes.append(f"{name}: the reciprocal of its count is rounded to float64")
        return self.scale(total, 1.0 / count.reshape(total.shape[1:]), name=name)

    def maximum_pool(
        self,
        x: Signal,
        kernel: Lengths,
        *,
        stride: Lengths | None = None,
        padding: Pairs | None = None,
        dilation: Lengths | None = None,
        ceil_mode: bool = False,
        name: str = "max pool",
    ) -> Signal:
        """Maxima over windows of `x`, (C, *lengths); padding is never the largest."""
        lengths, axes, _ = self._windows(x, kernel, stride, padding, dilation, ceil_mode)
        return self._pooled(x, axes, lengths, name)

    def adaptive_maximum_pool(
        self, x: Signal, out: Lengths, *, name: str = "adaptive max pool"
    ) -> Signal:
        """Maxima over `out` windows along each axis of `x`, (C, *lengths)."""
        lengths = x.shape[1:]
        axes = [adaptive(n, m) for n, m in zip(lengths, out, strict=True)]
        return self._pooled(x, axes, lengths, name)

    def _pooled(self, x: Signal, axes: Sequence[IntArray], lengths: Lengths, name: str) -> Signal:
        places = first_members(combined(axes, lengths))
        shift = np.arange(x.shape[0])[:, None, None] * prod(lengths)
        members = np.where(places >= 0, places + shift, -1)
        return self.maximum(
            x, members.reshape(-1, places.shape[1]), (x.shape[0], *map(len, axes)), name=name
        )

    def _windows(
        self,
        x: Signal,
        kernel: Lengths,
        stride: Lengths | None,
        padding: Pairs | None,
        dilation: Lengths | None,
        ceil_mode: bool,
    ) -> tuple[Lengths, list[IntArray], tuple[Lengths, Pairs, Lengths]]:
        """The axes' lengths, the windows along each, and the numbers with the usual put in."""
        lengths = x.shape[1:]
        stride = stride or kernel
        padding = padding or ((0, 0),) * len(lengths)
        dilation = dilation or (1,) * len(lengths)
        axes = [
            regular(n, k, s, pad[0], d, pooled_length(n, k, s, pad, d, ceil_mode))
            for n, k, s, pad, d in zip(lengths, kernel, stride, padding, dilation, strict=True)
        ]
        return lengths, axes, (stride, padding, dilation)

    def sum(
        self, x: Signal, axes: Lengths, *, keep_axes: bool = False, name: str = "sum"
    ) -> Signal:
        """Add up along some axes."""
        blocks, shape = _reduced(x, axes, keep_axes)
        k, n = blocks.shape
        taken = self.gather(x, blocks, name=name)
        if n == 1:
            return self.step(Affine(np.ones((1, k)), np.zeros(1), name), taken, shape=shape)
        return self.step(Sum(np.ones(k), n, name), taken, shape=shape)

    def mean(
        self, x: Signal, axes: Lengths, *, keep_axes: bool = False, name: str = "mean"
    ) -> Signal:
        """The mean along some axes: an exact sum, then a rounded reciprocal."""
        total = self.sum(x, axes, keep_axes=keep_axes, name=name)
        count = x.size // total.size
        if count & (count - 1):
            self.notes.append(f"{name}: the reciprocal of its count is rounded to float64")
        return self.scale(total, 1.0 / count, name=name)

    def largest(
        self, x: Signal, axes: Lengths, *, keep_axes: bool = False, name: str = "max"
    ) -> Signal:
        """The largest entry along some axes; the pieces are their places in C order."""
        blocks, shape = _reduced(x, axes, keep_axes)
        return self.maximum(x, blocks.T, shape, name=name)

    def maximum(
        self,
        signals: Signal | Sequence[Signal],
        members: ArrayLike,
        shape: Lengths,
        *,
        name: str = "max",
    ) -> Signal:
        """Units that take the largest of several entries.

        Parameters
        ----------
        signals
            The entries of all of them are numbered through.
        members : (n, K) array of int
            What each unit chooses from; -1 at the end of a row that has fewer.
        """
        taken = [signals] if isinstance(signals, Signal) else list(signals)
        members = np.asarray(members)
        if members.shape[1] > MOST_PIECES:
            raise UnsupportedLayerError(
                f"{name} takes the largest of {members.shape[1]} values; a unit can have "
                f"{MOST_PIECES} pieces at most. Take the largest in two steps, for example along "
                "one axis and then along the other"
            )
        if members.shape[1] == 1:
            return self.gather(taken, members.reshape(tuple(shape)), name=name)
        step = Maximum(members, sum(s.size for s in taken), name)
        return self.step(step, *taken, shape=shape)

    def elementwise_maximum(self, signals: Sequence[Signal], *, name: str = "max") -> Signal:
        """The largest of several values, entry by entry; shapes are broadcast."""
        shape = np.broadcast_shapes(*(s.shape for s in signals))
        n = prod(shape)
        taken = [self.expand(s, shape, name=name) for s in signals]
        members = np.arange(n)[:, None] + n * np.arange(len(taken))
        return self.maximum(taken, members, shape, name=name)

    def activation(
        self, make: Callable[..., Activation], x: Signal, *args: Any, name: str | None = None
    ) -> Signal:
        """Units of one variable; `make` builds them from how many there are, `args` and a name."""
        named = {} if name is None else {"name": name}
        return self.step(make(x.size, *args, **named), x, shape=x.shape)

    def scaled_from(self, x: Signal) -> dict[int, list[Scale]]:
        """The values that `x` comes from by scales alone, nearest first, and those scales."""
        value, scales = x.value, list[Scale]()
        found = {value: scales}
        while value and isinstance(step := self._steps[value - 1], Scale):
            scales = [step, *scales]
            (value,) = self._sources[value - 1]
            found[value] = scales
        return found

    def made(self, value: int) -> tuple[Step, tuple[int, ...]]:
        """The step that gives a value, and the values that it takes; not of the input."""
        return self._steps[value - 1], self._sources[value - 1]

    def finish(self, *outputs: Signal) -> Network:
        """The network of one or several outputs, joined in order, without steps that they need not.

        Raises
        ------
        ValueError
            If there are no outputs.
        """
        if not sum(s.size for s in outputs):
            raise ValueError("the model has no outputs, so nothing is left of the input")
        whole = outputs[0]
        if len(outputs) > 1:
            whole = self.gather(outputs, np.arange(sum(s.size for s in outputs)), name="output")
        needed = {whole.value}
        for value in range(whole.value, 0, -1):
            if value in needed:
                needed.update(self._sources[value - 1])
        kept = sorted(needed | {0})
        number = self.kept = {value: i for i, value in enumerate(kept)}
        return Network(
            tuple(self._steps[value - 1] for value in kept[1:]),
            self.n_inputs,
            tuple(dict.fromkeys(self.notes)),
            tuple(tuple(number[v] for v in self._sources[value - 1]) for value in kept[1:]),
        )


def _filled(values: ArrayLike, shape: Lengths) -> FloatArray:
    return np.ascontiguousarray(np.broadcast_to(values, tuple(shape)), dtype=np.float64).ravel()


def _reduced(x: Signal, axes: Lengths, keep_axes: bool) -> tuple[IntArray, tuple[int, ...]]:
    """(K, n) places of the K entries that go into each of n, and the shape of what comes out."""
    gone = {axis % max(len(x.shape), 1) for axis in axes} if x.shape else set()
    moved = np.moveaxis(x.places, sorted(gone), range(len(gone)))
    n_reduced = prod(x.shape[a] for a in gone)
    shape = tuple(
        1 if a in gone else n for a, n in enumerate(x.shape) if keep_axes or a not in gone
    )
    return moved.reshape(n_reduced, -1), shape
