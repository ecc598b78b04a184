"""The phenology of one point, straight from the archive: nothing is built and no dataset is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ssl4eco_data.archives.own import OwnParameters
from ssl4eco_data.archives.stac import StacParameters
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.locations import coordinate_ids, footprint_at, utm_epsg
from ssl4eco_data.phenology import derive_cycles, dropped, season_windows, smooth, summarise
from ssl4eco_data.phenology.parameters import IndexName, PhenologyParameters
from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.types import METRICS, SNAP_M, FloatArray, Location, SeasonWindow

QUALITIES = ("best", "good", "fair", "poor")
KINDS = ("good", "marginal", "snow", "dropped")
"""Full weight, less than that, snow, and left out as a cloud that no mask saw."""
_COMMON_YEAR = 2021
"""A year that shows typical days of the year; the one after it is no leap year either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPhenology:
    """What one pixel of the vegetation series shows.

    ``observations`` has one row per observation: ``day`` days since 1970-01-01, ``value``, ``weight``,
    ``snow``, ``kind`` (one of :data:`KINDS`), by day. ``cycles`` holds ``date``, ``sigma`` (days),
    ``value`` and ``quality`` (cycle, metric) of the cycles found, in time. ``curve`` is the fitted index at
    ``curve_day``, NaN where nothing was fitted. ``status`` is that of the pixel; ``typical`` the row of the
    windows table that it would get.
    """

    lon_deg: float
    lat_deg: float
    index: str
    status: str
    observations: pd.DataFrame
    cycles: xr.Dataset
    curve_day: FloatArray
    curve: FloatArray
    typical: Mapping[str, Any]

    def windows(self) -> list[SeasonWindow]:
        """The season windows of every year of the record, none where there is no cycle."""
        day = pd.Timestamp(0) + pd.to_timedelta(self.observations["day"], "D")
        return season_windows(self.typical, range(day.min().year - 1, day.max().year + 2))


def parse_lonlat(text: str) -> tuple[float, float]:
    """(lon, lat) in degrees from ``7.95,46.55``; ``ValueError`` names what is wrong with it."""
    parts = text.split(",")
    try:
        lon, lat = (float(part) for part in parts)
    except ValueError:
        raise ValueError(f"--at must be LON,LAT in degrees such as 7.95,46.55, got {text!r}") from None
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        hint = "; are they exchanged?" if abs(lon) <= 90 and abs(lat) <= 180 else ""
        raise ValueError(f"--at must be LON,LAT with lon in [-180, 180], lat in [-90, 90], got {text}{hint}")
    return lon, lat


def point_phenology(config: Config, lon_deg: float, lat_deg: float) -> PointPhenology:
    """Dates, curve and windows of the pixel of the archive's vegetation series that holds the point.

    MODIS pixels lie where they lie: of those that meet the 20 m square around the point the first is taken,
    row by row. Cells of EVI2 from Sentinel-2 are laid around the point. Of an archive of one's own it is the
    pixel nearest to the middle of a patch around the point. Raises
    :class:`~ssl4eco_data.errors.ArchiveError` when the archive has no observation there.
    """
    start, end = config.period.vegetation
    series = open_archive(config).vegetation_series([_place(config, lon_deg, lat_deg)], start, end)
    if not np.isfinite(series["value"]).any():
        causes = series.attrs.get("unreadable", [])
        hint = f"; {len(causes)} files cannot be read, e.g. {causes[0]}" if causes else ""
        where = _named(config)
        raise ArchiveError(
            f"no observation at lon {lon_deg:g}, lat {lat_deg:g} from {start} to {end} in {where}: the point "
            f"lies outside the archive's data, or all of it is cloudy there{hint}",
            transient=False,
        )
    pixel = _one_pixel(series, middle=isinstance(config.archive, OwnParameters))
    pixels = derive_cycles(pixel, config.phenology)
    typical = summarise(pixels, pixel, config.phenology).windows.to_dict("records")[0]
    own = pixel.isel(location=0, y=0, x=0)
    dates = pixels.isel(location=0, y=0, x=0)
    names = str(pixels["status"].attrs["flag_meanings"]).split()
    observations = _observations(own, config.phenology, series.attrs["index"])
    day = np.arange(math.floor(observations["day"].min()), math.ceil(observations["day"].max()) + 1.0)
    days, values, weights = (observations[n].to_numpy(np.float64) for n in ("day", "value", "weight"))
    return PointPhenology(
        lon_deg=lon_deg,
        lat_deg=lat_deg,
        index=series.attrs["index"],
        status=names[int(dates["status"])],
        observations=observations,
        cycles=dates.isel(cycle=np.flatnonzero(np.isfinite(dates["date"].sel(metric="peak")))),
        curve_day=day,
        curve=smooth(
            days,
            values,
            weights,
            day,
            config.phenology,
            series.attrs["index"],
            observations["snow"].to_numpy(np.bool_),
        ),
        typical={str(name): value for name, value in typical.items()},
    )


