"""Memory of batches, and batches while they are filled."""

from __future__ import annotations

import itertools
import threading
import weakref
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ssl4eco_data.store import ShardReader
from ssl4eco_training.batch import Batch

Room = dict[str, npt.NDArray[Any]]
"""Arrays to read into, by name."""


class Rooms:
    """Memory for the pixels of batches, ``(*outer, band, y, x)``, used again when no tensor of it is left.

    New memory costs a page fault for every 4 KiB. Pinned memory comes from torch, whose allocator keeps it
    for the next batch and waits for copies to a GPU that are under way.
    """

    def __init__(self, reader: ShardReader, outer: tuple[int, ...], *, pin: bool) -> None:
        self._reader, self._outer, self.pin = reader, outer, pin
        self._left: SimpleQueue[Room] = SimpleQueue()
        self._forms = {name: (array.shape, array.dtype) for name, array in reader.empty(*outer).items()}

    def take(self) -> tuple[dict[str, Tensor], Room]:
        """(the pixels as tensors, the same memory as arrays)."""
        if self.pin:
            pixels = {
                name: torch.empty(shape, dtype=torch.uint16, pin_memory=True)
                for name, (shape, _) in self._forms.items()
            }
            return pixels, {name: tensor.numpy() for name, tensor in pixels.items()}
        try:
            room = self._left.get_nowait()
        except Empty:
            room = self._reader.empty(*self._outer)
        lent = _Lent(room, self._left)
        views = {name: lent.view(array) for name, array in room.items()}
        return {name: torch.from_numpy(view) for name, view in views.items()}, views


class _Lent:
    """Gives a room back when the last view of it is gone; tensors keep the view that they were made of."""

    def __init__(self, room: Room, left: SimpleQueue[Room]) -> None:
        self._room, self._left = room, left
        self._gone_views = itertools.count(1)

    def view(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A view of an array, watched."""
        view = array.view()
        weakref.finalize(view, self._gone).atexit = False
        return view

    def _gone(self) -> None:
        # A finalizer may interrupt itself, so there is no lock: ``next`` and ``put`` are atomic.
        if next(self._gone_views) == len(self._room):
            self._left.put(self._room)


class Filling:
    """A batch that threads fill: ``done`` is set when all samples are read, or one failed with ``error``.

    ``places`` are its samples' places among the loader's locations, ``seasons`` their seasons.
    """

    def __init__(self, batch: Batch, room: Room, places: npt.NDArray[np.int64]) -> None:
        self.batch, self.room = batch, room
        self.places: list[int] = places.tolist()
        self.seasons: list[list[int]] = batch.seasons.tolist()
        self.error: BaseException | None = None
        self.done = threading.Event()
        self._left, self._lock = len(self.places), threading.Lock()

    def finish(self, error: BaseException | None = None) -> None:
        """A sample is read, or failed: then the batch is done at once."""
        with self._lock:
            self._left -= 1
            self.error = self.error or error
            done = not self._left or self.error is not None
        if done:
            self.done.set()
