"""The nouns of the project: frozen, self-checking values that every layer shares.

Longitude before latitude, x before y. Metres are metres of the UTM zone named by ``epsg``.
Fractions are in [0, 1]. Digital numbers (DN) are surface reflectance x 10 000 with 0 = no data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic.fields import FieldInfo

UInt16Array = npt.NDArray[np.uint16]
UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""
SNAP_M = 20.0
"""Patch corners sit on this grid: every Sentinel-2 tile origin is a multiple of 20 m."""


class Parameters(BaseModel):
    """Base of every stage's parameters: immutable; unknown keys and wrong types are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _beside_configuration(value: str, info: ValidationInfo) -> str:
    base = (info.context or {}).get("base")
    if base is None or "://" in value:
        return value
    return str((Path(base) / Path(value).expanduser()).resolve())


LocalPath = Annotated[str, AfterValidator(_beside_configuration)]
"""A file, folder or URL in a configuration; relative paths start at the configuration file's folder."""


def local_paths(field: FieldInfo, value: Any) -> tuple[str, ...]:
    """The paths in a model's field of :data:`LocalPath`, perhaps optional, or of a tuple of them."""
    if not value or not (get_args(LocalPath)[1] in field.metadata or _holds_path(field.annotation)):
        return ()
    return (value,) if isinstance(value, str) else tuple(path for path in value if path)


def _holds_path(annotation: Any) -> bool:
    parts = get_args(annotation)
    return get_args(LocalPath)[1] in parts or any(map(_holds_path, parts))


