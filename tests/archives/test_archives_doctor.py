"""``ssl4eco doctor`` with a STAC API on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalogue_cases import Truth
from stac_server import Server
from typer.testing import CliRunner

from ssl4eco_data.cli import app

CONFIG = """
[dataset]
root = "dataset"
[period]
imagery_start = 2021-01-01
imagery_end = {end}
vegetation_start = 2021-01-01
vegetation_end = 2022-01-10
[archive]
kind = "stac"
imagery = "{url}"
vegetation = "{url}"
retries = 0
retry_wait_s = 0.0
[patches]
size_px = 64
[locations.source]
kind = "points"
points = "points.csv"
"""
SECRET = "user:open-sesame"


def doctor(tmp_path: Path, url: str, end: str) -> tuple[int, str]:
    (tmp_path / "points.csv").write_text("lon,lat\n0.187034,51.396555\n")
    (tmp_path / "stac.toml").write_text(CONFIG.format(url=url, end=end))
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["doctor", str(tmp_path / "stac.toml")])
    return result.exit_code, result.output


def test_an_api_that_answers_passes(tmp_path: Path, api: Server) -> None:
    code, text = doctor(tmp_path, api.url, "2022-03-05")
    assert code == 0, text
    assert "2 images around" in text
    assert "days of evi" in text


@pytest.mark.parametrize("fault", [404, 403, "html"])
def test_an_api_that_fails_is_told_with_its_fix(
    tmp_path: Path, api: Server, catalogue: tuple[Path, Truth], fault: int | str
) -> None:
    api.failures["search"] = [fault]
    code, text = doctor(tmp_path, api.url, "2022-03-05")
    assert code == 1
    line = next(line for line in text.splitlines() if "imagery  " in line)
    assert line.startswith("failed")
    assert "fix:" in text


def test_a_password_in_the_address_is_not_printed(tmp_path: Path, api: Server) -> None:
    api.failures["search"] = [403, 403]
    _code, text = doctor(tmp_path, api.url.replace("//", f"//{SECRET}@"), "2022-03-05")
    assert "open-sesame" not in text
