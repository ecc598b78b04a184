"""UTM zones, snapped patches, and the zone whose tile covers the patch."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely.geometry import MultiPolygon, Point

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import (
    epsg_with_tile,
    footprint_at,
    footprint_polygon,
    patch_corners,
    read_tiles,
    utm_epsg,
)

SHARED = Path(os.environ.get("SSL4ECO_SHARED", Path(__file__).parents[2].parent / "shared"))
TILES = SHARED / "data" / "land" / "s2_mgrs_tiles_sits.parquet"

points = st.tuples(st.floats(-180, 180), st.floats(-80, 84))
sizes = st.integers(1, 256).map(lambda n: 20.0 * n)


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (4.4, 50.8, 32631),
        (-70.6, -33.4, 32719),
        (-180, 10, 32601),
        (180, 10, 32601),
        (179.999, -10, 32760),
        (0, 0, 32631),
        (0, -1e-9, 32731),
        (3, 56, 32632),
        (2.99, 60, 32631),
        (11.99, 63.99, 32632),
        (5, 64, 32631),
        (5, 55.99, 32631),
        (8.99, 72, 32631),
        (9, 78, 32633),
        (20.99, 78, 32633),
        (21, 78, 32635),
        (33, 83.99, 32637),
        (41.99, 72, 32637),
        (42, 78, 32638),
        (9, 71.99, 32632),
        (-0.01, 78, 32630),
    ],
)
def test_zone(lon, lat, epsg):
    assert utm_epsg([lon], [lat]).tolist() == [epsg]
    assert utm_epsg(lon, lat) == epsg


@given(points)
def test_every_zone_is_near_its_points(point):
    lon, lat = point
    zone = int(utm_epsg(lon, lat)) % 100
    away = (lon - (zone * 6 - 183) + 180) % 360 - 180
    assert abs(away) <= 9
    assert CRS.from_epsg(int(utm_epsg(lon, lat))).utm_zone == f"{zone}{'N' if lat >= 0 else 'S'}"


@given(points, sizes)
def test_location_is_within_10_m_of_the_centre_of_a_snapped_patch(point, size_m):
    epsg = int(utm_epsg(*point))
    patch = footprint_at(*point, epsg, size_m)
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(*point)
    assert patch.west_m % 20 == 0
    assert patch.north_m % 20 == 0
    assert abs(patch.west_m + size_m / 2 - x) <= 10 + 1e-6
    assert abs(patch.north_m - size_m / 2 - y) <= 10 + 1e-6


@given(points)
def test_outline_holds_the_location(point):
    patch = footprint_at(*point, int(utm_epsg(*point)), 2560.0)
    outline = footprint_polygon(patch)
    assert outline.is_valid
    assert outline.covers(Point(point)) or abs(point[0]) > 179.999
    west, _south, east, _north = outline.bounds
    assert east - west < 1 or isinstance(outline, MultiPolygon)


def test_outline_is_split_at_the_antimeridian():
    outline = footprint_polygon(footprint_at(179.999, 70.0, 32660, 2560.0))
    assert isinstance(outline, MultiPolygon)
    assert len(outline.geoms) == 2
    assert outline.covers(Point(-179.99, 70.0))
    assert outline.covers(Point(179.99, 70.0))
    assert not outline.covers(Point(0, 70.0))
    assert outline.bounds[0] == -180
    assert outline.bounds[2] == 180


@pytest.mark.parametrize("size_m", [0, -20, 2570])
def test_sizes_off_the_20_m_grid_are_refused(size_m):
    with pytest.raises(ValueError, match="size_m must be a positive multiple of 20 m"):
        footprint_at(4.0, 50.0, 32631, size_m)


def test_points_beyond_a_projection_are_refused():
    with pytest.raises(ValueError, match="cannot be projected to EPSG:32631"):
        footprint_at(np.nan, 50.0, 32631, 2560.0)


def test_zone_follows_the_tile_that_covers_the_patch():
    lon, lat = np.array([5.999, 5.999, 3.0]), np.array([45.0, 46.0, 46.0])
    (west,), (north,) = patch_corners(lon[:1], lat[:1], np.array([32632], np.int32), 2560.0)
    tile = pd.DataFrame({"tile_id": ["x"], "epsg": [32632], "xmin": [west], "ymin": [north - 2560.0]})
    assert epsg_with_tile(lon, lat, 2560.0, tile).tolist() == [32632, 32631, 32631]
    short = tile.assign(ymin=tile["ymin"] + 20)
    assert epsg_with_tile(lon[:1], lat[:1], 2560.0, short).tolist() == [32631]
    both = pd.concat([tile, tile.assign(epsg=32631, xmin=700_000.0, ymin=tile["ymin"] - 1000)])
    assert epsg_with_tile(lon[:1], lat[:1], 2560.0, both).tolist() == [32631]


def test_real_tiles_cover_every_patch_on_a_zone_border():
    if not TILES.exists():
        pytest.skip(f"{TILES} is absent: set SSL4ECO_SHARED to the shared data")
    tiles = read_tiles(str(TILES))
    lat = np.linspace(-54, 70, 400)
    lon = 6.0 * np.round(np.linspace(0, 4, 400)) + np.where(np.arange(400) % 2, 1e-4, -1e-4)
    land = epsg_with_tile(lon, lat, 2560.0, tiles)
    assert land.dtype == np.int32
    away = np.abs(land % 100 - utm_epsg(lon, lat) % 100)
    assert away.max() <= 1
    assert (away > 0).any()


@pytest.mark.parametrize(
    ("name", "message"), [("absent.parquet", "no tile list"), ("bad.parquet", "must be Parquet")]
)
def test_unusable_tile_lists_are_refused(tmp_path, name, message):
    pd.DataFrame({"tile": ["31UDS"]}).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(ConfigError, match=message):
        read_tiles(str(tmp_path / name))
