"""The accuracy report: its truth, its scores under planted errors, and the page at a tiny size."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phenology_report.__main__ import TINY, main
from phenology_report.gates import phenocam_gates, synthetic_gates
from phenology_report.page import with_cycles
from phenology_report.phenocam import SHARES, nearest, roi_dates
from phenology_report.phenocam import table as phenocam_table
from phenology_report.scores import Matched, bias, covered, match, pair, rmse
from phenology_report.shapes import SHAPES, WITHOUT_CYCLE, draw_curves, middle_year, observe, record_days
from phenology_report.synthetic import score_shapes
from phenology_report.truth import true_dates

from ssl4eco_data.types import METRICS


def truth_of(shape, pixels, seed=5):
    curves = draw_curves(shape, pixels, seed)
    return true_dates(curves.day, curves.clean, 10)


def perfect(series):
    """An engine that knows the truth of the Gaussian shape, with a sigma of one day."""
    dates = truth_of("Gaussian", series.sizes["pixel"], 5)
    return dates, np.where(np.isfinite(dates), 1.0, np.nan)


@settings(max_examples=30, deadline=None)
@given(top=st.floats(350, 420), width=st.floats(15, 40), height=st.floats(0.15, 0.6))
def test_true_dates_of_a_bell_are_those_of_its_formula(top, width, height):
    day = np.arange(0.0, 760.0)
    curve = 0.1 + height * np.exp(-0.5 * ((day - top) / width) ** 2)
    dates = true_dates(day, curve[None], 1)[0, 0]
    away = [width * math.sqrt(-2 * math.log(share)) for share in (0.15, 0.5, 0.9)]
    expected = [top - a for a in away] + [top] + [top + a for a in reversed(away)]
    assert dates == pytest.approx(expected, abs=0.05)


def test_rise_and_fall_have_amplitudes_of_their_own():
    day = np.arange(400.0)
    curve = np.interp(day, [0, 100, 200, 300, 399], [0.1, 0.1, 0.5, 0.3, 0.35])
    dates = true_dates(day, curve[None], 1)[0, 0]
    assert dates[[0, 1, 2]] == pytest.approx([115, 150, 190])
    assert dates[[4, 5, 6]] == pytest.approx([210, 250, 285])


def test_true_crossings_are_the_first_of_the_rise_and_the_last_of_the_fall():
    day = np.arange(300.0)
    curve = np.interp(
        day, [0, 50, 60, 70, 120, 170, 180, 190, 260, 299], [0, 0, 0.18, 0.13, 1, 0.14, 0.13, 0.18, 0, 0]
    )
    dates = true_dates(day, curve[None], 1)[0, 0]
    assert dates[0] == pytest.approx(50 + 10 * 0.15 / 0.18, abs=1e-6)
    assert dates[6] == pytest.approx(190 + 70 * (0.18 - 0.15) / 0.18, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_has_its_cycles_and_observations(shape):
    curves = draw_curves(shape, 12, 3)
    assert np.array_equal(curves.clean, draw_curves(shape, 12, 3).clean)
    assert not np.array_equal(curves.clean, draw_curves(shape, 12, 4).clean)
    dates = true_dates(curves.day, curves.clean, 10)
    first, after = record_days()
    inside = (dates[:, :, 3] >= first) & (dates[:, :, 3] < after)
    usual = {"double crop": 6, "evergreen": 0, "bare": 0}.get(shape, 3)
    counts = inside.sum(axis=1)
    assert (counts <= usual + (shape == "logistic south")).all()
    assert counts.min() < 3 < 12 < counts.sum() if shape == "semi-arid" else np.median(counts) == usual
    assert (np.diff(dates[inside], axis=1) >= 0).all()
    for per_year in (46, 23):
        seen = observe(curves, per_year, 3)
        assert seen["value"].shape == (12, 3 * per_year)
        assert (np.diff(seen["day"].to_numpy(), axis=1) > 0).all()
        assert 0.1 < np.isnan(seen["value"].to_numpy()).mean() < 0.4
        assert bool(seen["snow"].any()) == (shape == "boreal snow")


def test_shapes_of_one_seed_have_different_noise():
    gaps = [np.isnan(observe(draw_curves(s, 2, 1), 46, 1)["value"].to_numpy()) for s in WITHOUT_CYCLE]
    assert not np.array_equal(*gaps)


def scored(change):
    """Scores of the Gaussian shape under an engine whose perfect dates and sigmas were changed."""
    truth = truth_of("Gaussian", 6)
    dates, sigma = change(truth.copy(), np.where(np.isfinite(truth), 1.0, np.nan))
    return match(truth, dates, sigma, middle_year())


def test_perfect_dates_have_no_error():
    own = scored(lambda dates, sigma: (dates, sigma))
    assert own.error.shape == own.sigma.shape == (6, len(METRICS))
    assert own.found.all() and own.complete.all() and not own.invented.any()
    assert not own.error.any()
    assert (covered(own.error, own.sigma, 1.0) == 1).all()


@given(shift=st.floats(-40, 40))
@settings(max_examples=20, deadline=None)
def test_a_planted_shift_is_the_bias_and_the_rmse(shift):
    own = scored(lambda dates, sigma: (dates + shift, sigma))
    assert bias(own.error) == pytest.approx(shift, abs=1e-6)
    assert rmse(own.error) == pytest.approx(abs(shift), abs=1e-6)
    assert covered(own.error, own.sigma, 1.0) == pytest.approx(float(abs(shift) <= 1), abs=1e-6)


def test_planted_sigmas_that_are_too_small_or_missing_cover_less():
    def worse(dates, sigma):
        dates[::2] += 2.0
        sigma[0] = np.nan
        sigma[2] = 3.0
        return dates, sigma

    own = scored(worse)
    assert covered(own.error, own.sigma, 1.0) == pytest.approx(4 / 6)
    assert covered(own.error, own.sigma, 2.0) == pytest.approx(5 / 6)


def test_a_planted_loss_lowers_what_is_found_and_leaves_the_errors():
    def lose(dates, sigma):
        dates[0] = np.nan
        return dates, sigma

    own = scored(lose)
    assert own.found.sum() == 5 and own.complete.sum() == 5
    assert (rmse(own.error) == 0).all()


def test_a_planted_cycle_is_invented():
    def invent(dates, sigma):
        dates[1, -1] = middle_year()[0] - 30 + np.arange(7)
        sigma[1, -1] = 1.0
        return dates, sigma

    own = scored(invent)
    assert own.invented.tolist() == [False, True, *[False] * 4]
    nothing = np.full((2, 3, 7), np.nan)
    dates = nothing.copy()
    dates[0, 0] = middle_year()[0] + np.arange(7)
    assert match(nothing, dates, np.ones_like(dates), middle_year()).invented.tolist() == [True, False]


def test_one_merged_cycle_stands_for_one_of_two_crops():
    truth = truth_of("double crop", 4)
    merged = truth.copy()
    merged[:, ::2, 4:] = merged[:, 1::2, 4:]
    merged[:, 1::2] = np.nan
    own = match(truth, merged, np.ones_like(merged), middle_year())
    assert own.found.sum() <= 4
    assert not own.complete.any()


@given(true=st.lists(st.floats(0, 1000), max_size=5), own=st.lists(st.floats(0, 1000), max_size=5))
def test_pairs_are_one_to_one_and_near(true, own):
    partner = pair(np.array(true), np.array(own))
    used = partner[partner >= 0]
    assert len(set(used)) == len(used)
    for t, o in enumerate(partner):
        free = [k for k in range(len(own)) if k not in used]
        assert o < 0 or abs(true[t] - own[o]) <= 60
        assert o >= 0 or all(abs(true[t] - own[k]) > 60 for k in free)


def test_gates_turn_with_planted_errors():
    def joined(shift):
        return scored(lambda dates, sigma: (dates + shift, sigma))

    empty = Matched(
        error=np.empty((0, 7)),
        sigma=np.empty((0, 7)),
        found=np.empty(0, bool),
        complete=np.ones(4, bool),
        invented=np.zeros(4, bool),
    )
    good = synthetic_gates(joined(0.0), joined(0.0), {"bare": empty})
    assert [g.met for g in good] == [True] * 5 + [False], "all errors within sigma is too many"
    late = synthetic_gates(joined(7.0), joined(0.0), {"bare": empty})
    assert [g.met for g in late[:3]] == [False, False, True]
    one_late = joined(np.array([7.0, 0, 0, 0, 0, 0, 0]))
    assert not synthetic_gates(one_late, one_late, {"bare": empty})[1].met
    assert "not met" in late[0].words() and "not met" not in late[2].words()


def test_phenocam_errors_are_tabled_and_gated():
    rows = [("a", "DB", "rising", 0.25, 100.0, 100.0 + e, e) for e in (4.0, -4.0, np.nan)]
    rows += [("b", "GR", "falling", 0.10, 300.0, 310.0, 10.0)]
    names = ["roi", "veg_type", "direction", "share", "published", "own", "error"]
    result = phenocam_table(pd.DataFrame(rows, columns=names))
    rising = result[(result.veg_type == "DB") & (result.direction == "rising") & (result.share == 0.25)].iloc[
        0
    ]
    assert (rising.published, rising.found, rising.rmse, rising.bias) == (3, 2, 4.0, 0.0)
    assert [g.met for g in phenocam_gates(result)] == [True, True]
    for shift in (-3.0, 3.0):
        off = pd.DataFrame(rows, columns=names).assign(error=lambda t, by=shift: t.error + by)
        assert [g.met for g in phenocam_gates(phenocam_table(off))] == [True, False]


@pytest.mark.parametrize("share", SHARES)
def test_cameras_are_dated_at_the_shares_that_are_published(share):
    times = pd.date_range("2016-01-01", "2019-12-31", freq="3D")
    since = times.day_of_year.to_numpy(float)
    greenness = 0.33 + 0.1 * np.exp(-0.5 * ((since - 200) / 30) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.0005, times.size)
    own = roi_dates(pd.DataFrame({"date": times, "gcc_90": greenness + noise, "outlier": 0}))
    away = 30 * math.sqrt(-2 * math.log(share))
    first = pd.DatetimeIndex(["2016-01-01", "2017-01-01", "2018-01-01", "2019-01-01"])
    new_years = (first - pd.Timestamp("1970-01-01")).days.to_numpy(float)
    for direction, day in (("rising", 199 - away), ("falling", 199 + away)):
        np.testing.assert_allclose(own[direction, share], new_years + day, atol=3)


def test_the_nearest_date_within_reach_is_taken():
    dates = np.array([10.0, 90.0, np.nan])
    assert nearest(dates, 60.0) == 90.0
    assert math.isnan(nearest(dates, 151.0))


def test_the_engine_under_test_is_what_is_scored():
    shapes = score_shapes(range(5, 6), 3, (46,), dated_by=perfect)
    assert rmse(shapes[46]["Gaussian"].error).max() == 0
    assert shapes[46]["bare"].invented.all()
    assert with_cycles(shapes[46]).error.shape[1] == len(METRICS)


def test_the_page_is_written_twice_the_same(tmp_path, shared_data):
    texts = []
    for turn in ("one", "two"):
        page, images = tmp_path / turn / "docs" / "page.md", tmp_path / turn / "docs" / "images"
        assert main(["--tiny", "--page", str(page), "--images", str(images)]) == 0
        texts.append(page.read_bytes())
        for name in ("shapes", "synthetic-rmse", "sigma", "yardstick", "phenocam"):
            texts[-1] += (images / f"{name}.png").read_bytes()
            assert f"(images/{name}.png)" in page.read_text()
    assert texts[0] == texts[1]
    text = page.read_text()
    for shape in SHAPES:
        assert f"| {shape} |" in text
    assert "nan" not in text
    assert f"{len(TINY.seeds) * TINY.pixels} pixels" in text


def test_without_shared_data_the_page_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SSL4ECO_SHARED", str(tmp_path / "nothing"))
    page = tmp_path / "page.md"
    assert main(["--tiny", "--page", str(page), "--images", str(tmp_path / "images")]) == 0
    assert capsys.readouterr().err.count("SHARED DATA ABSENT") == 2
    assert page.read_text().count("*Not measured") == 2
    assert not (tmp_path / "images" / "phenocam.png").exists()
