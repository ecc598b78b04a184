"""The site is built with every link checked, and what its pages of entry show can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from tests.conftest import ROOT

from ssl4eco_data.cli import app

PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("tutorial", "how-to")}
COMMANDS = [
    command for text in PAGES.values() for command in re.findall(r"^    ((?:ssl4eco|make) .*)$", text, re.M)
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_nothing_is_fetched(site: Path) -> None:
    for page in (ROOT / "docs").glob("*.md"):
        text = (site / f"{page.stem}.html").read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img)[^>]+src="(?:https?:)?//|<link[^>]+href="https?://fonts', text)


def test_the_reference_is_what_the_program_says(site: Path) -> None:
    keys = (site / "reference" / "configuration.html").read_text(encoding="utf-8")
    for words in ("max_scene_cloud_fraction", "[run.budget]", "[locations.allocation]", "shard_locations"):
        assert words in keys
    commands = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for words in ("versions prune", "retry-unreadable", "3 paused"):
        assert words in commands


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_can_be_typed(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.M)
    else:
        group = typer.main.get_command(app)
        group.commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]


def test_python_of_the_tutorial_runs(
    built_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(built_config.parent / "dataset")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["tutorial"], re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["cube"].dims == ("band", "y", "x")  # type: ignore[attr-defined]
