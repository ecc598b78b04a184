"""Bootstrap intervals cover, draw whole locations, and pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ssl4eco_training.intervals import bootstrap, difference
from ssl4eco_training.metrics import Floats, Statistic


def mean_of(values: Floats) -> Statistic:
    return lambda weights: float(weights @ values / weights.sum())


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        values = rng.normal(3.0, 1.0, 40)
        interval = bootstrap([mean_of(values)], np.arange(40), seed=trial, draws=200)
        covered += interval.low <= 3.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_locations_are_drawn_with_all_their_samples() -> None:
    """Ten locations of twenty equal samples: as wide as for ten samples, not as for two hundred."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=10)
    ten = bootstrap([mean_of(values)], np.arange(10), seed=0)
    clustered = bootstrap([mean_of(np.repeat(values, 20))], np.repeat(np.arange(10), 20), seed=0)
    apart = bootstrap([mean_of(np.repeat(values, 20))], np.arange(200), seed=0)
    assert (clustered.low, clustered.high) == pytest.approx((ten.low, ten.high))
    assert apart.high - apart.low < 0.4 * (clustered.high - clustered.low)


def test_paired_differences_are_narrower_than_those_of_strangers() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(size=100)
    first, second = hard + 0.1 + 0.01 * rng.normal(size=100), hard
    paired = bootstrap([difference(mean_of(first), mean_of(second))], np.arange(100), seed=0)
    alone = bootstrap([mean_of(first)], np.arange(100), seed=0)
    assert 0 < paired.low < 0.1 < paired.high
    assert paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_runs_that_differ_widen_the_interval() -> None:
    """Ten runs that differ much, locations that hardly do: the interval is that of the runs."""
    rng = np.random.default_rng(4)
    levels, values = rng.normal(size=10), 0.01 * rng.normal(size=50)
    alike = bootstrap([mean_of(values)] * 10, np.arange(50), seed=0)
    apart = bootstrap([mean_of(values + level) for level in levels], np.arange(50), seed=0)
    assert (alike.low, alike.high) == pytest.approx((-0.003, 0.003), abs=0.003)
    # the standard error of a mean of ten, as the bootstrap sees it
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * levels.std() / 10**0.5, rel=0.1)
    assert apart.low < levels.mean() < apart.high


def test_runs_and_locations_add_up() -> None:
    """Effects of runs and of locations are drawn independently: their variances add."""
    rng = np.random.default_rng(5)
    levels, values = rng.normal(size=8), rng.normal(size=40)
    runs = [mean_of(values + 0.5 * level) for level in levels]
    both = bootstrap(runs, np.arange(40), seed=0)
    of_runs, of_locations = 0.5 * levels.std() / 8**0.5, values.std() / 40**0.5
    assert both.high - both.low == pytest.approx(2 * 1.96 * np.hypot(of_runs, of_locations), rel=0.1)


def test_runs_are_paired() -> None:
    """What a seed does to both arms cancels, whatever the seeds are that are drawn."""
    values = np.random.default_rng(6).normal(size=30)
    first = [mean_of(values + 0.1 + level) for level in (0.0, 5.0, -7.0)]
    second = [mean_of(values + level) for level in (0.0, 5.0, -7.0)]
    paired = bootstrap([difference(*pair) for pair in zip(first, second, strict=True)], np.arange(30), seed=0)
    assert (paired.low, paired.high) == pytest.approx((0.1, 0.1))


def test_a_draw_counts_each_run_as_often_as_it_is_drawn() -> None:
    """Two runs at 0 and 1: a mean of two draws is 0, 1/2 or 1."""
    values = bootstrap([lambda _: 0.0, lambda _: 1.0], np.arange(5), seed=0, level=0.4)
    assert (values.low, values.high) == (0.5, 0.5)
    wide = bootstrap([lambda _: 0.0, lambda _: 1.0], np.arange(5), seed=0, level=0.6)
    assert (wide.low, wide.high) == (0.0, 1.0)


def test_draws_without_a_score_are_left_out_and_counted() -> None:
    def rarely(weights: Floats) -> float:
        return 1.0 if weights[0] else float("nan")

    def hardly(weights: Floats) -> float:
        return 1.0 if weights[0] >= 3 else float("nan")

    some = bootstrap([rarely], np.arange(20), seed=0, draws=500)
    assert (some.low, some.high) == (1, 1)
    assert 500 * 0.28 < some.undefined < 500 * 0.44  # (1 - 1/20)^20 = 0.36
    assert math.isnan(bootstrap([hardly], np.arange(20), seed=0, draws=500).low)


def test_a_seed_gives_the_same_interval_and_another_one_another() -> None:
    values = np.random.default_rng(3).normal(size=30)
    first, again, other = (bootstrap([mean_of(values)], np.arange(30), seed=s, draws=100) for s in (5, 5, 6))
    assert first == again
    assert first != other


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 1, 0, 10, 0\.95"):
        bootstrap([mean_of(np.empty(0))], np.empty(0, np.int64), seed=0, draws=10)
