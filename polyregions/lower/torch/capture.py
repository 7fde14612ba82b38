"""Lower any torch module through `torch.export`, operation by operation.

The captured program is walked once. A value that does not depend on the input is computed by
torch itself; a value that does is the current end of the chain of steps, in some shape. An
operation on an end that is no longer current would be a branch, which is refused.
"""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass
from functools import cached_property
from math import prod
from threading import Lock
from typing import Any

import torch
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils._pytree import tree_leaves

from polyregions.errors import UnsupportedLayerError
from polyregions.lower.torch.ops import HANDLERS, Chain, Signal, Skipped
from polyregions.network import Network
from polyregions.torch_forward import Convention, Model, convention, unchanged

_EXPORTING = Lock()

# An example batch of this size is captured; a prime that is rarely a width tells its axis apart.
_BATCH = 7


def capture(model: Model, shape: tuple[int, ...] | None = None) -> tuple[Network, Convention]:
    """Lower a model by its exported program.

    Parameters
    ----------
    model : torch module or exported program
    shape : tuple of int, optional
        The shape of one input, if it is known.

    Returns
    -------
    network, call : Network, Convention
        And how the model wants to be called.
    """
    call = convention(model, shape)
    program = model if isinstance(model, torch.export.ExportedProgram) else _export(model, call)
    return _Walk(program, call).lower(), call


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


@dataclass
class _Walk:
    program: torch.export.ExportedProgram
    call: Convention

    def lower(self) -> Network:
        chain = Chain(prod(self.call.shape))
        placeholders = self.program.graph.find_nodes(op="placeholder")
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        inputs = [self._input(specs[node.name], chain) for node in placeholders]
        self._finish(self._run(self.program.graph_module, inputs, chain), chain)
        return chain.network()

    @cached_property
    def _batch(self) -> Any:
        """Length of the input's first axis: a number, or a symbol for any number."""
        (name,) = self.program.graph_signature.user_inputs
        nodes = self.program.graph.find_nodes(op="placeholder")
        return next(node.meta["val"].shape[0] for node in nodes if node.name == name)

    def _input(self, spec: Any, chain: Chain) -> Any:
        if spec.kind == InputKind.USER_INPUT:
            return chain.signal(self.call.shape)
        if spec.target in self.program.state_dict:
            value = self.program.state_dict[spec.target]
        else:
            value = self.program.constants[spec.target]
        # A copy: the program may change it in place, as a batch norm in train mode does.
        return value.detach().clone() if isinstance(value, torch.Tensor) else value

    def _run(self, module: torch.fx.GraphModule, inputs: list[Any], chain: Chain) -> Any:
        """Walk a graph, the program's own or one that it calls, and return its outputs."""
        env: dict[torch.fx.Node, Any] = {}
        waiting = iter(inputs)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                env[node] = next(waiting)
            elif node.op == "get_attr":
                env[node] = operator.attrgetter(str(node.target))(module)
            elif node.op == "call_function":
                env[node] = self._call(node, env, chain)
            elif node.op == "output":
                return torch.fx.map_arg(node.args[0], lambda n: env[n])
            else:
                raise UnsupportedLayerError(f"the exported program has a {node.op} node")
        raise AssertionError("every graph ends in its output")

    def _call(self, node: torch.fx.Node, env: dict[torch.fx.Node, Any], chain: Chain) -> Any:
        given: Any = (node.args, node.kwargs)
        args, kwargs = torch.fx.map_arg(given, lambda n: env[n])
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            return self._call_graph(node, args, chain)
        # Every use counts, also the second of the same value.
        inputs = tree_leaves((args, kwargs))
        signals = [value for value in inputs if isinstance(value, Signal)]
        if node.target is operator.getitem and not isinstance(args[0], Signal | Skipped):
            return args[0][args[1]]
        if not signals and any(isinstance(value, Skipped) for value in inputs):
            return Skipped()
        if not signals:
            with torch.no_grad():
                return node.target(*args, **kwargs)  # type: ignore[operator]
        where = describe(node)
        chain.check_current(signals, where, multiplies=_name(node) in _PRODUCTS)
        result = self._handle(node, where, args, kwargs, chain)
        if isinstance(result, Signal) and _is_in_place(node):
            env[node.args[0]] = result  # type: ignore[index]
        return result

    def _call_graph(self, node: torch.fx.Node, args: Any, chain: Chain) -> Any:
        """A part of the forward that runs in some mode."""
        name, where = _name(node), describe(node)
        if name == "wrap_with_set_grad_enabled":
            _, graph, *operands = args
            return self._run(graph, operands, chain)
        if name == "wrap_with_autocast":
            _, _, enabled, _, graph, *operands = args
            if not enabled:
                return self._run(graph, operands, chain)
            raise UnsupportedLayerError(
                f"{where}: the forward rounds its weights by torch.autocast, so its regions are "
                "not those of the weights it has. Leave autocast out of the forward; to partition "
                "the rounded network, convert the model, for example by model.bfloat16()"
            )
        raise unsupported(name, where)

    def _handle(self, node: torch.fx.Node, where: str, args: Any, kwargs: Any, chain: Chain) -> Any:
        name = _name(node)
        handler = HANDLERS.get(name.removesuffix("_") if name not in HANDLERS else name)
        if handler is None:
            raise unsupported(name, where)
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple | list) else value
        shape = self._shape(value, where) if isinstance(value, torch.Tensor) else None
        if isinstance(value, torch.Tensor) and not value.is_floating_point():
            raise UnsupportedLayerError(
                f"{where} turns values into {value.dtype}, which cuts them off: that is not "
                "continuous, so regions would not meet"
            )
        return handler(chain, where, shape, *args, **kwargs)

    def _shape(self, value: torch.Tensor, where: str) -> tuple[int, ...]:
        """Shape of one input's part of a value."""
        if not self.call.batched:
            return tuple(int(n) for n in value.shape)
        if value.ndim == 0 or value.shape[0] != self._batch:
            raise UnsupportedLayerError(
                f"{where} moves or mixes the axis of the batch: its result has shape "
                f"{tuple(value.shape)}, where the first axis should be the batch of {self._batch}"
            )
        return tuple(int(n) for n in value.shape[1:])

    def _finish(self, values: Any, chain: Chain) -> None:
        specs = self.program.graph_signature.output_specs
        if any(spec.kind == OutputKind.BUFFER_MUTATION for spec in specs):
            raise ValueError(
                "the model changes its own buffers when called; call model.eval() first"
            )
        pairs = zip(values, specs, strict=True)
        outputs = [value for value, spec in pairs if spec.kind == OutputKind.USER_OUTPUT]
        if len(outputs) != 1:
            raise UnsupportedLayerError(
                f"the model returns {len(outputs)} tensors; wrap it so that it returns one"
            )
        if not isinstance(outputs[0], Signal):
            raise ValueError("the model's output does not depend on its input")
        chain.check_current(outputs, "the output")


