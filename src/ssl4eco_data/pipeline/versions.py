"""Building a dataset as versions: begun from the served one, built, compared, and only then served.

Without ``versions.enabled`` everything here is the plain build in one folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, Ssl4ecoError, StoreError
from ssl4eco_data.pipeline.record import RunRecord
from ssl4eco_data.pipeline.run import (
    RunStage,
    alone,
    build,
    first_pending,
    forget_unreadable,
    unreadable,
)
from ssl4eco_data.pipeline.stages import STAGES
from ssl4eco_data.store import diff, exceeded, prune
from ssl4eco_data.store.objects import ObjectPath, Place
from ssl4eco_data.store.version_rules import PruneRule
from ssl4eco_data.store.versions import (
    begin,
    drop,
    finish,
    is_complete,
    latest,
    serve,
    unfinished,
    version_place,
    versions,
)

Clock = Callable[[], datetime]


class UnservedError(Ssl4ecoError):
    """A version is complete and lies too far from the served one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What became of a build: the configuration at the version that was built, the record of the run (None
    where nothing was to do), and what people should know of versions, by line."""

    config: Config
    record: RunRecord | None
    lines: tuple[str, ...] = ()


def now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


def at_version(config: Config) -> Config:
    """The configuration at the version being built, else at the served one; itself without versions."""
    if not config.versions.enabled:
        return config
    note = unfinished(config.home)
    version = note.version if note else latest(config.home)
    return config.of_version(version) if version else config


def being_built(config: Config, version: str = "") -> Config:
    """The configuration at the version being built, for a stage that runs alone; itself without versions.

    Raises :class:`~ssl4eco_data.errors.ConfigError` when none is, for a served one is never written to.
    """
    if not config.versions.enabled:
        return config
    note = None if version else unfinished(config.home)
    if not version and note is None:
        raise ConfigError(
            f"no version of {config.home} is being built: run the whole build, which begins one"
        )
    return config.of_version(version or (note.version if note else ""))


def is_current(config: Config) -> bool:
    """Whether nothing is to do: all is built and, with versions, served."""
    if not config.versions.enabled:
        return first_pending(config) is None
    served = latest(config.home)
    if served is None or unfinished(config.home) is not None:
        return False
    return first_pending(config.of_version(served)) is None


def build_version(
    config: Config,
    run_stage: RunStage,
    clock: Clock = now,
    *,
    until: str = STAGES[-1].name,
    retry_unreadable: bool = False,
) -> Built:
    """Build or continue the dataset of a configuration; with versions, the next one of it.

    Where nothing is stale in the served version, none is made. A version that is complete is served when its
    change is within the limits of ``versions``; then old ones are removed. Killed at any point and called
    again it goes on with the same version. Raises as :func:`~ssl4eco_data.pipeline.build`, and
    :class:`UnservedError` when the limits are exceeded: the served version then stays what it was. With
    ``retry_unreadable`` the blocks are done again that had files which could not be read.
    """
    _refuse_mixed(config)
    if not config.versions.enabled:
        told = _retry(config) if retry_unreadable else ()
        return Built(config=config, record=build(config, run_stage, clock, until=until), lines=told)
    config.home.mkdir(parents=True, exist_ok=True)
    with alone(config.home) as fence:
        mine = config.fenced(fence)
        _forget_served(mine.home)
        served = latest(mine.home)
        broken = retry_unreadable and served and unreadable(mine.of_version(served))
        if served and is_current(mine) and not broken:
            line = f"no change since version {served}: no new version is needed"
            return Built(config=config.of_version(served), record=None, lines=(line,))
        note = begin(mine.home, clock())
        at = config.of_version(note.version)
        told = _retry(mine.of_version(note.version)) if retry_unreadable else ()
        record = build(at, run_stage, clock, until=until)
        if first_pending(at) is not None:
            told = (*told, f"version {note.version} is not complete yet; the same command goes on with it")
        else:
            told = (*told, *_serve_next(mine, note.version, served, clock()))
        return Built(config=at, record=record, lines=told)


def serve_version(root: Place, version: str | None) -> str:
    """Let a complete version be served, the one before the served one without ``version``; its id.

    Raises :class:`~ssl4eco_data.errors.StoreError` when it is not complete, or there is none.
    """
    with _holding(root) as place:
        if version is None:
            version = _previous(place)
        serve(place, version)
        _forget_served(place)
        return version


def prune_versions(root: Place, rule: PruneRule, clock: Clock = now) -> list[str]:
    """Remove the versions that the rule lets go; their ids."""
    with _holding(root) as place:
        return prune(place, clock(), rule)


def drop_version(root: Place, version: str) -> None:
    """Remove a version that is not served, finished or not. Raises StoreError for the served one."""
    with _holding(root) as place:
        note = unfinished(place)
        if note and note.version == version:
            finish(place)  # first: a note of a version that is gone would have it built from nothing
        drop(place, version)


@contextmanager
def _holding(root: Place) -> Iterator[Place]:
    """The root of versions while nobody else builds there."""
    if latest(root) is None:
        raise StoreError(f"{root} has no versions: build it with versions.enabled = true first")
    with alone(root) as fence:
        yield replace(root, fence=fence) if isinstance(root, ObjectPath) else root


def _refuse_mixed(config: Config) -> None:
    """A root holds one dataset or versions of it, never both."""
    has_versions = latest(config.home) is not None or unfinished(config.home) is not None
    if has_versions and not config.versions.enabled:
        raise ConfigError(
            f"dataset.root = {config.home} has versions: set versions.enabled = true, or choose another root"
        )
    if config.versions.enabled and (config.home / "ledger").is_dir():
        raise ConfigError(
            f"dataset.root = {config.home} is a dataset without versions: choose another root, or set "
            "versions.enabled = false"
        )


def _retry(config: Config) -> tuple[str, ...]:
    return (f"{forget_unreadable(config)} blocks with unreadable files are tried again",)


def _forget_served(root: Place) -> None:
    """A build that was killed between serving a version and saying so left a note."""
    note = unfinished(root)
    if note and note.version == latest(root):
        finish(root)


def _previous(root: Place) -> str:
    served = latest(root)
    older = [v for v in versions(root) if served and v < served and is_complete(root, v)]
    if not older:
        raise StoreError(f"{root} has no complete version before {served}, the served one")
    return older[-1]


def _serve_next(config: Config, version: str, served: str | None, moment: datetime) -> tuple[str, ...]:
    """Serve a complete version, unless it lies too far from the served one; what to tell people."""
    root = config.home
    told = [f"version {version} is served"]
    if served:
        change = diff(version_place(root, served), version_place(root, version))
        if reasons := exceeded(change, config.versions):
            raise UnservedError(_unserved(root, version, served, reasons))
        told += change.lines()
    serve(root, version)
    finish(root)
    gone = prune(root, moment, config.versions)
    return (*told, *([f"old versions removed: {', '.join(gone)}"] if gone else []))


def _unserved(root: Place, version: str, served: str, reasons: Sequence[str]) -> str:
    return (
        f"version {version} is complete but not served, {served} still is: {'; '.join(reasons)}. Look at "
        f"`ssl4eco versions diff {root}`. If it is right, raise the limit in [versions] and build again, or "
        f"`ssl4eco versions publish {root} {version}`; if not, mend the cause, "
        f"`ssl4eco versions drop {root} {version}`, and build again"
    )
