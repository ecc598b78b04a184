"""A dataset from Earth Engine, from dates to patches: its scores are recorded, shown and may decide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ee
import numpy as np
import pytest
from ee_catalogue import signed_in
from ee_server import Server
from ee_world import write_world
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.config import Config, load
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.attempts import run_in_threads
from ssl4eco_data.pipeline.run import build
from ssl4eco_data.store import open_dataset

CONFIG = """
[dataset]
root = "dataset"
[period]
imagery_start = 2020-07-01
imagery_end = 2020-08-01
vegetation_start = 2017-01-01
vegetation_end = 2021-01-01
[phenology]
source = "mcd12q2"
[archive]
kind = "earth_engine"
project = "p"
url = "{url}"
[scenes]
min_usable_fraction = 0.4
min_seasons = 1
{scenes}
[locations.source]
kind = "points"
points = "points.csv"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with signed_in(write_world(tmp_path_factory.mktemp("world"))) as served:
        yield served


def config_at(folder: Path, server: Server, scenes: str = "") -> Config:
    (folder / "points.csv").write_text("lon,lat\n3.033,50.815\n")
    path = folder / "ssl4eco.toml"
    path.write_text(CONFIG.format(url=server.url, scenes=scenes))
    return load(path)


def test_scores_are_recorded_shown_and_decide_without_another_request(server, tmp_path):
    assert ee.data.is_initialized()
    config = config_at(tmp_path, server)
    build(config, run_in_threads)
    assert server.requests.count("value:compute") == 3, "a search, scores, the scenes to cut"
    candidates = tables.parts(config, tables.CANDIDATES)
    scores = candidates["score_clear_fraction"].to_numpy()
    assert len(scores) == 3 and np.isnan(scores).sum() == 1
    chosen = candidates[candidates["verdict"] == "chosen"].iloc[0]
    assert 0 < chosen["score_clear_fraction"] < 0.9

    shown = CliRunner(env={"COLUMNS": "160"}).invoke(
        app, ["explain", str(config.root), str(candidates["location_id"].iloc[0])]
    )
    header, *rows = (line for line in shown.output.splitlines() if line.startswith(("day", "2020-07")))
    assert "score" in header.split()
    scored = [f"{100 * score:.0f}" in row.split() for score, row in zip(scores, rows, strict=True)]
    assert scored == list(np.isfinite(scores))

    server.requests.clear()
    stricter = config_at(tmp_path, server, "min_score_clear_fraction = 0.9")
    build(stricter, run_in_threads)
    assert server.requests.count("value:compute") == 2, "a search, the scenes to cut, no scores"
    again = tables.parts(stricter, tables.CANDIDATES).set_index("scene_id")
    assert list(again["verdict"].value_counts().sort_index().items()) == [("chosen", 1), ("cloudy", 2)]
    assert np.isnan(again.loc[again["verdict"] == "chosen", "score_clear_fraction"]).all()
    assert open_dataset(stricter.root).sizes["location"] == 1
