"""Runs benchmark tasks: every way of doing one in a fresh process, in turn, several rounds; then a table.

``python -m benchmarks.measure CALL FILE`` is that process: it prints seconds and peak memory as JSON and
writes the answer of the call to FILE.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
_MB_PER_UNIT = 1e-6 if sys.platform == "darwin" else 1024e-6
"""``ru_maxrss`` is in bytes on macOS and in kibibytes on Linux."""


class Work(NamedTuple):
    """What is timed, and what (untimed) turns its result into an array to compare; None is not compared."""

    run: Callable[[], Any]
    answer: Callable[[Any], npt.ArrayLike] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function of a benchmark module that prepares and returns its :class:`Work`."""

    module: str
    function: str
    arguments: Mapping[str, Any]

    def prepare(self) -> Work:
        """The work, its inputs made and not timed."""
        work: Work = getattr(importlib.import_module(self.module), self.function)(**self.arguments)
        return work


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job done in several ways; the first is ours, and the others' answers are compared with its."""

    area: str
    name: str
    ways: Mapping[str, Call]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One way of one task: seconds of each round; times the best of ours; the share of equal answers."""

    area: str
    task: str
    way: str
    seconds: tuple[float, ...]
    times_ours: float
    peak_mb: float
    agreement: float | None


class Sample(NamedTuple):
    """Seconds, peak memory and answer of one call."""

    seconds: float
    peak_mb: float
    answer: npt.NDArray[Any] | None


def perform(call: Call) -> Sample:
    """Prepare and time a call in this process; the peak is that of the process so far."""
    work = call.prepare()
    start = time.perf_counter()
    result = work.run()
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MB_PER_UNIT
    return Sample(seconds, peak_mb, None if work.answer is None else np.asarray(work.answer(result)))


def perform_apart(call: Call) -> Sample:
    """The same in a fresh process. Raises ``CalledProcessError`` when that fails."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.npy"
        command = [sys.executable, "-m", "benchmarks.measure", json.dumps(asdict(call)), str(answer)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found = np.load(answer) if answer.exists() else None
    return Sample(**json.loads(done.stdout), answer=found)


def measure(task: Task, repeats: int, performer: Callable[[Call], Sample] = perform_apart) -> list[Figure]:
    """The figures of all ways of a task; ways alternate, so that a busy minute hits them all."""
    rounds = [[performer(call) for call in task.ways.values()] for _ in range(repeats)]
    by_way = list(zip(*rounds, strict=True))
    best = [min(sample.seconds for sample in samples) for samples in by_way]
    return [
        Figure(
            area=task.area,
            task=task.name,
            way=way,
            seconds=tuple(sample.seconds for sample in samples),
            times_ours=best[i] / best[0],
            peak_mb=max(sample.peak_mb for sample in samples),
            agreement=_agreement(by_way[0][0].answer, samples[0].answer) if i else None,
        )
        for i, (way, samples) in enumerate(zip(task.ways, by_way, strict=True))
    ]


def _agreement(ours: npt.NDArray[Any] | None, theirs: npt.NDArray[Any] | None) -> float | None:
    if ours is None or theirs is None:
        return None
    return float((ours == theirs).mean()) if ours.shape == theirs.shape else 0.0


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table: best seconds, the slowest round over the best, times ours, peak memory, agreement."""
    lines = [
        "| task | way | seconds | slowest / best | times ours | peak MB | same answer |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for at, figure in enumerate(figures):
        title = figure.task if at == 0 or figures[at - 1].task != figure.task else ""
        best, worst = min(figure.seconds), max(figure.seconds)
        same = {None: "", 1.0: "all"}.get(figure.agreement, f"{figure.agreement or 0:.3%}")
        lines.append(
            f"| {title} | {figure.way} | {best:.3g} | {worst / best:.2f} | {figure.times_ours:.3g} "
            f"| {figure.peak_mb:.0f} | {same} |"
        )
    return "\n".join(lines)


def machine(packages: Sequence[str]) -> dict[str, str]:
    """What the figures hold for: date, machine and versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}, {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main(module_doc: str, packages: Sequence[str], tasks: Callable[[bool], Sequence[Task]]) -> None:
    """The command line of a benchmark module; ``tasks(tiny)`` gives its tasks."""
    parser = argparse.ArgumentParser(description=module_doc.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the table shows the best (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="tasks whose area or name holds this text")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every figure to a JSON file too")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    wanted = [task for task in tasks(options.tiny) if options.only in f"{task.area} {task.name}"]
    if not wanted:
        parser.error(f"--only {options.only!r} leaves no task")
    figures: list[Figure] = []
    for task in wanted:
        print(f"{task.area}: {task.name} ...", file=sys.stderr, flush=True)
        figures += measure(task, options.repeats)
    about = machine(packages)
    print("; ".join(f"{name} {value}" for name, value in about.items()), end="\n\n")
    print(table(figures))
    if options.out:
        report = {"about": about, "figures": [asdict(figure) for figure in figures]}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    found = perform(Call(**json.loads(sys.argv[1])))
    if found.answer is not None:
        np.save(sys.argv[2], found.answer)
    json.dump({"seconds": found.seconds, "peak_mb": found.peak_mb}, sys.stdout)
