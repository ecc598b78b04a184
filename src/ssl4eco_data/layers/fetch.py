"""Fetch a layer once, check and record it; later uses are verified against the record."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Protocol

import tomli_w
from rich.console import Console

from ssl4eco_data.archives.earth_engine_client import EarthEngineParameters
from ssl4eco_data.errors import ArchiveError, ConfigError, StoreError
from ssl4eco_data.layers.download import OFFICIAL_URL, Download
from ssl4eco_data.layers.earth_engine import SIMPLIFIED_M, EarthEngineAsset
from ssl4eco_data.layers.progress import Bar, Progress, Unit
from ssl4eco_data.layers.record import RECORD_FILE, LayerRecord, read_record, write_record
from ssl4eco_data.layers.resolve import ICE, check_content, check_whole
from ssl4eco_data.store import sha256


class Source(Protocol):
    """Where a layer comes from; constructors only store."""

    @property
    def file_name(self) -> str:
        """The name of the file, without folder."""

    @property
    def url(self) -> str:
        """Recorded with the file, and named in errors."""

    @property
    def unit(self) -> Unit:
        """What its progress counts."""

    def bring(self, path: Path, progress: Progress) -> None:
        """Write the file to ``path``; raises :class:`~ssl4eco_data.errors.ArchiveError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that fits its record, and how it came to be there.

    ``verified``: it was there; ``found``: it was there without a record and has one now; ``fetched``: it is
    new; ``restored``: it was absent or did not fit its record and is now again what was recorded.
    """

    path: Path
    record: LayerRecord
    how: Literal["verified", "found", "fetched", "restored"]


def source_for(archive: object, url: str | None) -> Source:
    """Earth Engine when that is the archive of a configuration, else the official archive or ``url``."""
    if not isinstance(archive, EarthEngineParameters):
        return Download(url or OFFICIAL_URL)
    if url is not None:
        raise ConfigError(
            f"--url {url} and a configuration with archive.kind = earth_engine are two sources; leave one out"
        )
    return EarthEngineAsset(archive)


def fetch(folder: Path, source: Source, today: date, console: Console) -> Fetched:
    """The source's file in ``folder``, fetched unless it is there and fits its record.

    ``today`` is the UTC date that a first use is recorded under. The file and the record are untouched, and
    nothing else is left, when this raises: :class:`~ssl4eco_data.errors.ArchiveError` when it does not
    come, :class:`~ssl4eco_data.errors.ConfigError` when it is not RESOLVE Ecoregions 2017, and
    :class:`~ssl4eco_data.errors.StoreError` when it differs from the record.
    """
    target = folder / source.file_name
    known = read_record(folder, source.file_name)
    if target.is_file():
        if known is None:
            check_whole(target)
            record = _recorded(target, "", today)
            write_record(folder, target.name, record)
            return Fetched(path=target, record=record, how="found")
        if sha256(target) == known.sha256:
            return Fetched(path=target, record=known, how="verified")
    with _beside(target) as part:
        _bring(source, part, target, console)
        check_whole(part)
        if known is not None:
            _compare(part, target, known)
        record = known or _recorded(part, source.url, today)
        _put(part, target)
    if known is None:
        write_record(folder, target.name, record)
    return Fetched(path=target, record=record, how="fetched" if known is None else "restored")


def describe(fetched: Fetched, config: Path | None) -> Iterator[str]:
    """Lines for a person: the file, what was checked and what could not be, what to write where.

    The path of the layer is relative to the configuration file, or absolute without one.
    """
    record = fetched.record
    yield f"file     {fetched.path} ({_HOW[fetched.how]})"
    yield f"features {record.features} (846 ecoregions, {record.features - 846} of {ICE})"
    yield f"sha256   {record.sha256}, recorded on {record.date_utc} in {fetched.path.with_name(RECORD_FILE)}"
    yield _trust(record.url)
    yield "To use it, write into the configuration:\n"
    yield tomli_w.dumps({"locations": {"strata": _path_for(fetched.path, config)}})


_HOW = {
    "verified": "was there and fits its record; nothing was fetched",
    "found": "was there without a record; nothing was fetched",
    "fetched": "new",
    "restored": "fetched again, as recorded",
}


def _trust(url: str) -> str:
    """What could not be checked."""
    if not url:
        return "The publisher states no checksum: whether this file is the official one could not be checked."
    if url == EarthEngineAsset.url:
        return f"The asset has no checksum: its features, simplified by {SIMPLIFIED_M} m, are trusted."
    way = "HTTPS" if url.startswith("https://") else "a connection without encryption"
    return f"The publisher states no checksum: the first download is trusted as it came over {way}."


def _path_for(layer: Path, config: Path | None) -> str:
    absolute = layer.resolve()
    if config is None:
        return absolute.as_posix()
    try:
        return Path(os.path.relpath(absolute, config.resolve().parent)).as_posix()
    except ValueError:  # another drive
        return absolute.as_posix()


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A path of the same name on the same file system; it and folders made for it vanish unless used."""
    made = [folder for folder in target.parents if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise StoreError(f"{target.parent} is a file; name another folder with --to") from None
    try:
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as room:
            yield Path(room) / target.name
    finally:
        for folder in made:
            with suppress(OSError):  # a folder that is in use stays
                folder.rmdir()


def _bring(source: Source, part: Path, target: Path, console: Console) -> None:
    try:
        with Bar(target.stem, source.unit, console) as bar:
            source.bring(part, bar)
    except ArchiveError as error:
        if not target.exists():
            raise
        raise ArchiveError(
            f"{target} does not fit its record {RECORD_FILE}, and {error}", transient=error.transient
        ) from None


def _recorded(path: Path, url: str, today: date) -> LayerRecord:
    return LayerRecord(
        url=url,
        sha256=sha256(path),
        bytes=path.stat().st_size,
        date_utc=today.isoformat(),
        features=check_content(path),
    )


def _compare(part: Path, target: Path, known: LayerRecord) -> None:
    found = sha256(part)
    if found != known.sha256:
        raise StoreError(
            f"the {target.name} that came differs from the recorded one: sha256 {found}, recorded on "
            f"{known.date_utc} {known.sha256}; nothing was changed. If you trust the new one, remove "
            f"{target} and {target.with_name(RECORD_FILE)} and fetch it again"
        )


def _put(part: Path, target: Path) -> None:
    """Flushed to the disk, then renamed: at every moment the old file or the new one is there."""
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(target)
