"""The stages, from locations to the closed dataset, each joining pure functions to IO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ssl4eco_data.archives import Archive
from ssl4eco_data.archives.earth_engine import EarthEngineArchive, EarthEngineParameters
from ssl4eco_data.archives.own import OwnParameters, archive_class
from ssl4eco_data.archives.stac import StacArchive
from ssl4eco_data.config import Config
from ssl4eco_data.errors import ConfigError, StoreError
from ssl4eco_data.locations import COLUMNS, PointSource, locations_of, sample_locations, sampling_weights
from ssl4eco_data.phenology import fill_windows, summarise
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.catalogue import write_catalogue
from ssl4eco_data.pipeline.dates import dated_pixels
from ssl4eco_data.pipeline.judged import remembering
from ssl4eco_data.pipeline.patches import as_read, cut_patches, layout
from ssl4eco_data.pipeline.reuse import base_of
from ssl4eco_data.pipeline.scenes import choose_scenes
from ssl4eco_data.pipeline.stage import CLOSING, Outcome, Stage, is_valid
from ssl4eco_data.redaction import redact_logs
from ssl4eco_data.report import write_report
from ssl4eco_data.store import (
    Ledger,
    Place,
    check_block,
    create,
    forget,
    read_table,
    sha256,
    stored_locations,
    write_atomic,
    write_coordinates,
    write_dataset_block,
    write_geo_table,
    write_table,
)


def open_archive(config: Config) -> Archive:
    """The archive with this process's share of its limits; it connects when first asked."""
    redact_logs()
    archive = config.archive.share(config.processes)
    if isinstance(archive, EarthEngineParameters):
        return EarthEngineArchive(archive)
    if isinstance(archive, OwnParameters):
        own: Archive = archive_class(archive.kind)(archive)
        return own
    return StacArchive(archive)


def _once(_config: Config) -> Sequence[int]:
    return (0,)


def _locate(config: Config, _block: int) -> Outcome:
    """Sample the locations and place their patches; a sample that grows keeps the rows it had."""
    sample = sample_locations(config.locations, config.patches.size_m, known=tables.known_ids(config))
    _refuse_fewer(config, len(sample.table))
    counts = dict(sample.counts)
    if fields := list(config.locations.date_fields):
        counts["dates_outside_imagery"] = _outside_imagery(config, sample.table)
        counts["dates_missing"] = int(sample.table[fields].isna().to_numpy().sum())
    path, strata = config.root / tables.LOCATIONS, config.root / tables.STRATA
    write_geo_table(path, sample.table, {"ssl4eco": {"counts": counts, **_land(config)}})
    write_table(strata, sample.strata)
    return Outcome(files=(path, strata), counts={"locations": len(sample.table), **counts})


def _refuse_fewer(config: Config, locations: int) -> None:
    """Before anything is overwritten: the arrays of a dataset cannot shrink."""
    there = stored_locations(config.root / tables.PATCHES)
    if there is not None and locations < there:
        raise StoreError(
            f"{config.root} holds {there} locations and the sample has only {locations}: choose another "
            "dataset.root for the smaller sample; nothing was changed"
        )


def _land(config: Config) -> dict[str, Any]:
    """What was taken for land, by name: where the files lie does not decide the data."""
    source = config.locations.source
    if isinstance(source, PointSource):
        return {}
    named = {"land": source.land, "water": source.water, "region": source.region}
    names = {key: Path(place).name for key, place in named.items() if place}
    return {**names, "min_lat_deg": source.min_lat_deg}


