"""The same world as a STAC catalogue file, so that two archives can be asked for the same place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import rasterio
from ee_world import ServedImage, World
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping

MODIS_ASSETS = {
    "EVI": "250m_16_days_EVI",
    "DayOfYear": "250m_16_days_composite_day_of_the_year",
    "SummaryQA": "250m_16_days_pixel_reliability",
}


def write_catalogues(world: World, folder: Path) -> tuple[Path, Path]:
    """(imagery, vegetation): two item collections over the files of the world."""
    sentinel = [_sentinel(image) for image in world.images if "SCL" in image.bands]
    modis = [_modis(image) for image in world.images if "EVI" in image.bands]
    paths = folder / "imagery.json", folder / "vegetation.json"
    for path, items in zip(paths, (sentinel, modis), strict=True):
        path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return paths


def _item(
    image: ServedImage, collection: str, geometry: Any, properties: dict[str, Any], names: dict[str, str]
) -> dict[str, Any]:
    when = datetime.fromtimestamp(image.properties["system:time_start"] / 1000, UTC)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": image.index,
        "collection": collection,
        "geometry": geometry,
        "properties": {"datetime": when.isoformat(), **properties},
        "assets": {names[band]: _asset(path) for band, path in image.bands.items()},
        "links": [],
    }


def _asset(path: Path) -> dict[str, Any]:
    with rasterio.open(path) as file:
        transform, shape = list(file.transform)[:6], list(file.shape)
    return {"href": str(path), "proj:transform": transform, "proj:shape": shape}


def _sentinel(image: ServedImage) -> dict[str, Any]:
    stated = image.properties
    properties = {
        "proj:epsg": int(image.crs.removeprefix("EPSG:")),
        "s2:mgrs_tile": stated["MGRS_TILE"],
        "s2:datatake_id": stated["DATATAKE_IDENTIFIER"],
        "s2:processing_baseline": "02.14",
        "eo:cloud_cover": stated["CLOUDY_PIXEL_PERCENTAGE"],
        "view:sun_elevation": 90 - stated["MEAN_SOLAR_ZENITH_ANGLE"],
        "view:sun_azimuth": stated["MEAN_SOLAR_AZIMUTH_ANGLE"],
    }
    names = {band: band if band in ("SCL", "B8A") else f"B{int(band[1:]):02d}" for band in image.bands}
    return _item(image, "sentinel-2-l2a", image.footprint, properties, names)


def _modis(image: ServedImage) -> dict[str, Any]:
    with rasterio.open(image.bands["EVI"]) as file:
        area = box(*transform_bounds(file.crs, "EPSG:4326", *file.bounds))
    return _item(image, "modis-13Q1-061", mapping(area), {}, MODIS_ASSETS)
