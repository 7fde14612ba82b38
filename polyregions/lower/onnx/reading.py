"""Read an ONNX model, node by node, into a network and where its values stand in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from polyregions.errors import FormatError, PolyregionsError, UnsupportedLayerError
from polyregions.formats.onnx import Model
from polyregions.lower.builder import Builder
from polyregions.lower.onnx import arithmetic, moves, products, units, windows  # noqa: F401
from polyregions.lower.onnx.call import Call, Comparison, Live, Value
from polyregions.lower.onnx.choices import TAKE_COMPARISONS, as_a_value
from polyregions.lower.onnx.constants import work_out
from polyregions.lower.onnx.graph import Graph, Node, read_graph
from polyregions.lower.onnx.refused import not_last, refusal
from polyregions.lower.onnx.registry import AT_THE_END, HANDLERS
from polyregions.network import Network

# From the finest to the coarsest.
_COARSER = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Reading:
    """A model that has been read.

    Attributes
    ----------
    network : Network
    graph : Graph
    tensors : mapping of int to str
        Which values of the network are values of the model as well, and their names there; the
        last one where nodes that change nothing give them more than one. Their entries are in the
        same order.
    shapes : mapping of str to tuple of int
        Of those values and of the outputs, for one input.
    outputs : tuple of (str, int, bool)
        For each output its name, its size, and whether the network gives what the model does:
        not where the end of the model is left out.
    dtype : str
        The coarsest kind of numbers that the model uses for what depends on the input.
    """

    network: Network
    graph: Graph
    tensors: Mapping[int, str]
    shapes: Mapping[str, tuple[int, ...]]
    outputs: tuple[tuple[str, int, bool], ...]
    dtype: str


def read_model(model: Model) -> Reading:
    """Read a model; see `polyregions.lower`."""
    graph = read_graph(model)
    build = Builder(sum(i.size for i in graph.inputs))
    values: dict[str, Value] = {}
    dtypes = {i.dtype for i in graph.inputs}
    whole, begin = build.input((build.n_inputs,)), 0
    for given in graph.inputs:
        places = np.arange(begin, begin + given.size).reshape(given.shape)
        begin += given.size
        kind = np.dtype("float32" if given.dtype == "bfloat16" else given.dtype)
        values[given.name] = Live(build.gather(whole, places, name=given.name), kind)
    if len(graph.inputs) > 1:
        build.notes.append(f"the inputs are joined in this order: {_listed(values)}")

    tensors: dict[int, str] = {}
    for name, value in values.items():
        if isinstance(value, Live):
            tensors[value.signal.value] = name
    for node in graph.nodes:
        operands = [_value(graph, values, name, node) for name in node.inputs]
        results = _dispatch(Call(node, graph.opset, operands, build, dtypes))
        named = [name for name in node.outputs if name]
        if len(results) < len(node.outputs) and any(node.outputs[len(results) :]):
            raise UnsupportedLayerError(f"{node.where} has {len(named)} outputs: not supported")
        for name, value in zip(node.outputs, results, strict=False):
            if name in values:
                raise FormatError(f"{node.where} gives {name!r}, which there is already")
            if name:
                values[name] = value
                if isinstance(value, Comparison):
                    continue
                if isinstance(value, Live) and not value.dropped:
                    tensors[value.signal.value] = name

    outputs = {name: _output(graph, values, name) for name in graph.outputs}
    _refuse_places(graph, outputs)
    if len(outputs) > 1:
        build.notes.append(f"the outputs are joined in this order: {_listed(outputs)}")
    signals = [
        v.signal if isinstance(v, Live) else build.constant(np.asarray(v, np.float64), name=name)
        for name, v in outputs.items()
    ]
    network = build.finish(*signals)
    dtype = max(dtypes, key=_COARSER.index)
    kept = {number: tensors[value] for value, number in build.kept.items() if value in tensors}
    shapes = {name: values[name].shape for name in kept.values()}
    shapes |= {name: value.shape for name, value in outputs.items()}
    own = tuple(
        (name, prod(value.shape), isinstance(value, Live) and not value.dropped)
        for name, value in outputs.items()
    )
    return Reading(network, graph, kept, shapes, own, dtype)


def _listed(values: Mapping[str, Value]) -> str:
    return ", ".join(f"{name!r} {tuple(value.shape)}" for name, value in values.items())


def _value(graph: Graph, values: dict[str, Value], name: str, node: Node) -> Value | None:
    if not name:
        return None
    if name not in values:
        constant = graph.constant(name)
        if constant is None:
            raise FormatError(f"{node.where} takes {name!r}, which nothing before it gives")
        values[name] = constant
    return values[name]


def _output(graph: Graph, values: dict[str, Value], name: str) -> Value:
    value = values.get(name)
    if value is None:
        value = graph.constant(name)
    if value is None:
        raise FormatError(f"the model's output {name!r} is given by no node")
    if isinstance(value, Comparison):
        raise as_a_value(f"the output {name!r}")
    if not isinstance(value, Live) and value.dtype.kind != "f":
        raise UnsupportedLayerError(
            f"the output {name!r} is a constant of {value.dtype}; outputs must be floating-point"
        )
    return value


def _refuse_places(graph: Graph, outputs: Mapping[str, Value]) -> None:
    """An arg max is no value beside others, which would then stand there twice."""
    for name, value in outputs.items():
        dropped = value.dropped if isinstance(value, Live) else ""
        if dropped.startswith("Arg") and len(outputs) > 1:
            raise UnsupportedLayerError(
                f"the output {name!r} is a place, by {dropped}, beside other outputs. Take those "
                "that are numbers: onnx.utils.extract_model(path, new_path, inputs, outputs)"
            )


def _dispatch(call: Call) -> list[Value]:
    """What a node gives."""
    node = call.node
    if node.domain:
        raise UnsupportedLayerError(
            f"{node.where} is of the operator set {node.domain!r}; only the standard one is read. "
            "Export the model without optimisations for one runtime"
        )
    for value in call.operands:
        if isinstance(value, Live) and value.dropped and node.op not in AT_THE_END:
            raise not_last(value.dropped, node.where)
        if isinstance(value, Comparison) and node.op not in TAKE_COMPARISONS:
            raise as_a_value(node.where)
    try:
        if not call.all_live:
            made = work_out(call)
            if made is not None:
                call.check_attributes()
                return [made]
        handler = HANDLERS.get(node.op)
        if handler is None:
            raise refusal(call)
        given = handler(call)
        call.check_attributes()
    except PolyregionsError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        text = str(error)
        raise FormatError(text if node.where in text else f"{node.where}: {text}") from error
    return given if isinstance(given, list) else [given]
