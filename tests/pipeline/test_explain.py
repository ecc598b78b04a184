"""``ssl4eco explain``, and choices made again from what was judged."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from typer.testing import CliRunner

from ssl4eco_data import config as configuration
from ssl4eco_data import pipeline
from ssl4eco_data.cli import app
from ssl4eco_data.pipeline.explanation import OPINIONS, REASONS, VERDICTS
from ssl4eco_data.pipeline.listed import NOT_IN_ARCHIVE, NOT_LISTED, OTHER_ZONE
from ssl4eco_data.pipeline.scenes import NO_WINDOW, TOO_FEW_SEASONS
from ssl4eco_data.scenes.second_opinion import Opinion
from tests.conftest import write_tiny_config
from tests.pipeline.counting_server import CountingServer, serving, write_remote_catalogue
from tests.pipeline.digests import digest

BUILD = """
import sys
from pathlib import Path
from ssl4eco_data import config, pipeline
pipeline.build(config.load(Path(sys.argv[1])), pipeline.run_in_threads, until="scenes")
"""


@pytest.fixture
def server(tiny_archive: Path) -> Iterator[CountingServer]:
    with serving(tiny_archive) as served:
        yield served


@pytest.fixture
def remote_config(tmp_path: Path, tiny_archive: Path, built_config: Path, server: CountingServer) -> Path:
    """Two places that share no scene; files of the scenes come over HTTP. Not built yet."""
    path = write_tiny_config(tmp_path, tiny_archive)
    located = pd.read_parquet(built_config.parent / "dataset" / "locations.parquet")
    located.iloc[[0, -1]][["location_id", "lon", "lat"]].to_csv(tmp_path / "points.csv", index=False)
    write_remote_catalogue(tiny_archive, server.url, tmp_path / "items.json")
    text = path.read_text().replace(f"{tiny_archive}/sentinel-2-l2a.json", "items.json")
    start, end = text.index("[locations.source]"), text.index("[patches]")
    source = '[locations.source]\nkind = "points"\npoints = "points.csv"\n\n'
    path.write_text(text[:start] + source + text[end:] + "\n[scenes]\n")
    return path


def first_masks(path: Path, server: CountingServer) -> set[str]:
    """Masks fetched by the first build; the server is new, so none is in memory."""
    pipeline.build(configuration.load(path), pipeline.run_in_threads, until="scenes")
    return server.asked("SCL.tif")


def masks_asked(path: Path, server: CountingServer) -> set[str]:
    """Masks fetched by a build in a process of its own, which has none in memory."""
    server.forget()
    subprocess.run([sys.executable, "-c", BUILD, str(path)], check=True, stdout=subprocess.DEVNULL)
    return server.asked("SCL.tif")


def candidates(path: Path) -> pd.DataFrame:
    parts = sorted((path.parent / "dataset/scenes/candidates").glob("*.parquet"))
    return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)


def test_other_thresholds_fetch_only_what_was_not_judged(remote_config: Path, server: CountingServer) -> None:
    base = remote_config.read_text()
    first = first_masks(remote_config, server)
    assert len(first) == candidates(remote_config).query("judged")["scene_id"].nunique() > 0

    remote_config.write_text(base + "min_usable_fraction = 0.2\n")
    assert masks_asked(remote_config, server) <= set()

    remote_config.write_text(base + "max_scene_cloud_fraction = 0.6\njudge = 'all'\n")
    more = masks_asked(remote_config, server)
    judged = candidates(remote_config).query("judged")["scene_id"].nunique()
    assert more
    assert not more & first
    assert len(more | first) == judged

    dataset = remote_config.parent / "dataset"
    again = digest(dataset)
    dataset.rename(dataset.with_name("first"))
    pipeline.build(configuration.load(remote_config), pipeline.run_in_threads, until="scenes")
    assert digest(dataset) == again


def test_scores_of_another_archive_or_damaged_ones_are_not_used(
    remote_config: Path, server: CountingServer
) -> None:
    first = first_masks(remote_config, server)
    text = remote_config.read_text()
    remote_config.write_text(text.replace("[archive]", "[archive]\nblue_min_usable_fraction = 0.7"))
    assert masks_asked(remote_config, server) == first
    (remote_config.parent / "dataset/runs/judged/00000.parquet").write_bytes(b"PAR1 torn")
    remote_config.write_text(remote_config.read_text() + "n_clear = 2\n")
    assert masks_asked(remote_config, server)


def test_scores_that_cannot_be_are_judged_again(remote_config: Path, server: CountingServer) -> None:
    first_masks(remote_config, server)
    kept = remote_config.parent / "dataset/runs/judged/00000.parquet"
    pd.read_parquet(kept).assign(clear_fraction=7.0).to_parquet(kept)
    remote_config.write_text(remote_config.read_text() + "n_clear = 2\n")
    assert masks_asked(remote_config, server)
    assert pd.read_parquet(kept)["clear_fraction"].max() <= 1


def test_a_place_that_takes_no_scores_stops_no_build(remote_config: Path, server: CountingServer) -> None:
    blocked = remote_config.parent / "dataset/runs/judged"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where the folder must go")
    assert first_masks(remote_config, server)
    assert len(candidates(remote_config))


def explain(*words: str, columns: int = 80) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": str(columns)}).invoke(app, ["explain", *words])
    return result.exit_code, result.output


@pytest.mark.parametrize("columns", [80, 120])
def test_every_candidate_is_explained(built_config: Path, columns: int) -> None:
    every = candidates(built_config)
    location = every["location_id"].iloc[0]
    mine = every[every["location_id"] == location]
    code, text = explain(str(built_config.parent / "dataset"), location, columns=columns)
    assert code == 0
    assert max(map(len, text.splitlines())) <= columns
    rows = [line for line in text.splitlines() if line[:2] == "20"]
    assert len(rows) == len(mine)
    for verdict, count in mine["verdict"].value_counts().items():
        assert sum(VERDICTS[str(verdict)] in row for row in rows) == count
    assert all(f"{season}: " in text for season in ("spring", "summer", "autumn", "winter"))
    assert "sun in degrees" in text
    assert "(1 candidates" not in text


def test_one_season_as_csv(built_config: Path, tmp_path: Path) -> None:
    every = candidates(built_config)
    location = every["location_id"].iloc[-1]
    root = str(built_config.parent / "dataset")
    code, text = explain(root, location, "--season", "summer", "--csv", str(tmp_path / "c.csv"))
    assert code == 0
    assert "winter" not in text
    written = pd.read_csv(tmp_path / "c.csv")
    mine = every[(every["location_id"] == location) & (every["season"] == "summer")]
    assert list(written.columns) == list(every.columns)
    assert written["scene_id"].tolist() == mine["scene_id"].tolist()
    assert explain(root, location, "--csv", str(tmp_path / "c.csv"))[0] == 2


def test_a_season_without_a_scene_says_why(finished_config: Path) -> None:
    finished_config.write_text(finished_config.read_text() + "\n[scenes]\nmin_sun_elevation_deg = 45.0\n")
    pipeline.build(configuration.load(finished_config), pipeline.run_in_threads, until="scenes")
    root = finished_config.parent / "dataset"
    choices = pd.concat(map(pd.read_parquet, sorted((root / "scenes/choices").glob("*.parquet"))))
    without = choices[choices["scene_id"].isna()].iloc[0]
    text = explain(str(root), without["location_id"])[1]
    assert f"{without['season']}: no scene, {REASONS[without['reason']]}" in text


def test_the_second_opinion_is_shown_with_its_meaning(built_config: Path) -> None:
    every = candidates(built_config)
    doubted = every[every["verdict"] == "hazy"]
    location = doubted["location_id"].iloc[0] if len(doubted) else every["location_id"].iloc[0]
    mine = every[every["location_id"] == location]
    code, text = explain(str(built_config.parent / "dataset"), location, columns=100)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 100
    heads = next(line for line in text.splitlines() if line.startswith("day"))
    assert "opinion" in heads.split()
    said = set(mine["second_opinion"]) - {""}
    assert said
    for name, meaning in OPINIONS.items():
        assert (f"{name.replace('_', ' ')}: {meaning}" in text) == (name in said)


def test_a_table_of_an_earlier_version_is_explained(finished_config: Path) -> None:
    root = finished_config.parent / "dataset"
    later = ["second_opinion", "haze_q50", "score_clear_fraction"]
    for path in (root / "scenes/candidates").glob("*.parquet"):
        pd.read_parquet(path).drop(columns=later).to_parquet(path)
    location = candidates(finished_config)["location_id"].iloc[0]
    assert explain(str(root), location, columns=120)[0] == 0


def test_every_opinion_has_words() -> None:
    assert set(get_args(Opinion)) == set(OPINIONS)


def test_every_reason_has_words() -> None:
    from ssl4eco_data.scenes.choice import _REASONS

    listed = {NOT_LISTED, NOT_IN_ARCHIVE, OTHER_ZONE}
    others = {NO_WINDOW, TOO_FEW_SEASONS, "all_rejected", "no_candidates"}
    assert {*_REASONS.values(), *listed, *others} == set(REASONS)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nowhere"], "has no location 'nowhere'; it has "), (["", "--season", "monsoon"], "the")],
)
def test_what_is_not_there_is_named(built_config: Path, words: list[str], message: str) -> None:
    root = str(built_config.parent / "dataset")
    location = words[0] or str(candidates(built_config)["location_id"].iloc[0])
    code, text = explain(root, location, *words[1:])
    assert code == 1
    assert message in text


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, text = explain(str(tmp_path / "absent"), "x")
    assert code == 1
    assert "there is no folder" in text


def test_before_scenes_are_chosen(tmp_path: Path) -> None:
    code, text = explain(str(tmp_path), "x")
    assert code == 1
    assert "build CONFIG --until scenes" in text
