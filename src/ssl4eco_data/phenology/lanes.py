"""The smoothing spline of ``spline.py`` for four bandwidths of one series, or four series, at once, compiled.

Day, value and weight are (n) where the lanes share them and (n, LANES) where each has its own; the penalties
are (1, LANES), the curvature, fitted values and leverages (n, LANES).
"""

from __future__ import annotations

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.vectors import row, set_row
from ssl4eco_data.types import FloatArray

PAD_STEP_DAYS = 8.0
PAD_WEIGHT = 1e-150
"""So light that what follows a series does not change it in the last bit."""


@compiled
def factorise_lanes(day: FloatArray, weight: FloatArray, penalties: FloatArray, bands: FloatArray) -> None:
    """Fill ``bands`` (3, n, LANES) as ``spline.factorise`` does."""
    n = day.shape[0]
    strength = row(penalties, 0)
    step, step_2 = row(day, 1) - row(day, 0), row(day, 2) - row(day, 1)
    a, c = 1.0 / step, 1.0 / step_2
    p, p_2 = 1.0 / row(weight, 0), 1.0 / row(weight, 1)
    nothing, zero = 0.0 * step, 0.0 * (strength * step)
    l1, l2, l2_before, m1, m2, m2_before = zero, zero, zero, zero, zero, zero
    for j in range(n - 2):
        p_3 = 1.0 / row(weight, j + 2)
        step_3, e = nothing, nothing
        if j + 3 < n:
            step_3 = row(day, j + 3) - row(day, j + 2)
            e = 1.0 / step_3
        b = -1.0 * (a + c)
        diagonal = (step + step_2) / 3.0 + strength * (a * a * p + b * b * p_2 + c * c * p_3)
        inverse = 1.0 / (diagonal - m2_before * l2_before - m1 * l1)
        m2_before, l2_before = m2, l2
        off = zero
        if j + 3 < n:
            off = step_2 / 6.0 + strength * (b * c * p_2 - c * (c + e) * p_3)
        m1, m2 = off - m1 * l2, strength * (c * e * p_3)
        l1, l2 = m1 * inverse, m2 * inverse
        set_row(bands[0], j, inverse)
        set_row(bands[1], j, l1)
        set_row(bands[2], j, l2)
        step, step_2, a, c, p, p_2 = step_2, step_3, c, e, p_2, p_3


@compiled
def fit_lanes(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    penalties: FloatArray,
    bands: FloatArray,
    curvature: FloatArray,
    fitted: FloatArray,
) -> None:
    """Fill ``bands`` (3, n, LANES), ``curvature`` and ``fitted`` as ``spline.fit`` does."""
    n = day.shape[0]
    factorise_lanes(day, weight, penalties, bands)
    strength = row(penalties, 0)
    zero = 0.0 * (strength * row(day, 0))
    z, z_before, l1, l2, l2_before = zero, zero, zero, zero, zero
    slope = (row(value, 1) - row(value, 0)) / (row(day, 1) - row(day, 0))
    for j in range(n - 2):
        slope_next = (row(value, j + 2) - row(value, j + 1)) / (row(day, j + 2) - row(day, j + 1))
        z, z_before = slope_next - slope - l2_before * z_before - l1 * z, z
        set_row(curvature, j + 1, z)
        l2_before, l1, l2 = l2, row(bands[1], j), row(bands[2], j)
        slope = slope_next
    z, z_before, turn = zero, zero, zero
    set_row(curvature, n - 1, zero)
    for i in range(n - 2, -1, -1):
        # ``z`` is f'' at i + 1, ``own`` at i; ``turn`` and ``bend`` are its slopes after i + 1 and after i.
        own = zero
        if i > 0:
            own = row(curvature, i) * row(bands[0], i - 1)
            own = own - row(bands[2], i - 1) * z_before - row(bands[1], i - 1) * z
        set_row(curvature, i, own)
        bend = (z - own) / (row(day, i + 1) - row(day, i))
        set_row(fitted, i + 1, row(value, i + 1) - strength / row(weight, i + 1) * (turn - bend))
        z, z_before, turn = own, z, bend
    set_row(fitted, 0, row(value, 0) - strength / row(weight, 0) * turn)


@compiled
def leverage_lanes(
    day: FloatArray, weight: FloatArray, penalties: FloatArray, bands: FloatArray, diagonal: FloatArray
) -> None:
    """Fill ``diagonal`` (n, LANES) as ``spline.leverage`` does."""
    strength = row(penalties, 0)
    nothing, zero = 0.0 * row(day, 0), 0.0 * (strength * row(day, 0))
    after = nothing
    v0, v1, v2, u0, u1, far = zero, zero, zero, zero, zero, zero
    for i in range(day.shape[0] - 1, -1, -1):
        v2, v1, u1 = v1, v0, u0
        v0, u0, far, before = zero, zero, zero, nothing
        if i >= 1:
            before = 1.0 / (row(day, i) - row(day, i - 1))
        if i >= 2:
            l1, l2 = row(bands[1], i - 2), row(bands[2], i - 2)
            u0 = -1.0 * (l1 * v1 + l2 * u1)
            far = -1.0 * (l1 * u1 + l2 * v2)
            v0 = row(bands[0], i - 2) - l1 * u0 - l2 * far
        middle = -1.0 * (before + after)
        form = before * before * v0 + middle * middle * v1 + after * after * v2
        form = form + 2.0 * (before * middle * u0 + middle * after * u1 + before * after * far)
        set_row(diagonal, i, 1.0 - strength / row(weight, i) * form)
        after = before


@compiled
def place(series: FloatArray, lane: int, day: FloatArray, value: FloatArray, weight: FloatArray) -> None:
    """Write ``series`` (3, m) of day, value, weight into ``lane``; what follows it up to n is padded.

    A natural spline goes on as a straight line beyond its last observation, so later observations that weigh
    next to nothing change neither the curve nor the leverages before them.
    """
    m = series.shape[1]
    for i in range(day.shape[0]):
        if i < m:
            day[i, lane], value[i, lane], weight[i, lane] = series[0, i], series[1, i], series[2, i]
        else:
            day[i, lane] = day[i - 1, lane] + PAD_STEP_DAYS
            value[i, lane], weight[i, lane] = 0.0, PAD_WEIGHT
