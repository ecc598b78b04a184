"""Which scenes become candidates, and how statistics join them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from scene_cases import make_scene, make_stats, window

from ssl4eco_data.scenes import SceneRules, candidates_of, with_stats

RULES = SceneRules()
MIDDLE = date(2020, 7, 1)


def test_a_window_holds_its_first_day_and_not_its_end():
    days = {-11: False, -10: True, 9: True, 10: False}
    noon = datetime(2020, 7, 1, 12, tzinfo=UTC)
    scenes = [make_scene(f"d{d}", noon + timedelta(days=d)) for d in days]
    found = candidates_of(scenes, [window("summer", 2020, MIDDLE, 10)], RULES)
    assert {c.days_from_middle for c in found} == {d for d, inside in days.items() if inside}


def test_days_are_utc_days():
    kamchatka = timezone(timedelta(hours=12))
    scene = make_scene("a", datetime(2020, 7, 2, 11, tzinfo=kamchatka))
    (found,) = candidates_of([scene], [window("summer", 2020, MIDDLE, 10)], RULES)
    assert found.days_from_middle == 0


def test_one_pass_in_two_tiles_is_two_candidates_and_a_repeated_scene_is_one():
    noon = datetime(2020, 7, 1, 12, tzinfo=UTC)
    a, b = (make_scene(name, noon, acquisition="pass") for name in ("tile1", "tile2"))
    found = candidates_of([a, b, a], [window("summer", 2020, MIDDLE, 10)], RULES)
    assert [c.scene.scene_id for c in found] == ["tile1", "tile2"]


def test_a_scene_in_two_seasons_is_a_candidate_of_both_and_takes_one_judgement():
    scene = make_scene("a", datetime(2020, 7, 1, 12, tzinfo=UTC))
    windows = [window("summer", 2020, MIDDLE, 10), window("autumn", 2020, MIDDLE + timedelta(days=5), 10)]
    found = with_stats(candidates_of([scene], windows, RULES), [make_stats("a")])
    assert [(c.season, c.days_from_middle) for c in found] == [("autumn", -5), ("summer", 0)]
    assert all(c.stats == make_stats("a") for c in found)


def test_statistics_of_a_stranger_are_refused():
    with pytest.raises(ValueError, match="no candidates: x"):
        with_stats([], [make_stats("x")])
