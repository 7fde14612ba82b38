#!/usr/bin/env python3
"""Draw every figure of the documentation, and write the numbers and printed text it shows.

What is drawn goes to docs/figures, which is not kept in the repository; the README's picture
alone goes to docs/images, which is, and is drawn only when it is asked for by name.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import runpy
import sys
import tempfile
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ["MPLBACKEND"] = "Agg"

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Circle, Polygon

import polyregions as pr
from polyregions.colors import slope_colors

EXAMPLES = """\
examples:
  %(prog)s
  %(prog)s --only concepts --only worksheet --out /tmp/figures
  %(prog)s --only readme
"""

REPOSITORY = Path(__file__).resolve().parent.parent
INK, BLUE, ORANGE, GREY = "#1a1a2e", "#0072b2", "#d55e00", "#6b6b76"
PALE, PALE_ORANGE = "#eef2f5", "#fbe3d2"
HALF_WAY = 3.0  # the distance from the origin that is drawn half-way to the rim of a disc
STYLE = {
    "font.size": 10.0,
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    # The same drawing gives the same file.
    "svg.hashsalt": "polyregions",
    "svg.fonttype": "path",
}

# The network of the concepts page: three units, then one, on [0, 4] x [0, 3].
CONCEPT_LAYERS: list[tuple[Any, Any]] = [
    ([[1, -0.25], [0.125, 1], [1, 1]], [-0.75, -1.25, -4]),
    ([[1, 1, -2]], [-0.75]),
    ([[1]], [0]),
]
CONCEPT_DOMAIN = (0, 0, 4, 3)

# The network of the data model page: two units that switch on the diagonals of a square.
MODEL_LAYERS: list[tuple[Any, Any]] = [([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])]


def save(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure and close it; no date or program version goes into the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, metadata=metadata, **options)
    plt.close(figure)


def write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


# -- drawings that explain ---------------------------------------------------------------------


def concepts(out: Path) -> None:
    """The labelled drawing of the concepts page, and its counts."""
    part = pr.partition(CONCEPT_LAYERS, domain=CONCEPT_DOMAIN)
    figure = plt.figure(figsize=(6.4, 4.8))
    ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    pr.plot.partition(part, ax, lines=None, key=False)
    _edges_by_kind(ax, part)
    ax.plot(*part.vertex_xy.T, "o", color=INK, markersize=4.5, clip_on=False, zorder=5)

    # Faces are named by their pattern, so that the labels stay right whatever their order.
    face = {"".join(map(str, row)): f for f, row in enumerate(part.face_pattern.tolist())}
    aside = {"1111": (2.05, 2.42)}  # where no other label's line runs through it
    for pattern, f in face.items():
        x, y = aside.get(pattern, part.centroids[f])
        ax.text(x, y, pattern, ha="center", va="center", family="DejaVu Sans Mono", fontsize=11)

    def edge_between(a: str, b: str) -> Any:
        pair = {face[a], face[b]}
        [e] = [e for e, sides in enumerate(part.edge_faces.tolist()) if set(sides) == pair]
        return part.vertex_xy[part.edge_vertices[e]].mean(axis=0)

    x, y = part.centroids[face["1101"]]
    corner = _common_vertex(part, face["0101"], face["0111"], face["1101"], face["1111"])
    left, right = -0.3, 4.3
    notes = [
        ("vertex: two units switch", corner, (0.55, 3.35)),
        ("... and goes on here", edge_between("1110", "1111"), (2.5, 3.35)),
        ("bent line of unit 3 ...", edge_between("0100", "0101"), (left, 2.35)),
        ("edge of unit 1 that is no crease:\none map on both sides", edge_between("0000", "0100"))
        + ((left, 1.62),),
        ("vertex in which\nthe bent line bends", _bend(part), (left, 0.87)),
        ("these four faces are\none linear region ...", (0.3, 0.4), (left, 0.15)),
        ("... and this face has the same map,\nzero: the same affine piece", (3.6, 2.75))
        + ((right, 2.75),),
        ("edge of unit 2, a crease:\nthe gradient jumps", edge_between("1101", "1111"))
        + ((right, 2.0),),
        ("face, or activation region,\nwith its activation pattern", (x + 0.25, y), (right, 1.25)),
        ("edge on the border of the domain:\nno unit, no face outside", (2.7, 0.0), (right, 0.35)),
    ]
    for text, at, place in notes:
        ax.annotate(
            text,
            at,
            xytext=place,
            ha="right" if place[0] == left else "left",
            va="center",
            fontsize=10,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.9, "shrinkA": 2, "shrinkB": 3},
        )
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    save(figure, out / "concepts.svg", bbox_inches="tight")
    write(f"{part}", out / "concepts.txt")


def _edges_by_kind(ax: Axes, part: pr.Partition) -> None:
    """Creases solid and other inner edges dashed; the second layer in another colour."""
    lines = part.vertex_xy[part.edge_vertices]
    second = part.edge_layer == 1
    for chosen, color, style in (
        (part.is_crease & ~second, INK, "solid"),
        (part.is_inner & ~part.is_crease, INK, (0, (4, 3))),
        (second, ORANGE, "solid"),
        (~part.is_inner, GREY, "solid"),
    ):
        ax.add_collection(
            LineCollection(
                lines[chosen], colors=color, linestyles=[style], linewidths=2.0, zorder=3
            )
        )


def _common_vertex(part: pr.Partition, *faces: int) -> Any:
    [v] = set.intersection(*(set(part.face(f).tolist()) for f in faces))
    return part.vertex_xy[v]


def _bend(part: pr.Partition) -> Any:
    """The lowest vertex inside the domain where two edges of the last unit meet."""
    ends = part.edge_vertices[part.edge_unit == part.n_units - 1]
    inner = np.setdiff1d(ends, part.edge_vertices[~part.is_inner])
    return min(part.vertex_xy[inner].tolist(), key=lambda p: p[1])


def data_model(out: Path) -> None:
    """The numbered drawing of the data model page."""
    part = pr.partition(MODEL_LAYERS, domain=(-1, 1))
    figure, ax = plt.subplots(figsize=(5.4, 5.4), layout="constrained")
    pr.plot.partition(part, ax, lines=None, key=False)
    for e, (a, b) in enumerate(part.vertex_xy[part.edge_vertices].tolist()):
        a, b = np.array(a), np.array(b)
        ax.annotate(
            "",
            b - 0.03 * (b - a),
            a + 0.03 * (b - a),
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.4, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )
        along = (b - a) / np.hypot(*(b - a))
        right = np.array([along[1], -along[0]])
        on_border = part.edge_faces[e, 1] < 0
        at = (a + b) / 2 + (0.09 if on_border else 0.1) * right
        ax.text(*at, f"e{e}", color=BLUE, ha="center", va="center", clip_on=False)
    for v, (x, y) in enumerate(part.vertex_xy.tolist()):
        ax.plot(x, y, "o", color=INK, markersize=6, clip_on=False, zorder=5)
        dx, dy = (0.1 * np.sign(x), 0.1 * np.sign(y)) if (x or y) else (0.0, 0.13)
        ax.text(x + dx, y + dy, f"v{v}", ha="center", va="center", clip_on=False, weight="bold")
    for f, (x, y) in enumerate(part.centroids.tolist()):
        pattern = "".join(map(str, part.face_pattern[f]))
        ax.text(x, y, f"face {f}\n{pattern}", color=ORANGE, ha="center", va="center")
    ax.axis("off")
    save(figure, out / "data-model.svg", bbox_inches="tight")


def arrangement(out: Path) -> None:
    """One layer makes an arrangement of straight lines, more layers a subdivision."""
    rng = np.random.default_rng(16)
    angle = np.pi * (np.arange(6) + rng.uniform(0.1, 0.9, 6)) / 6
    angle = angle[[0, 2, 4, 1, 3, 5]]
    first = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.choice([-1, 1], 6)[:, None]
    offset = rng.uniform(-0.9, 0.9, 6)
    second = rng.normal(size=(3, 3)), rng.uniform(-0.8, 0.8, 3)
    shallow = [(first, offset), (np.array([[0.7, -0.4, 0.5, 0.6, -0.8, 0.3]]), [0.0])]
    deep = [(first[:3], offset[:3]), second, (rng.normal(size=(1, 3)), [0.0])]
    figure, axes = plt.subplots(1, 2, figsize=(9.0, 4.7), layout="constrained")
    titles = ("6 units in one layer: an arrangement", "3 units, then 3: a subdivision")
    for ax, layers, title in zip(axes, (shallow, deep), titles, strict=True):
        part = pr.partition(layers, domain=(-2, 2))
        pr.plot.partition(part, ax, lines=None, key=False)
        lines = part.vertex_xy[part.edge_vertices]
        for layer, color in enumerate((INK, ORANGE)):
            ax.add_collection(
                LineCollection(lines[part.edge_layer == layer], colors=color, linewidths=1.6)
            )
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        ax.set_title(f"{title}\n{part.n_faces} regions", fontsize="medium")
    save(figure, out / "arrangement.svg")


def open_closed(out: Path) -> None:
    """Two faces with one map that touch in a point: one linear region or two."""
    # max(|y| - |x|, 0) is zero on the left and on the right.
    layers = [
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0, 0, 0, 0]),
        ([[-1, -1, 1, 1]], [0]),
        ([[1]], [0]),
    ]
    part = pr.partition(layers, domain=(-1, 1))
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.6), layout="constrained")
    counts = part.count(), part.count(through_vertices=True)
    panels = [
        (f"{counts[0].activation_regions} activation regions", part.is_inner),
        (f"{counts[0].linear_regions} linear regions (open)", part.is_crease),
        (f"{counts[1].linear_regions} linear regions (closed)", part.is_crease),
    ]
    for i, (ax, (title, shown)) in enumerate(zip(axes, panels, strict=True)):
        pr.plot.partition(part, ax, lines=None, key=False)
        ax.add_collection(
            LineCollection(part.vertex_xy[part.edge_vertices[shown]], colors=INK, linewidths=1.6)
        )
        if i:
            ax.plot(0, 0, "o", color="white" if i == 1 else INK, markeredgecolor=INK, zorder=4)
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        ax.set_title(title, fontsize="medium")
    save(figure, out / "open-closed.svg")


def between_floats(out: Path) -> None:
    """Twelve lines meant to meet in (1/3, 1/3), seen where float64 has hardly any numbers."""
    angle = np.pi * (np.arange(12) + 0.3) / 12
    weight = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    part = pr.partition([(weight, -weight.sum(axis=1) / 3), (np.ones((1, 12)), [0.0])], (0, 1))
    third, zoom = Fraction(1 / 3), 2**54
    figure, axes = plt.subplots(1, 2, figsize=(9.8, 4.9), layout="constrained")
    pr.plot.partition(part, axes[0], key=False)
    axes[0].set_title("twelve lines, meant to meet in (1/3, 1/3)", fontsize="medium")
    ax = axes[1]
    reach = 2.4
    for f in range(part.n_faces):
        corners = [part.exact_vertex(v) for v in part.face(f).tolist()]
        xy = np.array([[float((c - third) * zoom) for c in p] for p in corners])
        # The axes cut off what is far away; a renderer need not cope with sizes of 2**54.
        far = np.abs(xy).max(axis=1) > 1e4
        xy[far] *= (1e4 / np.abs(xy[far]).max(axis=1))[:, None]
        color = "#eeeeee" if far.any() else ORANGE
        ax.add_patch(Polygon(xy, facecolor=color, edgecolor=INK, linewidth=1.0))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    near = np.arange(-2, 3)
    ax.plot(*np.meshgrid(near, near), "o", color="white", markeredgecolor=INK, markersize=6)
    ax.set_xlabel("$(x_1 - a) \\cdot 2^{54}$, where $a$ is the float64 nearest to 1/3")
    ax.set_ylabel("$(x_2 - a) \\cdot 2^{54}$")
    ax.set_title(
        f"around that point, enlarged $2^{{54}}$ times:\n"
        f"{part.n_faces - 24} more regions (orange); circles: all float64 points",
        fontsize="medium",
    )
    save(figure, out / "between-floats.svg")


# -- what the how-tos show ---------------------------------------------------------------------


def hat_model() -> Any:
    """A 2-24-24-1 network trained for a second or two on a hat, cos(2r) exp(-0.15 r²)."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(2, 24), torch.nn.ReLU()),
        *(torch.nn.Linear(24, 24), torch.nn.ReLU()),
        torch.nn.Linear(24, 1),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    n_steps = 1500
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, n_steps)
    for _ in range(n_steps):
        x = 6 * torch.rand(512, 2) - 3
        r = x.norm(dim=1, keepdim=True)
        target = torch.cos(2 * r) * torch.exp(-0.15 * r**2)
        loss = torch.mean((model(x) - target) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def readme(out: Path) -> None:
    """The picture of the README and of the front page: a trained network and its graph."""
    part = pr.partition(hat_model(), domain=(-3, 3))
    figure = plt.figure(figsize=(10.4, 4.9))
    left = figure.add_axes((0.005, 0.01, 0.465, 0.98))
    pr.plot.partition(part, left, lines="jump", key=False)
    left.set(xlabel="", ylabel="", xticks=[], yticks=[])
    right = figure.add_axes((0.47, -0.08, 0.54, 1.16), projection="3d", proj_type="ortho")
    pr.plot.surface(part, right, key=False)
    right.set_box_aspect((1, 1, 0.6), zoom=1.1)
    right.set_axis_off()
    right.patch.set_visible(False)
    save(figure, out / "partition.png", dpi=110)
    shrink(out / "partition.png")


def shrink(path: Path) -> None:
    """Store a picture with 256 colours, which is enough for flat ones and a third of the size."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def quickstart(out: Path) -> None:
    """The regions of the network of the quick start."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 20), torch.nn.ReLU(), torch.nn.Linear(20, 1))
    drawn = pr.plot.partition(pr.partition(model, domain=(-10, 10)))
    save(drawn.ax.get_figure(), out / "quickstart.png", dpi=130)


def plot_options(out: Path) -> None:
    """Every way to colour a partition and to weigh its lines."""
    part = pr.partition(hat_model(), domain=(-3, 3))
    figure, axes = plt.subplots(2, 4, figsize=(13.2, 6.9), layout="constrained")
    colors = [{"color": c, "lines": None} for c in ("slope", "value", "layer", "area", "count")]
    lines = [{"color": None, "lines": kind} for kind in ("layer", "jump", "crease")]
    for ax, options in zip(axes.ravel(), colors + lines, strict=True):
        pr.plot.partition(part, ax, key=False, **options)
        [(name, value)] = [(k, v) for k, v in options.items() if v is not None]
        ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
        ax.set_title(f'{name}="{value}"', family="DejaVu Sans Mono", fontsize=11)
    save(figure, out / "plot-options.png", dpi=100)


# Three pictures of 8 x 8, drawn with a pen that is as dark as its digit.
PICTURES = {
    "ring": "........ ..####.. .#....#. .#....#. .#....#. .#....#. ..####.. ........",
    "cross": "........ .#....#. ..#..#.. ...##... ...##... ..#..#.. .#....#. ........",
    "bar": "...##... ...##... ...##... ...##... ...##... ...##... ...##... ...##...",
}


def pictures() -> dict[str, Any]:
    """The three pictures as tensors of shape (1, 8, 8), their names before them."""
    import torch

    return {
        name: torch.tensor([[[float(c == "#") for c in row] for row in rows.split()]])
        for name, rows in PICTURES.items()
    }


def picture_model() -> Any:
    """A small network that has learned to tell the three pictures apart, noise or not."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    clean = torch.stack([*pictures().values()]).reshape(3, 64)
    for _ in range(300):
        label = torch.arange(96) % 3
        x = clean[label] + 0.4 * torch.randn(96, 64)
        loss = nn.functional.cross_entropy(model(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def slices(out: Path) -> None:
    """The plane through three pictures, and how each output there grows with their pixels."""
    shown = pictures()
    plane = pr.Slice.from_data(*shown.values(), labels=list(shown))
    part = pr.partition(picture_model(), slice=plane)
    figure = plt.figure(figsize=(8.8, 5.0), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.6, 1))
    ax = left.subplots()
    pr.plot.partition(part, ax, color="slope", key=False)
    left.suptitle(f"{len(part):,} regions, by the slope of output 0 (ring)", fontsize=11)
    panels = right.subplots(3, 2)
    faces = part.locate(plane.mark_xy)
    for (name, picture), face, (seen, felt) in zip(shown.items(), faces, panels, strict=True):
        seen.imshow(1 - picture[0], cmap="gray", vmin=0, vmax=1)
        seen.set_ylabel(name, fontsize=11)
        gradient = part.jacobian(int(face))[0].reshape(8, 8)
        most = np.abs(gradient).max()
        felt.imshow(gradient, cmap="RdBu_r", vmin=-most, vmax=most)
        for panel in (seen, felt):
            panel.set(xticks=[], yticks=[])
    panels[0, 0].set_title("picture", fontsize=11)
    panels[0, 1].set_title("gradient of output 0", fontsize=11)
    save(figure, out / "slices.png", dpi=110)


def lines(out: Path) -> None:
    """From one picture to another, and what every pixel adds to each output on the way."""
    shown = pictures()
    names = list(shown)
    way = pr.partition_line(picture_model(), shown["cross"], shown["ring"])
    added = pr.integrated_gradients(picture_model(), shown["ring"], shown["cross"])
    figure = plt.figure(figsize=(8.8, 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.4, 1))
    ax = above.subplots()
    pr.plot.line(way, ax, names=names)
    ax.set_title(f"{len(way)} pieces between a cross (s = 0) and a ring (s = 1)", fontsize=11)
    panels = below.subplots(1, 5)
    most = np.abs(added).max()
    for panel, name in zip(panels[:2], ("cross", "ring"), strict=True):
        panel.imshow(1 - shown[name][0], cmap="gray", vmin=0, vmax=1)
        panel.set_title(f"a {name}", fontsize=10)
    for panel, name, picture in zip(panels[2:], names, added, strict=True):
        panel.imshow(picture[0], cmap="RdBu_r", vmin=-most, vmax=most)
        panel.set_title(f'for "{name}": {picture.sum():+.1f}', fontsize=10)
    for panel in panels:
        panel.set(xticks=[], yticks=[])
    save(figure, out / "lines.png", dpi=110)


def decisions(out: Path) -> None:
    """What a classifier takes the plane through three pictures for."""
    shown = pictures()
    names = list(shown)
    plane = pr.Slice.from_data(*shown.values(), labels=names)
    part = pr.partition(pr.with_decision(picture_model(), shape=plane.shape), slice=plane)
    figure, axes = plt.subplots(1, 2, figsize=(8.8, 4.4), layout="constrained", sharey=True)
    pr.plot.decisions(part, axes[0], labels=names, key=False)
    pr.plot.decisions(part, axes[1], labels=names, edges=True, key=True)
    axes[1].set_ylabel("")
    save(figure, out / "decisions.png", dpi=110)


def plane(out: Path) -> None:
    """Four lines on the whole plane, and all of the plane that a trained network divides."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 5.0), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)
    _four_lines(left)
    _disc(right, pr.partition(hat_model(), domain=None))
    save(figure, out / "plane.png", dpi=110)


def _four_lines(ax: Axes) -> None:
    """The example of the how-to: what is bounded, and what goes to infinity."""
    rows = [[2, -1], [1, 1], [1, -2], [0, 1]]
    part = pr.partition([(rows, [0, -3, 4, 1]), (np.ones((1, 4)), [0])], domain=None)
    size = float(part.bounding_square())
    far_right = int(part.locate([1000, 0]))
    reach = 1.5 * size
    for f in range(len(part)):
        color = PALE if part.face_is_unbounded[f] else "#9cc9e8"
        corners = part.vertex_xy[part.face(f)]
        ax.add_patch(Polygon(corners, facecolor=PALE_ORANGE if f == far_right else color, lw=0))
    ends = part.vertex_xy[part.edge_vertices[part.is_inner]]
    ax.add_collection(LineCollection(ends, colors=INK, linewidths=1.0))
    ax.add_patch(
        Polygon(size * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), fill=False, ec=BLUE, ls="--")
    )
    for ray in part.rays(far_right):
        start, along = (np.array(v, dtype=np.float64) for v in (ray.point, ray.direction))
        tip = start + along * (reach - 0.4 - start[0]) / along[0]
        arrow = {"arrowstyle": "-|>,head_width=0.28", "color": ORANGE, "lw": 2.2, "shrinkA": 0}
        ax.annotate("", tip, start, arrowprops={**arrow, "shrinkB": 0})
    at = part.vertex_xy[~part.vertex_is_infinite]
    ax.plot(*at.T, "o", color=INK, markersize=4)
    ax.text(0.69 * reach, -0.07 * size, "two rays", color=ORANGE, ha="left", va="center")
    note = f"bounding_square() = {part.bounding_square()}"
    ax.text(size, -size - 0.15, note, ha="right", va="top", color=BLUE, fontsize=9)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    n = int(part.face_is_unbounded.sum())
    ax.set_title(f"four lines: {len(part)} regions, {n} of them unbounded", fontsize=11)


