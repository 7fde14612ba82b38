"""Operations that take a value's shape, and none of its entries."""

from __future__ import annotations

from typing import Any

import torch

from polyregions.lower.torch.moves import move
from polyregions.lower.torch.traced import Call, Traced, constant, handles


@handles("zeros_like", "ones_like", "full_like", "zero")
def _like(call: Call, x: Traced, *args: Any, **kw: Any) -> torch.Tensor:
    name = "zeros_like" if call.name == "zero" else call.name
    value = {"zeros_like": 0.0, "ones_like": 1.0}.get(name)
    return torch.full(
        x.shape, args[0] if value is None else value, dtype=call.dtype, device=call.device
    )


@handles("new_zeros", "new_ones", "new_full")
def _new(call: Call, x: Traced, size: Any, *args: Any, **kw: Any) -> torch.Tensor:
    value = {"new_zeros": 0.0, "new_ones": 1.0}.get(call.name)
    return torch.full(
        tuple(size), args[0] if value is None else value, dtype=call.dtype, device=call.device
    )


@handles("fill")
def _fill(call: Call, x: Traced, value: Any) -> Any:
    if isinstance(value, Traced):
        return move(call, torch.ops.aten.expand.default, value, list(x.shape))
    return torch.full(x.shape, constant(call, value).item(), dtype=call.dtype, device=call.device)
