"""The table of locations, from configurations to nouns."""

import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pydantic import ValidationError

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations import (
    GridSource,
    LocationParameters,
    PointSource,
    coordinate_ids,
    locations_of,
    read_points,
    sample_locations,
)

SHARED = Path(os.environ.get("SSL4ECO_SHARED", Path(__file__).parents[2].parent / "shared")) / "data"
DTYPES = {
    "location_id": "str",
    "lon": "float64",
    "lat": "float64",
    "epsg": "int32",
    "cell_epsg": "int32",
    "west": "float64",
    "north": "float64",
    "size": "float64",
    "ecoregion": "str",
    "biome": "str",
    "realm": "str",
    "inclusion_probability": "float64",
    "split": "str",
    "geometry": "geometry",
}


@pytest.fixture
def layers(tmp_path):
    shapes = {
        "region": [shapely.box(5, 45, 12, 48)],
        "land": [shapely.box(4, 44, 9, 49), shapely.box(9, 46, 11, 49)],
        "strata": [shapely.box(4, 44, 7, 49), shapely.box(7, 44, 13, 49)],
    }
    for name, polygons in shapes.items():
        names = [f"{name} {i}" for i in range(len(polygons))]
        frame = gpd.GeoDataFrame(
            {"ECO_NAME": names, "BIOME_NAME": names, "REALM": "r"}, geometry=polygons, crs=4326
        )
        frame.to_file(tmp_path / f"{name}.gpkg")
    return tmp_path


def of_grid(layers, spacing_km=50.0, **more):
    source = {
        "kind": "grid",
        "spacing_km": spacing_km,
        "region": str(layers / "region.gpkg"),
        "land": str(layers / "land.gpkg"),
    }
    return LocationParameters.model_validate({"source": source, "strata": str(layers / "strata.gpkg")} | more)


def test_table_of_a_region(layers):
    frame = sample_locations(of_grid(layers), 2560.0)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == DTYPES
    assert frame.crs.to_epsg() == 4326
    assert frame["location_id"].is_unique
    assert (frame["lon"].between(5, 11) & frame["lat"].between(45, 48)).all()
    assert not ((frame["lon"] > 9) & (frame["lat"] < 46)).any()
    assert (frame["ecoregion"] == np.where(frame["lon"] <= 7, "strata 0", "strata 1")).all()
    assert set(frame["epsg"]) == {32631, 32632}
    assert (frame["inclusion_probability"] == 1).all()
    assert frame.index.tolist() == list(range(len(frame)))
    area_km2 = 4 * 77 * 3 * 111 + 2 * 76 * 2 * 111
    assert len(frame) == pytest.approx(area_km2 / 50**2, rel=0.1)


def test_table_is_the_same_again(layers):
    first, second = (sample_locations(of_grid(layers), 640.0) for _ in range(2))
    pd.testing.assert_frame_equal(pd.DataFrame(first), pd.DataFrame(second))


def test_nouns_of_rows(layers):
    frame = sample_locations(of_grid(layers), 640.0)
    located = locations_of(frame.iloc[3:7])
    assert [loc.location_id for loc in located] == frame["location_id"].tolist()[3:7]
    for loc in located:
        west, south, east, north = loc.footprint.bounds_m
        assert (east - west, north - south) == (640.0, 640.0)
    assert locations_of(frame.iloc[:0]) == []


def test_table_survives_parquet(layers, tmp_path):
    frame = sample_locations(of_grid(layers), 640.0)
    frame.to_parquet(tmp_path / "locations.parquet")
    assert locations_of(gpd.read_parquet(tmp_path / "locations.parquet")) == locations_of(frame)


