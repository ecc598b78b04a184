"""Dask clusters that someone else started: used, or refused for what they lack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from distributed import LocalCluster

from flows import dataset
from ssl4eco_data import config as configuration
from ssl4eco_data.errors import ConfigError
from tests.conftest import ROOT, write_tiny_config
from tests.flows.running import run_flow
from tests.pipeline.digests import digest


@contextmanager
def dask_elsewhere(folder: Path, env: dict[str, str]) -> Iterator[str]:
    """The address of a scheduler with two workers, in processes and a working directory of their own."""
    folder.mkdir()
    file = folder / "scheduler.json"
    told = ["--scheduler-file", str(file), "--no-dashboard"]
    with ExitStack() as stack:
        for name, *words in (
            ["scheduler", "--host", "127.0.0.1", "--port", "0"],
            ["worker", "--nthreads", "1", "--nworkers", "2"],
        ):
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            command = [sys.executable, "-m", f"distributed.cli.dask_{name}", *words, *told]
            process = subprocess.Popen(command, cwd=folder, env=env, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]


def test_a_scheduler_that_someone_else_started_elsewhere_does_the_work(
    tmp_path: Path, env: dict[str, str], tiny_archive: Path, built_config: Path
) -> None:
    with dask_elsewhere(tmp_path / "elsewhere", env) as address:
        path = write_tiny_config(tmp_path, tiny_archive)
        path.write_text(path.read_text() + f'task_runner = "{address}"\n')
        done = run_flow(path, env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digest(tmp_path / "dataset") == digest(built_config.parent / "dataset")


DESERTED = """
import os
from distributed import LocalCluster
from prefect import flow, task
from prefect_dask.task_runners import DaskTaskRunner
from flows import dataset

dataset.GLANCE_S, dataset.DESERTED_S = 0.2, 1.0

with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:

    @flow(task_runner=DaskTaskRunner(address=cluster.scheduler_address))
    def run():
        list(dataset._as_they_end([task(os.path.basename).submit("a/b")]))

    try:
        run()
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_cluster_without_workers_left_is_not_waited_for_for_ever(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DESERTED], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
    )
    assert "Ssl4ecoError the Dask cluster has had no workers for 1 s, 1 blocks wait" in done.stdout, (
        done.stderr
    )


def test_an_absent_scheduler_is_named_before_any_flow_starts(
    tmp_path: Path, tiny_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "CONNECT_TIMEOUT_S", 1)
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(path.read_text() + 'task_runner = "tcp://127.0.0.1:9"\n')
    with (
        pytest.raises(ConfigError, match=r"run\.task_runner = 'tcp://127\.0\.0\.1:9': no Dask scheduler"),
        dataset.task_runner(configuration.load(path)),
    ):
        pass


def test_more_workers_than_said_are_refused() -> None:
    with LocalCluster(
        n_workers=3, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        dataset._refuse_unfit(cluster.scheduler_address, 3)
        with pytest.raises(ConfigError, match=r"has 3 workers.*set run\.workers = 3"):
            dataset._refuse_unfit(cluster.scheduler_address, 2)


def test_a_scheduler_without_workers_is_refused_instead_of_waited_for() -> None:
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(ConfigError, match=r"has no workers.*start 2"),
    ):
        dataset._refuse_unfit(cluster.scheduler_address, 2)
