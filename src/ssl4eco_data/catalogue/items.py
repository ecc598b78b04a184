"""The patches as STAC items in a table (stac-geoparquet), block by block.

Layout: https://github.com/stac-utils/stac-geoparquet/blob/main/spec/stac-geoparquet-spec.md (one row per
item, properties as columns). Item fields: STAC 1.1.0 and the extensions named in ``EXTENSIONS``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.catalogue.facts import Box

STAC_VERSION = "1.1.0"
COLLECTION_FILE = "collection.json"
ITEMS_FILE = "items.parquet"
ROWS_PER_GROUP = 65_536
"""Rows written at a time: what is held in memory besides the compressed file."""
EXTENSIONS: Mapping[str, str] = {
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "view": "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    "sat": "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
}
_OPTIONAL = {"view": "sun_elevation_deg", "grid": "tile", "sat": "relative_orbit"}
"""Extensions that an item has where the column is known."""
_TEXT, _NUMBER, _COUNT = pa.string(), pa.float64(), pa.int64()
_LINK = pa.struct([("rel", _TEXT), ("href", _TEXT), ("type", _TEXT)])
_ASSET = pa.struct([("href", _TEXT), ("type", _TEXT), ("title", _TEXT), ("roles", pa.list_(_TEXT))])
_BOX = pa.struct([(name, _NUMBER) for name in ("xmin", "ymin", "xmax", "ymax")])
SCHEMA = pa.schema(
    [
        ("type", _TEXT),
        ("stac_version", _TEXT),
        ("stac_extensions", pa.list_(_TEXT)),
        ("id", _TEXT),
        ("collection", _TEXT),
        ("geometry", pa.binary()),
        ("bbox", _BOX),
        ("links", pa.list_(_LINK)),
        ("assets", pa.struct([("patches", _ASSET)])),
        ("datetime", pa.timestamp("ms", tz="UTC")),
        ("constellation", _TEXT),
        ("platform", _TEXT),
        ("instruments", pa.list_(_TEXT)),
        ("gsd", _NUMBER),
        ("proj:code", _TEXT),
        ("proj:bbox", pa.list_(_NUMBER)),
        ("proj:shape", pa.list_(_COUNT)),
        ("proj:transform", pa.list_(_NUMBER)),
        ("eo:cloud_cover", _NUMBER),
        ("eo:snow_cover", _NUMBER),
        ("view:sun_elevation", _NUMBER),
        ("grid:code", _TEXT),
        ("sat:relative_orbit", _COUNT),
        ("ssl4eco:location_id", _TEXT),
        ("ssl4eco:season", _TEXT),
        ("ssl4eco:location_index", _COUNT),
        ("ssl4eco:season_index", _COUNT),
        ("ssl4eco:scene_id", _TEXT),
        ("ssl4eco:clear_fraction", _NUMBER),
        ("ssl4eco:mean_ndvi", _NUMBER),
        ("ssl4eco:ecoregion", _TEXT),
        ("ssl4eco:biome", _TEXT),
        ("ssl4eco:realm", _TEXT),
        ("ssl4eco:split", _TEXT),
    ]
)
"""Columns whose name says their meaning, but: ``ssl4eco:location_index`` and ``ssl4eco:season_index`` are the
place along the axes ``location`` and ``season`` of the Zarr arrays; fractions are of the patch."""


def box_of(outline: BaseGeometry) -> Box:
    """Bounds of a patch's outline; west beyond east where it is split at the antimeridian (RFC 7946, 5.2)."""
    parts = shapely.get_parts(outline)
    west, south, east, north = map(float, outline.bounds)
    if len(parts) > 1:
        edges = shapely.bounds(parts)
        west, east = float(edges[:, 0].max()), float(edges[:, 2].min())
    return west, south, east, north


def items_table(patches: pd.DataFrame, outlines: Mapping[str, BaseGeometry], collection: str) -> pa.Table:
    """The items of some patches, one row each, columns as in ``SCHEMA``.

    ``patches`` has ``location_id``, ``season``, ``location_index``, ``season_index``, ``scene_id``, ``time``
    (UTC), ``platform``, ``tile``, ``relative_orbit``, ``sun_elevation_deg``, the fractions, ``mean_ndvi``,
    ``epsg``, ``west``, ``north``, ``size`` (metres) and the labels; ``outlines`` are by location, in
    longitude and latitude.
    """
    ids = patches["location_id"].astype(str)
    boxes = np.array([box_of(outlines[name]) for name in ids], dtype=np.float64).reshape(-1, 4)
    wkb = {name: shapely.to_wkb(shape, flavor="iso", byte_order=1) for name, shape in outlines.items()}
    columns: dict[str, Any] = {
        **_constants(len(patches), collection),
        "stac_extensions": _extensions(patches),
        "id": (ids + "_" + patches["season"].astype(str)).tolist(),
        "geometry": [wkb[name] for name in ids],
        "bbox": [dict(zip(_BOX.names, box, strict=True)) for box in boxes.tolist()],
        "datetime": pa.Array.from_pandas(patches["time"]).cast(SCHEMA.field("datetime").type),
        **_projected(patches),
        "eo:cloud_cover": _percent(patches["cloud_fraction"]),
        "eo:snow_cover": _percent(patches["snow_fraction"]),
        "view:sun_elevation": patches["sun_elevation_deg"],
        "grid:code": "MGRS-" + patches["tile"].astype("str"),
        "sat:relative_orbit": patches["relative_orbit"],
        "platform": patches["platform"],
    }
    named = {
        name: patches[name.removeprefix("ssl4eco:")] for name in SCHEMA.names if name.startswith("ssl4eco:")
    }
    arrays = [_array(field, {**columns, **named}[field.name]) for field in SCHEMA]
    return pa.table(arrays, schema=SCHEMA)


