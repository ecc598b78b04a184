"""When satellites pass over a site, what they meet, and how each pass is processed."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.regions import Dialect
from ssl4eco_data.simulate.sites import Site
from ssl4eco_data.simulate.sky import LOCAL_HOUR, Sun, cloudy_share, sun_position
from ssl4eco_data.simulate.winter import days_since_epoch, plan_winters, rng_of

MIN_SUN_DEG = 4.0
BASELINE_04 = dt.date(2022, 1, 25)
"""From this day on the processing baseline is 04.00 or later: DN carry +1000."""
SIDE_ORBIT_EVERY = 5
SclError = Literal["", "missed_cloud", "false_cloud"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One overpass. ``swath_edge`` is where the swath ends as a share of the canvas width, or nothing.

    Where it ends, the ground to the east (``swath_side`` +1) or west (-1) of the edge was not seen.
    ``coverage`` is the share of the sky under cloud. ``added_dn`` is what processing added to every DN.
    """

    number: int
    time: dt.datetime
    platform: Literal["A", "B"]
    orbit: int
    sun: Sun
    coverage: float
    thin: bool
    cloud_height_m: float
    swath_edge: float | None
    swath_side: int
    haze: float
    baseline: str
    added_dn: int
    scl_error: SclError = ""

    @property
    def day(self) -> int:
        """Days since 1970-01-01."""
        return days_since_epoch(self.time.date())


def plan_passes(parameters: SimulationParameters, site: Site) -> tuple[Pass, ...]:
    """All passes over a site in time order, none while the sun is too low; some get a wrong mask."""
    phase = int(rng_of(parameters.seed, site.number, 1).integers(0, parameters.revisit_days))
    span = (parameters.imagery_end - parameters.imagery_start).days
    planned = []
    for number, offset in enumerate(range(phase, span, parameters.revisit_days)):
        on_side = number % SIDE_ORBIT_EVERY == SIDE_ORBIT_EVERY - 1
        day = parameters.imagery_start + dt.timedelta(days=offset + (3 if on_side else 0))
        if day < parameters.imagery_end:
            planned.append(_plan_pass(parameters, site, number, day, on_side))
    lit = [p for p in planned if p.sun.elevation_deg >= MIN_SUN_DEG]
    return _with_wrong_masks(parameters, site, lit)


def _plan_pass(
    parameters: SimulationParameters, site: Site, number: int, day: dt.date, on_side: bool
) -> Pass:
    rng = rng_of(parameters.seed, site.number, 2, number)
    sun = sun_position(site.lat_deg, day)
    seconds = (LOCAL_HOUR - site.lon_deg / 15) * 3600 + site.number % 60
    orbit = 1 + (site.number * 37 + (14 if on_side else 0)) % 143
    return Pass(
        number=number,
        time=dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC) + dt.timedelta(seconds=int(seconds)),
        platform="B" if (site.number + on_side) % 2 else "A",
        orbit=orbit,
        sun=sun,
        coverage=_coverage(rng, cloudy_share(site.region.clouds, day, parameters.cloudiness)),
        thin=bool(rng.random() < 0.22),
        cloud_height_m=float(rng.uniform(500, 1800)),
        swath_edge=float(rng.uniform(0.35, 0.75)) if on_side else None,
        swath_side=1 if site.number % 2 else -1,
        haze=float(rng.uniform(0, 0.012)),
        baseline=_baseline(site.region.dialect, day),
        added_dn=added_dn(site.region.dialect, day),
    )


def _coverage(rng: np.random.Generator, cloudy: float) -> float:
    """Share of the sky under cloud: none, some or nearly all."""
    if rng.random() > cloudy:
        return float(rng.choice([0.0, 0.0, 0.02]))
    return float(rng.beta(1.3, 0.7))


def _baseline(dialect: Dialect, day: dt.date) -> str:
    if dialect == "collection_1":
        return "05.00"
    return "03.00" if day < BASELINE_04 else "04.00"


def added_dn(dialect: Dialect, day: dt.date) -> int:
    """What is added to every DN in the files: Earth Search's first collection has it removed again."""
    if dialect == "earth_search" or (dialect == "planetary_computer" and day < BASELINE_04):
        return 0
    return 1000


def _with_wrong_masks(parameters: SimulationParameters, site: Site, passes: list[Pass]) -> tuple[Pass, ...]:
    """Make some full, snow-free, sunlit passes cloudy but called clear, and some clear but called cloudy."""
    winters = plan_winters(parameters, site)
    full = [
        i
        for i, p in enumerate(passes)
        if p.swath_edge is None and p.sun.elevation_deg > 20 and winters.depth(p.day) < 0.02
    ]
    wanted = parameters.missed_clouds_per_site + parameters.false_clouds_per_site
    if len(full) < wanted:
        raise ValueError(
            f"{site.region.name} has {len(full)} snow-free passes in full light, too few for {wanted} wrong "
            "masks; lengthen the imagery period or lower missed_clouds_per_site and false_clouds_per_site"
        )
    chosen = rng_of(parameters.seed, site.number, 3).choice(full, wanted, replace=False).tolist()
    result = list(passes)
    for position, i in enumerate(chosen):
        if position < parameters.missed_clouds_per_site:
            result[i] = replace(passes[i], scl_error="missed_cloud", coverage=0.8, thin=False)
        else:
            result[i] = replace(passes[i], scl_error="false_cloud", coverage=0.0, thin=False)
    return tuple(result)
