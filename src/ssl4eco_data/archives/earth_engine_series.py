"""MOD13 windows on the MODIS sinusoidal grid, and their observations; pure, no client.

Grid: sphere of radius 6 371 007.181 m, pixels of 231.656 358 m, or twice that, counted from the upper-left
corner (MODIS Land Grid, LP DAAC; Earth Engine calls its system ``SR-ORG:6974``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy.typing as npt
import xarray as xr

from ssl4eco_data.archives.earth_engine_images import affine_grid
from ssl4eco_data.archives.lattice import Lattice, around
from ssl4eco_data.archives.series import Cube, dataset_of, first_day
from ssl4eco_data.phenology.readers.mod13 import observations
from ssl4eco_data.types import Footprint, Location

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
CRS_CODE = "SR-ORG:6974"
WEST_M, NORTH_M, PIXEL_M = -20015109.354, 10007554.677, 231.65635826395825
LATTICE_250M = Lattice(crs=SINUSOIDAL, west_m=WEST_M, north_m=NORTH_M, pixel_m=PIXEL_M)
LATTICE_500M = Lattice(crs=SINUSOIDAL, west_m=WEST_M, north_m=NORTH_M, pixel_m=2 * PIXEL_M)
BANDS = ("EVI", "DayOfYear", "SummaryQA")
FILL = -32768
"""Written into masked pixels of all three bands; none of them has it among its values."""
DAY_CHARACTERS = len("YYYY_MM_DD")
Layer = npt.NDArray[Any]


def pixel_grid(lattice: Lattice, footprint: Footprint) -> dict[str, Any]:
    """The ``grid`` of a computePixels request: exactly the pixels of a sinusoidal lattice around a patch."""
    place = around(lattice, footprint)
    return affine_grid(
        CRS_CODE,
        lattice.west_m + place.column * lattice.pixel_m,
        lattice.north_m - place.row * lattice.pixel_m,
        lattice.pixel_m,
        place.inside.shape,
    )


def series_of(locations: Sequence[Location], stacks: Sequence[Mapping[str, Layer]]) -> xr.Dataset:
    """The ``vegetation_series`` of the protocol from each location's stack.

    A stack maps ``YYYY_MM_DD_<band>`` (band of ``BANDS``) to ``(y, x)`` integers with ``FILL`` where
    masked, on the window of ``LATTICE_250M`` around it. A composite published between two locations'
    requests is no observation of the first.
    """
    names = sorted({name[:DAY_CHARACTERS] for stack in stacks for name in stack})
    times = [datetime.strptime(name, "%Y_%m_%d").replace(tzinfo=UTC) for name in names]
    cubes = []
    for location, stack in zip(locations, stacks, strict=True):
        cube = Cube.empty(len(times), around(LATTICE_250M, location.footprint).inside)
        for number, (name, begin) in enumerate(zip(names, times, strict=True)):
            if f"{name}_{BANDS[0]}" in stack:
                evi, doy, quality = (stack[f"{name}_{band}"] for band in BANDS)
                cube.put(number, observations(evi, doy, quality, first_day(begin)))
        cubes.append(cube)
    return dataset_of(locations, times, cubes, "evi")
