"""Every benchmark runs at a tiny size and its ways agree; times are not looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.measure import Call, Figure, measure, perform, perform_apart, table

from benchmarks import locations

ROOT = Path(__file__).parents[2]
ALIKE = {"ours and KD-tree, from points": 0.9, "geopandas sjoin and sjoin_nearest": 0.99}
TASKS = {task.name: task for task in locations.tasks(tiny=True)}
SLOW = {"land"}
"""Areas whose ways run in processes of their own: the land library holds 1 GB for the life of its process."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if task.area in SLOW else [])
        for name, task in TASKS.items()
    ],
)
def test_ways_of_a_task_agree(name):
    figures = measure(TASKS[name], 1, perform_apart if TASKS[name].area in SLOW else perform)
    assert [figure.way for figure in figures] == list(TASKS[name].ways)
    assert figures[0].times_ours == 1
    for figure in figures:
        assert len(figure.seconds) == 1
        assert min(*figure.seconds, figure.peak_mb, figure.times_ours) > 0
    compared = [figure for figure in figures[1:] if figure.agreement is not None]
    assert compared or len(figures) == 1
    for figure in compared:
        assert ALIKE.get(figure.way, 1.0) <= figure.agreement <= 1, figure


def test_full_and_tiny_sizes_have_the_same_kinds_of_task():
    assert {task.area for task in locations.tasks(tiny=False)} == {task.area for task in TASKS.values()}


def test_a_process_of_its_own_gives_the_same_answer():
    call = Call(module="benchmarks.location_work", function="grid_ours", arguments={"spacing_km": 500.0})
    assert (perform_apart(call).answer == perform(call).answer).all()


def test_another_answer_is_seen():
    grid = {
        way: Call(module="benchmarks.location_work", function="grid_ours", arguments={"spacing_km": km})
        for way, km in (("ours", 1000.0), ("other", 900.0))
    }
    assert measure(locations.Task(area="a", name="b", ways=grid), 2, perform)[1].agreement == 0


def test_the_table_shows_best_worst_and_ratio():
    figure = Figure(
        area="grid", task="job", way="ours", seconds=(2.0, 1.0), times_ours=1.0, peak_mb=99.6, agreement=0.5
    )
    assert table([figure, figure]).splitlines()[2:] == [
        "| job | ours | 1 | 2.00 | 1 | 100 | 50.000% |",
        "|  | ours | 1 | 2.00 | 1 | 100 | 50.000% |",
    ]


def test_the_command_prints_a_table_and_writes_figures(tmp_path):
    out = tmp_path / "figures.json"
    done = command("--tiny", "--repeats", "1", "--only", "20 strata", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "| 300 of 2,000 cells in 20 strata | ours |" in done.stdout
    report = json.loads(out.read_text())
    assert {"date", "machine", "python", "numpy"} <= set(report["about"])
    assert next(figure["way"] for figure in report["figures"]) == "ours"


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--repeats", "0"], "at least 1, got 0"), (["--only", "nonsense"], "'nonsense' leaves no task")],
)
def test_wrong_options_are_refused(options, message):
    done = command("--tiny", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_without_the_shared_layer_the_rest_is_measured(tmp_path):
    done = command("--tiny", "--repeats", "1", "--only", "join", SSL4ECO_SHARED=str(tmp_path))
    assert done.returncode == 2
    assert "SHARED DATA ABSENT" in done.stderr


def command(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.locations", *options],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
