"""A check in part and sampled, of marks that are missing or lie, on every kind of place."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.s3_server import s3_bucket
from tests.store.small_dataset import PER_SHARD, SEASONS, Small, build_small
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Ledger, Mark, Place, check, file_record, place_of, write_atomic
from ssl4eco_data.store.check import BEYOND, BLOCK_STAGES, SINGLE_STAGES
from ssl4eco_data.store.check_sample import check_sample
from ssl4eco_data.store.codec import ABSENT

SHARD = "patches.zarr/sentinel2/r10/c/0/0/0/0/0"
BLOCKS = 3


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A small dataset with the marks of a finished build."""
    small = build_small(tmp_path_factory.mktemp("clean") / "dataset")
    ledger = Ledger(small.root)
    for stage in BLOCK_STAGES:
        for block in range(BLOCKS):
            if ledger.read(stage, block) is None:
                ledger.write(Mark(stage=stage, block=block, fingerprint="f"))
    for stage in SINGLE_STAGES:
        ledger.write(Mark(stage=stage, block=0, fingerprint="f"))
    return small


@pytest.fixture
def root(clean: Small, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean.root, tmp_path / "dataset"))


@pytest.fixture(params=["folder", "memory", "s3"])
def place(
    request: pytest.FixtureRequest, clean: Small, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """The dataset on every kind of place."""
    if request.param == "folder":
        yield root
    elif request.param == "memory":
        yield uploaded(root, place_of(f"memory://{uuid.uuid4().hex}/data"))
    else:
        with s3_bucket(monkeypatch) as bucket:
            yield uploaded(root, place_of(f"{bucket}/data"))


def uploaded(root: Path, to: Place) -> Place:
    for path in root.rglob("*"):
        if path.is_file():
            write_atomic(to / path.relative_to(root).as_posix(), path.read_bytes())
    return to


def flip(path: Place, at: int) -> None:
    whole = bytearray(path.read_bytes())
    whole[at] ^= 4
    write_atomic(path, bytes(whole))


def test_a_finished_dataset_has_no_problem_anywhere(place: Place) -> None:
    assert check(place) == []
    assert check_sample(place, 10_000, 0).problems == ()


def test_faults_are_found_anywhere(place: Place) -> None:
    flip(place / SHARD, 5)
    (place / SHARD.replace("/c/0/", "/c/1/")).unlink()
    whats = {(p.block, p.shard) for p in check(place)}
    assert whats == {(0, 0), (1, 1)}
    sampled = check_sample(place, 10_000, 0).problems
    assert {(p.block, p.shard) for p in sampled if p.shard is not None} == {(0, 0), (1, 1)}
    assert all(p.location_ids for p in sampled if p.shard is not None)


@settings(max_examples=25, deadline=None)
@given(of=st.integers(1, 5), at=st.integers(0, 200), block=st.integers(0, 2))
def test_the_parts_find_together_what_the_whole_finds(clean: Small, of: int, at: int, block: int) -> None:
    path = clean.root / SHARD.replace("/c/0/", f"/c/{block}/")
    if not path.is_file():
        return
    whole = path.read_bytes()
    try:
        flip(path, at % len(whole))
        parts = [check(clean.root, part=(k, of)) for k in range(1, of + 1)]
        found = check(clean.root, threads=1)
        assert found and sorted(map(str, found)) == sorted(str(p) for part in parts for p in part)
        assert {k for k, part in enumerate(parts) if part} == {block % of}
    finally:
        path.write_bytes(whole)


def test_a_part_that_cannot_be_is_refused(root: Path) -> None:
    for part in ((0, 3), (4, 3), (1, 0)):
        with pytest.raises(ValueError, match="part must be K/N"):
            check(root, part=part)
    with pytest.raises(ValueError, match="at least 1 chunk"):
        check_sample(root, 0, 0)


def chunk_start(clean: Small, row: int, season: int) -> int:
    """Where a chunk of r10 begins in its shard."""
    data = (clean.root / SHARD.replace("/c/0/", f"/c/{row // PER_SHARD}/")).read_bytes()
    index = np.frombuffer(data[-16 * PER_SHARD * len(SEASONS) - 4 : -4], dtype="<u8")
    offset = index.reshape(PER_SHARD, len(SEASONS), 2)[row % PER_SHARD, season, 0]
    assert offset != ABSENT
    return int(offset)


def test_a_sample_finds_a_chunk_exactly_when_it_drew_it(clean: Small, root: Path) -> None:
    row, season = map(int, np.argwhere(clean.present)[0])
    flip(root / SHARD.replace("/c/0/", f"/c/{row // PER_SHARD}/"), chunk_start(clean, row, season) + 20)
    found = [check_sample(root, 8, seed) for seed in range(60)]
    hits = [each for each in found if each.problems]
    assert 0 < len(hits) < 60
    for each in hits:
        (problem,) = each.problems
        assert problem.location_ids == (clean.ids[row],) and SEASONS[season] in problem.what
    assert found[7] == check_sample(root, 8, 7)
    total = len(clean.layout.arrays) * len(clean.ids) * len(SEASONS)
    assert {(each.chunks, each.of_chunks) for each in found} == {(8, total)}
    # drawn with the same chance as every other: 8 in `total`; 60 draws, four standard deviations
    chance = 8 / total
    assert abs(len(hits) - 60 * chance) < 4 * (60 * chance * (1 - chance)) ** 0.5
    assert hits[0].missed(0.5) == pytest.approx(0.5**8)


def test_a_sample_of_all_finds_patches_that_were_not_chosen_and_lost_ones(clean: Small, root: Path) -> None:
    other = (root / SHARD.replace("/c/0/", "/c/1/")).read_bytes()
    (root / SHARD).write_bytes(other)
    here, there = clean.present[:2], clean.present[2:4]
    located = {p.location_ids for p in check_sample(root, 10_000, 1).problems if p.shard == 0}
    assert located == {(clean.ids[row],) for row in range(2) if (here[row] != there[row]).any()}


def test_a_sample_of_what_cannot_be_compared_says_so(root: Path) -> None:
    (root / "locations.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="check it without a sample"):
        check_sample(root, 5, 0)


def lost(root: Path) -> None:
    (root / "ledger/patches/00001.json").unlink()


def lost_with_its_table(root: Path) -> None:
    """The last block: nothing numbers it any more."""
    for stage in BLOCK_STAGES:
        (root / f"ledger/{stage}/00002.json").unlink()


def of_another_stage(root: Path) -> None:
    shutil.copy(root / "ledger/scenes/00001.json", root / "ledger/patches/00001.json")


def of_another_block(root: Path) -> None:
    shutil.copy(root / "ledger/patches/00000.json", root / "ledger/patches/00001.json")


def of_a_block_that_is_not_there(root: Path) -> None:
    mark = Ledger(root).read("patches", 0)
    assert mark is not None
    Ledger(root).write(replace(mark, block=7))


def with_files_of_another_block(root: Path) -> None:
    marks = [Ledger(root).read("patches", block) for block in (0, 1)]
    assert marks[0] is not None and marks[1] is not None
    Ledger(root).write(replace(marks[1], files=marks[0].files))


def with_another_size(root: Path) -> None:
    mark = Ledger(root).read("patches", 1)
    assert mark is not None
    Ledger(root).write(replace(mark, files=tuple(replace(each, bytes=each.bytes + 1) for each in mark.files)))


def with_another_hash(root: Path) -> None:
    mark = Ledger(root).read("patches", 1)
    assert mark is not None
    Ledger(root).write(replace(mark, files=tuple(replace(each, sha256="0" * 64) for each in mark.files)))


def without_files(root: Path) -> None:
    mark = Ledger(root).read("patches", 1)
    assert mark is not None
    Ledger(root).write(replace(mark, files=()))


def of_another_folder(root: Path) -> None:
    text = (root / "ledger/patches/00001.json").read_text()
    (root / "ledger/patches/00001.json").write_text(text.replace("patches.zarr/", "../patches.zarr/"))


LIES: list[tuple[Callable[[Path], None], tuple[str, int], str]] = [
    (lost, ("patches", 1), "mark is missing"),
    (lost_with_its_table, ("scenes", 2), "mark is missing"),
    (of_another_stage, ("patches", 1), "of another block"),
    (of_another_block, ("patches", 1), "of another block"),
    (of_a_block_that_is_not_there, ("patches", 7), "cannot be compared"),
    (with_files_of_another_block, ("patches", 1), "is no shard of this block"),
    (with_another_size, ("patches", 1), "bytes instead of"),
    (with_another_hash, ("patches", 1), "content has changed"),
    (without_files, ("patches", 1), "the mark does not name this file"),
    (of_another_folder, ("patches", 1), "missing, damaged"),
]


@pytest.mark.parametrize(("lie", "block", "what"), LIES)
def test_a_ledger_that_disagrees_with_the_data_is_named(
    lie: Callable[[Path], None], block: tuple[str, int], what: str, root: Path
) -> None:
    lie(root)
    found = [p for p in check(root) if (p.stage, p.block) == block]
    assert any(what in p.what for p in found), found
    assert not Ledger(root).is_done(*block, "f") or lie in (with_another_hash, *INVISIBLE)


INVISIBLE = (lost_with_its_table, of_a_block_that_is_not_there, with_files_of_another_block, without_files)
"""What `build`, which compares sizes of what marks name, takes for done."""


def test_the_hash_of_every_file_of_a_mark_is_compared(root: Path) -> None:
    with_another_hash(root)
    mark = Ledger(root).read("patches", 1)
    assert mark is not None
    changed = [p.file for p in check(root) if "content has changed" in p.what]
    assert sorted(changed) == sorted(record.path for record in mark.files)


def test_a_shard_beyond_the_last_location_is_named(root: Path) -> None:
    beyond = root / SHARD.replace("/c/0/", "/c/3/")
    beyond.parent.mkdir(parents=True)
    shutil.copy(root / SHARD, beyond)
    (problem,) = check(root)
    assert (problem.what, problem.file) == (BEYOND, SHARD.replace("/c/0/", "/c/3/"))


def test_a_build_under_way_is_not_blamed_for_marks_to_come(root: Path) -> None:
    for name in ("close/00000.json", "patches/00001.json"):
        (root / "ledger" / name).unlink()
    assert check(root) == []


def test_times_of_files_do_not_matter(root: Path) -> None:
    """A table that was replaced by one of the same size and time is read anew."""
    assert check(root) == []
    path = root / "locations.parquet"
    kept = path.stat()
    other = path.read_bytes().replace("L0ü".encode(), "L9ü".encode())
    path.write_bytes(other)
    os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert {p.block for p in check(root)} == {0}
    for file in root.rglob("*"):
        os.utime(file, (0, 0))
    path.write_bytes(other.replace("L9ü".encode(), "L0ü".encode()))
    assert check(root) == []


def test_a_check_works_without_the_right_to_write(root: Path) -> None:
    record = file_record(root, root / SHARD)
    before = sorted(str(path) for path in root.rglob("*"))
    for path in root.rglob("*"):
        path.chmod(0o500 if path.is_dir() else 0o400)
    assert check(root) == [] and check_sample(root, 5, 0).problems == ()
    assert sorted(str(path) for path in root.rglob("*")) == before
    assert file_record(root, root / SHARD) == record
    for path in root.rglob("*"):
        path.chmod(0o700)


def test_the_command_line_tells_all(root: Path) -> None:
    run = CliRunner().invoke
    assert run(app, ["check", str(root)]).exit_code == 0
    assert "part 2/3" in run(app, ["check", str(root), "--part", "2/3"]).output
    sampled = run(app, ["check", str(root), "--sample", "5", "--seed", "9"])
    assert sampled.exit_code == 0 and "seed 9" in sampled.output and "5 of" in sampled.output
    flip(root / SHARD, 3)
    told = run(app, ["check", str(root)])
    assert told.exit_code == 1 and "patches block 0, shard 0" in told.output and "repair" in told.output
    as_json = run(app, ["check", str(root), "--json", "--threads", "1"])
    found = json.loads(as_json.output)
    assert as_json.exit_code == 1 and found["finished"] is True
    assert {p["shard"] for p in found["problems"]} == {0}
    assert Ledger(root).read("patches", 0) is not None
    assert (
        len(json.loads(run(app, ["check", str(root), "--sample", "500", "--json"]).output)["problems"]) == 1
    )
    for wrong in (["--part", "0/3"], ["--part", "x"], ["--sample", "5", "--part", "1/2"], ["--seed", "1"]):
        assert run(app, ["check", str(root), *wrong]).exit_code == 2
