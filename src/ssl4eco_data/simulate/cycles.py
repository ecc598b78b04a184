"""True vegetation cycles of a noise-free daily curve, by the definition of MCD12Q2 v6.1.

This is the yardstick, so it is written plainly and shares nothing with the production algorithm.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ssl4eco_data.types import FloatArray

MIN_AMPLITUDE = 0.1
MIN_SHARE_OF_RANGE = 0.35
SEARCH_DAYS = 185
"""Amplitudes of a cycle and the longest rise and fall. Source: MCD12Q2 Collection 6.1 user guide."""


def vegetation_cycles(first_day: int, curve: npt.NDArray[np.floating]) -> FloatArray:
    """Seven dates of every cycle, ``(cycle, metric)`` float64 in the order of ``METRICS``, in time order.

    ``curve`` holds one value a day from ``first_day`` on; dates are in the same days, interpolated between
    them. Rises and falls cut off by the ends of the curve are not recognised as such: give it a year more.
    """
    value = np.asarray(curve, np.float64)
    needed = max(MIN_AMPLITUDE, MIN_SHARE_OF_RANGE * float(np.ptp(value)))
    peaks = _peaks(value, needed)
    return np.array([first_day + _dates(value, peaks, i) for i in range(len(peaks))]).reshape(-1, 7)


def _peaks(value: FloatArray, needed: float) -> list[int]:
    """Positions of the peaks that rise and fall enough; the lowest insufficient one goes first."""
    step = np.diff(value)
    peaks = [int(i) + 1 for i in np.flatnonzero((step[:-1] > 0) & (step[1:] <= 0))]
    while peaks:
        small = [p for i, p in enumerate(peaks) if min(_amplitudes(value, peaks, i)) < needed]
        if not small:
            return peaks
        peaks.remove(min(small, key=lambda p: (value[p], p)))
    return peaks


def _limits(value: FloatArray, peaks: list[int], i: int) -> tuple[int, int]:
    """Positions of the minima before and after a peak, within reach and not beyond its neighbours."""
    peak = peaks[i]
    low = max(peak - SEARCH_DAYS, peaks[i - 1] if i else 0)
    high = min(peak + SEARCH_DAYS, peaks[i + 1] if i + 1 < len(peaks) else len(value) - 1)
    return low + int(np.argmin(value[low : peak + 1])), peak + int(np.argmin(value[peak : high + 1]))


def _amplitudes(value: FloatArray, peaks: list[int], i: int) -> tuple[float, float]:
    before, after = _limits(value, peaks, i)
    return float(value[peaks[i]] - value[before]), float(value[peaks[i]] - value[after])


def _dates(value: FloatArray, peaks: list[int], i: int) -> FloatArray:
    before, after = _limits(value, peaks, i)
    peak = peaks[i]
    rise = value[before : peak + 1]
    fall = value[peak : after + 1][::-1]
    up = [before + _first_crossing(rise, share) for share in (0.15, 0.5, 0.9)]
    down = [after - _first_crossing(fall, share) for share in (0.9, 0.5, 0.15)]
    return np.array([*up, peak + _summit(value[peak - 1 : peak + 2]), *down])


def _first_crossing(rise: FloatArray, share: float) -> float:
    """Position, between samples, at which a curve first reaches a share of its whole rise."""
    level = rise[0] + share * (rise[-1] - rise[0])
    i = int(np.argmax(rise >= level))
    return i - 1 + float((level - rise[i - 1]) / (rise[i] - rise[i - 1]))


def _summit(three: FloatArray) -> float:
    """Offset from the middle sample of the top of the parabola through three samples."""
    bend = three[0] - 2 * three[1] + three[2]
    return float(0.5 * (three[0] - three[2]) / bend) if bend < 0 else 0.0
