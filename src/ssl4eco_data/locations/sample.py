"""The table of locations: from a grid over land or from the user's points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import geopandas as gpd
import pandas as pd
from pydantic import Field, model_validator

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.allocation import Rule, choose_cells
from ssl4eco_data.locations.curve import hilbert_order
from ssl4eco_data.locations.grid import RADIUS_KM, Cells, MajorTomGrid
from ssl4eco_data.locations.land import on_land
from ssl4eco_data.locations.points import read_points
from ssl4eco_data.locations.polygons import boxes_around, contains, read_layer
from ssl4eco_data.locations.splits import block_splits
from ssl4eco_data.locations.strata import LABELS, empty_labels, label_points
from ssl4eco_data.locations.utm import Int32Array, epsg_with_tile, patch_corners, read_tiles, utm_epsg
from ssl4eco_data.types import FloatArray, Footprint, LocalPath, Location, Parameters

_MAX_CELLS = 5e7
"""About 100 bytes a cell are held while the cells on land are found."""
COLUMNS = (
    "location_id",
    "lon",
    "lat",
    "epsg",
    "cell_epsg",
    "west",
    "north",
    "size",
    "ecoregion",
    "biome",
    "realm",
    "inclusion_probability",
    "split",
    "geometry",
)


class GridSource(Parameters):
    """Centres of the Major-TOM grid's land cells."""

    kind: Literal["grid"] = "grid"
    spacing_km: float = Field(default=23.0, gt=0, le=2000, description="spacing of the Major-TOM grid")
    region: LocalPath | None = Field(
        default=None, description="polygon file; only cells with their centre inside are taken"
    )
    land: LocalPath | None = Field(
        default=None, description="polygon file of land; the packaged 1 km mask without it"
    )
    min_lat_deg: float = Field(
        default=-60.0, ge=-90, le=90, description="southernmost centre; -90 takes Antarctica in"
    )


class PointSource(Parameters):
    """The user's own points, all of them."""

    kind: Literal["points"] = "points"
    points: LocalPath = Field(description="CSV, GeoJSON or GeoParquet with lon and lat")
    id_field: str = Field(default="", description="column of the ids; made of the coordinates without it")


class AllocationParameters(Parameters):
    """How many of the grid's cells are taken, and from which strata."""

    rule: Literal["all", "proportional", "equal", "sqrt"] = Field(
        default="all", description="all cells, or n of them shared by area, equally, or by the root of area"
    )
    n: int | None = Field(
        default=None, ge=1, le=5_000_000, description="locations to take; needed unless rule is 'all'"
    )
    minimum: int = Field(default=0, ge=0, description="locations that each stratum gets first")
    by: Literal["ecoregion", "biome", "realm"] = Field(default="ecoregion", description="what a stratum is")
    seed: int = Field(default=0, ge=0, description="draws the cells within a stratum")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rule == "all" and (self.n is not None or self.minimum):
            raise ValueError("rule 'all' takes every cell: leave n and minimum out, or choose another rule")
        if self.rule != "all" and self.n is None:
            raise ValueError(f"rule {self.rule!r} needs n, the number of locations")
        return self


