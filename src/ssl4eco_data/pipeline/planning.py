"""What a run would take, before anything is asked of the archive.

Names here: a *figure* is one line of the plan, with its value for each way of judging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.config import Config, PlanParameters
from ssl4eco_data.locations import sample_locations
from ssl4eco_data.pipeline import costs, tables
from ssl4eco_data.pipeline.costs import Block, Cost
from ssl4eco_data.pipeline.stage import pending
from ssl4eco_data.pipeline.stages import stage_named
from ssl4eco_data.types import EARTH_RADIUS_KM

Judge = Literal["until_n_clear", "all"]
JUDGES: tuple[Judge, ...] = ("until_n_clear", "all")
ASKING = ("phenology", "scenes", "patches")
"""The stages that ask the archive."""
TILE_KM = 100.0
COMPOSITE_TILE_KM = 1111.95
"""Side of a Sentinel-2 tile without its overlap, and of a MODIS tile (10 degrees of a meridian)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is left to do of a dataset under one way of judging; bytes are decimal."""

    judge: Judge
    locations: int
    blocks: int
    pending: dict[str, int]
    stages: dict[str, Cost]
    searches: float
    judged: float
    patches: float
    disk_bytes: float
    hours: float

    @property
    def total(self) -> Cost:
        """All stages together."""
        return sum(self.stages.values(), Cost())


def located(config: Config) -> pd.DataFrame:
    """The locations: the dataset's own where they are up to date, else sampled here and not written."""
    stage = stage_named("locations")
    done = not pending(config, stage)
    places: pd.DataFrame = (
        tables.locations(config) if done else sample_locations(config.locations, config.patches.size_m).table
    )
    return places


def estimate(config: Config, places: pd.DataFrame, judge: Judge, *, from_nothing: bool = False) -> Estimate:
    """What the blocks still to do, or all, would take with ``judge`` in place of ``scenes.judge``."""
    asked = config.model_copy(update={"scenes": config.scenes.model_copy(update={"judge": judge})})
    blocks = blocks_of(config, places)
    every = list(range(len(blocks)))
    left = {name: every if from_nothing else _left(config, name, every) for name in ASKING}
    shares = {name: _share(blocks, left[name]) for name in ASKING}
    everything = [costs.block_costs(asked, block) for block in blocks]
    stages = {name: sum((everything[i][name] for i in left[name]), Cost()) for name in ASKING}
    total = sum(stages.values(), Cost())
    n = len(places)
    patches = len(config.seasons) * config.plan.served_share * n * shares["patches"]
    kept = patches * costs.patch_bytes(config) * config.plan.stored_share
    series_searches = 0 if isinstance(config.archive, EarthEngineParameters) else len(left["phenology"])
    return Estimate(
        judge=judge,
        locations=n,
        blocks=len(blocks),
        pending={name: len(numbers) for name, numbers in left.items()},
        stages=stages,
        searches=len(left["scenes"]) + series_searches,
        judged=costs.judged_per_location(asked, judge) * n * shares["scenes"],
        patches=patches,
        disk_bytes=kept + 1e3 * config.plan.tables_kb * n * shares["phenology"],
        hours=hours(total, config),
    )


def _left(config: Config, name: str, every: list[int]) -> list[int]:
    """The blocks of a stage that are still to do; all where the stages before it are not done."""
    try:
        return [work.block for work in pending(config, stage_named(name))]
    except (FileNotFoundError, NotADirectoryError):
        return every


def _share(blocks: Sequence[Block], numbers: Sequence[int]) -> float:
    """The share of the locations that lie in these blocks."""
    return sum(blocks[i].locations for i in numbers) / max(sum(b.locations for b in blocks), 1)


def blocks_of(config: Config, places: pd.DataFrame) -> list[Block]:
    """Every block: its locations, and how many tiles, files and internal blocks these lie on, counted.

    Tiles are taken for squares of an equal-area grid, which suffices for a count.
    """
    number = np.arange(len(places)) // config.block_locations
    lon, lat = np.radians(places["lon"].to_numpy()), np.radians(places["lat"].to_numpy())
    x_km, y_km = EARTH_RADIUS_KM * lon * np.cos(lat), EARTH_RADIUS_KM * lat
    inner_km = config.plan.block_px * costs.COMPOSITE_PIXEL_M / 1e3
    counts = zip(
        np.bincount(number).tolist(),
        *(_cells(number, x_km, y_km, side) for side in (TILE_KM, COMPOSITE_TILE_KM, inner_km)),
        strict=True,
    )
    return [
        Block(locations=n, tiles=tiles, composite_files=files, composite_blocks=max(files, inner))
        for n, tiles, files, inner in counts
    ]


