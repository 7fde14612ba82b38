"""Threads that run kernels over ranges."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any

import numpy as np

# Seconds between looks at how far the threads are, and for Ctrl-C.
_TICK = 0.1


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
        self.stop = np.zeros(1, dtype=np.uint8)  # set for kernels that look at it

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

    def run(
        self,
        n: int,
        work: Callable[[int, int], None],
        grain: int,
        *,
        tick: Callable[[float], None] = lambda done: None,
        is_long: bool = False,
    ) -> None:
        """Call ``work(begin, end)`` for ranges that cover 0..n, about `grain` long.

        `tick` is called now and then in the calling thread, with the share that is done. What
        may take long even on one range is done in another thread, so that this one can tell it
        to stop.
        """
        if n <= grain and not is_long:
            work(0, n)
            return
        if self.threads == 1 and not is_long:
            for begin in range(0, n, grain):
                work(begin, min(begin + grain, n))
                tick(begin / n)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads)
        ranges = iter(range(0, n, grain))
        stopped = False
        reached = 0

        def drain() -> None:
            # Each thread takes the next range when it is done with one.
            nonlocal reached
            for begin in ranges:
                if stopped:
                    return
                reached = begin
                work(begin, min(begin + grain, n))

        futures = [self._pool.submit(drain) for _ in range(self.threads)]
        try:
            waiting: Collection[Future[None]] = futures
            while waiting:
                done, waiting = wait(waiting, timeout=_TICK, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                tick(reached / n)
        except BaseException:  # also Ctrl-C: let the threads end with the ranges they are at
            stopped = True
            self.stop[0] = 1
            raise


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
