"""What SeCo and MoCo share: an encoder and its heads, their slow twins, queues of keys.

Axes: S spaces (heads), J key views, N samples of this process, M of all processes, C channels, Y, X pixels,
D features, P dimensions of a projection.

**What leaks in parity mode.** The batch norms of the twin see the samples of a process in the same company as
those of the encoder do, so that the statistics of its batch mark a key: the encoder can learn to find its
positive by them instead of by the image (He et al. 2020, section 3.3). SeCo-Eco was trained so, on one GPU.
**Corrected**: batch norm works in groups (:mod:`ssl4eco_training.norm`) and the keys are dealt to other
groups than the queries: of every four groups in a row each key group has a quarter of each query group. Who
is in which group depends on the place in the batch alone, so no result depends on the number of processes
as long as each has a multiple of four groups. That quarter of the company still is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl4eco_training.gather import gather
from ssl4eco_training.heads import ProjectionHeads
from ssl4eco_training.norm import norm_group
from ssl4eco_training.protocols import Loss
from ssl4eco_training.queues import KeyQueue
from ssl4eco_training.twins import move_twin, twin_of
from ssl4eco_training.views import ViewPlan

Mode = Literal["parity", "corrected"]
SHUFFLED_GROUPS = 4
"""Batch norm groups among which the keys are dealt out in corrected mode."""


class Contrastive(nn.Module):
    """Base of the objectives: ``spaces`` heads on the encoder that ``make_encoder`` makes.

    ``dim`` P, ``queue`` keys for each space, ``temperature`` of the logits, ``momentum`` of the twins;
    ``shuffled_groups`` counts in corrected mode only, 1 leaves the keys where they are; ``seed`` makes the
    first keys. Raises
    ``ValueError`` for values that cannot be meant, and for an encoder that does not go with the mode.
    """

    images: int
    views: Sequence[ViewPlan]
    spaces: int

    def __init__(
        self,
        make_encoder: Callable[[], nn.Module],
        *,
        dim: int = 128,
        queue: int = 65_536,
        temperature: float = 0.2,
        momentum: float = 0.999,
        mode: Mode = "parity",
        shuffled_groups: int = SHUFFLED_GROUPS,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _refuse_odd(temperature, momentum, mode, shuffled_groups)
        self.temperature, self.momentum = temperature, momentum
        self.encoder = make_encoder()
        self.heads = ProjectionHeads(self.spaces, _features(self.encoder), dim)
        self.key_encoder, self.key_heads = twin_of(self.encoder), twin_of(self.heads)
        self.queue = KeyQueue(self.spaces, queue, dim, seed=seed)
        self._new_keys: list[Tensor] = []
        self.group = norm_group(self.encoder) if mode == "corrected" else None
        self.shuffled_groups = shuffled_groups

    def before_step(self) -> None:
        """Move the twins."""
        move_twin(self.key_encoder, self.encoder, self.momentum)
        move_twin(self.key_heads, self.heads, self.momentum)

    def after_step(self) -> None:
        """Put the keys of all forwards since the step before into the queues, in their order."""
        self.queue.put(torch.cat(self._new_keys, dim=1))
        self._new_keys.clear()

    def forward(self, views: Sequence[Tensor]) -> Loss:
        """The loss of views ``(N, C, Y, X)``, in the order of the plans.

        Its keys wait for :meth:`after_step`, so that the micro-batches of a step have the same queue.
        ``total`` is the sum over the spaces of the mean over this process's samples: the mean of it, and of
        its gradients, over processes is that of one process with all samples. ``shown``: ``loss_i`` and
        ``accuracy_i`` of space i (share of samples whose positive is the nearest key),
        ``embedding_std`` of unit vectors (1 / sqrt(dim) when spread over the sphere, 0 when collapsed), and
        ``queue_filled``. In ``eval`` mode no keys are kept.
        """
        if len(views) != len(self.views):
            raise ValueError(f"{type(self).__name__} takes {len(self.views)} views, got {len(views)}")
        queries_SNP = _unit(self.heads(self.encoder(views[0])))
        keys_SJNP = self._keys(views[1:])
        keys_SJMP = gather(keys_SJNP, dim=2)
        with torch.autocast(queries_SNP.device.type, enabled=False):
            losses_SN, nearest_SN = self.losses(queries_SNP, keys_SJNP, keys_SJMP)
        if self.training:
            self._keep(own_space(keys_SJMP))
        losses_S = losses_SN.mean(dim=1)
        return Loss(losses_S.sum(), self._shown(queries_SNP, losses_S, nearest_SN))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _keep(self, keys_SMP: Tensor) -> None:
        self._new_keys.append(keys_SMP)

    def losses(self, queries_SNP: Tensor, keys_SJNP: Tensor, keys_SJMP: Tensor) -> tuple[Tensor, Tensor]:
        """``(S, N)`` losses and whether the positive is the nearest key; the keys are of unit length."""
        raise NotImplementedError

    @torch.no_grad()
    def _keys(self, views: Sequence[Tensor]) -> Tensor:
        """``(S, J, N, P)``: each view by itself through the twins."""
        deal = self._deal(len(views[0]))
        features = [self._key_features(view, deal) for view in views]
        projected_SXP = self.key_heads(torch.cat(features))
        return _unit(projected_SXP).reshape(self.spaces, len(views), -1, projected_SXP.shape[-1])

    def _key_features(self, view_NCYX: Tensor, deal: tuple[int, int] | None) -> Tensor:
        if deal is None:
            features_ND: Tensor = self.key_encoder(view_NCYX)
            return features_ND
        return _dealt(self.key_encoder(_dealt(view_NCYX, *deal)), *deal[::-1])

    def _deal(self, samples: int) -> tuple[int, int] | None:
        """How many groups of how many samples keys are dealt among; None where they stay."""
        if self.group is None or self.shuffled_groups == 1:
            return None
        block = self.group * self.shuffled_groups
        if samples % block:
            raise ValueError(
                f"corrected mode deals keys among {self.shuffled_groups} batch norm groups of {self.group} "
                f"samples: the batch per process must be a multiple of {block}, got {samples}; choose "
                "another batch, or a smaller group"
            )
        return self.shuffled_groups, self.group

    def _shown(self, queries_SNP: Tensor, losses_S: Tensor, nearest_SN: Tensor) -> dict[str, Tensor]:
        spread = queries_SNP.detach().std(dim=1).mean()
        accuracies_S = nearest_SN.float().mean(dim=1)
        shown = {f"loss_{i}": losses_S[i].detach() for i in range(self.spaces)}
        shown |= {f"accuracy_{i}": accuracies_S[i] for i in range(self.spaces)}
        return {**shown, "embedding_std": spread, "queue_filled": self.queue.filled(spread.device)}


def own_space(keys_SJMP: Tensor) -> Tensor:
    """``(S, M, P)``: of space i the keys of view i."""
    return keys_SJMP.diagonal(dim1=0, dim2=1).movedim(-1, 0)


def _dealt(samples: Tensor, rows: int, columns: int) -> Tensor:
    """Each ``rows`` x ``columns`` samples in a row, read down the columns of their table."""
    dealt, rest = torch.empty_like(samples), samples.shape[1:]  # of the same memory format
    tables = samples.reshape(-1, rows, columns, *rest)
    dealt.view(-1, columns, rows, *rest).copy_(tables.transpose(1, 2))
    return dealt


def _unit(projected: Tensor) -> Tensor:
    """Of length 1, in float32 at least."""
    return functional.normalize(projected.to(torch.promote_types(projected.dtype, torch.float32)), dim=-1)


def _features(encoder: nn.Module) -> int:
    features = getattr(encoder, "features", None)
    if not isinstance(features, int):
        raise TypeError(
            f"{type(encoder).__name__} has no number of features: an encoder says it as .features"
        )
    return features


def _refuse_odd(temperature: float, momentum: float, mode: str, shuffled_groups: int) -> None:
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be in [0, 1), got {momentum}")
    if mode not in ("parity", "corrected"):
        raise ValueError(f"mode must be parity or corrected, got {mode!r}")
    if shuffled_groups < 1:
        raise ValueError(f"shuffled_groups must be at least 1, got {shuffled_groups}")
