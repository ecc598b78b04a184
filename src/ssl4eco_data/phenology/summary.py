"""From the pixels of a location to its season windows, its cycles and its mean series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from ssl4eco_data.phenology.climatology import PEAK, Climatology, circular_median, climatology
from ssl4eco_data.phenology.date_rules import CALENDAR, PHENOLOGICAL, windows_by
from ssl4eco_data.phenology.kernel import NO_DATA
from ssl4eco_data.phenology.parameters import PhenologyParameters
from ssl4eco_data.phenology.windows import (
    DOMINANT,
    Windows,
    by_metric,
    flatten,
    window_columns,
    year_windows,
)
from ssl4eco_data.types import METRICS, YEAR_DAYS, BoolArray, FloatArray

_MIDS = [METRICS.index("mid_greenup"), METRICS.index("mid_greendown")]
"""Their mean is the middle of a season, which is dated better than the flat peak."""
WINDOW_DTYPES: Mapping[str, str] = {
    "location_id": "str",
    "status": "str",
    **{f"{m}_day": "float64" for m in METRICS},
    **{f"{m}_mad": "float64" for m in METRICS},
    "cycles_per_year": "int8",
    "years": "int16",
    "resultant": "float64",
    "pixels": "int32",
    "vegetated_fraction": "float64",
    "snow_fraction": "float64",
    **{f"{m}_iqr": "float64" for m in DOMINANT},
    **dict.fromkeys(window_columns(), "float64"),
}
CYCLE_DTYPES: Mapping[str, str] = {
    "location_id": "str",
    "cycle": "int16",
    "season_rank": "int8",
    **{f"{m}{tail}": "float64" for m in METRICS for tail in ("", "_sigma")},
    "pixels": "int32",
}
SERIES_DTYPES: Mapping[str, str] = {
    "location_id": "str",
    "day": "float64",
    "value": "float32",
    "weight": "float32",
    "snow": "bool",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationPhenology:
    """Three tables: one row per location, per cycle of a location, per date of a location's mean series."""

    windows: pd.DataFrame
    cycles: pd.DataFrame
    series: pd.DataFrame


