"""The gallery: every season of some locations, in true colour and colour infrared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import zarr

from ssl4eco_data.bands import bands_at
from ssl4eco_data.report.dataset import Dataset, main_array
from ssl4eco_data.report.images import INFRARED, TRUE_COLOUR, composite, webp
from ssl4eco_data.report.select import fair

MAX_LOCATIONS = 60
MAX_PATCHES = 240
SIDE_PX = 128
"""240 patches in two renderings of 128 px stay below 6 MB of text even when they hold nothing but noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One season of one location: two images, or the reason there is none."""

    season: str
    date: str = ""
    days_from_middle: int | None = None
    clear_fraction: float | None = None
    snow_fraction: float | None = None
    true_colour: str = ""
    infrared: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One location of the gallery."""

    location_id: str
    biome: str
    ecoregion: str
    lat_deg: float
    lon_deg: float
    split: str
    seasons: tuple[Thumbnail, ...]


def gallery(data: Dataset) -> list[Place]:
    """Some locations with at least one patch, evenly over biomes and ground; empty without patches."""
    array = main_array(data.root)
    rows = sorted(set(data.choices.loc[data.choices["found"], "row"]))
    if array is None or not rows or not data.seasons:
        return []
    bands = labels_of(array, "bands", bands_at(10))
    if not {band for band, _ in (*TRUE_COLOUR, *INFRARED)} <= set(bands):
        return []
    limit = min(MAX_LOCATIONS, max(1, MAX_PATCHES // len(data.seasons)))
    chosen = fair(data.locations["biome"].iloc[rows].tolist(), limit)
    return [_place(data, array, bands, rows[i]) for i in chosen]


def labels_of(array: zarr.Array[Any], name: str, usual: Sequence[str]) -> tuple[str, ...]:
    """Names along an axis from the array's attribute ``name`` (``bands``, ``seasons``), else ``usual``."""
    named = array.attrs.get(name)
    return tuple(map(str, named)) if isinstance(named, list) and named else tuple(usual)


def _place(data: Dataset, array: zarr.Array[Any], bands: tuple[str, ...], row: int) -> Place:
    location = data.locations.iloc[row]
    choices = {c["season"]: c for c in data.choices[data.choices["row"] == row].to_dict("records")}
    seasons = tuple(
        _thumbnail(season, choices[season], array, bands, (row, place))
        for place, season in enumerate(labels_of(array, "seasons", data.seasons))
        if season in choices
    )
    return Place(
        location_id=str(location["location_id"]),
        biome=str(location["biome"]),
        ecoregion=str(location["ecoregion"]),
        lat_deg=float(location["lat"]),
        lon_deg=float(location["lon"]),
        split=str(location["split"]) if "split" in location else "",
        seasons=seasons,
    )


def _thumbnail(
    season: str,
    choice: Mapping[Any, Any],
    array: zarr.Array[Any],
    bands: tuple[str, ...],
    index: tuple[int, int],
) -> Thumbnail:
    if not choice["found"]:
        return Thumbnail(season=season, reason=str(choice["reason"]).replace("_", " "))
    patch = np.asarray(array[index])
    return Thumbnail(
        season=season,
        date=f"{choice['time']:%Y-%m-%d}",
        days_from_middle=None if pd.isna(choice["days_from_middle"]) else int(choice["days_from_middle"]),
        clear_fraction=_fraction(choice["clear_fraction"]),
        snow_fraction=_fraction(choice["snow_fraction"]),
        true_colour=webp(composite(patch, bands, TRUE_COLOUR), SIDE_PX),
        infrared=webp(composite(patch, bands, INFRARED), SIDE_PX),
    )


def _fraction(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
