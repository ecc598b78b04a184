"""A picture of one location: its seasons in two colourings, and their dates on the vegetation curve."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ssl4eco_data.bands import bands_at
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.report.curves import Example, read_example
from ssl4eco_data.report.dataset import Dataset, main_array, read_dataset
from ssl4eco_data.report.gallery import labels_of
from ssl4eco_data.report.images import INFRARED, TRUE_COLOUR, composite
from ssl4eco_data.store.objects import Place
from ssl4eco_data.types import METRICS

COLOURS = ("#009e73", "#e69f00", "#d55e00", "#0072b2", "#cc79a7", "#56b4e9", "#8a7a00")
RECIPES = (("true colour", TRUE_COLOUR), ("colour infrared", INFRARED))
_INCHES = 2.4


def write_preview(root: Place, location_id: str, to: Path) -> None:
    """Write the picture as PNG; an existing file is replaced.

    A season without an image is an empty frame with the reason. Raises
    :class:`~ssl4eco_data.errors.ConfigError` for a location that is not there,
    :class:`~ssl4eco_data.errors.StoreError` for a dataset without patches, ``OSError`` where the file cannot
    be written.
    """
    data = read_dataset(root)
    known = data.locations["location_id"].astype(str).tolist()
    if location_id not in known:
        near = difflib.get_close_matches(location_id, known, n=3, cutoff=0) or known[:3]
        raise ConfigError(f"{root} has no location {location_id!r}; it has {', '.join(near)}, ...")
    array = main_array(root)
    if array is None or not data.seasons:
        raise StoreError(f"{root} has no patches yet: `ssl4eco build CONFIG` makes them")
    picture = figure_of(data, array, known.index(location_id))
    picture.savefig(to, format="png", dpi=130, metadata={"Software": None}, facecolor="white")


def figure_of(data: Dataset, array: zarr.Array[Any], row: int) -> Figure:
    """A column for each season that the patches have, and the curve below all."""
    seasons = labels_of(array, "seasons", data.seasons)
    figure = Figure(figsize=(max(_INCHES * len(seasons), 7.0), 3 * _INCHES + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, len(seasons), height_ratios=[1, 1, 1.05])
    chosen = {c["season"]: c for c in data.choices[data.choices["row"] == row].to_dict("records")}
    bands = labels_of(array, "bands", bands_at(10))
    for column, season in enumerate(seasons):
        choice = chosen.get(season, {"found": False, "reason": "not chosen yet"})
        patch = np.asarray(array[row, column]) if choice["found"] else None
        for line, (name, recipe) in enumerate(RECIPES):
            axes = figure.add_subplot(grid[line, column])
            axes.set(xticks=[], yticks=[], ylabel=name if column == 0 else "")
            if patch is None:
                reason = str(choice["reason"]).replace("_", " ")
                axes.text(0.5, 0.5, reason, ha="center", transform=axes.transAxes, color="#666666")
                axes.set_box_aspect(1)
            else:
                axes.imshow(composite(patch, bands, recipe), interpolation="nearest")
            axes.spines[:].set(color=_colour(column), linewidth=2.5)
            if line == 0:
                axes.set_title(_dated(season, choice), fontsize=11)
    _draw_curve(figure.add_subplot(grid[2, :]), read_example(data, row), seasons)
    location = data.locations.iloc[row]
    names = dict.fromkeys([location["location_id"], location["biome"], location["ecoregion"]])
    at = f"lon {location['lon']:.4f}°, lat {location['lat']:.4f}°"
    figure.suptitle(f"{' · '.join(names)}\n{at}", fontsize=11)
    return figure


def _draw_curve(axes: Axes, example: Example | None, seasons: tuple[str, ...]) -> None:
    """Observations, fit, the dates of the cycles with one sigma, and a line at each chosen scene."""
    axes.spines[["top", "right"]].set_visible(False)
    if example is None:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no vegetation series", ha="center", transform=axes.transAxes)
        return
    axes.scatter(
        _times(example.series["day"]), example.series["value"], s=8, color="#999999", label="observations"
    )
    axes.plot(_times(example.curve_day), example.curve, color="#222222", linewidth=1.3, label="fitted curve")
    _draw_dates(axes, example)
    for choice in example.choices.to_dict("records"):
        time, colour = choice["time"].tz_localize(None), _colour(seasons.index(choice["season"]))
        axes.axvline(time, color=colour, linewidth=2, label=choice["season"])
    axes.set_xlim(_times(example.curve_day[[0]])[0], _times(example.curve_day[[-1]])[0])
    axes.set_ylabel("vegetation index")
    axes.legend(fontsize=8, ncols=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _draw_dates(axes: Axes, example: Example) -> None:
    """The seven dates of every cycle inside the curve; nothing where there is no cycle."""
    seen = np.isfinite(example.curve)
    if not seen.any() or not len(example.cycles):
        return
    day = example.cycles[list(METRICS)].to_numpy(np.float64).ravel()
    sigma = example.cycles.reindex(columns=[f"{m}_sigma" for m in METRICS]).to_numpy(np.float64).ravel()
    inside = (day >= example.curve_day[0]) & (day <= example.curve_day[-1])
    day, sigma = day[inside], np.nan_to_num(sigma[inside])
    value = np.interp(day, example.curve_day[seen], example.curve[seen])
    spread = pd.to_timedelta(sigma, unit="D").to_numpy()
    axes.errorbar(
        _times(day),
        value,
        xerr=spread,
        fmt="o",
        color="#882255",
        markersize=4,
        capsize=2,
        label="dates ± 1 sigma",
    )


def _times(days: Any) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Days since 1970-01-01 as times."""
    return np.asarray(pd.to_datetime(np.asarray(days, dtype=np.float64), unit="D").to_numpy())


def _dated(season: str, choice: Mapping[Any, Any]) -> str:
    return f"{season} {choice['time']:%Y-%m-%d}" if choice["found"] else season


def _colour(column: int) -> str:
    return COLOURS[column % len(COLOURS)]
