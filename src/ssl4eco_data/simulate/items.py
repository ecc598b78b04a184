"""STAC items of the simulated scenes, in the dialects of three real catalogues.

Fields and their spelling follow items of Planetary Computer ``sentinel-2-l2a`` and of Earth Search
``sentinel-2-l2a`` and ``sentinel-2-c1-l2a``.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
from shapely import affinity, transform
from shapely.geometry import box, mapping
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import Polygon, orient

from ssl4eco_data.bands import BANDS
from ssl4eco_data.simulate.passes import Pass
from ssl4eco_data.simulate.regions import Dialect
from ssl4eco_data.simulate.render import SWATH_SLOPE
from ssl4eco_data.simulate.sites import Frame, Site, Tile, transformer
from ssl4eco_data.types import FloatArray, UInt8Array

COLLECTION = "sentinel-2-l2a"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v1.1.0", "projection/v1.1.0", "raster/v1.1.0", "view/v1.0.0")
)
_PERCENTAGES = {
    "s2:nodata_pixel_percentage": (0,),
    "s2:dark_features_percentage": (2,),
    "s2:cloud_shadow_percentage": (3,),
    "s2:vegetation_percentage": (4,),
    "s2:not_vegetated_percentage": (5,),
    "s2:water_percentage": (6,),
    "s2:unclassified_percentage": (7,),
    "s2:medium_proba_clouds_percentage": (8,),
    "s2:high_proba_clouds_percentage": (9,),
    "s2:thin_cirrus_percentage": (10,),
    "s2:snow_ice_percentage": (11,),
    "eo:cloud_cover": (8, 9, 10),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneLabel:
    """One tile of one pass."""

    site: Site
    tile: Tile
    flight: Pass

    @property
    def scene_id(self) -> str:
        """The item id, spelled as the dialect does."""
        time, satellite, tile = self.flight.time, f"S2{self.flight.platform}", self.tile.name
        if self.site.region.dialect == "planetary_computer":
            made = time + dt.timedelta(hours=9)
            return f"{satellite}_MSIL2A_{_stamp(time)}_R{self.flight.orbit:03d}_T{tile}_{_stamp(made)}"
        if self.site.region.dialect == "earth_search":
            return f"{satellite}_{tile}_{time:%Y%m%d}_0_L2A"
        return f"{satellite}_T{tile}_{_stamp(time)}_L2A"

    @property
    def datatake(self) -> str:
        """The datatake id, which tiles of one pass share."""
        orbit = 10_000 + self.flight.day % 20_000
        return f"GS2{self.flight.platform}_{_stamp(self.flight.time)}_{orbit:06d}_N{self.flight.baseline}"


def _stamp(time: dt.datetime) -> str:
    return f"{time:%Y%m%dT%H%M%S}"


def scene_item(label: SceneLabel, scl: UInt8Array) -> dict[str, Any]:
    """The STAC item of a scene; ``scl`` is its whole mask, from which the percentages come."""
    geometry = seen_geometry(label)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(EXTENSIONS),
        "id": label.scene_id,
        "collection": COLLECTION,
        "bbox": [round(v, 7) for v in geometry.bounds],
        "geometry": mapping(geometry),
        "properties": _properties(label, scl),
        "links": [],
        "assets": {_asset_key(label, band): _asset(label, band) for band in BANDS},
    }


def seen_geometry(label: SceneLabel) -> BaseGeometry:
    """The part of a tile inside the swath, in lon/lat, as a counter-clockwise polygon."""
    frame = label.tile.frame
    area: BaseGeometry = box(*frame.bounds_m)
    if label.flight.swath_edge is not None:
        canvas = label.site.canvas
        seen = _swath(canvas, label.flight.swath_edge, label.flight.swath_side)
        if frame.epsg != canvas.epsg:
            seen = _project(seen, canvas.epsg, frame.epsg)
        area = area.intersection(seen)
    lonlat = _project(area.segmentize(1000), frame.epsg, 4326)
    return orient(lonlat) if isinstance(lonlat, Polygon) else lonlat


def _project(geometry: BaseGeometry, source: int, target: int) -> BaseGeometry:
    projection = transformer(source, target)

    def move(points: FloatArray) -> FloatArray:
        return np.column_stack(projection.transform(points[:, 0], points[:, 1]))

    return transform(geometry, move)


def _swath(canvas: Frame, edge: float, side: int) -> BaseGeometry:
    """The half plane inside the swath, as far as any tile of the site reaches, in metres of the canvas."""
    west, south, east, north = canvas.bounds_m
    reach, middle = 4 * (east - west + north - south), (south + north) / 2
    x = west + edge * canvas.width_m
    strip = (
        box(x - reach, middle - reach, x, middle + reach)
        if side > 0
        else box(x, middle - reach, x + reach, middle + reach)
    )
    return affinity.skew(strip, xs=np.degrees(np.arctan(SWATH_SLOPE)), origin=(x, middle))


def _properties(label: SceneLabel, scl: UInt8Array) -> dict[str, Any]:
    flight, name = label.flight, label.tile.name
    planetary = label.site.region.dialect == "planetary_computer"
    common = {
        "datetime": f"{flight.time:%Y-%m-%dT%H:%M:%S}.024000Z",
        "platform": f"Sentinel-2{flight.platform}" if planetary else f"sentinel-2{flight.platform.lower()}",
        "constellation": "Sentinel 2" if planetary else "sentinel-2",
        "instruments": ["msi"],
        "proj:epsg": label.tile.frame.epsg,
        "s2:processing_baseline": flight.baseline,
        "s2:product_type": "S2MSI2A",
        "s2:datatake_id": label.datatake,
        **_percentages(scl),
    }
    azimuth, elevation = round(flight.sun.azimuth_deg, 6), round(flight.sun.elevation_deg, 6)
    if planetary:
        return common | {
            "s2:mgrs_tile": name,
            "sat:relative_orbit": flight.orbit,
            "sat:orbit_state": "descending",
            "s2:mean_solar_zenith": round(90 - elevation, 6),
            "s2:mean_solar_azimuth": azimuth,
        }
    grid = {
        "grid:code": f"MGRS-{name}",
        "mgrs:utm_zone": int(name[:2]),
        "mgrs:latitude_band": name[2],
        "mgrs:grid_square": name[3:],
        "view:sun_azimuth": azimuth,
        "view:sun_elevation": elevation,
    }
    if label.site.region.dialect == "earth_search":
        return common | grid | {"earthsearch:boa_offset_applied": flight.baseline >= "04.00"}
    return common | grid


def _percentages(scl: UInt8Array) -> dict[str, float]:
    """Shares of classes in per cent: of all pixels for missing ones, of the others for the rest."""
    counts = np.bincount(scl.ravel(), minlength=12)
    seen = max(1, int(counts[1:].sum()))
    return {
        name: round(100 * float(counts[list(classes)].sum()) / (scl.size if classes == (0,) else seen), 6)
        for name, classes in _PERCENTAGES.items()
    }


def _asset_key(label: SceneLabel, band: str) -> str:
    return band if label.site.region.dialect == "planetary_computer" else BANDS[band].common_name


def _asset(label: SceneLabel, band: str) -> dict[str, Any]:
    pixel_m, frame = BANDS[band].pixel_m, label.tile.frame
    asset: dict[str, Any] = {
        "href": f"./{COLLECTION}/{label.scene_id}/{band}.tif",
        "type": COG,
        "roles": ["data"],
        "gsd": pixel_m,
        "proj:shape": list(frame.shape(pixel_m)),
        "proj:transform": [float(v) for v in geotransform(frame, pixel_m)],
    }
    if band != "SCL":
        asset["eo:bands"] = [{"name": band, "common_name": BANDS[band].common_name}]
    if label.site.region.dialect != "planetary_computer":
        asset["raster:bands"] = [_raster_band(label.site.region.dialect, band, label.flight.baseline)]
    return asset


def _raster_band(dialect: Dialect, band: str, baseline: str) -> dict[str, Any]:
    """Earth Search states the offset of the baseline even where it has removed it from the pixels."""
    if band == "SCL":
        return {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}
    offset = -0.1 if dialect == "collection_1" or baseline >= "04.00" else 0
    common = {"nodata": 0, "data_type": "uint16", "spatial_resolution": BANDS[band].pixel_m}
    return common | {"scale": 0.0001, "offset": offset}


def geotransform(frame: Frame, pixel_m: float) -> tuple[float, float, float, float, float, float]:
    """Affine coefficients (a, b, c, d, e, f) of a frame at a pixel size."""
    return pixel_m, 0.0, frame.west_m, 0.0, -pixel_m, frame.north_m
