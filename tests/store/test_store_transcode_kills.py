"""A copy to another codec, killed at random moments: never served before it is whole, and ended the same."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from pathlib import Path

import numpy as np
from tests.store.interrupted import copy_on, write_on

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import TEMPORARY_SUFFIX, Ledger, open_dataset

KILLS = 10


def contents(root: Path) -> dict[str, bytes]:
    """Every file but those that a kill left half written."""
    files = (p for p in root.rglob("*") if p.is_file() and p.suffix != TEMPORARY_SUFFIX)
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def is_served(root: Path) -> bool:
    try:
        open_dataset(root).close()
    except StoreError:
        return False
    return True


def test_killed_copies_are_whole_or_refused_and_end_with_the_same_bytes(tmp_path: Path) -> None:
    source, target, rng = tmp_path / "source", tmp_path / "copy", np.random.default_rng(3)
    write_on(source, 0)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store.interrupted"])

    def copying(to: Path, patience_s: float | None) -> tuple[int | None, float]:
        """(exit code, seconds) of a process that copies and is killed when its time is over."""
        process, start = context.Process(target=copy_on, args=(source, to)), time.monotonic()
        process.start()
        process.join(patience_s)
        process.kill()
        process.join()
        return process.exitcode, time.monotonic() - start

    copying(tmp_path / "first", None)  # starts the server of processes, too
    _, longest_s = copying(tmp_path / "whole", None)
    whole = contents(tmp_path / "whole")
    kills, seen = 0, set()
    while kills < KILLS:
        code, seconds = copying(target, float(rng.uniform(0, longest_s)))
        there = contents(target)
        assert all(whole[name] == data for name, data in there.items()), "a torn or wrong file"
        closed = Ledger(target).read("close", 0) is not None
        if closed:
            assert there == whole, "closed before all was there"
        if is_served(target):
            assert {n for n in whole if n.startswith("patches.zarr/")} <= there.keys()
        if code == 0:
            assert closed and is_served(target)
            longest_s = 0.6 * seconds + 0.4 * longest_s
            shutil.rmtree(target)
            continue
        kills, longest_s = kills + 1, longest_s * 1.1
        seen.add(len(there))
    copy_on(source, target)
    assert contents(target) == whole
    assert len(seen) > 2, f"killed always at the same place: {seen}"
