"""Dates of all cycles of a block of pixels, compiled: clean, smooth, find cycles, date them, judge them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ssl4eco_data.phenology.cleaning import FILLED, SEEN, background, despike, fill_snow, gather, mean_seen
from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.crossings import Curve, area_above, extreme_bias, find_cycles, nodes_of, side_days
from ssl4eco_data.phenology.spline import coefficients, evaluate, fit_best, interval
from ssl4eco_data.types import METRICS, YEAR_DAYS, BoolArray, FloatArray

OK, LOW_CONFIDENCE, NO_CYCLE, NO_DATA = 0, 1, 2, 3
STATUS_MEANINGS = ("ok", "low_confidence", "no_cycle", "no_data")
NO_QUALITY = 255
QUALITY_REACH_DAYS = 14.0
OBSERVED_REACH_DAYS = 8.0
"""A day this close to an observation counts as observed: half a 16-day composite."""
RISE = np.array([0.15, 0.5, 0.9])
"""Shares of a rise at greenup, mid-greenup and maturity; of a fall at dormancy, mid-greendown, senescence."""
FEWEST_FITTED = 4
PEAK = METRICS.index("peak")


class Settings(NamedTuple):
    """What the compiled functions need of the parameters and of the index profile."""

    despike_depth: float
    floor: float
    min_amplitude: float
    valid_min: float
    valid_max: float
    min_observations_per_year: float
    min_relative_amplitude: float
    edge_share: float
    min_cycles: int


class Results(NamedTuple):
    """Arrays to fill: (pixel, cycle, metric), (pixel, cycle) and (pixel,)."""

    date: FloatArray
    sigma: FloatArray
    value: FloatArray
    quality: npt.NDArray[np.uint8]
    amplitude: FloatArray
    area: FloatArray
    status: npt.NDArray[np.int8]
    mean_value: FloatArray


@compiled
def date_metrics(
    nodes: FloatArray,
    curve: Curve,
    spread: FloatArray,
    bandwidth: float,
    cycle: npt.NDArray[np.int64],
    dates: FloatArray,
) -> None:
    """Fill ``dates`` (7) of one cycle (trough, peak, trough nodes), never decreasing."""
    low, top, high = cycle[0], cycle[1], cycle[2]
    crest = nodes[1, top] - extreme_bias(
        nodes, top, low, high, spread_at(curve[0], spread, nodes[0, top]), bandwidth
    )
    days = np.empty(3)
    for side in range(2):
        foot = low if side == 0 else high
        sd = spread_at(curve[0], spread, nodes[0, foot])
        base = nodes[1, foot] + extreme_bias(nodes, foot, foot, top, sd, bandwidth)
        if crest <= base:
            base, crest = nodes[1, foot], nodes[1, top]
        side_days(nodes, curve, foot, top, base + RISE * (crest - base), days)
        for k in range(3):
            dates[k if side == 0 else 6 - k] = days[k]
    dates[PEAK] = nodes[0, top]


@compiled
def spread_at(day: FloatArray, spread: FloatArray, at_day: float) -> float:
    """Standard deviation of the curve at a day, linear between observations."""
    i = interval(day, at_day)
    share = (at_day - day[i]) / (day[i + 1] - day[i])
    return float(spread[i] + share * (spread[i + 1] - spread[i]))


@compiled
def sigma_of(
    curve: Curve,
    spread: FloatArray,
    bandwidth: float,
    cycle_days: FloatArray,
    dates: FloatArray,
    sigma: FloatArray,
) -> None:
    """Fill ``sigma`` (7) in days; ``cycle_days`` are those of trough, peak, trough.

    At a crossing it is sd / abs f', with the sd of curve minus level; at the peak sd' / abs f'', where
    sd' = sd / h, the ratio of the standard deviations of slope and value of a smoothing spline whose
    posterior spectrum is 1 / (1 + (h w)^4) (Silverman 1984; Wahba 1983).
    """
    day, fitted, curvature = curve
    top = spread_at(day, spread, cycle_days[1])
    for k in range(dates.size):
        i = interval(day, dates[k])
        _, b, c, d = coefficients(day, fitted, curvature, i)
        s = dates[k] - day[i]
        own = spread_at(day, spread, dates[k])
        if k == PEAK:
            sigma[k] = own / bandwidth / abs(2.0 * c + 6.0 * d * s)
        else:
            foot = spread_at(day, spread, cycle_days[0 if k < PEAK else 2])
            share = RISE[k if k < PEAK else 6 - k]
            level = math.hypot((1.0 - share) * foot, share * top)
            sigma[k] = math.hypot(own, level) / abs(b + 2.0 * c * s + 3.0 * d * s * s)


@compiled
def unobserved_share(full: FloatArray, at_day: float) -> float:
    """Share of the days within 14 days of ``at_day`` that lie further than 8 days from an observation."""
    start, stop = at_day - QUALITY_REACH_DAYS, at_day + QUALITY_REACH_DAYS
    covered, until = 0.0, start
    for i in range(full.shape[1]):
        if full[3, i] != FILLED:
            low = max(full[0, i] - OBSERVED_REACH_DAYS, until)
            high = min(full[0, i] + OBSERVED_REACH_DAYS, stop)
            if high > low:
                covered += high - low
                until = high
    return 1.0 - covered / (stop - start)


@compiled
def quality_of(full: FloatArray, fitted: FloatArray, at_day: float) -> int:
    """Class 0 (best) to 3 of (4 (1 - unobserved share) + R^2) / 5 within 14 days, cut at 1/4, 1/2, 3/4."""
    weights, mean, squares, errors = 0.0, 0.0, 0.0, 0.0
    for i in range(full.shape[1]):
        if abs(full[0, i] - at_day) <= QUALITY_REACH_DAYS and full[3, i] != FILLED:
            w = full[2, i]
            weights += w
            change = full[1, i] - mean
            mean += change * w / weights
            squares += w * change * (full[1, i] - mean)
            errors += w * (full[1, i] - fitted[i]) ** 2
    fit_share = 0.0
    if squares > 0.0:
        fit_share = max(0.0, 1.0 - errors / squares)
    score = (4.0 * (1.0 - unobserved_share(full, at_day)) + fit_share) / 5.0
    return 3 - min(int(score * 4.0), 3)


@compiled
def largest(areas: FloatArray, room: int) -> npt.NDArray[np.int64]:
    """The numbers of the ``room`` largest areas, in time; ties go to the earlier."""
    chosen = np.zeros(areas.size, dtype=np.bool_)
    for c in np.argsort(-areas, kind="mergesort")[:room]:
        chosen[c] = True
    return np.flatnonzero(chosen)


@compiled
def date_cycles(full: FloatArray, bandwidths: FloatArray, s: Settings, pixel: int, out: Results) -> int:
    """The number of cycles of one pixel's cleaned series, written into row ``pixel`` of ``out``."""
    day, value, weight = full[0].copy(), full[1].copy(), full[2].copy()
    n = day.size
    real, spread = np.zeros(n), np.empty(n)
    for i in range(n):
        if full[3, i] == SEEN:
            real[i] = 1.0
    curvature, fitted, diagonal = np.empty(n), np.empty(n), np.empty(n)
    bandwidth, variance = fit_best(day, value, weight, real, bandwidths, curvature, fitted, diagonal)
    curve = (day, fitted, curvature)
    for i in range(n):
        spread[i] = math.sqrt(variance * max(diagonal[i], 0.0) / weight[i])

    nodes = nodes_of(day, fitted, curvature)
    extent = nodes[1].max() - nodes[1].min()
    smallest = max(s.min_amplitude, s.min_relative_amplitude * extent)
    cycles = find_cycles(nodes, smallest, s.edge_share * extent)
    found = cycles.shape[1]
    dates, areas = np.empty((found, 7)), np.empty(found)
    for c in range(found):
        date_metrics(nodes, curve, spread, bandwidth, cycles[:, c], dates[c])
        base = min(nodes[1, cycles[0, c]], nodes[1, cycles[2, c]])
        areas[c] = area_above(nodes, curve, np.array([dates[c, 0], dates[c, 6], base]))
    room = int(min(found, out.date.shape[1]))
    for k, c in enumerate(largest(areas, room)):
        sigma_of(curve, spread, bandwidth, nodes[0][cycles[:, c]], dates[c], out.sigma[pixel, k])
        low, top, high = nodes[1, cycles[0, c]], nodes[1, cycles[1, c]], nodes[1, cycles[2, c]]
        out.amplitude[pixel, k] = top - 0.5 * (low + high)
        out.area[pixel, k] = areas[c]
        for m in range(7):
            out.date[pixel, k, m] = dates[c, m]
            out.value[pixel, k, m] = evaluate(day, fitted, curvature, dates[c, m])
            out.quality[pixel, k, m] = quality_of(full, fitted, dates[c, m])
    return room


