"""The contrastive loss, as a sum over parts: the positive, the keys of the batch, the queue.

Axes: S spaces, N queries (of this process), M keys (of all processes), K keys of a part, J key views,
D dimensions. All vectors have unit length; all is computed in float32 (float64 stays).

The cross-entropy of the positive against all other keys is ``log(sum of exp(logits)) - positive``; the sum is
taken over parts, so that the queue is never copied beside other keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Part:
    """Of some keys: ``total`` ``(S, N)``, log of the sum of exp(logits), and the ``largest`` logit."""

    total: Tensor
    largest: Tensor


class _Part(torch.autograd.Function):
    """Log-sum-exp whose gradient is made at once.

    So neither the logits (S x N x K) nor the keys are kept for the backward pass. The gradient goes to the
    queries alone.
    """

    @staticmethod
    def forward(ctx: Any, queries_SND: Tensor, keys_SKD: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        logits_SNK = torch.bmm(queries_SND, keys_SKD.mT).div_(temperature)
        total_SN, largest_SN = logits_SNK.logsumexp(dim=-1), logits_SNK.amax(dim=-1)
        shares_SNK = logits_SNK.sub_(total_SN[..., None]).exp_()
        ctx.save_for_backward(torch.bmm(shares_SNK, keys_SKD).div_(temperature))
        ctx.mark_non_differentiable(largest_SN)
        return total_SN, largest_SN

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope_SND,) = ctx.saved_tensors
        return gradients[0][..., None] * slope_SND, None, None


def part(queries_SND: Tensor, keys_SKD: Tensor, temperature: float) -> Part:
    """The part of ``keys_SKD``, all of which are negatives of each query of their space."""
    total_SN, largest_SN = _Part.apply(queries_SND, keys_SKD, temperature)  # type: ignore[no-untyped-call]
    return Part(total_SN, largest_SN)


def positive(queries_SND: Tensor, keys_SND: Tensor, temperature: float) -> Tensor:
    """``(S, N)`` logits of the pairs."""
    return (queries_SND * keys_SND).sum(dim=-1) / temperature


def other_views(keys_SJMD: Tensor) -> Tensor:
    """``(S - 1, 2 M, D)``: for each space but the first the keys of all samples of the two other views.

    ``keys_SJMD[i, j]`` is view j in space i; there are as many views as spaces.
    """
    spaces = keys_SJMD.shape[0]
    return torch.stack(
        [torch.cat([keys_SJMD[i, j] for j in range(spaces) if j != i]) for i in range(1, spaces)]
    )


def joined(all_spaces: Part, last_spaces: Part) -> Part:
    """Two parts as one; the second is of the last of the spaces only."""
    alone = all_spaces.total.shape[0] - last_spaces.total.shape[0]
    total_SN = torch.logaddexp(all_spaces.total[alone:], last_spaces.total)
    largest_SN = torch.maximum(all_spaces.largest[alone:], last_spaces.largest)
    return Part(
        torch.cat([all_spaces.total[:alone], total_SN]),
        torch.cat([all_spaces.largest[:alone], largest_SN]),
    )


def cross_entropy(positive_SN: Tensor, negatives: Part) -> tuple[Tensor, Tensor]:
    """``(S, N)`` losses, and ``(S, N)`` bool whether the positive is the nearest key (no gradient)."""
    losses_SN = torch.logaddexp(positive_SN, negatives.total) - positive_SN
    return losses_SN, positive_SN.detach() > negatives.largest
