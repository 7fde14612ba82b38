"""Segments: pieces, breakpoints, values, integrated gradients, checks, figures, commands."""

from __future__ import annotations

import copy
import json
import pickle
from fractions import Fraction
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from line_oracle import Piece, walk, walk_whole
from networks import ACTIVATIONS, random_layers, real_network, sawtooth, stack
from torch import nn

import polyregions as pr
from polyregions.attribution import along
from polyregions.cli import main
from polyregions.network import Affine, Convolution, Gather, Maximum, Network, Scale, Sum, relu


@pytest.fixture
def axes() -> Any:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    _, ax = plt.subplots()
    yield ax
    plt.close("all")


ENGINES = ("exact", "rational")
KINDS = ("normal", "single", "integer", "ternary", "four_bit", "zero_bias")


def near(found: Any, expected: Any, error: Any) -> bool:
    """Whether every number is within its bound of a fraction."""
    return all(
        abs(Fraction(float(x)) - y) <= Fraction(float(e))
        for x, y, e in zip(np.ravel(found), np.ravel(expected), np.ravel(error), strict=True)
    )


def assert_same_pieces(part: pr.LinePartition, pieces: list[Piece]) -> None:
    """Pieces, breakpoints and maps must be what the oracle found."""
    assert len(part) == part.n_pieces == len(pieces)
    inner = [piece.start for piece in pieces[1:]]
    assert [part.exact_breakpoint(i) for i in range(len(part) - 1)] == inner
    assert near(part.breakpoints, inner, part.breakpoint_error)
    assert (np.diff(part.bounds) >= 0).all()
    assert part.piece_pattern.tolist() == [list(piece.pattern) for piece in pieces]
    for i, (before, after) in enumerate(pairwise(pieces)):
        units = [u for u in range(part.n_units) if before.pattern[u] != after.pattern[u]]
        assert part.breakpoint_units(i).tolist() == units
        assert part.breakpoint_unit[i] == units[0]
    offsets, slopes = ([[form[k] for form in piece.outputs] for piece in pieces] for k in (0, 1))
    assert near(part.piece_slope, slopes, part.piece_slope_error)
    assert near(part.piece_offset, offsets, part.piece_offset_error)
    maps = [tuple(zip(*pair, strict=True)) for pair in zip(slopes, offsets, strict=True)]
    number = dict(zip(maps, part.piece_map.tolist(), strict=True))
    assert [number[m] for m in maps] == part.piece_map.tolist()
    assert len(set(number.values())) == len(number)
    linear = 1 + sum(p != q for p, q in pairwise(maps))
    assert part.count() == (len(pieces), linear, len(number))
    assert part.strips.certificate.ok


def assert_agrees(part: pr.LinePartition, pieces: list[Piece]) -> None:
    """All that a partition of a segment says must be what the oracle found."""
    assert_same_pieces(part, pieces)
    slopes = [[form[1] for form in piece.outputs] for piece in pieces]
    lengths = [piece.end - piece.start for piece in pieces]
    assert near(part.lengths, lengths, 1e-3 * part.lengths + 1e-300)
    values = [[f[0] + f[1] * piece.end for f in piece.outputs] for piece in pieces]
    assert near(part.breakpoint_value, values[:-1], part.breakpoint_value_error)
    rises = [[abs(q) for q in row] for row in slopes]
    total = [sum(r * n for r, n in zip(c, lengths, strict=True)) for c in zip(*rises, strict=True)]
    assert near(part.total_variation, total, part.total_variation_error)
    values = [[form[0] for form in pieces[0].outputs], *values]
    found = part.extremes()
    assert near(found.least, [min(c) for c in zip(*values, strict=True)], found.error)
    assert near(found.greatest, [max(c) for c in zip(*values, strict=True)], found.error)


def exact_attributions(pieces: list[Piece], a: np.ndarray, b: np.ndarray) -> list[list[Fraction]]:
    """Integrated gradients by their definition, in fractions."""
    way = [Fraction(y) - Fraction(x) for x, y in zip(a.ravel(), b.ravel(), strict=True)]
    return [
        [
            d * sum((p.end - p.start) * p.outputs[m][2 + i] for p in pieces)
            for i, d in enumerate(way)
        ]
        for m in range(len(pieces[0].outputs))
    ]


