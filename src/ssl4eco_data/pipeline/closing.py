"""The stages ``close`` and ``report``: what depends on all locations, and the dataset's page."""

from __future__ import annotations

from pathlib import Path

from ssl4eco_data.config import Config
from ssl4eco_data.locations import COLUMNS, sampling_weights
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.patches import as_read, layout
from ssl4eco_data.pipeline.stage import Outcome
from ssl4eco_data.report import write_report
from ssl4eco_data.store import Place, write_atomic, write_coordinates, write_table


def close(config: Config, _block: int) -> Outcome:
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


def report(config: Config, _block: int) -> Outcome:
    """Write the dataset's page; it carries times, so no checksum of it is kept."""
    write_page(config)
    return Outcome(files=())


def write_page(config: Config) -> Place:
    """Write the page of the dataset; with the embedded archive, beside its truth."""
    truth = Path(config.simulate.folder) if config.simulate else None
    return write_report(config.root, truth, config.to_toml())
