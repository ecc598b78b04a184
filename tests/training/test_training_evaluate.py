"""Evaluation end to end: an encoder that sees, one that does not, and tables of both."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.globe_dataset import build_globe

from ssl4eco_training import embed, evaluate
from ssl4eco_training.comparison import compare
from ssl4eco_training.embeddings import Embeddings
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import Blocks
from ssl4eco_training.identity import dataset_fingerprint
from ssl4eco_training.inputs import InputSpec
from ssl4eco_training.judge import Rules, answers, folds_of, paired, score, statistic_of
from ssl4eco_training.metrics import macro_f1, unweighted
from ssl4eco_training.probe import ProbeParameters
from ssl4eco_training.resnet import resnet
from ssl4eco_training.tasks import Task, classes_task
from ssl4eco_training.weights import save_encoder

MEANS, NOISE = "tests.training.globe_encoders:means", "tests.training.globe_encoders:noise"
QUICK = ["--epochs", "8", "--draws", "40"]


@pytest.fixture(scope="module")
def globe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("globe") / "dataset"
    build_globe(root)
    return root


@pytest.fixture(scope="module")
def judged_both(globe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Means against noise, from the command line, under both protocols."""
    found = {}
    for protocol in ("paper", "corrected"):
        path = tmp_path_factory.mktemp("out") / "o.json"
        arguments = [
            str(globe),
            "--encoder",
            MEANS,
            "--against",
            NOISE,
            "--protocol",
            protocol,
            "--json",
            *QUICK,
        ]
        found[protocol] = json.loads(said(arguments, path))
    return found


def said(arguments: list[str], path: Path) -> str:
    with path.open("w") as file, contextlib.redirect_stdout(file):
        assert evaluate.main(arguments) == 0
    return path.read_text()


def line(report: dict[str, Any], task: str, method: str) -> dict[str, Any]:
    (found,) = [one for one in report["lines"] if (one["task"], one["method"]) == (task, method)]
    return found


def values(one: dict[str, Any]) -> tuple[float, float, float]:
    """(means, noise, random)."""
    scores = one["scores"]
    assert [name.split(":")[-1].split("@")[0] for name in scores] == ["means", "noise", "means"]
    first, second, third = (entry["value"] for entry in scores.values())
    return first, second, third


@pytest.mark.parametrize("protocol", ["paper", "corrected"])
def test_an_encoder_that_sees_is_better_than_one_that_does_not(
    judged_both: dict[str, Any], protocol: str
) -> None:
    report = judged_both[protocol]
    for task in ("biome", "season"):
        one = line(report, task, "k-NN")
        sees, blind, _ = values(one)
        assert sees > 0.9 and blind < 0.6
        to_blind = next(iter(one["differences"].values()))
        assert to_blind["low"] > 0 and to_blind["value"] == pytest.approx(sees - blind)
        assert to_blind["low"] < to_blind["value"] < to_blind["high"]
    assert values(line(report, "greenup", "k-NN"))[0] > 0.8
    assert line(report, "greenup", "k-NN")["left_out"] == 1
    assert re.search("ecoregion: 60 samples have no label", report["refused"][0])


def test_the_protocols_differ_as_they_say(judged_both: dict[str, Any]) -> None:
    paper, corrected = (line(judged_both[p], "biome", "linear") for p in ("paper", "corrected"))
    assert paper["folds"] == corrected["folds"] == 10
    assert "left out near the tested" not in paper["note"]
    assert paper["scores"] != corrected["scores"]


