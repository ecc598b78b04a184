"""MOD13Q1 and MOD13A1: composites of EVI or NDVI as a labelled series at the true days.

Index x 1e-4, valid from -2000 (fill -3000); SummaryQA (pixel reliability) 0 good, 1 marginal, 2 snow or
ice, 3 cloudy, -1 fill; the day of the year of a composite's pixel may lie in the next year (MOD13 User's
Guide, collection 6.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from ssl4eco_data.phenology.readers.times import COMPOSITE_DAYS, Days, checked_times
from ssl4eco_data.types import BoolArray, FloatArray

SCALE = 1e-4
LOWEST = -2000
SNOW = 2
WEIGHTS = {0: 1.0, 1: 0.5, SNOW: 1.0}
"""Weight of good, marginal and snow pixels; cloudy and fill are no observations."""
INDICES = {"evi": "EVI", "ndvi": "NDVI"}
DAY, QUALITY = "DayOfYear", "SummaryQA"
_FLAGS = (-1, 0, 1, SNOW, 3)
_HIGHEST_DAY = 366
REACH_DAYS = 24
"""The composites of December reach to 8 January, 21 days after their first day, as the files show."""
_ALREADY_SCALED = 2.0
"""Counts of vegetation are hundreds to thousands, index values below one."""
_BEYOND_SCALE = 20_000.0


class Observations(NamedTuple):
    """Arrays of one shape; ``value`` and ``day`` are NaN and ``weight`` 0 where nothing was observed."""

    value: FloatArray
    day: FloatArray
    weight: FloatArray
    snow: BoolArray


def observations(
    counts: npt.NDArray[Any],
    day_of_year: npt.NDArray[Any] | None,
    quality: npt.NDArray[Any] | None,
    begin: Days | np.datetime64,
) -> Observations:
    """The index and true day, days since 1970-01-01, of each pixel of composites that begin at ``begin``.

    ``counts`` are index x 10 000; all arrays broadcast with ``begin``, NaN and infinity are no data. Without
    ``day_of_year`` the day is the middle of the composite, without ``quality`` every valid value counts.
    A day of the year outside 1..366 is no observation.
    """
    value = np.asarray(counts, np.float64)
    first = np.broadcast_to(np.asarray(begin, "datetime64[D]"), value.shape)
    seen = np.isfinite(value) & (value >= LOWEST)
    if day_of_year is None:
        day = first.astype(np.int64) + COMPOSITE_DAYS / 2
    else:
        day = true_days(np.asarray(day_of_year, np.float64), first)
        seen &= np.isfinite(day)
    flags = np.zeros(value.shape) if quality is None else np.asarray(quality, np.float64)
    weight = np.select([flags == flag for flag in WEIGHTS], list(WEIGHTS.values()), 0.0)
    seen &= weight > 0
    return Observations(
        value=np.where(seen, value * SCALE, np.nan),
        day=np.where(seen, day, np.nan),
        weight=np.where(seen, weight, 0.0),
        snow=seen & (flags == SNOW),
    )


def true_days(day_of_year: npt.NDArray[Any], begin: Days | np.datetime64) -> FloatArray:
    """Days since 1970-01-01 of pixels of composites that begin at ``begin``; NaN outside 1..366.

    A day of the year before the composite's first belongs to the next year: the last composite of a year
    reaches into January.
    """
    first = np.asarray(begin, "datetime64[D]")
    year = first.astype("datetime64[Y]")
    following = day_of_year < (first - year.astype("datetime64[D]")).astype(np.int64) + 1
    new_year = (year + following.astype("timedelta64[Y]")).astype("datetime64[D]").astype(np.int64)
    days = new_year + np.asarray(day_of_year, np.float64) - 1
    return np.where((day_of_year >= 1) & (day_of_year <= _HIGHEST_DAY), days, np.nan)


def composite_series(bands: xr.Dataset, *, index: str = "evi", scale: float = SCALE) -> xr.Dataset:
    """The series of ``derive_cycles`` from composites: ``value``, ``day``, ``weight``, ``snow``.

    ``bands`` has the dimension ``time``, each composite's first day, and any others; its variables are
    ``EVI`` or ``NDVI`` (by ``index``) and, where the files have them, ``DayOfYear`` and ``SummaryQA``.
    Without ``DayOfYear`` an observation is dated 8 days, half a composite, after the first day; with it one
    dated over 24 days after it is left out. Multiplied by ``scale`` the numbers are the index; ``scale=1``
    where that was done before. Lazy for dask arrays.
    Raises ``ValueError`` for a missing band, times that are unsorted or repeat, a wrong scale, days that
    are no days of the year and flags that are no SummaryQA (the last three for arrays in memory only).
    """
    if index not in INDICES:
        raise ValueError(f"index must be one of {', '.join(INDICES)}, got {index!r}")
    name = INDICES[index]
    if name not in bands.variables or "time" not in bands[name].dims:
        have = ", ".join(map(str, bands.data_vars))
        raise ValueError(f"composites need a band {name} with a dimension time; there are: {have}")
    begin = checked_times(bands["time"].to_numpy(), "the composites")
    _check_bands(bands, name, scale)
    optional = [band for band in (DAY, QUALITY) if band in bands.variables]
    time = xr.DataArray(begin, dims="time")

    def decode(first: Days, counts: npt.NDArray[Any], *others: npt.NDArray[Any]) -> Observations:
        given = dict(zip(optional, others, strict=True))
        seen = observations(counts * (scale / SCALE), given.get(DAY), given.get(QUALITY), first)
        return _within_composite(seen, first)

    decoded = xr.apply_ufunc(
        decode,
        time.drop_vars("time", errors="ignore"),
        *(bands[band] for band in (name, *optional)),
        output_core_dims=[[]] * 4,
        output_dtypes=["float64", "float64", "float64", "bool"],
        dask="parallelized",
        keep_attrs=False,
    )
    series = xr.Dataset(dict(zip(Observations._fields, decoded, strict=True)), attrs={"index": index})
    return series.assign_coords(time=begin).transpose(*bands[name].dims)


def _within_composite(seen: Observations, first: Days) -> Observations:
    """Without observations dated outside their composite: such a day of the year is not to be believed."""
    later = seen.day - np.broadcast_to(first.astype("datetime64[D]"), seen.day.shape).astype(np.int64)
    kept = (later >= 0) & (later < REACH_DAYS)
    return Observations(
        value=np.where(kept, seen.value, np.nan),
        day=np.where(kept, seen.day, np.nan),
        weight=np.where(kept, seen.weight, 0.0),
        snow=seen.snow & kept,
    )


def composite_table(
    table: pd.DataFrame, *, place: str | None = None, index: str = "evi", scale: float = SCALE
) -> xr.Dataset:
    """As :func:`composite_series` for a table with one row per place and composite.

    Columns: ``date`` (the composite's first day), ``EVI`` or ``NDVI``, where known ``DayOfYear`` and
    ``SummaryQA``, and ``place``, the name of the column that tells series apart; rename your own columns
    to these. Rows may be in any order, empty values are no observations. The result has the dimensions
    (``place``, ``time``), or ``time`` alone. Raises ``ValueError`` besides for missing columns, for what is
    no date or no number, for a row without a place and for a date that a place has twice.
    """
    wanted = ["date", INDICES.get(index, "EVI"), *([place] if place else [])]
    absent = [name for name in wanted if name not in table.columns]
    if absent:
        have = ", ".join(map(str, table.columns))
        raise ValueError(
            f"the table needs the columns {', '.join(wanted)}; {absent[0]!r} is not among: {have}"
        )
    dates = pd.to_datetime(table["date"], errors="coerce")
    if dates.isna().any():
        row = int(np.argmax(dates.isna().to_numpy()))
        raise ValueError(
            f"row {row} of the table has no date a computer can read: {table['date'].iloc[row]!r}"
        )
    bands = [b for b in (wanted[1], DAY, QUALITY) if b in table.columns]
    keys = ([place] if place else []) + ["time"]
    rows = table[bands + keys[:-1]].assign(time=dates.to_numpy("datetime64[ns]"))
    repeated = rows.duplicated(keys)
    if repeated.any():
        first = rows[repeated].iloc[0]
        where = f" of {place} {first[place]!r}" if place else ""
        raise ValueError(
            f"{first['time']:%Y-%m-%d}{where} is there twice ({int(repeated.sum())} such rows): keep one row "
            "of each composite, or name the column that tells the series apart as `place`"
        )
    if place and rows[place].isna().any():
        row = int(np.argmax(rows[place].isna().to_numpy()))
        raise ValueError(f"row {row} of the table has no {place}: leave it out, or name its place")
    for band in bands:
        rows[band] = _numbers(rows[band])
    cube = rows.set_index(keys).to_xarray().sortby("time")
    return composite_series(cube, index=index, scale=scale)


def _numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column as float64; ``ValueError`` for what is no number."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    wrong = (numbers.isna() & column.notna()).to_numpy(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"row {row} of the table: {column.name} must be a number, got {column.iloc[row]!r}")
    return numbers


def _check_bands(bands: xr.Dataset, name: str, scale: float) -> None:
    """Refuse numbers that cannot be what the bands' names say, for arrays in memory."""
    if bands[name].chunks is None:
        counts = bands[name].to_numpy() * (scale / SCALE)
        valid = np.abs(counts[np.isfinite(counts) & (counts >= LOWEST)])
        typical = float(np.median(valid)) if valid.size else np.nan
        if typical < _ALREADY_SCALED:
            raise ValueError(
                f"{name} is typically {typical * SCALE:.2g} after the scale factor {scale:g}: it is scaled "
                "already; give scale=1"
            )
        if typical > _BEYOND_SCALE:
            raise ValueError(
                f"{name} is typically {typical * SCALE:.4g} after the scale factor {scale:g}, and lies below "
                f"1; give the factor of these numbers (MOD13: scale={SCALE:g})"
            )
    if DAY in bands.variables and bands[DAY].chunks is None:
        highest = np.nanmax(bands[DAY].to_numpy(), initial=0)
        if highest > _HIGHEST_DAY:
            raise ValueError(f"{DAY} must be days of the year, at most 366, got {highest:g}")
    if QUALITY in bands.variables and bands[QUALITY].chunks is None:
        flags = bands[QUALITY].to_numpy()
        strange = flags[np.isfinite(flags) & ~np.isin(flags, _FLAGS)]
        if strange.size:
            raise ValueError(
                f"{QUALITY} must be 0 good, 1 marginal, 2 snow, 3 cloudy or -1 fill, got {strange[0]:g}: "
                "is it another quality band?"
            )
