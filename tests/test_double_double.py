"""Double-double arithmetic: its bounds against fractions, and what it decides."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from networks import random_layers, stack
from test_engine import assert_agrees

import polyregions as pr
from polyregions.engine import closely, double_double
from polyregions.engine.exactly import Provenance
from polyregions.engine.kernels import UNDECIDED
from polyregions.float64 import U

UU = Fraction(U) ** 2


def _numbers(seed: int, n: int) -> list[tuple[float, float]]:
    """Double-doubles of many sizes, some of them close to each other or of few bits."""
    rng = np.random.default_rng(seed)
    high = rng.choice([-1, 1], n) * rng.uniform(1, 2, n) * 2.0 ** rng.integers(-60, 60, n)
    high[::7] = np.round(high[::7])
    high[1::5] = high[::5][: len(high[1::5])] * (1 + 2.0**-51)
    low = high * U * rng.uniform(-0.99, 0.99, n)
    low[::3] = 0.0
    pairs = (double_double.fast_two_sum(h, v) for h, v in zip(high, low, strict=True))
    return [(float(h), float(v)) for h, v in pairs]


def _exact(number: tuple[float, float]) -> Fraction:
    return Fraction(number[0]) + Fraction(number[1])


@pytest.mark.parametrize(
    ("kernel", "operation", "bound"),
    [
        (double_double.add, lambda a, b: a + b, 3),
        (lambda a, x, b, y: double_double.add(a, x, -b, -y), lambda a, b: a - b, 3),
        (double_double.multiply, lambda a, b: a * b, 7),
        (double_double.divide, lambda a, b: a / b, 16),
    ],
    ids=["sum", "difference", "product", "quotient"],
)
def test_operations_are_as_good_as_is_known(
    kernel: Callable[..., tuple[float, float]],
    operation: Callable[[Fraction, Fraction], Fraction],
    bound: int,
) -> None:
    numbers = _numbers(0, 900)
    worst = Fraction(0)
    for a, b in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
        if b[0] == 0:
            continue
        exact = operation(_exact(a), _exact(b))
        off = abs(_exact(kernel(*a, *b)) - exact)
        assert off <= bound * UU * (1 + 16 * Fraction(U)) * abs(exact)
        worst = max(worst, off / (UU * abs(exact)) if exact else off)
    assert worst > 0  # a product of doubles alone would be exact


def test_errors_of_sums_and_products_are_exact() -> None:
    rng = np.random.default_rng(1)
    for a, b in rng.normal(size=(300, 2)) * 2.0 ** rng.integers(-200, 200, (300, 2)):
        x, y = Fraction(float(a)), Fraction(float(b))
        assert _exact(double_double.two_sum(a, b)) == x + y
        assert _exact(double_double.two_product(a, b)) == x * y


def test_what_overflows_proves_nothing() -> None:
    with np.errstate(all="ignore"):
        for a, b in [(1e300, 1e300), (1e308, 2.0), (1.7e308, 1.7e308), (2.0**997, 1.0)]:
            assert np.isnan(double_double.multiply(a, 0.0, b, 0.0)[1])


NETS = ("normal", "single", "integer", "four_bit", "zero_bias")


def _made(part: pr.Partition) -> Provenance:
    made = part.vertex_exact.provenance  # type: ignore[attr-defined]
    assert isinstance(made, Provenance)
    return made


def _assert_bounded(part: pr.Partition) -> None:
    made, number = _made(part), np.arange(part.n_vertices)
    points = closely.vertices(made, number)
    xy, error = closely.coordinates(made, number)
    for v in number.tolist():
        exact = part.exact_vertex(v)
        w, dw = _exact((points.high[v, 2], points.low[v, 2])), Fraction(points.error[v, 2])
        assert w > dw
        for axis in range(2):
            assert abs(Fraction(xy[v, axis]) - exact[axis]) <= Fraction(error[v, axis])
            # x and w are each as near to x* and w* times the same number as they say.
            value = _exact((points.high[v, axis], points.low[v, axis]))
            slack = Fraction(points.error[v, axis]) + abs(exact[axis]) * dw
            assert abs(value - exact[axis] * w) <= slack


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("half", [1e-60, 3.0, 1e50])
def test_coordinates_are_within_their_bounds(kind: str, half: float) -> None:
    layers = random_layers((2, 9, 8, 7, 1), 5, kind)
    weight, bias = layers[0]
    part = pr.partition([(weight / half, bias), *layers[1:]], (-half, half), engine="exact")
    assert part.n_faces > 20
    _assert_bounded(part)
    _, error = closely.coordinates(_made(part), np.arange(part.n_vertices))
    assert error.max() <= 2.0**-50 * half


@pytest.mark.parametrize("domain", [None, [(0, 0), (5, 1), (4, 4), (2, 1.5), (-1, 3)]])
def test_coordinates_on_other_domains(domain: object) -> None:
    from shapely import Polygon

    where = domain if domain is None else Polygon(domain)  # type: ignore[arg-type]
    _assert_bounded(pr.partition(random_layers((2, 7, 6, 1), 2), where, engine="exact"))


def test_weights_that_are_products_of_steps() -> None:
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm1d(9).double().eval()
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.1, 2)
    linear = [torch.nn.Linear(a, b).double() for a, b in ((2, 9), (9, 9), (9, 1))]
    model = torch.nn.Sequential(
        linear[0], norm, torch.nn.ReLU(), linear[1], norm, torch.nn.LeakyReLU(0.1), linear[2]
    )
    part = pr.partition(model, (-3, 3), engine="exact")
    assert not all(layer.is_exact for layer in _made(part).layers)
    _assert_bounded(part)


def test_rows_are_within_their_bounds() -> None:
    part = pr.partition(random_layers((2, 8, 8, 8, 2), 7), (-3, 3), engine="exact")
    made = _made(part)
    for level in range(3):
        face = np.arange(len(made.face_start[level]))
        for line in range(8):
            _assert_rows_bounded(made, level, face, line)


def _assert_rows_bounded(made: Provenance, level: int, face: np.ndarray, line: int) -> None:
    rows = closely.rows(made, level, face, np.full(len(face), line))
    for f in face.tolist():
        # All three are to be multiplied by one positive number.
        least, most = Fraction(0), None
        for h, v, e, x in zip(
            rows.high[f], rows.low[f], rows.error[f], made.row(level, f, line), strict=True
        ):
            value, error = _exact((h, v)), Fraction(e)
            if x == 0:
                assert abs(value) <= error
                continue
            low, high = sorted(((value - error) / x, (value + error) / x))
            least, most = max(least, low), high if most is None else min(most, high)
        assert most is None or most >= least


def test_bounds_hold_where_slopes_make_values_underflow() -> None:
    """What underflows behind a slope is brought back by the next weights."""
    first = pr.network.Affine(np.array([[0.3, 0.7], [0.9, -0.4]]) * 2.0**990, np.zeros(2))
    activation = pr.network.leaky_relu(2, 2.0**-922)
    second = pr.network.Affine(np.array([[1.7, 0.3], [-0.6, 1.1]]) * 2.0**-150, np.zeros(2))
    last = pr.network.Affine(np.ones((1, 2)), np.zeros(1))
    relu = pr.network.relu(2)
    part = pr.partition(
        pr.Network((first, activation, second, relu, last), 2), (-3, 3), engine="exact"
    )
    made = _made(part)
    for level in range(2):
        face = np.arange(len(made.face_start[level]))
        for line in range(2):
            _assert_rows_bounded(made, level, face, line)


def test_products_of_steps_too_large_for_float64_prove_nothing() -> None:
    assert np.isnan(double_double.nearest(Fraction(10) ** 400)).all()
    steps = (
        pr.network.Affine(np.eye(2) * 1e200, np.zeros(2)),
        pr.network.Affine(np.array([[1e200, 3e199], [3e199, -1e200]]), np.zeros(2)),
        pr.network.relu(2),
        pr.network.Affine(np.full((1, 2), 1e-300), np.zeros(1)),
    )
    part = assert_agrees(pr.Network(steps, 2), (-1, 1))
    assert part.n_faces == 4


def _near_concurrent(gap: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three lines through nearly one point, behind a layer that passes both coordinates on."""
    first = (np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), np.zeros(4))
    pass_on = np.array([[1.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, -1.0]])
    rows = np.array([[1.0, 3.0], [3.0, 1.0], [2.0, -1.0]]) / 7
    bias = -(rows.sum(axis=1)) / 3
    bias[2] += gap
    return [first, (rows @ pass_on, bias), (np.ones((1, 3)), np.zeros(1))]


