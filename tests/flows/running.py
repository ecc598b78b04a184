"""How the tests run a flow: in a process of its own, which tells where it was when it took too long."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PATIENCE_S = 900.0
"""Machines stand still for minutes now and then; a hang is told by the stacks of its threads, later."""


def run_flow(path: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The dataset flow of a configuration, to its end; the stacks of its threads when that does not come."""
    command = [sys.executable, "-X", "faulthandler", "-m", "flows.dataset", str(path)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        out, errors = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, errors = process.communicate()
        pytest.fail(f"no end within {PATIENCE_S:.0f} s\n{out[-2000:]}\n{errors[-12000:]}")
    return subprocess.CompletedProcess(command, process.returncode, out, errors)
