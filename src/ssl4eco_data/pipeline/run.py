"""The whole way: do what is pending stage by stage, alone, within the budget, and record the run.

:func:`build` holds the order of the work. How the blocks of one stage are spread is the caller's: threads
of this process (:func:`~ssl4eco_data.pipeline.attempts.run_in_threads`, ``ssl4eco build``) or Prefect tasks
(``flows/``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

from filelock import FileLock, Timeout

from ssl4eco_data.archives.flow_control import add_traffic, drain
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, PausedError, StoreError
from ssl4eco_data.pipeline.attempts import BuildError, raise_failed
from ssl4eco_data.pipeline.budget import Budget
from ssl4eco_data.pipeline.listed import check_form
from ssl4eco_data.pipeline.record import Result, RunRecord
from ssl4eco_data.pipeline.stage import Stage, Work, drop_surplus, pending
from ssl4eco_data.pipeline.stages import STAGES
from ssl4eco_data.store import Ledger, ObjectPath, clean_temporary, leased
from ssl4eco_data.store.objects import Place

RunStage = Callable[[Config, Stage, Sequence[Work]], Sequence[Result]]
Clock = Callable[[], datetime]


def first_pending(config: Config) -> str | None:
    """The first stage with something to do, ``None`` when the dataset is complete."""
    for stage in STAGES:
        try:
            if pending(config, stage):
                return stage.name
        except (FileNotFoundError, NotADirectoryError):
            return stage.name
    return None


def build(
    config: Config,
    run_stage: RunStage,
    clock: Clock = lambda: datetime.now(UTC),
    *,
    until: str = STAGES[-1].name,
) -> RunRecord:
    """Do every pending block of every stage in order up to ``until``, and return what was done.

    Raises :class:`BuildError` after the first stage with failed blocks, naming them and the way on; what
    is done stays done, and the same command continues there. Raises :class:`~ssl4eco_data.errors.PausedError`
    when ``run.budget`` is spent. An unknown stage and a file that is no list of images are ``ConfigError``s.
    """
    root, wanted = config.root, _stages_until(until)
    check_form(config)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make dataset.root {root}: {error.strerror}; choose another root") from error
    record, budget = RunRecord(started=clock()), Budget(config)
    with alone(root) as fence:
        config = config.fenced(fence)
        clean_temporary(root)
        try:
            for stage in wanted:
                _do_stage(config, stage, run_stage, record, budget, clock)
                if stage.name == "check":
                    record.write(config.root, clock())
        finally:
            if record.stages:
                record.write(config.root, clock())
    return record


def _stages_until(last: str) -> tuple[Stage, ...]:
    names = [stage.name for stage in STAGES]
    if last not in names:
        raise ConfigError(f"there is no stage {last!r}; the stages are: {', '.join(names)}")
    return STAGES[: names.index(last) + 1]


@contextmanager
def alone(root: Place) -> Iterator[str]:
    """Refuse a second build of the same dataset: by a lock on this machine, which ends with its process.

    On an object store by a lease, whose fence is given.
    """
    if isinstance(root, ObjectPath):
        with leased(root) as mine:
            yield mine.fence
        return
    path = root / "runs" / ".lock"
    path.parent.mkdir(exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield ""
    except Timeout:
        raise BuildError(f"another build works on {root}; wait for it or stop it, then try again") from None


def _do_stage(
    config: Config, stage: Stage, run_stage: RunStage, record: RunRecord, budget: Budget, clock: Clock
) -> None:
    drop_surplus(config, stage)
    todo = pending(config, stage)
    if not todo:
        return
    record.begin(stage, len(todo), clock())
    record.write(config.root, clock())
    start = perf_counter()
    results, here = _do_batches(config, stage, run_stage, todo, budget)
    if results:
        record.add(stage, results, perf_counter() - start, here)
    raise_failed(stage, results)
    if len(results) < len(todo):
        raise PausedError(budget.message(stage.name, len(todo) - len(results)))


def _do_batches(
    config: Config, stage: Stage, run_stage: RunStage, todo: Sequence[Work], budget: Budget
) -> tuple[list[Result], Mapping[str, Traffic]]:
    """(results of the blocks that the budget allows, traffic of this process); ends early at a failure."""
    results: list[Result] = []
    here: Mapping[str, Traffic] = {}
    drain()
    while batch := budget.affordable(stage.name, todo[len(results) :]):
        done = run_stage(config, stage, batch)
        news = drain()
        budget.spend(stage.name, batch, add_traffic([news, *(r.traffic for r in done)]))
        here = add_traffic([here, news])
        results += done
        if len(results) == len(todo) or any(r.error for r in done):
            break
    return results, here


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """How far a stage is: its blocks (None before the stages that it waits for) and those left to do."""

    name: str
    unit: str
    blocks: int | None = None
    left: int | None = None

    def __str__(self) -> str:
        if self.left is None:
            return "waits for an earlier stage"
        return f"{self.left} of {self.blocks} {self.unit} pending" if self.left else "done"


def status(config: Config) -> Iterator[StageState]:
    """Every stage in order."""
    for stage in STAGES:
        try:
            blocks, left = len(stage.blocks(config)), len(pending(config, stage))
        except (FileNotFoundError, NotADirectoryError):
            yield StageState(name=stage.name, unit=stage.unit)
        else:
            yield StageState(name=stage.name, unit=stage.unit, blocks=blocks, left=left)


def unreadable(config: Config) -> list[tuple[str, int]]:
    """(stage, block) of those with files that could not be read."""
    ledger = Ledger(config.root)
    marks = (ledger.read(stage.name, b) for stage in STAGES for b in ledger.blocks(stage.name))
    return [(mark.stage, mark.block) for mark in marks if mark and mark.counts.get("unreadable")]


def forget_unreadable(config: Config) -> int:
    """Take back the marks of blocks with files that could not be read, so that they are tried again."""
    found = unreadable(config)
    for stage, block in found:
        Ledger(config.root).remove(stage, block)
    return len(found)
