"""One scene per season, chosen jointly for a location, and what must be judged before that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from ssl4eco_data.scenes.candidates import Candidate, distance, in_order
from ssl4eco_data.scenes.rules import SceneRules
from ssl4eco_data.scenes.second_opinion import blue_evidence
from ssl4eco_data.scenes.verdicts import Verdict, verdicts

_OTHER_YEAR = 10**6
_UNSERVED = 10**8
"""Whole-number costs of a season from another year and of a season without a scene. A distance is at most
some ten thousand, so any number of days is cheaper than one more year, and any year than an empty season."""
_REASONS: Mapping[frozenset[Verdict], str] = {
    frozenset({"cloudy", "scene_cloudy", "hazy"}): "all_cloudy",
    frozenset({"low_sun"}): "all_low_sun",
    frozenset({"missing"}): "all_missing",
    frozenset({"unreadable"}): "all_unreadable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The scene of one season, or ``candidate`` None and the ``reason`` (empty when there is a scene)."""

    season: str
    candidate: Candidate | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Scenes of a location that a served version has, by season; each counts as ``margin`` nearer than it is.

    ``margin`` is in the units of :func:`~ssl4eco_data.scenes.candidates.distance`.
    """

    scene_ids: Mapping[str, str] = field(default_factory=dict)
    margin: int = 0

    def __contains__(self, candidate: Candidate) -> bool:
        return self.scene_ids.get(candidate.season) == candidate.scene.scene_id

    def handicap(self, candidate: Candidate) -> int:
        """What a candidate that is not published has to make up for; 0 where nothing is published."""
        return self.margin if candidate.season in self.scene_ids and candidate not in self else 0


NOTHING_PUBLISHED = Published()


def choose(
    candidates: Sequence[Candidate], rules: SceneRules, published: Published = NOTHING_PUBLISHED
) -> dict[str, Choice]:
    """The choice of every season that has candidates.

    A published scene that is usable stays, unless another one is nearer by more than its margin, or the
    rules below need it or its season otherwise.

    Among the usable: the policy's distance, then the clearer, then the scene id. One acquisition never
    serves two seasons of a location: as many seasons as possible are served, then (``prefer_same``) as
    many as possible from one year, then the sum of distances is least. ``require_same`` takes one year
    alone. A season without a scene has one of the reasons ``all_cloudy``, ``all_low_sun``,
    ``all_missing``, ``all_unreadable`` and ``all_rejected`` (mixed, or usable scenes lost to another season
    or year).
    """
    by_season: dict[str, list[tuple[Candidate, Verdict]]] = defaultdict(list)
    for candidate, verdict in sorted(
        zip(candidates, verdicts(candidates, rules), strict=True), key=lambda pair: pair[0].key
    ):
        by_season[candidate.season].append((candidate, verdict))
    usable = [c for pairs in by_season.values() for c, verdict in pairs if verdict == "usable"]
    served = _assign(usable, rules, published)
    return {
        season: Choice(
            season=season,
            candidate=served.get(season),
            reason="" if season in served else _reason({verdict for _, verdict in pairs}),
        )
        for season, pairs in by_season.items()
    }


def to_judge(
    candidates: Sequence[Candidate], rules: SceneRules, published: Published = NOTHING_PUBLISHED
) -> list[Candidate]:
    """The candidates to judge next; empty when the choice can be made.

    ``until_n_clear`` walks outward from the best date of each season (of each year with
    ``require_same``) until ``n_clear`` acquisitions are usable or about to be judged. The walk goes on in
    snow-free seasons while the second opinion on clouds lacks clear scenes, and in seasons left without a
    scene. Published scenes are judged in any case.
    """
    judged = in_order(candidates, rules)
    verdict_of = {c.key: v for c, v in zip(judged, verdicts(judged, rules), strict=True)}
    open_ = [c for c in judged if verdict_of[c.key] in ("usable", "not_judged")]
    waiting = [c for c in open_ if c.stats is None]
    if rules.judge == "all":
        return waiting
    runs: dict[tuple[str, int], list[Candidate]] = defaultdict(list)
    for c in open_:
        runs[c.season, c.year if rules.year_policy == "require_same" else 0].append(c)
    first = [c for run in runs.values() for c in _first_acquisitions(run, rules.n_clear) if c.stats is None]
    pending = [*first, *(c for c in waiting if c in published and c not in first)]
    if pending or not waiting:
        return pending
    further = _short_of_evidence(open_, rules) or _unserved(judged, rules, published)
    walks = ([c for c in waiting if c.season == season] for season in sorted(further))
    return [c for walk in walks for c in _first_acquisitions(walk, rules.n_clear)]


def _short_of_evidence(open_: Sequence[Candidate], rules: SceneRules) -> set[str]:
    """The snow-free seasons of a location whose usual levels are not known yet, if more can be asked.

    Under a long winter only one season may show the ground, and its few clear dates alone cannot tell
    that one of them is a missed cloud.
    """
    usable = [c for c in open_ if c.stats]
    speaking = blue_evidence(usable, rules)
    if rules.second_opinion == "record" or len(speaking) >= rules.min_blue_scenes:
        return set()
    seasons = {c.season for c in usable if c.scene.scene_id in speaking}
    return seasons & {c.season for c in open_ if c.stats is None}


def _unserved(judged: Sequence[Candidate], rules: SceneRules, published: Published) -> set[str]:
    """The seasons that would have no scene now."""
    return {season for season, choice in choose(judged, rules, published).items() if choice.candidate is None}


def _first_acquisitions(run: Iterable[Candidate], count: int) -> list[Candidate]:
    """The leading candidates of ``run`` that belong to its first ``count`` acquisitions."""
    seen: set[str] = set()
    leading = []
    for candidate in run:
        if candidate.scene.acquisition in seen or len(seen) < count:
            seen.add(candidate.scene.acquisition)
            leading.append(candidate)
    return leading


def _assign(usable: Sequence[Candidate], rules: SceneRules, published: Published) -> dict[str, Candidate]:
    """The cheapest joint plan over the years it may be centred on; a tie goes to the earlier year."""
    seasons = sorted({c.season for c in usable})
    if rules.year_policy == "any":
        return _plan(usable, seasons, None, rules, published)[1]
    plans = []
    for year in sorted({c.year for c in usable}):
        allowed = usable if rules.year_policy == "prefer_same" else [c for c in usable if c.year == year]
        plans.append(_plan(allowed, seasons, year, rules, published))
    return min(plans, key=lambda plan: plan[0])[1] if plans else {}


def _plan(
    usable: Sequence[Candidate],
    seasons: Sequence[str],
    year: int | None,
    rules: SceneRules,
    published: Published,
) -> tuple[int, dict[str, Candidate]]:
    """(cost, candidate of each served season): a linear assignment of acquisitions to seasons.

    A season's best ``len(seasons)`` acquisitions suffice, as the others can take at most one each of them.
    """
    n = len(seasons)
    best: dict[tuple[str, str], tuple[int, Candidate]] = {}

    def cost_of(c: Candidate) -> int:
        other = _OTHER_YEAR if year is not None and c.year != year else 0
        return other + distance(c, rules) + published.handicap(c)

    for season in seasons:
        mine = in_order((c for c in usable if c.season == season), rules)
        mine.sort(key=lambda c: (cost_of(c), c not in published))
        firsts: dict[str, Candidate] = {}
        for candidate in mine:
            firsts.setdefault(candidate.scene.acquisition, candidate)
        for rank, (acquisition, candidate) in enumerate(list(firsts.items())[:n]):
            best[season, acquisition] = (cost_of(candidate) * n * n + rank, candidate)
    acquisitions = sorted({acquisition for _, acquisition in best})
    cost = np.full((n, len(acquisitions) + n), _UNSERVED * n * n, dtype=np.int64)
    for (season, acquisition), (each, _) in best.items():
        cost[seasons.index(season), acquisitions.index(acquisition)] = each
    rows, columns = linear_sum_assignment(cost)
    served = {
        seasons[row]: best[seasons[row], acquisitions[column]][1]
        for row, column in zip(rows, columns, strict=True)
        if column < len(acquisitions) and (seasons[row], acquisitions[column]) in best
    }
    return int(cost[rows, columns].sum()), served


def _reason(found: set[Verdict]) -> str:
    rejected = found - {"not_judged"}
    for kinds, reason in _REASONS.items():
        if rejected and rejected <= kinds:
            return reason
    return "all_rejected"
