"""Real series: flux sites, a season across New Year, double cropping, Sentinel-2 over 16 months."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from phenology_curves import YEAR, series_of

from ssl4eco_data.phenology import PhenologyParameters, derive_cycles, summarise
from ssl4eco_data.phenology.climatology import climatology
from ssl4eco_data.types import METRICS, SEASONS

PARAMETERS = PhenologyParameters()
rasterio = pytest.importorskip("rasterio", reason="the real rasters need rasterio")


def days_since_1970(times):
    return (pd.DatetimeIndex(times) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def flux(shared_data):
    frame = pd.read_csv(shared_data / "mod13a1-flux-sites" / "mod13a1.csv.gz", parse_dates=["date"])
    frame = frame.dropna(subset=["EVI", "DayOfYear", "SummaryQA"])
    doy = frame["DayOfYear"].to_numpy()
    year = frame["date"].dt.year + (doy < frame["date"].dt.day_of_year - 30)
    frame["day"] = days_since_1970(pd.to_datetime(year.astype(str) + "-01-01")) + doy - 1
    return frame


def typical(result, pixel=0):
    return climatology(result["date"].to_numpy()[[pixel]], result["area"].to_numpy()[[pixel]], 60)


def site(flux, name):
    own = flux[flux["site"] == name]
    weight = own["SummaryQA"].map({0: 1.0, 1: 0.5, 2: 0.5, 3: 0.1}).to_numpy()
    snow = (own["SummaryQA"] == 2).to_numpy()
    return derive_cycles(
        series_of(own["day"].to_numpy(), own["EVI"].to_numpy() * 1e-4, weight=weight, snow=snow, index="evi"),
        PARAMETERS,
    )


def test_a_southern_savanna_matures_around_new_year(flux):
    year = typical(site(flux, "AU-How"))
    maturity = (year.anchor[0, 0] + year.offset[0, 0, METRICS.index("maturity")]) % YEAR
    assert min(maturity, YEAR - maturity) < 25
    assert year.cycles[0, 0] >= 12


def test_northern_sites_green_up_in_spring(flux):
    for name in sorted(set(flux["site"]) & {"AT-Neu", "IT-Col", "CA-NS6", "CN-Cha", "CZ-wet", "DE-Obe"}):
        year = typical(site(flux, name))
        mid = (year.anchor[0, 0] + year.offset[0, 0, 1]) % YEAR
        fall = (year.anchor[0, 0] + year.offset[0, 0, 5]) % YEAR
        assert 90 < mid < 185, (name, mid)
        assert 200 < fall < 335, (name, fall)


def test_soy_and_maize_are_two_cycles(shared_data):
    with rasterio.open(shared_data / "mod13q1-sinop" / "evi.tif") as source:
        cube = source.read()[:, ::4, ::4].astype(float)
    value = np.where(cube > -2000, cube * 1e-4, np.nan).reshape(cube.shape[0], -1).T[:, -115:]
    composite = [
        np.datetime64(f"{year}-01-01") + np.timedelta64(day, "D")
        for year in range(2000, 2018)
        for day in range(0, 365, 16)
    ]
    first = composite.index(np.datetime64("2000-02-18"))
    day = days_since_1970(composite[first : first + cube.shape[0]])[-115:] + 8
    result = derive_cycles(series_of(day, value, index="evi"), PARAMETERS)
    seasons = climatology(result["date"].to_numpy(), result["area"].to_numpy(), 60).seasons
    assert np.mean(seasons == 2) > 0.3


@pytest.fixture(scope="module")
def belgium(shared_data):
    root = shared_data / "s2-belgium-31UDS"
    items = json.loads((root / "items.json").read_text())["features"]
    times, values, weights, snows = [], [], [], []

    def read(item, name):
        asset = item["assets"].get(name) or item["assets"][{"B04": "red", "B08": "nir", "SCL": "scl"}[name]]
        with rasterio.open(root / asset["href"]) as source:
            return source.read(1)

    for item in sorted(items, key=lambda i: i["properties"]["datetime"]):
        red, nir = (read(item, b).astype(float) / 1e4 for b in ("B04", "B08"))
        scl = np.kron(read(item, "SCL"), np.ones((2, 2), np.uint8))
        with np.errstate(divide="ignore", invalid="ignore"):
            evi2 = np.where((red > 0) & (nir > 0), 2.5 * (nir - red) / (nir + 2.4 * red + 1), np.nan)
        times.append(pd.Timestamp(item["properties"]["datetime"]).tz_convert(None))
        values.append(evi2)
        weights.append(np.select([np.isin(scl, (4, 5)), scl == 7], [1.0, 0.5], 0.0))
        snows.append(scl == 11)
    day = days_since_1970(times).to_numpy()
    dims = ("location", "time", "y", "x")
    value = np.array(values)[None, :, ::4, ::4]
    return xr.Dataset(
        {
            "value": (dims, value),
            "weight": (dims, np.array(weights)[None, :, ::4, ::4]),
            "snow": (dims, np.array(snows)[None, :, ::4, ::4]),
            "day": (dims, np.broadcast_to(day[None, :, None, None], value.shape)),
            "inside": (("location", "y", "x"), np.ones((1, *value.shape[2:]), bool)),
        },
        coords={"location": ["belgium"], "time": pd.DatetimeIndex(times).as_unit("ns")},
        attrs={"index": "evi2"},
    )


def test_sixteen_months_of_sentinel_2_give_windows_flagged_low(belgium):
    pixels = derive_cycles(belgium, PARAMETERS)
    row = summarise(pixels, belgium, PARAMETERS).windows.iloc[0]
    assert row["status"] == "low_confidence"
    assert sum(row[f"{s}_end_day"] - row[f"{s}_start_day"] for s in SEASONS) <= YEAR + 1e-6
    assert row["pixels"] > 20
    days = [row[f"{m}_day"] for m in METRICS]
    assert days == sorted(days)
    assert 30 < row["peak_day"] < 300
    dated = np.isfinite(pixels["date"].isel(metric=3)).any("cycle")
    assert float(dated.mean()) > 0.5
