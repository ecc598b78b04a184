"""Chunks and shards as bytes, by the Zarr v3 specification.

A chunk is the little-endian array, blosc-compressed, with its CRC-32C behind. A shard is its chunks, one
after the other, then the index: per chunk its offset and size (uint64 each, all ones when absent), then
the index's CRC-32C. https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import blosc

from ssl4eco_data.errors import StoreError

# With threads blosc appends blocks in the order they finish, so bytes would differ from run to run.
blosc.use_threads = False

ABSENT = 2**64 - 1
CRC_BYTES = 4
_INDEX_ENTRY_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCodec:
    """How a chunk is compressed: byte-shuffled blosc around ``compression`` at ``level``."""

    compression: Literal["zstd", "lz4"] = "zstd"
    level: int = 3

    def metadata(self, itemsize: int) -> list[dict[str, Any]]:
        """The codecs as ``zarr.json`` lists them."""
        endian = {"configuration": {"endian": "little"}} if itemsize > 1 else {}
        packed = {
            "typesize": itemsize,
            "cname": self.compression,
            "clevel": self.level,
            "shuffle": "shuffle",
            "blocksize": 0,
        }
        return [
            {"name": "bytes", **endian},
            {"name": "blosc", "configuration": packed},
            {"name": "crc32c"},
        ]

    def encode(self, chunk: npt.NDArray[Any]) -> bytes:
        """The bytes of a chunk; the same for the same array, in whatever thread."""
        plain = np.ascontiguousarray(chunk, dtype=chunk.dtype.newbyteorder("<"))
        packed = blosc.compress(plain.reshape(-1), self.compression.encode(), self.level, blosc.SHUFFLE, 0)
        return with_crc(bytes(packed))


def with_crc(data: bytes) -> bytes:
    """``data`` with its CRC-32C behind, little-endian."""
    return data + struct.pack("<I", google_crc32c.value(data))


def without_crc(data: bytes) -> bytes:
    """``data`` without the CRC-32C behind it. Raises :class:`StoreError` when it does not match."""
    if len(data) < CRC_BYTES:
        raise StoreError(f"{len(data)} bytes are too few for a checksum")
    body = data[:-CRC_BYTES]
    if google_crc32c.value(body) != struct.unpack("<I", data[-CRC_BYTES:])[0]:
        raise StoreError("the checksum (CRC-32C) does not match")
    return body


def decode_chunk(data: bytes, shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The array of an encoded chunk. Raises :class:`StoreError` when it is damaged."""
    packed = without_crc(data)
    expected = math.prod(shape) * dtype.itemsize
    if len(packed) < blosc.MAX_OVERHEAD:
        raise StoreError(f"{len(packed)} bytes are too few for a chunk")
    # A blosc header, https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst: bytes 4-7 the size
    # when unpacked, 12-15 the size as it is. Checked here, so that neither memory nor reading runs away.
    size, packed_bytes = (int.from_bytes(packed[at : at + 4], "little") for at in (4, 12))
    if size != expected:
        raise StoreError(f"the chunk unpacks to {size} bytes instead of {expected}")
    if packed_bytes != len(packed):
        raise StoreError(f"the chunk says that it has {packed_bytes} bytes instead of {len(packed)}")
    try:
        plain = blosc.decompress(packed)
    except RuntimeError as error:
        raise StoreError(f"the chunk cannot be unpacked: {error}") from error
    return np.frombuffer(plain, dtype=dtype.newbyteorder("<")).reshape(shape)


def encode_shard(chunks: Sequence[bytes | None]) -> bytes:
    """A shard of encoded chunks in C order of the chunk grid; ``None`` is an absent one."""
    index = np.full((len(chunks), 2), ABSENT, dtype="<u8")
    offset = 0
    for i, chunk in enumerate(chunks):
        if chunk is not None:
            index[i] = offset, len(chunk)
            offset += len(chunk)
    return b"".join(c for c in chunks if c is not None) + with_crc(index.tobytes())


def split_shard(data: bytes, n_chunks: int) -> list[bytes | None]:
    """The encoded chunks of a shard, ``None`` where absent.

    Raises :class:`StoreError` as :func:`shard_index`; the chunks' own checksums are not looked at.
    """
    data_bytes = max(0, len(data) - index_bytes(n_chunks))
    index = shard_index(data[data_bytes:], n_chunks, len(data))
    places = (chunk_place(index, number) for number in range(n_chunks))
    return [None if place is None else data[place[0] : sum(place)] for place in places]


def index_bytes(n_chunks: int) -> int:
    """Bytes at the end of a shard of so many chunks that are its index."""
    return n_chunks * _INDEX_ENTRY_BYTES + CRC_BYTES


def shard_index(
    tail: bytes, n_chunks: int, shard_bytes: int, longest: int = ABSENT
) -> npt.NDArray[np.uint64]:
    """Offset and size of each chunk of a shard, ``(n_chunks, 2)`` uint64, all ones where absent.

    ``tail`` are the shard's last :func:`index_bytes`. Raises :class:`StoreError` when they are not so many,
    when their checksum does not match, when a chunk lies beyond the data or is longer than ``longest``, and
    when all together are longer than the data.
    In arrays and not chunk by chunk: where not all indices can be kept, a reader parses one for nearly every
    patch.
    """
    data_bytes = shard_bytes - index_bytes(n_chunks)
    if data_bytes < 0 or len(tail) != index_bytes(n_chunks):
        raise StoreError(f"{shard_bytes} bytes are too few for the index of {n_chunks} chunks")
    try:
        index = np.frombuffer(without_crc(tail), dtype="<u8").reshape(n_chunks, 2)
    except StoreError as error:
        raise StoreError(f"shard index: {error}") from error
    offset, size = index[:, 0], index[:, 1]
    present = (offset != ABSENT) | (size != ABSENT)
    # Unsigned: for a size beyond the data the difference has no meaning, and the size itself tells.
    beyond = present & ((size > min(data_bytes, longest)) | (offset > data_bytes - size))
    if beyond.any():
        at = int(beyond.argmax())
        raise StoreError(
            f"shard index: the {size[at]} bytes of chunk {at} from {offset[at]} lie beyond the {data_bytes} "
            f"bytes of data{'' if longest == ABSENT else f', or are more than {longest}'}"
        )
    if (total := int(size.sum(where=present))) > data_bytes:
        raise StoreError(f"shard index: chunks of {total} bytes in {data_bytes} bytes of data")
    return index.astype(np.uint64)


def chunk_place(index: npt.NDArray[np.uint64], number: int) -> tuple[int, int] | None:
    """(offset, size) of a chunk by its shard's :func:`shard_index`; None where it is absent."""
    offset, size = index[number].tolist()
    return None if size == ABSENT else (offset, size)


def is_whole(chunk: bytes | None) -> bool:
    """Whether there is a chunk and its checksum matches."""
    if chunk is None:
        return False
    try:
        without_crc(chunk)
    except StoreError:
        return False
    return True
