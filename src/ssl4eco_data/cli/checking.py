"""Commands that look for damage in a dataset and mend it."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl4eco_data.cli.common import (
    BUILD,
    LOOK,
    AsJson,
    ConfigPath,
    DatasetPath,
    app,
    out,
    print_json,
    readable,
    wrong_usage,
)

if TYPE_CHECKING:
    from ssl4eco_data.store import Place, Problem

_ASSUMED_DAMAGE = 0.01
"""The share of damaged chunks whose chance to be missed is told."""


@app.command(rich_help_panel=LOOK)
def check(
    dataset: DatasetPath,
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="sizes of all files, content of N chunks at random")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="S", min=0, help="draw the chunks of an earlier --sample again")
    ] = None,
    part: Annotated[
        str, typer.Option(metavar="K/N", help="every Nth block from the Kth; all N parts are the whole")
    ] = "1/1",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="blocks read at a time; one shard of memory each")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read every file back, and name what is wrong.

    Nothing is written.

    Examples: ssl4eco check data/demo
    ssl4eco check s3://bucket/data --sample 1000
    ssl4eco check data/alps --part 2/8
    """
    if sample is not None and part != "1/1":
        wrong_usage("--sample and --part exclude each other: a sample is drawn from the whole")
    if seed is not None and sample is None:
        wrong_usage("--seed is for --sample")
    share = _part(part)
    with readable():
        from ssl4eco_data.store import Ledger, dataset_place
        from ssl4eco_data.store import check as check_dataset
        from ssl4eco_data.store.check import THREADS

        root, workers = dataset_place(dataset), threads or THREADS
        if sample is None:
            problems = check_dataset(root, part=share, threads=workers)
            seen = {"part": part}
            words = "every file is there and reads back right"
            if share[1] > 1:
                words = f"part {part}: " + words
        else:
            problems, seen, words = _sampled(root, sample, seed, workers)
        finished = Ledger(root).read("close", 0) is not None
        if as_json:
            print_json({"dataset": dataset, "checked": seen, "finished": finished, "problems": problems})
        else:
            _print(problems, words, finished)
        if problems or not finished:
            raise typer.Exit(1)


def _part(text: str) -> tuple[int, int]:
    first, _, last = text.partition("/")
    if first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last):
        return int(first), int(last)
    return wrong_usage(f"--part must be K/N with K from 1 to N, got {text}")


def _sampled(
    root: Place, n: int, seed: int | None, threads: int
) -> tuple[list[Problem], dict[str, Any], str]:
    """(problems, what was looked at, the same in words)."""
    from ssl4eco_data.store.check_sample import check_sample

    found = check_sample(root, n, secrets.randbelow(2**32) if seed is None else seed, threads=threads)
    missed = found.missed(_ASSUMED_DAMAGE)
    seen = {"chunks": found.chunks, "of_chunks": found.of_chunks, "share": found.share, "seed": found.seed}
    words = (
        f"sizes of all files and {found.chunks} of {found.of_chunks} chunks ({found.share:.3%}, seed "
        f"{found.seed}) are right; were {_ASSUMED_DAMAGE:.0%} of the chunks damaged, such a sample would "
        f"miss them with a chance of {missed:.2g}"
    )
    return list(found.problems), seen, words


def _print(problems: Sequence[Problem], words: str, finished: bool) -> None:
    for problem in problems:
        out.print(str(problem), markup=False)
    if problems:
        blocks = len({(problem.stage, problem.block) for problem in problems})
        print(
            f"error: {len(problems)} problems in {blocks} blocks; ssl4eco repair CONFIG does these again",
            file=sys.stderr,
        )
    elif not finished:
        print("error: what is there reads back right, but the build is not finished", file=sys.stderr)
    else:
        out.print(words, markup=False)


@app.command(rich_help_panel=BUILD)
def repair(config: ConfigPath) -> None:
    """Do again what a check finds damaged, and nothing else.

    It needs the archive.     With versions: of the one being built and of the served one.
    Example: ssl4eco repair configs/demo.toml
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        loaded = load(config)
        pipeline.prepare_archive(loaded)
        for version, mended in pipeline.repair_versions(loaded, pipeline.run_in_threads).items():
            if version:
                out.print(f"version {version}", markup=False)
            for problem in mended.problems:
                out.print(str(problem), markup=False)
            if not mended.problems:
                out.print("every file is there and reads back right; nothing was done")
                continue
            blocks = ", ".join(f"{stage} {block}" for stage, block in mended.redone)
            out.print(f"done again and right now: {blocks or 'no block'}", markup=False)
