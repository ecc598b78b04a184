"""The stage ``locations``: the sample, and where each patch lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.locations import PointSource, sample_locations
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.basis import window_days
from ssl4eco_data.pipeline.stage import Outcome
from ssl4eco_data.store import stored_locations, write_geo_table, write_table


def locate(config: Config, _block: int) -> Outcome:
    """Sample the locations and place their patches; a sample that grows keeps the rows it had."""
    sample = sample_locations(config.locations, config.patches.size_m, known=tables.known_ids(config))
    _refuse_fewer(config, len(sample.table))
    counts = dict(sample.counts)
    if fields := list(config.locations.date_fields):
        counts["dates_outside_imagery"] = _outside_imagery(config, sample.table)
        counts["dates_missing"] = int(sample.table[fields].isna().to_numpy().sum())
    path, strata = config.root / tables.LOCATIONS, config.root / tables.STRATA
    write_geo_table(path, sample.table, {"ssl4eco": {"counts": counts, **_land(config)}})
    write_table(strata, sample.strata)
    return Outcome(files=(path, strata), counts={"locations": len(sample.table), **counts})


def _refuse_fewer(config: Config, locations: int) -> None:
    """Before anything is overwritten: the arrays of a dataset cannot shrink."""
    there = stored_locations(config.root / tables.PATCHES)
    if there is not None and locations < there:
        raise StoreError(
            f"{config.root} holds {there} locations and the sample has only {locations}: choose another "
            "dataset.root for the smaller sample; nothing was changed"
        )


def _land(config: Config) -> dict[str, Any]:
    """What was taken for land, by name: where the files lie does not decide the data."""
    source = config.locations.source
    if isinstance(source, PointSource):
        return {}
    named = {"land": source.land, "water": source.water, "region": source.region}
    names = {key: Path(place).name for key, place in named.items() if place}
    return {**names, "min_lat_deg": source.min_lat_deg}


def _outside_imagery(config: Config, located: pd.DataFrame) -> int:
    """Dates that the points brought with no day of their window in the imagery's period."""
    reach = pd.Timedelta(days=window_days(config) or 0)
    start, end = map(pd.Timestamp, config.period.imagery)
    dates = located[list(config.locations.date_fields)].melt()["value"].dropna()
    outside = ((dates + reach < start) | (dates - reach >= end)).to_numpy(bool)
    if len(dates) == 0 or outside.all():
        raise ConfigError(
            f"none of the {len(dates)} dates of the points lies in the imagery's period, {start:%Y-%m-%d} to "
            f"{end:%Y-%m-%d}: widen period.imagery_start and period.imagery_end"
        )
    return int(outside.sum())
