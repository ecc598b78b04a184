"""What the models cannot say of themselves: which settings are shown, and words about the alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ssl4eco_data.config import Config
from ssl4eco_data.starter.archives import ARCHIVES

OPENING = (
    "A configuration of SSL4Eco, written by `ssl4eco init`. Relative paths start at this file's folder.",
    "A setting behind a # is off: it shows the default, or an example where nothing is the default.",
)
SHOWN = frozenset(
    {
        "dataset.title",
        "locations.allocation.by",
        "locations.source.spacing_km",
        "patches.bands",
        "patches.size_px",
        "phenology.date_rule",
        "run.task_runner",
        "run.workers",
        "scenes.policy",
        "scenes.year_policy",
    }
)
"""Settings that are on with their default: most users think about them."""
LEFT_OUT = frozenset(
    {
        "simulate",
        "phenology.evi",
        "phenology.evi2",
        "phenology.ndvi",
        "phenology.gcc",
        "phenology.bandwidths_days",
        "phenology.cluster_width_days",
        "phenology.edge_share",
        "phenology.min_cycle_share",
        "phenology.min_relative_amplitude",
        "phenology.min_resultant",
        "phenology.season_separation_days",
    }
)
"""Settings for those who study the method, and the embedded archive."""
_NOTES = {
    "archive": "Others by `ssl4eco init --archive`: " + ", ".join(ARCHIVES) + ", or the address of any STAC "
    "API, or a catalogue file.",
    "locations.strata": "The usual layer is RESOLVE Ecoregions 2017: `ssl4eco fetch-layer` downloads it.",
    "locations.source.grid": "For places of your own: `ssl4eco init --points plots.csv`.",
    "locations.source.points": "For a grid over land: `ssl4eco init --region area.gpkg --n 5000`.",
    "locations.allocation.all": "For a part of the cells choose a rule and say how many with n; minimum and "
    "cap then bound what one stratum gets.",
    "locations.allocation.some": "A larger n keeps the locations there are and adds to them, where seed, "
    "spacing, rule and area stay; another spacing_km is another sample. Without strata, all cells are one "
    "stratum, and every rule spreads its choice evenly. Rule 'all' takes every cell, without n, minimum and "
    "cap.",
    "locations.allocation.points": "Points are all taken: the rule stays 'all'.",
    "locations.split": "Blocks must be much smaller than the area, or all of it falls into one split.",
}


def notes(config: Config) -> Mapping[str, str]:
    """Further comments by key of a table or a setting."""
    source = config.locations.source.kind
    share = "all" if config.locations.allocation.rule == "all" else "some"
    share = source if source == "points" else share
    chosen = {
        "locations.source": _NOTES[f"locations.source.{source}"],
        "locations.allocation": _NOTES[f"locations.allocation.{share}"],
    }
    return MappingProxyType(_NOTES | chosen)


def examples(config: Config) -> Mapping[str, Any]:
    """Values to show for settings that have none by default and may be switched on as they are, by key."""
    found: dict[str, Any] = {
        "period.vegetation_start": config.period.imagery_start,
        "period.vegetation_end": config.period.imagery_end,
        "archive.vegetation": "modis-13Q1-061.json",
        "archive.service_account_key": "service-account.json",
        "locations.source.region": "region.gpkg",
        "locations.source.water": "lakes.gpkg",
        "locations.strata": f"layers/Ecoregions2017.{'zip' if config.archive.kind == 'stac' else 'gpkg'}",
        "locations.tiles": "tiles.parquet",
        "weights.mountains": "mountains.gpkg",
        "run.budget.max_requests": 1_000_000,
        "run.budget.max_eecu_hours": 500.0,
    }
    if config.locations.allocation.n is not None:
        found["locations.allocation.cap"] = config.locations.allocation.n
    return MappingProxyType(found)
