"""Vegetation curves of example locations: observations, fit, the seven dates, windows and chosen scenes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from ssl4eco_data.phenology import PhenologyParameters, season_windows, smooth
from ssl4eco_data.report import dataset
from ssl4eco_data.report.dataset import Dataset
from ssl4eco_data.report.svg import (
    COLOURS,
    EPOCH,
    Scale,
    day_text,
    element,
    figure,
    line,
    number,
    rectangle,
    text,
)
from ssl4eco_data.types import METRICS, BoolArray, FloatArray

WIDTH, HEIGHT = 960.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 948.0, 30.0, 268.0
LANE = 18.0
STEP_DAYS = 4.0
AROUND_DAYS = 220.0
MAX_DAYS = 12 * 366
MAX_DOTS = 1500
_PHASES = {"greenup": "rise", "mid_greenup": "rise", "maturity": "rise", "peak": "top"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What one drawing shows. ``phenology`` is the location's row of ``phenology.parquet`` (may be empty).

    ``day`` is days since 1970-01-01; ``curve`` is the fit at ``curve_day``.
    """

    row: int
    name: str
    series: pd.DataFrame
    cycles: pd.DataFrame
    choices: pd.DataFrame
    phenology: Mapping[str, Any]
    curve_day: FloatArray
    curve: FloatArray


def read_example(data: Dataset, row: int) -> Example | None:
    """The vegetation record of one location, ``None`` when it has no observation."""
    location_id = str(data.locations["location_id"].iloc[row])
    series = dataset.rows_of(data.root, dataset.SERIES, location_id)
    series = series[series["value"].notna()].sort_values("day", kind="stable") if len(series) else series
    if not len(series):
        return None
    choices = data.choices[(data.choices["row"] == row) & data.choices["found"]]
    series = _period(series, choices)
    days = np.arange(series["day"].iloc[0], series["day"].iloc[-1] + STEP_DAYS / 2, STEP_DAYS)
    parameters = PhenologyParameters.model_validate(data.config.get("phenology", {}), strict=False)
    day, value, weight = (series[name].to_numpy(dtype=np.float64) for name in ("day", "value", "weight"))
    return Example(
        row=row,
        name=location_id,
        series=series,
        cycles=dataset.rows_of(data.root, dataset.CYCLES, location_id),
        choices=choices,
        phenology=_row(data.phenology, location_id),
        curve_day=days,
        curve=smooth(day, value, weight, days, parameters, snow=_snow(series)),
    )


def vegetation_curve(example: Example, seasons: Sequence[str]) -> Markup:
    """The drawing of one example; windows are the coloured bands, triangles the chosen scenes."""
    first, last = float(example.curve_day[0]), float(example.curve_day[-1])
    values = np.concatenate([example.series["value"].to_numpy(dtype=np.float64), example.curve])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    low, high = min(0.0, math.floor(low * 10) / 10), max(math.ceil(high * 10) / 10, 0.1)
    x = Scale(domain=(first, max(last, first + 1)), range=(LEFT, RIGHT))
    y = Scale(domain=(low, high), range=(BOTTOM, TOP))
    parts = _bands(example, seasons, x) + _axes(x, y, low, high)
    parts += _observations(example.series, x, y) + _fit(example, x, y)
    dates = _dates(example, x, y)
    scenes = _scenes(example.choices, seasons, x)
    label = (
        f"Vegetation index of {example.name} from {day_text(first)} to {day_text(last)}: "
        f"{len(example.series)} observations, {len(dates)} dates of {len(example.cycles)} cycles, "
        f"{len(scenes)} chosen scenes"
    )
    return figure(WIDTH, HEIGHT, label, parts + dates + scenes, "chart wide")


def _row(phenology: pd.DataFrame, location_id: str) -> Mapping[str, Any]:
    """The location's season windows, empty when it has none."""
    known = phenology[phenology["location_id"] == location_id] if len(phenology) else phenology
    return {str(k): v for k, v in known.iloc[0].items()} if len(known) else {}


