"""The ways of reading patches that ``benchmarks.reading`` compares; each runs in a fresh process.

``python -m benchmarks.reading_work WAY JOB`` reads the patches of a job (JSON) and prints seconds on the
clock, seconds of the processor, peak memory and a checksum of the pixels.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from benchmarks.reading_data import EPSG, NORTH_M, PIXEL_M, WEST_M, file_name

Patch = dict[str, npt.NDArray[Any]]
Way = Callable[["Job"], Callable[["Place"], Patch]]
PATCH_M = 2560
PATCHES_AT_A_TIME = 4
"""As the pipeline reads them."""
FILES_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class Place:
    """One patch: its scene and its corner."""

    scene: str
    west_m: float
    north_m: float

    def window(self, pixel_m: int) -> tuple[int, int, int]:
        """(column, row, side) in pixels; at 60 m the pixels that cover the patch."""
        column, row = (self.west_m - WEST_M) / pixel_m, (NORTH_M - self.north_m) / pixel_m
        side = PATCH_M // pixel_m if pixel_m != 60 else (PATCH_M + 40) // 60 + 1
        return int(column), int(row), side


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Patches to read, from a server or from the files behind it."""

    url: str
    folder: str
    places: tuple[Place, ...]

    def href(self, scene: str, band: str) -> str:
        """The link to a file."""
        return f"{self.url}/{scene}/{band}.tif"

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def job_of(text: str) -> Job:
    """From JSON."""
    found = json.loads(text)
    return Job(**{**found, "places": tuple(Place(**place) for place in found["places"])})


def ours(job: Job) -> Callable[[Place], Patch]:
    """The archive as the pipeline uses it, without a limit to its requests."""
    from ssl4eco_data.archives.stac import StacArchive, StacParameters
    from ssl4eco_data.types import Asset, Footprint, Scene

    parameters = StacParameters(
        imagery="unused.json", threads=FILES_AT_A_TIME, max_requests_in_flight=1000, requests_per_s=1e9
    )
    archive = StacArchive(parameters)

    def read(place: Place) -> Patch:
        grids = {m: (float(m), 0.0, float(WEST_M), 0.0, -float(m), float(NORTH_M)) for m in (10, 20, 60)}
        scene = Scene(
            scene_id=place.scene,
            acquisition=place.scene,
            tile="31UES",
            time=datetime(2020, 1, 1, tzinfo=UTC),
            epsg=EPSG,
            tile_west_m=WEST_M,
            tile_north_m=NORTH_M,
            cloud_fraction=0.0,
            sun_elevation_deg=40.0,
            assets={b: Asset(href=job.href(place.scene, b), transform=grids[m]) for b, m in PIXEL_M.items()},
        )
        footprint = Footprint(epsg=EPSG, west_m=place.west_m, north_m=place.north_m, size_m=PATCH_M)
        return dict(archive.read(scene, footprint, tuple(PIXEL_M)))

    return read


def rasterio_plain(job: Job) -> Callable[[Place], Patch]:
    """What is written first: every band opened and its window read."""

    def read(place: Place) -> Patch:
        return {band: _window(job, place, band) for band in PIXEL_M}

    return read


def rasterio_tuned(job: Job) -> Callable[[Place], Patch]:
    """GDAL with its settings for files of this kind, bands in threads."""
    from ssl4eco_data.archives.cog import GDAL_OPTIONS

    def band_of(place: Place, band: str) -> npt.NDArray[Any]:
        with rasterio.Env(**GDAL_OPTIONS):
            return _window(job, place, band)

    def read(place: Place) -> Patch:
        with ThreadPoolExecutor(FILES_AT_A_TIME) as pool:
            return dict(zip(PIXEL_M, pool.map(lambda band: band_of(place, band), PIXEL_M), strict=True))

    return read


