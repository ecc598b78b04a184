"""Several smoothing splines at once against one after the other; vectors against plain numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_data.phenology import lanes, spline, vectors
from ssl4eco_data.phenology.compiled import compiled

LANES = vectors.LANES
BANDWIDTHS = np.array([5.0, 9.0, 16.0, 30.0])


def one_series(seed, n):
    """(3, n) day, value and weight over three orders of magnitude."""
    rng = np.random.default_rng(seed)
    day = np.cumsum(rng.choice([1.0, 5.0, 8.0, 16.0, 60.0], n)) + rng.uniform(0, 0.4, n)
    return np.array([day, rng.normal(0.4, 0.2, n), 10 ** rng.uniform(-3, 0, n)])


def alone(series, strength):
    """Curvature, fitted values and leverages of one series by the scalar code."""
    n = series.shape[1]
    bands, curvature, fitted, diagonal = np.empty((3, n)), np.empty(n), np.empty(n), np.empty(n)
    spline.fit(*series, strength, bands, curvature, fitted)
    spline.leverage(series[0], series[2], strength, bands, diagonal)
    return curvature, fitted, diagonal


def together(day, value, weight, strengths):
    """The same of all lanes, each (n, LANES); the work arrays start as NaN, so that nothing unset is used."""
    n = day.shape[0]
    bands, out = np.full((3, n, LANES), np.nan), np.full((3, n, LANES), np.nan)
    lanes.fit_lanes(day, value, weight, strengths, bands, out[0], out[1])
    lanes.leverage_lanes(day, weight, strengths, bands, out[2])
    return out


def assert_same(found, expected):
    """Curvature and values to 1e-9; a leverage is one less a product of large numbers, which costs digits."""
    np.testing.assert_allclose(found[:2], expected[:2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=1e-7)


@given(seed=st.integers(0, 10_000), n=st.integers(4, 200))
@settings(max_examples=80, deadline=None)
def test_bandwidths_of_one_series(seed, n):
    series = one_series(seed, n)
    strengths = np.array([[spline.penalty(series[0], h) for h in BANDWIDTHS]])
    found = together(*series, strengths)
    for lane in range(LANES):
        expected = alone(series, strengths[0, lane])
        assert_same(found[:, :, lane], expected)


@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(4, 200), min_size=LANES, max_size=LANES))
@settings(max_examples=80, deadline=None)
def test_series_of_different_lengths(seed, lengths):
    own = [one_series(seed + lane, n) for lane, n in enumerate(lengths)]
    day, value, weight = (np.full((max(lengths), LANES), np.nan) for _ in range(3))
    for lane, series in enumerate(own):
        lanes.place(series, lane, day, value, weight)
    assert (np.diff(day, axis=0) > 0).all()
    strengths = np.array([[spline.penalty(series[0], h) for series, h in zip(own, BANDWIDTHS, strict=True)]])
    found = together(day, value, weight, strengths)
    assert np.isfinite(found).all()
    for lane, series in enumerate(own):
        expected = alone(series, strengths[0, lane])
        assert_same(found[:, : lengths[lane], lane], expected)


@pytest.mark.parametrize("bandwidths", [[9.0], [5.0, 9.0, 16.0, 30.0], np.geomspace(4, 60, 2 * LANES + 1)])
def test_the_best_bandwidth_is_that_of_all_one_by_one(bandwidths):
    """Whatever their number: fewer than lanes, as many, more and some left over."""
    bandwidths, chosen = np.array(bandwidths), set()
    for seed in range(40):
        day, value, weight = one_series(seed, 60)
        value = 0.3 * np.sin(day / (5 + 2 * seed)) + (value - 0.4) * 0.5
        real = (np.arange(60) % 7 > 0).astype(float)
        found = [np.empty(60) for _ in range(3)]
        best, variance = spline.choose(day, value, weight, real, bandwidths, *found)
        scores = {}
        for h in bandwidths[::-1]:
            curves = alone(np.array([day, value, weight]), spline.penalty(day, h))
            scores[h] = spline.cross_validation(value, curves[1], weight, curves[2], real)
        expected = min(scores, key=lambda h: scores[h][0])
        assert best == expected
        assert variance == pytest.approx(scores[best][1], rel=1e-9)
        curves = alone(np.array([day, value, weight]), spline.penalty(day, best))
        assert_same(found, curves)
        chosen.add(best)
    assert len(chosen) >= min(len(bandwidths), 3), "the series must not all want the same"


def test_of_equal_scores_the_smoother_curve_is_taken():
    """All observations but two are fillings: no score, so the widest bandwidth, as before."""
    day, value, weight = one_series(1, 12)
    real = np.zeros(12)
    real[:2] = 1.0
    found = [np.empty(12) for _ in range(3)]
    tiny = np.array([0.01, 0.02, 0.04])
    best, variance = spline.choose(day, value, weight, real, tiny, *found)
    assert best == 0.04
    assert 0.0 < variance < 1e-6, "a sigma of zero would promise certainty"
    np.testing.assert_allclose(found[1], alone(np.array([day, value, weight]), spline.penalty(day, 0.04))[1])


@compiled
def arithmetic(a, b, out):
    """Every operation on vectors and numbers, in both orders."""
    x, y = vectors.row(a, 0), vectors.row(b, 1)
    vectors.set_row(out, 0, (x + y) * (x - y) / y)
    vectors.set_row(out, 1, 2.0 / (3 - x) + (y - 0.5) * 4 + 1 * (0.25 + y / 2.0))


@pytest.mark.parametrize("shape", [(2,), (2, LANES)])
def test_vectors_calculate_as_numbers_do(shape):
    """Compiled code gives what the same source gives in NumPy, for one lane and for all."""
    rng = np.random.default_rng(3)
    a, b = rng.uniform(1, 2, shape), rng.uniform(1, 2, shape)
    out, expected = np.zeros(shape), np.zeros(shape)
    arithmetic(a, b, out)
    arithmetic.py_func(a, b, expected)
    np.testing.assert_allclose(out, expected, rtol=1e-15)


@pytest.mark.parametrize(
    "array", [np.ones((LANES, 3)).T, np.ones((3, LANES), np.float32), np.ones((3, 1, 4))]
)
def test_arrays_that_are_no_lanes_are_refused(array):
    with pytest.raises(Exception, match="No implementation of function"):
        arithmetic(array, array, array)
