"""The paper's claim in miniature: ``python -m ssl4eco_training.claim PHENOLOGICAL CALENDAR --to claim.png``.

The same model is trained on seasons by phenology and on seasons by calendar of the same locations, from
several seeds; probes on frozen embeddings judge both on the images of either dataset. A run that is
finished is not trained again, one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ssl4eco_data.errors import Ssl4ecoError
from ssl4eco_data.store import write_atomic
from ssl4eco_training.baseline import random_embeddings
from ssl4eco_training.claim_figure import draw, figure_maker
from ssl4eco_training.claim_options import Judging, parser, recipe_of, rules_of
from ssl4eco_training.claim_pair import ARMS, CALENDAR, RANDOM, Pair, open_pair
from ssl4eco_training.comparison import Line, compare
from ssl4eco_training.embed import Pace, embed_dataset, open_source
from ssl4eco_training.encoders import Judged, judged
from ssl4eco_training.errors import TrainingError, told
from ssl4eco_training.imports import load_object
from ssl4eco_training.judge import Score
from ssl4eco_training.recipes import Recipe
from ssl4eco_training.run import WEIGHTS, train
from ssl4eco_training.stopping import exit_status
from ssl4eco_training.tasks import own_task

CONDITIONS = "conditions.json"
_ENOUGH_SEEDS = 10
_PACE = frozenset(
    (
        "dataset", "folder", "seed", "epochs", "device", "threads", "ahead", "log_every", "save_every",
        "keep", "keep_every", "tensorboard", "collapse_bound",
    )
)  # fmt: skip
"""Fields of a recipe that do not decide what comes out, or that a claim sets itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What came out: the lines by the dataset judged on, why tasks could not be judged, the conditions.

    Of a line, runs are seeds: scores are means over them, and its difference to ``CALENDAR`` is paired by
    seed. Intervals are over ``over``.
    """

    lines: Mapping[str, tuple[Line, ...]]
    refused: tuple[str, ...]
    conditions: dict[str, Any]

    @property
    def over(self) -> str:
        """What is drawn again for the intervals."""
        return "seeds and locations" if len(self.conditions["seeds"]) > 1 else "locations, of one seed"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        lines = [{"judged_on": name, **line.as_dict()} for name, each in self.lines.items() for line in each]
        return {
            "conditions": self.conditions,
            "intervals_over": self.over,
            "lines": lines,
            "refused": list(self.refused),
        }


def runs_of(recipe: Recipe, pair: Pair, folder: Path, seeds: int) -> list[tuple[str, Recipe]]:
    """(arm, recipe) of every run, pair by pair: equal but for dataset and folder, and of as many steps.

    The steps are those of the arm that has fewer locations with an image to train on. Raises TrainingError
    when there are none.
    """
    fewest = min(_locations(pair, arm, recipe.split) for arm in ARMS)
    if not fewest:
        raise TrainingError(
            f"the split {recipe.split!r} has no location with an image; choose another --split"
        )
    steps = recipe.steps or math.ceil(recipe.epochs * fewest / recipe.batch)
    made = []
    for seed in range(recipe.seed, recipe.seed + seeds):
        for arm in ARMS:
            own = str(folder / arm / f"seed-{seed}")
            made.append((arm, replace(recipe, steps=steps, dataset=pair.roots[arm], folder=own, seed=seed)))
    return made


def keep_conditions(folder: Path, recipe: Recipe, pair: Pair) -> None:
    """Write into ``folder`` what all its runs have in common.

    Raises TrainingError when what lies there was made under other conditions.
    """
    same = {name: value for name, value in recipe.as_dict().items() if name not in _PACE}
    now = json.loads(json.dumps({**same, **{f"dataset {arm}": pair.fingerprints[arm] for arm in ARMS}}))
    path = folder / CONDITIONS
    if path.exists():
        before = json.loads(path.read_text())
        differ = [name for name in now if before.get(name) != now[name]]
        if differ:
            name = differ[0]
            raise TrainingError(
                f"the runs in {folder} have {name} = {before.get(name)}, asked is {now[name]}: take another "
                "--folder, or remove this one"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(now, indent=1).encode())


def trained(runs: Sequence[tuple[str, Recipe]], console: Console) -> int:
    """Train what is not finished, in order; the signal that stopped it, 0 where all are finished."""
    for number, (arm, recipe) in enumerate(runs, 1):
        about = f"run {number} of {len(runs)}: {arm}, seed {recipe.seed}, {recipe.steps} steps"
        if (Path(recipe.folder) / WEIGHTS).exists():
            console.print(f"{about}: finished before", highlight=False)
            continue
        console.print(about, highlight=False)
        outcome = train(recipe)
        if outcome.signal:
            return outcome.signal
    return 0


def judge_runs(runs: Sequence[tuple[str, Recipe]], pair: Pair, judging: Judging, pace: Pace) -> Claim:
    """All finished runs, and a random encoder per seed, judged on the images of both datasets."""
    encoders: dict[str, list[tuple[int, Judged]]] = {arm: [] for arm in ARMS}
    for arm, recipe in runs:
        make = load_object(recipe.encoder) if ":" in recipe.encoder else None
        encoders[arm].append((recipe.seed, judged(str(Path(recipe.folder) / WEIGHTS), make)))
    lines: dict[str, tuple[Line, ...]] = {}
    refused: list[str] = []
    for arm, root in pair.roots.items():
        tables = {
            name: [embed_dataset(open_source(root, one, judging.split), one, pace) for _, one in each]
            for name, each in encoders.items()
        }
        tables[RANDOM] = [
            random_embeddings(open_source(root, one, judging.split), one, seed, pace)
            for seed, one in encoders[ARMS[0]]
        ]
        tasks = [functools.partial(own_task, name, root) for name in judging.tasks]
        found = compare(tables, tasks, judging.rules)
        refused += [f"{arm}: {why}" for why in found.refused]
        if found.lines:
            lines[arm] = found.lines
    if not lines:
        raise TrainingError("no task can be judged: " + "; ".join(refused))
    conditions = {
        "recipe": {k: v for k, v in runs[0][1].as_dict().items() if k not in ("dataset", "folder", "seed")},
        "seeds": sorted({recipe.seed for _, recipe in runs}),
        **pair.as_dict(),
        **judging.as_dict(),
    }
    return Claim(lines=lines, refused=tuple(refused), conditions=conditions)


def _locations(pair: Pair, arm: str, split: str) -> int:
    counts = pair.locations[arm]
    return counts.get(split, 0) if split else sum(counts.values())


def shown(claim: Claim, judged_on: str) -> Table:
    """The lines of one judged dataset as a table, in percent."""
    table = Table(
        title=f"judged on the {judged_on} images",
        caption="percent; difference: phenological less calendar "
        f"[95% interval over {claim.over}], each seed's",
        box=None,
        pad_edge=False,
    )
    for heading in ("task", "method", "n", "phenol.", "calendar", "random", "difference", "by seed"):
        table.add_column(heading, no_wrap=heading == "difference", justify="right")
    for line in claim.lines[judged_on]:
        means = (_percent(line.scores[arm].value) for arm in (*ARMS, RANDOM))
        difference = line.differences[CALENDAR]
        each = " ".join(f"{100 * value:+.1f}" for value in difference.by_run)
        table.add_row(line.task, line.method, str(line.samples), *means, _interval(difference), each)
    return table


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if math.isfinite(value) else "undefined"


def _interval(one: Score) -> str:
    return f"{_percent(one.value)} [{_percent(one.interval.low)}, {_percent(one.interval.high)}]"


def caption_of(claim: Claim) -> str:
    """One line under the figure: what was trained and judged."""
    given = claim.conditions
    recipe = given["recipe"]
    return (
        f"{recipe['encoder']}, {recipe['objective']} ({recipe['mode']}), {recipe['steps']} steps of "
        f"{recipe['batch']}, seeds {', '.join(map(str, given['seeds']))}; "
        f"{given['protocol']} protocol, split {given['split'] or 'all'}"
    )


def notes_of(claim: Claim) -> list[str]:
    """What a reader must know before believing the lines."""
    notes = [
        f"{name}, {one.task}, {one.method}: {one.note}"
        for name, lines in claim.lines.items()
        for one in lines
        if one.note
    ]
    seeds = len(claim.conditions["seeds"])
    if seeds < _ENOUGH_SEEDS:
        notes.append(
            f"intervals of {seeds} seeds are too narrow, look at the differences by seed (--seeds)"
            if seeds > 1
            else "one seed: the intervals do not say how much another training run would differ (--seeds)"
        )
    return [*notes, *(f"not judged: {why}" for why in claim.refused)]


def run(options: argparse.Namespace, console: Console) -> int:
    """Train, judge, show, draw; the exit status. Raises TrainingError, StoreError and OSError."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError("a claim is made in one process: start it without torchrun")
    figure_maker(options.to)
    recipe, folder = recipe_of(options), options.folder
    rules, pace = rules_of(options)
    pair = open_pair(options.phenological, options.calendar)
    runs = runs_of(recipe, pair, folder, options.seeds)
    keep_conditions(folder, runs[0][1], pair)
    signal = trained(runs, console)
    if signal:
        console.print(f"stopped by signal {signal}; the same command goes on", highlight=False)
        return exit_status(signal)
    claim = judge_runs(runs, pair, rules, pace)
    write_atomic(options.to.with_suffix(".json"), json.dumps(claim.as_dict(), indent=1).encode())
    draw(claim.lines, claim.over, caption_of(claim), options.to)
    for arm in claim.lines:
        console.print(shown(claim, arm))
    for note in notes_of(claim):
        console.print(note, highlight=False, markup=False)
    console.print(f"{options.to}, {options.to.with_suffix('.json')}", highlight=False)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a claim; the exit status."""
    options = parser(__doc__ or "").parse_args(arguments)
    try:
        return run(options, Console())
    except (TrainingError, Ssl4ecoError, OSError) as error:
        print(told(error), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
