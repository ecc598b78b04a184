"""``python -m ssl4eco_training.stage DATASET TO``: a copy of a dataset on a local disk or in memory.

One GPU reads gigabytes a second, which archives and shared disks seldom give.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ssl4eco_data.errors import Ssl4ecoError, StoreError
from ssl4eco_data.store import (
    TEMPORARY_SUFFIX,
    FileRecord,
    Ledger,
    ObjectPath,
    Place,
    ShardReader,
    clean_temporary,
    fingerprint,
    write_atomic,
)
from ssl4eco_data.store.files import relative_to
from ssl4eco_data.store.metadata import DOCUMENT, read_document, to_bytes
from ssl4eco_data.store.schema import ARRAYS, GROUP, PATCHES
from ssl4eco_data.store.versions import dataset_place
from ssl4eco_training.errors import TrainingError, told
from ssl4eco_training.inputs import BANDS

NOTE = "staged.json"
"""Lies in the copy and says of what it is one."""
PROFILES = ("all", "training")
_RESERVE_BYTES = 64 << 20
_FINISHED = (f"{PATCHES}/{GROUP}/{DOCUMENT}", f"{PATCHES}/{DOCUMENT}")
"""Copied last: a reader refuses patches without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to copy: its path below the dataset, its bytes, its SHA-256 where the ledger has it.

    ``content`` is what to write where that is not what the source has.
    """

    path: str
    size: int
    sha256: str | None = None
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """What was done: files of the copy, and files and bytes of them that were copied now."""

    files: int
    copied: int
    copied_bytes: int


def stage(
    address: str | Place,
    to: Path,
    *,
    profile: str = "all",
    bands: Sequence[str] = BANDS,
    threads: int = 8,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Staged:
    """Copy a finished dataset into the folder ``to``; files that are there stay, so it may be repeated.

    ``profile`` *all* is every file, *training* is ``patches.zarr`` with the arrays that hold ``bands`` and
    the small arrays. Each file is whole or absent, and compared with its checksum where the ledger has one;
    readers refuse the copy until it is complete. ``threads`` files at a time are held in memory. ``advance``
    is told the bytes copied and to copy. Raises StoreError for a dataset that is not finished or damaged, and
    what the disk refuses; TrainingError when the folder holds something else or has too little room.
    """
    if profile not in PROFILES or threads < 1:
        raise ValueError(
            f"profile must be one of {', '.join(PROFILES)}, threads at least 1, got {profile}, {threads}"
        )
    place = dataset_place(address)
    source = place.parent if place.suffix == ".zarr" else place
    whole = _files(source, source if profile == "all" and source == place else source / PATCHES)
    files = whole if profile == "all" else _training(source, whole, bands)
    _refuse_other(to, {"dataset": str(source.resolve()), "profile": profile, "files": _identity(files)})
    left = [file for file in files if not _is_there(to, file)]
    _refuse_full(to, left)
    early = [file for file in left if file.path not in _FINISHED]
    total, done = sum(file.size for file in left), 0
    for part in (early, [file for file in left if file.path in _FINISHED]):
        for copied in _copied(source, to, part, threads):
            done += copied
            advance(done, total)
    return Staged(files=len(files), copied=len(left), copied_bytes=done)


def _files(source: Place, below: Place) -> list[Wanted]:
    """All files of the dataset ``source`` that lie in ``below``, by path."""
    ShardReader(source)  # raises where there is no finished dataset
    known = _ledger(source)
    sizes: Iterator[tuple[Place, int]] = (
        below.sizes()
        if isinstance(below, ObjectPath)
        else ((path, path.stat().st_size) for path in below.rglob("*") if path.is_file())
    )
    found = {
        relative_to(path, source): size for path, size in sizes if not path.name.endswith(TEMPORARY_SUFFIX)
    }
    return [Wanted(path=p, size=found[p], sha256=_sum(known.get(p), found[p])) for p in sorted(found)]


def _ledger(source: Place) -> dict[str, FileRecord]:
    ledger = Ledger(source)
    marks = (ledger.read(stage, block) for stage in ledger.stages() for block in ledger.blocks(stage))
    return {record.path: record for mark in marks if mark for record in mark.files}


def _sum(record: FileRecord | None, size: int) -> str | None:
    """The ledger's checksum, unless it is of another state of the file."""
    return record.sha256 if record is not None and record.bytes == size else None


