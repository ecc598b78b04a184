"""The cleaned record of one pixel, the spline through it, and the cycles found in it, compiled."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ssl4eco_data.phenology.cleaning import SEEN
from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.season import PEAK, ROW, SIZE, value_and_slope
from ssl4eco_data.phenology.spline import evaluate, fit_best
from ssl4eco_data.types import METRICS, BoolArray, FloatArray

BLEND_DAYS = 10.0


class Record(NamedTuple):
    """Cleaned observations (n,), the spline at them, and what holds for all of them.

    ``full`` (4, n) is day, value, weight and kind, as :mod:`~ssl4eco_data.phenology.cleaning` leaves them,
    the first three again as arrays of their own. ``curvature`` is the second derivative,
    ``leverage`` the diagonal of the hat matrix, ``spread`` the standard deviation of the spline. ``noise`` is
    the variance of an observation of weight 1, ``background`` the low quantile of the values, ``bandwidth``
    in days. ``shares`` (3,) are those of the rise at which greenup, mid-greenup and maturity are.
    """

    full: FloatArray
    day: FloatArray
    value: FloatArray
    weight: FloatArray
    fitted: FloatArray
    curvature: FloatArray
    leverage: FloatArray
    spread: FloatArray
    noise: float
    background: float
    bandwidth: float
    shares: FloatArray


class Cycles(NamedTuple):
    """Cycles of a pixel in time, with room for some (c, ...).

    ``ends`` and ``levels`` (c, 3) are days and values of trough, peak and trough. ``season`` (c, 9) and the
    ``variance`` (c, 8) of its parameters are set where ``described`` (c,). ``date`` and ``sigma`` (c, 7).
    """

    ends: FloatArray
    levels: FloatArray
    season: FloatArray
    variance: FloatArray
    described: BoolArray
    date: FloatArray
    sigma: FloatArray


@compiled
def record_of(full: FloatArray, background: float, bandwidths: FloatArray, shares: FloatArray) -> Record:
    """The record of cleaned observations ``full`` (4, n: day, value, weight, kind), smoothed."""
    day, value, weight = full[0].copy(), full[1].copy(), full[2].copy()
    n = day.size
    real, spread = np.zeros(n), np.empty(n)
    for i in range(n):
        if full[3, i] == SEEN:
            real[i] = 1.0
    curvature, fitted, leverage = np.empty(n), np.empty(n), np.empty(n)
    bandwidth, noise = fit_best(day, value, weight, real, bandwidths, curvature, fitted, leverage)
    for i in range(n):
        # The weight is here the lowered one: what the spline took for a cloud says little about it.
        spread[i] = math.sqrt(noise * max(leverage[i], 0.0) / weight[i])
    own = full[2].copy()
    return Record(
        full, day, value, own, fitted, curvature, leverage, spread, noise, background, bandwidth, shares
    )


@compiled
def room_for(count: int) -> Cycles:
    """Memory for ``count`` cycles."""
    metrics = len(METRICS)
    return Cycles(
        np.empty((count, 3)),
        np.empty((count, 3)),
        np.empty((count, ROW)),
        np.empty((count, SIZE)),
        np.zeros(count, dtype=np.bool_),
        np.empty((count, metrics)),
        np.empty((count, metrics)),
    )


@compiled
def move(source: Cycles, s: int, target: Cycles, t: int) -> None:
    """Copy cycle ``s`` of ``source`` to place ``t`` of ``target``."""
    target.ends[t], target.levels[t] = source.ends[s], source.levels[s]
    target.season[t], target.variance[t] = source.season[s], source.variance[s]
    target.described[t] = source.described[s]
    target.date[t], target.sigma[t] = source.date[s], source.sigma[s]


@compiled
def levels_of(cycles: Cycles, c: int) -> tuple[float, float, float]:
    """Values at trough, peak and trough of cycle ``c``, of its season where that describes it."""
    if not cycles.described[c]:
        return cycles.levels[c, 0], cycles.levels[c, 1], cycles.levels[c, 2]
    season = cycles.season[c]
    return (
        value_and_slope(season, cycles.ends[c, 0])[0],
        value_and_slope(season, cycles.date[c, PEAK])[0],
        value_and_slope(season, cycles.ends[c, 2])[0],
    )


@compiled
def curve_at(record: Record, cycles: Cycles, count: int, at_day: float) -> float:
    """The curve that dates are read from: within a cycle the season that describes it, else the spline.

    At the ends of a cycle one goes over into the other within ten days.
    """
    total, weight = 0.0, 0.0
    for c in range(count):
        inside = min(at_day - cycles.ends[c, 0], cycles.ends[c, 2] - at_day)
        if cycles.described[c] and inside > -BLEND_DAYS:
            own = min(0.5 + 0.5 * inside / BLEND_DAYS, 1.0)
            total += own * value_and_slope(cycles.season[c], at_day)[0]
            weight += own
    if weight >= 1.0:
        return float(total / weight)
    return float(total + (1.0 - weight) * evaluate(record.day, record.fitted, record.curvature, at_day))
