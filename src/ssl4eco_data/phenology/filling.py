"""Season windows for locations without a cycle: the nearest location's, or the calendar's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial import cKDTree

from ssl4eco_data.phenology.date_rules import CALENDAR
from ssl4eco_data.phenology.parameters import PhenologyParameters
from ssl4eco_data.phenology.windows import calendar_windows, flatten, window_columns
from ssl4eco_data.types import EARTH_RADIUS_KM, FloatArray

TIE_KM = 1e-3
TIES_AT_MOST = 16


def fill_windows(
    windows: pd.DataFrame,
    lon: npt.NDArray[np.floating],
    lat: npt.NDArray[np.floating],
    parameters: PhenologyParameters,
) -> pd.DataFrame:
    """``windows`` with every season dated, and the columns ``source``, ``source_id``, ``source_distance_km``.

    A location with status ``no_cycle`` or ``no_data`` takes the season windows (not the dates) of the
    nearest one with a cycle (``neighbour``): great circle, same side of the equator, at most
    ``fill_distance_km``; equal distances go to the smaller location id. Beyond that, and everywhere under
    the calendar rule, it takes the calendar quarters of its hemisphere (``calendar``: no source id, distance
    NaN). Its own windows are ``own``, with its own id at distance 0. ``lon``, ``lat`` in degrees, one per
    row; else ``ValueError``.
    """
    if not len(windows) == len(lon) == len(lat):
        raise ValueError(
            f"need one lon and lat per row, got {len(windows)} rows, {len(lon)} lon, {len(lat)} lat"
        )
    filled = windows.reset_index(drop=True).copy()
    own = filled["status"].isin(["ok", "low_confidence"]).to_numpy()
    donor, distance = np.arange(len(filled)), np.zeros(len(filled))
    if parameters.date_rule == CALENDAR:
        own = np.zeros(len(filled), dtype=np.bool_)
        donor[:] = -1
    else:
        donor, distance = _nearest(
            filled["location_id"].to_numpy(), own, _unit(lon, lat), np.asarray(lat) < 0
        )
        donor[distance > parameters.fill_distance_km] = -1
    columns = window_columns()
    table = filled[columns].to_numpy(dtype=np.float64)
    calendar = {
        south: list(flatten(calendar_windows(-1.0 if south else 1.0)).values()) for south in (False, True)
    }
    quarters = np.array([calendar[bool(south)] for south in np.asarray(lat) < 0]).reshape(-1, len(columns))
    filled[columns] = np.where((donor >= 0)[:, None], table[donor], quarters)
    filled["source"] = np.where(donor < 0, "calendar", np.where(own, "own", "neighbour")).astype(object)
    filled["source"] = filled["source"].astype("str")
    ids = filled["location_id"].to_numpy()
    filled["source_id"] = pd.Series([ids[d] if d >= 0 else None for d in donor], dtype="str")
    filled["source_distance_km"] = np.where(donor < 0, np.nan, distance)
    return filled


def _unit(lon: npt.NDArray[np.floating], lat: npt.NDArray[np.floating]) -> FloatArray:
    """(n, 3) unit vectors of positions in degrees."""
    x, y = np.radians(np.asarray(lon, dtype=np.float64)), np.radians(np.asarray(lat, dtype=np.float64))
    return np.column_stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)])


def _nearest(
    ids: npt.NDArray[np.object_], own: npt.NDArray[np.bool_], places: FloatArray, south: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Row of the nearest own-dated location on the same side of the equator (-1 for none), and km to it."""
    donor = np.where(own, np.arange(len(ids)), -1)
    distance = np.where(own, 0.0, np.inf)
    for side in (False, True):
        donors = np.flatnonzero(own & (south == side))
        needy = np.flatnonzero(~own & (south == side))
        if donors.size == 0 or needy.size == 0:
            continue
        donors = donors[np.argsort(ids[donors].astype(str), kind="stable")]
        count = min(TIES_AT_MOST, donors.size)
        chord, which = cKDTree(places[donors]).query(places[needy], k=np.arange(1, count + 1))
        km = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))
        tied = km <= km[:, :1] + TIE_KM
        chosen = np.where(tied, which, donors.size).min(axis=1)
        donor[needy], distance[needy] = donors[chosen], km[:, 0]
    return donor, distance
