"""MCD12Q2 around locations, from stacked pixels; pure, no client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.archives.earth_engine_series import DAY_CHARACTERS, LATTICE_500M
from ssl4eco_data.archives.lattice import around
from ssl4eco_data.phenology.readers.mcd12q2 import FILL
from ssl4eco_data.phenology.readers.mcd12q2_cycles import CYCLE_BANDS, NUMBER_OF_CYCLES
from ssl4eco_data.types import Location

BANDS = (NUMBER_OF_CYCLES, *(f"{band}_{n}" for n in (1, 2) for band in CYCLE_BANDS))
"""The bands that are asked for; of a request of 1 024 bands they leave room for 44 years."""


def product_of(
    locations: Sequence[Location], stacks: Sequence[Mapping[str, npt.NDArray[Any]]], years: Sequence[int]
) -> xr.Dataset:
    """The ``BANDS`` of the product around each location, ``FILL`` where there is nothing.

    Variables ``(location, year, y, x)`` int16, padded to the largest window, and ``inside``
    ``(location, y, x)`` bool: the pixel's centre lies in the patch. A stack maps ``YYYY_01_01_<band>`` to
    ``(y, x)`` on the window of ``LATTICE_500M`` around its location; years without an image are fill.
    """
    places = [around(LATTICE_500M, location.footprint).inside for location in locations]
    height = max((inside.shape[0] for inside in places), default=0)
    width = max((inside.shape[1] for inside in places), default=0)
    found = {band: np.full((len(places), len(years), height, width), FILL, np.int16) for band in BANDS}
    inside = np.zeros((len(places), height, width), np.bool_)
    for number, (place, stack) in enumerate(zip(places, stacks, strict=True)):
        inside[number, : place.shape[0], : place.shape[1]] = place
        for name, layer in stack.items():
            year, band = int(name[:4]), name[DAY_CHARACTERS + 1 :]
            found[band][number, years.index(year), : place.shape[0], : place.shape[1]] = layer
    dims = ("location", "year", "y", "x")
    return xr.Dataset(
        {
            **{band: (dims, array) for band, array in found.items()},
            "inside": (("location", "y", "x"), inside),
        },
        coords={"location": [location.location_id for location in locations], "year": list(years)},
    )
