"""Rasters read by ranges of bytes: headers kept for all who ask, windows from few requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from ssl4eco_data.archives.cog_blocks import Fill, Pixels, read_window
from ssl4eco_data.archives.cog_bytes import FileChanged, Read, Version, read_far, read_near
from ssl4eco_data.archives.cog_header import HEADER_BYTES, Header, header_of
from ssl4eco_data.archives.cog_kept import Kept
from ssl4eco_data.archives.transport import Timeouts

Key = tuple[str, int, int]
"""A file: its link; time and size of a local one, which may be written anew."""

HEADERS_BYTES = 2**26
"""Headers kept by one process; a scene has 13, each of about 3 kB."""
BLOCKS_BYTES = 128 * 2**20
SHORTEST_BYTES = 16
KEPT_PX = 2**22
"""Of rasters of up to this many pixels inflated blocks are kept: locations share them at 60 m."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was looked at: its header, None when it is left to GDAL, and its state then.

    ``number`` tells what is kept of it from what was kept of a file that it replaced.
    """

    header: Header | None
    version: Version
    number: int = field(default_factory=count().__next__)

    @property
    def used_bytes(self) -> int:
        """Memory that it takes, about."""
        return 1024 + (self.header.offsets.nbytes + self.header.counts.nbytes if self.header else 0)


@dataclass(frozen=True, slots=True)
class BlocksOf:
    """The kept blocks of one file; of a large one none are."""

    number: int
    small: bool

    def get(self, block: int) -> bytes | None:
        """The block, if it is kept."""
        return _BLOCKS.get((self.number, block)) if self.small else None

    def put(self, block: int, plain: memoryview) -> None:
        """Keep a copy of the block, if the file is small."""
        if self.small:
            _BLOCKS.put((self.number, block), bytes(plain))


_HEADERS: Kept[Opened] = Kept(HEADERS_BYTES, lambda opened: opened.used_bytes)
_BLOCKS: Kept[bytes] = Kept(BLOCKS_BYTES, len)


_SIGNATURES = {"sig", "signature", "x-amz-signature", "x-goog-signature"}
_OF_SIGNATURES = {
    *_SIGNATURES,
    *("sv", "ss", "srt", "sr", "sp", "st", "se", "spr", "sip", "si"),  # Azure
    *("skoid", "sktid", "skt", "ske", "sks", "skv"),
    *("expires", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy"),
}


def unsigned(link: str) -> str:
    """A link without its signature: the same file for every signature."""
    parts = urlsplit(link)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if not any(name.lower() in _SIGNATURES for name, _ in query):
        return link
    kept = [
        (name, value)
        for name, value in query
        if name.lower() not in _OF_SIGNATURES and not name.lower().startswith(("x-amz-", "x-goog-"))
    ]
    return parts._replace(query=urlencode(kept)).geturl()


def reader_of(link: str, timeouts: Timeouts) -> Read | None:
    """What reads pieces of a file; None when only GDAL knows how to reach it."""
    if link.startswith(("http://", "https://")):
        return partial(read_far, link, timeouts)
    if "://" not in link or link.startswith("file://"):
        return partial(read_near, Path(link.removeprefix("file://")))
    return None


def opened(key: Key, read: Read) -> tuple[Header, Callable[[int, int, int, int], Pixels]] | None:
    """(header, ``fetch(column, row, width, height)``) of a file; None when it is left to GDAL.

    The header is read by the first who asks. Raises ValueError for a broken file, from ``fetch`` too, and
    what ``read`` raises.
    """
    found = _HEADERS.get_or_make(key, lambda: _look(read))
    header = found.header
    if header is None:
        return None
    fill = _exactly(read, found.version)
    shelf = BlocksOf(found.number, header.shape[0] * header.shape[1] <= KEPT_PX)
    return header, lambda *window: read_window(header, fill, shelf, window)


def forget(key: Key) -> None:
    """Look at a file anew when it is read next: it could not be read, and may have been replaced."""
    _HEADERS.forget(key)


def _look(read: Read) -> Opened:
    head = bytearray(HEADER_BYTES)
    first = read(0, memoryview(head))
    beyond = _exactly(read, first.version)
    seen = [(0, bytes(head[: first.size]))]

    def fetch(start: int, size: int) -> bytes:
        for begin, data in seen:
            if begin <= start and start + size <= begin + len(data):
                return data[start - begin : start - begin + size]
        into = bytearray(_ahead(first.version, start, size))
        beyond(start, memoryview(into))
        seen.append((start, bytes(into)))
        return bytes(into[:size])

    return Opened(header_of(fetch) if first.size >= SHORTEST_BYTES else None, first.version)


def _ahead(version: Version, start: int, size: int) -> int:
    """How much to read from ``start`` on, where ``size`` bytes are wanted and their neighbours soon."""
    if version.file_bytes is None:
        return size
    _check_end(version, start + size)
    return min(max(size, HEADER_BYTES), version.file_bytes - start)


def _check_end(version: Version, end: int) -> None:
    if version.file_bytes is not None and end > version.file_bytes:
        raise ValueError(f"the file is truncated: it has {version.file_bytes} bytes, {end} are due")


def _exactly(read: Read, version: Version) -> Fill:
    """Fills all bytes that are asked for, or raises: ValueError where the file ends before them.

    A server may send less than was asked for; then the rest is asked for. Raises FileChanged when the
    file is no longer that of ``version``.
    """

    def fill(start: int, into: memoryview) -> None:
        _check_end(version, start + len(into))
        filled = 0
        while filled < len(into):
            piece = read(start + filled, into[filled:])
            if version.differs(piece.version):
                raise FileChanged(f"the file changed while it was read: it was {version}, is {piece.version}")
            if not piece.size:
                raise ValueError(f"the file is truncated: it ends at byte {start + filled}")
            filled += piece.size

    return fill
