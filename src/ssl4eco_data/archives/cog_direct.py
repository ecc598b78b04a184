"""Rasters read by ranges of bytes: headers kept for all who ask, windows from few requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from ssl4eco_data.archives.cog_blocks import Fill, Pixels, read_window
from ssl4eco_data.archives.cog_bytes import Read, read_far, read_near
from ssl4eco_data.archives.cog_header import HEADER_BYTES, Header, header_of
from ssl4eco_data.archives.cog_kept import Kept

Key = tuple[str, int, int]
"""A file: its link; time and size of a local one, which may be written anew."""

HEADERS = 4096
"""Headers kept by one process; a scene has 13, each of about 3 kB."""
BLOCKS_BYTES = 128 * 2**20
SHORTEST_BYTES = 16
KEPT_PX = 2**22
"""Of rasters of up to this many pixels inflated blocks are kept: locations share them at 60 m."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was looked at: its header, None when it is left to GDAL, and its size if known."""

    header: Header | None
    file_bytes: int | None


@dataclass(frozen=True, slots=True)
class BlocksOf:
    """The kept blocks of one file; of a large one none are."""

    key: Key
    small: bool

    def get(self, block: int) -> bytes | None:
        """The block, if it is kept."""
        return _BLOCKS.get((self.key, block)) if self.small else None

    def put(self, block: int, plain: bytes) -> None:
        """Keep the block, if the file is small."""
        if self.small:
            _BLOCKS.put((self.key, block), plain)


_HEADERS: Kept[Opened] = Kept(HEADERS, lambda _: 1)
_BLOCKS: Kept[bytes] = Kept(BLOCKS_BYTES, len)


def reader_of(link: str, timeout_s: float) -> Read | None:
    """What reads pieces of a file; None when only GDAL knows how to reach it."""
    if link.startswith(("http://", "https://")):
        return partial(read_far, link, timeout_s)
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
    fill = _exactly(read, found.file_bytes)
    shelf = BlocksOf(key, header.shape[0] * header.shape[1] <= KEPT_PX)
    return header, lambda *window: read_window(header, fill, shelf, window)


def forget(key: Key) -> None:
    """Look at a file anew when it is read next: it could not be read, and may have been replaced."""
    _HEADERS.forget(key)


def _look(read: Read) -> Opened:
    head = bytearray(HEADER_BYTES)
    size, file_bytes = read(0, memoryview(head))
    beyond = _exactly(read, file_bytes)

    def fetch(start: int, count: int) -> bytes:
        if start + count <= size:
            return bytes(head[start : start + count])
        into = bytearray(count)
        beyond(start, memoryview(into))
        return bytes(into)

    return Opened(header_of(fetch) if size >= SHORTEST_BYTES else None, file_bytes)


def _exactly(read: Read, file_bytes: int | None) -> Fill:
    """Fills all bytes that are asked for, or raises: ValueError where the file ends before them."""

    def fill(start: int, into: memoryview) -> None:
        if file_bytes is not None and start + len(into) > file_bytes:
            raise ValueError(f"the file is truncated: it has {file_bytes} bytes, {start + len(into)} are due")
        piece = read(start, into)
        if file_bytes is not None and piece.file_bytes not in (None, file_bytes):
            raise requests.ConnectionError(
                f"the file changed while it was read: it had {file_bytes} bytes, now {piece.file_bytes}"
            )
        if piece.size < len(into):
            raise ValueError(f"the file is truncated: it ends at byte {start + piece.size}")

    return fill
