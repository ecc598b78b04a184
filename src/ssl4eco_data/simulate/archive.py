"""Writes the embedded archive: plans the sites, shares the work among processes, and signs it at the end."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import rasterio

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.simulate import items, layers, modis, truth
from ssl4eco_data.simulate.ground import Ground, build_ground
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.passes import Pass, plan_passes
from ssl4eco_data.simulate.scenes import write_pass
from ssl4eco_data.simulate.sites import Site, plan_sites

ARCHIVE_VERSION = 1
SIGNATURE = "archive.json"
UNFINISHED = "archive.json.part"
FOLDERS = (items.COLLECTION, modis.COLLECTION, "layers", "truth")
PASSES_A_TASK = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSummary:
    """What was written."""

    locations: int
    scenes: int
    composites: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Task:
    """Some passes of one site; the first task of a site also writes its composites and truth."""

    parameters: SimulationParameters
    site: Site
    passes: tuple[Pass, ...]
    whole_site: bool


@dataclass(slots=True)
class Written:
    """What a task hands back: catalogue entries, rows of the truth, and bytes."""

    scenes: list[dict[str, Any]] = field(default_factory=list)
    composites: list[dict[str, Any]] = field(default_factory=list)
    scene_truth: list[dict[str, Any]] = field(default_factory=list)
    cycles: list[dict[str, Any]] = field(default_factory=list)
    climatology: list[dict[str, Any]] = field(default_factory=list)
    size_bytes: int = 0

    def add(self, other: Written) -> None:
        """Append what another task wrote."""
        self.scenes += other.scenes
        self.composites += other.composites
        self.scene_truth += other.scene_truth
        self.cycles += other.cycles
        self.climatology += other.climatology
        self.size_bytes += other.size_bytes


def is_written(root: Path, parameters: SimulationParameters) -> bool:
    """Whether a whole archive of these parameters and of this version of the writer lies at ``root``."""
    try:
        return (root / SIGNATURE).read_text(encoding="utf-8") == _signature(parameters)
    except FileNotFoundError:
        return False


def write_archive(
    root: Path,
    parameters: SimulationParameters,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveSummary:
    """Write the archive, replacing one of other parameters or an unfinished one, and count what it holds.

    ``progress`` gets (passes done, passes in all). The bytes do not depend on ``workers``, the number of
    processes. Raises :class:`~ssl4eco_data.errors.ConfigError` where ``root`` holds something else, and
    ``ValueError`` where the period has too few passes for the wrong masks asked for.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    _clear(root)
    sites = plan_sites(parameters)
    size = layers.write_layers(root, sites)
    tasks = [task for site in sites for task in _tasks(parameters, site)]
    total, done = sum(len(t.passes) for t in tasks), 0
    results: dict[int, Written] = {}
    for number, written in _run(root, tasks, workers):
        results[number] = written
        done += len(tasks[number].passes)
        if progress is not None:
            progress(done, total)
    whole = Written(size_bytes=size)
    for number in range(len(tasks)):
        whole.add(results[number])
    return _finish(root, parameters, whole)


def _clear(root: Path) -> None:
    """Remove an earlier archive, signature first; refuse a folder with anything else in it."""
    root.mkdir(parents=True, exist_ok=True)
    files = (SIGNATURE, UNFINISHED, f"{items.COLLECTION}.json", f"{modis.COLLECTION}.json")
    strange = sorted(p.name for p in root.iterdir() if p.name not in (*files, *FOLDERS))
    if strange:
        raise ConfigError(
            f"{root} is not an embedded archive: it holds {', '.join(strange[:3])}; name an empty folder"
        )
    for name in files:
        (root / name).unlink(missing_ok=True)
    for name in FOLDERS:
        if (root / name).exists():
            shutil.rmtree(root / name)


def _tasks(parameters: SimulationParameters, site: Site) -> Iterator[Task]:
    passes = plan_passes(parameters, site)
    for start in range(0, max(1, len(passes)), PASSES_A_TASK):
        yield Task(parameters, site, passes[start : start + PASSES_A_TASK], start == 0)


def _run(root: Path, tasks: Sequence[Task], workers: int) -> Iterator[tuple[int, Written]]:
    """(number of the task, what it wrote) in the order they finish."""
    if workers == 1:
        for number, task in enumerate(tasks):
            yield number, run_task(root, task)
        return
    # Spawned processes inherit no threads, locks or open GDAL handles.
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=get_context("spawn")) as pool:
        with _interrupts_for_us_alone():
            futures = {pool.submit(run_task, root, task): number for number, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_for_us_alone() -> Iterator[None]:
    """Processes started meanwhile do not hear the terminal's Ctrl-C; this one stops them."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def run_task(root: Path, task: Task) -> Written:
    """Write the files of one task."""
    ground = _ground(task.parameters, task.site)
    result = Written()
    with rasterio.Env(GDAL_NUM_THREADS="1", GDAL_PAM_ENABLED="NO"):
        for flight in task.passes:
            for scene in write_pass(root, task.parameters.seed, ground, flight):
                result.scenes.append(scene.item)
                result.scene_truth.append(scene.truth)
                result.size_bytes += scene.size_bytes
        if task.whole_site:
            result.composites, size = modis.write_composites(root, task.parameters, ground)
            result.size_bytes += size
            result.cycles, result.climatology = truth.truth_of_site(task.parameters, ground)
    return result


@lru_cache(maxsize=2)
def _ground(parameters: SimulationParameters, site: Site) -> Ground:
    return build_ground(parameters, site)


def _finish(root: Path, parameters: SimulationParameters, whole: Written) -> ArchiveSummary:
    """Write the catalogues, the tables of the truth and, last, the signature."""
    size = whole.size_bytes
    size += _write_catalogue(root, items.COLLECTION, whole.scenes)
    size += _write_catalogue(root, modis.COLLECTION, whole.composites)
    for name, rows in (
        (truth.SCENES, whole.scene_truth),
        (truth.CYCLES, whole.cycles),
        (truth.CLIMATOLOGY, whole.climatology),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        table = pd.DataFrame(rows)
        table.to_parquet(root / name, index=False)
        size += (root / name).stat().st_size
    unfinished = root / UNFINISHED
    unfinished.write_text(_signature(parameters), encoding="utf-8")
    unfinished.replace(root / SIGNATURE)
    return ArchiveSummary(
        locations=parameters.locations,
        scenes=len(whole.scenes),
        composites=len(whole.composites),
        size_bytes=size,
    )


def _write_catalogue(root: Path, collection: str, features: list[dict[str, Any]]) -> int:
    catalogue = {"type": "FeatureCollection", "features": sorted(features, key=_in_time)}
    path = root / f"{collection}.json"
    path.write_text(json.dumps(catalogue, separators=(",", ":"), ensure_ascii=False), encoding="utf-8")
    return path.stat().st_size


def _in_time(item: dict[str, Any]) -> tuple[str, str]:
    properties = item["properties"]
    return properties["datetime"] or properties["start_datetime"], item["id"]


def _signature(parameters: SimulationParameters) -> str:
    content = {"version": ARCHIVE_VERSION, "parameters": parameters.model_dump(mode="json")}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"