@compiled
def analyse_pixel(seen: FloatArray, bandwidths: FloatArray, s: Settings, pixel: int, out: Results) -> int:
    """Status code of one pixel's gathered observations; fills row ``pixel`` of ``out``."""
    n = seen.shape[1]
    years = 1.0
    if n > 0:
        years = max((seen[0, n - 1] - seen[0, 0]) / YEAR_DAYS, 1.0)
    if n < FEWEST_FITTED or n < s.min_observations_per_year * years:
        return NO_DATA
    clean = despike(seen, s.despike_depth)
    out.mean_value[pixel] = mean_seen(clean)
    if math.isnan(out.mean_value[pixel]) or clean.shape[1] < FEWEST_FITTED:
        return NO_CYCLE
    cycles = date_cycles(fill_snow(clean, background(clean, s.floor)), bandwidths, s, pixel, out)
    if cycles == 0:
        return NO_CYCLE
    return OK if cycles >= s.min_cycles else LOW_CONFIDENCE


@compiled
def analyse(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    snow: BoolArray,
    bandwidths: FloatArray,
    s: Settings,
    out: Results,
) -> None:
    """Fill ``out`` for all pixels of (pixel, time) arrays; ``day`` may have one row for all pixels."""
    for pixel in range(value.shape[0]):
        own_day = day[pixel if day.shape[0] > 1 else 0]
        seen = gather(own_day, value[pixel], weight[pixel], snow[pixel], s.valid_min, s.valid_max)
        out.status[pixel] = analyse_pixel(seen, bandwidths, s, pixel, out)
