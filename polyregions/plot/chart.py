"""What figures say of a slice: the names of its coordinates, and its data points."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib.patheffects as effects
from matplotlib.axes import Axes

if TYPE_CHECKING:
    from matplotlib.artist import Artist

    from polyregions.domain import Domain
    from polyregions.slice import Slice

_INK = "#1a1a2e"
_PAPER = "white"

# Names with more letters than this have no room beside the colour wheel.
_SHORT = 3


def axis_names(plane: Slice | None) -> tuple[str, str]:
    """What to call the two coordinates; s, t or x12 are set as formulas."""
    if plane is None:
        return "$x_1$", "$x_2$"
    first, second = (_name(label) for label in plane.axis_labels)
    return first, second


def wheel_names(plane: Slice | None) -> tuple[str, str]:
    """The same, or arrows where the names are long."""
    if plane is None or all(len(label) <= _SHORT for label in plane.axis_labels):
        return axis_names(plane)
    return r"$\rightarrow$", r"$\uparrow$"


def derivative(plane: Slice | None, i: int) -> str:
    """The derivative by a coordinate, as a formula where it is a symbol."""
    name = axis_names(plane)[i]
    if name.startswith("$"):
        return rf"$\partial f/\partial {name[1:]}"
    return rf"$\partial f/\partial$ {name}"


def _name(label: str) -> str:
    symbol = re.fullmatch(r"([a-z])(\d*)", label)
    if symbol is not None:
        letter, number = symbol.groups()
        return f"${letter}_{{{number}}}$" if number else f"${letter}$"
    return label.replace("$", r"\$")


def draw_marks(ax: Axes, domain: Domain, plane: Slice | None) -> tuple[Artist, ...]:
    """Draw the data points that are inside the bounds of the domain, with their names."""
    if plane is None or not len(plane.mark_labels):
        return ()
    xmin, ymin, xmax, ymax = domain.bounds
    x, y = plane.mark_xy.T
    seen = (xmin <= x) & (x <= xmax) & (ymin <= y) & (y <= ymax)
    if not seen.any():
        return ()
    artists: list[Artist] = [
        ax.scatter(
            x[seen], y[seen], s=34, color=_INK, edgecolors=_PAPER, linewidths=1.2, zorder=4,
            clip_on=False,
        )
    ]  # fmt: skip
    for i in seen.nonzero()[0].tolist():
        # Names stay inside the axes: left of points on the right, below points at the top.
        to_left, is_high = x[i] > xmin + 0.85 * (xmax - xmin), y[i] > ymin + 0.9 * (ymax - ymin)
        text = ax.annotate(
            plane.mark_labels[i].replace("$", r"\$"),
            (x[i], y[i]),
            xytext=(-6 if to_left else 6, -6 if is_high else 6),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="top" if is_high else "bottom",
            color=_INK,
            fontsize="large",
            fontweight="bold",
            zorder=4,
        )
        text.set_path_effects([effects.withStroke(linewidth=2.5, foreground=_PAPER)])
        artists.append(text)
    return tuple(artists)
