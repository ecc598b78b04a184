"""All that is known of patches as one table of text and numbers, as R and spreadsheets read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from ssl4eco_data.store import Place, read_table

KEYS = ("location_id", "season", "date", "day_of_year", "time", "scene_id", "reason")
"""The first columns; the others of a season follow, then those of a location."""


def patch_table(root: Place, chosen: xr.Dataset) -> pd.DataFrame:
    """One row per location and season of ``chosen``, in their order, also where there is no patch.

    ``location_id``, ``season``, ``date`` (ISO 8601) and ``day_of_year`` (1 to 366) of the image, ``time``
    (ISO 8601, UTC), ``scene_id`` and ``reason`` (one of them is empty), then every other fact of the season
    and of the location, with the user's own columns of ``locations.parquet`` below ``root`` where it is
    there. Times are text, empty where there is none.
    """
    n_locations, n_seasons = chosen.sizes["location"], chosen.sizes["season"]
    seasonal: dict[str, Any] = {}
    local: dict[str, Any] = {}
    for name, variable in chosen.coords.items():
        if variable.dims == ("location", "season"):
            seasonal[str(name)] = _plain(variable.to_numpy().reshape(-1))
        elif variable.dims == ("location",) and name not in ("location", "location_id"):
            local[str(name)] = np.repeat(_plain(variable.to_numpy()), n_seasons)
    for name, values in _own_columns(root, chosen["location"].to_numpy(), {*seasonal, *local}).items():
        local[name] = np.repeat(values, n_seasons)
    time = chosen["time"].to_numpy().reshape(-1)
    facts = {
        **seasonal,
        "location_id": np.repeat(chosen["location"].to_numpy(), n_seasons),
        "season": np.tile(chosen["season"].to_numpy(), n_locations),
        "date": _dates(time),
        "day_of_year": pd.Series(time).dt.day_of_year.astype("Int16"),
    }
    order = [*KEYS, *(name for name in seasonal if name not in KEYS)]
    return pd.DataFrame({name: facts[name] for name in order} | local)


def csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as CSV: UTF-8, commas, a header, missing values empty."""
    return str(table.to_csv(index=False, lineterminator="\n")).encode()


def file_names(table: pd.DataFrame, suffixes: Sequence[str]) -> dict[str, list[str]]:
    """For each suffix a column ``file<suffix>``: the file of each patch, empty where there is none."""
    stems = [
        f"cogs/{safe_name(location)}/{safe_name(location)}_{safe_name(season)}" if scene else ""
        for location, season, scene in zip(
            table["location_id"], table["season"], table["scene_id"], strict=True
        )
    ]
    return {f"file{suffix}": [f"{stem}{suffix}.tif" if stem else "" for stem in stems] for suffix in suffixes}


def safe_name(label: str) -> str:
    """A name for a file: letters, digits and ``_.-~`` stay, all else is percent-encoded UTF-8.

    Different labels give different names; a dot in front is encoded too.
    """
    encoded = quote(label, safe="")
    return f"%2E{encoded[1:]}" if encoded.startswith(".") else encoded


def _own_columns(root: Place, ids: npt.NDArray[Any], taken: set[str]) -> dict[str, npt.NDArray[Any]]:
    """The columns of ``locations.parquet`` that the store has not, for these locations."""
    path = root / "locations.parquet"
    if not path.is_file():
        return {}
    located = read_table(path).drop(columns="geometry", errors="ignore")
    located = located.set_index(located["location_id"].astype(str)).drop(columns="location_id").loc[ids]
    own = {str(name): located[name] for name in located if name not in taken}
    reserved = {*KEYS, "file"}
    return {f"{n}_given" if n in reserved else n: _plain(_numpy(v)) for n, v in own.items()}


def _numpy(column: pd.Series[Any]) -> npt.NDArray[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.astype(object).to_numpy()


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Times as ISO 8601 text in UTC, everything else as it is."""
    if values.dtype.kind != "M":
        return values
    text = np.datetime_as_string(values, unit="s").astype(object) + "Z"
    text[np.isnat(values)] = ""
    return text


def _dates(time: npt.NDArray[np.datetime64]) -> npt.NDArray[Any]:
    text = np.datetime_as_string(time, unit="D").astype(object)
    text[np.isnat(time)] = ""
    return text
