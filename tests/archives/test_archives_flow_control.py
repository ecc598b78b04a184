"""The window, the budget and the lane: they find what a server can do, and stay within what is allowed."""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ssl4eco_data import pipeline
from ssl4eco_data.archives import flow_control
from ssl4eco_data.archives.flow_control import (
    LONGEST_HOLD_S,
    FlowParameters,
    Lane,
    Limits,
    add_traffic,
    server_of,
    worth_waiting,
)
from ssl4eco_data.archives.retry import retry_after_s, with_retries
from ssl4eco_data.archives.window import (
    BURST_S,
    FEWEST_FAILURES,
    FORGOTTEN_S,
    GONE_S,
    TRY_AGAIN_S,
    Budget,
    Health,
    Traffic,
    Window,
)
from ssl4eco_data.errors import ArchiveError

HANG_S = 20.0
"""Far more than any time-out here: what takes longer hangs."""


@dataclass
class Simulated:
    """A server of ``capacity`` requests at a time, in steps; more than that is throttled at once."""

    window: Window
    capacity: int
    in_flight: deque[int] = field(default_factory=deque)
    sizes: list[int] = field(default_factory=list)
    answered: int = 0

    def step(self, now: int, duration: int) -> None:
        """Answers what is due, then fills the window as threads would."""
        while self.in_flight and self.in_flight[0] <= now:
            self.in_flight.popleft()
            busy = len(self.in_flight) + 1 >= self.window.allowed
            self.answered += 1
            if busy:
                self.window = self.window.grown()
        throttled = 0
        while len(self.in_flight) + throttled < self.window.allowed:
            if len(self.in_flight) >= self.capacity:
                throttled += 1
                self.window = self.window.shrunk(self.window.round)
            else:
                self.in_flight.append(now + duration)
        self.sizes.append(self.window.allowed)


@given(
    capacity=st.integers(1, 60),
    ceiling=st.integers(1, 40),
    duration=st.integers(1, 5),
    first=st.floats(0, 1),
)
@example(capacity=1, ceiling=40, duration=1, first=1.0)
@example(capacity=60, ceiling=1, duration=1, first=0.0)
@settings(max_examples=60, deadline=None)
def test_the_window_finds_the_capacity_never_starves_and_never_passes_the_ceiling(
    capacity: int, ceiling: int, duration: int, first: float
) -> None:
    server = Simulated(Window(ceiling=ceiling, size=1 + first * (ceiling - 1)), capacity)
    steps = 4_000
    for now in range(steps):
        server.step(now, duration)
        assert 1 <= server.window.size <= ceiling
    best = min(capacity, ceiling)
    late = server.sizes[steps // 2 :]
    assert max(late) <= best + 1
    assert sum(late) / len(late) >= 0.6 * best
    assert server.answered >= 0.5 * best * steps / (duration + 1)


def test_a_burst_of_throttled_answers_shrinks_the_window_once() -> None:
    window = Window(ceiling=32, size=32)
    for _ in range(20):
        window = window.shrunk(0)
    assert (window.size, window.round) == (16, 1)
    assert window.shrunk(1).size == 8


def test_a_window_stays_within_its_limits_or_says_so() -> None:
    with pytest.raises(ValueError, match=r"size must be in \[1, 4\], got 5"):
        Window(ceiling=4, size=5)


@given(per_s=st.floats(0.5, 500), asks=st.lists(st.floats(0, 2), min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_a_budget_keeps_its_rate_in_every_period_and_wastes_nothing(per_s: float, asks: list[float]) -> None:
    budget, now, starts = Budget(per_s=per_s), 0.0, []
    for pause in asks:
        arrived = now + pause
        wait = budget.wait_s(arrived)
        now = arrived + wait
        budget = budget.spent(now)
        starts.append(now)
        assert wait <= 1 / per_s + 1e-9
    for i, begin in enumerate(starts):
        for j in range(i, len(starts)):
            assert j - i + 1 <= per_s * (starts[j] - begin + BURST_S) + 2 + 1e-6


def throttled(retry_after_s: float | None = None) -> ArchiveError:
    return ArchiveError("slow down", transient=True, status=429, retry_after_s=retry_after_s)


def test_threads_stay_within_a_window_that_shrinks_and_grows_again() -> None:
    lane, lock = Lane(Limits(in_flight=8, per_s=1e6)), threading.Lock()
    running, most = 0, []

    def work(number: int) -> None:
        nonlocal running
        with lane.turn():
            with lock:
                running += 1
                most.append((running, lane.allowed))
            time.sleep(0.002)
            with lock:
                running -= 1
            if number < 30:
                raise throttled()

    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(work, number) for number in range(30)]
        assert all(isinstance(r.exception(), ArchiveError) for r in results)
        assert lane.allowed == 1
        most.clear()
        list(pool.map(work, range(30, 330)))
    assert lane.allowed == 8
    assert max(count for count, _ in most) <= 8
    assert lane.traffic.throttled == 30


def test_an_unused_window_does_not_grow_and_other_failures_do_not_shrink_it() -> None:
    lane = Lane(Limits(in_flight=8))
    for _ in range(2):
        with pytest.raises(ArchiveError), lane.turn():
            raise throttled()
    assert lane.allowed == 2
    for _ in range(50):
        with lane.turn():
            pass
    assert lane.allowed == 2
    for error in (
        ArchiveError("x", transient=True, status=500),
        ArchiveError("x", transient=False),
        OSError(),
    ):
        with pytest.raises(type(error)), lane.turn():
            raise error
    assert lane.allowed == 2


def test_a_pause_that_the_server_asked_for_holds_the_whole_lane() -> None:
    lane = Lane(Limits(in_flight=8))
    with pytest.raises(ArchiveError), lane.turn():
        raise throttled(retry_after_s=0.3)
    begin = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: lane.start(), range(3)))
    assert time.monotonic() - begin >= 0.28
    assert lane.traffic.requests == 3 and lane.traffic.waited_s > 0.8


