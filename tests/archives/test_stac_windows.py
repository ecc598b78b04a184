"""A window read equals the slice of the array written, for any zone, hemisphere, tile corner and patch."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from catalogue_cases import write_tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from ssl4eco_data.archives import cog_direct
from ssl4eco_data.archives.cog import Access
from ssl4eco_data.archives.stac import read_band
from ssl4eco_data.bands import BANDS
from ssl4eco_data.types import Asset, Footprint, Scene

SIDE_M = 1200


@pytest.mark.parametrize("kept_px", [0, cog_direct.KEPT_PX])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    epsg=st.integers(32601, 32660) | st.integers(32701, 32760),
    column=st.integers(5000, 40000),
    row=st.integers(5000, 490000),
    shift=st.tuples(st.integers(-40, 70), st.integers(-70, 40)),
    size_20m=st.integers(1, 40),
    band=st.sampled_from(["B02", "B11", "SCL", "B01"]),
    seed=st.integers(0, 2**32),
)
def test_windows_are_exact(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kept_px: int,
    epsg: int,
    column: int,
    row: int,
    shift: tuple[int, int],
    size_20m: int,
    band: str,
    seed: int,
) -> None:
    monkeypatch.setattr(cog_direct, "KEPT_PX", kept_px)
    west, north, pixel = 20.0 * column, 20.0 * row, BANDS[band].pixel_m
    image = np.random.default_rng(seed).integers(1, 60000, (SIDE_M // pixel,) * 2).astype(np.uint16)
    grid = (float(pixel), 0.0, west, 0.0, -float(pixel), north)
    path = tmp_path / "band.tif"
    write_tiff(path, image, CRS.from_epsg(epsg), grid)
    footprint = Footprint(
        epsg=epsg, west_m=west + 20 * shift[0], north_m=north + 20 * shift[1], size_m=20.0 * size_20m
    )
    scene = _scene(epsg, west, north, {band: Asset(href=str(path), transform=grid)})
    window = read_band(scene, footprint, band, Access(retries=0))

    side = int((20 * size_20m + 40) // 60 + 1) if pixel == 60 else 20 * size_20m // pixel
    assert window.shape == (side, side)
    for (y, x), value in np.ndenumerate(window):
        i = int((north - footprint.north_m) // pixel) + y
        j = int((footprint.west_m - west) // pixel) + x
        inside = 0 <= i < len(image) and 0 <= j < len(image)
        assert value == (image[i, j] if inside else 0)


def _scene(epsg: int, west: float, north: float, assets: dict[str, Asset]) -> Scene:
    return Scene(
        scene_id="scene",
        acquisition="pass",
        tile="31UDS",
        time=datetime(2020, 1, 1, tzinfo=UTC),
        epsg=epsg,
        tile_west_m=west,
        tile_north_m=north,
        cloud_fraction=0.0,
        sun_elevation_deg=40.0,
        assets=assets,
    )


@given(size_20m=st.integers(1, 200), offset=st.tuples(st.integers(0, 400), st.integers(0, 400)))
def test_the_60_m_window_covers_the_patch(size_20m: int, offset: tuple[int, int]) -> None:
    footprint = Footprint(epsg=32631, west_m=300000, north_m=5000000, size_m=20.0 * size_20m)
    grid = footprint.grid_60m(300000 - 20 * offset[0], 5000000 + 20 * offset[1])
    west, south, east, north = grid.bounds_m
    assert west <= footprint.west_m
    assert north >= footprint.north_m
    assert east >= footprint.bounds_m[2]
    assert south <= footprint.bounds_m[1]
    assert footprint.west_m - west < 60
    assert north - footprint.north_m < 60
