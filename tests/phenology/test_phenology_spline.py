"""The smoothing spline against dense algebra, and the cleaning of raw observations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_data.phenology import cleaning, spline


def dense(day, weight, strength):
    """The hat matrix of the natural cubic smoothing spline, from its definition."""
    n = day.size
    h = np.diff(day)
    q, r = np.zeros((n, n - 2)), np.zeros((n - 2, n - 2))
    for j in range(n - 2):
        q[j : j + 3, j] = 1 / h[j], -1 / h[j] - 1 / h[j + 1], 1 / h[j + 1]
        r[j, j] = (h[j] + h[j + 1]) / 3
        if j + 1 < n - 2:
            r[j, j + 1] = r[j + 1, j] = h[j + 1] / 6
    return np.linalg.inv(np.diag(weight) + strength * q @ np.linalg.inv(r) @ q.T) @ np.diag(weight)


@given(seed=st.integers(0, 10_000), n=st.integers(4, 40), bandwidth=st.floats(2, 20))
@settings(max_examples=40, deadline=None)
def test_fit_and_leverage_equal_dense_algebra(seed, n, bandwidth):
    rng = np.random.default_rng(seed)
    day = np.cumsum(rng.uniform(1, 30, n))
    value, weight = rng.normal(0.4, 0.2, n), rng.uniform(0.05, 1, n)
    strength = spline.penalty(day, bandwidth)
    bands, curvature, fitted, diagonal = np.empty((3, n)), np.empty(n), np.empty(n), np.empty(n)
    spline.fit(day, value, weight, strength, bands, curvature, fitted)
    spline.leverage(day, weight, strength, bands, diagonal)
    hat = dense(day, weight, strength)
    np.testing.assert_allclose(fitted, hat @ value, atol=1e-7)
    np.testing.assert_allclose(diagonal, np.diag(hat), atol=1e-7)
    middle = (day[:-1] + day[1:]) / 2
    reference = pytest.importorskip("scipy.interpolate").CubicSpline(day, fitted, bc_type="natural")
    ours = [spline.evaluate(day, fitted, curvature, d) for d in middle]
    np.testing.assert_allclose(ours, reference(middle), atol=1e-6)


def gathered(day, value, weight=None, snow=None):
    day, value = np.asarray(day, float), np.asarray(value, float)
    weight = np.ones(day.size) if weight is None else np.asarray(weight, float)
    snow = np.zeros(day.size, bool) if snow is None else np.asarray(snow, bool)
    return cleaning.gather(day, value, weight, snow, -0.5, 1.5)


def test_gather_drops_what_is_no_observation():
    seen = gathered(
        [0, 8, np.nan, 24, 32, 40, 48], [0.2, np.nan, 0.3, 9.0, 0.4, np.inf, 0.5], [1, 1, 1, 1, 0, 1, 1]
    )
    assert seen[0].tolist() == [0, 48]


def test_gather_sorts_and_merges_a_day_with_snow_free_first():
    seen = gathered([20, 0, 20, 20], [0.4, 0.2, 0.0, 0.6], snow=[False, False, True, False])
    assert seen[0].tolist() == [0, 20]
    assert seen[1, 1] == pytest.approx(0.5)
    assert seen[3].tolist() == [cleaning.SEEN, cleaning.SEEN]


def test_despike_takes_drops_but_not_dips_or_long_spans():
    day = np.arange(6) * 8.0
    value = np.array([0.5, 0.5, 0.3, 0.5, 0.5, 0.5])
    assert cleaning.despike(gathered(day, value), 0.06).shape[1] == 5
    assert cleaning.despike(gathered(day * 4, value), 0.06).shape[1] == 6
    harvest = np.array([0.5, 0.5, 0.45, 0.3, 0.25, 0.25])
    assert cleaning.despike(gathered(day, harvest), 0.06).shape[1] == 6


def test_snow_takes_the_floor_and_gaps_between_snow_are_filled():
    day = np.array([0.0, 40.0, 80.0, 120.0, 160.0])
    seen = gathered(day, [0.0, 0.05, 0.3, 0.4, 0.35], snow=[1, 1, 0, 0, 0])
    level = cleaning.background(seen, 0.12)
    full = cleaning.fill_snow(seen, level)
    filled = full[:, full[3] == cleaning.FILLED]
    assert level > 0.3
    assert full[1, 0] == level
    assert filled.shape[1] == 4
    assert filled[0].tolist() == [8, 16, 24, 32]
    assert full.shape[1] == 9, "the gap from snow to the first snow-free date stays a gap"


def test_polar_night_is_missing_and_not_snow():
    seen = gathered([0.0, 90.0, 180.0], [0.3, 0.3, 0.3])
    assert cleaning.fill_snow(seen, 0.12).shape[1] == 3
