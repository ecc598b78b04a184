"""The Sentinel-2 L2A band table: native resolution, wavelength, and each archive's name for a band.

Wavelengths: Sentinel-2A central wavelengths and bandwidths in nm, ESA Sentinel-2 User Handbook.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """One band; ``common_name`` is its asset key at Earth Search, ``earth_engine`` its name there."""

    name: str
    pixel_m: int
    common_name: str
    earth_engine: str
    wavelength_nm: float | None = None
    width_nm: float | None = None
    description: str


def _band(
    name: str, pixel_m: int, common: str, ee: str, nm: float | None, width: float | None, text: str
) -> Band:
    return Band(
        name=name,
        pixel_m=pixel_m,
        common_name=common,
        earth_engine=ee,
        wavelength_nm=nm,
        width_nm=width,
        description=text,
    )


BANDS: dict[str, Band] = {
    band.name: band
    for band in (
        _band("B01", 60, "coastal", "B1", 442.7, 21, "coastal aerosol"),
        _band("B02", 10, "blue", "B2", 492.4, 66, "blue"),
        _band("B03", 10, "green", "B3", 559.8, 36, "green"),
        _band("B04", 10, "red", "B4", 664.6, 31, "red"),
        _band("B05", 20, "rededge1", "B5", 704.1, 15, "red edge 1"),
        _band("B06", 20, "rededge2", "B6", 740.5, 15, "red edge 2"),
        _band("B07", 20, "rededge3", "B7", 782.8, 20, "red edge 3"),
        _band("B08", 10, "nir", "B8", 832.8, 106, "near infrared"),
        _band("B8A", 20, "nir08", "B8A", 864.7, 21, "narrow near infrared"),
        _band("B09", 60, "nir09", "B9", 945.1, 20, "water vapour"),
        _band("B11", 20, "swir16", "B11", 1613.7, 91, "short-wave infrared 1"),
        _band("B12", 20, "swir22", "B12", 2202.4, 175, "short-wave infrared 2"),
        _band("SCL", 20, "scl", "SCL", None, None, "scene classification"),
    )
}
REFLECTANCE_BANDS: tuple[str, ...] = tuple(name for name in BANDS if name != "SCL")


def bands_at(pixel_m: int, among: tuple[str, ...] = REFLECTANCE_BANDS) -> tuple[str, ...]:
    """The reflectance bands of ``among`` with this native resolution, in the order of the table."""
    return tuple(b for b in REFLECTANCE_BANDS if b in among and BANDS[b].pixel_m == pixel_m)


SCL_CLASSES: dict[int, str] = {
    0: "no data",
    1: "saturated or defective",
    2: "dark",
    3: "cloud shadow",
    4: "vegetation",
    5: "bare",
    6: "water",
    7: "unclassified",
    8: "cloud, medium probability",
    9: "cloud, high probability",
    10: "thin cirrus",
    11: "snow or ice",
}
SCL_MISSING, SCL_SHADOW, SCL_CLOUD, SCL_CLEAR, SCL_SNOW = (0, 1), (3,), (8, 9, 10), (2, 4, 5, 6, 7), (11,)
SCL_WATER = (6,)
