"""What is expected of a season before its own observations are seen, compiled.

Of any season little: how steep sides are. Of a season whose pixel has others at the same time of other years
more: years of one place differ, but not without limit. Where a year is well observed this changes nothing;
in a gap it keeps a date near its usual one, and sigma says how near.
"""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.season import (
    AFTER,
    BEFORE,
    DRIFT,
    FALL_DAY,
    FALL_RATE,
    RISE_DAY,
    RISE_RATE,
    SIZE,
    TOP,
)
from ssl4eco_data.types import YEAR_DAYS, BoolArray, FloatArray

TYPICAL_RATE, RATE_SD = 0.09, 0.7
"""ln rate is normal around ln 0.09, so 15 to 90 % of a side take 22 to 88 days (1 sd)."""
DRIFT_SD = 0.0015
"""The top rises or falls by such a share of the amplitude a day: 15 % in 100 days."""
DAY_BETWEEN_YEARS, RATE_BETWEEN_YEARS, DRIFT_BETWEEN_YEARS = 10.0, 0.3, 0.0005
BASE_BETWEEN_YEARS, TOP_BETWEEN_YEARS = 0.06, 0.12
"""Years of one pixel differ by at least this (standard deviation): days, ln rates, drift, base and top, the
last three as shares of the amplitude."""
NO_AMPLITUDE = 1e-9
"""In place of none, which would forbid any drift."""
CONTRADICTION = 2.0
"""A year and the others contradict each other from so many standard deviations of their difference."""
SAME_SEASON_DAYS = 60.0
"""Seasons of two years are the same one if their middles are at most this far apart, years taken off."""


@compiled
def expect_little(amplitude: float, expected: FloatArray) -> None:
    """Fill ``expected`` (2, 8), mean and precision of each parameter, with what is known of any season.

    ``amplitude`` is that of the season, about.
    """
    expected[:] = 0.0
    for k in (RISE_RATE, FALL_RATE):
        expected[0, k], expected[1, k] = math.log(TYPICAL_RATE), RATE_SD**-2
    expected[1, DRIFT] = 1.0 / (DRIFT_SD * max(abs(amplitude), NO_AMPLITUDE)) ** 2


@compiled
def between_years(season: FloatArray, out: FloatArray) -> None:
    """Fill ``out`` (8) with the variances between years of a pixel with a season like ``season``."""
    amplitude = season[TOP] - 0.5 * (season[BEFORE] + season[AFTER])
    for k in (RISE_DAY, FALL_DAY):
        out[k] = DAY_BETWEEN_YEARS**2
    for k in (RISE_RATE, FALL_RATE):
        out[k] = RATE_BETWEEN_YEARS**2
    for k in (BEFORE, AFTER):
        out[k] = (BASE_BETWEEN_YEARS * amplitude) ** 2
    out[DRIFT] = (DRIFT_BETWEEN_YEARS * amplitude) ** 2
    out[TOP] = (TOP_BETWEEN_YEARS * amplitude) ** 2


@compiled
def doubt(season: FloatArray, variance: FloatArray, expected: FloatArray) -> None:
    """Lower the precision of what is ``expected`` (2, 8) where the observations of the year contradict it.

    ``season`` (9) and ``variance`` (8) are those of the year alone. Where both differ by more than their
    standard deviations, the year is an unusual one, and the others say less about it (Birge 1932).
    """
    for k in range(SIZE):
        change = (season[k] - expected[0, k]) ** 2
        ratio = change / (1.0 / expected[1, k] + variance[k])
        expected[1, k] /= max(ratio / CONTRADICTION**2, 1.0)


@compiled
def expect_of_others(
    middle: float, seasons: FloatArray, variances: FloatArray, usable: BoolArray, expected: FloatArray
) -> int:
    """How many seasons of other years lie around day ``middle``; fills ``expected`` (2, 8) with them.

    ``seasons`` (c, 9) and ``variances`` (c, 8) are those of the pixel. The mean is weighted by precision. The
    variance adds that between years and that of the mean, both larger where the others disagree by more
    than they should (Birge 1932), or where there is only one.
    """
    weights, means, squares = np.zeros(SIZE), np.zeros(SIZE), np.zeros(SIZE)
    between, typical, count = np.zeros(SIZE), np.zeros(SIZE), 0
    for j in range(usable.size):
        own = 0.5 * (seasons[j, RISE_DAY] + seasons[j, FALL_DAY])
        years = np.round((middle - own) / YEAR_DAYS)
        if not usable[j] or years == 0.0 or abs(own + years * YEAR_DAYS - middle) > SAME_SEASON_DAYS:
            continue
        count += 1
        between_years(seasons[j], between)
        for k in range(SIZE):
            typical[k] += between[k]
            x = seasons[j, k]
            if k in (RISE_DAY, FALL_DAY):
                x += years * YEAR_DAYS
            w = 1.0 / (between[k] + variances[j, k])
            weights[k] += w
            change = x - means[k]
            means[k] += change * w / weights[k]
            squares[k] += w * change * (x - means[k])
    if count == 0:
        return 0
    for k in range(SIZE):
        larger = 2.0 if count == 1 else max(1.0, squares[k] / (count - 1))
        expected[0, k] = means[k]
        expected[1, k] = 1.0 / (larger * (typical[k] / count + 1.0 / weights[k]))
    return count
