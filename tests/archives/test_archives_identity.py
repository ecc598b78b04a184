"""One scene under many names: processed anew, in several archives, in two parts."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4eco_data.archives.earth_engine_images import scene_of as image_scene
from ssl4eco_data.archives.identity import newest, of_identity, processing_of, strip_start
from ssl4eco_data.archives.items import item_time, scene_of, scenes_of
from ssl4eco_data.types import Scene

NOON = datetime(2022, 5, 1, 10, 50, 31, tzinfo=UTC)


def scene(name: str, **changes: Any) -> Scene:
    common: dict[str, Any] = {
        "scene_id": name,
        "acquisition": "S2A_20220501T105031",
        "tile": "31UDS",
        "time": NOON,
        "epsg": 32631,
        "tile_west_m": 399960.0,
        "tile_north_m": 5700000.0,
        "cloud_fraction": 0.1,
        "sun_elevation_deg": 40.0,
    }
    return Scene(**(common | changes))


def real_items(folder: Path) -> Iterator[dict[str, Any]]:
    """Every whole Sentinel-2 item there is, from all catalogues."""
    for path in sorted([*folder.rglob("*.json"), *folder.glob("*.geojson")]):
        document = json.loads(path.read_text())
        listed = document.get("features", [document]) if isinstance(document, dict) else []
        for item in listed:
            if item.get("type") == "Feature" and item.get("assets") and "S2" in item["id"]:
                yield item


def test_every_real_item_is_named_by_platform_and_start_of_its_datatake(shared_data: Path) -> None:
    found = list(real_items(shared_data / "stac-items"))
    assert len(found) > 70
    for item in found:
        properties, seen = item["properties"], scene_of(item, "")
        product = properties.get("s2:product_uri") or properties["sentinel:product_id"]
        assert seen.acquisition == f"{product[:3]}_{product[11:26]}", item["id"]
        assert seen.identity == (seen.acquisition, seen.tile)
        assert seen.processing[:5] == (properties.get("s2:processing_baseline") or "00.00")
        assert "T" in seen.processing


def test_the_same_scene_has_one_identity_in_all_archives(shared_data: Path) -> None:
    folder = shared_data / "stac-items/items/earth-search.aws.element84.com"
    twins = {
        "sentinel-2-l2a/S2B_24MUA_20250731_0_L2A.json",
        "sentinel-2-c1-l2a/S2B_T24MUA_20250731T130245_L2A.json",
    }
    scenes = [scene_of(json.loads((folder / twin).read_text()), "") for twin in sorted(twins)]
    image = {
        "id": "x",
        "bands": [{"crs": "EPSG:32724", "crs_transform": [10, 0, 300000, 0, -10, 9900040]}],
        "properties": {
            "system:index": "20250731T130249_20250731T130245_T24MUA",
            "DATATAKE_IDENTIFIER": "GS2B_20250731T130249_043879_N05.11",
            "DATASTRIP_ID": "S2B_OPER_MSI_L2A_DS_2BPS_20250731T132745_S20250731T130245_N05.11",
            "MGRS_TILE": "24MUA",
            "PROCESSING_BASELINE": "05.11",
            "GENERATION_TIME": 1753968465000,
            "system:time_start": 1753966999635,
            "system:footprint": {"type": "Polygon", "coordinates": []},
        },
    }
    scenes.append(image_scene(image))
    assert {each.identity for each in scenes} == {("S2B_20250731T130249", "24MUA")}
    assert len({each.strip for each in scenes}) == 1
    assert scenes[0].processing == scenes[1].processing == scenes[2].processing == "05.11 2025-07-31T13:27:45"


def test_a_scene_of_the_copernicus_data_space_is_the_same(shared_data: Path) -> None:
    """Its items name fields after the projection and processing extensions, bands with their resolution."""
    path = "items/earth-search.aws.element84.com/sentinel-2-c1-l2a/S2B_T24MUA_20250731T130245_L2A.json"
    item = json.loads((shared_data / "stac-items" / path).read_text())
    other = copy.deepcopy(item)
    properties = other["properties"]
    other["id"] = properties["s2:product_uri"].removesuffix(".SAFE")
    properties["processing:version"] = properties.pop("s2:processing_baseline")
    properties["processing:datetime"] = properties.pop("s2:generation_time")
    for name in ("s2:product_uri", "s2:datatake_id"):
        del properties[name]
    properties["eopf:datastrip_id"] = properties.pop("s2:datastrip_id")
    ours, theirs = scene_of(item, ""), scene_of(other, "")
    assert (theirs.identity, theirs.strip, theirs.processing) == (ours.identity, ours.strip, ours.processing)


def test_the_newest_processing_stands_for_a_granule_whatever_the_order() -> None:
    old = scene("z_old", processing="02.14 2022-05-01T15:00:00")
    later = scene("b_new", processing="05.00 2023-01-01T00:00:00", time=NOON + timedelta(seconds=2))
    again = scene("a_new", processing="05.00 2023-01-01T00:00:00")
    for order in permutations([old, later, again]):
        (kept,) = newest(order)
        assert kept.scene_id == "b_new"
        assert kept.supersedes == ("a_new", "z_old")


def test_a_higher_baseline_is_newer_than_a_later_date() -> None:
    texts = [processing_of(b, d) for b, d in [("02.14", NOON), ("04.00", None), ("10.00", NOON)]]
    assert texts == sorted(texts)
    assert processing_of("5.1", NOON) < processing_of("05.10", NOON)
    assert processing_of(None, None) < processing_of("02.04", None)


@pytest.mark.parametrize("by", ["strip", "time"])
def test_two_parts_of_one_pass_stay_two_scenes(by: str) -> None:
    """Real: S2C over 13TDE on 29 July 2025, datastrips at 17:55:21 and 18:03:10, sensed 6.6 s apart."""
    first = scene("first", processing="05.11", strip=NOON if by == "strip" else None)
    apart = (
        {"strip": NOON + timedelta(minutes=8)} if by == "strip" else {"time": NOON + timedelta(seconds=6.6)}
    )
    second = scene("second", processing="05.11", **apart)
    anew = replace(first, scene_id="first_anew", processing="05.20")
    for order in permutations([first, second, anew]):
        assert [s.scene_id for s in newest(order)] == ["first_anew", "second"]


def test_other_tiles_platforms_and_passes_are_never_one() -> None:
    others = [
        scene("a"),
        scene("b", tile="31UES"),
        scene("c", acquisition="S2B_20220501T105031"),
        scene("d", acquisition="S2A_20220502T105031", time=NOON + timedelta(days=1)),
    ]
    assert [s.scene_id for s in newest(others)] == ["a", "b", "c", "d"]


def test_what_cannot_be_read_neither_wins_nor_vanishes() -> None:
    whole, broken = (
        scene("whole", processing="02.14"),
        scene("broken", processing="05.11", failure="no assets"),
    )
    assert {s.scene_id for s in newest([whole, broken])} == {"whole", "broken"}
    assert not newest([whole, broken])[0].supersedes


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["31UDS", "31UES"]),
            st.sampled_from(["02.14", "04.00", "05.11"]),
            st.sampled_from([0, 8, 16]),
        ),
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
def test_every_granule_keeps_one_scene_and_no_name_is_lost(
    products: list[tuple[str, str, int]], random: Any
) -> None:
    scenes = [
        scene(f"s{i}", tile=tile, processing=baseline, strip=NOON + timedelta(minutes=minutes))
        for i, (tile, baseline, minutes) in enumerate(products)
    ]
    kept = newest(scenes)
    assert len(kept) == len({(s.tile, s.strip) for s in scenes})
    assert sorted(name for s in kept for name in (s.scene_id, *s.supersedes)) == sorted(
        s.scene_id for s in scenes
    )
    shuffled = list(scenes)
    random.shuffle(shuffled)
    assert newest(shuffled) == kept


def test_a_scene_is_found_again_by_datatake_and_tile_nearest_in_time() -> None:
    near = scene("near", strip=NOON + timedelta(minutes=3))
    far = scene("far", strip=NOON + timedelta(minutes=11), time=NOON + timedelta(seconds=9))
    broken = scene("broken", failure="no assets")
    listed = [far, broken, scene("tile", tile="31UES"), near]
    for name in ("S2A_20220501T105031", "20220501T105031"):
        assert of_identity(listed, name, "31UDS", NOON) == [near, far, broken]
        assert of_identity(listed, name, "31UDS", NOON + timedelta(minutes=10)) == [far, near, broken]
    assert not of_identity(listed, "S2B_20220501T105031", "31UDS", NOON)


def test_a_datastrip_that_tells_no_start_is_unknown() -> None:
    assert strip_start("S2B_OPER_MSI_L2A_DS_2BPS_20250731T132745_S20250731T130245_N05.11") == datetime(
        2025, 7, 31, 13, 2, 45, tzinfo=UTC
    )
    assert strip_start("nothing") is None
    assert strip_start(None) is None


@pytest.mark.parametrize("lost", ["assets", "proj", "datetime", "geometry"])
def test_a_malformed_item_is_a_failure_with_what_is_known_of_it(
    shared_data: Path, lost: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = "items/earth-search.aws.element84.com/sentinel-2-c1-l2a/S2B_T24MUA_20250731T130245_L2A.json"
    item = json.loads((shared_data / "stac-items" / path).read_text())
    whole, name = copy.deepcopy(item), item["id"]
    if lost == "proj":
        for place in (item["properties"], *item["assets"].values()):
            for key in [k for k in place if k.startswith("proj:")]:
                del place[key]
    elif lost == "datetime":
        item["properties"]["datetime"] = "yesterday"
    else:
        item[lost] = None
    found = {s.scene_id: s for s in scenes_of([{**whole, "id": "whole"}, item], "")}
    if lost in ("datetime", "geometry"):  # nobody can tell to which season or location it belongs
        assert name not in found
        assert name in caplog.text
        return
    assert name in found[name].failure
    assert found[name].identity == found["whole"].identity
    assert (found[name].time, found[name].epsg) == (item_time(whole), 0 if lost == "proj" else 32724)
