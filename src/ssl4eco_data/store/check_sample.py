"""A check of some chunks drawn at random: what a dataset too large to be read whole allows, with its odds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.check import STAGE, THREADS, Problem, check
from ssl4eco_data.store.check_contents import Contents
from ssl4eco_data.store.check_shards import Key, chosen_patches
from ssl4eco_data.store.codec import chunk_place, index_bytes, shard_index
from ssl4eco_data.store.files import read_range
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import PATCHES
from ssl4eco_data.store.shard_array import ShardArray

Sampled = Mapping[tuple[ShardArray, int], Sequence[int]]
"""Chunks by array and shard, each by its number in the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCheck:
    """What a sampled check found, and how much it looked at."""

    problems: tuple[Problem, ...]
    chunks: int
    of_chunks: int
    seed: int

    @property
    def share(self) -> float:
        """Share of the chunks that were looked at."""
        return self.chunks / self.of_chunks

    def missed(self, damaged_share: float) -> float:
        """How likely such a sample holds no damaged chunk where this share of all chunks is damaged."""
        return float((1 - damaged_share) ** self.chunks)


def check_sample(root: Place, n: int, seed: int, *, threads: int = THREADS) -> SampleCheck:
    """The marks and sizes of all files, and ``n`` chunks drawn at random (all of them, if there are fewer).

    Every (array, location, season) is drawn with the same chance: where none was chosen, none may be. Of a
    shard only the index and the chunk are read, on object stores by ranges. The same seed draws the same
    chunks. Raises :class:`StoreError` when there is no ledger, or nothing to draw from; ``ValueError`` for
    ``n`` below 1.
    """
    if n < 1:
        raise ValueError(f"at least 1 chunk must be drawn, got {n}")
    problems = check(root, deep=False, threads=threads)
    contents = Contents.read(root)
    if contents.unreadable or not contents.arrays or not contents.block_locations:
        cause = contents.unreadable or "there are no patches, or no table of choices can be read"
        raise StoreError(f"no chunk of {root} can be drawn: {cause}; check it without a sample")
    total = sum(array.n_chunks for array in contents.arrays)
    drawn = np.sort(np.random.default_rng(seed).choice(total, size=min(n, total), replace=False))
    work = _by_block(contents, drawn.tolist())
    with ThreadPoolExecutor(threads) as pool:
        found = [p for each in pool.map(partial(_of_block, contents), work.items()) for p in each]
    return SampleCheck(problems=(*problems, *found), chunks=len(drawn), of_chunks=total, seed=seed)


def _by_block(contents: Contents, drawn: Sequence[int]) -> dict[int, dict[tuple[ShardArray, int], list[int]]]:
    """The chunks of these numbers, counted through all arrays, by block, then by array and shard."""
    work: dict[int, dict[tuple[ShardArray, int], list[int]]] = {}
    before = 0
    for array in contents.arrays:
        for number in drawn:
            if 0 <= number - before < array.n_chunks:
                row, season = divmod(number - before, len(array.seasons))
                shard, in_shard = divmod(row, array.per_shard)
                block = work.setdefault(row // contents.block_locations, {})
                block.setdefault((array, shard), []).append(in_shard * len(array.seasons) + season)
        before += array.n_chunks
    return work


def _of_block(contents: Contents, work: tuple[int, Sampled]) -> list[Problem]:
    block, sampled = work
    try:
        _, chosen = chosen_patches(contents.root, block)
    except (OSError, StoreError) as error:
        what = f"cannot be compared: {error}"
        return [Problem(stage=STAGE, block=block, file=PATCHES, what=what)]
    return [
        Problem(
            stage=STAGE, block=block, shard=shard, file=array.file(shard), what=what, location_ids=located
        )
        for (array, shard), chunks in sampled.items()
        for what, located in _of_shard(contents, array, shard, chunks, chosen)
    ]


def _of_shard(
    contents: Contents, array: ShardArray, shard: int, chunks: Sequence[int], chosen: set[Key]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(what is wrong, locations) of these chunks of a shard."""
    rows, path = contents.rows(array, shard), contents.root / array.file(shard)
    try:
        index = _index(path, array, contents.size(array.file(shard)))
    except (OSError, StoreError) as error:
        yield str(error), rows
        return
    for chunk in chunks:
        row, season = rows[chunk // len(array.seasons)], array.seasons[chunk % len(array.seasons)]
        place = None if index is None else chunk_place(index, chunk)
        if (place is not None) != ((row, season) in chosen):
            state = "absent" if place is None else "there and was not chosen"
            yield f"season {season}: the patch is {state}", (row,)
        elif place is not None:
            try:
                array.decode(read_range(path, *place))
            except (OSError, StoreError) as error:
                yield f"season {season}: {error}", (row,)


def _index(path: Place, array: ShardArray, size: int | None) -> npt.NDArray[np.uint64] | None:
    """The index of a shard; None without a file."""
    if size is None:
        return None
    tail = index_bytes(array.chunks_per_shard)
    return shard_index(read_range(path, max(0, size - tail), tail), array.chunks_per_shard, size)
