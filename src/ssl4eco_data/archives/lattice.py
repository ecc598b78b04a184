"""Pixel grids that all tiles of a product share, and the window of one around a patch; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from pyproj import CRS, Transformer

from ssl4eco_data.types import BoolArray, Footprint

EDGE_STEPS = 33
"""Points along each side of a patch whose extremes give the window in the other projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """Square pixels counted from a corner; ``crs`` is the text of their reference system (WKT or PROJ)."""

    crs: str
    west_m: float
    north_m: float
    pixel_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The window of a lattice around one patch: its first column and row, and ``inside``, ``(y, x)``: whether
    each pixel's centre lies in the patch."""

    column: int
    row: int
    inside: BoolArray


def around(lattice: Lattice, footprint: Footprint) -> Around:
    """The smallest window that holds every pixel whose area meets the patch."""
    west, south, east, north = footprint.bounds_m
    along_x, along_y = np.linspace(west, east, EDGE_STEPS), np.linspace(south, north, EDGE_STEPS)
    xs = np.concatenate([along_x, along_x, np.full(EDGE_STEPS, west), np.full(EDGE_STEPS, east)])
    ys = np.concatenate([np.full(EDGE_STEPS, south), np.full(EDGE_STEPS, north), along_y, along_y])
    crs = _crs(lattice.crs)
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


@lru_cache(maxsize=256)
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)
