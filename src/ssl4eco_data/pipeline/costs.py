"""What work costs an archive: requests, bytes, compute; pure arithmetic over ``[plan]``.

A window of ``w`` pixels on a file with internal blocks of ``b`` pixels meets ``(1 + (w - 1) / b)`` rows of
blocks on average over all its positions, and as many columns; each row of blocks is one range request, and
opening the file is one more. The twelve bands and the mask of a 2,560 m patch meet 17 blocks of 1,024 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.archives.earth_engine_product import BANDS as PRODUCT_BANDS
from ssl4eco_data.archives.stac import StacParameters
from ssl4eco_data.bands import BANDS
from ssl4eco_data.config import Config, PlanParameters
from ssl4eco_data.types import YEAR_DAYS, size_60m_px

COMPOSITES_PER_YEAR = 23
LAYERS_PER_COMPOSITE = 3
"""Vegetation index, day and quality."""
COMPOSITE_PIXEL_M, PRODUCT_PIXEL_M = 231.656, 463.313
SERIES_YEARS_PER_REQUEST = 14
IMAGES_PER_PAGE = 250
IDS_PER_REQUEST, EARTH_ENGINE_IDS_PER_REQUEST = 100, 1000
SCENES_PER_REQUEST = 100
"""Scenes that Earth Engine judges at once."""
JUDGING_ROUNDS = 2.0
"""Rounds of ``until_n_clear`` on average, each of one request to Earth Engine."""
HISTOGRAM_BYTES = 60_000
"""What Earth Engine answers for a clear scene: the counts of some 4 000 different values of blue and haze."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests, bytes over the network, and layers (bands of images) that the service reads."""

    requests: float = 0.0
    bytes: float = 0.0
    layers: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.requests + other.requests, self.bytes + other.bytes, self.layers + other.layers)

    def __mul__(self, times: float) -> Cost:
        return Cost(self.requests * times, self.bytes * times, self.layers * times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What of a block decides its cost: how many locations, and over how much of the archive they lie.

    ``tiles`` are Sentinel-2 tiles, ``composite_files`` and ``composite_blocks`` the files of one MODIS
    composite and layer and their internal blocks.
    """

    locations: float
    tiles: float
    composite_files: float
    composite_blocks: float


Kind = Literal["imagery", "vegetation"]


def years(config: Config, kind: Kind) -> float:
    """Length of a period in years."""
    start, end = config.period.imagery if kind == "imagery" else config.period.vegetation
    return (end - start).days / YEAR_DAYS


def window_px(config: Config, band: str) -> int:
    """Side of a band's window of a patch."""
    pixel_m = BANDS[band].pixel_m
    return size_60m_px(config.patches.size_m) if pixel_m == 60 else round(config.patches.size_m / pixel_m)


def blocks_met(side_px: float, plan: PlanParameters) -> float:
    """Internal blocks under a square window, averaged over its positions."""
    return (1 + (side_px - 1) / plan.block_px) ** 2


def blocks_per_patch(config: Config) -> float:
    """Internal blocks under all bands and the mask of one patch."""
    return sum(blocks_met(window_px(config, b), config.plan) for b in (*config.patches.bands, "SCL"))


def patch_bytes(config: Config) -> float:
    """Bytes of the pixels of one patch, mask included (one byte a pixel)."""
    return sum(window_px(config, b) ** 2 * (1 if b == "SCL" else 2) for b in (*config.patches.bands, "SCL"))


def window_cost(config: Config, band: str) -> Cost:
    """One band of one image inside one patch."""
    side, plan = window_px(config, band), config.plan
    if isinstance(config.archive, EarthEngineParameters):
        return Cost(0, 2 * side**2, 1)  # several bands share a request
    share = plan.mask_share if band == "SCL" else 2 * plan.block_share
    fetched = blocks_met(side, plan) * plan.block_px**2 * share
    return Cost(1 + math.sqrt(blocks_met(side, plan)), fetched + 1e3 * plan.header_kb)


def patch_cost(config: Config) -> Cost:
    """One patch, all bands and the mask."""
    bands = (*config.patches.bands, "SCL")
    cost = sum((window_cost(config, band) for band in bands), Cost())
    if isinstance(config.archive, EarthEngineParameters):
        return cost + Cost(requests=len({BANDS[band].pixel_m for band in bands}))
    return cost


def judging_cost(config: Config, judged: float, locations: float) -> Cost:
    """Masks of ``judged`` images, and blue and red of the usable ones; Earth Engine counts its score too."""
    colours = window_cost(config, "B02") + window_cost(config, "B04")
    each = window_cost(config, "SCL") + colours * config.plan.usable_share
    rounds = 1.0 if config.scenes.judge == "all" else JUDGING_ROUNDS
    if isinstance(config.archive, EarthEngineParameters):
        layers = 1 + 2 * config.plan.usable_share + bool(config.archive.cloud_score)
        answer = HISTOGRAM_BYTES * config.plan.usable_share
        requests = max(rounds, math.ceil(judged / max(locations, 1) / SCENES_PER_REQUEST))
        return Cost(requests * locations, answer * judged, layers * judged)
    return each * judged


def images_of_place(config: Config, kind: Kind = "imagery") -> float:
    """Images of one place in a period."""
    return config.plan.images_per_year * years(config, kind)


def judged_per_location(config: Config, judge: str) -> float:
    """Images judged at one location under a policy (``until_n_clear`` or ``all``)."""
    plan, source = config.plan, config.locations.source
    if config.scenes.policy == "list":
        return len(config.seasons)
    share = (2 * source.date_window_days + 1) / YEAR_DAYS if source.kind == "points" else 0.0
    per_season = (
        plan.images_per_year * share
        if config.locations.date_fields
        else images_of_place(config) / len(config.seasons)
    ) * plan.clear_tile_share
    if judge == "until_n_clear":
        per_season = min(per_season, config.scenes.n_clear / plan.usable_share)
    return len(config.seasons) * per_season


def search_cost(config: Config, images: float) -> Cost:
    """One search that lists so many images."""
    if isinstance(config.archive, EarthEngineParameters):
        return Cost(1, 1e3 * config.plan.item_kb * images)
    if isinstance(config.archive, StacParameters) and not config.archive.imagery.startswith(
        ("http://", "https://")
    ):
        return Cost()
    return Cost(max(1, math.ceil(images / IMAGES_PER_PAGE)), 1e3 * config.plan.item_kb * images)


def series_cost(config: Config, block: Block) -> Cost:
    """The vegetation series of a block."""
    plan, span = config.plan, years(config, "vegetation")
    layers = COMPOSITES_PER_YEAR * LAYERS_PER_COMPOSITE * span
    if config.phenology.source == "mcd12q2":
        bands = len(PRODUCT_BANDS) * math.ceil(span)
        return (
            Cost(1, 2 * bands * (config.patches.size_m / PRODUCT_PIXEL_M + 2) ** 2, bands) * block.locations
        )
    if isinstance(config.archive, EarthEngineParameters):
        side = config.patches.size_m / COMPOSITE_PIXEL_M + 2
        requests = math.ceil(span / SERIES_YEARS_PER_REQUEST)
        return Cost(requests, 2 * layers * side**2, layers) * block.locations
    if isinstance(config.archive, StacParameters) and config.archive.vegetation is None:
        images = images_of_place(config, "vegetation")
        each = sum((window_cost(config, band) for band in ("B04", "B08", "SCL")), Cost())
        return search_cost(config, images * block.tiles) + each * (images * block.locations)
    fetched = plan.block_px**2 * 2 * plan.block_share
    opened = Cost(1, 1e3 * plan.header_kb) * block.composite_files
    search = search_cost(config, COMPOSITES_PER_YEAR * span * block.composite_files)
    return search + (opened + Cost(1, fetched) * block.composite_blocks) * layers


def block_costs(config: Config, block: Block) -> Mapping[str, Cost]:
    """What the stages that ask the archive take for one block, under the configuration's policy."""
    judged = judged_per_location(config, config.scenes.judge) * block.locations
    patches = len(config.seasons) * config.plan.served_share * block.locations
    return {
        "phenology": series_cost(config, block),
        "scenes": _searching(config, block) + judging_cost(config, judged, block.locations),
        "patches": patch_cost(config) * patches + listing_cost(config, patches),
    }


def _searching(config: Config, block: Block) -> Cost:
    """The candidates of a block: one search; those of a list by id, or where ids differ by their days."""
    if config.scenes.policy != "list":
        return search_cost(config, images_of_place(config) * block.tiles)
    listed = len(config.seasons) * block.locations
    if isinstance(config.archive, EarthEngineParameters):
        return listing_cost(config, listed)
    return listing_cost(config, listed) + search_cost(config, 1) * listed


def listing_cost(config: Config, patches: float) -> Cost:
    """The chosen images of a block, asked for by id."""
    of_earth_engine = isinstance(config.archive, EarthEngineParameters)
    ids = EARTH_ENGINE_IDS_PER_REQUEST if of_earth_engine else IDS_PER_REQUEST
    pages = math.ceil(patches / ids)
    one = search_cost(config, 1)
    return Cost(one.requests * pages, one.bytes * patches)


def eecu_hours(cost: Cost, config: Config) -> float:
    """Earth Engine's compute; zero elsewhere."""
    of_earth_engine = isinstance(config.archive, EarthEngineParameters)
    return cost.layers * config.plan.eecu_s_per_layer / 3600 if of_earth_engine else 0.0