def _check_utm(epsg: int) -> None:
    if not (32601 <= epsg <= 32660 or 32701 <= epsg <= 32760):
        raise ValueError(f"epsg must be a WGS 84 UTM zone (32601-32660 or 32701-32760), got {epsg}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGrid:
    """North-up pixel grid of one patch at one resolution; ``west_m``, ``north_m`` are its outer corner."""

    epsg: int
    west_m: float
    north_m: float
    pixel_m: float
    size_px: int

    def __post_init__(self) -> None:
        _check_utm(self.epsg)
        if not self.pixel_m > 0:
            raise ValueError(f"pixel_m must be positive, got {self.pixel_m}")
        if self.size_px < 1:
            raise ValueError(f"size_px must be at least 1, got {self.size_px}")

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north)."""
        side = self.pixel_m * self.size_px
        return self.west_m, self.north_m - side, self.west_m + side, self.north_m

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients (a, b, c, d, e, f) in the order of ``affine.Affine`` and rasterio."""
        return self.pixel_m, 0.0, self.west_m, 0.0, -self.pixel_m, self.north_m


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Square ground area of a patch, shared by all bands and seasons of a location.

    The corner is snapped to the 20 m grid, so 10 m and 20 m pixels share corners in every tile of the zone.
    """

    epsg: int
    west_m: float
    north_m: float
    size_m: float

    def __post_init__(self) -> None:
        _check_utm(self.epsg)
        for name in ("west_m", "north_m", "size_m"):
            value = getattr(self, name)
            if not math.isfinite(value) or value % SNAP_M:
                raise ValueError(f"{name} must be a multiple of {SNAP_M:g} m, got {value}")
        if self.size_m <= 0:
            raise ValueError(f"size_m must be positive, got {self.size_m}")

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """(west, south, east, north)."""
        return self.west_m, self.north_m - self.size_m, self.west_m + self.size_m, self.north_m

    def grid(self, pixel_m: float) -> PatchGrid:
        """The 10 m or 20 m pixel grid of this footprint."""
        size = self.size_m / pixel_m
        if not size.is_integer():
            raise ValueError(f"pixel_m must divide the patch side {self.size_m:g} m, got {pixel_m}")
        return PatchGrid(
            epsg=self.epsg, west_m=self.west_m, north_m=self.north_m, pixel_m=pixel_m, size_px=int(size)
        )

    def grid_60m(self, tile_west_m: float, tile_north_m: float) -> PatchGrid:
        """The window of a tile's own 60 m grid, from the pixel that holds the north-west corner.

        The 60 m grid's phase differs from tile to tile, hence the tile origin. The window has
        ``floor((size_m + 40) / 60) + 1`` pixels a side, enough for every phase.
        """
        column = math.floor((self.west_m - tile_west_m) / 60)
        row = math.floor((tile_north_m - self.north_m) / 60)
        return PatchGrid(
            epsg=self.epsg,
            west_m=tile_west_m + 60 * column,
            north_m=tile_north_m - 60 * row,
            pixel_m=60.0,
            size_px=size_60m_px(self.size_m),
        )


def size_60m_px(size_m: float) -> int:
    """Side in pixels of the 60 m window that covers a patch of ``size_m`` metres for every grid phase."""
    return math.floor((size_m + 40) / 60) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One place of the dataset: its stable id, its centre and the patch around it."""

    location_id: str
    lon_deg: float
    lat_deg: float
    footprint: Footprint

    def __post_init__(self) -> None:
        if not self.location_id:
            raise ValueError("location_id must not be empty")
        if not -180 <= self.lon_deg <= 180:
            raise ValueError(f"lon_deg must be in [-180, 180], got {self.lon_deg}")
        if not -90 <= self.lat_deg <= 90:
            raise ValueError(f"lat_deg must be in [-90, 90], got {self.lat_deg}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonWindow:
    """One season of one year at one location: days from ``start`` up to, not including, ``end``."""

    season: str
    year: int
    start: date
    middle: date
    end: date

    def __post_init__(self) -> None:
        if not self.start <= self.middle < self.end:
            raise ValueError(
                f"season {self.season} {self.year} needs start <= middle < end, "
                f"got {self.start}, {self.middle}, {self.end}"
            )

    def __contains__(self, day: date) -> bool:
        return self.start <= day < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One band's file of a scene. ``transform`` is (a, b, c, d, e, f); ``shape`` is (rows, columns)."""

    href: str
    transform: tuple[float, float, float, float, float, float] | None = None
    shape: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One Sentinel-2 L2A tile acquisition as an archive lists it.

    ``offset_dn`` is added to every non-zero DN to get reflectance x 10 000 (0, or -1000 where the
    archive has not removed the offset of processing baseline 04.00). ``assets`` maps band names of
    :mod:`ssl4eco_data.bands` (``B02`` ... ``SCL``) to files; an archive without files leaves it empty.
    ``tile_west_m``, ``tile_north_m`` is the outer corner of the tile's grids (the phase of its 60 m grid).
    ``geometry`` is the GeoJSON footprint in lon/lat. ``acquisition`` names the datatake (platform and
    start, ``S2B_20190629T212529``), which overlapping tiles of one pass share and which is the same in every
    archive; ``identity`` outlasts reprocessing, ``scene_id`` does not. ``processing`` sorts as baselines and
    times of processing do, ``supersedes`` are the ids of older products of the same pixels that the archive
    lists beside this one, and ``strip`` is when its datastrip begins, which tells two parts of a tile's
    pass from each other. ``failure`` says why nothing can be read of it: then only the id, the time and
    the geometry are sure, and ``epsg`` may be 0.
    """

    scene_id: str
    acquisition: str
    tile: str
    time: datetime
    epsg: int
    tile_west_m: float
    tile_north_m: float
    cloud_fraction: float
    sun_elevation_deg: float
    sun_azimuth_deg: float = math.nan
    offset_dn: int = 0
    processing: str = ""
    strip: datetime | None = None
    supersedes: tuple[str, ...] = ()
    failure: str = ""
    geometry: Mapping[str, Any] = field(default_factory=dict, compare=False)
    assets: Mapping[str, Asset] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError(f"scene {self.scene_id}: time must carry a time zone, got {self.time}")
        if not (math.isnan(self.cloud_fraction) or 0 <= self.cloud_fraction <= 1):
            raise ValueError(
                f"scene {self.scene_id}: cloud_fraction must be in [0, 1], got {self.cloud_fraction}"
            )

    @property
    def identity(self) -> tuple[str, str]:
        """(acquisition, tile): the same in every archive and after every reprocessing."""
        return self.acquisition, self.tile


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchStats:
    """What one scene shows inside one patch. The five fractions sum to one.

    ``blue_q95`` is the 95 % quantile of blue (B02) reflectance (0-1) over pixels that are neither
    missing nor snow, NaN when not measured: haze and missed clouds raise it against the location's
    other dates. ``haze_q50`` is the median of blue - red / 2 over those that are not water either, which
    the ground moves little and the air much; NaN when not measured. ``score_clear_fraction`` is the share of
    the patch's pixels that Cloud Score+ calls clear, NaN where the archive has no score of the scene.
    """

    scene_id: str
    clear_fraction: float
    snow_fraction: float
    shadow_fraction: float
    cloud_fraction: float
    missing_fraction: float
    blue_q95: float = math.nan
    haze_q50: float = math.nan
    score_clear_fraction: float = math.nan

    def __post_init__(self) -> None:
        fractions = tuple(self.fractions())
        if any(not 0 <= f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
            raise ValueError(f"scene {self.scene_id}: patch fractions must sum to 1, got {fractions}")

    def fractions(self) -> Iterator[float]:
        """clear, snow, shadow, cloud, missing."""
        yield self.clear_fraction
        yield self.snow_fraction
        yield self.shadow_fraction
        yield self.cloud_fraction
        yield self.missing_fraction

    @property
    def usable_fraction(self) -> float:
        """Clear or snow: snow is a season's state, not an obstruction."""
        return self.clear_fraction + self.snow_fraction


PhenologyStatus = Literal["ok", "low_confidence", "no_cycle", "no_data"]
METRICS: tuple[str, ...] = (
    "greenup",
    "mid_greenup",
    "maturity",
    "peak",
    "senescence",
    "mid_greendown",
    "dormancy",
)
"""The seven dates of a vegetation cycle, in order, as MCD12Q2 names them."""
SEASONS: tuple[str, ...] = ("spring", "summer", "autumn", "winter")
"""Labels of the default date rules (phenological and calendar seasons)."""
YEAR_DAYS = 365.2425
