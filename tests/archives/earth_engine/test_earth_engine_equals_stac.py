"""The same place read through Earth Engine and through STAC gives the same scenes and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import ee
import numpy as np
import pytest
import xarray as xr
from ee_server import TOKEN, serving
from ee_stac import write_catalogues
from ee_world import write_world
from google.oauth2.credentials import Credentials
from shapely.geometry import box

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.bands import BANDS
from ssl4eco_data.types import Footprint, Location

AREA = box(3.0, 50.78, 3.09, 50.84)
PERIOD = date(2020, 7, 1), date(2020, 8, 1)
FOOTPRINTS = [
    Footprint(epsg=32631, west_m=502_040, north_m=5_630_980, size_m=1_280),
    Footprint(epsg=32631, west_m=504_820, north_m=5_630_980, size_m=1_280),
    Footprint(epsg=32631, west_m=501_000, north_m=5_633_000, size_m=2_560),
]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Archive, Archive]]:
    """Both archives over one world. The client is initialised here, as in a notebook."""
    folder = tmp_path_factory.mktemp("both")
    world = write_world(folder)
    imagery, vegetation = write_catalogues(world, Path(folder))
    stac = StacArchive(
        StacParameters(
            kind="stac", imagery=str(imagery), vegetation=str(vegetation), blue_min_usable_fraction=0.1
        )
    )
    with serving(world) as server:
        ee.Initialize(Credentials(TOKEN), url=server.url, project="p")
        yield (
            EarthEngineArchive(
                EarthEngineParameters(project="p", url=server.url, blue_min_usable_fraction=0.1)
            ),
            stac,
        )
    ee.Reset()


def test_scenes_are_equal(archives):
    earth_engine, stac = archives
    found = earth_engine.search(AREA, *PERIOD)
    assert found == stac.search(AREA, *PERIOD)
    assert len(found) == 4
    ids = [scene.scene_id for scene in found]
    assert earth_engine.get(ids) == stac.get(ids)


@pytest.mark.parametrize("footprint", FOOTPRINTS, ids=["inner", "swath-edge", "tile-edge"])
def test_pixels_and_judgements_are_equal(archives, footprint):
    earth_engine, stac = archives
    scenes = stac.search(AREA, *PERIOD)
    mine, theirs = (
        np.array(
            [
                [*stats.fractions(), stats.blue_q95, stats.haze_q50]
                for stats in archive.judge(scenes, footprint)
            ]
        )
        for archive in archives
    )
    np.testing.assert_array_equal(mine, theirs)
    assert np.isfinite(mine).all(axis=1).sum() >= 2
    for scene in scenes:
        if scene.epsg == footprint.epsg:
            mine = earth_engine.read(scene, footprint, list(BANDS))
            theirs = stac.read(scene, footprint, list(BANDS))
            assert mine.keys() == theirs.keys()
            for band in BANDS:
                np.testing.assert_array_equal(mine[band], theirs[band], err_msg=f"{scene.scene_id} {band}")


def test_series_are_equal(archives):
    earth_engine, stac = archives
    places = [
        Location(location_id=f"L{i}", lon_deg=3.03, lat_deg=50.81, footprint=footprint)
        for i, footprint in enumerate(FOOTPRINTS)
    ]
    period = date(2020, 6, 1), date(2021, 1, 1)
    series = earth_engine.vegetation_series(places, *period)
    assert np.isfinite(series["value"]).sum() > 100
    xr.testing.assert_allclose(series, stac.vegetation_series(places, *period))
