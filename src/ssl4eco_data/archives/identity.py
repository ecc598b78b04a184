"""What stays when a scene is processed anew: its datatake and its tile; pure.

Item ids change with the archive and with every reprocessing. One datatake may give two granules of one
tile, each a part of it, where two stations received it; their datastrips begin at different times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from ssl4eco_data.types import Scene

SAME_STRIP = timedelta(seconds=30)
"""Datastrips of one part of a datatake begin so close together, whoever made them."""
SAME_GRANULE = timedelta(seconds=3)
"""Where no datastrip is stated: the same for the tile's own sensing time."""
_DATATAKE = re.compile(r"G?(S2[A-Z])_(?:MSIL\d[A-Z]_)?(\d{8}T\d{6})(?=_|$)")
_STRIP = re.compile(r"_S(\d{8}T\d{6})(?=_|$)")
_BASELINE = re.compile(r"(\d+)\.(\d+)")


def acquisition_of(name: str) -> str | None:
    """``S2B_20190629T212529`` (platform, start of the datatake) from a datatake's or a product's name."""
    found = _DATATAKE.match(name)
    return f"{found[1]}_{found[2]}" if found else None


def strip_start(datastrip: str | None) -> datetime | None:
    """When a datastrip begins, in UTC, from its name; None where the name does not tell."""
    found = _STRIP.search(datastrip or "")
    return instant(found[1]) if found else None


def instant(text: str) -> datetime:
    """A time of Sentinel-2 names (``20190629T212529``), in UTC. Raises ValueError."""
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


def processing_of(baseline: str | None, made: datetime | None) -> str:
    """Text that sorts by baseline, then by when it was made: ``05.11 2025-07-31T13:27:45``.

    What is not known sorts first.
    """
    found = _BASELINE.fullmatch(str(baseline or ""))
    number = f"{int(found[1]):02d}.{int(found[2]):02d}" if found else "00.00"
    return f"{number} {made.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if made else number


def newest(scenes: Iterable[Scene]) -> list[Scene]:
    """The scenes by time and id, of each granule its newest processing alone, which names the others.

    The newest has the highest baseline, then was made last, then has the last id. Granules of one
    datatake and tile that show different parts of it stay, and so does what cannot be read.
    """
    ordered = sorted(scenes, key=lambda s: (s.identity, bool(s.failure), s.processing, s.scene_id))
    kept: list[Scene] = []
    for _, group in groupby(ordered, key=lambda s: (s.identity, bool(s.failure))):
        kept += _newest_of_each_granule(list(group))
    return sorted(kept, key=lambda scene: (scene.time, scene.scene_id))


def _newest_of_each_granule(products: list[Scene]) -> list[Scene]:
    """``products`` are of one identity, the oldest processing first."""
    kept: list[Scene] = []
    for product in reversed(products):
        newer = next((i for i, other in enumerate(kept) if _one_granule(product, other)), None)
        if newer is None or product.failure:
            kept.append(product)
        elif product.scene_id != kept[newer].scene_id:
            names = {*kept[newer].supersedes, product.scene_id}
            kept[newer] = replace(kept[newer], supersedes=tuple(sorted(names)))
    return kept


def _one_granule(one: Scene, other: Scene) -> bool:
    if one.strip and other.strip:
        return abs(one.strip - other.strip) <= SAME_STRIP
    return abs(one.time - other.time) <= SAME_GRANULE


def of_identity(scenes: Iterable[Scene], acquisition: str, tile: str, near: datetime) -> list[Scene]:
    """The scenes of a datatake and tile, nearest in time to ``near`` first, those that cannot be read last.

    ``acquisition`` may leave the platform out (``20190629T212529``), as Earth Engine's image ids do.
    """
    found = [
        s
        for s in scenes
        if s.tile == tile and (s.acquisition == acquisition or s.acquisition.partition("_")[2] == acquisition)
    ]
    return sorted(found, key=lambda s: (bool(s.failure), _apart(s, near), s.scene_id))


def _apart(scene: Scene, near: datetime) -> timedelta:
    """How far a scene's time, or the start of its datastrip, lies from ``near``."""
    times = [scene.time, *([scene.strip] if scene.strip else [])]
    return min(abs(time - near) for time in times)
