"""What an encoder and an objective must offer; both are chosen by import path, ``package.module:name``.

Axes in names: N samples, C channels, Y, X pixels, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ssl4eco_training.views import ViewPlan


@runtime_checkable
class Encoder(Protocol):
    """A module from images ``(N, C, Y, X)`` float to features ``(N, D)``; ``features`` is D."""

    features: int

    def __call__(self, images_NCYX: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Loss:
    """What to minimise (a scalar tensor), and what to show (detached scalar tensors by name)."""

    total: Tensor
    shown: Mapping[str, Tensor] = field(default_factory=dict)


@runtime_checkable
class Objective(Protocol):
    """A module that trains an encoder.

    ``images`` seasons of each location are read, ``views`` says what is shown of them, in the order in which
    ``forward`` takes them. All its state is in ``state_dict`` (queues and their pointers too).
    A step of the optimiser may take several forwards (``accumulate``): ``before_step`` is called once before
    them (twins move there), ``after_step`` once after the optimiser (keys go into the queue there).
    """

    images: int
    views: Sequence[ViewPlan]
    encoder: nn.Module

    def __call__(self, views: Sequence[Tensor]) -> Loss: ...

    def before_step(self) -> None: ...

    def after_step(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...
