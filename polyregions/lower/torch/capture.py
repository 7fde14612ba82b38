"""Lower any torch module through `torch.export`, operation by operation.

The captured program is walked once. A tensor that does not depend on the input is computed by
torch itself; one that does is a value of the network being built, in some shape.
"""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from threading import Lock
from typing import Any

import torch
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils._pytree import tree_leaves

from polyregions.errors import PolyregionsError, UnsupportedLayerError
from polyregions.lower.builder import Builder
from polyregions.lower.torch import arithmetic, choices, constants, moves, products, units
from polyregions.lower.torch.modules import left_out
from polyregions.lower.torch.refusals import PLACES, is_refused, refusal
from polyregions.lower.torch.traced import (
    HANDLERS,
    Call,
    Condition,
    LastStep,
    Traced,
    Unavailable,
)
from polyregions.network import Network
from polyregions.torch_forward import Convention, Model, convention, unchanged

# Importing these filled the table.
__all__ = ["arithmetic", "capture", "choices", "constants", "products", "units"]

_EXPORTING = Lock()

# An example batch of this size is captured; a prime that is rarely a width tells its axis apart.
_BATCH = 7


def capture(model: Model, shape: tuple[int, ...] | None = None) -> tuple[Network, Convention]:
    """Lower a model by its exported program.

    Returns
    -------
    network, call : Network, Convention
        And how the model wants to be called.
    """
    call = convention(model, shape)
    program = model if isinstance(model, torch.export.ExportedProgram) else _export(model, call)
    if _writes_through_views(program.graph_module):
        program = _decomposed(program, {})
    try:
        return _Walk(program, call).lower(), call
    except _Unknown as unknown:
        # Perhaps it is made of operations that are known.
        try:
            return _Walk(_decomposed(program), call).lower(), call
        except (_Unknown, PolyregionsError, ValueError):
            raise refusal(unknown.name, unknown.where) from None


class _Unknown(Exception):
    """An operation that nothing here has heard of."""

    def __init__(self, name: str, where: str) -> None:
        super().__init__(where)
        self.name, self.where = name, where


def _export(model: torch.nn.Module, call: Convention) -> torch.export.ExportedProgram:
    try:
        # Tracing patches torch for the whole process, so one thread at a time may do it.
        with _EXPORTING, unchanged(model), warnings.catch_warnings():
            # A weight that a hook works out anew on every call, as old-style weight norm does.
            warnings.filterwarnings("ignore", message="The tensor attribute .* was assigned")
            return torch.export.export(model, (call.example(_BATCH),), strict=False)
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UnsupportedLayerError(
            f"torch.export cannot capture the forward of {type(model).__name__}: {first}. "
            "A forward whose course depends on the values it computes has no fixed layers; "
            "write the choice with torch operations such as torch.relu or torch.clamp"
        ) from error


def _decomposed(program: torch.export.ExportedProgram, *table: Any) -> Any:
    """The program in fewer kinds of operations, none of which writes into its operands."""
    with _EXPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own
        return program.run_decompositions(*table)


def _writes_through_views(module: torch.fx.GraphModule) -> bool:
    """Whether an operation in place changes what other names stand for as well."""
    seen: dict[torch.fx.Node, torch.fx.Node] = {}
    shared: set[torch.fx.Node] = set()
    for node in module.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None or not node.args:
            continue
        first = node.args[0]
        if not isinstance(first, torch.fx.Node) or not schema.arguments:
            continue
        alias = schema.arguments[0].alias_info
        if alias is None:
            continue
        root = seen.get(first, first)
        if alias.is_write:
            if root in shared:
                return True
        else:
            seen[node] = root
            shared.add(root)
    return False


