"""The forward pass of a torch model: how to call it, and what its units do on the way."""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from polyregions.forward import Sample
from polyregions.network import FloatArray
from polyregions.rounding import FLOAT64, Precision

Model: TypeAlias = torch.nn.Module | torch.export.ExportedProgram

# Points a call, to bound the memory of the intermediate values.
_CHUNK = 1 << 15


@dataclass(frozen=True)
class Convention:
    """How a model wants to be called.

    Attributes
    ----------
    shape : tuple of int
        Shape of one input, such as ``(2,)``.
    batched : bool
        Whether inputs come stacked along a first axis.
    batch_size : int or None
        The only batch size that the model takes, if it is bound to one.
    """

    dtype: torch.dtype
    device: torch.device
    shape: tuple[int, ...]
    batched: bool = True
    batch_size: int | None = None

    def example(self, size: int) -> torch.Tensor:
        """A small random input, or a stack of `size` of them."""
        # On the CPU, whatever the default device is just now.
        generator = torch.Generator("cpu").manual_seed(0)
        shape = (self.batch_size or size, *self.shape) if self.batched else self.shape
        values = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
        return values.to(self.device, self.dtype)


def convention(model: Model, shape: tuple[int, ...] | None = None) -> Convention:
    """Find out how to call a model.

    Parameters
    ----------
    model : torch module or exported program
    shape : tuple of int, optional
        The shape of one input, which a program says itself. Unless given, it is that of a first
        linear layer, or ``(2,)``.

    Raises
    ------
    ValueError
        If it takes no such inputs, one by one or stacked (the message holds what torch said), if
        it takes not one tensor but several, or if it has no weights yet.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return _program_convention(model)
    _refuse_unready(model)
    _refuse_other_arguments(model)
    shapes = _shapes(model, shape)
    problems = []
    for one, dtype, device, batched in itertools.product(
        shapes, *_candidates(model), (True, False)
    ):
        call = Convention(dtype, device, one, batched)
        try:
            with torch.no_grad(), unchanged(model):
                model(call.example(3))
        except _REFUSALS as error:
            problems.append(error)
        else:
            return call
    sizes = ", ".join(map(str, shapes[0]))
    raise ValueError(
        f"the model takes neither a batch of shape (N, {sizes}) nor a point of shape "
        f"({sizes}{',' if len(shapes[0]) == 1 else ''}); torch said: {problems[0]}. "
        + (
            "A model with another number of inputs, or inputs of several axes, needs a 2-D slice "
            "of its input space, made of points of the input's shape: slice=pr.Slice.axes(0, 1, "
            "at=point), for example"
            if shape is None
            else "A slice must be made of points of the shape of the model's own input, without "
            "the axis of the batch"
        )
    ) from problems[0]


def _shapes(model: torch.nn.Module, shape: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """The shapes that one input may have."""
    size = first_linear_width(model)
    if shape is None:
        return [(2,) if size is None else (size,)]
    # Points of a picture's shape, for a model of flat vectors.
    flat = (prod(shape),)
    return [flat, shape] if flat == (size,) else list(dict.fromkeys([shape, flat]))


# How a forward refuses an input of the wrong shape.
_REFUSALS = (
    RuntimeError,
    ValueError,
    TypeError,
    IndexError,
    AssertionError,
    NotImplementedError,
)


def modules_of(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    """All modules of a model by name, those in its plain lists, tuples and dicts as well."""
    seen: set[int] = set()

    def walk(name: str, value: Any) -> Iterator[tuple[str, torch.nn.Module]]:
        if id(value) in seen:
            return
        if isinstance(value, torch.nn.Module):
            seen.add(id(value))
            yield name, value
            for key, item in (*value._modules.items(), *vars(value).items()):
                yield from walk(f"{name}.{key}" if name else str(key), item)
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                yield from walk(f"{name}.{i}", item)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(f"{name}.{key}", item)

    yield from walk("", model)


@contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Put buffers and the random state back as they were, whatever a call does to them."""
    slots = [(module, dict(module._buffers)) for _, module in modules_of(model)]
    buffers = {id(b): b for _, values in slots for b in values.values() if b is not None}
    saved = [(buffer, buffer.detach().clone()) for buffer in buffers.values()]
    with torch.random.fork_rng():
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in saved:
                    if not torch.equal(buffer, value):
                        buffer.copy_(value)
            for module, values in slots:
                module._buffers.update(values)