def _period(series: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """The part of the record around the chosen scenes, at most the last twelve years of it."""
    last = float(series["day"].iloc[-1])
    first = float(series["day"].iloc[0])
    if len(choices):
        taken = _epoch_days(choices["time"])
        around = max(first, taken.min() - AROUND_DAYS), min(last, taken.max() + AROUND_DAYS)
        first, last = around if around[0] < around[1] else (first, last)
    inside = series[series["day"].between(max(first, last - MAX_DAYS), last)]
    return inside if len(inside) > 1 else series


def _bands(example: Example, seasons: Sequence[str], x: Scale) -> list[Markup]:
    """The season windows of every year in sight."""
    first, last = x.domain
    years = range(int(day_text(first)[:4]) - 2, int(day_text(last)[:4]) + 3)
    parts = []
    for window in season_windows(example.phenology, years) if example.phenology else ():
        start, end = (_day(datetime(d.year, d.month, d.day, tzinfo=UTC)) for d in (window.start, window.end))
        start, end = max(start, first), min(end, last)
        if start < end and window.season in seasons:
            class_ = f"band c{seasons.index(window.season) % COLOURS}"
            title = f"{window.season} {window.start} to {window.end}"
            parts.append(rectangle(x(start), TOP, x(end) - x(start), BOTTOM - TOP, class_, title))
    return parts


def _axes(x: Scale, y: Scale, low: float, high: float) -> list[Markup]:
    parts: list[Markup] = []
    step = 0.2 if high - low > 0.45 else 0.1
    for index in range(round(low / step), round(high / step) + 1):
        if low <= (value := index * step) <= high + 1e-9:
            parts.append(line(LEFT, y(value), RIGHT, y(value), "grid"))
            parts.append(text(LEFT - 6, y(value) + 4, f"{value:.1f}", "end"))
    first, last = x.domain
    for year in range(int(day_text(first)[:4]), int(day_text(last)[:4]) + 1):
        start = _day(datetime(year, 1, 1, tzinfo=UTC))
        if start >= first:
            parts.append(line(x(start), TOP, x(start), BOTTOM, "axis"))
        left, right = max(x(start), LEFT), min(x(_day(datetime(year + 1, 1, 1, tzinfo=UTC))), RIGHT)
        if right - left > 30:
            parts.append(text(left + 3, TOP - 4, str(year)))
    return parts


def _observations(series: pd.DataFrame, x: Scale, y: Scale) -> list[Markup]:
    """Dots; those under snow in their own colour."""
    every = -(-len(series) // MAX_DOTS)
    thin = series.iloc[::every]
    snow = _snow(thin)
    return [
        element("path", d=dots, class_=class_)
        for class_, part in (("dots", thin[~snow]), ("dots snow", thin[snow]))
        if (
            dots := "".join(
                f"M{number(x(d))} {number(y(v))}h0" for d, v in zip(part["day"], part["value"], strict=True)
            )
        )
    ]


def _snow(series: pd.DataFrame) -> BoolArray:
    """Which observations lie under snow; none in a table that does not say."""
    known = series["snow"].fillna(False) if "snow" in series else pd.Series(False, index=series.index)
    return np.asarray(known.astype(bool).to_numpy(), dtype=np.bool_)


def _fit(example: Example, x: Scale, y: Scale) -> list[Markup]:
    seen = np.isfinite(example.curve)
    points = [
        f"{number(x(d))} {number(y(v))}"
        for d, v in zip(example.curve_day[seen], example.curve[seen], strict=True)
    ]
    return [element("path", d=f"M{'L'.join(points)}", class_="fit")] if points else []


def _dates(example: Example, x: Scale, y: Scale) -> list[Markup]:
    """The dates of every cycle as dots on the curve, with bars of one sigma to each side."""
    seen = np.isfinite(example.curve)
    if not seen.any() or not len(example.cycles):
        return []
    parts: list[Markup] = []
    for cycle in example.cycles.to_dict("records"):
        for metric in METRICS:
            day = float(cycle[metric])
            if math.isfinite(day) and x.domain[0] <= day <= x.domain[1]:
                value = float(np.interp(day, example.curve_day[seen], example.curve[seen]))
                phase, sigma = _PHASES.get(metric, "fall"), float(cycle.get(f"{metric}_sigma", math.nan))
                said = f"{metric.replace('_', ' ')} {day_text(day)}"
                if math.isfinite(sigma):
                    said += f" ± {sigma:.1f} days"
                    ends = (x(max(day - sigma, x.domain[0])), x(min(day + sigma, x.domain[1])))
                    whiskers = f"M{number(ends[0])} {number(y(value) - 5)}v10m0-5H{number(ends[1])}m0-5v10"
                    parts.append(element("path", d=whiskers, class_=f"sigma {phase}"))
                title = element("title", said)
                parts.append(element("circle", title, cx=x(day), cy=y(value), r=3.5, class_=f"date {phase}"))
    return parts


def _scenes(choices: pd.DataFrame, seasons: Sequence[str], x: Scale) -> list[Markup]:
    """A line and a triangle at the date of every chosen scene in sight."""
    parts: list[Markup] = []
    for season, day in zip(choices["season"], _epoch_days(choices["time"]), strict=True):
        if x.domain[0] <= day <= x.domain[1]:
            at, colour = x(float(day)), f"c{seasons.index(season) % COLOURS}"
            path = f"M{number(at)} {number(BOTTOM)}l7 {LANE - 4:.0f}h-14z"
            title = element("title", f"{season} scene {day_text(day)}")
            stem = line(at, TOP, at, BOTTOM, f"stem {colour}")
            parts.append(element("g", title, stem, element("path", d=path, class_=colour)))
    return parts


def _epoch_days(times: pd.Series[pd.Timestamp]) -> FloatArray:
    since = pd.to_datetime(times, utc=True) - pd.Timestamp(EPOCH)
    return np.asarray(since.dt.total_seconds().to_numpy() / 86_400, dtype=np.float64)


def _day(moment: datetime) -> float:
    return (moment - EPOCH).total_seconds() / 86_400
