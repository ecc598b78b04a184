"""Batch normalisation: the paper's, over all samples of a process, and in groups of fixed size.

Axes: N samples, G groups, C channels, Y, X pixels.

With the paper's, what a sample becomes depends on the others of its pass, and so on how many a process
holds. In groups it does not: a group of 64 is the same in one process of 256 samples and in four of 64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class GroupedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm of each ``group`` consecutive samples by their own statistics; keys of ``nn.BatchNorm2d``.

    The running statistics move by the mean over the groups of a pass, so that the mean of the buffers over
    processes is what one process would have (:func:`ssl4eco_training.gather.average_running_statistics`).
    In ``eval`` mode, and with a ``momentum`` of None (the mean over all batches), it is plain batch norm.
    Raises ``ValueError`` for a batch that is no multiple of ``group``.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, group: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        if group < 1:
            raise ValueError(f"group must be at least 1 sample, got {group}")
        super().__init__(channels, eps=eps, momentum=momentum)
        self.group, self.rate = group, momentum

    def forward(self, input: Tensor) -> Tensor:
        """``(N, C, Y, X)`` of the same type and memory format."""
        if not self.training or self.momentum is None:
            return super().forward(input)
        if input.shape[0] % self.group:
            raise ValueError(
                f"{input.shape[0]} samples cannot be parted into batch norm groups of {self.group}: "
                "choose a batch per process that is a multiple of the group"
            )
        parts = torch.split(input, self.group)
        mean_GC, var_GC = (self.running_mean.new_zeros(len(parts), self.num_features) for _ in range(2))
        # with a momentum of 1 the "running" statistics of a part are its own
        normed = [
            functional.batch_norm(part, mean_GC[g], var_GC[g], self.weight, self.bias, True, 1.0, self.eps)
            for g, part in enumerate(parts)
        ]
        with torch.no_grad():
            self.running_mean.lerp_(mean_GC.mean(dim=0), self.rate)
            self.running_var.lerp_(var_GC.mean(dim=0), self.rate)
            self.num_batches_tracked.add_(1)
        return normed[0] if len(normed) == 1 else torch.cat(normed)

    def extra_repr(self) -> str:
        return f"{self.num_features}, group={self.group}"


def grouped(group: int) -> Callable[[int], nn.Module]:
    """A maker of norms for :func:`ssl4eco_training.resnet.resnet`, in groups of ``group`` samples."""

    def make(channels: int) -> nn.Module:
        return GroupedBatchNorm2d(channels, group)

    return make


def norm_group(module: nn.Module) -> int | None:
    """Samples that share statistics in ``module``; None where no sample sees another.

    Raises ``ValueError`` for batch norms over all samples, or for groups of several sizes.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    groups = {m.group if isinstance(m, GroupedBatchNorm2d) else 0 for m in norms}
    if not groups:
        return None
    if 0 in groups or len(groups) > 1:
        raise ValueError(
            "corrected mode needs batch norm in groups of one size (ssl4eco_training.norm.grouped), or none; "
            f"this encoder has groups of {', '.join(str(g or 'all samples') for g in sorted(groups))}"
        )
    return groups.pop()
