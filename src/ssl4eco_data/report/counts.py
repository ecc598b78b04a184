"""Counts behind the page's bars: seasons found and missing, acquisition dates, clouds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ssl4eco_data.report import dataset
from ssl4eco_data.report.dataset import Dataset
from ssl4eco_data.store.objects import Place

REASONS: Mapping[str, str] = {
    "no_candidates": "no scene was taken in the window",
    "all_cloudy": "every scene was cloudy over the patch",
    "all_low_sun": "the sun was too low in every scene",
    "all_missing": "every scene missed a part of the patch",
    "all_unreadable": "no scene could be read",
    "all_rejected": "every scene was rejected, for different reasons",
    "not_listed": "the list of images names none for it",
    "not_in_archive": "the archive does not have the image that the list names",
    "other_zone": "the image that the list names is in another UTM zone than the patch",
    "no_window": "the season has no dates here",
    "too_few_seasons": "too few other seasons were found, so the location is left out",
    dataset.UNREADABLE: "the archive could not deliver the chosen scene",
    dataset.UNKNOWN: "no reason was recorded",
}
CLOUD_BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Seasons found, and missing by reason, of one group."""

    label: str
    found: int
    missing: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        """Found and missing together."""
        return self.found + sum(count for _, count in self.missing)

    @property
    def says(self) -> str:
        """The bar in words."""
        reasons = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in self.missing]
        return " · ".join([f"{self.found:,} of {self.total:,} found", *reasons])


@dataclass(frozen=True, slots=True, kw_only=True)
class Clouds:
    """Shares of scenes in ten classes of cloud fraction (0-10 %, …, 90-100 %), and verdicts.

    ``tile``: the archive's figure for the whole tile, all candidates. ``patch``: measured over the patch,
    judged candidates. ``chosen``: measured over the patch, chosen scenes.
    """

    tile: tuple[int, ...]
    patch: tuple[int, ...]
    chosen: tuple[int, ...]
    verdicts: tuple[tuple[str, int], ...]


def coverage(choices: pd.DataFrame, labels: pd.Series[str], order: Sequence[str]) -> list[Bar]:
    """One bar per label of ``order``; ``labels`` belong to the rows of ``choices``."""
    bars = []
    for label in order:
        group = choices[(labels == label).to_numpy()]
        reasons = group.loc[~group["found"], "reason"].value_counts()
        missing = sorted(((str(r), int(n)) for r, n in reasons.items()), key=lambda p: (-p[1], p[0]))
        bars.append(Bar(label=label, found=int(group["found"].sum()), missing=tuple(missing)))
    return bars


def acquisitions(data: Dataset, part: str) -> dict[int, list[int]]:
    """Patches per calendar ``month`` (1-12, all present) or ``year`` of acquisition, one count per season."""
    found = data.choices[data.choices["found"]]
    when = found["time"].dt.month if part == "month" else found["time"].dt.year
    counted = {s: when[found["season"] == s].value_counts() for s in data.seasons}
    years = sorted({int(y) for y in when.dropna()})
    keys: Iterable[int] = range(1, 13) if part == "month" else range(years[0], years[-1] + 1) if years else ()
    return {key: [int(counted[s].get(key, 0)) for s in data.seasons] for key in keys}


def clouds(root: Place, choices: pd.DataFrame) -> Clouds | None:
    """Clouds before and after choosing, ``None`` without candidates. One block in memory at a time."""
    tile, patch = np.zeros((2, CLOUD_BINS), dtype=np.int64)
    verdicts: dict[str, int] = {}
    columns = ("scene_cloud_fraction", "judged", "cloud_fraction", "verdict")
    for part in dataset.parts(root, dataset.CANDIDATES, columns):
        tile += _histogram(part["scene_cloud_fraction"])
        patch += _histogram(part.loc[part["judged"].fillna(False).astype(bool), "cloud_fraction"])
        for verdict, count in part["verdict"].value_counts().items():
            verdicts[str(verdict)] = verdicts.get(str(verdict), 0) + int(count)
    if not verdicts:
        return None
    chosen = _histogram(choices.loc[choices["found"], "cloud_fraction"])
    ranked = sorted(verdicts.items(), key=lambda p: (-p[1], p[0]))
    return Clouds(
        tile=tuple(map(int, tile)),
        patch=tuple(map(int, patch)),
        chosen=tuple(map(int, chosen)),
        verdicts=tuple(ranked),
    )


def _histogram(fractions: pd.Series[float]) -> npt.NDArray[np.int64]:
    values = fractions.astype(float).dropna().clip(0, 1).to_numpy()
    return np.histogram(values, bins=CLOUD_BINS, range=(0, 1))[0].astype(np.int64)
