"""From raw observations of one pixel to what the spline is fitted to, compiled.

Kinds of observation: 0 seen, 1 snow, 2 filled in between snow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.selection import quantile_of_scratch
from ssl4eco_data.types import BoolArray, FloatArray

SEEN, SNOW, FILLED = 0.0, 1.0, 2.0
SAME_DAY_DAYS = 0.5
DESPIKE_PASSES = 5
DESPIKE_SPAN_DAYS = 45.0
FLOOR_QUANTILE = 0.15
SNOW_WEIGHT = 0.6
FILL_WEIGHT = 0.5
FILL_STEP_DAYS = 8.0
FILL_LONGEST_GAP_DAYS = 185.0


@compiled
def by_day(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    snow: BoolArray,
    valid_min: float,
    valid_max: float,
) -> npt.NDArray[np.int64]:
    """The numbers of the valid observations, by day, those of one day as they came."""
    usable = np.empty(day.size, dtype=np.int64)
    n, latest, ordered = 0, -np.inf, True
    for i in range(day.size):
        weighs = weight[i] > 0.0 and np.isfinite(weight[i])
        if np.isfinite(day[i]) and valid_min <= value[i] <= valid_max and (snow[i] or weighs):
            usable[n] = i
            n += 1
            ordered = ordered and day[i] >= latest
            latest = day[i]
    if ordered:
        return usable[:n]
    return usable[:n][np.argsort(day[usable[:n]], kind="mergesort")]


@compiled
def gather(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    snow: BoolArray,
    valid_min: float,
    valid_max: float,
) -> FloatArray:
    """(4, n) rows day, value, weight, kind of the valid observations, by day, one a day.

    Valid is a finite day, a value in range, and a positive weight or snow. Observations of the same day are
    averaged by weight; a snow-free one wins over snow.
    """
    kept = np.empty((4, day.size))
    n, total = 0, 0.0
    for i in by_day(day, value, weight, snow, valid_min, valid_max):
        kind = SNOW if snow[i] else SEEN
        own = SNOW_WEIGHT if snow[i] else weight[i]
        if n == 0 or day[i] - kept[0, n - 1] >= SAME_DAY_DAYS:
            kept[0, n], kept[1, n], kept[2, n], kept[3, n] = day[i], value[i], own, kind
            n, total = n + 1, own
        elif kind < kept[3, n - 1]:
            kept[1, n - 1], kept[2, n - 1], kept[3, n - 1] = value[i], own, kind
            total = own
        elif kind == kept[3, n - 1]:
            total += own
            kept[1, n - 1] += (value[i] - kept[1, n - 1]) * own / total
            kept[2, n - 1] = max(kept[2, n - 1], own)
    return kept[:, :n].copy()


@compiled
def despike(seen: FloatArray, depth: float) -> FloatArray:
    """``seen`` without sudden drops, as clouds leave them; snow stays.

    An observation goes if it lies more than ``depth``, and more than twice the difference of its two
    neighbours, below the line between these, which are at most 45 days apart; at most five passes.
    """
    free = np.flatnonzero(seen[3] == SEEN)
    keep = np.ones(seen.shape[1], dtype=np.bool_)
    left = free.size
    for _ in range(DESPIKE_PASSES):
        before = left
        left = drop_spikes(seen, free[:before], depth, keep)
        if left == before:
            break
    return seen if left == free.size else seen[:, keep]


@compiled
def drop_spikes(seen: FloatArray, free: npt.NDArray[np.int64], depth: float, keep: BoolArray) -> int:
    """One pass over observations ``free``: how many stay, moved to its front; the others leave ``keep``."""
    if free.size == 0:
        return 0
    left = 1
    a = free[0]
    for k in range(1, free.size):
        i = free[k]
        if k + 1 < free.size:
            b = free[k + 1]
            span = seen[0, b] - seen[0, a]
            step = seen[1, b] - seen[1, a]
            drop = seen[1, a] + step * (seen[0, i] - seen[0, a]) / span - seen[1, i]
            keep[i] = span > DESPIKE_SPAN_DAYS or not (drop > depth and drop > 2.0 * abs(step))
        # The neighbour before is that of the start of the pass, dropped or not.
        a = i
        if keep[i]:
            free[left] = i
            left += 1
    return left


@compiled
def mean_seen(seen: FloatArray) -> float:
    """Mean of the snow-free values, NaN without any."""
    total, n = 0.0, 0
    for i in range(seen.shape[1]):
        if seen[3, i] == SEEN:
            total += seen[1, i]
            n += 1
    return total / n if n else np.nan


@compiled
def background(seen: FloatArray, floor: float) -> float:
    """The 15 % quantile of the snow-free values, at least ``floor``."""
    free = np.empty(seen.shape[1])
    n = 0
    for i in range(seen.shape[1]):
        if seen[3, i] == SEEN:
            free[n] = seen[1, i]
            n += 1
    if n == 0:
        return floor
    return max(floor, quantile_of_scratch(free[:n], FLOOR_QUANTILE))


@compiled
def fill_snow(seen: FloatArray, level: float) -> FloatArray:
    """``seen`` with snow at ``level``, and gaps between snow filled with it about every 5-8 days.

    A gap beside a snow-free date stays a gap: polar night and clouds are missing, not snow.
    """
    n = seen.shape[1]
    between = np.zeros(n, dtype=np.int64)
    for i in range(n - 1):
        gap = seen[0, i + 1] - seen[0, i]
        if seen[3, i] == SNOW and seen[3, i + 1] == SNOW and gap <= FILL_LONGEST_GAP_DAYS:
            between[i] = int(np.ceil(gap / FILL_STEP_DAYS)) - 1
    full = np.empty((4, n + between.sum()))
    k = 0
    for i in range(n):
        for row in range(4):
            full[row, k] = seen[row, i]
        if seen[3, i] == SNOW:
            full[1, k] = level
        k += 1
        for j in range(between[i]):
            share = (j + 1.0) / (between[i] + 1.0)
            full[0, k] = seen[0, i] + share * (seen[0, i + 1] - seen[0, i])
            full[1, k], full[2, k], full[3, k] = level, FILL_WEIGHT, FILLED
            k += 1
    return full
