"""Seasonal contrast (Mañas et al. 2021, ICCV) as SeCo-Eco was trained, which differs from the papers' texts.

Axes: S = 3 spaces, J = 3 key views, N samples of this process, M of all processes, P dimensions.

Views of three seasons t0, t1, t2 of a location, cropped each by itself, the second and fourth augmented: the
query of t0, and keys of t1, t2, t0. Space 0 is invariant to season and augmentation, space 1 to season,
space 2 to augmentation: the positive of space i is key view i. Negatives are the queue and, in the spaces 1
and 2, the two other key views of **all** samples of the batch, those of the same location too.
"""

from __future__ import annotations

from torch import Tensor

from ssl4eco_training import contrast
from ssl4eco_training.objectives.contrastive import Contrastive, own_space
from ssl4eco_training.views import ViewPlan


class SeCo(Contrastive):
    """See :class:`Contrastive` for the parameters and for what leaks in parity mode."""

    images = 3
    views = (
        ViewPlan(image=0, augment=False),
        ViewPlan(image=1, augment=True),
        ViewPlan(image=2, augment=False),
        ViewPlan(image=0, augment=True),
    )
    spaces = 3

    def losses(self, queries_SNP: Tensor, keys_SJNP: Tensor, keys_SJMP: Tensor) -> tuple[Tensor, Tensor]:
        return seco_losses(queries_SNP, keys_SJNP, keys_SJMP, self.queue.keys_SKD, self.temperature)


def seco_losses(
    queries_SNP: Tensor, keys_SJNP: Tensor, keys_SJMP: Tensor, queue_SKP: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """``(S, N)`` losses, and bool whether the positive is the nearest key.

    ``keys_SJMP`` are those of all processes, ``keys_SJNP`` of this one's samples among them.
    """
    positive_SN = contrast.positive(queries_SNP, own_space(keys_SJNP), temperature)
    queued = contrast.part(queries_SNP, queue_SKP, temperature)
    others = contrast.part(queries_SNP[1:], contrast.other_views(keys_SJMP), temperature)
    return contrast.cross_entropy(positive_SN, contrast.joined(queued, others))
