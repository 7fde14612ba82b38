"""The compiled engine against the rational one, whole complexes; and its own predicates."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import os
import subprocess
import sys
import time
import tracemalloc
import weakref
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from networks import pencil, random_layers, sawtooth, stack, tangents, torch_layers

import polyregions as pr
from polyregions.domain import as_domain
from polyregions.engine import kernels, maps, splitting, subdivide, subdivision, watch
from polyregions.engine import layers as layers_module
from polyregions.engine.crew import Crew
from polyregions.engine.layers import compile_layers
from polyregions.engines import faces_by_layer
from polyregions.network import Affine, leaky_relu, relu
from polyregions.reference import subdivide as subdivide_rational

SOAK = Path(__file__).parent.parent / "scripts" / "soak.py"


def load_soak() -> ModuleType:
    spec = importlib.util.spec_from_file_location("soak", SOAK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(SOAK.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SOAK.parent))
    return module


soak = load_soak()


def assert_agrees(network: pr.Network, domain: object = (-1, 1)) -> pr.Partition:
    polygon = as_domain(domain)
    part = subdivide(network, polygon, max_regions=10**5)
    reference = subdivide_rational(network, polygon, max_regions=10**5)
    assert soak.differences(part, reference) == []
    return part


@pytest.mark.parametrize("block", range(10))
def test_agrees_with_the_reference_on_random_networks(block: int) -> None:
    for seed in range(30 * block, 30 * block + 30):
        _, network, domain = soak.random_case(seed)
        mine, theirs = (
            soak.outcome(engine, network, domain, 1500)
            for engine in (subdivide, subdivide_rational)
        )
        if isinstance(theirs, str):
            assert mine == theirs
        else:
            assert soak.differences(mine, theirs) == [], f"network {seed}"


def test_an_interval_that_covers_earlier_ones_joins_them() -> None:
    # Two nearly equal lines: where they cross each other on a chord is uncertain all along it,
    # so this crossing may lie before others whose own order is certain.
    _, network, domain = soak.random_case(7044)
    part = subdivide(network, domain, max_regions=10**5)
    assert soak.differences(part, subdivide_rational(network, domain, max_regions=10**5)) == []


@pytest.mark.parametrize(
    "layers",
    [
        pencil(12, 0.1, exact=False),
        pencil(12, 0.125, exact=True),
        tangents(30),
        sawtooth(5),
        random_layers((2, 9, 9, 9, 2), 3, "zero_bias"),
        random_layers((2, 20, 10, 1), 5),
        torch_layers((2, 12, 12, 12, 1)),
    ],
    ids=["near pencil", "pencil", "tangents", "sawtooth", "zero bias", "wide", "deep"],
)
def test_agrees_with_the_reference(layers: list) -> None:
    assert_agrees(stack(layers), (-10, 10))


def test_a_first_layer_with_many_lines_in_one_face() -> None:
    # More lines than are sorted by insertion, and more children than one run of siblings.
    layers = [*random_layers((2, 45), 1), *random_layers((45, 4, 1), 2)]
    part = assert_agrees(stack(layers), (-3, 3))
    assert part.n_faces > kernels.CHUNK


@pytest.mark.parametrize("exponent", [-500, -60, 60, 400])
def test_scaling_by_powers_of_two_changes_nothing(exponent: int) -> None:
    layers = random_layers((2, 7, 6, 1), 11)
    factor = 2.0**exponent
    scaled = [
        (layers[0][0] * factor, layers[0][1] * factor),
        (layers[1][0], layers[1][1] * factor),
        (layers[2][0] / factor, layers[2][1]),
    ]
    domain = as_domain((-1, 1))
    one, two = (subdivide(stack(w), domain, max_regions=10**5) for w in (layers, scaled))
    assert sorted(one.vertex_exact) == sorted(two.vertex_exact)
    assert {r.tobytes() for r in one.face_pattern} == {r.tobytes() for r in two.face_pattern}


def test_what_underflows_is_not_zero() -> None:
    # The domain has x < 0, where the first unit gives -x * 2**-600 * 1e-200, which float64 takes
    # for zero; the next unit turns that round and is active.
    steps = (
        Affine(np.array([[1e-200, 0.0], [3.0, 1.0]]), np.array([0.0, 0.1])),
        leaky_relu(2, 2.0**-600),
        Affine(np.array([[-1e-200, 0.0], [0.0, 1.0]]), np.zeros(2)),
        relu(2),
        Affine(np.array([[1.0, 1.0]]), np.zeros(1)),
    )
    part = assert_agrees(pr.Network(steps, 2), (-2, -1))
    assert set(part.face_pattern[:, 2]) == {1}


def test_a_domain_of_subnormal_size() -> None:
    layers = [([[1.0, 2.0], [2.0, -1.0]], [0.0, -1e-310]), ([[1.0, 1.0]], [0.0])]
    assert assert_agrees(stack(layers), (-4e-310, 5e-310)).n_faces == 4


def arrays_of(part: pr.Partition) -> dict[str, bytes]:
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return {name: v.tobytes() for name, v in values.items() if isinstance(v, np.ndarray)}


def test_threads_do_not_change_a_byte() -> None:
    network = stack(torch_layers((2, 64, 64, 32, 2)))
    domain = as_domain((-8, 8))
    parts = [subdivide(network, domain, max_regions=10**6, threads=n) for n in (1, 2, 5)]
    assert parts[0].n_faces > 10_000
    first, *others = map(arrays_of, parts)
    assert len(first) >= 14
    for other in others:
        assert other == first


@pytest.mark.parametrize("kind", ["ordinary", "zero_bias", "four_bit"])
def test_blocks_do_not_change_a_byte(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    widths = (2, 24, 24, 24, 3)
    layers = torch_layers(widths) if kind == "ordinary" else random_layers(widths, 1, kind)
    domain = as_domain((-4, 4))
    whole = arrays_of(subdivide(stack(layers), domain, max_regions=10**6))
    # Small blocks, and no maps kept, so that they are worked out again from parent to parent.
    monkeypatch.setattr(splitting, "_BLOCK", 1)
    monkeypatch.setattr(splitting, "_BLOCKS_AT_ONCE", 3)
    monkeypatch.setattr(splitting, "_FACES", 7)
    monkeypatch.setattr(splitting, "_EDGES", 11)
    monkeypatch.setattr(splitting, "_MOMENT", 0)
    monkeypatch.setattr(subdivision, "_MAPS_ROOM", 0)
    worked_out = []
    original = maps.Level.work_out

    def work_out(self: maps.Level, *args: Any) -> Any:
        worked_out.append(self.kept is None)
        return original(self, *args)

    monkeypatch.setattr(maps.Level, "work_out", work_out)
    assert arrays_of(subdivide(stack(layers), domain, max_regions=10**6)) == whole
    assert any(worked_out), "maps were kept after all"


def test_passes_at_once_or_one_by_one_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_by(network: pr.Network, domain: Any) -> tuple[Any, ...] | str:
        part = soak.outcome(subdivide, network, domain, 1500)
        if isinstance(part, str):
            return part
        made = part.vertex_exact.provenance
        cuts = [a.tolist() for a in (*made.line_face, *made.line_number, *made.face_start)]
        stages.append(set(part.seconds))
        return arrays_of(part), dict(part.decisions), made.vertex_lines.tolist(), cuts

    cases = [soak.random_case(seed)[1:] for seed in range(60)]
    stages: list[set[str]] = []
    at_once = [made_by(*case) for case in cases]
    finished_at_once = ["chords" not in stage for stage in stages]
    # Some have layers with something left open, which then go through the passes one by one.
    assert any(finished_at_once)
    assert not all(finished_at_once)
    monkeypatch.setattr(splitting, "_MOMENT", 0)
    stages.clear()
    assert [made_by(*case) for case in cases] == at_once
    assert not any(watch.ALL_PASSES in stage for stage in stages)


def test_layers_of_a_small_network_are_remembered_while_it_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = stack(random_layers((2, 5, 4, 1), 0))
    one, two = compile_layers(network), compile_layers(network)
    assert one is not two  # so that nobody can change what is remembered
    assert all(a is b for a, b in zip(one, two, strict=True))
    ref = weakref.ref(one[0])
    del one, two, network
    gc.collect()
    assert ref() is None
    network = stack(random_layers((2, 5, 4, 1), 0))
    monkeypatch.setattr(layers_module, "_REMEMBERED", 5 * 2 + 4 * 5 + 4 - 1)
    assert compile_layers(network)[0] is not compile_layers(network)[0]


@pytest.mark.parametrize("block", [1, 5, 1000])
def test_counts_are_those_of_the_reference(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subdivision, "_BLOCK_OF_FACES", block)
    seen = 0
    for seed in range(60):
        _, network, domain = soak.random_case(seed)
        theirs = soak.outcome(subdivide_rational, network, domain, 300)
        if not isinstance(theirs, str):
            counts = subdivision.count(network, domain, max_regions=300)
            assert counts == faces_by_layer(theirs), f"network {seed}"
            seen += len(counts) > 1
    assert seen > 20


def test_counting_takes_less_memory_than_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subdivision, "_BLOCK_OF_FACES", 500)
    network, domain = stack(torch_layers((2, 32, 32, 32, 32, 1))), as_domain((-20, 20))
    peaks = []
    for run in (subdivision.count, subdivide):
        run(network, as_domain((-1, 1)), max_regions=10**6)  # compiles
        tracemalloc.start()
        run(network, domain, max_regions=10**6)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 3


def test_limit_of_memory_says_what_was_done() -> None:
    network = torch_layers((2, 100, 100, 100, 1))
    with pytest.raises(pr.LimitError, match="more than max_memory") as caught:
        pr.partition(network, (-9, 9), max_memory=30_000_000)
    assert caught.value.counts
    assert caught.value.counts == pr.count_regions(network, (-9, 9)).by_layer[: caught.value.layer]


def test_limit_of_regions_stops_counting() -> None:
    network = torch_layers((2, 40, 40, 40, 1))
    with pytest.raises(pr.LimitError, match="counted so far") as caught:
        pr.count_regions(network, (-9, 9), max_regions=1000, engine="exact")
    assert max(caught.value.counts) > 1000


INTERRUPTED = """
import os, signal, sys, threading, time
import polyregions as pr
from networks import stack, torch_layers

