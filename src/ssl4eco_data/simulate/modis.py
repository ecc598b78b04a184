"""16-day vegetation index composites of a site, as MOD13Q1 v6.1 in a STAC catalogue.

On the real sinusoidal grid: sphere of 6 371 007.181 m, 4 800 pixels to a tile of 10 degrees. Assets are named
as in Planetary Computer's ``modis-13Q1-061``.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from shapely.geometry import Polygon, mapping

from ssl4eco_data.simulate.ground import Ground
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.raster import write_raster
from ssl4eco_data.simulate.sites import Site, canvas_index, transformer
from ssl4eco_data.simulate.sky import cloudy_share, sun_position
from ssl4eco_data.simulate.winter import days_since_epoch, rng_of
from ssl4eco_data.types import FloatArray

COLLECTION = "modis-13Q1-061"
RADIUS_M = 6371007.181
TILE_M = math.pi * RADIUS_M / 18
PIXEL_M = TILE_M / 4800
COMPOSITE_DAYS = 16
EVI_FILL, DAY_FILL, RELIABILITY_FILL = -3000, -1, -1
GOOD, MARGINAL, SNOWY, CLOUDY = 0, 1, 2, 3
SAMPLES = 8
MIN_SUN_DEG = 3.0
EVI_NOISE = 0.012
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ASSETS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "evi": ("250m_16_days_EVI", "16 day EVI", {"data_type": "int16", "scale": 0.0001, "unit": "EVI"}),
    "day": (
        "250m_16_days_composite_day_of_the_year",
        "Day of year VI pixel",
        {"data_type": "int16", "unit": "Julian Day"},
    ),
    "reliability": (
        "250m_16_days_pixel_reliability",
        "Quality reliability of VI pixel",
        {"data_type": "int8", "unit": "Rank"},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window of the global sinusoidal grid; ``row`` and ``column`` count from its north-west corner."""

    row: int
    column: int
    height: int
    width: int

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients (a, b, c, d, e, f)."""
        return (
            PIXEL_M,
            0.0,
            self.column * PIXEL_M - 18 * TILE_M,
            0.0,
            -PIXEL_M,
            9 * TILE_M - self.row * PIXEL_M,
        )

    @property
    def tile(self) -> tuple[int, int]:
        """(horizontal, vertical) number of the 10 degree tile of the window's middle."""
        return (self.column + self.width // 2) // 4800, (self.row + self.height // 2) // 4800


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Canvas pixels (flat positions at 10 m) and parcels in each MODIS pixel, both ``(pixel, sample)``."""

    pixels: npt.NDArray[np.int64]
    parcels: npt.NDArray[np.int64]


@lru_cache(maxsize=1)
def sinusoidal_crs() -> CRS:
    """The MODIS land grid's coordinate system."""
    return CRS.from_proj4(f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={RADIUS_M} +units=m +no_defs")


def composite_starts(start: dt.date, end: dt.date) -> tuple[dt.date, ...]:
    """First days of the 23 composites of each year that begin in ``start <= day < end``."""
    days = (
        dt.date(year, 1, 1) + dt.timedelta(days=COMPOSITE_DAYS * i)
        for year in range(start.year, end.year + 1)
        for i in range(23)
    )
    return tuple(day for day in days if start <= day < end)


def modis_window(site: Site) -> Window:
    """The pixels that touch the site's canvas, and one more around."""
    west, south, east, north = site.canvas.bounds_m
    steps = np.linspace(0, 1, 9)
    x, y = np.meshgrid(west + steps * (east - west), south + steps * (north - south))
    lon, lat = transformer(site.canvas.epsg, 4326).transform(x, y)
    across = (np.radians(lon) * np.cos(np.radians(lat)) * RADIUS_M + 18 * TILE_M) / PIXEL_M
    down = (9 * TILE_M - np.radians(lat) * RADIUS_M) / PIXEL_M
    row, column = int(np.floor(down.min())) - 1, int(np.floor(across.min())) - 1
    height, width = int(np.floor(down.max())) + 2 - row, int(np.floor(across.max())) + 2 - column
    return Window(row=row, column=column, height=height, width=width)


def _lonlat(window: Window, row: FloatArray, column: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(lon, lat) in degrees of fractional positions in a window."""
    _, _, west, _, _, north = window.transform
    lat = (north - row * PIXEL_M) / RADIUS_M
    return np.degrees((west + column * PIXEL_M) / (RADIUS_M * np.cos(lat))), np.degrees(lat)


def mix_parcels(ground: Ground, window: Window) -> Mixture:
    """What each MODIS pixel sees, at 8 x 8 points; beyond the canvas its nearest edge."""
    inner = (np.arange(SAMPLES) + 0.5) / SAMPLES
    row = (np.arange(window.height)[:, None] + inner).ravel()
    column = (np.arange(window.width)[:, None] + inner).ravel()
    lon, lat = _lonlat(window, *np.meshgrid(row, column, indexing="ij"))
    y, x = canvas_index(ground.site.canvas, lon, lat, epsg=4326, pixel_m=10)
    flat = y * ground.parcels.shape[1] + x
    blocks = flat.reshape(window.height, SAMPLES, window.width, SAMPLES).swapaxes(1, 2)
    pixels = blocks.reshape(window.height * window.width, SAMPLES * SAMPLES)
    return Mixture(pixels, ground.parcels.ravel()[pixels])


def write_composites(
    root: Path, parameters: SimulationParameters, ground: Ground
) -> tuple[list[dict[str, Any]], int]:
    """(STAC items in time order, bytes) of all composites of a site."""
    window = modis_window(ground.site)
    mixture = mix_parcels(ground, window)
    items, size = [], 0
    for start in composite_starts(parameters.vegetation_start, parameters.vegetation_end):
        images = _composite(parameters, ground, mixture, start)
        name = _name(window, ground.site, start)
        folder = root / COLLECTION / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, fill in (("evi", EVI_FILL), ("day", DAY_FILL), ("reliability", RELIABILITY_FILL)):
            image = images[key].reshape(window.height, window.width)
            size += write_raster(
                folder / f"{ASSETS[key][0]}.tif", image, sinusoidal_crs(), window.transform, fill
            )
        items.append(_item(window, name, start))
    return items, size


def _composite(
    parameters: SimulationParameters, ground: Ground, mixture: Mixture, start: dt.date
) -> dict[str, npt.NDArray[np.signedinteger[Any]]]:
    """``evi`` int16, ``day`` int16 and ``reliability`` int8 of one composite, ``(pixel,)`` each."""
    count = len(mixture.pixels)
    middle = start + dt.timedelta(days=COMPOSITE_DAYS // 2)
    if sun_position(ground.site.lat_deg, middle).elevation_deg < MIN_SUN_DEG:
        return {
            "evi": np.full(count, EVI_FILL, np.int16),
            "day": np.full(count, DAY_FILL, np.int16),
            "reliability": np.full(count, RELIABILITY_FILL, np.int8),
        }
    first = days_since_epoch(start)
    rng = rng_of(parameters.seed, ground.site.number, 7, first)
    day = first + rng.integers(0, COMPOSITE_DAYS, 3)[rng.integers(0, 3, count)]
    truth = ground.evi[mixture.parcels, (day - ground.first_day)[:, None]].mean(axis=1)
    snow = ground.snow_cover(days_since_epoch(middle)).ravel()[mixture.pixels].mean(axis=1)
    cloudy = cloudy_share(ground.site.region.clouds, middle, parameters.cloudiness)
    luck = rng.random() + rng.normal(0, 0.06, count)
    flag = np.where(luck < cloudy**3, MARGINAL, GOOD)
    flag = np.where(snow > 0.4, SNOWY, flag)
    flag = np.where(luck < cloudy**7, CLOUDY, flag)
    value = truth + snow * (0.02 - truth) + rng.normal(0, EVI_NOISE, count)
    dimmed = (flag == CLOUDY) | (rng.random(count) < 0.015)
    value = np.where(dimmed, value * rng.uniform(0.35, 0.8, count), value)
    return {
        "evi": np.rint(10_000 * value).clip(-2000, 10_000).astype(np.int16),
        "day": _day_of_year(start, day - first),
        "reliability": flag.astype(np.int8),
    }


def _day_of_year(start: dt.date, offset: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """Days of the year; those of the last composite may belong to the next one."""
    days = [(start + dt.timedelta(days=i)).timetuple().tm_yday for i in range(COMPOSITE_DAYS)]
    return np.array(days, np.int16)[offset]


def _name(window: Window, site: Site, start: dt.date) -> str:
    horizontal, vertical = window.tile
    return f"MOD13Q1.A{start:%Y%j}.h{horizontal:02d}v{vertical:02d}.061.S{site.number:04d}"


def _item(window: Window, name: str, start: dt.date) -> dict[str, Any]:
    end = start + dt.timedelta(days=COMPOSITE_DAYS - 1)
    rows = np.array([window.height, window.height, 0, 0, window.height], float)
    columns = np.array([0, window.width, window.width, 0, 0], float)
    outline = Polygon(np.column_stack(_lonlat(window, rows, columns)))
    horizontal, vertical = window.tile
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": name,
        "collection": COLLECTION,
        "bbox": [round(v, 7) for v in outline.bounds],
        "geometry": mapping(outline),
        "properties": {
            "datetime": None,
            "start_datetime": f"{start}T00:00:00Z",
            "end_datetime": f"{end}T23:59:59Z",
            "platform": "terra",
            "instruments": ["modis"],
            "modis:horizontal-tile": horizontal,
            "modis:vertical-tile": vertical,
            "proj:epsg": None,
            "proj:wkt2": sinusoidal_crs().to_wkt(),
            "proj:shape": [window.height, window.width],
            "proj:transform": list(window.transform),
        },
        "links": [],
        "assets": {asset: _asset(name, asset, title, band) for asset, title, band in ASSETS.values()},
    }


def _asset(name: str, asset: str, title: str, band: dict[str, Any]) -> dict[str, Any]:
    return {
        "href": f"./{COLLECTION}/{name}/{asset}.tif",
        "type": COG,
        "roles": ["data"],
        "title": title,
        "raster:bands": [{"spatial_resolution": 250, **band}],
    }
