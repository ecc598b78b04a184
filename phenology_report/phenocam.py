"""The engine's 10 % and 25 % dates of PhenoCam greenness beside the dates that PhenoCam published.

Published are the days on which gcc_90 crosses a share of the amplitude of one rise or fall (Richardson et al.
2018, Scientific Data 5:180028). The engine dates other shares by default, so here ``amplitude_shares`` asks
for the same; all else is at its default.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from phenology_report.shapes import EPOCH
from ssl4eco_data.phenology import PhenologyParameters, derive_cycles
from ssl4eco_data.types import METRICS, FloatArray

SHARES = (0.10, 0.25)
PARAMETERS = PhenologyParameters(amplitude_shares=(*SHARES, 0.5))
METRIC_OF = {
    ("rising", 0.10): "greenup",
    ("rising", 0.25): "mid_greenup",
    ("falling", 0.10): "dormancy",
    ("falling", 0.25): "mid_greendown",
}
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
    cycles = derive_cycles(series, PARAMETERS)["date"].to_numpy()
    cycles = cycles[np.isfinite(cycles[:, METRICS.index("peak")])]
    return {
        (direction, share): cycles[:, METRICS.index(metric)]
        for (direction, share), metric in METRIC_OF.items()
    }


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
