"""Typical years on the circle, season windows, filling of gaps, and the phase of an image."""

import math
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_data.phenology import (
    PhenologyParameters,
    calendar_windows,
    cycle_of,
    dated_windows,
    fill_windows,
    season_windows,
)
from ssl4eco_data.phenology.climatology import circular_median, climatology, resultant_length
from ssl4eco_data.phenology.windows import flatten, window_columns, year_windows
from ssl4eco_data.types import METRICS, SEASONS, YEAR_DAYS

PARAMETERS = PhenologyParameters()
CYCLE = np.array([-80.0, -55, -30, 0, 40, 60, 85])


def test_the_median_of_days_around_new_year_is_new_year():
    days = np.array([360.0, 364, 2, 363, 5, 1]) + YEAR_DAYS * np.arange(6)
    assert circular_median(days) == pytest.approx(364.62, abs=1.5)
    assert 150 < np.mean(days % YEAR_DAYS) < 200


@given(shift=st.floats(0, 5000), seed=st.integers(0, 999))
@settings(deadline=None)
def test_the_circular_median_turns_with_the_circle(shift, seed):
    days = np.random.default_rng(seed).normal(50, 20, 9)
    turned = circular_median(days + shift) - circular_median(days) - shift
    assert (turned + 1e-6) % YEAR_DAYS == pytest.approx(0, abs=2e-6)


def test_resultant_length_tells_one_season_from_none():
    assert resultant_length(np.full(5, 17.0)) == pytest.approx(1)
    assert resultant_length(np.arange(8) * YEAR_DAYS / 8) == pytest.approx(0, abs=1e-9)


def cycles_at(peaks):
    return (np.asarray(peaks)[:, None] + CYCLE)[None]


def test_one_season_with_a_year_of_two_uses_one_cycle_a_year():
    peaks = np.array([200.0, 205, 198, 202, 320]) + YEAR_DAYS * np.array([0, 1, 2, 3, 3])
    typical = climatology(cycles_at(peaks), np.ones((1, 5)), 60)
    assert typical.seasons[0] == 1
    assert typical.rank[0].tolist() == [0, 0, 0, 0, -1]
    assert typical.cycles[0, 0] == 4
    assert typical.anchor[0, 0] == pytest.approx(202, abs=2)


def test_two_seasons_and_the_larger_leads():
    peaks = np.sort(np.concatenate([np.arange(4) * YEAR_DAYS + d for d in (5, 120)]))
    areas = np.tile([10.0, 20.0], 4)[None]
    typical = climatology(cycles_at(peaks), areas, 60)
    assert typical.seasons[0] == 2
    assert typical.anchor[0] == pytest.approx([120, 5])
    assert typical.rank[0].tolist() == [1, 0] * 4


@given(seed=st.integers(0, 10_000), count=st.integers(1, 12))
@settings(deadline=None)
def test_typical_dates_keep_their_order(seed, count):
    rng = np.random.default_rng(seed)
    dates = np.sort(rng.uniform(-150, 150, (1, count, 7)), axis=2)
    dates += np.sort(rng.uniform(0, 6 * YEAR_DAYS, count))[None, :, None]
    order = np.argsort(dates[0, :, 3])
    typical = climatology(dates[:, order], np.ones((1, count)), 60)
    assert (np.diff(typical.offset[0, 0]) >= 0).all()


def metrics(*days):
    return dict(zip(METRICS, days, strict=True))


ordered = st.lists(st.floats(0, 380), min_size=7, max_size=7).map(sorted)


@given(days=ordered, start=st.floats(-200, 200), minimum=st.floats(1, 60))
def test_four_windows_make_a_year(days, start, minimum):
    windows = year_windows(metrics(*(d + start for d in days)), None, minimum)
    lengths = [end - begin for begin, end in windows.values()]
    assert sum(lengths) == pytest.approx(YEAR_DAYS)
    assert min(lengths) >= minimum - 1e-9
    edges = [windows[s] for s in SEASONS]
    assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(edges))
    assert edges[3][1] - YEAR_DAYS == pytest.approx(edges[0][0])


