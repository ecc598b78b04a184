"""Metrics against their formulas, written out sample by sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl4eco_training.metrics import (
    METRICS,
    accuracy,
    macro_f1,
    mean_r2,
    metric,
    micro_f1,
    micro_map,
    scored_classes,
    unweighted,
)

CODES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


def f1(truth: list[int], predicted: list[int], one: int) -> float | None:
    """2 TP / (2 TP + FP + FN) of one class; None where there is nothing of it."""
    tp = sum(t == p == one for t, p in zip(truth, predicted, strict=True))
    fp = sum(t != p == one for t, p in zip(truth, predicted, strict=True))
    fn = sum(p != t == one for t, p in zip(truth, predicted, strict=True))
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None


def average_precision(truth: list[bool], scores: list[float]) -> float:
    """Over distinct thresholds, from the highest: the gain of recall times the precision."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [t for t, s in zip(truth, scores, strict=True) if s >= threshold]
        recall = sum(chosen) / sum(truth)
        total += (recall - before) * sum(chosen) / len(chosen)
        before = recall
    return total


@given(CODES)
def test_macro_f1_and_accuracy_follow_the_formulas(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = [t for t, _ in pairs], [p for _, p in pairs]
    each = [value for one in range(4) if (value := f1(truth, predicted, one)) is not None]

    got = unweighted(macro_f1(np.array(truth), np.array(predicted), 4), len(pairs))

    assert got == pytest.approx(sum(each) / len(each))
    assert len(each) == scored_classes(np.array(truth), np.array(predicted))
    right = unweighted(accuracy(np.array(truth), np.array(predicted)), len(pairs))
    assert right == pytest.approx(np.mean(np.array(truth) == np.array(predicted)))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40).filter(
        lambda x: any(t for t, _ in x)
    )
)
def test_average_precision_follows_the_formula_with_equal_scores(pairs: list[tuple[bool, int]]) -> None:
    pairs = pairs[: len(pairs) // 2 * 2]
    truth, scores = [t for t, _ in pairs], [s / 4 for _, s in pairs]
    got = unweighted(
        micro_map(np.array(truth).reshape(-1, 2), np.array(scores).reshape(-1, 2)), len(pairs) // 2
    )
    if any(truth):
        assert got == pytest.approx(average_precision(truth, scores))
    else:
        assert math.isnan(got)


def test_average_precision_of_a_worked_example() -> None:
    """Truth 0 0 1 1 with scores .1 .4 .35 .8: 0.5 x 1 + 0.5 x 2/3."""
    truth, scores = np.array([[0, 0, 1, 1]], bool).T, np.array([[0.1, 0.4, 0.35, 0.8]]).T
    assert unweighted(micro_map(truth, scores), 4) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_micro_f1_of_labels_follows_the_formula() -> None:
    truth = np.array([[1, 0, 1], [0, 1, 0]], bool)
    predicted = np.array([[1, 1, 0], [0, 1, 1]], bool)
    tp, fp, fn = 2, 2, 1
    assert unweighted(micro_f1(truth, predicted), 2) == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_mean_r2_follows_the_formula_and_leaves_constant_targets_out() -> None:
    truth = np.array([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    predicted = np.array([[1.5, 4.0], [2.0, 5.0], [3.0, 5.0]])
    mean = 7 / 3
    expected = 1 - (0.25 + 0 + 1) / ((1 - mean) ** 2 + (2 - mean) ** 2 + (4 - mean) ** 2)
    assert unweighted(mean_r2(truth, predicted), 3) == pytest.approx(expected)


@given(CODES, st.integers(0, 2**31))
def test_a_weight_of_two_is_a_sample_twice(pairs: list[tuple[int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(pairs)
    times = rng.integers(0, 3, n)
    labels = rng.random((n, 2)) < 0.5
    values, guesses = rng.normal(size=(n, 2)), rng.normal(size=(n, 2))
    codes = np.array(pairs)

    def made(which: np.ndarray) -> list[object]:
        return [
            macro_f1(codes[which, 0], codes[which, 1], 4),
            accuracy(codes[which, 0], codes[which, 1]),
            micro_f1(labels[which], guesses[which] > 0),
            micro_map(labels[which], guesses[which]),
            mean_r2(values[which], guesses[which]),
        ]

    repeated = np.repeat(np.arange(n), times)
    for weighted, plain in zip(made(np.arange(n)), made(repeated), strict=True):
        wanted = unweighted(plain, len(repeated))  # type: ignore[arg-type]
        assert weighted(times.astype(float)) == pytest.approx(wanted, rel=1e-6, abs=1e-9, nan_ok=True)  # type: ignore[operator]


def test_scores_without_meaning_are_nan() -> None:
    nothing, none = np.zeros((3, 2), bool), np.zeros(0, int)
    assert math.isnan(unweighted(micro_f1(nothing, nothing), 3))
    assert math.isnan(unweighted(micro_map(nothing, np.ones((3, 2))), 3))
    assert math.isnan(unweighted(mean_r2(np.full((3, 1), 0.1), np.zeros((3, 1))), 3))
    assert math.isnan(unweighted(macro_f1(none, none, 2), 0))
    assert math.isnan(accuracy(np.zeros(2, int), np.zeros(2, int))(np.zeros(2)))


def test_a_class_that_is_predicted_but_never_true_counts_as_zero() -> None:
    truth, predicted = np.array([0, 0, 0]), np.array([0, 0, 1])
    assert unweighted(macro_f1(truth, predicted, 3), 3) == pytest.approx((0.8 + 0) / 2)


def test_metrics_are_chosen_by_name_and_kind() -> None:
    truth, scores = np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]])
    assert unweighted(metric("accuracy", "single", truth, scores), 2) == 0.5
    assert unweighted(metric("micro_f1", "single", truth, scores), 2) == 0.5
    assert unweighted(metric("macro_f1", "single", truth, scores), 2) == pytest.approx((2 / 3 + 0) / 2)
    labels = np.array([[1, 0], [0, 1]], bool)
    assert unweighted(metric("micro_f1", "multi", labels, scores), 2) == pytest.approx(2 * 1 / 4)
    with pytest.raises(ValueError, match=r"mean_r2, got 'accuracy'"):
        metric("accuracy", "regression", truth, scores)
    assert set(METRICS) == {"single", "multi", "regression"}