def check_whole(network: Network, a: Any, b: Any, engine: str) -> pr.LinePartition:
    """A partition that agrees with the oracle, and its integrated gradients as well."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    part = pr.partition_line(network, a, b, engine=engine)
    pieces = list(walk(network, a, b))
    assert_agrees(part, pieces)
    found, error = along(part, with_error=True)
    expected = exact_attributions(pieces, a, b)
    assert near(found, expected, error)
    assert (error <= 1e-9 * (1 + np.abs(found).max())).all()
    ends = [[p.outputs[m][0] + p.outputs[m][1] * s for m in range(part.n_outputs)]
            for p, s in ((pieces[0], 0), (pieces[-1], 1))]  # fmt: skip
    for row, start, end in zip(expected, *ends, strict=True):
        assert sum(row) == end - start, "the oracle itself is complete"
    return part


# -- against the oracle ------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "kind", ["normal", "single", "integer", "ternary", "four_bit", "zero_bias"]
)
def test_random_networks(kind: str, engine: str) -> None:
    rng = np.random.default_rng(3)
    for seed in range(3):
        network = stack(random_layers((3, 7, 6, 2), seed, kind))
        check_whole(network, *rng.normal(size=(2, 3)) * 3, engine)
        check_whole(network, *rng.integers(-3, 4, (2, 3)) + [[0, 0, 0], [0.5, 0, 0]], engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str, engine: str) -> None:
    network = stack(random_layers((4, 8, 8, 3), 5), activation)
    part = check_whole(network, [-2, 1, 3, -1], [3, -2, 0, 2], engine)
    assert len(part) > 5


def branches() -> Network:
    """A convolution, a residual sum with some of the inputs, and maxima."""
    rng = np.random.default_rng(12)
    pads = ((1, 0), (0, 1))
    steps = (
        Convolution(
            rng.normal(size=(2, 1, 2, 2)), rng.normal(size=2), (3, 4), (1, 1), pads, (1, 1)
        ),
        relu(24),
        Gather(np.resize([5, 0, -1, 11], 24), 12, fill=np.resize([0.0, 0.0, 2.0, 0.0], 24)),
        Sum(np.array([1.0, -0.5]), 24),
        Maximum(rng.permutation(24).reshape(8, 3), 24),
        Affine(rng.normal(size=(3, 8)), rng.normal(size=3)),
    )
    return Network(steps, 12, (), ((0,), (1,), (0,), (2, 3), (4,), (5,)))


@pytest.mark.parametrize("engine", ENGINES)
def test_convolutions_branches_and_maxima(engine: str) -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 3, 4)) * 2
    assert len(check_whole(branches(), a, b, engine)) > 15


@pytest.mark.parametrize("engine", ENGINES)
def test_one_input_is_enough(engine: str) -> None:
    bare = Network((Scale(np.array([2.0]), np.array([-1.0])), relu(1)), 1)
    part = check_whole(bare, [-1], [1], engine)
    assert part.exact_breakpoint(0) == Fraction(3, 4)
    deep = stack(random_layers((1, 8, 8, 1), 4))
    assert len(check_whole(deep, [-4], [4], engine)) > 8


@pytest.mark.parametrize("engine", ENGINES)
def test_pictures(engine: str) -> None:
    rng = np.random.default_rng(0)
    layers = random_layers((784, 10, 6, 3), 0, "single")
    network = stack(layers)
    a, b = 3 * rng.normal(size=(2, 1, 28, 28)).astype(np.float32)
    part = pr.partition_line(network, a, b, engine=engine)
    assert_agrees(part, list(walk(network, a, b, gradient=False)))
    assert len(part) > 8
    assert part.points.shape == (len(part) - 1, 1, 28, 28)
    assert pr.integrated_gradients(network, b, a).shape == (3, 1, 28, 28)
    assert pr.integrated_gradients(network, b, a, target=2).shape == (1, 28, 28)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_unit_and_units_that_never_switch(engine: str) -> None:
    part = check_whole(stack([([[1, 2]], [3])]), [0, 0], [1, 1], engine)
    assert (len(part), part.breakpoints.shape, part.points.shape) == (1, (0,), (0, 2))
    assert part.breakpoint_value.shape == (0, 1)
    check_whole(stack([([[1, 2]], [30]), ([[1]], [0])]), [0, 0], [1, 1], engine)
    constant = Network((Gather(np.array([-1, -1]), 3, fill=np.array([1.0, 2.0])),), 3)
    assert not along(check_whole(constant, [0, 0, 0], [1, 2, 3], engine)).any()


# -- degenerate segments -----------------------------------------------------------------------

CROSS = stack([([[1, 0], [0, 1], [1, 1]], [0, 0, 0]), ([[1, 2, 4]], [0])])
DEEP = stack([([[1, 0], [0, 1]], [0, 0]), ([[1, 1], [1, -1]], [-1, 0]), ([[1, 1]], [0])])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("network", "a", "b", "breakpoints"),
    [
        (CROSS, [0, -1], [0, 1], [Fraction(1, 2)]),  # along a crease
        (CROSS, [0, 1], [0, 2], []),
        (CROSS, [-1, -1], [2, 2], [Fraction(1, 3)]),  # through a vertex
        (CROSS, [0, 0], [1, 1], []),  # from a vertex
        (CROSS, [1, 0], [-1, 0], [Fraction(1, 2)]),
        (CROSS, [-1, 2], [0, 1], []),  # to a crease
        (CROSS, [0, 1], [-1, 2], []),
        (CROSS, [-1, 2], [1, 0], [Fraction(1, 2)]),  # to two creases that meet
        (DEEP, [0, 1], [3, 1], [Fraction(1, 3)]),  # from a crease of either layer
        (DEEP, [1, -1], [1, 1], [Fraction(1, 2)]),  # along a bent line, which turns off there
        (DEEP, [-1, 1], [1, 1], [Fraction(1, 2)]),
        (DEEP, [2, -2], [-2, 2], [Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]),
    ],
)
def test_degenerate_segments(
    network: Network, a: list, b: list, breakpoints: list, engine: str
) -> None:
    part = check_whole(network, a, b, engine)
    assert [part.exact_breakpoint(i) for i in range(len(part) - 1)] == breakpoints


@pytest.mark.parametrize("engine", ENGINES)
def test_all_units_at_one_breakpoint(engine: str) -> None:
    part = check_whole(CROSS, [-1, -1], [2, 2], engine)
    assert part.breakpoint_units(0).tolist() == [0, 1, 2]
    assert (part.breakpoint_unit.tolist(), part.breakpoint_layer.tolist()) == ([0], [0])


def test_a_way_back_is_the_same_way() -> None:
    network = stack(random_layers((3, 8, 8, 2), 9))
    a, b = np.random.default_rng(2).normal(size=(2, 3)) * 3
    there, back = pr.partition_line(network, a, b), pr.partition_line(network, b, a)
    exact = [there.exact_breakpoint(i) for i in range(len(there) - 1)]
    assert [1 - back.exact_breakpoint(i) for i in range(len(back) - 1)] == exact[::-1]
    assert len(exact) > 5


@pytest.mark.parametrize("engine", ENGINES)
def test_breakpoints_closer_than_float64_can_tell(engine: str) -> None:
    tiny = 2.0**-80
    # Zeros at 1/3, 1/3 + 2**-80 / 3 and 1/3 + 2**-79 / 3: one float64.
    network = stack(
        [
            ([[3, 0, 0], [3, -1, 0], [3, 0, -2]], [0, 0, 0]),
            ([[1, 1, 1]], [0]),
        ]
    )
    part = check_whole(network, [-1, tiny, tiny], [2, tiny, tiny], engine)
    exact = [part.exact_breakpoint(i) for i in range(3)]
    assert exact == [Fraction(1, 3) + Fraction(k * tiny) / 9 for k in (0, 1, 2)]
    assert len(set(part.breakpoints.tolist())) == 1
    np.testing.assert_allclose(part.lengths[1:3], tiny / 9, rtol=1e-15)
    third = part.breakpoints[0]  # less than all three, being rounded down
    at = [np.nextafter(third, 0), third, np.nextafter(third, 1)]
    assert part.locate(at).tolist() == [0, 0, 3]


def test_points_far_from_the_origin_are_not_rounded() -> None:
    # The difference of the end points, 1 + 2**-80, is no float64.
    network = stack([([[1, -1]], [-0.5]), ([[1]], [0])])
    part = pr.partition_line(network, [2.0**-80, 0], [-1, 0])
    small = Fraction(2) ** -80
    assert len(part) == 1
    part = pr.partition_line(network, [-(2.0**-80), 0], [1, 0])
    assert part.exact_breakpoint(0) == (Fraction(1, 2) + small) / (1 + small)


# -- closed forms ------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_sawtooth(depth: int, engine: str) -> None:
    n = 2**depth
    part = pr.partition_line(sawtooth(depth), [0, 0.25], [1, 0.75], engine=engine)
    # Every layer folds once more; its own unit switches in the middle of each tooth before it.
    assert [part.exact_breakpoint(i) for i in range(len(part) - 1)] == [
        Fraction(i, n) for i in range(1, n)
    ]
    np.testing.assert_array_equal(part.piece_slope[:, 0], n * (-1.0) ** np.arange(n))
    assert part.total_variation == [n]
    assert part.breakpoint_value[:, 0].tolist() == [float(i % 2) for i in range(1, n)]
    found = part.extremes()
    assert (found.least, found.least_s, found.greatest, found.greatest_s) == (0, 0, 1, 1 / n)
    assert part.count() == (n, n, n)
    assert along(part).tolist() == [[0, 0]]


def test_equal_maps_that_are_not_neighbours() -> None:
    hat = [([[1], [1], [1]], [0, -1, -2]), ([[1, -2, 1]], [0])]
    part = pr.partition_line(hat, -1, 4)
    assert part.count() == (4, 4, 3)  # flat on both ends
    assert part.is_bend.all()
    unused = [([[1], [1]], [0, -1]), ([[1, 0]], [0])]
    part = pr.partition_line(unused, -1, 2)
    assert (part.is_bend.tolist(), part.count()) == ([True, False], (3, 2, 2))


# -- whole lines -------------------------------------------------------------------------------


def assert_whole(network: Network, a: Any, b: Any, engine: str) -> pr.LinePartition:
    """A partition of the whole line that agrees with the oracle, also at infinity."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    part = pr.partition_line(network, a, b, whole=True, engine=engine)
    pieces = walk_whole(network, a, b)
    assert part.is_whole
    assert_same_pieces(part, pieces)
    assert (part.bounds[0], part.bounds[-1]) == (-np.inf, np.inf)
    assert np.isposinf(part.lengths[[0, -1]]).all()
    found = part.extremes()
    for m in range(part.n_outputs):
        forms = [piece.outputs[m] for piece in pieces]
        values = [f[0] + f[1] * p.end for f, p in zip(forms[:-1], pieces[:-1], strict=True)]
        falls = forms[0][1] > 0 or forms[-1][1] < 0
        rises = forms[0][1] < 0 or forms[-1][1] > 0
        values += [f[0] for f in (forms[0], forms[-1]) if f[1] == 0]
        for endless, sign, extreme, value in (
            (falls, -1, min, found.least[m]), (rises, 1, max, found.greatest[m])
        ):  # fmt: skip
            if endless:
                assert value == sign * np.inf
            else:
                assert near(value, extreme(values), found.error[m])
        if falls or rises:
            assert part.total_variation[m] == np.inf
        else:
            inner = zip(forms[1:-1], pieces[1:-1], strict=True)
            total = sum((abs(f[1]) * (p.end - p.start) for f, p in inner), Fraction(0))
            assert near(part.total_variation[m], total, part.total_variation_error[m])
    return part


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["normal", "integer", "zero_bias"])
def test_whole_lines(kind: str, engine: str) -> None:
    rng = np.random.default_rng(3)
    for seed in range(2):
        network = stack(random_layers((3, 6, 6, 2), seed, kind), "leaky" if seed else "relu")
        part = assert_whole(
            network, *rng.integers(-3, 4, (2, 3)) + [[0, 0, 0], [0.5, 0, 0]], engine
        )
        assert len(part) > 6
    assert_whole(stack(random_layers((2, 8, 8, 3), 5), "hardtanh"), [-2, 1], [3, -2], engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("network", "a", "b", "breakpoints"),
    [
        (CROSS, [-1, -1], [2, 2], [Fraction(1, 3)]),
        (CROSS, [0, 3], [0, 4], [-3]),  # along a crease
        (CROSS, [0, 0], [1, -1], [0]),  # along one, from a vertex
        (stack([([[1, 0]], [1]), ([[1]], [0])]), [0, 0], [0, 1], []),
        (stack([([[1, 2]], [3])]), [0, 0], [1, 1], []),
        (stack([([[2.0**-40, 0]], [-1]), ([[1]], [0])]), [0, 0], [1, 1], [2**40]),
        (stack([([[1, 0]], [-(2.0**-40)]), ([[1]], [0])]), [0, 0], [1, 1], [Fraction(2) ** -40]),
    ],
)
def test_degenerate_whole_lines(
    network: Network, a: list, b: list, breakpoints: list, engine: str
) -> None:
    part = assert_whole(network, a, b, engine)
    assert [part.exact_breakpoint(i) for i in range(len(part) - 1)] == breakpoints


