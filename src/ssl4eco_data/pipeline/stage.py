"""What a stage is, which of its blocks are pending, and how one block is done and marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl4eco_data.config import Config
from ssl4eco_data.pipeline.tables import PATCHES
from ssl4eco_data.store import Ledger, Mark, file_record, fingerprint, remove, unfinish
from ssl4eco_data.store.objects import Place

CLOSING = "close"
"""The stage that finishes a dataset for its readers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one block left behind: files inside the dataset's folder, and counts for people."""

    files: tuple[Place, ...]
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One arrow of the pipeline.

    ``parameters`` and ``inputs`` are what its result depends on besides ``version``: they make the
    fingerprint that decides whether a block is stale. ``run`` does one block and may be called again at
    any time: it gives the same bytes. ``leaves`` are files, relative to the dataset, that must be there
    though no checksum of them is kept. What a ``served`` stage writes is read through the closed dataset.
    """

    name: str
    version: int
    title: str
    unit: str
    parameters: Callable[[Config], Any]
    blocks: Callable[[Config], Sequence[int]]
    inputs: Callable[[Config, int], Any]
    run: Callable[[Config, int], Outcome]
    leaves: tuple[str, ...] = ()
    served: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One block of one stage, with the fingerprint it will be marked with."""

    stage: str
    block: int
    fingerprint: str


def plan(config: Config, stage: Stage) -> list[Work]:
    """Every block of a stage. The stages before it must be done."""
    parameters = stage.parameters(config)
    return [_work(config, stage, block, parameters) for block in stage.blocks(config)]


def is_valid(config: Config, stage: Stage, block: int) -> bool:
    """Whether one block is done as the configuration would have it done now."""
    try:
        work = _work(config, stage, block, stage.parameters(config))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return Ledger(config.root).is_done(stage.name, block, work.fingerprint)


def _work(config: Config, stage: Stage, block: int, parameters: Any) -> Work:
    made_of = fingerprint(stage.name, stage.version, parameters, stage.inputs(config, block))
    return Work(stage=stage.name, block=block, fingerprint=made_of)


def pending(config: Config, stage: Stage) -> list[Work]:
    """The blocks of a stage that have no valid mark in the ledger."""
    ledger = Ledger(config.root)
    works = plan(config, stage)
    if not all((config.root / name).is_file() for name in stage.leaves):
        return works
    return [w for w in works if not ledger.is_done(w.stage, w.block, w.fingerprint)]


def drop_surplus(config: Config, stage: Stage) -> None:
    """Remove the marks and files of blocks that the stage no longer has."""
    ledger, wanted = Ledger(config.root), set(stage.blocks(config))
    for block in ledger.blocks(stage.name):
        if block not in wanted:
            mark = ledger.read(stage.name, block)
            ledger.remove(stage.name, block)
            for record in mark.files if mark else ():
                remove(config.root / record.path)


def execute(config: Config, stage: Stage, work: Work) -> Mark:
    """Do one block and mark it done. Whatever kills it leaves the block pending: its old mark goes first.

    Where a served block will differ, the dataset is not finished until it is closed again: readers would see
    new patches under the labels of old ones.
    """
    ledger = Ledger(config.root)
    old = ledger.read(work.stage, work.block)
    if stage.served and (old is None or old.fingerprint != work.fingerprint):
        ledger.remove(CLOSING, 0)
        unfinish(config.root / PATCHES)
    ledger.remove(work.stage, work.block)
    outcome = stage.run(config, work.block)
    mark = Mark(
        stage=work.stage,
        block=work.block,
        fingerprint=work.fingerprint,
        files=tuple(file_record(config.root, path) for path in outcome.files),
        counts=dict(outcome.counts),
    )
    ledger.write(mark)
    return mark
