"""Encoded chunks out of shards, from files or objects, with their indices kept; for threads.

A chunk is asked for by its shard's file and its number there. Files stay open, and indices in memory, up to
a bound. A file that was replaced meanwhile is told by its identity: its index is read again.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import chunk_place, index_bytes, shard_index
from ssl4eco_data.store.metadata import DOCUMENT
from ssl4eco_data.store.objects import ObjectPath

Bytes = npt.NDArray[np.uint8]
Kept = TypeVar("Kept")


class ChunkSource(Protocol):
    """Where encoded chunks come from."""

    def chunk(self, key: str, number: int, n_chunks: int, scratch: Bytes) -> Bytes | None:
        """The encoded chunk ``number`` of ``n_chunks`` of the shard ``key``; None where absent.

        Raises :class:`StoreError` when the shard is damaged. The answer may lie in ``scratch``, which is
        as long as the longest chunk.
        """

    def forget(self, key: str) -> None:
        """Look at the shard's file and index anew the next time: it may have been replaced."""


class Bounded(Generic[Kept]):
    """The values used last, at most ``limit``; for threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Kept | None:
        """The value, which is now the one used last."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def keep(self, key: str, value: Kept) -> None:
        """Keep a value; the one not used for longest goes."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            gone = self._kept.popitem(last=False) if len(self._kept) > self._limit else None
        del gone  # outside the lock, since it may close a file

    def forget(self, key: str) -> None:
        """Keep it no more."""
        with self._lock:
            self._kept.pop(key, None)


class OpenFile:
    """A file open for reading; closed with its last user, so that no thread reads from a number used anew."""

    __slots__ = ("fd", "identity", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path, self.fd = path, -1
        self.fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        stat = os.fstat(self.fd)
        self.size = stat.st_size
        self.identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def read_at_once(file: OpenFile, into: Bytes, offset: int) -> int:
    """Fill ``into`` from ``offset`` by one system call without a position; the number of bytes."""
    return os.preadv(file.fd, [into.data], offset)


def read_by_reopening(file: OpenFile, into: Bytes, offset: int) -> int:
    """The same where the system has no such call: by a file of this thread's own."""
    with file.path.open("rb", buffering=0) as own:
        own.seek(offset)
        return own.readinto(into.data) or 0


read_at: Callable[[OpenFile, Bytes, int], int] = read_at_once if hasattr(os, "preadv") else read_by_reopening


class FileChunks:
    """Chunks of shards in a folder: one ``pread`` a chunk, and one for each index that is not kept."""

    def __init__(self, group: Path, max_files: int, max_indices: int) -> None:
        self._group = group
        self._files: Bounded[OpenFile] = Bounded(max_files)
        self._indices: Bounded[tuple[Any, npt.NDArray[np.uint64]]] = Bounded(max_indices)

    def chunk(self, key: str, number: int, n_chunks: int, scratch: Bytes) -> Bytes | None:
        """See :class:`ChunkSource`."""
        file = self._files.get(key) or self._opened(key)
        if file is None:
            return None
        found = self._indices.get(key)
        if found is None or found[0] != file.identity:
            found = file.identity, self._index(file, n_chunks, len(scratch))
            self._indices.keep(key, found)
        place = chunk_place(found[1], number)
        if place is None:
            return None
        offset, size = place
        data = scratch[:size]
        if read_at(file, data, offset) != size:
            raise StoreError(f"the file ends within the chunk's {size} bytes from {offset}")
        return data

    def forget(self, key: str) -> None:
        """See :class:`ChunkSource`."""
        self._files.forget(key)
        self._indices.forget(key)

    def _opened(self, key: str) -> OpenFile | None:
        """The file of a shard; None where there is none though its array is there."""
        path = self._group / key
        try:
            file = OpenFile(path)
        except FileNotFoundError:
            if not (self._group / key.partition("/")[0]).is_dir():
                raise StoreError(f"{self._group} is gone; check the path or the disk") from None
            return None
        except OSError as error:
            raise StoreError(f"cannot open the file: {error.strerror}") from error
        self._files.keep(key, file)
        return file

    def _index(self, file: OpenFile, n_chunks: int, longest: int) -> npt.NDArray[np.uint64]:
        count = index_bytes(n_chunks)
        tail = np.empty(count, dtype=np.uint8)
        read = read_at(file, tail, max(0, file.size - count))
        return shard_index(tail[:read].tobytes(), n_chunks, file.size, longest)


class ObjectChunks:
    """Chunks of shards in an object store: one range request a chunk, and one for each index not kept."""

    def __init__(self, group: ObjectPath, max_indices: int) -> None:
        self._group = group
        self._indices: Bounded[npt.NDArray[np.uint64]] = Bounded(max_indices)

    def chunk(self, key: str, number: int, n_chunks: int, scratch: Bytes) -> Bytes | None:
        """See :class:`ChunkSource`."""
        path = self._group / key
        index = self._indices.get(key)
        if index is None:
            try:
                index = self._index(path, n_chunks, len(scratch))
            except FileNotFoundError:
                if not (self._group / key.partition("/")[0] / DOCUMENT).is_file():
                    raise StoreError(f"{self._group} is gone; check the address") from None
                return None
            self._indices.keep(key, index)
        place = chunk_place(index, number)
        if place is None:
            return None
        offset, size = place
        try:
            data = path.read_range(offset, size)
        except FileNotFoundError:
            raise StoreError("the object was removed while it was read") from None
        if len(data) != size:
            raise StoreError(f"the object ends within the chunk's {size} bytes from {offset}")
        return np.frombuffer(data, dtype=np.uint8)

    def forget(self, key: str) -> None:
        """See :class:`ChunkSource`."""
        self._indices.forget(key)

    def _index(self, path: ObjectPath, n_chunks: int, longest: int) -> npt.NDArray[np.uint64]:
        tail, size = path.read_end(index_bytes(n_chunks))
        return shard_index(tail, n_chunks, size, longest)
