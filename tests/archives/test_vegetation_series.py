"""MODIS composites and the series from Sentinel-2 itself."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import shapely
from catalogue_cases import COMPOSITES, FOOTPRINT, SINUSOIDAL, Truth, location_at, write_tiff
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from ssl4eco_data.archives import cog
from ssl4eco_data.archives.cog_kept import Kept
from ssl4eco_data.archives.s2_series import cells
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.phenology.readers.mod13 import true_days
from ssl4eco_data.types import Footprint

PERIOD = (date(2015, 1, 1), date(2030, 1, 1))


@given(begin=st.dates(date(2000, 1, 1), date(2050, 12, 31)), later=st.integers(0, 15))
def test_days_of_the_year_become_true_days(begin: date, later: int) -> None:
    true = begin + timedelta(days=later)
    day = np.array([true.timetuple().tm_yday])
    assert true_days(day, np.datetime64(begin)) == (true - date(1970, 1, 1)).days


def archive_of(catalogue: tuple[Path, Truth]) -> StacArchive:
    folder = catalogue[0]
    return StacArchive(
        StacParameters(
            imagery=str(folder / "sentinel-2-l2a.json"), vegetation=str(folder / "modis-13Q1-061.json")
        )
    )


def test_each_modis_file_is_opened_once_for_all_locations(
    catalogue: tuple[Path, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(cog, "SMALL_PX", 0)
    monkeypatch.setattr(cog, "_SMALL", Kept(0, lambda raster: raster.shape[0]))
    link = cog._link
    monkeypatch.setattr(cog, "_link", lambda href, access: (opened.append(href), link(href, access))[1])
    places = [location_at(FOOTPRINT, str(i)) for i in range(4)]
    archive_of(catalogue).vegetation_series(places, *PERIOD)
    first_for_the_grid = 1
    assert len(opened) - first_for_the_grid == len(set(opened)) == 3 * 2 * len(COMPOSITES)


def test_locations_do_not_depend_on_their_company(catalogue: tuple[Path, Truth]) -> None:
    archive = archive_of(catalogue)
    wide = Footprint(epsg=32631, west_m=303400, north_m=5698600, size_m=1280)
    places = [location_at(FOOTPRINT, "a"), location_at(wide, "b")]
    both = archive.vegetation_series(places, *PERIOD)
    for i, place in enumerate(places):
        alone = archive.vegetation_series([place], *PERIOD).isel(location=0)
        rows, columns = alone.sizes["y"], alone.sizes["x"]
        for name in ("value", "day", "weight", "snow", "inside"):
            together = both[name].isel(location=i).values[..., :rows, :columns]
            np.testing.assert_array_equal(together, alone[name].values)


def test_a_composite_on_another_grid_is_no_observation_and_named(
    catalogue: tuple[Path, Truth], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for entry in ("modis-13Q1-061.json", "modis"):
        (folder / entry).symlink_to(catalogue[0] / entry)
    (folder / "modis").unlink()
    (folder / "modis").mkdir()
    for path in (catalogue[0] / "modis").iterdir():
        (folder / "modis" / path.name).symlink_to(path)
    last = max((folder / "modis").iterdir())
    last.unlink()
    write_tiff(
        last, np.zeros((20, 10), np.int16), CRS.from_proj4(SINUSOIDAL), (231.6, 0.0, 7.0, 0.0, -231.6, 9.0)
    )
    archive = StacArchive(
        StacParameters(imagery="unused.json", vegetation=str(folder / "modis-13Q1-061.json"))
    )
    (cause,) = archive.vegetation_series([location_at(FOOTPRINT)], *PERIOD).attrs["unreadable"]
    assert last.name in cause or "another grid" in cause


def test_a_broken_composite_costs_its_own_date_alone(catalogue: tuple[Path, Truth], tmp_path: Path) -> None:
    shutil.copytree(catalogue[0], tmp_path / "copy")
    whole, broken = (
        StacArchive(StacParameters(imagery="unused.json", vegetation=str(folder / "modis-13Q1-061.json")))
        for folder in (catalogue[0], tmp_path / "copy")
    )
    victim = min((tmp_path / "copy" / "modis").iterdir())
    victim.write_bytes(b"not a TIFF")
    expected = whole.vegetation_series([location_at(FOOTPRINT)], *PERIOD)
    got = broken.vegetation_series([location_at(FOOTPRINT)], *PERIOD)
    assert expected.attrs["unreadable"] == []
    assert len(got.attrs["unreadable"]) == 1 and victim.name in got.attrs["unreadable"][0]
    kept = got["value"].notnull()
    assert 0 < int(kept.sum()) < int(expected["value"].notnull().sum())
    for name in ("value", "day", "weight", "snow"):
        np.testing.assert_array_equal(got[name].where(kept), expected[name].where(kept))


def bands(red: int, nir: int, scl: int) -> dict[str, np.ndarray]:
    return {
        "B04": np.full((8, 8), red, np.uint16),
        "B08": np.full((8, 8), nir, np.uint16),
        "SCL": np.full((4, 4), scl, np.uint16),
    }


@pytest.mark.parametrize(
    ("scl", "weight", "snow"), [(4, 1, False), (5, 1, False), (7, 0.5, False), (11, 1, True)]
)
def test_evi2_weight_and_snow_of_uniform_cells(scl: int, weight: float, snow: bool) -> None:
    value, got, is_snow = cells(bands(500, 4000, scl), 40)
    assert value.shape == (2, 2)
    assert value == pytest.approx(2.5 * (0.4 - 0.05) / (0.4 + 2.4 * 0.05 + 1))
    assert got == pytest.approx(weight)
    assert (is_snow == snow).all()


@pytest.mark.parametrize("scl", [0, 1, 2, 3, 6, 8, 9, 10])
def test_other_classes_and_missing_pixels_are_no_observation(scl: int) -> None:
    for image in (bands(500, 4000, scl), bands(0, 4000, 4), bands(500, 0, 4)):
        value, weight, snow = cells(image, 20)
        assert np.isnan(value).all()
        assert not weight.any()
        assert not snow.any()


def test_a_cell_half_under_cloud_counts_half_and_shows_its_clear_half() -> None:
    image = bands(500, 4000, 4)
    image["SCL"][:, ::2] = 9
    image["B08"][:, np.arange(8) % 4 < 2] = 9000
    value, weight, _ = cells(image, 40)
    assert weight == pytest.approx(0.5)
    assert value == pytest.approx(2.5 * 0.35 / 1.52)


def test_cells_that_do_not_divide_the_patch_are_refused(catalogue: tuple[Path, Truth]) -> None:
    archive = StacArchive(
        StacParameters(imagery=str(catalogue[0] / "sentinel-2-l2a.json"), vegetation_pixel_m=140)
    )
    with pytest.raises(ValueError, match="divide the patch side"):
        archive.vegetation_series([location_at(FOOTPRINT)], *PERIOD)


def test_overlapping_tiles_of_a_pass_are_one_time(catalogue: tuple[Path, Truth]) -> None:
    archive = StacArchive(StacParameters(imagery=str(catalogue[0] / "sentinel-2-l2a.json")))
    series = archive.vegetation_series([location_at(FOOTPRINT)], *PERIOD)
    scenes = archive.search(shapely.box(-180, -90, 180, 90), *PERIOD)
    assert series.sizes["time"] == len({s.acquisition for s in scenes if s.epsg == 32631}) == 4


@pytest.mark.parametrize("lost", ["asset", "time"])
def test_a_malformed_composite_is_no_observation_and_is_named(
    catalogue: tuple[Path, Truth], tmp_path: Path, lost: str
) -> None:
    folder = Path(shutil.copytree(catalogue[0], tmp_path / "copy"))
    path = folder / "modis-13Q1-061.json"
    document = json.loads(path.read_text())
    broken = document["features"][0]
    if lost == "asset":
        broken["assets"].popitem()
    else:
        broken["properties"]["start_datetime"] = "soon"
    path.write_text(json.dumps(document))
    series = archive_of((folder, catalogue[1])).vegetation_series([location_at(FOOTPRINT)], *PERIOD)
    whole = archive_of(catalogue).vegetation_series([location_at(FOOTPRINT)], *PERIOD)
    assert 0 < int(series["weight"].astype(bool).sum()) < int(whole["weight"].astype(bool).sum())
    if lost == "asset":
        assert any(broken["id"] in cause for cause in series.attrs["unreadable"])
