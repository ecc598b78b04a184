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
import pandas as pd

from ssl4eco_data.types import BoolArray

IntArray = npt.NDArray[np.int64]
Rule = Literal["proportional", "equal", "sqrt"]
_START_BITS = 16
"""Places between two points of the sequence where it may start: a cell's chances differ by 2e-5 at most."""


def allocate(
    available: npt.ArrayLike, total: int, rule: Rule, *, minimum: int = 0, cap: int | None = None
) -> IntArray:
    """Places of each stratum, int64; they sum to ``total`` exactly.

    ``available`` is the number of cells of each stratum, which are of equal area: no stratum gets more, and
    its weight is that number, its square root, or one. Each gets ``minimum`` first, or all its cells where it
    has fewer, and none more than ``cap``. Ties go to the earlier stratum. Raises ``ValueError`` when
    ``total`` is more than cells and cap allow, or less than the minima take, and when ``cap`` is below
    ``minimum``.
    """
    if cap is not None and cap < minimum:
        raise ValueError(f"cap must be at least the minimum of {minimum}, got {cap}")
    cells = np.asarray(available, np.int64)
    least = np.minimum(cells, minimum)
    most = cells if cap is None else np.minimum(cells, cap)
    if total > most.sum():
        within = "" if cap is None else f" with at most {cap} from each of the {len(cells)} strata"
        raise ValueError(f"n must be at most the {most.sum()} cells there are{within}, got {total}")
    if total < least.sum():
        raise ValueError(
            f"n must be at least {least.sum()}, what a minimum of {minimum} takes over {len(cells)} strata, "
            f"got {total}"
        )
    return _divide(_weights(cells, rule), total, least, most)


def _weights(cells: IntArray, rule: Rule) -> npt.NDArray[np.float64]:
    """Exactly rounded, so that ties are ties on every machine."""
    area = cells.astype(np.float64)
    return {"proportional": area, "sqrt": np.sqrt(area), "equal": np.ones_like(area)}[rule]


def _divide(weight: npt.NDArray[np.float64], total: int, least: IntArray, most: IntArray) -> IntArray:
    """``total`` places over the strata, each between ``least`` and ``most``."""
    places = least.copy()
    queue = [(-weight[i] / (2 * places[i] + 1), i) for i in np.flatnonzero(places < most).tolist()]
    heapq.heapify(queue)
    for _ in range(total - int(places.sum())):
        _, i = queue[0]
        places[i] += 1
        if places[i] < most[i]:
            heapq.heapreplace(queue, (-weight[i] / (2 * places[i] + 1), i))
        else:
            heapq.heappop(queue)
    return places


def wanted(
    available: npt.ArrayLike, total: int, rule: Rule, *, minimum: int = 0, cap: int | None = None
) -> IntArray:
    """Places, int64, as :func:`allocate` would give them if every stratum had cells enough.

    The sum is ``total``, or that of the minima where they take more.
    """
    cells = np.asarray(available, np.int64)
    least = np.full(len(cells), minimum, np.int64)
    total = max(total, int(least.sum()))
    most = np.full(len(cells), total if cap is None else cap, np.int64)
    return _divide(_weights(cells, rule), total, least, most)


def spread_order(count: int, seed: int, stratum: str) -> IntArray:
    """A permutation, int64, of ``count`` cells that lie along a curve: any first n of it are spread evenly.

    The van der Corput sequence (halves, quarters, eighths, …) runs along the curve from a start drawn from
    ``seed`` and the stratum's name; each of its points takes the cell it falls into, cells taken before are
    passed over. Every cell is equally likely to start, so over all seeds each is among the first n with
    probability n / count (to 2e-5 of it), and the first n are among the first n + 1. Integers and BLAKE2
    throughout: the same on every machine. Source of the sequence: van der Corput (1935); of ordering a sample
    along a hierarchical curve: Stevens and Olsen (2004), doi:10.1198/016214504000000250.
    """
    if count < 2:
        return np.arange(count, dtype=np.int64)
    digest = hashlib.blake2b(f"sample/{seed}/{stratum}".encode(), digest_size=8).digest()
    bits = (count - 1).bit_length()
    circle = 1 << (bits + _START_BITS)
    step = np.arange(1 << bits, dtype=np.int64)
    turned = np.zeros_like(step)
    for bit in range(bits):
        turned |= ((step >> bit) & 1) << (bits - 1 - bit)
    place = ((turned << _START_BITS) + int.from_bytes(digest, "big") % circle) % circle
    _, first = np.unique(place * count >> (bits + _START_BITS), return_index=True)
    return np.asarray(np.argsort(first, kind="stable"))


def choose_cells(
    stratum: npt.NDArray[np.str_],
    total: int,
    rule: Rule,
    *,
    minimum: int = 0,
    cap: int | None = None,
    seed: int,
) -> tuple[BoolArray, pd.DataFrame]:
    """(chosen, strata): which cells are taken, bool ``(cell,)``, and what each stratum got.

    ``stratum`` names the stratum of each cell, cells in the order of a space-filling curve. ``strata`` has
    one row per stratum, by name: ``stratum`` str; ``available``, ``asked`` (:func:`wanted`), ``got`` int64
    cells; ``inclusion_probability`` float64, got / available. Raises ``ValueError`` as :func:`allocate`.
    """
    names, of_cell, available = np.unique(stratum, return_inverse=True, return_counts=True)
    got = allocate(available, total, rule, minimum=minimum, cap=cap)
    chosen = np.zeros(len(stratum), bool)
    by_stratum = np.split(np.argsort(of_cell, kind="stable"), np.cumsum(available)[:-1])
    for name, cells, n in zip(names, by_stratum, got, strict=True):
        chosen[cells[spread_order(len(cells), seed, str(name))[:n]]] = True
    asked = wanted(available, total, rule, minimum=minimum, cap=cap)
    return chosen, _table(names, available, asked, got)


def all_cells(stratum: npt.NDArray[np.str_]) -> pd.DataFrame:
    """The table of strata of :func:`choose_cells` where every cell is taken."""
    names, available = np.unique(stratum, return_counts=True)
    return _table(names, available, available, available)


def _table(names: npt.NDArray[np.str_], available: IntArray, asked: IntArray, got: IntArray) -> pd.DataFrame:
    columns = {"available": available, "asked": asked, "got": got, "inclusion_probability": got / available}
    return pd.DataFrame({"stratum": pd.Series(names.tolist(), dtype="str"), **columns})
