"""The requests of this process to each server: how many at a time and a second, and what became of them."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field

from ssl4eco_data.archives.window import Budget, Health, Traffic, Window
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.types import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process may ask of one server."""

    in_flight: int = 20
    per_s: float = 100.0


class FlowParameters(Parameters):
    """How hard an archive is asked, by all processes of a run together; no part of it changes the data."""

    max_requests_in_flight: int = Field(
        default=32,
        ge=1,
        le=1000,
        description="requests at a time, of all processes together; fewer when throttled",
    )
    requests_per_s: float = Field(
        default=100.0, gt=0, description="requests that start in a second, of all processes together"
    )
    connect_timeout_s: float = Field(
        default=10.0, gt=0, description="a server that does not accept is given up"
    )
    read_timeout_s: float = Field(default=60.0, gt=0, description="a server that says nothing is given up")

    def share(self, processes: int) -> Self:
        """The parameters of one of ``processes`` equal ones; ValueError when there are more than requests."""
        if processes > self.max_requests_in_flight:
            raise ValueError(
                f"{processes} processes cannot share archive.max_requests_in_flight = "
                f"{self.max_requests_in_flight}: lower run.workers, or raise it if the archive's limit allows"
            )
        part = {
            "max_requests_in_flight": self.max_requests_in_flight // processes,
            "requests_per_s": self.requests_per_s / processes,
        }
        return self.model_copy(update=part)

    @property
    def limits(self) -> Limits:
        """For each server of the archive, by this process."""
        return Limits(in_flight=self.max_requests_in_flight, per_s=self.requests_per_s)


LONGEST_HOLD_S = 300.0
"""A server that wants a longer pause is not waited for; the block is done again later."""
_GLANCE_S = 0.5
"""Who waits looks up so often whether the run was stopped."""


class _Switch:
    """A flag without a lock: a signal handler may interrupt whoever holds one."""

    stopped = False


_SWITCH = _Switch()


def stop() -> None:
    """End all waits of this process and begin no request: nobody waits for the answers any more.

    Signal handlers may call it.
    """
    _SWITCH.stopped = True


def go_on() -> None:
    """Let requests be made again after :func:`stop`."""
    _SWITCH.stopped = False


