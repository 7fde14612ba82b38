"""The program of an archive, from JSON to a checked list of calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.formats.pt2.archive import DTYPES, STRIDED, Archive, field, size
from polyregions.formats.pt2.operations import ASSERTIONS, ON_INTEGERS, OPERATIONS

# Numbers in one value beyond which a program is refused; a few bytes can ask for any shape.
MAX_NUMBERS = 1 << 27
MAX_NODES = 100_000

CHANGES_ITSELF = (
    "holds a program that changes its own parameters or buffers, as in train mode; call "
    "model.eval() before torch.export.export"
)
# What torch writes as numbers.
_CODES: Mapping[str, Mapping[int, Any]] = {
    "as_scalar_type": DTYPES,
    "as_memory_format": {1: torch.contiguous_format, 4: torch.preserve_format},
    "as_layout": {STRIDED: torch.strided},
}


@dataclass(frozen=True)
class Input:
    """What the program takes.

    Attributes
    ----------
    shape : tuple of int
        Shape of one row of a batch, or of the whole input if there are no batches.
    batched : bool
        Whether the first axis is that of a batch.
    rows : int or None
        Number of rows that the program was exported with, if it was fixed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    batched: bool = True
    rows: int | None = None


@dataclass(frozen=True)
class Value:
    """A reference to the result of an earlier call."""

    name: str


class Batch:
    """Stands for the number of rows in a shape."""


BATCH = Batch()
Constant: TypeAlias = Any  # None, a number, a text, a torch dtype, or a list of them and of Values


@dataclass(frozen=True)
class Node:
    """One call: ``outputs = function(*args, **kwargs)``."""

    name: str
    target: str
    function: Callable[..., Any]
    args: tuple[Constant, ...]
    kwargs: Mapping[str, Constant]
    outputs: tuple[str, ...]
    returns_list: bool

    def inputs(self) -> Iterator[str]:
        """Names of the values that go in."""
        for value in (*self.args, *self.kwargs.values()):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, Value):
                    yield item.name


class Calls:
    """Reads the program of an archive and checks all that can be checked without calling it."""

    def __init__(self, archive: Archive) -> None:
        graph = field(archive.graph_module, "graph", dict)
        signature = field(archive.graph_module, "signature", dict)
        self._shapes = field(graph, "tensor_values", dict)
        self.tensors: dict[str, tuple[str, torch.Tensor]] = {}
        self.constants: dict[str, Constant] = {}
        inputs = []
        for spec in field(signature, "input_specs", list):
            inputs += self._add_input(spec, archive)
        if len(inputs) != 1:
            raise FormatError(f"holds a program that takes {len(inputs)} tensors; one is expected")
        self.input = _input(inputs[0], self._shapes.get(inputs[0]))
        self.outputs = []
        for spec in field(signature, "output_specs", list):
            self.outputs += _output(spec)
        nodes = field(graph, "nodes", list)
        if len(nodes) > MAX_NODES:
            raise FormatError(f"holds a program of {len(nodes)} calls; it is not opened")
        known = {self.input.name, *self.tensors, *self.constants}
        self.nodes: list[Node] = []
        for record in nodes:
            node = _node(record, len(self.nodes))
            if node is None:
                continue
            self.nodes.append(node)
            if unknown := set(node.inputs()) - known:
                raise FormatError(f"is damaged: {node.name!r} uses {min(unknown)!r} unmade")
            if known.intersection(node.outputs):
                raise FormatError(f"is damaged: {node.name!r} makes a value anew")
            known.update(node.outputs)
        if not known.issuperset(self.outputs):
            raise FormatError("is damaged: nothing makes its output")

    def _add_input(self, spec: Any, archive: Archive) -> list[str]:
        """Note a stored tensor or constant; returns the name of a value that the caller gives."""
        kind, entry = _union(spec)
        if kind == "constant_input":
            name = field(entry, "name", str)
            self.constants[name] = _plain_constant(field(entry, "value", dict))
            return []
        argument = field(entry, "arg", dict)
        if kind == "user_input":
            if "as_tensor" not in argument:
                raise FormatError("holds a program that takes something else than a tensor")
            return [_tensor_name(argument["as_tensor"])]
        sources = {
            "parameter": ("parameter_name", archive.weights),
            "buffer": ("buffer_name", {**archive.constants, **archive.weights}),
            "tensor_constant": ("tensor_constant_name", archive.constants),
        }
        if kind not in sources:
            raise FormatError(f"holds a program with an input of the kind {kind!r}")
        key, source = sources[kind]
        target = field(entry, key, str)
        if target not in source:
            raise FormatError(f"is damaged: it lacks the tensor {target!r}")
        self.tensors[_tensor_name(argument)] = (kind, source[target])
        return []


def _output(spec: Any) -> list[str]:
    kind, entry = _union(spec)
    if kind == "user_input_mutation":  # the caller's tensor is left as it is
        return []
    if kind == "buffer_mutation":
        raise FormatError(CHANGES_ITSELF)
    argument = field(entry, "arg", dict)
    if kind != "user_output" or "as_tensor" not in argument:
        raise FormatError("holds a program that returns something else than tensors")
    return [_tensor_name(argument["as_tensor"])]


def _input(name: str, meta: Any) -> Input:
    dtype = DTYPES.get(field(meta, "dtype", int))
    if dtype is None or not dtype.is_floating_point:
        raise FormatError(f"holds a program that takes {dtype or 'unknown'} numbers")
    sizes = field(meta, "sizes", list)
    is_open = [isinstance(s, dict) and "as_expr" in s for s in sizes]
    if any(is_open[1:]) or is_open == [True]:
        raise FormatError("holds a program whose number of inputs is open")
    if len(sizes) < 2:
        return Input(name, tuple(map(size, sizes)), dtype, batched=False)
    row = tuple(map(size, sizes[1:]))
    rows = None if is_open[0] else size(sizes[0])
    if rows == 0 or prod(row) * (rows or 1) > MAX_NUMBERS:
        raise FormatError(f"holds a program that takes {rows} rows of shape {row}; it is not run")
    return Input(name, row, dtype, rows=rows)


