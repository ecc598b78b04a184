"""The benchmark of reading runs at its tiny size, and every way gives the same pixels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT
from benchmarks.reading import places
from benchmarks.reading_data import NORTH_M, WEST_M


def test_every_way_gives_the_same_pixels(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.reading", "--tiny", "--repeats", "1", "--latencies", "0"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out.json")], cwd=ROOT, check=True, capture_output=True, text=True
    )
    results = json.loads((tmp_path / "out.json").read_text())
    ways = {result["way"] for result in results}
    assert {"ours", "rasterio, plain", "rasterio, tuned", "limit: ISA-L", "limit: zlib"} <= ways
    for task in {result["task"] for result in results}:
        assert len({result["checksum"] for result in results if result["task"] == task}) == 1
    for result in results:
        over_http = not result["way"].startswith("limit")
        assert (result["requests"] > 0) is (result["received_bytes"] > 0) is over_http
    assert "| ours |" in done.stdout
    assert " NO |" not in done.stdout


def test_places_lie_on_the_grid_inside_the_tile_and_share_scenes() -> None:
    found = places(12, 3, 109800)
    assert [place.scene for place in found] == [f"scene{i // 4}" for i in range(12)]
    for place in found:
        assert (place.west_m - WEST_M) % 20 == (NORTH_M - place.north_m) % 20 == 0
        assert 0 <= place.west_m - WEST_M <= 109800 - 2560
        assert 0 <= NORTH_M - place.north_m <= 109800 - 2560
    assert places(12, 3, 109800) == found
