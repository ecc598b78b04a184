"""MCD12Q2 by one request per location, as cycles, and as season windows of a dataset."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import ee
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from ee_server import TOKEN, Server, serving
from ee_world import METRICS as NAMES
from ee_world import MODIS_COLUMN, MODIS_PIXEL_M, MODIS_ROW, World, write_world
from google.oauth2.credentials import Credentials
from pyproj import Transformer

from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.config import Config, load
from ssl4eco_data.errors import ArchiveError, ConfigError
from ssl4eco_data.phenology.readers.mcd12q2_cycles import product_cycles
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.attempts import run_in_threads
from ssl4eco_data.pipeline.run import build
from ssl4eco_data.types import METRICS, Footprint, Location

PLACES = [
    Footprint(epsg=32631, west_m=501_040, north_m=5_631_980, size_m=2_560),
    Footprint(epsg=32631, west_m=504_820, north_m=5_630_980, size_m=1_280),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Server]:
    ee.Reset()
    with serving(world) as served:
        ee.Initialize(Credentials(TOKEN), url=served.url, project="p")
        yield served
    ee.Reset()


@pytest.fixture
def archive(server: Server) -> EarthEngineArchive:
    server.requests.clear()
    return EarthEngineArchive(EarthEngineParameters(project="p", url=server.url, retries=0))


def located(footprints: list[Footprint]) -> list[Location]:
    return [
        Location(location_id=f"L{i}", lon_deg=3.03, lat_deg=50.81, footprint=each)
        for i, each in enumerate(footprints)
    ]


def true_pixels(world: World, footprint: Footprint, year: int, band: str) -> np.ndarray:
    """The values of all pixels whose centres lie in the footprint, from the sphere's own formula."""
    array = world.pixels[f"mcd12q2_{year}"][band]
    rows, columns = np.indices(array.shape)
    x = -20015109.354 + (MODIS_COLUMN + 2 * columns + 1) * MODIS_PIXEL_M
    y = 10007554.677 - (MODIS_ROW + 2 * rows + 1) * MODIS_PIXEL_M
    lat = y / 6371007.181
    lon = x / (6371007.181 * np.cos(lat))
    east, north = Transformer.from_crs(4326, footprint.epsg, always_xy=True).transform(
        np.degrees(lon), np.degrees(lat)
    )
    west_m, south_m, east_m, north_m = footprint.bounds_m
    return array[(east >= west_m) & (east < east_m) & (north > south_m) & (north <= north_m)]


def test_the_product_is_one_request_per_location_and_exactly_its_pixels(archive, server, world):
    product = archive.phenology_product(located(PLACES), 2017, 2020)
    assert server.requests == ["image:computePixels"] * 2
    assert product["Greenup_1"].dims == ("location", "year", "y", "x")
    assert list(product["year"].to_numpy()) == [2017, 2018, 2019, 2020]
    assert list(product["location"].to_numpy()) == ["L0", "L1"]
    assert set(product.data_vars) >= {f"{name}_{n}" for name in NAMES for n in (1, 2)} | {"QA_Detailed_2"}
    for place, footprint in enumerate(PLACES):
        one = product.isel(location=place)
        inside = one["inside"].to_numpy()
        assert inside.sum() * (2 * MODIS_PIXEL_M) ** 2 == pytest.approx(footprint.size_m**2, rel=0.4)
        for band in set(product.data_vars) - {"inside"}:
            assert product[band].dtype == np.int16
            for year in (2017, 2018, 2020):
                found = one[band].sel(year=year).to_numpy()[inside]
                np.testing.assert_array_equal(found, true_pixels(world, footprint, year, band))
            assert (one[band].sel(year=2019) == 32767).all()
    assert (product["Greenup_2"] < 32767).any() and (product["Greenup_1"] == 32767).any()


def test_years_without_any_image_and_years_in_the_wrong_order_are_errors(archive):
    with pytest.raises(ArchiveError, match="MCD12Q2 has no image from 1990 to 1995") as caught:
        archive.phenology_product(located(PLACES[:1]), 1990, 1995)
    assert not caught.value.transient
    assert archive.phenology_product([], 2017, 2018).sizes["location"] == 0
    with pytest.raises(ValueError, match="2020 and 2017"):
        archive.phenology_product(located(PLACES[:1]), 2020, 2017)


def one_pixel(**changes: list[int]) -> xr.Dataset:
    """Three years of a pixel with one cycle; ``changes`` give a band's values by year."""
    days = [(date(year, 4, 1) - date(1970, 1, 1)).days for year in (2017, 2018, 2019)]
    bands = {f"{name}_1": [day + 30 * i for day in days] for i, name in enumerate(NAMES)}
    bands |= {"QA_Detailed_1": [0] * 3, "EVI_Minimum_1": [1000] * 3, "EVI_Amplitude_1": [4000] * 3}
    bands |= {"EVI_Area_1": [600] * 3, "NumCycles": [1] * 3}
    others = (*NAMES, "QA_Detailed", "EVI_Minimum", "EVI_Amplitude", "EVI_Area")
    bands |= {f"{name}_2": [32767] * 3 for name in others}
    return xr.Dataset({name: ("year", np.array(v, np.int16)) for name, v in (bands | changes).items()})


