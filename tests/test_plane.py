"""The whole plane."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest
from invariants import check
from networks import random_layers, stack
from oracle import inner_point, trace
from test_engine import arrays_of, load_soak

import polyregions as pr
from polyregions import cli
from polyregions.certificate import certify
from polyregions.domain import as_domain
from polyregions.engine import outer
from polyregions.network import Affine, Maximum, Network, Sum, relu

SOAK = load_soak()
ENGINES = ("rational", "exact")
# As large as the first box of the rational engine, so that both hold infinity in one place.
FAR = pr.Plane(2.0**32)
FARTHER = pr.Plane(2.0**60)


def lines(rows: list, *, biases: list, tail: list | None = None) -> list:
    n = len(tail[-1][0]) if tail else len(rows)
    return [(rows, biases), *(tail or []), (np.ones((1, n)).tolist(), [0])]


def general_lines(n: int) -> list:
    """Tangents to a parabola: no two are parallel, no three meet."""
    return lines([[2 * k, -1] for k in range(n)], biases=[-k * k for k in range(n)])


# What lies where the box of the plane has its sides, corners, seams and rings, or at infinity.
CASES = {
    "one unit": lines([[1, 2]], biases=[3]),
    "dead units": lines([[0, 0]] * 3, biases=[1, -1, 0], tail=[([[1, 1, 1]] * 2, [0, -5])]),
    "rank one": lines(
        [[1, 1], [2, 2], [-1, -1], [3, 3]],
        biases=[0, 1, 5, -7.5],
        tail=[([[1, -1, 0.5, 2], [1, 1, 1, 1], [-1, 2, -3, 1]], [-0.5, -30, 0.25])],
    ),
    "one point": lines([[1, 0], [0, 1], [1, 1], [2, -3], [1, -1]], biases=[0] * 5),
    "one point elsewhere": lines(
        [[1, 0], [0, 1], [1, 1], [2, -3], [1, -1]], biases=[-1, -2, -3, 4, 1]
    ),
    "diagonals": lines([[1, -1], [1, 1]], biases=[0, 0]),
    "beside diagonals": lines(
        [[1, -1], [1, 1], [1, -1]], biases=[0, 0, 5], tail=[([[1, 1, 1]] * 2, [-3, 1])]
    ),
    "units of diagonals": lines(
        [[1, -1], [-1, 1], [1, 1], [2, -2]],
        biases=[0] * 4,
        tail=[([[1, 0, -1, 2], [-1, 1, 1, 0], [1, -1, 2, 1]], [0] * 3)],
    ),
    "along seams": lines(
        [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], biases=[-1, -1, -65536, 2.0**17, 4]
    ),
    "absolute values": lines(
        [[1, 0], [-1, 0], [0, 1], [0, -1]], biases=[0] * 4, tail=[([[1, 1, -1, -1]], [0])]
    ),
    "almost parallel": lines([[1, 1e-6], [1, 0]], biases=[0, 1]),
    "at 1e30": lines(
        [[1, 0], [0, 1]], biases=[-1e30, 1e30], tail=[([[1, 1], [-1, 2]], [-3e30, 1])]
    ),
    "near and far": lines(
        [[1, 1], [1, -1], [1, 0]],
        biases=[1e20, 1e-30, 2],
        tail=[([[1, 2, 3], [-1, 1, -1]], [-1e-30, 1])],
    ),
    "tiny": lines(
        [[1, 1], [1, -1], [1, 0]],
        biases=[0, 1e-30, 2e-30],
        tail=[([[1, 1, 1]] * 2, [-1e-30, 1e-29])],
    ),
}  # fmt: skip


def deep(seed: int, kind: str = "normal") -> list:
    widths = ([2, 6, 6, 1], [2, 4, 4, 4, 1], [2, 9, 2])[seed % 3]
    return random_layers(widths, seed, kind)


def assert_same(part: pr.Partition, reference: pr.Partition) -> None:
    assert part.domain.xy.tolist() == reference.domain.xy.tolist()
    assert SOAK.differences(part, reference) == []


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
def test_lines_in_general_position(n: int, engine: str) -> None:
    part = pr.partition(general_lines(n), None, engine=engine)
    assert part.n_faces == 1 + n + comb(n, 2)
    assert part.n_faces - part.face_is_unbounded.sum() == comb(n - 1, 2)
    assert part.is_inner.sum() == part.dual_graph().nnz // 2 == n * n
    assert (~part.vertex_is_infinite).sum() == comb(n, 2)
    assert part.vertex_is_infinite.sum() == 2 * n + 4
    assert part.certificate.ok
    # Tangents at j and k meet in ((j + k) / 2, j k).
    assert part.bounding_square() == (max((n - 1) * (n - 2), Fraction(1, 2)) if n > 1 else 0)


def test_the_numbers_of_twenty_lines() -> None:
    part = pr.partition(general_lines(20), None)
    assert (part.n_faces, part.is_inner.sum(), (~part.face_is_unbounded).sum()) == (211, 400, 171)


@pytest.mark.parametrize("engine", ENGINES)
def test_lines_through_one_point(engine: str) -> None:
    rows = [[1, k] for k in range(-3, 4)]
    part = pr.partition(lines(rows, biases=[-1 - 2 * k for k in range(-3, 4)]), None, engine=engine)
    assert part.n_faces == part.face_is_unbounded.sum() == 14
    (centre,) = np.flatnonzero(~part.vertex_is_infinite)
    assert part.exact_vertex(centre) == (1, 2)
    assert part.bounding_square() == 2
    assert [len(part.rays(f)) for f in range(14)] == [2] * 14


@pytest.mark.parametrize("engine", ENGINES)
def test_parallel_strips(engine: str) -> None:
    part = pr.partition(lines([[1, 2]] * 4, biases=[-10, 5, -5, 2]), None, engine=engine)
    assert part.n_faces == part.face_is_unbounded.sum() == 5
    assert part.bounding_square() == 0
    assert np.isinf(part.areas).all()
    assert not part.area_error.any()
    found = sorted(
        (*ray.point.tolist(), *ray.direction.tolist()) for f in range(5) for ray in part.rays(f)
    )
    expected = sorted(
        (c / 5, 2 * c / 5, *(s * np.array([-1, 0.5])).tolist())
        for c in (10, -5, 5, -2)
        for s in (1, -1)
    )
    assert found == expected
    assert all(ray.is_line for f in range(5) for ray in part.rays(f))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layers", [[([[1, 2]], [3])], CASES["dead units"]])
def test_nothing_to_cut(layers: list, engine: str) -> None:
    part = pr.partition(layers, None, engine=engine)
    assert (part.n_faces, part.is_inner.sum(), part.vertex_is_infinite.sum()) == (1, 0, 4)
    assert part.rays(0) == []
    assert part.bounding_square() == 0
    assert part.locate([[0, 0], [1e300, -1e300], [np.inf, 0], [np.nan, 0]]).tolist() == [
        0,
        0,
        -1,
        -1,
    ]
    assert part._shown.n_faces == 1
    assert certify(part._shown).ok


def test_the_default_is_still_the_square() -> None:
    assert repr(pr.partition(general_lines(2)).domain) == "[-1, 1] x [-1, 1]"
    assert repr(pr.partition(general_lines(2), domain=None).domain) == "the whole plane"
    assert isinstance(as_domain(None), pr.Plane)


# --- against the reference, boxes and other planes ------------------------------------------------


@pytest.mark.parametrize("plane", [FAR, FARTHER], ids=["few rings", "rings"])
@pytest.mark.parametrize("name", CASES)
def test_degenerate_networks_against_the_reference(name: str, plane: pr.Plane) -> None:
    part = check(pr.partition(CASES[name], plane))
    reference = pr.partition(CASES[name], pr.Plane(part.domain.half_width), engine="rational")
    assert_same(part, reference)
    assert part.vertex_direction.any(axis=1).tolist() == part.vertex_is_infinite.tolist()
    assert pr.count_regions(CASES[name], plane).activation_regions == reference.n_faces


@pytest.mark.parametrize("kind", ["normal", "no biases"])
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_against_the_reference(seed: int, kind: str) -> None:
    layers = deep(seed)
    if kind == "no biases":
        layers = [(weight, np.zeros(len(bias))) for weight, bias in layers]
    for plane in (FAR, FARTHER):
        part = pr.partition(layers, plane)
        assert_same(part, pr.partition(layers, part.domain, engine="rational"))
        assert part.certificate.ok


@pytest.mark.parametrize("activation", ["leaky", "hardtanh", "prelu", "abs"])
def test_other_activations_against_the_reference(activation: str) -> None:
    network = stack(deep(1), activation)
    part = pr.partition(network, FARTHER)
    assert_same(part, pr.partition(network, FARTHER, engine="rational"))


@pytest.mark.parametrize("seed", range(4))
def test_maxima_and_branches_against_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = (
        Affine(rng.normal(size=(9, 2)), rng.normal(size=9)),  # value 1
        Maximum(rng.permutation(9).reshape(3, 3), 9),
        Affine(rng.normal(size=(3, 3)), rng.normal(size=3)),
        relu(3),
        Sum(np.array([1.0, -0.5]), 3),  # with the maxima past the ReLU
        Maximum(np.array([[0, 1], [2, 0]]), 3),
        Affine(rng.normal(size=(1, 2)), rng.normal(size=1)),
    )
    network = Network(steps, 2, (), ((0,), (1,), (2,), (3,), (4, 2), (5,), (6,)))
    for plane in (FAR, FARTHER):
        part = pr.partition(network, plane)
        assert_same(part, pr.partition(network, part.domain, engine="rational"))
        assert pr.count_regions(network, plane).activation_regions == part.n_faces
    assert pr.partition(network, None).n_faces == part.n_faces


@pytest.mark.parametrize("seed", range(8))
def test_a_box_that_is_too_small_grows(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = deep(seed)
    expected = pr.partition(layers, None)
    monkeypatch.setattr(outer, "_guess", lambda layer: (2.0**-20, 2.0**-10))
    part = pr.partition(layers, None)
    assert part.domain.half_width >= part.bounding_square()
    huge = pr.partition(layers, (-(2.0**70), 2.0**70), engine="rational")
    assert part.n_faces == expected.n_faces == huge.n_faces
    assert part.bounding_square() == expected.bounding_square()
    on_border = np.unique(huge.edge_faces[~huge.is_inner, 0])
    unbounded = {huge.face_pattern[f].tobytes() for f in on_border}
    assert {p.tobytes() for p in part.face_pattern[part.face_is_unbounded]} == unbounded


def test_the_box_is_the_subdivision_of_the_plane_only_if_it_is_large() -> None:
    """Two lines that leave to the right meet there, and behind them is a region."""
    layers = lines([[1, -10], [1, 10]], biases=[-40, -40])
    assert pr.partition(layers, (-32, 32)).n_faces == 3
    assert len(pr.partition(layers, None)) == 4


def test_a_line_that_comes_from_afar_and_goes_there() -> None:
    """max(x, 0) + max(y, 0) = 1000 bends far out, and a box around 0 has nothing of it."""
    layers = lines([[1, 0], [0, 1]], biases=[0, 0], tail=[([[1, 1]], [-1000])])
    part = pr.partition(layers, None)
    assert (part.n_faces, part.bounding_square()) == (7, 1000)


def test_scaling_the_first_layer_scales_the_plane() -> None:
    layers = deep(2)
    part = pr.partition(layers, None)
    for exponent in (-300, -40, 3, 200):
        factor = 2.0**exponent
        scaled = [(layers[0][0] * factor, layers[0][1]), *layers[1:]]
        other = pr.partition(scaled, None)
        assert other.bounding_square() == part.bounding_square() / Fraction(2) ** exponent
        assert other.face_pattern.tobytes() == part.face_pattern.tobytes()
        assert np.array_equal(other.vertex_xy * factor, part.vertex_xy)


def test_threads_do_not_change_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("splitting._FACES", "splitting._EDGES", "dissolve._FACES", "result._FACES"):
        monkeypatch.setattr(f"polyregions.engine.{name}", 16)
    layers = random_layers([2, 16, 16, 1], 0)
    one, many = (arrays_of(pr.partition(layers, FARTHER, threads=n)) for n in (1, 3))
    assert one == many


# --- counts and limits ----------------------------------------------------------------------------


@pytest.mark.parametrize("plane", [None, FARTHER])
def test_counts_layer_by_layer(plane: pr.Plane | None) -> None:
    for seed in range(3):
        layers = deep(seed)
        expected = pr.count_regions(layers, FAR, engine="rational")
        assert pr.count_regions(layers, plane, engine="exact") == expected
        part = pr.partition(layers, plane)
        assert pr.engines.faces_by_layer(part) == expected.by_layer


def test_limit_counts_regions_without_seams() -> None:
    layers = general_lines(12)
    exactly = 1 + 12 + comb(12, 2)
    assert len(pr.partition(layers, FARTHER, max_regions=exactly)) == exactly
    for call in (pr.partition, pr.count_regions):
        with pytest.raises(pr.LimitError):
            call(layers, FARTHER, max_regions=exactly - 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_structure_beyond_float64(engine: str) -> None:
    layers = lines([[1, 0], [1, 2.0**-990]], biases=[0, 1])  # they meet at y = -2^990
    with pytest.raises(OverflowError, match="structure"):
        pr.partition(layers, None, engine=engine)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3.0,), "powers of two"), ((-1.0,), "powers of two"), ((np.inf,), "powers"), ((0,), "powers"),
     ((4.0, [8.0]), "increase"), ((4.0, [2.0, 1.0]), "increase")],
)  # fmt: skip
def test_planes_that_are_none(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pr.Plane(*arguments)


# --- what a partition of the plane says -----------------------------------------------------------


@pytest.mark.parametrize("name", [*CASES, 0, 1, 2])
def test_points_beyond_the_box(name: str | int) -> None:
    layers = CASES[name] if isinstance(name, str) else deep(name)
    part = pr.partition(layers, None)
    b = part.domain.half_width
    far = pr.partition(layers, pr.Plane(b * 2.0**40))
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-b, b, (60, 2)) * scale for scale in (1, 4, 1e5, 1e9)])
    # On lines that leave, and in the corners of boxes.
    leaving = part._outside.inner_end
    exactly = [part.vertex_xy[v] + 8 * b * part.vertex_direction[v] for v in leaving]
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 3 * b
    points = np.concatenate([points, *[p[None] for p in exactly], corners])
    found, expected = part.locate(points), far.locate(points)
    assert (found >= 0).all()
    # Lowest faces need not be the same ones, where several hold a point.
    is_same = (part.face_pattern[found] == far.face_pattern[expected]).all(axis=1)
    for i in np.flatnonzero(~is_same):
        x, y = map(Fraction, points[i])
        numbers = {p.tobytes(): f for f, p in enumerate(far.face_pattern)}
        polygon = far.exact_polygon(numbers[part.face_pattern[found[i]].tobytes()])
        point = pr.exact.point(float(x), float(y))
        assert all(pr.exact.orientation(a, b, point) >= 0
                   for a, b in pairwise([*polygon, polygon[0]]))  # fmt: skip
        assert i >= 240


def test_points_beyond_the_box_belong_to_the_lowest_face() -> None:
    part = pr.partition(lines([[1, 0], [1, -1]], biases=[0, 0]), None)  # x = 0 and x = y
    b = part.domain.half_width
    for point in [(0, 3 * b), (0, -3 * b), (5 * b, 5 * b), (-5 * b, -5 * b)]:
        holding = part.locate(np.array(point) + [[-b / 2, 0], [b / 2, 0]])
        assert part.locate(point) == holding.min()
        assert len(set(holding.tolist())) == 2


def test_values_beyond_the_box() -> None:
    layers = deep(1)
    part = pr.partition(layers, None)
    points = np.random.default_rng(0).normal(size=(50, 2)) * part.domain.half_width * 100
    expected = points
    for weight, bias in layers[:-1]:
        expected = np.maximum(expected @ weight.T + bias, 0)
    expected = expected @ layers[-1][0].T + layers[-1][1]
    assert np.allclose(part(points), expected, rtol=1e-9)


@pytest.mark.parametrize("name", [*CASES, 0, 1])
def test_rays_bound_their_faces(name: str | int) -> None:
    layers = CASES[name] if isinstance(name, str) else deep(name)
    part = pr.partition(layers, None)
    assert np.isinf(part.areas).tolist() == part.face_is_unbounded.tolist()
    network = pr.lower(layers)
    n_lines = 0
    for f in range(part.n_faces):
        rays = part.rays(f)
        if not part.face_is_unbounded[f]:
            assert rays == []
            continue
        n_lines += sum(1 + ray.is_line for ray in rays)
        walls = trace(network, inner_point(part, f)).walls
        for ray in rays:
            point, way = (
                [Fraction(v) for v in pair.tolist()] for pair in (ray.point, ray.direction)
            )
            assert max(map(abs, way)) == 1
            # Where it goes no wall is in the way, and along one of them it goes.
            rounding = [Fraction(abs(a) + abs(b), 2**53) for a, b, _ in walls]
            rates = [a * way[0] + b * way[1] for a, b, _ in walls]
            assert all(rate >= -r for rate, r in zip(rates, rounding, strict=True))
            values = [a * point[0] + b * point[1] + c for a, b, c in walls]
            errors = [(abs(a) + abs(b)) * max(map(abs, point)) + abs(c) + 1 for a, b, c in walls]
            assert any(
                abs(rate) <= r and abs(z) <= e * Fraction(1, 2**40)
                for rate, r, z, e in zip(rates, rounding, values, errors, strict=True)
            )
    # Every line that leaves bounds two faces.
    assert n_lines == 2 * len(part._outside.inner_end)


def test_bounded_domains_have_nothing_at_infinity() -> None:
    part = pr.partition(general_lines(3))
    assert not part.vertex_is_infinite.any()
    assert not part.face_is_unbounded.any()
    assert not part.vertex_direction.any()
    assert part.rays(0) == []
    with pytest.raises(ValueError, match="domain=None"):
        part.bounding_square()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", [*CASES, 0, 1, 2])
def test_pictures_show_a_partition(name: str | int, engine: str) -> None:
    """The box that is shown is cut as the plane is: the same as partitioning the box."""
    layers = CASES[name] if isinstance(name, str) else deep(name)
    part = pr.partition(layers, None, engine=engine)
    shown = part._shown
    assert certify(shown, full=True).ok
    assert_same(pr.partition(layers, shown.domain), shown)
    assert shown.face_pattern.tobytes() == part.face_pattern.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("plane", [None, FARTHER])
def test_save_and_load(engine: str, plane: pr.Plane | None, tmp_path: Path) -> None:
    part = pr.partition(CASES["beside diagonals"], plane, engine=engine)
    part.save(tmp_path / "plane.npz")
    with np.load(tmp_path / "plane.npz") as contents:
        assert contents["schema_version"] == 4
    again = pr.load(tmp_path / "plane.npz")
    assert arrays_of(again) == arrays_of(part)
    assert list(again.vertex_exact) == list(part.vertex_exact)
    assert repr(again.domain) == "the whole plane"
    assert again.domain.rings == part.domain.rings
    assert again.certificate.ok
    far = [[1e40, 0], [0, -1e40]]
    assert again.locate(far).tolist() == part.locate(far).tolist()


def test_a_damaged_plane_is_refused(tmp_path: Path) -> None:
    part = pr.partition(general_lines(3), FARTHER)
    part.save(tmp_path / "plane.npz")
    contents = dict(np.load(tmp_path / "plane.npz"))
    contents["plane_rings"] = contents["plane_rings"][::-1].copy()
    np.savez(tmp_path / "bad.npz", **contents)
    with pytest.raises(pr.FormatError, match="half-widths"):
        pr.load(tmp_path / "bad.npz")


def test_verify_and_torch() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    sizes = [(2, 8), (8, 8), (8, 1)]
    modules = [m for size in sizes for m in (torch.nn.Linear(*size), torch.nn.ReLU())]
    model = torch.nn.Sequential(*modules[:-1])
    report = pr.verify(pr.partition(model, None), model, resolution=60)
    assert report.ok
    assert report.n_hit > 20


def test_json_of_endless_faces() -> None:
    part = pr.partition(general_lines(4), None)
    collection = json.loads(json.dumps(part.to_geojson(), allow_nan=False))
    areas = [feature["properties"]["area"] for feature in collection["features"]]
    assert [a is None for a in areas] == part.face_is_unbounded.tolist()
    assert part.to_svg().count("<path") == part.n_faces + 2


def test_text_says_what_is_unbounded() -> None:
    text = str(pr.partition(general_lines(4), None))
    assert "11 faces, 8 of them unbounded" in text
    assert "smallest bounded face" in text
    assert "none" in str(pr.partition(general_lines(2), None))


def test_plots_frame_the_bounded_part() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    part = pr.partition(general_lines(4), None)  # corners within [0.5, 2.5] x [0, 6]
    for color in ("slope", "value", "area", "layer", "count", np.arange(11)):
        ax = pr.plot.partition(part, color=color).ax
        assert ax.get_xlim() == (-2.25, 5.25)
        assert ax.get_ylim() == (-0.75, 6.75)
        plt.close(ax.figure)
    plt.close(pr.plot.output(part).axes.figure)
    plt.close(pr.plot.gradient_comparison(part, resolution=9)[0, 0].axes.figure)
    plt.close(pr.plot.surface(part).axes.figure)


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    path = tmp_path / "net.npz"
    arrays = {}
    for i, (weight, bias) in enumerate(general_lines(5)):
        arrays |= {f"weight_{i}": np.array(weight, float), f"bias_{i}": np.array(bias, float)}
    np.savez(path, **arrays)
    return str(path)


def test_command_line(model_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", model_file, "--domain", "plane"]) == 0
    assert "Regions of the whole plane" in capsys.readouterr().out
    assert cli.main(["count", model_file, "--domain", "plane", "--linear"]) == 0
    assert "lines meet up to 12 away" in capsys.readouterr().out
    assert cli.main(["count", model_file, "--domain=plane", "--linear", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["domain"] == {"plane": True, "bounds": None}
    assert (facts["faces"], facts["unbounded_faces"], facts["bounding_square"]) == (16, 10, 12)
    assert cli.main(["verify", model_file, "--domain", "plane"]) == 0


def test_command_line_exports(model_file: str, tmp_path: Path) -> None:
    for name in ("regions.npz", "regions.geojson", "regions.svg"):
        out = str(tmp_path / name)
        assert cli.main(["export", model_file, "--domain", "plane", "-o", out]) == 0
    assert pr.load(tmp_path / "regions.npz").n_faces == 16
    assert cli.main(["plot", model_file, "--domain", "plane", "-o", str(tmp_path / "p.png")]) == 0
