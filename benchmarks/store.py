"""Benchmark of reading a dataset: our reader, zarr-python, and what can at best be reached.

Run ``python -m benchmarks.store`` in the root of the checkout; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.measure import machine
from benchmarks.store_data import SEASONS, layout, pixels, write
from benchmarks.store_work import Arrays, Batch, Way, decoding, memcpy, memmap, ours, zarr_python

PACKAGES = ("ssl4eco-data", "numpy", "numcodecs", "google-crc32c", "zarr")
PROFILES: tuple[Literal["zstd", "lz4"], ...] = ("zstd", "lz4")
ARRAYS = {"r10 r20 scl": ("r10", "r20", "scl"), "with r60": ("r10", "r20", "r60", "scl")}
OURS, NO_CRC, DECODE, ZARR = "ours", "ours, no checksum", "limit: decode", "zarr-python"
BATCH = 32
GATES = {"zstd": 0.85, "lz4": 0.75}
"""Least share of pure decoding for the reader."""
TIMES_ZARR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One way in one round, over all patches."""

    profile: str
    arrays: str
    way: str
    patches: int
    seconds: float
    cpu_seconds: float
    checksum: int


def batches(locations: int) -> list[Batch]:
    """Every patch once, in random order."""
    places = np.random.default_rng(2).permutation(list(np.ndindex(locations, len(SEASONS))))
    return [list(map(tuple, places[at : at + BATCH].tolist())) for at in range(0, len(places), BATCH)]


def ways(root: Path, plain: Path, arrays: Arrays, names: Sequence[str]) -> dict[str, Way]:
    """What is compared; ours first."""
    return {
        OURS: ours(root, names, True),
        NO_CRC: ours(root, names, False),
        ZARR: zarr_python(root, names),
        DECODE: decoding(root, names),
        "limit: memmap": memmap(plain, arrays, names),
        "limit: memcpy": memcpy(arrays, names),
    }


def timed(way: Way, work: Sequence[Batch], out: Arrays) -> tuple[float, float]:
    """(seconds on the clock, seconds of the processor)."""
    clock, cpu = time.perf_counter(), time.process_time()
    for batch in work:
        way(batch, out)
    return time.perf_counter() - clock, time.process_time() - cpu


def checksum(out: Arrays) -> int:
    """Sum of the pixels of the last batch: the same for ways that read the same."""
    return sum(int(values.sum(dtype=np.uint64)) for values in out.values())


def compared(
    profile: str, label: str, found: Mapping[str, Way], arrays: Arrays, repeats: int
) -> list[Result]:
    """Rounds in which the ways take turns, after one that is not timed."""
    first = next(iter(arrays.values()))
    work = batches(first.shape[0])
    out = {n: np.zeros((BATCH, *a.shape[2:]), a.dtype) for n, a in arrays.items()}
    results = []
    for repeat in range(repeats + 1):
        for name, way in found.items():
            for values in out.values():
                values.fill(0)
            seconds, cpu = timed(way, work, out)
            if repeat:
                results.append(
                    Result(
                        profile=profile,
                        arrays=label,
                        way=name,
                        patches=first.shape[0] * first.shape[1],
                        seconds=seconds,
                        cpu_seconds=cpu,
                        checksum=checksum(out),
                    )
                )
    return results


def best(results: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """Way -> (patches a second, patches a second of the processor), of its best rounds."""
    found: dict[str, tuple[float, float]] = {}
    for r in results:
        clock, cpu = found.get(r.way, (0.0, 0.0))
        found[r.way] = max(clock, r.patches / r.seconds), max(cpu, r.patches / r.cpu_seconds)
    return found


def groups(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    """The results of each profile and choice of arrays."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.profile, result.arrays), []).append(result)
    return found


def table(results: Sequence[Result]) -> str:
    """A Markdown table: the best round of each way; shares are of processor time."""
    head = "profile,arrays,way,patches/s,patches/s of processor,share of decode,times zarr-python,same pixels"
    lines = [f"| {' | '.join(head.split(','))} |", "|---|---|---|--:|--:|--:|--:|--:|"]
    for (profile, label), here in groups(results).items():
        rates = best(here)
        sums = {result.way: result.checksum for result in here}
        for number, (way, (clock, cpu)) in enumerate(rates.items()):
            same = "" if number == 0 else "yes" if sums[way] == sums[OURS] else "NO"
            task = "|  | " if number else f"| {profile} | {label}"
            lines.append(
                f"{task} | {way} | {clock:.0f} | {cpu:.0f} "
                f"| {cpu / rates[DECODE][1]:.2f} | {cpu / rates[ZARR][1]:.2f} | {same} |"
            )
    return "\n".join(lines)


def misses(results: Sequence[Result]) -> list[str]:
    """The gates that are not reached, in words."""
    found = []
    for (profile, label), here in groups(results).items():
        rates = best(here)
        share, times = rates[OURS][1] / rates[DECODE][1], rates[OURS][1] / rates[ZARR][1]
        if share < GATES[profile]:
            found.append(f"{profile}, {label}: {share:.2f} of pure decoding, wanted {GATES[profile]}")
        if times < TIMES_ZARR:
            found.append(f"{profile}, {label}: {times:.2f} x zarr-python, wanted {TIMES_ZARR}")
    return found


def run(folder: Path, locations: int, size_m: float, repeats: int) -> list[Result]:
    """Make the datasets and measure every way on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    arrays = pixels(layout(locations, size_m, "zstd"))
    results: list[Result] = []
    for profile in PROFILES:
        root = folder / profile
        packed = write(root, layout(locations, size_m, profile), arrays)
        plain = sum(values.nbytes for values in arrays.values())
        print(f"{profile}: {packed / plain:.2f} of the pixels' bytes", file=sys.stderr, flush=True)
        for label, names in ARRAYS.items():
            chosen = {name: arrays[name] for name in names}
            found = ways(root, folder, chosen, names)
            results += compared(profile, label, found, chosen, repeats)
    return results


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds; the table shows the best (default 7)")
    parser.add_argument("--locations", type=int, default=128, help="of four patches each (default 128)")
    parser.add_argument("--gates", action="store_true", help="exit code 1 where the reader is too slow")
    parser.add_argument("--tiny", action="store_true", help="a few small patches, to see that it runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every result to a JSON file too")
    options = parser.parse_args()
    if min(options.repeats, options.locations) < 1:
        parser.error("--repeats and --locations must be at least 1")
    locations, size_m = (3, 320.0) if options.tiny else (options.locations, 2560.0)
    with tempfile.TemporaryDirectory() as folder:
        results = run(Path(folder), locations, size_m, options.repeats)
    print("; ".join(f"{name} {value}" for name, value in machine(PACKAGES).items()), end="\n\n")
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    missed = misses(results)
    for line in missed:
        print(line, file=sys.stderr)
    if missed and options.gates:
        sys.exit(1)


if __name__ == "__main__":
    main()
