"""Sentinel-2 and MODIS from Google Earth Engine, with the official client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import shapely
import xarray as xr
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives import earth_engine_client as client
from ssl4eco_data.archives import earth_engine_images as images
from ssl4eco_data.archives import earth_engine_series as series
from ssl4eco_data.archives.earth_engine_client import EarthEngineParameters
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.patches import mask_fractions
from ssl4eco_data.types import (
    Footprint,
    Location,
    PatchGrid,
    PatchStats,
    Scene,
    UInt16Array,
)

__all__ = ["EarthEngineArchive", "EarthEngineParameters"]

Answer = TypeVar("Answer")
_IDS_PER_REQUEST = 1_000
_MAX_REQUEST_BYTES = 48 * 2**20
_MAX_REQUEST_BANDS = 1_024
"""Limits of one computePixels request."""
_BYTES_PER_PIXEL = 3
"""A uint16 and the mask byte that the service counts."""
_YEARS_PER_REQUEST = 14
"""23 composites a year with three bands each stay below the limit of bands."""
_TOO_MANY_ELEMENTS = "5000 elements"
"""In the message of the service when a collection is too long for one answer."""


@dataclass(frozen=True, slots=True)
class EarthEngineArchive:
    """The :class:`~ssl4eco_data.archives.Archive` protocol over Earth Engine."""

    parameters: EarthEngineParameters

    def search(self, area: BaseGeometry, start: date, end: date) -> Sequence[Scene]:
        """Scenes whose footprint meets ``area``, sorted by time, then scene id; one request.

        A period with more images than the service lists at once is halved until it fits.
        """
        try:
            found = self._listed(lambda ee: self._images(ee, start, end).filterBounds(_geometry(ee, area)))
        except ArchiveError as error:
            days = (end - start).days
            if _TOO_MANY_ELEMENTS not in str(error) or days < 2:
                raise
            middle = start + timedelta(days=days // 2)
            return [*self.search(area, start, middle), *self.search(area, middle, end)]
        return sorted(found, key=lambda scene: (scene.time, scene.scene_id))

    def get(self, scene_ids: Sequence[str]) -> Mapping[str, Scene]:
        """The scenes with these ids; those that the collection does not have are absent."""
        found: dict[str, Scene] = {}
        for ids in images.slices(sorted(set(scene_ids)), _IDS_PER_REQUEST):
            span = images.days_and_tiles(ids)
            if span is not None:
                first, last, tiles = span
                end = last + timedelta(days=2)  # a pass named before midnight may image a tile after it
                found |= {s.scene_id: s for s in self._listed(self._named(first, end, tiles, ids))}
        return found

    def judge(self, scenes: Sequence[Scene], footprint: Footprint) -> Sequence[PatchStats]:
        """Statistics of each scene inside the patch, in the order asked: two requests for many scenes."""
        in_zone = [scene for scene in scenes if scene.epsg == footprint.epsg]
        masks = dict(
            zip(in_zone, self._layers([(s, "SCL") for s in in_zone], footprint.grid(20)), strict=True)
        )
        limit = self.parameters.blue_min_usable_fraction
        shares = {scene: mask_fractions(scl) for scene, scl in masks.items()}
        clear = [scene for scene, share in shares.items() if share.clear + share.snow >= limit]
        wanted = [(scene, band) for scene in clear for band in ("B02", "B04")]
        layers = self._layers(wanted, footprint.grid(10))
        colours = dict(zip(clear, zip(layers[::2], layers[1::2], strict=True), strict=True))
        return [
            images.patch_stats(scene.scene_id, masks[scene], colours.get(scene))
            if scene in masks
            else images.all_missing(scene.scene_id)
            for scene in scenes
        ]

    def read(self, scene: Scene, footprint: Footprint, bands: Sequence[str]) -> Mapping[str, UInt16Array]:
        """Native-resolution windows keyed by band, ``(y, x)`` uint16; one request per resolution."""
        unknown = sorted(set(bands) - set(BANDS))
        if unknown:
            raise ValueError(f"bands must be among {', '.join(BANDS)}, got {', '.join(unknown)}")
        if scene.epsg != footprint.epsg:
            raise ValueError(
                f"scene {scene.scene_id} is in EPSG:{scene.epsg}, the patch in EPSG:{footprint.epsg}; "
                "choose a scene of the patch's zone"
            )
        found: dict[str, UInt16Array] = {}
        for pixel_m in sorted({BANDS[band].pixel_m for band in bands}):
            names = [band for band in bands if BANDS[band].pixel_m == pixel_m]
            grid = (
                footprint.grid_60m(scene.tile_west_m, scene.tile_north_m)
                if pixel_m == 60
                else footprint.grid(pixel_m)
            )
            found |= dict(zip(names, self._stack([(scene, name) for name in names], grid), strict=True))
        return {band: found[band] for band in bands}

    def vegetation_series(self, locations: Sequence[Location], start: date, end: date) -> xr.Dataset:
        """EVI around each location, as the protocol says: one request per location for up to 14 years.

        A composite belongs to the period when its first day does.
        """
        periods = _periods(start, end)
        client.session(self.parameters)
        with ThreadPoolExecutor(self.parameters.max_requests_in_flight) as pool:
            stacks = list(pool.map(lambda location: self._composites(location, periods), locations))
        return series.series_of(locations, stacks)

    def _images(self, ee: Any, start: date, end: date) -> Any:
        return ee.ImageCollection(self.parameters.imagery).filterDate(start.isoformat(), end.isoformat())

    def _named(
        self, start: date, end: date, tiles: Sequence[str], ids: Sequence[str]
    ) -> Callable[[Any], Any]:
        def graph(ee: Any) -> Any:
            """Day and tile are indexed by the service, the image's own name is not."""
            near = self._images(ee, start, end).filter(ee.Filter.inList("MGRS_TILE", list(tiles)))
            return near.filter(ee.Filter.inList("system:index", list(ids)))

        return graph

    def _listed(self, graph: Callable[[Any], Any]) -> list[Scene]:
        """The scenes of a collection; band B2 alone, which carries the grid of the tile."""
        what = f"the images of {self.parameters.imagery}"
        answer = self._ask(what, lambda ee: ee.data.computeValue(graph(ee).select(["B2"])))
        return [images.scene_of(image) for image in answer["features"]]

    def _layers(self, layers: Sequence[tuple[Scene, str]], grid: PatchGrid) -> list[UInt16Array]:
        """Each (scene, band) on ``grid``, in as few requests as the service's limits allow."""
        by_size = _MAX_REQUEST_BYTES // (grid.size_px**2 * _BYTES_PER_PIXEL)
        groups = images.slices(layers, max(1, min(_MAX_REQUEST_BANDS, by_size)))
        return [layer for group in groups for layer in self._stack(group, grid)]

    def _stack(self, layers: Sequence[tuple[Scene, str]], grid: PatchGrid) -> list[UInt16Array]:
        """The ``(y, x)`` uint16 pixels of each (scene, band) on ``grid``, 0 where masked, in one request."""
        prefix = self.parameters.imagery

        def request(ee: Any) -> Any:
            bands = [
                ee.Image(f"{prefix}/{scene.scene_id}").select([BANDS[band].earth_engine], [f"layer_{i}"])
                for i, (scene, band) in enumerate(layers)
            ]
            stack = ee.Image.cat(*bands).unmask(0, False).toUint16()
            return ee.data.computePixels(_pixels(stack, images.pixel_grid(grid)))

        first, others = layers[0][0].scene_id, len({scene.scene_id for scene, _ in layers}) - 1
        pixels = self._ask(f"pixels of {first}" + (f" and {others} more" if others else ""), request)
        return [np.ascontiguousarray(pixels[f"layer_{i}"], dtype=np.uint16) for i in range(len(layers))]

    def _composites(
        self, location: Location, periods: Sequence[tuple[date, date]]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Every composite's bands around one location, keyed ``YYYY_MM_DD_<band>``."""
        grid = series.window_of(location.footprint).pixel_grid()
        found: dict[str, np.ndarray[Any, Any]] = {}
        for start, end in periods:
            pixels = self._ask(
                f"{self.parameters.vegetation} at location {location.location_id}",
                self._series(grid, start, end),
            )
            found |= {name: pixels[name] for name in pixels.dtype.names}
        return found

    def _series(self, grid: Mapping[str, Any], start: date, end: date) -> Callable[[Any], Any]:
        def request(ee: Any) -> Any:
            composites = ee.ImageCollection(self.parameters.vegetation).filterDate(
                start.isoformat(), end.isoformat()
            )
            filled = composites.map(
                lambda image: image.select(list(series.BANDS)).unmask(series.FILL, False).toInt16()
            )
            return ee.data.computePixels(_pixels(filled.toBands(), grid))

        return request

    def _ask(self, what: str, request: Callable[[Any], Answer]) -> Answer:
        return client.ask(self.parameters, what, request)


def _periods(start: date, end: date) -> list[tuple[date, date]]:
    """``start`` to ``end`` in runs of whole years short enough for one request each."""
    years = range(start.year + _YEARS_PER_REQUEST, end.year + 1, _YEARS_PER_REQUEST)
    cuts = [start, *(date(year, 1, 1) for year in years if start < date(year, 1, 1) < end), end]
    return list(pairwise(cuts))


def _pixels(image: Any, grid: Mapping[str, Any]) -> dict[str, Any]:
    return {"expression": image, "fileFormat": "NUMPY_NDARRAY", "grid": dict(grid)}


def _geometry(ee: Any, area: BaseGeometry) -> Any:
    """Planar edges, as in the footprints that shapely compares."""
    return ee.Geometry(shapely.geometry.mapping(area), geodesic=False)
