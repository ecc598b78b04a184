"""The parameters of the locations: where they come from, how many, how they are split and weighted."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ssl4eco_data.types import LocalPath, Parameters

PACKAGED_MASK: Literal["global-land-mask"] = "global-land-mask"


class GridSource(Parameters):
    """Centres of the Major-TOM grid's land cells."""

    kind: Literal["grid"] = "grid"
    spacing_km: float = Field(default=23.0, gt=0, le=2000, description="spacing of the Major-TOM grid")
    region: LocalPath | None = Field(
        default=None, description="polygon file; only cells with their centre inside are taken"
    )
    land: Literal["global-land-mask"] | LocalPath = Field(
        default=PACKAGED_MASK,
        description="'global-land-mask', the packaged 1 km mask (lakes are land), or a polygon file of land",
    )
    water: LocalPath | None = Field(
        default=None, description="polygon file of lakes; cells with their centre in one are left out"
    )
    min_lat_deg: float = Field(
        default=-60.0, ge=-90, le=90, description="southernmost centre; -90 takes Antarctica in"
    )


class PointSource(Parameters):
    """The user's own points, all of them."""

    kind: Literal["points"] = "points"
    points: LocalPath = Field(description="CSV, GeoJSON or GeoParquet with lon and lat")
    id_field: str = Field(default="", description="column of the ids; else location_id, else the coordinates")
    date_fields: tuple[str, ...] = Field(
        default=(),
        description="columns of dates (2021-06-30) to find a scene near; they replace the season windows",
    )
    date_window_days: int = Field(
        default=30, ge=0, le=366, description="how far before and after its date a scene may be"
    )
    check_order: bool = Field(
        default=True,
        description="refuse points mostly at sea that would lie on land with lon and lat exchanged",
    )

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len(set(self.date_fields)) < len(self.date_fields) or "" in self.date_fields:
            raise ValueError(f"date_fields must be different columns, got {list(self.date_fields)}")
        return self


class AllocationParameters(Parameters):
    """How many of the grid's cells are taken, and from which strata."""

    rule: Literal["all", "proportional", "equal", "sqrt"] = Field(
        default="all", description="all cells, or n of them shared by area, equally, or by the root of area"
    )
    n: int | None = Field(
        default=None, ge=1, le=5_000_000, description="locations to take; needed unless rule is 'all'"
    )
    minimum: int = Field(default=0, ge=0, description="locations that each stratum gets first")
    cap: int | None = Field(default=None, ge=1, description="most locations of one stratum")
    by: Literal["ecoregion", "biome", "realm"] = Field(default="ecoregion", description="what a stratum is")
    seed: int = Field(default=0, ge=0, description="draws the cells within a stratum")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rule == "all" and (self.n is not None or self.minimum or self.cap is not None):
            raise ValueError(
                "rule 'all' takes every cell: leave n, minimum and cap out, or choose another rule"
            )
        if self.rule != "all" and self.n is None:
            raise ValueError(f"rule {self.rule!r} needs n, the number of locations")
        if self.cap is not None and self.cap < self.minimum:
            raise ValueError(f"cap must be at least the minimum of {self.minimum}, got {self.cap}")
        return self


class SplitParameters(Parameters):
    """Whole blocks go to training, validation or test, with a strip between them."""

    block_km: float = Field(default=500.0, gt=0, le=20000, description="side of a spatial block")
    buffer_km: float = Field(
        default=50.0, ge=0, description="least distance between splits; what lies between is in none"
    )
    val_fraction: float = Field(default=0.05, ge=0, le=1, description="share of the blocks for validation")
    test_fraction: float = Field(default=0.05, ge=0, le=1, description="share of the blocks for testing")
    seed: int = Field(default=0, ge=0, description="draws the split of each block")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.val_fraction + self.test_fraction > 1:
            raise ValueError(
                "val_fraction and test_fraction must not exceed 1 together, got "
                f"{self.val_fraction} and {self.test_fraction}"
            )
        if self.buffer_km > self.block_km / 2:
            raise ValueError(
                f"buffer_km must be at most half of block_km, or blocks are buffer throughout; got "
                f"{self.buffer_km:g} and {self.block_km:g}"
            )
        return self


class LocationParameters(Parameters):
    """Where the locations come from and what they are called."""

    source: Annotated[GridSource | PointSource, Field(discriminator="kind")] = Field(
        default_factory=GridSource, description="a grid over land, or points"
    )
    strata: LocalPath | None = Field(
        default=None, description="polygon file of ecoregions; no labels without"
    )
    ecoregion_field: str = Field(default="ECO_NAME", description="its field of ecoregions; '' for none")
    biome_field: str = Field(default="BIOME_NAME", description="its field of biomes; '' for none")
    realm_field: str = Field(default="REALM", description="its field of realms; '' for none")
    strata_distance_km: float = Field(
        default=25.0, ge=0, le=300, description="how far outside all polygons the nearest one still counts"
    )
    tiles: LocalPath | None = Field(
        default=None, description="Parquet list of Sentinel-2 tiles, to choose the zone that covers the patch"
    )
    allocation: AllocationParameters = Field(default_factory=AllocationParameters)
    split: SplitParameters = Field(default_factory=SplitParameters)

    @model_validator(mode="after")
    def _needs(self) -> Self:
        if self.allocation.rule != "all" and isinstance(self.source, PointSource):
            raise ValueError("source.kind 'points' takes all points: allocation.rule must be 'all'")
        return self

    @property
    def date_fields(self) -> tuple[str, ...]:
        """Columns of the points' own dates; none for a grid."""
        return self.source.date_fields if isinstance(self.source, PointSource) else ()


class WeightParameters(Parameters):
    """How often a location is drawn in training, relative to the others."""

    non_vegetated_ndvi: float = Field(
        default=0.1, ge=-1, le=1, description="no season above this mean NDVI: not vegetated"
    )
    non_vegetated_factor: float = Field(default=0.25, ge=0, description="weight of such a location")
    mountains: LocalPath | None = Field(
        default=None, description="polygon file of mountains; none are known without"
    )
    mountain_factor: float = Field(default=2.0, ge=0, description="weight of a location in mountains")
