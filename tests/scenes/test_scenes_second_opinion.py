"""The second opinion: what it doubts, what it must leave alone, and that the order never matters."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_cases import candidate_lists, clear, make_candidate, make_stats

from ssl4eco_data.bands import REFLECTANCE_BANDS
from ssl4eco_data.patches import blue_quantile, haze_median
from ssl4eco_data.scenes import Candidate, SceneRules, choose, explain, with_model
from ssl4eco_data.scenes.second_opinion import DOUBTS, second_opinions
from ssl4eco_data.simulate.covers import CLOUD, COVERS, SNOW
from ssl4eco_data.types import PatchStats

RULES = SceneRules()
BLUE, RED = REFLECTANCE_BANDS.index("B02"), REFLECTANCE_BANDS.index("B04")
CROP, SOIL = COVERS["crop"].green, COVERS["crop"].dormant
STUBBLE = COVERS["grass"].dormant
CLEAR_WATER = COVERS["water"].green
MUDDY_WATER = tuple(0.5 * (w + s) for w, s in zip(CLEAR_WATER, SOIL, strict=True))


def seen(name: str, day: int, *parts: tuple[tuple[float, ...], float], scl: int = 4) -> Candidate:
    """A patch of 20 x 20 pixels whose rows are shared among spectra; the mask says ``scl`` everywhere."""
    rows = np.repeat([spectrum for spectrum, _ in parts], [round(20 * share) for _, share in parts], axis=0)
    assert len(rows) == 20
    dn = np.rint(np.repeat(rows[:, None, :], 20, axis=1) * 10_000).astype(np.uint16)
    mask = np.full((10, 10), scl, np.uint8)
    stats = PatchStats(
        scene_id=name,
        clear_fraction=1.0,
        snow_fraction=0.0,
        shadow_fraction=0.0,
        cloud_fraction=0.0,
        missing_fraction=0.0,
        blue_q95=blue_quantile(dn[..., BLUE], mask),
        haze_q50=haze_median(dn[..., BLUE], dn[..., RED], mask),
    )
    return make_candidate("summer", 2020, day, name, stats=stats)


FIELDS = [seen(f"f{n}", n, (CROP, 0.5 + 0.05 * n), (SOIL, 0.5 - 0.05 * n)) for n in range(6)]


def mixed(ground: tuple[float, ...], over: tuple[float, ...], share: float) -> tuple[float, ...]:
    return tuple((1 - share) * g + share * o for g, o in zip(ground, over, strict=True))


def opinion_on(candidate: Candidate, rules: SceneRules = RULES) -> str:
    return second_opinions([candidate, *FIELDS], rules)[0]


@pytest.mark.parametrize(
    ("candidate", "opinion"),
    [
        (seen("cloud", 9, (tuple(CLOUD), 1.0)), "bright"),
        (seen("small cloud", 9, (tuple(CLOUD), 0.1), (CROP, 0.9)), "bright"),
        (seen("veil", 9, (mixed(CROP, tuple(CLOUD), 0.07), 1.0)), "hazy"),
        (seen("ploughed", 9, (SOIL, 1.0)), "clear"),
        (seen("harvested", 9, (STUBBLE, 1.0)), "clear"),
        (seen("green", 9, (CROP, 1.0)), "clear"),
        (seen("muddy flood", 9, (MUDDY_WATER, 1.0)), "clear"),
        (seen("clear flood", 9, (CLEAR_WATER, 1.0), scl=6), "clear"),
    ],
    ids=lambda value: value.scene.scene_id if isinstance(value, Candidate) else value,
)
def test_clouds_and_veils_are_doubted_and_work_on_the_fields_is_not(candidate, opinion):
    assert opinion_on(candidate) == opinion


def test_too_few_dates_or_nothing_measured_is_unknown():
    cloud = seen("cloud", 9, (tuple(CLOUD), 1.0))
    assert second_opinions([cloud, *FIELDS[:2]], RULES) == ["unknown"] * 3
    assert (
        opinion_on(make_candidate("summer", 2020, 9, "x", stats=make_stats("x", blue=math.nan))) == "unknown"
    )


def test_a_dusting_of_snow_is_not_a_cloud_where_snow_is_near_in_the_year():
    dusting = seen("dusting", 9, (mixed(SOIL, tuple(SNOW), 0.2), 1.0))
    snowy = make_candidate("summer", 2021, 25, "snowy", stats=make_stats("snowy", snow=0.9))
    shared = make_candidate("summer", 2019, 30, "shared", stats=make_stats("shared", snow=0.9))
    far = [make_candidate("summer", 2021, 70, name, stats=make_stats(name, snow=0.9)) for name in "pq"]
    assert opinion_on(dusting) == "bright"
    assert second_opinions([dusting, snowy, shared, *FIELDS], RULES)[0] == "unknown"
    assert second_opinions([dusting, *far, *FIELDS], RULES)[0] == "bright"
    cloud = seen("cloud", 9, (tuple(CLOUD), 1.0))
    assert second_opinions([cloud, snowy, shared, *FIELDS], RULES)[0] == "bright"


def test_snow_that_nobody_shares_excuses_no_cloud():
    dusting = seen("dusting", 9, (mixed(SOIL, tuple(SNOW), 0.2), 1.0))
    lone = make_candidate("summer", 2021, 25, "lone", stats=make_stats("lone", snow=0.9))
    assert second_opinions([dusting, lone, *FIELDS], RULES)[:2] == ["bright", "lone_snow"]


def test_the_switch_marks_or_rejects():
    cloud = seen("cloud", 0, (tuple(CLOUD), 1.0))
    everyone = [cloud, *FIELDS[1:]]
    recorded = SceneRules(second_opinion="record")
    for rules, verdict, chosen in ((RULES, "hazy", "f1"), (recorded, "chosen", "cloud")):
        choice = choose(everyone, rules)
        table = explain(everyone, rules, choice).set_index("scene_id")
        assert choice["summer"].candidate.scene.scene_id == chosen
        assert table.loc["cloud", ["second_opinion", "verdict"]].tolist() == ["bright", verdict]


def test_only_scenes_that_all_else_calls_usable_are_asked_about():
    cloudy = make_candidate("summer", 2020, 0, "c", stats=make_stats("c", cloud=0.9))
    waiting = make_candidate("summer", 2020, 0, "w")
    everyone = [cloudy, waiting, *FIELDS]
    table = explain(everyone, RULES, {}).set_index("scene_id")
    assert table.loc[["c", "w"], "second_opinion"].tolist() == ["", ""]


def test_a_cloud_model_is_believed_over_the_mask_and_the_series():
    seen_by_model = with_model([FIELDS[0]], {"f0": 0.11})[0]
    assert opinion_on(seen_by_model) == "model"
    assert opinion_on(with_model([FIELDS[0]], {"f0": 0.09})[0]) == "clear"
    assert opinion_on(with_model([FIELDS[0]], {"f0": math.nan})[0]) == "clear"
    table = explain([seen_by_model, *FIELDS[1:]], RULES, {}).set_index("scene_id")
    assert table.loc["f0", ["model_fraction", "second_opinion", "verdict"]].tolist() == [
        0.11,
        "model",
        "hazy",
    ]


@given(candidate_lists(), st.randoms(use_true_random=False))
def test_the_order_never_matters(candidates, random):
    shuffled = random.sample(candidates, len(candidates))
    of = dict(zip((c.key for c in candidates), second_opinions(candidates, RULES), strict=True))
    assert of == dict(zip((c.key for c in shuffled), second_opinions(shuffled, RULES), strict=True))


@given(st.integers(-200, 200), st.sampled_from([0.2, 0.5]))
def test_a_cloud_is_doubted_on_any_day(day, share):
    cloud = seen("cloud", 0, (tuple(CLOUD), share), (CROP, 1 - share))
    when = date(2020, 7, 1) + timedelta(days=day)
    moved = clear(
        "summer", when.year, (when - date(when.year, 7, 1)).days, "cloud", blue=cloud.stats.blue_q95
    )
    assert opinion_on(moved) in DOUBTS
