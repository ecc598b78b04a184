"""Scores of several encoders of each arm on one dataset: means over the seeds, and the paired difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl4eco_training.claim_pair import ARMS
from ssl4eco_training.comparison import TaskMaker, note_of, plain_score
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
from ssl4eco_training.metrics import Floats, Statistic, unweighted
from ssl4eco_training.tasks import Task

RANDOM = "random"
Tables = Mapping[str, Sequence[Embeddings]]
"""Embeddings of one dataset by arm (and ``RANDOM``), one table per seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLine:
    """A task by a method on the images of ``judged_on``.

    ``scores`` are means over the seeds, by arm and for random encoders; ``difference`` is the phenological
    mean less the calendar's, ``by_seed`` that of each pair of runs. Intervals are over locations.
    """

    judged_on: str
    task: str
    metric: str
    method: Method
    samples: int
    folds: int
    k: int
    scores: Mapping[str, Score]
    difference: Score
    by_seed: tuple[float, ...]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not defined is None."""
        names = ("judged_on", "task", "metric", "method", "samples", "folds", "k", "note")
        return {
            **{name: getattr(self, name) for name in names},
            "scores": {arm: plain_score(value) for arm, value in self.scores.items()},
            "difference": plain_score(self.difference),
            "difference_by_seed": [None if math.isnan(value) else value for value in self.by_seed],
        }


def claim_lines(
    judged_on: str, tables: Tables, tasks: Sequence[TaskMaker], rules: Rules
) -> tuple[list[ClaimLine], list[str]]:
    """(the lines of all tasks that could be judged, why others could not).

    Folds are the same for all arms and seeds. Raises TrainingError for tables of different images.
    """
    ordered = {arm: [table.ordered() for table in each] for arm, each in tables.items()}
    first = ordered[ARMS[0]][0]
    for table in (table for each in ordered.values() for table in each):
        refuse_unlike(first, table)
    lines: list[ClaimLine] = []
    refused = []
    for make in tasks:
        try:
            given = {arm: [make(table) for table in each] for arm, each in ordered.items()}
            folds = folds_of(given[ARMS[0]][0], rules)
        except TrainingError as error:
            refused.append(f"{judged_on}: {error}")
            continue
        lines += [_line(judged_on, given, folds, method, rules) for method in METHODS]
    return lines, refused


def mean_of(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of statistics of the same samples; NaN where one of them is."""

    def statistic(weights: Floats) -> float:
        return float(np.mean([one(weights) for one in statistics]))

    return statistic


def _line(
    judged_on: str,
    given: Mapping[str, Sequence[Task]],
    folds: Sequence[Fold],
    method: Method,
    rules: Rules,
) -> ClaimLine:
    capped = 0
    statistics: dict[str, list[Statistic]] = {arm: [] for arm in given}
    for arm, each in given.items():
        for task in each:
            answered = answers(task, folds, method, rules)
            capped += answered.capped
            statistics[arm].append(statistic_of(task, folds, answered, rules))
    task = given[ARMS[0]][0]
    means = {arm: mean_of(each) for arm, each in statistics.items()}
    scores = {arm: score(task, statistic, rules) for arm, statistic in means.items()}
    n = len(task.truth)
    pairs = zip(*(statistics[arm] for arm in ARMS), strict=True)
    return ClaimLine(
        judged_on=judged_on,
        task=task.name,
        metric=task.metric,
        method=method,
        samples=n,
        folds=len(folds),
        k=task.k,
        scores=scores,
        difference=paired(task, means[ARMS[0]], means[ARMS[1]], rules),
        by_seed=tuple(unweighted(one, n) - unweighted(other, n) for one, other in pairs),
        note=note_of(task, folds, scores, capped),
    )