def test_a_whole_line_is_located_checked_and_drawn(axes: Any) -> None:
    network = stack(random_layers((3, 9, 9, 2), 7))
    a, b = np.random.default_rng(7).normal(size=(2, 3))
    part = pr.partition_line(network, a, b, whole=True)
    assert part.locate([-1e300, 1e300, np.inf, -np.inf, np.nan]).tolist() == (
        [0, len(part) - 1, -1, -1, -1]
    )
    s = np.linspace(-40, 40, 201)
    np.testing.assert_allclose(part(s), network(part.segment(s)), rtol=1e-11, atol=1e-11)
    report = pr.verify(part, network)
    assert report.ok, report
    assert report.n_hit > len(part) / 2
    assert "whole line" in repr(part)
    assert str(part).startswith("Partition of the line through two points of 3 inputs by 18 units")
    artists = pr.plot.line(part, axes)
    low, high = axes.get_xlim()
    assert low < part.breakpoints[0] <= part.breakpoints[-1] < high
    for m, curve in enumerate(artists.curves):
        np.testing.assert_allclose(curve.get_ydata(), part(curve.get_xdata())[:, m], rtol=1e-9)
    with pytest.raises(ValueError, match="along a segment, not a whole line"):
        along(part)
    none = pr.partition_line(stack([([[1, 2]], [3])]), [0, 0], [1, 1], whole=True)
    assert pr.verify(none, stack([([[1, 2]], [3])])).ok
    pr.plot.line(none, axes)


