"""Every block of Python and every command of docs/analysis.md runs, in order, on a built dataset."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from typer.testing import CliRunner

from ssl4eco_data.cli import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "analysis.md"
TEXT = PAGE.read_text(encoding="utf-8")
STEPS = re.findall(r"```python\n(.*?)```|^    (ssl4eco .*?)$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("error", "ignore:Use `@` matmul:PendingDeprecationWarning")
def test_every_step_of_the_page_runs(
    built_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(built_config.parent / "dataset")
    names: dict[str, Any] = {}
    commands = 0
    for code, command in STEPS:
        if code:
            exec(compile(code, str(PAGE), "exec"), names)
        else:
            done = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            commands += 1
    assert commands == 2 and sum(bool(code) for code, _ in STEPS) == 9
    assert names["forests"]["season"].to_numpy().tolist() == ["summer", "winter"]
    assert names["summer"].dims == ("band", "y", "x") and names["summer"].dtype == np.uint16
    assert 0 < float(names["clear_ndvi"].mean()) < 1
    with rasterio.open("summer.tif") as file:
        assert file.descriptions == ("B04", "B03", "B02", "B08")
        np.testing.assert_array_equal(file.read(), names["summer"])
    assert len(names["table"]) == names["dataset"].sizes["location"]
    assert names["found"].all() and names["batch"]["r10"].any()
    assert names["near_infrared"].dtype == np.uint16 and names["near_infrared"].any()


def test_what_the_page_says_of_the_tables_is_there(built_config: Path, tmp_path: Path) -> None:
    root = str(built_config.parent / "dataset")
    for form in ("cog", "major-tom"):
        done = CliRunner().invoke(
            app,
            ["export", root, str(tmp_path / form), "--format", form, "--limit", "1"],
            catch_exceptions=False,
        )
        assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "cog" / "patches.csv")
    said = re.search(r"`patches.csv`: (.*?), every other fact", TEXT, re.DOTALL)
    assert said is not None
    columns = re.findall(r"`(\w+)`", said[1])
    assert list(table.columns[: len(columns)]) == columns
    metadata = pd.read_parquet(tmp_path / "major-tom" / "metadata.parquet")
    said = re.search(r"`metadata.parquet` with\n(.*?), and all columns", TEXT, re.DOTALL)
    assert said is not None
    columns = re.findall(r"`(\w+)`", said[1])
    assert list(metadata.columns[: len(columns)]) == columns
    assert set(table.columns) - {"file"} <= set(metadata.columns)
