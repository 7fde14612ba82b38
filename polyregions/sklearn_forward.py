"""The forward pass of an estimator of scikit-learn: its parts, how to call it, what its units do.

Nothing of scikit-learn is imported: whoever has an estimator has imported it already, and classes
are told by their names.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from polyregions.forward import Sample
from polyregions.network import ByteArray, FloatArray
from polyregions.rounding import FLOAT64

NETWORKS = ("MLPRegressor", "MLPClassifier")
SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")


def kind(estimator: Any) -> str:
    """The name of the class of scikit-learn that an estimator is of, or derives from."""
    for base in type(estimator).__mro__:
        if base.__module__.split(".")[0] == "sklearn":
            return str(base.__name__)
    return type(estimator).__name__


def parts(model: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The steps of pipelines, and of those in them, with their names; a model alone by itself."""
    if kind(model) != "Pipeline":
        yield (f"step {name!r} ({type(model).__name__})" if name else type(model).__name__), model
        return
    for step, estimator in model.steps:
        if estimator is not None and not isinstance(estimator, str):  # None and "passthrough"
            yield from parts(estimator, f"{name}.{step}" if name else step)


def clip_bounds(scaler: Any) -> tuple[float, float] | None:
    """What a scaler clips its results to, if it does."""
    if not getattr(scaler, "clip", False):
        return None
    low, high = scaler.feature_range if kind(scaler) == "MinMaxScaler" else (-1, 1)
    return float(low), float(high)


class SklearnForward:
    """Calls a fitted estimator at points; a classifier is called without its last step.

    Values are those of the estimator's own ``predict``. A classifier offers no logits, and those
    that follow from its probabilities are rounded away where it is sure of itself, so its
    ``predict_proba`` is called on a copy that skips the softmax or logistic function at the end.
    What the units do on the way is worked out from ``coefs_`` and ``intercepts_``.
    """

    def __init__(self, model: Any) -> None:
        *self._scalers, network = (part for _, part in parts(model))
        self._network = network
        self._is_classifier = kind(network) == "MLPClassifier"
        self._model = _without_last_step(model) if self._is_classifier else model

    def representable(self, points: FloatArray) -> FloatArray:
        return points  # weights of float32 are used in float64 at points of float64

    def values(self, points: FloatArray) -> FloatArray:
        if not len(points):  # which scikit-learn refuses
            return np.empty((0, self._network.n_outputs_))
        with _any_names():
            if not self._is_classifier:
                values = self._model.predict(points)
            else:
                values = self._model.predict_proba(points)
                if self._network.n_outputs_ == 1:
                    values = values[:, 1:]  # the first column is that of the other class
        return np.asarray(values, dtype=np.float64).reshape(len(points), -1)

    def sample(self, points: FloatArray, *, with_jacobian: bool = True) -> Sample:
        x = points
        jacobian = np.broadcast_to(np.eye(x.shape[1]), (len(x), *[x.shape[1]] * 2))
        before, pieces = [np.empty((len(x), 0))], [np.empty((len(x), 0), dtype=np.uint8)]
        for scaler in self._scalers:
            x = _transformed(scaler, x)
            if with_jacobian:
                jacobian = _factors(scaler)[:, None] * jacobian
            if (bounds := clip_bounds(scaler)) is not None:
                low, high = bounds
                before.append(x)
                pieces.append((x > low).astype(np.uint8) + (x > high).astype(np.uint8))
                if with_jacobian:
                    jacobian = np.where((pieces[-1] == 1)[:, :, None], jacobian, 0.0)
                x = np.clip(x, low, high)
        for i, (weight, bias) in enumerate(
            zip(self._network.coefs_, self._network.intercepts_, strict=True)
        ):
            if i and self._network.activation == "relu":
                before.append(x)
                active = x > 0
                pieces.append(active.astype(np.uint8))
                x = np.where(active, x, 0.0)
                if with_jacobian:
                    jacobian = np.where(active[:, :, None], jacobian, 0.0)
            x = x @ weight + bias
            if with_jacobian:
                jacobian = weight.T.astype(np.float64) @ jacobian
        pattern: ByteArray = np.concatenate(pieces, axis=1)
        return Sample(
            self.values(points),
            jacobian if with_jacobian else None,
            np.concatenate(before, axis=1),
            pattern,
            FLOAT64,
        )


def _without_last_step(model: Any) -> Any:
    """A shallow copy of a classifier, or a pipeline that ends in one, that gives logits."""
    same = copy.copy(model)
    if kind(model) == "Pipeline":
        name, last = model.steps[-1]
        same.steps = [*model.steps[:-1], (name, _without_last_step(last))]
    else:
        same.out_activation_ = "identity"
    return same


def _transformed(scaler: Any, x: FloatArray) -> FloatArray:
    """What a scaler makes of its inputs before it clips."""
    free = copy.copy(scaler)
    if clip_bounds(scaler) is not None:
        free.clip = False
    free.copy = True
    with _any_names():
        return np.asarray(free.transform(x), dtype=np.float64)


def _factors(scaler: Any) -> FloatArray:
    """The derivative of a scaler, for each of its inputs."""
    n = scaler.n_features_in_
    scale = np.ones(n) if scaler.scale_ is None else np.asarray(scaler.scale_, dtype=np.float64)
    return scale if kind(scaler) == "MinMaxScaler" else 1.0 / scale


@contextmanager
def _any_names() -> Iterator[None]:
    """Let an estimator that was fitted to named columns take points, which have no names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        yield
