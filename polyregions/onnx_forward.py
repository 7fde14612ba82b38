"""The forward pass of an ONNX model, by onnxruntime or else by the format's own reference.

The values of every operation that goes into a unit are asked for as outputs, so what is said of
pre-activations and patterns is what the runtime computes. Between such a value and the unit stand
only the few steps that one operator is made of here, such as the sign of a minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from polyregions.errors import LoweringError
from polyregions.formats import onnx as files
from polyregions.forward import Sample
from polyregions.lower.onnx.graph import Input
from polyregions.lower.onnx.reading import Reading, read_model
from polyregions.network import Activation, AffineStep, FloatArray, Network, joined
from polyregions.rounding import FLOAT64, Precision

_PRECISIONS = {
    "float64": FLOAT64,
    "float32": Precision("float32", 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)),
    "float16": Precision("float16", 2.0**-11, 2.0**-14, 65504.0),
    "bfloat16": Precision("bfloat16", 2.0**-8, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
}

# Numbers asked for at once, to bound the memory of intermediate values.
_NUMBERS_AT_ONCE = 1 << 23

# So many points, or fewer, are computed one by one.
_FEW = 16

_Call: TypeAlias = Callable[[dict[str, Any]], Any]


class OnnxForward:
    """Calls an ONNX model at points given as float64 arrays."""

    def __init__(self, model: Any) -> None:
        if isinstance(model, str | PathLike):
            model = files.read(model)
        self._model = model
        self._reading: Reading = read_model(model)
        self._runs: dict[tuple[str, ...], _Run] = {}

    @property
    def network(self) -> Network:
        """The lowered network."""
        return self._reading.network

    @property
    def precision(self) -> Precision:
        """The coarsest arithmetic of the model."""
        return _PRECISIONS[self._reading.dtype]

    @property
    def runtime(self) -> str:
        """What computes the values."""
        return self._run(self._asked([self._last])).runtime

    def representable(self, points: FloatArray) -> FloatArray:
        """The points rounded to the numbers of the model's input."""
        with np.errstate(over="ignore"):
            return np.asarray(points.astype(_dtype(self._reading.dtype)), dtype=np.float64)

    def values(self, points: FloatArray) -> FloatArray:
        """Values, (N, M) float64, at points (N, n_inputs)."""
        last = self._last
        chunks = [self._found(some, [last])[last] for some in self._chunks(points, [last])]
        return np.concatenate(chunks)

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        """Values and patterns at points (N, n_inputs); a runtime has no derivatives."""
        parts = [self._sample(some) for some in self._chunks(points, self._all_wanted)]
        values, before, pattern = (np.concatenate(part) for part in zip(*parts, strict=True))
        limitation = f"is that of {self.runtime}, which computes no derivatives"
        limitation = limitation if with_jacobian else ""
        return Sample(values, None, before, pattern, self.precision, limitation)

    def _sample(self, points: FloatArray) -> tuple[FloatArray, FloatArray, Any]:
        found = self._found(points, self._all_wanted)
        before = [np.empty((len(points), 0))]
        pieces = [np.empty((len(points), 0), dtype=np.uint8)]
        for step, sources in zip(self.network.steps, self._sources, strict=True):
            if isinstance(step, AffineStep):
                continue
            z = joined([found[value] for value in sources])
            before.append(z if isinstance(step, Activation) else step.margin(z))
            pieces.append(step.piece(z))
        values = found[self._last]
        return values, np.concatenate(before, axis=1), np.concatenate(pieces, axis=1)

    @property
    def _sources(self) -> tuple[tuple[int, ...], ...]:
        sources = self.network.sources
        assert sources is not None
        return sources

    @cached_property
    def _all_wanted(self) -> list[int]:
        """The values of the network that units take, and the last."""
        wanted = {self._last}
        for step, sources in zip(self.network.steps, self._sources, strict=True):
            if not isinstance(step, AffineStep):
                wanted.update(sources)
        return sorted(wanted)

    @property
    def _last(self) -> int:
        return len(self.network.steps)

    def _asked(self, wanted: Sequence[int]) -> tuple[str, ...]:
        """Names of the model's values from which some of the network's follow directly."""
        names: dict[str, None] = {}
        left = list(wanted)
        if self._last in wanted:
            names.update((name, None) for name, _, is_own in self._reading.outputs if is_own)
            if all(is_own for _, _, is_own in self._reading.outputs):
                left.remove(self._last)
        seen = set(left)
        while left:
            value = left.pop()
            name = self._reading.tensors.get(value)
            if name is not None:
                names[name] = None
            elif value:
                new = set(self._sources[value - 1]) - seen
                seen |= new
                left.extend(new)
        return tuple(sorted(names))

    def _found(self, points: FloatArray, wanted: Sequence[int]) -> Mapping[int, FloatArray]:
        """Values of the network by their numbers, from what the runtime computes."""
        given = self._run(self._asked(wanted))(points)
        found: dict[int, FloatArray] = {}

        def fill(value: int) -> FloatArray:
            if value not in found:
                name = self._reading.tensors.get(value)
                if name is not None:
                    found[value] = given[name]
                elif not value:
                    found[value] = points
                else:
                    taken = [fill(source) for source in self._sources[value - 1]]
                    found[value] = self.network.steps[value - 1](joined(taken))
            return found[value]

        for value in wanted:
            if value != self._last:
                fill(value)
        if self._last in wanted:
            found[self._last] = self._outputs(given, fill)
        return found

    def _outputs(
        self, given: Mapping[str, FloatArray], fill: Callable[[int], FloatArray]
    ) -> FloatArray:
        """What the model gives, or would without what is left out at its end."""
        outputs = self._reading.outputs
        if all(is_own for _, _, is_own in outputs):
            return joined([given[name] for name, _, _ in outputs])
        values, begin = fill(self._last).copy(), 0
        for name, size, is_own in outputs:
            if is_own:
                values[:, begin : begin + size] = given[name]
            begin += size
        return values

    def _run(self, names: tuple[str, ...]) -> _Run:
        if names not in self._runs:
            self._runs[names] = _Run(self._model, self._reading, names)
        return self._runs[names]

    def _chunks(self, points: FloatArray, wanted: Sequence[int]) -> Iterator[FloatArray]:
        shapes = self._reading.shapes
        numbers = self.network.n_inputs + sum(prod(shapes[name]) for name in self._asked(wanted))
        at_once = max(1, _NUMBERS_AT_ONCE // numbers)
        for begin in range(0, max(len(points), 1), at_once):
            yield points[begin : begin + at_once]


def _dtype(name: str) -> Any:
    if name != "bfloat16":
        return np.dtype(name)
    onnx = files.package()
    return onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16)


