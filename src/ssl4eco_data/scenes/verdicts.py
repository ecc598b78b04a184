"""A verdict for every candidate: usable, or the reason why not.

The scene mask (SCL) calls some clouds clear. The second opinion needs no model: a cloud or haze raises the
bright end of blue reflectance over the same ground far above the location's own other clear dates.
On a Belgian site with 118 dates labelled by eye (``tests/scenes/belgium_labels.csv``) the 95 % quantile of
blue is 0.04 to 0.13 on clear and lightly hazy dates and 0.19 to 0.26 on the three dates with thick cloud
that SCL calls clear, so an excess of 0.06 over the median (0.10) parts them. A cloud that SCL takes for
snow escapes that test, because snow is bright too, and betrays itself by being alone: no other clear scene
of the season shows snow.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

from ssl4eco_data.scenes.candidates import Candidate
from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.types import PatchStats

Verdict = Literal[
    "usable", "not_judged", "scene_cloudy", "low_sun", "missing", "cloudy", "hazy", "unreadable"
]

_ROUNDING = 1e-9
"""Fractions are sums of quotients: 0.9 of a patch must count as 0.9."""
_LONE_SNOW_WITNESSES = 2
"""Snow-free clear acquisitions of a season that outvote a single snowy one."""


def verdicts(candidates: Sequence[Candidate], rules: SceneRules) -> list[Verdict]:
    """The verdict of each candidate, in the order given.

    The tile's cloud and the sun are asked first, because they cost nothing; an archive that does not
    state them (NaN) rejects nobody. ``missing`` means that more of the patch is missing than is cloud or
    shadow. ``hazy`` is the second opinion, over the clear scenes of all seasons of the location.
    """
    first = [_first_opinion(c, rules) for c in candidates]
    clear = [c for c, verdict in zip(candidates, first, strict=True) if verdict == "usable"]
    level = _typical_blue(clear, rules)
    return [
        "hazy" if verdict == "usable" and _is_hazy(c, clear, level, rules) else verdict
        for c, verdict in zip(candidates, first, strict=True)
    ]


def _first_opinion(candidate: Candidate, rules: SceneRules) -> Verdict:
    scene, stats = candidate.scene, candidate.stats
    if candidate.failure:
        return "unreadable"
    if scene.cloud_fraction > rules.max_scene_cloud_fraction + _ROUNDING:
        return "scene_cloudy"
    if scene.sun_elevation_deg < rules.min_sun_elevation_deg:
        return "low_sun"
    if stats is None:
        return "not_judged"
    if stats.usable_fraction < rules.min_usable_fraction - _ROUNDING:
        return (
            "missing" if stats.missing_fraction > stats.cloud_fraction + stats.shadow_fraction else "cloudy"
        )
    return "usable"


def blue_evidence(usable: Sequence[Candidate], rules: SceneRules) -> dict[str, float]:
    """``blue_q95`` (reflectance) of each scene that can speak for the location: clear and free of snow."""
    return {c.scene.scene_id: c.stats.blue_q95 for c in usable if c.stats and _has_blue(c.stats, rules)}


def _typical_blue(clear: Sequence[Candidate], rules: SceneRules) -> float | None:
    """The median of the evidence; None where it is too little."""
    levels = blue_evidence(clear, rules)
    return median(levels.values()) if len(levels) >= rules.min_blue_scenes else None


def _has_blue(stats: PatchStats, rules: SceneRules) -> bool:
    return stats.blue_q95 == stats.blue_q95 and stats.snow_fraction <= rules.max_tested_snow_fraction


def _is_hazy(
    candidate: Candidate, clear: Sequence[Candidate], level: float | None, rules: SceneRules
) -> bool:
    stats = candidate.stats
    if stats is None:
        return False
    if stats.snow_fraction > rules.max_tested_snow_fraction:
        return rules.lone_snow == "doubt" and _is_lone_snow(candidate, clear, rules)
    if level is None or not rules.tests_blue or not _has_blue(stats, rules):
        return False
    return stats.blue_q95 > level + rules.max_blue_excess


def _is_lone_snow(candidate: Candidate, clear: Sequence[Candidate], rules: SceneRules) -> bool:
    """Whether enough other acquisitions of the season are clear and not one of them shows snow."""
    others = [
        c
        for c in clear
        if c.season == candidate.season and c.scene.acquisition != candidate.scene.acquisition
    ]
    snowy = [c for c in others if c.stats and c.stats.snow_fraction > rules.max_tested_snow_fraction]
    return not snowy and len({c.scene.acquisition for c in others}) >= _LONE_SNOW_WITNESSES