# -- the function ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 12), nn.ReLU(),
            nn.Linear(12, 4),
        )  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return 3 * torch.randn(2, 1, 7, 7, generator=torch.Generator().manual_seed(5))


def test_values_are_those_of_the_model(model: nn.Sequential, pictures: torch.Tensor) -> None:
    a, b = pictures
    part = pr.partition_line(model, a, b)
    assert len(part) > 10
    assert part.segment.shape == (1, 7, 7)
    s = torch.linspace(0, 1, 301, dtype=torch.float64)
    expected = model.double()(a + s.reshape(-1, 1, 1, 1) * (b.double() - a.double())).detach()
    model.float()
    np.testing.assert_allclose(part(s), expected, rtol=1e-12, atol=1e-12)
    assert part(s.reshape(7, 43)).shape == (7, 43, 4)
    assert np.isnan(part([-0.1, 1.1, np.nan])).all()
    ends = part.segment([0.0, 1.0])
    np.testing.assert_array_equal(ends, pictures)
    np.testing.assert_allclose(part.points, part.segment(part.breakpoints))
    assert part.length == pytest.approx(float(torch.dist(a.double(), b.double())), rel=1e-14)


def test_every_piece_is_located() -> None:
    network = stack(random_layers((3, 12, 12, 1), 1))
    part = pr.partition_line(network, [-3, 2, 1], [4, -1, 0])
    bounds = [Fraction(0), *(part.exact_breakpoint(i) for i in range(len(part) - 1)), Fraction(1)]
    rng = np.random.default_rng(0)
    s = np.concatenate([rng.random(300), part.bounds, np.nextafter(part.bounds, 0.5), [0.0, 1.0]])
    expected = [max(0, sum(t < Fraction(x) for t in bounds) - 1) for x in s.tolist()]
    assert part.locate(s).tolist() == expected
    assert part.locate([-1e-300, 1 + 1e-15, np.inf, -np.inf, np.nan]).tolist() == [-1] * 5
    assert part.locate(0.0).shape == ()


