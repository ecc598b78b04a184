"""The items and the collection: valid by STAC's own schemas, in the right place, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pystac
import pytest
import shapely
from pystac.extensions.eo import EOExtension
from pystac.extensions.projection import ProjectionExtension

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.catalogue.facts import Tally, identifier, union
from ssl4eco_data.catalogue.items import (
    ROWS_PER_GROUP,
    SCHEMA,
    ItemWriter,
    box_of,
    items_table,
)
from ssl4eco_data.locations import footprint_polygon
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.catalogue import write_catalogue
from ssl4eco_data.store import Ledger, check
from ssl4eco_data.types import Footprint

TOP = ("type", "stac_version", "stac_extensions", "id", "collection", "links", "assets")


@pytest.fixture(scope="module")
def dataset(built_config: Path) -> Path:
    return built_config.parent / "dataset"


@pytest.fixture(scope="module")
def items(dataset: Path) -> list[dict[str, Any]]:
    return [item_of(row) for row in pq.read_table(dataset / "items.parquet").to_pylist()]


def item_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table as an item, by the words of the specification."""
    geometry = json.loads(shapely.to_geojson(shapely.from_wkb(row["geometry"])))
    box = row["bbox"]
    properties = {k: v for k, v in row.items() if k not in (*TOP, "geometry", "bbox") and v is not None}
    properties["datetime"] = row["datetime"].isoformat().replace("+00:00", "Z")
    return {
        **{name: row[name] for name in TOP},
        "geometry": geometry,
        "bbox": [box["xmin"], box["ymin"], box["xmax"], box["ymax"]],
        "properties": properties,
    }


def valid(document: dict[str, Any]) -> None:
    """Raises unless the document is valid; schemas of extensions are on the network and left out."""
    core = {**document, "stac_extensions": []}
    kind = pystac.Collection if document["type"] == "Collection" else pystac.Item
    assert kind.from_dict(core).validate()


def test_items_and_collection_are_valid(dataset: Path, items: list[dict[str, Any]]) -> None:
    collection = json.loads((dataset / "collection.json").read_bytes())
    valid(collection)
    for item in items:
        valid(item)
        assert item["collection"] == collection["id"]
        assert item["assets"]["patches"]["href"] == "./patches.zarr/sentinel2"
    with pytest.raises(pystac.errors.STACValidationError):
        valid({**items[0], "bbox": [1.0]})
    with pytest.raises(pystac.errors.STACValidationError):
        valid({**collection, "license": 3})


def test_the_reference_reader_makes_the_same_items(dataset: Path, items: list[dict[str, Any]]) -> None:
    arrow = pytest.importorskip("stac_geoparquet.arrow", reason="stac-geoparquet is not installed")
    read = list(arrow.stac_table_to_items(pq.read_table(dataset / "items.parquet")))
    assert [item["id"] for item in read] == [item["id"] for item in items]
    for theirs, ours in zip(read, items, strict=True):
        valid(theirs)
        assert theirs["properties"]["proj:bbox"] == ours["properties"]["proj:bbox"]
        assert theirs["bbox"] == ours["bbox"]


def test_extension_fields_are_read_by_pystac(items: list[dict[str, Any]]) -> None:
    item = pystac.Item.from_dict(items[0])
    projected = ProjectionExtension.ext(item)
    west, south, east, north = projected.bbox or []
    assert projected.code == "EPSG:32720"
    assert (east - west, north - south) == (640, 640)
    assert projected.shape == [64, 64]
    assert projected.transform == [10, 0, west, 0, -10, north]
    assert 0 <= EOExtension.ext(item).cloud_cover <= 100 if EOExtension.has_extension(item) else True
    assert item.properties["platform"] in ("sentinel-2a", "sentinel-2b")
    assert item.properties["grid:code"].startswith("MGRS-20H")


def test_there_is_one_item_per_patch_with_its_place_in_the_arrays(
    dataset: Path, items: list[dict[str, Any]]
) -> None:
    opened = open_dataset(dataset)
    there = np.argwhere((opened["scene_id"] != "").to_numpy()).tolist()
    known = [item["properties"] for item in items]
    assert [[p["ssl4eco:location_index"], p["ssl4eco:season_index"]] for p in known] == there
    for item, (i, j) in zip(known, there, strict=True):
        here = opened.isel(location=i, season=j)
        assert item["ssl4eco:location_id"] == here["location"].item()
        assert item["ssl4eco:season"] == here["season"].item()
        assert item["ssl4eco:scene_id"] == here["scene_id"].item()
        assert item["proj:code"] == f"EPSG:{here['epsg'].item()}"
        assert pd.Timestamp(item["datetime"]) == pd.Timestamp(here["time"].to_numpy().ravel()[0], tz="UTC")
        assert item["eo:cloud_cover"] == pytest.approx(100 * here["cloud_fraction"].item(), abs=1e-3)
        for name in ("ecoregion", "biome", "realm", "split"):
            assert item[f"ssl4eco:{name}"] == here[name].item()


