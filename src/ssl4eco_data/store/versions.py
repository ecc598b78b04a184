"""Versions of a dataset below one root: which there are, which one is served, which one is being built.

``ROOT/versions/ID`` is a whole dataset, ``ROOT/latest`` holds the id of the one that readers get, and
``ROOT/next`` says which one is being built and from which other. A version that was served is never written
again: a new one begins as links to its files, and every later write makes a new file under the old name.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.files import TEMPORARY_SUFFIX, relative_to, remove, write_atomic
from ssl4eco_data.store.lease import LEASE, refuse_evicted
from ssl4eco_data.store.ledger import Ledger
from ssl4eco_data.store.metadata import DOCUMENT
from ssl4eco_data.store.objects import ObjectPath, Place, place_of
from ssl4eco_data.store.version_rules import PruneRule
from ssl4eco_data.types import Parameters

VERSIONS, LATEST, NEXT = "versions", "latest", "next"
CLOSED = "close"
"""The stage whose mark says that a version is complete."""
_ID_FORMAT = "%Y%m%dT%H%M%SZ"
_ID = re.compile(r"\d{8}T\d{6}Z")
_GONE = ".gone-"
"""Begins the name of a version's folder that is being removed."""
_KEPT_OF_RUNS = "runs/judged/"
_COPIES_AT_ONCE = 16
_NO_LINKS = (errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK, errno.EACCES, errno.ENOSYS)


class Unfinished(Parameters):
    """The version being built: its id, that of the version it began from (empty: from nothing), and whether
    all files of that one are linked."""

    version: str = Field(pattern=_ID.pattern)
    base: str = ""
    seeded: bool = False


def dataset_place(address: str | Place) -> Place:
    """Where the dataset at an address is: the served version where there are versions, else the place itself.

    Raises :class:`StoreError` when what ``latest`` says cannot be followed.
    """
    place = place_of(address)
    version = latest(place)
    return place if version is None else version_place(place, version)


def version_place(root: Place, version: str) -> Place:
    """Where a version is, whether it is there or not."""
    return root / VERSIONS / version


