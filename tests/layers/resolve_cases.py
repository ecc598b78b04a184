"""A synthetic RESOLVE layer and its zipped shapefile."""

from __future__ import annotations

import zipfile
from pathlib import Path

import geopandas as gpd
from shapely.geometry import box

ECOREGIONS = 846


def resolve_layer(ecoregions: int = ECOREGIONS, biomes: int = 14, realms: int = 8) -> gpd.GeoDataFrame:
    """Tiny boxes with as many names as asked, and one of ice, which is in no biome and no realm."""
    numbers = range(ecoregions)
    columns = {
        "OBJECTID": [*numbers, ecoregions],
        "ECO_NAME": [*(f"Ecoregion {i:03d}" for i in numbers), "Rock and Ice"],
        "BIOME_NAME": [*(f"Biome {i % biomes}" for i in numbers), "N/A"],
        "REALM": [*(f"Realm {i % realms}" for i in numbers), "N/A"],
    }
    corners = [(i % 60, i // 60) for i in range(ecoregions + 1)]
    return gpd.GeoDataFrame(columns, geometry=[box(x, y, x + 0.5, y + 0.5) for x, y in corners], crs=4326)


def zipped(layer: gpd.GeoDataFrame, folder: Path) -> bytes:
    """The layer as a zipped shapefile."""
    folder.mkdir(parents=True)
    layer.to_file(folder / "Ecoregions2017.shp")
    with zipfile.ZipFile(folder / "out.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(folder.glob("Ecoregions2017.*")):
            archive.write(part, part.name)
    return (folder / "out.zip").read_bytes()
