"""The offset of baseline 04.00: what items say, how it is removed, how a wrong one shows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssl4eco_data.patches import dark_ground_jump, low_quantile, offset_dn, offset_jump, remove_offset

APPLIED = "earthsearch:boa_offset_applied"
BASELINE = "s2:processing_baseline"
STATED = {"scale": 0.0001, "offset": -0.1}


@pytest.mark.parametrize(
    ("properties", "raster_band", "expected"),
    [
        ({APPLIED: True, BASELINE: "05.09"}, STATED, 0),
        ({APPLIED: False, BASELINE: "05.09"}, STATED, -1000),
        ({BASELINE: "05.09"}, STATED, -1000),
        ({BASELINE: "02.12"}, STATED, -1000),
        ({BASELINE: "05.09"}, {"scale": 0.0001, "offset": 0}, 0),
        ({BASELINE: "04.00"}, None, -1000),
        ({BASELINE: "03.01"}, None, 0),
        ({BASELINE: "10.00"}, None, -1000),
        ({BASELINE: "04.00"}, {"nodata": 0, "data_type": "uint16"}, -1000),
        ({"processing:version": "05.11"}, None, -1000),
        ({}, None, 0),
        ({APPLIED: False, BASELINE: "04.00"}, None, -1000),
    ],
)
def test_the_offset_that_an_item_states(properties: dict, raster_band: dict | None, expected: int) -> None:
    assert offset_dn(properties, raster_band) == expected


def test_a_baseline_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="'new'"):
        offset_dn({BASELINE: "new"}, None)


@given(dn=hnp.arrays(np.uint16, (5, 7)), offset=st.sampled_from([0, -1000, 1000]))
def test_removing_an_offset_keeps_no_data_clips_and_never_wraps(dn: np.ndarray, offset: int) -> None:
    found = remove_offset(dn, offset)
    assert found.dtype == np.uint16
    for before, after in zip(dn.ravel().tolist(), found.ravel().tolist(), strict=True):
        assert after == (0 if before == 0 else min(max(before + offset, 1), 65535))


def patches_at(levels: list[list[float]]) -> np.ndarray:
    return np.array(levels, dtype=np.float64)


def test_a_scene_whose_every_band_lies_1000_off_is_named() -> None:
    up = patches_at([[250, 400, 1500], [1260, 1420, 2480], [230, 380, 1530], [260, 410, 1490]])
    assert offset_jump(up).tolist() == [0, 1000, 0, 0]
    down = patches_at([[1250, 1400, 2500], [260, 420, 1480], [1230, 1380, 2530]])
    assert offset_jump(down).tolist() == [0, -1000, 0]


def test_a_jump_that_was_clipped_still_shows_in_a_bright_band() -> None:
    assert offset_jump(patches_at([[300, 1500], [1, 520], [320, 1490], [310, 1510]])).tolist() == [
        0,
        -1000,
        0,
        0,
    ]
    assert offset_jump(patches_at([[300, 200], [1, 1], [320, 210], [310, 190]])).tolist() == [0, 0, 0, 0]


def test_seasons_and_missing_scenes_are_no_jump() -> None:
    seasons = patches_at([[250, 400, 1500], [600, 900, 2500], [230, 380, 3530], [np.nan] * 3])
    assert offset_jump(seasons).tolist() == [0, 0, 0, 0]
    assert offset_jump(patches_at([[1250, 1400]])).tolist() == [0]
    assert offset_jump(np.zeros((0, 3))).tolist() == []


def test_the_low_quantile_leaves_no_data_out() -> None:
    dn = np.zeros((20, 20), np.uint16)
    assert np.isnan(low_quantile(dn))
    dn[:10] = 700
    assert low_quantile(dn) == 700


def one_date(ground: int, level: int, spread: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """(bands, mask) of a patch of one class with reflectances about ``level`` DN."""
    rng = np.random.default_rng(seed)
    sides = {"B02": 64, "B03": 64, "B04": 64, "B12": 32}
    bands = {
        name: np.clip(rng.normal(level, spread, (side, side)), 1, 9000).astype(np.uint16)
        for name, side in sides.items()
    }
    return bands, np.full((32, 32), ground, np.uint8)


@given(
    ground=st.sampled_from([3, 4, 6]),
    level=st.integers(150, 900),
    spread=st.integers(0, 100),
    seed=st.integers(0, 9),
)
def test_dark_ground_of_one_date_shows_an_offset(ground: int, level: int, spread: int, seed: int) -> None:
    bands, scl = one_date(ground, level, spread, seed)
    assert dark_ground_jump(bands, scl) == 0
    up = {name: remove_offset(dn, 1000) for name, dn in bands.items()}
    assert dark_ground_jump(up, scl) == 1000
    down = {name: remove_offset(dn, -1000) for name, dn in bands.items()}
    assert dark_ground_jump(down, scl) == (-1000 if ground == 4 else 0)


@given(ground=st.sampled_from([5, 7, 8, 11]), level=st.integers(1, 9000), spread=st.integers(0, 300))
def test_deserts_snow_and_clouds_say_nothing(ground: int, level: int, spread: int) -> None:
    assert dark_ground_jump(*one_date(ground, level, spread)) == 0


def test_one_dark_band_few_pixels_and_missing_bands_say_nothing() -> None:
    bands, scl = one_date(4, 1600, 50)
    assert dark_ground_jump(bands, scl) == 1000
    assert dark_ground_jump({**bands, "B12": bands["B12"] - np.uint16(900)}, scl) == 0
    assert dark_ground_jump({"B04": bands["B04"]}, scl) == 0
    few = np.where(np.arange(1024).reshape(32, 32) < 60, 4, 5)
    assert dark_ground_jump(bands, few) == 0


def test_no_real_date_is_taken_for_wrong_and_a_wrong_one_is_seen(shared_data: Path) -> None:
    folder = shared_data / "s2-belgium-31UDS"
    names = {"B02": "blue", "B03": "green", "B04": "red", "B12": "swir22", "SCL": "scl"}
    found = []
    for item in json.loads((folder / "items.json").read_text())["features"]:
        bands = {}
        for name, key in names.items():
            with rasterio.open(folder / item["assets"][key]["href"]) as file:
                bands[name] = file.read(1)
        scl = bands.pop("SCL")
        if np.isin(scl, (3, 4, 6)).sum() < 64:
            continue
        shifted = [{n: remove_offset(dn, by) for n, dn in bands.items()} for by in (0, 1000, -1000)]
        found.append([dark_ground_jump(each, scl) for each in shifted])
    right, up, down = np.array(found).T
    assert len(found) > 50
    assert (right == 0).all()
    assert (up == 1000).all()
    assert (down == -1000).mean() > 0.8
