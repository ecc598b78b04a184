"""``info`` and ``status`` while a dataset is being built, after a failure, and what programs read of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssl4eco_data import pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.config import Config, load
from ssl4eco_data.pipeline import BuildError, Result, Stage, Work
from ssl4eco_data.store import Ledger
from tests.conftest import write_tiny_config


def asked(*words: str) -> Any:
    """The JSON that a command prints."""
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def printed(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


@pytest.fixture
def config(finished_config: Path) -> Path:
    """A dataset whose patches are all to be done again, as after a change."""
    ledger = Ledger(load(finished_config).root)
    ledger.remove("close", 0)
    for block in ledger.blocks("patches"):
        mark = ledger.read("patches", block)
        assert mark
        ledger.write(replace(mark, fingerprint="of another configuration"))
    return finished_config


def test_a_build_broken_off_tells_how_far_it_is(config: Path) -> None:
    def interrupted(config: Config, stage: Stage, todo: Sequence[Work]) -> Sequence[Result]:
        pipeline.run_in_threads(config, stage, todo[:1])
        raise KeyboardInterrupt

    loaded = load(config)
    with pytest.raises(KeyboardInterrupt):
        pipeline.build(loaded, interrupted)
    run = asked("info", str(loaded.root))["run"]
    assert run == asked("status", str(config))["run"]
    working = run["working"]
    assert (working["stage"], working["blocks"], working["done"], working["left"]) == ("patches", 3, 1, 2)
    assert working["hours_left"] == pytest.approx(2 / working["blocks_per_hour"])
    assert "at work patches: 1 of 3 blocks done, 2 left" in printed("info", str(loaded.root))
    assert "patches 2 of 3 blocks pending" in printed("status", str(config))
    states = {state["name"]: state for state in asked("status", str(config))["stages"]}
    assert (states["patches"]["blocks"], states["patches"]["left"]) == (3, 2)
    assert states["scenes"]["left"] == 0


def test_failures_are_told_by_kind(config: Path) -> None:
    def failing(config: Config, stage: Stage, todo: Sequence[Work]) -> Sequence[Result]:
        kinds = ("ArchiveError: gone", "ArchiveError: away", "OSError: disk: full")
        return [Result(work=work, error=kind) for work, kind in zip(todo, kinds, strict=True)]

    loaded = load(config)
    with pytest.raises(BuildError):
        pipeline.build(loaded, failing)
    run = asked("info", str(loaded.root))["run"]
    assert run["failed"] == {"patches": {"ArchiveError": 2, "OSError": 1}}
    assert run["working"] is None
    assert "failed patches 2 ArchiveError, 1 OSError" in printed("info", str(loaded.root))


def test_unreadable_files_are_counted_by_stage(config: Path) -> None:
    root = load(config).root
    mark = root / "ledger" / "scenes" / "00001.json"
    mark.write_text(mark.read_text().replace('"unreadable": 0', '"unreadable": 7'))
    assert asked("info", str(root))["run"]["unreadable"] == {"scenes": 7}


def test_a_finished_dataset_has_no_run_to_wait_for(built_config: Path) -> None:
    root = str(load(built_config).root)
    told = asked("info", root)
    assert told["run"] is None
    assert told["dataset"]["locations"] == "6"
    assert "at work" not in printed("info", root)
    states = asked("status", str(built_config))
    assert {state["left"] for state in states["stages"]} == {0}
    assert states["run"]["working"] is None and states["run"]["rates"]["patches"] > 0


def test_no_dataset_is_an_error(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["info", str(tmp_path), "--json"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no dataset at" in done.stderr


def test_what_else_programs_read(built_config: Path) -> None:
    """As JSON alone, with nothing for people around it."""
    root = str(load(built_config).root)
    plan = asked("plan", str(built_config))
    assert [each["judge"] for each in plan["estimates"]] == ["until_n_clear", "all"]
    assert plan["assumptions"]["images_per_year"] == 110 and plan["pilot"] is None
    assert asked("check", root)["problems"] == []
    assert asked("versions", "list", root) == []
    assert asked("cite", root)["attribution"]
    checks = asked("doctor", str(built_config))
    assert {"configuration", "python", "locations"} <= {check["name"] for check in checks}


def test_a_pilot_is_told_with_its_intervals(tmp_path: Path, tiny_archive: Path) -> None:
    config = write_tiny_config(tmp_path, tiny_archive)
    pilot = asked("plan", str(config), "--pilot", "2")["pilot"]
    seconds = pilot["per_location"]["seconds"]
    assert pilot["locations"] == 2 and seconds["low"] <= seconds["mean"] <= seconds["high"]
