"""Exact pixel windows of GeoTIFFs, near or far, without warping.

Plain and deflated GeoTIFFs are read by ranges of bytes (:mod:`ssl4eco_data.archives.cog_direct`), everything
else by GDAL: other compressions, JPEG 2000, other stores than HTTP. GDAL decodes small files whole, and they
are kept for a while, because opening a file costs more than decoding it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import rasterio
import requests
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window

from ssl4eco_data.archives import cog_direct, signing
from ssl4eco_data.archives.cog_bytes import FileChanged, Piece, Read
from ssl4eco_data.archives.cog_kept import Kept
from ssl4eco_data.archives.flow_control import Lane, Limits, lane_of
from ssl4eco_data.archives.retry import archive_errors, is_transient_status, with_retries
from ssl4eco_data.archives.transport import Timeouts
from ssl4eco_data.errors import ArchiveError

Pixels = npt.NDArray[np.generic]
Transform = tuple[float, float, float, float, float, float]
Answer = TypeVar("Answer")
Job = TypeVar("Job")
Signing = Literal["none", "planetary-computer"]

SMALL_PX = 2**20
"""Files of up to this many pixels are decoded whole."""
CACHE_BYTES = 128 * 2**20
"""Decoded small files kept by one process."""
GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_HTTP_MAX_RETRY": "0",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "CPL_VSIL_CURL_CACHE_SIZE": str(64 * 2**20),
}
"""No directory listing, no sidecar files, few requests; retries are made here, not inside GDAL."""
_NEARLY = 0.9
"""Of a time-out: GDAL counts in whole seconds, from a little later than we do."""
FORGET = {"CPL_VSIL_CURL_NON_CACHED": ":".join(f"/vsi{kind}/" for kind in ("curl", "s3", "gs", "az"))}
"""For further attempts: GDAL remembers failures of a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How files are fetched."""

    sign: Signing = "none"
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    timeout_s: float = 60.0
    retries: int = 4
    wait_s: float = 1.0
    threads: int = 4
    limits: Limits = field(default_factory=Limits)

    @property
    def timeouts(self) -> Timeouts:
        """Of one request."""
        return Timeouts(connect_s=self.connect_timeout_s, read_s=self.read_timeout_s, total_s=self.timeout_s)


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A single-band raster: its grid, and ``fetch(column, row, width, height)`` for pixels inside it."""

    crs_wkt: str
    transform: Transform
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    fetch: Callable[[int, int, int, int], Pixels]

    def window(self, column: int, row: int, width: int, height: int, outside: int = 0) -> Pixels:
        """The ``(height, width)`` pixels from ``(row, column)`` on, ``outside`` beyond the raster's edge."""
        pixels = np.full((height, width), outside, self.dtype)
        left, right = max(column, 0), min(column + width, self.shape[1])
        top, bottom = max(row, 0), min(row + height, self.shape[0])
        if left < right and top < bottom:
            inner = self.fetch(left, top, right - left, bottom - top)
            pixels[top - row : bottom - row, left - column : right - column] = inner
        return pixels


def is_remote(href: str) -> bool:
    """Whether a link leads over a network."""
    return "://" in href and not href.startswith("file://")


def read(href: str, use: Callable[[Raster], Answer], access: Access) -> Answer:
    """What ``use`` makes of the raster at ``href``, tried again on transient failures.

    ``use`` must not keep the raster. Raises ArchiveError naming the file.
    """
    attempts = count()
    used: dict[str, Any] = {}
    lane = lane_of(href, access.limits) if is_remote(href) else None

    def attempt() -> Answer:
        number, began_s = next(attempts), time.monotonic()

        def unexplained() -> bool:
            if time.monotonic() - began_s >= access.timeouts.shortest_s * _NEARLY:
                return True  # a time-out inside GDAL, which does not say so
            return _may_pass(href, access, last=number == access.retries)

        with archive_errors(f"file {href}", remote=is_remote(href), unexplained=unexplained):
            key = _identity(href)
            raster = _SMALL.get(key)
            if raster is not None:
                return use(raster)
            link = _link(href, access)
            used.update(_tokens(access))
            try:
                raster = _direct(link, key, access, lane)
                if raster is not None:
                    return use(raster)
                if lane:
                    lane.start()
                return _by_gdal(link, key, use, access, again=number > 0)
            except (ValueError, RasterioError, FileChanged):
                cog_direct.forget(key)  # it may be replaced by a good one
                raise

    renew = partial(signing.forget, used) if access.sign == "planetary-computer" else None
    return with_retries(attempt, retries=access.retries, wait_s=access.wait_s, lane=lane, renew=renew)


def _direct(link: str, key: cog_direct.Key, access: Access, lane: Lane | None) -> Raster | None:
    """The raster read by ranges of bytes, each a request of ``lane``; None when it is left to GDAL."""
    read_piece = cog_direct.reader_of(link, access.timeouts)
    if read_piece and lane:
        read_piece = _counted(read_piece, lane)
    found = cog_direct.opened(key, read_piece) if read_piece else None
    if found is None:
        return None
    header, fetch = found
    return Raster(header.crs_wkt, header.transform, header.shape, header.dtype, fetch)


