"""Tables of embeddings: GeoParquet, one row per (location, season), and what probes take from them."""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ssl4eco_data.store import TEMPORARY_SUFFIX
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.metrics import Floats

Texts = npt.NDArray[np.str_]
COLUMNS = ("location_id", "season", "model", "dataset", "vector", "geometry")
_GEO = {
    "version": "1.1.0",
    "primary_column": "geometry",
    "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}},
}
_POINT = 1
_LITTLE_ENDIAN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """``vectors`` ``(n, D)`` float32 of images: of which location, which season, where.

    ``model`` names the encoder and its weights, ``dataset`` is its fingerprint. An empty season stands for
    the mean over all of a location's.
    """

    location_id: Texts
    season: Texts
    lon_deg: Floats
    lat_deg: Floats
    vectors: npt.NDArray[np.float32]
    model: str
    dataset: str

    def take(self, which: npt.NDArray[Any]) -> Embeddings:
        """Some rows, by places or by a mask."""
        return Embeddings(
            location_id=self.location_id[which],
            season=self.season[which],
            lon_deg=self.lon_deg[which],
            lat_deg=self.lat_deg[which],
            vectors=self.vectors[which],
            model=self.model,
            dataset=self.dataset,
        )

    def ordered(self) -> Embeddings:
        """By location, then season."""
        return self.take(np.lexsort((self.season, self.location_id)))

    def per_location(self) -> Embeddings:
        """One row per location, by its name: the mean of its seasons' vectors."""
        _, first, place = np.unique(self.location_id, return_index=True, return_inverse=True)
        sums = np.zeros((first.size, self.vectors.shape[1]))
        np.add.at(sums, place, self.vectors)
        means = (sums / np.bincount(place)[:, None]).astype(np.float32)
        made = self.take(first)
        return Embeddings(
            location_id=made.location_id,
            season=np.full(first.size, "", dtype=self.season.dtype),
            lon_deg=made.lon_deg,
            lat_deg=made.lat_deg,
            vectors=means,
            model=self.model,
            dataset=self.dataset,
        )


def joined(parts: Sequence[Embeddings]) -> Embeddings:
    """Parts of one model and dataset below one another; ``ValueError`` for none."""
    if not parts:
        raise ValueError("parts must be at least one")
    return Embeddings(
        location_id=np.concatenate([part.location_id for part in parts]),
        season=np.concatenate([part.season for part in parts]),
        lon_deg=np.concatenate([part.lon_deg for part in parts]),
        lat_deg=np.concatenate([part.lat_deg for part in parts]),
        vectors=np.concatenate([part.vectors for part in parts]),
        model=parts[0].model,
        dataset=parts[0].dataset,
    )


def to_table(embeddings: Embeddings, metadata: Mapping[str, Any] | None = None) -> pa.Table:
    """The rows with the columns ``COLUMNS``; ``metadata`` goes beside ``geo``, each value as JSON.

    ``vector`` is a fixed-size list of float32; ``geometry`` a point (longitude, latitude) as WKB in
    OGC:CRS84, GeoParquet's default. https://geoparquet.org/releases/v1.1.0/
    """
    n, width = embeddings.vectors.shape
    flat = pa.array(np.ascontiguousarray(embeddings.vectors, dtype=np.float32).reshape(-1))
    points = [
        struct.pack("<BIdd", _LITTLE_ENDIAN, _POINT, lon, lat)
        for lon, lat in zip(embeddings.lon_deg.tolist(), embeddings.lat_deg.tolist(), strict=True)
    ]
    columns = {
        "location_id": pa.array(embeddings.location_id.tolist(), pa.string()),
        "season": pa.array(embeddings.season.tolist(), pa.string()),
        "model": pa.array([embeddings.model] * n, pa.string()),
        "dataset": pa.array([embeddings.dataset] * n, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, width),
        "geometry": pa.array(points, pa.binary()),
    }
    own = {"geo": _GEO, **(metadata or {})}
    return pa.table(columns).replace_schema_metadata(
        {k: json.dumps(v, sort_keys=True) for k, v in own.items()}
    )


def encoded(table: pa.Table) -> bytes:
    """The table as one Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def join_files(path: Path, parts: Iterable[Path]) -> None:
    """Write the rows of files, in their order, as one file at once; one part is in memory at a time.

    Raises OSError with the path when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    writer: pq.ParquetWriter | None = None
    try:
        with temporary.open("wb") as file:
            for part in parts:
                table = pq.read_table(part)
                if writer is None:
                    schema = table.schema.with_metadata({"geo": json.dumps(_GEO, sort_keys=True)})
                    writer = pq.ParquetWriter(file, schema, compression="zstd")
                writer.write_table(table.replace_schema_metadata(writer.schema.metadata))
            if writer is None:
                raise ValueError("parts must be at least one")
            writer.close()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_embeddings(path: str | Path) -> Embeddings:
    """A table of embeddings, of whatever program, with the columns ``COLUMNS``.

    Raises TrainingError for a file that is none, of several models or datasets, or with values that are no
    numbers.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise TrainingError(
            f"there is no {path}: make it with python -m ssl4eco_training.embed, or check the path"
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingError(f"{path} cannot be read as Parquet ({error}): make it again") from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise TrainingError(
            f"{path} has no column {', '.join(missing)}: a table of embeddings has {', '.join(COLUMNS)}"
        )
    if not table.num_rows:
        raise TrainingError(f"{path} has no rows: make it again with python -m ssl4eco_training.embed")
    model, dataset = _one(path, table, "model"), _one(path, table, "dataset")
    points = np.array([_coordinates(path, wkb) for wkb in table["geometry"].to_pylist()])
    return Embeddings(
        location_id=np.array(table["location_id"].to_pylist(), dtype=str),
        season=np.array(table["season"].to_pylist(), dtype=str),
        lon_deg=points[:, 0],
        lat_deg=points[:, 1],
        vectors=_vectors(path, table),
        model=model,
        dataset=dataset,
    )


def _vectors(path: str | Path, table: pa.Table) -> npt.NDArray[np.float32]:
    column = table["vector"].combine_chunks()
    try:
        flat = column.flatten().to_numpy(zero_copy_only=False)
        vectors: npt.NDArray[np.float32] = flat.astype(np.float32).reshape(len(column), -1)
    except (AttributeError, ValueError) as error:
        raise TrainingError(f"{path}: vector must be lists of numbers of one length ({error})") from error
    if not np.isfinite(vectors).all():
        raise TrainingError(
            f"{path}: {int((~np.isfinite(vectors)).any(axis=1).sum())} vectors hold values that are no "
            "numbers"
        )
    return vectors


def _one(path: str | Path, table: pa.Table, name: str) -> str:
    values = sorted(map(str, table[name].unique().to_pylist()))
    if len(values) > 1:
        raise TrainingError(
            f"{path} has embeddings of {len(values)} {name}s ({', '.join(values[:3])}): keep one of them"
        )
    return values[0]


def _coordinates(path: str | Path, wkb: bytes) -> tuple[float, float]:
    try:
        order, kind, lon, lat = struct.unpack("<BIdd", wkb)
    except (struct.error, TypeError) as error:
        raise TrainingError(f"{path}: geometry must be points as little-endian WKB ({error})") from error
    if (order, kind) != (_LITTLE_ENDIAN, _POINT):
        raise TrainingError(f"{path}: geometry must be points as little-endian WKB, got type {kind}")
    return lon, lat
