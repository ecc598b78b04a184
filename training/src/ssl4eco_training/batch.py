"""A batch of locations on its way from the shards to the objective.

Axes: n locations, m images (seasons drawn) of each, v views, c channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from ssl4eco_training.views import ViewDraws


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewTensors:
    """:class:`ViewDraws` as float32 and bool tensors."""

    box: Tensor
    brightness: Tensor
    contrast: Tensor
    grey: Tensor
    sigma_px: Tensor
    flip: Tensor

    @classmethod
    def of(cls, draws: ViewDraws) -> Self:
        """Each array as a tensor; numbers as float32."""
        made = {f.name: torch.from_numpy(getattr(draws, f.name)) for f in fields(cls)}
        return cls(**{n: t.float() if t.is_floating_point() else t for n, t in made.items()})

    def moved(self, move: Callable[[Tensor], Tensor]) -> Self:
        """Each tensor through ``move``."""
        return replace(self, **{f.name: move(getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """n locations, m images each.

    ``pixels`` are the stored arrays that hold wanted bands, by name (``r10``, ``r20``, ``r60``):
    ``(n, m, band, y, x)`` uint16 DN, 0 where there is no data; ``bands`` says which, in which order.
    ``rows`` ``(n,)`` and ``seasons`` ``(n, m)`` int64 are places in the dataset; ``day_of_year`` and
    ``phase`` (of the vegetation cycle, 0 to 1) ``(n, m)`` float32, NaN where unknown; ``lon``, ``lat``
    ``(n,)`` float32 degrees.
    ``views`` are the draws of each view. ``position`` is the number of samples of the run, over all
    processes, up to and with this batch.
    """

    pixels: Mapping[str, Tensor]
    bands: Mapping[str, tuple[str, ...]]
    rows: Tensor
    seasons: Tensor
    day_of_year: Tensor
    phase: Tensor
    lon: Tensor
    lat: Tensor
    views: tuple[ViewTensors, ...]
    position: int

    def to(self, device: torch.device) -> Self:
        """On a device; from pinned memory the host does not wait for the copies."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Self:
        """In page-locked memory, where what is not so yet is copied."""
        return self._with(Tensor.pin_memory)

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Let a GPU's memory of this batch wait, once nobody holds it, for what ``stream`` has to do then."""

        def recorded(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        self._with(recorded)

    def _with(self, moved: Callable[[Tensor], Tensor]) -> Self:
        return replace(
            self,
            pixels={name: moved(array) for name, array in self.pixels.items()},
            rows=moved(self.rows),
            seasons=moved(self.seasons),
            day_of_year=moved(self.day_of_year),
            phase=moved(self.phase),
            lon=moved(self.lon),
            lat=moved(self.lat),
            views=tuple(view.moved(moved) for view in self.views),
        )

    def missing(self) -> dict[str, Tensor]:
        """``(n, m, y, x)`` bool of each array: where any of its bands has no data."""
        return {name: (pixels == 0).any(dim=2) for name, pixels in self.pixels.items()}
