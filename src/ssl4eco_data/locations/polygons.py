"""Polygon layers from files, and which polygon a point lies in or near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import shapely
from pyogrio.errors import DataSourceError
from pyproj import Geod

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.lonlat import as_lonlat, single_polygons
from ssl4eco_data.types import BoolArray, FloatArray

_GEOD = Geod(ellps="WGS84")
_NONE = -1
_DEGREE_KM = 110.5
"""Shortest degree of latitude on WGS 84, so that a search window in degrees is never too small."""
_BAND_DEG = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A polygon layer in lon/lat (EPSG:4326).

    ``parts`` are single polygons ``(part,)``, ``feature`` int64 ``(part,)`` the row of ``labels`` that each
    belongs to, in order; ``mended`` is the number of invalid features that had to be made valid.
    """

    parts: npt.NDArray[np.object_]
    feature: npt.NDArray[np.int64]
    labels: pd.DataFrame
    mended: int


def read_layer(path: str, fields: Sequence[str] = ()) -> Layer:
    """A polygon layer of any file that GeoPandas reads, with these fields as its labels.

    Raises :class:`~ssl4eco_data.errors.ConfigError` for a missing or unreadable file, a layer without a
    coordinate system or without polygons, several layers in one file, coordinates out of range, and a field
    that does not exist (naming the ones that do).
    """
    frame = read_vector(path)
    absent = [f for f in fields if f not in frame.columns]
    if absent:
        known = ", ".join(str(c) for c in frame.columns if c != frame.geometry.name) or "none"
        raise ConfigError(
            f"the layer {path} has no field {', '.join(map(repr, absent))}; its fields are: {known}"
        )
    if frame.crs is None:
        raise ConfigError(
            f"the layer {path} has no coordinate system; assign one (GeoPandas: set_crs) and save it again"
        )
    geometries = shapely.force_2d(frame.geometry.to_numpy())
    broken = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    if not np.isfinite(shapely.get_coordinates(geometries)).all():
        raise ConfigError(f"the layer {path} has coordinates that are not finite; remove those features")
    parts, feature = single_polygons(geometries, np.arange(len(geometries)))
    parts, feature = as_lonlat(path, parts, feature, frame.crs)
    if len(parts) == 0:
        raise ConfigError(f"the layer {path} holds no polygon")
    labels = pd.DataFrame(frame[list(fields)]).reset_index(drop=True)
    return Layer(parts=parts, feature=feature, labels=labels, mended=int(broken.sum()))


def read_vector(path: str) -> gpd.GeoDataFrame:
    """A vector file as a table; raises :class:`~ssl4eco_data.errors.ConfigError` when it cannot be read."""
    if "://" not in path and not Path(path).exists():
        raise ConfigError(f"no layer {path}: there is no such file; correct the path")
    if Path(path).is_dir() and Path(path).suffix != ".gdb":
        raise ConfigError(f"{path} is a folder; name the file in it")
    try:
        if path.lower().endswith((".parquet", ".geoparquet")):
            return gpd.read_parquet(path)
        layers = pyogrio.list_layers(path)[:, 0].tolist()
        if len(layers) > 1:
            raise ConfigError(
                f"the file {path} has {len(layers)} layers: {', '.join(layers)}; save the one you mean in a "
                "file of its own"
            )
        frame = gpd.read_file(path)
    except (OSError, ValueError, DataSourceError) as error:
        raise ConfigError(f"cannot read the layer {path}: {error}") from error
    if not isinstance(frame, gpd.GeoDataFrame):
        raise ConfigError(f"the file {path} has no geometry")
    return frame


def owners(layer: Layer, lon_deg: FloatArray, lat_deg: FloatArray) -> npt.NDArray[np.int64]:
    """The feature each point lies in (edges included; the first of several), int64, -1 for none."""
    found = np.full(len(lon_deg), _NONE, np.int64)
    by_lat = np.argsort(lat_deg, kind="stable")
    west, south, east, north = shapely.bounds(layer.parts).T
    first = np.searchsorted(lat_deg[by_lat], south, side="left")
    last = np.searchsorted(lat_deg[by_lat], north, side="right")
    for i in np.flatnonzero(last > first):
        near = by_lat[first[i] : last[i]]
        lon = lon_deg[near]
        near = near[(lon >= west[i]) & (lon <= east[i]) & (found[near] == _NONE)]
        if len(near):
            shapely.prepare(layer.parts[i])
            inside = shapely.intersects_xy(layer.parts[i], lon_deg[near], lat_deg[near])
            found[near[inside]] = layer.feature[i]
    return found


