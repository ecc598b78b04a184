"""Mending a dataset: what a check finds damaged is done again, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter

from ssl4eco_data.archives.flow_control import drain
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.pipeline.attempts import raise_failed
from ssl4eco_data.pipeline.kept import keeping
from ssl4eco_data.pipeline.patches import cut_patches
from ssl4eco_data.pipeline.record import RunRecord
from ssl4eco_data.pipeline.run import RunStage, alone
from ssl4eco_data.pipeline.stage import CLOSING, Outcome, Stage, Work, drop_surplus, pending, plan
from ssl4eco_data.pipeline.stages import STAGES
from ssl4eco_data.store import Ledger, Mark, Problem, check, clean_temporary, file_record, remove
from ssl4eco_data.store.check import BEYOND, marked
from ssl4eco_data.store.versions import latest, unfinished

Block = tuple[str, int]
"""(stage, number)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was wrong, and the blocks that were done again for it."""

    problems: tuple[Problem, ...]
    redone: tuple[Block, ...] = ()


def repair_versions(
    config: Config, run_stage: RunStage, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dict[str, Repair]:
    """What :func:`repair` did, by version: of the one being built, then of the served one.

    Without versions of the dataset itself, under an empty name. Versions made from the served one share its
    files, so a damage that it had before them is theirs too; each that is mended gets a file of its own, and
    no other version is written to. Raises as :func:`repair`, and :class:`~ssl4eco_data.errors.StoreError`
    where there is no version yet.
    """
    if not config.versions.enabled:
        return {"": repair(config, run_stage, clock)}
    if latest(config.home) is None and unfinished(config.home) is None:
        raise StoreError(f"{config.home} has no version to repair: build it first")
    with alone(config.home):
        wanted = [config.of_version(version) for version in _repairable(config)]
        return {each.version: repair(each, run_stage, clock) for each in wanted}


def _repairable(config: Config) -> list[str]:
    """The version being built, once anything of it is done and it has all that it began from; the served."""
    note, served = unfinished(config.home), latest(config.home)
    begun = note is not None and note.seeded and Ledger(config.of_version(note.version).root).stages()
    found = [note.version] if note and begun else []
    return [*found, *([served] if served and served not in found else [])]


def repair(
    config: Config, run_stage: RunStage, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Repair:
    """Check a dataset, do its damaged blocks again in order, and check these.

    Of a damaged shard only the patches that cannot be read any more are fetched from the archive, if the
    shard made of them and the others has the checksum that it had; else the whole block. Blocks that were not
    done yet stay so. Raises :class:`~ssl4eco_data.errors.ConfigError` when the configuration is not the
    one that the dataset was built with, :class:`~ssl4eco_data.pipeline.BuildError` when blocks fail,
    :class:`~ssl4eco_data.errors.StoreError` when something is still wrong afterwards.
    """
    with alone(config.root) as fence:
        config = config.fenced(fence)
        clean_temporary(config.root)
        problems = check(config.root)
        if not problems:
            return Repair(problems=())
        damaged = {(p.stage, p.block) for p in problems}
        _refuse_another(config, damaged)
        for problem in problems:
            if problem.what == BEYOND:
                remove(config.root / problem.file)
        record = RunRecord(started=clock())
        redone = _redo(config, run_stage, damaged, record)
        record.write(config.root, clock())
        left = check(config.root, only=redone)
    if left:
        raise StoreError(
            "still wrong after the repair: "
            + "; ".join(map(str, left))
            + "; check the disk, then repair again or build into another root"
        )
    return Repair(problems=tuple(problems), redone=tuple(redone))


def _refuse_another(config: Config, damaged: Collection[Block]) -> None:
    """ConfigError where blocks are of another configuration, as far as one can tell: up to the damage."""
    ledger = Ledger(config.root)
    for stage in STAGES:
        if stage.name == CLOSING:  # it and what follows may differ in what decides no data
            return
        try:
            works = plan(config, stage)
        except (FileNotFoundError, NotADirectoryError, StoreError):
            return
        marks = [(work, ledger.read(work.stage, work.block)) for work in works]
        stale = sum(mark is not None and mark.fingerprint != work.fingerprint for work, mark in marks)
        if stale:
            raise ConfigError(
                f"{config.root} was built with another configuration: {stale} blocks of stage {stage.name} "
                "would differ; repair with the one it was built with (config.toml beside the data), or build"
            )
        if any((work.stage, work.block) in damaged for work in works):
            return


def _redo(config: Config, run_stage: RunStage, damaged: Collection[Block], record: RunRecord) -> list[Block]:
    """Do the damaged blocks again, and those that were done and that a change of these made stale."""
    before = {*marked(config.root), *damaged}
    redone: list[Block] = []
    for stage in STAGES:
        try:
            drop_surplus(config, stage)
            todo = _todo(config, stage, damaged, before)
        except (FileNotFoundError, NotADirectoryError):
            break  # the build has not come so far
        if not todo:
            continue
        drain()
        start = perf_counter()
        results = run_stage(config, _sparing(config, stage), todo)
        record.add(stage, results, perf_counter() - start, drain())
        raise_failed(stage, results)
        redone += [(work.stage, work.block) for work in todo]
    for stage_name, block in set(damaged) - set(redone):
        Ledger(config.root).remove(stage_name, block)  # of a block, or a stage, that there is not
    return redone


def _todo(
    config: Config, stage: Stage, damaged: Collection[Block], before: Collection[Block]
) -> Sequence[Work]:
    stale = {(work.stage, work.block) for work in pending(config, stage)} & set(before)
    return [w for w in plan(config, stage) if (w.stage, w.block) in stale | set(damaged)]


def _sparing(config: Config, stage: Stage) -> Stage:
    """The stage of patches reading from the archive only what its shards have lost; others as they are."""
    if stage.name != "patches":
        return stage
    ledger = Ledger(config.root)
    marks: Mapping[int, Mark | None] = {b: ledger.read(stage.name, b) for b in stage.blocks(config)}

    def run(config: Config, block: int) -> Outcome:
        mark = marks[block]
        if mark is not None:
            outcome = cut_patches(config, keeping(open_archive(config), config, block), block)
            if tuple(file_record(config.root, path) for path in outcome.files) == mark.files:
                return outcome
        return stage.run(config, block)

    return replace(stage, run=run)
