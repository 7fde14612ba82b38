"""What the units of a torch model do on the way through its own forward.

Nothing here knows of lowering. Operations are watched below autograd and below the composite ones,
so that every activation is seen however it was called, and what is computed stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from polyregions.network import FloatArray
from polyregions.rounding import FLOAT64, Precision


@dataclass(frozen=True)
class Event:
    """What some units did at N points.

    Attributes
    ----------
    preactivation : (N, n) float64
        For units that take the largest of several values, how far that is from the next.
    piece : (N, n) float64
    axis : int or None
        Along which axis of the tensors the points were; None if they were in front.
    """

    preactivation: FloatArray
    piece: FloatArray
    axis: int | None


class Unclear(Exception):
    """Which point an entry belongs to cannot be told."""


class Recorder:
    """Notes what goes into everything with pieces that depends on the input.

    Parameters
    ----------
    x : Tensor
        The inputs.
    n : int
        How many they are.
    is_folded : bool
        Whether the forward is mapped over points, or over batches of them; then they are in front.
    axes : sequence of int or None
        Along which axis the points are, for one event after the other, where that was found out
        before.
    """

    def __init__(
        self, x: torch.Tensor, n: int, is_folded: bool = False, axes: Sequence[int | None] = ()
    ) -> None:
        super().__init__()
        self._n, self._is_folded, self._axes = n, is_folded, axes
        # Tensors that depend on the input; held, so that their ids stay theirs.
        self._depends: dict[int, torch.Tensor] = {id(x): x}
        # Comparisons, with what was compared, and with what.
        self._compared: dict[int, tuple[torch.Tensor, Any, Any]] = {}
        self.events: list[Event] = []
        self.limitation = ""
        self.precision = dtype_precision(x.dtype)

    def reaches(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor was made from the input."""
        return id(tensor) in self._depends

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do an operation."""
        depends = any(id(leaf) in self._depends for leaf in tree_leaves((args, kwargs)))
        name = func.overloadpacket.__name__.removesuffix("_")
        if depends and not self.limitation:
            try:
                self._note(name, args, kwargs)
            except Unclear as problem:
                self.limitation = f"{name} {problem}"
        output = func(*args, **kwargs)
        if depends:
            for out in tree_leaves(output):
                if not isinstance(out, torch.Tensor):
                    continue
                if out.is_floating_point():
                    self._depends[id(out)] = out
                    self.precision = max(
                        self.precision,
                        dtype_precision(out.dtype),
                        key=lambda p: p.unit_roundoff,
                    )
                elif name in _COMPARISONS:
                    self._depends[id(out)] = out
                    before = self._compared.get(id(args[0]))
                    self._compared[id(out)] = (out, *(before[1:] if before else args[:2]))
        return output

    def _note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if name in ("clamp", "clamp_min", "clamp_max", "maximum", "minimum", "fmax", "fmin"):
            self._clamp(name, *args, **kwargs)
        elif name in ("where", "masked_fill"):
            condition = args[0] if name == "where" else args[1]
            if id(condition) in self._compared:
                _, a, b = self._compared[id(condition)]
                z, t = (a, b) if self._is_traced(a) else (b, a)
                if self._is_traced(t):
                    z, t = a.detach().double() - b.detach().double(), 0.0
                # One unit for each entry of the result.
                shapes = [v.shape for v in args if isinstance(v, torch.Tensor)]
                wide = torch.broadcast_shapes(z.shape, *shapes)
                self._bends(z.expand(wide), [_wide(t, z)])
        elif name in _BREAKPOINTS:
            z, *rest = args
            self._bends(z, _BREAKPOINTS[name](z, *rest, **kwargs))
        elif name in _CANDIDATES:
            values, first, sign = _CANDIDATES[name](*args, **kwargs)
            self._extreme(sign * values.detach().double(), first)

    def _is_traced(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor) and self.reaches(value)

    def _clamp(self, name: str, x: Any, *bounds: Any, **named: Any) -> None:
        if name in ("maximum", "fmax", "clamp_min"):
            low, high = (*bounds, *named.values())[0], None
        elif name in ("minimum", "fmin", "clamp_max"):
            low, high = None, (*bounds, *named.values())[0]
        else:
            low, high = (*bounds, None, None)[:2]
            low, high = named.get("min", low), named.get("max", high)
        several = any(map(self._is_traced, (low, high)))
        if not several and self._is_traced(x):
            self._bends(x, _between(x, low, high))
            return
        if not self._is_traced(x):  # the bound is what depends
            bound: Any = high if low is None else low
            self._bends(bound, [_wide(x, bound)])
            return
        for bound, sign in ((low, 1.0), (high, -1.0)):
            if bound is None:
                continue
            if self._is_traced(bound):
                pair = torch.stack(torch.broadcast_tensors(x, bound), dim=-1)
                self._extreme(sign * pair.detach().double(), None)
            else:
                self._bends(x, _between(x, *((bound, None) if sign > 0 else (None, bound))))
            bound = torch.as_tensor(bound, dtype=x.dtype, device=x.device)
            x = torch.maximum(x, bound) if sign > 0 else torch.minimum(x, bound)

    def _bends(self, z: torch.Tensor, breakpoints: list[Any]) -> None:
        """Units of one variable."""
        z = z.detach().double()
        wide = torch.broadcast_shapes(
            z.shape, *(t.shape for t in breakpoints if isinstance(t, torch.Tensor))
        )
        z = z.expand(wide)
        piece = torch.zeros_like(z)
        for t in breakpoints:
            piece = piece + (z > t)
        self._take(z, piece)

    def _extreme(self, candidates: torch.Tensor, skipped: torch.Tensor | None) -> None:
        """Units that take the largest along the last axis; entries outside are -inf.

        Parameters
        ----------
        skipped
            Of the shape of `candidates`: which are outside, if any.
        """
        if candidates.shape[-1] == 1 or (skipped is not None and (~skipped).sum(-1).max() == 1):
            return
        two = candidates.topk(2, dim=-1).values
        place = candidates.argmax(dim=-1, keepdim=True)
        if skipped is not None:
            skipped = skipped.expand(candidates.shape)
            before = torch.cumsum(skipped.long(), dim=-1).gather(-1, place)
            place = place - before
        margin = two[..., 0] - two[..., 1]
        self._take(margin, place[..., 0])

    def _take(self, preactivation: torch.Tensor, piece: torch.Tensor) -> None:
        """Note units, whose values for one point are along all axes but one."""
        n, shape = self._n, preactivation.shape
        known = self._axes[len(self.events)] if len(self.events) < len(self._axes) else None
        axis: int | None = None
        if not self._is_folded:
            likely = [i for i, length in enumerate(shape) if length == n]
            axis = known if known in likely else next(iter(likely), None)
            if axis is None:
                raise Unclear(f"works on a tensor of shape {tuple(shape)} at {n} points")
        z, k = (
            (v if axis is None else v.movedim(axis, 0)).cpu().reshape(n, -1).numpy()
            for v in (preactivation, piece.double())
        )
        self.events.append(Event(z, k, axis))


class _Mode(Recorder, TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self.record(func, args, kwargs or {})


class _ModeWithoutCompiler(Recorder, TorchDispatchMode):
    """Does not ask torch's compiler to keep out, which would import it: two seconds' work."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self.record(func, args, kwargs or {})


