"""An archive that gives back the patches that damaged shards still hold: only others are fetched again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import xarray as xr
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.archives import Archive
from ssl4eco_data.config import Config
from ssl4eco_data.errors import StoreError
from ssl4eco_data.locations import locations_of
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.patches import layout
from ssl4eco_data.pipeline.reuse import READ_ID
from ssl4eco_data.store import read_table
from ssl4eco_data.store.schema import GROUP
from ssl4eco_data.store.shard_array import ShardArray, read_shard_array
from ssl4eco_data.types import Footprint, Location, PatchStats, Scene, UInt16Array

Key = tuple[Footprint, str]
"""(patch, id of the scene that was read for it)."""
Chunks = Mapping[str, bytes]
"""The encoded patch by array."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptArchive:
    """An archive of which only patches are read whose chunks are absent or damaged; see :func:`keeping`."""

    archive: Archive
    arrays: Mapping[str, ShardArray] = field(default_factory=dict)
    bands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    chunks: Mapping[Key, Chunks] = field(default_factory=dict)

    def read(self, scene: Scene, footprint: Footprint, bands: Sequence[str]) -> Mapping[str, UInt16Array]:
        """As the protocol says; from the chunks where they are whole."""
        try:
            kept = self.chunks[footprint, scene.scene_id]
            pixels = {name: self.arrays[name].decode(kept[name]) for name in self.bands}
        except (KeyError, StoreError):
            return self.archive.read(scene, footprint, bands)
        planes = {
            band: plane
            for name, patch in pixels.items()
            for band, plane in zip(self.bands[name], patch.reshape(-1, *patch.shape[-2:]), strict=True)
        }
        return {band: np.asarray(planes[band]) for band in bands}

    def judge(self, scenes: Sequence[Scene], footprint: Footprint) -> Sequence[PatchStats]:
        """As the protocol says."""
        return self.archive.judge(scenes, footprint)

    def search(self, area: BaseGeometry, start: date, end: date) -> Sequence[Scene]:
        """As the protocol says."""
        return self.archive.search(area, start, end)

    def get(self, scene_ids: Sequence[str]) -> Mapping[str, Scene]:
        """As the protocol says."""
        return self.archive.get(scene_ids)

    def vegetation_series(self, locations: Sequence[Location], start: date, end: date) -> xr.Dataset:
        """As the protocol says."""
        return self.archive.vegetation_series(locations, start, end)


def keeping(archive: Archive, config: Config, block: int) -> KeptArchive:
    """The archive with what the shards of a block still hold; they are read once, and kept encoded.

    A chunk's own checksum tells that it is whole, not that it is at its place: compare the checksums of the
    shards that are made of it.
    """
    try:
        quality = read_table(tables.part(config, tables.QUALITY, block))
        plan, group = layout(config), config.root / tables.PATCHES / GROUP
        arrays = {array.name: read_shard_array(group, array.name) for array in plan.arrays}
        located = locations_of(tables.rows(config, tables.locations(config), block))
        held = {name: _held(array, config, block, len(located)) for name, array in arrays.items()}
        read = {(row.location_id, row.season): getattr(row, READ_ID) for row in quality.itertuples()}
    except (FileNotFoundError, StoreError, AttributeError):
        return KeptArchive(archive)
    places = [(i, j) for i in range(len(located)) for j in range(len(plan.seasons))]
    chunks: dict[Key, Chunks] = {}
    for n, (i, j) in enumerate(places):
        scene_id = read.get((located[i].location_id, plan.seasons[j]))
        if scene_id:
            here = {name: each[n] for name, each in held.items()}
            chunks[located[i].footprint, scene_id] = {name: c for name, c in here.items() if c is not None}
    return KeptArchive(archive, arrays, {array.name: array.bands for array in plan.arrays}, chunks)


def _held(array: ShardArray, config: Config, block: int, n_locations: int) -> list[bytes | None]:
    """The chunks of a block by location, then season; none of a shard whose index is damaged."""
    first = block * config.block_locations // array.per_shard
    found: list[bytes | None] = []
    while len(found) < n_locations * array.n_seasons:
        try:
            found += array.chunks(first)
        except StoreError:
            found += [None] * array.chunks_per_shard
        first += 1
    return found
