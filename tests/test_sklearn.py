"""Estimators of scikit-learn, held against their own predict and predict_proba."""

from __future__ import annotations

import doctest
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from scipy.special import expit, softmax
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

import polyregions as pr
from polyregions import cli
from polyregions.forward import forward_of
from polyregions.io import load_model
from polyregions.network import Activation, Scale

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning"
)

CENTER, SPREAD = np.array([3.0, -100.0]), np.array([2.0, 50.0])
DOMAIN = (-3.0, -250.0, 9.0, 50.0)


def data(dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Points, and a wavy function of them."""
    x = np.random.default_rng(0).normal(size=(200, 2))
    return (x * SPREAD + CENTER).astype(dtype), np.sin(2 * x[:, 0]) + x[:, 1] ** 2


def perceptron(kind: type, widths: tuple[int, ...] = (8, 6), **options: Any) -> Any:
    options = {"solver": "lbfgs", "max_iter": 20, "random_state": 0} | options
    return kind(hidden_layer_sizes=widths, **options)


def regressor(*scalers: Any, **options: Any) -> Any:
    x, y = data()
    return make_pipeline(*scalers, perceptron(MLPRegressor, **options)).fit(x, y)


def points(n: int = 1000) -> np.ndarray:
    return np.random.default_rng(1).uniform(DOMAIN[:2], DOMAIN[2:], (n, 2))


def check_regressor(model: Any) -> pr.Network:
    """Values of the lowered network are those of predict, and the partition is verified."""
    network = pr.lower(model)
    x = points()
    expected = model.predict(x).reshape(len(x), -1)
    np.testing.assert_allclose(network(x), expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    verified(model)
    return network


def verified(model: Any) -> pr.Partition:
    part = pr.partition(model, domain=DOMAIN)
    report = pr.verify(part, model, resolution=40)
    assert report.ok, report
    assert report.check("jacobians").n > 100
    assert report.check("values").n == 1600
    return part


# -- networks ----------------------------------------------------------------------------------


def test_regressor() -> None:
    x, y = data()
    model = perceptron(MLPRegressor).fit(x, y)
    network = check_regressor(model)
    assert repr(network) == "<Network 2-8-6-1, 14 units>"
    assert network.notes == ()
    layers = [(w.T, b) for w, b in zip(model.coefs_, model.intercepts_, strict=True)]
    assert pr.partition(model, DOMAIN).count() == pr.partition(layers, DOMAIN).count()


def test_regressor_of_two_targets() -> None:
    x, y = data()
    network = check_regressor(perceptron(MLPRegressor).fit(x, np.stack([y, y**2], axis=1)))
    assert network.n_outputs == 2


def test_float32() -> None:
    x, y = data(np.float32)
    model = perceptron(MLPRegressor, solver="adam").fit(x, y.astype(np.float32))
    assert model.coefs_[0].dtype == np.float32
    network = check_regressor(model)
    np.testing.assert_array_equal(network.steps[0].weight, model.coefs_[0].T.astype(np.float64))
    assert network.notes == ()
    last = perceptron(MLPRegressor, solver="adam")
    check_regressor(make_pipeline(StandardScaler(), last).fit(x, y))


def test_identity() -> None:
    x, y = data()
    network = check_regressor(perceptron(MLPRegressor, activation="identity").fit(x, y))
    assert network.n_units == 0


def test_binary_classifier() -> None:
    x, y = data()
    labels = np.where(y > 1, "up", "down")
    model = perceptron(MLPClassifier).fit(x, labels)
    network = pr.lower(model)
    logit = network(points())[:, 0]
    np.testing.assert_allclose(expit(logit), model.predict_proba(points())[:, 1], atol=1e-12)
    np.testing.assert_array_equal(model.classes_[(logit > 0).astype(int)], model.predict(points()))
    [note] = network.notes
    assert "logistic function at the end is left out" in note
    assert "logit of classes_[1]" in note
    assert model.out_activation_ == "logistic"  # the copy that skips it is another
    verified(model)


def test_classifier_of_many() -> None:
    x, y = data()
    labels = np.digitize(y, [0, 1])
    model = make_pipeline(StandardScaler(), perceptron(MLPClassifier)).fit(x, labels)
    network = pr.lower(model)
    logits = network(points())
    assert network.n_outputs == 3
    np.testing.assert_allclose(
        softmax(logits, axis=1), model.predict_proba(points()), rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(logits.argmax(axis=1), model.predict(points()))
    assert "softmax function at the end is left out" in network.notes[-1]
    assert model[-1].out_activation_ == "softmax"
    verified(model)


def test_classifier_of_several_labels() -> None:
    x, y = data()
    labels = np.stack([y > 1, x[:, 0] > 3], axis=1).astype(int)
    model = make_pipeline(StandardScaler(), perceptron(MLPClassifier)).fit(x, labels)
    network = pr.lower(model)
    np.testing.assert_array_equal((network(points()) > 0).astype(int), model.predict(points()))
    assert "logit of label m" in network.notes[-1]
    verified(model)


def test_sure_classifiers_keep_their_logits() -> None:
    """Where probabilities round to 0 and 1, their log-odds would be infinite."""
    x, y = data()
    model = perceptron(MLPClassifier).fit(x, y > 1)
    model.coefs_[-1] *= 1e4
    assert (model.predict_proba(points()) == 1.0).sum() > 100
    values = forward_of(model).values(points())
    np.testing.assert_allclose(values, pr.lower(model)(points()), rtol=1e-9)
    verified(model)


# -- scalers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        StandardScaler,
        lambda: StandardScaler(with_mean=False),
        lambda: StandardScaler(with_std=False),
        lambda: StandardScaler(with_mean=False, with_std=False),
        MinMaxScaler,
        lambda: MinMaxScaler((-1, 2)),
        MaxAbsScaler,
        RobustScaler,
        lambda: RobustScaler(with_centering=False, unit_variance=True),
    ],
)
def test_scalers(make: Callable[[], Any]) -> None:
    network = check_regressor(regressor(make()))
    assert network.n_units == 14
    for step in network.steps:
        assert not isinstance(step, Scale) or "step '" in step.name


def test_no_step_rounds_twice() -> None:
    model = regressor(StandardScaler())
    shift, factor = pr.lower(model).steps[:2]
    assert isinstance(shift, Scale)
    assert isinstance(factor, Scale)
    np.testing.assert_array_equal(shift.shift, -model[0].mean_)
    np.testing.assert_array_equal(factor.scale, 1 / model[0].scale_)
    [note] = pr.lower(model).notes
    assert note.startswith("step 'standardscaler' (StandardScaler): the reciprocals")
    assert pr.lower(regressor(MinMaxScaler())).notes == ()  # which multiplies


@pytest.mark.parametrize("make", [MinMaxScaler, MaxAbsScaler])
def test_clipping_scalers(make: type) -> None:
    try:
        scaler = make(clip=True)
    except TypeError:
        pytest.skip("this MaxAbsScaler cannot clip yet")
    model = regressor(scaler)
    network = check_regressor(model)
    assert network.n_units == 16
    assert isinstance(network.steps[1], Activation)
    assert network.steps[1].breakpoints[0].tolist() == list(
        (0, 1) if make is MinMaxScaler else (-1, 1)
    )
    far = np.array([[1e6, 1e6], [2e6, 3e6]])
    np.testing.assert_allclose(network(far), model.predict(far)[:, None], rtol=1e-12)
    assert network(far)[0] == network(far)[1]


def test_pipelines_in_pipelines() -> None:
    x, y = data()
    inner = Pipeline([("scale", RobustScaler()), ("net", perceptron(MLPRegressor))])
    model = Pipeline([("first", MaxAbsScaler()), ("skip", "passthrough"), ("inner", inner)])
    network = check_regressor(model.fit(x, y))
    assert network.steps[-1].name == "layer 2 of step 'inner.net' (MLPRegressor)"


def test_estimators_fitted_to_named_columns() -> None:
    model = regressor(StandardScaler())
    model[0].feature_names_in_ = np.array(["a", "b"], dtype=object)
    check_regressor_of = pr.lower(model)  # a warning would be an error here
    assert check_regressor_of.n_units == 14
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(points(2))


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_curved_activations(activation: str) -> None:
    with pytest.raises(
        pr.UnsupportedLayerError,
        match=rf"'{activation}' of the hidden layers of step 'mlpregressor' \(MLPRegressor\) is "
        r"not piecewise linear.*activation='relu'",
    ):
        pr.lower(regressor(StandardScaler(), activation=activation))


def test_curved_last_step() -> None:
    x, y = data()
    model = perceptron(MLPRegressor).fit(x, y)
    model.out_activation_ = "exp"  # as with loss="poisson"
    with pytest.raises(
        pr.UnsupportedLayerError, match=r"'exp' at the end of MLPRegressor .*coefs_"
    ):
        pr.lower(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MLPRegressor(), "MLPRegressor is not fitted: it has no coefs_; call fit first"),
        (MLPClassifier(), "MLPClassifier is not fitted"),
        (make_pipeline(StandardScaler(), MLPRegressor()), r"\(StandardScaler\) is not fitted"),
        (make_pipeline(MinMaxScaler(), MLPRegressor()), r"\(MinMaxScaler\) is not fitted"),
    ],
)
def test_unfitted(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.partition(model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LinearRegression(), "LinearRegression is not supported. Supported are MLPRegressor and"),
        (StandardScaler(), "StandardScaler is not supported"),
        (make_pipeline(PCA(), MLPRegressor()), r"step 'pca' \(PCA\) is not supported"),
        (make_pipeline(OneHotEncoder(), MLPRegressor()), r"\(OneHotEncoder\) is not supported"),
        (make_pipeline(StandardScaler(), "passthrough"), r"\(StandardScaler\) is not supported"),
        (make_pipeline("passthrough"), "Pipeline is not supported"),
    ],
)
def test_other_estimators(model: Any, message: str) -> None:
    with pytest.raises(pr.UnsupportedLayerError, match=message):
        pr.lower(model)


def test_estimators_around_networks() -> None:
    x, y = data()
    search = GridSearchCV(perceptron(MLPRegressor), {"alpha": [0.1]}, cv=2).fit(x, y)
    with pytest.raises(pr.UnsupportedLayerError, match="if its best_estimator_ is one of these"):
        pr.lower(search)
    assert pr.lower(search.best_estimator_).n_units == 14
    target = TransformedTargetRegressor(
        perceptron(MLPRegressor), func=np.log1p, inverse_func=np.expm1
    )
    with pytest.raises(pr.UnsupportedLayerError, match="if its regressor_ is one of these"):
        pr.lower(target.fit(x, y + 2))


class Subclass(MLPRegressor):
    """One that only adds to its class."""


class Doubled(MLPRegressor):
    def predict(self, X: Any) -> Any:
        return 2 * super().predict(X)


def test_subclasses() -> None:
    x, y = data()
    check_regressor(perceptron(Subclass).fit(x, y))
    with pytest.raises(pr.LoweringError, match="disagrees with the estimator's own forward"):
        pr.lower(perceptron(Doubled).fit(x, y))


def test_diverged_weights() -> None:
    x, y = data()
    model = perceptron(MLPRegressor).fit(x, y)
    model.coefs_[1][0, 0] = np.nan
    with pytest.raises(ValueError, match="the weight of layer 1 of MLPRegressor holds NaN"):
        pr.lower(model)


def test_verify_sees_a_change() -> None:
    model = regressor(StandardScaler())
    part = pr.partition(model, domain=DOMAIN)
    model[-1].coefs_[-1] = model[-1].coefs_[-1] * 1.001
    assert not pr.verify(part, model, resolution=20).ok


# -- the surface -------------------------------------------------------------------------------


def test_documentation() -> None:
    """The example that the other tests of the documentation leave to this one."""
    page = Path(__file__).parents[1] / "docs" / "howto" / "models.md"
    [example] = re.findall(r"```pycon\n(.*?)```", page.read_text(), re.DOTALL)
    test = doctest.DocTestParser().get_doctest(example, {}, str(page), str(page), 0)
    report = io.StringIO()
    failed, attempted = doctest.DocTestRunner().run(test, out=report.write)
    assert attempted > 10
    assert not failed, report.getvalue()


OWN = """
import numpy as np
from sklearn.neural_network import MLPRegressor


def make():
    x = np.random.default_rng(0).normal(size=(50, 2))
    return MLPRegressor((5,), solver="lbfgs", max_iter=5, random_state=0).fit(x, x[:, 0])
""".replace("MLPRegressor((5,)", "MLPRegressor(hidden_layer_sizes=(5,)")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    assert isinstance(load_model(f"{path}:make"), MLPRegressor)
    assert cli.main(["verify", f"{path}:make", "--resolution", "20", "--no-progress"]) == 0
    assert "Verification passed" in capsys.readouterr().out


def test_scikit_learn_is_not_imported() -> None:
    code = (
        "import sys, polyregions as pr; pr.lower([([[1, 2]], [0])]); "
        "assert not any(name.startswith('sklearn') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
