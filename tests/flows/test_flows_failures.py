"""A flow that is interrupted, fails in part or spends its budget loses nothing, and the next goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flows import dataset
from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from tests.conftest import ROOT, write_tiny_config
from tests.flows.running import run_flow
from tests.pipeline.counting_server import serving, write_remote_catalogue
from tests.pipeline.digests import digest


def test_ctrl_c_ends_at_once_and_the_same_command_continues(
    tmp_path: Path, alone: dict[str, str], tiny_archive: Path, built_config: Path
) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    command = [sys.executable, "-m", "flows.dataset", str(path)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=alone,
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    locations = tmp_path / "dataset" / "locations.parquet"
    while process.poll() is None and not locations.exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert run_flow(path, alone).returncode == 0
    assert digest(tmp_path / "dataset") == digest(built_config.parent / "dataset")


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
