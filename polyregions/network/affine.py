"""Affine steps: dense, unit by unit, or moving and adding up values.

They differ in how their matrix is held. What all of them offer is on `AffineStep`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from polyregions.network.values import FloatArray, Frozen, IntArray, as_indices, exact_float64


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a sparse matrix.

    Attributes
    ----------
    offsets : (R + 1,) int64
        Entries of row r are ``offsets[r]`` to ``offsets[r + 1]``.
    columns : int64
    values : float64
        Exact coefficients; the same column may come more than once, and then counts as their sum.
    """

    offsets: IntArray
    columns: IntArray
    values: FloatArray


class AffineStep(Frozen, ABC):
    """``x -> A x + c``, whatever `A` is held as."""

    name: str

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """Number of values that it takes."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of values that it gives."""

    @property
    @abstractmethod
    def constant(self) -> FloatArray:
        """(n_outputs,) c."""

    @property
    def constant_magnitude(self) -> FloatArray:
        """(n_outputs,) Sum of the absolute values of what `constant` is made of.

        That is, in the model's own forward; only rounding bounds use it.
        """
        return np.abs(self.constant)

    @property
    @abstractmethod
    def entries(self) -> FloatArray:
        """The numbers that A is made of, besides 0, in any shape."""

    @cached_property
    def smallest_entry(self) -> float:
        """The smallest absolute value of an entry that is not 0; inf if there is none."""
        size = np.abs(self.entries)
        return float(size.min(where=size > 0, initial=np.inf))

    @property
    @abstractmethod
    def n_roundings(self) -> int:
        """How many roundings a term goes through at most, in any order of summation."""

    @abstractmethod
    def apply(self, x: FloatArray) -> FloatArray:
        """``A x``, (..., n_outputs), without the constant."""

    @abstractmethod
    def magnitude(self, x: FloatArray) -> FloatArray:
        """``|A| x``, (..., n_outputs)."""

    @abstractmethod
    def part(self, x: FloatArray, sign: int) -> FloatArray:
        """``P x``, (..., n_outputs), where P holds the entries of A of one sign, without it."""

    @abstractmethod
    def adjoint(self, g: FloatArray) -> FloatArray:
        """``g A``, (..., n_inputs), for `g` (..., n_outputs)."""

    @abstractmethod
    def adjoint_magnitude(self, g: FloatArray) -> FloatArray:
        """``g |A|``, (..., n_inputs)."""

    @abstractmethod
    def rows(self, outputs: IntArray) -> Rows:
        """The rows of A that belong to some outputs, and only what is not zero of them."""

    def __call__(self, x: FloatArray) -> FloatArray:
        return self.apply(x) + self.constant


@dataclass(frozen=True, eq=False)
class Affine(AffineStep):
    """``x -> weight @ x + bias``.

    Attributes
    ----------
    weight : (m, n) float64
    bias : (m,) float64
    name : str
        Where the step came from, for messages.
    """

    weight: FloatArray
    bias: FloatArray
    name: str = "affine"

    def __post_init__(self) -> None:
        weight = exact_float64(self.weight, f"the weight of {self.name}")
        bias = exact_float64(self.bias, f"the bias of {self.name}")
        if weight.ndim != 2:
            raise ValueError(
                f"the weight of {self.name} must be (out, in), got shape {weight.shape}"
            )
        if bias.shape != weight.shape[:1]:
            raise ValueError(
                f"the bias of {self.name} must have shape {weight.shape[:1]} to go with its weight "
                f"of shape {weight.shape}, got {bias.shape}"
            )
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "bias", bias)

    @property
    def n_inputs(self) -> int:
        return int(self.weight.shape[1])

    @property
    def n_outputs(self) -> int:
        return int(self.weight.shape[0])

    @property
    def constant(self) -> FloatArray:
        return self.bias

    @property
    def entries(self) -> FloatArray:
        return self.weight

    @property
    def n_roundings(self) -> int:
        return self.n_inputs + 2

    @cached_property
    def _magnitude(self) -> FloatArray:
        return np.abs(self.weight)

    def apply(self, x: FloatArray) -> FloatArray:
        return x @ self.weight.T

    def magnitude(self, x: FloatArray) -> FloatArray:
        return x @ self._magnitude.T

    def part(self, x: FloatArray, sign: int) -> FloatArray:
        return x @ np.maximum(sign * self.weight, 0.0).T

    def adjoint(self, g: FloatArray) -> FloatArray:
        return _rows_times(g, self.weight)

    def adjoint_magnitude(self, g: FloatArray) -> FloatArray:
        return _rows_times(g, self._magnitude)

    def rows(self, outputs: IntArray) -> Rows:
        weight = self.weight[outputs]
        row, column = np.nonzero(weight)
        offsets = np.searchsorted(row, np.arange(len(outputs) + 1))
        return Rows(offsets, column, weight[row, column])