@pytest.mark.parametrize("rule", ["proportional", "equal", "sqrt"])
def test_allocated_samples_are_exact_and_nested(layers, rule):
    def take(n):
        wanted = {"rule": rule, "n": n, "minimum": 3, "seed": 7}
        return sample_locations(of_grid(layers, allocation=wanted), 640.0)

    every, small, large = sample_locations(of_grid(layers), 640.0), take(10), take(20)
    assert (len(small), len(large)) == (10, 20)
    assert set(small["location_id"]) < set(large["location_id"]) < set(every["location_id"])
    assert (small["ecoregion"].value_counts() >= 3).all()
    assert (1 / small["inclusion_probability"]).sum() == pytest.approx(len(every))


def test_too_few_cells_name_the_spacing_that_gives_enough(layers):
    with pytest.raises(
        ConfigError, match=r"n = 900, but the 50 km grid has \d+ cells here; spacing_km = "
    ) as error:
        sample_locations(of_grid(layers, allocation={"rule": "equal", "n": 900}), 640.0)
    finer = float(str(error.value).split("spacing_km = ")[1].split()[0])
    wanted = {"rule": "equal", "n": 900}
    assert len(sample_locations(of_grid(layers, finer, allocation=wanted), 640.0)) == 900


def test_regions_without_land_are_refused(layers):
    source = GridSource(region=str(layers / "region.gpkg"), min_lat_deg=50)
    with pytest.raises(ConfigError, match=r"has no land cell in .*region.* north of 50 degrees"):
        sample_locations(LocationParameters(source=source), 640.0)
    gpd.GeoDataFrame(geometry=[shapely.box(-40, 30, -35, 35)], crs=4326).to_file(layers / "sea.gpkg")
    with pytest.raises(ConfigError, match=r"has no land cell in .*sea"):
        sample_locations(LocationParameters(source=GridSource(region=str(layers / "sea.gpkg"))), 640.0)


def test_fine_grids_are_computed_near_the_land_only(layers):
    gpd.GeoDataFrame(geometry=[shapely.box(7.0, 46.0, 7.1, 46.1)], crs=4326).to_file(layers / "small.gpkg")
    frame = sample_locations(
        LocationParameters(source=GridSource(spacing_km=1.0, land=str(layers / "small.gpkg"))), 640.0
    )
    assert len(frame) == pytest.approx(7.7 * 11.1, rel=0.15)


def test_grids_too_large_for_memory_are_refused():
    with pytest.raises(ConfigError, match=r"spacing_km = 1 makes about 4\.8e\+08 cells"):
        sample_locations(LocationParameters(source=GridSource(spacing_km=1.0)), 640.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": {"kind": "grid", "spacing": 3}}, "spacing"),
        ({"source": {"kind": "grid", "spacing_km": 0}}, "greater than 0"),
        ({"source": {"kind": "points"}}, "points"),
        ({"allocation": {"rule": "equal"}}, "needs n"),
        ({"allocation": {"n": 3}}, "takes every cell"),
        ({"split": {"val_fraction": 0.6, "test_fraction": 0.6}}, "must not exceed 1 together"),
        (
            {"source": {"kind": "points", "points": "a.csv"}, "allocation": {"rule": "equal", "n": 3}},
            "all points",
        ),
    ],
)
def test_impossible_parameters_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        LocationParameters.model_validate(values)


def test_every_parameter_has_a_description():
    def fields(model):
        for name, field in model.model_fields.items():
            yield name, field
            if hasattr(field.annotation, "model_fields"):
                yield from fields(field.annotation)

    for model in (LocationParameters, GridSource, PointSource):
        for name, field in fields(model):
            known = field.description or name in ("kind", "allocation", "split")
            assert known, name


