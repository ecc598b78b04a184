"""The Prefect flow does what the single process does: same bytes, on threads and on Dask."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, write_tiny_config
from tests.flows.running import run_flow
from tests.pipeline.digests import digest


@pytest.mark.parametrize("runner", ["threads", "dask"])
def test_flow_writes_the_same_bytes_as_the_single_process(
    runner: str, tmp_path: Path, env: dict[str, str], tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    path.write_text(path.read_text() + f'task_runner = "{runner}"\n')
    done = run_flow(path, env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seasons found" in done.stdout
    assert "index.html" in done.stdout
    assert digest(tmp_path / "dataset") == digest(built_config.parent / "dataset")


RETRIES = """
import flows.dataset
from prefect import flow, task
from ssl4eco_data.errors import ArchiveError

tries = []

@task(retries=2, retry_delay_seconds=0, retry_condition_fn=flows.dataset._may_help)
def shaky(transient):
    tries.append(transient)
    if tries.count(transient) < 3:
        raise ArchiveError("slow down", transient=transient)

@flow
def run():
    for transient in (True, False):
        shaky.submit(transient).wait()
    return None

run()
print(tries.count(True), tries.count(False))
"""


def test_prefect_tries_transient_failures_again_and_permanent_ones_not(env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RETRIES], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[-2:] == ["3", "1"], done.stderr


def test_telemetry_is_off_wherever_the_flow_runs(alone: dict[str, str]) -> None:
    code = (
        "import flows.dataset; from prefect.settings import get_current_settings as s;"
        "from prefect._internal.analytics.enabled import is_telemetry_enabled as on;"
        "print(s().server.analytics_enabled, on())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_a_finished_dataset_is_left_alone_without_a_server(
    finished_config: Path, alone: dict[str, str]
) -> None:
    before = digest(finished_config.parent / "dataset")
    done = run_flow(finished_config, alone)
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
    assert not (Path(alone["PREFECT_HOME"]) / "prefect.db").exists()
    assert digest(finished_config.parent / "dataset") == before
