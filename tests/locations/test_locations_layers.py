"""Land and strata from polygon layers."""

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import (
    Layer,
    MajorTomGrid,
    boxes_around,
    contains,
    label_points,
    nearest,
    on_land,
    owners,
    read_layer,
)

SHARED = Path(os.environ.get("SSL4ECO_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"
FIELDS = ("ECO_NAME", "BIOME_NAME", "REALM")
SQUARES = [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10), shapely.box(170, 60, 180, 70)]


def write(path, geometries=SQUARES, crs=4326, **columns):
    columns = columns or {"ECO_NAME": [f"e{i}" for i in range(len(geometries))]}
    gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs).to_file(path)
    return str(path)


def real(*parts):
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent: set SSL4ECO_SHARED to the shared data")
    return str(path)


def test_points_get_the_first_polygon_that_covers_them(tmp_path):
    layer = read_layer(write(tmp_path / "a.gpkg"))
    lon, lat = np.array([5.0, 10.0, 15.0, -1.0, 175.0, 0.0]), np.array([5.0, 5.0, 10.0, 5.0, 65.0, 0.0])
    assert owners(layer, lon, lat).tolist() == [0, 0, 1, -1, 2, 0]
    assert contains(layer, lon, lat).tolist() == [True, True, True, False, True, True]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=1, max_size=30), st.integers(0, 99)
)
def test_owners_agree_with_one_by_one(points, seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-30, 20, (6, 2))
    shapes = shapely.box(*corners.T, *(corners + rng.uniform(1, 20, (6, 2))).T)
    layer = Layer(parts=shapes, feature=np.arange(6), labels=pd.DataFrame(index=range(6)), mended=0)
    lon, lat = np.array(points).T
    slow = [next((i for i, s in enumerate(shapes) if s.covers(shapely.Point(p))), -1) for p in points]
    assert owners(layer, lon, lat).tolist() == slow


def test_nearest_is_measured_on_the_ellipsoid(tmp_path):
    layer = read_layer(write(tmp_path / "a.gpkg"))
    lon, lat = np.array([-0.1, 5.0, -179.9, 90.0, 20.2]), np.array([5.0, 10.1, 65.0, -40.0, 60.0])
    feature, km = nearest(layer, lon, lat, 25.0)
    geod = Geod(ellps="WGS84")
    assert feature.tolist() == [0, 0, 2, -1, -1]
    assert km[0] == pytest.approx(geod.inv(-0.1, 5, 0, 5)[2] / 1000, rel=1e-4)
    assert km[1] == pytest.approx(geod.inv(5, 10.1, 5, 10)[2] / 1000, rel=1e-4)
    assert km[2] == pytest.approx(geod.inv(-179.9, 65, 180, 65)[2] / 1000, rel=1e-3)
    assert np.isinf(km[3:]).all()


def test_nearest_in_km_is_not_nearest_in_degrees(tmp_path):
    # At 70 N a degree of longitude is a third of one of latitude.
    layer = read_layer(
        write(tmp_path / "a.gpkg", [shapely.box(0.2, 69, 1, 71), shapely.box(-1, 70.1, 0.1, 70.2)])
    )
    feature, _ = nearest(layer, np.array([0.0]), np.array([70.0]), 50.0)
    assert feature.tolist() == [0]


def test_labels_in_near_and_far(tmp_path):
    path = write(
        tmp_path / "a.gpkg", SQUARES[:2], ECO_NAME=["forest", "desert"], BIOME_NAME=[4, 13], REALM=["P", None]
    )
    layer = read_layer(path, FIELDS)
    lon, lat = np.array([5.0, 20.1, 60.0]), np.array([5.0, 5.0, 5.0])
    table, by_nearest, unlabelled = label_points(layer, FIELDS, lon, lat, 25.0)
    assert (by_nearest, unlabelled) == (1, 1)
    assert table["ecoregion"].tolist() == ["forest", "desert", "none"]
    assert table["biome"].tolist() == ["4", "13", "none"]
    assert table["realm"].tolist() == ["P", "none", "none"]
    assert label_points(layer, FIELDS, lon, lat, 1.0).table["ecoregion"].tolist() == [
        "forest",
        "none",
        "none",
    ]
    assert label_points(layer, ("", "", "REALM"), lon, lat, 1.0).table["biome"].tolist() == ["", "", ""]


