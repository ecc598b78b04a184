"""Dates of every cycle: right on known curves, nothing invented, the same however the series is laid out."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from phenology_curves import YEAR, crossings_of, season, series_of, yearly

from ssl4eco_data.phenology import PhenologyParameters, derive_cycles, smooth
from ssl4eco_data.types import METRICS

PARAMETERS = PhenologyParameters()
START = 17897.0
OK, LOW, NO_CYCLE, NO_DATA = 0, 1, 2, 3
PEAK = METRICS.index("peak")


def days(years, step=8.0, start=START):
    return np.arange(start + 3, start + years * YEAR, step)


def noisy(curve, seed=0, sd=0.02):
    return curve + np.random.default_rng(seed).normal(0, sd, np.shape(curve))


def dates_of(series, parameters=PARAMETERS):
    return derive_cycles(series, parameters)["date"].to_numpy()


def errors(dates, truth, years):
    """(year, metric) of date - truth for the cycles that match a true peak."""
    found = dates[np.isfinite(dates[:, PEAK])]
    wanted = np.array([truth + START + y * YEAR for y in range(years)])
    nearest = np.abs(found[:, None, PEAK] - wanted[None, :, PEAK]).argmin(axis=1)
    return found - wanted[nearest]


@pytest.mark.parametrize("step", [8.0, 16.0])
@pytest.mark.parametrize(("start", "end"), [(110, 280), (290, 460), (340, 470), (15, 160)])
def test_dates_of_a_known_curve(step, start, end):
    """Northern, southern and year-end seasons."""
    day = days(5, step)
    value = np.array([noisy(yearly(day - START, start, end), seed) for seed in range(20)])
    result = derive_cycles(series_of(day, value), PARAMETERS)
    error = np.concatenate([errors(d, crossings_of(start, end), 5) for d in result["date"].to_numpy()])
    rmse = np.sqrt((error**2).mean(axis=0))
    assert (result["status"] == OK).all()
    limits = np.array([6, 3.5, 10, 40, 10, 3.5, 6]) * (1.0 if step == 8 else 1.6)
    assert (rmse < limits).all(), rmse
    assert len(error) >= 20 * 4


def test_sigma_is_of_the_size_of_the_errors():
    day = days(5)
    value = np.array([noisy(yearly(day - START, 110, 280), seed) for seed in range(60)])
    result = derive_cycles(series_of(day, value), PARAMETERS)
    for metric, truth in ((1, crossings_of(110, 280)[1]), (5, crossings_of(110, 280)[5])):
        date, sigma = (result[n].to_numpy()[..., metric] for n in ("date", "sigma"))
        error = (date - START - truth + YEAR / 2) % YEAR - YEAR / 2
        dated = np.isfinite(error)
        assert 0.5 < np.mean(np.abs(error[dated]) < sigma[dated]) < 0.85


def test_outputs_and_their_units():
    day = days(3)
    result = derive_cycles(series_of(day, noisy(yearly(day - START, 110, 280))), PARAMETERS)
    assert result["date"].dims == ("pixel", "cycle", "metric")
    assert result.sizes["cycle"] == 9
    assert list(result["metric"].to_numpy()) == list(METRICS)
    dated = np.isfinite(result["date"])
    assert (np.diff(result["date"].to_numpy()[0, :3], axis=1) >= 0).all()
    assert ((result["quality"] <= 3) == dated).all()
    assert (result["quality"].where(dated) == 0).sum() > 10
    assert result["amplitude"].to_numpy()[0, :3] == pytest.approx(0.36, abs=0.08)
    assert result["status"].attrs["flag_meanings"].split()[int(result["status"][0])] == "ok"


def test_double_cropping_keeps_both_cycles():
    day = days(4)
    value = np.full((20, day.size), 0.15)
    for year in range(-1, 5):
        value += 0.3 * season(day - START - year * YEAR, 60, 150, 0.12, 0.12)
        value += 0.4 * season(day - START - year * YEAR, 190, 285, 0.12, 0.12)
    value = noisy(value)
    found = np.isfinite(dates_of(series_of(day, value))[..., PEAK]).sum(axis=1)
    assert np.mean(found == 8) >= 0.95


def test_evergreen_with_noise_and_clouds_invents_nothing():
    rng = np.random.default_rng(5)
    day = days(3)
    value = 0.45 + 0.015 * np.sin(2 * np.pi * day / YEAR) + rng.normal(0, 0.02, (600, day.size))
    value -= np.where(rng.random(value.shape) < 0.08, rng.uniform(0.05, 0.25, value.shape), 0)
    value[rng.random(value.shape) < 0.2] = np.nan
    result = derive_cycles(series_of(day, value), PARAMETERS)
    assert float((result["status"] != NO_CYCLE).mean()) <= 0.01
    assert np.isnan(result["date"].to_numpy()[result["status"].to_numpy() == NO_CYCLE]).all()


def test_boreal_snow_is_background():
    """Snow values are far below the background; dates must come from the leaves."""
    day = days(4)
    curve = yearly(day - START, 150, 250)
    doy = (day - START) % YEAR
    snow = (doy < 100) | (doy > 300)
    value = np.array([np.where(snow, -0.05, noisy(curve, s)) for s in range(20)])
    error = [errors(d, crossings_of(150, 250), 4) for d in dates_of(series_of(day, value, snow=snow))]
    rmse = np.sqrt((np.concatenate(error) ** 2).mean(axis=0))
    assert rmse[[0, 1, 5, 6]].max() < 7, rmse


def test_polar_night_only_leaves_a_gap():
    day = days(4)
    value = noisy(yearly(day - START, 160, 245))
    doy = (day - START) % YEAR
    value[(doy < 60) | (doy > 300)] = np.nan
    dates = dates_of(series_of(day, value))[0]
    error = errors(dates, crossings_of(160, 245), 4)
    assert np.isfinite(dates[:, PEAK]).sum() == 4
    assert np.abs(error[:, [1, 5]]).max() < 8


def test_a_long_gap_loses_quality_not_its_head():
    day = days(3)
    value = noisy(yearly(day - START, 110, 280))
    since = day - START - YEAR
    value[(since > 85) & (since < 145)] = np.nan
    result = derive_cycles(series_of(day, value), PARAMETERS)
    error = errors(result["date"].to_numpy()[0], crossings_of(110, 280), 3)
    assert np.abs(error[:, 1]).max() < 15
    assert result["quality"].to_numpy()[0, 1, 1] > result["quality"].to_numpy()[0, 0, 1]
    assert result["sigma"].to_numpy()[0, 1, 1] > result["sigma"].to_numpy()[0, 0, 1]


def test_leap_years_do_not_move_dates():
    """Twelve years of one curve: errors have no trend and no step."""
    day = days(12)
    dates = dates_of(series_of(day, yearly(day - START, 110, 280)))[0]
    mid = dates[np.isfinite(dates[:, 1]), 1]
    assert len(mid) == 12
    years = np.arange(len(mid))
    slope, start = np.polyfit(years, mid, 1)
    assert abs(slope - YEAR) < 0.1, "a day lost every fourth year would be 0.25 a year"
    np.testing.assert_allclose(mid, start + slope * years, atol=1.5)


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_too_few_observations_are_no_data(count):
    day = days(3)
    value = noisy(yearly(day - START, 110, 280))
    value[count:] = np.nan
    if count == 20:
        value = np.where(np.arange(day.size) % 7 == 0, noisy(yearly(day - START, 110, 280)), np.nan)
    result = derive_cycles(series_of(day, value), PARAMETERS)
    assert int(result["status"][0]) == NO_DATA
    assert np.isnan(result["date"]).all()


def test_few_cycles_are_low_confidence():
    day = days(1.35)
    result = derive_cycles(series_of(day, noisy(yearly(day - START, 110, 280))), PARAMETERS)
    assert int(result["status"][0]) == LOW
    assert np.isfinite(result["date"].to_numpy()[0, :, PEAK]).sum() == 1


def test_a_cycle_cut_by_the_end_of_the_record_is_left_out():
    day = np.arange(START + 150, START + 2 * YEAR + 150, 8)
    dates = dates_of(series_of(day, noisy(yearly(day - START, 110, 280))))[0]
    peaks = dates[np.isfinite(dates[:, PEAK]), PEAK]
    assert len(peaks) == 1


def test_unscaled_integers_never_give_dates():
    day = days(3)
    value = np.round(1e4 * noisy(yearly(day - START, 110, 280)))
    with pytest.raises(ValueError, match="scale factor"):
        derive_cycles(
            series_of(day, value).assign(value=(("pixel", "time"), value[None].astype(int))), PARAMETERS
        )
    with pytest.raises(ValueError, match="apply the scale factor"):
        derive_cycles(series_of(day, value), PARAMETERS)


def test_bad_series_are_named():
    day = days(2)
    series = series_of(day, noisy(yearly(day - START, 110, 280)))
    with pytest.raises(ValueError, match="needs the variable 'day'"):
        derive_cycles(series.drop_vars("day"), PARAMETERS)
    with pytest.raises(ValueError, match=r"attrs\['index'\].*got 'lai'"):
        derive_cycles(series.assign_attrs(index="lai"), PARAMETERS)
    with pytest.raises(ValueError, match="needs the dimension 'time'"):
        derive_cycles(series.rename(time="t"), PARAMETERS)


def test_layout_and_chunking_do_not_matter():
    rng = np.random.default_rng(1)
    day = days(3)
    value = yearly(day - START, 110, 280)[None, None] + rng.normal(0, 0.03, (4, 5, day.size))
    true_day = day + rng.integers(0, 8, (4, 5, day.size))
    dims = ("y", "x", "time")
    whole = series_of(true_day, value, dims=dims)
    expected = derive_cycles(whole, PARAMETERS)
    for chunks in ({"y": 1, "x": 2, "time": 10}, {"y": 4, "x": 1, "time": -1}):
        lazy = derive_cycles(whole.transpose("time", "x", "y").chunk(chunks), PARAMETERS)
        assert lazy["date"].chunks is not None
        xr.testing.assert_identical(lazy.transpose(*expected["date"].dims).compute(), expected)


def test_smooth_follows_the_curve_and_passes_clouds_by():
    day = days(3)
    value = noisy(yearly(day - START, 110, 280))
    value[::9] -= 0.2
    at = day[5:-5] + 3.5
    curve = smooth(day, value, np.ones(day.size), at, PARAMETERS, index="evi2")
    assert np.abs(curve - yearly(at - START, 110, 280)).mean() < 0.025
    assert np.isnan(smooth(day[:2], value[:2], np.ones(2), at, PARAMETERS)).all()


def raw_series(seed):
    """Irregular, cloudy, gappy, with some snow: what invariances must hold for."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.choice(np.arange(START, START + 3 * YEAR), 110, replace=False))
    start, length = rng.uniform(60, 300), rng.uniform(90, 170)
    value = yearly(day - START, start, start + length, 0.2, rng.uniform(0.15, 0.5)) + rng.normal(
        0, 0.02, day.size
    )
    value -= np.where(rng.random(day.size) < 0.08, 0.15, 0)
    value[rng.random(day.size) < 0.1] = np.nan
    weight = rng.choice([1.0, 0.5], day.size)
    snow = rng.random(day.size) < 0.05
    return day, value, weight, snow


