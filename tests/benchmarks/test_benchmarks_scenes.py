"""The benchmark of the scenes runs on a small archive, and what it says of the policies holds there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from benchmarks.scene_work import POLICIES, calendar_window, embedded_sites, opinions, policy_row
from benchmarks.scenes import markdown, report
from tests.conftest import write_tiny_config

from ssl4eco_data import config as configuration
from ssl4eco_data.simulate import SimulationParameters
from ssl4eco_data.types import SEASONS


@pytest.fixture
def parameters(tmp_path: Path, tiny_archive: Path) -> SimulationParameters:
    simulate = configuration.load(write_tiny_config(tmp_path, tiny_archive)).simulate
    assert simulate is not None
    return simulate.earth


def test_the_second_opinion_takes_the_missed_clouds_away(tiny_archive, parameters):
    sites = embedded_sites(tiny_archive, parameters)
    rows = pd.DataFrame([policy_row(name, rules, sites) for name, rules in POLICIES.items()])
    assert (rows["served"] <= rows["seasons"]).all()
    assert rows["over half"].iloc[-1] == 0
    dates = pd.concat([opinions(site) for site in sites])
    thick = dates[dates["bad"]]
    assert 0.8 < thick["and haze (all)"].mean() <= 1
    assert not (dates["bad"] & dates["untouched"]).any()


def test_the_report_has_its_tables_and_figures(tiny_archive, parameters, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SSL4ECO_SHARED", str(tmp_path / "nowhere"))
    text = report(tiny_archive, parameters, tmp_path / "images")
    assert [block.splitlines()[0].split(" | ")[0] for block in text.split("\n\n")] == ["| dates", "| policy"]
    assert (tmp_path / "images" / "policies.png").stat().st_size > 1000
    assert "SHARED DATA ABSENT" in capsys.readouterr().err


def test_calendar_windows_meet_without_a_gap():
    windows = [calendar_window(season, year) for year in (2019, 2020) for season in SEASONS]
    assert all(a.end == b.start for a, b in pairwise(windows))
    assert all(w.start < w.middle < w.end for w in windows)


def test_a_table_is_markdown():
    frame = pd.DataFrame({"name": ["a"], "count": [3], "share": [0.5]})
    assert markdown(frame).splitlines() == [
        "| name | count | share |",
        "| --- | --: | --: |",
        "| a | 3 | 0.5 |",
    ]
