"""Models on the same images, judged on tasks: scores and paired differences.

A model is one table of embeddings or several, of as many training runs; scores are then means over the runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import Fold
from ssl4eco_training.judge import (
    METHODS,
    Method,
    Rules,
    Score,
    answers,
    folds_of,
    paired,
    refuse_unlike,
    score,
    statistic_of,
)
from ssl4eco_training.metrics import Statistic
from ssl4eco_training.tasks import Task

TaskMaker = Callable[[Embeddings], Task]
Tables = Mapping[str, Sequence[Embeddings]]
"""The embeddings of each model, one table per run; the runs of all models correspond."""
_FEW = 10
"""Fewer tested samples in a fold than these say little, R2 above all; it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A task by a method: the score of each model, and the first model's less each other's."""

    task: str
    metric: str
    method: Method
    samples: int
    left_out: int
    folds: int
    k: int
    scores: Mapping[str, Score]
    differences: Mapping[str, Score]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not defined is None."""
        plain: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("task", "metric", "method", "samples", "left_out", "folds", "k", "note")
        }
        plain["scores"] = {model: _plain_score(value) for model, value in self.scores.items()}
        plain["differences"] = {model: _plain_score(value) for model, value in self.differences.items()}
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The lines of all tasks that could be judged, and why others could not."""

    lines: tuple[Line, ...]
    refused: tuple[str, ...]


def compare(tables: Tables, tasks: Sequence[TaskMaker], rules: Rules) -> Comparison:
    """Every task by every method for every model, the first against the others.

    Folds are those of the first table and the same for all. Raises TrainingError for tables of different
    images.
    """
    ordered = {model: [table.ordered() for table in runs] for model, runs in tables.items()}
    first = next(iter(ordered.values()))[0]
    for other in (table for runs in ordered.values() for table in runs):
        refuse_unlike(first, other)
    lines: list[Line] = []
    refused = []
    for make in tasks:
        try:
            made = {model: [make(table) for table in runs] for model, runs in ordered.items()}
            lines += _lines(made, rules)
        except TrainingError as error:
            refused.append(str(error))
    return Comparison(lines=tuple(lines), refused=tuple(refused))


def _lines(by_model: Mapping[str, Sequence[Task]], rules: Rules) -> list[Line]:
    task = next(iter(by_model.values()))[0]
    try:
        folds = folds_of(task, rules)
    except TrainingError as error:
        raise TrainingError(f"task {task.name}: {error}") from error
    return [_line(by_model, folds, method, rules) for method in METHODS]


def _line(
    by_model: Mapping[str, Sequence[Task]], folds: Sequence[Fold], method: Method, rules: Rules
) -> Line:
    statistics: dict[str, list[Statistic]] = {model: [] for model in by_model}
    capped = 0
    for model, runs in by_model.items():
        for own in runs:
            given = answers(own, folds, method, rules)
            statistics[model].append(statistic_of(own, folds, given, rules))
            capped += given.capped
    task = next(iter(by_model.values()))[0]
    scores = {model: score(task, runs, rules) for model, runs in statistics.items()}
    (_, mine), *others = statistics.items()
    return Line(
        task=task.name,
        metric=task.metric,
        method=method,
        samples=len(task.truth),
        left_out=task.left_out,
        folds=len(folds),
        k=task.k,
        scores=scores,
        differences={model: paired(task, mine, theirs, rules) for model, theirs in others},
        note=_note_of(task, folds, scores, capped),
    )


def _note_of(task: Task, folds: Sequence[Fold], scores: Mapping[str, Score], capped: int) -> str:
    """What a reader must know of a line before believing it."""
    said = []
    if task.left_out:
        said.append(f"{task.left_out} samples without label left out")
    apart = sum(fold.left_out for fold in folds) / len(folds)
    if apart:
        said.append(f"{apart:.0f} samples a fold left out near the tested")
    fewest = min(fold.test.size for fold in folds)
    if fewest < _FEW:
        said.append(f"only {fewest} samples in the smallest fold")
    unseen = _never_trained(task, folds)
    if unseen:
        said.append(f"{unseen} samples of classes that their fold does not train on")
    if capped:
        said.append(f"{capped} probes still improving at the last epoch")
    if any(math.isnan(one.value) for one in scores.values()):
        said.append("not defined: no class or target varies among the tested")
    undefined = max(one.interval.undefined for one in scores.values())
    if undefined:
        said.append(f"{undefined} draws of the bootstrap without a score")
    return "; ".join(said)


def _never_trained(task: Task, folds: Sequence[Fold]) -> int:
    if task.kind != "single":
        return 0
    return sum(int((~np.isin(task.truth[f.test], task.truth[f.train])).sum()) for f in folds)


def _plain_score(value: Score) -> dict[str, Any]:
    numbers = {"value": value.value, "low": value.interval.low, "high": value.interval.high}
    return {
        **{name: _plain(number) for name, number in numbers.items()},
        "by_run": [_plain(number) for number in value.by_run],
        "undefined_draws": value.interval.undefined,
    }


def _plain(number: float) -> float | None:
    return None if math.isnan(number) else number
