"""Benchmark of reading patches over HTTP: ours, rasterio, odc-stac, and decoding alone as the limit.

Run ``python -m benchmarks.reading`` in the root of the checkout; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.measure import ROOT, machine
from benchmarks.reading_data import NORTH_M, TILE_M, WEST_M, write_files
from benchmarks.reading_work import PATCH_M, WAYS, Job, Place

PACKAGES = ("ssl4eco-data", "numpy", "rasterio", "isal", "requests", "urllib3", "obstore")
MARGIN_M = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One way in one round, over all patches."""

    task: str
    way: str
    patches: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    checksum: int
    requests: int
    received_bytes: int


def places(count: int, scenes: int, tile_m: int) -> tuple[Place, ...]:
    """Corners on the 20 m grid, anywhere in a tile; scene after scene."""
    generator = np.random.default_rng(5)
    steps = (tile_m - PATCH_M - 2 * MARGIN_M) // 20
    corners = MARGIN_M + 20 * generator.integers(0, steps, (count, 2))
    return tuple(
        Place(f"scene{number * scenes // count}", float(WEST_M + x), float(NORTH_M - y))
        for number, (x, y) in enumerate(corners.tolist())
    )


@contextmanager
def serving(folder: Path, latency_ms: float) -> Iterator[str]:
    """The address of a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.reading_server", str(folder), str(latency_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline() if server.stdout else ""
            yield f"http://127.0.0.1:{int(port)}"
        finally:
            server.terminate()


def measured(task: str, way: str, job: Job, python: str) -> Result:
    """One way in a fresh process on one core. Raises ``CalledProcessError`` when that fails."""
    _counts(job.url)
    command = [python, "-m", "benchmarks.reading_work", way]
    done = subprocess.run(command, cwd=ROOT, check=True, input=job.text(), stdout=subprocess.PIPE, text=True)
    counts = _counts(job.url)
    return Result(
        task=task,
        way=way,
        patches=len(job.places),
        requests=counts.get("requests", 0),
        received_bytes=counts.get("bytes", 0),
        **json.loads(done.stdout),
    )


def _counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{url}/count") as answer:
        found: dict[str, int] = json.load(answer)
    return found


def table(results: Sequence[Result]) -> str:
    """A Markdown table: the best round of each way; requests and megabytes are those of a patch."""
    titles = "task way patches/s patches/s-of-processor times-ours requests MB peak-MB same-pixels"
    head = [title.replace("-", " ") for title in titles.split()]
    lines = [f"| {' | '.join(head)} |", "|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for task in dict.fromkeys(result.task for result in results):
        here = [result for result in results if result.task == task]
        best = [
            min((r for r in here if r.way == way), key=lambda r: r.seconds)
            for way in dict.fromkeys(r.way for r in here)
        ]
        for number, r in enumerate(best):
            least = min(x.cpu_seconds for x in here if x.way == r.way)
            same = "" if number == 0 else "yes" if r.checksum == best[0].checksum else "NO"
            lines.append(
                f"| {'' if number else task} | {r.way} "
                f"| {r.patches / r.seconds:.2f} | {r.patches / least:.2f} "
                f"| {r.seconds / best[0].seconds:.2f} | {r.requests / r.patches:.1f} "
                f"| {r.received_bytes / r.patches / 1e6:.1f} | {r.peak_mb:.0f} | {same} |"
            )
    return "\n".join(lines)


def ways(odc_python: str | None) -> dict[str, str]:
    """The ways to measure, and the Python to run each in."""
    found = dict.fromkeys(WAYS, sys.executable)
    if odc_python:
        found["odc-stac"] = odc_python
    elif find_spec("odc") is None or find_spec("odc.stac") is None:
        print("ODC-STAC ABSENT: install odc-stac, or give --odc-python; it is not measured", file=sys.stderr)
        del found["odc-stac"]
    if find_spec("async_geotiff") is None:
        print("ASYNC-GEOTIFF ABSENT: install async-geotiff; it is not measured", file=sys.stderr)
        del found["async-geotiff"]
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=2, help="rounds; the table shows the best (default 2)")
    parser.add_argument("--patches", type=int, default=12, help="patches of a task (default 12)")
    parser.add_argument("--latencies", default="0,10", help="waits of the server in ms (default 0,10)")
    parser.add_argument("--only", default="", metavar="TEXT", help="ways whose name holds this text")
    parser.add_argument("--folder", type=Path, help="where the files are made, or were (default: temporary)")
    parser.add_argument("--odc-python", help="a Python that has odc-stac")
    parser.add_argument("--tiny", action="store_true", help="small files and one patch, to see that it runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every result to a JSON file too")
    options = parser.parse_args()
    if min(options.repeats, options.patches) < 1:
        parser.error("--repeats and --patches must be at least 1")
    wanted = {way: python for way, python in ways(options.odc_python).items() if options.only in way}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tile_m = 5100 if options.tiny else TILE_M
        write_files(folder, tile_m, 128 if options.tiny else 1024)
        count = 1 if options.tiny else options.patches
        results: list[Result] = []
        for latency_ms in map(float, options.latencies.split(",")):
            with serving(folder, latency_ms) as url:
                for label, scenes in {"every patch of its own scene": count, "one scene": 1}.items():
                    job = Job(url=url, folder=str(folder), places=places(count, scenes, tile_m))
                    task = f"{label}, {latency_ms:g} ms"
                    print(f"{task} ...", file=sys.stderr, flush=True)
                    for _ in range(options.repeats):
                        results += [measured(task, way, job, python) for way, python in wanted.items()]
    print("; ".join(f"{name} {value}" for name, value in machine(PACKAGES).items()), end="\n\n")
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


if __name__ == "__main__":
    main()
