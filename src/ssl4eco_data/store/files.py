"""Files that are whole or absent: written beside, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.lease import refuse_evicted, write_fenced
from ssl4eco_data.store.objects import ObjectPath, Place

TEMPORARY_SUFFIX = ".ssl4eco-part"
"""Ends the name of a file that is still being written; :func:`clean_temporary` sweeps what a kill left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file of a dataset: ``path`` relative to the dataset's folder (with ``/``), size and SHA-256."""

    path: str
    bytes: int
    sha256: str


def write_atomic(path: Place, data: bytes) -> None:
    """Write ``data`` to ``path``, making its folders; at every moment the old file or the new one is there.

    An object is one PUT. Raises :class:`StoreError` when the disk or the object store does not take it; the
    old file, if any, is then unchanged.
    """
    if isinstance(path, ObjectPath):
        write_fenced(path, data) if path.fence else path.put(data)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}{TEMPORARY_SUFFIX}")
    try:
        _make_folder(path.parent)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, len(data), error) from error


def remove(path: Place) -> None:
    """Remove a file; it may be absent. Raises :class:`StoreError` when the disk refuses."""
    if isinstance(path, ObjectPath):
        if path.fence:
            refuse_evicted(path)
        path.unlink(missing_ok=True)
        return
    try:
        path.unlink()
        _sync_folder(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}; check who may write there") from error


def clean_temporary(root: Place) -> int:
    """Remove what killed writers left below ``root``; the number of files removed.

    Only while nobody else writes there: it cannot tell a dead writer's file from a living one's.
    """
    if isinstance(root, ObjectPath):
        return 0
    left = sorted(root.rglob(f"*{TEMPORARY_SUFFIX}"))
    for path in left:
        remove(path)
    return len(left)


def read_range(path: Place, start: int, count: int) -> bytes:
    """``count`` bytes of a file from ``start``; fewer where it ends."""
    if isinstance(path, ObjectPath):
        return path.read_range(start, count) if count else b""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(count)


def sha256(path: Place) -> str:
    """SHA-256 of a file, hexadecimal."""
    if isinstance(path, ObjectPath):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_record(root: Place, path: Place) -> FileRecord:
    """Size and checksum of a file below ``root``; ``ValueError`` when it lies elsewhere."""
    relative = relative_to(path, root)
    return FileRecord(path=relative, bytes=path.stat().st_size, sha256=sha256(path))


def parts_in(folder: Place, suffix: str) -> list[Place]:
    """The files of a folder whose names end in ``suffix``, by name; none where there is no folder."""
    return sorted(folder.glob(f"*{suffix}"), key=lambda part: part.name)


def bytes_below(root: Place) -> int:
    """Bytes of the finished files below ``root``, its report left out."""
    if isinstance(root, ObjectPath):
        report = str(root / "report")
        return sum(size for path, size in root.sizes() if not str(path).startswith(f"{report}/"))
    report = str(root / "report")
    found = (p for p in root.rglob("*") if p.is_file() and p.suffix != TEMPORARY_SUFFIX)
    return sum(p.stat().st_size for p in found if not p.is_relative_to(report))


def relative_to(path: Place, root: Place) -> str:
    """The way from ``root`` to ``path``, with ``/``; ``ValueError`` when it is not below."""
    if isinstance(path, ObjectPath) and isinstance(root, ObjectPath):
        return path.relative_to(root).as_posix()
    return Path(str(path)).relative_to(Path(str(root))).as_posix()


def _make_folder(folder: Path) -> None:
    """``mkdir -p`` that survives a power cut: the parent of every new folder is flushed."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_WAYS_OUT = {
    errno.ENOSPC: "free some space and run the same command again",
    errno.EDQUOT: "your quota is used up; free some space and run the same command again",
    errno.EROFS: "the file system is read-only; choose another dataset root",
    errno.EACCES: "you may not write there; change the permissions or choose another dataset root",
    errno.EPERM: "you may not write there; change the permissions or choose another dataset root",
    errno.EEXIST: "a part of the path is a file; choose another dataset root",
    errno.ENOTDIR: "a part of the path is a file; choose another dataset root",
}


def _not_written(path: Path, size: int, error: OSError) -> StoreError:
    way_out = _WAYS_OUT.get(error.errno or 0, "check the disk and run the same command again")
    return StoreError(f"cannot write {path} ({size} bytes): {error.strerror or error}; {way_out}")
