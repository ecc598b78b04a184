"""What a block asks of an API: one paged search, however many locations it has."""

from __future__ import annotations

import math
from pathlib import Path

from stac_server import serving

from ssl4eco_data import config as configuration
from ssl4eco_data.archives.sources import PAGE_ITEMS
from ssl4eco_data.archives.stac import StacArchive, StacParameters
from ssl4eco_data.locations import locations_of
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.scenes import choose_scenes


def test_a_block_is_searched_once(finished_config: Path, tiny_archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "served"
    folder.mkdir()
    for entry in tiny_archive.iterdir():
        if entry.is_dir() or entry.name == "sentinel-2-l2a.json":
            (folder / entry.name).symlink_to(entry)
    config = configuration.load(finished_config)
    located = locations_of(tables.rows(config, tables.locations(config), 0))
    before = tables.part(config, tables.CANDIDATES, 0).read_bytes()
    with serving(folder) as server:
        server.page_items = 10_000
        choose_scenes(config, StacArchive(StacParameters(imagery=server.url)), 0)
        pages = server.requests["search"]
    candidates = tables.parts(config, tables.CANDIDATES)
    assert len(located) > 1
    assert 1 <= pages <= max(1, math.ceil(candidates["scene_id"].nunique() / PAGE_ITEMS)) + 1
    assert tables.part(config, tables.CANDIDATES, 0).read_bytes() == before
