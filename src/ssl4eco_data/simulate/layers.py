"""Vector layers of the embedded Earth: its land and its ecoregions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import pyogrio
from shapely.geometry import box

from ssl4eco_data.simulate.sites import Site

LAND, ECOREGIONS = "layers/land.gpkg", "layers/ecoregions.gpkg"
AROUND_DEG = 0.05
FIXED_TIME = "2020-01-01T00:00:00.000Z"


def write_layers(root: Path, sites: Sequence[Site]) -> int:
    """Bytes of ``land.gpkg`` and ``ecoregions.gpkg`` (EPSG:4326, ECO_NAME, BIOME_NAME, REALM as RESOLVE)."""
    land = gpd.GeoDataFrame({"featurecla": ["Land"] * len(sites)}, geometry=[s.land for s in sites], crs=4326)
    ecoregions = gpd.GeoDataFrame(
        {
            "ECO_NAME": [s.region.ecoregion for s in sites],
            "BIOME_NAME": [s.region.biome for s in sites],
            "REALM": [s.region.realm for s in sites],
        },
        geometry=[box(*s.land.bounds).buffer(AROUND_DEG, join_style="mitre") for s in sites],
        crs=4326,
    )
    (root / LAND).parent.mkdir(parents=True, exist_ok=True)
    size = 0
    # A GeoPackage carries the time of writing, which would make two equal archives differ.
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": FIXED_TIME})
    for name, layer in ((LAND, land), (ECOREGIONS, ecoregions)):
        (root / name).unlink(missing_ok=True)
        layer.to_file(root / name, driver="GPKG")
        size += (root / name).stat().st_size
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
    return size
