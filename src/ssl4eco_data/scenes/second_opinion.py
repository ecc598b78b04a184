"""A second opinion on clouds, from the location's own other dates; no model, no pixels.

The scene mask (SCL) calls some clouds and veils clear. Over one place they show against its other clear
dates: by the bright end of blue (a part of the patch under cloud), by the middle of blue - red / 2 (a veil
over all of it; :func:`ssl4eco_data.patches.haze_median`), and, where SCL takes a cloud for snow, by being
alone. Ground that changes colour moves blue little and blue - red / 2
less: ploughed, harvested and flooded fields stay clear. Thresholds and what they catch: ``docs/scenes.md``.

Comparing with the own series instead of with fixed reflectances is the idea of the multi-temporal masks
(Hagolle et al. 2010, doi:10.1016/j.rse.2010.03.002, for blue).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from ssl4eco_data.scenes.candidates import Candidate
from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.types import YEAR_DAYS, PatchStats

Opinion = Literal["clear", "unknown", "bright", "hazy", "lone_snow", "model"]
DOUBTS: frozenset[Opinion] = frozenset({"bright", "hazy", "lone_snow", "model"})
"""The opinions that contradict a clear mask."""

_LONE_SNOW_WITNESSES = 2
"""Snow-free clear acquisitions of a season that outvote a single snowy one."""
_DUSTING = 0.3
"""Blue reflectance over the usual level up to which the mask may overlook thin snow."""


class Levels(NamedTuple):
    """Medians of ``blue_q95`` and ``haze_q50`` of a location; None where too few are known."""

    blue: float | None
    haze: float | None


def second_opinions(clear: Sequence[Candidate], rules: SceneRules) -> list[Opinion]:
    """The opinion on each candidate of one location that the mask calls clear, in the order given.

    ``unknown`` where there is too little to compare with, or snow; ``model`` where a cloud model was asked
    and sees cloud or shadow on more of the patch than the rules allow. The order never matters.
    """
    levels = typical_levels(clear, rules)
    return [_opinion(candidate, clear, levels, rules) for candidate in clear]


def typical_levels(clear: Sequence[Candidate], rules: SceneRules) -> Levels:
    """The medians over scenes (not candidates: a scene may serve two seasons) that are free of snow."""
    known = {c.scene.scene_id: c.stats for c in clear if c.stats and not _is_snowy(c.stats, rules)}
    found = []
    for name in ("blue_q95", "haze_q50"):
        values = [v for stats in known.values() if (v := getattr(stats, name)) == v]
        found.append(median(values) if len(values) >= rules.min_blue_scenes else None)
    return Levels(*found)


def blue_evidence(clear: Sequence[Candidate], rules: SceneRules) -> set[str]:
    """The scenes that can speak for the location: blue is measured and the ground free of snow."""
    return {
        c.scene.scene_id
        for c in clear
        if c.stats and c.stats.blue_q95 == c.stats.blue_q95 and not _is_snowy(c.stats, rules)
    }


def _opinion(candidate: Candidate, clear: Sequence[Candidate], levels: Levels, rules: SceneRules) -> Opinion:
    stats = candidate.stats
    if stats is None:
        return "unknown"
    if candidate.model_fraction is not None and candidate.model_fraction > 1 - rules.min_usable_fraction:
        return "model"
    if _is_snowy(stats, rules):
        lone = rules.lone_snow == "doubt" and _is_lone_snow(candidate, clear, rules)
        return "lone_snow" if lone else "unknown"
    blue, haze = levels
    bright = blue is not None and stats.blue_q95 > blue + rules.max_blue_excess
    hazy = haze is not None and stats.haze_q50 > haze + rules.max_haze_excess
    if bright or hazy:
        dusting = not (blue is not None and stats.blue_q95 > blue + _DUSTING)
        excused = dusting and _near_snow(candidate, clear, rules)
        return "unknown" if excused else "bright" if bright else "hazy"
    return "unknown" if blue is None or stats.blue_q95 != stats.blue_q95 else "clear"


def _is_snowy(stats: PatchStats, rules: SceneRules) -> bool:
    return stats.snow_fraction > rules.max_tested_snow_fraction


def _near_snow(candidate: Candidate, clear: Sequence[Candidate], rules: SceneRules) -> bool:
    """Whether the location had snow at this time of some year: then a dusting explains brightness too."""
    day = candidate.scene.time.timetuple().tm_yday
    return any(
        c.stats is not None
        and _is_snowy(c.stats, rules)
        and _days_of_year_apart(c.scene.time.timetuple().tm_yday, day) <= rules.snow_reach_days
        and not _is_lone_snow(c, clear, rules)
        for c in clear
    )


def _days_of_year_apart(one: int, other: int) -> float:
    gap = abs(one - other)
    return min(gap, YEAR_DAYS - gap)


def _is_lone_snow(candidate: Candidate, clear: Sequence[Candidate], rules: SceneRules) -> bool:
    """Whether enough other acquisitions of the season are clear and not one of them shows snow."""
    others = [
        c
        for c in clear
        if c.season == candidate.season and c.scene.acquisition != candidate.scene.acquisition
    ]
    snowy = [c for c in others if c.stats and _is_snowy(c.stats, rules)]
    return not snowy and len({c.scene.acquisition for c in others}) >= _LONE_SNOW_WITNESSES
