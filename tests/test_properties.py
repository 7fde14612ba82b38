"""What may be done to a network or a domain without changing the partition but in name."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from invariants import area, checked
from networks import stack
from oracle import assert_same, value
from shapely import Polygon, box

import polyregions as pr

HOMOGENEOUS = ("relu", "leaky", "abs", "prelu")  # a(s z) = s a(z) for s > 0
KINDS = (*HOMOGENEOUS, "relu6", "hardtanh", "floor", "ceiling")

# Small integers make lines coincide, meet and vanish; the others spoil all common denominators.
INTEGERS = tuple(float(i) for i in range(-3, 4))
AWKWARD = (*INTEGERS, -0.5, 0.1, -1 / 3, 2 / 3, 1 + 2.0**-52, 1e-9, -1e9)

DOMAINS = st.sampled_from(
    [
        (-1.0, 1.0),
        (0.0, 2.0),
        (-1.5, -1.0, 3.0, 0.75),
        Polygon([(-1, -1), (2, -1), (0, 3)]),
        Polygon([(-2, 0), (-1, -1.7), (1, -2), (2, 0.1), (0.3, 1.9)]),
    ]
)


@st.composite
def layer_lists(draw: st.DrawFn, palette: tuple[float, ...] = INTEGERS) -> list:
    """Weights and biases of a net with one to three hidden layers of one to five units.

    Number by number, which finds and shrinks the oddest, or from a seed, which makes busier nets.
    """
    hidden = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    widths = [2, *hidden, draw(st.integers(1, 2))]
    seeded = draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)) if seeded else 0)
    layers = []
    for n_in, n_out in pairwise(widths):
        size = n_out * (n_in + 1)
        if seeded:
            numbers = rng.choice(palette, size)
        else:
            numbers = np.array(
                draw(st.lists(st.sampled_from(palette), min_size=size, max_size=size))
            )
        layers.append((numbers[n_out:].reshape(n_out, n_in), numbers[:n_out]))
    return layers


def exact_faces(part: pr.Partition) -> dict[bytes, frozenset]:
    """Exact corners of the face of each pattern."""
    return {
        part.face_pattern[f].tobytes(): frozenset(part.exact_vertex(v) for v in part.face(f))
        for f in range(part.n_faces)
    }


def exact_edges(part: pr.Partition) -> set:
    """Exact end points of the edges, with the units that switch there."""
    return {
        (frozenset(part.exact_vertex(v) for v in part.edge_vertices[e]), tuple(part.edge_units(e)))
        for e in range(part.n_edges)
    }


def maps(part: pr.Partition) -> dict[bytes, bytes]:
    return {
        pattern.tobytes(): np.concatenate([w, b[:, None]], axis=1).tobytes()
        for pattern, w, b in zip(
            part.face_pattern, part.face_weight + 0.0, part.face_bias + 0.0, strict=True
        )
    }


def assert_same_subdivision(one: pr.Partition, two: pr.Partition, columns: object = ...) -> None:
    """The same complex if the second one's units at `columns` are those of the first."""
    columns = np.arange(two.n_units)[columns]
    renamed = {
        np.frombuffer(k, np.uint8)[columns].tobytes(): v for k, v in exact_faces(two).items()
    }
    assert renamed == exact_faces(one)
    back = {int(unit): i for i, unit in enumerate(columns)}
    assert {
        (ends, tuple(sorted(back[u] for u in units if u in back)))
        for ends, units in exact_edges(two)
    } == exact_edges(one)
    for through in (False, True):
        assert one.count(through_vertices=through) == two.count(through_vertices=through)


# --- against the oracle ---------------------------------------------------------------------------


@given(layer_lists(), st.sampled_from(KINDS), DOMAINS)
def test_integer_nets_against_the_oracle(layers: list, kind: str, domain: object) -> None:
    network = stack(layers, kind)
    assert_same(checked(network, domain), network, domain)


@given(layer_lists(AWKWARD), st.sampled_from(KINDS), DOMAINS)
def test_awkward_nets_against_the_oracle(layers: list, kind: str, domain: object) -> None:
    network = stack(layers, kind)
    assert_same(checked(network, domain), network, domain)


# --- the network ----------------------------------------------------------------------------------