def _disc(ax: Axes, part: pr.Partition) -> None:
    """The whole plane, pulled into a disc whose rim is infinity."""
    colors = slope_colors(part.face_weight)
    polygons = [part.vertex_xy[part.face(f)] for f in range(len(part))]
    outlines = [
        np.concatenate([_pulled(p, q) for p, q in pairwise([*corners, corners[0]])])
        for corners in polygons
    ]
    ax.add_collection(PolyCollection(outlines, facecolors=colors, edgecolors="face", lw=0.4))
    ends = part.vertex_xy[part.edge_vertices[part.is_inner]]
    ax.add_collection(LineCollection([_pulled(*e) for e in ends], colors=INK, linewidths=0.35))
    ax.add_patch(Circle((0, 0), 1, fill=False, ec=INK, lw=1.4))
    for r in (3, 30):
        ax.add_patch(Circle((0, 0), r / (r + HALF_WAY), fill=False, ec=BLUE, ls="--", lw=1.0))
        at = r / (r + HALF_WAY) * np.array([0.5**0.5, -(0.5**0.5)])
        ax.text(*at, f"$r = {r}$", color=BLUE, fontsize=9, ha="center", va="center",
                bbox={"fc": "white", "ec": "none", "pad": 1.0, "alpha": 0.85})  # fmt: skip
    ax.text(0.76, 0.76, r"$\infty$", color=INK, fontsize=15, ha="center", va="center")
    ax.set(xlim=(-1.04, 1.04), ylim=(-1.04, 1.04), aspect="equal")
    ax.set_axis_off()
    n = int(part.face_is_unbounded.sum())
    title = f"a trained network: {len(part):,} regions, {n} unbounded"
    ax.set_title(title, fontsize=11)


