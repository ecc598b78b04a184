"""Shares of the scene classification, blue over the ground, NDVI."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssl4eco_data.bands import SCL_CLASSES
from ssl4eco_data.patches import blue_quantile, haze_median, mask_fractions, mean_ndvi
from ssl4eco_data.types import PatchStats


@given(scl=hnp.arrays(np.uint8, (4, 6), elements=st.integers(0, 20)))
def test_shares_sum_to_one_and_make_statistics(scl: np.ndarray) -> None:
    shares = mask_fractions(scl)
    assert sum(shares) == pytest.approx(1)
    PatchStats(scene_id="s", **{f"{name}_fraction": value for name, value in shares._asdict().items()})


@pytest.mark.parametrize("scene_class", SCL_CLASSES)
def test_every_class_has_one_kind(scene_class: int) -> None:
    kinds = dict.fromkeys((0, 1), "missing") | {3: "shadow", 11: "snow"} | dict.fromkeys((8, 9, 10), "cloud")
    shares = mask_fractions(np.full((3, 3), scene_class, np.uint16))
    assert getattr(shares, kinds.get(scene_class, "clear")) == 1


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        mask_fractions(np.zeros((0, 3), np.uint8))


def test_ndvi_counts_pixels_with_data_and_with_a_mask_only_clear_ones() -> None:
    red, nir = np.full((4, 4), 1000, np.uint16), np.full((4, 4), 3000, np.uint16)
    nir[0] = 0
    assert mean_ndvi(red, nir) == pytest.approx(0.5)
    scl = np.full((2, 2), 4, np.uint8)
    scl[1, 1], nir[2:, 2:] = 9, 1000
    assert mean_ndvi(red, nir, scl) == pytest.approx(0.5)
    assert mean_ndvi(red, nir) < 0.5
    assert np.isnan(mean_ndvi(np.zeros_like(red), nir))


def test_blue_leaves_snow_and_missing_pixels_out() -> None:
    blue, scl = np.full((4, 4), 500, np.uint16), np.full((2, 2), 4, np.uint8)
    scl[0, 0], scl[0, 1], blue[:2] = 11, 0, 9000
    assert blue_quantile(blue, scl) == pytest.approx(0.05)
    blue[2:] = 0
    assert np.isnan(blue_quantile(blue, scl))


def test_haze_is_blue_less_half_of_red_over_land() -> None:
    blue, red = np.full((4, 4), 600, np.uint16), np.full((4, 4), 800, np.uint16)
    scl = np.full((2, 2), 4, np.uint8)
    scl[0], blue[:2] = (6, 11), 9000
    assert haze_median(blue, red, scl) == pytest.approx(0.02)
    red[2:] = 0
    assert np.isnan(haze_median(blue, red, scl))
