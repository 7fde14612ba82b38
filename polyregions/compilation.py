"""When numba compiles the engine's kernels, which takes long and happens once on a machine.

Whether a kernel will have to be compiled cannot be told beforehand: an index of the cache may be
there, but hold other argument types or be out of date. So this module does not guess; it listens
to numba's ``numba:compile`` event, which is broadcast when the compiler itself begins and ends,
and not when a kernel is read from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

MESSAGE = (
    "polyregions: compiling the kernels, once on a machine; this takes about half a minute ..."
)


@dataclass(eq=False)
class Compilation:
    """What was compiled while somebody watched.

    Attributes
    ----------
    n_kernels : int
        Kernels, counted once for every set of argument types.
    seconds : float
        Time spent on them.
    """

    n_kernels: int = 0
    seconds: float = 0.0

    _on_first: Callable[[], object] | None = None
    _depth: int = 0
    _began: float = 0.0

    def begin(self) -> None:
        """A kernel is about to be compiled, perhaps for another one that calls it."""
        if self._on_first is not None and self.n_kernels == 0:
            self._on_first()
        self.n_kernels += 1
        if self._depth == 0:
            self._began = perf_counter()
        self._depth += 1

    def end(self) -> None:
        """A kernel was compiled, or failed to be."""
        if self._depth:  # else it began before anybody watched
            self._depth -= 1
            if self._depth == 0:
                self.seconds += perf_counter() - self._began


_watches: list[Compilation] = []


@contextmanager
def watched(on_first: Callable[[], object] | None = None) -> Iterator[Compilation]:
    """Watch what is compiled inside a ``with`` block.

    Parameters
    ----------
    on_first : callable, optional
        Called before the first kernel is compiled, in the thread that compiles.

    Yields
    ------
    Compilation
        Counts up while the block runs; stays at 0 if all kernels come from the cache.

    Examples
    --------
    >>> from polyregions.compilation import watched
    >>> with watched() as compilation:
    ...     pass
    >>> compilation.n_kernels
    0
    """
    watch = Compilation(_on_first=on_first)
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


@cache
def listen() -> None:
    """Listen to numba from now on. To be called once numba is imported, before kernels run.

    `watched` does not do it, because it must not import numba for those who need no kernels.
    """
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            if _is_ours(event):
                for watch in list(_watches):
                    watch.begin()

        def on_end(self, event: Any) -> None:
            if _is_ours(event):
                for watch in list(_watches):
                    watch.end()

    event.register("numba:compile", Listener())  # type: ignore[no-untyped-call]


def _is_ours(event: Any) -> bool:
    module: str = event.data["dispatcher"].py_func.__module__
    return module.startswith("polyregions.")
