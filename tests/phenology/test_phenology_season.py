"""Seasons of two logistic sides: their algebra, their fit, what other years say, and when two are one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phenology_curves import YEAR, crossings_of, season, series_of, yearly
from phenology_report.shapes import draw_curves, observe

from ssl4eco_data.phenology import PhenologyParameters, derive_cycles, smooth
from ssl4eco_data.phenology import expected as expectation
from ssl4eco_data.phenology import season as sides
from ssl4eco_data.phenology import season_fit as fitting
from ssl4eco_data.types import METRICS

PARAMETERS = PhenologyParameters()
START = 17897.0
PEAK, MIDS = METRICS.index("peak"), [METRICS.index("mid_greenup"), METRICS.index("mid_greendown")]
SHARES = np.array([0.15, 0.5, 0.9])
SHAPES = st.tuples(
    st.floats(0.05, 0.2),
    st.floats(0.05, 0.2),
    st.floats(0.3, 0.7),
    st.floats(60, 120),
    st.floats(-3.0, -1.8),
    st.floats(200, 280),
    st.floats(-3.0, -1.8),
    st.floats(-3e-4, 3e-4),
)


def row(shape):
    """A season with its origin halfway between the middles of both sides."""
    return np.array([*shape, 0.5 * (shape[sides.RISE_DAY] + shape[sides.FALL_DAY])])


def values(own, day):
    return np.array([sides.value_and_slope(own, t)[0] for t in day])


def little(amplitude=0.4):
    expected = np.empty((2, sides.SIZE))
    expectation.expect_little(amplitude, expected)
    return expected


@given(x=st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_the_logistic_function(x):
    exact = 1.0 / (1.0 + np.exp(-np.clip(x, -600, 600)))
    assert sides.logistic(x) == pytest.approx(exact, rel=1e-8 if abs(x) < 10 else 1e-4, abs=1e-15)


@given(shape=SHAPES, t=st.floats(0, 365))
@settings(deadline=None)
def test_derivatives_are_those_of_finite_differences(shape, t):
    own, out = row(shape), np.empty(sides.SIZE)
    sides.gradient(own, t, out)
    for k in range(sides.SIZE):
        step = np.zeros(own.size)
        step[k] = 1e-5 if k != sides.DRIFT else 1e-7
        after, before = sides.value_and_slope(own + step, t)[0], sides.value_and_slope(own - step, t)[0]
        assert out[k] == pytest.approx((after - before) / (2 * step[k]), rel=1e-4, abs=1e-6)
    value, slope = zip(*(sides.value_and_slope(own, t + s) for s in (-1e-3, 0.0, 1e-3)), strict=True)
    assert slope[1] == pytest.approx((value[2] - value[0]) / 2e-3, rel=1e-5, abs=1e-9)
    assert sides.bend(own, t) == pytest.approx((slope[2] - slope[0]) / 2e-3, rel=1e-4, abs=1e-9)


@given(shape=SHAPES)
@settings(deadline=None)
def test_the_dates_of_a_season_are_where_it_passes_its_shares(shape):
    own, feet, dates = row(shape), np.array([-60.0, 420.0]), np.empty(7)
    assert sides.date_season(own, feet, SHARES, dates)
    assert (np.diff(dates) > 0).all()
    fine = np.arange(-60, 420, 0.01)
    curve = values(own, fine)
    assert (
        abs(dates[PEAK] - fine[curve.argmax()]) < 0.1
        or curve.max() - values(own, dates[PEAK : PEAK + 1]) < 1e-6
    )
    at = values(own, dates)
    for foot, numbers in ((0, (0, 1, 2)), (-1, (6, 5, 4))):
        share = (at[list(numbers)] - curve[foot]) / (at[PEAK] - curve[foot])
        np.testing.assert_allclose(share, SHARES, atol=1e-3)


@given(shape=SHAPES, seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_the_fit_finds_the_season_under_noise_and_clouds(shape, seed):
    rng = np.random.default_rng(seed)
    own, day = row(shape), np.arange(-40.0, 400.0, 8.0)
    value = values(own, day) + rng.normal(0, 0.005, day.size)
    value[rng.random(day.size) < 0.08] -= 0.15
    found = own + np.array([0.02, -0.02, -0.05, 8, 0.3, -8, -0.3, 0, 0])
    seen = fitting.Seen(day, value, np.ones(day.size))
    fitting.fit_season(found, seen, 0.005**2, little(), fitting.sides_for(day.size), False)
    assert np.abs(values(found, day) - values(own, day)).max() < 0.03
    # Slow sides trade their middle for their height: the curve is what is found.
    assert abs(found[sides.RISE_DAY] - own[sides.RISE_DAY]) < 15
    assert abs(found[sides.FALL_DAY] - own[sides.FALL_DAY]) < 15


def test_normal_equations_are_those_of_the_derivatives():
    rng = np.random.default_rng(0)
    own = row((0.1, 0.15, 0.5, 90.0, -2.4, 250.0, -2.6, 1e-4))
    day = np.sort(rng.uniform(0, 365, 41))
    seen = fitting.Seen(day, values(own, day) + rng.normal(0, 0.02, 41), rng.uniform(0.2, 1, 41))
    memory, expected = fitting.sides_for(41), little()
    matrix, right = np.zeros((8, 8)), np.zeros(8)
    fitting.cost(own, seen, 4e-4, 0.08, expected, memory)
    fitting.normal_equations(own, seen, 4e-4, expected, memory, matrix, right)
    gradients = np.empty((41, 8))
    for i, t in enumerate(day):
        sides.gradient(own, t, gradients[i])
    weight = seen.weight * memory.factor
    full = (gradients * weight[:, None]).T @ gradients + 4e-4 * np.diag(expected[1])
    np.testing.assert_allclose(np.tril(matrix), np.tril(full), rtol=1e-6, atol=1e-9)
    slope = gradients.T @ (weight * memory.residual) + 4e-4 * expected[1] * (expected[0] - own[:8])
    np.testing.assert_allclose(right, slope, rtol=1e-6, atol=1e-9)
    factor, step = np.zeros((8, 8)), np.empty(8)
    assert fitting.cholesky(matrix, 0.0, factor)
    fitting.solve(factor, right, step)
    np.testing.assert_allclose(full @ step, slope, rtol=1e-6, atol=1e-9)


def test_other_years_are_a_mean_with_room():
    own = row((0.1, 0.1, 0.5, 100.0, -2.4, 250.0, -2.4, 0.0))
    others = np.array([own, own, own])
    for year, late in ((0, 0.0), (1, 4.0), (2, -4.0)):
        others[year, [sides.RISE_DAY, sides.FALL_DAY]] += year * YEAR + late
    expected = little()
    known = np.full((3, sides.SIZE), 1e-6)
    usable = np.ones(3, dtype=bool)
    assert expectation.expect_of_others(175.0, others, known, usable, expected) == 2
    np.testing.assert_allclose(expected[0, [sides.RISE_DAY, sides.TOP]], [100.0, 0.5], atol=1e-9)
    assert 10.0 < expected[1, sides.RISE_DAY] ** -0.5 < 20.0, "years may differ by 10 days and more"
    assert expectation.expect_of_others(175.0 + YEAR / 2, others, known, usable, expected) == 0
    usable[1:] = False
    assert expectation.expect_of_others(175.0, others, known, usable, expected) == 0, "not of the own year"


def test_years_that_contradict_the_others_are_told_less_by_them():
    own = row((0.1, 0.1, 0.5, 100.0, -2.4, 250.0, -2.4, 0.0))
    expected, variance = np.empty((2, sides.SIZE)), np.full(sides.SIZE, 1e-6)
    expected[0], expected[1] = own[: sides.SIZE], 0.01
    expected[0, sides.RISE_DAY] += 80.0
    variance[sides.FALL_DAY] = 400.0
    expected[0, sides.FALL_DAY] += 40.0
    expectation.doubt(own, variance, expected)
    assert expected[1, sides.RISE_DAY] == pytest.approx(0.01 / 16), "8 sd, of which 2 are usual"
    assert np.delete(expected[1], sides.RISE_DAY) == pytest.approx(0.01), "an unsure year contradicts nothing"


def record(years, curve, seed=0, step=8.0, sd=0.02):
    day = np.arange(START + 3, START + years * YEAR, step)
    return day, curve(day - START) + np.random.default_rng(seed).normal(0, sd, day.size)


def cycles_of(day, value):
    dates = derive_cycles(series_of(day, value), PARAMETERS)
    found = np.isfinite(dates["date"].to_numpy()[0, :, PEAK])
    return dates["date"].to_numpy()[0][found], dates["sigma"].to_numpy()[0][found]


def two_crops(since):
    year = since % YEAR
    return 0.15 + 0.4 * (season(year, 60, 145, 0.13, 0.13) + season(year, 200, 290, 0.13, 0.13))


@pytest.mark.parametrize("seed", range(5))
def test_three_clouds_in_a_row_cut_no_season_in_two(seed):
    day, value = record(4, lambda s: yearly(s, 100, 290), seed)
    top = np.flatnonzero(np.abs(day - START - YEAR - 195) < 13)[:3]
    value[top] -= np.array([0.2, 0.12, 0.22])
    assert len(cycles_of(day, value)[0]) == 4


@pytest.mark.parametrize("seed", [6, 9, 13, 15, 16])
def test_two_descriptions_of_one_season_are_weighed(seed):
    """Seeds whose four clouds in a row the spline takes for a trough."""
    day, value = record(4, lambda s: yearly(s, 100, 290), seed)
    top = np.flatnonzero(np.abs(day - START - YEAR - 195) < 20)[:4]
    value[top] -= [0.2, 0.25, 0.2, 0.15]
    assert len(cycles_of(day, value)[0]) == 4


def test_crops_that_the_spline_joins_are_parted_as_in_other_years():
    """Pixels of the report's shapes with a gap between the crops of one year."""
    series = observe(draw_curves("double crop", 400, 502), 46, 502)
    joined = series.isel(pixel=[69, 102, 155, 159, 219, 271, 346, 365])
    found = np.isfinite(derive_cycles(joined)["date"].to_numpy()[..., PEAK]).sum(axis=1)
    assert found.tolist() == [6] * 8


