"""Ways of reading patches, for the benchmark: from the bare limits to what a consumer gets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from ssl4eco_data.store import ObjectPath, ShardReader
from ssl4eco_data.store.codec import CRC_BYTES
from ssl4eco_data.store.shard_array import patches_group
from ssl4eco_data.store.shard_source import ChunkSource, FileChunks, ObjectChunks
from ssl4eco_data.store.shards import MAX_FILES, MAX_INDICES
from ssl4eco_training.bench_figures import Turn
from ssl4eco_training.loader import SeasonLoader
from ssl4eco_training.locations import Locations

Bytes = npt.NDArray[np.uint8]
Pixels = dict[str, npt.NDArray[Any]]
Way = Callable[[float], Turn]
"""One turn of about so many seconds."""
PATCHES = 128
"""At most; as they stay in memory, packed and unpacked (some 150 MB at the paper's size)."""
_HEADER_BYTES = 16


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where a packed chunk lies: array, file of its shard below the group, number there, chunks there."""

    array: str
    key: str
    number: int
    chunks: int


class Patches:
    """Some patches of a dataset, packed as on the disk and unpacked as a reader delivers them."""

    def __init__(self, root: str, bands: Sequence[str], places: Sequence[tuple[int, int]]) -> None:
        self.places, self.reader = places, ShardReader(root, bands=bands)
        self._group = patches_group(root)
        arrays = self.reader.arrays
        self.chunks = [
            Chunk(
                a.name, a.key(row // a.per_shard), row % a.per_shard * a.shape[1] + season, a.chunks_per_shard
            )
            for row, season in places
            for a in arrays.values()
        ]
        self.longest = max(a.chunk_bytes for a in arrays.values()) + _HEADER_BYTES + CRC_BYTES
        source, scratch = self.source(), np.empty(self.longest, dtype=np.uint8)
        self.packed = [found.copy() for found in (read_chunk(source, c, scratch) for c in self.chunks)]
        self.pixels = self.reader.empty(len(places))
        self.reader.read_batch(places, self.pixels)
        self.whole = {a.name: np.empty(a.patch_shape, a.dtype) for a in arrays.values()}

    def source(self) -> ChunkSource:
        """Where packed chunks come from, nothing open yet."""
        if isinstance(self._group, ObjectPath):
            return ObjectChunks(self._group, MAX_INDICES)
        return FileChunks(self._group, MAX_FILES, MAX_INDICES)

    @property
    def packed_bytes(self) -> float:
        """Of one patch, mean."""
        return sum(chunk.size for chunk in self.packed) / len(self.places)

    @property
    def pixel_bytes(self) -> float:
        """Of one patch."""
        return sum(array.nbytes for array in self.pixels.values()) / len(self.places)

    def forget_pages(self) -> bool:
        """Drop the files from the page cache; whether the system could be asked to."""
        if isinstance(self._group, ObjectPath) or not hasattr(os, "posix_fadvise"):
            return False
        for key in sorted({chunk.key for chunk in self.chunks}):
            file = os.open(self._group / key, os.O_RDONLY)
            try:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
        return True


def some_places(known: Locations) -> list[tuple[int, int]]:
    """(row, season) of up to ``PATCHES`` patches that are there, in random order, always the same."""
    there = np.argwhere(known.present)
    chosen = np.random.default_rng(0).permutation(there)[:PATCHES]
    return [(int(known.rows[place]), int(season)) for place, season in chosen]


def read_chunk(source: ChunkSource, chunk: Chunk, scratch: Bytes) -> Bytes:
    """The packed bytes, perhaps in ``scratch``; none where there is no chunk."""
    found = source.chunk(chunk.key, chunk.number, chunk.chunks, scratch)
    return scratch[:0] if found is None else found


def repeated(once: Callable[[int], None], n: int) -> Way:
    """A way that does ``once(i)`` for i = 0 ... n - 1 and round again; each is an item."""
    numbers = count()

    def turn(seconds: float) -> Turn:
        done, clock, cpu = 0, time.perf_counter(), time.process_time()
        while (spent := time.perf_counter() - clock) < seconds or not done:
            once(next(numbers) % n)
            done += 1
        return Turn(items=done, seconds=spent, cpu_seconds=time.process_time() - cpu)

    return turn


def decode(patches: Patches) -> Way:
    """Chunks that lie in memory, unpacked; no checksum is looked at."""
    packed = [chunk[:-CRC_BYTES] for chunk in patches.packed]
    names = list(patches.reader.arrays)

    def once(i: int) -> None:
        for j, name in enumerate(names):
            blosc.decompress(packed[i * len(names) + j], patches.whole[name])

    return repeated(once, len(patches.places))


def copied(patches: Patches, pixels: Pixels) -> Way:
    """Unpacked pixels copied from ``pixels``: memcpy, or memmap where they lie in a file."""
    out = patches.reader.empty()

    def once(i: int) -> None:
        for name, values in pixels.items():
            np.copyto(out[name], values[i])

    return repeated(once, len(patches.places))


def mapped(patches: Patches, folder: Path) -> Pixels:
    """The unpacked pixels in files of ``folder``, mapped."""
    maps: Pixels = {}
    for name, values in patches.pixels.items():
        np.save(folder / f"{name}.npy", values)
        maps[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return maps


def reader(patches: Patches) -> Way:
    """ShardReader, every checksum compared."""
    out = patches.reader.empty()

    def once(i: int) -> None:
        patches.reader.read_into(*patches.places[i], out)

    return repeated(once, len(patches.places))


def storage(patches: Patches, threads: int) -> Way:
    """Packed chunks read once each, by threads, not unpacked; items are bytes.

    Files are opened anew, and dropped from the page cache before.
    """

    def part(source: ChunkSource, first: int) -> int:
        scratch = np.empty(patches.longest, dtype=np.uint8)
        return sum(read_chunk(source, chunk, scratch).size for chunk in patches.chunks[first::threads])

    def turn(_seconds: float) -> Turn:
        patches.forget_pages()
        source = patches.source()
        with ThreadPoolExecutor(threads) as pool:
            clock, cpu = time.perf_counter(), time.process_time()
            done = sum(pool.map(lambda first: part(source, first), range(threads)))
            return Turn(
                items=done,
                seconds=time.perf_counter() - clock,
                cpu_seconds=time.process_time() - cpu,
            )

    return turn


def loader(opened: Callable[[int], SeasonLoader], batch: int, images: int, ahead: int) -> Way:
    """Batches taken one after another; items are patches. ``opened`` makes a loader that begins at a sample.

    Each turn has a loader of its own, since one that waits would read while others are measured. What it
    reads ahead before the first batch is asked for is not counted.
    """
    starts = count(0, batch)

    def turn(seconds: float) -> Turn:
        with opened(next(starts)) as batches:
            for _ in range(ahead + 1):
                next(batches)
            done, clock, cpu = 0, time.perf_counter(), time.process_time()
            while (spent := time.perf_counter() - clock) < seconds or not done:
                next(batches)
                done += 1
            return Turn(items=done * batch * images, seconds=spent, cpu_seconds=time.process_time() - cpu)

    return turn
