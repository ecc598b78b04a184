"""Dates of one cycle from a season of two logistic sides, where that describes the observations, compiled.

The spline finds the cycles and dates them whatever their shape; near a flat base or top its ripples date as
much as the plant does. A season has no ripples. It replaces the spline's dates of a cycle unless the spline,
which may bend more, describes the same observations clearly better.
"""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.expected import expect_little
from ssl4eco_data.phenology.record import Cycles, Record
from ssl4eco_data.phenology.season import (
    AFTER,
    BEFORE,
    DRIFT,
    FALL_DAY,
    FALL_RATE,
    ORIGIN,
    PEAK,
    RISE_DAY,
    RISE_RATE,
    ROW,
    SIZE,
    TOP,
    date_gradients,
    date_season,
    gradient,
    passes,
    value_and_slope,
)
from ssl4eco_data.phenology.season_fit import (
    Seen,
    Sides,
    cholesky,
    fit_season,
    half_solve,
    normal_equations,
    sides_for,
)
from ssl4eco_data.types import METRICS, FloatArray

SHORTEST_SIDE_DAYS = 10.0
"""A first guess of a side is at least as long, from its first date to its last."""
PLATEAU_SHARE, PLATEAU_SPREAD = 0.15, 2.0
"""The low plateau beyond a trough reaches to where the curve has risen by this share of the cycle's side, or
by so many standard deviations of an observation: a flat base cannot follow the tail of the next season."""
PLATEAU_REACH_DAYS = 300.0
SIGMA_FACTOR = 1.04
"""Sigma is larger by this than the delta method says, as outliers and shape are not known but estimated.

Chosen once for all metrics, on synthetic records.
"""
CLEARLY_BETTER = 10.0
"""The season stands unless the spline's Bayesian information criterion is lower by more."""
OUTLIER_COST = 8.0
"""-2 ln of a cloud's likelihood over a clear observation's: 8 % of all, spread over 0.2 of the index."""
UNIFORM = math.sqrt(12.0)
"""Width of a stretch over the standard deviation of a day anywhere in it."""
FLAT_TOP = 0.25
"""A top is flat where the season is lower by less than this share of the standard deviation of its peak."""
BEYOND_SEEN = 4.0
"""A season's peak and feet lie within what the record has seen, by so many standard deviations."""


@compiled
def window_of(record: Record, ends: FloatArray, levels: FloatArray) -> tuple[int, int]:
    """The first observation of a cycle and the one after its last, with the low plateaus on both sides.

    A trough below the background of the record may be clouds: the plateau is looked for from the background.
    """
    day, fitted = record.day, record.fitted
    first, last = np.searchsorted(day, ends[0]), np.searchsorted(day, ends[2], side="right") - 1
    low = max(levels[0], record.background)
    rising = low + min(PLATEAU_SHARE * (levels[1] - low), PLATEAU_SPREAD * math.sqrt(record.noise))
    while first > 0 and fitted[first - 1] <= rising and ends[1] - day[first - 1] <= PLATEAU_REACH_DAYS:
        first -= 1
    low = max(levels[2], record.background)
    falling = low + min(PLATEAU_SHARE * (levels[1] - low), PLATEAU_SPREAD * math.sqrt(record.noise))
    while (
        last < day.size - 1 and fitted[last + 1] <= falling and day[last + 1] - ends[1] <= PLATEAU_REACH_DAYS
    ):
        last += 1
    return first, last + 1


@compiled
def guess(dates: FloatArray, levels: FloatArray, shares: FloatArray, season: FloatArray) -> None:
    """Fill ``season`` (9) with one of such ``dates`` (7) and ``levels`` (3)."""
    season[BEFORE], season[AFTER], season[TOP] = levels[0], levels[2], levels[1]
    season[RISE_DAY], season[FALL_DAY] = dates[1], dates[5]
    season[DRIFT], season[ORIGIN] = 0.0, 0.5 * (dates[1] + dates[5])
    units = math.log(shares[2] / (1.0 - shares[2])) - math.log(shares[0] / (1.0 - shares[0]))
    season[RISE_RATE] = math.log(units / max(dates[2] - dates[0], SHORTEST_SIDE_DAYS))
    season[FALL_RATE] = math.log(units / max(dates[6] - dates[4], SHORTEST_SIDE_DAYS))


@compiled
def noise_of(record: Record, first: int, weight: FloatArray, sides: Sides) -> float:
    """Variance of an observation of weight 1 around the season; NaN where the spline describes it better.

    The Bayesian information criterion (Schwarz 1978) over the observations of the cycle decides, in which one
    far below counts as a cloud.
    """
    squares, season, spline, trace, used = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(weight.size):
        w = weight[i] * sides.factor[i]
        if w > 0.0:
            squares += w * sides.residual[i] ** 2
            used += 1.0
        season += unlikely(sides.residual[i], weight[i], record.noise)
        spline += unlikely(record.value[first + i] - record.fitted[first + i], weight[i], record.noise)
        trace += record.leverage[first + i]
    if used <= SIZE or season - spline > (trace - SIZE) * math.log(weight.size) + CLEARLY_BETTER:
        return math.nan
    return float(max(record.noise, squares / (used - SIZE)))


