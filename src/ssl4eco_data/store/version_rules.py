"""When a new version may be served, which scenes it keeps, and which old versions are removed."""

from __future__ import annotations

from pydantic import Field

from ssl4eco_data.types import Parameters


class PruneRule(Parameters):
    """Which versions are kept; the served one and the one being built always are."""

    keep: int = Field(default=3, ge=1, description="newest versions that are never removed")
    min_age_days: float = Field(default=14.0, ge=0, description="a version is not removed before this age")


class ChangeLimits(Parameters):
    """How far a new version may lie from the served one; beyond that `latest` does not move by itself."""

    max_lost_seasons: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="share of the served patches whose season may have none any more",
    )
    max_lost_candidates: float = Field(
        default=0.1, ge=0, le=1, description="share of the served version's candidates that may be gone"
    )
    max_dn_shift: float = Field(
        default=400.0,
        ge=0,
        description="change of reflectance x 10 000 over the patches that differ, median of their means",
    )


class VersionParameters(PruneRule, ChangeLimits):
    """Versions of a dataset: whether there are any, what they keep, when they are served and removed."""

    enabled: bool = Field(
        default=False, description="build versions below dataset.root, of which one is served, not one folder"
    )
    sticky_margin_days: int = Field(
        default=10,
        ge=0,
        le=366,
        description="a new scene must be more days nearer than the served one to replace it",
    )
    sticky_margin_cloud: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="the same for scenes.policy = 'least_cloudy', as a share of the tile's cloud",
    )
