"""The table of locations: from a grid over land or from the user's points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.allocation import Rule, all_cells, choose_cells
from ssl4eco_data.locations.cells import Area, area_of
from ssl4eco_data.locations.columns import as_text
from ssl4eco_data.locations.curve import hilbert_order
from ssl4eco_data.locations.parameters import (
    AllocationParameters,
    GridSource,
    LocationParameters,
    PointSource,
)
from ssl4eco_data.locations.points import check_order, read_points
from ssl4eco_data.locations.polygons import read_layer
from ssl4eco_data.locations.splits import block_splits
from ssl4eco_data.locations.strata import LABELS, NO_STRATUM, empty_labels, label_points
from ssl4eco_data.locations.utm import Int32Array, epsg_with_tile, patch_corners, read_tiles, utm_epsg
from ssl4eco_data.types import FloatArray, Footprint, Location

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
)
"""Before the columns that points bring, and ``geometry``, the last."""
GIVEN = "_given"
"""Ends the name of a column that points bring and that has one of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The locations, what each stratum got, and what happened on the way.

    ``table`` is ``locations.parquet`` and ``strata`` is ``strata.parquet`` (docs/architecture.md has their
    columns). ``counts``: ``mended_polygons`` that were invalid, points ``labelled_by_nearest`` polygon,
    points ``unlabelled`` (in or near none), ``strata_without_place`` (no mean over the sample knows of them).
    """

    table: gpd.GeoDataFrame
    strata: pd.DataFrame
    counts: Mapping[str, int]


def sample_locations(parameters: LocationParameters, size_m: float, known: Sequence[str] = ()) -> Sample:
    """The sample of the parameters, patches of ``size_m`` metres a side.

    Rows follow a Hilbert curve, ties by id. ``known`` are the ids of an earlier sample in their order: when
    the new one holds them all they keep their rows and the others follow, so that a dataset can grow.

    Raises :class:`~ssl4eco_data.errors.ConfigError` when a file cannot be used, no location is left, or the
    allocation cannot be met, and ``ValueError`` when ``size_m`` is not a positive multiple of 20 m.
    """
    source, counts = parameters.source, Counter[str]()
    if isinstance(source, GridSource):
        area = area_of(source)
        counts["mended_polygons"] += area.mended
        located = _along_curve(_from_grid(source, area))
        located = _labelled(located, parameters, counts)
        located, strata = _allocated(located, source, area, parameters.allocation)
        counts["strata_without_place"] += int((strata["got"] == 0).sum())
    else:
        located = _labelled(_along_curve(_from_points(source)), parameters, counts)
        strata = all_cells(located[parameters.allocation.by].to_numpy(str))
        located = located.assign(inclusion_probability=1.0)
    return Sample(
        table=_placed(_grown(located, known), parameters, size_m), strata=strata, counts=dict(counts)
    )


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


def _from_grid(source: GridSource, area: Area) -> pd.DataFrame:
    grid, cells = area.cells(source.spacing_km)
    if len(cells) == 0:
        raise ConfigError(
            f"the {source.spacing_km:g} km grid has no land cell in {source.region or 'the world'} north of "
            f"{source.min_lat_deg:g} degrees: widen the region, or narrow locations.source.spacing_km"
        )
    lon, lat = grid.centres(cells)
    frame = pd.DataFrame({"location_id": grid.names(cells), "lon": lon, "lat": lat})
    return frame.assign(cell_epsg=utm_epsg(*grid.corners(cells)))


def _from_points(source: PointSource) -> pd.DataFrame:
    clash = sorted({*COLUMNS, "geometry"} & set(source.date_fields))
    if clash:
        raise ConfigError(
            f"{source.points}: the column of dates {clash[0]!r} has the name of a column of ours; rename it"
        )
    points = read_points(source.points, source.id_field, source.date_fields)
    lon, lat = points["lon"].to_numpy(), points["lat"].to_numpy()
    if source.check_order:
        check_order(source.points, lon, lat)
    points = _set_aside(points, {*COLUMNS, "geometry"} - {"location_id", "lon", "lat", *LABELS})
    labels = {name: as_text(points[name]).fillna(NO_STRATUM) for name in LABELS if name in points.columns}
    return points.assign(cell_epsg=utm_epsg(lon, lat), **labels)


def _set_aside(points: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Columns of these names under others, which end in ``_given`` as often as it takes."""
    renamed = {}
    for name in sorted(set(names) & set(points.columns)):
        other = f"{name}{GIVEN}"
        while other in points.columns:
            other += GIVEN
        renamed[name] = other
    return points.rename(columns=renamed)