class _Run:
    """A model with some of its values as outputs, ready to be called."""

    def __init__(self, model: Any, reading: Reading, names: tuple[str, ...]) -> None:
        self._model = model
        self._inputs = reading.graph.inputs
        self._shapes = {name: reading.shapes[name] for name in names}
        given = {item.name for item in self._inputs}
        self._names = [name for name in names if name not in given]
        self._single, self.runtime = _session(model, self._names)
        self._batch: _Call | None = None
        self._has_tried = False

    def __call__(self, points: FloatArray) -> dict[str, FloatArray]:
        """Values by their names, (N, size) float64."""
        feeds, begin = {}, 0
        for item in self._inputs:
            part = points[:, begin : begin + item.size].astype(_dtype(item.dtype))
            begin += item.size
            feeds[item.name] = part.reshape(len(points), *item.shape)
        found = {name: _flat(part) for name, part in feeds.items()}
        if not self._names:
            return found
        if len(points) > _FEW and not self._has_tried:
            self._has_tried = True
            self._batch = self._batched({name: part[:_FEW] for name, part in feeds.items()})
        if len(points) > _FEW and self._batch is not None:
            columns = [_flat(array) for array in self._batch(_stacked(feeds))]
        else:
            columns = self._one_by_one(feeds)
        return found | dict(zip(self._names, columns, strict=True))

    def _one_by_one(self, feeds: Mapping[str, Any]) -> list[FloatArray]:
        n = len(next(iter(feeds.values())))
        table = [np.empty((n, prod(self._shapes[name]))) for name in self._names]
        for i in range(n):
            arrays = self._single({name: part[i] for name, part in feeds.items()})
            for column, array in zip(table, arrays, strict=True):
                column[i] = np.asarray(array, dtype=np.float64).ravel()
        return table

    def _batched(self, feeds: Mapping[str, Any]) -> _Call | None:
        """The model for a batch, if that gives what its points give one by one, but for rounding.

        A model whose values are not the same in a batch is called one point at a time, which is
        slower and always right.
        """
        single = self._one_by_one(feeds)
        has_axis = any(_has_axis(item.shape) for item in self._inputs)
        try:
            call, runtime = _session(_with_batch(self._model, self._inputs), self._names)
            arrays = call(_stacked(feeds))
        except Exception:  # whatever a runtime says of a model that takes one point only
            return None
        if runtime != self.runtime:
            return None
        for name, array, alone in zip(self._names, arrays, single, strict=True):
            shape = self._shapes[name]
            if np.shape(array) != (len(alone), *(shape[1:] if has_axis else shape)):
                return None
            size = np.abs(alone).max(initial=0.0)
            if not np.allclose(_flat(array), alone, rtol=1e-3, atol=1e-3 * size):
                return None
        return call


def _stacked(feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Points along the axis of length 1 that a batch has, or else along one more."""
    return {name: part[:, 0] if _has_axis(part.shape[1:]) else part for name, part in feeds.items()}


def _has_axis(shape: tuple[int, ...]) -> bool:
    """Whether the first axis of an input is one of points."""
    return len(shape) > 1 and shape[0] == 1


def _with_batch(model: Any, inputs: Sequence[Input]) -> Any:
    """The model with the number of points left free in its inputs' shapes."""
    onnx = files.package()
    edited = onnx.ModelProto()
    edited.CopyFrom(model)
    del edited.graph.value_info[:]
    shapes = {item.name: item.shape for item in inputs}
    for value in edited.graph.input:
        if value.name in shapes:
            shape = shapes[value.name]
            lengths = shape[1:] if _has_axis(shape) else shape
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(
                onnx.helper.make_tensor_value_info(value.name, kind, ["n_points", *lengths])
            )
    return edited


def _flat(array: Any) -> FloatArray:
    return np.asarray(array, dtype=np.float64).reshape(len(array), -1)


def _session(model: Any, names: Sequence[str]) -> tuple[_Call, str]:
    """What computes some values of a model, and its name."""
    onnx = files.package()
    edited = onnx.ModelProto()
    edited.CopyFrom(model)
    del edited.graph.output[:]
    edited.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    problems = []
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Each operation as it is written: fused ones round in other ways than the bounds say.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        # Threads that wait for more work would take the time of others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            edited.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except ImportError:
        pass
    except Exception as error:  # no kernel for these numbers, or an operator set that is newer
        problems.append(f"onnxruntime: {error}")
    else:
        return lambda feeds: session.run(list(names), feeds), "onnxruntime"
    try:
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(edited)
    except Exception as error:
        problems.append(f"onnx.reference: {error}")
        raise LoweringError(
            f"no runtime takes the model, so nothing can be compared with it: {problems}"
        ) from error
    return lambda feeds: evaluator.run(list(names), feeds), "onnx.reference"