def test_outlines_lie_where_the_patches_are(dataset: Path) -> None:
    frame = gpd.read_parquet(dataset / "items.parquet")
    assert frame.crs.equals(pyproj.CRS("OGC:CRS84"))
    located = gpd.read_parquet(dataset / "locations.parquet").set_index("location_id")
    for _, row in frame.iterrows():
        assert row.geometry.contains(located.geometry[row["ssl4eco:location_id"]])
        assert row.geometry.exterior.is_ccw
        epsg = int(row["proj:code"].partition(":")[2])
        back = gpd.GeoSeries([row.geometry], crs=4326).to_crs(epsg).total_bounds
        np.testing.assert_allclose(back, row["proj:bbox"], atol=0.01)
    box = (5, 45, 15, 55)
    inside = gpd.read_parquet(dataset / "items.parquet", bbox=box)
    assert 0 < len(inside) < len(frame)
    assert inside["ssl4eco:realm"].unique().tolist() == ["Palearctic"]


def test_the_collection_says_what_is_in_the_items(dataset: Path, items: list[dict[str, Any]]) -> None:
    collection = json.loads((dataset / "collection.json").read_bytes())
    times = sorted(item["properties"]["datetime"] for item in items)
    ((start, end),) = collection["extent"]["temporal"]["interval"]
    assert (start[:19], end[:19]) == (times[0][:19], times[-1][:19])
    west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
    boxes = np.array([item["bbox"] for item in items])
    assert (west, south) == tuple(boxes[:, :2].min(axis=0))
    assert (east, north) == tuple(boxes[:, 2:].max(axis=0))
    assert collection["summaries"]["platform"] == sorted({i["properties"]["platform"] for i in items})
    names = [band["name"] for band in collection["assets"]["patches"]["bands"]]
    assert names == list(configuration.load(dataset.parent / "tiny.toml").patches.bands)
    for asset in collection["assets"].values():
        assert (dataset / asset["href"]).exists()
    kept = json.loads(pq.read_schema(dataset / "items.parquet").metadata[b"stac-geoparquet"])
    assert kept["collections"] == {collection["id"]: collection}


def test_it_is_in_the_ledger_and_the_same_again(finished_config: Path) -> None:
    config = configuration.load(finished_config)
    names = ("items.parquet", "collection.json", "README.md")
    mark = Ledger(config.root).read("catalogue", 0)
    assert mark is not None
    assert sorted(record.path for record in mark.files) == sorted(names)
    before = {name: (config.root / name).read_bytes() for name in names}
    write_catalogue(config, 0)
    assert {name: (config.root / name).read_bytes() for name in names} == before
    (config.root / "items.parquet").write_bytes(before["items.parquet"][:-1] + b"x")
    assert any("items.parquet" in str(problem) for problem in check(config.root))


def test_unread_scenes_have_no_item_and_a_reason(finished_config: Path) -> None:
    config = configuration.load(finished_config)
    path = tables.part(config, tables.QUALITY, 0)
    quality = pd.read_parquet(path)
    quality.loc[0, "failure"] = "no such file"
    quality.to_parquet(path)
    outcome = write_catalogue(config, 0)
    rows = pq.read_table(config.root / "items.parquet").to_pylist()
    assert outcome.counts["items"] == len(rows) == 23
    gone = f"{quality.loc[0, 'location_id']}_{quality.loc[0, 'season']}"
    assert gone not in [row["id"] for row in rows]
    assert (
        "| `unreadable` | 1 | the chosen image could not be read |" in (config.root / "README.md").read_text()
    )


def test_the_catalogue_of_a_dataset_without_patches(finished_config: Path) -> None:
    config = configuration.load(finished_config)
    for block in tables.blocks(config):
        path = tables.part(config, tables.QUALITY, block)
        pd.read_parquet(path).assign(failure="gone").to_parquet(path)
    write_catalogue(config, 0)
    assert pq.read_table(config.root / "items.parquet").num_rows == 0
    collection = json.loads((config.root / "collection.json").read_bytes())
    assert collection["extent"]["temporal"]["interval"] == [[None, None]]
    valid(collection)


def test_a_new_title_makes_the_catalogue_anew(finished_config: Path) -> None:
    finished_config.write_text(
        finished_config.read_text().replace('title = "tiny"', 'title = "Ein Name, neu"')
    )
    config = configuration.load(finished_config)
    pipeline.build(config, pipeline.run_in_threads)
    assert json.loads((config.root / "collection.json").read_bytes())["id"] == "ein-name-neu"


def some_patches(n: int, **changes: Any) -> pd.DataFrame:
    place = {"location_id": "A", "location_index": 0, "epsg": 32601, "west": 400_000.0, "north": 7_000_000.0}
    facts = {
        "season": "spring",
        "season_index": 0,
        "scene_id": "s",
        "time": pd.Timestamp("2020-05-01", tz="UTC"),
    }
    scores = {
        "cloud_fraction": 0.1,
        "snow_fraction": np.nan,
        "clear_fraction": 0.9,
        "mean_ndvi": 0.5,
        "size": 640.0,
    }
    known = {"platform": None, "tile": None, "relative_orbit": None, "sun_elevation_deg": np.nan}
    labels = {"ecoregion": "", "biome": "x", "realm": "y", "split": "train"}
    row = {**place, **facts, **scores, **known, **labels, **changes}
    frame = pd.DataFrame([row] * n)
    return frame.astype({"relative_orbit": "Int64", "tile": "str", "platform": "str"})


