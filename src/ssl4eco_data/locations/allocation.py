"""How many locations each stratum gets, and which of its cells, so that small samples lie in larger ones.

Divisor method of Sainte-Lague: the next place goes to the stratum with the largest weight / (2 places + 1).
A place once given is never taken back, so samples are nested. Source: Balinski and Young, Fair Representation
(1982).
"""

from __future__ import annotations

import hashlib
import heapq
from typing import Literal

import numpy as np
import numpy.typing as npt

from ssl4eco_data.types import BoolArray

IntArray = npt.NDArray[np.int64]
Rule = Literal["proportional", "equal", "sqrt"]


def allocate(available: npt.ArrayLike, total: int, rule: Rule, *, minimum: int = 0) -> IntArray:
    """Places of each stratum, int64; they sum to ``total`` exactly.

    ``available`` is the number of cells of each stratum, which are of equal area: no stratum gets more, and
    its weight is that number, its square root, or one. Each gets ``minimum`` first, or all its cells where it
    has fewer. Ties go to the earlier stratum. Raises ``ValueError`` when ``total`` is more than the cells, or
    less than the minima take.
    """
    cells = np.asarray(available, np.int64)
    places = np.minimum(cells, minimum)
    if total > cells.sum():
        raise ValueError(f"n must be at most the {cells.sum()} cells there are, got {total}")
    if total < places.sum():
        raise ValueError(
            f"n must be at least {places.sum()}, what a minimum of {minimum} takes over {len(cells)} strata, "
            f"got {total}"
        )
    power = {"proportional": 1.0, "sqrt": 0.5, "equal": 0.0}[rule]
    weight = cells.astype(np.float64) ** power
    queue = [(-weight[i] / (2 * places[i] + 1), i) for i in np.flatnonzero(places < cells).tolist()]
    heapq.heapify(queue)
    for _ in range(total - int(places.sum())):
        _, i = queue[0]
        places[i] += 1
        if places[i] < cells[i]:
            heapq.heapreplace(queue, (-weight[i] / (2 * places[i] + 1), i))
        else:
            heapq.heappop(queue)
    return places


def spread_order(count: int, seed: int, stratum: str) -> IntArray:
    """A permutation of ``count`` cells that lie along a curve: any first n of it are spread evenly.

    Positions are shifted around the curve by a number drawn from ``seed`` and the stratum's name, then taken
    in the order of their reversed bits (van der Corput). Over all seeds each cell is among the first n with
    probability n / count, and the first n are among the first n + 1.
    """
    digest = hashlib.blake2b(f"sample/{seed}/{stratum}".encode(), digest_size=16).digest()
    shifted = (np.arange(count, dtype=np.int64) + int.from_bytes(digest, "big") % max(count, 1)) % max(
        count, 1
    )
    reversed_ = np.zeros(count, np.int64)
    bits = max(count - 1, 1).bit_length()
    for bit in range(bits):
        reversed_ |= ((shifted >> bit) & 1) << (bits - 1 - bit)
    return np.argsort(reversed_, kind="stable")


def choose_cells(
    stratum: npt.NDArray[np.str_], total: int, rule: Rule, *, minimum: int, seed: int
) -> tuple[BoolArray, npt.NDArray[np.float64]]:
    """(chosen, inclusion probability in its stratum) of each cell, bool and float64.

    ``stratum`` names the stratum of each cell, cells in the order of a space-filling curve.
    """
    names, of_cell, available = np.unique(stratum, return_inverse=True, return_counts=True)
    places = allocate(available, total, rule, minimum=minimum)
    chosen = np.zeros(len(stratum), bool)
    by_stratum = np.split(np.argsort(of_cell, kind="stable"), np.cumsum(available)[:-1])
    for name, cells, n in zip(names, by_stratum, places, strict=True):
        chosen[cells[spread_order(len(cells), seed, str(name))[:n]]] = True
    return chosen, (places / available)[of_cell]
