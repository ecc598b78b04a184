"""The typical year of a pixel: one or two seasons on the circle of the year, compiled.

Phases are days modulo 365.2425 from 1970-01-01, so a phase is the day since 1 January within a day.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ssl4eco_data.phenology.compiled import compiled, quantile
from ssl4eco_data.types import METRICS, YEAR_DAYS, FloatArray

PEAK = METRICS.index("peak")
SEASONS_AT_MOST = 2
YEAR_SLACK = 0.25
"""Share of a year by which the same season may come early; peaks further apart are not the same season's."""
CYCLES_FOR_TWO = 1.25
"""Two seasons need more cycles a year than this, and each of them one every other year."""


class Climatology(NamedTuple):
    """Typical years of pixels, as :func:`climatology` describes them; season 0 dominates."""

    seasons: npt.NDArray[np.int64]
    anchor: FloatArray
    offset: FloatArray
    mad: FloatArray
    cycles: npt.NDArray[np.int64]
    resultant: FloatArray
    rank: npt.NDArray[np.int64]


@compiled
def around(days: float) -> float:
    """``days`` as a distance on the circle, in [-half a year, half a year]."""
    return float(days - YEAR_DAYS * np.round(days / YEAR_DAYS))


@compiled
def circular_median(days: FloatArray) -> float:
    """Phase in [0, 365.2425): ordinary median around the day with the least sum of distances to all others.

    Of several such days the first in ``days`` is taken.
    """
    best, least = 0, math.inf
    for i in range(days.size):
        total = 0.0
        for j in range(days.size):
            total += abs(around(days[j] - days[i]))
        if total < least - 1e-9:
            best, least = i, total
    spread = np.empty(days.size)
    for j in range(days.size):
        spread[j] = around(days[j] - days[best])
    return float((days[best] + quantile(spread, 0.5)) % YEAR_DAYS)


@compiled
def resultant_length(days: FloatArray) -> float:
    """Length of the mean direction on the circle of the year: 1 all on one day, 0 no preferred day."""
    x, y = 0.0, 0.0
    for day in days:
        x += math.cos(2.0 * math.pi * day / YEAR_DAYS)
        y += math.sin(2.0 * math.pi * day / YEAR_DAYS)
    return math.hypot(x, y) / days.size


@compiled
def split_seasons(peaks: FloatArray, separation: float) -> npt.NDArray[np.int64]:
    """0 or 1 for each peak (ascending days): two groups where the two widest gaps of the circle allow it."""
    n = peaks.size
    groups = np.zeros(n, dtype=np.int64)
    years = np.floor((peaks[n - 1] - peaks[0]) / YEAR_DAYS + YEAR_SLACK) + 1.0
    if n < CYCLES_FOR_TWO * years or n < SEASONS_AT_MOST:
        return groups
    order = np.argsort(peaks % YEAR_DAYS, kind="mergesort")
    phase = (peaks % YEAR_DAYS)[order]
    gaps = np.empty(n)
    for i in range(n - 1):
        gaps[i] = phase[i + 1] - phase[i]
    gaps[n - 1] = phase[0] + YEAR_DAYS - phase[n - 1]
    widest = np.argsort(-gaps, kind="mergesort")[:2]
    first, second = widest.min(), widest.max()
    inside = second - first
    if gaps[widest].min() < separation or min(inside, n - inside) < 0.5 * years:
        return groups
    for i in range(first + 1, second + 1):
        groups[order[i]] = 1
    return groups


@compiled
def one_a_year(peaks: FloatArray, anchor: float) -> npt.NDArray[np.bool_]:
    """Which peaks stand for their year: in each year the one nearest to ``anchor``, the first of equals."""
    chosen = np.ones(peaks.size, dtype=np.bool_)
    for i in range(peaks.size):
        for j in range(peaks.size):
            same = np.round((peaks[i] - anchor) / YEAR_DAYS) == np.round((peaks[j] - anchor) / YEAR_DAYS)
            own, other = abs(around(peaks[i] - anchor)), abs(around(peaks[j] - anchor))
            if same and (other < own or (other == own and j < i)):
                chosen[i] = False
    return chosen


@compiled
def describe_season(
    dates: FloatArray, members: npt.NDArray[np.int64], pixel: int, season: int, out: Climatology
) -> None:
    """Write the typical dates of the cycles ``members`` (rows of ``dates``) as a season of ``pixel``."""
    peaks = dates[members, PEAK]
    anchor = circular_median(peaks)
    used = members[one_a_year(peaks, anchor)]
    offsets = np.empty(used.size)
    out.anchor[pixel, season] = anchor
    out.cycles[pixel, season] = used.size
    out.resultant[pixel, season] = resultant_length(peaks)
    for m in range(dates.shape[1]):
        for i in range(used.size):
            peak = dates[used[i], PEAK]
            offsets[i] = dates[used[i], m] - peak + around(peak - anchor)
        out.offset[pixel, season, m] = quantile(offsets, 0.5)
        for i in range(used.size):
            offsets[i] = abs(offsets[i] - out.offset[pixel, season, m])
        out.mad[pixel, season, m] = quantile(offsets, 0.5)
    for i in used:
        out.rank[pixel, i] = season


@compiled
def describe(dates: FloatArray, areas: FloatArray, separation: float, out: Climatology) -> None:
    """Fill ``out`` from (pixel, cycle, metric) dates and (pixel, cycle) areas; the larger median leads."""
    for pixel in range(dates.shape[0]):
        present = np.flatnonzero(np.isfinite(dates[pixel, :, PEAK]))
        if present.size == 0:
            continue
        groups = split_seasons(dates[pixel][present, PEAK], separation)
        first, second = present[groups == 0], present[groups == 1]
        out.seasons[pixel] = 1
        if second.size > 0:
            out.seasons[pixel] = 2
            if quantile(areas[pixel][second], 0.5) > quantile(areas[pixel][first], 0.5):
                first, second = second, first
            describe_season(dates[pixel], second, pixel, 1, out)
        describe_season(dates[pixel], first, pixel, 0, out)


def climatology(dates: FloatArray, areas: FloatArray, separation_days: float) -> Climatology:
    """Typical years, from dates (pixel, cycle, metric) in days since 1970-01-01 and areas (pixel, cycle).

    Axes: ``seasons`` (pixel,), ``rank`` (pixel, cycle), ``offset`` and ``mad`` (pixel, season, metric), the
    others (pixel, season).

    ``anchor`` is the circular median of the peak days (a phase in [0, 365.2425)), ``offset`` the median over
    years of each date's distance to the anchor of its cycle's year. A whole cycle moves by one shift, so the
    metrics keep their order, and an uncertain peak moves only itself. ``mad`` is the median absolute
    deviation in days over years; ``rank`` is 0 for the dominant season, 1 for the second, -1 for neither.
    NaN and 0 where there is no cycle.
    """
    pixels, most, metrics = dates.shape
    shape = (pixels, SEASONS_AT_MOST)
    out = Climatology(
        seasons=np.zeros(pixels, dtype=np.int64),
        anchor=np.full(shape, np.nan),
        offset=np.full((*shape, metrics), np.nan),
        mad=np.full((*shape, metrics), np.nan),
        cycles=np.zeros(shape, dtype=np.int64),
        resultant=np.full(shape, np.nan),
        rank=np.full((pixels, most), -1, dtype=np.int64),
    )
    describe(np.ascontiguousarray(dates), np.ascontiguousarray(areas), separation_days, out)
    return out
