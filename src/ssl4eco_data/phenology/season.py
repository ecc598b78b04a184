"""A season of two logistic sides: its value, its derivatives and its dates, compiled.

f(t) = before + (g - before) L(rate1 (t - rise)) - (g - after) L(rate2 (t - fall)) with
g = top + drift (t - origin) and L(x) = 1 / (1 + exp(-x)): the double logistic of Beck et al. (2006), with a
base of its own on each side and a top that may rise or fall through the season (Elmore et al. 2012). A season
is a row (9): before, after, top, rise, ln rate1, fall, ln rate2, drift, origin, with days and rates per day.
"""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled, compiled_sums
from ssl4eco_data.types import METRICS, FloatArray

BEFORE, AFTER, TOP, RISE_DAY, RISE_RATE, FALL_DAY, FALL_RATE, DRIFT, ORIGIN = range(9)
SIZE, ROW = 8, 9
"""Eight parameters, and the day from which the drift counts, which is none."""
PEAK = METRICS.index("peak")
STEEPEST = 36.0
"""Logistic functions are 0 or 1 in double precision beyond."""
PASSES_AT_MOST = 40
DAY_TOLERANCE = 1e-7


@compiled_sums
def logistic(x: float) -> float:
    """1 / (1 + exp(-x)), to a relative 1e-8 for abs(x) below 10, without overflow.

    exp(-x) is the seventh-order series at x / 64, squared six times: only sums and products, so that loops
    over observations run in SIMD lanes, which a call of ``exp`` prevents.
    """
    y = -min(max(x, -STEEPEST), STEEPEST) / 64.0
    e = 1.0 + y * (1.0 + y * (0.5 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720 + y / 5040))))))
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    e *= e
    return 1.0 / (1.0 + e)


@compiled
def value_and_slope(season: FloatArray, t: float) -> tuple[float, float]:
    """The season's value at day ``t`` and its change per day."""
    up, down = math.exp(season[RISE_RATE]), math.exp(season[FALL_RATE])
    rise, fall = logistic(up * (t - season[RISE_DAY])), logistic(down * (t - season[FALL_DAY]))
    top = season[TOP] + season[DRIFT] * (t - season[ORIGIN])
    high, low = top - season[BEFORE], top - season[AFTER]
    slope = high * up * rise * (1.0 - rise) - low * down * fall * (1.0 - fall)
    return season[BEFORE] + high * rise - low * fall, slope + season[DRIFT] * (rise - fall)


@compiled
def bend(season: FloatArray, t: float) -> float:
    """The season's second derivative at day ``t``."""
    up, down = math.exp(season[RISE_RATE]), math.exp(season[FALL_RATE])
    rise, fall = logistic(up * (t - season[RISE_DAY])), logistic(down * (t - season[FALL_DAY]))
    top = season[TOP] + season[DRIFT] * (t - season[ORIGIN])
    rising, falling = up * rise * (1.0 - rise), down * fall * (1.0 - fall)
    own = (top - season[BEFORE]) * rising * up * (1.0 - 2.0 * rise)
    own -= (top - season[AFTER]) * falling * down * (1.0 - 2.0 * fall)
    return float(own + 2.0 * season[DRIFT] * (rising - falling))


@compiled
def gradient(season: FloatArray, t: float, out: FloatArray) -> None:
    """Fill ``out`` (8) with the derivatives of the season's value at day ``t`` by its parameters."""
    up, down = math.exp(season[RISE_RATE]), math.exp(season[FALL_RATE])
    rise, fall = logistic(up * (t - season[RISE_DAY])), logistic(down * (t - season[FALL_DAY]))
    top = season[TOP] + season[DRIFT] * (t - season[ORIGIN])
    steep = (top - season[BEFORE]) * rise * (1.0 - rise)
    steep_fall = (top - season[AFTER]) * fall * (1.0 - fall)
    out[BEFORE], out[AFTER], out[TOP] = 1.0 - rise, fall, rise - fall
    out[RISE_DAY], out[RISE_RATE] = -steep * up, steep * up * (t - season[RISE_DAY])
    out[FALL_DAY], out[FALL_RATE] = steep_fall * down, -steep_fall * down * (t - season[FALL_DAY])
    out[DRIFT] = (t - season[ORIGIN]) * (rise - fall)