def _refuse_unready(model: torch.nn.Module) -> None:
    """Refuse layers without weights: lazy ones, which the first call would give random ones."""
    for path, module in modules_of(model):
        name = f"layer {path!r} ({type(module).__name__})"
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is None:
                continue
            if torch.nn.parameter.is_lazy(tensor):
                raise ValueError(f"{name} has no weights yet; call the model once to make them")
            if tensor.is_meta:
                raise ValueError(
                    f"{name} is on the meta device and has no weights; make it on another device, "
                    "or give it some by load_state_dict(..., assign=True)"
                )


def _refuse_other_arguments(model: torch.nn.Module) -> None:
    """Refuse a forward that cannot be called with one tensor."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):  # a forward that is not written in Python does not say
        return
    try:
        signature.bind(None)
    except TypeError:
        raise ValueError(
            f"the forward of {type(model).__name__} takes {signature}, and cannot be called with "
            "one tensor. Wrap it in a module that takes the point alone and fixes all else"
        ) from None


def first_linear_width(model: torch.nn.Module) -> int | None:
    """Number of inputs of a Sequential that begins with a Linear, whatever that number is."""
    while isinstance(model, torch.nn.Sequential) and len(model):
        model = model[0]
    return model.in_features if isinstance(model, torch.nn.Linear) else None


def _candidates(model: torch.nn.Module) -> tuple[list[torch.dtype], list[torch.device]]:
    """The dtypes and devices a model may want: those of its first floating-point tensor."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return [tensor.dtype], [tensor.device]
    # Nothing registered (layers in a plain Python list): try what there is.
    dtypes = [torch.get_default_dtype(), torch.float32, torch.float64, torch.float16]
    devices = [torch.device("cpu")]
    if torch.cuda.is_available():
        devices.append(torch.device("cuda"))
    return list(dict.fromkeys([*dtypes, torch.bfloat16])), devices


def _program_convention(program: torch.export.ExportedProgram) -> Convention:
    names = program.graph_signature.user_inputs
    inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    if len(inputs) != 1:
        raise ValueError(f"the exported program must take one input, it takes {len(inputs)}")
    value = inputs[0].meta["val"]
    if value.ndim == 1:
        return Convention(value.dtype, value.device, tuple(map(int, value.shape)), batched=False)
    first = value.shape[0]
    return Convention(
        value.dtype,
        value.device,
        tuple(int(n) for n in value.shape[1:]),
        batch_size=first if isinstance(first, int) else None,
    )


