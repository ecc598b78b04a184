"""The season that describes the observations of a cycle best, compiled.

Levenberg (1944) and Marquardt (1963) on the parameters of :mod:`~ssl4eco_data.phenology.season`, with clouds
as outliers (bisquare) and with what is expected of the parameters beforehand.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ssl4eco_data.phenology.compiled import compiled, compiled_sums
from ssl4eco_data.phenology.season import (
    AFTER,
    BEFORE,
    DRIFT,
    FALL_DAY,
    FALL_RATE,
    ORIGIN,
    RISE_DAY,
    RISE_RATE,
    SIZE,
    TOP,
    logistic,
)
from ssl4eco_data.phenology.selection import quantile_of_scratch
from ssl4eco_data.types import FloatArray

STEPS_AT_MOST = 12
SETTLED_SEARCH, SETTLED = 3e-2, 1e-5
"""Relative gain of a step at which the fit stops, while outliers are still sought widely and after that."""
OUTLIER_REACH = 4.0
"""Observations this many standard deviations below the season count for nothing."""
UNLIMITED = 1e6
"""A reach beyond any residual of an index: nothing is an outlier."""
MEDIAN_TO_SD = 1.4826
"""Standard deviation over median absolute deviation of normal errors."""


class Seen(NamedTuple):
    """Observations of a cycle, (n,) each; weight 1 has the variance that is given with them."""

    day: FloatArray
    value: FloatArray
    weight: FloatArray


class Sides(NamedTuple):
    """At each observation (n,): both logistic functions, the residual and the factor on the weight.

    ``change`` (8, n) and ``weight`` (n,) are of the normal equations, ``product`` (n,) is scratch.
    """

    rise: FloatArray
    fall: FloatArray
    residual: FloatArray
    factor: FloatArray
    change: FloatArray
    weight: FloatArray
    product: FloatArray


@compiled
def sides_for(n: int) -> Sides:
    """Memory for ``n`` observations."""
    block = np.empty((6, n))
    return Sides(block[0], block[1], block[2], block[3], np.empty((SIZE, n)), block[4], block[5])


@compiled_sums
def cost(
    season: FloatArray, seen: Seen, variance: float, reach: float, expected: FloatArray, sides: Sides
) -> float:
    """Squares of the residuals, bisquare below the season, plus those of what is ``expected``.

    Fills rise, fall, residual and factor of ``sides``.
    ``reach`` is where an observation of weight 1 counts for nothing. ``expected`` (2, 8) is the mean and the
    precision of each parameter. Clouds only lower an index, so what lies above counts in full.
    """
    up, down = math.exp(season[RISE_RATE]), math.exp(season[FALL_RATE])
    before, after, top = season[BEFORE], season[AFTER], season[TOP]
    drift, origin = season[DRIFT], season[ORIGIN]
    start, end = season[RISE_DAY], season[FALL_DAY]
    square_reach = reach * reach
    total = 0.0
    for i in range(seen.day.size):
        rise = logistic(up * (seen.day[i] - start))
        fall = logistic(down * (seen.day[i] - end))
        own = top + drift * (seen.day[i] - origin)
        residual = seen.value[i] - (before + (own - before) * rise - (own - after) * fall)
        square = seen.weight[i] * residual * residual
        inside = max(1.0 - square / square_reach, 0.0)
        below = residual < 0.0
        sides.rise[i], sides.fall[i], sides.residual[i] = rise, fall, residual
        sides.factor[i] = inside * inside if below else 1.0
        total += square_reach / 3.0 * (1.0 - inside * inside * inside) if below else square
    for k in range(SIZE):
        total += variance * expected[1, k] * (season[k] - expected[0, k]) ** 2
    return total


@compiled_sums
def derivatives_at(season: FloatArray, seen: Seen, sides: Sides) -> None:
    """Fill change and weight of ``sides``: derivatives by the parameters, lowered weights."""
    up, down = math.exp(season[RISE_RATE]), math.exp(season[FALL_RATE])
    before, after, top, drift = season[BEFORE], season[AFTER], season[TOP], season[DRIFT]
    start, end, origin = season[RISE_DAY], season[FALL_DAY], season[ORIGIN]
    change = sides.change
    for i in range(seen.day.size):
        day, rise, fall = seen.day[i], sides.rise[i], sides.fall[i]
        own = top + drift * (day - origin)
        steep, steep_fall = (own - before) * rise * (1.0 - rise), (own - after) * fall * (1.0 - fall)
        change[BEFORE, i], change[AFTER, i], change[TOP, i] = 1.0 - rise, fall, rise - fall
        change[RISE_DAY, i], change[RISE_RATE, i] = -steep * up, steep * up * (day - start)
        change[FALL_DAY, i], change[FALL_RATE, i] = steep_fall * down, -steep_fall * down * (day - end)
        change[DRIFT, i] = (day - origin) * (rise - fall)
        sides.weight[i] = seen.weight[i] * sides.factor[i]


@compiled_sums
def normal_equations(
    season: FloatArray,
    seen: Seen,
    variance: float,
    expected: FloatArray,
    sides: Sides,
    matrix: FloatArray,
    right: FloatArray,
) -> None:
    """Fill the lower triangle of ``matrix`` (8, 8) and ``right`` (8) of a Gauss-Newton step.

    ``sides`` is of :func:`cost`.
    """
    derivatives_at(season, seen, sides)
    for j in range(SIZE):
        own = sides.change[j]
        total = 0.0
        for i in range(own.size):
            total += sides.weight[i] * sides.residual[i] * own[i]
        right[j] = total + variance * expected[1, j] * (expected[0, j] - season[j])
        for i in range(own.size):
            sides.product[i] = sides.weight[i] * own[i]
        for k in range(j + 1):
            other = sides.change[k]
            total = 0.0
            for i in range(own.size):
                total += sides.product[i] * other[i]
            matrix[j, k] = total
        matrix[j, j] += variance * expected[1, j]


@compiled
def cholesky(matrix: FloatArray, damping: float, factor: FloatArray) -> bool:
    """Whether ``matrix``, its diagonal raised by the share ``damping``, is positive definite.

    Fills ``factor`` (8, 8) with the lower triangle L of L L^T, its diagonal inverted.
    """
    for j in range(SIZE):
        for k in range(j + 1):
            total = matrix[j, k] * (1.0 + damping) if j == k else matrix[j, k]
            for m in range(k):
                total -= factor[j, m] * factor[k, m]
            if j > k:
                factor[j, k] = total * factor[k, k]
            elif total > 1e-13 * matrix[j, j]:
                factor[j, j] = 1.0 / math.sqrt(total)
            else:
                return False
    return True


@compiled
def half_solve(factor: FloatArray, right: FloatArray, out: FloatArray) -> float:
    """Fill ``out`` with L^-1 ``right``; its squared length, the quadratic form of the inverse matrix."""
    total = 0.0
    for j in range(SIZE):
        own = right[j]
        for k in range(j):
            own -= factor[j, k] * out[k]
        out[j] = own * factor[j, j]
        total += out[j] * out[j]
    return total


@compiled
def solve(factor: FloatArray, right: FloatArray, out: FloatArray) -> None:
    """Fill ``out`` with (L L^T)^-1 ``right``."""
    half_solve(factor, right, out)
    for j in range(SIZE - 1, -1, -1):
        for k in range(j + 1, SIZE):
            out[j] -= factor[k, j] * out[k]
        out[j] *= factor[j, j]


@compiled
def descend(
    season: FloatArray,
    seen: Seen,
    variance: float,
    reach: float,
    expected: FloatArray,
    settled: float,
    sides: Sides,
) -> None:
    """Move ``season`` to the least cost; ``sides`` is left as of there."""
    matrix, right = np.empty((SIZE, SIZE)), np.empty(SIZE)
    factor, step, trial = np.empty((SIZE, SIZE)), np.empty(SIZE), season.copy()
    damping, least, current = 1e-3, cost(season, seen, variance, reach, expected, sides), True
    normal_equations(season, seen, variance, expected, sides, matrix, right)
    for _ in range(STEPS_AT_MOST):
        gain = -1.0
        if cholesky(matrix, damping, factor):
            solve(factor, right, step)
            for k in range(SIZE):
                trial[k] = season[k] + step[k]
            gain = least - cost(trial, seen, variance, reach, expected, sides)
            current = gain >= 0.0
        if gain >= 0.0:
            season[:] = trial
            least -= gain
            damping *= 0.1
            if gain <= settled * least:
                break
            normal_equations(season, seen, variance, expected, sides, matrix, right)
        else:
            damping *= 10.0
    if not current:
        cost(season, seen, variance, reach, expected, sides)


@compiled
def fit_season(
    season: FloatArray, seen: Seen, variance: float, expected: FloatArray, sides: Sides, near: bool
) -> None:
    """Fit ``season`` from where it is; ``sides`` is left as of there.

    Unless that is ``near``, outliers are at first as far off as half of the residuals say too, or a poor
    start would discard what contradicts it.
    """
    sd = math.sqrt(variance)
    if not near:
        search(season, seen, variance, sd, expected, sides)
    descend(season, seen, variance, OUTLIER_REACH * sd, expected, SETTLED, sides)


@compiled
def search(
    season: FloatArray, seen: Seen, variance: float, sd: float, expected: FloatArray, sides: Sides
) -> None:
    """Fit ``season`` roughly, with the standard deviation that the median residual says if ``sd`` is less."""
    cost(season, seen, variance, UNLIMITED, expected, sides)
    middle = MEDIAN_TO_SD * quantile_of_scratch(np.abs(sides.residual) * np.sqrt(seen.weight), 0.5)
    if middle > sd:
        descend(season, seen, variance, OUTLIER_REACH * middle, expected, SETTLED_SEARCH, sides)
