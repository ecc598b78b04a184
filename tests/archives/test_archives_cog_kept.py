"""What a process keeps of files stays within its limit, and is made once."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ssl4eco_data.archives.cog_kept import Kept


def test_the_least_recently_used_go_first() -> None:
    kept: Kept[bytes] = Kept(30, len)
    for key in range(10):
        kept.put(key, bytes(10))
        kept.get(0)
    assert (len(kept), kept.used) == (3, 30)
    assert [key for key in range(10) if kept.get(key)] == [0, 8, 9]
    kept.put(9, bytes(25))
    assert kept.used == 30, "a value that is there stays"
    kept.forget(9)
    kept.forget(9)
    assert (len(kept), kept.used) == (2, 20)


def test_a_value_larger_than_the_limit_is_given_and_not_kept() -> None:
    kept: Kept[bytes] = Kept(30, len)
    assert len(kept.get_or_make("large", lambda: bytes(31))) == 31
    assert len(kept) == 0


def test_threads_that_ask_at_once_wait_for_the_one_that_makes() -> None:
    kept: Kept[int] = Kept(100, lambda _: 1)
    made: list[int] = []
    start = threading.Barrier(8)

    def make() -> int:
        time.sleep(0.05)
        made.append(1)
        return 7

    def ask(_: int) -> int:
        start.wait()
        return kept.get_or_make("key", make)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [7] * 8
    assert len(made) == 1


def test_a_failure_is_that_of_who_made_it_and_the_next_tries_again() -> None:
    kept: Kept[int] = Kept(100, lambda _: 1)

    def fail() -> int:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        kept.get_or_make("key", fail)
    assert kept.get_or_make("key", lambda: 3) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    kept: Kept[int] = Kept(100, lambda _: 1)
    with kept._lock:
        child = os.fork()
        if not child:
            kept.put("key", 1)
            os._exit(len(kept))
        end_s = time.monotonic() + 5
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end_s:
            time.sleep(0.01)
        if done[0] == 0:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for a lock that nobody will give back")
    assert os.waitstatus_to_exitcode(done[1]) == 1
