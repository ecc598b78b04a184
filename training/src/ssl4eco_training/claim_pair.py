"""Two datasets of the same locations that differ in the rule of their seasons alone, and their check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.store import ShardReader, read_small_arrays
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.identity import dataset_fingerprint

PHENOLOGICAL, CALENDAR = ARMS = ("phenological", "calendar")
RANDOM = "random"
"""The encoders that stand beside the arms."""
_SOURCE = "phenology_source"
_HOW = "build both from configurations that differ in [dataset] root and [phenology] date_rule alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The datasets by arm: where they lie, their fingerprints, what they have of each split.

    ``images`` and ``locations`` count by arm and split; ``common`` is the share of the calendar arm's images
    whose location has one of the very same time in the other arm.
    """

    roots: Mapping[str, str]
    fingerprints: Mapping[str, str]
    images: Mapping[str, Mapping[str, int]]
    locations: Mapping[str, Mapping[str, int]]
    common: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "datasets": dict(self.roots),
            "fingerprints": dict(self.fingerprints),
            "images": {arm: dict(counts) for arm, counts in self.images.items()},
            "locations": {arm: dict(counts) for arm, counts in self.locations.items()},
            "common_images": self.common,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What of a dataset is compared; ``same`` must be equal in both."""

    arrays: Mapping[str, npt.NDArray[Any]]
    same: Mapping[str, Any]


def open_pair(phenological: str, calendar: str) -> Pair:
    """The pair. Raises TrainingError for datasets that are no twins, ``StoreError`` where there is none."""
    roots = dict(zip(ARMS, (phenological, calendar), strict=True))
    seen = {arm: _look(root) for arm, root in roots.items()}
    _refuse_unlike(roots, seen[PHENOLOGICAL], seen[CALENDAR])
    fingerprints = {arm: dataset_fingerprint(root) for arm, root in roots.items()}
    if len(set(fingerprints.values())) == 1:
        raise TrainingError(f"{phenological} and {calendar} have the same images: {_HOW}")
    for arm, root in roots.items():
        _refuse_other_rule(arm, root)
    return Pair(
        roots=roots,
        fingerprints=fingerprints,
        images={arm: _counts(one, locations=False) for arm, one in seen.items()},
        locations={arm: _counts(one, locations=True) for arm, one in seen.items()},
        common=_common(*(seen[arm].arrays["time"].astype("int64") for arm in ARMS)),
    )


def _look(root: str) -> _Seen:
    reader = ShardReader(root)
    bands = sorted(band for name in reader.arrays for band in reader.bands(name))
    arrays = read_small_arrays(root, ("location_id", "split", "time"))
    return _Seen(arrays=arrays, same={"seasons": reader.seasons, "bands": tuple(bands)})


def _refuse_unlike(roots: Mapping[str, str], one: _Seen, other: _Seen) -> None:
    first, second = roots.values()
    mine, theirs = (set(seen.arrays["location_id"].tolist()) for seen in (one, other))
    if mine != theirs:
        raise TrainingError(
            f"{first} and {second} are of different locations: {len(mine - theirs)} are in the first only "
            f"and {len(theirs - mine)} in the second only, such as {min(mine ^ theirs)}; {_HOW}"
        )
    for name in ("location_id", "split"):
        differ = np.flatnonzero(one.arrays[name] != other.arrays[name])
        if differ.size:
            row = differ[0]
            raise TrainingError(
                f"{first} and {second} differ in {name} at row {row}: {str(one.arrays[name][row])!r} and "
                f"{str(other.arrays[name][row])!r}; {_HOW}"
            )
    for name, value in one.same.items():
        if value != other.same[name]:
            raise TrainingError(
                f"{first} and {second} differ in {name}: {', '.join(value)} and "
                f"{', '.join(other.same[name])}; {_HOW}"
            )


def _refuse_other_rule(arm: str, root: str) -> None:
    """Where windows come from is written beside each location: all from the calendar, or not."""
    try:
        source = read_small_arrays(root, (_SOURCE,))[_SOURCE]
    except ValueError:  # a copy may lack it
        return
    by_calendar = bool((source == CALENDAR).all())
    if by_calendar != (arm == CALENDAR):
        is_ = "are" if by_calendar else "are not"
        raise TrainingError(
            f"{root} is given as the {arm} one, but its season windows {is_} the calendar's: the "
            "phenological dataset comes first, the calendar's second"
        )


def _counts(seen: _Seen, *, locations: bool) -> dict[str, int]:
    there = ~np.isnat(seen.arrays["time"])
    each = there.any(axis=1).astype(np.int64) if locations else there.sum(axis=1)
    splits = seen.arrays["split"]
    return {str(split): int(each[splits == split].sum()) for split in np.unique(splits)}


def _common(first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
    """Times ``(n, s)`` of both; the share of the second's that stand in the same row of the first."""
    missing = np.datetime64("NaT").astype(np.int64)
    there = second != missing
    found = (second[:, :, None] == first[:, None, :]).any(axis=2) & there
    return float(found.sum() / max(1, there.sum()))
