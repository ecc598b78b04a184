"""The benchmark of reading a dataset runs at its tiny size, and every way gives the same pixels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.measure import ROOT
from benchmarks.store import DECODE, OURS, ZARR, Result, batches, best, misses, table


def test_every_way_gives_the_same_pixels(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.store", "--tiny", "--repeats", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out.json")], cwd=ROOT, check=True, capture_output=True, text=True
    )
    results = json.loads((tmp_path / "out.json").read_text())
    assert {result["profile"] for result in results} == {"zstd", "lz4"}
    for profile, arrays in {(result["profile"], result["arrays"]) for result in results}:
        here = [r for r in results if (r["profile"], r["arrays"]) == (profile, arrays)]
        assert len(here) == 6
        assert len({r["checksum"] for r in here}) == 1 and here[0]["checksum"] > 0
    assert "| ours |" in done.stdout
    assert " NO |" not in done.stdout


def test_every_patch_is_read_once() -> None:
    places = [place for batch in batches(37) for place in batch]
    assert len(places) == 37 * 4 == len(set(places))


def _result(way: str, seconds: float, cpu_seconds: float, checksum: int = 1) -> Result:
    return Result(
        profile="zstd",
        arrays="all",
        way=way,
        patches=100,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        checksum=checksum,
    )


def test_the_best_rounds_decide_and_missed_gates_are_named() -> None:
    slow = [_result(OURS, 9, 4), _result(DECODE, 9, 1), _result(ZARR, 9, 8)]
    assert len(misses(slow)) == 2 and "0.25" in misses(slow)[0] and "2.00 x" in misses(slow)[1]
    both = [*slow, _result(OURS, 2, 1.1), _result(DECODE, 3, 1.5), _result(ZARR, 9, 4)]
    assert misses(both) == []
    assert best(both)[OURS] == pytest.approx((50.0, 100 / 1.1))
    assert "| NO |" in table([*slow, _result("another", 1, 1, checksum=2)])
