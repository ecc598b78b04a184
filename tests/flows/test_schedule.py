"""The schedule of prefect.yaml really fires: a server, a worker and some seconds on loopback."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from flows.serve import HOME, serving

WAIT_S = 600.0


@pytest.fixture
def api(finished_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with the monthly deployment and a copy of it that is due every 20 s."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "2")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    project = yaml.safe_load((HOME / "prefect.yaml").read_text())
    (monthly,) = project["deployments"]
    often = copy.deepcopy(monthly) | {"name": "often"}
    often["schedules"][0]["cron"] = "* * * * * */20"  # croniter's sixth field: seconds
    project["deployments"].append(often)
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(project))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(finished_config, port, tmp_path / "prefect.yaml") as env:
        yield env["PREFECT_API_URL"]


def runs_of(api: str, deployment: str) -> list[dict[str, Any]]:
    """The flow runs of a deployment, earliest first."""
    query = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 10}
    answer = httpx.post(f"{api}/flow_runs/filter", json=query, timeout=10)
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()
    return found


def test_cron_fires_and_the_flow_completes(api: str) -> None:
    deadline = time.monotonic() + WAIT_S
    done: list[dict[str, Any]] = []
    while not done and time.monotonic() < deadline:
        time.sleep(2)
        done = [r for r in runs_of(api, "often") if r["state_type"] in ("COMPLETED", "FAILED", "CRASHED")]
    assert done, f"nothing ran within {WAIT_S:g} s: {runs_of(api, 'minutely')[:2]}"
    assert done[0]["state_type"] == "COMPLETED", done[0]["state"]
    assert done[0]["auto_scheduled"]

    planned = [datetime.fromisoformat(r["expected_start_time"]) for r in runs_of(api, "monthly")]
    assert planned, "the scheduler planned no monthly run"
    assert all((at.day, at.hour, at.minute) == (1, 3, 0) for at in planned)
