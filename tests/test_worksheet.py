"""The worksheet: answers against theory and independent computations, text and figures."""

from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

import polyregions as pr
from polyregions import worksheet
from polyregions.worksheet import figures, report
from polyregions.worksheet.comparisons import same_complex
from polyregions.worksheet.networks import Deep, Shallow, seeded, weights, without_output_bias
from polyregions.worksheet.sampling import sample
from polyregions.worksheet.smoothing import axis_lesson, naive_softmax, smooth_table


@pytest.fixture(scope="module")
def answers():
    return worksheet.answer(quick=True)


@pytest.fixture
def sheets(answers):
    return dict(zip(("shallow", "deep"), answers.sheets, strict=True))


# -- the networks ------------------------------------------------------------------------------


def test_networks_are_built_in_order_after_the_seed():
    torch.manual_seed(3)
    linears = [torch.nn.Linear(m, n) for m, n in pairwise((2, 5, 5, 5, 5, 1))]
    state = torch.get_rng_state()
    model = seeded(Deep, 3)
    pairs = weights((2, 5, 5, 5, 5, 1), 3)
    assert torch.equal(torch.get_rng_state(), state)  # the caller's numbers go on
    for linear, layer, (weight, bias) in zip(linears, model.layers, pairs, strict=True):
        assert torch.equal(linear.weight, layer.weight)
        np.testing.assert_array_equal(linear.weight.detach(), weight)
        np.testing.assert_array_equal(linear.bias.detach(), bias)


def test_the_deep_network_hides_its_layers_from_torch(sheets):
    assert list(sheets["deep"].model.parameters()) == []
    assert not sheets["deep"].model.state_dict()
    points = torch.rand(10, 2)
    expected = points
    for i, layer in enumerate(sheets["deep"].model.layers):
        expected = layer(expected).relu() if i < 4 else layer(expected)
    assert torch.equal(sheets["deep"].model(points), expected)


def test_parameters(sheets):
    shallow, deep = sheets["shallow"].parameters, sheets["deep"].parameters
    assert [layer.total for layer in shallow.layers] == [2 * 20 + 20, 20 + 1]
    assert [layer.total for layer in deep.layers] == [2 * 5 + 5, *[5 * 5 + 5] * 3, 5 + 1]
    assert (shallow.total, shallow.registered) == (81, 81)
    assert (deep.total, deep.registered) == (111, 0)
    assert sheets["shallow"].widths == "2-20-1"
    assert sheets["deep"].widths == "2-5-5-5-5-1"


# -- the ranges --------------------------------------------------------------------------------


def test_known_counts(sheets):
    assert [r.half_width for r in sheets["shallow"].ranges] == [10, 50, 100, 5000]
    assert sheets["shallow"].ranges[0].count.activation_regions == 197
    assert sheets["deep"].ranges[0].count == (81, 77, 77)


def test_every_partition_is_certified_and_checked(answers):
    for sheet in answers.sheets:
        assert sheet.verification.ok
        for r in sheet.ranges:
            assert r.part.certificate.ok


def test_samples_are_the_models_own(sheets):
    seen = sample(sheets["deep"].model, 50.0, 31)
    assert seen.values.shape == (31, 31)
    for row, column in ((0, 0), (30, 0), (7, 19)):
        point = torch.tensor([[seen.x[column], seen.x[row]]], dtype=torch.float32)
        assert seen.values[row, column] == pytest.approx(
            sheets["deep"].model(point).item(), rel=1e-6
        )
    # Differences along x1 are those between columns.
    difference = (seen.values[7, 20] - seen.values[7, 18]) / (seen.x[20] - seen.x[18])
    assert seen.gradient[0][7, 19] == pytest.approx(difference, rel=1e-9)
    difference = (seen.values[8, 19] - seen.values[6, 19]) / (seen.x[8] - seen.x[6])
    assert seen.gradient[1][7, 19] == pytest.approx(difference, rel=1e-9)


