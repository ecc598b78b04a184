"""Layers of other coordinate systems: across the antimeridian, round the poles, along long straight edges."""

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import MajorTomGrid, cells_within, contains, read_layer

BERING = pyproj.Transformer.from_crs(4326, 3571, always_xy=True).transform(-175, 66)
DISC = shapely.Point(0, 0).buffer(2e6)


def layer_of(tmp_path, geometry, crs):
    path = tmp_path / "layer.gpkg"
    gpd.GeoDataFrame({"name": ["a"]}, geometry=[geometry], crs=crs).to_file(path)
    return read_layer(str(path))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("geometry", "crs"),
    [
        (shapely.Point(*BERING).buffer(5e5, cap_style="square"), 3571),
        (shapely.box(2.5e6, 1.4e6, 6.5e6, 5.4e6), 3035),
        (DISC, 3413),
        (DISC, 3031),
        (DISC.difference(shapely.Point(0, 0).buffer(1e6)), 3413),
        (shapely.MultiPolygon([shapely.box(5e5, 4e6, 6e5, 5e6), shapely.box(7e5, 4e6, 8e5, 5e6)]), 32632),
    ],
)
def test_projected_layers_hold_the_points_that_they_hold_in_their_own_system(tmp_path, geometry, crs, turned):
    layer = layer_of(tmp_path, shapely.reverse(geometry) if turned else geometry, crs)
    grid = MajorTomGrid(100.0)
    lon, lat = grid.centres(grid.cells_in_box(-180, -90, 180, 90))
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    seen = np.isfinite(x) & np.isfinite(y) & (np.abs(lon - 9) < 90 if crs == 32632 else True)
    inside = np.zeros(len(lon), bool)
    inside[seen] = shapely.contains_xy(geometry, x[seen], y[seen])
    assert 4 < inside.sum() < 2000
    assert (contains(layer, lon, lat) == inside).all()
    assert len(cells_within(grid, layer)) == inside.sum()
    assert layer.mended == 0


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((170, 10, 190, 20), [(175, 15), (-175, 15), (180, 12)]),
        ((190, 10, 200, 20), [(-165, 15)]),
        ((-200, -10, -170, 10), [(165, 0), (-175, 0)]),
    ],
)
def test_longitudes_beyond_180_go_on_at_the_other_side(tmp_path, box, inside):
    layer = layer_of(tmp_path, shapely.box(*box), 4326)
    lon, lat = np.array([*inside, (0, 15), (100, 0)], float).T
    assert contains(layer, lon, lat).tolist() == [True] * len(inside) + [False] * 2


def test_the_whole_earth_stays_whole(tmp_path):
    layer = layer_of(tmp_path, shapely.box(-180, -90, 180, 90), 4326)
    assert len(cells_within(MajorTomGrid(1000.0), layer)) == 541


def test_coordinates_that_their_system_cannot_have_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot have, such as 600000, 5e\+06 degrees"):
        layer_of(tmp_path, shapely.box(5e5, 5e6, 6e5, 5.1e6), 4326)
    with pytest.raises(ConfigError, match="not finite"):
        layer_of(tmp_path, shapely.Polygon([(0, 0), (1, 0), (1, np.inf)]), 4326)


def test_of_several_layers_none_is_chosen(tmp_path):
    frame = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    for name in ("old", "new"):
        frame.to_file(tmp_path / "two.gpkg", layer=name)
    with pytest.raises(ConfigError, match="has 2 layers: old, new; save the one you mean"):
        read_layer(str(tmp_path / "two.gpkg"))