@pytest.mark.parametrize("seed", range(5))
def test_a_trough_in_a_gap_is_known_from_other_years(seed):
    day, value = record(4, two_crops, seed)
    hidden = np.abs(day - START - YEAR - 172) < 20
    dates, sigma = cycles_of(day[~hidden], value[~hidden])
    assert len(dates) == 8
    filled = np.flatnonzero((dates[:, PEAK] > START + YEAR) & (dates[:, PEAK] < START + 2 * YEAR))
    np.testing.assert_allclose(dates[filled][:, MIDS[0]] - START - YEAR, [60, 200], atol=15)
    assert sigma[filled[0], MIDS[1]] > sigma[0, MIDS[1]], "a date in a gap is less sure"


@pytest.mark.parametrize("seed", range(5))
def test_a_year_with_one_crop_that_is_seen_stays_one(seed):
    def fallow(since):
        first = 0.4 * season(since % YEAR, 60, 145, 0.13, 0.13)
        return two_crops(since) - np.where((since > YEAR) & (since < 2 * YEAR), first, 0)

    dates, _ = cycles_of(*record(4, fallow, seed))
    assert len(dates) == 7
    assert ((dates[:, PEAK] > START + YEAR) & (dates[:, PEAK] < START + 2 * YEAR)).sum() == 1