def _pulled(p: Any, q: Any, depth: int = 12) -> Any:
    """A segment in the disc, as points so dense that it looks as curved as it is."""
    places = [np.asarray(point) / (np.hypot(*point) + HALF_WAY) for point in (p, q, (p + q) / 2)]
    off = np.hypot(*(places[2] - (places[0] + places[1]) / 2))
    if depth == 0 or (off < 0.002 and depth < 10):
        return np.array(places[:2])
    middle = (p + q) / 2
    return np.concatenate([_pulled(p, middle, depth - 1), _pulled(middle, q, depth - 1)])


def depth(out: Path) -> None:
    """Output and plot of scripts/count_regions_by_depth.py."""
    script = str(REPOSITORY / "scripts" / "count_regions_by_depth.py")
    argv = ["--budgets", "12", "24", "48", "--max-depth", "6", "--seeds", "10"]
    with tempfile.TemporaryDirectory() as folder:
        files = ["--csv", f"{folder}/depth.csv", "--plot", f"{folder}/depth.png"]
        text = run_script(script, argv + files)
        out.mkdir(parents=True, exist_ok=True)
        (out / "depth.png").write_bytes(Path(folder, "depth.png").read_bytes())
    command = "$ python scripts/count_regions_by_depth.py " + " ".join(argv)
    write(f"{command}\n{text}", out / "depth.txt")


