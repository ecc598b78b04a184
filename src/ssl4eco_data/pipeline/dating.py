"""The stages ``phenology`` and ``windows``: dates of a block's locations, and windows for those without."""

from __future__ import annotations

from ssl4eco_data.config import Config
from ssl4eco_data.locations import locations_of
from ssl4eco_data.phenology import fill_windows, summarise
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.pipeline.dates import dated_pixels
from ssl4eco_data.pipeline.stage import Outcome
from ssl4eco_data.store import write_dataset_block, write_table


def derive(config: Config, block: int) -> Outcome:
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


def fill(config: Config, _block: int) -> Outcome:
    """Give season windows to the locations without a cycle of their own."""
    located = tables.locations(config)
    windows = tables.parts(config, tables.WINDOWS)
    filled = fill_windows(windows, located["lon"].to_numpy(), located["lat"].to_numpy(), config.phenology)
    path = config.root / tables.PHENOLOGY
    write_table(path, filled)
    counts = {str(name): int(n) for name, n in filled["source"].value_counts().sort_index().items()}
    return Outcome(files=(path,), counts=counts)
