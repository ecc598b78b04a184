"""Commands that look at a dataset, or at one point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl4eco_data.cli.common import (
    LOOK,
    AsJson,
    DatasetPath,
    app,
    need_folder,
    out,
    print_json,
    readable,
    wrong_usage,
)


@app.command(rich_help_panel=LOOK)
def info(dataset: DatasetPath, as_json: AsJson = False) -> None:
    """What a dataset holds, and how far its build is.

    Dimensions, bands, counts, coordinates. Of a dataset, or its next version, that is being built: the stage
    at work, blocks done and left, rates, failures by kind.
    Example: ssl4eco info data/demo
    """
    with readable():
        from ssl4eco_data.errors import StoreError
        from ssl4eco_data.store import describe_dataset, under_way

        run = under_way(dataset)
        try:
            facts = list(describe_dataset(dataset))
        except StoreError:
            if run is None:
                raise
            facts = []
        if as_json:
            print_json({"dataset": dict(facts) or None, "run": run.document() if run else None})
            return
        for name, value in [*facts, *(run.lines() if run else ())]:
            out.print(f"{name:<14} {value}", markup=False)


@app.command(rich_help_panel=LOOK)
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
    """Dates, season windows and curve of one point.

    From the archive, with sigma; nothing is built. Without CONFIG all defaults and the years 2017 to 2024
    are taken.
    Examples: ssl4eco phenology --at 7.95,46.55
    ssl4eco phenology alps.toml --at 7.95,46.55 --to point.png
    """
    if to.suffix.lower() != ".png":
        wrong_usage(f"--to must name a .png file, got {to}")
    need_folder(to)
    with readable():
        from ssl4eco_data import pipeline, starter
        from ssl4eco_data.config import load
        from ssl4eco_data.pipeline.point_figure import draw_point

        try:
            lon_deg, lat_deg = pipeline.parse_lonlat(at)
        except ValueError as error:
            wrong_usage(str(error))
        if config is not None:
            loaded = load(config, with_files=False)
        else:
            try:
                loaded = starter.of_archive(archive)
            except ValueError as error:
                wrong_usage(str(error))
        pipeline.require_archive(loaded)
        point = pipeline.point_phenology(loaded, lon_deg, lat_deg)
        draw_point(point, to)
        for line in pipeline.describe_point(point):
            out.print(line, markup=False)
        out.print(f"picture  {to}", markup=False)


@app.command(rich_help_panel=LOOK)
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
    """Compare a dataset's dates with dates from the field.

    Bias, RMSE, median absolute error, coverage of sigma.

    Example: ssl4eco validate data/alps birches.csv --name budburst=greenup --to pairs.csv
    """
    with readable():
        from ssl4eco_data import pipeline
        from ssl4eco_data.store import dataset_place

        try:
            names = pipeline.parse_names(name or [])
        except ValueError as error:
            wrong_usage(str(error))
        if to is not None:
            need_folder(to)
            if to.exists():
                wrong_usage(f"--to {to} is there already; nothing is overwritten")
        located, cycles = pipeline.read_cycles(dataset_place(dataset))
        observed = pipeline.read_field_dates(observations, names)
        validation = pipeline.validate(observed, located, cycles, within_km)
        for line in pipeline.describe_validation(validation):
            out.print(line, markup=False)
        if to is not None:
            pipeline.pairs_table(validation).to_csv(to, index=False, float_format="%.3f")
            out.print(f"pairs    {to}", markup=False)


@app.command(rich_help_panel=LOOK)
def explain(
    dataset: DatasetPath,
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="location_id, e.g. 199U_1099R")],
    season: Annotated[str, typer.Option(metavar="NAME", help="this season only")] = "",
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV to write: every candidate, every column")
    ] = None,
) -> None:
    """Every candidate scene of a location, and why (not) chosen.

    By season, with its scores.

    Example: ssl4eco explain data/alps 199U_1099R --season summer --csv candidates.csv
    """
    if csv is not None:
        need_folder(csv, "--csv")
        if csv.exists():
            wrong_usage(f"--csv {csv} is there already; nothing is overwritten")
    with readable():
        from ssl4eco_data.pipeline.explanation import explained, show_candidates
        from ssl4eco_data.store import dataset_place

        candidates, choices = explained(dataset_place(dataset), location, season)
        out.print(show_candidates(candidates, choices, out.width), soft_wrap=False)
        if csv is not None:
            candidates.to_csv(csv, index=False)
            out.print(f"csv      {csv}", markup=False)


@app.command(rich_help_panel=LOOK)
def preview(
    dataset: DatasetPath,
    location: Annotated[str, typer.Argument(metavar="LOCATION", help="location_id, e.g. 199U_1099R")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="picture to write; replaced if there")] = Path(
        "preview.png"
    ),
) -> None:
    """Picture of a location: its seasons, their dates on its curve.

    True colour above, infrared below; the curve is that of the vegetation index.

    Example: ssl4eco preview data/demo 199U_1099R --to preview.png
    """
    if to.suffix.lower() != ".png":
        wrong_usage(f"--to must name a .png file, got {to}")
    need_folder(to)
    with readable():
        from ssl4eco_data.report.preview import write_preview
        from ssl4eco_data.store import dataset_place

        write_preview(dataset_place(dataset), location, to)
        out.print(f"picture  {to}", markup=False)