def test_boxes_hold_the_layers_and_little_else(tmp_path):
    layer = read_layer(
        write(tmp_path / "a.gpkg", [shapely.box(0.2, 0.1, 2.5, 1.5), shapely.box(179.5, 5, 180, 5.5)])
    )
    assert boxes_around([layer]) == [(0, 0, 3, 1), (0, 1, 3, 2), (179, 5, 180, 6)]
    other = read_layer(write(tmp_path / "b.gpkg", [shapely.box(2.1, 0, 30, 0.5)]))
    assert boxes_around([layer, other]) == [(2, 0, 3, 1)]
    assert boxes_around([]) == [(-180, -90, 180, 90)]


def test_invalid_polygons_are_mended_and_counted(tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    layer = read_layer(write(tmp_path / "a.gpkg", [bow_tie, shapely.box(5, 5, 6, 6)]))
    assert layer.mended == 1
    assert owners(layer, np.array([0.2, 1.8, 5.5]), np.array([1.0, 1.0, 5.5])).tolist() == [0, 0, 1]


def test_other_coordinate_systems_are_transformed(tmp_path):
    frame = gpd.GeoDataFrame({"ECO_NAME": ["a"]}, geometry=[SQUARES[0]], crs=4326).to_crs(3857)
    frame.to_parquet(tmp_path / "a.parquet")
    layer = read_layer(str(tmp_path / "a.parquet"), ["ECO_NAME"])
    assert contains(layer, np.array([5.0, 11.0]), np.array([5.0, 5.0])).tolist() == [True, False]


@pytest.mark.filterwarnings("ignore:.crs. was not provided")
def test_unusable_layers_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no field 'REALM', 'X'; its fields are: ECO_NAME"):
        read_layer(write(tmp_path / "a.gpkg"), ["ECO_NAME", "REALM", "X"])
    with pytest.raises(ConfigError, match="has no coordinate system"):
        read_layer(write(tmp_path / "b.shp", crs=None))
    with pytest.raises(ConfigError, match="holds no polygon"):
        read_layer(write(tmp_path / "c.gpkg", [shapely.Point(0, 0)]))
    with pytest.raises(ConfigError, match=r"no layer .*absent\.gpkg"):
        read_layer(str(tmp_path / "absent.gpkg"))
    (tmp_path / "d.gpkg").write_text("not a layer")
    with pytest.raises(ConfigError, match=r"cannot read the layer .*d\.gpkg"):
        read_layer(str(tmp_path / "d.gpkg"))


def test_packaged_land_mask_on_known_places():
    lon = np.array([2.35, -30.0, 0.0, 180.0, -180.0, 51.0, 0.0, 0.0])
    lat = np.array([48.85, 30.0, -89.9, 0.0, 68.5, 42.0, 90.0, -90.0])
    assert on_land(lon, lat).tolist() == [True, False, True, False, True, True, False, True]
    assert on_land(lon[:0], lat[:0]).tolist() == []


def test_land_cells_at_23_km_agree_with_natural_earth():
    grid = MajorTomGrid(23.0)
    lon, lat = grid.centres(grid.cells_in_box(-180, -90, 180, 90))
    land = on_land(lon, lat)
    assert land.sum() == pytest.approx(275_622, rel=0.01)
    assert (land & (lat >= -60)).sum() == pytest.approx(254_767, rel=0.01)
    drawn = on_land(lon, lat, read_layer(real("land", "ne_land_10m.gpkg")))
    assert drawn.sum() == pytest.approx(275_622, abs=50)
    assert (drawn == land).mean() > 0.98


def test_real_biomes_agree_with_published_points():
    layer = read_layer(real("ecoregions", "resolve_ecoregions2017_simplified5pct.gpkg"), FIELDS)
    table = pd.read_csv(real("ecoregions", "olson2001_points_dplace.csv"))
    lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
    found = label_points(layer, FIELDS, lon, lat, 25.0).table
    # Olson 2001 also has inland water and ice, which RESOLVE gives to the land around.
    both = (found["biome"] != "none") & ~table["biome_name"].isin(["Inland Water", "Ice"])
    assert both.mean() > 0.97
    assert (found["biome"] == table["biome_name"])[both].mean() > 0.93
