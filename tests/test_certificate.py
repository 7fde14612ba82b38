"""Certificates: that they hold for both engines, and that every check can fail."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from invariants import check
from networks import random_layers, stack, tangents, torch_layers
from oracle import assert_maps, assert_same
from shapely import Polygon

import polyregions as pr
from polyregions import certificate, exact
from polyregions.certificate import SAMPLE, certify, quick

CROSS = [([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])]
SLANTED = Polygon([(-2, -1), (0.3, -2), (2.1, -0.9), (2, 1.2), (-0.4, 1.9), (-1.7, 1.1)])
ENGINES = ("rational", "exact")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


# --- partitions that are right --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["normal", "integer", "ternary", "zero_bias"])
@pytest.mark.parametrize("domain", [(-3, 3), SLANTED], ids=["box", "polygon"])
def test_certificates_hold(engine: str, kind: str, domain: object) -> None:
    part = pr.partition(random_layers((2, 8, 6, 2), 1, kind), domain, engine=engine)
    quick(part)
    for certified in (part.certificate, certify(part, full=True)):
        assert certified.ok, str(certified)
        assert certified.n_vertices == part.n_vertices
        assert certified.n_corners == len(part.face_vertices)


@pytest.mark.parametrize(
    ("engine", "half"),
    [*product(ENGINES, [5e-324, 1e-200, 1e200, 1e285]), ("rational", 1e308)],
)
def test_certificates_hold_for_the_smallest_and_the_largest_domain(
    engine: str, half: float
) -> None:
    part = pr.partition(CROSS, (-half, half), engine=engine)
    quick(part)
    assert part.certificate.ok, str(part.certificate)
    assert part.certificate.domain_area == 4 * Fraction(half) ** 2


RING = SLANTED.difference(Polygon([(-0.5, -0.5), (0.7, -0.4), (0.1, 0.6)]))


@pytest.mark.parametrize(
    "domain", [(-3, 3), SLANTED, RING, None], ids=["box", "polygon", "ring", "plane"]
)
def test_areas_add_up_exactly_where_bounds_say_little(
    monkeypatch: pytest.MonkeyPatch, domain: object
) -> None:
    part = pr.partition(random_layers((2, 8, 6, 2), 1), domain, engine="exact")
    monkeypatch.setattr(certificate, "RELATIVE_ERROR", 0.0)
    certified = certify(part)
    assert certified.ok, str(certified)
    assert certified.faces_area_error == 0
    by_faces = sum(exact.area(part.exact_polygon(f)) for f in range(part.n_faces))
    assert certified.faces_area == certified.domain_area == by_faces


def test_slivers_are_decided_exactly() -> None:
    # Two lines that cross at an angle of 2**-60: float64 cannot tell on which side a corner is.
    layers = [([[1, 1], [1, 1 + 2.0**-52], [0, 1]], [0.1, 0.1, 0.3]), ([[1, 1, 1]], [0])]
    for engine in ENGINES:
        part = pr.partition(layers, (-1, 1), engine=engine)
        assert part.certificate.n_exact_turns > 0
        assert part.certificate.ok, str(part.certificate)


def test_a_sample_of_the_vertices_is_compared_and_all_on_request() -> None:
    part = pr.partition(tangents(40), (-100, 2000), engine="exact")
    assert part.n_vertices > 3 * SAMPLE
    asked: list[int] = []

    class Counting(tuple):
        def __getitem__(self, i: int) -> tuple[int, int, int]:
            asked.append(i)
            return super().__getitem__(i)

    counted = dataclasses.replace(part, vertex_exact=Counting(part.vertex_exact))
    sampled = certify(counted)
    assert sampled.ok
    assert sampled.n_compared == SAMPLE
    assert f"{SAMPLE:,} of {part.n_vertices:,} vertices" in str(sampled)
    n_sampled = len(set(asked))
    assert SAMPLE <= n_sampled < part.n_vertices / 2
    assert {0, part.n_vertices - 1} <= set(asked)
    full = certify(counted, full=True)
    assert full.ok
    assert full.n_compared == part.n_vertices
    assert len(set(asked)) == part.n_vertices
    rational = pr.partition(tangents(40), (-100, 2000), engine="rational").certificate
    assert rational.n_compared == part.n_vertices


def test_areas_are_exact_for_one_engine_and_bounded_for_the_other() -> None:
    layers = torch_layers((2, 12, 12, 1))
    rational, compiled = (
        pr.partition(layers, (-3, 3), engine=engine).certificate for engine in ENGINES
    )
    assert rational.faces_area == rational.domain_area == 36
    assert rational.faces_area_error == 0
    assert 0 < compiled.faces_area_error < 1e-6
    assert abs(compiled.faces_area - 36) <= compiled.faces_area_error
    assert "exact areas add up to the domain's, 36" in str(rational)
    assert "areas add up to the domain's, 36, within" in str(compiled)


def test_certificate_is_read_only_and_can_be_copied(engine: str) -> None:
    part = pr.partition(CROSS, engine=engine)
    one = part.certificate
    for mapping in (one.decisions, part.decisions, one.seconds, part.seconds):
        with pytest.raises(TypeError):
            mapping["float64"] = 1  # type: ignore[index]
    assert dict(one.decisions) == dict(part.decisions)
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin == one
        assert str(twin) == str(one)


def test_certificate_says_how_long_each_stage_took() -> None:
    part = dataclasses.replace(pr.partition(CROSS), seconds={"maps": 1.5, "edges": 0.25})
    assert "maps 1.5 s, edges 0.25 s" in str(part.certificate)
    assert part.certificate == dataclasses.replace(part, seconds={}).certificate


def test_giving_a_partition_a_dictionary_does_not_tie_it_to_it() -> None:
    mine = {"integer": 3}
    part = dataclasses.replace(pr.partition(CROSS), decisions=mine)
    mine["integer"] = 4
    assert part.decisions == {"integer": 3}


# --- partitions that are not ----------------------------------------------------------------------


def damaged(part: pr.Partition, name: str, index: tuple | int, value: object) -> pr.Partition:
    array = getattr(part, name).copy()
    array[index] = value
    return dataclasses.replace(part, **{name: array})


def replace_vertex(part: pr.Partition, v: int, triple: tuple[int, int, int]) -> pr.Partition:
    triples = tuple(part.vertex_exact)
    xy = part.vertex_xy.copy()
    xy[v] = triple[0] / triple[2], triple[1] / triple[2]
    return dataclasses.replace(
        part, vertex_exact=(*triples[:v], triple, *triples[v + 1 :]), vertex_xy=xy
    )


def without_last_face(part: pr.Partition) -> pr.Partition:
    """The same with the last face gone, and its inner edges turned into border edges."""
    gone = part.n_faces - 1
    turn = part.edge_faces[:, 0] == gone
    vertices = np.where(turn[:, None], part.edge_vertices[:, ::-1], part.edge_vertices)
    faces = np.where(turn[:, None], part.edge_faces[:, ::-1], part.edge_faces)
    faces = np.where(faces == gone, -1, faces)
    keep = faces[:, 0] >= 0
    of_faces = (
        "face_pattern", "face_weight", "face_bias", "face_weight_error", "face_bias_error",
        "face_affine_piece",
    )  # fmt: skip
    return dataclasses.replace(
        part,
        edge_vertices=vertices[keep],
        edge_faces=faces[keep],
        edge_unit=np.where(faces[:, 1] >= 0, part.edge_unit, -1)[keep],
        face_offsets=part.face_offsets[:-1],
        face_vertices=part.face_vertices[: part.face_offsets[-2]],
        **{name: getattr(part, name)[:-1] for name in of_faces},
    )


def vertex_at(part: pr.Partition, x: int, y: int) -> int:
    return next(i for i in range(part.n_vertices) if part.exact_vertex(i) == (x, y))


def first_inner(part: pr.Partition) -> int:
    return int(np.flatnonzero(part.is_inner)[0])


def with_first_face_turned_round(part: pr.Partition) -> pr.Partition:
    backwards = part.face_vertices.copy()
    backwards[: part.face_offsets[1]] = part.face(0)[::-1]
    return dataclasses.replace(part, face_vertices=backwards)


def with_two_faces_swapped_on_their_edge(part: pr.Partition) -> pr.Partition:
    e = first_inner(part)
    return damaged(part, "edge_faces", e, part.edge_faces[e, ::-1])


DAMAGES: dict[str, Callable[[pr.Partition], pr.Partition]] = {
    "inner vertex far off": lambda p: replace_vertex(p, vertex_at(p, 0, 0), (3, 0, 2)),
    "inner vertex slightly off": lambda p: replace_vertex(p, vertex_at(p, 0, 0), (1, 0, 2**40)),
    "inner vertex outside": lambda p: replace_vertex(p, vertex_at(p, 0, 0), (3, 0, 1)),
    "corner moved in": lambda p: replace_vertex(p, vertex_at(p, 1, 1), (1, 1, 2)),
    "rounded vertex off": lambda p: damaged(p, "vertex_xy", (vertex_at(p, 0, 0), 0), 1e-12),
    "two faces, one pattern": lambda p: damaged(p, "face_pattern", 0, p.face_pattern[1]),
    "flipped pattern": lambda p: damaged(p, "face_pattern", (0, 0), 1 - p.face_pattern[0, 0]),
    "wrong unit": lambda p: damaged(
        p, "edge_unit", first_inner(p), 1 - p.edge_unit[first_inner(p)]
    ),
    "unit on the border": lambda p: damaged(p, "edge_unit", int(np.flatnonzero(~p.is_inner)[0]), 0),
    "edge turned round": lambda p: damaged(
        p, "edge_vertices", first_inner(p), p.edge_vertices[first_inner(p), ::-1]
    ),
    "faces swapped": with_two_faces_swapped_on_their_edge,
    "face turned round": with_first_face_turned_round,
    "last face dropped": without_last_face,
    "affine pieces merged": lambda p: damaged(p, "face_affine_piece", 0, p.face_affine_piece[1]),
    "map slightly off": lambda p: damaged(p, "face_weight", (0, 0, 0), 5e-324),
    "two maps swapped": lambda p: damaged(p, "face_weight", [0, 1], p.face_weight[[1, 0]]),
    "maps swapped": lambda p: dataclasses.replace(p, face_weight=p.face_weight[::-1].copy()),
    "bias off": lambda p: damaged(p, "face_bias", (3, 0), 1e-12),
    "vertex that does not exist": lambda p: damaged(p, "face_vertices", 3, p.n_vertices),
    "negative vertex": lambda p: damaged(p, "edge_vertices", (0, 1), -1),
    "face that does not exist": lambda p: damaged(p, "edge_faces", (first_inner(p), 1), 99),
    "unit that does not exist": lambda p: damaged(p, "edge_unit", first_inner(p), 7),
    "offsets out of order": lambda p: damaged(p, "face_offsets", 1, 9),
    "offsets too long": lambda p: damaged(p, "face_offsets", 4, 99),
    "piece that does not exist": lambda p: damaged(p, "face_affine_piece", 2, 4),
    "a vertex too many": lambda p: dataclasses.replace(
        p,
        vertex_xy=np.append(p.vertex_xy, [[0, 0]], axis=0),
        vertex_error=np.append(p.vertex_error, [[0, 0]], axis=0),
        vertex_exact=(*p.vertex_exact, (0, 0, 1)),
    ),
    "a bias too few": lambda p: dataclasses.replace(p, face_bias=p.face_bias[1:].copy()),
    "no faces": lambda p: dataclasses.replace(p, face_offsets=np.zeros(0, dtype=np.int32)),
    "NaN": lambda p: damaged(p, "vertex_xy", 0, np.nan),
    "NaN for a bound": lambda p: damaged(p, "vertex_error", (0, 1), np.nan),
    "negative bound": lambda p: damaged(p, "vertex_error", 0, -1.0),
}

# A proper subdivision with numbers that contradict nothing: only the network can tell.
NETWORK_ONLY = ("map slightly off", "maps swapped")


@pytest.mark.parametrize("name", sorted(set(DAMAGES) - set(NETWORK_ONLY)))
def test_certificate_finds_damage(engine: str, name: str) -> None:
    part = DAMAGES[name](pr.partition(CROSS, (-1, 1), engine=engine))
    certified = part.certificate
    assert not certified.ok
    assert certified.failures
    assert f"  NO   {certified.failures[0].removeprefix('not so: ')}" in str(certified)


@pytest.mark.parametrize("name", NETWORK_ONLY)
def test_the_network_finds_the_rest(name: str) -> None:
    part = DAMAGES[name](pr.partition(CROSS, (-1, 1), engine="rational"))
    check(part)
    network = stack(CROSS)
    with pytest.raises(AssertionError):
        assert_same(part, network, (-1, 1))
    with pytest.raises(AssertionError):
        assert_maps(part, network)


@pytest.mark.parametrize(
    "name",
    [
        "inner vertex far off",
        "corner moved in",
        "face turned round",
        "flipped pattern",
        "wrong unit",
    ],
)
def test_the_invariants_of_the_tests_can_fail(engine: str, name: str) -> None:
    with pytest.raises(AssertionError):
        check(DAMAGES[name](pr.partition(CROSS, (-1, 1), engine=engine)))


@pytest.mark.parametrize(
    ("name", "found_by"),
    [
        ("two faces, one pattern", "patterns_distinct"),
        ("face turned round", "faces_convex"),
        ("inner vertex far off", "faces_convex"),
        ("inner vertex slightly off", "maps_continuous"),
        ("corner moved in", "border_closed"),
        ("last face dropped", "border_closed"),
        ("edge turned round", "sides_matched"),
        ("faces swapped", "sides_matched"),
        ("wrong unit", "labels_consistent"),
        ("unit on the border", "labels_consistent"),
        ("affine pieces merged", "pieces_consistent"),
        ("two maps swapped", "maps_continuous"),
        ("bias off", "maps_continuous"),
        ("rounded vertex off", "coordinates_bounded"),
        ("vertex that does not exist", "arrays_valid"),
        ("negative vertex", "arrays_valid"),
        ("face that does not exist", "arrays_valid"),
        ("unit that does not exist", "arrays_valid"),
        ("offsets out of order", "arrays_valid"),
        ("offsets too long", "arrays_valid"),
        ("piece that does not exist", "arrays_valid"),
        ("a bias too few", "arrays_valid"),
        ("no faces", "arrays_valid"),
        ("NaN", "arrays_valid"),
        ("NaN for a bound", "arrays_valid"),
        ("negative bound", "arrays_valid"),
    ],
)
def test_damage_is_found_by_the_check_for_it(engine: str, name: str, found_by: str) -> None:
    part = DAMAGES[name](pr.partition(CROSS, (-1, 1), engine=engine))
    assert not getattr(part.certificate, found_by)


@pytest.mark.parametrize(
    ("name", "found_by"),
    [
        ("vertex that does not exist", "points nowhere"),
        ("offsets out of order", "points nowhere"),
        ("a bias too few", "lengths"),
        ("no faces", "lengths"),
        ("a vertex too many", r"V - E \+ F is 2"),
        ("edge turned round", "sides"),
        ("faces swapped", "sides"),
        ("last face dropped", r"V - E \+ F|add up"),
        ("face turned round", "sides"),
        ("corner moved in", "add up"),
        ("NaN", "not finite"),
        ("NaN for a bound", "not finite"),
        ("inner vertex outside", "has no area"),
    ],
)
def test_quick_check_finds_damage(engine: str, name: str, found_by: str) -> None:
    part = pr.partition(CROSS, (-1, 1), engine=engine)
    quick(part)
    with pytest.raises(pr.CertificateError, match=found_by) as caught:
        quick(DAMAGES[name](part))
    assert len(caught.value.failures) == 1
    assert "report" in str(caught.value)
    assert repr(engine) in str(caught.value)


def test_quick_check_finds_a_border_in_two_pieces() -> None:
    # The inner one of 3 x 3 squares gone: a second border around the hole, and V - E + F is 0.
    layers = [([[1, 0], [1, 0], [0, 1], [0, 1]], [1, -1, 1, -1]), ([[1] * 4], [0])]
    part = pr.partition(layers, (-3, 3), engine="rational")
    middle = int(part.locate([[0.0, 0.0]])[0])
    order = [f for f in range(9) if f != middle] + [middle]
    rank = np.argsort(order)
    cycles = [part.face(f) for f in order]
    moved = dataclasses.replace(
        part,
        edge_faces=np.where(part.edge_faces >= 0, rank[part.edge_faces], -1),
        face_offsets=np.cumsum([0, *map(len, cycles)]),
        face_vertices=np.concatenate(cycles),
        **{
            name: getattr(part, name)[order].copy()
            for name in ("face_pattern", "face_weight", "face_bias", "face_affine_piece")
        },
    )
    quick(moved)
    holed = without_last_face(moved)
    holed = dataclasses.replace(holed, face_affine_piece=np.arange(8))
    assert not certify(holed).border_closed
    with pytest.raises(pr.CertificateError, match="V - E"):
        quick(holed)
    status = certificate._self_check(holed, np.empty(2))
    from polyregions import checks

    assert status == checks.BORDER_OPEN


def test_certificate_finds_a_missing_face(engine: str) -> None:
    certified = without_last_face(pr.partition(CROSS, (-1, 1), engine=engine)).certificate
    assert not certified.ok
    assert abs(certified.faces_area - 3) <= certified.faces_area_error
    assert certified.domain_area == 4


def test_a_vertex_off_a_slanted_side_is_found(engine: str) -> None:
    part = pr.partition(CROSS, SLANTED, engine=engine)
    corners = {exact.point(*xy) for xy in part.domain.xy.tolist()}
    border = np.unique(part.edge_vertices[~part.is_inner])
    v = next(int(v) for v in border if part.vertex_exact[v] not in corners)
    x, y, w = part.vertex_exact[v]
    assert part.certificate.border_closed
    # Within the bounds of its coordinates, and off the border all the same.
    triples = list(part.vertex_exact)
    triples[v] = x * 2**80 + w, y * 2**80 + 2 * w, w * 2**80
    assert not dataclasses.replace(part, vertex_exact=tuple(triples)).certificate.border_closed


def test_maps_known_without_error_have_one_number_if_equal() -> None:
    part = pr.partition([([[1, 0], [0, 1]], [0, 0]), ([[0, 0]], [1])], engine="exact")
    assert part.count().affine_pieces == 1
    exactly = dataclasses.replace(
        part,
        face_weight_error=np.zeros_like(part.face_weight),
        face_bias_error=np.zeros_like(part.face_bias),
    )
    assert exactly.certificate.ok
    apart = damaged(exactly, "face_affine_piece", 0, 1)
    assert not apart.certificate.pieces_consistent
    assert damaged(part, "face_affine_piece", 0, 1).certificate.pieces_consistent


def test_patterns_that_differ_in_one_unit_of_many() -> None:
    # Rows longer than a word of the hash, and not a whole number of words.
    from polyregions.checks import fill_hashes

    rng = np.random.default_rng(0)
    rows = np.repeat(rng.integers(0, 2, (1, 203), dtype=np.uint8), 204, axis=0)
    rows[np.arange(203), np.arange(203)] ^= 1
    hashes = np.empty(204, dtype=np.uint64)
    with np.errstate(over="ignore"):
        fill_hashes(rows, hashes)
    assert len(set(hashes.tolist())) == 204
