"""Whether this program can read a dataset: finished, of a known format version, with known codecs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from zarr.errors import UnknownCodecError
from zarr.registry import get_codec_class

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.metadata import DOCUMENT, finished_attributes, read_document
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.schema import ARRAYS, GROUP

MAX_SMALL_VALUES = 2**30
"""More than any array that is read at once has, text by its bytes."""


def refuse_unreadable(place: Place) -> None:
    """Nothing, when the Zarr store at ``place`` can be read.

    Raises :class:`StoreError` with the way out when there is none, when it is not finished, when its format
    version is newer than this program's, or when an array needs a codec that is not installed.
    """
    for document in (_document(place, place / DOCUMENT), _document(place, place / GROUP / DOCUMENT)):
        finished_attributes(place, document)
        arrays = _mapping(_mapping(document, "consolidated_metadata"), "metadata")
        for name in sorted(arrays):
            array = _mapping(arrays, name)
            for codec in codec_names(array.get("codecs", [])):
                _refuse_unknown(codec, f"{place}/{name}")
            if name.rpartition("/")[2] not in ARRAYS:
                _refuse_huge(array, f"{place}/{name}")


def _document(place: Place, path: Place) -> dict[str, Any]:
    try:
        return read_document(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"no dataset at {place}: build it first, or check the path") from error


def _refuse_huge(array: Mapping[str, Any], where: str) -> None:
    """StoreError for an array that is read at once and says that it is larger than any of a dataset."""
    shape = array.get("shape", [])
    sizes = [n for n in shape if isinstance(n, int)] if isinstance(shape, list) else []
    if math.prod(sizes) > MAX_SMALL_VALUES:
        raise StoreError(f"{where} says that it has the shape {sizes}: its metadata are damaged; check it")


def codec_names(codecs: Any) -> Iterator[str]:
    """Every codec that some codecs of a ``zarr.json`` name, those within shards too."""
    for codec in codecs if isinstance(codecs, list) else []:
        if isinstance(codec, Mapping):
            yield str(codec.get("name"))
            inside = _mapping(codec, "configuration")
            yield from codec_names(inside.get("codecs"))
            yield from codec_names(inside.get("index_codecs"))


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The JSON object under a key; an empty one where there is something else, or nothing."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _refuse_unknown(codec: str, where: str) -> None:
    try:
        get_codec_class(codec)
    except (UnknownCodecError, KeyError, ValueError) as error:
        raise StoreError(
            f"{where} needs the Zarr codec {codec!r}, which is not installed here: update ssl4eco-data "
            "and zarr, or install the package that brings the codec"
        ) from error
