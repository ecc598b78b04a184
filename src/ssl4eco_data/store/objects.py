"""Objects of a store (S3, Google, Azure, memory) behind the part of ``pathlib.Path`` that a dataset needs.

A dataset lies in a folder or below a prefix of an object store; code that reads and writes it takes a
:data:`Place` and need not know which. An object is written by one PUT, so it is whole or absent. Credentials
and endpoints come from the environment (``AWS_*``, ``GOOGLE_*``, ``AZURE_*``), never from the address.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.imports import need_for_analysis
from ssl4eco_data.redaction import redacted
from ssl4eco_data.store.object_client import Status, client_of, errors_named, status_of

SCHEMES = ("s3", "gs", "az", "memory")


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """An object, or a prefix that ends before ``/``: ``bucket`` is ``scheme://name``, ``key`` has no ``/`` at
    its ends.

    Names and meaning are those of ``pathlib.Path``; a folder is there as long as an object is below it.
    Objects that are absent raise ``FileNotFoundError``; what else the store answers is a
    :class:`~ssl4eco_data.errors.StoreError` that names the object. ``fence`` names the lease under which
    :func:`~ssl4eco_data.store.write_atomic` may write here, if any (:mod:`ssl4eco_data.store.lease`).
    """

    bucket: str
    key: str = ""
    fence: str = ""

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"

    def __lt__(self, other: ObjectPath) -> bool:
        return (self.bucket, self.key) < (other.bucket, other.key)

    def __truediv__(self, below: str) -> ObjectPath:
        return replace(self, key=posixpath.join(self.key, below).strip("/"))

    @property
    def name(self) -> str:
        """The part after the last ``/``."""
        return posixpath.basename(self.key)

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return posixpath.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The name's part from its last dot."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> ObjectPath:
        """The prefix that holds it."""
        return replace(self, key=posixpath.dirname(self.key))

    def as_posix(self) -> str:
        """The same as ``str``."""
        return str(self)

    def resolve(self) -> ObjectPath:
        """Itself: an address is absolute."""
        return self

    def with_name(self, name: str) -> ObjectPath:
        """The neighbour of this name."""
        return self.parent / name

    def relative_to(self, other: ObjectPath) -> Path:
        """The way from ``other`` to here, as a relative path. ``ValueError`` when it is not below."""
        if not self.is_relative_to(other):
            raise ValueError(f"{self} is not below {other}")
        return Path(self.key[len(other.key) :].lstrip("/"))

    def is_relative_to(self, other: ObjectPath) -> bool:
        """Whether it is ``other`` or lies below it."""
        inside = not other.key or self.key == other.key or self.key.startswith(f"{other.key}/")
        return self.bucket == other.bucket and inside

    def read_bytes(self) -> bytes:
        """All bytes."""
        with errors_named(self):
            return bytes(client_of(self.bucket).get(self.key).bytes())

    def read_text(self, encoding: str = "utf-8") -> str:
        """All bytes as text."""
        return self.read_bytes().decode(encoding)

    def read_range(self, start: int, count: int) -> bytes:
        """``count`` bytes from ``start``; fewer where the object ends."""
        with errors_named(self):
            return bytes(client_of(self.bucket).get_range(self.key, start=start, length=count))

    def read_end(self, count: int) -> tuple[bytes, int]:
        """(the last ``count`` bytes, or all where there are fewer; bytes of the whole object)."""
        with errors_named(self):
            found = client_of(self.bucket).get(self.key, options={"range": {"suffix": count}})
            return bytes(found.bytes()), int(found.meta["size"])

    def put(self, data: bytes) -> None:
        """One PUT, whoever holds a lease."""
        with errors_named(self):
            client_of(self.bucket).put(self.key, data)

    def put_if(self, data: bytes, there: Status | None) -> Status:
        """One PUT where the object is still as it was: ``there``, or absent (None); what is there now.

        Raises :class:`ConflictError` where it is not.
        """
        mode: Any = "create"
        if there is not None:
            known = {"e_tag": there.e_tag, "version": there.version}
            mode = {name: value for name, value in known.items() if value is not None}
        with errors_named(self):
            answer = client_of(self.bucket).put(self.key, data, mode=mode)
        return Status(len(data), 0, answer.get("e_tag"), answer.get("version"))

    def copy_to(self, to: ObjectPath) -> None:
        """Make a copy in the same bucket; the bytes do not leave the store."""
        with errors_named(self):
            client_of(self.bucket).copy(self.key, to.key)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        if not missing_ok and not self.is_file():
            raise FileNotFoundError(f"there is no {self}")
        with errors_named(self):
            client_of(self.bucket).delete(self.key)

    def stat(self) -> Status:
        """Size, time and ETag."""
        with errors_named(self):
            found = client_of(self.bucket).head(self.key)
        return status_of(found)

    def is_file(self) -> bool:
        """Whether there is such an object."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def is_dir(self) -> bool:
        """Whether an object is below it."""
        return next(iter(self._below()), None) is not None

    def exists(self) -> bool:
        """Whether there is such an object or one below it."""
        return self.is_file() or self.is_dir()

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: an object store has no folders."""

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """What lies directly below and has a name like ``pattern``, objects and prefixes, by name."""
        with errors_named(self):
            found = client_of(self.bucket).list_with_delimiter(self.key or None)
        keys = [*found["common_prefixes"], *(each["path"] for each in found["objects"])]
        names = {posixpath.basename(key.rstrip("/")) for key in keys}
        return (self / name for name in sorted(names) if fnmatchcase(name, pattern))

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """All objects below with a name like ``pattern``, by key."""
        return (found for found in sorted(self._below()) if fnmatchcase(found.name, pattern))

    @property
    def _prefix(self) -> str:
        return f"{self.key}/" if self.key else ""

    def statuses(self) -> Iterator[tuple[ObjectPath, Status]]:
        """Every object below with its size and time, as the store lists them."""
        with errors_named(self):
            for page in client_of(self.bucket).list(prefix=self.key or None):
                for found in page:
                    if found["path"].startswith(self._prefix):
                        yield replace(self, key=found["path"]), status_of(found)

    def sizes(self) -> Iterator[tuple[ObjectPath, int]]:
        """Every object below with its bytes."""
        return ((place, status.st_size) for place, status in self.statuses())

    def _below(self) -> Iterator[ObjectPath]:
        return (place for place, _ in self.statuses())


Place: TypeAlias = Path | ObjectPath
"""Where a dataset, or a part of it, lies."""


def is_object(address: str) -> bool:
    """Whether an address is of an object store, ``s3://bucket/key`` for instance."""
    return urlsplit(address).scheme in SCHEMES


