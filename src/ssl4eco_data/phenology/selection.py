"""Quantiles by selection, compiled: what ``compiled.quantile`` gives, without sorting or a copy."""

from __future__ import annotations

from ssl4eco_data.phenology.compiled import compiled
from ssl4eco_data.types import FloatArray


@compiled
def select(values: FloatArray, rank: int) -> float:
    """The value of a rank (0 is the least); reorders ``values`` (no NaN) so that none after it is less.

    Hoare's (1961) FIND with the middle element as pivot.
    """
    low, high = 0, values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return float(values[rank])


@compiled
def quantile_of_scratch(values: FloatArray, share: float) -> float:
    """The ``share`` quantile of at least one value, linear between ranks; reorders ``values`` (no NaN)."""
    at = share * (values.size - 1)
    rank = int(at)
    lower = select(values, rank)
    if rank + 1 == values.size:
        return lower
    return float(lower + (at - rank) * (values[rank + 1 :].min() - lower))
