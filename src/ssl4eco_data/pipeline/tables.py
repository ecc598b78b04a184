"""Where each table of a dataset lies, and the rows of one block."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

import geopandas as gpd
import pandas as pd

from ssl4eco_data.config import Config
from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import read_geo_table, read_table, table_metadata
from ssl4eco_data.store.objects import ObjectPath, Place

LOCATIONS = "locations.parquet"
STRATA = "strata.parquet"
WEIGHTS = "weights.parquet"
PHENOLOGY = "phenology.parquet"
WINDOWS = "phenology/windows"
CYCLES = "phenology/cycles"
SERIES = "phenology/series"
PIXELS = "phenology/pixels.zarr"
CANDIDATES = "scenes/candidates"
CHOICES = "scenes/choices"
QUALITY = "patches/quality"
PATCHES = "patches.zarr"

Frame = TypeVar("Frame", bound=pd.DataFrame)


def part(config: Config, table: str, block: int) -> Place:
    """The file of one block of a table."""
    return config.root / table / f"{block:05d}.parquet"


def parts(config: Config, table: str) -> pd.DataFrame:
    """A table with the parts of all blocks, in order; parts of blocks that are no more are left out."""
    return pd.concat([read_table(part(config, table, b)) for b in blocks(config)], ignore_index=True)


def locations(config: Config) -> gpd.GeoDataFrame:
    """All locations."""
    return _read_geo(*_version(config.root / LOCATIONS))


def strata(config: Config) -> pd.DataFrame:
    """What each stratum had and got."""
    return read_table(config.root / STRATA)


def sample_counts(config: Config) -> Mapping[str, int]:
    """What happened while the locations were sampled, by what it is."""
    return _counts(*_version(config.root / LOCATIONS))


def known_ids(config: Config) -> list[str]:
    """The ids of an earlier sample in the order of their rows; none when no table can be read."""
    try:
        return [str(name) for name in locations(config)["location_id"]]
    except (FileNotFoundError, StoreError):
        return []


def phenology(config: Config) -> pd.DataFrame:
    """The season windows of all locations, gaps filled."""
    return _read(*_version(config.root / PHENOLOGY))


def blocks(config: Config) -> range:
    """The numbers of all blocks."""
    return range(math.ceil(len(locations(config)) / config.block_locations))


def rows(config: Config, table: Frame, block: int) -> Frame:
    """The rows of one block of a table with one row per location."""
    first = block * config.block_locations
    return table.iloc[first : first + config.block_locations]


Version = tuple[int | str | None, ...]
"""What no two files of one name share, whatever their times and sizes."""


def _version(path: Place) -> tuple[Place, Version]:
    """A file and its version: times can be set back, and object stores know whole seconds only."""
    if isinstance(path, ObjectPath):
        found = path.stat()
        return path, (found.e_tag, found.version, found.st_mtime_ns, found.st_size)
    stat = path.stat()
    return path, (stat.st_ino, stat.st_ctime_ns, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read_geo(path: Place, _version: Version) -> gpd.GeoDataFrame:
    return read_geo_table(path)


@lru_cache(maxsize=4)
def _counts(path: Place, _version: Version) -> Mapping[str, int]:
    counts: Mapping[str, int] = table_metadata(path).get("ssl4eco", {}).get("counts", {})
    return counts


@lru_cache(maxsize=4)
def _read(path: Place, _version: Version) -> pd.DataFrame:
    return read_table(path)
