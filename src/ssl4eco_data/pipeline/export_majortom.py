"""Patches as Major TOM lays them out: Parquet with one row, and one row group, per patch.

The columns ``product_id``, ``grid_cell``, ``thumbnail``, ``cloud_mask`` and one GeoTIFF per band are those
that Major TOM's own reader asks for (https://github.com/ESA-PhiLab/Major-TOM); ``metadata.parquet`` says in
which file (``parquet_url``) and row group (``parquet_row``) each patch is.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr
from PIL import Image

from ssl4eco_data.bands import SCL_CLOUD, SCL_SHADOW
from ssl4eco_data.pipeline.export_tiff import PLAIN, SCL, rasters, tiff_bytes
from ssl4eco_data.store import cube, stored_bands
from ssl4eco_data.types import UInt8Array

METADATA = "metadata.parquet"
RGB = ("B04", "B03", "B02")
_WHITE = 3000
"""Reflectance x 10 000 that is white in a thumbnail."""
_CIRRUS = 10
_CELL = re.compile(r"(\d+)([UD])_(\d+)([RL])")


def part_name(part: int) -> str:
    """Where the part with this number, from 0, lies."""
    return f"images/part_{part + 1:05d}.parquet"


def image_row(dataset: xr.Dataset, facts: pd.Series[Any], bands: Sequence[str]) -> dict[str, Any]:
    """One row of a part: names, time, a GeoTIFF per band at its own resolution, mask and thumbnail."""
    location, season = str(facts["location_id"]), str(facts["season"])
    row: dict[str, Any] = {
        "product_id": facts["scene_id"],
        "grid_cell": location,
        "season": season,
        "timestamp": np.datetime64(facts["time"].removesuffix("Z"), "ms").item(),
    }
    for _, raster in rasters(dataset, location, season, bands, as_stored=True):
        for band, pixels in zip(raster.bands, raster.pixels, strict=True):
            row[band] = tiff_bytes(replace(raster, pixels=pixels[None], bands=(band,)), PLAIN)
    ((_, classes),) = rasters(dataset, location, season, [SCL], as_stored=False)
    mask = replace(classes, pixels=cloud_mask(classes.pixels), bands=("cloud_mask",))
    row["cloud_mask"] = tiff_bytes(mask, PLAIN)
    row["thumbnail"] = thumbnail(dataset, location, season)
    return row


def part_bytes(rows: Iterable[dict[str, Any]], bands: Sequence[str]) -> bytes:
    """A part as Parquet: each row is a row group of its own, so that one patch can be fetched alone."""
    schema = pa.schema(
        [
            ("product_id", pa.string()),
            ("grid_cell", pa.string()),
            ("season", pa.string()),
            ("timestamp", pa.timestamp("ms")),
            *((name, pa.binary()) for name in (*bands, "cloud_mask", "thumbnail")),
        ]
    )
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, schema, compression="none") as writer:  # what is in it is compressed
        for row in rows:
            writer.write_table(pa.Table.from_pylist([row], schema))
    return buffer.getvalue()


def metadata_table(table: pd.DataFrame, rows_a_part: int) -> pd.DataFrame:
    """Where each patch lies and Major TOM's own names of its facts, then the columns of ``table``.

    ``grid_row_u`` and ``grid_col_r`` are the cell's numbers on the Major-TOM grid (missing for other
    places), ``cloud_cover`` is the percentage of cloud in the patch, ``nodata`` the share without data.
    """
    number = np.arange(len(table))
    cells = [_CELL.fullmatch(name) for name in table["location_id"]]
    facts = {
        "grid_cell": table["location_id"],
        "grid_row_u": pd.array([_signed(c, 1, "U") for c in cells], dtype="Int32"),
        "grid_col_r": pd.array([_signed(c, 3, "R") for c in cells], dtype="Int32"),
        "product_id": table["scene_id"],
        "timestamp": pd.to_datetime(table["time"]).dt.tz_localize(None).astype("datetime64[ms]"),
        "cloud_cover": 100 * table.get("cloud_fraction", np.nan),
        "nodata": table.get("missing_fraction", np.nan),
        "centre_lat": table["lat"],
        "centre_lon": table["lon"],
        "crs": "EPSG:" + table["epsg"].astype(str),
        "parquet_url": [part_name(i // rows_a_part) for i in range(len(table))],
        "parquet_row": (number % rows_a_part).astype(np.int32),
    }
    rest = table.drop(columns=[name for name in facts if name in table])
    return pd.concat([pd.DataFrame(facts), rest], axis=1)


def thumbnail(dataset: xr.Dataset, location: str, season: str) -> bytes | None:
    """The patch in natural colours as PNG; None where the dataset lacks a band for it."""
    if not set(RGB) <= set(stored_bands(dataset)):
        return None
    colours = cube(dataset, location, season, RGB).to_numpy().astype(np.float32)
    pixels: UInt8Array = np.clip(colours * (255 / _WHITE), 0, 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def cloud_mask(scl: UInt8Array) -> UInt8Array:
    """0 clear, 1 cloud, 2 thin cirrus, 3 cloud shadow, from the scene classification."""
    mask = np.zeros(scl.shape, dtype=np.uint8)
    mask[np.isin(scl, SCL_CLOUD)] = 1
    mask[scl == _CIRRUS] = 2
    mask[np.isin(scl, SCL_SHADOW)] = 3
    return mask


def _signed(cell: re.Match[str] | None, group: int, positive: str) -> int | None:
    """The number of a row or column, negative to the south or west."""
    if cell is None:
        return None
    number = int(cell[group])
    return number if cell[group + 1] == positive else -number
