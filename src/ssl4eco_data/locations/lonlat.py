"""Polygons of any system in longitude and latitude, cut at the antimeridian and closed at the poles."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import antimeridian
import numpy as np
import numpy.typing as npt
import pyproj
import shapely

from ssl4eco_data.errors import ConfigError

Polygons = npt.NDArray[np.object_]
IntArray = npt.NDArray[np.int64]
_SEGMENT_M = 10_000.0
"""Edges of projected layers are followed this closely; between such points straight lines differ little."""
_HALF_TURN, _FARTHEST_DEG, _TOLERANCE_DEG = 180.0, 540.0, 1e-6


def as_lonlat(path: str, parts: Polygons, feature: IntArray, crs: pyproj.CRS) -> tuple[Polygons, IntArray]:
    """(polygons in EPSG:4326 within [-180, 180], the feature of each), from single polygons in ``crs``.

    Longitudes beyond 180 degrees go on at the other side. Edges of a projected layer are straight lines of
    its projection; polygons across the antimeridian are cut there and those around a pole reach to it
    (package antimeridian). Raises :class:`~ssl4eco_data.errors.ConfigError` for coordinates that its
    system cannot have; ``path`` names the layer.
    """
    if crs.is_geographic:
        moved = _transformed(parts, crs)
    else:
        unit_m = crs.axis_info[0].unit_conversion_factor
        dense = shapely.segmentize(shapely.orient_polygons(parts), _SEGMENT_M / unit_m)
        moved = _closed(_transformed(dense, crs))
    _check_range(path, moved, crs)
    return _turned(moved, feature)


def _transformed(parts: Polygons, crs: pyproj.CRS) -> Polygons:
    to_lonlat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    moved: Polygons = shapely.transform(parts, lambda xy: np.column_stack(to_lonlat.transform(*xy.T)))
    return moved


def _closed(parts: Polygons) -> Polygons:
    """Mended where an edge jumps from one side of the map to the other; exteriors turn left."""
    closed = parts.copy()
    for i, part in enumerate(parts):
        rings = [part.exterior, *part.interiors]
        if any(np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])).max() > _HALF_TURN for ring in rings):
            closed[i] = antimeridian.fix_polygon(part, fix_winding=False)
    return closed


def _check_range(path: str, parts: Polygons, crs: pyproj.CRS) -> None:
    lon, lat = shapely.get_coordinates(parts).T
    wrong = ~((np.abs(lon) <= _FARTHEST_DEG) & (np.abs(lat) <= 90 + _TOLERANCE_DEG))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ConfigError(
            f"the layer {path} has coordinates that {crs.name} cannot have, such as {lon[i]:g}, {lat[i]:g} "
            "degrees: its coordinate system is stated wrongly, or features are damaged"
        )


def _turned(parts: Polygons, feature: IntArray) -> tuple[Polygons, IntArray]:
    """Single valid polygons in [-180, 180]."""
    pieces, owners = [], []
    for shift in (0.0, -2 * _HALF_TURN, 2 * _HALF_TURN):
        west, _, east, _ = shapely.bounds(parts).T if len(parts) else np.empty((4, 0))
        there = np.flatnonzero((west + shift < _HALF_TURN) & (east + shift > -_HALF_TURN))
        piece = shapely.transform(parts[there], partial(np.add, [shift, 0.0])) if shift else parts[there]
        out = (west[there] + shift < -_HALF_TURN) | (east[there] + shift > _HALF_TURN)
        piece[out] = shapely.clip_by_rect(
            shapely.make_valid(piece[out]), -_HALF_TURN, -math.inf, _HALF_TURN, math.inf
        )
        pieces.append(piece)
        owners.append(feature[there])
    return single_polygons(np.concatenate(pieces), np.concatenate(owners))


def single_polygons(geometries: npt.NDArray[Any], feature: IntArray) -> tuple[Polygons, IntArray]:
    """(single valid polygons of mixed geometries, the feature of each); lines and points are left out."""
    broken = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    geometries = geometries.copy()
    geometries[broken] = shapely.make_valid(geometries[broken])
    parts, row = shapely.get_parts(geometries, return_index=True)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts, inner = shapely.get_parts(parts, return_index=True)
        row = row[inner]
    polygon = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    return parts[polygon], feature[row[polygon]]
