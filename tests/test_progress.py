"""Progress: who is told what and when, the bar, and the notice about compilation."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import types

import pytest

from polyregions import compilation, progress
from polyregions.progress import Progress, Reporter, reporter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """Keeps what was ever written; `screen` says what would be left to see."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> str:
        lines = [""]
        for part in self.getvalue().replace("\n", "\0\n").split("\0"):
            for i, text in enumerate(part.lstrip("\n").split("\r")):
                if part.startswith("\n") and i == 0:
                    lines.append("")
                lines[-1] = text + lines[-1][len(text) :]
        return "\n".join(line.rstrip() for line in lines).strip("\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    # Not sys.stderr itself, which pytest puts back before the test begins.
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=stream))
    return stream


def event(done: int, total: int = 100, layer: int = 0, **more: object) -> Progress:
    return Progress(layer=layer, n_layers=3, faces_done=done, faces_total=total, **more)


# -- who is told ---------------------------------------------------------------------------------


def test_kinds_of_reporters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    assert type(reporter(False)) is Reporter
    assert type(reporter(None)) is Reporter, "scripts and tests are silent"
    assert isinstance(reporter(True), progress._Bar)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert isinstance(reporter(None), progress._Bar), "but not a prompt"
    assert type(reporter(False)) is Reporter
    own = reporter(print)
    assert reporter(own) is own


def test_ipython_is_interactive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    shells = [object(), None]
    ipython = types.SimpleNamespace(get_ipython=lambda: shells[0])
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert progress.is_interactive()
    shells.reverse()  # imported by some library, outside any session
    assert not progress.is_interactive()


@pytest.mark.parametrize("bad", ["yes", 1, 0, [], 2.5])
def test_what_is_no_progress(bad: object) -> None:
    with pytest.raises(TypeError, match="progress must be True, False, None or a callable"):
        reporter(bad)


def test_silence_remembers_the_last_event(capsys: pytest.CaptureFixture[str]) -> None:
    with reporter(False) as report:
        assert report.last is None
        assert not report.due()
        report.update(event(3))
        assert report.last == event(3)
    assert capsys.readouterr() == ("", "")


# -- events --------------------------------------------------------------------------------------


def test_words_of_an_event() -> None:
    half = event(50, layer=1, layer_name="fc2", n_faces=12345, counts=(57,), seconds=2.0)
    assert half.share == 0.5
    assert str(half) == "layer 2 of 3 (fc2), 50% done, 12,345 faces so far"
    assert Progress(layer=0, n_layers=0).share == 0.0
    pieces = event(1, 4, stage="affine pieces", n_faces=9)
    assert str(pieces) == "affine pieces, 25% done, 9 faces so far"


def test_a_callable_gets_few_events_of_many_and_the_ends_of_all() -> None:
    clock, seen = Clock(), []
    with progress._Caller(seen.append, clock) as report:
        n_due = 0
        for layer in range(3):
            for done in range(101):
                clock.now += 0.01  # ten in 0.1 s
                n_due += report.due()
                report.update(event(done, layer=layer))
    assert len(seen) < 40
    assert n_due <= len(seen)
    for layer in range(3):
        of_layer = [e.faces_done for e in seen if e.layer == layer]
        assert of_layer[0] == 0
        assert of_layer[-1] == 100
        assert of_layer == sorted(of_layer)


def test_going_back_and_forth_between_layers_is_no_news() -> None:
    clock, seen = Clock(), []
    with progress._Caller(seen.append, clock) as report:
        for _ in range(1000):
            for layer in range(3):
                for done in (0, 100):
                    report.update(event(done, layer=layer))
    assert len(seen) == 6, "the clock stands still"


def test_an_exception_of_a_callable_gets_out() -> None:
    def enough(event: Progress) -> None:
        raise StopIteration("enough")

    with pytest.raises(StopIteration, match="enough"), reporter(enough) as report:
        report.update(event(1))


def test_another_thread_is_refused() -> None:
    report, errors = reporter(print), []

    def work() -> None:
        try:
            report.update(event(1))
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == ["progress must be reported in the thread that the work began in"]


# -- the bar -------------------------------------------------------------------------------------


def test_no_bar_for_short_work(terminal: Terminal) -> None:
    clock = Clock()
    with progress._Bar(clock) as report:
        for done in range(100):
            clock.now += 0.009
            report.update(event(done))
    assert terminal.getvalue() == ""