@compiled
def unlikely(residual: float, weight: float, noise: float) -> float:
    """-2 ln likelihood of an observation, up to a constant; one that lies far below is a cloud."""
    square = residual * residual * weight / noise
    return min(square, OUTLIER_COST) if residual < 0.0 else square


@compiled
def seen_between(record: Record, first: int, stop: int) -> Seen:
    """The observations from number ``first`` to the one before ``stop``."""
    return Seen(record.day[first:stop], record.value[first:stop], record.weight[first:stop])


@compiled
def refine(
    record: Record, cycles: Cycles, c: int, expected: FloatArray, start: FloatArray, near: bool
) -> bool:
    """Whether a season describes cycle ``c``: then its dates and all else of it become the season's.

    The fit starts from the season ``start`` (9), which it moves; ``near`` if that is almost right.
    """
    ends = cycles.ends[c]
    first, stop = window_of(record, ends, cycles.levels[c])
    if stop - first <= SIZE:
        return False
    seen, sides = seen_between(record, first, stop), sides_for(stop - first)
    fit_season(start, seen, record.noise, expected, sides, near)
    noise = noise_of(record, first, seen.weight, sides)
    feet = np.array([min(seen.day[0], ends[0]), max(seen.day[-1], ends[2])])
    if math.isnan(noise):
        return False
    return describe(record, cycles, c, start, seen, noise, expected, sides, feet)


@compiled
def describe(
    record: Record,
    cycles: Cycles,
    c: int,
    season: FloatArray,
    seen: Seen,
    noise: float,
    expected: FloatArray,
    sides: Sides,
    feet: FloatArray,
) -> bool:
    """Whether ``season`` has all dates between its ``feet`` (2 days); then cycle ``c`` becomes it.

    It must stay within what the record has seen. Sigma is that of the delta method: the covariance of the
    parameters is ``noise`` (L L^T)^-1, and a date moves by the error of value minus level over the slope.
    """
    matrix, factor = np.empty((SIZE, SIZE)), np.empty((SIZE, SIZE))
    own, rest, dates, slopes = np.empty(SIZE), np.empty(SIZE), np.empty(len(METRICS)), np.empty(len(METRICS))
    if not date_season(season, feet, record.shares, dates) or not plausible(
        record, season, dates[PEAK], feet
    ):
        return False
    normal_equations(season, seen, noise, expected, sides, matrix, own)
    if not cholesky(matrix, 1e-9, factor):
        return False
    changes = np.empty((dates.size, SIZE))
    date_gradients(season, dates, feet, record.shares, changes, slopes)
    for k in range(dates.size):
        spread = math.sqrt(noise * half_solve(factor, changes[k], rest))
        cycles.sigma[c, k] = SIGMA_FACTOR * spread / abs(slopes[k])
    gradient(season, dates[PEAK], own)
    rest[0] = math.sqrt(noise * half_solve(factor, own, rest))
    cycles.sigma[c, PEAK] = sigma_of_peak(season, feet, dates, rest[0], cycles.sigma[c, PEAK])
    for k in range(SIZE):
        own[:] = 0.0
        own[k] = 1.0
        cycles.variance[c, k] = noise * half_solve(factor, own, rest)
    cycles.date[c], cycles.season[c] = dates, season
    cycles.described[c] = True
    return True


@compiled
def plausible(record: Record, season: FloatArray, peak: float, feet: FloatArray) -> bool:
    """Whether the season at its peak and feet lies within the values of the record, but for their errors."""
    beyond = BEYOND_SEEN * math.sqrt(record.noise)
    lowest, highest = record.value.min() - beyond, record.value.max() + beyond
    low = min(value_and_slope(season, feet[0])[0], value_and_slope(season, feet[1])[0])
    return bool(lowest <= low and value_and_slope(season, peak)[0] <= highest)


@compiled
def sigma_of_peak(
    season: FloatArray, feet: FloatArray, dates: FloatArray, spread: float, delta: float
) -> float:
    """The standard deviation of the peak's day: ``delta``, of slope over bend, unless the top is flat.

    It is at least that of a day anywhere between where the season is all but its top (a quarter of the top's
    standard deviation ``spread`` below it), at most that of one anywhere from maturity to senescence.
    """
    level = value_and_slope(season, dates[PEAK])[0] - FLAT_TOP * spread
    first, last = dates[PEAK - 1], dates[PEAK + 1]
    if value_and_slope(season, first)[0] < level:
        first = passes(season, first, first, dates[PEAK], level)
    if value_and_slope(season, last)[0] < level:
        last = passes(season, last, last, dates[PEAK], level)
    return float(min(max(delta, (last - first) / UNIFORM), (dates[PEAK + 1] - dates[PEAK - 1]) / UNIFORM))


@compiled
def refine_alone(record: Record, cycles: Cycles, c: int) -> bool:
    """:func:`refine` from the spline's dates, with little expected."""
    expected, start = np.empty((2, SIZE)), np.empty(ROW)
    expect_little(cycles.levels[c, 1] - 0.5 * (cycles.levels[c, 0] + cycles.levels[c, 2]), expected)
    guess(cycles.date[c], cycles.levels[c], record.shares, start)
    return refine(record, cycles, c, expected, start, False)
