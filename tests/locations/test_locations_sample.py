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


def sampled(parameters, size_m):
    return sample_locations(parameters, size_m).table


def test_table_of_a_region(layers):
    frame = sampled(of_grid(layers), 2560.0)
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
    first, second = (sampled(of_grid(layers), 640.0) for _ in range(2))
    pd.testing.assert_frame_equal(pd.DataFrame(first), pd.DataFrame(second))


def test_nouns_of_rows(layers):
    frame = sampled(of_grid(layers), 640.0)
    located = locations_of(frame.iloc[3:7])
    assert [loc.location_id for loc in located] == frame["location_id"].tolist()[3:7]
    for loc in located:
        west, south, east, north = loc.footprint.bounds_m
        assert (east - west, north - south) == (640.0, 640.0)
    assert locations_of(frame.iloc[:0]) == []


def test_table_survives_parquet(layers, tmp_path):
    frame = sampled(of_grid(layers), 640.0)
    frame.to_parquet(tmp_path / "locations.parquet")
    assert locations_of(gpd.read_parquet(tmp_path / "locations.parquet")) == locations_of(frame)


@pytest.mark.parametrize("rule", ["proportional", "equal", "sqrt"])
def test_allocated_samples_are_exact_and_nested(layers, rule):
    def take(n):
        wanted = {"rule": rule, "n": n, "minimum": 3, "seed": 7}
        return sampled(of_grid(layers, allocation=wanted), 640.0)

    every, small, large = sampled(of_grid(layers), 640.0), take(10), take(20)
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
    assert len(sampled(of_grid(layers, finer, allocation=wanted), 640.0)) == 900


def test_regions_without_land_are_refused(layers):
    source = GridSource(region=str(layers / "region.gpkg"), min_lat_deg=50)
    with pytest.raises(ConfigError, match=r"has no land cell in .*region.* north of 50 degrees"):
        sample_locations(LocationParameters(source=source), 640.0)
    gpd.GeoDataFrame(geometry=[shapely.box(-40, 30, -35, 35)], crs=4326).to_file(layers / "sea.gpkg")
    with pytest.raises(ConfigError, match=r"has no land cell in .*sea"):
        sample_locations(LocationParameters(source=GridSource(region=str(layers / "sea.gpkg"))), 640.0)