def test_windows_that_are_long_enough_are_the_dates_themselves():
    windows = year_windows(metrics(90, 110, 130, 190, 250, 270, 300), None, 20)
    expected = [(90, 130), (130, 250), (250, 300), (300, 90 + YEAR_DAYS)]
    assert [windows[s] for s in SEASONS] == [pytest.approx(e) for e in expected]


@given(days=ordered, second=ordered, shrink=st.floats(0.1, 0.6))
def test_two_cycles_and_the_gaps_make_a_year(days, second, shrink):
    first = metrics(*(d * shrink for d in days))
    other = metrics(*(d * shrink * 0.7 + 180 for d in second))
    windows = year_windows(first, other, 20)
    lengths = [end - begin for begin, end in windows.values()]
    assert min(lengths) >= 20 - 1e-9
    spans = sorted(windows.values())
    start = spans[0][0]
    assert spans[-1][1] <= start + YEAR_DAYS + 1e-6
    assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(spans))


def test_the_smaller_cycle_belongs_to_no_window():
    first = metrics(300, 320, 340, 370, 400, 410, 430)
    second = metrics(80, 95, 110, 125, 140, 150, 165)
    windows = year_windows(first, second, 20)
    assert windows["spring"] == pytest.approx((300, 340))
    assert windows["autumn"] == pytest.approx((400, 430))
    assert windows["winter"] == pytest.approx((165 + YEAR_DAYS, 300 + YEAR_DAYS))
    covered = sum(end - start for start, end in windows.values())
    small, gap = 165 - 80, 80 + YEAR_DAYS - 430
    assert covered + small + gap == pytest.approx(YEAR_DAYS)


def row_of(windows):
    return flatten(windows)


@pytest.mark.parametrize("start", [-100.0, 90.5, 280.2])
def test_whole_days_meet_through_leap_years(start):
    row = row_of(year_windows(metrics(*(start + d for d in (0, 20, 40, 100, 160, 180, 200))), None, 20))
    windows = season_windows(row, range(2018, 2026))
    assert [w.season for w in windows[:4]] == list(SEASONS)
    assert all(a.end == b.start for a, b in pairwise(windows))
    for year in range(2018, 2026):
        days = sum((w.end - w.start).days for w in windows if w.year == year)
        assert days in (365, 366)
    total = (windows[-1].end - windows[0].start).days
    assert total == (date(2026, 1, 1) - date(2018, 1, 1)).days


def test_days_count_from_the_first_of_january_and_missing_seasons_have_no_window():
    row = row_of({"spring": (-10.0, 30.0), "summer": (370.0, 400.0)})
    windows = season_windows(row, [2020])
    assert [(w.season, w.start) for w in windows] == [
        ("spring", date(2019, 12, 22)),
        ("summer", date(2021, 1, 5)),
    ]
    assert windows[0].middle - windows[0].start == timedelta(days=20)


@pytest.mark.parametrize(("lat", "first"), [(50, date(2021, 3, 21)), (-30, date(2021, 9, 21))])
def test_the_calendar_is_mirrored_in_the_south(lat, first):
    windows = season_windows(row_of(calendar_windows(lat)), [2021, 2022])
    assert abs(windows[0].middle - first) <= timedelta(days=1)
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert abs((windows[1].middle - windows[0].middle).days - 91) <= 2


def table(statuses, ids=None):
    """A windows table; location i has spring from day 10 i."""
    frame = pd.DataFrame({"location_id": ids or [f"L{i}" for i in range(len(statuses))], "status": statuses})
    for k, column in enumerate(window_columns()):
        dated = frame["status"].isin(["ok", "low_confidence"])
        frame[column] = np.where(dated, 10.0 * np.arange(len(frame)) + k, np.nan)
    return frame


