"""The same jobs in plain code: what a person would write first, to compare with.

Written from the published facts of the grid, of Sainte-Lague's divisors and of the labels' rules.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from scipy.spatial import KDTree

from ssl4eco_data.types import EARTH_RADIUS_KM, FloatArray

RADIUS_KM = 6378.137
MAX_LAT_DEG = 85.0
CONFORMAL_EPSG = 3395
"""World Mercator: nearest in the plane is nearest on the ground nearby, at 1 / cos(latitude) the distance."""
_LAYER_BOX_DEG = (-180.0, -85.0, 180.0, 86.0)


class Grid:
    """The Major-TOM grid, row by row and cell by cell."""

    def __init__(self, spacing_km: float) -> None:
        count = math.ceil(math.pi * RADIUS_KM / spacing_km)
        rows = [k for k in range(-(count // 2), count - count // 2) if abs(k * 180 / count) <= MAX_LAT_DEG]
        self.first_row = rows[0]
        self.lats = [k * 180 / count for k in rows]
        self.columns = [
            math.ceil(2 * math.pi * RADIUS_KM * math.cos(lat * math.pi / 180) / spacing_km)
            for lat in self.lats
        ]

    def cells(self) -> tuple[list[float], list[float], list[str]]:
        """(longitudes, latitudes, names) of all cells' lower-left corners."""
        lons, lats, names = [], [], []
        for k, (lat, n) in enumerate(zip(self.lats, self.columns, strict=True), self.first_row):
            row = f"{k}U" if k >= 0 else f"{-k}D"
            first = -(n // 2)
            # Rounding puts this node at +180 in some rows; there it is the last of its row.
            moved = node(first, n) > 0
            for j in range(first + moved, first + moved + n):
                lons.append(node(j, n))
                lats.append(lat)
                names.append(f"{row}_{j}R" if j >= 0 else f"{row}_{-j}L")
        return lons, lats, names

    def cells_of(self, lon_deg: FloatArray, lat_deg: FloatArray) -> list[tuple[int, int]]:
        """(row, column) of each point, one after the other."""
        found = []
        for lon, lat in zip(lon_deg.tolist(), lat_deg.tolist(), strict=True):
            index = bisect_left(self.lats, lat) - 1
            n = self.columns[index]
            column = math.ceil(lon * n / 360) - 1
            first = -(n // 2)
            first += node(first, n) > 0
            if column < first:
                column += n
            found.append((index + self.first_row, column))
        return found


def node(j: int, count: int) -> float:
    """Longitude of node ``j`` in a row of ``count`` cells."""
    return (j % count * (360.0 / count) - 180.0) % 360.0 - 180.0


def places_by_argmax(available: npt.NDArray[np.int64], total: int) -> npt.NDArray[np.int64]:
    """Places by Sainte-Lague with weights of the square root, one at a time to the largest quotient."""
    weight = np.sqrt(available.astype(np.float64))
    places = np.zeros_like(available)
    for _ in range(total):
        quotient = np.where(places < available, weight / (2 * places + 1), -1.0)
        places[np.argmax(quotient)] += 1
    return places


def choose_by_argmax(stratum: npt.NDArray[np.str_], total: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which cells are taken: places by argmax, cells at random."""
    rng = np.random.default_rng(seed)
    names, available = np.unique(stratum, return_counts=True)
    chosen = np.zeros(len(stratum), bool)
    for name, places in zip(names, places_by_argmax(available, total), strict=True):
        chosen[rng.permutation(np.flatnonzero(stratum == name))[:places]] = True
    return chosen


def split_of_each(
    lon_deg: FloatArray, lat_deg: FloatArray, *, block_km: float, val_fraction: float, test_fraction: float
) -> list[str]:
    """The split of each point's block (seed 0), point by point."""
    degree_km = math.radians(EARTH_RADIUS_KM)
    rows = round(180 * degree_km / block_km)
    splits = []
    for lon, lat in zip(lon_deg.tolist(), lat_deg.tolist(), strict=True):
        row = int(min((lat + 90) / 180 * rows, rows - 1))
        middle = math.radians((row + 0.5) * 180 / rows - 90)
        columns = max(1, round(360 * degree_km * math.cos(middle) / block_km))
        column = int((lon + 180) / 360 * columns) % columns
        digest = hashlib.blake2b(f"split/0/{row}/{column}".encode(), digest_size=8).digest()
        draw = int.from_bytes(digest, "big") / 2**64
        splits.append(
            "test" if draw < test_fraction else "val" if draw < test_fraction + val_fraction else "train"
        )
    return splits


def buffer_by_points(
    lon_deg: FloatArray, lat_deg: FloatArray, split: npt.NDArray[np.object_], buffer_km: float
) -> npt.NDArray[np.object_]:
    """With ``buffer`` where a point of an earlier split (test, then val) is nearer than ``buffer_km``."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    xyz = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    reach = 2 * math.sin(buffer_km / EARTH_RADIUS_KM / 2)
    result = split.copy()
    for stronger, weaker in ((("test",), "val"), (("test", "val"), "train")):
        sources, at = np.isin(split, stronger), np.flatnonzero(split == weaker)
        distance, _ = KDTree(xyz[sources]).query(xyz[at], distance_upper_bound=reach)
        result[at[distance < reach]] = "buffer"
    return result


def join_by_geopandas(
    path: str, field: str, lon_deg: FloatArray, lat_deg: FloatArray, max_km: float
) -> npt.NDArray[np.object_]:
    """The field's value at each point: of its polygon, or the nearest within ``max_km``, else ``none``."""
    layer = gpd.read_file(path)[[field, "geometry"]]
    layer["geometry"] = layer.geometry.make_valid()
    points = gpd.GeoDataFrame(geometry=gpd.points_from_xy(lon_deg, lat_deg), crs=layer.crs)
    joined = gpd.sjoin(points, layer, predicate="intersects", how="left").sort_values("index_right")
    value = joined[field][~joined.index.duplicated()].sort_index()
    outside = points[value.isna().to_numpy()].to_crs(CONFORMAL_EPSG)
    scale = np.cos(np.radians(lat_deg[outside.index]))
    layer["geometry"] = shapely.clip_by_rect(layer.geometry.to_numpy(), *_LAYER_BOX_DEG)
    layer = layer[~layer.geometry.is_empty].to_crs(CONFORMAL_EPSG)
    near = gpd.sjoin_nearest(
        outside, layer, max_distance=max_km * 1000 / scale.min(initial=1), distance_col="metres"
    )
    near = near[near["metres"] * np.cos(np.radians(lat_deg[near.index])) <= max_km * 1000]
    value.update(near[field][~near.index.duplicated()])
    return pd.Series(value).fillna("none").to_numpy(object)
