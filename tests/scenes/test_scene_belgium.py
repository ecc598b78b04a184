"""The second opinion on clouds against 118 real dates labelled by eye."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from ssl4eco_data.bands import SCL_CLEAR, SCL_CLOUD, SCL_MISSING, SCL_SHADOW, SCL_SNOW
from ssl4eco_data.scenes import Candidate, SceneRules, verdicts
from ssl4eco_data.types import PatchStats, Scene

LABELS = Path(__file__).with_name("belgium_labels.csv")
RULES = SceneRules(max_scene_cloud_fraction=1.0)


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def _stats(folder: Path, scene_id: str) -> PatchStats:
    scl, blue = _read(folder / scene_id / "SCL.tif"), _read(folder / scene_id / "B02.tif")
    fine = np.kron(scl, np.ones((2, 2), dtype=scl.dtype))
    tested = blue[~np.isin(fine, (*SCL_MISSING, *SCL_SNOW))] / 1e4
    kinds = (SCL_CLEAR, SCL_SNOW, SCL_SHADOW, SCL_CLOUD, SCL_MISSING)
    names = ("clear_fraction", "snow_fraction", "shadow_fraction", "cloud_fraction", "missing_fraction")
    fractions = {name: float(np.isin(scl, kind).mean()) for name, kind in zip(names, kinds, strict=True)}
    level = float(np.quantile(tested, 0.95)) if tested.size else float("nan")
    return PatchStats(scene_id=scene_id, blue_q95=level, **fractions)


def _season(when: datetime) -> str:
    return ("winter", "spring", "summer", "autumn")[when.month % 12 // 3]


@pytest.fixture(scope="module")
def judged(shared_data: Path) -> pd.DataFrame:
    """Label and verdict of each date."""
    folder = shared_data / "s2-belgium-31UDS"
    candidates = []
    for item in json.loads((folder / "items.json").read_text())["features"]:
        when = datetime.fromisoformat(item["properties"]["datetime"])
        scene = Scene(
            scene_id=item["id"],
            acquisition=item["id"],
            tile="31UDS",
            time=when,
            epsg=32631,
            tile_west_m=501360.0,
            tile_north_m=5629680.0,
            cloud_fraction=item["properties"]["eo:cloud_cover"] / 100,
            sun_elevation_deg=item["properties"]["view:sun_elevation"],
        )
        stats = _stats(folder / "sentinel-2-l2a", item["id"])
        candidates.append(
            Candidate(season=_season(when), year=when.year, days_from_middle=0, scene=scene, stats=stats)
        )
    labels = pd.read_csv(LABELS, comment="#").set_index("scene_id")["label"]
    ids = [c.scene.scene_id for c in candidates]
    return pd.DataFrame(
        {"label": labels.loc[ids].to_numpy(), "verdict": verdicts(candidates, RULES)}, index=ids
    )


def test_the_table_labels_all_dates(judged):
    assert len(judged) == 118
    assert judged["label"].value_counts().to_dict()["clear"] > 40


def test_thick_clouds_that_the_mask_calls_clear_or_snow_are_caught(judged):
    caught = set(judged.index[judged["verdict"] == "hazy"].str[9:17])
    assert caught >= {"20180610", "20180625", "20180713", "20180923"}


def test_no_clear_date_is_lost_to_the_second_opinion(judged):
    assert "hazy" not in set(judged.loc[judged["label"] == "clear", "verdict"])


def test_few_cloudy_dates_remain_usable(judged):
    usable = judged[judged["verdict"] == "usable"]
    assert list(usable.index[usable["label"] == "cloudy"]) == ["S2_31UDS_20171023T105154"]
