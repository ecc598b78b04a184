"""Catalogue files: both forms, several collections, loaded once, loaded anew when written anew."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
import shapely
from catalogue_cases import FOOTPRINT, Truth, lonlat

from ssl4eco_data.archives import sources
from ssl4eco_data.archives.documents import Asking
from ssl4eco_data.archives.flow_control import Limits
from ssl4eco_data.archives.sources import source_of
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.archives.transport import Timeouts
from ssl4eco_data.errors import ArchiveError

AREA = lonlat(32631, shapely.box(*FOOTPRINT.bounds_m))
PERIOD = (date(2015, 1, 1), date(2030, 1, 1))


def features(catalogue: tuple[Path, Truth]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((catalogue[0] / "sentinel-2-l2a.json").read_text())[
        "features"
    ]
    return found


def searched(path: Path) -> list[str]:
    archive = StacArchive(StacParameters(imagery=str(path)))
    return [scene.scene_id for scene in archive.search(AREA, *PERIOD)]


def test_one_item_a_line_is_the_same_catalogue(catalogue: tuple[Path, Truth], tmp_path: Path) -> None:
    path = tmp_path / "items.ndjson"
    path.write_text("\n".join(json.dumps(item) for item in features(catalogue)) + "\n\n")
    assert searched(path) == catalogue[1].scene_ids


def test_repeated_items_and_other_collections_do_not_show(
    catalogue: tuple[Path, Truth], tmp_path: Path
) -> None:
    items = features(catalogue)
    other = [{**item, "collection": "elsewhere"} for item in items]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*items, *items, *other]}))
    assert searched(path) == catalogue[1].scene_ids
    archive = StacArchive(StacParameters(imagery=str(path), collection="elsewhere"))
    assert len(archive.get(catalogue[1].scene_ids)) == len(items)


def test_a_file_is_loaded_once_until_it_changes(
    catalogue: tuple[Path, Truth], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    parse = sources._parse
    monkeypatch.setattr(sources, "_parse", lambda text, name: (loads.append(name), parse(text, name))[1])
    path = tmp_path / "items.json"
    for kept in (6, 2):
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features(catalogue)[:kept]}))
        for _ in range(3):
            assert len(searched(path)) == kept
    assert len(loads) == 2


@pytest.mark.parametrize("odd", [None, 7, [], {}, {"id": None}, {"id": ["x"]}, {"id": "x", "collection": []}])
def test_what_is_no_item_is_passed_over_and_logged(
    catalogue: tuple[Path, Truth], tmp_path: Path, odd: object, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "items.NDJSON"
    path.write_text("\n".join(json.dumps(item) for item in [odd, *features(catalogue)]))
    assert searched(path) == catalogue[1].scene_ids
    assert "items.NDJSON: 1 items without" in caplog.text


@pytest.mark.parametrize("document", [None, [], {"features": None}, {"features": {}}])
def test_a_document_without_a_list_of_items_is_refused(tmp_path: Path, document: object) -> None:
    path = tmp_path / "items.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ArchiveError, match="not a GeoJSON FeatureCollection"):
        searched(path)


def test_an_empty_catalogue_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert searched(path) == []
    archive = StacArchive(StacParameters(imagery=str(path), vegetation=str(path)))
    assert archive.vegetation_series([], *PERIOD).sizes["time"] == 0


def test_links_are_resolved_beside_the_catalogue_wherever_we_are(
    catalogue: tuple[Path, Truth], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(catalogue[0])
    timeouts = Timeouts(connect_s=1, read_s=1, total_s=1)
    asking = Asking(timeouts=timeouts, limits=Limits(), retries=0, wait_s=0)
    source = source_of("sentinel-2-l2a.json", asking)
    assert source.base == f"{Path.cwd()}/"


def test_a_collection_that_the_file_does_not_have_is_named(catalogue: tuple[Path, Truth]) -> None:
    path = catalogue[0] / "sentinel-2-l2a.json"
    archive = StacArchive(StacParameters(imagery=str(path), collection="sentinel-2-l1c"))
    with pytest.raises(ArchiveError, match="only sentinel-2-l2a"):
        archive.search(AREA, *PERIOD)


def test_items_that_name_no_collection_are_of_any(catalogue: tuple[Path, Truth], tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    plain = [
        {key: value for key, value in item.items() if key != "collection"} for item in features(catalogue)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": plain}))
    assert searched(path) == catalogue[1].scene_ids
