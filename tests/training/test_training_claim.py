"""The claim end to end on tiny twins: what is refused, what is kept, what the results say."""

from __future__ import annotations

import contextlib
import io
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.globe_dataset import N_TRAIN, build_globe

from ssl4eco_training import claim
from ssl4eco_training.baseline import random_embeddings
from ssl4eco_training.claim_pair import ARMS, open_pair
from ssl4eco_training.comparison import compare
from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import Blocks
from ssl4eco_training.judge import Rules
from ssl4eco_training.probe import ProbeParameters
from ssl4eco_training.recipes import debug_cpu
from ssl4eco_training.tasks import classes_task

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = [
    *("--encoder", "tests.training.run_dataset:Encoder", "--objective", "tests.training.run_dataset:Alike"),
    *("--mode", "parity", "--bands", "B02,B04,B08", "--image-px", "16", "--batch", "6", "--queue", "12"),
    *("--tensorboard", "false", "--warmup_epochs", "0", "--learning-rate", "0.001", "--device", "cpu"),
]
QUICK = ["--judge-tasks", "season,biome", "--probe-epochs", "3", "--draws", "20"]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("twins")
    build_globe(folder / ARMS[0])
    build_globe(folder / ARMS[1], source="calendar", days_later=9)
    return {arm: str(folder / arm) for arm in ARMS}


