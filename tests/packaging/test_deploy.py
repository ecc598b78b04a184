"""docs/deploy.md and the Containerfile, as far as they can be tried without a cluster or containers."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from distributed.cli.dask_scheduler import main as dask_scheduler
from distributed.cli.dask_worker import main as dask_worker
from tests.conftest import ROOT

from ssl4eco_data import config as configuration
from ssl4eco_data.cli import app
from ssl4eco_training.options import overridden, recipe_named

TEXT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = re.findall(
    r"^ {4,6}((?:[a-z0-9]+|export) .*)$", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL), re.M
)
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
STEPS = [
    shlex.split(line)
    for line in re.sub(r"\\\n", " ", CONTAINERFILE).splitlines()
    if line and not line.startswith("#")
]
ARCHIVE = """
[period]
imagery_start = 2020-01-01
imagery_end = 2021-01-01
[archive]
kind = "stac"
imagery = "https://stac.example.org"
[locations.source]
kind = "grid"
spacing_km = 23
"""


def parse(command: str) -> None:
    """Raise when the program would refuse its words."""
    program, *words = shlex.split(command)
    if program == "ssl4eco":
        group = typer.main.get_command(app)
        group.commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]
    elif program == "dask":
        {"worker": dask_worker, "scheduler": dask_scheduler}[words[0]].make_context(words[0], words[1:])
    elif "ssl4eco_training" in words or program == "sbatch":
        recipe = words.index("seco_eco_8gpu")
        overridden(recipe_named(words[recipe]), words[recipe + 1 :])
    elif program == "python":
        assert words[:2] == ["-m", "flows.dataset"] and len(words) == 3
    else:
        assert program in ("docker", "prefect", "export"), program


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command: str) -> None:
    parse(command)


def test_all_commands_are_found() -> None:
    programs = {command.split()[0] for command in COMMANDS}
    assert {"ssl4eco", "dask", "torchrun", "sbatch", "python", "docker", "prefect"} <= programs
    assert TEXT.count("dask worker tcp") == 1 and len(COMMANDS) == 15


@pytest.mark.parametrize("text", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_configurations_parse(text: str, tmp_path: Path) -> None:
    text = text if "[dataset]" in text else f'{text}[dataset]\nroot = "data"\n'
    config = configuration.parse(text + ARCHIVE, tmp_path / "deploy.toml")
    assert config.processes == config.run.workers > 1


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_python_compiles(code: str) -> None:
    compile(code, "deploy.md", "exec")


def test_the_job_pauses_for_the_exit_codes_that_a_retry_does_not_help() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    job = yaml.safe_load(text)["spec"]
    assert job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [2, 3]
    assert job["template"]["spec"]["containers"][0]["command"][:3] == ["python", "-m", "flows.dataset"]


def test_the_image_has_what_the_flows_need() -> None:
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENV", "CMD"}
    assert {step[0] for step in STEPS} == known and STEPS[0][0] == "FROM"
    copied = [name for step in STEPS if step[0] == "COPY" for name in step[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {"src", "flows", "configs", "requirements/dataset.txt", "pyproject.toml"} <= set(copied)
    metadata = (ROOT / "pyproject.toml").read_text()
    assert all(
        name in copied for name in re.findall(r'^(?:readme = |license-files = \[)"(.+?)"', metadata, re.M)
    )
    command = next(line for line in CONTAINERFILE.splitlines() if line.startswith("CMD"))
    _, _, module, *_ = yaml.safe_load(command.removeprefix("CMD "))
    assert importlib.util.find_spec(module) is not None
