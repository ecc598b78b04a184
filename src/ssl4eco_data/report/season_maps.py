"""Season windows over the globe: one small map per season, coloured by the month in which it starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from ssl4eco_data.report.charts import MONTH_STARTS
from ssl4eco_data.report.dots import layer, runs_of, square_side
from ssl4eco_data.report.maps import MAX_MARKERS, land_image, view_of
from ssl4eco_data.report.svg import MONTHS, Scale, element, figure
from ssl4eco_data.types import YEAR_DAYS

WIDTH = 480.0


def season_maps(rows: pd.DataFrame, seasons: Sequence[str]) -> list[tuple[str, Markup]]:
    """(season, drawing) of each season that has windows.

    ``rows`` has lon, lat and the ``<season>_start_day`` columns; days count from 1 January of any year.
    """
    return [
        (season, _season_map(rows[rows[name].notna()], season, name))
        for season in seasons
        if (name := f"{season}_start_day") in rows and rows[name].notna().any()
    ]


def months_of(start_day: pd.Series[float]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Index of the month, 0 to 11, in which each day of a year lies."""
    day = np.mod(start_day.to_numpy(np.float64), YEAR_DAYS)
    return (np.searchsorted(MONTH_STARTS, day, side="right") - 1).astype(np.int64)


def _season_map(rows: pd.DataFrame, season: str, name: str) -> Markup:
    view = view_of(rows["lon"].tolist(), rows["lat"].tolist())
    height = WIDTH * view.height_deg / view.width_deg
    lon, lat, month = (
        rows["lon"].to_numpy(np.float64),
        rows["lat"].to_numpy(np.float64),
        months_of(rows[name]),
    )
    right = Scale(domain=(view.west_deg, view.east_deg), range=(0, WIDTH))
    down = Scale(domain=(view.north_deg, view.south_deg), range=(0, height))
    count = np.bincount(month, minlength=len(MONTHS))
    titles = [f"{season} starts in {m}: {n:,} locations" for m, n in zip(MONTHS, count, strict=True)]
    x, y = np.array([right(v) for v in lon]), np.array([down(v) for v in lat])
    if len(rows) <= MAX_MARKERS:
        marks = _dots(x, y, month, titles)
    else:
        stretch = 1 / np.maximum(np.cos(np.radians(lat)), 1e-9)
        side = square_side(x / stretch, y)
        looks = [(f"m{i}", title) for i, title in enumerate(titles)]
        marks = [layer(runs_of(x / side, y / side, stretch, month), side, looks, "months")]
    said = ", ".join(f"{MONTHS[i]} {count[i]:,}" for i in np.flatnonzero(count))
    label = f"Map of the month in which {season} starts: {said}"
    return figure(WIDTH, height, label, [land_image(view, WIDTH, height), *marks], "chart map")


def _dots(x: np.ndarray, y: np.ndarray, month: np.ndarray, titles: Sequence[str]) -> list[Markup]:
    """A path of round dots for each month that occurs."""
    parts = []
    for index in np.unique(month).tolist():
        here = month == index
        path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x[here], y[here], strict=True))
        parts.append(element("path", element("title", titles[index]), d=path, class_=f"spots m{index}"))
    return parts
