"""What people have on disk, as the labelled series of ``derive_cycles`` or as its dates."""

from ssl4eco_data.phenology.readers.mcd12q2 import product_dates
from ssl4eco_data.phenology.readers.mod13 import composite_series, composite_table
from ssl4eco_data.phenology.readers.rasters import read_bands, read_stack
from ssl4eco_data.phenology.readers.sentinel2 import reflectance_series
from ssl4eco_data.phenology.readers.times import composite_dates

__all__ = [
    "composite_dates",
    "composite_series",
    "composite_table",
    "product_dates",
    "read_bands",
    "read_stack",
    "reflectance_series",
]