def test_jacobians_are_those_of_autograd(model: nn.Sequential, pictures: torch.Tensor) -> None:
    part = pr.partition_line(model, *pictures)
    middle = (part.bounds[1:] + part.bounds[:-1]) / 2
    for i in range(0, len(part), 7):
        at = torch.from_numpy(part.segment(middle[i]))[None]
        expected = torch.autograd.functional.jacobian(model.double(), at).reshape(4, -1)
        np.testing.assert_allclose(part.jacobian(i), expected, rtol=1e-12, atol=1e-13)
    model.float()


def test_copies_are_the_same() -> None:
    part = pr.partition_line(stack(random_layers((3, 8, 2), 1)), [0, 0, 0], [3, 2, 1])
    for twin in (copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        np.testing.assert_array_equal(twin.breakpoints, part.breakpoints)
        assert twin.exact_breakpoint(-1) == part.exact_breakpoint(-1)
    for name in ("breakpoints", "piece_slope", "piece_pattern", "lengths", "a", "points"):
        assert not getattr(part, name).flags.writeable, name
    assert str(part).startswith(
        "Partition of a segment between two points of 3 inputs by 8 units in 1 layer (8)"
    )


# -- checks ------------------------------------------------------------------------------------


def test_verify(model: nn.Sequential, pictures: torch.Tensor) -> None:
    part = pr.partition_line(model, *pictures)
    report = pr.verify(part, model, resolution=120)
    assert report.ok, report
    assert (report.n_samples, report.resolution, report.precision) == (120, 120, "float32")
    assert report.check("breakpoints").n == 2 * (len(part) - 1)
    assert report.check("interior points").n == len(part)
    assert report.check("finite differences").n + report.n_straddling == 120
    assert report.check("jacobians").n > 100
    hit = np.bincount(part.locate(np.linspace(0, 1, 120)), minlength=len(part))
    assert report.missed_faces.tolist() == np.flatnonzero(hit == 0).tolist()
    np.testing.assert_array_equal(report.missed_areas, part.lengths[report.missed_faces])
    text = str(report)
    assert text.startswith("Verification passed: 120 samples of the model's own forward in float32")
    assert f"pieces and miss {len(report.missed_faces)}, the longest of length" in text
    assert pr.verify(part, pr.lower(model, shape=(1, 7, 7)), resolution=3).ok


@pytest.mark.parametrize("layer", [0, 3, 5])
def test_verify_sees_a_wrong_model(
    layer: int, model: nn.Sequential, pictures: torch.Tensor
) -> None:
    part = pr.partition_line(model, *pictures)
    other = copy.deepcopy(model)
    other[layer].bias.data += 1e-3
    report = pr.verify(part, other, resolution=50)
    assert not report.ok
    assert report.check("values").n_wrong > 0
    assert (report.check("breakpoints").n_wrong > 0) == (layer < 5)


def test_verify_wants_a_model_of_the_same_sizes() -> None:
    part = pr.partition_line(LAYERS, [0, 0], [1, 1])
    with pytest.raises(
        ValueError, match="the model has 3 units and 1 outputs, the partition 2 and 1"
    ):
        pr.verify(part, random_layers((2, 3, 1), 0))
    with pytest.raises(ValueError, match="2 numbers each, but the network has 3 inputs"):
        pr.verify(part, random_layers((3, 2, 1), 0))


# -- integrated gradients ----------------------------------------------------------------------


def riemann(model: nn.Module, x: torch.Tensor, baseline: torch.Tensor, n: int) -> np.ndarray:
    """Midpoint sums, as the definition's authors take them; (M, *shape)."""
    s = ((torch.arange(n, dtype=torch.float64) + 0.5) / n).reshape(-1, *[1] * x.ndim)
    points = (baseline + s * (x - baseline)).requires_grad_()
    values = model(points)
    sums = [
        torch.autograd.grad(values[:, m].sum(), points, retain_graph=True)[0].mean(dim=0)
        for m in range(values.shape[1])
    ]
    return (torch.stack(sums) * (x - baseline)).numpy()


def test_integrated_gradients_are_the_limit_of_sums(
    model: nn.Sequential, pictures: torch.Tensor
) -> None:
    baseline, x = pictures
    found, error = pr.integrated_gradients(model, x, baseline, with_error=True)
    assert found.shape == error.shape == (4, 1, 7, 7)
    model.double()
    off = [
        np.abs(riemann(model, x.double(), baseline.double(), n) - found).max()
        for n in (50, 1000, 20000)
    ]
    assert off[0] > 20 * off[2] > 0
    assert off[2] < 1e-3 * np.abs(found).max()
    difference = (model(x[None].double()) - model(baseline[None].double()))[0].detach().numpy()
    model.float()
    sums, bound = found.sum(axis=(1, 2, 3)), error.sum(axis=(1, 2, 3))
    np.testing.assert_allclose(sums, difference, atol=1e-13)
    assert (np.abs(sums - difference) <= bound + 1e-13).all()
    assert (bound < 1e-9).all()
    for target in (0, np.int64(3)):
        one, its_error = pr.integrated_gradients(model, x, baseline, target=target, with_error=True)
        np.testing.assert_allclose(one, found[target], rtol=1e-13, atol=1e-14)
        assert its_error.shape == one.shape


def test_quadrature_inside_pieces_is_exact() -> None:
    """Gauss-Legendre points placed piece by piece: what samples could give if they knew them."""
    layers = random_layers((5, 14, 14, 3), 2)
    linear = [nn.Linear(*w.shape[::-1]).double() for w, _ in layers]
    for module, (w, b) in zip(linear, layers, strict=True):
        module.load_state_dict({"weight": torch.tensor(w), "bias": torch.tensor(b)})
    model = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
    a, b = np.random.default_rng(4).normal(size=(2, 5)) * 2
    pieces = list(walk(stack(layers), a, b, gradient=False))
    nodes, weights = np.polynomial.legendre.leggauss(3)
    total = np.zeros((3, 5))
    for piece in pieces:
        middle, half = float(piece.start + piece.end) / 2, float(piece.end - piece.start) / 2
        for node, weight in zip(nodes, weights, strict=True):
            at = torch.from_numpy(a + (middle + half * node) * (b - a))
            total += half * weight * torch.autograd.functional.jacobian(model, at).numpy()
    found = pr.integrated_gradients(model, b, baseline=a)
    np.testing.assert_allclose(found, total * (b - a), rtol=1e-11, atol=1e-13)


def test_many_pieces_are_done_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from polyregions import attribution

    part = pr.partition_line(stack(random_layers((4, 16, 16, 2), 3)), [-3] * 4, [2, 3, 1, 4])
    whole, error = along(part, with_error=True)
    for numbers in (1, 200, 600):
        monkeypatch.setattr(attribution, "_NUMBERS_AT_ONCE", numbers)
        found, its_error = along(part, with_error=True)
        np.testing.assert_allclose(found, whole, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(its_error, error, rtol=1e-6)


def test_equal_inputs_add_nothing() -> None:
    layers = random_layers((3, 4, 2), 0)
    assert pr.integrated_gradients(layers, [1, 2, 3], [1, 2, 3]).tolist() == [[0] * 3] * 2
    found = pr.integrated_gradients(layers, [1, 2, 3], [1, 2, 3], target=1, with_error=True)
    assert [f.tolist() for f in found] == [[0] * 3] * 2


def test_sensitivity_and_dummies() -> None:
    """The other axioms: an input that nothing depends on gets nothing, one that matters alone
    gets everything."""
    layers = [([[1, 0, 0], [0, 0, 0]], [-1, 0]), ([[-1, 1]], [1])]  # 1 - max(x0 - 1, 0)
    found = pr.integrated_gradients(layers, [3, 5, 7], [0, 0, 0], target=0)
    np.testing.assert_allclose(found, [-2, 0, 0], rtol=1e-15)


@pytest.mark.parametrize("target", [True, 1.0, "0"])
def test_targets_are_integers(target: Any) -> None:
    with pytest.raises(TypeError, match="target must be the index of an output"):
        pr.integrated_gradients(random_layers((2, 3, 1), 0), [0, 0], [1, 1], target=target)


@pytest.mark.parametrize("target", [-1, 2])
def test_targets_are_outputs(target: int) -> None:
    with pytest.raises(ValueError, match=r"from 0 to 1 \(the network has 2 outputs\)"):
        pr.integrated_gradients(random_layers((2, 3, 2), 0), [0, 0], [1, 1], target=target)


def test_attributions_too_large() -> None:
    layers = [([[1e200, 0]], [0]), ([[1e200]], [0])]
    with pytest.raises(OverflowError, match="too large for float64"):
        pr.integrated_gradients(layers, [1e-300, 0], [-1e-300, 0])


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.array,
        lambda x: np.array(x, dtype=np.float32),
        lambda x: torch.tensor(x, dtype=torch.float32, requires_grad=True),
        lambda x: torch.tensor(x, dtype=torch.bfloat16),
        lambda x: [torch.tensor(float(v)) for v in x],
    ],
)
def test_any_container_of_numbers(make: Any) -> None:
    layers = [([[1, 1, 0], [0, 1, 1]], [0, -1]), ([[1, -2]], [0])]
    part = pr.partition_line(layers, make([-1, 0, 0]), make([1, 2, 3]))
    assert [part.exact_breakpoint(i) for i in range(2)] == [Fraction(1, 5), Fraction(1, 4)]
    found = pr.integrated_gradients(layers, make([1, 2, 3]), make([-1, 0, 0]))
    assert found.sum() == pytest.approx(3 - 2 * 4)