def _rows_times(g: FloatArray, matrix: FloatArray) -> FloatArray:
    """``g @ matrix`` as one product, also of g with more axes, for which numpy makes many."""
    product = g.reshape(prod(g.shape[:-1]), g.shape[-1]) @ matrix
    return product.reshape(*g.shape[:-1], matrix.shape[1])


@dataclass(frozen=True, eq=False)
class Scale(AffineStep):
    """``x -> scale * x + shift``, unit by unit (a batch norm in eval mode, a normalisation).

    Attributes
    ----------
    scale, shift : (n,) float64
    shift_magnitude : (n,) float64
        Sum of the absolute values of the terms that make up `shift` in the model's own forward
        (``|bias| + |mean * scale|`` for a batch norm). Only rounding bounds use it; it defaults
        to ``|shift|``.
    name : str
    """

    scale: FloatArray
    shift: FloatArray
    name: str = "scale"
    shift_magnitude: FloatArray | None = None

    def __post_init__(self) -> None:
        scale = exact_float64(self.scale, f"the scale of {self.name}")
        shift = exact_float64(self.shift, f"the shift of {self.name}")
        if scale.ndim != 1 or scale.shape != shift.shape:
            raise ValueError(
                f"scale and shift of {self.name} must both have shape (n,), "
                f"got {scale.shape} and {shift.shape}"
            )
        magnitude = np.abs(shift) if self.shift_magnitude is None else self.shift_magnitude
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "shift", shift)
        object.__setattr__(
            self, "shift_magnitude", exact_float64(magnitude, f"the shift of {self.name}")
        )

    @property
    def n_inputs(self) -> int:
        return len(self.scale)

    @property
    def n_outputs(self) -> int:
        return len(self.scale)

    @property
    def constant(self) -> FloatArray:
        return self.shift

    @property
    def constant_magnitude(self) -> FloatArray:
        assert self.shift_magnitude is not None
        return self.shift_magnitude

    @property
    def entries(self) -> FloatArray:
        return self.scale

    @property
    def n_roundings(self) -> int:
        return 16  # a batch norm takes a root, divides, and subtracts a mean: some ten

    def apply(self, x: FloatArray) -> FloatArray:
        return x * self.scale

    def magnitude(self, x: FloatArray) -> FloatArray:
        return x * np.abs(self.scale)

    def part(self, x: FloatArray, sign: int) -> FloatArray:
        return x * np.maximum(sign * self.scale, 0.0)

    def adjoint(self, g: FloatArray) -> FloatArray:
        return self.apply(g)

    def adjoint_magnitude(self, g: FloatArray) -> FloatArray:
        return self.magnitude(g)

    def rows(self, outputs: IntArray) -> Rows:
        values = self.scale[outputs]
        some = values != 0
        return Rows(np.concatenate([[0], np.cumsum(some)]), outputs[some], values[some])


