"""The dates of every cycle of every pixel of a labelled series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.phenology.cleaning import SEEN, despike, gather
from ssl4eco_data.phenology.kernel import (
    FEWEST_FITTED,
    NO_QUALITY,
    STATUS_MEANINGS,
    Results,
    Settings,
    analyse,
    smoothed,
)
from ssl4eco_data.phenology.parameters import IndexName, IndexProfile, PhenologyParameters
from ssl4eco_data.types import METRICS, YEAR_DAYS, BoolArray, FloatArray

_VARIABLES = ("date", "sigma", "value", "quality", "amplitude", "area", "status", "mean_value")
_DTYPES = (*("float64",) * 3, "uint8", *("float64",) * 2, "int8", "float64")
_FAR_BEYOND = 10.0
DAYS_OF_YEAR = 366.0
LONGEST_RECORD_DAYS = 200 * YEAR_DAYS
CYCLES_PER_YEAR = 3
"""Room for so many in a year on average; of more, the smallest by area are left out."""
_AXES = (*(("cycle", "metric"),) * 4, *(("cycle",),) * 2, *((),) * 2)


def derive_cycles(series: xr.Dataset, parameters: PhenologyParameters | None = None) -> xr.Dataset:
    """Dates of all vegetation cycles of every pixel; lazy, and the same in any chunking, for dask arrays.

    Dimensions are those of ``series`` without ``time``, then ``cycle`` (in time; three times as many as
    the record has years) and ``metric`` (:data:`~ssl4eco_data.types.METRICS`).

    - ``date`` (…, cycle, metric) float64 days since 1970-01-01, NaN where there is no cycle; never decreasing
      along ``metric``; ``sigma`` its standard deviation in days; ``value`` the smoothed index at it;
      ``quality`` uint8 class 0 (best) to 3, 255 where there is no cycle
    - ``amplitude`` (…, cycle) peak over the mean of both troughs, ``area`` index-days from greenup to
      dormancy above the lower trough
    - ``status`` (…) int8: ok, low_confidence (fewer than ``min_cycles`` cycles), no_cycle, no_data
    - ``mean_value`` (…) mean of the snow-free, despiked observations

    ``series`` has a dimension ``time`` and any others, in any order, and names its index in
    ``attrs['index']``. Variables: ``value`` float, NaN = no observation; ``weight`` in [0, 1], 1 without it;
    ``snow`` bool, none without it; ``day`` float64, the true day, days since 1970-01-01, per pixel or only
    per time, without it that of the coordinate ``time``. Observations may be in any order, and several on
    one day are one. Raises ``ValueError`` for a missing variable, an unknown index, integer values, and
    values that lack their scale factor, weights above 1, days of the year (for dask arrays when they are
    computed); ``TypeError`` for anything but a Dataset.
    """
    parameters = parameters or PhenologyParameters()
    series = _completed(series)
    _check(series)
    profile = parameters.profile(series.attrs.get("index"))
    whole = series[["day", "value", "weight", "snow"]]
    whole = whole.chunk(time=-1) if whole.chunks else whole
    max_cycles = CYCLES_PER_YEAR * math.ceil(_span_days(series) / YEAR_DAYS)
    outputs = xr.apply_ufunc(
        _derive_block,
        *(whole[name] for name in ("day", "value", "weight", "snow")),
        kwargs={"parameters": parameters, "profile": profile, "max_cycles": max_cycles},
        input_core_dims=[["time"]] * 4,
        output_core_dims=[list(axes) for axes in _AXES],
        output_dtypes=list(_DTYPES),
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"cycle": max_cycles, "metric": len(METRICS)}},
    )
    derived = xr.Dataset(dict(zip(_VARIABLES, outputs, strict=True)))
    derived = derived.assign_coords(metric=list(METRICS), cycle=np.arange(max_cycles))
    derived["date"].attrs = {"units": "days since 1970-01-01"}
    derived["sigma"].attrs = {"units": "d"}
    derived["status"].attrs = {
        "flag_values": list(range(len(STATUS_MEANINGS))),
        "flag_meanings": " ".join(STATUS_MEANINGS),
    }
    return derived.assign_attrs(index=series.attrs["index"])


def smooth(
    day: FloatArray,
    value: FloatArray,
    weight: FloatArray,
    at_days: FloatArray,
    parameters: PhenologyParameters,
    index: IndexName = "evi",
    snow: BoolArray | None = None,
) -> FloatArray:
    """The curve of one series that :func:`derive_cycles` reads its dates from, at ``at_days``, float64.

    NaN with under four observations or none free of snow. Within a cycle it is the season that describes it,
    else the spline. Dates under ``snow`` (none without it) lie on the background. Beyond the record it goes
    on as a straight line.
    """
    profile = parameters.profile(index)
    days, values, weights = (np.ascontiguousarray(a, dtype=np.float64) for a in (day, value, weight))
    under_snow = np.zeros(days.size, dtype=np.bool_) if snow is None else np.ascontiguousarray(snow)
    seen = gather(days, values, weights, under_snow, profile.valid_min, profile.valid_max)
    seen = despike(seen, profile.despike_depth)
    at = np.asarray(at_days, dtype=np.float64)
    if seen.shape[1] < FEWEST_FITTED or not (seen[3] == SEEN).any():
        return np.full(at.shape, np.nan)
    bandwidths = np.array(parameters.bandwidths_days)
    return smoothed(seen, bandwidths, _settings(parameters, profile), at.ravel()).reshape(at.shape)


def _completed(series: xr.Dataset) -> xr.Dataset:
    """With true days, weights and snow where they are left out."""
    if not isinstance(series, xr.Dataset):
        raise TypeError(
            f"series must be a Dataset, got {type(series).__name__}: xr.Dataset({{'value': index}}, "
            "attrs={'index': 'evi'})"
        )
    if "value" not in series.variables or "time" not in series["value"].dims:
        return series
    given = set(series.variables)
    if "day" not in given and np.issubdtype(series["time"].dtype, np.datetime64):
        series = series.assign(day=_days(series["time"]).drop_vars("time"))
    if "day" in given and np.issubdtype(series["day"].dtype, np.datetime64):
        series = series.assign(day=_days(series["day"]))
    if "weight" not in given:
        series = series.assign(weight=xr.ones_like(series["value"], dtype=np.float64))
    if "snow" not in given:
        series = series.assign(snow=xr.zeros_like(series["value"], dtype=np.bool_))
    elif series["snow"].dtype != np.bool_:
        # A join in xarray makes numbers of flags, NaN where there was none.
        series = series.assign(snow=series["snow"].fillna(0) > 0)
    return series


def _days(times: xr.DataArray) -> xr.DataArray:
    """Days since 1970-01-01, NaN for NaT."""
    return (times - np.datetime64("1970-01-01")) / np.timedelta64(1, "D")


def _check_block(
    day: npt.NDArray[np.float64], value: FloatArray, weight: FloatArray, profile: IndexProfile
) -> None:
    """Raise ``ValueError`` for what no weight, day or value of a vegetation index is."""
    _check_scale(value, profile)
    finite = day[np.isfinite(day)]
    if finite.size > 1 and finite.min() >= 1.0 and finite.max() <= DAYS_OF_YEAR:
        raise ValueError(
            f"series day lies in {finite.min():g} … {finite.max():g}, as days of the year do: it is days "
            "since 1970-01-01"
        )
    if finite.size and np.ptp(finite) > LONGEST_RECORD_DAYS:
        raise ValueError(f"series day lies in {finite.min():g} … {finite.max():g}, over more than 200 years")
    if weight.size and np.nanmax(weight) > 1.0 + 1e-9:
        raise ValueError(f"series weight lies in [0, 1], got {np.nanmax(weight):g}: divide by the largest")


def _check_scale(value: npt.NDArray[np.floating[Any]], profile: IndexProfile) -> None:
    """Most values far beyond what the index can be: they are digital numbers, and none would be used."""
    finite = np.abs(value[np.isfinite(value)])
    if finite.size and np.median(finite) > _FAR_BEYOND * max(abs(profile.valid_min), profile.valid_max):
        raise ValueError(
            f"series value is typically {np.median(finite):g}, the index lies in [{profile.valid_min:g}, "
            f"{profile.valid_max:g}]: apply the scale factor (MODIS: 0.0001)"
        )


def _check(series: xr.Dataset) -> None:
    if "value" not in series.variables:
        raise ValueError(f"series needs the variable 'value', has {sorted(map(str, series.data_vars))}")
    if "day" not in series.variables and "time" in series["value"].dims:
        raise ValueError(
            "series needs the variable 'day' (days since 1970-01-01) or a coordinate 'time' of datetime64"
        )
    for name in {"cycle", "metric"} & set(map(str, series["value"].dims)):
        raise ValueError(f"series has a dimension {name!r}, as the result has: rename it")
    for name in ("day", "value", "weight", "snow"):
        if name not in series.variables:
            raise ValueError(f"series needs the variables day, value, weight and snow, {name!r} is missing")
        if "time" not in series[name].dims:
            raise ValueError(f"series variable {name!r} needs the dimension 'time', has {series[name].dims}")
    if not np.issubdtype(series["value"].dtype, np.floating):
        raise ValueError(
            f"series value must be floating-point, got {series['value'].dtype}: apply the scale factor"
        )
    if series.sizes["time"] == 0:
        raise ValueError("series has no time steps")


def _span_days(series: xr.Dataset) -> float:
    """Length of the record, at least a day, from the times where they are dates, else from the true days."""
    time = series["time"]
    if np.issubdtype(time.dtype, np.datetime64):
        known = time.to_numpy()[~np.isnat(time.to_numpy())]
        span = np.ptp(known) / np.timedelta64(1, "D") if known.size else 0.0
    else:
        finite = series["day"].where(np.isfinite(series["day"]))
        span = finite.max() - finite.min()
    days = float(span)
    if days > LONGEST_RECORD_DAYS:
        raise ValueError(f"series covers {days:g} days, more than 200 years: day is days since 1970-01-01")
    return days if days >= 1 else 1.0


def _derive_block(
    day: npt.NDArray[Any],
    value: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    snow: npt.NDArray[Any],
    *,
    parameters: PhenologyParameters,
    profile: IndexProfile,
    max_cycles: int,
) -> tuple[npt.NDArray[Any], ...]:
    """The variables of :func:`derive_cycles` for in-memory arrays whose last axis is time."""
    shape = np.broadcast_shapes(*(a.shape for a in (day, value, weight, snow)))
    shared_day = math.prod(day.shape[:-1]) == 1
    values, weights, snows = _flat(value, shape, "f8"), _flat(weight, shape, "f8"), _flat(snow, shape, "?")
    _check_block(day, value, weight, profile)
    days = _flat(day, day.shape if shared_day else shape, "f8")
    out = _blank(values.shape[0], max_cycles)
    bandwidths = np.array(parameters.bandwidths_days)
    analyse(days, values, weights, snows, bandwidths, _settings(parameters, profile), out)
    return tuple(array.reshape(shape[:-1] + array.shape[1:]) for array in out)


def _flat(array: npt.NDArray[Any], shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Rows of ``array`` (row, time), read-only: for arrays that are not, numba compiles everything again."""
    flat = np.ascontiguousarray(np.broadcast_to(array, shape).reshape(-1, shape[-1]), dtype=dtype).view()
    flat.flags.writeable = False
    return flat


def _blank(pixels: int, cycles: int) -> Results:
    def nan(*shape: int) -> FloatArray:
        return np.full(shape, np.nan)

    metrics = len(METRICS)
    return Results(
        date=nan(pixels, cycles, metrics),
        sigma=nan(pixels, cycles, metrics),
        value=nan(pixels, cycles, metrics),
        quality=np.full((pixels, cycles, metrics), NO_QUALITY, dtype=np.uint8),
        amplitude=nan(pixels, cycles),
        area=nan(pixels, cycles),
        status=np.zeros(pixels, dtype=np.int8),
        mean_value=nan(pixels),
    )


def _settings(parameters: PhenologyParameters, profile: IndexProfile) -> Settings:
    return Settings(
        despike_depth=profile.despike_depth,
        floor=profile.floor,
        min_amplitude=profile.min_amplitude,
        valid_min=profile.valid_min,
        valid_max=profile.valid_max,
        min_observations_per_year=parameters.min_observations_per_year,
        min_relative_amplitude=parameters.min_relative_amplitude,
        edge_share=parameters.edge_share,
        min_cycles=parameters.min_cycles,
        shares=np.array(parameters.amplitude_shares),
    )