def test_the_table_names_scores_differences_and_what_was_not_judged(
    globe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert evaluate.main([str(globe), "--encoder", MEANS, "--tasks", "biome,ecoregion", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "corrected protocol, split validation" in out and "macro_f1" in out and "k-NN (10)" in out
    assert re.search(r"\d\d\.\d \[\d+\.\d, \d+\.\d\]", out)
    assert "not judged: task ecoregion: 60 samples have no label" in out
    assert "random of" in out and "95% interval over locations" in out


def test_tables_of_embeddings_give_the_scores_of_their_encoders(globe: Path, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine.parquet", tmp_path / "theirs.parquet"
    for named, path in ((MEANS, mine), (NOISE, theirs)):
        assert embed.main([str(globe), "--encoder", named, "--to", str(path)]) == 0
    common = ["--tasks", "biome", "--json", "--protocol", "paper", *QUICK]
    direct = json.loads(
        said([str(globe), "--encoder", MEANS, "--against", NOISE, "--no-random", *common], tmp_path / "a")
    )
    tables = json.loads(
        said([str(globe), "--embeddings", str(mine), "--against", str(theirs), *common], tmp_path / "b")
    )
    assert direct["lines"] == tables["lines"]


@pytest.mark.parametrize(
    ("trained_on", "judged_on", "told"),
    [
        ("train", "all", True),
        ("train", "train", True),
        ("", "validation", True),
        ("train", "validation", False),
    ],
)
def test_it_is_said_that_judged_locations_were_trained_on(
    globe: Path, tmp_path: Path, trained_on: str, judged_on: str, told: bool
) -> None:
    spec, path = InputSpec(bands=("B04", "B08"), image_px=32), tmp_path / "mine.safetensors"
    encoder = resnet(18, spec.channels)
    for fingerprint, seen in ((dataset_fingerprint(globe), told), ("another", False)):
        save_encoder(path, encoder, spec, arch="resnet18", dataset=fingerprint, extra={"split": trained_on})
        options = evaluate.parser().parse_args([str(globe), "--encoder", str(path), "--split", judged_on])
        assert [text.startswith("mine was pretrained on") for text in evaluate.seen_before(options)] == (
            [True] if seen else []
        )


def test_a_label_table_is_a_task(globe: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = "\n".join(f"G{i:03d},{'even' if i % 3 else 'odd'}" for i in range(72))
    table.write_text(f"location_id,kind\n{rows}\n")
    arguments = [str(globe), "--encoder", MEANS, "--tasks", "", "--table", str(table), "--labels", "kind"]
    report = json.loads(said([*arguments, "--k", "3", "--no-random", "--json", *QUICK], tmp_path / "o"))
    assert {one["task"] for one in report["lines"]} == {"labels"} and report["lines"][0]["k"] == 3
    (only,) = line(report, "labels", "k-NN")["scores"].values()
    assert only["value"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--encoder", MEANS, "--split", "test"], "no location in the split 'test'"),
        (["--encoder", MEANS, "--tasks", "biom"], "--tasks biom: there are biome"),
        (["--encoder", MEANS, "--tasks", "ecoregion"], "no task can be judged: task ecoregion"),
        (["--encoder", MEANS, "--against", MEANS], "is the same model"),
        (["--encoder", NOISE], r"\(--no-random\)"),
        (["--encoder", MEANS, "--labels", "a"], "belong to a --table"),
        (["--encoder", MEANS, "--block-km", "0"], "--block-km, --buffer-km: block_km must be"),
        (["--encoder", MEANS, "--epochs", "0"], "--epochs and --draws must be at least 1"),
        (["--encoder", MEANS, "--threads", "0"], "--batch and --threads must be at least 1"),
        (["--encoder", MEANS, "--device", "nonsense"], "--device nonsense"),
        (
            ["--encoder", MEANS, "--tasks", "biome", "--block-km", "5000", "--buffer-km", "5000"],
            r"task biome: fold \d has \d+ samples to train and 0",
        ),
        (["--embeddings", "nothing.parquet"], "there is no nothing.parquet"),
        (["--encoder", "nothing.pt"], "give exported weights"),
    ],
)
def test_mistakes_are_told_with_the_way_out(
    globe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert evaluate.main([str(globe), *arguments]) == 1
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert "Traceback" not in err


def test_a_dataset_that_is_not_there_or_another_is_refused(
    globe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(tmp_path / "none"), "--encoder", MEANS]) == 1
    assert "build the dataset first" in capsys.readouterr().err
    path = tmp_path / "e.parquet"
    assert embed.main([str(globe), "--encoder", MEANS, "--split", "train", "--to", str(path)]) == 0
    assert evaluate.main([str(globe), "--embeddings", str(path)]) == 1
    assert "has no embedding of the split 'validation'" in capsys.readouterr().err
    other = tmp_path / "other"
    build_globe(other, seed=1)
    assert evaluate.main([str(other), "--embeddings", str(path), "--split", "train"]) == 1
    assert re.search("is of the dataset [0-9a-f]{12}, .*embed this dataset", capsys.readouterr().err)


def toy(n: int, seed: int, apart: float, model: str = "m") -> Embeddings:
    """Two classes by the sign of the latitude."""
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, n), rng.uniform(-60, 60, n)
    noise = np.random.default_rng(seed).normal(size=(n, 4))
    noise[:, 0] += apart * np.sign(lat)
    return Embeddings(
        location_id=np.array([f"L{i:04d}" for i in range(n)]),
        season=np.full(n, "spring"),
        lon_deg=lon,
        lat_deg=lat,
        vectors=noise.astype(np.float32),
        model=model,
        dataset="d",
    )


def north(embeddings: Embeddings) -> Task:
    return classes_task("north", embeddings, np.where(embeddings.lat_deg > 0, "north", "south"), k=5)


def test_the_paper_means_folds_and_the_corrected_protocol_pools() -> None:
    task = north(toy(120, 1, 1.0))
    for protocol in ("paper", "corrected"):
        rules = Rules(protocol=protocol, blocks=Blocks(block_km=1500, buffer_km=100), draws=20)  # type: ignore[arg-type]
        folds = folds_of(task, rules)
        given = answers(task, folds, "k-NN", rules)
        decided = given.output.argmax(axis=1)
        each = [unweighted(macro_f1(task.truth[f.test], decided[f.test], 2), len(f.test)) for f in folds]
        pooled = unweighted(macro_f1(task.truth, decided, 2), 120)
        got = unweighted(statistic_of(task, folds, given, rules), 120)
        assert got == pytest.approx(np.mean(each) if protocol == "paper" else pooled)
        assert abs(np.mean(each) - pooled) > 1e-4
        assert np.isfinite(given.output).all()


def test_differences_are_paired() -> None:
    """The same errors in both: the difference is narrow where each score alone is wide."""
    first, second = toy(200, 1, 1.0), toy(200, 1, 1.05, "other")
    rules = Rules(protocol="paper", draws=200)
    task, other = north(first), north(second)
    folds = folds_of(task, rules)
    mine, theirs = ([statistic_of(t, folds, answers(t, folds, "k-NN", rules), rules)] for t in (task, other))
    alone, both = score(task, mine, rules), paired(task, mine, theirs, rules)
    assert both.value == pytest.approx(alone.value - score(other, theirs, rules).value)
    assert both.interval.high - both.interval.low < 0.6 * (alone.interval.high - alone.interval.low)


def test_a_comparison_does_not_depend_on_the_order_of_rows_and_repeats() -> None:
    table = toy(80, 3, 1.0)
    mixed = table.take(np.random.default_rng(0).permutation(80))
    rules = Rules(protocol="paper", draws=20, probe=ProbeParameters(epochs=5))
    first, other = (compare({"m": [t]}, [north], rules).lines for t in (table, mixed))
    assert first == other


def test_embeddings_of_other_images_are_not_compared() -> None:
    table = toy(30, 0, 1.0)
    rules = Rules(protocol="paper", draws=10)
    with pytest.raises(TrainingError, match="are of datasets d and e: embed the same dataset with both"):
        compare({"m": [table], "o": [replace(table, model="o", dataset="e")]}, [north], rules)
    with pytest.raises(TrainingError, match=r"m has 30 embeddings and o 29, of different"):
        compare({"m": [table], "o": [replace(table, model="o").take(np.arange(29))]}, [north], rules)


def test_a_score_that_is_not_defined_is_said() -> None:
    """A rare class: the F1 stays defined, the note tells that it was not trained on."""
    table = toy(40, 0, 1.0)

    def rare(embeddings: Embeddings) -> Task:
        return classes_task("rare", embeddings, np.where(np.arange(40) == 3, "one", "other"), k=3)

    rules = Rules(protocol="paper", draws=20, probe=ProbeParameters(epochs=3))
    lines = compare({"m": [table]}, [rare], rules).lines
    assert all("only 4 samples in the smallest fold" in one.note for one in lines)
    assert all("1 samples of classes that their fold does not train on" in one.note for one in lines)
    assert "10 probes still improving at the last epoch" in lines[1].note
    assert not math.isnan(lines[0].scores["m"].value)
    assert json.dumps(lines[0].as_dict())