def sleep(seconds: float) -> None:
    """Wait. Raises ArchiveError soon after :func:`stop`."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        if _SWITCH.stopped:
            raise ArchiveError("the archive is asked no more: the run was stopped", transient=True)
        time.sleep(min(left_s, _GLANCE_S))


def worth_waiting(error: BaseException) -> bool:
    """Whether another attempt may succeed soon: not after a stop, nor when a long pause was asked for."""
    passing = isinstance(error, ArchiveError) and error.transient and not _SWITCH.stopped
    return passing and (getattr(error, "retry_after_s", None) or 0.0) <= LONGEST_HOLD_S


class Lane:
    """One server's requests in this process; safe to use from threads, first come, first served.

    A *turn* is a piece of work with one or more requests one after the other; a *start* is one request.
    """

    def __init__(self, limits: Limits, name: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name or "the server"
        self._clock = clock
        self._window = Window(ceiling=limits.in_flight, size=limits.in_flight)
        self._budget = Budget(per_s=limits.per_s)
        self._health = Health()
        self._resume_s = clock()
        self._in_flight = 0
        self._traffic = self._told = Traffic()
        self._changed = threading.Condition()
        self._entering: deque[object] = deque()
        self._starting: deque[object] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits until the window has room, and learns from what becomes of the turn.

        A throttled ArchiveError shrinks the window, and stops the lane for as long as the server asked, up to
        ``LONGEST_HOLD_S``. One thread must not enter twice: with a window of one it would wait for itself.
        Raises ArchiveError at once while the server is gone (:class:`~ssl4eco_data.archives.window.Health`),
        but for one turn now and then.
        """
        began = self._enter()
        try:
            yield
        except BaseException as error:
            self._leave(began, error)
            raise
        self._leave(began, None)

    def start(self) -> None:
        """Waits until one more request may start, and counts it."""
        with self._changed:
            waited_s = self._wait(self._starting, self._start_in_s)
            self._budget = self._budget.spent(self._clock())
            self._traffic += Traffic(requests=1, waited_s=waited_s)

    def count(self, more: Traffic) -> None:
        """Adds to what was counted."""
        with self._changed:
            self._traffic += more

    def received(self, count_bytes: int) -> None:
        """Counts bytes of answers."""
        self.count(Traffic(received_bytes=count_bytes))

    @property
    def allowed(self) -> int:
        """Turns that may be taken at a time now."""
        return self._window.allowed

    @property
    def traffic(self) -> Traffic:
        """All that was counted in this process."""
        return self._traffic

    def drain(self) -> Traffic:
        """What was counted since the last call, so that sums over calls and processes count all once."""
        with self._changed:
            news, self._told = self._traffic - self._told, self._traffic
            return news

    def _enter(self) -> int:
        with self._changed:
            self._refuse_gone()
            self._wait(self._entering, self._room_in_s)
            self._in_flight += 1
            return self._window.round

    def _refuse_gone(self) -> None:
        now_s = self._clock()
        silent_s = self._health.silent_s(now_s)
        if not silent_s:
            return
        if now_s >= self._health.try_s:
            self._health = self._health.tried(now_s)
            return
        raise ArchiveError(
            f"{self._name} has not answered a request for {silent_s:.0f} s; "
            "when it does again, run the same command",
            transient=True,
            retry_after_s=math.inf,
        )

    def _wait(self, queue: deque[object], left_s: Callable[[], float]) -> float:
        """Seconds waited until all who came earlier are served and nothing is left to wait for.

        ``_changed`` is held. Raises ArchiveError after :func:`stop`.
        """
        ticket, began_s, waited = object(), self._clock(), False
        queue.append(ticket)
        try:
            while not _SWITCH.stopped:
                pause_s = left_s() if queue[0] is ticket else math.inf
                if pause_s <= 0:
                    return self._clock() - began_s if waited else 0.0
                waited = True
                self._changed.wait(min(pause_s, _GLANCE_S))
        finally:
            queue.remove(ticket)
            if queue:
                self._changed.notify_all()
        raise ArchiveError(f"{self._name} is asked no more: the run was stopped", transient=True)

    def _room_in_s(self) -> float:
        return 0.0 if self._in_flight < self._window.allowed else math.inf

    def _start_in_s(self) -> float:
        now_s = self._clock()
        return max(self._resume_s - now_s, self._budget.wait_s(now_s))

    def _leave(self, began: int, error: BaseException | None) -> None:
        with self._changed:
            busy = self._in_flight >= self._window.allowed
            self._in_flight -= 1
            if isinstance(error, ArchiveError) and error.throttled:
                pause_s = min(error.retry_after_s or 0.0, LONGEST_HOLD_S)
                self._resume_s = max(self._resume_s, self._clock() + pause_s)
                self._window = self._window.shrunk(began)
                self._traffic += Traffic(throttled=1)
            elif error is None and busy:  # a window that was not full proves nothing
                self._window = self._window.grown()
            self._note_health(error)
            self._changed.notify_all()

    def _note_health(self, error: BaseException | None) -> None:
        if error is None or (
            isinstance(error, ArchiveError) and (not error.transient or error.status == 429)
        ):
            self._health = Health()
        elif isinstance(error, ArchiveError):
            self._health = self._health.failed(self._clock())


class _Lanes:
    """The lanes of this process."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, Limits], Lane] = {}
        self._lock = threading.Lock()

    def of(self, server: str, limits: Limits) -> Lane:
        with self._lock:
            return self._lanes.setdefault((server, limits), Lane(limits, server))

    def each(self) -> list[tuple[str, Lane]]:
        with self._lock:
            return [(server, lane) for (server, _), lane in self._lanes.items()]


_LANES = _Lanes()


def lane_of(link: str, limits: Limits) -> Lane:
    """The lane of the server that a link leads to; the same one for all callers of this process."""
    return _LANES.of(server_of(link), limits)


def server_of(link: str) -> str:
    """Host and port of a link, without user and password; the bucket of ``s3://`` and its like."""
    return urlsplit(link).netloc.rpartition("@")[2]


def totals() -> dict[str, Traffic]:
    """All that this process counted, by server."""
    return _summed((server, lane.traffic) for server, lane in _LANES.each())


def drain() -> dict[str, Traffic]:
    """What this process counted since the last call, by server, servers without news left out."""
    return _summed((server, lane.drain()) for server, lane in _LANES.each())


def add_traffic(parts: Iterable[Mapping[str, Traffic]]) -> dict[str, Traffic]:
    """Several processes' or blocks' counts added up, by server."""
    return _summed(entry for part in parts for entry in part.items())


def _summed(entries: Iterable[tuple[str, Traffic]]) -> dict[str, Traffic]:
    found: dict[str, Traffic] = {}
    for server, traffic in entries:
        found[server] = found.get(server, Traffic()) + traffic
    return {server: found[server] for server in sorted(found) if found[server] != Traffic()}
