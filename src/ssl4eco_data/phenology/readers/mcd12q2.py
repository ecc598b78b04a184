"""The land cover dynamics product MCD12Q2, read as dates.

Bands ``Greenup_n`` … ``Dormancy_n`` in days since 1970-01-01, valid 11138 to 32766, fill 32767;
``QA_Detailed_n`` holds 2 bits per metric, Greenup in bits 0-1 to Dormancy in bits 12-13, 0 best to 3 poor
(MCD12Q2 User Guide, collection 6.1). Cycles are numbered 1, 2 by Earth Engine and 0, 1 by AppEEARS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.types import METRICS, FloatArray, UInt8Array

BANDS = ("Greenup", "MidGreenup", "Maturity", "Peak", "Senescence", "MidGreendown", "Dormancy")
"""Names of the product, in the order of :data:`~ssl4eco_data.types.METRICS`."""
DETAILED = "QA_Detailed"
FIRST_VALID, FILL = 11138, 32767
NO_QUALITY = 255
_HIGHEST_BITS = (1 << 2 * len(BANDS)) - 1
_NAME = re.compile(rf"({'|'.join(BANDS)}|{DETAILED})_(\d+)")


def product_dates(bands: xr.Dataset, *, first_cycle: int | None = None) -> xr.Dataset:
    """``date`` and ``quality`` of each cycle, named and laid out as ``derive_cycles`` does.

    - ``date`` (…, cycle, metric) float64 days since 1970-01-01, NaN for fill and for a metric without a band
    - ``quality`` (…, cycle, metric) uint8 class 0 best to 3 poor from the detailed bits, 255 where there is
      no date or no band ``QA_Detailed_n``

    ``…`` are the dimensions of ``bands``. ``first_cycle`` is the number in the names of the first cycle's
    bands; without it 0 where a band is so numbered, else 1. ``QA_Overall_n`` is not read: it calls nearly
    every pixel best. NaN counts as fill. Raises ``ValueError`` when there is no band of dates, for cycles
    before the first, and for values that are neither a valid day nor fill.
    """
    found = [match for name in bands.data_vars if (match := _NAME.fullmatch(str(name)))]
    numbers = sorted({int(match[2]) for match in found if match[1] != DETAILED})
    if not numbers:
        have = ", ".join(map(str, bands.data_vars))
        raise ValueError(f"no band of dates: names such as Greenup_1 are wanted, got {have}")
    first = (0 if numbers[0] == 0 else 1) if first_cycle is None else first_cycle
    if numbers[0] < first:
        raise ValueError(f"bands are numbered {numbers[0]}, before the first cycle {first}: give first_cycle")
    cycles = range(first, numbers[-1] + 1)
    dates = [_stack(bands, [f"{band}_{n}" for band in BANDS]) for n in cycles]
    date = xr.concat(dates, dim="cycle")
    bits = xr.concat([_bits(bands, n) for n in cycles], dim="cycle")
    classes = xr.apply_ufunc(
        _classes,
        bits,
        date,
        input_core_dims=[[], ["metric"]],
        output_core_dims=[["metric"]],
        dask="parallelized",
        output_dtypes=["uint8"],
    )
    result = xr.Dataset({"date": date, "quality": classes}).transpose(..., "cycle", "metric")
    result = result.assign_coords(cycle=np.arange(len(cycles)), metric=list(METRICS))
    result["date"].attrs = {"units": "days since 1970-01-01"}
    result["quality"].attrs = {"flag_values": [0, 1, 2, 3], "flag_meanings": "best good fair poor"}
    return result


def _stack(bands: xr.Dataset, names: Sequence[str]) -> xr.DataArray:
    """(…, metric) dates, NaN for fill and for absent bands."""
    present = next(bands[str(name)] for name in bands.data_vars if _NAME.fullmatch(str(name)))
    nothing = xr.full_like(present, np.nan, dtype=np.float64)
    layers = [_days(bands[name], name) if name in bands.variables else nothing for name in names]
    joined = xr.concat(layers, dim="metric").drop_attrs()
    return joined.chunk(metric=-1) if joined.chunks else joined


def _days(band: xr.DataArray, name: str) -> xr.DataArray:
    days = band.astype(np.float64)
    days = days.where(days != FILL)
    if band.chunks is None:
        values = days.to_numpy()
        wrong = np.isfinite(values) & ((values < FIRST_VALID) | (values > FILL))
        if wrong.any():
            raise ValueError(
                f"{name} must be days since 1970-01-01 from {FIRST_VALID} to {FILL - 1}, or {FILL} for fill; "
                f"got {values[wrong][0]:g} ({int(wrong.sum())} such pixels): days of the year have to be "
                "converted, other fill values masked with NaN"
            )
    return days.where((days >= FIRST_VALID) & (days < FILL))


def _bits(bands: xr.Dataset, number: int) -> xr.DataArray:
    """The detailed bits of a cycle as float, NaN where the band is absent."""
    name = f"{DETAILED}_{number}"
    if name in bands.variables:
        return bands[name].astype(np.float64).drop_attrs()
    like = next(bands[str(name)] for name in bands.data_vars if _NAME.fullmatch(str(name)))
    return xr.full_like(like, np.nan, dtype=np.float64).drop_attrs()


def _classes(bits: FloatArray, date: FloatArray) -> UInt8Array:
    """Class of each metric, ``NO_QUALITY`` where there is no date: fill would decode as poor."""
    known = (bits >= 0) & (bits <= _HIGHEST_BITS)
    whole: npt.NDArray[np.int64] = np.where(known, bits, 0).astype(np.int64)
    classes = whole[..., None] >> (2 * np.arange(len(BANDS))) & 3
    return np.where(known[..., None] & np.isfinite(date), classes, NO_QUALITY).astype(np.uint8)
