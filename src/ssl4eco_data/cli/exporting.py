"""``ssl4eco export``: part of a dataset as files for other programs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ssl4eco_data.cli.common import PASS_ON, DatasetPath, app, out, readable, wrong_usage

Repeated = "; repeat it for several"


@app.command(rich_help_panel=PASS_ON)
def export(
    dataset: DatasetPath,
    to: Annotated[str, typer.Argument(metavar="TO", help="folder or address to write to, new or empty")],
    form: Annotated[
        Literal["cog", "major-tom"], typer.Option("--format", help="GeoTIFFs with a CSV, or Parquet")
    ] = "cog",
    location: Annotated[
        list[str] | None, typer.Option(metavar="LOCATION", help="these locations only" + Repeated)
    ] = None,
    ecoregion: Annotated[list[str] | None, typer.Option(metavar="NAME", help="of these" + Repeated)] = None,
    biome: Annotated[list[str] | None, typer.Option(metavar="NAME", help="of these" + Repeated)] = None,
    realm: Annotated[list[str] | None, typer.Option(metavar="NAME", help="of these" + Repeated)] = None,
    split: Annotated[list[str] | None, typer.Option(metavar="NAME", help="of these" + Repeated)] = None,
    season: Annotated[list[str] | None, typer.Option(metavar="NAME", help="these" + Repeated)] = None,
    box: Annotated[
        str,
        typer.Option(metavar="W,S,E,N", help="locations whose centre lies in it, degrees; W > E crosses 180"),
    ] = "",
    bands: Annotated[
        str, typer.Option(metavar="B04,B08,...", help="these bands, in this order; SCL is the mask")
    ] = "",
    native: Annotated[
        bool, typer.Option("--native", help="a GeoTIFF per resolution as stored, not one stack at 10 m")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="the first N of the locations chosen")
    ] = None,
) -> None:
    """Write patches as GeoTIFFs with a CSV, or as Parquet.

    GeoTIFFs for R and QGIS, Parquet in the layout of Major TOM. Broken off, the same command goes on.
    Examples: ssl4eco export data/alps alps_summer --season summer --box 6,45,8,47
    ssl4eco export data/alps alps_mt --format major-tom --split train
    """
    with readable():
        from ssl4eco_data.pipeline import Bar
        from ssl4eco_data.pipeline import export as exporting
        from ssl4eco_data.store import dataset_place, open_dataset, place_of, select

        root = dataset_place(dataset)
        opened = open_dataset(root)
        try:
            chosen = select(
                opened,
                location=location,
                ecoregion=ecoregion,
                biome=biome,
                realm=realm,
                split=split,
                season=season,
                box=_box(box),
            ).isel(location=slice(limit))
            options = exporting.ExportOptions(format=form, bands=_names(bands), native=native)
            job = exporting.plan_export(root, chosen, place_of(to), options)
        except ValueError as error:
            wrong_usage(str(error))
        with Bar("export", job.manifest["patches"], "patches") as bar:
            done = exporting.export(job, bar.advance)
        there = f", {done.kept} were there" if done.kept else ""
        out.print(f"patches  {done.patches}: {done.written} files written{there}")
        out.print(f"table    {done.table}", markup=False)


def _box(text: str) -> tuple[float, float, float, float] | None:
    if not text:
        return None
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--box must be W,S,E,N in degrees, e.g. 6,45,8,47, got {text!r}") from None
    return west, south, east, north


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()
