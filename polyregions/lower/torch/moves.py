"""Operations that move entries about: they reorder, repeat, leave out and pad.

Torch itself does them, on tensors that hold the numbers of the entries instead of the entries, so
there is nothing here to get wrong about what an operation means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_map

from polyregions.lower.builder import Signal
from polyregions.lower.torch.traced import Call, Traced, constant, handles
from polyregions.network import FloatArray

# Operations after which all entries are still there, in their order.
SHAPES = (
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "ravel",
    "view_as", "reshape_as", "_reshape_alias", "atleast_1d", "atleast_2d", "atleast_3d",
)  # fmt: skip
# Operations without effect.
NOTHING = (
    "contiguous", "clone", "alias", "detach", "to", "_to_copy", "type_as",
    "lift_fresh_copy", "positive",
)  # fmt: skip
MOVES = (
    "permute", "transpose", "t", "numpy_T", "mT", "adjoint", "swapaxes", "swapdims", "movedim",
    "moveaxis", "slice", "select", "narrow", "split", "split_with_sizes", "chunk", "unbind",
    "tensor_split", "hsplit", "vsplit", "unsafe_split", "unsafe_chunk", "gather", "index",
    "index_select", "take", "take_along_dim", "expand", "expand_as", "broadcast_to", "repeat",
    "repeat_interleave", "tile", "flip", "fliplr", "flipud", "roll", "rot90", "unfold", "im2col",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "diagonal", "diag", "tril", "triu",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "reflection_pad1d",
    "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d",
    "replication_pad3d", "_pad_circular", "diag_embed", "unsafe_split_with_sizes",
)  # fmt: skip
# Operations that put several values, or a value and constants, together.
JOINS = (
    "cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack",
    "block_diag",
)  # fmt: skip
SCATTERS = ("slice_scatter", "select_scatter", "index_put", "diagonal_scatter", "copy")


class _Places:
    """Numbers for all entries of all operands: 1 and up, times the batch; constants are below 0."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.traced: list[Traced] = []
        self.constants: list[FloatArray] = [np.zeros(1)]

    def find(self, operands: list[Any]) -> None:
        for x in operands:
            if isinstance(x, Traced) and x not in self.traced:
                self.traced.append(x)

    @property
    def n(self) -> int:
        return sum(x.signal.size for x in self.traced)

    def of(self, x: Traced) -> torch.Tensor:
        begin = sum(y.signal.size for y in self.traced[: self.traced.index(x)])
        places = torch.from_numpy(np.asarray(1.0 + begin + x.signal.places))
        if x.axis is None:
            return places
        batch = torch.arange(float(x.batch), dtype=torch.float64) * self.n
        shape = [-1 if axis == x.axis else 1 for axis in range(x.ndim)]
        return places.unsqueeze(x.axis) + batch.reshape(shape)

    def of_constant(self, value: Any) -> torch.Tensor:
        array = constant(self.call, value)
        begin = sum(len(c) for c in self.constants)
        self.constants.append(array.ravel())
        places = -(begin + np.arange(array.size, dtype=np.float64))
        return torch.from_numpy(np.asarray(places.reshape(array.shape)))

    def picked(self, result: torch.Tensor, fill: float) -> Traced:
        """What a tensor of places stands for."""
        place = result.cpu().numpy().astype(np.int64)
        known = np.concatenate(self.constants)
        known[0] = fill
        values = known[np.where(place > 0, 0, -place)]
        first = self.traced[0]
        axis = None
        if first.axis is not None:
            axis = self._batch_axis(place, values, first.batch)
            place, values = (np.asarray(np.take(a, 0, axis)) for a in (place, values))
        index = np.where(place > 0, place - 1, -1)
        values = np.where(place > 0, 0.0, values)
        signals: list[Signal] = [x.signal for x in self.traced]
        build = self.call.build
        picked = build.gather(signals, index, fill=values, name=self.call.where)
        return Traced(picked, axis, first.batch, first.last)

    def _batch_axis(self, place: Any, values: FloatArray, batch: int) -> int:
        for axis, length in enumerate(place.shape):
            if length != batch:
                continue
            moved, constants = np.moveaxis(place, axis, 0), np.moveaxis(values, axis, 0)
            rows = np.arange(batch).reshape(-1, *[1] * (place.ndim - 1))
            expected = np.where(moved[:1] > 0, moved[:1] + rows * self.n, moved)
            mine = (moved[:1] <= self.n).all() and (expected == moved)[moved > 0].all()
            same = ((moved > 0) == (moved[:1] > 0)).all()
            if mine and same and (constants == constants[:1])[moved <= 0].all():
                return axis
        raise self.call.mixes_batch()


def move(
    call: Call,
    operation: Any,
    *args: Any,
    fill: float = 0.0,
    all_data: bool = False,
    **kwargs: Any,
) -> Any:
    """Do an operation on the numbers of the entries.

    Parameters
    ----------
    fill
        The constant that the operation pads with, in place of zeros.
    all_data
        Whether integers among the operands are data too, and not indices.
    """
    places = _Places(call)
    leaves: list[Any] = []
    tree_map(leaves.append, (args, kwargs))
    places.find(leaves)

    def numbered(value: Any) -> Any:
        if isinstance(value, Traced):
            return places.of(value)
        if isinstance(value, torch.Tensor):
            if all_data or value.is_floating_point():
                return places.of_constant(value)
            return value.cpu()
        return value

    args, kwargs = tree_map(numbered, args), tree_map(numbered, kwargs)
    with torch.no_grad():
        result = operation(*args, **kwargs)
    return tree_map(lambda r: places.picked(r, fill) if isinstance(r, torch.Tensor) else r, result)


def _mover(name: str, *, all_data: bool = False) -> None:
    operation = getattr(torch.ops.aten, name, None)
    if operation is None:  # a torch that has it not
        return

    @handles(name)
    def handler(call: Call, *args: Any, **kwargs: Any) -> Any:
        return move(call, operation, *args, all_data=all_data, **kwargs)


for _name in (*SHAPES, *MOVES):
    _mover(_name)
for _name in (*JOINS, *SCATTERS):
    _mover(_name, all_data=_name in JOINS)


@handles(*NOTHING)
def _nothing(call: Call, x: Traced, *args: Any, **kwargs: Any) -> Traced:
    return x


@handles("constant_pad_nd", "pad")
def _pad(call: Call, x: Traced, pad: Any, *args: Any, **kwargs: Any) -> Any:
    if call.name == "constant_pad_nd":
        mode, value = "constant", (*args, *kwargs.values(), 0)[0]
    else:
        mode = kwargs.get("mode", args[0] if args else "constant")
        value = kwargs.get("value", args[1] if len(args) > 1 else None)
    fill = call.rounded(value or 0.0) if mode == "constant" else 0.0
    return move(call, torch.ops.aten.pad.default, x, pad, mode, fill=fill)


@handles("sym_size", "sym_numel")
def _size(call: Call, x: Traced, dim: int | None = None) -> int:
    return int(np.prod(x.shape)) if dim is None else x.shape[dim]
