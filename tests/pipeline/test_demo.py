"""The demo as `make dataset` builds it, held against the truth of the embedded archive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.locations import locations_of
from ssl4eco_data.pipeline import tables
from ssl4eco_data.simulate import read_truth_climatology, read_truth_scenes, true_cloud_fraction
from ssl4eco_data.types import YEAR_DAYS
from tests.conftest import ROOT
from tests.sharing import made_once, run_folder


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory, compiled_phenology: None
) -> Iterator[configuration.Config]:
    """The demo, built from configs/demo.toml in a folder of its own."""

    def make(folder: Path) -> None:
        (folder / "configs").mkdir(parents=True)
        shutil.copy(ROOT / "configs" / "demo.toml", folder / "configs")
        config = configuration.load(folder / "configs" / "demo.toml")
        pipeline.prepare_archive(config)
        pipeline.build(config, pipeline.run_in_threads)

    with made_once(run_folder(tmp_path_factory) / "demo", make) as folder:
        yield configuration.load(folder / "configs" / "demo.toml")


@pytest.fixture(scope="module")
def archive_folder(demo: configuration.Config) -> Path:
    assert demo.simulate
    return Path(demo.simulate.folder)


def test_the_embedded_earth_is_as_large_as_promised(demo: configuration.Config, archive_folder: Path) -> None:
    located = tables.locations(demo)
    assert len(located) >= 24
    assert located["biome"].nunique() >= 8
    assert (located["lat"] < 0).any() and (located["lat"] > 0).any()
    assert sum(f.stat().st_size for f in archive_folder.rglob("*") if f.is_file()) < 300e6


def test_dates_are_within_ten_days_of_the_truth(demo: configuration.Config, archive_folder: Path) -> None:
    both = tables.phenology(demo).merge(
        read_truth_climatology(archive_folder), on="location_id", suffixes=("", "_true"), validate="1:1"
    )
    assert len(both) == len(tables.locations(demo))
    found = both["status"].isin(["ok", "low_confidence"])
    assert found.equals(both["has_cycle"].astype(bool)), "cycles must be found where they are, and only there"
    for metric in ("greenup", "dormancy"):
        difference = (both[f"{metric}_day"] - both[f"{metric}_day_true"])[found]
        error = (difference + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
        assert np.sqrt((error**2).mean()) <= 10, f"{metric}: {error.round(1).tolist()}"


def test_chosen_patches_are_truly_clear(demo: configuration.Config, archive_folder: Path) -> None:
    choices = tables.parts(demo, tables.CHOICES).dropna(subset=["scene_id"])
    footprints = {loc.location_id: loc.footprint for loc in locations_of(tables.locations(demo))}
    cloud = np.array(
        [
            true_cloud_fraction(archive_folder, scene, footprints[name])
            for name, scene in zip(choices["location_id"], choices["scene_id"], strict=True)
        ]
    )
    assert len(cloud) >= 0.9 * 4 * len(footprints)
    assert (cloud > 0.1).mean() <= 0.02, np.sort(cloud)[-5:]


def test_every_location_has_a_cloudy_scene_that_its_mask_calls_clear(
    demo: configuration.Config, archive_folder: Path
) -> None:
    archive = pipeline.open_archive(demo)
    truth = read_truth_scenes(archive_folder)
    wrong = archive.get(truth.loc[truth["scl_error"] == "missed_cloud", "scene_id"].tolist())
    for location in locations_of(tables.locations(demo)):
        scenes = [s for s in wrong.values() if s.epsg == location.footprint.epsg]
        stats = archive.judge(scenes, location.footprint)
        assert any(
            s.clear_fraction > 0.9
            and true_cloud_fraction(archive_folder, s.scene_id, location.footprint) > 0.3
            for s in stats
        ), location.location_id


def test_the_store_holds_what_the_tables_say(demo: configuration.Config) -> None:
    dataset = open_dataset(demo.root)
    choices = tables.parts(demo, tables.CHOICES)
    expected = choices.set_index(["location_id", "season"])["scene_id"].notna().unstack()
    present = (dataset["r10"].max(("band_10m", "y_10m", "x_10m")) > 0).to_pandas()
    np.testing.assert_array_equal(present.loc[expected.index, expected.columns], expected)


def test_a_stored_patch_is_pixel_for_pixel_the_window_of_its_scene(demo: configuration.Config) -> None:
    dataset = open_dataset(demo.root)
    choices = tables.parts(demo, tables.CHOICES).dropna(subset=["scene_id"]).iloc[::17]
    by_id = {loc.location_id: loc for loc in locations_of(tables.locations(demo))}
    archive = pipeline.open_archive(demo)
    scenes = archive.get(choices["scene_id"].tolist())
    for name, season, scene in zip(
        choices["location_id"], choices["season"], choices["scene_id"], strict=True
    ):
        bands = archive.read(scenes[scene], by_id[name].footprint, ("B02", "B08", "B11", "B09", "SCL"))
        here = dataset.sel(location=name, season=season)
        for array, axis, band in (
            ("r10", "10m", "B02"),
            ("r10", "10m", "B08"),
            ("r20", "20m", "B11"),
            ("r60", "60m", "B09"),
        ):
            np.testing.assert_array_equal(here[array].sel({f"band_{axis}": band}), bands[band])
        np.testing.assert_array_equal(here["scl"], bands["SCL"])
