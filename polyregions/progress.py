"""What an engine says while it works, and how it is shown.

An engine gets a `Reporter` and gives it events. Which reporter that is depends on what the caller
asked for by ``progress``; the engine need not care.
"""

from __future__ import annotations

import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from typing import Any, TypeAlias

from polyregions import compilation

# A bar appears when work has lasted this long, in seconds.
_DELAY = 1.0
# The least time between two events that are passed on from within one stage.
_INTERVAL = 0.1
# How wide a bar is where the terminal does not say how wide it is.
_COLUMNS = 80


@dataclass(frozen=True)
class Progress:
    """How far a subdivision is.

    Attributes
    ----------
    layer : int
        Index of the activation layer that is being worked on, from 0.
    n_layers : int
        Number of activation layers.
    layer_name : str
        Where the layer came from.
    faces_done, faces_total : int
        How many of the faces before this layer have been through it, and how many there are. In
        another stage than ``"layer"``, how much of that stage is done.
    n_faces : int
        Faces so far.
    counts : tuple of int
        Number of faces after each finished layer.
    seconds : float
        Time since the start.
    stage : str
        ``"layer"`` for the subdivision itself, or in a word or two what else is being done.
    """

    layer: int
    n_layers: int
    layer_name: str = ""
    faces_done: int = 0
    faces_total: int = 0
    n_faces: int = 1
    counts: tuple[int, ...] = ()
    seconds: float = 0.0
    stage: str = "layer"

    @property
    def share(self) -> float:
        """How much of the stage is done, from 0 to 1."""
        return self.faces_done / self.faces_total if self.faces_total else 0.0

    @property
    def where(self) -> str:
        """The stage in words, such as ``layer 2 of 3``."""
        return f"layer {self.layer + 1} of {self.n_layers}" if self.stage == "layer" else self.stage

    def __str__(self) -> str:
        name = f" ({self.layer_name})" if self.layer_name and self.stage == "layer" else ""
        return f"{self.where}{name}, {self.share:.0%} done, {self.n_faces:,} faces so far"


class Reporter:
    """Takes an engine's events. This one shows nothing, and remembers the last.

    To be used in one thread, as a context manager, which may be entered again inside itself.
    """

    def __init__(self) -> None:
        self.last: Progress | None = None

    def due(self) -> bool:
        """Whether an event from within a stage would be shown now; else none need be made."""
        return False

    def update(self, event: Progress) -> None:
        """Take an event: at the beginning and end of each stage, and in between when `due`.

        Raises
        ------
        Exception
            Whatever the caller's own callable raises, so that it can stop the work.
        """
        self.last = event

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


ProgressLike: TypeAlias = bool | Callable[[Progress], object] | Reporter | None


def reporter(progress: ProgressLike = None) -> Reporter:
    """Make what shows progress, from the argument ``progress`` of a public function.

    Parameters
    ----------
    progress : bool, None or callable
        False shows nothing and True a bar on standard error. None shows a bar in an interactive
        session only. A callable is given a `Progress` at the beginning and end of every layer and
        ten times a second in between, in the thread that called polyregions; an exception that it
        raises stops the work. A `Reporter` is returned as it is.

    Returns
    -------
    Reporter

    Raises
    ------
    TypeError
        If `progress` is none of these.

    Notes
    -----
    The bar appears when the work has lasted a second and is wiped out when it ends. A terminal
    that cannot wipe out (``TERM=dumb``) gets none. Where progress is shown, one line on standard
    error also says when numba has to compile the kernels, which only the first call on a machine
    waits for.

    Examples
    --------
    >>> from polyregions.progress import Progress, reporter
    >>> with reporter(print) as report:
    ...     report.update(Progress(layer=0, n_layers=2, faces_done=1, faces_total=1, n_faces=57))
    layer 1 of 2, 100% done, 57 faces so far
    """
    if isinstance(progress, Reporter):
        return progress
    if progress is None:
        progress = is_interactive()
    if progress is True:
        return _Bar()
    if progress is False:
        return Reporter()
    if callable(progress):
        return _Caller(progress)
    raise TypeError(f"progress must be True, False, None or a callable, got {progress!r}")


