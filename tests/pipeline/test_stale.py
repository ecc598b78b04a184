"""Which change of a configuration makes what stale, and that only this is done again; killed builds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Ledger, check
from tests.conftest import write_tiny_config
from tests.pipeline.digests import digest

LAST = {"close": 1, "catalogue": 1, "report": 1}
"""What follows from the whole configuration, or from this."""
CHANGES: dict[str, tuple[str, str, dict[str, int]]] = {
    "how it is run": ("[run]", "[run]\nretries = 4", {}),
    "patience with the archive": ("[archive]", "[archive]\nretries = 7", LAST),
    "weights": ("[run]", "[weights]\nnon_vegetated_ndvi = 0.3\n[run]", LAST),
    "title": ('title = "tiny"', 'title = "small"', {"layout": 1, **LAST}),
    "larger blocks": (
        "shard_locations = 2",
        "shard_locations = 2\nblock_shards = 2",
        {"phenology": 2, "windows": 1, "scenes": 2, "layout": 1, "patches": 2, "check": 2, **LAST},
    ),
    "a rule of the choice": (
        "[run]",
        "[scenes]\nmin_usable_fraction = 0.5\n[run]",
        {"scenes": 3, "patches": 0, "check": 3, **LAST},
    ),
    "a rule of the dates": (
        "[run]",
        "[phenology]\nfill_distance_km = 10.0\n[run]",
        {"phenology": 3, "windows": 1, "scenes": 0, "patches": 0, "check": 0, **LAST},
    ),
    "nothing": ("[run]", "# a remark\n[run]", {}),
}
REFUSED = {
    "another compression": ("[store]", "[store]\nlevel = 5"),
    "fewer bands": ("size_px = 64", 'size_px = 64\nbands = ["B04", "B08"]'),
    "smaller patches": ("size_px = 64", "size_px = 32"),
}


def changed(path: Path, old: str, new: str) -> configuration.Config:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return configuration.load(path)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_redoes_what_follows_from_it(change: str, finished_config: Path) -> None:
    old, new, stages = CHANGES[change]
    loaded = changed(finished_config, old, new)
    before = {
        (stage.name, block): Ledger(loaded.root).read(stage.name, block)
        for stage in pipeline.STAGES
        for block in Ledger(loaded.root).blocks(stage.name)
    }
    record = pipeline.build(loaded, pipeline.run_in_threads)
    done = {each["stage"]: each["blocks"] for each in record.stages}
    at_most = {name: n for name, n in stages.items() if n} | {name: 3 for name, n in stages.items() if not n}
    assert set(done) <= set(at_most), done
    assert {name: n for name, n in done.items() if stages[name]} == {n: k for n, k in stages.items() if k}
    for (stage, block), mark in before.items():
        if stage not in done:
            assert Ledger(loaded.root).read(stage, block) == mark
    assert pipeline.build(loaded, pipeline.run_in_threads).stages == []
    assert check(loaded.root) == []


@pytest.mark.parametrize("change", REFUSED)
def test_what_the_files_there_cannot_become_is_refused_with_the_way_out(
    change: str, finished_config: Path
) -> None:
    loaded = changed(finished_config, *REFUSED[change])
    with pytest.raises((pipeline.BuildError, StoreError), match="choose another"):
        pipeline.build(loaded, pipeline.run_in_threads)


@pytest.mark.slow
def test_builds_killed_at_random_moments_end_with_the_bytes_of_one_that_was_not(
    tmp_path: Path, tiny_archive: Path, built_config: Path
) -> None:
    path, rng, kills = write_tiny_config(tmp_path, tiny_archive), np.random.default_rng(3), 0
    root = tmp_path / "dataset"
    command = [sys.executable, "-m", "ssl4eco_data", "build", str(path)]
    for _ in range(8):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                process.wait(timeout=float(rng.uniform(2, 9)))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        if process.returncode == 0:
            break
        kills += 1
        if Ledger(root).stages():
            assert [p for p in check(root) if "the mark is missing" not in p.what] == []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert kills > 0
    assert digest(root) == digest(built_config.parent / "dataset")
