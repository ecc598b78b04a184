"""Sentinel-2 and MODIS from a STAC API or a catalogue file, pixels from GeoTIFFs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

import numpy as np
import shapely
import xarray as xr
from pydantic import Field
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives.cog import Access, Pixels, Raster, Signing, epsg_of, read, spread
from ssl4eco_data.archives.documents import Asking
from ssl4eco_data.archives.flow_control import FlowParameters
from ssl4eco_data.archives.identity import newest
from ssl4eco_data.archives.items import scenes_of
from ssl4eco_data.archives.modis import modis_series
from ssl4eco_data.archives.own import stats_by_reading
from ssl4eco_data.archives.s2_series import scene_series
from ssl4eco_data.archives.sources import ItemSource, source_of
from ssl4eco_data.archives.transport import Timeouts
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.locations import footprint_polygon
from ssl4eco_data.patches import remove_offset
from ssl4eco_data.types import (
    Asset,
    Footprint,
    LocalPath,
    Location,
    PatchGrid,
    PatchStats,
    Scene,
    UInt16Array,
)

GRID_TOLERANCE_M = 1e-3
UNKNOWN_EPSG = 0
"""Of a scene whose item cannot be read."""


class StacParameters(FlowParameters):
    """A STAC API or a catalogue file as the archive."""

    IMAGERY: ClassVar[tuple[str, ...]] = ("kind", "imagery", "collection")
    """What decides the pixels of a scene."""
    JUDGED: ClassVar[tuple[str, ...]] = (*IMAGERY, "blue_min_usable_fraction")
    """What decides the candidates and their statistics."""

    def series_fields(self) -> tuple[str, ...]:
        """The fields that decide the vegetation series."""
        if self.vegetation is None:
            return (*self.IMAGERY, "vegetation_pixel_m")
        return ("kind", "vegetation", "vegetation_collection")

    kind: Literal["stac"] = Field(default="stac", description="this archive")
    imagery: LocalPath = Field(
        min_length=1, description="item collection (.json, or one item a line: .ndjson) or URL of a STAC API"
    )
    collection: str = Field(default="sentinel-2-l2a", min_length=1, description="Sentinel-2 L2A collection")
    vegetation: LocalPath | None = Field(
        default=None, description="MODIS vegetation index, as imagery; without it EVI2 of the imagery itself"
    )
    vegetation_collection: str = Field(
        default="modis-13Q1-061", min_length=1, description="collection of MOD13 composites"
    )
    vegetation_pixel_m: int = Field(
        default=160, ge=10, multiple_of=10, description="cells of the EVI2 series; must divide the patch side"
    )
    sign: Signing = Field(default="none", description="who signs links to files")
    blue_min_usable_fraction: float = Field(
        default=0.8, ge=0, le=1, description="patches less clear than this are not measured in blue and red"
    )
    threads: int = Field(default=4, ge=1, le=64, description="files read at a time by one call")
    timeout_s: float = Field(
        default=60.0, gt=0, description="a request that takes longer as a whole is given up"
    )
    retries: int = Field(
        default=4, ge=0, lt=100, description="further attempts on throttling, server errors and time-outs"
    )
    retry_wait_s: float = Field(
        default=1.0, ge=0, description="longest wait before the first further attempt; doubles each time"
    )


@dataclass(frozen=True, slots=True)
class StacArchive:
    """The :class:`~ssl4eco_data.archives.Archive` protocol over STAC."""

    parameters: StacParameters

    def search(self, area: BaseGeometry, start: date, end: date) -> Sequence[Scene]:
        """Scenes whose footprint meets ``area``, by time, then scene id; the newest processing of each.

        An item that no scene can be made of is logged and answered with its ``failure``; ArchiveError when
        none of many can be read.
        """
        source = self._source(self.parameters.imagery)
        items = source.search(self.parameters.collection, area, start, end)
        return newest(scenes_of(items, source.base))

    def get(self, scene_ids: Sequence[str]) -> Mapping[str, Scene]:
        """The scenes with these ids; those that the catalogue does not have are absent."""
        source = self._source(self.parameters.imagery)
        items = source.get(self.parameters.collection, scene_ids)
        return {scene.scene_id: scene for scene in scenes_of(items, source.base)}

    def judge(self, scenes: Sequence[Scene], footprint: Footprint) -> Sequence[PatchStats]:
        """Statistics of each scene inside the patch, in the order asked."""
        hrefs = (asset.href for scene in scenes for asset in scene.assets.values())
        return spread(lambda scene: self._judge(scene, footprint), scenes, hrefs, self._access)

    def read(self, scene: Scene, footprint: Footprint, bands: Sequence[str]) -> Mapping[str, UInt16Array]:
        """Native-resolution windows keyed by band, ``(y, x)`` uint16, without offset; one file a band.

        Raises ValueError for a band that is none and for a scene of another UTM zone than the patch.
        """
        unknown = sorted(set(bands) - set(BANDS))
        if unknown:
            raise ValueError(f"bands must be among {', '.join(BANDS)}, got {', '.join(unknown)}")
        if scene.epsg != footprint.epsg:
            raise ValueError(
                f"scene {scene.scene_id} is in EPSG:{scene.epsg}, the patch in EPSG:{footprint.epsg}; "
                "choose a scene of the patch's zone"
            )
        access = self._access
        hrefs = (asset.href for asset in scene.assets.values())
        windows = spread(lambda band: read_band(scene, footprint, band, access), bands, hrefs, access)
        return dict(zip(bands, windows, strict=True))

    def vegetation_series(self, locations: Sequence[Location], start: date, end: date) -> xr.Dataset:
        """EVI from MODIS, or EVI2 from the imagery, around each location, as the protocol says.

        A composite belongs to the period when its first day does.
        """
        areas = [footprint_polygon(location.footprint) for location in locations]
        everywhere = shapely.union_all(areas)
        if self.parameters.vegetation is not None:
            source = self._source(self.parameters.vegetation)
            items = source.search(self.parameters.vegetation_collection, everywhere, start, end)
            items.sort(key=lambda item: item["id"])
            return modis_series(items, source.base, locations, self._access)
        scenes = self.search(everywhere, start, end)
        found = [
            [
                s
                for s in scenes
                if s.epsg in (location.footprint.epsg, UNKNOWN_EPSG)
                and shape(dict(s.geometry)).intersects(area)
            ]
            for location, area in zip(locations, areas, strict=True)
        ]
        return scene_series(found, locations, self.parameters.vegetation_pixel_m, self.read)

    @property
    def _access(self) -> Access:
        p = self.parameters
        return Access(
            sign=p.sign,
            connect_timeout_s=p.connect_timeout_s,
            read_timeout_s=p.read_timeout_s,
            timeout_s=p.timeout_s,
            retries=p.retries,
            wait_s=p.retry_wait_s,
            threads=p.threads,
            limits=p.limits,
        )

    def _source(self, place: str) -> ItemSource:
        p = self.parameters
        timeouts = Timeouts(connect_s=p.connect_timeout_s, read_s=p.read_timeout_s, total_s=p.timeout_s)
        asking = Asking(timeouts=timeouts, limits=p.limits, retries=p.retries, wait_s=p.retry_wait_s)
        return source_of(place, asking)

    def _judge(self, scene: Scene, footprint: Footprint) -> PatchStats:
        def read_here(scene: Scene, footprint: Footprint, bands: Sequence[str]) -> dict[str, UInt16Array]:
            """One band after the other: the scenes are spread over the threads already."""
            return {band: read_band(scene, footprint, band, self._access) for band in bands}

        return stats_by_reading(read_here, scene, footprint, self.parameters.blue_min_usable_fraction)


def read_band(scene: Scene, footprint: Footprint, band: str, access: Access) -> UInt16Array:
    """One band's window of a patch: exactly the scene's pixels, offset removed, 0 beyond the tile.

    Raises ArchiveError when the scene does not have the band, or the file is not what its item says.
    """
    asset = scene.assets.get(band)
    if asset is None:
        raise ArchiveError(
            f"scene {scene.scene_id} has no {band}, only {', '.join(scene.assets) or 'no band'}",
            transient=False,
        )
    grid = _grid(scene, footprint, BANDS[band].pixel_m)
    pixels = read(asset.href, lambda raster: _window(raster, grid, asset), access)
    return remove_offset(pixels, 0 if band == "SCL" else scene.offset_dn)


def _grid(scene: Scene, footprint: Footprint, pixel_m: int) -> PatchGrid:
    if pixel_m == 60:
        return footprint.grid_60m(scene.tile_west_m, scene.tile_north_m)
    return footprint.grid(pixel_m)


def _window(raster: Raster, grid: PatchGrid, asset: Asset) -> Pixels:
    """The pixels of ``grid``, after a look whether the file is what its item says."""
    if raster.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        raise ValueError(f"pixels must be uint8 or uint16, got {raster.dtype}")
    if epsg_of(raster.crs_wkt) != grid.epsg:
        raise ValueError(f"the scene is in EPSG:{grid.epsg}, the file in EPSG:{epsg_of(raster.crs_wkt)}")
    if asset.transform and not np.allclose(raster.transform, asset.transform, rtol=0, atol=GRID_TOLERANCE_M):
        raise ValueError(f"the item states the grid {asset.transform}, the file {raster.transform}")
    if raster.transform[0] != grid.pixel_m:
        raise ValueError(f"pixels must be {grid.pixel_m:g} m, got {raster.transform[0]:g} m")
    column = (grid.west_m - raster.transform[2]) / grid.pixel_m
    row = (raster.transform[5] - grid.north_m) / grid.pixel_m
    if not (column.is_integer() and row.is_integer()):
        raise ValueError(
            f"the patch corner ({grid.west_m}, {grid.north_m}) is no pixel corner of the file, whose corner "
            f"is ({raster.transform[2]}, {raster.transform[5]})"
        )
    return raster.window(int(column), int(row), grid.size_px, grid.size_px)