@dataclass(frozen=True, eq=False)
class Gather(AffineStep):
    """Output i is value ``index[i]`` of the input, or the number ``fill[i]`` where that is -1.

    Reorders, repeats, leaves out and pads.

    Attributes
    ----------
    index : (m,) int64
    width : int
        Number of values that it takes.
    fill : (m,) float64
        What stands where `index` is -1; 0 elsewhere, and unless told.
    name : str
    """

    index: IntArray
    width: int
    name: str = "gather"
    fill: FloatArray = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        index = as_indices(self.index, self.width, self.name)
        if index.ndim != 1:
            raise ValueError(f"the index of {self.name} must be (n,), got shape {index.shape}")
        fill = exact_float64(self.fill, f"the fill of {self.name}")
        if not fill.size:
            fill = exact_float64(np.zeros(len(index)), "zeros")
        if fill.shape != index.shape or (fill[index >= 0] != 0).any():
            raise ValueError(f"the fill of {self.name} must be (n,), and 0 where an index is given")
        object.__setattr__(self, "index", index)
        object.__setattr__(self, "fill", fill)

    @property
    def n_inputs(self) -> int:
        return self.width

    @property
    def n_outputs(self) -> int:
        return len(self.index)

    @property
    def constant(self) -> FloatArray:
        return self.fill

    @property
    def entries(self) -> FloatArray:
        return np.ones(1)

    @property
    def n_roundings(self) -> int:
        return 0

    @cached_property
    def _taken(self) -> IntArray:
        return np.flatnonzero(self.index >= 0)

    @cached_property
    def _by_column(self) -> tuple[IntArray, IntArray, IntArray]:
        """The inputs that are taken, and where the outputs that take each begin, in a list."""
        outputs = self._taken[np.argsort(self.index[self._taken], kind="stable")]
        columns, starts = np.unique(self.index[outputs], return_index=True)
        return columns, starts, outputs

    def apply(self, x: FloatArray) -> FloatArray:
        if len(self._taken) == len(self.index):
            return np.take(x, self.index, axis=-1)
        taken = np.zeros((*x.shape[:-1], len(self.index)))
        taken[..., self._taken] = x[..., self.index[self._taken]]
        return taken

    def magnitude(self, x: FloatArray) -> FloatArray:
        return self.apply(x)

    def part(self, x: FloatArray, sign: int) -> FloatArray:
        return self.apply(x) if sign > 0 else np.zeros((*x.shape[:-1], self.n_outputs))

    def adjoint(self, g: FloatArray) -> FloatArray:
        total = np.zeros((*g.shape[:-1], self.width))
        columns, starts, outputs = self._by_column
        if len(columns):
            total[..., columns] = np.add.reduceat(g[..., outputs], starts, axis=-1)
        return total

    def adjoint_magnitude(self, g: FloatArray) -> FloatArray:
        return self.adjoint(g)

    def rows(self, outputs: IntArray) -> Rows:
        columns = self.index[outputs]
        some = columns >= 0
        offsets = np.concatenate([[0], np.cumsum(some)])
        return Rows(offsets, columns[some], np.ones(int(some.sum())))


@dataclass(frozen=True, eq=False)
class Sum(AffineStep):
    """``sum(coefficients[k] * x[k])`` of K blocks x[k] of n values each, one after the other.

    Attributes
    ----------
    coefficients : (K,) float64
        Mostly 1 and -1.
    width : int
        n.
    name : str
    """

    coefficients: FloatArray
    width: int
    name: str = "sum"

    def __post_init__(self) -> None:
        values = exact_float64(self.coefficients, f"the coefficients of {self.name}")
        if values.ndim != 1 or not values.size:
            raise ValueError(f"{self.name} needs one coefficient for each block that it adds up")
        object.__setattr__(self, "coefficients", values)

    @property
    def n_inputs(self) -> int:
        return len(self.coefficients) * self.width

    @property
    def n_outputs(self) -> int:
        return self.width

    @cached_property
    def constant(self) -> FloatArray:
        return exact_float64(np.zeros(self.width), "zeros")

    @property
    def entries(self) -> FloatArray:
        return self.coefficients

    @property
    def n_roundings(self) -> int:
        return len(self.coefficients) + 1

    def apply(self, x: FloatArray) -> FloatArray:
        return self._total(x, self.coefficients)

    def magnitude(self, x: FloatArray) -> FloatArray:
        return self._total(x, np.abs(self.coefficients))

    def part(self, x: FloatArray, sign: int) -> FloatArray:
        return self._total(x, np.maximum(sign * self.coefficients, 0.0))

    def _total(self, x: FloatArray, coefficients: FloatArray) -> FloatArray:
        total: FloatArray = coefficients[0] * x[..., : self.width]
        for k in range(1, len(coefficients)):
            total += coefficients[k] * x[..., k * self.width : (k + 1) * self.width]
        return total

    def adjoint(self, g: FloatArray) -> FloatArray:
        return np.concatenate([c * g for c in self.coefficients], axis=-1)

    def adjoint_magnitude(self, g: FloatArray) -> FloatArray:
        return np.concatenate([abs(c) * g for c in self.coefficients], axis=-1)

    def rows(self, outputs: IntArray) -> Rows:
        some = np.flatnonzero(self.coefficients)
        columns = outputs[:, None] + some * self.width
        offsets = np.arange(len(outputs) + 1) * len(some)
        return Rows(offsets, columns.ravel(), np.tile(self.coefficients[some], len(outputs)))
