"""Projection heads Linear(D, D)-ReLU-Linear(D, P), one for each space, as two batched products.

Axes: S spaces (heads), N samples, D features, P dimensions of a projection.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ProjectionHeads(nn.Module):
    """Features ``(N, D)`` to the projections of S heads, ``(S, N, P)``; begun as ``nn.Linear`` begins."""

    def __init__(self, spaces: int, features: int, dim: int) -> None:
        super().__init__()
        self.weight1_SDD = nn.Parameter(torch.empty(spaces, features, features))
        self.bias1_S1D = nn.Parameter(torch.empty(spaces, 1, features))
        self.weight2_SDP = nn.Parameter(torch.empty(spaces, features, dim))
        self.bias2_S1P = nn.Parameter(torch.empty(spaces, 1, dim))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(features), 1 / math.sqrt(features))

    def forward(self, features_ND: Tensor) -> Tensor:
        """All heads of the same features."""
        features_SND = features_ND.expand(self.weight1_SDD.shape[0], *features_ND.shape)
        hidden_SND = torch.baddbmm(self.bias1_S1D, features_SND, self.weight1_SDD).relu_()
        return torch.baddbmm(self.bias2_S1P, hidden_SND, self.weight2_SDP)
