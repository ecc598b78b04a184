"""The processes of a run: who is there, and what they agree on. Reads the environment that torchrun sets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ssl4eco_training.errors import TrainingError

_TIMEOUT = timedelta(minutes=30)
"""Compilation and the first read of a large dataset differ between processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process, ``rank`` of ``count``, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0


@contextmanager
def joined(wanted: str) -> Iterator[Processes]:
    """The processes of this run, joined while the context is open; ``wanted`` is auto, cpu or cuda.

    NCCL for GPUs (and gloo beside it, for :class:`Agreement`), gloo for CPUs; alone, nothing is opened.
    Raises TrainingError when CUDA is wanted and not there.
    """
    device = _device(wanted, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield Processes(rank=rank, count=count, device=device)
    finally:
        if count > 1:
            dist.destroy_process_group()


def _device(wanted: str, local_rank: int) -> torch.device:
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainingError(
            "device = cuda, but torch finds no GPU here: --device cpu, or install torch for CUDA and a driver"
        )
    if local_rank >= torch.cuda.device_count():
        raise TrainingError(
            f"process {local_rank} of this machine has no GPU of its own, there are "
            f"{torch.cuda.device_count()}: torchrun --nproc-per-node {torch.cuda.device_count()}"
        )
    return torch.device("cuda", local_rank)


class Agreement:
    """The largest whole number that any process has said, the same on all, one step late.

    :meth:`say` is called once a step; the exchange runs over the CPU while the next step does, so that no
    process waits for a device.
    """

    def __init__(self, processes: Processes) -> None:
        self._group: Any = dist.new_group(backend="gloo") if processes.count > 1 else None
        self._alone = processes.count == 1
        self._said: tuple[torch.Tensor, Any] | None = None

    def say(self, number: int) -> int:
        """Say ``number`` and hear the largest of what was said at the call before; alone: at this one."""
        if self._alone:
            return number
        heard = self.hear()
        value = torch.tensor([number], dtype=torch.int64)
        work = dist.all_reduce(value, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._said = value, work
        return heard

    def hear(self) -> int:
        """The largest of what was said last; 0 when nothing was."""
        if self._said is None:
            return 0
        (value, work), self._said = self._said, None
        work.wait()
        return int(value)


def gathered(processes: Processes, value: Any) -> list[Any]:
    """``value`` of every process, by rank; an object that pickles. For the start and for checkpoints."""
    if processes.count == 1:
        return [value]
    values: list[Any] = [None] * processes.count
    dist.all_gather_object(values, value)
    return values


def everyone_here(processes: Processes) -> None:
    """Return when all processes have come here."""
    if processes.count > 1:
        dist.barrier()
