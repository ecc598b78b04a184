"""Whether a dataset is what its ledger says: every file, every chunk, and exactly the chosen seasons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import decode_chunk, split_shard
from ssl4eco_data.store.files import sha256
from ssl4eco_data.store.ledger import Ledger, Mark
from ssl4eco_data.store.metadata import DOCUMENT
from ssl4eco_data.store.reader import PATCHES
from ssl4eco_data.store.schema import ARRAYS, GROUP
from ssl4eco_data.store.tables import read_table

STAGE = "patches"
CHECK_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is not as it should be; ``location_ids`` are the locations it touches, where known."""

    stage: str
    block: int
    file: str
    what: str
    location_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        some = ", ".join(self.location_ids[:4]) + (" ..." if len(self.location_ids) > 4 else "")
        where = f" (location {some})" if some else ""
        return f"{self.stage} block {self.block}: {self.file}: {self.what}{where}"


def check(root: Path, *, deep: bool = True) -> list[Problem]:
    """Every difference between a dataset and its ledger, by stage, then block; empty when all is well.

    Sizes always, and with ``deep`` every file's SHA-256 and every chunk of the patches, whose presence is
    compared with the choices. Raises :class:`StoreError` when there is no ledger at all.
    """
    ledger = Ledger(root)
    if not ledger.stages():
        raise StoreError(f"{root} has no ledger: it is not a dataset, or its build has not begun")
    work = [(stage, block) for stage in ledger.stages() for block in ledger.blocks(stage)]
    with ThreadPoolExecutor(CHECK_THREADS) as pool:
        return [p for found in pool.map(partial(_check_mark, root, deep), work) for p in found]


def check_block(root: Path, block: int) -> None:
    """Nothing, when a block's shards decode and hold exactly the chosen seasons.

    Raises :class:`StoreError` with all that is wrong otherwise, and forgets the block's mark, so that the
    next build redoes it.
    """
    problems = _check_mark(root, True, (STAGE, block))
    if problems:
        forget(root, problems)
        raise StoreError("; ".join(map(str, problems)) + "; build again to redo this block")


def forget(root: Path, problems: Iterable[Problem]) -> list[tuple[str, int]]:
    """Remove the marks of blocks with problems, so that a build redoes them; their stages and numbers."""
    blocks = sorted({(problem.stage, problem.block) for problem in problems})
    for stage, block in blocks:
        Ledger(root).remove(stage, block)
    return blocks


def _check_mark(root: Path, deep: bool, work: tuple[str, int]) -> list[Problem]:
    stage, block = work
    mark = Ledger(root).read(stage, block)
    if mark is None:
        name = f"ledger/{stage}/{block:05d}.json"
        return [Problem(stage=stage, block=block, file=name, what="the mark is missing or cannot be read")]
    problems = list(_check_files(root, mark, deep))
    if deep and stage == STAGE:
        problems += _check_shards(root, mark)
    return problems


def _check_files(root: Path, mark: Mark, deep: bool) -> Iterator[Problem]:
    report = partial(Problem, stage=mark.stage, block=mark.block)
    for record in mark.files:
        path = root / record.path
        if not path.is_file():
            yield report(file=record.path, what="the file is missing")
        elif (size := path.stat().st_size) != record.bytes:
            yield report(file=record.path, what=f"{size} bytes instead of {record.bytes}")
        elif deep and sha256(path) != record.sha256:
            yield report(file=record.path, what="the content has changed (SHA-256)")


@dataclass(frozen=True, slots=True)
class _Shards:
    """What is needed of a patch array's metadata."""

    name: str
    seasons: tuple[str, ...]
    per_shard: int
    chunk_shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def read(cls, folder: Path) -> _Shards:
        document = folder / DOCUMENT
        try:
            content = json.loads(document.read_bytes())
            return cls(
                name=folder.name,
                seasons=tuple(content["attributes"]["seasons"]),
                per_shard=int(content["chunk_grid"]["configuration"]["chunk_shape"][0]),
                chunk_shape=tuple(map(int, content["codecs"][0]["configuration"]["chunk_shape"])),
                dtype=np.dtype(content["data_type"]),
            )
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreError(f"cannot read {document}: {error!r}; build again to redo it") from error

    def file(self, shard: int) -> str:
        """Path of a shard below the dataset's folder."""
        return "/".join([PATCHES, GROUP, self.name, "c", str(shard), *["0"] * (len(self.chunk_shape) - 1)])


