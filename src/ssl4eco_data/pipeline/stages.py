"""The stages, from locations to the closed dataset: their order, what each depends on, and what runs."""

from __future__ import annotations

from collections.abc import Sequence

from ssl4eco_data.config import Config
from ssl4eco_data.errors import StoreError
from ssl4eco_data.pipeline import basis, tables
from ssl4eco_data.pipeline.archive import open_archive
from ssl4eco_data.pipeline.catalogue import write_catalogue
from ssl4eco_data.pipeline.closing import close, report
from ssl4eco_data.pipeline.dating import derive, fill
from ssl4eco_data.pipeline.judged import remembering
from ssl4eco_data.pipeline.locating import locate
from ssl4eco_data.pipeline.patches import cut_patches, layout
from ssl4eco_data.pipeline.reuse import base_of
from ssl4eco_data.pipeline.scenes import choose_scenes
from ssl4eco_data.pipeline.stage import CLOSING, Outcome, Stage, is_valid
from ssl4eco_data.store import check_block, create, forget


def _once(_config: Config) -> Sequence[int]:
    return (0,)


def _choose(config: Config, block: int) -> Outcome:
    """Judge the candidates of a block on their patches and choose one scene per season."""
    depends = basis.judged(config), stage_named("scenes").version
    with remembering(open_archive(config), config.root, block, *depends) as archive:
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


STAGES: tuple[Stage, ...] = (
    Stage(
        name="locations",
        served=True,
        version=1,
        title="locations",
        unit="steps",
        parameters=lambda c: [c.written("locations"), c.patches.size_px, basis.of_layers(c)],
        blocks=_once,
        inputs=lambda _c, _b: None,
        run=locate,
    ),
    Stage(
        name="phenology",
        version=2,
        title="phenology",
        unit="blocks",
        parameters=lambda c: [
            c.written("phenology"),
            c.period.vegetation,
            basis.of_archive(c, c.archive.series_fields()),
            basis.of_catalogue(c, "vegetation"),
        ],
        blocks=tables.blocks,
        inputs=basis.located,
        run=derive,
    ),
    Stage(
        name="windows",
        version=1,
        title="windows",
        unit="steps",
        parameters=basis.written("phenology"),
        blocks=_once,
        inputs=lambda c, _b: [basis.all_done(c, "phenology"), basis.done(c, "locations", 0)],
        run=fill,
    ),
    Stage(
        name="scenes",
        version=2,
        title="scenes",
        unit="blocks",
        parameters=lambda c: [
            c.written("scenes"),
            c.period.imagery,
            *basis.judged(c),
            basis.content(c.scenes.images or ""),
            *basis.sticky(c),
        ],
        blocks=tables.blocks,
        inputs=lambda c, b: [
            basis.located(c, b),
            basis.of_dates(c, b),
            tables.rows(c, tables.phenology(c), b),
            basis.done(c, "phenology", b),
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
            basis.of_archive(c, c.archive.IMAGERY),
        ],
        blocks=tables.blocks,
        inputs=basis.chosen,
        run=_cut,
    ),
    Stage(
        name="check",
        version=1,
        title="check",
        unit="blocks",
        parameters=lambda _c: None,
        blocks=tables.blocks,
        inputs=lambda c, b: [basis.done(c, "scenes", b), basis.done(c, "patches", b)],
        run=_check,
    ),
    Stage(
        name=CLOSING,
        version=2,
        title="close",
        unit="steps",
        parameters=lambda c: [c.to_toml(), basis.content(c.weights.mountains or "")],
        blocks=_once,
        inputs=lambda c, _b: [
            [basis.done(c, once, 0) for once in ("locations", "windows", "layout")],
            [basis.all_done(c, each) for each in ("scenes", "patches")],
        ],
        run=close,
    ),
    Stage(
        name="catalogue",
        version=1,
        title="catalogue",
        unit="steps",
        parameters=lambda _c: None,
        blocks=_once,
        inputs=lambda c, _b: basis.done(c, CLOSING, 0),
        run=write_catalogue,
    ),
    Stage(
        name="report",
        version=1,
        title="report",
        unit="steps",
        parameters=lambda _c: None,
        blocks=_once,
        inputs=lambda c, _b: basis.done(c, "close", 0),
        run=report,
        leaves=("report/index.html",),
    ),
)


def stage_named(name: str) -> Stage:
    """The stage of this name."""
    return {stage.name: stage for stage in STAGES}[name]
