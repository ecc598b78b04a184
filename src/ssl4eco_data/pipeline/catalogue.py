"""The stage that makes a closed dataset findable: items of its patches, STAC collection, dataset card."""

from __future__ import annotations

import re
import tomllib

import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry

from ssl4eco_data.catalogue.card import CARD_FILE, card, dating
from ssl4eco_data.catalogue.citation import citation_of
from ssl4eco_data.catalogue.collection import collection_document
from ssl4eco_data.catalogue.facts import Facts, Tally
from ssl4eco_data.catalogue.items import COLLECTION_FILE, ITEMS_FILE, ItemWriter, box_of, items_table
from ssl4eco_data.config import Config
from ssl4eco_data.locations import footprint_polygon, locations_of
from ssl4eco_data.pipeline import tables
from ssl4eco_data.pipeline.patches import as_read
from ssl4eco_data.pipeline.stage import Outcome
from ssl4eco_data.report.origin import made
from ssl4eco_data.store import read_table, table_metadata, write_atomic
from ssl4eco_data.store.metadata import to_bytes

_PLATFORM = re.compile(r"^G?S2([A-Z])_")
_ORBIT = re.compile(r"_R(\d{3})(?=_|$)")
"""Relative orbit in the names of ESA's products, which some archives use as ids."""


def write_catalogue(config: Config, _block: int) -> Outcome:
    """Write ``items.parquet``, ``collection.json`` and ``README.md``, one block of locations at a time.

    They follow from the tables alone, so that the same dataset gives the same bytes.
    """
    located = tables.locations(config)
    facts = _facts(config, located)
    resolved = tomllib.loads(config.to_toml())
    citation = citation_of(facts.title, resolved, facts.years)
    collection = collection_document(facts, citation)
    writer = ItemWriter(collection, crossing=facts.crossing)
    for block in tables.blocks(config):
        here = tables.rows(config, located, block)
        writer.add(items_table(_seasons(config, here, block)[0], _outlines(here), collection["id"]))
    notes = table_metadata(config.root / tables.LOCATIONS).get("ssl4eco", {})
    files = {
        ITEMS_FILE: writer.finish(),
        COLLECTION_FILE: to_bytes(collection),
        CARD_FILE: card(facts, citation, [*made(resolved, notes), dating(resolved)]).encode(),
    }
    for file, content in files.items():
        write_atomic(config.root / file, content)
    return Outcome(files=tuple(config.root / file for file in files), counts={"items": facts.n_patches})


def _facts(config: Config, located: pd.DataFrame) -> Facts:
    """Counts and extent: a pass of its own, since the file of items begins with them."""
    tally = Tally()
    for block in tables.blocks(config):
        here = tables.rows(config, located, block)
        boxes = [box_of(outline) for outline in _outlines(here).values()]
        tally.add(*_seasons(config, here, block), boxes)
    return tally.facts(
        located,
        title=config.dataset.title,
        size_m=config.patches.size_m,
        bands=config.patches.bands,
        seasons=config.seasons,
    )


def _outlines(here: pd.DataFrame) -> dict[str, BaseGeometry]:
    """Each location's patch in longitude and latitude, outside rings against the clock (RFC 7946)."""
    located = locations_of(here)
    outlines = shapely.orient_polygons([footprint_polygon(loc.footprint) for loc in located])
    return dict(zip((loc.location_id for loc in located), outlines, strict=True))


def _seasons(config: Config, here: pd.DataFrame, block: int) -> tuple[pd.DataFrame, pd.Series[str]]:
    """(patches of a block with all that is known of them, reasons of its seasons without one)."""
    choices = read_table(tables.part(config, tables.CHOICES, block))
    quality = read_table(tables.part(config, tables.QUALITY, block))
    chosen = _with_granule(config, choices, block)
    seasons = as_read(chosen, quality)
    failed = seasons["failure"].fillna("") != ""
    there = seasons["scene_id"].notna() & ~failed
    missing = seasons["reason"].mask(failed & seasons["scene_id"].notna(), "unreadable")[~there]
    patches = seasons[there].merge(_places(here), on="location_id", how="left")
    scene = patches["scene_id"].astype("str")
    return _ordered(
        patches.assign(
            season_index=patches["season"].map({s: i for i, s in enumerate(config.seasons)}).astype(np.int64),
            platform="sentinel-2" + patches["acquisition"].str.extract(_PLATFORM)[0].str.lower(),
            relative_orbit=pd.to_numeric(scene.str.extract(_ORBIT)[0]).astype("Int64"),
        )
    ), missing


def _with_granule(config: Config, choices: pd.DataFrame, block: int) -> pd.DataFrame:
    """The choices with datatake, tile and sun of the chosen scene."""
    keys = ["location_id", "season", "scene_id"]
    columns = [*keys, "acquisition", "tile", "sun_elevation_deg"]
    candidates = read_table(tables.part(config, tables.CANDIDATES, block))
    known = candidates.loc[candidates["verdict"] == "chosen", columns].drop_duplicates(keys)
    merged = choices.merge(known, on=keys, how="left")
    return merged.assign(tile=merged["tile"].mask(merged["tile"] == ""))


def _places(here: pd.DataFrame) -> pd.DataFrame:
    """What the items say of a location; ``location_index`` is its row in the whole table."""
    columns = ["location_id", "epsg", "west", "north", "size", "ecoregion", "biome", "realm", "split"]
    return pd.DataFrame(here[columns]).assign(location_index=here.index.to_numpy())


def _ordered(patches: pd.DataFrame) -> pd.DataFrame:
    return patches.sort_values(["location_index", "season_index"], ignore_index=True)
