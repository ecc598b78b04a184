"""The grid's cells that a source asks for: in its region, on land, out of the lakes, not too far south."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ssl4eco_data.errors import ConfigError
from ssl4eco_data.locations.grid import RADIUS_KM, Cells, MajorTomGrid
from ssl4eco_data.locations.land import on_land
from ssl4eco_data.locations.parameters import PACKAGED_MASK, GridSource
from ssl4eco_data.locations.polygons import Layer, boxes_around, contains, read_layer

_MAX_CELLS = 5e7
"""About 100 bytes a cell are held while the cells on land are found."""
_NEAR, _STEP = 1.005, 1.002
"""A spacing within half a per cent of the largest one is near enough; less than half of that is a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Where a source's cells may lie, for grids of any spacing: no ``land`` is the packaged mask's."""

    region: Layer | None
    land: Layer | None
    water: Layer | None
    min_lat_deg: float

    @property
    def mended(self) -> int:
        """Invalid polygons that were made valid."""
        return sum(layer.mended for layer in (self.region, self.land, self.water) if layer)

    def cells(self, spacing_km: float) -> tuple[MajorTomGrid, Cells]:
        """The grid and its cells in the area, by row, then column; computed near the layers only."""
        grid = MajorTomGrid(spacing_km)
        boxes = [
            (west, max(south, self.min_lat_deg), east, north)
            for west, south, east, north in boxes_around([x for x in (self.region, self.land) if x])
            if north >= self.min_lat_deg
        ]
        _check_size(spacing_km, boxes)
        cells = cells_within(grid, self.region, boxes)
        cells = cells.where(on_land(*grid.centres(cells), layer=self.land))
        if self.water:
            cells = cells.where(~contains(self.water, *grid.centres(cells)))
        return grid, cells

    def largest_spacing_km(self, n: int, at_most_km: float) -> float:
        """The largest spacing (to half a per cent, four digits) up to ``at_most_km`` with ``n`` cells here.

        Raises :class:`~ssl4eco_data.errors.ConfigError` when no grid that can be computed has so many.
        """
        too_wide, enough, tried, middle_next = math.inf, 0.0, at_most_km, False
        while enough < at_most_km and too_wide > enough * _NEAR:
            found = self._count(tried)
            if found >= n:
                enough = tried
            else:
                too_wide = tried
            # By area first, a step inside of what is known; half way in between where that misses.
            by_area = tried * math.sqrt(max(found, 0.5) / n) / _STEP
            inside = min(max(by_area, enough * _STEP), too_wide / _STEP)
            tried = float(f"{math.sqrt(too_wide * enough) if middle_next and enough else inside:.4g}")
            middle_next = not middle_next
        return enough

    def _count(self, spacing_km: float) -> int:
        return len(self.cells(spacing_km)[1])


def area_of(source: GridSource) -> Area:
    """The area of a source, its layers read.

    Raises :class:`~ssl4eco_data.errors.ConfigError` when a layer cannot be used.
    """
    return Area(
        region=read_layer(source.region) if source.region else None,
        land=read_layer(source.land) if source.land != PACKAGED_MASK else None,
        water=read_layer(source.water) if source.water else None,
        min_lat_deg=source.min_lat_deg,
    )


def land_cells(source: GridSource) -> tuple[MajorTomGrid, Cells]:
    """The grid of a source and its cells there, by row, then column; errors as :func:`area_of`."""
    return area_of(source).cells(source.spacing_km)


def largest_spacing_km(source: GridSource, n: int, at_most_km: float) -> float:
    """See :meth:`Area.largest_spacing_km`; the spacing of ``source`` itself does not count."""
    return area_of(source).largest_spacing_km(n, at_most_km)


def cells_within(
    grid: MajorTomGrid,
    region: Layer | None,
    boxes_deg: Sequence[tuple[float, float, float, float]] | None = None,
) -> Cells:
    """The cells with their centre in a polygon of ``region`` (edges included), by row, then column.

    Only cells in ``boxes_deg`` (west, south, east, north) are computed, by default boxes around the region.
    No region is the whole Earth.
    """
    boxes = boxes_around([region] if region else []) if boxes_deg is None else boxes_deg
    cells = grid.cells_in_boxes(boxes)
    return cells.where(contains(region, *grid.centres(cells))) if region else cells


def _check_size(spacing_km: float, boxes: Sequence[tuple[float, float, float, float]]) -> None:
    area_km2 = sum(
        RADIUS_KM**2
        * math.radians(east - west)
        * (math.sin(math.radians(north)) - math.sin(math.radians(south)))
        for west, south, east, north in boxes
    )
    count = area_km2 / spacing_km**2
    if count > _MAX_CELLS:
        raise ConfigError(
            f"locations.source.spacing_km = {spacing_km:g} makes about {count:.2g} cells before land "
            f"is known, more than {_MAX_CELLS:.0e}: widen it, or name a smaller locations.source.region"
        )
