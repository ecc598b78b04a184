"""From pixels to a location: which pixels count, mixtures, two seasons, statuses and table layout."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from phenology_curves import YEAR, crossings_of, season, yearly

from ssl4eco_data.phenology import PhenologyParameters, derive_cycles, summarise
from ssl4eco_data.types import METRICS, SEASONS

PARAMETERS = PhenologyParameters()
START = 17897.0
DAY = np.arange(START + 3, START + 5 * YEAR, 16.0)
DECIDUOUS = yearly(DAY - START, 110, 280)
SOUTHERN = yearly(DAY - START, 330, 490)
EVERGREEN = np.full(DAY.size, 0.5)
DESERT = np.full(DAY.size, 0.06)
MISSING = np.full(DAY.size, np.nan)


def series_of_locations(*places, inside=None):
    """Each place is nine curves; noise is added."""
    rng = np.random.default_rng(3)
    value = np.array(places).reshape(len(places), 3, 3, DAY.size).transpose(0, 3, 1, 2)
    value = value + rng.normal(0, 0.015, value.shape)
    dims = ("location", "time", "y", "x")
    where = np.ones((len(places), 3, 3), bool) if inside is None else inside
    return xr.Dataset(
        {
            "value": (dims, value.astype("f4")),
            "weight": (dims, np.isfinite(value).astype("f4")),
            "snow": (dims, np.zeros(value.shape, bool)),
            "day": (dims, np.broadcast_to(DAY[None, :, None, None], value.shape)),
            "inside": (("location", "y", "x"), where),
        },
        coords={"location": [f"L{i}" for i in range(len(places))]},
        attrs={"index": "evi"},
    )


def summary_of(*places, inside=None, parameters=PARAMETERS):
    series = series_of_locations(*places, inside=inside)
    return summarise(derive_cycles(series, parameters), series, parameters)


def test_a_location_of_one_cover():
    result = summary_of([DECIDUOUS] * 9, [SOUTHERN] * 9)
    north, south = (result.windows.iloc[i] for i in (0, 1))
    truth = crossings_of(110, 280)
    assert (north["status"], north["pixels"], north["years"]) == ("ok", 9, 5)
    assert abs(north["greenup_day"] - truth[0]) < 8
    assert abs(north["dormancy_day"] - truth[6]) < 8
    assert abs(south["peak_day"] - (crossings_of(330, 490)[3] - YEAR)) < 20, "the top is flat"
    assert south["greenup_day"] < 0 < south["peak_day"] < YEAR
    for row in (north, south):
        days = [row[f"{m}_day"] for m in METRICS]
        assert days == sorted(days)
        ends = [row[f"{s}_end_day"] - row[f"{s}_start_day"] for s in SEASONS]
        assert sum(ends) == pytest.approx(YEAR)


def test_statuses_without_dates():
    result = summary_of([EVERGREEN] * 9, [DESERT] * 9, [MISSING] * 9, [DECIDUOUS] + [EVERGREEN] * 8)
    assert result.windows["status"].tolist() == ["no_cycle", "no_cycle", "no_data", "no_cycle"]
    assert result.windows["spring_start_day"].isna().all()
    assert result.windows["vegetated_fraction"].tolist()[:2] == [1, 0]
    assert result.cycles.empty


def test_a_mixture_is_dated_by_its_larger_part():
    other = yearly(DAY - START, 180, 330)
    row = summary_of([DECIDUOUS] * 5 + [other] * 4).windows.iloc[0]
    assert row["pixels"] == 5
    assert abs(row["mid_greenup_day"] - crossings_of(110, 280)[1]) < 6
    tie = summary_of([other] * 4 + [EVERGREEN] + [DECIDUOUS] * 4).windows.iloc[0]
    assert abs(tie["mid_greenup_day"] - crossings_of(110, 280)[1]) < 6


def test_only_pixels_inside_the_footprint_count():
    inside = np.zeros((1, 3, 3), bool)
    inside[0, 0, 0] = True
    row = summary_of([DECIDUOUS] + [SOUTHERN] * 8, inside=inside).windows.iloc[0]
    assert row["pixels"] == 1
    assert abs(row["mid_greenup_day"] - crossings_of(110, 280)[1]) < 8
    none = summary_of([DECIDUOUS] + [SOUTHERN] * 8, inside=np.zeros((1, 3, 3), bool)).windows.iloc[0]
    assert none["pixels"] == 8


def test_two_cycles_a_year_are_both_kept():
    double = np.full(DAY.size, 0.15)
    for year in range(-1, 7):
        double += 0.35 * season(DAY - START - year * YEAR, 60, 150, 0.12, 0.12)
        double += 0.45 * season(DAY - START - year * YEAR, 200, 300, 0.12, 0.12)
    result = summary_of([double] * 9)
    row = result.windows.iloc[0]
    assert row["cycles_per_year"] == 2
    assert 230 < row["peak_day"] < 270
    ranks = result.cycles["season_rank"].value_counts()
    assert ranks[0] >= 4
    assert ranks[1] >= 4
    assert result.cycles["peak"].is_monotonic_increasing
    assert row["winter_end_day"] - row["winter_start_day"] < 150


def test_a_short_record_still_gives_windows():
    short = np.where(START + 1.35 * YEAR > DAY, DECIDUOUS, np.nan)
    row = summary_of([short] * 9).windows.iloc[0]
    assert (row["status"], row["years"]) == ("low_confidence", 1)
    assert np.isfinite(row["spring_start_day"])


def test_tables_have_their_columns_and_types_even_when_empty():
    result = summary_of([DECIDUOUS] * 9, [MISSING] * 9)
    windows, cycles, series = result.windows, result.cycles, result.series
    assert windows["cycles_per_year"].dtype == "int8"
    assert windows["years"].dtype == "int16"
    assert list(cycles)[:5] == ["location_id", "cycle", "season_rank", "greenup", "greenup_sigma"]
    assert cycles["cycle"].tolist() == list(range(len(cycles)))
    assert dict(series.dtypes.astype(str)) == {
        "location_id": "str",
        "day": "float64",
        "value": "float32",
        "weight": "float32",
        "snow": "bool",
    }
    assert set(series["location_id"]) == {"L0"}
    empty = summary_of([MISSING] * 9)
    assert empty.cycles.dtypes.equals(cycles.dtypes)
    assert empty.series.dtypes.equals(series.dtypes)


def test_the_mean_series_is_of_vegetated_pixels():
    series = summary_of([DECIDUOUS] * 3 + [DESERT] * 6).series
    assert np.abs(series["value"].to_numpy() - DECIDUOUS).max() < 0.05
    assert (series["day"].to_numpy() == DAY).all()


def test_locations_do_not_influence_each_other():
    alone = summary_of([DECIDUOUS] * 9)
    together = summary_of([DECIDUOUS] * 9, [SOUTHERN] * 9)
    pd.testing.assert_frame_equal(together.windows.iloc[:1], alone.windows)


def test_beside_the_windows_stands_the_spread_over_the_pixels():
    shifts = [0, 2, 4, 6, 8, 10, 12, 14, 16]
    places = [yearly(DAY - START, 110 + shift, 280 + 2 * shift) for shift in shifts]
    row = summary_of(places).windows.iloc[0]
    alike = summary_of([DECIDUOUS] * 9).windows.iloc[0]
    assert (row["pixels"], row["vegetated_fraction"]) == (9, 1)
    for name, expected in (("greenup", 8), ("maturity", 8), ("senescence", 16), ("dormancy", 16)):
        assert abs(row[f"{name}_iqr"] - expected) < 4
        assert alike[f"{name}_iqr"] < 4


def test_the_share_of_vegetated_pixels_is_of_those_with_data():
    row = summary_of([DECIDUOUS] * 4 + [DESERT] * 2 + [MISSING] * 3).windows.iloc[0]
    assert (row["pixels"], row["vegetated_fraction"]) == (4, pytest.approx(4 / 6))
    none = summary_of([MISSING] * 9).windows.iloc[0]
    assert none["pixels"] == 0
    assert none[["vegetated_fraction", "snow_fraction", "maturity_iqr"]].isna().all()


def test_the_share_with_snow_is_of_the_vegetated_pixels():
    series = series_of_locations([DECIDUOUS] * 4 + [DESERT] * 5)
    snow = np.zeros(series["snow"].shape, bool)
    snow[0, :3, 0, 0] = snow[0, 0, 1, 1] = snow[0, 0, 0, 2] = True
    series["snow"] = series["snow"].dims, snow
    series["value"][0, 0, 0, 2] = np.nan
    row = summarise(derive_cycles(series, PARAMETERS), series, PARAMETERS).windows.iloc[0]
    assert row["snow_fraction"] == pytest.approx(1 / 4), "desert, and snow without an observation, count not"