class TorchForward:
    """Calls a torch module or exported program at points given as float64 arrays."""

    def __init__(
        self,
        model: Model,
        call: Convention | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.call = call or convention(model, shape)
        module = model.module() if isinstance(model, torch.export.ExportedProgram) else model
        self._stacked = self._stack(module)

    def _stack(self, module: Callable[..., Any]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Make the module take any number of inputs."""

        def tensor(output: Any) -> torch.Tensor:
            while isinstance(output, tuple | list) and len(output) == 1:
                output = output[0]
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"the model must return one tensor, it returned a {type(output).__name__}"
                )
            return output

        size = self.call.batch_size if self.call.batched else 1
        if size is None:
            return lambda x: tensor(module(x))
        mapped = torch.func.vmap(lambda x: tensor(module(x)))
        if not self.call.batched:
            return mapped

        def in_batches(x: torch.Tensor) -> torch.Tensor:
            missing = -len(x) % size
            padded = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])
            stacked = mapped(padded.reshape(-1, size, *x.shape[1:]))
            return stacked.reshape(len(padded), -1)[: len(x)]

        return in_batches

    def _padded(self, n: int) -> int:
        """How many inputs the model is given for `n` points."""
        return n + -n % ((self.call.batch_size if self.call.batched else None) or 1)

    def _tensor(self, points: FloatArray) -> torch.Tensor:
        x = torch.from_numpy(np.array(points)).to(self.call.device, self.call.dtype)
        return x.reshape(len(points), *self.call.shape)

    def representable(self, points: FloatArray) -> FloatArray:
        """The points rounded to the model's dtype."""
        x = torch.from_numpy(np.array(points)).to(self.call.dtype)
        return x.to(torch.float64).numpy()

    def values(self, points: FloatArray) -> FloatArray:
        """Values, (N, M) float64, at points (N, n_inputs)."""
        with torch.no_grad():
            chunks = [_float64(self._stacked(self._tensor(p))) for p in _chunks(points)]
        return np.concatenate([c.reshape(len(c), -1) for c in chunks])

    def values_and_precision(self, points: FloatArray) -> tuple[FloatArray, Precision]:
        """Values at a few points, and the coarsest arithmetic that making them took."""
        x = self._tensor(points)
        with torch.no_grad(), _recording(x, self._padded(len(points))) as recorder:
            y = self._stacked(x)
        return _float64(y).reshape(len(points), -1), recorder.precision

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        """Values, patterns and, if wanted, Jacobians at points (N, n_inputs)."""
        parts = [self._sample(p, with_jacobian) for p in _chunks(points)]
        jacobians = [p.jacobian for p in parts if p.jacobian is not None]
        return Sample(
            np.concatenate([p.values for p in parts]),
            np.concatenate(jacobians) if len(jacobians) == len(parts) else None,
            np.concatenate([p.preactivation for p in parts]),
            np.concatenate([p.pattern for p in parts]),
            max((p.precision for p in parts), key=lambda p: p.unit_roundoff),
            next((p.limitation for p in parts if p.limitation), ""),
        )

    def _sample(self, points: FloatArray, with_jacobian: bool) -> Sample:
        n = len(points)
        leaf = self._tensor(points).requires_grad_(with_jacobian)
        jacobian, limitation = None, ""
        try:
            with torch.set_grad_enabled(with_jacobian):
                output, recorder = self._record(leaf)
                jacobian = self._jacobian(leaf, output, recorder) if with_jacobian else None
        except RuntimeError as error:  # what autograd raises where there is no derivative
            limitation = f"cannot be differentiated: {_first_sentence(error)}"
            with torch.no_grad():
                output, recorder = self._record(leaf)
        else:
            if with_jacobian and jacobian is None:
                limitation = "records no gradients"
        none = np.empty((n, 0))
        return Sample(
            _float64(output).reshape(n, -1),
            jacobian,
            np.concatenate([none, *(z[:n] for z in recorder.preactivations)], axis=1),
            np.concatenate([none, *(k[:n] for k in recorder.pieces)], axis=1).astype(np.uint8),
            recorder.precision,
            limitation,
        )

    def _record(self, leaf: torch.Tensor) -> tuple[torch.Tensor, _Recorder]:
        """The output at the inputs `leaf`, and what the units did."""
        x = leaf.clone()  # a model may overwrite its input; a leaf it could not
        with _recording(x, self._padded(len(leaf))) as recorder:
            output = self._stacked(x)
        return output, recorder

    def _jacobian(
        self, leaf: torch.Tensor, output: torch.Tensor, recorder: _Recorder
    ) -> FloatArray | None:
        """Derivatives of the output by `leaf`, (N, M, n_inputs); None if none are recorded."""
        if not output.requires_grad:
            return None
        y = output.reshape(len(leaf), -1)
        rows = [
            torch.autograd.grad(y[:, m].sum(), leaf, retain_graph=True, allow_unused=True)[0]
            for m in range(y.shape[1])
        ]
        # No gradient means zero, unless the forward hides the input (torch.no_grad, detach).
        if recorder.reaches(output) and any(row is None for row in rows):
            return None
        n = len(leaf)
        zero = np.zeros((n, leaf[0].numel()))
        return np.stack([zero if r is None else _float64(r).reshape(n, -1) for r in rows], axis=1)


def _first_sentence(error: Exception) -> str:
    return re.split(r"[.:;]\s|\n", str(error).strip())[0] or type(error).__name__


def _chunks(points: FloatArray) -> Iterator[FloatArray]:
    for begin in range(0, max(len(points), 1), _CHUNK):
        yield points[begin : begin + _CHUNK]


def _float64(tensor: torch.Tensor) -> FloatArray:
    return tensor.detach().cpu().to(torch.float64).numpy()


class _Recorder:
    """Notes what goes into every piecewise-linear activation that depends on the input.

    It stands below autograd and the composite operations, so it sees each activation however it
    was called, and does not change what is computed.
    """

    def __init__(self, x: torch.Tensor, n: int) -> None:
        super().__init__()
        self._n = n
        # Tensors that depend on the input; held, so that their ids stay theirs.
        self._depends: dict[int, torch.Tensor] = {id(x): x}
        self.preactivations: list[FloatArray] = []
        self.pieces: list[FloatArray] = []
        self.precision = dtype_precision(x.dtype)

    def reaches(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor was made from the input."""
        return id(tensor) in self._depends

    def record(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do an operation."""
        depends = any(id(leaf) in self._depends for leaf in tree_leaves((args, kwargs)))
        breakpoints = _BREAKPOINTS.get(func.overloadpacket.__name__.removesuffix("_"))
        if depends and breakpoints is not None:
            z = _float64(args[0]).reshape(self._n, -1)
            self.preactivations.append(z)
            self.pieces.append(
                sum((z > t).astype(float) for t in breakpoints(z.shape[1], *args[1:], **kwargs))
                + np.zeros_like(z)
            )
        output = func(*args, **kwargs)
        if depends:
            for out in tree_leaves(output):
                if isinstance(out, torch.Tensor) and out.is_floating_point():
                    self._depends[id(out)] = out
                    self.precision = max(
                        self.precision,
                        dtype_precision(out.dtype),
                        key=lambda p: p.unit_roundoff,
                    )
        return output


class _Mode(_Recorder, TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self.record(func, args, kwargs or {})


class _ModeWithoutCompiler(_Recorder, TorchDispatchMode):
    """Does not ask torch's compiler to keep out, which would import it: two seconds' work."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return self.record(func, args, kwargs or {})


def _recording(x: torch.Tensor, n: int) -> Any:
    """Record what happens to `x`, `n` inputs, in a ``with`` block."""
    has_compiler = "torch._dynamo" in sys.modules
    return (_Mode if has_compiler else _ModeWithoutCompiler)(x, n)


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


def _bounds(width: int, low: Any = None, high: Any = None) -> list[Any]:
    if low is not None and high is not None and low >= high:
        return []
    return [t for t in (low, high) if t is not None and abs(t) != np.inf]


def _prelu(width: int, weight: torch.Tensor) -> list[Any]:
    slope = _float64(weight).ravel()
    per_unit = np.repeat(slope, width // len(slope))
    return [np.where(per_unit == 1, np.inf, 0.0)]


# Operation -> the pre-activations at which its slope changes, from its further arguments.
_BREAKPOINTS: dict[str, Callable[..., list[Any]]] = {
    "relu": lambda width: [0.0],
    "abs": lambda width: [0.0],
    "leaky_relu": lambda width, slope=0.01: [] if slope == 1 else [0.0],
    "prelu": _prelu,
    "_prelu_kernel": _prelu,
    "hardtanh": lambda width, low=-1.0, high=1.0: _bounds(width, low, high),
    "relu6": lambda width: [0.0, 6.0],
    "clamp": lambda width, min=None, max=None: _bounds(width, min, max),
    "clamp_min": lambda width, min: _bounds(width, min),
    "clamp_max": lambda width, max: _bounds(width, None, max),
}
