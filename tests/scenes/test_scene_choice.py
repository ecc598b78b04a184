"""Verdicts, choices and what is judged: worked cases and properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_cases import candidate_lists, clear, make_candidate, make_stats

from ssl4eco_data.scenes import Candidate, SceneRules, choose, explain, to_judge, verdicts, with_stats

RULES = SceneRules()
ANY_RULES = st.builds(
    SceneRules,
    year_policy=st.sampled_from(["any", "prefer_same", "require_same"]),
    policy=st.sampled_from(["nearest", "least_cloudy"]),
    judge=st.sampled_from(["until_n_clear", "all"]),
    n_clear=st.integers(1, 3),
    min_blue_scenes=st.integers(1, 4),
)


def chosen(candidates: Sequence[Candidate], rules: SceneRules = RULES) -> dict[str, str | None]:
    return {
        season: choice.candidate.scene.scene_id if choice.candidate else None
        for season, choice in sorted(choose(candidates, rules).items())
    }


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [
        (clear("summer", 2020, 0, "a"), "usable"),
        (make_candidate("summer", 2020, 0, "a"), "not_judged"),
        (make_candidate("summer", 2020, 0, "a", cloud=0.21), "scene_cloudy"),
        (make_candidate("summer", 2020, 0, "a", cloud=float("nan")), "not_judged"),
        (make_candidate("summer", 2020, 0, "a", sun=9.9), "low_sun"),
        (make_candidate("summer", 2020, 0, "a", stats=make_stats("a", cloud=0.1)), "usable"),
        (make_candidate("summer", 2020, 0, "a", stats=make_stats("a", cloud=0.11)), "cloudy"),
        (make_candidate("summer", 2020, 0, "a", stats=make_stats("a", missing=0.11, cloud=0.1)), "missing"),
        (make_candidate("summer", 2020, 0, "a", stats=make_stats("a", snow=1.0)), "usable"),
    ],
)
def test_verdict_of_one_candidate(candidate, verdict):
    assert verdicts([candidate], RULES) == [verdict]


@pytest.mark.parametrize(
    ("score", "least", "verdict"),
    [(0.49, 0.5, "cloudy"), (0.5, 0.5, "usable"), (0.0, 0.0, "usable"), (float("nan"), 0.5, "usable")],
)
def test_a_known_cloud_score_below_the_rule_is_cloudy(score, least, verdict):
    stats = replace(make_stats("a"), score_clear_fraction=score)
    rules = RULES.model_copy(update={"min_score_clear_fraction": least})
    assert verdicts([make_candidate("summer", 2020, 0, "a", stats=stats)], rules) == [verdict]


def test_blue_far_over_the_location_is_hazy_once_four_dates_are_known():
    bright = clear("summer", 2020, 0, "bright", blue=0.2)
    others = [clear("summer", 2020, n, f"c{n}", blue=0.1 + n / 1000) for n in range(1, 5)]
    assert verdicts([bright, *others[:2]], RULES)[0] == "usable"
    assert verdicts([bright, *others], RULES) == ["hazy", *["usable"] * 4]


def test_lone_snow_is_doubted_and_shared_snow_kept():
    snow = make_candidate("winter", 2020, 0, "s", stats=make_stats("s", snow=0.9))
    more = make_candidate("winter", 2021, 3, "t", stats=make_stats("t", snow=0.3))
    bare = [clear("winter", 2020, n, f"c{n}") for n in (1, 2)]
    assert verdicts([snow, *bare], RULES)[0] == "hazy"
    assert verdicts([snow, bare[0]], RULES)[0] == "usable"
    assert verdicts([snow, more, *bare], RULES)[:2] == ["usable", "usable"]
    assert verdicts([snow, *bare], SceneRules(lone_snow="keep"))[0] == "usable"


def test_order_is_distance_then_clearer_then_name():
    near = make_candidate("summer", 2020, -1, "near", stats=make_stats("near", cloud=0.08))
    clearer = make_candidate("summer", 2020, 1, "z", stats=make_stats("z", cloud=0.01))
    twin = make_candidate("summer", 2021, 1, "y", stats=make_stats("y", cloud=0.01))
    far = clear("summer", 2020, 2, "far")
    order = [far, near, clearer, twin]
    picked = []
    while order:
        picked.append(chosen(order)["summer"])
        order = [c for c in order if c.scene.scene_id != picked[-1]]
    assert picked == ["y", "z", "near", "far"]


def test_least_cloudy_follows_the_tile():
    far = make_candidate("summer", 2020, 20, "far", stats=make_stats("far"), cloud=0.01)
    near = make_candidate("summer", 2020, 0, "near", stats=make_stats("near"), cloud=0.02)
    assert chosen([far, near], SceneRules(policy="least_cloudy")) == {"summer": "far"}


def test_one_acquisition_serves_one_season_and_both_seasons_are_served():
    shared = [clear(s, 2020, 0, f"p-{s}", acquisition="pass") for s in ("autumn", "summer")]
    assert chosen(shared) == {"autumn": "p-autumn", "summer": None}
    assert chosen([*shared, clear("autumn", 2020, 9, "late")]) == {"autumn": "late", "summer": "p-summer"}


def test_year_policies():
    cases = [
        clear("spring", 2019, 9, "a19"),
        clear("summer", 2019, 9, "b19"),
        clear("spring", 2020, 0, "a20"),
        clear("summer", 2021, 0, "b21"),
        clear("autumn", 2021, 0, "c21"),
    ]
    assert chosen(cases) == {"autumn": "c21", "spring": "a20", "summer": "b21"}
    prefer = SceneRules(year_policy="prefer_same")
    assert chosen(cases, prefer) == {"autumn": "c21", "spring": "a20", "summer": "b21"}
    assert chosen([c for c in cases if c.season != "autumn"], prefer) == {"spring": "a19", "summer": "b19"}
    require = SceneRules(year_policy="require_same")
    assert chosen(cases, require) == {"autumn": "c21", "spring": None, "summer": "b21"}


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        (["cloudy", "scene_cloudy"], "all_cloudy"),
        (["low_sun"], "all_low_sun"),
        (["missing", "missing"], "all_missing"),
        (["low_sun", "cloudy"], "all_rejected"),
    ],
)
def test_reasons(kinds, reason):
    makers = {
        "cloudy": lambda n: make_candidate("summer", 2020, 0, n, stats=make_stats(n, cloud=0.9)),
        "scene_cloudy": lambda n: make_candidate("summer", 2020, 0, n, cloud=0.9),
        "low_sun": lambda n: make_candidate("summer", 2020, 0, n, sun=1.0),
        "missing": lambda n: make_candidate("summer", 2020, 0, n, stats=make_stats(n, missing=0.9)),
    }
    candidates = [makers[kind](f"s{n}") for n, kind in enumerate(kinds)]
    assert choose(candidates, RULES)["summer"].reason == reason


def test_judging_goes_outward_and_stops():
    rules = SceneRules(min_blue_scenes=3)
    everyone = [make_candidate("summer", 2020, n, f"s{n:02d}") for n in range(-10, 11)]
    first = to_judge(everyone, rules)
    assert [abs(c.days_from_middle) for c in first] == [0, 1, 1]
    cloudy = with_stats(everyone, [make_stats(c.scene.scene_id, cloud=1.0) for c in first])
    second = to_judge(cloudy, rules)
    assert [abs(c.days_from_middle) for c in second] == [2, 2, 3]
    assert not to_judge(with_stats(cloudy, [make_stats(c.scene.scene_id) for c in second]), rules)
    assert len(to_judge(everyone, SceneRules(judge="all"))) == 21


def test_judging_goes_on_where_ground_is_seen_until_a_missed_cloud_can_be_told():
    snowy = [
        make_candidate("winter", 2020, n, f"w{n}", stats=make_stats(f"w{n}", snow=1.0) if n < 3 else None)
        for n in range(9)
    ]
    missed = clear("summer", 2020, 0, "missed", blue=0.7)
    seen = [clear("summer", 2020, n, f"s{n}") for n in (1, 2)]
    waiting = [make_candidate("summer", 2020, n, f"s{n}") for n in range(3, 9)]
    everyone = [*snowy, missed, *seen, *waiting]
    assert {c.scene.scene_id for c in to_judge(everyone, RULES)} == {"s3", "s4", "s5"}
    assert to_judge(everyone, SceneRules(second_opinion="record")) == []
    judged = with_stats(everyone, [make_stats(name) for name in ("s3", "s4", "s5")])
    assert to_judge(judged, RULES) == []
    assert chosen(judged)["summer"] == "s1"


def test_a_season_that_lost_its_only_judged_pass_is_walked_further():
    rules = SceneRules(n_clear=1)
    shared = [clear(s, 2020, 0, f"p-{s}", acquisition="pass") for s in ("autumn", "summer")]
    spare = make_candidate("summer", 2020, 8, "spare")
    assert to_judge([*shared, spare], rules) == [spare]


def _plausible(candidate: Candidate):
    number = int(candidate.scene.scene_id[1:])
    return make_stats(candidate.scene.scene_id, cloud=[0.0, 0.5, 0.05][number % 3])


def _judge_all_that_is_needed(candidates, rules):
    fetched = []
    while pending := to_judge(candidates, rules):
        assert all(c.stats is None for c in pending)
        fetched += [c.scene.scene_id for c in pending]
        candidates = with_stats(candidates, [_plausible(c) for c in pending])
    return candidates, fetched


@given(candidate_lists(judged=False), ANY_RULES, st.randoms(use_true_random=False))
def test_the_order_of_the_input_never_matters(candidates, rules, random: Random):
    shuffled = random.sample(candidates, len(candidates))
    assert choose(shuffled, rules) == choose(candidates, rules)
    assert to_judge(shuffled, rules) == to_judge(candidates, rules)
    by_key = dict(zip((c.key for c in candidates), verdicts(candidates, rules), strict=True))
    assert by_key == dict(zip((c.key for c in shuffled), verdicts(shuffled, rules), strict=True))
    choice = choose(candidates, rules)
    assert explain(shuffled, rules, choice).equals(explain(candidates, rules, choice))


@given(candidate_lists(), ANY_RULES, st.sampled_from(["cloudy", "low_sun", "scene_cloudy", "not_judged"]))
def test_a_rejected_candidate_more_changes_no_choice(candidates, rules, kind):
    extra = {
        "cloudy": make_candidate("summer", 2020, 0, "X", stats=make_stats("X", cloud=0.9, blue=0.6)),
        "low_sun": make_candidate("summer", 2020, 0, "X", stats=make_stats("X", blue=0.01), sun=0.0),
        "scene_cloudy": make_candidate("summer", 2020, 0, "X", stats=make_stats("X"), cloud=0.99),
        "not_judged": make_candidate("summer", 2020, 0, "X"),
    }[kind]
    before, after = chosen(candidates, rules), chosen([*candidates, extra], rules)
    assert {"summer": None} | before == after


@given(candidate_lists(), ANY_RULES)
def test_choices_are_usable_and_no_acquisition_serves_twice(candidates, rules):
    verdict = dict(zip((c.key for c in candidates), verdicts(candidates, rules), strict=True))
    served = [c.candidate for c in choose(candidates, rules).values() if c.candidate]
    assert all(verdict[c.key] == "usable" for c in served)
    assert len({c.scene.acquisition for c in served}) == len(served)
    if rules.year_policy == "require_same":
        assert len({c.year for c in served}) <= 1


@given(candidate_lists(), st.sampled_from(["any", "prefer_same", "require_same"]))
def test_the_choice_is_as_good_as_the_best_of_all_combinations(candidates, policy):
    rules = SceneRules(year_policy=policy)
    usable = [c for c, v in zip(candidates, verdicts(candidates, rules), strict=True) if v == "usable"]
    options = [[c for c in usable if c.season == s] + [None] for s in ("spring", "summer", "winter")]
    plans = [[c for c in combo if c] for combo in product(*options)]
    legal = [p for p in plans if len({c.scene.acquisition for c in p}) == len(p)]
    if policy == "require_same":
        legal = [p for p in legal if len({c.year for c in p}) <= 1]

    def score(plan):
        years = [c.year for c in plan]
        same = max(map(years.count, years), default=0) if policy == "prefer_same" else 0
        return -len(plan), -same, sum(abs(c.days_from_middle) for c in plan)

    mine = [c.candidate for c in choose(candidates, rules).values() if c.candidate]
    assert score(mine) == min(map(score, legal))


@given(candidate_lists(judged=False), ANY_RULES)
def test_judging_ends_and_a_second_choice_fetches_only_what_it_needs(candidates, rules):
    judged, fetched = _judge_all_that_is_needed(candidates, rules)
    assert len(fetched) == len(set(fetched))
    assert to_judge(judged, rules) == []
    stricter = rules.model_copy(update={"min_usable_fraction": 0.97})
    _, more = _judge_all_that_is_needed(judged, stricter)
    assert not set(more) & {c.scene.scene_id for c in judged if c.stats}
    everything, _ = _judge_all_that_is_needed(judged, rules.model_copy(update={"judge": "all"}))
    assert to_judge(everything, stricter) == []


@given(candidate_lists(judged=False), ANY_RULES)
def test_the_table_explains_everyone(candidates, rules):
    choice = choose(candidates, rules)
    table = explain(candidates, rules, choice)
    assert len(table) == len(candidates)
    assert (table["verdict"] == "chosen").sum() == sum(c.candidate is not None for c in choice.values())
    assert set(table["verdict"]) <= {
        *("chosen", "usable", "not_judged", "scene_cloudy", "low_sun", "missing", "cloudy", "hazy")
    }
    assert table["year"].dtype == "int16"
    assert str(table["time"].dtype) == "datetime64[ms, UTC]"
    assert table["judged"].dtype == bool
