"""What goes on while an engine works: threads, limits, counts, time and progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from polyregions.engine.crew import Crew
from polyregions.engine.deciding import Tally
from polyregions.errors import LimitError
from polyregions.limits import default_memory
from polyregions.progress import Progress, Reporter

# Bytes for which nobody asks how much memory there is.
_LITTLE = 1 << 24
# The passes of a layer, each taken for as long as any other.
_PASSES = ("maps and signs", "edges", "chords", "faces")
# A layer that is done in a moment.
ALL_PASSES = "all passes at once"


class Stage:
    """A context in which a `Watch` adds time to one of its stages."""

    def __init__(self, watch: Watch, name: str) -> None:
        self._watch, self._name = watch, name

    def __enter__(self) -> None:
        self._begin = time.perf_counter()
        self._watch.begin(self._name)

    def __exit__(self, *exc_info: object) -> None:
        seconds, name = self._watch.seconds, self._name
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - self._begin


@dataclass
class Watch:
    """Carried through all layers.

    Attributes
    ----------
    crew : Crew
    reporter : Reporter
    max_regions, max_memory : int, int or None
        Limits; that in bytes is for the arrays of the complex, old and new, together. None for
        half of the memory that is free.
    n_layers : int
    tally : Tally
    seconds : dict of str to float
        Time by stage.
    counts : list of int
        Faces after each activation layer that is done; where blocks of faces are counted one
        after the other, those of each layer so far.
    layer, layer_name : int, str
        The layer at work.
    n_faces : int
        Faces before it.
    held : int
        Bytes that are held now.
    """

    crew: Crew
    reporter: Reporter
    max_regions: int
    max_memory: int | None
    n_layers: int
    tally: Tally = field(default_factory=Tally)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    layer: int = 0
    layer_name: str = ""
    n_faces: int = 1
    held: int = 0
    began: float = field(default_factory=time.perf_counter)
    # What is done of all that is counted, where that is done in blocks; else None.
    share: float | None = None
    # A layer may take its passes so many times; which time it is.
    part: tuple[int, int] = (0, 1)
    _stage: str = ALL_PASSES

    def stage(self, name: str) -> Stage:
        """Add the time spent inside a ``with`` block to a stage."""
        return Stage(self, name)

    def begin(self, stage: str) -> None:
        """Say that a stage begins."""
        self._stage = stage
        self.report(0.0)

    def run(
        self, n: int, work: Callable[[int, int], None], grain: int, *, is_long: bool = False
    ) -> None:
        """Do `work` on ranges that cover 0..n in the crew's threads."""
        self.crew.run(n, work, grain, tick=self._tick, is_long=is_long)

    def call(
        self,
        n: int,
        grain: int,
        kernel: Callable[..., None],
        *arguments: Any,
        is_long: bool = False,
    ) -> None:
        """``kernel(begin, end, *arguments)`` for ranges that cover 0..n, about `grain` long."""
        self.run(n, lambda begin, end: kernel(begin, end, *arguments), grain, is_long=is_long)

    def _tick(self, done: float) -> None:
        if self.reporter.due():
            self.report(done)

    def report(self, done: float) -> None:
        """Say that a part of the present stage is done."""
        if self.share is not None:
            self.reporter.update(self._event("counting", int(self.share * 1e6), 10**6))
        elif self._stage == ALL_PASSES:
            self.reporter.update(self._event("layer", int(done * self.n_faces), self.n_faces))
        elif self._stage in _PASSES:
            share = (_PASSES.index(self._stage) + done) / len(_PASSES)
            share = (self.part[0] + share) / self.part[1]
            self.reporter.update(self._event("layer", int(share * self.n_faces), self.n_faces))
        else:
            self.reporter.update(self._event(self._stage, int(done * 1e6), 10**6))

    def _event(self, stage: str, done: int, total: int) -> Progress:
        return Progress(
            layer=self.layer,
            n_layers=self.n_layers,
            layer_name=self.layer_name,
            faces_done=done,
            faces_total=total,
            n_faces=self.counts[-1] if self.counts else 1,
            counts=tuple(self.counts),
            seconds=time.perf_counter() - self.began,
            stage=stage,
        )

    def check_faces(self, n_faces: int) -> None:
        """Stop if a layer makes too many faces."""
        if n_faces > self.max_regions:
            raise self._limit(
                f"more than max_regions={self.max_regions} regions", f"makes {n_faces}"
            )

    def check_memory(self, n_bytes: int, what: str) -> None:
        """Stop before more memory is taken than there may be."""
        if self.held + n_bytes <= _LITTLE:
            return  # and need not ask how much memory there is
        if self.max_memory is None:
            self.max_memory = default_memory() or 1 << 62
        if self.held + n_bytes > self.max_memory:
            raise self._limit(
                f"more than max_memory, {self.max_memory / 2**30:.3g} GiB",
                f"needs {n_bytes / 2**30:.3g} GiB for {what}, beside {self.held / 2**30:.3g} held",
            )

    def too_many(self) -> LimitError:
        """The error for more items than indices can count."""
        return self._limit("more sides of faces than can be indexed", "makes them")

    def _limit(self, what: str, how: str) -> LimitError:
        if self.share is None:
            so_far = f"faces after the layers before it: {_list(self.counts)}"
        else:
            so_far = f"counted so far, layer by layer: {_list(self.counts)}"
        return LimitError(
            f"{what}: activation layer {self.layer} ({self.layer_name}) {how}; {so_far}. "
            "Raise the limit, or take a smaller domain",
            counts=tuple(self.counts),
            layer=self.layer,
        )


def _list(counts: list[int]) -> str:
    return ", ".join(map(str, counts)) or "none"
