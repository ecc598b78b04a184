"""The command line: ``ssl4eco build CONFIG`` and what looks at a finished dataset.

Exit codes: 0 done, 1 failed with a readable message, 2 wrong usage, 3 paused, 130 interrupted.
Commands that build import the ``build`` extra when called, so that a light installation can read and check.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from ssl4eco_data.errors import PausedError, Ssl4ecoError

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
    except PausedError as pause:
        print(f"paused: {pause}", file=sys.stderr)
        raise typer.Exit(3) from None
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


def _wrong_usage(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(2) from None


def _need_folder(to: Path, option: str = "--to") -> None:
    """Before anything is asked for, so that no work is lost."""
    if not to.absolute().parent.is_dir():
        _wrong_usage(f"{option} {to} lies in no folder that is there")


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
    """Write a commented configuration that works as it is; no file is overwritten.

    Example: ssl4eco init --region alps.gpkg --n 5000 --to alps.toml
    """
    with _readable():
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
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None
        for line in starter.write(wishes):
            out.print(line, markup=False)


@app.command()
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
    """Build or continue a dataset in this process, without Prefect.

    Example: ssl4eco build configs/demo.toml, or ssl4eco build my.toml --until locations
    """
    with _readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.config import load

        loaded = load(config)
        if retry_unreadable:
            out.print(f"{pipeline.forget_unreadable(loaded)} blocks with unreadable files are tried again")
        pipeline.prepare_archive(loaded)
        record = pipeline.build(loaded, pipeline.run_in_threads, until=until)
        if until != "report":
            pipeline.show_sample(loaded)
            out.print(f"page     {pipeline.write_page(loaded)}")
            return
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


@app.command()
def phenology(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", help="configuration that names the archive")
    ] = None,
    archive: Annotated[
        str, typer.Option(metavar="NAME|ADDRESS|FILE", help="without CONFIG: the archive to ask, as for init")
    ] = "planetary-computer",
    at: Annotated[str, typer.Option(metavar="LON,LAT", help="the point, degrees")] = "",
    to: Annotated[Path, typer.Option(metavar="FILE", help="picture to write; replaced if there")] = Path(
        "point.png"
    ),
) -> None:
    """Dates, sigma, windows and curve of one point, from the archive; nothing is built.

    Without CONFIG all defaults and the years 2017 to 2024 are taken. Examples:
    ssl4eco phenology --at 7.95,46.55; ssl4eco phenology alps.toml --at 7.95,46.55 --to point.png
    """
    if to.suffix.lower() != ".png":
        _wrong_usage(f"--to must name a .png file, got {to}")
    _need_folder(to)
    with _readable():
        from ssl4eco_data import pipeline, starter
        from ssl4eco_data.config import load
        from ssl4eco_data.pipeline.point_figure import draw_point

        try:
            lon_deg, lat_deg = pipeline.parse_lonlat(at)
        except ValueError as error:
            _wrong_usage(str(error))
        if config is not None:
            loaded = load(config, with_files=False)
        else:
            try:
                loaded = starter.of_archive(archive)
            except ValueError as error:
                _wrong_usage(str(error))
        pipeline.require_archive(loaded)
        point = pipeline.point_phenology(loaded, lon_deg, lat_deg)
        draw_point(point, to)
        for line in pipeline.describe_point(point):
            out.print(line, markup=False)
        out.print(f"picture  {to}", markup=False)


@app.command()
def validate(
    dataset: DatasetPath,
    observations: Annotated[
        Path,
        typer.Argument(
            metavar="OBSERVATIONS",
            help="CSV: location_id or lon, lat; metric and date, or a column per metric",
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV to write: every observation with its verdict")
    ] = None,
    within_km: Annotated[
        float, typer.Option(metavar="KM", min=0.0, help="furthest location from a point's lon, lat")
    ] = 1.0,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="THEIRS=OURS", help="your name of a column or metric and ours; repeat it"),
    ] = None,
) -> None:
    """Compare a dataset's dates with dates observed in the field: bias, RMSE, coverage of sigma.

    Example: ssl4eco validate data/alps birches.csv --name budburst=greenup --to pairs.csv
    """
    with _readable():
        from ssl4eco_data import pipeline

        try:
            names = pipeline.parse_names(name or [])
        except ValueError as error:
            _wrong_usage(str(error))
        if to is not None:
            _need_folder(to)
            if to.exists():
                _wrong_usage(f"--to {to} is there already; nothing is overwritten")
        located, cycles = pipeline.read_cycles(dataset)
        observed = pipeline.read_field_dates(observations, names)
        validation = pipeline.validate(observed, located, cycles, within_km)
        for line in pipeline.describe_validation(validation):
            out.print(line, markup=False)
        if to is not None:
            pipeline.pairs_table(validation).to_csv(to, index=False, float_format="%.3f")
            out.print(f"pairs    {to}", markup=False)


@app.command()
def explain(
    dataset: DatasetPath,
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="location_id, e.g. 199U_1099R")],
    season: Annotated[str, typer.Option(metavar="NAME", help="this season only")] = "",
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV to write: every candidate, every column")
    ] = None,
) -> None:
    """Every candidate of every season of a location: its scores, and why it was chosen or not.

    Example: ssl4eco explain data/alps 199U_1099R --season summer --csv candidates.csv
    """
    if csv is not None:
        _need_folder(csv, "--csv")
        if csv.exists():
            _wrong_usage(f"--csv {csv} is there already; nothing is overwritten")
    with _readable():
        from ssl4eco_data.pipeline.explanation import explained, show_candidates

        candidates, choices = explained(dataset, location, season)
        out.print(show_candidates(candidates, choices, out.width), soft_wrap=False)
        if csv is not None:
            candidates.to_csv(csv, index=False)
            out.print(f"csv      {csv}", markup=False)


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
    with _readable():
        from ssl4eco_data.config import load
        from ssl4eco_data.pipeline import planning, require_archive

        loaded = load(config)
        places = planning.located(loaded)
        estimates = [planning.estimate(loaded, places, judge) for judge in planning.JUDGES]
        out.print(planning.show_plan(loaded, estimates), soft_wrap=False)
        out.print(planning.show_assumptions(loaded), soft_wrap=False)
        if pilot is not None:
            from ssl4eco_data.pipeline.pilot import run_pilot, show_pilot

            require_archive(loaded)
            measured = run_pilot(loaded, places, pilot)
            assumed = planning.estimate(loaded, places, loaded.scenes.judge, from_nothing=True)
            out.print(show_pilot(loaded, measured, assumed), soft_wrap=False)


@app.command()
def doctor(config: ConfigPath) -> None:
    """Try what a build needs: credentials, archive, write access, disk, versions; each failure has its fix.

    Example: ssl4eco doctor alps.toml
    """
    with _readable():
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
    with _readable():
        from ssl4eco_data import layers
        from ssl4eco_data.config import load

        archive = None if config is None else load(config, with_files=False).archive
        today = datetime.now(UTC).date()
        fetched = layers.fetch(to, layers.source_for(archive, url), today, out)
        for line in layers.describe(fetched, config):
            out.print(line, markup=False)


def main() -> None:
    """Entry point of the ``ssl4eco`` command."""
    app()
