"""Candidates: scenes that fall in a season window of some year."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date

from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.types import PatchStats, Scene, SeasonWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One scene that may serve one season of one year.

    ``days_from_middle`` counts whole UTC days from the middle of that year's window, negative before it.
    ``stats`` is None until the scene is judged on the patch; ``failure`` says why it never can be.
    ``model_fraction`` is the share of the patch that a cloud model calls cloud or shadow, None unasked.
    """

    season: str
    year: int
    days_from_middle: int
    scene: Scene
    stats: PatchStats | None = None
    failure: str = ""
    model_fraction: float | None = None

    @property
    def key(self) -> tuple[str, int, str]:
        """(season, year, scene id): names a candidate within a location."""
        return self.season, self.year, self.scene.scene_id


def candidates_of(
    scenes: Iterable[Scene], windows: Iterable[SeasonWindow], rules: SceneRules
) -> list[Candidate]:
    """Every (window, scene) pair whose UTC date lies in the window, best first within a season.

    ``scenes`` are those over one location, in the zone of its footprint. One pass listed under two tiles
    gives two candidates that share ``scene.acquisition``; a scene listed twice gives one. A scene that
    cannot be read is a candidate with its failure.
    """
    unique = {scene.scene_id: scene for scene in scenes}
    found = {}
    for window in windows:
        for scene in unique.values():
            day = utc_date(scene)
            if day in window:
                candidate = Candidate(
                    season=window.season,
                    year=window.year,
                    days_from_middle=(day - window.middle).days,
                    scene=scene,
                    failure=scene.failure,
                )
                found[candidate.key] = candidate
    return in_order(found.values(), rules)


def with_stats(candidates: Sequence[Candidate], stats: Iterable[PatchStats]) -> list[Candidate]:
    """The same candidates, those of the scenes in ``stats`` judged.

    A scene that is a candidate of two seasons is judged once. Raises ValueError for the statistics of a
    scene that is no candidate.
    """
    by_scene = {each.scene_id: each for each in stats}
    unknown = sorted(set(by_scene) - {c.scene.scene_id for c in candidates})
    if unknown:
        raise ValueError(f"with_stats got statistics of scenes that are no candidates: {', '.join(unknown)}")
    return [replace(c, stats=by_scene.get(c.scene.scene_id, c.stats)) for c in candidates]


def with_model(candidates: Sequence[Candidate], fractions: Mapping[str, float]) -> list[Candidate]:
    """The same candidates, those of the scenes in ``fractions`` (scene id -> share) seen by the model."""
    return [replace(c, model_fraction=fractions.get(c.scene.scene_id, c.model_fraction)) for c in candidates]


def with_failures(candidates: Sequence[Candidate], failures: Mapping[str, str]) -> list[Candidate]:
    """The same candidates, those of the scenes in ``failures`` (scene id -> cause) marked unreadable."""
    return [replace(c, failure=failures.get(c.scene.scene_id, c.failure)) for c in candidates]


def utc_date(scene: Scene) -> date:
    """The acquisition's calendar day in UTC."""
    return scene.time.astimezone(UTC).date()


def in_order(candidates: Iterable[Candidate], rules: SceneRules) -> list[Candidate]:
    """Sorted by season, then by preference; the order of the input never matters."""
    return sorted(
        candidates, key=lambda c: (c.season, distance(c, rules), -_usable(c), c.scene.scene_id, c.year)
    )


def distance(candidate: Candidate, rules: SceneRules) -> int:
    """What the policy minimises: days from the middle, or the tile's cloud in units of 0.01 %.

    An unknown tile cloud comes after every known one.
    """
    if rules.policy == "nearest":
        return abs(candidate.days_from_middle)
    cloud = candidate.scene.cloud_fraction
    return 10_001 if cloud != cloud else round(cloud * 10_000)


def _usable(candidate: Candidate) -> float:
    return candidate.stats.usable_fraction if candidate.stats else 0.0