class SplitParameters(Parameters):
    """Whole blocks go to training, validation or test."""

    block_km: float = Field(default=500.0, gt=0, le=20000, description="side of a spatial block")
    val_fraction: float = Field(default=0.05, ge=0, le=1, description="share of the blocks for validation")
    test_fraction: float = Field(default=0.05, ge=0, le=1, description="share of the blocks for testing")
    seed: int = Field(default=0, ge=0, description="draws the split of each block")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        if self.val_fraction + self.test_fraction > 1:
            raise ValueError(
                "val_fraction and test_fraction must not exceed 1 together, got "
                f"{self.val_fraction} and {self.test_fraction}"
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
        default=25.0, ge=0, le=2000, description="how far outside all polygons the nearest one still counts"
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


def sample_locations(parameters: LocationParameters, size_m: float) -> gpd.GeoDataFrame:
    """The table ``locations.parquet``: one row per location, along a Hilbert curve, ties by id.

    Columns in order: ``location_id`` str; ``lon``, ``lat`` float64 degrees of the centre; ``epsg`` int32 of
    the patch, ``cell_epsg`` int32 of the cell's lower-left corner (of the point, for points); ``west``,
    ``north`` float64, corner of the patch in metres of ``epsg``; ``size`` float64, its side in metres;
    ``ecoregion``, ``biome``, ``realm`` str; ``inclusion_probability`` float64; ``split`` str; ``geometry``
    point (EPSG:4326).

    With allocation rule ``all`` every inclusion probability is 1, otherwise it is that of the cell's stratum.
    Splits are spatially blocked, without a buffer between them. Raises
    :class:`~ssl4eco_data.errors.ConfigError` when a file cannot be used or no location is left, and
    ``ValueError`` when ``size_m`` is not a positive multiple of 20 m.
    """
    source = parameters.source
    located = _from_grid(source) if isinstance(source, GridSource) else _from_points(source)
    order = hilbert_order(
        located["lon"].to_numpy(), located["lat"].to_numpy(), located["location_id"].tolist()
    )
    located = located.iloc[order].reset_index(drop=True)
    located = _allocated(_labelled(located, parameters), parameters)
    lon, lat = located["lon"].to_numpy(), located["lat"].to_numpy()
    epsg = _zones(lon, lat, size_m, parameters.tiles)
    west, north = patch_corners(lon, lat, epsg, size_m)
    split = block_splits(lon, lat, **parameters.split.model_dump())
    located = located.assign(epsg=epsg, west=west, north=north, size=float(size_m), split=split)
    return gpd.GeoDataFrame(located, geometry=gpd.points_from_xy(lon, lat), crs=4326)[list(COLUMNS)]


def locations_of(frame: pd.DataFrame) -> list[Location]:
    """The locations in rows of ``locations.parquet``, in their order."""
    columns = ("location_id", "lon", "lat", "epsg", "west", "north", "size")
    return [
        Location(
            location_id=str(name),
            lon_deg=lon,
            lat_deg=lat,
            footprint=Footprint(epsg=epsg, west_m=west, north_m=north, size_m=size),
        )
        for name, lon, lat, epsg, west, north, size in zip(*(frame[c].tolist() for c in columns), strict=True)
    ]


def _from_grid(source: GridSource) -> pd.DataFrame:
    grid, cells = _land_cells(source)
    if len(cells) == 0:
        raise ConfigError(
            f"the {source.spacing_km:g} km grid has no land cell in {source.region or 'the world'} north of "
            f"{source.min_lat_deg:g} degrees: widen the region, or narrow locations.source.spacing_km"
        )
    lon, lat = grid.centres(cells)
    frame = pd.DataFrame({"location_id": grid.names(cells), "lon": lon, "lat": lat})
    return frame.assign(cell_epsg=utm_epsg(*grid.corners(cells)))


def _spacing_for(source: GridSource, n: int, guess_km: float) -> float:
    """A spacing near the largest (to 2 %) whose grid has ``n`` land cells, at most ``guess_km``."""
    spacing_km = guess_km
    while True:
        shown = float(f"{spacing_km:.4g}")
        if len(_land_cells(source.model_copy(update={"spacing_km": shown}))[1]) >= n:
            return shown
        spacing_km *= 0.98


def _land_cells(source: GridSource) -> tuple[MajorTomGrid, Cells]:
    """The grid and its cells in the region, on land and not too far south, computed near the layers only."""
    grid = MajorTomGrid(source.spacing_km)
    region = read_layer(source.region) if source.region else None
    land = read_layer(source.land) if source.land else None
    boxes = [
        (west, max(south, source.min_lat_deg), east, north)
        for west, south, east, north in boxes_around([layer for layer in (region, land) if layer])
        if north >= source.min_lat_deg
    ]
    _check_size(source, boxes)
    cells = grid.cells_in_boxes(boxes)
    if region:
        cells = cells.where(contains(region, *grid.centres(cells)))
    return grid, cells.where(on_land(*grid.centres(cells), layer=land))


def _check_size(source: GridSource, boxes: Sequence[tuple[float, float, float, float]]) -> None:
    area_km2 = sum(
        RADIUS_KM**2
        * math.radians(east - west)
        * (math.sin(math.radians(north)) - math.sin(math.radians(south)))
        for west, south, east, north in boxes
    )
    count = area_km2 / source.spacing_km**2
    if count > _MAX_CELLS:
        raise ConfigError(
            f"locations.source.spacing_km = {source.spacing_km:g} makes about {count:.2g} cells before land "
            f"is known, more than {_MAX_CELLS:.0e}: widen it, or name a smaller locations.source.region"
        )


def _from_points(source: PointSource) -> pd.DataFrame:
    points = read_points(source.points, source.id_field)
    labels = {label: points[label].astype("str") for label in LABELS if label in points.columns}
    frame = points[["location_id", "lon", "lat"]].assign(**labels)
    return frame.assign(cell_epsg=utm_epsg(points["lon"].to_numpy(), points["lat"].to_numpy()))


def _labelled(located: pd.DataFrame, parameters: LocationParameters) -> pd.DataFrame:
    """With ecoregion, biome and realm: from the layer, else from the points' own columns, else empty."""
    if parameters.strata is None:
        own = [label for label in LABELS if label in located.columns]
        return located.assign(**empty_labels(len(located)).drop(columns=own))
    fields = (parameters.ecoregion_field, parameters.biome_field, parameters.realm_field)
    layer = read_layer(parameters.strata, [f for f in fields if f])
    lon, lat = located["lon"].to_numpy(), located["lat"].to_numpy()
    return located.assign(**label_points(layer, fields, lon, lat, parameters.strata_distance_km))


def _allocated(located: pd.DataFrame, parameters: LocationParameters) -> pd.DataFrame:
    wanted, source = parameters.allocation, parameters.source
    if wanted.rule == "all" or wanted.n is None or not isinstance(source, GridSource):
        return located.assign(inclusion_probability=1.0)
    if wanted.n > len(located):
        enough_km = _spacing_for(source, wanted.n, source.spacing_km * math.sqrt(len(located) / wanted.n))
        raise ConfigError(
            f"locations.allocation.n = {wanted.n}, but the {source.spacing_km:g} km grid has {len(located)} "
            f"cells here; spacing_km = {enough_km:g} gives enough"
        )
    rule: Rule = wanted.rule
    try:
        chosen, probability = choose_cells(
            located[wanted.by].to_numpy(str), wanted.n, rule, minimum=wanted.minimum, seed=wanted.seed
        )
    except ValueError as error:
        raise ConfigError(f"locations.allocation: {error}") from error
    return located.assign(inclusion_probability=probability)[chosen].reset_index(drop=True)


def _zones(lon: FloatArray, lat: FloatArray, size_m: float, tiles: str | None) -> Int32Array:
    if tiles is None:
        return utm_epsg(lon, lat)
    return epsg_with_tile(lon, lat, size_m, read_tiles(tiles))
