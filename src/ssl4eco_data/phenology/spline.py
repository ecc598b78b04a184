"""Weighted natural cubic smoothing spline in O(n), compiled.

Minimises sum w (y - f)^2 + lambda * integral f''^2 with lambda = h^4 n / span. Reinsch (1967) for the
pentadiagonal form, Hutchinson and de Hoog (1985) for the central bands of the inverse, Silverman (1984) for
the bandwidth h in days that makes lambda independent of the sampling.
"""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.lanes import fit_lanes, leverage_lanes
from ssl4eco_data.phenology.selection import quantile_of_scratch
from ssl4eco_data.phenology.vectors import LANES
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
    """Fill ``bands`` (3, n) with 1 / d, l1, l2 of L D L^T = R + lambda Q^T W^-1 Q in columns 0 .. n-3.

    What would lie beyond the last column is only ever multiplied by zero.
    """
    n = day.size
    # What the next steps need is kept in scalars: 1 / steps, lambda / weights, and the last terms of L D.
    step, step_2 = day[1] - day[0], day[2] - day[1]
    a, c = 1.0 / step, 1.0 / step_2
    p, p_2 = penalty_ / weight[0], penalty_ / weight[1]
    l1, l2, l2_before, m1, m2, m2_before = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(n - 2):
        p_3 = penalty_ / weight[j + 2]
        step_3, e = 0.0, 0.0
        if j + 3 < n:
            step_3 = day[j + 3] - day[j + 2]
            e = 1.0 / step_3
        b = -a - c
        diagonal = (step + step_2) / 3.0 + (a * a * p + b * b * p_2 + c * c * p_3)
        inverse = 1.0 / (diagonal - m2_before * l2_before - m1 * l1)
        m2_before, l2_before = m2, l2
        off = 0.0
        if j + 3 < n:
            off = step_2 / 6.0 + (b * c * p_2 + c * (-c - e) * p_3)
        m1, m2 = off - m1 * l2, c * e * p_3
        l1, l2 = m1 * inverse, m2 * inverse
        bands[0, j], bands[1, j], bands[2, j] = inverse, l1, l2
        step, step_2, a, c, p, p_2 = step_2, step_3, c, e, p_2, p_3


@compiled
def second_derivatives(day: FloatArray, value: FloatArray, bands: FloatArray, curvature: FloatArray) -> None:
    """Fill ``curvature`` (n) with f'' at the observations; natural, so zero at both ends."""
    n = day.size
    curvature[0], curvature[n - 1] = 0.0, 0.0
    slope = (value[1] - value[0]) / (day[1] - day[0])
    z, z_before, l1, l2, l2_before = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(n - 2):
        slope_next = (value[j + 2] - value[j + 1]) / (day[j + 2] - day[j + 1])
        z, z_before = slope_next - slope - l2_before * z_before - l1 * z, z
        curvature[j + 1] = z
        l2_before, l1, l2 = l2, bands[1, j], bands[2, j]
        slope = slope_next
    z, z_before = 0.0, 0.0
    for j in range(n - 3, -1, -1):
        z, z_before = curvature[j + 1] * bands[0, j] - bands[2, j] * z_before - bands[1, j] * z, z
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
    for i in range(n - 1):
        slope = (curvature[i + 1] - curvature[i]) / (day[i + 1] - day[i])
        fitted[i] = value[i] - penalty_ / weight[i] * (slope - slope_before)
        slope_before = slope
    fitted[n - 1] = value[n - 1] + penalty_ / weight[n - 1] * slope_before


@compiled
def leverage(
    day: FloatArray, weight: FloatArray, penalty_: float, bands: FloatArray, diagonal: FloatArray
) -> None:
    """Fill ``diagonal`` (n) with the diagonal of the hat matrix, from the central bands of the inverse.

    Observation i touches the second derivatives i-1, i and i+1 (those at the ends are none); ``v`` and ``u``
    are the inverse on its diagonal and beside it, ``far`` two beside, going down from the last.
    """
    n = day.size
    after = 0.0
    v0, v1, v2, u0, u1, far = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n - 1, -1, -1):
        # v0, v1, v2: at second derivatives i-1, i, i+1; u0 joins the first two, u1 the last two.
        v2, v1, u1 = v1, v0, u0
        v0, u0, far, before = 0.0, 0.0, 0.0, 0.0
        if i >= 1:
            before = 1.0 / (day[i] - day[i - 1])
        if i >= 2:
            l1, l2 = bands[1, i - 2], bands[2, i - 2]
            u0 = -l1 * v1 - l2 * u1
            far = -l1 * u1 - l2 * v2
            v0 = bands[0, i - 2] - l1 * u0 - l2 * far
        middle = -before - after
        form = before * before * v0 + middle * middle * v1 + after * after * v2
        form += 2.0 * (before * middle * u0 + middle * after * u1 + before * after * far)
        diagonal[i] = 1.0 - penalty_ / weight[i] * form
        after = before


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
    scale = BISQUARE_REACH * quantile_of_scratch(np.abs(residual[real > 0.0]), 0.5)
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
def choose(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    real: FloatArray,
    bandwidths: FloatArray,
    curvature: FloatArray,
    fitted: FloatArray,
    diagonal: FloatArray,
) -> tuple[float, float]:
    """(bandwidth with the least cross-validation score, variance of an observation of weight 1).

    Fills curvature, fitted and diagonal (n). Ties go to the smoother curve. Several bandwidths are fitted at
    once, from the smoothest down; lanes left over in the end repeat the least.
    """
    bands, curves = np.empty((3, day.size, LANES)), np.empty((3, day.size, LANES))
    strengths = np.empty((1, LANES))
    widest = bandwidths.size - 1
    best, best_score, variance = bandwidths[widest], math.inf, 0.0
    for last in range(widest, -1, -LANES):
        for lane in range(LANES):
            strengths[0, lane] = penalty(day, bandwidths[max(last - lane, 0)])
        fit_lanes(day, value, weight, strengths, bands, curves[0], curves[1])
        leverage_lanes(day, weight, strengths, bands, curves[2])
        for lane in range(min(LANES, last + 1)):
            score, spread = cross_validation(value, curves[1, :, lane], weight, curves[2, :, lane], real)
            better = score < best_score
            if better:
                best, best_score, variance = bandwidths[last - lane], score, spread
            if last - lane == widest:
                # With too few observations to compare, the smoothest stays.
                variance = spread
            if better or last - lane == widest:
                for i in range(day.size):
                    curvature[i], fitted[i] = curves[0, i, lane], curves[1, i, lane]
                    diagonal[i] = curves[2, i, lane]
    return best, variance


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
    return choose(day, value, weight, real, bandwidths, curvature, fitted, diagonal)
