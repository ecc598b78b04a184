"""What is made of pixels: reflectance, vegetation indices, masks by name. Dask arrays stay lazy."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import xarray as xr

from ssl4eco_data.bands import SCL_CLEAR, SCL_CLOUD, SCL_SHADOW, SCL_SNOW
from ssl4eco_data.store.schema import SCALE

Pixels = TypeVar("Pixels", xr.DataArray, xr.Dataset)
RED, NEAR_INFRARED = "B04", "B08"
MASKS = {"clear": SCL_CLEAR, "snow": SCL_SNOW, "shadow": SCL_SHADOW, "cloud": SCL_CLOUD}
"""The classes of each mask; ``missing`` are all others."""


def reflectance(pixels: xr.DataArray) -> xr.DataArray:
    """Surface reflectance, float32, about 0 to 1; NaN where the stored integer is 0, which is no data."""
    values = pixels.where(pixels > 0).astype(np.float32) / np.float32(SCALE)
    facts = {"long_name": "surface reflectance", "units": "1", "_FillValue": np.nan, **_grid_mapping(pixels)}
    return values.assign_attrs(facts).rename("reflectance")


def ndvi(pixels: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """NDVI, float32 in [-1, 1] for reflectances of at least 0; NaN where a band has no data.

    ``(B08 - B04) / (B08 + B04)`` (Rouse et al. 1974; Tucker 1979, doi:10.1016/0034-4257(79)90013-0).
    ``pixels`` is a dataset (its ``r10``: select before, all of it is read), a cube, or reflectance. Raises
    ``ValueError`` where a band is not there.
    """
    red, near, _ = _red_and_near_infrared(pixels)
    total = red + near
    return _index((near - red) / total.where(total != 0), "ndvi", "normalised difference vegetation index")


def evi2(pixels: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """EVI2, float32; NaN where a band has no data.

    ``2.5 (B08 - B04) / (B08 + 2.4 B04 + 1)`` of reflectances (Jiang et al. 2008,
    doi:10.1016/j.rse.2008.06.006). ``pixels`` and errors as for :func:`ndvi`.
    """
    red, near, one = _red_and_near_infrared(pixels)
    total = near + np.float32(2.4) * red + np.float32(one)
    return _index(
        np.float32(2.5) * (near - red) / total.where(total != 0), "evi2", "two-band enhanced vegetation index"
    )


def masks(classes: xr.DataArray | xr.Dataset) -> xr.Dataset:
    """``clear``, ``snow``, ``shadow``, ``cloud``, ``missing``: bool, each pixel true in exactly one.

    ``classes`` is the scene classification (SCL), or a dataset with it as ``scl``. Clear is dark ground,
    vegetation, bare, water and unclassified; cloud has cirrus with it; missing has saturated pixels and
    classes that the Sentinel-2 definition does not know. Raises ``ValueError`` for reflectances.
    """
    scl = classes["scl"] if isinstance(classes, xr.Dataset) else classes
    if any(str(dim).startswith("band") for dim in scl.dims):
        raise ValueError("masks are made of the scene classification (scene_classes), got an array of bands")
    found = {name: scl.isin(values).assign_attrs(_grid_mapping(scl)) for name, values in MASKS.items()}
    known = [value for values in MASKS.values() for value in values]
    return xr.Dataset({**found, "missing": (~scl.isin(known)).assign_attrs(_grid_mapping(scl))})


def _red_and_near_infrared(pixels: xr.DataArray | xr.Dataset) -> tuple[xr.DataArray, xr.DataArray, float]:
    """Both bands as float32, NaN where there is no data, and what a reflectance of 1 is in their unit."""
    if isinstance(pixels, xr.Dataset):
        if "r10" not in pixels:
            raise ValueError(f"this needs {RED} and {NEAR_INFRARED}, and the dataset has no bands at 10 m")
        pixels = pixels["r10"]
    dim = next((str(d) for d in pixels.dims if str(d).startswith("band")), None)
    bands = [] if dim is None else pixels[dim].to_numpy().tolist()
    if dim is None or not {RED, NEAR_INFRARED} <= set(bands):
        raise ValueError(f"this needs {RED} and {NEAR_INFRARED}, there is {', '.join(bands) or 'no band'}")
    red, near = (pixels.sel({dim: band}, drop=True) for band in (RED, NEAR_INFRARED))
    if pixels.dtype.kind == "f":
        return red, near, 1.0
    red, near = (band.where(band > 0).astype(np.float32) for band in (red, near))
    return red, near, SCALE


def _index(values: xr.DataArray, name: str, long_name: str) -> xr.DataArray:
    facts = {"long_name": long_name, "units": "1", "_FillValue": np.nan, **_grid_mapping(values)}
    return values.assign_attrs(facts).rename(name)


def _grid_mapping(pixels: xr.DataArray) -> dict[str, str]:
    return {"grid_mapping": "spatial_ref"} if "spatial_ref" in pixels.coords else {}