def test_hits_and_misses(answers):
    for sheet in answers.sheets:
        for r in sheet.ranges:
            x = np.linspace(-r.half_width, r.half_width, answers.resolution)
            hit = np.unique(r.part.locate(np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)))
            assert set(hit) == set(range(r.part.n_faces)) - set(r.missed)
            assert r.n_hit == len(hit)
            assert r.part.areas[r.smallest] == r.smallest_area == r.part.areas.min()
            assert r.all_sure >= r.smallest_sure
            assert r.spacing == pytest.approx(x[1] - x[0])
        # The same regions, seen from farther away: fewer are hit.
        assert sheet.ranges[-1].n_hit < sheet.ranges[0].n_hit


def test_the_promised_resolution_hits_every_region(sheets):
    r = sheets["deep"].ranges[0]
    n = r.smallest_first
    x = np.linspace(-10, 10, n)
    low, high = (r.part.polygon(r.smallest).bounds[i::2] for i in (0, 1))
    columns, rows = x[(low[0] <= x) & (x <= low[1])], x[(high[0] <= x) & (x <= high[1])]
    points = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    assert r.smallest in r.part.locate(points)
    assert n <= r.smallest_sure


# -- how far, how many -------------------------------------------------------------------------


def crossings_of(model):
    """All crossings of the lines of a hidden layer, with plain fractions."""
    rows = [
        (Fraction(a), Fraction(b), Fraction(c))
        for (a, b), c in zip(model.hidden.weight.tolist(), model.hidden.bias.tolist(), strict=True)
    ]
    points = []
    for (a, b, c), (d, e, f) in combinations(rows, 2):
        det = a * e - b * d
        points.append(((b * f - c * e) / det, (c * d - a * f) / det))
    return points


def test_the_smallest_square(sheets):
    crossings = crossings_of(sheets["shallow"].model)
    sizes = sorted(max(abs(x), abs(y)) for x, y in crossings)
    zoom = sheets["shallow"].zoom
    assert len(sizes) == 190
    assert zoom.extent.half_width == max(s for s in sizes if s < 5000)
    assert zoom.arrangement.half_width == sizes[-1]
    assert zoom.n_vertices == sum(s < 5000 for s in sizes)
    assert zoom.n_beyond == sum(s >= 5000 for s in sizes)
    for claim in (3, 50, 204, 205):
        assert zoom.n_outside(claim) == sum(claim < s < 5000 for s in sizes)
        assert zoom.holds(claim) == (sizes[-1] <= claim)
    assert zoom.holds(205)
    assert not zoom.holds(204)
    np.testing.assert_allclose(zoom.reach, [float(s) for s in sizes if s < 5000])


def test_a_range_is_not_enough_if_anything_lies_beyond_the_largest(sheets):
    """The deep network of seed 0 has one vertex outside of the largest range."""
    zoom = sheets["deep"].zoom
    assert zoom.n_beyond == 1
    assert not zoom.holds(5000)
    assert zoom.n_outside(5000) == 0


def test_lines_and_crossings_make_the_regions(sheets):
    shallow = sheets["shallow"]
    lines = shallow.zoom.arrangement
    assert lines.n_regions == 211 == 1 + 20 + 190
    crossings = crossings_of(shallow.model)
    for r in shallow.ranges:
        inside = sum(max(abs(x), abs(y)) < r.half_width for x, y in crossings)
        assert lines.crossings_in(r.half_width) == inside
        assert 1 + lines.lines_in(r.half_width) + inside == r.part.n_faces
    assert sheets["deep"].zoom.arrangement is None


def test_one_line_for_each_unit(sheets):
    for sheet in sheets.values():
        assert len(sheet.lines) == 20 == sheet.network.n_units
    assert all(line.n_bends == 0 for line in sheets["shallow"].lines)
    assert sum(line.n_bends for line in sheets["deep"].lines) > 0


# -- comparisons -------------------------------------------------------------------------------


