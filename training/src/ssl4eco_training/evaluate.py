"""Judge an encoder: ``python -m ssl4eco_training.evaluate DATASET --encoder weights.safetensors``.

k-NN and linear probes on frozen embeddings, with bootstrap intervals; beside them a random encoder of the
same architecture (its batch norms calibrated on images that are judged), and with --against the paired
difference to another encoder on the same folds.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl4eco_data.errors import Ssl4ecoError
from ssl4eco_data.store import read_small_arrays
from ssl4eco_training.baseline import random_embeddings
from ssl4eco_training.comparison import Comparison, Line, TaskMaker, compare
from ssl4eco_training.embed import SPLITS, Pace, add_common, embed_dataset, open_source, pace_of, rows_of
from ssl4eco_training.embeddings import Embeddings, read_embeddings
from ssl4eco_training.encoders import WEIGHTS, judged
from ssl4eco_training.errors import TrainingError, told
from ssl4eco_training.folds import BLOCK_KM, BUFFER_KM, Blocks
from ssl4eco_training.identity import dataset_fingerprint
from ssl4eco_training.intervals import DRAWS, LEVEL
from ssl4eco_training.judge import Rules, Score
from ssl4eco_training.metrics import METRICS
from ssl4eco_training.outside import WITHIN_M, LabelTable, outside_task
from ssl4eco_training.probe import ProbeParameters
from ssl4eco_training.tasks import OWN_TASKS, own_task
from ssl4eco_training.weights import describe

DEFAULT_TASKS = ("biome", "ecoregion", "season", "greenup", "latitude")
TABLE = ".parquet"
_WIDTH = 120
"""Columns of a table that goes into a file or another program."""


def tables_of(options: argparse.Namespace, pace: Pace) -> dict[str, Embeddings]:
    """The embeddings of the encoder, of the one it is compared with, and of the random one, by name."""
    split = None if options.split == "all" else options.split
    named = [name for name in (options.encoder, options.against) if name]
    tables: dict[str, Embeddings] = {}
    for name in named:
        if name.endswith(TABLE):
            table = _from_table(name, options.dataset, split)
        else:
            encoder = judged(name)
            source = open_source(options.dataset, encoder, split)
            table = embed_dataset(source, encoder, pace)
            if name == options.encoder and options.random:
                twin = random_embeddings(source, encoder, options.seed, pace)
                tables[twin.model] = twin
        if table.model in tables:
            raise TrainingError(f"--against {name} is the same model, {table.model}")
        tables[table.model] = table
    return dict(sorted(tables.items(), key=lambda item: item[0].startswith("random of ")))


def _from_table(name: str, dataset: str, split: str | None) -> Embeddings:
    """A table's rows of the split; refused when it is of another dataset."""
    table = read_embeddings(name)
    fingerprint = dataset_fingerprint(dataset)
    if table.dataset != fingerprint:
        raise TrainingError(
            f"{name} is of the dataset {table.dataset[:12]}, {dataset} is {fingerprint[:12]}: embed this "
            "dataset, or name "
            "that one"
        )
    arrays = read_small_arrays(dataset, ("location_id", "split"))
    wanted = arrays["location_id"][rows_of(dataset, arrays["split"], split)]
    mine = np.isin(table.location_id, wanted)
    if not mine.any():
        raise TrainingError(
            f"{name} has no embedding of the split {split!r}: choose the --split it was made of"
        )
    return table.take(mine)


def tasks_of(options: argparse.Namespace) -> list[TaskMaker]:
    """The makers of the tasks that the options ask for; raises TrainingError for an unknown name."""
    makers: list[TaskMaker] = []
    asked = [name for name in options.tasks.split(",") if name]
    unknown = [name for name in asked if name not in OWN_TASKS]
    if unknown:
        raise TrainingError(
            f"--tasks {unknown[0]}: there are {', '.join(OWN_TASKS)}; tables come with --table"
        )
    makers += [functools.partial(own_task, name, options.dataset) for name in asked]
    if options.table:
        table = LabelTable(
            path=options.table,
            columns=tuple(name for name in options.labels.split(",") if name),
            kind=options.kind,
            name=options.name,
            metric=options.metric,
            k=options.k,
            within_m=options.within_m,
        )
        makers.append(functools.partial(outside_task, table))
    elif options.labels or options.metric or options.name or options.k:
        raise TrainingError("--labels, --metric, --name and --k belong to a --table, which is not given")
    return makers


def shown(comparison: Comparison, options: argparse.Namespace) -> Table:
    """The scores as a table, in percent."""
    models = dict(zip(comparison.lines[0].scores, ascii_uppercase, strict=False))
    title = [f"{options.protocol} protocol, split {options.split}", *(f"{m}: {n}" for n, m in models.items())]
    table = Table(
        title="\n".join(title),
        caption=f"percent [{LEVEL:.0%} interval over locations]",
        box=None,
        pad_edge=False,
    )
    first, *others = models.values()
    for heading in ("task", "metric", "n", "method", first, *others, *(f"{first} - {m}" for m in others)):
        table.add_column(heading, overflow="fold")
    for line in comparison.lines:
        numbers = [*line.scores.values(), *line.differences.values()]
        table.add_row(line.task, line.metric, str(line.samples), _method(line), *map(_number, numbers))
    return table


