"""Vegetation phenology: dates of every cycle of a series, typical years, season windows."""

from ssl4eco_data.phenology.cycles import derive_cycles, smooth
from ssl4eco_data.phenology.filling import fill_windows
from ssl4eco_data.phenology.kinds import dropped
from ssl4eco_data.phenology.parameters import IndexProfile, PhenologyParameters
from ssl4eco_data.phenology.summary import LocationPhenology, summarise
from ssl4eco_data.phenology.windows import calendar_windows, cycle_of, dated_windows, season_windows

__all__ = [
    "IndexProfile",
    "LocationPhenology",
    "PhenologyParameters",
    "calendar_windows",
    "cycle_of",
    "dated_windows",
    "derive_cycles",
    "dropped",
    "fill_windows",
    "season_windows",
    "smooth",
    "summarise",
]
