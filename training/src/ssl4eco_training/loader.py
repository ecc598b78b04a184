"""Batches of seasons from a dataset on disk, at the speed of decoding, for any loop.

One thread plans (which locations, seasons and views: numbers alone), others read and unpack; both release
the interpreter's lock. What a batch holds depends on its place in the run, the seed and the dataset, not on
threads, processes or where the run began.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store import Place, ShardReader
from ssl4eco_training.batch import Batch, ViewTensors
from ssl4eco_training.buffers import Filling, Rooms
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.locations import Locations, read_locations
from ssl4eco_training.stream import Samples, SampleStream
from ssl4eco_training.views import Augmentation, draw_seasons, draw_view


class SeasonLoader:
    """Endless batches of ``batch`` locations of the dataset at ``root``, ``images`` seasons of each.

    ``views`` views are drawn (their augmentation with the channels of ``spec``, whose bands are read).
    Rank ``rank`` of ``processes`` takes samples ``[p + rank * batch, p + (rank + 1) * batch)`` of each
    ``processes * batch``; ``start`` is the first sample, over all processes: a batch's ``position`` of an
    earlier run. ``weighted`` draws locations by the dataset's ``weight``. ``threads`` unpack up to ``ahead``
    batches before they are asked for; ``pin`` puts batches into page-locked memory.

    Batches may be kept: memory is used again when nobody holds its tensors. Nothing is read before the first
    batch. After :meth:`close`, and after an error, there are none. Raises ``ValueError`` for a split without
    locations, a band that the dataset lacks and numbers out of range; StoreError where there is no dataset,
    and from ``next`` (naming the location) where it is damaged.
    """

    def __init__(
        self,
        root: str | Place,
        *,
        batch: int,
        images: int,
        views: int,
        spec: InputSpec,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        split: str | None = "train",
        weighted: bool = False,
        threads: int = 2,
        rank: int = 0,
        processes: int = 1,
        start: int = 0,
        ahead: int = 3,
        pin: bool = False,
    ) -> None:
        _refuse_below(1, batch=batch, images=images, threads=threads, processes=processes, ahead=ahead)
        _refuse_below(0, rank=rank, start=start, views=views)
        if rank >= processes:
            raise ValueError(f"rank must be below processes, {processes}, got {rank}")
        self._reader = ShardReader(root, bands=spec.bands)
        self._locations = read_locations(root, split, weighted=weighted)
        self._stream = SampleStream(seed=seed, items=self._locations.keys, weights=self._locations.weights)
        self._draws = _Draws(
            self._locations, seed, images, views, spec.channels, augmentation or Augmentation()
        )
        self._batch, self._first = batch, start + rank * batch
        self._stride, self._position = processes * batch, start
        self._rooms = Rooms(self._reader, (batch, images), pin=pin)
        self._threads = [threading.Thread(target=self._plan, name="ssl4eco-plan", daemon=True)]
        self._threads += [
            threading.Thread(target=self._read, name=f"ssl4eco-read-{i}", daemon=True) for i in range(threads)
        ]
        self._tasks: SimpleQueue[tuple[Filling, int] | None] = SimpleQueue()
        self._order: SimpleQueue[Filling | BaseException | None] = SimpleQueue()
        self._ahead, self._stop = threading.Semaphore(ahead), threading.Event()
        self._awaited: Filling | None = None
        self.stall_s, self.read_bytes = 0.0, 0
        """Seconds that ``next`` waited, and unpacked bytes of pixels that it gave."""

    @property
    def n(self) -> int:
        """Locations of the split."""
        return self._locations.rows.size

    @property
    def seasons(self) -> tuple[str, ...]:
        """Labels of the dataset's seasons, which ``Batch.seasons`` counts."""
        return self._reader.seasons

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        """The next batch. Raises what went wrong while it was read, and ``StopIteration`` once closed."""
        if self._stop.is_set():
            raise StopIteration
        for thread in self._threads if not self._threads[0].ident else ():
            thread.start()
        began = time.perf_counter()
        filling = self._order.get()
        if isinstance(filling, Filling):
            self._awaited = filling
            if not self._stop.is_set():
                filling.done.wait()
            self._awaited = None
        self.stall_s += time.perf_counter() - began
        error = filling.error if isinstance(filling, Filling) else filling
        if error is not None:
            self.close()
            raise error
        if not isinstance(filling, Filling) or self._stop.is_set():
            raise StopIteration
        self._ahead.release()
        self.read_bytes += sum(array.nbytes for array in filling.batch.pixels.values())
        return filling.batch

    def close(self) -> None:
        """End all threads; each finishes the location that it reads. May be called twice, from any thread."""
        self._stop.set()
        if (awaited := self._awaited) is not None:
            awaited.done.set()
        self._ahead.release()
        self._order.put(None)
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            if thread.ident and thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _plan(self) -> None:
        """The planning thread: makes room for batch after batch and hands out its samples."""
        while self._ahead.acquire() and not self._stop.is_set():
            try:
                filling = self._planned()
            except BaseException as error:  # noqa: BLE001  to be raised where the batch is asked for
                self._order.put(error)
                return
            self._order.put(filling)
            for sample in range(self._batch):
                self._tasks.put((filling, sample))
            del filling

    def _planned(self) -> Filling:
        samples = self._stream.take(self._first, self._batch)
        pixels, room = self._rooms.take()
        batch = self._draws.batch(samples, self._reader, pixels, self._position + self._stride)
        self._first += self._stride
        self._position += self._stride
        return Filling(batch.pinned() if self._rooms.pin else batch, room, samples.places)

    def _read(self) -> None:
        """A reading thread: one sample after another."""
        while (task := self._tasks.get()) is not None and not self._stop.is_set():
            filling, sample = task
            try:
                self._read_sample(filling, sample)
            except BaseException as error:  # noqa: BLE001  to be raised where the batch is asked for
                filling.finish(error)
            else:
                filling.finish()
            del filling, task

    def _read_sample(self, filling: Filling, sample: int) -> None:
        """The images of one location; a season that several images show is read once."""
        place, seasons = filling.places[sample], filling.seasons[sample]
        row, out = int(self._locations.rows[place]), {n: a[sample] for n, a in filling.room.items()}
        distinct = len(dict.fromkeys(seasons))
        first = {name: array[:distinct] for name, array in out.items()}
        try:
            there = self._reader.read_batch([(row, season) for season in seasons[:distinct]], first)
        except StoreError as error:
            raise StoreError(f"location {self._locations.ids[place]}: {error}") from error
        if not there.all():
            season = self._reader.seasons[seasons[int(there.argmin())]]
            raise StoreError(
                f"location {self._locations.ids[place]} has a time in season {season} and no patch; run "
                "ssl4eco check on the dataset"
            )
        for image in range(distinct, len(seasons)):
            for array in out.values():
                array[image] = array[distinct - 1]


