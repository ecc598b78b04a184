"""MOD13 windows on the MODIS sinusoidal grid, and their observations; pure, no client.

Grid: sphere of radius 6 371 007.181 m, 231.656 358 m pixels counted from the grid's upper-left corner
(MODIS Land Grid, LP DAAC; Earth Engine calls its system ``SR-ORG:6974``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from pyproj import Transformer

from ssl4eco_data.archives.series import Cube, dataset_of, first_day
from ssl4eco_data.phenology.readers.mod13 import observations
from ssl4eco_data.types import BoolArray, Footprint, Location

SINUSOIDAL = "+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m +no_defs"
CRS_CODE = "SR-ORG:6974"
WEST_M, NORTH_M, PIXEL_M = -20015109.354, 10007554.677, 231.65635826395825
BANDS = ("EVI", "DayOfYear", "SummaryQA")
FILL = -32768
"""Written into masked pixels of all three bands; none of them has it among its values."""
DAY_CHARACTERS = len("YYYY_MM_DD")
Layer = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window of the sinusoidal grid: its first column and row, and its size in pixels."""

    column: int
    row: int
    width_px: int
    height_px: int

    def pixel_grid(self) -> dict[str, Any]:
        """The ``grid`` of a computePixels request: exactly these pixels."""
        return {
            "crsCode": CRS_CODE,
            "dimensions": {"width": self.width_px, "height": self.height_px},
            "affineTransform": {
                "scaleX": PIXEL_M,
                "shearX": 0,
                "translateX": WEST_M + self.column * PIXEL_M,
                "shearY": 0,
                "scaleY": -PIXEL_M,
                "translateY": NORTH_M - self.row * PIXEL_M,
            },
        }


def window_of(footprint: Footprint) -> Window:
    """The smallest window that holds every pixel whose area meets the footprint."""
    west, south, east, north = footprint.bounds_m
    steps = np.linspace(0.0, 1.0, 33)
    xs = np.concatenate([west + steps * (east - west)] * 2 + [np.full(33, west), np.full(33, east)])
    ys = np.concatenate([np.full(33, south), np.full(33, north)] + [south + steps * (north - south)] * 2)
    to_grid = Transformer.from_crs(footprint.epsg, SINUSOIDAL, always_xy=True)
    x, y = to_grid.transform(xs, ys)
    column, row = math.floor((x.min() - WEST_M) / PIXEL_M), math.floor((NORTH_M - y.max()) / PIXEL_M)
    last_column = math.floor((x.max() - WEST_M) / PIXEL_M)
    last_row = math.floor((NORTH_M - y.min()) / PIXEL_M)
    return Window(column=column, row=row, width_px=last_column - column + 1, height_px=last_row - row + 1)


def centres_inside(window: Window, footprint: Footprint) -> BoolArray:
    """``(y, x)``: whether each pixel's centre lies in the footprint."""
    x = WEST_M + (window.column + np.arange(window.width_px) + 0.5) * PIXEL_M
    y = NORTH_M - (window.row + np.arange(window.height_px) + 0.5) * PIXEL_M
    back = Transformer.from_crs(SINUSOIDAL, footprint.epsg, always_xy=True)
    east, north = back.transform(*np.meshgrid(x, y))
    west_m, south_m, east_m, north_m = footprint.bounds_m
    inside: BoolArray = (east >= west_m) & (east < east_m) & (north > south_m) & (north <= north_m)
    return inside


def series_of(locations: Sequence[Location], stacks: Sequence[Mapping[str, Layer]]) -> xr.Dataset:
    """The ``vegetation_series`` of the protocol from each location's stack.

    A stack maps ``YYYY_MM_DD_<band>`` (band of ``BANDS``) to ``(y, x)`` integers with ``FILL`` where
    masked, on the location's :func:`window_of`. A composite published between two locations' requests is
    no observation of the first.
    """
    names = sorted({name[:DAY_CHARACTERS] for stack in stacks for name in stack})
    times = [datetime.strptime(name, "%Y_%m_%d").replace(tzinfo=UTC) for name in names]
    cubes = []
    for location, stack in zip(locations, stacks, strict=True):
        window = window_of(location.footprint)
        cube = Cube.empty(len(times), centres_inside(window, location.footprint))
        for number, (name, begin) in enumerate(zip(names, times, strict=True)):
            if f"{name}_{BANDS[0]}" in stack:
                evi, doy, quality = (stack[f"{name}_{band}"] for band in BANDS)
                cube.put(number, observations(evi, doy, quality, first_day(begin)))
        cubes.append(cube)
    return dataset_of(locations, times, cubes, "evi")
