"""Season windows: how a typical year is cut into seasons, and the days of one season of one year."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ssl4eco_data.types import METRICS, SEASONS, YEAR_DAYS, FloatArray, SeasonWindow

DOMINANT = ("greenup", "maturity", "senescence", "dormancy")
CALENDAR_MIDDLES = (79.0, 171.0, 263.0, 354.0)
"""21 March, June, September and December, in days since 1 January."""

Windows = dict[str, tuple[float, float]]


def partition(lengths: FloatArray, minima: FloatArray, total: float) -> FloatArray:
    """``lengths`` (summing to ``total``, perhaps negative) raised to ``minima``; the sum stays.

    What is added is taken from the others in proportion to what they have above their own minimum.
    """
    excess = np.maximum(lengths - minima, 0.0)
    free = total - minima.sum()
    return np.asarray(minima + excess * (free / excess.sum()))


def year_windows(days: Mapping[str, float], second: Mapping[str, float] | None, min_days: float) -> Windows:
    """Start and end of each season, in the days of ``days`` (metric to day); ``second`` is the smaller cycle.

    Spring runs from greenup to maturity, summer to senescence, autumn to dormancy. With one cycle winter is
    the rest of the year. With two it is the longer stretch between them; the smaller cycle and the shorter
    stretch belong to no window. Every window has at least ``min_days``; all parts sum to 365.2425 days.
    """
    bounds = [days[m] for m in DOMINANT]
    if second is not None:
        shift = YEAR_DAYS * math.ceil((days["peak"] - second["peak"]) / YEAR_DAYS)
        bounds += [second["greenup"] + shift, second["dormancy"] + shift]
    lengths = np.diff([*bounds, bounds[0] + YEAR_DAYS])
    winter = 3 if second is None or lengths[3] >= lengths[5] else 5
    minima = np.zeros(lengths.size)
    minima[[0, 1, 2, winter]] = min_days
    parts = partition(lengths, minima, YEAR_DAYS)
    edges = np.concatenate([[0.0], np.cumsum(parts)])
    edges += np.mean(np.array(bounds) - edges[:-1])
    spans = [(float(edges[i]), float(edges[i + 1])) for i in (0, 1, 2, winter)]
    return dict(zip(SEASONS, spans, strict=True))


def calendar_windows(lat_deg: float) -> Windows:
    """The calendar baseline: quarters around 21 March, June, September and December, mirrored in the south.

    Days since 1 January; each quarter ends half way to the next middle.
    """
    middles = np.array(CALENDAR_MIDDLES)
    if lat_deg < 0:
        middles = np.concatenate([middles[2:], middles[:2] + YEAR_DAYS])
    ring = np.concatenate([[middles[-1] - YEAR_DAYS], middles, [middles[0] + YEAR_DAYS]])
    edges = 0.5 * (ring[:-1] + ring[1:])
    return {s: (float(edges[i]), float(edges[i + 1])) for i, s in enumerate(SEASONS)}


def season_windows(row: Mapping[str, float], years: Sequence[int]) -> list[SeasonWindow]:
    """The windows of each of ``years``, by year then season, from the window columns of ``row``.

    The columns are ``<season>_start_day`` and ``<season>_end_day``, in days since 1 January of the year.

    Days are rounded to whole days. A season that ends where one of the next year starts ends on that very
    day, so that windows meet through leap years. A season with NaN has no window.
    """
    starts = {s: float(row[f"{s}_start_day"]) for s in SEASONS}
    windows = []
    for year in years:
        for season in SEASONS:
            start_day, end_day = starts[season], float(row[f"{season}_end_day"])
            if math.isnan(start_day) or math.isnan(end_day):
                continue
            start, end = _day(year, start_day), _day(year, end_day)
            if any(abs(end_day - YEAR_DAYS - other) < 1e-6 for other in starts.values()):
                end = _day(year + 1, end_day - YEAR_DAYS)
            middle = start + (end - start) // 2
            windows.append(SeasonWindow(season=season, year=year, start=start, middle=middle, end=end))
    return windows


def dated_windows(dates: Mapping[str, date | None], reach_days: int) -> list[SeasonWindow]:
    """A window of ``reach_days`` before and after each label's own date; one without a date has none."""
    reach = timedelta(days=reach_days)
    return [
        SeasonWindow(
            season=label, year=day.year, start=day - reach, middle=day, end=day + reach + timedelta(days=1)
        )
        for label, day in dates.items()
        if day is not None
    ]


def cycle_of(time_days: float, cycles: pd.DataFrame | None) -> tuple[float, float, float]:
    """(days since greenup, its sigma in days, phase in [0, 1)) of a time in its own year's cycle.

    ``time_days`` counts from 1970-01-01; ``cycles`` are one location's rows of the cycles table, of which
    the dominant season counts. The phase runs from one greenup to the next, or over 365.2425 days where the
    next year has none. All NaN before the first greenup, or where the cycle of that year is missing.
    """
    nothing = (math.nan, math.nan, math.nan)
    if cycles is None:
        return nothing
    own = cycles[cycles["season_rank"] == 0].sort_values("greenup")
    greenups = own["greenup"].to_numpy()
    last = int(np.searchsorted(greenups, time_days, side="right")) - 1
    if last < 0:
        return nothing
    period = YEAR_DAYS
    if last + 1 < greenups.size and greenups[last + 1] - greenups[last] < 1.5 * YEAR_DAYS:
        period = float(greenups[last + 1] - greenups[last])
    since = float(time_days - greenups[last])
    if since >= period:
        return nothing
    return since, float(own["greenup_sigma"].iloc[last]), since / period


def window_columns() -> list[str]:
    """The columns of the season windows, in order."""
    return [f"{season}_{end}_day" for season in SEASONS for end in ("start", "end")]


def flatten(windows: Windows) -> dict[str, float]:
    """``windows`` as the columns of :func:`window_columns`; NaN for a season that is not there."""
    missing = (math.nan, math.nan)
    return {
        f"{season}_{name}_day": windows.get(season, missing)[i]
        for season in SEASONS
        for i, name in enumerate(("start", "end"))
    }


def by_metric(days: FloatArray) -> dict[str, float]:
    """Metric to day, from days in the order of the metrics."""
    return dict(zip(METRICS, days.tolist(), strict=True))


def _day(year: int, day: float) -> date:
    return date(year, 1, 1) + timedelta(days=math.floor(day + 0.5))