def _name(node: torch.fx.Node) -> str:
    """The operation's name, without its overload."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", packet))


# Operations that are no longer piecewise linear where two operands depend on the input.
_PRODUCTS = frozenset(
    ("mul", "mul_", "div", "div_", "matmul", "mm", "mv", "bmm", "dot", "linear", "einsum", "pow")
)


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


_CURVED = {
    "gelu": "nn.ReLU or nn.LeakyReLU",
    "silu": "nn.ReLU, or nn.Hardtanh",
    "mish": "nn.ReLU",
    "elu": "nn.LeakyReLU",
    "celu": "nn.LeakyReLU",
    "selu": "nn.LeakyReLU",
    "softplus": "nn.ReLU, its limit (see polyregions.smooth)",
    "log_sigmoid": "nn.ReLU",
    "tanh": "nn.Hardtanh",
    "sigmoid": "nn.Hardtanh; as the last layer leave it out and keep the logit",
    "softmax": "the logits: leave it out as the last layer (see polyregions.smooth)",
    "log_softmax": "the logits: leave it out as the last layer (see polyregions.smooth)",
    "hardswish": "nn.ReLU6",
    "exp": "nn.ReLU",
    "log": "nn.ReLU",
    "sin": "nn.ReLU",
    "cos": "nn.ReLU",
    "pow": "abs",
    "sqrt": "nn.ReLU",
    "layer_norm": "nn.BatchNorm1d in eval mode",
    "group_norm": "nn.BatchNorm1d in eval mode",
    "scaled_dot_product_attention": "a stack of nn.Linear and nn.ReLU",
}
_JUMPING = ("hardshrink", "sign", "round", "floor", "ceil", "heaviside", "trunc", "frac")


def unsupported(name: str, where: str) -> UnsupportedLayerError:
    """The error for an operation without a handler."""
    plain = name.removesuffix("_").removeprefix("_")
    if plain in _CURVED:
        return UnsupportedLayerError(
            f"{where} is not piecewise linear: its graph is curved, so there are no linear "
            f"regions. What works instead: {_CURVED[plain]}"
        )
    if plain in _JUMPING:
        return UnsupportedLayerError(
            f"{where} is not continuous: regions would not meet. What works instead: a "
            "continuous piecewise-linear function such as nn.ReLU or nn.Hardtanh"
        )
    return UnsupportedLayerError(
        f"{where} is not supported. Supported are linear layers, ReLU, LeakyReLU, PReLU, abs, "
        "ReLU6, Hardtanh, clamp, eval-mode Dropout and BatchNorm1d, Flatten and reshapes, and "
        "arithmetic with constants, one after the other"
    )
