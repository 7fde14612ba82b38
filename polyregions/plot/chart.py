"""What figures say of a slice: the names of its coordinates, and its data points."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib.patheffects as effects
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties

if TYPE_CHECKING:
    from matplotlib.artist import Artist

    from polyregions.domain import Domain
    from polyregions.slice import Slice

_INK = "#1a1a2e"
_PAPER = "white"

# Width of a letter in the names of data points, as a share of their size.
_LETTER = 0.7

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


def draw_marks(ax: Axes, domain: Domain, plane: Slice | None, width: float) -> tuple[Artist, ...]:
    """Draw the data points that are inside the bounds of the domain, with their names.

    `width` is that of the bounds on the page, in points.
    """
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
    size = FontProperties(size="large").get_size_in_points()
    for i in seen.nonzero()[0].tolist():
        # Names stay inside the axes: left of points without room for them on the right, in the
        # middle if there is none on either side, and below points at the top.
        across = (x[i] - xmin) / (xmax - xmin)
        is_high = y[i] > ymin + 0.9 * (ymax - ymin)
        needed = (_LETTER * len(plane.mark_labels[i]) * size + 12) / width
        side = 1 if across + needed <= 1 else -1 if needed <= across else 0
        text = ax.annotate(
            plane.mark_labels[i].replace("$", r"\$"),
            (x[i], y[i]),
            xytext=(6 * side, -6 if is_high else 6),
            textcoords="offset points",
            ha={1: "left", -1: "right", 0: "center"}[side],
            va="top" if is_high else "bottom",
            color=_INK,
            fontsize="large",
            fontweight="bold",
            zorder=4,
        )
        text.set_path_effects([effects.withStroke(linewidth=2.5, foreground=_PAPER)])
        artists.append(text)
    return tuple(artists)
