"""Patches of a block: every chosen scene cut at native resolution into whole shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd

from ssl4eco_data.archives import Archive
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ArchiveError
from ssl4eco_data.locations import locations_of
from ssl4eco_data.patches import dark_ground_jump, low_quantile, mean_ndvi, offset_jump
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.outage import refuse_outage
from ssl4eco_data.pipeline.reprocessed import found_again
from ssl4eco_data.pipeline.reuse import READ_ID, Reused, decoded, reusable
from ssl4eco_data.pipeline.stage import Outcome
from ssl4eco_data.pipeline.wanted import Wanted
from ssl4eco_data.store import Layout, read_table, write_block, write_table
from ssl4eco_data.types import BoolArray, Footprint, Location, Scene, UInt16Array

STEADY_BANDS = ("B01", "B02", "B03", "B04", "B11", "B12")
"""Bands whose darkest pixels the seasons move little; leaves move the others by an offset's size."""
READ_THREADS = 4
"""Patches of a block read at a time; each waits mostly for the archive."""


class Cut(NamedTuple):
    """One patch, or why there is none."""

    bands: Mapping[str, UInt16Array]
    mean_ndvi: float
    failure: str


def layout(config: Config) -> Layout:
    """How the patches are laid out; it depends on the number of locations and the configuration alone."""
    return Layout(
        n_locations=len(tables.locations(config)),
        seasons=config.seasons,
        size_m=config.patches.size_m,
        bands=config.patches.bands,
        title=config.dataset.title,
        simulated=config.simulate is not None,
        parameters=config.store,
    )


def cut_patches(config: Config, archive: Archive, block: int, base: Config | None = None) -> Outcome:
    """Read the chosen scenes of a block and write its shards.

    What the version ``base`` has of the same scene is taken from there as it is encoded, and not read.

    A scene that the archive lists under another id, because it was processed anew, is read under that.
    One that the archive no longer has, or that cannot be read for good, is recorded with its cause and
    leaves its season missing; a transient failure fails the block, which is tried again.
    """
    plan = layout(config)
    located = locations_of(tables.rows(config, tables.locations(config), block))
    chosen = read_table(tables.part(config, tables.CHOICES, block)).dropna(subset=["scene_id"])
    wanted = [Wanted(*map(str, row)) for row in chosen[list(Wanted._fields)].to_numpy().tolist()]
    by_id = {loc.location_id: loc for loc in located}
    reused = reusable(base, config, plan, block, wanted) if base else {}
    fetched = [each for each in wanted if each not in reused]
    listed = archive.get(sorted({each.scene_id for each in fetched})) if fetched else {}
    gone = [each for each in fetched if each.scene_id not in listed]
    renamed = found_again(config, archive, block, gone, by_id)
    scenes = {**listed, **renamed}

    def cut(each: Wanted) -> Cut:
        return _cut(archive, scenes.get(each.scene_id), each, by_id[each.location_id].footprint, config)

    with ThreadPoolExecutor(READ_THREADS) as pool:
        cuts = dict(zip(fetched, pool.map(cut, fetched), strict=True))
    refuse_outage([c.failure for c in cuts.values()], "chosen scenes")
    cuts = _with_reused(wanted, cuts, reused, plan)
    cuts = _without_sparse(cuts, config.min_seasons)
    done = {(each.location_id, each.season): c for each, c in cuts.items() if not c.failure}
    present, arrays = _stack(plan, located, done)
    kept = _kept(plan, located, reused)
    first_row = block * config.block_locations
    shards = write_block(config.root / tables.PATCHES, plan, first_row, arrays, present, kept)
    quality = tables.part(config, tables.QUALITY, block)
    table = _quality(cuts, scenes, by_id, reused)
    write_table(quality, table)
    flagged = int((table["offset_jump"] != 0).sum())
    counts = {
        "patches": len(done),
        "unreadable": len(cuts) - len(done),
        "reprocessed": sum(not scene.failure for scene in renamed.values()),
        "offset_jumps": flagged,
        **({"reused": len(reused)} if base else {}),
    }
    return Outcome(files=(*shards, quality), counts=counts)


