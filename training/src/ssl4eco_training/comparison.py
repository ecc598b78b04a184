"""One or several tables of embeddings of the same images, judged on tasks: scores and paired differences."""

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
        plain["scores"] = {model: plain_score(value) for model, value in self.scores.items()}
        plain["differences"] = {model: plain_score(value) for model, value in self.differences.items()}
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The lines of all tasks that could be judged, and why others could not."""

    lines: tuple[Line, ...]
    refused: tuple[str, ...]


def compare(tables: Mapping[str, Embeddings], tasks: Sequence[TaskMaker], rules: Rules) -> Comparison:
    """Every task by every method for every model, the first against the others.

    Folds are those of the first table and the same for all. Raises TrainingError for tables of different
    images, and when no task could be judged.
    """
    ordered = {model: table.ordered() for model, table in tables.items()}
    first = next(iter(ordered.values()))
    for other in ordered.values():
        refuse_unlike(first, other)
    lines: list[Line] = []
    refused = []
    for make in tasks:
        try:
            lines += _lines({model: make(table) for model, table in ordered.items()}, rules)
        except TrainingError as error:
            refused.append(str(error))
    if not lines:
        raise TrainingError("no task can be judged: " + "; ".join(refused))
    return Comparison(lines=tuple(lines), refused=tuple(refused))


def _lines(by_model: Mapping[str, Task], rules: Rules) -> list[Line]:
    task = next(iter(by_model.values()))
    try:
        folds = folds_of(task, rules)
    except TrainingError as error:
        raise TrainingError(f"task {task.name}: {error}") from error
    return [_line(by_model, task, folds, method, rules) for method in METHODS]


def _line(
    by_model: Mapping[str, Task], task: Task, folds: Sequence[Fold], method: Method, rules: Rules
) -> Line:
    statistics: dict[str, Statistic] = {}
    capped = 0
    for model, own in by_model.items():
        given = answers(own, folds, method, rules)
        statistics[model] = statistic_of(own, folds, given, rules)
        capped += given.capped
    scores = {model: score(task, statistic, rules) for model, statistic in statistics.items()}
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
        note=note_of(task, folds, scores, capped),
    )


def note_of(task: Task, folds: Sequence[Fold], scores: Mapping[str, Score], capped: int) -> str:
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


def plain_score(value: Score) -> dict[str, float | int | None]:
    numbers = {"value": value.value, "low": value.interval.low, "high": value.interval.high}
    return {
        **{name: None if math.isnan(number) else number for name, number in numbers.items()},
        "undefined_draws": value.interval.undefined,
    }
