"""Tables as Parquet whose bytes depend on their content and the Arrow version alone."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.files import write_atomic

if TYPE_CHECKING:
    import geopandas as gpd

GEO_EPSG = 4326


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table; the index is dropped, columns keep their order and types.

    Raises :class:`StoreError` when the disk does not take it, ``ValueError`` for a column without one type.
    """
    write_atomic(path, _encode(path, frame, {}))


def write_geo_table(path: Path, frame: gpd.GeoDataFrame, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a table with a ``geometry`` column in EPSG:4326 as GeoParquet 1.1 (WKB).

    ``metadata`` goes beside ``geo`` into the file's own metadata, each value as JSON.
    https://geoparquet.org/releases/v1.1.0/. Raises ``ValueError`` for another reference system.
    """
    if frame.crs is None or frame.crs.to_epsg() != GEO_EPSG:
        raise ValueError(f"geometry of {path} must be in EPSG:{GEO_EPSG}, got {frame.crs}")
    geometry = frame.geometry
    column = {
        "encoding": "WKB",
        "geometry_types": sorted(set(geometry.geom_type.dropna())),
        "crs": frame.crs.to_json_dict(),
    }
    name = str(geometry.name)
    geo = {"version": "1.1.0", "primary_column": name, "columns": {name: column}}
    plain = pd.DataFrame(frame).assign(
        **{name: shapely.to_wkb(geometry.to_numpy(), flavor="iso", byte_order=1)}
    )
    own = {key: json.dumps(value, sort_keys=True) for key, value in (metadata or {}).items()}
    write_atomic(path, _encode(path, plain, {**own, "geo": json.dumps(geo, sort_keys=True)}))


def read_table(path: Path) -> pd.DataFrame:
    """The table of a file.

    Raises ``FileNotFoundError`` when it is absent, :class:`StoreError` when it is damaged.
    """
    try:
        frame: pd.DataFrame = (
            pq.ParquetFile(io.BytesIO(path.read_bytes())).read().to_pandas(ignore_metadata=True)
        )
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise _damaged(path, error) from error
    return frame


def read_tables(folder: Path) -> pd.DataFrame:
    """The parts of a table below one another, in the order of their names.

    Raises ``FileNotFoundError`` when there is none, :class:`StoreError` when one is damaged.
    """
    parts = sorted(folder.glob("*.parquet"))
    if not parts:
        raise FileNotFoundError(f"no *.parquet in {folder}")
    return pd.concat([read_table(part) for part in parts], ignore_index=True)


def read_geo_table(path: Path) -> gpd.GeoDataFrame:
    """The table of a GeoParquet file; needs the ``build`` extra. Errors as :func:`read_table`."""
    import geopandas as gpd

    try:
        return gpd.read_parquet(path)
    except (pa.ArrowException, ValueError) as error:
        raise _damaged(path, error) from error


def table_metadata(path: Path) -> dict[str, Any]:
    """What :func:`write_geo_table` put into the file's own metadata. Errors as :func:`read_table`."""
    try:
        kept = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise _damaged(path, error) from error
    return {key.decode(): json.loads(value) for key, value in kept.items() if not key.startswith(b"ARROW:")}


def _encode(path: Path, frame: pd.DataFrame, metadata: Mapping[str, Any]) -> bytes:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"a column of {path} has no single type: {error}") from error
    # pandas' own metadata names the versions of pandas and Arrow
    table = table.replace_schema_metadata(dict(metadata) or None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=3)
    return buffer.getvalue()


def _damaged(path: Path, error: Exception) -> StoreError:
    return StoreError(f"cannot read {path}: {error}; remove it and build again to redo its block")