@pytest.mark.parametrize("gap", [2.0**-52, 2.0**-50, -(2.0**-51)])
def test_near_ties_are_settled_without_integers(gap: float) -> None:
    layers = _near_concurrent(gap)
    part = assert_agrees(stack(layers), (-3, 3))
    assert part.decisions["double-double"] > 0
    assert part.decisions["integer"] == 0


def test_ties_are_left_to_integers() -> None:
    layers = [([[1, 3], [3, 1], [2, -1]], [-4, -4, -1]), ([[1, 1, 1]], [0])]
    part = pr.partition(layers, (-3, 3), engine="exact")
    made = _made(part)
    (v,) = np.flatnonzero((np.abs(part.vertex_xy - 1) < 1e-9).all(axis=1))
    where = np.zeros(3, dtype=np.int64), np.arange(3), np.full(3, v)
    assert (closely.signs(made, 0, *where) == UNDECIDED).all()
    assert part.decisions["integer"] > 0


def test_loose_coordinates_are_worked_out_anew() -> None:
    """Each of many steep layers costs digits, and the bounds stay below a millionth."""
    rng = np.random.default_rng(0)
    widths, layers, x = [2, *[12] * 12, 1], [], rng.uniform(-1, 1, (512, 2))
    for a, b in pairwise(widths):
        weight = rng.normal(size=(b, a)) * np.sqrt(2 / a)
        bias = -np.median(x @ weight.T, axis=0)
        layers.append((weight, bias))
        x = np.maximum(x @ weight.T + bias, 0)
    part = pr.partition(layers, (-0.2, 0.2), engine="exact")
    assert part.n_faces > 1000
    assert part.vertex_error.max() <= 2.0**-20 * 0.2
    assert part.certificate.ok
    assert (part.area_error <= 1e-3 * part.areas).all()
    for v in range(0, part.n_vertices, 211):
        exact = part.exact_vertex(v)
        for axis in range(2):
            off = abs(Fraction(part.vertex_xy[v, axis]) - exact[axis])
            assert off <= Fraction(part.vertex_error[v, axis])


def test_layers_that_are_no_matrices_are_left_to_integers() -> None:
    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Linear(2, 6), torch.nn.Linear(6, 6)
            self.last = torch.nn.Linear(6, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.first(x))
            out: torch.Tensor = self.last(torch.relu(x + torch.relu(self.second(x))))
            return out

    torch.manual_seed(1)
    part = pr.partition(Residual(), (-3, 3), engine="exact")
    made, none = _made(part), np.zeros(1, dtype=np.int64)
    assert np.isfinite(closely.rows(made, 0, none, none).error).all()
    assert np.isnan(closely.rows(made, 1, none, none).error).all()
    _, error = closely.coordinates(made, np.arange(part.n_vertices))
    known = np.isfinite(error).all(axis=1)
    assert known.any()
    assert not known.all()


def test_nothing_changes_without_threads() -> None:
    model = stack(random_layers((2, 16, 16, 16, 1), 3))
    one, two = (pr.partition(model, (-2, 2), engine="exact", threads=n) for n in (1, 2))
    assert one.vertex_xy.tobytes() == two.vertex_xy.tobytes()
    assert one.vertex_error.tobytes() == two.vertex_error.tobytes()
