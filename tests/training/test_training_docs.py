"""docs/training.md: its Python runs in order on a built dataset, its commands run there or are read."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from ssl4eco_training import claim_options, evaluate
from ssl4eco_training.options import overridden, recipe_named
from ssl4eco_training.run import train

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
TEXT = PAGE.read_text(encoding="utf-8")
STEPS = re.findall(r"```python\n(.*?)```|^    (\S.*?)$", TEXT, re.DOTALL | re.MULTILINE)
SMALLER = shlex.split(
    "--mode parity --encoder resnet18 --split= --batch 2 --queue 4 --image_px 16 --steps 2 --log_every 1 "
    "--epochs 0 --warmup_epochs 0 --tensorboard false"
)
"""For a dataset of six locations; they come after the page's own options."""
RUN = {"ssl4eco_training": SMALLER, "ssl4eco_training.stage": [], "ssl4eco_training.embed": []}
RUN["ssl4eco_training.bench"] = [*SMALLER, "--seconds", "0.1"]


def module_and_options(command: str) -> tuple[str, list[str]] | None:
    """What ``python -m`` (or torchrun, sbatch) would run, and with what; None for other commands."""
    words = shlex.split(command, comments=True)
    if "training/slurm/pretrain.sbatch" in words:
        return "ssl4eco_training", words[words.index("training/slurm/pretrain.sbatch") + 1 :]
    if "-m" not in words or words[0] not in ("python", "torchrun"):
        return None
    at = words.index("-m")
    return words[at + 1], words[at + 2 :]


COMMANDS = [found for _, command in STEPS if command and (found := module_and_options(command))]


def runs_here(module: str, options: list[str]) -> bool:
    """Whether a command is about the embedded dataset, which the tests have."""
    return (module in RUN and "data/demo" in " ".join(options)) or "own_simsiam:SimSiam" in options


def run(module: str, options: list[str]) -> None:
    name = "ssl4eco_training.__main__" if module == "ssl4eco_training" else module
    assert importlib.import_module(name).main([*options, *RUN[module]]) == 0


def test_every_step_of_the_page_runs(
    built_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "data").mkdir()
    for name in ("demo", "demo-pretrain"):
        (tmp_path / "data" / name).symlink_to(built_config.parent / "dataset")
    names: dict[str, Any] = {}
    done = []
    for code, command in STEPS:
        if code:
            if found := re.match(r"# (\w+\.py)\n", code):
                Path(found[1]).write_text(code, encoding="utf-8")
            exec(compile(code, str(PAGE), "exec"), names)
        elif (found_command := module_and_options(command)) and runs_here(*found_command):
            run(*found_command)
            done.append(found_command[0])
    assert sorted(done) == [
        "ssl4eco_training",
        "ssl4eco_training",
        "ssl4eco_training.bench",
        "ssl4eco_training.embed",
        "ssl4eco_training.stage",
    ]
    assert names["features"].shape == (2, 512) and torch.isfinite(names["features"]).all()
    assert not names["features"][0].equal(names["features"][1])
    assert torch.isfinite(names["loss"]) and names["batch"].position == 2 * names["loader"].n
    assert " binds at " in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "data" / "runs").iterdir()} == {"debug_cpu", "simsiam"}


@pytest.mark.parametrize(("module", "options"), COMMANDS, ids=[" ".join(o)[:40] for _, o in COMMANDS])
def test_every_command_can_be_meant(module: str, options: list[str]) -> None:
    if module == "ssl4eco_training":
        overridden(recipe_named(options[0]), [option for option in options[1:] if option != "--show"])
    elif module == "ssl4eco_training.evaluate":
        evaluate.parser().parse_args(options)
    elif module == "ssl4eco_training.claim":
        claim_options.recipe_of(claim_options.parser("").parse_args(options))
    else:
        assert runs_here(module, options)


def test_all_commands_are_found() -> None:
    assert len(COMMANDS) == 16 == TEXT.count("-m ssl4eco_training") + TEXT.count("pretrain.sbatch")


def test_what_is_said_of_the_log_is_there(built_config: Path, tmp_path: Path) -> None:
    """The table names every value that a run on a CPU writes."""
    changes = ["--dataset", str(built_config.parent / "dataset"), "--folder", str(tmp_path), *SMALLER]
    outcome = train(overridden(recipe_named("debug_cpu"), changes))
    said = set(re.findall(r"^\| `.*?\|", TEXT, re.MULTILINE))
    known = {re.sub(r"_\d$", "_i", name) for name in outcome.last}
    assert known <= {name for cell in said for name in re.findall(r"`(\w+)`", cell)}
