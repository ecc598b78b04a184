"""How a shard of patches differs from what it must hold: exactly the chosen patches, and each decodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import decode_chunk, split_shard
from ssl4eco_data.store.metadata import DOCUMENT, read_document
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import GROUP, PATCHES
from ssl4eco_data.store.tables import read_table

CHOICES, QUALITY = "scenes/choices", "patches/quality"
MAX_SHARD_LOCATIONS = 4096
MAX_CHUNK_BYTES = 2**28
"""More than the largest patch that a configuration can ask for; metadata that say more are damaged."""

Key = tuple[str, str]
"""(location id, season)."""


class Difference(NamedTuple):
    """What is wrong in a shard, with the locations it touches."""

    what: str
    location_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArray:
    """What a check needs of a patch array's metadata."""

    name: str
    seasons: tuple[str, ...]
    n_locations: int
    per_shard: int
    chunk_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    seasons_in_shapes: tuple[int, int]

    def __post_init__(self) -> None:
        if not 1 <= self.per_shard <= MAX_SHARD_LOCATIONS:
            raise ValueError(f"a shard has {self.per_shard} locations")
        if self.n_locations < 1 or not self.seasons or len(set(self.seasons)) < len(self.seasons):
            raise ValueError(f"{self.n_locations} locations, seasons {self.seasons}")
        if {len(self.seasons)} != set(self.seasons_in_shapes):
            raise ValueError(f"{len(self.seasons)} seasons in shapes of {self.seasons_in_shapes}")
        if self.dtype not in (np.dtype("uint8"), np.dtype("uint16")):
            raise ValueError(f"data type {self.dtype}")
        if self.chunk_shape[:2] != (1, 1) or min(self.chunk_shape) < 1:
            raise ValueError(f"chunks of {self.chunk_shape}")
        if math.prod(self.chunk_shape) * self.dtype.itemsize > MAX_CHUNK_BYTES:
            raise ValueError(f"chunks of {self.chunk_shape} {self.dtype} are beyond what a patch can be")

    @classmethod
    def read(cls, folder: Place) -> StoredArray:
        """The array in this folder. Raises :class:`StoreError` when its metadata are absent or damaged."""
        document = folder / DOCUMENT
        try:
            content = read_document(document)
            shard_shape = content["chunk_grid"]["configuration"]["chunk_shape"]
            return cls(
                name=folder.name,
                seasons=tuple(map(str, content["attributes"]["seasons"])),
                n_locations=int(content["shape"][0]),
                per_shard=int(shard_shape[0]),
                chunk_shape=tuple(map(int, content["codecs"][0]["configuration"]["chunk_shape"])),
                dtype=np.dtype(str(content["data_type"])),
                seasons_in_shapes=(int(content["shape"][1]), int(shard_shape[1])),
            )
        except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
            raise StoreError(f"cannot read {document}: {error!r}; build again to redo it") from error

    @property
    def chunks_per_shard(self) -> int:
        """Chunks in the index of a shard."""
        return self.per_shard * len(self.seasons)

    @property
    def chunks(self) -> int:
        """Patches that the array has room for."""
        return self.n_locations * len(self.seasons)

    def file(self, shard: int) -> str:
        """Place of a shard below the dataset's folder."""
        return "/".join([PATCHES, GROUP, self.name, "c", str(shard), *["0"] * (len(self.chunk_shape) - 1)])

    def decode(self, chunk: bytes) -> None:
        """Nothing, when a chunk is whole; :class:`StoreError` otherwise."""
        decode_chunk(chunk, self.chunk_shape, self.dtype)


def chosen_patches(root: Place, block: int) -> tuple[list[str], set[Key]]:
    """(the block's location ids, the (location, season) that must have a patch), by the block's tables.

    Raises :class:`StoreError` for a table that is damaged or lacks a column, ``FileNotFoundError`` for none.
    """
    choices = read_table(root / CHOICES / f"{block:05d}.parquet")
    quality = read_table(root / QUALITY / f"{block:05d}.parquet")
    try:
        failed = quality[quality["failure"].fillna("") != ""]
        with_scene = choices[choices["scene_id"].notna()]
        return sorted(set(choices["location_id"])), _keys(with_scene) - _keys(failed)
    except (KeyError, TypeError) as error:
        raise StoreError(f"the tables of block {block} are not of scenes and patches: {error!r}") from error


def _keys(table: pd.DataFrame) -> set[Key]:
    return set(zip(table["location_id"], table["season"], strict=True))


def shard_differences(
    data: bytes | None, array: StoredArray, rows: Sequence[str], chosen: Set[Key]
) -> Iterator[Difference]:
    """What is wrong with a shard's bytes (``None``: no file); ``rows`` are the ids of its locations."""
    places = [(row, season) for row in rows for season in array.seasons]
    expected = {place for place in places if place in chosen}
    try:
        chunks = (
            [None] * array.chunks_per_shard if data is None else split_shard(data, array.chunks_per_shard)
        )
    except StoreError as error:
        yield Difference(str(error), tuple(sorted({location for location, _ in expected})))
        return
    present = set()
    for place, chunk in zip(places, chunks, strict=False):
        if chunk is None:
            continue
        present.add(place)
        try:
            array.decode(chunk)
        except StoreError as error:
            yield Difference(f"season {place[1]}: {error}", (place[0],))
    yield from _of_presence(expected, present)
    if any(chunk is not None for chunk in chunks[len(places) :]):
        yield Difference("patches lie beyond the last location")


def _of_presence(expected: Set[Key], present: Set[Key]) -> Iterator[Difference]:
    if absent := expected - present:
        yield Difference(f"{len(absent)} chosen patches are absent", _located(absent))
    if extra := present - expected:
        yield Difference(f"{len(extra)} patches are there that were not chosen", _located(extra))


def _located(keys: Set[Key]) -> tuple[str, ...]:
    return tuple(sorted({location for location, _ in keys}))
