"""Zarr v3 metadata documents as deterministic bytes. https://zarr-specs.readthedocs.io/en/latest/v3/core/"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import ChunkCodec
from ssl4eco_data.store.objects import Place

FORMAT_VERSION = 1
"""Version of the dataset format; readers refuse a newer one."""
VERSION_KEY = "ssl4eco_format_version"
"""Attribute of a group that says so; it is written last, so a group without it is not finished."""
DOCUMENT = "zarr.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """One array: everything its ``zarr.json`` says.

    ``chunk_shape`` is the unit that is compressed; with ``shard_shape`` (a multiple of it) chunks are
    gathered in shards. ``fill_value`` is what an absent chunk reads as.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    shard_shape: tuple[int, ...] | None = None
    dtype: str
    fill_value: float | bool = 0
    codec: ChunkCodec = field(default_factory=ChunkCodec)
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.dims) == len(self.shape) == len(self.chunk_shape):
            raise ValueError(f"array {self.name}: dims, shape and chunk_shape differ in length: {self}")

    @property
    def file_shape(self) -> tuple[int, ...]:
        """Shape of what one file holds: a shard, or a chunk."""
        return self.shard_shape or self.chunk_shape

    @property
    def chunks_per_file(self) -> int:
        """Chunks in one file."""
        return math.prod(a // b for a, b in zip(self.file_shape, self.chunk_shape, strict=True))

    def key(self, *file: int) -> str:
        """Path, below the group, of the file at this place of the grid of files."""
        return "/".join([self.name, "c", *map(str, file)])

    def document(self) -> dict[str, Any]:
        """The content of the array's ``zarr.json``."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.file_shape)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": _json_number(self.fill_value),
            "codecs": self._codecs(),
            "attributes": dict(self.attributes),
            "dimension_names": list(self.dims),
            "storage_transformers": [],
        }

    def _codecs(self) -> list[dict[str, Any]]:
        inner = self.codec.metadata(np.dtype(self.dtype).itemsize)
        if self.shard_shape is None:
            return inner
        configuration = {
            "chunk_shape": list(self.chunk_shape),
            "codecs": inner,
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        }
        return [{"name": "sharding_indexed", "configuration": configuration}]


def group_document(
    attributes: Mapping[str, Any], inside: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The content of a group's ``zarr.json``; ``inside`` are documents below it, by path, consolidated."""
    ordered = dict(sorted((inside or {}).items()))
    consolidated = {"kind": "inline", "must_understand": False, "metadata": ordered}
    return {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        **({"consolidated_metadata": consolidated} if ordered else {}),
    }


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """The document as UTF-8 JSON; the same bytes for the same content."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_document(path: Place) -> dict[str, Any]:
    """The content of a metadata document.

    Raises ``FileNotFoundError`` when it is absent, :class:`StoreError` when it is no JSON object.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise StoreError(f"cannot read {path}: {error}; build again to redo it") from error
    if not isinstance(document, dict):
        raise StoreError(f"cannot read {path}: it holds no JSON object; build again to redo it")
    return document


def _json_number(value: float | bool) -> Any:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def finished_attributes(place: Place, document: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of the group at ``place``, whose ``zarr.json`` is ``document``.

    Raises :class:`StoreError` with the way out when the group is not finished, or has a newer format.
    """
    attributes = document.get("attributes")
    version = attributes.get(VERSION_KEY) if isinstance(attributes, dict) else None
    if not isinstance(attributes, dict) or not isinstance(version, int):
        raise StoreError(f"{place} is not finished: run the build again to its end")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{place} has format version {version}, this program reads up to {FORMAT_VERSION}: "
            "update ssl4eco-data"
        )
    return attributes
