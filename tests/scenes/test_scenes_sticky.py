"""Scenes that are served already stay, unless they are gone or another one wins by the margin."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_cases import candidate_lists, clear, make_candidate, make_stats

from ssl4eco_data.scenes import Candidate, Published, SceneRules, choose, to_judge
from ssl4eco_data.scenes.candidates import distance
from ssl4eco_data.scenes.verdicts import verdicts

RULES = SceneRules()
MARGIN = 10


def served(season: str, scene_id: str) -> Published:
    return Published(scene_ids={season: scene_id}, margin=MARGIN)


def ids(candidates: list[Candidate], rules: SceneRules, published: Published) -> dict[str, str]:
    choices = choose(candidates, rules, published).items()
    return {season: c.candidate.scene.scene_id for season, c in choices if c.candidate}


@pytest.mark.parametrize(
    ("new_days", "chosen"),
    [(0, "new"), (3, "new"), (4, "old"), (5, "old"), (-3, "new"), (-4, "old"), (14, "old"), (20, "old")],
)
def test_a_new_scene_must_be_nearer_by_more_than_the_margin(new_days: int, chosen: str) -> None:
    pair = [clear("summer", 2020, 14, "old"), clear("summer", 2021, new_days, "new")]
    assert ids(pair, RULES, served("summer", "old")) == {"summer": chosen}


def test_a_scene_that_is_gone_or_rejected_does_not_stay() -> None:
    new, cloudy = clear("summer", 2020, 9, "new"), make_stats("old", cloud=0.5)
    assert ids([new], RULES, served("summer", "old")) == {"summer": "new"}
    rejected = make_candidate("summer", 2020, 8, "old", stats=cloudy)
    assert ids([new, rejected], RULES, served("summer", "old")) == {"summer": "new"}


def test_a_served_scene_gives_way_where_another_season_has_no_other() -> None:
    summer = [clear("summer", 2020, 4, "a"), clear("summer", 2020, 9, "b")]
    autumn = clear("autumn", 2020, 0, "a2", acquisition="a")
    assert ids([*summer, autumn], RULES, served("summer", "a")) == {"summer": "b", "autumn": "a2"}


def test_a_served_scene_far_from_the_middle_is_judged_again() -> None:
    near = [clear("summer", 2020, n, f"near{n}") for n in range(4)]
    far = make_candidate("summer", 2020, 30, "far")
    assert to_judge([*near, far], RULES) == []
    assert to_judge([*near, far], RULES, served("summer", "far")) == [far]


def test_the_margin_of_the_least_cloudy_is_in_its_units() -> None:
    rules = SceneRules(policy="least_cloudy")
    stats = {name: make_stats(name) for name in ("old", "new")}
    old = make_candidate("summer", 2020, 9, "old", cloud=0.10, stats=stats["old"])
    new = make_candidate("summer", 2021, 0, "new", cloud=0.06, stats=stats["new"])
    for margin, chosen in ((0.03, "new"), (0.05, "old")):
        published = Published(scene_ids={"summer": "old"}, margin=round(margin * 10_000))
        assert ids([old, new], rules, published) == {"summer": chosen}


rules_of = st.builds(
    SceneRules,
    year_policy=st.sampled_from(["any", "prefer_same", "require_same"]),
    policy=st.sampled_from(["nearest", "least_cloudy"]),
)


@given(candidates=candidate_lists(), rules=rules_of)
def test_what_was_chosen_stays_chosen(candidates: list[Candidate], rules: SceneRules) -> None:
    before = ids(candidates, rules, Published())
    assert ids(candidates, rules, Published(scene_ids=before, margin=MARGIN)) == before


@given(candidates=candidate_lists(), rules=rules_of, seed=st.integers(0, 99), margin=st.integers(0, 400))
def test_as_many_seasons_are_served_and_no_order_matters(
    candidates: list[Candidate], rules: SceneRules, seed: int, margin: int
) -> None:
    random = Random(seed)
    shuffled = random.sample(candidates, len(candidates))
    some = {c.season: c.scene.scene_id for c in shuffled}
    published = Published(scene_ids=some, margin=margin)
    chosen = ids(candidates, rules, published)
    assert len(chosen) == len(ids(candidates, rules, Published())), "another season may be the one served"
    assert chosen == ids(shuffled, rules, published)


@given(candidates=candidate_lists(), margin=st.integers(0, 400), seed=st.integers(0, 99))
def test_one_season_alone_changes_only_for_more_than_the_margin(
    candidates: list[Candidate], margin: int, seed: int
) -> None:
    season = min((c.season for c in candidates), default="")
    judged = [c for c in candidates if c.season == season]
    usable = [c for c, v in zip(judged, verdicts(judged, RULES), strict=True) if v == "usable"]
    if not usable:
        return
    old = Random(seed).choice(usable)
    published = Published(scene_ids={season: old.scene.scene_id}, margin=margin)
    new = choose(judged, RULES, published)[season].candidate
    best = min(distance(c, RULES) for c in usable if c.scene.scene_id == old.scene.scene_id)
    assert new is not None
    if new.scene.scene_id != old.scene.scene_id:
        assert distance(new, RULES) < best - margin
