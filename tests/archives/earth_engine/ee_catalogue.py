"""The small archive with known pixels as Earth Engine has it: harmonized, under names of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import ee
import numpy as np
from catalogue_cases import (
    LAYERS,
    MODIS_NORTH_M,
    MODIS_PIXEL_M,
    MODIS_WEST_M,
    TILE_M,
    Truth,
    lonlat,
    write_tiff,
)
from ee_server import TOKEN, Server, serving
from ee_world import SINUSOIDAL, ServedImage, World
from google.oauth2.credentials import Credentials
from rasterio.crs import CRS
from shapely.geometry import box, mapping

from ssl4eco_data.bands import BANDS

SERVICE_BANDS = dict(zip(LAYERS, ("EVI", "DayOfYear", "SummaryQA"), strict=True))


def renamed(truth: Truth) -> Truth:
    """The same truth under the service's names of images, the offset taken off the pixels."""
    names = {
        name: f"{time:%Y%m%dT%H%M%S}_{time:%Y%m%dT%H%M%S}_T{truth.tiles[name].name}"
        for name, time in truth.times.items()
    }
    raw = {}
    for (name, band), stored in truth.raw.items():
        offset = 0 if band == "SCL" else truth.offsets[name]
        harmonized = np.where(stored == 0, 0, np.maximum(stored.astype(np.int64) + offset, 1))
        raw[names[name], band] = harmonized.astype(stored.dtype)
    return replace(
        truth,
        raw=raw,
        tiles={names[name]: tile for name, tile in truth.tiles.items()},
        times={names[name]: time for name, time in truth.times.items()},
        offsets=dict.fromkeys(names.values(), 0),
    )


def world_of(truth: Truth, folder: Path) -> World:
    images = [_scene(truth, name, folder) for name in truth.times]
    return World([*images, *(_composite(truth, first, folder) for first in truth.modis)], {})


def _scene(truth: Truth, name: str, folder: Path) -> ServedImage:
    tile, time, paths = truth.tiles[name], truth.times[name], {}
    for band, described in BANDS.items():
        pixel_m = float(described.pixel_m)
        paths[described.earth_engine] = folder / f"{name}_{band}.tif"
        grid = (pixel_m, 0.0, float(tile.west_m), 0.0, -pixel_m, float(tile.north_m))
        write_tiff(paths[described.earth_engine], truth.raw[name, band], CRS.from_epsg(tile.epsg), grid)
    properties = {
        "system:index": name,
        "system:time_start": _milliseconds(time),
        "MGRS_TILE": tile.name,
        "DATATAKE_IDENTIFIER": f"GS2A_{time:%Y%m%dT%H%M%S}_000001_N05.00",
        "PROCESSING_BASELINE": "05.00",
        "CLOUDY_PIXEL_PERCENTAGE": 12.5,
        "MEAN_SOLAR_ZENITH_ANGLE": 50.0,
        "MEAN_SOLAR_AZIMUTH_ANGLE": 160.0,
    }
    extent = box(tile.west_m, tile.north_m - TILE_M, tile.west_m + TILE_M, tile.north_m)
    footprint = mapping(lonlat(tile.epsg, extent))
    crs = f"EPSG:{tile.epsg}"
    return ServedImage("COPERNICUS/S2_SR_HARMONIZED", name, crs, paths, 0, properties, dict(footprint))


def _composite(truth: Truth, first: date, folder: Path) -> ServedImage:
    column, row = truth.modis_corner
    west, north = MODIS_WEST_M + column * MODIS_PIXEL_M, MODIS_NORTH_M - row * MODIS_PIXEL_M
    index, paths = f"{first:%Y_%m_%d}", {}
    for layer, band in SERVICE_BANDS.items():
        paths[band] = folder / f"{index}_{band}.tif"
        grid = (MODIS_PIXEL_M, 0.0, west, 0.0, -MODIS_PIXEL_M, north)
        write_tiff(paths[band], truth.modis[first][layer].astype(np.int16), CRS.from_proj4(SINUSOIDAL), grid)
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    properties = {"system:index": index, "system:time_start": _milliseconds(begin)}
    return ServedImage("MODIS/061/MOD13Q1", index, SINUSOIDAL, paths, -3000, properties)


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


@contextmanager
def signed_in(world: World) -> Iterator[Server]:
    """The service, with the client of this process signed in to it."""
    ee.Reset()
    with serving(world) as server:
        ee.Initialize(Credentials(TOKEN), url=server.url, project="p")
        yield server
    ee.Reset()
