"""Who trains, validates and tests: ten folds by chance, as the paper has them, or by blocks of the globe.

A location is in one part of a fold with all its samples. Every location is tested in exactly one fold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl4eco_training.errors import TrainingError
from ssl4eco_training.metrics import Floats
from ssl4eco_training.random import UInt64s, names, uniform

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
FOLDS, VALIDATION_SHARE = 10, 0.1
BLOCK_KM, BUFFER_KM = 500.0, 50.0
EARTH_RADIUS_KM = 6371.0088
_TEST, _VALIDATION = 41, 42
"""Streams of random numbers."""
_LEAST = 3
_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Places among the samples, ascending, without common ones; ``left_out`` of them are in no part."""

    train: Ints
    validation: Ints
    test: Ints
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Of spatial folds: blocks about ``block_km`` a side are not parted.

    A sample to train on is left out when it is closer than ``buffer_km`` to one to validate or test on,
    and one to validate on when it is that close to one to test on.
    """

    block_km: float = BLOCK_KM
    buffer_km: float = BUFFER_KM

    def __post_init__(self) -> None:
        if not (0 < self.block_km <= 5000 and 0 <= self.buffer_km <= 5000):
            raise ValueError(
                f"block_km must be in (0, 5000] and buffer_km in [0, 5000], got {self.block_km}, "
                f"{self.buffer_km}"
            )


def random_folds(locations: UInt64s, seed: int, folds: int = FOLDS) -> tuple[Fold, ...]:
    """Folds by chance of samples of ``locations`` (64-bit names, ``(n,)``), as the paper has them.

    The rest of each fold is parted 0.9 to 0.1 into train and validation. With fewer locations than
    ``folds`` there are as many folds as locations. Raises TrainingError for fewer than three.
    """
    known, place = np.unique(locations, return_inverse=True)
    if known.size < _LEAST:
        raise TrainingError(
            f"{known.size} locations are too few to train, validate and test: take a larger split or dataset"
        )
    draws = uniform(seed, 0, known, _TEST, 1)[:, 0]
    fold_of = np.empty(known.size, dtype=np.int64)
    fold_of[np.lexsort((known, draws))] = np.arange(known.size) % min(folds, known.size)
    return tuple(
        _fold(place, _parts(known, fold_of, number, np.ones(known.size), seed))
        for number in range(int(fold_of.max()) + 1)
    )


def spatial_folds(
    locations: UInt64s, lon_deg: Floats, lat_deg: Floats, seed: int, blocks: Blocks, folds: int = FOLDS
) -> tuple[Fold, ...]:
    """Folds by blocks of the globe of samples at ``lon_deg``, ``lat_deg`` ``(n,)``: neighbours stay together.

    Blocks go to the fold that has the fewest locations yet, the largest first. With fewer blocks than
    ``folds`` there are as many folds as blocks. Raises TrainingError for fewer than three blocks, and when a
    fold has nobody left to train or validate on.
    """
    known, first, place = np.unique(locations, return_index=True, return_inverse=True)
    block_names, block = np.unique(
        block_of(lon_deg[first], lat_deg[first], blocks.block_km), return_inverse=True
    )
    if block_names.size < _LEAST:
        raise TrainingError(
            f"{known.size} locations lie in {block_names.size} blocks of {blocks.block_km:g} km, three "
            "are needed: "
            "take smaller blocks (--block-km), a larger split, or --protocol paper"
        )
    sizes = np.bincount(block)
    block_fold = _balanced(block_names, sizes, min(folds, block_names.size), seed)
    points = unit_vectors(lon_deg[first], lat_deg[first])
    made = []
    for number in range(int(block_fold.max()) + 1):
        parts = _parts(block_names, block_fold, number, sizes, seed)[block]
        made.append(_fold(place, _apart(parts, points, blocks.buffer_km)))
    for number, fold in enumerate(made):
        if not fold.train.size or not fold.validation.size:
            raise TrainingError(
                f"fold {number} has {fold.train.size} samples to train and {fold.validation.size} to "
                "validate on "
                f"beyond {blocks.buffer_km:g} km of the others: take a smaller --buffer-km or --block-km, "
                "a larger "
                "split, or --protocol paper"
            )
    return tuple(made)


def block_of(lon_deg: Floats, lat_deg: Floats, block_km: float) -> UInt64s:
    """``(n,)`` the name of the block of each point: bands of latitude, each cut into about square pieces."""
    km_per_degree = EARTH_RADIUS_KM * np.pi / 180
    bands = max(1, round(180 * km_per_degree / block_km))
    band = np.clip(((lat_deg + 90) / 180 * bands).astype(np.int64), 0, bands - 1)
    middle = np.radians((band + 0.5) / bands * 180 - 90)
    pieces = np.maximum(1, np.rint(360 * km_per_degree * np.cos(middle) / block_km)).astype(np.int64)
    piece = np.floor((lon_deg + 180) / 360 * pieces).astype(np.int64) % pieces
    return names(f"{b}/{p}" for b, p in zip(band.tolist(), piece.tolist(), strict=True))


def unit_vectors(lon_deg: Floats, lat_deg: Floats) -> Floats:
    """``(n, 3)`` points of the unit sphere."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def near(points: Floats, others: Floats, km: float) -> Bools:
    """``(n,)`` whether a point (:func:`unit_vectors`) is closer than ``km`` to one of the others."""
    found = np.zeros(len(points), dtype=bool)
    if not others.size or km <= 0:
        return found
    chord2 = (2 * np.sin(min(km / EARTH_RADIUS_KM, np.pi) / 2)) ** 2
    for start in range(0, len(points), _CHUNK):
        here = points[start : start + _CHUNK]
        found[start : start + _CHUNK] = (2 - 2 * (here @ others.T) < chord2).any(axis=1)
    return found


