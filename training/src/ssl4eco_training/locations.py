"""The locations of a split, and what is known of each beside its pixels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.store import Place, read_small_arrays
from ssl4eco_training.random import UInt64s, names

_LOG = logging.getLogger(__name__)
_ALWAYS = ("location_id", "lon", "lat", "time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locations:
    """n locations that have a season at least, s seasons each.

    ``rows`` ``(n,)`` are their places in the dataset, ``ids`` their ``location_id``, ``keys`` the names of
    their random draws, ``weights`` ``(n,)`` None where each counts the same. ``present`` ``(n, s)`` says
    which seasons have a patch; ``day_of_year`` (1 to 366, UTC) and ``phase`` (0 to 1) ``(n, s)`` float32 are
    NaN where unknown; ``lon``, ``lat`` ``(n,)`` are float32 degrees.
    """

    rows: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    keys: UInt64s
    weights: npt.NDArray[np.float64] | None
    present: npt.NDArray[np.bool_]
    day_of_year: npt.NDArray[np.float32]
    phase: npt.NDArray[np.float32]
    lon: npt.NDArray[np.float32]
    lat: npt.NDArray[np.float32]


def read_locations(root: str | Place, split: str | None, *, weighted: bool = False) -> Locations:
    """The locations of a split (None: all) of the dataset at ``root``, in its order.

    Locations without any season are left out, and one line of the log says how many. Raises ``ValueError``
    when none is left, naming the splits there are, and for a dataset without weights when ``weighted``.
    """
    found = read_small_arrays(root, [*_ALWAYS, *(["split"] * (split is not None)), *(["weight"] * weighted)])
    present = ~np.isnat(found["time"])
    wanted = np.ones(len(present), dtype=bool) if split is None else found["split"] == split
    rows = np.flatnonzero(wanted & present.any(axis=1))
    if not rows.size:
        raise ValueError(_nothing(root, split, found.get("split"), int(wanted.sum())))
    if dropped := int(wanted.sum()) - rows.size:
        _LOG.warning("%s: %d of %d locations have no season and are left out", root, dropped, wanted.sum())
    ids = tuple(found["location_id"][rows].tolist())
    return Locations(
        rows=rows.astype(np.int64),
        ids=ids,
        keys=names(ids),
        weights=found["weight"][rows].astype(np.float64) if weighted else None,
        present=present[rows],
        day_of_year=day_of_year(found["time"][rows]),
        phase=_phase(root, present.shape)[rows],
        lon=found["lon"][rows].astype(np.float32),
        lat=found["lat"][rows].astype(np.float32),
    )


def day_of_year(times: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float32]:
    """1 to 366 (UTC), NaN where there is no time."""
    days = (times.astype("datetime64[D]") - times.astype("datetime64[Y]").astype("datetime64[D]")).astype(
        float
    )
    return np.where(np.isnat(times), np.nan, days + 1).astype(np.float32)


def _phase(root: str | Place, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """The array ``cycle_phase``; NaN in a dataset without phenology."""
    try:
        return read_small_arrays(root, ["cycle_phase"])["cycle_phase"].astype(np.float32)
    except ValueError:
        return np.full(tuple(shape), np.nan, dtype=np.float32)


def _nothing(root: str | Place, split: str | None, splits: npt.NDArray[Any] | None, wanted: int) -> str:
    if wanted:
        return f"{root}: none of the {wanted} locations (split: {split}) has a season; ssl4eco check says why"
    known = [] if splits is None else sorted(set(splits.tolist()) - {""})
    return f"{root} has no location in the split {split!r}; there are: {', '.join(known) or 'none'}"
