"""How well a date is observed, compiled: the share of days without an observation, and the quality class."""

from __future__ import annotations

from ssl4eco_data.phenology.cleaning import FILLED
from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.types import FloatArray

QUALITY_REACH_DAYS = 14.0
OBSERVED_REACH_DAYS = 8.0
"""A day this close to an observation counts as observed: half a 16-day composite."""
_FURTHEST_DAYS = QUALITY_REACH_DAYS + OBSERVED_REACH_DAYS


@compiled
def first_from(full: FloatArray, from_day: float) -> int:
    """The number of the first observation at or after ``from_day``, of all where there is none."""
    low, high = 0, full.shape[1]
    while low < high:
        middle = (low + high) // 2
        if full[0, middle] < from_day:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def unobserved_share(full: FloatArray, at_day: float) -> float:
    """Share of the days within 14 days of ``at_day`` that lie further than 8 days from an observation."""
    start, stop = at_day - QUALITY_REACH_DAYS, at_day + QUALITY_REACH_DAYS
    covered, until = 0.0, start
    for i in range(first_from(full, at_day - _FURTHEST_DAYS), full.shape[1]):
        if full[0, i] - OBSERVED_REACH_DAYS >= stop:
            break
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
    for i in range(first_from(full, at_day - QUALITY_REACH_DAYS), full.shape[1]):
        if full[0, i] - at_day > QUALITY_REACH_DAYS:
            break
        if full[3, i] != FILLED:
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
