"""Windows of a raster from its blocks: few requests, each block inflated once, no pixel touched in vain."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from ssl4eco_data.archives.cog_bytes import memory
from ssl4eco_data.archives.cog_header import Header

Fill = Callable[[int, memoryview], None]
"""Fills memory with all the bytes of a file from a position on, or raises."""
Pixels = npt.NDArray[np.generic]

GAP_BYTES = 2**16
"""Blocks with at most this much between them are fetched in one request."""
REQUEST_BYTES = 2**24
PART_BYTES = 2**16
"""Inflated at a time: what comes out stays in the processor's cache, and a bomb is seen in time."""


class _Gate:
    """As many blocks are inflated at a time as there are cores: more would empty each other's caches."""

    def __init__(self) -> None:
        self._open()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._open)

    def _open(self) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.turn = threading.Semaphore(cores)


_GATE = _Gate()


class Shelf(Protocol):
    """Inflated blocks of one raster, by number."""

    def get(self, block: int) -> bytes | None:
        """The block, if it is there."""
        ...

    def put(self, block: int, plain: memoryview) -> None:
        """Put a copy of a block there, or do not."""
        ...


class Run(NamedTuple):
    """Blocks that one request fetches."""

    start: int
    size: int
    blocks: tuple[int, ...]


def read_window(header: Header, fill: Fill, shelf: Shelf, window: Sequence[int]) -> Pixels:
    """The ``(height, width)`` pixels of ``window`` = (column, row, width, height), inside the raster.

    Blocks on the ``shelf`` are not fetched. Raises ValueError for broken blocks, and what ``fill`` raises.
    """
    column, row, width, height = window
    pixels = np.full((height, width), header.empty, header.dtype)
    missing = []
    for block in _blocks(header, window):
        kept = shelf.get(block)
        if kept is not None:
            _paste(header, block, kept, pixels, (column, row))
        elif header.counts[block]:
            missing.append(block)
    for run in runs(header, missing):
        with memory(run.size) as data:
            fill(run.start, data)
            for block in run.blocks:
                begin = int(header.offsets[block]) - run.start
                stored = data[begin : begin + int(header.counts[block])]
                with _GATE.turn, memory(header.block_bytes) as room:
                    plain = inflated(header, block, stored, room)
                    _paste(header, block, plain, pixels, (column, row))
                    shelf.put(block, plain)
    return pixels


def _blocks(header: Header, window: Sequence[int]) -> Iterator[int]:
    """The numbers of the blocks under a window."""
    column, row, width, height = window
    block_rows, block_columns = header.block_shape
    for down in range(row // block_rows, (row + height - 1) // block_rows + 1):
        for across in range(column // block_columns, (column + width - 1) // block_columns + 1):
            yield down * header.across + across


def runs(header: Header, blocks: Sequence[int]) -> list[Run]:
    """The blocks in the order of their bytes, neighbours in the file together."""
    found: list[Run] = []
    for block in sorted(blocks, key=lambda each: (int(header.offsets[each]), each)):
        start, end = int(header.offsets[block]), int(header.offsets[block] + header.counts[block])
        last = found[-1] if found else None
        if last and start - (last.start + last.size) <= GAP_BYTES and end - last.start <= REQUEST_BYTES:
            size = max(last.size, end - last.start)
            found[-1] = Run(last.start, size, (*last.blocks, block))
        else:
            found.append(Run(start, end - start, (block,)))
    return found


def inflated(header: Header, block: int, stored: memoryview, room: memoryview) -> memoryview:
    """The bytes of a block, its checksum compared, in ``room``, which a whole block fits.

    Raises ValueError naming the block, also for one that holds more.
    """
    due = header.rows_of(block) * header.block_shape[1] * header.dtype.itemsize
    plain = stored
    if header.deflated:
        try:
            plain = room[: _inflate(stored, room)]
        except (isal_zlib.error, ValueError) as error:  # type: ignore[misc]  # the stub says: no exception
            raise ValueError(f"block {block} at byte {header.offsets[block]} is corrupt: {error}") from None
    if len(plain) < due:
        raise ValueError(f"block {block} holds {len(plain)} bytes, {due} are due")
    return plain


def _inflate(stored: memoryview, room: memoryview) -> int:
    """How many bytes of ``room`` were filled."""
    stream = isal_zlib.decompressobj()
    filled = 0
    for start in range(0, len(stored), PART_BYTES):
        part = stream.decompress(stored[start : start + PART_BYTES])
        if filled + len(part) > len(room):
            raise ValueError(f"more than {len(room)} bytes")
        room[filled : filled + len(part)] = part
        filled += len(part)
        if stream.eof:
            return filled
    raise ValueError(f"incomplete after {filled} bytes")


def _paste(
    header: Header, block: int, plain: bytes | memoryview, pixels: npt.NDArray[Any], corner: tuple[int, int]
) -> None:
    """Put a block's share into ``pixels``, whose corner is (column, row) of the raster.

    Predictor 2 (TIFF 6.0, section 14) stores differences along a row: the pixel is the sum of all up to
    it, so what lies below, above or right of the window is never summed.
    """
    rows, columns = header.rows_of(block), header.block_shape[1]
    words = np.dtype(f"<u{header.dtype.itemsize}") if header.predicted else header.dtype
    stored = np.frombuffer(plain, words, rows * columns).reshape(rows, columns)
    west = block % header.across * columns - corner[0]
    north = block // header.across * header.block_shape[0] - corner[1]
    left, top = max(west, 0), max(north, 0)
    right, bottom = min(west + columns, pixels.shape[1]), min(north + rows, pixels.shape[0])
    share = stored[top - north : bottom - north, : right - west]
    target = pixels[top:bottom, left:right].view(words)
    target[...] = share[:, left - west :]
    if header.predicted:
        target[:, 0] += np.sum(share[:, : left - west], axis=1, dtype=words)
        np.add.accumulate(target, axis=1, dtype=words, out=target)
