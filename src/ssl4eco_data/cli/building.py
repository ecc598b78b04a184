"""Commands that write a configuration, build from it and say how far it is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ssl4eco_data.cli.common import (
    BEFORE,
    BUILD,
    AsJson,
    ConfigPath,
    app,
    out,
    print_json,
    readable,
    wrong_usage,
)


@app.command(rich_help_panel=BEFORE)
def init(
    region: Annotated[
        str | None, typer.Option(metavar="FILE", help="polygon file; the whole world without")
    ] = None,
    n: Annotated[
        int | None, typer.Option(metavar="N", help="locations to sample; every cell without")
    ] = None,
    points: Annotated[
        str | None, typer.Option(metavar="FILE", help="your own places (lon, lat) instead of a grid")
    ] = None,
    strata: Annotated[
        str | None, typer.Option(metavar="FILE", help="polygon file of ecoregions to sample by")
    ] = None,
    strata_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="its field of strata, where it is not ECO_NAME")
    ] = None,
    archive: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="planetary-computer, earth-search, earth-engine, a STAC API's URL or a file"
        ),
    ] = "planetary-computer",
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Cloud project of earth-engine")] = None,
    start: Annotated[
        datetime,
        typer.Option(
            metavar="DATE", formats=["%Y-%m-%d"], help="first day of the scenes", show_default="2017-01-01"
        ),
    ] = datetime(2017, 1, 1),
    end: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE", formats=["%Y-%m-%d"], help="day after the last one; this year's first without"
        ),
    ] = None,
    to: Annotated[Path, typer.Option(metavar="FILE", help="file to write")] = Path("ssl4eco.toml"),
) -> None:
    """Write a commented configuration that works as it is.

    No file is overwritten.

    Example: ssl4eco init --region alps.gpkg --n 5000 --to alps.toml
    """
    with readable():
        from ssl4eco_data import starter

        last = datetime(datetime.now(UTC).year, 1, 1) if end is None else end
        try:
            wishes = starter.Wishes(
                to=to,
                start=start.date(),
                end=last.date(),
                archive=archive,
                project=project,
                region=region,
                n=n,
                points=points,
                strata=strata,
                strata_field=strata_field,
            )
        except ValueError as error:
            wrong_usage(str(error))
        for line in starter.write(wishes):
            out.print(line, markup=False)


@app.command(rich_help_panel=BUILD)
def build(
    config: ConfigPath,
    retry_unreadable: Annotated[
        bool, typer.Option("--retry-unreadable", help="try again what could not be read before")
    ] = False,
    until: Annotated[
        str,
        typer.Option(metavar="STAGE", help="stop after this stage, e.g. locations, and show what it made"),
    ] = "report",
) -> None:
    """Build or continue a dataset in this process.

    The same bytes as with Prefect (python -m flows.dataset CONFIG), without it.

    Examples: ssl4eco build configs/demo.toml
    ssl4eco build my.toml --until locations
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        loaded = load(config)
        pipeline.prepare_archive(loaded)
        built = pipeline.build_version(
            loaded, pipeline.run_in_threads, until=until, retry_unreadable=retry_unreadable
        )
        if until != "report":
            pipeline.show_sample(built.config)
            out.print(f"page     {pipeline.write_page(built.config)}")
        else:
            pipeline.summarise_dataset(built.config, built.record).show()
        for line in built.lines:
            out.print(line, markup=False)


@app.command(rich_help_panel=BUILD)
def status(config: ConfigPath, as_json: AsJson = False) -> None:
    """What is done and what is pending, stage by stage, and how fast.

    Rates and failures are those of the newest run. The same from the dataset alone: ssl4eco info.
    Example: ssl4eco status configs/demo.toml
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load
        from ssl4eco_data.store import progress

        loaded = pipeline.at_version(load(config))
        states, run = list(pipeline.status(loaded)), progress(loaded.root)
        if as_json:
            told = run.document() if run else None
            print_json({"version": loaded.version or None, "stages": states, "run": told})
            return
        if loaded.version:
            out.print(f"version      {loaded.version}")
        for state in states:
            out.print(f"{state.name:<12} {state}")
        for name, value in run.lines() if run else ():
            out.print(f"{name:<12} {value}", markup=False)


@app.command(rich_help_panel=BUILD)
def report(config: ConfigPath) -> None:
    """Write the page of a finished dataset again.

    Example: ssl4eco report configs/demo.toml
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        loaded = pipeline.at_version(load(config))
        out.print(f"page     {pipeline.write_page(loaded)}")
