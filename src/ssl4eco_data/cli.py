"""The command line: ``ssl4eco build CONFIG`` and what looks at a finished dataset.

Exit codes: 0 done, 1 failed with a readable message, 2 wrong usage, 130 interrupted.
Commands that build import the ``build`` extra when called, so that a light installation can read and check.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ssl4eco_data.errors import Ssl4ecoError

app = typer.Typer(
    name="ssl4eco",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="configuration file, e.g. configs/demo.toml")
]
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="folder of a dataset")]
out = Console(highlight=False, soft_wrap=True)


@contextmanager
def _readable() -> Iterator[None]:
    """Errors of ours, and a missing extra, become one message and exit code 1."""
    try:
        yield
    except Ssl4ecoError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ssl4eco_data"):
            raise
        print(f"error: this command needs {error.name}: pip install 'ssl4eco-data[build]'", file=sys.stderr)
        raise typer.Exit(1) from None
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted; what is done is kept, the same command continues", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # running blocks are not waited for: a block counts when its mark is written, last


def _version(asked: bool) -> None:
    if asked:
        out.print(f"ssl4eco {version('ssl4eco-data')}")
        raise typer.Exit


@app.callback()
def options(
    _asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Build and read Sentinel-2 datasets dated by vegetation phenology."""


@app.command()
def build(
    config: ConfigPath,
    retry_unreadable: Annotated[
        bool, typer.Option("--retry-unreadable", help="try again what could not be read before")
    ] = False,
) -> None:
    """Build or continue a dataset in this process, without Prefect.

    Example: ssl4eco build configs/demo.toml
    """
    with _readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        loaded = load(config)
        if retry_unreadable:
            out.print(f"{pipeline.forget_unreadable(loaded)} blocks with unreadable files are tried again")
        pipeline.prepare_archive(loaded)
        record = pipeline.build(loaded, pipeline.run_in_threads)
        pipeline.summarise_dataset(loaded, record).show()


@app.command()
def status(config: ConfigPath) -> None:
    """What is done and what is pending, stage by stage.

    Example: ssl4eco status configs/demo.toml
    """
    with _readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        for line in pipeline.status(load(config)):
            out.print(line)


@app.command()
def report(config: ConfigPath) -> None:
    """Write the page of a finished dataset again.

    Example: ssl4eco report configs/demo.toml
    """
    with _readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        loaded = load(config)
        out.print(f"page     {pipeline.write_page(loaded)}")


@app.command()
def info(dataset: DatasetPath) -> None:
    """What a dataset holds: dimensions, bands, counts, coordinates.

    Example: ssl4eco info data/demo
    """
    with _readable():
        from ssl4eco_data.store import describe_dataset

        for name, value in describe_dataset(dataset):
            out.print(f"{name:<14} {value}")


@app.command()
def check(dataset: DatasetPath) -> None:
    """Read every file of a dataset back; what is damaged is named and will be redone by the next build.

    Example: ssl4eco check data/demo
    """
    with _readable():
        from ssl4eco_data.store import Ledger, forget
        from ssl4eco_data.store import check as check_dataset

        problems = check_dataset(dataset)
        for problem in problems:
            out.print(str(problem))
        if problems:
            blocks = len(forget(dataset, problems))
            print(
                f"error: {len(problems)} problems; their {blocks} blocks are no longer marked as done: "
                "build again to redo them",
                file=sys.stderr,
            )
            raise typer.Exit(1)
        if Ledger(dataset).read("close", 0) is None:
            print("error: what is there reads back right, but the build is not finished", file=sys.stderr)
            raise typer.Exit(1)
        out.print("every file is there and reads back right")


def main() -> None:
    """Entry point of the ``ssl4eco`` command."""
    app()