def test_random_pixels(sheets):
    for sheet in sheets.values():
        pixels = sheet.random
        # 10,000 pairs: far less than the share that a grid shows.
        assert pixels.same_region == pytest.approx(pixels.same_region_expected, abs=0.02)
        assert pixels.same_region_grid > 0.85
        point = torch.tensor(pixels.points[3, 5], dtype=torch.float32)
        assert pixels.values[3, 5] == pytest.approx(sheet.model(point[None]).item(), rel=1e-6)


def test_the_output_bias_shifts_every_map_and_nothing_else(answers):
    for sheet, bias in zip(answers.sheets, answers.bias, strict=True):
        assert bias.bias == sheet.model.layers[-1].bias.item() != 0
        assert bias.same_complex
        assert bias.same_slopes
        assert bias.shifted_by_bias
        points = torch.rand(20, 2) * 20 - 10
        shift = sheet.model(points) - without_output_bias(sheet.model)(points)
        np.testing.assert_allclose(shift.detach(), bias.bias, rtol=1e-5)


def test_a_changed_hidden_bias_is_not_the_same_complex(answers):
    sheet = answers.sheets[0]
    model = seeded(Shallow, 0)
    with torch.no_grad():
        model.hidden.bias[4] += 0.125
    assert not same_complex(sheet.ranges[0].part, pr.partition(model, domain=(-10, 10)))


def test_abs_keeps_the_lines_of_one_layer_only(answers):
    shallow, deep = answers.absolute
    assert shallow.same_complex
    assert not deep.same_complex
    for sheet, answer in zip(answers.sheets, answers.absolute, strict=True):
        points = torch.rand(50, 2) * 20 - 10
        expected = points
        for layer in sheet.model.layers[:-1]:
            expected = layer(expected).abs()
        expected = sheet.model.layers[-1](expected)
        np.testing.assert_allclose(
            answer.absolute(points.double()), expected.detach(), rtol=1e-5, atol=1e-6
        )


def test_the_contest_is_between_networks_of_like_size(answers):
    sizes = [(c.name, c.n_parameters, c.n_units) for c in answers.contest]
    assert sizes == [
        ("2-20-1", 81, 20),
        ("2-4-4-4-4-1", 77, 16),
        ("2-28-1", 113, 28),
        ("2-5-5-5-5-1", 111, 20),
    ]
    for contestant in answers.contest:
        assert len(contestant.counts) == 3
        n = contestant.n_units
        if len(contestant.widths) == 3:
            assert contestant.regions.max() <= 1 + n + n * (n - 1) // 2
    assert answers.contest[0].regions[0] == 197
    assert answers.contest[3].regions[0] == 81


def test_the_table_of_seeds_agrees_with_the_sheets(answers):
    assert [(row.name, row.seed) for row in answers.seeds] == [
        (name, seed) for name in ("shallow", "deep") for seed in (0, 1)
    ]
    for row in answers.seeds:
        if row.seed == 0:
            sheet = next(s for s in answers.sheets if s.name == row.name)
            assert row.near == sheet.ranges[0].count
            assert row.far == sheet.ranges[-1].count
            assert row.n_hit == sheet.ranges[0].n_hit
            assert row.half_width == sheet.zoom.extent.half_width
            assert row.n_beyond == sheet.zoom.n_beyond
            assert row.holds(3) == sheet.zoom.holds(3)


# -- smooth functions --------------------------------------------------------------------------


def test_smooth_values():
    first, second, third = smooth_table()
    e = np.exp([0.0, 1.0, 2.0])
    np.testing.assert_allclose(first.softmax[1.0], e / e.sum())
    np.testing.assert_allclose(second.softmax[1.0], e / e.sum())
    assert third.logsumexp[1.0] == pytest.approx(30 + np.log1p(np.exp(-10) + np.exp(-20)))
    for row in (first, second, third):
        np.testing.assert_array_equal(row.onehot, [0, 0, 1])
        np.testing.assert_array_equal(row.softmax[np.inf], row.onehot)
        for lam, value in row.logsumexp.items():
            assert row.sigma.max() <= value <= row.sigma.max() + np.log(3) / lam


