"""The check finds every fault that is planted, and names where it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.small_dataset import PER_SHARD, SEASONS, Small, build_small

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Ledger, check, check_block, forget, read_table, write_table
from ssl4eco_data.store.check import Problem
from ssl4eco_data.store.codec import ABSENT

SHARD = "patches.zarr/sentinel2/r10/c/0/0/0/0/0"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return build_small(tmp_path_factory.mktemp("clean") / "dataset")


@pytest.fixture
def root(clean: Small, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean.root, tmp_path / "dataset"))


def test_a_good_dataset_has_no_problem(clean: Small) -> None:
    assert check(clean.root) == []
    for block in range(3):
        assert check_block(clean.root, block) == []


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_flipped_bit_in_a_shard_is_found_and_placed(clean: Small, data: st.DataObject) -> None:
    shards = sorted(p for p in (clean.root / "patches.zarr").rglob("c/*/*/*/*/*") if p.is_file())
    path = data.draw(st.sampled_from(shards))
    whole = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[at] ^= 1 << bit
    try:
        path.write_bytes(bytes(damaged))
        problems = check(clean.root)
    finally:
        path.write_bytes(whole)
    name = path.relative_to(clean.root).as_posix()
    assert {p.file for p in problems} == {name}
    shard = int(path.relative_to(clean.root).parts[4])
    assert {(p.stage, p.block) for p in problems} == {("patches", shard)}
    located = [p for p in problems if p.location_ids]
    assert located
    index_bytes = 16 * PER_SHARD * len(SEASONS) + 4
    if at < len(whole) - index_bytes:
        index = np.frombuffer(whole[-index_bytes:-4], dtype="<u8").reshape(PER_SHARD, len(SEASONS), 2)
        (place,) = (
            (i, j)
            for i, j in np.ndindex(index.shape[:2])
            if index[i, j, 0] != ABSENT and index[i, j, 0] <= at < index[i, j].sum()
        )
        (problem,) = located
        assert problem.location_ids == (clean.ids[shard * PER_SHARD + place[0]],)
        assert f"season {SEASONS[place[1]]}" in problem.what


def tear(root: Path) -> None:
    path = root / SHARD
    path.write_bytes(path.read_bytes()[:-30])


def lose(root: Path) -> None:
    (root / SHARD).unlink()


def swap(root: Path) -> None:
    (root / SHARD).write_bytes((root / SHARD.replace("/c/0/", "/c/1/")).read_bytes())


@pytest.mark.parametrize(
    ("fault", "whats"),
    [
        (tear, ["bytes instead of", "shard index"]),
        (lose, ["the file is missing", "chosen patches are absent"]),
        (swap, ["changed (SHA-256)|bytes instead of", "patches"]),
    ],
)
def test_torn_lost_and_swapped_shards_are_named(
    root: Path, fault: Callable[[Path], None], whats: list[str]
) -> None:
    fault(root)
    problems = check(root)
    assert {(p.file, p.stage, p.block) for p in problems} == {(SHARD, "patches", 0)}
    for what in whats:
        assert any(part in p.what for p in problems for part in what.split("|")), what
    assert any(p.location_ids for p in problems)


def test_a_shard_and_choices_that_disagree_are_named(root: Path, clean: Small) -> None:
    path = root / "scenes/choices/00000.parquet"
    choices = read_table(path)
    row = int(np.flatnonzero(choices["scene_id"].notna())[0])
    choices["scene_id"] = choices["scene_id"].mask(choices.index == row)
    write_table(path, choices)
    problems = check(root)
    assert {p.what for p in problems} == {"1 patches are there that were not chosen"}
    assert {p.location_ids for p in problems} == {(choices["location_id"][row],)}
    assert len(problems) == len(clean.layout.arrays)


def test_a_shallow_check_reads_no_content(root: Path) -> None:
    whole = bytearray((root / SHARD).read_bytes())
    whole[0] ^= 1
    (root / SHARD).write_bytes(bytes(whole))
    assert check(root, deep=False) == []
    tear(root)
    assert [p.file for p in check(root, deep=False)] == [SHARD]


def test_another_content_of_the_same_size_is_found(root: Path) -> None:
    path = root / "patches/quality/00001.parquet"
    damaged = bytearray(path.read_bytes())
    damaged[20] ^= 1
    path.write_bytes(bytes(damaged))
    assert any(p.file == "patches/quality/00001.parquet" and "SHA-256" in p.what for p in check(root))


def test_a_damaged_mark_is_named(root: Path) -> None:
    (root / "ledger/patches/00001.json").write_text("{")
    (problem,) = check(root)
    assert (problem.stage, problem.block) == ("patches", 1)
    assert "mark" in problem.what


@pytest.mark.parametrize("name", ["locations.parquet", "scenes/choices/00002.parquet"])
def test_tables_that_cannot_be_read_are_named(root: Path, name: str) -> None:
    (root / name).write_bytes(b"PAR1")
    assert name in " ".join(map(str, check(root)))


def test_damaged_array_metadata_is_named(root: Path) -> None:
    (root / "patches.zarr/sentinel2/r20/zarr.json").write_text('{"shape": []}')
    assert "r20/zarr.json" in " ".join(map(str, check(root)))


def test_check_block_looks_at_one_block_and_writes_nothing(root: Path) -> None:
    tear(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {p.file for p in check_block(root, 0)} == {SHARD}
    assert check_block(root, 1) == []
    assert check(root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_forget_removes_each_mark_once(root: Path) -> None:
    problem = Problem(stage="patches", block=2, file="f", what="w")
    assert forget(root, [problem, problem]) == [("patches", 2)]
    assert Ledger(root).blocks("patches") == [0, 1]


def test_a_folder_without_a_ledger_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no ledger"):
        check(tmp_path)
