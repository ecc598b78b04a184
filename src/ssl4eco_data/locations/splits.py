"""Training, validation and test locations, by whole spatial blocks."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from ssl4eco_data.types import FloatArray

_DEGREE_KM = 111.195
"""Mean length of a degree on the sphere of radius 6 371 km."""


def block_splits(
    lon_deg: FloatArray,
    lat_deg: FloatArray,
    *,
    block_km: float,
    val_fraction: float,
    test_fraction: float,
    seed: int,
) -> pd.Series:
    """``train``, ``val`` or ``test`` (str) for each point; every block of ``block_km`` goes to one of them.

    Blocks are rows of equal height cut into columns of about equal width. A keyed BLAKE2 hash of the block
    draws its split, so that it is the same on every machine and for every sample. The fractions hold over
    many blocks only. Neighbours across a block's edge are not kept apart: there is no buffer.
    """
    rows = max(1, round(180 * _DEGREE_KM / block_km))
    row = np.minimum((lat_deg + 90) / 180 * rows, rows - 1).astype(np.int64)
    middle = np.radians((row + 0.5) * 180 / rows - 90)
    columns = np.maximum(1, np.rint(360 * _DEGREE_KM * np.cos(middle) / block_km)).astype(np.int64)
    column = ((lon_deg + 180) / 360 * columns).astype(np.int64) % columns
    blocks, of_point = np.unique(np.column_stack([row, column]), axis=0, return_inverse=True)
    draws = np.array([_draw(int(r), int(c), seed) for r, c in blocks])
    names = np.array(["test", "val", "train"], object)
    split = names[np.searchsorted([test_fraction, test_fraction + val_fraction], draws, side="right")]
    return pd.Series(split[of_point.ravel()], dtype="str", name="split")


def _draw(row: int, column: int, seed: int) -> float:
    digest = hashlib.blake2b(f"split/{seed}/{row}/{column}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
