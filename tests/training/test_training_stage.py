"""Copies of datasets: whole or absent, gone on with, of one state of one dataset."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from season_data import SeasonData, write_season_data

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import (
    TEMPORARY_SUFFIX,
    Ledger,
    ShardReader,
    place_of,
    read_small_arrays,
    write_atomic,
)
from ssl4eco_training import stage as staging
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.identity import dataset_fingerprint
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.stage import NOTE, Staged, main, stage


@pytest.fixture
def data(tmp_path: Path) -> SeasonData:
    made = write_season_data(tmp_path / "source", np.ones((9, 4), dtype=bool))
    (made.root / "locations.parquet").write_bytes(b"locations")
    return made


def files(root: Path) -> dict[str, bytes]:
    found = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    found.pop(NOTE, None)
    return found


def test_a_whole_copy_is_the_same_and_copies_nothing_again(data: SeasonData, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    done = stage(data.root, tmp_path / "to", advance=lambda now, total: told.append((now, total)))
    assert files(tmp_path / "to") == files(data.root)
    size = sum(map(len, files(data.root).values()))
    assert done == Staged(files=len(files(data.root)), copied=done.files, copied_bytes=size)
    assert told[-1] == (size, size) and len(told) == done.files
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "to").rglob("*")}
    assert stage(data.root, tmp_path / "to") == Staged(files=done.files, copied=0, copied_bytes=0)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "to").rglob("*")} == times


def test_the_training_profile_has_what_training_reads(data: SeasonData, tmp_path: Path) -> None:
    to = tmp_path / "to"
    stage(data.root, to, profile="training")
    group = zarr.open_group(to / "patches.zarr", path="sentinel2", mode="r")
    names = set(group.array_keys())
    assert {"r10", "r20", "location_id", "weight"} <= names and not {"r60", "scl"} & names
    assert set(files(to)) < set(files(data.root)) and not (to / "locations.parquet").exists()
    assert dataset_fingerprint(to) == dataset_fingerprint(data.root)
    feeds = [
        SeasonLoader(root, batch=5, images=2, views=1, spec=InputSpec(image_px=8)) for root in (data.root, to)
    ]
    for ours, theirs in zip(*feeds, strict=False):
        assert torch.equal(ours.pixels["r20"].int(), theirs.pixels["r20"].int())
        if ours.position > 20:
            break
    for feed in feeds:
        feed.close()
    with pytest.raises(ValueError, match="B01"):
        ShardReader(to, bands=["B01"])
    assert stage(data.root, to, profile="training").copied == 0
    stage(data.root, tmp_path / "ten", profile="training", bands=["B04"])
    assert list(ShardReader(tmp_path / "ten").arrays) == ["r10"]


@pytest.mark.parametrize("profile", ["all", "training"])
def test_a_copy_that_was_stopped_is_refused_by_readers_and_goes_on(
    data: SeasonData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    to, left = tmp_path / "to", [7]
    real = write_atomic

    def stopping(path: Any, content: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, content)

    monkeypatch.setattr(staging, "write_atomic", stopping)
    total = None
    for _ in range(30):
        left[0] = 7
        try:
            total = stage(data.root, to, profile=profile, threads=1)
            break
        except KeyboardInterrupt:
            (to / f".x{TEMPORARY_SUFFIX}").write_bytes(b"half")  # what a kill leaves
            with pytest.raises(StoreError):
                read_small_arrays(to, ["lon"])
    assert total is not None and 0 < total.copied <= 7 < total.files
    assert len(read_small_arrays(to, ["lon"])["lon"]) == 9
    assert not list(to.rglob(f"*{TEMPORARY_SUFFIX}"))
    monkeypatch.undo()
    stage(data.root, tmp_path / "at_once", profile=profile)
    assert files(to) == files(tmp_path / "at_once")


def test_damage_is_found_by_the_ledger(data: SeasonData, tmp_path: Path) -> None:
    shard = data.root / "patches.zarr/sentinel2/r10/c/1/0/0/0/0"
    assert "patches.zarr/sentinel2/r10/c/1/0/0/0/0" in {
        f.path for f in Ledger(data.root).read("patches", 0).files
    }
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    with pytest.raises(StoreError, match=r"r10/c/1/0/0/0/0 is not what the ledger says.*ssl4eco check"):
        stage(data.root, tmp_path / "to")
    with pytest.raises(StoreError):
        ShardReader(tmp_path / "to")


def test_folders_of_others_are_left_alone(data: SeasonData, tmp_path: Path) -> None:
    to = tmp_path / "to"
    to.mkdir()
    (to / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds other things: stage into a new folder"):
        stage(data.root, to)
    (to / "thesis.txt").unlink()
    stage(data.root, to)
    with pytest.raises(TrainingError, match=r"another dataset, profile or state .*source.*remove it first"):
        stage(data.root, to, profile="training")
    (data.root / "README.md").write_text("a new state")
    with pytest.raises(TrainingError, match="another dataset, profile or state"):
        stage(data.root, to)
    (to / NOTE).write_text("{")
    with pytest.raises(TrainingError, match="its note is damaged"):
        stage(data.root, to)


def test_a_disk_without_room_is_refused_before_anything_is_copied(
    data: SeasonData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(TrainingError, match=r"room for 0.0 GB.*--profile training"):
        stage(data.root, tmp_path / "to")
    assert files(tmp_path / "to") == {}


def test_a_dataset_in_an_object_store_is_staged(data: SeasonData, tmp_path: Path) -> None:
    bucket = place_of(f"memory://stage{id(data)}/made/dataset")
    for path, content in files(data.root).items():
        write_atomic(bucket / path, content)
    stage(bucket, tmp_path / "to", profile="training")
    stage(data.root, tmp_path / "local", profile="training")
    assert files(tmp_path / "to") == files(tmp_path / "local")


def test_the_command_says_what_it_did(
    data: SeasonData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(data.root), str(tmp_path / "to"), "--profile", "training", "--threads", "2"]
    assert main(asked) == 0 and main(asked) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "copied now" in first and " 0 of them copied now" in second
    assert main([str(tmp_path / "nothing"), str(tmp_path / "other")]) == 1
    assert "build the dataset first" in capsys.readouterr().err
    assert main([*asked[:2], "--bands", "B99"]) == 1 and main([*asked[:2], "--threads", "0"]) == 1


def test_an_unknown_profile_is_refused(data: SeasonData, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="all, training"):
        stage(data.root, tmp_path / "to", profile="trianing")
