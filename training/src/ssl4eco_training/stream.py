"""Which location is the i-th sample of a run: one endless stream, whatever the number of processes.

An epoch is a permutation of the locations (or, with weights, as many draws as there are locations), and the
next begins where it ends, in the middle of a batch too. So every epoch is covered exactly, and the
position of a run is one number: the samples that were seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ssl4eco_training.random import UInt64s, uniform

Ints = npt.NDArray[np.int64]
_ORDER, _START = 0, 1
"""Streams of random numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Some samples of a run, each ``(n,)``: places among the items, epochs, and the names of their draws.

    An item that comes twice in an epoch has two names, so that it is seen with two draws.
    """

    places: Ints
    epochs: Ints
    keys: UInt64s


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleStream:
    """Samples of ``items`` (64-bit names, ``(n,)``), drawn by ``weights`` (``(n,)``, >= 0) or each once.

    With weights an item comes ``floor`` or ``ceil`` of ``n w / sum(w)`` times an epoch (systematic sampling:
    Madow 1949), in random order. Raises ``ValueError`` for weights that cannot be drawn by.
    """

    seed: int
    items: UInt64s
    weights: npt.NDArray[np.float64] | None = None
    _orders: dict[int, tuple[Ints, UInt64s]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.items.size:
            raise ValueError("items must be at least one")
        if self.weights is not None:
            good = self.weights.shape == self.items.shape and np.isfinite(self.weights).all()
            if not (good and (self.weights >= 0).all() and self.weights.sum() > 0):
                raise ValueError(
                    f"weights must be {self.items.size} finite numbers of at least 0, not all 0; got "
                    f"shape {self.weights.shape}"
                )

    def epoch_order(self, epoch: int) -> Ints:
        """``(n,)`` places in ``items``, in the order of an epoch."""
        return self._epoch(epoch)[0]

    def _epoch(self, epoch: int) -> tuple[Ints, UInt64s]:
        """(order of an epoch, the names of its draws); those of the last two are kept."""
        if epoch not in self._orders:
            for old in [known for known in self._orders if known != epoch - 1]:
                self._orders.pop(old, None)
            order = self._order(epoch)
            self._orders[epoch] = order, self._keys(order)
        return self._orders[epoch]

    def _order(self, epoch: int) -> Ints:
        places = np.arange(self.items.size) if self.weights is None else self._drawn(epoch)
        draws = uniform(self.seed, epoch, self._keys(places), _ORDER, 2)
        order: Ints = places[np.lexsort((self.items[places], draws[:, 1], draws[:, 0]))].astype(np.int64)
        return order

    def _keys(self, places: npt.NDArray[np.integer]) -> UInt64s:
        keys: UInt64s = self.items[places] + _occurrence(places).astype(np.uint64)
        return keys

    def take(self, start: int, count: int) -> Samples:
        """The samples ``start`` and on of the run."""
        numbers = np.arange(start, start + count)
        epochs, offsets = np.divmod(numbers, self.items.size)
        places, keys = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.uint64)
        for epoch in np.unique(epochs).tolist():
            mine = epochs == epoch
            order, names = self._epoch(epoch)
            places[mine], keys[mine] = order[offsets[mine]], names[offsets[mine]]
        return Samples(places=places, epochs=epochs.astype(np.int64), keys=keys)

    def _drawn(self, epoch: int) -> npt.NDArray[np.intp]:
        """Systematic sample by weights, over the items in the order of their names."""
        if self.weights is None:
            raise ValueError("there are no weights")
        by_name = np.argsort(self.items, kind="stable")
        n = self.items.size
        bounds = np.cumsum(self.weights[by_name])
        start = uniform(self.seed, epoch, np.zeros(1, np.uint64), _START, 1)[0, 0]
        marks = (np.arange(n) + start) * (bounds[-1] / n)
        drawn: npt.NDArray[np.intp] = by_name[np.minimum(np.searchsorted(bounds, marks, side="right"), n - 1)]
        return drawn


def _occurrence(places: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """How often each value came before."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    first = np.searchsorted(ordered, ordered, side="left")
    counts = np.empty_like(order)
    counts[order] = np.arange(places.size) - first
    return counts
