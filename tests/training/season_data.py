"""A small dataset of random patches with everything a loader reads, written through the store alone."""

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
)

SEASONS = ("spring", "summer", "autumn", "winter")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A")
SIZE_M = 160.0
PER_SHARD = 4


@dataclass(frozen=True, kw_only=True)
class SeasonData:
    """Where it lies, and what was written: pixels ``(location, season, band, y, x)`` by array."""

    root: Path
    ids: tuple[str, ...]
    present: np.ndarray
    pixels: dict[str, np.ndarray]
    times: np.ndarray


def write_season_data(
    root: Path,
    present: np.ndarray,
    *,
    splits: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    phase: bool = True,
) -> SeasonData:
    """A dataset of the seasons ``present`` ``(n, 4)``."""
    n = len(present)
    layout = Layout(
        n_locations=n,
        seasons=SEASONS,
        size_m=SIZE_M,
        bands=BANDS,
        parameters=StoreParameters(shard_locations=PER_SHARD),
    )
    rng = np.random.default_rng(0)
    top = {"uint16": 10_000, "uint8": 12}
    pixels = {a.name: rng.integers(1, top[a.dtype], (n, *a.shape[1:])).astype(a.dtype) for a in layout.arrays}
    ids = tuple(f"L{i:03d}" for i in range(n))
    times = np.datetime64("2021-01-01T10:30", "ms") + np.arange(n * 4).reshape(n, 4) * np.timedelta64(17, "D")
    create(root / "patches.zarr", layout)
    files = []
    for first in range(0, n, PER_SHARD):
        rows = slice(first, first + PER_SHARD)
        blocks = {name: values[rows] for name, values in pixels.items()}
        files += write_block(root / "patches.zarr", layout, first, blocks, present[rows])
    locations, phenology, choices = _tables(
        ids, present, times, splits or ["train"] * n, weights or [1.0] * n, phase
    )
    write_coordinates(
        root / "patches.zarr", layout, locations=locations, phenology=phenology, choices=choices
    )
    records = tuple(file_record(root, path) for path in files)
    Ledger(root).write(Mark(stage="patches", block=0, fingerprint="f", files=records))
    return SeasonData(root=root, ids=ids, present=present, pixels=pixels, times=times)


def _tables(
    ids: Sequence[str],
    present: np.ndarray,
    times: np.ndarray,
    splits: Sequence[str],
    weights: Sequence[float],
    phase: bool,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    n = len(ids)
    locations = pd.DataFrame(
        {
            "location_id": ids,
            "lon": np.linspace(-170, 170, n),
            "lat": np.linspace(-60, 60, n),
            "split": splits,
            "weight": weights,
        }
    )
    phenology = pd.DataFrame({"location_id": ids, "status": "ok"})
    places = [(i, j) for i in range(n) for j in range(4)]
    choices = pd.DataFrame(
        {
            "location_id": [ids[i] for i, _ in places],
            "season": [SEASONS[j] for _, j in places],
            "scene_id": [f"S{i}{j}" if present[i, j] else None for i, j in places],
            "time": pd.to_datetime([times[i, j] if present[i, j] else None for i, j in places], utc=True),
            "reason": ["" if present[i, j] else "all_cloudy" for i, j in places],
        }
    )
    if phase:
        choices["cycle_phase"] = [j / 4 + 0.01 if i else np.nan for i, j in places]
    return locations, phenology, choices
