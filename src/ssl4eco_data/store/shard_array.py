"""An array of patches in shards: what its metadata say, where its shards lie, how its chunks unpack."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import decode_chunk, split_shard
from ssl4eco_data.store.metadata import DOCUMENT, finished_attributes, read_document
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import ARRAYS, GROUP, PATCHES
from ssl4eco_data.store.versions import dataset_place

MAX_SHARD_LOCATIONS = 4096
MAX_CHUNK_BYTES = 2**28
"""More than the largest patch that a configuration can ask for; metadata that say more are damaged."""
_DTYPES = ("uint8", "uint16")
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardArray:
    """One array of patches: ``shape`` is ``(location, season, ...)``, a chunk is one (location, season).

    ``group`` is where it lies. ``bands`` are those along its band axis, none where it has no such axis; a
    shard holds ``per_shard`` locations with all their seasons. ``dtype`` is little-endian, as stored.
    """

    group: Place
    name: str
    shape: tuple[int, ...]
    per_shard: int
    dtype: np.dtype[Any]
    fill_value: int
    seasons: tuple[str, ...]
    bands: tuple[str, ...]

    @property
    def n_locations(self) -> int:
        """Locations that it has room for."""
        return self.shape[0]

    @property
    def n_seasons(self) -> int:
        """Seasons of each location."""
        return self.shape[1]

    @property
    def n_chunks(self) -> int:
        """Patches that it has room for."""
        return self.n_locations * self.n_seasons

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
        return self.per_shard * self.n_seasons

    def key(self, shard: int) -> str:
        """Place of a shard below the group."""
        return "/".join([self.name, "c", str(shard), *["0"] * (len(self.shape) - 1)])

    def file(self, shard: int) -> str:
        """Place of a shard below the dataset's folder."""
        return f"{PATCHES}/{GROUP}/{self.key(shard)}"

    def chunks(self, shard: int) -> list[bytes | None]:
        """The encoded chunks of a shard by location, then season; ``None`` where absent, and all without a
        file.

        Raises :class:`StoreError` for a damaged index; the chunks' own checksums are not looked at.
        """
        path = self.group / self.key(shard)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return [None] * self.chunks_per_shard
        try:
            return split_shard(data, self.chunks_per_shard)
        except StoreError as error:
            raise StoreError(f"{path}: {error}") from error

    def decode(self, chunk: bytes) -> npt.NDArray[Any]:
        """The pixels ``patch_shape`` of an encoded chunk. Raises :class:`StoreError` when it is damaged."""
        return decode_chunk(chunk, self.patch_shape, self.dtype)


def patches_store(root: str | Place) -> Place:
    """The ``patches.zarr`` of the dataset at ``root``, or ``root`` if it is one; the served version's."""
    place = dataset_place(root)
    return place if place.suffix == ".zarr" else place / PATCHES


def patches_group(root: str | Place) -> Place:
    """The patches of the dataset, or ``patches.zarr``, at ``root``; of several versions the served one."""
    return patches_store(root) / GROUP


def group_attributes(group: Place) -> dict[str, Any]:
    """The attributes of a finished group.

    Raises :class:`StoreError` where there is none, where it is not finished, and for a newer format.
    """
    return finished_attributes(group, _document(group))


def arrays_in(group: Place) -> list[str]:
    """Names of the arrays of patches that a group has."""
    return [name for name in ARRAYS if (group / name).is_dir()]


def read_shard_array(group: Place, name: str) -> ShardArray:
    """The array ``name`` of a group. Raises :class:`StoreError` for one that this reader cannot follow."""
    place, document = group / name, _document(group / name)
    try:
        array = _parsed(group, name, document)
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
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _parsed(group: Place, name: str, document: Mapping[str, Any]) -> ShardArray:
    sharding = document["codecs"][0]["configuration"]
    shape, shard = _ints(document["shape"]), _ints(document["chunk_grid"]["configuration"]["chunk_shape"])
    attributes = document["attributes"]
    array = ShardArray(
        group=group,
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
    _require("shard shape", shard == (shard[0], *shape[1:]) and min(shape) > 0)
    _require("shard of locations", 1 <= shard[0] <= MAX_SHARD_LOCATIONS)
    _require("index", sharding.get("index_location", "end") == "end")
    _require("index codecs", sharding["index_codecs"] == _INDEX_CODECS)
    _require("inner codecs", [c["name"] for c in sharding["codecs"]] == ["bytes", "blosc", "crc32c"])
    _require("keys", document["chunk_key_encoding"]["name"] == "default")
    _require("key separator", _separator(document["chunk_key_encoding"]) == "/")
    _require("seasons", len(array.seasons) == shape[1] == len(set(array.seasons)))
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
