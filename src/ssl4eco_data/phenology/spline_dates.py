"""Dates of a cycle and their sigma from the smoothing spline alone, whatever its shape, compiled."""

from __future__ import annotations

import math

import numpy as np

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.crossings import IntArray, extreme_bias, side_days
from ssl4eco_data.phenology.record import Cycles, Record
from ssl4eco_data.phenology.season import PEAK
from ssl4eco_data.phenology.spline import coefficients, interval
from ssl4eco_data.types import FloatArray


@compiled
def date_by_spline(record: Record, nodes: FloatArray, found: IntArray, cycles: Cycles, c: int) -> None:
    """Set cycle ``c`` to the trough, peak and trough nodes ``found`` (3): ends, levels and dates."""
    for k in range(3):
        cycles.ends[c, k], cycles.levels[c, k] = nodes[0, found[k]], nodes[1, found[k]]
    cycles.described[c] = False
    low, top, high = found[0], found[1], found[2]
    curve = record.day, record.fitted, record.curvature
    spread = spread_at(record, nodes[0, top])
    crest = nodes[1, top] - extreme_bias(nodes, top, low, high, spread, record.bandwidth)
    days = np.empty(3)
    for side in range(2):
        foot = low if side == 0 else high
        spread = spread_at(record, nodes[0, foot])
        base = nodes[1, foot] + extreme_bias(nodes, foot, foot, top, spread, record.bandwidth)
        if crest <= base:
            base, crest = nodes[1, foot], nodes[1, top]
        side_days(nodes, curve, foot, top, base + record.shares * (crest - base), days)
        for k in range(3):
            cycles.date[c, k if side == 0 else 6 - k] = days[k]
    cycles.date[c, PEAK] = nodes[0, top]


@compiled
def spread_at(record: Record, at_day: float) -> float:
    """Standard deviation of the spline at a day, linear between observations."""
    i = interval(record.day, at_day)
    share = (at_day - record.day[i]) / (record.day[i + 1] - record.day[i])
    return float(record.spread[i] + share * (record.spread[i + 1] - record.spread[i]))


@compiled
def sigma_by_spline(record: Record, cycles: Cycles, c: int) -> None:
    """Set the sigmas of cycle ``c`` in days.

    At a crossing it is sd / abs f', with the sd of curve minus level; at the peak sd' / abs f'', where
    sd' = sd / h, the ratio of the standard deviations of slope and value of a smoothing spline whose
    posterior spectrum is 1 / (1 + (h w)^4) (Silverman 1984; Wahba 1983); at most that of a day anywhere from
    maturity to senescence.
    """
    top = spread_at(record, cycles.ends[c, 1])
    for k in range(cycles.date.shape[1]):
        date = cycles.date[c, k]
        i = interval(record.day, date)
        _, b, quadratic, d = coefficients(record.day, record.fitted, record.curvature, i)
        s = date - record.day[i]
        own = spread_at(record, date)
        if k == PEAK:
            flat = (cycles.date[c, PEAK + 1] - cycles.date[c, PEAK - 1]) / math.sqrt(12.0)
            bend = abs(2.0 * quadratic + 6.0 * d * s)
            cycles.sigma[c, k] = min(own / record.bandwidth / bend, flat)
        else:
            foot = spread_at(record, cycles.ends[c, 0 if k < PEAK else 2])
            share = record.shares[k if k < PEAK else 6 - k]
            level = math.hypot((1.0 - share) * foot, share * top)
            cycles.sigma[c, k] = math.hypot(own, level) / abs(b + 2.0 * quadratic * s + 3.0 * d * s * s)