@given(layer_lists(), st.sampled_from(KINDS[:3]), DOMAINS, st.randoms(use_true_random=False))
def test_permuting_units(layers: list, kind: str, domain: object, random: object) -> None:
    permuted, columns, start = [], [], 0
    order = [0, 1]
    for i, (weight, bias) in enumerate(layers):
        weight = weight[:, order]
        order = list(range(len(bias)))
        if i < len(layers) - 1:
            random.shuffle(order)
            inverse = np.argsort(order)
            columns += (start + inverse).tolist()
            start += len(order)
        permuted.append((weight[order], bias[order]))
    one, two = checked(stack(layers, kind), domain), checked(stack(permuted, kind), domain)
    assert_same_subdivision(one, two, columns)
    # Sums in another order round differently, but not by more than the maps may be off.
    renamed = {row[columns].tobytes(): f for f, row in enumerate(two.face_pattern)}
    other = [renamed[row.tobytes()] for row in one.face_pattern]
    for name in ("face_weight", "face_bias"):
        distance = np.abs(getattr(one, name) - getattr(two, name)[other])
        bound = getattr(one, f"{name}_error") + getattr(two, f"{name}_error")[other]
        assert (distance <= bound * (1 + 1e-12)).all()


@given(
    layer_lists(AWKWARD),
    st.sampled_from(HOMOGENEOUS),
    DOMAINS,
    st.lists(st.integers(-60, 60), min_size=15, max_size=15),
)
def test_scaling_units_by_powers_of_two(
    layers: list, kind: str, domain: object, exponents: list[int]
) -> None:
    """A unit times 2**k, and what the next layer makes of it divided by that."""
    scaled, factor = [], np.ones(2)
    for i, (weight, bias) in enumerate(layers):
        weight = weight / factor
        factor = np.ones(len(bias))
        if i < len(layers) - 1:
            factor = 2.0 ** np.array(exponents[5 * i : 5 * i + len(bias)])
        scaled.append((weight * factor[:, None], bias * factor))
    one, two = checked(stack(layers, kind), domain), checked(stack(scaled, kind), domain)
    assert_same_subdivision(one, two)
    assert maps(one) == maps(two)
    assert one.vertex_exact == two.vertex_exact


@given(layer_lists(), st.sampled_from(["relu", "abs"]), DOMAINS, st.data())
def test_adding_a_duplicated_unit(layers: list, kind: str, domain: object, data: st.DataObject):
    at = data.draw(st.integers(0, len(layers) - 2))
    (weight, bias), (after, after_bias) = layers[at : at + 2]
    unit = data.draw(st.integers(0, len(bias) - 1))
    share = np.array([data.draw(st.sampled_from(INTEGERS)) for _ in after])
    doubled = list(layers)
    doubled[at] = (np.vstack([weight, weight[unit]]), np.append(bias, bias[unit]))
    outgoing = np.hstack([after, share[:, None]])
    outgoing[:, unit] -= share  # together the twins do what the one did
    doubled[at + 1] = (outgoing, after_bias)
    one, two = checked(stack(layers, kind), domain), checked(stack(doubled, kind), domain)
    start = sum(len(b) for _, b in layers[:at])
    new = start + len(bias)
    assert_same_subdivision(one, two, np.delete(np.arange(two.n_units), new))
    assert (two.face_pattern[:, new] == two.face_pattern[:, start + unit]).all()
    for _, units in exact_edges(two):
        assert (new in units) == (start + unit in units)
    assert new not in two.edge_unit


@given(layer_lists(), DOMAINS, st.data())
def test_adding_a_dead_unit(layers: list, domain: object, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(layers) - 2))
    (weight, bias), (after, after_bias) = layers[at : at + 2]
    with_dead = list(layers)
    dead_bias = data.draw(st.sampled_from([0.0, -1.0, -1e-300]))
    with_dead[at] = (np.vstack([weight, 0 * weight[0]]), np.append(bias, dead_bias))
    outgoing = np.array([[data.draw(st.sampled_from(INTEGERS))] for _ in after])
    with_dead[at + 1] = (np.hstack([after, outgoing]), after_bias)
    one, two = checked(stack(layers), domain), checked(stack(with_dead), domain)
    new = sum(len(b) for _, b in layers[: at + 1])
    columns = np.delete(np.arange(two.n_units), new)
    assert_same_subdivision(one, two, columns)
    assert (two.face_pattern[:, new] == 0).all()
    assert sorted(maps(one).values()) == sorted(maps(two).values())