def _cells(
    number: npt.NDArray[np.int64], x_km: npt.NDArray[Any], y_km: npt.NDArray[Any], side_km: float
) -> list[int]:
    """How many squares of a grid the locations of each block lie in."""
    cells = np.column_stack([number, np.floor(x_km / side_km), np.floor(y_km / side_km)])
    return np.bincount(np.unique(cells, axis=0)[:, 0].astype(np.int64)).tolist()  # type: ignore[no-any-return]


def hours(cost: Cost, config: Config) -> float:
    """Hours at the rates of ``[plan]``: the slower of bytes and requests."""
    plan = config.plan
    return max(cost.bytes * 8 / (plan.mbit_per_s * 1e6), cost.requests / plan.requests_per_s) / 3600


def show_plan(config: Config, estimates: Sequence[Estimate]) -> RenderableType:
    """The plan for people: one column per way of judging, then every assumption with its value."""
    first = estimates[0]
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("")
    for each in estimates:
        mark = " *" if each.judge == config.scenes.judge else ""
        table.add_column(f"judge = {each.judge}{mark}", justify="right")
    for name, values in _figures(config, estimates):
        table.add_row(name, *values)
    place = f"{first.locations:,} locations in {first.blocks:,} blocks"
    lines = [f"{config.dataset.title}: {place}; nothing was asked of the archive.", _still(first)]
    lines += [_binding(config, estimates), "* scenes.judge of this configuration"]
    return Group(Text(lines[0]), Text(lines[1]), Text(""), table, Text(""), *map(Text, lines[2:]))


def _still(estimate: Estimate) -> str:
    done = {n: estimate.blocks - left for n, left in estimate.pending.items()}
    if not any(done.values()):
        return "A run from nothing would take:"
    parts = ", ".join(f"{name} {count:,} of {estimate.blocks:,} blocks" for name, count in done.items())
    return f"Done already: {parts}. What is left would take:"


def _figures(config: Config, estimates: Sequence[Estimate]) -> list[tuple[str, list[str]]]:
    def line(name: str, value: Any) -> tuple[str, list[str]]:
        return name, [value(each) for each in estimates]

    rows = [
        line("searches", lambda e: count(e.searches)),
        line("images judged", lambda e: count(e.judged)),
        line("patches", lambda e: count(e.patches)),
        line("requests", lambda e: count(e.total.requests)),
        *(line(f"  {name}", lambda e, n=name: count(e.stages[n].requests)) for name in ASKING),
        line("over the network", lambda e: size(e.total.bytes)),
        *(line(f"  {name}", lambda e, n=name: size(e.stages[n].bytes)) for name in ASKING),
        line("kept on disk", lambda e: size(e.disk_bytes)),
        line("time", lambda e: duration(3600 * e.hours)),
    ]
    if isinstance(config.archive, EarthEngineParameters):
        rows.append(line("EECU-hours", lambda e: count(costs.eecu_hours(e.total, config))))
    return rows


def _binding(config: Config, estimates: Sequence[Estimate]) -> str:
    """What the time follows from, and what makes the network's bytes."""
    chosen = next((e for e in estimates if e.judge == config.scenes.judge), estimates[0])
    plan, cost = config.plan, chosen.total
    by_bytes = cost.bytes * 8 / (plan.mbit_per_s * 1e6) > cost.requests / plan.requests_per_s
    rate = f"{plan.mbit_per_s:g} Mbit/s" if by_bytes else f"{plan.requests_per_s:g} requests/s"
    text = f"The time is that of {rate}."
    if isinstance(config.archive, EarthEngineParameters):
        return f"{text} EECU-hours rest on an assumption that is not measured: plan.eecu_s_per_layer."
    met = costs.blocks_per_patch(config)
    return f"{text} A patch meets {met:.1f} internal blocks of {plan.block_px} px, of which it keeps a part."


def show_assumptions(config: Config) -> RenderableType:
    """Every assumption: key, value, what it says; the unused ones too, since they cost a line each."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("key", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning", overflow="fold")
    for name, field in PlanParameters.model_fields.items():
        table.add_row(name, f"{getattr(config.plan, name):g}", str(field.description))
    table.add_row("rounds of judging", f"{costs.JUDGING_ROUNDS:g}", "fixed; until_n_clear, Earth Engine only")
    title = "assumptions: set them in [plan] of the configuration, e.g. images_per_year = 70"
    return Group(Text(""), Text(title, style="bold"), table)


def count(value: float) -> str:
    """A number with separators, three digits of it: these are estimates."""
    if value < 10:
        return f"{value:.3g}"
    if value < 1000:
        return f"{value:.0f}"
    step = 10 ** (len(str(int(value))) - 3)
    return f"{round(value / step) * step:,}"


def size(value: float) -> str:
    """Bytes with three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:,.3g} TB" if value < 1000 else f"{value / 1000:,.3g} PB"


def duration(seconds: float) -> str:
    """Hours, minutes or seconds with three digits."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{count(seconds / length)} {unit}"
    return f"{seconds:.3g} s"
