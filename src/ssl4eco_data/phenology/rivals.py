"""One season or two: which describes the observations of neighbouring cycles, compiled.

A few clouds in a row cut a season in two; a gap or a despiked trough joins two crops. Both descriptions are
fitted and the likelier is kept, by the Bayesian information criterion (Schwarz 1978) and by what the same
time of other years shows.
"""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.expected import expect_little, expect_of_others
from ssl4eco_data.phenology.record import Cycles, Record
from ssl4eco_data.phenology.refine import describe, guess, seen_between, unlikely, window_of
from ssl4eco_data.phenology.season import (
    AFTER,
    BEFORE,
    FALL_DAY,
    ORIGIN,
    PEAK,
    RISE_DAY,
    ROW,
    SIZE,
    TOP,
    value_and_slope,
)
from ssl4eco_data.phenology.season_fit import fit_season, sides_for
from ssl4eco_data.types import METRICS, YEAR_DAYS, BoolArray, FloatArray

SECOND_SEASON = 6.0
"""A second season has so many parameters more: two dates and rates, a top and a base."""
NEIGHBOURS_DAYS = 200.0
"""Cycles with peaks at most this far apart may be one season."""
AROUND_DAYS = 20.0
"""A cycle of another year lies in a season if its middle is at most so far outside."""
FEWEST_IN_HALF = 2
"""A crop that fewer observations would speak for is not parted off."""
NEVER_YET = 0.1
"""Years of each kind that are taken as seen before any is: most pixels are of one kind."""


@compiled
def misfit(season: FloatArray, record: Record, first: int, stop: int) -> float:
    """-2 ln likelihood of the observations, up to a constant; one that lies far below is a cloud."""
    total = 0.0
    for i in range(first, stop):
        residual = record.value[i] - value_and_slope(season, record.day[i])[0]
        total += unlikely(residual, record.weight[i], record.noise)
    return total


@compiled
def surprise(season: FloatArray, expected: FloatArray) -> float:
    """-2 ln likelihood of the parameters, up to a constant, by what is ``expected`` (2, 8) of them."""
    total = 0.0
    for k in range(SIZE):
        total += expected[1, k] * (season[k] - expected[0, k]) ** 2
    return total


@compiled
def in_other_years(
    cycles: Cycles, count: int, usable: BoolArray, start: float, end: float
) -> tuple[int, int, float]:
    """How many other years have one cycle between the days ``start`` and ``end``, and how many two.

    A cycle is where its middle is. Third the shift in days from the first year with two; NaN for none.
    """
    ones, twos, shift = 0, 0, math.nan
    for c in range(count):
        own = middle_of(cycles, c)
        years = np.round((0.5 * (start + end) - own) / YEAR_DAYS) * YEAR_DAYS
        if years == 0.0 or not usable[c]:
            continue
        # Each year is counted at its first cycle inside.
        inside, first = 0, -1
        for other in range(count):
            day = middle_of(cycles, other) + years
            if start - AROUND_DAYS <= day <= end + AROUND_DAYS:
                inside += 1
                if first < 0:
                    first = other
        if first == c and inside == 1:
            ones += 1
        elif first == c and inside == 2:
            twos += 1
            if math.isnan(shift):
                shift = years
    return ones, twos, shift


@compiled
def favour_of_one(ones: int, twos: int) -> float:
    """2 ln of the odds for one season, from the numbers of other years with one and with two."""
    return 2.0 * math.log((ones + NEVER_YET) / (twos + NEVER_YET))


@compiled
def one_is_enough(record: Record, cycles: Cycles, count: int, c: int) -> bool:
    """Whether one season describes cycles ``c`` and ``c + 1`` as well as theirs do."""
    after = c + 1
    peaks_apart = cycles.ends[after, 1] - cycles.ends[c, 1]
    if peaks_apart > NEIGHBOURS_DAYS or not (cycles.described[c] and cycles.described[after]):
        return False
    ends, levels, dates = np.empty(3), np.empty(3), np.empty(len(METRICS))
    ends[0], ends[1], ends[2] = (
        cycles.ends[c, 0],
        0.5 * (cycles.ends[c, 1] + cycles.ends[after, 1]),
        cycles.ends[after, 2],
    )
    levels[0], levels[2] = cycles.levels[c, 0], cycles.levels[after, 2]
    levels[1] = max(cycles.levels[c, 1], cycles.levels[after, 1])
    for k in range(dates.size):
        dates[k] = cycles.date[c if k < 3 else after, k]
    first, stop = window_of(record, ends, levels)
    if stop - first <= SIZE:
        return False
    season, expected = np.empty(ROW), np.empty((2, SIZE))
    guess(dates, levels, record.shares, season)
    expect_little(amplitude_of(season), expected)
    seen, sides = seen_between(record, first, stop), sides_for(stop - first)
    fit_season(season, seen, record.noise, expected, sides, False)
    middle = first + np.searchsorted(record.day[first:stop], cycles.ends[c, 2])
    one = misfit(season, record, first, stop) + surprise(season, expected)
    two = misfit(cycles.season[c], record, first, middle) + surprise(cycles.season[c], expected)
    two += misfit(cycles.season[after], record, middle, stop) + surprise(cycles.season[after], expected)
    ones, twos, _ = in_other_years(cycles, count, cycles.described, dates[1], dates[5])
    return bool(one <= two + SECOND_SEASON * math.log(stop - first) + favour_of_one(ones, twos))


