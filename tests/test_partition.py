"""The contract of `Partition`, and whole complexes held against the oracle."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from invariants import check, checked
from networks import (
    ACTIVATIONS,
    folding,
    random_layers,
    sawtooth,
    stack,
    torch_layers,
    trained_layers,
)
from oracle import assert_maps, assert_same, evaluate, is_nearest
from shapely import Polygon

import polyregions as pr
from polyregions.network import Affine, Network, Scale, absolute, clamp, leaky_relu, relu

CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]
HEXAGON = Polygon([(-2, -1), (0.3, -2), (2.1, -0.9), (2, 1.2), (-0.4, 1.9), (-1.7, 1.1)])


# --- whole complexes ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["normal", "single", "integer", "ternary", "four_bit"])
@pytest.mark.parametrize("widths", [(2, 7, 1), (2, 4, 4, 2), (2, 3, 3, 3, 1)])
def test_relu_nets_against_the_oracle(widths: tuple[int, ...], kind: str) -> None:
    for seed in range(2):
        network = stack(random_layers(widths, seed, kind))
        assert_same(checked(network, (-3, 3)), network, (-3, 3))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("kind", ["normal", "integer", "zero_bias"])
def test_other_activations_against_the_oracle(activation: str, kind: str) -> None:
    for seed, widths in enumerate([(2, 4, 3, 1), (2, 3, 2, 2, 2)]):
        network = stack(random_layers(widths, seed, kind), activation)
        assert_same(checked(network, HEXAGON), network, HEXAGON)


def test_mixed_steps_against_the_oracle() -> None:
    """Layers of different kinds, two activations in a row, a scale, an activation at the end."""
    (w1, b1), (w2, b2), (w3, b3) = random_layers([2, 4, 3, 2], 5, "integer")
    network = Network(
        (
            Scale([2.0, -0.5], [0.25, 0.0]),
            Affine(w1, b1),
            absolute(4),
            clamp(4, 1.0, 3.0),
            Scale([1.0, 0.0, -0.25, 3.0], [0.0, 1.0, 0.5, -2.0]),
            Affine(w2, b2),
            leaky_relu(3, -0.3),
            Affine(w3, b3),
            relu(2),
        ),
        2,
    )
    assert_same(checked(network, (-2, 2)), network, (-2, 2))


@pytest.mark.parametrize("widths", [(2, 12, 1), (2, 8, 8, 1)])
def test_trained_nets_against_the_oracle(widths: tuple[int, ...]) -> None:
    network = stack(trained_layers(widths))
    assert_same(checked(network, (-1, 1)), network, (-1, 1))


def test_a_larger_net_by_samples() -> None:
    network = stack(torch_layers([2, 24, 24, 24, 1], seed=3))
    part = checked(network, (-2, 2))
    assert len(part) > 300
    assert_maps(part, network, range(0, len(part), 12))


@pytest.mark.parametrize("seed", range(3))
def test_values_are_the_exact_ones_but_for_rounding(seed: int) -> None:
    """Three products and two sums: each term passes through at most three roundings.

    Each is of relative size u = 2**-53, so a term is off by no more than ((1 + u)**3 - 1) of its
    size. What the coefficients are off by, comes on top.
    """
    network = stack(random_layers([2, 5, 5, 3], seed), "leaky")
    part = checked(network, (-3, 3))
    points = np.random.default_rng(seed).uniform(-3, 3, (60, 2))
    points = np.concatenate([points, part.vertex_xy[:20]])
    values, located = part(points), part.locate(points)
    assert values.shape == (len(points), 3)
    assert values.dtype == np.float64
    rounding = (1 + Fraction(1, 2**53)) ** 3 - 1
    for point, f, row in zip(points.tolist(), located, values.tolist(), strict=True):
        xy = [*map(Fraction, point), Fraction(1)]
        exact = evaluate(network, (xy[0], xy[1]))
        if f < 0:  # the rounded vertex of the border is outside
            assert np.isnan(row).all()
            continue
        coefficients = np.column_stack([part.face_weight[f], part.face_bias[f]])
        errors = np.column_stack([part.face_weight_error[f], part.face_bias_error[f]])
        for m, (got, want) in enumerate(zip(row, exact, strict=True)):
            size, known = (
                sum(abs(Fraction(c) * v) for c, v in zip(values[m].tolist(), xy, strict=True))
                for values in (coefficients, errors)
            )
            assert abs(Fraction(got) - want) <= rounding * size + known


# --- a partition small enough to write down -------------------------------------------------------


def test_two_lines_across_a_square() -> None:
    part = checked(CROSS, (-1, 1))
    assert (part.n_vertices, part.n_edges, part.n_faces) == (9, 12, 4)
    assert (part.n_units, part.n_outputs) == (2, 1)
    half = [Fraction(v) for v in (-1, 0, 1)]
    assert {part.exact_vertex(i) for i in range(9)} == {(x, y) for x in half for y in half}
    quadrants = {}
    for f in range(4):
        centre = part.vertex_xy[part.face(f)].mean(axis=0)
        quadrants[tuple((centre > 0).astype(int).tolist())] = f
        assert part.face_pattern[f].tolist() == (centre > 0).tolist()
        assert part.face_weight[f].tolist() == [(centre > 0).astype(float).tolist()]
        assert part.face_bias[f].tolist() == [0]
        assert part.areas[f] == 1
        assert part.centroids[f].tolist() == centre.tolist()
    assert len(quadrants) == 4
    for (a, b), unit, (left, right) in zip(
        part.vertex_xy[part.edge_vertices], part.edge_unit, part.edge_faces, strict=True
    ):
        if right < 0:
            assert unit == -1
            continue
        along_x = a[1] == b[1] == 0
        assert unit == (1 if along_x else 0)
        # Left of the direction from a to b is (-dy, dx).
        normal = np.array([-(b - a)[1], (b - a)[0]])
        assert (part.centroids[left] - a) @ normal > 0 > (part.centroids[right] - a) @ normal
    assert part.is_inner.sum() == part.is_crease.sum() == 4
    assert part.count() == (4, 4, 4)
    assert part.unit_layer.tolist() == [0, 0]


def test_exact_vertex_is_a_pair_of_fractions() -> None:
    part = checked([([[3, 1]], [-1]), ([[1]], [0])], (0, 1))
    points = {part.exact_vertex(i) for i in range(part.n_vertices)}
    assert (Fraction(1, 3), Fraction(0)) in points
    assert all(type(v) is Fraction for point in points for v in point)
    with pytest.raises(IndexError):
        part.exact_vertex(part.n_vertices)


def test_polygons_are_the_faces() -> None:
    part = checked(torch_layers([2, 8, 1]), (-4, 4))
    assert part.polygons.shape == (len(part),)
    for f, polygon in enumerate(part.polygons):
        ring = np.array(polygon.exterior.coords)
        assert (ring[:-1] == part.vertex_xy[part.face(f)]).all()
        assert (ring[-1] == ring[0]).all()
        assert polygon.exterior.is_ccw
        assert polygon.area == pytest.approx(part.areas[f], rel=1e-9, abs=1e-12)
        assert part.polygon(f).equals_exact(polygon, 0)


# --- which count is which -------------------------------------------------------------------------


def test_open_and_closed_linear_regions() -> None:
    """``max(|y| - |x|, 0)`` is zero on a left and a right wedge that touch in the origin only."""
    layers = [
        ([[1, 0], [-1, 0], [0, 1], [0, -1]], [0] * 4),
        ([[-1, -1, 1, 1]], [0]),
        ([[1]], [0]),
    ]
    part = checked(layers, (-1, 1))
    assert part.count() == (8, 6, 5)  # the wedges above and below are two maps each
    assert part.count(through_vertices=True) == (8, 5, 5)


def test_one_map_on_two_regions_that_do_not_touch() -> None:
    # A tent on [0, 2] is zero on both sides of it.
    layers = [([[1, 0], [1, 0], [1, 0]], [0, -1, -2]), ([[1, -2, 1]], [0])]
    part = checked(layers, (-1, 3))
    assert part.count() == part.count(through_vertices=True) == (4, 4, 3)


def test_unused_units_make_no_creases() -> None:
    layers = [([[1, 0], [0, 1], [1, 1]], [0, 0, 0]), ([[1, 0, 0]], [0])]
    part = checked(layers, (-1, 1))
    assert part.count() == (6, 2, 2)
    assert part.edge_unit[part.is_crease].tolist() == [0] * part.is_crease.sum()
    assert (part.edge_unit[part.is_inner & ~part.is_crease] > 0).all()


def test_maps_that_round_alike_are_told_apart() -> None:
    """Slopes 1 and 1 + 2**-60 are one float64 number but two maps."""
    layers = [([[1, 0], [1, 0]], [1, 0]), ([[1, 2.0**-60]], [0])]
    part = checked(layers, (-0.5, 0.5))
    assert part.face_weight[:, 0, 0].tolist() == [1, 1]
    assert part.count() == (2, 2, 2)
    assert part.is_crease.sum() == 1


def test_region_count_is_a_named_tuple() -> None:
    count = pr.partition(CROSS).count()
    assert isinstance(count, pr.RegionCount)
    assert count._fields == ("activation_regions", "linear_regions", "affine_pieces")
    assert repr(count) == "RegionCount(activation_regions=4, linear_regions=4, affine_pieces=4)"


# --- labels ---------------------------------------------------------------------------------------


def test_edge_units_lists_all_that_coincide() -> None:
    # Units 1, 2 and 4 share the line x = 0 (one of them turned round), unit 3 is y = 0.
    layers = [([[1, 1], [2, 0], [-1, 0], [0, 1], [0.5, 0]], [0] * 5), ([[1] * 5], [0])]
    part = checked(layers, (-1, 1))
    for e in range(part.n_edges):
        (ax, ay), (bx, by) = part.vertex_xy[part.edge_vertices[e]].tolist()
        if not part.is_inner[e]:
            assert part.edge_units(e).tolist() == []
        elif ax == bx == 0:
            assert part.edge_units(e).tolist() == [1, 2, 4]
            assert part.edge_unit[e] == 1
        elif ay == by == 0:
            assert part.edge_units(e).tolist() == [3]
        else:
            assert part.edge_units(e).tolist() == [0]
    assert part.n_faces == 6
    assert part.edge_units(0).dtype == np.int64


def test_unit_layers() -> None:
    part = checked(random_layers([2, 3, 1, 2, 1], 0), (-2, 2))
    assert part.unit_layer.tolist() == [0, 0, 0, 1, 2, 2]


# --- what it is in a few lines --------------------------------------------------------------------


def test_len_repr_and_str() -> None:
    part = pr.partition(torch_layers([2, 5, 5, 5, 5, 1]), (-10, 10))
    assert len(part) == part.n_faces == 81
    assert bool(part)
    short, long = repr(part), str(part)
    assert "\n" not in short
    for text in (short, long):
        assert "81" in text
        assert "[-10, 10]" in text
        assert "Partition" in text
    count = part.count()
    assert count.linear_regions == count.affine_pieces == 77
    for word in ("20 units", "4 layers", "activation regions", "linear regions", "affine pieces"):
        assert word in long
    assert "77" in long
    assert len(long.splitlines()) < 15
    certificate = str(part.certificate)
    assert f"engine {part.engine}" in certificate
    assert "V - E + F" in certificate


def test_notebook_repr_has_a_picture() -> None:
    html = pr.partition(CROSS)._repr_html_()
    assert "<svg" in html
    assert "</svg>" in html
    assert "4 faces" in html


def test_str_of_the_smallest_and_the_largest_domain() -> None:
    """Areas may be too large or too small for float64; saying what it is must still work."""
    for half in (5e-324, 1e-200, 1e200, 1e308):
        part = pr.partition(CROSS, (-half, half))
        assert part.certificate.ok
        assert "4 faces" in repr(part)
        assert "4 activation regions" in str(part)


# --- immutable ------------------------------------------------------------------------------------


def test_nothing_can_be_assigned() -> None:
    part = pr.partition(CROSS)
    for name in ("vertex_xy", "domain", "areas", "n_faces", "anything"):
        with pytest.raises(AttributeError):
            setattr(part, name, 1)
    for array in (part.vertex_xy, part.face_pattern, part.edge_unit, part.areas, part.face(0)):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(ValueError, match="read-only"):
        part.polygons[0] = None
    with pytest.raises(AttributeError):
        part.certificate.ok = False


def test_the_model_may_change_afterwards() -> None:
    weight, bias = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 0.0])
    network = pr.lower([(weight, bias), (np.ones((1, 2)), np.zeros(1))])
    weight[:] = 7.0
    bias[:] = 7.0
    assert check(pr.partition(network)).count() == (4, 4, 4)
    assert weight.flags.writeable


def test_arrays_given_to_a_partition_stay_the_givers() -> None:
    part = pr.partition(CROSS)
    mine = part.face_bias + 1
    twin = dataclasses.replace(part, face_bias=mine)
    assert mine.flags.writeable
    mine[:] = 7
    assert (twin.face_bias == part.face_bias + 1).all()
    assert not twin.face_bias.flags.writeable


def test_copies_are_read_only_too() -> None:
    import copy
    import pickle

    part = pr.partition(CROSS)
    for twin in (copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        check(twin)
        assert twin.face_pattern.tobytes() == part.face_pattern.tobytes()


@pytest.mark.parametrize("engine", ["rational", "exact"])
def test_partition_is_a_function_of_its_input(engine: str) -> None:
    layers = torch_layers([2, 8, 8, 1])
    one, two = (pr.partition(layers, (-5, 5), engine=engine) for _ in range(2))
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, np.ndarray):
            assert a.tobytes() == b.tobytes(), field.name
    assert tuple(one.vertex_exact) == tuple(two.vertex_exact)
    assert one.engine == one.certificate.engine == engine


# --- limits ---------------------------------------------------------------------------------------


def test_limit_says_how_far_it_got() -> None:
    # Layers 0 to 3 leave 2, 4, 8 and 16 strips.
    layers = sawtooth(4)
    assert len(pr.partition(layers, (0, 1), max_regions=16)) == 16
    for limit, finished in ((15, (2, 4, 8)), (8, (2, 4, 8)), (7, (2, 4)), (2, (2,)), (1, ())):
        with pytest.raises(pr.LimitError, match=rf"max_regions={limit}\b") as error:
            pr.partition(layers, (0, 1), max_regions=limit)
        assert error.value.counts == finished
        assert error.value.layer == len(finished)
        message = str(error.value)
        assert f"layer {len(finished)}" in message
        for count in finished:
            assert str(count) in message
    assert issubclass(pr.LimitError, pr.PolyregionsError)


def test_limit_stops_long_before_the_end() -> None:
    """A net of four million regions is given up as soon as the limit is passed."""
    with pytest.raises(pr.LimitError):
        pr.partition(folding(9), (-1, 1), max_regions=500)


def test_limit_of_one_suffices_for_one_region() -> None:
    assert len(pr.partition([([[1, 0]], [5]), ([[1]], [0])], (-1, 1), max_regions=1)) == 1


# --- the helpers of these tests -------------------------------------------------------------------


def test_is_nearest() -> None:
    third = Fraction(1, 3)
    assert is_nearest(1 / 3, third)
    assert not is_nearest(float(np.nextafter(1 / 3, 1)), third)
    assert not is_nearest(float(np.nextafter(1 / 3, 0)), third)
    half_way = Fraction(1) + Fraction(1, 2**53)
    assert is_nearest(1.0, half_way)  # ties go to the even one
    assert not is_nearest(1.0 + 2.0**-52, half_way)
    assert is_nearest(0.0, Fraction(1, 2**1076))
    assert is_nearest(5e-324, Fraction(3, 2**1076))
    assert not is_nearest(5e-324, Fraction(3, 2**1075))  # half way to the even 1e-323
    assert not is_nearest(float("nan"), third)
