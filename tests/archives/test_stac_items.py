"""Real items of Planetary Computer, Earth Search and a plain catalogue become scenes."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from ssl4eco_data.archives.items import _entries, absolute_href, scene_of
from ssl4eco_data.archives.modis import _keys
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError

EARTH_SEARCH = "items/earth-search.aws.element84.com"
PLANETARY = "items/planetarycomputer.microsoft.com/sentinel-2-l2a"


@pytest.fixture(scope="session")
def real_items(shared_data: Path) -> Path:
    return shared_data / "stac-items"


def load(path: Path) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(path.read_text())
    return item


def test_every_whole_sentinel_2_item_is_understood(real_items: Path) -> None:
    paths = [
        *sorted((real_items / EARTH_SEARCH).rglob("*.json")),
        *sorted((real_items / PLANETARY).glob("*.json")),
    ]
    whole = [item for item in map(load, paths) if item.get("assets")]
    assert len(whole) > 40
    for item in whole:
        scene = scene_of(item, "")
        assert set(scene.assets) == set(BANDS)
        assert scene.tile in item["id"]
        assert scene.tile_west_m % 60 == 0
        assert scene.tile_north_m % 60 in (0, 40)
        assert 0 <= scene.cloud_fraction <= 1
        assert -10 < scene.sun_elevation_deg < 90
        assert scene.time.utcoffset() is not None


def test_offsets_of_real_catalogues(real_items: Path) -> None:
    offsets = {
        f"{EARTH_SEARCH}/sentinel-2-l2a/S2B_24MUA_20250731_0_L2A.json": 0,  # stated, and already applied
        f"{EARTH_SEARCH}/sentinel-2-c1-l2a/S2B_T24MUA_20250731T130245_L2A.json": -1000,
        f"{PLANETARY}/S2A_MSIL2A_20190101T000001_R116_T59ULV_20201007T214655.json": 0,  # baseline 02.12
    }
    for path, offset in offsets.items():
        assert scene_of(load(real_items / path), "").offset_dn == offset
    item = load(real_items / list(offsets)[2])
    item["properties"]["s2:processing_baseline"] = "05.10"
    assert scene_of(item, "").offset_dn == -1000


def test_one_acquisition_in_two_catalogues_has_one_name(real_items: Path) -> None:
    names = {
        scene_of(load(real_items / EARTH_SEARCH / path), "").acquisition
        for path in (
            "sentinel-2-l2a/S2B_24MUA_20250731_0_L2A.json",
            "sentinel-2-l2a/S2B_24MVV_20250731_0_L2A.json",
            "sentinel-2-c1-l2a/S2B_T24MWV_20250731T130245_L2A.json",
        )
    }
    assert names == {"S2B_20250731T130249"}


def test_one_pass_has_one_acquisition_over_two_zones(real_items: Path) -> None:
    scenes = [scene_of(load(path), "") for path in sorted((real_items / PLANETARY).glob("*.json"))]
    assert len({scene.epsg for scene in scenes}) == 3
    assert {scene.acquisition for scene in scenes} == {"S2A_20190101T000001"}


def test_older_spellings_are_understood(real_items: Path) -> None:
    scene = scene_of(load(real_items / "S2A_28QCH_20200714_0_L2A.json"), "")
    assert (scene.tile, scene.epsg, scene.offset_dn) == ("28QCH", 32628, 0)
    assert scene.acquisition == "S2A_20200714T115221"
    assert math.isnan(scene.sun_elevation_deg)


@pytest.fixture
def item(real_items: Path) -> dict[str, Any]:
    return load(real_items / EARTH_SEARCH / "sentinel-2-c1-l2a/S2B_T24MUA_20250731T130245_L2A.json")


def test_spellings_of_the_projection_and_the_tile(item: dict[str, Any]) -> None:
    plain = scene_of(item, "")
    other = copy.deepcopy(item)
    properties = other["properties"]
    properties["proj:code"] = f"EPSG:{properties.pop('proj:epsg')}"
    del properties["grid:code"]
    assert scene_of(other, "") == plain
    properties["grid:code"] = "MGRS-6VVN"
    assert scene_of(other, "").tile == "06VVN"


def test_newer_raster_fields_and_keys_with_resolution(item: dict[str, Any]) -> None:
    other = copy.deepcopy(item)
    for name, band in BANDS.items():
        asset = other["assets"].pop(band.common_name)
        if bands := asset.pop("raster:bands", None):
            asset |= {f"raster:{key}": bands[0][key] for key in ("offset", "scale") if key in bands[0]}
        other["assets"][f"{name}_{band.pixel_m}m"] = asset
    assert scene_of(other, "") == scene_of(item, "")
    assert scene_of(other, "").offset_dn == -1000


@pytest.mark.parametrize("lost", ["datetime", "proj:epsg"])
def test_an_item_that_lacks_something_is_named(item: dict[str, Any], lost: str) -> None:
    del item["properties"][lost]
    with pytest.raises(ArchiveError, match=item["id"]) as caught:
        scene_of(item, "")
    assert not caught.value.transient


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("./a/B.tif", "/data/", "/data/a/B.tif"),
        ("a/B.tif", "/data/", "/data/a/B.tif"),
        ("/other/B.tif", "/data/", "/other/B.tif"),
        ("https://x.net/B.tif", "/data/", "https://x.net/B.tif"),
        ("s3://bucket/B.tif", "/data/", "s3://bucket/B.tif"),
        ("./B.tif", "https://x.net/c/", "https://x.net/c/B.tif"),
        ("./B.tif", "s3://bucket/c/", "s3://bucket/c/B.tif"),
        ("../d/B.tif", "gs://bucket/c/", "gs://bucket/d/B.tif"),
    ],
)
def test_links_start_at_the_catalogue(href: str, base: str, expected: str) -> None:
    assert absolute_href(href, base) == expected


@pytest.mark.parametrize(
    "path",
    [
        "planetarycomputer.microsoft.com/sentinel-2-l2a.json",
        "earth-search.aws.element84.com/sentinel-2-l2a.json",
        "earth-search.aws.element84.com/sentinel-2-c1-l2a.json",
    ],
)
def test_the_collections_promise_every_band(real_items: Path, path: str) -> None:
    promised = load(real_items / "collections" / path)["item_assets"]
    assert set(_entries({"assets": promised})) == set(BANDS)


@pytest.mark.parametrize("name", ["modis-13Q1-061", "modis-13A1-061"])
def test_the_modis_collections_promise_the_three_layers(real_items: Path, name: str) -> None:
    promised = load(real_items / "collections/planetarycomputer.microsoft.com" / f"{name}.json")[
        "item_assets"
    ]
    assert set(_keys({"assets": promised})) <= set(promised)


def test_the_copernicus_data_space_names_bands_with_their_resolution(item: dict[str, Any]) -> None:
    """Each band is there in several resolutions; the native one counts. Links lead to a bucket."""
    other = copy.deepcopy(item)
    assets = {}
    for name, band in BANDS.items():
        for pixel_m in (10, 20, 60):
            if pixel_m >= band.pixel_m:
                asset = dict(item["assets"][band.common_name])
                assets[f"{name}_{pixel_m}m"] = asset | {"href": f"s3://eodata/{name}_{pixel_m}m.jp2"}
    other["assets"] = assets
    scene = scene_of(other, "https://stac.example/v1/")
    assert {n: a.href for n, a in scene.assets.items()} == {
        name: f"s3://eodata/{name}_{band.pixel_m}m.jp2" for name, band in BANDS.items()
    }