@pytest.mark.parametrize("late", [-40.0, 40.0])
def test_other_years_do_not_pull_a_year_that_is_seen(late):
    def moved(since):
        own = (since > YEAR + 20) & (since < 2 * YEAR + 20)
        return np.where(own, yearly(since - late, 130, 260), yearly(since, 130, 260))

    error = []
    for seed in range(10):
        dates, _ = cycles_of(*record(4, moved, seed))
        own = dates[np.argmin(np.abs(dates[:, PEAK] - START - YEAR - 195 - late))]
        error.append(own[MIDS] - START - YEAR - late - crossings_of(130, 260)[MIDS])
    assert np.abs(np.mean(error, axis=0)).max() < 1.5


def test_shares_of_the_amplitude_can_be_chosen():
    day, value = record(4, lambda s: yearly(s, 110, 280), sd=0.002)
    own = PARAMETERS.model_copy(update={"amplitude_shares": (0.1, 0.25, 0.5)})
    usual = derive_cycles(series_of(day, value), PARAMETERS)["date"].to_numpy()[0, 1]
    other = derive_cycles(series_of(day, value), own)["date"].to_numpy()[0, 1]
    assert other[0] < usual[0] < other[1] < other[2]
    assert other[2] == pytest.approx(usual[1], abs=0.3)
    with pytest.raises(ValueError, match="amplitude_shares must increase"):
        PhenologyParameters(amplitude_shares=(0.5, 0.25, 0.9))


