"""A list of calls as a torch module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from polyregions.errors import FormatError
from polyregions.formats.pt2.calls import (
    BATCH,
    CHANGES_ITSELF,
    MAX_NUMBERS,
    Calls,
    Constant,
    Node,
    Value,
)
from polyregions.formats.pt2.operations import RESHAPES

# Names from the file are used for submodules only if they are harmless everywhere.
_PLAIN_NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,63}")


class Operation(nn.Module):
    """One call as a module, so that messages about it can name it."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._function = node.function
        self._target = node.target.removeprefix("torch.ops.")

    def extra_repr(self) -> str:
        return self._target

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


class Program(nn.Module):
    """A program of known operations on tensors; see `read`."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._input = calls.input
        self._outputs = calls.outputs
        self._constants = calls.constants
        self._nodes = calls.nodes
        self._changes_input = False
        self._stored: dict[str, str] = {}
        for name, (kind, tensor) in calls.tensors.items():
            attribute = f"tensor_{len(self._stored)}"
            self._stored[name] = attribute
            if kind == "parameter" and tensor.is_floating_point():
                self.register_parameter(attribute, nn.Parameter(tensor))
            else:
                self.register_buffer(attribute, tensor)
        self._operations = [self._add_operation(node) for node in self._nodes]
        self.eval()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return self._input.shape

    def _add_operation(self, node: Node) -> str:
        attribute = node.name if _PLAIN_NAME.fullmatch(node.name) else "operation"
        while hasattr(self, attribute):
            attribute += "_"
        self.add_module(attribute, Operation(node))
        return attribute

    def forward(self, x: torch.Tensor) -> Any:
        """Run the program.

        Parameters
        ----------
        x : Tensor
            A batch of rows, of the shape for which the program was exported; or a single input,
            if it was exported without a batch.
        """
        expected = self._input.shape
        if (tuple(x.shape[1:]) if self._input.batched else tuple(x.shape)) != expected or not (
            x.ndim
        ):
            shape = ("N", *expected) if self._input.batched else expected
            raise ValueError(
                f"the program takes inputs of shape ({', '.join(map(str, shape))}), "
                f"not {tuple(x.shape)}"
            )
        tensors = {name: getattr(self, attribute) for name, attribute in self._stored.items()}
        values = self._run(x.clone() if self._changes_input else x, tensors)
        outputs = tuple(values[name] for name in self._outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _run(
        self, x: torch.Tensor, tensors: Mapping[str, torch.Tensor], *, limited: bool = False
    ) -> dict[str, Any]:
        """All values of the program, by name."""
        values: dict[str, Any] = {**self._constants, **tensors, self._input.name: x}

        def resolve(argument: Constant) -> Any:
            if isinstance(argument, Value):
                return values[argument.name]
            if argument is BATCH:
                return x.shape[0]
            if isinstance(argument, list):
                return [resolve(item) for item in argument]
            return x.device if isinstance(argument, torch.device) else argument

        for node, attribute in zip(self._nodes, self._operations, strict=True):
            args = [resolve(argument) for argument in node.args]
            kwargs = {name: resolve(argument) for name, argument in node.kwargs.items()}
            if _makes_tensor(node):
                kwargs["device"] = x.device
            result = getattr(self, attribute)(*args, **kwargs)
            results = list(result) if node.returns_list else [result][: len(node.outputs)]
            if limited:
                _check_results(node, results)
            values.update(zip(node.outputs, results, strict=True))
        return values

    # -- once, after reading -------------------------------------------------------------------

    def prepare(self) -> None:
        """Try the program on shapes alone, and free it from the batch it was exported with."""
        rows = self._input.rows
        values = self._try(rows or 7)
        if not self._input.batched or rows is None:
            return
        literal = self._nodes
        self._nodes = [self._freed(node, values) for node in literal]
        try:
            self._try(2 * rows)
            is_bound = len(self._outputs) == 1 and not self._agrees_with(literal, rows)
        except FormatError:
            is_bound = True
        if is_bound:
            raise FormatError(
                f"was exported for batches of exactly {rows} rows, and what it makes of a row "
                "depends on the batch; if the model itself does not do so, export it with "
                "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"
            )

    def _try(self, rows: int) -> dict[str, Any]:
        """Run without data, to find sizes beyond reason, then with some, to find calls that fail.

        The first run allocates nothing, whatever shapes the program asks for.
        """
        self._try_on("meta", rows)
        return self._try_on("cpu", rows)

    def _try_on(self, device: str, rows: int) -> dict[str, Any]:
        tensors = {
            name: getattr(self, attribute).detach().to(device, copy=True)
            for name, attribute in self._stored.items()
        }
        shape = (rows, *self._input.shape) if self._input.batched else self._input.shape
        x = torch.zeros(shape, dtype=self._input.dtype, device=device)
        versions = {name: tensor._version for name, tensor in tensors.items()}
        try:
            with torch.no_grad():
                values = self._run(x, tensors, limited=True)
        except FormatError:
            raise
        except Exception as error:  # whatever torch raises for a call that makes no sense
            raise FormatError(f"holds a program that cannot run: {_first_line(error)}") from error
        if any(tensor._version != versions[name] for name, tensor in tensors.items()):
            raise FormatError(CHANGES_ITSELF)
        self._changes_input = x._version > 0
        return values

    def _freed(self, node: Node, values: Mapping[str, Any]) -> Node:
        """The call with the number of rows in place of the one that was written into it.

        A reshape from (B, ...) to (B, ...) keeps rows together, since the rest of both shapes
        holds equally many numbers; so it is one of (N, ...) to (N, ...) as well.
        """
        if node.target not in RESHAPES or len(node.args) < 2 or len(node.outputs) != 1:
            return node
        source, shape, *rest = node.args
        rows = self._input.rows
        if not (
            isinstance(source, Value)
            and source.name in self._depends()
            and isinstance(shape, list)
            and shape[:1] == [rows]
            and values[source.name].shape[:1] == values[node.outputs[0]].shape[:1] == (rows,)
        ):
            return node
        return replace(node, args=(source, [BATCH, *shape[1:]], *rest))

    def _depends(self) -> set[str]:
        """Names of the values that depend on the input."""
        names = {self._input.name}
        for node in self._nodes:
            if names.intersection(node.inputs()):
                names.update(node.outputs)
        return names

    def _agrees_with(self, literal: list[Node], rows: int) -> bool:
        """Whether the freed program does to two batches at once what `literal` does to each.

        A difference far beyond rounding, or one of whole numbers, means that rows are mixed.
        """
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((2 * rows, *self._input.shape), generator=generator, dtype=torch.float64)
        x = x.to(self._input.dtype)
        freed = self._nodes
        with torch.no_grad():
            together = self(x)
            try:
                self._nodes = literal
                apart = torch.cat([self(x[:rows]), self(x[rows:])])
            finally:
                self._nodes = freed
        if together.shape != apart.shape:
            return False
        if not together.is_floating_point():  # places, by an arg max
            return torch.equal(together, apart)
        tolerance = torch.finfo(together.dtype).eps ** 0.5
        scale = float(apart.nan_to_num(0.0, 0.0, 0.0).abs().max()) if apart.numel() else 0.0
        return torch.allclose(
            together, apart, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        )


def _makes_tensor(node: Node) -> bool:
    """Whether a call makes a tensor from nothing, on a device of its own choice."""
    schema = getattr(node.function, "_schema", None)
    if schema is None or any("Tensor" in str(a.type) for a in schema.arguments):
        return False
    return any(a.name == "device" for a in schema.arguments)


def _check_results(node: Node, results: list[Any]) -> None:
    for result in results:
        if isinstance(result, torch.Tensor) and result.numel() > MAX_NUMBERS:
            raise FormatError(
                f"asks for a value of shape {tuple(result.shape)} in {node.name!r}; it is not run"
            )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
