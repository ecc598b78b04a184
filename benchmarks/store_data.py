"""A dataset that compresses like a real one: random cuts of a real Sentinel-2 cell, turned over."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio

from benchmarks.measure import ROOT
from benchmarks.reading_data import mosaic
from ssl4eco_data.store import Layout, StoreParameters, create, write_atomic, write_block
from ssl4eco_data.store.metadata import DOCUMENT, group_document, to_bytes
from ssl4eco_data.store.schema import GROUP

SEASONS = ("greenup", "maturity", "senescence", "dormancy")
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_STEP_PX = 6
"""Pixels of 10 m that are whole pixels of 20 m and of 60 m."""


def layout(locations: int, size_m: float, compression: Literal["zstd", "lz4"]) -> Layout:
    """The layout of the training data; level 3 for zstd, 5 (blosc's own default) for lz4."""
    level = 3 if compression == "zstd" else 5
    parameters = StoreParameters(shard_locations=64, compression=compression, level=level)
    return Layout(
        n_locations=locations, seasons=SEASONS, size_m=size_m, bands=BANDS, title="b", parameters=parameters
    )


def pixels(plan: Layout) -> dict[str, npt.NDArray[Any]]:
    """``(location, season, band, y, x)`` of each array, every patch another cut of the cell.

    A chunk is compressed by itself, so that cuts which overlap do not help it.
    """
    generator = np.random.default_rng(11)
    cell = _cell()
    classes = mosaic("SCL", 1068 // 2, generator)
    found = {array.name: np.empty(array.shape, array.dtype) for array in plan.arrays}
    side = plan.size_px(10)
    for i, j in np.ndindex(plan.n_locations, len(SEASONS)):
        row, column = (generator.integers(0, (1068 - side - 60) // _STEP_PX, 2) * _STEP_PX).tolist()
        turn = int(generator.choice((-1, 1)))
        for array in plan.arrays:
            pixel_m = int(array.attributes["pixel_m"])
            source = classes[None] if array.name == "scl" else cell[pixel_m]
            y, x, px = row * 10 // pixel_m, column * 10 // pixel_m, plan.size_px(pixel_m)
            cut = source[:, y : y + px, x : x + px][..., ::turn]
            found[array.name][i, j] = cut.reshape(array.shape[2:])
    return found


def write(root: Path, plan: Layout, arrays: Mapping[str, npt.NDArray[Any]]) -> int:
    """Write the patches alone, all present, as a finished dataset; bytes of its shards."""
    create(root / "patches.zarr", plan)
    present = np.ones((plan.n_locations, len(SEASONS)), dtype=bool)
    files = write_block(root / "patches.zarr", plan, 0, arrays, present)
    document = root / "patches.zarr" / GROUP / DOCUMENT
    write_atomic(document, to_bytes(group_document(plan.attributes())))
    return sum(path.stat().st_size for path in files)


def _cell() -> dict[int, npt.NDArray[np.uint16]]:
    """``(band, y, x)`` of the real cell by pixel size; noise of ground's size and smoothness without it."""
    folder = Path(os.environ.get("SSL4ECO_SHARED", ROOT.parent / "shared")) / "data" / "majortom"
    cells = sorted(folder.glob("S2*"))
    by_size: dict[int, list[npt.NDArray[np.uint16]]] = {10: [], 20: [], 60: []}
    if not cells:
        print(f"REAL CELL ABSENT: no {folder}/S2*; noise is packed, which is harder", file=sys.stderr)
        return {m: _noise(n, 1068 * 10 // m) for m, n in ((10, 4), (20, 6), (60, 2))}
    for band in BANDS:
        with rasterio.open(cells[0] / f"{band}.tif") as source:
            by_size[round(10 * 1068 / source.width)].append(source.read(1))
    return {pixel_m: np.stack(planes) for pixel_m, planes in by_size.items()}


def _noise(bands: int, side: int) -> npt.NDArray[np.uint16]:
    generator = np.random.default_rng(bands)
    walk = generator.normal(0, 20, (bands, side, side)).cumsum(axis=-1) + generator.normal(
        0, 30, (bands, side, 1)
    )
    return np.clip(walk + 1500, 1, 10_000).astype(np.uint16)
