"""What is really there: cycle dates, climatologies and cloud masks. Only tests and the report read this."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import rasterio
from rasterio.windows import Window

from ssl4eco_data.simulate.cycles import vegetation_cycles
from ssl4eco_data.simulate.ground import Ground
from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.render import NO_DATA, THICK_CLOUD, THIN_CLOUD
from ssl4eco_data.simulate.scenes import CLOUD_FOLDER
from ssl4eco_data.simulate.winter import days_since_epoch
from ssl4eco_data.types import METRICS, YEAR_DAYS, FloatArray, Footprint, Location, UInt8Array

Int8Array = npt.NDArray[np.int8]
CYCLES, CLIMATOLOGY, SCENES = "truth/cycles.parquet", "truth/climatology.parquet", "truth/scenes.parquet"
PEAK = METRICS.index("peak")


def read_truth_cycles(root: Path) -> pd.DataFrame:
    """Every true cycle: location_id, region, cycle, season_rank (0 dominant) and the seven dates.

    Dates are float days since 1970-01-01.
    """
    return pd.read_parquet(root / CYCLES)


def read_truth_climatology(root: Path) -> pd.DataFrame:
    """One row per location: region, has_cycle, cycles_per_year, years and ``<metric>_day``.

    Days count from 1 January 00:00 of the peak's year, unwrapped; NaN where there is no cycle.
    """
    return pd.read_parquet(root / CLIMATOLOGY)


def read_truth_scenes(root: Path) -> pd.DataFrame:
    """One row per scene: what its sky, its processing and the errors of its mask really were."""
    return pd.read_parquet(root / SCENES)


def true_mask(root: Path, scene_id: str, footprint: Footprint) -> UInt8Array:
    """The true mask of a patch at 20 m, ``(y, x)`` uint8.

    0 clear, 1 thin cloud, 2 thick cloud, 3 shadow, 4 snow, 255 no data, which is also what lies beyond
    the tile or in another UTM zone. Raises ``ValueError`` for an unknown scene.
    """
    path = root / CLOUD_FOLDER / f"{scene_id}.tif"
    if not path.is_file():
        raise ValueError(f"the embedded archive {root} has no scene {scene_id!r}")
    side = round(footprint.size_m / 20)
    mask = np.full((side, side), NO_DATA, np.uint8)
    with rasterio.open(path) as file:
        if file.crs.to_epsg() != footprint.epsg:
            return mask
        left = round((footprint.west_m - file.transform.c) / 20)
        top = round((file.transform.f - footprint.north_m) / 20)
        rows = range(max(0, -top), min(side, file.height - top))
        columns = range(max(0, -left), min(side, file.width - left))
        if rows and columns:
            window = Window(left + columns.start, top + rows.start, len(columns), len(rows))
            mask[rows.start : rows.stop, columns.start : columns.stop] = file.read(1, window=window)
    return mask


def true_cloud_fraction(root: Path, scene_id: str, footprint: Footprint) -> float:
    """True share of cloud, thin or thick, over the seen pixels of a patch; NaN where none was seen."""
    mask = true_mask(root, scene_id, footprint)
    seen = mask != NO_DATA
    return float(np.isin(mask[seen], (THIN_CLOUD, THICK_CLOUD)).mean()) if seen.any() else float("nan")


def truth_of_site(
    parameters: SimulationParameters, ground: Ground
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows of the cycles, rows of the climatology) of the locations of a site."""
    cycles: list[dict[str, Any]] = []
    climatology = []
    for location in ground.site.locations:
        curve = ground.patch_evi(location.footprint)
        dates = vegetation_cycles(ground.first_day, curve)
        first, last = (days_since_epoch(d) for d in (parameters.vegetation_start, parameters.vegetation_end))
        dates = dates[(dates[:, PEAK] >= first) & (dates[:, PEAK] < last)]
        rank = season_ranks(dates, ground.first_day, curve)
        cycles += _cycle_rows(ground, location, dates, rank)
        climatology.append(
            _climatology_row(ground, location, dates[rank == 0], int(rank.max(initial=-1)) + 1)
        )
    return cycles, climatology


def season_ranks(dates: FloatArray, first_day: int, curve: FloatArray) -> Int8Array:
    """0 for the dominant season of the year and 1 for the other, ``(cycle,)`` int8.

    A cycle belongs to the other season where its peak is over 60 days from the first one's on the circle of
    the year; the dominant season has the larger mean area above its feet.
    """
    if len(dates) == 0:
        return np.zeros(0, np.int8)
    peak = dates[:, PEAK]
    apart = (peak - peak[0]) % YEAR_DAYS
    other = (apart > 60) & (apart < YEAR_DAYS - 60)
    if not other.any():
        return np.zeros(len(dates), np.int8)
    area = np.array([_area(row, first_day, curve) for row in dates])
    smaller = other if area[other].mean() < area[~other].mean() else ~other
    return np.asarray(smaller, np.int8)


def _area(dates: FloatArray, first_day: int, curve: FloatArray) -> float:
    """Area under the curve between greenup and dormancy above the lower foot, index times days."""
    low, high = int(dates[0]) - first_day, int(np.ceil(dates[-1])) - first_day
    part = curve[low : high + 1]
    return float((part - part.min()).sum())


def _cycle_rows(
    ground: Ground, location: Location, dates: FloatArray, rank: Int8Array
) -> list[dict[str, Any]]:
    return [
        {
            "location_id": location.location_id,
            "region": ground.site.region.name,
            "cycle": np.int16(i),
            "season_rank": rank[i],
            **dict(zip(METRICS, row.tolist(), strict=True)),
        }
        for i, row in enumerate(dates)
    ]


def _climatology_row(
    ground: Ground, location: Location, dates: FloatArray, cycles_per_year: int
) -> dict[str, Any]:
    days = climatology(dates)
    return {
        "location_id": location.location_id,
        "region": ground.site.region.name,
        "has_cycle": len(dates) > 0,
        "cycles_per_year": np.int8(cycles_per_year),
        "years": np.int16(len(dates)),
        **{f"{name}_day": day for name, day in zip(METRICS, days.tolist(), strict=True)},
    }


def climatology(dates: FloatArray) -> FloatArray:
    """Median dates of the cycles ``(cycle, 7)`` of a season, days from 1 January of the peak year; or NaN."""
    if len(dates) == 0:
        return np.full(len(METRICS), np.nan)
    peak = dates[:, PEAK]
    aligned = (peak - peak[0] + YEAR_DAYS / 2) % YEAR_DAYS - YEAR_DAYS / 2
    start = dt.date(1970, 1, 1) + dt.timedelta(days=int(peak[0]))
    day_of_first = peak[0] - days_since_epoch(dt.date(start.year, 1, 1))
    middle = (day_of_first + float(np.median(aligned))) % YEAR_DAYS
    return np.asarray(middle + np.median(dates - peak[:, None], axis=0), np.float64)
