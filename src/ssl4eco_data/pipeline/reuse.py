"""What a new version takes over from the one it began from: encoded patches, and the scenes it serves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ssl4eco_data.config import Config
from ssl4eco_data.errors import StoreError
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.wanted import Wanted
from ssl4eco_data.scenes import NOTHING_PUBLISHED, Candidate, Published
from ssl4eco_data.store import Layout, Ledger, read_table
from ssl4eco_data.store.codec import decode_chunk, is_whole, split_shard
from ssl4eco_data.store.schema import GROUP
from ssl4eco_data.store.shard_array import ShardArray, read_shard_array
from ssl4eco_data.store.versions import unfinished
from ssl4eco_data.types import UInt16Array

READ_ID = "read_scene_id"
"""Column of the scene really read: the one chosen, or its newer processing where that one is gone."""


ServedScene = tuple[str, str, str]
"""Scene id, acquisition, tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """A patch of the base: its encoded chunks, one of each array, and its row of the quality table."""

    chunks: Sequence[bytes]
    row: Mapping[str, Any]


def base_of(config: Config) -> Config | None:
    """The configuration at the version that the one being built began from; None where there is none."""
    note = unfinished(config.home) if config.version else None
    if note is None or note.version != config.version or not note.base:
        return None
    return config.of_version(note.base)


def reusable(
    base: Config, config: Config, plan: Layout, block: int, wanted: Sequence[Wanted]
) -> dict[Wanted, Reused]:
    """The wanted patches that the base has, of the same scene on the same grid, all chunks whole.

    None of a shard that is not what the base's mark says: a chunk's own checksum tells that it is whole, not
    that it is at its place. Needs memory for the block's compressed patches.
    """
    rows = {_key(row): row for row in _quality(base, block) if not row["failure"]}
    places = _same_places(base, config, block)
    shards = _Shards(base, plan, block)
    found = {}
    for each in wanted:
        row = rows.get((each.location_id, each.season))
        if row is None or each.location_id not in places:
            continue
        if each.scene_id not in (row["scene_id"], row[READ_ID]):
            continue
        at = block * config.block_locations + places[each.location_id]
        chunks = shards.chunks(at, plan.seasons.index(each.season))
        if all(map(is_whole, chunks)):
            found[each] = Reused(chunks=[chunk for chunk in chunks if chunk is not None], row=row)
    return found


class _Shards:
    """The base's shards of a block; each is read once."""

    def __init__(self, base: Config, plan: Layout, block: int) -> None:
        self._group = base.root / tables.PATCHES / GROUP
        self._arrays = [read_shard_array(self._group, array.name) for array in plan.arrays]
        mark = Ledger(base.root).read("patches", block)
        self._sha256 = {base.root / file.path: file.sha256 for file in (mark.files if mark else ())}
        self._read: dict[tuple[int, int], list[bytes | None]] = {}

    def chunks(self, row: int, season: int) -> list[bytes | None]:
        """The encoded chunks of a patch, one of each array."""
        return [self._chunk(number, row, season) for number in range(len(self._arrays))]

    def _chunk(self, number: int, row: int, season: int) -> bytes | None:
        array = self._arrays[number]
        shard, within = divmod(row, array.per_shard)
        if (number, shard) not in self._read:
            self._read[number, shard] = self._chunks(array, shard)
        return self._read[number, shard][within * array.n_seasons + season]

    def _chunks(self, array: ShardArray, shard: int) -> list[bytes | None]:
        """The chunks of a shard; none of one that is lost, or not what the mark says."""
        path = self._group / array.key(shard)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() != self._sha256.get(path):
            return [None] * array.chunks_per_shard
        return split_shard(data, array.chunks_per_shard)


def decoded(plan: Layout, reused: Reused) -> dict[str, UInt16Array]:
    """The pixels of a patch taken over, by band, as an archive would have given them."""
    bands: dict[str, UInt16Array] = {}
    for array, chunk in zip(plan.arrays, reused.chunks, strict=True):
        pixels = decode_chunk(chunk, array.chunk_shape, np.dtype(array.dtype))[0, 0]
        bands |= dict(zip(array.bands, pixels if pixels.ndim > 2 else [pixels], strict=True))
    return bands