class ItemWriter:
    """Parquet bytes of items that are added block by block, in row groups of ``ROWS_PER_GROUP``.

    The collection goes into the file's metadata. ``crossing``: some patch lies across the antimeridian.
    Needs memory for one row group and for the compressed file, about 150 bytes an item, twice.
    """

    def __init__(self, collection: Mapping[str, Any], *, crossing: bool) -> None:
        self._schema = SCHEMA.with_metadata(_metadata(collection, crossing))
        self._sink = pa.BufferOutputStream()
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd", compression_level=3)
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Add items; they are written when a row group is full."""
        self._waiting.append(table)
        self._rows += len(table)
        while self._rows >= ROWS_PER_GROUP:
            whole = pa.concat_tables(self._waiting)
            self._write(whole.slice(0, ROWS_PER_GROUP))
            self._waiting = [whole.slice(ROWS_PER_GROUP)]
            self._rows -= ROWS_PER_GROUP

    def finish(self) -> bytes:
        """The whole file."""
        self._write(pa.concat_tables(self._waiting) if self._waiting else SCHEMA.empty_table())
        self._writer.close()
        data: bytes = self._sink.getvalue().to_pybytes()
        return data

    def _write(self, table: pa.Table) -> None:
        if len(table):
            kept = table.combine_chunks().replace_schema_metadata(self._schema.metadata)
            self._writer.write_table(kept, row_group_size=ROWS_PER_GROUP)


def _metadata(collection: Mapping[str, Any], crossing: bool) -> dict[str, str]:
    """The file's own metadata.

    Unless a patch crosses the antimeridian the boxes are declared as covering, so that readers can skip row
    groups by place. https://geoparquet.org/releases/v1.1.0/
    """
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Polygon"]}
    if crossing:
        column["geometry_types"] = ["MultiPolygon", "Polygon"]
    else:
        column["covering"] = {"bbox": {name: ["bbox", name] for name in _BOX.names}}
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    own = {"version": "1.0.0", "collections": {collection["id"]: collection}}
    return {key: json.dumps(value, sort_keys=True) for key, value in (("geo", geo), ("stac-geoparquet", own))}


def _constants(n: int, collection: str) -> dict[str, list[Any]]:
    asset = {
        "href": "./patches.zarr/sentinel2",
        "type": "application/vnd.zarr; version=3",
        "title": "patches of all locations and seasons; this one by its two indices",
        "roles": ["data"],
    }
    link = {"rel": "collection", "href": f"./{COLLECTION_FILE}", "type": "application/json"}
    values: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "collection": collection,
        "links": [link],
        "assets": {"patches": asset},
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": 10.0,
    }
    return {name: [value] * n for name, value in values.items()}


def _extensions(patches: pd.DataFrame) -> list[list[str]]:
    known = [patches[column].notna().tolist() for column in _OPTIONAL.values()]
    always = [EXTENSIONS["proj"], EXTENSIONS["eo"]]
    optional = [EXTENSIONS[name] for name in _OPTIONAL]
    return [
        [*always, *(url for url, there in zip(optional, row, strict=True) if there)]
        for row in zip(*known, strict=True)
    ]


def _projected(patches: pd.DataFrame) -> dict[str, Any]:
    """The patch on its 10 m grid in its UTM zone."""
    west, north, size = (patches[name].to_numpy(np.float64) for name in ("west", "north", "size"))
    ten, none = np.full(len(patches), 10.0), np.zeros(len(patches))
    side = (size / 10).astype(np.int64)
    return {
        "proj:code": ("EPSG:" + patches["epsg"].astype("str")).tolist(),
        "proj:bbox": np.column_stack([west, north - size, west + size, north]).tolist(),
        "proj:shape": np.column_stack([side, side]).tolist(),
        "proj:transform": np.column_stack([ten, none, west, none, -ten, north]).tolist(),
    }


def _percent(fraction: pd.Series[float]) -> pd.Series[float]:
    return (100 * fraction).round(4)


def _array(field: pa.Field, values: Sequence[Any] | pd.Series[Any] | pa.Array) -> pa.Array:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    return pa.array(values, type=field.type, from_pandas=True)
