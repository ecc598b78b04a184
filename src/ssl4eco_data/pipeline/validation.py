"""A dataset's cycles against dates that people observed in the field."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ssl4eco_data.errors import StoreError
from ssl4eco_data.pipeline.tables import CYCLES, LOCATIONS
from ssl4eco_data.store import parts_in, read_table
from ssl4eco_data.store.objects import Place
from ssl4eco_data.types import EARTH_RADIUS_KM, METRICS, FloatArray

REACH_DAYS = 90.0
"""A cycle further away is another year's or another season's."""
PAIRED = "paired"
REASONS = {
    "no_date": "without a date",
    "no_place": "without location_id or lon, lat",
    "unknown_location": "of a location that the dataset does not have",
    "too_far": "too far from every location",
    "no_cycle": "at a location without any cycle",
    "no_cycle_near": f"without a cycle within {REACH_DAYS:g} days",
}
"""Why an observation is not compared, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """``pairs`` has one row per observation with its verdict, ``scores`` one per metric and one overall.

    ``span`` holds the dataset's first greenup and last dormancy, days since 1970-01-01, NaN without cycles.
    """

    pairs: pd.DataFrame
    scores: pd.DataFrame
    unpaired: dict[str, int]
    span: tuple[float, float]


def read_cycles(root: Place) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(locations, cycles) of a dataset's folder; of a location in several blocks the first block counts.

    Raises :class:`~ssl4eco_data.errors.StoreError` when the dataset has not come so far.
    """
    parts = parts_in(root / CYCLES, ".parquet")
    if not (root / LOCATIONS).is_file() or not parts:
        missing = LOCATIONS if parts else f"{CYCLES}/*.parquet"
        raise StoreError(f"{root} has no {missing}: `ssl4eco build CONFIG --until phenology` makes it")
    locations = read_table(root / LOCATIONS)[["location_id", "lon", "lat"]]
    tables = [read_table(path).assign(block=number) for number, path in enumerate(parts)]
    cycles = pd.concat(tables, ignore_index=True)
    first = cycles.groupby("location_id")["block"].transform("min")
    known = cycles["location_id"].isin(locations["location_id"])
    return locations, cycles[known & (cycles["block"] == first)].drop(columns="block")


def validate(
    observed: pd.DataFrame, locations: pd.DataFrame, cycles: pd.DataFrame, within_km: float
) -> Validation:
    """Each observation beside the nearest date of its metric at its location, and the scores of the pairs.

    ``observed`` is as :func:`~ssl4eco_data.pipeline.field_dates.read_field_dates` gives it. A location is
    found by id, else it is the nearest one within ``within_km`` (great circle). Of the location's cycles
    (of the ``season_rank`` where one is given) the one whose date is nearest counts, within 90 days, the
    earlier of two equally near. ``error_days`` is dataset minus field; a field date is the day's 00:00, as
    the days of composites are.
    """
    placed = _placed(observed, locations, within_km)
    by_location = dict(tuple(cycles.groupby("location_id")))
    found = [_nearest(row, by_location.get(row["location_id"])) for row in placed.to_dict("records")]
    pairs = pd.concat([placed, pd.DataFrame(found, index=placed.index)], axis=1)
    pairs["error_days"] = pairs["dataset_date"] - pairs["date"]
    unpaired = {reason: int((pairs["verdict"] == reason).sum()) for reason in REASONS}
    return Validation(
        pairs=pairs,
        scores=_scores(pairs[pairs["verdict"] == PAIRED]),
        unpaired=unpaired,
        span=(float(cycles["greenup"].min()), float(cycles["dormancy"].max())),
    )


def _placed(observed: pd.DataFrame, locations: pd.DataFrame, within_km: float) -> pd.DataFrame:
    """With the location's id, ``distance_km`` (0 by id, NaN without a place), and whether it is ``known``."""
    ids = observed["location_id"].to_numpy(dtype=object)
    distance = np.where(ids == "", np.nan, 0.0)
    known = np.isin(ids.astype(str), locations["location_id"].to_numpy(dtype=str))
    by_place = np.flatnonzero((ids == "") & observed[["lon", "lat"]].notna().all(axis=1).to_numpy())
    tree = cKDTree(_unit(locations["lon"].to_numpy(), locations["lat"].to_numpy()))
    here = observed.iloc[by_place]
    chord, nearest = tree.query(_unit(here["lon"].to_numpy(), here["lat"].to_numpy()))
    distance[by_place] = 2 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2, 0, 1))
    near = distance[by_place] <= within_km
    ids[by_place[near]] = locations["location_id"].to_numpy(dtype=object)[nearest[near]]
    known[by_place] = near
    return observed.assign(location_id=ids, distance_km=distance, known=known)


