"""MOD13 composites (STAC ``modis-13Q1-061`` and its like) as a vegetation series around locations.

What the numbers of a composite mean is in :mod:`ssl4eco_data.phenology.readers.mod13`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import xarray as xr
from pyproj import Transformer

from ssl4eco_data.archives.cog import Access, Pixels, Raster, crs_of, read, same_crs, spread
from ssl4eco_data.archives.items import Item, asset_href, item_time
from ssl4eco_data.archives.series import Cube, dataset_of, first_day, or_failure
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.phenology.readers.mod13 import observations
from ssl4eco_data.types import BoolArray, Footprint, Location

RESOLUTIONS = ("250m", "500m", "1_km")
SUFFIXES = ("16_days_EVI", "16_days_composite_day_of_the_year", "16_days_pixel_reliability")
NOTHING = -32768
"""Stands for pixels beyond a file."""
PHASE_TOLERANCE_PX = 0.01
EDGE_STEPS = 33
"""Points along each side of a patch whose extremes give the window in the other projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The pixel grid that all tiles of a product share, counted from the corner of one of them."""

    crs_wkt: str
    west_m: float
    north_m: float
    pixel_m: float

    def position(self, raster: Raster) -> tuple[int, int]:
        """(column, row) of a raster's corner; ArchiveError (permanent) when its pixels lie otherwise."""
        column = (raster.transform[2] - self.west_m) / self.pixel_m
        row = (self.north_m - raster.transform[5]) / self.pixel_m
        off = max(abs(column - round(column)), abs(row - round(row)))
        stretch = abs(raster.transform[0] / self.pixel_m - 1) * max(raster.shape)
        if max(off, stretch) > PHASE_TOLERANCE_PX or not same_crs(raster.crs_wkt, self.crs_wkt):
            raise ArchiveError(
                f"a file with corner ({raster.transform[2]}, {raster.transform[5]}) and pixels of "
                f"{raster.transform[0]} m lies on another grid than the composites before it",
                transient=False,
            )
        return round(column), round(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The window of a lattice around one location, and which of its pixels lie in the patch."""

    column: int
    row: int
    inside: BoolArray


def modis_series(
    items: Sequence[Item], base: str, locations: Sequence[Location], access: Access
) -> xr.Dataset:
    """EVI around each location from every composite, each file read once for all locations.

    A composite with a file that cannot be read for good is no observation; attribute ``unreadable`` lists
    the causes. ArchiveError when no file can be read.
    """
    if not items:
        nowhere = np.zeros((0, 0), np.bool_)
        return dataset_of(locations, [], [Cube.empty(0, nowhere) for _ in locations], "evi")
    times = sorted({item_time(item) for item in items})
    jobs = [asset_href(item, key, base) for item in items for key in _keys(item)]
    lattice = _first_lattice(jobs, access)
    around = [_around(lattice, location.footprint) for location in locations]

    def windows(href: str) -> list[Pixels] | ArchiveError:
        return or_failure(lambda: read(href, lambda raster: _windows(raster, lattice, around), access))

    layers = spread(windows, jobs, jobs, access)
    cubes = [Cube.empty(len(times), place.inside) for place in around]
    for number, item in enumerate(items):
        evi, doy, reliability = layers[3 * number : 3 * number + 3]
        if (
            isinstance(evi, ArchiveError)
            or isinstance(doy, ArchiveError)
            or isinstance(reliability, ArchiveError)
        ):
            continue
        for i, cube in enumerate(cubes):
            _add(cube, times.index(item_time(item)), item_time(item), (evi[i], doy[i], reliability[i]))
    failures = [str(layer) for layer in layers if isinstance(layer, ArchiveError)]
    return dataset_of(locations, times, cubes, "evi", failures)


def _first_lattice(hrefs: Sequence[str], access: Access) -> Lattice:
    """The lattice of the first file that can be read."""
    failures = []
    for href in hrefs:
        found = or_failure(partial(read, href, _lattice, access))
        if isinstance(found, Lattice):
            return found
        failures.append(found)
    raise failures[0]


def _keys(item: Item) -> tuple[str, ...]:
    """The assets' names, which carry the product's resolution."""
    for resolution in RESOLUTIONS:
        if f"{resolution}_{SUFFIXES[0]}" in item["assets"]:
            return tuple(f"{resolution}_{suffix}" for suffix in SUFFIXES)
    return tuple(f"{RESOLUTIONS[0]}_{suffix}" for suffix in SUFFIXES)


def _lattice(raster: Raster) -> Lattice:
    return Lattice(
        crs_wkt=raster.crs_wkt,
        west_m=raster.transform[2],
        north_m=raster.transform[5],
        pixel_m=raster.transform[0],
    )


def _around(lattice: Lattice, footprint: Footprint) -> Around:
    """The smallest window that holds every pixel whose area meets the patch."""
    west, south, east, north = footprint.bounds_m
    along_x, along_y = np.linspace(west, east, EDGE_STEPS), np.linspace(south, north, EDGE_STEPS)
    xs = np.concatenate([along_x, along_x, np.full(EDGE_STEPS, west), np.full(EDGE_STEPS, east)])
    ys = np.concatenate([np.full(EDGE_STEPS, south), np.full(EDGE_STEPS, north), along_y, along_y])
    crs = crs_of(lattice.crs_wkt)
    x, y = Transformer.from_crs(footprint.epsg, crs, always_xy=True).transform(xs, ys)
    columns = (np.array([x.min(), x.max()]) - lattice.west_m) / lattice.pixel_m
    rows = (lattice.north_m - np.array([y.max(), y.min()])) / lattice.pixel_m
    column, row = math.floor(columns[0]), math.floor(rows[0])
    width, height = math.floor(columns[1]) - column + 1, math.floor(rows[1]) - row + 1
    centre_x = lattice.west_m + (column + np.arange(width) + 0.5) * lattice.pixel_m
    centre_y = lattice.north_m - (row + np.arange(height) + 0.5) * lattice.pixel_m
    back = Transformer.from_crs(crs, footprint.epsg, always_xy=True)
    easting, northing = back.transform(*np.meshgrid(centre_x, centre_y))
    inside = (easting >= west) & (easting < east) & (northing > south) & (northing <= north)
    return Around(column=column, row=row, inside=inside)


def _windows(raster: Raster, lattice: Lattice, around: Sequence[Around]) -> list[Pixels]:
    """The pixels of a file around each location, ``NOTHING`` where it does not reach."""
    column, row = lattice.position(raster)
    signed = Raster(raster.crs_wkt, raster.transform, raster.shape, np.dtype(np.int32), raster.fetch)
    return [
        signed.window(a.column - column, a.row - row, a.inside.shape[1], a.inside.shape[0], NOTHING)
        for a in around
    ]


def _add(cube: Cube, number: int, begin: datetime, layers: tuple[Pixels, Pixels, Pixels]) -> None:
    """Put a composite's observations into the cube."""
    evi, doy, reliability = layers
    cube.put(number, observations(evi, doy, reliability, first_day(begin)))
