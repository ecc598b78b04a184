"""Where things are: the locations of each site, its tiles and the canvas that all of them are cut from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from shapely import union_all
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.locations.grid import Cells, MajorTomGrid
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.regions import REGIONS, Region
from ssl4eco_data.types import SNAP_M, FloatArray, Footprint, Location

IntArray = npt.NDArray[np.int64]
Index = tuple[slice, slice] | tuple[IntArray, IntArray]
TILE_STEP_M = 60.0
MARGIN_M = 60.0
ROTATED_MARGIN_M = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A north-up rectangle of one UTM zone; sides are multiples of 60 m."""

    epsg: int
    west_m: float
    north_m: float
    width_m: float
    height_m: float

    def shape(self, pixel_m: int) -> tuple[int, int]:
        """(rows, columns) at this pixel size."""
        return int(self.height_m // pixel_m), int(self.width_m // pixel_m)

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north)."""
        return self.west_m, self.north_m - self.height_m, self.west_m + self.width_m, self.north_m


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One tile of a site: its MGRS-like name and its frame."""

    name: str
    frame: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place of a climate. ``canvas`` is the ground that is simulated; the tiles are cut from it."""

    number: int
    region: Region
    lon_deg: float
    lat_deg: float
    locations: tuple[Location, ...]
    canvas: Frame
    tiles: tuple[Tile, ...]
    land: BaseGeometry


@lru_cache(maxsize=256)
def transformer(source: int | str, target: int | str) -> Transformer:
    """A cached transformer, x before y."""
    return Transformer.from_crs(source, target, always_xy=True)


def plan_sites(parameters: SimulationParameters) -> tuple[Site, ...]:
    """All sites in order of region, then of place; their numbers seed their landscapes."""
    grid = MajorTomGrid(parameters.spacing_km)
    numbers = {name: i for i, name in enumerate(REGIONS)}
    return tuple(
        _plan_site(parameters, grid, REGIONS[name], place, numbers[name] + len(numbers) * place)
        for name in parameters.regions
        for place in range(parameters.sites_per_region)
    )


def _anchor(region: Region, place: int) -> tuple[float, float]:
    """(lon, lat) of a place: the region's own, then others at similar latitudes, well inside a UTM zone."""
    if place == 0:
        return region.lon_deg, region.lat_deg
    zone_west = 6 * math.floor((region.lon_deg + 7.0 * (place // 2 + 1) * (-1) ** place) / 6)
    lon = zone_west + 1.5 + 3 * ((place * 0.618) % 1)
    return (lon + 180) % 360 - 180, region.lat_deg + 1.1 * ((place * 0.382) % 1) * (-1) ** (place // 2)


def _plan_site(
    parameters: SimulationParameters, grid: MajorTomGrid, region: Region, place: int, number: int
) -> Site:
    lon, lat = _anchor(region, place)
    cells = _block(grid, lon, lat, parameters.locations_per_site)
    locations, land = _locations(parameters, grid, cells)
    neighbour = region.neighbour if place == 0 else None
    tiles = [_main_tile(locations, number, ROTATED_MARGIN_M if neighbour == "east" else MARGIN_M)]
    if neighbour == "east":
        tiles.append(_next_zone_tile(locations, tiles[0]))
    elif neighbour == "same":
        tiles.append(_shifted_tile(tiles[0]))
    return Site(
        number=number,
        region=region,
        lon_deg=float(np.mean([at.lon_deg for at in locations])),
        lat_deg=float(np.mean([at.lat_deg for at in locations])),
        locations=locations,
        canvas=_canvas(tiles),
        tiles=tuple(tiles),
        land=land,
    )


def _block(grid: MajorTomGrid, lon: float, lat: float, count: int) -> Cells:
    """A block of neighbouring cells that grows to the north and west of a point."""
    side = math.ceil(math.sqrt(count))
    first = int(grid.cells_of(lon, lat).row[0])
    rows = np.repeat(first + np.arange(side), side)[:count]
    south = grid.row_south_deg[rows - grid.rows[0]]
    step = grid.row_north_deg[rows - grid.rows[0]] - south
    east = grid.cells_of(np.full(count, lon), south + step / 2).column
    return Cells(rows, east - (np.arange(side * side) % side)[:count])


def _locations(
    parameters: SimulationParameters, grid: MajorTomGrid, cells: Cells
) -> tuple[tuple[Location, ...], BaseGeometry]:
    """The locations of cells, in the zone of their centres, and the land that holds just their centres."""
    size_m = 10.0 * parameters.patch_size_px
    found = []
    for name, lon, lat in zip(grid.names(cells), *grid.centres(cells), strict=True):
        epsg = utm_epsg(float(lon), float(lat))
        x, y = transformer(4326, epsg).transform(lon, lat)
        footprint = Footprint(
            epsg=epsg,
            west_m=SNAP_M * round((x - size_m / 2) / SNAP_M),
            north_m=SNAP_M * round((y + size_m / 2) / SNAP_M),
            size_m=size_m,
        )
        found.append(Location(location_id=name, lon_deg=float(lon), lat_deg=float(lat), footprint=footprint))
    land = union_all([box(*edges) for edges in zip(*grid.bounds(cells), strict=True)])
    return tuple(found), land


def utm_epsg(lon_deg: float, lat_deg: float) -> int:
    """The UTM zone of a point; the embedded sites avoid the exceptions of Norway and Svalbard."""
    return (32600 if lat_deg >= 0 else 32700) + int((lon_deg + 180) // 6) + 1


def _main_tile(locations: tuple[Location, ...], number: int, margin_m: float) -> Tile:
    """The smallest tile around all patches; the phase of its 60 m grid alternates from site to site."""
    bounds = np.array([at.footprint.bounds_m for at in locations])
    west, south = bounds[:, :2].min(axis=0) - margin_m
    east, north = bounds[:, 2:].max(axis=0) + margin_m
    frame = _frame(locations[0].footprint.epsg, (west, south, east, north), 40.0 * (number % 2))
    return Tile(name=mgrs_name(frame), frame=frame)


def _frame(epsg: int, bounds: tuple[float, float, float, float], phase_m: float) -> Frame:
    west, south, east, north = bounds
    left = TILE_STEP_M * math.floor(west / TILE_STEP_M)
    top = TILE_STEP_M * math.ceil((north - phase_m) / TILE_STEP_M) + phase_m
    return Frame(
        epsg=epsg,
        west_m=left,
        north_m=top,
        width_m=TILE_STEP_M * math.ceil((east - left) / TILE_STEP_M),
        height_m=TILE_STEP_M * math.ceil((top - south) / TILE_STEP_M),
    )


def _shifted_tile(main: Tile) -> Tile:
    """A tile of the same zone and pass that holds the eastern patches, and the western ones only partly."""
    half_m = TILE_STEP_M * round(main.frame.width_m * 0.3 / TILE_STEP_M)
    phase_m = 40.0 - main.frame.north_m % TILE_STEP_M
    frame = Frame(
        epsg=main.frame.epsg,
        west_m=main.frame.west_m + half_m,
        north_m=main.frame.north_m + phase_m,
        width_m=main.frame.width_m,
        height_m=main.frame.height_m + TILE_STEP_M,
    )
    return Tile(name=_next_name(main.name), frame=frame)


def _next_zone_tile(locations: tuple[Location, ...], main: Tile) -> Tile:
    """A tile of the UTM zone to the east that holds all patches."""
    epsg = main.frame.epsg + 1
    bounds = [
        transformer(at.footprint.epsg, epsg).transform_bounds(*at.footprint.bounds_m) for at in locations
    ]
    low, high = np.min(bounds, axis=0), np.max(bounds, axis=0)
    edges = (low[0] - MARGIN_M, low[1] - MARGIN_M, high[2] + MARGIN_M, high[3] + MARGIN_M)
    frame = _frame(epsg, edges, 0.0)
    return Tile(name=mgrs_name(frame), frame=frame)


def _canvas(tiles: list[Tile]) -> Frame:
    frames = [t.frame for t in tiles if t.frame.epsg == tiles[0].frame.epsg]
    bounds = np.array([f.bounds_m for f in frames])
    west, south = bounds[:, :2].min(axis=0)
    east, north = bounds[:, 2:].max(axis=0)
    return _frame(frames[0].epsg, (west, south, east, north), float(north % TILE_STEP_M))


def mgrs_name(frame: Frame) -> str:
    """The name of the 100 km square of a frame's centre, such as ``32UPB``. Source: NGA.STND.0037."""
    x, y = frame.west_m + frame.width_m / 2, frame.north_m - frame.height_m / 2
    zone = frame.epsg % 100
    lat = transformer(frame.epsg, 4326).transform(x, y)[1]
    band = "CDEFGHJKLMNPQRSTUVWX"[min(int((lat + 80) // 8), 19)]
    columns = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")[zone % 3]
    rows = "ABCDEFGHJKLMNPQRSTUV"
    row = rows[(int(y // 100_000) + (0 if zone % 2 else 5)) % 20]
    return f"{zone:02d}{band}{columns[int(x // 100_000) - 1]}{row}"


def _next_name(name: str) -> str:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    return name[:3] + letters[(letters.index(name[3]) + 1) % len(letters)] + name[4]


def view(canvas: Frame, frame: Frame, pixel_m: int) -> Index:
    """Where the pixels of a tile lie on the canvas: plain slices in its zone, else nearest pixels.

    Beyond the canvas the nearest pixel of its edge is taken.
    """
    rows, columns = frame.shape(pixel_m)
    if frame.epsg == canvas.epsg:
        top = round((canvas.north_m - frame.north_m) / pixel_m)
        left = round((frame.west_m - canvas.west_m) / pixel_m)
        return slice(top, top + rows), slice(left, left + columns)
    x = frame.west_m + pixel_m * (np.arange(columns) + 0.5)
    y = frame.north_m - pixel_m * (np.arange(rows) + 0.5)
    return canvas_index(canvas, *np.meshgrid(x, y), epsg=frame.epsg, pixel_m=pixel_m)


def canvas_index(
    canvas: Frame, x: FloatArray, y: FloatArray, *, epsg: int | str, pixel_m: int
) -> tuple[IntArray, IntArray]:
    """(row, column) of the canvas pixels nearest to points of another coordinate system."""
    east, north = transformer(epsg, canvas.epsg).transform(x, y)
    height, width = canvas.shape(pixel_m)
    row = np.floor((canvas.north_m - north) / pixel_m).astype(np.int64)
    column = np.floor((east - canvas.west_m) / pixel_m).astype(np.int64)
    return np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