def _training(source: Place, files: Sequence[Wanted], bands: Sequence[str]) -> list[Wanted]:
    """Without the arrays of patches that hold none of the bands; metadata that does not name them."""
    kept = set(ShardReader(source, bands=bands).arrays)
    dropped = {name for name in ARRAYS if name not in kept}
    chosen = [
        file
        for file in files
        if (*Path(file.path).parts, "", "")[2] not in dropped and file.path not in _FINISHED
    ]
    for path in _FINISHED:
        content = to_bytes(_without(read_document(source / path), dropped))
        digest = hashlib.sha256(content).hexdigest()
        chosen.append(Wanted(path=path, size=len(content), sha256=digest, content=content))
    return chosen


def _without(document: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """A group's document whose consolidated metadata leaves out arrays."""
    consolidated = document.get("consolidated_metadata")
    if not consolidated:
        return document
    inside = {k: v for k, v in consolidated["metadata"].items() if k.rpartition("/")[2] not in dropped}
    return {**document, "consolidated_metadata": {**consolidated, "metadata": inside}}


def _identity(files: Sequence[Wanted]) -> str:
    return fingerprint([(file.path, file.size, file.sha256) for file in files])


def _refuse_other(to: Path, note: Mapping[str, str]) -> None:
    """Leave a note in the folder of what is copied there. TrainingError when something else is there."""
    path = to / NOTE
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise TrainingError(
                f"{to} holds other things: stage into a new folder, or remove it first"
            ) from None
        write_atomic(path, json.dumps(note, indent=1).encode() + b"\n")
        return
    except ValueError:
        found = None
    if not isinstance(found, dict) or {**found, "dataset": note["dataset"]} != note:
        held = found.get("dataset") if isinstance(found, dict) else "its note is damaged"
        raise TrainingError(
            f"{to} is a copy of another dataset, profile or state ({held}): stage into a new folder, or "
            "remove it first"
        )
    clean_temporary(to)


def _is_there(to: Path, file: Wanted) -> bool:
    """Files come by rename, so one of the right size is whole."""
    try:
        return (to / file.path).stat().st_size == file.size
    except (FileNotFoundError, NotADirectoryError):
        return False


def _refuse_full(to: Path, files: Sequence[Wanted]) -> None:
    needed, free = sum(file.size for file in files), shutil.disk_usage(to).free
    if files and needed + _RESERVE_BYTES > free:
        raise TrainingError(
            f"{to} has room for {free / 1e9:.1f} GB, {needed / 1e9:.1f} GB are to be copied: choose another "
            "disk, or --profile training"
        )


def _copied(source: Place, to: Path, files: Sequence[Wanted], threads: int) -> Iterator[int]:
    """Copy files; the bytes of each as it is done. After an error no other is begun."""
    with ThreadPoolExecutor(threads, thread_name_prefix="ssl4eco-stage") as pool:
        pending = {pool.submit(_copy, source, to, file) for file in files}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _copy(source: Place, to: Path, file: Wanted) -> int:
    data = _read(source / file.path) if file.content is None else file.content
    if len(data) != file.size or (file.sha256 and hashlib.sha256(data).hexdigest() != file.sha256):
        raise StoreError(
            f"{source / file.path} is not what the ledger says ({len(data)} bytes, {file.size} expected, or "
            "another checksum): run ssl4eco check on the dataset, then stage again"
        )
    write_atomic(to / file.path, data)
    return len(data)


def _read(path: Place) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}; stage again to go on") from error


def _shown(address: str, to: Path, profile: str, bands: Sequence[str], threads: int) -> Staged:
    """With a bar on standard error."""
    columns = (
        TextColumn("staging"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("staging", total=None)
        return stage(
            address,
            to,
            profile=profile,
            bands=bands,
            threads=threads,
            advance=lambda done, total: progress.update(bar, completed=done, total=total),
        )


def main(arguments: Sequence[str]) -> int:
    """Copy as the arguments say; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ssl4eco_training.stage",
        description="Copy a dataset to a local disk or to memory (/dev/shm). The same command goes on.",
    )
    parser.add_argument("dataset", help="folder or address (s3://, gs://, az://)")
    parser.add_argument("to", type=Path, help="folder of the copy")
    parser.add_argument(
        "--profile", choices=PROFILES, default="all", help="training: what a run reads, no more"
    )
    parser.add_argument(
        "--bands", default=",".join(BANDS), help="of the training profile (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=8, help="files at a time (default %(default)s)")
    given = parser.parse_args(arguments)
    try:
        done = _shown(given.dataset, given.to, given.profile, given.bands.split(","), given.threads)
    except (TrainingError, Ssl4ecoError, ValueError, OSError) as error:
        print(told(error), file=sys.stderr)
        return 1
    print(
        f"{given.to}: {done.files} files, {done.copied} of them copied now ({done.copied_bytes / 1e6:.1f} MB)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
