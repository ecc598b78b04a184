"""A built dataset says how far its dates can be trusted: spread over pixels, phase of every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl4eco_data import config, open_dataset
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.validation import read_cycles
from ssl4eco_data.store import read_table

ENDS = ("greenup", "maturity", "senescence", "dormancy")


@pytest.fixture(scope="module")
def built(built_config: Path) -> config.Config:
    return config.load(built_config)


def test_every_dated_location_has_the_spread_over_its_pixels(built: config.Config) -> None:
    windows = read_table(Path(built.root) / "phenology.parquet")
    dated = windows[windows["status"].isin(["ok", "low_confidence"])]
    assert len(dated) >= 4
    assert (dated["pixels"] >= 1).all()
    for name in ("vegetated_fraction", "snow_fraction"):
        assert dated[name].between(0, 1).all()
    for name in ENDS:
        assert dated[f"{name}_iqr"].between(0, 60).all()
    assert (dated.loc[dated["pixels"] > 1, [f"{name}_iqr" for name in ENDS]] > 0).any(axis=None)


def test_every_image_has_its_phase_in_the_cycle_of_its_own_year(built: config.Config) -> None:
    root = Path(built.root)
    _, cycles = read_cycles(root)
    choices = tables.parts(built, tables.CHOICES).dropna(subset=["scene_id"])
    days = (choices["time"].dt.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(days=1)
    known = 0
    for row, day in zip(choices.to_dict("records"), days, strict=True):
        own = cycles[(cycles["location_id"] == row["location_id"]) & (cycles["season_rank"] == 0)]
        before = own[own["greenup"] <= day].sort_values("greenup")
        if np.isnan(row["days_since_greenup"]):
            assert np.isnan(row["cycle_phase"]) and np.isnan(row["days_since_greenup_sigma"])
            continue
        known += 1
        cycle = before.iloc[-1]
        assert row["days_since_greenup"] == pytest.approx(day - cycle["greenup"], abs=1e-4)
        assert row["days_since_greenup_sigma"] == cycle["greenup_sigma"] > 0
        assert 0 <= row["cycle_phase"] < 1
        assert row["cycle_phase"] == pytest.approx(row["days_since_greenup"] / 365.2425, rel=0.2)
    assert known >= 0.8 * len(choices)


def test_the_store_carries_both(built: config.Config) -> None:
    dataset = open_dataset(built.root)
    for name in ENDS:
        assert dataset[f"{name}_iqr"].dims == ("location",)
    for name in ("pixels", "vegetated_fraction", "snow_fraction"):
        assert dataset[f"phenology_{name}"].dims == ("location",)
    for name in ("days_since_greenup", "days_since_greenup_sigma", "cycle_phase"):
        assert dataset[name].dims == ("location", "season")
        assert np.isfinite(dataset[name]).any()
