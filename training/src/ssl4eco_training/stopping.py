"""Signals that ask a run to stop: SIGTERM (spot machines, Slurm's end) and SIGUSR1 (Slurm's notice)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_AGAIN = 75
"""Exit status after SIGUSR1: saved, to be started again (EX_TEMPFAIL of sysexits.h)."""


class Asked:
    """The last signal that asked for a stop; 0 while none did."""

    def __init__(self) -> None:
        self.signal = 0


@contextmanager
def watched() -> Iterator[Asked]:
    """Note SIGTERM and SIGUSR1 instead of dying of them; the handlers of before come back at the end.

    Outside the main thread, where Python has no handlers, nothing is noted.
    """
    asked = Asked()

    def note(number: int, _frame: FrameType | None) -> None:
        asked.signal = number

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(number: int) -> int:
    """The exit status of a run that stopped for a signal (0: for none)."""
    return EXIT_AGAIN if number == signal.SIGUSR1 else 0
