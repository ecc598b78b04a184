"""Killed at random moments, full and read-only disks: what is marked is right, and the rest is done again."""

from __future__ import annotations

import hashlib
import multiprocessing
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.store.interrupted import BLOCKS, LOCATIONS, content, write_on, write_with_limit
from tests.store.small_dataset import PER_SHARD, SEASONS

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import TEMPORARY_SUFFIX, Ledger, check, open_dataset, remove, write_atomic

KILLS = 60


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    """Starts processes that have everything imported, in milliseconds, from a server without threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.interrupted"])
    return context


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 120 kB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = mount("-t", "tmpfs", "-o", "size=120k", "tmpfs", str(folder))
    if mounted.returncode:
        pytest.skip(f"DISK FULL NOT TRIED: no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def mount(*words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 1, "", "there is no command mount")


def digest(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, str]]:
    """Files of undisturbed datasets, by seed."""
    roots = {seed: tmp_path_factory.mktemp("whole") / str(seed) for seed in (0, 1)}
    for seed, root in roots.items():
        write_on(root, seed)
    return {seed: digest(root) for seed, root in roots.items()}


def assert_nothing_wrong(root: Path) -> int:
    """What is marked as done is right to the last pixel; the number of blocks that are."""
    ledger, done = Ledger(root), 0
    if not ledger.stages():
        return 0
    assert [p for p in check(root) if "the mark is missing" not in p.what] == []
    for block in range(BLOCKS):
        if (mark := ledger.read("patches", block)) is None:
            continue
        small = content(root, int(mark.fingerprint))
        for record in mark.files:
            assert hashlib.sha256((root / record.path).read_bytes()).hexdigest() == record.sha256
        assert len(mark.files) - 1 == len(small.layout.arrays) * bool(
            small.present[block * PER_SHARD : (block + 1) * PER_SHARD].any()
        )
        done += 1
    return done


def test_sixty_kills_at_random_moments_leave_nothing_wrong(
    tmp_path: Path,
    processes: multiprocessing.context.ForkServerContext,
    wanted: dict[int, dict[str, str]],
) -> None:
    """The second content is written over the first, so that old and new files meet."""
    root, rng, seed = tmp_path / "dataset", np.random.default_rng(7), 0
    kills, finished, longest_s, reached = 0, 0, 0.1, set()
    while kills < KILLS:
        process = processes.Process(target=write_on, args=(root, seed))
        start = time.monotonic()
        process.start()
        process.join(float(rng.uniform(0, longest_s)))
        process.kill()
        process.join()
        if process.exitcode == 0:
            longest_s = 0.6 * (time.monotonic() - start) + 0.4 * longest_s
            assert digest(root) == wanted[seed]
            finished, seed = finished + 1, 1 - seed
            continue
        kills += 1
        longest_s *= 1.1  # so that the end is reached, too
        reached.add(assert_nothing_wrong(root))
    write_on(root, seed)
    assert digest(root) == wanted[seed]
    assert kills == KILLS and len(reached) > 2, f"killed always at the same place: {reached}, {finished}"


def test_a_full_disk_keeps_what_is_done_and_goes_on_when_there_is_space(
    disk: Path, wanted: dict[int, dict[str, str]]
) -> None:
    root = disk / "dataset"
    with pytest.raises(StoreError, match="No space left on device; free some space and run the same"):
        write_on(root, 0)
    assert 0 < assert_nothing_wrong(root) < BLOCKS
    assert not list(root.rglob(f"*{TEMPORARY_SUFFIX}"))
    assert mount("-o", "remount,size=20m", str(disk)).returncode == 0
    write_on(root, 0)
    assert digest(root) == wanted[0]


def test_a_read_only_disk_is_named_and_still_read(disk: Path, wanted: dict[int, dict[str, str]]) -> None:
    assert mount("-o", "remount,size=20m", str(disk)).returncode == 0
    root = disk / "dataset"
    write_on(root, 0)
    assert mount("-o", "remount,ro", str(disk)).returncode == 0
    with pytest.raises(StoreError, match="read-only; choose another dataset root"):
        write_atomic(root / "new", b"x")
    with pytest.raises(StoreError, match="cannot remove"):
        remove(root / "locations.parquet")
    with pytest.raises(StoreError):
        write_on(root, 1)
    assert check(root, deep=True) == expected_problems(root)
    assert open_dataset(root).sizes["location"] == LOCATIONS
    assert digest(root) == wanted[0]


def expected_problems(root: Path) -> list[object]:
    """The small writer leaves no marks of the stages before: these alone are missed."""
    missing = [p for p in check(root) if "the mark is missing" in p.what]
    assert {p.stage for p in missing} == {"phenology", "scenes", "check", "locations", "windows", "catalogue"}
    return list(missing)


@pytest.mark.parametrize("file_bytes", [100, 3000, 9000])
def test_files_that_may_not_grow_are_named_and_nothing_is_torn(
    file_bytes: int,
    tmp_path: Path,
    processes: multiprocessing.context.ForkServerContext,
    wanted: dict[int, dict[str, str]],
) -> None:
    root = tmp_path / "dataset"
    process = processes.Process(target=write_with_limit, args=(root, 0, file_bytes))
    process.start()
    process.join()
    assert process.exitcode == 3
    whole = wanted[0]
    assert all(
        whole[name] == sha
        for name, sha in digest(root).items()
        if "c" in name.split("/") or "parquet" in name
    )
    write_on(root, 0)
    assert digest(root) == whole


def test_pixels_of_killed_writers_are_those_written(tmp_path: Path) -> None:
    write_on(tmp_path, 0)
    write_on(tmp_path, 1)
    small, there = content(tmp_path, 1), open_dataset(tmp_path)
    for i, j in np.ndindex(LOCATIONS, len(SEASONS)):
        pixels = small.pixels["r10"][i, j] * small.present[i, j]
        np.testing.assert_array_equal(there["r10"][i, j].to_numpy(), pixels)