def contains(layer: Layer, lon_deg: FloatArray, lat_deg: FloatArray) -> BoolArray:
    """True for points in any polygon of the layer, edges included."""
    return np.asarray(owners(layer, lon_deg, lat_deg) != _NONE)


def boxes_around(layers: Sequence[Layer]) -> list[tuple[float, float, float, float]]:
    """Boxes (west, south, east, north) of whole degrees that hold every point common to all layers.

    Neighbouring degrees of a row are one box; no layers give one box around the Earth.
    """
    if not layers:
        return [(-180.0, -90.0, 180.0, 90.0)]
    near = np.ones((180, 360), bool)
    for layer in layers:
        marked = np.zeros_like(near)
        degrees = np.floor(np.add(shapely.bounds(layer.parts), [180, 90, 180, 90])).astype(np.int64)
        for west, south, east, north in np.clip(degrees, 0, [359, 179, 359, 179]):
            marked[south : north + 1, west : east + 1] = True
        near &= marked
    edges = np.diff(near.astype(np.int8), axis=1, prepend=0, append=0)
    (rows, starts), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    return [
        (west - 180.0, south - 90.0, east - 180.0, south - 89.0)
        for south, west, east in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)
    ]


def nearest(
    layer: Layer, lon_deg: FloatArray, lat_deg: FloatArray, max_km: float
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """(feature nearest to each point or -1, its geodesic distance in km or inf), within ``max_km``.

    Longitudes are scaled by the cosine of the latitude in bands of half a degree to find the nearest polygon;
    its distance is then measured on the WGS 84 ellipsoid. Polygons across the antimeridian count.
    """
    feature = np.full(len(lon_deg), _NONE, np.int64)
    distance_km = np.full(len(lon_deg), np.inf)
    band = np.floor(lat_deg / _BAND_DEG).astype(np.int64)
    tree = shapely.STRtree(layer.parts)
    for b in np.unique(band):
        at = np.flatnonzero(band == b)
        middle = min(abs((b + 0.5) * _BAND_DEG), 89.5)
        scale = float(np.cos(np.radians(middle)))
        reach = 1.1 * max_km / _DEGREE_KM
        south, north = b * _BAND_DEG - reach, (b + 1) * _BAND_DEG + reach
        parts, owner = _around(layer, tree, (south, north), min(reach / scale, 180.0))
        if len(parts) == 0:
            continue
        near_feature, near_km = _nearest_scaled(parts, owner, lon_deg[at], lat_deg[at], scale)
        within = near_km <= max_km
        feature[at[within]], distance_km[at[within]] = near_feature[within], near_km[within]
    return feature, distance_km


def _around(
    layer: Layer, tree: shapely.STRtree, lat_deg: tuple[float, float], overlap_deg: float
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Polygons clipped to a band of latitudes, repeated ``overlap_deg`` beyond the antimeridian."""
    south, north = lat_deg
    found = np.sort(tree.query(shapely.box(-180, south, 180, north)))
    pieces, owners_ = [], []
    for west, east, shift in (
        (-180, 180, 0),
        (180 - overlap_deg, 180, -360),
        (-180, -180 + overlap_deg, 360),
    ):
        clipped = shapely.clip_by_rect(layer.parts[found], west, south, east, north)
        kept = ~shapely.is_empty(clipped)
        pieces.append(shapely.transform(clipped[kept], partial(np.add, [shift, 0])))
        owners_.append(layer.feature[found][kept])
    return np.concatenate(pieces), np.concatenate(owners_)


def _nearest_scaled(
    parts: npt.NDArray[np.object_],
    owner: npt.NDArray[np.int64],
    lon_deg: FloatArray,
    lat_deg: FloatArray,
    scale: float,
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    scaled = shapely.transform(parts, lambda c: c * (scale, 1))
    points = shapely.points(lon_deg * scale, lat_deg)
    at, part = shapely.STRtree(scaled).query_nearest(points, all_matches=True)
    # Equally near polygons: the first feature, whatever the order of the tree.
    order = np.lexsort((owner[part], at))
    at, first = np.unique(at[order], return_index=True)
    part = part[order][first]
    ends = shapely.get_coordinates(shapely.shortest_line(points, scaled[part])).reshape(-1, 2, 2)
    lon = ends[..., 0] / scale
    _, _, metres = _GEOD.inv(lon[:, 0], ends[:, 0, 1], lon[:, 1], ends[:, 1, 1])
    return owner[part], np.asarray(metres) / 1000
