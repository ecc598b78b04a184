"""A few locations run for real in a temporary place, measured, and what follows for all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ssl4eco_data.archives.earth_engine import EarthEngineParameters
from ssl4eco_data.archives.flow_control import drain
from ssl4eco_data.config import BudgetParameters, Config
from ssl4eco_data.errors import Ssl4ecoError
from ssl4eco_data.locations import LocationParameters, PointSource
from ssl4eco_data.pipeline import costs, tables
from ssl4eco_data.pipeline.attempts import attempt, failure
from ssl4eco_data.pipeline.display import Bar
from ssl4eco_data.pipeline.planning import ASKING, Estimate, count, duration, size
from ssl4eco_data.pipeline.record import Result
from ssl4eco_data.pipeline.run import build
from ssl4eco_data.pipeline.stage import Stage, Work
from ssl4eco_data.store import Mark
from ssl4eco_data.types import FloatArray

DRAWS, SEED = 4000, 0
"""Of the bootstrap over locations."""
COLUMNS = ("requests", "bytes", "seconds", "judged", "patches", "disk_bytes", "eecu_hours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """``measured`` has one row per location and ``COLUMNS``; ``plan`` what it says of keys of ``[plan]``."""

    measured: pd.DataFrame
    plan: dict[str, float]

    def document(self) -> dict[str, Any]:
        """For programs: mean, low and high end of the 95 % interval of one location, by column."""
        means = {name: interval(self.measured[name].to_numpy()) for name in COLUMNS}
        per_location = {n: dict(zip(("mean", "low", "high"), m, strict=True)) for n, m in means.items()}
        return {"locations": len(self.measured), "per_location": per_location, "plan": self.plan}


def run_pilot(config: Config, places: pd.DataFrame, n: int) -> Pilot:
    """Locations spread evenly along the rows, each a block of its own, one after the other.

    Searches and files that the locations of a block would share are counted anew for each, so that the
    figures are rather too high. What is written is removed. Raises what a build raises.
    """
    rows = np.unique(np.linspace(0, len(places) - 1, min(n, len(places))).round().astype(int))
    with tempfile.TemporaryDirectory(prefix="ssl4eco-pilot-") as folder:
        small = _small(config, places.iloc[rows], Path(folder))
        each = [dict.fromkeys(COLUMNS, 0.0) for _ in rows]
        build(small, _measuring(each), until=ASKING[-1])
        candidates = tables.parts(small, tables.CANDIDATES)
        for row in each:
            row["eecu_hours"] = _eecu_hours(small, row)
        found = pd.DataFrame(each)
        return Pilot(measured=found, plan=_learnt(small, found, candidates))


def _small(config: Config, places: pd.DataFrame, folder: Path) -> Config:
    """The configuration of these places alone, in a folder, one location to a block."""
    source = config.locations.source
    fields = list(config.locations.date_fields)
    points = folder / "points.csv"
    places[["location_id", "lon", "lat", *fields]].to_csv(points, index=False, date_format="%Y-%m-%d")
    reach = source.date_window_days if isinstance(source, PointSource) else 0
    own = PointSource(
        points=str(points),
        id_field="location_id",
        date_fields=tuple(fields),
        date_window_days=reach,
        check_order=False,
    )
    alone = {"shard_locations": 1, "block_shards": 1}
    return config.model_copy(
        update={
            "dataset": config.dataset.model_copy(update={"root": str(folder / "dataset")}),
            "locations": LocationParameters(source=own, tiles=config.locations.tiles),
            "store": config.store.model_copy(update=alone),
            "run": config.run.model_copy(update={"workers": 1, "budget": BudgetParameters()}),
        }
    )


def _measuring(each: Sequence[dict[str, float]]) -> Callable[[Config, Stage, Sequence[Work]], list[Result]]:
    """A way to run a stage's blocks one by one that adds what each takes to its row of ``each``."""

    def run_stage(config: Config, stage: Stage, todo: Sequence[Work]) -> list[Result]:
        results = []
        with Bar(f"pilot {stage.title:<9}", len(todo), stage.unit) as bar:
            for work in todo:
                drain()
                start = perf_counter()
                try:
                    result = attempt(config, stage, work)
                except (Ssl4ecoError, OSError) as error:
                    result = failure(work, error)
                results.append(result)
                if result.mark and stage.name in ASKING:
                    _add(each[work.block], result.mark, perf_counter() - start)
                bar.advance(failed=bool(result.error))
        return results

    return run_stage


