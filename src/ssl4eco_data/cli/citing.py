"""The command that says how a dataset is cited."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ssl4eco_data.cli.common import DatasetPath, app, readable


@app.command()
def cite(
    dataset: DatasetPath,
    as_json: Annotated[bool, typer.Option("--json", help="the same as JSON")] = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="the BibTeX entries alone")] = False,
) -> None:
    """The attribution that a dataset's sources and years require, and BibTeX of the works it rests on.

    Example: ssl4eco cite data/alps, or ssl4eco cite data/alps --bibtex > alps.bib
    """
    with readable():
        from ssl4eco_data.catalogue import cite_dataset, describe_citation

        citation = cite_dataset(dataset)
        if as_json:
            typer.echo(json.dumps(citation.document(), indent=1, ensure_ascii=False))
        elif bibtex:
            typer.echo(citation.bibtex(), nl=False)
        else:
            for line in describe_citation(citation):
                typer.echo(line)
