"""The dataset against the truth of the embedded archive: dates of the vegetation, clouds of the patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ssl4eco_data.report.dataset import Dataset, main_array
from ssl4eco_data.report.select import spread
from ssl4eco_data.simulate.truth import read_truth_climatology, true_cloud_fraction
from ssl4eco_data.types import METRICS, YEAR_DAYS, Footprint

MAX_PATCHES = 2000
CLOUDY = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DateError:
    """Errors of one date, ours minus truth, over locations with a cycle in both."""

    metric: str
    locations: int
    rmse_days: float
    bias_days: float
    worst_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudTruth:
    """True cloud of chosen patches; ``cloudy`` counts those over ten per cent."""

    patches: int
    mean_fraction: float
    max_fraction: float
    cloudy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the comparison found. ``agreement`` counts locations by (true cycle, found cycle)."""

    dates: tuple[DateError, ...]
    agreement: tuple[tuple[str, int], ...]
    clouds: CloudTruth | None


def compare(data: Dataset, archive: Path) -> Truth:
    """The dataset against the truth in the archive's folder."""
    dates, agreement = _phenology(data, archive)
    return Truth(dates=dates, agreement=agreement, clouds=_clouds(data, archive))


def date_errors(
    ours: pd.DataFrame, truth: pd.DataFrame, metrics: Sequence[str] = METRICS
) -> tuple[DateError, ...]:
    """Errors of the ``<metric>_day`` columns of two tables with the same rows; differences are taken on
    the circle of the year, NaN rows are left out."""
    found = []
    for metric in metrics:
        column = f"{metric}_day"
        difference = ours[column].to_numpy(dtype=np.float64) - truth[column].to_numpy(dtype=np.float64)
        error = (difference[np.isfinite(difference)] + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
        if len(error):
            found.append(
                DateError(
                    metric=metric,
                    locations=len(error),
                    rmse_days=math.sqrt(float(np.mean(error**2))),
                    bias_days=float(np.mean(error)),
                    worst_days=float(np.max(np.abs(error))),
                )
            )
    return tuple(found)


def _phenology(data: Dataset, archive: Path) -> tuple[tuple[DateError, ...], tuple[tuple[str, int], ...]]:
    if not len(data.phenology):
        return (), ()
    truth = read_truth_climatology(archive)
    both = data.phenology.merge(truth, on="location_id", suffixes=("", "_true"))
    if not len(both):
        return (), ()
    own = both["status"].isin(["ok", "low_confidence"])
    real = both["has_cycle"].astype(bool)
    agreement = (
        ("with a cycle, found", int((real & own).sum())),
        ("with a cycle, missed", int((real & ~own).sum())),
        ("without a cycle, none found", int((~real & ~own).sum())),
        ("without a cycle, one invented", int((~real & own).sum())),
    )
    usable = both[real & own]
    true_columns = {f"{m}_day_true": f"{m}_day" for m in METRICS}
    return date_errors(usable, usable[list(true_columns)].rename(columns=true_columns)), agreement


def _clouds(data: Dataset, archive: Path) -> CloudTruth | None:
    array = main_array(data.root)
    found = data.choices[data.choices["found"]]
    if array is None or not len(found):
        return None
    size_m = 10.0 * array.shape[-1]
    fractions = []
    for index in spread(len(found), MAX_PATCHES):
        choice = found.iloc[index]
        row = data.locations.iloc[int(choice["row"])]
        footprint = Footprint(
            epsg=int(row["epsg"]), west_m=float(row["west"]), north_m=float(row["north"]), size_m=size_m
        )
        fractions.append(true_cloud_fraction(archive, str(choice["scene_id"]), footprint))
    cloud = np.array(fractions)
    cloud = cloud[np.isfinite(cloud)]
    if not len(cloud):
        return None
    return CloudTruth(
        patches=len(cloud),
        mean_fraction=float(cloud.mean()),
        max_fraction=float(cloud.max()),
        cloudy=int((cloud > CLOUDY).sum()),
    )