def test_dates_lie_on_the_curve_that_smooth_draws():
    day, value = record(4, lambda s: yearly(s, 110, 280))
    result = derive_cycles(series_of(day, value), PARAMETERS)
    date = result["date"].to_numpy()[0, 1]
    curve = smooth(day, value, np.ones(day.size), date, PARAMETERS, "evi2")
    np.testing.assert_allclose(curve, result["value"].to_numpy()[0, 1], atol=1e-9)


@pytest.mark.parametrize("per_year", [10, 11, 12, 13])
def test_sparse_series_have_a_sigma(per_year):
    day = np.arange(START, START + 6 * YEAR, YEAR / per_year)
    value = np.array(
        [
            yearly(day - START, 110, 280) + np.random.default_rng(s).normal(0, 0.02, day.size)
            for s in range(20)
        ]
    )
    result = derive_cycles(series_of(day, value), PARAMETERS)
    dated = np.isfinite(result["date"].to_numpy())
    assert dated.any()
    assert (result["sigma"].to_numpy()[dated] > 0).all()


@pytest.mark.parametrize("sd", [0.0, 0.003])
def test_clean_series_are_dated_exactly(sd):
    """The tail of the next season belongs to no base, and sigma is of the size of the errors."""
    day = np.arange(START + 3, START + 5 * YEAR, 8.0)
    truth = crossings_of(110, 280)
    value = [
        yearly(day - START, 110, 280) + np.random.default_rng(s).normal(0, sd, day.size) for s in range(20)
    ]
    result = derive_cycles(series_of(day, np.array(value)), PARAMETERS)
    date = result["date"].to_numpy()
    error = (date - START - truth + YEAR / 2) % YEAR - YEAR / 2
    sides_only = np.delete(error, PEAK, axis=-1)
    assert np.nanmax(np.abs(np.nanmean(sides_only, axis=(0, 1)))) < 0.2
    inside = np.abs(error) < result["sigma"].to_numpy()
    shares = np.delete(inside[np.isfinite(date[..., PEAK])].mean(axis=0), PEAK)
    assert shares.min() > 0.5


def test_three_crops_a_year_are_all_kept():
    def three(since):
        year = since % YEAR
        return 0.15 + sum(0.4 * season(year, a, a + 65, 0.2, 0.2) for a in (25, 145, 265))

    assert len(cycles_of(*record(3, three, sd=0.01))[0]) == 9


def test_the_sigma_of_a_flat_top_is_at_most_its_length():
    day = np.arange(START + 3, START + 5 * YEAR, 8.0)
    value = [
        yearly(day - START, 90, 290, rise=0.25, fall=0.25)
        + np.random.default_rng(s).normal(0, 0.02, day.size)
        for s in range(20)
    ]
    result = derive_cycles(series_of(day, np.array(value)), PARAMETERS)
    date, sigma = (result[name].to_numpy() for name in ("date", "sigma"))
    dated = np.isfinite(date[..., PEAK])
    assert (sigma[..., PEAK] <= (date[..., PEAK + 1] - date[..., PEAK - 1]))[dated].all()