def test_fine_grids_are_computed_near_the_land_only(layers):
    gpd.GeoDataFrame(geometry=[shapely.box(7.0, 46.0, 7.1, 46.1)], crs=4326).to_file(layers / "small.gpkg")
    frame = sampled(
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
        ({"allocation": {"cap": 3}}, "takes every cell"),
        (
            {"allocation": {"rule": "equal", "n": 9, "minimum": 3, "cap": 2}},
            "at least the minimum of 3, got 2",
        ),
        ({"split": {"block_km": 100.0, "buffer_km": 60.0}}, "at most half of block_km"),
        ({"source": {"kind": "points", "points": "a", "date_fields": ("d", "d")}}, "different columns"),
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
    frame = sampled(LocationParameters(source=PointSource(points=path, id_field="plot")), 640.0)
    expected = DTYPES | {"plot": "str"}
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == expected
    assert dict(zip(frame["location_id"], frame["biome"], strict=True)) == {"x": "4", "y": "13"}


def test_columns_with_a_name_of_ours_are_kept_under_another(layers):
    path = points_file(
        layers / "p.csv",
        lon=[6, 8],
        lat=[46, 46],
        split=["a", "b"],
        size=[1, 2],
        biome=[4, 13],
        geometry=[0, 1],
    )
    source = {"kind": "points", "points": path}
    parameters = LocationParameters.model_validate({"source": source, "strata": str(layers / "strata.gpkg")})
    frame = sampled(parameters, 640.0).sort_values("lon")
    assert frame["split_given"].tolist() == ["a", "b"]
    assert frame["size_given"].tolist() == [1, 2]
    assert frame["biome_given"].tolist() == ["4", "13"]
    assert frame["biome"].tolist() == ["strata 0", "strata 1"]
    assert set(frame["split"]) <= {"train", "val", "test", "buffer"}
    assert frame.columns[-1] == "geometry"


def test_points_bring_their_dates(tmp_path):
    dates = ["2021-06-30", "2020-02-29T13:00:00Z", ""]
    path = points_file(tmp_path / "p.csv", lon=[7, 8, 9], lat=[46, 47, 48], visit=dates)
    source = PointSource(points=path, date_fields=("visit",))
    frame = sampled(LocationParameters(source=source), 640.0).sort_values("lon")
    assert frame["visit"].dt.strftime("%Y-%m-%d").tolist()[:2] == ["2021-06-30", "2020-02-29"]
    assert pd.isna(frame["visit"].iloc[2])
    assert str(frame["visit"].dtype) == "datetime64[ms]"
    with pytest.raises(ConfigError, match=r"no column 'survey'; its columns are: lon, lat, visit"):
        read_points(path, date_fields=["survey"])
    wrong = points_file(tmp_path / "q.csv", lon=[7, 8], lat=[46, 47], visit=["2021-06-30", "30.06.2021"])
    with pytest.raises(
        ConfigError, match=r"point 2: visit must be a date like 2021-06-30 of .* got '30.06.2021'"
    ):
        read_points(wrong, date_fields=["visit"])
    with pytest.raises(ConfigError, match="'split' has the name of a column of ours; rename it"):
        taken = points_file(tmp_path / "r.csv", lon=[7], lat=[46], split=["2021-06-30"])
        sample_locations(LocationParameters(source=PointSource(points=taken, date_fields=("split",))), 640.0)


def table_of(tmp_path, text, name="p.csv", encoding="utf-8"):
    (tmp_path / name).write_text(text, encoding=encoding)
    return read_points(str(tmp_path / name))


def test_text_is_kept_as_it_is_written(tmp_path):
    table = table_of(
        tmp_path,
        "lon,lat,realm,plot,count,cover\n7,46,NA,0012,3,NA\n8,46,PA,0013,4,0.5\n9,46,,12,5,\n",
        encoding="utf-8-sig",
    )
    assert table["realm"].tolist()[:2] == ["NA", "PA"]
    assert table["realm"].isna().tolist() == [False, False, True]
    assert table["plot"].tolist() == ["0012", "0013", "12"]
    assert table["count"].tolist() == [3, 4, 5]
    assert np.isnan(table["cover"][0])
    assert table["cover"][1] == 0.5
    ids = read_points(str(tmp_path / "p.csv"), "plot")["location_id"]
    assert ids.tolist() == ["0012", "0013", "12"]


def test_ids_of_a_table_of_locations_are_its_own(layers, tmp_path):
    first = sampled(of_grid(layers), 640.0)
    first.to_parquet(tmp_path / "l.parquet")
    source = LocationParameters(source=PointSource(points=str(tmp_path / "l.parquet")))
    second = sampled(source, 640.0)
    assert second["location_id"].tolist() == first["location_id"].tolist()
    second.to_parquet(tmp_path / "l.parquet")
    third = sampled(source, 640.0)
    assert {"split_given", "split_given_given"} <= set(third.columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat,label\n7.9,46.5,12,\n8.0,46.6,13,\n", "each row as long as the header"),
        ("lon;lat;label\n7.9;46.5;12\n", "not separated by commas: 'lon;lat;label'"),
        ("location_id,lon,lat\na,7,46\n,8,46\n", "point 2: location_id is empty, and it is the id"),
    ],
)
def test_tables_that_would_be_misread_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        table_of(tmp_path, text)


@pytest.mark.parametrize("date", ["now", "2021", "9999-12-31", "0001-01-01", "44377", "2021-02-30", "x"])
def test_what_is_no_date_is_refused(tmp_path, date):
    path = points_file(tmp_path / "p.csv", lon=[7, 8], lat=[46, 47], visit=["2021-06-30", date])
    with pytest.raises(ConfigError, match=rf"point 2: visit must be a date .* got '{date}'"):
        read_points(path, date_fields=["visit"])


def test_dates_of_other_files(tmp_path):
    days = pd.to_datetime(["2021-06-30 23:00", None])
    plain = pd.DataFrame({"lon": [7, 8], "lat": [46, 47], "whole": [20210630, None], "day": days})
    plain.to_parquet(tmp_path / "p.parquet")
    table = read_points(str(tmp_path / "p.parquet"), date_fields=["whole", "day"])
    for name in ("whole", "day"):
        assert table[name].tolist() == [pd.Timestamp("2021-06-30"), pd.NaT]


def test_points_without_a_point_are_refused(tmp_path):
    frame = gpd.GeoDataFrame({"a": [1, 2]}, geometry=[shapely.Point(1, 2), None], crs=4326)
    frame.to_file(tmp_path / "p.gpkg")
    with pytest.raises(ConfigError, match="must hold one point a row, got nothing"):
        read_points(str(tmp_path / "p.gpkg"))


def test_a_label_that_is_missing_is_its_own_stratum(tmp_path):
    path = points_file(tmp_path / "p.csv", lon=[7, 8, 9], lat=[46, 47, 48], biome=["n", None, "k"])
    parameters = LocationParameters.model_validate(
        {"source": {"kind": "points", "points": path}, "allocation": {"by": "biome"}}
    )
    sample = sample_locations(parameters, 640.0)
    assert sample.strata["stratum"].tolist() == ["k", "n", "none"]
    assert sorted(sample.table["biome"]) == ["k", "n", "none"]


def test_strata_without_a_place_are_counted(layers):
    parameters = of_grid(layers, allocation={"rule": "proportional", "n": 1, "seed": 7})
    assert sample_locations(parameters, 640.0).counts["strata_without_place"] == 1