@compiled
def middle_of(cycles: Cycles, c: int) -> float:
    """The day halfway from mid-greenup to mid-greendown of cycle ``c``."""
    return float(0.5 * (cycles.date[c, 1] + cycles.date[c, 5]))


@compiled
def expect_pair(
    cycles: Cycles, count: int, usable: BoolArray, start: float, end: float, expected: FloatArray
) -> tuple[int, int]:
    """How many other years have one cycle between ``start`` and ``end``, and how many two.

    ``expected`` (2, 2, 8) is filled with what is expected of the two where any year has them; without any
    they are none.
    """
    ones, twos, shift = in_other_years(cycles, count, usable, start, end)
    found = 0
    for other in range(count):
        middle = middle_of(cycles, other) + shift
        if found < 2 and start - AROUND_DAYS <= middle <= end + AROUND_DAYS:
            expect_little(amplitude_of(cycles.season[other]), expected[found])
            found += expect_of_others(middle, cycles.season, cycles.variance, usable, expected[found]) > 0
    return (ones, twos) if found == 2 else (ones, 0)


@compiled
def amplitude_of(season: FloatArray) -> float:
    """The top over the mean of both bases."""
    return float(season[TOP] - 0.5 * (season[BEFORE] + season[AFTER]))


@compiled
def fit_expected(
    record: Record, first: int, stop: int, expected: FloatArray, feet: FloatArray, pair: Cycles, side: int
) -> float:
    """-2 ln likelihood, up to a constant, of the season fitted to observations ``first`` to ``stop`` - 1.

    The fit starts from what is ``expected`` (2, 8). Cycle ``side`` of ``pair`` becomes it; infinite where it
    has no dates between its ``feet`` (2 days).
    """
    season = np.empty(ROW)
    season[:SIZE] = expected[0]
    season[ORIGIN] = 0.5 * (season[RISE_DAY] + season[FALL_DAY])
    seen, sides = seen_between(record, first, stop), sides_for(stop - first)
    fit_season(season, seen, record.noise, expected, sides, False)
    if not describe(record, pair, side, season, seen, record.noise, expected, sides, feet):
        return math.inf
    pair.ends[side, 0], pair.ends[side, 1], pair.ends[side, 2] = feet[0], pair.date[side, PEAK], feet[1]
    for k in range(3):
        pair.levels[side, k] = value_and_slope(season, pair.ends[side, k])[0]
    return float(misfit(season, record, first, stop) + surprise(season, expected))


@compiled
def split(record: Record, cycles: Cycles, count: int, c: int, usable: BoolArray, pair: Cycles) -> bool:
    """Whether two seasons, as other years have them, describe cycle ``c`` better; fills ``pair`` (2) then."""
    expected = np.empty((2, 2, SIZE))
    ones, twos = expect_pair(cycles, count, usable, cycles.date[c, 0], cycles.date[c, 6], expected)
    if twos <= ones:
        return False
    first, stop = window_of(record, cycles.ends[c], cycles.levels[c])
    parted = 0.5 * (expected[0, 0, FALL_DAY] + expected[1, 0, RISE_DAY])
    middle = first + np.searchsorted(record.day[first:stop], parted)
    if middle - first < FEWEST_IN_HALF or stop - middle < FEWEST_IN_HALF:
        return False
    start, end = min(record.day[first], cycles.ends[c, 0]), max(record.day[stop - 1], cycles.ends[c, 2])
    two = favour_of_one(ones, twos)
    two += fit_expected(record, first, middle, expected[0], np.array([start, parted]), pair, 0)
    two += fit_expected(record, middle, stop, expected[1], np.array([parted, end]), pair, 1)
    return bool(two < as_it_is(record, cycles, c, first, stop))


@compiled
def as_it_is(record: Record, cycles: Cycles, c: int, first: int, stop: int) -> float:
    """-2 ln likelihood, up to a constant, of cycle ``c``: of its season, or of the spline and its freedom."""
    if cycles.described[c]:
        expected = np.empty((2, SIZE))
        expect_little(amplitude_of(cycles.season[c]), expected)
        return float(misfit(cycles.season[c], record, first, stop) + surprise(cycles.season[c], expected))
    total = 0.0
    for i in range(first, stop):
        residual = record.value[i] - record.fitted[i]
        total += unlikely(residual, record.weight[i], record.noise)
        total += record.leverage[i] * math.log(stop - first)
    return total
