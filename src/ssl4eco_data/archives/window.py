"""How many requests may be in flight, how often one may start, and what was counted; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

DECREASE = 0.5
"""What a throttled window shrinks to, as TCP does (RFC 5681)."""
BURST_S = 0.1
"""A budget that was not used may be caught up for so long."""
GONE_S = 180.0
"""A server that answered nothing for so long is gone: asking it for every block would take hours."""
FEWEST_FAILURES = 5
TRY_AGAIN_S = 30.0
"""A server that is gone is asked once in so long."""
FORGOTTEN_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Requests that may be in flight: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    ``size`` is in [1, ceiling]. ``round`` counts the decreases: answers to requests that began in an
    earlier round tell of a load that is gone, and do not shrink the window again.
    """

    ceiling: int
    size: float
    round: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.ceiling:
            raise ValueError(f"size must be in [1, {self.ceiling}], got {self.size}")

    @property
    def allowed(self) -> int:
        """Whole requests."""
        return int(self.size)

    def grown(self) -> Window:
        """After an answer: one request more for each full window of answers."""
        return replace(self, size=min(float(self.ceiling), self.size + 1 / self.size))

    def shrunk(self, began: int) -> Window:
        """After a request of round ``began`` was throttled: half, once a round, never below one."""
        if began != self.round:
            return self
        return replace(self, size=max(1.0, self.size * DECREASE), round=self.round + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Starts per second, as a token bucket kept as the time at which it will be full again.

    In any ``t`` seconds at most ``per_s * (t + BURST_S) + 1`` requests start.
    """

    per_s: float
    full_s: float = -math.inf

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next request may start."""
        return max(0.0, self.full_s - now_s - BURST_S)

    def spent(self, now_s: float) -> Budget:
        """The budget after a request that starts now."""
        return replace(self, full_s=max(self.full_s, now_s) + 1 / self.per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether a server still answers: how often in a row it failed, since when, and when it may be tried."""

    failures: int = 0
    since_s: float = 0.0
    last_s: float = 0.0
    try_s: float = -math.inf

    def failed(self, now_s: float) -> Health:
        """After an attempt that ended without an answer; what failed long ago tells nothing."""
        if not self.failures or now_s - self.last_s > FORGOTTEN_S:
            return Health(failures=1, since_s=now_s, last_s=now_s)
        return replace(self, failures=self.failures + 1, last_s=now_s)

    def silent_s(self, now_s: float) -> float:
        """Seconds since the first of the failures, when they are enough to call it gone; else 0."""
        long_s = self.last_s - self.since_s
        gone = self.failures >= FEWEST_FAILURES and long_s >= GONE_S and now_s - self.last_s <= FORGOTTEN_S
        return now_s - self.since_s if gone else 0.0

    def tried(self, now_s: float) -> Health:
        """After one was let through to see whether the server is back."""
        return replace(self, try_s=now_s + TRY_AGAIN_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What went between this process and one server.

    ``requests`` started; ``retries`` further attempts; ``throttled`` attempts that ended in 429, 503 or with
    Retry-After; ``waited_s`` pauses between attempts and for the budget, of all threads together;
    ``transient`` and ``permanent`` what was given up with such a failure.
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    waited_s: float = 0.0
    received_bytes: int = 0
    transient: int = 0
    permanent: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})
