"""MOD13 composites (STAC ``modis-13Q1-061`` and its like) as a vegetation series around locations.

What the numbers of a composite mean is in :mod:`ssl4eco_data.phenology.readers.mod13`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

import numpy as np
import xarray as xr

from ssl4eco_data.archives.cog import Access, Pixels, Raster, read, same_crs, spread
from ssl4eco_data.archives.items import Item, asset_href, item_time
from ssl4eco_data.archives.lattice import Around, Lattice, around
from ssl4eco_data.archives.series import Cube, dataset_of, first_day, or_failure
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.phenology.readers.mod13 import observations
from ssl4eco_data.types import Location

RESOLUTIONS = ("250m", "500m", "1_km")
SUFFIXES = ("16_days_EVI", "16_days_composite_day_of_the_year", "16_days_pixel_reliability")
NOTHING = -32768
"""Stands for pixels beyond a file."""
PHASE_TOLERANCE_PX = 0.01


def modis_series(
    items: Sequence[Item], base: str, locations: Sequence[Location], access: Access
) -> xr.Dataset:
    """EVI around each location from every composite, each file read once for all locations.

    A composite whose item or one of whose files cannot be read for good is no observation; attribute
    ``unreadable`` lists the causes. ArchiveError when none can be read.
    """
    if not items:
        nowhere = np.zeros((0, 0), np.bool_)
        return dataset_of(locations, [], [Cube.empty(0, nowhere) for _ in locations], "evi")
    links = [or_failure(partial(_links, item, base)) for item in items]
    malformed = [each for each in links if isinstance(each, ArchiveError)]
    if len(malformed) == len(items):
        raise malformed[0]
    items = [i for i, each in zip(items, links, strict=True) if not isinstance(each, ArchiveError)]
    times = sorted({item_time(item) for item in items})
    jobs = [link for each in links if not isinstance(each, ArchiveError) for link in each]
    lattice = _first_lattice(jobs, access)
    places = [around(lattice, location.footprint) for location in locations]

    def windows(href: str) -> list[Pixels] | ArchiveError:
        return or_failure(lambda: read(href, lambda raster: _windows(raster, lattice, places), access))

    layers = spread(windows, jobs, jobs, access)
    cubes = [Cube.empty(len(times), place.inside) for place in places]
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
    failures = [str(each) for each in (*malformed, *layers) if isinstance(each, ArchiveError)]
    return dataset_of(locations, times, cubes, "evi", failures)


def _links(item: Item, base: str) -> list[str]:
    """The links of a composite's three layers; raises ArchiveError (permanent) for a malformed item."""
    try:
        item_time(item)
        return [asset_href(item, key, base) for key in _keys(item)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArchiveError(
            f"STAC item {item.get('id', 'without id')} cannot be read as a MOD13 composite "
            f"({type(error).__name__}: {error})",
            transient=False,
        ) from error


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
        crs=raster.crs_wkt,
        west_m=raster.transform[2],
        north_m=raster.transform[5],
        pixel_m=raster.transform[0],
    )


def _position(lattice: Lattice, raster: Raster) -> tuple[int, int]:
    """(column, row) of a raster's corner; ArchiveError (permanent) when its pixels lie otherwise."""
    column = (raster.transform[2] - lattice.west_m) / lattice.pixel_m
    row = (lattice.north_m - raster.transform[5]) / lattice.pixel_m
    off = max(abs(column - round(column)), abs(row - round(row)))
    stretch = abs(raster.transform[0] / lattice.pixel_m - 1) * max(raster.shape)
    if max(off, stretch) > PHASE_TOLERANCE_PX or not same_crs(raster.crs_wkt, lattice.crs):
        raise ArchiveError(
            f"a file with corner ({raster.transform[2]}, {raster.transform[5]}) and pixels of "
            f"{raster.transform[0]} m lies on another grid than the composites before it",
            transient=False,
        )
    return round(column), round(row)


def _windows(raster: Raster, lattice: Lattice, places: Sequence[Around]) -> list[Pixels]:
    """The pixels of a file around each location, ``NOTHING`` where it does not reach."""
    column, row = _position(lattice, raster)
    signed = Raster(raster.crs_wkt, raster.transform, raster.shape, np.dtype(np.int32), raster.fetch)
    return [
        signed.window(a.column - column, a.row - row, a.inside.shape[1], a.inside.shape[0], NOTHING)
        for a in places
    ]


def _add(cube: Cube, number: int, begin: datetime, layers: tuple[Pixels, Pixels, Pixels]) -> None:
    """Put a composite's observations into the cube."""
    evi, doy, reliability = layers
    cube.put(number, observations(evi, doy, reliability, first_day(begin)))
