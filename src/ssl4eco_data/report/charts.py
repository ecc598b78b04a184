"""Drawings over the calendar: columns by month or year, clouds, and season windows by latitude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from ssl4eco_data.report.counts import CLOUD_BINS, Clouds
from ssl4eco_data.report.svg import COLOURS, MONTHS, Scale, element, figure, line, rectangle, text
from ssl4eco_data.types import YEAR_DAYS

WIDTH, HEIGHT = 420.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 400.0, 14.0, 176.0
WINDOWS_WIDTH, ROW_HEIGHT, WINDOWS_TOP, WINDOWS_LEFT, WINDOWS_RIGHT = 720.0, 10.0, 20.0, 58.0, 690.0
FEW_ROWS = 30
MONTH_STARTS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
SOURCES: Mapping[str, str] = {"neighbour": "○", "calendar": "\N{MULTIPLICATION SIGN}"}


def stacked_columns(counts: Mapping[int, Sequence[int]], seasons: Sequence[str], unit: str) -> Markup:
    """Columns of patches per ``unit`` (month or year), one colour per season."""
    top = max([sum(c) for c in counts.values()] + [1])
    y = Scale(domain=(0, top), range=(BOTTOM, TOP))
    step = (RIGHT - LEFT) / max(len(counts), 1)
    parts = _value_axis(y, (0, top), "{:,.0f}")
    every = -(-len(counts) // 12)
    for place, (key, values) in enumerate(counts.items()):
        x, base = LEFT + place * step, 0
        name = MONTHS[key - 1] if unit == "month" else str(key)
        for colour, (season, count) in enumerate(zip(seasons, values, strict=True)):
            if count:
                size = y(base) - y(base + count)
                title = f"{name}, {season}: {count}"
                class_ = f"c{colour % COLOURS}"
                parts.append(rectangle(x + step * 0.1, y(base + count), step * 0.8, size, class_, title))
                base += count
        if place % every == 0:
            parts.append(text(x + step / 2, BOTTOM + 16, name, "middle"))
    says = ", ".join(f"{MONTHS[k - 1] if unit == 'month' else k} {sum(v)}" for k, v in counts.items())
    return figure(WIDTH, HEIGHT, f"Patches per {unit} of acquisition: {says}", parts)


def cloud_columns(clouds: Clouds) -> Markup:
    """Share of scenes by cloud fraction: candidates by tile, judged candidates and chosen ones by patch."""
    series = (
        ("all candidates, tile", clouds.tile),
        ("judged, patch", clouds.patch),
        ("chosen, patch", clouds.chosen),
    )
    shares = [(name, [n / max(sum(counts), 1) for n in counts]) for name, counts in series]
    y = Scale(domain=(0, 1), range=(BOTTOM, TOP))
    step = (RIGHT - LEFT) / CLOUD_BINS
    parts = _value_axis(y, (0, 0.5, 1), "{:.0%}")
    for colour, (name, values) in enumerate(shares):
        for place, share in enumerate(values):
            x = LEFT + (place + 0.1 + 0.27 * colour) * step
            title = f"{name}: {share:.1%} of scenes with {place * 10}-{place * 10 + 10} % cloud"
            if share:
                parts.append(rectangle(x, y(share), step * 0.25, y(0) - y(share), f"k{colour}", title))
    for place in range(0, CLOUD_BINS + 1, 2):
        parts.append(text(LEFT + place * step, BOTTOM + 16, f"{place * 10} %", "middle"))
    says = "; ".join(f"{name}: {values[0]:.0%} below 10 % cloud" for name, values in shares)
    return figure(WIDTH, HEIGHT, f"Cloud fraction before and after choosing: {says}", parts)


def season_windows(rows: pd.DataFrame, seasons: Sequence[str]) -> Markup:
    """One bar per location over the calendar year, northernmost on top.

    ``rows`` has location_id, lat, source and the ``<season>_start_day``, ``<season>_end_day`` columns.
    Windows that pass the end of the year go on at its start.
    """
    ordered = rows.sort_values(["lat", "location_id"], ascending=[False, True], kind="stable")
    height = ROW_HEIGHT if len(ordered) > FEW_ROWS else 2 * ROW_HEIGHT
    bottom = WINDOWS_TOP + height * len(ordered)
    x = Scale(domain=(0, YEAR_DAYS), range=(WINDOWS_LEFT, WINDOWS_RIGHT))
    parts: list[Markup] = []
    for place, row in enumerate(ordered.to_dict("records")):
        top = WINDOWS_TOP + place * height
        parts += _window_row(row, seasons, x, (top, height))
        if place % (4 if len(ordered) > FEW_ROWS else 1) == 0:
            parts.append(text(WINDOWS_LEFT - 5, top + height / 2 + 4, f"{row['lat']:.1f}°", "end", "small"))
    northern = int((ordered["lat"] >= 0).sum())
    if 0 < northern < len(ordered):
        equator = WINDOWS_TOP + northern * height
        parts.append(line(0, equator, WINDOWS_WIDTH, equator, "axis"))
    for month, start in zip(MONTHS, MONTH_STARTS, strict=True):
        parts.append(line(x(start), WINDOWS_TOP - 4, x(start), bottom, "grid"))
        parts.append(text(x(start) + 3, WINDOWS_TOP - 6, month))
    label = f"Season windows of {len(ordered)} locations over the calendar year, north to south"
    return figure(WINDOWS_WIDTH, bottom + 6, label, parts, "chart wide")


def _window_row(
    row: Mapping[Any, Any], seasons: Sequence[str], x: Scale, band: tuple[float, float]
) -> list[Markup]:
    """The windows of one location, and the mark of where they come from; ``band`` is (top, height)."""
    top, height = band
    parts = []
    for colour, season in enumerate(seasons):
        title = f"{row['location_id']} ({row['lat']:.1f}°): {season}"
        for start, end in wrapped(row.get(f"{season}_start_day"), row.get(f"{season}_end_day")):
            shape = (x(start), top + 1, x(end) - x(start), height - 2)
            parts.append(rectangle(*shape, f"c{colour % COLOURS}", title))
    mark = SOURCES.get(str(row.get("source")), "")
    return [*parts, text(WINDOWS_RIGHT + 6, top + height / 2 + 4, mark, class_="small")]


def wrapped(start_day: float | None, end_day: float | None) -> Iterator[tuple[float, float]]:
    """The pieces of a window of at most one year inside ``[0, 365.2425]``; none where a date is NaN."""
    if start_day is None or end_day is None or pd.isna(start_day) or pd.isna(end_day):
        return
    length = min(max(end_day - start_day, 0.0), YEAR_DAYS)
    start = start_day % YEAR_DAYS
    yield start, min(start + length, YEAR_DAYS)
    if start + length > YEAR_DAYS:
        yield 0.0, start + length - YEAR_DAYS


def _value_axis(y: Scale, values: Sequence[float], form: str) -> list[Markup]:
    parts: list[Markup] = []
    for value in values:
        parts.append(line(LEFT, y(value), RIGHT, y(value), "grid"))
        parts.append(text(LEFT - 6, y(value) + 4, form.format(value).replace("%", " %"), "end"))
    return parts


def swatch(colour: str) -> Markup:
    """A small square for a legend."""
    return element(
        "svg", rectangle(0, 0, 12, 12, colour), viewBox="0 0 12 12", width=12, height=12, aria_hidden="true"
    )
