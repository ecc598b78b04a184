"""Patches as GeoTIFF in memory: cloud-optimised ones for people, one band each for Major TOM's Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import xarray as xr
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from ssl4eco_data.bands import bands_at
from ssl4eco_data.store import cube, native, scene_classes

SCL = "SCL"
COG: Mapping[str, Any] = {
    "driver": "COG",
    "compress": "DEFLATE",
    "predictor": "YES",
    "blocksize": 256,
    "overview_resampling": "NEAREST",  # classes and no data must not be averaged
    "nodata": 0,
}
PLAIN: Mapping[str, Any] = {"driver": "GTiff", "compress": "DEFLATE", "predictor": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """Pixels ``(band, y, x)`` in their place: corner and pixel size in metres of the UTM zone ``epsg``."""

    pixels: npt.NDArray[Any]
    bands: tuple[str, ...]
    epsg: int
    west_m: float
    north_m: float
    pixel_m: int
    tags: Mapping[str, str]


def suffixes(bands: Sequence[str], as_stored: bool) -> tuple[str, ...]:
    """The ends of the names of a patch's files: one stack, or one for each resolution with a band."""
    if not as_stored:
        return ("",)
    return tuple(f"_{pixel_m}m" for pixel_m in (10, 20, 60) if _own(bands, pixel_m))


def rasters(
    dataset: xr.Dataset, location_id: str, season: str, bands: Sequence[str], as_stored: bool
) -> Iterator[tuple[str, Raster]]:
    """(suffix, raster) of each file of a patch; ``bands`` may hold ``SCL``.

    One stack at 10 m in the order of ``bands``, or, ``as_stored``, one for each resolution.
    """
    if not as_stored:
        yield "", _stack(dataset, location_id, season, bands)
        return
    for pixel_m in (10, 20, 60):
        own = _own(bands, pixel_m)
        reflectance = [band for band in own if band != SCL]
        layers: dict[str, xr.DataArray] = {}
        if reflectance:
            stored = native(dataset, location_id, season, pixel_m)
            layers |= {band: stored.sel(band=band) for band in reflectance}
        if SCL in own:
            layers[SCL] = scene_classes(dataset, location_id, season, pixel_m=20)
        if layers:
            yield f"_{pixel_m}m", _raster(dataset, layers, own, pixel_m)


def tiff_bytes(raster: Raster, profile: Mapping[str, Any]) -> bytes:
    """The raster as a file; band names are its descriptions. ``profile`` is for rasterio."""
    count, height, width = raster.pixels.shape
    transform = Affine(raster.pixel_m, 0, raster.west_m, 0, -raster.pixel_m, raster.north_m)
    with rasterio.Env(GDAL_NUM_THREADS="1"), MemoryFile() as memory:
        with memory.open(
            **profile,
            count=count,
            height=height,
            width=width,
            dtype=raster.pixels.dtype,
            crs=f"EPSG:{raster.epsg}",
            transform=transform,
        ) as file:
            file.write(raster.pixels)
            file.descriptions = raster.bands
            file.update_tags(**raster.tags)
        return bytes(memory.read())


def _own(bands: Sequence[str], pixel_m: int) -> tuple[str, ...]:
    """Those of the bands that are stored at this resolution, in the order wanted."""
    there = {*bands_at(pixel_m), *([SCL] if pixel_m == 20 else [])}
    return tuple(band for band in bands if band in there)


def _stack(dataset: xr.Dataset, location_id: str, season: str, bands: Sequence[str]) -> Raster:
    reflectance = [band for band in bands if band != SCL]
    layers: dict[str, xr.DataArray] = {}
    if reflectance:
        stack = cube(dataset, location_id, season, reflectance)
        layers |= {band: stack.sel(band=band) for band in reflectance}
    if SCL in bands:
        layers[SCL] = scene_classes(dataset, location_id, season)
    return _raster(dataset, layers, bands, 10)


def _raster(
    dataset: xr.Dataset, layers: Mapping[str, xr.DataArray], bands: Sequence[str], pixel_m: int
) -> Raster:
    first = layers[bands[0]]
    here = {str(name): value.item() for name, value in first.coords.items() if not value.ndim}
    return Raster(
        pixels=np.stack([layers[band].to_numpy() for band in bands]),
        bands=tuple(bands),
        epsg=here["epsg"],
        west_m=float(first["x"][0]) - pixel_m / 2,
        north_m=float(first["y"][0]) + pixel_m / 2,
        pixel_m=pixel_m,
        tags={
            "location_id": str(here["location"]),
            "season": str(here["season"]),
            "scene_id": str(here["scene_id"]),
            "time": f"{np.datetime_as_string(first['time'].to_numpy(), unit='s')}Z",
            "units": "surface reflectance x 10 000, 0 = no data; SCL: classes of the Sentinel-2 definition",
            "attribution": str(dataset.attrs["attribution"]),
            "license": str(dataset.attrs["license"]),
        },
    )
