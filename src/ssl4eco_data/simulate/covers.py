"""Surface reflectance of land covers, snow and cloud in the twelve Sentinel-2 L2A bands.

Rows follow ``REFLECTANCE_BANDS``. The values are rounded, typical surface reflectances: high near-infrared
and a red absorption for leaves, a monotonous rise for soils and litter, dark water, snow bright up to 1 um
and dark beyond, cloud bright everywhere with a dip in the water vapour band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl4eco_data.bands import REFLECTANCE_BANDS

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """A land cover: its spectra at full green and when dormant, and the share of snow its canopy hides.

    ``scl`` is the class of a bare surface of this cover (5 bare, 6 water); plants turn to 4 when green.
    ``parcel_m`` is the usual side of a parcel where this cover dominates.
    """

    green: tuple[float, ...]
    dormant: tuple[float, ...]
    hides_snow: float = 0.0
    vegetated: bool = True
    scl: int = 5
    parcel_m: float = 160.0

    def __post_init__(self) -> None:
        for name in ("green", "dormant"):
            if len(getattr(self, name)) != len(REFLECTANCE_BANDS):
                raise ValueError(
                    f"{name} needs {len(REFLECTANCE_BANDS)} reflectances, got {getattr(self, name)}"
                )


_BROADLEAF = (0.018, 0.022, 0.050, 0.028, 0.085, 0.270, 0.350, 0.400, 0.420, 0.400, 0.200, 0.090)
_NEEDLES = (0.015, 0.018, 0.034, 0.022, 0.055, 0.150, 0.185, 0.215, 0.225, 0.215, 0.100, 0.045)
_TROPICAL = (0.016, 0.019, 0.045, 0.024, 0.075, 0.260, 0.330, 0.380, 0.400, 0.380, 0.170, 0.070)
_GRASS = (0.025, 0.034, 0.070, 0.045, 0.110, 0.270, 0.330, 0.370, 0.390, 0.370, 0.230, 0.120)
_CROP = (0.020, 0.028, 0.065, 0.032, 0.100, 0.320, 0.430, 0.480, 0.500, 0.470, 0.220, 0.100)
_SHRUB = (0.024, 0.030, 0.056, 0.044, 0.095, 0.190, 0.230, 0.260, 0.275, 0.265, 0.200, 0.110)
_TWIGS = (0.030, 0.040, 0.060, 0.075, 0.110, 0.150, 0.170, 0.190, 0.210, 0.210, 0.220, 0.140)
_LITTER = (0.040, 0.055, 0.085, 0.115, 0.150, 0.185, 0.205, 0.235, 0.260, 0.260, 0.330, 0.240)
_TUSSOCK = (0.030, 0.040, 0.060, 0.080, 0.105, 0.135, 0.150, 0.170, 0.190, 0.190, 0.240, 0.160)
_SOIL = (0.050, 0.065, 0.090, 0.125, 0.150, 0.165, 0.180, 0.200, 0.215, 0.220, 0.280, 0.230)
_SAND = (0.110, 0.150, 0.220, 0.310, 0.350, 0.370, 0.390, 0.410, 0.420, 0.430, 0.520, 0.470)
_ROCK = (0.070, 0.085, 0.110, 0.135, 0.150, 0.160, 0.170, 0.180, 0.185, 0.190, 0.230, 0.210)
_WATER = (0.045, 0.042, 0.038, 0.024, 0.018, 0.013, 0.012, 0.011, 0.010, 0.010, 0.007, 0.005)
_BUILT = (0.100, 0.120, 0.135, 0.150, 0.165, 0.180, 0.190, 0.200, 0.210, 0.210, 0.220, 0.190)
_WINTER_NEEDLES = (0.017, 0.021, 0.034, 0.032, 0.056, 0.118, 0.142, 0.162, 0.172, 0.170, 0.100, 0.050)

COVERS: dict[str, Cover] = {
    "broadleaf": Cover(green=_BROADLEAF, dormant=_TWIGS, hides_snow=0.35, parcel_m=180),
    "conifer": Cover(green=_NEEDLES, dormant=_WINTER_NEEDLES, hides_snow=0.7, parcel_m=190),
    "evergreen": Cover(green=_TROPICAL, dormant=_TWIGS, hides_snow=0.7, parcel_m=190),
    "savanna": Cover(green=_GRASS, dormant=_LITTER, parcel_m=190),
    "grass": Cover(green=_GRASS, dormant=_LITTER, parcel_m=200),
    "crop": Cover(green=_CROP, dormant=_SOIL, parcel_m=150),
    "shrub": Cover(green=_SHRUB, dormant=_LITTER, hides_snow=0.2, parcel_m=200),
    "tundra": Cover(green=_GRASS, dormant=_TUSSOCK, parcel_m=160),
    "soil": Cover(green=_SOIL, dormant=_SOIL, vegetated=False),
    "sand": Cover(green=_SAND, dormant=_SAND, vegetated=False),
    "rock": Cover(green=_ROCK, dormant=_ROCK, vegetated=False),
    "water": Cover(green=_WATER, dormant=_WATER, vegetated=False, scl=6),
    "built": Cover(green=_BUILT, dormant=_BUILT, hides_snow=0.3, vegetated=False),
}

SNOW: Float32Array = np.array(
    [0.90, 0.92, 0.90, 0.89, 0.88, 0.86, 0.84, 0.82, 0.79, 0.70, 0.12, 0.09], np.float32
)
CLOUD: Float32Array = np.array(
    [0.74, 0.72, 0.71, 0.71, 0.71, 0.72, 0.72, 0.72, 0.71, 0.50, 0.56, 0.42], np.float32
)
HAZE: Float32Array = np.array([1.0, 0.8, 0.55, 0.4, 0.35, 0.3, 0.28, 0.25, 0.24, 0.2, 0.08, 0.04], np.float32)
"""Aerosol path reflectance relative to B01; falls with wavelength."""
SHADOW_DIRECT: Float32Array = np.array(
    [0.55, 0.58, 0.63, 0.67, 0.69, 0.71, 0.73, 0.75, 0.76, 0.78, 0.86, 0.9], np.float32
)
"""Share of the light that comes straight from the sun, which a thick cloud takes away; less in the blue."""


def evi(blue: Float32Array, red: Float32Array, nir: Float32Array) -> Float32Array:
    """Enhanced vegetation index, float32. Formula: Huete et al. 2002, as in MOD13."""
    return np.asarray(2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1), np.float32)
