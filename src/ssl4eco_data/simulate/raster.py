"""Small GeoTIFFs, written as an archive would: compressed, tiled when large, header first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine

TILED_ABOVE_PX = 512


def write_raster(
    path: Path,
    image: npt.NDArray[np.generic],
    crs: CRS,
    transform: tuple[float, float, float, float, float, float],
    nodata: float | None,
) -> int:
    """Size in bytes of the file written from ``image`` ``(y, x)``; the affine is (a, b, c, d, e, f)."""
    height, width = image.shape
    layout: dict[str, Any] = {"blockysize": height}
    if max(image.shape) > TILED_ABOVE_PX:
        layout = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=1,
        dtype=image.dtype,
        crs=crs,
        transform=Affine(*transform),
        nodata=nodata,
        compress="deflate",
        predictor=2,
        zlevel=1,
        **layout,
    ) as file:
        file.write(image, 1)
    return path.stat().st_size
