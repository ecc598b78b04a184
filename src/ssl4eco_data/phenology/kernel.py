"""Dates of all cycles of a block of pixels, compiled: clean, smooth, find cycles, date them, judge them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ssl4eco_data.phenology.cleaning import background, despike, fill_snow, gather, mean_seen
from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.crossings import nodes_of
from ssl4eco_data.phenology.quality import quality_of
from ssl4eco_data.phenology.record import Cycles, Record, curve_at, levels_of, record_of
from ssl4eco_data.phenology.season import value_and_slope
from ssl4eco_data.phenology.seasons import cycles_of, learn_from_other_years
from ssl4eco_data.phenology.spline import evaluate
from ssl4eco_data.types import METRICS, YEAR_DAYS, BoolArray, FloatArray

OK, LOW_CONFIDENCE, NO_CYCLE, NO_DATA = 0, 1, 2, 3
STATUS_MEANINGS = ("ok", "low_confidence", "no_cycle", "no_data")
NO_QUALITY = 255
FEWEST_FITTED = 4
AREA_STEPS = 32


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
    shares: FloatArray


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
def largest(areas: FloatArray, room: int) -> npt.NDArray[np.int64]:
    """The numbers of the ``room`` largest areas, in time; ties go to the earlier."""
    chosen = np.zeros(areas.size, dtype=np.bool_)
    for c in np.argsort(-areas, kind="mergesort")[:room]:
        chosen[c] = True
    return np.flatnonzero(chosen)


@compiled
def record_and_cycles(clean: FloatArray, bandwidths: FloatArray, s: Settings) -> tuple[Record, Cycles, int]:
    """The record of despiked observations ``clean`` (4, n), its cycles and their number."""
    low = background(clean, -math.inf)
    record = record_of(fill_snow(clean, max(low, s.floor)), low, bandwidths, s.shares)
    nodes = nodes_of(record.day, record.fitted, record.curvature)
    cycles, count = cycles_of(record, nodes, s.min_amplitude, s.min_relative_amplitude, s.edge_share)
    return record, cycles, learn_from_other_years(record, cycles, count)


@compiled
def date_cycles(clean: FloatArray, bandwidths: FloatArray, s: Settings, pixel: int, out: Results) -> int:
    """The number of cycles of one pixel's despiked series, written into row ``pixel`` of ``out``."""
    record, cycles, found = record_and_cycles(clean, bandwidths, s)
    areas = np.empty(found)
    for c in range(found):
        areas[c] = area_of(record, cycles, found, c)
    room = int(min(found, out.date.shape[1]))
    for k, c in enumerate(largest(areas, room)):
        low, top, high = levels_of(cycles, c)
        out.amplitude[pixel, k], out.area[pixel, k] = top - 0.5 * (low + high), areas[c]
        for m in range(len(METRICS)):
            at = cycles.date[c, m]
            out.date[pixel, k, m], out.sigma[pixel, k, m] = at, cycles.sigma[c, m]
            if cycles.described[c]:
                out.value[pixel, k, m] = value_and_slope(cycles.season[c], at)[0]
            else:
                out.value[pixel, k, m] = evaluate(record.day, record.fitted, record.curvature, at)
            out.quality[pixel, k, m] = quality_of(record.full, record.fitted, at)
    return room


@compiled
def area_of(record: Record, cycles: Cycles, count: int, c: int) -> float:
    """Index-days from greenup to dormancy of cycle ``c`` above its lower trough, by Simpson's rule."""
    low, _, high = levels_of(cycles, c)
    step, total = (cycles.date[c, -1] - cycles.date[c, 0]) / AREA_STEPS, 0.0
    for k in range(AREA_STEPS + 1):
        share = 1.0 if k in (0, AREA_STEPS) else (4.0 if k % 2 else 2.0)
        height = curve_at(record, cycles, count, cycles.date[c, 0] + k * step) - min(low, high)
        total += share / 3.0 * step * height
    return max(total, 0.0)


@compiled
def smoothed(clean: FloatArray, bandwidths: FloatArray, s: Settings, at_days: FloatArray) -> FloatArray:
    """The curve of despiked observations ``clean`` (4, n) at days (k,)."""
    record, cycles, found = record_and_cycles(clean, bandwidths, s)
    return np.array([curve_at(record, cycles, found, day) for day in at_days])


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
    cycles = date_cycles(clean, bandwidths, s, pixel, out)
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
