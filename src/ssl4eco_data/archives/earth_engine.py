"""Sentinel-2 and MODIS from Google Earth Engine, with the official client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import shapely
import xarray as xr
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives import earth_engine_client as client
from ssl4eco_data.archives import earth_engine_images as images
from ssl4eco_data.archives import earth_engine_product as product
from ssl4eco_data.archives import earth_engine_series as series
from ssl4eco_data.archives import earth_engine_statistics as statistics
from ssl4eco_data.archives.earth_engine_client import EarthEngineParameters
from ssl4eco_data.archives.identity import newest
from ssl4eco_data.archives.lattice import Lattice
from ssl4eco_data.bands import BANDS
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.phenology.readers.mcd12q2 import FILL
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
_SCENES_PER_REQUEST = 100
"""Statistics of so many scenes are some megabytes of histograms, and within its five minutes."""
_YEARS_PER_REQUEST = 14
"""23 composites a year with three bands each stay below the limit of bands."""
_NOTHING = "nothing"
"""A band that every stack has: the service refuses an image without bands, as of a period without images."""
_TOO_MANY_ELEMENTS = "5000 elements"
"""In the message of the service when a collection is too long for one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layers:
    """What is stacked around a location: bands of a collection, on a lattice, with a value where masked.

    ``collection`` is the parameter that names it.
    """

    collection: str
    bands: tuple[str, ...]
    fill: int
    lattice: Lattice

    def asked(self, collection: str, start: date, end: date, grid: Mapping[str, Any], ee: Any) -> Any:
        """The pixels of all images of a period, in one request."""
        images = ee.ImageCollection(collection).filterDate(start.isoformat(), end.isoformat())
        filled = images.map(lambda image: image.select(list(self.bands)).unmask(self.fill, False).toInt16())
        never_empty = filled.toBands().addBands(ee.Image.constant(0).toInt16().rename([_NOTHING]))
        return ee.data.computePixels(_pixels(never_empty, grid))


_COMPOSITES = _Layers(
    collection="vegetation", bands=series.BANDS, fill=series.FILL, lattice=series.LATTICE_250M
)
_PRODUCT = _Layers(
    collection="phenology_product", bands=product.BANDS, fill=FILL, lattice=series.LATTICE_500M
)


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
        return newest(found)

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
        """Statistics of each scene inside the patch, in the order asked, counted by the service.

        One request for up to 100 scenes. Cloud Score+ is NaN where the collection has no score of a scene.
        """
        in_zone = [scene.scene_id for scene in scenes if scene.epsg == footprint.epsg]
        found: dict[str, PatchStats] = {}
        limit = self.parameters.blue_min_usable_fraction
        for ids in images.slices(in_zone, _SCENES_PER_REQUEST):
            answer = self._counted(ids, footprint, limit)
            found |= {each: statistics.stats_in(answer, each, footprint, limit) for each in ids}
        return [
            found[scene.scene_id] if scene.scene_id in found else images.all_missing(scene.scene_id)
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
        return series.series_of(
            locations, self._each(lambda place: self._bands_around(place, _COMPOSITES, periods), locations)
        )

    def phenology_product(self, locations: Sequence[Location], first_year: int, last_year: int) -> xr.Dataset:
        """MCD12Q2 around each location for both years and those between; one request per location.

        Variables as :func:`~ssl4eco_data.archives.earth_engine_product.product_of` gives them, on the 500 m
        pixels of the product, for :func:`~ssl4eco_data.phenology.readers.mcd12q2_cycles.product_cycles`.
        """
        if not first_year <= last_year:
            raise ValueError(f"first_year must not be after last_year, got {first_year} and {last_year}")
        period = date(first_year, 1, 1), date(last_year + 1, 1, 1)

        def stacked(location: Location) -> dict[str, np.ndarray[Any, Any]]:
            return self._bands_around(location, _PRODUCT, [period])

        stacks = self._each(stacked, locations)
        if locations and not any(stacks):
            raise ArchiveError(
                f"{self.parameters.phenology_product} has no image from {first_year} to {last_year}: it "
                "begins in 2001 and comes a year or two late; move the period of the vegetation",
                transient=False,
            )
        return product.product_of(locations, stacks, range(first_year, last_year + 1))

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

    def _counted(self, ids: Sequence[str], footprint: Footprint, limit: float) -> Mapping[str, Any]:
        """What the service counts of these scenes inside the patch."""
        span = images.days_and_tiles(ids)
        if span is None:
            raise ArchiveError(
                f"{ids[0]} is not the name of an image of {self.parameters.imagery}", transient=False
            )
        first, last, tiles = span
        end = last + timedelta(days=2)

        def request(ee: Any) -> Any:
            scores = None
            if self.parameters.cloud_score:
                west, south, east, north = footprint.bounds_m
                patch = ee.Geometry.Rectangle(
                    [west, south, east, north], proj=f"EPSG:{footprint.epsg}", geodesic=False
                )
                scores = ee.ImageCollection(self.parameters.cloud_score)
                scores = scores.filterDate(first.isoformat(), end.isoformat()).filterBounds(patch)
            named = self._named(first, end, tiles, ids)(ee)
            return ee.data.computeValue(statistics.counted(ee, named, scores, footprint, limit))

        others = len(ids) - 1
        answer: Mapping[str, Any] = self._ask(
            f"statistics of {ids[0]}" + (f" and {others} more" if others else ""), request
        )
        return answer

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

    def _each(self, work: Callable[[Location], Answer], locations: Sequence[Location]) -> list[Answer]:
        """The work for every location, in threads."""
        client.session(self.parameters)
        with ThreadPoolExecutor(self.parameters.max_requests_in_flight) as pool:
            return list(pool.map(work, locations))

    def _bands_around(
        self, location: Location, layers: _Layers, periods: Sequence[tuple[date, date]]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """The bands of every image of the periods around one location, keyed ``YYYY_MM_DD_<band>``."""
        collection: str = getattr(self.parameters, layers.collection)
        grid = series.pixel_grid(layers.lattice, location.footprint)
        found: dict[str, np.ndarray[Any, Any]] = {}
        for start, end in periods:
            what = f"{collection} at location {location.location_id}"
            pixels = self._ask(what, partial(layers.asked, collection, start, end, grid))
            found |= {name: pixels[name] for name in pixels.dtype.names if name != _NOTHING}
        return found

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
