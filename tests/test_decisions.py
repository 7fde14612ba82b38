"""Decision regions: the unit that chooses among the outputs, and its picture."""

from __future__ import annotations

import numpy as np
import pytest
from networks import random_layers, real_network
from shapely import Point, Polygon

import polyregions as pr
from polyregions.network import Affine, Network


@pytest.mark.parametrize("least", [False, True])
@pytest.mark.parametrize("engine", ["rational", "exact"])
def test_decision_is_the_largest_or_least_output(engine: str, least: bool) -> None:
    model = random_layers((2, 6, 5, 4), 3)
    part = pr.partition(pr.with_decision(model, least=least), engine=engine)
    scores = pr.lower(model)
    points = part.centroids
    values = scores(points)
    expected = values.argmin(axis=1) if least else values.argmax(axis=1)
    ordered = np.sort(values, axis=1)
    gap = np.diff(ordered)[:, 0 if least else -1]
    clear = gap > 1e-9  # elsewhere rounding of the sampled values may tell another winner
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(part.face_decision[clear], expected[clear])
    best = values.min(axis=1) if least else values.max(axis=1)
    np.testing.assert_allclose(part(points)[:, 0], -best if least else best, atol=1e-12)


def test_both_engines_find_the_same_decisions() -> None:
    network = pr.with_decision(random_layers((2, 8, 8, 3), 1))
    parts = [pr.partition(network, (-3, 3), engine=engine) for engine in ("rational", "exact")]
    patterns = [set(map(bytes, part.face_pattern)) for part in parts]
    assert patterns[0] == patterns[1]
    assert set(parts[0].vertex_exact) == set(parts[1].vertex_exact)
    assert parts[1].certificate.ok


def test_three_planes_meet_in_one_point() -> None:
    scores = Network((Affine([[1, 0], [0, 1], [-1, -1]], [0, 0, 0]),), 2)
    part = pr.partition(pr.with_decision(scores))
    assert sorted(part.face_decision.tolist()) == [0, 1, 2]
    assert (0, 0) in {part.exact_vertex(v) for v in range(part.n_vertices)}
    artists = pr.plot.decisions(part, labels=["a", "b", "c"], edges=True)
    assert len(artists.boundaries.get_paths()) == 3
    assert artists.key is not None
    assert [text.get_text() for text in artists.key.get_texts()] == ["a", "b", "c"]


def test_equal_outputs_are_decided_for_the_first() -> None:
    scores = Network((Affine([[1, 0], [1, 0]], [0, 0]),), 2)
    part = pr.partition(pr.with_decision(scores))
    assert part.face_decision.tolist() == [0]


def test_one_output_is_no_decision() -> None:
    with pytest.raises(ValueError, match="between two outputs"):
        pr.with_decision(random_layers((2, 3, 1), 0))


def test_partitions_without_a_decision_are_refused() -> None:
    part = pr.partition(random_layers((2, 3, 2), 0))
    with pytest.raises(ValueError, match="with_decision"):
        _ = part.face_decision


def test_missing_labels_and_broken_transforms_are_refused() -> None:
    part = pr.partition(pr.with_decision(Network((Affine([[1, 0], [-1, 0]], [0, 0]),), 2)))
    with pytest.raises(ValueError, match="labels must name every output"):
        pr.plot.decisions(part, labels=["only one"])
    with pytest.raises(ValueError, match="one finite point"):
        pr.plot.decisions(part, transform=lambda xy: xy[:1])


def test_bent_edges_are_drawn_through_points_of_theirs() -> None:
    """A square in polar coordinates is a disc: the areas drawn are those of the sectors."""
    network = pr.with_decision(Network((Affine([[1, 0], [0, 1], [-1, -1]], [-1, 0, 1]),), 2))
    part = pr.partition(network, (0, -np.pi, 2, np.pi))

    def polar(xy: np.ndarray) -> np.ndarray:
        return xy[:, :1] * np.stack([np.cos(xy[:, 1]), np.sin(xy[:, 1])], axis=1)

    artists = pr.plot.decisions(part, transform=polar)
    drawn = [Polygon(path.vertices) for path in artists.faces.get_paths()]
    assert sum(p.area for p in drawn) == pytest.approx(4 * np.pi, rel=1e-3)
    for path, f in zip(artists.faces.get_paths(), range(len(part)), strict=True):
        corners = polar(part.vertex_xy[part.face(f)])
        radius, angle = np.hypot(*path.vertices.T), np.arctan2(*path.vertices.T[::-1])
        inside = part.polygon(f).buffer(1e-9)
        assert {tuple(c) for c in corners} <= {tuple(v) for v in path.vertices}
        assert all(inside.covers(Point(p)) for p in zip(radius, angle, strict=True) if p[0] > 0)
    lengths = [np.hypot(*np.diff(p.vertices, axis=0).T) for p in artists.boundaries.get_paths()]
    assert max(np.concatenate(lengths)) < 0.2
    plain = pr.plot.decisions(part)
    assert len(plain.faces.get_paths()[0].vertices) == len(part.face(0)) + 1


def test_advisories_of_a_collision_avoidance_network() -> None:
    """Own ship and intruder at 150 ft/s, head on: all five advisories occur, exactly bounded."""
    model = pr.load_model(real_network("ACASXU_run2a_1_1_batch_2000.nnet"))
    plane = pr.Slice.axes(0, 1, at=[0, 0, -np.pi, 150, 150])
    box = (0, -np.pi, float(np.hypot(10000, 6000)), np.pi)
    part = pr.partition(pr.with_decision(model, least=True), box, slice=plane)
    assert len(part) > pr.count_regions(model, box, slice=plane).activation_regions > 10_000
    assert set(part.face_decision.tolist()) == {0, 1, 2, 3, 4}
    rng = np.random.default_rng(0)
    points = rng.uniform(box[:2], box[2:], (10_000, 2))
    scores = pr.lower(model)(plane(points))
    ordered = np.sort(scores, axis=1)
    clear = ordered[:, 1] - ordered[:, 0] > 1e-6
    assert clear.mean() > 0.99
    found = part.face_decision[part.locate(points)]
    np.testing.assert_array_equal(found[clear], scores.argmin(axis=1)[clear])


def test_the_shape_of_an_input_can_be_told() -> None:
    from torch import nn

    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert pr.with_decision(model, shape=(1, 4, 4)).n_inputs == 16
    for shape in (4, "wide", (1.0, 4, 4)):
        with pytest.raises(TypeError, match="shape must be a tuple of integers"):
            pr.with_decision(model, shape=shape)
