"""The same flow on a real archive: 118 Sentinel-2 acquisitions over Belgian fields."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.pipeline import tables
from ssl4eco_data.types import YEAR_DAYS
from tests.conftest import ROOT
from tests.pipeline.test_export import same_as_scene

LABELS = ROOT / "tests" / "scenes" / "belgium_labels.csv"


@pytest.fixture(scope="module")
def belgium(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory, compiled_phenology: None
) -> configuration.Config:
    """The dataset of configs/belgium.toml in a folder of its own."""
    folder = tmp_path_factory.mktemp("belgium") / "configs"
    folder.mkdir()
    text = (ROOT / "configs" / "belgium.toml").read_text()
    (folder / "belgium.toml").write_text(text.replace("../../shared/data", str(shared_data)))
    (folder / "belgium-points.csv").write_text((ROOT / "configs" / "belgium-points.csv").read_text())
    config = configuration.load(folder / "belgium.toml")
    pipeline.build(config, pipeline.run_in_threads)
    return config


def test_four_patches_with_four_seasons_each(belgium: configuration.Config) -> None:
    choices = tables.parts(belgium, tables.CHOICES)
    assert len(choices) == 16
    assert choices["scene_id"].notna().all(), choices[["location_id", "season", "reason"]]
    assert tables.phenology(belgium)["source"].eq("own").all()


def test_no_chosen_date_is_cloudy_to_the_eye(belgium: configuration.Config) -> None:
    labels = pd.read_csv(LABELS, comment="#")
    spoilt = labels[["cloud_percent", "shadow_percent"]].max(axis=1) > 10
    cloudy = set(labels.loc[spoilt, "scene_id"])
    assert cloudy, "the table of labels must know cloudy dates"
    assert not cloudy & set(tables.parts(belgium, tables.CHOICES)["scene_id"])


def test_the_store_has_the_bands_of_the_archive_and_no_60_m_ones(belgium: configuration.Config) -> None:
    dataset = open_dataset(belgium.root)
    assert "r60" not in dataset
    assert dataset["r10"].shape == (4, 4, 4, 32, 32)
    assert dataset["r20"].shape == (4, 4, 6, 16, 16)
    assert int(dataset["r10"].min()) > 0


def test_winter_and_summer_crops_are_two_seasons_not_one_between(belgium: configuration.Config) -> None:
    """Typical peaks lie near real ones: no location is dated by a day on which none of its pixels peaks."""
    windows = tables.phenology(belgium).set_index("location_id")
    cycles = tables.parts(belgium, tables.CYCLES)
    for name, own in cycles.groupby("location_id"):
        distance = (own["peak"] - windows.loc[name, "peak_day"] + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
        # days since 1 January and days since 1970 differ by whole years, to within a day
        assert distance.abs().min() < 20, (name, distance.tolist())


def test_exported_files_are_the_scenes_pixel_for_pixel(
    belgium: configuration.Config, shared_data: Path, tmp_path: Path
) -> None:
    items = shared_data / "s2-belgium-31UDS" / "items.json"
    assert same_as_scene(belgium.root, items, tmp_path) == 16 * 11
