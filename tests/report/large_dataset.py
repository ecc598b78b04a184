"""A made-up dataset folder of any size, in blocks as a build writes them; only its gallery holds pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from fabricated_dataset import OFFSETS, PLACES, fabricate

from ssl4eco_data.report.biomes import RESOLVE
from ssl4eco_data.report.gallery import MAX_LOCATIONS
from ssl4eco_data.report.maps import View, land_mask
from ssl4eco_data.report.select import fair
from ssl4eco_data.types import SEASONS

BLOCK = 25_000
ECOREGIONS = 846
WORLD = View(west_deg=-180, south_deg=-60, east_deg=180, north_deg=84)


def fabricate_large(root: Path, count: int) -> Path:
    """``count`` locations on land in all 14 biomes; the first have curves, gallery images are noise."""
    rng = np.random.default_rng(11)
    fabricate(root)
    (root / "config.toml").write_text(
        '[dataset]\ntitle = "Large"\n\n[locations.source]\nkind = "grid"\nspacing_km = 23.0\n'
    )
    located = _located(count, rng)
    located.to_parquet(root / "locations.parquet", index=False)
    _strata(located).to_parquet(root / "strata.parquet", index=False)
    _phenology(located, rng).to_parquet(root / "phenology.parquet", index=False)
    choices = _choices(located, rng)
    for block in range(-(-count // BLOCK)):
        rows = choices.iloc[4 * BLOCK * block : 4 * BLOCK * (block + 1)]
        rows.to_parquet(root / f"scenes/choices/{block:05d}.parquet", index=False)
        verdicts = pd.DataFrame(
            {
                "scene_cloud_fraction": rng.beta(0.5, 0.6, 4 * len(rows)),
                "judged": rng.random(4 * len(rows)) < 0.4,
                "cloud_fraction": rng.beta(0.3, 0.9, 4 * len(rows)),
                "verdict": rng.choice(["chosen", "cloudy", "scene_cloudy", "not_judged"], 4 * len(rows)),
            }
        )
        verdicts.to_parquet(root / f"scenes/candidates/{block:05d}.parquet", index=False)
    _patches(root, located, choices, rng)
    return root


def _located(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Along rows of land cells, five degrees high, there and back."""
    land = np.argwhere(land_mask(WORLD))
    y, x = land[rng.integers(0, len(land), count)].T
    lat = WORLD.north_deg - (y + rng.random(count)) * WORLD.height_deg / land_mask(WORLD).shape[0]
    lon = WORLD.west_deg + (x + rng.random(count)) * WORLD.width_deg / land_mask(WORLD).shape[1]
    band = np.floor(lat / 5).astype(int)
    order = np.lexsort((np.where(band % 2, lon, -lon), band))
    lat, lon = lat[order], lon[order]
    zone = np.clip((np.abs(lat) / 70 * len(RESOLVE) + rng.normal(0, 0.4, count)).astype(int), 0, 13)
    return pd.DataFrame(
        {
            # the first ones have the vegetation series of the small dataset
            "location_id": [p.location_id for p in PLACES] + [f"p{i}" for i in range(len(PLACES), count)],
            "lon": lon,
            "lat": lat,
            "epsg": np.int32(32633),
            "west": 500_000.0,
            "north": 5_600_000.0,
            "ecoregion": [f"Ecoregion {i}" for i in (zone * 60 + np.floor(lon / 6)).astype(int) % ECOREGIONS],
            "biome": np.array(RESOLVE)[zone],
            "split": rng.choice(["train", "val", "test", "buffer"], count, p=[0.8, 0.05, 0.05, 0.1]),
        }
    )


def _strata(located: pd.DataFrame) -> pd.DataFrame:
    got = located["ecoregion"].value_counts()
    available = (got.to_numpy() * np.linspace(1, 6, len(got))).astype(int)
    return pd.DataFrame(
        {"stratum": got.index, "available": available, "asked": got.to_numpy(), "got": got.to_numpy()}
    )


def _phenology(located: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    start = OFFSETS["greenup"] + located["lat"].abs() + np.where(located["lat"] < 0, 182, 0)
    start += rng.normal(0, 12, len(located))
    own = rng.random(len(located)) < 0.8
    columns = {"location_id": located["location_id"], "status": np.where(own, "ok", "no_cycle")}
    columns["source"] = np.where(own, "own", "neighbour")
    for season, days in zip(SEASONS, (0, 50, 130, 205), strict=True):
        columns[f"{season}_start_day"] = start + days
        columns[f"{season}_end_day"] = start + {0: 50, 50: 130, 130: 205, 205: 365.2425}[days]
    return pd.DataFrame(columns)


def _choices(located: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = 4 * len(located)
    found = rng.random(rows) < 0.95
    days = rng.integers(0, 6 * 365, rows)
    time = pd.Series(pd.Timestamp("2017-06-01", tz="UTC") + pd.to_timedelta(days, unit="D"))
    return pd.DataFrame(
        {
            "location_id": np.repeat(located["location_id"].to_numpy(), 4),
            "season": np.tile(SEASONS, len(located)),
            "scene_id": pd.Series([f"S{i}" for i in range(rows)]).where(found, None),
            "time": time.where(found),
            "days_from_middle": pd.Series(rng.integers(-40, 40, rows), dtype="Int16").where(found),
            "clear_fraction": np.where(found, 0.97, np.nan),
            "snow_fraction": np.where(found, 0.0, np.nan),
            "cloud_fraction": np.where(found, rng.beta(0.4, 9, rows), np.nan),
            "reason": np.where(found, "", rng.choice(["all_cloudy", "all_low_sun", "no_candidates"], rows)),
        }
    )


def _patches(root: Path, located: pd.DataFrame, choices: pd.DataFrame, rng: np.random.Generator) -> None:
    array = zarr.open_group(root / "patches.zarr" / "sentinel2", mode="w").create_array(
        "r10",
        shape=(len(located), 4, 4, 128, 128),
        chunks=(1, 4, 4, 128, 128),
        dtype="uint16",
        fill_value=0,
    )
    rows = np.flatnonzero(choices["scene_id"].notna().to_numpy().reshape(-1, 4).any(axis=1))
    for place in fair(located["biome"].iloc[rows].tolist(), MAX_LOCATIONS):
        array[rows[place]] = rng.integers(300, 4000, (4, 4, 128, 128), dtype=np.uint16)
