"""What the README, the documentation and the docstrings show is what happens."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
import json
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import polyregions as pr

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("howto/*.md"))]
MODULES = ["polyregions"] + [
    info.name
    for info in pkgutil.walk_packages(pr.__path__, "polyregions.")
    if not info.name.endswith("__main__")
]


@pytest.fixture(autouse=True)
def quiet_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:  # what is shown may write files, draw, and seed generators
    import matplotlib.pyplot as plt
    import numpy as np
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    plt.switch_backend("Agg")
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]), np.printoptions():
        yield
    torch.set_num_threads(threads)
    plt.close("all")


# -- the pages ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int
    follows: bool  # directly behind another block


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    inside: tuple[str, int, list[str]] | None = None
    follows = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = re.fullmatch(r"\s*(```+)\s*(\S*)\s*.*", line)
        if inside is None and fence:
            inside = fence[2], number, []
        elif inside is not None and fence and not fence[2]:
            language, start, lines = inside
            found.append(Block(language, "\n".join(lines) + "\n", start, follows))
            inside, follows = None, True
        elif inside is not None:
            inside[2].append(line)
        elif line.strip():
            follows = False
    assert inside is None, f"{page} has a block that does not end"
    return found


# The size of rounding errors depends on the order in which a machine adds, that of compressed files
# on its compressor.
MEASURED = re.compile(r"largest error [^,]+, \d+% of its bound|[\d,]+ bytes")


def normal(text: str) -> str:
    return "\n".join(
        line.rstrip() for line in MEASURED.sub("<measured>", text).strip().splitlines()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_blocks_of_python_do_what_they_show(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = blocks(page)
    for i, block in enumerate(shown):
        if block.language != "python":
            continue
        where = f"{page.relative_to(REPOSITORY)}, line {block.line}"
        if ">>> " in block.text:
            run_examples(block.text, names, where)
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
        after = shown[i + 1] if i + 1 < len(shown) else None
        has_output = after is not None and after.language == "text" and after.follows
        expected = after.text if after is not None and has_output else ""
        assert normal(printed.getvalue()) == normal(expected), where


def run_examples(text: str, names: dict[str, Any], where: str) -> None:
    test = doctest.DocTestParser().get_doctest(text, {}, where, where, 0)
    test.globs = names  # shared by the whole page
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report = io.StringIO()
    failed, _ = runner.run(test, out=report.write, clear_globs=False)
    assert not failed, report.getvalue()


def commands() -> list[Any]:
    """Every line of every console block, with what is printed below it."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.language == "console":
                name = str(page.relative_to(REPOSITORY))
                found += [
                    pytest.param(*command, id=f"{name}:{block.line} {command[0][:40]}")
                    for command in split_commands(block.text)
                ]
    return found


