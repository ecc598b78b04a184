"""What a reader of shards must know of an array of patches, from its metadata alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.metadata import DOCUMENT, FORMAT_VERSION, read_document
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import GROUP, PATCHES
from ssl4eco_data.store.versions import dataset_place

MAX_CHUNK_BYTES = 2**31 - 1
"""Blosc takes no larger chunk."""
_DTYPES = ("uint8", "uint16")
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardArray:
    """One array of patches: ``shape`` is ``(location, season, ...)``, a chunk is one (location, season).

    ``bands`` are those along its band axis, none where it has no such axis; a shard holds ``per_shard``
    locations with all their seasons. ``dtype`` is little-endian, as stored.
    """

    name: str
    shape: tuple[int, ...]
    per_shard: int
    dtype: np.dtype[Any]
    fill_value: int
    seasons: tuple[str, ...]
    bands: tuple[str, ...]

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """Shape of one patch, all bands."""
        return self.shape[2:]

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one patch when unpacked."""
        return math.prod(self.patch_shape) * self.dtype.itemsize

    @property
    def chunks_per_shard(self) -> int:
        """Entries of a shard's index."""
        return self.per_shard * self.shape[1]

    def key(self, shard: int) -> str:
        """Place of a shard below the group."""
        return "/".join([self.name, "c", str(shard), *["0"] * (len(self.shape) - 1)])


def patches_group(root: str | Place) -> Place:
    """The patches of the dataset, or ``patches.zarr``, at ``root``; of several versions the served one."""
    place = dataset_place(root)
    return (place if place.suffix == ".zarr" else place / PATCHES) / GROUP


def group_attributes(group: Place) -> dict[str, Any]:
    """The attributes of a finished group.

    Raises :class:`StoreError` where there is none, where it is not finished, and for a newer format.
    """
    document = _document(group)
    attributes = document.get("attributes")
    version = attributes.get("ssl4eco_format_version") if isinstance(attributes, dict) else None
    if not isinstance(attributes, dict) or not isinstance(version, int):
        raise StoreError(f"{group} is not finished: run the build again to its end")
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{group} has format version {version}, this program reads up to {FORMAT_VERSION}: "
            "update ssl4eco-data"
        )
    return attributes


def read_shard_array(group: Place, name: str) -> ShardArray:
    """The array ``name`` of a group. Raises :class:`StoreError` for one that this reader cannot follow."""
    place, document = group / name, _document(group / name)
    try:
        array = _parsed(name, document)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"{place / DOCUMENT}: not an array of patches in shards ({error!r:.200}); read it with zarr, or "
            "build again to redo it"
        ) from error
    return array


def _document(place: Place) -> Mapping[str, Any]:
    path = place / DOCUMENT
    try:
        return read_document(path)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"there is no {path}: build the dataset first, or check the path") from None


def _parsed(name: str, document: Mapping[str, Any]) -> ShardArray:
    sharding = document["codecs"][0]["configuration"]
    shape, shard = _ints(document["shape"]), _ints(document["chunk_grid"]["configuration"]["chunk_shape"])
    attributes = document["attributes"]
    array = ShardArray(
        name=name,
        shape=shape,
        per_shard=shard[0],
        dtype=np.dtype(_known(document["data_type"], _DTYPES)).newbyteorder("<"),
        fill_value=int(document["fill_value"]),
        seasons=_texts(attributes["seasons"]),
        bands=_texts(attributes.get("bands", [])),
    )
    _require("codec", document["codecs"][0]["name"] == "sharding_indexed" and len(document["codecs"]) == 1)
    _require("chunk_shape", _ints(sharding["chunk_shape"]) == (1, 1, *shape[2:]))
    _require("shard shape", shard == (shard[0], *shape[1:]) and min(shape[1:]) > 0 and shard[0] > 0)
    _require("index", sharding.get("index_location", "end") == "end")
    _require("index codecs", sharding["index_codecs"] == _INDEX_CODECS)
    _require("inner codecs", [c["name"] for c in sharding["codecs"]] == ["bytes", "blosc", "crc32c"])
    _require("keys", document["chunk_key_encoding"]["name"] == "default")
    _require("key separator", _separator(document["chunk_key_encoding"]) == "/")
    _require("seasons", len(array.seasons) == shape[1])
    _require("bands", not array.bands or (len(shape) == 5 and len(array.bands) == shape[2]))
    _require("chunk bytes", 0 < array.chunk_bytes <= MAX_CHUNK_BYTES)
    _require("fill value", 0 <= array.fill_value <= np.iinfo(array.dtype).max)
    return array


def _separator(encoding: Mapping[str, Any]) -> str:
    return str(encoding.get("configuration", {}).get("separator", "/"))


def _require(what: str, right: bool) -> None:
    if not right:
        raise ValueError(f"unexpected {what}")


def _known(name: Any, known: Sequence[str]) -> str:
    if name not in known:
        raise ValueError(f"data_type {name!r}")
    return str(name)


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(map(int, values))


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values))
