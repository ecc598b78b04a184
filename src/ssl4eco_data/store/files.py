"""Files that are whole or absent: written beside, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from ssl4eco_data.errors import StoreError

TEMPORARY_SUFFIX = ".ssl4eco-part"
"""Ends the name of a file that is still being written; :func:`clean_temporary` sweeps what a kill left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file of a dataset: ``path`` relative to the dataset's folder (with ``/``), size and SHA-256."""

    path: str
    bytes: int
    sha256: str


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, making its folders; at every moment the old file or the new one is there.

    Raises :class:`StoreError` when the disk does not take it; the old file, if any, is then unchanged.
    """
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


def remove(path: Path) -> None:
    """Remove a file; it may be absent. Raises :class:`StoreError` when the disk refuses."""
    try:
        path.unlink()
        _sync_folder(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(f"cannot remove {path}: {error.strerror}; check who may write there") from error


def clean_temporary(root: Path) -> int:
    """Remove what killed writers left below ``root``; the number of files removed.

    Only while nobody else writes there: it cannot tell a dead writer's file from a living one's.
    """
    left = sorted(root.rglob(f"*{TEMPORARY_SUFFIX}"))
    for path in left:
        remove(path)
    return len(left)


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_record(root: Path, path: Path) -> FileRecord:
    """Size and checksum of a file below ``root``; ``ValueError`` when it lies elsewhere."""
    relative = path.relative_to(root).as_posix()
    return FileRecord(path=relative, bytes=path.stat().st_size, sha256=sha256(path))


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