def _method(line: Line) -> str:
    return f"{line.method} ({line.k})" if line.method == "k-NN" else line.method


def _number(one: Score) -> str:
    if not np.isfinite(one.value):
        return "not defined"
    return f"{100 * one.value:.1f} [{100 * one.interval.low:.1f}, {100 * one.interval.high:.1f}]"


def _notes(comparison: Comparison) -> list[str]:
    lines = dict.fromkeys(
        f"{line.task}, {line.method}: {line.note}" for line in comparison.lines if line.note
    )
    return [*lines, *(f"not judged: {why}" for why in comparison.refused)]


def seen_before(options: argparse.Namespace) -> list[str]:
    """A line for each exported encoder that was pretrained on images of the split on which it is judged."""
    judged_on = SPLITS.get(options.split, options.split)
    fingerprint, lines = dataset_fingerprint(options.dataset), []
    for name in (options.encoder, options.against):
        if not name or not name.endswith(WEIGHTS):
            continue
        told = describe(name)
        split = told.extra.get("split", "")
        if told.dataset == fingerprint and (judged_on in ("all", split) or not split):
            trained_on = f"locations of the split {split}" if split else "locations"
            lines.append(
                f"{Path(name).stem} was pretrained on {trained_on} that are judged here: without their "
                "labels, but scores at places it never saw may be lower"
            )
    return lines


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m ssl4eco_training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_common(made)
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--encoder", help="*.safetensors, module:function, or a *.parquet of embeddings")
    what.add_argument("--embeddings", dest="encoder", help="a *.parquet of embeddings (embed makes them)")
    made.add_argument("--against", help="another one, for paired differences")
    made.add_argument("--no-random", dest="random", action="store_false", help="no random encoder beside it")
    made.add_argument("--split", default="validation", help="train, validation (default), test or all")
    made.add_argument(
        "--tasks", default=",".join(DEFAULT_TASKS), help="of the dataset (default: %(default)s)"
    )
    made.add_argument("--protocol", choices=("paper", "corrected"), default="corrected")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument(
        "--epochs", type=int, default=ProbeParameters().epochs, help="at most, of a linear probe"
    )
    made.add_argument("--draws", type=int, default=DRAWS, help="of the bootstrap (default %(default)s)")
    made.add_argument(
        "--block-km", type=float, default=BLOCK_KM, help="side of spatial blocks (default %(default)g)"
    )
    made.add_argument(
        "--buffer-km", type=float, default=BUFFER_KM, help="kept from the tested (default %(default)g)"
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    table = made.add_argument_group("a task from a label table (lon, lat or location_id, label columns)")
    table.add_argument("--table", type=Path, help="CSV or Parquet")
    table.add_argument("--labels", default="", help="label columns, parted by commas")
    table.add_argument("--kind", choices=tuple(METRICS), default="single")
    table.add_argument("--name", default="", help="of the task (default: the file's)")
    table.add_argument("--metric", default="", help="default: the usual one of the kind")
    table.add_argument(
        "--k", type=int, default=0, help="neighbours (default: the paper's of this name, else 10)"
    )
    table.add_argument(
        "--within-m", type=float, default=WITHIN_M, help="from label to location (default %(default)g)"
    )
    return made


def rules_of(options: argparse.Namespace, pace: Pace) -> Rules:
    """The rules that the options ask for; raises TrainingError for a value that cannot be meant."""
    if options.epochs < 1 or options.draws < 1 or options.seed < 0:
        raise TrainingError(
            f"--epochs and --draws must be at least 1 and --seed at least 0, got {options.epochs}, "
            f"{options.draws}, "
            f"{options.seed}"
        )
    try:
        blocks = Blocks(block_km=options.block_km, buffer_km=options.buffer_km)
    except ValueError as error:
        raise TrainingError(f"--block-km, --buffer-km: {error}") from error
    return Rules(
        protocol=options.protocol,
        seed=options.seed,
        blocks=blocks,
        probe=ProbeParameters(epochs=options.epochs),
        draws=options.draws,
        device=pace.device,
    )


def run(options: argparse.Namespace) -> None:
    """Judge an encoder and print the scores. Raises TrainingError, StoreError and OSError."""
    tasks, pace = tasks_of(options), pace_of(options)
    rules = rules_of(options, pace)
    tables = tables_of(options, pace)
    comparison = compare({model: [table] for model, table in tables.items()}, tasks, rules)
    if not comparison.lines:
        raise TrainingError("no task can be judged: " + "; ".join(comparison.refused))
    if options.json:
        first = next(iter(tables.values()))
        head = {
            "dataset": first.dataset,
            "split": options.split,
            "protocol": options.protocol,
            "seed": options.seed,
        }
        lines = [line.as_dict() for line in comparison.lines]
        notes = {"refused": comparison.refused, "seen_before": seen_before(options)}
        print(json.dumps({**head, "lines": lines, **notes}, indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(shown(comparison, options))
    for note in (*_notes(comparison), *seen_before(options)):
        console.print(note, highlight=False, markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge an encoder and print the scores; the exit code."""
    options = parser().parse_args(arguments)
    try:
        run(options)
    except (TrainingError, Ssl4ecoError, OSError) as error:
        print(told(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
