"""One writer of a dataset on an object store: a lease that its holder renews, and a fence behind it.

The lease is an object, created and replaced conditionally, so that of two that try at once one wins. No
clock is compared: whoever wants a lease that is held watches it for ``PATIENCE_S`` of his own time; one that
is renewed meanwhile is alive. A holder that slept longer has lost it, and the fence keeps him from writing:
every write looks at the lease *between* looking at the object and replacing that very object, so a write
that was overtaken in between fails (fencing as in Kleppmann 2016, "How to do distributed locking", with
the object's ETag in the place of a counter).
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.object_client import ConflictError, Status
from ssl4eco_data.store.objects import ObjectPath

LEASE = "lease.json"
PATIENCE_S = 60.0
"""A lease that was not renewed for so long has lost its holder."""
_BEATS = 5
"""Renewals within the patience."""
_TRIES = 5


class HeldError(StoreError):
    """Somebody else holds the lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """What the lease says; ``token`` is empty once it is given back."""

    token: str
    holder: str
    beat: int = 0

    def encode(self) -> bytes:
        return json.dumps({"token": self.token, "holder": self.holder, "beat": self.beat}).encode()


@contextmanager
def leased(root: ObjectPath, *, patience_s: float = PATIENCE_S) -> Iterator[ObjectPath]:
    """``root`` with a fence, as long as the lease is held; a thread renews it; it is given back at the end.

    Raises :class:`HeldError` that names the holder.
    """
    place, note = root / LEASE, _Note(token=uuid.uuid4().hex, holder=_who())
    status = _taken(place, note, patience_s)
    stop = threading.Event()
    renewing = _Renewing(place, note, status)
    thread = threading.Thread(target=renewing.run, args=(stop, patience_s / _BEATS), daemon=True)
    thread.start()
    try:
        yield replace(root, fence=f"{place.key}#{note.token}")
    finally:
        stop.set()
        thread.join()
        renewing.give_back()


def write_fenced(path: ObjectPath, data: bytes) -> None:
    """One PUT by the holder of the lease; StoreError once somebody else holds it."""
    for _ in range(_TRIES):
        there = _status(path)
        refuse_evicted(path)
        try:
            path.put_if(data, there)
        except ConflictError:
            continue
        return
    raise StoreError(f"{path} is written by others all the time; let one build work on a dataset")


def refuse_evicted(path: ObjectPath) -> None:
    """StoreError when the lease behind the fence of ``path`` has another holder."""
    key, _, token = path.fence.partition("#")
    place = replace(path, key=key, fence="")
    found = _read(place)
    if found is None or found.token != token:
        holder = found.holder if found and found.token else "nobody"
        raise StoreError(
            f"{path} is not written: this build has lost its lease {place}, which {holder} holds now; "
            "run the same command again when no other build works on the dataset"
        )


class _Renewing:
    """Replaces the lease by a newer note of the same holder until it is told to stop, or has lost it."""

    def __init__(self, place: ObjectPath, note: _Note, status: Status) -> None:
        self._place, self._note, self._status = place, note, status
        self._lost = False

    def run(self, stop: threading.Event, pause_s: float) -> None:
        while not self._lost and not stop.wait(pause_s):
            self._put(replace(self._note, beat=self._note.beat + 1))

    def give_back(self) -> None:
        """Say that nobody holds it, unless somebody else does."""
        if not self._lost:
            self._put(replace(self._note, token="", beat=self._note.beat + 1))

    def _put(self, note: _Note) -> None:
        try:
            self._status = self._place.put_if(note.encode(), self._status)
            self._note = note
        except ConflictError:
            self._look_again(note)
        except StoreError:
            return  # the store may answer the next time; until the patience is over nobody takes it

    def _look_again(self, note: _Note) -> None:
        """After a write that met another lease: our own one, where only the answer to a write was lost."""
        try:
            ours = _ours(self._place, self._note.token)
        except StoreError:
            return
        self._lost = ours is None
        if ours is not None:
            self._status, self._note = ours, note


def _taken(place: ObjectPath, note: _Note, patience_s: float) -> Status:
    """The lease, now ours; waits for one that nobody renews."""
    status = _status(place)
    if status is not None:
        found = _read(place)
        if found is not None and found.token:
            _refuse_living(place, status, found.holder, patience_s)
    try:
        return place.put_if(note.encode(), status)
    except ConflictError:
        if (ours := _ours(place, note.token)) is not None:
            return ours
        found = _read(place)
        raise HeldError(_held(place, found.holder if found else "somebody")) from None


def _refuse_living(place: ObjectPath, status: Status, holder: str, patience_s: float) -> None:
    """Watch a lease: HeldError as soon as it is renewed."""
    for _ in range(2 * _BEATS):
        time.sleep(patience_s / (2 * _BEATS))
        now = _status(place)
        if now is None or now.e_tag != status.e_tag:
            raise HeldError(_held(place, holder))


def _held(place: ObjectPath, holder: str) -> str:
    return f"another build works on {place.parent} ({holder}); wait for it or stop it, then try again"


def _status(place: ObjectPath) -> Status | None:
    try:
        return place.stat()
    except FileNotFoundError:
        return None


def _read(place: ObjectPath) -> _Note | None:
    """What the lease says; None where there is none, or none that can be read."""
    try:
        found = json.loads(place.read_bytes())
        return _Note(token=str(found["token"]), holder=str(found["holder"]), beat=int(found["beat"]))
    except (FileNotFoundError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None


def _ours(place: ObjectPath, token: str) -> Status | None:
    """What is there now, where it is the lease of this token; None where it is not.

    A client that got no answer writes again, and is then refused because of its own first write. The lease is
    read after its status: whoever replaces it in between is seen.
    """
    status, found = _status(place), _read(place)
    return status if found is not None and found.token == token else None


def _who() -> str:
    return f"process {os.getpid()} on {platform.node() or 'an unnamed machine'}"
