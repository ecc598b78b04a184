"""The Prefect flow does what the single process does: same bytes, on threads and on Dask."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows import dataset
from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.errors import ConfigError
from tests.conftest import ROOT, write_tiny_config
from tests.pipeline.counting_server import serving, write_remote_catalogue
from tests.pipeline.digests import digest


@pytest.fixture
def env(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Prefect of its own, without server, profile and settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_") and k != "DO_NOT_TRACK"}
    yield kept | {"PREFECT_HOME": str(tmp_path / "prefect")}


def run_flow(path: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.dataset", str(path)]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=300
    )


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


def test_telemetry_is_off_wherever_the_flow_runs(env: dict[str, str]) -> None:
    code = (
        "import flows.dataset; from prefect.settings import get_current_settings as s;"
        "from prefect._internal.analytics.enabled import is_telemetry_enabled as on;"
        "print(s().server.analytics_enabled, on())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_ctrl_c_ends_at_once_and_the_same_command_continues(
    tmp_path: Path, env: dict[str, str], tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    command = [sys.executable, "-m", "flows.dataset", str(path)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    locations = tmp_path / "dataset" / "locations.parquet"
    while process.poll() is None and not locations.exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert run_flow(path, env).returncode == 0
    assert digest(tmp_path / "dataset") == digest(built_config.parent / "dataset")


def test_a_finished_dataset_is_left_alone_without_a_server(
    finished_config: Path, env: dict[str, str]
) -> None:
    before = digest(finished_config.parent / "dataset")
    done = run_flow(finished_config, env)
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
    assert not (Path(env["PREFECT_HOME"]) / "prefect.db").exists()
    assert digest(finished_config.parent / "dataset") == before


def test_a_failing_block_names_itself_and_keeps_the_rest(
    tmp_path: Path, env: dict[str, str], tiny_archive: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    blocked = tmp_path / "dataset" / "scenes" / "choices" / "00001.parquet"
    blocked.mkdir(parents=True)  # a folder where the file must go
    done = run_flow(path, env)
    assert done.returncode == 1
    assert "1 of 3 blocks of stage scenes failed" in done.stderr
    assert "block 1" in done.stderr
    assert "Traceback" not in done.stderr.split("error: ")[-1]
    assert len(list((tmp_path / "dataset" / "ledger" / "scenes").glob("*.json"))) == 2

    blocked.rmdir()
    assert run_flow(path, env).returncode == 0


def test_a_flow_whose_budget_is_spent_pauses_and_the_next_goes_on(
    tmp_path: Path, env: dict[str, str], tiny_archive: Path
) -> None:
    path = write_tiny_config(tmp_path / "paused", tiny_archive)
    with serving(tiny_archive) as server:
        write_remote_catalogue(tiny_archive, server.url, tmp_path / "items.json")
        catalogue = f"{tiny_archive}/sentinel-2-l2a.json"
        text = path.read_text().replace(catalogue, str(tmp_path / "items.json"))
        path.write_text(f"{text}[run.budget]\nmax_requests = 60\n")
        paused = run_flow(path, env)
        assert paused.returncode == dataset.PAUSED, paused.stdout + paused.stderr
        assert "paused: the budget of this run is spent" in paused.stderr
        assert "of 60 requests" in paused.stderr
        assert "Traceback" not in paused.stderr
        path.write_text(text)
        done = run_flow(path, env)
        assert done.returncode == 0, done.stdout + done.stderr
        at_once = write_tiny_config(tmp_path / "at-once", tiny_archive)
        at_once.write_text(text)
        pipeline.build(configuration.load(at_once), pipeline.run_in_threads)
    assert digest(path.parent / "dataset") == digest(at_once.parent / "dataset")


def test_a_scheduler_that_someone_else_started_elsewhere_does_the_work(
    tmp_path: Path, env: dict[str, str], tiny_archive: Path, built_config: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    address_file = elsewhere / "scheduler.json"
    with ExitStack() as stack:
        for words in (
            [
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                address_file,
            ],
            [
                "worker",
                "--scheduler-file",
                address_file,
                "--nthreads",
                "1",
                "--nworkers",
                "2",
                "--no-dashboard",
            ],
        ):
            command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *map(str, words[1:])]
            process = subprocess.Popen(command, cwd=elsewhere, env=env, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        deadline = time.monotonic() + 60
        while not address_file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(address_file.read_text())["address"]
        path = write_tiny_config(tmp_path, tiny_archive)
        path.write_text(path.read_text() + f'task_runner = "{address}"\n')
        done = run_flow(path, env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digest(tmp_path / "dataset") == digest(built_config.parent / "dataset")


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
