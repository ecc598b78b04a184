"""A new version takes over only what the one it began from has marked: damage does not become right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data import pipeline
from ssl4eco_data.store import check, open_dataset
from ssl4eco_data.store.codec import encode_shard, split_shard
from tests.pipeline.versioned import build_next, imagery_until, served, with_one_version


def move_chunks(shard: Path, n_chunks: int) -> None:
    """Put every chunk into the place of the next one: the file is as long and each chunk is whole."""
    chunks = split_shard(shard.read_bytes(), n_chunks)
    there = [i for i, chunk in enumerate(chunks) if chunk]
    for i, old in zip(there, [*there[1:], there[0]], strict=True):
        chunks[i] = split_shard(shard.read_bytes(), n_chunks)[old]
    shard.write_bytes(encode_shard(chunks))


def test_chunks_that_were_moved_are_not_taken_over(
    tmp_path: Path, tiny_archive: Path, finished_config: Path
) -> None:
    path = with_one_version(tmp_path, tiny_archive, finished_config)
    before = open_dataset(served(path))
    pixels = {name: before[name].to_numpy() for name in ("r10", "scl")}
    for shard in (served(path) / "patches.zarr/sentinel2/r10/c").glob("*/0/0/0/0"):
        move_chunks(shard, 2 * before.sizes["season"])
    imagery_until(path, "2022-06-01")
    old = served(path)
    with pytest.raises(pipeline.BuildError, match="the content has changed"):  # of blocks that were linked
        build_next(path)
    new = build_next(path)
    assert new != old and check(new) == [], "of the served version nothing is asked"
    after = open_dataset(new)
    same = (after["scene_id"] == before["scene_id"]).to_numpy()
    assert same.any()
    for name, values in pixels.items():
        np.testing.assert_array_equal(after[name].to_numpy()[same], values[same])
