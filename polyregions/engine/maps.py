"""The affine maps of all faces before each activation, kept or worked out again by blocks.

All maps of a wide layer take far more memory than the complex itself. So those of a layer are
kept only where that is cheaper and there is room; else a block of them is made from the maps of
the block's parents whenever it is wanted. Either way each number comes from the same operations,
so the result does not depend on what was kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyregions.engine import bounding, kernels
from polyregions.engine.complex import INDEX
from polyregions.engine.layers import Layer
from polyregions.engine.program import Bounded, Bounds
from polyregions.float64 import HUGE, TINY
from polyregions.network import ByteArray, FloatArray, IntArray

# Maps are changed from sibling to sibling at most so many times before a product is due.
_LONGEST_PATH = 128
# Where parents have more children than this times their width, maps are not kept unless they are
# few: a child's map costs little more than to copy it.
_MANY_CHILDREN = 0.25
_FEW_BYTES = 1 << 26
# Floats of one value that a program's steps work on at a time.
_BLOCK = 1 << 16


@dataclass
class Window:
    """The coordinates that error bounds of maps refer to, for most domains the largest ones.

    Where bounds are separate, that of c is never made to cover a and b as well. Then they hold
    for vertices of any size, those beyond the window included, and are as good as these are small.
    """

    x: float
    y: float
    is_separate: bool = False
    inverse: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        # A hair larger, so that it stays a bound after rounding.
        self.inverse = (1 / self.x * (1 + 1e-12), 1 / self.y * (1 + 1e-12))


@dataclass
class Split:
    """What a layer did to the faces before it, for the maps behind it.

    Attributes
    ----------
    child_start : (F + 1,) int32
        Children of face f are ``child_start[f]`` to ``child_start[f + 1]``.
    child_ref : int32
        For each child the sibling, itself for the first, whose neighbour it is.
    parent : int32
        For each child its parent.
    pieces : (children, n) uint8
        The piece of each of the layer's units.
    entry_start, entry_line : int32
        The lines that cut each face.
    n_flips : (F,) int32
        How many units switch among the children of a face.
    """

    child_start: IntArray
    child_ref: IntArray
    parent: IntArray
    pieces: ByteArray
    entry_start: IntArray
    entry_line: IntArray
    n_flips: IntArray


@dataclass
class Maps:
    """Maps of a run of faces: columns a, b, c of ``a x + b y + c`` for n values.

    Faces with the same parent have the same error bounds. `eab` bounds the error of
    ``|a| X + |b| Y``, where X and Y are the largest coordinates of the domain, `ec` that of c.
    Where `eab` is zero but a or b is not exact, `ec` bounds all three.
    """

    first_face: int
    first_group: int
    columns: FloatArray  # (faces, 3, n)
    eab: FloatArray  # (groups, n)
    ec: FloatArray  # (groups, n)


class Level:
    """The faces before one activation layer, or before the outputs, and their maps."""

    layer: Layer
    window: Window
    n_faces: int
    group: IntArray  # (F,) faces with one number have the same error bounds
    item_child: IntArray  # first face of each run of faces that are worked out together, and F
    kept: Maps | None  # the maps of all faces
    is_given: bool  # there is nothing to work out

    @staticmethod
    def first(layer: Layer, window: Window, n_faces: int) -> Level:
        """The faces that a domain starts with, before the first layer."""
        maps = _first_maps(layer, window)
        maps.columns = np.repeat(maps.columns, n_faces, axis=0)
        return Level._given(layer, window, maps, np.zeros(n_faces, dtype=INDEX))

    @staticmethod
    def behind(before: Level, split: Split, layer: Layer, *, room: int) -> Level:
        """The faces behind a layer, before `layer`; `room` is how many bytes may be kept."""
        level = Level()
        level.layer, level.window = layer, before.window
        level._work_out_later(before, split, room)
        return level

    @staticmethod
    def _given(layer: Layer, window: Window, maps: Maps, group: IntArray) -> Level:
        level = Level()
        level.layer, level.window = layer, window
        level.is_given, level.kept = True, maps
        level.group, level.n_faces = group, len(group)
        level.item_child = np.arange(len(group) + 1, dtype=INDEX)
        return level

    def _work_out_later(self, before: Level, split: Split, room: int) -> None:
        self.is_given = False
        self.before = before
        self.split = split
        self.n_faces = len(split.parent)
        if not self.layer.is_dense:
            # One face after the other, each with error bounds of its own.
            self.group = np.arange(self.n_faces, dtype=INDEX)
            self.item_parent = split.parent
            self.item_child = np.arange(self.n_faces + 1, dtype=INDEX)
            self.kept = None
            if 8 * 5 * self.layer.width * self.n_faces <= room:
                self.kept = _empty_maps(0, 0, self.n_faces, self.n_faces, self.layer.width)
            return
        self.group = split.parent
        children = split.child_start[1:] - split.child_start[:-1]
        self.item_parent, self.item_child = _items(split.child_start, children)
        self.budget = np.minimum(_LONGEST_PATH, 4 * children)
        n, m = self.layer.width, before.layer.width
        n_groups = len(children)
        size = 8 * n * (3 * self.n_faces + 2 * n_groups)
        is_cheap = self.n_faces > _MANY_CHILDREN * m * n_groups
        self.kept = None
        if size <= (min(room, _FEW_BYTES) if is_cheap else room):
            self.kept = _empty_maps(0, 0, self.n_faces, n_groups, n)

    def part_of(self, begin: int, end: int) -> Level:
        """A level of the faces `begin` to `end` alone."""
        maps = self.maps(begin, end)
        here = maps.columns[begin - maps.first_face : end - maps.first_face]
        group = self.group[begin:end] - INDEX(maps.first_group)
        return Level._given(self.layer, self.window, Maps(0, 0, here, maps.eab, maps.ec), group)

    def let_go(self) -> None:
        """Forget what the maps of all faces, which are kept, were worked out from."""
        if not self.is_given:
            self.is_given = True
            del self.before, self.split

    @property
    def parents_are_kept(self) -> bool:
        """Whether maps of parents need not be worked out."""
        return self.is_given or self.before.kept is not None

    @property
    def n_items(self) -> int:
        """Number of runs of faces that maps are worked out for together."""
        return len(self.item_child) - 1

    @property
    def nbytes(self) -> int:
        return (
            0
            if self.kept is None
            else sum(a.nbytes for a in (self.kept.columns, self.kept.eab, self.kept.ec))
        )

    def parent_maps(self, begin: int, end: int) -> Maps:
        """The maps before the layer before, of the parents of items `begin` to `end`."""
        return self.before.maps(int(self.item_parent[begin]), int(self.item_parent[end - 1]) + 1)

    def original(self, face: Any, line: Any) -> tuple[Any, Any]:
        """Faces and lines by their numbers before the layer, of which this may be a part."""
        return face, line

    def all_maps(self) -> Maps:
        """The maps of all faces, worked out in one go; fills what is kept."""
        if self.is_given:
            return self.maps(0, self.n_faces)
        return self.work_out(0, self.n_items, self.parent_maps(0, self.n_items))

    def work_out(self, begin: int, end: int, prev: Maps) -> Maps:
        """The maps of items `begin` to `end`, given those of their parents; fills what is kept."""
        if not self.layer.is_dense:
            return self._apply(begin, end, prev)
        split, following = self.split, self.layer
        layer = self.before.layer
        parents = slice(int(self.item_parent[begin]), int(self.item_parent[end - 1]) + 1)
        faces = slice(int(self.item_child[begin]), int(self.item_child[end]))
        maps = self.kept
        if maps is None:
            n_faces, n_groups = faces.stop - faces.start, parents.stop - parents.start
            maps = _empty_maps(faces.start, parents.start, n_faces, n_groups, following.width)
        kernels.next_maps(
            begin, end, self.item_parent, self.item_child, prev.first_face, prev.first_group,
            prev.columns, prev.eab, prev.ec, self.before.group, split.child_start,
            split.child_ref, split.pieces, layer.slopes, layer.intercepts, split.entry_start,
            split.entry_line, layer.member_offsets, layer.member_unit, split.n_flips, self.budget,
            self.window.x, self.window.y, self.window.is_separate, following.transposed,
            following.transposed_error,
            following.bias, following.bias_error, not following.is_exact, maps.first_face,
            maps.first_group, maps.columns, maps.eab, maps.ec,
        )  # fmt: skip
        return maps

    @np.errstate(over="ignore", invalid="ignore", under="ignore")
    def _apply(self, begin: int, end: int, prev: Maps) -> Maps:
        """`work_out` for a layer that is no matrix: face by face, step by step."""
        maps = self.kept
        if maps is None:
            maps = _empty_maps(begin, begin, end - begin, end - begin, self.layer.width)
        layer, size = self.before.layer, (self.window.x, self.window.y)
        bounds = Bounds(*size)
        most = max(1, _BLOCK // max(1, *self.layer.segment.widths))
        for first in range(begin, end, most):
            faces = slice(first, min(first + most, end))
            n = faces.stop - faces.start
            switched = Bounded(np.empty((n, 3, layer.width)), np.empty((n, 2, layer.width)))
            bounding.switch(
                self.split.parent[faces], prev.first_face, self.before.group, prev.first_group,
                prev.columns, prev.eab, prev.ec, layer.is_dense, self.split.pieces[faces],
                layer.slopes, layer.intercepts, *size, switched.columns, switched.errors,
            )  # fmt: skip
            found = bounds.segment(self.layer.segment, switched)
            here = slice(faces.start - maps.first_face, faces.stop - maps.first_face)
            maps.columns[here] = found.columns
            maps.eab[here], maps.ec[here] = found.errors[:, 0], found.errors[:, 1]
        return maps

    def maps(self, begin: int, end: int) -> Maps:
        """Maps that hold at least those of faces `begin` to `end`."""
        if self.kept is not None:
            return self.kept
        first = int(np.searchsorted(self.item_child, begin, side="right")) - 1
        last = int(np.searchsorted(self.item_child, end, side="left"))
        return self.work_out(first, last, self.parent_maps(first, last))


def _empty_maps(first_face: int, first_group: int, n_faces: int, n_groups: int, n: int) -> Maps:
    return Maps(
        first_face,
        first_group,
        np.empty((n_faces, 3, n)),
        np.zeros((n_groups, n)),
        np.empty((n_groups, n)),
    )


def _first_maps(layer: Layer, window: Window) -> Maps:
    if not layer.is_dense:
        plane = Bounded(np.eye(3)[None, :, :2].copy(), np.zeros((1, 2, 2)))
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            found = Bounds(window.x, window.y).segment(layer.segment, plane)
        columns = np.ascontiguousarray(found.columns)
        eab, ec = np.ascontiguousarray(found.errors.swapaxes(0, 1))
        return Maps(0, 0, columns, eab, ec)
    columns = np.empty((1, 3, layer.width))
    columns[0, :2], columns[0, 2] = layer.weight.T, layer.bias
    if layer.is_exact:
        return Maps(0, 0, columns, *np.zeros((2, 1, layer.width)))
    error = layer.weight_error
    with np.errstate(over="ignore", invalid="ignore"):
        eab = (error[:, 0] * window.x + error[:, 1] * window.y) * (1 + 1e-9)
    eab += TINY * (error > 0).any(axis=1)
    ec = layer.bias_error * (1 + 1e-9)
    eab, ec = (np.where(e < HUGE, e, np.inf)[None] for e in (eab, ec))
    return Maps(0, 0, columns, eab, ec)


def _items(child_start: IntArray, children: IntArray) -> tuple[IntArray, IntArray]:
    """Runs of at most CHUNK children of one parent: their parents and first children."""
    # Nobody is without a child.
    if child_start[-1] <= kernels.CHUNK or children.max(initial=0) <= kernels.CHUNK:
        return np.arange(len(children), dtype=INDEX), child_start
    runs = (children + kernels.CHUNK - 1) // kernels.CHUNK
    parent = np.repeat(np.arange(len(children), dtype=INDEX), runs)
    number = np.arange(len(parent), dtype=INDEX) - (np.cumsum(runs) - runs)[parent]
    first = child_start[parent] + number * kernels.CHUNK
    return parent, np.append(first, child_start[-1]).astype(INDEX)
