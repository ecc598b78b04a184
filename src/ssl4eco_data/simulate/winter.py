"""Snow at a site: how much of it there is on each day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from ssl4eco_data.simulate.parameters import SimulationParameters
from ssl4eco_data.simulate.regions import Snow
from ssl4eco_data.simulate.sites import Site
from ssl4eco_data.types import FloatArray

EPOCH = dt.date(1970, 1, 1)
RATE = 0.25


def days_since_epoch(day: dt.date) -> int:
    """Whole days since 1970-01-01."""
    return (day - EPOCH).days


def rng_of(*key: int) -> np.random.Generator:
    """An independent random stream for a key of integers."""
    return np.random.default_rng(key)


def simulated_years(parameters: SimulationParameters) -> range:
    """Calendar years whose seasons may reach into the archive, with some to spare."""
    start = min(parameters.imagery_start, parameters.vegetation_start)
    end = max(parameters.imagery_end, parameters.vegetation_end)
    return range(start.year - 3, end.year + 3)


@dataclass(frozen=True, slots=True, eq=False)
class Winters:
    """The winters of a site; ``shift_days`` is ``(winter, 2)``: how late each begins and ends."""

    snow: Snow | None
    first_year: int
    shift_days: FloatArray

    def depth(self, day: int) -> float:
        """How much of flat ground snow covers on a day (since 1970-01-01), 0 to 1: logistic steps."""
        if self.snow is None:
            return 0.0
        total = 0.0
        for i, (early, late) in enumerate(self.shift_days):
            t = day - days_since_epoch(dt.date(self.first_year + i, 1, 1))
            fallen = 1 / (1 + np.exp(np.clip(-RATE * (t - self.snow.start_day - early), -50, 50)))
            total += fallen / (1 + np.exp(np.clip(RATE * (t - self.snow.melt_day - late), -50, 50)))
        return float(min(total, 1.0))


def plan_winters(parameters: SimulationParameters, site: Site) -> Winters:
    """The winters of a site, from the seed."""
    years = simulated_years(parameters)
    spread = site.region.year_shift_days
    shift = rng_of(parameters.seed, site.number, 6).normal(0, spread, (len(years), 2))
    return Winters(site.region.snow, years[0], shift.clip(-2 * spread, 2 * spread))
