"""``ssl4eco init`` as people call it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ssl4eco_data.cli import app
from ssl4eco_data.config import load


def init(*options: str) -> tuple[int, str]:
    """(exit code, everything printed)."""
    done = CliRunner().invoke(app, ["init", *options])
    return done.exit_code, done.output


def test_every_option_reaches_the_file(alps: str, halves: str, tmp_path: Path) -> None:
    to = tmp_path / "all.toml"
    code, printed = init(
        *("--region", alps, "--n", "200", "--strata", halves, "--strata-field", "ECO_NAME"),
        *("--archive", "earth-engine", "--project", "my-project"),
        *("--start", "2019-02-03", "--end", "2022-05-06", "--to", str(to)),
    )
    assert code == 0, printed
    assert 3 <= len(printed.splitlines()) <= 7
    text = to.read_text()
    for part in (
        'region = "alps.gpkg"',
        'strata = "strata.gpkg"',
        "\nn = 200",
        'kind = "earth_engine"',
        'project = "my-project"',
        "imagery_start = 2019-02-03",
        "imagery_end = 2022-05-06",
    ):
        assert part in text
    assert load(to).root == tmp_path / "data" / "all"


def test_defaults(plots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed = init("--points", Path(plots).name)
    assert code == 0, printed
    text = Path("ssl4eco.toml").read_text()
    assert "imagery_start = 2017-01-01" in text
    assert f"imagery_end = {datetime.now(UTC).year}-01-01" in text
    assert 'imagery = "https://planetarycomputer.microsoft.com/api/stac/v1"' in text
    load(Path("ssl4eco.toml"))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--n", "0"], 2, "error: --n = 0"),
        (["--n", "many"], 2, "--n"),
        (["--start", "soon"], 2, "soon"),
        (["--start", "2022-01-01", "--end", "2021-01-01"], 2, "error: --start must be before --end"),
        (["--archive", "earth-serch"], 2, "did you mean 'earth-search'"),
        (["--archive", "earth-engine"], 2, "needs --project"),
        (["--region", "absent.gpkg"], 1, "error: no layer absent.gpkg"),
        (["--points", "absent.csv"], 1, "error: no points file absent.csv"),
    ],
)
def test_exit_codes(
    options: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen, printed = init(*options)
    assert (seen, list(tmp_path.iterdir())) == (code, [])
    assert message in printed


def test_in_a_process_of_its_own(plots: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ssl4eco_data", "init", "--points", plots, "--to", "[red]my.toml"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (first.returncode, first.stderr) == (0, "")
    assert "wrote    [red]my.toml" in first.stdout
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "error: [red]my.toml is there already" in again.stderr
    assert "Traceback" not in again.stderr
