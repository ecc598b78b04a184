"""Whether a dataset is what its ledger says: every mark, every file, every chunk, exactly the chosen seasons.

A check writes nothing. It needs memory for one shard a thread.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.check_contents import Contents
from ssl4eco_data.store.check_shards import chosen_patches, shard_differences
from ssl4eco_data.store.files import TEMPORARY_SUFFIX, FileRecord, relative_to, sha256
from ssl4eco_data.store.ledger import Ledger, Mark
from ssl4eco_data.store.metadata import DOCUMENT, read_document
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import GROUP, PATCHES

STAGE = "patches"
BLOCK_STAGES = ("phenology", "scenes", STAGE, "check")
"""The stages that leave a mark for every block of a finished dataset."""
SINGLE_STAGES = ("locations", "windows", "layout", "close", "catalogue")
"""The stages that leave one mark."""
WHOLE = (1, 1)
BEYOND = "lies beyond the last location"
THREADS = min(8, os.cpu_count() or 1)
"""Blocks read at a time; hashing and unpacking release the interpreter's lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is not as it should be; ``location_ids`` are the locations it touches, where known."""

    stage: str
    block: int
    file: str
    what: str
    shard: int | None = None
    location_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        some = ", ".join(self.location_ids[:4]) + (" ..." if len(self.location_ids) > 4 else "")
        where = f" (location {some})" if some else ""
        which = "" if self.shard is None else f", shard {self.shard}"
        return f"{self.stage} block {self.block}{which}: {self.file}: {self.what}{where}"


def check(
    root: Place,
    *,
    deep: bool = True,
    part: tuple[int, int] = WHOLE,
    only: Collection[tuple[str, int]] | None = None,
    threads: int = THREADS,
) -> list[Problem]:
    """Every difference between a dataset and its ledger, by stage, then block; empty when all is well.

    Sizes always, and with ``deep`` every file's SHA-256 and every chunk of the patches, whose presence is
    compared with the choices. ``part`` (K, N) takes every Nth block, from the Kth: the parts 1 to N find
    together what the whole finds. ``only`` takes these (stage, block). Raises :class:`StoreError` when there
    is no ledger at all, ``ValueError`` for a part that cannot be.
    """
    number, of = part
    if not 1 <= number <= of:
        raise ValueError(f"part must be K/N with K from 1 to N, got {number}/{of}")
    contents, work = Contents.read(root), marked(root)
    wanted = [w for w in work if w[1] % of == number - 1 and (only is None or w in only)]
    with ThreadPoolExecutor(threads) as pool:
        found = [p for each in pool.map(partial(_of_mark, contents, deep), wanted) for p in each]
    if number == 1 and only is None:
        found += [*_missing_marks(contents, work), *_unowned_shards(contents, work)]
    return sorted(found, key=lambda p: (p.stage, p.block))


def marked(root: Place) -> list[tuple[str, int]]:
    """Every (stage, block) that the ledger has a mark of, in order.

    Raises :class:`StoreError` when there is no ledger.
    """
    ledger = Ledger(root)
    stages = ledger.stages()
    if not stages:
        raise StoreError(f"{root} has no ledger: it is not a dataset, or its build has not begun")
    return [(stage, block) for stage in stages for block in ledger.blocks(stage)]


def check_block(root: Place, block: int) -> list[Problem]:
    """What is wrong with a block's patches: empty when they decode and are exactly the chosen ones."""
    return _of_mark(Contents.read(root, listed=False), True, (STAGE, block))


def forget(root: Place, problems: Iterable[Problem]) -> list[tuple[str, int]]:
    """Remove the marks of blocks with problems, so that a build redoes them; their stages and numbers."""
    blocks = sorted({(problem.stage, problem.block) for problem in problems})
    for stage, block in blocks:
        Ledger(root).remove(stage, block)
    return blocks


def _of_mark(contents: Contents, deep: bool, work: tuple[str, int]) -> list[Problem]:
    stage, block = work
    mark = Ledger(contents.root).read(stage, block)
    if mark is None:
        return [_no_mark(stage, block, "the mark is missing, damaged or of another block")]
    records = {record.path: record for record in mark.files}
    if deep and stage == STAGE:
        return list(_of_patches(contents, mark, records))
    return [p for record in mark.files for p in _of_file(contents, mark, record, deep)]


def _no_mark(stage: str, block: int, what: str) -> Problem:
    return Problem(stage=stage, block=block, file=f"ledger/{stage}/{block:05d}.json", what=what)


