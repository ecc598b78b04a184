"""The configuration refuses what it cannot use, in one readable message."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ssl4eco_data import config as configuration
from ssl4eco_data.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
[dataset]
root = "out"
[period]
imagery_start = 2020-01-01
imagery_end = 2021-01-01
[archive]
kind = "stac"
imagery = "items.json"
"""


def parse(tmp_path: Path, text: str) -> configuration.Config:
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    return configuration.parse(text, tmp_path / "my.toml")


def test_relative_paths_start_at_the_configuration_file(tmp_path: Path) -> None:
    config = parse(tmp_path, GOOD)
    assert config.root == tmp_path / "out"
    assert Path(config.archive.imagery) == tmp_path / "items.json"  # type: ignore[union-attr]


def test_what_is_written_into_the_dataset_parses_back_and_names_no_folder(tmp_path: Path) -> None:
    text = parse(tmp_path, GOOD).to_toml()
    assert str(tmp_path) not in text
    data = tomllib.loads(text)
    data["dataset"]["root"] = "out"
    again = configuration.parse(configuration.tomli_w.dumps(data), tmp_path / "my.toml")
    assert again.to_toml() == text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("[period]", "[perriod]"), ["perriod", "unknown key", "did you mean 'period'"]),
        (("imagery_start", "imagery_strat"), ["line 5", "imagery_strat", "did you mean 'imagery_start'"]),
        (("2020-01-01", "2022-01-01"), ["imagery_start must be before imagery_end", "2022-01-01"]),
        (("2020-01-01", '"soon"'), ["line 5", "period.imagery_start", "'soon'"]),
        (('kind = "stac"', 'kind = "stack"'), ["line 8", "archive", "stack", "stac"]),
        (("items.json", "missing.json"), ["archive.imagery", "missing.json", "does not exist"]),
        (("[period]", "[patches]\nsize_px = 65\n[period]"), ["patches.size_px", "65", "multiple of 2"]),
        (("[period]", '[patches]\nbands = ["B02"]\n[period]'), ["patches", "B04", "B08", "NDVI"]),
        (("[period]", '[patches]\nbands = ["B99"]\n[period]'), ["patches.bands", "B99"]),
        (("[period]", "[run]\nworkers = 0\n[period]"), ["line 5", "run.workers", "got 0"]),
        (("[period]", '[run]\ntask_runner = "spark"\n[period]'), ["run.task_runner", "spark"]),
        (('root = "out"', ""), ["dataset.root", "required"]),
        (('root = "out"', 'root = "  "'), ["line 3", "dataset.root", "'  '"]),
        (('root = "out"', 'root = "items.json/.."\ntitle = ""'), ["dataset.title"]),
        (("[period]", "[store]\nshard_locations = true\n[period]"), ["store.shard_locations", "True"]),
        (("[period]", "[store]\nshard_locations = 8.5\n[period]"), ["store.shard_locations", "8.5"]),
        (("[period]", '[patches]\nsize_px = "64"\n[period]'), ["patches.size_px", "'64'"]),
        (("2020-01-01", "1577836800"), ["line 5", "imagery_start", "1577836800"]),
        (("imagery_start", "imagry_start"), ["'imagry_start' = 2020-01-01; did you mean 'imagery_start'"]),
        (("[period]", "[[run]]\n[period]"), ["must be a table [run]"]),
        (('imagery = "items.json"', 'imagery = "."'), ["archive.imagery", "must name a file", "folder"]),
        (("[period]", "[period"), ["not valid TOML", "line 4"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(tmp_path, GOOD.replace(*change))
    message = str(caught.value)
    assert str(tmp_path / "my.toml") in message
    for part in expected:
        assert part in message


def test_a_root_that_would_overwrite_the_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "items.json").touch()
    (tmp_path / "config.toml").write_text(GOOD.replace('"out"', '"."'))
    with pytest.raises(ConfigError, match=r"dataset\.root = .* is the folder of this file"):
        configuration.load(tmp_path / "config.toml")


def test_a_wrong_item_of_a_list_is_one_mistake(tmp_path: Path) -> None:
    text = GOOD + '[simulate]\nfolder = "a"\n[simulate.earth]\nregions = ["pampa"]\n'
    with pytest.raises(ConfigError, match=r"1 mistake\n.*regions.*'pampa'"):
        parse(tmp_path, text)


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("imagery_start", "imagery_strat").replace(
        "[archive]", "[run]\nworkers = 0\n[archive]"
    )
    with pytest.raises(ConfigError, match="3 mistakes"):  # the wrong key, the missing one, the workers
        parse(tmp_path, text)


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "belgium.toml").write_text(GOOD)
    with pytest.raises(ConfigError, match=r"did you mean .*belgium\.toml"):
        configuration.load(tmp_path / "belgum.toml")


def test_the_command_line_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(GOOD.replace("[period]", "[perriod]"))
    command = [sys.executable, "-m", "ssl4eco_data", "build", str(tmp_path / "bad.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "did you mean 'period'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.name)
def test_the_configurations_of_the_repository_parse(path: Path) -> None:
    try:
        configuration.parse(path.read_text().replace("YOUR-PROJECT", "my-project"), path)
    except ConfigError as error:
        if "does not exist" not in str(error):  # inputs outside the repository may be absent
            raise


def test_a_root_that_cannot_be_made_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "out").write_text("a file, not a folder")
    (tmp_path / "my.toml").write_text(GOOD)
    command = [sys.executable, "-m", "ssl4eco_data", "build", str(tmp_path / "my.toml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cannot make dataset.root" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out").read_text() == "a file, not a folder"
