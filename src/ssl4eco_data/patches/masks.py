"""What the scene classification (SCL) says about a patch, and how green the patch is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ssl4eco_data.bands import SCL_CLEAR, SCL_CLOUD, SCL_MISSING, SCL_SHADOW, SCL_SNOW, SCL_WATER
from ssl4eco_data.patches.offset import DN_SCALE
from ssl4eco_data.types import BoolArray, FloatArray, UInt16Array

_CLASS_COUNT = 256
NO_BLUE = (*SCL_MISSING, *SCL_SNOW)
"""Classes whose pixels say nothing about the brightness of blue."""
NO_HAZE = (*NO_BLUE, *SCL_WATER)
"""Classes that lie off the line of clear ground."""


class MaskFractions(NamedTuple):
    """Shares of a patch, in [0, 1]; they sum to one."""

    clear: float
    snow: float
    shadow: float
    cloud: float
    missing: float


def mask_fractions(scl: npt.NDArray[np.integer]) -> MaskFractions:
    """Shares of clear, snow, shadow, cloud and missing pixels of an SCL window ``(y, x)``.

    Classes that the Sentinel-2 definition does not know count as missing. Raises ValueError when ``scl``
    is empty.
    """
    if not scl.size:
        raise ValueError(f"scl must hold at least one pixel, got shape {scl.shape}")
    counts = np.bincount(scl.ravel(), minlength=_CLASS_COUNT)
    return class_fractions(dict(enumerate(counts.tolist())), scl.size)


def class_fractions(counts: Mapping[int, int], size: int) -> MaskFractions:
    """Shares of a patch of ``size`` pixels from the number of its pixels in each class of the SCL.

    Pixels in no class that is known count as missing.
    """
    kinds = (SCL_CLEAR, SCL_SNOW, SCL_SHADOW, SCL_CLOUD)
    clear, snow, shadow, cloud = (sum(counts.get(each, 0) for each in classes) for classes in kinds)
    missing = size - clear - snow - shadow - cloud
    return MaskFractions(*(count / size for count in (clear, snow, shadow, cloud, missing)))


def blue_quantile(blue: UInt16Array, scl: npt.NDArray[np.integer]) -> float:
    """The 95 % quantile of blue reflectance (0-1) over pixels neither missing nor snow; NaN without any.

    ``blue`` is corrected DN ``(2y, 2x)`` at 10 m with 0 = no data, ``scl`` ``(y, x)`` at 20 m.
    """
    return bright_end(blue[(blue > 0) & ~_at_10m(np.isin(scl, NO_BLUE))])


def bright_end(blue_dn: npt.NDArray[np.number]) -> float:
    """The 95 % quantile of blue DN ``(n,)`` as reflectance (0-1); NaN without any."""
    return float(np.quantile(blue_dn, 0.95)) * DN_SCALE if blue_dn.size else float("nan")


def haze_median(blue: UInt16Array, red: UInt16Array, scl: npt.NDArray[np.integer]) -> float:
    """The median of blue - red / 2 (reflectance) over pixels not missing, snow or water; NaN without any.

    ``blue`` and ``red`` are corrected DN ``(2y, 2x)`` at 10 m with 0 = no data, ``scl`` ``(y, x)`` at 20 m.
    Clear ground lies near one line in the blue-red plane, haze and cloud off it (Zhang et al. 2002,
    doi:10.1016/S0034-4257(02)00034-2); the slope 0.5 is that of Fmask (Zhu and Woodcock 2012,
    doi:10.1016/j.rse.2011.10.028). Water lies off the line too, so a flood must not count.
    """
    ground = (blue > 0) & (red > 0) & ~_at_10m(np.isin(scl, NO_HAZE))
    return middle(blue[ground].astype(np.float64) - 0.5 * red[ground])


def middle(haze_dn: FloatArray) -> float:
    """The median of blue - red / 2 in DN ``(n,)`` as reflectance; NaN without any."""
    return float(np.median(haze_dn)) * DN_SCALE if haze_dn.size else float("nan")


def mean_ndvi(red: UInt16Array, nir: UInt16Array, scl: npt.NDArray[np.integer] | None = None) -> float:
    """Mean of (nir - red) / (nir + red) over pixels with data in both bands; NaN without any.

    ``red`` and ``nir`` are corrected DN ``(y, x)`` at 10 m. With ``scl`` ``(y/2, x/2)`` at 20 m only
    clear pixels count.
    """
    seen = (red > 0) & (nir > 0)
    if scl is not None:
        seen &= _at_10m(np.isin(scl, SCL_CLEAR))
    r, n = red[seen].astype(np.float64), nir[seen].astype(np.float64)
    return float(np.mean((n - r) / (n + r))) if r.size else float("nan")


def _at_10m(mask: BoolArray) -> BoolArray:
    return mask.repeat(2, axis=0).repeat(2, axis=1)
