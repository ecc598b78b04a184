"""The same ecoregions from Earth Engine, simplified there, as a GeoPackage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio
import shapely

from ssl4eco_data.archives.earth_engine_client import EarthEngineParameters, ask
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.layers.progress import Progress, Unit
from ssl4eco_data.layers.resolve import ECOREGIONS, FIELDS, NAME

ASSET = "RESOLVE/ECOREGIONS/2017"
SIMPLIFIED_M = 500
_PAGE_FEATURES = 25
_FIXED_TIME = "2017-04-05T00:00:00.000Z"
"""Written as the time of the GeoPackage (day of publication), so that equal features give equal bytes."""
_EDGE_DEG = 180 + 1e-6
_POLYGON = 3
Feature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EarthEngineAsset:
    """The features of the asset, with boundaries off by at most ``SIMPLIFIED_M`` metres."""

    parameters: EarthEngineParameters

    file_name: ClassVar[str] = f"{NAME}.gpkg"
    unit: ClassVar[Unit] = "features"
    url: ClassVar[str] = f"earthengine://{ASSET}"

    def bring(self, path: Path, progress: Progress) -> None:
        """Write the features to ``path``, sorted by ecoregion; raises ArchiveError.

        An ecoregion that simplification leaves without a polygon, a small island, comes as it is.
        """
        progress.total = ECOREGIONS + 1
        features = []
        for page in self._pages(_simplified):
            features += page
            progress.update(len(page))
        layer = layer_of(features)
        lost = sorted(layer.loc[layer.geometry.is_empty, "ECO_NAME"].dropna())
        if lost:
            whole = [f for page in self._pages(lambda ee: _named(ee, lost)) for f in page]
            kept = [f for f in features if f.get("properties", {}).get("ECO_NAME") not in lost]
            layer = layer_of([*kept, *whole])
        if layer.geometry.is_empty.any():
            names = ", ".join(map(str, layer.loc[layer.geometry.is_empty, "ECO_NAME"]))
            raise ArchiveError(f"Earth Engine, {ASSET}: no polygon for {names}", transient=False)
        _write(layer, path)
        progress.close()

    def _pages(self, graph: Callable[[Any], Any]) -> Iterator[list[Feature]]:
        token: str | None = None
        while True:
            page = ask(self.parameters, f"the features of {ASSET}", _request(graph, token))
            yield page.get("features", [])
            token = page.get("nextPageToken")
            if not token:
                return


def layer_of(features: Sequence[Feature]) -> gpd.GeoDataFrame:
    """ECO_NAME, BIOME_NAME, REALM and a multipolygon (EPSG:4326) of GeoJSON features, sorted by them.

    Polygons beyond a longitude of 180° are brought to its other side; a feature without any polygon has an
    empty one.
    """
    properties = [feature.get("properties") or {} for feature in features]
    columns = {field: [p.get(field) for p in properties] for field in FIELDS}
    shapes = [_polygons_of(feature.get("geometry")) for feature in features]
    layer = gpd.GeoDataFrame(columns, geometry=shapes, crs=4326)
    return layer.sort_values(list(FIELDS), kind="stable", ignore_index=True)


def _polygons_of(geometry: Feature | None) -> shapely.MultiPolygon:
    shape = shapely.geometry.shape(geometry) if geometry else shapely.MultiPolygon()
    parts = _polygons(shape)
    if len(parts) and np.abs(shapely.bounds(parts)[:, [0, 2]]).max() > _EDGE_DEG:
        mended = shapely.make_valid(parts)
        around = [shapely.transform(mended, partial(np.add, [shift, 0])) for shift in (-360, 0, 360)]
        parts = _polygons(shapely.clip_by_rect(np.concatenate(around), -180, -90, 180, 90))
    return shapely.MultiPolygon(list(parts))


def _polygons(shapes: Any) -> npt.NDArray[np.object_]:
    """Single polygons of any geometries; lines and points are left out."""
    parts = shapely.get_parts(shapes)
    while (shapely.get_type_id(parts) > _POLYGON).any():
        parts = shapely.get_parts(parts)
    polygons: npt.NDArray[np.object_] = parts[
        (shapely.get_type_id(parts) == _POLYGON) & ~shapely.is_empty(parts)
    ]
    return polygons


def _request(graph: Callable[[Any], Any], token: str | None) -> Callable[[Any], Any]:
    def request(ee: Any) -> Any:
        asked = {"expression": graph(ee), "pageSize": _PAGE_FEATURES}
        return ee.data.computeFeatures(asked | ({"pageToken": token} if token else {}))

    return request


def _simplified(ee: Any) -> Any:
    return _table(ee).map(lambda feature: feature.simplify(SIMPLIFIED_M))


def _named(ee: Any, names: Sequence[str]) -> Any:
    return _table(ee).filter(ee.Filter.inList("ECO_NAME", list(names)))


def _table(ee: Any) -> Any:
    return ee.FeatureCollection(ASSET).select(list(FIELDS))


def _write(layer: gpd.GeoDataFrame, path: Path) -> None:
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _FIXED_TIME})
    try:
        layer.to_file(path, driver="GPKG", layer=NAME)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
