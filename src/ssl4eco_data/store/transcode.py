"""A copy of a dataset whose chunks are packed by another codec; the same pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import ChunkCodec, encode_shard, split_shard
from ssl4eco_data.store.files import TEMPORARY_SUFFIX, FileRecord, clean_temporary, relative_to, write_atomic
from ssl4eco_data.store.ledger import Ledger, Mark
from ssl4eco_data.store.metadata import DOCUMENT, to_bytes
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import GROUP, PATCHES
from ssl4eco_data.store.shard_array import ShardArray, arrays_in, group_attributes, read_shard_array
from ssl4eco_data.store.versions import dataset_place

RECORD = "transcode.json"
"""What an unfinished copy, and a finished one, is a copy of."""
CLOSING = "close"
_LEFT_OUT = ("ledger/", "runs/")
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One copy under way."""

    source: Place
    target: Place
    codec: ChunkCodec
    arrays: Mapping[str, ShardArray]
    pool: ThreadPoolExecutor


def transcode(
    source: Place, target: Place, codec: ChunkCodec, *, threads: int = 2, advance: Advance = lambda *_: None
) -> int:
    """Copy a finished dataset to ``target`` with chunks packed by ``codec``; the number of blocks copied now.

    Every file is whole or absent, its block is marked in the copy's ledger when all its files are there, and
    the metadata by which readers know a finished dataset comes last: killed at any point, the same call
    continues. What is read is compared with the source's ledger. Marks keep their fingerprints; the records
    of runs are not copied. ``advance`` is told (blocks done, all blocks). Raises :class:`StoreError` for an
    unfinished or damaged source, and for a target that holds something else. Needs memory for three times
    a shard.
    """
    source = dataset_place(source)
    marks = _marks(source)
    _claim(source, target, codec)
    group = source / PATCHES / GROUP
    arrays = {name: read_shard_array(group, name) for name in arrays_in(group)}
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        copy = _Copy(source=source, target=target, codec=codec, arrays=arrays, pool=pool)
        _copy_unmarked(copy, {record.path for mark in marks for record in mark.files})
        for number, mark in enumerate(marks, 1):
            if not Ledger(target).is_done(mark.stage, mark.block, mark.fingerprint):
                _copy_block(copy, mark)
                done += 1
            advance(number, len(marks))
    return done


def _marks(source: Place) -> list[Mark]:
    """All marks, the closing one last. Raises :class:`StoreError` for a dataset that is not finished."""
    group_attributes(source / PATCHES / GROUP)
    ledger = Ledger(source)
    named = [(stage, block) for stage in ledger.stages() for block in ledger.blocks(stage)]
    marks = []
    for stage, block in sorted(named, key=lambda each: (each[0] == CLOSING, each)):
        mark = ledger.read(stage, block)
        if mark is None:
            raise StoreError(f"{source}: the mark of {stage} block {block} cannot be read; run ssl4eco check")
        marks.append(mark)
    if not marks or marks[-1].stage != CLOSING:
        raise StoreError(f"{source} is not finished: run the build again to its end")
    return marks


def _claim(source: Place, target: Place, codec: ChunkCodec) -> None:
    """Note in ``target`` what it becomes a copy of. StoreError when it holds something else."""
    inside, outside = str(target.resolve()), str(source.resolve())
    if inside == outside or f"{inside}/".startswith(f"{outside}/") or f"{outside}/".startswith(f"{inside}/"):
        raise StoreError(f"{target} lies in {source}, or the other way round; choose another place")
    closed = (source / "ledger" / CLOSING / "00000.json").read_bytes()
    codecs = {"compression": codec.compression, "level": codec.level}
    wanted = {"closing_mark_sha256": _sha256(closed), **codecs}
    if (target / RECORD).is_file():
        if _read_json(target / RECORD) != wanted:
            raise StoreError(
                f"{target} is a copy of another dataset, of an older state of {source}, or by another codec; "
                "choose another place, or remove it"
            )
        clean_temporary(target)
        return
    if _holds_something(target):
        raise StoreError(f"{target} is not empty and no copy of {source}; choose another place")
    write_atomic(target / RECORD, to_bytes(wanted))