def _along_curve(located: pd.DataFrame) -> pd.DataFrame:
    lon, lat = located["lon"].to_numpy(), located["lat"].to_numpy()
    order = hilbert_order(lon, lat, located["location_id"].tolist())
    return located.iloc[order].reset_index(drop=True)


def _labelled(located: pd.DataFrame, parameters: LocationParameters, counts: Counter[str]) -> pd.DataFrame:
    """With ecoregion, biome and realm: from the layer, else from the points' own columns, else empty."""
    own = [label for label in LABELS if label in located.columns]
    if parameters.strata is None:
        return located.assign(**empty_labels(len(located)).drop(columns=own))
    fields = (parameters.ecoregion_field, parameters.biome_field, parameters.realm_field)
    layer = read_layer(parameters.strata, [f for f in fields if f])
    lon, lat = located["lon"].to_numpy(), located["lat"].to_numpy()
    labels = label_points(layer, fields, lon, lat, parameters.strata_distance_km)
    counts["mended_polygons"] += layer.mended
    counts["labelled_by_nearest"] += labels.nearest
    counts["unlabelled"] += labels.none
    return _set_aside(located, own).assign(**labels.table)


def _allocated(
    located: pd.DataFrame, source: GridSource, area: Area, wanted: AllocationParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(the chosen rows with their inclusion probability, what each stratum got)."""
    stratum = located[wanted.by].to_numpy(str)
    if wanted.rule == "all" or wanted.n is None:
        return located.assign(inclusion_probability=1.0), all_cells(stratum)
    if wanted.n > len(located):
        enough_km = area.largest_spacing_km(wanted.n, source.spacing_km)
        raise ConfigError(
            f"locations.allocation.n = {wanted.n}, but the {source.spacing_km:g} km grid has {len(located)} "
            f"cells here; spacing_km = {enough_km:g} gives enough"
        )
    rule: Rule = wanted.rule
    try:
        chosen, strata = choose_cells(
            stratum, wanted.n, rule, minimum=wanted.minimum, cap=wanted.cap, seed=wanted.seed
        )
    except ValueError as error:
        raise ConfigError(f"locations.allocation: {error}") from error
    probability = strata.set_index("stratum")["inclusion_probability"]
    taken = located[chosen].reset_index(drop=True)
    return taken.assign(inclusion_probability=taken[wanted.by].map(probability).to_numpy(np.float64)), strata


def _grown(located: pd.DataFrame, known: Sequence[str]) -> pd.DataFrame:
    """Known rows first, in their order, when all of them are here."""
    row = pd.Series(np.arange(len(located)), index=located["location_id"]).reindex(pd.Index(known))
    if row.isna().any():
        return located
    first = row.to_numpy(np.int64)
    return located.iloc[np.append(first, np.setdiff1d(np.arange(len(located)), first))].reset_index(drop=True)


def _placed(located: pd.DataFrame, parameters: LocationParameters, size_m: float) -> gpd.GeoDataFrame:
    """With the patch, the split and the geometry; columns in order."""
    lon, lat = located["lon"].to_numpy(), located["lat"].to_numpy()
    epsg = _zones(lon, lat, size_m, parameters.tiles)
    west, north = patch_corners(lon, lat, epsg, size_m)
    split = block_splits(lon, lat, **parameters.split.model_dump())
    located = located.assign(epsg=epsg, west=west, north=north, size=float(size_m), split=split)
    brought = [name for name in located.columns if name not in COLUMNS]
    return gpd.GeoDataFrame(located[[*COLUMNS, *brought]], geometry=gpd.points_from_xy(lon, lat), crs=4326)


def _zones(lon: FloatArray, lat: FloatArray, size_m: float, tiles: str | None) -> Int32Array:
    if tiles is None:
        return utm_epsg(lon, lat)
    return epsg_with_tile(lon, lat, size_m, read_tiles(tiles))
