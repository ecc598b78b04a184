"""Archives of satellite imagery behind one small protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol

import xarray as xr
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.types import Footprint, Location, PatchStats, Scene, UInt16Array

__all__ = ["Archive"]


class Archive(Protocol):
    """What the pipeline asks of the outside world.

    Implementations pickle (Dask sends them), and their constructors only store: they do not connect.
    Every method raises :class:`~ssl4eco_data.errors.ArchiveError` when the archive does not deliver.
    """

    def search(self, area: BaseGeometry, start: date, end: date) -> Sequence[Scene]:
        """Scenes whose footprint meets ``area`` (lon/lat), acquired on days ``start <= day < end``.

        Sorted by time, then scene id; no duplicates.
        """
        ...

    def get(self, scene_ids: Sequence[str]) -> Mapping[str, Scene]:
        """The scenes with these ids; ids the archive no longer has are absent from the answer."""
        ...

    def judge(self, scenes: Sequence[Scene], footprint: Footprint) -> Sequence[PatchStats]:
        """Statistics of each scene inside the patch, in the order asked.

        What a scene does not cover counts as missing, and a scene of another UTM zone is all missing.
        """
        ...

    def read(self, scene: Scene, footprint: Footprint, bands: Sequence[str]) -> Mapping[str, UInt16Array]:
        """Native-resolution windows, keyed by band, each ``(y, x)`` uint16, exactly the scene's pixels.

        10 m and 20 m bands (and SCL) lie on ``footprint.grid``, 60 m bands on ``footprint.grid_60m`` of
        the scene's tile. DN have the offset removed, are clipped at 1 and keep 0 = no data; pixels
        beyond the tile are 0.
        """
        ...

    def vegetation_series(self, locations: Sequence[Location], start: date, end: date) -> xr.Dataset:
        """Vegetation index of the pixels around each location.

        Dimensions ``(location, time, y, x)``, padded to the largest window; coordinate ``location`` holds
        location ids. Variables: ``value`` float32 vegetation index (EVI or EVI2; NaN = no observation);
        ``day`` float64, the **true** day of each observation in days since 1970-01-01; ``weight``
        float32 in [0, 1]; ``snow`` bool; and ``inside`` ``(location, y, x)`` bool, the pixel's centre
        lies in the patch footprint. Times are sorted; the dataset attribute ``index`` names the index
        profile (``evi`` or ``evi2``), and ``unreadable`` the causes of files that could not be read for
        good, whose observations are missing.
        """
        ...
