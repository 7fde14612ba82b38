"""The forward pass of a torch model: its values, Jacobians, and what its units do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from polyregions.forward import NetworkForward, Sample
from polyregions.network import ByteArray, FloatArray, Network
from polyregions.rounding import Precision, forward_bound, probes
from polyregions.torch_convention import Convention as Convention
from polyregions.torch_convention import Model as Model
from polyregions.torch_convention import convention as convention
from polyregions.torch_convention import unchanged as unchanged
from polyregions.torch_recording import Recorder, recording
from polyregions.torch_recording import dtype_precision as dtype_precision

# Points a call, to bound the memory of the intermediate values.
_CHUNK = 1 << 15


class TorchForward:
    """Calls a torch module or exported program at points given as float64 arrays.

    A softmax, log-softmax, sigmoid, log-sigmoid, arg max or arg min is left out: in a model that
    was lowered it is the last step, which lowering leaves out as well.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
    call : Convention, optional
    shape : tuple of int, optional
        The shape of one input, if there is no `call`.
    network : Network, optional
        What the model was lowered to. Then its units are told apart from others that the forward
        works out, but does not use.
    """

    def __init__(
        self,
        model: Model,
        call: Convention | None = None,
        shape: tuple[int, ...] | None = None,
        network: Network | None = None,
    ) -> None:
        self.call = call or convention(model, shape)
        module = model.module() if isinstance(model, torch.export.ExportedProgram) else model
        self._stacked = self._stack(module)
        # Of the events of a forward, those that are layers of the network, and their axes.
        self._layers: list[int] | None = None
        self._axes: list[int | None] = []
        self._limitation = ""
        if network is not None:
            self._find_layers(network)

    def _find_layers(self, network: Network) -> None:
        """Find out at some points which of the things with pieces are the network's layers."""
        points = self.representable(probes(network.n_inputs))
        with torch.no_grad():
            _, recorder = self._record(self._tensor(points))
        expected = NetworkForward(network).sample(points, with_jacobian=False).preactivation
        bound = forward_bound(network, points, recorder.precision).preactivations
        self._limitation = recorder.limitation
        self._axes = [event.axis for event in recorder.events]
        self._layers, begin, found = [], 0, iter(enumerate(recorder.events))
        for layer in network.activations:
            end = begin + layer.n_outputs
            z, limit = expected[:, begin:end], bound[:, begin:end]
            for i, event in found:
                seen = event.preactivation[: len(points)]
                if seen.shape != z.shape:
                    continue
                with np.errstate(invalid="ignore"):
                    wrong = np.isfinite(limit) & ~(np.abs(seen - z) <= limit) & (seen != z)
                if not wrong.any():
                    self._layers.append(i)
                    break
            else:
                self._limitation = self._limitation or (
                    f"does not show the units of {layer.name} as such"
                )
                return
            begin = end

    def _stack(self, module: Callable[..., Any]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Make the module take any number of inputs, and give one row for each."""

        def called(x: torch.Tensor) -> list[torch.Tensor]:
            with _WithoutLastSteps(x):
                outputs = tree_leaves(module(x))
            tensors = [y for y in outputs if isinstance(y, torch.Tensor)]
            if not tensors:
                kinds = ", ".join(type(y).__name__ for y in outputs)
                raise TypeError(f"the model must return a tensor, it returned {kinds}")
            return tensors

        def rows(outputs: list[torch.Tensor], n: int) -> torch.Tensor:
            flat = [y.reshape(n, -1) for y in outputs]
            return flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)

        size = self.call.batch_size if self.call.batched else 1
        if size is None:
            return lambda x: rows(called(x), len(x))
        if not self.call.batched:
            mapped = torch.func.vmap(called)
            return lambda x: rows(mapped(x), len(x))
        by_batch = torch.func.vmap(lambda x: [y.reshape(size, -1) for y in called(x)])

        def in_batches(x: torch.Tensor) -> torch.Tensor:
            missing = -len(x) % size
            padded = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])
            stacked = by_batch(padded.reshape(-1, size, *x.shape[1:]))
            return rows(stacked, len(padded))[: len(x)]

        return in_batches

    @property
    def _is_folded(self) -> bool:
        return not self.call.batched or self.call.batch_size is not None

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
        with torch.no_grad():
            y, recorder = self._record(x)
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
            next((p.unseen for p in parts if p.unseen), ""),
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
        preactivation, pattern, unseen = self._units(recorder, n)
        return Sample(
            _float64(output).reshape(n, -1),
            jacobian,
            preactivation,
            pattern,
            recorder.precision,
            limitation,
            unseen,
        )

    def _units(self, recorder: Recorder, n: int) -> tuple[FloatArray, ByteArray, str]:
        """Pre-activations and pieces of the network's units, or why they cannot be told."""
        none = np.empty((n, 0))
        events, unseen = recorder.events, self._limitation or recorder.limitation
        if self._layers is not None and not unseen and len(events) != len(self._axes):
            unseen = "does not work out the same units at all points"
        if unseen:
            return none, none.astype(np.uint8), unseen
        if self._layers is not None:
            events = [events[i] for i in self._layers]
        return (
            np.concatenate([none, *(e.preactivation[:n] for e in events)], axis=1),
            np.concatenate([none, *(e.piece[:n] for e in events)], axis=1).astype(np.uint8),
            "",
        )

    def _record(self, leaf: torch.Tensor) -> tuple[torch.Tensor, Recorder]:
        """The output at the inputs `leaf`, and what the units did."""
        x = leaf.clone()  # a model may overwrite its input; a leaf it could not
        n = self._padded(len(leaf))
        with recording(x, n, self._is_folded, self._axes) as recorder:
            output = self._stacked(x)
        return output, recorder

    def _jacobian(
        self, leaf: torch.Tensor, output: torch.Tensor, recorder: Recorder
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


class _WithoutLastSteps(TorchFunctionMode):
    """Leaves out what lowering leaves out, where it works on something that depends on `x`."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
        # Held, so that their ids stay theirs.
        self._depends: dict[int, torch.Tensor] = {id(x): x}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if not any(id(leaf) in self._depends for leaf in leaves):
            return func(*args, **kwargs)
        name = getattr(getattr(func, "overloadpacket", func), "__name__", "")
        sign = _LAST_STEPS.get(name.strip("_"))
        if sign is None:
            output = func(*args, **kwargs)
        else:
            first = [*args, *kwargs.values()][0]
            output = -first if sign < 0 else first.clone()
        for out in tree_leaves(output):
            if isinstance(out, torch.Tensor):
                self._depends[id(out)] = out
        return output


# How much of its argument each of them is replaced with.
_LAST_STEPS = {
    "softmax": 1,
    "log_softmax": 1,
    "softmin": -1,
    "sigmoid": 1,
    "log_sigmoid": 1,
    "logsigmoid": 1,
    "expit": 1,
    "special_expit": 1,
    "special_softmax": 1,
    "special_log_softmax": 1,
    "argmax": 1,
    "argmin": 1,
}


def _first_sentence(error: Exception) -> str:
    return re.split(r"[.:;]\s|\n", str(error).strip())[0] or type(error).__name__


def _chunks(points: FloatArray) -> Iterator[FloatArray]:
    for begin in range(0, max(len(points), 1), _CHUNK):
        yield points[begin : begin + _CHUNK]


def _float64(tensor: torch.Tensor) -> FloatArray:
    return tensor.detach().cpu().to(torch.float64).numpy()