LAYERS = [([[1, 1], [0, 1]], [0, -1]), ([[1, -2]], [0])]


@pytest.mark.parametrize(
    ("a", "b", "error", "message"),
    [
        ([0, 1], [0, 1], ValueError, "a and b are equal"),
        ([0, 1], [0, 1, 2], ValueError, r"one shape, .* \(2,\) and \(3,\)"),
        ([0, 1, 2], [0, 1, 3], ValueError, "3 numbers each, but the network has 2 inputs"),
        ([0, np.nan], [0, 1], ValueError, "a holds NaN or infinite"),
        ([0, 1], [0, np.inf], ValueError, "b holds NaN or infinite"),
        ([0, "x"], [0, 1], TypeError, "a must hold real numbers"),
        ([0, [1]], [0, 1], ValueError, "a is no array of numbers"),
        ([0, 2**53 + 1], [0, 1], ValueError, "a holds int64 values that no float64 equals"),
        ([0, 1j], [0, 1], TypeError, "a must hold real numbers"),
    ],
)
def test_wrong_points(a: Any, b: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pr.partition_line(LAYERS, a, b)


@pytest.mark.parametrize(
    ("x", "baseline", "message"),
    [
        ([0, 1], [0, 1, 2], r"x and baseline must have one shape, .* \(2,\) and \(3,\)"),
        ([0, 1, 2], [0, 0, 0], "3 numbers each, but the network has 2 inputs"),
        ([0, np.nan], [0, 0], "x holds NaN"),
        ([0, 0], [0, np.nan], "baseline holds NaN"),
    ],
)
def test_wrong_inputs_of_attributions(x: Any, baseline: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.integrated_gradients(LAYERS, x, baseline)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"engine": "fast"}, ValueError, "engine must be one of"),
        ({"max_regions": 0}, ValueError, "max_regions must be at least 1"),
        ({"threads": 1.5}, TypeError, "threads must be an integer"),
        ({"max_regions": 2}, pr.LimitError, "max_regions=2"),
    ],
)
def test_wrong_options(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pr.partition_line(sawtooth(3), [0, 0], [1, 0], **options)


def test_refused_models_are_named() -> None:
    with pytest.raises(pr.UnsupportedLayerError, match="Tanh"):
        pr.partition_line(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), [0, 0], [1, 1])