@dataclass
class _Walk:
    program: torch.export.ExportedProgram
    call: Convention
    build: Builder = field(init=False)

    def __post_init__(self) -> None:
        self.build = Builder(prod(self.call.shape))

    def lower(self) -> Network:
        placeholders = self.program.graph.find_nodes(op="placeholder")
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        inputs = [self._input(specs[node.name]) for node in placeholders]
        return self._finish(self._run(self.program.graph_module, inputs))

    @cached_property
    def _batch(self) -> int | None:
        """Length of the input's first axis, for which any number does if it may be any.

        None if there is no axis of a batch, or one of length 1, which is like any other.
        """
        if not self.call.batched:
            return None
        (name,) = self.program.graph_signature.user_inputs
        nodes = self.program.graph.find_nodes(op="placeholder")
        length = next(node.meta["val"].shape[0] for node in nodes if node.name == name)
        if not isinstance(length, int):
            hint = getattr(length.node, "hint", None)
            length = hint if isinstance(hint, int) and hint > 1 else _BATCH
        return length if length > 1 else None

    def _input(self, spec: Any) -> Any:
        if spec.kind == InputKind.USER_INPUT:
            if self._batch is not None:
                return Traced(self.build.input(self.call.shape), 0, self._batch)
            shape = (1, *self.call.shape) if self.call.batched else self.call.shape
            return Traced(self.build.input(shape))
        if spec.target in self.program.state_dict:
            value = self.program.state_dict[spec.target]
        else:
            value = self.program.constants[spec.target]
        # A copy: the program may change it in place, as a batch norm in train mode does.
        return value.detach().clone() if isinstance(value, torch.Tensor) else value

    def _run(self, module: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        """Walk a graph, the program's own or one that it calls, and return its outputs."""
        env: dict[torch.fx.Node, Any] = {}
        waiting = iter(inputs)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                env[node] = next(waiting)
            elif node.op == "get_attr":
                env[node] = operator.attrgetter(str(node.target))(module)
            elif node.op == "call_function":
                env[node] = self._call(node, env)
            elif node.op == "output":
                return torch.fx.map_arg(node.args[0], lambda n: env[n])
            else:
                raise UnsupportedLayerError(f"the exported program has a {node.op} node")
        raise AssertionError("every graph ends in its output")

    def _call(self, node: torch.fx.Node, env: dict[torch.fx.Node, Any]) -> Any:
        given: Any = (node.args, node.kwargs)
        args, kwargs = torch.fx.map_arg(given, lambda n: env[n])
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            return self._call_graph(node, args)
        name = _name(node)
        if name.startswith(_ASSERTIONS):
            return None
        if node.target is operator.getitem and not isinstance(args[0], Traced):
            return args[0][args[1]]
        inputs = [x for x in tree_leaves((args, kwargs)) if isinstance(x, _DEPENDENT)]
        if not inputs:
            with torch.no_grad():
                return node.target(*args, **kwargs)  # type: ignore[operator]
        result = self._handle(node, name, inputs, args, kwargs)
        if _is_in_place(node):
            env[node.args[0]] = result  # type: ignore[index]
        return result

    def _call_graph(self, node: torch.fx.Node, args: Any) -> Any:
        """A part of the forward that runs in some mode."""
        name, where = _name(node), describe(node)
        if name == "wrap_with_set_grad_enabled":
            _, graph, *operands = args
            return self._run(graph, operands)
        if name == "wrap_with_autocast":
            _, _, enabled, _, graph, *operands = args
            if not enabled:
                return self._run(graph, operands)
            raise UnsupportedLayerError(
                f"{where}: the forward rounds its weights by torch.autocast, so its regions are "
                "not those of the weights it has. Leave autocast out of the forward; to partition "
                "the rounded network, convert the model, for example by model.bfloat16()"
            )
        raise refusal(name, where)

    def _handle(
        self, node: torch.fx.Node, name: str, inputs: list[Any], args: Any, kwargs: Any
    ) -> Any:
        where = describe(node)
        plain = name if name in HANDLERS else name.removesuffix("_")
        handler = HANDLERS.get(plain)
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple | list) and value else value
        dtype = value.dtype if isinstance(value, torch.Tensor) else self.call.dtype
        call = Call(self.build, where, plain, dtype, self.call.device)
        if "MultiheadAttention" in str(node.meta.get("nn_module_stack")):
            # Its own operations are many, so it is named by its layer alone.
            _, layer, place = where.partition(" in layer")
            raise refusal("scaled_dot_product_attention", f"the attention{layer}{place}")
        for x in inputs:
            if isinstance(x, Unavailable):
                raise UnsupportedLayerError(f"{x.where} {x.why}")
            if isinstance(x, Condition) and plain not in _OF_CONDITIONS:
                raise call.refused(
                    "uses a comparison as a value, which jumps: regions would not meet. What "
                    "works instead: torch.relu, torch.clamp, or torch.where between scaled "
                    "copies of the compared value"
                )
            if isinstance(x, Traced) and x.last is not None:
                self._check_last(x, plain)
        if handler is None:
            if is_refused(name):
                raise refusal(name, where)
            raise _Unknown(name, where)
        if not dtype.is_floating_point and plain not in (*_OF_CONDITIONS, *PLACES):
            raise call.refused(
                f"turns values into {dtype}, which cuts them off: that is not continuous, so "
                "regions would not meet"
            )
        try:
            return handler(call, *args, **kwargs)
        except PolyregionsError:
            raise
        except _RAW as error:
            first = (str(error).strip() or repr(error)).splitlines()[0]
            raise call.refused(f"is of a form that is not supported: {first}") from error

    def _check_last(self, x: Traced, name: str) -> None:
        assert x.last is not None
        # What is kept in place of a place has another shape than it.
        keeps_all = name in moves.NOTHING or (name in moves.SHAPES and not x.last.is_place)
        keeps_all = keeps_all or name in _SIZES
        if not (keeps_all or (x.last.of_each and name in (*moves.MOVES, *moves.JOINS))):
            raise refusal(x.last.name, x.last.where)

    def _finish(self, values: Any) -> Network:
        specs = self.program.graph_signature.output_specs
        if any(spec.kind == OutputKind.BUFFER_MUTATION for spec in specs):
            raise ValueError(
                "the model changes its own buffers when called; call model.eval() first"
            )
        pairs = zip(values, specs, strict=True)
        returned = [value for value, spec in pairs if spec.kind == OutputKind.USER_OUTPUT]
        outputs = [value for value in returned if isinstance(value, (torch.Tensor, *_DEPENDENT))]
        if not any(isinstance(value, _DEPENDENT) for value in outputs):
            raise ValueError("the model's output does not depend on its input")
        signals = []
        for i, value in enumerate(outputs):
            if isinstance(value, Unavailable):
                raise UnsupportedLayerError(f"{value.where} {value.why}")
            if isinstance(value, Condition):
                raise UnsupportedLayerError(
                    f"output {i} of the model is a comparison, which jumps: regions would not "
                    "meet. What works instead: the compared value, whose zero is where it jumps"
                )
            if not isinstance(value, Traced):
                raise UnsupportedLayerError(
                    f"output {i} of the model does not depend on its input; leave it out"
                )
            if value.axis not in (None, 0):
                raise UnsupportedLayerError(
                    f"output {i} of the model has the batch as axis {value.axis}, not as its first"
                )
            if value.last is not None:
                self._leave_out(value.last, len(outputs))
            signals.append(value.signal)
        return self.build.finish(*signals)

    def _leave_out(self, last: LastStep, n_outputs: int) -> None:
        if not last.is_place:
            self.build.notes.append(left_out(last.where))
        elif n_outputs == 1:
            place = "largest" if last.name == "argmax" else "least"
            self.build.notes.append(left_out(last.where, place))
        else:
            raise UnsupportedLayerError(
                f"{last.where} gives a place, which jumps, beside other outputs of the model. What "
                "works instead: the other outputs alone, if what it compares is among them"
            )