def _outside_imagery(config: Config, located: pd.DataFrame) -> int:
    """Dates that the points brought with no day of their window in the imagery's period."""
    reach = pd.Timedelta(days=_window_days(config) or 0)
    start, end = map(pd.Timestamp, config.period.imagery)
    dates = located[list(config.locations.date_fields)].melt()["value"].dropna()
    outside = ((dates + reach < start) | (dates - reach >= end)).to_numpy(bool)
    if len(dates) == 0 or outside.all():
        raise ConfigError(
            f"none of the {len(dates)} dates of the points lies in the imagery's period, {start:%Y-%m-%d} to "
            f"{end:%Y-%m-%d}: widen period.imagery_start and period.imagery_end"
        )
    return int(outside.sum())


def _derive(config: Config, block: int) -> Outcome:
    """Dates of every pixel around a block's locations, and each location's summary of them."""
    located = locations_of(tables.rows(config, tables.locations(config), block))
    series, pixels = dated_pixels(config, open_archive(config), located)
    unreadable = series.attrs.get("unreadable", [])
    pixels = pixels.assign_attrs(unreadable=unreadable)
    summary = summarise(pixels, series, config.phenology)
    files = list(write_dataset_block(config.root / tables.PIXELS / f"{block:05d}", pixels))
    for table, frame in (
        (tables.WINDOWS, summary.windows),
        (tables.CYCLES, summary.cycles),
        (tables.SERIES, summary.series),
    ):
        path = tables.part(config, table, block)
        write_table(path, frame)
        files.append(path)
    with_cycle = int(summary.windows["status"].isin(["ok", "low_confidence"]).sum())
    counts = {"locations": len(located), "with_cycle": with_cycle, "unreadable": len(unreadable)}
    return Outcome(files=tuple(files), counts=counts)


def _fill(config: Config, _block: int) -> Outcome:
    """Give season windows to the locations without a cycle of their own."""
    located = tables.locations(config)
    windows = tables.parts(config, tables.WINDOWS)
    filled = fill_windows(windows, located["lon"].to_numpy(), located["lat"].to_numpy(), config.phenology)
    path = config.root / tables.PHENOLOGY
    write_table(path, filled)
    counts = {str(name): int(n) for name, n in filled["source"].value_counts().sort_index().items()}
    return Outcome(files=(path,), counts=counts)


def _choose(config: Config, block: int) -> Outcome:
    """Judge the candidates of a block on their patches and choose one scene per season."""
    basis = (_judged(config), stage_named("scenes").version)
    with remembering(open_archive(config), config.root, block, *basis) as archive:
        return choose_scenes(config, archive, block)


def _lay_out(config: Config, _block: int) -> Outcome:
    """Write the metadata of the patch arrays, which all blocks share."""
    return Outcome(files=tuple(create(config.root / tables.PATCHES, layout(config))))


def _cut(config: Config, block: int) -> Outcome:
    """Read the chosen scenes of a block and write its shards."""
    base = base_of(config)
    if base and not is_valid(base, stage_named("patches"), block):
        base = None
    return cut_patches(config, open_archive(config), block, base)


def _check(config: Config, block: int) -> Outcome:
    """Read a block's shards back: every chunk decodes, and exactly the chosen seasons are there."""
    if problems := check_block(config.root, block):
        forget(config.root, problems)
        raise StoreError("; ".join(map(str, problems)) + "; the same command redoes this block")
    return Outcome(files=())


def _close(config: Config, _block: int) -> Outcome:
    """Write what depends on all locations: coordinates, labels, the configuration."""
    located, quality = tables.locations(config), tables.parts(config, tables.QUALITY)
    weights = sampling_weights(located, quality[quality["failure"] == ""], config.weights)
    files = write_coordinates(
        config.root / tables.PATCHES,
        layout(config),
        locations=located[list(COLUMNS)].assign(weight=weights["weight"]),
        phenology=tables.phenology(config),
        choices=as_read(tables.parts(config, tables.CHOICES), quality),
    )
    write_table(config.root / tables.WEIGHTS, weights)
    path = config.root / "config.toml"
    write_atomic(path, config.to_toml().encode())
    return Outcome(files=(*files, config.root / tables.WEIGHTS, path))


