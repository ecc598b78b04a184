"""Pure rules for the pixels of a patch: reflectance offset, mask statistics, vegetation."""

from ssl4eco_data.patches.masks import (
    NO_BLUE,
    NO_HAZE,
    MaskFractions,
    blue_quantile,
    bright_end,
    class_fractions,
    haze_median,
    mask_fractions,
    mean_ndvi,
    middle,
)
from ssl4eco_data.patches.offset import dark_ground_jump, low_quantile, offset_dn, offset_jump, remove_offset

__all__ = [
    "NO_BLUE",
    "NO_HAZE",
    "MaskFractions",
    "blue_quantile",
    "bright_end",
    "class_fractions",
    "dark_ground_jump",
    "haze_median",
    "low_quantile",
    "mask_fractions",
    "mean_ndvi",
    "middle",
    "offset_dn",
    "offset_jump",
    "remove_offset",
]
