"""The graph of an ONNX model: its inputs, constants and nodes, checked and in plain Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from polyregions.errors import FormatError, UnsupportedLayerError
from polyregions.formats.onnx import (
    MOST_NUMBERS,
    Array,
    Model,
    array_of,
    dtype_of,
    is_float,
    package,
)

# Operators change their meaning with the operator set. These have been read and tested.
OLDEST, NEWEST = 7, 26


@dataclass(frozen=True)
class Input:
    """An input of a model that is no constant.

    Attributes
    ----------
    shape : tuple of int
        Of one input: an unknown length of the first axis, the batch, is 1.
    is_batched : bool
        Whether the length of the first axis is free.
    dtype : str
    """

    name: str
    shape: tuple[int, ...]
    is_batched: bool
    dtype: str

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class Node:
    """An operation.

    Attributes
    ----------
    op : str
        The operator.
    where : str
        Operator, name and place, for messages.
    inputs, outputs : tuple of str
        Names of values; empty for those left out.
    """

    op: str
    domain: str
    where: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    proto: Any = field(repr=False)

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """Numbers, texts, arrays and lists by name."""
        onnx = package()
        found = {}
        for attribute in self.proto.attribute:
            name = f"{attribute.name} of {self.where}"
            if attribute.ref_attr_name:
                raise FormatError(f"{name} refers to {attribute.ref_attr_name!r}, which is not set")
            try:
                value = onnx.helper.get_attribute_value(attribute)
            except ValueError as error:
                raise FormatError(f"{name} is damaged: {error}") from None
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif isinstance(value, onnx.TensorProto):
                value = array_of(value, name)
            found[attribute.name] = value
        return found


@dataclass(frozen=True)
class Graph:
    """A model's graph.

    Attributes
    ----------
    opset : int
        Version of the standard operators.
    inputs : tuple of Input
    outputs : tuple of str
        Names of values.
    nodes : tuple of Node
        Those on which an output depends, in the order of the file.
    """

    opset: int
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    _initializers: Mapping[str, Any] = field(repr=False)
    _sparse: frozenset[str]

    def constant(self, name: str) -> Array | None:
        """The constant of that name, if there is one."""
        if name in self._sparse:
            raise UnsupportedLayerError(
                f"the constant {name!r} is a sparse tensor, which is not read; write it as a dense "
                "one"
            )
        tensor = self._initializers.get(name)
        return None if tensor is None else array_of(tensor, f"the constant {name!r}")


def read_graph(model: Model) -> Graph:
    """Take the graph out of a model.

    Raises
    ------
    FormatError
        If the model is not sound, or of an operator set that is not read.
    UnsupportedLayerError
        If an input is no tensor of floating-point numbers with a known shape.
    """
    onnx = package()
    opset = _opset(model)
    if model.functions:
        from onnx import inliner

        try:
            model = inliner.inline_local_functions(model)
        except Exception as error:
            raise FormatError(f"the functions of the model are not sound: {error}") from None
        opset = _opset(model)
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    sparse = frozenset(tensor.values.name for tensor in graph.sparse_initializer)
    inputs = tuple(
        _input(value) for value in graph.input if value.name not in {*initializers, *sparse}
    )
    if not inputs or not graph.output:
        raise FormatError("the model has no inputs that are no constants, or no outputs")
    outputs = tuple(value.name for value in graph.output)
    nodes = _used(_nodes(graph), outputs)
    assert onnx is not None
    return Graph(opset, inputs, outputs, nodes, initializers, sparse)


def _opset(model: Model) -> int:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx"))
    if opset is None:
        raise FormatError("the model does not say the version of the standard operators")
    if not OLDEST <= opset <= NEWEST:
        raise FormatError(
            f"the model is of operator set {opset}; read are {OLDEST} to {NEWEST}. Export it with "
            f"one of those, or convert it: onnx.version_converter.convert_version(model, "
            f"{min(max(opset, 13), NEWEST)})"
        )
    return int(opset)


def _input(value: Any) -> Input:
    name = f"the input {value.name!r}"
    if value.type.WhichOneof("value") != "tensor_type":
        raise UnsupportedLayerError(f"{name} is no tensor; a network of the plane takes numbers")
    tensor = value.type.tensor_type
    dtype = dtype_of(tensor.elem_type, name)
    if not is_float(dtype):
        raise UnsupportedLayerError(f"{name} is of {dtype}; it must be of floating-point numbers")
    if not tensor.HasField("shape"):
        raise UnsupportedLayerError(
            f"{name} does not say its shape; set it with "
            "onnx.tools.update_model_dims.update_inputs_outputs_dims"
        )
    lengths = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    is_batched = len(lengths) > 1 and lengths[0] < 1
    if is_batched:
        lengths[0] = 1
    if min(lengths, default=1) < 1:
        axis = next(i for i, n in enumerate(lengths) if n < 1)
        raise UnsupportedLayerError(
            f"{name} has axes of lengths {[n if n > 0 else '?' for n in lengths]}; that of axis "
            f"{axis} must be known. Set it with "
            "onnx.tools.update_model_dims.update_inputs_outputs_dims"
        )
    if prod(lengths) > MOST_NUMBERS:
        raise FormatError(f"{name} claims the shape {tuple(lengths)}, which is too much")
    return Input(value.name, tuple(map(int, lengths)), is_batched, dtype)


def _nodes(graph: Any) -> list[Node]:
    n = len(graph.node)
    nodes = []
    for i, proto in enumerate(graph.node):
        name = f" {proto.name!r}" if proto.name else ""
        where = f"{proto.op_type}{name} (node {i + 1} of {n})"
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        nodes.append(
            Node(proto.op_type, domain, where, tuple(proto.input), tuple(proto.output), proto)
        )
    return nodes


def _used(nodes: list[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """The nodes on which some values depend."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    return tuple(reversed(kept))
