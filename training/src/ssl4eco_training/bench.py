"""``python -m ssl4eco_training.bench DATASET``: how fast a dataset is read and trained on, and what binds.

All ways take turns in one run. ``--recipe`` and any ``--field value`` say what is trained.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ssl4eco_data.errors import Ssl4ecoError
from ssl4eco_training import bench_reading as reading
from ssl4eco_training import build
from ssl4eco_training.bench_figures import Conditions, Figures, Turn, best, lines, stall_share
from ssl4eco_training.bench_reading import Patches, Way
from ssl4eco_training.bench_step import Steps
from ssl4eco_training.build import Parts
from ssl4eco_training.distributed import Processes, joined
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.locations import read_locations
from ssl4eco_training.options import overridden, recipe_named
from ssl4eco_training.recipes import Recipe
from ssl4eco_training.roofline import Gpu, cost_of, known_gpu, locations_s

SECONDS, ROUNDS = 12.0, 3
_LONGER = {"loader": 3.0, "step": 3.0, "both": 3.0}
"""Turns of ways that begin slowly, in turns of the others."""
_READING = ("decode", "memmap", "memcpy", "reader", "loader")


def measure(name: str, recipe: Recipe, seconds: float, gpu: Gpu | None = None) -> Figures:
    """The figures of a recipe, called ``name``, in about ``seconds`` and what it takes to warm up.

    ``gpu`` are the limits of the device, None those of a known one. Raises TrainingError (StoreError for
    what lies on the disk) as a run of the recipe would, and for several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError(
            "bench measures one process: run it without torchrun; locations_s in the log of a run on many "
            "GPUs tells how it scales"
        )
    with joined(recipe.device) as processes, tempfile.TemporaryDirectory() as folder:
        found = build.source(recipe)
        share = build.share_of(recipe, processes)
        parts = build.parts(recipe, found, processes, build.input_of(recipe, found))
        known = read_locations(recipe.dataset, recipe.split or None)
        patches = Patches(recipe.dataset, parts.spec.bands, reading.some_places(known))
        with _ways(recipe, parts, processes, patches, share, Path(folder)) as ways:
            turns = _rounds(ways, seconds)
        conditions = Conditions(
            recipe=name,
            device=_device_name(processes),
            threads=recipe.threads,
            cores=_cores(),
            images=parts.objective.images,
            batch=recipe.batch,
            packed_bytes=patches.packed_bytes,
            pixel_bytes=patches.pixel_bytes,
            cold=patches.forget_pages(),
            limit_s=_limit(recipe, parts, processes, gpu),
        )
    rates = {name: best(those) for name, those in turns.items()}
    return Figures(
        conditions=conditions,
        patches_s={name: rates[name] for name in _READING},
        locations_s={n: r for n, r in rates.items() if n not in (*_READING, "storage")},
        storage_bytes_s=rates["storage"].by_clock,
        stall_share=stall_share(turns["both"]),
    )


@contextmanager
def _ways(
    recipe: Recipe, parts: Parts, processes: Processes, patches: Patches, share: int, folder: Path
) -> Iterator[Mapping[str, Way]]:
    """All that is measured, by name, each warm."""
    opened = partial(build.loader_of, recipe, processes, parts.spec, parts.objective)
    with opened(0) as batches:
        steps = Steps(recipe, parts, processes.device, next(batches))
    step = steps.step()
    pace = _Pace(step, recipe.batch)
    found: dict[str, Way] = {
        "storage": reading.storage(patches, recipe.threads),
        "decode": reading.decode(patches),
        "memmap": reading.copied(patches, reading.mapped(patches, folder)),
        "memcpy": reading.copied(patches, patches.pixels),
        "reader": reading.reader(patches),
        "loader": reading.loader(opened, share, parts.objective.images, recipe.ahead),
        "views": steps.views(),
        "step": pace,
        "both": steps.both(opened, pace.seconds),
    }
    if processes.device.type == "cuda":
        found["transfer"] = steps.transfer()
    yield found


class _Pace:
    """The way of the step, which remembers how long its last steps took."""

    def __init__(self, way: Way, batch: int) -> None:
        self._way, self._batch, self._last = way, batch, 1.0

    def __call__(self, seconds: float) -> Turn:
        turn = self._way(seconds)
        self._last = turn.seconds * self._batch / turn.items
        return turn

    def seconds(self) -> float:
        """Of one step."""
        return max(self._last, 1e-6)


def _rounds(ways: Mapping[str, Way], seconds: float) -> dict[str, list[Turn]]:
    """The turns of each way: ``ROUNDS`` rounds, in which all ways follow one another."""
    unit = seconds / ROUNDS / sum(_LONGER.get(name, 1.0) for name in ways)
    turns: dict[str, list[Turn]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            turns[name].append(way(unit * _LONGER.get(name, 1.0)))
    return turns


def _limit(recipe: Recipe, parts: Parts, processes: Processes, gpu: Gpu | None) -> float | None:
    """Locations/s by the roofline; None for a device or an objective of which it is not known."""
    if gpu is None and processes.device.type == "cuda":
        gpu = known_gpu(torch.cuda.get_device_name(processes.device))
    if gpu is None or recipe.objective not in ("seco", "moco"):
        return None
    cost = cost_of(parts.objective.encoder, parts.spec.channels, recipe.image_px)
    keys = len(parts.objective.views) - 1
    return locations_s(cost, gpu, trained=1, forward_only=keys, precision=recipe.precision)


def _device_name(processes: Processes) -> str:
    return torch.cuda.get_device_name(processes.device) if processes.device.type == "cuda" else "cpu"


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu(tflops: float | None, gb_s: float | None) -> Gpu | None:
    """The limits that were given, for every precision. Raises TrainingError for one without the other."""
    if tflops is None and gb_s is None:
        return None
    if tflops is None or gb_s is None:
        raise TrainingError(
            f"--peak-tflops and --memory-gb-s must both be given or none, got {tflops} and {gb_s}"
        )
    return Gpu(bf16_flops=tflops * 1e12, fp32_flops=tflops * 1e12, bytes_s=gb_s * 1e9)


def _above_0(text: str) -> float:
    """A number above 0, for argparse."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return number


def parser() -> argparse.ArgumentParser:
    """The options; what it does not know are fields of the recipe."""
    made = argparse.ArgumentParser(
        prog="python -m ssl4eco_training.bench DATASET",
        usage="%(prog)s [options] [--field value ...]",
        description="How fast DATASET is read and trained on, and what binds. Fields are those of a recipe.",
        allow_abbrev=False,
    )
    made.add_argument("--recipe", default="debug_cpu", help="what is trained (default %(default)s)")
    made.add_argument("--seconds", type=_above_0, default=SECONDS, help="of measuring (default %(default)g)")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--peak-tflops", type=_above_0, help="of the device in the recipe's precision")
    made.add_argument("--memory-gb-s", type=_above_0, help="of the device's memory")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or {"-h", "--help"} & set(given):
        parser().print_help()
        return 0 if given else 2
    options, fields = parser().parse_known_args(given[1:])
    try:
        gpu = _gpu(options.peak_tflops, options.memory_gb_s)
        recipe = overridden(replace(recipe_named(options.recipe), dataset=given[0]), fields)
        figures = measure(options.recipe, recipe, options.seconds, gpu)
    except (TrainingError, Ssl4ecoError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(figures.as_dict(), indent=1) if options.json else "\n".join(lines(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