def help_texts(out: Path) -> None:
    """What `polyregions COMMAND --help` prints."""
    from polyregions.cli import main as command_line

    os.environ["COLUMNS"] = "92"
    for command in ("count", "plot", "verify", "export", "line", "demo"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            command_line([command, "--help"])
        text = f"$ polyregions {command} --help\n{printed.getvalue()}"
        write(text, out / "help" / f"{command}.txt")


def run_script(path: str, argv: Sequence[str]) -> str:
    """What a script prints when run with these arguments."""
    before = sys.argv
    printed = io.StringIO()
    sys.argv = [path, *argv]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            runpy.run_path(path, run_name="__main__")
    except SystemExit as stop:
        if stop.code not in (0, None):
            raise RuntimeError(f"{path} ended with {stop.code}") from stop
    finally:
        sys.argv = before
    return printed.getvalue()


# -- the worksheet -----------------------------------------------------------------------------


def worksheet(out: Path) -> None:
    """All figures, printed answers and numbers of the worksheet page."""
    from polyregions.worksheet import answer, figures, report

    answers = answer(seed=0)
    folder = out / "worksheet"
    for section in report.sections(answers):
        heading, body = _split_section(section)
        write(body, folder / f"{slug(heading)}.txt")
    numbers = json.dumps(worksheet_numbers(answers), indent=1, ensure_ascii=False)
    write(numbers, folder / "numbers.json")
    for _ in figures.draw_all(answers, folder, dpi=90):
        pass


def _split_section(section: str) -> tuple[str, str]:
    """Heading and text of a section of the printed report."""
    heading, _, body = section.strip("\n").split("\n", 2)
    return heading, re.sub(r"^  ", "", body, flags=re.MULTILINE)


def slug(heading: str) -> str:
    """A heading as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def worksheet_numbers(answers: Any) -> dict[str, str]:
    """The numbers that the text of the worksheet page quotes, by name."""
    numbers: dict[str, str] = {}
    for sheet in answers.sheets:
        name, zoom = sheet.name, sheet.zoom
        near, far = sheet.ranges[0], sheet.ranges[-1]
        numbers |= {
            f"{name}_parameters": f"{sheet.parameters.total:,}",
            f"{name}_units": f"{sheet.network.n_units}",
            f"{name}_half_width": f"{float(zoom.extent.half_width):,.6g}",
            f"{name}_n_vertices": f"{zoom.n_vertices:,}",
            f"{name}_n_beyond": f"{zoom.n_beyond:,}",
            f"{name}_outside_3": f"{zoom.n_outside(3.0) + zoom.n_beyond:,}",
            f"{name}_outside_50": f"{zoom.n_outside(50.0) + zoom.n_beyond:,}",
            f"{name}_smallest_area": f"{near.smallest_area:.3g}",
            f"{name}_first_near": f"{near.smallest_first:,}",
            f"{name}_sure_near": f"{near.smallest_sure:,}",
            f"{name}_sure_far": f"{far.smallest_sure:,}",
            f"{name}_lines": f"{sum(line.n_components > 0 for line in sheet.lines)}",
            f"{name}_bends": f"{sum(line.n_bends for line in sheet.lines)}",
            f"{name}_broken": f"{sum(line.n_components > 1 for line in sheet.lines)}",
            f"{name}_same_grid": f"{sheet.random.same_region_grid:.1%}",
            f"{name}_same_random": f"{sheet.random.same_region:.1%}",
            f"{name}_same_expected": f"{sheet.random.same_region_expected:.1%}",
        }
        for r in sheet.ranges:
            at = f"{name}_{r.half_width:g}"
            numbers |= {
                f"{at}_regions": f"{r.count.activation_regions:,}",
                f"{at}_linear": f"{r.count.linear_regions:,}",
                f"{at}_affine": f"{r.count.affine_pieces:,}",
                f"{at}_hit": f"{r.n_hit:,}",
                f"{at}_missed": f"{len(r.missed):,}",
            }
    for sheet, bias, absolute in zip(answers.sheets, answers.bias, answers.absolute, strict=True):
        numbers[f"{sheet.name}_bias"] = f"{bias.bias:.6g}"
        numbers[f"{sheet.name}_abs_regions"] = f"{absolute.absolute.n_faces:,}"
    for contestant in answers.contest:
        at = "contest_" + contestant.name.replace("-", "_")
        numbers[f"{at}_parameters"] = f"{contestant.n_parameters}"
        numbers[f"{at}_median"] = f"{np.median(contestant.regions):g}"
    return numbers


# -- the command line --------------------------------------------------------------------------

DRAWINGS: dict[str, Callable[[Path], None]] = {
    "concepts": concepts,
    "data-model": data_model,
    "arrangement": arrangement,
    "open-closed": open_closed,
    "between-floats": between_floats,
    "quickstart": quickstart,
    "plot-options": plot_options,
    "slices": slices,
    "lines": lines,
    "decisions": decisions,
    "plane": plane,
    "help": help_texts,
    "depth": depth,
    "worksheet": worksheet,
}
KEPT: dict[str, Callable[[Path], None]] = {"readme": readme}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [*DRAWINGS, *KEPT]
    help_only = "draw this one, and no others; may be given several times"
    help_out = "the folder to write to (docs/figures; docs/images for readme)"
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=help_only)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=help_out)
    parser.add_argument("--list", action="store_true", help="print the names and what they are")
    args = parser.parse_args(argv)
    if args.list:
        for name, draw in (DRAWINGS | KEPT).items():
            print(f"{name:<16}{(draw.__doc__ or '').splitlines()[0]}")
        return 0
    import torch

    torch.set_num_threads(1)  # everything is small: more threads would wait for each other
    for name in args.only or DRAWINGS:
        default = REPOSITORY / "docs" / ("images" if name in KEPT else "figures")
        out = args.out or default
        start = perf_counter()
        with plt.rc_context(STYLE):
            (DRAWINGS | KEPT)[name](out)
        print(f"{name:<16}{perf_counter() - start:5.1f} s  {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