def place_of(address: str | Path | ObjectPath) -> Place:
    """The place at an address: a path, or ``s3://``, ``gs://``, ``az://``, ``memory://`` and a bucket.

    Raises :class:`~ssl4eco_data.errors.ConfigError` for an address without a bucket or of another scheme,
    :class:`~ssl4eco_data.errors.MissingPackageError` for one where obstore is not installed.
    """
    if not isinstance(address, str):
        return address
    if not is_object(address):
        return _path(address)
    parts = urlsplit(address)
    key = parts.path.strip("/")
    unclear = "?" in address or "#" in address or bool({"", ".", ".."} & set(key.split("/")) if key else ())
    if not parts.netloc or unclear or "@" in parts.netloc:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ConfigError(
            f"{shown} must be {parts.scheme}://BUCKET/KEY without ?, #, // and ..; credentials belong in the "
            "environment"
        )
    need_for_analysis("obstore", f"an address of {parts.scheme}://")
    return ObjectPath(f"{parts.scheme}://{parts.netloc}", key)


def _path(address: str) -> Path:
    address = address.removeprefix("file://")
    if "://" in address:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES if scheme != "memory")
        raise ConfigError(f"{redacted(address)} must be a folder, or begin with one of {known}")
    return Path(address)


def zarr_store(place: Place) -> Any:
    """What zarr and xarray open a group from, to read; of memory a copy of what is there now."""
    if isinstance(place, Path):
        return place
    from obstore.store import from_url
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore
    from zarr.storage import ObjectStore as ZarrStore

    if not place.bucket.startswith("memory://"):
        # An address is decoded there, a key is not: % and # would lead elsewhere.
        return ZarrStore(from_url(f"{place.bucket}/{quote(place.key)}"), read_only=True)
    buffer = default_buffer_prototype().buffer
    found = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*")}
    return MemoryStore({name: buffer.from_bytes(data) for name, data in found.items()}, read_only=True)