def split_commands(text: str) -> Iterator[tuple[str, str]]:
    """Commands and their output: after "$ ", or, where no line has it, every line is a command."""
    if not re.search(r"^\$ ", text, flags=re.MULTILINE):
        yield from ((line, "") for line in text.splitlines() if line.strip())
        return
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of, most of the network of the README."""
    import numpy as np
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("files")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 20), nn.ReLU(), nn.Linear(20, 1)).eval()
    program = torch.export.export(model, (torch.zeros(1, 2),))
    torch.export.save(program, folder / "model.pt2")
    torch.save(model.state_dict(), folder / "model.pt")
    pr.partition(model, domain=(-10, 10)).save(folder / "regions.npz")
    # A network of five inputs, and three of them.
    rng = np.random.default_rng(0)
    layers = {}
    for i, (n_in, n_out) in enumerate([(5, 20), (20, 20), (20, 5)]):
        layers[f"W{i}"] = rng.normal(size=(n_out, n_in)) / n_in**0.5
        layers[f"b{i}"] = rng.normal(size=n_out)
    np.savez(folder / "controller.npz", **layers)
    np.save(folder / "points.npy", rng.normal(size=(3, 5)))
    island = [[[0, 0], [4, 1], [1, 1], [1, 4], [0, 0]]]
    geometry = json.dumps({"type": "Polygon", "coordinates": island})
    (folder / "coast.geojson").write_text(geometry)
    return folder


@pytest.mark.parametrize(("command", "expected"), commands())
def test_commands_exist_and_print_what_is_shown(
    command: str, expected: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command.partition(" | ")[0], comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif words[:3] == ["python", "-m", "timeit"]:
        compile("\n".join(words[-2:]), "timeit", "exec")
    elif words[0] == "python":
        script = REPOSITORY / words[1]
        assert script.is_file()
        listed = subprocess.run(
            [sys.executable, script, "--help"], capture_output=True, text=True, check=True
        ).stdout
        options = {word for word in words[2:] if word.startswith("--")}
        assert options <= set(re.findall(r"--[a-z-]+", listed))
    elif words[0] == "polyregions":
        from polyregions.cli import main

        for file in files.iterdir():
            shutil.copy(file, tmp_path)
        # The demo takes its time, and has tests of its own.
        status = main([*words[1:], "--help"] if words[1] == "demo" else words[1:])
        printed = capsys.readouterr()
        fails = expected.startswith("polyregions: error:")
        assert status == (2 if fails else 0), printed.err
        if expected:
            assert normal(printed.out + printed.err) == normal(expected)
    else:
        assert words[0] in ("pip", "python3"), f"what is {command!r}?"


def test_links_of_the_readme_lead_somewhere() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    local = [target for target in targets if not target.startswith("https://")]
    assert "docs/images/partition.png" in local
    assert [target for target in local if not (REPOSITORY / target).exists()] == []
    pictures = sorted((DOCS / "images").iterdir())
    assert [p.name for p in pictures if p.stat().st_size > 300_000] == []


# -- docstrings --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    module = import_module(name)
    assert module.__doc__ or not Path(module.__file__ or "").read_text().strip(), name
    report = io.StringIO()
    runner = doctest.DocTestRunner()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=report.write)
    assert runner.failures == 0, report.getvalue()


def public() -> dict[str, Any]:
    """Everything that docs/api lists, by its full name."""
    found = {}
    module = ""
    for line in (DOCS / "api" / "index.rst").read_text(encoding="utf-8").splitlines():
        if directive := re.fullmatch(r"\.\. currentmodule:: (\S+)", line):
            module = directive[1]
        elif entry := re.fullmatch(r"   (\w+)", line):
            found[f"{module}.{entry[1]}"] = getattr(import_module(module), entry[1])
    return found


PUBLIC = public()


def test_every_name_of_the_package_is_in_the_reference() -> None:
    names = {name for name in dir(pr) if not name.startswith("_")}
    own = {
        name
        for name in names
        if getattr(getattr(pr, name), "__module__", "").startswith("polyregions")
    }
    assert {f"polyregions.{name}" for name in own} - PUBLIC.keys() == set()
    lazy = {name for name in names if isinstance(getattr(pr, name), ModuleType)}
    for name in ("bounds", "plot", "smooth"):
        assert name in lazy
        for item in import_module(f"polyregions.{name}").__all__:
            assert f"polyregions.{name}.{item}" in PUBLIC


def sections(thing: Any) -> list[str]:
    text = inspect.getdoc(thing) or ""
    return re.findall(r"^(\w[\w ]*)\n-+$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_say_what_goes_in_and_what_comes_out(name: str) -> None:
    thing = PUBLIC[name]
    summary = (thing.__doc__ or "").strip().split("\n\n")[0]
    assert summary, f"{name} has no docstring"
    assert "\n" not in summary, f"the summary of {name} is longer than a line"
    if inspect.isclass(thing):
        check_members(name, thing)
        return
    documented = sections(thing)
    if inspect.signature(thing).parameters:
        assert "Parameters" in documented, name
        described = inspect.getdoc(thing) or ""
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^(\w+, )*{parameter}\b", described, re.MULTILINE), (name, parameter)
    if thing.__module__ != "polyregions.bounds":  # each returns the number that it is named for
        assert "Returns" in documented, name


def check_members(name: str, kind: type) -> None:
    for member, value in vars(kind).items():
        is_own = inspect.isfunction(value) or isinstance(value, property | classmethod)
        # A count says by its name what it is.
        if not member.startswith(("_", "n_")) and is_own:
            assert inspect.getdoc(value), f"{name}.{member} has no docstring"
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "_fields", ())
    if fields:
        text = inspect.getdoc(kind) or ""
        assert "Attributes" in sections(kind), name
        for field in fields:
            assert re.search(rf"\b{field}\b", text), f"{name}.{field} is not described"
