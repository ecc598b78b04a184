"""The picture of one point: observations, fitted curve, dates and season windows, as PNG."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import MonthLocator
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ssl4eco_data.pipeline.point import KINDS, PointPhenology
from ssl4eco_data.types import METRICS, SEASONS, YEAR_DAYS

SEASON_COLOURS = {"spring": "#e3f1d3", "summer": "#fbf1cd", "autumn": "#f9e2cf", "winter": "#e8eff6"}
KIND_STYLES: dict[str, dict[str, Any]] = {
    "good": {"color": "#4d4d4d", "marker": "o", "linewidths": 0},
    "marginal": {"facecolors": "white", "edgecolors": "#6f6f6f", "marker": "o", "linewidths": 0.9},
    "snow": {"color": "#2b7bba", "marker": "x", "linewidths": 1.3},
    "dropped": {"color": "#c51b7d", "marker": "+", "linewidths": 1.3},
}
KIND_NAMES = dict(zip(KINDS, ("good", "marginal", "snow", "dropped as cloud"), strict=True))
METRIC_MARKS = dict(zip(METRICS, ("^", ">", "D", "*", "s", "<", "v"), strict=True))
RISE, FALL, TOP = "#1b7837", "#b35806", "#762a83"
_CURVE: dict[str, Any] = {"color": "#222222", "linewidth": 1.3, "label": "fitted curve", "zorder": 3}
_INCHES_PER_YEAR, _WIDTHS = 2.4, (9.0, 40.0)
_MARGIN_DAYS = 10.0


def draw_point(point: PointPhenology, path: Path) -> None:
    """Write the picture; an existing file is replaced. Raises ``OSError`` where it cannot be written."""
    figure_of(point).savefig(path, format="png", dpi=150, metadata={"Software": None}, facecolor="white")


def figure_of(point: PointPhenology) -> Figure:
    """The picture: one pair of axes, and below them the legends of observations, dates and seasons."""
    years = float(np.ptp(point.observations["day"])) / YEAR_DAYS
    figure = Figure(figsize=(float(np.clip(_INCHES_PER_YEAR * years, *_WIDTHS)), 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    dated = point.cycles.sizes["cycle"] > 0
    axes, below = figure.subplots(2, 1, height_ratios=[1, 0.2 if dated else 0.07])
    below.set_axis_off()
    curve = axes.plot(point.curve_day, point.curve, **_CURVE)
    rows = [[*_observed(axes, point), *curve], _dates(axes, point), _seasons(axes, point)]
    _label(axes, point, years)
    for height, handles in zip((0.9, 0.5, 0.1) if dated else (0.5, 0.5, 0.5), rows, strict=True):
        if handles:
            below.add_artist(
                below.legend(
                    handles=handles,
                    loc="center",
                    bbox_to_anchor=(0.5, height),
                    ncols=len(handles),
                    fontsize=9,
                    frameon=False,
                    columnspacing=1.4,
                )
            )
    return figure


def _label(axes: Any, point: PointPhenology, years: float) -> None:
    """Title, axes' names, and ticks that name the month, with the year below the first one and January."""
    first, last = (
        point.observations["day"].min() - _MARGIN_DAYS,
        point.observations["day"].max() + _MARGIN_DAYS,
    )
    axes.set_xlim(first, last)
    locator = MonthLocator(range(1, 13, 2 if years < 2 else 3))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    earliest = min(t for t in axes.get_xticks() if t >= first)

    def name(day: float, _: int | None) -> str:
        date = datetime(1970, 1, 1) + timedelta(days=day)
        return f"{date:%b\n%Y}" if date.month == 1 or day == earliest else f"{date:%b}"

    axes.xaxis.set_major_formatter(FuncFormatter(name))
    axes.set_ylabel(point.index.upper())
    count = point.cycles.sizes["cycle"]
    status = point.status.replace("_", " ")
    found = f"{count} cycle{'s' * (count > 1)}, {status}; bars: ±1 sigma of a date" if count else status
    axes.set_title(f"lon {point.lon_deg:g}°, lat {point.lat_deg:g}°: {found}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)


def _seasons(axes: Any, point: PointPhenology) -> list[Any]:
    """Shade the typical seasons of every year; one handle for each."""
    handles = {}
    for window in point.windows():
        start, end = (np.datetime64(day).astype(int) for day in (window.start, window.end))
        colour = SEASON_COLOURS[window.season]
        handles[window.season] = axes.axvspan(
            start, end, color=colour, linewidth=0, zorder=0, label=f"typical {window.season}"
        )
    return [handles[season] for season in SEASONS if season in handles]


def _observed(axes: Any, point: PointPhenology) -> list[Any]:
    """The observations by kind."""
    handles = []
    for kind, style in KIND_STYLES.items():
        rows = point.observations[point.observations["kind"] == kind]
        if len(rows):
            label = f"{KIND_NAMES[kind]} ({len(rows)})"
            handles.append(axes.scatter(rows["day"], rows["value"], s=18, zorder=2, label=label, **style))
    return handles


def _dates(axes: Any, point: PointPhenology) -> list[Any]:
    """The seven dates of every cycle with their sigma, none where there is no cycle."""
    if not point.cycles.sizes["cycle"]:
        return []
    handles = []
    peak = METRICS.index("peak")
    for number, metric in enumerate(METRICS):
        at = point.cycles.sel(metric=metric)
        handles.append(
            axes.errorbar(
                at["date"].to_numpy(),
                at["value"].to_numpy(),
                xerr=at["sigma"].to_numpy(),
                fmt=METRIC_MARKS[metric],
                color=RISE if number < peak else TOP if number == peak else FALL,
                markersize=8 if metric == "peak" else 5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                elinewidth=1.5,
                capsize=3,
                zorder=4,
                label=metric.replace("_", " "),
            )
        )
    return handles