# -- real networks -----------------------------------------------------------------------------


def test_a_controller_of_aircraft() -> None:
    model = pr.load_model(real_network("ACASXU_run2a_1_1_batch_2000.nnet"))
    baseline, x = [1000, -3, -3, 150, 500], [9000, 3, 3, 900, 700]
    part = pr.partition_line(model, baseline, x)
    assert len(part) > 100
    network = pr.lower(model)
    s = np.random.default_rng(0).random(500)
    np.testing.assert_allclose(part(s), network(part.segment(s)), rtol=1e-9, atol=1e-9)
    found, error = pr.integrated_gradients(model, x, baseline, with_error=True)
    values = network(np.array([baseline, x]))
    np.testing.assert_allclose(found.sum(axis=1), values[1] - values[0], rtol=1e-9, atol=1e-10)
    assert sqrt(float((error**2).sum())) < 1e-6


# -- figures -----------------------------------------------------------------------------------


def test_curves_are_the_graph(axes: Any) -> None:
    part = pr.partition_line(stack(random_layers((3, 8, 8, 3), 6)), [-3, 1, 2], [3, -1, 0])
    artists = pr.plot.line(part, axes)
    assert len(artists.curves) == 3
    for m, curve in enumerate(artists.curves):
        np.testing.assert_array_equal(curve.get_xdata(), part.bounds)
        np.testing.assert_allclose(curve.get_ydata(), part(part.bounds)[:, m], rtol=1e-12)
    lines = [x for layer in artists.breakpoints for x in layer.get_segments()]
    assert sorted(line[0][0] for line in lines) == part.breakpoints.tolist()
    assert artists.dots is not None
    assert len(artists.dots.get_xdata()) == 3 * (len(part) - 1)
    names = [text.get_text() for text in artists.output_key.get_texts()]
    assert names == ["output 0", "output 1", "output 2"]
    layers = [text.get_text() for text in artists.layer_key.get_texts()]
    assert layers == ["layer 0", "layer 1"]
    assert axes.get_xlim() == (0, 1)
    axes.figure.canvas.draw()


def test_keys_are_inside_the_figure() -> None:
    part = pr.partition_line(stack(random_layers((3, 8, 8, 3), 6)), [-3, 1, 2], [3, -1, 0])
    artists = pr.plot.line(part)
    figure = artists.ax.figure
    figure.canvas.draw()
    for key in (artists.output_key, artists.layer_key):
        assert key.get_window_extent().x1 <= figure.bbox.x1


def test_some_curves_with_names(axes: Any) -> None:
    part = pr.partition_line(stack(random_layers((3, 8, 4), 6)), [-3, 1, 2], [3, -1, 0])
    artists = pr.plot.line(part, axes, output=[2, 0], names=["cat", "$dog"])
    assert [curve.get_label() for curve in artists.curves] == ["cat", "\\$dog"]
    assert artists.layer_key is None
    np.testing.assert_allclose(artists.curves[0].get_ydata(), part(part.bounds)[:, 2])
    one = pr.plot.line(part, axes, output=1, key=False)
    assert (len(one.curves), one.output_key, axes.get_ylabel()) == (1, None, "output 1")


