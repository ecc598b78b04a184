"""Synthetic vegetation series of eight shapes over three calendar years.

A noise-free index is drawn first, for every day from a year before the record to a year after it. What is
observed of it has noise, unflagged clouds, random gaps and, on some pixels, one long gap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ssl4eco_data.types import BoolArray, FloatArray

FIRST_YEAR, YEARS = 2019, 3
"""The record; the middle year is a leap year."""
EPOCH = pd.Timestamp("1970-01-01")
NOISE_SD = 0.02
CLOUD_SHARE, CLOUD_DEPTHS = 0.08, (0.05, 0.25)
GAP_SHARE = 0.20
LONG_GAP_SHARE, LONG_GAP_DAYS = 0.30, (40.0, 80.0)
COMPOSITE_DAYS = {46: 8, 23: 16}
"""Length of a composite by observations a year."""
FAILED_SHARE = 0.35
"""Share of years without a season at a semi-arid pixel."""
SNOW_VALUES = (-0.05, 0.12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Noise-free: ``day`` (d,) whole days since 1970-01-01, ``clean`` and ``snow`` (pixel, d)."""

    shape: str
    day: FloatArray
    clean: FloatArray
    snow: BoolArray


def new_year(year: int) -> float:
    """Days from 1970-01-01 to 1 January of ``year``."""
    return float((pd.Timestamp(year, 1, 1) - EPOCH).days)


def record_days() -> tuple[float, float]:
    """First day of the record and the day after its last, since 1970-01-01."""
    return new_year(FIRST_YEAR), new_year(FIRST_YEAR + YEARS)


def middle_year() -> tuple[float, float]:
    """First day of the middle year and the day after its last: the cycles that peak here are scored."""
    return new_year(FIRST_YEAR + 1), new_year(FIRST_YEAR + 2)


def sigmoid(x: FloatArray) -> FloatArray:
    """Logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -500.0, 500.0))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The random numbers of n pixels, as (n, 1) columns, and the days (d,) they are drawn for."""

    rng: np.random.Generator
    pixels: int
    day: FloatArray

    def uniform(self, low: float, high: float) -> FloatArray:
        """(n, 1) numbers, one per pixel."""
        return self.rng.uniform(low, high, (self.pixels, 1))

    def jitter(self) -> FloatArray:
        """(n, 1) days by which a date of one year differs from its usual one."""
        return self.rng.normal(0.0, 6.0, (self.pixels, 1))

    def strength(self) -> FloatArray:
        """(n, 1) amplitudes of one year as a share of the usual one."""
        return 1.0 + np.clip(self.rng.normal(0.0, 0.08, (self.pixels, 1)), -0.24, 0.24)

    def years(self) -> range:
        """The years of the record, one before and one after."""
        return range(FIRST_YEAR - 1, FIRST_YEAR + YEARS + 1)

    def plateau(
        self, year: int, start: FloatArray, end: FloatArray, rise: FloatArray, fall: FloatArray
    ) -> FloatArray:
        """(n, d) season in [0, 1] that rises around day ``start`` of ``year`` and falls around ``end``."""
        since = self.day - new_year(year)
        return sigmoid(rise * (since - start - self.jitter())) * sigmoid(fall * (end + self.jitter() - since))