pr.partition(torch_layers((2, 9, 9, 1)), engine="exact")  # compiles
run = getattr(pr, sys.argv[1])
network = stack(torch_layers((2, 3000, 1)))
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    run(network, (-10, 10), engine="exact", max_regions=10**8, max_memory=2**40)
except pr.Interrupted as stop:
    print("stopped", stop)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent in another way there")
@pytest.mark.parametrize("function", ["partition", "count_regions"])
def test_interruption_in_the_midst_of_one_face(function: str) -> None:
    # Several million regions from one face: all of the work is single calls of kernels.
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, function],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stopped interrupted")


def test_an_error_of_a_callable_stops_the_work() -> None:
    def refuse(event: pr.progress.Progress) -> None:
        if event.layer == 1:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        pr.partition(torch_layers((2, 9, 9, 9, 1)), engine="exact", progress=refuse)


def test_events_count_up() -> None:
    events: list[Any] = []
    part = pr.partition(
        torch_layers((2, 30, 30, 1)), (-9, 9), engine="exact", progress=events.append
    )
    assert [e.layer for e in events] == sorted(e.layer for e in events)
    assert {e.n_layers for e in events} == {2}
    assert events[-1].counts[-1] == len(part)
    assert all(0 <= e.share <= 1 for e in events)


