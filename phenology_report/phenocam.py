"""The engine's 10 % and 25 % dates of PhenoCam greenness beside the dates that PhenoCam published.

Published are the days on which gcc_90 crosses a share of the amplitude of one rise or fall (Richardson et al.
2018, Scientific Data 5:180028). The engine dates other shares, so here the same share is looked for on its
smoothed curve, between trough and peak of each of its cycles.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenology_report.shapes import EPOCH
from ssl4eco_data.phenology import PhenologyParameters, derive_cycles, smooth
from ssl4eco_data.types import METRICS, FloatArray

SHARES = (0.10, 0.25)
STEP_DAYS = 0.25
LONGEST_SIDE_DAYS = 185.0
REACH_DAYS = 60.0
"""A published date with none of the engine's within this distance counts as not found."""
VEGETATION = {
    "AG": "agriculture",
    "DB": "deciduous broadleaf",
    "DN": "deciduous needleleaf",
    "EN": "evergreen needleleaf",
    "GR": "grassland",
    "SH": "shrubs",
    "TN": "tundra",
    "WL": "wetland",
}
RISING, FALLING, PEAK = METRICS.index("mid_greenup"), METRICS.index("mid_greendown"), METRICS.index("peak")


def compare(folder: Path) -> pd.DataFrame:
    """One row per published date and share, in the order of the file.

    Columns ``roi``, ``veg_type``, ``direction`` (rising, falling), ``share``, ``published`` and ``own`` (days
    since 1970-01-01, ``own`` NaN where the engine has no such date), ``error`` (own - published, days).
    """
    greenness = pd.read_csv(folder / "gcc.csv.gz", parse_dates=["date"])
    own = {roi: roi_dates(table) for roi, table in greenness.groupby("roi")}
    published = pd.read_csv(folder / "transitions.csv", parse_dates=["date10", "date25"])
    rows = []
    for _, row in published.iterrows():
        for share in SHARES:
            day = (row[f"date{share * 100:.0f}"] - EPOCH) / pd.Timedelta(days=1)
            candidates = own.get(row["roi"], {}).get((row["direction"], share), np.empty(0))
            found = nearest(candidates, day)
            rows.append((row["roi"], row["veg_type"], row["direction"], share, day, found, found - day))
    return pd.DataFrame(rows, columns=["roi", "veg_type", "direction", "share", "published", "own", "error"])


def nearest(candidates: FloatArray, day: float) -> float:
    """The one of ``candidates`` nearest to ``day``, the earlier of two; NaN with none within 60 days."""
    close = candidates[np.abs(candidates - day) <= REACH_DAYS]
    return float(close[np.argmin(np.abs(close - day))]) if close.size else float("nan")


def roi_dates(table: pd.DataFrame) -> dict[tuple[str, float], FloatArray]:
    """(direction, share) -> dates of all cycles of one region; PhenoCam's outliers are left out."""
    used = table[(table["outlier"] == 0) & table["gcc_90"].notna()]
    day = np.asarray((used["date"] - EPOCH) / pd.Timedelta(days=1), dtype=np.float64)
    value = np.asarray(used["gcc_90"], dtype=np.float64)
    series = xr.Dataset({"value": ("time", value), "day": ("time", day)}, attrs={"index": "gcc"})
    cycles = derive_cycles(series)["date"].to_numpy()
    cycles = cycles[np.isfinite(cycles[:, PEAK])]
    fine = np.arange(float(day.min()), float(day.max()) + STEP_DAYS, STEP_DAYS)
    curve = smooth(day, value, np.ones(day.size), fine, PhenologyParameters(), "gcc")
    return {
        (direction, share): np.array(
            [side_date(fine, curve, cycles, number, direction, share) for number in range(len(cycles))]
        )
        for direction in ("rising", "falling")
        for share in SHARES
    }


def side_date(
    fine: FloatArray, curve: FloatArray, cycles: FloatArray, number: int, direction: str, share: float
) -> float:
    """The day of one cycle on which ``curve`` crosses ``share`` of its rise or fall, next to the middle.

    The trough is the lowest point between the peaks of two cycles, at most 185 days from the own one. NaN
    where the curve does not cross.
    """
    peak = cycles[number, PEAK]
    if direction == "rising":
        bound = cycles[number - 1, PEAK] if number else -np.inf
        side = (fine >= max(bound, peak - LONGEST_SIDE_DAYS)) & (fine <= peak)
        middle = cycles[number, RISING]
    else:
        bound = cycles[number + 1, PEAK] if number + 1 < len(cycles) else np.inf
        side = (fine <= min(bound, peak + LONGEST_SIDE_DAYS)) & (fine >= peak)
        middle = cycles[number, FALLING]
    lowest, highest = curve[side].min(), np.interp(peak, fine, curve)
    level = lowest + share * (highest - lowest)
    outer = side & (fine <= middle if direction == "rising" else fine >= middle)
    below = fine[outer & (curve < level)]
    if below.size == 0:
        return float("nan")
    last = below.max() if direction == "rising" else below.min()
    return crossing(fine, curve, last, STEP_DAYS if direction == "rising" else -STEP_DAYS, level)


def crossing(fine: FloatArray, curve: FloatArray, day: float, step_days: float, level: float) -> float:
    """Where the line from ``curve`` at ``day`` (below ``level``) to one step further meets ``level``."""
    here, there = np.interp([day, day + step_days], fine, curve)
    return float(day + step_days * (level - here) / (there - here)) if there > here else float(day)


def table(errors: pd.DataFrame) -> pd.DataFrame:
    """Per vegetation type, direction and share: ``published`` and ``found`` counts, ``rmse``, ``bias``,
    ``median`` of the absolute error, days; the types in the order of their codes, then ``all``."""
    rows = []
    everything = [(code, errors[errors["veg_type"] == code]) for code in VEGETATION]
    for code, own in [*everything, ("all", errors)]:
        for direction in ("rising", "falling"):
            for share in SHARES:
                error = own.loc[(own["direction"] == direction) & (own["share"] == share), "error"]
                found = error.dropna()
                rows.append(
                    {
                        "veg_type": code,
                        "direction": direction,
                        "share": share,
                        "published": len(error),
                        "found": len(found),
                        "rmse": float(np.sqrt((found**2).mean())),
                        "bias": float(found.mean()),
                        "median": float(found.abs().median()),
                    }
                )
    return pd.DataFrame(rows)