def test_the_wrong_axes_are_wrong():
    lesson = axis_lesson()
    np.testing.assert_allclose(lesson.right.sum(axis=1), 1)
    np.testing.assert_allclose(lesson.down.sum(axis=0), 1)
    assert lesson.everything.sum() == pytest.approx(1)
    assert not np.allclose(lesson.down.sum(axis=1), 1)
    assert np.isnan(naive_softmax(np.array([1e4, -1e4]), 100.0)).any()


def test_softened_networks_approach_within_their_bounds(answers):
    for rows in answers.soft:
        for row in rows:
            assert 0 < row.largest_error <= row.bound
        for row, sharper in pairwise(rows):
            assert sharper.bound < row.bound
            assert sharper.largest_error < row.largest_error


# -- text and figures --------------------------------------------------------------------------


def test_run_prints_and_draws_everything(tmp_path, monkeypatch, answers):
    asked = {}

    def answer(**options):
        asked.update(options)
        return answers

    monkeypatch.setattr("polyregions.worksheet.demo.answer", answer)
    printed = []
    result = worksheet.run(tmp_path / "new" / "out", seed=0, quick=True, echo=printed.append)
    assert result is answers
    assert asked == {"seed": 0, "quick": True}
    text = "\n".join(printed)
    for phrase in (
        "torch.manual_seed(0)",
        "shallow: 81 parameters",
        "deep: 111 parameters",
        "[-5,000, 5,000]²",
        "211 regions",
        '"all intersections lie in [-3, 3]": false, 44 lie outside.',
        '"a range of 50 is enough": false, 5 lie outside.',
        "Verification passed",
        "(0.09, 0.245, 0.665)",
    ):
        assert phrase in text
    assert "NOT" not in text
    assert max(map(len, text.splitlines())) < 120

    paths = sorted((tmp_path / "new" / "out").iterdir())
    assert [p.stem for p in paths] == sorted(figures.figures(answers))
    for path in paths:
        assert str(path) in text
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_the_text_follows_the_answers(answers):
    """A check that fails is said to fail."""
    from dataclasses import replace

    bias = replace(answers.bias[0], same_complex=False, shifted_by_bias=False)
    changed = replace(answers, bias=(bias, answers.bias[1]))
    text = "\n".join(report.sections(changed))
    assert "and patterns are NOT the same" in text
    assert "NOT shifted by it" in text


def test_networks_as_they_come_have_a_seed(monkeypatch):
    """A drawn seed is told, so that the networks can be built again."""
    monkeypatch.setattr("secrets.randbits", lambda bits: 12345)
    drawn = worksheet.answer(seed=None, quick=True)
    assert drawn.seed == 12345
    hidden = drawn.sheets[0].model.hidden
    assert torch.equal(hidden.weight, seeded(Shallow, 12345).hidden.weight)
    assert [row.seed for row in drawn.seeds] == 2 * [12345, 0, 1]
    text = "\n".join(report.sections(drawn))
    assert "torch.manual_seed(12345)" in text
    assert "NOT" not in text


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        worksheet.run(tmp_path / "file", quick=True, echo=lambda text: None)


def test_parameters_of_stacks_only():
    from polyregions.network import Affine, Network, Sum, relu
    from polyregions.worksheet.answers import count_parameters

    model = seeded(Shallow, 0)
    counted = count_parameters(model, pr.lower(model))
    assert (counted.total, counted.registered) == (81, 81)  # 20 * 3 + 21
    first = Affine(np.ones((2, 2)), np.zeros(2))
    skip = Network((first, relu(2), Sum(np.ones(2), 2)), 2, sources=((0,), (1,), (0, 2)))
    for network in (skip, Network((first, relu(2), Sum(np.ones(2), 1)), 2)):
        with pytest.raises(ValueError, match="is no stack of linear layers"):
            count_parameters(model, network)


def test_importing_the_package_does_not_import_the_worksheet():
    import subprocess
    import sys

    code = "import sys, polyregions; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
