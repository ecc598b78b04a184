"""UTM zones, and square patches on the 20 m grid that every Sentinel-2 tile of a zone shares."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import Transformer
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import clip_by_rect

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.types import SNAP_M, BoolArray, FloatArray, Footprint

Int32Array = npt.NDArray[np.int32]

TILE_M = 109_800.0
"""Side of a Sentinel-2 tile (ESA Sentinel-2 Products Specification Document)."""
_ZONES_AWAY = 5
"""Tiles reach one tile beyond their zone: at 84 degrees that is under four zones."""


def utm_epsg(lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike) -> Int32Array:
    """EPSG code of the WGS 84 UTM zone of each point, int32, with the exceptions of Norway and Svalbard.

    Longitude 180 belongs to zone 1. Latitudes beyond 84 N and 80 S take the zone of their longitude.
    Source: NGA.SIG.0012 (2014), the grid zones of MGRS, as the Major-TOM grid applies them.
    """
    lon, lat = np.broadcast_arrays(np.asarray(lon_deg, np.float64), np.asarray(lat_deg, np.float64))
    zone = np.floor((lon + 180) / 6) % 60 + 1
    zone = np.where((lat >= 56) & (lat < 64) & (lon >= 3) & (lon < 12), 32, zone)
    svalbard = (lat >= 72) & (lat < 84)
    for west, east, number in ((0, 9, 31), (9, 21, 33), (21, 33, 35), (33, 42, 37)):
        zone = np.where(svalbard & (lon >= west) & (lon < east), number, zone)
    return np.where(lat < 0, 32700 + zone, 32600 + zone).astype(np.int32)


def patch_corners(
    lon_deg: FloatArray, lat_deg: FloatArray, epsg: Int32Array, size_m: float
) -> tuple[FloatArray, FloatArray]:
    """(west, north) of the patch around each point, metres of its ``epsg``, multiples of 20 m.

    The point is within 10 m of the patch's centre on each axis. Raises ``ValueError`` when ``size_m`` is no
    positive multiple of 20 m, or a point cannot be projected to its zone.
    """
    if size_m <= 0 or size_m % SNAP_M:
        raise ValueError(f"size_m must be a positive multiple of {SNAP_M:g} m, got {size_m}")
    x, y = np.empty(len(epsg)), np.empty(len(epsg))
    for code in np.unique(epsg):
        at = epsg == code
        x[at], y[at] = _to_utm(int(code)).transform(lon_deg[at], lat_deg[at])
    lost = ~(np.isfinite(x) & np.isfinite(y))
    if lost.any():
        i = int(np.argmax(lost))
        raise ValueError(f"lon_deg {lon_deg[i]}, lat_deg {lat_deg[i]} cannot be projected to EPSG:{epsg[i]}")
    half = size_m / 2
    return np.rint((x - half) / SNAP_M) * SNAP_M, np.rint((y + half) / SNAP_M) * SNAP_M


def footprint_at(lon_deg: float, lat_deg: float, epsg: int, size_m: float) -> Footprint:
    """The patch around one point; see :func:`patch_corners`."""
    west, north = patch_corners(
        np.array([lon_deg], float), np.array([lat_deg], float), np.array([epsg], np.int32), size_m
    )
    return Footprint(epsg=int(epsg), west_m=float(west[0]), north_m=float(north[0]), size_m=float(size_m))


def footprint_polygon(footprint: Footprint) -> BaseGeometry:
    """Outline of a patch in lon/lat, split in two at the antimeridian; sides are bent every quarter."""
    outline = shapely.segmentize(shapely.box(*footprint.bounds_m), footprint.size_m / 4)
    xy = shapely.get_coordinates(outline)
    lon, lat = _to_utm(footprint.epsg).transform(xy[:, 0], xy[:, 1], direction="INVERSE")
    if np.ptp(lon) <= 180:
        return Polygon(np.column_stack([lon, lat]))
    whole = Polygon(np.column_stack([np.where(lon < 0, lon + 360, lon), lat]))
    parts = (clip_by_rect(whole, 0, -90, 180, 90), translate(clip_by_rect(whole, 180, -90, 360, 90), -360))
    return MultiPolygon([part for part in parts if isinstance(part, Polygon)])


def read_tiles(path: str) -> pd.DataFrame:
    """Sentinel-2 tiles: ``tile_id`` str, ``epsg`` int32, ``xmin``, ``ymin`` float64 metres (lower left).

    Raises :class:`~ssl4eco_data.errors.ConfigError` for a missing or unreadable Parquet file or column.
    """
    if not Path(path).exists():
        raise ConfigError(f"no tile list {path}")
    kinds = {"tile_id": "str", "epsg": "int32", "xmin": "float64", "ymin": "float64"}
    try:
        return pd.read_parquet(path, columns=list(kinds)).reset_index(drop=True).astype(kinds)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the tile list {path}: it must be Parquet with tile_id, epsg, xmin, ymin: {error}"
        ) from error


def epsg_with_tile(
    lon_deg: FloatArray, lat_deg: FloatArray, size_m: float, tiles: pd.DataFrame
) -> Int32Array:
    """EPSG code of the zone in which one tile covers the whole patch, int32.

    It is the zone of the point where that has such a tile, else the lowest code that has, else the zone of
    the point. ``tiles`` is as :func:`read_tiles` gives it.
    """
    own = utm_epsg(lon_deg, lat_deg)
    chosen = own.copy()
    open_ = np.flatnonzero(~_covered(lon_deg, lat_deg, own, size_m, tiles))
    away = np.arange(-_ZONES_AWAY, _ZONES_AWAY + 1)
    zones = (own[open_, None] % 100 - 1 + away) % 60 + 1
    codes = np.sort(np.concatenate([zones + 32600, zones + 32700], axis=1), axis=1).astype(np.int32)
    for column in codes.T:
        fits = _covered(lon_deg[open_], lat_deg[open_], column, size_m, tiles) & (chosen[open_] == own[open_])
        chosen[open_[fits]] = column[fits]
    return chosen


def _covered(
    lon_deg: FloatArray, lat_deg: FloatArray, epsg: Int32Array, size_m: float, tiles: pd.DataFrame
) -> BoolArray:
    """True where one tile of the zone ``epsg`` covers the patch."""
    west, north = patch_corners(lon_deg, lat_deg, epsg, size_m)
    covered = np.zeros(len(epsg), bool)
    for code in np.unique(epsg):
        of_zone = tiles[tiles["epsg"] == code]
        xmin, ymin = of_zone["xmin"].to_numpy(), of_zone["ymin"].to_numpy()
        at = np.flatnonzero(epsg == code)
        tree = shapely.STRtree(shapely.box(xmin, ymin, xmin + TILE_M, ymin + TILE_M))
        patches = shapely.box(west[at], north[at] - size_m, west[at] + size_m, north[at])
        covered[at[np.unique(tree.query(patches, predicate="covered_by")[0])]] = True
    return covered


@lru_cache(maxsize=120)
def _to_utm(epsg: int) -> Transformer:
    return Transformer.from_crs(4326, epsg, always_xy=True)
