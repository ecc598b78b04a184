"""Which points are on land: by the packaged 1 km mask, or by any polygon layer.

The packaged mask is that of global-land-mask (NOAA GLOBE elevation, 30 arc seconds). It calls lakes and the
Caspian Sea land; a polygon layer can leave them out.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.polygons import Layer, contains
from ssl4eco_data.types import BoolArray, FloatArray

_PIXELS_PER_DEG = 120
_ROWS, _COLUMNS = 180 * _PIXELS_PER_DEG, 360 * _PIXELS_PER_DEG
_STRIP_ROWS = 240
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
# The stub of isal calls its exception's class an exception.
_UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    zipfile.BadZipFile,
    IsalError,  # type: ignore[assignment]
)


def on_land(lon_deg: FloatArray, lat_deg: FloatArray, layer: Layer | None = None) -> BoolArray:
    """True for points on land: in a polygon of ``layer``, or in the packaged mask without one.

    Raises :class:`~ssl4eco_data.errors.ConfigError` when the packaged mask cannot be read.
    """
    if layer is not None:
        return contains(layer, lon_deg, lat_deg)
    return _in_packaged_mask(lon_deg, lat_deg)


def _in_packaged_mask(lon_deg: FloatArray, lat_deg: FloatArray) -> BoolArray:
    row = np.clip(((90 - lat_deg) * _PIXELS_PER_DEG).astype(np.int64), 0, _ROWS - 1)
    column = np.clip(((lon_deg + 180) * _PIXELS_PER_DEG).astype(np.int64), 0, _COLUMNS - 1)
    land = np.zeros(len(row), bool)
    if len(row) == 0:
        return land
    order = np.argsort(row, kind="stable")
    first_of_strip = np.searchsorted(row[order], np.arange(0, _ROWS + _STRIP_ROWS, _STRIP_ROWS))
    for strip, ocean in enumerate(_ocean_strips()):
        at = order[first_of_strip[strip] : first_of_strip[strip + 1]]
        land[at] = ~ocean[row[at] - strip * _STRIP_ROWS, column[at]]
    return land


def _ocean_strips() -> Iterator[BoolArray]:
    """The packaged mask from north to south, ``(_STRIP_ROWS, _COLUMNS)`` at a time, True where water is.

    Never the whole of it: importing its package would hold 1 GB for the life of the process.
    """
    path = _mask_file()
    try:
        with _inflated(path) as stream:
            _skip_header(stream)
            for _ in range(_ROWS // _STRIP_ROWS):
                strip = stream.read(_STRIP_ROWS * _COLUMNS)
                yield np.frombuffer(strip, bool).reshape(_STRIP_ROWS, _COLUMNS)
            stream.read(1)  # the checksum is compared where the stream ends
    except _UNREADABLE as error:
        raise ConfigError(
            f"cannot read the packaged land mask {path} ({error}): install global-land-mask 1.0.0 again, or "
            "name a polygon layer in locations.source.land"
        ) from error


def _inflated(path: Path) -> IO[bytes]:
    """The mask's array file as a stream that ends with a comparison of its checksum.

    Inflating is where the time goes, so ISA-L does it in place of zlib. It reads gzip, which wraps the same
    compressed bytes, checksum and length as zip does. Sources: RFC 1952; PKWARE, .ZIP File Format
    Specification, section 4.3.7.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        member = archive.getinfo("mask.npy")
        file.seek(member.header_offset + 26)
        file.seek(sum(struct.unpack("<HH", file.read(4))), io.SEEK_CUR)
        deflated = file.read(member.compress_size)
    check = struct.pack("<LL", member.CRC, member.file_size)
    stream: IO[bytes] = igzip.open(io.BytesIO(_GZIP_HEADER + deflated + check))
    return stream


def _skip_header(stream: IO[bytes]) -> None:
    np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if (shape, fortran_order, dtype) != ((_ROWS, _COLUMNS), False, np.dtype(bool)):
        raise ConfigError(
            f"the packaged land mask has shape {shape} and type {dtype}, not {(_ROWS, _COLUMNS)} bool: "
            "install global-land-mask 1.0.0, or name a polygon layer in locations.source.land"
        )


def _mask_file() -> Path:
    spec = find_spec("global_land_mask")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "the packaged land mask is not installed: install global-land-mask (in the extra 'build'), or "
            "name a polygon layer in locations.source.land"
        )
    return Path(spec.submodule_search_locations[0]) / "globe_combined_mask_compressed.npz"
