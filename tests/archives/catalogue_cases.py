"""A small archive with known pixels: STAC items, GeoTIFFs, MODIS composites, and what must come out.

Expected values are cut from the arrays in memory by padding and slicing; nothing of the archive code is
used for them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.transform import Affine
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.bands import BANDS
from ssl4eco_data.types import Footprint, Location

TILE_M = 6000
SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
MODIS_PIXEL_M = 231.65635826395825
MODIS_WEST_M, MODIS_NORTH_M = -20015109.354, 10007554.677
FILL_EVI = -3000


@dataclass(frozen=True)
class Tile:
    name: str
    epsg: int
    west_m: int
    north_m: int


A = Tile("31UDS", 32631, 300000, 5700000)
B = Tile("31UES", 32631, 303600, 5700040)
"""60 m rows of B start 40 m off those of A."""
C = Tile("32UMB", 32632, 0, 5720000)
"""Another zone; its place is moved over A when the catalogue is written."""
FOOTPRINT = Footprint(epsg=32631, west_m=304000, north_m=5698000, size_m=640)
"""Lies in A and in B."""


@dataclass(frozen=True)
class Case:
    """One scene: its dialect decides spelling and offset."""

    scene_id: str
    tile: Tile
    time: datetime
    dialect: str
    baseline: str
    clear: bool = False
    swath_edge: bool = False


def _time(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


CASES = (
    Case(
        "S2A_MSIL2A_20200601T105031_R051_T31UDS_20200601T150000",
        A,
        _time(2020, 6, 1, 10, 50, 31),
        "pc",
        "02.14",
    ),
    Case(
        "S2B_MSIL2A_20220301T105031_R051_T31UDS_20220301T150000",
        A,
        _time(2022, 3, 1, 10, 50, 31),
        "pc",
        "04.00",
    ),
    Case("S2B_31UES_20220301_0_L2A", B, _time(2022, 3, 1, 10, 50, 31), "es", "04.00"),
    Case("S2A_T31UES_20220610T105031_L2A", B, _time(2022, 6, 10, 23, 59, 59), "c1", "05.00", clear=True),
    Case("S2A_T31UDS_20220611T105031_L2A", A, _time(2022, 6, 11, 0, 0, 0), "c1", "05.00", swath_edge=True),
    Case("S2B_T32UMB_20220701T104031_L2A", C, _time(2022, 7, 1, 10, 40, 31), "c1", "05.00"),
)


@dataclass
class Truth:
    """What the archive holds."""

    raw: dict[tuple[str, str], np.ndarray[Any, Any]] = field(default_factory=dict)
    tiles: dict[str, Tile] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    times: dict[str, datetime] = field(default_factory=dict)
    modis: dict[date, dict[str, np.ndarray[Any, Any]]] = field(default_factory=dict)
    modis_corner: tuple[int, int] = (0, 0)

    @property
    def scene_ids(self) -> list[str]:
        """In the order of the protocol."""
        return sorted(self.times, key=lambda name: (self.times[name], name))

    def window(self, scene_id: str, footprint: Footprint, band: str) -> np.ndarray[Any, Any]:
        """The corrected pixels under a footprint; 60 m windows start at the pixel with its corner."""
        tile, pixel = self.tiles[scene_id], BANDS[band].pixel_m
        raw = self.raw[scene_id, band].astype(np.int64)
        value = np.where(raw == 0, 0, np.maximum(raw + (0 if band == "SCL" else self.offsets[scene_id]), 1))
        margin = 400
        padded = np.pad(value, margin)
        column = int((footprint.west_m - tile.west_m) // pixel) + margin
        row = int((tile.north_m - footprint.north_m) // pixel) + margin
        side = int((footprint.size_m + 40) // 60 + 1) if pixel == 60 else int(footprint.size_m // pixel)
        return padded[row : row + side, column : column + side]

    def modis_inside(self, footprint: Footprint, first: date, layer: str) -> list[float]:
        """Row by row, the values of pixels whose centre is in the footprint."""
        back = Transformer.from_crs(SINUSOIDAL, footprint.epsg, always_xy=True)
        column, row = self.modis_corner
        west, south, east, north = footprint.bounds_m
        found = []
        for (y, x), value in np.ndenumerate(self.modis[first][layer]):
            mx = MODIS_WEST_M + (column + x + 0.5) * MODIS_PIXEL_M
            my = MODIS_NORTH_M - (row + y + 0.5) * MODIS_PIXEL_M
            px, py = back.transform(mx, my)
            if west <= px < east and south < py <= north:
                found.append(float(value))
        return found


def lonlat(epsg: int, geometry: BaseGeometry) -> BaseGeometry:
    """A geometry of a UTM zone in lon/lat."""
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True)
    return shapely.transform(geometry, to_lonlat.transform, interleaved=False)


def location_at(footprint: Footprint, name: str = "here") -> Location:
    """A location whose patch is ``footprint``."""
    west, south, east, north = footprint.bounds_m
    centre = lonlat(footprint.epsg, box(west, south, east, north)).centroid
    return Location(location_id=name, lon_deg=centre.x, lat_deg=centre.y, footprint=footprint)


def write_catalogue(folder: Path) -> Truth:
    """Writes ``sentinel-2-l2a.json`` and ``modis-13Q1-061.json`` with their files."""
    truth = Truth()
    items = [_write_scene(folder, truth, case) for case in CASES]
    _write_items(folder / "sentinel-2-l2a.json", items)
    _write_items(folder / "modis-13Q1-061.json", _write_modis(folder, truth))
    return truth


def _write_items(path: Path, items: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def _placed(tile: Tile) -> Tile:
    """Tile C covers A's ground in the next zone."""
    if tile is not C:
        return tile
    x, y = Transformer.from_crs(A.epsg, C.epsg, always_xy=True).transform(A.west_m, A.north_m)
    return Tile(C.name, C.epsg, int(x // 20 * 20), int(y // 20 * 20))


def _pixels(case: Case, number: int, band: str) -> np.ndarray[Any, Any]:
    side = TILE_M // BANDS[band].pixel_m
    rng = np.random.default_rng([number, list(BANDS).index(band)])
    if band == "SCL":
        image = rng.choice([4, 11], (side, side)) if case.clear else rng.integers(0, 12, (side, side))
    else:
        image = rng.integers(1, 6000, (side, side))
        image[rng.random((side, side)) < 0.01] = 0
    if case.swath_edge:
        image[:, TILE_M * 7 // 10 // BANDS[band].pixel_m :] = 0
    return image.astype(np.uint8 if band == "SCL" else np.uint16)


def _write_scene(folder: Path, truth: Truth, case: Case) -> dict[str, Any]:
    tile, number = _placed(case.tile), CASES.index(case)
    truth.tiles[case.scene_id], truth.times[case.scene_id] = tile, case.time
    truth.offsets[case.scene_id] = 0 if case.dialect == "es" or case.baseline < "04.00" else -1000
    assets = {}
    for name, band in BANDS.items():
        image = truth.raw[case.scene_id, name] = _pixels(case, number, name)
        href = f"files/{case.scene_id}/{name}.tif"
        grid = (float(band.pixel_m), 0.0, float(tile.west_m), 0.0, -float(band.pixel_m), float(tile.north_m))
        write_tiff(folder / href, image, CRS.from_epsg(tile.epsg), grid)
        entry: dict[str, Any] = {"href": f"./{href}", "proj:shape": image.shape, "proj:transform": grid}
        if case.dialect != "pc" and name != "SCL":
            entry["raster:bands"] = [{"nodata": 0, "scale": 0.0001, "offset": -0.1}]
        assets[name if case.dialect == "pc" else band.common_name] = entry
    extent = box(tile.west_m, tile.north_m - TILE_M, tile.west_m + TILE_M, tile.north_m)
    return _item(case.scene_id, "sentinel-2-l2a", lonlat(tile.epsg, extent), _properties(case, tile), assets)


def _item(
    name: str, collection: str, geometry: BaseGeometry, properties: dict[str, Any], assets: dict[str, Any]
) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": collection,
        "geometry": mapping(geometry),
        "bbox": list(geometry.bounds),
        "properties": properties,
        "assets": assets,
        "links": [],
    }


def _properties(case: Case, tile: Tile) -> dict[str, Any]:
    common = {
        "datetime": case.time.isoformat().replace("+00:00", "Z"),
        "proj:epsg": tile.epsg,
        "eo:cloud_cover": 12.5,
        "s2:processing_baseline": case.baseline,
        "s2:datatake_id": f"G{case.scene_id[:3]}_{case.time:%Y%m%dT%H%M%S}_000001_N{case.baseline}",
    }
    if case.dialect == "pc":
        return common | {
            "s2:mgrs_tile": tile.name,
            "s2:mean_solar_zenith": 50.0,
            "s2:mean_solar_azimuth": 160.0,
        }
    sun = {"grid:code": f"MGRS-{tile.name}", "view:sun_elevation": 40.0, "view:sun_azimuth": 160.0}
    return common | sun | ({"earthsearch:boa_offset_applied": True} if case.dialect == "es" else {})


def write_tiff(path: Path, image: np.ndarray[Any, Any], crs: CRS, grid: tuple[float, ...]) -> None:
    """A tiled, compressed GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = image.shape
    shape = {"height": rows, "width": columns, "count": 1, "dtype": image.dtype}
    layout = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate", "predictor": 2}
    with rasterio.open(
        path, "w", driver="GTiff", crs=crs, transform=Affine(*grid), **shape, **layout
    ) as file:
        file.write(image, 1)


COMPOSITES = (date(2021, 6, 10), date(2021, 12, 19), date(2022, 1, 1))
LAYERS = ("EVI", "composite_day_of_the_year", "pixel_reliability")


def _write_modis(folder: Path, truth: Truth) -> list[dict[str, Any]]:
    """Two files a composite, whose seam runs through the patch."""
    to_grid = Transformer.from_crs(A.epsg, SINUSOIDAL, always_xy=True)
    x, y = to_grid.transform(FOOTPRINT.west_m + 320, FOOTPRINT.north_m - 320)
    column = int((x - MODIS_WEST_M) // MODIS_PIXEL_M) - 10
    row = int((MODIS_NORTH_M - y) // MODIS_PIXEL_M) - 10
    truth.modis_corner = (column, row)
    items = []
    for number, first in enumerate(COMPOSITES):
        truth.modis[first] = _composite(number, first)
        for part, columns in enumerate((slice(0, 10), slice(10, 20))):
            items.append(_write_part(folder, truth, first, f"h{part:02d}", columns))
    return items


def _composite(number: int, first: date) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng([99, number])
    evi = rng.integers(-1500, 9000, (20, 20)).astype(np.int16)
    evi[rng.random((20, 20)) < 0.1] = FILL_EVI
    days = first.timetuple().tm_yday + rng.integers(0, 16, (20, 20))
    length = (date(first.year + 1, 1, 1) - date(first.year, 1, 1)).days
    doy = np.where(days > length, days - length, days).astype(np.int16)
    return {"EVI": evi, LAYERS[1]: doy, LAYERS[2]: rng.integers(-1, 4, (20, 20)).astype(np.int8)}


def _write_part(folder: Path, truth: Truth, first: date, part: str, columns: slice) -> dict[str, Any]:
    column, row = truth.modis_corner
    west = MODIS_WEST_M + (column + columns.start) * MODIS_PIXEL_M
    north = MODIS_NORTH_M - row * MODIS_PIXEL_M
    grid = (MODIS_PIXEL_M, 0.0, west, 0.0, -MODIS_PIXEL_M, north)
    name, assets = f"MOD13Q1.A{first:%Y%j}.{part}", {}
    for layer in LAYERS:
        href = f"modis/{name}.{layer}.tif"
        write_tiff(folder / href, truth.modis[first][layer][:, columns], CRS.from_proj4(SINUSOIDAL), grid)
        assets[f"250m_16_days_{layer}"] = {"href": f"./{href}"}
    extent = box(west, north - 20 * MODIS_PIXEL_M, west + 10 * MODIS_PIXEL_M, north)
    to_lonlat = Transformer.from_crs(SINUSOIDAL, 4326, always_xy=True)
    geometry = shapely.transform(extent, to_lonlat.transform, interleaved=False)
    times = {
        "datetime": None,
        "start_datetime": f"{first}T00:00:00Z",
        "end_datetime": f"{first + timedelta(days=15)}T23:59:59Z",
    }
    return _item(name, "modis-13Q1-061", geometry, times, assets)
