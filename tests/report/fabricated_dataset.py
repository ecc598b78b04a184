"""A small made-up dataset folder, laid out as in docs/architecture.md, for the tests of the page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from ssl4eco_data.types import METRICS, SEASONS

OFFSETS = {
    "greenup": 100,
    "mid_greenup": 125,
    "maturity": 150,
    "peak": 190,
    "senescence": 230,
    "mid_greendown": 270,
    "dormancy": 305,
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One made-up location; ``missing`` maps seasons to the reason there is no scene."""

    location_id: str
    lon: float
    lat: float
    biome: str | None
    status: str = "ok"
    source: str = "own"
    split: str = "train"
    missing: tuple[tuple[str, str], ...] = ()


PLACES = (
    Place(location_id="100U_10R", lon=12.0, lat=52.0, biome="Temperate Forests"),
    Place(
        location_id="101U_11R",
        lon=20.5,
        lat=61.0,
        biome="Boreal Forests",
        missing=(("winter", "all_low_sun"),),
    ),
    Place(
        location_id="50D_200R",
        lon=25.0,
        lat=-28.0,
        biome="Temperate Forests",
        missing=(("spring", "all_cloudy"), ("summer", "all_cloudy")),
    ),
    Place(location_id="1D_30L", lon=-60.0, lat=-2.0, biome=None, status="no_cycle", source="neighbour"),
)


def fabricate(root: Path, places: tuple[Place, ...] = PLACES, size_px: int = 32) -> Path:
    """Every part of a dataset; tests remove what they want missing."""
    rng = np.random.default_rng(7)
    root.mkdir(parents=True, exist_ok=True)
    title = "Fabricated & tested"
    (root / "config.toml").write_text(f'[dataset]\ntitle = "{title}"\n\n[patches]\nsize_px = {size_px}\n')
    _write(root / "locations.parquet", _locations(places))
    _write(root / "strata.parquet", _strata(places))
    _write(root / "phenology.parquet", _phenology(places))
    _write(root / "phenology/cycles/00000.parquet", _cycles(places))
    _write(root / "phenology/series/00000.parquet", _series(places, rng))
    choices = _choices(places)
    _write(root / "scenes/choices/00000.parquet", choices)
    _write(root / "scenes/candidates/00000.parquet", _candidates(choices))
    _runs(root)
    _patches(root, places, choices, size_px, rng)
    return root


def _write(path: Path, frame: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)


def _locations(places: tuple[Place, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "location_id": [p.location_id for p in places],
            "lon": [p.lon for p in places],
            "lat": [p.lat for p in places],
            "epsg": np.int32(32633),
            "cell_epsg": np.int32(32633),
            "west": 500_000.0,
            "north": 5_600_000.0,
            "ecoregion": "Some <b>region</b>",
            "biome": [p.biome for p in places],
            "realm": "Palearctic",
            "inclusion_probability": 1.0,
            "split": [p.split for p in places],
            "geometry": b"",
        }
    )


def _strata(places: tuple[Place, ...]) -> pd.DataFrame:
    """Two strata with cells enough, and one that has all it was asked for but one."""
    got = max(len(places) - 3, 0)
    return pd.DataFrame(
        {
            "stratum": ["Alpha <b>heath</b>", "Beta & steppe", "none"],
            "available": [1000, 2, 20],
            "asked": [got, 3, 1],
            "got": [got, 2, 1],
            "inclusion_probability": [got / 1000, 1.0, 0.05],
        }
    )


def _shift(place: Place) -> float:
    return 182.0 if place.lat < 0 else 0.0


def _phenology(places: tuple[Place, ...]) -> pd.DataFrame:
    rows = []
    for place in places:
        dates = {m: OFFSETS[m] + _shift(place) for m in METRICS}
        edges = [
            dates["greenup"],
            dates["maturity"],
            dates["senescence"],
            dates["dormancy"],
            dates["greenup"] + 365.2425,
        ]
        row = {"location_id": place.location_id, "status": place.status, "source": place.source}
        row |= {f"{m}_day": d if place.status == "ok" else np.nan for m, d in dates.items()}
        for i, season in enumerate(SEASONS):
            row |= {f"{season}_start_day": edges[i], f"{season}_end_day": edges[i + 1]}
        rows.append(row)
    return pd.DataFrame(rows)


