"""A date rule of one's own: its answer is checked, and a build takes its windows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.conftest import write_tiny_config

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.errors import ConfigError
from ssl4eco_data.phenology import PhenologyParameters
from ssl4eco_data.phenology.date_rules import windows_by
from ssl4eco_data.phenology.windows import flatten, season_windows
from ssl4eco_data.pipeline import tables
from ssl4eco_data.types import METRICS, SEASONS, YEAR_DAYS

DAYS = dict(zip(METRICS, (90.0, 120.0, 150.0, 190.0, 230.0, 260.0, 300.0), strict=True))


def test_a_rule_answers_windows_and_may_leave_a_season_out() -> None:
    assert windows_by("own_rules:around_peak", DAYS, None) == {
        "spring": (115.0, 175.0),
        "summer": (175.0, 205.0),
        "autumn": (205.0, 265.0),
    }


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("misspelt", "seasons must be among spring, summer, autumn, winter, got 'fall'"),
        ("backwards", "spring must last a day at least, got 150 to 90"),
        ("overlapping", "summer must not begin before spring ends, got 150 and 160"),
        ("too_long", "within 365.2425 days, got 0 to 370"),
        ("far_away", "spring must lie within a year before and after the peak's, got -400 to -350"),
        ("without_end", "spring must have finite days, got 90 to nan; leave it out"),
        ("no_pair", r"spring must be \(start, end\) in days, got 90.0"),
        ("a_list", "must be a mapping of season to .* got list"),
        ("unknown_metric", "KeyError: 'green_up'"),
        ("too_sure", "AssertionError: one cycle only"),
    ],
)
def test_an_answer_that_cannot_be_used_names_the_rule_and_the_dates(rule: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        windows_by(f"own_rules:{rule}", DAYS, DAYS)
    assert str(caught.value).startswith(f"phenology.date_rule = 'own_rules:{rule}': ")
    assert "for greenup 90.0, mid_greenup 120.0" in str(caught.value)
    assert "a second cycle" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("phenologic", "did you mean 'phenological'"),
        ("own_rules.around_peak", "a function of your own such as 'my_rules:late_spring'"),
        ("own_rules:around_peek", "did you mean 'around_peak'"),
        ("own_rules:NOT_A_FUNCTION", "must name a function, got int"),
        ("no_such_rules:f", "PYTHONPATH"),
    ],
)
def test_a_name_that_is_no_rule_is_refused(value: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        PhenologyParameters(date_rule=value)


@given(
    start=st.floats(-300, 300),
    lengths=st.lists(st.floats(1, 90), min_size=4, max_size=4),
    year=st.integers(2000, 2030),
)
def test_every_accepted_answer_makes_windows(start: float, lengths: list[float], year: int) -> None:
    ends = [start + sum(lengths[: i + 1]) for i in range(4)]
    answer = dict(zip(SEASONS, zip([start, *ends[:-1]], ends, strict=True), strict=True))
    Answering.answer = answer
    windows = windows_by(f"{__name__}:Answering", {"peak": 0.0}, None)
    assert windows == answer
    found = season_windows(flatten(windows), [year])
    assert [window.season for window in found] == list(SEASONS)
    assert all(later.start >= sooner.start for sooner, later in pairwise(found))
    assert ends[-1] - start <= YEAR_DAYS


class Answering:
    """Called, it gives what was put there."""

    answer: dict[str, tuple[float, float]]

    def __new__(cls, _days: object, _second: object) -> dict[str, tuple[float, float]]:  # type: ignore[misc]
        return cls.answer


def test_a_build_dates_the_seasons_by_the_rule(tmp_path: Path, tiny_archive: Path) -> None:
    path = write_tiny_config(tmp_path, tiny_archive)
    text = path.read_text()
    path.write_text(f'{text}\n[phenology]\ndate_rule = "own_rules:around_peak"\n')
    config = configuration.load(path)
    pipeline.build(config, pipeline.run_in_threads)
    windows = tables.phenology(config)
    own = windows[windows["source"] == "own"]
    assert len(own)
    pd.testing.assert_series_equal(own["summer_start_day"], own["peak_day"] - 15, check_names=False)
    assert windows["winter_start_day"].isna().all()
    choices = tables.parts(config, tables.CHOICES)
    assert set(choices.loc[choices["season"] == "winter", "reason"]) <= {"no_window", "too_few_seasons"}
    chosen = choices[(choices["season"] == "summer") & choices["scene_id"].notna()]
    assert (chosen["days_from_middle"].abs() <= 15).all()
    assert len(chosen)
    assert "own_rules:around_peak" in (config.root / "config.toml").read_text()
    path.write_text(f'{text}\n[phenology]\ndate_rule = "own_rules:overlapping"\n')
    with pytest.raises(pipeline.BuildError, match="'own_rules:overlapping': summer must not begin"):
        pipeline.build(configuration.load(path), pipeline.run_in_threads)