def test_ordinary_networks_need_no_integers() -> None:
    part = pr.partition(torch_layers((2, 32, 32, 1)), (-2, 2), engine="exact")
    decisions = part.certificate.decisions
    assert decisions["float64"] > 10_000
    assert decisions["integer"] <= decisions["float64"] // 1000


def test_certificate_holds() -> None:
    part = pr.partition(random_layers((2, 8, 8, 1), 0), engine="exact")
    assert part.certificate.ok, str(part.certificate)


def test_common_point_of_a_network_without_biases_is_exact() -> None:
    part = assert_agrees(stack(random_layers((2, 16, 16, 1), 4, "zero_bias")))
    origin = np.flatnonzero((part.vertex_xy == 0).all(axis=1))
    assert len(origin) == 1
    assert part.exact_vertex(int(origin[0])) == (0, 0)
    # Lines behind the first layer pass through the origin without any integer arithmetic.
    assert part.certificate.decisions["integer"] <= 16 * 15


def test_limit_stops_before_the_layer_is_built() -> None:
    with pytest.raises(pr.LimitError, match="activation layer 1") as caught:
        pr.partition(torch_layers((2, 20, 20, 20, 1)), (-9, 9), engine="exact", max_regions=300)
    assert caught.value.layer == 1
    assert len(caught.value.counts) == 1


def test_maps_too_large_for_float64_are_an_overflow() -> None:
    layers = [([[1e200, 0.0]], [0.0]), ([[1e200]], [0.0])]
    with pytest.raises(OverflowError, match="too large"):
        pr.partition(layers, engine="exact")


def test_steps_without_an_activation() -> None:
    part = pr.partition([([[1.0, 2.0]], [3.0])], engine="exact")
    assert part.n_faces == 1
    assert part.face_weight.tolist() == [[[1.0, 2.0]]]
    assert part.face_bias.tolist() == [[3.0]]


