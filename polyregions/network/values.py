"""Float64 numbers taken as exact, and what holds them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
ByteArray: TypeAlias = NDArray[np.uint8]
IntArray: TypeAlias = NDArray[np.signedinteger[Any]]


def exact_float64(values: ArrayLike, name: str) -> FloatArray:
    """Return `values` as a read-only float64 array, refusing anything that would be rounded.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If a value is NaN, infinite, or no float64 (a long double, an integer above 2**53).
    """
    array = as_float64(values, name)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values; every coefficient must be finite")
    return array


def as_float64(values: ArrayLike, name: str) -> FloatArray:
    """A read-only float64 copy, also of values that are not finite."""
    raw = np.asarray(values)
    if raw.dtype.kind not in "biuf" and raw.dtype.name != "bfloat16":
        raise TypeError(f"{name} must hold real numbers, got an array of dtype {raw.dtype}")
    with np.errstate(over="ignore"):  # a long double that becomes infinite is not equal
        array = np.array(raw, dtype=np.float64, order="C")
    if raw.dtype.kind in "iu":
        exact = all(int(a) == int(b) for a, b in zip(array.flat, raw.flat, strict=True))
    else:
        exact = raw.dtype.itemsize <= 8 or bool(np.all((array == raw) | np.isnan(raw)))
    if not exact:
        raise ValueError(
            f"{name} holds {raw.dtype} values that no float64 equals; round them first"
        )
    array.flags.writeable = False
    return array


def as_indices(values: ArrayLike, width: int, name: str) -> IntArray:
    """A read-only copy of indices from -1 to ``width - 1``."""
    raw: np.ndarray[Any, Any] = np.asarray(values)
    if raw.size and raw.dtype.kind not in "iu":
        raise TypeError(f"the index of {name} must be of integers, got dtype {raw.dtype}")
    index = raw.astype(np.int64)
    if index.size and not -1 <= index.min() <= index.max() < width:
        raise ValueError(f"the index of {name} points outside its {width} values")
    index.flags.writeable = False
    return index


class Frozen:
    """Copies and pickles by the constructor, so that copies are checked and read-only too."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, item.name) for item in fields(self))  # type: ignore[arg-type]
