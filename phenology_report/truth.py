"""True dates of noise-free curves, by the definition of MCD12Q2.

Greenup, mid-greenup and maturity are the first crossings of 15, 50 and 90 % of the rise, senescence,
mid-greendown and dormancy the last of 90, 50 and 15 % of the fall (Gray, Sulla-Menashe and Friedl 2022, User
guide to MCD12Q2 collection 6.1). Plain loops over daily values: nothing is shared with the engine.
"""

from __future__ import annotations

import numpy as np

from ssl4eco_data.types import METRICS, FloatArray

SMALLEST_AMPLITUDE = 0.08
"""Smaller rises or falls are no cycle; the shapes have none between 0.04 and 0.1."""
LONGEST_SIDE_DAYS = 185
RISE, FALL = (0.15, 0.5, 0.9), (0.9, 0.5, 0.15)


def true_dates(day: FloatArray, clean: FloatArray, most: int) -> FloatArray:
    """(pixel, most, 7) dates of the cycles of ``clean`` (pixel, day) in time, NaN beyond them.

    ``day`` (d,) ascends by whole days. Crossings lie on the line between two days, a peak on the parabola
    through three.
    """
    dates = np.full((clean.shape[0], most, len(METRICS)), np.nan)
    for pixel, curve in enumerate(clean):
        cycles = cycles_of(curve)
        if len(cycles) > most:
            raise ValueError(f"pixel {pixel} has {len(cycles)} cycles, room is for {most}")
        for number, cycle in enumerate(cycles):
            dates[pixel, number] = dates_of(day, curve, *cycle)
    return dates


def cycles_of(curve: FloatArray) -> list[tuple[int, int, int]]:
    """Trough, peak, trough of each cycle; too low peaks go from the lowest up and then bound no other."""
    slope = np.diff(curve)
    peaks = [int(p) for p in np.flatnonzero((slope[:-1] > 0) & (slope[1:] <= 0)) + 1]
    for peak in sorted(peaks, key=lambda p: (curve[p], p)):
        low, high = troughs(curve, peaks, peak)
        if curve[peak] - max(curve[low], curve[high]) < SMALLEST_AMPLITUDE:
            peaks.remove(peak)
    return [(low, peak, high) for peak in peaks for low, high in [troughs(curve, peaks, peak)]]


def troughs(curve: FloatArray, peaks: list[int], peak: int) -> tuple[int, int]:
    """The lowest days before and after ``peak``, up to the next peak and at most 185 days away."""
    place = peaks.index(peak)
    start = max(peaks[place - 1] if place else 0, peak - LONGEST_SIDE_DAYS)
    stop = min(peaks[place + 1] if place + 1 < len(peaks) else curve.size - 1, peak + LONGEST_SIDE_DAYS)
    return start + int(np.argmin(curve[start : peak + 1])), peak + int(np.argmin(curve[peak : stop + 1]))


def dates_of(day: FloatArray, curve: FloatArray, low: int, peak: int, high: int) -> FloatArray:
    """The seven dates of one cycle."""
    before, top, after = curve[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    crest = day[peak] + (0.5 * (before - after) / bend if bend < 0 else 0.0)
    up, down = curve[low : peak + 1], curve[peak : high + 1][::-1]
    rising = [day[low] + first_crossing(up, share) for share in RISE]
    falling = [day[high] - first_crossing(down, share) for share in FALL]
    return np.array([*rising, crest, *falling])


def first_crossing(side: FloatArray, share: float) -> float:
    """Days from the first value of ``side`` to the first crossing of ``share`` of its whole rise."""
    level = side[0] + share * (side[-1] - side[0])
    i = int(np.argmax(side >= level))
    return float(i - (side[i] - level) / (side[i] - side[i - 1]))