def test_gaps_are_filled_from_the_nearest_on_the_same_side_of_the_equator():
    windows = table(["ok", "no_cycle", "low_confidence", "no_data", "ok"])
    lon, lat = np.array([0.0, 0.0, 0.0, 0.0, 30.0]), np.array([1.0, -0.5, -3.0, 2.0, 2.0])
    filled = fill_windows(windows, lon, lat, PARAMETERS)
    assert filled["source"].tolist() == ["own", "neighbour", "own", "neighbour", "own"]
    assert filled["source_id"].tolist() == ["L0", "L2", "L2", "L0", "L4"]
    assert filled["spring_start_day"].tolist() == [0, 20, 20, 0, 40]
    assert filled["source_distance_km"][1] == pytest.approx(2.5 * 111.195, rel=1e-3)


def test_beyond_the_limit_the_calendar_and_across_the_date_line_the_neighbour():
    windows = table(["ok", "no_cycle", "no_cycle"])
    filled = fill_windows(windows, np.array([179.9, -179.9, 0.0]), np.array([10.0, 10.0, -40.0]), PARAMETERS)
    assert filled["source"].tolist() == ["own", "neighbour", "calendar"]
    assert filled["source_distance_km"][1] == pytest.approx(21.9, abs=0.1)
    assert pd.isna(filled["source_id"][2])
    assert math.isnan(filled["source_distance_km"][2])
    assert filled.loc[2, "spring_start_day"] == pytest.approx(calendar_windows(-40)["spring"][0])


def test_ties_go_to_the_smaller_id_whatever_the_order():
    for ids in (["a", "m", "b"], ["b", "m", "a"]):
        windows = table(["ok", "no_cycle", "ok"], ids)
        filled = fill_windows(windows, np.array([-1.0, 0.0, 1.0]), np.zeros(3), PARAMETERS)
        assert filled["source_id"][1] == "a"


def test_the_calendar_rule_dates_everything_by_calendar():
    parameters = PhenologyParameters(date_rule="calendar")
    filled = fill_windows(table(["ok", "no_data"]), np.zeros(2), np.array([5.0, -5.0]), parameters)
    assert filled["source"].tolist() == ["calendar"] * 2
    assert not filled[window_columns()].isna().any(axis=None)


def test_no_location_with_a_cycle_leaves_the_calendar():
    filled = fill_windows(table(["no_data", "no_cycle"]), np.zeros(2), np.ones(2), PARAMETERS)
    assert filled["source"].tolist() == ["calendar"] * 2


def test_fill_needs_a_place_for_every_row():
    with pytest.raises(ValueError, match="got 2 rows, 3 lon"):
        fill_windows(table(["ok", "ok"]), np.zeros(3), np.zeros(2), PARAMETERS)


def cycles(*greenups, rank=0):
    return pd.DataFrame({"greenup": greenups, "greenup_sigma": 2.0, "season_rank": rank})


def test_phase_runs_from_greenup_to_greenup():
    own = pd.concat([cycles(1000.0, 1370.0, 1730.0), cycles(1200.0, rank=1)])
    assert cycle_of(1000.0, own) == (0, 2, 0)
    assert cycle_of(1185.0, own) == (185, 2, pytest.approx(0.5))
    assert cycle_of(1369.9, own)[2] < 1
    assert cycle_of(1730 + YEAR_DAYS / 4, own)[2] == pytest.approx(0.25)


@pytest.mark.parametrize("time", [999.0, 1730 + 366.0])
def test_no_phase_outside_the_known_cycles(time):
    assert all(map(math.isnan, cycle_of(time, cycles(1000.0, 1370.0, 1730.0))))
    assert all(map(math.isnan, cycle_of(time, None)))


def test_no_phase_in_a_year_without_a_cycle():
    assert math.isnan(cycle_of(1500.0, cycles(1000.0, 1730.0))[0])


def test_windows_around_own_dates_hold_every_day_within_reach_and_no_other():
    visit = date(2020, 2, 28)
    (window,) = dated_windows({"visit": visit, "later": None}, 3)
    days = [visit + timedelta(days=n) for n in range(-5, 6)]
    assert [day for day in days if day in window] == days[2:9]
    assert (window.season, window.year, window.middle) == ("visit", 2020, visit)
    (same,) = dated_windows({"visit": visit}, 0)
    assert [day for day in days if day in same] == [visit]
