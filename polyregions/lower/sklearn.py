"""Lower the multilayer perceptrons of scikit-learn, and pipelines that scale their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from polyregions.errors import LoweringError, UnsupportedLayerError
from polyregions.lower.scaling import standardise
from polyregions.network import Affine, Network, Scale, Step, clamp, exact_float64, relu
from polyregions.rounding import FLOAT64, forward_bound
from polyregions.sklearn_forward import (
    NETWORKS,
    SCALERS,
    SklearnForward,
    clip_bounds,
    kind,
    parts,
)

# Each gives the steps of a fitted estimator, and notes on what was rounded or left out.
Handler: TypeAlias = Callable[[Any, str], tuple[list[Step], list[str]]]


def lower_sklearn(model: Any) -> Network:
    """Lower a fitted ``MLPRegressor``, ``MLPClassifier`` or ``Pipeline``; see `polyregions.lower`.

    The softmax or logistic function at the end of a classifier is left out, which moves no
    region and no decision boundary.
    """
    found = list(parts(model))
    if not found or kind(found[-1][1]) not in NETWORKS:
        raise _unsupported(*(found[-1] if found else (type(model).__name__, model)))
    steps: list[Step] = []
    notes: list[str] = []
    for i, (name, estimator) in enumerate(found):
        if i < len(found) - 1 and kind(estimator) not in SCALERS:
            raise _unsupported(name, estimator)
        of_this, said = _HANDLERS[kind(estimator)](estimator, name)
        steps += of_this
        notes += said
    network = Network(tuple(steps), int(found[0][1].n_features_in_), tuple(notes))
    _check(network, SklearnForward(model))
    return network


def _unsupported(name: str, estimator: Any) -> UnsupportedLayerError:
    hint = ""
    for fitted in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(estimator, fitted):
            hint = f"; if its {fitted} is one of these, pass that"
            break
    return UnsupportedLayerError(
        f"{name} is not supported. Supported are {' and '.join(NETWORKS)} with activation='relu' "
        f"or 'identity', by themselves or at the end of a Pipeline behind {', '.join(SCALERS)}"
        f"{hint}"
    )


def _fitted(estimator: Any, name: str, *attributes: str) -> list[Any]:
    missing = [a for a in (*attributes, "n_features_in_") if not hasattr(estimator, a)]
    if missing:
        raise ValueError(f"{name} is not fitted: it has no {missing[0]}; call fit first")
    return [getattr(estimator, attribute) for attribute in attributes]


def _standard_scaler(scaler: Any, name: str) -> tuple[list[Step], list[str]]:
    mean, scale = _fitted(scaler, name, "mean_", "scale_")
    return _standardised(scaler, mean if scaler.with_mean else None, scale, name)


def _robust_scaler(scaler: Any, name: str) -> tuple[list[Step], list[str]]:
    center, scale = _fitted(scaler, name, "center_", "scale_")
    return _standardised(scaler, center, scale, name)


def _max_abs_scaler(scaler: Any, name: str) -> tuple[list[Step], list[str]]:
    [scale] = _fitted(scaler, name, "scale_")
    steps, notes = _standardised(scaler, None, scale, name)
    return steps + _clip(scaler, name), notes


def _standardised(scaler: Any, means: Any, scale: Any, name: str) -> tuple[list[Step], list[str]]:
    n = scaler.n_features_in_
    return standardise(
        np.zeros(n) if means is None else means, np.ones(n) if scale is None else scale, name
    )


def _min_max_scaler(scaler: Any, name: str) -> tuple[list[Step], list[str]]:
    scale, shift = _fitted(scaler, name, "scale_", "min_")
    return [Scale(scale, shift, name), *_clip(scaler, name)], []


def _clip(scaler: Any, name: str) -> list[Step]:
    bounds = clip_bounds(scaler)
    return [] if bounds is None else [clamp(scaler.n_features_in_, *bounds, f"the clip of {name}")]


def _perceptron(model: Any, name: str) -> tuple[list[Step], list[str]]:
    coefs, intercepts, last = _fitted(model, name, "coefs_", "intercepts_", "out_activation_")
    if model.activation not in ("relu", "identity"):
        raise UnsupportedLayerError(
            f"the activation {model.activation!r} of the hidden layers of {name} is not piecewise "
            "linear: its graph is curved, so there are no linear regions. What works instead: "
            "activation='relu'"
        )
    steps: list[Step] = []
    for i, (weight, bias) in enumerate(zip(coefs, intercepts, strict=True)):
        if i and model.activation == "relu":
            steps.append(relu(len(weight), f"the activation of layer {i - 1} of {name}"))
        where = f"layer {i} of {name}"
        steps.append(Affine(exact_float64(weight, f"the weight of {where}").T, bias, where))
    return steps, _last_step(model, last, name)


def _last_step(model: Any, last: str, name: str) -> list[str]:
    """What is said of the function behind the last layer."""
    if last == "identity":
        return []
    if last == "softmax":
        meaning = "output m is the logit of classes_[m], and the largest one is predicted"
    elif last == "logistic" and model.n_outputs_ == 1:
        meaning = "the output is the logit of classes_[1], which is predicted where it is positive"
    elif last == "logistic":
        meaning = "output m is the logit of label m, which is predicted where it is positive"
    else:
        raise UnsupportedLayerError(
            f"the function {last!r} at the end of {name} is not piecewise linear: its graph is "
            "curved, so there are no linear regions. What works instead: the network before it, "
            "[(w.T, b) for w, b in zip(model.coefs_, model.intercepts_)], if its activation is "
            "'relu', or a model with loss='squared_error'"
        )
    return [f"{name}: the {last} function at the end is left out; {meaning}"]


_HANDLERS: Mapping[str, Handler] = {
    "StandardScaler": _standard_scaler,
    "RobustScaler": _robust_scaler,
    "MaxAbsScaler": _max_abs_scaler,
    "MinMaxScaler": _min_max_scaler,
    "MLPRegressor": _perceptron,
    "MLPClassifier": _perceptron,
}


def _check(network: Network, forward: SklearnForward) -> None:
    """Compare the lowered network with the estimator's own forward on random points.

    They may differ by what rounding can explain, bounded rigorously, and not by more.
    """
    rng = np.random.default_rng(0)
    points = np.logspace(-2, 2, 16)[:, None] * rng.standard_normal((16, network.n_inputs))
    values = forward.values(points)
    bound = forward_bound(network, points, FLOAT64).values
    with np.errstate(over="ignore", invalid="ignore"):
        lowered = network(points)
        wrong = (
            np.ones((1, 1), dtype=bool)
            if values.shape != lowered.shape
            else ~(np.abs(lowered - values) <= bound) & np.isfinite(bound)
        )
    if wrong.any():
        i, m = np.argwhere(wrong)[0]
        raise LoweringError(
            "the lowered network disagrees with the estimator's own forward: at "
            f"{points[i].tolist()} it gives {lowered[i].tolist()} and the estimator "
            f"{values[i].tolist()}, where rounding explains a difference of {bound[i, m]:.3g} at "
            "most. Does a subclass change what predict does?"
        )
