"""What the stage of patches is to read."""

from __future__ import annotations

from typing import NamedTuple


class Wanted(NamedTuple):
    """A chosen scene of one season at one location."""

    location_id: str
    season: str
    scene_id: str
