"""A dataset from all over the globe whose pixels tell biome and season, written through the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ssl4eco_data.store import Layout, StoreParameters, create, write_block, write_coordinates

SEASONS = ("spring", "summer", "autumn", "winter")
BIOMES = ("Boreal Forests", "Deserts", "Tropical Forests")
BANDS = ("B02", "B03", "B04", "B05", "B08", "B8A")
N_LOCATIONS, N_TRAIN = 72, 12
LACKS = (20, 1)
"""A location and season without a patch."""
PER_SHARD = 8


def build_globe(root: Path, seed: int = 0, *, source: str = "own", days_later: int = 0) -> pd.DataFrame:
    """Write it; its table of locations, whose places and names come from the seed.

    The first ``N_TRAIN`` are of the split train, the others val. ``source`` is that of the season windows;
    the images are of ``days_later``.
    """
    located, phenology = _tables(seed)
    phenology["source"] = source
    layout = Layout(
        n_locations=N_LOCATIONS,
        seasons=SEASONS,
        size_m=320.0,
        bands=BANDS,
        parameters=StoreParameters(shard_locations=PER_SHARD),
    )
    present = np.ones((N_LOCATIONS, len(SEASONS)), dtype=bool)
    present[LACKS] = False
    create(root / "patches.zarr", layout)
    for start in range(0, N_LOCATIONS, PER_SHARD):
        rows = slice(start, start + PER_SHARD)
        blocks = {
            a.name: _pixels(a.name, a.shape[1:], a.dtype, located.iloc[rows], days_later)
            for a in layout.arrays
        }
        write_block(root / "patches.zarr", layout, start, blocks, present[rows])
    choices = _choices(located, present)
    choices["time"] += pd.Timedelta(days=days_later)
    write_coordinates(root / "patches.zarr", layout, locations=located, phenology=phenology, choices=choices)
    return located


def _tables(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    biome = np.arange(N_LOCATIONS) % len(BIOMES)
    names = [f"{'GHIJ'[seed]}{i:03d}" for i in range(N_LOCATIONS)]
    located = pd.DataFrame(
        {
            "location_id": names,
            "lon": rng.uniform(-180, 180, N_LOCATIONS),
            "lat": np.array([60.0, 25.0, 0.0])[biome] + rng.uniform(-8, 8, N_LOCATIONS),
            "epsg": np.full(N_LOCATIONS, 32631, dtype=np.int32),
            "west": np.full(N_LOCATIONS, 500_000.0),
            "north": np.full(N_LOCATIONS, 5_600_000.0),
            "biome": pd.Series(np.array(BIOMES)[biome], dtype="str"),
            "ecoregion": pd.Series(["none"] * N_LOCATIONS, dtype="str"),
            "split": pd.Series(["train"] * N_TRAIN + ["val"] * (N_LOCATIONS - N_TRAIN), dtype="str"),
        }
    )
    days = np.array([140.0, 330.0, 60.0])[biome] + rng.uniform(-5, 5, N_LOCATIONS)
    days[40] = np.nan
    phenology = pd.DataFrame(
        {"location_id": names, "status": "ok", "greenup_day": days, "greenup_mad": 2.0, "source": "own"}
    )
    return located, phenology


def _pixels(name: str, shape: tuple[int, ...], dtype: str, rows: pd.DataFrame, days_later: int) -> np.ndarray:
    """``(n, season, band, y, x)``: the biome in one pair of bands, the season in the brightness."""
    rng = np.random.default_rng([*name.encode(), rows.index[0], *([days_later] if days_later else [])])
    if dtype != "uint16":
        return np.full((len(rows), *shape), 4, dtype=dtype)
    biome = np.array([BIOMES.index(one) for one in rows["biome"]])
    level = 800.0 + 900 * np.arange(len(SEASONS))[None, :, None] + 700 * np.arange(shape[1])[None, None, :]
    level = level * (1 + 0.5 * ((np.arange(shape[1])[None, :] + biome[:, None]) % len(BIOMES)))[:, None, :]
    noise = rng.normal(0, 60, (len(rows), *shape))
    return np.clip(level[..., None, None] + noise, 1, 20_000).astype(dtype)


def _choices(located: pd.DataFrame, present: np.ndarray) -> pd.DataFrame:
    rows = []
    for i, location in enumerate(located["location_id"]):
        for j, season in enumerate(SEASONS):
            there = bool(present[i, j])
            time = pd.Timestamp(2020, 1 + 3 * j, 10, tz="UTC") + pd.Timedelta(hours=i) if there else pd.NaT
            origin = (499_960.0, 5_600_020.0) if there else (np.nan, np.nan)
            scene = f"S2_{i}{j}" if there else None
            rows.append((location, season, scene, time, 0.9, "" if there else "all_cloudy", *origin))
    names = ["location_id", "season", "scene_id", "time", "clear_fraction", "reason", "west_60m", "north_60m"]
    return pd.DataFrame(rows, columns=names)