@given(layer_lists(), st.sampled_from(KINDS), DOMAINS, st.integers(-1000, 1000))
def test_output_bias(layers: list, kind: str, domain: object, shift: int) -> None:
    """It moves every value and changes nothing else."""
    weight, bias = layers[-1]
    shifted = [*layers[:-1], (weight, bias + shift)]
    one, two = checked(stack(layers, kind), domain), checked(stack(shifted, kind), domain)
    assert one.vertex_exact == two.vertex_exact
    for name in ("edge_vertices", "edge_faces", "edge_unit", "face_offsets", "face_vertices"):
        assert (getattr(one, name) == getattr(two, name)).all()
    assert (one.face_pattern == two.face_pattern).all()
    assert (one.face_weight == two.face_weight).all()
    assert (one.face_affine_piece == two.face_affine_piece).all()
    errors = one.face_bias_error + two.face_bias_error
    for before, after, error in zip(
        one.face_bias.ravel().tolist(), two.face_bias.ravel().tolist(), errors.ravel().tolist(),
        strict=True,
    ):  # fmt: skip
        # Leaky slopes are no short dyadic numbers, so both biases may have been rounded.
        assert abs(Fraction(after) - Fraction(before) - shift) <= Fraction(error)


@given(layer_lists(), DOMAINS, st.data())
def test_turning_units_of_an_abs_layer_round(layers: list, domain: object, data: st.DataObject):
    """|z| = |-z|: a turned unit swaps its pieces, except where it is zero on a whole face."""
    weight, bias = layers[0]
    signs = np.array([data.draw(st.sampled_from([1.0, -1.0])) for _ in bias])
    turned = [(weight * signs[:, None], bias * signs), *layers[1:]]
    one, two = checked(stack(layers, "abs"), domain), checked(stack(turned, "abs"), domain)
    assert set(exact_faces(one).values()) == set(exact_faces(two).values())
    assert exact_edges(one) == exact_edges(two)
    swapped = np.zeros(one.n_units, np.uint8)
    swapped[: len(bias)] = (signs < 0) & ((weight != 0).any(axis=1) | (bias != 0))
    assert {(row ^ swapped).tobytes() for row in one.face_pattern} == set(exact_faces(two))


# --- the domain -----------------------------------------------------------------------------------

SYMMETRIES = {
    "x": [[-1, 0], [0, 1]],
    "y": [[1, 0], [0, -1]],
    "diagonal": [[0, 1], [1, 0]],
    "half turn": [[-1, 0], [0, -1]],
    "quarter turn": [[0, -1], [1, 0]],
}


@given(layer_lists(AWKWARD), st.sampled_from(KINDS[:5]), DOMAINS, st.sampled_from([*SYMMETRIES]))
def test_reflecting_and_turning(layers: list, kind: str, domain: object, name: str) -> None:
    """The network seen in a mirror, on the domain seen in a mirror."""
    one = checked(stack(layers, kind), domain)
    matrix = np.array(SYMMETRIES[name])  # orthogonal, so its transpose undoes it
    (weight, bias), *rest = layers
    mirrored = [(weight @ matrix.T + 0.0, bias), *rest]
    two = checked(stack(mirrored, kind), Polygon(one.domain.xy @ matrix.T))

    def mirror(points: frozenset) -> frozenset:
        (a, b), (c, d) = matrix.tolist()
        return frozenset((a * x + b * y, c * x + d * y) for x, y in points)

    assert {k: mirror(v) for k, v in exact_faces(one).items()} == exact_faces(two)
    assert {(mirror(v), units) for v, units in exact_edges(one)} == exact_edges(two)
    assert one.count(through_vertices=True) == two.count(through_vertices=True)


@given(layer_lists(), st.sampled_from(KINDS), st.integers(-8, 8), st.integers(-8, 8))
def test_moving(layers: list, kind: str, dx: int, dy: int) -> None:
    one = checked(stack(layers, kind), (-1, 1))
    (weight, bias), *rest = layers
    moved = [(weight, bias - weight @ np.array([dx, dy])), *rest]
    two = checked(stack(moved, kind), (dx - 1, dy - 1, dx + 1, dy + 1))
    shifted = {
        k: frozenset((x + dx, y + dy) for x, y in corners)
        for k, corners in exact_faces(one).items()
    }
    assert shifted == exact_faces(two)


