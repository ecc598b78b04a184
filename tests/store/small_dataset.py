"""A small dataset written through the store alone, with the tables and ledger that its check compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ssl4eco_data.store import (
    Layout,
    Ledger,
    Mark,
    StoreParameters,
    create,
    file_record,
    write_block,
    write_coordinates,
    write_table,
)
from ssl4eco_data.types import BoolArray

SEASONS = ("spring", "summer", "autumn", "winter")
PER_SHARD = 2
EMPTY_ROW = 3
"""A location without any patch."""
BIOMES = ("Deserts & Xeric Shrublands", "Mangroves", "", None, "Mangroves")


@dataclass(frozen=True, kw_only=True)
class Small:
    """Where the dataset is and what was written into it."""

    root: Path
    layout: Layout
    ids: tuple[str, ...]
    pixels: dict[str, np.ndarray]
    present: BoolArray


def small_layout(n_locations: int = 5, **changes: object) -> Layout:
    values = {
        "n_locations": n_locations,
        "seasons": SEASONS,
        "size_m": 160.0,
        "bands": ("B01", "B02", "B03", "B04", "B05", "B08"),
        "parameters": StoreParameters(shard_locations=PER_SHARD),
        **changes,
    }
    return Layout(**values)  # type: ignore[arg-type]


def random_pixels(layout: Layout, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    top = {"uint16": 10_000, "uint8": 12}
    return {a.name: rng.integers(0, top[a.dtype], (n, *a.shape[1:])).astype(a.dtype) for a in layout.arrays}


def build_small(root: Path, layout: Layout | None = None) -> Small:
    layout = layout or small_layout()
    ids = tuple(f"L{i}ü" for i in range(layout.n_locations))
    present = np.random.default_rng(1).random((len(ids), len(SEASONS))) < 0.6
    present[0, :2] = True
    present[EMPTY_ROW] = False
    pixels = random_pixels(layout, len(ids))
    small = Small(root=root, layout=layout, ids=ids, pixels=pixels, present=present)
    create(root / "patches.zarr", layout)
    located, choices = tables(small)
    write_table(root / "locations.parquet", located)
    for block, first in enumerate(range(0, len(ids), PER_SHARD)):
        write_small_block(small, block, slice(first, first + PER_SHARD), choices)
    write_coordinates(
        root / "patches.zarr", layout, locations=located, phenology=phenology(small), choices=choices
    )
    return small


def write_small_block(
    small: Small, block: int, rows: slice, choices: pd.DataFrame, fingerprint: str = "f"
) -> None:
    """Tables, shards, then the mark of a block."""
    here = choices[choices["location_id"].isin(small.ids[rows])]
    write_table(small.root / f"scenes/choices/{block:05d}.parquet", here.drop(columns="failure"))
    quality = small.root / f"patches/quality/{block:05d}.parquet"
    write_table(quality, here.dropna(subset=["scene_id"])[["location_id", "season", "failure"]])
    blocks = {name: values[rows] for name, values in small.pixels.items()}
    shards = write_block(small.root / "patches.zarr", small.layout, rows.start, blocks, small.present[rows])
    files = tuple(file_record(small.root, path) for path in (*shards, quality))
    Ledger(small.root).write(Mark(stage="patches", block=block, fingerprint=fingerprint, files=files))


def tables(small: Small, biomes: Sequence[str | None] = BIOMES) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(locations, choices with ``failure``); the first absent season was chosen and could not be read."""
    n = len(small.ids)
    located = pd.DataFrame(
        {
            "location_id": small.ids,
            "lon": np.linspace(3, 4, n),
            "lat": np.linspace(50, 51, n),
            "epsg": np.full(n, 32631, dtype=np.int32),
            "west": 500_000.0 + 1000 * np.arange(n),
            "north": np.full(n, 5_600_000.0),
            "biome": pd.Series(biomes, dtype="str"),
            "split": pd.Series(["train"] * n, dtype="str"),
        }
    )
    rows = []
    failed = tuple(np.argwhere(~small.present)[0])
    for i, location in enumerate(small.ids):
        for j, season in enumerate(SEASONS):
            chosen, broken = bool(small.present[i, j]), (i, j) == failed
            origin = (500_000.0 + 1000 * i - 40, 5_600_000.0 + 20) if chosen else (np.nan, np.nan)
            rows.append(
                (
                    location,
                    season,
                    f"S2_{i}{j}" if chosen or broken else None,
                    pd.Timestamp(2020, 1 + i, 1 + j, 10, 30, tz="UTC") if chosen or broken else pd.NaT,
                    0.9 if chosen else np.nan,
                    "" if chosen or broken else "all_cloudy",
                    *origin,
                    "no such file" if broken else "",
                )
            )
    columns = [
        "location_id",
        "season",
        "scene_id",
        "time",
        "clear_fraction",
        "reason",
        "west_60m",
        "north_60m",
        "failure",
    ]
    return located, pd.DataFrame(rows, columns=columns)


def phenology(small: Small) -> pd.DataFrame:
    """In another order than the locations."""
    days = 100.0 + np.arange(len(small.ids))
    table = pd.DataFrame(
        {"location_id": small.ids, "status": "ok", "greenup_day": days, "greenup_mad": 2.0, "source": "own"}
    )
    return table.iloc[::-1]
