"""Which faces have the same affine map: how they are sorted, and what becomes of it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from networks import folding, random_layers, stack
from test_engine import arrays_of, assert_agrees
from test_graph_networks import built

from polyregions.domain import as_domain
from polyregions.engine import pieces, subdivide
from polyregions.engine.crew import Crew
from polyregions.engine.layers import compile_layers
from polyregions.engine.watch import Watch
from polyregions.network import Network
from polyregions.progress import Reporter
from polyregions.reference import subdivide as subdivide_rational

if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":  # then NumPy warns where kernels overflow
    pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_BUCKET": 4, "_SAMPLE": 2, "_CHUNK": 8, "_FACES": 8, "_RUNS": 2}.items():
        monkeypatch.setattr(pieces, name, value)


def linked(ends: np.ndarray) -> set[frozenset[int]]:
    """Sets of at least two intervals that overlap, or are linked by others, pair by pair."""
    low, high = ends.T
    meet = (low[:, None] <= high) & (low <= high[:, None])
    todo, found = set(range(len(ends))), set()
    while todo:
        together, fresh = set(), {todo.pop()}
        while fresh:
            together |= fresh
            fresh = set(np.flatnonzero(meet[list(fresh)].any(axis=0)).tolist()) - together
        todo -= together
        if len(together) > 1:
            found.add(frozenset(together))
    return found


INTERVALS = {
    "apart": lambda rng, n: np.repeat(rng.permutation(n)[:, None] * 1.0, 2, axis=1),
    "pairs": lambda rng, n: np.repeat((rng.permutation(n) // 2)[:, None] * 1.0, 2, axis=1),
    "equal": lambda rng, n: np.zeros((n, 2)),
    "touching": lambda rng, n: rng.permutation(n)[:, None] // 3 * 4 + [0.0, 1.0] * np.ones((n, 1)),
    "chain": lambda rng, n: rng.permutation(n)[:, None] + np.array([0.0, 1.0]),
    "narrow": lambda rng, n: rng.normal(size=(n, 1)) + np.array([-1e-3, 1e-3]),
    "mixed": lambda rng, n: (
        rng.normal(size=(n, 1)) + rng.exponential(size=(n, 1)) ** 4 * 1e-4 * np.array([-1, 1])
    ),
    "one that covers many": lambda rng, n: np.vstack(
        [[(0.0, 0.5)], rng.permutation(n - 1)[:, None] / (n - 1) - 0.25 + np.zeros((1, 2))]
    ),
    "one that covers all": lambda rng, n: np.vstack(
        [
            rng.permutation(n - 1)[:, None] + np.zeros((1, 2)),
            [np.array([-1, 1]) * np.finfo(float).max],
        ]
    ),
}


@pytest.mark.usefixtures("small_buckets")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", INTERVALS)
def test_intervals_that_overlap_are_found_whatever_bucket_they_are_in(
    kind: str, threads: int
) -> None:
    for seed, n in enumerate([2, 3, 9, 40, 41, 300]):
        ends = np.ascontiguousarray(INTERVALS[kind](np.random.default_rng(seed), n))
        with Crew(threads) as crew:
            crowd, start = pieces._overlapping(ends, Watch(crew, Reporter(), 1, None, 1))
        runs = [frozenset(run.tolist()) for run in np.split(crowd, start[1:-1])]
        assert len(set(crowd.tolist())) == len(crowd) == start[-1]
        assert set(runs) - {frozenset()} == linked(ends), (seed, n)


NETWORKS = {
    "all maps differ": lambda: stack(random_layers((2, 9, 9, 3), 0)),
    "small integers": lambda: stack(random_layers((2, 8, 8, 2), 1, "integer")),
    "leaky": lambda: stack(random_layers((2, 8, 8, 1), 2), "leaky"),
    "few maps": lambda: stack(folding(3)),
    "constant": lambda: stack([*random_layers((2, 9, 4), 3), (np.zeros((2, 4)), [1.0, 2.0])]),
    "one unit is read": lambda: stack(
        [*random_layers((2, 9, 6), 4), (np.eye(2, 6) * [[1e-9], [3.0]], np.array([1e9, 0.1]))]
    ),
    "overflow": lambda: stack(
        [(w * 2.0**e, b * 2.0**e) for (w, b), e in zip(
            random_layers((2, 7, 7, 1), 5), (600, 500, -1000), strict=True
        )]
    ),
}  # fmt: skip


@pytest.mark.usefixtures("small_buckets")
@pytest.mark.parametrize("name", NETWORKS)
def test_buckets_do_not_change_which_maps_are_equal(name: str) -> None:
    assert_agrees(NETWORKS[name]())


@pytest.mark.parametrize("name", NETWORKS)
def test_buckets_and_threads_do_not_change_a_byte(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, domain = NETWORKS[name](), as_domain((-1, 1))
    whole = arrays_of(subdivide(network, domain, max_regions=10**5))
    for bucket, threads in ((1, 1), (8, 2), (64, 2)):
        monkeypatch.setattr(pieces, "_BUCKET", bucket)
        monkeypatch.setattr(pieces, "_CHUNK", 16)
        monkeypatch.setattr(pieces, "_FACES", 16)
        monkeypatch.setattr(pieces, "_RUNS", 1)
        part = subdivide(network, domain, max_regions=10**5, threads=threads)
        assert arrays_of(part) == whole


def what_counts(network: Network, pattern: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in pieces._what_counts(pattern, compile_layers(network))]


@pytest.mark.parametrize("weights", ["normal", "ternary", "zero_bias"])
@pytest.mark.parametrize(
    "name",
    ["residual blocks", "convolution of a picture", "pool of a pool", "windows that overlap",
     "maximum of activations", "input skips everything", "leaky and clamped"],
)  # fmt: skip
def test_what_does_not_count_does_not_change_a_map(
    name: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        network = built(name, seed, weights)
        part = subdivide_rational(network, as_domain((-2, 2)), max_regions=10**4)
        rows = what_counts(network, part.face_pattern)
        pairs = set(zip(rows, part.face_affine_piece.tolist(), strict=True))
        assert len(pairs) == len(set(rows)), "one row, two maps"
        if weights == "normal":  # then only what does not count can make maps equal
            assert len(pairs) == len(set(part.face_affine_piece.tolist())), "one map, two rows"
        monkeypatch.setattr(pieces, "_VALUES", 1)
        assert what_counts(network, part.face_pattern) == rows
        monkeypatch.undo()