def recording(
    x: torch.Tensor, n: int, is_folded: bool = False, axes: Sequence[int | None] = ()
) -> Any:
    """Record what happens to `x` in a ``with`` block; see `Recorder`."""
    has_compiler = "torch._dynamo" in sys.modules
    return (_Mode if has_compiler else _ModeWithoutCompiler)(x, n, is_folded, axes)


def dtype_precision(dtype: torch.dtype) -> Precision:
    """The arithmetic that operations on tensors of a dtype are done in."""
    if dtype == torch.float64:
        return FLOAT64
    info = torch.finfo(dtype)
    roundoff = info.eps / 2
    if dtype == torch.float32:
        roundoff = max(roundoff, _product_roundoff())
    name = str(dtype).removeprefix("torch.")
    return Precision(name, roundoff, info.smallest_normal, info.max)


_TF32, _BF16 = 2.0**-11, 2.0**-8


def _product_roundoff() -> float:
    """What float32 matrix products add: torch may be told to do them in coarser parts."""
    try:
        named = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Torch refuses to name one once they were set for each backend, the newer way.
        onednn = torch.backends.mkldnn
        places = (torch.backends, torch.backends.cuda.matmul, onednn, getattr(onednn, "matmul", 0))
        settings = {getattr(place, "fp32_precision", "none") for place in places}
        return max(
            {"none": 0.0, "ieee": 0.0, "tf32": _TF32}.get(setting, _BF16) for setting in settings
        )
    return {"highest": 0.0, "high": _TF32}.get(named, _BF16)


