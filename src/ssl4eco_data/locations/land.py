"""Which points are on land: by the packaged 1 km mask, or by any polygon layer.

The packaged mask is that of global-land-mask (NOAA GLOBE elevation, 30 arc seconds). It calls lakes and the
Caspian Sea land; a polygon layer can leave them out.
"""

from __future__ import annotations

import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.polygons import Layer, contains
from ssl4eco_data.types import BoolArray, FloatArray

_PIXELS_PER_DEG = 120
_ROWS, _COLUMNS = 180 * _PIXELS_PER_DEG, 360 * _PIXELS_PER_DEG
_STRIP_ROWS = 240


def on_land(lon_deg: FloatArray, lat_deg: FloatArray, layer: Layer | None = None) -> BoolArray:
    """True for points on land: in a polygon of ``layer``, or in the packaged mask without one.

    Raises :class:`~ssl4eco_data.errors.ConfigError` when the packaged mask cannot be read.
    """
    if layer is not None:
        return contains(layer, lon_deg, lat_deg)
    return _in_packaged_mask(lon_deg, lat_deg)


def _in_packaged_mask(lon_deg: FloatArray, lat_deg: FloatArray) -> BoolArray:
    """The mask is read strip by strip: importing its package would hold 1 GB for the life of the process."""
    row = np.clip(((90 - lat_deg) * _PIXELS_PER_DEG).astype(np.int64), 0, _ROWS - 1)
    column = np.clip(((lon_deg + 180) * _PIXELS_PER_DEG).astype(np.int64), 0, _COLUMNS - 1)
    land = np.zeros(len(row), bool)
    if len(row) == 0:
        return land
    order = np.argsort(row, kind="stable")
    first_of_strip = np.searchsorted(row[order], np.arange(0, _ROWS + _STRIP_ROWS, _STRIP_ROWS))
    with zipfile.ZipFile(_mask_file()) as archive, archive.open("mask.npy") as stream:
        _skip_header(stream)
        for strip in range(int(row.max()) // _STRIP_ROWS + 1):
            ocean = np.frombuffer(stream.read(_STRIP_ROWS * _COLUMNS), bool).reshape(-1, _COLUMNS)
            at = order[first_of_strip[strip] : first_of_strip[strip + 1]]
            land[at] = ~ocean[row[at] - strip * _STRIP_ROWS, column[at]]
    return land


def _skip_header(stream: IO[bytes]) -> None:
    np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if (shape, fortran_order, dtype) != ((_ROWS, _COLUMNS), False, np.dtype(bool)):
        raise ConfigError(
            f"the packaged land mask has shape {shape} and type {dtype}, not {(_ROWS, _COLUMNS)} bool: "
            "install global-land-mask 1.0.0, or name a polygon layer in locations.source.land"
        )


@cache
def _mask_file() -> Path:
    spec = find_spec("global_land_mask")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "the packaged land mask is not installed: install global-land-mask (in the extra 'build'), or "
            "name a polygon layer in locations.source.land"
        )
    return Path(spec.submodule_search_locations[0]) / "globe_combined_mask_compressed.npz"