def test_runs_without_compilation() -> None:
    done = subprocess.run(
        [sys.executable, str(SOAK), "--count", "40", "--seed", "90"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 networks" in done.stdout


def test_an_error_in_one_thread_stops_the_others() -> None:
    done = []

    def work(begin: int, end: int) -> None:
        if begin == 0:
            raise RuntimeError("no")
        done.append(range(begin, end))
        time.sleep(0.001)

    with Crew(3) as crew, pytest.raises(RuntimeError, match="no"):
        crew.run(10_000, work, grain=1)
    assert len(done) < 9_000


def test_ranges_of_a_crew_cover_everything_once() -> None:
    for threads in (1, 4):
        seen = np.zeros(1003, dtype=int)

        def work(begin: int, end: int, seen: np.ndarray = seen) -> None:
            seen[begin:end] += 1

        with Crew(threads) as crew:
            crew.run(1003, work, grain=10)
        assert (seen == 1).all()


# -- predicates ------------------------------------------------------------------------------


def exact_value(row: tuple, x: Fraction, y: Fraction) -> Fraction:
    a, b, c = map(Fraction, row)
    return a * x + b * y + c


def test_value_is_within_its_bound_of_any_true_line_and_vertex() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        # The truth, and what is known of it: errors as large as is claimed, at random.
        scale = 10.0 ** rng.integers(-12, 4, 3)
        a, b, c = (rng.normal(size=3) * scale).tolist()
        x, y = rng.uniform(-1, 1, 2).tolist()
        if rng.random() < 0.7:
            c = -(a * x + b * y)  # nearly zero
        eab, ec, dx, dy = (10.0 ** rng.integers(-18, -8, 4)).tolist()
        u, v, w, s, t = rng.uniform(-1, 1, 5).tolist()
        true_row = (
            Fraction(a) + Fraction(u) * Fraction(eab) / 2,
            Fraction(b) + Fraction(v) * Fraction(eab) / 2,
            Fraction(c) + Fraction(w) * Fraction(ec),
        )
        true_x = Fraction(x) + Fraction(s) * Fraction(dx)
        true_y = Fraction(y) + Fraction(t) * Fraction(dy)
        truth = exact_value(true_row, true_x, true_y)
        z, bound = kernels.value(a, b, c, eab, ec, x, y, dx, dy, 1.0, 1.0)
        assert abs(Fraction(z) - truth) <= Fraction(bound)
        sign = kernels.sign(a, b, c, eab, ec, x, y, dx, dy, 1.0, 1.0)
        if sign != kernels.UNDECIDED:
            assert sign == (truth > 0) - (truth < 0)


def test_sign_of_zero_is_certain_only_where_nothing_was_rounded() -> None:
    known = kernels.sign(1.0, 3.0, 0.0, 1e-9, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    assert known == 0  # at the origin, whatever the slope
    assert kernels.sign(0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.7, 1e-3, 1e-3, 1.0, 1.0) == 0
    # These underflow to zero or cancel to zero, but are not proven to be zero.
    tiny = 1e-200
    args = (0.0, 0.0, 0.0, 0.0)
    assert kernels.sign(tiny, tiny, 0.0, *args[:2], tiny, tiny, 0.0, 0.0, 1.0, 1.0) == 2
    assert kernels.sign(1.0, -1.0, 0.0, *args[:2], 0.5, 0.5, 0.0, 0.0, 1.0, 1.0) == 2


def test_parameter_is_within_its_bound() -> None:
    rng = np.random.default_rng(1)
    for _ in range(2000):
        z, w = (rng.uniform(0, 1, 2) * 10.0 ** rng.integers(-15, 3, 2)).tolist()
        dz, dw = (10.0 ** rng.integers(-18, -6, 2)).tolist()
        u, v = rng.uniform(-1, 1, 2).tolist()
        true_z = max(Fraction(z) + Fraction(u) * Fraction(dz), Fraction(1, 10**30))
        true_w = -max(Fraction(w) + Fraction(v) * Fraction(dw), Fraction(1, 10**30))
        t, bound = kernels.parameter(z, dz, -w, dw)
        assert 0 <= t <= 1
        assert abs(Fraction(t) - true_z / (true_z - true_w)) <= Fraction(bound)


def test_between_is_within_its_bound() -> None:
    rng = np.random.default_rng(2)
    for _ in range(2000):
        p, q = (rng.normal(size=2) * 10.0 ** rng.integers(-9, 9, 2)).tolist()
        dp, dq, dt = (10.0 ** rng.integers(-18, -8, 3)).tolist()
        t, u, v, w = rng.uniform(0, 1, 4).tolist()
        true_p = Fraction(p) + (2 * Fraction(u) - 1) * Fraction(dp)
        true_q = Fraction(q) + (2 * Fraction(v) - 1) * Fraction(dq)
        true_t = Fraction(t) + (2 * Fraction(w) - 1) * Fraction(dt)
        true_t = min(max(true_t, Fraction(0)), Fraction(1))
        x, bound = kernels.between(p, q, dp, dq, t, dt)
        assert abs(Fraction(x) - (true_p + true_t * (true_q - true_p))) <= Fraction(bound)
    assert kernels.between(0.3, 0.3, 0.0, 0.0, 0.7, 1e-9) == (0.3, 0.0)
