"""What the page needs of a dataset folder, read once; every part but the locations may be missing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import parts_in
from ssl4eco_data.store.objects import Place, zarr_store
from ssl4eco_data.store.tables import parquet_source
from ssl4eco_data.types import SEASONS

LOCATIONS = "locations.parquet"
STRATA = "strata.parquet"
WEIGHTS = "weights.parquet"
PHENOLOGY = "phenology.parquet"
CYCLES = "phenology/cycles"
SERIES = "phenology/series"
CANDIDATES = "scenes/candidates"
CHOICES = "scenes/choices"
QUALITY = "patches/quality"
NOTES = b"ssl4eco"
"""Key of the file-level metadata of ``locations.parquet`` that says in JSON what was met on the way."""
LOCATION_COLUMNS = [
    "location_id",
    "lon",
    "lat",
    "epsg",
    "west",
    "north",
    "ecoregion",
    "biome",
    "split",
]
"""Not what the user's points brought: the page does not show it, and it may be large."""
CHOICE_COLUMNS = [
    "location_id",
    "season",
    "scene_id",
    "time",
    "days_from_middle",
    "clear_fraction",
    "snow_fraction",
    "cloud_fraction",
    "reason",
]
UNKNOWN = "unknown"
UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Tables and records of one dataset folder.

    ``locations`` has one row per location in store order, ``biome``, ``ecoregion`` and ``split`` filled with
    ``unknown`` (``split`` is empty where the table has none). ``notes`` are what the locations stage recorded
    beside them. ``strata``, ``weights`` and ``phenology`` may be empty. ``choices`` has one row per location
    and season with ``row`` (the location's row), ``found`` bool and ``reason`` (empty when found). ``runs``
    are the records of ``runs/`` in the order of their start. ``seasons`` are the labels found: the usual ones
    in their order, then others in the order of the table; ``biomes`` are the names found, commonest first.
    """

    root: Place
    config_text: str
    config: Mapping[str, Any]
    locations: pd.DataFrame
    notes: Mapping[str, Any]
    strata: pd.DataFrame
    weights: pd.DataFrame
    phenology: pd.DataFrame
    choices: pd.DataFrame
    runs: tuple[Mapping[str, Any], ...]
    seasons: tuple[str, ...]
    biomes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The dataset's name in its configuration, else its folder's."""
        return str(self.config.get("dataset", {}).get("title") or self.root.resolve().name)

    @property
    def dated(self) -> bool:
        """Whether the points brought their own dates, so that no season of the vegetation was used."""
        return bool(self.seasons) and not set(self.seasons) & set(SEASONS)


def read_dataset(root: Place, config_text: str = "") -> Dataset:
    """The dataset in a folder; ``config_text`` is its configuration, by default the one it holds.

    Raises :class:`~ssl4eco_data.errors.StoreError` when there is no ``locations.parquet`` or a file
    cannot be read.
    """
    if not (root / LOCATIONS).is_file():
        raise StoreError(f"{root} has no {LOCATIONS}; build the dataset before its report")
    locations = _plain(root / LOCATIONS, LOCATION_COLUMNS)
    for name, absent in (("biome", UNKNOWN), ("ecoregion", UNKNOWN), ("split", "")):
        if name in locations:
            locations[name] = locations[name].fillna("").astype(str).replace("", UNKNOWN)
        else:
            locations[name] = absent
    text = config_text or _text(root / "config.toml")
    choices = _choices(root, locations)
    return Dataset(
        root=root,
        config_text=text,
        config=_toml(text, root / "config.toml"),
        locations=locations,
        notes=_notes(root / LOCATIONS),
        strata=_whole(root / STRATA),
        weights=_whole(root / WEIGHTS),
        phenology=_whole(root / PHENOLOGY),
        choices=choices,
        runs=tuple(_json(path) for path in parts_in(root / "runs", ".json")),
        seasons=_seasons([str(s) for s in choices["season"].unique()]),
        biomes=_biomes(locations["biome"]),
    )


def parts(root: Place, table: str, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """The blocks of a table in order of their number, one at a time; nothing when the folder is missing.

    Columns that a file does not have are left out.
    """
    for path in parts_in(root / table, ".parquet"):
        yield _plain(path, columns)


def rows_of(root: Place, table: str, location_id: str) -> pd.DataFrame:
    """The rows of one location, from the first block that has any; empty when none has."""
    for path in parts_in(root / table, ".parquet"):
        found = _plain(path, filters=[("location_id", "==", location_id)])
        if len(found):
            return found
    return pd.DataFrame()


def open_patches(root: Place) -> zarr.Group | None:
    """The patches' Zarr group, ``None`` when there is none yet."""
    path = root / "patches.zarr" / "sentinel2"
    if not (path / "zarr.json").is_file():
        return None
    return zarr.open_group(zarr_store(path), mode="r")


def main_array(root: Place) -> zarr.Array[Any] | None:
    """``r10``, the 10 m bands ``(location, season, band, y, x)``, ``None`` when there is none yet."""
    group = open_patches(root)
    array = group["r10"] if group is not None and "r10" in group else None
    return array if isinstance(array, zarr.Array) else None


def _seasons(present: Sequence[str]) -> tuple[str, ...]:
    return tuple(s for s in SEASONS if s in present) + tuple(s for s in present if s not in SEASONS)


def _biomes(of_locations: pd.Series[str]) -> tuple[str, ...]:
    counts = of_locations.value_counts()
    return tuple(sorted(counts.index, key=lambda b: (-int(counts[b]), b)))


def _choices(root: Place, locations: pd.DataFrame) -> pd.DataFrame:
    """One row per location and season of the present locations; an unreadable patch counts as missing."""
    frames = list(parts(root, CHOICES, CHOICE_COLUMNS))
    choices = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=CHOICE_COLUMNS)
    choices["time"] = pd.to_datetime(choices["time"], utc=True)
    choices = choices.drop_duplicates(["location_id", "season"])
    rows = pd.Series(np.arange(len(locations)), index=locations["location_id"].astype(str))
    choices["row"] = choices["location_id"].astype(str).map(rows)
    choices = choices[choices["row"].notna()].astype({"row": "int64"}).reset_index(drop=True)
    choices["reason"] = choices["reason"].fillna("").astype(str)
    failed = _failed(root)
    keys = pd.MultiIndex.from_frame(choices[["location_id", "season"]].astype(str))
    choices.loc[keys.isin(failed) & choices["scene_id"].notna(), "reason"] = UNREADABLE
    choices["found"] = (choices["scene_id"].notna() & (choices["reason"] != UNREADABLE)).astype(bool)
    choices.loc[~choices["found"] & (choices["reason"] == ""), "reason"] = UNKNOWN
    choices.loc[choices["found"], "reason"] = ""
    return choices


def _failed(root: Place) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for part in parts(root, QUALITY, ("location_id", "season", "failure")):
        bad = part[part["failure"].fillna("") != ""]
        found += [(str(i), str(s)) for i, s in zip(bad["location_id"], bad["season"], strict=True)]
    return found


def _plain(
    path: Place, columns: Sequence[str] | None = None, filters: list[tuple[str, str, str]] | None = None
) -> pd.DataFrame:
    """A Parquet file without its geometry column."""
    try:
        source = parquet_source(path)
        names = pq.read_schema(source).names
        wanted = [n for n in names if n != "geometry" and (columns is None or n in columns)]
        table = pq.read_table(source, columns=wanted, filters=filters)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"cannot read {path}: {error}; build again to redo this file") from error
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return frame


def _whole(path: Place) -> pd.DataFrame:
    """A Parquet file, empty when it is not there yet."""
    return _plain(path) if path.is_file() else pd.DataFrame()


def _notes(path: Place) -> Mapping[str, Any]:
    """What the file-level metadata says, empty when it says nothing."""
    text = (pq.read_schema(parquet_source(path)).metadata or {}).get(NOTES)
    return _parsed(text.decode(), path) if text else {}


def _text(path: Place) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _toml(text: str, path: Place) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StoreError(f"{path} is not valid TOML: {error}; build again to rewrite it") from error


def _json(path: Place) -> Mapping[str, Any]:
    return _parsed(path.read_text(encoding="utf-8"), path)


def _parsed(text: str, path: Place) -> Mapping[str, Any]:
    try:
        record: Mapping[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise StoreError(
            f"{path} does not hold valid JSON: {error}; remove the file and build again"
        ) from error
    return record
