"""Failures of the outside world: transient ones are tried again, permanent ones cost only themselves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.pipeline import tables
from tests.conftest import write_tiny_config
from tests.pipeline.digests import digest


@pytest.fixture
def own_archive(tmp_path: Path, tiny_archive: Path) -> Path:
    """A copy of the tiny archive that a test may damage."""
    return Path(shutil.copytree(tiny_archive, tmp_path / "archive"))


def assets_of(archive: Path, scene_id: str) -> dict[str, Path]:
    items = json.loads((archive / "sentinel-2-l2a.json").read_text())["features"]
    (item,) = (i for i in items if i["id"] == scene_id)
    return {name: archive / asset["href"] for name, asset in item["assets"].items()}


def build(path: Path) -> configuration.Config:
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads)
    return config


def first_choice(built_config: Path) -> pd.Series:
    return tables.parts(configuration.load(built_config), tables.CHOICES).iloc[0]


def test_a_broken_band_costs_one_season_and_is_recorded(
    tmp_path: Path, own_archive: Path, built_config: Path
) -> None:
    victim = first_choice(built_config)
    assets = assets_of(own_archive, victim["scene_id"])
    swir = assets.get("swir22") or assets["B12"]
    swir.write_bytes(swir.read_bytes()[:100])
    config = build(write_tiny_config(tmp_path, own_archive))
    quality = tables.parts(config, tables.QUALITY)
    broken = quality[quality["failure"] != ""]
    assert set(broken["location_id"]) >= {victim["location_id"]}
    assert broken["failure"].str.contains(swir.name, regex=False).all()
    season = open_dataset(config.root).sel(location=victim["location_id"], season=victim["season"])
    assert season["reason"].item() == "unreadable"
    assert int(season["r10"].max()) == 0
    assert pipeline.first_pending(config) is None


def test_a_broken_mask_is_another_scenes_turn_and_is_recorded(
    tmp_path: Path, own_archive: Path, built_config: Path
) -> None:
    victim = first_choice(built_config)
    assets = assets_of(own_archive, victim["scene_id"])
    (assets.get("scl") or assets["SCL"]).write_bytes(b"broken")
    config = build(write_tiny_config(tmp_path, own_archive))
    candidates = tables.parts(config, tables.CANDIDATES)
    bad = candidates[candidates["scene_id"] == victim["scene_id"]]
    assert set(bad["verdict"]) == {"unreadable"}
    assert bad["failure"].str.len().min() > 10
    choices = tables.parts(config, tables.CHOICES)
    assert victim["scene_id"] not in set(choices["scene_id"])
    assert choices["scene_id"].notna().mean() > 0.9


@pytest.mark.parametrize(("failures", "works"), [(2, True), (3, False)])
def test_transient_failures_are_tried_again_and_then_leave_the_block_pending(
    failures: int, works: bool, finished_config: Path
) -> None:
    config = configuration.load(finished_config)
    left = {"phenology": failures}

    def shaky(config: configuration.Config, block: int) -> pipeline.Outcome:
        if block == 1 and left["phenology"]:
            left["phenology"] -= 1
            raise ArchiveError("the archive asks to slow down", transient=True)
        return pipeline.Outcome(files=())

    stage = replace(pipeline.stage_named("phenology"), run=shaky)
    results = pipeline.run_in_threads(config, stage, pipeline.plan(config, stage))
    assert [bool(r.error) for r in results] == [False, not works, False]
    assert ("slow down" in results[1].error) is not works


def test_a_permanent_failure_is_not_tried_again(finished_config: Path) -> None:
    config = configuration.load(finished_config)
    calls: list[int] = []

    def refused(_config: configuration.Config, block: int) -> pipeline.Outcome:
        calls.append(block)
        raise ArchiveError("credentials refused", transient=False)

    stage = replace(pipeline.stage_named("phenology"), run=refused)
    results: Sequence[pipeline.Result] = pipeline.run_in_threads(config, stage, pipeline.plan(config, stage))
    assert sorted(calls) == [0, 1, 2]
    assert all("credentials refused" in r.error for r in results)


@pytest.mark.parametrize("carries", [True, False])
def test_a_wrongly_stated_offset_is_rejected_or_mostly_flagged(
    carries: bool, tmp_path: Path, own_archive: Path, built_config: Path
) -> None:
    """The catalogue says that the offset was removed while the pixels carry it, or the other way round.

    Pixels that are too bright are taken for haze. Of those too dark, a flag needs every steady band, and the
    seasons' own change can hide one of them.
    """
    choices = tables.parts(configuration.load(built_config), tables.CHOICES)
    newer = choices["time"] > "2022-01-25"
    victim = choices[newer if carries else ~newer].iloc[0]
    path = own_archive / "sentinel-2-l2a.json"
    catalogue = json.loads(path.read_text())
    for item in catalogue["features"]:
        if item["id"] == victim["scene_id"]:
            item["properties"] |= {
                "earthsearch:boa_offset_applied": carries,
                "s2:processing_baseline": "05.09",
            }
            for asset in item["assets"].values():
                asset["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    path.write_text(json.dumps(catalogue))
    config = build(write_tiny_config(tmp_path, own_archive))
    quality = tables.parts(config, tables.QUALITY).merge(tables.parts(config, tables.CHOICES))
    served = quality[quality["scene_id"] == victim["scene_id"]]
    assert served.empty if carries else (served["offset_jump"] == -1000).mean() > 0.5
    assert (quality.drop(served.index)["offset_jump"] == 0).all()


def test_an_archive_that_delivers_nothing_is_an_outage_and_leaves_the_block_pending(
    tmp_path: Path, own_archive: Path
) -> None:
    path = write_tiny_config(tmp_path, own_archive)
    build(path)
    before = digest(tmp_path / "dataset")
    shutil.rmtree(tmp_path / "dataset" / "ledger" / "patches")
    (own_archive / "sentinel-2-l2a").rename(tmp_path / "away")
    with pytest.raises(
        pipeline.BuildError, match=r"3 of 3 blocks of stage patches(.|\n)*none of the \d+ chosen"
    ):
        build(path)
    (tmp_path / "away").rename(own_archive / "sentinel-2-l2a")
    build(path)
    assert digest(tmp_path / "dataset") == before


def test_unreadable_files_are_tried_again_when_asked(
    tmp_path: Path, own_archive: Path, built_config: Path
) -> None:
    assets = assets_of(own_archive, first_choice(built_config)["scene_id"])
    swir = assets.get("swir22") or assets["B12"]
    whole = swir.read_bytes()
    swir.write_bytes(whole[:100])
    path = write_tiny_config(tmp_path, own_archive)
    config = build(path)
    summary = dict(pipeline.summarise_dataset(config, None).facts)
    assert int(summary["  missing: unreadable"]) >= 1
    swir.write_bytes(whole)
    assert pipeline.first_pending(config) is None
    assert pipeline.forget_unreadable(config) >= 1
    build(path)
    kept = [
        {name: value for name, value in digest(root / "dataset").items() if not name.startswith("ledger/")}
        for root in (tmp_path, built_config.parent)
    ]
    kept = [{n: v for n, v in each.items() if n != "config.toml"} for each in kept]
    assert kept[0] == kept[1]


def test_an_unexpected_error_names_its_block_and_keeps_the_others(
    finished_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def buggy(_config: configuration.Config, block: int) -> pipeline.Outcome:
        if block == 1:
            raise ValueError("planted")
        return pipeline.Outcome(files=())

    config = configuration.load(finished_config)
    stage = replace(pipeline.stage_named("phenology"), run=buggy)
    results = pipeline.run_in_threads(config, stage, pipeline.plan(config, stage))
    assert [r.error for r in results] == ["", "ValueError: planted", ""]
    assert "stage phenology, block 1" in caplog.text


def test_one_malformed_item_does_not_stop_the_rest(
    tmp_path: Path, own_archive: Path, built_config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = own_archive / "sentinel-2-l2a.json"
    catalogue = json.loads(path.read_text())
    broken, rounded = catalogue["features"][:2]
    broken["properties"]["eo:cloud_cover"] = "many"
    rounded["properties"]["eo:cloud_cover"] = 100.00000001
    path.write_text(json.dumps(catalogue))
    config = build(write_tiny_config(tmp_path, own_archive))
    assert broken["id"] in caplog.text
    assert rounded["id"] not in caplog.text
    candidates = tables.parts(config, tables.CANDIDATES).set_index("scene_id")
    named = candidates.loc[[broken["id"]]]
    assert (named["verdict"] == "unreadable").all()
    assert named["failure"].str.contains("'many'", regex=False).all()


@pytest.mark.parametrize("zone_known", [True, False])
def test_a_season_whose_items_are_all_malformed_is_unreadable_and_not_empty(
    tmp_path: Path, own_archive: Path, built_config: Path, zone_known: bool
) -> None:
    victim = first_choice(built_config)
    before = tables.parts(configuration.load(built_config), tables.CANDIDATES)
    here = (before["location_id"] == victim["location_id"]) & (before["season"] == victim["season"])
    path = own_archive / "sentinel-2-l2a.json"
    catalogue = json.loads(path.read_text())
    for item in catalogue["features"]:
        if item["id"] in set(before[here]["scene_id"]):
            del item["assets"]
            if not zone_known:
                item["properties"] = {k: v for k, v in item["properties"].items() if k[:5] != "proj:"}
    path.write_text(json.dumps(catalogue))
    config = build(write_tiny_config(tmp_path, own_archive))
    choices = tables.parts(config, tables.CHOICES).set_index(["location_id", "season"])
    assert choices.loc[(victim["location_id"], victim["season"]), "reason"] == "all_unreadable"
    candidates = tables.parts(config, tables.CANDIDATES)
    again = (candidates["location_id"] == victim["location_id"]) & (candidates["season"] == victim["season"])
    assert set(candidates[again]["scene_id"]) == set(before[here]["scene_id"])
    assert candidates[again]["failure"].str.contains("assets").all()
