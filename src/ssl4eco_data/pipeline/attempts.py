"""Blocks done in threads of this process, tried again after failures that may pass; what is left of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from ssl4eco_data.archives.flow_control import worth_waiting
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, Ssl4ecoError
from ssl4eco_data.pipeline.display import Bar
from ssl4eco_data.pipeline.record import Result
from ssl4eco_data.pipeline.stage import Stage, Work, execute
from ssl4eco_data.redaction import redacted

_MISTAKE = f"{ConfigError.__name__}: "
"""How :func:`describe` begins for a mistake of the user's, which no block is needed to tell."""
logger = logging.getLogger(__name__)


class BuildError(Ssl4ecoError):
    """Some blocks failed; what was done stays done."""


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


def raise_failed(stage: Stage, results: Sequence[Result]) -> None:
    """Nothing, when all blocks were done; :class:`BuildError` that names the causes, and their blocks.

    ``ConfigError`` where the only block met a mistake of the user's.
    """
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
