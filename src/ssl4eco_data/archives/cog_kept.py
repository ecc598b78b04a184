"""What one process keeps of files: the most recently used, up to a limit, each made once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by key, the least recently used dropped where their sizes pass ``limit``; for threads.

    A forked child begins with none: another thread of its parent may have held the lock.
    """

    def __init__(self, limit: int, size: Callable[[Value], int]) -> None:
        self._limit = limit
        self._size = size
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._used = 0
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def __len__(self) -> int:
        return len(self._values)

    @property
    def used(self) -> int:
        """The sum of the sizes."""
        return self._used

    def get(self, key: Hashable) -> Value | None:
        """The value, if it is kept."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keep a value, unless there is one."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self._used += self._size(value)
            while self._used > self._limit:
                _, dropped = self._values.popitem(last=False)
                self._used -= self._size(dropped)

    def forget(self, key: Hashable) -> None:
        """Drop a value, if it is kept."""
        with self._lock:
            if key in self._values:
                self._used -= self._size(self._values.pop(key))

    def get_or_make(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value; threads that ask for it while it is made wait for it. ``make`` may raise."""
        value = self.get(key)
        if value is not None:
            return value
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            value = self.get(key)
            if value is None:
                try:
                    value = make()
                    self.put(key, value)
                finally:
                    with self._lock:
                        self._making.pop(key, None)
            return value
