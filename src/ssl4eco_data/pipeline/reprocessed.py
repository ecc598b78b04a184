"""Chosen scenes whose ids an archive no longer lists, found again by datatake and tile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, timedelta
from typing import Any

import shapely

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.identity import of_identity
from ssl4eco_data.config import Config
from ssl4eco_data.locations import footprint_polygon
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.listed import SEARCH_THREADS
from ssl4eco_data.pipeline.wanted import Wanted
from ssl4eco_data.store import read_table
from ssl4eco_data.types import Location, Scene

_MARGIN = timedelta(days=1)
"""A pass may begin before midnight and an archive may date its tiles after it."""


def found_again(
    config: Config,
    archive: Archive,
    block: int,
    gone: Sequence[Wanted],
    located: Mapping[str, Location],
) -> dict[str, Scene]:
    """Scene id that is gone -> the scene of the same datatake and tile that the archive lists now.

    One search a scene, on its day and around its locations. Of two parts of one pass the one nearest in
    time to the chosen one is taken; one that cannot be read, with its ``failure``, where there is no other.
    """
    if not gone:
        return {}
    places = defaultdict(list)
    for each in gone:
        places[each.scene_id].append(footprint_polygon(located[each.location_id].footprint))
    known = read_table(tables.part(config, tables.CANDIDATES, block))
    known = known[known["scene_id"].isin(list(places))].drop_duplicates("scene_id")

    def again(row: Mapping[Any, Any]) -> Sequence[Scene]:
        near = row["time"].to_pydatetime()
        day: date = near.astimezone(UTC).date()
        area = shapely.union_all(places[str(row["scene_id"])])
        listed = archive.search(area, day - _MARGIN, day + 2 * _MARGIN)
        return of_identity(listed, str(row["acquisition"]), str(row["tile"]), near)

    rows = known.to_dict("records")
    with ThreadPoolExecutor(SEARCH_THREADS) as pool:
        found = list(pool.map(again, rows))
    return {str(row["scene_id"]): same[0] for row, same in zip(rows, found, strict=True) if same}
