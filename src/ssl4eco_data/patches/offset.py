"""The radiometric offset of processing baseline 04.00: read from an item, removed, checked on pixels.

Since baseline 04.00 Level-2A digital numbers carry +1000 (ESA, Sentinel-2 Products Specification
Document, BOA_ADD_OFFSET). Archives differ in whether they have taken it out again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.bands import SCL_SHADOW, SCL_WATER
from ssl4eco_data.types import FloatArray, UInt16Array

BASELINE_OFFSET_DN = -1000
FIRST_OFFSET_BASELINE = (4, 0)
DN_SCALE = 1e-4
"""Reflectance of one DN."""
JUMP_TOLERANCE_DN = 300.0
"""A quantile of the ground itself moves less than this between dates of a location."""
SCL_VEGETATION = 4
_DARK_GROUND = (*SCL_SHADOW, SCL_VEGETATION, *SCL_WATER)
_VISIBLE = ("B02", "B03", "B04")
_FEWEST_BANDS, _FEWEST_PIXELS = 2, 256


def offset_dn(properties: Mapping[str, Any], raster_band: Mapping[str, Any] | None) -> int:
    """The number to add to every non-zero DN: 0, or -1000 where the archive left the offset in.

    ``properties`` are a STAC item's, ``raster_band`` its reflectance asset's ``raster:bands`` entry.
    ``earthsearch:boa_offset_applied`` comes first, because that catalogue goes on stating the offset it
    has removed; then the band's own offset; then the processing baseline. Raises ValueError for a
    baseline that is no version number.
    """
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0
    if raster_band is not None and raster_band.get("offset") is not None:
        return round(float(raster_band["offset"]) / float(raster_band.get("scale") or DN_SCALE))
    baseline = properties.get("s2:processing_baseline") or properties.get("processing:version")
    return BASELINE_OFFSET_DN if baseline and _version(str(baseline)) >= FIRST_OFFSET_BASELINE else 0


def _version(baseline: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in baseline.split("."))
    except ValueError as error:
        raise ValueError(f"s2:processing_baseline must look like '05.10', got {baseline!r}") from error


def remove_offset(dn: npt.NDArray[np.generic], offset_dn: int) -> UInt16Array:
    """``dn + offset_dn`` as uint16: 0 (no data) stays 0, the rest is clipped to 1 ... 65535."""
    shifted = np.clip(dn.astype(np.int32) + offset_dn, 1, np.iinfo(np.uint16).max)
    return np.where(dn == 0, 0, shifted).astype(np.uint16)


def low_quantile(dn: UInt16Array) -> float:
    """The 1 % quantile of the valid (non-zero) DN; NaN when there are none."""
    valid = dn[dn > 0]
    return float(np.quantile(valid, 0.01)) if valid.size else float("nan")


def offset_jump(quantiles: FloatArray) -> npt.NDArray[np.int16]:
    """+1000 or -1000 for each scene that lies so far from the location's others, else 0; ``(scene,)``.

    ``quantiles`` ``(scene, band)`` are :func:`low_quantile` of one location's patches, NaN where missing.
    A scene jumps when every band differs from the median of the other scenes by 1000 within 300 DN. A
    downward jump that ends at the clip value 1 counts for a band too, but one band must show all of it.
    A scene without others to compare it with never jumps.
    """
    jumps = np.zeros(len(quantiles), np.int16)
    for i, own in enumerate(quantiles):
        others = np.delete(quantiles, i, axis=0)
        usable = np.isfinite(own) & np.isfinite(others).any(axis=0)
        if usable.any():
            jumps[i] = _jump(own[usable], np.nanmedian(others[:, usable], axis=0))
    return jumps


def _jump(own: FloatArray, reference: FloatArray) -> int:
    step = own - reference
    if np.all(np.abs(step + BASELINE_OFFSET_DN) <= JUMP_TOLERANCE_DN):
        return -BASELINE_OFFSET_DN
    down = np.abs(step - BASELINE_OFFSET_DN) <= JUMP_TOLERANCE_DN
    clipped = (own <= 1) & (reference < -BASELINE_OFFSET_DN + JUMP_TOLERANCE_DN)
    return BASELINE_OFFSET_DN if np.all(down | clipped) and down.any() else 0


def dark_ground_jump(bands: Mapping[str, UInt16Array], scl: npt.NDArray[np.integer]) -> int:
    """+1000 or -1000 where one date's own dark ground lies so far off, else 0; asks no other date.

    ``bands`` are corrected DN keyed ``B02``, ``B03``, ``B04`` (10 m) and ``B12`` (20 m), those that there
    are; ``scl`` is ``(y, x)`` at 20 m. Water, shadow and vegetation hold pixels below a reflectance of 0.1
    in all of them; where even the darkest hundredth lies above, the offset is still in. Vegetation is never
    black in all of the visible; where half of it is clipped at 1, the offset was taken twice. Deserts and
    snow say nothing, and neither do fewer than 256 pixels of 10 m.
    """
    known = [name for name in (*_VISIBLE, "B12") if name in bands]
    dark = [_ground(bands[name], scl, _DARK_GROUND) for name in known]
    if "B04" not in known or len(known) < _FEWEST_BANDS:
        return 0
    if all(low_quantile(ground) >= -BASELINE_OFFSET_DN for ground in dark) and dark[0].size >= _FEWEST_PIXELS:
        return -BASELINE_OFFSET_DN
    green = [_ground(bands[name], scl, (SCL_VEGETATION,)) for name in known if name != "B12"]
    black = all(g.size >= _FEWEST_PIXELS and np.median(g) <= 1 for g in green)
    return BASELINE_OFFSET_DN if black else 0


def _ground(dn: UInt16Array, scl: npt.NDArray[np.integer], classes: Sequence[int]) -> UInt16Array:
    """The valid DN of pixels of these classes."""
    size = dn.shape[0] // scl.shape[0]
    mask = np.isin(scl, classes).repeat(size, axis=0).repeat(size, axis=1)
    return dn[mask & (dn > 0)]
