"""The sampled check: it passes on right partitions, and fails on damaged ones."""

from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import polyregions as pr
from polyregions import exact
from polyregions.network import Activation, Affine, Network, clamp

verify_module = import_module("polyregions.verify")  # pr.verify is the function


def net(*widths, activation=nn.ReLU, dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    layers = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m), activation()]
    return nn.Sequential(*layers[:-1]).to(dtype)


@pytest.fixture(scope="module")
def model():
    return net(2, 8, 8, 2)


@pytest.fixture(scope="module")
def part(model):
    return pr.partition(model, (-4, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_passes_in_every_dtype(dtype):
    model = net(2, 6, 6, 1, dtype=dtype)
    report = pr.verify(pr.partition(model, (-4, 4)), model, resolution=80)
    assert report.ok, str(report)
    assert report.precision == str(dtype).removeprefix("torch.")
    for name in ("coverage", "patterns", "values", "jacobians", "finite differences", "edges"):
        assert report.check(name).n > 0


@pytest.mark.parametrize(
    "activation", [nn.LeakyReLU, nn.PReLU, nn.ReLU6, nn.Hardtanh, nn.Identity, nn.Dropout]
)
def test_passes_with_every_activation(activation):
    model = net(2, 6, 6, 1, activation=activation).eval()
    report = pr.verify(pr.partition(model, (-4, 4)), model, resolution=60)
    assert report.ok, str(report)


def test_passes_with_functional_calls_and_batch_norm():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 6), nn.Linear(6, 1)
            self.norm = nn.BatchNorm1d(6)
            self.norm.running_mean.uniform_(-1, 1)
            self.norm.running_var.uniform_(0.5, 2)

        def forward(self, x):
            x = self.norm(self.a(x)).clamp(min=-0.5, max=0.75)
            return self.b(x.abs())[:, 0]

    torch.manual_seed(0)
    model = Model().eval()
    report = pr.verify(pr.partition(model, (-3, 3)), model, resolution=60)
    assert report.ok, str(report)


def test_passes_for_arrays_and_networks():
    rng = np.random.default_rng(0)
    layers = [
        (rng.standard_normal((5, 2)), rng.standard_normal(5)),
        (rng.standard_normal((5, 5)), rng.standard_normal(5)),
        (rng.standard_normal((3, 5)), None),
    ]
    assert pr.verify(pr.partition(layers, (-2, 2)), layers, resolution=50).ok
    first = Affine(*layers[0])
    network = Network((first, clamp(5, -1, 1), Affine(*layers[1])), 2)
    assert pr.verify(pr.partition(network, (-2, 2)), network, resolution=50).ok


def test_polygon_domain_and_a_net_without_units():
    shapely = pytest.importorskip("shapely")
    model = net(2, 6, 1)
    triangle = shapely.Polygon([(-1, -1), (2, -0.5), (0.25, 2)])
    report = pr.verify(pr.partition(model, triangle), model, resolution=60)
    assert report.ok, str(report)
    assert 0 < report.n_samples < 60 * 60
    linear = nn.Linear(2, 1)
    assert pr.verify(pr.partition(linear), linear, resolution=10).ok


def test_counts_what_the_grid_misses(part, model):
    report = pr.verify(part, model, resolution=20)
    assert report.ok
    x = np.linspace(-4, 4, 20).astype(np.float32).astype(float)
    grid = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
    missed = np.setdiff1d(np.arange(len(part)), part.locate(grid))
    assert len(missed) > 0
    np.testing.assert_array_equal(report.missed_faces, missed)
    np.testing.assert_array_equal(report.missed_areas, part.areas[missed])
    assert report.n_hit + len(missed) == len(part)
    # A stencil has three points along an axis; count those in more than one face directly.
    face = part.locate(grid).reshape(20, 20)
    straddling = sum(
        len({g[i, max(j - 1, 0)], g[i, j], g[i, min(j + 1, 19)]}) > 1
        for g in (face, face.T)
        for i in range(20)
        for j in range(20)
    )
    assert report.n_straddling == straddling


def drop_face(part):
    f = int(np.argmax(part.areas))
    keep = np.delete(np.arange(len(part)), f)
    index = np.full(len(part) + 1, -1)
    index[keep] = np.arange(len(keep))
    edge_faces = index[part.edge_faces]
    swap = edge_faces[:, 0] < 0
    edge_faces[swap] = edge_faces[swap, ::-1]
    return replace(
        part,
        edge_faces=edge_faces,
        face_offsets=np.cumsum([0, *(len(part.face(g)) for g in keep)]),
        face_vertices=np.concatenate([part.face(g) for g in keep]),
        **{
            name: getattr(part, name)[keep]
            for name in ("face_pattern", "face_weight", "face_bias", "face_affine_piece")
        },
    )


def flip_bit(part):
    pattern = part.face_pattern.copy()
    pattern[int(np.argmin(part.areas)), 3] ^= 1
    return replace(part, face_pattern=pattern)


def inner_vertex(part):
    border = part.edge_vertices[part.edge_faces[:, 1] < 0]
    return int(np.setdiff1d(np.arange(part.n_vertices), border)[0])


def move_vertex(part):
    """Move a vertex by a thousandth, exactly and in float64 alike."""
    v = inner_vertex(part)
    xy, exact_xy = part.vertex_xy.copy(), list(part.vertex_exact)
    xy[v] += 1e-3
    exact_xy[v] = exact.point(*xy[v].tolist())
    return replace(part, vertex_xy=xy, vertex_exact=tuple(exact_xy))


def move_coordinates(part):
    xy = part.vertex_xy.copy()
    v = inner_vertex(part)
    xy[v, 0] += 3 * part.vertex_error[v, 0]  # more than it may be off either way
    return replace(part, vertex_xy=xy)


def swap_maps(part):
    order = np.arange(len(part))
    a, b = np.argsort(part.areas)[:2]
    order[[a, b]] = order[[b, a]]
    return replace(part, face_weight=part.face_weight[order], face_bias=part.face_bias[order])


def shift_map(part):
    bias = part.face_bias.copy()
    bias[5] += 1e-4
    return replace(part, face_bias=bias)


def tilt_map(part):
    weight = part.face_weight.copy()
    weight[np.argmax(part.areas), 1, 0] += 1e-4
    return replace(part, face_weight=weight)


def wrong_label(part):
    unit = part.edge_unit.copy()
    e = int(np.flatnonzero(part.is_inner)[0])
    unit[e] = (unit[e] + 1) % part.n_units
    return replace(part, edge_unit=unit)


@pytest.mark.parametrize(
    ("damage", "caught_by"),
    [
        (drop_face, "coverage"),
        (flip_bit, "interior points"),
        (move_vertex, "edges"),
        (move_coordinates, "complex"),
        (swap_maps, "interior points"),
        (shift_map, "interior points"),
        (tilt_map, "jacobians"),
        (wrong_label, "complex"),
    ],
)
def test_damage_is_caught(part, model, damage, caught_by):
    report = pr.verify(damage(part), model, resolution=60)
    assert not report.ok
    assert report.check(caught_by).n_wrong > 0, str(report)
    assert "FAILED" in str(report)


def one_piece(part):
    return replace(part, face_affine_piece=np.zeros(len(part), dtype=np.int64))


def one_layer(part):
    return replace(part, unit_layer=np.zeros(part.n_units, dtype=np.int64))


@pytest.mark.parametrize("damage", [one_piece, one_layer])
def test_wrong_numbering_is_caught(part, model, damage):
    assert pr.verify(damage(part), model, resolution=10).check("complex").n_wrong


@pytest.mark.parametrize(
    "activation",
    [torch.abs, lambda x: x.clamp(min=0), lambda x: x.clamp(-0.5, 0.5), nn.ReLU6(), nn.Hardtanh()],
)
def test_samples_exactly_on_a_bend(activation):
    """There autograd takes a side of its own, which need not be that of the face."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(2, 1, bias=False)

        def forward(self, x):
            return self.out(activation(x))

    model = Model()
    report = pr.verify(pr.partition(model, (-8, 8)), model, resolution=33)
    assert report.ok, str(report)


def test_without_recording_gradients(part, model):
    with torch.no_grad():
        report = pr.verify(part, model, resolution=10)
    assert report.ok
    assert report.check("jacobians").n > 0


def test_deep_nets_of_low_precision_are_told_apart():
    """Units that are surely inactive pass no rounding error on, so the bound says something."""
    a, b = net(2, *[20] * 12, 1), net(2, *[20] * 12, 1)
    with torch.no_grad():
        b[-1].bias += 0.1
    assert not pr.verify(pr.partition(a), b, resolution=20).ok


def test_another_model_is_caught(part):
    other = net(2, 8, 8, 2, seed=1)
    report = pr.verify(part, other, resolution=40)
    assert report.check("patterns").n_wrong
    assert report.check("values").n_wrong
    with pytest.raises(ValueError, match="16 units"):
        pr.verify(pr.partition(net(2, 4, 1)), net(2, 16, 1), resolution=40)


def test_what_cannot_be_compared_is_told(part, model):
    with pytest.raises(TypeError, match=r"part must be a Partition.*got Sequential; the model is"):
        pr.verify(model, part)
    five = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 1))
    with pytest.raises(ValueError, match="has 5 inputs, but the partition is of a network of two"):
        pr.verify(part, five)
    scores = [([[1, 0], [0, 1], [-1, -1]], [0, 0, 0])]
    chosen = pr.partition(pr.with_decision(scores))
    with pytest.raises(ValueError, match=r"such as pr.with_decision\(model\)"):
        pr.verify(chosen, scores)
    assert pr.verify(chosen, pr.with_decision(scores), resolution=10).ok


def test_no_jacobian_on_a_bend_is_told():
    # Of two equal values, the derivative of the larger is that of either.
    model = nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (1, 4)), nn.MaxPool1d(2), nn.Flatten())
    with torch.no_grad():
        model[0].weight[1::2] = model[0].weight[::2]
        model[0].bias[1::2] = model[0].bias[::2]
    report = pr.verify(pr.partition(model), model, resolution=10)
    assert report.ok
    check = report.check("jacobians")
    assert check.n == 0
    assert str(check).endswith(
        "not compared; the model's forward is on a bend, where it has several, at all samples"
    )


def test_arguments(part, model):
    with pytest.raises(ValueError, match="resolution"):
        pr.verify(part, model, resolution=2)
    with pytest.raises(KeyError, match="coverage"):
        pr.verify(part, model, resolution=3).check("nothing")


def test_activation_with_unlike_units_is_verified():
    """Units of one layer with different numbers of breakpoints."""
    rng = np.random.default_rng(3)
    layer = Activation(
        np.array([[0.0, np.inf], [-0.5, 0.5], [np.inf, np.inf]]),
        np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [2.0, 2.0, 2.0]]),
        np.array([[0.0, 0.0, 0.0], [-0.5, 0.0, 0.5], [1.0, 1.0, 1.0]]),
    )
    first = Affine(rng.standard_normal((3, 2)), rng.standard_normal(3))
    last = Affine(rng.standard_normal((1, 3)), np.zeros(1))
    network = Network((first, layer, last), 2)
    part = pr.partition(network, (-3, 3))
    assert pr.verify(part, network, resolution=50).ok
    assert part.face_pattern.max(axis=0).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    "case",
    ["two outputs", "four layers", "triangle", "arrays", "no units", "damaged"],
)
def test_taking_fewer_samples_at_once_changes_nothing(case, part, model, monkeypatch):
    if case == "triangle":
        shapely = pytest.importorskip("shapely")
        model = net(2, 6, 1)
        part = pr.partition(model, shapely.Polygon([(-1, -1), (2, -0.5), (0.25, 2)]))
    elif case == "damaged":
        part = swap_maps(flip_bit(wrong_label(part)))
    elif case != "two outputs":
        model = {
            "four layers": net(2, 5, 5, 5, 5, 1),
            "arrays": [([[1.0, 2.0], [3.0, -1.0]], [0.5, 0.25]), ([[1.0, 1.0]], None)],
            "no units": nn.Linear(2, 1),
        }[case]
        part = pr.partition(model, (-4, 4))
    whole = pr.verify(part, model, resolution=40)
    for at_once in (1 << 6, 7):
        monkeypatch.setattr(verify_module, "_POINTS_AT_ONCE", at_once)
        pieces = pr.verify(part, model, resolution=40)
        # Batches of another size round differently, and another sample may be named first.
        left_open = {"largest_error": 0, "largest_share": 0, "example": ""}
        assert [replace(c, **left_open) for c in pieces.checks] == [
            replace(c, **left_open) for c in whole.checks
        ]
        for some, every in zip(pieces.checks, whole.checks, strict=True):
            # Sums of products come in another order in batches of another size.
            assert some.largest_error == pytest.approx(every.largest_error, rel=0.5, abs=1e-6)
            assert some.largest_share == pytest.approx(every.largest_share, rel=0.5, abs=1e-2)
        for name in ("ok", "precision", "n_samples", "n_straddling", "n_hit"):
            assert getattr(pieces, name) == getattr(whole, name)
        np.testing.assert_array_equal(pieces.missed_faces, whole.missed_faces)


def test_no_more_samples_at_once_than_memory_is_meant_for(part, model, monkeypatch):
    sizes = []

    def noted(self, points, **options):
        sizes.append(len(points))
        return sample(self, points, **options)

    sample = verify_module.Verifier._sample
    monkeypatch.setattr(verify_module.Verifier, "_sample", noted)
    monkeypatch.setattr(verify_module, "_NUMBERS_AT_ONCE", 100 * (16 + 2 * (8 + 2)))
    assert pr.verify(part, model, resolution=30).ok
    assert max(sizes) == 100
    # Each grid point once, the inside of each face and each inner edge's ends once.
    n_vertices = len(np.unique(part.edge_vertices[part.is_inner]))
    assert sum(sizes) == 30 * 30 + len(part) + n_vertices


def test_each_vertex_is_compared_with_all_its_edges(part, model):
    report = pr.verify(part, model, resolution=10)
    assert report.check("edges").n == 2 * np.count_nonzero(part.is_inner)


def test_error_bounds_of_a_partition_are_allowed_for(part, model):
    """Maps and coordinates that are off by no more than stated agree; by more, they do not."""
    rng = np.random.default_rng(0)
    names = ("face_weight", "face_bias", "vertex_xy")
    arrays = {}
    for name in names:
        value = getattr(part, name)
        error_name = "vertex_error" if name == "vertex_xy" else f"{name}_error"
        bound = np.full(value.shape, 1e-3)
        arrays[name] = value + rng.uniform(-0.99, 0.99, value.shape) * bound
        arrays[error_name] = bound
    fitting = replace(part, **arrays)
    checks = ("values", "jacobians", "finite differences", "edges")
    report = pr.verify(fitting, model, resolution=60)
    for name in checks:
        assert report.check(name).n > 0
        assert report.check(name).n_wrong == 0, str(report)
    understated = {name: array / 1000 for name, array in arrays.items() if "_error" in name}
    report = pr.verify(replace(fitting, **understated), model, resolution=60)
    for name in checks:
        assert report.check(name).n_wrong > 0, str(report)


class Overwriting(nn.Module):
    """Overwrites what autograd has kept to go back by."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)).abs_())


class Detached(Overwriting):
    """Keeps no record of what it does."""

    def forward(self, x):
        return self.b(torch.relu(self.a(x.detach()))).detach()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            Overwriting,
            "cannot be differentiated: one of the variables needed for gradient computation has "
            "been modified by an inplace operation",
        ),
        (Detached, "records no gradients"),
    ],
)
def test_a_model_without_derivatives_is_checked_as_far_as_it_goes(kind, words):
    torch.manual_seed(0)
    model = kind()
    report = pr.verify(pr.partition(model, (-3, 3)), model, resolution=30)
    assert report.ok, str(report)
    assert report.check("jacobians").n == 0
    assert report.check("jacobians").example == f"the model's forward {words}"
    assert report.check("values").n == 900


def test_resolution_is_an_integer(part, model):
    for resolution in (3.5, True, "9"):
        with pytest.raises(TypeError, match="resolution must be an integer"):
            pr.verify(part, model, resolution=resolution)
    assert pr.verify(part, model, resolution=np.int64(5)).resolution == 5
