"""Momentum contrast (He et al. 2020; version 2: Chen et al. 2020, arXiv:2003.04297) of two seasons: MoCo-Eco.

Axes: S = 1 space, J = 1 key view, N samples of this process, M of all processes, P dimensions.
"""

from __future__ import annotations

from torch import Tensor

from ssl4eco_training import contrast
from ssl4eco_training.objectives.contrastive import Contrastive, own_space
from ssl4eco_training.views import ViewPlan


class MoCo(Contrastive):
    """Two augmented views of two distinct seasons; negatives are the queue alone.

    See :class:`Contrastive` for the parameters and for what leaks in parity mode.
    """

    images = 2
    views = (ViewPlan(image=0, augment=True), ViewPlan(image=1, augment=True))
    spaces = 1

    def losses(self, queries_SNP: Tensor, keys_SJNP: Tensor, keys_SJMP: Tensor) -> tuple[Tensor, Tensor]:
        positive_SN = contrast.positive(queries_SNP, own_space(keys_SJNP), self.temperature)
        queued = contrast.part(queries_SNP, self.queue.keys_SKD, self.temperature)
        return contrast.cross_entropy(positive_SN, queued)