def _report(config: Config, _block: int) -> Outcome:
    """Write the dataset's page; it carries times, so no checksum of it is kept."""
    write_page(config)
    return Outcome(files=())


def write_page(config: Config) -> Place:
    """Write the page of the dataset; with the embedded archive, beside its truth."""
    truth = Path(config.simulate.folder) if config.simulate else None
    return write_report(config.root, truth, config.to_toml())


def _written(*sections: str) -> Callable[[Config], Any]:
    """The parameters of these sections, as the user wrote them."""
    return lambda config: [config.written(section) for section in sections]


def _archive(config: Config, fields: Sequence[str]) -> Any:
    """What of the archive decides the data; time-outs, retries and credentials do not.

    With the embedded archive that is its parameters too, wherever it was written.
    """
    written = config.written("archive")
    earth = config.written("simulate")["earth"] if config.simulate else None
    return [{name: written.get(name) for name in fields}, earth]


def _judged(config: Config) -> list[Any]:
    """What of the archive decides the candidates and their scores."""
    return [_archive(config, config.archive.JUDGED), _catalogue(config, "imagery")]


def _sticky(config: Config) -> list[Any]:
    """How scenes that are served already are kept; nothing of it without versions."""
    rule = config.versions
    return [rule.sticky_margin_days, rule.sticky_margin_cloud] if rule.enabled else []


def _catalogue(config: Config, kind: Literal["imagery", "vegetation"]) -> Any:
    """What lies where the archive's scenes, or its vegetation series, are listed."""
    archive = config.archive
    if isinstance(archive, OwnParameters):
        return [_own_content(place) for place in archive.files()]
    return _content((archive.vegetation if kind == "vegetation" else None) or archive.imagery)


def _own_content(place: str) -> Any:
    """The checksum of a file of the user's own archive; names and sizes of a folder, which may be large."""
    path = Path(place)
    if not path.is_dir():
        return _content(place)
    return [(str(p.relative_to(path)), p.stat().st_size) for p in sorted(path.rglob("*")) if p.is_file()]


def _content(place: str) -> Any:
    """The checksums of a file on disk and of what belongs to it; what only a service knows has none.

    A shapefile is several files of one name, a file geodatabase a folder.
    """
    if not place:
        return None
    path = Path(place)
    if path.suffix.lower() == ".shp":
        return [(p.suffix, sha256(p)) for p in sorted(path.parent.glob(f"{path.stem}.*")) if p.is_file()]
    if path.is_dir():
        return [(p.name, sha256(p)) for p in sorted(path.iterdir()) if p.is_file()]
    return sha256(path) if path.is_file() else None


def _layers(config: Config) -> Any:
    """The checksums of the files that the locations come from."""
    source, parameters = config.locations.source, config.locations
    files = (
        (source.points,) if isinstance(source, PointSource) else (source.region, source.land, source.water)
    )
    return [_content(place) for place in (*files, parameters.strata, parameters.tiles) if place]


def _done(config: Config, stage: str, block: int) -> Any:
    """The checksums of what an earlier stage left for a block."""
    mark = Ledger(config.root).read(stage, block)
    if mark is None:
        raise FileNotFoundError(f"stage {stage} has not done block {block} of {config.root} yet")
    return [(f.path, f.sha256) for f in mark.files]


def _all_done(config: Config, stage: str) -> Any:
    return [_done(config, stage, block) for block in tables.blocks(config)]


def _located(config: Config, block: int) -> Any:
    columns = ["location_id", "lon", "lat", "epsg", "west", "north"]
    return tables.rows(config, tables.locations(config), block)[columns]


def _dates(config: Config, block: int) -> Any:
    """The dates that a block's points brought."""
    fields = list(config.locations.date_fields)
    return [tables.rows(config, tables.locations(config), block)[fields], _window_days(config)]


def _window_days(config: Config) -> int | None:
    source = config.locations.source
    return source.date_window_days if isinstance(source, PointSource) and source.date_fields else None


