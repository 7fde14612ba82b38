"""Threads that run kernels over ranges."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType
from typing import Any


class Crew:
    """A pool of threads, started when there is enough to do.

    Parameters
    ----------
    threads : int or None
        How many; None for one on each core that this process may use.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or _cores()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def call(self, n: int, grain: int, kernel: Callable[..., None], *arguments: Any) -> None:
        """``kernel(begin, end, *arguments)`` for ranges that cover 0..n, about `grain` long."""
        self.run(n, lambda begin, end: kernel(begin, end, *arguments), grain)

    def run(self, n: int, work: Callable[[int, int], None], grain: int) -> None:
        """``work(begin, end)`` for ranges that cover 0..n, about `grain` long."""
        if n <= grain:
            work(0, n)
            return
        if self.threads == 1:
            for begin in range(0, n, grain):
                work(begin, min(begin + grain, n))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads)
        ranges = iter(range(0, n, grain))
        stopped = False

        def drain() -> None:
            # Each thread takes the next range when it is done with one.
            for begin in ranges:
                if stopped:
                    return
                work(begin, min(begin + grain, n))

        futures = [self._pool.submit(drain) for _ in range(self.threads)]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:  # also Ctrl-C: let the threads end with the ranges they are at
            stopped = True
            raise


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
