"""Damage in a version is found and mended where it is; versions that link the same file are left alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import open_dataset, pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Ledger, check, read_table
from ssl4eco_data.store import versions as v
from tests.pipeline.digests import digest
from tests.pipeline.versioned import (
    FIRST_DAY,
    build_next,
    copy_linked,
    imagery_until,
    served,
    with_one_version,
    write_versioned_config,
)

SHARD = "patches.zarr/sentinel2/r10/c/1/0/0/0/0"
CHOICES = "scenes/choices/00001.parquet"
MARK = "ledger/patches/00001.json"


@pytest.fixture(scope="module")
def three_versions(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path, built_config: Path) -> Path:
    """The configuration of a dataset whose third, served version keeps scenes of the second."""
    path = with_one_version(tmp_path_factory.mktemp("three"), tiny_archive, built_config)
    imagery_until(path, "2021-07-01")
    build_next(path, 1)
    imagery_until(path, "2022-07-01")
    build_next(path, 2)
    return path


@pytest.fixture
def mine(tmp_path: Path, three_versions: Path) -> Path:
    """The same for a test that may change it; files of two versions are linked as they were."""
    return copy_linked(three_versions.parent, tmp_path / "mine") / three_versions.name


def older(path: Path) -> Path:
    """The version before the served one."""
    root = path.parent / "dataset"
    return root / v.VERSIONS / v.versions(root)[1]


def damage(path: Path, data: bytes) -> None:
    """Other bytes in a new file of the name: versions that link the old one keep it."""
    path.unlink()
    path.write_bytes(data)


def flipped(path: Path, at: int = 100) -> bytes:
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    return bytes(data)


def data_files(root: Path) -> dict[str, str]:
    """What readers see: marks say how a block came about, too."""
    return {name: sha for name, sha in digest(root).items() if not name.startswith("ledger/")}


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.output


def in_shard(root: Path) -> None:
    damage(root / SHARD, flipped(root / SHARD))


def table(root: Path) -> None:
    damage(root / CHOICES, b"PAR1")


def mark_torn(root: Path) -> None:
    damage(root / MARK, (root / MARK).read_bytes()[:50])


def mark_lost(root: Path) -> None:
    (root / MARK).unlink()


FAULTS = {
    in_shard: (f"patches block 1, shard 1: {SHARD}: season", "(location "),
    table: (f"scenes block 1: {CHOICES}: 4 bytes instead of",),
    mark_torn: (f"patches block 1: {MARK}: the mark is missing, damaged",),
    mark_lost: (f"patches block 1: {MARK}: the mark is missing",),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_in_the_served_version_is_named_and_mended_there(
    fault: Callable[[Path], None], mine: Path
) -> None:
    new, old = served(mine), older(mine)
    before = data_files(new), digest(old)
    inodes = {p: p.stat().st_ino for p in old.rglob("*") if p.is_file()}
    fault(new)
    found = run("check", str(mine.parent / "dataset"), code=1)
    assert all(words in found for words in FAULTS[fault]), found
    told = run("repair", str(mine))
    assert f"version {new.name}\n" in told and "done again and right now: " in told
    assert (data_files(new), digest(old)) == before
    assert {p: p.stat().st_ino for p in inodes} == inodes
    assert check(new) == [] and pipeline.is_current(configuration.load(mine))
    assert "nothing was done" in run("repair", str(mine))


def test_kept_scenes_are_chosen_again_when_their_table_is_lost(mine: Path) -> None:
    new = served(mine)
    tables_of = {name: new / f"scenes/{name}/00001.parquet" for name in ("choices", "candidates")}
    whole = {name: path.read_bytes() for name, path in tables_of.items()}
    for path in tables_of.values():
        damage(path, b"")
    mended = pipeline.repair_versions(configuration.load(mine), pipeline.run_in_threads)[new.name]
    assert set(mended.redone) == {("scenes", 1), ("patches", 1)}
    assert {name: path.read_bytes() for name, path in tables_of.items()} == whole
    assert pipeline.is_current(configuration.load(mine))


def test_a_shard_rotten_on_the_disk_is_mended_without_a_write_through_its_links(mine: Path) -> None:
    new, old = served(mine), older(mine)
    name = next(
        p.relative_to(new).as_posix()
        for p in sorted((new / "patches.zarr").rglob("c/*/*/*/*/*"))
        if p.is_file() and p.samefile(old / p.relative_to(new))
    )
    whole, rotten = (new / name).read_bytes(), flipped(new / name)
    (new / name).write_bytes(rotten)
    run("repair", str(mine))
    assert (new / name).read_bytes() == whole and check(new) == []
    assert (old / name).read_bytes() == rotten, "a version that is not served was written to"
    assert {problem.file for problem in check(old)} == {name}
    assert open_dataset(mine.parent / "dataset")["r10"].isel(location=0).to_numpy().any()


def test_the_version_being_built_is_mended_before_the_served_one(mine: Path) -> None:
    imagery_until(mine, "2022-04-01")
    build_next(mine, 3, until="patches")
    root, old = mine.parent / "dataset", served(mine)
    note = v.unfinished(root)
    assert note is not None
    new = v.version_place(root, note.version)
    assert isinstance(new, Path)
    before = data_files(new)
    in_shard(new)
    damage(new / CHOICES.replace("1.", "2."), b"PAR1")
    found = run("check", str(new), code=1)
    assert f"patches block 1, shard 1: {SHARD}" in found and "scenes block 2: scenes/choices/00002" in found
    assert "every file is there" in run("check", str(root)), "the served one is sound"
    told = run("repair", str(mine)).splitlines()
    assert [line for line in told if line.startswith("version")] == [
        f"version {new.name}",
        f"version {old.name}",
    ]
    assert data_files(new) == before
    build_next(mine, 4)
    assert served(mine) == new and check(new) == []


def test_a_version_whose_files_are_not_all_linked_yet_is_left_to_its_build(mine: Path) -> None:
    root, old = mine.parent / "dataset", served(mine)
    note = v.begin(root, FIRST_DAY + timedelta(days=3))
    (root / v.NEXT).write_text(note.model_copy(update={"seeded": False}).model_dump_json())
    in_shard(old)
    mended = pipeline.repair_versions(configuration.load(mine), pipeline.run_in_threads)
    assert list(mended) == [old.name] and mended[old.name].redone == (("patches", 1),)


def test_repair_and_a_build_of_versions_exclude_each_other(mine: Path) -> None:
    lock = FileLock(mine.parent / "dataset" / "runs" / ".lock")
    with lock, pytest.raises(pipeline.BuildError, match="another build works on"):
        pipeline.repair_versions(configuration.load(mine), pipeline.run_in_threads)


def test_without_a_version_there_is_nothing_to_repair(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_versioned_config(tmp_path, tiny_archive)
    with pytest.raises(StoreError, match="no version to repair: build it first"):
        pipeline.repair_versions(configuration.load(path), pipeline.run_in_threads)


def test_the_third_version_keeps_scenes_that_a_new_choice_would_not(three_versions: Path) -> None:
    """Else the test of kept scenes shows nothing."""
    root = three_versions.parent / "dataset"
    first, _, third = (
        read_table(root / v.VERSIONS / name / CHOICES)["scene_id"].fillna("").tolist()
        for name in v.versions(root)
    )
    assert first != third
    assert Ledger(served(three_versions)).read("close", 0) is not None