@pytest.fixture(scope="module")
def folder(twins: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished claim of two seeds and two steps."""
    made = tmp_path_factory.mktemp("claim")
    status, said, wrong = made_claim(twins, made, "--seeds", "2", "--steps", "2")
    assert (status, said.count("finished before")) == (0, 0), wrong
    return made


def made_claim(twins: dict[str, str], folder: Path, *more: str) -> tuple[int, str, str]:
    out, wrong = io.StringIO(), io.StringIO()
    given = [*twins.values(), "--to", str(folder / "claim.png"), "--folder", str(folder / "runs")]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(wrong):
        status = claim.main([*given, *SMALL, *QUICK, *more])
    return status, out.getvalue(), wrong.getvalue()


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "claim.json").read_text())
    return found


def test_both_arms_are_judged_on_both_datasets(folder):
    found = results(folder)
    assert {(line["judged_on"], line["task"], line["method"]) for line in found["lines"]} == {
        (arm, task, method) for arm in ARMS for task in ("season", "biome") for method in ("k-NN", "linear")
    }
    assert all(set(line["scores"]) == {*ARMS, "random"} for line in found["lines"])
    assert found["conditions"]["seeds"] == [0, 1]
    assert found["intervals_over"] == "seeds and locations"
    assert (folder / "claim.png").read_bytes().startswith(b"\x89PNG")


def test_a_difference_is_that_of_the_means_and_of_the_seeds(folder):
    lines = results(folder)["lines"]
    assert any(line["differences"]["calendar"]["value"] for line in lines)
    for line in lines:
        one, other = (line["scores"][arm]["value"] for arm in ARMS)
        difference = line["differences"]["calendar"]
        assert difference["value"] == pytest.approx(one - other)
        by_seed = [np.array(line["scores"][arm]["by_run"]) for arm in ARMS]
        assert difference["by_run"] == pytest.approx(by_seed[0] - by_seed[1])
        assert np.mean(difference["by_run"]) == pytest.approx(one - other)
        assert len(difference["by_run"]) == 2


def test_a_finished_run_is_not_trained_again_and_seeds_can_be_added(folder, twins):
    before = {path: path.stat().st_mtime_ns for path in sorted(folder.glob("runs/*/*/encoder.safetensors"))}
    assert len(before) == 4
    first = results(folder)
    status, said, _ = made_claim(twins, folder, "--seeds", "2", "--steps", "2")
    assert (status, said.count("finished before")) == (0, 4)
    assert results(folder) == first
    status, said, _ = made_claim(twins, folder, "--seeds", "3", "--steps", "2")
    assert (status, said.count("finished before")) == (0, 4)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(folder.glob("runs/*/*/encoder.safetensors"))) == 6


def test_of_one_seed_it_is_said_that_the_interval_does_not_know_others(folder, twins, monkeypatch):
    beside = []

    def spied(source, of, seed, pace):
        beside.append((source.root, seed))
        return random_embeddings(source, of, seed, pace)

    monkeypatch.setattr(claim, "random_embeddings", spied)
    status, said, _ = made_claim(twins, folder, "--seeds", "1", "--steps", "2")
    said = " ".join(said.split())
    assert status == 0 and "95% interval over locations, of one seed" in said
    assert "one seed: the intervals do not say how much another training run would differ (--seeds)" in said
    assert results(folder)["intervals_over"] == "locations, of one seed"
    assert beside == [(root, 0) for root in twins.values()]
    status, said, _ = made_claim(twins, folder, "--seeds", "2", "--steps", "2")
    said = " ".join(said.split())
    assert status == 0 and "95% interval over seeds and locations" in said and "one seed" not in said


def test_a_folder_of_other_conditions_is_refused(folder, twins):
    status, _, wrong = made_claim(twins, folder, "--seeds", "2", "--steps", "3")
    assert status == 1
    assert "steps = 2, asked is 3: take another --folder" in wrong


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--seeds", "0"], "--seeds must be at least 1, got 0"),
        (["--judge-tasks", "colour"], "--judge-tasks 'colour': there are biome"),
        (["--draws", "0"], "--draws must be at least 1, got 0"),
        (["--to", "claim.txt"], "must end in .pdf, .png, .svg"),
        (["--split", "nowhere"], "split 'nowhere' has no location with an image"),
        (["--image_px", "x"], "--image_px must be a whole number, got 'x'"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_before_anything_is_trained(twins, tmp_path, more, words):
    status, _, wrong = made_claim(twins, tmp_path, *more)
    assert status == 1
    assert words in wrong
    assert not (tmp_path / "runs").exists()


def test_datasets_that_are_no_twins_are_refused(twins, tmp_path):
    build_globe(tmp_path / "elsewhere", seed=1, source="calendar")
    with pytest.raises(TrainingError, match="of different locations: 72 are in the first only"):
        open_pair(twins[ARMS[0]], str(tmp_path / "elsewhere"))
    with pytest.raises(TrainingError, match="the same images"):
        open_pair(twins[ARMS[0]], twins[ARMS[0]])
    with pytest.raises(TrainingError, match="given as the phenological one"):
        open_pair(twins[ARMS[1]], twins[ARMS[0]])


def test_a_pair_counts_images_and_locations_by_split(twins):
    pair = open_pair(*twins.values())
    assert pair.locations[ARMS[1]]["train"] == N_TRAIN
    assert pair.images[ARMS[0]]["train"] == 4 * N_TRAIN
    assert pair.images[ARMS[0]]["val"] == 4 * (72 - N_TRAIN) - 1
    assert pair.common == 0.0


def test_all_runs_have_the_steps_of_the_arm_with_fewer_locations(twins):
    pair = open_pair(*twins.values())
    fewer = {**pair.locations, ARMS[1]: {"train": N_TRAIN - 2}}
    recipe = replace(debug_cpu(), batch=4, queue=8, bn_group=2, epochs=3, seed=5)
    runs = claim.runs_of(recipe, replace(pair, locations=fewer), Path("runs"), 2)
    assert [(arm, run.seed, run.steps) for arm, run in runs] == [
        (arm, seed, 8) for seed in (5, 6) for arm in ARMS
    ]
    assert runs[1][1] == replace(runs[0][1], dataset=pair.roots[ARMS[1]], folder="runs/calendar/seed-5")


def test_seeds_that_disagree_leave_the_sign_of_the_difference_open():
    """One seed has the first arm far ahead, the other the second: both together none."""
    sharp, dull = noisy(0, 0.3), noisy(1, 3.0)
    rules = Rules(blocks=Blocks(block_km=1000.0), probe=ProbeParameters(epochs=5), draws=60)
    make = [lambda table: classes_task("season", table, table.season, k=3)]
    once = compare({ARMS[0]: [sharp], ARMS[1]: [dull]}, make, rules).lines
    twice = compare({ARMS[0]: [sharp, dull], ARMS[1]: [dull, sharp]}, make, rules).lines
    for alone, both in zip(once, twice, strict=True):
        one, mean = alone.differences[ARMS[1]], both.differences[ARMS[1]]
        assert one.interval.low > 0
        assert mean.by_run == (one.value, -one.value) and mean.value == pytest.approx(0.0)
        assert mean.interval.low < -one.interval.low and mean.interval.high > one.interval.low


def noisy(seed: int, noise: float) -> Embeddings:
    rng = np.random.default_rng(seed)
    n = 120
    season = np.tile(np.array(["spring", "summer", "autumn"]), n // 3)
    places = np.random.default_rng(9).uniform(-60, 60, (2, n // 3))
    clean = np.eye(3)[np.unique(season, return_inverse=True)[1]]
    return Embeddings(
        location_id=np.repeat(np.array([f"L{i:02d}" for i in range(n // 3)]), 3),
        season=season,
        lon_deg=np.repeat(places[0], 3),
        lat_deg=np.repeat(places[1], 3),
        vectors=(clean + rng.normal(0, noise, clean.shape)).astype(np.float32),
        model=f"model {noise}",
        dataset="d",
    )


def test_the_twin_configurations_differ_in_the_season_rule_alone():
    one, other = (
        tomllib.loads((CONFIGS / name).read_text())
        for name in ("demo-large.toml", "demo-large-calendar.toml")
    )
    assert other.pop("phenology") == {"date_rule": "calendar"}
    assert one.pop("dataset")["root"] != other.pop("dataset")["root"]
    assert one == other
