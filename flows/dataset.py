"""The dataset flow: one parent, one sub-flow per stage, one task per block.

    python -m flows.dataset configs/demo.toml

Everything that decides what is done, and how, is in :mod:`ssl4eco_data.pipeline`; here it is spread,
retried and shown. Prefect's own cache is never asked: done is what the ledger says.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from prefect import Flow, Task, flow, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture, PrefectWrappedFuture
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from ssl4eco_data.archives.flow_control import drain, go_on, stop
from ssl4eco_data.config import Config, load
from ssl4eco_data.errors import ConfigError, PausedError, Ssl4ecoError
from ssl4eco_data.pipeline import (
    STAGES,
    Bar,
    Result,
    Stage,
    Work,
    at_version,
    being_built,
    build_version,
    describe,
    execute,
    is_current,
    is_transient,
    pending,
    prepare_archive,
    stage_named,
    summarise_dataset,
)
from ssl4eco_data.redaction import redacted

INTERRUPTED = threading.Event()
CONNECT_TIMEOUT_S = 15
GLANCE_S = 5.0
"""Who waits for blocks looks so often whether they can still end."""
DESERTED_S = 300.0
"""A cluster may be without workers for so long, as when a machine is replaced."""
PAUSED = 3
"""Exit code of a run whose budget is spent."""


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    INTERRUPTED.set()
    stop()  # the threads of a task runner are waited for at the end, and may be waiting for the archive
    raise KeyboardInterrupt


def _may_help(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry a block only when its failure was transient."""
    error = state.data if isinstance(state.data, BaseException) else state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


@task(name="block", task_run_name="{stage_name}-{work.block}", cache_policy=NO_CACHE, persist_result=False)
def do_block(config: Config, stage_name: str, work: Work) -> Result:
    """One block of one stage, with what its process counted of the archive's traffic."""
    mark = execute(config, stage_named(stage_name), work)
    return Result(work=work, mark=mark, traffic=drain())


def _result(work: Work, future: PrefectFuture[Result]) -> Result:
    outcome = future.result(raise_on_failure=False)
    return Result(work=work, error=describe(outcome)) if isinstance(outcome, BaseException) else outcome


def _spread(config: Config, stage: Stage, todo: Sequence[Work]) -> list[Result]:
    """Submit the blocks to the flow's task runner and wait for all of them."""
    one = do_block.with_options(
        retries=config.run.retries,
        retry_delay_seconds=config.run.retry_delay_s,
        retry_condition_fn=_may_help,
    )
    results: dict[PrefectFuture[Result], Result] = {}
    with Bar(stage.title, len(todo), stage.unit) as bar:
        futures = {one.submit(config, stage.name, work): work for work in todo}
        for future in _as_they_end(list(futures)):
            results[future] = _result(futures[future], future)
            bar.advance(failed=results[future].mark is None)
    return [results[future] for future in futures]


def _as_they_end(futures: Sequence[PrefectFuture[Result]]) -> Iterator[PrefectFuture[Result]]:
    """The futures in the order of their ends.

    Raises Ssl4ecoError when the cluster has had no workers for ``DESERTED_S``: Dask would wait for ever.
    """
    ended: queue.SimpleQueue[PrefectFuture[Result]] = queue.SimpleQueue()
    left, manned_s = set(futures), time.monotonic()
    for future in futures:
        future.add_done_callback(ended.put)
    while left:
        try:
            found = [ended.get(timeout=GLANCE_S)]
        except queue.Empty:
            found = [f for f in left if isinstance(f, PrefectWrappedFuture) and f.wrapped_future.done()]
            manned_s = time.monotonic() if _has_workers() else manned_s
            if not found and time.monotonic() - manned_s > DESERTED_S:
                raise Ssl4ecoError(
                    f"the Dask cluster has had no workers for {DESERTED_S:.0f} s, {len(left)} blocks wait: "
                    "start workers and run the same command, what is done is kept"
                ) from None
        for future in left.intersection(found):
            left.remove(future)
            yield future


def _has_workers() -> bool:
    """Whether the running flow's task runner has anyone to do its tasks; threads are always there."""
    context = FlowRunContext.get()
    client = getattr(context.task_runner, "client", None) if context else None
    return client is None or bool(client.nthreads())