def _quality(base: Config, block: int) -> list[dict[str, Any]]:
    """Rows of the base's chosen patches: what was chosen, and what came of it."""
    chosen = read_table(tables.part(base, tables.CHOICES, block))[["location_id", "season", "scene_id"]]
    quality = read_table(tables.part(base, tables.QUALITY, block))
    return [
        {str(name): value for name, value in row.items()}
        for row in chosen.merge(quality, on=["location_id", "season"]).to_dict("records")
    ]


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return str(row["location_id"]), str(row["season"])


def _same_places(base: Config, config: Config, block: int) -> dict[str, int]:
    """Location id -> its row in the base's block, of those whose patch lies where it lay."""
    columns = ["location_id", "epsg", "west", "north", "size"]

    def places(of: Config) -> dict[str, tuple[int, tuple[Any, ...]]]:
        rows = tables.rows(of, tables.locations(of), block)[columns].itertuples(index=False, name=None)
        return {str(row[0]): (i, row[1:]) for i, row in enumerate(rows)}

    old, new = places(base), places(config)
    return {name: old[name][0] for name in old.keys() & new.keys() if old[name][1] == new[name][1]}


def published_scenes(config: Config, block: int) -> Mapping[str, Mapping[str, ServedScene]]:
    """Location id -> season -> (scene id, acquisition, tile) of what the base serves in a block.

    A version that is finished, and repaired, has no base any more; it stays with what itself serves.
    """
    base = base_of(config)
    if base is None:
        return _own_scenes(config, block) if _is_finished(config) else {}
    try:
        served = [row for row in _quality(base, block) if not row["failure"]]
        known = read_table(tables.part(base, tables.CANDIDATES, block))
    except FileNotFoundError:
        return {}
    keys = ["location_id", "season", "scene_id"]
    chosen = pd.DataFrame(served, columns=[*keys, READ_ID])
    named = chosen[keys].merge(known.drop_duplicates(keys)[[*keys, "acquisition", "tile"]], on=keys)
    found: dict[str, dict[str, ServedScene]] = {}
    for location_id, season, *scene in named.itertuples(index=False, name=None):
        found.setdefault(str(location_id), {})[str(season)] = (str(scene[0]), str(scene[1]), str(scene[2]))
    return found


def _is_finished(config: Config) -> bool:
    """Whether the configuration means a version that is not the one being built."""
    note = unfinished(config.home) if config.version else None
    return bool(config.version) and (note is None or note.version != config.version)


def _own_scenes(config: Config, block: int) -> dict[str, dict[str, ServedScene]]:
    """What a version itself read; nothing where the table that says so is lost too."""
    try:
        quality = read_table(tables.part(config, tables.QUALITY, block))
    except (FileNotFoundError, StoreError):
        return {}
    found: dict[str, dict[str, ServedScene]] = {}
    for row in quality[quality["failure"] == ""].to_dict("records"):
        found.setdefault(str(row["location_id"]), {})[str(row["season"])] = (str(row[READ_ID]), "", "")
    return found


def published_among(
    candidates: Iterable[Candidate], served: Mapping[str, ServedScene], config: Config
) -> Published:
    """Which candidates of a location are served already; one processed anew counts as the same scene."""
    if not served:
        return NOTHING_PUBLISHED
    ids: dict[str, str] = {}
    for c in sorted(candidates, key=lambda each: each.key):
        scene_id, *identity = served.get(c.season, ("", "", ""))
        if c.scene.scene_id == scene_id or (c.scene.identity == tuple(identity) and c.season not in ids):
            ids[c.season] = c.scene.scene_id
    return Published(scene_ids=ids, margin=_margin(config))


def _margin(config: Config) -> int:
    """The margin of the configuration in the units that its policy minimises."""
    if config.scenes.policy == "nearest":
        return config.versions.sticky_margin_days
    return round(config.versions.sticky_margin_cloud * 10_000)
