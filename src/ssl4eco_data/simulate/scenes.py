"""The files of one pass: a folder of bands for every tile, its STAC item and the true cloud mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS

from ssl4eco_data.bands import BANDS
from ssl4eco_data.simulate.ground import Ground
from ssl4eco_data.simulate.items import COLLECTION, SceneLabel, geotransform, scene_item
from ssl4eco_data.simulate.passes import Pass
from ssl4eco_data.simulate.raster import write_raster
from ssl4eco_data.simulate.render import NO_DATA, SHADOW, THICK_CLOUD, THIN_CLOUD, Picture, render
from ssl4eco_data.simulate.sites import view
from ssl4eco_data.types import BoolArray, UInt8Array, UInt16Array

CLOUD_FOLDER = "truth/clouds"


@dataclass(frozen=True, slots=True)
class WrittenScene:
    """What one scene added to the archive: its STAC item, its row of the truth, and bytes on disk."""

    item: dict[str, Any]
    truth: dict[str, Any]
    size_bytes: int


@lru_cache(maxsize=64)
def utm_crs(epsg: int) -> CRS:
    """A cached coordinate system; parsing one costs more than writing a small file."""
    return CRS.from_epsg(epsg)


def write_pass(root: Path, seed: int, ground: Ground, flight: Pass) -> list[WrittenScene]:
    """Write one scene for every tile that the swath touches."""
    picture = render(seed, ground, flight)
    return [
        _write_scene(root, SceneLabel(site=ground.site, tile=tile, flight=flight), picture)
        for tile in ground.site.tiles
        if picture.seen[view(ground.site.canvas, tile.frame, 20)].any()
    ]


def _write_scene(root: Path, label: SceneLabel, picture: Picture) -> WrittenScene:
    canvas, frame = label.site.canvas, label.tile.frame
    views = {pixel_m: view(canvas, frame, pixel_m) for pixel_m in (10, 20)}
    crs = utm_crs(frame.epsg)
    folder = root / COLLECTION / label.scene_id
    folder.mkdir(parents=True, exist_ok=True)
    seen = picture.seen[views[20]]
    size = 0
    for name, image in picture.bands.items():
        pixel_m = BANDS[name].pixel_m
        dn = _digital_numbers(image[views[min(pixel_m, 20)]], seen, pixel_m, label.flight.added_dn)
        size += write_raster(folder / f"{name}.tif", dn, crs, geotransform(frame, pixel_m), 0)
    scl, truth = picture.scl[views[20]], picture.truth[views[20]]
    size += write_raster(folder / "SCL.tif", scl, crs, geotransform(frame, 20), 0)
    mask = root / CLOUD_FOLDER / f"{label.scene_id}.tif"
    mask.parent.mkdir(parents=True, exist_ok=True)
    size += write_raster(mask, truth, crs, geotransform(frame, 20), NO_DATA)
    return WrittenScene(scene_item(label, scl), _truth_row(label, truth), size)


def _digital_numbers(
    image: npt.NDArray[np.float32], seen: BoolArray, pixel_m: int, added_dn: int
) -> UInt16Array:
    """DN of one band: 0 where not seen, at least 1 elsewhere. 60 m pixels are means of 3 x 3 of 20 m."""
    if pixel_m == 60:
        rows, columns = image.shape
        image = image.reshape(rows // 3, 3, columns // 3, 3).mean(axis=(1, 3))
        seen = np.logical_and.reduce(seen.reshape(rows // 3, 3, columns // 3, 3), axis=(1, 3))
    elif pixel_m == 10:
        seen = np.repeat(np.repeat(seen, 2, axis=0), 2, axis=1)
    dn = np.rint(image * np.float32(10_000) + np.float32(added_dn))
    return np.where(seen, np.clip(dn, 1, 65_535), 0).astype(np.uint16)


def _truth_row(label: SceneLabel, truth: UInt8Array) -> dict[str, Any]:
    flight, tile = label.flight, label.tile
    seen = max(1, int((truth != NO_DATA).sum()))
    shares = {
        f"{name}_fraction": float((truth == value).sum()) / seen
        for name, value in (("thin", THIN_CLOUD), ("thick", THICK_CLOUD), ("shadow", SHADOW))
    }
    return {
        "scene_id": label.scene_id,
        "region": label.site.region.name,
        "tile": tile.name,
        "time": flight.time,
        "sun_elevation_deg": flight.sun.elevation_deg,
        "sun_azimuth_deg": flight.sun.azimuth_deg,
        "added_dn": flight.added_dn,
        "scl_error": flight.scl_error,
        "cloud_height_m": flight.cloud_height_m,
        "missing_fraction": float((truth == NO_DATA).mean()),
        **shares,
    }