_DEPENDENT = (Traced, Condition, Unavailable)
_ASSERTIONS = ("_assert", "sym_constrain", "_check")
_OF_CONDITIONS = frozenset(
    ("where", "masked_fill", "logical_not", "bitwise_not", "gt", "ge", "lt", "le", "greater",
     "less", "greater_equal", "less_equal", "sym_size", "sym_numel")
)  # fmt: skip
_SIZES = ("sym_size", "sym_numel")

# What handlers and torch raise at operands that they were not made for.
_RAW = (RuntimeError, TypeError, IndexError, KeyError, AttributeError, AssertionError)


def _name(node: torch.fx.Node) -> str:
    """The operation's name, without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


def _is_in_place(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable and bool(node.args)


# Frames of these packages are on the way to the user's code, or behind it.
_NOT_THE_USERS = ("/torch/", "/polyregions/")


def describe(node: torch.fx.Node) -> str:
    """Where an operation stands: its module and its line of code."""
    modules = node.meta.get("nn_module_stack") or {}
    name = str(node.target).removesuffix(".default")
    if modules:
        path, kind = list(modules.values())[-1]
        kind = kind if isinstance(kind, str) else kind.__qualname__
        if path:
            name = f"{name} in layer {path!r} ({kind.rsplit('.', 1)[-1]})"
    # The innermost frame that is not torch's own says where the user wrote it.
    frames = (node.meta.get("stack_trace") or "").split("File ")[1:]
    own = [f for f in frames if not any(part in f.split("\n")[0] for part in _NOT_THE_USERS)]
    if own:
        lines = own[-1].strip().splitlines()
        file, line = lines[0].split(",")[:2]
        file = file.strip('" ')
        name += f" ({file.rsplit('/', 1)[-1]},{line}: {lines[-1].strip()})"
    return name