def _by_gdal(
    link: str, key: cog_direct.Key, use: Callable[[Raster], Answer], access: Access, *, again: bool
) -> Answer:
    """What ``use`` makes of the raster as GDAL reads it, of a small one once decoded."""
    options = FORGET if again else {}
    with _environment(access, options), rasterio.open(link) as file:
        raster = _raster(key[0], file)
        if raster.shape[0] * raster.shape[1] > SMALL_PX:
            return use(raster)
        small = _decoded(raster)
    _SMALL.put(key, small)
    return use(small)


def _may_pass(href: str, access: Access, *, last: bool) -> bool:
    """Whether a failure without a reason is the server's, which may pass, and not the file's.

    The server is asked for one byte. Where it answers well, the file is to blame once the last attempt
    has failed too.
    """
    if not href.startswith(("http://", "https://")):
        return not last
    try:
        one_byte = {"Range": "bytes=0-0"}
        link = _link(href, access)
        lane_of(href, access.limits).start()
        limits = access.timeouts
        seconds = limits.connect_s, limits.read_s
        with requests.get(link, headers=one_byte, timeout=seconds, stream=True) as answer:
            return not last if answer.ok else is_transient_status(answer.status_code)
    except requests.RequestException:
        return True


def _environment(access: Access, options: Mapping[str, str]) -> rasterio.Env:
    limits = access.timeouts
    seconds = {
        "GDAL_HTTP_CONNECTTIMEOUT": min(limits.connect_s, limits.total_s),
        "GDAL_HTTP_LOW_SPEED_TIME": min(limits.read_s, limits.total_s),
        "GDAL_HTTP_TIMEOUT": limits.total_s,
    }
    whole = {name: str(max(1, round(value))) for name, value in seconds.items()}
    return rasterio.Env(**GDAL_OPTIONS, **options, **whole, GDAL_HTTP_LOW_SPEED_LIMIT="1")


def _link(href: str, access: Access) -> str:
    """The link to open; signatures are renewed here, by their library, shortly before they expire."""
    if access.sign == "planetary-computer" and is_remote(href):
        return signing.signed(href, access.timeouts, access.limits)
    return href


def _tokens(access: Access) -> Mapping[str, Any]:
    return signing.tokens() if access.sign == "planetary-computer" else {}


def _counted(read_piece: Read, lane: Lane) -> Read:
    def counted(start: int, into: memoryview) -> Piece:
        lane.start()
        piece = read_piece(start, into)
        lane.received(piece.received)
        return piece

    return counted


def _identity(href: str) -> cog_direct.Key:
    """What the pixels behind a link depend on: not on its signature; a local file may be written anew."""
    if is_remote(href):
        return cog_direct.unsigned(href), 0, 0
    status = Path(href.removeprefix("file://")).stat()
    return href, status.st_mtime_ns, status.st_size


def _raster(href: str, file: Any) -> Raster:
    if file.count != 1:
        raise ArchiveError(f"file {href} must have one band, got {file.count}", transient=False)
    transform = file.transform
    if transform.b or transform.d or transform.a <= 0 or transform.e != -transform.a:
        raise ArchiveError(
            f"file {href} must be north-up with square pixels, got {transform!r}", transient=False
        )

    def fetch(column: int, row: int, width: int, height: int) -> Pixels:
        pixels: Pixels = file.read(1, window=Window(column, row, width, height))
        return pixels

    return Raster(
        crs_wkt=file.crs.wkt if file.crs else "",
        transform=tuple(transform)[:6],
        shape=(file.height, file.width),
        dtype=np.dtype(file.dtypes[0]),
        fetch=fetch,
    )


def _decoded(raster: Raster) -> Raster:
    """The same raster with all of its pixels in memory."""
    rows, columns = raster.shape
    pixels = raster.fetch(0, 0, columns, rows)

    def fetch(column: int, row: int, width: int, height: int) -> Pixels:
        return pixels[row : row + height, column : column + width]

    return Raster(raster.crs_wkt, raster.transform, raster.shape, raster.dtype, fetch)


_SMALL: Kept[Raster] = Kept(
    CACHE_BYTES, lambda raster: raster.shape[0] * raster.shape[1] * raster.dtype.itemsize
)


def spread(
    work: Callable[[Job], Answer], jobs: Sequence[Job], hrefs: Iterable[str], access: Access
) -> list[Answer]:
    """``work`` done for every job, answers in order; in threads when one of the files is far.

    Opening near files holds the interpreter's lock, so threads would only slow them down.
    """
    if access.threads == 1 or len(jobs) < 2 or not any(map(is_remote, hrefs)):
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(min(access.threads, len(jobs))) as pool:
        return list(pool.map(work, jobs))


@lru_cache(maxsize=256)
def crs_of(wkt: str) -> CRS:
    """The coordinate reference system of a raster."""
    return CRS.from_wkt(wkt)


@lru_cache(maxsize=256)
def epsg_of(wkt: str) -> int | None:
    """The EPSG code of a raster's coordinate reference system; None without one."""
    code: int | None = crs_of(wkt).to_epsg()
    return code


@lru_cache(maxsize=256)
def same_crs(wkt: str, other_wkt: str) -> bool:
    """Whether two texts describe one coordinate reference system; slow, hence remembered."""
    return wkt == other_wkt or bool(crs_of(wkt) == crs_of(other_wkt))
