"""Scores of predictions, each as a function of the samples' weights, so that a bootstrap can ask again.

A metric takes truth and predictions once and gives a :data:`Statistic`: from weights ``(n,)`` (how often each
sample counts) to a number, NaN where the score is not defined. :func:`unweighted` asks with all weights 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], float]
Kind = Literal["single", "multi", "regression"]
METRICS: dict[str, tuple[str, ...]] = {
    "single": ("macro_f1", "micro_f1", "accuracy"),
    "multi": ("micro_f1", "micro_map"),
    "regression": ("mean_r2",),
}
"""The metrics of each kind of task, the usual one first."""
_THRESHOLD = 0.5


def metric(name: str, kind: Kind, truth: npt.NDArray[Any], output: Floats) -> Statistic:
    """The metric ``name`` of outputs ``(n, l)``.

    *single*: truth ``(n,)`` codes, outputs a score per class, the first highest decides. *multi*: truth
    ``(n, l)`` bool, outputs probabilities, 0.5 and more decide. *regression*: both ``(n, l)`` values.
    Raises ``ValueError`` for a metric that the kind does not have.
    """
    if name not in METRICS[kind]:
        raise ValueError(f"a {kind} task has the metrics {', '.join(METRICS[kind])}, got {name!r}")
    if kind == "regression":
        return mean_r2(truth, output)
    if kind == "multi":
        return micro_map(truth, output) if name == "micro_map" else micro_f1(truth, output >= _THRESHOLD)
    decided = output.argmax(axis=1)
    return macro_f1(truth, decided, output.shape[1]) if name == "macro_f1" else accuracy(truth, decided)


def unweighted(statistic: Statistic, samples: int) -> float:
    """The statistic with every sample once; NaN for none."""
    return statistic(np.ones(samples)) if samples else float("nan")


def accuracy(truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> Statistic:
    """Share of samples that are right; the micro F1 of a single-label task is the same."""
    right = (truth == predicted).astype(np.float64)
    return lambda weights: _ratio(float(weights @ right), float(weights.sum()))


def macro_f1(truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: int) -> Statistic:
    """Mean over classes of 2 TP / (2 TP + FP + FN).

    A class that is neither in the truth nor predicted has no F1 and is left out of the mean
    (:func:`scored_classes` counts the others); one that is predicted but never true has 0.
    """
    right = truth == predicted

    def statistic(weights: Floats) -> float:
        hits = np.bincount(truth[right], weights[right], classes)
        total = np.bincount(truth, weights, classes) + np.bincount(predicted, weights, classes)
        scored = total > 0
        return float((2 * hits[scored] / total[scored]).mean()) if scored.any() else float("nan")

    return statistic


def scored_classes(truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]) -> int:
    """How many classes are true or predicted at least once."""
    return int(np.union1d(truth, predicted).size)


def micro_f1(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> Statistic:
    """2 TP / (2 TP + FP + FN) over all samples and labels ``(n, l)``; NaN when none is true or predicted."""
    hits = (truth & predicted).sum(axis=1).astype(np.float64)
    total = truth.sum(axis=1) + predicted.sum(axis=1).astype(np.float64)
    return lambda weights: _ratio(float(2 * weights @ hits), float(weights @ total))


def micro_map(truth: npt.NDArray[np.bool_], scores: Floats) -> Statistic:
    """Average precision over all pairs of sample and label ``(n, l)``; NaN when no label is true.

    Sum over thresholds t of (recall(t) - recall(before t)) x precision(t), without interpolation, equal
    scores being one threshold.
    """
    order = np.argsort(-scores, axis=None, kind="stable")
    sample = order // max(1, scores.shape[1])
    true = truth.ravel()[order].astype(np.float64)
    ranked = scores.ravel()[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)

    def statistic(weights: Floats) -> float:
        if not ranked.size:
            return float("nan")
        drawn = weights[sample]
        hits, chosen = np.cumsum(drawn * true)[last], np.cumsum(drawn)[last]
        if hits[-1] == 0:
            return float("nan")
        precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
        return float((np.diff(hits, prepend=0.0) * precision).sum() / hits[-1])

    return statistic


def mean_r2(truth: Floats, predicted: Floats) -> Statistic:
    """Mean over targets ``(n, t)`` of 1 - sum (y - f)^2 / sum (y - mean y)^2.

    A target that does not vary has no R2 and is left out; NaN when none varies.
    """
    squares = (truth - predicted) ** 2

    def statistic(weights: Floats) -> float:
        count = float(weights.sum())
        if count == 0:
            return float("nan")
        spread = weights @ (truth - weights @ truth / count) ** 2
        varies = spread > 1e-12 * np.maximum(1e-300, weights @ truth**2)
        if not varies.any():
            return float("nan")
        return float((1 - (weights @ squares)[varies] / spread[varies]).mean())

    return statistic


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
