"""The command line of a claim: what is trained, and how it is judged."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl4eco_training.embed import Pace, device_of
from ssl4eco_training.errors import TrainingError
from ssl4eco_training.folds import BLOCK_KM, BUFFER_KM, Blocks
from ssl4eco_training.intervals import DRAWS
from ssl4eco_training.judge import Rules
from ssl4eco_training.options import parsed, recipe_named
from ssl4eco_training.probe import ProbeParameters
from ssl4eco_training.recipes import RECIPES, Recipe, entries, kind_name
from ssl4eco_training.tasks import OWN_TASKS

_OWN = ("dataset", "folder")
"""Fields of a recipe that a claim sets itself."""
_FIELD = "field_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How runs are judged: on which split (None: all), by which tasks and rules."""

    split: str | None
    tasks: tuple[str, ...]
    rules: Rules

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what decides the scores."""
        return {
            "split": self.split,
            "tasks": list(self.tasks),
            "protocol": self.rules.protocol,
            "judge_seed": self.rules.seed,
            "block_km": self.rules.blocks.block_km,
            "buffer_km": self.rules.blocks.buffer_km,
            "probe_epochs": self.rules.probe.epochs,
            "draws": self.rules.draws,
        }


def parser(about: str) -> argparse.ArgumentParser:
    """The options of the command; fields of the recipe are options too."""
    made = argparse.ArgumentParser(
        prog="python -m ssl4eco_training.claim",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("phenological", help="dataset whose seasons phenology sets")
    made.add_argument("calendar", help="dataset of the same locations whose seasons the calendar sets")
    made.add_argument(
        "--to", type=Path, required=True, help="figure to write; the results lie beside it as .json"
    )
    made.add_argument("--seeds", type=int, default=3, help="runs of each arm (default %(default)s)")
    made.add_argument("--recipe", default="debug_cpu", help=f"{', '.join(RECIPES)} (default %(default)s)")
    made.add_argument(
        "--folder", type=Path, default=Path("data/runs/claim"), help="of the runs (default %(default)s)"
    )
    judge = made.add_argument_group("judging")
    judge.add_argument("--judge-split", default="validation", help="train, validation (default), test or all")
    judge.add_argument("--judge-tasks", default=",".join(OWN_TASKS), help="(default: %(default)s)")
    judge.add_argument("--judge-seed", type=int, default=0, help="of folds and intervals")
    judge.add_argument("--protocol", choices=("paper", "corrected"), default="corrected")
    judge.add_argument(
        "--probe-epochs", type=int, default=ProbeParameters().epochs, help="at most (default %(default)s)"
    )
    judge.add_argument("--draws", type=int, default=DRAWS, help="of the bootstrap (default %(default)s)")
    judge.add_argument("--block-km", type=float, default=BLOCK_KM, help="(default %(default)g)")
    judge.add_argument("--buffer-km", type=float, default=BUFFER_KM, help="(default %(default)g)")
    fields = made.add_argument_group("fields of the recipe, as in python -m ssl4eco_training")
    for name, entry in entries().items():
        if name not in _OWN:
            flags = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
            text = f"{entry.about.text} [{kind_name(entry.kind)}]".replace("%", "%%")
            fields.add_argument(*flags, dest=_FIELD + name, metavar="VALUE", help=text)
    return made


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe with the fields that were given. Raises TrainingError for one that cannot be meant."""
    if options.seeds < 1:
        raise TrainingError(f"--seeds must be at least 1, got {options.seeds}")
    given = {name: getattr(options, _FIELD + name, None) for name in entries()}
    changes = {name: parsed(name, text) for name, text in given.items() if text is not None}
    return replace(recipe_named(options.recipe), **changes)


def rules_of(options: argparse.Namespace) -> tuple[Judging, Pace]:
    """How runs are judged. Raises TrainingError for a value that cannot be meant."""
    tasks = tuple(name for name in options.judge_tasks.split(",") if name)
    unknown = [name for name in tasks if name not in OWN_TASKS]
    if unknown or not tasks:
        raise TrainingError(
            f"--judge-tasks {options.judge_tasks!r}: there are {', '.join(OWN_TASKS)}, with commas between"
        )
    for name, least in (("probe_epochs", 1), ("draws", 1), ("judge_seed", 0)):
        if getattr(options, name) < least:
            raise TrainingError(
                f"--{name.replace('_', '-')} must be at least {least}, got {getattr(options, name)}"
            )
    try:
        blocks = Blocks(block_km=options.block_km, buffer_km=options.buffer_km)
    except ValueError as error:
        raise TrainingError(f"--block-km, --buffer-km: {error}") from error
    pace = Pace(device=device_of(options.field_device or "auto"))
    rules = Rules(
        protocol=options.protocol,
        seed=options.judge_seed,
        blocks=blocks,
        probe=ProbeParameters(epochs=options.probe_epochs),
        draws=options.draws,
        device=pace.device,
    )
    split = None if options.judge_split == "all" else options.judge_split
    return Judging(split=split, tasks=tasks, rules=rules), pace
