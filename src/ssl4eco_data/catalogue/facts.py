"""What the catalogue and the dataset card say of a dataset, gathered block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pandas as pd

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west beyond east where it crosses the antimeridian."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Counts and extent of a finished dataset.

    ``patches`` are per season; ``missing`` counts the seasons without a patch by reason; ``places`` the
    locations by label, for each kind of label that some location has; ``start`` and ``end`` are the times of
    the first and last image, ``None`` in a dataset without any;
    ``crossing`` says that some patch lies across the antimeridian.
    """

    title: str
    size_m: float
    bands: tuple[str, ...]
    seasons: tuple[str, ...]
    locations: int
    patches: Mapping[str, int]
    missing: Mapping[str, int]
    places: Mapping[str, Mapping[str, int]]
    box: Box
    crossing: bool
    start: datetime | None
    end: datetime | None
    years: tuple[int, ...]
    platforms: tuple[str, ...]

    @property
    def n_patches(self) -> int:
        """Patches of all seasons."""
        return sum(self.patches.values())


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of the blocks seen so far; memory does not grow with the dataset."""

    patches: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    years: set[int] = field(default_factory=set)
    platforms: set[str] = field(default_factory=set)
    times: list[pd.Timestamp] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    crossing: bool = False

    def add(self, patches: pd.DataFrame, missing: pd.Series[str], boxes: list[Box]) -> None:
        """Count one block: its patches, the reasons of its missing seasons, the boxes of its locations."""
        self.patches.update(patches["season"].astype(str).tolist())
        self.missing.update(missing.astype(str).tolist())
        self.crossing |= any(west > east for west, _, east, _ in boxes)
        self.boxes = [union([*self.boxes, *boxes])] if boxes or self.boxes else []
        if len(patches):
            self.years.update(map(int, patches["time"].dt.year.unique()))
            self.platforms.update(patches["platform"].dropna().astype(str).unique())
            times = [*self.times, patches["time"].min(), patches["time"].max()]
            self.times = [min(times), max(times)]

    def facts(
        self,
        located: pd.DataFrame,
        *,
        title: str,
        size_m: float,
        bands: tuple[str, ...],
        seasons: tuple[str, ...],
    ) -> Facts:
        """All that was counted, with the labels of all locations."""
        start, end = map(_utc, self.times) if self.times else (None, None)
        return Facts(
            title=title,
            size_m=size_m,
            bands=bands,
            seasons=seasons,
            locations=len(located),
            patches={season: self.patches[season] for season in seasons},
            missing=dict(sorted(self.missing.items())),
            places={label: _counts(located[label]) for label in ("split", "realm", "biome", "ecoregion")},
            box=union(self.boxes),
            crossing=self.crossing,
            start=start,
            end=end,
            years=tuple(sorted(self.years)),
            platforms=tuple(sorted(self.platforms)),
        )


def identifier(title: str) -> str:
    """A title as the name of a collection: lower case, digits and hyphens."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in title.lower()).split()
    return "-".join(words) or "dataset"


def union(boxes: list[Box]) -> Box:
    """The box of all boxes; the whole circle of longitudes when one crosses the antimeridian."""
    values = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    west, south = values[:, :2].min(axis=0)
    east, north = values[:, 2:].max(axis=0)
    if (values[:, 0] > values[:, 2]).any():
        west, east = -180.0, 180.0
    return float(west), float(south), float(east), float(north)


def _counts(labels: pd.Series[str]) -> dict[str, int]:
    """Locations by label, by name; those without one are left out."""
    named = labels.dropna().astype(str)
    return {str(k): int(n) for k, n in named[named != ""].value_counts().sort_index().items()}


def _utc(time: pd.Timestamp) -> datetime:
    return time.to_pydatetime().astimezone(UTC)
