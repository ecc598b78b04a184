"""The command that says how a dataset is cited."""

from __future__ import annotations

from typing import Annotated

import typer

from ssl4eco_data.cli.common import PASS_ON, AsJson, DatasetPath, app, print_json, readable


@app.command(rich_help_panel=PASS_ON)
def cite(
    dataset: DatasetPath,
    as_json: AsJson = False,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="the BibTeX entries alone")] = False,
) -> None:
    """The attribution that a dataset needs, and BibTeX.

    What its sources and years require, and the works it rests on.

    Examples: ssl4eco cite data/alps
    ssl4eco cite data/alps --bibtex > alps.bib
    """
    with readable():
        from ssl4eco_data.catalogue import cite_dataset, describe_citation

        citation = cite_dataset(dataset)
        if as_json:
            print_json(citation.document())
        elif bibtex:
            typer.echo(citation.bibtex(), nl=False)
        else:
            for line in describe_citation(citation):
                typer.echo(line)