def _window(job: Job, place: Place, band: str) -> npt.NDArray[Any]:
    column, row, side = place.window(PIXEL_M[band])
    with rasterio.open(job.href(place.scene, band)) as file:
        pixels: npt.NDArray[Any] = file.read(1, window=Window(column, row, side, side))
    return pixels


def odc_stac(job: Job) -> Callable[[Place], Patch]:
    """odc-stac on the patch's own grids, one load a resolution, with its settings for the cloud."""
    import odc.stac
    from odc.geo.geobox import GeoBox
    from pystac import Item
    from rasterio.transform import Affine

    odc.stac.configure_rio(cloud_defaults=True)

    def read(place: Place) -> Patch:
        item = Item.from_dict(_item(job, place.scene))
        found: Patch = {}
        for pixel_m in (10, 20, 60):
            column, row, side = place.window(pixel_m)
            grid = Affine(pixel_m, 0, WEST_M + column * pixel_m, 0, -pixel_m, NORTH_M - row * pixel_m)
            bands = [band for band, pixel in PIXEL_M.items() if pixel == pixel_m]
            box = GeoBox((side, side), grid, f"EPSG:{EPSG}")
            loaded = odc.stac.load([item], bands=bands, geobox=box, pool=FILES_AT_A_TIME)
            found |= {band: loaded[band].to_numpy()[0] for band in bands}
        return {band: found[band] for band in PIXEL_M}

    return read


def async_geotiff(job: Job) -> Callable[[Place], Patch]:
    """A reader in Rust: one event loop for all patches, headers read once."""
    from async_geotiff import GeoTIFF
    from async_geotiff import Window as Part
    from obstore.store import HTTPStore

    store = HTTPStore.from_url(job.url, client_options={"allow_http": True})
    opened: dict[str, asyncio.Task[Any]] = {}
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def band_of(place: Place, band: str) -> npt.NDArray[Any]:
        path = f"{place.scene}/{band}.tif"
        if path not in opened:
            opened[path] = asyncio.ensure_future(GeoTIFF.open(path, store=store))
        column, row, side = place.window(PIXEL_M[band])
        file = await opened[path]
        found = await file.read(window=Part(col_off=column, row_off=row, width=side, height=side))
        pixels: npt.NDArray[Any] = found.data[0]
        return pixels

    async def patch_of(place: Place) -> Patch:
        found = await asyncio.gather(*(band_of(place, band) for band in PIXEL_M))
        return dict(zip(PIXEL_M, found, strict=True))

    return lambda place: asyncio.run_coroutine_threadsafe(patch_of(place), loop).result()


_RING = [[3.0, 50.4], [4.6, 50.4], [4.6, 51.5], [3.0, 51.5], [3.0, 50.4]]
"""About where the tile lies, lon and lat."""