def _add(row: dict[str, float], mark: Mark, seconds: float) -> None:
    """Count one block's stage; the archive's traffic since it began is taken."""
    traffic = drain().values()
    row["requests"] += sum(server.requests for server in traffic)
    row["bytes"] += sum(server.received_bytes for server in traffic)
    row["seconds"] += seconds
    row["judged"] += mark.counts.get("judged", 0)
    row["patches"] += mark.counts.get("patches", 0)
    row["disk_bytes"] += sum(file.bytes for file in mark.files)


def _eecu_hours(config: Config, row: dict[str, float]) -> float:
    """By the layers that were read, and the assumption of ``[plan]``."""
    alone = costs.Block(locations=1, tiles=1, composite_files=1, composite_blocks=1)
    cost = costs.series_cost(config, alone) + costs.judging_cost(config, row["judged"], 1)
    return costs.eecu_hours(cost + costs.patch_cost(config) * row["patches"], config)


def _learnt(config: Config, found: pd.DataFrame, candidates: pd.DataFrame) -> dict[str, float]:
    """What the pilot says of the assumptions; those of which it says nothing are left out."""
    learnt: dict[str, float] = {}
    n, seasons = len(found), len(config.seasons)
    if len(candidates) and not config.locations.date_fields:
        learnt["images_per_year"] = len(candidates) / n / costs.years(config, "imagery")
    if len(candidates):
        learnt["clear_tile_share"] = float((candidates["verdict"] != "scene_cloudy").mean())
    judged = candidates[candidates["judged"]]
    if len(judged):
        learnt["usable_share"] = float(judged["verdict"].isin(["chosen", "usable"]).mean())
    learnt["served_share"] = float(found["patches"].sum()) / (n * seasons)
    return {name: round(value, 3) for name, value in learnt.items() if value > 0}


def interval(values: FloatArray) -> tuple[float, float, float]:
    """(mean, low, high) of one location: the bootstrap's 95 % interval of the mean over locations."""
    draws = np.random.default_rng(SEED).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def show_pilot(config: Config, pilot: Pilot, estimate: Estimate) -> RenderableType:
    """The pilot's figures for all locations, with intervals, beside those of the assumptions."""
    n, total = len(pilot.measured), estimate.total
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "assumed", "pilot", "95 % interval"):
        table.add_column(name, justify="right" if name else "left")
    seconds_by_rate = estimate.hours * 3600
    rows: list[tuple[str, str, float, Callable[[float], str]]] = [
        ("images judged", "judged", estimate.judged, count),
        ("patches", "patches", estimate.patches, count),
        ("requests", "requests", total.requests, count),
        ("over the network", "bytes", total.bytes, size),
        ("kept on disk", "disk_bytes", estimate.disk_bytes, size),
        ("time, one worker", "seconds", seconds_by_rate, duration),
    ]
    if isinstance(config.archive, EarthEngineParameters):
        rows.append(("EECU-hours", "eecu_hours", costs.eecu_hours(total, config), count))
    for name, column, assumed, form in rows:
        mean, low, high = (estimate.locations * v for v in interval(pilot.measured[column].to_numpy()))
        table.add_row(name, form(assumed), form(mean), f"{form(low)} to {form(high)}")
    head = f"pilot: {n} of {estimate.locations:,} locations, run one by one; scaled to all locations"
    learnt = "\n".join(f"{name} = {value:g}" for name, value in pilot.plan.items())
    note = "what the pilot says of the assumptions, to put into the configuration:"
    return Group(Text(""), Text(head, style="bold"), table, Text(""), Text(note), Text(f"[plan]\n{learnt}"))