def test_processes_share_what_is_allowed() -> None:
    whole = FlowParameters(max_requests_in_flight=20, requests_per_s=90.0)
    for processes in (1, 2, 3, 7, 20):
        part = whole.share(processes)
        assert part.max_requests_in_flight >= 1
        assert part.max_requests_in_flight * processes <= 20
        assert part.requests_per_s * processes == pytest.approx(90)
    with pytest.raises(ValueError, match=r"21 processes cannot share archive\.max_requests_in_flight = 20"):
        whole.share(21)


def test_retries_wait_at_random_up_to_a_limit_that_doubles_and_longer_when_asked() -> None:
    lane, waits = Lane(Limits()), []
    for _ in range(40):
        before = lane.traffic.waited_s

        def failing() -> None:
            raise ArchiveError("no", transient=True)

        with pytest.raises(ArchiveError):
            with_retries(failing, retries=2, wait_s=0.001, lane=lane)
        waits.append(lane.traffic.waited_s - before)
    assert max(waits) <= 0.003 + 1e-9 and len(set(waits)) > 30 and min(waits) < 0.001
    assert (lane.traffic.retries, lane.traffic.transient) == (80, 40)


def test_a_server_that_asks_for_an_hour_is_not_waited_for() -> None:
    lane, calls = Lane(Limits()), []

    def request() -> None:
        calls.append(1)
        raise throttled(retry_after_s=3600.0)

    with pytest.raises(ArchiveError) as caught:
        with_retries(request, retries=5, wait_s=0, lane=lane)
    assert caught.value.transient and len(calls) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 120 ", 120),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("2.5", 2.5),
        ("9" * 400, None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": value}) == seconds


def test_a_date_to_come_again_is_told_by_the_clock_of_the_server() -> None:
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after_s(headers) == 30
    assert retry_after_s(headers | {"Date": "nonsense"}) == 0


def test_who_came_first_is_served_first_even_by_a_window_of_one() -> None:
    """Without a queue whoever leaves is back before the waiting ones are awake."""
    lane, order, come = Lane(Limits(in_flight=1, per_s=1e6)), [], threading.Barrier(6)

    def work(number: int) -> None:
        come.wait()
        for _ in range(30):
            with lane.turn():
                lane.start()
                order.append(number)
                time.sleep(0.001)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    rounds = [set(order[i : i + 6]) for i in range(30, 120, 6)]
    assert sum(len(each) for each in rounds) / len(rounds) > 5


def test_threads_keep_the_rate_of_one_budget() -> None:
    lane, begins = Lane(Limits(in_flight=8, per_s=200.0)), []

    def work(_: int) -> None:
        with lane.turn():
            lane.start()
            begins.append(time.monotonic())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(100)))
    begins.sort()
    assert begins[-1] - begins[0] >= (100 - 1) / 200 - BURST_S - 0.01
    for i in range(0, 100, 7):
        for j in range(i, 100, 7):
            assert j - i + 1 <= 200 * (begins[j] - begins[i] + BURST_S + 0.02) + 2


def test_waiting_is_counted_once_however_often_it_is_disturbed() -> None:
    lane = Lane(Limits(in_flight=64, per_s=1e6))
    with pytest.raises(ArchiveError), lane.turn():
        raise throttled(retry_after_s=0.3)

    def disturb(_: int) -> None:
        for _ in range(50):
            with lane.turn():
                pass
            time.sleep(0.002)

    with ThreadPoolExecutor(5) as pool:
        waiting = pool.submit(lane.start)
        list(pool.map(disturb, range(4)))
        waiting.result()
    assert 0.2 <= lane.traffic.waited_s <= 0.5


