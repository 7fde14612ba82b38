"""The lowered program: steps, and which values each of them takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from polyregions.network.activation import Activation
from polyregions.network.affine import AffineStep
from polyregions.network.maximum import Maximum
from polyregions.network.values import FloatArray, Frozen, IntArray

Units: TypeAlias = Activation | Maximum
Step: TypeAlias = AffineStep | Units
T = TypeVar("T")


def joined(taken: Sequence[FloatArray]) -> FloatArray:
    """Several values as one: what `Network.propagate` wants for values along the last axis."""
    return np.concatenate(taken, axis=-1)


def joined_pairs(
    taken: Sequence[tuple[FloatArray, FloatArray]],
) -> tuple[FloatArray, FloatArray]:
    """The same for two arrays that go through the steps together."""
    return joined([first for first, _ in taken]), joined([second for _, second in taken])


def parted(whole: FloatArray, widths: Sequence[int]) -> list[FloatArray]:
    """The parts of what was joined: for `Network.backpropagate`."""
    return np.split(whole, np.cumsum(widths)[:-1], axis=-1)


@dataclass(frozen=True, eq=False)
class Network(Frozen):
    """A lowered network: steps, each of which works on the values of some before it.

    Value 0 is the input, and value ``i + 1`` is what step i gives. The last step's value is the
    output.

    Attributes
    ----------
    steps : tuple of AffineStep, Activation and Maximum
    n_inputs : int
        Dimension of the input.
    notes : tuple of str
        What lowering had to round or leave out, if anything.
    sources : tuple of tuple of int
        For each step the values that it takes, one after the other as one long vector. Unless
        told, the steps are a chain: step i takes value i.

    Raises
    ------
    ValueError
        If shapes do not fit together, a step takes a value that comes after it, a value but the
        last is not taken by any step, or there are no outputs.
    """

    steps: tuple[Step, ...]
    n_inputs: int
    notes: tuple[str, ...] = field(default=())
    sources: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.sources is None:
            object.__setattr__(self, "sources", tuple((i,) for i in range(len(self.steps))))
        if len(self._sources) != len(self.steps):
            raise ValueError(f"{len(self.steps)} steps but {len(self._sources)} lists of sources")
        widths = [self.n_inputs]
        for i, (step, sources) in enumerate(zip(self.steps, self._sources, strict=True)):
            if not sources or not 0 <= min(sources) <= max(sources) <= i:
                raise ValueError(f"{step.name} is step {i}, which cannot take values {sources}")
            width = sum(widths[value] for value in sources)
            if step.n_inputs != width:
                raise ValueError(
                    f"shapes do not chain: {step.name} takes {step.n_inputs} values, "
                    f"but what comes before it gives {width}"
                )
            widths.append(step.n_outputs)
        taken = {value for sources in self._sources for value in sources}
        for i, step in enumerate(self.steps[:-1]):
            if i + 1 not in taken:
                raise ValueError(f"{step.name} is step {i}, but no step takes what it gives")
        if widths[-1] == 0:
            name = self.steps[-1].name if self.steps else "the network"
            raise ValueError(f"{name} has no outputs, so nothing is left of the input")

    @property
    def _sources(self) -> tuple[tuple[int, ...], ...]:
        assert self.sources is not None
        return self.sources

    @cached_property
    def is_chain(self) -> bool:
        """Whether every step takes the value of the one before it, and no other."""
        return all(sources == (i,) for i, sources in enumerate(self._sources))

    @property
    def n_outputs(self) -> int:
        """M, the number of outputs."""
        return self.steps[-1].n_outputs if self.steps else self.n_inputs

    @property
    def activations(self) -> tuple[Units, ...]:
        """The steps with units, in order: the activation layers."""
        return tuple(step for step in self.steps if isinstance(step, Units))

    @cached_property
    def unit_layer(self) -> IntArray:
        """(H,) int32: the activation layer, from 0, that each unit belongs to."""
        widths = [layer.n_outputs for layer in self.activations]
        layer = np.repeat(np.arange(len(widths), dtype=np.int32), widths)
        layer.flags.writeable = False
        return layer

    @property
    def n_units(self) -> int:
        """H, the number of units."""
        return len(self.unit_layer)

    def behind(self, first: AffineStep) -> Network:
        """The network of ``first(x)``: the same steps behind one more."""
        if first.n_outputs != self.n_inputs:
            raise ValueError(
                f"{first.name} gives {first.n_outputs} values, but the network takes "
                f"{self.n_inputs}"
            )
        sources = ((0,), *(tuple(v + 1 for v in values) for values in self._sources))
        return Network((first, *self.steps), first.n_inputs, self.notes, sources)

    def points(self, points: ArrayLike) -> FloatArray:
        """Check an array of input points and return it as float64, (N, n_inputs)."""
        array = np.asarray(points, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != self.n_inputs:
            raise ValueError(f"points must have shape (N, {self.n_inputs}), got {array.shape}")
        return array

    def propagate(
        self, first: T, join: Callable[[Sequence[T]], T], advance: Callable[[Step, T], T]
    ) -> T:
        """Take something of the input through all steps, and return what becomes of it.

        Parameters
        ----------
        first
            What there is of the input: values, bounds, derivatives.
        join : callable
            Makes one of what there is of several values that a step takes.
        advance : callable
            What a step makes of it. Steps come in order.
        """
        last_use = {value: i for i, sources in enumerate(self._sources) for value in sources}
        values: dict[int, T] = {0: first}
        for i, (step, sources) in enumerate(zip(self.steps, self._sources, strict=True)):
            taken = [values[value] for value in sources]
            values[i + 1] = advance(step, taken[0] if len(taken) == 1 else join(taken))
            for value in set(sources):
                if last_use[value] == i:
                    del values[value]
        return values[len(self.steps)]

    def backpropagate(
        self,
        last: T,
        split: Callable[[T, Sequence[int]], Sequence[T]],
        add: Callable[[T, T], T],
        retreat: Callable[[Step, T], T],
    ) -> T | None:
        """Take something of the output back through all steps, as derivatives go.

        Parameters
        ----------
        last
            What there is of the output.
        split : callable
            Cuts what belongs to a step's whole input into parts of given widths.
        add : callable
            Adds up what several steps have for one value.
        retreat : callable
            What a step makes of it. Steps come in reverse order.

        Returns
        -------
        What belongs to the input, or None if no step takes that.
        """
        widths = [self.n_inputs, *(step.n_outputs for step in self.steps)]
        values: dict[int, T] = {len(self.steps): last}
        for i in reversed(range(len(self.steps))):
            sources = self._sources[i]
            back = retreat(self.steps[i], values.pop(i + 1))
            parts = [back] if len(sources) == 1 else split(back, [widths[v] for v in sources])
            for value, part in zip(sources, parts, strict=True):
                values[value] = add(values[value], part) if value in values else part
        return values.get(0)

    def __call__(self, points: ArrayLike) -> FloatArray:
        """Values, (N, M), at `points`, (N, n_inputs), in ordinary float64 arithmetic."""
        return self.propagate(self.points(points), joined, lambda step, x: step(x))

    def __repr__(self) -> str:
        widths = [self.n_inputs, *(layer.n_outputs for layer in self.activations), self.n_outputs]
        shape = "-".join(map(str, widths))
        return f"<Network {shape}, {self.n_units} units>"
