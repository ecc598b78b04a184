"""Pure rules for the pixels of a patch: reflectance offset, mask statistics, vegetation."""

from ssl4eco_data.patches.masks import MaskFractions, blue_quantile, haze_median, mask_fractions, mean_ndvi
from ssl4eco_data.patches.offset import low_quantile, offset_dn, offset_jump, remove_offset

__all__ = [
    "MaskFractions",
    "blue_quantile",
    "haze_median",
    "low_quantile",
    "mask_fractions",
    "mean_ndvi",
    "offset_dn",
    "offset_jump",
    "remove_offset",
]
