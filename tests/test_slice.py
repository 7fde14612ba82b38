"""Slices: charts, partitions on them, Jacobians by all inputs, files, figures, the command line."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from fractions import Fraction
from itertools import combinations, pairwise
from math import comb, hypot
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from invariants import check
from networks import random_layers, stack
from oracle import assert_same, is_nearest
from torch import nn

import polyregions as pr
from polyregions.cli import main
from polyregions.forward import forward_of
from polyregions.network import (
    Affine,
    Convolution,
    Gather,
    Maximum,
    Network,
    Scale,
    Sum,
    leaky_relu,
    relu,
)

SQUARE = [([[1, 0, 2], [0, 1, -1]], [0, 0]), ([[1, 1]], [0])]  # three inputs, two lines


def flat(network: Network, plane: pr.Slice) -> Network:
    """What a slice means: the network behind a first layer that maps the plane into its inputs."""
    chart = np.stack([plane.u.ravel(), plane.v.ravel()], axis=1)
    return Network((Affine(chart, plane.origin.ravel()), *network.steps), 2)


def fractions(values: Any) -> list[Fraction]:
    return [Fraction(v) for v in np.asarray(values, dtype=np.float64).ravel().tolist()]


def dot(a: list[Fraction], b: list[Fraction]) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def minus(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    return [x - y for x, y in zip(a, b, strict=True)]


# -- charts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.array,
        lambda x: np.array(x, dtype=np.float32),
        lambda x: np.array(x, dtype=np.int8),
        lambda x: torch.tensor(x, dtype=torch.float32, requires_grad=True),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
        lambda x: torch.tensor(x, dtype=torch.uint8),
        lambda x: [torch.tensor(float(v)) for v in x],
    ],
)
def test_any_container_of_numbers(make: Any) -> None:
    plane = pr.Slice(make([1, 2, 3]), make([1, 0, 0]), make([0, 0, 4]))
    for array, expected in (
        (plane.origin, [1, 2, 3]),
        (plane.u, [1, 0, 0]),
        (plane.v, [0, 0, 4]),
    ):
        assert array.dtype == np.float64
        assert array.tolist() == expected
        assert not array.flags.writeable
    assert (plane.shape, plane.n_inputs) == ((3,), 3)


def test_points_keep_the_shape_of_the_input() -> None:
    origin, u, v = np.random.default_rng(0).normal(size=(3, 2, 3, 4))
    plane = pr.Slice(origin, u, v)
    np.testing.assert_array_equal(plane.point(0, 0), origin)
    at = plane(np.array([[[1.0, 0.0]], [[0.0, 2.0]]]))
    assert at.shape == (2, 1, 2, 3, 4)
    np.testing.assert_allclose(at[0, 0], origin + u)
    np.testing.assert_allclose(at[1, 0], origin + 2 * v)
    with pytest.raises(ValueError, match=r"points of a slice must have shape \(\.\.\., 2\)"):
        plane([1.0, 2.0, 3.0])


def test_axes_are_the_inputs_themselves() -> None:
    plane = pr.Slice.axes(3, 1, at=[0.1, 0.2, 0.3, 0.4])
    assert plane.point(7, 8).tolist() == [0.1, 8, 0.3, 7]
    assert plane.axis_labels == ("x3", "x1")
    last = pr.Slice.axes(0, -1, at=np.full((2, 3), 0.5), labels=["across", "up"])
    assert last.point(7, 8).tolist() == [[7, 0.5, 0.5], [0.5, 0.5, 8]]
    assert last.axis_labels == ("across", "up")
    pixel = pr.Slice.axes((0, 1), (1, 2), at=np.zeros((2, 3)))
    assert pixel.point(7, 8).tolist() == [[0, 7, 0], [0, 0, 8]]
    assert pixel.axis_labels == ("x[0, 1]", "x[1, 2]")


def test_through_holds_rounded_differences_and_says_how_far_off() -> None:
    p0, p1, p2 = [0.1, 0.0, 1e-20], [0.3, 1.0, 1.0], [0.7, 0.0, 2.0]
    plane = pr.Slice.through(p0, p1, p2)
    assert plane.origin.tolist() == p0
    assert plane.u.tolist() == [0.3 - 0.1, 1.0, 1.0]
    assert plane.mark_xy.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert plane.mark_labels == ("p0", "p1", "p2")
    for x, y, bound, point in zip(
        *plane.mark_xy.T.tolist(), plane.mark_error, (p0, p1, p2), strict=True
    ):
        columns = zip(*map(fractions, (plane.origin, plane.u, plane.v, point)), strict=True)
        off = [o + Fraction(x) * a + Fraction(y) * b - p for o, a, b, p in columns]
        square = dot(off, off)
        assert square <= Fraction(bound) ** 2 <= square * (1 + Fraction(1, 10**15))
    assert plane.mark_error[0] == 0
    assert 0 < plane.mark_error[1] < 1e-16
    # Differences of numbers of float32 that are not far apart are float64 numbers.
    points = np.random.default_rng(0).random((3, 28), dtype=np.float32)
    assert not pr.Slice.through(*points).mark_error.any()
    assert pr.Slice.through(*points, labels=None).mark_labels == ()


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_data_points_lie_as_they_lie(scale: float) -> None:
    points = np.random.default_rng(1).normal(size=(3, 3, 5)) * scale
    plane = pr.Slice.from_data(*points, labels=[3, 5, 8])
    assert plane.mark_labels == ("3", "5", "8")
    assert plane.mark_xy[0].tolist() == [0, 0]
    assert plane.mark_xy[1, 1] == 0 < plane.mark_xy[2, 1]
    for i, j in combinations(range(3), 2):
        seen = hypot(*((plane.mark_xy[i] - plane.mark_xy[j]) / scale))
        true = np.linalg.norm((points[i] - points[j]) / scale)
        assert seen == pytest.approx(true, rel=1e-14)
    u, v = fractions(plane.u), fractions(plane.v)
    for value, ideal in ((dot(u, u), 1), (dot(v, v), 1), (dot(u, v), 0)):
        assert abs(value - ideal) < Fraction(1, 2**50)
    assert (plane.mark_error < 1e-15 * scale * 10).all()
    xmin, ymin, xmax, ymax = plane.frame
    low, high = plane.mark_xy.min(axis=0), plane.mark_xy.max(axis=0)
    extent = (high - low).max()
    for a, b, c, d in ((xmin, low[0], high[0], xmax), (ymin, low[1], high[1], ymax)):
        assert a <= b - 0.249 * extent
        assert c + 0.249 * extent <= d
        assert d - c < 1.02 * extent


def test_the_plane_of_nearly_collinear_data_is_found_exactly() -> None:
    # Rounded Gram-Schmidt would lose all digits of the second direction.
    a, b, c = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0 + 2.0**-50]
    plane = pr.Slice.from_data(a, b, c)
    np.testing.assert_allclose(plane.v, np.array([-1, -1, 2]) / np.sqrt(6), rtol=1e-15)
    np.testing.assert_allclose(plane.mark_xy[2, 1], 2.0**-50 * np.sqrt(2 / 3), rtol=1e-15)
    assert plane.mark_error[2] < 1e-15


def test_coordinates_are_those_of_least_squares() -> None:
    rng = np.random.default_rng(2)
    plane = pr.Slice(*rng.normal(size=(3, 2, 3)))
    xy = rng.normal(size=(5, 2))
    away = rng.normal(size=(5, 2, 3))
    found, distance = plane.coordinates(plane(xy) + away)
    basis = np.stack([plane.u.ravel(), plane.v.ravel()], axis=1)
    for i in range(5):
        rhs = (plane(xy[i]) + away[i] - plane.origin).ravel()
        expected, [square], *_ = np.linalg.lstsq(basis, rhs, rcond=None)
        np.testing.assert_allclose(found[i], expected, rtol=1e-10)
        np.testing.assert_allclose(distance[i], np.sqrt(square), rtol=1e-10)
    one, far = plane.coordinates(plane.origin)
    assert (one.tolist(), far.tolist()) == ([0, 0], 0)
    with pytest.raises(ValueError, match=r"x must have the shape .* \(\.\.\., 2, 3\)"):
        plane.coordinates(np.zeros(6))


def test_coordinates_are_rounded_once() -> None:
    # Nearly dependent directions, so that float64 would lose ten digits.
    plane = pr.Slice([0.1, 0.2, 0.3], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0 + 1e-10])
    x = [0.7, 0.8, 0.5]
    (s, t), distance = plane.coordinates(x)
    o, u, v, p = map(fractions, (plane.origin, plane.u, plane.v, x))
    d = minus(p, o)
    gram = dot(u, u) * dot(v, v) - dot(u, v) ** 2
    exact_s = (dot(u, d) * dot(v, v) - dot(v, d) * dot(u, v)) / gram
    exact_t = (dot(v, d) * dot(u, u) - dot(u, d) * dot(u, v)) / gram
    assert is_nearest(float(s), exact_s)
    assert is_nearest(float(t), exact_t)
    off = [e - exact_s * a - exact_t * b for e, a, b in zip(d, u, v, strict=True)]
    assert Fraction(float(distance)) ** 2 == pytest.approx(dot(off, off), rel=1e-15)


@pytest.mark.parametrize(
    ("u", "v"),
    [
        ([0, 0, 0], [1, 0, 0]),
        ([1, 0, 0], [0, 0, 0]),
        ([0.1, 0.2, 0.3], [0.2, 0.4, 0.6]),
        ([1e-200, 1e-200, 0], [1e200, 1e200, 0]),
        ([5e-324, 0, 0], [1.7e308, 0, 0]),
    ],
)
def test_dependent_directions_are_refused(u: list, v: list) -> None:
    with pytest.raises(ValueError, match="dependent"):
        pr.Slice([0, 0, 0], u, v)


def test_directions_that_differ_in_the_last_bit_are_not_dependent() -> None:
    pr.Slice([0, 0], [1, 1], [1, 1 + 2.0**-52])
    # 3 * 0.1 is no multiple of 0.1: float64 rounded it.
    pr.Slice([0, 0], [0.1, 1], [3 * 0.1, 3])
    pr.Slice([0, 0], [1e-200, 1e-200], [1e-200, 5e-324])  # all products underflow


POINT = [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: pr.Slice(POINT, [1, 0, 0], [0, np.nan, 1]), ValueError, "v of the slice.*NaN"),
        (lambda: pr.Slice(POINT, [1, 0, np.inf], [0, 1, 0]), ValueError, "u of the slice.*inf"),
        (
            lambda: pr.Slice(POINT, [1, 0], [0, 1, 0]),
            ValueError,
            r"one shape.*\(3,\).*\(2,\) for u",
        ),
        (lambda: pr.Slice(["a"] * 2, [1, 0], [0, 1]), TypeError, "origin of the slice.*real numb"),
        (lambda: pr.Slice([[0, 1], [2]], [1, 0], [0, 1]), ValueError, "origin of the slice.*array"),
        (lambda: pr.Slice([1], [1], [2]), ValueError, "two or more inputs, got 1"),
        (lambda: pr.Slice(3.0, 1.0, 2.0), ValueError, "two or more inputs, got 1"),
        (lambda: pr.Slice([2**53 + 1, 0], [1, 0], [0, 1]), ValueError, "no float64"),
        (lambda: pr.Slice([0, 0], [1, 0], [0, 1], frame=(1, 0, 0, 1)), ValueError, "frame"),
        (lambda: pr.Slice([0, 0], [1, 0], [0, 1], frame=(0, 1)), ValueError, "frame of the slice"),
        (lambda: pr.Slice([0, 0], [1, 0], [0, 1], frame=1), ValueError, "frame of the slice"),
        (lambda: pr.Slice([0, 0], [1, 0], [0, 1], axis_labels="a"), ValueError, "axis_labels must"),
        (lambda: pr.Slice([0, 0], [1, 0], [0, 1], mark_labels="a"), ValueError, "mark_xy"),
        (lambda: pr.Slice.axes(1, 1, at=POINT), ValueError, "two different inputs"),
        (lambda: pr.Slice.axes(1, -2, at=POINT), ValueError, "two different inputs"),
        (lambda: pr.Slice.axes(0, 3, at=POINT), ValueError, "j must be one of the inputs"),
        (lambda: pr.Slice.axes(0.5, 1, at=POINT), TypeError, "i must be an integer"),
        (lambda: pr.Slice.axes((0, 1), 1, at=POINT), ValueError, "i must be a number or an index"),
        (lambda: pr.Slice.axes(0, 1, at=POINT, labels="ab"), ValueError, "labels must be 2 names"),
        (lambda: pr.Slice.axes(0, 1, at=POINT, labels=3), ValueError, "labels must be 2 names"),
        (lambda: pr.Slice.through(POINT, POINT, [1, 1, 1]), ValueError, "on one line"),
        (lambda: pr.Slice.through([0.1] * 3, [0.2] * 3, [0.3] * 3), ValueError, "on one line"),
        (lambda: pr.Slice.from_data([1, 1], [2, 2], [9, 9]), ValueError, "a, b, c are on one line"),
        (lambda: pr.Slice.through(POINT, [1, 0], [1, 1, 1]), ValueError, "one shape, got p0"),
        (lambda: pr.Slice.through([-1e308, 0], [1e308, 0], [0, 1]), ValueError, "so far apart"),
        (lambda: pr.Slice.from_data([0, 0], [1, 0], [0, 1], margin=0), ValueError, "margin must"),
        (lambda: pr.Slice.from_data([0, 0], [1, 0], [0, 1], labels="ab"), ValueError, "3 names"),
    ],
)
def test_refusals(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# -- partitions --------------------------------------------------------------------------------


def networks() -> dict[str, tuple[Network, pr.Slice, Any]]:
    rng = np.random.default_rng(5)
    deep = stack(random_layers([5, 6, 5, 3], 1, "normal"), "leaky")
    picture = stack(random_layers([16, 7, 4, 2], 2, "single"))
    scaled = Network(
        (
            Scale(rng.normal(size=4), rng.normal(size=4), "a normalisation"),
            *stack(random_layers([4, 6, 1], 3)).steps,
        ),
        4,
    )
    bare = Network((relu(3), Affine(np.ones((1, 3)), np.zeros(1))), 3)
    points = rng.random((3, 4, 4)).astype(np.float32)
    return {
        "three of five fixed": (
            deep,
            pr.Slice.axes(0, 1, at=[0, 0, -0.3, 0.1, 0.7]),
            (-4, -3, 5, 2),
        ),
        "picture": (picture, pr.Slice.from_data(*points), None),
        "through": (picture, pr.Slice.through(*points), (-3, 3)),
        "scale first": (scaled, pr.Slice(*rng.normal(size=(3, 4))), (-2, 2)),
        "activation first": (bare, pr.Slice([0, 0, 1], [1, 0, 1], [0, 1, 1]), (-2, 2)),
        "two inputs": (
            stack(random_layers([2, 6, 5, 1], 4)),
            pr.Slice([1, 2], [0.25, 1], [-1, 0.5]),
            (-4, 4),
        ),
        "off the plane": (  # the third unit is zero on all of it, the first two are equal there
            stack([([[1, 0, 0], [1, 0, 1], [0, 0, 1]], [0, 0, 0]), ([[1, 1, 1]], [0])]),
            pr.Slice.axes(0, 1, at=[0, 0, 0]),
            (-1, 1),
        ),
    }


@pytest.mark.parametrize("engine", ["exact", "rational"])
@pytest.mark.parametrize("name", networks())
def test_agrees_with_an_oracle_behind_a_first_layer(name: str, engine: str) -> None:
    network, plane, domain = networks()[name]
    options = {} if domain is None else {"domain": domain}
    part = pr.partition(network, slice=plane, engine=engine, check=True, **options)
    check(part)
    assert_same(part, flat(network, plane), plane.frame if domain is None else domain)
    assert (
        len(part)
        == pr.count_regions(network, slice=plane, engine=engine, **options).activation_regions
    )
    assert part.slice is plane
    assert part.network is network
    assert pr.verify(part, network, resolution=40).ok


def test_a_slice_of_exact_products_is_the_network_of_two_inputs() -> None:
    # Small integers: the first layer times the slice is exact in float64, and known.
    rng = np.random.default_rng(7)
    (w, b), *rest = random_layers([6, 9, 8, 2], 7, "integer")
    origin, u, v = rng.integers(-3, 4, (3, 6)).astype(float)
    direct = [(w @ np.stack([u, v], axis=1), w @ origin + b), *rest]
    expected = pr.partition(direct, (-2, 2), engine="rational")
    part = pr.partition([(w, b), *rest], (-2, 2), slice=pr.Slice(origin, u, v), engine="rational")
    for item in dataclasses.fields(pr.Partition):
        value = getattr(expected, item.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(part, item.name), value, err_msg=item.name)
    assert part.vertex_exact == expected.vertex_exact


def test_hyperplanes_in_general_position_leave_lines_in_general_position() -> None:
    n = 12
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(n, 7)), rng.normal(size=n)), (np.ones((1, n)), None)]
    plane = pr.Slice(*rng.normal(size=(3, 7)))
    assert len(pr.partition(layers, (-1e6, 1e6), slice=plane)) == 1 + n + comb(n, 2)


def test_default_domain_is_the_frame_of_data_points_only() -> None:
    a, b, c = np.eye(3)
    plane = pr.Slice.from_data(a, b, c)
    assert pr.partition(SQUARE, slice=plane).domain.bounds == plane.frame
    assert pr.partition(SQUARE, (-1, 1), slice=plane).domain.bounds == (-1, -1, 1, 1)
    assert pr.partition(SQUARE, slice=pr.Slice.through(a, b, c)).domain.bounds == (-1, -1, 1, 1)
    assert pr.partition(SQUARE, slice=pr.Slice.axes(0, 1, at=a)).domain.bounds == (-1, -1, 1, 1)


def test_a_partition_says_what_it_is_of() -> None:
    plane = pr.Slice.axes(0, 1, at=np.zeros(3))
    part = pr.partition(SQUARE, slice=plane)
    assert repr(part).startswith(
        "<Partition of [-1, 1] x [-1, 1] on a slice of 3 inputs in x0 and x1: 4 faces"
    )
    assert "on a slice of 3 inputs in x0 and x1 by 2 units" in str(part)
    assert repr(plane) == "<Slice of 3 inputs, in x0 and x1>"
    picture = pr.Slice.from_data(*np.eye(4).reshape(4, 2, 2)[:3], labels=[3, 5, 8])
    assert repr(picture) == "<Slice of 4 inputs (2 x 2), in s and t, with 3, 5, 8>"


def test_values_are_those_of_the_points_of_the_plane() -> None:
    network = stack(random_layers([5, 8, 8, 3], 0))
    plane = pr.Slice(*np.random.default_rng(1).normal(size=(3, 5)))
    part = pr.partition(network, (-2, 2), slice=plane)
    xy = np.random.default_rng(2).uniform(-2, 2, (200, 2))
    np.testing.assert_allclose(part(xy), network(plane(xy)), atol=1e-12)
    assert np.isnan(part([3.0, 0.0])).all()


@pytest.mark.parametrize(
    ("model", "plane", "error", "message"),
    [
        (SQUARE, slice(0, 1), TypeError, r"slice must be a polyregions\.Slice"),
        (SQUARE, [0, 1, 2], TypeError, r"pr\.Slice\.axes"),
        (SQUARE, pr.Slice.axes(0, 1, at=[0] * 4), ValueError, "of 4 inputs, but the network has 3"),
        (SQUARE, None, ValueError, r"3 inputs.*slice=.*point with? of 3|slice=.*of 3 numbers"),
        (nn.Linear(5, 2), pr.Slice.axes(0, 1, at=[0] * 4), ValueError, "shape"),
    ],
)
def test_wrong_slices(model: Any, plane: Any, error: type[Exception], message: str) -> None:
    for call in (pr.partition, pr.count_regions):
        with pytest.raises(error, match=message):
            call(model, slice=plane)


def test_a_partition_has_a_slice_and_its_network_or_neither() -> None:
    part = pr.partition(SQUARE, slice=pr.Slice.axes(0, 1, at=np.zeros(3)))
    for changes in (
        {"slice": None},
        {"network": None},
        {"network": stack(random_layers([4, 2, 1], 0))},
    ):
        with pytest.raises(ValueError, match="a slice and a network with as many inputs"):
            dataclasses.replace(part, **changes)


# -- torch -------------------------------------------------------------------------------------


def seeded(*layers: nn.Module) -> nn.Sequential:
    model = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / p.shape[-1] ** 0.5)
    return model.eval()


def dense(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return seeded(*layers[:-1])


def test_a_controller_with_three_inputs_fixed() -> None:
    model = dense(5, 20, 20, 5)
    plane = pr.Slice.axes(0, 1, at=[0, 0, -0.5, 0.25, 0.25])
    part = pr.partition(model, (-2, 2), slice=plane)
    assert len(part) == len(pr.partition(model, (-2, 2), slice=plane, engine="rational"))
    report = pr.verify(part, model, resolution=60)
    assert report.ok, report
    assert report.check("jacobians").n > 3000
    xy = np.random.default_rng(0).uniform(-2, 2, (300, 2))
    with torch.no_grad():
        expected = model.double()(torch.from_numpy(plane(xy))).numpy()
    np.testing.assert_allclose(part(xy), expected, atol=1e-12)


def test_pictures_of_one_digit_each() -> None:
    digits = np.random.default_rng(4).random((3, 1, 28, 28), dtype=np.float32)
    plane = pr.Slice.from_data(*digits, labels=[3, 5, 8])
    model = dense(784, 30, 10)
    part = pr.partition(model, slice=plane)  # flat inputs, in the order of C
    assert pr.verify(part, model, resolution=40).ok
    with torch.no_grad():
        expected = model(torch.from_numpy(digits).reshape(3, 784)).numpy()
    np.testing.assert_allclose(part(plane.mark_xy), expected, atol=1e-5)
    assert part.jacobian(0).shape == (10, 784)


def test_a_model_that_takes_pictures() -> None:
    class Halves(nn.Module):
        """Looks at the two halves of the rows by themselves: not what a flat input would do."""

        def __init__(self) -> None:
            super().__init__()
            self.rows = dense(4, 5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1:] == (1, 8, 8)
            return self.rows(x.reshape(-1, 16, 4)).reshape(len(x), 48)

    digits = np.random.default_rng(6).random((3, 1, 8, 8))
    plane = pr.Slice.from_data(*digits)
    flat_model = seeded(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 3))
    for model in (flat_model, Halves()):
        part = pr.partition(model, slice=plane)
        report = pr.verify(part, model, resolution=40)
        assert report.ok, report
        gradient = part.jacobian(3)[0].reshape(plane.shape)
        x = torch.tensor(plane(part.centroids[3]), requires_grad=True)
        [expected] = torch.autograd.grad(model.double()(x[None])[0, 0], x)
        np.testing.assert_allclose(gradient, expected.numpy(), atol=1e-12)
        model.float()
    with pytest.raises(ValueError, match="must have the shape of the model's own input"):
        pr.partition(Halves(), slice=pr.Slice.axes(0, 1, at=np.zeros(64)))
    with pytest.raises(ValueError, match="needs a 2-D slice of its input space"):
        pr.partition(Halves())


def test_verify_sees_a_wrong_plane_and_a_wrong_model() -> None:
    model, other = dense(4, 12, 2), dense(5, 12, 2)
    plane = pr.Slice.axes(0, 1, at=[0, 0, 0.5, -0.5])
    part = pr.partition(model, (-2, 2), slice=plane)
    moved = dataclasses.replace(part, slice=pr.Slice.axes(0, 1, at=[0, 0, 0.5, -0.499]))
    report = pr.verify(moved, model, resolution=30)
    assert not report.ok
    assert report.check("values").n_wrong > 100
    with pytest.raises(ValueError, match="must have the shape of the model's own input"):
        pr.verify(part, other)


def test_verify_of_points_beyond_float32() -> None:
    # The slice's points overflow the model's dtype; nothing is then known, and nothing claimed.
    model = dense(3, 4, 1)
    plane = pr.Slice([0, 0, 0], [1e30, 0, 0], [0, 1e30, 0])
    part = pr.partition(model, (-1e20, 1e20), slice=plane)
    report = pr.verify(part, model, resolution=5)
    assert report.check("values").n_wrong == 0
    assert not report.ok


# -- Jacobians ---------------------------------------------------------------------------------


def exact_jacobian(network: Network, pattern: np.ndarray) -> list[list[Fraction]]:
    """Forward in fractions: the slow and plain way."""
    n = network.n_inputs
    rows = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    begin = 0
    for step in network.steps:
        if isinstance(step, Affine):
            weight = [fractions(row) for row in step.weight]
            rows = [
                [
                    sum((w * r[j] for w, r in zip(ws, rows, strict=True)), Fraction(0))
                    for j in range(n)
                ]
                for ws in weight
            ]
        elif isinstance(step, Scale):
            rows = [
                [s * x for x in row] for s, row in zip(fractions(step.scale), rows, strict=True)
            ]
        else:
            pieces = pattern[begin : begin + step.n_inputs]
            begin += step.n_inputs
            slopes = fractions(step.slopes[np.arange(len(pieces)), pieces])
            rows = [[s * x for x in row] for s, row in zip(slopes, rows, strict=True)]
    return rows


@pytest.mark.parametrize("name", networks())
def test_jacobian_is_rounded_once(name: str) -> None:
    network, plane, domain = networks()[name]
    options = {} if domain is None else {"domain": domain}
    part = pr.partition(network, slice=plane, **options)
    chart = np.stack([plane.u.ravel(), plane.v.ravel()], axis=1)
    for f in range(0, len(part), 1 + len(part) // 4):
        found = part.jacobian(f)
        assert found.shape == (network.n_outputs, network.n_inputs)
        for row, expected in zip(
            found.tolist(), exact_jacobian(network, part.face_pattern[f]), strict=True
        ):
            assert all(map(is_nearest, row, expected))
        # Along the plane it is the face's own map, up to what either was rounded by.
        slack = np.abs(found) @ np.abs(chart) * (network.n_inputs + 2) * 2.0**-53
        off = np.abs(found @ chart - part.face_weight[f])
        assert (off <= part.face_weight_error[f] + slack).all()


def test_jacobian_is_that_of_autograd() -> None:
    model = dense(6, 15, 15, 3).double()
    plane = pr.Slice(*np.random.default_rng(8).normal(size=(3, 6)))
    part = pr.partition(model, (-1, 1), slice=plane)
    for f in range(0, len(part), 9):
        point = torch.from_numpy(plane(part.centroids[f]))
        expected = torch.autograd.functional.jacobian(model, point)
        np.testing.assert_allclose(part.jacobian(f), expected.numpy(), rtol=1e-12, atol=1e-14)


def test_jacobian_of_branches_convolutions_and_maxima() -> None:
    rng = np.random.default_rng(12)
    kernel = rng.normal(size=(2, 1, 2, 2))
    pads = ((1, 0), (0, 1))
    steps = (
        Convolution(kernel, rng.normal(size=2), (3, 4), (1, 1), pads, (1, 1)),  # value 1, of 24
        relu(24),
        Gather(np.resize([5, 0, -1, 11], 24), 12, fill=np.resize([0.0, 0.0, 2.0, 0.0], 24)),
        Sum(np.array([1.0, -0.5]), 24),  # what the ReLU gives, and some inputs as they are
        Maximum(rng.permutation(24).reshape(8, 3), 24),
        Affine(rng.normal(size=(3, 8)), rng.normal(size=3)),
    )
    network = Network(steps, 12, (), ((0,), (1,), (0,), (2, 3), (4,), (5,)))
    plane = pr.Slice(*rng.normal(size=(3, 3, 4)))
    part = pr.partition(network, (-2, 2), slice=plane)
    assert len(part) > 30
    inside = part.locate(part.centroids) == np.arange(len(part))
    assert inside.all()
    sample = forward_of(network).sample(plane(part.centroids).reshape(-1, 12))
    np.testing.assert_array_equal(sample.pattern, part.face_pattern)
    for f in range(len(part)):
        np.testing.assert_allclose(part.jacobian(f), sample.jacobian[f], rtol=1e-12, atol=1e-13)


def test_jacobian_is_zero_where_no_step_looks_at_the_input() -> None:
    constant = Gather(np.array([-1, -1]), 3, fill=np.array([1.0, 2.0]))
    part = pr.partition(Network((constant,), 3), slice=pr.Slice.axes(0, 1, at=np.zeros(3)))
    assert part.jacobian(0).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_jacobian_of_numbers_of_all_sizes() -> None:
    layers = [([[1e-200, 0, 3.0], [1e200, 1.0, 0]], [1, 1]), ([[1e-100, 1e-150]], [0])]
    part = pr.partition(layers, (-1e-210, 1e-210), slice=pr.Slice.axes(0, 2, at=[0, 0, 0]))
    f = int(part.locate([1e-211, 1e-211]))
    assert part.jacobian(f).tolist() == [[1e200 * 1e-150, 1e-150, 3e-100]]
    huge = [([[1e200, 0, 1], [0, 1e200, 0]], [0, 0]), ([[1e200, 0]], [0])]
    part = pr.partition(huge, (1e-300, 1e-299), slice=pr.Slice.axes(1, 2, at=[0, 0, 0]))
    with pytest.raises(OverflowError, match="1e399, too large"):
        part.jacobian(0)


def test_jacobian_without_a_slice_is_the_weight_of_the_face() -> None:
    part = pr.partition([([[1, 1], [1, -1]], [0, 0]), ([[1, 1]], [0])])
    for f in range(-1, len(part)):
        np.testing.assert_array_equal(part.jacobian(f), part.face_weight[f])
    with pytest.raises(IndexError, match="no face 4; faces are numbered from 0 to 3"):
        part.jacobian(4)
    with pytest.raises(TypeError, match=r"number of a face must be an integer, got 0.5"):
        part.jacobian(0.5)


# -- copies and files --------------------------------------------------------------------------


def assert_same_slice(one: pr.Partition, two: pr.Partition) -> None:
    assert one.slice is not None
    assert two.slice is not None
    for item in dataclasses.fields(pr.Slice):
        a, b = getattr(one.slice, item.name), getattr(two.slice, item.name)
        if isinstance(a, np.ndarray):
            assert (a.shape, a.tobytes()) == (b.shape, b.tobytes()), item.name
            assert not b.flags.writeable
        else:
            assert a == b, item.name
    for f in range(0, len(one), 5):
        np.testing.assert_array_equal(one.jacobian(f), two.jacobian(f))
    assert repr(one) == repr(two)
    assert one.network is not None
    assert two.network is not None
    assert one.network.notes == two.network.notes


@pytest.fixture(params=["exact", "rational"])
def sliced(request: pytest.FixtureRequest) -> pr.Partition:
    network = stack(random_layers([6, 7, 5, 2], 9), leaky_relu_or_relu)
    network = Network(network.steps, 6, ("something was rounded",))
    points = np.random.default_rng(3).normal(size=(3, 2, 3))
    plane = pr.Slice.from_data(*points, labels=["Ä", "", "c c"])
    return pr.partition(network, slice=plane, engine=request.param)


def leaky_relu_or_relu(width: int) -> Any:
    return leaky_relu(width, 0.125) if width % 2 else relu(width)


def test_copies_keep_the_slice(sliced: pr.Partition) -> None:
    for twin in (copy.copy(sliced), copy.deepcopy(sliced), pickle.loads(pickle.dumps(sliced))):
        assert_same_slice(sliced, twin)


def test_files_keep_the_slice(sliced: pr.Partition, tmp_path: Path) -> None:
    sliced.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz")
    assert_same_slice(sliced, loaded)
    assert loaded.certificate.ok
    assert list(loaded.vertex_exact) == list(sliced.vertex_exact)
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert pr.verify(loaded, sliced.network, resolution=20).ok


def test_files_without_a_slice_are_as_before(tmp_path: Path) -> None:
    pr.partition(SQUARE[:0] + [([[1, 1]], [0]), ([[1]], [0])]).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as contents:
        assert contents["schema_version"] == 2
        assert not [name for name in contents if "slice" in name]
    assert pr.load(tmp_path / "a.npz").slice is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"slice_shape": np.array([2, 4])}, "slice_shape does not fit"),
        ({"slice_shape": np.array([-2, -3])}, "slice_shape does not fit"),
        ({"slice_frame": np.zeros(3)}, "slice_frame"),
        ({"slice_frame": np.zeros(4)}, "holds no slice: frame"),
        ({"slice_mark_xy": np.full((3, 2), np.nan)}, "NaN"),
        ({"slice_mark_xy": np.zeros((2, 2))}, "slice_mark_error has shape"),
        ({"slice_mark_labels": np.array(["a", "b"])}, "holds no slice: .*marks"),
        ({"slice_axis_labels": np.array(["a"])}, "slice_axis_labels"),
        ({"slice_axis_labels": np.zeros(2)}, "slice_axis_labels does not hold texts"),
        ({"slice_mark_error": None}, "lacks slice_mark_error"),
        ({"slice_shape": None}, "not of its schema"),
        ({"step_0_weight": np.ones((6, 2))}, "holds no slice: .*dependent"),
        ({"step_0_weight": None}, "lacks step_0_weight"),
    ],
)
def test_damaged_slices(
    changes: dict[str, Any], message: str, sliced: pr.Partition, tmp_path: Path
) -> None:
    sliced.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as contents:
        kept = dict(contents)
    for name, array in changes.items():
        kept.pop(name)
        if array is not None:
            kept[name] = array
    np.savez(tmp_path / "b.npz", **kept)
    with pytest.raises(pr.FormatError, match=message):
        pr.load(tmp_path / "b.npz")


def test_a_changed_network_is_not_mixed_up_with_the_vertices(tmp_path: Path) -> None:
    part = pr.partition(SQUARE, slice=pr.Slice.axes(0, 1, at=np.zeros(3)))
    moved = dataclasses.replace(part, slice=pr.Slice.axes(0, 1, at=[0, 0, 1]))
    moved.save(tmp_path / "a.npz")
    loaded = pr.load(tmp_path / "a.npz")
    assert loaded.slice is not None
    assert loaded.slice.origin.tolist() == [0, 0, 1]
    assert list(loaded.vertex_exact) == list(part.vertex_exact)


# -- figures -----------------------------------------------------------------------------------


@pytest.fixture
def axes() -> Any:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    yield plt.subplots()[1]
    plt.close("all")


def test_figures_name_the_coordinates(axes: Any) -> None:
    at = [0.0, 0.0, 0.5]
    pr.plot.partition(pr.partition(SQUARE, slice=pr.Slice.axes(0, 2, at=at)), axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x_{0}$", "$x_{2}$")
    plane = pr.Slice.axes(0, 2, at=at, labels=["range (ft)", "a $"])
    pr.plot.output(SQUARE, axes, slice=plane, resolution=10, key=False)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("range (ft)", r"a \$")
    pr.plot.partition(pr.partition([([[1, 1]], [0]), ([[1]], [0])]), axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x_1$", "$x_2$")


def test_figures_show_the_data_points(axes: Any) -> None:
    plane = pr.Slice.from_data([0, 0, 0], [3, 0, 0], [0, 4, 0], labels=["p", "q$", "r"])
    artists = pr.plot.partition(pr.partition(SQUARE, slice=plane), axes)
    dots, *names = artists.marks
    assert np.asarray(dots.get_offsets()).tolist() == [[0, 0], [3, 0], [0, 4]]
    assert [name.get_text() for name in names] == ["p", r"q\$", "r"]
    axes.figure.canvas.draw()
    some = pr.plot.partition(pr.partition(SQUARE, (-1, 1), slice=plane), axes).marks
    assert np.asarray(some[0].get_offsets()).tolist() == [[0, 0]]
    none = pr.plot.partition(pr.partition(SQUARE, (5, 6), slice=plane), axes).marks
    assert none == ()
    with pytest.raises(ValueError, match="leave `domain` and `slice` out"):
        pr.plot.output(pr.partition(SQUARE, slice=plane), slice=plane)


def test_sampled_figures_are_of_the_plane(axes: Any) -> None:
    plane = pr.Slice([0, 0, 1], [1, 0, 1], [0, 1, -1])
    part = pr.partition(SQUARE, (-2, 2), slice=plane)
    sampled = pr.plot.output(SQUARE, axes, domain=(-2, 2), slice=plane, resolution=21)
    exact = pr.plot.output(part, axes, resolution=21, exact=False)
    np.testing.assert_allclose(sampled.get_array(), exact.get_array(), atol=1e-14)
    artists = pr.plot.gradient_comparison(part, SQUARE, resolution=21)
    assert artists.shape == (2, 2)


# -- the command line --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    layers = random_layers([4, 8, 6, 2], 11)
    arrays = {f"W{i}": w for i, (w, _) in enumerate(layers)}
    arrays |= {f"b{i}": b for i, (_, b) in enumerate(layers)}
    np.savez("net.npz", **arrays)
    np.save("three.npy", np.random.default_rng(0).normal(size=(3, 4)))
    np.save("two.npy", np.zeros((2, 4)))
    np.save("objects.npy", np.array([{}, {}, {}]), allow_pickle=True)
    Path("damaged.npy").write_text("hello")
    Path("pictures.py").write_text(
        "import torch\n"
        "class Sum(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        assert x.shape[1:] == (2, 3)\n"
        "        return x.relu().reshape(len(x), 6)\n"
    )
    np.save("pictures.npy", np.random.default_rng(0).normal(size=(3, 2, 3)))
    return tmp_path


def shell(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(list(argv))
    return status, *capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "plane", "domain"),
    [
        (["--slice", "axes:0,3"], lambda p: pr.Slice.axes(0, 3, at=[0] * 4), (-1, 1)),
        (
            ["--slice", "axes:3,0", "--fix", "1=-2.5", "--domain", "-3", "3"],
            lambda p: pr.Slice.axes(3, 0, at=[0, -2.5, 0, 0]),
            (-3, 3),
        ),
        (
            ["--fix", "3=1e-1", "--fix", "0=0.5"],
            lambda p: pr.Slice.axes(1, 2, at=[0.5, 0, 0, 0.1]),
            (-1, 1),
        ),
        (["--slice", "through:three.npy"], lambda p: pr.Slice.through(*p), (-1, 1)),
        (["--slice", "data:three.npy"], lambda p: pr.Slice.from_data(*p), None),
    ],
)
def test_planes_from_the_shell(
    words: list[str], plane: Any, domain: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meant = plane(np.load("three.npy"))
    options = {} if domain is None else {"domain": domain}
    network = stack(random_layers([4, 8, 6, 2], 11))
    expected = pr.partition(network, slice=meant, **options)
    status, out, err = shell(capsys, "count", "net.npz", *words)
    assert (status, err) == (0, "")
    assert f"{len(expected):,} activation regions" in out
    assert str(meant) in out
    status, out, _ = shell(capsys, "count", "net.npz", *words, "--json")
    facts = json.loads(out)
    assert facts["counts"]["activation_regions"] == len(expected)
    assert facts["slice"]["coordinates"] == list(meant.axis_labels)
    assert facts["domain"]["bounds"] == list(expected.domain.bounds)
    assert shell(capsys, "export", "net.npz", *words, "-o", "part.npz")[0] == 0
    assert_same_slice(expected, pr.load("part.npz"))


def test_other_commands_take_planes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--slice", "data:three.npy"]
    assert shell(capsys, "plot", "net.npz", *words, "-o", "a.png", "--dpi", "50")[0] == 0
    assert Path("a.png").stat().st_size > 1000
    status, out, err = shell(capsys, "verify", "net.npz", *words, "--resolution", "20")
    assert (status, err) == (0, "")
    assert "Verification passed" in out
    assert shell(capsys, "export", "net.npz", *words, "-o", "part.npz")[0] == 0
    status, out, _ = shell(
        capsys, "verify", "net.npz", "--partition", "part.npz", "--resolution", "9"
    )
    assert status == 0
    status, out, _ = shell(capsys, "count", "part.npz", "--json")
    assert [mark["label"] for mark in json.loads(out)["slice"]["marks"]] == ["a", "b", "c"]


def test_pictures_from_the_shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--slice", "through:pictures.npy", "--domain", "-2", "2"]
    points = np.load("pictures.npy")
    bare = Network((relu(6),), 6)
    expected = len(pr.partition(bare, (-2, 2), slice=pr.Slice.through(*points)))
    status, out, err = shell(capsys, "count", "pictures.py:Sum", *words)
    assert (status, err) == (0, "")
    assert f"{expected} activation regions" in out
    assert shell(capsys, "verify", "pictures.py:Sum", *words, "--resolution", "9")[0] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["count", "net.npz"], "--slice axes:0,1 on the command line"),
        (["count", "net.npz", "--slice", "axes:0"], "axes takes the numbers of two inputs"),
        (["count", "net.npz", "--slice", "axes:0,0"], "two different inputs"),
        (["count", "net.npz", "--slice", "axes:0,4"], "one of the inputs"),
        (["count", "net.npz", "--slice", "nonsense"], "must be axes:I,J, through:FILE.npy"),
        (["count", "net.npz", "--slice", "through:"], "must be axes:I,J, through:FILE.npy"),
        (["count", "net.npz", "--slice", "through:none.npy"], "No such file"),
        (["count", "net.npz", "--slice", "through:two.npy"], "must hold three points"),
        (["count", "net.npz", "--slice", "data:objects.npy"], "pickled Python objects"),
        (["count", "net.npz", "--slice", "data:damaged.npy"], "is not an .npy file"),
        (["count", "net.npz", "--slice", "data:pictures.npy"], "of 6 inputs (2 x 3), but"),
        (["count", "net.npz", "--fix", "0=1"], "--fix leaves 3 of 4 inputs free"),
        (["count", "net.npz", "--fix", "9=1"], "--fix names input 9, but the model has 4"),
        (["count", "net.npz", "--fix", "0"], "takes INPUT=VALUE"),
        (["count", "net.npz", "--fix", "0=x"], "takes INPUT=VALUE"),
        (["count", "net.npz", "--fix", "0=nan", "--fix", "1=1"], "takes INPUT=VALUE"),
        (["count", "net.npz", "--fix", "0=1", "--fix", "0=2"], "one input twice"),
        (["count", "net.npz", "--slice", "axes:0,1", "--fix", "1=2"], "named by both"),
        (["count", "net.npz", "--slice", "through:three.npy", "--fix", "1=2"], "--fix does not"),
        (["count", "part.npz", "--slice", "axes:0,1"], "--slice does not apply to a saved"),
        (["plot", "part.npz", "--fix", "0=1", "-o", "a.png"], "--fix does not apply to a saved"),
        (
            ["verify", "net.npz", "--partition", "part.npz", "--slice", "axes:0,1"],
            "--slice does not apply with --partition",
        ),
    ],
)
def test_wrong_planes_from_the_shell(
    argv: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pr.partition(SQUARE, slice=pr.Slice.axes(0, 1, at=np.zeros(3))).save("part.npz")
    status, out, err = shell(capsys, *argv)
    assert (status, out) == (2, "")
    assert err.startswith("polyregions: error: ")
    assert err.count("\n") == 1
    assert message in err