class _Draws:
    """What is drawn for samples: seasons and views; all of a batch but its pixels."""

    def __init__(
        self, locations: Locations, seed: int, images: int, views: int, channels: int, how: Augmentation
    ) -> None:
        self._locations, self._seed, self._images = locations, seed, images
        self._views, self._channels, self._how = views, channels, how

    def batch(
        self, samples: Samples, reader: ShardReader, pixels: dict[str, torch.Tensor], position: int
    ) -> Batch:
        """The batch of some samples around ``pixels``, which need not be filled."""
        known, places = self._locations, samples.places
        seasons = draw_seasons(self._seed, samples.epochs, samples.keys, known.present[places], self._images)
        views = [
            draw_view(self._seed, samples.epochs, samples.keys, view, self._channels, self._how)
            for view in range(self._views)
        ]
        return Batch(
            pixels=pixels,
            bands={name: reader.bands(name) for name in pixels},
            rows=_tensor(known.rows[places]),
            seasons=_tensor(seasons),
            day_of_year=_tensor(np.take_along_axis(known.day_of_year[places], seasons, axis=1)),
            phase=_tensor(np.take_along_axis(known.phase[places], seasons, axis=1)),
            lon=_tensor(known.lon[places]),
            lat=_tensor(known.lat[places]),
            views=tuple(map(ViewTensors.of, views)),
            position=position,
        )


def _tensor(values: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _refuse_below(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")
