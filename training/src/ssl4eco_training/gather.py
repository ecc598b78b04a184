"""What processes tell each other within a step; one process alone gets back what it has."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn


def processes() -> int:
    """Processes of the run; 1 where no group was made."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.compiler.disable  # type: ignore[untyped-decorator]
@torch.no_grad()
def gather(mine: Tensor, dim: int) -> Tensor:
    """``mine`` of all processes, one after another along ``dim``, in the order of their ranks; no gradient.

    All must have the same shape. With a stream of samples that is dealt to the ranks in blocks this is the
    order of the samples, whatever the number of processes.
    """
    count = processes()
    if count == 1:
        return mine.detach()
    first = mine.detach().movedim(dim, 0).contiguous()
    everyones = first.new_empty(count * first.shape[0], *first.shape[1:])
    dist.all_gather_into_tensor(everyones, first)
    return everyones.movedim(0, dim)


@torch.no_grad()
def averaged(mine: Tensor) -> Tensor:
    """The mean of ``mine`` over all processes; all call it, with the same shape."""
    if processes() == 1:
        return mine
    total = mine.clone()
    dist.all_reduce(total)
    return total / processes()


@torch.no_grad()
def average_running_statistics(module: nn.Module) -> None:
    """Set the running statistics of every batch norm of ``module`` to their mean over the processes.

    Call it in all processes, before an evaluation or a checkpoint: each process has followed its own samples.
    As they move linearly, with :class:`ssl4eco_training.norm.GroupedBatchNorm2d` the mean is what one process
    with all samples would have, however often it is taken.
    """
    if processes() == 1:
        return
    found = [
        buffer for name, buffer in module.named_buffers() if name.endswith(("running_mean", "running_var"))
    ]
    if not found:
        return
    flat = averaged(torch.cat([buffer.flatten() for buffer in found]))
    for buffer, mean in zip(found, torch.split(flat, [buffer.numel() for buffer in found]), strict=True):
        buffer.copy_(mean.view_as(buffer))
