"""The product MCD12Q2 in the form of derived cycles, so that the same summary follows.

Scale factors: MCD12Q2 User Guide, collection 6.1 (``EVI_Minimum`` and ``EVI_Amplitude`` 0.0001, ``EVI_Area``
0.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.phenology.kernel import LOW_CONFIDENCE, NO_CYCLE, NO_DATA, NO_QUALITY, OK
from ssl4eco_data.phenology.parameters import PhenologyParameters
from ssl4eco_data.phenology.readers.mcd12q2 import BANDS, DETAILED, FILL, product_dates
from ssl4eco_data.types import METRICS, BoolArray, FloatArray

NUMBER_OF_CYCLES = "NumCycles"
MINIMUM, AMPLITUDE, AREA = "EVI_Minimum", "EVI_Amplitude", "EVI_Area"
INDEX_SCALE, AREA_SCALE = 1e-4, 0.1
CYCLE_BANDS = (*BANDS, DETAILED, MINIMUM, AMPLITUDE, AREA)
"""The bands of one cycle, without its number."""
CYCLES_OF_A_YEAR = (1, 2)
PEAK = METRICS.index("peak")


def product_cycles(bands: xr.Dataset, parameters: PhenologyParameters | None = None) -> xr.Dataset:
    """What :func:`~ssl4eco_data.phenology.derive_cycles` gives, with the dates of the product.

    ``bands`` has the dimension ``year`` and any others, and for the cycles 1 and 2 all of ``CYCLE_BANDS``,
    and ``NumCycles``, in the integers of the product. A cycle counts when all its seven dates are there and
    in order; the cycles of a pixel are sorted in time.

    - ``date``, ``quality`` (…, cycle, metric), two cycles a year; ``sigma`` and ``value`` are NaN, because
      the product states neither
    - ``amplitude`` (…, cycle); ``area`` (…, cycle) index-days from greenup to dormancy above the minimum
      (``EVI_Area`` counts them above zero)
    - ``mean_value`` (…): the mean over the cycles of the middle between the lowest and highest index (EVI2),
      NaN without a cycle: what a pixel is like between cycles the product does not say
    - ``status`` (…): as ``derive_cycles``; no_data where no year has even a number of cycles
    """
    parameters = parameters or PhenologyParameters()
    lead = [str(dim) for dim in bands[NUMBER_OF_CYCLES].dims if dim != "year"]
    date, quality = _dates(bands, lead)
    minimum, amplitude = (_numbers(bands, lead, name, INDEX_SCALE) for name in (MINIMUM, AMPLITUDE))
    area = _numbers(bands, lead, AREA, AREA_SCALE) - minimum * (date[..., -1] - date[..., 0])
    whole = _whole(date)
    numbered = bands[NUMBER_OF_CYCLES].transpose(*lead, "year").to_numpy() != FILL
    sort = _Sort(whole, date[..., PEAK])
    per_date, per_cycle = (*lead, "cycle", "metric"), (*lead, "cycle")
    unknown = np.full_like(date, np.nan)
    found = xr.Dataset(
        {
            "date": (per_date, sort(date, np.nan), {"units": "days since 1970-01-01"}),
            "sigma": (per_date, unknown, {"units": "d"}),
            "value": (per_date, unknown.copy()),
            "quality": (per_date, sort(quality, NO_QUALITY)),
            "amplitude": (per_cycle, sort(amplitude, np.nan)),
            "area": (per_cycle, sort(np.maximum(area, 0.0), np.nan)),
            "status": (tuple(lead), _status(whole, numbered.any(axis=-1), parameters.min_cycles)),
            "mean_value": (tuple(lead), _mean(minimum + amplitude / 2, whole)),
        },
        coords={"metric": list(METRICS), "cycle": np.arange(date.shape[-2])},
        attrs={"index": "evi2"},
    )
    return found.assign_coords({dim: bands[dim] for dim in lead if dim in bands.coords})


def _whole(date: FloatArray) -> BoolArray:
    """(…, cycle): all dates are there and in order."""
    known, ordered = np.isfinite(date).all(axis=-1), (np.diff(date, axis=-1) >= 0).all(axis=-1)
    return np.asarray(known & ordered)


def _dates(bands: xr.Dataset, lead: list[str]) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Dates and their quality classes (…, cycle, metric), cycle after cycle and year after year."""
    names = [f"{band}_{n}" for n in CYCLES_OF_A_YEAR for band in (*BANDS, DETAILED)]
    dated = product_dates(bands[names], first_cycle=CYCLES_OF_A_YEAR[0])
    arrays = (
        dated[name].transpose(*lead, "year", "cycle", "metric").to_numpy() for name in ("date", "quality")
    )
    date, quality = (array.reshape(*array.shape[:-3], -1, array.shape[-1]) for array in arrays)
    return date, quality


def _numbers(bands: xr.Dataset, lead: list[str], name: str, scale: float) -> FloatArray:
    """A band of all cycles (…, cycle) in its unit, NaN for fill."""
    cycles = [bands[f"{name}_{n}"].transpose(*lead, "year").to_numpy() for n in CYCLES_OF_A_YEAR]
    stored = np.stack(cycles, axis=-1)
    numbers = np.where(stored == FILL, np.nan, stored * scale)
    return np.asarray(numbers.reshape(*numbers.shape[:-2], -1))


class _Sort:
    """Puts the cycles of each pixel in the order of their peaks, those that do not count last."""

    def __init__(self, whole: BoolArray, peak: FloatArray) -> None:
        self._whole = whole
        self._order = np.argsort(np.where(whole, peak, np.inf), axis=-1, kind="stable")

    def __call__(self, values: npt.NDArray[Any], nothing: float) -> npt.NDArray[Any]:
        tail = (None,) * (values.ndim - self._whole.ndim)
        kept = np.where(self._whole[(..., *tail)], values, values.dtype.type(nothing))
        return np.take_along_axis(kept, self._order[(..., *tail)], axis=self._whole.ndim - 1)


def _mean(values: FloatArray, whole: BoolArray) -> FloatArray:
    """Over the cycles that count; NaN without one."""
    mean = np.ma.MaskedArray(values, ~whole | ~np.isfinite(values)).mean(axis=-1)
    return np.asarray(np.ma.filled(np.ma.asarray(mean, dtype=np.float64), np.nan))


def _status(whole: BoolArray, numbered: BoolArray, min_cycles: int) -> npt.NDArray[np.int8]:
    cycles = whole.sum(axis=-1)
    dated = np.where(cycles >= min_cycles, OK, LOW_CONFIDENCE)
    return np.where(cycles > 0, dated, np.where(numbered, NO_CYCLE, NO_DATA)).astype(np.int8)
