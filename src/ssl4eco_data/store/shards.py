"""The reader for training: patches of one (location, season) into the caller's buffers, at decode speed.

Needs NumPy, numcodecs and google-crc32c, and knows no torch. A chunk is one ``pread`` (one range request on
an object store) into a scratch buffer of the thread and is unpacked from there into the caller's array;
both release the interpreter's lock, so threads of one process are faster than worker processes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import CRC_BYTES
from ssl4eco_data.store.objects import ObjectPath, Place
from ssl4eco_data.store.shard_array import (
    ShardArray,
    arrays_in,
    group_attributes,
    patches_group,
    read_shard_array,
)
from ssl4eco_data.store.shard_source import Bytes, ChunkSource, FileChunks, ObjectChunks

Pixels = npt.NDArray[Any]
MAX_FILES, MAX_INDICES = 128, 16384
"""Files kept open and shard indices kept in memory (4 KiB each at 64 locations of four seasons)."""
_HEADER_BYTES = 16


class ShardReader:
    """Reads patches of the arrays ``names`` (default: all) of the dataset, or ``patches.zarr``, at ``root``.

    ``bands`` chooses bands of each array by name, in the order wanted; an array of which none is wanted is
    not read. With ``verify`` every chunk's checksum is compared (a tenth of the time at most; always done on
    object stores); without it a damaged chunk may pass. Reading is safe in threads, and in a folder after a
    fork too; a pickled reader opens its files anew. Raises :class:`StoreError` where there is no finished
    dataset, or one of a newer format; ``ValueError`` for an array or band that is not there.
    """

    def __init__(
        self,
        root: str | Place,
        names: Sequence[str] | None = None,
        *,
        bands: Sequence[str] | None = None,
        verify: bool = True,
        max_files: int = MAX_FILES,
        max_indices: int = MAX_INDICES,
    ) -> None:
        if min(max_files, max_indices) < 1:
            raise ValueError(f"max_files and max_indices must be at least 1, got {max_files}, {max_indices}")
        self._group = patches_group(root)
        self._limits = max_files, max_indices
        self.verify = verify or isinstance(self._group, ObjectPath)
        group_attributes(self._group)
        known = {n: read_shard_array(self._group, n) for n in names or arrays_in(self._group)}
        _refuse_uneven(self._group, known)
        self.picks = {name: _picked(array, bands) for name, array in known.items()}
        if bands is not None:
            _refuse_unknown(bands, known)
        self.arrays = {n: known[n] for n, pick in self.picks.items() if pick is None or len(pick)}
        self._open = _Opened(self._group, self._limits, self._longest)

    @property
    def shape(self) -> tuple[int, int]:
        """(locations, seasons)."""
        array = next(iter(self.arrays.values()))
        return array.shape[0], array.shape[1]

    @property
    def seasons(self) -> tuple[str, ...]:
        """Labels of the season axis."""
        return next(iter(self.arrays.values())).seasons

    def bands(self, name: str) -> tuple[str, ...]:
        """The bands that are read of an array, in their order; none where it has no band axis."""
        pick = self.picks[name]
        return self.arrays[name].bands if pick is None else tuple(self.arrays[name].bands[i] for i in pick)

    def empty(self, *outer: int) -> dict[str, Pixels]:
        """Buffers ``(*outer, band, y, x)`` of each array (``scl``: no band axis), not filled."""
        return {n: np.empty((*outer, *self._shape(n)), a.dtype) for n, a in self.arrays.items()}

    def read_into(self, row: int, season: int, out: Mapping[str, Pixels]) -> bool:
        """Fill ``out[name]``, ``(band, y, x)``, of each array; whether the season has a patch.

        A missing one reads as the fill value, 0. Raises :class:`StoreError` that names the shard, the row
        and the season when a chunk is damaged or cannot be read (``out`` is then undefined), ``ValueError``
        for a row or season that is not there and for buffers of another shape or type.
        """
        self._refuse_buffers(out, ())
        self._refuse_places(np.array([[row, season]]))
        return self._read(self._opened(), row, season, out)

    def read_batch(
        self, places: npt.ArrayLike, out: Mapping[str, Pixels], threads: int = 1
    ) -> npt.NDArray[np.bool_]:
        """Fill ``out[name][i]`` with the patch at ``places[i]`` (row, season); ``(n,)`` whether it is there.

        As :meth:`read_into`, ``threads`` patches at a time; all have ended when it returns or raises.
        """
        wanted = np.asarray(places)
        if wanted.size == 0:
            wanted = wanted.reshape(0, 2)
        if wanted.ndim != 2 or wanted.shape[1] != 2:
            raise ValueError(f"places must be (n, 2), a row and a season each, got shape {wanted.shape}")
        self._refuse_places(wanted)
        self._refuse_buffers(out, (len(wanted),))
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        pairs, present = wanted.tolist(), np.zeros(len(wanted), dtype=bool)
        opened = self._opened()

        def part(start: int) -> None:
            for i in range(start, len(pairs), threads):
                here = {name: pixels[i] for name, pixels in out.items()}
                present[i] = self._read(opened, pairs[i][0], pairs[i][1], here)

        if threads == 1:
            part(0)
            return present
        futures = [opened.pool(threads).submit(part, start) for start in range(min(threads, len(pairs)))]
        wait(futures)
        for future in futures:
            future.result()
        return present

    def _read(self, opened: _Opened, row: int, season: int, out: Mapping[str, Pixels]) -> bool:
        there = [self._read_one(opened, array, row, season, out[name]) for name, array in self.arrays.items()]
        if any(there) and not all(there):
            names = [name for name, found in zip(self.arrays, there, strict=True) if not found]
            array = self.arrays[names[0]]
            raise self._damaged(array, row, season, "absent though other arrays have the patch")
        return there[0]

    def _read_one(self, opened: _Opened, array: ShardArray, row: int, season: int, out: Pixels) -> bool:
        """One array of one patch; whether it is there."""
        key = array.key(row // array.per_shard)
        number = row % array.per_shard * array.shape[1] + season
        scratch = opened.scratch
        try:
            data = opened.chunks.chunk(key, number, array.chunks_per_shard, scratch.packed)
            if data is None:
                out.fill(array.fill_value)
                return False
            pick = self.picks[array.name]
            if pick is None and out.flags.c_contiguous and out.dtype == array.dtype:
                _unpack(data, out, self.verify)
                return True
            plain = scratch.plain(array)
            _unpack(data, plain, self.verify)
            if pick is None:
                np.copyto(out, plain)
            else:
                for band, place in zip(out, pick, strict=True):  # one copy; plain[pick] would make two
                    band[...] = plain[place]
        except StoreError as error:
            opened.forget(key)
            raise self._damaged(array, row, season, str(error)) from error
        except OSError as error:
            raise self._damaged(array, row, season, f"cannot be read: {error.strerror or error}") from error
        return True

    def _damaged(self, array: ShardArray, row: int, season: int, what: str) -> StoreError:
        path = self._group / array.key(row // array.per_shard)
        return StoreError(
            f"{path}: location row {row}, season {array.seasons[season]}: {what}; run ssl4eco check on the "
            "dataset"
        )

    def _opened(self) -> _Opened:
        """What is open in this process: after a fork all is opened anew."""
        if self._open.pid != os.getpid():
            self._open = _Opened(self._group, self._limits, self._longest)
        return self._open

    @property
    def _longest(self) -> int:
        return max((array.chunk_bytes for array in self.arrays.values()), default=0)

    def _shape(self, name: str) -> tuple[int, ...]:
        pick, shape = self.picks[name], self.arrays[name].patch_shape
        return shape if pick is None else (len(pick), *shape[1:])

    def _refuse_places(self, wanted: npt.NDArray[Any]) -> None:
        inside = (wanted >= 0) & (wanted < self.shape)
        if wanted.dtype.kind not in "iu" and wanted.size:
            raise ValueError(f"rows and seasons must be integers, got {wanted.dtype}")
        if not inside.all():
            row, season = wanted[~inside.all(axis=1)][0]
            raise ValueError(
                f"row must be in [0, {self.shape[0]}) and season in [0, {self.shape[1]}), got {row}, {season}"
            )

    def _refuse_buffers(self, out: Mapping[str, Pixels], outer: tuple[int, ...]) -> None:
        for name, array in self.arrays.items():
            wanted = (*outer, *self._shape(name))
            if (
                name not in out
                or out[name].shape != wanted
                or out[name].dtype != array.dtype.newbyteorder("=")
            ):
                got = f"{out[name].dtype} {out[name].shape}" if name in out else "none"
                raise ValueError(f"out[{name!r}] must be {array.dtype.name} {wanted}, got {got}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open = _Opened(self._group, self._limits, self._longest)


class _Scratch(threading.local):
    """Buffers of one thread."""

    def __init__(self, longest: int) -> None:
        self.packed: Bytes = np.empty(longest + _HEADER_BYTES + CRC_BYTES, dtype=np.uint8)
        self._plain: dict[str, Pixels] = {}

    def plain(self, array: ShardArray) -> Pixels:
        """Room for one whole patch of an array."""
        if array.name not in self._plain:
            self._plain[array.name] = np.empty(array.patch_shape, array.dtype)
        return self._plain[array.name]


class _Opened:
    """What a reader holds open in one process: files, indices, buffers, threads."""

    def __init__(self, group: Place, limits: tuple[int, int], longest: int) -> None:
        self.pid, self.scratch = os.getpid(), _Scratch(longest)
        self.chunks: ChunkSource = (
            ObjectChunks(group, limits[1]) if isinstance(group, ObjectPath) else FileChunks(group, *limits)
        )
        self._pools: dict[int, ThreadPoolExecutor] = {}
        self._lock = threading.Lock()

    def pool(self, threads: int) -> ThreadPoolExecutor:
        """Threads that stay for the next batch."""
        with self._lock:
            if threads not in self._pools:
                self._pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="ssl4eco-read")
            return self._pools[threads]

    def forget(self, key: str) -> None:
        """Look at a shard anew the next time."""
        self.chunks.forget(key)


def _unpack(data: Bytes, out: Pixels, verify: bool) -> None:
    """Unpack an encoded chunk into ``out``. Raises :class:`StoreError` when it is damaged."""
    packed = data[:-CRC_BYTES]
    if len(packed) < _HEADER_BYTES:
        raise StoreError(f"{len(data)} bytes are too few for a chunk")
    if verify and google_crc32c.value(packed) != int.from_bytes(data[-CRC_BYTES:].tobytes(), "little"):
        raise StoreError("the checksum (CRC-32C) does not match")
    header = packed[4:_HEADER_BYTES].view("<u4").tolist()  # sizes: unpacked, of blosc's blocks, packed
    if header[0] != out.nbytes or header[2] != len(packed):
        raise StoreError(
            f"the chunk unpacks {header[2]} to {header[0]} bytes, not {len(packed)} to {out.nbytes}"
        )
    try:
        blosc.decompress(packed, out)
    except (RuntimeError, ValueError) as error:
        raise StoreError(f"the chunk cannot be unpacked: {error}") from error


def _picked(array: ShardArray, bands: Sequence[str] | None) -> list[int] | None:
    """Places of the bands along the band axis, in the order wanted; None where all are, in their order."""
    if bands is None:
        return None
    if not array.bands:
        return None if "SCL" in bands else []
    pick = [array.bands.index(band) for band in bands if band in array.bands]
    return None if pick == list(range(len(array.bands))) else pick


def _refuse_unknown(bands: Sequence[str], arrays: Mapping[str, ShardArray]) -> None:
    known = [band for array in arrays.values() for band in array.bands or ("SCL",)]
    unknown = [band for band in bands if band not in known]
    if unknown or not bands or len(set(bands)) < len(bands):
        raise ValueError(f"bands must be different ones of {', '.join(known)}, got {', '.join(bands)}")


def _refuse_uneven(group: Place, arrays: Mapping[str, ShardArray]) -> None:
    if not arrays:
        raise StoreError(f"{group} has no arrays of patches: build the dataset first, or check the path")
    first, *rest = arrays.values()
    for array in rest:
        if (array.shape[:2], array.seasons) != (first.shape[:2], first.seasons):
            raise StoreError(f"{group}: {first.name} and {array.name} differ in locations or seasons")