def _cycles(places: tuple[Place, ...]) -> pd.DataFrame:
    rows = []
    for place in places:
        for cycle, year in enumerate((2019, 2020, 2021) if place.status == "ok" else ()):
            start = (datetime(year, 1, 1, tzinfo=UTC) - EPOCH).days + _shift(place)
            dates = {m: start + OFFSETS[m] for m in METRICS}
            rows.append(
                {"location_id": place.location_id, "cycle": cycle, "season_rank": 0, "pixels": 9}
                | dates
                | {f"{m}_sigma": 2.5 if m != "peak" else np.nan for m in METRICS}
            )
    return pd.DataFrame(rows)


def _series(places: tuple[Place, ...], rng: np.random.Generator) -> pd.DataFrame:
    frames = []
    for place in places:
        day = np.arange(17_900, 19_000, 16.0)
        swing = 0.25 if place.status == "ok" else 0.0
        value = 0.4 - swing * np.cos(2 * np.pi * (day - 17_897 - _shift(place) - 10) / 365.2425)
        frames.append(
            pd.DataFrame(
                {
                    "location_id": place.location_id,
                    "day": day,
                    "value": (value + rng.normal(0, 0.02, day.size)).astype(np.float32),
                    "weight": np.float32(1),
                    "snow": (value < 0.18) & (place.lat > 55),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _choices(places: tuple[Place, ...]) -> pd.DataFrame:
    rows = []
    for place in places:
        for i, season in enumerate(SEASONS):
            reason = dict(place.missing).get(season, "")
            middle = datetime(2020, 4, 20, 10, 30, tzinfo=UTC) + timedelta(days=85 * i + _shift(place))
            snow = 0.5 if season in ("autumn", "winter") and place.lat > 55 else 0.0
            rows.append(
                {
                    "location_id": place.location_id,
                    "season": season,
                    "scene_id": None if reason else f"S2A_{place.location_id}_{season}",
                    "time": pd.NaT if reason else middle,
                    "year": pd.NA if reason else 2020,
                    "days_from_middle": pd.NA if reason else i - 1,
                    "clear_fraction": np.nan if reason else 0.97 - snow,
                    "snow_fraction": np.nan if reason else snow,
                    "cloud_fraction": np.nan if reason else 0.03,
                    "reason": reason,
                }
            )
    types = {"year": "Int16", "days_from_middle": "Int16", "time": "datetime64[ms, UTC]", "scene_id": "str"}
    return pd.DataFrame(rows).astype(types)


def _candidates(choices: pd.DataFrame) -> pd.DataFrame:
    chosen = choices[["location_id", "season", "scene_id"]].assign(
        scene_cloud_fraction=0.15, judged=True, cloud_fraction=0.03, verdict="chosen"
    )
    cloudy = chosen.assign(scene_cloud_fraction=0.9, cloud_fraction=0.8, verdict="cloudy")
    waiting = chosen.assign(
        scene_cloud_fraction=0.4, judged=False, cloud_fraction=np.nan, verdict="not_judged"
    )
    return pd.concat([chosen[choices["scene_id"].notna()], cloudy, waiting], ignore_index=True)


def _runs(root: Path) -> None:
    stages = [
        {"stage": "locations", "blocks": 1, "seconds": 1.25, "counts": {"locations": 4}, "failures": []},
        {"stage": "scenes", "blocks": 2, "seconds": 30.5, "counts": {"seasons_found": 13}, "failures": []},
    ]
    record = {
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:05+00:00",
        "stages": stages,
    }
    (root / "runs").mkdir()
    (root / "runs" / "20260102T030405000000Z.json").write_text(json.dumps(record))


def _patches(
    root: Path, places: tuple[Place, ...], choices: pd.DataFrame, size_px: int, rng: np.random.Generator
) -> None:
    group = zarr.open_group(root / "patches.zarr" / "sentinel2", mode="w")
    array = group.create_array(
        "r10",
        shape=(len(places), len(SEASONS), 4, size_px, size_px),
        chunks=(1, 1, 4, size_px, size_px),
        dtype="uint16",
        fill_value=0,
    )
    reflectance = np.array([500, 800, 700, 3000]).reshape(4, 1, 1)
    for k, present in enumerate(choices["scene_id"].notna()):
        if present:
            pixels = reflectance * rng.uniform(0.5, 1.6, (4, size_px, size_px))
            pixels[:, :4, :4] = 0
            array[k // len(SEASONS), k % len(SEASONS)] = pixels.astype(np.uint16)
