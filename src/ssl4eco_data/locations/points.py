"""Locations that the user brings: a table of points with any labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.polygons import read_vector
from ssl4eco_data.types import FloatArray

_SHOWN = 5


def read_points(path: str, id_field: str = "") -> pd.DataFrame:
    """``location_id`` str, ``lon``, ``lat`` float64 degrees, then the file's other columns, in its order.

    CSV needs columns ``lon`` and ``lat``; GeoJSON, GeoParquet and other vector files may have points instead.
    ``location_id`` is the column ``id_field`` when named, else made of the coordinates
    (:func:`coordinate_ids`). Raises :class:`~ssl4eco_data.errors.ConfigError` for a missing file or column, a
    coordinate that is missing or out of range, and duplicated points or ids.
    """
    frame = _with_coordinates(path)
    lon, lat = frame["lon"].to_numpy(np.float64), frame["lat"].to_numpy(np.float64)
    _check_range(path, lon, lat)
    if not id_field:
        ids = coordinate_ids(lon, lat)
    elif id_field in frame.columns:
        ids = frame[id_field].astype(str).tolist()
    else:
        known = ", ".join(str(c) for c in frame.columns)
        raise ConfigError(f"{path} has no column {id_field!r} for the ids; its columns are: {known}")
    _check_unique(path, ids, id_field or "lon, lat (to 0.00001 degrees)")
    _check_unique(path, coordinate_ids(lon, lat), "lon, lat (to 0.00001 degrees)")
    others = frame.drop(columns=["lon", "lat", "location_id"], errors="ignore")
    start = pd.DataFrame({"location_id": pd.Series(ids, dtype="str"), "lon": lon, "lat": lat})
    return pd.concat([start, others.reset_index(drop=True)], axis=1)


def coordinate_ids(lon_deg: FloatArray, lat_deg: FloatArray) -> list[str]:
    """Ids such as ``E007.95000_N46.55000``: the coordinates to 0.00001 degrees, about a metre."""
    lon_1e5 = np.rint(lon_deg * 1e5).astype(np.int64).tolist()
    lat_1e5 = np.rint(lat_deg * 1e5).astype(np.int64).tolist()
    return [
        f"{'W' if x < 0 else 'E'}{abs(x) / 1e5:09.5f}_{'S' if y < 0 else 'N'}{abs(y) / 1e5:08.5f}"
        for x, y in zip(lon_1e5, lat_1e5, strict=True)
    ]


def _with_coordinates(path: str) -> pd.DataFrame:
    frame = _read(path)
    if isinstance(frame, gpd.GeoDataFrame):
        points, frame = frame.geometry, pd.DataFrame(frame.drop(columns=frame.geometry.name))
        if not {"lon", "lat"} <= set(frame.columns):
            if points.crs is None:
                raise ConfigError(
                    f"the points in {path} have no coordinate system; assign one and save it again"
                )
            if not (points.geom_type == "Point").all():
                raise ConfigError(f"{path} must hold points, got {', '.join(sorted(set(points.geom_type)))}")
            points = points.to_crs(4326)
            frame = frame.assign(lon=points.x, lat=points.y)
    absent = [name for name in ("lon", "lat") if name not in frame.columns]
    if absent:
        known = ", ".join(str(c) for c in frame.columns)
        raise ConfigError(f"{path} has no column {' and no column '.join(absent)}; its columns are: {known}")
    if frame.empty:
        raise ConfigError(f"{path} holds no point")
    for name in ("lon", "lat"):
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.isna().any():
            row = int(np.argmax(numbers.isna()))
            raise ConfigError(f"{path}, point {row + 1}: {name} is not a number: {frame[name].iloc[row]!r}")
        frame = frame.assign(**{name: numbers})
    return frame


def _read(path: str) -> pd.DataFrame:
    """The file as a table; a GeoDataFrame where it has a geometry."""
    if "://" not in path and not Path(path).exists():
        raise ConfigError(f"no points file {path}")
    try:
        if path.endswith((".csv", ".csv.gz")):
            table: pd.DataFrame = pd.read_csv(path)
        elif path.endswith(".parquet") and b"geo" not in (pq.read_schema(path).metadata or {}):
            table = pd.read_parquet(path)
        else:
            table = read_vector(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the points in {path}: {error}") from error
    return table


def _check_range(path: str, lon: FloatArray, lat: FloatArray) -> None:
    wrong = ~((np.abs(lon) <= 180) & (np.abs(lat) <= 90))
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    swapped = (np.abs(lon) <= 90).all() and (np.abs(lat) <= 180).all()
    hint = "; lon and lat look swapped" if swapped else ""
    raise ConfigError(
        f"{path}, point {row + 1}: lon must be in [-180, 180] and lat in [-90, 90], got lon {lon[row]}, "
        f"lat {lat[row]} ({int(wrong.sum())} such points){hint}"
    )


def _check_unique(path: str, keys: Sequence[str], what: str) -> None:
    series = pd.Series(keys)
    repeated = series[series.duplicated()].unique()
    if len(repeated):
        more = f" and {len(repeated) - _SHOWN} more" if len(repeated) > _SHOWN else ""
        raise ConfigError(
            f"{path}: points must differ in {what}; repeated: {', '.join(repeated[:_SHOWN])}{more}; "
            "keep one row of each"
        )
