"""Locations that the user brings: a table of points with any labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.columns import as_text, check_columns, read_csv, typed
from ssl4eco_data.locations.land import on_land
from ssl4eco_data.locations.polygons import read_vector
from ssl4eco_data.types import FloatArray

ID = "location_id"
_SHOWN = 5
_FEWEST, _MOSTLY_SEA, _MOSTLY_LAND = 3, 0.75, 0.9


def read_points(path: str, id_field: str = "", date_fields: Sequence[str] = ()) -> pd.DataFrame:
    """``location_id`` str, ``lon``, ``lat`` float64 degrees, then the file's other columns, in its order.

    CSV needs columns ``lon`` and ``lat``; GeoJSON, GeoParquet and other vector files may have points instead.
    ``location_id`` is the column ``id_field``, without one a column of that name, else made of the
    coordinates (:func:`coordinate_ids`). ``date_fields`` become datetime64 (UTC days, NaT where empty); other
    columns are as :func:`~ssl4eco_data.locations.columns.typed` says. Raises
    :class:`~ssl4eco_data.errors.ConfigError` for a missing file or column, a coordinate that is missing or
    out of range, duplicated points or ids, and text that is no date.
    """
    frame = _with_coordinates(path)
    lon, lat = frame["lon"].to_numpy(np.float64), frame["lat"].to_numpy(np.float64)
    _check_range(path, lon, lat)
    check_columns(path, frame, date_fields)
    places = coordinate_ids(lon, lat)
    _check_unique(path, places, "lon, lat (to 0.00001 degrees)")
    field = id_field or (ID if ID in frame.columns else "")
    ids = _ids(path, frame, field) if field else places
    others = typed(path, frame.drop(columns=["lon", "lat", ID], errors="ignore"), date_fields)
    start = pd.DataFrame({ID: pd.Series(ids, dtype="str"), "lon": lon, "lat": lat})
    return pd.concat([start, others.reset_index(drop=True)], axis=1)


def _ids(path: str, frame: pd.DataFrame, field: str) -> list[str]:
    check_columns(path, frame, [field])
    ids = as_text(frame[field])
    if ids.isna().any():
        raise ConfigError(
            f"{path}, point {int(np.argmax(ids.isna())) + 1}: {field} is empty, and it is the id"
        )
    _check_unique(path, ids.tolist(), field)
    return [str(name) for name in ids]


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
            kinds = sorted(set(points.geom_type.fillna("nothing")) - {"Point"})
            if kinds or points.is_empty.any():
                raise ConfigError(f"{path} must hold one point a row, got {', '.join(kinds) or 'empty ones'}")
            points = points.to_crs(4326)
            frame = frame.assign(lon=points.x, lat=points.y)
    check_columns(path, frame, ["lon", "lat"])
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
    kind = path.lower()
    try:
        if kind.endswith((".csv", ".csv.gz")):
            table = read_csv(path)
        elif kind.endswith(".parquet") and b"geo" not in (pq.read_schema(path).metadata or {}):
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


def check_order(path: str, lon_deg: FloatArray, lat_deg: FloatArray) -> None:
    """Refuse points that look as if lon and lat were exchanged: at sea as they are, on land the other way.

    Coordinates of most of Africa, Europe and the Near East are in range either way. At least three points
    must speak for it. Raises :class:`~ssl4eco_data.errors.ConfigError`.
    """
    if len(lon_deg) < _FEWEST or (np.abs(lon_deg) > 90).any():
        return
    as_given, exchanged = on_land(lon_deg, lat_deg).mean(), on_land(lat_deg, lon_deg).mean()
    if as_given < _MOSTLY_SEA and exchanged > _MOSTLY_LAND:
        raise ConfigError(
            f"{path}: lon and lat look exchanged: {as_given:.0%} of the {len(lon_deg)} points lie on land, "
            f"{exchanged:.0%} the other way round; rename the columns, or if they are right set "
            "locations.source.check_order = false"
        )


def _check_unique(path: str, keys: Sequence[str], what: str) -> None:
    series = pd.Series(keys)
    repeated = series[series.duplicated()].unique()
    if len(repeated):
        more = f" and {len(repeated) - _SHOWN} more" if len(repeated) > _SHOWN else ""
        raise ConfigError(
            f"{path}: points must differ in {what}; repeated: {', '.join(repeated[:_SHOWN])}{more}; "
            "keep one row of each, or choose columns that tell them apart"
        )
