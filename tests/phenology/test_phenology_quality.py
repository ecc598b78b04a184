"""Quality of a date, quantiles by selection and the cleaning, against plain code that looks at everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_data.phenology import cleaning, quality, selection
from ssl4eco_data.phenology.compiled import quantile

SPIKE_DEPTH = 0.06


def plain_class(full, fitted, at_day):
    """The class from its definition; days are counted a hundred a day, so near an edge it may be one off."""
    day, value, weight, kind = full
    real = kind != cleaning.FILLED
    near = real & (np.abs(day - at_day) <= 14)
    grid = np.arange(at_day - 14 + 0.005, at_day + 14, 0.01)
    observed = (np.abs(grid[:, None] - day[real]) <= 8).any(axis=1).mean() if real.any() else 0.0
    explained = 0.0
    if near.any():
        mean = np.average(value[near], weights=weight[near])
        squares = np.sum(weight[near] * (value[near] - mean) ** 2)
        if squares > 1e-15:
            explained = max(0.0, 1 - np.sum(weight[near] * (value[near] - fitted[near]) ** 2) / squares)
    return observed, (4 * observed + explained) / 5


@st.composite
def series(draw):
    """(4, n) cleaned series with gaps, snow and fillings, and a curve beside it."""
    n = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    day = np.cumsum(rng.choice([0.6, 3.0, 8.0, 16.0, 40.0], n))
    kind = rng.choice([cleaning.SEEN, cleaning.SNOW, cleaning.FILLED], n, p=[0.7, 0.15, 0.15])
    full = np.array([day, rng.normal(0.4, 0.2, n), rng.uniform(0.1, 1, n), kind])
    return full, full[1] + rng.normal(0, 0.05, n)


@given(series(), st.floats(-60, 800))
@settings(max_examples=200, deadline=None)
def test_class_and_share_equal_plain_code(given_series, at_day):
    full, fitted = given_series
    observed, score = plain_class(full, fitted, at_day)
    assert 1 - quality.unobserved_share(full, at_day) == pytest.approx(observed, abs=2e-3)
    if abs(score * 4 - round(score * 4)) > 0.01:
        assert quality.quality_of(full, fitted, at_day) == 3 - min(int(score * 4), 3)


def test_the_class_counts_observations_at_the_very_edge():
    full = np.array([[0.0, 28.0], [0.2, 0.6], [1.0, 1.0], [0.0, 0.0]])
    assert quality.quality_of(full, full[1], 14.0) == 1
    assert quality.quality_of(full, full[1, ::-1].copy(), 14.0) == 2, "a curve that explains nothing"
    assert quality.unobserved_share(full, 14.0) == pytest.approx(12 / 28)
    assert quality.unobserved_share(full, 50.0) == 1.0
    assert quality.unobserved_share(full, 49.0) == pytest.approx(27 / 28)


@given(
    st.lists(st.floats(-1, 1) | st.sampled_from([0.0, 0.5]), min_size=1, max_size=80),
    st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
def test_a_selected_quantile_is_the_sorted_one(values, share):
    array = np.array(values)
    assert selection.quantile_of_scratch(array.copy(), share) == quantile(array, share)
    assert quantile(array, share) == pytest.approx(np.quantile(array, share), abs=1e-12)


def plain_despike(seen, depth):
    """What ``despike`` says, observation by observation."""
    for _ in range(5):
        free = np.flatnonzero(seen[3] == cleaning.SEEN)
        gone = []
        for a, i, b in zip(free[:-2], free[1:-1], free[2:], strict=True):
            line = np.interp(seen[0, i], seen[0, [a, b]], seen[1, [a, b]])
            drop = line - seen[1, i]
            if seen[0, b] - seen[0, a] <= 45 and drop > depth and drop > 2 * abs(seen[1, b] - seen[1, a]):
                gone.append(i)
        if not gone:
            break
        seen = np.delete(seen, gone, axis=1)
    return seen


@given(seed=st.integers(0, 10_000), n=st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_spikes_go_as_one_by_one(seed, n):
    rng = np.random.default_rng(seed)
    kind = rng.choice([cleaning.SEEN, cleaning.SNOW], n, p=[0.9, 0.1])
    seen = np.array([np.cumsum(rng.choice([1.0, 8.0, 30.0], n)), rng.normal(0.4, 0.1, n), np.ones(n), kind])
    before = seen.copy()
    np.testing.assert_array_equal(cleaning.despike(seen, SPIKE_DEPTH), plain_despike(before, SPIKE_DEPTH))
    np.testing.assert_array_equal(seen, before)


@given(seed=st.integers(0, 10_000), n=st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_observations_in_order_need_no_sorting(seed, n):
    """The same, whether they come by day or not; those of one day keep their order."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, 30, n).astype(float))
    seam = np.flatnonzero(np.diff(day) > 0)
    turn = int(seam[seam.size // 2]) + 1 if seam.size else 0
    day[rng.random(n) < 0.1] = np.nan
    value = rng.choice([0.1, 0.4, np.nan, 9.0], n)
    weight, snow = rng.choice([0.0, 0.5, 1.0, np.inf], n), rng.random(n) < 0.2
    # Turned between two days: days are out of order, and those of one day still come in their order.
    turned = (np.roll(a, -turn) for a in (day, value, weight, snow))
    first = cleaning.gather(day, value, weight, snow, -0.5, 1.5)
    np.testing.assert_array_equal(first, cleaning.gather(*turned, -0.5, 1.5))
    assert (np.diff(first[0]) >= 1).all()
