"""Tables as Parquet whose bytes depend on their content and the Arrow version alone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.files import write_atomic
from ssl4eco_data.store.objects import Place

if TYPE_CHECKING:
    import geopandas as gpd

GEO_EPSG = 4326
MAX_CELLS = 2**28
"""More values than any table of a dataset has; a file that claims more is damaged."""


def write_table(path: Place, frame: pd.DataFrame) -> None:
    """Write a table; the index is dropped, columns keep their order and types.

    Raises :class:`StoreError` when the disk does not take it, ``ValueError`` for a column without one type.
    """
    write_atomic(path, _encode(path, frame, {}))


def write_geo_table(path: Place, frame: gpd.GeoDataFrame, metadata: Mapping[str, Any] | None = None) -> None:
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


def read_table(path: Place) -> pd.DataFrame:
    """The table of a file.

    Raises ``FileNotFoundError`` when it is absent, :class:`StoreError` when it is damaged.
    """
    with _readable(path):
        frame: pd.DataFrame = _bounded(io.BytesIO(path.read_bytes())).read().to_pandas(ignore_metadata=True)
    return frame


def read_column(path: Place, name: str) -> list[Any]:
    """One column of the table of a file. Errors as :func:`read_table`, also for a table without it."""
    with _readable(path):
        column: list[Any] = _bounded(parquet_source(path)).read(columns=[name])[name].to_pylist()
    return column


def read_geo_table(path: Place) -> gpd.GeoDataFrame:
    """The table of a GeoParquet file; needs the ``build`` extra. Errors as :func:`read_table`."""
    import geopandas as gpd

    with _readable(path):
        data = io.BytesIO(path.read_bytes())
        _bounded(data)
        return gpd.read_parquet(data)


def table_metadata(path: Place) -> dict[str, Any]:
    """What :func:`write_geo_table` put into the file's own metadata. Errors as :func:`read_table`."""
    with _readable(path):
        kept = pq.read_schema(parquet_source(path)).metadata or {}
        own = {key: value for key, value in kept.items() if not key.startswith(b"ARROW:")}
        return {key.decode(): json.loads(value) for key, value in own.items()}


def parquet_source(path: Place) -> Path | pa.BufferReader:
    """What Arrow reads a table from: a file on disk in parts, an object as a whole."""
    return path if isinstance(path, Path) else pa.BufferReader(path.read_bytes())


def _encode(path: Place, frame: pd.DataFrame, metadata: Mapping[str, Any]) -> bytes:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"a column of {path} has no single type: {error}") from error
    # pandas' own metadata names the versions of pandas and Arrow
    table = table.replace_schema_metadata(dict(metadata) or None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=3)
    return buffer.getvalue()


def _bounded(source: Any) -> pq.ParquetFile:
    """The file, not read yet. Raises ``ValueError`` for one that claims more than memory should be given."""
    file = pq.ParquetFile(source)
    rows, columns = file.metadata.num_rows, file.metadata.num_columns
    if rows < 0 or rows * columns > MAX_CELLS:
        raise ValueError(f"it says that it has {rows} rows of {columns} columns")
    return file


@contextmanager
def _readable(path: Place) -> Iterator[None]:
    """What Arrow, pandas and the geometry libraries raise at damaged bytes, as a :class:`StoreError`."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise StoreError(
            f"cannot read {path}: {error}; remove it and build again to redo its block"
        ) from error
