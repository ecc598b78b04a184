"""Keys of past batches, one ring for each space.

Axes: S spaces, K keys of a queue, N new keys, D dimensions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class KeyQueue(nn.Module):
    """S rings of K unit vectors, ``keys_SKD`` float32; at first random ones.

    Where the next keys go is a Python number, so that no step waits for the device; it is in ``state_dict``
    beside the keys, so that a resumed run goes on where it stopped. What reads it is not compiled: each place
    would be compiled anew. The first keys come from ``seed`` alone: they are the same in each process, as are
    the later ones when the gathered keys are put in.
    """

    keys_SKD: Tensor

    def __init__(self, spaces: int, size: int, dim: int, *, seed: int = 0) -> None:
        super().__init__()
        if min(spaces, size, dim) < 1:
            raise ValueError(f"spaces, size and dim must be at least 1, got {spaces}, {size}, {dim}")
        random = torch.randn(spaces, size, dim, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("keys_SKD", functional.normalize(random, dim=-1))
        self.written = 0
        """Keys put in since the beginning, of each space."""

    @property
    def size(self) -> int:
        """K."""
        return self.keys_SKD.shape[1]

    @property
    def pointer(self) -> int:
        """Where the next key goes."""
        return self.written % self.size

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def filled(self, device: torch.device) -> Tensor:
        """Share of the queue that holds keys of images, as a scalar."""
        return torch.full((), min(1.0, self.written / self.size), device=device)

    @torch.no_grad()
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def put(self, new_SND: Tensor) -> None:
        """Let N keys of each space take the place of the oldest.

        Raises ``ValueError`` for more keys than the queue holds: some of them would never be seen.
        """
        count = new_SND.shape[1]
        if count > self.size:
            raise ValueError(
                f"the batch of all processes has {count} samples but the queue holds {self.size}: "
                "choose a longer queue or a smaller batch"
            )
        start, upto_end = self.pointer, min(count, self.size - self.pointer)
        self.keys_SKD[:, start : start + upto_end].copy_(new_SND[:, :upto_end])
        self.keys_SKD[:, : count - upto_end].copy_(new_SND[:, upto_end:])
        self.written += count

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.written)

    def set_extra_state(self, state: Any) -> None:
        self.written = int(state)