def _stage_flow(stage: Stage) -> Flow[..., list[Result]]:
    """The sub-flow of one stage; it runs alone, too."""

    @flow(name=f"ssl4eco-{stage.name}", description=stage.run.__doc__, validate_parameters=False)
    def stage_flow(
        config_path: str, most: int | None = None, fence: str = "", version: str = ""
    ) -> list[Result]:
        config = being_built(load(Path(config_path)), version).fenced(fence)
        results = _spread(config, stage, pending(config, stage)[:most])
        rows = [
            {"block": r.work.block, "error": r.error} | dict(r.mark.counts if r.mark else {}) for r in results
        ]
        create_table_artifact(
            rows[:1000], key=f"ssl4eco-{stage.name}", description=f"Blocks of {stage.title}"
        )
        return results

    return stage_flow


STAGE_FLOWS = {stage.name: _stage_flow(stage) for stage in STAGES}


@contextmanager
def task_runner(config: Config) -> Iterator[TaskRunner[Any]]:
    """The task runner of the configuration; a local Dask cluster lives as long as the context."""
    kind = config.run.task_runner
    if kind == "threads":
        yield ThreadPoolTaskRunner(max_workers=config.run.workers)
        return
    import cloudpickle
    from distributed import LocalCluster
    from prefect_dask.task_runners import DaskTaskRunner

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    if kind != "dask":
        _refuse_unfit(kind, config.run.workers)
        yield DaskTaskRunner(address=kind)
        return
    with LocalCluster(
        n_workers=config.run.workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield DaskTaskRunner(address=cluster.scheduler_address)


def _refuse_unfit(address: str, workers: int) -> None:
    """Each worker process takes its share of the archive's limits, so there may not be more than said."""
    from distributed import Client

    try:
        with Client(address, timeout=CONNECT_TIMEOUT_S) as client:
            found = len(client.nthreads())
    except OSError as error:
        raise ConfigError(
            f"run.task_runner = {address!r}: no Dask scheduler answers within {CONNECT_TIMEOUT_S} s: {error}"
        ) from None
    if not found:
        raise ConfigError(
            f"run.task_runner = {address!r} has no workers, and the run would wait for them for ever: start "
            f"{workers}, as run.workers says"
        )
    if found > workers:
        raise ConfigError(
            f"run.task_runner = {address!r} has {found} workers, which share the archive's limits by "
            f"run.workers = {workers}: set run.workers = {found}"
        )


@flow(name="ssl4eco-dataset", validate_parameters=False)
def build_dataset(config_path: str) -> str | State[None]:
    """Build or continue the dataset of a configuration; returns the path of its page, or a state Paused."""
    config = load(Path(config_path))
    prepare_archive(config)
    with task_runner(config) as runner:

        def run_stage(mine: Config, stage: Stage, todo: Sequence[Work]) -> Sequence[Result]:
            one = STAGE_FLOWS[stage.name].with_options(task_runner=runner)
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):  # this flow's own beats on
                results = one(config_path, len(todo), mine.fence, mine.version)
            if INTERRUPTED.is_set():  # Prefect drops an interrupt that meets a sub-flow at its very end
                raise KeyboardInterrupt
            return results

        try:
            built = build_version(config, run_stage)
        except PausedError as pause:
            return Completed(name="Paused", message=str(pause))
    summary = summarise_dataset(built.config, built.record)
    create_markdown_artifact(summary.markdown(), key="ssl4eco-dataset", description=config.dataset.title)
    summary.show()
    for line in built.lines:
        print(line)
    return str(summary.page)


def start_server() -> str:
    """Address of the server: the configured one, else a temporary one that is started here.

    It is deaf to the terminal's Ctrl-C, because interrupted with this process it would be gone before the
    flow can end. Its address goes to the workers, or every Dask worker would start a server of its own.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True) as client:
            client.api_healthcheck()
            return str(client.api_url)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def main(arguments: Sequence[str]) -> int:
    """Build the dataset of the configuration named on the command line."""
    if len(arguments) != 1:
        print("usage: python -m flows.dataset CONFIG", file=sys.stderr)
        return 2
    try:
        config = load(Path(arguments[0]))
        if is_current(config):
            summarise_dataset(at_version(config), None).show()
        else:
            go_on()
            signal.signal(signal.SIGINT, _interrupt)
            with temporary_settings({PREFECT_API_URL: start_server()}):
                state = build_dataset(arguments[0], return_state=True)
                state.result()
            if state.name == "Paused":
                print(f"paused: {state.message}", file=sys.stderr)
                return PAUSED
    except (Ssl4ecoError, OSError) as error:
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what is done is kept, the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
