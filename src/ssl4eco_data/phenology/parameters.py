"""Parameters of the phenology engine."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from ssl4eco_data.phenology.date_rules import PHENOLOGICAL, checked_name
from ssl4eco_data.types import Parameters

IndexName = Literal["evi", "evi2", "ndvi", "gcc"]


class IndexProfile(Parameters):
    """Absolute thresholds of one vegetation index, in units of the index."""

    despike_depth: float = Field(gt=0, description="smallest depth of a drop that is removed as a cloud")
    floor: float = Field(description="lowest background value that snow is given")
    min_amplitude: float = Field(gt=0, description="smallest rise and fall of a cycle")
    vegetated_mean: float = Field(description="pixels with a lower mean over snow-free dates are bare")
    valid_min: float = Field(description="lower values are no observation")
    valid_max: float = Field(description="higher values are no observation")

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not self.valid_min < self.valid_max:
            raise ValueError(f"valid_min must be below valid_max, got {self.valid_min} and {self.valid_max}")
        return self


def _enhanced() -> IndexProfile:
    return IndexProfile(
        despike_depth=0.06, floor=0.12, min_amplitude=0.10, vegetated_mean=0.10, valid_min=-0.2, valid_max=1.5
    )


def _normalised() -> IndexProfile:
    return IndexProfile(
        despike_depth=0.09, floor=0.18, min_amplitude=0.15, vegetated_mean=0.15, valid_min=-0.2, valid_max=1.0
    )


def _greenness() -> IndexProfile:
    return IndexProfile(
        despike_depth=0.015,
        floor=0.30,
        min_amplitude=0.025,
        vegetated_mean=0.32,
        valid_min=0.0,
        valid_max=1.0,
    )


class PhenologyParameters(Parameters):
    """How dates are derived from a vegetation series and summarised to season windows."""

    date_rule: Annotated[str, AfterValidator(checked_name)] = Field(
        default=PHENOLOGICAL,
        description="seasons from phenology, or calendar quarters everywhere; one of "
        '"phenological", "calendar" or a function of your own, "package.module:function"',
    )
    source: Literal["series", "mcd12q2"] = Field(
        default="series",
        description="where dates come from: derived from a vegetation series, or the product MCD12Q2 (Earth "
        "Engine only), which has no series, no snow and no sigma",
    )
    evi: IndexProfile = Field(default_factory=_enhanced, description="thresholds for EVI")
    evi2: IndexProfile = Field(default_factory=_enhanced, description="thresholds for EVI2")
    ndvi: IndexProfile = Field(default_factory=_normalised, description="thresholds for NDVI")
    gcc: IndexProfile = Field(
        default_factory=_greenness, description="thresholds for green chromatic coordinate"
    )
    min_observations_per_year: float = Field(
        default=10.0, gt=0, description="with fewer valid observations a year a pixel has no data"
    )
    amplitude_shares: tuple[float, float, float] = Field(
        default=(0.15, 0.5, 0.9),
        description="shares of a rise at greenup, mid-greenup and maturity; of a fall at dormancy, "
        "mid-greendown and senescence",
    )
    bandwidths_days: tuple[float, ...] = Field(
        default=(5.0, 7.0, 8.0, 10.0),
        min_length=1,
        max_length=8,
        description="bandwidths of the smoothing spline that cross-validation chooses from",
    )
    min_relative_amplitude: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        description="smallest rise and fall of a cycle as a share of the record's range",
    )
    edge_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="a cycle cut by the record's end must be this close to the minimum, share of range",
    )
    min_cycles: int = Field(default=3, ge=1, description="with fewer cycles the dates are low_confidence")
    min_resultant: float = Field(
        default=0.5, ge=0, le=1, description="with a lower resultant length of peak days: low_confidence"
    )
    season_separation_days: float = Field(
        default=60.0, gt=0, lt=180, description="smallest distance between peaks of two seasons of a year"
    )
    cluster_width_days: float = Field(
        default=60.0, gt=0, lt=360, description="pixels whose dates lie within such a span are one cluster"
    )
    min_cycle_share: float = Field(
        default=0.2, gt=0, le=1, description="smallest share of vegetated pixels that must have cycles"
    )
    min_season_days: float = Field(default=20.0, ge=1, le=60, description="shortest season window")
    fill_distance_km: float = Field(
        default=500.0, ge=0, description="furthest location to borrow season windows from"
    )

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        low, middle, high = self.amplitude_shares
        if not 0.0 < low < middle < high < 1.0:
            raise ValueError(f"amplitude_shares must increase between 0 and 1, got {self.amplitude_shares}")
        return self

    @model_validator(mode="after")
    def _check_bandwidths(self) -> Self:
        if list(self.bandwidths_days) != sorted(set(self.bandwidths_days)) or self.bandwidths_days[0] <= 0:
            raise ValueError(f"bandwidths_days must be positive and increasing, got {self.bandwidths_days}")
        return self

    def profile(self, index: str | None) -> IndexProfile:
        """Thresholds of the vegetation index ``index``; ``ValueError`` names the known ones."""
        known = {"evi": self.evi, "evi2": self.evi2, "ndvi": self.ndvi, "gcc": self.gcc}
        if index not in known:
            raise ValueError(f"series.attrs['index'] must be one of {get_args(IndexName)}, got {index!r}")
        return known[index]
