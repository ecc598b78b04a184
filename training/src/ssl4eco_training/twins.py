"""The slow copies that make the keys (He et al. 2020, "Momentum contrast", CVPR)."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def twin_of(module: M) -> M:
    """A copy with equal parameters and buffers, which takes no gradient."""
    return copy.deepcopy(module).requires_grad_(False)


def move_twin(twin: nn.Module, module: nn.Module, momentum: float) -> None:
    """Each parameter of ``twin`` becomes ``momentum`` x itself + (1 - ``momentum``) x that of ``module``.

    Buffers stay: the twin's batch norms follow what the twin sees. One launch for all parameters.
    """
    with torch.no_grad():
        torch._foreach_lerp_(list(twin.parameters()), list(module.parameters()), 1 - momentum)
