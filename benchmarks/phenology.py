"""Benchmark of the phenology: dates of a block of pixels, the smoothing alone, threads, the first call.

Run ``python -m benchmarks.phenology`` in the root of the checkout; ``--help`` lists the options.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from benchmarks.measure import Call, Task, main

PACKAGES = ("ssl4eco-data", "numpy", "numba", "xarray", "dask")
PEERS = {"dea_tools": "dea-tools", "whittaker_eilers": "whittaker-eilers"}
"""Modules of other packages that are compared, and what installs them: the dependency group ``benchmark``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many series each task has."""

    dated: int
    smoothed: int
    validated: int
    in_threads: int


FULL = Sizes(dated=20_000, smoothed=20_000, validated=200, in_threads=100_000)
TINY = Sizes(dated=60, smoothed=60, validated=3, in_threads=60)


def tasks(tiny: bool) -> list[Task]:
    """All tasks; ways of packages that are not installed are left out, saying so."""
    sizes = TINY if tiny else FULL
    here = installed(PEERS)
    return [
        *(_dates_task(sizes, per_year, "dea_tools" in here) for per_year in (46, 23)),
        *_smoothing_tasks(sizes, "whittaker_eilers" in here),
        _threads_task(sizes),
        _first_call_task(tiny),
    ]


def installed(packages: Mapping[str, str]) -> set[str]:
    """Those of ``packages`` (module: package) that can be imported; the others are named on stderr."""
    here = {module for module in packages if find_spec(module) is not None}
    for module in packages.keys() - here:
        package = packages[module]
        print(
            f"PACKAGE ABSENT: {package} is not installed (pip install {package}); its ways are not measured",
            file=sys.stderr,
        )
    return here


def _call(function: str, **arguments: Any) -> Call:
    return Call(module="benchmarks.phenology_work", function=function, arguments=arguments)


def _dates_task(sizes: Sizes, per_year: int, with_dea: bool) -> Task:
    size = {"count": sizes.dated, "per_year": per_year}
    ways = {"ours": _call("dates_ours", **size)}
    if with_dea:
        ways["dea-tools xr_phenology, gaps filled before"] = _call("dates_dea_tools", **size)
    ways["limit: copy of the arrays"] = _call("copy_arrays", **size)
    return Task(area="dates", name=f"{sizes.dated:,} series, three years, {per_year} a year", ways=ways)


def _smoothing_tasks(sizes: Sizes, with_whittaker: bool) -> list[Task]:
    one, many = {"count": sizes.smoothed}, {"count": sizes.validated}
    once = {
        "ours": _call("smooth_ours", at_once=False, **one),
        "ours, four series at once": _call("smooth_ours", at_once=True, **one),
    }
    choice = {"ours": _call("choose_ours", **many)}
    if with_whittaker:
        once["whittaker-eilers"] = _call("smooth_whittaker", **one)
        choice["whittaker-eilers"] = _call("choose_whittaker", **many)
    once["limit: copy of the values"] = _call("copy_values", **one)
    return [
        Task(area="smoothing", name=f"{sizes.smoothed:,} series, strength given", ways=once),
        Task(
            area="smoothing",
            name=f"{sizes.validated:,} series, best of four strengths by cross-validation",
            ways=choice,
        ),
    ]


def _threads_task(sizes: Sizes) -> Task:
    ways = {
        f"ours, {threads} thread{'s' * (threads > 1)}": _call(
            "dates_in_threads", count=sizes.in_threads, threads=threads
        )
        for threads in (1, 2)
    }
    return Task(area="threads", name=f"{sizes.in_threads:,} series in Dask, 46 a year", ways=ways)


def _first_call_task(tiny: bool) -> Task:
    series = "smooth_ours(count=1, at_once=False)" if tiny else "dates_ours(count=1, per_year=46)"
    ways = {
        "ours, compiled before": _call("first_call", series=series, compiled_before=True),
        "ours, nothing compiled": _call("first_call", series=series, compiled_before=False),
    }
    return Task(area="first call", name="one series in a new process, imports included", ways=ways)


if __name__ == "__main__":
    main(__doc__ or "", PACKAGES, tasks)
