"""A build killed again and again at random moments: nothing that is marked is wrong, and it ends the same.

``SSL4ECO_KILLS=50`` kills it as often; the suite does it a few times, for time's sake.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from ssl4eco_data.store import Ledger, check
from tests.pipeline.digests import digest
from tests.pipeline.interrupted_build import build_on

KILLS = int(os.environ.get("SSL4ECO_KILLS", "2"))
KEPT = ("locations", "phenology", "windows")
"""The stages that a new start finds done: they take longest and write their blocks as the others do."""


def start_anew(root: Path) -> None:
    """Leave what the first stages made."""
    for stage in Ledger(root).stages():
        if stage not in KEPT:
            shutil.rmtree(root / "ledger" / stage)
    for name in ("scenes", "patches", "patches.zarr", "report"):
        shutil.rmtree(root / name, ignore_errors=True)


def data_files(root: Path) -> dict[str, str]:
    """What must be the same, but for the mark of the page, which is not made here."""
    return {name: sha for name, sha in digest(root).items() if not name.startswith("ledger/report/")}


def assert_what_is_marked_is_right(root: Path) -> int:
    """The number of marks, whose files are all what they say."""
    wrong = [problem for problem in check(root) if not problem.what.startswith("the mark is missing")]
    assert wrong == []
    return sum(len(Ledger(root).blocks(stage)) for stage in Ledger(root).stages())


@pytest.mark.slow
def test_a_build_killed_at_random_moments_ends_with_the_same_bytes(
    finished_config: Path, built_config: Path
) -> None:
    root, rng = finished_config.parent / "dataset", np.random.default_rng(11)
    wanted = data_files(built_config.parent / "dataset")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.pipeline.interrupted_build"])
    start_anew(root)
    kills, ends, longest_s, seen = 0, 0, 3.0, set()
    while kills < KILLS:
        process = context.Process(target=build_on, args=(finished_config,))
        start = time.monotonic()
        process.start()
        process.join(float(rng.uniform(0, longest_s)))
        process.kill()
        process.join()
        if process.exitcode == 0:
            longest_s = 0.6 * (time.monotonic() - start) + 0.4 * longest_s
            assert data_files(root) == wanted
            start_anew(root)
            ends += 1
            continue
        kills, longest_s = kills + 1, longest_s * 1.1
        seen.add(assert_what_is_marked_is_right(root))
    last = context.Process(target=build_on, args=(finished_config,))
    last.start()
    last.join()
    assert last.exitcode == 0
    assert data_files(root) == wanted
    print(f"{kills} kills, {ends} ends between them, at {len(seen)} different numbers of marks")