@compiled
def passes(season: FloatArray, start: float, low_day: float, high_day: float, level: float) -> float:
    """The day where the season passes ``level``, from one where it is below to one where it is above.

    Newton's method from day ``start``, kept between both days by bisection.
    """
    t = start
    if not min(low_day, high_day) < t < max(low_day, high_day):
        t = 0.5 * (low_day + high_day)
    for _ in range(PASSES_AT_MOST):
        value, slope = value_and_slope(season, t)
        if value < level:
            low_day = t
        else:
            high_day = t
        following = t - (value - level) / slope if slope != 0.0 else math.nan
        if not min(low_day, high_day) < following < max(low_day, high_day):
            following = 0.5 * (low_day + high_day)
        moved = abs(following - t)
        t = following
        if moved < DAY_TOLERANCE:
            break
    return t


@compiled
def crest(season: FloatArray) -> float:
    """The day of the season's maximum between its two mid-dates: Newton's method kept there by bisection."""
    low, high = season[RISE_DAY], season[FALL_DAY]
    t = 0.5 * (low + high)
    for _ in range(PASSES_AT_MOST):
        slope = value_and_slope(season, t)[1]
        if slope > 0.0:
            low = t
        else:
            high = t
        curved = bend(season, t)
        following = t - slope / curved if curved < 0.0 else math.nan
        if not low < following < high:
            following = 0.5 * (low + high)
        moved = abs(following - t)
        t = following
        if moved < DAY_TOLERANCE:
            break
    return float(t)


@compiled
def date_season(season: FloatArray, feet: FloatArray, shares: FloatArray, dates: FloatArray) -> bool:
    """Whether the season rises and falls between its ``feet`` (2 days); fills ``dates`` (7) then.

    ``shares`` (3) are those of the rise at greenup, mid-greenup and maturity, of the fall at their opposites.
    """
    if not feet[0] < season[RISE_DAY] < season[FALL_DAY] < feet[1]:
        return False
    rising, falling = (
        value_and_slope(season, season[RISE_DAY])[1],
        value_and_slope(season, season[FALL_DAY])[1],
    )
    if rising <= 0.0 or falling >= 0.0:
        return False
    dates[PEAK] = crest(season)
    top = value_and_slope(season, dates[PEAK])[0]
    for side in range(2):
        foot, middle = feet[side], season[RISE_DAY if side == 0 else FALL_DAY]
        direction = math.exp(-season[RISE_RATE]) if side == 0 else -math.exp(-season[FALL_RATE])
        base = value_and_slope(season, foot)[0]
        if base >= top:
            return False
        for k in range(3):
            # A logistic function of its own would pass here.
            start = middle + direction * math.log(shares[k] / (1.0 - shares[k]))
            level = base + shares[k] * (top - base)
            dates[k if side == 0 else 6 - k] = passes(season, start, foot, dates[PEAK], level)
    return True


@compiled
def date_gradients(
    season: FloatArray,
    dates: FloatArray,
    feet: FloatArray,
    shares: FloatArray,
    out: FloatArray,
    slopes: FloatArray,
) -> None:
    """A change of the parameters moves date k by its product with ``out`` (7, 8) over ``slopes`` (7).

    ``out`` is the gradient of value minus level, and the slope that of the season. The level lies between the
    season's value at its peak and that at one of its ``feet`` (2 days). The peak moves by slope over bend.
    """
    top, foot = np.empty(SIZE), np.empty((2, SIZE))
    gradient(season, dates[PEAK] + 0.5, out[PEAK])
    gradient(season, dates[PEAK] - 0.5, top)
    for j in range(SIZE):
        out[PEAK, j] -= top[j]
    slopes[PEAK] = bend(season, dates[PEAK])
    gradient(season, dates[PEAK], top)
    gradient(season, feet[0], foot[0])
    gradient(season, feet[1], foot[1])
    for k in range(dates.size):
        if k != PEAK:
            share, side = (shares[k], 0) if k < PEAK else (shares[6 - k], 1)
            gradient(season, dates[k], out[k])
            slopes[k] = value_and_slope(season, dates[k])[1]
            for j in range(SIZE):
                out[k, j] -= share * top[j] + (1.0 - share) * foot[side, j]
