"""Chunks of a finished dataset as they lie in its shards, without decoding them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import decode_chunk, split_shard, without_crc
from ssl4eco_data.store.metadata import DOCUMENT
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import GROUP, PATCHES


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedArray:
    """An array of patches of a dataset: where its shards are and what a chunk of it unpacks to."""

    folder: Place
    per_shard: int
    n_seasons: int
    chunk_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def read(cls, root: Place, name: str) -> EncodedArray:
        """The array of this name in the dataset ``root``. Raises :class:`StoreError` for damaged metadata."""
        folder = root / PATCHES / GROUP / name
        try:
            content = json.loads((folder / DOCUMENT).read_bytes())
            shard = [int(n) for n in content["chunk_grid"]["configuration"]["chunk_shape"]]
            chunk = tuple(int(n) for n in content["codecs"][0]["configuration"]["chunk_shape"])
            dtype = np.dtype(content["data_type"])
            return cls(folder=folder, per_shard=shard[0], n_seasons=shard[1], chunk_shape=chunk, dtype=dtype)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreError(f"cannot read {folder / DOCUMENT}: {error!r}; build again to redo it") from error

    def file(self, shard: int) -> Place:
        """Where a shard is."""
        return self.folder / "/".join(["c", str(shard), *["0"] * (len(self.chunk_shape) - 1)])

    def chunks(self, shard: int) -> list[bytes | None]:
        """The chunks of a shard by location, then season; ``None`` where absent, and all without a file.

        Raises :class:`StoreError` for a damaged index; the chunks' own checksums are not looked at.
        """
        try:
            data = self.file(shard).read_bytes()
        except FileNotFoundError:
            return [None] * (self.per_shard * self.n_seasons)
        try:
            return split_shard(data, self.per_shard * self.n_seasons)
        except StoreError as error:
            raise StoreError(f"{self.file(shard)}: {error}") from error

    def decode(self, chunk: bytes) -> npt.NDArray[Any]:
        """The pixels of a chunk, without its axes of location and season; :class:`StoreError` if damaged."""
        pixels: npt.NDArray[Any] = decode_chunk(chunk, self.chunk_shape, self.dtype)[0, 0]
        return pixels


def is_whole(chunk: bytes | None) -> bool:
    """Whether there is a chunk and its checksum matches."""
    if chunk is None:
        return False
    try:
        without_crc(chunk)
    except StoreError:
        return False
    return True