def points_file(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return str(path)


def test_points_keep_their_labels_and_get_stable_ids(tmp_path):
    path = points_file(tmp_path / "p.csv", lon=[7.95, -0.1], lat=[46.55, -46], biome=[4, 13], plot=["x", "y"])
    table = read_points(path)
    assert table["location_id"].tolist() == ["E007.95000_N46.55000", "W000.10000_S46.00000"]
    assert table.columns.tolist() == ["location_id", "lon", "lat", "biome", "plot"]
    assert read_points(path, "plot")["location_id"].tolist() == ["x", "y"]
    frame = sample_locations(LocationParameters(source=PointSource(points=path, id_field="plot")), 640.0)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == DTYPES
    assert dict(zip(frame["location_id"], frame["biome"], strict=True)) == {"x": "4", "y": "13"}


def test_ids_of_extreme_coordinates():
    ids = coordinate_ids(np.array([-180.0, 180.0, -0.0, 1e-6]), np.array([-90.0, 90.0, -0.0, -1e-6]))
    assert ids == [
        "W180.00000_S90.00000",
        "E180.00000_N90.00000",
        "E000.00000_N00.00000",
        "E000.00000_N00.00000",
    ]


@pytest.mark.parametrize("suffix", [".geojson", ".parquet", ".gpkg"])
def test_points_of_vector_files(tmp_path, suffix):
    frame = gpd.GeoDataFrame({"plot": ["a", "b"]}, geometry=gpd.points_from_xy([1, 2], [3, 4]), crs=4326)
    path = tmp_path / f"p{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_file(path)
    table = read_points(str(path), "plot")
    assert table[["location_id", "lon", "lat"]].to_numpy().tolist() == [["a", 1, 3], ["b", 2, 4]]


def test_points_of_plain_parquet(tmp_path):
    pd.DataFrame({"lon": [1.0], "lat": [2.0]}).to_parquet(tmp_path / "p.parquet")
    assert read_points(str(tmp_path / "p.parquet"))["lat"].tolist() == [2.0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"lon": [50.0, 45.0], "lat": [100.0, 5.0]},
            r"point 1: .* lat 100.0 \(1 such points\); lon and lat look swapped",
        ),
        ({"lon": [181.0, 5.0], "lat": [0.0, 0.0]}, r"point 1: lon must be in \[-180, 180\].* got lon 181.0"),
        ({"lon": [1, 2, 1], "lat": [3, 4, 3]}, r"repeated: E001.00000_N03.00000; keep one row"),
        ({"lon": [1, "x"], "lat": [3, 4]}, "point 2: lon is not a number: 'x'"),
        ({"lon": [1.0, None], "lat": [3, 4]}, "point 2: lon is not a number: .*nan"),
        ({"x": [1], "y": [3]}, "no column lon and no column lat; its columns are: x, y"),
        ({"lon": [], "lat": []}, "holds no point"),
    ],
)
def test_unusable_points_are_refused(tmp_path, columns, message):
    with pytest.raises(ConfigError, match=message):
        read_points(points_file(tmp_path / "p.csv", **columns))


def test_repeated_and_absent_ids_are_refused(tmp_path):
    path = points_file(tmp_path / "p.csv", lon=[1, 2], lat=[3, 4], plot=["a", "a"])
    with pytest.raises(ConfigError, match="points must differ in plot; repeated: a"):
        read_points(path, "plot")
    with pytest.raises(ConfigError, match=r"no column 'site' for the ids; its columns are: lon, lat, plot"):
        read_points(path, "site")
    with pytest.raises(ConfigError, match="no points file"):
        read_points(str(tmp_path / "absent.csv"))


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("biomes_labels_with_image_ids.first20.csv", 20),
        ("climate_labels_50k.first40.csv", 40),
        ("euforest_labels_with_image_ids.first12.csv", 12),
    ],
)
def test_index_files_of_the_reference_are_read_as_they_are(name, count):
    path = SHARED / "ssl4eco-index" / name
    if not path.exists():
        pytest.skip(f"{path} is absent: set SSL4ECO_SHARED to the shared data")
    source = PointSource(points=str(path), id_field="ind")
    frame = sample_locations(LocationParameters(source=source), 640.0)
    assert len(locations_of(frame)) == count
    assert set(frame["location_id"]) == set(pd.read_csv(path)["ind"].astype(str))
