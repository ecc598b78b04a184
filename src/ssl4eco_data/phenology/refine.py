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
    RISE_DAY,
    RISE_RATE,
    ROW,
    SIZE,
    TOP,
    date_gradients,
    date_season,
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
from ssl4eco_data.phenology.spline import TRACE_CHARGE
from ssl4eco_data.types import METRICS, FloatArray

SHORTEST_SIDE_DAYS = 10.0
"""A first guess of a side is at least as long, from its first date to its last."""
PLATEAU_SHARE = 0.15
"""The low plateau beyond a trough reaches to where the curve has risen by this share of the cycle's side."""
PLATEAU_REACH_DAYS = 300.0
SIGMA_FACTOR = 1.04
"""Sigma is larger by this than the delta method says, as outliers and shape are not known but estimated.

Chosen once for all metrics, on synthetic record.
"""
CLEARLY_BETTER = 10.0
"""The season stands unless the spline's -2 ln likelihood, by cross-validation scores, is lower by more."""


@compiled
def window_of(record: Record, ends: FloatArray, levels: FloatArray) -> tuple[int, int]:
    """The first observation of a cycle and the one after its last, with the low plateaus on both sides.

    A trough below the background of the record may be clouds: the plateau is looked for from the background.
    """
    day, fitted = record.day, record.fitted
    first, last = np.searchsorted(day, ends[0]), np.searchsorted(day, ends[2], side="right") - 1
    low = max(levels[0], record.background)
    rising = low + PLATEAU_SHARE * (levels[1] - low)
    while first > 0 and fitted[first - 1] <= rising and ends[1] - day[first - 1] <= PLATEAU_REACH_DAYS:
        first -= 1
    low = max(levels[2], record.background)
    falling = low + PLATEAU_SHARE * (levels[1] - low)
    while (
        last < day.size - 1 and fitted[last + 1] <= falling and day[last + 1] - ends[1] <= PLATEAU_REACH_DAYS
    ):
        last += 1
    return first, last + 1


@compiled
def guess(dates: FloatArray, levels: FloatArray, shares: FloatArray, season: FloatArray) -> None:
    """Fill ``season`` (7) with one of such ``dates`` (7) and ``levels`` (3)."""
    season[BEFORE], season[AFTER], season[TOP] = levels[0], levels[2], levels[1]
    season[RISE_DAY], season[FALL_DAY] = dates[1], dates[5]
    season[DRIFT], season[ORIGIN] = 0.0, 0.5 * (dates[1] + dates[5])
    units = math.log(shares[2] / (1.0 - shares[2])) - math.log(shares[0] / (1.0 - shares[0]))
    season[RISE_RATE] = math.log(units / max(dates[2] - dates[0], SHORTEST_SIDE_DAYS))
    season[FALL_RATE] = math.log(units / max(dates[6] - dates[4], SHORTEST_SIDE_DAYS))


@compiled
def noise_of(record: Record, first: int, weight: FloatArray, sides: Sides) -> float:
    """Variance of an observation of weight 1 around the season; NaN where the spline describes it better.

    Generalised cross-validation over the observations of the cycle (Craven and Wahba 1979) decides.
    """
    squares, others, trace, used = 0.0, 0.0, 0.0, 0.0
    for i in range(weight.size):
        w = weight[i] * sides.factor[i]
        if w > 0.0:
            squares += w * sides.residual[i] ** 2
            others += w * (record.value[first + i] - record.fitted[first + i]) ** 2
            trace += TRACE_CHARGE * record.leverage[first + i]
            used += 1.0
    if used <= SIZE:
        return math.nan
    if used > trace and others > 0.0:
        ratio = (squares / (used - SIZE) ** 2) / (others / (used - trace) ** 2)
        if used * math.log(ratio) > CLEARLY_BETTER:
            return math.nan
    return float(max(record.noise, squares / (used - SIZE)))


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

    Sigma is that of the delta method: the covariance of the parameters is ``noise`` (L L^T)^-1, and a date
    moves by the error of value minus level over the slope.
    """
    matrix, factor = np.empty((SIZE, SIZE)), np.empty((SIZE, SIZE))
    own, rest, dates, slopes = np.empty(SIZE), np.empty(SIZE), np.empty(len(METRICS)), np.empty(len(METRICS))
    if not date_season(season, feet, record.shares, dates):
        return False
    normal_equations(season, seen, noise, expected, sides, matrix, own)
    if not cholesky(matrix, 1e-9, factor):
        return False
    changes = np.empty((dates.size, SIZE))
    date_gradients(season, dates, feet, record.shares, changes, slopes)
    for k in range(dates.size):
        spread = math.sqrt(noise * half_solve(factor, changes[k], rest))
        cycles.sigma[c, k] = SIGMA_FACTOR * spread / abs(slopes[k])
    for k in range(SIZE):
        own[:] = 0.0
        own[k] = 1.0
        cycles.variance[c, k] = noise * half_solve(factor, own, rest)
    cycles.date[c], cycles.season[c] = dates, season
    cycles.described[c] = True
    return True


@compiled
def refine_alone(record: Record, cycles: Cycles, c: int) -> bool:
    """:func:`refine` from the spline's dates, with little expected."""
    expected, start = np.empty((2, SIZE)), np.empty(ROW)
    expect_little(cycles.levels[c, 1] - 0.5 * (cycles.levels[c, 0] + cycles.levels[c, 2]), expected)
    guess(cycles.date[c], cycles.levels[c], record.shares, start)
    return refine(record, cycles, c, expected, start, False)
