"""What training needs beside the pixels: labels, times, weights, as NumPy arrays and without xarray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.codec import decode_chunk
from ssl4eco_data.store.metadata import DOCUMENT, read_document
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.shard_array import group_attributes, patches_group

_TEXT, _LABELS, _MILLISECONDS = "text", "labels", "milliseconds since 1970-01-01"
_DTYPES = ("bool", "float32", "float64", *(f"{kind}{n}" for kind in ("int", "uint") for n in (8, 16, 32, 64)))
_CODECS = ["bytes", "blosc", "crc32c"]
_MAX_CHUNK_BYTES = 2**31 - 1
"""Blosc takes no larger chunk."""


def read_small_arrays(root: str | Place, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Arrays of a finished dataset by name, whole: those along ``location``, ``(location, season)``, labels.

    Text and labels are fixed-width Unicode (empty where there is none), times ``datetime64[ms]`` in UTC (NaT
    where there is none), all others as stored. ``weight``, ``split``, ``location_id``, ``time``,
    ``cycle_phase``, ``season`` are such names. Raises ``ValueError`` for an array that is not there or is no
    small one, :class:`StoreError` where there is no finished dataset, or a damaged one.
    """
    group = patches_group(root)
    group_attributes(group)
    return {name: _read(group, name) for name in names}


def _read(group: Place, name: str) -> npt.NDArray[Any]:
    try:
        document = read_document(group / name / DOCUMENT)
    except (FileNotFoundError, NotADirectoryError):
        known = read_document(group / DOCUMENT).get("consolidated_metadata", {}).get("metadata", {})
        raise ValueError(f"{group} has no array {name!r}; there are: {', '.join(sorted(known))}") from None
    try:
        shape, dtype = _form(document)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"{group / name} is no small array of one chunk: {error}") from error
    return _labelled(_values(group, name, shape, dtype), document.get("attributes", {}))


def _form(document: Mapping[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, little-endian type) of an array that is one chunk."""
    shape = tuple(map(int, document["shape"]))
    chunk = tuple(map(int, document["chunk_grid"]["configuration"]["chunk_shape"]))
    if chunk != tuple(max(1, n) for n in shape):
        raise ValueError(f"shape {shape}, chunks {chunk}")
    if [codec["name"] for codec in document["codecs"]] != _CODECS:
        raise ValueError("unexpected codecs")
    if document["data_type"] not in _DTYPES:
        raise ValueError(f"data_type {document['data_type']!r}")
    dtype = np.dtype(document["data_type"]).newbyteorder("<")
    if min((*shape, 0)) < 0 or int(np.prod(shape, dtype=object)) * dtype.itemsize > _MAX_CHUNK_BYTES:
        raise ValueError(f"shape {shape}")
    return shape, dtype


def _values(group: Place, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if 0 in shape:
        return np.zeros(shape, dtype)
    path = group / "/".join([name, "c", *["0"] * len(shape)])
    try:
        return decode_chunk(path.read_bytes(), shape, dtype)
    except (StoreError, OSError) as error:
        raise StoreError(f"{path}: {error}; build again to redo it") from error


def _labelled(values: npt.NDArray[Any], attributes: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Codes, bytes and milliseconds as what they stand for."""
    if attributes.get(_TEXT) == "utf-8":
        width = values.shape[-1]
        plain = np.ascontiguousarray(values).view(f"S{width}")[..., 0]
        texts: npt.NDArray[Any] = np.char.decode(plain, "utf-8")
        return texts
    if _LABELS in attributes:
        table = np.array([*map(str, attributes[_LABELS]), ""])
        if values.size and not (values.min() >= -1 and values.max() < len(table) - 1):
            raise StoreError(f"codes {values.min()} to {values.max()} have no labels; build again to redo it")
        labels: npt.NDArray[Any] = table[values]
        return labels
    if attributes.get("units") == _MILLISECONDS:
        return values.astype(np.int64).view("datetime64[ms]")
    return values.astype(values.dtype.newbyteorder("="))
