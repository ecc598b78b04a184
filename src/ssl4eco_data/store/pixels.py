"""Patches as an array that xarray indexes as it likes, while the store is read one patch at a time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from ssl4eco_data.errors import StoreError
from ssl4eco_data.store.objects import Place
from ssl4eco_data.store.shards import ShardReader
from ssl4eco_data.types import BoolArray

Pixels = npt.NDArray[Any]
Part = Any
"""What picks along one axis: an int, a slice or a 1-d array of ints."""


class PatchReader(Protocol):
    """Reads one patch into a buffer; a :class:`~ssl4eco_data.store.shards.ShardReader` is one."""

    def read_into(self, row: int, season: int, out: dict[str, Pixels]) -> bool:
        """Fill ``out[name]`` with a patch; whether it is there."""


class PatchPixels(BackendArray):
    """The array ``name`` of a reader, ``(location, season, ...)``, whose chunks are single patches.

    A read of many patches is as many reads of one: asked for all at once by a list of rows, a sharded array
    takes zarr 3.1 twenty times as long.
    """

    def __init__(self, reader: PatchReader, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.reader, self.name, self.shape, self.dtype = reader, name, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Pixels:
        found: Pixels = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return found

    def _read(self, key: tuple[Part, ...]) -> Pixels:
        rows, seasons = (np.atleast_1d(np.arange(self.shape[axis])[key[axis]]) for axis in (0, 1))
        whole, inside = np.empty(self.shape[2:], self.dtype), key[2:]
        found = np.empty((rows.size, seasons.size, *_picked(whole, inside).shape), self.dtype)
        for i, row in enumerate(rows.tolist()):
            for j, season in enumerate(seasons.tolist()):
                self.reader.read_into(row, season, {self.name: whole})
                found[i, j] = _picked(whole, inside)
        alone = tuple(axis for axis in (0, 1) if isinstance(key[axis], int | np.integer))
        return found.squeeze(axis=alone)


@dataclass(frozen=True, slots=True)
class ChosenPatches:
    """Reads the patches that ``chosen`` ``(location, season)`` says are there, and no others.

    A shard that was lost reads like one without patches: only what was chosen tells them apart.
    """

    group: Place
    reader: ShardReader
    chosen: BoolArray

    def read_into(self, row: int, season: int, out: dict[str, Pixels]) -> bool:
        """As the reader; :class:`~ssl4eco_data.errors.StoreError` where a patch is lost, or not chosen."""
        there = self.reader.read_into(row, season, out)
        if there != self.chosen[row, season]:
            state = "there though no scene was chosen" if there else "lost"
            raise StoreError(
                f"{self.group}: {', '.join(out)}, location row {row}, season {self.reader.seasons[season]}: "
                f"the patch is {state}; run ssl4eco check on the dataset"
            )
        return there


def lazy_patches(
    group: Place, name: str, dims: tuple[Hashable, ...], attributes: dict[str, Any], chosen: BoolArray
) -> xr.Variable:
    """An array of patches of a ``patches.zarr`` as a variable; no pixel is read before it is asked for.

    Reads raise :class:`~ssl4eco_data.errors.StoreError` where a patch is damaged, or there against what is
    ``chosen`` ``(location, season)``; ``ValueError`` where that has another shape than the array.
    """
    reader = ShardReader(group, [name])
    array = reader.arrays[name]
    if chosen.shape != reader.shape:
        raise ValueError(f"scene_id has shape {chosen.shape} and {name} {reader.shape}")
    patches = ChosenPatches(group, reader, chosen)
    pixels = PatchPixels(patches, name, array.shape, array.dtype.newbyteorder("="))
    return xr.Variable(dims, indexing.LazilyIndexedArray(pixels), attributes)


def _picked(values: Pixels, parts: tuple[Part, ...]) -> Pixels:
    """What the parts pick, each along its own axis; from the last one, since an int takes its axis away."""
    for axis in reversed(range(len(parts))):
        values = values[(slice(None),) * axis + (parts[axis],)]
    return values
