"""What goes on while an engine works: threads, limits, counts, time and progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from polyregions.engine.crew import Crew
from polyregions.engine.deciding import Tally
from polyregions.errors import LimitError


@dataclass
class Watch:
    """Carried through all layers.

    Attributes
    ----------
    crew : Crew
    max_regions : int
    max_memory : int
        Bytes that the arrays of the complex, old and new, may take together.
    tally : Tally
    seconds : dict of str to float
        Time by stage.
    counts : list of int
        Faces after each activation layer that is done.
    held : int
        Bytes that are held now.
    """

    crew: Crew
    max_regions: int
    max_memory: int
    tally: Tally = field(default_factory=Tally)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    held: int = 0
    layer_name: str = ""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin

    def check_faces(self, n_faces: int) -> None:
        if n_faces > self.max_regions:
            raise self._limit(
                f"more than max_regions={self.max_regions} regions", f"makes {n_faces}"
            )

    def check_memory(self, n_bytes: int, what: str) -> None:
        if self.held + n_bytes > self.max_memory:
            raise self._limit(
                f"more than max_memory={self.max_memory / 2**30:.3g} GiB",
                f"needs {n_bytes / 2**30:.3g} GiB for {what}, beside {self.held / 2**30:.3g} held",
            )

    def too_many(self) -> LimitError:
        """The error for more items than indices can count."""
        return self._limit("more sides of faces than can be indexed", "makes them")

    def _limit(self, what: str, how: str) -> LimitError:
        level = len(self.counts)
        before = ", ".join(map(str, self.counts)) or "none"
        return LimitError(
            f"{what}: activation layer {level} ({self.layer_name}) {how}; faces after the layers "
            f"before it: {before}. Raise the limit, or take a smaller domain",
            counts=tuple(self.counts),
            layer=level,
        )
