"""What differs between two versions of a dataset, and whether that is within the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ssl4eco_data.store.codec import is_whole
from ssl4eco_data.store.files import FileRecord
from ssl4eco_data.store.ledger import Ledger
from ssl4eco_data.store.metadata import DOCUMENT
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.reader import open_dataset
from ssl4eco_data.store.schema import ARRAYS, GROUP, PATCHES
from ssl4eco_data.store.shard_array import ShardArray, read_shard_array
from ssl4eco_data.store.tables import read_table
from ssl4eco_data.store.version_rules import ChangeLimits

SAMPLED_SHARDS = 64
"""Shards compared pixel by pixel, spread evenly over those that differ."""
_CANDIDATE = ["location_id", "season", "year", "acquisition", "tile"]
"""What names a candidate after a reprocessing too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The way from one version to another, in counts.

    ``patches`` are (location, season) that have one; gained, lost and replaced ones are told by the scene.
    ``days_moved`` is the median of the days between the two dates of a replaced scene, ``dn_shift`` the
    median, over patches whose pixels differ, of the change of mean reflectance x 10 000 at the finest
    resolution there is; both are NaN where there is no such patch. A file is the same when its checksum is.
    """

    old: str
    new: str
    locations_added: int
    locations_gone: int
    locations_changed: int
    patches_before: int
    patches_after: int
    seasons_gained: int
    seasons_lost: int
    scenes_replaced: int
    days_moved: float
    candidates_before: int
    candidates_lost: int
    files_before: int
    files_after: int
    files_same: int
    dn_shift: float

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield f"from             {self.old}"
        yield f"to               {self.new}"
        yield (
            f"locations        {self.locations_changed} changed, {self.locations_added} added, "
            f"{self.locations_gone} gone"
        )
        yield (
            f"patches          {self.patches_before} before, {self.patches_after} now: "
            f"{self.seasons_gained} gained, {self.seasons_lost} lost"
        )
        moved = "" if math.isnan(self.days_moved) else f", dates moved by {self.days_moved:.0f} days (median)"
        yield f"scenes           {self.scenes_replaced} replaced{moved}"
        yield f"candidates       {self.candidates_before} before, {self.candidates_lost} of them gone"
        shift = "none differ" if math.isnan(self.dn_shift) else f"{self.dn_shift:+.0f} (median)"
        yield f"pixels           change of reflectance x 10 000: {shift}"
        yield f"files            {self.files_same} of {self.files_after} are those of before"


def diff(root_old: Place, root_new: Place) -> Change:
    """What differs between two finished datasets, such as two versions of one.

    Raises :class:`~ssl4eco_data.errors.StoreError` when one of them is not finished or damaged.
    """
    old, new = _chosen(root_old), _chosen(root_new)
    files_old, files_new = _files(root_old), _files(root_new)
    both = old.merge(new, how="outer", on=["location_id", "season"], suffixes=("_old", "_new"))
    ids_old, ids_new = set(old["location_id"]), set(new["location_id"])
    had, has = (both[f"scene_id_{side}"].fillna("") != "" for side in ("old", "new"))
    known = both["location_id"].isin(list(ids_old & ids_new))
    differ = known & (both["scene_id_old"].fillna("") != both["scene_id_new"].fillna(""))
    replaced = differ & had & has
    days = (both["time_new"] - both["time_old"])[replaced].dt.total_seconds().abs() / 86_400
    before, lost = _candidates(root_old, root_new, files_old, files_new)
    return Change(
        old=root_old.name,
        new=root_new.name,
        locations_added=len(ids_new - ids_old),
        locations_gone=len(ids_old - ids_new),
        locations_changed=int(both.loc[differ, "location_id"].nunique()),
        patches_before=int(had.sum()),
        patches_after=int(has.sum()),
        seasons_gained=int((has & ~had).sum()),
        seasons_lost=int((had & ~has).sum()),
        scenes_replaced=int(replaced.sum()),
        days_moved=float(days.median()) if len(days) else math.nan,
        candidates_before=before,
        candidates_lost=lost,
        files_before=len(files_old),
        files_after=len(files_new),
        files_same=sum(files_old.get(name) == record for name, record in files_new.items()),
        dn_shift=_dn_shift(root_old, root_new, files_old, files_new),
    )


def exceeded(change: Change, limits: ChangeLimits) -> list[str]:
    """In words, each limit that a change exceeds; none when it may be served."""
    found = []
    for name, part, whole, limit in (
        ("lost_seasons", change.seasons_lost, change.patches_before, limits.max_lost_seasons),
        ("lost_candidates", change.candidates_lost, change.candidates_before, limits.max_lost_candidates),
    ):
        if whole and part / whole > limit:
            what = name.removeprefix("lost_")
            found.append(
                f"{part} of {whole} {what} are lost ({part / whole:.1%}); max_{name} = {limit:g} allows "
                f"{limit:.1%}"
            )
    if abs(change.dn_shift) > limits.max_dn_shift:
        found.append(
            f"reflectance x 10 000 shifted by {change.dn_shift:+.0f} in the patches that differ; "
            f"max_dn_shift = {limits.max_dn_shift:g}"
        )
    return found


def _chosen(root: Place) -> pd.DataFrame:
    """One row per location and season: ``scene_id`` (empty without a patch) and ``time``."""
    dataset = open_dataset(root)
    n_seasons = dataset.sizes["season"]
    ids = dataset["location_id"].to_numpy()
    return pd.DataFrame(
        {
            "location_id": np.repeat(ids.astype(object), n_seasons),
            "season": np.tile(dataset["season"].to_numpy().astype(object), len(ids)),
            "scene_id": dataset["scene_id"].to_numpy().ravel(),
            "time": pd.to_datetime(dataset["time"].to_numpy().ravel()),
        }
    )


def _files(root: Place) -> dict[str, FileRecord]:
    """Every file that the ledger has a checksum of, by its name."""
    ledger = Ledger(root)
    marks = (ledger.read(stage, block) for stage in ledger.stages() for block in ledger.blocks(stage))
    return {record.path: record for mark in marks if mark for record in mark.files}


def _candidates(
    root_old: Place, root_new: Place, old: Mapping[str, FileRecord], new: Mapping[str, FileRecord]
) -> tuple[int, int]:
    """(candidates of the old dataset, those of them that the new one has no more), block by block."""
    before = lost = 0
    for block in Ledger(root_old).blocks("scenes"):
        name = f"scenes/candidates/{block:05d}.parquet"
        mark = Ledger(root_old).read("scenes", block)
        before += mark.counts.get("candidates", 0) if mark else 0
        if name not in old or old[name] == new.get(name):
            continue
        keys = _keys(root_old / name) - (_keys(root_new / name) if name in new else set())
        lost += len(keys)
    return before, lost


def _keys(path: Place) -> set[tuple[Any, ...]]:
    return set(read_table(path)[_CANDIDATE].itertuples(index=False, name=None))


def _dn_shift(
    root_old: Place, root_new: Place, old: Mapping[str, FileRecord], new: Mapping[str, FileRecord]
) -> float:
    array = _finest(root_old)
    folder = f"{PATCHES}/{GROUP}/{array}/c/"
    differ = sorted(
        int(name.removeprefix(folder).split("/")[0])
        for name, record in old.items()
        if name.startswith(folder) and name in new and new[name] != record
    )
    if not differ:
        return math.nan
    before, after = (read_shard_array(root / PATCHES / GROUP, array) for root in (root_old, root_new))
    shifts = [shift for shard in _spread(differ) for shift in _shifts(before, after, shard)]
    return float(np.median(shifts)) if shifts else math.nan


def _finest(root: Place) -> str:
    """The array of reflectance with the smallest pixels."""
    group = root / PATCHES / GROUP
    return next(name for name in ARRAYS if (group / name / DOCUMENT).is_file())


def _spread(shards: Sequence[int]) -> list[int]:
    """At most ``SAMPLED_SHARDS`` of them, evenly."""
    places = np.linspace(0, len(shards) - 1, min(len(shards), SAMPLED_SHARDS)).round().astype(int)
    return [shards[i] for i in places]


def _shifts(old: ShardArray, new: ShardArray, shard: int) -> Iterator[float]:
    """Change of the mean of every chunk that both have and that differs."""
    for before, after in zip(old.chunks(shard), new.chunks(shard), strict=False):
        if before is None or after is None or before == after:
            continue
        if is_whole(before) and is_whole(after):
            shift = _mean(new.decode(after)) - _mean(old.decode(before))
            if not math.isnan(shift):
                yield shift


def _mean(pixels: npt.NDArray[Any]) -> float:
    """Mean of the pixels that have data, NaN where none has."""
    seen = pixels[pixels > 0]
    return float(seen.mean()) if seen.size else math.nan
