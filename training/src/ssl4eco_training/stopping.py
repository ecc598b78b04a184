"""Signals that ask a run to stop: SIGTERM (spot machines, Slurm's end) and SIGUSR1 (Slurm's notice)."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

EXIT_AGAIN = 75
"""Exit status after SIGUSR1: saved, to be started again (EX_TEMPFAIL of sysexits.h)."""
GRACE_S = 120.0
"""A process that comes to no end of a step for so long after a signal waits for one that is gone."""
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_END = b"\0"
_LEFT = (
    "signal {}: no step has ended since, another process may be gone; the newest checkpoint remains if there "
    "is one, the same command goes on from it\n"
)


class Asked:
    """The last signal that asked for a stop; 0 while none did."""

    def __init__(self) -> None:
        self.signal = 0
        self._moved, self._over = threading.Event(), False
        self._then, self._longest_s = math.inf, 0.0  # what comes before the first step does not count

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.signal = number

    def moved(self, *, over: bool = False) -> None:
        """Say that the run goes on: a step, or all of it (``over``), has ended."""
        now = time.monotonic()
        self._longest_s, self._then = max(self._longest_s, now - self._then), now
        self._over = self._over or over
        self._moved.set()

    def stands(self, grace_s: float) -> bool:
        """Whether nothing moves for ``grace_s`` and twice the longest step; false when all is over."""
        while not self._over:
            self._moved.clear()
            if not self._over and not self._moved.wait(max(grace_s, 2 * self._longest_s)):
                return True
        return False


@contextmanager
def watched(grace_s: float = GRACE_S) -> Iterator[Asked]:
    """Note SIGTERM and SIGUSR1 instead of dying of them; the handlers of before come back at the end.

    Of several processes (``WORLD_SIZE``) one that stands still for ``grace_s`` after a signal writes a line
    and ends. Outside the main thread, where Python has no handlers, nothing is noted.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    with _watcher(asked, grace_s) if several else nullcontext():
        before = {number: signal.signal(number, asked.note) for number in _SIGNALS}
        try:
            yield asked
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _watcher(asked: Asked, grace_s: float) -> Iterator[None]:
    """A thread that hears signals while the main thread, which alone runs Python's handlers, waits for a
    process that is gone."""
    heard, told = os.pipe()
    os.set_blocking(told, False)
    watcher = threading.Thread(
        target=_watch, args=(heard, asked, grace_s), name="ssl4eco-signals", daemon=True
    )
    watcher.start()
    fd = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(fd)
        asked.moved(over=True)
        os.write(told, _END)  # a child forked in between may keep the pipe open
        watcher.join()
        os.close(told)
        os.close(heard)


def _watch(heard: int, asked: Asked, grace_s: float) -> None:
    """End the process when it stands still after a signal; return at ``_END``."""
    while (number := os.read(heard, 1)) != _END:
        if number[0] in _SIGNALS and asked.stands(grace_s):
            status = EXIT_AGAIN
            try:
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _LEFT.format(number[0]).encode())
                status = exit_status(number[0])
            finally:
                os._exit(status)


def exit_status(number: int) -> int:
    """The exit status of a run that stopped for a signal (0: for none).

    Slurm ends a step at a task that fails: where ``SSL4ECO_REQUEUE_FILE`` names a file, the first process
    makes it instead of ``EXIT_AGAIN``.
    """
    if number != signal.SIGUSR1:
        return 0
    told = os.environ.get("SSL4ECO_REQUEUE_FILE")
    if told and os.environ.get("RANK", "0") == "0":
        Path(told).touch()
    return 0 if told else EXIT_AGAIN