def _wide(bound: Any, z: torch.Tensor) -> Any:
    """A bound in float64."""
    return bound.detach().double() if isinstance(bound, torch.Tensor) else bound


def _between(z: torch.Tensor, low: Any, high: Any) -> list[Any]:
    """Where a clamp bends: nowhere if its bounds are the wrong way round."""
    low, high = (None if t is None else torch.as_tensor(_wide(t, z)) for t in (low, high))
    if low is not None and high is not None:
        flat = low >= high
        low, high = torch.where(flat, inf, low), torch.where(flat, inf, high)
    return [torch.where(t.abs() == inf, inf, t) for t in (low, high) if t is not None]


def _prelu(z: torch.Tensor, weight: torch.Tensor) -> list[Any]:
    return [torch.where(weight.detach().double() == 1, inf, 0.0)]


# Operation -> the pre-activations at which its slope changes, from its arguments.
_BREAKPOINTS: dict[str, Callable[..., list[Any]]] = {
    "relu": lambda z: [0.0],
    "abs": lambda z: [0.0],
    "leaky_relu": lambda z, slope=0.01: [] if slope == 1 else [0.0],
    "rrelu_with_noise": lambda z, noise, lower=0.125, upper=1 / 3, *rest, **kw: (
        [] if lower + upper == 2 else [0.0]
    ),
    "_prelu_kernel": _prelu,
    "hardtanh": lambda z, low=-1.0, high=1.0: _between(z, low, high),
    "relu6": lambda z: [0.0, 6.0],
    "hardsigmoid": lambda z: [-3.0, 3.0],
    "softshrink": lambda z, width=0.5: [-width, width],
    "threshold": lambda z, threshold, value: [threshold],
}
_COMPARISONS = ("gt", "ge", "lt", "le", "logical_not", "bitwise_not")

_Candidates = tuple[torch.Tensor, torch.Tensor | None, float]


def _along(sign: float) -> Callable[..., _Candidates]:
    def candidates(x: torch.Tensor, dim: Any = None, keepdim: bool = False) -> _Candidates:
        dims = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
        ordered = sorted(d % x.ndim for d in dims)
        last = x.movedim(ordered, list(range(-len(ordered), 0)))
        return last.flatten(-len(ordered)), None, sign

    return candidates


def _pool(
    x: torch.Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> _Candidates:
    n = len(kernel)
    axes = []
    for i, k in enumerate(kernel):
        length, s, p, d = (
            x.shape[i - n],
            *(
                given if isinstance(given, int) else given[i if len(given) > 1 else 0]
                for given in (stride or kernel, padding, dilation)
            ),
        )
        free = length + 2 * p - d * (k - 1) - 1
        count = free // s + 1
        if ceil_mode and free % s and count * s < length + p:
            count += 1
        axes.append([[i * s - p + t * d for t in range(k)] for i in range(count)])
    return _windowed(x, axes)


def _adaptive(x: torch.Tensor, out: Any) -> _Candidates:
    axes = []
    for length, count in zip(x.shape[-len(out) :], out, strict=True):
        spans = [range(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
        most = max(map(len, spans), default=1)
        axes.append([[*span, *[-1] * (most - len(span))] for span in spans])
    return _windowed(x, axes)


def _windowed(x: torch.Tensor, axes: list[list[list[int]]]) -> _Candidates:
    """Entries of windows, from the places along each of the last axes."""
    n = len(axes)
    place, inside = torch.zeros((), dtype=torch.long), torch.ones((), dtype=torch.bool)
    for i, axis in enumerate(axes):
        at = torch.tensor(axis)
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = at.shape
        at, length = at.reshape(shape), x.shape[i - n]
        place = place * length + at
        inside = inside & (at >= 0) & (at < length)
    place = torch.where(inside, place, 0).flatten(n).to(x.device)
    outside = ~inside.flatten(n).to(x.device)
    values = x.detach().flatten(-n)[..., place]
    return values.masked_fill(outside, -inf), outside, 1.0


_CANDIDATES: dict[str, Callable[..., _Candidates]] = {
    "amax": _along(1.0),
    "amin": _along(-1.0),
    "max": _along(1.0),
    "min": _along(-1.0),
    "max_pool2d_with_indices": _pool,
    "max_pool3d_with_indices": _pool,
    "adaptive_max_pool2d": _adaptive,
    "adaptive_max_pool3d": _adaptive,
}
