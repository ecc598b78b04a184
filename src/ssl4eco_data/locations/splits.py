"""Training, validation and test locations, by whole spatial blocks with a strip between them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ssl4eco_data.locations.parameters import SplitParameters
from ssl4eco_data.types import EARTH_RADIUS_KM, FloatArray

IntArray = npt.NDArray[np.int64]
SPLITS = ("test", "val", "train")
"""In the order in which they keep their places: near an edge a later one gives way to an earlier one."""
BUFFER = "buffer"
_BLOCKS = 40
_DEGREE_KM = math.radians(EARTH_RADIUS_KM)


def split_for_area(area_km2: float) -> SplitParameters:
    """The default split, its blocks at most a fortieth of an area and its strip a quarter of a block."""
    default = SplitParameters()
    block_km = min(default.block_km, float(f"{math.sqrt(area_km2 / _BLOCKS):.2g}"))
    buffer_km = min(default.buffer_km, float(f"{block_km / 4:.2g}"))
    return SplitParameters(block_km=block_km, buffer_km=buffer_km)


def block_splits(
    lon_deg: FloatArray,
    lat_deg: FloatArray,
    *,
    block_km: float,
    buffer_km: float,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> pd.Series:
    """``train``, ``val``, ``test`` or ``buffer`` (str) for each point; every block goes to one of the three.

    Blocks are rows of equal height cut into columns of about equal width, ``block_km`` a side. A keyed BLAKE2
    hash of the block draws its split, so that it is the same on every machine and for every sample. The
    fractions hold over many blocks only.

    A training point nearer than ``buffer_km`` (on the sphere) to a block of validation or test, and a
    validation point nearer than that to a block of test, is ``buffer``. So points of different splits are at
    least ``buffer_km`` apart, and the split of a point does not depend on which others there are.
    """
    blocks = _Blocks(round(180 * _DEGREE_KM / block_km) or 1, block_km)
    fractions = (test_fraction, test_fraction + val_fraction)
    row, column = blocks.of(lon_deg, lat_deg)
    rank = _ranks(row, column, fractions, seed)
    close = np.zeros(len(rank), bool)
    for at, row, column in blocks.near(lon_deg, lat_deg, buffer_km):
        stronger = _ranks(row, column, fractions, seed) < rank[at]
        at, row, column = at[stronger], row[stronger], column[stronger]
        close[at] |= blocks.distance_km(lon_deg[at], lat_deg[at], row, column) < buffer_km
    names = np.array([*SPLITS, BUFFER], object)
    return pd.Series(names[np.where(close, len(SPLITS), rank)], dtype="str", name="split")


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The Earth in ``rows`` of equal height, each in columns of about ``block_km``."""

    rows: int
    block_km: float

    def columns(self, row: IntArray) -> IntArray:
        """Number of columns of each row."""
        middle = np.radians((row + 0.5) * 180 / self.rows - 90)
        return np.maximum(1, np.rint(360 * _DEGREE_KM * np.cos(middle) / self.block_km)).astype(np.int64)

    def of(self, lon_deg: FloatArray, lat_deg: FloatArray) -> tuple[IntArray, IntArray]:
        """(row, column) of each point."""
        row = np.minimum((lat_deg + 90) / 180 * self.rows, self.rows - 1).astype(np.int64)
        columns = self.columns(row)
        return row, ((lon_deg + 180) / 360 * columns).astype(np.int64) % columns

    def near(
        self, lon_deg: FloatArray, lat_deg: FloatArray, reach_km: float
    ) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
        """(points, row, column) of blocks that may lie within ``reach_km`` of them, all of those that do."""
        if reach_km <= 0:
            return
        reach = reach_km / EARTH_RADIUS_KM
        # The widest longitudes of a spherical cap; all of them when it holds a pole.
        sine = math.sin(min(reach, math.pi / 2)) / np.maximum(np.cos(np.radians(lat_deg)), 1e-12)
        wide_deg = np.where(sine < 1, np.degrees(np.arcsin(np.minimum(sine, 1))), 180.0)
        own, _ = self.of(lon_deg, lat_deg)
        away = math.ceil(math.degrees(reach) / (180 / self.rows))
        for row in (own + step for step in range(-away, away + 1)):
            at = np.flatnonzero((row >= 0) & (row < self.rows))
            columns = self.columns(row[at])
            first = np.floor((lon_deg[at] - wide_deg[at] + 180) / 360 * columns).astype(np.int64)
            last = np.floor((lon_deg[at] + wide_deg[at] + 180) / 360 * columns).astype(np.int64)
            count = np.minimum(last - first + 1, columns)
            for step in range(int(count.max(initial=0))):
                within = count > step
                yield at[within], row[at][within], (first[within] + step) % columns[within]

    def distance_km(
        self, lon_deg: FloatArray, lat_deg: FloatArray, row: IntArray, column: IntArray
    ) -> FloatArray:
        """Great-circle distance of each point to its block; 0 inside.

        Beside the block the nearest place lies on its nearer meridian, at the latitude where that is nearest
        to the point, cut to the block's latitudes.
        """
        columns = self.columns(row)
        middle = (column + 0.5) * 360 / columns - 180
        aside = np.abs((lon_deg - middle + 180) % 360 - 180) - 180 / columns
        across = np.radians(np.maximum(aside, 0))
        lat = np.radians(lat_deg)
        south, north = np.radians(row * 180 / self.rows - 90), np.radians((row + 1) * 180 / self.rows - 90)
        nearest = np.clip(np.arctan2(np.sin(lat), np.cos(lat) * np.cos(across)), south, north)
        half = np.sin((lat - nearest) / 2) ** 2 + np.cos(lat) * np.cos(nearest) * np.sin(across / 2) ** 2
        return np.asarray(2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1))))


def _ranks(row: IntArray, column: IntArray, fractions: tuple[float, float], seed: int) -> IntArray:
    """The place in :data:`SPLITS` of each block."""
    blocks, of_point = np.unique(row << 32 | column, return_inverse=True)
    draws = np.array([_draw(b >> 32, b & 0xFFFFFFFF, seed) for b in blocks.tolist()], np.float64)
    return np.asarray(np.searchsorted(fractions, draws, side="right")[of_point])


def _draw(row: int, column: int, seed: int) -> float:
    digest = hashlib.blake2b(f"split/{seed}/{row}/{column}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
