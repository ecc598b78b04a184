"""The dates of the pixels around locations: derived from a vegetation series, or those of a product."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import xarray as xr

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.earth_engine import EarthEngineArchive
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.phenology import derive_cycles
from ssl4eco_data.phenology.readers.mcd12q2_cycles import product_cycles
from ssl4eco_data.types import Location


def dated_pixels(
    config: Config, archive: Archive, locations: Sequence[Location]
) -> tuple[xr.Dataset, xr.Dataset]:
    """(series, pixels) for :func:`~ssl4eco_data.phenology.summarise`, as ``phenology.source`` asks.

    With a product the series has no times: only the pixels inside each patch. Raises ConfigError for an
    archive without the product.
    """
    start, end = config.period.vegetation
    if config.phenology.source == "series":
        series = archive.vegetation_series(locations, start, end)
        return series, derive_cycles(series, config.phenology)
    if not isinstance(archive, EarthEngineArchive):
        raise ConfigError(
            'phenology.source = "mcd12q2" needs archive.kind = "earth_engine": other archives have no '
            'MCD12Q2; set phenology.source = "series"'
        )
    product = archive.phenology_product(locations, start.year, (end - timedelta(days=1)).year)
    return _without_times(product), product_cycles(product, config.phenology)


def _without_times(product: xr.Dataset) -> xr.Dataset:
    """The form of a vegetation series over the pixels of a product, without any observation."""
    dims = ("location", "time", "y", "x")
    shape = (product.sizes["location"], 0, product.sizes["y"], product.sizes["x"])
    return xr.Dataset(
        {
            "value": (dims, np.zeros(shape, np.float32)),
            "day": (dims, np.zeros(shape)),
            "weight": (dims, np.zeros(shape, np.float32)),
            "snow": (dims, np.zeros(shape, np.bool_)),
            "inside": product["inside"],
        },
        coords={"location": product["location"], "time": np.zeros(0, "datetime64[ns]")},
        attrs={"index": "evi2"},
    )
