"""With versions, what could not be read is tried again in a new version; the served one stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.pipeline import tables
from ssl4eco_data.store import Ledger, check, diff, read_table
from ssl4eco_data.store import versions as v
from tests.pipeline.digests import digest
from tests.pipeline.versioned import FIRST_DAY, served, with_one_version


@contextmanager
def hidden(path: Path) -> Iterator[None]:
    """A file of the archive that nobody can read meanwhile."""
    aside = path.with_name(f"{path.name}.hidden")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def swir_of(archive: Path, scene_id: str) -> Path:
    """The file of a scene's band B12: needed for patches, and not to judge."""
    items = json.loads((archive / "sentinel-2-l2a.json").read_text())["features"]
    (assets,) = (item["assets"] for item in items if item["id"] == scene_id)
    return archive / (assets.get("swir22") or assets["B12"])["href"]


@pytest.fixture
def broken(tmp_path: Path, own_config: Path) -> tuple[Path, str]:
    """(configuration of a dataset whose served version lacks a scene that could not be read, the scene)."""
    archive = own_config.parent / "archive"
    path = with_one_version(tmp_path, archive, own_config)
    here = configuration.load(path).of_version(served(path).name)
    scene_id = tables.parts(here, tables.QUALITY)["read_scene_id"].iloc[0]
    for block in range(3):
        Ledger(here.root).remove("patches", block)
    with hidden(swir_of(archive, scene_id)):
        pipeline.build(here, pipeline.run_in_threads)
    return path, scene_id


def retry(path: Path) -> pipeline.Built:
    config = configuration.load(path)
    return pipeline.build_version(
        config, pipeline.run_in_threads, lambda: FIRST_DAY.replace(day=2), retry_unreadable=True
    )


def test_a_retry_fills_a_new_version_and_leaves_the_served_one(
    broken: tuple[Path, str], own_config: Path
) -> None:
    path, scene_id = broken
    root, old = path.parent / "dataset", served(path)
    before = digest(old)
    gap = open_dataset(old)["reason"].to_numpy() == "unreadable"
    assert gap.any() and pipeline.is_current(configuration.load(path))
    with hidden(swir_of(own_config.parent / "archive", scene_id)):
        assert (open_dataset(retry(path).config.root)["reason"].to_numpy() == "unreadable").sum() == gap.sum()
    vain = served(path)
    built = retry(path)
    new = served(path)
    assert "blocks with unreadable files are tried again" in built.lines[0] and len({old, vain, new}) == 3
    assert digest(old) == before and v.versions(root) == [old.name, vain.name, new.name]
    opened = open_dataset(root)
    assert not (opened["reason"].to_numpy() == "unreadable").any()
    assert set(opened["scene_id"].to_numpy()[gap]) == {scene_id}
    assert opened["r10"].to_numpy()[gap].any(axis=(1, 2, 3)).all()
    assert check(new) == [] and diff(old, new).seasons_gained == gap.sum()
    assert retry(path).record is None, "nothing is unreadable any more"
    assert not read_table(new / "patches/quality/00000.parquet")["failure"].any()