def _item(job: Job, scene: str) -> dict[str, Any]:
    assets = {
        band: {
            "href": job.href(scene, band),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "proj:shape": [109800 // pixel_m] * 2,
            "proj:transform": [pixel_m, 0, WEST_M, 0, -pixel_m, NORTH_M],
            "raster:bands": [{"data_type": "uint8" if band == "SCL" else "uint16", "nodata": 0}],
        }
        for band, pixel_m in PIXEL_M.items()
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
        "id": scene,
        "geometry": {"type": "Polygon", "coordinates": [_RING]},
        "bbox": [*_RING[0], *_RING[2]],
        "properties": {"datetime": "2020-01-01T00:00:00Z", "proj:epsg": EPSG},
        "links": [],
        "assets": assets,
    }


@dataclass(frozen=True, slots=True)
class Coded:
    """A block of a file in memory: its bytes, and what of it belongs to a window."""

    data: bytes
    dtype: np.dtype[Any]
    side: int
    rows: slice
    columns: slice
    target: tuple[slice, slice]


def decode_isal(job: Job) -> Callable[[Place], Patch]:
    """The blocks of all patches, in memory before the clock starts, inflated with ISA-L."""
    from isal import isal_zlib

    return _decode(job, lambda data, size: isal_zlib.decompress(data, bufsize=size + 64))


def decode_zlib(job: Job) -> Callable[[Place], Patch]:
    """The same with zlib."""
    return _decode(job, lambda data, size: zlib.decompress(data, bufsize=size + 64))


def _decode(job: Job, inflate: Callable[[bytes, int], bytes]) -> Callable[[Place], Patch]:
    """Sums only rows of the window, and only columns up to its right edge."""
    coded = {(place, band): list(_coded(job, place, band)) for place in set(job.places) for band in PIXEL_M}

    def read(place: Place) -> Patch:
        found: Patch = {}
        for band, pixel_m in PIXEL_M.items():
            side = place.window(pixel_m)[2]
            for part in coded[place, band]:
                pixels = found.setdefault(band, np.empty((side, side), part.dtype))
                plain = inflate(part.data, part.side**2 * part.dtype.itemsize)
                stored = np.frombuffer(plain, part.dtype).reshape(part.side, part.side)[part.rows]
                west = part.columns.start
                share = pixels[part.target]
                share[...] = stored[:, part.columns]
                share[:, 0] += stored[:, :west].sum(axis=1, dtype=part.dtype)
                np.cumsum(share, axis=1, dtype=part.dtype, out=share)
        return found

    return read


def _coded(job: Job, place: Place, band: str) -> Iterator[Coded]:
    """The blocks under a window, found by the tables of GDAL."""
    column, row, side = place.window(PIXEL_M[band])
    path = Path(job.folder, file_name(band))
    with rasterio.open(path) as file, path.open("rb") as raw:
        block, dtype = file.block_shapes[0][0], np.dtype(file.dtypes[0])
        for down in range(row // block, (row + side - 1) // block + 1):
            for across in range(column // block, (column + side - 1) // block + 1):
                place_of = f"BLOCK_OFFSET_{across}_{down}", f"BLOCK_SIZE_{across}_{down}"
                start, size = (int(file.get_tag_item(key, "TIFF", bidx=1)) for key in place_of)
                raw.seek(start)
                top, left = max(row, down * block), max(column, across * block)
                bottom, right = min(row + side, (down + 1) * block), min(column + side, (across + 1) * block)
                yield Coded(
                    raw.read(size),
                    dtype,
                    block,
                    slice(top - down * block, bottom - down * block),
                    slice(left - across * block, right - across * block),
                    (slice(top - row, bottom - row), slice(left - column, right - column)),
                )


WAYS: dict[str, tuple[Way, int]] = {
    "ours": (ours, PATCHES_AT_A_TIME),
    "rasterio, plain": (rasterio_plain, 1),
    "rasterio, tuned": (rasterio_tuned, PATCHES_AT_A_TIME),
    "odc-stac": (odc_stac, PATCHES_AT_A_TIME),
    "async-geotiff": (async_geotiff, PATCHES_AT_A_TIME),
    "limit: ISA-L": (decode_isal, 1),
    "limit: zlib": (decode_zlib, 1),
}
"""Each way, and how many patches it reads at a time."""


def perform(way: str, job: Job) -> dict[str, float]:
    """Seconds by the clock and of the processor, peak megabytes, and the checksum of all pixels."""
    prepare, at_a_time = WAYS[way]
    read = prepare(job)
    clock, processor = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(at_a_time) as pool:
        patches = list(pool.map(read, job.places))
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - processor
    checksum = 0
    for patch in patches:
        for band in PIXEL_M:
            checksum = zlib.crc32(np.ascontiguousarray(patch[band], dtype="<u2").tobytes(), checksum)
    per_unit = 1e-6 if sys.platform == "darwin" else 1024e-6
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * per_unit
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb, "checksum": checksum}


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    json.dump(perform(sys.argv[1], job_of(sys.stdin.read())), sys.stdout)