def latest(root: Place) -> str | None:
    """The id of the served version, ``None`` where none is yet, or there are no versions at all.

    Raises :class:`StoreError` when the file says no id.
    """
    try:
        text = (root / LATEST).read_bytes().decode("ascii", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not _ID.fullmatch(text):
        raise StoreError(
            f"{root / LATEST} must hold the id of a version, got {text[:40]!r}: write one of the names in "
            f"{root / VERSIONS} into it"
        )
    return text


def versions(root: Place) -> list[str]:
    """The ids of all versions that are there, finished or not, the oldest first."""
    return sorted(p.name for p in (root / VERSIONS).glob("*") if _ID.fullmatch(p.name))


def is_complete(root: Place, version: str) -> bool:
    """Whether the version was built to its end."""
    return Ledger(version_place(root, version)).read(CLOSED, 0) is not None


def begun(version: str) -> datetime:
    """When a version was begun (UTC); later than that where the clock was behind."""
    return datetime.strptime(version, _ID_FORMAT).replace(tzinfo=UTC)


def new_id(now: datetime, known: Sequence[str]) -> str:
    """An id that comes after all known ones: the second ``now``, or the one after the newest's."""
    moment = now.astimezone(UTC).replace(microsecond=0)
    newest = max(map(begun, known), default=None)
    if newest is not None and moment <= newest:
        moment = newest + timedelta(seconds=1)
    return moment.strftime(_ID_FORMAT)


def unfinished(root: Place) -> Unfinished | None:
    """The version being built, ``None`` where none is. Raises :class:`StoreError` for a damaged note."""
    try:
        note = Unfinished.model_validate_json((root / NEXT).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError:
        raise StoreError(
            f"{root / NEXT} cannot be read: remove it, and the next build begins a new version"
        ) from None
    return note


def begin(root: Place, now: datetime) -> Unfinished:
    """The version to build on: the unfinished one, else a new one from the served one, all files linked.

    Killed at any point and called again it goes on. ``root`` is written by this build alone.
    """
    note = unfinished(root)
    if note is None:
        served = latest(root)
        known = [*versions(root), *([served] if served else [])]
        note = Unfinished(version=new_id(now, known), base=served or "", seeded=served is None)
        _write_note(root, note)
    if not note.seeded:
        link_all(version_place(root, note.base), version_place(root, note.version))
        note = note.model_copy(update={"seeded": True})
        _write_note(root, note)
    return note


def finish(root: Place) -> None:
    """Forget that a version is being built; its files stay."""
    remove(root / NEXT)


def pair(root: Place, old: str = "", new: str = "") -> tuple[str, str]:
    """The two versions to compare. Raises :class:`StoreError` when there are no two complete ones.

    Without names: the served one and the newest complete one; when these are the same, the one before it.
    """
    complete = [v for v in versions(root) if is_complete(root, v)]
    unknown = [v for v in (old, new) if v and v not in complete]
    if unknown or len(complete) < 2:
        there = ", ".join(complete) or "none"
        raise StoreError(f"{root} has no two such complete versions; complete are: {there}")
    second = new or complete[-1]
    first = old or latest(root) or complete[0]
    if first == second:
        first = max((v for v in complete if v < second), default=complete[0])
    return first, second


def serve(root: Place, version: str) -> None:
    """Let ``latest`` say this version, from one moment to the next. :class:`StoreError` unless complete."""
    if not is_complete(root, version):
        there = ", ".join(v for v in versions(root) if is_complete(root, v)) or "none"
        raise StoreError(f"{root} has no complete version {version!r}; complete are: {there}")
    write_atomic(root / LATEST, version.encode() + b"\n")


def link_all(base: Place, to: Place) -> int:
    """Make every file of a finished version be there under ``to`` also; the number of files.

    In a folder they are hard links (copies where the file system has none), on an object store copies made
    by the server. What is there already stays. Left out are records of runs and leases. Raises
    :class:`StoreError` when the disk or the store refuses.
    """
    if Ledger(base).read(CLOSED, 0) is None:
        raise StoreError(f"{base} is not a complete version: nothing can begin from it")
    names = [name for name in _names(base) if _belongs(name)]
    if isinstance(base, ObjectPath) and isinstance(to, ObjectPath):
        _copy_objects(base, to, names)
        return len(names)
    for name in names:
        _link(Path(str(base)) / name, Path(str(to)) / name)
    for folder in {(Path(str(to)) / name).parent for name in names}:
        _flush(folder)
    return len(names)


def to_prune(known: Sequence[str], kept: Sequence[str], now: datetime, rule: PruneRule) -> list[str]:
    """The versions that the rule lets go, the oldest first; ``kept`` are never among them."""
    newest = sorted(known)[-rule.keep :]
    age = timedelta(days=rule.min_age_days)
    return [v for v in sorted(known) if v not in newest and v not in kept and now - begun(v) >= age]


def prune(root: Place, now: datetime, rule: PruneRule) -> list[str]:
    """Remove the versions that the rule lets go; their ids. ``root`` is written by the caller alone."""
    note, served = unfinished(root), latest(root)
    kept = [v for v in (served, note and note.version, note and note.base) if v]
    gone = to_prune(versions(root), kept, now, rule) if served else []
    for version in gone:
        _drop(root, version)
    _sweep(root)
    return gone


def drop(root: Place, version: str) -> None:
    """Remove a version. Raises :class:`StoreError` for the served one, and for one that is not there."""
    if version == latest(root):
        raise StoreError(f"{root} serves version {version}: serve another one before it is removed")
    if version not in versions(root):
        raise StoreError(f"{root} has no version {version!r}; there are: {', '.join(versions(root))}")
    _drop(root, version)
    _sweep(root)


def _write_note(root: Place, note: Unfinished) -> None:
    write_atomic(root / NEXT, note.model_dump_json().encode() + b"\n")


def _names(base: Place) -> Iterator[str]:
    for path in base.rglob("*"):
        if isinstance(path, ObjectPath) or path.is_file():
            yield relative_to(path, base)


def _belongs(name: str) -> bool:
    """Whether a file goes into the next version: not leases, half-written files and records of runs.

    Nor the mark that says that a version is complete: it is not until it is closed itself.
    """
    if name == LEASE or name.endswith(TEMPORARY_SUFFIX) or name.startswith(f"ledger/{CLOSED}/"):
        return False
    return not name.startswith("runs/") or name.startswith(_KEPT_OF_RUNS)


def _link(source: Path, to: Path) -> None:
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, to)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise StoreError(
                f"cannot link {to}: {error.strerror}; mend it and run the command again"
            ) from error
        write_atomic(to, source.read_bytes())


def _flush(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_objects(base: ObjectPath, to: ObjectPath, names: Sequence[str]) -> None:
    """Copies inside the bucket; each looks at the lease before, so that an evicted build stops."""
    there = {relative_to(path, to) for path, _ in to.sizes()}

    def copy(name: str) -> None:
        if to.fence:
            refuse_evicted(to)
        (replace(base, fence="") / name).copy_to(to / name)

    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        for _ in pool.map(copy, [name for name in names if name not in there]):
            pass


def _drop(root: Place, version: str) -> None:
    """Remove a version; one that is removed half is not complete, or not there, any more."""
    place = version_place(root, version)
    if isinstance(place, ObjectPath):
        Ledger(place).remove(CLOSED, 0)
        # The metadata go first: to a reader a shard that is not there is one without patches.
        for path in sorted(place.rglob("*"), key=lambda path: (path.name != DOCUMENT, path)):
            remove(path)
        return
    try:
        place.rename(place.with_name(_GONE + version))
    except OSError as error:
        raise StoreError(f"cannot remove {place}: {error.strerror}; check who may write there") from error


def _sweep(root: Place) -> None:
    if isinstance(root, ObjectPath):
        return
    for folder in sorted((root / VERSIONS).glob(f"{_GONE}*")):
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StoreError(
                f"cannot remove {folder}: {error.strerror}; check who may write there"
            ) from error