_TRAIN_PART, _VALIDATION_PART, _TEST_PART, _NO_PART = 0, 1, 2, 3


def _parts(units: UInt64s, fold_of: Ints, number: int, sizes: npt.NDArray[np.number], seed: int) -> Ints:
    """``(u,)`` the part of each unit (location or block) in a fold.

    To validate: units by chance until a tenth of the rest is reached, at least one, not all.
    """
    parts = np.full(units.size, _TRAIN_PART, dtype=np.int64)
    parts[fold_of == number] = _TEST_PART
    rest = np.flatnonzero(fold_of != number)
    draws = uniform(seed, number, units[rest], _VALIDATION, 1)[:, 0]
    order = rest[np.lexsort((units[rest], draws))]
    before = np.cumsum(sizes[order]) - sizes[order]
    wanted = before < VALIDATION_SHARE * float(sizes[rest].sum())
    wanted[-1] = False
    parts[order[wanted]] = _VALIDATION_PART
    return parts


def _balanced(units: UInt64s, sizes: npt.NDArray[np.intp], folds: int, seed: int) -> Ints:
    """``(u,)`` the fold of each unit: the largest first, to the fold with the least."""
    draws = uniform(seed, 0, units, _TEST, 1)[:, 0]
    filled = np.zeros(folds, dtype=np.int64)
    fold_of = np.empty(units.size, dtype=np.int64)
    for unit in np.lexsort((units, draws, -sizes)):
        fold_of[unit] = filled.argmin()
        filled[fold_of[unit]] += sizes[unit]
    return fold_of


def _apart(parts: Ints, points: Floats, buffer_km: float) -> Ints:
    """The parts without those that are too close to a later one."""
    apart = parts.copy()
    for part in (_VALIDATION_PART, _TRAIN_PART):
        mine = np.flatnonzero(apart == part)
        others = (apart > part) & (apart < _NO_PART)
        apart[mine[near(points[mine], points[others], buffer_km)]] = _NO_PART
    return apart


def _fold(place: npt.NDArray[np.intp], parts: Ints) -> Fold:
    part = parts[place]
    train, validation, test = (
        np.flatnonzero(part == p).astype(np.int64) for p in (_TRAIN_PART, _VALIDATION_PART, _TEST_PART)
    )
    return Fold(train=train, validation=validation, test=test, left_out=int((part == _NO_PART).sum()))
