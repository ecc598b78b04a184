"""What a user may choose about the embedded Earth."""

from __future__ import annotations

import math
from datetime import date
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from ssl4eco_data.types import Parameters

RegionName = Literal[
    "temperate_forest",
    "boreal_forest",
    "mediterranean",
    "monsoon_savanna",
    "double_cropping",
    "evergreen_tropics",
    "desert",
    "alpine_meadow",
    "tundra",
    "pampas",
]
ALL_REGIONS: tuple[RegionName, ...] = get_args(RegionName)
MAX_TILE_KM = 30.0
MAX_LOCATIONS = 2000


class SimulationParameters(Parameters):
    """The embedded archive. The defaults are the demo: 30 locations, 640 m patches, three years of scenes.

    ``sites_per_region=17`` gives 510 locations for training. Everything is decided by these values: the
    same ones write the same bytes.
    """

    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="seed of the landscape, weather and noise")
    patch_size_px: int = Field(
        default=64,
        ge=16,
        le=256,
        multiple_of=2,
        description="side in 10 m pixels of the patches the tiles must hold",
    )
    spacing_km: float = Field(
        default=1.0, ge=0.5, le=10, description="spacing of the Major-TOM grid of the locations"
    )
    regions: tuple[RegionName, ...] = Field(
        default=ALL_REGIONS, min_length=1, description="climates to simulate, without repeats"
    )
    sites_per_region: int = Field(
        default=1, ge=1, le=24, description="places of each climate, each with its own tile"
    )
    locations_per_site: int = Field(
        default=3, ge=1, le=64, description="neighbouring locations that share a tile"
    )
    imagery_start: date = Field(default=date(2020, 1, 1), description="first day of the scenes")
    imagery_end: date = Field(default=date(2023, 1, 1), description="day after the last one of the scenes")
    vegetation_start: date = Field(
        default=date(2019, 1, 1), description="first day of the vegetation composites"
    )
    vegetation_end: date = Field(
        default=date(2024, 1, 1), description="day after the last one of the composites"
    )
    revisit_days: int = Field(default=12, ge=5, le=30, description="days between two passes over a site")
    cloudiness: float = Field(default=1.0, ge=0, le=1.3, description="factor on the share of cloudy days")
    missed_clouds_per_site: int = Field(
        default=2, ge=1, le=6, description="cloudy scenes of each site whose scene classification says clear"
    )
    false_clouds_per_site: int = Field(
        default=1, ge=0, le=6, description="clear scenes of each site whose scene classification says cloud"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, start, end in (
            ("imagery", self.imagery_start, self.imagery_end),
            ("vegetation", self.vegetation_start, self.vegetation_end),
        ):
            if not start < end:
                raise ValueError(f"{name}_start must be before {name}_end, got {start} and {end}")
        if (self.imagery_end - self.imagery_start).days < 120:
            raise ValueError(
                f"the imagery must span at least 120 days, got {self.imagery_start} to {self.imagery_end}"
            )
        if not date(2016, 1, 1) <= min(self.imagery_start, self.vegetation_start):
            raise ValueError(
                "imagery_start and vegetation_start must not be before 2016, when Sentinel-2 began"
            )
        if max(self.imagery_end, self.vegetation_end) > date(2031, 1, 1):
            raise ValueError("imagery_end and vegetation_end must not be after 2031-01-01")
        if len(set(self.regions)) < len(self.regions):
            raise ValueError(f"regions must not repeat, got {', '.join(self.regions)}")
        return self

    @model_validator(mode="after")
    def _small_enough(self) -> Self:
        side_km = math.ceil(math.sqrt(self.locations_per_site)) * self.spacing_km + self.patch_size_px / 100
        if side_km > MAX_TILE_KM:
            raise ValueError(
                f"a tile would be about {side_km:.0f} km wide, more than {MAX_TILE_KM:g}; "
                "lower locations_per_site or spacing_km, or spread the locations over more sites_per_region"
            )
        if self.locations > MAX_LOCATIONS:
            raise ValueError(f"at most {MAX_LOCATIONS} locations can be simulated, got {self.locations}")
        return self

    @property
    def locations(self) -> int:
        """Number of locations in the archive."""
        return len(self.regions) * self.sites_per_region * self.locations_per_site
