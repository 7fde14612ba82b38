"""How a torch model wants to be called: shape, dtype, device, and whether in batches."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch

Model: TypeAlias = torch.nn.Module | torch.export.ExportedProgram


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
    shape : tuple of int, optional
        Shape of one input. Unless told, that is the model's own attribute ``input_shape``, or
        what a first `nn.Linear` takes, or 2 numbers.

    Raises
    ------
    ValueError
        If it takes inputs of no such shape, one at a time or stacked along a first axis (the
        message holds what torch said), if it takes not one tensor but several, or if it has no
        weights yet.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return _program_convention(model, shape)
    _refuse_unready(model)
    _refuse_other_arguments(model)
    shapes = _likely_shapes(model, shape)
    problems = []
    dtypes, devices = _candidates(model)
    for one, dtype, device, batched in itertools.product(shapes, dtypes, devices, (True, False)):
        call = Convention(dtype, device, one, batched)
        try:
            with torch.no_grad(), unchanged(model):
                # A picture has a first axis too, but not of two lengths.
                for size in (2, 3) if batched else (1,):
                    model(call.example(size))
        except _REFUSALS as error:
            problems.append(error)
        else:
            return call
    if shape is not None:
        raise ValueError(
            f"the model takes no input of shape {shape}, neither one at a time nor stacked along a "
            f"first axis; torch said: {problems[0]}. Inputs, and the points that a slice is "
            "made of, must have the shape of the model's own input, without the axis of the batch"
        ) from problems[0]
    tried = ", ".join(f"(N, {', '.join(map(str, s))}) or {s}" for s in shapes)
    raise ValueError(
        f"cannot tell what inputs the model takes: of shape {tried} it takes none; torch said: "
        f"{problems[0]}. A partition of it needs a 2-D slice of its input space, made of points of "
        "the input's shape: slice=pr.Slice.axes(0, 1, at=point), for example. To lower it alone, "
        "tell the shape of one input: pr.lower(model, shape=(1, 28, 28))"
    ) from problems[0]


def _likely_shapes(model: torch.nn.Module, shape: tuple[int, ...] | None) -> list[tuple[int, ...]]:
    """The shapes that one input may have, likely ones first."""
    told = getattr(model, "input_shape", None)  # as a program from a file has it
    is_shape = isinstance(told, tuple | list) and all(isinstance(n, int) for n in told)
    if told is not None and is_shape and (shape is None or prod(shape) == prod(told)):
        return [tuple(told)]
    size = first_linear_width(model)
    if shape is not None:
        # Points of a picture's shape, for a model of flat vectors.
        flat = (prod(shape),)
        return [flat, shape] if flat == (size,) else list(dict.fromkeys([shape, flat]))
    if size is not None:
        return [(size,)]
    shapes: list[tuple[int, ...]] = [(2,)]
    for _, module in modules_of(model):
        if isinstance(module, torch.nn.Linear):
            shapes.append((module.in_features,))
            break
    return list(dict.fromkeys(shapes))


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
        model = next((m for m in model if not isinstance(m, _WITHOUT_EFFECT)), model[0])
    return model.in_features if isinstance(model, torch.nn.Linear) else None


_WITHOUT_EFFECT = (torch.nn.Flatten, torch.nn.Identity, torch.nn.Dropout)


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


def _program_convention(
    program: torch.export.ExportedProgram, shape: tuple[int, ...] | None
) -> Convention:
    names = program.graph_signature.user_inputs
    inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    if len(inputs) != 1:
        raise ValueError(f"the exported program must take one input, it takes {len(inputs)}")
    value = inputs[0].meta["val"]
    first, *rest = value.shape or (None,)
    if value.ndim < 2 or tuple(value.shape) == shape:
        one = tuple(map(int, value.shape))
        call = Convention(value.dtype, value.device, one, batched=False)
    else:
        size = first if isinstance(first, int) else None
        call = Convention(value.dtype, value.device, tuple(map(int, rest)), batch_size=size)
    if shape is not None and prod(call.shape) != prod(shape):
        raise ValueError(f"the exported program takes inputs of shape {call.shape}, not {shape}")
    return call