def is_interactive() -> bool:
    """Whether somebody is at a prompt: Python's own, IPython's or a notebook's."""
    if hasattr(sys, "ps1"):
        return True
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


class _Throttled(Reporter, ABC):
    """Passes on both ends of every stage, and few events in between."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        super().__init__()
        self._clock = clock
        self._next = clock()
        self._thread = threading.get_ident()
        self._ends: set[tuple[str, int, bool]] = set()

    def due(self) -> bool:
        return self._clock() >= self._next

    def update(self, event: Progress) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("progress must be reported in the thread that the work began in")
        self.last = event
        end = (event.stage, event.layer, event.faces_done >= event.faces_total)
        if end not in self._ends or self.due():
            self._ends.add(end)
            self._next = self._clock() + _INTERVAL
            self._show(event)

    @abstractmethod
    def _show(self, event: Progress) -> None:
        """Show it."""


class _Caller(_Throttled):
    """Gives events to the caller's own callable."""

    def __init__(
        self, call: Callable[[Progress], object], clock: Callable[[], float] = perf_counter
    ) -> None:
        super().__init__(clock)
        self._call = call

    def _show(self, event: Progress) -> None:
        self._call(event)


class _Bar(_Throttled):
    """A bar on standard error, once the work has lasted a while."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        super().__init__(clock)
        self._start = clock()
        self._bar: Any = None
        self._n_entered = 0
        self._stack = ExitStack()

    def __enter__(self) -> _Bar:
        if self._n_entered == 0:
            self._stack.enter_context(compilation.watched(lambda: self.say(compilation.MESSAGE)))
        self._n_entered += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._n_entered -= 1
        if self._n_entered == 0:
            self._stack.close()
            if self._bar is not None:
                self._bar.close()
                self._bar = None

    def say(self, message: str) -> None:
        """Print a line above the bar, if there is one."""
        if self._bar is not None:
            self._bar.write(message, file=sys.stderr)
        else:
            say(message)

    def _show(self, event: Progress) -> None:
        seconds = self._clock() - self._start
        if seconds < _DELAY or not _can_wipe_out():
            return
        facts = f"{event.n_faces:,} faces, {event.n_faces / seconds:,.0f}/s"
        if self._bar is None:
            self._bar = _new_bar(event, facts, seconds)
        else:
            self._bar.show(event, facts, seconds)


def _can_wipe_out() -> bool:
    """Whether there is a standard error on which a bar leaves no trace."""
    return sys.stderr is not None and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    """How wide the bar may be."""
    # Some terminals claim to have no columns at all, which tqdm believes.
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    except (OSError, ValueError, AttributeError):  # no terminal
        return _COLUMNS


def _new_bar(event: Progress, facts: str, seconds: float) -> Any:
    # Imported here: work that is done in a moment need not wait for it.
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        # No thread that watches over the bar: an engine that is busy elsewhere is not stuck.
        monitor_interval = 0
        right = ""

        @property
        def format_dict(self) -> dict[str, Any]:
            return {**super().format_dict, "right": self.right}

        def show(self, event: Progress, facts: str, seconds: float) -> None:
            self.total, self.n, self.ncols = event.faces_total, event.faces_done, _columns()
            self.right = f"{facts}, {self.format_interval(seconds)}"
            self.set_description_str(event.where)

    Bar.right = f"{facts}, {tqdm.format_interval(seconds)}"
    return Bar(
        total=event.faces_total,
        initial=event.faces_done,
        desc=event.where,
        file=sys.stderr,
        leave=False,
        ncols=_columns(),
        nrows=20,  # not to be asked for: only many bars at once need to know
        bar_format="{desc} {percentage:3.0f}%|{bar}| {right}",
    )


def say(message: str) -> None:
    """Print a line on standard error, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
