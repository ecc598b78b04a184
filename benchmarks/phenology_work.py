"""What the benchmark of the phenology times: ours, other packages, copies of the arrays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.measure import ROOT, Work
from ssl4eco_data.phenology import PhenologyParameters, derive_cycles
from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.phenology.lanes import fit_lanes, place
from ssl4eco_data.phenology.spline import fit, fit_best, penalty
from ssl4eco_data.phenology.vectors import LANES
from ssl4eco_data.types import YEAR_DAYS, FloatArray

YEARS = 3
BANDWIDTH_DAYS = 8.0
STRENGTHS = (1e2, 1e3, 1e4, 1e5)
"""Of the second differences; which are of use does not matter here, the work is the same for all."""


def series(count: int, per_year: int) -> xr.Dataset:
    """EVI of ``count`` pixels: seasons of random length, noise, clouds, gaps, snow in every seventh pixel."""
    rng = np.random.default_rng(count)
    day = np.arange(YEARS * per_year) * (YEAR_DAYS / per_year) + 4.0
    start, end = rng.uniform(95, 150, (count, 1)), rng.uniform(255, 305, (count, 1))
    value = np.full((count, day.size), 0.15)
    for year in range(-1, YEARS + 1):
        since = day - year * YEAR_DAYS
        value += 0.35 / (1 + np.exp(-0.1 * (since - start))) - 0.35 / (1 + np.exp(-0.08 * (since - end)))
    value += rng.normal(0, 0.02, value.shape)
    value -= np.where(rng.random(value.shape) < 0.08, rng.uniform(0.05, 0.25, value.shape), 0.0)
    snow = (np.arange(count) % 7 == 0)[:, None] & ((day % YEAR_DAYS < 75) | (day % YEAR_DAYS > 320))
    value[(rng.random(value.shape) < 0.2) & ~snow] = np.nan
    return xr.Dataset(
        {
            "value": (("pixel", "time"), value),
            "weight": (("pixel", "time"), np.ones(value.shape)),
            "snow": (("pixel", "time"), snow),
            "day": ("time", day),
        },
        coords={"time": np.datetime64("2019-01-01", "ns") + (day * 86400e9).astype("timedelta64[ns]")},
        attrs={"index": "evi"},
    )


def dates_ours(count: int, per_year: int) -> Work:
    """All dates, standard deviations and quality classes, in one thread."""
    given = series(count, per_year)
    derive_cycles(given.isel(pixel=slice(2)))
    return Work(lambda: derive_cycles(given))


def dates_dea_tools(count: int, per_year: int) -> Work:
    """Eleven statistics of each calendar year; gaps are filled linearly before, which is not timed."""
    phenology = import_module("dea_tools.temporal").xr_phenology
    given = series(count, per_year)
    day = given["day"].to_numpy()
    filled = given["value"].copy()
    for own in filled.to_numpy():
        gap = np.isnan(own)
        own[gap] = np.interp(day[gap], day[~gap], own[~gap])
    filled = filled.transpose("time", "pixel").expand_dims(x=1, axis=2)
    years = [one.rename(pixel="y") for _, one in filled.groupby("time.year")]

    def run() -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return [phenology(one, verbose=False) for one in years]

    return Work(run)


def copy_arrays(count: int, per_year: int) -> Work:
    """A copy of everything that comes in and goes out."""
    given = series(count, per_year)
    arrays = [a.to_numpy() for part in (given, derive_cycles(given)) for a in part.data_vars.values()]
    return Work(lambda: [a.copy() for a in arrays])


@compiled
def fit_all(
    day: FloatArray, value: FloatArray, weight: FloatArray, bandwidth: float, out: FloatArray
) -> None:
    """One fit of each row of ``value``."""
    n = day.size
    bands, curvature = np.empty((3, n)), np.empty(n)
    for i in range(value.shape[0]):
        fit(day, value[i], weight[i], penalty(day, bandwidth), bands, curvature, out[i])


@compiled
def fit_all_in_lanes(
    day: FloatArray, value: FloatArray, weight: FloatArray, bandwidth: float, out: FloatArray
) -> None:
    """The same, ``LANES`` rows at once; the last block goes back as far as it needs to be full."""
    n, rows = day.size, value.shape[0]
    bands, curvature, fitted = np.empty((3, n, LANES)), np.empty((n, LANES)), np.empty((n, LANES))
    days, values, weights = np.empty((n, LANES)), np.empty((n, LANES)), np.empty((n, LANES))
    strengths, own = np.full((1, LANES), penalty(day, bandwidth)), np.empty((3, n))
    own[0] = day
    for block in range(0, rows, LANES):
        first = min(block, rows - LANES)
        for lane in range(LANES):
            own[1], own[2] = value[first + lane], weight[first + lane]
            place(own, lane, days, values, weights)
        fit_lanes(days, values, weights, strengths, bands, curvature, fitted)
        for lane in range(LANES):
            out[first + lane] = fitted[:, lane]


@compiled
def choose_all(
    day: FloatArray, value: FloatArray, weight: FloatArray, bandwidths: FloatArray, out: FloatArray
) -> None:
    """The best fit of each row of ``value``."""
    n = day.size
    curvature, diagonal, real = np.empty(n), np.empty(n), np.ones(n)
    for i in range(value.shape[0]):
        fit_best(day, value[i], weight[i].copy(), real, bandwidths, curvature, out[i], diagonal)


def _weighted(count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Days, values and weights without gaps: what is missing weighs next to nothing."""
    given = series(count, 46)
    value = given["value"].to_numpy()
    weight = np.where(np.isfinite(value), 1.0, 1e-6)
    return given["day"].to_numpy(), np.nan_to_num(value, nan=0.3), weight


