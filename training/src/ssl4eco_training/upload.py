"""Batches to the device, one ahead of the step that works on another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch

from ssl4eco_training.batch import Batch

Arrival = Callable[[], Batch]
"""Gives a batch that was sent, when it may be worked on."""


def uploaded(batches: Iterable[Batch], device: torch.device, count: int) -> Iterator[Batch]:
    """The first ``count`` of ``batches`` on a device; no more are asked for.

    On a GPU the batch after the one given is being copied meanwhile (from pinned memory, beside the work of
    the current stream); elsewhere each is given as it comes.
    """
    wanted = islice(batches, count)
    return one_ahead(wanted, sender(device)) if device.type == "cuda" else wanted


def one_ahead(batches: Iterable[Batch], send: Callable[[Batch], Arrival]) -> Iterator[Batch]:
    """All of ``batches`` in order; each is sent before the one ahead of it is given."""
    sent: deque[Arrival] = deque()
    for batch in batches:
        sent.append(send(batch))
        if len(sent) > 1:
            yield sent.popleft()()
    for arrival in sent:
        yield arrival()


def sender(device: torch.device) -> Callable[[Batch], Arrival]:
    """Sends batches to a GPU on a stream of its own.

    The stream that is current at the arrival waits for that copy alone, and the batch's memory is not used
    again before it is done with it. Pinned memory is kept by torch's allocator until its copy has ended.
    https://docs.pytorch.org/docs/stable/notes/cuda.html#use-pinned-memory-buffers
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(batch: Batch) -> Arrival:
        with torch.cuda.stream(stream):
            there = batch.to(device)
            copied = stream.record_event()

        def arrive() -> Batch:
            worker = torch.cuda.current_stream(device)
            worker.wait_event(copied)
            there.record_stream(worker)
            return there

        return arrive

    return send
