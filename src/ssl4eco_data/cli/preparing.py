"""Commands before a long run: what it takes, what is missing, and the ecoregions."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ssl4eco_data.cli.common import ConfigPath, app, out, readable


@app.command()
def plan(
    config: ConfigPath,
    pilot: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="run N locations for real in a temporary place, and measure"),
    ] = None,
) -> None:
    """What a run would take: requests, bytes, hours, disk; without --pilot the archive is asked nothing.

    Example: ssl4eco plan alps.toml, or ssl4eco plan alps.toml --pilot 20
    """
    with readable():
        from ssl4eco_data.config import load
        from ssl4eco_data.pipeline import at_version, planning, require_archive

        loaded = at_version(load(config))
        require_archive(loaded)
        places = planning.located(loaded)
        estimates = [planning.estimate(loaded, places, judge) for judge in planning.JUDGES]
        out.print(planning.show_plan(loaded, estimates), soft_wrap=False)
        out.print(planning.show_assumptions(loaded), soft_wrap=False)
        if pilot is not None:
            from ssl4eco_data.pipeline.pilot import run_pilot, show_pilot

            measured = run_pilot(loaded, places, pilot)
            assumed = planning.estimate(loaded, places, loaded.scenes.judge, from_nothing=True)
            out.print(show_pilot(loaded, measured, assumed), soft_wrap=False)


@app.command()
def doctor(config: ConfigPath) -> None:
    """Try what a build needs: credentials, archive, write access, disk, versions; each failure has its fix.

    Example: ssl4eco doctor alps.toml
    """
    with readable():
        from ssl4eco_data.pipeline.doctor import describe_check, examine

        failed = 0
        for check in examine(config):
            failed += check.state == "failed"
            for line in describe_check(check, out.width):
                out.print(line, markup=False)
        if failed:
            print(f"error: {failed} of these must be mended before a build", file=sys.stderr)
            raise typer.Exit(1)


@app.command(name="fetch-layer")
def fetch_layer(
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="folder of the layer")] = Path("layers"),
    config: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="with archive.kind = earth_engine it comes from there"),
    ] = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="a copy of the official archive, nearer or reachable")
    ] = None,
) -> None:
    """Fetch RESOLVE Ecoregions 2017, the layer of strata; checked, and recorded at first use.

    Example: ssl4eco fetch-layer --to layers
    """
    with readable():
        from ssl4eco_data import layers
        from ssl4eco_data.config import load

        archive = None if config is None else load(config, with_files=False).archive
        today = datetime.now(UTC).date()
        fetched = layers.fetch(to, layers.source_for(archive, url), today, out)
        for line in layers.describe(fetched, config):
            out.print(line, markup=False)
