"""How to compute and how much that may take: the arguments that say so, and their defaults."""

from __future__ import annotations

import os
from operator import index
from pathlib import Path
from typing import Any

ENGINES = ("auto", "rational", "exact")

# Unless told: what either engine does in some minutes. The compiled one keeps to a part of the
# memory as well.
DEFAULT_MAX_REGIONS = {"rational": 100_000, "exact": 10_000_000}

_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def as_integer(value: Any, name: str, *, least: int = 1) -> int:
    """Read an argument that must be an integer, of Python or numpy.

    Raises
    ------
    TypeError
        If it is a float, a bool or anything else.
    ValueError
        If it is less than `least`.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{name} must be an integer, got {value!r}, a {kind}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def as_index(value: Any, n: int, what: str) -> int:
    """Read the number of one of `n` things, as lists do: negative ones count from the end.

    Raises
    ------
    TypeError
        If it is no integer.
    IndexError
        If there is no such thing.
    """
    try:
        number = index(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(
            f"the number of a {what} must be an integer, got {value!r}, a {kind}"
        ) from None
    if not -n <= number < n:
        there = f"{what}s are numbered from 0 to {n - 1}" if n else f"there are no {what}s"
        raise IndexError(f"there is no {what} {number}; {there}")
    return number % n


def as_limit(value: Any, name: str) -> int | None:
    """Read an argument that is a positive integer, or None for the default."""
    return None if value is None else as_integer(value, name)


def as_flag(value: Any, name: str) -> bool:
    """Read an argument that must be True or False.

    Raises
    ------
    TypeError
        If it is anything else: a file name or number in its place is a mistake.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def parse_bytes(text: str) -> int:
    """Read a number of bytes such as ``500M`` or ``1.5GiB``, where K is 1024.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> from polyregions.limits import parse_bytes
    >>> parse_bytes("4G")
    4294967296
    """
    plain = text.strip().upper()
    for ending in ("IB", "B"):
        plain = plain.removesuffix(ending)
    unit = plain[-1:] if plain[-1:] in "KMGT" else ""
    try:
        number = int(float(plain.removesuffix(unit)) * _BYTES[unit])
    except (ValueError, OverflowError):
        number = 0
    if number < 1:
        raise ValueError(f"{text!r} is no amount of memory; write it as in 500M or 4G")
    return number


def default_memory() -> int | None:
    """Half of the memory that is free now, in bytes; None if the system does not say."""
    free = [n for n in (_free_in_machine(), _free_in_group(Path("/sys/fs/cgroup"))) if n]
    return min(free) // 2 if free else None


def _free_in_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        facts = dict(line.split(":", 1) for line in lines)
        return int(facts["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        pass
    try:  # all there is, where nothing says what is free
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _free_in_group(folder: Path) -> int | None:
    """What a container may still take."""
    try:
        most = int((folder / "memory.max").read_text())
        return max(0, most - int((folder / "memory.current").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return None
