"""Slices as the command line spells them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyregions.network import FloatArray
    from polyregions.slice import Slice

_KINDS = "axes:I,J, through:FILE.npy or data:FILE.npy"


@dataclass(frozen=True)
class Spelled:
    """What ``--slice`` says: two inputs, or a file with three points.

    Attributes
    ----------
    kind : {"axes", "through", "data"}
    inputs : tuple of int
        Two for ``"axes"``, else none.
    file : str
    """

    kind: str
    inputs: tuple[int, ...] = ()
    file: str = ""


def parse_slice(text: str) -> Spelled:
    """Read what follows ``--slice``."""
    kind, _, what = text.partition(":")
    if kind in ("through", "data") and what:
        return Spelled(kind, file=what)
    if kind == "axes":
        numbers = what.split(",")
        if len(numbers) == 2 and all(number.strip().isdecimal() for number in numbers):
            return Spelled(kind, tuple(map(int, numbers)))
        raise argparse.ArgumentTypeError(
            f"axes takes the numbers of two inputs, as in axes:0,1, got {text!r}"
        )
    raise argparse.ArgumentTypeError(f"must be {_KINDS}, got {text!r}")


def parse_fix(text: str) -> tuple[int, float]:
    """Read what follows ``--fix``."""
    number, equals, value = text.partition("=")
    if equals and number.strip().isdecimal():
        with suppress(ValueError):
            if math.isfinite(float(value)):
                return int(number), float(value)
    raise argparse.ArgumentTypeError(f"takes INPUT=VALUE, as in 2=0.5, got {text!r}")


class Planes:
    """The slice that the arguments of a command describe, if any.

    Parameters
    ----------
    spelled : Spelled or None
        From ``--slice``.
    fixed : sequence of (int, float) or None
        From ``--fix``.

    Raises
    ------
    ValueError
        If these contradict each other.
    """

    def __init__(self, spelled: Spelled | None, fixed: Sequence[tuple[int, float]] | None) -> None:
        self._spelled = spelled
        self._fixed = dict(fixed or ())
        if len(self._fixed) < len(fixed or ()):
            raise ValueError("--fix gives the value of one input twice")
        self._points: FloatArray | None = None
        if spelled is not None and spelled.file:
            if fixed:
                raise ValueError(f"--fix does not apply to --slice {spelled.kind}:FILE.npy")
            self._points = _three_points(spelled.file)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape of an input, where the arguments tell."""
        return None if self._points is None else self._points.shape[1:]

    def of(self, n_inputs: int) -> Slice | None:
        """The slice of a network with so many inputs; None if none was asked for."""
        from polyregions.slice import Slice

        if self._points is not None:
            assert self._spelled is not None
            make = Slice.through if self._spelled.kind == "through" else Slice.from_data
            return make(*self._points)
        if self._spelled is None and not self._fixed:
            return None
        beyond = [k for k in self._fixed if k >= n_inputs]
        if beyond:
            raise ValueError(
                f"--fix names input {beyond[0]}, but the model has {n_inputs} inputs, numbered "
                f"from 0 to {n_inputs - 1}"
            )
        i, j = self._two(n_inputs)
        return Slice.axes(i, j, at=[self._fixed.get(k, 0.0) for k in range(n_inputs)])

    def _two(self, n_inputs: int) -> tuple[int, int]:
        """The two inputs that are not fixed."""
        if self._spelled is None:
            free = [k for k in range(n_inputs) if k not in self._fixed]
            if len(free) != 2:
                raise ValueError(
                    f"--fix leaves {len(free)} of {n_inputs} inputs free, and a plane has two; fix "
                    f"{n_inputs - 2} of them, or say by --slice axes:I,J which two are not fixed"
                )
        else:
            free = list(self._spelled.inputs)
            if both := [k for k in free if k in self._fixed]:
                raise ValueError(f"input {both[0]} is named by both --slice axes and --fix")
        return free[0], free[1]


def _three_points(path: str) -> Any:
    from polyregions.formats import arrays

    points = arrays.read_one(path)
    if points.ndim < 2 or len(points) != 3:
        raise ValueError(
            f"{path} must hold three points of the input space, an array of shape (3, n) or "
            f"(3, ...); it has shape {points.shape}"
        )
    return points