def logistic(draw: Draw, shift_days: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    """A season from spring to autumn, all dates later by a shift drawn from ``shift_days``."""
    shift = draw.uniform(*shift_days)
    start, end = draw.uniform(95, 150) + shift, draw.uniform(255, 305) + shift
    rise, fall = draw.uniform(0.06, 0.14), draw.uniform(0.05, 0.11)
    base, amplitude = draw.uniform(0.10, 0.20), draw.uniform(0.2, 0.5)
    seasons = [draw.strength() * draw.plateau(y, start, end, rise, fall) for y in draw.years()]
    return np.asarray(base + amplitude * np.sum(seasons, axis=0))


def logistic_south(draw: Draw) -> FloatArray:
    """The same half a year later."""
    return logistic(draw, (160.0, 205.0))


def gaussian(draw: Draw) -> FloatArray:
    """A bell around midsummer with a standard deviation of 28 to 48 days."""
    top, width = draw.uniform(170, 220), draw.uniform(28, 48)
    base, amplitude = draw.uniform(0.10, 0.25), draw.uniform(0.2, 0.5)
    seasons = [
        draw.strength() * np.exp(-0.5 * ((draw.day - new_year(y) - top - draw.jitter()) / width) ** 2)
        for y in draw.years()
    ]
    return np.asarray(base + amplitude * np.sum(seasons, axis=0))


def asymmetric(draw: Draw) -> FloatArray:
    """A slow rise over months and a fall within weeks, as of grassland cut or grain ripe."""
    start, end = draw.uniform(105, 140), draw.uniform(245, 285)
    rise, fall = draw.uniform(0.035, 0.055), draw.uniform(0.12, 0.20)
    base, amplitude = draw.uniform(0.10, 0.20), draw.uniform(0.25, 0.5)
    seasons = [draw.strength() * draw.plateau(y, start, end, rise, fall) for y in draw.years()]
    return np.asarray(base + amplitude * np.sum(seasons, axis=0))


def double_crop(draw: Draw) -> FloatArray:
    """Two crops a year, the first with 0.6 to 1 of the second's amplitude, bare soil for weeks between."""
    starts, ends = (
        (draw.uniform(50, 70), draw.uniform(190, 205)),
        (draw.uniform(135, 150), draw.uniform(280, 300)),
    )
    slope, share = draw.uniform(0.10, 0.16), draw.uniform(0.6, 1.0)
    base, amplitude = draw.uniform(0.12, 0.20), draw.uniform(0.3, 0.5)
    seasons = [
        scale * draw.strength() * draw.plateau(y, starts[k], ends[k], slope, slope)
        for y in draw.years()
        for k, scale in enumerate((share, np.ones_like(share)))
    ]
    return np.asarray(base + amplitude * np.sum(seasons, axis=0))


def evergreen(draw: Draw) -> FloatArray:
    """Green all year, with a yearly wave of 0.01 to 0.04 from trough to peak."""
    wave = 0.5 * draw.uniform(0.01, 0.04) * np.cos(2 * np.pi * (draw.day - draw.uniform(0, 365)) / 365.2425)
    return np.asarray(draw.uniform(0.35, 0.55) + wave)


def bare(draw: Draw) -> FloatArray:
    """Soil, with a yearly wave of at most 0.02 from trough to peak."""
    wave = 0.5 * draw.uniform(0.0, 0.02) * np.cos(2 * np.pi * (draw.day - draw.uniform(0, 365)) / 365.2425)
    return np.asarray(draw.uniform(0.06, 0.14) + wave)


def boreal(draw: Draw) -> FloatArray:
    """A short season, steep in spring."""
    start, end = draw.uniform(130, 160), draw.uniform(240, 265)
    rise, fall = draw.uniform(0.08, 0.16), draw.uniform(0.06, 0.12)
    base, amplitude = draw.uniform(0.12, 0.20), draw.uniform(0.2, 0.45)
    seasons = [draw.strength() * draw.plateau(y, start, end, rise, fall) for y in draw.years()]
    return np.asarray(base + amplitude * np.sum(seasons, axis=0))


def semi_arid(draw: Draw) -> FloatArray:
    """A season after rain, early or late from year to year; in a failed year at most 0.03 is left of it."""
    start, length = draw.uniform(150, 200), draw.uniform(75, 120)
    rise, fall = draw.uniform(0.10, 0.20), draw.uniform(0.04, 0.07)
    base, amplitude = draw.uniform(0.10, 0.16), draw.uniform(0.18, 0.40)
    total = np.zeros((draw.pixels, draw.day.size))
    for year in draw.years():
        onset = start + draw.rng.normal(0.0, 12.0, start.shape)
        failed = draw.uniform(0, 1) < FAILED_SHARE
        height = np.where(failed, draw.uniform(0.0, 0.03), amplitude * draw.strength())
        total += height * draw.plateau(year, onset, onset + length, rise, fall)
    return np.asarray(base + total)


SHAPES: dict[str, Callable[[Draw], FloatArray]] = {
    "logistic north": logistic,
    "logistic south": logistic_south,
    "Gaussian": gaussian,
    "asymmetric": asymmetric,
    "double crop": double_crop,
    "boreal snow": boreal,
    "semi-arid": semi_arid,
    "evergreen": evergreen,
    "bare": bare,
}
WITHOUT_CYCLE = ("evergreen", "bare")


def draw_curves(shape: str, pixels: int, seed: int) -> Curves:
    """Noise-free curves of one shape; the same numbers for the same arguments."""
    rng = np.random.default_rng([seed, list(SHAPES).index(shape)])
    first, after = record_days()
    day = np.arange(first - 365, after + 365)
    clean = SHAPES[shape](Draw(rng=rng, pixels=pixels, day=day))
    snow = np.zeros(clean.shape, dtype=np.bool_)
    if shape == "boreal snow":
        of_year = pd.DatetimeIndex(EPOCH + pd.to_timedelta(day, unit="D")).day_of_year.to_numpy()
        melt, onset = rng.uniform(90, 115, (pixels, 1)), rng.uniform(300, 325, (pixels, 1))
        snow = (of_year < melt) | (of_year > onset)
    return Curves(shape=shape, day=day, clean=clean, snow=snow)


def observe(curves: Curves, per_year: int, seed: int) -> xr.Dataset:
    """What is seen of ``curves``, as :func:`~ssl4eco_data.phenology.derive_cycles` takes it.

    Dimensions (pixel, time). Each composite of 8 or 16 days (46 or 23 a year, the last one cut at New Year)
    is seen on one of its days, at random and known. NaN is a gap.
    """
    rng = np.random.default_rng([seed, list(SHAPES).index(curves.shape), per_year])
    length = COMPOSITE_DAYS[per_year]
    starts = np.concatenate(
        [new_year(y) + np.arange(0, 365, length) for y in range(FIRST_YEAR, FIRST_YEAR + YEARS)]
    )
    stops = np.append(starts[1:], record_days()[1])
    shape = curves.clean.shape[0], starts.size
    day = starts + np.floor(rng.random(shape) * (stops - starts))
    at = (day - curves.day[0]).astype(np.int64)
    value = np.take_along_axis(curves.clean, at, axis=1) + rng.normal(0.0, NOISE_SD, shape)
    value -= (rng.random(shape) < CLOUD_SHARE) * rng.uniform(*CLOUD_DEPTHS, shape)
    snow = np.take_along_axis(curves.snow, at, axis=1)
    value = np.where(snow, rng.uniform(*SNOW_VALUES, shape), value)
    gap_length = rng.uniform(*LONG_GAP_DAYS, (shape[0], 1)) * (rng.random((shape[0], 1)) < LONG_GAP_SHARE)
    gap_start = rng.uniform(starts[0], stops[-1] - LONG_GAP_DAYS[1], (shape[0], 1))
    missing = (rng.random(shape) < GAP_SHARE) | ((day >= gap_start) & (day < gap_start + gap_length))
    value = np.where(missing, np.nan, value)
    dims = ("pixel", "time")
    return xr.Dataset(
        {"value": (dims, value), "snow": (dims, snow & ~missing), "day": (dims, day)}, attrs={"index": "evi2"}
    )
