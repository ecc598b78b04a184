"""The thresholds and policies of scene choice."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ssl4eco_data.types import LocalPath, Parameters


class SceneRules(Parameters):
    """Which scenes may serve a season, and which of them does."""

    max_scene_cloud_fraction: float = Field(
        default=0.2, ge=0, le=1, description="scenes whose tile is cloudier are not judged"
    )
    min_sun_elevation_deg: float = Field(
        default=10.0, ge=-90, le=90, description="scenes with a lower sun are rejected"
    )
    min_usable_fraction: float = Field(
        default=0.9, ge=0, le=1, description="share of the patch that must be clear or snow"
    )
    min_score_clear_fraction: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the patch that Cloud Score+ must call clear, where the archive knows it; "
        "0: recorded only",
    )
    judge: Literal["until_n_clear", "all"] = Field(
        default="until_n_clear",
        description="judge outward from the best date until n_clear are usable, or all",
    )
    n_clear: int = Field(default=3, ge=1, description="usable acquisitions per season that end the judging")
    policy: Literal["nearest", "least_cloudy", "list"] = Field(
        default="nearest",
        description="the date nearest the season's middle, the tile with least cloud, or a list of images",
    )
    images: LocalPath | None = Field(
        default=None,
        description="CSV of the policy 'list': lon and lat or the id of a location, and Earth Engine's image "
        "ids in image_id_1 for the first season, image_id_2 for the second, ...",
    )
    year_policy: Literal["any", "prefer_same", "require_same"] = Field(
        default="any", description="whether the seasons of a location come from one year"
    )
    second_opinion: Literal["reject", "record"] = Field(
        default="reject",
        description="scenes that the location's own other dates contradict are rejected, or only marked",
    )
    max_blue_excess: float = Field(
        default=0.06,
        gt=0,
        description="blue reflectance (bright end) over the location's usual level that means cloud",
    )
    max_haze_excess: float = Field(
        default=0.0175,
        gt=0,
        description="blue minus half of red (median) over the location's usual level that means a veil",
    )
    min_blue_scenes: int = Field(
        default=4, ge=1, description="clear scenes of a location needed to know its usual levels"
    )
    max_tested_snow_fraction: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="snowier patches are bright for a good reason: blue is not tested",
    )
    snow_reach_days: int = Field(
        default=30,
        ge=0,
        le=183,
        description="within so many days of the year of a snowy scene brightness may be snow, not cloud",
    )
    lone_snow: Literal["doubt", "keep"] = Field(
        default="doubt",
        description="snow that no other clear scene of the season shows is taken for a cloud, or kept",
    )
    cloud_model: str = Field(
        default="",
        description="package.module:function that looks for clouds on the patches chosen, such as "
        "omnicloudmask:predict_from_array; empty: none",
    )
    min_seasons: int = Field(default=2, ge=0, description="a location with fewer seasons is dropped")

    @model_validator(mode="after")
    def _list_named(self) -> Self:
        if (self.policy == "list") != (self.images is not None):
            way_out = "name the CSV of the images" if self.images is None else 'set policy = "list" for it'
            raise ValueError(
                f"policy = {self.policy!r} and images = {self.images!r} do not go together: {way_out}"
            )
        if self.images and "://" in self.images:
            raise ValueError(f"images must be a file on disk, got {self.images!r}: download it first")
        return self
