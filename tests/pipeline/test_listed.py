"""The policy ``list``: the images that a file names, found in an archive that names them otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.pipeline import listed, tables
from ssl4eco_data.types import SEASONS
from tests.conftest import write_tiny_config


def chosen_images(built_config: Path) -> pd.DataFrame:
    """The choice of a dataset as an index file: a row a location, image ids as Earth Engine writes them."""
    config = configuration.load(built_config)
    candidates = tables.parts(config, tables.CANDIDATES)
    chosen = candidates[candidates["verdict"] == "chosen"]
    start = chosen["acquisition"].str.partition("_")[2]
    chosen = chosen.assign(image_id=start + "_" + start + "_T" + chosen["tile"])
    wide = chosen.set_index(["location_id", "season"])["image_id"].unstack().reindex(columns=SEASONS)  # noqa: PD010
    located = tables.locations(config).set_index("location_id")[["lon", "lat"]]
    wide = located.join(wide.set_axis([f"image_id_{k}" for k in range(1, 5)], axis=1))
    return wide.reset_index()


def listed_config(path: Path, images: pd.DataFrame, *more: str) -> Path:
    images.to_csv(path.parent / "images.csv", index=False)
    scenes = ["", "[scenes]", 'policy = "list"', 'images = "images.csv"', *more, ""]
    path.write_text(path.read_text() + "\n".join(scenes))
    return path


def built(path: Path) -> xr.Dataset:
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads)
    return open_dataset(config.root)


def test_the_list_of_a_choice_gives_the_same_pixels(finished_config: Path, built_config: Path) -> None:
    first = open_dataset(configuration.load(built_config).root)
    again = built(listed_config(finished_config, chosen_images(built_config).drop(columns="location_id")))
    assert (
        again["scene_id"].astype(str).to_numpy().tolist() == first["scene_id"].astype(str).to_numpy().tolist()
    )
    for name in ("r10", "r20", "r60", "scl"):
        np.testing.assert_array_equal(again[name].to_numpy(), first[name].to_numpy())
    candidates = tables.parts(configuration.load(finished_config), tables.CANDIDATES)
    assert set(candidates["verdict"]) == {"chosen"}
    assert candidates["judged"].all()
    if not (first["reason"].to_numpy() == "").all():
        assert set(again["reason"].to_numpy()[first["reason"].to_numpy() != ""].tolist()) <= {"not_listed"}


def test_what_the_archive_does_not_have_is_missing_and_a_cloudy_image_is_kept(
    finished_config: Path, built_config: Path
) -> None:
    config = configuration.load(built_config)
    images = chosen_images(built_config)
    candidates = tables.parts(config, tables.CANDIDATES)
    cloudy = candidates[(candidates["season"] == "summer") & (candidates["verdict"] == "cloudy")].iloc[0]
    start = cloudy["acquisition"].partition("_")[2]
    row = images["location_id"] == cloudy["location_id"]
    images.loc[row, "image_id_2"] = f"{start}_{start}_T{cloudy['tile']}"
    images.loc[row, "image_id_4"] = f"20210101T000001_20210101T000001_T{cloudy['tile']}"
    images.loc[row, "image_id_3"] = ""
    columns = images.drop(columns=["lon", "lat"])
    found = built(listed_config(finished_config, columns, "min_seasons = 0"))
    here = found.sel(location=cloudy["location_id"])
    assert here["scene_id"].sel(season="summer").item() == cloudy["scene_id"]
    assert int(here["r10"].sel(season="summer").max()) > 0
    assert here["reason"].sel(season="winter").item() == "not_in_archive"
    assert here["reason"].sel(season="autumn").item() == "not_listed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"image_id_1": "image"}).iloc[:, :4], "has no column image_id_1"),
        (lambda t: t.rename(columns={"image_id_2": "image_id_7"}), "without a gap"),
        (lambda t: t.assign(image_id_5=""), "at most image_id_4"),
        (lambda t: t[["location_id", "image_id_1"]], "set scenes.min_seasons = 1"),
        (
            lambda t: t.assign(image_id_1="S2B_31UES_20220301_0_L2A"),
            "row 1, column image_id_1: .* no image id",
        ),
        (lambda t: pd.concat([t, t.iloc[:1]]), "in more than one row"),
        (lambda t: t.assign(location_id="elsewhere").iloc[:1], "names no image of any location"),
        (lambda t: t[["image_id_1", "image_id_2"]], "no column 'lon'"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused(
    finished_config: Path, built_config: Path, change: object, message: str
) -> None:
    images = change(chosen_images(built_config))  # type: ignore[operator]
    config = configuration.load(listed_config(finished_config, images))
    with pytest.raises(ConfigError, match=message):
        pipeline.stage_named("scenes").run(config, 0)


def test_a_file_that_is_no_list_is_refused_before_the_first_stage(tmp_path: Path, tiny_archive: Path) -> None:
    images = pd.DataFrame({"location_id": ["a"], "image_id_1": ["S2B_31UES_20220301_0_L2A"]})
    path = listed_config(write_tiny_config(tmp_path, tiny_archive), images, "min_seasons = 1")
    config = configuration.load(path)
    with pytest.raises(ConfigError, match=r"row 1, column image_id_1: .* nor a product's name"):
        pipeline.build(config, pipeline.run_in_threads)
    assert not config.root.exists()


def test_the_policy_and_its_file_belong_together(finished_config: Path) -> None:
    text = finished_config.read_text()
    finished_config.write_text(text + '\n[scenes]\npolicy = "list"\n')
    with pytest.raises(ConfigError, match="name the CSV"):
        configuration.load(finished_config)
    (finished_config.parent / "images.csv").write_text("lon,lat,image_id_1\n")
    finished_config.write_text(text + '\n[scenes]\nimages = "images.csv"\n')
    with pytest.raises(ConfigError, match='set policy = "list"'):
        configuration.load(finished_config)
    finished_config.write_text(text + '\n[scenes]\npolicy = "list"\nimages = "https://x.net/images.csv"\n')
    with pytest.raises(ConfigError, match="download it first"):
        configuration.load(finished_config)


def test_another_list_makes_the_scenes_stale(finished_config: Path, built_config: Path) -> None:
    images = chosen_images(built_config)
    path = listed_config(finished_config, images)
    stage = pipeline.stage_named("scenes")
    before = stage.parameters(configuration.load(path))
    images.loc[0, "image_id_1"] = ""
    images.to_csv(path.parent / "images.csv", index=False)
    assert stage.parameters(configuration.load(path)) != before


def test_a_listed_image_that_cannot_be_read_is_not_called_absent(
    tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    folder = Path(shutil.copytree(tiny_archive, tmp_path / "archive"))
    config = configuration.load(built_config)
    victim = tables.parts(config, tables.CHOICES).dropna(subset=["scene_id"]).iloc[0]
    path = folder / "sentinel-2-l2a.json"
    catalogue = json.loads(path.read_text())
    for item in catalogue["features"]:
        if item["id"] == victim["scene_id"]:
            del item["assets"]
    path.write_text(json.dumps(catalogue))
    written = write_tiny_config(tmp_path / "listed", folder)
    found = built(listed_config(written, chosen_images(built_config), "min_seasons = 0"))
    here = found.sel(location=victim["location_id"], season=victim["season"])
    assert here["reason"].item() == "unreadable"
    quality = tables.parts(configuration.load(written), tables.QUALITY)
    assert quality["failure"].str.contains("assets").any()


def test_blocks_without_a_listed_image_look_at_all_locations_once(
    finished_config: Path, built_config: Path
) -> None:
    images = chosen_images(built_config).iloc[:1]
    config = configuration.load(listed_config(finished_config, images, "min_seasons = 0"))
    before = listed._names_any.cache_info()
    stage = pipeline.stage_named("scenes")
    outcomes = [stage.run(config, block) for block in tables.blocks(config)]
    assert sum(outcome.counts["seasons_found"] > 0 for outcome in outcomes) == 1
    after = listed._names_any.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, len(outcomes) - 2)