def test_the_cycles_of_a_pixel_carry_the_numbers_of_the_product():
    cycles = product_cycles(one_pixel())
    assert cycles["date"].dims == ("cycle", "metric") and cycles.sizes["cycle"] == 6
    peak = cycles["date"].sel(metric="peak").to_numpy()
    expected = [(date(year, 4, 1) - date(1970, 1, 1)).days + 90 for year in (2017, 2018, 2019)]
    np.testing.assert_array_equal(peak[:3], expected)
    assert np.isnan(peak[3:]).all() and np.isnan(cycles["sigma"]).all()
    np.testing.assert_allclose(cycles["amplitude"][:3], 0.4)
    np.testing.assert_allclose(cycles["area"][:3], 60 - 0.1 * 180)
    assert cycles["mean_value"] == pytest.approx(0.1 + 0.2)
    assert (cycles["quality"][:3] == 0).all() and (cycles["quality"][3:] == 255).all()
    assert cycles["status"] == 0


def test_a_cycle_without_all_dates_or_out_of_order_does_not_count():
    whole = one_pixel()
    gone = product_cycles(one_pixel(Dormancy_1=[32767, *whole["Dormancy_1"].to_numpy()[1:]]))
    mixed = product_cycles(
        one_pixel(Peak_1=[int(whole["Greenup_1"][0]) - 9, *whole["Peak_1"].to_numpy()[1:]])
    )
    for cycles in (gone, mixed):
        assert np.isfinite(cycles["date"]).all("metric").sum() == 2
        assert np.isfinite(cycles["date"]).any("metric").sum() == 2
        assert np.isfinite(cycles["amplitude"]).sum() == 2
        assert cycles["status"] == 1


def test_cycles_are_sorted_in_time():
    whole = one_pixel()
    earlier = {f"{name}_2": [int(v) - 120 for v in whole[f"{name}_1"]] for name in NAMES}
    others = {f"{name}_2": [7] * 3 for name in ("EVI_Minimum", "EVI_Amplitude", "EVI_Area", "QA_Detailed")}
    cycles = product_cycles(one_pixel(**earlier, **others))
    assert (np.diff(cycles["date"].sel(metric="peak")) > 0).all()
    np.testing.assert_allclose(cycles["amplitude"], [0.0007, 0.4] * 3)
    assert (cycles["quality"][::2] != 0).any() and (cycles["quality"][1::2] == 0).all()


def test_a_pixel_without_cycles_is_told_from_one_without_data():
    nothing = {f"{name}_1": [32767] * 3 for name in NAMES}
    bare = product_cycles(one_pixel(**nothing, NumCycles=[0, 32767, 0]))
    unseen = product_cycles(one_pixel(**nothing, NumCycles=[32767] * 3))
    assert (int(bare["status"]), int(unseen["status"])) == (2, 3)
    assert np.isnan(bare["mean_value"]) and np.isnan(bare["date"]).all()


CONFIG = """
[dataset]
root = "dataset"
[period]
imagery_start = 2020-07-01
imagery_end = 2020-08-01
vegetation_start = 2017-01-01
vegetation_end = 2021-01-01
[phenology]
source = "mcd12q2"
{phenology}
[archive]
{archive}
[patches]
size_px = 256
[locations.source]
kind = "points"
points = "points.csv"
"""


def config_at(folder: Path, archive: str, phenology: str = "") -> Config:
    (folder / "points.csv").write_text("lon,lat\n3.033,50.815\n")
    path = folder / "ssl4eco.toml"
    path.write_text(CONFIG.format(archive=archive, phenology=phenology))
    return load(path)


def test_season_windows_of_a_dataset_come_from_the_product(server, world, tmp_path):
    server.requests.clear()
    archive = f'kind = "earth_engine"\nproject = "p"\nurl = "{server.url}"'
    config = config_at(tmp_path, archive)
    build(config, run_in_threads, until="windows")
    assert server.requests == ["image:computePixels"]
    row = tables.phenology(config).iloc[0]
    assert (row["status"], row["source"], row["years"]) == ("ok", "own", 3)
    assert row["cycles_per_year"] == 1 and np.isnan(row["snow_fraction"])
    for metric, name in zip(METRICS, NAMES, strict=True):
        days = 95 + 30 * NAMES.index(name)
        assert days <= row[f"{metric}_day"] <= days + 8
    assert row["spring_start_day"] < row["summer_start_day"] < row["autumn_start_day"]
    cycles = pd.read_parquet(next((config.root / "phenology/cycles").glob("*.parquet")))
    peaks = pd.to_datetime(cycles["peak"], unit="D")
    assert list(peaks.dt.year) == [2017, 2018, 2020]
    assert cycles["peak_sigma"].isna().all()


def test_the_product_is_refused_for_other_archives_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match="leave it out") as caught:
        config_at(tmp_path, 'kind = "stac"\nimagery = "https://example.org/stac"')
    assert "mcd12q2" in str(caught.value) and "stac" in str(caught.value)
