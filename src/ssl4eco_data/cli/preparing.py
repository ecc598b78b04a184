"""Commands before a long run: what it takes, what is missing, and the ecoregions."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ssl4eco_data.cli.common import BEFORE, AsJson, ConfigPath, app, out, print_json, readable


@app.command(rich_help_panel=BEFORE)
def plan(
    config: ConfigPath,
    pilot: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="run N locations for real in a temporary place, and measure"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a run would take: requests, bytes, hours, disk.

    Without --pilot the archive is asked nothing.
    Examples: ssl4eco plan alps.toml
    ssl4eco plan alps.toml --pilot 20
    """
    with readable():
        from ssl4eco_data.config import load
        from ssl4eco_data.pipeline import at_version, planning, require_archive
        from ssl4eco_data.pipeline.pilot import run_pilot, show_pilot

        loaded = at_version(load(config))
        require_archive(loaded)
        places = planning.located(loaded)
        estimates = [planning.estimate(loaded, places, judge) for judge in planning.JUDGES]
        if not as_json:
            out.print(planning.show_plan(loaded, estimates), soft_wrap=False)
            out.print(planning.show_assumptions(loaded), soft_wrap=False)
        with redirect_stdout(sys.stderr) if as_json else nullcontext():  # the pilot's bars
            measured = None if pilot is None else run_pilot(loaded, places, pilot)
        if as_json:
            found = measured.document() if measured else None
            print_json({"estimates": estimates, "assumptions": loaded.plan, "pilot": found})
        elif measured:
            assumed = planning.estimate(loaded, places, loaded.scenes.judge, from_nothing=True)
            out.print(show_pilot(loaded, measured, assumed), soft_wrap=False)


@app.command(rich_help_panel=BEFORE)
def doctor(config: ConfigPath, as_json: AsJson = False) -> None:
    """Try what a build needs; each failure has its fix.

    Credentials, archive, write access, disk, versions.
    Example: ssl4eco doctor alps.toml
    """
    with readable():
        from ssl4eco_data.pipeline.doctor import describe_check, examine

        checks = []
        for check in examine(config):
            checks.append(check)
            for line in () if as_json else describe_check(check, out.width):
                out.print(line, markup=False)
        if as_json:
            print_json(checks)
        failed = sum(check.state == "failed" for check in checks)
        if failed:
            print(f"error: {failed} of these must be mended before a build", file=sys.stderr)
            raise typer.Exit(1)


@app.command(name="fetch-layer", rich_help_panel=BEFORE)
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
    """Fetch RESOLVE Ecoregions 2017, the layer of strata.

    It is checked, and recorded at first use.

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