def test_bar_of_long_work(terminal: Terminal) -> None:
    clock = Clock()
    with progress._Bar(clock) as report:
        for done in range(101):
            clock.now += 0.1
            report.update(event(done, layer=1, n_faces=1000 * done))
        assert "layer 2 of 3 100%|" in terminal.screen()
        assert "| 100,000 faces, 9,901/s, 00:10" in terminal.screen()
    assert " 10%|" in terminal.getvalue()
    assert "  9%|" not in terminal.getvalue(), "not in the first second"
    assert terminal.screen() == "", "wiped out"


def test_bar_is_wiped_out_after_an_error(terminal: Terminal) -> None:
    def work() -> None:
        clock = Clock()
        with progress._Bar(clock) as report:
            clock.now = 5.0
            report.update(event(1))
            assert "layer 1 of 3" in terminal.screen()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert terminal.screen() == ""


def test_a_reporter_may_be_entered_twice(terminal: Terminal) -> None:
    clock = Clock()
    with progress._Bar(clock) as report:
        with reporter(report) as same:
            clock.now = 5.0
            same.update(event(1))
        assert "layer 1 of 3" in terminal.screen(), "the outer block is still open"
    assert terminal.screen() == ""


@pytest.mark.parametrize("kind", ["dumb", "none"])
def test_no_bar_where_it_cannot_be_wiped_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(
        progress, "sys", types.SimpleNamespace(stderr=stream if kind == "dumb" else None)
    )
    clock = Clock()
    with progress._Bar(clock) as report:
        clock.now = 5.0
        report.update(event(1))
        report.say("a line")
    assert stream.getvalue() == ("a line\n" if kind == "dumb" else "")


def test_bar_needs_no_thread_of_its_own(terminal: Terminal) -> None:
    before = threading.active_count()
    clock = Clock()
    with progress._Bar(clock) as report:
        clock.now = 5.0
        report.update(event(1))
        assert threading.active_count() == before


def test_tqdm_is_imported_when_a_bar_appears() -> None:
    code = (
        "import sys; from polyregions.progress import reporter, Progress\n"
        "with reporter(True) as r: r.update(Progress(0, 1))\n"
        "heavy = {'tqdm', 'numpy', 'numba'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
@pytest.mark.parametrize(("columns", "width"), [(60, 60), (0, 80)])
def test_width_of_the_bar(columns: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that was never told its size says that it has no columns."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    termios = pytest.importorskip("termios")
    termios.tcsetwinsize(theirs, (24 if columns else 0, columns))
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        clock = Clock()
        with progress._Bar(clock) as report:
            clock.now = 5.0
            report.update(event(1))
            stream.flush()
            shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "layer 1 of 3" in shown
    assert len(shown.rsplit("\r")[-1]) == width


# -- compilation ---------------------------------------------------------------------------------


def compiled(name: str, module: str) -> object:
    """A function of `module` that numba compiles when it is called."""
    numba = pytest.importorskip("numba")
    if numba.config.DISABLE_JIT:
        pytest.skip("nothing is compiled")
    names = {"__name__": module}
    exec(f"def {name}(x): return x + 1", names)
    return numba.njit(names[name])


def test_compilation_is_noticed() -> None:
    ours, other = compiled("f", "polyregions.made_up"), compiled("g", "elsewhere")
    compilation.listen()
    begun = []
    with compilation.watched(lambda: begun.append(1)) as watch:
        other(1)
        assert (watch.n_kernels, begun) == (0, [])
        ours(1)
        assert (watch.n_kernels, begun) == (1, [1])
        assert watch.seconds > 0
        ours(2)
        assert watch.n_kernels == 1, "compiled by now"
        ours(2.0)
        assert (watch.n_kernels, begun) == (2, [1]), "said once"
    compiled("h", "polyregions.made_up")(1)
    assert watch.n_kernels == 2, "nobody watches any more"


def test_bar_says_that_kernels_are_compiled(terminal: Terminal) -> None:
    ours = compiled("f", "polyregions.made_up")
    compilation.listen()
    clock = Clock()
    with progress._Bar(clock) as report:
        clock.now = 5.0
        report.update(event(1))
        ours(1)
        clock.now = 6.0
        report.update(event(2))
    assert terminal.screen() == compilation.MESSAGE


def test_silence_is_kept_about_compilation(capsys: pytest.CaptureFixture[str]) -> None:
    ours = compiled("f", "polyregions.made_up")
    compilation.listen()
    for silent in (False, print):
        with reporter(silent):
            ours(1)
    assert capsys.readouterr() == ("", "")


def test_watches_are_told_apart() -> None:
    with compilation.watched() as outer:
        with compilation.watched() as inner:
            assert outer in compilation._watches
        assert compilation._watches[-1] is outer
        assert inner is not outer
    assert outer not in compilation._watches
