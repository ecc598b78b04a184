"""A verdict for every candidate: usable, or the reason why not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ssl4eco_data.scenes.candidates import Candidate
from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.scenes.second_opinion import DOUBTS, Opinion, second_opinions

Verdict = Literal[
    "usable", "not_judged", "scene_cloudy", "low_sun", "missing", "cloudy", "hazy", "unreadable"
]

_ROUNDING = 1e-9
"""Fractions are sums of quotients: 0.9 of a patch must count as 0.9."""


def verdicts(candidates: Sequence[Candidate], rules: SceneRules) -> list[Verdict]:
    """The verdict of each candidate, in the order given.

    The tile's cloud and the sun are asked first, because they cost nothing; an archive that does not
    state them (NaN) rejects nobody. ``missing`` means that more of the patch is missing than is cloud or
    shadow. ``hazy`` is the second opinion, where the rules let it reject.
    """
    return [verdict for verdict, _ in verdicts_and_opinions(candidates, rules)]


def verdicts_and_opinions(
    candidates: Sequence[Candidate], rules: SceneRules
) -> list[tuple[Verdict, Opinion | None]]:
    """Each candidate's verdict, and the second opinion on those that all else calls usable (else None)."""
    first = [_first_opinion(c, rules) for c in candidates]
    clear = [i for i, verdict in enumerate(first) if verdict == "usable"]
    opinions = dict(zip(clear, second_opinions([candidates[i] for i in clear], rules), strict=True))
    return [
        (
            "hazy" if rules.second_opinion == "reject" and opinions.get(i) in DOUBTS else verdict,
            opinions.get(i),
        )
        for i, verdict in enumerate(first)
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
    if stats.score_clear_fraction < rules.min_score_clear_fraction - _ROUNDING:
        return "cloudy"  # never where the score is not known: NaN is below nothing
    return "usable"