def _of_file(contents: Contents, mark: Mark, record: FileRecord, deep: bool) -> Iterator[Problem]:
    report = partial(Problem, stage=mark.stage, block=mark.block, file=record.path)
    if what := _of_size(record, contents.size(record.path)):
        yield report(what=what)
    elif deep:
        try:
            same = sha256(contents.root / record.path) == record.sha256
        except (OSError, StoreError) as error:
            yield report(what=f"cannot be read: {error}")
        else:
            if not same:
                yield report(what=_CHANGED)


_CHANGED = "the content has changed (SHA-256)"


def _of_size(record: FileRecord, size: int | None) -> str:
    """What is wrong with a file's size; empty when it is right."""
    if size is None:
        return "the file is missing"
    return "" if size == record.bytes else f"{size} bytes instead of {record.bytes}"


def _of_patches(contents: Contents, mark: Mark, records: Mapping[str, FileRecord]) -> Iterator[Problem]:
    """Problems of one block's shards, each naming shard and locations; every file is read once."""
    report = partial(Problem, stage=mark.stage, block=mark.block)
    try:
        located, chosen = chosen_patches(contents.root, mark.block)
        shards = contents.shards(mark.block, located)
    except (OSError, StoreError) as error:
        yield report(file=PATCHES, what=f"cannot be compared: {error}")
        shards, chosen = [], set()
    own = {array.file(shard): (array, shard) for array, shard in shards}
    for name in sorted(records.keys() - own.keys()):
        yield from _of_file(contents, mark, records[name], deep=True)
        if shards and name.startswith(f"{PATCHES}/"):
            yield report(file=name, what="is no shard of this block")
    for name, (array, shard) in own.items():
        rows, at = contents.rows(array, shard), partial(report, file=name, shard=shard)
        try:
            data = (contents.root / name).read_bytes()
        except FileNotFoundError:
            data = None
        except (OSError, StoreError) as error:
            yield at(what=f"cannot be read: {error}", location_ids=rows)
            continue
        if what := _of_content(records.get(name), data):
            yield at(what=what)
        for what, locations in shard_differences(data, array, rows, chosen):
            yield at(what=what, location_ids=locations)


def _of_content(record: FileRecord | None, data: bytes | None) -> str:
    """What is wrong with a shard's bytes by its record; empty when nothing is."""
    if record is None:
        return "" if data is None else "the mark does not name this file"
    if what := _of_size(record, None if data is None else len(data)):
        return what
    return "" if hashlib.sha256(data or b"").hexdigest() == record.sha256 else _CHANGED


def _missing_marks(contents: Contents, work: Collection[tuple[str, int]]) -> Iterator[Problem]:
    """Marks that a finished dataset has and this one lacks."""
    if not _served(contents.root) or not {("close", 0), ("report", 0)} & set(work):
        return
    blocks = {block for stage, block in work if stage in BLOCK_STAGES}
    if contents.block_locations:
        blocks |= set(range(math.ceil(len(contents.ids) / contents.block_locations)))
    expected = {(stage, block) for stage in BLOCK_STAGES for block in blocks}
    expected |= {(stage, 0) for stage in SINGLE_STAGES}
    for stage, block in sorted(expected - set(work)):
        yield _no_mark(stage, block, "the mark is missing")


def _served(root: Place) -> bool:
    """Whether readers would take the patches as finished."""
    try:
        return "ssl4eco_format_version" in read_document(root / PATCHES / GROUP / DOCUMENT)["attributes"]
    except (OSError, StoreError, ValueError, LookupError, TypeError):
        return True  # damaged: whatever else is wrong is of interest


def _unowned_shards(contents: Contents, work: Iterable[tuple[str, int]]) -> Iterator[Problem]:
    """Shards that lie beyond the last block: no mark tells whether they are right."""
    last = max((block for stage, block in work if stage == STAGE), default=0)
    for array in contents.arrays:
        known = math.ceil(array.n_locations / array.per_shard)
        for place in (contents.root / PATCHES / GROUP / array.name / "c").glob("*"):
            if place.name.isdecimal() and int(place.name) < known:
                continue
            for path in place.rglob("*"):
                if path.is_file() and path.suffix != TEMPORARY_SUFFIX:
                    file = relative_to(path, contents.root)
                    yield Problem(stage=STAGE, block=last, file=file, what=BEYOND)