def summarise(pixels: xr.Dataset, series: xr.Dataset, parameters: PhenologyParameters) -> LocationPhenology:
    """The typical year, the cycles and the mean series of each location, in the order of ``location``.

    ``pixels`` is the result of :func:`~ssl4eco_data.phenology.derive_cycles` for ``series``, which has the
    dimensions ``location``, ``time``, ``y``, ``x`` and the variable ``inside``.

    Only vegetated pixels whose centre is inside the footprint count (all pixels of the window where the
    footprint is so small that it holds no centre): those with ``mean_value`` of at least the profile's
    ``vegetated_mean``. The dates come from the largest cluster of them by number, pixels being equal in
    area: the fullest span of ``cluster_width_days`` of the seasons' middles, ties to the earlier. A
    mixture is dated by that cluster alone; if less than ``min_cycle_share`` of the vegetated pixels have
    cycles, the location is ``no_cycle``.
    """
    profile = parameters.profile(pixels.attrs.get("index"))
    pixels = pixels.transpose("location", "y", "x", "cycle", "metric", missing_dims="ignore").load()
    series = series.transpose("location", "time", "y", "x", missing_dims="ignore")
    rows: list[dict[str, object]] = []
    cycles: list[dict[str, object]] = []
    means: list[pd.DataFrame] = []
    for number, location_id in enumerate(series["location"].to_numpy()):
        place = _Place.of(
            str(location_id),
            pixels.isel(location=number),
            series.isel(location=number),
            profile.vegetated_mean,
        )
        dated = _dominant(place, parameters)
        rows.append({"location_id": place.location_id} | _window_row(place, dated, parameters))
        cycles += _cycle_rows(place, dated, parameters) if dated else []
        means.append(_mean_series(place))
    return LocationPhenology(
        windows=_frame(rows, WINDOW_DTYPES),
        cycles=_frame(cycles, CYCLE_DTYPES),
        series=pd.concat(means, ignore_index=True).astype(dict(SERIES_DTYPES)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One location's pixels inside the footprint; axes (pixel, …) and, for the series, (time, pixel)."""

    location_id: str
    date: FloatArray
    sigma: FloatArray
    area: FloatArray
    has_data: BoolArray
    vegetated: BoolArray
    day: FloatArray
    value: FloatArray
    weight: FloatArray
    snow: BoolArray

    @classmethod
    def of(cls, location_id: str, pixels: xr.Dataset, series: xr.Dataset, vegetated_mean: float) -> _Place:
        inside = series["inside"].to_numpy().ravel()
        if not inside.any():
            inside = np.ones_like(inside)
        shape = series["value"].shape
        flat = (shape[0], inside.size)
        day = series["day"].to_numpy()
        day = np.broadcast_to(day[:, None, None] if day.ndim == 1 else day, shape)

        def of_pixels(name: str) -> npt.NDArray[np.float64]:
            array = pixels[name].to_numpy()
            return np.asarray(array.reshape(inside.size, *array.shape[2:])[inside])

        return cls(
            location_id=location_id,
            date=of_pixels("date"),
            sigma=of_pixels("sigma"),
            area=of_pixels("area"),
            has_data=of_pixels("status") != NO_DATA,
            vegetated=of_pixels("mean_value") >= vegetated_mean,
            day=day.reshape(flat)[:, inside],
            value=series["value"].to_numpy().reshape(flat)[:, inside],
            weight=series["weight"].to_numpy().reshape(flat)[:, inside],
            snow=series["snow"].to_numpy().reshape(flat)[:, inside],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dated:
    """The dominant cluster: its pixels (numbers within the place), their typical years, and the location's.

    ``days`` are the seven typical dates of the dominant season and ``second`` those of the smaller one.
    """

    pixels: npt.NDArray[np.int64]
    typical: Climatology
    days: FloatArray
    second: FloatArray | None


def _dominant(place: _Place, parameters: PhenologyParameters) -> _Dated | None:
    """The dominant cluster of the vegetated pixels, or None where too few of them have cycles."""
    cycling = place.vegetated & np.isfinite(place.date[:, :, PEAK]).any(axis=1)
    if not cycling.any() or cycling.sum() < parameters.min_cycle_share * place.vegetated.sum():
        return None
    candidates = np.flatnonzero(cycling)
    typical = climatology(place.date[candidates], place.area[candidates], parameters.season_separation_days)
    middle = typical.anchor[:, 0] + typical.offset[:, 0][:, _MIDS].mean(axis=1)
    members = _largest_cluster(middle % YEAR_DAYS, parameters.cluster_width_days)
    typical = Climatology(**{name: array[members] for name, array in typical._asdict().items()})
    double = typical.seasons == 2
    second = None
    if 2 * double.sum() > members.size:
        second = _location_days(typical.anchor[double, 1], typical.offset[double, 1])
    days = _location_days(typical.anchor[:, 0], typical.offset[:, 0])
    return _Dated(pixels=candidates[members], typical=typical, days=days, second=second)


def _location_days(anchor: FloatArray, offset: FloatArray) -> FloatArray:
    """Typical dates in the year of the peak: medians of the pixels' dates, which keep their order."""
    middle = circular_median(np.sort(anchor))
    days = middle + np.median(_around(anchor - middle)[:, None] + offset, axis=0)
    return np.asarray(days - YEAR_DAYS * np.floor(days[PEAK] / YEAR_DAYS))


def _around(days: FloatArray) -> FloatArray:
    """Distances on the circle, in [-half a year, half a year)."""
    return np.asarray((days + 0.5 * YEAR_DAYS) % YEAR_DAYS - 0.5 * YEAR_DAYS)


def _largest_cluster(anchor: FloatArray, width_days: float) -> npt.NDArray[np.int64]:
    """Numbers of the pixels in the fullest span of ``width_days`` on the circle of ``anchor``, ascending.

    A span of fixed width, because clusters grown from neighbour to neighbour run through mixed pixels.
    """
    order = np.argsort(anchor, kind="stable")
    phase = anchor[order]
    ends = np.searchsorted(np.concatenate([phase, phase + YEAR_DAYS]), phase + width_days, side="right")
    counts = np.minimum(ends - np.arange(phase.size), phase.size)
    start = int(np.argmax(counts))
    return np.sort(order[(start + np.arange(counts[start])) % phase.size])


def _window_row(place: _Place, dated: _Dated | None, parameters: PhenologyParameters) -> dict[str, object]:
    """The row of the windows table without its location."""
    with_data = int(place.has_data.sum())
    used = place.vegetated if place.vegetated.any() else place.has_data
    snowy = np.any(place.snow & np.isfinite(place.value), axis=0)
    row: dict[str, object] = {
        "vegetated_fraction": place.vegetated.sum() / with_data if with_data else np.nan,
        "snow_fraction": np.mean(snowy[used]) if used.any() and len(place.snow) else np.nan,
    }
    if dated is None:
        return row | {"status": "no_cycle" if with_data else "no_data"}
    typical = dated.typical
    years = int(np.median(typical.cycles[:, 0]))
    resultant = float(np.median(typical.resultant[:, 0]))
    trusted = years >= parameters.min_cycles and resultant >= parameters.min_resultant
    second = by_metric(dated.second) if dated.second is not None else None
    windows = _windows(by_metric(dated.days), second, parameters)
    shift = _around(typical.anchor[:, 0] - dated.days[PEAK])
    own = shift[:, None] + typical.offset[:, 0]
    upper, lower = np.quantile(own, [0.75, 0.25], axis=0)
    return (
        row
        | {f"{m}_day": dated.days[i] for i, m in enumerate(METRICS)}
        | {f"{m}_mad": np.median(typical.mad[:, 0, i]) for i, m in enumerate(METRICS)}
        | {f"{m}_iqr": (upper - lower)[METRICS.index(m)] for m in DOMINANT}
        | {"status": "ok" if trusted else "low_confidence", "pixels": dated.pixels.size, "years": years}
        | {"resultant": resultant, "cycles_per_year": 1 if second is None else 2}
        | flatten(windows)
    )


def _windows(
    days: Mapping[str, float], second: Mapping[str, float] | None, by: PhenologyParameters
) -> Windows:
    """A typical year cut into seasons; the calendar's quarters, which need no dates, come in later."""
    if by.date_rule in (PHENOLOGICAL, CALENDAR):
        return year_windows(days, second, by.min_season_days)
    return windows_by(by.date_rule, days, second)


def _cycle_rows(place: _Place, dated: _Dated, parameters: PhenologyParameters) -> list[dict[str, object]]:
    """One row per cycle of the location that enough pixels of the cluster show, in time."""
    date, sigma = place.date[dated.pixels], place.sigma[dated.pixels]
    found = []
    for rank, days in ((0, dated.days), (1, dated.second)):
        if days is None:
            continue
        pixel, cycle = np.nonzero(dated.typical.rank == rank)
        year = np.round((date[pixel, cycle, PEAK] - days[PEAK]) / YEAR_DAYS)
        for y in np.unique(year):
            here = pixel[year == y], cycle[year == y]
            count = np.unique(here[0]).size
            if count >= parameters.min_cycle_share * dated.pixels.size:
                found.append((np.median(date[here], axis=0), np.median(sigma[here], axis=0), rank, count))
    found.sort(key=lambda f: (f[0][PEAK], f[2]))
    return [
        {"location_id": place.location_id, "cycle": number, "season_rank": rank, "pixels": count}
        | {m: dates[i] for i, m in enumerate(METRICS)}
        | {f"{m}_sigma": sigmas[i] for i, m in enumerate(METRICS)}
        for number, (dates, sigmas, rank, count) in enumerate(found)
    ]


def _mean_series(place: _Place) -> pd.DataFrame:
    """Mean index of the vegetated pixels (of all where there is none), on the dates that have any."""
    used = place.vegetated if place.vegetated.any() else np.ones_like(place.vegetated)
    value, weight, day = place.value[:, used], place.weight[:, used], place.day[:, used]
    snow = place.snow[:, used]
    seen = np.isfinite(value) & np.isfinite(day) & ((weight > 0) | snow)
    share = np.where(seen, np.maximum(weight, 1e-6), 0.0)
    kept = seen.any(axis=1)
    share, seen, value, day, snow = share[kept], seen[kept], value[kept], day[kept], snow[kept]
    total = share.sum(axis=1)
    frame = pd.DataFrame(
        {
            "location_id": place.location_id,
            "day": (np.where(seen, day, 0.0) * share).sum(axis=1) / total,
            "value": (np.where(seen, value, 0.0) * share).sum(axis=1) / total,
            "weight": np.where(seen, weight[kept], 0.0).sum(axis=1) / used.sum(),
            "snow": (snow & seen).sum(axis=1) * 2 > seen.sum(axis=1),
        }
    )
    return frame.sort_values("day", kind="stable", ignore_index=True)


def _frame(rows: list[dict[str, object]], dtypes: Mapping[str, str]) -> pd.DataFrame:
    """A table with exactly these columns and types; missing counts are 0, other missing values NaN."""
    frame = pd.DataFrame(rows, columns=list(dtypes))
    counts = [name for name, dtype in dtypes.items() if dtype.startswith("int")]
    frame[counts] = frame[counts].fillna(0)
    return frame.astype(dict(dtypes))
