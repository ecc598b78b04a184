"""A small set of synthetic curves with their truth, made for these tests."""

from __future__ import annotations

import numpy as np
import xarray as xr

YEAR = 365.2425


def season(day, start, end, rise=0.1, fall=0.09):
    """Double logistic in [0, 1] of one season."""
    return 1 / (1 + np.exp(-rise * (day - start))) - 1 / (1 + np.exp(-fall * (day - end)))


def yearly(day, start, end, base=0.15, amplitude=0.4, rise=0.1, fall=0.09):
    """Base and one season a year, ``start`` and ``end`` in days since 1 January."""
    curve = np.full(np.shape(day), base, dtype=float)
    first, last = int(np.min(day) // YEAR) - 2, int(np.max(day) // YEAR) + 2
    for year in range(first, last + 1):
        curve += amplitude * season(day - year * YEAR, start, end, rise, fall)
    return curve


def crossings_of(start, end, rise=0.1, fall=0.09):
    """True day of each metric (0 greenup … 6 dormancy) of :func:`yearly`, by brute force."""
    day = np.arange(start - 150, end + 150, 0.01)
    curve = yearly(day, start, end, 0.0, 1.0, rise, fall)
    top = int(curve.argmax())
    low, high = int(curve[:top].argmin()), top + int(curve[top:].argmin())
    up, down = curve[low : top + 1], curve[top : high + 1]
    rising = [low + int(np.argmax(up >= up[0] + f * (up[-1] - up[0]))) for f in (0.15, 0.5, 0.9)]
    falling = [
        high - int(np.argmax(down[::-1] >= down[-1] + f * (down[0] - down[-1]))) for f in (0.9, 0.5, 0.15)
    ]
    return day[[*rising, top, *falling]]


def series_of(day, value, *, weight=None, snow=None, index="evi2", dims=("pixel", "time")):
    """A labelled series of (pixel, time) values at shared or own days."""
    value = np.atleast_2d(np.asarray(value, dtype=float))
    day = np.asarray(day, dtype=float)
    shape = value.shape
    weight = np.isfinite(value).astype(float) if weight is None else np.broadcast_to(weight, shape)
    snow = np.zeros(shape, dtype=bool) if snow is None else np.broadcast_to(snow, shape)
    return xr.Dataset(
        {
            "value": (dims, value),
            "weight": (dims, weight),
            "snow": (dims, snow),
            "day": ("time", day) if day.ndim == 1 else (dims, day),
        },
        attrs={"index": index},
    )
