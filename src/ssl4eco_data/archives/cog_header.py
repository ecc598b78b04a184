"""The header of a GeoTIFF whose blocks can be read without GDAL: where they lie, and what they mean.

Tags: TIFF 6.0; 64-bit files: BigTIFF; grid and keys: OGC GeoTIFF 1.1; no data and empty blocks: GDAL.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import CRSError

Fetch = Callable[[int, int], bytes]
"""The bytes from a position on, as many as asked."""
Tags = Mapping[int, npt.NDArray[Any]]

HEADER_BYTES = 16384
"""Fetched at first; a tile of Sentinel-2 with its overviews needs about 4000."""
MOST_TAGS = 256
MOST_TAG_BYTES = 2**24
MOST_BLOCK_BYTES = 2**25
MOST_BYTES = 2**60
"""A header that claims more is left to GDAL, which knows what to refuse."""

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, PREDICTOR, FORMAT = 256, 257, 258, 259, 277, 317, 339
STRIP_OFFSETS, STRIP_ROWS, STRIP_COUNTS = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
PIXEL_SCALE, TIE_POINT, GEO_KEYS, NO_DATA = 33550, 33922, 34735, 42113
_WANTED = {
    *(WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, PREDICTOR, FORMAT, STRIP_OFFSETS, STRIP_ROWS, STRIP_COUNTS),
    *(TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, PIXEL_SCALE, TIE_POINT, GEO_KEYS, NO_DATA),
}
_LEFT_TO_GDAL = {266, 274, 34264}
"""Order of bits, orientation, a rotated grid."""
_TYPES = {1: "u1", 2: "u1", 3: "<u2", 4: "<u4", 12: "<f8", 13: "<u4", 16: "<u8", 18: "<u8"}
_DOUBLE = 12
_FORMATS = {1: "u", 2: "i", 3: "f"}
_PLAIN, _DEFLATE = (1,), (8, 32946)
_MODEL_TYPE, _RASTER_TYPE, _PROJECTED, _UNIT = 1024, 1025, 3072, 3076
_HARMLESS_KEYS = {1024, 1025, 1026, 2049, 2054, 2057, 2059, 3072, 3073, 3076}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Header:
    """A single-band raster of blocks in rows, north up; ``offsets`` and ``counts`` are bytes, per block."""

    crs_wkt: str
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    block_shape: tuple[int, int]
    offsets: npt.NDArray[Any]
    counts: npt.NDArray[Any]
    tiled: bool
    deflated: bool
    predicted: bool
    empty: float

    @property
    def block_bytes(self) -> int:
        """Of a whole block in memory."""
        return self.block_shape[0] * self.block_shape[1] * self.dtype.itemsize

    @property
    def across(self) -> int:
        """Blocks in a row of blocks."""
        return -(-self.shape[1] // self.block_shape[1])

    def rows_of(self, block: int) -> int:
        """Rows stored of a block: tiles are whole, the last strip ends with the raster."""
        height = self.block_shape[0]
        return height if self.tiled else min(height, self.shape[0] - block // self.across * height)


def header_of(fetch: Fetch) -> Header | None:
    """The header of the file's first image; None for what is left to GDAL, other formats included.

    Left to it: other compressions than deflate, more bands, odd numbers of bits, big-endian files,
    grids that are rotated or of oblong pixels, coordinate systems that are not simply an EPSG code.
    """
    tags = _tags(fetch)
    if tags is None or not _is_plain(tags):
        return None
    dtype, grid, crs_wkt = _dtype(tags), _grid(tags), _crs_wkt(tags)
    if dtype is None or grid is None or crs_wkt is None:
        return None
    empty = _empty(tags, dtype)
    shape = int(tags[HEIGHT][0]), int(tags[WIDTH][0])
    tiled = TILE_OFFSETS in tags
    if tiled:
        block_shape = int(tags[TILE_HEIGHT][0]), int(tags[TILE_WIDTH][0])
    else:
        block_shape = min(_first(tags, STRIP_ROWS, shape[0]), shape[0]), shape[1]
    offsets, counts = (
        (tags[TILE_OFFSETS], tags[TILE_COUNTS]) if tiled else (tags[STRIP_OFFSETS], tags[STRIP_COUNTS])
    )
    if empty is None or min(*shape, *block_shape) < 1:
        return None
    blocks = -(-shape[0] // block_shape[0]) * -(-shape[1] // block_shape[1])
    block_bytes = block_shape[0] * block_shape[1] * dtype.itemsize
    if not len(offsets) == len(counts) == blocks:
        return None
    if max(block_bytes, int(counts.max())) > MOST_BLOCK_BYTES or int(offsets.max()) > MOST_BYTES:
        return None
    return Header(
        crs_wkt=crs_wkt,
        transform=grid,
        shape=shape,
        dtype=dtype,
        block_shape=block_shape,
        offsets=offsets.astype(np.int64),
        counts=counts.astype(np.int64),
        tiled=tiled,
        deflated=_first(tags, COMPRESSION, 1) in _DEFLATE,
        predicted=_first(tags, PREDICTOR, 1) == 2,
        empty=empty,
    )


def _tags(fetch: Fetch) -> Tags | None:
    """The wanted tags of the first directory; None when it is no little-endian TIFF or has other tags."""
    start = fetch(0, 16)
    if start[:4] == b"II*\0":
        (place,) = struct.unpack("<I", start[4:8])
        counter, entry, inline = "<H", struct.Struct("<HHI4s"), 4
    elif start[:8] == b"II+\0\x08\0\0\0":
        (place,) = struct.unpack("<Q", start[8:16])
        counter, entry, inline = "<Q", struct.Struct("<HHQ8s"), 8
    else:
        return None
    first = place + struct.calcsize(counter)
    (number,) = struct.unpack(counter, fetch(place, first - place))
    if number > MOST_TAGS:
        return None
    found: dict[int, npt.NDArray[Any]] = {}
    for tag, kind, count, value in entry.iter_unpack(fetch(first, number * entry.size)):
        if tag in _LEFT_TO_GDAL:
            return None
        if tag in _WANTED:
            size = count * np.dtype(_TYPES[kind]).itemsize if kind in _TYPES else 0
            if not 0 < size <= MOST_TAG_BYTES or (kind == _DOUBLE) != (tag in (PIXEL_SCALE, TIE_POINT)):
                return None
            data = value if size <= inline else fetch(int.from_bytes(value, "little"), size)
            found[tag] = np.frombuffer(data, _TYPES[kind], count)
    return found


def _first(tags: Tags, tag: int, default: int) -> int:
    return int(tags[tag][0]) if tag in tags else default


def _is_plain(tags: Tags) -> bool:
    """Whether all tags are there that a single band of deflated or plain blocks needs."""
    blocks = {TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS}
    whole = blocks <= tags.keys() or {STRIP_OFFSETS, STRIP_COUNTS} <= tags.keys()
    return (
        whole
        and {WIDTH, HEIGHT, PIXEL_SCALE, TIE_POINT, GEO_KEYS} <= tags.keys()
        and _first(tags, SAMPLES, 1) == 1
        and _first(tags, COMPRESSION, 1) in (*_PLAIN, *_DEFLATE)
        and (_first(tags, PREDICTOR, 1) == 1 or _first(tags, COMPRESSION, 1) in _DEFLATE)
        and _first(tags, PREDICTOR, 1) in (1, 2)
    )


def _dtype(tags: Tags) -> np.dtype[Any] | None:
    bits, kind = _first(tags, BITS, 1), _FORMATS.get(_first(tags, FORMAT, 1))
    if kind is None or bits not in ((32, 64) if kind == "f" else (8, 16, 32)):
        return None
    return np.dtype(f"<{kind}{bits // 8}")


def _grid(tags: Tags) -> tuple[float, float, float, float, float, float] | None:
    """The affine coefficients of a north-up grid of square pixels tied at its corner."""
    scale, tie = tags[PIXEL_SCALE], tags[TIE_POINT]
    if len(scale) < 2 or scale[0] != scale[1] or scale[0] <= 0 or len(tie) != 6 or tie[:2].any():
        return None
    return float(scale[0]), 0.0, float(tie[3]), 0.0, -float(scale[1]), float(tie[4])


def _crs_wkt(tags: Tags) -> str | None:
    """The text of a projected system given by its EPSG code alone, in metres, pixels being areas."""
    numbers = tags[GEO_KEYS]
    if len(numbers) % 4:
        return None
    table = numbers.reshape(-1, 4)[1 : 1 + int(numbers[3])]
    keys = {int(key): (int(place), int(value)) for key, place, _, value in table}
    place, code = keys.get(_PROJECTED, (0, 0))
    simple = (
        keys.keys() <= _HARMLESS_KEYS
        and place == 0
        and keys.get(_MODEL_TYPE) == (0, 1)
        and keys.get(_RASTER_TYPE, (0, 1)) == (0, 1)
        and keys.get(_UNIT, (0, 9001)) == (0, 9001)
    )
    return _wkt_of_epsg(code) if simple and 1024 <= code < 32767 else None


@lru_cache(maxsize=256)
def _wkt_of_epsg(code: int) -> str | None:
    """As rasterio says it, so that files read by either way compare equal; None for an unknown code."""
    try:
        return str(CRS.from_epsg(code).wkt)
    except CRSError:
        return None


def _empty(tags: Tags, dtype: np.dtype[Any]) -> float | None:
    """The value of blocks that are not stored: no data, else 0; None when it is not of the dtype."""
    if NO_DATA not in tags:
        return 0
    try:
        value = float(tags[NO_DATA].tobytes().rstrip(b"\0 "))
    except ValueError:
        return None
    if dtype.kind == "f":
        return value
    range_of = np.iinfo(dtype)
    return value if value.is_integer() and range_of.min <= value <= range_of.max else None
