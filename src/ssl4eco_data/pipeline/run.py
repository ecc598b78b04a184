"""The whole way: prepare the archive, do what is pending stage by stage, record the run, write the page.

:func:`build` holds the order of the work. How the blocks of one stage are spread is the caller's: threads
of this process (:func:`run_in_threads`, ``ssl4eco build``) or Prefect tasks (``flows/``).
"""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from time import perf_counter
from typing import Any

from filelock import FileLock, Timeout
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from ssl4eco_data.archives.flow_control import add_traffic, drain, worth_waiting
from ssl4eco_data.archives.window import Traffic
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, PausedError, Ssl4ecoError, StoreError
from ssl4eco_data.pipeline.budget import Budget
from ssl4eco_data.pipeline.display import Bar
from ssl4eco_data.pipeline.listed import check_form
from ssl4eco_data.pipeline.stage import Stage, Work, drop_surplus, execute, pending
from ssl4eco_data.pipeline.stages import STAGES
from ssl4eco_data.redaction import redacted
from ssl4eco_data.store import Ledger, Mark, ObjectPath, clean_temporary, leased, write_atomic
from ssl4eco_data.store.objects import Place

_MISTAKE = f"{ConfigError.__name__}: "
"""How :func:`describe` begins for a mistake of the user's, which no block is needed to tell."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one block ended: its mark, or the error that is left after all retries.

    ``traffic`` is what another process counted, by server; this process's own is taken by :func:`build`.
    """

    work: Work
    mark: Mark | None = None
    error: str = ""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)


RunStage = Callable[[Config, Stage, Sequence[Work]], Sequence[Result]]


class BuildError(Ssl4ecoError):
    """Some blocks failed; what was done stays done."""


@dataclass(slots=True, kw_only=True)
class RunRecord:
    """What happened in one run, written to ``runs/``."""

    started: datetime
    stages: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, stage: Stage, results: Sequence[Result], seconds: float, here: Mapping[str, Traffic]
    ) -> None:
        """Note one stage's results; ``here`` is the traffic of this process."""
        traffic = add_traffic([here, *(r.traffic for r in results)])
        self.stages.append(
            {
                "stage": stage.name,
                "blocks": len(results),
                "seconds": round(seconds, 3),
                "counts": add_counts([r.mark for r in results if r.mark]),
                "traffic": {server: asdict(counted) for server, counted in traffic.items()},
                "failures": [{"block": r.work.block, "error": r.error} for r in results if r.error],
            }
        )

    def write(self, root: Place, finished: datetime) -> Place:
        """Write the record beside the data and return its path."""
        path = root / "runs" / f"{self.started:%Y%m%dT%H%M%S%fZ}.json"
        record = {
            "started": self.started.isoformat(),
            "finished": finished.isoformat(),
            "seconds": round((finished - self.started).total_seconds(), 3),
            "ssl4eco_data": version("ssl4eco-data"),
            "python": platform.python_version(),
            "stages": self.stages,
        }
        write_atomic(path, json.dumps(record, indent=1).encode())
        return path


def add_counts(marks: Sequence[Mark]) -> dict[str, int]:
    """Counts of several blocks added up."""
    total: dict[str, int] = {}
    for mark in marks:
        for name, count in mark.counts.items():
            total[name] = total.get(name, 0) + count
    return total


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
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
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
                _do_stage(config, stage, run_stage, record, budget)
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


def _do_stage(config: Config, stage: Stage, run_stage: RunStage, record: RunRecord, budget: Budget) -> None:
    drop_surplus(config, stage)
    todo = pending(config, stage)
    if not todo:
        return
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


def raise_failed(stage: Stage, results: Sequence[Result]) -> None:
    failed = [r for r in results if r.error]
    if len(results) == 1 and failed and failed[0].error.startswith(_MISTAKE):
        raise ConfigError(failed[0].error.removeprefix(_MISTAKE))
    if failed:
        blocks: dict[str, list[int]] = {}
        for result in failed:
            blocks.setdefault(result.error, []).append(result.work.block)
        lines = "\n".join(f"  {_named(numbers)}: {error}" for error, numbers in list(blocks.items())[:10])
        more = f"\n  and {len(blocks) - 10} other causes" if len(blocks) > 10 else ""
        raise BuildError(
            f"{len(failed)} of {len(results)} blocks of stage {stage.name} failed:\n{lines}{more}\n"
            "What is done is kept; the same command continues with these blocks."
        )


def _named(blocks: Sequence[int]) -> str:
    shown = ", ".join(map(str, blocks[:5])) + (f" and {len(blocks) - 5} more" if len(blocks) > 5 else "")
    return f"block{'s' if len(blocks) > 1 else ''} {shown}"


def is_transient(error: BaseException) -> bool:
    """Whether trying the block again may help; not soon, when the archive is gone or wants a long pause."""
    return worth_waiting(error)


def attempt(config: Config, stage: Stage, work: Work) -> Result:
    """One block done, tried again after transient failures; raises the last of them, and any other."""
    retrying = Retrying(
        retry=retry_if_exception(is_transient),
        stop=stop_after_attempt(config.run.retries + 1),
        wait=wait_fixed(config.run.retry_delay_s),
        reraise=True,
    )
    return Result(work=work, mark=retrying(execute, config, stage, work))


def run_in_threads(config: Config, stage: Stage, todo: Sequence[Work]) -> list[Result]:
    """Do the blocks in threads of this process; Ctrl-C leaves the running ones and starts no more."""

    with Bar(stage.title, len(todo), stage.unit) as bar, _pool(config.run.workers) as pool:
        futures = [pool.submit(attempt, config, stage, work) for work in todo]
        for future in as_completed(futures):
            bar.advance(failed=future.exception() is not None)
    return [_result(work, future) for work, future in zip(todo, futures, strict=True)]


def _result(work: Work, future: Future[Result]) -> Result:
    error = future.exception()
    return future.result() if error is None else failure(work, error)


def failure(work: Work, error: BaseException) -> Result:
    """The result of a block that failed; what is no error of ours is logged with its traceback."""
    if not isinstance(error, (Ssl4ecoError, OSError)):
        logger.error("stage %s, block %d", work.stage, work.block, exc_info=error)
    return Result(work=work, error=describe(error))


def describe(error: BaseException) -> str:
    """One line for people, without secrets."""
    return redacted(f"{type(error).__name__}: {error}")


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def status(config: Config) -> Iterator[str]:
    """One line per stage: done, pending, or waiting for an earlier one."""
    for stage in STAGES:
        try:
            total, left = len(stage.blocks(config)), len(pending(config, stage))
        except (FileNotFoundError, NotADirectoryError):
            yield f"{stage.title:<12} waits for an earlier stage"
            continue
        state = "done" if not left else f"{left} of {total} {stage.unit} pending"
        yield f"{stage.title:<12} {state}"


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
