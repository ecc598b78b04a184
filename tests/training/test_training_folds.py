"""Folds cover, do not overlap, and keep neighbours and distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import (
    EARTH_RADIUS_KM,
    Blocks,
    Fold,
    block_of,
    random_folds,
    spatial_folds,
    unit_vectors,
)
from ssl4eco_training.random import names


def globe(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def check_parts(folds: tuple[Fold, ...], n: int, locations: np.ndarray) -> None:
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested.tolist()) == list(range(n))
    for fold in folds:
        parts = [fold.train, fold.validation, fold.test]
        together = np.concatenate(parts)
        assert len(np.unique(together)) == len(together) == n - fold.left_out
        owners = [set(locations[part].tolist()) for part in parts]
        assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
        assert all(len(part) for part in parts)


@given(st.integers(3, 60), st.integers(0, 99))
@settings(max_examples=40)
def test_random_folds_part_locations_and_test_each_once(n: int, seed: int) -> None:
    owner = np.repeat(names(map(str, range(n))), 2)
    folds = random_folds(owner, seed)
    assert len(folds) == min(10, n)
    check_parts(folds, 2 * n, owner)


def test_random_folds_have_the_shares_of_the_paper() -> None:
    for fold in random_folds(names(map(str, range(1000))), 3):
        assert (len(fold.test), len(fold.validation), len(fold.train)) == (100, 90, 810)


def test_folds_do_not_depend_on_the_order_of_the_samples() -> None:
    owner = names(map(str, range(50)))
    order = np.random.default_rng(0).permutation(50)
    lon, lat = globe(50)
    for plain, mixed in (
        (random_folds(owner, 1), random_folds(owner[order], 1)),
        (
            spatial_folds(owner, lon, lat, 1, Blocks(buffer_km=0)),
            spatial_folds(owner[order], lon[order], lat[order], 1, Blocks(buffer_km=0)),
        ),
    ):
        for a, b in zip(plain, mixed, strict=True):
            assert set(a.train.tolist()) == set(order[b.train].tolist())
            assert set(a.test.tolist()) == set(order[b.test].tolist())
    assert any(
        set(a.test.tolist()) != set(b.test.tolist())
        for a, b in zip(random_folds(owner, 1), random_folds(owner, 2), strict=True)
    )


def km(lon: np.ndarray, lat: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Great-circle distances by the haversine formula."""
    x, y = np.radians(lon), np.radians(lat)
    h = np.sin((y[a][:, None] - y[b]) / 2) ** 2
    h = h + np.cos(y[a])[:, None] * np.cos(y[b]) * np.sin((x[a][:, None] - x[b]) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))


@pytest.mark.parametrize("buffer_km", [100.0, 400.0])
def test_spatial_folds_keep_their_distance(buffer_km: float) -> None:
    n = 1500
    lon, lat = globe(n)
    owner = names(map(str, range(n)))
    folds = spatial_folds(owner, lon, lat, 0, Blocks(block_km=1000, buffer_km=buffer_km))
    check_parts(folds, n, owner)
    for fold in folds:
        assert km(lon, lat, fold.train, fold.test).min() >= buffer_km
        assert km(lon, lat, fold.validation, fold.test).min() >= buffer_km
        assert km(lon, lat, fold.train, fold.validation).min() >= buffer_km
        assert fold.left_out > 0
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) < 1.3 * min(sizes)


def test_chance_does_not_keep_the_distance_that_blocks_keep() -> None:
    n = 1500
    lon, lat = globe(n)
    fold = random_folds(names(map(str, range(n))), 0)[0]
    assert km(lon, lat, fold.train, fold.test).min() < 100


def test_blocks_are_not_parted_and_close_at_the_antimeridian_and_the_poles() -> None:
    lon, lat = globe(3000, 5)
    block = block_of(lon, lat, 800)
    folds = spatial_folds(names(map(str, range(3000))), lon, lat, 2, Blocks(block_km=800, buffer_km=0))
    for fold in folds:
        assert not set(block[fold.test].tolist()) & set(block[fold.train].tolist())
        assert not set(block[fold.validation].tolist()) & set(block[fold.train].tolist())
    edge = block_of(np.array([-180.0, 180.0, 0.0, 170.0]), np.array([10.0, 10.0, 90.0, 90.0]), 800)
    assert edge[0] == edge[1]
    across = np.array(
        [km(lon, lat, np.flatnonzero(block == b), np.flatnonzero(block == b)).max() for b in np.unique(block)]
    )
    assert across.max() < 800 * 2


def test_unit_vectors_point_where_they_should() -> None:
    got = unit_vectors(np.array([0.0, 90.0, 0.0]), np.array([0.0, 0.0, 90.0]))
    assert got == pytest.approx(np.eye(3), abs=1e-12)


def test_too_few_locations_or_blocks_are_refused_with_the_way_out() -> None:
    two = names(["a", "b"])
    with pytest.raises(TrainingError, match=r"2 locations are too few .* larger split"):
        random_folds(two, 0)
    six = names(map(str, range(6)))
    lon, lat = np.linspace(5, 5.1, 6), np.full(6, 50.0)
    with pytest.raises(
        TrainingError, match=r"6 locations lie in \d blocks of 500 km.*--block-km.*--protocol paper"
    ):
        spatial_folds(six, lon, lat, 0, Blocks())
    with pytest.raises(TrainingError, match=r"fold \d has 0 samples to train .* smaller --buffer-km"):
        spatial_folds(six, lon, lat, 0, Blocks(block_km=2, buffer_km=50))
    with pytest.raises(ValueError, match=r"block_km must be in \(0, 5000\].* got 0, 50"):
        Blocks(block_km=0)
