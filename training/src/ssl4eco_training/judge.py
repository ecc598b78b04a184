"""Scores of embeddings on a task: k-NN and a linear probe over folds, with intervals, alone or in pairs.

Under the *paper* protocol folds are by chance and a score is the mean over the folds; under the *corrected*
one folds are blocks of the globe and the score is that of all tested samples together, which no small fold
distorts. Both have bootstrap intervals over locations (and over training runs where there are several), and
both test each sample once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import FOLDS, Blocks, Fold, random_folds, spatial_folds
from ssl4eco_training.intervals import DRAWS, Interval, bootstrap, difference
from ssl4eco_training.knn import knn
from ssl4eco_training.metrics import Floats, Statistic, metric, unweighted
from ssl4eco_training.probe import Labelled, ProbeParameters, Protocol, linear_probe
from ssl4eco_training.random import names
from ssl4eco_training.tasks import Task

Method = Literal["k-NN", "linear"]
METHODS: tuple[Method, ...] = ("k-NN", "linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a task is judged; ``draws`` of the bootstrap."""

    protocol: Protocol = "corrected"
    seed: int = 0
    folds: int = FOLDS
    blocks: Blocks = field(default_factory=Blocks)
    probe: ProbeParameters = field(default_factory=ProbeParameters)
    draws: int = DRAWS
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a method says of all samples, each when it was tested: ``output`` ``(n, l)``.

    ``epochs`` are those of each fold's probe that are reported; ``capped`` of them were still improving.
    """

    output: Floats
    epochs: tuple[int, ...] = ()
    capped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A score or a difference, the mean of those of each training run; NaN where it is not defined."""

    value: float
    interval: Interval
    by_run: tuple[float, ...]


def folds_of(task: Task, rules: Rules) -> tuple[Fold, ...]:
    """The folds of a task's samples, the same for every encoder."""
    samples = task.embeddings
    locations = names(samples.location_id.tolist())
    if rules.protocol == "paper":
        return random_folds(locations, rules.seed, rules.folds)
    return spatial_folds(locations, samples.lon_deg, samples.lat_deg, rules.seed, rules.blocks, rules.folds)


def answers(task: Task, folds: Sequence[Fold], method: Method, rules: Rules) -> Answers:
    """The method's answers for every sample of a task; k-NN knows the samples to train and to validate on."""
    features_ND = torch.from_numpy(task.embeddings.vectors).float().to(rules.device)
    targets = _targets(task).to(rules.device)
    output = np.full((len(features_ND), len(task.outputs)), np.nan)
    epochs, capped = [], 0
    for number, fold in enumerate(folds):
        test_ND = features_ND[_on(fold.test, rules)]
        if method == "k-NN":
            known = _on(np.concatenate([fold.train, fold.validation]), rules)
            out = knn(features_ND[known], _as_numbers(task, targets[known]), test_ND, task.k)
        else:
            probe = linear_probe(
                *(
                    Labelled(features_ND=features_ND[part], targets=targets[part])
                    for part in (_on(fold.train, rules), _on(fold.validation, rules))
                ),
                kind=task.kind,
                outputs=len(task.outputs),
                protocol=rules.protocol,
                seed=rules.seed + number,
                how=rules.probe,
            )
            out = probe(test_ND)
            epochs.append(probe.reported)
            capped += probe.capped
        output[fold.test] = out.double().cpu().numpy()
    return Answers(output=output, epochs=tuple(epochs), capped=capped)


def statistic_of(task: Task, folds: Sequence[Fold], given: Answers, rules: Rules) -> Statistic:
    """The task's metric by the protocol, as a function of the weights of the samples."""
    if rules.protocol == "corrected":
        return metric(task.metric, task.kind, task.truth, given.output)
    tests = [fold.test for fold in folds]
    each = [metric(task.metric, task.kind, task.truth[test], given.output[test]) for test in tests]

    def statistic(weights: Floats) -> float:
        values = [one(weights[test]) for one, test in zip(each, tests, strict=True)]
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")

    return statistic


def score(task: Task, runs: Sequence[Statistic], rules: Rules) -> Score:
    """The mean of a statistic over runs, of the samples as they are, and its interval."""
    by_run = tuple(unweighted(run, len(task.truth)) for run in runs)
    interval = bootstrap(runs, _groups(task), seed=rules.seed, draws=rules.draws)
    return Score(value=float(np.mean(by_run)), interval=interval, by_run=by_run)


def paired(task: Task, first: Sequence[Statistic], second: Sequence[Statistic], rules: Rules) -> Score:
    """``first - second`` of each pair of runs on the same samples and folds: their mean, its interval."""
    return score(task, [difference(*pair) for pair in zip(first, second, strict=True)], rules)


def refuse_unlike(first: Embeddings, second: Embeddings) -> None:
    """Raises TrainingError when two tables are not of the same images, in the same order."""
    if first.dataset != second.dataset:
        raise TrainingError(
            f"{first.model} and {second.model} are of datasets {first.dataset[:12]} and "
            f"{second.dataset[:12]}: embed the "
            "same dataset with both"
        )
    same = first.location_id.shape == second.location_id.shape and (
        (first.location_id == second.location_id).all() and (first.season == second.season).all()
    )
    if not same:
        raise TrainingError(
            f"{first.model} has {len(first.season)} embeddings and {second.model} {len(second.season)}, "
            "of different "
            "images: embed the same split with both"
        )


def _targets(task: Task) -> Tensor:
    truth: npt.NDArray[Any] = task.truth if task.kind == "single" else task.truth.astype(np.float32)
    return torch.from_numpy(truth)


def _as_numbers(task: Task, targets: Tensor) -> Tensor:
    return functional.one_hot(targets, len(task.outputs)).float() if task.kind == "single" else targets


def _on(places: npt.NDArray[np.int64], rules: Rules) -> Tensor:
    return torch.from_numpy(places).to(rules.device)


def _groups(task: Task) -> npt.NDArray[np.int64]:
    groups: npt.NDArray[np.int64] = np.unique(task.embeddings.location_id, return_inverse=True)[1].astype(
        np.int64
    )
    return groups
