"""Earth Engine image descriptions and stacked pixels turned into the project's nouns; pure, no client."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from ssl4eco_data.archives.identity import acquisition_of, processing_of, strip_start
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import PatchGrid, PatchStats, Scene

_SCENE_ID = re.compile(r"(\d{8})T\d{6}_\d{8}T\d{6}_T(\d{2}[A-Z]{3})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Item = TypeVar("Item")


def scene_of(image: Mapping[str, Any]) -> Scene:
    """The scene that an image description (``ee.Image.getInfo`` with band B2 first) stands for.

    The offset of baseline 04.00 is zero: the HARMONIZED collections have it removed. Raises ArchiveError
    (permanent) naming the image and the field that is not there.
    """
    try:
        return _scene_of(image)
    except (KeyError, IndexError) as error:
        name = image.get("id", "without id")
        raise ArchiveError(
            f"Earth Engine image {name} has no {error}; is the collection Sentinel-2 L2A?", transient=False
        ) from error


def _scene_of(image: Mapping[str, Any]) -> Scene:
    properties, band = image["properties"], image["bands"][0]
    west_m, north_m = band["crs_transform"][2], band["crs_transform"][5]
    return Scene(
        scene_id=properties["system:index"],
        acquisition=acquisition_of(properties["DATATAKE_IDENTIFIER"]) or properties["DATATAKE_IDENTIFIER"],
        tile=properties["MGRS_TILE"],
        time=_EPOCH + timedelta(milliseconds=properties["system:time_start"]),
        epsg=int(band["crs"].removeprefix("EPSG:")),
        tile_west_m=float(west_m),
        tile_north_m=float(north_m),
        cloud_fraction=_number(properties, "CLOUDY_PIXEL_PERCENTAGE") / 100,
        sun_elevation_deg=90 - _number(properties, "MEAN_SOLAR_ZENITH_ANGLE"),
        sun_azimuth_deg=_number(properties, "MEAN_SOLAR_AZIMUTH_ANGLE"),
        processing=processing_of(properties.get("PROCESSING_BASELINE"), _made(properties)),
        strip=strip_start(properties.get("DATASTRIP_ID")),
        geometry=_polygon(properties["system:footprint"]),
    )


def _made(properties: Mapping[str, Any]) -> datetime | None:
    milliseconds = properties.get("GENERATION_TIME")
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)


def _number(properties: Mapping[str, Any], name: str) -> float:
    """NaN where an image does not state it, which rejects no candidate."""
    value = properties.get(name)
    return math.nan if value is None else float(value)


def _polygon(footprint: Mapping[str, Any]) -> dict[str, Any]:
    """Earth Engine describes footprints as linear rings, which GeoJSON does not know."""
    if footprint["type"] == "LinearRing":
        return {"type": "Polygon", "coordinates": [footprint["coordinates"]]}
    return dict(footprint)


def days_and_tiles(scene_ids: Iterable[str]) -> tuple[date, date, list[str]] | None:
    """(first day, last day, tiles) of Sentinel-2 image ids; None when not one of them is such an id."""
    found = [match.groups() for match in map(_SCENE_ID.fullmatch, scene_ids) if match]
    if not found:
        return None
    days = sorted(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date() for day, _ in found)
    return days[0], days[-1], sorted({tile for _, tile in found})


def pixel_grid(grid: PatchGrid) -> dict[str, Any]:
    """The ``grid`` of a computePixels request: exactly these pixels."""
    shape = (grid.size_px, grid.size_px)
    return affine_grid(f"EPSG:{grid.epsg}", grid.west_m, grid.north_m, grid.pixel_m, shape)


def affine_grid(
    crs_code: str, west_m: float, north_m: float, pixel_m: float, shape: tuple[int, ...]
) -> dict[str, Any]:
    """The ``grid`` of a computePixels request for north-up square pixels, ``shape`` rows and columns."""
    return {
        "crsCode": crs_code,
        "dimensions": {"width": shape[1], "height": shape[0]},
        "affineTransform": {
            "scaleX": pixel_m,
            "shearX": 0,
            "translateX": west_m,
            "shearY": 0,
            "scaleY": -pixel_m,
            "translateY": north_m,
        },
    }


def all_missing(scene_id: str) -> PatchStats:
    """The statistics of a scene that does not reach the patch."""
    return PatchStats(
        scene_id=scene_id,
        clear_fraction=0.0,
        snow_fraction=0.0,
        shadow_fraction=0.0,
        cloud_fraction=0.0,
        missing_fraction=1.0,
    )


def slices(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """``items`` in runs of at most ``size``."""
    return [items[start : start + size] for start in range(0, len(items), size)]
