"""The report of a dataset folder: counts and drawings, put into one static page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ssl4eco_data.report import counts, origin, sample
from ssl4eco_data.report.areas import area_chart
from ssl4eco_data.report.biomes import colour_class, looks_of, shape_of
from ssl4eco_data.report.charts import SOURCES, cloud_columns, season_windows, stacked_columns, swatch
from ssl4eco_data.report.curves import read_example, vegetation_curve
from ssl4eco_data.report.dataset import Dataset, open_patches, read_dataset
from ssl4eco_data.report.gallery import gallery
from ssl4eco_data.report.maps import MAX_MARKERS, location_map, split_class
from ssl4eco_data.report.season_maps import season_maps
from ssl4eco_data.report.select import examples, spread
from ssl4eco_data.report.svg import COLOURS, MONTHS, element, marker
from ssl4eco_data.report.times import run_stages, stage_times
from ssl4eco_data.report.truth import compare
from ssl4eco_data.store import bytes_below, write_atomic
from ssl4eco_data.store.objects import Place

MAX_WINDOWS = 60
MAX_EXAMPLES = 16
MAX_RUNS = 20
PACKAGES = ("ssl4eco-data", "numpy", "pandas", "xarray", "zarr", "pyarrow", "scipy", "rasterio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One entry of the list of vegetation curves."""

    location_id: str
    biome: str
    status: str
    drawing: Markup


def write_report(root: Place, archive_truth: Path | None = None, config_text: str = "") -> Place:
    """Path of the page written to ``root/report/index.html``.

    The page is complete in itself (styles, images and script inside) and at most about 10 MB however
    many locations there are: large sets are shown by an even sample, and say so. Parts of the dataset
    that are not there are named on the page. ``archive_truth`` is the folder of an embedded archive whose
    truth the dataset is compared with; ``config_text`` is its configuration, by default the one in ``root``,
    which a dataset has when it is finished. Raises :class:`~ssl4eco_data.errors.StoreError` when ``root`` has
    no ``locations.parquet`` or a file cannot be read.
    """
    page = root / "report" / "index.html"
    write_atomic(page, render(read_dataset(root, config_text), archive_truth).encode())
    return page