@given(gaps=st.lists(st.floats(0, 2 * FORGOTTEN_S), max_size=60))
@example(gaps=[GONE_S / 4] * 5)
@example(gaps=[1.0] * 50)
def test_a_server_is_gone_after_enough_failures_over_a_long_time(gaps: list[float]) -> None:
    health, now, row = Health(), 0.0, []
    for gap in gaps:
        now += gap
        health = health.failed(now)
        row = [*row, now] if not row or gap <= FORGOTTEN_S else [now]
        gone = len(row) >= FEWEST_FAILURES and row[-1] - row[0] >= GONE_S
        assert bool(health.silent_s(now)) == gone
        assert health.silent_s(now + FORGOTTEN_S + 1) == 0


def gone(lane: Lane, clock: list[float], error: ArchiveError) -> None:
    """Fails for four minutes."""
    for _ in range(9):
        with pytest.raises(ArchiveError), lane.turn():
            raise error
        clock[0] += 30


def test_a_server_that_is_gone_is_asked_now_and_then_only_and_taken_back() -> None:
    clock = [1000.0]
    lane = Lane(Limits(), "x.net", lambda: clock[0])
    gone(lane, clock, ArchiveError("cut", transient=True))
    with pytest.raises(KeyError), lane.turn():  # one is let through
        raise KeyError
    with pytest.raises(ArchiveError, match=r"x\.net has not answered a request for 270 s") as caught:
        lane.turn().__enter__()
    assert caught.value.transient and not worth_waiting(caught.value)
    calls: list[int] = []
    with pytest.raises(ArchiveError):
        with_retries(lambda: calls.append(1), retries=5, wait_s=60, lane=lane)
    assert not calls and lane.traffic.transient == 1
    clock[0] += TRY_AGAIN_S
    with lane.turn():
        pass
    for _ in range(3):
        with lane.turn():
            pass


@pytest.mark.parametrize(
    "error", [ArchiveError("x", transient=True, status=429), ArchiveError("x", transient=False, status=404)]
)
def test_a_server_that_throttles_or_refuses_is_not_gone(error: ArchiveError) -> None:
    clock = [1000.0]
    lane = Lane(Limits(), clock=lambda: clock[0])
    gone(lane, clock, error)
    with lane.turn():
        pass


@pytest.mark.parametrize(("retry_after_s", "again"), [(LONGEST_HOLD_S, True), (86_400.0 * 365, False)])
def test_a_block_is_not_tried_again_when_the_server_wants_a_long_pause(
    retry_after_s: float, again: bool
) -> None:
    assert pipeline.is_transient(throttled(retry_after_s)) == again


def test_a_stop_ends_waits_of_every_kind_soon() -> None:
    full, paused, calls = Lane(Limits(in_flight=1)), Lane(Limits()), []

    def failing() -> None:
        calls.append(1)
        raise ArchiveError("no", transient=True)

    def hold() -> None:
        with full.turn():
            time.sleep(0.8)

    with pytest.raises(ArchiveError), paused.turn():
        raise throttled(retry_after_s=200)
    jobs = [hold, lambda: full.turn().__enter__(), paused.start]
    with ThreadPoolExecutor(4) as pool:
        waits = [pool.submit(job) for job in jobs]
        waits.append(pool.submit(with_retries, failing, retries=90, wait_s=1e3))
        time.sleep(0.3)
        begin = time.monotonic()
        flow_control.stop()
        try:
            errors = [wait.exception(timeout=5) for wait in waits]
            assert time.monotonic() - begin < HANG_S
            with pytest.raises(ArchiveError, match="the run was stopped"), Lane(Limits()).turn():
                pass
        finally:
            flow_control.go_on()
    assert errors[0] is None and all(isinstance(e, ArchiveError) and e.transient for e in errors[1:])
    assert len(calls) == 1
    Lane(Limits()).start()


def test_an_interrupt_while_waiting_leaves_the_queue_to_the_others() -> None:
    lane = Lane(Limits(in_flight=1))

    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), lane._changed:
        lane._wait(lane._entering, interrupted)

    def enter() -> None:
        with lane.turn():
            lane.start()

    other = threading.Thread(target=enter, daemon=True)  # were it kept out, it would wait for ever
    other.start()
    other.join(10)
    assert not other.is_alive()


def test_counts_add_up_once_and_errors_keep_what_they_know() -> None:
    lane = Lane(Limits())
    lane.start()
    first = lane.drain()
    lane.start()
    lane.received(5)
    assert first == Traffic(requests=1) and lane.drain() == Traffic(requests=1, received_bytes=5)
    assert lane.drain() == Traffic()
    assert add_traffic([{"b": first}, {"a": Traffic(), "b": first}]) == {"b": Traffic(requests=2)}
    error = pickle.loads(pickle.dumps(throttled(2.0)))
    assert (str(error), error.transient, error.status, error.retry_after_s) == ("slow down", True, 429, 2.0)
    assert server_of("https://user:word@x.net:8443/a?b=c") == "x.net:8443"
