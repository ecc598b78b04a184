"""Sentinel-2 surface reflectance as a labelled series of EVI2.

EVI2 = 2.5 (N - R) / (N + 2.4 R + 1) (Jiang et al. 2008, Remote Sensing of Environment 112, 3833-3845).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.phenology.readers.times import checked_times
from ssl4eco_data.types import BoolArray, FloatArray

SCL_WEIGHTS = {4: 1.0, 5: 1.0, 7: 0.5, 11: 1.0}
"""Vegetation, bare, unclassified and snow; all other classes are no observations."""
SCL_SNOW = 11
_DIGITAL_NUMBERS = 3.0
_HIGHEST_CLASS = 11


def evi2(red: FloatArray, nir: FloatArray) -> FloatArray:
    """EVI2 of surface reflectances (0 to 1), of their shape."""
    return np.asarray(2.5 * (nir - red) / (nir + 2.4 * red + 1))


def scl_weights(scl: npt.NDArray[np.number]) -> FloatArray:
    """Weight of each pixel of the scene classification, float64 of its shape; 0 for no observation."""
    weight = np.zeros(scl.shape)
    for scene_class, class_weight in SCL_WEIGHTS.items():
        weight[scl == scene_class] = class_weight
    return weight


def reflectance_series(red: xr.DataArray, nir: xr.DataArray, scl: xr.DataArray) -> xr.Dataset:
    """The series of ``derive_cycles``: ``value`` EVI2, ``weight`` and ``snow``, of the dimensions of ``red``.

    ``red`` (B04) and ``nir`` (B08) are surface reflectance from 0 to 1 with a dimension ``time``, 0 or NaN
    for no data; ``scl`` is the scene classification of the same pixels, or of half as many along ``y`` and
    ``x`` (20 m), each of which then stands for 2 x 2. Times of day count; lazy for dask arrays. Raises
    ``ValueError`` for times that are missing, unsorted, repeat or differ between the arrays, digital
    numbers, shapes that do not fit, and values that are no classes.
    """
    if "time" not in red.dims or "time" not in red.coords:
        raise ValueError(f"red needs a dimension time with its dates, has the dimensions {red.dims}")
    times = checked_times(red["time"].to_numpy(), "the scenes")
    for name, band in (("red", red), ("nir", nir)):
        _check_reflectance(name, band)
    for name, other in (("nir", nir), ("scl", scl)):
        if "time" in other.coords and not np.array_equal(other["time"], red["time"]):
            raise ValueError(f"{name} and red must be of the same times")
    dims = [str(dim) for dim in red.dims]
    classes = _on_pixels_of(red, scl.transpose(*dims, missing_dims="ignore"))
    bands = [band.transpose(*dims).variable for band in (red, nir)]
    if bands[0].shape != bands[1].shape:
        raise ValueError(f"red and nir must have one shape, got {bands[0].shape} and {bands[1].shape}")
    value, weight, snow = xr.apply_ufunc(
        _observed,
        *bands,
        classes,
        output_core_dims=[[]] * 3,
        output_dtypes=["float64", "float64", "bool"],
        dask="parallelized",
    )
    coords = {name: c for name, c in red.coords.items() if name != "time"}
    series = xr.Dataset({"value": value, "weight": weight, "snow": snow}, coords=coords)
    return series.assign_coords(time=times).assign_attrs(index="evi2")


def _observed(
    red: FloatArray, nir: FloatArray, scl: npt.NDArray[np.number]
) -> tuple[FloatArray, FloatArray, BoolArray]:
    weight = scl_weights(scl)
    seen = (weight > 0) & (red > 0) & (nir > 0) & np.isfinite(red) & np.isfinite(nir)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(seen, evi2(red, nir), np.nan)
    return value, np.where(seen, weight, 0.0), seen & (scl == SCL_SNOW)


def _on_pixels_of(band: xr.DataArray, scl: xr.DataArray) -> xr.Variable:
    """``scl`` on the pixels of ``band``: as it is, or each pixel twice along y and x."""
    variable = scl.variable
    if scl.dims != band.dims:
        raise ValueError(f"scl needs the dimensions of red, {band.dims}, got {scl.dims}")
    if scl.chunks is None:
        known = variable.values[np.isfinite(variable.values)]
        if known.size and (known.min() < 0 or known.max() > _HIGHEST_CLASS or (known % 1 != 0).any()):
            raise ValueError(f"scl must be classes 0 to 11, got values from {known.min()} to {known.max()}")
    for dim in ("y", "x"):
        if dim in scl.dims and band.sizes[dim] == 2 * scl.sizes[dim]:
            variable = variable.isel({dim: np.arange(band.sizes[dim]) // 2})
    if variable.shape != band.shape:
        raise ValueError(
            f"scl must have the shape of red, {band.shape}, or half of it along y and x; got {scl.shape}"
        )
    return variable


def _check_reflectance(name: str, band: xr.DataArray) -> None:
    """Refuse digital numbers: integers, and values typically far above one."""
    way_out = "multiply by 0.0001, after adding -1000 where the offset of baseline 04.00 is still in them"
    if not np.issubdtype(band.dtype, np.floating):
        raise ValueError(f"{name} must be reflectance from 0 to 1 as float, got {band.dtype}: {way_out}")
    if band.chunks is None:
        seen = band.to_numpy()[np.isfinite(band.to_numpy()) & (band.to_numpy() > 0)]
        if seen.size and np.median(seen) > _DIGITAL_NUMBERS:
            raise ValueError(f"{name} is typically {np.median(seen):g}, no reflectance: {way_out}")