def render(data: Dataset, archive_truth: Path | None = None) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("ssl4eco_data.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, words=_words, moment=_moment, size=_size, duration=_duration)
    content = _overview(data) | _sample(data) | _drawings(data) | _records(data)
    return environment.get_template("page.html.j2").render(
        **content,
        gallery=gallery(data),
        truth=compare(data, archive_truth) if archive_truth else None,
        style=_inline("style.css"),
        script=_inline("page.js"),
    )


def _overview(data: Dataset) -> dict[str, Any]:
    """Key numbers and coverage."""
    biome_of_choice = data.choices["row"].map(data.locations["biome"].astype(str)).astype(str)
    found = data.choices[data.choices["found"]]
    reasons = sorted(set(data.choices.loc[~data.choices["found"], "reason"]))
    return {
        "title": data.title,
        "dated": data.dated,
        "begun": len(data.phenology) > 0 or len(data.choices) > 0,
        "locations": len(data.locations),
        "seasons": data.seasons,
        "biomes": data.biomes,
        "biome_counts": data.locations["biome"].value_counts().to_dict(),
        "found": len(found),
        "expected": len(data.choices),
        "years": sorted(counts.acquisitions(data, "year")),
        "bytes": bytes_below(data.root),
        "by_season": counts.coverage(data.choices, data.choices["season"], data.seasons),
        "by_biome": counts.coverage(data.choices, biome_of_choice, data.biomes),
        "season_classes": [f"c{i % COLOURS}" for i in range(len(data.seasons))],
        "reasons": [(r, counts.REASONS.get(r, _words(r))) for r in reasons],
        "sources": data.phenology["source"].value_counts().to_dict() if "source" in data.phenology else {},
    }


def _sample(data: Dataset) -> dict[str, Any]:
    """The map, how the sample was made, and what its strata got."""
    splits = sample.split_counts(data.locations["split"])
    dense = len(data.locations) > MAX_MARKERS
    return {
        "map": location_map(data.locations, data.biomes, [name for name, _ in splits]),
        "dense": dense,
        "biome_markers": [
            swatch(colour_class(look)) if dense else _legend_marker(look, biome)
            for look, biome in zip(looks_of(data.biomes), data.biomes, strict=True)
        ],
        "splits": [(swatch(split_class(name)), name, count) for name, count in splits],
        "made": origin.made(data.config, data.notes),
        "strata": (strata := sample.strata(data)),
        "area_chart": area_chart((*strata.first, *strata.more), _cell_km(data)) if strata else None,
        "weights": sample.weights(data),
    }


def _cell_km(data: Dataset) -> float | None:
    """Spacing of the grid that locations come from, ``None`` where they are points or it is not known."""
    source = data.config.get("locations", {}).get("source", {})
    return float(source["spacing_km"]) if source.get("kind") == "grid" else None


def _drawings(data: Dataset) -> dict[str, Any]:
    """The figures that follow the map."""
    cloud = counts.clouds(data.root, data.choices)
    return {
        "season_swatches": [swatch(f"c{i % COLOURS}") for i in range(len(data.seasons))],
        "cloud_swatches": [swatch(f"k{i}") for i in range(3)],
        "months": stacked_columns(counts.acquisitions(data, "month"), data.seasons, "month"),
        "year_chart": stacked_columns(counts.acquisitions(data, "year"), data.seasons, "year"),
        "windows": _windows(data),
        "season_maps": _season_maps(data),
        "month_swatches": [(swatch(f"m{i}"), month) for i, month in enumerate(MONTHS)],
        "window_marks": SOURCES,
        "curves": _curves(data),
        "clouds": cloud,
        "cloud_chart": cloud_columns(cloud) if cloud else "",
    }


def _windows(data: Dataset) -> Markup | None:
    """Locations evenly over the latitudes; ``None`` where the windows are not there or were not used."""
    rows = _located_windows(data)
    if not len(rows):
        return None
    rows = rows.sort_values(["lat", "location_id"], kind="stable")
    return season_windows(rows.iloc[spread(len(rows), MAX_WINDOWS)], data.seasons)


def _season_maps(data: Dataset) -> list[tuple[str, Markup]]:
    rows = _located_windows(data)
    return season_maps(rows, data.seasons) if len(rows) else []


def _located_windows(data: Dataset) -> pd.DataFrame:
    """Windows with lon and lat; empty where they are not there or were not used."""
    if not len(data.phenology) or not data.seasons or data.dated:
        return pd.DataFrame()
    return data.phenology.merge(data.locations[["location_id", "lon", "lat"]], on="location_id")


def _curves(data: Dataset) -> list[Curve]:
    status = (
        dict(zip(data.phenology["location_id"], data.phenology["status"], strict=True))
        if len(data.phenology)
        else {}
    )
    found = []
    for row in examples(data.locations, data.phenology, data.choices, MAX_EXAMPLES):
        if example := read_example(data, row):
            found.append(
                Curve(
                    location_id=example.name,
                    biome=str(data.locations["biome"].iloc[row]),
                    status=_words(str(status.get(example.name, ""))),
                    drawing=vegetation_curve(example, data.seasons),
                )
            )
    return found


def _records(data: Dataset) -> dict[str, Any]:
    """Times and provenance."""
    group = open_patches(data.root)
    return {
        "stages": stage_times(data),
        "run_count": len(data.runs),
        "last_runs": [
            (str(run.get("started", "")), run_stages(run)) for run in data.runs[: -MAX_RUNS - 1 : -1]
        ],
        "config": data.config_text,
        "versions": [(name, version(name)) for name in PACKAGES],
        "arrays": [
            (name, "\N{MULTIPLICATION SIGN}".join(map(str, array.shape)), str(array.dtype))
            for name, array in (sorted(group.arrays()) if group else ())
            if array.ndim > 2
        ],
    }


def _legend_marker(look: int, biome: str) -> Markup:
    drawn = marker(shape_of(look), 8.0, 8.0, 6.0, biome, colour_class(look))
    return element("svg", drawn, viewBox="0 0 16 16", width=16, height=16, aria_hidden="true")


def _inline(name: str) -> Markup:
    return Markup(files("ssl4eco_data.report").joinpath("templates", name).read_text(encoding="utf-8"))


def _percent(fraction: float | None) -> str:
    return "\N{EN DASH}" if fraction is None or pd.isna(fraction) else f"{fraction:.0%}".replace("%", " %")


def _words(code: str) -> str:
    return code.replace("_", " ")


def _moment(started: str) -> str:
    """An ISO time to the minute."""
    return started[:16].replace("T", " ") or "\N{EN DASH}"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
