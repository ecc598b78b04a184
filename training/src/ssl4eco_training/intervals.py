"""Bootstrap intervals: locations are drawn with replacement, with all their samples.

Percentile bootstrap (Efron 1979, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7).
It says how much a score would vary with other locations of the same kind, not with another training run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl4eco_training.metrics import Floats, Statistic
from ssl4eco_training.random import uniform

DRAWS, LEVEL = 1000, 0.95
_STREAM = 40
_CELLS = 2**16
"""Numbers drawn at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From ``low`` to ``high``; NaN where fewer than half of the draws have a score.

    ``undefined`` draws were left out because the score is not defined for them.
    """

    low: float
    high: float
    undefined: int = 0


def bootstrap(
    statistic: Statistic,
    groups: npt.NDArray[np.int64],
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:
    """The interval of a statistic of samples that belong to ``groups`` ``(n,)`` (0, 1, ...: locations).

    The same seed and groups draw the same locations whatever the statistic. Raises ``ValueError`` without
    samples, without draws, for a level outside (0, 1).
    """
    if not groups.size or draws < 1 or not 0 < level < 1:
        raise ValueError(
            f"groups, draws and level must be at least 1, at least 1, in (0, 1); got {groups.size}, "
            f"{draws}, {level}"
        )
    values = np.array([statistic(weights) for weights in _weights(groups, seed, draws)])
    known = values[np.isfinite(values)]
    undefined = draws - known.size
    if undefined > draws / 2:
        return Interval(low=float("nan"), high=float("nan"), undefined=undefined)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), undefined=undefined)


def difference(first: Statistic, second: Statistic) -> Statistic:
    """``first - second`` of the same samples: the paired difference."""
    return lambda weights: first(weights) - second(weights)


def _weights(groups: npt.NDArray[np.int64], seed: int, draws: int) -> Iterator[Floats]:
    """For each draw ``(n,)`` how often each sample's group is drawn."""
    count = int(groups.max()) + 1
    places = np.arange(count, dtype=np.uint64)
    at_once = max(1, _CELLS // count)
    for start in range(0, draws, at_once):
        numbers = np.arange(start, min(start + at_once, draws))
        drawn = (uniform(seed, numbers[:, None], places[None, :], _STREAM, 1)[..., 0] * count).astype(
            np.int64
        )
        for row in drawn:
            yield np.bincount(row, minlength=count)[groups].astype(np.float64)