def test_labels_of_mixed_types_become_text(tmp_path):
    frame = gpd.GeoDataFrame(
        {"note": ["a", 3, None], "tags": [["x"], ["y", "z"], None]},
        geometry=gpd.points_from_xy([7, 8, 9], [46, 47, 48]),
        crs=4326,
    )
    frame.to_file(tmp_path / "p.geojson")
    table = read_points(str(tmp_path / "p.geojson"))
    table.to_parquet(tmp_path / "out.parquet")
    assert table["note"].tolist()[:2] == ["a", "3"]
    assert table["note"].isna().tolist() == [False, False, True]


def test_exchanged_coordinates_are_refused_also_when_in_range(tmp_path):
    # Places in France, Spain, Italy and Algeria, written the wrong way round.
    lat, lon = [46.0, 40.0, 43.0, 35.0, 48.0], [2.0, -4.0, 12.0, 3.0, 4.0]
    right, wrong = (tmp_path / name for name in ("right.csv", "wrong.csv"))
    points_file(right, lon=lon, lat=lat)
    points_file(wrong, lon=lat, lat=lon)
    assert len(sampled(LocationParameters(source=PointSource(points=str(right))), 640.0)) == 5
    source = PointSource(points=str(wrong))
    with pytest.raises(ConfigError, match=r"look exchanged: [0-9]+% of the 5 points .*check_order = false"):
        sample_locations(LocationParameters(source=source), 640.0)
    trusted = source.model_copy(update={"check_order": False})
    assert len(sampled(LocationParameters(source=trusted), 640.0)) == 5


def test_lakes_are_left_out(layers):
    gpd.GeoDataFrame(geometry=[shapely.box(6, 46, 7, 47)], crs=4326).to_file(layers / "lakes.gpkg")
    dry = of_grid(layers)
    wet = dry.model_copy(
        update={"source": dry.source.model_copy(update={"water": str(layers / "lakes.gpkg")})}
    )
    every, without = sampled(dry, 640.0), sampled(wet, 640.0)
    in_lake = every["lon"].between(6, 7) & every["lat"].between(46, 47)
    assert in_lake.any()
    assert set(without["location_id"]) == set(every["location_id"][~in_lake])


def test_mended_polygons_and_points_without_one_are_counted(layers):
    bow_tie = shapely.Polygon([(4, 44), (7, 49), (7, 44), (4, 49)])
    gpd.GeoDataFrame(
        {"ECO_NAME": ["a"], "BIOME_NAME": ["a"], "REALM": ["a"]}, geometry=[bow_tie], crs=4326
    ).to_file(layers / "strata.gpkg")
    sample = sample_locations(of_grid(layers), 640.0)
    counts = sample.table["ecoregion"].value_counts()
    assert sample.counts["mended_polygons"] == 1
    assert sample.counts["unlabelled"] == counts["none"] > 0
    assert sample.counts["labelled_by_nearest"] > 0


def test_a_sample_that_grows_keeps_its_rows(layers):
    def take(n, known=()):
        wanted = {"rule": "equal", "n": n, "seed": 7}
        return sample_locations(of_grid(layers, allocation=wanted), 640.0, known).table

    small = take(10)
    grown = take(20, small["location_id"].tolist())
    assert grown["location_id"].tolist()[:10] == small["location_id"].tolist()
    assert sorted(grown["location_id"]) == sorted(take(20)["location_id"])
    appended = grown["location_id"].tolist()[10:]
    assert appended == [name for name in take(20)["location_id"] if name in appended]
    other = ["somewhere else", *small["location_id"]]
    pd.testing.assert_frame_equal(pd.DataFrame(take(20, other)), pd.DataFrame(take(20)))
    assert (
        take(20, take(20)["location_id"].tolist())["location_id"].tolist() == take(20)["location_id"].tolist()
    )


def test_known_sample_of_a_grid(layers):
    # The whole way from the grid to the choice, the same on every machine and Python version.
    wanted = {"rule": "sqrt", "n": 12, "minimum": 2, "cap": 8, "seed": 3}
    frame = sampled(of_grid(layers, allocation=wanted), 640.0)
    first = "105U_15R 104U_16R 101U_13R 103U_14R 105U_13R 105U_11R"
    last = "101U_11R 100U_10R 102U_9R 103U_10R 105U_9R 102U_8R"
    assert frame["location_id"].tolist() == [*first.split(), *last.split()]


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
        ({"lon": [1.0, None], "lat": [3, 4]}, "point 2: lon is not a number: ''"),
        ({"x": [1], "y": [3]}, "no column 'lon' and no column 'lat'; its columns are: x, y"),
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
    with pytest.raises(ConfigError, match=r"no column 'site'; its columns are: lon, lat, plot"):
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
    frame = sampled(LocationParameters(source=source), 640.0)
    assert len(locations_of(frame)) == count
    assert set(frame["location_id"]) == set(pd.read_csv(path)["ind"].astype(str))