def _unit(lon_deg: FloatArray, lat_deg: FloatArray) -> FloatArray:
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def _nearest(row: Mapping[Hashable, Any], cycles: pd.DataFrame | None) -> dict[str, Any]:
    """The dataset's date for one observation, or why there is none."""
    nothing = {"cycle": -1, "dataset_date": np.nan, "dataset_sigma": np.nan}
    if pd.isna(row["date"]):
        return nothing | {"verdict": "no_date"}
    if pd.isna(row["distance_km"]):
        return nothing | {"verdict": "no_place"}
    if not row["known"]:
        return nothing | {"verdict": "too_far" if row["location_id"] == "" else "unknown_location"}
    if cycles is not None and not pd.isna(row["season_rank"]):
        cycles = cycles[cycles["season_rank"] == row["season_rank"]]
    if cycles is None or cycles.empty:
        return nothing | {"verdict": "no_cycle"}
    metric = str(row["metric"])
    away = (cycles[metric] - row["date"]).abs().to_numpy(np.float64)
    best = int(np.argmin(away))
    if not away[best] <= REACH_DAYS:
        return nothing | {"verdict": "no_cycle_near"}
    chosen = cycles.iloc[best]
    return {
        "cycle": int(chosen["cycle"]),
        "dataset_date": float(chosen[metric]),
        "dataset_sigma": float(chosen[f"{metric}_sigma"]),
        "verdict": PAIRED,
    }


def _scores(pairs: pd.DataFrame) -> pd.DataFrame:
    """Per metric that has pairs, then ``all``: errors in days, and the share within 1 and 2 sigma."""
    groups = [(m, pairs[pairs["metric"] == m]) for m in METRICS] + [("all", pairs)]
    rows = []
    for name, group in groups:
        if group.empty:
            continue
        error = group["error_days"].to_numpy(np.float64)
        sigma = np.hypot(group["dataset_sigma"].to_numpy(np.float64), group["sigma"].fillna(0).to_numpy())
        rows.append(
            {
                "metric": name,
                "n": len(group),
                "bias_days": error.mean(),
                "rmse_days": np.sqrt(np.mean(error**2)),
                "median_abs_error_days": np.median(np.abs(error)),
                "within_1_sigma": np.mean(np.abs(error) <= sigma),
                "within_2_sigma": np.mean(np.abs(error) <= 2 * sigma),
            }
        )
    return pd.DataFrame(rows)


def describe_validation(validation: Validation) -> list[str]:
    """The scores as a table, and what could not be compared and why."""
    lines = [
        f"{'metric':<14} {'n':>6} {'bias':>7} {'RMSE':>7} {'MedAE':>7} {'<= 1 sigma':>11} {'<= 2 sigma':>11}"
    ]
    for row in validation.scores.to_dict("records"):
        lines.append(
            f"{row['metric']:<14} {row['n']:>6} {row['bias_days']:>+7.1f} {row['rmse_days']:>7.1f} "
            f"{row['median_abs_error_days']:>7.1f} "
            f"{row['within_1_sigma']:>11.0%} {row['within_2_sigma']:>11.0%}"
        )
    if validation.scores.empty:
        lines = ["no observation could be compared"]
    else:
        lines += ["errors are dataset minus field, in days; 68 % and 95 % are expected within 1 and 2 sigma"]
    hints = _hints(validation)
    for reason, count in validation.unpaired.items():
        if count:
            lines.append(f"not compared: {count} {REASONS[reason]}{hints.get(reason, '')}")
    paired = validation.pairs[validation.pairs["verdict"] == PAIRED]
    equal = int(paired.drop(columns="row").duplicated().sum())
    if equal:
        lines.append(f"note: {equal} rows say the same as an earlier one; each counts")
    return lines


def _hints(validation: Validation) -> dict[str, str]:
    """What helps to mend the reasons that are easily mended."""
    pairs, (first, last) = validation.pairs, validation.span
    nearest = pairs["distance_km"][pairs["verdict"] == "too_far"].min()
    hints = {"too_far": f", the nearest {nearest:.2f} km away: see --within-km"}
    if np.isfinite(first):
        hints["no_cycle_near"] = f"; the dataset's cycles run from {_day(first)} to {_day(last)}"
    return hints


def _day(day: float) -> str:
    return str(np.datetime64(round(day), "D"))


def pairs_table(validation: Validation) -> pd.DataFrame:
    """All observations as people read them: dates as YYYY-MM-DD, verdict last."""
    pairs = validation.pairs
    text = {
        name: (pd.Timestamp(0) + pd.to_timedelta(pairs[name].round(), "D")).dt.strftime("%Y-%m-%d")
        for name in ("date", "dataset_date")
    }
    order = ["row", "location_id", "distance_km", "metric", "date", "sigma", "cycle", "dataset_date"]
    order += ["dataset_sigma", "error_days", "verdict"]
    return pairs.assign(**text, cycle=pairs["cycle"].where(pairs["cycle"] >= 0))[order]
