"""A cloud model by import path: loaded, asked about patches, and in a whole run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import write_tiny_config

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.pipeline import tables
from ssl4eco_data.scenes import MODEL_BANDS, covered_fraction, load_cloud_model

MODEL = "bright_is_cloud:classes"


def bands(red: float, missing: int = 0) -> dict[str, np.ndarray]:
    found = {name: np.full((8, 8), 1000, np.uint16) for name in MODEL_BANDS}
    found["B04"][:, :4] = red
    found["B08"].flat[:missing] = 0
    return found


def test_share_of_the_seen_pixels_that_the_model_calls_cloud_or_shadow():
    model = load_cloud_model(MODEL)
    assert covered_fraction(model, bands(500)) == 0
    assert covered_fraction(model, bands(3000)) == 0.5
    assert covered_fraction(model, bands(3000, missing=32)) == 0.5
    assert covered_fraction(lambda image: np.full((1, 8, 8), 3), bands(500)) == 1
    assert math.isnan(covered_fraction(model, bands(500, missing=64)))


@pytest.mark.parametrize("path", ["nowhere_at_all:f", "bright_is_cloud:missing", "bright_is_cloud", ":f"])
def test_a_path_that_leads_nowhere_is_refused(path):
    with pytest.raises(ConfigError, match="omnicloudmask:predict_from_array"):
        load_cloud_model(path)


def test_what_is_no_function_or_answers_in_another_size_is_refused():
    with pytest.raises(ConfigError, match="int"):
        load_cloud_model("bright_is_cloud:NOT_A_FUNCTION")
    with pytest.raises(ValueError, match=r"\(8, 8\).*\(1, 4, 8\)"):
        covered_fraction(load_cloud_model("bright_is_cloud:half"), bands(500))


def chosen(folder: Path, archive: Path, rules: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(choices, candidates) of the tiny archive under some ``[scenes]``."""
    path = write_tiny_config(folder, archive)
    path.write_text(f"{path.read_text()}\n[scenes]\n{rules}\n")
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads, until="scenes")
    return tables.parts(config, tables.CHOICES), tables.parts(config, tables.CANDIDATES)


def test_a_run_asks_the_model_about_the_chosen_and_chooses_again(tmp_path, tiny_archive):
    trusting = 'second_opinion = "record"\njudge = "all"\nmax_scene_cloud_fraction = 1.0'
    _, plain = chosen(tmp_path / "plain", tiny_archive, trusting)
    assert plain["model_fraction"].isna().all()
    rules = f'judge = "all"\nmax_scene_cloud_fraction = 1.0\nmax_blue_excess = 2.0\ncloud_model = "{MODEL}"'
    choices, candidates = chosen(tmp_path / "model", tiny_archive, rules)
    served = candidates[candidates["verdict"] == "chosen"]
    assert len(served) == choices["scene_id"].notna().sum() > 0
    assert (served["model_fraction"] <= 0.1).all()
    doubted = candidates[candidates["second_opinion"] == "model"]
    assert (doubted["verdict"] == "hazy").all()
    assert (doubted["model_fraction"] > 0.1).all()