CUTS = [
    # (domain, two parts of it)
    ((-2, -2, 2, 2), [(-2, -2, 0.25, 2), (0.25, -2, 2, 2)]),
    ((-2, -2, 2, 2), [(-2, -2, 0, 2), (0, -2, 2, 2)]),  # often along a line of the net
    (
        (-2, -2, 2, 2),
        [Polygon([(-2, -2), (2, -2), (2, 2)]), Polygon([(-2, -2), (2, 2), (-2, 2)])],
    ),
    (
        Polygon([(-1, -1), (2, -1), (0, 3)]),
        [Polygon([(-1, -1), (1, -1), (0, 3)]), Polygon([(1, -1), (2, -1), (0, 3)])],
    ),
]


@given(layer_lists(), st.sampled_from(KINDS), st.sampled_from(CUTS))
def test_cutting_the_domain(layers: list, kind: str, cut: tuple) -> None:
    """The faces of a part are those of the whole, cut: none lost, none new, areas add up."""
    domain, parts = cut
    network = stack(layers, kind)
    whole = checked(network, domain)
    rest = {
        whole.face_pattern[f].tobytes(): area([whole.exact_vertex(v) for v in whole.face(f)])
        for f in range(len(whole))
    }
    walls = {}
    for f in range(len(whole)):
        ring = [whole.exact_vertex(v) for v in whole.face(f)]
        walls[whole.face_pattern[f].tobytes()] = [
            (p[1] - q[1], q[0] - p[0], p[0] * q[1] - q[0] * p[1])
            for p, q in zip(ring, ring[1:] + ring[:1], strict=True)
        ]
    for piece in parts:
        part = checked(network, piece)
        for f in range(len(part)):
            pattern = part.face_pattern[f].tobytes()
            corners = [part.exact_vertex(v) for v in part.face(f)]
            # Inside the whole face, and with the areas of all parts adding up to its own.
            assert all(value(wall, corner) >= 0 for corner in corners for wall in walls[pattern])
            rest[pattern] -= area(corners)
    assert set(rest.values()) == {Fraction(0)}


@given(layer_lists(), st.integers(1, 6))
def test_growing_the_domain_keeps_what_was_there(layers: list, factor: int) -> None:
    network = stack(layers)
    inner, outer = checked(network, (-1, 1)), checked(network, box(-factor, -1, 1 + factor, 2))
    assert set(exact_faces(inner)) <= set(exact_faces(outer))
    assert inner.count().activation_regions <= outer.count().activation_regions
    strictly_inside = {
        p
        for p in (inner.exact_vertex(i) for i in range(inner.n_vertices))
        if abs(p[0]) < 1 and abs(p[1]) < 1
    }
    assert strictly_inside <= {outer.exact_vertex(i) for i in range(outer.n_vertices)}


# --- points ---------------------------------------------------------------------------------------

COORDINATES = st.one_of(
    st.integers(-16, 16).map(lambda i: i / 8),
    st.floats(-2, 2),
    st.floats(),
)


@given(
    layer_lists(AWKWARD),
    st.sampled_from(KINDS),
    DOMAINS,
    st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=8),
)
def test_locating_points(layers: list, kind: str, domain: object, points: list) -> None:
    part = checked(stack(layers, kind), domain)
    rings = [[part.exact_vertex(v) for v in part.face(f)] for f in range(len(part))]
    located = part.locate(points)
    for (x, y), f in zip(points, located, strict=True):
        if not np.isfinite([x, y]).all():
            assert f == -1
            continue
        p = (Fraction(x), Fraction(y))
        touching = [
            g
            for g, ring in enumerate(rings)
            if all(
                (b[0] - a[0]) * (p[1] - a[1]) >= (b[1] - a[1]) * (p[0] - a[0])
                for a, b in zip(ring, ring[1:] + ring[:1], strict=True)
            )
        ]
        assert f == min(touching, default=-1)
    assert (np.isnan(part(points)).all(axis=1) == (located < 0)).all()
