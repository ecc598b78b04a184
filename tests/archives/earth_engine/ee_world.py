"""A small Earth in COGs: two overlapping Sentinel-2 tiles, one of another zone, and MODIS composites.

Nothing here is taken from the package: what is written is the truth that the archive's answers are held to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_geom

PIXEL_M = {"B1": 60, "B9": 60, "SCL": 20} | dict.fromkeys(("B2", "B3", "B4", "B8"), 10)
PIXEL_M |= dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 20)
SCORE_PIXEL_M = 10
SIDE_M = 6_000
SINUSOIDAL = "+proj=sinu +R=6371007.181 +units=m +no_defs"
MODIS_PIXEL_M = 231.65635826395825
MODIS_COLUMN, MODIS_ROW, MODIS_SIDE_PX = 87280, 18780, 60
"""First pixel of the MODIS window, counted from the corner of the global grid: it holds the tiles."""
PHENOLOGY_YEARS = (2017, 2018, 2020)
PHENOLOGY_SIDE_PX = MODIS_SIDE_PX // 2
METRICS = ("Greenup", "MidGreenup", "Maturity", "Peak", "Senescence", "MidGreendown", "Dormancy")
UNSCORED = 1
"""The number of the scene that Cloud Score+ does not have."""


@dataclass(frozen=True)
class ServedImage:
    """An image of a collection: a file per band, masked where it is ``nodata``."""

    collection: str
    index: str
    crs: str
    bands: dict[str, Path]
    nodata: int
    properties: dict[str, Any]
    footprint: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """All images, and the arrays they were written from: ``pixels[index][band]``."""

    images: list[ServedImage]
    pixels: dict[str, dict[str, np.ndarray]]


def write_world(folder: Path) -> World:
    """Deterministic pixels; the two tiles of zone 31 differ in the phase of their 60 m grids."""
    images: list[ServedImage] = []
    pixels: dict[str, dict[str, np.ndarray]] = {}
    tiles = [
        ("31UDS", 32631, 500_000, 5_632_000, "20200702T105031"),
        ("31UDT", 32631, 501_020, 5_634_040, "20200702T105031"),
        ("31UDS", 32631, 500_000, 5_632_000, "20200712T105031"),
        ("32ULB", 32632, 76_000, 5_650_000, "20200702T105031"),
    ]
    for seed, (tile, epsg, west_m, north_m, sensed) in enumerate(tiles):
        index = f"{sensed}_20200702T105600_T{tile}"
        arrays = _tile_pixels(np.random.default_rng(seed))
        paths = {}
        for band, array in arrays.items():
            paths[band] = folder / f"{index}_{band}.tif"
            _write(
                paths[band],
                array,
                f"EPSG:{epsg}",
                Affine(PIXEL_M[band], 0, west_m, 0, -PIXEL_M[band], north_m),
            )
        pixels[index] = arrays
        images.append(_sentinel(index, tile, epsg, (west_m, north_m), sensed, paths))
        if seed != UNSCORED:
            images.append(_score(folder, images[-1], pixels, Affine(10, 0, west_m, 0, -10, north_m)))
    for name in ("2020_06_25", "2020_07_11", "2020_12_18"):
        images.append(_modis(folder, name, pixels))
    images += [_phenology(folder, year, pixels) for year in PHENOLOGY_YEARS]
    return World(images, pixels)


def _tile_pixels(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every band over the tile; its eastern tenth lies outside the swath."""
    arrays = {}
    for band, pixel_m in PIXEL_M.items():
        side = SIDE_M // pixel_m
        high, dtype = (12, "u1") if band == "SCL" else (9_000, "u2")
        arrays[band] = rng.integers(1, high, (side, side)).astype(dtype)
        arrays[band][:, side - side // 10 :] = 0
    return arrays


def _sentinel(
    index: str, tile: str, epsg: int, corner: tuple[int, int], sensed: str, paths: dict[str, Path]
) -> ServedImage:
    when = datetime.strptime(sensed, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    west, north = corner
    ring = [(west, north), (west + SIDE_M, north), (west + SIDE_M, north - SIDE_M), (west, north - SIDE_M)]
    polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    properties = {
        "system:index": index,
        "system:time_start": int(when.timestamp() * 1000) + 417,
        "MGRS_TILE": tile,
        "DATATAKE_IDENTIFIER": f"GS2A_{sensed}_026254_N02.14",
        "PROCESSING_BASELINE": "02.14",
        "CLOUDY_PIXEL_PERCENTAGE": 12.5,
        "MEAN_SOLAR_ZENITH_ANGLE": 30.0,
        "MEAN_SOLAR_AZIMUTH_ANGLE": 151.0,
    }
    footprint = transform_geom(f"EPSG:{epsg}", "EPSG:4326", polygon)
    return ServedImage(
        "COPERNICUS/S2_SR_HARMONIZED", index, f"EPSG:{epsg}", paths, 0, properties, dict(footprint)
    )


def _score(
    folder: Path, scene: ServedImage, pixels: dict[str, dict[str, np.ndarray]], transform: Affine
) -> ServedImage:
    """The Cloud Score+ image of a scene: of the same name, in a collection of its own."""
    rng = np.random.default_rng(list(scene.index.encode()))
    array = rng.random((SIDE_M // SCORE_PIXEL_M, SIDE_M // SCORE_PIXEL_M)).astype("f4")
    array[::9, ::4] = np.float32(0.6)
    array[:, -SIDE_M // 100 :] = -1
    pixels[scene.index]["cs_cdf"] = array
    path = folder / f"{scene.index}_cs_cdf.tif"
    _write(path, array, scene.crs, transform)
    return replace(
        scene, collection="GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED", bands={"cs_cdf": path}, nodata=-1
    )


def _modis(folder: Path, name: str, pixels: dict[str, dict[str, np.ndarray]]) -> ServedImage:
    when = datetime.strptime(name, "%Y_%m_%d").replace(tzinfo=UTC)
    rng = np.random.default_rng(when.timetuple().tm_yday)
    shape = (MODIS_SIDE_PX, MODIS_SIDE_PX)
    delay = rng.integers(0, 16, shape)
    year_days = 366
    arrays = {
        "EVI": rng.integers(-2000, 9000, shape).astype("i2"),
        "DayOfYear": ((when.timetuple().tm_yday - 1 + delay) % year_days + 1).astype("i2"),
        "SummaryQA": rng.integers(0, 4, shape).astype("i2"),
    }
    for array in arrays.values():
        array[::7, ::5] = -3000
    west = -20015109.354 + MODIS_COLUMN * MODIS_PIXEL_M
    north = 10007554.677 - MODIS_ROW * MODIS_PIXEL_M
    paths = {}
    for band, array in arrays.items():
        paths[band] = folder / f"{name}_{band}.tif"
        _write(paths[band], array, SINUSOIDAL, Affine(MODIS_PIXEL_M, 0, west, 0, -MODIS_PIXEL_M, north))
    pixels[name] = arrays
    properties = {"system:index": name, "system:time_start": int(when.timestamp() * 1000)}
    return ServedImage("MODIS/061/MOD13Q1", name, SINUSOIDAL, paths, -3000, properties)


def _phenology(folder: Path, year: int, pixels: dict[str, dict[str, np.ndarray]]) -> ServedImage:
    """A year of MCD12Q2: one cycle from April to October, in some pixels a second, in others none."""
    rng = np.random.default_rng(year)
    shape = (PHENOLOGY_SIDE_PX, PHENOLOGY_SIDE_PX)
    start = (datetime(year, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    cycles = np.ones(shape, int)
    cycles[::5, ::2], cycles[::3, 1::4], cycles[1::6, ::7] = 0, 2, 32767
    arrays = {"NumCycles": cycles}
    for number, begin, step in ((1, 95, 30), (2, 280, 8)):
        there = (cycles >= number) & (cycles < 32767)
        first = start + begin + rng.integers(0, 8, shape)
        bands = {name: first + i * step for i, name in enumerate(METRICS)}
        minimum, amplitude = rng.integers(500, 2500, shape), rng.integers(2000, 5000, shape) // number
        length = 6 * step
        bands |= {"QA_Detailed": rng.integers(0, 2**14, shape), "EVI_Minimum": minimum}
        bands |= {"EVI_Amplitude": amplitude, "EVI_Area": (minimum + amplitude // 2) * length // 1000}
        arrays |= {f"{name}_{number}": np.where(there, band, 32767) for name, band in bands.items()}
    index, collection = f"{year}_01_01", "MODIS/061/MCD12Q2"
    west = -20015109.354 + MODIS_COLUMN * MODIS_PIXEL_M
    north = 10007554.677 - MODIS_ROW * MODIS_PIXEL_M
    paths = {}
    for band, array in arrays.items():
        paths[band] = folder / f"{index}_{band}.tif"
        affine = Affine(2 * MODIS_PIXEL_M, 0, west, 0, -2 * MODIS_PIXEL_M, north)
        _write(paths[band], array.astype("i2"), SINUSOIDAL, affine)
    pixels[f"mcd12q2_{year}"] = arrays
    properties = {
        "system:index": index,
        "system:time_start": int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000),
    }
    return ServedImage(collection, index, SINUSOIDAL, paths, 32767, properties)


def _write(path: Path, array: np.ndarray, crs: str, transform: Affine) -> None:
    with rasterio.open(
        path,
        "w",
        driver="COG",
        height=array.shape[0],
        width=array.shape[1],
        count=1,
        dtype=array.dtype,
        crs=crs,
        transform=transform,
        compress="deflate",
    ) as file:
        file.write(array, 1)