def smooth_ours(count: int, at_once: bool) -> Work:
    """Values of the spline at the observations, one bandwidth, series by series or several at once."""
    day, value, weight = _weighted(count)
    out = np.empty(value.shape)
    way = fit_all_in_lanes if at_once else fit_all
    way(day, value[:LANES], weight[:LANES], BANDWIDTH_DAYS, out[:LANES])

    def run() -> FloatArray:
        way(day, value, weight, BANDWIDTH_DAYS, out)
        return out

    return Work(run)


def smooth_whittaker(count: int) -> Work:
    """Second-order smoother at the observations, one strength, each series with its own weights."""
    day, value, weight = (a.tolist() for a in _weighted(count))
    smoother = _whittaker(day)

    def run() -> list[list[float]]:
        found = []
        for own_value, own_weight in zip(value, weight, strict=True):
            smoother.update_weights(own_weight)
            found.append(smoother.smooth(own_value))
        return found

    return Work(run)


def choose_ours(count: int) -> Work:
    """Robust pass, four bandwidths, leverages, the one with the least score."""
    day, value, weight = _weighted(count)
    bandwidths = np.array(PhenologyParameters().bandwidths_days)
    out = np.empty(value.shape)
    choose_all(day, value[:1], weight[:1], bandwidths, out[:1])
    return Work(lambda: choose_all(day, value, weight, bandwidths, out))


def choose_whittaker(count: int) -> Work:
    """Four strengths cross-validated by the package, the one with the least error; no robust pass."""
    day, value, weight = (a.tolist() for a in _weighted(count))
    smoother = _whittaker(day)

    def best(own_value: list[float], own_weight: list[float]) -> list[float]:
        smoother.update_weights(own_weight)
        results = []
        for strength in STRENGTHS:
            smoother.update_lambda(strength)
            results.append(smoother.smooth_and_cross_validate(own_value))
        chosen = min(results, key=lambda result: result.get_cross_validation_error())
        smoothed: list[float] = chosen.get_smoothed()
        return smoothed

    return Work(lambda: [best(*pair) for pair in zip(value, weight, strict=True)])


def _whittaker(day: list[float]) -> Any:
    smoother = import_module("whittaker_eilers").WhittakerSmoother
    return smoother(lmbda=STRENGTHS[1], order=2, data_length=len(day), x_input=day, weights=[1.0] * len(day))


def copy_values(count: int) -> Work:
    """A copy of the values."""
    _, value, _ = _weighted(count)
    return Work(value.copy)


def dates_in_threads(count: int, threads: int) -> Work:
    """All dates of a lazy series in eight chunks."""
    given = series(count, 46)
    derive_cycles(given.isel(pixel=slice(2)))
    lazy = derive_cycles(given.chunk(pixel=-(-count // 8)))

    def run() -> xr.Dataset:
        return lazy.compute(scheduler="threads", num_workers=threads)

    return Work(run, lambda found: np.nan_to_num(found["date"].to_numpy(), nan=-1e9))


def first_call(series: str, compiled_before: bool) -> Work:
    """The work ``series`` (an expression) in a new process, its cache of compiled code filled or empty."""
    # Lives as long as the work, and goes with it.
    folder = tempfile.TemporaryDirectory(prefix="compiled-")
    if compiled_before:
        _run_alone(series, folder.name)
    return Work(lambda: _run_alone(series, folder.name))


def _run_alone(series: str, cache: str) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    code = f"from benchmarks import phenology_work as work; work.{series}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
