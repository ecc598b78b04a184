"""Asking an object store: one client a bucket, what it says of an object, and its errors as ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ssl4eco_data.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class ConflictError(StoreError):
    """A conditional write found another object than it expected."""


@dataclass(frozen=True, slots=True)
class Status:
    """What ``os.stat_result`` says of a file, of an object: bytes, and when it was written."""

    st_size: int
    st_mtime_ns: int
    e_tag: str | None = None
    version: str | None = None


def status_of(found: Any) -> Status:
    """The status in what obstore says of an object."""
    written_ns = int(found["last_modified"].timestamp() * 1e9)
    return Status(int(found["size"]), written_ns, found.get("e_tag"), found.get("version"))


_FORKED: set[int] = set()
"""This process, where it was forked from one that had asked a store: the threads that ask are not in it."""


def _note_fork() -> None:
    if _client.cache_info().currsize:
        _FORKED.add(os.getpid())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def client_of(bucket: str) -> ObjectStore:
    """The client of a bucket. StoreError where it would wait for ever."""
    if os.getpid() in _FORKED:
        raise StoreError(
            f"{bucket} cannot be asked by a process that was forked from one that had asked it: start "
            "workers by the method 'spawn' or 'forkserver', or use threads"
        )
    return _client(bucket)


@lru_cache(maxsize=16)
def _client(bucket: str) -> ObjectStore:
    """The client of a bucket; one per process, since memory is what its own process wrote."""
    from obstore.store import MemoryStore, from_url

    return MemoryStore() if bucket.startswith("memory://") else from_url(bucket)


@contextmanager
def errors_named(place: object) -> Iterator[None]:
    """What obstore raises, as errors of ours that name the object."""
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {place}") from None
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise ConflictError(f"{place} was written by somebody else meanwhile") from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise StoreError(
            f"{place}: access denied; look at the credentials in the environment and at the bucket's rules"
        ) from error
    except exceptions.BaseError as error:
        raise StoreError(f"{place}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """What went wrong and the way out; without credentials a client asks a cloud machine's own service."""
    text = _first_line(error)
    if "/latest/api/token" in text or "metadata.google.internal" in text:
        return (
            "there are no credentials in the environment (AWS_ACCESS_KEY_ID, GOOGLE_SERVICE_ACCOUNT); a "
            "public bucket of S3 needs AWS_SKIP_SIGNATURE=true"
        )
    return f"{text}; run the same command again"


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