def _holds_something(target: Place) -> bool:
    """Whether anything is there, but for what a kill left of the very first file."""
    if target.is_file():
        return True
    return target.is_dir() and any(not p.name.endswith(TEMPORARY_SUFFIX) for p in target.glob("*"))


def _copy_unmarked(copy: _Copy, marked: set[str]) -> None:
    """Files without a checksum in the ledger, the page for instance."""
    for path in copy.source.rglob("*"):
        name = relative_to(path, copy.source)
        if name in marked or name.startswith(_LEFT_OUT) or path.suffix == TEMPORARY_SUFFIX:
            continue
        if path.is_file() and not name.startswith(f"{PATCHES}/") and name not in (RECORD, "lease.json"):
            write_atomic(copy.target / name, path.read_bytes())


def _copy_block(copy: _Copy, mark: Mark) -> None:
    """The files of a mark, the groups' metadata last, then the mark."""
    groups = {f"{PATCHES}/{GROUP}/{DOCUMENT}", f"{PATCHES}/{DOCUMENT}"}
    ordered = sorted(mark.files, key=lambda record: (record.path in groups, record.path))
    written = {record.path: _copy_file(copy, record) for record in ordered}
    files = tuple(written[record.path] for record in mark.files)
    Ledger(copy.target).write(replace(mark, files=files))


def _copy_file(copy: _Copy, record: FileRecord) -> FileRecord:
    data = _read_verified(copy.source / record.path, record)
    try:
        content = _converted(copy, record.path, data)
    except (StoreError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{copy.source / record.path}: {error}; run ssl4eco check on {copy.source}"
        ) from error
    write_atomic(copy.target / record.path, content)
    return FileRecord(path=record.path, bytes=len(content), sha256=_sha256(content))


def _read_verified(path: Place, record: FileRecord) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}; run ssl4eco check on the dataset") from error
    if len(data) != record.bytes or _sha256(data) != record.sha256:
        raise StoreError(f"{path} is not what the ledger says (SHA-256); run ssl4eco check on the dataset")
    return data


def _converted(copy: _Copy, name: str, data: bytes) -> bytes:
    """The content of a file of the copy."""
    parts = Path(name).parts
    if parts[0] != PATCHES:
        return data
    if parts[-1] == DOCUMENT and (
        parts[:2] != (PATCHES, GROUP) or len(parts) == 3 or parts[2] in copy.arrays
    ):
        return to_bytes(_with_codec(copy, json.loads(data)))
    if parts[1] == GROUP and parts[2] in copy.arrays:
        return _with_codec_shard(copy, copy.arrays[parts[2]], data)
    return data


def _with_codec(copy: _Copy, document: dict[str, Any]) -> dict[str, Any]:
    """Metadata of an array, or of a group with all that is consolidated in it."""
    if document["node_type"] == "group":
        inside = document.get("consolidated_metadata", {}).get("metadata", {})
        for name, below in inside.items():
            if below["node_type"] == "group" or name.rpartition("/")[2] in copy.arrays:
                inside[name] = _with_codec(copy, below)
        return document
    itemsize = 1 if document["data_type"] == "uint8" else 2
    document["codecs"][0]["configuration"]["codecs"] = copy.codec.metadata(itemsize)
    return document


def _with_codec_shard(copy: _Copy, array: ShardArray, data: bytes) -> bytes:
    """A shard with the same pixels, each chunk packed anew."""

    def packed(chunk: bytes | None) -> bytes | None:
        if chunk is None:
            return None
        return copy.codec.encode(array.decode(chunk))

    return encode_shard(list(copy.pool.map(packed, split_shard(data, array.chunks_per_shard))))


def _read_json(path: Place) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
