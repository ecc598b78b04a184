"""Raster files as labelled arrays; needs rasterio (extra ``build``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.phenology.readers.times import checked_times


def read_stack(path: Path, times: npt.ArrayLike) -> xr.DataArray:
    """(time, y, x) values of a file with one band per time, as stored; ``times`` are datetime64, in order.

    Coordinates ``x`` and ``y`` are pixel centres in the file's own reference system, ``attrs['crs_wkt']``.
    Raises :class:`~ssl4eco_data.errors.ConfigError` for a file that cannot be read, ``ValueError`` for
    times that are not as many as the bands, unsorted or repeated.
    """
    array = _read(path)
    days = checked_times(times, path.name)
    if len(days) != array.sizes["time"]:
        raise ValueError(f"{path} has {array.sizes['time']} bands, and {len(days)} times were given")
    return array.assign_coords(time=days)


def read_bands(files: Mapping[str, Path]) -> xr.Dataset:
    """One variable (y, x) per file of one band, by the names given, e.g. ``{"Greenup_1": path}``.

    Raises :class:`~ssl4eco_data.errors.ConfigError` for a file that cannot be read, has several bands or
    lies on another grid than the first.
    """
    layers: dict[str, xr.DataArray] = {}
    for name, path in files.items():
        array = _read(path)
        if array.sizes["time"] != 1:
            raise ConfigError(f"{path} must have one band, {name}, got {array.sizes['time']}")
        layer = array.isel(time=0)
        first = next(iter(layers.values()), layer)
        if layer.shape != first.shape or layer.attrs != first.attrs:
            raise ConfigError(f"{path} lies on another grid than {next(iter(files.values()))}")
        layers[name] = layer
    return xr.Dataset(layers)


def _read(path: Path) -> xr.DataArray:
    """(time, y, x) without times."""
    import rasterio
    from rasterio.errors import RasterioIOError

    try:
        with rasterio.open(path) as source:
            pixels: npt.NDArray[Any] = source.read()
            transform, crs = source.transform, source.crs
    except RasterioIOError as error:
        raise ConfigError(f"cannot read the raster {path}: {error}") from error
    rows, columns = np.arange(pixels.shape[1]) + 0.5, np.arange(pixels.shape[2]) + 0.5
    return xr.DataArray(
        pixels,
        dims=("time", "y", "x"),
        coords={"y": transform.f + transform.e * rows, "x": transform.c + transform.a * columns},
        attrs={"crs_wkt": crs.to_wkt() if crs else "", "transform": tuple(transform)[:6]},
    )
