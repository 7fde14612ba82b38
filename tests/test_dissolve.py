"""Taking edges out of a complex."""

from itertools import pairwise

import numpy as np
import pytest

from polyregions.domain import Domain, Plane, Tiling
from polyregions.engine import complex as complexes
from polyregions.engine.complex import Complex
from polyregions.engine.crew import Crew
from polyregions.engine.dissolve import Dissolved, dissolve


class Grid(Domain):
    """A box in rectangles, the corners of the box first, the others in any order."""

    def __init__(self, x: list[float], y: list[float], rng: np.random.Generator) -> None:
        super().__init__(np.array([(x[0], y[0]), (x[-1], y[0]), (x[-1], y[-1]), (x[0], y[-1])]))
        corners = [tuple(p) for p in self.xy.tolist()]
        others = [(a, b) for a in x for b in y if (a, b) not in corners]
        points = corners + [others[i] for i in rng.permutation(len(others))]
        number = {p: i for i, p in enumerate(points)}
        faces = [
            [number[p] for p in ((a, c), (b, c), (b, d), (a, d))]
            for a, b in pairwise(x)
            for c, d in pairwise(y)
        ]
        faces = [np.roll(faces[i], rng.integers(4)).tolist() for i in rng.permutation(len(faces))]
        self.__dict__["tiling"] = Tiling.of(np.array(points), faces)


def start(domain: Domain) -> Complex:
    """Its first complex, with one line for each side of the box."""
    old, _ = complexes.start(domain)
    xy = np.stack([old.vx, old.vy], axis=1)
    for e in np.flatnonzero(old.ef[:, 1] < 0):
        p, q = xy[old.ev[e]]
        low = p[0] == q[0] == domain.xy[0, 0] or p[1] == q[1] == domain.xy[0, 1]
        old.edge_line[e] = 1000 + 2 * (p[0] == q[0]) + low
    return old


def shapes(some: Complex) -> tuple[set, dict]:
    """Faces as sets of corners, and edges with the faces on their sides, by coordinates alone."""
    points = list(zip(some.vx.tolist(), some.vy.tolist(), strict=True))
    faces = []
    for begin, end in pairwise(some.face_start.tolist()):
        cycle = [some.ev[h >> 1, h & 1] for h in some.half_edges[begin:end]]
        ends = [some.ev[h >> 1, 1 - (h & 1)] for h in some.half_edges[begin:end]]
        assert ends == cycle[1:] + cycle[:1]
        faces.append(frozenset(points[v] for v in cycle))
        assert len(faces[-1]) == len(cycle)
    edges = {}
    for ends, sides in zip(some.ev.tolist(), some.ef.tolist(), strict=True):
        on_sides = [faces[f] if f >= 0 else None for f in sides]
        assert on_sides[0] is not None
        edges[frozenset(points[v] for v in ends)] = frozenset(on_sides)
    assert len(edges) == some.n_edges
    return set(faces), edges


def between(old: Complex, x: list[float], y: list[float]) -> np.ndarray:
    """Which edges are on no line ``x = const`` or ``y = const`` of a coarser grid."""
    p, q = old.ev.T
    upright = old.vx[p] == old.vx[q]
    return np.where(upright, ~np.isin(old.vx[p], x), ~np.isin(old.vy[p], y))


@pytest.mark.parametrize("seed", range(5))
def test_a_fine_grid_becomes_a_coarse_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (sorted(rng.choice(50, size=9, replace=False).tolist()) for _ in range(2))
    coarse = [[v[0], *sorted(rng.choice(v[1:-1], size=2, replace=False).tolist()), v[-1]]
              for v in (x, y)]  # fmt: skip
    old = start(Grid(x, y, rng))
    with Crew(1) as crew:
        done = dissolve(old, between(old, *coarse), crew)
    expected, _ = complexes.start(Grid(*coarse, rng))
    assert shapes(done.complex) == shapes(expected)
    check_numbers(old, done)


def check_numbers(old: Complex, done: Dissolved) -> None:
    """What the maps from old to new promise."""
    new = done.complex
    kept = done.vertex >= 0
    assert done.vertex[kept].tolist() == list(range(new.n_vertices))
    for old_values, new_values in zip(old.vertices, new.vertices, strict=True):
        assert np.array_equal(old_values[kept], new_values)
    left = np.flatnonzero(done.edge >= 0)
    lowest = np.array([left[done.edge[left] == e].min() for e in range(new.n_edges)])
    assert (np.diff(lowest) > 0).all()
    assert np.array_equal(new.edge_line, old.edge_line[lowest])
    # An edge goes the way of its lowest part, so it has the same faces on the same hands.
    sides = old.ef[lowest]
    assert np.array_equal(new.ef, np.where(sides < 0, -1, done.face[sides]))
    lowest_face = np.unique(done.face, return_index=True)[1]
    assert (np.diff(lowest_face) > 0).all()


def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyregions.engine.dissolve._FACES", 3)
    rng = np.random.default_rng(0)
    x = list(range(20))
    old = start(Grid(x, x, rng))
    removed = between(old, [0, 3, 4, 11, 19], [0, 7, 19])
    results = []
    for threads in (1, 4):
        with Crew(threads) as crew:
            results.append(dissolve(old, removed, crew))
    one, many = results
    for name in ("vx", "vy", "dx", "dy", "ev", "ef", "edge_line", "face_start", "half_edges"):
        arrays = [getattr(done.complex, name).tobytes() for done in (one, many)]
        assert arrays[0] == arrays[1], name


def test_faces_take_the_numbers_they_are_given() -> None:
    old = start(Grid([0, 1, 2, 3], [0, 1], np.random.default_rng(1)))
    removed = between(old, [0, 1, 3], [0, 1])
    with Crew(1) as crew:
        plain = dissolve(old, removed, crew)
        turned = dissolve(old, removed, crew, face=1 - plain.face)
    assert shapes(turned.complex) == shapes(plain.complex)
    assert np.array_equal(turned.face, 1 - plain.face)


def test_nothing_to_take_out() -> None:
    old = start(Grid([0, 1, 3], [0, 1, 2], np.random.default_rng(2)))
    with Crew(1) as crew:
        done = dissolve(old, np.zeros(old.n_edges, dtype=bool), crew)
    assert shapes(done.complex) == shapes(old)
    assert np.array_equal(done.complex.half_edges, old.half_edges)


def test_rings_around_a_box_become_the_box() -> None:
    old, _ = complexes.start(Plane(64.0, [1.0, 4.0]))
    assert (old.n_vertices, old.n_edges, old.n_faces) == (12, 20, 9)
    with Crew(1) as crew:
        done = dissolve(old, old.ef[:, 1] >= 0, crew)
    assert shapes(done.complex) == shapes(complexes.start(Plane(64.0))[0])