def test_many_curves_and_none_that_bends(axes: Any) -> None:
    part = pr.partition_line([(np.ones((12, 2)), np.zeros(12))], [0, 0], [0, 1])
    artists = pr.plot.line(part, axes)
    assert (len(artists.curves), artists.dots, artists.output_key) == (12, None, None)
    flat = pr.partition_line([([[0, 0]], [1])], [0, 0], [0, 1])
    pr.plot.line(flat, axes)
    low, high = axes.get_ylim()
    assert low < 1 < high
    crowd = pr.plot.line(pr.partition_line(sawtooth(9), [0, 0], [1, 0]), axes)
    assert crowd.dots is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": 4}, "output must be an index from 0 to 3"),
        ({"output": []}, "got none"),
        ({"output": [0, -1]}, "output must be an index from 0 to 3"),
        ({"names": ["one"]}, "names must be 4, one for each output"),
    ],
)
def test_wrong_options_of_figures(options: dict, message: str, axes: Any) -> None:
    part = pr.partition_line(random_layers((2, 3, 4), 0), [0, 0], [1, 1])
    with pytest.raises(ValueError, match=message):
        pr.plot.line(part, axes, **options)


# -- the command line --------------------------------------------------------------------------


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pr.Network:
    monkeypatch.chdir(tmp_path)
    layers = random_layers((3, 10, 10, 2), 8)
    arrays = {f"{kind}{i}": a for i, pair in enumerate(layers) for kind, a in zip("Wb", pair)}  # noqa: B905
    np.savez("net.npz", **arrays)
    np.save("point.npy", np.array([2.0, -1.5, 0.25]))
    return stack(layers)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    status = main(list(argv))
    out, err = capsys.readouterr()
    return status, out, err


def test_pieces_from_the_shell(net: pr.Network, capsys: pytest.CaptureFixture[str]) -> None:
    expected = list(walk(net, np.array([-1.0, 1.5, -2e-1]), np.array([2.0, -1.5, 0.25])))
    arguments = ("line", "net.npz", "--from", "-1,1.5,-2e-1", "--to", "point.npy")
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    assert out.startswith(
        "Partition of a segment between two points of 3 inputs by 20 units in 2 layers (10-10)\n"
        f"  {len(expected)} activation pieces\n"
    )
    start = expected[0].outputs[1][0]
    assert f"\n  output 1: {float(start):.6g} at s = 0, " in out
    status, out, _ = run(capsys, *arguments, "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["counts"]["activation_pieces"] == len(expected) > 5
    np.testing.assert_allclose(facts["breakpoints"], [float(p.start) for p in expected[1:]])
    np.testing.assert_allclose(
        facts["slopes"], [[float(f[1]) for f in p.outputs] for p in expected]
    )
    assert len(facts["values"]) == len(expected) + 1
    assert facts["breakpoint_units"][0] == [
        u for u in range(20) if expected[0].pattern[u] != expected[1].pattern[u]
    ]
    status, out, _ = run(capsys, *arguments, "--json", "--whole")
    whole = json.loads(out)
    assert (facts["whole"], whole["whole"]) == (False, True)
    assert whole["counts"]["activation_pieces"] > facts["counts"]["activation_pieces"]
    assert facts["extremes"].keys() == {"least", "least_s", "greatest", "greatest_s", "error"}


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_pictures_from_the_shell(
    ending: str, net: pr.Network, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("line", "net.npz", "--from", "-1,-1,-1", "--to", "1,1,1", "-o", f"way.{ending}")
    status, out, _ = run(capsys, *arguments, "--dpi", "60", "--component", "1")
    assert status == 0
    n = len(list(walk(net, -np.ones(3), np.ones(3))))
    assert out.endswith(f"\nway.{ending}: {n} pieces\n")
    first = Path(f"way.{ending}").read_bytes()
    run(capsys, *arguments, "--dpi", "60", "--component", "1")
    assert Path(f"way.{ending}").read_bytes() == first


def test_checks_from_the_shell(
    net: pr.Network, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("line", "net.npz", "--from", "-1,-1,-1", "--to", "1,1,1", "--verify")
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    assert "Verification passed: 500 samples" in out
    status, out, _ = run(capsys, *arguments, "--json")
    assert json.loads(out)["verification"]["ok"] is True

    def of_another(model: Any, a: Any, b: Any, **options: Any) -> pr.LinePartition:
        return partition_line(stack(random_layers((3, 10, 10, 2), 9)), a, b)

    partition_line = pr.partition_line
    monkeypatch.setattr(pr, "partition_line", of_another)
    status, out, _ = run(capsys, *arguments)
    assert status == 1
    assert "Verification FAILED" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "0,0,0"], "the following arguments are required: --to"),
        (["--from", "0,0", "--to", "1,1"], "2 numbers each, but the network has 3 inputs"),
        (["--from", "0,0,0", "--to", "1,x,1"], "a point must be numbers with commas"),
        (["--from", "0,0,0", "--to", "0,0,0"], "a and b are equal"),
        (["--from", "0,0,0", "--to", "nan,0,0"], "b holds NaN"),
        (["--from", "0,0,0", "--to", "none.npy"], "none.npy: No such file"),
        (["--from", "0,0,0", "--to", "net.npz"], "a point must be numbers with commas"),
        (["--from", "0,0,0", "--to", "1,1,1", "-o", "a.txt"], "must end in .png, .svg, .pdf"),
        (["--from", "0,0,0", "--to", "1,1,1", "--component", "1"], "does not apply without --out"),
        (["--from", "0,0,0", "--to", "1,1,1", "--max-regions", "1"], "max_regions=1"),
    ],
)
@pytest.mark.usefixtures("net")
def test_wrong_segments_from_the_shell(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "line", "net.npz", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("polyregions: error: ")
    assert message in err
    assert err.count("\n") == 1
