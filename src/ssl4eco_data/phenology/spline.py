"""Weighted natural cubic smoothing spline in O(n), compiled.

Minimises sum w (y - f)^2 + lambda * integral f''^2 with lambda = h^4 n / span. Reinsch (1967) for the
pentadiagonal form, Hutchinson and de Hoog (1985) for the central bands of the inverse, Silverman (1984) for
the bandwidth h in days that makes lambda independent of the sampling.
"""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled, quantile
from ssl4eco_data.types import FloatArray

BISQUARE_REACH = 6.0
"""Observations this many median absolute residuals below the curve count for nothing (Cleveland 1979)."""
TRACE_CHARGE = 1.2
"""Each degree of freedom costs this much in cross-validation, against undersmoothing (Kim and Gu 2004)."""


@compiled
def penalty(day: FloatArray, bandwidth_days: float) -> float:
    """lambda of a bandwidth, in cubic days."""
    n = day.size
    return float(bandwidth_days**4 * n / (day[n - 1] - day[0]))


@compiled
def factorise(day: FloatArray, weight: FloatArray, penalty_: float, bands: FloatArray) -> None:
    """Fill ``bands`` (3, n) with d, l1, l2 of L D L^T = R + lambda Q^T W^-1 Q; columns 0 .. n-3 are used."""
    n = day.size
    for j in range(n - 2):
        left, right = day[j + 1] - day[j], day[j + 2] - day[j + 1]
        a, c = 1.0 / left, 1.0 / right
        b = -a - c
        diagonal = (left + right) / 3.0 + penalty_ * (
            a * a / weight[j] + b * b / weight[j + 1] + c * c / weight[j + 2]
        )
        if j >= 1:
            diagonal -= bands[0, j - 1] * bands[1, j - 1] ** 2
        if j >= 2:
            diagonal -= bands[0, j - 2] * bands[2, j - 2] ** 2
        bands[0, j] = diagonal
        bands[1, j] = 0.0
        bands[2, j] = 0.0
        if j + 1 < n - 2:
            e = 1.0 / (day[j + 3] - day[j + 2])
            off = right / 6.0 + penalty_ * (b * c / weight[j + 1] + c * (-c - e) / weight[j + 2])
            if j >= 1:
                off -= bands[0, j - 1] * bands[1, j - 1] * bands[2, j - 1]
            bands[1, j] = off / diagonal
        if j + 2 < n - 2:
            e = 1.0 / (day[j + 3] - day[j + 2])
            bands[2, j] = penalty_ * c * e / weight[j + 2] / diagonal


@compiled
def second_derivatives(day: FloatArray, value: FloatArray, bands: FloatArray, curvature: FloatArray) -> None:
    """Fill ``curvature`` (n) with f'' at the observations; natural, so zero at both ends."""
    n = day.size
    curvature[0] = 0.0
    curvature[n - 1] = 0.0
    for j in range(n - 2):
        right = (value[j + 2] - value[j + 1]) / (day[j + 2] - day[j + 1])
        z = right - (value[j + 1] - value[j]) / (day[j + 1] - day[j])
        if j >= 1:
            z -= bands[1, j - 1] * curvature[j]
        if j >= 2:
            z -= bands[2, j - 2] * curvature[j - 1]
        curvature[j + 1] = z
    for j in range(n - 3, -1, -1):
        z = curvature[j + 1] / bands[0, j]
        if j + 1 < n - 2:
            z -= bands[1, j] * curvature[j + 2]
        if j + 2 < n - 2:
            z -= bands[2, j] * curvature[j + 3]
        curvature[j + 1] = z


@compiled
def fit(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    penalty_: float,
    bands: FloatArray,
    curvature: FloatArray,
    fitted: FloatArray,
) -> None:
    """Fill ``bands``, ``curvature`` (f'') and ``fitted`` (f) at the observations (at least three)."""
    n = day.size
    factorise(day, weight, penalty_, bands)
    second_derivatives(day, value, bands, curvature)
    slope_before = 0.0
    for i in range(n):
        slope = 0.0
        if i + 1 < n:
            slope = (curvature[i + 1] - curvature[i]) / (day[i + 1] - day[i])
        fitted[i] = value[i] - penalty_ / weight[i] * (slope - slope_before)
        slope_before = slope


@compiled
def leverage(
    day: FloatArray, weight: FloatArray, penalty_: float, bands: FloatArray, diagonal: FloatArray
) -> None:
    """Fill ``diagonal`` (n) with the diagonal of the hat matrix, from the central bands of the inverse."""
    n = day.size
    inverse = np.zeros((3, n + 2))
    for j in range(n - 3, -1, -1):
        l1, l2 = bands[1, j], bands[2, j]
        inverse[1, j] = -l1 * inverse[0, j + 1] - l2 * inverse[1, j + 1]
        inverse[2, j] = -l1 * inverse[1, j + 1] - l2 * inverse[0, j + 2]
        inverse[0, j] = 1.0 / bands[0, j] - l1 * inverse[1, j] - l2 * inverse[2, j]
    for i in range(n):
        before, after = 0.0, 0.0
        if i > 0:
            before = 1.0 / (day[i] - day[i - 1])
        if i + 1 < n:
            after = 1.0 / (day[i + 1] - day[i])
        middle = -before - after
        form = 0.0
        if i >= 2:
            form += before * before * inverse[0, i - 2]
        if 1 <= i <= n - 2:
            form += middle * middle * inverse[0, i - 1]
        if i <= n - 3:
            form += after * after * inverse[0, i]
        if 2 <= i <= n - 2:
            form += 2.0 * before * middle * inverse[1, i - 2]
        if 1 <= i <= n - 3:
            form += 2.0 * middle * after * inverse[1, i - 1]
        if 2 <= i <= n - 3:
            form += 2.0 * before * after * inverse[2, i - 2]
        diagonal[i] = 1.0 - penalty_ / weight[i] * form


