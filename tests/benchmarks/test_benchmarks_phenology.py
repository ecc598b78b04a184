"""Every way of the phenology's benchmark runs; threads and lanes give the same; times do not matter."""

import numpy as np
import pytest
from benchmarks.measure import measure, perform

from benchmarks import phenology, phenology_work

TASKS = {task.name: task for task in phenology.tasks(tiny=True)}
QUICK = [name for name, task in TASKS.items() if task.area != "first call"]


@pytest.mark.parametrize("name", QUICK)
def test_ways_of_a_task_run(name):
    figures = measure(TASKS[name], 1, perform)
    assert [figure.way for figure in figures] == list(TASKS[name].ways)
    for figure in figures:
        assert min(*figure.seconds, figure.peak_mb) > 0
        compared = TASKS[name].area == "threads" and figure is not figures[0]
        assert figure.agreement == (1.0 if compared else None), figure


def test_the_first_call_of_a_process_runs_with_its_own_cache():
    """Both ways compile everything in a new process; the one tried here then runs once more."""
    (task,) = (task for name, task in TASKS.items() if name not in QUICK)
    assert list(task.ways) == ["ours, compiled before", "ours, nothing compiled"]
    sample = perform(task.ways["ours, compiled before"])
    assert 0 < sample.seconds < 30, "longer than that, and it has compiled again"


def test_full_and_tiny_sizes_have_the_same_kinds_of_task():
    full = [(task.area, list(map(str.split, task.ways))) for task in phenology.tasks(tiny=False)]
    assert full == [(task.area, list(map(str.split, task.ways))) for task in TASKS.values()]


def test_the_series_are_dated():
    """Speed of pixels without dates would say nothing."""
    derived = phenology_work.dates_ours(count=60, per_year=46).run()
    assert (derived["status"] == 0).mean() > 0.9
    assert np.isfinite(derived["date"]).sum() > 60 * 2 * 7


def test_series_smoothed_at_once_are_as_smoothed_alone():
    """A number that is no multiple of the lanes; digits are lost where observations weigh a millionth."""
    alone, at_once = (phenology_work.smooth_ours(count=7, at_once=way).run() for way in (False, True))
    np.testing.assert_allclose(at_once, alone, rtol=0, atol=1e-7)


def test_packages_that_are_absent_are_named(capsys):
    assert phenology.installed({"numpy": "numpy", "no_such_module": "no-such-package"}) == {"numpy"}
    assert "no-such-package is not installed (pip install no-such-package)" in capsys.readouterr().err