def run(day, value, weight, snow, parameters=PARAMETERS):
    dates = dates_of(series_of(day, value, weight=weight, snow=snow), parameters)[0]
    return dates[np.isfinite(dates[:, PEAK])]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_reversing_time_mirrors_the_dates(seed):
    day, value, weight, snow = raw_series(seed)
    forward = run(day, value, weight, snow)
    backward = run(-day[::-1], value[::-1], weight[::-1], snow[::-1])
    np.testing.assert_allclose(-backward[::-1, ::-1], forward, atol=1e-3)


@given(seed=st.integers(0, 10_000), shift=st.integers(-4000, 4000))
@settings(max_examples=25, deadline=None)
def test_shifting_time_shifts_the_dates(seed, shift):
    day, value, weight, snow = raw_series(seed)
    np.testing.assert_allclose(
        run(day + shift, value, weight, snow), run(day, value, weight, snow) + shift, atol=1e-4
    )


@given(seed=st.integers(0, 10_000), gain=st.floats(0.2, 5), offset=st.floats(-1, 1))
@settings(max_examples=25, deadline=None)
def test_gain_and_offset_change_nothing_when_the_profile_follows(seed, gain, offset):
    day, value, weight, snow = raw_series(seed)
    profile = PARAMETERS.evi2
    moved = PARAMETERS.model_copy(
        update={
            "evi2": profile.model_copy(
                update={name: gain * getattr(profile, name) for name in ("despike_depth", "min_amplitude")}
                | {n: gain * getattr(profile, n) + offset for n in ("floor", "valid_min", "valid_max")}
            )
        }
    )
    np.testing.assert_allclose(
        run(day, gain * value + offset, weight, snow, moved), run(day, value, weight, snow), atol=1e-3
    )


@given(seed=st.integers(0, 10_000), more=st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_appending_missing_observations_changes_nothing(seed, more):
    day, value, weight, snow = raw_series(seed)
    rng = np.random.default_rng(seed)
    longer = np.concatenate([day, np.where(rng.random(more) < 0.5, np.nan, day[-1] + 30)])
    nan = np.full(more, np.nan)
    padded = run(
        longer, np.concatenate([value, nan]), np.concatenate([weight, 0 * nan + 1]), np.append(snow, nan > 0)
    )
    np.testing.assert_array_equal(padded, run(day, value, weight, snow))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_observations_does_not_matter(seed):
    day, value, weight, snow = raw_series(seed)
    order = np.random.default_rng(seed).permutation(day.size)
    mixed = run(day[order], value[order], weight[order], snow[order])
    np.testing.assert_array_equal(mixed, run(day, value, weight, snow))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_metrics_are_in_order_and_inside_the_record(seed):
    day, *rest = raw_series(seed)
    dates = run(day, *rest)
    assert (np.diff(dates, axis=1) >= 0).all()
    assert (np.diff(dates[:, PEAK]) > 0).all()
    assert ((dates >= day[0]) & (dates <= day[-1])).all()
