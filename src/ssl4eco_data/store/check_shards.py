"""How a shard of patches differs from what it must hold: exactly the chosen patches, and each decodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import pandas as pd

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import split_shard
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.shard_array import ShardArray
from ssl4eco_data.store.tables import read_table

CHOICES, QUALITY = "scenes/choices", "patches/quality"

Key = tuple[str, str]
"""(location id, season)."""


class Difference(NamedTuple):
    """What is wrong in a shard, with the locations it touches."""

    what: str
    location_ids: tuple[str, ...] = ()


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
    data: bytes | None, array: ShardArray, rows: Sequence[str], chosen: Set[Key]
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