@compiled
def coefficients(
    day: FloatArray, fitted: FloatArray, curvature: FloatArray, i: int
) -> tuple[float, float, float, float]:
    """(a, b, c, d) of a + b s + c s^2 + d s^3, s days after observation ``i``, up to the next one."""
    step = day[i + 1] - day[i]
    slope = (fitted[i + 1] - fitted[i]) / step - step * (2.0 * curvature[i] + curvature[i + 1]) / 6.0
    return fitted[i], slope, curvature[i] / 2.0, (curvature[i + 1] - curvature[i]) / (6.0 * step)


@compiled
def interval(day: FloatArray, at_day: float) -> int:
    """The observation before ``at_day``, of the first or last pair beyond the record."""
    low, high = 0, day.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if day[middle] <= at_day:
            low = middle
        else:
            high = middle
    return low


@compiled
def evaluate(day: FloatArray, fitted: FloatArray, curvature: FloatArray, at_day: float) -> float:
    """f at ``at_day``, a straight line beyond the first and last observation."""
    i = interval(day, at_day)
    a, b, c, d = coefficients(day, fitted, curvature, i)
    s = at_day - day[i]
    if s < 0.0:
        return float(a + b * s)
    step = day[i + 1] - day[i]
    if s > step:
        end = ((d * step + c) * step + b) * step + a
        return float(end + (b + 2.0 * c * step + 3.0 * d * step * step) * (s - step))
    return float(((d * s + c) * s + b) * s + a)


@compiled
def robust_weights(
    value: FloatArray, fitted: FloatArray, weight: FloatArray, diagonal: FloatArray, real: FloatArray
) -> None:
    """Lower ``weight`` in place for observations far below the curve (bisquare, Cleveland 1979).

    Residuals are those of leaving the observation out (``diagonal`` is its leverage), or a cloud in a
    sparse series would pull the curve to itself. Clouds only lower a vegetation index, so observations
    above the curve keep their weight. ``real`` is 1 for observations and 0 for fillings, which neither
    give the scale nor lose weight.
    """
    residual = np.empty(value.size)
    for i in range(value.size):
        residual[i] = (value[i] - fitted[i]) / max(1.0 - diagonal[i], 0.02)
    scale = BISQUARE_REACH * quantile(np.abs(residual[real > 0.0]), 0.5)
    for i in range(value.size):
        if real[i] > 0.0 and residual[i] < 0.0 and scale > 0.0:
            u = residual[i] / scale
            factor = 0.0
            if u > -1.0:
                factor = (1.0 - u * u) ** 2
            weight[i] *= max(factor, 1e-3)


@compiled
def cross_validation(
    value: FloatArray, fitted: FloatArray, weight: FloatArray, diagonal: FloatArray, real: FloatArray
) -> tuple[float, float]:
    """(generalised cross-validation score, variance of an observation of weight 1) over real observations."""
    n, squares, trace = 0.0, 0.0, 0.0
    for i in range(value.size):
        if real[i] > 0.0:
            n += 1.0
            squares += weight[i] * (value[i] - fitted[i]) ** 2
            trace += diagonal[i]
    free = max(n - trace, 1e-6 * n)
    charged = n - TRACE_CHARGE * trace
    return n * squares / (charged * charged) if charged > 0.0 else math.inf, squares / free


@compiled
def fit_best(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    real: FloatArray,
    bandwidths: FloatArray,
    curvature: FloatArray,
    fitted: FloatArray,
    diagonal: FloatArray,
) -> tuple[float, float]:
    """(bandwidth in days, variance of an observation of weight 1); fills curvature, fitted and diagonal.

    One robust pass with the smallest bandwidth, which lowers ``weight`` in place, then the bandwidth with the
    least cross-validation score; ties go to the smoother curve.
    """
    n = day.size
    bands = np.empty((3, n))
    strength = penalty(day, bandwidths[0])
    fit(day, value, weight, strength, bands, curvature, fitted)
    leverage(day, weight, strength, bands, diagonal)
    robust_weights(value, fitted, weight, diagonal, real)
    best, best_score, variance = bandwidths[bandwidths.size - 1], math.inf, 0.0
    last_fitted = -1.0
    for k in range(bandwidths.size - 1, -1, -1):
        strength = penalty(day, bandwidths[k])
        fit(day, value, weight, strength, bands, curvature, fitted)
        leverage(day, weight, strength, bands, diagonal)
        score, spread = cross_validation(value, fitted, weight, diagonal, real)
        last_fitted = bandwidths[k]
        if score < best_score:
            best, best_score, variance = bandwidths[k], score, spread
    if last_fitted != best:
        strength = penalty(day, best)
        fit(day, value, weight, strength, bands, curvature, fitted)
        leverage(day, weight, strength, bands, diagonal)
    return best, variance
