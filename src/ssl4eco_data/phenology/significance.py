"""Cycles that are seasons, told from dips that clouds leave in an index that is green all year, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ssl4eco_data.phenology.cleaning import FILLED
from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.selection import quantile_of_scratch
from ssl4eco_data.phenology.spline import interval
from ssl4eco_data.types import FloatArray

SPAN_BELOW, SPAN_ABOVE = 0.15, 0.97
"""Quantiles between which a record with seasons spans the smallest amplitude: a season may be short."""
FEWEST_IN_TROUGH = 3
"""Two clouds in a row are chance, three are a trough."""


@compiled
def spans(values: FloatArray, least: float) -> bool:
    """Whether the values span ``least`` without their lowest 15 % and highest 3 %.

    Clouds only lower an index, so a steady one with clouds does not, while one with a short season does.
    """
    scratch = values.copy()
    return quantile_of_scratch(scratch, SPAN_ABOVE) - quantile_of_scratch(scratch, SPAN_BELOW) >= least


@compiled
def supported(full: FloatArray, fitted: FloatArray, foot_day: float, level: float) -> bool:
    """Whether at least three observations of the trough at ``foot_day`` are below ``level``, as the curve is.

    ``full`` (4, n) are the cleaned observations, ``fitted`` (n) the curve at them; fillings do not count.
    """
    foot, last = interval(full[0], foot_day), full.shape[1] - 1
    first, stop = foot, foot + 1
    while first > 0 and fitted[first] < level:
        first -= 1
    while stop < last and fitted[stop] < level:
        stop += 1
    below = 0
    for i in range(first, stop + 1):
        if full[3, i] != FILLED and fitted[i] < level and full[1, i] < level:
            below += 1
    return below >= FEWEST_IN_TROUGH


@compiled
def seasons_only(
    full: FloatArray, fitted: FloatArray, nodes: FloatArray, cycles: npt.NDArray[np.int64], least: float
) -> npt.NDArray[np.int64]:
    """``cycles`` (3, c) that are seasons: all if the record spans ``least``, else those of two real troughs.

    A trough is real if it is supported below the middle between itself and the peak.
    """
    if cycles.shape[1] == 0 or spans(full[1], least):
        return cycles
    kept = np.ones(cycles.shape[1], dtype=np.bool_)
    for c in range(cycles.shape[1]):
        for foot in (cycles[0, c], cycles[2, c]):
            middle = 0.5 * (nodes[1, foot] + nodes[1, cycles[1, c]])
            kept[c] = kept[c] and supported(full, fitted, nodes[0, foot], middle)
    return cycles[:, kept].copy()