def describe_point(point: PointPhenology) -> list[str]:
    """What a person wants to know, line by line: the record, the dates of each cycle, the typical windows."""
    seen, snow = len(point.observations), int(point.observations["snow"].sum())
    days = [_date(d) for d in (point.observations["day"].min(), point.observations["day"].max())]
    out = int((point.observations["kind"] == "dropped").sum())
    counts = f"{snow} of snow, {out} dropped as clouds"
    lines = [
        f"lon {point.lon_deg:g}, lat {point.lat_deg:g}: {point.status}, {point.cycles.sizes['cycle']} cycles",
        f"{seen} observations of {point.index.upper()}, {counts}, {days[0]} to {days[1]}",
    ]
    if point.cycles.sizes["cycle"]:
        lines += ["", f"{'metric':<14}  {'date':<10}  {'sigma, days':>11}  quality  {point.index}"]
    for number in range(point.cycles.sizes["cycle"]):
        cycle = point.cycles.isel(cycle=number)
        for metric in METRICS:
            at = cycle.sel(metric=metric)
            quality = QUALITIES[int(at["quality"])]
            lines.append(
                f"{metric:<14}  {_date(float(at['date']))}  {float(at['sigma']):>11.1f}  {quality:<7}  "
                f"{float(at['value']):.3f}"
            )
        lines.append("")
    return lines + _typical_lines(point)


def _typical_lines(point: PointPhenology) -> list[str]:
    typical = point.typical
    if not math.isfinite(typical["spring_start_day"]):
        return [f"no season windows: {typical['status']}"]
    lines = [
        f"season windows of a typical year, first to last day ({typical['status']}, {typical['years']} years)"
    ]
    for window in season_windows(typical, [_COMMON_YEAR]):
        lines.append(f"{window.season:<14}  {window.start:%d %b} to {window.end - timedelta(days=1):%d %b}")
    return lines


def _named(config: Config) -> str:
    """Where the vegetation series comes from, for messages."""
    archive = config.archive
    return archive.kind if isinstance(archive, OwnParameters) else archive.vegetation or archive.imagery


def _place(config: Config, lon_deg: float, lat_deg: float) -> Location:
    """The point with a footprint of one cell of the series, or of 20 m around it for MODIS."""
    size_m = SNAP_M
    archive = config.archive
    if isinstance(archive, StacParameters) and archive.vegetation is None:
        size_m = float(math.lcm(archive.vegetation_pixel_m, int(SNAP_M)))
    if isinstance(archive, OwnParameters):  # its pixels are known to fit a patch, and nothing else of them
        size_m = config.patches.size_m
    epsg = int(utm_epsg(lon_deg, lat_deg))
    (name,) = coordinate_ids(np.array([lon_deg]), np.array([lat_deg]))
    footprint = footprint_at(lon_deg, lat_deg, epsg, size_m)
    return Location(location_id=name, lon_deg=lon_deg, lat_deg=lat_deg, footprint=footprint)


def _one_pixel(series: xr.Dataset, *, middle: bool) -> xr.Dataset:
    """The first pixel with an observation, or that nearest to the ``middle``; inside the footprint first."""
    value = series["value"].isel(location=0).transpose("time", "y", "x").to_numpy()
    seen = np.isfinite(value).any(axis=0)
    inside = seen & series["inside"].isel(location=0).transpose("y", "x").to_numpy()
    places = np.argwhere(inside if inside.any() else seen)
    if middle:
        off = np.abs(places - (np.array(seen.shape) - 1) / 2).sum(axis=1)
        places = places[np.argsort(off, kind="stable")]
    row, column = places[0]
    pixel = series.isel(y=[row], x=[column])
    return pixel.assign(inside=xr.ones_like(pixel["inside"]))


def _observations(pixel: xr.Dataset, parameters: PhenologyParameters, index: IndexName) -> pd.DataFrame:
    """The valid observations of one pixel by day, with their kind."""
    names = ("day", "value", "weight", "snow")
    table = pd.DataFrame({name: pixel[name].to_numpy() for name in names}).dropna(subset=["day", "value"])
    table = table.sort_values("day", kind="stable", ignore_index=True)
    day, value, weight = (table[name].to_numpy(np.float64) for name in names[:3])
    snow = table["snow"].to_numpy(np.bool_)
    out = dropped(day, value, weight, snow, parameters, index)
    kind = np.select([out, snow, weight < 1], ["dropped", "snow", "marginal"], "good")
    return table.assign(kind=kind)


def _date(day: float) -> str:
    return f"{pd.Timestamp(0) + pd.Timedelta(days=round(day)):%Y-%m-%d}"
