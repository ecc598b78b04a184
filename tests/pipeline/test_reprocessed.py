"""An archive that processes its scenes anew between two stages: other ids, the same passes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.locations import footprint_polygon, locations_of
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.judged import RememberingArchive
from ssl4eco_data.pipeline.patches import cut_patches
from ssl4eco_data.store import read_table


@pytest.fixture
def renamed(tmp_path: Path, tiny_archive: Path) -> Path:
    """The tiny archive's catalogue with other ids, and the old processing of one scene beside the new."""
    folder = Path(shutil.copytree(tiny_archive, tmp_path / "renamed"))
    path = folder / "sentinel-2-l2a.json"
    catalogue = json.loads(path.read_text())
    for item in catalogue["features"]:
        item["id"] = f"{item['id']}_anew"
    path.write_text(json.dumps(catalogue))
    return path


def test_chosen_scenes_are_found_by_datatake_and_tile(
    finished_config: Path, built_config: Path, renamed: Path
) -> None:
    config = configuration.load(finished_config)
    first = open_dataset(configuration.load(built_config).root)
    archive = StacArchive(StacParameters(imagery=str(renamed)))
    outcomes = [cut_patches(config, archive, block) for block in tables.blocks(config)]
    chosen = tables.parts(config, tables.CHOICES).dropna(subset=["scene_id"])
    assert sum(o.counts["reprocessed"] for o in outcomes) >= chosen["scene_id"].nunique()
    assert not any(o.counts["unreadable"] for o in outcomes)
    quality = tables.parts(config, tables.QUALITY)
    assert quality["read_scene_id"].tolist() == (chosen["scene_id"] + "_anew").tolist()
    pipeline.stage_named("close").run(config, 0)
    again = open_dataset(config.root)
    np.testing.assert_array_equal(again["r10"].to_numpy(), first["r10"].to_numpy())
    old = first["scene_id"].astype(str).to_numpy()
    there = first["reason"].to_numpy() == ""
    assert (
        again["scene_id"].astype(str).to_numpy()[there] == np.char.add(old[there].astype(str), "_anew")
    ).all()


def test_scores_of_one_processing_are_not_those_of_another(finished_config: Path, renamed: Path) -> None:
    config = configuration.load(finished_config)
    location = locations_of(tables.locations(config))[0]
    archive = StacArchive(StacParameters(imagery=str(renamed)))
    scene = next(
        s
        for s in archive.search(footprint_polygon(location.footprint), *config.period.imagery)
        if s.epsg == location.footprint.epsg
    )
    old_id = scene.scene_id.removesuffix("_anew")
    (truth,) = archive.judge([scene], location.footprint)
    known = {(location.footprint, old_id): replace(truth, scene_id=old_id, blue_q95=9.0)}
    remembering = RememberingArchive(archive, known)
    assert str(remembering.judge([scene], location.footprint)) == str([truth])


def test_a_pass_that_is_gone_is_recorded(finished_config: Path, renamed: Path) -> None:
    config = configuration.load(finished_config)
    victim = read_table(tables.part(config, tables.CHOICES, 0)).dropna(subset=["scene_id"]).iloc[0]
    catalogue = json.loads(renamed.read_text())
    catalogue["features"] = [i for i in catalogue["features"] if i["id"] != f"{victim['scene_id']}_anew"]
    renamed.write_text(json.dumps(catalogue))
    outcome = cut_patches(config, StacArchive(StacParameters(imagery=str(renamed))), 0)
    quality = read_table(tables.part(config, tables.QUALITY, 0)).set_index(["location_id", "season"])
    row = quality.loc[(victim["location_id"], victim["season"])]
    assert row["failure"].startswith(f"the archive no longer lists {victim['scene_id']}")
    assert row["read_scene_id"] == ""
    assert outcome.counts["unreadable"] >= 1


def test_a_chosen_scene_whose_item_became_malformed_says_so(finished_config: Path, renamed: Path) -> None:
    config = configuration.load(finished_config)
    victim = read_table(tables.part(config, tables.CHOICES, 0)).dropna(subset=["scene_id"]).iloc[0]
    catalogue = json.loads(renamed.read_text())
    for item in catalogue["features"]:
        item["id"] = item["id"].removesuffix("_anew")
        if item["id"] == victim["scene_id"]:
            del item["assets"]
    renamed.write_text(json.dumps(catalogue))
    cut_patches(config, StacArchive(StacParameters(imagery=str(renamed))), 0)
    quality = read_table(tables.part(config, tables.QUALITY, 0)).set_index(["location_id", "season"])
    failure = quality.loc[(victim["location_id"], victim["season"]), "failure"]
    assert victim["scene_id"] in failure
    assert "assets" in failure


def test_a_pass_processed_anew_that_cannot_be_read_says_so(finished_config: Path, renamed: Path) -> None:
    config = configuration.load(finished_config)
    victim = read_table(tables.part(config, tables.CHOICES, 0)).dropna(subset=["scene_id"]).iloc[0]
    catalogue = json.loads(renamed.read_text())
    for item in catalogue["features"]:
        if item["id"] == f"{victim['scene_id']}_anew":
            del item["assets"]
    renamed.write_text(json.dumps(catalogue))
    outcome = cut_patches(config, StacArchive(StacParameters(imagery=str(renamed))), 0)
    quality = read_table(tables.part(config, tables.QUALITY, 0)).set_index(["location_id", "season"])
    row = quality.loc[(victim["location_id"], victim["season"])]
    assert "assets" in row["failure"]
    assert "no longer lists" not in row["failure"]
    assert row["read_scene_id"] == ""
    chosen = read_table(tables.part(config, tables.CHOICES, 0))["scene_id"].dropna()
    assert outcome.counts["reprocessed"] == chosen.nunique() - 1
