"""Signals: what a run notes, and when a process among several ends by itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from ssl4eco_training.stopping import EXIT_AGAIN, Asked, exit_status, watched


@pytest.fixture(params=["1", "2"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("WORLD_SIZE", request.param)
    return int(request.param)


@pytest.mark.usefixtures("world")
def test_a_signal_is_noted_and_everything_is_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    with watched() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(fd) == fd
    assert not [thread for thread in threading.enumerate() if thread.name == "ssl4eco-signals"]


def test_only_one_of_several_processes_is_watched(world: int) -> None:
    with watched():
        watching = [thread for thread in threading.enumerate() if thread.name == "ssl4eco-signals"]
    assert len(watching) == world - 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_lives_on_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with watched():
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_process_stands_when_no_step_ends_in_twice_the_longest() -> None:
    asked = Asked()
    asked.moved()
    time.sleep(0.2)
    asked.moved()  # a step of 0.2 s
    begun = time.monotonic()
    assert asked.stands(0.01)
    assert time.monotonic() - begun >= 0.4


def test_a_process_that_moves_or_is_over_does_not_stand() -> None:
    asked = Asked()
    timer = threading.Timer(0.05, lambda: asked.moved(over=True))
    timer.start()
    assert not asked.stands(60)
    timer.join()


def test_the_first_process_asks_for_another_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [exit_status(n) for n in (0, signal.SIGTERM, signal.SIGUSR1)] == [0, 0, EXIT_AGAIN]
    monkeypatch.setenv("SSL4ECO_REQUEUE_FILE", str(tmp_path / "again"))
    for rank, there in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        assert exit_status(signal.SIGUSR1) == 0
        assert (tmp_path / "again").exists() is there
