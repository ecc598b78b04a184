"""k nearest neighbours by cosine, weighted by softmax (Wu et al. 2018, "Unsupervised feature learning via
non-parametric instance discrimination", CVPR).

Axes: N training samples, Q queries, D features, L classes, labels or targets.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.07
_CHUNK = 1024


def knn(
    train_ND: Tensor, targets_NL: Tensor, query_QD: Tensor, k: int, temperature: float = TEMPERATURE
) -> Tensor:
    """``(Q, L)`` float32: the targets of the ``k`` most similar training samples, averaged.

    Weights are the softmax of cosine / ``temperature``. Targets are one-hot classes, 0 and 1 of labels (the
    answer is then a probability), or values. With fewer training samples than ``k`` all of them count; a
    vector of zeros is equally similar to all. Raises ``ValueError`` for no training sample or ``k`` below 1.
    """
    if k < 1 or not len(train_ND) or temperature <= 0:
        raise ValueError(
            f"k, training samples and temperature must be at least 1, at least 1, above 0; got {k}, "
            f"{len(train_ND)}, {temperature}"
        )
    known_DN = functional.normalize(train_ND.float(), dim=1).T
    answers = [torch.empty(0, targets_NL.shape[1], device=train_ND.device)]
    for part_QD in torch.split(query_QD, _CHUNK):
        cosine_QN = functional.normalize(part_QD.float(), dim=1) @ known_DN
        cosine_QK, place_QK = cosine_QN.topk(min(k, len(train_ND)), dim=1)
        weight_QK = functional.softmax(cosine_QK / temperature, dim=1)
        answers.append(torch.einsum("qk,qkl->ql", weight_QK, targets_NL.float()[place_QK]))
    return torch.cat(answers)
