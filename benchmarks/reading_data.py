"""Files of the real layout to read windows of: whole Sentinel-2 tiles as cloud-optimised GeoTIFFs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from rasterio.shutil import copy
from rasterio.transform import Affine

from benchmarks.measure import ROOT

WEST_M, NORTH_M, EPSG = 499980, 5700000, 32631
TILE_M = 109800
BLOCK_PX = 1024
PIXEL_M = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12", "SCL"), 20),
    **dict.fromkeys(("B01", "B09"), 60),
}
"""Bands of a patch, and the pixels of their files."""
_CHIPS = {10: ("B02", "B03", "B04", "B08"), 20: ("B05", "B8A", "B11"), 60: ("B05", "B11")}


def file_name(band: str) -> str:
    """The file with a band's pixels: bands of one pixel size share one, the mask has its own."""
    return "SCL.tif" if band == "SCL" else f"{PIXEL_M[band]}m.tif"


def write_files(folder: Path, tile_m: int = TILE_M, block_px: int = BLOCK_PX) -> None:
    """The four files, deflate with predictor 2 and overviews; those that are there already stay."""
    for number, band in enumerate(("B02", "B05", "B01", "SCL")):
        path = folder / file_name(band)
        if not path.exists():
            side = tile_m // PIXEL_M[band]
            _write(path, mosaic(band, side, np.random.default_rng(number)), PIXEL_M[band], block_px)


def mosaic(band: str, side: int, generator: np.random.Generator) -> npt.NDArray[Any]:
    """``(side, side)`` pixels: chips of real dates, drawn at random and turned over."""
    chips = _real_chips(band)
    if not chips:
        chips = _noise_chips(band, generator)
    step = chips[0].shape[0]
    mosaic = np.zeros((side + step, side + step), chips[0].dtype)
    for row in range(0, side, step):
        for column in range(0, side, step):
            chip = chips[generator.integers(len(chips))]
            mosaic[row : row + step, column : column + step] = chip[:: generator.choice((-1, 1))]
    return mosaic[:side, :side]


def _real_chips(band: str) -> list[npt.NDArray[Any]]:
    """All dates of the Belgian site in the shared data; none where it is absent."""
    shared = Path(os.environ.get("SSL4ECO_SHARED", ROOT.parent / "shared"))
    names = ("SCL",) if band == "SCL" else _CHIPS[PIXEL_M[band]]
    paths = [
        path
        for name in names
        for path in sorted(shared.glob(f"data/s2-belgium-31UDS/sentinel-2-l2a/*/{name}.tif"))
    ]
    if not paths:
        print(f"SHARED DATA ABSENT: no site in {shared} (set SSL4ECO_SHARED); noise instead", file=sys.stderr)
    chips = []
    for path in paths:
        with rasterio.open(path) as file:
            chips.append(file.read(1))
    return chips


def _noise_chips(band: str, generator: np.random.Generator) -> list[npt.NDArray[Any]]:
    """Fields with noise on them, of about the entropy of real pixels."""
    if band == "SCL":
        return [np.full((32, 32), value, np.uint8) for value in (4, 5, 6, 8)]
    fields = np.repeat(np.repeat(generator.integers(500, 4000, (50, 8, 8)), 8, axis=1), 8, axis=2)
    return list((fields + generator.normal(0, 40, fields.shape)).astype(np.uint16))


def _write(path: Path, pixels: npt.NDArray[Any], pixel_m: int, block_px: int) -> None:
    rows, columns = pixels.shape
    grid = Affine(pixel_m, 0.0, WEST_M, 0.0, -pixel_m, NORTH_M)
    plain = {"driver": "GTiff", "count": 1, "crs": CRS.from_epsg(EPSG), "transform": grid, "nodata": 0}
    layout = {"BLOCKSIZE": block_px, "COMPRESS": "DEFLATE", "PREDICTOR": "YES", "NUM_THREADS": "ALL_CPUS"}
    begun = path.with_suffix(".part")
    with MemoryFile() as memory:
        with memory.open(height=rows, width=columns, dtype=pixels.dtype, **plain) as file:
            file.write(pixels, 1)
        copy(memory.name, begun, driver="COG", **layout)
    begun.rename(path)
