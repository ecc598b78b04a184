"""Benchmark of the locations: the grid, land, the join to ecoregions, the choice of cells, splits.

Run ``python -m benchmarks.locations`` in the root of the checkout; ``--help`` lists the options.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Call, Task, main

PACKAGES = ("ssl4eco-data", "numpy", "pandas", "geopandas", "shapely", "scipy", "global-land-mask", "isal")
LAYER = Path("data", "ecoregions", "resolve_ecoregions2017_simplified5pct.gpkg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much each task does."""

    grids_km: tuple[float, ...]
    land_km: tuple[float, ...]
    looked_up: int
    joined: int
    cells: int
    strata: int
    chosen: int


FULL = Sizes(
    grids_km=(100.0, 25.0, 23.0, 10.0),
    land_km=(23.0, 10.0),
    looked_up=1_000_000,
    joined=250_000,
    cells=275_000,
    strata=846,
    chosen=100_000,
)
TINY = Sizes(
    grids_km=(1000.0,), land_km=(1000.0,), looked_up=100, joined=200, cells=2000, strata=20, chosen=300
)


def tasks(tiny: bool) -> list[Task]:
    """All tasks; those that need the shared layer are left out, saying so, when it is absent."""
    sizes = TINY if tiny else FULL
    found = [*_grid_tasks(sizes), *_land_tasks(sizes), *_choice_tasks(sizes)]
    layer = shared() / LAYER
    if layer.exists():
        return [*found, *_join_tasks(sizes, layer, tiny)]
    print(
        f"SHARED DATA ABSENT: {layer} is not there (set SSL4ECO_SHARED); no join is measured", file=sys.stderr
    )
    return found


def shared() -> Path:
    """The folder of real data beside the checkout, or ``SSL4ECO_SHARED``."""
    return Path(os.environ.get("SSL4ECO_SHARED", ROOT.parent / "shared"))


def _call(function: str, **arguments: Any) -> Call:
    return Call(module="benchmarks.location_work", function=function, arguments=arguments)


def _grid_tasks(sizes: Sizes) -> list[Task]:
    ways = {"ours": "grid_ours", "plain loop": "grid_loop", "limit: arange and str": "grid_limit"}
    look_up = {"ours": "look_up_ours", "plain loop": "look_up_loop", "limit: searchsorted": "look_up_limit"}
    return [
        *(
            Task(
                area="grid",
                name=f"corners and names, {km:g} km",
                ways={way: _call(function, spacing_km=km) for way, function in ways.items()},
            )
            for km in sizes.grids_km
        ),
        Task(
            area="grid",
            name=f"cells of {sizes.looked_up:,} points, {sizes.land_km[0]:g} km",
            ways={
                way: _call(function, spacing_km=sizes.land_km[0], count=sizes.looked_up)
                for way, function in look_up.items()
            },
        ),
    ]


def _land_tasks(sizes: Sizes) -> list[Task]:
    return [
        Task(
            area="land",
            name=f"land cells, {km:g} km",
            ways={
                "ours, grid included": _call("land_ours", spacing_km=km),
                "global-land-mask, points given": _call("land_by_package", spacing_km=km),
                "limit: inflate the mask (ISA-L)": _call("inflate", fast=True),
                "inflate the mask (zlib)": _call("inflate", fast=False),
            },
        )
        for km in sizes.land_km
    ]


def _choice_tasks(sizes: Sizes) -> list[Task]:
    size = {"cells": sizes.cells, "strata": sizes.strata, "chosen": sizes.chosen}
    points = {"count": sizes.cells}
    return [
        Task(
            area="choice",
            name=f"{sizes.chosen:,} of {sizes.cells:,} cells in {sizes.strata} strata",
            ways={
                "ours": _call("choose_ours", **size),
                "argmax for every place, random cells": _call("choose_loop", **size),
                "limit: simple random sample": _call("choose_limit", **size),
            },
        ),
        Task(
            area="splits",
            name=f"splits of {sizes.cells:,} points",
            ways={
                "ours": _call("split_ours", buffer_km=0.0, **points),
                "plain loop": _call("split_loop", **points),
            },
        ),
        Task(
            area="splits",
            name=f"splits of {sizes.cells:,} points, 50 km apart",
            ways={
                "ours, from blocks": _call("split_ours", buffer_km=50.0, **points),
                "ours and KD-tree, from points": _call("split_tree", buffer_km=50.0, **points),
            },
        ),
    ]


def _join_tasks(sizes: Sizes, layer: Path, tiny: bool) -> list[Task]:
    join = {"path": str(layer), "count": sizes.joined, "spacing_km": 200.0 if tiny else 23.0}
    return [
        Task(
            area="join",
            name=f"{sizes.joined:,} land points to RESOLVE ecoregions, file read included",
            ways={
                "ours": _call("join_ours", **join),
                "geopandas sjoin and sjoin_nearest": _call("join_geopandas", **join),
                "limit: bounding boxes, layer read before": _call("join_limit", **join),
            },
        ),
        Task(
            area="join",
            name=f"whole table of locations, {sizes.land_km[0]:g} km, with RESOLVE",
            ways={"ours": _call("whole_table", path=str(layer), spacing_km=sizes.land_km[0])},
        ),
    ]


if __name__ == "__main__":
    main(__doc__ or "", PACKAGES, tasks)