def test_what_is_not_known_is_left_out() -> None:
    outline = footprint_polygon(Footprint(epsg=32601, west_m=4e5, north_m=7e6, size_m=640.0))
    bare, full = (
        item_of(items_table(some_patches(1, **known), {"A": outline}, "c").to_pylist()[0])
        for known in ({}, {"tile": "31UDS", "relative_orbit": 51, "sun_elevation_deg": 40.0})
    )
    for item in (bare, full):
        valid(item)
    assert [name.split("/")[3] for name in bare["stac_extensions"]] == ["projection", "eo"]
    assert [n.split("/")[3] for n in full["stac_extensions"]] == ["projection", "eo", "view", "grid", "sat"]
    assert not {"grid:code", "sat:relative_orbit", "eo:snow_cover", "platform"} & set(bare["properties"])
    assert full["properties"]["grid:code"] == "MGRS-31UDS"


def test_a_patch_across_the_antimeridian() -> None:
    outline = footprint_polygon(
        Footprint(epsg=32601, west_m=303_000.0, north_m=0.0 + 7_000_000, size_m=2560.0)
    )
    lons = [180.0, -180.0]
    crossing = shapely.union_all([shapely.box(179.9, 1, 180, 2), shapely.box(-180, 1, -179.8, 2)])
    assert box_of(crossing) == (179.9, 1.0, -179.8, 2.0)
    assert box_of(outline)[0] < box_of(outline)[2], "this one does not cross"
    assert union([box_of(crossing), (10.0, 0.0, 11.0, 5.0)]) == (lons[1], 0.0, lons[0], 5.0)
    table = items_table(some_patches(1), {"A": crossing}, "c")
    item = item_of(table.to_pylist()[0])
    valid(item)
    assert item["geometry"]["type"] == "MultiPolygon"
    for crosses, types in ((True, ["MultiPolygon", "Polygon"]), (False, ["Polygon"])):
        writer = ItemWriter({"id": "c"}, crossing=crosses)
        writer.add(table)
        geo = json.loads(pq.read_schema(pa.BufferReader(writer.finish())).metadata[b"geo"])
        column = geo["columns"]["geometry"]
        assert column["geometry_types"] == types
        assert ("covering" in column) is not crosses


def test_row_groups_do_not_grow_with_the_dataset() -> None:
    outline = shapely.box(0, 0, 1, 1)
    block = items_table(some_patches(ROWS_PER_GROUP // 4 + 5), {"A": outline}, "c")
    writer = ItemWriter({"id": "c"}, crossing=False)
    for _ in range(9):
        writer.add(block)
    file = pq.ParquetFile(pa.BufferReader(writer.finish()))
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [ROWS_PER_GROUP, ROWS_PER_GROUP, 9 * len(block) - 2 * ROWS_PER_GROUP]
    assert file.schema_arrow.equals(SCHEMA)


def test_counts_do_not_depend_on_the_blocks() -> None:
    patches = some_patches(6).assign(
        season=["a", "b"] * 3, time=pd.date_range("2019-12-01", periods=6, freq="30D", tz="UTC")
    )
    reasons = pd.Series(["all_cloudy", "no_window", "all_cloudy"], dtype="str")
    located = pd.DataFrame(
        {name: ["x", "", None] for name in ("split", "realm", "biome", "ecoregion")}, dtype="str"
    )
    whole, parts = Tally(), Tally()
    whole.add(patches, reasons, [(1.0, 2.0, 3.0, 4.0), (0.0, 3.0, 2.0, 9.0)])
    parts.add(patches.iloc[:2], reasons.iloc[:1], [(1.0, 2.0, 3.0, 4.0)])
    parts.add(patches.iloc[:0], reasons.iloc[:0], [])
    parts.add(patches.iloc[2:], reasons.iloc[1:], [(0.0, 3.0, 2.0, 9.0)])
    named = {"title": "t", "size_m": 640.0, "bands": ("B02",), "seasons": ("a", "b", "c")}
    facts = whole.facts(located, **named)
    assert facts == parts.facts(located, **named)
    assert facts.patches == {"a": 3, "b": 3, "c": 0}
    assert facts.missing == {"all_cloudy": 2, "no_window": 1}
    assert facts.years == (2019, 2020)
    assert facts.places["biome"] == {"x": 1}
    assert facts.box == (0.0, 2.0, 3.0, 9.0)


@pytest.mark.parametrize(
    ("title", "name"),
    [("SSL4Eco demo", "ssl4eco-demo"), ("Ökologie 2.0!", "kologie-2-0"), ("中文", "dataset")],
)
def test_titles_become_identifiers(title: str, name: str) -> None:
    assert identifier(title) == name
