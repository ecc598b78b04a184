"""A copy packed by another codec: same pixels, the bytes of a build with that codec, a whole ledger."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_dataset import Small, build_small

from ssl4eco_data import pipeline
from ssl4eco_data.config import load
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Ledger, check, open_dataset, place_of
from ssl4eco_data.store.codec import ChunkCodec
from ssl4eco_data.store.shards import ShardReader
from ssl4eco_data.store.transcode import RECORD, transcode

LZ4 = ChunkCodec(compression="lz4", level=5)


@pytest.fixture
def source(finished_config: Path) -> Path:
    """A finished dataset that the test may change."""
    return finished_config.parent / "dataset"


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_copy_has_the_same_pixels_and_labels_and_passes_its_check(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "copy"
    before = contents(source)
    seen: list[tuple[int, int]] = []
    marks = sum(len(Ledger(source).blocks(stage)) for stage in Ledger(source).stages())
    assert transcode(source, target, LZ4, advance=lambda *at: seen.append(at)) == marks
    assert seen == [(i, marks) for i in range(1, marks + 1)]
    assert contents(source) == before
    with open_dataset(source) as old, open_dataset(target) as new:
        xr.testing.assert_identical(old.load(), new.load())
    assert check(target) == []
    assert b'"lz4"' in (target / "patches.zarr/sentinel2/r10/zarr.json").read_bytes()
    assert (target / "report/index.html").read_bytes() == (source / "report/index.html").read_bytes()
    changed = {name for name, data in contents(target).items() if before.get(name) != data}
    assert all(n.startswith(("patches.zarr/", "ledger/")) or n == RECORD for n in changed)
    assert transcode(source, target, LZ4) == 0


def test_the_copy_has_the_bytes_of_a_build_with_that_codec(
    source: Path, finished_config: Path, tmp_path: Path
) -> None:
    transcode(source, tmp_path / "copy", LZ4)
    built = tmp_path / "built"
    text = finished_config.read_text().replace(
        "shard_locations = 2", 'shard_locations = 2\ncompression = "lz4"\nlevel = 5'
    )
    built.mkdir()
    (built / "tiny.toml").write_text(text)
    pipeline.build(load(built / "tiny.toml"), pipeline.run_in_threads)
    ours, direct = contents(tmp_path / "copy/patches.zarr"), contents(built / "dataset/patches.zarr")
    patches = {
        n
        for n in direct
        if n.startswith(("sentinel2/r", "sentinel2/scl", "zarr.json", "sentinel2/zarr.json"))
    }
    assert len(patches) > 10
    assert {n for n in patches if ours.get(n) != direct[n]} == set()


def test_there_and_back_gives_the_same_shards(source: Path, tmp_path: Path) -> None:
    transcode(source, tmp_path / "there", LZ4)
    transcode(tmp_path / "there", tmp_path / "back", ChunkCodec())
    assert contents(tmp_path / "back/patches.zarr") == contents(source / "patches.zarr")
    assert check(tmp_path / "back") == []


def test_a_copy_cut_off_anywhere_is_no_dataset_and_continues_to_the_same_bytes(
    source: Path, tmp_path: Path
) -> None:
    transcode(source, tmp_path / "whole", LZ4)
    whole, target = contents(tmp_path / "whole"), tmp_path / "copy"
    marks = sum(len(Ledger(source).blocks(stage)) for stage in Ledger(source).stages())
    for stop in (1, 2, 7, marks - 1):

        def cut(done: int, _total: int, stop: int = stop) -> None:
            if done >= stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            transcode(source, target, LZ4, advance=cut)
        with pytest.raises(StoreError, match=r"no dataset|not finished|there is no"):
            open_dataset(target)
        with pytest.raises(StoreError, match=r"no dataset|not finished|there is no"):
            ShardReader(target)
    (target / ".x.1-1.ssl4eco-part").write_bytes(b"what a kill left")
    assert transcode(source, target, LZ4) == 1
    assert contents(target) == whole


def test_a_damaged_source_is_told_and_nothing_wrong_is_marked(source: Path, tmp_path: Path) -> None:
    shard = sorted(p for p in (source / "patches.zarr/sentinel2/r20/c").rglob("*") if p.is_file())[0]
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreError, match=r"r20/c/.*ledger says"):
        transcode(source, tmp_path / "copy", LZ4)
    assert Ledger(tmp_path / "copy").read("patches", 0) is None
    assert Ledger(tmp_path / "copy").read("close", 0) is None


def test_a_copy_that_ends_within_its_closing_is_no_dataset(source: Path, tmp_path: Path) -> None:
    weights = source / "weights.parquet"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"weights\.parquet.*ledger says"):
        transcode(source, tmp_path / "copy", LZ4)
    with pytest.raises(StoreError, match=r"no dataset|not finished|there is no"):
        open_dataset(tmp_path / "copy")
    weights.write_bytes(whole)
    assert transcode(source, tmp_path / "copy", LZ4) > 0
    assert check(tmp_path / "copy") == []


def test_targets_that_hold_something_else_are_refused_untouched(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for target in (other, other / "thesis.txt"):
        with pytest.raises(StoreError, match="not empty"):
            transcode(source, target, LZ4)
    assert contents(other) == {"thesis.txt": b"years of work"}
    for target in (source, source / "below", source.parent):
        with pytest.raises(StoreError, match="lies in"):
            transcode(source, target, LZ4)
    copy = tmp_path / "copy"
    transcode(source, copy, LZ4)
    before = contents(copy)
    with pytest.raises(StoreError, match="another codec"):
        transcode(source, copy, ChunkCodec())
    with (source / "ledger/close/00000.json").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(StoreError, match="older state"):
        transcode(source, copy, LZ4)
    assert contents(copy) == before


def test_unfinished_sources_are_refused(source: Path, tmp_path: Path) -> None:
    Ledger(source).remove("close", 0)
    with pytest.raises(StoreError, match="not finished"):
        transcode(source, tmp_path / "copy", LZ4)
    shutil.rmtree(source)
    with pytest.raises(StoreError, match="there is no"):
        transcode(source, tmp_path / "copy", LZ4)
    assert not (tmp_path / "copy").exists()


def test_copies_from_and_to_object_stores(source: Path, tmp_path: Path) -> None:
    bucket = place_of(f"memory://{uuid.uuid4().hex}/some/copy")
    transcode(source, bucket, LZ4)
    transcode(bucket, tmp_path / "back", ChunkCodec())
    assert check(bucket) == []
    assert contents(tmp_path / "back/patches.zarr") == contents(source / "patches.zarr")


def test_the_reader_for_training_reads_the_copy(source: Path, tmp_path: Path) -> None:
    transcode(source, tmp_path / "copy", LZ4)
    old, new = ShardReader(source), ShardReader(tmp_path / "copy")
    for row, season in np.ndindex(old.shape):
        a, b = old.empty(), new.empty()
        assert old.read_into(row, season, a) == new.read_into(row, season, b)
        for name, pixels in a.items():
            np.testing.assert_array_equal(pixels, b[name])


def test_a_dataset_without_its_mark_of_a_block_is_refused(tmp_path: Path) -> None:
    small: Small = build_small(tmp_path / "small")
    with pytest.raises(StoreError, match="not finished"):
        transcode(small.root, tmp_path / "copy", LZ4)


def test_the_command_copies_says_so_and_refuses_in_one_line(source: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ssl4eco_data", "transcode", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    copy = str(tmp_path / "copy")
    done = run(str(source), copy, "--level", "3")
    assert done.returncode == 0 and "blocks copied" in done.stdout and "times the bytes" in done.stdout
    assert check(Path(copy)) == []
    again = run(str(source), copy, "--level", "3")
    assert again.returncode == 0 and "there already" in again.stdout
    other = run(str(source), copy, "--compression", "zstd")
    assert other.returncode == 1 and other.stderr.startswith("error: ") and "another codec" in other.stderr
    assert len(other.stderr.splitlines()) == 1