def as_read(choices: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """The choices with what came of them; ``scene_id`` names the scene that was really read."""
    read = choices.merge(quality, how="left", on=["location_id", "season"])
    if READ_ID not in read:
        return read
    newer = read.pop(READ_ID).fillna("")
    return read.assign(scene_id=read["scene_id"].mask(newer != "", newer))


def _with_reused(
    wanted: Sequence[Wanted], fetched: Mapping[Wanted, Cut], reused: Mapping[Wanted, Reused], plan: Layout
) -> dict[Wanted, Cut]:
    """All cuts in order; one taken over has pixels only where its location also has one that was fetched.

    There the offset is told by comparing the seasons; elsewhere it is known.
    """
    renewed = {each.location_id for each in fetched}

    def cut(each: Wanted) -> Cut:
        if each in fetched:
            return fetched[each]
        old = reused[each]
        return Cut(decoded(plan, old) if each.location_id in renewed else {}, old.row["mean_ndvi"], "")

    return {each: cut(each) for each in wanted}


def _kept(
    plan: Layout, located: Sequence[Location], reused: Mapping[Wanted, Reused]
) -> dict[tuple[int, int], Sequence[bytes]]:
    """Encoded chunks by row of the block and season."""
    row_of = {location.location_id: i for i, location in enumerate(located)}
    return {
        (row_of[each.location_id], plan.seasons.index(each.season)): old.chunks
        for each, old in reused.items()
    }


def _without_sparse(cuts: Mapping[Wanted, Cut], min_seasons: int) -> dict[Wanted, Cut]:
    """The cuts without those of locations that too few seasons could be read of, which are dropped."""
    readable = Counter(wanted.location_id for wanted, cut in cuts.items() if not cut.failure)
    dropped = Cut({}, np.nan, f"dropped: fewer than {min_seasons} seasons of the location could be read")
    return {
        wanted: dropped if not cut.failure and readable[wanted.location_id] < min_seasons else cut
        for wanted, cut in cuts.items()
    }


def _cut(archive: Archive, scene: Scene | None, wanted: Wanted, footprint: Footprint, config: Config) -> Cut:
    if scene is None:
        return Cut(
            {}, np.nan, f"the archive no longer lists {wanted.scene_id}, nor its pass under another id"
        )
    if scene.failure:
        return Cut({}, np.nan, scene.failure)
    try:
        bands = archive.read(scene, footprint, (*config.patches.bands, "SCL"))
    except ArchiveError as error:
        if error.transient:
            raise
        return Cut({}, np.nan, str(error))
    return Cut(bands, mean_ndvi(bands["B04"], bands["B08"], bands["SCL"]), "")


def _stack(
    plan: Layout, located: list[Location], done: Mapping[tuple[str, str], Cut]
) -> tuple[BoolArray, dict[str, UInt16Array]]:
    """(presence ``(location, season)``, array name -> ``(location, season, band, y, x)``; 0 where absent)."""
    present = np.array([[(loc.location_id, s) in done for s in plan.seasons] for loc in located], dtype=bool)
    arrays = {}
    for array in plan.arrays:
        shape = (len(located), *array.shape[1:])
        stacked = np.zeros(shape, dtype=array.dtype)
        for i, loc in enumerate(located):
            for j, season in enumerate(plan.seasons):
                cut = done.get((loc.location_id, season))
                if cut and cut.bands:
                    stacked[i, j] = np.stack([cut.bands[b] for b in array.bands]).reshape(shape[2:])
        arrays[array.name] = stacked
    return present, arrays


def _quality(
    cuts: Mapping[Wanted, Cut],
    scenes: Mapping[str, Scene],
    by_id: Mapping[str, Location],
    reused: Mapping[Wanted, Reused],
) -> pd.DataFrame:
    """One row per chosen (location, season): scene read, NDVI, 60 m window, offset, or the failure."""
    jumps = _offset_jumps(cuts)
    rows = []
    for wanted, cut in cuts.items():
        footprint = by_id[wanted.location_id].footprint
        old, jump = reused.get(wanted), jumps[wanted]
        if old is None:
            read_id, *corner = _origin(scenes.get(wanted.scene_id), footprint)
        else:
            read_id, *corner = (old.row[name] for name in (READ_ID, "west_60m", "north_60m"))
            jump = jump if cut.bands else int(old.row["offset_jump"])
        place = (wanted.location_id, wanted.season, "" if cut.failure else read_id)
        rows.append((*place, cut.mean_ndvi, *corner, jump, cut.failure))
    columns = [
        "location_id",
        "season",
        READ_ID,
        "mean_ndvi",
        "west_60m",
        "north_60m",
        "offset_jump",
        "failure",
    ]
    frame = pd.DataFrame(rows, columns=columns)
    texts = dict.fromkeys(("location_id", "season", READ_ID, "failure"), "str")
    numbers = dict.fromkeys(("mean_ndvi", "west_60m", "north_60m"), "float64")
    return frame.astype(texts | numbers | {"offset_jump": "int16"})


def _origin(scene: Scene | None, footprint: Footprint) -> tuple[str, float, float]:
    """(scene id, west and north of the 60 m window) of a scene; empty and NaN without one."""
    if scene is None:
        return "", np.nan, np.nan
    if scene.failure:
        return scene.scene_id, np.nan, np.nan
    grid = footprint.grid_60m(scene.tile_west_m, scene.tile_north_m)
    return scene.scene_id, grid.west_m, grid.north_m


def _offset_jumps(cuts: Mapping[Wanted, Cut]) -> dict[Wanted, int]:
    """The offset by which each patch lies from the location's other seasons, or its dark ground from dark.

    Catalogues are known to state the offset of processing baseline 04.00 wrongly at times.
    """
    jumps: dict[Wanted, int] = {}
    for _, here in groupby(cuts, key=lambda wanted: wanted.location_id):
        group = list(here)
        steady = [b for b in STEADY_BANDS if any(b in cuts[wanted].bands for wanted in group)]
        dark = [[_dark(cuts[wanted].bands.get(b)) for b in steady] for wanted in group]
        found = offset_jump(np.array(dark, dtype=np.float64).reshape(len(group), len(steady)))
        for wanted, jump in zip(group, map(int, found), strict=True):
            bands = cuts[wanted].bands
            jumps[wanted] = jump or (dark_ground_jump(bands, bands["SCL"]) if bands else 0)
    return jumps


def _dark(band: UInt16Array | None) -> float:
    return np.nan if band is None else low_quantile(band)