def _location_ids(path: Path) -> tuple[str, ...]:
    stat = path.stat()
    return _read_location_ids(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _read_location_ids(path: Path, _mtime_ns: int, _size: int) -> tuple[str, ...]:
    return tuple(pq.read_table(path, columns=["location_id"])["location_id"].to_pylist())


def _check_shards(root: Path, mark: Mark) -> Iterator[Problem]:
    """Problems of one block's shards, each naming locations and seasons."""
    try:
        ids = _location_ids(root / "locations.parquet")
        located, chosen = _choices(root, mark.block)
        group = root / PATCHES / GROUP
        arrays = [_Shards.read(group / name) for name in ARRAYS if (group / name).is_dir()]
    except (OSError, pa.ArrowException, StoreError) as error:
        yield Problem(stage=mark.stage, block=mark.block, file=PATCHES, what=f"cannot be compared: {error}")
        return
    row_of = {location: row for row, location in enumerate(ids)}
    for array in arrays:
        shards = sorted({row_of[location] // array.per_shard for location in located if location in row_of})
        for shard in shards:
            first = shard * array.per_shard
            rows = [str(i) for i in ids[first : first + array.per_shard]]
            for what, locations in _check_shard(root / array.file(shard), array, rows, chosen):
                yield Problem(
                    stage=mark.stage,
                    block=mark.block,
                    file=array.file(shard),
                    what=what,
                    location_ids=tuple(locations),
                )


def _choices(root: Path, block: int) -> tuple[list[str], set[tuple[str, str]]]:
    """(the block's location ids, the (location, season) that must have a patch)."""
    choices = read_table(root / "scenes/choices" / f"{block:05d}.parquet")
    quality = read_table(root / "patches/quality" / f"{block:05d}.parquet")
    failed = quality[quality["failure"].fillna("") != ""]
    with_scene = choices[choices["scene_id"].notna()]
    return sorted(set(choices["location_id"])), _keys(with_scene) - _keys(failed)


def _keys(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["location_id"], table["season"], strict=True))


def _check_shard(
    path: Path, array: _Shards, rows: Sequence[str], chosen: Set[tuple[str, str]]
) -> Iterator[tuple[str, Sequence[str]]]:
    """(what is wrong, location ids) of one shard; ``rows`` are the ids of its locations."""
    places = [(row, season) for row in rows for season in array.seasons]
    expected = {place for place in places if place in chosen}
    n_chunks = array.per_shard * len(array.seasons)
    try:
        chunks = split_shard(path.read_bytes(), n_chunks) if path.is_file() else [None] * n_chunks
    except (StoreError, OSError) as error:
        yield str(error), sorted({location for location, _ in expected})
        return
    present = set()
    for place, chunk in zip(places, chunks, strict=False):
        if chunk is None:
            continue
        present.add(place)
        try:
            decode_chunk(chunk, array.chunk_shape, array.dtype)
        except StoreError as error:
            yield f"season {place[1]}: {error}", [place[0]]
    yield from _differences(expected, present, any(chunk for chunk in chunks[len(places) :]))


def _differences(
    expected: Set[tuple[str, str]], present: Set[tuple[str, str]], beyond: bool
) -> Iterator[tuple[str, Sequence[str]]]:
    if absent := expected - present:
        yield f"{len(absent)} chosen patches are absent", sorted({location for location, _ in absent})
    if extra := present - expected:
        yield f"{len(extra)} patches are there that were not chosen", sorted({i for i, _ in extra})
    if beyond:
        yield "patches lie beyond the last location", ()
