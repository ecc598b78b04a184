"""The command line: ``ssl4eco build CONFIG`` and what looks at a finished dataset.

Exit codes: 0 done, 1 failed with a readable message, 2 wrong usage, 3 paused (budget), 130 interrupted.
Commands that build import the ``build`` extra when called, so that a light installation can read and check.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from ssl4eco_data.cli import building, checking, citing, datasets, exporting, preparing, transcoding, versions
from ssl4eco_data.cli.common import app, out

__all__ = [
    "app",
    "building",
    "checking",
    "citing",
    "datasets",
    "exporting",
    "main",
    "preparing",
    "transcoding",
    "versions",
]


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


def main() -> None:
    """Entry point of the ``ssl4eco`` command."""
    app()
