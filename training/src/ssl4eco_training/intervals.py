"""Bootstrap intervals: locations are drawn with replacement, with all their samples, and so are runs.

Percentile bootstrap (Efron 1979, "Bootstrap methods: another look at the jackknife", Ann. Statist. 7). Every
run is judged at every location, so each draw takes runs and locations independently (Owen 2007, "The
pigeonhole bootstrap", Ann. Appl. Stat. 1). Of one run it says how much a score would vary with other
locations of the same kind, not with another training run. **Of few runs it is too narrow**: where runs
differ more than locations do, intervals that are to cover 95 % covered some 55 % with 2 runs, 73 % with 3,
83 % with 5 and 90 % with 10 (simulated with effects of runs five times those of locations).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ssl4eco_training.metrics import Floats, Statistic
from ssl4eco_training.random import uniform

DRAWS, LEVEL = 1000, 0.95
_STREAM, _RUN_STREAM = 40, 44
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
    runs: Sequence[Statistic],
    groups: npt.NDArray[np.int64],
    *,
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:
    """The interval of the mean of runs, each a statistic of samples of ``groups`` ``(n,)`` (0, 1, ...).

    Groups are locations. The same seed and groups draw the same locations whatever the statistics, and the
    same runs whatever they gave. Raises ``ValueError`` without runs, samples or draws, and for a level
    outside (0, 1).
    """
    if not runs or not groups.size or draws < 1 or not 0 < level < 1:
        raise ValueError(
            f"runs, groups and draws must be at least 1, level in (0, 1); got {len(runs)}, {groups.size}, "
            f"{draws}, {level}"
        )
    pairs = zip(_times(len(runs), seed, draws), _weights(groups, seed, draws), strict=True)
    values = np.array([_mean(runs, times, weights) for times, weights in pairs])
    known = values[np.isfinite(values)]
    undefined = draws - known.size
    if undefined > draws / 2:
        return Interval(low=float("nan"), high=float("nan"), undefined=undefined)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high), undefined=undefined)


def difference(first: Statistic, second: Statistic) -> Statistic:
    """``first - second`` of the same samples: the paired difference."""
    return lambda weights: first(weights) - second(weights)


def _mean(runs: Sequence[Statistic], times: npt.NDArray[np.int64], weights: Floats) -> float:
    """The mean of the runs, each counted as often as it was drawn; NaN where one of the drawn is."""
    drawn = (often * run(weights) for run, often in zip(runs, times.tolist(), strict=True) if often)
    return float(sum(drawn) / len(runs))


def _times(runs: int, seed: int, draws: int) -> npt.NDArray[np.int64]:
    """``(draws, runs)`` how often each run is drawn."""
    numbers, places = np.arange(draws)[:, None], np.arange(runs, dtype=np.uint64)
    drawn = (uniform(seed, numbers, places[None, :], _RUN_STREAM, 1)[..., 0] * runs).astype(np.int64)
    times: npt.NDArray[np.int64] = (drawn[:, :, None] == np.arange(runs)).sum(axis=1)
    return times


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
