"""A vegetation series from Sentinel-2 itself, where an archive has no MODIS.

Index and weights are those of :mod:`ssl4eco_data.phenology.readers.sentinel2`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from ssl4eco_data.archives.series import Cube, dataset_of, or_failure
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.patches.offset import DN_SCALE
from ssl4eco_data.phenology.readers.sentinel2 import SCL_SNOW, evi2, scl_weights
from ssl4eco_data.types import FloatArray, Footprint, Location, Scene, UInt16Array

BANDS = ("B04", "B08", "SCL")
Read = Callable[[Scene, Footprint, Sequence[str]], Mapping[str, UInt16Array]]


def scene_series(
    found: Sequence[Sequence[Scene]], locations: Sequence[Location], pixel_m: int, read: Read
) -> xr.Dataset:
    """EVI2 in cells of ``pixel_m`` around each location from the scenes found there.

    One time per acquisition. Where tiles of one pass overlap, the first by scene id is taken, the others
    fill what it does not show. A scene that cannot be read for good is no observation; attribute
    ``unreadable`` lists the causes. Raises ValueError when the cells do not divide a patch.
    """
    passes = _passes([scene for scenes in found for scene in scenes if not scene.failure])
    number_of = {acquisition: number for number, acquisition in enumerate(passes)}
    cubes, failures = [], []
    for scenes, location in zip(found, locations, strict=True):
        side = location.footprint.grid(pixel_m).size_px
        cube = Cube.empty(len(passes), np.ones((side, side), np.bool_))
        for scene in sorted(scenes, key=lambda s: s.scene_id):
            if scene.failure:
                failures.append(scene.failure)
                continue
            bands = or_failure(partial(read, scene, location.footprint, BANDS))
            if isinstance(bands, ArchiveError):
                failures.append(str(bands))
                continue
            value, weight, snow = cells(bands, pixel_m)
            number = number_of[scene.acquisition]
            new = (weight > 0) & (cube.weight[number] == 0)
            cube.value[number][new], cube.weight[number][new] = value[new], weight[new]
            cube.snow[number][new] = snow[new]
            cube.day[number][new] = (scene.time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1)
        cubes.append(cube)
    return dataset_of(locations, list(passes.values()), cubes, "evi2", failures)


def _passes(scenes: Sequence[Scene]) -> dict[str, datetime]:
    """The first time of each acquisition, in the order of time."""
    first: dict[str, datetime] = {}
    for scene in scenes:
        first[scene.acquisition] = min(scene.time, first.get(scene.acquisition, scene.time))
    return dict(sorted(first.items(), key=lambda entry: (entry[1], entry[0])))


def cells(
    bands: Mapping[str, UInt16Array], pixel_m: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """(EVI2, weight, snow) per cell ``(y, x)``, from ``B04``, ``B08`` at 10 m and ``SCL`` at 20 m.

    A cell's EVI2 is that of the mean reflectances of its observed pixels; its weight is the mean over
    all its pixels, so a cell half under cloud counts half; it is snow when most of its weight is. Cells
    without observed pixels are NaN with weight 0.
    """
    scl = bands["SCL"].repeat(2, axis=0).repeat(2, axis=1)
    share = scl_weights(scl)
    share[(bands["B04"] == 0) | (bands["B08"] == 0)] = 0
    weight = _mean(share, pixel_m // 10)
    snow = _mean(share * (scl == SCL_SNOW), pixel_m // 10) > 0.5 * weight
    total = np.where(weight > 0, weight, np.nan)
    red, nir = (_mean(share * bands[name] * DN_SCALE, pixel_m // 10) / total for name in ("B04", "B08"))
    return evi2(red, nir), weight, snow & (weight > 0)


def _mean(image: FloatArray, size: int) -> FloatArray:
    """Means of square cells of ``size`` pixels."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    return np.asarray(image.reshape(rows, size, columns, size).mean(axis=(1, 3)))
