"""Polygon files for the tests of the starter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely

ALPS = (6.0, 45.5, 11.0, 47.5)


def write_layer(path: Path, boxes: list[tuple[float, float, float, float]], **columns: list[Any]) -> str:
    """A polygon file of boxes (west, south, east, north)."""
    geometry = [shapely.box(*box) for box in boxes]
    gpd.GeoDataFrame(columns, geometry=geometry, crs=4326).to_file(path)
    return str(path)