def _node(record: Any, index: int) -> Node | None:
    """One call; None for an assertion."""
    target = field(record, "target", str)
    inputs = field(record, "inputs", list)
    outputs, returns_list = _outputs(field(record, "outputs", list))
    name = outputs[0] if outputs else f"call {index}"
    if target in ASSERTIONS and not outputs:
        return None
    if target not in OPERATIONS and target not in ON_INTEGERS:
        raise UnsupportedLayerError(
            f"calls {target[:200]!r}, which is no operation of a piecewise-linear network that is "
            "known here; the page on operators in the documentation lists those that are"
        )
    given = {field(i, "name", str): _constant(field(i, "arg", dict)) for i in inputs}
    if target in ON_INTEGERS:
        args = tuple(given.values())
        return Node(name, target, ON_INTEGERS[target], args, {}, outputs, False)
    function = OPERATIONS[target]
    _refuse_train_mode(target, given)
    positional, keywords = _bind(function, target, given)
    return Node(name, target, function, positional, keywords, outputs, returns_list)


def _bind(
    function: Any, target: str, given: dict[str, Constant]
) -> tuple[tuple[Constant, ...], dict[str, Constant]]:
    """Sort arguments by the operation's own signature."""
    positional: list[Constant] = []
    keywords: dict[str, Constant] = {}
    in_a_row = True
    for argument in function._schema.arguments:
        if argument.name not in given:
            in_a_row = False
        elif in_a_row and not argument.kwarg_only:
            positional.append(given.pop(argument.name))
        else:
            keywords[argument.name] = given.pop(argument.name)
    if given:
        raise FormatError(f"is damaged: {target!r} has no argument {min(given)!r}")
    return tuple(positional), keywords


def _refuse_train_mode(target: str, given: Mapping[str, Constant]) -> None:
    drops = "dropout" in target and given.get("train") is True and given.get("p") != 0
    if drops or ("batch_norm" in target and given.get("training") is True):
        raise FormatError(
            f"holds {target.split('.')[-2]} in train mode, so that its output is no function of "
            "its input; call model.eval() before torch.export.export"
        )


def _outputs(records: list[Any]) -> tuple[tuple[str, ...], bool]:
    """Names of the results, and whether the call returns them as a list."""
    names: list[str] = []
    for record in records:
        kind, entry = _union(record)
        if kind == "as_tensor":
            names.append(_tensor_name(entry))
        elif kind in ("as_sym_int", "as_sym_bool"):
            names.append(field(entry, "as_name", str))
        elif kind == "as_tensors" and len(records) == 1 and isinstance(entry, list):
            return tuple(map(_tensor_name, entry)), True
        elif kind != "as_none":
            raise FormatError(f"holds a program with a result of the kind {kind!r}")
    return tuple(names), len(records) > 1


def _union(record: Any) -> tuple[str, Any]:
    """The only entry of an object that says by its key what it holds."""
    if not isinstance(record, dict) or len(record) != 1:
        raise FormatError("is damaged: an entry of its program is not of one kind")
    [(kind, entry)] = record.items()
    return kind, entry


def _tensor_name(record: Any) -> str:
    name: str = field(record, "name", str)
    return name


def _constant(record: Any) -> Constant:
    """An argument of a call."""
    kind, entry = _union(record)
    if kind == "as_tensor":
        return Value(_tensor_name(entry))
    if kind in _CODES and type(entry) is int and entry in _CODES[kind]:
        return _CODES[kind][entry]
    if kind == "as_device":
        return torch.device("cpu")  # replaced by the device of the input
    if kind in ("as_sym_int", "as_sym_bool"):
        return _symbolic(entry)
    if kind in _ITEMS and isinstance(entry, list):
        return [_ITEMS[kind](item) for item in entry]
    return _plain_constant(record)


def _plain_constant(record: Any) -> Constant:
    kind, entry = _union(record)
    if kind == "as_none":
        return None
    if kind == "as_float" and entry in ("Infinity", "-Infinity", "NaN"):
        return float(entry)
    kinds = {"as_int": int, "as_float": float, "as_bool": bool, "as_string": str}
    if type(entry) is not kinds.get(kind):
        raise FormatError(f"holds a program with an argument of the kind {kind!r}")
    return entry


def _symbolic(record: Any) -> Value | int | bool:
    kind, entry = _union(record)
    if kind == "as_name" and type(entry) is str:
        return Value(entry)
    if kind in ("as_int", "as_bool") and type(entry) in (int, bool):
        return int(entry) if kind == "as_int" else bool(entry)
    raise FormatError("is damaged: a size of its program is neither a number nor a name")


def _optional_tensor(record: Any) -> Value | None:
    kind, entry = _union(record)
    return None if kind == "as_none" else Value(_tensor_name(entry))


_ITEMS: Mapping[str, Callable[[Any], Constant]] = {
    "as_tensors": lambda item: Value(_tensor_name(item)),
    "as_optional_tensors": _optional_tensor,
    "as_sym_ints": _symbolic,
    "as_ints": lambda item: _plain_constant({"as_int": item}),
    "as_floats": lambda item: _plain_constant({"as_float": item}),
    "as_bools": lambda item: _plain_constant({"as_bool": item}),
}