def _chosen(config: Config, block: int) -> Any:
    """Patches depend on where and on which scene, not on why it was chosen."""
    choices = read_table(tables.part(config, tables.CHOICES, block))
    return [_located(config, block), choices[["location_id", "season", "scene_id"]]]


STAGES: tuple[Stage, ...] = (
    Stage(
        name="locations",
        served=True,
        version=1,
        title="locations",
        unit="steps",
        parameters=lambda c: [c.written("locations"), c.patches.size_px, _layers(c)],
        blocks=_once,
        inputs=lambda _c, _b: None,
        run=_locate,
    ),
    Stage(
        name="phenology",
        version=2,
        title="phenology",
        unit="blocks",
        parameters=lambda c: [
            c.written("phenology"),
            c.period.vegetation,
            _archive(c, c.archive.series_fields()),
            _catalogue(c, "vegetation"),
        ],
        blocks=tables.blocks,
        inputs=_located,
        run=_derive,
    ),
    Stage(
        name="windows",
        version=1,
        title="windows",
        unit="steps",
        parameters=_written("phenology"),
        blocks=_once,
        inputs=lambda c, _b: [_all_done(c, "phenology"), _done(c, "locations", 0)],
        run=_fill,
    ),
    Stage(
        name="scenes",
        version=2,
        title="scenes",
        unit="blocks",
        parameters=lambda c: [
            c.written("scenes"),
            c.period.imagery,
            *_judged(c),
            _content(c.scenes.images or ""),
            *_sticky(c),
        ],
        blocks=tables.blocks,
        inputs=lambda c, b: [
            _located(c, b),
            _dates(c, b),
            tables.rows(c, tables.phenology(c), b),
            _done(c, "phenology", b),
        ],
        run=_choose,
    ),
    Stage(
        name="layout",
        served=True,
        version=1,
        title="layout",
        unit="steps",
        parameters=lambda c: [c.written("patches"), c.written("store"), c.dataset.title, c.seasons],
        blocks=_once,
        inputs=lambda c, _b: len(tables.locations(c)),
        run=_lay_out,
    ),
    Stage(
        name="patches",
        served=True,
        version=1,
        title="patches",
        unit="blocks",
        parameters=lambda c: [
            c.written("patches"),
            c.written("store"),
            c.min_seasons,
            c.seasons,
            _archive(c, c.archive.IMAGERY),
        ],
        blocks=tables.blocks,
        inputs=_chosen,
        run=_cut,
    ),
    Stage(
        name="check",
        version=1,
        title="check",
        unit="blocks",
        parameters=lambda _c: None,
        blocks=tables.blocks,
        inputs=lambda c, b: [_done(c, "scenes", b), _done(c, "patches", b)],
        run=_check,
    ),
    Stage(
        name=CLOSING,
        version=1,
        title="close",
        unit="steps",
        parameters=lambda c: [c.to_toml(), _content(c.weights.mountains or "")],
        blocks=_once,
        inputs=lambda c, _b: [
            [_done(c, once, 0) for once in ("locations", "windows", "layout")],
            [_all_done(c, each) for each in ("scenes", "patches")],
        ],
        run=_close,
    ),
    Stage(
        name="catalogue",
        version=1,
        title="catalogue",
        unit="steps",
        parameters=lambda _c: None,
        blocks=_once,
        inputs=lambda c, _b: _done(c, CLOSING, 0),
        run=write_catalogue,
    ),
    Stage(
        name="report",
        version=1,
        title="report",
        unit="steps",
        parameters=lambda _c: None,
        blocks=_once,
        inputs=lambda c, _b: _done(c, "close", 0),
        run=_report,
        leaves=("report/index.html",),
    ),
)


def stage_named(name: str) -> Stage:
    """The stage of this name."""
    return {stage.name: stage for stage in STAGES}[name]
