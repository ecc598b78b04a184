"""How far a build is, told from the dataset's folder alone: its ledger and the record of its newest run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.files import parts_in
from ssl4eco_data.store.ledger import Ledger
from ssl4eco_data.store.objects import ObjectPath, Place, place_of
from ssl4eco_data.store.versions import unfinished, version_place

THREADS = 16
"""Marks read at a time, for object stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """A stage at work since ``since``: blocks that were to do, done since, and the time of the last."""

    stage: str
    since: datetime
    blocks: int
    done: int
    last: datetime | None

    @property
    def left(self) -> int:
        """Blocks still to do."""
        return max(0, self.blocks - self.done)

    @property
    def blocks_per_hour(self) -> float | None:
        """Rate from the beginning of the stage to its last block; None before there is one."""
        spent = self.last - self.since if self.last else timedelta()
        return 3600 * self.done / spent.total_seconds() if spent > timedelta() else None

    @property
    def hours_left(self) -> float | None:
        """At that rate; None where there is none."""
        return self.left / self.blocks_per_hour if self.blocks_per_hour else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A build as its newest run left it.

    ``working`` is None between stages and after the run. ``rates`` are blocks per hour of the stages that the
    run finished, ``unreadable`` counts files by stage, ``failed`` blocks by stage and kind of error.
    """

    started: datetime
    working: Working | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """All of it, for programs; what follows from the fields is there too."""
        found = asdict(self)
        if now := self.working:
            rest = {"left": now.left, "blocks_per_hour": now.blocks_per_hour, "hours_left": now.hours_left}
            found["working"] |= rest
        return found

    def lines(self) -> Iterator[tuple[str, str]]:
        """Names and values for people."""
        yield "run", f"began {self.started:%Y-%m-%d %H:%M} UTC"
        if now := self.working:
            yield "at work", f"{now.stage}: {now.done} of {now.blocks} blocks done, {now.left} left"
            if now.last:
                yield "last block", f"{now.last:%Y-%m-%d %H:%M:%S} UTC"
            if now.blocks_per_hour:
                yield "rate", f"{now.blocks_per_hour:,.1f} blocks/h, so {now.hours_left:.1f} h for this stage"
        if self.rates:
            yield "finished", ", ".join(f"{stage} {rate:,.0f} blocks/h" for stage, rate in self.rates.items())
        for stage, count in self.unreadable.items():
            yield "unreadable", f"{stage} {count} (build --retry-unreadable tries them again)"
        for stage, kinds in self.failed.items():
            told = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
            yield "failed", f"{stage} {told} (the same build command tries these blocks again)"


def under_way(address: str) -> Progress | None:
    """The build of the dataset at an address, or of its next version; None where none is unfinished."""
    root = place_of(address)
    note = unfinished(root)
    place = version_place(root, note.version) if note else root
    return None if Ledger(place).read("close", 0) else progress(place)


def progress(root: Place) -> Progress | None:
    """How far the newest run in the dataset at ``root`` is; None where there was no run.

    Raises :class:`~ssl4eco_data.errors.StoreError` for a record that cannot be read.
    """
    records = parts_in(root / "runs", ".json")
    if not records:
        return None
    try:
        record = json.loads(records[-1].read_bytes())
        working, stages = record.get("working"), record["stages"]
        return Progress(
            started=datetime.fromisoformat(record["started"]),
            working=_working(root, working) if working else None,
            rates={s["stage"]: 3600 * s["blocks"] / s["seconds"] for s in stages if s["seconds"]},
            unreadable=_unreadable(root),
            failed={s["stage"]: _kinds(s["failures"]) for s in stages if s["failures"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{records[-1]} is no record of a run ({error!r}): remove it") from error


def _working(root: Place, noted: Mapping[str, Any]) -> Working:
    since = datetime.fromisoformat(noted["since"])
    times = [time for time in _times(root / "ledger" / noted["stage"]) if time >= since]
    return Working(
        stage=noted["stage"],
        since=since,
        blocks=noted["blocks"],
        done=len(times),
        last=max(times, default=None),
    )


def _times(folder: Place) -> Iterator[datetime]:
    """When each mark was written; on an object store one listing tells."""
    if isinstance(folder, ObjectPath):
        found = [status.st_mtime_ns for _, status in folder.statuses()]
    else:
        found = [path.stat().st_mtime_ns for path in folder.glob("*.json")]
    return (datetime.fromtimestamp(ns / 1e9, UTC) for ns in found)


def _unreadable(root: Place) -> dict[str, int]:
    ledger, found = Ledger(root), Counter[str]()
    with ThreadPoolExecutor(THREADS) as pool:
        for stage in ledger.stages():
            for mark in pool.map(lambda block, stage=stage: ledger.read(stage, block), ledger.blocks(stage)):
                found[stage] += mark.counts.get("unreadable", 0) if mark else 0
    return {stage: count for stage, count in found.items() if count}


def _kinds(failures: list[dict[str, Any]]) -> dict[str, int]:
    """Failures by the name of the error, which each message begins with."""
    return dict(Counter(str(failure["error"]).partition(":")[0] for failure in failures).most_common())
