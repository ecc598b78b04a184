"""What an archive offers to the contract suite."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import shapely
from catalogue_cases import Truth, lonlat

from ssl4eco_data.archives import Archive
from ssl4eco_data.types import Footprint, Scene

START, END = date(2015, 1, 1), date(2030, 1, 1)


@dataclass(frozen=True)
class Offer:
    """An archive, the truth about it, a footprint with many scenes, and others to cut."""

    archive: Archive
    truth: Truth
    footprint: Footprint
    others: tuple[Footprint, ...] = field(default=())
    index: str = "evi"

    @property
    def area(self) -> shapely.Geometry:
        return lonlat(self.footprint.epsg, shapely.box(*self.footprint.bounds_m))

    def scenes(self) -> list[Scene]:
        return list(self.archive.search(self.area, START, END))


OTHERS = tuple(
    Footprint(epsg=32631, west_m=west, north_m=north, size_m=640)
    for west, north in (
        (300000, 5700000),
        (299700, 5700320),
        (305700, 5694300),
        (303940, 5699980),
        (303620, 5697020),
    )
)
"""Corners of tiles, windows that reach beyond them, and several phases of the 60 m grid."""
