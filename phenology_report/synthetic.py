"""The engine on the synthetic shapes and on the yardstick series, beside their truth."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from phenology_report.scores import Matched, match
from phenology_report.shapes import SHAPES, YEARS, draw_curves, middle_year, observe
from phenology_report.truth import true_dates
from ssl4eco_data.phenology import PhenologyParameters, derive_cycles
from ssl4eco_data.types import FloatArray

Series = Callable[[xr.Dataset], tuple[FloatArray, FloatArray]]
"""An engine: dates and sigmas (pixel, cycle, 7) of a series."""
TRUE_CYCLES_AT_MOST = 2 * (YEARS + 2)
YARDSTICK_START = 17897.0
"""Day 0 of the yardstick, in days since 1970-01-01: any will do, it has years of 365 days."""
YARDSTICK_NORTH, YARDSTICK_DOUBLE, YARDSTICK_EVERGREEN = 0, 2, 3


def engine(series: xr.Dataset) -> tuple[FloatArray, FloatArray]:
    """Dates and sigmas by :func:`~ssl4eco_data.phenology.derive_cycles`, all parameters at their defaults."""
    result = derive_cycles(series, PhenologyParameters())
    return result["date"].to_numpy(), result["sigma"].to_numpy()


def score_shapes(
    seeds: range, pixels: int, densities: tuple[int, ...], dated_by: Series = engine
) -> dict[int, dict[str, Matched]]:
    """Observations a year -> shape -> cycles of all ``seeds``, ``pixels`` of each shape and seed."""
    parts: dict[int, dict[str, list[Matched]]] = {n: {shape: [] for shape in SHAPES} for n in densities}
    for shape in SHAPES:
        for seed in seeds:
            curves = draw_curves(shape, pixels, seed)
            truth = true_dates(curves.day, curves.clean, TRUE_CYCLES_AT_MOST)
            for n in densities:
                dates, sigmas = dated_by(observe(curves, n, seed))
                parts[n][shape].append(match(truth, dates, sigmas, middle_year()))
    return {n: {shape: Matched.join(found) for shape, found in own.items()} for n, own in parts.items()}


def load_yardstick(path: Path) -> Callable[..., dict[str, Any]]:
    """The function ``make`` of the yardstick's file."""
    spec = importlib.util.spec_from_file_location("synthetic_series", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make  # type: ignore[no-any-return]


def score_yardstick(
    make: Callable[..., dict[str, Any]], seeds: range, pixels: int, densities: tuple[int, ...]
) -> dict[int, dict[str, Matched]]:
    """Observations a year -> class (``north``, ``double``, ``evergreen``) -> cycles of the middle year.

    Its truth has the middle year only, so what it calls invented has a meaning for evergreen pixels alone.
    """
    classes = {"north": YARDSTICK_NORTH, "double": YARDSTICK_DOUBLE, "evergreen": YARDSTICK_EVERGREEN}
    scored = (YARDSTICK_START + 365, YARDSTICK_START + 730)
    found: dict[int, dict[str, Matched]] = {}
    for n in densities:
        parts: dict[str, list[Matched]] = {name: [] for name in classes}
        for seed in seeds:
            made = make(pixels, n, seed=seed)
            dates, sigmas = engine(yardstick_series(made))
            truth = made["truth"].astype(np.float64) + YARDSTICK_START
            for name, number in classes.items():
                own = made["cls"] == number
                parts[name].append(match(truth[own], dates[own], sigmas[own], scored))
        found[n] = {name: Matched.join(own) for name, own in parts.items()}
    return found


def yardstick_series(made: dict[str, Any]) -> xr.Dataset:
    """The yardstick's arrays as the engine takes them."""
    dims = ("pixel", "time")
    return xr.Dataset(
        {
            "value": (dims, made["y"].astype(np.float64)),
            "weight": (dims, made["w"].astype(np.float64)),
            "snow": (dims, made["snow"]),
            "day": ("time", made["t"] + YARDSTICK_START),
        },
        attrs={"index": "evi2"},
    )
