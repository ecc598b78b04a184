"""Extrema, cycles and threshold crossings of a cubic spline, compiled.

The curve is cut at observations and extrema into monotone pieces. Nodes are (3, k) rows: day, value, and
kind (1 maximum, -1 minimum, 0 neither).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.spline import coefficients, interval
from ssl4eco_data.types import BoolArray, FloatArray

Curve = tuple[FloatArray, FloatArray, FloatArray]
"""Days, values and second derivatives at the observations."""
LONGEST_SIDE_DAYS = 185.0
"""A rise or fall is looked for within this distance of the peak."""
STEPS_AT_MOST = 60
DAY_TOLERANCE = 1e-9
IntArray = npt.NDArray[np.int64]


@compiled
def turning_points(b: float, c: float, d: float, step: float) -> tuple[float, float]:
    """Zeros in (0, step) of b + 2 c s + 3 d s^2, ascending; NaN for none."""
    first, second = math.nan, math.nan
    quadratic = 3.0 * d
    inside = c * c - quadratic * b
    if inside > 0.0:
        root = -(c + math.copysign(math.sqrt(inside), c))
        if root != 0.0:
            second = b / root
        if quadratic != 0.0:
            first = root / quadratic
    if not 0.0 < first < step:
        first = math.nan
    if not 0.0 < second < step:
        second = math.nan
    if first > second or math.isnan(first):
        first, second = second, first
    return first, second


@compiled
def nodes_of(day: FloatArray, fitted: FloatArray, curvature: FloatArray) -> FloatArray:
    """(3, k) observations and extrema of the curve in order: day, value, kind."""
    n = day.size
    nodes = np.empty((3, 3 * n))
    k = 0
    for i in range(n - 1):
        nodes[0, k], nodes[1, k], nodes[2, k] = day[i], fitted[i], 0.0
        k += 1
        a, b, c, d = coefficients(day, fitted, curvature, i)
        first, second = turning_points(b, c, d, day[i + 1] - day[i])
        for s in (first, second):
            if not math.isnan(s):
                bend = 2.0 * c + 6.0 * d * s
                nodes[0, k] = day[i] + s
                nodes[1, k] = ((d * s + c) * s + b) * s + a
                nodes[2, k] = -np.sign(bend)
                k += 1
    nodes[0, k], nodes[1, k], nodes[2, k] = day[n - 1], fitted[n - 1], 0.0
    return nodes[:, : k + 1].copy()


@compiled
def trough(nodes: FloatArray, peak: int, bound: int) -> int:
    """The lowest node from ``peak`` to ``bound``, at most 185 days away; ties go to the nearer.

    A fall that is still under way at 185 days is followed to its end, or a peak early on a long plateau would
    leave half of the fall out.
    """
    best = peak
    step = 1 if bound > peak else -1
    for i in range(peak, bound + step, step):
        far = abs(nodes[0, i] - nodes[0, peak]) > LONGEST_SIDE_DAYS
        if far and (best != i - step or nodes[1, i] >= nodes[1, best]):
            break
        if nodes[1, i] < nodes[1, best]:
            best = i
    return best


@compiled
def find_cycles(nodes: FloatArray, smallest: float, edge_tolerance: float, banned: BoolArray) -> IntArray:
    """(3, c) node numbers of trough, peak, trough of each cycle, in time.

    Peaks are visited from the lowest up. One whose rise or fall is below ``smallest`` is deleted and no
    longer bounds its neighbours. A side that ends at the end of the record, further than ``edge_tolerance``
    above the record's minimum, is cut, and its cycle is left out.
    """
    peaks = np.flatnonzero(nodes[2] == 1.0)
    last = nodes.shape[1] - 1
    alive = np.ones(peaks.size, dtype=np.bool_)
    sides = np.empty((3, peaks.size), dtype=np.int64)
    for p in np.argsort(nodes[1][peaks], kind="mergesort"):
        if banned[peaks[p]]:
            alive[p] = False
            continue
        before, after = p - 1, p + 1
        while before >= 0 and not alive[before]:
            before -= 1
        while after < peaks.size and not alive[after]:
            after += 1
        low = trough(nodes, peaks[p], peaks[before] if before >= 0 else 0)
        high = trough(nodes, peaks[p], peaks[after] if after < peaks.size else last)
        top = nodes[1, peaks[p]]
        alive[p] = top - nodes[1, low] >= smallest and top - nodes[1, high] >= smallest
        sides[0, p], sides[1, p], sides[2, p] = low, peaks[p], high
    lowest = nodes[1].min() + edge_tolerance
    for p in range(peaks.size):
        cut_start = sides[0, p] == 0 and nodes[1, 0] > lowest
        cut_end = sides[2, p] == last and nodes[1, last] > lowest
        alive[p] = alive[p] and not cut_start and not cut_end
    return sides[:, alive].copy()


@compiled
def crossing_piece(nodes: FloatArray, start: int, stop: int, level: float) -> int:
    """The node before the first piece that crosses ``level`` on the way from node ``start`` to ``stop``."""
    step = 1 if stop > start else -1
    above = nodes[1, start] >= level
    i = start
    while i != stop - step and (nodes[1, i + step] >= level) == above:
        i += step
    return i


@compiled
def crossing_day(curve: Curve, low_day: float, high_day: float, level: float) -> float:
    """The day between two days of one monotone piece where the curve passes ``level`` from below.

    Newton's method, kept between both days by bisection.
    """
    day, fitted, curvature = curve
    i = interval(day, 0.5 * (low_day + high_day))
    a, b, c, d = coefficients(day, fitted, curvature, i)
    low, high = low_day - day[i], high_day - day[i]
    s = 0.5 * (low + high)
    for _ in range(STEPS_AT_MOST):
        above = ((d * s + c) * s + b) * s + a - level
        if above < 0.0:
            low = s
        else:
            high = s
        slope = (3.0 * d * s + 2.0 * c) * s + b
        following = s - above / slope if slope != 0.0 else math.nan
        if not min(low, high) < following < max(low, high):
            following = 0.5 * (low + high)
        moved = abs(following - s)
        s = following
        if moved < DAY_TOLERANCE:
            break
    return float(day[i] + s)


@compiled
def side_days(
    nodes: FloatArray, curve: Curve, low: int, top: int, levels: FloatArray, days: FloatArray
) -> None:
    """Fill ``days`` (3) where the curve passes ``levels`` (ascending) between nodes ``low`` and ``top``.

    The middle level is met first on the way from the trough to the peak; from there the lowest is looked for
    towards the trough, the highest towards the peak, so that ripples of a flat background date nothing.
    """
    step = 1 if top > low else -1
    middle = crossing_piece(nodes, low, top, levels[1])
    for k in range(3):
        piece = middle
        if k == 0:
            piece = crossing_piece(nodes, middle + step, low, levels[0]) - step
        elif k == 2:
            piece = crossing_piece(nodes, middle, top, levels[2])
        days[k] = crossing_day(curve, nodes[0, piece], nodes[0, piece + step], levels[k])


@compiled
def extreme_bias(nodes: FloatArray, at: int, start: int, stop: int, spread: float, bandwidth: float) -> float:
    """How far the extreme at node ``at`` is expected beyond the true level, because it is the extreme.

    Where the curve stays within two standard deviations of its extreme for long, that is the extreme of m
    independent errors (one every pi h days), so Blom's (1958) expectation of it, times the standard
    deviation.
    """
    first, last = min(start, stop), max(start, stop)
    near = 0.0
    for i in range(first, last):
        for end in (i, i + 1):
            if abs(nodes[1, end] - nodes[1, at]) <= 2.0 * spread:
                near += 0.5 * (nodes[0, i + 1] - nodes[0, i])
    return spread * blom(max(near / (math.pi * bandwidth), 1.0))


@compiled
def blom(m: float) -> float:
    """Expected largest of ``m`` standard normal deviates, by Blom's formula; zero for one."""
    q = 1.0 - (m - 0.375) / (m + 0.25)
    # Abramowitz and Stegun 26.2.22: inverse of the normal tail within 0.003.
    t = math.sqrt(-2.0 * math.log(q))
    return max(t - (2.30753 + 0.27061 * t) / (1.0 + 0.99229 * t + 0.04481 * t * t), 0.0)
